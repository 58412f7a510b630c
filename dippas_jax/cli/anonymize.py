"""`dippas anonymize`: photos of any kind and size in, the same photos without a camera's noise out.

An original is never written to. Every output appears whole as soon as it is done, and one that
exists is skipped, so an interrupted batch goes on when the same command is given again. It is not
judged again: where no report holds its verdict, the exit code is that of one that can be traced.
"""

import contextlib
import dataclasses
import hashlib
import math
import os
import stat
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax

from dippas_jax import baselines
from dippas_jax import config as configuration
from dippas_jax.cli import (
    checkpoints,
    console,
    examine,
    outputs,
    pace,
    photo_record,
    report_html,
    treatment,
)
from dippas_jax.cli.outputs import Job, Options
from dippas_jax.cli.own_photos import OwnPhotos
from dippas_jax.cli.photo_record import PhotoRecord
from dippas_jax.io import decoder, files
from dippas_jax.prior import tiling
from dippas_jax.signal import tiles
from dippas_jax.types import Fingerprint, InputError, ShortageError

CAUTION = (
    "Photos of phones, and of cameras that nobody tested, may still be traced: "
    "docs/photos.md has the figures"
)
"""The last line of a run that wrote something."""

_UNKNOWN = " and was not judged again"
_TRACED = " and can probably be traced"
_UNTRACED = ""
"""Clauses on an output that exists: no report tells its verdict, or which one it was."""

_PAUSE = 20.0  # times what it takes to write the page lie between two times that it is
_MOST_PICTURED = 100  # photos whose pictures are in the page, each of up to a megabyte
_GUESS = " (a guess; no photo has been timed here yet)"
_BASE_MEMORY = 600  # MiB of the program and the compiler
_PER_PIXEL = 60  # bytes, of the photo
_PER_PIXEL_OF_TILE = {"sparse": 0, "prior": 6000}  # bytes, of one tile
_PER_PIXEL_OF_SUMS = 110  # bytes, of one's own photos and of what is added to them
_PER_PIXEL_OF_OTHERS = 300  # bytes, a guess; other methods take the photo as a whole


def anonymize(
    photos: Sequence[str],
    options: Options,
    *,
    dry_run: bool = False,
    json: bool = False,
    progress: bool = False,
) -> int:
    """Anonymises photos one after the other; see `Options`.

    Args:
      photos: Files, folders and patterns.
      options: All that changes what is written.
      dry_run: Only say what would be done, how long it takes and how much memory.
      json: JSON, one object a photo.
      progress: Of a photo at work, lines of JSON that say how far it is.

    Raises:
      InputError: Before anything is written: what was given cannot be used as a whole.
    """
    outputs.require_possible(options)
    choose_device(options.device)
    failed = console.Failures(json=json)
    jobs, skipped = outputs.given(photos, options, failed)
    fingerprints = [file for file in (options.fingerprint, *options.check) if file]
    cameras = {file: console.read_fingerprint(file) for file in dict.fromkeys(fingerprints)}
    page_file = examine.page_files(options)
    asked = examine.settings(options) if page_file else {}
    examine.require_apart(page_file, jobs)
    kept = examine.known_records(page_file, options)
    known = _unchanged(kept)
    gone = [record for record in kept if _is_gone(record)]
    there = {} if options.overwrite else _there(jobs, known)
    waiting = _waiting(jobs, there, cameras, options, failed, skipped)
    if not progress:  # whoever listens to that knows the verdicts
        _tell_there(there)
    if json:
        for path, why in skipped.items():
            console.say(console.json_line({"photo": str(path), "skipped": why}))
    own = _own_photos(jobs, options)
    if dry_run:
        _announce(waiting, options, own)
        _plan(waiting, options, own, json=json)
        return console.exit_code(len(jobs) - _failures(jobs, failed), failed, found=False)
    page = (
        None if page_file is None else _Page(page_file, options, asked, jobs, failed, skipped, gone)
    )
    ends = {console.TRACED} if any(said != _UNTRACED for said in there.values()) else set()
    if waiting:
        _announce(waiting, options, own)
        if page_file:
            files.prepare_workdir(page_file[0].parent)
        ends |= _run(
            waiting, cameras, options, failed, known, page, own, json=json, progress=progress
        )
    elif page and jobs:
        page.write(known)
    code = console.exit_code(len(jobs) - _failures(jobs, failed), failed, found=False)
    return min(ends) if code == console.DONE and ends else code


