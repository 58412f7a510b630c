"""Fingerprint files as bytes: .npz, .npy, .mat and .h5. Nothing here opens a file, `store` does.

A file holds named arrays, the same in every format: the plane, float32 [h w], and beside it what a
`types.Fingerprint` knows of it (docs/formats.md). A foreign file needs no more than its plane.
Nothing is ever unpickled, and no file can make another one be opened. Sizes in messages are HxW;
what a user can cause raises `types.InputError`.
"""

import hashlib
import io
import math
import warnings
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from dippas_jax.io import fingerprint_checks, mat5
from dippas_jax.types import Fingerprint, InputError, OutOfReachError

FORMAT = "dippas fingerprint 1"
"""The entry `format` of a file with metadata."""

NAMES = ("fingerprint", "prnu", "k")
"""Names under which a fingerprint is looked for in a file of several arrays, any case."""

EXTENSIONS = (".npz", ".npy", ".mat", ".h5", ".hdf5")

_USER_BLOCK = b"MATLAB 7.3"  # an HDF5 file with 512 bytes of MATLAB's in front
_PICTURES = {
    b"\x89PNG": "PNG", b"\xff\xd8\xff\xe0": "JPEG", b"\xff\xd8\xff\xe1": "JPEG", b"II*\0": "TIFF",
    b"MM\0*": "TIFF", b"RIFF": "WebP",
}  # fmt: skip
_NO_H5PY = "needs h5py; install dippas-jax[h5]"


def new(
    plane: Float[np.ndarray, "h w"],
    *,
    unit: str = "",
    photo: tuple[int, int] | None = None,
    offset: tuple[int, int] = (0, 0),
    orientation: str = "",
    photos: int = 0,
    extractor: str = "",
    sigma: float = math.nan,
    reliability: float = math.nan,
) -> Fingerprint:
    """A plane with what is known of it; what is not given is unknown.

    Args:
      plane: K, any float type.
      unit: What a value of 1 means, in words.
      photo: Height and width of the whole photos it belongs to; the plane's where nothing is known.
      offset: Row and column of the plane's corner in such a photo.
      orientation: "sensor".
      photos: Number of flat-field photos behind it.
      extractor: Of the residuals, in words.
      sigma: Standard deviation of the noise that the extractor looks for, grey levels.
      reliability: Correlation of the estimates from two halves of the photos.
    """
    plane = np.ascontiguousarray(plane, dtype=np.float32)
    height, width = plane.shape
    return Fingerprint(
        plane,
        unit,
        photo or (height, width),
        offset,
        orientation,
        photos,
        extractor,
        sigma,
        reliability,
        sha256(plane),
    )


def sha256(plane: np.ndarray) -> str:
    """Hash of a plane's values as float32, little-endian, row by row; hexadecimal."""
    return hashlib.sha256(np.ascontiguousarray(plane, dtype="<f4").tobytes()).hexdigest()


# ----------------------------------------------------------------------------------------- reading


def decode(path: Path | str, data: bytes) -> Fingerprint:
    """The fingerprint in the bytes of a file, whose first ones tell the format.

    Args:
      path: The file's, for messages.
      data: What it holds: one plane of real numbers, or several arrays of which one is the only
        plane or is called fingerprint, prnu or K.

    Raises:
      InputError: Damaged, pickled, not one plane of real numbers, not finite, no fingerprint
        (`fingerprint_checks`), or its metadata contradict it.
    """
    try:
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")  # files written by Python 2, repeated MATLAB names
            arrays = _arrays(path, data)
            plane = np.ascontiguousarray(_choose_plane(path, arrays), dtype=np.float32)
    except InputError:
        raise
    except Exception:  # noqa: BLE001 - the parsers meet damage with ValueError, zlib.error, IndexError and others
        if picture := next((name for start, name in _PICTURES.items() if data[:4] == start), ""):
            raise InputError(
                f"fingerprint {path} is a {picture} picture, which cannot hold one; give a file of "
                "dippas fingerprint build, or .npy, .mat or .h5"
            ) from None
        raise InputError(
            f"fingerprint {path} is damaged or no .npy, .npz, .mat or .h5 file; save it again as "
            ".npy"
        ) from None
    bad = plane.size - int(np.isfinite(plane).sum())
    if bad:
        raise InputError(
            f"fingerprint {path} holds {bad} values that are nan or infinite in float32; "
            "estimate it again"
        )
    if plane.min() == plane.max():
        raise InputError(
            f"fingerprint {path} is constant ({plane.flat[0]:g} everywhere); estimate it again"
        )
    known = {"format", "sha256"} & arrays.keys()
    found = _with_metadata(path, plane, arrays) if known else new(plane)
    usable = fingerprint_checks.checked(path, found.plane)
    if usable.plane is found.plane:
        return found
    return found._replace(**usable._asdict(), sha256=sha256(usable.plane))


