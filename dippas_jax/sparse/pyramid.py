"""The frequencies that 8x8 blocks cannot see, treated in the photo a quarter as wide and high.

A block of the reduced photo covers 32x32 pixels. What it drops there below 1/16 cycle a pixel is
taken out of the result so many times as leaves nothing of a planted pattern from 1/32 to 1/16: once
for what is dropped, and more for the share of a fingerprint that strong coefficients keep.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array, Float

from dippas_jax.signal import cells, image, tiles
from dippas_jax.sparse import transform

FACTOR = 4
SMALLEST = 32 * FACTOR  # pixels a side, of a photo that is treated

MOST = 2.0
"""Times what is dropped is taken out at most: twice turns it over once, faint shading with it."""

BAND = 1 / 32, 1 / 16
"""Cycles a pixel, of the larger of the vertical and the horizontal frequency, that are judged."""

_NOTHING = np.zeros((cells.BANDS, cells.CLASSES), np.float32)
_TABLE = np.arange(9, dtype=np.float32)  # of no texture in particular: nothing is turned over


class Low(NamedTuple):
    """What is done to low frequencies.

    Attributes:
      threshold: Of the reduced photo's coefficients, grey levels; 0 where it is too small.
      times: How often what is dropped is taken out; 0 for not at all.
    """

    threshold: float = 0.0
    times: float = 0.0


def reduced(photo: np.ndarray) -> Float[np.ndarray, "h2 w2 3"]:
    """Means of blocks of 4x4 pixels, of which the last may reach over the edge; grey levels.

    Args:
      photo: Pixels, or grey levels as float32 [h w 3].
    """
    over = [(0, -side % FACTOR) for side in photo.shape[:2]]
    whole = np.pad(photo, [*over, (0, 0)], mode="edge") if np.any(over) else photo
    rows, columns = (side // FACTOR for side in whole.shape[:2])
    means = whole.reshape(rows, FACTOR, columns, FACTOR, 3).mean((1, 3), dtype=np.float32)
    pixels = np.issubdtype(photo.dtype, np.integer)
    return means * np.float32(tiles.scale(photo.dtype)) if pixels else means


def dropped(small: Float[ArrayLike, "h2 w2 3"], threshold: float) -> Float[np.ndarray, "h2 w2 3"]:
    """What the blocks of a reduced photo drop, without what the photo's own blocks can see."""
    return np.asarray(_dropped(jnp.asarray(small, jnp.float32), threshold))


def enlarged(plane: Float[np.ndarray, "h2 w2 3"], tile: tiles.Tile) -> Float[np.ndarray, "h w 3"]:
    """A tile of what belongs to a reduced photo, interpolated linearly to the photo's pixels."""
    for axis, (start, length) in enumerate(((tile.top, tile.height), (tile.left, tile.width))):
        place = (np.arange(start, start + length) + 0.5) / FACTOR - 0.5
        first = np.floor(place).astype(int)
        weight = np.expand_dims((place - first).astype(np.float32), tuple({0, 1, 2} - {axis}))
        one, next_one = (
            plane.take(np.clip(at, 0, plane.shape[axis] - 1), axis) for at in (first, first + 1)
        )
        plane = one + weight * (next_one - one)
    return plane


def plane(photo: np.ndarray, low: Low) -> Float[np.ndarray, "h2 w2 3"] | None:
    """What is taken out of a reduced photo, grey levels; None where it is nothing."""
    if not low.times:
        return None
    return low.times * dropped(reduced(photo), low.threshold)


def taken(levels: Float[np.ndarray, "h w 3"], low: Low) -> Float[np.ndarray, "h w 3"] | float:
    """What is taken out of a part of a photo that is treated as a photo of its own."""
    small = plane(levels, low)
    return 0.0 if small is None else enlarged(small, tiles.Tile(0, 0, *levels.shape[:2]))


@jax.jit
def response(
    without: Float[ArrayLike, "h w 3"],
    planted: Float[ArrayLike, "h w 3"],
    pattern: Float[ArrayLike, "h w"],
) -> Float[Array, ""]:
    """Σ of what differs in brightness between two versions times a pattern, in `BAND`."""
    difference = image.luma(jnp.asarray(planted) - jnp.asarray(without))
    rows, columns = np.fft.fftfreq(difference.shape[0]), np.fft.rfftfreq(difference.shape[1])
    place = np.maximum(np.abs(rows)[:, None], columns)
    inside = (place >= BAND[0]) & (place < BAND[1])
    part = jnp.fft.irfft2(jnp.fft.rfft2(difference) * inside, s=difference.shape)
    return jnp.sum(part * pattern)


@jax.jit
def _dropped(small: Array, threshold: ArrayLike) -> Array:
    found = small - transform.resynthesise(
        small, threshold, jnp.asarray(_NOTHING), jnp.asarray(_TABLE)
    )
    for _ in range(2):
        padded = jnp.pad(found, ((1, 1), (1, 1), (0, 0)), mode="edge")
        found = (padded[:-2] + 2 * padded[1:-1] + padded[2:]) / 4
        found = (found[:, :-2] + 2 * found[:, 1:-1] + found[:, 2:]) / 4
    return found
