"""Photos of any size by the paper's method: overlapping tiles, a network for each, blended.

All tiles have one shape, so one compiled program serves them, several at a time (`batch`). In
blind mode each tile is given its part of the residual of the whole photo. Where tiles overlap
their results pass into each other linearly, so neither an edge nor a step of brightness shows.
"""

import math
import time
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import jax
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array, Float, Key, UInt8

from dippas_jax import config as configuration
from dippas_jax.prior import anonymize, batch
from dippas_jax.prior.anonymize import Progress
from dippas_jax.prior.balance import Planted
from dippas_jax.signal import correlation, extractors, image, tiles
from dippas_jax.signal.tiles import Tile
from dippas_jax.types import FlatPhotoError, Result

OVERLAP = 32
"""Pixels that neighbouring tiles share at least."""


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
    photo = np.asarray(photo)
    height, width = photo.shape[:2]
    if fingerprint is not None:
        correlation.require_fingerprint(fingerprint, (height, width))
        plane = np.asarray(fingerprint, np.float32)
    else:
        plane = anonymize.residual_of(photo, config.sigma)
    every = grid(height, width, config.tile or max(height, width))
    parts = [photo[tile.part] for tile in every]
    results: dict[int, Result] = {}
    work: list[tuple[int, Planted | None]] = []  # the tile of each job
    begun = time.monotonic()

    def jobs() -> Iterator[batch.Job]:
        for index, tile in enumerate(every):
            alone = len(every) == 1
            if not alone and not extractors.extract(parts[index], sigma=config.sigma).std() > 0:
                continue
            own = key if alone else jax.random.fold_in(key, index)
            given = fingerprint if alone else plane[tile.part]
            problem, injected, planted = anonymize.stated(own, parts[index], given, config)
            work.append((index, planted))
            until = begun + (deadline - begun) * (index + 1) / len(every)
            yield batch.Job(problem, injected, anonymize.start(problem, config), until)

    devices = jax.local_devices()
    slots = batch.slots_on(devices, config.batch, len(every))
    for number, progress in batch.inverted(
        jobs(),
        config,
        slots=slots,
        devices=devices,
        on_chunk=lambda running: on_chunk(At(len(every), len(results), running.psnr)),
    ):
        index, planted = work[number]
        results[index] = _ended(progress, parts[index], config, planted, fingerprint, every[index])
    if not results:
        raise FlatPhotoError("no tile of the photo has noise to remove; leave it out")
    made = [results[n].pixels if n in results else part for n, part in enumerate(parts)]
    if len(every) == 1:
        result = results[0]
    else:
        pixels = blended((height, width), every, made)
        result = Result(pixels, tiles.psnr(pixels, photo), {}, {}, _settings(results))
    return anonymize.scored(result, fingerprint)


def _ended(
    progress: Progress,
    part: np.ndarray,
    config: configuration.Config,
    planted: Planted | None,
    fingerprint: ArrayLike | None,
    tile: Tile,
) -> Result:
    anonymize.finished(progress, config)
    known = None if fingerprint is None else np.asarray(fingerprint, np.float32)[tile.part]
    return anonymize.assemble(progress, part, config, planted, known)[0]


def _settings(results: dict[int, Result]) -> dict[str, int | float]:
    every = [result.settings for result in results.values()]
    return {
        **every[0],
        "snapshots": min(one["snapshots"] for one in every),
        "steps": sum(one["steps"] for one in every),
        "gamma": float(np.mean([one["gamma"] for one in every])),
        "tiles": len(every),
    }
