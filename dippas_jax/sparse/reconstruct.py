"""A photo of any size, or some tiles of it, made again from few coefficients by `transform`.

Tiles go to the device; on the host lie the photo, what is made of it and, where a fingerprint is
known, what is kept of that.
"""

import functools
import math
from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array

from dippas_jax.signal import correlation, image, tiles
from dippas_jax.signal.tiles import Codec, Execution, Pixels
from dippas_jax.sparse import transform


class Reconstruction(NamedTuple):
    """A photo, or some tiles of it, from its coefficients.

    Attributes:
      threshold: Of the coefficients.
      compensation: See `transform.resynthesise`.
      psnr: Of the tiles asked for, behind the output codec.
      noise: Their noise's deviation, `transform.noise_level`; infinite where it cannot be seen.
      made: The photo [h w 3], grey levels; None if only some tiles were asked for.
      kept: What is kept of I·K [h w], if K is known.
      alpha: How much of it is to be taken out.
    """

    threshold: float
    compensation: float
    psnr: float
    noise: float
    made: np.ndarray | None
    kept: np.ndarray | None
    alpha: float = 0.0


def reconstruct(
    pixels: Pixels,
    fingerprint: np.ndarray | None,
    chosen: Sequence[tiles.Tile],
    threshold: float,
    compensation: float,
    *,
    codec: Codec | None = None,
    execution: Execution = tiles.PLAIN,
) -> Reconstruction:
    """The tiles `chosen` of a photo, and what they keep of the fingerprint.

    Args:
      pixels: The photo, uint8 or uint16.
      fingerprint: K [h w] in any unit; None where it is not known.
      chosen: Some of `tiles.grid`; the noise's spectrum is that of these.
      threshold: Grey levels of 8 bits.
      compensation: See `transform.resynthesise`.
      codec: Round trip of a tile through the output codec, for the PSNR.
      execution: How the tiles are worked on.
    """
    height, width = pixels.shape[:2]
    rows, columns = (min(tiles.SIDE, side + -side % transform.SIDE) for side in (height, width))
    batches = tiles.batches(execution)

    def regions(tile: tiles.Tile, photo: np.ndarray) -> np.ndarray:
        top, left = tile.top - transform.HALO, tile.left - transform.HALO
        return tiles.cut(photo, top, left, rows + 2 * transform.HALO, columns + 2 * transform.HALO)

    corners = ((regions(tile, pixels), np.array(tile[:2])) for tile in chosen)
    add = functools.partial(_noise_sums, threshold=threshold, size=(height, width))
    both = functools.partial(jax.tree.map, np.add)
    sums = functools.reduce(both, batches.map(add, corners))
    spectrum = transform.spectrum_of(sums)
    noise = float(transform.noise_level(spectrum)) if np.any(sums.total) else math.inf

    def inputs(tile: tiles.Tile) -> tiles.Stack:
        region = regions(tile, pixels)
        return (region,) if fingerprint is None else (region, regions(tile, fingerprint))

    total = height * width
    made = kept = None
    if sum(tile.height * tile.width for tile in chosen) == total:
        made = np.empty(pixels.shape, np.float32)
        kept = None if fingerprint is None else np.empty((height, width), np.float32)
    error, count = 0.0, 0
    work = functools.partial(
        _reconstruct_tiles, threshold=threshold, spectrum=spectrum, compensation=compensation
    )
    for tile, (levels, pattern) in zip(chosen, batches.map(work, map(inputs, chosen)), strict=True):
        levels = levels[: tile.height, : tile.width]
        part = pixels[tile.part]
        done = tiles.rounded(levels, part.dtype)
        seen = done if codec is None else codec(done)
        error += tiles.squares(seen, part)
        count += part.size
        if made is not None:
            made[tile.part] = levels
        if kept is not None:
            kept[tile.part] = pattern[: tile.height, : tile.width]
        execution.on_tile(image.decibels(error, count))
    return Reconstruction(threshold, compensation, image.decibels(error, count), noise, made, kept)


@functools.partial(jax.jit, static_argnames="size")
def _noise_sums(
    regions: Array, corners: Array, *, threshold: ArrayLike, size: tuple[int, int]
) -> transform.NoiseSums:
    """Of every tile [n h w 3]."""

    def one(region: Array, corner: Array) -> transform.NoiseSums:
        return transform.noise_sums(_in_levels(region), threshold, (corner[0], corner[1]), size)

    return jax.vmap(one)(regions, corners)


@jax.jit
def _reconstruct_tiles(
    regions: Array,
    fingerprints: Array | None = None,
    *,
    threshold: ArrayLike,
    spectrum: transform.Spectrum,
    compensation: ArrayLike,
) -> tuple[Array, Array | None]:
    """Tiles [n h w 3] and, where there are fingerprints [n h w], what is kept of I·K."""

    def one(region: Array, fingerprint: Array | None) -> tuple[Array, Array | None]:
        levels = _in_levels(region)
        pattern = None if fingerprint is None else correlation.pattern(levels, fingerprint)
        return transform.rebuild(levels, threshold, spectrum, compensation, pattern)

    return jax.vmap(one)(regions, fingerprints)


def pixels_of(pixels: Pixels, found: Reconstruction) -> Pixels:
    """The photo as pixels of its type, `found.alpha` of what is kept of I·K taken out."""
    assert found.made is not None
    done = np.empty_like(pixels)
    for tile in tiles.grid(*pixels.shape[:2]):
        levels = found.made[tile.part]
        if found.kept is not None:
            levels = levels - np.float32(found.alpha) * found.kept[tile.part][..., None]
        done[tile.part] = tiles.rounded(levels, pixels.dtype)
    return done


def _in_levels(pixels: Array) -> Array:
    """Grey levels of 8 bits, float32."""
    return jnp.asarray(pixels, jnp.float32) * tiles.scale(pixels.dtype)
