"""Why a photo cannot be read, in a sentence that names what is written in its file.

Decoders meet what they cannot use with errors of many kinds; `reasons` looks at the file once and
says what it is: cut off, of another kind by its first bytes, of a rare kind, or sensor data.
"""

import codecs
import contextlib
import io
import struct
from collections.abc import Iterator
from pathlib import Path

from PIL import Image, UnidentifiedImageError

from dippas_jax.io import files, tiff_file
from dippas_jax.types import InputError

File = io.BufferedReader | io.BytesIO
TIFF = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
"""How TIFFs begin; by the last two those of more than 4 GiB."""

_STARTS = (b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", *TIFF)  # and RIFF....WEBP
_RAW = (
    ".nef", ".nrw", ".cr2", ".cr3", ".crw", ".arw", ".srf", ".sr2", ".dng", ".raf", ".orf", ".rw2",
    ".pef", ".srw", ".x3f", ".3fr", ".iiq", ".kdc", ".dcr", ".mrw", ".erf", ".rwl", ".gpr",
)  # fmt: skip
_RAW_STARTS = (b"FUJIFILMCCD-RAW", b"IIRO", b"IIRS", b"MMOR", b"IIU\0", b"FOVb", b"\0MRM")
_OTHERS = {
    b"%PDF": "PDF", b"8BPS": "PSD", b"\xff\x0a": "JPEG XL", b"\0\0\0\x0cJXL ": "JPEG XL",
    b"\0\0\0\x0cjP  ": "JPEG2000", b"\xff\x4f\xff\x51": "JPEG2000", b"II\xbc\1": "JPEG XR",
    b"v/1\1": "OpenEXR", b"#?RADIANCE": "Radiance HDR", b"gimp xcf": "GIMP", b"BPG\xfb": "BPG",
    b"GIF8": "GIF", b"P7\n": "PAM", b"SDPX": "DPX", b"XPDS": "DPX", b"SIMPLE  =": "FITS",
    b"\x1aE\xdf\xa3": "Matroska or WebM", b"OggS": "Ogg", b"PK\3\4": "ZIP", b"7z\xbc\xaf": "7-Zip",
    b"\x1f\x8b": "gzip", b"Rar!": "RAR", b"\0\0\1\0": "ICO", b"qoif": "QOI", b"AT&TFORM": "DjVu",
    b"\x93NUMPY": "NumPy", b"\x89HDF": "HDF5", b"MATLAB 5": "MATLAB",
}  # fmt: skip
_BRANDS = {b"avif": "AVIF", b"avis": "AVIF", b"qt  ": "QuickTime", b"jxl ": "JPEG XL"}
_OF_ANY_CODING = (b"mif1", b"msf1")
_HEVC = {b"heic", b"heix", b"hevc", b"hevx", b"heim", b"heis"}
_RIFF = {b"AVI ": "AVI", b"WAVE": "WAVE"}
_TEXTS = {b"<svg": "SVG", b"<html": "HTML", b"<!doctype html": "HTML", b"<?xml": "XML"}
"""Files by their magic numbers, and by the brand behind "ftyp": what a message calls them."""

_BMP_MASKS, _BMP_WITH_OPACITY = 70, 56  # bytes to the end of the masks; of such a header
_LOSSLESS = (0xC3, 0xC7, 0xCB, 0xCF)
_OTHER_JPEGS = {0xF7: "a JPEG-LS"} | dict.fromkeys(
    (0xC5, 0xC6, 0xCD, 0xCE, 0xDE), "a hierarchical JPEG"
)
_NO_FRAMES = (0xC4, 0xC8, 0xCC)  # among the markers that begin a JPEG's frame


@contextlib.contextmanager
def reasons(path: Path | str, file: File) -> Iterator[None]:
    """Says in a sentence what decoders raise in many ways: why the photo cannot be read."""
    try:
        with files.strict_pillow():
            yield
    except InputError:
        raise
    except MemoryError:
        raise too_much(path) from None
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


def too_much(path: Path | str) -> InputError:
    """A photo that the memory does not suffice for."""
    return InputError(
        f"photo {path} takes more memory to decode than there is for it; crop it, or leave it out: "
        "it may be damaged or made to do harm"
    )


def _reason(path: Path | str, data: bytes, *, known: bool) -> str:
    """Why a photo, of a format that was known or not, could not be decoded."""
    if odd := tiff_file.odd_numbers(data) if data.startswith(TIFF) else "":
        return of_odd_numbers(path, odd)
    if rare := tiff_file.rare_compression(data) if data.startswith(TIFF) else "":
        return (
            f"photo {path} is a TIFF compressed by {rare}, which cannot be read here; save it with "
            "Deflate or without compression"
        )
    if data.startswith(TIFF) and tiff_file.subsampled(data):
        return (
            f"photo {path} is a TIFF of YCbCr without compression, its colours coarser than its "
            "brightness, which few programs read; save it as a usual TIFF of RGB"
        )
    if rare := _rare_jpeg(data):
        return f"photo {path} is {rare}, which few programs read; save it as a usual JPEG"
    if is_odd_bmp(data):
        return str(odd_bmp(path))
    if known or _lacks_directory(data):
        return (
            f"photo {path} is truncated or damaged and cannot be decoded; copy or export it again"
        )
    if kind := tiff_file.rare(data) if data.startswith(TIFF) else "":
        if kind == tiff_file.RAW:
            return str(raw(path))
        return f"photo {path} is a TIFF of a rare kind ({kind}); save it as a usual TIFF of RGB"
    if data.startswith(_STARTS) or (data[:4], data[8:12]) == (b"RIFF", b"WEBP"):
        return (
            f"photo {path} is truncated or damaged near its start, or of a rare kind; save it as a "
            "usual JPEG, PNG or TIFF"
        )
    kind = _other_kind(data)
    known_as = f" (its content is {kind})" if kind else ""
    return f"{path} is not a photo that can be read{known_as}; give a JPEG, PNG, TIFF, WebP or HEIC"


def is_avif(data: bytes) -> bool:
    """Whether a file is AVIF by its brands: the first may be that of pictures of any coding."""
    if data[4:8] != b"ftyp":
        return False
    size = min(int.from_bytes(data[:4]), len(data))
    others = {data[at : at + 4] for at in range(16, size - 3, 4)}
    return data[8:12] in _OF_ANY_CODING and b"avif" in others and not others & _HEVC


def of_odd_numbers(path: Path | str, odd: str) -> str:
    """Of a TIFF that holds other numbers than levels (`tiff_file.odd_numbers`)."""
    return f"photo {path} is a TIFF of {odd} a channel; convert it to 8 or 16 bits a channel first"


def _other_kind(data: bytes) -> str:
    """What a file is that no decoder knew, by its first bytes; "" where they do not say."""
    if is_avif(data):
        return "AVIF"
    if data[4:8] == b"ftyp":
        return _BRANDS.get(data[8:12], "MP4")
    if data[:4] == b"RIFF":
        return _RIFF.get(data[8:12], "RIFF")
    if kind := next((kind for start, kind in _OTHERS.items() if data.startswith(start)), ""):
        return kind
    head = data[:512]
    if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "text"
    try:
        codecs.getincrementaldecoder("utf-8")().decode(head)  # may end within a letter
    except UnicodeDecodeError:
        return ""
    if b"\0" in head:
        return ""
    return next((name for tag, name in _TEXTS.items() if tag in head.lower()), "text")


def odd_bmp(path: Path | str) -> InputError:
    """A BMP of `is_odd_bmp`."""
    return InputError(
        f"photo {path} is a BMP of 16 bits with transparency, which few programs read; save it as "
        "a PNG"
    )


def is_odd_bmp(data: bytes) -> bool:
    """Whether a BMP has 16 bits a pixel of which some are opacity: Pillow passes over that."""
    if data[:2] != b"BM" or len(data) < _BMP_MASKS:
        return False
    length, bits, packed, opacity = struct.unpack_from("<14xI10xHI32xI", data)
    return length >= _BMP_WITH_OPACITY and (bits, packed) == (16, 3) and opacity > 0


def _lacks_directory(data: bytes) -> bool:
    """Whether the directory of a TIFF lies behind the end of its data, in part at least."""
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(data[:4])
    if order is None or len(data) < 8:
        return False
    (at,) = struct.unpack_from(f"{order}I", data, 4)
    if at + 2 > len(data):
        return True
    (entries,) = struct.unpack_from(f"{order}H", data, at)
    return at + 2 + 12 * entries > len(data)


def _rare_jpeg(data: bytes) -> str:
    """The kind of a JPEG that few decoders know, by the header of its frame; "" of any other."""
    at = 2
    while data[:2] == b"\xff\xd8" and at + 5 <= len(data) and data[at] == 0xFF:
        marker, bits = data[at + 1], data[at + 4]
        if marker in _OTHER_JPEGS:
            return _OTHER_JPEGS[marker]
        if 0xC0 <= marker <= 0xCF and marker not in _NO_FRAMES:
            if bits != 8:
                return f"a JPEG of {bits} bits a channel"
            return "a lossless JPEG" if marker in _LOSSLESS else ""
        at += 2 + int.from_bytes(data[at + 2 : at + 4], "big")
    return ""


def require_developed(path: Path | str, start: bytes) -> None:
    """`InputError` for a RAW file, by its name or its first 32 bytes."""
    known = named_raw(path) or start.startswith(_RAW_STARTS)
    canon = start.startswith(TIFF) and start[8:10] == b"CR"
    if known or canon or start[4:12] == b"ftypcrx ":
        raise raw(path)


def raw(path: Path | str) -> InputError:
    """A photo that is sensor data."""
    return InputError(
        f"photo {path} is a RAW file, whose pixels are not a picture yet; develop it to a TIFF or "
        "JPEG and give that"
    )


def named_raw(path: Path | str) -> bool:
    """Whether a file has the name of a RAW file."""
    return Path(path).suffix.lower() in _RAW
