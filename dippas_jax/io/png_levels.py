"""Depth and opacity of PNGs where Pillow reads less than the file says."""

import io

import numpy as np
from PIL import Image

_GREY_WITH_ALPHA = 4  # among the colour types of a PNG


def completed(image: Image.Image, data: bytes, words: list[str]) -> Image.Image:
    """A PNG with the opacity that its file tells, and with 8 bits where Pillow has no more."""
    return (_sixteen_bits if data[24] == 16 else _clear_level)(image, data, words)


def _sixteen_bits(image: Image.Image, data: bytes, words: list[str]) -> Image.Image:
    """A PNG of 16 bits; with colours or opacity of 8, which is all that Pillow reads and writes."""
    clear = image.info.pop("transparency", None)
    if image.mode == "I;16" and clear is None:
        return image
    words.append("16 bits reduced to 8")
    if image.mode == "RGBA":
        return image.convert("LA") if data[25] == _GREY_WITH_ALPHA else image
    if clear is None:
        return image
    wide = np.asarray(image).astype(np.uint16)
    if image.mode == "RGB":
        # Pillow keeps the high bytes; told that the bytes lie in the other order, the low ones.
        again = Image.open(io.BytesIO(data))
        again.tile = [tile._replace(args="RGB;16L") for tile in again.tile]
        wide = wide << 8 | np.asarray(again)
    seen = (wide != np.uint16(clear)).reshape(*wide.shape[:2], -1).any(axis=2)
    narrow = np.asarray(image) if image.mode == "RGB" else np.rint(wide / 257)
    return Image.fromarray(np.dstack([narrow, 255 * seen]).astype(np.uint8))


def _clear_level(image: Image.Image, data: bytes, words: list[str]) -> Image.Image:
    """A grey PNG of 1 to 8 bits with its opacity.

    Of 2 and 4 bits, Pillow widens the pixels to 8 but not the level that is clear.
    """
    bits, clear = data[24], image.info.get("transparency")
    if image.mode not in ("1", "L") or clear is None:
        return image
    if image.mode == "1":
        words.append("black and white converted to grey")
    grey, levels = image.convert("L"), 2**bits
    grey.info["transparency"] = clear % levels * (255 // (levels - 1))
    return grey.convert("LA")