def _there(jobs: Sequence[Job], known: Sequence[PhotoRecord]) -> dict[Job, str]:
    """The photos whose outputs exist, and what is known of these.

    A photo is judged while it is treated, and only a report keeps the verdict.
    """
    records = {record.output: record for record in known}
    there: dict[Job, str] = {}
    for job in jobs:
        if not os.path.exists(job.target):
            continue
        record = records.get(str(job.target))
        there[job] = _UNKNOWN
        if record and _is_of(record, job.source):
            there[job] = _TRACED if photo_record.traced(record) else _UNTRACED
    return there


def _unchanged(known: Sequence[PhotoRecord]) -> list[PhotoRecord]:
    """The records of photos and outputs that are as they were; a verdict is of no others.

    A photo that is out of reach for now may come back.
    """
    return [
        record
        for record in known
        if record.sha256 == _sha256(Path(record.output))
        and _sha256(Path(record.photo)) in (record.photo_sha256, "")
    ]


def _is_gone(record: PhotoRecord) -> bool:
    """Whether an output that was judged is elsewhere now, as one that was published."""
    return not os.path.lexists(record.output)


def _own_photos(jobs: Sequence[Job], options: Options) -> OwnPhotos | None:
    """The photos by camera, where they are to hide each other."""
    alone = options.fingerprint or options.blind or options.method in baselines.METHODS
    return None if alone else OwnPhotos([job.source for job in jobs])


def _is_of(record: PhotoRecord, photo: Path) -> bool:
    """Whether a record that is `_unchanged` is of this photo, and not of another of its name."""
    if record.photo == str(photo):
        return True
    return bool(record.photo_sha256) and _sha256(photo) == record.photo_sha256


def _sha256(path: Path) -> str:
    """Of a file's bytes; "" of one that cannot be read."""
    try:
        return hashlib.sha256(files.read_bytes(path, "photo")).hexdigest()
    except InputError:
        return ""


def _tell_there(there: dict[Job, str]) -> None:
    """On stderr, what an exit code of 4 is for where nothing was done."""
    unknown, traced = (list(there.values()).count(said) for said in (_UNKNOWN, _TRACED))
    if unknown:
        were = "was" if unknown == 1 else "were"
        console.note(
            f"{console.counted(unknown, 'photo')} {were} there already and {were} not judged "
            "again; --overwrite treats and judges them anew, and --report keeps verdicts"
        )
    if traced:
        were = "was" if traced == 1 else "were"
        console.note(
            f"{console.counted(traced, 'photo')} that {were} there already can probably be traced, "
            "by the report"
        )


def _failures(jobs: Sequence[Job], failed: console.Failures) -> int:
    return sum(job.source in failed.reasons for job in jobs)


Sizes = dict[Job, tuple[int, int]]


@dataclasses.dataclass
class _Page:
    """The page of a command, and its JSON, which knows every photo as soon as it is done.

    The page holds the pictures of the first photos, and is written again now and then.
    """

    paths: tuple[Path, Path]
    options: Options
    asked: Mapping[str, Any]  # `examine.settings`
    jobs: Sequence[Job]
    failed: console.Failures
    skipped: dict[Path, str]
    gone: Sequence[PhotoRecord]  # of earlier commands, whose outputs are elsewhere now
    pictures: dict[str, list[report_html.Panel]] = dataclasses.field(default_factory=dict)
    written: float = -math.inf  # when the page was, by the monotonic clock
    took: float = 0.0  # seconds

    def write(self, records: Sequence[PhotoRecord], *, last: bool = False) -> None:
        """With the photos that are done; a page that cannot be written has failed, no more."""
        whole = last or time.monotonic() - self.written > _PAUSE * self.took
        self.failed.catch(self._write, self.paths[0], records, whole)

    def _write(self, _path: Path, records: Sequence[PhotoRecord], whole: bool) -> None:
        begun = time.monotonic()
        failed = self.failed.rows()
        skipped = [{"photo": str(path), "reason": why} for path, why in self.skipped.items()]
        for record in records:
            if record.output not in self.pictures and len(self.pictures) < _MOST_PICTURED:
                self.pictures[record.output] = examine.pictures(record, self.options)
        done = {record.output for record in records}
        records = [*(record for record in self.gone if record.output not in done), *records]
        parts = self.pictures if whole else None
        examine.write(self.paths, records, self.jobs, failed, skipped, parts, self.asked)
        if whole:
            self.written = time.monotonic()
            self.took = self.written - begun


