"""Photos of real cameras, from a folder in one of the layouts of `layouts`.

A record is a photo, its centre crop, or one of several crops that do not overlap, with the same
part of its camera's fingerprint. Sizes are told as width x height. The last photo and the last
fingerprints that were decoded are kept, so that reading the crops of a photo in turn decodes it
once.
"""

import functools
import os
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from dippas_jax.datasets import layouts
from dippas_jax.io import files as store
from dippas_jax.io import photo as photo_file
from dippas_jax.signal import placement
from dippas_jax.types import Fingerprint, InputError, Record, Sample, Window


def records(
    folder: Path | str,
    *,
    layout: str = "devices",
    crop: int = 0,
    crops: int = 1,
    photos: Sequence[str] = layouts.PHOTOS,
    devices: Sequence[str] = (),
    per_device: int = 0,
    limit: int = 0,
    need_fingerprint: bool = True,
) -> list[Record]:
    """List a folder's photos; none is decoded yet.

    With several crops a photo, and in the layouts "dresden" and "vision", the photos' headers are
    read for their sizes, and where a fingerprint is needed its plane as well: crops that it does
    not cover are not listed. In those two layouts, photos of another size than their camera's (its
    whole fingerprint's, or else the most common) are passed over.

    Args:
      folder: The dataset, or in the layout "devices" one device.
      layout: "devices", "dresden" or "vision".
      crop: Side of the crops of photo and fingerprint, pixels; 0 for the whole photo.
      crops: Crops a photo at most, nearest to the centre first; 0 for all that fit. Exactly the
        centre crop if 1.
      photos: Subfolders of a device that hold photos.
      devices: Names of the devices to use; empty for all.
      per_device: The first so many photos of each device; 0 for all.
      limit: The first so many photos of those; 0 for all.
      need_fingerprint: Whether a device must have a fingerprint, and each crop its part of it; one
        that is there is read anyway.

    Raises:
      InputError: No such folder, device, photo or fingerprint, or the crop is below 64.
    """
    if crop and crop < store.SMALLEST:
        raise InputError(
            f"data.crop of {crop} pixels for {folder} is too small; choose at least 64, or 0 for "
            "the whole photo"
        )
    if crops < 0 or (crops != 1 and not crop):
        raise InputError(
            f"data.crops of {crops} with data.crop of {crop} for {folder} cannot be cut; give the "
            "side of the crops, and how many, or 0 for all"
        )
    folder = _absolute(folder)
    every = layouts.photos(folder, layout, photos)
    names = dict(zip(every, layouts.ids(every, layout), strict=True))
    kept, _ = _sort_out(layouts.choose(every, devices, folder, layout), folder, layout)
    chosen = _first(kept, per_device, limit)
    by_device = {photo.device: photo for photo in reversed(chosen)}
    fingerprints = {
        device: _fingerprint(photo, folder, need_fingerprint) for device, photo in by_device.items()
    }
    found = []
    for photo in chosen:
        file, name = fingerprints[photo.device], names[photo]
        for window in _windows(photo.path, file, crop, crops, need_fingerprint):
            suffix = f"_r{window.top}c{window.left}" if window else ""
            read = functools.partial(_read, photo.path, file, crop, window, need_fingerprint)
            found.append(Record(name + suffix, photo.device, read, photo.path, file, photo.home))
    return found


def flats(
    folder: Path | str,
    device: str,
    *,
    layout: str = "devices",
    subfolder: str = layouts.FLATS,
    size: tuple[int, int] | None = None,
) -> list[Callable[[], np.ndarray]]:
    """A camera's flat-field photos on call, as `datasets.flats` describes it."""
    files = flat_files(folder, device, layout=layout, subfolder=subfolder, size=size)
    return [functools.partial(photo_file.read_pixels, path) for path in files]


def flat_files(
    folder: Path | str,
    device: str,
    *,
    layout: str = "devices",
    subfolder: str = layouts.FLATS,
    size: tuple[int, int] | None = None,
) -> list[Path]:
    """The same as paths, in order of name; those of another size than `size` are left out."""
    found = layouts.flats(_absolute(folder), layout, device, subfolder)
    return [path for path in found if size is None or photo_file.size(path) == size]


