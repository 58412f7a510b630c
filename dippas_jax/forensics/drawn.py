"""What is drawn into photos at one place, and passes for a camera's noise.

A date, a frame, a watermark and the corners of a picture that was turned lie where they lie in
other photos, of other cameras as well, and their edges are left in every residual. There both
noises stand out from their surroundings, and nearly nowhere else do they agree. Noises of a camera
agree everywhere: `python -m benchmarks.drawn` prints both (docs/laboratory.md).
"""

from typing import NamedTuple

import jax
import numpy as np
from jaxtyping import Array, Bool, Float
from scipy import ndimage

from dippas_jax.signal import correlation

BEYOND = 3.0
"""Standard deviations of its block, by the median, from which a value stands out."""

MOST = 0.15
"""Share of a correlation where both noises stand out, above which no camera is told from it."""

_CLEAR = 2.0  # z that lies there, at least, for by chance the share of a small z may be any
_BLOCK = 64
_PER_DEVIATION = 1.4826  # of normal noise, the standard deviation over the median distance
_DARK = 16.0  # grey levels, below which noise no longer falls with the brightness
_FAR = 6.0  # standard deviations of a value in a fingerprint that a sensor hardly gives
_NEAR = 6  # pixels that such values lie apart, at most, to be of one drawing
_LONG = 16  # pixels from end to end of a drawing; what is around a defective pixel is shorter
_HEAVY = 0.01  # share of a fingerprint's energy in such values, from which these are left out
_AROUND = 8  # pixels around them that are left out as well
_BURNT = 0.3  # of the deviation of noisy blocks, below which one is burnt out or black


class Drawn(NamedTuple):
    """What of a correlation is drawn, and what is left without those places.

    Attributes:
      share: Of the correlation, at the places where two noises stand out; nan if the sum is 0.
      rest: z of all other places, 8 pixels around those left out as well.
      spread: Standard deviation of `rest` where the camera is another one, at least 1.
    """

    share: float
    rest: float
    spread: float


def relative(
    noise: Float[np.ndarray, "h w"], grey: Float[np.ndarray, "h w"]
) -> Float[np.ndarray, "h w"]:
    """A residual over the brightness: at night the noise of lamps stands out, and is a camera's."""
    return noise / (grey + _DARK)


def look(
    pair: tuple[Float[np.ndarray, "h w"], Float[np.ndarray, "h w"]],
    one: Float[np.ndarray, "h w"],
    other: Float[np.ndarray, "h w"],
    *,
    shifted: tuple[Float[np.ndarray, "h w"], Float[np.ndarray, "h w"]] | None = None,
) -> Drawn:
    """The share of what is drawn in a correlation, and the correlation without it.

    Single pixels that stand out, which are defective, do not count: they are the camera's.

    Args:
      pair: What is correlated.
      one: A residual, `relative` to the brightness.
      other: Another one, or a fingerprint.
      shifted: Two planes of the same products, of which the second is the fingerprint alone: its
        shifts tell the spread, since the photo's brightness and noise stay together. None for
        `pair`.
    """
    a, b = (plane.astype(np.float64) for plane in pair)
    both = _stands_out(one) & _stands_out(other)
    places = both & _long(both)
    products, rest = a * b, ~_around(places)
    total = products.sum()
    share = float(products[places].sum() / total) if total else np.nan
    a, b = np.where(rest, a, 0), np.where(rest, b, 0)
    norms = np.sqrt(np.square(a).sum() * np.square(b).sum())
    if not norms:
        return Drawn(share, np.nan, np.nan)
    z = float((a * b).sum() / norms * np.sqrt(rest.sum()))
    fixed, moved = (np.where(rest, plane.astype(np.float64), 0) for plane in shifted or pair)
    scale = fixed.std() * moved.std() * rest.size / norms  # from the norms of that form to these
    return Drawn(share, z, float(_spread(fixed, moved, scale)))


@jax.jit
def _spread(a: Array, b: Array, scale: Array) -> Array:
    parts = correlation.whole_blocks(a), correlation.whole_blocks(b)
    return correlation.spread(correlation.circular_cross_correlation(*parts) * scale)


def _around(places: Bool[np.ndarray, "h w"]) -> Bool[np.ndarray, "h w"]:
    """These places, and the pixels near them."""
    return ndimage.binary_dilation(places, np.ones((3, 3), bool), iterations=_AROUND)


def decides(share: float, z: float) -> bool:
    """Whether a correlation of that z is owed to what is drawn."""
    return share > MOST and share * abs(z) > _CLEAR


def _stands_out(noise: Float[np.ndarray, "h w"]) -> Bool[np.ndarray, "h w"]:
    usual = _deviations(noise).repeat(_BLOCK, 0).repeat(_BLOCK, 1)
    return np.abs(noise) > BEYOND * usual[: noise.shape[0], : noise.shape[1]]


def _deviations(noise: Float[np.ndarray, "h w"]) -> Float[np.ndarray, "rows columns"]:
    """The standard deviation in every block, by the median; the last ones are filled by mirrors."""
    more = [(0, -side % _BLOCK) for side in noise.shape]
    full = np.abs(np.pad(noise, more, mode="symmetric"))
    rows, columns = (side // _BLOCK for side in full.shape)
    blocks = full.reshape(rows, _BLOCK, columns, _BLOCK)
    return _PER_DEVIATION * np.median(blocks, axis=(1, 3))


def in_fingerprint(plane: Float[np.ndarray, "h w"]) -> tuple[Bool[np.ndarray, "h w"], float]:
    """The places of a fingerprint where its photos share something drawn, and its energy's share.

    Nowhere, where values far beyond all others hold less than a hundredth of the energy; those of
    single pixels, which are defective, do not count. What is burnt out in all photos, and so is
    nearly 0, is not what is usual.
    """
    blocks = _deviations(plane)
    usual = float(np.quantile(blocks[blocks >= _BURNT * np.quantile(blocks, 0.9)], 0.25))
    far = np.abs(plane) > _FAR * usual
    together = far & _long(far)
    energy = np.square(plane, dtype=np.float64)
    held = float(energy[together].sum() / energy.sum()) if usual else 0.0
    if held < _HEAVY:
        return np.zeros(plane.shape, bool), held
    return _around(together), held


def _long(far: Bool[np.ndarray, "h w"]) -> Bool[np.ndarray, "h w"]:
    """The values that lie together over so many pixels that no defective pixel has them."""
    if not far.any():
        return far
    square = np.ones((3, 3), bool)
    labels, _ = ndimage.label(ndimage.binary_dilation(far, square, iterations=_NEAR), square)
    long = [False]
    for rows, columns in ndimage.find_objects(labels):
        long.append(max(rows.stop - rows.start, columns.stop - columns.start) >= _LONG + 2 * _NEAR)
    return np.array(long)[labels]
