"""Arrays of numbers and text in MATLAB 5 to 7 files, from their bytes.

The layout is that of MathWorks, "MAT-File Format", version 5. Written here because what reads a
fingerprint has to survive damaged and hostile files, and SciPy's reader, which is compiled, ends
the program on some. Everything but plain arrays (structs, cells, objects, sparse) is left out.
"""

import math
import struct
import zlib
from collections.abc import Iterator

import numpy as np

MAGIC = b"MATLAB 5.0"

_HEADER = 128  # bytes
_MOST_BYTES = 2**31  # of an array when it is unpacked; the format itself ends at 2**32
_MATRIX, _COMPRESSED = 14, 15
_STORED = {
    1: "i1",
    2: "u1",
    3: "i2",
    4: "u2",
    5: "i4",
    6: "u4",
    7: "f4",
    9: "f8",
    12: "i8",
    13: "u8",
}
_TEXT = {1: "latin-1", 2: "latin-1", 4: "utf-16", 16: "utf-8", 17: "utf-16", 18: "utf-32"}
MOST_PACKED = 64  # bytes from one of a file, which can claim any; noise hardly packs
_CHARACTERS, _NUMBERS = 4, range(6, 16)  # classes of arrays
_COMPLEX, _LOGICAL = 0x800, 0x200  # flags


def arrays(data: bytes) -> dict[str, np.ndarray]:
    """The plain arrays of a file by name, in its order.

    Returns:
      Numbers in the type they are stored in, axes as in MATLAB, at least two; truth values as bool;
      text as one string.

    Raises:
      ValueError: The file is damaged.
    """
    try:
        return _arrays(data)
    except (LookupError, StopIteration, struct.error, zlib.error) as error:
        raise ValueError(f"the file is damaged ({error})") from None


def _arrays(data: bytes) -> dict[str, np.ndarray]:
    order = {b"IM": "<", b"MI": ">"}[data[126:128]]
    found = {}
    left = MOST_PACKED * len(data)
    for kind, content in _elements(data[_HEADER:], order):
        if kind == _COMPRESSED:
            unpacker = zlib.decompressobj()
            content = unpacker.decompress(content, max(1, min(left, _MOST_BYTES)))
            if not unpacker.eof:
                raise ValueError("a compressed array is cut off, or larger than any photo's")
            left -= len(content)
            kind, content = next(_elements(content, order))
        if kind == _MATRIX and (named := _array(content, order)):
            found[named[0]] = named[1]
    return found


def _elements(data: bytes, order: str) -> Iterator[tuple[int, bytes]]:
    """Kind and content of the elements that follow each other."""
    start = 0
    while start < len(data):
        kind, size = struct.unpack_from(order + "II", data, start)
        start += 8
        if kind >> 16:  # a small element: kind, size and four bytes of content in one
            kind, size, start, step = kind & 0xFFFF, kind >> 16, start - 4, 4
        else:
            step = size if kind == _COMPRESSED else -(-size // 8) * 8
        if start + size > len(data):
            raise ValueError("an element is cut off")
        yield kind, data[start : start + size]
        start += step


def _array(data: bytes, order: str) -> tuple[str, np.ndarray] | None:
    """Name and values of an array; None if it is not a plain one."""
    (_, flags), *rest = _elements(data, order)
    (word,) = struct.unpack_from(order + "I", flags)
    kind = word & 0xFF
    if kind != _CHARACTERS and kind not in _NUMBERS:
        return None
    (_, sizes), (_, name), (stored, real), *imaginary = rest
    shape = np.frombuffer(sizes, order + "i4").tolist()
    if kind == _CHARACTERS:
        codec = _TEXT[stored] + {"<": "-le", ">": "-be"}[order] * (stored in (4, 17, 18))
        return name.decode("latin-1"), np.array(real.decode(codec))
    values = np.frombuffer(real, order + _STORED[stored])
    if word & _COMPLEX:
        ((stored, other),) = imaginary
        values = values + 1j * np.frombuffer(other, order + _STORED[stored])
    if min(shape, default=0) < 0 or math.prod(shape) != values.size:
        raise ValueError("an array's values do not fill its size")
    values = values.astype(bool) if word & _LOGICAL else values
    return name.decode("latin-1"), values.reshape(shape, order="F")
