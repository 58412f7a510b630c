"""Whole photos, aware and blind, before attackers that the anonymiser did not see; and seams.

    python -m benchmarks.whole --folder=FOLDER --photos=1 --workdir=runs/whole
    python -m benchmarks.whole --folder=FOLDER --photos=4 --modes=own --workdir=runs/whole
    python -m benchmarks.whole --folder=FOLDER --modes=blind --method=prior --side=1024

FOLDER is laid out as DEVICE/natural/*.JPG and DEVICE/flat/*.JPG. K comes from every second flat
photo and K' from the others. `dippas anonymize` treats the first photos of each device at its
defaults, JPEG to JPEG; by "own", if there are four or more, they are given together, and each is
treated with the K that the others show. With `--side` it is their middle, as a PNG. Scores are of
the written files, over all pixels (the learned extractor: the centre). A seam would show as larger
jumps of what was changed, from one pixel to the next, across the borders of tiles than elsewhere:
printed are the mean jumps and how many standard errors lie between them.
"""

import argparse
import json
import math
import resource
import time
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from dippas_jax import config as configuration
from dippas_jax.cli import anonymize, console, fingerprint, outputs, own_photos
from dippas_jax.datasets import layouts
from dippas_jax.forensics import identification
from dippas_jax.io import files
from dippas_jax.io import photo as photo_file
from dippas_jax.prior import tiling
from dippas_jax.signal import tiles


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.whole", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--workdir", type=Path, default=Path("runs/whole"))
    parser.add_argument("--photos", type=int, default=1, help="of each device")
    parser.add_argument("--skip", type=int, default=0, help="photos of each device, before those")
    parser.add_argument("--modes", default="aware,blind")
    parser.add_argument("--method", default="sparse", help="as `dippas anonymize`")
    parser.add_argument("--side", type=int, default=0, help="pixels of their middle; 0 for all")
    parser.add_argument("--displace", type=float, default=0.0, help="pixels, as `dippas anonymize`")
    options = parser.parse_args()
    files.cache_compilations()
    for device in sorted(path for path in options.folder.iterdir() if path.is_dir()):
        flats = [str(path) for path in layouts.photos_in(device / "flat")]
        names = []
        for index in range(2):
            side = f".{options.side}" if options.side else ""
            name = str(files.prepare_workdir(options.workdir) / f"{device.name}.{index}{side}.npz")
            if not Path(name).exists():
                fingerprint.build(flats[index::2], name, crop=options.side, json=True)
            names.append(name)
        photos = layouts.photos_in(device / "natural")[options.skip :][: options.photos]
        if options.side:
            photos = [_middle(photo, options.side, options.workdir) for photo in photos]
        for mode in options.modes.split(","):
            if mode == "own" and len(photos) < own_photos.FEWEST:
                continue
            for some in [photos] if mode == "own" else [[photo] for photo in photos]:
                _measure(some, mode, names, options)


def _middle(photo: Path, side: int, workdir: Path) -> Path:
    """The middle of a photo, as a PNG."""
    pixels = photo_file.read_pixels(photo)
    height, width, _ = pixels.shape
    at = console.centre((height, width), side)
    path = files.prepare_workdir(workdir) / f"{photo.stem}.{side}.png"
    part = pixels[at.top : at.top + at.height, at.left : at.left + at.width]
    Image.fromarray(part).save(path)
    return path


def _measure(photos: list[Path], mode: str, names: list[str], options: argparse.Namespace) -> None:
    named = [mode, *([options.method] if options.method != "sparse" else [])]
    named += ["moved"] if options.displace else []
    folder = files.prepare_workdir(options.workdir / ".".join(named))
    report = folder / f"{photos[0].stem}.html"
    settings = outputs.Options(
        output=str(folder),
        fingerprint=names[0] if mode == "aware" else None,
        blind=mode == "blind",
        check=tuple(names),
        report=str(report),
        method=options.method,
        displace=options.displace,
        orientation="tag",  # the fingerprints lie as the sensor does
        overwrite=True,
    )
    started = time.monotonic()
    anonymize.anonymize([str(photo) for photo in photos], settings, json=True)
    elapsed = time.monotonic() - started
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    records = json.loads(report.with_suffix(".json").read_text())["photos"]
    print(
        f"{mode}, {len(records)} of {len(photos)} photos: {elapsed:.0f} s with the attackers, peak "
        f"of the process {peak:.0f} MiB"
    )
    for photo, record in zip(photos, records, strict=True):
        _print(photo, record, names, options.method)


def _print(photo: Path, record: dict[str, Any], names: list[str], method: str) -> None:
    print(
        f"{photo.stem}: PSNR {record['psnr']:.2f} dB, SSIM {record['examined']['ssim']:.4f}, "
        f"{record['seconds']:.0f} s"
    )
    print(
        f"  a fingerprint of one percent has z {record['visible'].get('whole', math.nan):.0f}, "
        f"foretold of the result is {record['predicted_z'] or math.nan:.1f}"
    )
    for row in record["examined"]["attacks"]:
        kind = "K'" if row["fingerprint"] == names[1] else "K"
        before, after = (math.nan if row[at] is None else row[at] for at in ("before", "after"))
        print(f"  {row['attacker']:<16} {kind:<3} {before:8.2f} {after:8.2f}")
    before, after = (photo_file.read_pixels(path) for path in (photo, record["output"]))
    planes = np.stack([files.read_fingerprint(name) for name in names])
    for pixels, when in ((before, "before"), (after, "after")):
        pce = identification.compare(pixels, planes).pce
        print(f"  PCE {when}: K {pce[0]:.1f}, K' {pce[1]:.1f}")
    change = (after.astype(np.float32) - before).mean(2)
    for axis, name in ((0, "rows"), (1, "columns")):
        print(f"  seams between {name}: {_seams(change, axis, method)}", flush=True)


def _seams(change: np.ndarray, axis: int, method: str) -> str:
    """Mean jump across the borders of tiles, and elsewhere; each line of pixels counts once."""
    jumps = np.abs(np.diff(change, axis=axis)).mean(axis=1 - axis)
    height, width = change.shape
    every = tiles.grid(height, width)
    if method == "prior":
        every = tiling.grid(height, width, configuration.Config().tile)
    lines = {edge for tile in every for edge in (tile.part[axis].start, tile.part[axis].stop)}
    at = np.array(sorted(lines - {0, change.shape[axis]})) - 1
    # JPEG's own blocks end there too, so the lines to compare are those between its blocks.
    others = np.setdiff1d(np.arange(7, len(jumps), 8), at)
    error = jumps[others].std() / np.sqrt(len(at))
    score = (jumps[at].mean() - jumps[others].mean()) / error
    return (
        f"{jumps[at].mean():.3f} grey levels at {len(at)} borders, {jumps[others].mean():.3f} "
        f"elsewhere ({score:+.1f} standard errors)"
    )


if __name__ == "__main__":
    main()
