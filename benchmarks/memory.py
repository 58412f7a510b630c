"""Peak memory of a run along its steps: it must not grow with them.

    python -m benchmarks.memory --size=512 --depth=32 --steps=1000,3000 --widths=8
    python -m benchmarks.memory --size=512 --depth=32 --steps=50,150

A made-up photo, every snapshot admitted to the pool; printed is the largest memory that the process
has held up to each number of steps. The first command uses a narrow network, so that thousands of
steps are affordable on a CPU: all that could grow with the steps (pool, history, snapshots) is as
in the full one. Without --widths it has the paper's scales.
"""

import argparse
import resource
import time

import jax
import numpy as np

from dippas_jax import config as configuration
from dippas_jax.prior import anonymize, inversion


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.memory", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--size", type=int, default=512, help="side of the photo, pixels")
    parser.add_argument("--depth", type=int, default=32, help="channels of the input noise")
    parser.add_argument("--widths", default="16,32,64,128,256", help="of the network")
    parser.add_argument("--steps", default="1000,3000", help="numbers of steps to compare")
    options = parser.parse_args()
    widths = tuple(map(int, options.widths.split(",")))
    network = configuration.Generator(options.depth, widths, widths[:-1])
    marks = sorted(map(int, options.steps.split(",")))
    config = configuration.Config(
        generator=network,
        inversion=configuration.Inversion(
            learning_rate=1e-2, noise_std=0.0, max_steps=marks[-1], stop_psnr=200.0
        ),
        assembly=configuration.Assembly(thresholds=(1.0,)),
    )
    draw = np.random.default_rng(0)
    photo = draw.integers(0, 256, (options.size, options.size, 3), np.uint8)
    fingerprint = draw.normal(0, 1, photo.shape[:2]).astype(np.float32)
    problem = inversion.problem(jax.random.key(0), photo, fingerprint)
    start, first = time.monotonic(), 0.0
    progress = anonymize.start(problem, config)
    while not anonymize.finished(progress, config):
        progress = anonymize.advance_compiled(progress, problem, problem.fingerprint, config=config)
        while marks and progress.steps >= marks[0]:
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
            first = first or peak
            print(
                f"{marks.pop(0):6d} steps: peak {peak:.0f} MiB, {100 * (peak / first - 1):+.1f} % "
                f"of the first, {time.monotonic() - start:.0f} s",
                flush=True,
            )


if __name__ == "__main__":
    main()
