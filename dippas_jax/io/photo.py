"""Photos of any kind, read so that they can be written again as they came, but for their pixels.

A photo keeps what it needs to stay the same file: kind, depth, transparency, orientation, colour
profile and JPEG tables; `photo_writer` writes it. `read_pixels` gives the pixels alone, and `size`
and `orientation` what a header tells.

Pixels are in sensor orientation, as stored: a fingerprint belongs to the sensor. What a user can
cause raises `types.InputError`, with sizes as width x height.
"""

import contextlib
import io
import re
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import UInt, UInt8
from PIL import Image, JpegImagePlugin, PngImagePlugin

from dippas_jax.io import (
    color_profiles,
    files,
    icc_profile,
    jpeg_damage,
    photo_extras,
    photo_reasons,
    png_colors,
    png_levels,
    ringing,
    tiff_file,
)
from dippas_jax.io import exif as metadata
from dippas_jax.types import InputError, OutOfReachError

PngImagePlugin.MAX_TEXT_CHUNK = 16 << 20  # bytes of a text or profile unpacked; a megabyte is met

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

_MAKE, _MODEL = 271, 272  # of EXIF
_COARSEST = 255  # step of a table that every reader of JPEGs takes
_START = 128  # bytes that tell what a file is
_EXIF = re.compile(rb"(?:Exif\0\0){0,2}(?:II\*\0|MM\0\*)")  # some write the name of a segment
_PRIMARIES_OF_SRGB = (1, 2)  # of ITU-T H.273; 2 is unspecified
_TRANSFERS_OF_SRGB = (1, 2, 6, 13)  # those of video are shown as sRGB's
_SAMPLINGS = ("4:4:4", "4:2:2", "4:2:0")
Pixels = UInt[np.ndarray, "h w 3"]
File = photo_reasons.File

BELOW = "what lay below its transparent pixels is removed"
"""Among the words of a photo in whose file that still is."""

DAMAGED = "its data is damaged"
"""The start of what is said, among the words of a photo, of damage that its decoder goes over."""

_LOSSY = ("webp", "heic")
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
      format: Of the file, one of `photo_kinds.FORMATS`.
      orientation: EXIF's, 1 to 8: how a viewer is to turn the pixels.
      icc: The colour profile of the pixels.
      exif: All EXIF there was (`exif.block`).
      xmp: Likewise.
      jpeg: Of a JPEG.
      lossless: Of a WebP.
      words: Clauses that say what had to be converted.
      colours: Chunks of a PNG that say what its colours mean (`png_colors`); of a HEIC, its codes
        for that in such a chunk.
      telling: Name of a colour profile that is not a common one, whose colours may tell a device.
      unkept: Names of what else its metadata are, which is never written.
      srgb: Whether its colours were converted to sRGB, whatever its EXIF says.
    """

    pixels: Pixels
    alpha: np.ndarray | None
    grey: bool
    format: str
    orientation: int
    icc: bytes | None
    exif: bytes
    xmp: bytes | None
    jpeg: Jpeg | None
    lossless: bool
    words: tuple[str, ...]
    colours: bytes = b""
    telling: str = ""
    unkept: tuple[str, ...] = ()
    srgb: bool = False


class Header(NamedTuple):
    """What the start of a photo's file tells.

    Attributes:
      size: Height and width in sensor orientation.
      orientation: EXIF's, 1 to 8: how a viewer is to turn the pixels.
      camera: Make and model; "" where the EXIF does not name a model.
    """

    size: tuple[int, int]
    orientation: int
    camera: str


def read(path: Path | str, *, srgb: bool = False) -> PhotoFile:
    """Read a photo: JPEG, PNG, TIFF (8 and 16 bits), WebP, BMP, and HEIC with the extra `heic`.

    Args:
      path: The file; its content decides the format, but for a RAW file's name.
      srgb: Convert the colours to sRGB by the photo's profile, if it has one.

    Raises:
      InputError: Missing, unreadable, truncated, not a photo, RAW, several frames, fewer than 64
        pixels a side, or pixels that are neither grey nor colours of 8 or 16 bits.
    """
    return from_bytes(path, files.read_bytes(path, "photo"), srgb=srgb)


def from_bytes(path: Path | str, data: bytes, *, srgb: bool = False) -> PhotoFile:
    """As `read`, of a file's content; its path is for messages, and tells RAW files."""
    tiff = data.startswith(photo_reasons.TIFF)
    quiet = files.quiet_libraries() if tiff else contextlib.nullcontext()
    with photo_reasons.reasons(path, io.BytesIO(data)), quiet:
        found = decoded(path, data, srgb=srgb)
        return found._replace(telling=icc_profile.telling_name(found.icc) if found.icc else "")


