"""Readers: sequences of records, of which nothing is decoded until `read` is called.

Folders of real cameras (`folder`, laid out as `layouts` knows) and simulated cameras (`synthetic`)
give the same records, so nothing downstream knows which it works on. `manifests` pins the files
that were used; `presets` are the paper's two sets. Sizes are HxW, in pixels, sensor orientation.
"""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from dippas_jax import config
from dippas_jax.datasets import folder as folders
from dippas_jax.datasets import layouts, synthetic
from dippas_jax.types import InputError, Record


def load(data: config.Data | None = None, *, need_fingerprint: bool = True) -> Sequence[Record]:
    """The photos to work on: those of a folder, or simulated ones where no folder is named.

    Args:
      data: Which ones; the embedded sample where it is left out.
      need_fingerprint: Whether each photo must come with its camera's fingerprint; where it need
        not, one that is there comes all the same, to measure against.

    Raises:
      InputError: The folder does not hold what is asked for, or an option does not fit.
    """
    data = data or config.Data()
    if data.folder:
        return folders.records(
            data.folder,
            layout=data.layout,
            crop=data.crop,
            crops=data.crops,
            photos=data.photos,
            devices=data.devices,
            per_device=data.per_device,
            limit=data.limit,
            need_fingerprint=need_fingerprint,
        )
    if data.layout != "devices":
        raise InputError(f"data.folder is empty; {layouts.SOURCES[data.layout]}")
    if data.devices:
        raise InputError(
            f"data.devices asks for {', '.join(data.devices)} but data.folder is empty; name the "
            "folder that holds the devices"
        )
    if data.crops != 1:
        raise InputError(
            f"data.crops of {data.crops} needs photos from data.folder; for more simulated photos "
            "give data.per_device"
        )
    count = data.per_device or -(-data.limit // data.cameras) or 1
    size = data.crop or synthetic.SIZE
    records = synthetic.records(size=size, count=count, cameras=data.cameras)
    return records[: data.limit] if data.limit else records


def check(records: Sequence[Record]) -> list[tuple[int, int]]:
    """Decode every record once, so that a bad file is found before the work and not during it.

    Returns:
      Height and width of each photo, pixels.

    Raises:
      InputError: The first record that cannot be read.
    """
    sizes = []
    for record in records:
        sample = record.read()
        height, width, _ = sample.pixels.shape
        sizes.append((height, width))
    return sizes


def flats(
    data: config.Data,
    device: str,
    subfolder: str = layouts.FLATS,
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
        return folders.flats(
            data.folder, device, layout=data.layout, subfolder=subfolder, size=size
        )
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

    return folders.passed_over(
        data.folder, layout=data.layout, photos=data.photos, devices=data.devices
    )
