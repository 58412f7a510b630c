"""Photos of a run by the paper's inversion, tile by tile, with checkpoints that survive a kill.

A tile at work is kept from time to time, one that has ended as soon as it has. A photo that is no
larger than a tile is one tile.
"""

import dataclasses
import itertools
import math
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from dippas_jax import config as configuration
from dippas_jax.experiments import report, tasks
from dippas_jax.io import checkpoint, confinement
from dippas_jax.prior import anonymize as prior
from dippas_jax.prior import batch, tiling
from dippas_jax.prior import progress as progress_line
from dippas_jax.prior.balance import Planted
from dippas_jax.prior.state import FINGERPRINT_STD
from dippas_jax.signal import image
from dippas_jax.types import InputError, Result

_LETTERS = 16  # of a hash, in the name of a folder


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
      begun: Whether a tile of it has had a slot: the photo's clock runs from then on.
    """

    task: tasks.Task
    tiled: tiling.Tiled
    made: dict[int, _TileResult]
    left: set[int]
    spent: float = 0.0
    begun: bool = False

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of its tiles, pixels."""
        return self.tiled.every[0].height, self.tiled.every[0].width

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


def inverted(waiting: tasks.Waiting, config: configuration.Config, folder: Path) -> tasks.Made:
    """The photos by the paper's inversion, tile by tile, several at a time.

    Tiles come from their last checkpoints if there are any. Those that follow one another with one
    size share a program, be they of one photo or of several; a tile of another size begins when
    they are done. Where memory runs out the photos at work are lost, and the next ones are tried.
    """
    ready: list[tuple[str, report.PhotoRecord | Exception]] = []
    begun: dict[str, _Photo] = {}

    def parts() -> Iterator[tuple[_Photo, int]]:
        for place, record in waiting:
            tasks.say(f"{record.id}: {place}")
            try:
                photo = _photo(tasks.task_of(record, config, folder))
                if not photo.left:  # killed when all tiles were there and the photo was not
                    ready.append((record.id, _outcome(photo)))
                    continue
            except (InputError, *batch.OUT_OF_MEMORY) as error:
                ready.append((record.id, tasks.reason(error)))
                continue
            begun[record.id] = photo
            for index in sorted(photo.left):
                if index in photo.left:  # else another tile has lost the photo meanwhile
                    yield photo, index

    devices = jax.local_devices()
    most = len(devices) * (config.batch or batch.slots_for(devices[0].platform))
    for size, group in itertools.groupby(parts(), lambda part: part[0].size):
        first = list(itertools.islice(group, most))
        slots = batch.slots_on(devices, config.batch, len(first))
        pending = itertools.chain(first, group)  # noqa: B031 - the group goes on where first ends
        while True:
            try:
                for name, outcome in _together(pending, config, slots, devices):
                    del begun[name]
                    yield name, outcome
                    yield from ready
                    ready.clear()
                break
            except batch.OUT_OF_MEMORY as error:
                reason = tasks.reason(error)
            for name in [name for name, photo in begun.items() if photo.size == size]:
                begun.pop(name).left.clear()
                yield name, reason
    yield from ready


def _together(
    parts: Iterator[tuple[_Photo, int]],
    config: configuration.Config,
    slots: int,
    devices: Sequence[jax.Device],
) -> tasks.Made:
    """Tiles of one size in common slots; every photo whose last tile is among them."""
    runs: list[_Run] = []
    with progress_line.Lines(config.inversion) as lines:
        watch = _Watch(runs, lines, config, slots * len(devices))
        # Those that were asked for ahead may be of a photo that is lost by now.
        jobs = (watch.job(photo, index) for photo, index in parts if index in photo.left)
        for number, progress in batch.inverted(
            jobs, config, slots=slots, devices=devices, on_chunk=watch.chunk
        ):
            run, runs[number] = runs[number], None  # type: ignore[call-overload]
            if outcome := _ended(run, progress):
                yield run.photo.task.record.id, outcome


