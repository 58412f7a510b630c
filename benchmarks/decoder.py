"""What it costs to decode photos in a process of their own, beside decoding them in the program.

    python -m benchmarks.decoder --sizes=64x64,1500x1000,6000x4000 --times=20

JPEG and PNG of noise, which packs badly, so that little is hidden behind decoding. Printed are the
seconds until the process is ready, which a command spends on importing JAX meanwhile, and, for each
file, the medians of both ways and of the header alone.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

from dippas_jax.io import decoder, photo


def median(act: Callable[[], object], times: int) -> float:
    """Milliseconds."""
    spent = []
    for _ in range(times):
        started = time.perf_counter()
        act()
        spent.append(1000 * (time.perf_counter() - started))
    return statistics.median(spent)


def main() -> None:
    """Prints a line for the start and one for each file."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.decoder", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--sizes", default="64x64,1500x1000,6000x4000", help="width x height")
    parser.add_argument("--times", type=int, default=20, help="how often each")
    options = parser.parse_args()
    started = time.perf_counter()
    if why := decoder.unconfined():
        raise SystemExit(f"photos are decoded in the program itself, since {why}")
    print(f"started in {time.perf_counter() - started:.2f} s: {', '.join(decoder.limits())}")
    draw = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as folder:
        for size in options.sizes.split(","):
            width, height = map(int, size.split("x"))
            pixels = draw.integers(0, 256, (height, width, 3), np.uint8)
            for kind in ("jpg", "png"):
                path = Path(folder, f"a.{kind}")
                Image.fromarray(pixels).save(path)
                here, there, header = (
                    median(lambda read=read, path=path: read(path), options.times)  # type: ignore[misc]
                    for read in (photo.read, decoder.read, decoder.header)
                )
                print(
                    f"{size:>9} {kind}: {here:7.1f} ms in the program, {there:7.1f} ms by the "
                    f"process ({there - here:+.1f} ms), its header {header:.1f} ms",
                    flush=True,
                )


if __name__ == "__main__":
    main()
