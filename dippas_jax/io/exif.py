"""What of a photo's EXIF goes along into the anonymised file, and the orientation it tells.

The file is made from pixels, so nothing is taken out: what is not written here is not there.
"""

import io
import re
import struct
from collections.abc import Mapping
from typing import Any

import numpy as np
from PIL import Image

from dippas_jax.io import files
from dippas_jax.types import InputError

KEPT = ("strip", "safe", "keep")
"""Nothing; what says neither who, where, when nor with which camera; all that still fits."""

SAFE = {
    33434: "ExposureTime",
    34850: "ExposureProgram",
    34855: "PhotographicSensitivity",
    37380: "ExposureBiasValue",
    37383: "MeteringMode",
    37384: "LightSource",
    37385: "Flash",
    40961: "ColorSpace",
    41986: "ExposureMode",
    41987: "WhiteBalance",
}
"""How a photo was exposed. Focal length and f-number are left out: they tell a phone's model."""

_ORIENTATION, _EXIF, _WIDTH, _HEIGHT = 274, 34665, 40962, 40963
_COLORSPACE, _SRGB, _INTEROP = 40961, 1, 40965
_LAYOUT = (
    254, 256, 257, 258, 259, 262, 266, 273, 277, 278, 279, 284, 317, 320, 322, 323, 324, 325, 338,
    339, 347, 530, 531, 532, 700, 34675,
)  # fmt: skip
"""Of a TIFF: where its pixels, its profile and its XMP lie, which is not so in another file."""

PICTURES = {
    330: "SubIFDs",
    513: "JPEGInterchangeFormat",
    514: "JPEGInterchangeFormatLength",
    34377: "image resources of Photoshop",
    37724: "layers of Photoshop",
}
"""In the main directory: other pictures, which show the original, or where they lie."""

_ELSEWHERE = {
    37500: "the maker's note",
    40964: "a sound file's name",
    50740: "the private data of a RAW converter",
}
"""In the main or the EXIF directory: what mostly holds a preview, and points to places that are
gone; and what lay beside the photo."""

_INNER = (34853, 40965)  # directories of the place and of how others read the file
_PICTURE = re.compile(
    rb"\xff\xd8\xff|\x89PNG\r\n\x1a\n|RIFF....WEBP|GIF8|BM....\0\0\0\0|ftyp(?:hei|mif|avi)|II\*\0|"
    rb"MM\0\*|jP  \r\n",
    re.DOTALL,
)
_IN_LETTERS = re.compile(rb"/9j/|iVBORw0KGgo|UklGR|R0lGOD|(?<![\w+/-])[A-Za-z0-9+/_-]{1000}")
IN_PIECES = re.compile(
    rb"(?<![A-Za-z0-9+/=_-])(?:[A-Za-z0-9+/=_-]{16,}+[^A-Za-z0-9+/=_-]{1,8}){30}"
)
"""Thirty words of sixteen letters or more, one after the other, with little between them: a picture
in letters that is broken up; nothing else is as long."""

_LONGEST, _MOST = 2000, 256  # bytes of a field that may be anything, and numbers in one
_NUMBERS = (int, float)
_RESOLUTION = {282, 283, 296}
_NAME = b"Exif\0\0"  # of the segment of a JPEG
_DAMAGE = (ValueError, TypeError, SyntaxError, struct.error)
"""What Pillow raises of EXIF that are none."""

_BIG_TIFF = {b"II+\0": "<", b"MM\0+": ">"}


def block(image: Image.Image, data: bytes) -> bytes:
    """The EXIF of a picture as they stand in its file, `data`; of a TIFF all of the file.

    `parsed` reads them again. They are bytes, so that they can come from another process.
    """
    info = image.info  # as `Image.getexif` looks for them
    if (found := info.get("exif")) is not None:
        return found
    if text := info.get("Raw profile type exif"):
        try:
            return bytes.fromhex("".join(text.split("\n")[3:]))
        except ValueError:
            return text.encode(errors="replace")  # damaged, which matters only to those who keep it
    return data if image.format == "TIFF" else b""


def parsed(found: bytes) -> Image.Exif:
    """What is in a `block`."""
    made = Image.Exif()
    if endian := _BIG_TIFF.get(found[:4]):
        made.bigtiff, made.endian = True, endian
        made.load_from_fp(io.BytesIO(found), *struct.unpack_from(f"{endian}Q", found, 8))
        made.bigtiff = False  # it is written into other files
    else:
        made.load(found)
        _require_whole(found.removeprefix(_NAME), made)
    return made


def _require_whole(tiff: bytes, read: Image.Exif) -> None:
    """`ValueError` where the directories do not lie within the block: Pillow leaves them out."""
    order = {b"II": "<", b"MM": ">"}.get(tiff[:2])
    if order is None:
        return
    places = [struct.unpack_from(f"{order}I", tiff, 4)[0], read.get(_EXIF, 0)]
    for at in filter(None, places):
        (entries,) = struct.unpack_from(f"{order}H", tiff, at)
        if at + 2 + 12 * entries > len(tiff) or (entries and not read):
            raise ValueError("cut off")


