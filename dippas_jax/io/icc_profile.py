"""Colour profiles with nothing in them but colours.

A profile may name a device, a person or a place: in its texts, in tags of its maker's own, in
spare bytes. So none is searched for that: what a viewer computes with (ICC.1:2022, parts 7 to 10)
is written into a new one, and nothing else.
"""

import functools
import string
import struct

from dippas_jax.io import common_profiles

_UNNAMED = "unnamed"
_SPACES = "\0" + string.whitespace
_PRIMARIES = (b"rXYZ", b"gXYZ", b"bXYZ")
_CURVES = {b"RGB ": (b"rTRC", b"gTRC", b"bTRC"), b"GRAY": (b"kTRC",)}
_NEEDED = {b"RGB ": (*_PRIMARIES, *_CURVES[b"RGB "]), b"GRAY": _CURVES[b"GRAY"]}
_TO_CONNECTION, _FROM_CONNECTION = (b"A2B0", b"A2B1", b"A2B2"), (b"B2A0", b"B2A1", b"B2A2")
_TYPES: dict[bytes, tuple[bytes, ...]] = {
    **dict.fromkeys((*_PRIMARIES, b"wtpt", b"bkpt"), (b"XYZ ",)),
    **dict.fromkeys((*_CURVES[b"RGB "], *_CURVES[b"GRAY"]), (b"curv", b"para")),
    b"chad": (b"sf32",),
    b"cicp": (b"cicp",),
    **dict.fromkeys(_TO_CONNECTION, (b"mft1", b"mft2", b"mAB ")),
    **dict.fromkeys(_FROM_CONNECTION, (b"mft1", b"mft2", b"mBA ")),
}
"""Of every tag that is written, what it may be (part 9.2): another type is no colours."""

_CLASSES = (b"mntr", b"scnr", b"prtr", b"spac")
_HEADER, _ENTRY, _MOST = 128, 12, 100  # bytes, bytes, and tags in a table
_LARGEST = 4 << 20  # bytes of a profile; those of printers have one or two
_VERSIONS, _CONNECTIONS, _INTENTS = (2, 4), (b"XYZ ", b"Lab "), range(4)
_DATE = struct.pack(">6H", 2000, 1, 1, 0, 0, 0)
_D50 = struct.pack(">3i", 0xF6D6, 0x10000, 0xD32D)  # the one illuminant of part 7.2.16
_WHITE = b"XYZ " + bytes(4) + _D50
_PLAIN = bytes([2, 0x10])  # version 2.1, which every viewer knows
_PARAMETERS = (1, 3, 4, 5, 7)  # of curves of the kinds 0 to 4
_MATRIX = 48  # bytes of a matrix and its offsets
_COPYRIGHT = "none"  # a text that every profile has to have
_VERSION_4 = 4


def name(icc: bytes) -> str:
    """What a profile calls itself; "" where it does not, or cannot be read."""
    try:
        return _text(_tags(icc).get(b"desc", b"")).strip(_SPACES)
    except (struct.error, UnicodeDecodeError):
        return ""


def telling_name(icc: bytes) -> str:
    """The name of a profile whose colours may tell a device; "" of a common one.

    Common are those of a common name that have its numbers (`common_profiles`).
    """
    found = name(icc)
    common = common_profiles.spelled(found)
    if not common:
        return found or "without a name"
    made = rebuilt(icc)
    usual = made is None or _usual(common, made[20:24], _tags(made))
    return "" if usual else f"{found} with other numbers"


def is_large(icc: bytes) -> bool:
    """Whether it is larger than any that is written."""
    return len(icc) > _LARGEST


def is_grey(icc: bytes) -> bool:
    """Whether it is one of grey."""
    return icc[16:20] == b"GRAY"


def is_rgb(icc: bytes) -> bool:
    """Whether it is one of RGB."""
    return icc[16:20] == b"RGB "


@functools.lru_cache(maxsize=8)  # it is asked for each time that a part of a photo is written
def rebuilt(icc: bytes) -> bytes | None:
    """A profile of the same colours that holds nothing else; its name only if that is a common one.

    One that has the numbers of a common name, but for rounding, is written with those that are
    known here.

    Returns:
      The profile; None of one that is damaged, too large (`is_large`), or that neither RGB nor grey
      can have.
    """
    try:
        return None if is_large(icc) else _rebuilt(icc)
    except (struct.error, ValueError):
        return None


