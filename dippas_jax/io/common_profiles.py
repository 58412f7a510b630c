"""Colour profiles that millions of files hold: their names, and the numbers that go with a name.

Colorants are X, Y, Z of red, green and blue under D50, as profiles have them (ICC.1:2022, part
9.2); curves go from levels to light, both in [0, 1].
"""

import struct
from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np

_APART, _OFF = 0.002, 0.01  # of colorants and of curves: rounding and gamma 2.2 for sRGB's are less
_PRIMARIES, _CURVES = (b"rXYZ", b"gXYZ", b"bXYZ"), (b"rTRC", b"gTRC", b"bTRC", b"kTRC")
_TABLES = (b"A2B", b"B2A")  # and a digit
_GRID = np.linspace(0, 1, 256)
_ONE = 65536  # in numbers of 16 bits before the point and 16 behind it
_Curve = Callable[[np.ndarray], np.ndarray]


class _Known(NamedTuple):
    """Colorants, none of grey, and the curve; None where they are not known for sure."""

    colorants: tuple[float, ...] | None
    curve: _Curve | None


def _gamma(exponent: float) -> _Curve:
    return lambda x: x**exponent


def _srgb(x: np.ndarray) -> np.ndarray:
    """Of IEC 61966-2-1."""
    return np.where(x <= 0.04045, x / 12.92, ((x + 0.055) / 1.055) ** 2.4)


def _lightness(x: np.ndarray) -> np.ndarray:
    """Of ECI RGB 2: levels are L*."""
    return np.where(x <= 0.08, x / 9.033, ((x + 0.16) / 1.16) ** 3)


_SRGB = _Known((0.4361, 0.2225, 0.0139, 0.3851, 0.7169, 0.0971, 0.1431, 0.0606, 0.7141), _srgb)
_PROPHOTO = _Known((0.7977, 0.2880, 0, 0.1352, 0.7119, 0, 0.0313, 0.0001, 0.8249), _gamma(1.8))
_GREY = _Known((), _gamma(2.2))
KNOWN: Mapping[str, _Known] = {
    **dict.fromkeys(
        (
            "srgb", "srgb iec61966-2.1", "srgb iec61966-2-1 black scaled", "srgb built-in",
            "srgb2014", "c2",
        ),
        _SRGB,
    ),
    "display p3": _Known(
        (0.5151, 0.2412, -0.0011, 0.2920, 0.6922, 0.0419, 0.1571, 0.0666, 0.7841), _srgb
    ),
    "adobe rgb (1998)": _Known(
        (0.6097, 0.3111, 0.0195, 0.2053, 0.6257, 0.0609, 0.1492, 0.0632, 0.7446), _gamma(2.2)
    ),
    "prophoto rgb": _PROPHOTO,
    "romm rgb": _PROPHOTO,
    "wide gamut rgb": _Known(
        (0.7161, 0.2582, 0, 0.1009, 0.7249, 0.0518, 0.1471, 0.0169, 0.7731), _gamma(2.2)
    ),
    "ecirgb v2": _Known(
        (0.6502, 0.3203, 0, 0.1781, 0.6021, 0.0678, 0.1359, 0.0776, 0.7571), _lightness
    ),
    "apple rgb": _Known(
        (0.4755, 0.2552, 0.0185, 0.3397, 0.6726, 0.1133, 0.1490, 0.0722, 0.6931), _gamma(1.8)
    ),
    "colormatch rgb": _Known(
        (0.5094, 0.2749, 0.0243, 0.3209, 0.6581, 0.1088, 0.1339, 0.0670, 0.6919), _gamma(1.8)
    ),
    "generic rgb profile": _Known(None, None),
    "generic gray profile": _Known((), None),
    "generic gray gamma 2.2 profile": _GREY,
    "gray gamma 2.2": _GREY,
    "dot gain 20%": _Known((), None),
    "sgray": _Known((), _srgb),
}  # fmt: skip
"""By names in small letters; the colours of any other profile may be one device's."""


def fits(name: str, tags: Mapping[bytes, bytes]) -> bool:
    """Whether a profile has the numbers of its name: colorants and curves, and no table.

    Args:
      name: One of `KNOWN`.
      tags: Of a profile that was written anew, so that they are whole.
    """
    known = KNOWN[name]
    if any(tag[:3] in _TABLES for tag in tags):
        return False
    colorants = [struct.unpack(">3i", tags[tag][8:20]) for tag in _PRIMARIES if tag in tags]
    if known.colorants is not None and not _near(
        np.ravel(colorants) / _ONE, np.array(known.colorants), _APART
    ):
        return False
    curves = [_points(tags[tag]) for tag in _CURVES if tag in tags]
    return all(known.curve is None or _near(y, known.curve(x), _OFF) for x, y in curves)


def _near(found: np.ndarray, known: np.ndarray, apart: float) -> bool:
    return found.shape == known.shape and bool((np.abs(found - known) <= apart).all())


def _points(data: bytes) -> tuple[np.ndarray, np.ndarray]:
    """Levels and the light that a curve gives them (parts 10.6 and 10.18): all that it lists."""
    if data[:4] == b"para":
        return _GRID, _parametric(data)
    (count,) = struct.unpack_from(">I", data, 8)
    listed = np.frombuffer(data, ">u2", count, 12)
    if count < 2:
        return _GRID, _GRID ** (listed[0] / 256 if count else 1.0)
    return np.linspace(0, 1, count), listed / 65535


def _parametric(data: bytes) -> np.ndarray:
    """(ax + b)^g + e from d on, and cx + f below; nan where that is no number."""
    (kind,) = struct.unpack_from(">H", data, 8)
    g, *rest = np.frombuffer(data, ">i4", -1, 12) / _ONE
    a, b, c, d, e, f = 1.0, 0.0, 0.0, 0.0, 0.0, 0.0
    with np.errstate(all="ignore"):
        if kind in (1, 2):
            a, b = rest[:2]
            d = -b / a
            e = f = rest[2] if kind == 2 else 0.0
        elif kind == 3:
            a, b, c, d = rest
        elif kind == 4:
            a, b, c, d, e, f = rest
        return np.where(d <= _GRID, (a * _GRID + b) ** g + e, c * _GRID + f)