def exif(
    original: Image.Exif | bytes,
    kept: str,
    *,
    orientation: int,
    size: tuple[int, int],
    srgb: bool = False,
    profile: bool = True,
) -> bytes | None:
    """The EXIF to be written, or None.

    Args:
      original: Of the photo; or their `block`.
      kept: One of `KEPT`.
      orientation: Of the pixels that are written; 1 needs no tag.
      size: Their rows and columns.
      srgb: Whether their colours were converted to sRGB, which is then said of them.
      profile: Whether what tells their colours goes along.

    Raises:
      InputError: The photo's cannot be written again.
    """
    with files.strict_pillow():
        try:
            if isinstance(original, bytes):
                original = Image.Exif() if kept == "strip" else parsed(original)
            return _made(original, kept, orientation, size, srgb=srgb, profile=profile)
        except Exception:  # noqa: BLE001 - Pillow meets fields of the wrong type with errors of its own
            raise InputError(
                f"its EXIF is damaged, so that --metadata {kept} cannot write it again; choose "
                "--metadata strip"
            ) from None


def _made(
    original: Image.Exif,
    kept: str,
    orientation: int,
    size: tuple[int, int],
    *,
    srgb: bool,
    profile: bool,
) -> bytes | None:
    made = Image.Exif()
    if kept == "keep":
        # Pillow writes the fields of the main and the EXIF directory; the thumbnail's is left out.
        made.load(original.tobytes())
        made.pop(_ORIENTATION, None)
        inner = made.get_ifd(_EXIF)
        there = [made.get_ifd(one) for one in _INNER if one in made or one in inner]
        for directory in (made, inner, *there):
            for tag in (*_LAYOUT, *PICTURES, *_ELSEWHERE, *_with_pictures(directory)):
                directory.pop(tag, None)
        if _WIDTH in inner:
            inner[_WIDTH], inner[_HEIGHT] = size[1], size[0]
    elif kept == "safe":
        inner = made.get_ifd(_EXIF)
        for tag, value in original.get_ifd(_EXIF).items():
            if tag in SAFE and _plain(value):
                inner[tag] = value
    if not profile:
        made.get_ifd(_EXIF).pop(_COLORSPACE, None)
    elif srgb and _COLORSPACE in made.get_ifd(_EXIF):
        made.get_ifd(_EXIF)[_COLORSPACE] = _SRGB
    if srgb or not profile:
        made.get_ifd(_EXIF).pop(_INTEROP, None)
    if orientation != 1:
        made[_ORIENTATION] = orientation
    return made.tobytes() if len(made) or made.get_ifd(_EXIF) else None


def says_something(block: bytes, kept: str) -> bool:
    """Whether there is more to write of a photo's EXIF than how large it is to be printed."""
    made = parsed(exif(block, kept, orientation=1, size=(1, 1)) or b"")
    return bool(made.keys() - _RESOLUTION - {_EXIF} or made.get_ifd(_EXIF))


def pictures(block: bytes) -> list[str]:
    """What of a photo's EXIF that can be read shows the original, or where something else lies."""
    with files.strict_pillow():  # which keeps its warnings to itself
        return _pictures(parsed(block)) if block else []


def _pictures(original: Image.Exif) -> list[str]:
    found = [name for tag, name in PICTURES.items() if tag in original]
    for number, directory in enumerate(
        (original, *(original.get_ifd(one) for one in (_EXIF, *_INNER)))
    ):
        passed = {*PICTURES, *_ELSEWHERE, *(() if number else _LAYOUT)}
        found += [f"tag {tag}" for tag in _with_pictures(directory) if tag not in passed]
    of_both = original.keys() | original.get_ifd(_EXIF).keys()
    found += [name for tag, name in _ELSEWHERE.items() if tag in of_both]
    return found


def _with_pictures(directory: Mapping[int, Any]) -> list[int]:
    return [tag for tag, value in directory.items() if _may_hold_picture(value)]


def _may_hold_picture(value: Any) -> bool:
    """Whether something in a field begins like a picture, in bytes or letters, or is as long."""
    if isinstance(value, tuple):
        return len(value) > _MOST
    data = value.encode("latin-1", "replace") if isinstance(value, str) else value
    if not isinstance(data, bytes):
        return False
    letters = b"".join(data.split())
    searches = _PICTURE.search(data), _IN_LETTERS.search(letters), IN_PIECES.search(data)
    return any(searches) or (isinstance(value, bytes) and len(value) > _LONGEST)


def _plain(value: object) -> bool:
    """A number, in which nothing else can hide."""
    return isinstance(value, _NUMBERS) or type(value).__name__ == "IFDRational"


def turned(array: np.ndarray, orientation: int) -> np.ndarray:
    """Pixels [h w ...] in sensor orientation as a viewer shows them, by the EXIF orientation."""
    if orientation >= 5:
        array = np.swapaxes(array, 0, 1)
    if orientation in (2, 3, 6, 7):
        array = array[:, ::-1]
    return array[::-1] if orientation in (3, 4, 7, 8) else array


def turned_back(array: np.ndarray, orientation: int) -> np.ndarray:
    """The inverse of `turned`."""
    return turned(array, {6: 8, 8: 6}.get(orientation, orientation))


def tags(image: Image.Image) -> Image.Exif:
    """The EXIF, none where they are damaged: viewers show such a picture all the same."""
    try:
        return image.getexif()
    except _DAMAGE:
        return Image.Exif()


def directory(found: Image.Exif, number: int) -> Mapping[int, Any]:
    """An inner directory of a picture's EXIF, empty where it is damaged: likewise."""
    try:
        return found.get_ifd(number)
    except _DAMAGE:
        return {}
