"""The sparse method: a photo without its camera's noise, in seconds; no network is fitted.

The photo is reconstructed from the coefficients that stand out (`transform`); what else it loses is
turned over as far as leaves nothing of a fingerprint in any band of frequency and any class of
texture (`balance`), as measured in this photo (`leakage`). Where K is known, what is left of it is
measured as well, and subtracted.

The photo may have any size: the work is done in tiles, and all measurements are made on a few parts
of it. The extractors here are all wavelet filters. A learned one is left to those who test the
result.
"""

import functools
import hashlib
import math
from collections.abc import Mapping
from typing import NamedTuple

import jax
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array, Float, Key

from dippas_jax import config as configuration
from dippas_jax.signal import cells, displacement, extractors, image, tiles
from dippas_jax.signal.tiles import LOSSLESS, PLAIN, Codecs, Execution, Pixels
from dippas_jax.sparse import balance, grain, leakage, pyramid, reconstruct, threshold
from dippas_jax.sparse.balance import Balance
from dippas_jax.sparse.reconstruct import Reconstruction
from dippas_jax.types import Result

FEW = 8
"""Tiles, from all over the photo, whose PSNR stands for that of the photo."""

LEAST_PSNR = {"fast": 36.0, "balanced": 36.0, "strong": 33.0}
"""dB down to which a strength goes where more than `ENOUGH` is left."""

LEAST_THRESHOLD = 8.0
"""Grey levels, of a photo without noise."""

BEYOND = 4.0
"""dB below what the removal of all noise costs, to which any photo may go."""

ENOUGH = 0.1
"""Leakage in a band, or a class of texture, that no PSNR is given for."""

NEAR = 0.5  # dB from the PSNR aimed at, where it need not be exact
MOVES = 2  # thresholds after the first
_GRAIN, _FIELD = 7, 8  # make the keys of the new noise and of the displacement their own


class _Work(NamedTuple):
    """One photo, and all that its versions have in common."""

    pixels: Pixels
    fingerprint: np.ndarray | None
    compensation: float
    grain: float
    key: Array
    codecs: Codecs
    execution: Execution
    sample: leakage.Sample
    low: np.ndarray | None

    @property
    def least_threshold(self) -> float:
        """Grey levels, by the photo's noise."""
        return max(LEAST_THRESHOLD, leakage.CLEAR * min(self.sample.noise[0], leakage.NOISIEST))

    @property
    def noise_psnr(self) -> float:
        """Of the photo against itself without noise, dB."""
        noise = np.minimum(self.sample.noise, leakage.NOISIEST)
        return image.decibels(float(np.sum(np.square(noise))), 3)

    @property
    def every(self) -> list[tiles.Tile]:
        return tiles.grid(*self.pixels.shape[:2])

    @property
    def few(self) -> list[tiles.Tile]:
        """The tiles whose PSNR is looked at: all of a small photo."""
        return tiles.spread(self.every, FEW)

    @property
    def small(self) -> bool:
        return len(self.few) == len(self.every)

    def cells(self, found: Balance, alphas: np.ndarray | None = None) -> reconstruct.Cells:
        """What is done to the photo's cells, and the new noise."""
        table = self.sample.table
        if not self.grain:
            return reconstruct.Cells(found.flips, table, alphas, low=self.low)
        gain = grain.gains(found.flips, self.grain)
        return reconstruct.Cells(found.flips, table, alphas, gain, self.key, self.low)

    @property
    def codec_of_tiles(self) -> tiles.Codec | None:
        """The output's where it changes pixels: JPEG works on tiles as on the whole."""
        return self.codecs.followed


