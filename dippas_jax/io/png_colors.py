"""What a PNG says of its colours without a profile: chunks, carried over as they are.

gAMA, cHRM, sRGB, cICP and the two of mastering (mDCV, cLLI) lie before the pixels (PNG, third
edition, part 11.3.2). A viewer shows another picture without them.
"""

import struct
import zlib

_START = b"\x89PNG\r\n\x1a\n"
_KINDS = {b"gAMA": 4, b"cHRM": 32, b"sRGB": 1, b"cICP": 4, b"mDCV": 24, b"cLLI": 8}
"""With the bytes of each; one of another length says nothing of colours, and may hold anything."""

_OF_SRGB = {
    b"gAMA": (struct.pack(">I", 45455),),
    b"cHRM": (struct.pack(">8I", 31270, 32900, 64000, 33000, 30000, 60000, 15000, 6000),),
    b"sRGB": tuple(bytes([intent]) for intent in range(4)),
    b"cICP": (bytes([1, 13, 0, 1]),),
}
_AFTER_HEADER = len(_START) + 25


def chunks(data: bytes) -> bytes:
    """The chunks of a file, whole, in their order; nothing for a file that is no PNG.

    Of two of a kind the first one counts, as for libpng.
    """
    first: dict[bytes, bytes] = {}
    for kind, _, chunk in _parts(data, len(_START)):
        first.setdefault(kind, chunk)
    return b"".join(first.values())


def names(found: bytes, *, profile: bool = False) -> list[str]:
    """Those of the chunks that a viewer goes by and that say something else than sRGB.

    The strongest decides alone (part 4.3): cICP, then a colour profile, sRGB, gAMA with cHRM.

    Args:
      found: Chunks.
      profile: Whether the photo has a colour profile.
    """
    told = {kind: value for kind, value, _ in _parts(found, 0)}
    kinds: tuple[bytes, ...] = (b"gAMA", b"cHRM")
    if b"cICP" in told:
        kinds = (b"cICP",)
    elif profile or b"sRGB" in told:
        return []
    return [kind.decode() for kind in kinds if kind in told and told[kind] not in _OF_SRGB[kind]]


def coded(primaries: int, transfer: int) -> bytes:
    """The chunk that names RGB colours of full range by the code points of ITU-T H.273."""
    body = b"cICP" + bytes([primaries, transfer, 0, 1])
    return struct.pack(">I", 4) + body + struct.pack(">I", zlib.crc32(body))


def codes(found: bytes) -> tuple[int, int] | None:
    """Primaries and transfer of cICP, if that is among the chunks and is of RGB of full range."""
    values = [value for kind, value, _ in _parts(found, 0) if kind == b"cICP"]
    full = [value for value in values[:1] if len(value) == 4 and value[2:] == b"\0\1"]
    return (full[0][0], full[0][1]) if full else None


def inserted(png: bytes, found: bytes, *, profile: bool) -> bytes:
    """A PNG with the chunks behind its header; beside a profile sRGB must not stand."""
    kept = [chunk for kind, _, chunk in _parts(found, 0) if not (profile and kind == b"sRGB")]
    return png[:_AFTER_HEADER] + b"".join(kept) + png[_AFTER_HEADER:]


def _parts(data: bytes, at: int) -> list[tuple[bytes, bytes, bytes]]:
    """Kind, content and all of each chunk of `_KINDS` from a place on, up to the pixels."""
    if at and not data.startswith(_START):
        return []
    found = []
    while at + 12 <= len(data):
        (length,) = struct.unpack_from(">I", data, at)
        kind, end = data[at + 4 : at + 8], at + 12 + length
        if kind == b"IDAT" or end > len(data):
            break
        if _KINDS.get(kind) == length:
            found.append((kind, data[at + 8 : end - 4], data[at:end]))
        at = end
    return found
