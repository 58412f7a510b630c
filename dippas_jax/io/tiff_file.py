"""TIFFs of 16 bits a channel, of which Pillow keeps eight, and TIFFs with extra channels.

An extra channel is opacity only where the file says so (TIFF 6.0, ExtraSamples); any other is left
out with a word.
"""

import contextlib
import io
import itertools
import struct
import sys
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from PIL import Image, TiffImagePlugin, UnidentifiedImageError

from dippas_jax.io import color_profiles, exif
from dippas_jax.types import InputError

_EXTRA, _PHOTOMETRIC, _SAMPLES, _SUBSAMPLING = 338, 262, 277, 530
_GREY_OR_RGB = (0, 1, 2)  # photometric interpretations
_RGB, _PALETTE, _CMYK, _YCBCR = 2, 3, 5, 6
_USUAL, _SENSOR = (*_GREY_OR_RGB, _PALETTE, _YCBCR), (32803, 34892)
_PREMULTIPLIED, _OPACITY = 1, 2
_BITS = (1, 8, 16)
_COMPRESSIONS = (1, 2, 3, 4, 5, 6, 7, 8, 32773, 32946, 34925, 50000)  # known to Pillow's libtiff
_DNG = 50706  # a tag
LEFT_OUT = "its extra channels, which are no opacity, are left out"

RAW = "sensor data"
"""What `rare` says of a RAW file, whatever its name is."""

_OTHER_NUMBERS = {2: "signed", 3: "floating-point", 4: "undefined", 5: "complex", 6: "complex"}
"""By SampleFormat."""
_HEADER_ALONE = "read by tifffile"  # in place of how Pillow unpacks: it refuses to


def _know_layouts() -> None:
    """Tells Pillow of layouts whose header it is to read alone: with one or two extra channels."""
    for start, photometric, bits in itertools.product((b"II", b"MM"), _GREY_OR_RGB, (8, 16)):
        colours, mode = (3, "RGB") if photometric == 2 else (1, "L")
        for extra in itertools.chain(*(itertools.product((0, 1, 2), repeat=n) for n in (1, 2))):
            for said in (extra, ()):
                layout = start, photometric, (1,), 1, (bits,) * (colours + len(extra)), said
                TiffImagePlugin.OPEN_INFO.setdefault(layout, (mode, _HEADER_ALONE))


_know_layouts()


def has_extra(image: Image.Image) -> bool:
    """Whether a TIFF of grey or RGB has extra channels that Pillow may take for what they are not.

    Those of 8 bits that are premultiplied opacity and nothing else it knows.
    """
    tags = image.tag_v2  # type: ignore[attr-defined]
    extra, photometric = tags.get(_EXTRA, ()), tags.get(_PHOTOMETRIC)
    known = extra == (_PREMULTIPLIED,) and tags.get(284, 1) == 1 and photometric == _RGB
    more = photometric in _GREY_OR_RGB and tags.get(_SAMPLES, 1) > _colours(photometric)
    return more and not known


def drops_extra(image: Image.Image) -> bool:
    """Whether a TIFF of CMYK or a palette has extra channels, of which Pillow takes no notice."""
    tags = image.tag_v2  # type: ignore[attr-defined]
    return tags.get(_PHOTOMETRIC) in (_PALETTE, _CMYK) and bool(tags.get(_EXTRA))


def _colours(photometric: int) -> int:
    """Channels of grey or RGB without any other."""
    return 3 if photometric == _RGB else 1


def odd_numbers(data: bytes) -> str:
    """What a TIFF holds in place of levels of 1, 8 or 16 bits; "" where it does or cannot be told.

    Its header alone is read.
    """
    try:
        with tifffile.TiffFile(io.BytesIO(data)) as file:
            page: Any = file.pages[0]
            bits, kind = int(np.max(page.bitspersample)), int(np.max(page.sampleformat))
    except Exception:  # noqa: BLE001 - tifffile meets damage with errors of every kind
        return ""
    if kind in _OTHER_NUMBERS:
        return f"{_OTHER_NUMBERS[kind]} numbers of {bits} bits"
    return "" if bits in _BITS else f"{bits} bits"


def opened(file: Any) -> Image.Image:
    """A TIFF's header, as Pillow reads it, of planes with extra channels as well.

    Pillow fails on unspecified channels that lie in planes of their own. Told that the first one is
    opacity it reads the header; the pixels are for `read`, which asks the file as it came.
    """
    try:
        return Image.open(file)
    except UnidentifiedImageError:
        file.seek(0)
        data = bytearray(file.read())
        with contextlib.suppress(Exception), tifffile.TiffFile(io.BytesIO(data)) as tiff:
            page: Any = tiff.pages[0]
            if page.planarconfig == tifffile.PLANARCONFIG.SEPARATE and not any(page.extrasamples):
                at = page.tags[_EXTRA].valueoffset
                data[at : at + 2] = struct.pack(f"{tiff.byteorder}H", _OPACITY)
        return Image.open(io.BytesIO(data))


