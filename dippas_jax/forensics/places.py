"""A fingerprint looked for place by place: what finds photos whose pixels were moved a little.

Each block of the residual is correlated with what K leaves around it, at all shifts within a few
pixels, and the highest correlation of each block counts. What chance gives as the highest of as
many shifts is measured in the same blocks at shifts too far for the camera's pixels to have gone,
so no model of the noise is needed. A global shift, a warp and a displacement place by place are
all found, and a photo that was not moved at all as well. What moves smaller pieces, such as seam
carving, is found with smaller blocks that overlap.
"""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array, Float

from dippas_jax.signal import correlation


class Blocks(NamedTuple):
    """How a photo is cut.

    Attributes:
      side: Of a block, pixels.
      step: From one to the next, pixels.
      spread: Standard deviation of the mean of what blocks give by chance, over that of as many
        which do not overlap; of white noise, to two digits.
    """

    side: int
    step: int
    spread: float


LARGE = Blocks(128, 128, 1.0)
SMALL = Blocks(64, 32, 1.5)

NEAR = 8
"""Farthest shift along an axis at which a block is looked for, pixels; up and to the left."""

_WIDTH = 2 * NEAR  # shifts along an axis of one square of shifts; three by three are computed
_BORDER = NEAR + _WIDTH
assert _WIDTH % 8 == 0, "every square holds as many steps of a JPEG's blocks as the others"
_FAR = np.array([0, 1, 2, 3, 5, 6, 7, 8])  # of the nine squares; the near one lies in the middle


@functools.partial(jax.jit, static_argnames="blocks")
def z_score(
    residual: Float[ArrayLike, "h w"], pattern: Float[ArrayLike, "h w"], blocks: Blocks = LARGE
) -> Float[Array, ""]:
    """How far the blocks' highest correlations near their places exceed those far from there.

    Args:
      residual: W of the photo, or W·I.
      pattern: I·K, or K: of the second pair only the fingerprint is shifted, so it finds more.
      blocks: `LARGE`, or `SMALL` for what moved small pieces.

    Returns:
      The difference of the mean maxima over the standard error of the nearer ones, where chance
      gives about N(0, 1); nan for photos of less than two blocks.
    """
    residual, pattern = (jnp.asarray(x, jnp.float32) for x in (residual, pattern))
    side, step, spread = blocks
    rows, columns = (max((length - side) // step + 1, 0) for length in residual.shape)
    if rows * columns < 2:
        return jnp.asarray(jnp.nan)
    around = jnp.pad(pattern, _BORDER, mode="reflect")
    size = side + 2 * _BORDER

    def highest(index: Array) -> Array:
        """The highest correlation of a block in each of the nine squares of shifts."""
        corner = index // columns * step, index % columns * step
        block = jax.lax.dynamic_slice(residual, corner, (side, side))
        seen = jax.lax.dynamic_slice(around, corner, (size, size))
        block = jnp.pad(block - jnp.mean(block), (0, 2 * _BORDER))
        surface = correlation.circular_cross_correlation(seen, block)
        shifts = surface[: 3 * _WIDTH, : 3 * _WIDTH]
        scale = jnp.std(shifts)
        highest = jnp.max(shifts.reshape(3, _WIDTH, 3, _WIDTH), (1, 3)).ravel()
        return highest / jnp.where(scale > 0, scale, jnp.nan)

    found = jax.lax.map(highest, jnp.arange(rows * columns))
    near, far = found[:, 4], found[:, _FAR]
    known = ~jnp.isnan(near)
    error = spread * jnp.nanstd(far) / jnp.sqrt(jnp.sum(known))
    return (jnp.nanmean(near) - jnp.nanmean(far)) / error
