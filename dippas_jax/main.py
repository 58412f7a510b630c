"""Anonymise photos as the paper describes it.

    python -m dippas_jax.main --config=configs/aware.py --workdir=runs/aware

A finished photo is never done again and an interrupted one goes on from its last checkpoint: the
same command, as often as needed. Exit codes: 0 done, 1 a photo's run failed, 2 something that was
given cannot be used.
"""

import dataclasses
import hashlib
import math
import os
import sys
import time
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np
import tqdm
from absl import flags
from ml_collections import config_flags

from dippas_jax import anonymize, checkpoint, datasets, inversion, report, residual, store
from dippas_jax import config as configuration
from dippas_jax.types import InputError, Problem

_CONFIG = config_flags.DEFINE_config_file(
    "config",
    None,
    "File with the settings; aware.py:quick passes it an argument.",
    lock_config=True,
)
_WORKDIR = flags.DEFINE_string("workdir", None, "Folder for results and checkpoints.")


def run(config: configuration.Config, workdir: str | Path) -> list[dict[str, Any]]:
    """All photos of `config`, results into `workdir`.

    Returns:
      The photos' records, as in summary.json.

    Raises:
      InputError: Before any work, if settings, photos, fingerprints or the folder cannot be used.
      anonymize.DivergedError: After all photos, if a run lost its numbers; the others are kept.
    """
    folder = store.prepare_workdir(workdir)
    store.prepare_workdir(folder / "photos")
    records = datasets.load(
        **dataclasses.asdict(config.data), need_fingerprint=config.mode == "aware"
    )
    datasets.check(records)
    _claim(folder, config)
    done, failed = [], []
    for index, record in enumerate(records):
        path = folder / "photos" / f"{record.id}.json"
        if path.exists():
            _say(f"{record.id}: finished before, skipped")
        else:
            _say(f"{record.id}: photo {index + 1} of {len(records)}")
            try:
                store.write_json(path, _photo(record, config, folder))
            except anonymize.DivergedError as error:
                failed.append(f"{record.id}: {error}")
                continue
            checkpoint.delete(folder / "checkpoints" / record.id)
        done.append(store.read_json(path))
        print(report.lines(done[-1]), flush=True)
        summary = {"config": dataclasses.asdict(config), "photos": done}
        store.write_json(folder / "summary.json", summary)
    _say(f"results are in {folder}")
    if failed:
        raise anonymize.DivergedError("; ".join(failed))
    return done


def _claim(folder: Path, config: configuration.Config) -> None:
    """Ties a work folder to its settings: results of different ones never mix."""
    path = folder / "config.json"
    ours = dataclasses.asdict(config)
    if not path.exists():
        store.write_json(path, ours)
        return
    theirs = configuration.from_config_dict(store.read_json(path))
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


def _problem(
    record: datasets.Record, sample: datasets.Sample, config: configuration.Config
) -> tuple[Problem, np.ndarray]:
    """The photo's inversion, and P in its own unit."""
    if config.mode == "aware" and sample.fingerprint is not None:
        injected = sample.fingerprint
    else:
        injected = np.asarray(jax.jit(residual.residual)(sample.pixels, sigma=config.sigma))
    if not injected.std() > 0:
        raise InputError(
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
        _say(f"{record.id}: goes on from step {int(progress.steps)}")
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
    photos = folder / "photos"
    for index, result in enumerate(results if config.assembly.write_all else results[:1]):
        side, average, threshold = result.choice
        suffix = f".B{side}.L{average}.tau{threshold:g}" if index else ""
        store.write_png(photos / f"{record.id}{suffix}.png", result.pixels)
    written = results[0].pixels
    summary["sha256"] = hashlib.sha256(written.tobytes()).hexdigest()
    picture = report.picture(sample.pixels, written, progress.history, summary, config)
    store.write_bytes(photos / f"{record.id}.figure.png", picture)
    history = {k: v[: int(progress.steps)] for k, v in progress.history._asdict().items()}
    store.write_json(photos / f"{record.id}.history.json", history)
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


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _cache_compilations() -> None:
    """A second run compiles nothing; JAX_COMPILATION_CACHE_DIR chooses another place."""
    if not os.environ.get("JAX_COMPILATION_CACHE_DIR"):
        home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
        jax.config.update("jax_compilation_cache_dir", str(home / "dippas_jax"))


def _settings(arguments: Sequence[str]) -> tuple[configuration.Config, str]:
    """Reads the command line; a file of settings is a program and may raise anything."""
    for argument in arguments[1:]:
        name = argument.lstrip("-").partition("=")[0]
        if name.startswith("config."):
            configuration.check_name(name.removeprefix("config."))
    try:
        rest = flags.FLAGS(list(arguments))[1:]
        values = _CONFIG.value.to_dict() if _CONFIG.value is not None else None
    except Exception as error:
        reason = error.args[0] if isinstance(error, KeyError) and error.args else error
        reason = " ".join(str(reason).split()) or type(error).__name__
        raise InputError(f"the command line cannot be used: {reason}") from error
    if rest:
        raise InputError(f'"{rest[0]}" is no option; give --config=FILE and --workdir=DIR')
    if values is None or _WORKDIR.value is None:
        raise InputError("give both --config=configs/aware.py and --workdir=DIR")
    return configuration.from_config_dict(values), _WORKDIR.value


def main(arguments: Sequence[str]) -> int:
    """The program; returns its exit code."""
    if {"-h", "--help"} & set(arguments):
        print(f"{__doc__}\n{configuration.help_text()}")
        return 0
    try:
        config, workdir = _settings(arguments)
        _cache_compilations()
        run(config, workdir)
    except InputError as error:
        _say(f"dippas_jax: {error}")
        return 2
    except anonymize.DivergedError as error:
        _say(f"dippas_jax: {error}")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv))
