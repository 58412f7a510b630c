"""The snapshots worth keeping: per block position the best, merged chunk by chunk.

A pool's memory is that of `l` photos, whatever the number of steps. Merging is exact: the pool
after any sequence of chunks holds what sorting all snapshots at once would put first.
"""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, UInt8

from dippas_jax.signal import blocks, correlation


class Pool(NamedTuple):
    """The best blocks seen so far, per block position, for one block side and one PSNR threshold.

    Attributes:
      blocks: The `l` best blocks of every position, best first; edge blocks are zero-padded to full
        size.
      rank: Their ranking keys (`blocks.rank_key`), ascending; infinite where nothing has been kept
        yet.
    """

    blocks: UInt8[Array, "l r k b b 3"]
    rank: Float[Array, "l r k"]


class Best(NamedTuple):
    """The snapshot of highest PSNR so far, used when none passes the threshold."""

    pixels: UInt8[Array, "h w 3"]
    psnr: Float[Array, ""]


def empty(h: int, w: int, *, side: int, capacity: int) -> Pool:
    """A pool without snapshots, for photos of h × w pixels and blocks of `side`."""
    r, k = -(-h // side), -(-w // side)
    return Pool(
        jnp.zeros((capacity, r, k, side, side, 3), jnp.uint8),
        jnp.full((capacity, r, k), jnp.inf, jnp.float32),
    )


def merge(
    pool: Pool,
    pixels: UInt8[Array, "t h w 3"],
    residuals: Float[Array, "t h w"],
    fingerprint: Float[Array, "h w"],
    admitted: Bool[Array, " t"],
) -> Pool:
    """The pool after the snapshots of one more chunk.

    Args:
      pool: What was kept so far.
      pixels: The chunk's snapshots, in the order of the steps.
      residuals: Their noise residuals.
      fingerprint: P, against which the blocks are ranked.
      admitted: Which snapshots count: above the threshold and not after the end of the run.
    """
    capacity, side = pool.blocks.shape[0], pool.blocks.shape[-2]
    ncc = correlation.ncc_blocks(residuals, correlation.pattern(pixels, fingerprint), side)
    key = jnp.where(admitted[:, None, None], blocks.rank_key(ncc), jnp.inf)
    keys = jnp.concatenate([pool.rank, key])
    order = jnp.argsort(keys, axis=0, stable=True)[:capacity]
    candidates = jnp.concatenate([pool.blocks, blocks.split(pixels, side)])
    take = jax.vmap(jax.vmap(lambda b, o: b[o], in_axes=1, out_axes=1), in_axes=1, out_axes=1)
    return Pool(take(candidates, order), jnp.take_along_axis(keys, order, 0))


merge_compiled = functools.partial(jax.jit, donate_argnames="pool")(merge)


def assemble(pool: Pool, best: Best, length: int) -> Float[Array, "h w 3"]:
    """The anonymised photo: at every position the mean of the first `length` blocks.

    Fewer are averaged where the pool holds fewer; with an empty pool the result is the best
    snapshot. A pure function: it may be compiled, and mapped over photos.

    Args:
      pool: The blocks kept.
      best: The snapshot of highest PSNR.
      length: L, at most the pool's capacity; static under `jax.jit`.

    Returns:
      Grey levels, not rounded.
    """
    h, w, _ = best.pixels.shape
    kept = jnp.isfinite(pool.rank[:length])
    some = kept.any()
    weights = jnp.where(some, kept, True).astype(jnp.float32)
    averaged = blocks.merge(blocks.average(pool.blocks[:length], weights), h, w)
    return jnp.where(some, averaged, best.pixels.astype(jnp.float32))


def improve(
    best: Best,
    pixels: UInt8[Array, "t h w 3"],
    psnr: Float[Array, " t"],
    counted: Bool[Array, " t"],
) -> Best:
    """The snapshot of highest PSNR, the earlier one on a tie."""
    psnr = jnp.where(counted, psnr, -jnp.inf)
    index = jnp.argmax(psnr)
    better = psnr[index] > best.psnr
    return Best(
        jnp.where(better, pixels[index], best.pixels), jnp.where(better, psnr[index], best.psnr)
    )
