"""A fingerprint looked for under one small warp of the whole photo: turned, scaled or tilted.

The photo is cut into blocks, small enough that within one the warp is a shift. Each block of W·I is
correlated with K around it; the sum of these correlations, each at the shift that a warp gives to
the block's middle, is the z-score of that warp. First all affine maps of a grid are tried with all
shifts, which takes few additions, since rows and columns of blocks can be summed one after the
other. Then the best are refined, the four corners by themselves, so that the map may be projective.

Within reach are angles (radians) and scales of up to 16/s, s the side of what is searched in
pixels: 0.9 degrees or 1.6 % in the middle of a large photo, twice as much at 512x512.

Goljan and Fridrich (2008), "Camera identification from cropped and scaled images", try one scale
after the other; the blocks, and that all affine maps are tried, are ours.
"""

import itertools

import numpy as np
from jaxtyping import Float, Int
from scipy import fft

REACH = 8
"""Farthest that the middle of the photo is looked for from its place along an axis, pixels.

And farthest that each of the four terms of an affine map moves the middle of a side from there.
"""

LARGEST = 1024
"""Side of the middle that is searched besides the whole, pixels: there wider angles are reached."""

_STEP = 2  # of the terms of the affine maps of the grid, pixels
BLOCKS = 16  # along an axis at most
SMALLEST = 32  # side of a block, pixels
_FARTHEST = 3 * REACH  # that a block at a corner is looked for
_STARTS = 32  # best maps of the grid, which are refined
_REFINEMENTS = (1.0, 0.5, 0.25)  # pixels by which a corner is moved


