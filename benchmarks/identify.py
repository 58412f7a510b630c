"""Which camera took which photo, at full resolution: every photo against every camera.

    python -m benchmarks.identify --folder=/path/to/dresden
    python -m benchmarks.identify --folder=/path/to/dresden --search=512

The folder holds one subfolder a device with `flat/*.JPG` and `natural/*.JPG`, whole photos. Each
camera's fingerprint is estimated from its flat photos, and looked for in the photos of its size.
Prints the scores of all pairs and the seconds a photo takes against all these cameras, decoded and
compiled before; `--search` adds the middle square of that side of each photo, whose position on its
own sensor has to be found. Then what foreign cameras give: z over its spread should have a root
mean square of 1. The exit status is 1 if a photo is not attributed to its own camera, or one has a
p-value below 1e-6 for another. Takes about a minute for three cameras of ten flat photos.
"""

import argparse
import json
import os
import resource
import statistics
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from dippas_jax.forensics import identification
from dippas_jax.io import photo as photo_file
from dippas_jax.signal import flat_field

LARGEST_P = 1e-6  # below it a camera counts as found; by chance that is one pair in a million


class Row(NamedTuple):
    """One photo and one camera."""

    photo: str
    camera: str
    own: bool
    ncc: float
    z: float
    pce: float
    p_value: float
    spread: float
    seconds: float  # of the photo against all cameras of its size
    search: identification.Match | None  # of its middle
    where: tuple[int, int]  # the middle's corner


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folder", type=Path, required=True, help="one subfolder a device")
    parser.add_argument("--search", type=int, default=0, help="side of the square searched for")
    parser.add_argument("--json", action="store_true", help="a line of JSON a pair, one at the end")
    arguments = parser.parse_args()
    folder = arguments.folder
    cameras = sorted(path.name for path in folder.iterdir() if _photos(path / "flat"))
    if len(cameras) < 2:
        raise SystemExit(f"fewer than two devices with flat/*.JPG in {folder}; choose another")
    planes = {camera: _fingerprint(folder / camera / "flat") for camera in cameras}
    rows = []
    if not arguments.json:
        print(
            f"{'photo':20}{'camera':15}{'NCC':>10}{'z':>8}{'PCE':>10}{'p-value':>10}{'spread':>8}"
        )
    for row in _measure(folder, planes, arguments.search):
        rows.append(row)
        print(json.dumps(_plain(row)) if arguments.json else _line(row), flush=True)
    result = summary(rows)
    if arguments.json:
        print(json.dumps(result))
    else:
        for name, value in result.items():
            print(f"{name:24} {value:.4g}" if isinstance(value, float) else f"{name:24} {value}")
    return int(result["wrong"] + result["foreign_found"] > 0)


def summary(rows: list[Row]) -> dict:
    """What all pairs together say."""
    photos: dict[str, list[Row]] = {}
    for row in rows:
        photos.setdefault(row.photo, []).append(row)
    best = [max(pairs, key=lambda row: row.z) for pairs in photos.values()]
    own = [row for row in rows if row.own]
    foreign = [row for row in rows if not row.own]
    result = {
        "photos": len(photos),
        "wrong": sum(not row.own or row.p_value > LARGEST_P for row in best),
        "foreign_found": sum(row.p_value < LARGEST_P for row in foreign),
        "lowest_own_z": min(row.z for row in own),
        "highest_foreign_z": max(row.z for row in foreign),
        "lowest_foreign_z": min(row.z for row in foreign),
        "lowest_foreign_p": min(row.p_value for row in foreign),
        "foreign_z_mean": statistics.mean(row.z for row in foreign),
        "foreign_z_rms": _rms([row.z for row in foreign]),
        "foreign_spread_mean": statistics.mean(row.spread for row in foreign),
        "foreign_z_over_spread_rms": _rms([row.z / row.spread for row in foreign]),
        "seconds_median": statistics.median(row.seconds for row in own),
        "load": os.getloadavg()[0],
        "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }
    if any(row.search for row in rows):
        result["positions_found"] = sum(_found(row) for row in own)
        result["lowest_foreign_search_p"] = float(min(row.search.p_value for row in foreign))
    return result


def _measure(folder: Path, planes: dict[str, np.ndarray], side: int) -> Iterator[Row]:
    paths = [(camera, path) for camera in planes for path in _photos(folder / camera / "natural")]
    compiled = set()
    for device, path in paths:
        pixels = photo_file.read_pixels(path)
        size = pixels.shape[:2]
        cameras = [camera for camera, plane in planes.items() if plane.shape == size]
        stack = np.stack([planes[camera] for camera in cameras])
        if size not in compiled:
            identification.compare(pixels, stack)
            compiled.add(size)
        start = time.perf_counter()
        match = identification.compare(pixels, stack)
        seconds = time.perf_counter() - start
        # Even, as the corner of a crop has to be for the Bayer phases of photo and sensor to agree.
        top, left = ((length - side) // 4 * 2 for length in size)
        middle = pixels[top : top + side, left : left + side]
        for i, camera in enumerate(cameras):
            yield Row(
                path.stem,
                camera,
                camera == device,
                *(float(x[i]) for x in (*match[:4], match.spread)),
                seconds,
                identification.search(middle, planes[camera]) if side else None,
                (top, left),
            )


def _rms(values: list[float]) -> float:
    return float(np.sqrt(np.mean(np.square(values))))


def _found(row: Row) -> bool:
    assert row.search is not None
    return tuple(row.search.shift) == row.where and bool(row.search.p_value < LARGEST_P)


def _line(row: Row) -> str:
    line = f"{row.photo:20}{row.camera:15}{row.ncc:10.5f}{row.z:8.2f}{row.pce:10.1f}"
    line += f"{row.p_value:10.1e}{row.spread:8.2f}  {'own' if row.own else ''}"
    if row.search:
        place = " ".join(str(x) for x in row.search.shift)
        line += f"\n{'':20}{'  its middle':15}{row.search.ncc:10.5f}{row.search.z:8.2f}"
        line += f"{row.search.pce:10.1f}{row.search.p_value:10.1e}{row.search.spread:8.2f}"
        line += f"  at {place}"
    return line


def _plain(row: Row) -> dict:
    plain = row._asdict()
    if row.search:
        plain["search"] = {name: value.tolist() for name, value in row.search._asdict().items()}
    return plain


def _fingerprint(flats: Path) -> np.ndarray:
    return np.asarray(flat_field.estimate(map(photo_file.read_pixels, _photos(flats))).plane)


def _photos(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.JPG"))


if __name__ == "__main__":
    sys.exit(main())
