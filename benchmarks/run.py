"""Speed and memory, ours against PyTorch, as ratios within one run.

    python -m benchmarks.run --case=inversion_step --size=128,256,512 --depth=32,512
    python -m benchmarks.run --case=inversion_step --size=128 --depth=32 --json

Each side runs in a process of its own, so that its peak memory is its own; the two take turns, and
the ratio is the median over turns of PyTorch's time over ours: above 1, ours is faster. Needs the
extra `torch`.
"""

import argparse
import json
import resource
import statistics
import subprocess
import sys
import time

CASES = ("inversion_step",)


def _network(depth: int):
    """The paper's network, with so many channels of input noise."""
    from dippas_jax import config as configuration

    return configuration.Generator(
        depth=depth,
        widths=(16, 32, 64, 128, 256),
        skips=(16, 32, 64, 128),
        output="sigmoid",
    )


def _jax_worker(size: int, depth: int, steps: int, noise: float):
    """Yields the seconds of compilation, then, for ever, seconds a step."""
    import jax

    from dippas_jax import config as configuration
    from dippas_jax.prior import inversion

    config = configuration.Config(
        generator=_network(depth),
        inversion=configuration.Inversion(chunk=steps, noise_std=noise, rollback=0.0),
    )
    photo, fingerprint = _inputs(size)
    problem = inversion.problem(jax.random.key(0), jax.numpy.asarray(photo), fingerprint)
    state = inversion.init_compiled(problem, config=config)
    start = time.perf_counter()
    chunk = inversion.chunk_compiled.lower(state, problem, config=config).compile()
    yield time.perf_counter() - start
    while True:
        start = time.perf_counter()
        state, _ = jax.block_until_ready(chunk(state, problem))
        yield (time.perf_counter() - start) / steps


def _torch_worker(size: int, depth: int, steps: int, noise: float, compiled: bool = False):
    import os

    import torch

    from benchmarks import twin
    from dippas_jax import config as configuration

    torch.manual_seed(0)
    torch.set_num_threads(len(os.sched_getaffinity(0)))
    torch.set_flush_denormal(True)
    net = twin.Generator(_network(depth))
    net = net.to(memory_format=torch.channels_last)
    if compiled:
        net = torch.compile(net)
    photo, fingerprint = _inputs(size)
    config = configuration.Inversion()
    run = twin.Inversion(net, photo / 255, fingerprint, config)
    z = config.input_std * torch.randn(1, depth, size, size)
    z = z.contiguous(memory_format=torch.channels_last)
    start = time.perf_counter()
    run.step(z)
    yield time.perf_counter() - start
    while True:
        start = time.perf_counter()
        for _ in range(steps):
            fresh = z + noise * torch.randn_like(z) if noise else z
            image = run.step(fresh)
        float(image)
        yield (time.perf_counter() - start) / steps


def _inputs(size: int):
    import numpy as np

    generator = np.random.default_rng(0)
    photo = generator.integers(0, 256, (size, size, 3), np.uint8)
    return photo, generator.normal(0, 0.01, (size, size)).astype(np.float32)


def _work(options: argparse.Namespace) -> None:
    """A side's process: an answer for every line on stdin."""
    arguments = int(options.size), int(options.depth), options.steps, options.noise
    if options.worker == "jax":
        worker = _jax_worker(*arguments)
    else:
        worker = _torch_worker(*arguments, compiled=options.worker == "torch-compiled")
    for seconds, _ in zip(worker, sys.stdin, strict=False):
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        print(json.dumps({"seconds": seconds, "peak_mib": peak / 1024}), flush=True)


class Side:
    """One side's process."""

    def __init__(self, worker: str, size: int, depth: int, options: argparse.Namespace):
        self._process = subprocess.Popen(
            [
                *(sys.executable, "-m", "benchmarks.run", f"--worker={worker}"),
                *(f"--size={size}", f"--depth={depth}"),
                *(f"--steps={options.steps}", f"--noise={options.noise}"),
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.compile = self._ask()["seconds"]
        self.peak = 0.0
        self.turn()  # a first turn warms caches and threads and is not counted
        self.times: list[float] = []

    def _ask(self) -> dict[str, float]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            raise SystemExit("benchmarks: a side stopped early; its message is above")
        return json.loads(line)

    def turn(self) -> float:
        """Seconds a step, of one turn."""
        answer = self._ask()
        self.peak = answer["peak_mib"]
        return answer["seconds"]

    def close(self) -> None:
        """Ends the process."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()


def inversion_step(size: int, depth: int, options: argparse.Namespace) -> dict:
    """One step of the paper's inversion: forward, backward, optimiser, fresh noise, snapshot."""
    theirs = "torch-compiled" if options.torch_compile else "torch"
    ours, other = (Side(worker, size, depth, options) for worker in ("jax", theirs))
    for _ in range(options.turns):
        ours.times.append(ours.turn())
        other.times.append(other.turn())
    ours.close()
    other.close()
    return {
        "case": "inversion_step",
        "size": size,
        "depth": depth,
        "noise_std": options.noise,
        "compile_s": ours.compile,
        "step_s": statistics.median(ours.times),
        "torch_step_s": statistics.median(other.times),
        "torch": theirs,
        "ratio": statistics.median(b / a for a, b in zip(ours.times, other.times, strict=True)),
        "peak_mib": ours.peak,
        "torch_peak_mib": other.peak,
    }


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.run", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--case", choices=CASES, default=CASES[0])
    parser.add_argument("--size", default="128,256", help="sides of the photo, pixels")
    parser.add_argument("--depth", default="32", help="channels of the input noise")
    parser.add_argument("--noise", type=float, default=0.1, help="fresh input noise a step")
    parser.add_argument("--steps", type=int, default=5, help="steps a turn")
    parser.add_argument("--turns", type=int, default=5, help="turns of each side")
    parser.add_argument("--torch-compile", action="store_true", help="torch.compile the twin")
    parser.add_argument("--json", action="store_true", help="one JSON line a case")
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        _work(options)
        return
    if not options.json:
        print(" size depth  compile  ours s/step  torch s/step  ratio  ours MiB  torch MiB")
    for depth in map(int, options.depth.split(",")):
        for size in map(int, options.size.split(",")):
            row = inversion_step(size, depth, options)
            if options.json:
                print(json.dumps(row), flush=True)
            else:
                print(
                    f"{size:5d} {depth:5d} {row['compile_s']:7.1f}s {row['step_s']:12.3f} "
                    f"{row['torch_step_s']:13.3f} {row['ratio']:6.2f} {row['peak_mib']:9.0f} "
                    f"{row['torch_peak_mib']:10.0f}",
                    flush=True,
                )


if __name__ == "__main__":
    main()
