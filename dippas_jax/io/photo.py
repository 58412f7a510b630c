"""Photos of any kind, read so that they can be written again as they came, but for their pixels.

A photo keeps what it needs to stay the same file: kind, depth, transparency, orientation, colour
profile and JPEG tables; `photo_writer` writes it. `read_pixels` gives the pixels alone, and `size`
and `orientation` what a header tells.

Pixels are in sensor orientation, as stored: a fingerprint belongs to the sensor. What a user can
cause raises `types.InputError`, with sizes HxW.
"""

import contextlib
import io
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import UInt, UInt8
from PIL import Image, JpegImagePlugin, UnidentifiedImageError

from dippas_jax.io import color_profiles, files, png_colors, tiff16
from dippas_jax.io import exif as metadata
from dippas_jax.types import InputError

FORMATS = {"jpeg": ".jpg", "png": ".png", "tiff": ".tif", "webp": ".webp", "heic": ".heic"}
"""What can be written, and its usual extension."""

EXTENSIONS = (
    ".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".tif", ".tiff", ".webp", ".bmp",
    ".heic", ".heif", ".hif",
)  # fmt: skip
"""What a folder is searched for, any case."""

_RAW = (
    ".nef", ".nrw", ".cr2", ".cr3", ".crw", ".arw", ".srf", ".sr2", ".dng", ".raf", ".orf", ".rw2",
    ".pef", ".srw", ".x3f", ".3fr", ".iiq", ".kdc", ".dcr", ".mrw", ".erf", ".rwl", ".gpr",
)  # fmt: skip
_RAW_STARTS = (b"FUJIFILMCCD-RAW", b"IIRO", b"IIRS", b"MMOR", b"IIU\0", b"FOVb", b"\0MRM")
_HEIC_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1", b"heif")
_PILLOW = {
    "JPEG": "jpeg",
    "MPO": "jpeg",
    "PNG": "png",
    "BMP": "png",
    "TIFF": "tiff",
    "WEBP": "webp",
}
_UPRIGHT = ("tiff", "heic")
"""Formats whose decoders turn the pixels as a viewer shows them."""

_STARTS = (b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"II*\0", b"MM\0*")  # and RIFF....WEBP
POINTS_ELSEWHERE = re.compile(
    rb"MotionPhoto|MicroVideo|photos/1\.0/container|HDRGainMap|hdrgm:|HasExtendedXMP"
)
"""In XMP: names of what lies behind the picture, in other parts of its file."""

_MAKE, _MODEL = 271, 272
_LOSSLESS = (0xC3, 0xC7, 0xCB, 0xCF)
_NO_FRAMES = (0xC4, 0xC8, 0xCC)  # among the markers that begin a JPEG's frame
_SAMPLINGS = ("4:4:4", "4:2:2", "4:2:0")
Pixels = UInt[np.ndarray, "h w 3"]
File = io.BufferedReader | io.BytesIO

_PROFILE_KEPT = "colours of 16 bits cannot be converted to sRGB; the profile is kept"


class Jpeg(NamedTuple):
    """How a JPEG was compressed.

    Attributes:
      tables: Quantisation tables of 64 numbers, row by row.
      sampling: Of the colours: 0 is 4:4:4, 1 is 4:2:2, 2 is 4:2:0.
      progressive: Whether it appears in several scans.
    """

    tables: tuple[tuple[int, ...], ...]
    sampling: int
    progressive: bool


class PhotoFile(NamedTuple):
    """A photo, and what is needed to write it again.

    Attributes:
      pixels: uint8 or uint16, sensor orientation; a grey photo has three equal channels.
      alpha: Opacity [h w] of the same type; None where all is opaque.
      grey: Written as one channel.
      format: Of the file, one of `FORMATS`.
      orientation: EXIF's, 1 to 8: how a viewer is to turn the pixels.
      icc: The colour profile of the pixels.
      exif: All EXIF there was.
      xmp: Likewise.
      jpeg: Of a JPEG.
      lossless: Of a WebP.
      words: Clauses that say what had to be converted.
      colours: Of a PNG, the chunks that say what its colours mean (`png_colors`).
    """

    pixels: Pixels
    alpha: np.ndarray | None
    grey: bool
    format: str
    orientation: int
    icc: bytes | None
    exif: Image.Exif
    xmp: bytes | None
    jpeg: Jpeg | None
    lossless: bool
    words: tuple[str, ...]
    colours: bytes = b""


