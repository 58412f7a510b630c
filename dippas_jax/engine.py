"""A photo in, the same photo without its camera's noise out, in seconds: no network is fitted.

Blind: the photo is rebuilt by `sparse.resynthesise`, with the threshold that gives the PSNR asked
for. Aware: what is then left of the known fingerprint is measured with a mixture of extractors and
taken out, down to what chance alone would give: a correlation of exactly zero is a trace too.

The extractors here are all wavelet filters. A learned one is left to those who test the result.
"""

import math
import time
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array, Float, Key, UInt8

from dippas_jax import correlation, image, residual, sparse

SIGMAS = (2.0, 3.0, 5.0)
"""Of the mixture's extractors, grey levels."""

WEAKEST, STRONGEST = 1.0, 64.0  # thresholds tried, grey levels
CLOSE = 0.05  # dB from the PSNR asked for that are close enough
MOST_LEFT = {"blind": 0.15, "aware": 0.5}
"""Share of a planted fingerprint that a strength, rather than a PSNR, allows. Where K is known most
of the share is taken out as well; what stays is what K does not know of the camera."""

ROUNDS = 8  # thresholds tried at most
CHANCE = 1.0  # standard deviation of the z-scores aimed at
_STRONGER = 1.2  # factor between thresholds where too much is left
_PLANTED = 0.01  # standard deviation of a planted fingerprint, relative to the signal
_NAMES = (*(f"sigma-{sigma:g}" for sigma in SIGMAS), "busy")
_PROBE = 0.3  # grey levels of the fingerprint taken out to see what that changes


class Version(NamedTuple):
    """One way to anonymise a photo.

    Attributes:
      pixels: The photo.
      psnr: Against the photo as it came, dB.
      threshold: Of its coefficients, grey levels.
      alpha: How much of I·K was taken out of what is kept, in the unit of 1/K.
    """

    pixels: UInt8[np.ndarray, "h w 3"]
    psnr: float
    threshold: float
    alpha: float


def anonymize(
    key: Key[Array, ""],
    pixels: UInt8[np.ndarray, "h w 3"],
    fingerprint: Float[ArrayLike, "h w"] | None,
    *,
    target_psnr: float,
    compensation: float,
    most_left: float = math.inf,
    until: float = math.inf,
) -> Version:
    """The version of a photo whose PSNR is that asked for, or the best found in time.

    Noise that is stronger than the PSNR allows to drop is kept, and the fingerprint with it. Unless
    `most_left` is infinite the photo is then rebuilt from fewer coefficients, at a lower PSNR.

    Args:
      key: Decides what chance gives in place of the fingerprint's correlation.
      pixels: The photo, at least 64x64.
      fingerprint: K in any unit; None for blind.
      target_psnr: dB. Where it cannot be met, the nearest that can.
      compensation: See `sparse.resynthesise`.
      most_left: Share of a planted fingerprint's z that may be left, `share_left`; 0.15, say.
      until: Time of the monotonic clock, seconds, after which no further threshold is tried.
    """
    low, high = math.log(WEAKEST), math.log(STRONGEST)
    guess, best = math.log(12.0), None
    for _ in range(ROUNDS):
        version = _version(key, pixels, fingerprint, math.exp(guess), compensation)
        missed = version.psnr - target_psnr
        if best is None or abs(missed) < abs(best.psnr - target_psnr):
            best = version
        if abs(missed) <= CLOSE or time.monotonic() > until:
            break
        low, high = (guess, high) if missed > 0 else (low, guess)
        # Half the threshold is some 4 dB; the brackets keep a wrong guess from doing harm.
        guess = min(max(guess + missed * math.log(2) / 4, low), high)
        if high - low < 1e-3 or guess in (low, high):
            guess = (low + high) / 2
    assert best is not None
    plant = jax.random.fold_in(key, 1)
    for _ in range(ROUNDS):
        if most_left == math.inf or best.threshold >= STRONGEST or time.monotonic() > until:
            break
        left = share_left(plant, pixels, best.threshold, compensation)
        if not max(left.values()) > most_left:
            break
        threshold = min(_STRONGER * best.threshold, STRONGEST)
        best = _version(key, pixels, fingerprint, threshold, compensation)
    return best


def scores(
    pixels: UInt8[ArrayLike, "h w 3"], fingerprint: Float[ArrayLike, "h w"]
) -> dict[str, float]:
    """z-scores of the mixture's extractors, by name."""
    levels = jnp.asarray(pixels, jnp.float32)
    found = _mixture(levels, correlation.pattern(levels, fingerprint), _busy(levels))
    return dict(zip(_NAMES, np.asarray(found).tolist(), strict=True))