def read_pixels(path: Path | str) -> UInt8[np.ndarray, "h w 3"]:
    """Read a photo's pixels alone, with 8 bits a channel, in sensor orientation.

    Args:
      path: The file; its content decides the format.

    Returns:
      Pixels that may be written to, at least 64x64; a grey photo has three equal channels.

    Raises:
      InputError: As for `read`, or some pixels are transparent, so their colours are undefined.
    """
    return opaque(path, read(path))


def opaque(path: Path | str, photo: PhotoFile) -> UInt8[np.ndarray, "h w 3"]:
    """A photo's pixels with 8 bits a channel; `InputError` if some are transparent."""
    if photo.alpha is not None:
        raise InputError(
            f"photo {path} has transparent pixels, whose colours are undefined; flatten it to RGB"
        )
    return np.require(eight_bits(photo.pixels), requirements="W")


def size(path: Path | str) -> tuple[int, int]:
    """Height and width in sensor orientation, from the header; `InputError` if it cannot be told.

    Whether the rest can be used is seen when it is read.
    """
    return header(path).size


def usable_size(path: Path | str) -> tuple[int, int]:
    """As `size`; `InputError` as well where the photo is too small for `read`."""
    height, width = size(path)
    _require_large(path, width, height)
    return height, width


def orientation(path: Path | str) -> int:
    """The EXIF orientation, 1 to 8, from the header: how a viewer is to turn the pixels."""
    return header(path).orientation


def camera(path: Path | str) -> str:
    """Make and model of the camera, from the header; "" where the EXIF does not name a model."""
    return header(path).camera


def header(path: Path | str) -> Header:
    """What the header tells; `InputError` if it cannot be read.

    Nothing is decoded but a PNG, which may tell its orientation behind its pixels.
    """
    with files.opened(path, "photo") as file:
        return header_in(path, file)


def header_in(path: Path | str, file: File) -> Header:
    """As `header`, of an open file; its path is for messages, and tells RAW files."""
    with photo_reasons.reasons(path, file):
        image, kind = _opened(path, file)
        turn = _orientation(image)
        across = kind in _UPRIGHT and turn >= 5
        size = (image.width, image.height) if across else (image.height, image.width)
        tags = metadata.tags(image)
        make, model = (str(tags.get(tag) or "").strip("\0 ") for tag in (_MAKE, _MODEL))
    return Header(size, turn, f"{make} {model}".strip() if model else "")


# ---------------------------------------------------------------------------------------- decoding


