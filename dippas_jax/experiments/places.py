"""A study's photos by camera and place, with what is known of all cameras there.

A place is where pixels lie relative to the middle of the photo: another camera's sensor may be of
another size, and what is compared is then the same part around the middle of both.
"""

import functools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from dippas_jax import config as configuration
from dippas_jax.datasets import layouts, reader
from dippas_jax.experiments import tasks
from dippas_jax.io import files
from dippas_jax.signal import correlation, extractors, flat_field, image, placement
from dippas_jax.types import InputError, Record, Sample, Window

_SAME = 0.99  # correlation of K and K' from which they are one


class Group(NamedTuple):
    """The photos of one camera at one place of the sensor, and all cameras' fingerprints there.

    Attributes:
      name: Safe as a file name.
      device: The camera that took the photos.
      cameras: Names of all candidate cameras, which have photos at this place.
      fingerprints: K of each, as the anonymiser has it.
      others: K' of each, from other flat-field photos; None if a camera has none.
      records: The photos.
      samples: The same, decoded; their fingerprint is the own camera's K.
      references: Gives, for the photo of an index, the residuals [r h w] of every candidate's other
        photos at this place, untreated; None if a candidate has none.
    """

    name: str
    device: str
    cameras: tuple[str, ...]
    fingerprints: tuple[np.ndarray, ...]
    others: tuple[np.ndarray, ...] | None
    records: tuple[Record, ...]
    samples: tuple[Sample, ...]
    references: Callable[[int], list[np.ndarray]] | None


_Places = dict[tuple[int, ...], dict[str, dict[Window, list[int]]]]


def groups(records: Sequence[Record], config: configuration.Study, folder: Path) -> list[Group]:
    """Photos by camera and place, with the fingerprints of all cameras there.

    Args:
      records: The photos; all are decoded and kept.
      config: Of the study.
      folder: The study's, where estimated fingerprints are kept.

    Raises:
      InputError: A photo, a fingerprint or flat-field photos cannot be used, or no two cameras have
        photos at one place.
    """
    samples = [record.read() for record in records]
    places: _Places = {}
    for index, (record, sample) in enumerate(zip(records, samples, strict=True)):
        there = places.setdefault(_place(sample.window), {}).setdefault(record.device, {})
        there.setdefault(sample.window, []).append(index)
    _require_two(places, samples)
    pixels = [sample.pixels for sample in samples]
    # Of a place at a time: 1 MB each at 512x512.
    noise = functools.lru_cache(1024)(lambda index: np.asarray(extractors.extract(pixels[index])))
    found = []
    for devices in places.values():
        cameras = tuple(sorted(devices))
        planes = {
            (camera, window): _planes(camera, window, samples[members[0]], config, folder)
            for camera, windows in devices.items()
            for window, members in windows.items()
        }
        for device, windows in devices.items():
            for window, members in windows.items():
                place = f"r{window.top}c{window.left}_{window.photo[0]}x{window.photo[1]}"
                name = f"{layouts.short(device)}_{place}"
                # Of another camera with photos of several sizes, those of the first will do.
                at = [window if window in devices[c] else next(iter(devices[c])) for c in cameras]
                pairs = [planes[where] for where in zip(cameras, at, strict=True)]
                everyone = [devices[c][where] for c, where in zip(cameras, at, strict=True)]
                own = planes[device, window][0]
                others = tuple(second for _, second in pairs if second is not None)
                for start in range(0, len(members), config.group):
                    chosen = members[start : start + config.group]
                    found.append(
                        Group(
                            name + (f"_{start}" if start else ""),
                            device,
                            cameras,
                            tuple(first for first, _ in pairs),
                            others if len(others) == len(cameras) else None,
                            tuple(records[i] for i in chosen),
                            tuple(samples[i]._replace(fingerprint=own) for i in chosen),
                            _references(chosen, everyone, noise),
                        )
                    )
    return found


def _place(window: Window) -> tuple[int, ...]:
    """Where pixels lie relative to the photo's centre crop of their size, and that size."""
    size = window.height, window.width
    top, left = placement.centre(window.photo, size)
    return window.top - top, window.left - left, *size


