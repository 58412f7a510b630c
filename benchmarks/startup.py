"""From nothing to the first step of an inversion, with an empty and with a warm compilation cache.

    python -m benchmarks.startup --size=128

Every case is a process of its own that imports the package, states the inversion of a photo of
noise, and does one chunk of two steps: with the default network ("small") and with that of `:paper`
("full"). In each of --turns turns a process has an empty cache and the next one what that has left
there; the fastest counts. What the system has read from disk stays in its memory, so "empty" is no
machine that has just started. Printed are seconds of the wall and of the CPU: of `import
dippas_jax`, which loads no library; of the first look at `dippas_jax.invert`, which loads JAX and
all that the prior needs; from there to the end of the first chunk; and of the whole process.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time

NETWORKS = ("small", "full")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.startup", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--size", type=int, default=128, help="side of the photo, pixels")
    parser.add_argument("--networks", default=",".join(NETWORKS))
    parser.add_argument("--turns", type=int, default=2)
    parser.add_argument("--case", help=argparse.SUPPRESS)
    options = parser.parse_args()
    networks = options.networks.split(",")
    if unknown := set(networks) - set(NETWORKS):
        parser.error(f"there is no network {min(unknown)}; choose small, full or both")
    if options.case:
        print(json.dumps(_measured(options.case, options.size)))
        return
    if (load := os.getloadavg()[0]) > 1:
        print(f"the machine is not quiet (load {load:.1f}): only CPU seconds count")
    print(
        "| network | cache | import s | CPU s | libraries s | CPU s | first step s | CPU s "
        "| process s | CPU s |\n|---|---|---|---|---|---|---|---|---|---|"
    )
    for network in networks:
        best: dict[str, dict[str, float]] = {}
        for _ in range(options.turns):
            with tempfile.TemporaryDirectory() as folder:
                for cache in ("empty", "warm"):
                    row = _of_process(network, options.size, folder)
                    if cache not in best or row["process"] < best[cache]["process"]:
                        best[cache] = row
        for cache, row in best.items():
            print(f"| {network} | {cache} | ", end="")
            print(" | ".join(f"{value:.2f}" for value in row.values()), "|", flush=True)


def _of_process(network: str, size: int, folder: str) -> dict[str, float]:
    """Its own figures, and those of the whole process as its parent sees them."""
    command = [sys.executable, "-m", "benchmarks.startup", f"--case={network}", f"--size={size}"]
    begun, before = time.monotonic(), os.times()
    done = subprocess.run(
        command,
        env=os.environ | {"JAX_COMPILATION_CACHE_DIR": folder},
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    )
    after = os.times()
    cpu = after.children_user - before.children_user + after.children_system
    return json.loads(done.stdout.splitlines()[-1]) | {
        "process": time.monotonic() - begun,
        "process_cpu": cpu - before.children_system,
    }


def _measured(network: str, size: int) -> dict[str, float]:
    """Seconds of the imports and of the first step, wall and CPU."""
    marks = [(time.monotonic(), time.process_time())]
    import dippas_jax

    marks.append((time.monotonic(), time.process_time()))
    _ = dippas_jax.invert
    marks.append((time.monotonic(), time.process_time()))
    import jax
    import numpy as np

    from dippas_jax import config as configuration
    from dippas_jax.io import files
    from dippas_jax.prior import anonymize, inversion

    files.cache_compilations()
    full = configuration.Generator(512, (16, 32, 64, 128, 256), (16, 32, 64, 128), output="sigmoid")
    config = configuration.Config(
        generator=full if network == "full" else configuration.Generator(),
        inversion=configuration.Inversion(
            chunk=2, max_steps=2, noise_std=0.1 if network == "full" else 0.0
        ),
    )
    draw = np.random.default_rng(0)
    photo = draw.integers(0, 256, (size, size, 3), np.uint8)
    plane = draw.normal(0, 1, (size, size)).astype(np.float32)
    problem = inversion.problem(jax.random.key(0), photo, plane)
    progress = anonymize.start(problem, config)
    jax.block_until_ready(
        anonymize.advance_compiled(progress, problem, problem.fingerprint, config=config)
    )
    marks.append((time.monotonic(), time.process_time()))
    found = {}
    for name, before, after in zip(("import", "libraries", "step"), marks, marks[1:], strict=False):
        found |= {name: after[0] - before[0], f"{name}_cpu": after[1] - before[1]}
    return found


if __name__ == "__main__":
    main()
