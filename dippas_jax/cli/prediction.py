"""The z to expect of a photo's camera, from what a method leaves of planted fingerprints."""

import math

import numpy as np

from dippas_jax.forensics import attackers
from dippas_jax.io import photo
from dippas_jax.signal import cells, displacement, tiles
from dippas_jax.types import Result

CAMERA_Z, CAMERA_PIXELS = 100.0, 6e6
"""z of a camera in an untreated photo of so many pixels; whole photos of phones give 50 to 150."""

STRENGTH = 0.15
"""z of a camera over that of a pattern of one percent in the same photo (`Result.visible`): ten of
eleven whole photos of four Nikons have 0.02 to 0.17 (docs/photos.md)."""

ELSEWHERE = ("bands", "texture", "blurred")
"""Attackers that see what is left in a band, a texture or low frequencies, where the extractors may
see nothing, as they look at all of the photo."""

UNSURE = 0.1
"""Leakage of the whole photo that its parts and planted patterns may not show: in eight crops of
four Nikons the largest |z| is 8 to 20 % of what K may have had (docs/photos.md)."""


def predicted_z(pixels: int, result: Result) -> float:
    """The largest |z| to expect of the photo's camera; nan where nothing was measured.

    Where K is known, that of `result.z`; the largest of several figures counts as one alone that
    chance gives as rarely.
    """
    if found := [single(name, z) for name, z in result.z.items() if not math.isnan(z)]:
        return max(found)
    expected = expected_z(pixels, result)
    return max((z for z in expected if not math.isnan(z)), default=math.nan)


def elsewhere(pixels: tiles.Pixels, plane: np.ndarray) -> dict[str, float]:
    """z of K in a photo by the attackers of `ELSEWHERE`."""
    photos, evidence = photo.eight_bits(pixels)[None], attackers.Evidence(plane[None])
    return {
        name: float(attackers.ATTACKERS[name].attack(photos, evidence)[0, 0]) for name in ELSEWHERE
    }


def single(name: str, z: float) -> float:
    """The |z| of one figure that is as rare by chance as this one of an extractor or attacker."""
    parts = attackers.ATTACKERS[name].figures if name in ELSEWHERE else 1
    return abs(z) * attackers.limit_of(1) / attackers.limit_of(parts)


def unsure(result: Result) -> float:
    """`UNSURE`, of which only a part lies in place where pixels were moved.

    That of the bands together, each by how well the photo shows fingerprints there.
    """
    frequencies = np.arange(1, cells.BANDS + 1) / 16
    kept = displacement.share(result.settings.get("displacement", 0.0), frequencies)
    shown = np.array([result.visible.get(name, 1.0) for name in cells.NAMES[: cells.BANDS]])
    every = float(np.linalg.norm(shown))
    return UNSURE * (float(np.linalg.norm(shown * kept)) / every if every else 1.0)


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
