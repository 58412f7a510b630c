"""How strongly a residual and a fingerprint agree.

Planes are float32, rows and columns last, any leading axes, which broadcast. Correlations lie in
[-1, 1] and are nan where a norm is zero: nothing can be said of a plane without noise. Under
"another camera" an NCC over h·w pixels is normal with mean 0 and standard deviation 1/√(h·w).
The correlation is equation 2 of the paper; the peak-to-correlation energy (PCE) is that of Goljan,
Fridrich and Filler (2009), "Large scale test of sensor fingerprint camera identification", signed.
"""

import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array, Float, Float64, Int, Num

from dippas_jax.signal import image
from dippas_jax.types import InputError

NEIGHBOURHOOD = 11  # side of the square around a peak that is not counted as noise
JPEG_BLOCK = 8  # side of JPEG's blocks, pixels


class Peak(NamedTuple):
    """The highest peak of a surface of correlations.

    Attributes:
      pce: Its peak-to-correlation energy, signed.
      shift: Rows and columns, in [-h/2, h/2) and [-w/2, w/2), by which `b` has to be rolled to meet
        `a`.
    """

    pce: Float[Array, "*n"]
    shift: Int[Array, "*n 2"]


def require_fingerprint(
    fingerprint: Any, size: tuple[int, int], name: str = "the fingerprint"
) -> Float[np.ndarray, "h w"]:
    """The plane, `centred`, that can be looked for in, or taken out of, a photo.

    Args:
      fingerprint: K [h w] in any unit.
      size: Height and width of the photo.
      name: What the message calls it.

    Returns:
      K, float32.

    Raises:
      InputError: It has another size, values that are no numbers, no variation, or too much.
    """
    plane = image.array(fingerprint, name)
    if plane.shape != tuple(size):
        raise InputError(
            f"{name} is {list(plane.shape)} and the photo has {size[0]}x{size[1]} pixels; give the "
            "fingerprint of these very pixels"
        )
    if not np.isfinite(plane).all():
        raise InputError(f"{name} holds values that are no numbers; estimate it again")
    if plane.min() == plane.max():
        raise InputError(
            f"{name} is constant (every value is {plane.flat[0]:g}), so nothing can be removed or "
            "found by it; give an estimate from photos of an even wall"
        )
    if not 1e-12 <= (deviation := float(plane.std(dtype=np.float64))) <= 1e9:
        raise InputError(
            f"{name} has a standard deviation of {deviation:.2g}, which no unit of a fingerprint "
            "gives; divide it by its standard deviation, or estimate it again"
        )
    return centred(plane).astype(np.float32, copy=False)


def centred(fingerprint: Float[np.ndarray, "h w"]) -> Float[np.ndarray, "h w"]:
    """The plane without a mean that chance does not give: more than four standard errors from 0.

    Such a mean is that of a picture of 8 bits, or of a map of gains around 1, and correlates with
    every scene. What chance gives stays, so that scores are those of the very plane.
    """
    plane = np.asarray(fingerprint)
    mean, deviation = (float(f(plane, dtype=np.float64)) for f in (np.mean, np.std))
    return plane if abs(mean) <= 4 * deviation / plane.size**0.5 else plane - np.float32(mean)


def pattern(
    pixels: Num[ArrayLike, "*n h w 3"], fingerprint: Float[ArrayLike, "*m h w"]
) -> Float[Array, "..."]:
    """What the fingerprint would leave in photos: I·K, with I their grey planes in grey levels."""
    return image.luma(pixels) * fingerprint


def ncc(
    residual: Float[ArrayLike, "*n h w"], pattern: Float[ArrayLike, "*m h w"]
) -> Float[Array, "..."]:
    """Normalised cross-correlation ⟨W, P⟩/(‖W‖·‖P‖) over the last two axes, equation 2.

    Means are not subtracted: those of residuals and fingerprints are zero already.

    Args:
      residual: W, the noise residual of photos.
      pattern: P, such as `pattern` gives.

    Returns:
      Correlations in [-1, 1]; nan, with gradients of zero, where a norm is zero.
    """
    residual, pattern = jnp.asarray(residual, jnp.float32), jnp.asarray(pattern, jnp.float32)
    return _cosine(residual, pattern, (-2, -1))


