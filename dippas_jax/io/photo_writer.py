"""Photos written as they came, but for their pixels; `photo_file` reads them.

A file is made from pixels. Of the original's other content only what was asked for goes along.
"""

import html
import io
import re
from typing import Any

import numpy as np
from PIL import Image

from dippas_jax.io import exif as metadata
from dippas_jax.io import files, icc_profile, photo_extras, png_colors, tiff_file
from dippas_jax.io import photo as photo_file
from dippas_jax.types import InputError

_LONGEST = 65533 - 29  # of a JPEG's segment, less the name of XMP
_MOST_XMP = 1 << 20  # bytes that are searched for what may not go along; more of it never does
_XMP_ORIENTATION = rb"(tiff:Orientation\s*(?:=\s*[\"']|>)\s*)[1-8]"
_MOST_PIXELS = {"jpeg": 65500, "webp": 16383}  # a side: libjpeg's and libwebp's own limits
_WEBP_QUALITY, _HEIC_QUALITY = 95, 90


def encode(
    photo: photo_file.PhotoFile,
    pixels: photo_file.Pixels,
    *,
    kind: str = "same",
    quality: int | None = None,
    kept: str = "strip",
    icc: bool = True,
    upright: bool = True,
) -> bytes:
    """The bytes of a file with these pixels in place of the photo's.

    Args:
      photo: As it was read.
      pixels: Of the same size and type, sensor orientation.
      kind: One of `photo_kinds.FORMATS`, or "same".
      quality: Of a JPEG, 1 to 100; None for the tables that the photo came with, or 95 and full
        sampling where it was no JPEG.
      kept: Of metadata, see `metadata.exif`.
      icc: Whether the colour profile goes along.
      upright: Turned as a viewer would, without a tag; otherwise in sensor orientation, with it.

    Raises:
      InputError: The format cannot hold the photo's transparency, its metadata or what it says of
        its colours.
    """
    require_writable(photo, kind=kind, kept=kept, icc=icc, upright=upright)
    kind = photo.format if kind == "same" else kind
    colours = photo.colours if icc else b""
    codes = png_colors.codes(colours)
    if photo.alpha is not None and pixels.shape == photo.pixels.shape:
        hidden = photo_file.is_hidden(photo.alpha)[..., None]
        pixels = np.where(hidden, photo.pixels, pixels)  # nobody sees them
    array = np.rint(pixels.mean(2, keepdims=True)).astype(pixels.dtype) if photo.grey else pixels
    if photo.alpha is not None:
        array = np.concatenate([array, photo.alpha[..., None]], axis=2)
    if upright:
        array = metadata.turned(array, photo.orientation)
    tag = 1 if upright else photo.orientation
    size = array.shape[0], array.shape[1]
    exif = _exif(photo, kept, tag, size, icc=icc)
    profile = icc_profile.rebuilt(photo.icc) if icc and photo.icc else None
    if kind == "tiff" and array.dtype == np.uint16:
        return tiff_file.encoded(array, profile, tag)
    if array.dtype == np.uint16 and not _holds_16_bits(photo, kind):
        array = np.rint(array / 257).astype(np.uint8)
    image = Image.fromarray(
        np.ascontiguousarray(array.squeeze(2) if array.shape[2] == 1 else array)
    )
    image.info.clear()
    options: dict[str, Any] = {"icc_profile": profile} if profile else {}
    if exif:
        options["exif"] = exif
    if xmp := _xmp(photo, kind, kept, tag):
        options["xmp"] = xmp
    if kind == "jpeg":
        options |= _jpeg_options(photo, quality, upright)
    elif kind == "tiff" and not exif:  # libtiff, which compresses, cannot write it
        options["compression"] = "tiff_deflate"
    elif kind == "webp":
        lossless = not is_lossy(photo, kind)
        options |= {
            "lossless": lossless,
            "quality": 100 if lossless else _WEBP_QUALITY,
            "exact": True,
        }
    buffer = io.BytesIO()
    if kind == "heic":
        if codes:
            options |= {"color_primaries": codes[0], "transfer_characteristics": codes[1]}
        _save_heic(image, buffer, options | {"quality": _HEIC_QUALITY})
    else:
        image.save(buffer, kind.upper(), **options)
    if kind == "png" and colours:
        return png_colors.inserted(buffer.getvalue(), colours, profile=bool(profile))
    return buffer.getvalue()


