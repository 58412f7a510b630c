"""Blocks of photos: how they are cut, ordered and averaged (section 3.3 of the paper).

A photo of h × w pixels has r = ⌈h/b⌉ rows and k = ⌈w/b⌉ columns of blocks of side b. Where b does
not divide the photo the last row and column are smaller; in block form they are filled up with
zeros, which `merge` cuts off again.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, UInt8

UNDEFINED = (
    3.0  # rank of a block without an NCC (a flat one): after every defined one, all at most 2
)


def side_for(side: int, h: int, w: int) -> int:
    """`side`, or the photo's longer side if that is smaller: one block is then the whole photo."""
    return min(side, max(h, w))


def split(pixels: Array, side: int) -> Array:
    """[..., h, w, c] to [..., r, k, b, b, c]."""
    *leading, h, w, c = pixels.shape
    r, k = -(-h // side), -(-w // side)
    fill = [(0, 0)] * len(leading) + [(0, r * side - h), (0, k * side - w), (0, 0)]
    grid = jnp.pad(pixels, fill).reshape(*leading, r, side, k, side, c)
    return jnp.swapaxes(grid, -4, -3)


def merge(blocks: Array, h: int, w: int) -> Array:
    """[..., r, k, b, b, c] back to [..., h, w, c]; the inverse of `split`."""
    *leading, r, k, side, _, c = blocks.shape
    grid = jnp.swapaxes(blocks, -4, -3).reshape(*leading, r * side, k * side, c)
    return grid[..., :h, :w, :]


def rank_key(ncc: Float[Array, "*s"]) -> Float[Array, "*s"]:
    """A number whose ascending order is the paper's.

    Negative NCC come first, the weakest first; then positive ones, the weakest first.

    Args:
      ncc: Correlation of a snapshot's block with the fingerprint's, in [-1, 1]; nan where
        undefined.

    Returns:
      Values in [0, 2], or `UNDEFINED` for nan.
    """
    return jnp.where(jnp.isnan(ncc), UNDEFINED, jnp.where(ncc < 0, -ncc, 1 + ncc))


def rank(ncc: Float[Array, "s r k"]) -> Array:
    """Order of the snapshots at each block position, best first; ties in the order of the steps."""
    return jnp.argsort(rank_key(ncc), axis=0, stable=True)


def average(
    ordered: UInt8[Array, "l r k b b 3"], kept: Float[Array, "l r k"]
) -> Float[Array, "r k b b 3"]:
    """Mean of the blocks at each position, in grey levels.

    Args:
      ordered: The blocks, best first.
      kept: 1 where a block counts, 0 elsewhere; at least one counts at every position.
    """
    weight = kept / kept.sum(0)
    return jnp.einsum(
        "lrk,lrkxyc->rkxyc",
        weight,
        ordered.astype(jnp.float32),
        precision=jax.lax.Precision.HIGHEST,
    )