def ncc_blocks(
    residual: Float[ArrayLike, "*n h w"], pattern: Float[ArrayLike, "*m h w"], side: int
) -> Float[Array, "... r k"]:
    """`ncc` of every square block; those at the lower and right edges are what is left of one.

    Args:
      residual: W, the noise residual of photos.
      pattern: P, such as `pattern` gives.
      side: Rows and columns of a block, pixels.

    Returns:
      ⌈h/side⌉ by ⌈w/side⌉ correlations; nan where undefined.
    """
    return _cosine(_blocks(residual, side), _blocks(pattern, side), (-3, -1))


def z_score(ncc: Float[ArrayLike, "*n"], height: int, width: int) -> Float[Array, "*n"]:
    """NCC over `height` by `width` pixels in standard deviations of what another camera gives."""
    return jnp.asarray(ncc, jnp.float32) * float(np.sqrt(height * width))


def p_value(z: Float[ArrayLike, "*n"]) -> Float64[np.ndarray, "*n"]:
    """Probability that another camera gives a z-score of that or more: one-sided, normal.

    Computed on the host in float64, so not to be traced: float32 ends at a z of 14. It is exact to
    a few parts in 1e14, times z² for what the score itself is rounded, down to 1e-308 at a z of
    37.5; beyond 38.5 it is 0, and the z-score says more.

    Returns:
      Values in [0, 1]; nan where the score is.
    """
    scores = np.asarray(z, np.float64)
    tails = [math.erfc(score / math.sqrt(2)) / 2 for score in scores.ravel()]
    return np.array(tails, np.float64).reshape(scores.shape)


def p_value_over(p: Float[ArrayLike, "*n"], count: int) -> Float64[np.ndarray, "*n"]:
    """The p-value of the least of `count` independent ones: 1 - (1 - p)^count, in float64.

    For small p it is count·p, Bonferroni's bound; where the tests depend on each other it is too
    large rather than too small.

    Args:
      p: Least p-value of all.
      count: How many there were: positions searched, or cameras asked.
    """
    p = np.asarray(p, np.float64)
    with np.errstate(divide="ignore"):  # the logarithm of zero, at p = 1
        return np.asarray(-np.expm1(count * np.log1p(-p)))


def circular_cross_correlation(
    a: Float[ArrayLike, "*n h w"], b: Float[ArrayLike, "*m h w"]
) -> Float[Array, "... h w"]:
    """Correlation of `a` with `b` rolled by every shift, means subtracted first.

    Returns:
      Surfaces in [-1, 1] with shift (0, 0) first; where `a = roll(b, s)` the peak lies at `s`. Nan
      where undefined.
    """
    a, b = _centered(a), _centered(b)
    size = (a.shape[-2], a.shape[-1])
    products = jnp.fft.irfft2(jnp.fft.rfft2(a) * jnp.conj(jnp.fft.rfft2(b)), s=size)
    energies = [jnp.sum(jnp.square(x), (-2, -1), keepdims=True) for x in (a, b)]
    return _over_norms(products, *energies)


def pce(
    residual: Float[ArrayLike, "*n h w"], pattern: Float[ArrayLike, "*m h w"]
) -> Float[Array, "..."]:
    """Signed peak-to-correlation energy of W and P at shift zero, about z²; see `pce_at_zero`.

    Args:
      residual: W, the noise residual of photos.
      pattern: P, such as `pattern` gives.
    """
    return pce_at_zero(circular_cross_correlation(residual, pattern))


def pce_at_zero(surface: Float[ArrayLike, "*n h w"]) -> Float[Array, "*n"]:
    """Signed peak-to-correlation energy at shift zero.

    The square of the peak over the mean square outside its 11x11 neighbourhood, which goes round
    the borders: about the square of the z-score.

    Args:
      surface: Correlations over all shifts, as `circular_cross_correlation` gives.

    Returns:
      The PCE, with the sign of the peak; infinite over zeros, nan where nothing lies outside.
    """
    surface = jnp.asarray(surface, jnp.float32)
    far = ~np.logical_and.outer(*(_near_zero(side) for side in surface.shape[-2:]))
    energy = jnp.sum(jnp.square(surface) * far, (-2, -1))
    noise = energy / np.sum(far) if far.any() else jnp.full_like(energy, jnp.nan)
    peak = surface[..., 0, 0]
    ratio = jnp.square(peak) / jnp.where(noise == 0, 1, noise)
    return jnp.sign(peak) * jnp.where(noise == 0, jnp.inf, ratio)


