"""Readers: sequences of records, of which nothing is decoded until `read` is called.

Folders of real cameras (`folder`, laid out as `layouts` knows) and simulated cameras (`synthetic`)
give the same records, so nothing downstream knows which it works on. `manifests` pins the files
that were used; `presets` are the paper's two sets. Sizes are HxW, in pixels, sensor orientation.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from dippas_jax import config
from dippas_jax.types import InputError

PHOTOS = ("photos", "natural", "crop512")
"""Subfolders of a device in which photos are looked for, besides the device's own folder."""

FLATS = "flat"
"""Subfolder of a device that holds its flat-field photos."""


class Window(NamedTuple):
    """Where on the sensor pixels lie: a rectangle of the whole photo.

    Attributes:
      photo: Height and width of the whole photo.
      top: First row.
      left: First column.
      height: Rows.
      width: Columns.
    """

    photo: tuple[int, int]
    top: int
    left: int
    height: int
    width: int


class Sample(NamedTuple):
    """One photo in memory.

    Attributes:
      pixels: uint8 [h w 3], sensor orientation.
      fingerprint: float32 [h w] of the same pixels, unit of its file; None if not asked for.
      window: Where on the whole photo the pixels lie.
    """

    pixels: np.ndarray
    fingerprint: np.ndarray | None
    window: Window


class Record(NamedTuple):
    """One photo, or one crop of it, on call.

    Attributes:
      id: Unique in its sequence, stable, and safe as a file name on any system.
      device: Name of the camera.
      read: Decodes the photo, and its fingerprint if asked for; raises `InputError`.
      path: File of the photo; None if it is simulated. Crops of one photo have the same.
      fingerprint: File of the fingerprint; None if there is none or it is simulated.
    """

    id: str
    device: str
    read: Callable[[], Sample]
    path: Path | None = None
    fingerprint: Path | None = None


