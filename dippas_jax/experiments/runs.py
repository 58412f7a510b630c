"""Inversions of photos, one after the other, that survive a kill: results, checkpoints, records.

A finished photo is never done again and an interrupted one goes on from its last checkpoint. The
folder is laid out as docs/formats.md says. Progress goes to stderr.
"""

import dataclasses
import hashlib
import math
import sys
import time
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
import tqdm

from dippas_jax import config as configuration
from dippas_jax.experiments import overrides, report
from dippas_jax.io import checkpoint, files
from dippas_jax.prior import anonymize, inversion
from dippas_jax.signal import residual
from dippas_jax.sparse import anonymize as engine
from dippas_jax.types import InputError, Record, Sample


class FlatError(InputError):
    """A photo without noise, which has nothing that could be removed."""


class FailedError(RuntimeError):
    """Some photos could not be done, each is named with its reason; the others' results stand."""


def photos(
    records: Sequence[Record], config: configuration.Config, folder: Path
) -> Iterator[dict[str, Any]]:
    """Invert every photo that is not finished yet, results into `folder`.

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
                files.write_json(path, _photo(record, config, folder))
            except (FlatError, anonymize.DivergedError) as error:
                failed.append(f"{record.id}: {error}")
                continue
            checkpoint.delete(folder / "checkpoints" / record.id)
        done.append(files.read_json(path))
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


def _photo(record: Record, config: configuration.Config, folder: Path) -> dict[str, Any]:
    """Anonymises one photo and writes its pictures."""
    config = configuration.settled(config)
    sample = record.read()
    known = sample.fingerprint is not None
    residuals = None if known and config.mode == "aware" else _residual(record, sample, config)
    reference = sample.fingerprint if known else residuals
    assert reference is not None
    started = time.monotonic()
    method = _prior if config.method == "prior" else _sparse
    done = method(record, sample, reference, residuals, config, folder)
    summary = report.photo(
        record.id, record.device, sample.pixels, reference, done.versions, config.sigma
    )
    summary |= done.notes
    summary["mode"], summary["method"] = config.mode, config.method
    summary["reference"] = "camera" if known else "residual"
    summary["seconds"] = time.monotonic() - started + done.spent
    for index, version in enumerate(
        done.versions if config.assembly.write_all else done.versions[:1]
    ):
        name = record.id + (version.suffix if index else "")
        files.write_png(folder / "photos" / f"{name}.png", version.pixels)
    written = done.versions[0].pixels
    summary["sha256"] = hashlib.sha256(written.tobytes()).hexdigest()
    picture = report.picture(sample.pixels, written, done.history, summary, config)
    files.write_bytes(folder / "photos" / f"{record.id}.figure.png", picture)
    if done.history is not None:
        history = {k: v[: summary["steps"]] for k, v in done.history._asdict().items()}
        files.write_json(folder / "photos" / f"{record.id}.history.json", history)
    return summary


class _Done(NamedTuple):
    """What a method made of a photo.

    Attributes:
      versions: The photo to be written first.
      notes: What else the photo's record says.
      history: Of the steps, if there were any.
      spent: Seconds in earlier runs, before a kill.
    """

    versions: list[report.Version]
    notes: dict[str, Any]
    history: anonymize.History | None = None
    spent: float = 0.0


def _until(config: configuration.Config, started: float) -> float:
    """Time of the monotonic clock at which the photo's minutes are over."""
    return started + 60 * config.max_minutes if config.max_minutes else math.inf


def _key(record: Record, config: configuration.Config) -> jax.Array:
    """The photo's own randomness."""
    return jax.random.fold_in(jax.random.key(config.seed), zlib.crc32(record.id.encode()))


def _residual(record: Record, sample: Sample, config: configuration.Config) -> np.ndarray:
    plane = np.asarray(jax.jit(residual.residual)(sample.pixels, sigma=config.sigma))
    if not plane.std() > 0:
        raise FlatError(
            f"photo {record.id} has no noise residual to work on (it is flat); leave it out"
        )
    return plane


