"""`dippas fingerprint build`, `show` and `convert`."""

import hashlib
import itertools
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from dippas_jax.cli import console
from dippas_jax.io import decoder, files, fingerprint_file
from dippas_jax.signal import flat_field, placement
from dippas_jax.types import Fingerprint, InputError, Window

UNEVEN = 0.3
"""Flatness above which photos do not look flat."""

CLIPPED = 0.1
"""Share of saturated pixels above which flats are called overexposed."""

FEW = 20
"""Flats below which a fingerprint is called weak."""

_HELD = {1, 3, 6, 8}  # EXIF orientations without a mirror


def build(
    photos: Sequence[str],
    output: str,
    *,
    crop: int = 0,
    sigma: float = 3.0,
    any_orientation: bool = False,
    overwrite: bool = False,
    json: bool = False,
) -> int:
    """Estimates a fingerprint from flat-field photos, one photo at a time, and writes it."""
    console.require_new(output, overwrite)
    fingerprint_file.require_writable(output)
    failed = console.Failures()
    sizes = {
        path: header.size
        for path in console.expand(photos, failed)
        if (header := failed.catch(decoder.header, path))
    }
    if not sizes:
        return console.UNUSABLE
    window = _window(sizes, crop, any_orientation=any_orientation)
    used: list[Path] = []
    copies: list[Path] = []
    flats = _readable(list(sizes), window, failed, used, copies)
    first = next(flats, None)
    if first is None:
        return console.UNUSABLE
    result = flat_field.estimate(itertools.chain([first], flats), sigma=sigma)
    plane = np.asarray(result.plane)
    if not plane.std() > 0:
        raise InputError(
            f"{next(iter(sizes))} and all others, {console.counted(len(used), 'photo')} without "
            "copies, have no noise at all; give photos as the camera wrote them"
        )
    fingerprint = fingerprint_file.new(
        plane,
        unit=flat_field.UNIT,
        photo=window.photo,
        offset=(window.top, window.left),
        orientation="sensor",
        photos=len(used),
        extractor=flat_field.EXTRACTOR,
        sigma=sigma,
        reliability=float(result.reliability),
    )
    files.write_fingerprint_file(output, fingerprint)
    flatness, saturation = float(result.flatness), float(result.saturation)
    if copies:
        console.note(
            f"{console.counted(len(copies), 'photo')} of {len(used) + len(copies)}, {copies[0]} "
            "for one, show the very pixels of another and were left out: a copy tells nothing new"
        )
    _warn_of_flats(len(used), flatness, saturation)
    _warn_of_bare_plane(output, fingerprint)
    if json:
        console.print_json(
            {
                **_metadata(output, fingerprint),
                "flatness": flatness,
                "saturation": saturation,
                "failed": failed.rows(),
            }
        )
    else:
        print(_described(output, fingerprint))
        print(f"  flatness     {flatness:.3f} (0 is an even wall)")
        print(f"  saturation   {100 * saturation:.2f} % of the pixels")
    return console.FAILED if failed.reasons else console.DONE


def _window(sizes: dict[Path, tuple[int, int]], crop: int, *, any_orientation: bool) -> Window:
    """The pixels that the fingerprint is to cover, of photos that must be of one kind."""
    _require_one_size(sizes)
    if not any_orientation:
        _require_one_orientation(list(sizes), next(iter(sizes.values())))
    first, size = next(iter(sizes.items()))
    if crop > min(size):
        raise InputError(
            f"--crop {crop} is more than photo {first} of {console.size_text(size)} pixels has; "
            "give less"
        )
    return console.centre(size, crop or None)


def _readable(
    paths: Sequence[Path],
    window: Window,
    failed: console.Failures,
    used: list[Path],
    copies: list[Path],
) -> Iterator[np.ndarray]:
    """The window's pixels of every photo that can be read, whose path then joins `used`.

    One that shows the pixels of an earlier one joins `copies`.
    """
    seen = set()
    for path in console.bar(paths, "photo"):
        pixels = failed.catch(decoder.read_pixels, path)
        if pixels is None:
            continue
        digest = hashlib.sha256(pixels.tobytes()).digest()
        if digest in seen:
            copies.append(path)
            continue
        seen.add(digest)
        used.append(path)
        yield placement.cut(pixels, window, offset=(0, 0))


def _warn_of_flats(used: int, flatness: float, saturation: float) -> None:
    if used < FEW:
        photos = "photo" if used == 1 else "photos"
        console.note(
            f"only {used} {photos}: the fingerprint is weak; take 20 or more of an even wall"
        )
    if flatness > UNEVEN:
        console.note(
            f"the photos do not look flat (flatness {flatness:.2f}): their scene gets into the "
            "fingerprint; take photos of an even wall or sky, out of focus"
        )
    if saturation > CLIPPED:
        console.note(
            f"{100 * saturation:.0f} % of the pixels are saturated and say nothing; expose less"
        )