def _rebuilt(icc: bytes) -> bytes | None:
    old, space = _tags(icc), icc[16:20]
    (intent,) = struct.unpack_from(">I", icc, 64)
    version = min(icc[8], 4)
    known = space in _CURVES and icc[20:24] in _CONNECTIONS and version in _VERSIONS
    if icc[12:16] not in _CLASSES or icc[36:40] != b"acsp" or not known:
        return None
    needed, channels = _NEEDED[space], len(_CURVES[space])
    tags = (*needed, b"wtpt", b"bkpt", b"chad", b"cicp", *_TO_CONNECTION, *_FROM_CONNECTION)
    new = {tag: _allowed(tag, old[tag], channels) for tag in tags if tag in old}
    if not all(new.get(tag) for tag in needed) and not new.get(b"A2B0"):
        return None
    common = common_profiles.spelled(name(icc))
    if common and (usual := _usual(common, icc[20:24], new)):
        return _titled(
            usual | {b"wtpt": _WHITE}, _header(_PLAIN, b"mntr" + space + b"XYZ "), common
        )
    versions = bytes([version, icc[9] & 0xF0])
    header = _header(versions, icc[12:24], intent if intent in _INTENTS else 0)
    return _titled({kind: data for kind, data in new.items() if data}, header, common or _UNNAMED)


def _usual(common: str, connection: bytes, tags: dict[bytes, bytes]) -> dict[bytes, bytes] | None:
    """`common_profiles.usual` of a profile whose curves lead to light, as under XYZ they do."""
    whole = {kind: data for kind, data in tags.items() if data}
    return common_profiles.usual(common, whole) if connection == b"XYZ " else None


def _header(version: bytes, kind: bytes, intent: int = 0) -> bytes:
    """Of a profile; `kind` is its class and its two spaces."""
    header = bytearray(_HEADER)
    header[8:10], header[12:24], header[36:40] = version, kind, b"acsp"
    header[24:36], header[68:80] = _DATE, _D50
    header[64:68] = struct.pack(">I", intent)
    return bytes(header)


def _titled(tags: dict[bytes, bytes], header: bytes, title: str) -> bytes:
    """A profile with a name and the text that it has to have."""
    version = header[8]
    write_text = _localised if version >= _VERSION_4 else _described
    texts = {
        b"desc": write_text(title),
        b"cprt": _localised(_COPYRIGHT)
        if version >= _VERSION_4
        else b"text" + bytes(4) + _COPYRIGHT.encode() + b"\0",
    }
    return _written(header, tags | texts)


def _tags(icc: bytes) -> dict[bytes, bytes]:
    """The tags that lie within a profile, the first one of a kind."""
    (count,) = struct.unpack_from(">I", icc, _HEADER)
    found: dict[bytes, bytes] = {}
    for n in range(min(count, _MOST)):
        kind, at, size = struct.unpack_from(">4sII", icc, _HEADER + 4 + _ENTRY * n)
        if at + size <= len(icc):
            found.setdefault(kind, icc[at : at + size])
    return found


def _allowed(tag: bytes, data: bytes, channels: int) -> bytes:
    """A tag's numbers (`_plain`); nothing of a type or of channels that it may not have."""
    if data[:4] not in _TYPES[tag]:
        return b""
    ends = {_TO_CONNECTION: (channels, 3), _FROM_CONNECTION: (3, channels)}
    if any(tag in tables and data[8:10] != bytes(end) for tables, end in ends.items()):
        return b""
    return _plain(data)


def _plain(data: bytes) -> bytes:
    """A tag of numbers, as long as its kind says and no longer; nothing of other kinds."""
    kind = data[:4]
    if kind == b"XYZ ":
        length = 20
    elif kind == b"sf32":
        length = 8 + 4 * 9
    elif kind == b"cicp":
        length = 12
    elif kind == b"curv":
        length = _curve_length(data, 0)
    elif kind == b"para":
        length = _curve_length(data, 0)
        data = data[:10] + bytes(2) + data[12:]
    elif kind in (b"mft1", b"mft2"):
        length = _table_length(data)
        data = data[:11] + b"\0" + data[12:]
    elif kind in (b"mAB ", b"mBA "):
        return _elements(data)
    else:
        return b""
    return kind + bytes(4) + data[8:length] if 0 < length <= len(data) else b""


def _table_length(data: bytes) -> int:
    """Of a table of 8 or 16 bits (parts 10.10 and 10.11)."""
    entering, leaving, points = struct.unpack_from(">3B", data, 8)
    if data[:4] == b"mft1":
        return 48 + 256 * entering + points**entering * leaving + 256 * leaving
    before, after = struct.unpack_from(">HH", data, 48)
    return 52 + 2 * (before * entering + points**entering * leaving + after * leaving)


