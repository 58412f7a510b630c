"""What the checkpoints of a run write, with pools of the paper's block sides, L and thresholds.

    python -m benchmarks.checkpoints --size=512 --steps=1000 --every=100

Snapshots of noise, all above every threshold and equally good, so that a pool changes as much as it
can: each of n snapshots is among the 100 best at a position with probability 100/n. There is no
network, whose weights and moments (27 MB of `:paper`) each checkpoint holds besides. Printed are,
for every checkpoint, the steps so far, MB of the pools, MB that it wrote, MB on disk, and seconds.
"""

import argparse
import tempfile
import time
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from dippas_jax.io import checkpoint
from dippas_jax.prior import pool

SIDES, CAPACITY, THRESHOLDS, CHUNK = (64, 32, 128, 256, 512), 100, 4, 25


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.checkpoints", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--size", type=int, default=512, help="side of the photo, pixels")
    parser.add_argument("--steps", type=int, default=1000, help="snapshots in all")
    parser.add_argument("--every", type=int, default=100, help="steps between two checkpoints")
    parser.add_argument("--workdir", type=Path, help="where to write; default a temporary folder")
    options = parser.parse_args()
    size = options.size
    sides = [side for side in SIDES if side <= size]
    pools = [
        pool.empty(size, size, side=side, capacity=CAPACITY)
        for side in sides
        for _ in range(THRESHOLDS)
    ]
    draw = np.random.default_rng(0)
    fingerprint = jnp.asarray(draw.normal(0, 1, (size, size)), jnp.float32)
    everything = jnp.ones(CHUNK, bool)
    total = sum(one.blocks.nbytes for one in pools)
    print("| steps | pools MB | written MB | on disk MB | s |\n|---|---|---|---|---|")
    with tempfile.TemporaryDirectory(dir=options.workdir) as folder:
        before: dict[Path, int] = {}
        for step in range(CHUNK, options.steps + 1, CHUNK):
            pixels = jnp.asarray(draw.integers(0, 256, (CHUNK, size, size, 3), np.uint8))
            noise = jnp.asarray(draw.normal(0, 1, (CHUNK, size, size)), jnp.float32)
            pools = [
                pool.merge_compiled(one, pixels, noise, fingerprint, everything) for one in pools
            ]
            if step % options.every:
                continue
            jax.block_until_ready(pools)
            started = time.monotonic()
            checkpoint.save(folder, step, tuple(pools))
            took = time.monotonic() - started
            sizes = {p: p.stat().st_size for p in Path(folder).rglob("*") if p.is_file()}
            new = sum(length - before.get(path, 0) for path, length in sizes.items())
            before, disk = sizes, sum(sizes.values())
            print(
                f"| {step} | {total / 1e6:.0f} | {new / 1e6:.0f} | {disk / 1e6:.0f} | {took:.1f} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
