"""A fingerprint from flat-field photos, and whether they are good ones, in one pass.

Photos are pixels in [0, 255], channels last, of one size and orientation. The photos go by turns to
two halves, whose sums are kept apart: together they give K, and the correlation of the two
estimates tells how far K is the same in both (split-half reliability):

    result = flat_field.estimate(photos)

The memory is that of two accumulators, whatever the number of photos.
"""

from collections.abc import Iterable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array, Float, Num

from dippas_jax.signal import correlation, fingerprint, image, residual
from dippas_jax.types import InputError

UNIT = "1 is 1/255 of the signal: I = I0 (1 + K/255)"
"""What a value of 1 in K means."""

EXTRACTOR = "wavelet Wiener filter (db4, 4 levels), maximum likelihood"

CELL = 16
"""Side of the cells whose means say how evenly a photo is lit, pixels."""


class Flats(NamedTuple):
    """Sums over the photos seen so far.

    Attributes:
      next: The half that takes the next photo.
      other: The other half.
      unevenness: Σ standard deviation of the cells' means, relative to their mean.
      saturation: Σ share of pixels with a saturated channel.
    """

    next: fingerprint.Accumulator
    other: fingerprint.Accumulator
    unevenness: Float[Array, ""]
    saturation: Float[Array, ""]


class Result(NamedTuple):
    """What the photos give.

    Attributes:
      plane: The fingerprint K from all photos.
      reliability: Correlation ρ of the estimates from the two halves, not corrected for their being
        halves (`of_all` is); nan with fewer than two photos.
      flatness: Mean over the photos of the standard deviation of the brightness of cells of `CELL`
        pixels, relative to the mean: 0 for an even wall.
      saturation: Mean share of pixels with a saturated channel, which say nothing about K.
    """

    plane: Float[Array, "h w"]
    reliability: Float[Array, ""]
    flatness: Float[Array, ""]
    saturation: Float[Array, ""]


def estimate(photos: Iterable[ArrayLike], *, sigma: float = residual.SIGMA) -> Result:
    """The fingerprint from flat-field photos: the one loop over them in this package.

    Args:
      photos: Of one size; each is taken when its turn comes.
      sigma: Standard deviation of the noise the residual looks for, grey levels.

    Raises:
      InputError: There is no photo, or one is not of the first one's size.
    """
    flats = None
    for number, pixels in enumerate(photos):
        pixels = np.asarray(pixels)
        if flats is None:
            flats = init(pixels.shape[0], pixels.shape[1])
        elif pixels.shape[:2] != flats.next.numerator.shape[:2]:
            first = "x".join(map(str, flats.next.numerator.shape[:2]))
            raise InputError(
                f"flat-field photo {number + 1} is of {pixels.shape[0]}x{pixels.shape[1]} pixels "
                f"and the first of {first}; give photos of one size and orientation"
            )
        flats = _update(flats, pixels, sigma=sigma)
    if flats is None:
        raise InputError("there is no flat-field photo; give 20 or more of an even wall")
    return _finish(flats)


def init(height: int, width: int) -> Flats:
    """The sums over no photo."""
    # Two calls, not one value twice: a buffer that is given away can be given away once.
    halves = fingerprint.init(height, width), fingerprint.init(height, width)
    return Flats(*halves, jnp.zeros(()), jnp.zeros(()))


def update(
    flats: Flats, pixels: Num[ArrayLike, "h w 3"], *, sigma: ArrayLike = residual.SIGMA
) -> Flats:
    """Add one flat-field photo.

    Args:
      flats: The sums so far.
      pixels: The photo, grey levels.
      sigma: Standard deviation of the noise the residual looks for, grey levels.
    """
    saturated = jnp.any(fingerprint.usable(pixels) == 0, axis=-1)
    return Flats(
        flats.other,
        fingerprint.update(flats.next, pixels, sigma=sigma),
        flats.unevenness + unevenness(pixels),
        flats.saturation + jnp.mean(saturated),
    )


def finish(flats: Flats) -> Result:
    """The fingerprint, its reliability, and the means of what was seen."""
    halves = flats.next, flats.other
    count = flats.next.count + flats.other.count
    together = jax.tree.map(jnp.add, *halves)
    reliability = correlation.ncc(*map(fingerprint.estimate, halves))
    return Result(
        fingerprint.estimate(together),
        jnp.where(count > 1, reliability, jnp.nan),
        flats.unevenness / count,
        flats.saturation / count,
    )


def unevenness(pixels: Num[ArrayLike, "h w 3"]) -> Float[Array, ""]:
    """Standard deviation of the brightness of whole cells over its mean; 0 for a black photo."""
    grey = image.luma(pixels)
    rows, columns = (side // CELL for side in grey.shape)
    cells = grey[: rows * CELL, : columns * CELL].reshape(rows, CELL, columns, CELL)
    means = jnp.mean(cells, axis=(1, 3))
    level = jnp.mean(means)
    return jnp.where(level > 0, jnp.std(means) / jnp.where(level > 0, level, 1), 0)


def of_all(reliability: float) -> float:
    """Reliability of the estimate from all photos, from that of its halves (Spearman-Brown).

    2ρ/(1+ρ): its expected correlation with an estimate from as many other photos.
    """
    return 2 * reliability / (1 + reliability) if reliability > -1 else -1.0


_update, _finish = jax.jit(update, donate_argnums=0), jax.jit(finish)
