"""Colours of any kind as grey or RGB with opacity; colour profiles."""

import io
import struct
from pathlib import Path

import numpy as np
from PIL import Image, ImageCms

from dippas_jax.types import InputError

_BMP_HEADER, _BMP_CALIBRATED = 14, 108  # where it lies, and its length from version 4 on


def parted(array: np.ndarray) -> tuple[np.ndarray, np.ndarray | None, bool]:
    """Colours [h w 3], opacity and greyness of one to four channels."""
    grey = array.shape[2] < 3
    alpha = array[..., -1] if array.shape[2] in (2, 4) else None
    colours = np.repeat(array[..., :1], 3, axis=2) if grey else array[..., :3]
    return colours, alpha, grey


def joined(colours: np.ndarray, alpha: np.ndarray | None, *, grey: bool) -> Image.Image:
    """The picture of 8 bits that `parted` took apart."""
    planes = [colours[..., :1] if grey else colours, *([] if alpha is None else [alpha[..., None]])]
    array = np.concatenate(planes, axis=2)
    return Image.fromarray(array.squeeze(2) if array.shape[2] == 1 else array)


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