def require_writable(
    photo: photo_file.PhotoFile,
    *,
    kind: str = "same",
    kept: str = "strip",
    icc: bool = True,
    upright: bool = True,
) -> None:
    """Raises what `encode` would, before there are pixels to write; the arguments are its own."""
    kind = photo.format if kind == "same" else kind
    if kind == "jpeg" and photo.alpha is not None:
        raise InputError(
            "a photo with transparent pixels cannot be written as a JPEG; choose --format png"
        )
    longest = max(photo.pixels.shape[:2])
    if longest > _MOST_PIXELS.get(kind, longest):
        raise InputError(
            f"a photo of {longest} pixels a side cannot be written as {kind}, which holds "
            f"{_MOST_PIXELS[kind]} at most; choose --format png"
        )
    colours = photo.colours if icc else b""
    held = kind == "png" or (kind == "heic" and png_colors.codes(colours))
    if not held and (told := png_colors.names(colours, profile=bool(photo.icc))):
        raise InputError(
            f"a photo whose colours are told by {' and '.join(told)} can be written as a PNG only; "
            "choose --format png, or --icc drop"
        )
    if becomes_colour(photo, kind) and icc and photo.icc and icc_profile.is_grey(photo.icc):
        raise InputError(
            f"a grey photo with a profile of grey cannot be written as {kind}, which would make it "
            "one of colours; choose --format png, or --icc srgb"
        )
    tag = 1 if upright else photo.orientation
    size = photo.pixels.shape[0], photo.pixels.shape[1]
    exif = _exif(photo, kept, tag, size, icc=icc) or b""
    if kind == "jpeg" and max(len(exif), len(_xmp(photo, kind, kept, tag))) > _LONGEST:
        raise InputError(
            "a photo with this much metadata cannot be written as a JPEG; choose "
            "--metadata safe or --format png"
        )


def is_lossy(photo: photo_file.PhotoFile, kind: str) -> bool:
    """Whether a format, one of `photo_kinds.FORMATS`, changes the pixels of a photo."""
    lossless_webp = photo.lossless or photo.format != "webp"
    return kind in ("jpeg", "heic") or (kind == "webp" and not lossless_webp)


def becomes_colour(photo: photo_file.PhotoFile, kind: str) -> bool:
    """Whether a grey photo is written as colours, all equal: that format knows no other grey."""
    return photo.grey and (kind == "webp" or (kind == "heic" and photo.alpha is not None))


def reduced(photo: photo_file.PhotoFile, kind: str) -> list[str]:
    """Clauses on what of its kind of pixels a photo loses in a format ("same" for its own)."""
    kind = photo.format if kind == "same" else kind
    said = []
    if photo.pixels.dtype == np.uint16 and not _holds_16_bits(photo, kind):
        said.append("16 bits reduced to 8")
    if becomes_colour(photo, kind):
        said.append("grey is written as colours, all equal")
    return said


def _holds_16_bits(photo: photo_file.PhotoFile, kind: str) -> bool:
    return kind == "tiff" or (kind == "png" and photo.grey and photo.alpha is None)


