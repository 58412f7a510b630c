"""`dippas identify`: photos against cameras' fingerprints."""

import functools
import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from dippas_jax.cli import console
from dippas_jax.forensics import identification
from dippas_jax.io import files
from dippas_jax.signal import placement
from dippas_jax.types import Fingerprint, InputError, Window

Group = tuple[Window, list[str], np.ndarray]
"""Where on the photo, names of the fingerprints that cover it, and their planes [m h w] there."""


def identify(
    photos: Sequence[str],
    fingerprints: Sequence[str],
    *,
    side: int | None,
    threshold: float,
    shifts: bool = False,
    json: bool = False,
) -> int:
    """Scores photos against cameras' fingerprints.

    Args:
      photos: Files, folders and patterns.
      fingerprints: Files.
      side: Most pixels a side that are compared, of the centre; None for all.
      threshold: p-value below which a camera is called found.
      shifts: Whether the photos may be crops from anywhere, and all positions are tried.
      json: JSON in place of tables.
    """
    failed, done, found, hint = console.Failures(json=json), 0, False, False
    comparisons = 0
    cameras = console.cameras(fingerprints, failed)
    if not cameras:
        return console.UNUSABLE

    @functools.lru_cache(maxsize=1)  # photos of one size mostly come one after the other
    def covered(size: tuple[int, int]) -> list[Group]:
        return groups(size, cameras, side)

    def scored(path: Path) -> tuple[tuple[int, int], list[dict[str, Any]]]:
        pixels = console.read_pixels(path)
        size = pixels.shape[0], pixels.shape[1]
        if shifts:
            results = _searched(pixels, cameras, side, threshold)
        else:
            results = _compared(pixels, covered(size), threshold)
        missing = [name for name in cameras if name not in {r["fingerprint"] for r in results}]
        if missing:
            otherwise = (
                "give the fingerprint of the whole sensor, or a smaller --crop"
                if shifts
                else "give the whole photo as the camera wrote it, or search for a crop with "
                "--shifts"
            )
            say_not_compared(path, size, missing, cameras, otherwise, fatal=not results)
        return size, sorted(results, key=_best_first)

    for path in console.bar(console.expand(photos, failed), "photo", quiet=True):
        outcome = failed.catch(scored, path)
        if outcome is None:
            continue
        size, results = outcome
        done += 1
        comparisons += len(results)
        match = any(result["match"] for result in results)
        found |= match
        if math.isnan(results[0]["z"]):
            console.note(f"{path} has no noise to compare, as where all is black or burnt out")
        hint |= not match and any(result["window"][-2:] != size for result in results)
        if json:
            rows = [
                {k: v for k, v in row.items() if k not in ("window", "positions")}
                | {"pixels": console.size_text(row["window"][-2:])}
                for row in results
            ]
            console.print_json({"photo": str(path), "results": rows})
        else:
            print(_table(path, size, results), flush=True)
        for row in results:
            both = f"{path} and {row['fingerprint']}"
            console.tell_of_match(both, row, threshold, positions=row["positions"])
    if hint:
        console.note(
            "photos without a match were compared in part, as the column of pixels tells; --full "
            "tells more, as does a fingerprint of the whole sensor"
        )
    if found:
        console.tell_of_chance(comparisons, threshold)
    return console.exit_code(done, failed, found)


def _compared(
    pixels: np.ndarray, groups: Iterable[Group], threshold: float
) -> list[dict[str, Any]]:
    """Scores of a photo with the fingerprints that cover it, pixel on pixel."""
    results = []
    for window, names, planes in groups:
        part = placement.cut(pixels, window, offset=(0, 0))
        match = identification.compare(part, planes)
        for name, plane, *columns in zip(names, planes, *match, strict=True):
            scores = console.scores(identification.Match(*columns))
            look = functools.partial(identification.drawn, part, plane)
            scores |= console.judged(scores, look, threshold)
            results.append({"fingerprint": name, **scores, "window": window, "positions": 1})
    return results


def groups(
    size: tuple[int, int],
    cameras: dict[str, Fingerprint],
    side: int | None,
    *,
    quiet: bool = False,
) -> list[Group]:
    """What to compare in photos of that size; fingerprints of the same pixels go together."""
    planes: dict[Window, dict[str, np.ndarray]] = {}
    for name, camera in cameras.items():
        corner = placement.corner(camera, size, side=side)
        if corner is not None:
            if size != camera.photo and size == camera.plane.shape and not quiet:
                console.note(
                    f"fingerprint {name} is {part_text(camera)}, and photos of that size are "
                    "taken for the same part; if they were cut elsewhere, they cannot match"
                )
            window = console.centre(size, side, (*corner, *camera.plane.shape))
            plane = placement.cut(camera.plane, window, offset=corner)
            planes.setdefault(window, {})[name] = plane
    return [(w, list(named), np.stack(list(named.values()))) for w, named in planes.items()]


