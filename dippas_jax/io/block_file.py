"""Blocks of checkpoints, each written once: what a run's next checkpoint shares is not copied.

A block is the last three axes of an array [... b b 3]. Blocks of one run stand one behind the other
in a file that only grows, so what earlier checkpoints refer to stays as it is, whenever a process
is killed. A checkpoint holds, of every block, where it lies and a hash of its bytes. By the hash a
block is known again, and a damaged one is found out.
"""

import hashlib
import os
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, TypeGuard

import numpy as np

_NAME = "blocks-"  # and the step at which the file was begun
_HASHED = 16  # bytes of SHA-256 that are kept

INDEX = np.dtype([("offset", "<i8"), ("hash", "u1", (_HASHED,))])
"""Of one block: its first byte in the file, and the hash of its bytes."""


def holds_blocks(array: Any) -> bool:
    """Whether an array is kept by its blocks: uint8 with more than three axes."""
    return array.dtype == np.uint8 and len(array.shape) > 3


def is_name(name: Any) -> TypeGuard[str]:
    """Whether `put` may have given a file this name."""
    return isinstance(name, str) and re.fullmatch(rf"{_NAME}\d+", name, re.ASCII) is not None


def put(
    folder: Path, step: int, arrays: Sequence[np.ndarray], before: tuple[str, np.ndarray] | None
) -> tuple[str, np.ndarray]:
    """Writes the blocks that are not in the file yet; they are on disk when this returns.

    Where more than half of the file would be blocks that are no longer used, a new one is begun.

    Args:
      folder: Of the run's checkpoints.
      step: Number of the step, larger than that of any checkpoint that is kept.
      arrays: uint8 [... b b 3].
      before: What this gave for an earlier checkpoint that is kept, if there is one.

    Returns:
      The file's name, and the place of every block [n] (`INDEX`), array after array.
    """
    blocks = [block for array in arrays for block in _blocks(array)]
    hashes = [_hash(block) for block in blocks]
    lengths = {known: block.nbytes for known, block in zip(hashes, blocks, strict=True)}
    used = sum(lengths.values())
    name, places, size = "", {}, 0
    if before is not None and (folder / before[0]).is_file():
        name, size = before[0], (folder / before[0]).stat().st_size
        pairs = zip(map(bytes, before[1]["hash"]), before[1]["offset"].tolist(), strict=True)
        places = {k: at for k, at in pairs if k in lengths and at + lengths[k] <= size}
    new = used - sum(lengths[known] for known in places)
    if not name or size + new > 2 * used:
        name, places = f"{_NAME}{step}", {}
        (folder / name).unlink(missing_ok=True)  # of a run that went back before this step
    with open(folder / name, "ab") as file:
        for known, block in zip(hashes, blocks, strict=True):
            if known not in places:
                places[known] = file.tell()
                file.write(block)
        file.flush()
        os.fsync(file.fileno())
    index = np.empty(len(blocks), INDEX)
    index["offset"] = [places[known] for known in hashes]
    index["hash"] = np.frombuffer(b"".join(hashes), np.uint8).reshape(-1, _HASHED)
    return name, index


def get(path: Path, index: np.ndarray, shapes: Iterable[Sequence[int]]) -> list[np.ndarray] | None:
    """The arrays of these shapes, uint8, from a file of `put`; None if a block is damaged."""
    arrays = [np.empty(shape, np.uint8) for shape in shapes]
    blocks = [block for array in arrays for block in _blocks(array)]
    if not path.is_file() or len(blocks) != len(index):
        return None
    with open(path, "rb") as file:
        for block, (offset, known) in zip(blocks, index, strict=True):
            file.seek(int(offset))
            if file.readinto(block) != block.nbytes or _hash(block) != bytes(known):
                return None
    return arrays


def clear(folder: Path, kept: Iterable[str]) -> None:
    """Removes the files of blocks that no checkpoint refers to."""
    names = set(kept)
    for path in folder.glob(f"{_NAME}*"):
        if path.name not in names:
            path.unlink()


def _blocks(array: np.ndarray) -> np.ndarray:
    """The blocks of an array, each as one row [n bytes]; a view of contiguous arrays."""
    length = int(np.prod(array.shape[-3:]))
    return np.ascontiguousarray(array).reshape(-1, length)


def _hash(block: np.ndarray) -> bytes:
    return hashlib.sha256(block.data).digest()[:_HASHED]
