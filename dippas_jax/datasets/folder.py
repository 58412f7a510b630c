"""Photos of real cameras, from a folder in the layout dataset/device/{photos, prnu.npy}.

A device is a subfolder with photos lying directly in it or in its subfolders named by `photos`;
the folder given may also be one device itself. The order is that of the names, the same on every
machine. Hidden files, and files without a photo's extension, are passed over. Sizes are HxW.
"""

import functools
import os
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from dippas_jax import datasets, store
from dippas_jax.types import InputError

PHOTO_EXTENSIONS = (".jpg", ".jpeg", ".png", ".tif", ".tiff", ".webp", ".bmp")
FINGERPRINT_STEMS = ("prnu", "fingerprint")
FINGERPRINT_EXTENSIONS = (".npy", ".npz", ".mat")


class _Photo(NamedTuple):
    id: str
    device: Path
    path: Path


def records(
    folder: Path | str,
    *,
    crop: int = 0,
    photos: Sequence[str] = datasets.PHOTOS,
    devices: Sequence[str] = (),
    limit: int = 0,
    need_fingerprint: bool = True,
) -> list[datasets.Record]:
    """List a folder's photos; no photo and no fingerprint is opened yet.

    Args:
      folder: Folder of devices, or one device.
      crop: Side of the centre crop of photo and fingerprint, pixels; 0 for the whole photo.
      photos: Subfolders of a device that hold photos.
      devices: Names of the devices to use; empty for all.
      limit: The first so many photos; 0 for all.
      need_fingerprint: Whether a device must have a fingerprint; one that is there is read anyway.

    Raises:
      InputError: No such folder, device, photo or fingerprint, or the crop is below 64.
    """
    if crop and crop < store.SMALLEST:
        raise InputError(
            f"data.crop of {crop} pixels for {folder} is too small; choose at least 64, or 0 for "
            "the whole photo"
        )
    folder = Path(os.path.abspath(Path(folder).expanduser()))  # so that "." has a name
    found = _photos(folder, photos)
    if devices:
        names = sorted({photo.device.name for photo in found})
        for name in devices:
            if name not in names:
                raise InputError(f"device {name} is not in {folder}; it holds {', '.join(names)}")
        found = [photo for photo in found if photo.device.name in devices]
    found = found[:limit] if limit else found
    fingerprints = {
        device: _fingerprint(device) if need_fingerprint or _fingerprint_files(device) else None
        for device in dict.fromkeys(photo.device for photo in found)
    }
    return [
        datasets.Record(
            photo.id,
            photo.device.name,
            functools.partial(_read, photo.path, fingerprints[photo.device], crop),
        )
        for photo in found
    ]


# ----------------------------------------------------------------------------------------- listing


def _listing(folder: Path) -> list[Path]:
    """What lies in a folder, in order of name, hidden entries left out."""
    try:
        entries = [entry for entry in folder.iterdir() if not entry.name.startswith(".")]
    except OSError as error:
        raise InputError(
            f"folder {folder} cannot be listed ({error.strerror}); check the path and its "
            "permissions"
        ) from None
    return sorted(entries, key=lambda entry: entry.name)


def _photos_in(folder: Path) -> list[Path]:
    return [
        entry
        for entry in _listing(folder)
        if entry.suffix.lower() in PHOTO_EXTENSIONS and entry.is_file()
    ]


def _photos_of(device: Path, subfolders: Sequence[str]) -> list[Path]:
    found = _photos_in(device)
    for name in dict.fromkeys(subfolders):
        if (device / name).is_dir():
            found += _photos_in(device / name)
    return found


def _photos(folder: Path, subfolders: Sequence[str]) -> list[_Photo]:
    """All photos with their ids, devices in order of name."""
    for name in subfolders:
        if name in ("", ".", "..") or Path(name).name != name:
            raise InputError(
                f"data.photos names {name!r}, which is not a subfolder of a device in {folder}; "
                "give plain names"
            )
    if _photos_of(folder, subfolders) or _fingerprint_files(folder):
        listed = [folder]
    else:
        listed = [entry for entry in _listing(folder) if entry.is_dir()]
    pairs = [(device, path) for device in listed for path in _photos_of(device, subfolders)]
    if not pairs:
        raise InputError(
            f"folder {folder} holds no photos; expected photos ({', '.join(PHOTO_EXTENSIONS)}) in "
            f"DEVICE/ or DEVICE/{'|'.join(subfolders) or 'photos'}/, with DEVICE/prnu.npy beside "
            "them"
        )
    return [
        _Photo(name, device, path) for name, (device, path) in zip(_ids(pairs), pairs, strict=True)
    ]


