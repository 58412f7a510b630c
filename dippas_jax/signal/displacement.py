"""Pixels moved by a smooth random field, so that what stays of a fingerprint lies elsewhere.

A fingerprint is looked for where the sensor has it. Every place of the photo is moved by its own
small vector: the field is normal, `LENGTH` pixels from one node to the next, and a cubic spline
between them, so that nothing tears and the eye sees nothing. Of a component of frequency f (cycles
a pixel) a field of standard deviation s leaves, on average, exp(-2π²s²f²) where it was (`share`).
It hides from those who look in place; those who search place by place find what was not removed
before, so the field comes last, behind a method that removes.
"""

import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array, Float, Key, Num
from scipy import stats

from dippas_jax.signal import tiles
from dippas_jax.signal.tiles import PLAIN, Execution, Pixels

LENGTH = 128
"""Pixels between two nodes of the field."""

_FARTHEST = 2.0  # standard deviations of a node, cut off there
_NODE = 0.8796  # the standard deviation of a normal cut off at two
_SPLINE = 151 / 315  # mean sum of squared weights along one axis of a cubic spline


class Field:
    """The vectors of a photo, each part on request.

    Args:
      key: Of the field.
      height: Of the photo, pixels.
      width: Likewise.
      size: Standard deviation along each axis, pixels.
      secret: What the field depends on besides, such as a hash: of a key alone all can be tried.
    """

    def __init__(
        self, key: Key[Array, ""], height: int, width: int, size: float, secret: bytes = b""
    ):
        shape = 2, height // LENGTH + 4, width // LENGTH + 4
        seed = np.random.SeedSequence([*jax.random.key_data(key).tolist(), *secret])
        drawn = stats.truncnorm(-_FARTHEST, _FARTHEST).rvs(shape, np.random.default_rng(seed))
        self._nodes = drawn * (size / _NODE / _SPLINE)
        self.reach = math.ceil(_FARTHEST * size / _NODE / _SPLINE)
        """Pixels; nothing is moved farther along an axis."""

    def of(self, tile: tiles.Tile) -> Float[np.ndarray, "2 h w"]:
        """By how many rows and columns away each pixel of a tile is to be read."""
        down = _weights(tile.top, tile.height, self._nodes.shape[1])
        across = _weights(tile.left, tile.width, self._nodes.shape[2])
        return (down @ self._nodes @ across.T).astype(np.float32)

    def move(self, levels: Float[np.ndarray, "h w 3"], tile: tiles.Tile) -> np.ndarray:
        """The pixels of a tile, moved, with what lies beyond it mirrored."""
        border = self.reach + 2  # as far as a cubic kernel sees
        size = tile.height + 2 * border, tile.width + 2 * border
        return np.asarray(_resample(tiles.cut(levels, -border, -border, *size), self.of(tile)))


def share(size: float, frequency: ArrayLike) -> np.ndarray:
    """What is left in place of a component of that frequency, cycles a pixel, on average."""
    return np.asarray(np.exp(-2 * np.square(np.pi * size * np.asarray(frequency))))


def displaced(pixels: Pixels, by: Field, execution: Execution = PLAIN) -> Pixels:
    """The photo, each pixel read where the field says; of the type in which it came.

    Args:
      pixels: uint8 or uint16 [h w 3].
      by: The field of a photo of that size.
      execution: How the tiles are worked on; `on_tile` is not called.
    """
    every = tiles.grid(*pixels.shape[:2])
    rows, columns = every[0].height, every[0].width
    border = by.reach + 2

    def inputs(tile: tiles.Tile) -> tiles.Stack:
        whole = tile._replace(height=rows, width=columns)
        corner = tile.top - border, tile.left - border
        size = rows + 2 * border, columns + 2 * border
        return tiles.cut(pixels, *corner, *size), by.of(whole)

    made = np.empty_like(pixels)
    batches = tiles.batches(execution)
    for tile, moved in zip(every, batches.map(_resample_all, map(inputs, every)), strict=True):
        levels = moved[: tile.height, : tile.width] * np.float32(tiles.scale(pixels.dtype))
        made[tile.part] = tiles.rounded(levels, pixels.dtype)
    return made


def resample(
    image: Num[ArrayLike, "H W c"], field: Float[ArrayLike, "2 h w"]
) -> Float[Array, "h w c"]:
    """Reads an image away from its pixels, by cubic convolution (Keys, 1981, a = -1/2).

    Args:
      image: With the same border on all sides, H - h and W - w being twice that. What is read
        beyond it is taken from its edge.
      field: By how many rows and columns away from a pixel its value is read.
    """
    image = jnp.asarray(image, jnp.float32)
    height, width = np.shape(field)[1:]
    steps, border = jnp.asarray(field), (image.shape[0] - height) // 2
    places = steps[0] + border + jnp.arange(height)[:, None], steps[1] + border + jnp.arange(width)
    first = [jnp.floor(place) for place in places]
    rows, columns = (_taps(place - start) for place, start in zip(places, first, strict=True))
    top, left = (start.astype(jnp.int32) for start in first)
    result = jnp.zeros((height, width, image.shape[2]), jnp.float32)
    for down, row in enumerate(rows, -1):
        for across, column in enumerate(columns, -1):
            y = jnp.clip(top + down, 0, image.shape[0] - 1)
            x = jnp.clip(left + across, 0, image.shape[1] - 1)
            result += (row * column)[..., None] * image[y, x]
    return result


_resample, _resample_all = jax.jit(resample), jax.jit(jax.vmap(resample))


def _taps(t: Array) -> tuple[Array, Array, Array, Array]:
    """Weights of the pixels at -1, 0, 1 and 2 for a place t in [0, 1)."""
    return (
        t * (-0.5 + t * (1 - 0.5 * t)),
        1 + t * t * (-2.5 + 1.5 * t),
        t * (0.5 + t * (2 - 1.5 * t)),
        t * t * (-0.5 + 0.5 * t),
    )


@functools.lru_cache(maxsize=64)
def _weights(start: int, count: int, nodes: int) -> np.ndarray:
    """Of every node of a cubic spline, in pixels from `start` on."""
    place = (np.arange(start, start + count) / LENGTH + 1)[:, None] - np.arange(nodes)
    x = np.abs(place)
    inner, outer = 2 / 3 - x**2 * (1 - x / 2), np.maximum(2 - x, 0) ** 3 / 6
    return np.where(x < 1, inner, outer)