def decoded(path: Path | str, data: bytes, *, srgb: bool = False) -> PhotoFile:
    """The photo in the bytes of a file; what a decoder raises of damage is not caught here."""
    words: list[str] = []
    converted = False
    file, kind = _opened(path, io.BytesIO(data))
    image = file  # until it is converted, and forgets what else its file holds
    bits = _require_one_photo(path, image, data)
    turn = _orientation(image)  # and a PNG is read to its end, where more may stand
    _forget_texts(image)
    exif = metadata.block(image, data)
    icc, xmp = image.info.get("icc_profile") or None, image.info.get("xmp") or None
    if image.format == "BMP":
        icc = color_profiles.of_bmp(data, words)
    words += photo_extras.left_out(image, data, xmp, srgb=srgb)
    jpeg, colours = _jpeg(image, words), _colours(image, data)
    if srgb and (told := png_colors.names(colours, profile=bool(icc))):
        words.append(f"colours told by {' and '.join(told)} cannot be converted to sRGB, and stay")
        srgb = False
    if kind == "tiff" and (bits == 16 or tiff_file.has_extra(image)):
        pixels, alpha, grey = tiff_file.read(path, data, words)
        if srgb and icc and pixels.dtype == np.uint8:
            came = color_profiles.joined(pixels, alpha, grey=grey)
            image, icc = _converted(path, came, icc, words, srgb=srgb)
            converted = image is not came
            pixels, alpha, grey = color_profiles.channels(path, image)
        elif srgb and icc:
            words.append(_PROFILE_KEPT)
    else:
        image.load()
        _forget_texts(image)  # behind the pixels of a PNG there may be more
        if kind == "tiff" and tiff_file.drops_extra(image):
            words.append(tiff_file.LEFT_OUT)
        if kind == "jpeg" and (damage := jpeg_damage.said(data)):
            words.append(f"{DAMAGED} ({damage}), and part of the picture may be wrong")
        image = png_levels.completed(image, data, words) if image.format == "PNG" else image
        image = color_profiles.without_palette(image, words)
        came = image
        image, profile = _converted(path, image, icc, words, srgb=srgb)
        converted = image is not came
        colours = colours if profile == icc else b""  # the profile was what decided
        icc = profile
        pixels, alpha, grey = color_profiles.channels(path, image)
        if kind in _UPRIGHT:
            pixels = metadata.turned_back(pixels, turn)
            alpha = alpha if alpha is None else metadata.turned_back(alpha, turn)
    if alpha is not None and alpha.min() == np.iinfo(alpha.dtype).max:
        alpha = None
    lossless = kind == "webp" and _is_lossless(data)
    return PhotoFile(
        np.ascontiguousarray(
            pixels
            if alpha is None
            else _seen(pixels, alpha, words, lossy=kind in _LOSSY and not lossless)
        ),
        alpha,
        grey,
        kind,
        turn,
        icc,
        exif,
        xmp,
        jpeg,
        lossless,
        tuple(words),
        colours,
        unkept=photo_extras.unkept(file),
        srgb=converted,
    )


def is_hidden(alpha: np.ndarray) -> np.ndarray:
    """Where a picture is transparent altogether, in 8 bits."""
    return np.rint(alpha / 257) == 0 if alpha.dtype == np.uint16 else alpha == 0


def _seen(pixels: np.ndarray, alpha: np.ndarray, words: list[str], *, lossy: bool) -> np.ndarray:
    """Pixels without what lies below transparent ones, which nobody sees: a face, for instance.

    Of a lossy format a plain colour does not come back plain, which is no picture.
    """
    hidden = is_hidden(alpha)
    below = pixels[hidden]
    if not len(below) or (below == below[0]).all():
        return pixels
    if not lossy or not ringing.is_alone(pixels, hidden):
        words.append(BELOW)
    pixels = pixels.copy()
    pixels[hidden] = np.rint(pixels[~hidden].mean(0)) if not hidden.all() else 0
    return pixels


def _converted(
    path: Path | str, image: Image.Image, icc: bytes | None, words: list[str], *, srgb: bool
) -> tuple[Image.Image, bytes | None]:
    """The photo in colours that can be written, and their profile."""
    if image.mode == "CMYK":
        return color_profiles.from_cmyk(image, icc, words), None
    if not srgb or not icc:
        return image, icc
    if image.mode in ("L", "LA") and icc_profile.is_rgb(icc):
        words.append("its profile of colours means nothing for a grey photo, and is left out")
        return image, None
    if image.mode not in ("L", "LA", "RGB", "RGBA"):
        words.append(_PROFILE_KEPT)
        return image, icc
    converted = color_profiles.to_srgb(path, image, icc)
    words.append("colours converted to sRGB")
    return converted, None


def _opened(path: Path | str, file: File) -> tuple[Image.Image, str]:
    """The photo in an open file, of which the header alone was read, and its format."""
    start = file.read(_START)
    file.seek(0)
    photo_reasons.require_developed(path, start)
    heic = start[4:8] == b"ftyp" and start[8:12] in _HEIC_BRANDS
    if heic and not photo_reasons.is_avif(start):
        return _heic(path, file), "heic"
    image = tiff_file.opened(file) if start[:4] in photo_reasons.TIFF else Image.open(file)
    _forget_texts(image)
    if image.format not in _PILLOW:
        article = "an" if str(image.format).startswith(tuple("AEIO")) else "a"
        raise InputError(
            f"photo {path} is {article} {image.format} file; give a JPEG, PNG, TIFF, WebP or HEIC"
        )
    return image, _PILLOW[image.format]


