"""`dippas fingerprint build`, `show` and `convert`."""

import itertools
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np

from dippas_jax.cli import console, flats
from dippas_jax.forensics import drawn
from dippas_jax.io import decoder, files, fingerprint_file
from dippas_jax.signal import flat_field
from dippas_jax.types import Fingerprint, InputError, Window

UNEVEN = 0.3
"""Flatness above which photos do not look flat."""

CLIPPED = 0.1
"""Share of saturated pixels above which flats are called overexposed."""

_BY_CHANCE = 4.0  # standard errors of a reliability

_MOST_DRAWN = 0.25  # of the pixels, what is drawn and what lies around

FEW = 20
"""Flats below which a fingerprint is called weak."""


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
    headers = {
        path: header
        for path in console.expand(photos, failed)
        if (header := failed.catch(decoder.header, path))
    }
    if not headers:
        return console.UNUSABLE
    headers = flats.of_one_size(headers, failed)
    if not any_orientation:
        headers = flats.of_one_orientation(headers, failed)
    window = _window(headers, crop)
    used = flats.Used()

    def estimate(_: Path) -> tuple[flat_field.Result, np.ndarray, bool] | None:
        pixels = flats.readable(list(headers), window, failed, used)
        first = next(pixels, None)
        if first is None:
            return None
        found = flat_field.estimate(itertools.chain([first], pixels), sigma=sigma)
        plane = np.asarray(jax.block_until_ready(found).plane)  # it fails here if it does
        told, clean = flats.told_by_halves(used), True
        if len(used.photos) > 1:
            plane, clean = _without_drawn(plane)
        return found, plane, told and clean

    estimated = failed.catch(estimate, Path(output), name=f"fingerprint {output}")
    if estimated is None:
        return console.UNUSABLE
    result, plane, told = estimated
    chance = _BY_CHANCE / plane.size**0.5
    if told and result.reliability < chance:  # not of one photo, which is nan
        console.note(
            f"halves of the photos do not agree (reliability {float(result.reliability):.3f}, by "
            f"chance up to {chance:.3f}): they are of several cameras, some are turned, or they "
            "are too few; build from one camera's, as it wrote them"
        )
    fingerprint = fingerprint_file.new(
        plane,
        unit=flat_field.UNIT,
        photo=window.photo,
        offset=(window.top, window.left),
        orientation="sensor",
        photos=len(used.photos),
        extractor=flat_field.EXTRACTOR,
        sigma=sigma,
        reliability=float(result.reliability) if told else math.nan,
    )
    files.write_fingerprint_file(output, fingerprint)
    flatness, saturation = float(result.flatness), float(result.saturation)
    _warn_of_flats(len(used.photos), flatness, saturation)
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


def _without_drawn(plane: np.ndarray) -> tuple[np.ndarray, bool]:
    """A fingerprint without what its photos share that no sensor gives; whether there was none.

    Raises:
      InputError: It lies nearly everywhere.
    """
    places, held = drawn.in_fingerprint(plane)
    if not places.any():
        return plane, True
    share = float(places.mean())
    what = "a date, a frame, a watermark, the corners of a turned picture or defective pixels"
    if share > _MOST_DRAWN:
        raise InputError(
            f"the photos share something drawn in {100 * share:.0f} % of the picture, such as "
            f"{what}, which would be taken for the camera's noise; give photos as the camera wrote "
            "them"
        )
    console.note(
        f"the photos share something drawn, such as {what}, which held {100 * held:.0f} % of the "
        f"fingerprint; {100 * share:.1f} % of the pixels, there and around, were left out of it, "
        "and no reliability is told"
    )
    return np.where(places, np.float32(0), plane), False


def _window(headers: flats.Headers, crop: int) -> Window:
    """The pixels that the fingerprint is to cover."""
    first, header = next(iter(headers.items()))
    if crop > min(header.size):
        raise InputError(
            f"--crop {crop} is more than photo {first} of {console.size_text(header.size)} pixels "
            "has; give less"
        )
    return console.centre(header.size, crop or None)


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
    fingerprint = console.read_fingerprint(path)
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
    fingerprint = console.read_fingerprint(source)
    files.write_fingerprint_file(target, fingerprint)
    _warn_of_bare_plane(target, fingerprint)
    if json:
        console.print_json({"fingerprint": target, "unit": fingerprint.unit})
    else:
        print(f"{console.shown(target)}  unit: {console.or_unknown(fingerprint.unit)}")
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
    return "\n".join(
        [console.shown(path), *(f"  {key:<12} {value}" for key, value in rows.items())]
    )
