"""Readers: sequences of records, of which nothing is decoded until `read` is called.

A folder of devices (`folder`) and simulated cameras (`synthetic`) give the same records, so nothing
downstream knows which it works on.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from dippas_jax.types import InputError

PHOTOS = ("photos", "natural", "crop512")
"""Subfolders of a device in which photos are looked for, besides the device's own folder."""


class Sample(NamedTuple):
    """One photo in memory.

    Attributes:
      pixels: uint8 [h w 3], sensor orientation.
      fingerprint: float32 [h w] of the same pixels, unit of its file; None if not asked for.
    """

    pixels: np.ndarray
    fingerprint: np.ndarray | None


class Record(NamedTuple):
    """One photo on call.

    Attributes:
      id: Unique in its sequence, stable, and safe as a file name on any system.
      device: Name of the camera.
      read: Decodes the photo, and its fingerprint if asked for; raises `InputError`.
    """

    id: str
    device: str
    read: Callable[[], Sample]


def load(
    *,
    folder: str = "",
    crop: int = 0,
    photos: Sequence[str] = PHOTOS,
    limit: int = 0,
    devices: Sequence[str] = (),
    need_fingerprint: bool = True,
) -> Sequence[Record]:
    """The photos to work on: those of a folder, or simulated ones where no folder is named.

    Args:
      folder: A folder of devices, or one device; empty for the simulated camera.
      crop: Side of the centre crop, pixels; 0 for the whole photo (simulated: the default side).
      photos: Subfolders of a device that hold photos.
      limit: The first so many photos; 0 for all (simulated: one).
      devices: Names of the devices to use; empty for all.
      need_fingerprint: Whether each photo must come with its camera's fingerprint; where it need
        not, one that is there comes all the same, to measure against.

    Raises:
      InputError: The folder does not hold what is asked for, or an option does not fit.
    """
    if limit < 0:
        raise InputError(
            f"data.limit of {limit} is negative; give a number of photos, or 0 for all"
        )
    if folder:
        from dippas_jax.datasets import folder as reader

        return reader.records(
            folder,
            crop=crop,
            photos=photos,
            devices=devices,
            limit=limit,
            need_fingerprint=need_fingerprint,
        )
    if devices:
        raise InputError(
            f"data.devices asks for {', '.join(devices)} but data.folder is empty; name the folder "
            "that holds the devices"
        )
    from dippas_jax.datasets import synthetic

    return synthetic.records(size=crop or synthetic.SIZE, count=limit or 1)


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