def _elements(data: bytes) -> bytes:
    """A transform of curves, matrix and table (parts 10.12 and 10.13) without what lies between."""
    entering, leaving = struct.unpack_from(">2B", data, 8)
    curves_b, matrix, curves_m, table, curves_a = struct.unpack_from(">5I", data, 12)
    ends = {b"mAB ": (entering, leaving), b"mBA ": (leaving, entering)}
    outer, inner = ends[data[:4]]
    parts = [
        _curves(data, curves_b, inner),
        _matrix(data, matrix) if matrix else b"",
        _curves(data, curves_m, inner) if curves_m else b"",
        _grid(data, table, entering, leaving) if table else b"",
        _curves(data, curves_a, outer) if curves_a else b"",
    ]
    asked = (curves_b, matrix, curves_m, table, curves_a)
    if any(at and not part for at, part in zip(asked, parts, strict=True)):
        return b""
    places, body = [], b""
    for part in parts:
        places.append(32 + len(body) if part else 0)
        body += part + bytes(-len(part) % 4)
    start = data[:4] + bytes(4) + data[8:10] + bytes(2) + struct.pack(">5I", *places)
    return start + body


def _matrix(data: bytes, at: int) -> bytes:
    """Twelve numbers (part 10.12.5); nothing where they are cut off."""
    found = data[at : at + _MATRIX]
    return found if len(found) == _MATRIX else b""


def _curves(data: bytes, at: int, count: int) -> bytes:
    """So many curves, one after the other; nothing where they are not there."""
    made = b""
    for _ in range(count):
        one = _plain(data[at : at + _curve_length(data, at)])
        if not one:
            return b""
        made += one + bytes(-len(one) % 4)
        at += len(one) + -len(one) % 4
    return made


def _curve_length(data: bytes, at: int) -> int:
    """Of the curve that begins there (parts 10.6 and 10.18); 0 where none does."""
    kind = data[at : at + 4]
    if kind == b"curv":
        return 12 + 2 * struct.unpack_from(">I", data, at + 8)[0]
    if kind != b"para":
        return 0
    (which,) = struct.unpack_from(">H", data, at + 8)
    return 12 + 4 * _PARAMETERS[which] if which < len(_PARAMETERS) else 0


def _grid(data: bytes, at: int, entering: int, leaving: int) -> bytes:
    """A table of many dimensions (part 10.12.3)."""
    points = data[at : at + entering]
    (precision,) = struct.unpack_from(">B", data, at + 16)
    length = leaving * precision
    for one in points:
        length *= one if one > 1 else len(data)  # of fewer than two points there is no table
    found = data[at + 20 : at + 20 + length]
    start = points.ljust(16, b"\0") + bytes([precision]) + bytes(3)
    return start + found if len(found) == length and precision in (1, 2) else b""


def _text(data: bytes) -> str:
    """The first text of a description (part 10.15, and 6.5.17 of version 2)."""
    if data[:4] == b"mluc":
        size, at = struct.unpack_from(">II", data, 20)
        return data[at : at + size].decode("utf-16-be")
    if data[:4] != b"desc":
        return ""
    (count,) = struct.unpack_from(">I", data, 8)
    return data[12 : 12 + count].partition(b"\0")[0].decode("latin-1")


def _localised(text: str) -> bytes:
    body = text.encode("utf-16-be")
    return b"mluc" + struct.pack(">3I4sII", 0, 1, _ENTRY, b"enUS", len(body), 28) + body


def _described(text: str) -> bytes:
    body = text.encode("latin-1") + b"\0"
    return b"desc" + struct.pack(">II", 0, len(body)) + body + bytes(8 + 3 + 67)


def _written(header: bytes, tags: dict[bytes, bytes]) -> bytes:
    """A profile of such tags; equal ones lie in one place, as those of three equal curves."""
    at = _HEADER + 4 + _ENTRY * len(tags)
    table, body, places = b"", b"", dict[bytes, int]()
    for kind, data in tags.items():
        if data not in places:
            places[data] = at + len(body)
            body += data + bytes(-len(data) % 4)
        table += kind + struct.pack(">II", places[data], len(data))
    whole = header + struct.pack(">I", len(tags)) + table + body
    return struct.pack(">I", len(whole)) + whole[4:]
