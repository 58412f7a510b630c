"""`dippas anonymize`: photos of any kind and size in, the same photos without a camera's noise out.

An original is never written to. Every output appears whole as soon as it is done, and one that
exists is skipped, so an interrupted batch goes on when the same command is given again.
"""

import hashlib
import sys
import time
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np
import tqdm

from dippas_jax import config as configuration
from dippas_jax.cli import examine, lines, outputs
from dippas_jax.cli import pace as speed
from dippas_jax.cli.outputs import Job, Options
from dippas_jax.io import files as store
from dippas_jax.io import photo as photo_file
from dippas_jax.io import photo_writer
from dippas_jax.signal import tiles
from dippas_jax.sparse import anonymize as engine
from dippas_jax.sparse import leakage
from dippas_jax.types import Fingerprint, InputError

MOST_LEFT = 0.2
"""Share of a planted fingerprint that may be left of a photo that came as a JPEG, as predicted
behind the files; K known or not, for who looks for the camera may know it better. Other photos have
the engine's limits."""

_BASE_MEMORY, _MEMORY_PER_PIXEL = 600, 60  # MiB of the program and compiler; bytes of the photo's
_STRENGTHS = configuration.STRENGTHS


def anonymize(
    photos: Sequence[str], options: Options, *, dry_run: bool = False, json: bool = False
) -> int:
    """Anonymises photos one after the other; see `Options`.

    Args:
      photos: Files, folders and patterns.
      options: All that changes what is written.
      dry_run: Only say what would be done, how long it takes and how much memory.
      json: JSON, one object a photo.

    Raises:
      InputError: Before anything is written: what was given cannot be used as a whole.
    """
    _choose_device(options.device)
    jobs = outputs.jobs(photos, options)
    files = [file for file in (options.fingerprint, *options.check) if file]
    cameras = lines.cameras(list(dict.fromkeys(files)))
    page_file = examine.page_files(options)
    known = examine.known_records(page_file, options)
    waiting = [job for job in jobs if options.overwrite or not job.target.exists()]
    failed = lines.Failures()
    sizes = {
        job.source: size
        for job in waiting
        if (size := failed.catch(_usable_size, job.source, cameras.get(options.fingerprint or "")))
    }
    waiting = [job for job in waiting if job.source in sizes]
    for job in jobs:
        if not options.overwrite and job.target.exists():
            lines.note(f"{job.source}: {job.target} exists, skipped; --overwrite replaces it")
    if waiting:
        _announce(waiting, sizes, options, json=json, dry_run=dry_run)
    if dry_run:
        return lines.exit_code(len(jobs) - len(failed.paths), failed, found=False)
    records = {r["output"]: r for r in known if Path(r["output"]).exists()}
    for job in waiting:
        record = failed.catch(_one, job.source, job, cameras, options)
        if record is None:
            continue
        records[record["output"]] = record
        print(store.json_text(record) if json else _line(record), flush=True)
        if page_file:
            examine.write(page_file, records, jobs, failed, options)
    if page_file and not waiting and records:
        examine.write(page_file, records, jobs, failed, options)
    return lines.exit_code(len(jobs) - len(failed.paths), failed, found=False)


def _usable_size(path: Path, camera: Fingerprint | None) -> tuple[int, int]:
    """Height and width; a photo that the fingerprint does not cover is refused."""
    size = photo_file.size(path)
    if camera is not None:
        _plane(path, size, camera)
    return size


def _plane(path: Path, size: tuple[int, int], camera: Fingerprint) -> np.ndarray:
    """The fingerprint of every pixel of the photo."""
    if size == camera.plane.shape:
        return camera.plane
    across = size == camera.plane.shape[::-1]
    advice = (
        "turn the photo back to the sensor's orientation"
        if across
        else "build one from photos of that size, or give --blind"
    )
    raise InputError(
        f"photo {path} of {lines.size_text(size)} pixels does not fit the fingerprint, which "
        f"covers {lines.size_text(camera.plane.shape)}; {advice}"
    )


