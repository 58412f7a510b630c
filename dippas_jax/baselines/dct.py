"""Colour denoising in the sliding DCT, for the methods that need a photo without its noise.

As BM3D begins (Dabov, Foi, Katkovnik and Egiazarian, 2007), without its search for similar blocks:
blocks of 8x8 in opponent colours, a hard threshold first, then Wiener's gain with the first result
as what is known of the signal. BM3D itself may not be used commercially. Pixels are float32 in grey
levels, channels last.
"""

import jax
import jax.numpy as jnp
from jax import lax
from jax.typing import ArrayLike
from jaxtyping import Array, Float, Num

from dippas_jax.signal import block_dct

STEP = 2  # pixels between the places of the grid that are averaged over
THRESHOLD = 2.7  # standard deviations of the noise, below which a coefficient is nothing but noise

_NORMS = ((1 / 3) ** 0.5, (1 / 2) ** 0.5, (3 / 8) ** 0.5)  # of the opponent colours' rows


@jax.jit
def denoised(pixels: Num[ArrayLike, "h w 3"], sigma: ArrayLike) -> Float[Array, "h w 3"]:
    """The photo without its noise.

    Args:
      pixels: The photo, at least 16 pixels high and wide. Beyond the border it is mirrored.
      sigma: Standard deviation of the noise, grey levels, above 0.

    Returns:
      Grey levels, not clipped; a flat photo comes through.
    """
    red, green, blue = jnp.moveaxis(jnp.asarray(pixels, jnp.float32), -1, 0)
    opponents = jnp.stack(
        [(red + green + blue) / 3, (red - blue) / 2, (red - 2 * green + blue) / 4]
    )
    grey, u, v = lax.map(lambda x: _plane(*x), (opponents, sigma * jnp.asarray(_NORMS)))
    return jnp.stack([grey + u + 2 / 3 * v, grey - 4 / 3 * v, grey - u + 2 / 3 * v], -1)


def _plane(plane: Array, sigma: Array) -> Array:
    """One colour [h w]; of a constant plane, itself exactly."""
    first = plane[0, 0]
    padded = block_dct.bordered(plane - first, "reflect")

    def threshold(noisy: Array) -> Array:
        return jnp.where((jnp.abs(noisy) >= THRESHOLD * sigma) | block_dct.MEAN, noisy, 0)

    def wiener(noisy: Array, pilot: Array) -> Array:
        power = jnp.square(pilot)
        return jnp.where(block_dct.MEAN, noisy, noisy * power / (power + jnp.square(sigma)))

    pilot = block_dct.filtered(threshold, padded, step=STEP)
    result = block_dct.filtered(wiener, padded, pilot, step=STEP)
    return block_dct.within(result, *plane.shape) + first
