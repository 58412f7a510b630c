"""Where things lie in a dataset: photos, flat fields and fingerprints, by the layout's own rules.

- "devices": DEVICE/{photos,natural,crop512}/* or DEVICE/*, flat fields in DEVICE/flat/*. The folder
  given may also be one device.
- "dresden", the Dresden Image Database (Gloe and Boehme 2010): files named MODEL_CAMERA_NUMBER,
  such as Nikon_D70_0_19446.JPG. The camera is the name without its last number, whatever the
  folder is called. Natural photos and flat fields, which the names do not tell apart, lie in
  natural/ and flat/ of the dataset or of a camera; natural ones also in the camera's (or its
  model's) folder.
- "vision", the VISION dataset (Shullani et al. 2017): D12_Sony_XperiaZ1Compact/images/nat/
  D12_I_nat_0001.jpg, flat fields in images/flat.

A camera's fingerprint is prnu or fingerprint (.npy, .npz, .mat, .h5) in its own folder, or the file
of its name in fingerprints/ of the dataset. The order is that of the names, the same on every
machine. Hidden files, and files without a photo's extension, are passed over. Nothing is opened.
"""

import hashlib
import re
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from dippas_jax import config
from dippas_jax.io import fingerprint_file, photo_kinds
from dippas_jax.types import InputError

PHOTOS = config.Data.photos
"""Subfolders of a device in which photos are looked for, besides the device's own folder."""

FLATS = config.Study.flats
"""Subfolder of a device that holds its flat-field photos."""


PHOTO_EXTENSIONS = photo_kinds.EXTENSIONS
FINGERPRINT_STEMS = ("prnu", "fingerprint")
FINGERPRINT_EXTENSIONS = fingerprint_file.EXTENSIONS
FINGERPRINTS = "fingerprints"

SOURCES = {
    "dresden": (
        "get the Dresden Image Database (http://forensics.inf.tu-dresden.de/ddimgdb, or a mirror) "
        "and name the folder that holds natural/*.JPG and flat/*.JPG, with names such as "
        "Nikon_D70_0_19446.JPG"
    ),
    "vision": (
        "get the VISION dataset (https://lesc.dinfo.unifi.it/VISION/) and name the folder that "
        "holds D12_Sony_XperiaZ1Compact/images/nat/D12_I_nat_0001.jpg and the other cameras"
    ),
}
"""Where a public dataset comes from, as the end of a sentence."""

_NATURAL = {"dresden": ("natural",), "vision": ("nat",)}
_DRESDEN_NAME = re.compile(r"(.+_\d+)_\d+$")
_WRITTEN_BESIDE = re.compile(r"\.(?=figure|history|psnr|b\d)", re.IGNORECASE)
_LONGEST = 200  # bytes of a name, so that endings have room in the 255 that most systems allow
_VISION_DEVICE = re.compile(r"D\d+_.+")


class Photo(NamedTuple):
    """A photo that was found.

    Attributes:
      device: Name of the camera.
      home: The camera's folder; the dataset's if it has none of its own.
      path: The file.
    """

    device: str
    home: Path
    path: Path


def photos(folder: Path, layout: str, subfolders: Sequence[str] = PHOTOS) -> list[Photo]:
    """All photos of a dataset, cameras in order of name.

    Args:
      folder: The dataset.
      layout: One of `LAYOUTS`.
      subfolders: Names of the folders that hold photos; `datasets.PHOTOS` stands for natural/ in
        the layout "dresden" and nat/ in "vision".

    Raises:
      InputError: No such folder, or no photo in it.
    """
    for name in subfolders:
        if name in ("", ".", "..") or Path(name).name != name:
            raise InputError(
                f"data.photos names {name!r}, which is not a subfolder of a device in {folder}; "
                "give plain names"
            )
    if tuple(subfolders) == PHOTOS:
        subfolders = _NATURAL.get(layout, subfolders)
    found = LAYOUTS[layout](folder, subfolders, True)
    if found:
        return found
    if layout in SOURCES:
        raise InputError(f"folder {folder} holds no photos of that layout; {SOURCES[layout]}")
    raise InputError(
        f"folder {folder} holds no photos; expected photos ({', '.join(PHOTO_EXTENSIONS)}) in "
        f"DEVICE/ or DEVICE/{'|'.join(subfolders) or 'photos'}/, with DEVICE/prnu.npy beside them"
    )


def flats(folder: Path, layout: str, device: str, subfolder: str = FLATS) -> list[Path]:
    """A camera's flat-field photos, in order of name; an empty list if there are none."""
    found = LAYOUTS[layout](folder, (subfolder,), False)
    return sorted(
        (photo.path for photo in found if photo.device == device), key=lambda path: path.name
    )


def choose(
    found: Sequence[Photo], devices: Sequence[str], folder: Path, layout: str
) -> list[Photo]:
    """The photos of some cameras; VISION's may be called by their number, such as D12.

    Raises:
      InputError: A camera that is not there.
    """
    if not devices:
        return list(found)
    names = sorted({photo.device for photo in found})
    for wanted in devices:
        if not any(_same(name, wanted, layout) for name in names):
            source = f"; {SOURCES[layout]}" if layout in SOURCES else ""
            raise InputError(
                f"device {wanted} is not in {folder}; it holds {', '.join(names)}{source}"
            )
    return [p for p in found if any(_same(p.device, wanted, layout) for wanted in devices)]


