"""Files in and out: fingerprints and results; `photo` reads photos.

Fingerprints are float32 [h w], in the unit of the file. What a user can cause raises
`types.InputError`. A file that is written appears whole or not at all.
"""

import contextlib
import dataclasses
import io
import json
import logging
import math
import os
import secrets
import stat
import threading
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageFile

from dippas_jax import config
from dippas_jax.io import fingerprint_file
from dippas_jax.types import Fingerprint, InputError, ShortageError

# Decoders log what is odd about a photo, which without a handler is printed on stderr.
for _name in ("PIL", "tifffile"):
    logging.getLogger(_name).addHandler(logging.NullHandler())

SMALLEST = config.SMALLEST_PHOTO
"""Least height and width of a photo, pixels: below it little is left for four wavelet levels."""

LARGEST = 2 << 30
"""Bytes of a file that is read as a whole."""

_STDERR = threading.Lock()


def reason(error: Exception) -> str:
    """What the system says of a failure, for a message."""
    return getattr(error, "strerror", None) or "not a usable path"


# ----------------------------------------------------------------------------------------- reading


@contextlib.contextmanager
def opened(path: Path | str, noun: str) -> Iterator[io.BufferedReader]:
    """A file to read from, which a message calls `noun`.

    Raises:
      InputError: There is none, it is empty, no file, or the system cannot read it.
    """
    try:
        require_file(path, noun)
        with open(path, "rb") as file:
            if not file.peek(1):
                raise InputError(f"{noun} {path} is empty (0 bytes); copy or export it again")
            yield file
    except InputError:
        raise
    except (OSError, ValueError) as error:
        raise unreadable(path, noun, error) from None


def require_file(path: Path | str, noun: str) -> None:
    """`InputError` for a pipe, a device or a socket: to read from one may never end."""
    mode = os.stat(path).st_mode
    if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):  # the system refuses a folder itself
        raise InputError(
            f"{noun} {path} is no file but a pipe, a device or a socket; copy it to a file first"
        )


def unreadable(path: Path | str, noun: str, error: Exception) -> InputError:
    """The system's reason for not giving the content of a file."""
    return InputError(
        f"{noun} {path} cannot be read ({reason(error)}); check the path and its permissions"
    )


def too_large(path: Path | str, noun: str, size: int) -> InputError:
    """Of a file that no photo, fingerprint or report can be."""
    return InputError(
        f"{noun} {path} has {size / 2**30:.1f} GiB, and {LARGEST >> 30} GiB are the most; give "
        "another file"
    )


def read_bytes(path: Path | str, noun: str) -> bytes:
    """The content of a file, which a message calls `noun`; `InputError` if there is none."""
    with opened(path, noun) as file:
        size = os.fstat(file.fileno()).st_size
        if size > LARGEST:
            raise too_large(path, noun, size)
        try:
            return file.read()
        except MemoryError:
            raise ShortageError(
                f"{noun} {path} of {size / 2**30:.1f} GiB does not fit into the memory that is "
                "left; end other programs, or give another file"
            ) from None


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


@contextlib.contextmanager
def quiet_libraries() -> Iterator[None]:
    """Nothing on stderr from libraries in C; one at a time, since stderr is the whole program's.

    libtiff prints what it finds wrong with a file, whatever Pillow makes of it.
    """
    with _STDERR:
        try:
            kept, nothing = os.dup(2), os.open(os.devnull, os.O_WRONLY)
        except OSError:  # there is no stderr
            yield
            return
        try:
            os.dup2(nothing, 2)
            yield
        finally:
            os.dup2(kept, 2)
            os.close(kept)
            os.close(nothing)


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
    except (ValueError, RecursionError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"file {path} is not valid JSON; delete it or write it again") from None


def cache_compilations() -> None:
    """A second run compiles nothing; JAX_COMPILATION_CACHE_DIR chooses another place."""
    from dippas_jax.io import program_cache  # imports JAX

    chosen = os.environ.get("JAX_COMPILATION_CACHE_DIR", "")
    if "://" not in chosen:  # a bucket is JAX's to reach, and its owner's to guard
        program_cache.use(Path(chosen) if chosen else cache_folder())


