"""Colours of any kind as grey or RGB with opacity; colour profiles."""

import io
import re
import struct
from pathlib import Path

import numpy as np
from PIL import Image, ImageCms

from dippas_jax.types import InputError

# Profiles that millions of files hold; any other may name a device, its maker or its owner.
COMMON_PROFILES = {
    "srgb", "srgb iec61966-2.1", "srgb iec61966-2-1 black scaled", "srgb built-in", "srgb2014",
    "c2", "display p3", "adobe rgb (1998)", "prophoto rgb", "romm rgb", "wide gamut rgb",
    "ecirgb v2", "apple rgb", "colormatch rgb", "generic rgb profile", "generic gray profile",
    "generic gray gamma 2.2 profile", "gray gamma 2.2", "dot gain 20%", "sgray",
}  # fmt: skip


_TAGS = {
    b"A2B0", b"A2B1", b"A2B2", b"B2A0", b"B2A1", b"B2A2", b"B2D0", b"D2B0", b"bTRC", b"bXYZ",
    b"bkpt", b"chad", b"chrm", b"cicp", b"cprt", b"desc", b"dmdd", b"dmnd", b"gTRC",
    b"gXYZ", b"gamt", b"kTRC", b"lumi", b"meas", b"pre0", b"pre1", b"pre2", b"rTRC", b"rXYZ",
    b"rig0", b"tech", b"view", b"vued", b"wtpt", b"dscm",
}  # fmt: skip
"""Of profiles (ICC.1, part 9.2; dscm is Apple's: its name in other languages). Not among them is
the time of calibration."""

_WRITTEN = {b"cprt", b"dmdd", b"dmnd", b"vued"}
_USUAL = """
    adobe all and apple artifex by cc cc0 ccby ch cms color colour colours company computer
    condition consortium copyright corp corporation default desc distributed domain eastman eci
    english european facebook for free freely google hewlett http https iec iec61966 in inc
    incorporated initiative international is kodak license little littlecms microsoft no of org
    packard profile public reference reserved rgb rights software space srgb standard systems text
    the this to us use used viewing without www
"""
_WORDS = frozenset(_USUAL.split())
_BMP_HEADER, _BMP_CALIBRATED = 14, 108  # where it lies, and its length from version 4 on
"""Of texts in common profiles: they name their makers; others may name a person or a device."""

_NUMBER = re.compile(r"(?:19|20)\d\d|61966")  # years, and the standard's
_SIGNS = frozenset("acrsv0123456789")  # letters and digits that stand alone, as in (c) and 2.1
_MOST_SIGNS, _MOST_NUMBERS = 6, 4
_LONGEST, _LONGEST_TAG = 512, 4096  # characters of a text, and bytes of a tag

_DATE = slice(24, 36)
_MAKER_AND_ID = slice(80, 100)
_SOME_DATE = struct.pack(">6H", 2000, 1, 1, 0, 0, 0)


def parted(array: np.ndarray) -> tuple[np.ndarray, np.ndarray | None, bool]:
    """Colours [h w 3], opacity and greyness of one to four channels."""
    grey = array.shape[2] < 3
    alpha = array[..., -1] if array.shape[2] in (2, 4) else None
    colours = np.repeat(array[..., :1], 3, axis=2) if grey else array[..., :3]
    return colours, alpha, grey


def without_palette(image: Image.Image, words: list[str]) -> Image.Image:
    """The picture in colours or grey in place of a palette or of black and white."""
    if image.mode in ("P", "PA"):
        words.append("palette converted to colours")
        clear = image.mode == "PA" or "transparency" in image.info
        return image.convert("RGBA" if clear else "RGB")
    if image.mode == "1":
        words.append("black and white converted to grey")
        return image.convert("L")
    if image.mode in ("RGB", "L") and "transparency" in image.info:  # one colour is clear
        return image.convert("RGBA" if image.mode == "RGB" else "LA")
    if image.mode == "La":  # premultiplied
        return image.convert("LA")
    return image.convert("RGB") if image.mode == "YCbCr" else image


def channels(path: Path | str, image: Image.Image) -> tuple[np.ndarray, np.ndarray | None, bool]:
    """Colours [h w 3], opacity and greyness of a decoded picture of 8 or 16 bits."""
    if image.mode.startswith("I;16"):
        return parted(np.asarray(image).astype(np.uint16)[..., None])
    if image.mode not in ("L", "LA", "RGB", "RGBA"):
        raise InputError(f"photo {path} is in {image.mode} colours; convert it to RGB first")
    array = np.asarray(image)
    return parted(array[..., None] if array.ndim == 2 else array)


def profile_name(icc: bytes) -> str:
    """What a colour profile calls itself."""
    try:
        return ImageCms.getProfileDescription(ImageCms.ImageCmsProfile(io.BytesIO(icc))).strip()
    except (ImageCms.PyCMSError, OSError):
        return "without a name"


def telling_name(icc: bytes) -> str:
    """The name of a profile that may tell a device, its maker or its owner; "" of a common one.

    One with a common name that holds something else than colours is no common one.
    """
    name = profile_name(icc)
    return "" if name.lower() in COMMON_PROFILES and _is_all_colours(icc) else name


def _is_all_colours(icc: bytes) -> bool:
    """Whether all bytes of a profile are its header, its table and tags of the ICC's own."""
    if len(icc) < 132:
        return False
    (count,) = struct.unpack_from(">I", icc, 128)
    ends = [132 + 12 * count]
    if ends[0] > len(icc):
        return False
    tags = sorted(
        (at, size, tag) for tag, at, size in struct.iter_unpack(">4sII", icc[132 : ends[0]])
    )
    for at, size, tag in tags:
        if tag not in _TAGS or at - max(ends) > 3:
            return False
        if tag in _WRITTEN and not _is_usual(icc[at : at + size]):
            return False
        ends.append(at + size)
    return len(icc) - max(ends) <= 3


