"""Which coefficients to turn over how often, so that nothing of a fingerprint is left in any cell.

Nothing here is tuned to cameras: the leakage is measured in the photo at hand (`leakage`), and what
is dropped is turned over as often as brings it to zero, in each cell for itself. Where K is known,
what is left of K itself is measured too: a camera's own noise reduction keeps K where the photo has
structure, which a pattern planted afterwards cannot know. What is left then is subtracted, never
added.
"""

from typing import NamedTuple

import numpy as np
from scipy import optimize

from dippas_jax.signal import calibration, cells, tiles
from dippas_jax.sparse import leakage
from dippas_jax.sparse.leakage import Leakage, Sample

UPDATES = 4  # corrections of the flips, from nothing
FEWER = 3  # from the flips of a near threshold
_PARTS = 1.0, 0.75, 0.5, 0.25  # of what a straight line says is to be subtracted
_FALLS = 0.5, 8.0  # by how much one flip changes the leakage of K, at least and at most
_PROBE = 0.5  # times I·K of one percent that is subtracted to see what that changes


class Balance(NamedTuple):
    """Flips, and what they leave.

    Attributes:
      threshold: Grey levels.
      flips: By cell [7 4].
      base: Leakage by cell where nothing is turned over, at the first threshold tried.
      falls: By how much one flip lowers the leakage of its cell.
      left: Leakage by cell with the flips.
      by_name: The same, by band and by texture.
    """

    threshold: float
    flips: np.ndarray
    base: np.ndarray
    falls: np.ndarray
    left: np.ndarray
    by_name: dict[str, float]


def most_left(found: Balance) -> float:
    """The largest leakage, either side of 0, of all but the two lowest bands; 0 if there is none.

    Those hold little of a fingerprint, and 8x8 blocks can hardly treat them.
    """
    rest = {name: value for name, value in found.by_name.items() if name != cells.NAMES[1]}
    left = abs(cells.worst(rest))
    return 0.0 if np.isnan(left) else left


def balance(
    of: Sample,
    threshold: float,
    *,
    compensation: float = 1.0,
    start: Balance | None = None,
    execution: tiles.Execution = tiles.PLAIN,
) -> Balance:
    """Flips that leave nothing in any cell, as far as `MOST` allows.

    Args:
      of: The parts measured on.
      threshold: Grey levels.
      compensation: Share of it that is turned over, 0 to 1.
      start: Of a near threshold, to begin with.
      execution: Told of every part.
    """
    before = np.zeros((cells.BANDS, cells.CLASSES))

    def left(flips: np.ndarray) -> np.ndarray:
        nonlocal before
        found = leakage.measure(of, threshold, flips, execution)
        before = found.before
        return _shares(of, found, threshold, flips)

    first = None
    if start is not None:
        flips = start.flips / compensation if compensation else start.flips
        first = calibration.Flips(flips, start.base, start.falls, start.left)
    updates = (UPDATES if start is None else FEWER) if compensation else 0
    found = calibration.search(left, updates, first)
    by_name = cells.by_name(found.left * before, before)
    whole = Balance(threshold, *found, by_name)
    if compensation in (0, 1):
        return whole
    return measured(of, whole, (compensation * found.flips).astype(np.float32), execution)


def measured(
    of: Sample, found: Balance, flips: np.ndarray, execution: tiles.Execution = tiles.PLAIN
) -> Balance:
    """What other flips leave at the threshold of `found`."""
    left = leakage.measure(of, found.threshold, flips, execution)
    shares = _shares(of, left, found.threshold, flips)
    by_name = cells.by_name(shares * left.before, left.before)
    return found._replace(flips=flips, left=shares, by_name=by_name)


def recalibrated(of: Sample, found: Balance, before: leakage.Look, after: leakage.Look) -> Balance:
    """`found` with its flips corrected once by what is left of a known K in the whole photo.

    The parts measured on show less of K than the whole photo does.

    Args:
      of: The parts measured on.
      found: Flips, and what they are said to leave.
      before: What `leakage.look_at` sees of K in the photo as it came.
      after: What it sees in the version with these flips.
    """
    left = calibration.drawn(found.left, after.sums, before.sums, before.chance)
    falls = np.clip(leakage.falls(of, found.threshold, found.flips), *_FALLS)
    flips = np.clip(found.flips + left / falls, 0, calibration.MOST)
    return measured(of, found, flips.astype(np.float32))