def read(path: Path | str, *, srgb: bool = False) -> PhotoFile:
    """Read a photo: JPEG, PNG, TIFF (8 and 16 bits), WebP, BMP, and HEIC with the extra `heic`.

    Args:
      path: The file; its content decides the format, but for a RAW file's name.
      srgb: Convert the colours to sRGB by the photo's profile, if it has one.

    Raises:
      InputError: Missing, unreadable, truncated, not a photo, RAW, several frames, fewer than 64
        pixels a side, or pixels that are neither grey nor colours of 8 or 16 bits.
    """
    data = files.read_bytes(path, "photo")
    with _reasons(path, io.BytesIO(data)):
        return decoded(path, data, srgb=srgb)


def read_pixels(path: Path | str) -> UInt8[np.ndarray, "h w 3"]:
    """Read a photo's pixels alone, with 8 bits a channel, in sensor orientation.

    Args:
      path: The file; its content decides the format.

    Returns:
      Pixels that may be written to, at least 64x64; a grey photo has three equal channels.

    Raises:
      InputError: As for `read`, or some pixels are transparent, so their colours are undefined.
    """
    photo = read(path)
    if photo.alpha is not None:
        raise InputError(
            f"photo {path} has transparent pixels, whose colours are undefined; flatten it to RGB"
        )
    return np.require(eight_bits(photo.pixels), requirements="W")


def size(path: Path | str) -> tuple[int, int]:
    """Height and width in sensor orientation, from the header; `InputError` if it cannot be told.

    Whether the rest can be used is seen when it is read.
    """
    return _header(path)[0]


def orientation(path: Path | str) -> int:
    """The EXIF orientation, 1 to 8, from the header: how a viewer is to turn the pixels."""
    return _header(path)[1]


def camera(path: Path | str) -> str:
    """Make and model of the camera, from the header; "" where the EXIF does not name a model."""
    return _header(path)[2]


def _header(path: Path | str) -> tuple[tuple[int, int], int, str]:
    """Height and width in sensor orientation, EXIF's orientation, and make and model.

    Nothing is decoded but a PNG, which may tell its orientation behind its pixels.
    """
    with files.opened(path, "photo") as file, _reasons(path, file):
        image, kind = _opened(path, file)
        turn = _orientation(image)
        across = kind in _UPRIGHT and turn >= 5
        size = (image.width, image.height) if across else (image.height, image.width)
        tags = image.getexif()
    make, model = (str(tags.get(tag) or "").strip("\0 ") for tag in (_MAKE, _MODEL))
    return size, turn, f"{make} {model}".strip() if model else ""


# ----------------------------------------------------------------------------------------- reasons


@contextlib.contextmanager
def _reasons(path: Path | str, file: File) -> Iterator[None]:
    """Says in a sentence what decoders raise in many ways: why the photo cannot be read."""
    try:
        with files.strict_pillow():
            yield
    except InputError:
        raise
    except Image.DecompressionBombError:
        raise InputError(
            f"photo {path} has more than {2 * (Image.MAX_IMAGE_PIXELS or 0)} pixels; crop it first"
        ) from None
    except Exception as error:  # noqa: BLE001 - decoders meet damage with OSError, SyntaxError, struct.error and others
        if getattr(error, "errno", None) is not None:  # the system's
            raise files.unreadable(path, "photo", error) from None
        file.seek(0)
        known = not isinstance(error, UnidentifiedImageError)
        raise InputError(_reason(path, file.read(), known=known)) from None


def _reason(path: Path | str, data: bytes, *, known: bool) -> str:
    """Why a photo, of a format that was known or not, could not be decoded."""
    if rare := _rare_jpeg(data):
        return f"photo {path} is {rare}, which few programs read; save it as a usual JPEG"
    if known:
        return (
            f"photo {path} is truncated or damaged and cannot be decoded; copy or export it again"
        )
    if data.startswith(_STARTS) or (data[:4], data[8:12]) == (b"RIFF", b"WEBP"):
        return (
            f"photo {path} is truncated or damaged near its start, or of a rare kind; save it as a "
            "usual JPEG, PNG or TIFF"
        )
    return f"{path} is not a photo that can be read; give a JPEG, PNG, TIFF, WebP or HEIC"


def _rare_jpeg(data: bytes) -> str:
    """The kind of a JPEG that few decoders know, by the header of its frame; "" of any other."""
    at = 2
    while data[:2] == b"\xff\xd8" and at + 5 <= len(data) and data[at] == 0xFF:
        marker, bits = data[at + 1], data[at + 4]
        if 0xC0 <= marker <= 0xCF and marker not in _NO_FRAMES:
            if bits != 8:
                return f"a JPEG of {bits} bits a channel"
            return "a lossless JPEG" if marker in _LOSSLESS else ""
        at += 2 + int.from_bytes(data[at + 2 : at + 4], "big")
    return ""


