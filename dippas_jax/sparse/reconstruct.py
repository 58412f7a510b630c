"""A photo of any size, or some tiles of it, rebuilt from few coefficients by `sparse`.

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

from dippas_jax.signal import correlation, tiles
from dippas_jax.signal.tiles import Compress, Pixels, Ways
from dippas_jax.sparse import transform


class Rebuilt(NamedTuple):
    """A photo, or some tiles of it, from its coefficients.

    Attributes:
      threshold: Of the coefficients.
      compensation: See `sparse.resynthesise`.
      psnr: Of the tiles asked for, behind the file that is written.
      noise: Their noise's deviation, `sparse.noise_level`; infinite where it cannot be seen.
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


def rebuild(
    pixels: Pixels,
    fingerprint: np.ndarray | None,
    written: Compress | None,
    ways: Ways,
    chosen: Sequence[tiles.Tile],
    threshold: float,
    compensation: float,
) -> Rebuilt:
    """The tiles `chosen` of a photo, and what they keep of the fingerprint.

    Args:
      pixels: The photo, uint8 or uint16.
      fingerprint: K [h w] in any unit; None where it is not known.
      written: What the file gives back in which a tile will be written; None for the same.
      ways: Of the tiles.
      chosen: Some of `tiles.grid`; the noise's spectrum is that of these.
      threshold: Grey levels of 8 bits.
      compensation: See `sparse.resynthesise`.
    """
    height, width = pixels.shape[:2]
    rows, columns = (min(tiles.SIDE, side + -side % transform.SIDE) for side in (height, width))
    batches = tiles.batches(ways)

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
        _rebuild_tiles, threshold=threshold, spectrum=spectrum, compensation=compensation
    )
    for tile, (levels, pattern) in zip(chosen, batches.map(work, map(inputs, chosen)), strict=True):
        levels = levels[: tile.height, : tile.width]
        part = pixels[tile.part]
        done = tiles.rounded(levels, part.dtype)
        seen = done if written is None else written(done)
        error += _squares(tiles.levels(seen), tiles.levels(part))
        count += part.size
        if made is not None:
            made[tile.part] = levels
        if kept is not None:
            kept[tile.part] = pattern[: tile.height, : tile.width]
        ways.tick(_decibels(error, count))
    return Rebuilt(threshold, compensation, _decibels(error, count), noise, made, kept)


@functools.partial(jax.jit, static_argnames="size")
def _noise_sums(
    regions: Array, corners: Array, *, threshold: ArrayLike, size: tuple[int, int]
) -> transform.NoiseSums:
    """Of every tile [n h w 3]."""

    def one(region: Array, corner: Array) -> transform.NoiseSums:
        return transform.noise_sums(_in_levels(region), threshold, (corner[0], corner[1]), size)

    return jax.vmap(one)(regions, corners)


@jax.jit
def _rebuild_tiles(
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


def pixels_of(pixels: Pixels, found: Rebuilt) -> Pixels:
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


def psnr(a: Pixels, b: Pixels) -> float:
    """Of two photos of one type, dB; infinite where they are equal."""
    parts = [tile.part for tile in tiles.grid(*a.shape[:2])]
    error = math.fsum(_squares(tiles.levels(a[part]), tiles.levels(b[part])) for part in parts)
    return _decibels(error, a.size)


def _squares(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.sum(np.square(a - b), dtype=np.float64))


def _decibels(error: float, count: int) -> float:
    return 10 * math.log10(255**2 * count / error) if error > 0 else math.inf
