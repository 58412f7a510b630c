"""The sparse method: a photo without its camera's noise, in seconds; no network is fitted.

Blind: the photo is reconstructed (`reconstruct`), with the threshold that gives the PSNR asked for.
Aware: what is then left of the known fingerprint is measured by `extractors.MEMBERS` and taken
out, down to what chance alone would give: a correlation of exactly zero is a trace too.

The photo may have any size: the work is done in tiles, and measurements are added up over all of
them. Beside the tiles at work and the photos there are two planes of numbers for each colour.

The extractors here are all wavelet filters. A learned one is left to those who test the result.
"""

import functools
import math
from typing import NamedTuple

import jax
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array, Float, Key

from dippas_jax import config as configuration
from dippas_jax.signal import extractors, image, tiles
from dippas_jax.signal.tiles import LOSSLESS, PLAIN, Codecs, Execution, Pixels
from dippas_jax.sparse import leakage, reconstruct, threshold
from dippas_jax.sparse.reconstruct import Reconstruction
from dippas_jax.types import Result

MAX_LEAKAGE = {"blind": 0.15, "aware": 0.5}
"""Share of a planted fingerprint that a strength, rather than a PSNR, allows. Where K is known most
of the share is taken out as well; what stays is what K does not know of the camera."""

FEW = 8
"""Tiles, from all over the photo, on which the threshold is looked for."""

CHANCE = 1.0  # standard deviation of the z-scores aimed at
_PROBE = 0.3  # grey levels of the fingerprint taken out to see what that changes


class _Work(NamedTuple):
    """One photo, and all that its versions have in common."""

    key: Array
    pixels: Pixels
    fingerprint: np.ndarray | None
    codecs: Codecs
    execution: Execution

    @property
    def every(self) -> list[tiles.Tile]:
        return tiles.grid(*self.pixels.shape[:2])

    @property
    def sample(self) -> list[tiles.Tile]:
        """The tiles on which the threshold is looked for: all of a small photo."""
        return tiles.spread(self.every, FEW)

    @property
    def small(self) -> bool:
        return len(self.sample) == len(self.every)

    @property
    def codec_of_tiles(self) -> tiles.Codec | None:
        """JPEG works on tiles as on the whole; other formats may want the photo whole."""
        return self.codecs.output if self.codecs.camera else None


def anonymize(
    key: Key[Array, ""],
    photo: Pixels,
    fingerprint: Float[ArrayLike, "h w"] | None,
    config: configuration.Sparse | None = None,
    *,
    target_psnr: float = 0.0,
    max_leakage: float | None = None,
    deadline: float = math.inf,
    codecs: Codecs = LOSSLESS,
    execution: Execution = PLAIN,
) -> Result:
    """The version of a photo whose PSNR is that asked for, or the best found in time.

    Noise that is stronger than the PSNR allows to drop is kept, and the fingerprint with it. Unless
    `max_leakage` is infinite, more is then compensated and, if that does not suffice, the photo is
    made from fewer coefficients, at a PSNR of `threshold.LEAST_PSNR` or more. Where there is too
    little noise to lose that much, it is made from more coefficients, at a higher PSNR.

    Args:
      key: Decides what chance gives in place of the fingerprint's correlation.
      photo: uint8 or uint16 [h w 3], at least 64x64. Grey levels are those of 8 bits.
      fingerprint: K in any unit; None for blind.
      config: Strength and compensation; the defaults where it is left out.
      target_psnr: dB, exactly; where it cannot be met, the nearest that can. 0 for the strength's,
        which bounds the leakage and may end elsewhere.
      max_leakage: Share of a planted fingerprint's z that may be left; None for `MAX_LEAKAGE` of a
        strength, or infinity with a target.
      deadline: Time of the monotonic clock, seconds, after which no further threshold is tried.
      codecs: Files on both sides: the leakage is followed through them, and PSNR and z are measured
        behind the output's.
      execution: How the tiles are worked on.
    """
    config = config or configuration.Sparse()
    k = None if fingerprint is None else np.asarray(fingerprint, np.float32)
    if max_leakage is None:
        max_leakage = math.inf if target_psnr else MAX_LEAKAGE["blind" if k is None else "aware"]
    psnr = target_psnr or configuration.STRENGTHS[config.strength]
    goal = threshold.Goal(psnr, max_leakage, deadline)
    work = _Work(key, photo, k, codecs, execution)
    attempt = functools.partial(_attempt, work)
    measure = functools.partial(_leakage, work)

    found, slope = threshold.search(lambda level: attempt(level, config.compensation), goal)
    met = found
    shares: dict[str, float] = {}
    if goal.limited:
        found, shares = threshold.limit_leakage(attempt, measure, found, goal)
    elif k is None:
        shares = measure(found)
    if not work.small:
        found = _whole(work, found, slope, goal, exact=found is met)
    return _result(work, found, shares)


