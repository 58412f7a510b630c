"""How long a tile takes on this machine, remembered from one start to the next."""

import contextlib
import time
from collections.abc import Iterator
from pathlib import Path

import jax
import jax.monitoring
import numpy as np

from dippas_jax import config as configuration
from dippas_jax.io import files
from dippas_jax.io import photo as photo_file
from dippas_jax.signal import tiles
from dippas_jax.sparse import anonymize as engine
from dippas_jax.types import InputError

_COMPILING = (
    "/jax/core/compile/jaxpr_to_mlir_module_duration",
    "/jax/core/compile/backend_compile_duration",
)


def _file() -> Path:
    return files.cache_folder() / "speed.json"


def remembered(kind: str) -> float | None:
    """Seconds for a tile on this machine, as remembered.

    Args:
      kind: "aware" or "blind", of a tile's work (`engine.work`); "report", of all attackers.
    """
    try:
        found = files.read_json(_file())[f"{jax.default_backend()} {kind}"]
        return float(found) if 0 < float(found) < 1e4 else None
    except (InputError, KeyError, TypeError, ValueError):
        return None


def remember(kind: str, seconds: float, count: int | float) -> None:
    """Keeps what tiles took, see `remembered`; an estimate that cannot be kept is no failure.

    Args:
      kind: See `remembered`.
      seconds: For all of them, without compiling.
      count: Of full tiles. Of less than one nothing is kept: what a photo takes at all counts more.
    """
    if count < 1:
        return
    try:
        known = files.read_json(_file())
    except InputError:
        known = {}
    try:
        files.prepare_workdir(_file().parent)
        known = known if isinstance(known, dict) else {}
        files.write_json(_file(), known | {f"{jax.default_backend()} {kind}": seconds / count})
    except InputError:
        pass


@contextlib.contextmanager
def compiling() -> Iterator[list[float]]:
    """Seconds spent on compiling while it lasts, piece by piece: they are not spent again."""
    pieces: list[float] = []

    def listen(event: str, duration_secs: float, **_: str | int) -> None:
        if event in _COMPILING:
            pieces.append(duration_secs)

    jax.monitoring.register_event_duration_secs_listener(listen)
    try:
        yield pieces
    finally:
        jax.monitoring.unregister_event_duration_listener(listen)


def area(height: int, width: int) -> float:
    """Of a photo's tiles, relative to a full one."""
    return min(height, tiles.SIDE) * min(width, tiles.SIDE) / tiles.SIDE**2


def measured(path: Path, *, aware: bool) -> float:
    """By the first tile of a photo, the second time, when all is compiled."""
    shape = (tiles.SIDE, tiles.SIDE)
    photo = photo_file.read(path)
    pixels = tiles.cut(photo.pixels, 0, 0, *shape)
    plane = np.random.default_rng(0).standard_normal(shape, np.float32) if aware else None
    seconds = 0.0
    ticks: list[float | None] = []
    for _ in range(2):
        ticks.clear()
        started = time.monotonic()
        engine.anonymize(
            jax.random.key(0),
            pixels,
            plane,
            target_psnr=configuration.STRENGTHS["balanced"],
            compensation=configuration.Config().compensation,
            most_left=1.0,
            came=None if photo.jpeg is None else np.copy,  # as what a JPEG is followed through
            ways=tiles.Ways(tick=ticks.append),
        )
        seconds = time.monotonic() - started
    remember("aware" if aware else "blind", seconds, len(ticks))
    return seconds / len(ticks)
