"""A photo in, the same photo without its camera's noise out, in seconds: no network is fitted.

Blind: the photo is rebuilt by `sparse.rebuild`, with the threshold that gives the PSNR asked for.
Aware: what is then left of the known fingerprint is measured with a mixture of extractors and taken
out, down to what chance alone would give: a correlation of exactly zero is a trace too.

The photo may have any size: the work is done in tiles, and what is measured is added up over all of
them. Beside the tiles at work and the photos there are two planes of numbers for each colour.

The extractors here are all wavelet filters. A learned one is left to those who test the result.
"""

import functools
import math
import time
from collections.abc import Callable
from typing import NamedTuple

import jax
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array, Float, Key

from dippas_jax.signal import tiles
from dippas_jax.signal.tiles import PLAIN, Compress, Pixels, Ways
from dippas_jax.sparse import leakage, reconstruct

WEAKEST, STRONGEST = 1.0, 64.0  # thresholds tried, grey levels
CLOSE = 0.05  # dB from the PSNR asked for that are close enough
MOST_LEFT = {"blind": 0.15, "aware": 0.5}
"""Share of a planted fingerprint that a strength, rather than a PSNR, allows. Where K is known most
of the share is taken out as well; what stays is what K does not know of the camera."""

LARGEST = 6.0
"""Largest threshold that a strength asks for, in deviations of the noise (`sparse.noise_level`).
Beyond it there is no noise left to drop, only faint texture."""

FEW = 8
"""Tiles, from all over the photo, on which the threshold is looked for."""

LEAST_PSNR = 35.0
"""dB below which no strength goes, whatever is left: the lowest of the paper's thresholds for
snapshots (section 4.3). Where a photo is found even so, it cannot be treated by this engine."""

ROUNDS = 8  # thresholds tried at most
PASSES = 3  # over the whole photo at most
CHANCE = 1.0  # standard deviation of the z-scores aimed at
_FALL = 0.6  # share left that goes where the threshold grows e-fold, before it is measured
_SPARE = 0.02  # of the share that may be left: aimed below it, to be done in one step
_PROBE = 0.3  # grey levels of the fingerprint taken out to see what that changes


class Version(NamedTuple):
    """One way to anonymise a photo.

    Attributes:
      pixels: The photo, of the type that it came in.
      psnr: Against the photo as it came, dB; as all that follows, of what was `written`.
      threshold: Of its coefficients, grey levels.
      compensation: How much of what they keep of a fingerprint was taken back.
      alpha: How much of I·K was taken out of what is kept, in the unit of 1/K.
      left: By extractor, z of K in the photo or, blind, `share`.
      share: By extractor, the share of a planted fingerprint that is left; empty where K is known
        and no limit was given.
    """

    pixels: Pixels
    psnr: float
    threshold: float
    compensation: float
    alpha: float
    left: dict[str, float]
    share: dict[str, float]


