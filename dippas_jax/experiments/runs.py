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
from dippas_jax.prior import batch, tiling
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


class _TileResult(NamedTuple):
    """What a tile gave.

    Attributes:
      results: Every version of it.
      best_psnr: Of its best snapshot, dB.
      gamma_in_unit: γ at its last step, in the unit of what was injected.
      late: Its run was ended by max_minutes.
    """

    results: list[Result]
    best_psnr: float
    gamma_in_unit: float
    late: bool


@dataclasses.dataclass
class _Photo:
    """A photo at work, in tiles; one that is no larger than a tile is one tile.

    Attributes:
      task: The photo.
      tiled: The same, cut.
      made: What has come out of its tiles, by their numbers.
      left: Numbers of the tiles that are to be inverted; none if the photo is lost.
      spent: Seconds in earlier runs.
    """

    task: _Task
    tiled: tiling.Tiled
    made: dict[int, _TileResult]
    left: set[int]
    spent: float = 0.0

    @property
    def elapsed(self) -> np.ndarray:
        """Seconds since the photo was begun, those of earlier runs included."""
        return np.asarray(time.monotonic() - self.task.started + self.spent)


class _Run(NamedTuple):
    """A tile at work in a batch.

    Attributes:
      photo: Of which it is a part.
      tile: Its number.
      planted: What was inverted, where a pattern was planted.
      injected: The plane injected.
    """

    photo: _Photo
    tile: int
    planted: Planted | None
    injected: np.ndarray


def _inverted(waiting: Waiting, config: configuration.Config, folder: Path) -> Made:
    """The photos by the paper's inversion, tile by tile, several at a time.

    Tiles come from their last checkpoints if there are any. Those that follow one another with one
    size share a program, be they of one photo or of several; a tile of another size begins when
    they are done.
    """
    ready: list[tuple[str, report.PhotoRecord | Exception]] = []

    def parts() -> Iterator[tuple[_Photo, int]]:
        for place, record in waiting:
            say(f"{record.id}: {place}")
            try:
                photo = _photo(_task(record, config, folder))
            except FlatPhotoError as error:
                ready.append((record.id, error))
                continue
            if not photo.left:  # killed when all tiles were there and the photo was not
                ready.append((record.id, _outcome(photo)))
            for index in sorted(photo.left):
                if index in photo.left:  # else another tile has lost the photo meanwhile
                    yield photo, index

    devices = jax.local_devices()
    most = len(devices) * (config.batch or batch.slots_for(devices[0].platform))
    for _, group in itertools.groupby(parts(), lambda part: part[0].tiled.every[0][2:]):
        first = list(itertools.islice(group, most))
        slots = batch.slots_on(devices, config.batch, len(first))
        runs: list[_Run] = []
        with progress_line.Lines(config.inversion) as lines:
            watch = _Watch(runs, lines, config)
            jobs = (watch.job(*part) for part in itertools.chain(first, group))
            for number, progress in batch.inverted(
                jobs, config, slots=slots, devices=devices, on_chunk=watch.chunk
            ):
                run, runs[number] = runs[number], None  # type: ignore[call-overload]
                if outcome := _ended(run, progress):
                    yield run.photo.task.record.id, outcome
                yield from ready
                ready.clear()
    yield from ready


def _photo(task: _Task) -> _Photo:
    """A photo cut into tiles, without those that an earlier run has finished."""
    config, name = task.config, task.record.id
    key = image.photo_key(config.seed, name)
    tiled = tiling.cut(key, task.sample.pixels, task.known, config)
    photo = _Photo(task, tiled, {}, set(tiling.noisy(tiled, config)))
    for index in () if tiled.alone else sorted(photo.left):
        if found := checkpoint.latest(_place(photo, index, "made"), _blank(tiled, config)):
            photo.made[index], seconds = _restored(found[1])
            photo.spent = max(photo.spent, seconds)
            photo.left.remove(index)
    if photo.made:
        say(f"{name}: {len(photo.made)} of {len(tiled.every)} tiles were finished before")
    return photo


class _Watch:
    """States each tile's run, shows how all go on, and saves them from time to time."""

    def __init__(self, runs: list[_Run], lines: progress_line.Lines, config: configuration.Config):
        self._runs, self._lines, self._config = runs, lines, config
        self._saved, self._pause = time.monotonic(), config.checkpoint_seconds

    def job(self, photo: _Photo, index: int) -> batch.Job:
        """The next tile's run, from its checkpoint if there is one."""
        config, task = photo.task.config, photo.task
        problem, injected, planted = tiling.stated(photo.tiled, index, config)
        progress, spent = prior.start(problem, config), np.zeros(())
        if found := checkpoint.latest(_place(photo, index), (progress, spent)):
            progress, spent = found[1]
            photo.spent = max(photo.spent, float(spent))
            tile = "" if photo.tiled.alone else f" tile {index + 1}"
            say(f"{task.record.id}:{tile} goes on from step {int(progress.steps)}")
        self._runs.append(_Run(photo, index, planted, injected))
        begun = task.started - photo.spent
        deadline = tiling.until(photo.tiled, index, begun, _deadline(config, begun))
        reference = task.reference[photo.tiled.every[index].part]
        return batch.Job(problem, reference, progress, deadline)

    def chunk(self, running: batch.Running) -> None:
        """Shows the chunk and, if it is time, saves the runs that are not over."""
        self._lines.show(running.psnr, self._name(running))
        now = time.monotonic()
        if now - self._saved < self._pause:
            return
        for number, psnr in running.psnr.items():
            run, progress = self._runs[number], running.progress(number)
            if len(psnr) and not bool(prior.over(progress, self._config)):
                tree = progress, run.photo.elapsed
                checkpoint.save(_place(run.photo, run.tile), int(progress.steps), tree)
        self._saved = time.monotonic()
        took = self._saved - now
        self._pause = max(self._config.checkpoint_seconds, 10 * took * (self._pause > 0))

    def _name(self, running: batch.Running) -> str:
        """How far the photo at work is, if it is one of several tiles."""
        photos = {self._runs[number].photo.task.record.id: number for number in running.psnr}
        if len(photos) != 1:
            return "inverting"
        ((name, number),) = photos.items()
        photo = self._runs[number].photo
        count = len(photo.tiled.every)
        return "inverting" if count == 1 else f"{name}, {count - len(photo.left)} of {count} tiles"


