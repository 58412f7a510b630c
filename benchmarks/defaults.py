"""The study behind the default of configs/aware.py: how small a network hides the camera.

    python -m benchmarks.defaults --folder=FOLDER
    python -m benchmarks.defaults --folder=FOLDER --variants=16-32-64,full --history=psnr.json
    python -m benchmarks.defaults --folder=FOLDER --variants=32-64 --side=256 --blind

FOLDER holds DEVICE/crop512/*, DEVICE/prnu.npy (K, of the same pixels) and DEVICE/flat/*, from whose
centres another fingerprint K' is estimated here. The embedded photo and the centre of each crop are
inverted with each variant, K injected unless --blind is given. Wall seconds, and CPU seconds of all
threads, are those of the whole of `prior.invert`, compiled before; z is that of K, other_z that of
K'. A run that ends by its steps has stalled below the PSNR at which it should stop. Hours on two
CPU cores.
"""

import argparse
import dataclasses
import functools
import runpy
import time
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np

from dippas_jax import config as configuration
from dippas_jax.datasets import reader
from dippas_jax.experiments import overrides, report
from dippas_jax.io import files
from dippas_jax.prior import anonymize, pool
from dippas_jax.signal import blocks, flat_field, image
from dippas_jax.types import Result

VARIANTS = {
    "16-32-64": ((16, 32, 64), 1e-2),
    "32-64": ((32, 64), 1e-2),
    "32-64-128": ((32, 64, 128), 1e-2),
    "24-48-96": ((24, 48, 96), 1e-2),
    "16-32-64-128": ((16, 32, 64, 128), 1e-2),
    "full": ((16, 32, 64, 128, 256), 1e-2),
    "32-64 lr 2e-2": ((32, 64), 2e-2),
}
"""Widths and learning rate; each path between the scales is as wide as the block before it."""

SENSOR = 512  # side of the centre of the sensor that DEVICE/prnu.npy covers, pixels


class Photo(NamedTuple):
    """A photo to invert, with two fingerprints of its camera: K and K'."""

    name: str
    pixels: np.ndarray
    fingerprint: np.ndarray
    other: np.ndarray


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.defaults", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--folder", type=Path, required=True, help="one subfolder a device")
    parser.add_argument("--side", type=int, default=128, help="of the centre crops, pixels")
    parser.add_argument("--variants", default=",".join(VARIANTS), help="names, comma between")
    parser.add_argument("--photos", type=int, default=0, help="at most, the embedded one first")
    parser.add_argument("--blind", action="store_true", help="inject the residual in place of K")
    parser.add_argument("--history", type=Path, help="JSON file for the PSNR of every step")
    options = parser.parse_args()
    variants = options.variants.split(",")
    if unknown := set(variants) - set(VARIANTS):
        parser.error(f"no variant {', '.join(unknown)}; choose from {', '.join(VARIANTS)}")
    photos = read(options.folder, options.side, options.photos)
    print_header(
        "variant photo steps seconds cpu_s psnr snapshots z_before z other_z_before other_z end"
    )
    summaries, histories = [], {variant: {} for variant in variants}
    for variant in variants:
        config = settings(variant, blind=options.blind)
        sizes = {photo.pixels.shape: photo for photo in photos}
        compile_seconds = sum(compile_all(photo, config) for photo in sizes.values())
        rows = []
        for photo in photos:
            figures, histories[variant][photo.name] = measure(photo, config)
            rows.append(figures)
            print_row([variant, photo.name, *figures])
            if options.history:
                files.write_json(options.history, histories)
        summaries.append([variant, compile_seconds, *summarize(rows)])
    print()
    print_header(
        "variant compile_s median_steps most_steps cpu_s psnr max_z rms_z max_other_z stalls"
    )
    for summary in summaries:
        print_row(summary)


def read(folder: Path, side: int, most: int) -> list[Photo]:
    """The embedded photo, then the centres of the crops in the folder."""
    real = configuration.Data(folder=str(folder), photos=("crop512",), crop=side)
    found = [
        (data, record) for data in (configuration.Data(), real) for record in reader.load(data)
    ]
    photos = []
    for data, record in found[: most or None]:
        pixels, fingerprint, _ = record.read()
        plane = other_fingerprint(data, record.device)
        other = image.center_crop(plane, *pixels.shape[:2], axes=(-2, -1))
        photos.append(Photo(record.id, pixels, fingerprint, np.asarray(other)))
    return photos