def _forget_texts(image: Image.Image) -> None:
    """What a file calls EXIF, XMP or a profile and is a text or numbers, is none.

    Pillow puts every text of a PNG beside them, under the name that the file gives it.
    """
    for name in ("exif", "xmp", "icc_profile"):
        if not isinstance(image.info.get(name, b""), bytes):
            del image.info[name]
    if isinstance(image.info.get("transparency"), str):
        del image.info["transparency"]
    if image.format == "PNG" and not _EXIF.match(image.info.get("exif", b"")):
        image.info.pop("exif", None)


def _orientation(image: Image.Image) -> int:
    """EXIF's, 1 to 8; of a HEIC it was put aside when the header was read."""
    found = image.info.get("original_orientation") or metadata.tags(image).get(274, 1)
    return found if isinstance(found, int) and found in range(1, 9) else 1


def _require_one_photo(path: Path | str, image: Image.Image, data: bytes) -> int:
    """Bits a channel; refuses what is no single photo of at least 64x64, from the header alone."""
    main = image.format in ("JPEG", "MPO", "HEIF")  # what else these hold is previews and the like
    frames = 1 if main else getattr(image, "n_frames", 1)
    if frames > 1:
        raise InputError(f"photo {path} holds {frames} frames; save the one you mean as a PNG")
    _require_large(path, image.width, image.height)
    if image.format == "PNG":
        return max(data[24], 8)
    if image.format != "TIFF":
        if photo_reasons.is_odd_bmp(data):
            raise photo_reasons.odd_bmp(path)
        return 8
    tags = image.tag_v2  # type: ignore[attr-defined]
    if 50706 in tags or tags.get(262) == 32803:
        raise photo_reasons.raw(path)  # whatever its name is
    if tags.get(254, 0) & 1:
        raise InputError(
            f"photo {path} holds a reduced picture first, as RAW files do; develop it, or save the "
            "one you mean as a PNG"
        )
    if odd := tiff_file.odd_numbers(data):
        raise InputError(photo_reasons.of_odd_numbers(path, odd))
    return max(*tags.get(258, (1,)), 8)


def _require_large(path: Path | str, width: int, height: int) -> None:
    if min(width, height) < files.SMALLEST:
        raise InputError(
            f"photo {path} of {width}x{height} pixels is too small; give one of at least 64x64"
        )


def _heic(path: Path | str, file: File) -> Image.Image:
    try:
        import pillow_heif
    except ImportError:
        raise OutOfReachError(
            f"photo {path} is a HEIC file, which needs pip install 'dippas-jax[heic]'; or export "
            "it as a JPEG"
        ) from None
    image = pillow_heif.HeifImageFile(file)
    Image._decompression_bomb_check(image.size)  # as `Image.open` does
    return image


def _colours(image: Image.Image, data: bytes) -> bytes:
    """What says the meaning of the colours beside a profile: chunks of a PNG, codes of a HEIC."""
    codes = image.info.get("nclx_profile")
    if image.format != "HEIF" or image.info.get("icc_profile") or not codes:
        return png_colors.chunks(data)
    primaries, transfer = codes["color_primaries"], codes["transfer_characteristics"]
    usual = primaries in _PRIMARIES_OF_SRGB and transfer in _TRANSFERS_OF_SRGB
    return b"" if usual else png_colors.coded(primaries, transfer)


def _jpeg(image: Image.Image, words: list[str]) -> Jpeg | None:
    if not isinstance(image, JpegImagePlugin.JpegImageFile) or image.layers not in (1, 3):
        return None
    tables = [tuple(image.quantization[layer[3]]) for layer in image.layer]
    if max(map(max, tables)) > _COARSEST:
        words.append(f"steps of its JPEG tables above {_COARSEST} are written as {_COARSEST}")
        tables = [tuple(min(step, _COARSEST) for step in table) for table in tables]
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


def eight_bits(pixels: Pixels) -> UInt8[np.ndarray, "h w 3"]:
    """The same pixels with 8 bits a channel, which is what attackers look at."""
    return pixels if pixels.dtype == np.uint8 else np.rint(pixels / 257).astype(np.uint8)