def _waiting(
    jobs: Sequence[Job],
    there: dict[Job, str],
    cameras: dict[str, Fingerprint],
    options: Options,
    failed: console.Failures,
    skipped: dict[Path, str],
) -> Sizes:
    """The photos to be done, with their sizes: usable ones whose output does not exist.

    Each is decoded to the end, so that what is announced, by a dry run as well, is what will be
    done.
    """

    def usable_size(path: Path, job: Job) -> tuple[int, int]:
        with _faults_told(path):
            found = decoder.read(path, srgb=options.icc == "srgb")
            size = found.pixels.shape[0], found.pixels.shape[1]
            if (camera := cameras.get(options.fingerprint or "")) is not None:
                treatment.plane_for(path, size, camera)
            treatment.require_format(found, job, options)
            return size

    waiting: Sizes = {}
    for job in console.bar(jobs, "photo looked at"):
        if job in there:
            skipped[job.source] = f"{job.target} exists{there[job]}"
            console.note(f"{job.source}: {job.target} exists, skipped; --overwrite replaces it")
        elif size := failed.catch(usable_size, job.source, job):
            waiting[job] = size
    return waiting


def _run(
    waiting: Sizes,
    cameras: dict[str, Fingerprint],
    options: Options,
    failed: console.Failures,
    known: Sequence[PhotoRecord],
    page: _Page | None,
    own: OwnPhotos | None,
    *,
    json: bool,
    progress: bool,
) -> set[int]:
    """Anonymises, writes and reports photo after photo; exit codes of what fell short."""
    records = list(known)
    ends: set[int] = set()
    done = False

    def one(source: Path, job: Job, place: str) -> PhotoRecord:
        files.prepare_workdir(job.target.parent)
        tell = _progress(source) if progress else None
        mode = _mode(source)
        with _faults_told(source):
            try:
                record, data = treatment.treat(source, job, cameras, options, own, place, tell)
            except ShortageError:
                raise  # another try goes on from them
            except InputError:
                checkpoints.forget(job.target)
                raise
        files.write_bytes(job.target, data, mode=mode)
        checkpoints.forget(job.target)
        return record

    left = [seconds for seconds, _ in _estimates(waiting, options, own).values()]
    try:
        for number, job in enumerate(waiting, 1):
            rest = f"the rest in about {_time_text(sum(left[number - 1 :]))}:"
            place = f"{number} of {len(waiting)}, {rest}" if len(waiting) > 1 else ""
            record = failed.catch(one, job.source, job, place)
            if record is None:
                continue
            done = True
            if photo_record.traced(record):
                ends.add(console.TRACED)
            records = [other for other in records if other.output != record.output] + [record]
            line = (
                console.json_line(photo_record.line(record)) if json else photo_record.text(record)
            )
            if not console.say(line):
                ends.add(console.FAILED)
            if page:
                page.write(records)
    except KeyboardInterrupt:
        if any(checkpoints.left(job.target) for job in waiting):
            console.note(
                "what was done of a photo is kept beside its output, in a hidden folder that shows "
                "the original; the same command goes on from it, and removes it"
            )
        raise
    finally:
        if page:
            page.write(records, last=True)
    if done and page and page.paths[0] not in failed.reasons:
        console.note(f"{page.paths[0]} shows parts of the originals; keep it to yourself")
    if done:
        console.note(CAUTION)
    return ends


