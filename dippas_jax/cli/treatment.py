"""One photo of `dippas anonymize`: read, anonymised by the method asked for, encoded, described."""

import contextlib
import hashlib
import math
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import tqdm

from dippas_jax import baselines
from dippas_jax import config as configuration
from dippas_jax.cli import console, examine, pace, photo_record
from dippas_jax.cli.outputs import Job, Options
from dippas_jax.cli.own_photos import Known, OwnPhotos
from dippas_jax.cli.photo_record import PhotoRecord
from dippas_jax.forensics import leakage
from dippas_jax.io import checkpoint, decoder, photo_writer
from dippas_jax.io import photo as photo_file
from dippas_jax.prior import progress, tiling, whole
from dippas_jax.prior.anonymize import DivergedError, Progress
from dippas_jax.signal import cells, displacement, extractors, image, placement, tiles
from dippas_jax.sparse import anonymize as sparse
from dippas_jax.types import Fingerprint, InputError, Result

CAMERA_Z, CAMERA_PIXELS = 100.0, 6e6
"""z of a camera in an untreated photo of so many pixels; whole photos of phones give 50 to 150."""

STRENGTH = 0.15
"""z of a camera over that of a pattern of one percent in the same photo (`Result.visible`): ten of
eleven whole photos of four Nikons have 0.02 to 0.17 (docs/photos.md)."""

UNSURE = 0.05
"""Leakage of the whole photo that its parts and planted patterns may not show."""

_PROGRESS = "{desc}: {bar:24} {percentage:3.0f} %, {remaining} left{postfix}"


class _Task(NamedTuple):
    """A photo at work: its file's content, the fingerprint's plane, what was asked for.

    `others` is there where the fingerprint comes from the camera's other photos; `place` says which
    of several photos this is; `on_progress` hears what share of the work is done.
    """

    job: Job
    photo: photo_file.PhotoFile
    plane: np.ndarray | None
    options: Options
    others: Known | None = None
    place: str = ""
    on_progress: Callable[[float], None] | None = None

    @property
    def upright(self) -> bool:
        return self.options.orientation == "upright"

    @property
    def target(self) -> float:
        """The PSNR asked for, dB; 0 where the method decides."""
        return self.options.target_psnr or 0.0


def treat(
    source: Path,
    job: Job,
    cameras: dict[str, Fingerprint],
    options: Options,
    own: OwnPhotos | None = None,
    place: str = "",
    on_progress: Callable[[float], None] | None = None,
) -> tuple[PhotoRecord, bytes]:
    """Anonymises a photo; nothing is written.

    Args:
      source: The photo.
      job: Where it goes.
      cameras: The fingerprints by their files.
      options: All that was asked for.
      own: The command's photos, where K may come from the others of the same camera.
      place: Which photo of how many, for the progress bar.
      on_progress: Called with the share of the work that is done, below 1; by methods of
        `baselines` not at all.

    Returns:
      What is known of it, and the bytes of the output file.
    """
    task = _task(source, job, cameras.get(options.fingerprint or ""), options, own)
    task = task._replace(place=place, on_progress=on_progress)
    started = time.monotonic()
    result = OURS.get(options.method, _by_other)(task, started)
    return _finished(task, result, time.monotonic() - started, cameras)


class Checkpoints(NamedTuple):
    """Where the runs of a photo's tiles are kept.

    Attributes:
      folder: Of this command.
      earlier: Of commands that may have been cut off, or may still write there, the last one first.
    """

    folder: Path
    earlier: Sequence[Path] = ()

    def restore(self, tile: int, start: Progress) -> Progress:
        """The last run of a tile that is whole, or the one that is to start."""
        for folder in self.earlier:
            with contextlib.suppress(Exception):  # whoever writes there may remove it just now
                if found := checkpoint.latest(folder / str(tile), start):
                    return found[1]
        return start

    def save(self, tile: int, progress: Progress) -> None:
        """Keep a run; one that cannot be kept is no failure."""
        with contextlib.suppress(InputError):
            checkpoint.save(self.folder / str(tile), int(progress.steps), progress)


