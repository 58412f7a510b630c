"""Colour denoising in the sliding DCT, for the methods that need a photo without its noise.

As BM3D begins (Dabov, Foi, Katkovnik and Egiazarian, 2007), without its search for similar blocks:
blocks of 8x8 in opponent colours, a hard threshold first, then Wiener's gain with the first result
as what is known of the signal. BM3D itself may not be used commercially. Pixels are float32 in grey
levels, channels last.
"""

import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import scipy.fft
from jax import lax
from jax.typing import ArrayLike
from jaxtyping import Array, Float, Num

SIDE = 8  # of a block, pixels
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
    height, width = plane.shape
    first = plane[0, 0]
    # A block all around, so that what is rolled round the border is never seen.
    pads = [(SIDE, SIDE + (-side) % SIDE) for side in (height, width)]
    padded = jnp.pad(plane - first, pads, mode="reflect")
    mean = np.add.outer(np.arange(SIDE), np.arange(SIDE))[:, None, :] == 0  # never noise

    def threshold(noisy: Array) -> Array:
        return jnp.where((jnp.abs(noisy) >= THRESHOLD * sigma) | mean, noisy, 0)

    def wiener(noisy: Array, pilot: Array) -> Array:
        power = jnp.square(pilot)
        return jnp.where(mean, noisy, noisy * power / (power + jnp.square(sigma)))

    pilot = _filtered(threshold, padded)
    result = _filtered(wiener, padded, pilot)
    return result[SIDE : SIDE + height, SIDE : SIDE + width] + first


def _filtered(shrink: Callable[..., Array], *planes: Array) -> Array:
    """The mean over places of the grid of what `shrink` makes of the planes' coefficients."""
    size = planes[0].shape
    blocks = (size[0] // SIDE, SIDE, size[1] // SIDE, SIDE)
    basis = jnp.asarray(scipy.fft.dct(np.eye(SIDE), axis=0, norm="ortho"), jnp.float32)
    product = functools.partial(jnp.einsum, precision=lax.Precision.HIGHEST)

    def transform(x: Array, matrix: Array) -> Array:
        return product("vj,aubj->aubv", matrix, product("ui,aibj->aubj", matrix, x))

    def add(total: Array, place: Array) -> tuple[Array, None]:
        parts = (
            transform(jnp.roll(plane, -place, (0, 1)).reshape(blocks), basis) for plane in planes
        )
        back = transform(shrink(*parts), basis.T).reshape(size)
        return total + jnp.roll(back, place, (0, 1)), None

    places = jnp.stack(jnp.meshgrid(*[jnp.arange(0, SIDE, STEP)] * 2), -1).reshape(-1, 2)
    total, _ = lax.scan(add, jnp.zeros(size, jnp.float32), places)
    return total / len(places)
