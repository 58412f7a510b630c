"""Files in and out: photos, fingerprints and results.

Pixels are uint8 [h w 3], sRGB as stored, in sensor orientation: a fingerprint belongs to the
sensor, so an EXIF orientation is never applied. Fingerprints are float32 [h w], in the unit of the
file. Sizes in messages are HxW. What a user can cause raises `types.InputError`. A file that is
written appears whole or not at all.
"""

import contextlib
import dataclasses
import io
import json
import math
import os
import secrets
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import numpy as np
from PIL import Image, ImageFile, UnidentifiedImageError

from dippas_jax import config
from dippas_jax.io import fingerprint_file
from dippas_jax.types import Fingerprint, InputError

SMALLEST = config.SMALLEST_PHOTO
"""Least height and width of a photo, pixels: below it little is left for four wavelet levels."""

_FORMATS = ("JPEG", "MPO", "PNG", "TIFF", "WEBP", "BMP")
_KINDS = {
    "1": "black and white (1-bit)",
    "L": "grey (one channel, where three are to be rebuilt)",
    "LA": "grey (one channel, where three are to be rebuilt)",
    "P": "a palette picture",
    "PA": "a palette picture",
    "F": "a floating-point picture",
    "I": "a 32-bit picture",
}
# Pillow turns a TIFF upright when it loads it; these turn it back (EXIF tag 274).
_SENSOR = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}


def reason(error: Exception) -> str:
    """What the system says of a failure, for a message."""
    return getattr(error, "strerror", None) or "not a usable path"


# ----------------------------------------------------------------------------------------- reading


def read_bytes(path: Path | str, noun: str) -> bytes:
    """The content of a file, which a message calls `noun`; `InputError` if there is none."""
    try:
        data = Path(path).read_bytes()
    except (OSError, ValueError) as error:
        raise _unreadable(path, noun, error) from None
    if not data:
        raise InputError(f"{noun} {path} is empty (0 bytes); copy or export it again")
    return data


def _unreadable(path: Path | str, noun: str, error: Exception) -> InputError:
    return InputError(
        f"{noun} {path} cannot be read ({reason(error)}); check the path and its permissions"
    )


@contextlib.contextmanager
def strict_pillow() -> Iterator[None]:
    """No grey filling of truncated files, whatever another library chose, and no warnings."""
    before, ImageFile.LOAD_TRUNCATED_IMAGES = ImageFile.LOAD_TRUNCATED_IMAGES, False
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        ImageFile.LOAD_TRUNCATED_IMAGES = before


def read_photo(path: Path | str) -> np.ndarray:
    """Read a photo of 8-bit true colour: JPEG, PNG, TIFF, WebP or BMP.

    Args:
      path: The file; its content decides the format, not its name.

    Returns:
      uint8 [h w 3], sensor orientation, at least 64x64; an opaque alpha channel is dropped.

    Raises:
      InputError: Missing, unreadable, truncated, not a photo, several frames, or not 8-bit RGB.
    """
    data = read_bytes(path, "photo")
    try:
        with strict_pillow():
            image: Image.Image = Image.open(io.BytesIO(data))
            _require_true_colour(path, image, data)
            orientation = image.getexif().get(274, 1) if image.format == "TIFF" else 1
            image.load()
            opaque = image.mode != "RGBA" and "transparency" not in image.info
            opaque = opaque or image.convert("RGBA").getextrema()[3] == (255, 255)
            if orientation in _SENSOR:
                image = image.transpose(_SENSOR[orientation])
            pixels = np.array(image.convert("RGB"))
    except InputError:
        raise
    except UnidentifiedImageError:
        raise InputError(
            f"{path} is not a photo that can be read; give an 8-bit RGB JPEG, PNG, TIFF or WebP"
        ) from None
    except Image.DecompressionBombError:
        raise InputError(
            f"photo {path} has more than {2 * (Image.MAX_IMAGE_PIXELS or 0)} pixels; crop it first"
        ) from None
    except Exception:  # decoders meet damage with OSError, SyntaxError, struct.error and others
        raise InputError(
            f"photo {path} is truncated or damaged and cannot be decoded; copy or export it again"
        ) from None
    if not opaque:
        raise InputError(
            f"photo {path} has transparent pixels, whose colours are undefined; flatten it to RGB"
        )
    return pixels