def load(
    *,
    folder: str = "",
    layout: str = "devices",
    crop: int = 0,
    crops: int = 1,
    photos: Sequence[str] = PHOTOS,
    devices: Sequence[str] = (),
    per_device: int = 0,
    limit: int = 0,
    cameras: int = 1,
    need_fingerprint: bool = True,
) -> Sequence[Record]:
    """The photos to work on: those of a folder, or simulated ones where no folder is named.

    The arguments are the fields of `config.Data`, which describes them, and:

    Args:
      need_fingerprint: Whether each photo must come with its camera's fingerprint; where it need
        not, one that is there comes all the same, to measure against.

    Raises:
      InputError: The folder does not hold what is asked for, or an option does not fit.
    """
    # Its checks, for those who call without one; what fits a crop depends on the reader.
    config.Data(layout=layout, per_device=per_device, limit=limit, cameras=cameras)
    if folder:
        from dippas_jax.datasets import folder as reader

        return reader.records(
            folder,
            layout=layout,
            crop=crop,
            crops=crops,
            photos=photos,
            devices=devices,
            per_device=per_device,
            limit=limit,
            need_fingerprint=need_fingerprint,
        )
    if layout != "devices":
        from dippas_jax.datasets import layouts

        raise InputError(f"data.folder is empty; {layouts.SOURCES[layout]}")
    if devices:
        raise InputError(
            f"data.devices asks for {', '.join(devices)} but data.folder is empty; name the folder "
            "that holds the devices"
        )
    if crops != 1:
        raise InputError(
            f"data.crops of {crops} needs photos from data.folder; for more simulated photos give "
            "data.per_device"
        )
    from dippas_jax.datasets import synthetic

    count = per_device or -(-limit // cameras) or 1
    records = synthetic.records(size=crop or synthetic.SIZE, count=count, cameras=cameras)
    return records[:limit] if limit else records


def check(records: Sequence[Record]) -> list[tuple[int, int]]:
    """Decode every record once, so that a bad file is found before the work and not during it.

    Returns:
      Height and width of each photo, pixels.

    Raises:
      InputError: The first record that cannot be read.
    """
    sizes = []
    for record in records:
        height, width, _ = record.read().pixels.shape
        sizes.append((height, width))
    return sizes


def flats(
    data: config.Data,
    device: str,
    subfolder: str = FLATS,
    size: tuple[int, int] | None = None,
) -> list[Callable[[], np.ndarray]]:
    """A camera's flat-field photos, in order of name; none is decoded until it is called.

    Those of a simulated camera are others than the ones behind the fingerprint of its records, so a
    second fingerprint, K', can be estimated from them.

    Args:
      data: Where the photos are.
      device: The camera, as `Record.device` names it.
      subfolder: Name of the folder of flat-field photos, beside the other photos'.
      size: Only photos of this height and width; None for all (simulated: the default size).

    Returns:
      Each gives uint8 [h w 3]; an empty list if there are none.

    Raises:
      InputError: The folder cannot be listed, or a header cannot be read.
    """
    if data.folder:
        from dippas_jax.datasets import folder as reader

        return reader.flats(data.folder, device, layout=data.layout, subfolder=subfolder, size=size)
    from dippas_jax.datasets import synthetic

    return synthetic.readers(device, size or (synthetic.SIZE, synthetic.SIZE))


def passed_over(data: config.Data) -> list[Path]:
    """Photos that `load` leaves out because their size is not their camera's.

    In the layouts "dresden" and "vision" only: phones turn some photos upright, and the fingerprint
    does not fit those.

    Raises:
      InputError: As `load`.
    """
    if not data.folder:
        return []
    from dippas_jax.datasets import folder as reader

    return reader.passed_over(
        data.folder, layout=data.layout, photos=data.photos, devices=data.devices
    )


def cut(
    plane: np.ndarray,
    window: Window,
    *,
    offset: tuple[int, int] | None = None,
) -> np.ndarray:
    """The part of a plane that belongs to a window.

    Args:
      plane: [H W] or [H W c]: the whole photo's, or a part of it.
      window: The pixels asked for.
      offset: Row and column of the plane's corner in the whole photo; None if it is the photo's
        centre, which starts at ((h - H) // 2, (w - W) // 2).

    Returns:
      A copy, [window.height window.width] and what follows.

    Raises:
      InputError: The plane does not hold the whole window.
    """
    corner = offset or centre(window.photo, plane.shape[:2])
    top, left = window.top - corner[0], window.left - corner[1]
    rows, columns = plane.shape[:2]
    if min(top, left) < 0 or top + window.height > rows or left + window.width > columns:
        raise InputError(
            f"a plane of {rows}x{columns} at row {corner[0]}, column {corner[1]} does not hold "
            f"{window.height}x{window.width} pixels at row {window.top}, column {window.left} of a "
            f"photo of {window.photo[0]}x{window.photo[1]}; give the whole photo's plane"
        )
    return np.array(plane[top : top + window.height, left : left + window.width])


def centre(photo: Sequence[int], part: Sequence[int]) -> tuple[int, int]:
    """Row and column at which the centre part of a photo starts; sizes are [h w]."""
    return (photo[0] - part[0]) // 2, (photo[1] - part[1]) // 2


def windows(
    photo: tuple[int, int],
    side: int,
    count: int = 0,
    *,
    within: tuple[int, int, int, int] | None = None,
) -> list[Window]:
    """Square crops that do not overlap, as many as fit, nearest to the centre first.

    They stand side by side on a grid in the middle of the photo, or of the part given. All begin at
    even rows and columns (unless only an odd place is left), so that every crop begins with the
    same colour of the sensor's mosaic; an odd side leaves a gap of one pixel.

    Args:
      photo: Height and width of the whole photo.
      side: Side of a crop, pixels.
      count: At most so many; 0 for all. 1 is not always the centre crop.
      within: Top, left, height and width of the part of the photo to stay in; None for all of it.
    """
    top, left, height, width = within or (0, 0, *photo)
    rows, columns = _places(top, height, side), _places(left, width, side)
    middle = 2 * top + height, 2 * left + width  # doubled, as below, to stay with whole numbers

    def order(place: tuple[int, int]) -> tuple[int, int, int]:
        y, x = (2 * start + side - m for start, m in zip(place, middle, strict=True))
        return y * y + x * x, *place

    places = sorted(((row, column) for row in rows for column in columns), key=order)
    found = [Window(photo, row, column, side, side) for row, column in places]
    return found[:count] if count else found


def _places(start: int, length: int, side: int) -> list[int]:
    """Where crops begin along one axis."""
    step = side + side % 2
    number = (length + step - side) // step
    spare = length - (number - 1) * step - side
    first = start + spare // 2
    if first % 2 and spare:
        first += 1 if first == start else -1
    return [first + i * step for i in range(number)]


def manifest(
    records: Sequence[Record], flats: Mapping[str, Sequence[Path]] | None = None
) -> dict[str, Any]:
    """What was used, pinned by hashes; see `manifests.manifest`."""
    from dippas_jax.datasets import manifests

    return manifests.manifest(records, flats)


def check_manifest(
    records: Sequence[Record],
    expected: Any,
    flats: Mapping[str, Sequence[Path]] | None = None,
) -> None:
    """Raises `InputError` unless these are the pinned photos; see `manifests.check`."""
    from dippas_jax.datasets import manifests

    manifests.check(records, expected, flats)