def treat_by_prior(
    jobs: Iterable[tuple[Job, str | None, Checkpoints | None]],
    on_made: Callable[[int, tuple[PhotoRecord, bytes] | Exception], None],
    options: Options,
    camera: Callable[[str], Fingerprint],
) -> None:
    """`treat` for many photos by the paper's method, whose tiles share the slots of the devices.

    What comes of a photo is what `treat` gives (`prior.batch` says on which devices to the byte),
    whatever lies beside it.

    Args:
      jobs: Each photo, where it goes, the file of its camera's fingerprint if one is known, and
        where its runs are kept if anywhere; a photo is asked for when there is room for it.
      on_made: Told of every photo as soon as that is known: its number, from 0 in the order of
        `jobs`, and what `treat` gives of it or what went wrong: no photo stops the others.
      options: All else that was asked for; no limit of time, report or check.
      camera: Reads the file of a fingerprint.
    """
    config = _prior_config(options)
    tasks: dict[int, tuple[_Task, float]] = {}
    order: list[int] = []  # numbers of the photos that are inverted
    compiled: list[float] = []  # when
    units, resumed = 0.0, False

    def asked() -> Iterator[whole.Asked]:
        nonlocal resumed
        for number, (job, file, checkpoints) in enumerate(jobs):
            try:
                known = camera(file) if file else None
                task = _task(job.source, job, known, options._replace(fingerprint=file))
                pixels = photo_file.eight_bits(task.photo.pixels)
            except Exception as error:  # noqa: BLE001 - whatever it is, it is this photo's
                on_made(number, error)
                continue
            tasks[number] = task, time.monotonic()
            order.append(number)
            photo = whole.Asked(_key(task), pixels, task.plane)
            if checkpoints:
                photo = photo._replace(restore=checkpoints.restore, save=checkpoints.save)
                resumed |= bool(checkpoints.earlier)
            yield photo

    def on_result(place: int, result: Result | Exception) -> None:
        nonlocal units
        task, started = tasks.pop(order[place])
        made: tuple[PhotoRecord, bytes] | Exception
        try:
            inverted = _inverted(task, result)
            made = _finished(task, inverted, time.monotonic() - started, {})
            units += inverted.settings["steps"] * _area(task, config)
        except Exception as error:  # noqa: BLE001 - likewise
            made = error
        on_made(order[place], made)

    def on_chunk(_: whole.At) -> None:
        if not compiled:
            compiled.append(time.monotonic())

    whole.invert_all(asked(), on_result, config, on_chunk=on_chunk)
    if units and not resumed:  # some steps of a run that goes on were made before
        pace.remember("prior", time.monotonic() - compiled[0], units)


def _task(
    source: Path,
    job: Job,
    camera: Fingerprint | None,
    options: Options,
    own: OwnPhotos | None = None,
) -> _Task:
    """The photo, read, and the plane of its camera's fingerprint."""
    photo = decoder.read(source, srgb=options.icc == "srgb")
    size = photo.pixels.shape[0], photo.pixels.shape[1]
    plane = None if camera is None else plane_for(source, size, camera)
    others = own.known(job.source, photo.pixels) if own is not None and plane is None else None
    if others is not None and others.confirmed:
        plane = others.plane
    return _Task(job, photo, plane, options, others)


def _finished(
    task: _Task, result: Result, spent: float, cameras: dict[str, Fingerprint]
) -> tuple[PhotoRecord, bytes]:
    data = _encoded(task, result.pixels)
    return _record(task, result, data, spent, cameras), data


def plane_for(path: Path, size: tuple[int, int], camera: Fingerprint) -> np.ndarray:
    """The fingerprint of every pixel of a photo; `InputError` if it does not cover them all."""
    corner = placement.corner(camera, size, side=None)
    rows, columns = camera.plane.shape
    if corner == (0, 0) and size == (rows, columns):
        return camera.plane
    if size == (columns, rows):
        advice = "turn the photo back to the sensor's orientation"
    else:
        advice = "build one from photos of that size, or give none"
    raise InputError(
        f"photo {path} of {console.size_text(size)} pixels does not fit the fingerprint, which "
        f"covers {console.size_text(camera.plane.shape)}; {advice}"
    )


def require_format(photo: photo_file.PhotoFile, job: Job, options: Options) -> None:
    """`InputError` if the format asked for cannot hold the photo: known before the work."""
    photo_writer.require_writable(
        photo,
        kind=job.kind,
        kept=options.metadata,
        icc=options.icc != "drop",
        upright=options.orientation == "upright",
    )


