"""What is drawn into photos at one place, and passes for a camera's noise.

A date, a frame, a watermark and the corners of a picture that was turned lie where they lie in
other photos, of other cameras as well, and their edges are left in every residual. There both
noises stand out from their surroundings, and nearly nowhere else do they agree. Noises of a camera
agree everywhere: `python -m benchmarks.drawn` prints both (docs/laboratory.md).
"""

import numpy as np
from jaxtyping import Bool, Float
from scipy import ndimage

BEYOND = 3.0
"""Standard deviations of its block, by the median, from which a value stands out."""

MOST = 0.2
"""Share of a correlation where both noises stand out, above which no camera is told from it."""

_CLEAR = 2.0  # z that lies there, at least, for by chance the share of a small z may be any
_BLOCK = 64
_PER_DEVIATION = 1.4826  # of normal noise, the standard deviation over the median distance
_FAR = 8.0  # standard deviations of a value in a fingerprint that no sensor gives
_HEAVY = 0.01  # share of its energy in such values, from which these are left out
_AROUND = 8  # pixels around them that are left out as well


def share(a: Float[np.ndarray, "h w"], b: Float[np.ndarray, "h w"]) -> float:
    """Share of Σ a·b at the pixels where both stand out from their blocks; nan if the sum is 0.

    Args:
      a: A residual.
      b: Another one, or the pattern I·K of a fingerprint.
    """
    height, width = (side // _BLOCK * _BLOCK for side in a.shape)
    products = a[:height, :width].astype(np.float64) * b[:height, :width]
    total = products.sum()
    return float(products[_stands_out(a) & _stands_out(b)].sum() / total) if total else np.nan


def decides(share: float, z: float) -> bool:
    """Whether a correlation of that z is owed to what is drawn."""
    return share > MOST and share * abs(z) > _CLEAR


def _stands_out(noise: Float[np.ndarray, "h w"]) -> Bool[np.ndarray, "h2 w2"]:
    """Where a noise does, in all of it that whole blocks cover."""
    rows, columns = (side // _BLOCK for side in noise.shape)
    blocks = np.abs(noise[: rows * _BLOCK, : columns * _BLOCK])
    blocks = blocks.reshape(rows, _BLOCK, columns, _BLOCK)
    usual = _PER_DEVIATION * np.median(blocks, axis=(1, 3), keepdims=True)
    return (blocks > BEYOND * usual).reshape(rows * _BLOCK, columns * _BLOCK)


def in_fingerprint(plane: Float[np.ndarray, "h w"]) -> tuple[Bool[np.ndarray, "h w"], float]:
    """The places of a fingerprint where its photos share something drawn, and its energy's share.

    Nowhere, where values far beyond all others hold less than a hundredth of the energy.
    """
    usual = _PER_DEVIATION * float(np.median(np.abs(plane)))
    far = np.abs(plane) > _FAR * usual
    energy = np.square(plane, dtype=np.float64)
    held = float(energy[far].sum() / energy.sum()) if usual else 0.0
    if held < _HEAVY:
        return np.zeros(plane.shape, bool), held
    square = np.ones((3, 3), bool)
    return ndimage.binary_dilation(far, structure=square, iterations=_AROUND), held