def pce_over_shifts(surface: Float[ArrayLike, "*n h w"]) -> Peak:
    """The PCE of the highest peak, whatever its shift: what finds a photo that was moved.

    The highest of h·w peaks of pure noise has a PCE of about 2·ln(h·w): 25 at 512x512.

    Args:
      surface: Correlations over all shifts, as `circular_cross_correlation` gives.
    """
    surface = jnp.asarray(surface, jnp.float32)
    *leading, height, width = surface.shape
    best = jnp.argmax(surface.reshape(*leading, height * width), axis=-1)
    shift = jnp.stack([best // width, best % width], axis=-1)
    planes = surface.reshape(-1, height, width)
    to_zero = jax.vmap(lambda plane, step: jnp.roll(plane, step, (0, 1)))
    moved = to_zero(planes, -shift.reshape(-1, 2)).reshape(surface.shape)
    half = np.array([height // 2, width // 2])
    return Peak(pce_at_zero(moved), (shift + half) % np.array([height, width]) - half)


def whole_blocks(plane: Float[ArrayLike, "*n h w"]) -> Float[Array, "*n h2 w2"]:
    """A plane without the last rows and columns that fill no block of a JPEG.

    Over the borders of others circular shifts bring blocks of one photo upon the blocks of another
    at another offset, and `spread` would not see what it is there for.
    """
    plane = jnp.asarray(plane)
    height, width = (max(side // JPEG_BLOCK * JPEG_BLOCK, 1) for side in plane.shape[-2:])
    return plane[..., :height, :width]


def spread(surface: Float[ArrayLike, "*n h w"]) -> Float[Array, "*n"]:
    """Standard deviation that z-scores really have for this residual and this pattern, at least 1.

    It is 1 for white noise. Residuals and fingerprints of real photos are coloured, and have more
    energy at the borders of JPEG's blocks than inside: where the blocks of both fall upon each
    other, correlations of different cameras spread by 1.1 to 2 (Dresden photos at full
    resolution). That is measured here, over the shifts by whole blocks except zero.

    Args:
      surface: Correlations over all shifts, as `circular_cross_correlation` gives.

    Returns:
      What to divide a z-score by before its p-value is read; nan where the surface is.
    """
    surface = jnp.asarray(surface, jnp.float32)
    height, width = surface.shape[-2:]
    same = surface[..., ::JPEG_BLOCK, ::JPEG_BLOCK].at[..., 0, 0].set(0)
    count = max(same.shape[-2] * same.shape[-1] - 1, 1)
    deviation = jnp.sqrt(height * width / count * jnp.sum(jnp.square(same), (-2, -1)))
    return jnp.where(jnp.isnan(deviation), jnp.nan, jnp.maximum(deviation, 1))


def _cosine(a: Array, b: Array, axes: tuple[int, int]) -> Array:
    """⟨a, b⟩/(‖a‖·‖b‖) over the axes; nan where a norm is zero."""
    energies = [jnp.sum(jnp.square(x), axes) for x in (a, b)]
    return _over_norms(jnp.sum(a * b, axes), *energies)


def _over_norms(products: Array, a: Array, b: Array) -> Array:
    """Inner products over the norms whose squares are `a` and `b`; nan where one is zero."""
    # A square root has no gradient at zero, so the inner `where` keeps it away from there.
    norms = [jnp.sqrt(jnp.where(energy > 0, energy, 1)) for energy in (a, b)]
    return jnp.where((a > 0) & (b > 0), products / norms[0] / norms[1], jnp.nan)


def _blocks(plane: ArrayLike, side: int) -> Array:
    """[*n h w] to [*n r side k side], zeros beyond the lower and right borders."""
    plane = jnp.asarray(plane, jnp.float32)
    *leading, height, width = plane.shape
    rows, columns = -(-height // side), -(-width // side)
    pads = [(0, 0)] * len(leading) + [(0, rows * side - height), (0, columns * side - width)]
    return jnp.pad(plane, pads).reshape(*leading, rows, side, columns, side)


def _centered(plane: ArrayLike) -> Array:
    """Planes less their means; a constant one is exactly zero."""
    plane = jnp.asarray(plane, jnp.float32)
    plane = plane - plane[..., :1, :1]
    return plane - jnp.mean(plane, (-2, -1), keepdims=True)


def _near_zero(side: int) -> np.ndarray:
    """Whether shifts along an axis lie in the neighbourhood of zero, round the border."""
    shift = np.arange(side)
    return np.minimum(shift, side - shift) <= NEIGHBOURHOOD // 2
