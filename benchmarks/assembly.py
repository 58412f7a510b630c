"""Time of choosing and averaging blocks, in the form of the paper's table 5.

    python -m benchmarks.assembly --size=512 --snapshots=1355
    python -m benchmarks.assembly --size=512 --snapshots=1355 --measure=100

The paper's photo had 1,355 snapshots of 512x512 above 38 dB. Made-up snapshots go through the
pipeline's own functions chunk by chunk: extraction of residuals, merging into the pool of the 100
best blocks (NCC and order), and the average of the L best. CPU seconds (all threads) and wall
seconds, compilation left out. Extraction and merging take the same for every snapshot: with
--measure only so many are made, and the figures are scaled to --snapshots.
"""

import argparse
import functools
import time
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from dippas_jax.prior import pool
from dippas_jax.signal import blocks, residual

CHUNK = 25  # snapshots at a time, as in a run
CAPACITY = 100  # the largest L of the paper
SIDES = (512, 64)
LENGTHS = (1, 10, 50, 100)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", type=int, default=512, help="side of the photo, pixels")
    parser.add_argument("--snapshots", type=int, default=1355, help="above the threshold")
    parser.add_argument("--measure", type=int, default=0, help="snapshots to make; 0 for all")
    options = parser.parse_args()
    size, wanted = options.size, options.snapshots
    made = max(CHUNK, (options.measure or wanted) // CHUNK * CHUNK)
    draw = np.random.default_rng(0)
    fingerprint = jnp.asarray(draw.normal(0, 1, (size, size)), jnp.float32)
    extract = jax.jit(lambda snapshots: jax.lax.map(residual.residual, snapshots))
    snapshots = jnp.asarray(draw.integers(0, 256, (CHUNK, size, size, 3), np.uint8))
    admitted = jnp.ones(CHUNK, bool)
    planes = extract(snapshots)

    def scaled(work: Callable[[], object]) -> tuple[float, float]:
        return tuple(seconds * wanted / made for seconds in timed(work, made // CHUNK))

    rows = [("noise extraction", "all", *scaled(lambda: extract(snapshots)))]
    for side in dict.fromkeys(blocks.side_for(side, size, size) for side in SIDES):
        kept = pool.empty(size, size, side=side, capacity=CAPACITY)
        for _ in range(-(-CAPACITY // CHUNK)):  # full, and compiled
            kept = pool.merge_compiled(kept, snapshots, planes, fingerprint, admitted)

        def merge() -> pool.Pool:
            nonlocal kept
            kept = pool.merge_compiled(kept, snapshots, planes, fingerprint, admitted)
            return kept

        rows.append(("NCC and order", f"B {side}", *scaled(merge)))
        best = pool.Best(snapshots[0], jnp.zeros(()))
        for length in LENGTHS:
            assemble = functools.partial(pool.assemble, kept, best, length)
            jax.block_until_ready(assemble())
            rows.append(("average", f"B {side}, L {length}", *timed(assemble, 1)))
    print(f"{wanted} snapshots of {size}x{size}, {made} of them measured")
    print(f"{'step':18}{'':14}{'CPU s':>9}{'wall s':>9}")
    for step, what, cpu, wall in rows:
        print(f"{step:18}{what:14}{cpu:9.2f}{wall:9.2f}")


def timed(work: Callable[[], object], times: int) -> tuple[float, float]:
    """CPU and wall seconds of so many calls."""
    cpu, wall = time.process_time(), time.perf_counter()
    for _ in range(times):
        jax.block_until_ready(work())
    return time.process_time() - cpu, time.perf_counter() - wall


if __name__ == "__main__":
    main()
