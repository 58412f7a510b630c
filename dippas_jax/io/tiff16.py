"""TIFFs of 16 bits a channel, of which Pillow keeps eight."""

import io
import sys
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from PIL import Image

from dippas_jax.io import color_profiles, exif
from dippas_jax.types import InputError

_WITHOUT_CODEC = (5, 50000)  # LZW and Zstandard, which tifffile reads with imagecodecs


def read(path: Path | str, data: bytes) -> tuple[np.ndarray, np.ndarray | None, bool]:
    """Pixels, opacity and whether it is grey, of a TIFF of 16 bits a channel."""
    with tifffile.TiffFile(io.BytesIO(data)) as file:
        page: Any = file.pages[0]
        if 1 in page.extrasamples:
            raise InputError(
                f"photo {path} has 16 bits and premultiplied transparency; flatten it or save it "
                "with 8 bits"
            )
        if page.compression in _WITHOUT_CODEC:
            return _by_pillow(path, data)
        array = page.asarray()
        if page.planarconfig == tifffile.PLANARCONFIG.SEPARATE and array.ndim == 3:
            array = np.moveaxis(array, 0, -1)
        if page.photometric == tifffile.PHOTOMETRIC.MINISWHITE:
            array = ~array
        known = page.photometric in (
            tifffile.PHOTOMETRIC.RGB,
            tifffile.PHOTOMETRIC.MINISBLACK,
            tifffile.PHOTOMETRIC.MINISWHITE,
        )
    array = array[..., None] if array.ndim == 2 else array
    if array.dtype != np.uint16 or array.ndim != 3 or array.shape[2] > 4 or not known:
        raise InputError(
            f"photo {path} of 16 bits is neither grey nor RGB; convert it to RGB first"
        )
    return color_profiles.parted(array)


def _by_pillow(path: Path | str, data: bytes) -> tuple[np.ndarray, np.ndarray | None, bool]:
    """The same, of a compression that tifffile knows by another library only.

    Pillow keeps the high bytes of colours; told that the bytes lie in the other order it gives the
    low ones. It turns what it gives upright.
    """
    image: Any = Image.open(io.BytesIO(data))
    orientation = image.getexif().get(274, 1)
    if image.tag_v2.get(284, 1) != 1 or image.tag_v2.get(262) == 0:
        raise InputError(f"photo {path} is a 16-bit TIFF of a rare layout; save it without LZW")
    again: Any = Image.open(io.BytesIO(data))
    other = {"L": "B", "B": "L", "N": "B" if sys.byteorder == "little" else "L"}
    again.tile = [
        tile._replace(args=(tile.args[0][:-1] + other[tile.args[0][-1]], *tile.args[1:]))
        for tile in again.tile
    ]
    high = np.asarray(image)
    if image.mode not in ("RGB", "RGBA"):
        grey = color_profiles.channels(path, image)[0][..., :1]
        return color_profiles.parted(exif.turned_back(grey, orientation))
    array = high.astype(np.uint16) << 8 | np.asarray(again)
    return color_profiles.parted(exif.turned_back(array, orientation))


def tiff(array: np.ndarray, profile: bytes | None, orientation: int) -> bytes:
    """A TIFF of 16 bits a channel."""
    buffer = io.BytesIO()
    tifffile.imwrite(
        buffer,
        array.squeeze(2) if array.shape[2] == 1 else array,
        photometric="rgb" if array.shape[2] >= 3 else "minisblack",
        planarconfig="contig" if array.shape[2] > 1 else None,
        extrasamples=["unassalpha"] if array.shape[2] in (2, 4) else None,
        compression="zlib",
        iccprofile=profile,
        metadata=None,
        software=False,
        extratags=[(274, "H", 1, orientation, True)] if orientation != 1 else [],
    )
    return buffer.getvalue()