def passed_over(
    folder: Path | str,
    *,
    layout: str = "devices",
    photos: Sequence[str] = layouts.PHOTOS,
    devices: Sequence[str] = (),
) -> list[Path]:
    """Photos that `records` leaves out because their size is not their camera's."""
    folder = _absolute(folder)
    every = layouts.photos(folder, layout, photos)
    return _sort_out(layouts.choose(every, devices, folder, layout), folder, layout)[1]


# ---------------------------------------------------------------------------------------- choosing


def _absolute(folder: Path | str) -> Path:
    return Path(os.path.abspath(Path(folder).expanduser()))  # so that "." has a name


def _first(found: Sequence[layouts.Photo], per_device: int, limit: int) -> list[layouts.Photo]:
    count: Counter[str] = Counter()
    chosen = []
    for photo in found:
        count[photo.device] += 1
        if not per_device or count[photo.device] <= per_device:
            chosen.append(photo)
    return chosen[:limit] if limit else chosen


def _sort_out(
    found: Sequence[layouts.Photo], folder: Path, layout: str
) -> tuple[list[layouts.Photo], list[Path]]:
    """The photos of their camera's size, and the others' files."""
    if layout == "devices":
        return list(found), []
    by_device: dict[str, list[tuple[int, int] | None]] = {}
    for photo in found:
        by_device.setdefault(photo.device, []).append(_size(photo.path))
    sizes = {device: iter(some) for device, some in by_device.items()}
    wanted = {device: Counter(filter(None, some)) for device, some in by_device.items()}
    kept: list[layouts.Photo] = []
    others: list[Path] = []
    whole: dict[str, tuple[int, int] | None] = {}
    for photo in found:
        if photo.device not in whole:
            whole[photo.device] = _camera_size(photo, folder, wanted[photo.device])
        size = next(sizes[photo.device])
        if size is None or size == whole[photo.device]:
            kept.append(photo)
        else:
            others.append(photo.path)
    return kept, others


def _size(photo: Path) -> tuple[int, int] | None:
    """From the header; None for a photo that cannot be read, which `datasets.check` will name."""
    try:
        return photo_file.size(photo)
    except InputError:
        return None


def _camera_size(
    photo: layouts.Photo, folder: Path, sizes: Counter[tuple[int, int]]
) -> tuple[int, int] | None:
    """The size of a whole fingerprint if there is one, else the photos' most common."""
    files = layouts.fingerprint_files(photo, folder)
    if len(files) == 1:
        whole = _fingerprint_of(*_stamp(files[0])).photo
        if whole in sizes:
            return whole
    return sizes.most_common(1)[0][0] if sizes else None


def _fingerprint(photo: layouts.Photo, folder: Path, need: bool) -> Path | None:
    files = layouts.fingerprint_files(photo, folder)
    if len(files) > 1:
        raise InputError(
            f"device {photo.home} has {len(files)} fingerprints "
            f"({', '.join(file.name for file in files)}); keep one"
        )
    if need and not files:
        where = "there"
        if photo.home == folder and photo.device != folder.name:
            where = f"there as {layouts.FINGERPRINTS}/{photo.device}.npy"
        raise InputError(
            f"device {photo.device} in {photo.home} has no fingerprint; put prnu.npy (or .npz, "
            f".mat) {where}, or use the blind mode, which needs none"
        )
    return files[0] if files else None


def _windows(
    photo: Path, fingerprint: Path | None, crop: int, crops: int, need: bool
) -> list[Window] | list[None]:
    """The crops of a photo; [None] for the centre crop, whose place follows from its size."""
    if crops == 1:
        return [None]
    size = photo_file.size(photo)
    _require_room(photo, size, crop)
    within = None
    if need and fingerprint is not None:
        whole = _fingerprint_of(*_stamp(fingerprint))
        within = (*_corner(whole, photo, size, fingerprint, crop), *_shape(whole))
        if min(within[2:]) < crop:
            raise _not_covered(fingerprint, photo, crop)
    return placement.windows(size, crop, crops, within=within)


# ----------------------------------------------------------------------------------------- reading


