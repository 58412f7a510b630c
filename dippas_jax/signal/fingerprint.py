"""Camera fingerprints (PRNU) by maximum likelihood from flat-field photos, one photo at a time.

Photos are pixels in [0, 255], channels last. The fingerprint K is a float32 plane, zero-mean, and
about 255 times the physical one: a photo is I0·(1 + K/255) to first order. The estimator is that of
Chen et al. (2008), "Determining image origin and integrity using sensor noise". As in the authors'
code, only the denominator has weights, which are smaller near saturation and 0 beyond:

    acc = fingerprint.init(height, width)
    for pixels in flats:
        acc = fingerprint.update(acc, pixels)
    K = fingerprint.estimate(acc)

The memory is that of one photo, whatever their number. So is the precision: sums of n photos in
float32 are off by n·6e-8 of themselves at worst, 1e-4 for two thousand photos, far below the noise.
"""

from typing import NamedTuple

import jax.numpy as jnp
from jax.typing import ArrayLike
from jaxtyping import Array, Float, Int, Num

from dippas_jax.signal import image, residual, wavelet

SATURATION_ONSET = 252.0  # grey level from which a pixel's response is no longer linear
SATURATION_FLOOR = 250.0  # a channel whose maximum is not above this has no saturated pixel


class Accumulator(NamedTuple):
    """Sums over the flat-field photos seen so far.

    Attributes:
      numerator: Σ W·I/255, grey levels.
      denominator: Σ (intensity weight · usable)², at most `count`.
      count: Number of photos.
    """

    numerator: Float[Array, "*n h w 3"]
    denominator: Float[Array, "*n h w 3"]
    count: Int[Array, ""]  # type: ignore[assignment]  # hides tuple.count, which nobody misses


def init(height: int, width: int) -> Accumulator:
    """The sums over no photo."""
    # Two arrays, so that a compiled `update` may write over both.
    numerator, denominator = (jnp.zeros((height, width, 3), jnp.float32) for _ in range(2))
    return Accumulator(numerator, denominator, jnp.zeros((), jnp.int32))


def update(
    accumulator: Accumulator,
    pixels: Num[ArrayLike, "*n h w 3"],
    *,
    sigma: ArrayLike = residual.SIGMA,
    levels: int = wavelet.LEVELS,
) -> Accumulator:
    """Add one flat-field photo.

    Args:
      accumulator: The sums so far, of photos of the same size and orientation.
      pixels: The photo, grey levels.
      sigma: Standard deviation of the noise the residual looks for, grey levels.
      levels: Levels of the wavelet transform.
    """
    pixels = jnp.asarray(pixels, jnp.float32)
    planes = jnp.moveaxis(pixels, -1, -3)
    noise = jnp.moveaxis(residual.denoising_residual(planes, sigma=sigma, levels=levels), -3, -1)
    weight = intensity_weight(pixels) * usable(pixels)
    return Accumulator(
        accumulator.numerator + noise * pixels / 255,
        accumulator.denominator + jnp.square(weight),
        accumulator.count + 1,
    )


def estimate(accumulator: Accumulator) -> Float[Array, "*n h w"]:
    """The fingerprint K from the sums: grey, zero-mean, the peaks of its spectrum flattened.

    The 1 added to the denominator draws pixels towards 0 that few photos say anything about.
    """
    channels = accumulator.numerator / (accumulator.denominator + 1)
    return residual.wiener_dft(residual.zero_mean(image.luma(channels)))


def intensity_weight(pixels: Num[ArrayLike, "*n h w 3"]) -> Float[Array, "*n h w 3"]:
    """How much a pixel says about K, in [0, 1]: the more the brighter, near saturation little."""
    pixels = jnp.asarray(pixels, jnp.float32)
    excess = jnp.maximum(pixels - SATURATION_ONSET, 0)
    bright = jnp.exp(-jnp.square(excess) / 6)
    return jnp.where(pixels < SATURATION_ONSET, pixels / SATURATION_ONSET, bright)


def usable(pixels: Num[ArrayLike, "*n h w 3"]) -> Float[Array, "*n h w 3"]:
    """1 for a usable pixel and 0 for a saturated one, per channel.

    Saturated is what equals the channel's maximum over the photo, that maximum being above 250, and
    also one of its four neighbours; beyond the border lies the opposite one. A lone peak is usable.
    """
    pixels = jnp.asarray(pixels, jnp.float32)
    highest = jnp.max(pixels, axis=(-3, -2), keepdims=True)
    at_highest = (pixels == highest) & (highest > SATURATION_FLOOR)
    beside = jnp.zeros_like(at_highest)
    for axis in (-3, -2):
        for step in (-1, 1):
            beside |= pixels == jnp.roll(pixels, step, axis)
    return jnp.where(at_highest & beside, 0.0, 1.0)