def rare(data: bytes) -> str:
    """What a TIFF is that Pillow cannot open; "" where it looks usual, or tells nothing."""
    try:
        with tifffile.TiffFile(io.BytesIO(data)) as file:
            page: Any = file.pages[0]
            if _DNG in page.tags or page.photometric in _SENSOR:
                return RAW
            if page.photometric in _USUAL and not page.extrasamples:
                return ""
            name = "CMYK" if page.photometric == _CMYK else page.photometric.name
            return (
                f"{name}, {page.samplesperpixel} channels of {page.bitspersample} bits, "
                f"{len(page.extrasamples)} of them extra"
            )
    except Exception:  # noqa: BLE001 - tifffile meets damage with errors of every kind
        return ""


def subsampled(data: bytes) -> bool:
    """Whether a TIFF holds YCbCr without compression, colours coarser: Pillow cannot read these."""
    try:
        with tifffile.TiffFile(io.BytesIO(data)) as file:
            page: Any = file.pages[0]
            tag = page.tags.get(_SUBSAMPLING)
            coarser = tuple(tag.value if tag else (2, 2)) != (1, 1)
            return page.photometric == _YCBCR and page.compression == 1 and coarser
    except Exception:  # noqa: BLE001 - tifffile meets damage with errors of every kind
        return False


def rare_compression(data: bytes) -> str:
    """How a TIFF is compressed that Pillow cannot decode; "" where it can, or cannot be told."""
    try:
        with tifffile.TiffFile(io.BytesIO(data)) as file:
            compression = file.pages[0].compression
    except Exception:  # noqa: BLE001 - tifffile meets damage with errors of every kind
        return ""
    return "" if compression in _COMPRESSIONS else getattr(compression, "name", str(compression))


def read(
    path: Path | str, data: bytes, words: list[str]
) -> tuple[np.ndarray, np.ndarray | None, bool]:
    """Pixels, opacity and whether it is grey, of a TIFF of 8 or 16 bits a channel.

    Args:
      path: For messages.
      data: The file.
      words: Takes what had to be left out.
    """
    with tifffile.TiffFile(io.BytesIO(data)) as file:
        page: Any = file.pages[0]
        extra = tuple(int(one) for one in page.extrasamples)
        if page.photometric in _GREY_OR_RGB:  # what the file does not say is no opacity
            extra += (0,) * (page.samplesperpixel - _colours(page.photometric) - len(extra))
        if _PREMULTIPLIED in extra:
            raise InputError(
                f"photo {path} is a TIFF with premultiplied transparency; flatten it, or save it "
                "with 8 bits and transparency that is not premultiplied"
            )
        try:
            array = page.asarray()
        except (ValueError, ImportError) as error:
            if isinstance(error, ValueError) and "imagecodecs" not in str(error):
                raise
            if extra not in ((), (_OPACITY,)):
                raise _rare(path, page) from None
            return _by_pillow(path, page, data)
        if page.planarconfig == tifffile.PLANARCONFIG.SEPARATE and array.ndim == 3:
            array = np.moveaxis(array, 0, -1)
        if page.photometric == tifffile.PHOTOMETRIC.MINISWHITE:
            array = np.concatenate([~array[..., :1], array[..., 1:]], 2) if extra else ~array
        known = page.photometric in _GREY_OR_RGB
    array = array[..., None] if array.ndim == 2 else array
    colours = array.shape[-1] - len(extra)
    if array.dtype not in (np.uint8, np.uint16) or array.ndim != 3 or colours not in (1, 3):
        known = False
    if not known:
        raise InputError(f"photo {path} is a TIFF neither grey nor RGB; convert it to RGB first")
    opacity = [colours + n for n, one in enumerate(extra) if one == _OPACITY][:1]
    if len(extra) > len(opacity):
        words.append(LEFT_OUT)
    return color_profiles.parted(array[..., [*range(colours), *opacity]])


def _rare(path: Path | str, page: Any) -> InputError:
    return InputError(
        f"photo {path} is a TIFF of a rare layout for its compression, {page.compression.name}; "
        "save it with Deflate or without compression"
    )


def _by_pillow(
    path: Path | str, page: Any, data: bytes
) -> tuple[np.ndarray, np.ndarray | None, bool]:
    """The same, of a compression that tifffile knows by another library only.

    Of 16 bits Pillow keeps the high bytes of colours; told that the bytes lie in the other order it
    gives the low ones. It turns what it gives upright.
    """
    image: Any = Image.open(io.BytesIO(data))
    orientation = image.getexif().get(274, 1)
    if image.tag_v2.get(284, 1) != 1 or image.tag_v2.get(262) == 0:
        raise _rare(path, page)
    if page.dtype == np.uint8 and image.mode in ("L", "LA", "RGB", "RGBA"):
        array = np.asarray(image)
        array = array[..., None] if array.ndim == 2 else array
        return color_profiles.parted(exif.turned_back(array, orientation))
    if len(page.extrasamples) and image.mode != "RGBA":
        raise _rare(path, page)
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


def encoded(array: np.ndarray, profile: bytes | None, orientation: int) -> bytes:
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