def z_score(weighted: Float[np.ndarray, "h w"], fingerprint: Float[np.ndarray, "h w"]) -> float:
    """The highest z-score of all warps that were tried, of the whole and of its middle.

    Not a z: another camera gives the highest of many.

    Args:
      weighted: W·I of the photo.
      fingerprint: K in any unit.

    Returns:
      The score; nan where there is no noise or no fingerprint.
    """
    found = [_highest(surfaces(weighted, fingerprint))]
    if min(weighted.shape) > LARGEST:
        middle = tuple(slice((n - LARGEST) // 2, (n + LARGEST) // 2) for n in weighted.shape)
        found.append(_highest(surfaces(weighted[middle], fingerprint[middle])))
    return max(found)  # nan, of a plane of zeros, is that of both


def surfaces(
    weighted: Float[np.ndarray, "h w"], fingerprint: Float[np.ndarray, "h w"]
) -> Float[np.ndarray, "r k s s"]:
    """Products of each block with K at all shifts, such that their sum at any is a z-score.

    Shift 0 lies in the middle. Beyond the border K is 0. The sum over blocks of the mean square
    over shifts is 1, which counts for the colour that the noise of both may have.
    """
    rows, columns = (min(BLOCKS, max(n // SMALLEST, 1)) for n in weighted.shape)
    height, width = weighted.shape[0] // rows, weighted.shape[1] // columns
    around = np.pad(_scaled(fingerprint), _FARTHEST)
    weighted = _scaled(weighted)
    count = 2 * _FARTHEST + 1
    size = height + count - 1, width + count - 1
    made = np.empty((rows, columns, count, count), np.float32)
    for row, column in np.ndindex(rows, columns):
        top, left = row * height, column * width
        block = weighted[top : top + height, left : left + width]
        seen = around[top : top + size[0], left : left + size[1]]
        spectrum = np.conj(fft.rfft2(block, size)) * fft.rfft2(seen, size)
        made[row, column] = fft.irfft2(spectrum, size)[:count, :count]
    power = np.square(made, dtype=np.float64).mean((2, 3)).sum()
    return made / np.float32(np.sqrt(power)) if power > 0 else made * np.nan


def _highest(found: Float[np.ndarray, "r k s s"]) -> float:
    return float(_refined(found, _affine(found)).max())


def _affine(found: Float[np.ndarray, "r k s s"]) -> Float[np.ndarray, "n 4 2"]:
    """The best maps of the grid, as the moves of the four corners (`_shifts`)."""
    down, across = (_middles(n) for n in found.shape[:2])
    slopes = np.arange(-REACH, REACH + 1, _STEP)
    pairs = np.array(list(itertools.product(slopes, slopes)))  # rows and columns of a shift
    reach = _FARTHEST - REACH

    def summed(planes: np.ndarray, places: np.ndarray, reach: int) -> np.ndarray:
        """Of planes [b .. s s] the sum over b, each shifted by its place times every pair."""
        middle = planes.shape[-1] // 2
        size = 2 * reach + 1
        made = np.zeros((len(pairs), *planes.shape[1:-2], size, size), np.float32)
        for plane, place in zip(planes, places, strict=True):
            for into, (y, x) in zip(made, np.rint(place * pairs).astype(int), strict=True):
                top, left = middle - reach + y, middle - reach + x
                into += plane[..., top : top + size, left : left + size]
        return made

    by_row = summed(found.swapaxes(0, 1), across, reach)  # [pairs r s s]
    starts, scores = [], []
    for (y, x), planes in zip(pairs, summed(by_row.swapaxes(0, 1), down, REACH), strict=True):
        flat = planes.reshape(len(pairs), -1)
        best = flat.argmax(1)
        scores.append(flat[np.arange(len(pairs)), best])
        shift = np.stack(np.unravel_index(best, planes.shape[1:]), -1) - REACH
        corners = [shift + v * np.array([y, x]) + u * pairs for v in (-1, 1) for u in (-1, 1)]
        starts.append(np.stack(corners, 1))
    order = np.argsort(np.concatenate(scores))[::-1][:_STARTS]
    return np.concatenate(starts)[order].astype(float)


def _refined(
    found: Float[np.ndarray, "r k s s"], corners: Float[np.ndarray, "n 4 2"]
) -> Float[np.ndarray, " n"]:
    """z-scores after moving one corner after the other along one axis, as long as it pays."""
    best = _scores(found, corners)
    for step in _REFINEMENTS:
        while True:
            before = best.sum()
            for corner, axis, way in itertools.product(range(4), (0, 1), (-step, step)):
                moved = corners.copy()
                moved[:, corner, axis] += way
                scores = _scores(found, moved)
                better = scores > best
                corners = np.where(better[:, None, None], moved, corners)
                best = np.where(better, scores, best)
            if not best.sum() > before:
                break
    return best


def _scores(
    found: Float[np.ndarray, "r k s s"], corners: Float[np.ndarray, "n 4 2"]
) -> Float[np.ndarray, " n"]:
    """z-scores of warps; blocks that go too far count as 0."""
    rows, columns, count, _ = found.shape
    shifts = _shifts(corners, rows, columns) + count // 2
    inside = ((shifts >= 0) & (shifts < count)).all(-1)
    y, x = np.moveaxis(np.clip(shifts, 0, count - 1), -1, 0)
    values = found[np.arange(rows)[:, None], np.arange(columns), y, x]
    return np.asarray((values * inside).sum((1, 2), dtype=np.float64))


def _shifts(
    corners: Float[np.ndarray, "n 4 2"], rows: int, columns: int
) -> Int[np.ndarray, "n r k 2"]:
    """By how many whole pixels the blocks are moved, bilinearly between the corners.

    For small warps a projective map is one, but for what is of second order in their size.
    """
    v, u = (_middles(rows) + 1)[:, None] / 2, (_middles(columns) + 1) / 2
    weights = np.stack([(1 - v) * (1 - u), (1 - v) * u, v * (1 - u), v * u])
    return np.rint(np.einsum("crk,nca->nrka", weights, corners)).astype(int)


def _middles(count: int) -> Float[np.ndarray, " count"]:
    """Where the middles of blocks lie, the photo reaching from -1 to 1."""
    return (2 * np.arange(count) + 1) / count - 1


def _scaled(plane: np.ndarray) -> Float[np.ndarray, "h w"]:
    """A plane over its largest value, so that no unit is too small or too large to square."""
    plane = np.asarray(plane, np.float32)
    largest = np.abs(plane).max()
    return plane / largest if largest > 0 else plane