def _require_developed(path: Path | str, start: bytes) -> None:
    raw = Path(path).suffix.lower() in _RAW or start.startswith(_RAW_STARTS)
    if raw or start[8:10] == b"CR" or start[4:12] == b"ftypcrx ":
        raise _raw(path)


def _raw(path: Path | str) -> InputError:
    return InputError(
        f"photo {path} is a RAW file, whose pixels are not a picture yet; develop it to a TIFF or "
        "JPEG and give that"
    )


# ---------------------------------------------------------------------------------------- decoding


def decoded(path: Path | str, data: bytes, *, srgb: bool = False) -> PhotoFile:
    """The photo in the bytes of a file; what a decoder raises of damage is not caught here."""
    words: list[str] = []
    image, kind = _opened(path, io.BytesIO(data))
    bits = _require_one_photo(path, image, data)
    exif, turn = image.getexif(), _orientation(image)
    icc, xmp = image.info.get("icc_profile") or None, image.info.get("xmp") or None
    if xmp and POINTS_ELSEWHERE.search(xmp):
        words.append("what its XMP points to (a video, a gain map or a second image) is left out")
    elif image.format == "MPO":
        words.append("its second image is left out")
    jpeg, colours = _jpeg(image, words), png_colors.chunks(data)
    if srgb and not icc and (told := png_colors.names(colours)):
        words.append(f"colours told by {' and '.join(told)} cannot be converted to sRGB, and stay")
    if kind == "tiff" and bits == 16:
        pixels, alpha, grey = tiff16.read(path, data)
        if srgb and icc:
            words.append(_PROFILE_KEPT)
    else:
        image.load()
        if bits == 16 and image.mode in ("RGB", "RGBA"):
            words.append("16 bits reduced to 8")
        image = color_profiles.without_palette(_clear_level(image, data, words), words)
        image, icc = _converted(path, image, icc, words, srgb=srgb)
        pixels, alpha, grey = color_profiles.channels(path, image)
        if kind in _UPRIGHT:
            pixels = metadata.turned_back(pixels, turn)
            alpha = alpha if alpha is None else metadata.turned_back(alpha, turn)
    if (
        icc
        and (name := color_profiles.profile_name(icc)).lower() not in color_profiles.COMMON_PROFILES
    ):
        words.append(f"the colour profile {name!r} is not a common one and may name a device")
    return PhotoFile(
        np.ascontiguousarray(pixels),
        None if alpha is None or alpha.min() == np.iinfo(alpha.dtype).max else alpha,
        grey,
        kind,
        turn,
        icc,
        exif,
        xmp,
        jpeg,
        kind == "webp" and _is_lossless(data),
        tuple(words),
        colours,
    )


def _converted(
    path: Path | str, image: Image.Image, icc: bytes | None, words: list[str], *, srgb: bool
) -> tuple[Image.Image, bytes | None]:
    """The photo in colours that can be written, and their profile."""
    if image.mode == "CMYK":
        return color_profiles.from_cmyk(image, icc, words), None
    if not srgb or not icc:
        return image, icc
    if image.mode not in ("L", "LA", "RGB", "RGBA"):
        words.append(_PROFILE_KEPT)
        return image, icc
    converted = color_profiles.to_srgb(path, image, icc)
    words.append("colours converted to sRGB")
    return converted, None


def _opened(path: Path | str, file: File) -> tuple[Image.Image, str]:
    """The photo in an open file, of which the header alone was read, and its format."""
    start = file.read(32)
    file.seek(0)
    _require_developed(path, start)
    if start[4:8] == b"ftyp" and start[8:12] in _HEIC_BRANDS:
        return _heic(path, file), "heic"
    image = Image.open(file)
    if image.format not in _PILLOW:
        raise InputError(
            f"photo {path} is a {image.format} file; give a JPEG, PNG, TIFF, WebP or HEIC"
        )
    return image, _PILLOW[image.format]


def _orientation(image: Image.Image) -> int:
    """EXIF's, 1 to 8; of a HEIC it was put aside when the header was read."""
    found = image.info.get("original_orientation") or image.getexif().get(274, 1)
    return found if found in range(1, 9) else 1