def anonymize(
    key: Key[Array, ""],
    photo: Pixels,
    fingerprint: Float[ArrayLike, "h w"] | None,
    config: configuration.Sparse | None = None,
    *,
    target_psnr: float = 0.0,
    deadline: float = math.inf,
    codecs: Codecs = LOSSLESS,
    execution: Execution = PLAIN,
) -> Result:
    """The version of a photo of which nothing is left in any cell, near the PSNR asked for.

    The fewer coefficients are kept, the less there is to turn over, at a lower PSNR. Where the
    photo keeps so much of a fingerprint that even the least threshold (`LEAST_THRESHOLD`,
    `leakage.CLEAR`) gives less than the PSNR asked for, or less than `LEAST_PSNR` of a strength,
    less is turned over, and some of the fingerprint stays.

    Args:
      key: Of the patterns that are planted to measure the leakage.
      photo: uint8 or uint16 [h w 3], at least 64x64. Grey levels are those of 8 bits.
      fingerprint: K in any unit; None for blind.
      config: Strength and compensation; the defaults where it is left out.
      target_psnr: dB, exactly; where it cannot be met, the nearest that can. 0 for the strength's,
        which is near and may end elsewhere.
      deadline: Time of the monotonic clock, seconds, after which no further threshold is tried.
      codecs: Files on both sides: the leakage is followed through them, and PSNR and z are measured
        behind the output's.
      execution: How the tiles are worked on.
    """
    config = config or configuration.Sparse()
    k, unit = None, 1.0
    if fingerprint is not None:
        k = np.asarray(fingerprint, np.float32)
        size = float(k.std())
        unit = 2.0 ** math.floor(math.log2(size)) if size > 0 else 1.0  # exact in every digit
        k = k / np.float32(unit)
    sample = leakage.sample(key, photo, k, codecs)
    low = sample.low._replace(times=config.compensation * sample.low.times)
    sample = sample._replace(low=low)
    work = _Work(
        photo,
        k,
        config.compensation,
        config.grain,
        _grain_key(key, photo) if config.grain else key,
        codecs,
        execution,
        sample,
        pyramid.plane(photo, low),
    )
    goal = threshold.Goal(target_psnr or configuration.STRENGTHS[config.strength], deadline)
    lowest = min(LEAST_PSNR[config.strength], work.noise_psnr - BEYOND)
    least = goal._replace(psnr=target_psnr or lowest)
    exact = bool(target_psnr) or config.strength == "strong"
    found, psnr = _balanced(work, goal, least, exact=exact)
    found, part = _lightened(work, found, psnr, least)
    version = _made(work, found, part, None, goal, exact=bool(target_psnr))
    if k is not None:
        version = _by_known(work, version, goal, least, exact=bool(target_psnr))
    found, pixels, alphas = version.found, version.pixels, version.alphas
    settings = {
        "threshold": version.threshold,
        "compensation": version.part * config.compensation,
        "alpha": 0.0 if alphas is None else float(np.mean(alphas)) / unit,
    }
    if not config.displacement:
        return _result(work, pixels, found.by_name, settings)
    settings |= {"displacement": config.displacement, "psnr_in_place": version.psnr}
    settings["left_in_place"] = abs(cells.worst(found.by_name))
    height, width = photo.shape[:2]
    field_key = jax.random.fold_in(key, _FIELD)
    field = displacement.Field(field_key, height, width, config.displacement, _secret(photo))
    moved = displacement.displaced(pixels, field, execution)
    seen = found._replace(threshold=version.threshold)
    left = balance.measured(sample._replace(move=field.move), seen, found.flips, execution)
    return _result(work, moved, left.by_name, settings)


def _secret(photo: Pixels) -> bytes:
    """What nobody finds without the photo, by trying all that there may be."""
    return hashlib.sha256(photo.tobytes()).digest()


def _grain_key(key: Key[Array, ""], photo: Pixels) -> Key[Array, ""]:
    """Of the new noise: a photo's key is made of 32 bits of it, which can all be tried."""
    key = jax.random.fold_in(key, _GRAIN)
    for word in np.frombuffer(_secret(photo)[:8], "<u4"):
        key = jax.random.fold_in(key, word)
    return key


def expected_ticks(height: int, width: int, *, aware: bool = False) -> int:
    """How often `anonymize` is expected to call `Execution.on_tile` for a photo of that size.

    Where a fingerprint is known the photo is made three times at most: to see what is left of it,
    to turn over as much as that asks for, and to subtract the rest.
    """
    every = tiles.grid(height, width)
    few = min(len(every), FEW)
    plants = max(leakage.PATTERNS, min(leakage.FEW, len(tiles.windows(height, width))))
    first = 2 * plants * (balance.UPDATES + 1)
    return first + 2 * plants * (balance.FEWER + 1) + 3 * few + (3 if aware else 1) * len(every)


def _balanced(
    work: _Work, goal: threshold.Goal, least: threshold.Goal, *, exact: bool
) -> tuple[Balance, float]:
    """With the threshold that comes near the PSNR, or the least one where much is left; its PSNR.

    A higher PSNR is kept unless it is to be `exact`: if nothing is left with the first threshold, a
    larger one would only cost faint texture.
    """
    level, slope, aim = max(threshold.START, work.least_threshold), 4.0, goal
    found, last, psnr = None, None, math.inf
    for _ in range(MOVES + 1):
        found = balance.balance(
            work.sample,
            level,
            compensation=work.compensation,
            start=found,
            execution=work.execution,
        )
        psnr = _psnr(work, found)
        if last is not None:
            measured = (last[1] - psnr) / math.log2(level / last[0])
            slope = min(max(measured, 1.0), 12.0) if math.isfinite(measured) else slope
        last = level, psnr
        if balance.most_left(found) > ENOUGH:
            aim = least
        missed = psnr - aim.psnr
        if aim is goal and missed > 0 and not exact:
            break
        level = threshold.corrected(level, missed, slope, max(work.least_threshold, level / 2))
        level = min(level, 2 * last[0])  # the slope is that of one place
        settled = aim is least and least is not goal and balance.most_left(found) <= ENOUGH
        if abs(missed) <= NEAR or settled or level == last[0] or goal.late:
            break
    assert found is not None
    return found, psnr


