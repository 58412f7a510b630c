"""One photo of a run: read, and its results written."""

import hashlib
import math
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import tqdm

from dippas_jax import config as configuration
from dippas_jax.experiments import report
from dippas_jax.io import files
from dippas_jax.prior import anonymize as prior
from dippas_jax.signal import correlation, tiles
from dippas_jax.types import InputError, Record, Result, Sample, ShortageError


class Task(NamedTuple):
    """One photo to be anonymised.

    Attributes:
      record: The photo's.
      sample: Decoded.
      reference: What is looked for: the camera's fingerprint or, where it is not known, the photo's
        residual.
      config: Of the run.
      folder: Of the run.
      started: Time of the monotonic clock.
      input_sha256: Of the sample.
    """

    record: Record
    sample: Sample
    reference: np.ndarray
    config: configuration.Config
    folder: Path
    started: float
    input_sha256: str

    @property
    def known(self) -> np.ndarray | None:
        """K, where the method gets it."""
        return self.sample.fingerprint if self.config.mode == "aware" else None


Waiting = Sequence[tuple[str, Record]]
"""Photos that are to be done, each with its place among all, for the line that says so."""

Made = Iterator[tuple[str, report.PhotoRecord | Exception]]
"""The id of every photo with its record or, where nothing could be done, the reason."""


def task_of(record: Record, config: configuration.Config, folder: Path) -> Task:
    """Reads a photo, and finds what to look for; `InputError` where nothing can be done."""
    started = time.monotonic()
    sample = record.read()
    reference = sample.fingerprint
    if reference is not None and config.mode == "aware":
        size = sample.pixels.shape[0], sample.pixels.shape[1]
        correlation.require_fingerprint(reference, size)
    if reference is None or config.mode == "blind":
        own = prior.residual_of(sample.pixels, config.sigma)
        reference = own if reference is None else reference
    return Task(record, sample, reference, config, folder, started, input_sha256(sample))


def reason(error: Exception) -> InputError:
    """Why a photo could not be done, where that stops no other; any other error is raised."""
    if isinstance(error, InputError):
        return error
    if tiles.is_out_of_memory(error):
        return ShortageError(
            "memory ran out; free some, or give another --workdir and smaller settings (batch, "
            "tile, data.crop)"
        )
    raise error


def input_sha256(sample: Sample) -> str:
    """Of what results come from: a photo's pixels and, behind them, its fingerprint's values."""
    digest = hashlib.sha256(sample.pixels.tobytes())
    if sample.fingerprint is not None:
        digest.update(sample.fingerprint.tobytes())
    return digest.hexdigest()


def finished(task: Task, results: list[Result], spent: float = 0.0, **notes: Any) -> Any:
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
        input_sha256=task.input_sha256,
        **notes,
    )
    _write(task, results, summary)
    return summary


def _write(task: Task, results: Sequence[Result], summary: report.PhotoRecord) -> None:
    """The photos, the picture and the history; the record itself is written last, by `runs`."""
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


def deadline(config: configuration.Config, started: float) -> float:
    """Time of the monotonic clock at which the photo's minutes are over."""
    return started + 60 * config.max_minutes if config.max_minutes else math.inf


def say(text: str) -> None:
    """A line for a person, on stderr."""
    tqdm.tqdm.write(text, file=sys.stderr)
