"""Photos anonymised, with results, checkpoints and records that survive a kill.

A finished photo is never done again and an interrupted one goes on from its last checkpoint. The
folder is laid out as docs/formats.md says. Progress goes to stderr.
"""

import dataclasses
import itertools
import math
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
import tqdm

from dippas_jax import config as configuration
from dippas_jax.experiments import overrides, report
from dippas_jax.io import checkpoint, files
from dippas_jax.prior import anonymize as prior
from dippas_jax.prior import batch
from dippas_jax.prior import progress as progress_line
from dippas_jax.prior.balance import Planted
from dippas_jax.prior.state import FINGERPRINT_STD
from dippas_jax.signal import image
from dippas_jax.sparse import anonymize as sparse
from dippas_jax.types import FlatPhotoError, InputError, Record, Result, Sample


class FailedError(RuntimeError):
    """Some photos could not be done, each is named with its reason; the others' results stand."""


def recorded(path: Path) -> report.PhotoRecord:
    """What is known of a finished photo; `InputError` if its file is damaged."""
    try:
        return report.from_json(files.read_json(path))
    except InputError:
        raise
    except ValueError as error:
        raise InputError(
            f"record {path} is damaged or of another version of this program ({error}); delete it, "
            "and its photo is done again"
        ) from None


def photos(
    records: Sequence[Record], config: configuration.Config, folder: Path
) -> Iterator[report.PhotoRecord]:
    """Anonymise every photo that is not finished yet, results into `folder`.

    Yields:
      The photos' records, as in summary.json, each as soon as it stands there: first those that
      were finished before, then the others as they are finished.

    Raises:
      FailedError: After all photos, if one has nothing to remove, or its run lost its numbers.
    """
    files.prepare_workdir(folder / "photos")
    places = {record.id: folder / "photos" / f"{record.id}.json" for record in records}
    done, failed, waiting = {}, [], []

    def summarised(name: str) -> report.PhotoRecord:
        done[name] = recorded(places[name])
        in_order = [done[name] for name in places if name in done]
        summary = {"config": dataclasses.asdict(config), "photos": in_order}
        files.write_json(folder / "summary.json", summary)
        return done[name]

    for index, record in enumerate(records):
        if places[record.id].exists():
            say(f"{record.id}: finished before, skipped")
            yield summarised(record.id)
        else:
            waiting.append((f"photo {index + 1} of {len(records)}", record))
    settled = configuration.settled(config)
    method = _inverted if config.method == "prior" else _one_by_one
    for name, made in method(waiting, settled, folder):
        if isinstance(made, Exception):
            failed.append(f"{name}: {made}")
            continue
        files.write_json(places[name], made)
        checkpoint.delete(folder / "checkpoints" / name)
        yield summarised(name)
    if failed:
        raise FailedError("; ".join(failed))


def claim(folder: Path, config: configuration.Config | configuration.Study) -> None:
    """Ties a work folder to its settings: results of different ones never mix."""
    path = folder / "config.json"
    ours = dataclasses.asdict(config)
    if not path.exists():
        files.write_json(path, ours)
        return
    theirs = overrides.from_config_dict(files.read_json(path), type(config))
    if theirs != config:
        raise InputError(
            f"{folder} holds a run with other settings "
            f"({_difference(dataclasses.asdict(theirs), ours)}); "
            "choose another --workdir or give the same settings"
        )


def _difference(theirs: dict[str, Any], ours: dict[str, Any], path: str = "") -> str:
    for name, value in theirs.items():
        if isinstance(value, dict) and (inner := _difference(value, ours[name], f"{path}{name}.")):
            return inner
        if not isinstance(value, dict) and value != ours[name]:
            return f"{path}{name} was {value!r}, now {ours[name]!r}"
    return ""


class _Task(NamedTuple):
    """One photo to be anonymised.

    Attributes:
      record: The photo's.
      sample: Decoded.
      reference: What is looked for: the camera's fingerprint or, where it is not known, the photo's
        residual.
      config: Of the run.
      folder: Of the run.
      started: Time of the monotonic clock.
    """

    record: Record
    sample: Sample
    reference: np.ndarray
    config: configuration.Config
    folder: Path
    started: float

    @property
    def known(self) -> np.ndarray | None:
        """K, where the method gets it."""
        return self.sample.fingerprint if self.config.mode == "aware" else None


