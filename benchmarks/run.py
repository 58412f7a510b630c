"""Speed and memory, ours against PyTorch, as ratios within one run.

    python -m benchmarks.run --size=128,256,512 --depth=32,512
    python -m benchmarks.run --size=128,256 --photos=8 --sides=torch,torch-vmap
    JAX_PLATFORMS=cuda python -m benchmarks.run --size=128,256,512 --device=cuda

Each side runs in a process of its own, so that its peak memory is its own. All take turns, and a
ratio is the median over turns of PyTorch's time over ours: above 1, ours is faster. Sides are
`torch`, one photo after the other; `torch-compiled`, the same by torch.compile; `torch-vmap`, all
photos by torch.func.vmap. Ours works on several photos as `prior.batch` would. Seconds are those of
a step of one photo. Where other programs keep the machine busy, its ratios are no result: the
program then ends with code 1. Needs the extra `torch`.
"""

import argparse
import functools
import json
import os
import resource
import statistics
import subprocess
import sys
import time

BUSY = 1.0  # load of other programs before the first turn above which nothing is concluded


def _network(depth: int):
    """The paper's network, with so many channels of input noise."""
    from dippas_jax import config as configuration

    return configuration.Generator(
        depth=depth,
        widths=(16, 32, 64, 128, 256),
        skips=(16, 32, 64, 128),
        output="sigmoid",
    )


def _clock() -> tuple[float, float]:
    return time.perf_counter(), time.process_time()


def _since(start: tuple[float, float], steps: int) -> dict[str, float]:
    wall, cpu = _clock()
    return {"seconds": (wall - start[0]) / steps, "cpu": (cpu - start[1]) / steps}


def _jax_worker(options: argparse.Namespace):
    """Yields the time of compilation, then, for ever, that of a step of one photo."""
    import jax

    from dippas_jax import config as configuration
    from dippas_jax.prior import batch, inversion

    size, photos = int(options.size), options.photos
    config = configuration.Config(
        generator=_network(int(options.depth)),
        inversion=configuration.Inversion(
            chunk=options.steps, noise_std=options.noise, rollback=0.0
        ),
    )
    photo, fingerprint = _inputs(size)
    one = functools.partial(inversion.chunk, config=config)
    problem = inversion.problem(jax.random.key(0), jax.numpy.asarray(photo), fingerprint)
    state = inversion.init_compiled(problem, config=config)
    if photos > 1:
        state, problem = jax.tree.map(lambda x: jax.numpy.stack([x] * photos), (state, problem))
        together = batch.way_for(jax.default_backend(), size * size) == "vmap"
        chunk = jax.vmap(one) if together else lambda *of: jax.lax.map(lambda x: one(*x), of)
    else:
        chunk = one
    start = _clock()
    compiled = jax.jit(chunk, donate_argnums=0).lower(state, problem).compile()
    yield _since(start, 1)
    while True:
        start = _clock()
        state, _ = jax.block_until_ready(compiled(state, problem))
        yield _since(start, options.steps * photos)


def _torch_worker(options: argparse.Namespace):
    import torch

    from benchmarks import twin
    from dippas_jax import config as configuration

    size, photos, device = int(options.size), options.photos, options.device
    torch.manual_seed(0)
    torch.set_num_threads(len(os.sched_getaffinity(0)))
    torch.set_flush_denormal(True)
    torch.backends.cudnn.benchmark = True
    photo, fingerprint = _inputs(size)
    config = configuration.Inversion()
    nets = [twin.Generator(_network(int(options.depth))) for _ in range(photos)]
    z = config.input_std * torch.randn(1, int(options.depth), size, size)
    z = z.to(device).contiguous(memory_format=torch.channels_last)

    def fresh():
        return z + options.noise * torch.randn_like(z) if options.noise else z

    if options.worker == "torch-vmap":
        turn = twin.together(nets, photo / 255, fingerprint, config, device)
    else:
        nets = [net.to(memory_format=torch.channels_last) for net in nets]
        if options.worker == "torch-compiled":
            nets = [torch.compile(net) for net in nets]
        runs = [twin.Inversion(net, photo / 255, fingerprint, config, device) for net in nets]

        def turn(zs):
            return [run.step(z) for run, z in zip(runs, zs, strict=True)][-1]

    start = _clock()
    float(turn([fresh() for _ in nets]))
    yield _since(start, 1)
    while True:
        start = _clock()
        for _ in range(options.steps):
            loss = turn([fresh() for _ in nets])
        float(loss)
        yield _since(start, options.steps * photos)