def expected_ticks(height: int, width: int, *, aware: bool, coarse: bool = False) -> int:
    """How often `anonymize` is expected to call `Execution.on_tile` for a photo of that size.

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


def _attempt(work: _Work, level: float, compensation: float) -> Reconstruction:
    """The sample of a photo; of a small photo all that is done to it, K taken out as well."""
    found = _reconstruct(work, work.sample, level, compensation)
    return _calibrated(work, found) if work.small else found


def _whole(
    work: _Work, sample: Reconstruction, slope: float, goal: threshold.Goal, *, exact: bool
) -> Reconstruction:
    """The whole of a large photo, with the threshold that its sample gave; `exact`: as the goal."""

    def attempt(level: float) -> Reconstruction:
        return _reconstruct(work, work.every, level, sample.compensation)

    if not exact:
        return _calibrated(work, attempt(sample.threshold))
    done = _calibrated(work, threshold.meet(attempt, sample.threshold, slope, goal))
    missed = done.psnr - goal.psnr
    if not done.alpha or abs(missed) <= threshold.CLOSE or goal.late:
        return done
    # A strong K was taken out, which costs PSNR as well.
    other = _calibrated(work, attempt(threshold.corrected(done.threshold, missed, slope)))
    return min(done, other, key=lambda one: abs(one.psnr - goal.psnr))


def _result(work: _Work, found: Reconstruction, shares: dict[str, float]) -> Result:
    pixels = reconstruct.pixels_of(work.pixels, found)
    seen = pixels if work.codecs.output is None else work.codecs.output(pixels)
    z: dict[str, float] = {}
    if work.fingerprint is not None:
        z = extractors.scores(seen, work.fingerprint, execution=work.execution)
    settings = {
        "threshold": found.threshold,
        "compensation": found.compensation,
        "alpha": found.alpha,
    }
    return Result(pixels, tiles.psnr(seen, work.pixels), z, shares, settings)


def _reconstruct(
    work: _Work, chosen: list[tiles.Tile], level: float, compensation: float
) -> Reconstruction:
    return reconstruct.reconstruct(
        work.pixels,
        work.fingerprint,
        chosen,
        level,
        compensation,
        codec=work.codec_of_tiles,
        execution=work.execution,
    )


def _leakage(work: _Work, found: Reconstruction) -> dict[str, float]:
    return leakage.leakage(
        jax.random.fold_in(work.key, 1),
        work.pixels,
        found.threshold,
        found.compensation,
        codecs=work.codecs,
        execution=work.execution,
    )


# ---------------------------------------------------------------------------------------- a known K


def _calibrated(work: _Work, found: Reconstruction) -> Reconstruction:
    """`found` with `alpha`, how much of I·K is to be subtracted, where K is known."""
    if work.fingerprint is None:
        return found
    found = found._replace(alpha=_alpha(work, found))
    done = reconstruct.pixels_of(work.pixels, found)
    codec = work.codec_of_tiles
    return found._replace(psnr=tiles.psnr(codec(done) if codec else done, work.pixels))


def _alpha(work: _Work, found: Reconstruction) -> float:
    """How much of what is kept to subtract, so that the z-scores are those of another camera.

    The z-scores are nearly linear in it, so least squares with one probe do. They aim at one draw
    from what other cameras give. That serves the extractors over perturbed fingerprints as well:
    with K + ε in place of K, z moves by an independent draw. A correlation that is chance already
    is left as it is, by the positive part of James and Stein's estimator: to undo chance for the
    extractors at hand is to add it for others.
    """
    assert found.kept is not None
    scale = float(np.std(found.kept, dtype=np.float64))
    if not scale > 0:
        return 0.0
    probe = np.float32(_PROBE / scale)
    before, after = _probed(work, found, probe)
    slope = (after - before) / probe
    aim = CHANCE * float(jax.random.normal(jax.random.fold_in(work.key, 0)))
    usable = np.isfinite(before) & np.isfinite(slope)
    slope, before = slope[usable], before[usable]
    energy = float(np.sum(slope**2))
    if not energy > 0:
        return 0.0
    mean = float(np.sum(np.abs(slope) * before) / np.sum(np.abs(slope)))
    certain = max(0.0, 1 - 1 / mean**2) if mean else 0.0
    return certain * float(np.sum(slope * (aim - before))) / energy


def _probed(work: _Work, found: Reconstruction, probe: np.float32) -> Float[np.ndarray, "2 m"]:
    """The z-scores without and with a little of I·K taken out, behind the output codec."""
    made, kept, fingerprint = found.made, found.kept, work.fingerprint
    assert made is not None
    assert kept is not None
    assert fingerprint is not None
    files = []
    if output := work.codecs.output:
        both = [found._replace(alpha=alpha) for alpha in (0.0, float(probe))]
        files = [output(reconstruct.pixels_of(work.pixels, one)) for one in both]

    def look(tile: tiles.Tile) -> tuple[np.ndarray, np.ndarray]:
        levels = made[tile.part]
        probed = levels - probe * kept[tile.part][..., None]
        if files:
            levels, probed = (tiles.levels(file[tile.part]) for file in files)
        grey = np.asarray(image.luma(tiles.levels(work.pixels[tile.part])))
        return np.stack([levels, probed]), grey * fingerprint[tile.part]

    return extractors.z_scores(look, work.pixels.shape, work.execution)