Waiting = Sequence[tuple[str, Record]]
"""Photos that are to be done, each with its place among all, for the line that says so."""

Made = Iterator[tuple[str, report.PhotoRecord | Exception]]
"""The id of every photo with its record or, where nothing could be done, the reason."""


def _task(record: Record, config: configuration.Config, folder: Path) -> _Task:
    """Reads a photo, and finds what to look for; `FlatPhotoError` where nothing is to be done."""
    started = time.monotonic()
    sample = record.read()
    reference = sample.fingerprint
    if reference is None or config.mode == "blind":
        own = prior.residual_of(sample.pixels, config.sigma)
        reference = own if reference is None else reference
    return _Task(record, sample, reference, config, folder, started)


def _finished(task: _Task, results: list[Result], spent: float = 0.0, **notes: Any) -> Any:
    """The photo's record; its pictures are written.

    Args:
      task: The photo.
      results: All versions, the one to be written first.
      spent: Seconds in earlier runs, before a kill.
      **notes: Fields of the record.
    """
    summary = report.photo(
        task.record,
        task.sample.pixels,
        task.reference,
        results,
        task.config,
        reference="residual" if task.sample.fingerprint is None else "camera",
        seconds=time.monotonic() - task.started + spent,
        **notes,
    )
    _write(task, results, summary)
    return summary


def _write(task: _Task, results: Sequence[Result], summary: report.PhotoRecord) -> None:
    """The photos, the picture and the history; the record itself is written last, by `photos`."""
    folder, name = task.folder / "photos", task.record.id
    every = results if task.config.assembly.write_all else results[:1]
    for index, result in enumerate(every):
        suffix = report.suffix(result) if index else ""
        files.write_png(folder / f"{name}{suffix}.png", result.pixels)
    written = results[0]
    picture = report.picture(
        task.sample.pixels, written.pixels, written.history, summary, task.config
    )
    files.write_bytes(folder / f"{name}.figure.png", picture)
    if written.history is not None:
        files.write_json(folder / f"{name}.history.json", written.history)


def _deadline(config: configuration.Config, started: float) -> float:
    """Time of the monotonic clock at which the photo's minutes are over."""
    return started + 60 * config.max_minutes if config.max_minutes else math.inf


def _one_by_one(waiting: Waiting, config: configuration.Config, folder: Path) -> Made:
    """The photos by "sparse"."""
    for place, record in waiting:
        say(f"{record.id}: {place}")
        try:
            task = _task(record, config, folder)
            yield record.id, _finished(task, _sparse(task))
        except FlatPhotoError as error:
            yield record.id, error


def _sparse(task: _Task) -> list[Result]:
    """The version asked for and, but for "fast", its neighbours along the trade-off."""
    config = task.config
    key = image.photo_key(config.seed, task.record.id)
    deadline = _deadline(config, time.monotonic())
    results: list[Result] = []
    total = 1 if config.sparse.strength == "fast" else 3
    with tqdm.tqdm(total=total, unit="version", dynamic_ncols=True, desc="sparse") as bar:
        targets = [config.target_psnr]
        for target in targets:  # grows by the neighbours of the first
            if results and time.monotonic() > deadline:
                break
            made = sparse.anonymize(
                key,
                task.sample.pixels,
                task.known,
                config.sparse,
                target_psnr=target,
                deadline=deadline,
            )
            asked = target or configuration.STRENGTHS[config.sparse.strength]
            if not results and total > 1:
                targets += [made.psnr + 3, made.psnr - 3]
            results.append(made._replace(settings={"target_psnr": asked, **made.settings}))
            bar.update()
    return results


class _Run(NamedTuple):
    """A photo at work in a batch.

    Attributes:
      task: The photo.
      planted: What was inverted, where a pattern was planted.
      injected: The plane injected.
      spent: Seconds in earlier runs.
    """

    task: _Task
    planted: Planted | None
    injected: np.ndarray
    spent: float


