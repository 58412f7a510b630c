"""How long photos will take and how much memory: what a dry run says, and an announcement."""

from collections.abc import Sequence
from pathlib import Path

import jax

from dippas_jax import baselines
from dippas_jax import config as configuration
from dippas_jax.cli import console, pace
from dippas_jax.cli.outputs import Job, Options
from dippas_jax.cli.own_photos import OwnPhotos
from dippas_jax.prior import tiling
from dippas_jax.signal import tiles

_GUESS = " (a guess; no photo has been timed here yet)"
_BASE_MEMORY = 600  # MiB of the program and the compiler
_PER_PIXEL = 60  # bytes, of the photo
_PER_PIXEL_OF_TILE = {"sparse": 0, "prior": 6000}  # bytes, of one tile
_PER_PIXEL_OF_SUMS = 110  # bytes, of one's own photos and of what is added to them
_PER_PIXEL_OF_OTHERS = 300  # bytes, a guess; other methods take the photo as a whole

Sizes = dict[Job, tuple[int, int]]
"""Photos that are to be done, with height and width."""


def estimates(
    waiting: Sizes, options: Options, own: OwnPhotos | None
) -> dict[Job, tuple[float, bool]]:
    """How long every photo will take, and whether that rests on a measurement."""
    attacked = bool(options.check) or bool(options.report and options.fingerprint)
    found: dict[Job, tuple[float, bool]] = {}
    others = own.photos if own else {}
    known = [bool(options.fingerprint) or job.source in others for job in waiting]
    waits = pace.waits(list(waiting.values()), options.method, aware=any(known))
    summed: list[Sequence[Path]] = []  # the cameras whose photos are summed
    for (job, size), wait, aware in zip(waiting.items(), waits, known, strict=True):
        units = pace.work(size, method=options.method, aware=aware)
        seconds, measured = pace.seconds(units, options.method)
        seconds += wait
        camera = others.get(job.source)
        if camera and not any(camera is one for one in summed):
            summed.append(camera)
            seconds += pace.SUMMED * size[0] * size[1] * len(camera)
        if options.max_minutes and options.method == "prior":
            seconds = min(seconds, 60 * options.max_minutes)
        if attacked:
            seconds += pace.examining(size, aware=aware)
        found[job] = seconds if found else seconds + pace.START, measured
    return found


def announce(waiting: Sizes, options: Options, own: OwnPhotos | None) -> None:
    """How many photos, how long and where, on stderr."""
    if not waiting:
        return
    each = estimates(waiting, options, own).values()
    time = time_text(sum(seconds for seconds, _ in each))
    guess = "" if all(measured for _, measured in each) else _GUESS
    count = console.counted(len(waiting), "photo")
    console.note(f"{count}, about {time} on the {jax.default_backend()}{guess}")


def show(waiting: Sizes, options: Options, own: OwnPhotos | None, *, json: bool) -> None:
    """What would be done with every photo, on stdout."""
    for job, (seconds, measured) in estimates(waiting, options, own).items():
        height, width = waiting[job]
        every = tiles.grid(height, width)
        if options.method == "prior":
            every = tiling.grid(height, width, configuration.Config().tile)
        if options.method in baselines.METHODS:
            parts, at_work = 1, height * width * _PER_PIXEL_OF_OTHERS
        else:
            parts = len(every)
            at_work = every[0].height * every[0].width * _PER_PIXEL_OF_TILE[options.method]
        if own and job.source in own.photos:
            at_work += height * width * _PER_PIXEL_OF_SUMS
        memory = _BASE_MEMORY + (height * width * _PER_PIXEL + at_work) / 2**20
        plan = {
            "photo": str(job.source),
            "output": str(job.target),
            "height": height,
            "width": width,
            "tiles": parts,
            "method": options.method,
            "minutes": seconds / 60,
            "measured": measured,
            "memory_mib": round(memory),
            "device": jax.default_backend(),
        }
        text = (
            f"{console.shown(job.source)} -> {console.shown(job.target)}  "
            f"{console.size_text((height, width))}, "
            f"{console.counted(parts, 'tile')}, {memory / 1024:.1f} GiB, about "
            f"{time_text(seconds)} on the {plan['device']}{'' if measured else _GUESS}"
        )
        print(console.json_line(plan) if json else text, flush=True)


def time_text(seconds: float) -> str:
    """A time in words."""
    if seconds >= 60:
        return f"{seconds / 60:.1f} minutes"
    return console.counted(max(round(seconds), 1), "second")
