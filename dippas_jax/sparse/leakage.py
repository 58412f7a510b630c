"""What a mixture of extractors finds of a fingerprint in a photo of any size, part by part.

Correlations are added up over parts of one shape, so that the memory does not grow with the photo.
Each part is looked at for itself: its residual knows no pixels beyond it. Over a photo of one part
z is that of equation 2; over several it is that of their sums.
"""

from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array, Float, Key

from dippas_jax.signal import correlation, image, residual, tiles
from dippas_jax.signal.tiles import PLAIN, Compress, Pixels, Ways
from dippas_jax.sparse import transform

SIGMAS = (2.0, 3.0, 5.0)
"""Of the mixture's extractors, grey levels."""

FEW = 8
"""Parts, from all over the photo, in which a planted fingerprint is followed."""

TICKS = 4  # a part's, which takes as long as so many tiles elsewhere

NAMES = (*(f"sigma-{sigma:g}" for sigma in SIGMAS), "busy")
MOVED = 3, 5  # pixels; odd, and no multiple of a JPEG's block
_PLANTED = 0.01  # standard deviation of a planted fingerprint, relative to the signal


def scores(
    pixels: Pixels, fingerprint: Float[ArrayLike, "h w"], *, ways: Ways = PLAIN
) -> dict[str, float]:
    """z-scores of the mixture's extractors, by name.

    Args:
      pixels: The photo.
      fingerprint: K in any unit.
      ways: See there.
    """
    k = np.asarray(fingerprint, np.float32)

    def look(tile: tiles.Tile) -> tuple[np.ndarray, np.ndarray]:
        levels = tiles.levels(pixels[tile.part])
        return levels[None], luma(levels) * k[tile.part]

    return _named(z_scores(look, pixels.shape, ways)[0])


def share_left(
    key: Key[Array, ""],
    pixels: Pixels,
    threshold: float,
    compensation: float,
    *,
    came: Compress | None = None,
    written: Compress | None = None,
    ways: Ways = PLAIN,
) -> dict[str, float]:
    """How much of a planted fingerprint's z-score is left, by extractor: 1 all, 0 nothing.

    What can be said of a photo whose camera's fingerprint is not known. The planted one is white
    noise on the raw samples of a Bayer pattern, demosaiced bilinearly, of one percent. Of a large
    photo some parts are looked at.

    A camera's JPEG keeps of a fingerprint what falls on strong coefficients, so a photo that was
    compressed is taken apart: what is rebuilt of it and the rest, moved by a few pixels, make a
    photo that was not compressed yet. The fingerprint is planted there, then it is compressed.

    Args:
      key: Of the planted fingerprint.
      pixels: The photo as it came.
      threshold: Of the version in question.
      compensation: Likewise.
      came: How the camera compressed the photo, if it did: pixels to pixels, of any size.
      written: The same for the file to be written; only where `came` is given.
      ways: See there.
    """
    chosen = [tile for tile, _ in tiles.windows(*pixels.shape[:2])]
    chosen = tiles.spread(chosen, FEW)
    sums = np.zeros((4, len(NAMES), 4))
    for index, tile in enumerate(chosen):
        # One at a time: four photos are four tiles already.
        plant = jax.random.fold_in(key, index) if len(chosen) > 1 else key
        levels = tiles.levels(pixels[tile.part])
        if came is None:
            found = _planted(plant, levels, threshold, compensation)
        else:
            found = _behind_files(plant, levels, threshold, compensation, came, written)
        sums += np.asarray(found, np.float64)
        for _ in range(TICKS):
            ways.tick(None)
    z = _z(sums)
    with np.errstate(invalid="ignore", divide="ignore"):
        return _named((z[3] - z[2]) / (z[1] - z[0]))


def z_scores(
    look: Callable[[tiles.Tile], tuple[np.ndarray, np.ndarray]], size: Sequence[int], ways: Ways
) -> np.ndarray:
    """z-scores [v 4] over a photo of which `look` gives parts: v variants [v h w 3], I·K [h w]."""
    every = tiles.windows(size[0], size[1])
    items = ((*look(tile), np.array(shown)) for tile, shown in every)
    sums = np.zeros(())
    for found in tiles.batches(ways).map(_looked_at, items):
        sums = sums + np.asarray(found, np.float64)
        ways.tick(None)
    return _z(sums)


