"""Where on the sensor pixels lie: windows of a photo, and the part of a plane that belongs to one.

Whether a fingerprint covers a photo is said here, once.

Sizes are HxW, in pixels, sensor orientation.
"""

from collections.abc import Sequence

import numpy as np

from dippas_jax.types import Fingerprint, InputError, Window


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


def bare(camera: Fingerprint) -> bool:
    """Whether a fingerprint's file says nothing of itself: neither unit, orientation nor place."""
    return not camera.unit and not camera.orientation and camera.photo == camera.plane.shape


def corner(
    camera: Fingerprint, size: tuple[int, int], *, side: int | None
) -> tuple[int, int] | None:
    """Row and column of a fingerprint's plane in photos of a size, if it is a fingerprint of them.

    A bare plane may be that of any part. It is taken for the centre's where no more pixels than its
    own are wanted.

    Args:
      camera: The fingerprint; `bare` or not.
      size: Height and width of the photos.
      side: Most pixels a side that are wanted, of the centre; None for all.

    Returns:
      None if the fingerprint is not one of such photos. Whether the plane holds all pixels that are
      wanted is for `cut` to say.
    """
    shape = camera.plane.shape
    if size == camera.photo:
        return camera.offset
    if size == shape:
        return 0, 0  # the photo is a crop, and the fingerprint was built for such crops
    inside = shape[0] <= size[0] and shape[1] <= size[1]
    if bare(camera) and inside and side is not None and side <= min(shape):
        return centre(size, shape)
    return None


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