def _stamp(path: Path) -> tuple[Path, int, int]:
    """A file as it is now: what was decoded of it before it changed is not used."""
    try:
        status = path.stat()
    except OSError:  # reading it says what is wrong
        return path, 0, 0
    return path, status.st_mtime_ns, status.st_size


@functools.lru_cache(maxsize=1)
def _pixels(path: Path, _changed: int, _bytes: int) -> np.ndarray:
    return photo_file.read_pixels(path)


@functools.lru_cache(maxsize=2)
def _fingerprint_of(path: Path, _changed: int, _bytes: int) -> Fingerprint:
    return store.read_fingerprint_file(path)


def _read(
    photo: Path,
    fingerprint: Path | None,
    crop: int,
    window: Window | None,
    need: bool,
) -> Sample:
    pixels = _pixels(*_stamp(photo))
    height, width, _ = pixels.shape
    size = height, width
    _require_room(photo, size, crop)
    if window is None:
        side = (crop, crop) if crop else size
        window = Window(size, *placement.centre(size, side), *side)
    elif window.photo != size:
        raise InputError(
            f"photo {photo} is {width}x{height} but its header said "
            f"{window.photo[1]}x{window.photo[0]}; turn it to the sensor's orientation"
        )
    plane = None
    if fingerprint is not None:
        whole = _fingerprint_of(*_stamp(fingerprint))
        corner = _corner(whole, photo, size, fingerprint, crop)
        if _covers(corner, _shape(whole), window):
            plane = placement.cut(whole.plane, window, offset=corner)
        elif need:
            raise _not_covered(fingerprint, photo, crop)
    return Sample(placement.cut(pixels, window), plane, window)


def _shape(fingerprint: Fingerprint) -> tuple[int, int]:
    height, width = fingerprint.plane.shape
    return height, width


def _covers(corner: tuple[int, int], shape: tuple[int, int], window: Window) -> bool:
    (top, left), (rows, columns) = corner, shape
    inside = top <= window.top and window.top + window.height <= top + rows
    return inside and left <= window.left and window.left + window.width <= left + columns


def _require_room(photo: Path, size: tuple[int, int], crop: int) -> None:
    if crop > min(size):
        raise InputError(
            f"photo {photo} of {size[1]}x{size[0]} pixels is smaller than data.crop of {crop}; "
            "choose a smaller crop, or 0 for the whole photo"
        )


def _not_covered(fingerprint: Path, photo: Path, crop: int) -> InputError:
    return InputError(
        f"fingerprint {fingerprint} is that of a part of photo {photo}, which does not hold the "
        f"pixels of data.crop={crop}; choose a smaller crop, or give the whole photo's fingerprint"
    )


def _corner(
    whole: Fingerprint, photo: Path, size: tuple[int, int], file: Path, crop: int
) -> tuple[int, int]:
    """Row and column of the fingerprint's corner in the photo, once it is known to fit."""
    corner = placement.corner(whole, size, side=crop or None)
    if corner is None:
        raise _misfit(whole, photo, size, file)
    return corner


def _misfit(whole: Fingerprint, photo: Path, size: tuple[int, int], file: Path) -> InputError:
    """Why a fingerprint is not one of the photo."""
    if not placement.bare(whole):
        return InputError(
            f"fingerprint {file} is that of photos of {whole.photo[1]}x{whole.photo[0]} and does "
            f"not fit photo {photo} of {size[1]}x{size[0]}; give the fingerprint of this camera at "
            "this photo's size"
        )
    shape = _shape(whole)
    came = (
        f"fingerprint {file} of {shape[1]}x{shape[0]} does not fit photo {photo} of "
        f"{size[1]}x{size[0]}"
    )
    if shape == size[::-1]:
        return InputError(
            f"{came}, whose height and width it has the other way round; transpose it, or give "
            "photos in the sensor's orientation"
        )
    within = shape[0] <= size[0] and shape[1] <= size[1]
    if within and min(shape) >= store.SMALLEST:
        return InputError(
            f"{came}; choose data.crop={min(shape)} or less for the centre crop, or give the whole "
            "photo's fingerprint"
        )
    return InputError(f"{came}; give the fingerprint of this camera at this photo's size")
