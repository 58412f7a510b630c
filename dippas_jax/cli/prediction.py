"""The z to expect of a photo's camera, from what a method leaves of planted fingerprints."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from dippas_jax.forensics import attackers
from dippas_jax.io import photo
from dippas_jax.signal import cells, displacement, extractors, tiles
from dippas_jax.types import Result

CAMERA_Z, CAMERA_PIXELS = 150.0, 6e6
"""z of a camera in an untreated photo of so many pixels, at most: whole ones of phones give 50 to
150."""

STRENGTH = 0.25
"""z of a camera over that of a pattern of one percent in the same photo (`Result.visible`), the
most at hand: ten of eleven whole photos of four Nikons have 0.02 to 0.17, a crop of a phone 0.25
(docs/photos.md)."""

ELSEWHERE = ("bands", "texture", "blurred")
"""Attackers that see what is left in a band, a texture or low frequencies, where the extractors may
see nothing, as they look at all of the photo."""

FOUND = 4.0
"""z from which a fingerprint is that of a photo's camera."""

NOTHING: Mapping[str, float] = {}

BEST = 0.9
"""Correlation of a known fingerprint with the true one, at most; chosen, not measured."""

IMPOSSIBLE = 2.0
"""Times what a camera may show, from where the z of a known fingerprint is no camera's: it holds
the photo's own noise, as one that was made of this photo or of a copy does. Chosen, not
measured."""

PLACE = 1.0
"""z of a single place of a photo of `CAMERA_PIXELS` whose pixels were moved, from where it can be
found by who searches all places and adds up what they show. Chosen, not measured."""

UNSURE = 0.1
"""Leakage of the whole photo that its parts and planted patterns may not show: in eight crops of
four Nikons the largest |z| is 5 to 12 % of what K may have had (docs/photos.md)."""


def predicted_z(pixels: int, result: Result, before: Mapping[str, float] = NOTHING) -> float:
    """The largest |z| to expect of the photo's camera; nan where nothing was measured.

    Args:
      pixels: How many the photo has.
      result: Of the method.
      before: z of the known fingerprint in the photo as it came.
    """
    share = unknown(pixels, result, before)
    known, told = known_z(result), part_known(pixels, result, before)
    # Of the true fingerprint, the known one and the rest are two parts whose scores add.
    expected = (known, *(told + z for z in expected_z(pixels, result, share)))
    return max((z for z in expected if not math.isnan(z)), default=math.nan)


def known_z(result: Result) -> float:
    """The largest |z| of the known fingerprint, nan where there is none.

    The largest of several figures counts as one alone that chance gives as rarely.
    """
    found = (single(name, z) for name, z in result.z.items() if not math.isnan(z))
    return max(found, default=math.nan)


def is_found(before: Mapping[str, float]) -> bool:
    """Whether a fingerprint is one of the photo's camera: an extractor finds it there."""
    return _told(before) >= FOUND


def unknown(pixels: int, result: Result, before: Mapping[str, float]) -> float:
    """Share of the camera's fingerprint that the known one does not tell, 0 to 1.

    A known one that correlates by q with the true one has q times its z, and the rest is √(1 − q²).
    """
    if not is_found(before) or is_impossible(pixels, result, before):
        return 1.0
    told = _told(before)
    shown = max(_shown(pixels, result.visible), told / BEST)
    return math.sqrt(1 - (told / shown) ** 2)


def by_check(pixels: int, before: float, after: float) -> float:
    """The z to expect of the true fingerprint, by what an unknown one of its camera has left.

    The share that is left, with a standard deviation more, of what a camera may show.
    """
    return (abs(after) + 1) / before * max(whole(pixels), before)


def part_known(pixels: int, result: Result, before: Mapping[str, float]) -> float:
    """Of the true fingerprint's |z|, that which comes of the known one; 0 without one."""
    known = known_z(result)
    return 0.0 if math.isnan(known) else known * math.sqrt(1 - unknown(pixels, result, before) ** 2)


