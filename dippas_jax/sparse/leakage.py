"""How much of a fingerprint goes through the sparse method, where no fingerprint is known.

A fingerprint is planted in the photo, and its z-score after the method is compared with the one
before: the leakage, 1 for all and 0 for nothing. Of a large photo some parts are looked at.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array, Key

from dippas_jax.signal import correlation, extractors, image, tiles
from dippas_jax.signal.tiles import LOSSLESS, PLAIN, Codec, Codecs, Execution, Pixels
from dippas_jax.sparse import transform

FEW = 8
"""Parts, from all over the photo, in which a planted fingerprint is followed."""

TICKS = 4  # a part takes as long as so many tiles of `reconstruct`
MOVED = 3, 5  # pixels; odd, and no multiple of a JPEG's block
_PLANTED = 0.01  # standard deviation of a planted fingerprint, relative to the signal


def leakage(
    key: Key[Array, ""],
    pixels: Pixels,
    threshold: float,
    compensation: float,
    *,
    codecs: Codecs = LOSSLESS,
    execution: Execution = PLAIN,
) -> dict[str, float]:
    """The share of a planted fingerprint's z-score that is left, by extractor.

    The planted fingerprint is white noise on the raw samples of a Bayer pattern, demosaiced
    bilinearly, of one percent.

    A camera's JPEG keeps of a fingerprint what falls on strong coefficients. So a photo that was
    compressed is taken apart: its reconstruction and the rest, moved by a few pixels, make a photo
    that was not compressed yet. The fingerprint is planted there, and then it is compressed.

    Args:
      key: Of the planted fingerprint.
      pixels: The photo as it came.
      threshold: Of the version in question, grey levels.
      compensation: Of the version in question.
      codecs: Around the method; the output codec counts only where there is a camera's.
      execution: How the parts are worked on.

    Returns:
      Shares by the names of `extractors.NAMES`, with their signs; nan where a part shows nothing.
    """
    chosen = [tile for tile, _ in tiles.windows(*pixels.shape[:2])]
    chosen = tiles.spread(chosen, FEW)
    sums = np.zeros((4, len(extractors.NAMES), 4))
    for index, tile in enumerate(chosen):
        # One at a time: four photos are four tiles already.
        plant = jax.random.fold_in(key, index) if len(chosen) > 1 else key
        levels = tiles.levels(pixels[tile.part])
        if codecs.camera is None:
            found = _planted(plant, levels, threshold, compensation)
        else:
            found = _planted_through_codecs(plant, levels, threshold, compensation, codecs)
        sums += np.asarray(found, np.float64)
        for _ in range(TICKS):
            execution.on_tile(None)
    z = extractors.z_of(sums)
    with np.errstate(invalid="ignore", divide="ignore"):
        return extractors.named((z[3] - z[2]) / (z[1] - z[0]))


@jax.jit
def _planted(key: Array, levels: Array, threshold: ArrayLike, compensation: ArrayLike) -> Array:
    """`extractors.sums` of a part without and with a fingerprint, before and after the method."""
    planted = _demosaiced(jax.random.normal(key, levels.shape[:2]))
    before = jnp.stack([levels, levels * (1 + _PLANTED * planted)])
    after = jax.lax.map(lambda one: _reconstructed(one, threshold, compensation), before)
    variants = jnp.concatenate([before, after])
    return extractors.sums(variants, correlation.pattern(levels, image.luma(planted)))


def _planted_through_codecs(
    key: Array, levels: np.ndarray, threshold: float, compensation: float, codecs: Codecs
) -> Array:
    """The same, the photos before and after each through its codec."""
    planted, apart = _taken_apart(key, levels, threshold)

    def through(pixels: Array, codec: Codec | None) -> np.ndarray:
        eight = tiles.rounded(np.asarray(pixels), np.dtype(np.uint8))
        return tiles.levels(eight if codec is None else codec(eight))

    before = [through(x, codecs.camera) for x in (apart, apart * (1 + _PLANTED * planted))]
    after = [through(_reconstructed(x, threshold, compensation), codecs.output) for x in before]
    pattern = correlation.pattern(levels, image.luma(planted))
    return extractors.sums(np.stack([*before, *after]), pattern)


@jax.jit
def _taken_apart(key: Array, levels: Array, threshold: ArrayLike) -> tuple[Array, Array]:
    """A fingerprint to plant, and the photo with its noise moved."""
    planted = _demosaiced(jax.random.normal(key, levels.shape[:2]))
    scene = _reconstructed(levels, threshold, 0.0)
    return planted, scene + jnp.roll(levels - scene, MOVED, (0, 1))


@jax.jit
def _reconstructed(levels: Array, threshold: ArrayLike, compensation: ArrayLike) -> Array:
    spectrum = transform.noise_spectrum(levels, threshold)
    return transform.resynthesise(levels, threshold, spectrum, compensation)


def _demosaiced(raw: Array) -> Array:
    """Each colour's samples of a Bayer pattern, interpolated bilinearly [h w 3]."""
    h, w = raw.shape
    rows, columns = jnp.mgrid[:h, :w] % 2
    sites = (rows + columns == 0, rows + columns == 1, rows + columns == 2)
    cross = jnp.array([[0, 1, 0], [1, 4, 1], [0, 1, 0]]) / 4
    square = jnp.array([[1, 2, 1], [2, 4, 2], [1, 2, 1]]) / 4
    planes = [
        jax.scipy.signal.convolve2d(jnp.where(site, raw, 0), kernel, mode="same")
        for site, kernel in zip(sites, (square, cross, square), strict=True)
    ]
    return jnp.stack(planes, -1)
