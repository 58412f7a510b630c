"""Which camera took a photo, and did two photos come from one: scores with their p-values.

Pixels are uint8 or float32 in grey levels [0, 255], channels last; fingerprints are planes [h w] in
any unit, of the same orientation. The statistic is the correlation of the paper's equation 2
between the residual W and the pattern I·K; Chen et al. (2008), "Determining image origin and
integrity using sensor noise", derive it, and Goljan and Fridrich (2008), "Camera identification
from cropped and scaled images", the search over positions.

Each function takes one photo, works on the device in float32 one fingerprint at a time, and gives
NumPy arrays: p-values need float64. The memory is that of one photo and one fingerprint.
"""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array, Float, Float64, Int, Num

from dippas_jax.forensics import drawn as drawn_places
from dippas_jax.signal import correlation, extractors, image, residual
from dippas_jax.types import InputError

_TINIEST_ENERGY = 1e-4  # of the largest; below it an energy got by FFT in float32 may be rounding


class Match(NamedTuple):
    """How well a photo and fingerprints (or another photo) agree; one entry a fingerprint.

    Attributes:
      ncc: Normalised correlation in [-1, 1]; nan, as all that follows, where nothing can be said.
      z: `ncc` times √pixels: in standard deviations of what another camera gives if noise is white.
      pce: Peak-to-correlation energy of W·I with K (of the residuals, in a link), with the sign of
        the peak.
      p_value: Probability that another camera gives as much or more, of z / `spread` under the
        normal distribution; 0 where that is beyond 38.
      p_turned: The same of -z: a fingerprint that was taken out twice has its sign turned.
      shift: Row and column of the fingerprint at which the photo's corner lies.
      spread: Standard deviation of `z` for these noises, at least 1 (`correlation.spread`).
    """

    ncc: Float[np.ndarray, "*m"]
    z: Float[np.ndarray, "*m"]
    pce: Float[np.ndarray, "*m"]
    p_value: Float64[np.ndarray, "*m"]
    p_turned: Float64[np.ndarray, "*m"]
    shift: Int[np.ndarray, "*m 2"]
    spread: Float[np.ndarray, "*m"]


def compare(
    pixels: Num[ArrayLike, "h w 3"],
    fingerprints: Float[ArrayLike, "m h2 w2"],
    *,
    sigma: float = residual.SIGMA,
) -> Match:
    """A photo against the fingerprints of cameras, pixel on pixel.

    Args:
      pixels: The photo, at least 32 pixels high and wide.
      fingerprints: One plane K a camera, of the photo's size. A mean, which would correlate with
        any scene, is subtracted (`correlation.centred`).
      sigma: Standard deviation of the noise that the extractor looks for, grey levels.

    Returns:
      One entry a camera. The p-value is that of one comparison: whoever asks many cameras passes
      it to `correlation.p_value_over` with their number.

    Raises:
      InputError: A fingerprint is not of the photo's size.
    """
    height, width = np.shape(pixels)[:2]
    if np.shape(fingerprints)[1:] != (height, width):
        raise InputError(
            f"photo of {height}x{width} pixels came with fingerprints of "
            f"{np.shape(fingerprints)[1]}x{np.shape(fingerprints)[2]}; give fingerprints of the "
            "photo's size and orientation, or search for its position"
        )
    pixels = jnp.asarray(pixels, jnp.float32)
    noise = extractors.extract(pixels, sigma=sigma)
    planes = map(correlation.centred, np.asarray(fingerprints))
    scores = [jax.device_get(_compared(noise, pixels, k)) for k in planes]
    ncc, pce, spread = np.array(scores, np.float32).reshape(-1, 3).T
    return _match(ncc, pce, spread, np.zeros((len(ncc), 2), int), (height, width))