def _require_two(places: _Places, samples: Sequence[Sample]) -> None:
    """There have to be two cameras at a place, one to find and one to rule out."""
    alone = {next(iter(devices)) for devices in places.values() if len(devices) == 1}
    if all(len(devices) == 1 for devices in places.values()):
        sizes = sorted({sample.pixels.shape[:2] for sample in samples})
        advice = "add another device's folder"
        if len(alone) > 1:
            shown = ", ".join(f"{height}x{width}" for height, width in sizes)
            advice = f"choose one data.crop for photos of {shown}"
        raise InputError(
            "a study needs photos of at least two cameras at one place, one to find and one to "
            f"rule out, got {', '.join(sorted(alone))}; {advice}"
        )
    if alone:
        tasks.say(
            f"some photos of {', '.join(sorted(alone))} lie where no other camera has any; they "
            "count for PSNR and SSIM but not for the AUC"
        )


def _references(
    chosen: Sequence[int], cameras: Sequence[Sequence[int]], noise: Callable[[int], np.ndarray]
) -> Callable[[int], list[np.ndarray]] | None:
    """`Group.references` from the photos chosen and every camera's photos of the same place."""
    others = [[[i for i in some if i != index] for some in cameras] for index in chosen]
    if not all(some for every in others for some in every):
        return None
    return lambda index: [np.stack([noise(i) for i in some]) for some in others[index]]


def _planes(
    device: str,
    window: Window,
    sample: Sample,
    config: configuration.Study,
    folder: Path,
) -> tuple[np.ndarray, np.ndarray | None]:
    """K and K' of a camera at a place; K' is None if there are no other flat-field photos."""
    if config.fingerprints == "file":
        if sample.fingerprint is None:
            raise InputError(f"device {device} has no fingerprint; put prnu.npy there")
        other = _estimate(device, window, slice(None), config, folder)
        if other is not None and correlation.ncc(sample.fingerprint, other) > _SAME:
            raise InputError(
                f"the fingerprint of device {device} is that of its flat-field photos, from which "
                "K', the one that no method knows, is to come; choose "
                "--config.fingerprints=halves, or build it from other photos"
            )
        return sample.fingerprint, other
    first, second = (
        _estimate(device, window, slice(start, None, 2), config, folder) for start in (0, 1)
    )
    if first is None:
        raise InputError(
            f"device {device} has no flat-field photos; put some into {device}/{config.flats}, or "
            'choose fingerprints="file"'
        )
    return first, second


def _estimate(
    device: str, window: Window, part: slice, config: configuration.Study, folder: Path
) -> np.ndarray | None:
    """The fingerprint from some of a device's flat-field photos, at a window; kept in the folder.

    It is estimated on flat-field photos of the whole photo's size, then cut. If there are none of
    that size the photo is taken for a centre crop, and the centre of the others is used.
    """
    height, width = window.photo
    kept = f"{height}x{width}_{part.start or 0}_{part.step or 1}"
    name = f"{layouts.short(device)}_{kept}.npy"
    path = folder / "fingerprints" / name
    if not path.exists():
        photos = reader.flats(config.data, device, config.flats, (height, width))
        photos = (photos or reader.flats(config.data, device, config.flats))[part]
        if not photos:
            return None
        tasks.say(f"{device}: fingerprint from {len(photos)} flat-field photos, {height}x{width}")

        def middle(flat: np.ndarray) -> np.ndarray:
            if flat.shape[0] < height or flat.shape[1] < width:
                raise InputError(
                    f"a flat-field photo of device {device} is of {flat.shape[0]}x{flat.shape[1]} "
                    f"pixels and its photos are of {height}x{width}; give flat-field photos of "
                    "that size and orientation"
                )
            return np.asarray(image.center_crop(flat, height, width))

        plane = flat_field.estimate(middle(read()) for read in photos).plane
        files.prepare_workdir(path.parent)
        files.write_fingerprint(path, np.asarray(plane))
    return placement.cut(files.read_fingerprint(path), window)