# -------------------------------------------------------------------------------------- the methods


def _by_sparse(task: _Task, started: float) -> Result:
    """By the sparse method, behind the camera's and the output's files."""
    photo, options = task.photo, task.options
    size = photo.pixels.shape[0], photo.pixels.shape[1]
    units = pace.work(size, method="sparse", aware=task.plane is not None)
    area = min(size[0], tiles.SIDE) * min(size[1], tiles.SIDE) / tiles.SIDE**2
    ticks: list[float] = []  # when each tile was done; the first one waits for the compiler
    with _bar(task, total=round(units / area), bar_format=_PROGRESS) as bar:

        def on_tile(psnr: float | None) -> None:
            ticks.append(time.monotonic())
            bar.total = max(bar.total, bar.n + 2)  # full only where all is done
            if psnr is not None:
                bar.set_postfix_str(f"PSNR {psnr:.2f} dB", refresh=False)
            bar.update()
            if task.on_progress:
                task.on_progress(len(ticks) / max(units / area, len(ticks) + 1))

        result = sparse.anonymize(
            _key(task),
            photo.pixels,
            task.plane,
            configuration.Sparse(
                strength=options.strength,
                grain=float(options.grain),
                displacement=options.displace,
            ),
            target_psnr=task.target,
            deadline=_deadline(options, started),
            codecs=_codecs(task),
            execution=tiles.Execution(tiles.batches(tiles.PLAIN, console.note), on_tile),
        )
    if ticks:
        pace.remember("sparse", ticks[-1] - ticks[0], (len(ticks) - 1) * area)
    return result


def _by_prior(task: _Task, started: float) -> Result:
    """By the paper's method: a network for every tile of the photo, whose pixels have 8 bits."""
    options = task.options
    pixels = photo_file.eight_bits(task.photo.pixels)
    config = _prior_config(options)
    chunks: list[float] = []  # when each was done; the first entry is when all was compiled
    with contextlib.ExitStack() as stack:
        lines = None
        if sys.stderr.isatty():
            lines = stack.enter_context(progress.Lines(configuration.settled(config).inversion))

        def on_chunk(at: whole.At) -> None:
            chunks.append(time.monotonic())
            if task.on_progress:
                task.on_progress(at.done / at.tiles)
            if lines is not None:
                one = f"tile {at.done + 1} of {at.tiles}" if at.tiles > 1 else "inverting"
                lines.show(at.psnr, one)

        try:
            result: Result | DivergedError = whole.invert(
                _key(task),
                pixels,
                task.plane,
                config,
                deadline=_deadline(options, started),
                on_chunk=on_chunk,
            )
        except DivergedError as error:
            result = error
    made = _inverted(task, result)
    pace.remember("prior", chunks[-1] - chunks[0], made.settings["steps"] * _area(task, config))
    return made


def _inverted(task: _Task, result: Result | Exception) -> Result:
    """What came of an inversion, as readers of the output see it."""
    if isinstance(result, DivergedError):
        raise InputError(
            f"photo {task.job.source} cannot be treated by --method prior, whose network did not "
            "settle; give another --seed, or use --method sparse"
        )
    if isinstance(result, Exception):
        raise result
    behind = _behind_output(task, result.pixels)
    return result._replace(pixels=behind.pixels, psnr=behind.psnr, z=behind.z)


def _area(task: _Task, config: configuration.Config) -> float:
    """Of a tile of the paper's method, in that of a full one."""
    height, width = task.photo.pixels.shape[:2]
    tile = tiling.grid(height, width, config.tile)[0]
    return tile.height * tile.width / tiles.SIDE**2


def _by_other(task: _Task, started: float) -> Result:
    """By a method of `baselines`, on the whole photo at once, whose pixels have 8 bits.

    Where no fingerprint is known, what the method leaves is measured with planted ones, unless it
    moves pixels: then what is left does not lie where it is looked for.
    """
    method = baselines.METHODS[task.options.method]
    pixels = photo_file.eight_bits(task.photo.pixels)
    key = _key(task)

    def anonymized(pixels: np.ndarray) -> np.ndarray:
        return np.asarray(method.anonymize(key, pixels, task.plane if method.aware else None))

    with _bar(task, bar_format="{desc}: {elapsed}"):
        made = anonymized(pixels)
        left: dict[str, float] = {}
        if task.plane is None and not method.moves:
            # Parts of the photo go through its files, with 8 bits and without its opacity.
            plain = task._replace(photo=task.photo._replace(pixels=pixels, alpha=None))
            codecs = _codecs(plain)
            left = leakage.measure(key, anonymized, pixels, kinds=("white",), codecs=codecs).named()
    pace.remember(task.options.method, time.monotonic() - started, _units(task))
    return _behind_output(task, made)._replace(leakage=left)