def _photo(task: tasks.Task) -> _Photo:
    """A photo cut into tiles, without those that an earlier run has finished."""
    config, name = task.config, task.record.id
    key = image.photo_key(config.seed, name)
    tiled = tiling.cut(key, task.sample.pixels, task.known, config)
    if not tiled.alone:
        _require_memory(tiled, config)
    photo = _Photo(task, tiled, {}, set(tiling.noisy(tiled, config)))
    for index in () if tiled.alone else sorted(photo.left):
        if found := checkpoint.latest(_place(photo, index, "made"), _blank(tiled, config)):
            photo.made[index], seconds = _restored(found[1])
            photo.spent = max(photo.spent, seconds)
            photo.left.remove(index)
    if photo.made:
        tasks.say(f"{name}: {len(photo.made)} of {len(tiled.every)} tiles were finished before")
    return photo


def _require_memory(tiled: tiling.Tiled, config: configuration.Config) -> None:
    """`InputError` where the versions of the tiles and of the photo will not fit into memory."""
    versions, (height, width, _) = _versions(config), tiled.photo.shape
    pixels = height * width + sum(tile.height * tile.width for tile in tiled.every)
    needed, there = 3 * pixels * versions, confinement.physical_memory()
    if needed > there:
        raise InputError(
            f"{versions} versions of a photo of {width}x{height} pixels need "
            f"{needed / 2**30:.0f} GiB of memory, and the machine has {there / 2**30:.0f}; give "
            "fewer assembly.sides, assembly.averages or assembly.thresholds, or a data.crop"
        )


def _versions(config: configuration.Config) -> int:
    """How many come from one inversion."""
    assembly = config.assembly
    return len(assembly.sides) * len(assembly.averages) * len(assembly.thresholds)


class _Watch:
    """States each tile's run, shows how all go on, and saves them from time to time."""

    def __init__(
        self,
        runs: list[_Run],
        lines: progress_line.Lines,
        config: configuration.Config,
        slots: int,
    ):
        self._runs, self._lines, self._config, self._slots = runs, lines, config, slots
        self._pause = batch.Pause(config.checkpoint_seconds)

    def job(self, photo: _Photo, index: int) -> batch.Job:
        """The next tile's run, from its checkpoint if there is one."""
        if not photo.begun:
            photo.task, photo.begun = photo.task._replace(started=time.monotonic()), True
        config, task = photo.task.config, photo.task
        problem, injected, planted = tiling.stated(photo.tiled, index, config)
        progress, spent = prior.start(problem, config), np.zeros(())
        if found := checkpoint.latest(_place(photo, index), (progress, spent)):
            progress, spent = found[1]
            photo.spent = max(photo.spent, float(spent))
            tile = "" if photo.tiled.alone else f" tile {index + 1}"
            tasks.say(f"{task.record.id}:{tile} goes on from step {int(progress.steps)}")
        self._runs.append(_Run(photo, index, planted, injected))
        begun = task.started - photo.spent
        until = tasks.deadline(config, begun)
        deadline = tiling.until(photo.tiled, index, begun, until, self._slots)
        reference = task.reference[photo.tiled.every[index].part]
        return batch.Job(problem, reference, progress, deadline)

    def chunk(self, running: batch.Running) -> None:
        """Shows the chunk and, if it is time, saves the runs that are not over."""
        self._lines.show(running.psnr, self._name(running))
        self._pause.then(lambda: self._save(running))

    def _save(self, running: batch.Running) -> None:
        for number, psnr in running.psnr.items():
            run, progress = self._runs[number], running.progress(number)
            if len(psnr) and not bool(prior.over(progress, self._config)):
                tree = progress, run.photo.elapsed
                checkpoint.save(_place(run.photo, run.tile), int(progress.steps), tree)

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
    task = photo.task
    folder = task.folder / "checkpoints" / task.record.id / task.input_sha256[:_LETTERS]
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
        gamma_in_unit=gamma * FINGERPRINT_STD / (float(run.injected.std()) or math.inf),
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
    count, tile = _versions(config), tiled.every[0]
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
    return tasks.finished(
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
