"""Checkpoints of a run, with orbax: the only module that knows it.

A checkpoint is one tree of arrays. It is on disk when `save` returns; what a killed process left
half-written is passed over, and so is what was damaged later.

Pools of blocks (uint8 with more than three axes) are hundreds of times what else a run holds, and
change little. Their blocks are kept beside the checkpoints, each written once (`block_file`).
"""

import collections
import contextlib
import logging
import shutil
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import numpy as np

from dippas_jax.io import block_file, records
from dippas_jax.io import files as store
from dippas_jax.types import InputError

_KEPT = 2  # checkpoints of a run: the newest, and one in case that is damaged
_MANIFEST = "manifest.json"  # written last: layout of the tree, CRC-32 of every other file
_QUOTED = 200  # characters of a damaged manifest, in a message
_BLOCKS = "blocks.index"  # where in the file of blocks, which the manifest names, every block lies


@contextlib.contextmanager
def _checkpointer(folder: Path) -> Iterator[Any]:
    """An orbax checkpointer that saves before it returns and logs nothing; errors name the folder.

    Saving in the background would hide 0.1 s of 10 MB, at the price of threads that log, and that
    read arrays which the next chunk is given to overwrite. orbax's CheckpointManager is not used:
    it refuses a folder in which one checkpoint's metadata is damaged.
    """
    handlers, absl_logger = logging.root.handlers[:], logging.getLogger("absl")
    absl_logger.addFilter(_nothing)
    try:
        import orbax.checkpoint as ocp  # takes a second, and many runs keep no checkpoint

        with ocp.Checkpointer(ocp.StandardCheckpointHandler()) as checkpointer:
            yield checkpointer
    except InputError:
        raise
    except (OSError, ValueError) as error:  # tensorstore's own, as of a full disk, are the second
        why = getattr(error, "strerror", None) or " ".join(str(error).split())[:_QUOTED]
        raise InputError(
            f"checkpoints in {folder} cannot be written or read ({why}); choose another work folder"
        ) from None
    finally:
        absl_logger.removeFilter(_nothing)
        logging.root.handlers[:] = handlers  # absl's first message installs one on the root


def _nothing(record: logging.LogRecord) -> bool:
    return False


def _layout(tree: Any) -> list[str]:
    """One line per array: where it is, its type and its shape."""
    leaves = jax.tree_util.tree_leaves_with_path(tree)
    return [f"{jax.tree_util.keystr(k)} {np.dtype(x.dtype)} {list(x.shape)}" for k, x in leaves]


def _compact(tree: Any) -> Any:
    """The tree without the fields that are None: orbax keeps those, and asks for them later.

    So a field that is None unless a setting asks for it leaves the others' checkpoints as they are.
    """
    if isinstance(tree, dict):
        return {name: _compact(value) for name, value in tree.items()}
    if not isinstance(tree, tuple):
        return tree
    if not hasattr(tree, "_fields"):
        return tuple(_compact(value) for value in tree)
    kept = {k: _compact(v) for k, v in zip(tree._fields, tree, strict=True) if v is not None}
    return collections.namedtuple(type(tree).__name__, kept)(**kept)


def _without_blocks(tree: Any) -> Any:
    """What orbax is given."""
    return _compact(jax.tree.map(lambda x: None if block_file.holds_blocks(x) else x, tree))


def _checksums(checkpoint: Path) -> dict[str, int]:
    files = sorted(p for p in checkpoint.rglob("*") if p.is_file() and p.name != _MANIFEST)
    return {p.relative_to(checkpoint).as_posix(): zlib.crc32(p.read_bytes()) for p in files}


def _manifest(checkpoint: Path) -> dict[str, Any] | None:
    """None if it is not there, or damaged."""
    try:
        manifest = store.read_json(checkpoint / _MANIFEST)
    except InputError:
        return None
    return manifest if isinstance(manifest, dict) else None


def _blocks(checkpoint: Path, manifest: dict[str, Any]) -> tuple[str, np.ndarray] | None:
    """The file of a checkpoint's blocks and where they lie in it; None if that is damaged."""
    path, name, sums = checkpoint / _BLOCKS, manifest.get("blocks"), manifest.get("crc32")
    if not block_file.is_name(name) or not isinstance(sums, dict) or not path.is_file():
        return None
    data = path.read_bytes()
    if zlib.crc32(data) != sums.get(_BLOCKS):
        return None
    return name, np.frombuffer(data, block_file.INDEX)


def _steps(folder: Path) -> list[int]:
    """Steps with a checkpoint, damaged ones too, newest first; unfinished ones have other names."""
    return sorted((int(p.name) for p in folder.iterdir() if p.name.isdecimal()), reverse=True)