def _choose_device(device: str) -> None:
    if device == "auto":
        return
    jax.config.update("jax_platforms", "cpu" if device == "cpu" else "cuda,rocm")
    try:
        jax.devices()
    except RuntimeError:
        raise InputError(
            "--device gpu was given, but JAX finds none; install .[cuda12] or .[cuda13]"
        ) from None


# --------------------------------------------------------------------------------- before it starts


def _announce(
    jobs: Sequence[Job],
    sizes: dict[Path, tuple[int, int]],
    options: Options,
    *,
    json: bool,
    dry_run: bool,
) -> None:
    """Tiles, minutes, memory and device; on stdout if that is all that was asked for."""
    aware = options.fingerprint is not None
    pace = speed.remembered("aware" if aware else "blind")
    if pace is None:
        lines.note("compiling, and timing the first tile, once on this machine")
        pace = _measured(jobs, aware=aware)
    total = 0.0
    for job in jobs:
        height, width = sizes[job.source]
        coarse = not options.target_psnr and photo_file.coarse(job.source)
        count = engine.work(height, width, aware=aware, coarse=coarse)
        seconds = count * speed.area(height, width) * pace
        if options.max_minutes:
            seconds = min(seconds, 60 * options.max_minutes)
        seconds += _examining(height * width, seconds, options)
        total += seconds
        if not dry_run:
            continue
        memory = _BASE_MEMORY + height * width * _MEMORY_PER_PIXEL / 2**20
        plan = {
            "photo": str(job.source),
            "output": str(job.target),
            "height": height,
            "width": width,
            "tiles": len(tiles.grid(height, width)),
            "minutes": seconds / 60,
            "memory_mib": round(memory),
            "device": jax.default_backend(),
        }
        text = (
            f"{job.source} -> {job.target}  {height}x{width}, {plan['tiles']} tiles, about "
            f"{_minutes(seconds)}, {memory / 1024:.1f} GiB, on the {plan['device']}"
        )
        print(store.json_text(plan) if json else text, flush=True)
    if not dry_run:
        count = len(tiles.grid(*sizes[jobs[0].source]))
        shown = f"{len(jobs)} photos" if len(jobs) > 1 else f"{count} tiles"
        lines.note(f"{shown}, about {_minutes(total)} on the {jax.default_backend()}")


def _measured(jobs: Sequence[Job], *, aware: bool) -> float:
    """The pace on the first photo that can be read; what ails others is said in their turn."""
    for job in jobs:
        try:
            return speed.measured(job.source, aware=aware)
        except InputError:
            continue
    return 0.0


def _examining(pixels: int, working: float, options: Options) -> float:
    """Seconds for the attackers; the first time they are compiled, twice those of the work."""
    if not (options.check or (options.report and options.fingerprint)):
        return 0.0
    pace = speed.remembered("report")
    return 2 * working if pace is None else pace * pixels / tiles.SIDE**2


def _minutes(seconds: float) -> str:
    return f"{seconds / 60:.1f} minutes" if seconds >= 60 else f"{seconds:.0f} seconds"


# ------------------------------------------------------------------------------------------ a photo


