"""One photo of `dippas anonymize`: read, anonymised by the method asked for, encoded, described."""

import dataclasses
import hashlib
import math
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path

import numpy as np

from dippas_jax import baselines
from dippas_jax import config as configuration
from dippas_jax.cli import console, examine, identify, methods, pace, photo_record, prediction
from dippas_jax.cli.checkpoints import Checkpoints
from dippas_jax.cli.outputs import Job, Options
from dippas_jax.cli.own_photos import OwnPhotos
from dippas_jax.cli.photo_record import PhotoRecord
from dippas_jax.cli.task import Task
from dippas_jax.io import decoder, files, icc_profile, photo_writer
from dippas_jax.io import photo as photo_file
from dippas_jax.prior import whole
from dippas_jax.signal import cells, extractors, placement
from dippas_jax.types import Fingerprint, InputError, Result

_MISSED = 0.5  # dB from the PSNR asked for, from where that is said


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
    task = _begun(source, job, cameras.get(options.fingerprint or ""), options, own)
    task = task._replace(place=place, on_progress=on_progress)
    started = time.monotonic()
    result = methods.OURS.get(options.method, methods.by_other)(task, started)
    return _finished(task, result, time.monotonic() - started, cameras)


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
    config = methods.prior_config(options)
    tasks: dict[int, tuple[Task, float]] = {}
    order: list[int] = []  # numbers of the photos that are inverted
    compiled: list[float] = []  # when
    units, resumed = 0.0, False

    def asked() -> Iterator[whole.Asked]:
        nonlocal resumed
        for number, (job, file, checkpoints) in enumerate(jobs):
            try:
                known = camera(file) if file else None
                task = _begun(job.source, job, known, options._replace(fingerprint=file))
                pixels = photo_file.eight_bits(task.photo.pixels)
            except Exception as error:  # noqa: BLE001 - whatever it is, it is this photo's
                on_made(number, error)
                continue
            tasks[number] = task, time.monotonic()
            order.append(number)
            photo = whole.Asked(task.key, pixels, task.plane)
            if checkpoints:
                photo = photo._replace(restore=checkpoints.restore, save=checkpoints.save)
                resumed |= bool(checkpoints.earlier)
            yield photo

    def on_result(place: int, result: Result | Exception) -> None:
        nonlocal units
        task, started = tasks.pop(order[place])
        made: tuple[PhotoRecord, bytes] | Exception
        try:
            inverted = methods.inverted(task, result)
            made = _finished(task, inverted, time.monotonic() - started, {})
            units += inverted.settings["steps"] * methods.area(task, config)
        except Exception as error:  # noqa: BLE001 - likewise
            made = error
        on_made(order[place], made)

    def on_chunk(_: whole.At) -> None:
        if not compiled:
            compiled.append(time.monotonic())

    whole.invert_all(asked(), on_result, config, on_chunk=on_chunk)
    if units and not resumed:  # some steps of a run that goes on were made before
        pace.remember("prior", time.monotonic() - compiled[0], units)


def _begun(
    source: Path,
    job: Job,
    camera: Fingerprint | None,
    options: Options,
    own: OwnPhotos | None = None,
) -> Task:
    """The photo, read, and the plane of its camera's fingerprint."""
    photo = decoder.read(source, srgb=options.icc == "srgb")
    require_format(photo, job, options)
    digest = hashlib.sha256(files.read_bytes(source, "photo")).hexdigest()
    size = photo.pixels.shape[0], photo.pixels.shape[1]
    plane = None if camera is None else plane_for(source, size, camera)
    others = own.known(job.source, photo.pixels) if own is not None and plane is None else None
    if others is not None and others.confirmed:
        plane = others.plane
    return Task(job, photo, digest, plane, options, others)


def _finished(
    task: Task, result: Result, spent: float, cameras: dict[str, Fingerprint]
) -> tuple[PhotoRecord, bytes]:
    data = task.encoded(result.pixels)
    if task.plane is not None:
        seen = prediction.elsewhere(task.decoded(data), task.plane)
        result = result._replace(z={**result.z, **seen})
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


# ------------------------------------------------------------------------------- what is said of it


def _record(
    task: Task, result: Result, data: bytes, spent: float, cameras: dict[str, Fingerprint]
) -> PhotoRecord:
    photo, options, plane = task.photo, task.options, task.plane
    others = 0 if plane is None or task.others is None else task.others.photos
    examined, before = {}, {}
    if plane is not None:
        before = extractors.scores(photo.pixels, plane) | prediction.elsewhere(photo.pixels, plane)
    if options.report or options.check:
        with task.bar(bar_format="{desc}: looking for the camera"):
            examined = examine.examined(photo.pixels, task.decoded(data), cameras, plane)
    record = PhotoRecord(
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
        z_before=before,
        z=result.z,
        leakage=result.leakage,
        visible=result.visible,
        predicted_z=prediction.predicted_z(task.pixel_count, result, before),
        seconds=spent,
        seed=options.seed,
        warnings=(*photo.words, *_warnings(task, result, before), *_not_looked_for(task, cameras)),
        orientation=photo.orientation,
        sha256=hashlib.sha256(data).hexdigest(),
        examined=examined,
        photo_sha256=task.sha256,
    )
    if photo_record.unmeasured(record):
        more = (
            f"{photo_record.UNMEASURED}; another fingerprint that is plain in the original, given "
            "by --check and hardly found in the result, would tell more"
        )
        record = dataclasses.replace(record, warnings=(*record.warnings, more))
    return record


