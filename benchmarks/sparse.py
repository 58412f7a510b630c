"""Seconds of the sparse method against those of the paper's on the PyTorch twin, in one run.

    python -m benchmarks.sparse --folder=FOLDER --size=256,512 --steps=1500

Of a photo's centre, for each size: the seconds of the sparse method at its defaults (the median of
the turns, compiled before; the whole of `sparse.anonymize`, the search for the PSNR included),
aware and blind; the twin's seconds a step at the paper's settings (its 512 input channels, fresh
noise), in turns with them. How far the paper's schedule has come after --steps steps is measured on
a 128x128 crop, where a step is cheap, with 32 input channels. If that is below the sparse method's
PSNR, the number of steps is a lower bound, and so is the ratio of the times. Needs the extra
`torch`.
"""

import argparse
import statistics
import time
from pathlib import Path

import jax
import numpy as np

from benchmarks import run
from dippas_jax import config as configuration
from dippas_jax.datasets import reader
from dippas_jax.io import files
from dippas_jax.prior import anonymize as prior
from dippas_jax.sparse import anonymize as sparse
from dippas_jax.types import Sample


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.sparse", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--folder", type=Path, required=True, help="photos with fingerprints")
    parser.add_argument("--size", default="256,512", help="sides of the crops, pixels")
    parser.add_argument("--target", type=float, default=42.0, help="PSNR asked for, dB")
    parser.add_argument("--steps", type=int, default=1500, help="of the paper's schedule")
    parser.add_argument("--turns", type=int, default=3, help="turns of each side")
    parser.set_defaults(noise=0.1, photos=1, device="cpu")  # of the twin
    options = parser.parse_args()
    files.cache_compilations()
    reached = plain(options.folder, options.steps)
    print(f"the paper's schedule, {options.steps} steps at 128x128: {reached:.2f} dB", flush=True)
    turn_steps, options.steps = options.steps, 2
    for size in map(int, options.size.split(",")):
        compare(size, turn_steps, options)


def _sample(folder: Path, size: int) -> Sample:
    records = reader.load(
        configuration.Data(folder=str(folder), photos=("crop512",), crop=size, limit=1)
    )
    return records[0].read()


def plain(folder: Path, steps: int) -> float:
    """PSNR of the paper's schedule after so many steps, dB."""
    sample = _sample(folder, 128)
    config = configuration.Config(
        generator=configuration.Generator(
            widths=(16, 32, 64, 128, 256), skips=(16, 32, 64, 128), output="sigmoid"
        ),
        inversion=configuration.Inversion(
            learning_rate=1e-3, noise_std=0.1, max_steps=steps, stop_psnr=200.0, rollback=0.0
        ),
        assembly=configuration.Assembly(thresholds=(60.0,)),
    )
    result = prior.invert(jax.random.key(0), sample.pixels, sample.fingerprint, config)
    return result.psnr  # no snapshot passes the threshold, so it is that of the best one


def compare(size: int, steps: int, options: argparse.Namespace) -> None:
    """One line for a size."""
    sample = _sample(options.folder, size)

    def timed(fingerprint: np.ndarray | None) -> tuple[float, float]:
        start = time.perf_counter()
        made = sparse.anonymize(
            jax.random.key(0), sample.pixels, fingerprint, target_psnr=options.target
        )
        return time.perf_counter() - start, made.psnr

    known = (sample.fingerprint, None)
    for fingerprint in known:
        timed(fingerprint)  # compiles
    twin = run.Side("torch", size, 512, options)
    ours: list[list[float]] = [[], []]
    for _ in range(options.turns):
        for times, fingerprint in zip(ours, known, strict=True):
            seconds, psnr = timed(fingerprint)
            times.append(seconds)
        twin.turn()
    twin.close()
    aware, blind = (statistics.median(times) for times in ours)
    step = twin.median("seconds")
    print(
        f"{size:4d}: sparse {aware:.2f} s aware, {blind:.2f} s blind, {psnr:.2f} dB; twin "
        f"{step:.2f} s a step, {steps} steps {step * steps:.0f} s: "
        f"{step * steps / aware:.0f} times as long",
        flush=True,
    )


if __name__ == "__main__":
    main()