def anonymize(
    key: Key[Array, ""],
    pixels: Pixels,
    fingerprint: Float[ArrayLike, "h w"] | None,
    *,
    target_psnr: float,
    compensation: float,
    most_left: float = math.inf,
    until: float = math.inf,
    came: Compress | None = None,
    written: Compress | None = None,
    ways: Ways = PLAIN,
) -> Version:
    """The version of a photo whose PSNR is that asked for, or the best found in time.

    Noise that is stronger than the PSNR allows to drop is kept, and the fingerprint with it. Unless
    `most_left` is infinite more is then taken back of it and, if that does not suffice, the photo
    rebuilt from fewer coefficients, at a PSNR of `LEAST_PSNR` or more; and from more coefficients,
    at a higher PSNR than asked for, where there is too little noise to lose that much.

    Args:
      key: Decides what chance gives in place of the fingerprint's correlation.
      pixels: The photo, uint8 or uint16, at least 64x64. Grey levels are those of 8 bits.
      fingerprint: K in any unit; None for blind.
      target_psnr: dB. Where it cannot be met, the nearest that can.
      compensation: See `sparse.resynthesise`; the least of it. With 0 there is none at all.
      most_left: Share of a planted fingerprint's z that may be left, `mixture.share_left`; 0.15,
        say.
      until: Time of the monotonic clock, seconds, after which no further threshold is tried.
      came: How the camera compressed the photo, if it did; see `mixture.share_left`.
      written: What the file gives back in which these pixels will be written, if that is not the
        same: a JPEG. What is left of K is then measured and taken out behind it.
      ways: See there.
    """
    k = None if fingerprint is None else np.asarray(fingerprint, np.float32)
    every = tiles.grid(*pixels.shape[:2])
    few = tiles.spread(every, FEW)
    plant = jax.random.fold_in(key, 1)
    behind = written if came else None  # formats of other photos may want them whole
    make = functools.partial(reconstruct.rebuild, pixels, k, behind, ways)

    def followed(found: reconstruct.Rebuilt) -> dict[str, float]:
        files = {"came": came, "written": written}
        return leakage.share_left(
            plant, pixels, found.threshold, found.compensation, **files, ways=ways
        )

    small = len(few) == len(every)

    def tried(threshold: float, compensation: float) -> reconstruct.Rebuilt:
        """The tiles to try; of a small photo all that is done to it, K taken out as well."""
        found = make(few, threshold, compensation)
        return calibrated(found) if small else found

    def calibrated(found: reconstruct.Rebuilt) -> reconstruct.Rebuilt:
        if k is None:
            return found
        found = found._replace(alpha=_calibrated(key, pixels, k, found, written, ways))
        done = reconstruct.pixels_of(pixels, found)
        return found._replace(psnr=reconstruct.psnr(behind(done) if behind else done, pixels))

    largest = LARGEST if most_left < math.inf else math.inf
    found, slope = _search(lambda t: tried(t, compensation), target_psnr, largest, until)
    first = found
    share: dict[str, float] = {}
    if most_left < math.inf:
        if found.threshold > LARGEST * found.noise:
            found = tried(max(LARGEST * found.noise, WEAKEST), compensation)
        found, share = _protected(tried, followed, found, most_left, until)
    elif k is None:
        share = followed(found)
    aim = target_psnr if found is first else None
    if not small:

        def whole(threshold: float) -> reconstruct.Rebuilt:
            return make(every, threshold, found.compensation)

        met = _met(whole, found.threshold, aim, slope, until) if aim else whole(found.threshold)
        done = calibrated(met)
        missed = done.psnr - aim if aim else 0.0
        if done.alpha and abs(missed) > CLOSE and time.monotonic() < until:
            # A strong K was taken out, which costs PSNR as well.
            other = calibrated(whole(_corrected(done.threshold, missed, slope)))
            done = min(done, other, key=lambda one: abs(one.psnr - target_psnr))
        found = done
    pixels_done = reconstruct.pixels_of(pixels, found)
    seen = pixels_done if written is None else written(pixels_done)
    left = share if k is None else leakage.scores(seen, k, ways=ways)
    psnr = reconstruct.psnr(seen, pixels)
    settings = found.threshold, found.compensation, found.alpha
    return Version(pixels_done, psnr, *settings, left, share)


def work(height: int, width: int, *, aware: bool, coarse: bool = False) -> int:
    """How often `anonymize` is expected to call `Ways.tick` for a photo of that size.

    Args:
      height: Rows.
      width: Columns.
      aware: K is known.
      coarse: Too much will be left at first, as of most JPEGs of less than quality 75.
    """
    every = tiles.grid(height, width)
    few = tiles.spread(every, FEW)
    parts = tiles.windows(height, width)
    followed = leakage.TICKS * min(leakage.FEW, len(parts))
    whole = 3 * len(every) // 2 if len(few) < len(every) else 0
    again = 2 * (len(few) + followed) if coarse else 0
    looks = len(parts) * (2 if whole else 5)
    return 4 * len(few) + followed + again + whole + (looks if aware else 0)


# ------------------------------------------------------------------------------------ what is left


def _protected(
    tried: Callable[[float, float], reconstruct.Rebuilt],
    followed: Callable[[reconstruct.Rebuilt], dict[str, float]],
    found: reconstruct.Rebuilt,
    most_left: float,
    until: float,
) -> tuple[reconstruct.Rebuilt, dict[str, float]]:
    """`found`, or what leaves no more of a planted fingerprint than it may; and what is left.

    To take more back is cheaper than to keep fewer coefficients, so that comes first. What is left
    is nearly linear in it, and in the logarithm of the threshold.
    """
    left = followed(found)
    if worst(left) <= most_left or time.monotonic() > until:
        return found, left
    if 0 < found.compensation < 1:
        whole = tried(found.threshold, 1.0)
        rest = followed(whole)
        if worst(rest) <= most_left:
            part = (worst(left) - most_left + _SPARE) / (worst(left) - worst(rest))
            between = found.compensation + min(part, 1.0) * (1 - found.compensation)
            found = tried(found.threshold, between)
            return found, followed(found)
        found, left = whole, rest
    fall = _FALL
    for _ in range(ROUNDS):
        over = worst(left) - most_left
        spent = found.psnr <= LEAST_PSNR + CLOSE or found.threshold >= STRONGEST
        if over <= 0 or spent or time.monotonic() > until:
            break
        farther = min((over + _SPARE) / fall, 0.5, math.log(STRONGEST / found.threshold))
        other = tried(found.threshold * math.exp(farther), found.compensation)
        if other.psnr < LEAST_PSNR:
            above = min(found.psnr, 99.0)  # infinite where a coarse JPEG puts everything back
            farther *= (above - LEAST_PSNR) / (above - other.psnr)
            other = tried(found.threshold * math.exp(farther), found.compensation)
        rest = followed(other)
        fall = min(max((worst(left) - worst(rest)) / max(farther, 1e-3), 0.2), 2.0)
        found, left = other, rest
    return found, left


