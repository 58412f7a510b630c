"""The z to expect of a photo's camera, from what a method leaves of planted fingerprints."""

import math

import numpy as np

from dippas_jax.signal import cells, displacement
from dippas_jax.types import Result

CAMERA_Z, CAMERA_PIXELS = 100.0, 6e6
"""z of a camera in an untreated photo of so many pixels; whole photos of phones give 50 to 150."""

STRENGTH = 0.15
"""z of a camera over that of a pattern of one percent in the same photo (`Result.visible`): ten of
eleven whole photos of four Nikons have 0.02 to 0.17 (docs/photos.md)."""

UNSURE = 0.05
"""Leakage of the whole photo that its parts and planted patterns may not show."""


def predicted_z(pixels: int, result: Result) -> float:
    """The largest |z| to expect of the photo's camera; nan where nothing was measured.

    Where K is known, that of `result.z`.
    """
    if found := [abs(z) for z in result.z.values() if not math.isnan(z)]:
        return max(found)
    expected = expected_z(pixels, result)
    return max((z for z in expected if not math.isnan(z)), default=math.nan)


def unsure(result: Result) -> float:
    """`UNSURE`, of which only a part lies in place where pixels were moved."""
    frequencies = np.arange(1, cells.BANDS + 1) / 16
    kept = displacement.share(result.settings.get("displacement", 0.0), frequencies)
    return UNSURE * float(np.mean(kept))


def expected_z(pixels: int, result: Result) -> tuple[float, float]:
    """The largest |z| by what is left in a band or texture, and by what may be left of all.

    Each leakage times the z of `CAMERA_Z` in its share of the photo: a band has a seventh of the
    frequencies, a texture a quarter of the pixels. And that of the whole, with what is unsure about
    it, times what a camera may have in this very photo: in a plain one, more than `CAMERA_Z`.

    Args:
      pixels: How many the photo has.
      result: Of a method that knew no fingerprint; nan comes of what it did not measure.
    """
    whole = CAMERA_Z * math.sqrt(pixels / CAMERA_PIXELS)
    of_parts = []
    for name, share in result.leakage.items():
        if name not in (cells.LOWEST, cells.WHOLE):
            count = cells.BANDS if "cycles" in name else cells.CLASSES
            of_parts.append(whole * abs(share) / math.sqrt(count))
    shown = STRENGTH * result.visible.get(cells.WHOLE, math.nan)
    of_whole = shown * (abs(result.leakage.get(cells.WHOLE, math.nan)) + unsure(result))
    known = [z for z in of_parts if not math.isnan(z)]
    return max(known, default=math.nan), of_whole
