"""Photos anonymised one after the other, with results, checkpoints and records that survive a kill.

A finished photo is never done again and an interrupted one goes on from its last checkpoint. The
folder is laid out as docs/formats.md says. Progress goes to stderr.
"""

import dataclasses
import math
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import tqdm

from dippas_jax import config as configuration
from dippas_jax.experiments import overrides, report
from dippas_jax.io import checkpoint, files
from dippas_jax.prior import anonymize as prior
from dippas_jax.prior import progress as progress_line
from dippas_jax.prior.state import FINGERPRINT_STD
from dippas_jax.signal import image
from dippas_jax.sparse import anonymize as sparse
from dippas_jax.types import FlatPhotoError, InputError, Record, Result, Sample


class FailedError(RuntimeError):
    """Some photos could not be done, each is named with its reason; the others' results stand."""


def photos(
    records: Sequence[Record], config: configuration.Config, folder: Path
) -> Iterator[report.PhotoRecord]:
    """Anonymise every photo that is not finished yet, results into `folder`.

    Yields:
      The photos' records, as in summary.json, each as soon as it stands there.

    Raises:
      FailedError: After all photos, if one has nothing to remove, or its run lost its numbers.
    """
    files.prepare_workdir(folder / "photos")
    done, failed = [], []
    for index, record in enumerate(records):
        path = folder / "photos" / f"{record.id}.json"
        if path.exists():
            say(f"{record.id}: finished before, skipped")
        else:
            say(f"{record.id}: photo {index + 1} of {len(records)}")
            try:
                made = _anonymized(_task(record, configuration.settled(config), folder))
            except (FlatPhotoError, prior.DivergedError) as error:
                failed.append(f"{record.id}: {error}")
                continue
            files.write_json(path, made)
            checkpoint.delete(folder / "checkpoints" / record.id)
        done.append(report.from_json(files.read_json(path)))
        summary = {"config": dataclasses.asdict(config), "photos": done}
        files.write_json(folder / "summary.json", summary)
        yield done[-1]
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
    """

    record: Record
    sample: Sample
    reference: np.ndarray
    config: configuration.Config
    folder: Path


class _Done(NamedTuple):
    """What a method made of a photo.

    Attributes:
      results: All versions, the one to be written first.
      notes: Fields of the photo's record.
      spent: Seconds in earlier runs, before a kill.
    """

    results: list[Result]
    notes: dict[str, Any]
    spent: float = 0.0


def _anonymized(task: _Task) -> report.PhotoRecord:
    """Anonymises one photo and writes its pictures."""
    started = time.monotonic()
    done = (_prior if task.config.method == "prior" else _sparse)(task)
    summary = report.photo(
        task.record,
        task.sample.pixels,
        task.reference,
        done.results,
        task.config,
        reference="residual" if task.sample.fingerprint is None else "camera",
        seconds=time.monotonic() - started + done.spent,
        **done.notes,
    )
    _write(task, done.results, summary)
    return summary


def _task(record: Record, config: configuration.Config, folder: Path) -> _Task:
    """Reads a photo, and finds what to look for; `FlatPhotoError` where nothing is to be done."""
    sample = record.read()
    reference = sample.fingerprint
    if reference is None or config.mode == "blind":
        own = prior.residual_of(sample.pixels, config.sigma)
        reference = own if reference is None else reference
    return _Task(record, sample, reference, config, folder)


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


def _sparse(task: _Task) -> _Done:
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
                task.reference if config.mode == "aware" else None,
                config.sparse,
                target_psnr=target,
                deadline=deadline,
            )
            asked = target or configuration.STRENGTHS[config.sparse.strength]
            if not results and total > 1:
                targets += [made.psnr + 3, made.psnr - 3]
            results.append(made._replace(settings={"target_psnr": asked, **made.settings}))
            bar.update()
    return _Done(results, {})


def _prior(task: _Task) -> _Done:
    """The paper's inversion, from its last checkpoint if there is one."""
    config, name = task.config, task.record.id
    known = task.sample.fingerprint if config.mode == "aware" else None
    key = image.photo_key(config.seed, name)
    problem, injected, planted = prior.stated(key, task.sample.pixels, known, config)
    checkpoints = task.folder / "checkpoints" / name
    progress, spent = prior.start(problem, config), np.zeros(())
    if found := checkpoint.latest(checkpoints, (progress, spent)):
        progress, spent = found[1]
        say(f"{name}: goes on from step {int(progress.steps)}")
    started = time.monotonic() - float(spent)
    deadline = _deadline(config, started)
    saved, pause = time.monotonic(), config.checkpoint_seconds
    with progress_line.Bar(config.inversion, int(progress.steps)) as bar:
        prior.compile_chunk(progress, problem, config)
        bar.show(progress.history.psnr[: int(progress.steps)])
        while not prior.finished(progress, config):
            if progress.steps > 0 and time.monotonic() > deadline:
                break
            progress = prior.advance(progress, problem, task.reference, config)
            bar.show(progress.history.psnr[: int(progress.steps)])
            if time.monotonic() - saved >= pause and not prior.finished(progress, config):
                before = time.monotonic()
                tree = progress, np.asarray(before - started)
                checkpoint.save(checkpoints, int(progress.steps), tree)
                saved = time.monotonic()
                pause = max(config.checkpoint_seconds, 10 * (saved - before) * (pause > 0))
    results = prior.assemble(progress, task.sample.pixels, config, planted, known)
    gamma = float(results[0].settings["gamma"])
    notes = {
        "steps": int(progress.steps),
        "best_psnr": float(progress.best.psnr),
        "fallback": results[0].settings["snapshots"] == 0,
        "out_of_time": not prior.finished(progress, config),
        "gamma": gamma,
        "gamma_in_unit_of_fingerprint": gamma * FINGERPRINT_STD / float(injected.std()),
    }
    return _Done(results, notes, float(spent))


def say(text: str) -> None:
    """A line for a person, on stderr."""
    tqdm.tqdm.write(text, file=sys.stderr)
