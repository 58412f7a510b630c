"""Peak memory of a run against its number of steps: it must not grow with them.

    python -m benchmarks.memory --size=512 --depth=32 --steps=1000,3000 --widths=8,16
    python -m benchmarks.memory --size=512 --depth=32 --steps=50,150

Each run is a process of its own: a made-up photo, every snapshot admitted to the pool. The first
command uses a narrow network, so that thousands of steps are affordable on a CPU: everything that
could grow with the steps (pool, history, snapshots) is as in the full one. Without --widths the
network is the paper's.
"""

import argparse
import json
import os
import subprocess
import sys
import time


def _run(size: int, depth: int, widths: tuple[int, ...], steps: int) -> None:
    import jax
    import numpy as np

    from dippas_jax import anonymize, inversion
    from dippas_jax import config as c

    network = c.Generator(depth=depth)
    if widths:
        network = c.Generator(depth=depth, widths=widths, skips=widths[:-1])
    config = c.Config(
        generator=network,
        inversion=c.Inversion(learning_rate=1e-2, max_steps=steps, stop_psnr=200.0),
        assembly=c.Assembly(thresholds=(1.0,)),
    )
    draw = np.random.default_rng(0)
    photo = jax.numpy.asarray(draw.integers(0, 256, (size, size, 3), np.uint8))
    fingerprint = draw.normal(0, 1, (size, size)).astype(np.float32)
    problem = inversion.problem(jax.random.key(0), photo, jax.numpy.asarray(fingerprint))
    progress = anonymize.start(problem, config)
    while not anonymize.finished(progress, config):
        progress = anonymize.advance(progress, problem, problem.fingerprint, config)
    (result,) = anonymize.assemble(progress, config)
    print(json.dumps({"steps": int(progress.steps), "snapshots": result.snapshots}))


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.memory", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--size", type=int, default=512, help="side of the photo, pixels")
    parser.add_argument("--depth", type=int, default=32, help="channels of the input noise")
    parser.add_argument("--widths", default="", help="of the network; empty for the paper's")
    parser.add_argument("--steps", default="1000,3000", help="numbers of steps to compare")
    parser.add_argument("--worker", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        widths = tuple(map(int, options.widths.split(","))) if options.widths else ()
        _run(options.size, options.depth, widths, int(options.steps))
        return
    first = None
    for steps in options.steps.split(","):
        start = time.monotonic()
        process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.memory", "--worker", f"--steps={steps}"]
            + [f"--{name}={getattr(options, name)}" for name in ("size", "depth", "widths")],
            stdout=subprocess.PIPE,
            text=True,
        )
        said = json.loads(process.stdout.read())  # type: ignore[union-attr]
        _, status, usage = os.wait4(process.pid, 0)
        if status:
            raise SystemExit("benchmarks: a run failed; its message is above")
        peak = usage.ru_maxrss / 1024
        first = first or peak
        print(
            f"{said['steps']:6d} steps, {said['snapshots']} snapshots: peak {peak:.0f} MiB, "
            f"{100 * (peak / first - 1):+.1f} % of the first, {time.monotonic() - start:.0f} s",
            flush=True,
        )


if __name__ == "__main__":
    main()
