"""Which threshold gives the PSNR asked for, and which one leaves little enough of a fingerprint.

What is tried and measured comes as functions; nothing here knows photos.
"""

import math
import time
from collections.abc import Callable
from typing import NamedTuple

from dippas_jax.sparse.reconstruct import Reconstruction

WEAKEST, STRONGEST = 1.0, 64.0  # thresholds tried, grey levels
CLOSE = 0.05  # dB from the PSNR asked for that are close enough

LARGEST = 6.0
"""Largest threshold that a strength asks for, in deviations of the noise (`transform.noise_level`).
Beyond it there is no noise left to drop, only faint texture."""

LEAST_PSNR = 35.0
"""dB below which no strength goes, whatever is left: the lowest of the paper's thresholds for
snapshots (section 4.3)."""

ROUNDS = 8  # thresholds tried at most
PASSES = 3  # over the whole photo at most
_FALL = 0.6  # leakage that goes where the threshold grows e-fold, before it is measured
_SPARE = 0.02  # of the leakage allowed: aimed below it, to be done in one step


class Goal(NamedTuple):
    """What is asked for.

    Attributes:
      psnr: dB.
      max_leakage: Share of a planted fingerprint that may be left; infinite where any may.
      deadline: Time of the monotonic clock, seconds, after which nothing more is tried.
    """

    psnr: float
    max_leakage: float = math.inf
    deadline: float = math.inf

    @property
    def limited(self) -> bool:
        """Whether the leakage has a limit."""
        return self.max_leakage < math.inf

    @property
    def late(self) -> bool:
        """Whether the time is over."""
        return time.monotonic() > self.deadline


def worst(leakage: dict[str, float]) -> float:
    """The largest share; 0 of a photo where nothing can be said."""
    return max((value for value in leakage.values() if not math.isnan(value)), default=0.0)


def search(attempt: Callable[[float], Reconstruction], goal: Goal) -> tuple[Reconstruction, float]:
    """The threshold whose PSNR is nearest to the goal's, and dB lost where it doubles.

    With a limit on the leakage the search ends as well where `LARGEST` times the noise still give
    more than that PSNR.
    """
    largest = LARGEST if goal.limited else math.inf
    low, high = math.log(WEAKEST), math.log(STRONGEST)
    guess, slope = math.log(12.0), 4.0
    best = last = None
    for _ in range(ROUNDS):
        found = attempt(math.exp(guess))
        missed = found.psnr - goal.psnr
        if best is None or abs(missed) < abs(best.psnr - goal.psnr):
            best = found
        enough = missed > 0 and found.threshold > largest * found.noise
        if abs(missed) <= CLOSE or enough or goal.late:
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


def limit_leakage(
    attempt: Callable[[float, float], Reconstruction],
    measure: Callable[[Reconstruction], dict[str, float]],
    found: Reconstruction,
    goal: Goal,
) -> tuple[Reconstruction, dict[str, float]]:
    """`found`, or what leaves no more of a planted fingerprint than it may; and what is left.

    To compensate more is cheaper than to keep fewer coefficients, so that comes first. The leakage
    is nearly linear in the compensation, and in the logarithm of the threshold.

    Args:
      attempt: Makes the photo with a threshold and a compensation.
      measure: Gives the leakage of what was made.
      found: What met the PSNR.
      goal: What is asked for.
    """
    if found.threshold > LARGEST * found.noise:
        found = attempt(max(LARGEST * found.noise, WEAKEST), found.compensation)
    leakage = measure(found)
    if worst(leakage) <= goal.max_leakage or goal.late:
        return found, leakage
    if 0 < found.compensation < 1:
        whole = attempt(found.threshold, 1.0)
        rest = measure(whole)
        if worst(rest) <= goal.max_leakage:
            part = (worst(leakage) - goal.max_leakage + _SPARE) / (worst(leakage) - worst(rest))
            between = found.compensation + min(part, 1.0) * (1 - found.compensation)
            found = attempt(found.threshold, between)
            return found, measure(found)
        found, leakage = whole, rest
    return _raise_threshold(attempt, measure, found, leakage, goal)


def _raise_threshold(
    attempt: Callable[[float, float], Reconstruction],
    measure: Callable[[Reconstruction], dict[str, float]],
    found: Reconstruction,
    leakage: dict[str, float],
    goal: Goal,
) -> tuple[Reconstruction, dict[str, float]]:
    """Fewer coefficients, until the leakage is allowed or the PSNR is `LEAST_PSNR`."""
    fall = _FALL
    for _ in range(ROUNDS):
        over = worst(leakage) - goal.max_leakage
        spent = found.psnr <= LEAST_PSNR + CLOSE or found.threshold >= STRONGEST
        if over <= 0 or spent or goal.late:
            break
        farther = min((over + _SPARE) / fall, 0.5, math.log(STRONGEST / found.threshold))
        other = attempt(found.threshold * math.exp(farther), found.compensation)
        if other.psnr < LEAST_PSNR:
            above = min(found.psnr, 99.0)  # infinite where a coarse JPEG puts everything back
            farther *= (above - LEAST_PSNR) / (above - other.psnr)
            other = attempt(found.threshold * math.exp(farther), found.compensation)
        rest = measure(other)
        fall = min(max((worst(leakage) - worst(rest)) / max(farther, 1e-3), 0.2), 2.0)
        found, leakage = other, rest
    return found, leakage


def meet(
    attempt: Callable[[float], Reconstruction], threshold: float, slope: float, goal: Goal
) -> Reconstruction:
    """The whole photo at a threshold that some tiles gave, corrected if the others differ."""
    best = attempt(threshold)
    for _ in range(PASSES - 1):
        missed = best.psnr - goal.psnr
        other = corrected(best.threshold, missed, slope)
        if abs(missed) <= CLOSE or other == best.threshold or goal.late:
            break
        found = attempt(other)
        if abs(found.psnr - goal.psnr) >= abs(missed):
            break
        best = found
    return best


def corrected(threshold: float, missed: float, slope: float) -> float:
    """Where the PSNR should be met, from how many dB it was missed by."""
    return min(max(threshold * 2 ** (missed / slope), WEAKEST), STRONGEST)