def not_kept(photo: photo_file.PhotoFile, *, kind: str, kept: str, icc: bool = True) -> list[str]:
    """Clauses on the metadata and the profile that were asked for and cannot be written.

    Args:
      photo: As it was read.
      kind: The format written, one of `photo_kinds.FORMATS`, or "same".
      kept: Of metadata, as for `encode`.
      icc: Likewise.
    """
    kind = photo.format if kind == "same" else kind
    said = []
    if icc and photo.icc and icc_profile.rebuilt(photo.icc) is None:
        large = icc_profile.is_large(photo.icc)
        why = "larger than 4 MiB" if large else "damaged or of another kind of colours"
        said.append(f"its colour profile is {why}, and is left out")
    wide = kind == "tiff" and photo.pixels.dtype == np.uint16
    if wide and metadata.says_something(photo.exif, kept):
        said.append("a TIFF of 16 bits is written without its metadata")
    if kept == "keep" and (found := metadata.pictures(photo.exif)):
        said.append(
            f"what of its metadata holds pictures or points elsewhere ({', '.join(found)}) is left "
            "out"
        )
    if kept == "keep" and photo.xmp and not _xmp(photo, kind, kept, 1):
        pictures = len(photo.xmp) <= _MOST_XMP and _holds_pictures(photo.xmp)
        said.append(f"its XMP{', which holds pictures,' if pictures else ''} is left out")
    if kept == "keep" and photo.unkept:
        be = "is" if len(photo.unkept) == 1 else "are"
        said.append(f"its {' and '.join(photo.unkept)} {be} left out")
    return said


def _exif(
    photo: photo_file.PhotoFile, kept: str, orientation: int, size: tuple[int, int], *, icc: bool
) -> bytes | None:
    told = {"srgb": photo.srgb, "profile": icc}
    return metadata.exif(photo.exif, kept, orientation=orientation, size=size, **told)


def _xmp(photo: photo_file.PhotoFile, kind: str, kept: str, orientation: int) -> bytes:
    """The XMP to be written, of which nothing may point to what is gone."""
    xmp = photo.xmp or b""
    if kept != "keep" or kind not in ("jpeg", "webp") or len(xmp) > _MOST_XMP:
        return b""
    if _holds_pictures(xmp) or photo_extras.POINTS_ELSEWHERE.search(_plain(xmp)):
        return b""
    return re.sub(_XMP_ORIENTATION, rb"\g<1>%d" % orientation, xmp)


def _holds_pictures(xmp: bytes) -> bool:
    """Whether it does; what cannot be looked through is taken for it."""
    try:
        text = html.unescape(xmp.decode("latin-1")).encode(errors="replace")
        found = photo_extras.HOLDS_PICTURES.search(_plain(xmp)) or metadata.IN_PIECES.search(text)
        return bool(found)
    except ValueError:  # of a character with a number of thousands of digits
        return True


def _plain(xmp: bytes) -> bytes:
    """XMP as a search sees it: without spaces, and letters as letters."""
    text = html.unescape(html.unescape(xmp.decode("utf-8", "replace")))
    return b"".join(text.encode(errors="replace").split())


def decode(data: bytes, photo: photo_file.PhotoFile, *, upright: bool = True) -> photo_file.Pixels:
    """The pixels that `encode` wrote, in sensor orientation and of the photo's type."""
    with files.strict_pillow():
        found = photo_file.decoded("result", data)
    pixels = found.pixels
    if found.pixels.dtype != photo.pixels.dtype:
        wide = photo.pixels.dtype == np.uint16
        pixels = (pixels.astype(np.uint16) * 257 if wide else np.rint(pixels / 257)).astype(
            photo.pixels.dtype
        )
    return metadata.turned_back(pixels, photo.orientation) if upright else pixels


def _jpeg_options(
    photo: photo_file.PhotoFile, quality: int | None, upright: bool
) -> dict[str, Any]:
    if photo.jpeg is None:
        return {"quality": quality or 95, "subsampling": 0 if quality is None else 2}
    tables, sampling = photo.jpeg.tables, photo.jpeg.sampling
    if upright and photo.orientation >= 5:  # rows become columns, in the tables as well
        tables = tuple(tuple(np.reshape(table, (8, 8)).T.ravel().tolist()) for table in tables)
        sampling = 0 if sampling == 1 else sampling  # the other 4:2:2 cannot be written
    options: dict[str, Any] = {"progressive": photo.jpeg.progressive}
    options |= {"quality": quality} if quality else {"qtables": [list(table) for table in tables]}
    return options if photo.grey else options | {"subsampling": sampling}


def _save_heic(image: Image.Image, buffer: io.BytesIO, options: dict[str, Any]) -> None:
    import pillow_heif

    pillow_heif.from_pillow(image).save(buffer, **options)
