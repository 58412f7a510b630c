"""Whether a codec alone explains what lies below transparent pixels, or something is hidden there.

A plain colour does not come back plain from a lossy file: edges of the picture beside it ring into
it, and the level of whole blocks is off. What was hidden steps from nearly every pixel to the next.
"""

from collections.abc import Iterator

import numpy as np

_REACH = 16  # pixels from visible ones, up to which edges may ring
_LOUDEST = 8.0  # grey levels, standard deviation of all hidden pixels
_SIDE, _FEWEST = 16, 64  # of a block, and the steps by which it is divided at least
_OF_BLOCK, _OF_ALL = 1.0, 0.1
"""Grey levels, mean step from a pixel to the next beyond `_REACH`. Where a plain colour was hidden,
blocks have 0.75 at most and all pixels 0.03, from quality 50 on of WebP and 30 of HEIC; where noise
of one level was, all have 0.15 and 0.97 by the qualities that are written."""


def is_alone(pixels: np.ndarray, hidden: np.ndarray) -> bool:
    """Whether nothing but ringing is below transparent pixels.

    Args:
      pixels: uint8 [h w 3], of a lossy file.
      hidden: Which are transparent altogether, [h w].
    """
    if pixels[hidden].std(0).max() > _LOUDEST:
        return False
    far = ~_widened(~hidden, _REACH)
    for steps, counted in _steps(pixels, far):
        sums, counts = _by_block(steps), _by_block(counted)
        if (sums > _OF_BLOCK * np.maximum(counts, _FEWEST)).any():
            return False
        if sums.sum() > _OF_ALL * counts.sum():
            return False
    return True


def _widened(mask: np.ndarray, reach: int) -> np.ndarray:
    """A mask [h w], and all that lies within a square around each of its pixels."""
    wide = mask.copy()
    for axis in (0, 1):
        lines, reached = np.moveaxis(wide, axis, 0), 0
        while reached < reach:
            step = min(reached or 1, reach - reached)
            lines[step:] |= lines[:-step]
            lines[:-step] |= lines[step:]
            reached += step
    return wide


def _steps(pixels: np.ndarray, within: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Down and to the right, by channel: each step within a mask, and where there is one."""
    for axis in (0, 1):
        lines, inside = np.moveaxis(pixels, axis, 0), np.moveaxis(within, axis, 0)
        counted = inside[1:] & inside[:-1]
        for channel in range(pixels.shape[2]):
            levels = lines[..., channel].astype(np.int16)
            yield np.abs(np.diff(levels, axis=0)) * counted, counted


def _by_block(values: np.ndarray) -> np.ndarray:
    """Sums of [h w] over blocks, of which the last ones may be smaller."""
    for axis in (0, 1):
        starts = np.arange(0, values.shape[axis], _SIDE)
        values = np.add.reduceat(values, starts, axis, dtype=np.int64)
    return values
