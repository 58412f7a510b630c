"""The residual of a batch of photos: this package against NumPy, SciPy and PyWavelets, in one run.

    python -m benchmarks.residual --size=512 --batch=16
    python -m benchmarks.residual --size=512 --batch=16 --folder=/path/to/photos --json
    python -m benchmarks.residual --size=2000x3008 --batch=2 --folder=/path/to/photos

All work on the same photos in turn, several times, so that other load on the machine meets all; the
medians are compared. The photos are made up, or centre crops of the PNG and JPEG photos under
`--folder`. Compiling is timed apart. NumPy's version is the oracle of the tests, in float64:
"numpy" is one photo after the other, "threads" a photo on each core, which helps little. "jax" is
the whole batch in one call, "map" one photo after the other by `lax.map`. The ratios are to the
faster of NumPy's two.
"""

import argparse
import itertools
import json
import os
import statistics
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import jax
import numpy as np
from PIL import Image

from dippas_jax.signal import image, residual
from tests import oracles


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", default="512", help="side, or height x width, pixels")
    parser.add_argument("--batch", type=int, default=16, help="number of photos")
    parser.add_argument("--repeats", type=int, default=3, help="how often each is timed")
    parser.add_argument("--folder", type=Path, help="real photos, anywhere below it")
    parser.add_argument("--json", action="store_true", help="one line of JSON")
    arguments = parser.parse_args()
    sides = [int(side) for side in arguments.size.split("x")]
    height, width = sides[0], sides[-1]
    photos = _photos(arguments.folder, height, width, arguments.batch)
    result = {
        "benchmark": "residual",
        "size": f"{height}x{width}",
        "batch": arguments.batch,
        "photos": "real" if arguments.folder else "synthetic",
        "device": jax.devices()[0].device_kind,
        **compare(photos, arguments.repeats),
    }
    if arguments.json:
        print(json.dumps(result))
        return
    for name, value in result.items():
        print(f"{name:20} {value:.4g}" if isinstance(value, float) else f"{name:20} {value}")


def compare(photos: np.ndarray, repeats: int) -> dict[str, float]:
    """Seconds a batch, their ratios, and the largest difference in grey levels."""
    batched = jax.jit(residual.residual)
    mapped = jax.jit(lambda batch: jax.lax.map(residual.residual, batch))
    pool = ThreadPoolExecutor(os.cpu_count())
    cases: dict[str, Callable] = {
        "numpy": lambda batch: np.stack([oracles.residual(pixels) for pixels in batch]),
        "threads": lambda batch: np.stack(list(pool.map(oracles.residual, batch))),
        "jax": lambda batch: np.asarray(batched(batch)),
        "map": lambda batch: np.asarray(mapped(batch)),
    }
    compiling, _ = _timed(cases["jax"], photos)
    _timed(cases["map"], photos)
    seconds: dict[str, list[float]] = {name: [] for name in cases}
    results = {}
    for _ in range(repeats):
        for name, case in cases.items():
            elapsed, results[name] = _timed(case, photos)
            seconds[name].append(elapsed)
    median = {name: statistics.median(values) for name, values in seconds.items()}
    fastest = min(median["numpy"], median["threads"])
    return {
        **{f"{name}_seconds": value for name, value in median.items()},
        "first_call_seconds": compiling,
        "ratio": fastest / median["jax"],
        "map_ratio": fastest / median["map"],
        "largest_difference": float(np.abs(results["jax"] - results["numpy"]).max()),
    }


def _timed(function: Callable, photos: np.ndarray) -> tuple[float, np.ndarray]:
    start = time.perf_counter()
    result = function(photos)
    return time.perf_counter() - start, result


def _photos(folder: Path | None, height: int, width: int, batch: int) -> np.ndarray:
    """uint8 [batch h w 3]; real ones are repeated if there are too few, smaller ones left out."""
    if folder is None:
        return np.stack([oracles.photo(seed, height, width) for seed in range(batch)])
    crops: list[np.ndarray] = []
    for path in sorted(folder.rglob("*")):
        if path.suffix.lower() not in (".png", ".jpg", ".jpeg") or len(crops) == batch:
            continue
        with Image.open(path) as file:
            if file.height >= height and file.width >= width:
                pixels = np.asarray(file.convert("RGB"))
                crops.append(np.asarray(image.center_crop(pixels, height, width)))
    if not crops:
        raise SystemExit(
            f"no PNG or JPEG photo of {height}x{width} pixels in {folder}; choose another --folder"
        )
    return np.stack(list(itertools.islice(itertools.cycle(crops), batch)))


if __name__ == "__main__":
    main()
