"""Colour profiles that millions of files hold: their names, and the numbers that go with a name.

Colorants are X, Y, Z of red, green and blue under D50, as profiles have them (ICC.1:2022, part
9.2); curves go from levels to light, both in [0, 1].
"""

import struct
from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np

_APART = 0.0003  # of colorants: by so much programs differ that compute them for one name
_LEVEL = 1 / 255  # so far a curve may be off along its levels; a viewer shows no less
_PRIMARIES, _CURVES = (b"rXYZ", b"gXYZ", b"bXYZ"), (b"rTRC", b"gTRC", b"bTRC", b"kTRC")
_TABLES = (b"A2B", b"B2A")  # and a digit
_CICP = b"cicp"
_GRID = np.linspace(0, 1, 256)
_ENTRIES = 1024  # of a curve that is written, as in the first profile of sRGB
_ONE = 65536  # in numbers of 16 bits before the point and 16 behind it
_Curve = float | Callable[[np.ndarray], np.ndarray]
"""An exponent, or a function of levels."""


class _Known(NamedTuple):
    """Colorants, none of grey; the curves that it may have; its codes of ITU-T H.273, if any."""

    colorants: tuple[float, ...]
    curves: tuple[_Curve, ...]
    cicp: bytes = b""


def _srgb(x: np.ndarray) -> np.ndarray:
    """Of IEC 61966-2-1."""
    return np.where(x <= 0.04045, x / 12.92, ((x + 0.055) / 1.055) ** 2.4)


def _lightness(x: np.ndarray) -> np.ndarray:
    """Of ECI RGB 2: levels are L*."""
    return np.where(x <= 0.08, x / 9.033, ((x + 0.16) / 1.16) ** 3)


def _romm(x: np.ndarray) -> np.ndarray:
    """Of ISO 22028-2."""
    return np.where(x <= 1 / 32, x / 16, x**1.8)


_SRGB = _Known(
    (0.4361, 0.2225, 0.0139, 0.3851, 0.7169, 0.0971, 0.1431, 0.0606, 0.7141),
    (_srgb, 2.2),
    bytes([1, 13, 0, 1]),
)
_PROPHOTO = _Known((0.7977, 0.2880, 0, 0.1352, 0.7119, 0, 0.0313, 0.0001, 0.8249), (1.8, _romm))
_GREY = _Known((), (2.2,))
_KNOWN: Mapping[str, _Known] = {
    **dict.fromkeys(
        (
            "sRGB", "sRGB IEC61966-2.1", "sRGB IEC61966-2-1 black scaled", "sRGB built-in",
            "sRGB2014", "c2",
        ),
        _SRGB,
    ),
    "Display P3": _Known(
        (0.5151, 0.2412, -0.0011, 0.2920, 0.6922, 0.0419, 0.1571, 0.0666, 0.7841),
        (_srgb,),
        bytes([12, 13, 0, 1]),
    ),
    "Adobe RGB (1998)": _Known(
        (0.6097, 0.3111, 0.0195, 0.2053, 0.6257, 0.0609, 0.1492, 0.0632, 0.7446), (2.2,)
    ),
    "ProPhoto RGB": _PROPHOTO,
    "ROMM RGB": _PROPHOTO,
    "Wide Gamut RGB": _Known(
        (0.7161, 0.2582, 0, 0.1009, 0.7249, 0.0518, 0.1471, 0.0169, 0.7731), (2.2,)
    ),
    "eciRGB v2": _Known(
        (0.6502, 0.3203, 0, 0.1781, 0.6021, 0.0678, 0.1359, 0.0776, 0.7571), (_lightness,)
    ),
    "Apple RGB": _Known(
        (0.4755, 0.2552, 0.0185, 0.3397, 0.6726, 0.1133, 0.1490, 0.0722, 0.6931), (1.8,)
    ),
    "ColorMatch RGB": _Known(
        (0.5094, 0.2749, 0.0243, 0.3209, 0.6581, 0.1088, 0.1339, 0.0670, 0.6919), (1.8,)
    ),
    "Generic Gray Gamma 2.2 Profile": _GREY,
    "Gray Gamma 2.2": _GREY,
    "sGray": _Known((), (_srgb,)),
}  # fmt: skip
"""By names as they are written; the colours of any other profile may be one device's."""

_SPELLED = {name.lower(): name for name in _KNOWN}


def spelled(name: str) -> str:
    """A common name as it is written, whatever its letters are here; "" of any other."""
    return _SPELLED.get(name.lower(), "")


def usual(name: str, tags: Mapping[bytes, bytes]) -> dict[bytes, bytes] | None:
    """The numbers of a common name, if a profile has them and no table; None if it has others.

    They are those that are known here: the last digits of a profile's own may tell a device.

    Args:
      name: One that is `spelled`.
      tags: Of a profile that was written anew, so that they are whole.

    Returns:
      Tags of colorants and curves, of version 2.
    """
    known = _KNOWN[name]
    if any(tag[:3] in _TABLES for tag in tags):
        return None
    if _CICP in tags and tags[_CICP][8:] != known.cicp:
        return None
    colorants = [struct.unpack(">3i", tags[tag][8:20]) for tag in _PRIMARIES if tag in tags]
    if not _near(np.ravel(colorants) / _ONE, np.array(known.colorants)):
        return None
    there = [tag for tag in _CURVES if tag in tags]
    points = [_points(tags[tag]) for tag in there]
    for curve in known.curves:
        if all(_follows(x, y, curve) for x, y in points):
            return _colorants(known) | dict.fromkeys(there, _stored(curve))
    return None


def _near(found: np.ndarray, known: np.ndarray) -> bool:
    return found.shape == known.shape and bool((np.abs(found - known) <= _APART).all())


def _follows(x: np.ndarray, y: np.ndarray, curve: _Curve) -> bool:
    """Whether light lies between that of a curve a level lower and a level higher."""
    low, high = (_light(curve, np.maximum(x + off, 0)) for off in (-_LEVEL, _LEVEL))
    return bool(((low <= y) & (y <= high)).all())


def _light(curve: _Curve, x: np.ndarray) -> np.ndarray:
    return x**curve if isinstance(curve, float) else curve(x)


def _colorants(known: _Known) -> dict[bytes, bytes]:
    numbers = [round(_ONE * x) for x in known.colorants]
    return {
        tag: b"XYZ " + struct.pack(">4i", 0, *numbers[3 * n : 3 * n + 3])
        for n, tag in enumerate(_PRIMARIES if numbers else ())
    }


def _stored(curve: _Curve) -> bytes:
    """A tag (part 10.6): an exponent in steps of 1/256, or a table."""
    if isinstance(curve, float):
        return b"curv" + struct.pack(">IIH", 0, 1, round(256 * curve))
    listed = np.rint(65535 * curve(np.linspace(0, 1, _ENTRIES))).astype(">u2")
    return b"curv" + struct.pack(">II", 0, _ENTRIES) + listed.tobytes()


def _points(data: bytes) -> tuple[np.ndarray, np.ndarray]:
    """Levels, those it lists and others, and the light a curve gives them (parts 10.6, 10.18)."""
    if data[:4] == b"para":
        return _GRID, _parametric(data)
    (count,) = struct.unpack_from(">I", data, 8)
    listed = np.frombuffer(data, ">u2", count, 12)
    if count < 2:
        return _GRID, _GRID ** (listed[0] / 256 if count else 1.0)
    x, y = np.linspace(0, 1, count), listed / 65535
    return np.concatenate([x, _GRID]), np.concatenate([y, np.interp(_GRID, x, y)])


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