def _units(task: _Task) -> float:
    size = task.photo.pixels.shape[0], task.photo.pixels.shape[1]
    return pace.work(size, method=task.options.method)


def _behind_output(task: _Task, pixels: np.ndarray) -> Result:
    """What a method made of a photo's 8 bits, as readers of the output see it."""
    if task.photo.pixels.dtype == np.uint16:
        pixels = pixels.astype(np.uint16) * 257
    seen = _decoded(task, _encoded(task, pixels))
    z = {} if task.plane is None else extractors.scores(seen, task.plane)
    return Result(pixels, tiles.psnr(seen, task.photo.pixels), z, {}, {})


OURS = {"sparse": _by_sparse, "prior": _by_prior}


def _prior_config(options: Options) -> configuration.Config:
    """What the paper's method is run with: its defaults, and the PSNR and seed asked for."""
    return configuration.Config(target_psnr=options.target_psnr or 0.0, seed=options.seed)


def _key(task: _Task):
    return image.photo_key(task.options.seed, task.photo.pixels.tobytes())


def _deadline(options: Options, started: float) -> float:
    return started + 60 * options.max_minutes if options.max_minutes else math.inf


def _bar(task: _Task, **options: Any) -> tqdm.tqdm:
    off = not sys.stderr.isatty()
    name = f"{task.place} {task.job.source.name}".strip()
    return tqdm.tqdm(desc=name, leave=False, dynamic_ncols=True, disable=off, **options)


# ----------------------------------------------------------------------------------------- its file


def _encoded(task: _Task, pixels: np.ndarray) -> bytes:
    """The output file with these pixels."""
    options = task.options
    return photo_writer.encode(
        task.photo,
        pixels,
        kind=task.job.kind,
        quality=options.jpeg_quality,
        kept=options.metadata,
        icc=options.icc != "drop",
        upright=task.upright,
    )


def _decoded(task: _Task, data: bytes) -> np.ndarray:
    """The pixels that a reader of the output sees, in sensor orientation."""
    return photo_writer.decode(data, task.photo, upright=task.upright)


def _codecs(task: _Task) -> tiles.Codecs:
    """The camera's JPEG, if the photo came as one, and the output's format."""

    def camera(pixels: np.ndarray) -> np.ndarray:
        return photo_writer.decode(photo_writer.encode(task.photo, pixels), task.photo)

    def output(pixels: np.ndarray) -> np.ndarray:
        return _decoded(task, _encoded(task, pixels))

    return tiles.Codecs(None if task.photo.jpeg is None else camera, output)


# ------------------------------------------------------------------------------- what is said of it


def _record(
    task: _Task, result: Result, data: bytes, spent: float, cameras: dict[str, Fingerprint]
) -> PhotoRecord:
    photo, options, plane = task.photo, task.options, task.plane
    others = 0 if plane is None or task.others is None else task.others.photos
    examined = {}
    if options.report or options.check:
        with _bar(task, bar_format="{desc}: looking for the camera"):
            examined = examine.examined(photo.pixels, _decoded(task, data), cameras)
    return PhotoRecord(
        photo=str(task.job.source),
        output=str(task.job.target),
        height=photo.pixels.shape[0],
        width=photo.pixels.shape[1],
        format=photo.format if task.job.kind == "same" else task.job.kind,
        method=options.method,
        mode="blind" if plane is None else "own photos" if others else "aware",
        fingerprint=options.fingerprint,
        others=others,
        psnr=result.psnr,
        settings=result.settings,
        z_before={} if plane is None else extractors.scores(photo.pixels, plane),
        z=result.z,
        leakage=result.leakage,
        visible=result.visible,
        predicted_z=predicted_z(task, result),
        seconds=spent,
        seed=options.seed,
        warnings=(*photo.words, *_warnings(task, result)),
        orientation=photo.orientation,
        sha256=hashlib.sha256(data).hexdigest(),
        examined=examined,
    )