def search(
    pixels: Num[ArrayLike, "h w 3"],
    fingerprint: Float[ArrayLike, "h2 w2"],
    *,
    sigma: float = residual.SIGMA,
) -> Match:
    """A photo against one fingerprint, wherever on the sensor it was cut from.

    At every position s the score is the very NCC that `compare` would give for the fingerprint cut
    there: the products ⟨W, I·K(s + ·)⟩ = ⟨W·I, K(s + ·)⟩ and the energies ⟨I², K²(s + ·)⟩ are two
    correlations, of the photo with the plane and with its square. Along an axis where photo and
    fingerprint are equally long every circular shift is tried, along another every position at
    which the photo lies inside.

    Args:
      pixels: The photo, at least 32 pixels high and wide.
      fingerprint: K of the whole sensor, at least as high and as wide. A mean is subtracted, as by
        `compare`, but of the whole.
      sigma: Standard deviation of the noise that the extractor looks for, grey levels.

    Returns:
      Scalars, of the position of the largest |NCC|. The noise of the PCE is that of all circular
      shifts. The p-values are those of the best of all positions tried. Where a circular axis was
      searched its shift lies in [-h/2, h/2), and a photo rolled by 3 has shift -3.

    Raises:
      InputError: The photo is larger than the fingerprint.
    """
    size, whole = np.shape(pixels)[:2], np.shape(fingerprint)
    if size[0] > whole[0] or size[1] > whole[1]:
        raise InputError(
            f"photo of {size[0]}x{size[1]} pixels does not fit into a fingerprint of "
            f"{whole[0]}x{whole[1]}; give the fingerprint of the whole sensor"
        )
    pixels, plane = jnp.asarray(pixels, jnp.float32), correlation.centred(np.asarray(fingerprint))
    scores = _searched(extractors.extract(pixels, sigma=sigma), pixels, plane)
    ncc, pce, spread, best = jax.device_get(scores)
    shift = [
        (place + n // 2) % n - n // 2 if n == side else place
        for place, n, side in zip(best.tolist(), whole, size, strict=True)
    ]
    return _match(ncc, pce, spread, np.array(shift), size, positions=positions(size, whole))


def positions(size: tuple[int, ...], whole: tuple[int, ...]) -> int:
    """How many `search` tries for a photo of one size and a fingerprint of another."""
    return math.prod(n if n == side else n - side + 1 for n, side in zip(whole, size, strict=True))


def link(
    a: Num[ArrayLike, "h w 3"],
    b: Num[ArrayLike, "h2 w2 3"],
    *,
    sigma: float = residual.SIGMA,
) -> Match:
    """Whether one camera took two photos: residual against residual, no fingerprint needed.

    Args:
      a: A photo, at least 32 pixels high and wide.
      b: Another one of the same size and orientation.
      sigma: Standard deviation of the noise that the extractor looks for, grey levels.

    Returns:
      Scalars.

    Raises:
      InputError: The photos differ in size.
    """
    size, other = np.shape(a)[:2], np.shape(b)[:2]
    if size != other:
        raise InputError(
            f"photos of {size[0]}x{size[1]} and {other[0]}x{other[1]} pixels cannot be linked; "
            "give photos of one size and orientation"
        )
    noises = (
        extractors.extract(jnp.asarray(pixels, jnp.float32), sigma=sigma) for pixels in (a, b)
    )
    ncc, pce, spread = jax.device_get(_linked(*noises))
    return _match(ncc, pce, spread, np.zeros(2, int), size)


def drawn(
    pixels: Num[ArrayLike, "h w 3"],
    fingerprint: Float[ArrayLike, "h w"],
    *,
    sigma: float = residual.SIGMA,
) -> drawn_places.Drawn:
    """What of `compare`'s correlation is drawn (`drawn.look`)."""
    pixels = jnp.asarray(pixels, jnp.float32)
    noise = extractors.extract(pixels, sigma=sigma)
    plane = np.asarray(correlation.centred(np.asarray(fingerprint)))
    found, grey = np.asarray(noise), np.asarray(image.luma(pixels))
    relative = drawn_places.relative(found, grey)
    pair = found, grey * plane
    return drawn_places.look(pair, relative, plane, shifted=(found * grey, plane))


def drawn_in_both(
    a: Num[ArrayLike, "h w 3"], b: Num[ArrayLike, "h w 3"], *, sigma: float = residual.SIGMA
) -> drawn_places.Drawn:
    """What of `link`'s correlation is drawn into both photos."""
    pair = [jnp.asarray(x, jnp.float32) for x in (a, b)]
    noises = [np.asarray(extractors.extract(x, sigma=sigma)) for x in pair]
    greys = [np.asarray(image.luma(x)) for x in pair]
    one, other = map(drawn_places.relative, noises, greys)
    return drawn_places.look((noises[0], noises[1]), one, other)


@jax.jit
def _compared(noise: Array, pixels: Array, fingerprint: Array) -> tuple[Array, Array, Array]:
    """NCC, PCE and spread at shift zero."""
    pattern = correlation.pattern(pixels, fingerprint)
    # ⟨W, I·K⟩ = ⟨W·I, K⟩. Of the second form, the fingerprint is what is shifted: the photo's own
    # brightness and noise stay together, so other shifts vary as shift zero does.
    weighted = noise * image.luma(pixels)
    surface = correlation.circular_cross_correlation(weighted, fingerprint)
    norms = [jnp.sqrt(jnp.mean(jnp.square(x))) for x in (noise, pattern)]
    ncc = correlation.ncc(noise, pattern)
    # From the norms of that form, which the surface is divided by, to those of the NCC.
    scale = jnp.std(weighted) * jnp.std(fingerprint)
    scale = scale / jnp.where(jnp.isnan(ncc), 1, norms[0] * norms[1])
    return ncc, correlation.pce_at_zero(surface), _spread(weighted, fingerprint, surface, scale)


@jax.jit
def _linked(a: Array, b: Array) -> tuple[Array, Array, Array]:
    """NCC, PCE and spread of two residuals [h w] at shift zero."""
    surface = correlation.circular_cross_correlation(a, b)
    return correlation.ncc(a, b), correlation.pce_at_zero(surface), _spread(a, b, surface, 1.0)


def _spread(a: Array, b: Array, surface: Array, scale: ArrayLike) -> Array:
    """`correlation.spread` of two planes, whose correlations over all shifts are `surface`."""
    parts = correlation.whole_blocks(a), correlation.whole_blocks(b)
    if parts[0].shape != a.shape:
        surface = correlation.circular_cross_correlation(*parts)
    return correlation.spread(surface * scale)


@jax.jit
def _searched(noise: Array, pixels: Array, fingerprint: Array) -> tuple[Array, ...]:
    """NCC, PCE and spread at the best position, and that position [2]."""
    whole, size = fingerprint.shape, pixels.shape[:2]
    # Scores do not depend on scales; without them the energies stay in float32's range.
    noise, grey, plane = (_scaled(x) for x in (noise, image.luma(pixels), fingerprint))
    products = _placed(noise * grey, plane)
    energies = _placed(jnp.square(grey), jnp.square(plane)) * jnp.sum(jnp.square(noise))
    known = energies > jnp.maximum(_TINIEST_ENERGY * jnp.max(energies), 0)
    surface = jnp.where(known, products / jnp.sqrt(jnp.where(known, energies, 1)), 0)
    rows, columns = (n if n == side else n - side + 1 for n, side in zip(whole, size, strict=True))
    tried = surface[:rows, :columns]  # 0 where nothing is known
    best = jnp.stack(jnp.unravel_index(jnp.argmax(jnp.abs(tried)), tried.shape))
    moved = jnp.roll(surface, -best, (0, 1))
    # `spread` takes as many pixels as the surface has shifts; the photo's may be fewer.
    scale = np.sqrt(size[0] * size[1] / (whole[0] * whole[1]))
    scores = moved[0, 0], correlation.pce_at_zero(moved), correlation.spread(moved * scale)
    defined = jnp.any(known[:rows, :columns])
    return *(jnp.where(defined, score, jnp.nan) for score in scores), best


def _scaled(plane: Array) -> Array:
    """The plane [h w] over its root mean square; a plane of zeros stays one."""
    plane = jnp.asarray(plane, jnp.float32)
    highest = jnp.max(jnp.abs(plane))
    plane = plane / jnp.where(highest > 0, highest, 1)
    power = jnp.mean(jnp.square(plane))
    return plane / jnp.sqrt(jnp.where(power > 0, power, 1))


def _placed(small: Array, plane: Array) -> Array:
    """Σ_x small(x)·plane(s + x) [H W] for every circular s; `small` [h w] may be smaller."""
    size = (plane.shape[0], plane.shape[1])
    spectrum = jnp.fft.rfft2(small, s=size)
    return jnp.fft.irfft2(jnp.conj(spectrum) * jnp.fft.rfft2(plane), s=size)


def _match(
    ncc: np.ndarray,
    pce: np.ndarray,
    spread: np.ndarray,
    shift: np.ndarray,
    size: tuple[int, ...],
    positions: int = 1,
) -> Match:
    """The scores of NCC over pixels of that size, the best of so many positions."""
    z = np.asarray(correlation.z_score(ncc, size[0], size[1]))
    p_value, p_turned = (
        correlation.p_value_over(correlation.p_value(one / spread), positions) for one in (z, -z)
    )
    return Match(np.asarray(ncc), z, np.asarray(pce), p_value, p_turned, shift, np.asarray(spread))