def share_left(
    key: Key[Array, ""],
    pixels: UInt8[np.ndarray, "h w 3"],
    threshold: float,
    compensation: float,
) -> dict[str, float]:
    """How much of a planted fingerprint's z-score is left, by extractor: 1 all, 0 nothing.

    What can be said of a photo whose camera's fingerprint is not known. The planted one is white
    noise on the raw samples of a Bayer pattern, demosaiced bilinearly, of one percent.

    Args:
      key: Of the planted fingerprint.
      pixels: The photo as it came.
      threshold: Of the version in question.
      compensation: Likewise.
    """
    levels = jnp.asarray(pixels, jnp.float32)
    planted = _demosaiced(jax.random.normal(key, levels.shape[:2]))
    marked = levels * (1 + _PLANTED * planted)
    pattern = correlation.pattern(levels, image.luma(planted))
    busy = _busy(levels)

    def gain(before: Array, after: Array) -> np.ndarray:
        pair = [np.asarray(_mixture(x, pattern, busy), np.float64) for x in (before, after)]
        return pair[1] - pair[0]

    full = gain(levels, marked)
    made = [_resynthesise(x, threshold, compensation) for x in (levels, marked)]
    with np.errstate(invalid="ignore", divide="ignore"):
        left = gain(*made) / full
    return dict(zip(_NAMES, left.tolist(), strict=True))


@jax.jit
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


def _version(
    key: Array, pixels: np.ndarray, fingerprint: ArrayLike | None, threshold: float, share: float
) -> Version:
    levels = jnp.asarray(pixels, jnp.float32)
    made = _resynthesise(levels, threshold, share)
    alpha = 0.0
    if fingerprint is not None:
        pattern = correlation.pattern(levels, jnp.asarray(fingerprint, jnp.float32))
        kept = _kept_part(levels, pattern, threshold)
        alpha = _calibrated(key, made, kept, pattern)
        made = made - alpha * kept
    written = np.asarray(image.to_pixels(made / 255))
    return Version(written, float(image.psnr(written, pixels)), threshold, alpha)


def _calibrated(key: Array, made: Array, kept: Array, pattern: Array) -> float:
    """How much of `kept` to subtract, so that the mixture's z are those of another camera.

    The z-scores are nearly linear in it, so least squares with one probe do. They aim at one draw
    from what other cameras give. That serves the mixture over perturbed fingerprints as well: with
    K + ε in place of K, z moves by an independent draw. A correlation that is chance already is
    left as it is, by the positive part of James and Stein's estimator: to undo chance for the
    extractors at hand is to add it for others.
    """
    scale = float(jnp.std(kept))
    if not scale > 0:
        return 0.0
    busy = _busy(made)
    probe = _PROBE / scale
    before = np.asarray(_mixture(made, pattern, busy), np.float64)
    slope = (np.asarray(_mixture(made - probe * kept, pattern, busy), np.float64) - before) / probe
    aim = CHANCE * float(jax.random.normal(jax.random.fold_in(key, 0)))
    usable = np.isfinite(before) & np.isfinite(slope)
    slope, before = slope[usable], before[usable]
    energy = float(np.sum(slope**2))
    if not energy > 0:
        return 0.0
    found = float(np.sum(np.abs(slope) * before) / np.sum(np.abs(slope)))
    certain = max(0.0, 1 - 1 / found**2) if found else 0.0
    return certain * float(np.sum(slope * (aim - before))) / energy


@jax.jit
def _resynthesise(levels: Array, threshold: ArrayLike, share: ArrayLike) -> Array:
    spectrum = sparse.noise_spectrum(levels, threshold)
    return sparse.resynthesise(levels, threshold, spectrum, share)


_kept_part = jax.jit(sparse.kept_part)
_busy = jax.jit(image.busy)


@jax.jit
def _mixture(levels: Array, pattern: Array, busy: Array) -> Array:
    """z-scores [4]: each extractor's over the photo, and the middle one's where it is busy."""
    levels = jnp.clip(levels, 0, 255)
    planes = jax.lax.map(lambda sigma: residual.residual(levels, sigma=sigma), jnp.array(SIGMAS))
    whole = correlation.ncc(planes, pattern) * math.sqrt(pattern.size)
    there = correlation.ncc(busy * planes[1], busy * pattern) * jnp.sqrt(busy.sum())
    return jnp.append(whole, there)
