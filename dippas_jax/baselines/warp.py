"""Anonymise by a small random warp of the whole photo: nothing is removed, all of it is moved.

Photos are pixels, uint8 [h w 3], 64 pixels a side at least. The warp is what existing programs do
to a photo so that its fingerprint is no longer found in its place; which one they draw differs, and
this one is ours: the four corners are moved, each by a vector of its own, and all between them by
the projective map that does so. That turns, scales, shears and tilts the photo a little. Whoever
searches for the map finds the camera again.
"""

import math

import jax
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array, Float, Float64, Key, UInt8

from dippas_jax.signal import displacement, image
from dippas_jax.types import InputError

SOURCE = "a small random warp, as existing programs do (reconstructed)"

REACH = 4.0
"""Farthest that a corner is moved along an axis, pixels."""

LARGEST = 16.0  # a quarter of the smallest photo: no corner passes another


def projective(
    key: Key[Array, ""],
    photo: UInt8[ArrayLike, "h w 3"],
    fingerprint: Float[ArrayLike, "h w"] | None = None,
    *,
    reach: float = REACH,
) -> UInt8[Array, "h w 3"]:
    """Move the corners by up to `reach` pixels, and read the photo there by cubic convolution.

    What lies beyond the border is mirrored.

    Args:
      key: Of the warp: every corner is moved uniformly along both axes.
      photo: The photo.
      fingerprint: Not used.
      reach: Farthest that a corner is moved along an axis, 0 to 16 pixels.

    Raises:
      InputError: The reach is out of range, or the photo is none, or too small.
    """
    del fingerprint
    image.require_photo(photo)
    if not 0 <= reach <= LARGEST:
        raise InputError(
            f"corners cannot be moved by up to {reach} pixels; choose a reach of 0 to {LARGEST:g}"
        )
    moves = jax.random.uniform(key, (4, 2), minval=-reach, maxval=reach)
    # Between the corners nothing is moved much farther than they are; twice as far is mirrored.
    border = 2 * math.ceil(reach) + 2
    padded = np.pad(photo, [(border, border)] * 2 + [(0, 0)], mode="reflect")
    return _warp(padded, field(np.asarray(moves, np.float64), *np.shape(photo)[:2]))


def field(moves: Float64[np.ndarray, "4 2"], height: int, width: int) -> Float[np.ndarray, "2 h w"]:
    """By how many rows and columns away each pixel is read, from where its corners are.

    Args:
      moves: Of the corners: upper left, upper right, lower left, lower right; rows and columns.
      height: Of the photo, pixels.
      width: Likewise.
    """
    # Around the middle and in half sides, so that the equations are well conditioned.
    scale = np.array([height - 1, width - 1]) / 2
    corners = np.array([[-1, -1], [-1, 1], [1, -1], [1, 1]], float)
    targets = corners + moves / scale
    equations = np.zeros((8, 8))
    for n, ((y, x), target) in enumerate(zip(corners, targets, strict=True)):
        for axis in (0, 1):
            row = equations[2 * n + axis]
            row[3 * axis : 3 * axis + 3] = y, x, 1
            row[6:] = -target[axis] * y, -target[axis] * x
    a, b, c, d, e, f, g, h = np.linalg.solve(equations, targets.ravel())
    y, x = np.linspace(-1, 1, height)[:, None], np.linspace(-1, 1, width)
    below = g * y + h * x + 1
    read = np.stack([(a * y + b * x + c) / below, (d * y + e * x + f) / below])
    read -= np.stack(np.broadcast_arrays(y, x))
    return (read * scale[:, None, None]).astype(np.float32)


@jax.jit
def _warp(padded: Array, moved: Array) -> Array:
    return image.to_pixels(displacement.resample(padded, moved) / 255)
