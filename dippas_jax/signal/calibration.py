"""How often to turn over what a method drops, so that nothing of a fingerprint is left in any cell.

A method that keeps the share λ of a fingerprint takes out 1-λ of it. What it takes out, turned over
λ/(1-λ) times, brings what is left to zero. λ differs by cell (`signal.cells`) and shows through in
neighbouring ones, so the flips are found by measurement and correction, in each cell for itself.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from jax.typing import ArrayLike

from dippas_jax.signal import cells

MOST = np.array([1, 3, 3, 3, 3, 3, 3], np.float32)[:, None]
"""Times a coefficient is turned over at most, by band. A cell that keeps more than three quarters
of a fingerprint is not brought to zero by that: it would only add noise. The lowest band shows
through in the next one, so it is turned over once at most."""

_FALLS = 0.2, 4.0  # by how much one flip changes the leakage, at least and at most
_MOVED = 0.05  # flips from which that can be measured
_SPREAD = 0.05  # standard deviation of the leakage of K around that of planted patterns, at least


class Flips(NamedTuple):
    """How often the cells are turned over, and what that leaves.

    Attributes:
      flips: By cell [7 4].
      base: Leakage by cell where nothing is turned over, at the first search of several.
      falls: By how much one flip lowers the leakage of its cell.
      left: Leakage by cell with the flips.
    """

    flips: np.ndarray
    base: np.ndarray
    falls: np.ndarray
    left: np.ndarray


def search(
    leakage: Callable[[np.ndarray], np.ndarray], updates: int, start: Flips | None = None
) -> Flips:
    """Flips that leave nothing in any cell, as far as `MOST` allows.

    Args:
      leakage: By cell [7 4], for flips [7 4].
      updates: Corrections: a first step by λ/(1-λ), at most 1, then along the secant, or between
        flips that leave something and flips that take out too much.
      start: Of a problem near to this one, to begin with.
    """
    nothing = np.zeros((cells.BANDS, cells.CLASSES), np.float32)
    flips = nothing if start is None else start.flips
    last = None
    between = _Between(*np.full((4, cells.BANDS, cells.CLASSES), np.nan))
    for update in range(updates + 1):
        left = leakage(flips)
        if start is None:
            start = Flips(flips, left, np.clip(np.maximum(1 - left, left), *_FALLS), left)
        falls = start.falls
        if last is not None:  # the secant through the last two
            moved = flips - last[0]
            far = np.abs(moved) > _MOVED
            slope = (last[1] - left) / np.where(far, moved, 1)
            falls = np.where(far, np.clip(slope, *_FALLS), falls)
        start = start._replace(flips=flips, falls=falls, left=left)
        if update == updates:
            break
        again = False if last is None else (last[1] > 0) == (left > 0)
        between = between.narrowed(flips, left, again)
        last = flips, left
        step = between.step(flips + left / falls)
        flips = np.clip(step, 0, MOST).astype(np.float32)
    assert start is not None
    return start


class _Between(NamedTuple):
    """Flips on both sides of zero, by cell; nan where none is known yet.

    What fine extractors see of a little that is turned over grows faster than that, and then hardly
    any more. A straight line through two flips may miss zero by far, but it lies between them.

    Attributes:
      few: Flips that left something.
      many: Flips that took out too much.
      left: What `few` left, or half of that where it has stayed for long.
      over: Likewise of `many`; below 0.
    """

    few: np.ndarray
    many: np.ndarray
    left: np.ndarray
    over: np.ndarray

    def narrowed(self, flips: np.ndarray, left: np.ndarray, again: ArrayLike) -> "_Between":
        """With one more measurement.

        Where it lies on the side of the one before (`again`), the end that stays counts half (the
        Illinois method).
        """
        few = left > 0
        half = np.where(again, 0.5, 1.0)
        return _Between(
            np.where(few, flips, self.few),
            np.where(few, self.many, flips),
            np.where(few, left, half * self.left),
            np.where(few, half * self.over, left),
        )

    def step(self, otherwise: np.ndarray) -> np.ndarray:
        """Where the straight line is zero; `otherwise` where it has no two sides."""
        known = self.many > self.few  # not so with nan, nor where another cell has moved this one
        span = np.where(known, self.left - self.over, 1)
        share = np.where(known, self.left, 0) / np.where(span > 0, span, 1)
        inside = np.where(known, self.few, 0) + share * np.where(known, self.many - self.few, 0)
        return np.where(known, inside, otherwise)


def drawn(
    foretold: np.ndarray, after: np.ndarray, before: np.ndarray, chance: np.ndarray
) -> np.ndarray:
    """Leakage by cell: what is foretold, drawn to that of a known K.

    The weights are those of empirical Bayes: how far the leakage of K lies from what is foretold,
    beyond its standard error, is measured over all cells of this photo.

    Args:
      foretold: By planted patterns [7 4].
      after: What is seen of K in the result [7 4].
      before: What is seen of it in the photo.
      chance: The standard deviation of `before` where photo and K are independent.
    """
    seen = before > 2 * chance
    if not seen.any():
        return foretold
    safe = np.where(seen, before, 1.0)
    error = np.where(seen, chance / safe, np.inf)
    away = np.where(seen, after / safe - foretold, 0.0)
    weight = np.where(seen, 1 / error**2, 0.0)
    excess = np.sum(weight * (away**2 - np.where(seen, error, 0) ** 2)) / np.sum(weight)
    spread = max(excess, _SPREAD**2)
    return foretold + away * np.where(seen, spread / (spread + np.minimum(error, 1e6) ** 2), 0)