def _require_one_photo(path: Path | str, image: Image.Image, data: bytes) -> int:
    """Bits a channel; refuses what is no single photo of at least 64x64, from the header alone."""
    main = image.format in ("JPEG", "MPO", "HEIF")  # what else these hold is previews and the like
    frames = 1 if main else getattr(image, "n_frames", 1)
    if frames > 1:
        raise InputError(f"photo {path} holds {frames} frames; save the one you mean as a PNG")
    if min(image.size) < files.SMALLEST:
        size = f"{image.height}x{image.width}"
        raise InputError(f"photo {path} of {size} pixels is too small; give one of at least 64x64")
    if image.format == "PNG":
        return max(data[24], 8)
    if image.format != "TIFF":
        return 8
    tags = image.tag_v2  # type: ignore[attr-defined]
    if 50706 in tags or tags.get(262) == 32803 or tags.get(254, 0) & 1:
        raise _raw(path)  # whatever its name is: sensor data, or a thumbnail before them
    bits = max(tags.get(258, (1,)))
    if bits not in (1, 8, 16) or max(tags.get(339, (1,))) > 1:
        raise InputError(
            f"photo {path} has {bits} bits a channel or other numbers than levels; convert it to 8 "
            "or 16 bits first"
        )
    return max(bits, 8)


def _heic(path: Path | str, file: File) -> Image.Image:
    try:
        import pillow_heif
    except ImportError:
        raise InputError(
            f"photo {path} is a HEIC file, which needs pip install 'dippas-jax[heic]'; or export "
            "it as a JPEG"
        ) from None
    return pillow_heif.HeifImageFile(file)


def _clear_level(image: Image.Image, data: bytes, words: list[str]) -> Image.Image:
    """A grey PNG of 1, 2 or 4 bits with its opacity.

    Of 2 and 4 bits, Pillow widens the pixels to 8 but not the level that is clear.
    """
    bits, clear = data[24], image.info.get("transparency")
    if image.format != "PNG" or image.mode not in ("1", "L") or bits >= 8 or clear is None:
        return image
    if image.mode == "1":
        words.append("black and white converted to grey")
    grey = image.convert("L")
    grey.info["transparency"] = min(clear * (255 // (2**bits - 1)), 255)
    return grey.convert("LA")


def _jpeg(image: Image.Image, words: list[str]) -> Jpeg | None:
    if not isinstance(image, JpegImagePlugin.JpegImageFile) or image.layers not in (1, 3):
        return None
    tables = [tuple(image.quantization[layer[3]]) for layer in image.layer]
    while len(tables) > 1 and tables[-1] == tables[-2]:  # the last one serves all that follow
        tables.pop()
    progressive = bool(image.info.get("progressive"))
    if image.layers == 1:
        return Jpeg(tuple(tables), 0, progressive)
    sampling = JpegImagePlugin.get_sampling(image)
    if sampling < 0:  # the nearest that loses nothing
        across, down = (image.layer[0][i] // image.layer[1][i] for i in (1, 2))
        sampling = (2 if down >= 2 else 1) if across >= 2 else 0
        if image.layer[1][1:3] != image.layer[2][1:3]:
            sampling = 0
        words.append(f"its sampling of colours is written as {_SAMPLINGS[sampling]}")
    return Jpeg(tuple(tables), sampling, progressive)


def _is_lossless(data: bytes) -> bool:
    """Whether the picture's chunk of a WebP, which others may precede, is the lossless one."""
    at = 12
    while at + 8 <= len(data):
        if data[at : at + 4] in (b"VP8L", b"VP8 "):
            return data[at : at + 4] == b"VP8L"
        at += 8 + (int.from_bytes(data[at + 4 : at + 8], "little") + 1) // 2 * 2
    return False


# ---------------------------------------------------------------------------------- from the start


def kind_of(path: Path | str) -> str:
    """The format in which a photo is written as "same", by its first bytes; "jpeg" in doubt."""
    try:
        with open(path, "rb") as file:
            start = file.read(16)
    except OSError:
        start = b""
    if start[4:8] == b"ftyp":
        return "heic"
    if start[:4] in (b"II*\0", b"MM\0*"):
        return "tiff"
    if start[:4] == b"RIFF":
        return "webp"
    return "png" if start[:4] == b"\x89PNG" or start[:2] == b"BM" else "jpeg"


def suits(extension: str, kind: str) -> bool:
    """Whether a file of that format may have the extension."""
    others = {"jpeg": (".jpeg", ".jpe", ".jfif"), "tiff": (".tiff",), "heic": (".heif", ".hif")}
    return extension.lower() in (FORMATS[kind], *others.get(kind, ()))


def eight_bits(pixels: Pixels) -> UInt8[np.ndarray, "h w 3"]:
    """The same pixels with 8 bits a channel, which is what attackers look at."""
    return pixels if pixels.dtype == np.uint8 else np.rint(pixels / 257).astype(np.uint8)
