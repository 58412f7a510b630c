"""Damage within the data of a JPEG, over which decoders pass without a word.

Pillow refuses a JPEG that was cut off. Where bytes in the middle were changed, its libjpeg goes on
with whatever they give; the same library says so to who asks (simplejpeg, `strict`).
"""

import re

import simplejpeg

_DAMAGE = re.compile("(?:Corrupt JPEG data|Premature end)[: ]*(.*)")
_MORE = re.compile("[0-9]+ extraneous bytes before marker 0xd9")  # the end of the picture
_LAST = 1  # zeros that may be the end of a whole picture, as the last bits of a code


def said(data: bytes) -> str:
    """What a decoder finds wrong within a JPEG's data; "" if nothing, or it cannot be asked.

    It sees what its code forbids: most changed bytes leave such a trace, but not all. Zeros with
    which a camera pads the picture before its end are no damage; other bytes that are left there
    are, since a decoder that was led astray leaves them.

    Args:
      data: The whole file, which another decoder has read to the end.
    """
    found, end = _said(data), _end(data)
    if not _MORE.match(found) or end < 0:
        return found
    # Zeros are codes as well, so all of them go: a picture that was overwritten by them lacks them.
    whole = len(data[:end].rstrip(b"\0"))
    whole += data[:whole].endswith(b"\xff")  # behind which a zero belongs to it
    if end - whole < 2:
        return found
    kept = (_said(data[: whole + zeros] + data[end:]) for zeros in range(_LAST + 1))
    return "" if "" in kept else found


def _said(data: bytes) -> str:
    """A decoder's one complaint, behind which there may be another."""
    try:
        simplejpeg.decode_jpeg(data, strict=True, min_height=1, min_width=1)  # an eighth a side
    except ValueError as error:
        found = _DAMAGE.search(str(error))
        return (found[1] or found[0]) if found else ""
    except MemoryError:
        return ""
    return ""


def _end(data: bytes) -> int:
    """Where the end marker stands, behind a header that may hold others; -1 if nowhere."""
    at = 2
    while data[at : at + 1] == b"\xff" and data[at + 1 : at + 2] != b"\xda":
        at += 2 + int.from_bytes(data[at + 2 : at + 4], "big")
    return data.find(b"\xff\xd9", at)