def _arrays(path: Path | str, data: bytes) -> dict[str, Any]:
    """The arrays in a file, recognised by its first bytes; those of Python objects are refused."""
    if data.startswith(np.lib.format.MAGIC_PREFIX) or zipfile.is_zipfile(io.BytesIO(data)):
        try:
            if not data.startswith(np.lib.format.MAGIC_PREFIX):
                with zipfile.ZipFile(io.BytesIO(data)) as archive:
                    size = sum(entry.file_size for entry in archive.infolist())
                if size > mat5.MOST_PACKED * len(data):
                    raise InputError(
                        f"fingerprint {path} of {len(data) / 2**20:.1f} MiB unpacks to "
                        f"{size / 2**20:.0f} MiB, which no noise does; estimate it again"
                    )
            loaded = np.load(io.BytesIO(data), allow_pickle=False)
            return {"": loaded} if isinstance(loaded, np.ndarray) else dict(loaded)
        except ValueError as error:
            if "allow_pickle" not in str(error):
                raise
            raise InputError(
                f"fingerprint {path} holds pickled Python objects, which are never loaded; "
                "save it as a plain array of numbers"
            ) from None
    if data.startswith(_USER_BLOCK) or data.startswith(b"\x89HDF"):
        return _hdf5_arrays(path, data)
    if not data.startswith(mat5.MAGIC):
        raise ValueError("unknown format")
    return mat5.arrays(data)


def _hdf5_arrays(path: Path | str, data: bytes) -> dict[str, Any]:
    """The arrays at the root of an HDF5 file; what lies behind links and in groups is left out."""
    try:
        import h5py
    except ImportError:
        raise OutOfReachError(
            f"fingerprint {path} is an HDF5 (MATLAB 7.3) file, which {_NO_H5PY}, or save it with "
            "save(..., '-v7') or as .npy"
        ) from None
    arrays, left = {}, mat5.MOST_PACKED * len(data)
    with h5py.File(io.BytesIO(data), "r") as file:
        for name in file:
            # Links, virtual and external storage would have other files opened.
            if not isinstance(file.get(name, getlink=True), h5py.HardLink):
                continue
            entry = file[name]
            if not isinstance(entry, h5py.Dataset) or entry.is_virtual or entry.external:
                continue
            # Values that lie elsewhere in the file, such as text of any length, are what the HDF5
            # library loses itself in when the file is damaged.
            size = entry.size * entry.dtype.itemsize if entry.dtype.kind in "biufcS" else 0
            if not 0 < size <= left:
                continue
            left -= size
            array = np.asarray(entry[()])
            if array.dtype.kind == "S":
                array = np.char.decode(array, "utf-8")
            # MATLAB's arrays lie column by column, and its text is numbers.
            if (
                "MATLAB_class" in entry.attrs
                and entry.attrs.get_id("MATLAB_class").dtype.kind == "S"
            ):
                array = array.T
                if entry.attrs["MATLAB_class"] == b"char":
                    array = np.array("".join(map(chr, array.flat)))
            arrays[name] = array
    return arrays


def _choose_plane(path: Path | str, arrays: Mapping[str, Any]) -> np.ndarray:
    planes = {
        name: array
        for name, array in arrays.items()
        if isinstance(array, np.ndarray)
        and (np.issubdtype(array.dtype, np.floating) or np.issubdtype(array.dtype, np.integer))
        and array.ndim == 2
        and min(array.shape) > 1  # MATLAB's scalars and vectors are 2-D as well
    }
    named = [name for name in planes if name.lower() in NAMES]
    sizes = {plane.shape for plane in planes.values()}
    for name, array in arrays.items() if not named else ():
        channels = isinstance(array, np.ndarray) and array.ndim == 3 and array.dtype.kind in "fiu"
        if channels and (name.lower() in NAMES or array.shape[:2] in sizes):
            raise InputError(
                f"fingerprint {path} holds {name or 'an array'} of shape {array.shape}, which is "
                "no plane; save one plane, of all channels together"
            )
    chosen = named if len(named) == 1 else list(planes)
    if len(chosen) == 1:
        return planes[chosen[0]]
    if planes:
        raise InputError(
            f"fingerprint {path} holds {len(planes)} planes ({', '.join(sorted(planes))}); "
            "keep one, or call one of them fingerprint"
        )
    came = ", ".join(
        f"{getattr(a, 'dtype', 'object')} {'x'.join(map(str, np.shape(a)))}".strip()
        for a in arrays.values()
    )
    raise InputError(
        f"fingerprint {path} holds no plane of real numbers ({came or 'no array at all'}); "
        "save one 2-D array, height by width"
    )


