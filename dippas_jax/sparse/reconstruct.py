"""A photo of any size, or some tiles of it, made again from few coefficients by `transform`.

Tiles go to the device; on the host lie the photo and what is made of it.
"""

import functools
from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array

from dippas_jax.config import SMALLEST_PHOTO
from dippas_jax.signal import image, tiles
from dippas_jax.signal.tiles import Codec, Execution, Pixels
from dippas_jax.sparse import grain, pyramid, transform


class Reconstruction(NamedTuple):
    """A photo, or some tiles of it, from its coefficients.

    Attributes:
      threshold: Of the coefficients.
      psnr: Of the tiles asked for, behind the output codec.
      pixels: The photo [h w 3], of its type; None if only some tiles were asked for.
    """

    threshold: float
    psnr: float
    pixels: Pixels | None


class Cells(NamedTuple):
    """What is done to a photo's cells: see `transform.resynthesise`.

    Attributes:
      flips: Of the dropped coefficients [7 4].
      table: Of the photo's textures.
      alphas: Times I·K that are subtracted [7 4]; None for none.
      grain: How much new noise is put in, by frequency (`grain.gains`); None for none.
      key: Of the new noise.
      low: What is taken out of the photo reduced by `pyramid.FACTOR`; None for nothing.
    """

    flips: np.ndarray
    table: np.ndarray
    alphas: np.ndarray | None = None
    grain: np.ndarray | None = None
    key: Array | None = None
    low: np.ndarray | None = None


def reconstruct(
    pixels: Pixels,
    fingerprint: np.ndarray | None,
    chosen: Sequence[tiles.Tile],
    threshold: float,
    of: Cells,
    *,
    codec: Codec | None = None,
    execution: Execution = tiles.PLAIN,
) -> Reconstruction:
    """The tiles `chosen` of a photo.

    Args:
      pixels: The photo, uint8 or uint16.
      fingerprint: K [h w] in any unit, for `of.alphas`; None where it is not known.
      chosen: Some of `tiles.grid`.
      threshold: Grey levels of 8 bits.
      of: What is done to the cells.
      codec: Round trip of a tile through the output codec, for the PSNR.
      execution: How the tiles are worked on.
    """
    height, width = pixels.shape[:2]
    rows, columns = (min(tiles.SIDE, side + -side % transform.SIDE) for side in (height, width))
    subtract = fingerprint is not None and of.alphas is not None and bool(np.any(of.alphas))

    def inputs(tile: tiles.Tile) -> tiles.Stack:
        corner = tile.top - transform.HALO, tile.left - transform.HALO
        size = rows + 2 * transform.HALO, columns + 2 * transform.HALO
        photos = (pixels, fingerprint) if subtract else (pixels,)
        regions = (tiles.cut(np.asarray(photo), *corner, *size) for photo in photos)
        return (np.array(tile[:2], np.int32), *regions)

    whole = sum(tile.height * tile.width for tile in chosen) == height * width
    made = np.empty_like(pixels) if whole else None
    error, count = 0.0, 0
    work = functools.partial(
        _reconstruct_tiles,
        threshold=threshold,
        flips=of.flips,
        table=of.table,
        alphas=of.alphas if subtract else None,
        gain=of.grain,
        key=of.key,
    )
    batches = tiles.batches(execution)
    for tile, levels in zip(chosen, batches.map(work, map(inputs, chosen)), strict=True):
        part = pixels[tile.part]
        levels = levels[: tile.height, : tile.width]
        if of.low is not None:
            levels = levels - pyramid.enlarged(of.low, tile)
        done = tiles.rounded(levels, part.dtype)
        narrow = min(done.shape[:2]) < SMALLEST_PHOTO  # at a border: no codec takes it
        seen = done if codec is None or narrow else codec(done)
        error += tiles.squares(seen, part)
        count += part.size
        if made is not None:
            made[tile.part] = done
        execution.on_tile(image.decibels(error, count))
    return Reconstruction(threshold, image.decibels(error, count), made)


@jax.jit
def _reconstruct_tiles(
    corners: Array,
    regions: Array,
    fingerprints: Array | None = None,
    *,
    threshold: ArrayLike,
    flips: Array,
    table: Array,
    alphas: Array | None,
    gain: Array | None,
    key: Array | None,
) -> Array:
    """Tiles [n h w 3]; I·K is subtracted where there are fingerprints [n h w]."""

    def one(corner: Array, region: Array, fingerprint: Array | None) -> Array:
        levels = _in_levels(region)
        pattern = None if fingerprint is None else image.luma(levels) * fingerprint
        made = transform.rebuild(levels, threshold, flips, table, pattern, alphas)
        if gain is None or key is None:
            return made
        inner = slice(transform.HALO, -transform.HALO)
        own = jax.random.fold_in(jax.random.fold_in(key, corner[0]), corner[1])
        return made + grain.grain(own, levels[inner, inner] - made, gain)

    return jax.vmap(one)(corners, regions, fingerprints)


def _in_levels(pixels: Array) -> Array:
    """Grey levels of 8 bits, float32."""
    return jnp.asarray(pixels, jnp.float32) * tiles.scale(pixels.dtype)
