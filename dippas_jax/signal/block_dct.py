"""Filters in the DCT of 8x8 blocks, averaged over many places of the grid of blocks.

Planes are float32 [h w], with a block all around (`bordered`), so that what is rolled round the
border is never seen. Coefficients are [r 8 c 8], of an orthonormal transform.
"""

import functools
from collections.abc import Callable

import jax.numpy as jnp
import numpy as np
import scipy.fft
from jax import lax
from jaxtyping import Array, Float

SIDE = 8  # of a block, pixels

MEAN = np.add.outer(np.arange(SIDE), np.arange(SIDE))[:, None, :] == 0
"""Where a block's mean is among its coefficients."""


def bordered(plane: Float[Array, "h w"], mode: str) -> Float[Array, "H W"]:
    """A plane with a block all around and whole blocks in all, padded as `jnp.pad` does."""
    return jnp.pad(plane, [(SIDE, SIDE + (-side) % SIDE) for side in plane.shape], mode=mode)


def within(plane: Float[Array, "H W"], height: int, width: int) -> Float[Array, "h w"]:
    """The plane without its border."""
    return plane[SIDE : SIDE + height, SIDE : SIDE + width]


def filtered(
    change: Callable[..., Array], *planes: Float[Array, "H W"], step: int = 1
) -> Float[Array, "H W"]:
    """The mean over places of the grid of what `change` makes of the planes' coefficients.

    Args:
      change: The coefficients of every plane in, those of the result out.
      planes: All `bordered`.
      step: Pixels between two places of the grid.
    """
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
        back = transform(change(*parts), basis.T).reshape(size)
        return total + jnp.roll(back, place, (0, 1)), None

    places = jnp.stack(jnp.meshgrid(*[jnp.arange(0, SIDE, step)] * 2), -1).reshape(-1, 2)
    total, _ = lax.scan(add, jnp.zeros(size, jnp.float32), places)
    return total / len(places)
