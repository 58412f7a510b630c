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
from typing import Any

import jax
import numpy as np
import tqdm

from dippas_jax import anonymize, checkpoint, datasets, inversion, report, residual, store
from dippas_jax import config as configuration
from dippas_jax.types import InputError, Problem


class FlatError(InputError):
    """A photo without noise, which has nothing that could be removed."""


class FailedError(RuntimeError):
    """Some photos could not be done, each is named with its reason; the others' results stand."""


def photos(
    records: Sequence[datasets.Record], config: configuration.Config, folder: Path
) -> Iterator[dict[str, Any]]:
    """Invert every photo that is not finished yet, results into `folder`.

    Yields:
      The photos' records, as in summary.json, each as soon as it stands there.

    Raises:
      FailedError: After all photos, if one has nothing to remove, or its run lost its numbers.
    """
    store.prepare_workdir(folder / "photos")
    done, failed = [], []
    for index, record in enumerate(records):
        path = folder / "photos" / f"{record.id}.json"
        if path.exists():
            say(f"{record.id}: finished before, skipped")
        else:
            say(f"{record.id}: photo {index + 1} of {len(records)}")
            try:
                store.write_json(path, _photo(record, config, folder))
            except (FlatError, anonymize.DivergedError) as error:
                failed.append(f"{record.id}: {error}")
                continue
            checkpoint.delete(folder / "checkpoints" / record.id)
        done.append(store.read_json(path))
        summary = {"config": dataclasses.asdict(config), "photos": done}
        store.write_json(folder / "summary.json", summary)
        yield done[-1]
    if failed:
        raise FailedError("; ".join(failed))


def claim(folder: Path, config: configuration.Config | configuration.Study) -> None:
    """Ties a work folder to its settings: results of different ones never mix."""
    path = folder / "config.json"
    ours = dataclasses.asdict(config)
    if not path.exists():
        store.write_json(path, ours)
        return
    theirs = configuration.from_config_dict(store.read_json(path), type(config))
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


def suffix(choice: anonymize.Choice) -> str:
    """What a combination's photo has behind its id: ID.B64.L10.tau38.png."""
    return f".B{choice.side}.L{choice.average}.tau{choice.threshold:g}"


def _problem(
    record: datasets.Record, sample: datasets.Sample, config: configuration.Config
) -> tuple[Problem, np.ndarray]:
    """The photo's inversion, and P in its own unit."""
    if config.mode == "aware" and sample.fingerprint is not None:
        injected = sample.fingerprint
    else:
        injected = np.asarray(jax.jit(residual.residual)(sample.pixels, sigma=config.sigma))
    if not injected.std() > 0:
        raise FlatError(
            f"photo {record.id} has no noise residual to work on (it is flat); leave it out"
        )
    key = jax.random.fold_in(jax.random.key(config.seed), zlib.crc32(record.id.encode()))
    return inversion.problem(key, jax.numpy.asarray(sample.pixels), injected), injected


def _photo(record: datasets.Record, config: configuration.Config, folder: Path) -> dict[str, Any]:
    """Inverts one photo, from its last checkpoint if there is one, and writes its pictures."""
    sample = record.read()
    problem, injected = _problem(record, sample, config)
    reference = injected if sample.fingerprint is None else sample.fingerprint
    checkpoints = folder / "checkpoints" / record.id
    progress, spent = anonymize.start(problem, config), np.zeros(())
    if found := checkpoint.latest(checkpoints, (progress, spent)):
        progress, spent = found[1]
        say(f"{record.id}: goes on from step {int(progress.steps)}")
    started = time.monotonic() - float(spent)
    saved, pause = time.monotonic(), config.checkpoint_seconds
    with _Bar(config) as bar:
        while not anonymize.finished(progress, config):
            progress = anonymize.advance(progress, problem, reference, config)
            bar.show(progress)
            if time.monotonic() - saved >= pause and not anonymize.finished(progress, config):
                before = time.monotonic()
                tree = progress, np.asarray(before - started)
                checkpoint.save(checkpoints, int(progress.steps), tree)
                saved = time.monotonic()
                pause = max(config.checkpoint_seconds, 10 * (saved - before) * (pause > 0))
    results = anonymize.assemble(progress, config)
    summary = report.photo(
        record.id, record.device, sample.pixels, reference, injected, progress, results, config
    )
    summary["mode"] = config.mode
    summary["reference"] = "camera" if sample.fingerprint is not None else "residual"
    summary["seconds"] = time.monotonic() - started
    for index, result in enumerate(results if config.assembly.write_all else results[:1]):
        name = record.id + (suffix(result.choice) if index else "")
        store.write_png(folder / "photos" / f"{name}.png", result.pixels)
    written = results[0].pixels
    summary["sha256"] = hashlib.sha256(written.tobytes()).hexdigest()
    picture = report.picture(sample.pixels, written, progress.history, summary, config)
    store.write_bytes(folder / "photos" / f"{record.id}.figure.png", picture)
    history = {k: v[: int(progress.steps)] for k, v in progress.history._asdict().items()}
    store.write_json(folder / "photos" / f"{record.id}.history.json", history)
    return summary


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