@contextlib.contextmanager
def _faults_told(path: Path) -> Iterator[None]:
    """Whatever goes wrong with a photo is an `InputError`, so that it stops no other."""
    try:
        yield
    except InputError:
        raise
    except Exception as error:
        what = f"{type(error).__name__}: {error}".partition("\n")[0]
        raise InputError(
            f"photo {path} could not be treated ({what}); free memory, or report this fault"
        ) from error


def _mode(path: Path) -> int:
    """What an output may permit: as much as its original, and to its owner what it takes."""
    try:
        return 0o600 | stat.S_IMODE(os.stat(path).st_mode)
    except OSError:
        return 0o600


def _progress(source: Path) -> Callable[[float], None]:
    """Prints how far a photo is, twice a second at most."""
    told = [0.0]

    def tell(share: float) -> None:
        if time.monotonic() - told[0] >= 0.5:
            told[0] = time.monotonic()
            console.say(console.json_line({"photo": str(source), "progress": round(share, 3)}))

    return tell


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


def _estimates(
    waiting: Sizes, options: Options, own: OwnPhotos | None
) -> dict[Job, tuple[float, bool]]:
    """How long every photo will take, and whether that rests on a measurement."""
    attacked = bool(options.check) or bool(options.report and options.fingerprint)
    estimates: dict[Job, tuple[float, bool]] = {}
    others = own.photos if own else {}
    known = [bool(options.fingerprint) or job.source in others for job in waiting]
    waits = pace.waits(list(waiting.values()), options.method, aware=any(known))
    summed: list[Sequence[Path]] = []  # the cameras whose photos are summed
    for (job, size), wait, aware in zip(waiting.items(), waits, known, strict=True):
        units = pace.work(size, method=options.method, aware=aware)
        seconds, measured = pace.seconds(units, options.method)
        seconds += wait
        camera = others.get(job.source)
        if camera and not any(camera is one for one in summed):
            summed.append(camera)
            seconds += pace.SUMMED * size[0] * size[1] * len(camera)
        if options.max_minutes and options.method == "prior":
            seconds = min(seconds, 60 * options.max_minutes)
        if attacked:
            seconds += pace.examining(size, aware=aware)
        estimates[job] = seconds if estimates else seconds + pace.START, measured
    return estimates


def _announce(waiting: Sizes, options: Options, own: OwnPhotos | None) -> None:
    """How many photos, how long and where, on stderr."""
    if not waiting:
        return
    estimates = _estimates(waiting, options, own).values()
    time = _time_text(sum(seconds for seconds, _ in estimates))
    guess = "" if all(measured for _, measured in estimates) else _GUESS
    count = console.counted(len(waiting), "photo")
    console.note(f"{count}, about {time} on the {jax.default_backend()}{guess}")


def _plan(waiting: Sizes, options: Options, own: OwnPhotos | None, *, json: bool) -> None:
    """What would be done with every photo, on stdout."""
    for job, (seconds, measured) in _estimates(waiting, options, own).items():
        height, width = waiting[job]
        every = tiles.grid(height, width)
        if options.method == "prior":
            every = tiling.grid(height, width, configuration.Config().tile)
        if options.method in baselines.METHODS:
            parts, at_work = 1, height * width * _PER_PIXEL_OF_OTHERS
        else:
            parts = len(every)
            at_work = every[0].height * every[0].width * _PER_PIXEL_OF_TILE[options.method]
        if own and job.source in own.photos:
            at_work += height * width * _PER_PIXEL_OF_SUMS
        memory = _BASE_MEMORY + (height * width * _PER_PIXEL + at_work) / 2**20
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
            f"{console.shown(job.source)} -> {console.shown(job.target)}  "
            f"{console.size_text((height, width))}, "
            f"{console.counted(parts, 'tile')}, {memory / 1024:.1f} GiB, about "
            f"{_time_text(seconds)} on the {plan['device']}{'' if measured else _GUESS}"
        )
        print(console.json_line(plan) if json else text, flush=True)


def _time_text(seconds: float) -> str:
    if seconds >= 60:
        return f"{seconds / 60:.1f} minutes"
    return console.counted(max(round(seconds), 1), "second")
