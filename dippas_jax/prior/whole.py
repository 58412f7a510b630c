"""Photos of any size by the paper's method: overlapping tiles, a network for each, blended.

All tiles have one shape, so one compiled program serves them, several at a time (`batch`), those of
one photo after those of another.
"""

import functools
import itertools
import math
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array, Key

from dippas_jax import config as configuration
from dippas_jax.prior import anonymize, batch, tiling
from dippas_jax.prior.anonymize import DivergedError, Progress
from dippas_jax.prior.balance import Planted
from dippas_jax.signal import correlation, image
from dippas_jax.types import InputError, Result


class At(NamedTuple):
    """How far a photo is, after a chunk.

    Attributes:
      tiles: How many there are.
      done: How many have ended.
      psnr: Of the tiles at work: that of their steps, dB.
    """

    tiles: int
    done: int
    psnr: dict[int, np.ndarray]


def invert(
    key: Key[Array, ""],
    photo: ArrayLike,
    fingerprint: ArrayLike | None = None,
    config: configuration.Config | None = None,
    *,
    deadline: float = math.inf,
    restore: Callable[[int, Progress], Progress] = lambda tile, start: start,
    save: Callable[[int, Progress], None] | None = None,
    on_chunk: Callable[[At], None] = lambda at: None,
) -> Result:
    """`anonymize.invert` for a photo of any size, in tiles of `config.tile` pixels a side.

    A photo that is no larger than a tile has one network, and the same result. A tile without noise
    stays as it is.

    Args:
      key: All randomness; each tile's key is made of it and the tile's number.
      photo: uint8 [h w 3], at least 64x64.
      fingerprint: K [h w] of these very pixels; None for blind.
      config: As for `anonymize.invert`; `batch` tiles are worked on at a time on each device.
      deadline: Time of the monotonic clock, seconds. Each tile has its share of the time until then
        and is taken as it is when that is over.
      restore: As for `Asked`.
      save: Likewise.
      on_chunk: Called before the first step, when all is compiled, and after every chunk.

    Returns:
      The photo as `tiling.joined` gives it: without history where there are several tiles.

    Raises:
      InputError: As `anonymize.invert`.
      DivergedError: The loss of a tile became nan or infinite.
    """
    config = configuration.settled(config or configuration.Config())
    photo = image.require_photo(photo)
    devices = jax.local_devices()
    height, width = photo.shape[:2]
    count = len(tiling.grid(height, width, config.tile))
    slots = batch.slots_on(devices, config.batch, count)
    asked = Asked(key, photo, fingerprint, deadline, restore, save)
    found: list[Result | Exception] = []
    invert_all(
        [asked],
        lambda _, result: found.append(result),
        config,
        slots=slots,
        devices=devices,
        on_chunk=on_chunk,
    )
    if isinstance(found[0], Exception):
        raise found[0]
    return found[0]


class Asked(NamedTuple):
    """A photo to be inverted: what `invert` is given, and what outlives this process.

    Attributes:
      key: As for `invert`; so are photo, fingerprint and deadline.
      photo: Likewise.
      fingerprint: Likewise.
      deadline: Likewise.
      restore: Gives, for a tile's number and its run at step 0, the run to go on from.
      save: Told of a tile's number and its run: when it ends before the photo's others, and of each
        one that is at work every `config.checkpoint_seconds`.
    """

    key: Key[Array, ""]
    photo: ArrayLike
    fingerprint: ArrayLike | None = None
    deadline: float = math.inf
    restore: Callable[[int, Progress], Progress] = lambda tile, start: start
    save: Callable[[int, Progress], None] | None = None


