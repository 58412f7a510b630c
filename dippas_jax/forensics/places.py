"""A fingerprint looked for place by place: what finds photos whose pixels were moved a little.

Each block of the residual is correlated with what K leaves around it, at all shifts within a few
pixels, and the highest correlation of each block counts. What chance gives as the highest of as
many shifts is measured in the same blocks at shifts too far for the camera's pixels to have gone,
so no model of the noise is needed. A global shift, a warp and a displacement place by place are
all found, and a photo that was not moved at all as well.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array, Float

from dippas_jax.signal import correlation

SIDE = 128
"""Side of a block, pixels."""

NEAR = 8
"""Farthest shift along an axis at which a block is looked for, pixels."""

_WIDTH = 2 * NEAR + 1  # shifts along an axis of one square of shifts; three by three are computed
_BORDER = NEAR + _WIDTH
_FAR = np.array([0, 1, 2, 3, 5, 6, 7, 8])  # of the nine squares; the near one lies in the middle


def z_score(
    residual: Float[ArrayLike, "h w"], pattern: Float[ArrayLike, "h w"]
) -> Float[Array, ""]:
    """How far the blocks' highest correlations near their places exceed those far from there.

    Args:
      residual: W of the photo.
      pattern: I·K.

    Returns:
      The difference of the mean maxima over the standard error of the nearer ones, where chance
      gives about N(0, 1); nan for photos of less than two blocks.
    """
    residual, pattern = (jnp.asarray(x, jnp.float32) for x in (residual, pattern))
    rows, columns = (side // SIDE for side in residual.shape)
    if rows * columns < 2:
        return jnp.asarray(jnp.nan)
    around = jnp.pad(pattern, _BORDER, mode="reflect")
    size = SIDE + 2 * _BORDER

    def highest(index: Array) -> Array:
        """The highest correlation of a block in each of the nine squares of shifts."""
        corner = index // columns * SIDE, index % columns * SIDE
        block = jax.lax.dynamic_slice(residual, corner, (SIDE, SIDE))
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
    error = jnp.nanstd(far) / jnp.sqrt(jnp.sum(known))
    return (jnp.nanmean(near) - jnp.nanmean(far)) / error