def _warnings(task: Task, result: Result, before: Mapping[str, float]) -> list[str]:
    """What fell short, as clauses."""
    said = []
    if task.plane is not None and not prediction.is_found(before):
        turned = before["sigma-3"] <= -prediction.FOUND
        said.append(
            f"the fingerprint is not found in the photo as it came (z {before['sigma-3']:.1f}), "
            + (
                "but with its sign turned, as some programs write it; turn it, since so it hides "
                "nothing"
                if turned
                else "so that it may be another camera's or lie another way round, and hides "
                "nothing then"
            )
        )
    if task.plane is not None and prediction.is_impossible(task.pixel_count, result, before):
        said.append(
            f"the fingerprint shows in the photo as it came (z {before['sigma-3']:.1f}) as no "
            "camera's should; it may hold this photo's own noise, and tells nothing of what is "
            "left then"
        )
    said += _of_profile(task.photo, task.options)
    said += photo_writer.reduced(task.photo, task.job.kind)
    said += photo_writer.not_kept(
        task.photo,
        kind=task.job.kind,
        kept=task.options.metadata,
        icc=task.options.icc != "drop",
    )
    if task.others is not None and not task.others.confirmed:
        said.append(
            f"its noise is not that of the {task.others.photos} other photos of this make, model "
            f"and size ({task.others.reason}), so that it was treated as if alone"
        )
    if math.isinf(result.psnr):
        said.append("nothing was changed: the output has the same pixels as the photo")
    if result.settings.get("snapshots") == 0:
        said.append(
            f"no snapshot reached {result.settings['threshold']:g} dB, so the best one was written"
        )
    aim = configuration.STRENGTHS[task.options.strength]
    in_place = result.settings.get("psnr_in_place", result.psnr)
    if task.target and _MISSED < abs(in_place - task.target) < math.inf:
        said.append(f"its PSNR is {in_place:.1f} dB, as near to {task.target:g} as it came")
    if task.options.method == "sparse" and not task.target and in_place < aim - 1:
        said.append(
            f"the PSNR is below {aim:g} dB, where more of a fingerprint would have remained; "
            f"--target-psnr {aim:g} keeps the photo closer to the original all the same"
        )
    place = prediction.z_of_a_place(task.pixel_count, result.settings, result.visible)
    if (z := prediction.predicted_z(task.pixel_count, result, before)) >= photo_record.TRACED:
        known = prediction.known_z(result) >= z
        why = f"its fingerprint still gives |z| {z:.1f}" if known else _why(task, result, before)
        said.append(f"this photo can probably be traced: {why}{_more(task.options)}")
    elif math.isfinite(place) and prediction.is_found_by_search(task.pixel_count, place):
        said.append(
            "this photo can probably be traced: who searches place by place finds what was left "
            f"before its pixels were moved (z of about {place:.1f} in each)"
        )
    elif found := baselines.found(task.options.method):
        said.append(f"this photo can probably be traced: {found}")
    return said


def _of_profile(photo: photo_file.PhotoFile, options: Options) -> list[str]:
    """A clause on a colour profile that is written and is no common one."""
    written = photo.icc and options.icc != "drop" and icc_profile.rebuilt(photo.icc)
    if not photo.telling or not written:
        return []
    stays = options.icc == "srgb" or photo.pixels.dtype != np.uint8  # 16 bits are not converted
    advice = "--icc drop leaves it out" if stays else "--icc srgb converts them"
    return [
        f"the colour profile {photo.telling!r} is not a common one, so that its colours may tell a "
        f"device; {advice}"
    ]


def _more(options: Options) -> str:
    """A clause on what leaves less, if something does."""
    if options.method != "sparse":
        return "; --method sparse --displace 2 leaves less"
    if not options.displace:
        return "; --displace 2 leaves less"
    return "" if options.strength == "strong" else "; --strength strong leaves less"


def _not_looked_for(task: Task, cameras: dict[str, Fingerprint]) -> list[str]:
    """Clauses on fingerprints that cannot be of this photo's pixels."""
    size = task.photo.pixels.shape[0], task.photo.pixels.shape[1]
    return [
        f"fingerprint {name} ({identify.part_text(camera)}) does not fit this photo and was not "
        "looked for"
        for name, camera in cameras.items()
        if placement.corner(camera, size, side=None) is None
    ]


def _why(task: Task, result: Result, before: Mapping[str, float]) -> str:
    """A clause on what is left of what no known fingerprint tells."""
    pixels = task.pixel_count
    share = prediction.unknown(pixels, result, before)
    of_parts, of_whole = prediction.expected_z(pixels, result, share)
    told = prediction.part_known(pixels, result, before)
    of_parts, of_whole = of_parts + told, of_whole + told
    also = f" and of the known one z {told:.1f}" if told else ""
    if not of_whole > of_parts:
        name = prediction.worst(result)
        return (
            f"{100 * result.leakage[name]:+.0f} % of a planted fingerprint{also} remain in "
            f"{name}, so that a z of about {of_parts:.1f} is to be expected"
        )
    unsure = 100 * prediction.unsure(result)
    return (
        f"it shows fingerprints so well that {unsure:.0f} % of one, by which the "
        f"{round(100 * result.leakage[cells.WHOLE]):+d} % measured may be off,{also} are a z of "
        f"about {of_whole:.1f}"
    )
