"""`dippas anonymize`: photos of any kind and size in, the same photos without a camera's noise out.

An original is never written to. Every output appears whole as soon as it is done, and one that
exists is skipped, so an interrupted batch goes on when the same command is given again.
"""

from collections.abc import Sequence
from pathlib import Path

import jax

from dippas_jax import config as configuration
from dippas_jax.cli import console, examine, outputs, pace, photo_record, treatment
from dippas_jax.cli.outputs import Job, Options
from dippas_jax.cli.own_photos import OwnPhotos
from dippas_jax.cli.photo_record import PhotoRecord
from dippas_jax.io import files, photo
from dippas_jax.prior import whole
from dippas_jax.signal import tiles
from dippas_jax.types import Fingerprint, InputError

CAUTION = (
    "Photos of phones, and of cameras that nobody tested, may still be traced: "
    "docs/photos.md has the figures"
)
"""The last line of a run that wrote something."""

_GUESS = " (a guess; no photo has been timed here yet)"
_BASE_MEMORY = 600  # MiB of the program and the compiler
_PER_PIXEL = 60  # bytes, of the photo
_PER_PIXEL_OF_TILE = {"sparse": 0, "prior": 6000}  # bytes, of one tile


def anonymize(
    photos: Sequence[str], options: Options, *, dry_run: bool = False, json: bool = False
) -> int:
    """Anonymises photos one after the other; see `Options`.

    Args:
      photos: Files, folders and patterns.
      options: All that changes what is written.
      dry_run: Only say what would be done, how long it takes and how much memory.
      json: JSON, one object a photo.

    Raises:
      InputError: Before anything is written: what was given cannot be used as a whole.
    """
    outputs.require_possible(options)
    choose_device(options.device)
    jobs = outputs.jobs(photos, options)
    fingerprints = [file for file in (options.fingerprint, *options.check) if file]
    cameras = console.cameras(list(dict.fromkeys(fingerprints)))
    page_file = examine.page_files(options)
    known = examine.known_records(page_file, options)
    failed = console.Failures()
    waiting = _waiting(jobs, cameras, options, failed)
    if waiting and dry_run:
        _plan(waiting, options, json=json)
    elif waiting:
        written = [job.target for job in waiting] + ([page_file[0]] if page_file else [])
        for folder in dict.fromkeys(path.parent for path in written):
            files.prepare_workdir(folder)
        _announce(waiting, options)
        traced = _run(list(waiting), cameras, options, failed, known, page_file, jobs, json=json)
        if traced and not failed.paths:
            return console.TRACED
    elif page_file and known and not dry_run:
        examine.write(page_file, known, jobs, failed, options)
    return console.exit_code(len(jobs) - len(failed.paths), failed, found=False)


Sizes = dict[Job, tuple[int, int]]


def _waiting(
    jobs: Sequence[Job],
    cameras: dict[str, Fingerprint],
    options: Options,
    failed: console.Failures,
) -> Sizes:
    """The photos to be done, with their sizes: usable ones whose output does not exist."""

    def usable_size(path: Path) -> tuple[int, int]:
        size = photo.size(path)
        if (camera := cameras.get(options.fingerprint or "")) is not None:
            treatment.plane_for(path, size, camera)
        return size

    waiting: Sizes = {}
    for job in jobs:
        if not options.overwrite and job.target.exists():
            console.note(f"{job.source}: {job.target} exists, skipped; --overwrite replaces it")
        elif size := failed.catch(usable_size, job.source):
            waiting[job] = size
    return waiting