def _sparse(
    record: Record,
    sample: Sample,
    reference: np.ndarray,
    residuals: np.ndarray | None,
    config: configuration.Config,
    folder: Path,
) -> _Done:
    """The engine: the version asked for, and its neighbours along the trade-off."""
    key, aware = _key(record, config), config.mode == "aware"
    until = _until(config, time.monotonic())
    asked = config.target_psnr
    aims = [asked or configuration.STRENGTHS[config.strength]]
    most_left = math.inf if asked else engine.MOST_LEFT[config.mode]
    versions: list[report.Version] = []
    total = 1 if config.strength == "fast" else 3
    with tqdm.tqdm(total=total, unit="version", dynamic_ncols=True, desc="engine") as bar:
        for aim in aims:  # grows by the neighbours of the first
            if versions and time.monotonic() > until:
                break
            made = engine.anonymize(
                key,
                sample.pixels,
                reference if aware else None,
                target_psnr=aim,
                compensation=config.compensation,
                most_left=math.inf if versions else most_left,
                until=until,
            )
            if not versions and config.strength != "fast":
                aims += [made.psnr + 3, made.psnr - 3]
            labels = {
                "target_psnr": aim,
                "threshold": made.threshold,
                "alpha": made.alpha,
                "left": made.left,
                "worst": max(map(abs, made.left.values())),
            }
            versions.append(report.Version(made.pixels, labels, f".psnr{aim:.1f}"))
            bar.update()
    return _Done(versions, {"left_is": "z" if aware else "share"})


def _prior(
    record: Record,
    sample: Sample,
    reference: np.ndarray,
    residuals: np.ndarray | None,
    config: configuration.Config,
    folder: Path,
) -> _Done:
    """The paper's inversion, from its last checkpoint if there is one."""
    injected = reference if residuals is None else residuals
    pixels = jax.numpy.asarray(sample.pixels)
    problem = inversion.problem(_key(record, config), pixels, injected)
    checkpoints = folder / "checkpoints" / record.id
    progress, spent = anonymize.start(problem, config), np.zeros(())
    if found := checkpoint.latest(checkpoints, (progress, spent)):
        progress, spent = found[1]
        say(f"{record.id}: goes on from step {int(progress.steps)}")
    started = time.monotonic() - float(spent)
    saved, pause = time.monotonic(), config.checkpoint_seconds
    until = _until(config, started)
    with _Bar(config) as bar:
        while not anonymize.finished(progress, config):
            if progress.steps > 0 and time.monotonic() > until:
                break
            progress = anonymize.advance(progress, problem, reference, config)
            bar.show(progress)
            if time.monotonic() - saved >= pause and not anonymize.finished(progress, config):
                before = time.monotonic()
                tree = progress, np.asarray(before - started)
                checkpoint.save(checkpoints, int(progress.steps), tree)
                saved = time.monotonic()
                pause = max(config.checkpoint_seconds, 10 * (saved - before) * (pause > 0))
    versions, notes = report.prior(injected, progress, anonymize.assemble(progress, config))
    notes["out_of_time"] = not anonymize.finished(progress, config)
    return _Done(versions, notes, progress.history, float(spent))


class _Bar:
    """Progress on stderr; the end is where the PSNR, a line over log(step), meets its limit."""

    def __init__(self, config: configuration.Config):
        self._config = config.inversion
        self._bar = tqdm.tqdm(
            total=config.inversion.max_steps, unit="step", dynamic_ncols=True, desc="compiling"
        )

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._bar.close()

    def show(self, progress: anonymize.Progress) -> None:
        steps = int(progress.steps)
        if self._bar.n == 0:  # neither compiling nor what an earlier run did counts for the speed
            self._bar.initial = steps
            self._bar.start_t = time.time()
            self._bar.n = steps
        psnr = progress.history.psnr[:steps]
        self._bar.total = _expected_steps(psnr, self._config)
        self._bar.set_description("inversion", refresh=False)
        self._bar.set_postfix_str(f"PSNR {psnr[-1]:.2f} dB", refresh=False)
        self._bar.update(steps - self._bar.n)
        self._bar.refresh()


def _expected_steps(psnr: np.ndarray, config: configuration.Inversion) -> int:
    """Steps the run will take, from the later half of its PSNR so far."""
    steps = len(psnr)
    later = np.arange(steps // 2, steps)
    slope, offset = np.polyfit(np.log(later + 1.0), psnr[later], 1) if steps >= 8 else (0, 0)
    if slope <= 0 or psnr[-1] > config.stop_psnr:
        return config.max_steps if slope <= 0 else steps
    expected = math.exp(min((config.stop_psnr - offset) / slope, 50))
    return int(np.clip(expected, steps, config.max_steps))


def say(text: str) -> None:
    """A line for a person, on stderr."""
    print(text, file=sys.stderr, flush=True)
