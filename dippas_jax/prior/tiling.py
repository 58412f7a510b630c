"""A photo of any size in overlapping tiles of one shape, and the photo of their results.

Each tile is inverted for itself, with its part of K or, blind, of the residual of the whole photo:
`cut`, then `stated` and `assembled` for every tile that is `noisy`, then `joined`. Where tiles
overlap their results pass into each other linearly, so neither an edge nor a step of brightness
shows.
"""

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import jax
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array, Float, Key, UInt8

from dippas_jax import config as configuration
from dippas_jax.prior import anonymize
from dippas_jax.prior.anonymize import Progress
from dippas_jax.prior.balance import Planted
from dippas_jax.prior.state import Problem
from dippas_jax.signal import extractors, tiles
from dippas_jax.signal.tiles import Tile
from dippas_jax.types import FlatPhotoError, Result

OVERLAP = 32
"""Pixels that neighbouring tiles share at least."""

_MULTIPLE = 32
"""Of which the sides of tiles are multiples, so that no scale of the network is padded."""


class Tiled(NamedTuple):
    """A photo in tiles.

    Attributes:
      key: All randomness; each tile's key is made of it and of the tile's number.
      photo: As it came.
      fingerprint: K, where it is known.
      plane: Of which every tile is given its part: K or, blind, the residual of the whole photo.
      every: The tiles, row by row.
    """

    key: Key[Array, ""]
    photo: UInt8[np.ndarray, "h w 3"]
    fingerprint: Float[np.ndarray, "h w"] | None
    plane: Float[np.ndarray, "h w"]
    every: Sequence[Tile]

    @property
    def alone(self) -> bool:
        """Whether the photo is no larger than a tile: it has one network, with the photo's key."""
        return len(self.every) == 1


def grid(height: int, width: int, side: int) -> list[Tile]:
    """Tiles of one shape that cover a photo, all whole in it, evenly spread, row by row.

    There are as many as tiles of `side` pixels need, and each is no larger than so many need to be:
    1024 pixels take three tiles of 384, not of 512. They are square where both sides of the photo
    are longer, so that photos taken upright have the same ones.

    Args:
      height: Of the photo, pixels.
      width: Likewise.
      side: Most pixels a side of a tile, more than `OVERLAP`; 0 for one tile.
    """
    side = side or max(height, width)

    def needed(length: int) -> int:
        count = math.ceil((length - OVERLAP) / (side - OVERLAP))
        own = (length + (count - 1) * OVERLAP) / count
        return min(side, math.ceil(own / _MULTIPLE) * _MULTIPLE)

    long = [length for length in (height, width) if length > side]
    own_side = max(map(needed, long), default=0)

    def along(length: int) -> tuple[list[int], int]:
        if length <= side:
            return [0], length
        count = math.ceil((length - OVERLAP) / (own_side - OVERLAP))
        return [round(n * (length - own_side) / (count - 1)) for n in range(count)], own_side

    (tops, rows), (lefts, columns) = along(height), along(width)
    return [Tile(top, left, rows, columns) for top in tops for left in lefts]


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


def cut(
    key: Key[Array, ""],
    photo: UInt8[np.ndarray, "h w 3"],
    fingerprint: ArrayLike | None,
    config: configuration.Config,
) -> Tiled:
    """The photo in tiles of `config.tile` pixels a side; `FlatPhotoError` if it is blind and flat.

    Args:
      key: All randomness.
      photo: As it came.
      fingerprint: K; None for blind.
      config: Of the whole run.
    """
    known = None if fingerprint is None else np.asarray(fingerprint, np.float32)
    plane = anonymize.residual_of(photo, config.sigma) if known is None else known
    return Tiled(key, photo, known, plane, grid(photo.shape[0], photo.shape[1], config.tile))


def noisy(tiled: Tiled, config: configuration.Config) -> list[int]:
    """Numbers of the tiles from which there is noise to remove; the others stay as they are.

    Raises:
      FlatPhotoError: There is none.
    """
    parts = [tiled.photo[tile.part] for tile in tiled.every]
    found = [
        n for n, part in enumerate(parts) if extractors.extract(part, sigma=config.sigma).std() > 0
    ]
    if not found:
        raise FlatPhotoError(anonymize.FLAT)
    return found


def stated(
    tiled: Tiled, index: int, config: configuration.Config
) -> tuple[Problem, Float[np.ndarray, "h w"], Planted | None]:
    """What the network of a tile is fitted to, as `anonymize.stated`.

    Args:
      tiled: The photo.
      index: Number of the tile.
      config: Of the whole run.
    """
    if tiled.alone:
        return anonymize.stated(tiled.key, tiled.photo, tiled.fingerprint, config)
    part, own = tiled.every[index].part, jax.random.fold_in(tiled.key, index)
    # Blind, a pattern that is planted shows in the tile's own residual, as the camera's noise does.
    itself = tiled.fingerprint is None and config.assembly.compensation > 0
    plane = None if itself else tiled.plane[part]
    return anonymize.stated(own, tiled.photo[part], plane, config)


def until(tiled: Tiled, index: int, begun: float, deadline: float, slots: int) -> float:
    """When a tile is to be taken as it is, so that each has its share of the photo's time.

    Args:
      tiled: The photo.
      index: Number of the tile.
      begun: When the photo was begun, seconds of the monotonic clock.
      deadline: When it has to be done; infinite if it need not be.
      slots: Tiles at work at a time, which share the time of as many.
    """
    passed = min((index // slots + 1) * slots, len(tiled.every))
    return begun + (deadline - begun) * passed / len(tiled.every)


def assembled(
    tiled: Tiled,
    index: int,
    progress: Progress,
    planted: Planted | None,
    config: configuration.Config,
) -> list[Result]:
    """Every version of a tile, as `anonymize.assemble`."""
    part, known = tiled.every[index].part, tiled.fingerprint
    cut_out = None if known is None else known[part]
    return anonymize.assemble(progress, tiled.photo[part], config, planted, cut_out)


def joined(tiled: Tiled, results: Mapping[int, Sequence[Result]]) -> list[Result]:
    """Every version of the photo from those of its tiles; a tile that is not there is unchanged.

    Args:
      tiled: The photo.
      results: By the tile's number, its versions.

    Returns:
      Those of the tile if the photo has but one. Of several, versions without history and leakage;
      of their settings, snapshots are the fewest of a tile, steps those of all tiles, gamma is the
      mean, tiles says how many there are results of.
    """
    if tiled.alone:
        return list(results[0])
    made = []
    numbers = sorted(results)
    for version in zip(*(results[number] for number in numbers), strict=True):
        of = dict(zip(numbers, version, strict=True))
        parts = [
            of[n].pixels if n in of else tiled.photo[tile.part]
            for n, tile in enumerate(tiled.every)
        ]
        pixels = blended((tiled.photo.shape[0], tiled.photo.shape[1]), tiled.every, parts)
        every = [result.settings for result in version]
        settings = {
            **every[0],
            "snapshots": min(one["snapshots"] for one in every),
            "steps": sum(one["steps"] for one in every),
            "gamma": float(np.mean([one["gamma"] for one in every])),
            "tiles": len(every),
        }
        made.append(Result(pixels, tiles.psnr(pixels, tiled.photo), {}, {}, settings))
    return made