def _inverted(waiting: Waiting, config: configuration.Config, folder: Path) -> Made:
    """The photos by the paper's inversion, several at a time, from their last checkpoints if any.

    Those that follow one another with one size share a program; a photo of another size begins when
    they are done.
    """
    lost: list[tuple[str, Exception]] = []

    def tasks() -> Iterator[_Task]:
        for place, record in waiting:
            say(f"{record.id}: {place}")
            try:
                yield _task(record, config, folder)
            except FlatPhotoError as error:
                lost.append((record.id, error))

    devices = jax.local_devices()
    slots = batch.slots_on(devices, config.batch, len(waiting))
    for _, group in itertools.groupby(tasks(), lambda task: task.sample.pixels.shape):
        runs: list[_Run] = []
        with progress_line.Lines(config.inversion) as lines:
            watch = _Watch(runs, lines, config)
            jobs = (watch.job(task) for task in group)
            for number, progress in batch.inverted(
                jobs, config, slots=slots, devices=devices, on_chunk=watch.chunk
            ):
                yield runs[number].task.record.id, _outcome(runs[number], progress)
                runs[number] = None  # type: ignore[call-overload]  # its photo is done with
                yield from lost
                lost.clear()
    yield from lost


class _Watch:
    """States each photo's run, shows how all go on, and saves them from time to time."""

    def __init__(self, runs: list[_Run], lines: progress_line.Lines, config: configuration.Config):
        self._runs, self._lines, self._config = runs, lines, config
        self._saved, self._pause = time.monotonic(), config.checkpoint_seconds

    def job(self, task: _Task) -> batch.Job:
        """The next photo's run, from its checkpoint if there is one."""
        config, name = task.config, task.record.id
        key = image.photo_key(config.seed, name)
        problem, injected, planted = prior.stated(key, task.sample.pixels, task.known, config)
        progress, spent = prior.start(problem, config), np.zeros(())
        if found := checkpoint.latest(_checkpoints(task), (progress, spent)):
            progress, spent = found[1]
            say(f"{name}: goes on from step {int(progress.steps)}")
        self._runs.append(_Run(task, planted, injected, float(spent)))
        deadline = _deadline(config, task.started - float(spent))
        return batch.Job(problem, task.reference, progress, deadline)

    def chunk(self, running: batch.Running) -> None:
        """Shows the chunk and, if it is time, saves the runs that are not over."""
        self._lines.show(running.psnr)
        now = time.monotonic()
        if now - self._saved < self._pause:
            return
        for number, psnr in running.psnr.items():
            run, progress = self._runs[number], running.progress(number)
            if len(psnr) and not bool(prior.over(progress, self._config)):
                elapsed = time.monotonic() - run.task.started + run.spent
                tree = progress, np.asarray(elapsed)
                checkpoint.save(_checkpoints(run.task), int(progress.steps), tree)
        self._saved = time.monotonic()
        took = self._saved - now
        self._pause = max(self._config.checkpoint_seconds, 10 * took * (self._pause > 0))


def _checkpoints(task: _Task) -> Path:
    return task.folder / "checkpoints" / task.record.id


def _outcome(run: _Run, progress: prior.Progress) -> report.PhotoRecord | Exception:
    """The record of a photo whose run has ended, or why there is none."""
    task, config = run.task, run.task.config
    try:
        finished = prior.finished(progress, config)
    except prior.DivergedError as error:
        return error
    results = prior.assemble(progress, task.sample.pixels, config, run.planted, task.known)
    gamma = float(results[0].settings["gamma"])
    return _finished(
        task,
        results,
        run.spent,
        steps=int(progress.steps),
        best_psnr=float(progress.best.psnr),
        fallback=results[0].settings["snapshots"] == 0,
        out_of_time=not finished,
        gamma=gamma,
        gamma_in_unit_of_fingerprint=gamma * FINGERPRINT_STD / float(run.injected.std()),
    )


def say(text: str) -> None:
    """A line for a person, on stderr."""
    tqdm.tqdm.write(text, file=sys.stderr)