@jax.jit
@jax.vmap
def _looked_at(variants: Array, pattern: Array, shown: Array) -> Array:
    """By variant and extractor [v 4 4]: Σ W·P, Σ W², Σ P², pixels; without what is shown already.

    Each extractor looks at the whole part, the last at the half where the first variant is busy.
    """
    rows, columns = (jnp.arange(side) for side in pattern.shape)
    new = (rows >= shown[0])[:, None] & (columns >= shown[1])
    busy = image.busy(jnp.clip(variants[0], 0, 255)) & new

    def one(levels: Array) -> Array:
        levels = jnp.clip(levels, 0, 255)
        planes = jax.lax.map(
            lambda sigma: residual.residual(levels, sigma=sigma), jnp.array(SIGMAS)
        )
        planes = jnp.concatenate([planes, planes[1:2]])
        where = jnp.stack([new, new, new, busy])
        terms = planes * pattern, jnp.square(planes), jnp.square(pattern), jnp.ones_like(pattern)
        return jnp.stack([jnp.sum(where * term, (1, 2)) for term in terms], -1)

    return jax.lax.map(one, variants)


def _z(sums: np.ndarray) -> np.ndarray:
    """z-scores [v 4] from the sums of all parts; nan where there is nothing to compare."""
    products, residuals, patterns, pixels = np.moveaxis(sums, -1, 0)
    norms = np.sqrt(residuals * patterns)
    return np.where(norms > 0, products / np.where(norms > 0, norms, 1), np.nan) * np.sqrt(pixels)


@jax.jit
def _planted(key: Array, levels: Array, threshold: ArrayLike, compensation: ArrayLike) -> Array:
    """Sums of `_looked_at` for a part as it is and with a fingerprint, before and after."""
    planted = _demosaiced(jax.random.normal(key, levels.shape[:2]))
    before = jnp.stack([levels, levels * (1 + _PLANTED * planted)])

    after = jax.lax.map(lambda one: _rebuilt(one, threshold, compensation), before)
    variants = jnp.concatenate([before, after])
    pattern = correlation.pattern(levels, image.luma(planted))
    return _looked_at(variants[None], pattern[None], jnp.zeros((1, 2), int))[0]


def _behind_files(
    key: Array,
    levels: np.ndarray,
    threshold: float,
    compensation: float,
    came: Compress,
    written: Compress | None,
) -> Array:
    """The same, compressed before and behind."""
    planted, apart = _taken_apart(key, levels, threshold)

    def through(pixels: Array, file: Compress | None) -> np.ndarray:
        eight = tiles.rounded(np.asarray(pixels), np.dtype(np.uint8))
        return tiles.levels(eight if file is None else file(eight))

    before = [through(x, came) for x in (apart, apart * (1 + _PLANTED * planted))]
    after = [through(_rebuilt(x, threshold, compensation), written) for x in before]
    pattern = correlation.pattern(levels, image.luma(planted))
    return _looked_at(np.stack([*before, *after])[None], pattern[None], np.zeros((1, 2), int))[0]


@jax.jit
def _taken_apart(key: Array, levels: Array, threshold: ArrayLike) -> tuple[Array, Array]:
    """A fingerprint to plant, and the photo with its noise moved."""
    planted = _demosaiced(jax.random.normal(key, levels.shape[:2]))
    scene = _rebuilt(levels, threshold, 0.0)
    return planted, scene + jnp.roll(levels - scene, MOVED, (0, 1))


@jax.jit
def _rebuilt(levels: Array, threshold: ArrayLike, compensation: ArrayLike) -> Array:
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


def _named(values: np.ndarray) -> dict[str, float]:
    return dict(zip(NAMES, values.tolist(), strict=True))


def luma(levels: np.ndarray) -> np.ndarray:
    """The grey plane of a part [h w 3], on the host."""
    return levels @ np.array(image.LUMA, np.float32)