def cache_folder() -> Path:
    """Where what can be made or fetched again is kept; without a home, where nothing can be."""
    try:
        chosen = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser()
    except RuntimeError:
        chosen = Path(os.devnull)
    return chosen / "dippas_jax"


# ----------------------------------------------------------------------------------------- writing


def write_bytes(path: Path | str, data: bytes, *, mode: int = 0o666) -> None:
    """Write a file that appears whole or not at all, replacing what was there.

    Args:
      path: Of the file.
      data: Its content.
      mode: What may be permitted of that which the user's mask leaves.

    Raises:
      InputError: The folder is missing or not writable, or the disk is full.
    """
    path = Path(path)
    if os.path.exists(path) and not os.path.isfile(path):
        raise InputError(f"{path} is no file and cannot be replaced by one; choose another name")
    temporary = path.with_name(f".{secrets.token_hex(8)}.tmp")
    try:
        try:
            unnamed = _unnamed(path.parent)
            with unnamed or open(temporary, "xb") as file:
                _permit(file.fileno(), mode)
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
                if unnamed and _named(unnamed, path):
                    return
                if unnamed:
                    _named(unnamed, temporary)
            os.replace(temporary, path)
        finally:
            with contextlib.suppress(OSError):
                temporary.unlink()
    except (OSError, ValueError) as error:
        raise unwritable(path, error) from None


def _permit(file: int, mode: int) -> None:
    """No more than `mode`; some file systems have no permissions, and refuse to change any."""
    now = stat.S_IMODE(os.fstat(file).st_mode)
    if now & ~mode and hasattr(os, "fchmod"):
        with contextlib.suppress(OSError):
            os.fchmod(file, now & mode)


def _unnamed(folder: Path) -> io.BufferedWriter | None:
    """A new file that is gone when its process is killed; None where the system has no such."""
    flag = getattr(os, "O_TMPFILE", None)
    if flag is None or not os.path.isdir("/proc/self/fd"):
        return None
    try:
        return open(os.open(folder, flag | os.O_WRONLY, 0o666), "wb")
    except OSError:  # the file system has none, or the reason is told when one with a name fails
        return None


def _named(file: io.BufferedWriter, path: Path) -> bool:
    """Gives such a file a name; False if there is a file of that name."""
    number = file.fileno()
    try:
        os.link(f"/proc/self/fd/{number}", path, src_dir_fd=number)  # else links are not followed
    except FileExistsError:
        return False
    return True


def unwritable(path: Path | str, error: Exception) -> InputError:
    """The system's reason for not writing a file."""
    return InputError(
        f"file {path} cannot be written ({reason(error)}); choose a folder with room that you may "
        "write to"
    )


def write_json(path: Path | str, value: Any) -> None:
    """Write plain values, arrays, dataclasses and NamedTuples as JSON; nan and inf as null."""
    write_bytes(path, json_bytes(value))


def json_bytes(value: Any) -> bytes:
    """The content of such a file; of a name that is not UTF-8 the odd bytes stand as escapes."""
    return (json_text(value, indent=2) + "\n").encode(errors="backslashreplace")


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
    if hasattr(value, "__array__"):  # of NumPy or JAX, which a process that reads photos lacks
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
    try:
        folder = Path(path).expanduser().absolute()
        probe = folder / f".{secrets.token_hex(8)}.tmp"
        folder.mkdir(parents=True, exist_ok=True)
        if unnamed := _unnamed(folder):
            unnamed.close()
        else:
            probe.write_bytes(b"")
            probe.unlink()
    except (OSError, ValueError, RuntimeError) as error:  # the last of a home that is not known
        raise InputError(
            f"folder {path} cannot be created or written to ({reason(error)}); choose another one"
        ) from None
    return folder
