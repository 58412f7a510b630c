"""Photos of any size by the paper's method: overlapping tiles, a network for each, blended.

All tiles have one shape, so one compiled program serves them, several at a time (`batch`), those of
one photo after those of another. In blind mode each tile is given its part of the residual of the
whole photo. Where tiles overlap their results pass into each other linearly, so neither an edge nor
a step of brightness shows.
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
from jaxtyping import Array, Float, Key, UInt8

from dippas_jax import config as configuration
from dippas_jax.prior import anonymize, batch
from dippas_jax.prior.anonymize import DivergedError, Progress
from dippas_jax.prior.balance import Planted
from dippas_jax.signal import correlation, extractors, image, tiles
from dippas_jax.signal.tiles import Tile
from dippas_jax.types import FlatPhotoError, InputError, Result

OVERLAP = 32
"""Pixels that neighbouring tiles share at least."""


class At(NamedTuple):
    """How far the photos at work are, after a chunk.

    Attributes:
      tiles: How many they have.
      done: How many of these have ended.
      psnr: Of the tiles at work: that of their steps, dB.
    """

    tiles: int
    done: int
    psnr: dict[int, np.ndarray]


def grid(height: int, width: int, side: int) -> list[Tile]:
    """Tiles of one shape that cover a photo, all whole in it, evenly spread, row by row.

    Args:
      height: Of the photo, pixels.
      width: Likewise.
      side: Most pixels a side of a tile, more than `OVERLAP`.
    """

    def starts(length: int) -> list[int]:
        if length <= side:
            return [0]
        count = math.ceil((length - OVERLAP) / (side - OVERLAP))
        return [round(n * (length - side) / (count - 1)) for n in range(count)]

    rows, columns = min(height, side), min(width, side)
    return [Tile(top, left, rows, columns) for top in starts(height) for left in starts(width)]


def blended(
    size: tuple[int, int], every: Sequence[Tile], parts: Sequence[UInt8[np.ndarray, "h w 3"]]
) -> UInt8[np.ndarray, "H W 3"]:
    """One photo of overlapping tiles; the weight of each falls linearly to its borders."""
    total = np.zeros((*size, 3), np.float32)
    weights = np.zeros((*size, 1), np.float32)
    for tile, part in zip(every, parts, strict=True):
        down, across = (_ramp(length) for length in (tile.height, tile.width))
        weight = (down[:, None] * across)[..., None]
        total[tile.part] += weight * part
        weights[tile.part] += weight
    return np.rint(total / weights).astype(np.uint8)


def _ramp(length: int) -> Float[np.ndarray, " n"]:
    """Rises over `OVERLAP` pixels, stays, and falls; never 0."""
    place = np.arange(length) + 0.5
    return np.minimum(1, np.minimum(place, length - place) / OVERLAP).astype(np.float32)


def invert(
    key: Key[Array, ""],
    photo: ArrayLike,
    fingerprint: ArrayLike | None = None,
    config: configuration.Config | None = None,
    *,
    deadline: float = math.inf,
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
      on_chunk: Called before the first step, when all is compiled, and after every chunk.

    Returns:
      The photo, without history where there are several tiles. Of `settings`, snapshots are the
      fewest of a tile, steps those of all tiles, gamma is the mean.

    Raises:
      InputError: As `anonymize.invert`.
      DivergedError: The loss of a tile became nan or infinite.
    """
    config = configuration.settled(config or configuration.Config())
    image.require_photo(photo)
    devices = jax.local_devices()
    count = len(_grid(np.shape(photo), config))
    slots = batch.slots_on(devices, config.batch, count)
    asked = Asked(key, photo, fingerprint, deadline)
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
                    job, planted = _job(photo, index, config)
                except InputError as error:
                    end(number, error)
                    break
                yield (number, index, planted), job

    saved, pause = time.monotonic(), config.checkpoint_seconds

    def tell(running: batch.Running, places: dict[int, tuple[int, int, Planted | None]]) -> None:
        nonlocal saved, pause
        tiles = sum(len(photo.every) for photo in at_work.values())
        done = sum(len(photo.results) for photo in at_work.values())
        on_chunk(At(tiles, done, running.psnr))
        now = time.monotonic()
        if now - saved < pause:
            return
        for count, psnr in running.psnr.items():
            number, index, _ = places[count]
            if len(psnr) and number in at_work and (save := at_work[number].asked.save):
                save(index, running.progress(count))
        saved = time.monotonic()
        pause = max(config.checkpoint_seconds, 10 * (saved - now) * (pause > 0))

    for _, group in itertools.groupby(jobs(), lambda one: one[1].problem.pixels.shape):
        places: dict[int, tuple[int, int, Planted | None]] = {}  # by the number of the job

        def passed(group: Iterator[Any] = group, places: dict = places) -> Iterator[batch.Job]:
            for count, (place, job) in enumerate(group):
                places[count] = place
                yield job

        for count, progress in batch.inverted(
            passed(),
            config,
            slots=slots or config.batch,
            devices=devices,
            on_chunk=functools.partial(tell, places=places),
        ):
            number, index, planted = places.pop(count)
            if number not in at_work:
                continue
            photo = at_work[number]
            try:
                photo.results[index] = _ended(progress, photo, index, config, planted)
            except DivergedError as error:
                end(number, error)
                continue
            if len(photo.results) == len(photo.noisy):
                end(number, _whole(photo))
            elif photo.asked.save:
                photo.asked.save(index, progress)