def worst(left: dict[str, float]) -> float:
    """The largest share; 0 of a photo where nothing can be said."""
    return max((value for value in left.values() if not math.isnan(value)), default=0.0)


# ----------------------------------------------------------------------------------- the threshold


def _search(
    make: Callable[[float], reconstruct.Rebuilt], target: float, largest: float, until: float
) -> tuple[reconstruct.Rebuilt, float]:
    """The threshold whose PSNR is nearest to the target, and dB lost where it doubles.

    The search ends as well where so many times the noise, `largest`, still give more than that.
    """
    low, high = math.log(WEAKEST), math.log(STRONGEST)
    guess, slope = math.log(12.0), 4.0
    best = last = None
    for _ in range(ROUNDS):
        found = make(math.exp(guess))
        missed = found.psnr - target
        if best is None or abs(missed) < abs(best.psnr - target):
            best = found
        enough = missed > 0 and found.threshold > largest * found.noise
        if abs(missed) <= CLOSE or enough or time.monotonic() > until:
            break
        if last is not None and abs(guess - last[0]) > 1e-3 and math.isfinite(missed):
            measured = (last[1] - found.psnr) / (guess - last[0]) * math.log(2)
            slope = min(max(measured, 1.0), 24.0) if math.isfinite(measured) else slope
        last = guess, found.psnr
        low, high = (guess, high) if missed > 0 else (low, guess)
        # The brackets keep a wrong guess from doing harm.
        guess = min(max(guess + missed * math.log(2) / slope, low), high)
        if high - low < 1e-3 or guess in (low, high):
            guess = (low + high) / 2
    assert best is not None
    return best, slope


def _met(
    make: Callable[[float], reconstruct.Rebuilt],
    threshold: float,
    target: float,
    slope: float,
    until: float,
) -> reconstruct.Rebuilt:
    """The whole photo at a threshold that some tiles gave, once corrected if the others differ."""
    best = make(threshold)
    for _ in range(PASSES - 1):
        missed = best.psnr - target
        other = _corrected(best.threshold, missed, slope)
        if abs(missed) <= CLOSE or other == best.threshold or time.monotonic() > until:
            break
        found = make(other)
        if abs(found.psnr - target) >= abs(missed):
            break
        best = found
    return best


def _corrected(threshold: float, missed: float, slope: float) -> float:
    """Where the PSNR should be met, from how many dB it was missed by."""
    return min(max(threshold * 2 ** (missed / slope), WEAKEST), STRONGEST)


def _calibrated(
    key: Array,
    pixels: Pixels,
    fingerprint: np.ndarray,
    found: reconstruct.Rebuilt,
    written: Compress | None,
    ways: Ways,
) -> float:
    """How much of what is kept to subtract, so that the mixture's z are those of another camera.

    The z-scores are nearly linear in it, so least squares with one probe do. They aim at one draw
    from what other cameras give. That serves the mixture over perturbed fingerprints as well: with
    K + ε in place of K, z moves by an independent draw. A correlation that is chance already is
    left as it is, by the positive part of James and Stein's estimator: to undo chance for the
    extractors at hand is to add it for others.
    """
    made, kept = found.made, found.kept
    assert made is not None
    assert kept is not None
    scale = float(np.std(kept, dtype=np.float64))
    if not scale > 0:
        return 0.0
    probe = np.float32(_PROBE / scale)

    both = [found._replace(alpha=a) for a in (0.0, float(probe))] if written else []
    files = [written(reconstruct.pixels_of(pixels, one)) for one in both] if written else []

    def look(tile: tiles.Tile) -> tuple[np.ndarray, np.ndarray]:
        levels = made[tile.part]
        probed = levels - probe * kept[tile.part][..., None]
        if files:
            levels, probed = (tiles.levels(file[tile.part]) for file in files)
        pattern = leakage.luma(tiles.levels(pixels[tile.part])) * fingerprint[tile.part]
        return np.stack([levels, probed]), pattern

    before, after = leakage.z_scores(look, pixels.shape, ways)
    slope = (after - before) / probe
    aim = CHANCE * float(jax.random.normal(jax.random.fold_in(key, 0)))
    usable = np.isfinite(before) & np.isfinite(slope)
    slope, before = slope[usable], before[usable]
    energy = float(np.sum(slope**2))
    if not energy > 0:
        return 0.0
    mean = float(np.sum(np.abs(slope) * before) / np.sum(np.abs(slope)))
    certain = max(0.0, 1 - 1 / mean**2) if mean else 0.0
    return certain * float(np.sum(slope * (aim - before))) / energy
