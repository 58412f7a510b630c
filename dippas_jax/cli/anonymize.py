"""`dippas anonymize`: photos of any kind and size in, the same photos without a camera's noise out.

An original is never written to. Every output appears whole as soon as it is done, and one that
exists is skipped, so an interrupted batch goes on when the same command is given again. It is not
judged again: where no report holds its verdict, the exit code is that of one that can be traced.
"""

import contextlib
import dataclasses
import math
import os
import stat
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax

from dippas_jax import baselines
from dippas_jax.cli import (
    checkpoints,
    console,
    earlier,
    examine,
    outputs,
    photo_record,
    plan,
    report_html,
    treatment,
)
from dippas_jax.cli.outputs import Job, Options
from dippas_jax.cli.own_photos import OwnPhotos
from dippas_jax.cli.photo_record import PhotoRecord
from dippas_jax.io import decoder, files
from dippas_jax.types import Fingerprint, InputError, ShortageError

CAUTION = (
    "Photos of phones, and of cameras that nobody tested, may still be traced: "
    "docs/photos.md has the figures"
)
"""The last line of a run that wrote something."""

_PAUSE = 20.0  # times what it takes to write the page lie between two times that it is
_MOST_PICTURED = 100  # photos whose pictures are in the page, each of up to a megabyte


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
    jobs, skipped = outputs.given(photos, options, failed, dry_run=dry_run)
    fingerprints = [file for file in (options.fingerprint, *options.check) if file]
    cameras = {file: console.read_fingerprint(file) for file in dict.fromkeys(fingerprints)}
    page_file = examine.page_files(options)
    asked = examine.settings(options) if page_file else {}
    examine.require_apart(page_file, jobs)
    kept = examine.known_records(page_file, options)
    known = earlier.unchanged(kept)
    gone = [record for record in kept if earlier.is_gone(record)]
    there = {} if options.overwrite else earlier.verdicts(jobs, known)
    waiting = _waiting(jobs, there, cameras, options, failed, skipped)
    if not progress:  # whoever listens to that knows the verdicts
        earlier.tell(there)
    if json:
        for path, why in skipped.items():
            console.say(console.json_line({"photo": str(path), "skipped": why}))
    if own := _own_photos(jobs, options):
        waiting = _by_camera(waiting, own)
    if dry_run:
        plan.announce(waiting, options, own)
        plan.show(waiting, options, own, json=json)
        return console.exit_code(len(jobs) - _failures(jobs, failed), failed, found=False)
    for job in there:
        checkpoints.forget_older(job.target)
        if checkpoints.left(job.target):
            console.note(
                f"{job.target}: a later try was cut off, and a hidden folder beside it still shows "
                "the original; --overwrite goes on from that, and removes it"
            )
    page = (
        None if page_file is None else _Page(page_file, options, asked, jobs, failed, skipped, gone)
    )
    ends = {console.TRACED} if any(said != earlier.UNTRACED for said in there.values()) else set()
    if page_file and jobs:
        files.prepare_workdir(page_file[0].parent.absolute())  # a ~ was expanded, if it was meant
    if waiting:
        plan.announce(waiting, options, own)
        ends |= _run(
            waiting, cameras, options, failed, known, page, own, json=json, progress=progress
        )
    elif page and jobs:
        page.write(known)
    code = console.exit_code(len(jobs) - _failures(jobs, failed), failed, found=False)
    return min(ends) if code == console.DONE and ends else code


def _own_photos(jobs: Sequence[Job], options: Options) -> OwnPhotos | None:
    """The photos by camera, where they are to hide each other."""
    alone = options.fingerprint or options.blind or options.method in baselines.METHODS
    return None if alone else OwnPhotos([job.source for job in jobs])


def _by_camera(waiting: plan.Sizes, own: OwnPhotos) -> plan.Sizes:
    """The photos of a camera one after the other, so that its sums are made once."""
    groups: dict[Path, plan.Sizes] = {}
    for job, size in waiting.items():
        first = own.photos.get(job.source, [job.source])[0]
        groups.setdefault(first, {})[job] = size
    return {job: size for group in groups.values() for job, size in group.items()}


def _failures(jobs: Sequence[Job], failed: console.Failures) -> int:
    return sum(job.source in failed.reasons for job in jobs)


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
) -> plan.Sizes:
    """The photos to be done, with their sizes: usable ones whose output does not exist.

    Each is decoded to the end, so that what is announced, by a dry run as well, is what will be
    done.
    """

    def usable_size(path: Path, job: Job) -> tuple[int, int]:
        found = decoder.read(path, srgb=options.icc == "srgb")
        size = found.pixels.shape[0], found.pixels.shape[1]
        if (camera := cameras.get(options.fingerprint or "")) is not None:
            treatment.plane_for(path, size, camera)
        treatment.require_format(found, job, options)
        return size

    waiting: plan.Sizes = {}
    for job in console.bar(jobs, "photo looked at"):
        if job in there:
            skipped[job.source] = f"{job.target} exists{there[job]}"
            console.note(f"{job.source}: {job.target} exists, skipped; --overwrite replaces it")
        elif size := failed.catch(usable_size, job.source, job):
            waiting[job] = size
    return waiting


def _run(
    waiting: plan.Sizes,
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
        files.prepare_workdir(job.target.parent.absolute())
        tell = _progress(source) if progress else None
        mode = _mode(source)
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

    left = [seconds for seconds, _ in plan.estimates(waiting, options, own).values()]
    try:
        for number, job in enumerate(waiting, 1):
            rest = f"the rest in about {plan.time_text(sum(left[number - 1 :]))}:"
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
    finally:
        if any(checkpoints.left(job.target) for job in waiting):
            console.note(
                "what was done of a photo is kept beside its output, in a hidden folder that shows "
                "the original; the same command goes on from it, and removes it"
            )
        if page:
            page.write(records, last=True)
    if done and page and page.paths[0] not in failed.reasons:
        console.note(f"{page.paths[0]} shows parts of the originals; keep it to yourself")
    if done:
        console.note(CAUTION)
    return ends


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
    for platform in ("cpu",) if device == "cpu" else ("cuda", "rocm"):
        jax.config.update("jax_platforms", platform)  # of several, JAX wants all
        with contextlib.suppress(RuntimeError):
            jax.devices()
            return
    raise InputError("--device gpu was given, but JAX finds none; install .[cuda12] or .[cuda13]")