def _fits(part: Sequence[int], whole: Sequence[int]) -> bool:
    """Whether a part of that size, of 64x64 at least, lies inside the whole."""
    return min(part) >= files.SMALLEST and part[0] <= whole[0] and part[1] <= whole[1]


def _searched(
    pixels: np.ndarray, cameras: dict[str, Fingerprint], side: int | None, threshold: float
) -> list[dict[str, Any]]:
    """Scores of a photo at its best position on each camera's sensor."""
    window = console.centre((pixels.shape[0], pixels.shape[1]), side)
    part = placement.cut(pixels, window, offset=(0, 0))
    results = []
    for name, camera in cameras.items():
        if window.height > camera.plane.shape[0] or window.width > camera.plane.shape[1]:
            continue
        match = identification.search(part, camera.plane)
        # From the part's place on the plane to the whole photo's on the sensor.
        place = match.shift + np.array(camera.offset) - np.array([window.top, window.left])
        plane = np.roll(camera.plane, -match.shift, (0, 1))[: window.height, : window.width]
        scores = console.scores(match)
        look = functools.partial(identification.drawn, part, plane)
        tried = identification.positions(window[-2:], camera.plane.shape)
        scores |= console.judged(scores, look, threshold, positions=tried)
        where = {"shift": place.tolist(), "window": window, "positions": tried}
        results.append({"fingerprint": name, **scores, **where})
    return results


def say_not_compared(
    path: Path | str,
    size: tuple[int, int],
    missing: Sequence[str],
    cameras: dict[str, Fingerprint],
    otherwise: str,
    *,
    fatal: bool,
) -> None:
    """A camera of other photo sizes is passed over; where all are, the photo cannot be used.

    Args:
      path: The photo.
      size: Its height and width.
      missing: Names of the fingerprints that it was not compared with.
      cameras: All of them.
      otherwise: What to do where the sizes tell nothing better.
      fatal: Whether these are all.
    """
    named = ", ".join(f"{name} ({part_text(cameras[name])})" for name in missing)
    came = f"photo {path} of {console.size_text(size)} pixels does not fit fingerprint {named}"
    them = [cameras[name] for name in missing]
    across = [one for one in them if size == one.photo[::-1] != one.photo]
    central = [one for one in them if placement.bare(one) and _fits(one.plane.shape, size)]
    if across:
        advice = "turn the photo back to the sensor's orientation"
        if not across[0].orientation:
            advice += ", or the fingerprint, whichever lies across"
    elif central:
        least = min(min(one.plane.shape) for one in central)
        advice = f"give --crop {least} where the fingerprint is that of the photos' centre"
    else:
        advice = otherwise
    if fatal:
        raise InputError(f"{came}; {advice}")
    console.note(f"{came} and was not compared with it; if it may be that camera's, {advice}")


def part_text(camera: Fingerprint) -> str:
    """What a fingerprint covers, for messages."""
    whole, part = (console.size_text(s) for s in (camera.photo, camera.plane.shape))
    return f"photos of {whole}" if part == whole else f"{part} of photos of {whole}"


def _best_first(result: dict[str, Any]) -> tuple[bool, float, float]:
    """Orders results: least p-value of either sign, then largest |z|; undefined ones last."""
    p_value, z = min(result["p_value"], result["p_turned"]), abs(result["z"])
    return (True, 0.0, 0.0) if math.isnan(p_value + z) else (False, p_value, -z)


def _table(path: Path, size: tuple[int, ...], results: Sequence[dict[str, Any]]) -> str:
    """A photo's scores, best camera first."""
    names = [console.shown(result["fingerprint"]) for result in results]
    wide = max(11, *map(len, names))
    moved = "shift" in results[0]
    lines = [
        f"{console.shown(path)}  {console.size_text(size)}",
        f"  {'fingerprint':<{wide}}  {console.SCORES_HEADER}  {'pixels':<11}"
        + ("at row, column" if moved else ""),
    ]
    for name, result in zip(names, results, strict=True):
        lines.append(
            f"  {name:<{wide}}  {console.scores_text(result)}  "
            f"{console.size_text(result['window'][-2:]):<11}"
            + (f"{result['shift'][0]}, {result['shift'][1]}".ljust(14) if moved else "")
            + ("  match" if result["match"] else "")
        )
    return "\n".join(line.rstrip() for line in lines)
