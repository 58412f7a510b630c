"""How long a tile takes on this machine, remembered from one start to the next."""

import time
from pathlib import Path

import jax
import numpy as np

from dippas_jax import config as configuration
from dippas_jax import engine, photo_file, store, tiles
from dippas_jax.types import InputError


def _file() -> Path:
    return store.cache_folder() / "speed.json"


def remembered(kind: str) -> float | None:
    """Seconds for a tile on this machine, as remembered.

    Args:
      kind: "aware" or "blind", of a tile's work (`engine.work`); "report", of all attackers.
    """
    try:
        found = store.read_json(_file())[f"{jax.default_backend()} {kind}"]
        return float(found) if 0 < float(found) < 1e4 else None
    except (InputError, KeyError, TypeError, ValueError):
        return None


def remember(kind: str, seconds: float) -> None:
    """Keeps what a tile took, see `remembered`; an estimate that cannot be kept is no failure."""
    try:
        known = store.read_json(_file())
    except InputError:
        known = {}
    try:
        store.prepare_workdir(_file().parent)
        known = known if isinstance(known, dict) else {}
        store.write_json(_file(), known | {f"{jax.default_backend()} {kind}": seconds})
    except InputError:
        pass


def area(height: int, width: int) -> float:
    """Of a photo's tiles, relative to a full one."""
    return min(height, tiles.SIDE) * min(width, tiles.SIDE) / tiles.SIDE**2


def measured(path: Path, *, aware: bool) -> float:
    """By the first tile of a photo, the second time, when all is compiled."""
    shape = (tiles.SIDE, tiles.SIDE)
    pixels = tiles.cut(photo_file.read(path).pixels, 0, 0, *shape)
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
            ways=tiles.Ways(tick=ticks.append),
        )
        seconds = time.monotonic() - started
    remember("aware" if aware else "blind", seconds / len(ticks))
    return seconds / len(ticks)