def _run(
    waiting: Sequence[Job],
    cameras: dict[str, Fingerprint],
    options: Options,
    failed: console.Failures,
    known: Sequence[PhotoRecord],
    page_file: tuple[Path, Path] | None,
    jobs: Sequence[Job],
    *,
    json: bool,
) -> bool:
    """Anonymises, writes and reports photo after photo; whether one can probably be traced."""
    records = [record for record in known if Path(record.output).exists()]
    own = None if options.fingerprint or options.blind else OwnPhotos([job.source for job in jobs])
    done = traced = False

    def one(source: Path, job: Job, place: str) -> PhotoRecord:
        record, data = treatment.treat(source, job, cameras, options, own, place)
        files.write_bytes(job.target, data)
        return record

    for number, job in enumerate(waiting, 1):
        place = f"{number} of {len(waiting)}:" if len(waiting) > 1 else ""
        record = failed.catch(one, job.source, job, place)
        if record is None:
            continue
        done = True
        traced |= photo_record.traced(record)
        records = [other for other in records if other.output != record.output] + [record]
        print(files.json_text(record) if json else photo_record.text(record), flush=True)
        if page_file:
            examine.write(page_file, records, jobs, failed, options)
    if done and page_file:
        console.note(f"{page_file[0]} shows parts of the originals; keep it to yourself")
    if done:
        console.note(CAUTION)
    return traced


def choose_device(device: str) -> None:
    """Work on "cpu" or "gpu", or with "auto" on what JAX chooses; `InputError` if there is none."""
    if device == "auto":
        return
    jax.config.update("jax_platforms", "cpu" if device == "cpu" else "cuda,rocm")
    try:
        jax.devices()
    except RuntimeError:
        raise InputError(
            "--device gpu was given, but JAX finds none; install .[cuda12] or .[cuda13]"
        ) from None


# --------------------------------------------------------------------------------- before it starts


def _estimates(waiting: Sizes, options: Options) -> dict[Job, tuple[float, bool]]:
    """How long every photo will take, and whether that rests on a measurement."""
    attacked = bool(options.check) or bool(options.report and options.fingerprint)
    estimates: dict[Job, tuple[float, bool]] = {}
    for job, size in waiting.items():
        units = pace.work(size, method=options.method)
        seconds, measured = pace.seconds(units, options.method, attacked=attacked)
        if options.max_minutes:
            seconds = min(seconds, 60 * options.max_minutes)
        estimates[job] = seconds if estimates else seconds + pace.START, measured
    return estimates


def _announce(waiting: Sizes, options: Options) -> None:
    """How many photos, how long and where, on stderr."""
    estimates = _estimates(waiting, options).values()
    time = _time_text(sum(seconds for seconds, _ in estimates))
    guess = "" if all(measured for _, measured in estimates) else _GUESS
    count = console.counted(len(waiting), "photo")
    console.note(f"{count}, about {time} on the {jax.default_backend()}{guess}")


def _plan(waiting: Sizes, options: Options, *, json: bool) -> None:
    """What would be done with every photo, on stdout."""
    for job, (seconds, measured) in _estimates(waiting, options).items():
        height, width = waiting[job]
        every = tiles.grid(height, width)
        if options.method == "prior":
            every = whole.grid(height, width, configuration.Config().tile)
        at_work = every[0].height * every[0].width * _PER_PIXEL_OF_TILE[options.method]
        memory = _BASE_MEMORY + (height * width * _PER_PIXEL + at_work) / 2**20
        parts = len(every)
        plan = {
            "photo": str(job.source),
            "output": str(job.target),
            "height": height,
            "width": width,
            "tiles": parts,
            "method": options.method,
            "minutes": seconds / 60,
            "measured": measured,
            "memory_mib": round(memory),
            "device": jax.default_backend(),
        }
        text = (
            f"{job.source} -> {job.target}  {height}x{width}, "
            f"{console.counted(parts, 'tile')}, {memory / 1024:.1f} GiB, about "
            f"{_time_text(seconds)} on the {plan['device']}{'' if measured else _GUESS}"
        )
        print(files.json_text(plan) if json else text, flush=True)


def _time_text(seconds: float) -> str:
    if seconds >= 60:
        return f"{seconds / 60:.1f} minutes"
    return console.counted(max(round(seconds), 1), "second")