@functools.cache
def other_fingerprint(data: configuration.Data, device: str) -> np.ndarray:
    """K', from the centres of a camera's flat-field photos."""
    flats = (read() for read in reader.flats(data, device))
    sizes = ((flat, [min(side, SENSOR) for side in flat.shape[:2]]) for flat in flats)
    return np.asarray(flat_field.estimate(image.center_crop(x, *size) for x, size in sizes).plane)


def settings(variant: str, *, blind: bool = False) -> configuration.Config:
    """The default of configs/aware.py with the variant's network and learning rate."""
    base = runpy.run_path(str(overrides.locate("aware")))["SETTINGS"]["default"]
    widths, rate = VARIANTS[variant]
    generator = configuration.Generator(32, widths, skips=widths[:-1], output="linear")
    inversion = dataclasses.replace(base.inversion, learning_rate=rate, noise_std=0.0, rollback=6.0)
    mode = "blind" if blind else "aware"
    return dataclasses.replace(base, mode=mode, generator=generator, inversion=inversion)


def compile_all(photo: Photo, config: configuration.Config) -> float:
    """Seconds until everything is compiled for photos of this size, one chunk of steps included."""
    start = time.perf_counter()
    invert(photo, config, deadline=0.0)  # over after a chunk, of which nothing enters the pool
    h, w = photo.fingerprint.shape
    side, count = blocks.side_for(config.assembly.sides[0], h, w), config.inversion.chunk
    empty = pool.empty(h, w, side=side, capacity=max(config.assembly.averages))
    snapshots, residuals = jnp.zeros((count, h, w, 3), jnp.uint8), jnp.zeros((count, h, w))
    pool.merge_compiled(empty, snapshots, residuals, jnp.zeros((h, w)), np.ones(count, bool))
    return time.perf_counter() - start


def measure(photo: Photo, config: configuration.Config) -> tuple[tuple, np.ndarray]:
    """The figures of a row from its number of steps on, and the PSNR of every step."""
    cpu, start = time.process_time(), time.perf_counter()
    result = invert(photo, config)
    seconds = time.perf_counter() - start, time.process_time() - cpu
    assert result.history is not None
    psnr = result.history.psnr
    z = [
        report.figures(pixels, plane, config.sigma)["z"]
        for plane in (photo.fingerprint, photo.other)
        for pixels in (photo.pixels, result.pixels)
    ]
    end = "psnr" if psnr[-1] > config.inversion.stop_psnr else "steps"
    return (len(psnr), *seconds, result.psnr, result.settings["snapshots"], *z, end), psnr


def invert(photo: Photo, config: configuration.Config, **options: float) -> Result:
    """As `dippas_jax.main` does it with seed 0."""
    key = image.photo_key(0, photo.name)
    known = None if config.mode == "blind" else photo.fingerprint
    return anonymize.invert(key, photo.pixels, known, config, **options)


def summarize(rows: list[tuple]) -> tuple[float, ...]:
    """The figures of a variant over all photos."""
    steps, _, cpu, psnr, _, _, z, _, other_z, end = map(np.array, zip(*rows, strict=True))
    largest, rms = np.abs(z).max(), np.sqrt(np.mean(z**2))
    totals = np.median(steps), steps.max(), cpu.sum(), psnr.mean()
    return *totals, largest, rms, np.abs(other_z).max(), np.sum(end == "steps")


def print_header(names: str) -> None:
    """The head of a Markdown table."""
    columns = names.split()
    print_row(columns)
    print("|---" * len(columns) + "|")


def print_row(values: Iterable[str | float]) -> None:
    """A row of it, at once."""
    texts = (f"{value:.2f}" if isinstance(value, float) else str(value) for value in values)
    print(f"| {' | '.join(texts)} |", flush=True)


if __name__ == "__main__":
    main()
