"""What `benchmarks.fuzz` gives damaged files to: every parser, and the way of a whole photo.

A parser returns or raises `InputError`. One that raises anything else, or gives what cannot be,
fails; so does one that says in more than one sentence what is wrong.
"""

import contextlib
import functools
import io
import json
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from benchmarks import fuzz_seeds as seeds
from dippas_jax import config
from dippas_jax.cli import anonymize, console, examine, methods, outputs, photo_record
from dippas_jax.datasets import manifests
from dippas_jax.experiments import report, runs
from dippas_jax.io import (
    checkpoint,
    exif,
    files,
    fingerprint_file,
    mat5,
    photo,
    photo_writer,
    png_colors,
    program_cache,
)
from dippas_jax.parallel import manifest
from dippas_jax.signal import dncnn
from dippas_jax.types import InputError, Record, Sample, Window


class Parser(NamedTuple):
    """A parser and what it is given.

    Attributes:
      run: `(rng, data, folder) -> None`; the folder is empty, and emptied by the parser.
      seeds: Whole files.
      share: Executions a round.
    """

    run: Callable[[Random, bytes, Path], None]
    seeds: Callable[[], Sequence[bytes]]
    share: float


def _require(truth: bool, what: str) -> None:
    if not truth:
        raise AssertionError(what)


def clear(message: str) -> bool:
    """Whether a message is one sentence that says what is wrong, and what to do."""
    return message.isprintable() and ";" in message and 20 < len(message) < 10000


# ------------------------------------------------------------------------------------------- parts


def _colours(rng: Random, data: bytes, folder: Path) -> None:
    found = png_colors.chunks(data)
    png_colors.names(found, profile=rng.random() < 0.5)
    png_colors.codes(found)
    png_colors.inserted(data, found, profile=rng.random() < 0.5)


def _exif(rng: Random, data: bytes, folder: Path) -> None:
    """As of a photo that was read: what Pillow refuses at once is refused by the reader."""
    original = Image.Exif()
    try:
        with files.strict_pillow():
            original.load(data)
            original.get(274)
    except Exception:  # noqa: BLE001 - as `photo.read` would
        raise InputError("the reader of photos refuses these EXIF; give others") from None
    made = exif.exif(original, rng.choice(exif.KEPT), orientation=rng.randrange(1, 9), size=(64, 9))
    _require(made is None or isinstance(made, bytes), "no bytes")


def _mat(rng: Random, data: bytes, folder: Path) -> None:
    try:
        with np.errstate(all="ignore"):
            mat5.arrays(data)
    except ValueError:
        raise InputError("the reader of fingerprints refuses this file; give another") from None


def _fingerprint(rng: Random, data: bytes, folder: Path) -> None:
    found = fingerprint_file.decode("a.npz", data)
    _require(bool(np.isfinite(found.plane).all()), "values that are not finite")
    if rng.random() < 0.1:
        kind = rng.choice(fingerprint_file.EXTENSIONS)
        again = fingerprint_file.decode("b", fingerprint_file.encode(f"b{kind}", found))
        _require(bool((again.plane == found.plane).all()), "another plane")


def _weights(rng: Random, data: bytes, folder: Path) -> None:
    dncnn.parse(data)


# ------------------------------------------------------------------------------------------ photos


@contextlib.contextmanager
def _file(folder: Path, data: bytes, name: str = "photo.jpg"):
    path = folder / name
    path.write_bytes(data)
    try:
        yield path
    finally:
        path.unlink()


def _photo(rng: Random, data: bytes, folder: Path) -> None:
    with _file(folder, data) as path:
        refused = None
        try:
            found = photo.read(path, srgb=rng.random() < 0.3)
        except InputError as error:
            refused = error
        with contextlib.suppress(InputError):
            size, turn = photo.size(path), photo.orientation(path)
            photo.camera(path)
            if refused is None:
                _require(size == found.pixels.shape[:2], "its size is not that of its header")
                _require(turn == found.orientation, "its orientation is not that of its header")
        if refused is None:
            _require(found.pixels.shape[2] == 3, "not three channels")
            if found.alpha is not None:
                _require(found.alpha.shape == found.pixels.shape[:2], "opacity of another size")
    if refused is not None:
        raise refused


