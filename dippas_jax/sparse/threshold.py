"""Which threshold gives the PSNR asked for.

What is tried comes as functions; nothing here knows photos.
"""

import math
import time
from collections.abc import Callable
from typing import NamedTuple

from dippas_jax.sparse.reconstruct import Reconstruction

WEAKEST, STRONGEST = 1.0, 64.0  # thresholds tried, grey levels
START = 12.0  # the first one
CLOSE = 0.05  # dB from the PSNR asked for that are close enough

ROUNDS = 8  # tried at most
PASSES = 3  # over the whole photo at most


class Goal(NamedTuple):
    """What is asked for.

    Attributes:
      psnr: dB.
      deadline: Time of the monotonic clock, seconds, after which nothing more is tried.
    """

    psnr: float
    deadline: float = math.inf

    @property
    def late(self) -> bool:
        """Whether the time is over."""
        return time.monotonic() > self.deadline


def search(
    attempt: Callable[[float], Reconstruction], goal: Goal, start: float = START
) -> tuple[Reconstruction, float]:
    """The threshold whose PSNR is nearest to the goal's, and dB lost where it doubles."""
    low, high = math.log(WEAKEST), math.log(STRONGEST)
    guess, slope = math.log(start), 4.0
    best = last = None
    for _ in range(ROUNDS):
        found = attempt(math.exp(guess))
        missed = found.psnr - goal.psnr
        if best is None or abs(missed) < abs(best.psnr - goal.psnr):
            best = found
        if abs(missed) <= CLOSE or goal.late:
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


def share(psnr: Callable[[float], float], goal: Goal) -> float:
    """The largest factor of 0 to 1 whose PSNR is the goal's, to 0.4 %; the PSNR falls with it."""
    low, high = 0.0, 1.0
    for _ in range(ROUNDS):
        middle = (low + high) / 2
        low, high = (middle, high) if psnr(middle) >= goal.psnr else (low, middle)
    return low


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


def corrected(threshold: float, missed: float, slope: float, least: float = WEAKEST) -> float:
    """Where the PSNR should be met, from how many dB it was missed by."""
    return min(max(threshold * 2 ** (min(missed, 99.0) / slope), least), STRONGEST)