def _ids(pairs: Sequence[tuple[Path, Path]]) -> list[str]:
    """Names safe for files: device and stem, then as much more as it takes to tell them apart."""

    def safe(name: str) -> str:
        return re.sub(r"[^\w.-]+", "_", name).strip(".") or "_"

    def short(device: Path, path: Path) -> str:
        stem, name = safe(path.stem), safe(device.name)
        return stem if stem.startswith(name) else f"{name}_{stem}"

    names = [short(*pair) for pair in pairs]
    subfolders = [path.parent.name if path.parent != device else "" for device, path in pairs]
    for extra in (subfolders, [path.suffix[1:] for _, path in pairs]):
        count = Counter(name.casefold() for name in names)  # some systems do not know case
        names = [
            f"{name}_{safe(more)}" if more and count[name.casefold()] > 1 else name
            for name, more in zip(names, extra, strict=True)
        ]
    seen: set[str] = set()
    for i, name in enumerate(names):
        number = 1
        while names[i].casefold() in seen:
            number += 1
            names[i] = f"{name}_{number}"
        seen.add(names[i].casefold())
    return names


def _fingerprint_files(device: Path) -> list[Path]:
    return [
        entry
        for entry in _listing(device)
        if entry.stem.lower() in FINGERPRINT_STEMS
        and entry.suffix.lower() in FINGERPRINT_EXTENSIONS
        and entry.is_file()
    ]


def _fingerprint(device: Path) -> Path:
    files = _fingerprint_files(device)
    if not files:
        raise InputError(
            f"device {device} has no fingerprint; put prnu.npy (or .npz, .mat) there, or use the "
            "blind mode, which needs none"
        )
    if len(files) > 1:
        raise InputError(
            f"device {device} has {len(files)} fingerprints "
            f"({', '.join(file.name for file in files)}); keep one"
        )
    return files[0]


# ----------------------------------------------------------------------------------------- reading


def _read(photo: Path, fingerprint: Path | None, crop: int) -> datasets.Sample:
    pixels = store.read_photo(photo)
    size = pixels.shape[:2]
    if crop > min(size):
        raise InputError(
            f"photo {photo} of {size[0]}x{size[1]} pixels is smaller than data.crop of {crop}; "
            "choose a smaller crop, or 0 for the whole photo"
        )
    plane = None
    if fingerprint is not None:
        plane = store.read_fingerprint(fingerprint)
        _require_fit(photo, size, fingerprint, plane.shape, crop)
        plane = _centre(plane, size, crop)
    return datasets.Sample(_centre(pixels, size, crop), plane)


def _require_fit(
    photo: Path, size: tuple[int, ...], fingerprint: Path, other: tuple[int, ...], crop: int
) -> None:
    """The fingerprint is the whole photo's, or that of a centre which holds the crop."""
    within = other[0] <= size[0] and other[1] <= size[1]
    if other == size or (within and 0 < crop <= min(other)):
        return
    came = (
        f"fingerprint {fingerprint} of {other[0]}x{other[1]} does not fit photo {photo} of "
        f"{size[0]}x{size[1]}"
    )
    if other == size[::-1]:
        raise InputError(
            f"{came}, whose height and width it has the other way round; transpose it, or give "
            "photos in the sensor's orientation"
        )
    if within and min(other) >= store.SMALLEST:
        raise InputError(
            f"{came}; choose data.crop={min(other)} or less for the centre crop, or give the whole "
            "photo's fingerprint"
        )
    raise InputError(f"{came}; give the fingerprint of this camera at this photo's size")


def _centre(whole: np.ndarray, size: Sequence[int], crop: int) -> np.ndarray:
    """The centre crop of a photo of `size`, cut from the photo or from any centre of it.

    The photo's crop starts at ((h - crop) // 2, (w - crop) // 2); a smaller array is taken to start
    at (h - its height) // 2 in turn, so that both cuts show the same pixels, odd sizes included.
    """
    if not crop:
        return whole
    top, left = (
        (full - crop) // 2 - (full - here) // 2
        for full, here in zip(size, whole.shape[:2], strict=True)
    )
    return np.ascontiguousarray(whole[top : top + crop, left : left + crop])
