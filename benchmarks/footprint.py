"""Seconds and peak memory of every anonymiser, each in a process of its own.

    python -m benchmarks.footprint --size=512
    python -m benchmarks.footprint --size=512 --methods=inpainting,sparse,sparse-aware

A synthetic photo of --size pixels a side. Printed are wall and CPU seconds of the first photo,
compilation included, and of the second, and the peak memory of the process above that of one that
has imported the program and read the photo. [8] takes minutes, so name it in --methods to see it.
"""

import argparse
import functools
import multiprocessing
import resource
import time
from collections.abc import Callable

import jax
import numpy as np

from benchmarks import defaults
from dippas_jax import baselines
from dippas_jax.datasets import synthetic
from dippas_jax.sparse import anonymize as sparse

LARGEST = 400  # pixels a side, of the picture that is photographed
OURS = {"sparse": False, "sparse-aware": True}
SLOW = ("overfitted_wavelet", "overfitted_learned", "dncnn")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.footprint", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--size", type=int, default=512, help="side of the photo, pixels")
    every = [*(name for name in baselines.METHODS if name not in SLOW), *OURS]
    parser.add_argument("--methods", default=",".join(every))
    options = parser.parse_args()
    defaults.print_header("method first_s first_cpu_s second_s second_cpu_s peak_MiB")
    spawning = multiprocessing.get_context("spawn")
    for name in options.methods.split(","):
        with spawning.Pool(1) as pool:
            defaults.print_row([name, *pool.apply(measured, (name, options.size))])


def measured(name: str, size: int) -> tuple[float, ...]:
    """Wall and CPU seconds of the first and of the second photo, and the peak in MiB."""
    pixels, fingerprint = photo(size)
    work = method(name)
    jax.block_until_ready(jax.numpy.zeros(1))
    idle = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    seconds: list[float] = []
    for seed in range(2):
        wall, used = time.perf_counter(), time.process_time()
        np.asarray(work(jax.random.key(seed), pixels, fingerprint))
        seconds += [time.perf_counter() - wall, time.process_time() - used]
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - idle
    return *seconds, peak / 1024


def photo(size: int) -> tuple[np.ndarray, np.ndarray]:
    """A photo [size size 3] of a synthetic camera, mirrored where it is large, and its K."""
    camera = synthetic.Camera()
    scene = synthetic.scene(0, min(size, LARGEST))
    beyond = (0, size - len(scene))
    pixels = synthetic.expose(camera, np.pad(scene, (beyond, beyond, (0, 0)), "symmetric"), 0)
    return pixels, camera.fingerprint(size, size).astype(np.float32)


def method(name: str) -> Callable[..., np.ndarray]:
    """The function of one of `baselines.METHODS` or `OURS`."""
    if name in OURS:
        return functools.partial(_sparse, aware=OURS[name])
    return baselines.METHODS[name].anonymize


def _sparse(key, pixels, fingerprint, *, aware):
    return sparse.anonymize(key, pixels, fingerprint if aware else None).pixels


if __name__ == "__main__":
    main()
