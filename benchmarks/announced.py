"""`dippas anonymize`: is the time that a dry run announces the time that a mixed batch takes?

    python -m benchmarks.announced
    nice -n 10 python -m benchmarks.announced --largest=512      # quicker

Seventeen photos of a simulated camera: JPEG, PNG, TIFF of 16 bits, WebP and grey ones, from 64x64
to 1500x1000 pixels. A first photo, of the largest size, is treated so that a rate is remembered and
the programs of a full tile are compiled; then the batch is announced by `-n`, and treated. The
cache is one of its own. `--again` announces and treats the batch once more, when the programs of
all its sizes are known.

Printed are both times in seconds and their ratio; the exit code is 1 if they are more than 30 %
apart.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import tifffile
from PIL import Image

from dippas_jax.datasets import synthetic

SIZES = (
    (64, 64), (96, 128), (128, 128), (200, 150), (240, 320), (300, 300), (375, 500), (480, 640),
    (512, 512), (512, 768), (600, 800), (720, 540), (768, 1024), (800, 1200), (900, 900),
    (1080, 810), (1000, 1500),
)  # fmt: skip
"""Rows and columns; the formats take turns."""

KINDS = ("jpg", "png", "tif", "webp", "grey.jpg")
_APART = 0.3


def photo(number: int, size: tuple[int, int]) -> np.ndarray:
    """A scene of that size as the camera sees it, uint8 [h w 3]."""
    scene = synthetic.scene(number, synthetic.LARGEST)
    scaled = Image.fromarray(np.rint(255 * scene).astype(np.uint8)).resize(size[::-1])
    return synthetic.expose(synthetic.Camera(), np.asarray(scaled) / 255, number)


def save(path: Path, pixels: np.ndarray, kind: str) -> None:
    """A file of one of `KINDS`."""
    path = path.with_suffix(f".{kind}")
    if kind == "tif":
        low = np.random.default_rng(0).integers(0, 256, pixels.shape, np.uint16)
        tifffile.imwrite(path, pixels.astype(np.uint16) << 8 | low, photometric="rgb")
    elif kind == "webp":
        Image.fromarray(pixels).save(path, lossless=True)
    else:
        image = Image.fromarray(pixels)
        image = image.convert("L") if kind.startswith("grey") else image
        image.save(path, **({} if kind == "png" else {"quality": 92}))


def dippas(cache: Path, *arguments: str | Path) -> tuple[list[dict], float]:
    """Runs `dippas anonymize`: what it tells of each photo, and the seconds that it took."""
    started = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-m", "dippas_jax.cli", "anonymize", "--json", *map(str, arguments)],
        env={**os.environ, "XDG_CACHE_HOME": str(cache)},
        stdout=subprocess.PIPE,
        text=True,
    )
    spent = time.monotonic() - started
    if done.returncode not in (0, 4):
        raise SystemExit(f"dippas anonymize ended with {done.returncode}")
    return [json.loads(line) for line in done.stdout.splitlines()], spent


def main() -> int:
    """Prints a line a round; 1 if the times are further apart than they may be."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.announced", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--largest", type=int, default=1500, help="longest side, pixels")
    parser.add_argument("--again", action="store_true", help="a second round, all compiled")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        cache, batch, out = (Path(name, one) for one in ("cache", "batch", "out"))
        batch.mkdir()
        for number, size in enumerate(SIZES):
            few = min(1.0, options.largest / max(size))
            height, width = (max(round(few * side), 64) for side in size)
            pixels = photo(number, (height, width))
            save(batch / f"{number:02}", pixels, KINDS[number % len(KINDS)])
        save(Path(name, "first"), photo(99, (1000, 1500)), "jpg")
        _, spent = dippas(cache, Path(name, "first.jpg"))
        print(f"the first photo, which has the rate remembered: {spent:.0f} s", flush=True)
        apart = 0.0
        for round_of in ("new sizes", "known sizes")[: 1 + options.again]:
            plans, _ = dippas(cache, batch, "-o", out, "-n", "--overwrite")
            if len(plans) != len(SIZES) or not all(plan["measured"] for plan in plans):
                raise SystemExit("no rate was remembered, or photos are missing")
            announced = 60 * sum(plan["minutes"] for plan in plans)
            records, taken = dippas(cache, batch, "-o", out, "--overwrite")
            work = sum(record["seconds"] for record in records)
            print(
                f"{round_of}: {len(records)} photos, announced {announced:.0f} s, taken "
                f"{taken:.0f} s (of which {work:.0f} s on the photos), ratio "
                f"{taken / announced:.2f}",
                flush=True,
            )
            apart = max(apart, abs(taken / announced - 1))
    return int(apart > _APART)


if __name__ == "__main__":
    sys.exit(main())