def save(folder: Path | str, step: int, tree: Any) -> None:
    """Write a tree of arrays as the newest checkpoint; the two newest are kept.

    It is on disk when this returns; a process killed half-way leaves the earlier ones as they were.
    Checkpoints of this step and later ones are removed first: the run has gone back before them.

    What the two share of their blocks is on disk once: damage there is damage to both.

    Args:
      folder: The checkpoints of one run, and nothing else.
      step: Number of the step, at least 0.
      tree: Nested dicts, tuples and NamedTuples of NumPy or JAX arrays, none of them empty.

    Raises:
      InputError: The folder cannot be written to.
    """
    folder = Path(folder).absolute()
    tree = jax.tree.map(np.asarray, jax.device_get(tree))
    with _checkpointer(folder) as checkpointer:
        folder.mkdir(parents=True, exist_ok=True)
        for stale in [s for s in _steps(folder) if s >= step]:
            shutil.rmtree(folder / str(stale))
        for torn in folder.glob("*.orbax-checkpoint-tmp*"):
            shutil.rmtree(torn)
        checkpoint = folder / str(step)
        manifest: dict[str, Any] = {"layout": _layout(tree)}
        pools = [x for x in jax.tree.leaves(tree) if block_file.holds_blocks(x)]
        if pools:
            manifest["blocks"], index = block_file.put(folder, step, pools, _newest_blocks(folder))
        checkpointer.save(checkpoint, _without_blocks(tree))
        if pools:
            (checkpoint / _BLOCKS).write_bytes(index.tobytes())
        store.write_json(checkpoint / _MANIFEST, manifest | {"crc32": _checksums(checkpoint)})
        for old in _steps(folder)[_KEPT:]:
            shutil.rmtree(folder / str(old))
        kept = [_manifest(folder / str(step)) or {} for step in _steps(folder)]
        block_file.clear(folder, [str(one.get("blocks")) for one in kept])


def _newest_blocks(folder: Path) -> tuple[str, np.ndarray] | None:
    """Those of the newest checkpoint that knows its own."""
    for step in _steps(folder):
        manifest = _manifest(folder / str(step))
        if manifest and (found := _blocks(folder / str(step), manifest)):
            return found
    return None


def latest(folder: Path | str, like: Any) -> tuple[int, Any] | None:
    """Read the newest checkpoint that is whole, passing over unfinished and damaged ones.

    Args:
      folder: As given to `save`; it need not exist yet.
      like: A tree of the same structure, of arrays or `jax.ShapeDtypeStruct`.

    Returns:
      The step and its tree, in the containers of `like`: NumPy arrays where `like` has them, JAX
      arrays elsewhere. None when there is no whole checkpoint.

    Raises:
      InputError: The newest whole checkpoint has other arrays, so it was made with other settings.
    """
    folder = Path(folder).absolute()
    if not folder.is_dir():
        return None
    blank = jax.tree.map(lambda x: np.broadcast_to(np.zeros((), x.dtype), x.shape), like)
    with _checkpointer(folder) as checkpointer:
        for step in _steps(folder):
            checkpoint = folder / str(step)
            manifest = _manifest(checkpoint)  # none if killed before the last file
            if manifest is None or manifest.get("crc32") != _checksums(checkpoint):
                continue
            layout: Any = manifest.get("layout")
            if not records.fits(layout, list[str]):
                continue
            if layout != _layout(like):
                differ = sorted(set(layout) ^ set(_layout(like))) or ["the order"]
                raise InputError(
                    f"checkpoint {checkpoint} was made with other settings ({differ[0][:_QUOTED]} "
                    "differs); give those settings or delete that folder"
                )
            pools = _pools(checkpoint, manifest, like)
            if pools is None:
                continue
            rest = iter(jax.tree.leaves(checkpointer.restore(checkpoint, _without_blocks(blank))))
            arrays = [
                pools.pop(0) if block_file.holds_blocks(x) else next(rest)
                for x in jax.tree.leaves(like)
            ]
            return step, jax.tree.map(
                _in_kind_of, like, jax.tree.unflatten(jax.tree.structure(like), arrays)
            )
    return None


def _pools(checkpoint: Path, manifest: dict[str, Any], like: Any) -> list[np.ndarray] | None:
    """The arrays that are kept by their blocks; None if one of those is damaged."""
    shapes = [x.shape for x in jax.tree.leaves(like) if block_file.holds_blocks(x)]
    if not shapes:
        return []
    if found := _blocks(checkpoint, manifest):
        return block_file.get(checkpoint.parent / found[0], found[1], shapes)
    return None


def _in_kind_of(template: Any, array: Any) -> Any:
    return np.asarray(array) if isinstance(template, np.ndarray) else jax.numpy.asarray(array)


def delete(folder: Path | str) -> None:
    """Remove a run's checkpoints; nothing happens where there are none."""
    shutil.rmtree(folder, ignore_errors=True)