def _same(name: str, wanted: str, layout: str) -> bool:
    return name == wanted or (layout == "vision" and label(name, layout) == wanted)


def label(device: str, layout: str) -> str:
    """What the names of a camera's photos begin with."""
    return device.split("_")[0] if layout == "vision" else device


def fingerprint_files(photo: Photo, folder: Path) -> list[Path]:
    """All files that may be the fingerprint of the camera that took the photo."""
    found = _prnu_in(photo.home) if photo.home != folder or photo.device == folder.name else []
    if (folder / FINGERPRINTS).is_dir():
        found += [
            entry
            for entry in _listing(folder / FINGERPRINTS)
            if entry.stem == photo.device and entry.suffix.lower() in FINGERPRINT_EXTENSIONS
        ]
    return found


def ids(found: Sequence[Photo], layout: str) -> list[str]:
    """Names safe for files: device and stem, then as much more as it takes to tell them apart.

    None ends as what a run writes beside a photo (ID.figure.png), so no photo's name is that of
    another's file.
    """

    def safe(name: str) -> str:
        name = re.sub(r"[^\w.-]+", "_", name).strip(".") or "_"
        return _WRITTEN_BESIDE.sub("_", name)

    def named(photo: Photo) -> str:
        stem, name = safe(photo.path.stem), safe(label(photo.device, layout))
        return stem if stem.startswith(name) else f"{name}_{stem}"

    names = [named(photo) for photo in found]
    subfolders = [p.path.parent.name if p.path.parent != p.home else "" for p in found]
    for extra in (subfolders, [photo.path.suffix[1:] for photo in found]):
        count = Counter(name.casefold() for name in names)  # some systems do not know case
        names = [
            f"{name}_{safe(more)}" if more and count[name.casefold()] > 1 else name
            for name, more in zip(names, extra, strict=True)
        ]
    names = [short(name) for name in names]
    seen: set[str] = set()
    for i, name in enumerate(names):
        number = 1
        while names[i].casefold() in seen:
            number += 1
            names[i] = f"{name}_{number}"
        seen.add(names[i].casefold())
    return names


def short(name: str) -> str:
    """A name to which endings can be added: of a long one its start, and a hash of all of it."""
    data = name.encode(errors="surrogateescape")
    if len(data) <= _LONGEST:
        return name
    digest = hashlib.sha256(data).hexdigest()[:16]
    return f"{data[: _LONGEST - 17].decode(errors='ignore')}_{digest}"


# ---------------------------------------------------------------------------------------- listing


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


def photos_in(folder: Path) -> list[Path]:
    """The photos of one folder itself, in order of name."""
    return [
        entry
        for entry in _listing(folder)
        if entry.suffix.lower() in PHOTO_EXTENSIONS and entry.is_file()
    ]


def _below(folder: Path, subfolders: Sequence[str]) -> list[Path]:
    """Photos in some subfolders of a folder."""
    names = [name for name in dict.fromkeys(subfolders) if (folder / name).is_dir()]
    return [path for name in names for path in photos_in(folder / name)]


def _prnu_in(folder: Path) -> list[Path]:
    return [
        entry
        for entry in _listing(folder)
        if entry.stem.lower() in FINGERPRINT_STEMS
        and entry.suffix.lower() in FINGERPRINT_EXTENSIONS
        and entry.is_file()
    ]


def _devices(folder: Path, subfolders: Sequence[str], directly: bool) -> list[Photo]:
    """The layout "devices"; `directly`: photos in the device's own folder count as well."""

    def of(device: Path) -> list[Path]:
        return (photos_in(device) if directly else []) + _below(device, subfolders)

    homes = [folder]
    if not (photos_in(folder) or _below(folder, subfolders) or _prnu_in(folder)):
        homes = [entry for entry in _listing(folder) if entry.is_dir()]
    return [Photo(home.name, home, path) for home in homes for path in of(home)]


def _dresden(folder: Path, subfolders: Sequence[str], directly: bool) -> list[Photo]:
    paths = _below(folder, subfolders) + (photos_in(folder) if directly else [])
    for entry in _listing(folder):
        if entry.is_dir() and entry.name not in subfolders:
            paths += _below(entry, subfolders)
            # Other folders, of flat fields for instance, are not called like the photos in them.
            model = re.sub(r"_\d+$", "", entry.name)
            paths += [p for p in photos_in(entry) if directly and p.stem.startswith(model)]
    found = []
    for path in paths:
        if match := _DRESDEN_NAME.match(path.stem):
            home = folder / match[1] if (folder / match[1]).is_dir() else folder
            found.append(Photo(match[1], home, path))
    return sorted(found, key=lambda photo: (photo.device, photo.path.name, str(photo.path)))


def _vision(folder: Path, subfolders: Sequence[str], directly: bool) -> list[Photo]:
    homes = [folder]
    if not (folder / "images").is_dir():
        # The distributed addresses have dataset/ above the cameras.
        root = folder / "dataset" if (folder / "dataset").is_dir() else folder
        homes = [e for e in _listing(root) if e.is_dir() and _VISION_DEVICE.match(e.name)]
    return [
        Photo(home.name, home, path)
        for home in homes
        for path in _below(home / "images", subfolders)
    ]


LAYOUTS: dict[str, Callable[[Path, Sequence[str], bool], list[Photo]]] = {
    "devices": _devices,
    "dresden": _dresden,
    "vision": _vision,
}