def _written(rng: Random, data: bytes, folder: Path, kinds: Sequence[str]) -> None:
    with _file(folder, data) as path:
        found = photo.read(path)
    asked: dict[str, Any] = {
        "kind": rng.choice(kinds),
        "kept": rng.choice(exif.KEPT),
        "icc": rng.random() < 0.7,
        "upright": rng.random() < 0.5,
    }
    photo_writer.require_writable(found, **asked)
    try:
        made = photo_writer.encode(found, found.pixels ^ 1, **asked)
        again = photo_writer.decode(made, found, upright=asked["upright"])
    except InputError as error:
        raise AssertionError(f"refused too late: {error}") from None
    _require(again.shape == found.pixels.shape, "written in another size")
    _require(again.dtype == found.pixels.dtype, "written in another type")


def _writer(rng: Random, data: bytes, folder: Path) -> None:
    _written(rng, data, folder, ("same", "same", "jpeg", "png", "tiff", "webp"))


def _heic(rng: Random, data: bytes, folder: Path) -> None:
    if rng.random() < 0.9:
        _photo(rng, data, folder)
    else:
        _written(rng, data, folder, ("same", "png", "heic"))


def _stub(task: Any, started: float) -> Any:
    """In place of a method: the last bit of every level turned over."""
    return methods.behind_output(task, photo.eight_bits(task.photo.pixels) ^ 1)


def _anonymize(rng: Random, data: bytes, folder: Path) -> None:
    """`dippas anonymize` from file to file, with a method that takes no time."""
    methods.OURS["sparse"] = _stub
    out = folder / "out"
    options = outputs.Options(
        output=f"{out}/",
        blind=True,
        metadata=rng.choice(exif.KEPT),
        icc=rng.choice(("keep", "srgb", "drop")),
        orientation=rng.choice(("upright", "tag")),
        kind=rng.choice(("same", "same", "same", "png", "jpeg", "tiff")),
    )
    said = io.StringIO()
    with _file(folder, data) as path:
        with contextlib.redirect_stderr(said), contextlib.redirect_stdout(io.StringIO()):
            code = anonymize.anonymize([str(path)], options, json=rng.random() < 0.5)
        _require(path.read_bytes() == data, "the original was written to")
        _require(sorted(p.name for p in folder.iterdir() if p != out) == [path.name], "a file more")
    made = sorted(out.iterdir()) if out.exists() else []
    _require(len(made) <= 1, f"{len(made)} files for one photo")
    _require("could not be treated" not in said.getvalue(), said.getvalue())
    for one in made:
        try:
            photo.read(one)
        except InputError as error:
            raise AssertionError(f"an output that cannot be read: {error}") from None
        finally:
            one.unlink()
    done = code in (console.DONE, console.TRACED)
    _require(done == bool(made), f"exit code {code} with {len(made)} outputs")
    if not done:
        lines = said.getvalue().splitlines()
        _require(len(lines) == 1, f"{len(lines)} lines on stderr")
        raise InputError(lines[0].removeprefix("dippas: "))


# ------------------------------------------------------------------------------------------- lists


def _campaign(rng: Random, data: bytes, folder: Path) -> None:
    name = "list." + rng.choice(("jsonl", "csv", "tsv", "txt"))
    if data.startswith(b"{"):
        name = "list.jsonl"
    with _file(folder, data, name) as path:
        items, _ = manifest.read(str(path), rng.choice(("", "K.npz")))
    _require(len({item.id for item in items}) == len(items), "two photos with one name")


def _pinned() -> list[bytes]:
    entry = {"file": "a.png", "sha256": "0" * 64}
    return [
        json.dumps(manifests.manifest([_record()])).encode(),
        json.dumps(
            {
                "records": [{"id": "a", "device": "b", **entry, "window": {"photo": [64, 64]}}],
                "fingerprints": {"b": entry},
                "flats": {"b": [entry, entry]},
            }
        ).encode(),
    ]


@functools.cache
def _record() -> Record:
    sample = Sample(np.zeros((64, 64, 3), np.uint8), None, Window((64, 64), 0, 0, 64, 64))
    return Record("a", "b", lambda: sample)


def _pins(rng: Random, data: bytes, folder: Path) -> None:
    with _file(folder, data, "manifest.json") as path:
        manifests.check([_record()], files.read_json(path))


# ------------------------------------------------------------------------------------- what we kept


def _figures(name: str, kind: Any) -> Any:
    return {"warnings": ["a"], "results": [{"psnr": 40.0}], "examined": {}}.get(
        name, {float: 1.5, int: 64, str: "a", bool: False}.get(kind, {"white": 0.1})
    )


def _run_records() -> list[bytes]:
    fields = report.PhotoRecord.__dataclass_fields__.values()
    whole = {f.name: _figures(f.name, f.type) for f in fields if f.default is not None}
    return [json.dumps(whole | {"psnr": None, "z_after": None, "steps": 3}).encode()]


