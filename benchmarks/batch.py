"""A batch of photos against one photo after the other, by each way of working on a batch.

    python -m benchmarks.batch --sizes=128,256 --slots=1,8
    python -m benchmarks.batch --mixed=20 --sizes=64 --slots=8

Every case is a process of its own: N photos of noise through the default network, `--chunks` chunks
of 25 steps each, all compiled before. Cases alternate, `--turns` times, and the fastest counts.
Printed are seconds of the wall and of the CPU for one step of one photo, that over the wall
seconds of one photo after the other (`way` "alone": `prior.anonymize.advance`), the peak of the
process, and the time to compile.

With --mixed so many photos of mixed difficulty, from smooth to noisy, are brought to 38 dB through
the first of --slots, at the first of --sizes. Printed is how many slots were at work over time, a
row whenever that changes, and how many rounds of chunks it took: beside how many it would take at
least, and if groups of as many photos as slots each waited for their slowest.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Iterator

import jax
import jax.numpy as jnp
import numpy as np

from dippas_jax import config as configuration
from dippas_jax.prior import anonymize, batch, inversion


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.batch", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--sizes", default="128,256")
    parser.add_argument("--slots", default="1,8")
    parser.add_argument("--ways", default="map,vmap")
    parser.add_argument("--chunks", type=int, default=2)
    parser.add_argument("--turns", type=int, default=2)
    parser.add_argument("--mixed", type=int, default=0, help="photos of mixed difficulty")
    parser.add_argument("--case", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.case:
        way, slots, size = options.case.split(",")
        print(json.dumps(_measured(way, int(slots), int(size), options.chunks)))
        return
    if options.mixed:
        size, slots = (int(given.split(",")[0]) for given in (options.sizes, options.slots))
        _print_use(options.mixed, slots, size)
        return
    if (load := os.getloadavg()[0]) > 1:
        print(f"the machine is not quiet (load {load:.1f}): only ratios within this run count")
    print("| size | way | photos | s a step | CPU s a step | over alone | peak MiB | compile s |")
    print("|---|---|---|---|---|---|---|---|")
    for size in map(int, options.sizes.split(",")):
        cases = [("alone", 1)]
        cases += [(w, int(n)) for w in options.ways.split(",") for n in options.slots.split(",")]
        best: dict[tuple[str, int], dict[str, float]] = {}
        for _ in range(options.turns):
            for case in cases:
                row = _of_process(*case, size, options.chunks)
                if case not in best or row["wall"] < best[case]["wall"]:
                    best[case] = row
        for (way, slots), row in best.items():
            print(
                f"| {size} | {way} | {slots} | {row['wall']:.3f} | {row['cpu']:.3f} | "
                f"{row['wall'] / best[cases[0]]['wall']:.2f} | {row['peak']:.0f} | "
                f"{row['compile']:.1f} |",
                flush=True,
            )


def _of_process(way: str, slots: int, size: int, chunks: int) -> dict[str, float]:
    command = [sys.executable, "-m", "benchmarks.batch", f"--case={way},{slots},{size}"]
    done = subprocess.run(
        [*command, f"--chunks={chunks}"], check=True, capture_output=True, text=True
    )
    return json.loads(done.stdout.splitlines()[-1])


def _measured(way: str, slots: int, size: int, chunks: int) -> dict[str, float]:
    """Seconds of a step of a photo."""
    config = configuration.Config(
        inversion=configuration.Inversion(stop_psnr=99.0, max_steps=25 * (chunks + 1))
    )
    jobs = []
    for seed in range(slots):
        draw = np.random.default_rng(seed)
        photo = draw.integers(0, 256, (size, size, 3), np.uint8)
        plane = draw.normal(0, 1, (size, size)).astype(np.float32)
        problem = inversion.problem(jax.random.key(seed), photo, plane)
        jobs.append(batch.Job(problem, plane, anonymize.start(problem, config)))
    begun = time.monotonic()
    marks: list[tuple[float, float]] = []

    def mark(_: object = None) -> None:
        marks.append((time.monotonic(), time.process_time()))

    if way == "alone":
        ((problem, plane, progress, _),) = jobs
        plane = jnp.asarray(plane)
        anonymize.compile_chunk(progress, problem, plane, config)
        mark()
        for _ in range(chunks + 1):
            progress = anonymize.advance_compiled(progress, problem, plane, config=config)
            jax.block_until_ready(progress)
            mark()
    else:
        for _ in batch.inverted(jobs, config, slots=slots, way=way, ahead=0, on_chunk=mark):
            pass
    # The first chunk also touches its memory for the first time.
    (wall, cpu), (wall_end, cpu_end) = marks[1], marks[chunks + 1]
    steps = 25 * chunks * slots
    return {
        "wall": (wall_end - wall) / steps,
        "cpu": (cpu_end - cpu) / steps,
        "peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "compile": marks[0][0] - begun,
    }


def _print_use(photos: int, slots: int, size: int) -> None:
    """Slots at work over time; a slot takes the next photo when the one in it is done."""
    config = configuration.Config(
        inversion=configuration.Inversion(stop_psnr=38.0, max_steps=500, chunk=10),
        assembly=configuration.Assembly(thresholds=(37.0,)),
    )

    def jobs() -> Iterator[batch.Job]:
        for number in range(photos):
            draw = np.random.default_rng(number)
            places = np.meshgrid(*[np.arange(size) / size] * 2, draw.uniform(1, 4, 3))
            smooth = 128 + 60 * np.sin(places[0] * places[2] * 3) * np.cos(places[1] * places[2])
            noise = draw.normal(0, 15 * draw.uniform() ** 3, smooth.shape)
            photo = np.clip(np.rint(smooth + noise), 0, 255).astype(np.uint8)
            plane = draw.normal(0, 1, (size, size)).astype(np.float32)
            problem = inversion.problem(jax.random.key(number), photo, plane)
            yield batch.Job(problem, plane, anonymize.start(problem, config))

    marks: list[tuple[float, float]] = []
    use: list[int] = []  # slots at work, round by round

    def mark(running: batch.Running) -> None:
        marks.append((time.monotonic(), time.process_time()))
        if len(marks) == 1:
            return  # all is compiled
        if not use or len(running.psnr) != use[-1]:
            since = marks[-2][0] - marks[0][0]
            print(f"| {since:.1f} | {len(use)} | {len(running.psnr)} | {len(steps)} |", flush=True)
        use.append(len(running.psnr))

    steps: dict[int, int] = {}
    print("| from s | from round | slots at work | photos done |\n|---|---|---|---|")
    for number, progress in batch.inverted(jobs(), config, slots=slots, ahead=0, on_chunk=mark):
        steps[number] = int(progress.steps)
    chunks = [-(-steps[number] // config.inversion.chunk) for number in range(photos)]
    groups = sum(max(chunks[first : first + slots]) for first in range(0, photos, slots))
    busy = [count == slots for count in use]
    wall, cpu = (end - begin for begin, end in zip(marks[0], marks[-1], strict=True))
    few, median, many = np.percentile(list(steps.values()), [0, 50, 100])
    print(
        f"{photos} photos of {size}×{size} took {few:.0f} to {many:.0f} steps, median "
        f"{median:.0f}: {wall:.1f} s, {cpu:.1f} s of the CPU\n"
        f"all {slots} slots were at work in {sum(busy)} of {len(use)} rounds, "
        f"{np.mean(use) / slots:.0%} of the slots on average\n"
        f"at least {max(-(-sum(chunks) // slots), max(chunks))} rounds are needed; groups of "
        f"{slots} that wait for their slowest would take {groups}"
    )


if __name__ == "__main__":
    main()