def invert_all(
    photos: Iterable[Asked],
    on_result: Callable[[int, Result | Exception], None],
    config: configuration.Config | None = None,
    *,
    slots: int = 0,
    devices: Sequence[jax.Device] | None = None,
    on_chunk: Callable[[At], None] = lambda at: None,
) -> None:
    """Photos of any size, each as `invert` gives it.

    Their tiles share the slots: one that is free takes the next tile, be it of the same photo or of
    the next one. Tiles of another shape begin when all before them have ended.

    Args:
      photos: Each is asked for when a slot is free for its first tile.
      on_result: Told of every photo as soon as that is known: its number, from 0 in the order of
        `photos`, and its result or, where it cannot be used or the loss of a tile became nan, the
        `InputError` or `DivergedError`: no photo stops the others.
      config: As for `anonymize.invert`.
      slots: Tiles at a time on each device; 0 for `config.batch` or the platform's.
      devices: On which the slots lie; None for all of this process.
      on_chunk: Called before the first step, when all is compiled, and after every chunk.
    """
    config = configuration.settled(config or configuration.Config())
    devices = devices or jax.local_devices()
    slots = slots or config.batch or batch.slots_for(devices[0].platform)
    at_work: dict[int, _Photo] = {}

    def end(number: int, result: Result | Exception) -> None:
        at_work.pop(number, None)
        on_result(number, result)

    def jobs() -> Iterator[tuple[tuple[int, int, Planted | None], batch.Job]]:
        for number, asked in enumerate(photos):
            try:
                photo = at_work[number] = _begun(asked, config)
            except InputError as error:
                end(number, error)
                continue
            for index in photo.noisy:
                if number not in at_work:  # one of its tiles was lost
                    break
                try:
                    job, planted = _job(photo, index, config, slots * len(devices))
                except InputError as error:
                    end(number, error)
                    break
                yield (number, index, planted), job

    pause = batch.Pause(config.checkpoint_seconds)

    def save(running: batch.Running, places: dict[int, tuple[int, int, Planted | None]]) -> None:
        for count, psnr in running.psnr.items():
            number, index, _ = places[count]
            if len(psnr) and number in at_work and (keep := at_work[number].asked.save):
                keep(index, running.progress(count))

    def tell(running: batch.Running, places: dict[int, tuple[int, int, Planted | None]]) -> None:
        tiles = sum(len(photo.tiled.every) for photo in at_work.values())
        done = sum(len(photo.results) for photo in at_work.values())
        on_chunk(At(tiles, done, running.psnr))
        pause.then(functools.partial(save, running, places))

    for _, group in itertools.groupby(jobs(), lambda one: one[1].problem.pixels.shape):
        places: dict[int, tuple[int, int, Planted | None]] = {}  # by the number of the job

        def passed(group: Iterator[Any] = group, places: dict = places) -> Iterator[batch.Job]:
            for count, (place, job) in enumerate(group):
                places[count] = place
                yield job

        for count, progress in batch.inverted(
            passed(),
            config,
            slots=slots,
            devices=devices,
            on_chunk=functools.partial(tell, places=places),
        ):
            number, index, planted = places.pop(count)
            if number not in at_work:
                continue
            photo = at_work[number]
            try:
                anonymize.finished(progress, config)
                versions = tiling.assembled(photo.tiled, index, progress, planted, config)
            except DivergedError as error:
                end(number, error)
                continue
            photo.results[index] = versions[:1]
            if len(photo.results) == len(photo.noisy):
                whole = tiling.joined(photo.tiled, photo.results)[0]
                end(number, anonymize.scored(whole, photo.tiled.fingerprint))
            elif photo.asked.save:
                photo.asked.save(index, progress)


class _Photo(NamedTuple):
    """A photo at work.

    Attributes:
      asked: What was given.
      tiled: The photo in tiles.
      noisy: Numbers of those that are inverted; the others stay as they are.
      results: The version of each tile that has ended, by its number.
      begun: Time of the monotonic clock, seconds.
    """

    asked: Asked
    tiled: tiling.Tiled
    noisy: list[int]
    results: dict[int, list[Result]]
    begun: float


def _begun(asked: Asked, config: configuration.Config) -> _Photo:
    pixels, fingerprint = image.require_photo(asked.photo), asked.fingerprint
    if fingerprint is not None:
        size = pixels.shape[0], pixels.shape[1]
        fingerprint = correlation.require_fingerprint(fingerprint, size)
    tiled = tiling.cut(asked.key, pixels, fingerprint, config)
    return _Photo(asked, tiled, tiling.noisy(tiled, config), {}, time.monotonic())


def _job(
    photo: _Photo, index: int, config: configuration.Config, slots: int
) -> tuple[batch.Job, Planted | None]:
    problem, injected, planted = tiling.stated(photo.tiled, index, config)
    until = tiling.until(photo.tiled, index, photo.begun, photo.asked.deadline, slots)
    progress = photo.asked.restore(index, anonymize.start(problem, config))
    return batch.Job(problem, injected, progress, until), planted