def _place(photo: _Photo, index: int, what: str = "tiles") -> Path:
    """Where the checkpoints of a tile are: of its run, or of what came out of it ("made")."""
    folder = photo.task.folder / "checkpoints" / photo.task.record.id
    return folder if photo.tiled.alone else folder / what / str(index)


def _ended(run: _Run, progress: prior.Progress) -> report.PhotoRecord | Exception | None:
    """The record of a photo whose last tile has ended, or why there is none; else None.

    A tile of several is kept as soon as it is there, and its run's checkpoints go.
    """
    photo, index, config = run.photo, run.tile, run.photo.task.config
    if index not in photo.left:
        return None  # the photo is lost
    try:
        finished = prior.finished(progress, config)
    except prior.DivergedError as error:
        photo.left.clear()
        return error
    results = tiling.assembled(photo.tiled, index, progress, run.planted, config)
    gamma = float(results[0].settings["gamma"])
    photo.made[index] = _TileResult(
        results,
        best_psnr=float(progress.best.psnr),
        gamma_in_unit=gamma * FINGERPRINT_STD / float(run.injected.std()),
        late=not finished,
    )
    photo.left.remove(index)
    if not photo.tiled.alone:
        tree = _tree(photo.made[index], photo.elapsed)
        checkpoint.save(_place(photo, index, "made"), int(progress.steps), tree)
        checkpoint.delete(_place(photo, index))
    return None if photo.left else _outcome(photo)


_SETTINGS = {
    "side": np.int64,
    "average": np.int64,
    "threshold": np.float64,
    "snapshots": np.int64,
    "steps": np.int64,
    "gamma": np.float64,
}
_NOTES = {"best_psnr": np.float64, "gamma_in_unit": np.float64, "late": np.bool_}


def _tree(made: _TileResult, seconds: np.ndarray) -> dict[str, Any]:
    """What a tile gave as arrays, an entry a version, for a checkpoint; and the photo's seconds."""
    every = [result.settings for result in made.results]
    return {
        "pixels": np.stack([result.pixels for result in made.results]),
        "settings": {k: np.array([one[k] for one in every], kind) for k, kind in _SETTINGS.items()},
        "notes": {k: np.asarray(getattr(made, k), kind) for k, kind in _NOTES.items()},
        "seconds": seconds,
    }


def _blank(tiled: tiling.Tiled, config: configuration.Config) -> dict[str, Any]:
    """A `_tree` for a tile of this photo."""
    assembly, tile = config.assembly, tiled.every[0]
    count = len(assembly.sides) * len(assembly.averages) * len(assembly.thresholds)
    return {
        "pixels": np.zeros((count, tile.height, tile.width, 3), np.uint8),
        "settings": {name: np.zeros(count, kind) for name, kind in _SETTINGS.items()},
        "notes": {name: np.zeros((), kind) for name, kind in _NOTES.items()},
        "seconds": np.zeros(()),
    }


def _restored(tree: dict[str, Any]) -> tuple[_TileResult, float]:
    """What a tile gave, without the figures of the tile alone, and the photo's seconds."""
    results = [
        Result(pixels, math.nan, {}, {}, {k: tree["settings"][k][n].item() for k in _SETTINGS})
        for n, pixels in enumerate(tree["pixels"])
    ]
    notes = {name: value.item() for name, value in tree["notes"].items()}
    return _TileResult(results, **notes), float(tree["seconds"])


def _outcome(photo: _Photo) -> report.PhotoRecord | Exception:
    """The record of a photo all of whose tiles are there."""
    made = dict(sorted(photo.made.items()))
    results = tiling.joined(photo.tiled, {index: one.results for index, one in made.items()})
    settings = results[0].settings
    return _finished(
        photo.task,
        results,
        photo.spent,
        steps=int(settings["steps"]),
        best_psnr=min(one.best_psnr for one in made.values()),
        fallback=settings["snapshots"] == 0,
        out_of_time=any(one.late for one in made.values()),
        gamma=float(settings["gamma"]),
        gamma_in_unit_of_fingerprint=float(np.mean([one.gamma_in_unit for one in made.values()])),
    )


def say(text: str) -> None:
    """A line for a person, on stderr."""
    tqdm.tqdm.write(text, file=sys.stderr)