def _run_record(rng: Random, data: bytes, folder: Path) -> None:
    with _file(folder, data, "a.json") as path:
        runs.recorded(path)


def _page_records() -> list[bytes]:
    fields = photo_record.PhotoRecord.__dataclass_fields__.values()
    one = {f.name: _figures(f.name, f.type) for f in fields} | {"fingerprint": None}
    two = one | {"mode": "blind", "psnr": None, "predicted_z": None, "leakage": {"whole": None}}
    attack = {"attacker": "wavelet", "fingerprint": "K", "before": 9.0, "after": 4.0, "found": True}
    found = {"attacks": [attack], "verdict": "found", "ssim": 0.9, "untested": ["learned"]}
    three = one | {"examined": found}
    settings = examine.settings(outputs.Options(report="page.html"))
    return [json.dumps({"settings": settings, "photos": [one, two, three]}).encode()]


def _page_record(rng: Random, data: bytes, folder: Path) -> None:
    with _file(folder, data, "page.json") as path:
        options = outputs.Options(report="page.html")
        page = path.with_suffix(".html")
        records = examine.known_records((page, path), options)
        for record in records:
            photo_record.text(record)
            photo_record.traced(record)
        parts: dict[str, list] = {record.output: [] for record in records}
        try:
            examine.write((page, path), records, [], [], [], parts, examine.settings(options))
        finally:
            page.unlink(missing_ok=True)


def _programs() -> list[bytes]:
    return [zlib.compress(bytes(range(256)) * 9), b"\x28\xb5\x2f\xfd" + bytes(99)]


def _cached(rng: Random, data: bytes, folder: Path) -> None:
    with _file(folder, data, "jit_a-1-cache"):
        program_cache.damaged(folder)
        program_cache.damaged(folder, "jit_a")


_LIKE = {"a": np.arange(6, dtype=np.float32), "b": {"c": np.zeros((2, 3), np.uint8)}}
_SUMS = {"file": 1}  # in place of the checksums, which are other ones each time


def _checkpoints() -> list[bytes]:
    return [json.dumps({"layout": checkpoint._layout(_LIKE), "crc32": _SUMS}).encode()]


def _checkpoint(rng: Random, data: bytes, folder: Path) -> None:
    """The manifest, which is ours: what it covers is safe by its checksums."""
    run = folder.with_name("run")
    if not run.exists():
        checkpoint.save(run, 3, _LIKE)
    place = run / "3" / "manifest.json"
    with contextlib.suppress(ValueError, RecursionError, AttributeError):
        if (values := json.loads(data)).get("crc32") == _SUMS:
            data = json.dumps(values | {"crc32": checkpoint._checksums(place.parent)}).encode()
    place.write_bytes(data)
    found = checkpoint.latest(run, _LIKE)
    _require(found is None or bool((found[1]["a"] == _LIKE["a"]).all()), "other arrays")


def _all_photos() -> list[bytes]:
    return [
        *seeds.pngs(), *seeds.jpegs(), *seeds.jpegs(), *seeds.tiffs(), *seeds.others()[:6],
    ]  # fmt: skip


PARSERS = {
    "io.png_colors": Parser(_colours, seeds.pngs, 60),
    "io.exif": Parser(_exif, seeds.exifs, 20),
    "io.mat5": Parser(_mat, seeds.mats, 60),
    "io.fingerprint_file": Parser(_fingerprint, seeds.fingerprints, 40),
    "io.photo: PNG": Parser(_photo, seeds.pngs, 10),
    "io.photo: JPEG": Parser(_photo, seeds.jpegs, 10),
    "io.photo: TIFF, io.tiff_file": Parser(_photo, seeds.tiffs, 14),
    "io.photo: WebP, BMP": Parser(_photo, lambda: seeds.others()[:6], 8),
    "io.photo: HEIC": Parser(_heic, seeds.heics, 2),
    "io.photo_writer": Parser(_writer, _all_photos, 6),
    "dippas anonymize": Parser(_anonymize, _all_photos, 2),
    "signal.dncnn": Parser(_weights, seeds.weights, 4),
    "parallel.manifest": Parser(_campaign, seeds.lists, 30),
    "datasets.manifests": Parser(_pins, _pinned, 30),
    "experiments.report": Parser(_run_record, _run_records, 30),
    "cli.photo_record": Parser(_page_record, _page_records, 20),
    "io.program_cache": Parser(_cached, _programs, 20),
    "io.checkpoint": Parser(_checkpoint, _checkpoints, 0.05),
}
"""By what the table calls them."""

assert config.SMALLEST_PHOTO == seeds.SIZE