def _one(
    source: Path, job: Job, cameras: dict[str, Fingerprint], options: Options
) -> dict[str, Any]:
    """Anonymises a photo, writes it and gives its record."""
    photo = photo_file.read(source, srgb=options.icc == "srgb")
    height, width = photo.pixels.shape[:2]
    camera = cameras.get(options.fingerprint or "")
    plane = None if camera is None else _plane(source, (height, width), camera)
    mode = "blind" if plane is None else "aware"
    started = time.monotonic()
    upright = options.orientation == "upright"

    def encoded(pixels: np.ndarray) -> bytes:
        return photo_writer.encode(
            photo,
            pixels,
            kind=job.kind,
            quality=options.jpeg_quality,
            kept=options.metadata,
            icc=options.icc != "drop",
            upright=upright,
        )

    def written(pixels: np.ndarray) -> np.ndarray:
        return photo_writer.decode(encoded(pixels), photo, upright=upright)

    def came(pixels: np.ndarray) -> np.ndarray:
        return photo_writer.decode(photo_writer.encode(photo, pixels), photo)

    asked = options.target_psnr
    coarse = not asked and photo_file.coarse(source)
    total = engine.work(height, width, aware=plane is not None, coarse=coarse)
    aim = asked or _STRENGTHS[options.strength]
    most_left = engine.MOST_LEFT[mode] if photo.jpeg is None else MOST_LEFT
    with speed.compiling() as pieces, tqdm.tqdm(
        total=total, unit="tile", dynamic_ncols=True, desc=source.name, leave=False,
        disable=not sys.stderr.isatty(),
    ) as bar:  # fmt: skip

        def tick(psnr: float | None) -> None:
            bar.total = max(bar.total, bar.n + 1)
            bar.set_postfix_str("" if psnr is None else f"PSNR {psnr:.2f} dB", refresh=False)
            bar.update()

        ways = tiles.Ways(tiles.batches(tiles.PLAIN, lines.note), tick)
        seed = jax.random.fold_in(jax.random.key(options.seed), zlib.crc32(photo.pixels.tobytes()))
        version = engine.anonymize(
            seed,
            photo.pixels,
            plane,
            target_psnr=aim,
            compensation=configuration.Config().compensation,
            most_left=float("inf") if asked else most_left,
            until=started + 60 * options.max_minutes if options.max_minutes else float("inf"),
            came=came if photo.jpeg is not None else None,
            written=written,
            ways=ways,
        )
        ticks = bar.n or total
    spent = time.monotonic() - started
    if speed.area(height, width) == 1:  # of small photos, other things take longer
        speed.remember(mode, spent - sum(pieces), ticks)
    data = encoded(version.pixels)
    words = list(photo.words)
    worst = engine.worst(version.share)
    if not asked and version.psnr < aim - 1:
        words.append(
            f"noise or JPEG would have left too much of a fingerprint at {aim:g} dB; "
            f"--target-psnr {aim:g} keeps that much of the photo all the same"
        )
    if not asked and worst > most_left:
        finer = photo.jpeg is not None and job.kind in ("same", "jpeg")
        words.append(
            f"even so {100 * worst:.0f} % of a planted fingerprint are left, more than should be"
            + ("; --jpeg-quality 90, a larger file, leaves less" if finer else "")
        )
    record = {
        "photo": str(source),
        "output": str(job.target),
        "height": height,
        "width": width,
        "format": photo.format if job.kind == "same" else job.kind,
        "mode": mode,
        "fingerprint": options.fingerprint,
        "psnr": version.psnr,
        "threshold": version.threshold,
        "compensation": version.compensation,
        "alpha": version.alpha,
        "left": version.left,
        "share": version.share,
        "before": None if plane is None else leakage.scores(photo.pixels, plane),
        "seconds": spent,
        "seed": options.seed,
        "words": words,
        "orientation": photo.orientation,
        "sha256": hashlib.sha256(data).hexdigest(),
    }
    if options.report or options.check:
        with tqdm.tqdm(
            bar_format="{desc}", desc=f"{source.name}: all attackers look", leave=False,
            disable=not sys.stderr.isatty(),
        ):  # fmt: skip
            record |= examine.examined(photo.pixels, written(version.pixels), cameras)
    store.write_bytes(job.target, data)
    return record


def _line(record: dict[str, Any]) -> str:
    """A photo's record for the terminal."""
    worst = max((abs(v) for v in record["left"].values() if v == v), default=float("nan"))
    if record["mode"] == "aware":
        before = max((abs(v) for v in record["before"].values() if v == v), default=float("nan"))
        left = f"largest |z| of four extractors {before:.1f} before, {worst:.1f} after"
    else:
        left = f"of a planted fingerprint at most {100 * worst:.0f} % is left"
    text = (
        f"{record['photo']} -> {record['output']}\n"
        f"  {lines.size_text((record['height'], record['width']))}, PSNR {record['psnr']:.2f} dB, "
        f"{left}, {record['seconds']:.0f} s"
    )
    text += "".join(f"\n  {word}" for word in record["words"])
    if verdict := record.get("verdict"):
        text += f"\n  {verdict}"
    return text