def is_impossible(pixels: int, result: Result, before: Mapping[str, float]) -> bool:
    """Whether a fingerprint shows in a photo more than that of any camera should."""
    return _told(before) > IMPOSSIBLE * _shown(pixels, result.visible)


def _told(before: Mapping[str, float]) -> float:
    return max((before.get(name, 0.0) for name in extractors.NAMES), default=0.0)


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

    That of the bands together, but for the lowest, which holds little of one; each by how well the
    photo shows fingerprints there.
    """
    frequencies = np.arange(2, cells.BANDS + 1) / 16
    kept = displacement.share(result.settings.get("displacement", 0.0), frequencies)
    shown = np.array([result.visible.get(name, 1.0) for name in cells.NAMES[1 : cells.BANDS]])
    every = float(np.linalg.norm(shown))
    return UNSURE * (float(np.linalg.norm(shown * kept)) / every if every else 1.0)


def expected_z(pixels: int, result: Result, share: float = 1.0) -> tuple[float, float]:
    """The largest |z| by what is left in a band or texture, and by what may be left of all.

    Each leakage times the z of `CAMERA_Z` in its share of the photo (`_area`). And that of the
    whole, with what is unsure about
    it, times what a camera may have in this very photo: in a plain one, more than `CAMERA_Z`.

    Args:
      pixels: How many the photo has.
      result: Of the method; nan comes of what it did not measure.
      share: Of the fingerprint, that which is not known (`unknown`).
    """
    most = whole(pixels)
    of_parts = []
    for name, part in result.leakage.items():
        if name not in (cells.LOWEST, cells.WHOLE):
            of_parts.append(most * abs(part) * math.sqrt(_area(name)))
    left = abs(result.leakage.get(cells.WHOLE, math.nan)) + unsure(result)
    of_whole = _shown(pixels, result.visible) * left
    known = [z for z in of_parts if not math.isnan(z)]
    return share * max(known, default=math.nan), share * of_whole


def worst(result: Result) -> str:
    """Name of the band or texture of which `expected_z` is; "" where none was measured."""
    known = {
        name: abs(part) * math.sqrt(_area(name))
        for name, part in result.leakage.items()
        if name not in (cells.LOWEST, cells.WHOLE) and not math.isnan(part)
    }
    return max(known, key=known.__getitem__, default="")


def _area(name: str) -> float:
    """Share of the frequencies, or of the pixels, that a band or a texture has."""
    if "cycles" not in name:
        return 1 / cells.CLASSES
    if name in cells.NAMES:  # a triangle around n/16 of the larger frequency, 1/16 to each side
        return (cells.NAMES.index(name) + 1) / 32
    at = attackers.BANDS.index(name.removesuffix(" cycles")) + 1  # behind the lowest, that is none
    low, high = attackers.FREQUENCIES[at : at + 2]
    return 4 * (high**2 - low**2)


def z_of_a_place(pixels: int, settings: Mapping[str, Any], visible: Mapping[str, float]) -> float:
    """The z to expect in a single place of a photo whose pixels were moved; 0 of any other.

    A place is as large as the field is smooth. Who searches it finds what was left before the move.
    """
    if not settings.get("displacement", 0.0) > 0:
        return 0.0
    left = settings["left_in_place"] + UNSURE
    place = min(displacement.LENGTH / math.sqrt(pixels), 1.0)
    return _shown(pixels, visible) * left * place


def is_found_by_search(pixels: int, place: float) -> bool:
    """Whether that z of a place can be found; nan is. The more places there are, the less it takes.

    What n places show adds up by squares, so that √n of them counts: the limit falls with n^¼.
    """
    return not place < PLACE * (CAMERA_PIXELS / pixels) ** 0.25


def whole(pixels: int) -> float:
    """z of a camera in a photo of so many pixels, at most."""
    return CAMERA_Z * math.sqrt(pixels / CAMERA_PIXELS)


def _shown(pixels: int, visible: Mapping[str, float]) -> float:
    """z of a camera in the photo as it came: by what it shows of one percent, if that is known."""
    shown = STRENGTH * visible.get(cells.WHOLE, math.nan)
    return whole(pixels) if math.isnan(shown) else shown