class _Photo(NamedTuple):
    """A photo at work.

    Attributes:
      asked: What was given.
      pixels: Of the photo.
      plane: What is injected.
      every: Its tiles.
      noisy: Numbers of those that are inverted; the others stay as they are.
      results: Of the tiles that have ended, by their numbers.
      begun: Time of the monotonic clock, seconds.
    """

    asked: Asked
    pixels: UInt8[np.ndarray, "h w 3"]
    plane: Float[np.ndarray, "h w"]
    every: list[Tile]
    noisy: list[int]
    results: dict[int, Result]
    begun: float


def _grid(shape: tuple[int, ...], config: configuration.Config) -> list[Tile]:
    height, width = shape[:2]
    return grid(height, width, config.tile or max(height, width))


def _begun(asked: Asked, config: configuration.Config) -> _Photo:
    image.require_photo(asked.photo)
    pixels = np.asarray(asked.photo)
    if asked.fingerprint is not None:
        correlation.require_fingerprint(asked.fingerprint, (pixels.shape[0], pixels.shape[1]))
        plane = np.asarray(asked.fingerprint, np.float32)
    else:
        plane = anonymize.residual_of(pixels, config.sigma)
    every = _grid(pixels.shape, config)
    noisy = [
        number
        for number, tile in enumerate(every)
        if len(every) == 1 or extractors.extract(pixels[tile.part], sigma=config.sigma).std() > 0
    ]
    if not noisy:
        raise FlatPhotoError("no tile of the photo has noise to remove; leave it out")
    return _Photo(asked, pixels, plane, every, noisy, {}, time.monotonic())


def _job(
    photo: _Photo, index: int, config: configuration.Config
) -> tuple[batch.Job, Planted | None]:
    tile, asked, count = photo.every[index], photo.asked, len(photo.every)
    key = asked.key if count == 1 else jax.random.fold_in(asked.key, index)
    given = asked.fingerprint if count == 1 else photo.plane[tile.part]
    problem, injected, planted = anonymize.stated(key, photo.pixels[tile.part], given, config)
    until = photo.begun + (asked.deadline - photo.begun) * (index + 1) / count
    progress = asked.restore(index, anonymize.start(problem, config))
    return batch.Job(problem, injected, progress, until), planted


def _ended(
    progress: Progress,
    photo: _Photo,
    index: int,
    config: configuration.Config,
    planted: Planted | None,
) -> Result:
    anonymize.finished(progress, config)
    part = photo.every[index].part
    known = None if photo.asked.fingerprint is None else photo.plane[part]
    return anonymize.assemble(progress, photo.pixels[part], config, planted, known)[0]


def _whole(photo: _Photo) -> Result:
    """The photo of its tiles' results."""
    if len(photo.every) == 1:
        result = photo.results[0]
    else:
        parts = [photo.pixels[tile.part] for tile in photo.every]
        made = [photo.results[n].pixels if n in photo.results else p for n, p in enumerate(parts)]
        pixels = blended(photo.pixels.shape[:2], photo.every, made)
        psnr = tiles.psnr(pixels, photo.pixels)
        result = Result(pixels, psnr, {}, {}, _settings(photo.results))
    return anonymize.scored(result, photo.asked.fingerprint)


def _settings(results: dict[int, Result]) -> dict[str, int | float]:
    every = [results[number].settings for number in sorted(results)]
    return {
        **every[0],
        "snapshots": min(one["snapshots"] for one in every),
        "steps": sum(one["steps"] for one in every),
        "gamma": float(np.mean([one["gamma"] for one in every])),
        "tiles": len(every),
    }