def _lightened(
    work: _Work, found: Balance, psnr: float, least: threshold.Goal
) -> tuple[Balance, float]:
    """`found`, with a share of its flips where all of them cost more than may be lost."""
    if psnr >= least.psnr - threshold.CLOSE or least.late:
        return found, 1.0
    flips = found.flips
    part = threshold.share(lambda x: _psnr(work, found._replace(flips=x * flips)), least)
    lighter = balance.measured(work.sample, found, (part * flips).astype(np.float32))
    return lighter, part


class _Version(NamedTuple):
    """The whole photo, treated.

    Attributes:
      found: What was done to its cells.
      part: Share of the flips that the PSNR allowed.
      alphas: Times I·K that were subtracted; None for none.
      threshold: Of the coefficients.
      psnr: Behind the output codec.
      pixels: The photo.
    """

    found: Balance
    part: float
    alphas: np.ndarray | None
    threshold: float
    psnr: float
    pixels: Pixels


def _made(
    work: _Work,
    found: Balance,
    part: float,
    alphas: np.ndarray | None,
    goal: threshold.Goal,
    *,
    exact: bool,
) -> _Version:
    """The whole photo; with another threshold where the PSNR is to be met exactly."""
    slope = 4.0
    if exact and not goal.late:
        found, slope = _exact(work, found, alphas, goal)
    attempt = functools.partial(_reconstruct, work, work.every, of=work.cells(found, alphas))
    if exact and not work.small:
        done = threshold.meet(attempt, found.threshold, slope, goal)
    else:
        done = attempt(found.threshold)
    assert done.pixels is not None
    return _Version(found, part, alphas, done.threshold, done.psnr, done.pixels)


def _by_known(
    work: _Work, version: _Version, goal: threshold.Goal, least: threshold.Goal, *, exact: bool
) -> _Version:
    """The photo made again by what all of it shows of K: first its flips, then what is subtracted.

    The parts that the balance is measured on show less of K, so that chance counts more there.
    """
    assert work.fingerprint is not None
    look = functools.partial(leakage.look_at, photo=work.pixels, fingerprint=work.fingerprint)
    seen = look(work.sample, version=version.pixels)
    if work.compensation == 1 and not goal.late:
        before = look(work.sample._replace(output=None), version=work.pixels)
        found = balance.recalibrated(work.sample, version.found, before, seen)
        found, part = _lightened(work, found, _psnr(work, found), least)
        version = _made(work, found, part, None, goal, exact=exact)
        seen = look(work.sample, version=version.pixels)
    alphas = balance.subtraction(work.sample, version.found, seen)
    if not np.any(alphas):
        return version
    return _made(work, version.found, version.part, alphas, goal, exact=exact)


def _exact(
    work: _Work, found: Balance, alphas: np.ndarray | None, goal: threshold.Goal
) -> tuple[Balance, float]:
    """`found` with the threshold that gives just that PSNR, and dB lost where it doubles."""
    attempt = functools.partial(_reconstruct, work, work.few, of=work.cells(found, alphas))
    met, slope = threshold.search(attempt, goal, found.threshold)
    if met.threshold == found.threshold:
        return found, slope
    moved = found._replace(threshold=met.threshold)
    return balance.measured(work.sample, moved, found.flips), slope


def _psnr(work: _Work, found: Balance) -> float:
    return _reconstruct(work, work.few, found.threshold, of=work.cells(found)).psnr


def _reconstruct(
    work: _Work, chosen: list[tiles.Tile], level: float, of: reconstruct.Cells
) -> Reconstruction:
    return reconstruct.reconstruct(
        work.pixels,
        work.fingerprint,
        chosen,
        level,
        of,
        codec=work.codec_of_tiles,
        execution=work.execution,
    )


def _result(
    work: _Work, pixels: Pixels, left: Mapping[str, float], settings: Mapping[str, float]
) -> Result:
    seen = pixels if work.codecs.output is None else work.codecs.output(pixels)
    z: dict[str, float] = {}
    if work.fingerprint is not None:
        z = extractors.scores(seen, work.fingerprint, execution=work.execution)
    psnr = tiles.psnr(seen, work.pixels)
    return Result(pixels, psnr, z, left, settings, visible=leakage.visible(work.sample))