def _warnings(task: _Task, result: Result) -> list[str]:
    """What fell short, as clauses."""
    said = []
    if task.others is not None and not task.others.confirmed:
        said.append(
            f"its noise is not that of the {task.others.photos} other photos of this make, model "
            f"and size (z {task.others.z:.1f}), so that it was treated as if alone"
        )
    if math.isinf(result.psnr):
        said.append("nothing was changed: the output has the same pixels as the photo")
    if result.settings.get("snapshots") == 0:
        said.append(
            f"no snapshot reached {result.settings['threshold']:g} dB, so the best one was written"
        )
    aim = configuration.STRENGTHS[task.options.strength]
    in_place = result.settings.get("psnr_in_place", result.psnr)
    if task.options.method == "sparse" and not task.target and in_place < aim - 1:
        said.append(
            f"the PSNR is below {aim:g} dB, where more of a fingerprint would have remained; "
            f"--target-psnr {aim:g} keeps the photo closer to the original all the same"
        )
    if (z := predicted_z(task, result)) >= photo_record.TRACED:
        why = f"its fingerprint still gives |z| {z:.1f}" if result.z else _why(task, result)
        more = "--strength strong" if task.options.displace else "--displace 2"
        if task.options.method not in OURS:
            more = "--method sparse --displace 2"
        said.append(f"this photo can probably be traced: {why}; {more} leaves less")
    elif found := baselines.found(task.options.method):
        said.append(f"this photo can probably be traced: {found}")
    return said


def _why(task: _Task, result: Result) -> str:
    """A clause on what is left in a blind photo."""
    of_parts, of_whole = expected_z(_count(task), result)
    if not of_whole > of_parts:
        return (
            f"{100 * cells.worst(result.leakage):+.0f} % of a planted fingerprint remain in a band "
            f"or texture, so that a z of about {of_parts:.1f} is to be expected"
        )
    return (
        f"it shows fingerprints so well that {100 * unsure(result):.0f} % of one, by which the "
        f"{round(100 * result.leakage[cells.WHOLE]):+d} % measured may be off, are a z of about "
        f"{of_whole:.1f}"
    )


def predicted_z(task: _Task, result: Result) -> float:
    """The largest |z| to expect of the photo's camera; nan where nothing was measured.

    Where K is known, that of `result.z`.
    """
    if found := [abs(z) for z in result.z.values() if not math.isnan(z)]:
        return max(found)
    expected = expected_z(_count(task), result)
    return max((z for z in expected if not math.isnan(z)), default=math.nan)


def unsure(result: Result) -> float:
    """`UNSURE`, of which only a part lies in place where pixels were moved."""
    frequencies = np.arange(1, cells.BANDS + 1) / 16
    kept = displacement.share(result.settings.get("displacement", 0.0), frequencies)
    return UNSURE * float(np.mean(kept))


def _count(task: _Task) -> int:
    return task.photo.pixels[..., 0].size


def expected_z(pixels: int, result: Result) -> tuple[float, float]:
    """The largest |z| by what is left in a band or texture, and by what may be left of all.

    Each leakage times the z of `CAMERA_Z` in its share of the photo: a band has a seventh of the
    frequencies, a texture a quarter of the pixels. And that of the whole, with what is unsure about
    it, times what a camera may have in this very photo: in a plain one, more than `CAMERA_Z`.

    Args:
      pixels: How many the photo has.
      result: Of a method that knew no fingerprint; nan comes of what it did not measure.
    """
    whole = CAMERA_Z * math.sqrt(pixels / CAMERA_PIXELS)
    of_parts = []
    for name, share in result.leakage.items():
        if name not in (cells.LOWEST, cells.WHOLE):
            count = cells.BANDS if "cycles" in name else cells.CLASSES
            of_parts.append(whole * abs(share) / math.sqrt(count))
    shown = STRENGTH * result.visible.get(cells.WHOLE, math.nan)
    of_whole = shown * (abs(result.leakage.get(cells.WHOLE, math.nan)) + unsure(result))
    known = [z for z in of_parts if not math.isnan(z)]
    return max(known, default=math.nan), of_whole
