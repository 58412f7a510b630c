"""A fingerprint from flat photos, and a photo's residual: this package against NumPy, in one run.

    python -m benchmarks.fingerprint --size=512x512,2000x3008
    python -m benchmarks.fingerprint --size=2000x3008 --folder=/path/to/dresden --json

NumPy's side is the oracle of the tests: NumPy, SciPy and PyWavelets in float64, which shares no
line with the package. Each side runs in a process of its own, so that its peak memory is its own;
the two take turns, so that other load on the machine meets both, and the ratio is that of the
median seconds: above 1, ours is faster. Photos are read before the clock starts, and compiling is
timed apart. Memory is the peak of the process; "inputs" is what it held before the work, libraries
and all photos included. The photos are made up, or centre crops of those in `*/flat` under
`--folder`. Five minutes at full resolution, most of it NumPy's.
"""

import argparse
import functools
import itertools
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

CASES = ("fingerprint", "residual")
SIDES = ("jax", "numpy")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--case", default=",".join(CASES), help="what to time")
    parser.add_argument("--size", default="512x512,2000x3008", help="heights x widths, pixels")
    parser.add_argument("--count", type=int, default=10, help="flat photos behind a fingerprint")
    parser.add_argument("--turns", type=int, default=3, help="how often each side is timed")
    parser.add_argument("--folder", type=Path, help="real photos, in flat/ of each device")
    parser.add_argument("--json", action="store_true", help="a line of JSON a case")
    parser.add_argument("--side", choices=SIDES, help=argparse.SUPPRESS)
    parser.add_argument("--output", help=argparse.SUPPRESS)
    options = parser.parse_args()
    sizes = [tuple(map(int, size.split("x"))) for size in options.size.split(",")]
    if options.side:
        _work(options, *sizes[0])
        return
    if not options.json:
        print(
            f"{'case':12}{'size':>10}{'NumPy s':>9}{'ours s':>8}{'ratio':>7}{'compile s':>10}",
            end="",
        )
        print(f"{'NumPy MiB':>10}{'ours MiB':>9}{'inputs':>7}{'difference':>12}{'load':>6}")
    for size, case in itertools.product(sizes, options.case.split(",")):
        row = compare(case, *size, options)
        if options.json:
            print(json.dumps(row), flush=True)
            continue
        print(
            f"{case:12}{row['size']:>10}{row['numpy_seconds']:9.3f}{row['jax_seconds']:8.3f}",
            end="",
        )
        print(
            f"{row['ratio']:7.1f}{row['compile_seconds']:10.1f}{row['numpy_peak_mib']:10.0f}",
            end="",
        )
        print(f"{row['jax_peak_mib']:9.0f}{row['jax_inputs_mib']:7.0f}", end="")
        print(f"{row['largest_difference']:12.1e}{row['load']:6.1f}", flush=True)


def compare(case: str, height: int, width: int, options: argparse.Namespace) -> dict:
    """Both sides in turn."""
    with tempfile.TemporaryDirectory() as folder:
        outputs = {side: Path(folder) / f"{side}.npy" for side in SIDES}
        workers = {
            side: _start(side, case, height, width, options, outputs[side]) for side in SIDES
        }
        ready = {side: _answer(worker) for side, worker in workers.items()}
        turns = []
        for _ in range(options.turns):
            turns.append({side: _turn(worker) for side, worker in workers.items()})
        for worker in workers.values():
            worker.communicate()
        results = {side: np.load(path) for side, path in outputs.items()}
    seconds = {side: statistics.median(turn[side]["seconds"] for turn in turns) for side in SIDES}
    return {
        "benchmark": case,
        "size": f"{height}x{width}",
        "photos": options.count if case == "fingerprint" else 1,
        "content": "real" if options.folder else "synthetic",
        **{f"{side}_seconds": seconds[side] for side in SIDES},
        "ratio": seconds["numpy"] / seconds["jax"],
        "compile_seconds": ready["jax"]["compile_seconds"],
        **{f"{side}_peak_mib": turns[-1][side]["peak_mib"] for side in SIDES},
        **{f"{side}_inputs_mib": ready[side]["inputs_mib"] for side in SIDES},
        "largest_difference": float(np.abs(results["jax"] - results["numpy"]).max()),
        "load": os.getloadavg()[0],
    }


def _start(
    side: str, case: str, height: int, width: int, options: argparse.Namespace, output: Path
) -> subprocess.Popen:
    command = [sys.executable, "-m", "benchmarks.fingerprint", f"--side={side}", f"--case={case}"]
    command += [f"--size={height}x{width}", f"--count={options.count}", f"--output={output}"]
    command += [f"--folder={options.folder}"] if options.folder else []
    pipe = subprocess.PIPE
    return subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, bufsize=1)


def _turn(worker: subprocess.Popen) -> dict:
    assert worker.stdin
    worker.stdin.write("go\n")
    worker.stdin.flush()
    return _answer(worker)


def _answer(worker: subprocess.Popen) -> dict:
    assert worker.stdout
    line = worker.stdout.readline()
    if not line:
        raise SystemExit("a side of the comparison ended early; its message is above")
    return json.loads(line)


def _work(options: argparse.Namespace, height: int, width: int) -> None:
    """One side: answers every line on stdin with the seconds it took."""
    count = options.count if options.case == "fingerprint" else 1
    photos = _photos(options.folder, height, width, count)
    run = (_jax_side if options.side == "jax" else _numpy_side)(options.case)
    inputs = _peak_mib()
    start = time.perf_counter()
    if options.side == "jax":
        run(photos[:1])
    compiling = time.perf_counter() - start
    print(json.dumps({"compile_seconds": compiling, "inputs_mib": inputs}), flush=True)
    for _ in sys.stdin:
        start = time.perf_counter()
        result = run(photos)
        elapsed = time.perf_counter() - start
        np.save(options.output, result)
        print(json.dumps({"seconds": elapsed, "peak_mib": _peak_mib()}), flush=True)


def _jax_side(case: str):
    import jax

    from dippas_jax.signal import fingerprint, residual

    if case == "residual":
        extract = jax.jit(residual.residual)
        return lambda photos: np.asarray(extract(photos[0]))
    update = jax.jit(fingerprint.update, donate_argnums=0)
    finish = jax.jit(fingerprint.estimate)

    def build(photos: list[np.ndarray]) -> np.ndarray:
        sums = fingerprint.init(*photos[0].shape[:2])
        return np.asarray(finish(functools.reduce(update, photos, sums)))

    return build


def _numpy_side(case: str):
    from tests import oracles

    if case == "residual":
        return lambda photos: oracles.residual(photos[0])
    return oracles.fingerprint


def _photos(folder: Path | None, height: int, width: int, count: int) -> list[np.ndarray]:
    """uint8 [h w 3] each; real ones are repeated if there are too few."""
    if folder is None:
        draw = np.random.default_rng(0)
        photos = []
        for _ in range(count):
            levels = 4 * draw.standard_normal((height, width, 3), np.float32)
            photos.append((levels + 150).astype(np.uint8))
        return photos
    from PIL import Image

    paths = sorted(folder.glob("**/flat/*.JPG"))
    if not paths:
        raise SystemExit(f"no photo in flat/*.JPG below {folder}; choose another --folder")
    photos = []
    for path in itertools.islice(itertools.cycle(paths), count):
        with Image.open(path) as file:
            pixels = np.asarray(file.convert("RGB"))
        top, left = ((a - b) // 2 for a, b in zip(pixels.shape[:2], (height, width), strict=True))
        photos.append(np.array(pixels[top : top + height, left : left + width]))
    return photos


def _peak_mib() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    main()