def photo_size(path: Path | str) -> tuple[int, int]:
    """Height and width of a photo from its header, in sensor orientation; `InputError` if none."""
    return _header(path)[0]


def photo_orientation(path: Path | str) -> int:
    """The EXIF orientation of a photo from its header, 1 to 8: how a viewer is to turn it."""
    return _header(path)[1]


def _header(path: Path | str) -> tuple[tuple[int, int], int]:
    try:
        with strict_pillow(), Image.open(path) as image:
            orientation = image.getexif().get(274, 1)
            orientation = orientation if orientation in _SENSOR else 1
            # Pillow gives a TIFF's size as it will be when it is turned.
            turned = image.format == "TIFF" and orientation >= 5
            size = (image.width, image.height) if turned else (image.height, image.width)
            return size, orientation
    except Exception as error:  # as in read_photo
        if getattr(error, "errno", None) is not None:  # the system's, of the path
            raise _unreadable(path, "photo", error) from None
        raise InputError(
            f"{path} is not a photo that can be read; give an 8-bit RGB JPEG, PNG, TIFF or WebP"
        ) from None


def _require_true_colour(path: Path | str, image: Image.Image, data: bytes) -> None:
    """Refuse, from the header alone, what is not one frame of 8-bit RGB of at least 64x64."""
    if image.format not in _FORMATS:
        raise InputError(
            f"photo {path} is a {image.format} file; save it as an 8-bit RGB PNG, TIFF or JPEG"
        )
    # A JPEG with a preview behind it (MPO, common in phones) is one photo: the first frame.
    frames = 1 if image.format in ("JPEG", "MPO") else getattr(image, "n_frames", 1)
    if frames > 1:
        raise InputError(f"photo {path} holds {frames} frames; save the one you mean as a PNG")
    bits = 8
    if image.format == "PNG":
        bits = data[24]  # IHDR: Pillow reduces 16-bit RGB to 8 without a word
    elif image.format == "TIFF":
        bits = max(image.tag_v2.get(258, (8,)))  # type: ignore[attr-defined]
    if bits > 8 or image.mode.startswith("I;16"):
        raise InputError(
            f"photo {path} has {max(bits, 16)} bits per channel; convert it to 8-bit RGB first"
        )
    if image.mode not in ("RGB", "RGBA", "YCbCr"):
        kind = _KINDS.get(image.mode, f"in {image.mode} colours")
        raise InputError(f"photo {path} is {kind}; convert it to 8-bit RGB first")
    if min(image.size) < SMALLEST:
        size = f"{image.height}x{image.width}"
        raise InputError(f"photo {path} of {size} pixels is too small; give one of at least 64x64")


def read_fingerprint(path: Path | str) -> np.ndarray:
    """Read a camera fingerprint's plane alone, as `read_fingerprint_file` does.

    Returns:
      float32 [h w], unit of the file.
    """
    return read_fingerprint_file(path).plane


def read_fingerprint_file(path: Path | str) -> Fingerprint:
    """Read a camera fingerprint from a .npz, .npy, .mat or .h5 file; nothing is ever unpickled.

    Args:
      path: The file; its content decides the format, not its name. One plane of real numbers, or
        several arrays of which one is the only plane or is called fingerprint, prnu or K.

    Returns:
      The plane, float32, unit of the file, and what the file says of it.

    Raises:
      InputError: Missing, damaged, pickled, not one plane of real numbers, not finite, constant, or
        at odds with its own metadata.
    """
    return fingerprint_file.decode(path, read_bytes(path, "fingerprint"))