def _shares(of: Sample, found: Leakage, threshold: float, flips: np.ndarray) -> np.ndarray:
    """Leakage by cell: what is foretold, drawn to the leakage of K where that is known."""
    if of.known is None and not of.compressed:
        return found.shares
    versions = [
        leakage.made(of, p, p.levels, threshold, flips.astype(np.float32)) for p in of.parts
    ]
    own = leakage.own_share(of, versions) if of.compressed else found.shares
    foretold = _foretold(of, found.shares, own)
    if of.known is None:
        return foretold
    after = leakage.look(of, versions).sums
    return calibration.drawn(foretold, after, of.known.sums, of.known.chance)


def _foretold(of: Sample, planted: np.ndarray, own: np.ndarray) -> np.ndarray:
    """What is left of a fingerprint, from what is left of planted patterns and of the own residual.

    The own residual holds the camera's noise as the camera's noise reduction and JPEG have left it,
    but detail of the scene as well, which is kept. So of two figures the lower one counts, unless
    the busiest quarter of the photo shows that its noise is kept better than planted patterns: then
    the camera has left noise where there is structure, and the own residual tells more.
    """
    if not of.compressed:
        return planted
    return of.processed * own + (1 - of.processed) * np.minimum(own, planted)


def subtraction(of: Sample, found: Balance, whole: leakage.Look | None = None) -> np.ndarray:
    """How many times I·K to subtract, by cell [7 4]: what the flips have left of K, never below 0.

    Least squares in standard deviations of chance, since what is subtracted in one band shows in
    its neighbours too. What is aimed at is shrunk by how surely it differs from chance, all cells
    together and each for itself (James and Stein's positive part): to undo chance for one
    fingerprint is to add it for others.

    Args:
      of: The parts measured on.
      found: What is done to them otherwise.
      whole: What `leakage.look_at` sees of K in the whole photo with these flips; None to go by the
        parts, which tell less of a large photo.
    """
    nothing = np.zeros((cells.BANDS, cells.CLASSES), np.float32)
    scale = _scale(of)
    if not scale > 0:
        return nothing

    def seen(alphas: np.ndarray) -> leakage.Look:
        versions = [
            leakage.made(of, part, part.levels, found.threshold, found.flips, part.known, alphas)
            for part in of.parts
        ]
        return leakage.look(of, versions)

    here = seen(nothing)
    left, chance, energy = here if whole is None else whole
    area = energy / np.where(here.energy > 0, here.energy, np.inf)  # as large as the parts are
    sure = chance > 0
    deviation = np.where(sure, chance, 1)
    aim = _shrunk(np.where(sure, left / deviation, 0))
    if not np.any(aim > 0):
        return nothing
    falls = np.zeros((cells.BANDS, cells.CLASSES, cells.BANDS, cells.CLASSES))
    for band in range(cells.BANDS):
        probe = nothing.copy()
        probe[band] = _PROBE / scale
        fall = area * (here.sums - seen(probe).sums) / probe[band]
        change = np.where(sure, fall / deviation, 0)
        for kind in range(cells.CLASSES):  # a class hardly shows in the others
            falls[:, kind, band, kind] = change[:, kind]
    matrix = falls.reshape(aim.size, aim.size)
    alphas = optimize.nnls(matrix, aim.ravel())[0].reshape(aim.shape).astype(np.float32)
    # Extractors look less at what is strong, so that much K may fall otherwise than little did.
    best, least = nothing, float(np.sum(np.square(np.where(sure, left / deviation, 0))))
    for part in _PARTS:
        after = left - area * (here.sums - seen((part * alphas).astype(np.float32)).sums)
        size = float(np.sum(np.square(np.where(sure, after / deviation, 0))))
        if size < least:
            best, least = (part * alphas).astype(np.float32), size
    return best


def _shrunk(z: np.ndarray) -> np.ndarray:
    """What of a table of z is surely there: nothing of one that chance gives."""
    total = float(np.sum(np.square(z)))
    together = max(1 - (z.size - 2) / total, 0.0) if total > 0 else 0.0
    return together * z * np.maximum(1 - 1 / np.maximum(np.abs(z), 1e-6) ** 2, 0)


def _scale(of: Sample) -> float:
    """Of K, where a K of one percent would have 1."""
    known = [part.known for part in of.parts if part.known is not None]
    levels = [part.levels for part in of.parts]
    if not known:
        return 0.0
    bright = np.sqrt(np.mean([np.mean(np.square(x, dtype=np.float64)) for x in levels]))
    strength = np.sqrt(np.mean([np.mean(np.square(k, dtype=np.float64)) for k in known]))
    return float(strength / (0.01 * bright)) if bright > 0 else 0.0