def show(
    path: str, *, picture: str | None = None, overwrite: bool = False, json: bool = False
) -> int:
    """Prints what a fingerprint file says, and draws it."""
    if picture is not None:
        if Path(picture).suffix.lower() != ".png":
            raise InputError(f"picture {picture} would be a PNG; give it a name that ends in .png")
        console.require_new(picture, overwrite)
    fingerprint = files.read_fingerprint_file(path)
    if json:
        console.print_json(_metadata(path, fingerprint))
    else:
        print(_described(path, fingerprint))
    if picture is not None:
        from dippas_jax.cli import fingerprint_plot

        files.write_bytes(
            picture, fingerprint_plot.fingerprint_picture(fingerprint, Path(path).name)
        )
    return console.DONE


def convert(source: str, target: str, *, overwrite: bool = False, json: bool = False) -> int:
    """Writes a fingerprint in another format and prints its unit."""
    console.require_new(target, overwrite)
    fingerprint = files.read_fingerprint_file(source)
    files.write_fingerprint_file(target, fingerprint)
    _warn_of_bare_plane(target, fingerprint)
    if json:
        console.print_json({"fingerprint": target, "unit": fingerprint.unit})
    else:
        print(f"{target}  unit: {console.or_unknown(fingerprint.unit)}")
    return console.DONE


def _warn_of_bare_plane(path: str, fingerprint: Fingerprint) -> None:
    if Path(path).suffix.lower() == ".npy" and fingerprint.unit:
        console.note(f"{path} holds the plane alone; a .npy file has no place for unit and origin")


def _metadata(path: str, fingerprint: Fingerprint) -> dict[str, Any]:
    height, width = fingerprint.plane.shape
    rest = fingerprint._asdict()
    del rest["plane"]
    std = _std(fingerprint)
    return {"fingerprint": path, "height": height, "width": width, "std": std, **rest}


def _std(fingerprint: Fingerprint) -> float:
    return float(fingerprint.plane.std(dtype=np.float64))  # a foreign unit may be tiny


def _described(path: str, fingerprint: Fingerprint) -> str:
    top, left = fingerprint.offset
    rho = fingerprint.reliability
    halves = "unknown"
    if not math.isnan(rho):
        halves = (
            f"{rho:.3f} between halves of the photos ({flat_field.of_all(rho):.3f} for all of "
            "them, Spearman-Brown)"
        )
    rows = {
        "size": f"{console.size_text(fingerprint.plane.shape)} pixels, at row {top}, column {left} "
        f"of photos of {console.size_text(fingerprint.photo)}",
        "unit": console.or_unknown(fingerprint.unit),
        "std": f"{_std(fingerprint):.4g} (standard deviation, in that unit)",
        "orientation": console.or_unknown(fingerprint.orientation),
        "photos": str(fingerprint.photos or "unknown"),
        "extractor": console.or_unknown(fingerprint.extractor)
        + ("" if math.isnan(fingerprint.sigma) else f", σ {fingerprint.sigma:g}"),
        "sha256": fingerprint.sha256,
        "reliability": halves,
    }
    return "\n".join([path, *(f"  {key:<12} {value}" for key, value in rows.items())])


def _require_one_size(sizes: dict[Path, tuple[int, int]]) -> None:
    first, size = next(iter(sizes.items()))
    for path, other in sizes.items():
        if other == size:
            continue
        came = (
            f"photos {first} of {console.size_text(size)} and {path} of {console.size_text(other)}"
        )
        if other == size[::-1]:
            raise InputError(
                f"{came} lie across each other, and a fingerprint belongs to the sensor; turn one "
                "back or leave it out"
            )
        raise InputError(f"{came} differ in size; give photos of one size")


def _require_one_orientation(paths: Sequence[Path], size: tuple[int, int]) -> None:
    """Refuses photos of one size of which some may have been turned.

    A phone stores every photo as its sensor lies, wider than high, and says by a tag how it was
    held. So photos that all lie across are as the sensor has them, whatever their tags: one that
    was turned upright would be higher than wide, and its tag reset.
    """
    first, *rest = paths
    ours = decoder.header(first).orientation
    as_stored = size[1] > size[0]
    for path in rest:
        other = decoder.header(path).orientation
        if other == ours or (as_stored and {ours, other} <= _HELD):
            continue
        raise InputError(
            f"photos {first} and {path} have the EXIF orientations {ours} and {other}, so the "
            "pixels of one may have been turned; give photos of one orientation, or "
            "--any-orientation if all are as the camera wrote them"
        )