def _inputs(size: int):
    import numpy as np

    generator = np.random.default_rng(0)
    photo = generator.integers(0, 256, (size, size, 3), np.uint8)
    return photo, generator.normal(0, 0.01, (size, size)).astype(np.float32)


def _work(options: argparse.Namespace) -> None:
    """A side's process: an answer for every line on stdin."""
    worker = _jax_worker(options) if options.worker == "jax" else _torch_worker(options)
    for _, times in zip(sys.stdin, worker, strict=False):  # asked first: it works in its turn alone
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        print(json.dumps(times | {"peak_mib": peak / 1024}), flush=True)


class Side:
    """One side's process."""

    def __init__(self, worker: str, size: int, depth: int, options: argparse.Namespace):
        self._process = subprocess.Popen(
            [
                *(sys.executable, "-m", "benchmarks.run", f"--worker={worker}"),
                *(f"--size={size}", f"--depth={depth}", f"--photos={options.photos}"),
                *(f"--steps={options.steps}", f"--noise={options.noise}"),
                f"--device={options.device}",
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.compile = self._ask()["seconds"]
        self._ask()  # a first turn warms caches and threads and is not counted
        self.turns: list[dict[str, float]] = []

    def _ask(self) -> dict[str, float]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            raise SystemExit("benchmarks: a side stopped early; its message is above")
        return json.loads(line)

    def turn(self) -> None:
        """Seconds a step, of one turn, are added."""
        self.turns.append(self._ask())

    def median(self, what: str) -> float:
        """Over the turns."""
        return statistics.median(turn[what] for turn in self.turns)

    def over(self, other: "Side", what: str) -> float:
        """Median over the turns of this side's time over the other's."""
        pairs = zip(self.turns, other.turns, strict=True)
        return statistics.median(mine[what] / theirs[what] for mine, theirs in pairs)

    def close(self) -> None:
        """Ends the process."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()


def inversion_step(size: int, depth: int, options: argparse.Namespace) -> list[dict]:
    """One step of the paper's inversion: forward, backward, optimiser, fresh noise, snapshot."""
    sides = {name: Side(name, size, depth, options) for name in ("jax", *options.sides)}
    for _ in range(options.turns):
        for side in sides.values():
            side.turn()
    rows = []
    for name, side in sides.items():
        side.close()
        rows.append(
            {
                "size": size,
                "depth": depth,
                "photos": options.photos,
                "side": name,
                "step_s": side.median("seconds"),
                "cpu_s": side.median("cpu"),
                "ratio": side.over(sides["jax"], "seconds"),
                "cpu_ratio": side.over(sides["jax"], "cpu"),
                "peak_mib": side.turns[-1]["peak_mib"],
                "compile_s": side.compile,
            }
        )
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.run", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--size", default="128,256", help="sides of the photo, pixels")
    parser.add_argument("--depth", default="32", help="channels of the input noise")
    parser.add_argument("--photos", type=int, default=1, help="inverted at the same time")
    parser.add_argument("--sides", default="torch", help="which to compare with")
    parser.add_argument("--noise", type=float, default=0.1, help="fresh input noise a step")
    parser.add_argument("--steps", type=int, default=20, help="steps a turn")
    parser.add_argument("--turns", type=int, default=3, help="turns of each side")
    parser.add_argument("--device", default="cpu", help="PyTorch's; JAX_PLATFORMS is ours")
    parser.add_argument("--json", action="store_true", help="one JSON line a row")
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        _work(options)
        return
    options.sides = options.sides.split(",")
    load = os.getloadavg()[0]
    if not options.json:
        print(
            "| size | depth | photos | side | s a step | CPU s | over ours | CPU over ours |",
            end="",
        )
        print(" peak MiB | compile s |\n" + "|---" * 10 + "|")
    for depth in map(int, options.depth.split(",")):
        for size in map(int, options.size.split(",")):
            for row in inversion_step(size, depth, options):
                if options.json:
                    print(json.dumps(row), flush=True)
                    continue
                print(
                    f"| {size} | {depth} | {row['photos']} | {row['side']} | {row['step_s']:.4f} | "
                    f"{row['cpu_s']:.4f} | {row['ratio']:.2f} | {row['cpu_ratio']:.2f} | "
                    f"{row['peak_mib']:.0f} | {row['compile_s']:.1f} |",
                    flush=True,
                )
    if load > BUSY:
        raise SystemExit(
            f"benchmarks: the machine was not quiet (load {load:.1f} before the first turn), so "
            "these times are no result; run it again alone"
        )


if __name__ == "__main__":
    main()