def _is_usual(data: bytes) -> bool:
    """Whether a tag holds a text, of words and numbers that common profiles have."""
    if len(data) > _LONGEST_TAG:
        return False
    try:
        text = _text(data)
    except (struct.error, UnicodeDecodeError):
        return False
    words = re.findall(r"\w+", text.lower())
    signs = [word for word in words if word in _SIGNS]
    numbers = [word for word in words if _NUMBER.fullmatch(word)]
    known = sum(word in _WORDS for word in words) + len(signs) + len(numbers) == len(words)
    few = len(signs) <= _MOST_SIGNS and len(numbers) <= _MOST_NUMBERS
    return known and few and len(text) <= _LONGEST


def _text(data: bytes) -> str:
    """All texts of a tag (ICC.1, 10.15 and 10.24, and 6.5.17 of version 2)."""
    kind, content = data[:4], data[8:]
    if kind == b"text" and b"\0" not in content.rstrip(b"\0"):
        return content.decode("latin-1").rstrip("\0")
    if kind == b"mluc":
        count, size = struct.unpack_from(">II", content)
        every = [struct.unpack_from(">4sII", content, 8 + size * n) for n in range(min(count, 99))]
        untold = bytearray(data)
        untold[: 16 + 12 * len(every)] = bytes(16 + 12 * len(every))
        for _, long, at in every:
            untold[at : at + long] = bytes(len(untold[at : at + long]))
        if not any(untold) and (count, size) == (len(every), 12):  # else some of it is in no record
            return " ".join(data[at : at + long].decode("utf-16-be") for _, long, at in every)
    if kind != b"desc":
        return "of an unknown kind"
    (count,) = struct.unpack_from(">I", content)
    plain, rest = content[4 : 4 + count], content[4 + count :]
    _, wide = struct.unpack_from(">II", rest)
    script = rest[8 + 2 * wide :].replace(b"\0", b"")[1:]  # behind its code and length
    texts = plain.decode("latin-1"), rest[8 : 8 + 2 * wide].decode("utf-16-be")
    return " ".join((*texts, script.decode("latin-1"))).replace("\0", " ")


def undated(icc: bytes) -> bytes:
    """A profile whose header does not tell when and by what it was made; colours do not change."""
    if len(icc) < 128:
        return icc
    header = bytearray(icc)
    header[_DATE] = _SOME_DATE
    header[_MAKER_AND_ID] = bytes(20)  # without an ID, which is the hash of all
    return bytes(header)


def is_grey(icc: bytes) -> bool:
    """Whether a colour profile is one of grey."""
    return icc[16:20] == b"GRAY"


def is_rgb(icc: bytes) -> bool:
    """Whether a colour profile is one of RGB."""
    return icc[16:20] == b"RGB "


def from_cmyk(image: Image.Image, icc: bytes | None, words: list[str]) -> Image.Image:
    """CMYK as sRGB, by its profile if that can be used."""
    if icc:
        try:
            converted = _converted(image, icc, "RGB")
        except (ImageCms.PyCMSError, OSError):
            pass
        else:
            words.append("CMYK converted to sRGB by its profile")
            return converted
    words.append("CMYK converted to RGB without a profile")
    return image.convert("RGB")


def to_srgb(path: Path | str, image: Image.Image, icc: bytes) -> Image.Image:
    """The picture in sRGB by its profile; `InputError` where the profile cannot be used.

    A grey picture stays grey: sRGB has no channel of its own for grey, but equal ones.
    """
    try:
        if image.mode in ("L", "LA"):
            return _grey_to_srgb(image, icc)
        return _converted(image, icc, image.mode)
    except (ImageCms.PyCMSError, OSError):
        raise InputError(
            f"photo {path} has a colour profile that cannot be used to convert it; give --icc keep "
            "or drop"
        ) from None


def _grey_to_srgb(image: Image.Image, icc: bytes) -> Image.Image:
    """A grey picture with a profile of grey in sRGB's grey levels."""
    every = Image.frombytes("L", (256, 1), bytes(range(256)))
    # Optimised, the conversion of grey is off by up to ten levels in the shadows.
    levels = _converted(every, icc, "RGB", ImageCms.Flags.NOOPTIMIZE).convert("L")
    grey = image.getchannel("L").point(list(levels.tobytes()))
    if image.mode == "LA":
        return Image.merge("LA", (grey, image.getchannel("A")))
    return grey


def _converted(
    image: Image.Image, icc: bytes, mode: str, flags: ImageCms.Flags = ImageCms.Flags.NONE
) -> Image.Image:
    source = ImageCms.ImageCmsProfile(io.BytesIO(icc))
    made = ImageCms.profileToProfile(
        image, source, ImageCms.createProfile("sRGB"), outputMode=mode, flags=flags
    )
    assert made is not None
    return made


def of_bmp(data: bytes, words: list[str]) -> bytes | None:
    """The profile in a BMP's header of version 5, which Pillow passes over."""
    (length,) = struct.unpack_from("<I", data, _BMP_HEADER)
    if length < _BMP_CALIBRATED:
        return None
    kind = data[_BMP_HEADER + 56 : _BMP_HEADER + 60]
    if kind == b"DEBM":
        at, size = struct.unpack_from("<II", data, _BMP_HEADER + 112)
        return data[_BMP_HEADER + at : _BMP_HEADER + at + size] or None
    if kind not in (b"BGRs", b" niW"):
        words.append("what its BMP header says of its colours is left out")
    return None