def read_json(path: Path | str) -> Any:
    """Read a JSON file; `InputError` if it is missing or not JSON."""
    try:
        return json.loads(read_bytes(path, "file"))
    except ValueError as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"file {path} is not valid JSON; delete it or write it again") from None


def cache_compilations() -> None:
    """A second run compiles nothing; JAX_COMPILATION_CACHE_DIR chooses another place."""
    if not os.environ.get("JAX_COMPILATION_CACHE_DIR"):
        jax.config.update("jax_compilation_cache_dir", str(cache_folder()))


def cache_folder() -> Path:
    """Where what can be made or fetched again is kept."""
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "dippas_jax"


# ----------------------------------------------------------------------------------------- writing


def write_bytes(path: Path | str, data: bytes) -> None:
    """Write a file that appears whole or not at all, replacing what was there.

    Raises:
      InputError: The folder is missing or not writable, or the disk is full.
    """
    path = Path(path)
    temporary = path.with_name(f".{secrets.token_hex(8)}.tmp")
    try:
        try:
            with open(temporary, "xb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, path)
        finally:
            with contextlib.suppress(OSError):
                temporary.unlink()
    except (OSError, ValueError) as error:
        raise InputError(
            f"file {path} cannot be written ({reason(error)}); choose a folder with room that you "
            "may write to"
        ) from None


def write_json(path: Path | str, value: Any) -> None:
    """Write plain values, arrays, dataclasses and NamedTuples as JSON; nan and inf as null."""
    write_bytes(path, (json_text(value, indent=2) + "\n").encode())


def json_text(value: Any, *, indent: int | None = None) -> str:
    """The JSON that `write_json` writes; without an indent on one line."""
    return json.dumps(_plain(value), indent=indent, allow_nan=False, ensure_ascii=False)


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        value = {f.name: getattr(value, f.name) for f in dataclasses.fields(value)}
    elif hasattr(value, "_asdict"):
        value = value._asdict()
    if isinstance(value, dict):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(v) for v in value]
    if isinstance(value, np.ndarray | np.generic | jax.Array):
        return _plain(np.asarray(value).tolist())
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return str(value) if isinstance(value, Path) else value


def write_png(path: Path | str, pixels: np.ndarray) -> None:
    """Write uint8 [h w 3] as a lossless PNG: no metadata, same pixels same bytes."""
    pixels = np.asarray(pixels)
    if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[-1] != 3:
        raise ValueError(f"pixels must be uint8 [h w 3], got {pixels.dtype} {pixels.shape}")
    buffer = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(pixels)).save(buffer, "PNG")
    write_bytes(path, buffer.getvalue())


def write_fingerprint(path: Path | str, plane: np.ndarray) -> None:
    """Write float [h w] as float32 in NumPy's .npy format, as `read_fingerprint` reads it."""
    buffer = io.BytesIO()
    np.save(buffer, np.ascontiguousarray(plane, dtype=np.float32), allow_pickle=False)
    write_bytes(path, buffer.getvalue())


def write_fingerprint_file(path: Path | str, fingerprint: Fingerprint) -> None:
    """Write a fingerprint as .npz, .mat or .h5 with all that is known of it, or its plane as .npy.

    Raises:
      InputError: The path's extension is none of these, h5py is missing, or the folder is missing,
        not writable or full.
    """
    write_bytes(path, fingerprint_file.encode(path, fingerprint))


def prepare_workdir(path: Path | str) -> Path:
    """Create a folder for results, with its parents, and try that it can be written to.

    Returns:
      The absolute path.

    Raises:
      InputError: A file is in the way, or the folder cannot be created or written to.
    """
    folder = Path(path).expanduser().absolute()
    probe = folder / f".{secrets.token_hex(8)}.tmp"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe.write_bytes(b"")
        probe.unlink()
    except (OSError, ValueError) as error:
        raise InputError(
            f"folder {path} cannot be created or written to ({reason(error)}); choose another one"
        ) from None
    return folder
