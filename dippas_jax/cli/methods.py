"""The methods of `dippas anonymize`: what readers of the output see of what each makes."""

import contextlib
import sys
import time

import numpy as np

from dippas_jax import baselines
from dippas_jax import config as configuration
from dippas_jax.cli import checkpoints, console, pace
from dippas_jax.cli.outputs import Options
from dippas_jax.cli.task import Task
from dippas_jax.forensics import leakage
from dippas_jax.io import photo as photo_file
from dippas_jax.prior import progress, tiling, whole
from dippas_jax.prior.anonymize import DivergedError
from dippas_jax.signal import extractors, tiles
from dippas_jax.sparse import anonymize as sparse
from dippas_jax.types import InputError, Result

_PROGRESS = "{desc}: {bar:24} {percentage:3.0f} %, {remaining} left{postfix}"


def by_sparse(task: Task, started: float) -> Result:
    """By the sparse method, behind the camera's and the output's files."""
    photo, options = task.photo, task.options
    size = task.size
    aware = task.plane is not None
    units = pace.work(size, method="sparse", aware=aware)
    area = min(size[0], tiles.SIDE) * min(size[1], tiles.SIDE) / tiles.SIDE**2
    begun = time.monotonic()
    ticks: list[float] = []  # when each tile was done; the first one waits for the compiler
    with task.bar(total=round(units / area), bar_format=_PROGRESS) as bar:

        def on_tile(psnr: float | None) -> None:
            ticks.append(time.monotonic())
            bar.total = max(bar.total, bar.n + 2)  # full only where all is done
            if psnr is not None:
                bar.set_postfix_str(f"PSNR {psnr:.2f} dB", refresh=False)
            bar.update()
            if task.on_progress:
                task.on_progress(len(ticks) / max(units / area, len(ticks) + 1))

        result = sparse.anonymize(
            task.key,
            photo.pixels,
            task.plane,
            configuration.Sparse(
                strength=options.strength,
                grain=float(options.grain),
                displacement=options.displace,
            ),
            target_psnr=task.target,
            deadline=task.deadline(started),
            codecs=task.codecs,
            execution=tiles.Execution(tiles.batches(tiles.PLAIN, console.note), on_tile),
        )
    if ticks and task.kind != "heic":  # to write its parts takes longer than the work
        done = len(ticks) * area
        pace.remember("sparse", ticks[-1] - ticks[0], done - area)
        worked = pace.seconds(done, "sparse")[0]
        pace.remember_wait("sparse", size, time.monotonic() - begun - worked, aware=aware)
    return result


def by_prior(task: Task, started: float) -> Result:
    """By the paper's method: a network for every tile of the photo, whose pixels have 8 bits."""
    options = task.options
    pixels = photo_file.eight_bits(task.photo.pixels)
    config = prior_config(options)
    kept = checkpoints.beside(task, config)
    if kept.earlier:
        console.note(f"{task.job.source}: goes on where an earlier command was cut off")
    begun = time.monotonic()
    chunks: list[float] = []  # when each was done; the first entry is when all was compiled
    with contextlib.ExitStack() as stack:
        lines = None
        if sys.stderr.isatty():
            lines = stack.enter_context(progress.Lines(configuration.settled(config).inversion))

        def on_chunk(at: whole.At) -> None:
            chunks.append(time.monotonic())
            if task.on_progress:
                task.on_progress(at.done / at.tiles)
            if lines is not None:
                one = f"tile {at.done + 1} of {at.tiles}" if at.tiles > 1 else "inverting"
                lines.show(at.psnr, one)

        try:
            result: Result | DivergedError = whole.invert(
                task.key,
                pixels,
                task.plane,
                config,
                deadline=task.deadline(started),
                restore=kept.restore,
                save=kept.save,
                on_chunk=on_chunk,
            )
        except DivergedError as error:
            result = error
    made = inverted(task, result)
    pace.remember_wait("prior", task.size, chunks[0] - begun, aware=task.plane is not None)
    if not kept.earlier:  # some steps of a run that goes on were made before
        pace.remember("prior", chunks[-1] - chunks[0], made.settings["steps"] * area(task, config))
    return made


def inverted(task: Task, result: Result | Exception) -> Result:
    """What came of an inversion, as readers of the output see it."""
    if isinstance(result, DivergedError):
        raise InputError(
            f"photo {task.job.source} cannot be treated by --method prior, whose network did not "
            "settle; give another --seed, or use --method sparse"
        )
    if isinstance(result, Exception):
        raise result
    behind = behind_output(task, result.pixels)
    return result._replace(pixels=behind.pixels, psnr=behind.psnr, z=behind.z)


def area(task: Task, config: configuration.Config) -> float:
    """Of a tile of the paper's method, in that of a full one."""
    height, width = task.photo.pixels.shape[:2]
    tile = tiling.grid(height, width, config.tile)[0]
    return tile.height * tile.width / tiles.SIDE**2


def by_other(task: Task, started: float) -> Result:
    """By a method of `baselines`, on the whole photo at once, whose pixels have 8 bits.

    What the method leaves is measured with planted fingerprints, unless it moves pixels: then what
    is left does not lie where it is looked for.
    """
    method = baselines.METHODS[task.options.method]
    pixels = photo_file.eight_bits(task.photo.pixels)
    key = task.key

    def anonymized(pixels: np.ndarray) -> np.ndarray:
        return np.asarray(method.anonymize(key, pixels, task.plane if method.aware else None))

    with task.bar(bar_format="{desc}: {elapsed}"):
        made = anonymized(pixels)
        left: dict[str, float] = {}
        if not method.moves:
            # Parts of the photo go through its files, with 8 bits and without its opacity.
            plain = task._replace(photo=task.photo._replace(pixels=pixels, alpha=None))
            codecs = plain.codecs
            left = leakage.measure(key, anonymized, pixels, kinds=("white",), codecs=codecs).named()
    pace.remember(task.options.method, time.monotonic() - started, _units(task))
    return behind_output(task, made)._replace(leakage=left)


def _units(task: Task) -> float:
    return pace.work(task.size, method=task.options.method)


def behind_output(task: Task, pixels: np.ndarray) -> Result:
    """What a method made of a photo's 8 bits, as readers of the output see it."""
    if task.photo.pixels.dtype == np.uint16:
        pixels = pixels.astype(np.uint16) * 257
    seen = task.decoded(task.encoded(pixels))
    z = {} if task.plane is None else extractors.scores(seen, task.plane)
    return Result(pixels, tiles.psnr(seen, task.photo.pixels), z, {}, {})


OURS = {"sparse": by_sparse, "prior": by_prior}


def prior_config(options: Options) -> configuration.Config:
    """What the paper's method is run with: its defaults, and the PSNR and seed asked for."""
    return configuration.Config(target_psnr=options.target_psnr or 0.0, seed=options.seed)