def _with_metadata(path: Path | str, plane: np.ndarray, arrays: Mapping[str, Any]) -> Fingerprint:
    """The fingerprint of a file that has the entry `format`."""
    try:
        version = _text(arrays["format"])
        if version != FORMAT:
            raise InputError(
                f"fingerprint {path} has the format {version[:40]!a}, this program knows "
                f'"{FORMAT}"; take a newer dippas_jax, or save the plane alone as .npy'
            )
        known = new(
            plane,
            unit=_text(arrays["unit"]),
            photo=_pair(arrays["photo"]),
            offset=_pair(arrays["offset"]),
            orientation=_text(arrays["orientation"]),
            photos=int(_scalar(arrays["photos"])),
            extractor=_text(arrays["extractor"]),
            sigma=float(_scalar(arrays["sigma"])),
            reliability=float(_scalar(arrays["reliability"])),
        )
        stated = _text(arrays["sha256"])
    except InputError:
        raise
    except Exception:  # noqa: BLE001 - what an entry of another kind than expected gives
        raise InputError(
            f"fingerprint {path} has metadata that are incomplete or of the wrong kind; write it "
            "again, or save the plane alone as .npy"
        ) from None
    if known.sha256 != stated:
        raise InputError(
            f"fingerprint {path} does not match its own hash, so its values were changed or "
            "damaged; copy it or build it again"
        )
    (height, width), (top, left) = known.photo, known.offset
    rows, columns = plane.shape
    if min(top, left) < 0 or top + rows > height or left + columns > width or known.photos < 0:
        raise InputError(
            f"fingerprint {path} says that its {columns}x{rows} plane lies at ({top}, {left}) of "
            f"{known.photos} photos of {width}x{height}, which cannot be; build it again"
        )
    return known


def _scalar(array: Any) -> Any:
    return np.asarray(array).item()


def _text(array: Any) -> str:
    array = np.asarray(array)
    if array.dtype.kind not in "UOT" and array.size:
        raise TypeError("not text")
    return str(array.item()) if array.size else ""  # MATLAB's empty text has no element


def _pair(array: Any) -> tuple[int, int]:
    first, second = np.asarray(array).ravel()
    return int(first), int(second)


# ----------------------------------------------------------------------------------------- writing


def encode(path: Path | str, fingerprint: Fingerprint) -> bytes:
    """The bytes of a file of the kind that the path's extension names.

    The hash is that of the plane, whatever the field says. A .npy file holds the plane alone.

    Raises:
      InputError: No such kind, or h5py is missing.
    """
    kind = require_writable(path)
    buffer = io.BytesIO()
    plane = np.ascontiguousarray(fingerprint.plane, dtype=np.float32)
    if kind == ".npy":
        np.save(buffer, plane, allow_pickle=False)
        return buffer.getvalue()
    entries = {"format": FORMAT, **fingerprint._asdict(), "sha256": sha256(plane)}
    del entries["plane"], entries["mean"], entries["outliers"]
    entries = {"fingerprint": plane, **{k: np.asarray(v) for k, v in entries.items()}}
    if kind == ".npz":
        np.savez(buffer, **entries)
    elif kind == ".mat":
        import scipy.io  # a third of a second, and few files are MATLAB's

        scipy.io.savemat(buffer, entries)
    else:
        import h5py

        with h5py.File(buffer, "w") as file:
            for name, value in entries.items():
                file[name] = np.char.encode(value, "utf-8") if value.dtype.kind == "U" else value
    return buffer.getvalue()


def require_writable(path: Path | str) -> str:
    """The extension of a path, lower case, if a fingerprint can be written to such a file."""
    kind = Path(path).suffix.lower()
    if kind not in EXTENSIONS:
        raise InputError(
            f"fingerprint {path} cannot be written as a {kind or 'file without extension'}; choose "
            f"one of {', '.join(EXTENSIONS)}"
        )
    if kind in (".h5", ".hdf5"):
        try:
            import h5py  # noqa: F401
        except ImportError:
            raise InputError(f"fingerprint {path} as HDF5 {_NO_H5PY}, or choose .npz") from None
    return kind
