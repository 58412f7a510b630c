"""How long `dippas anonymize` will take: one rate a method, remembered from the last photo.

A photo takes its units of work times the rate. The first one of a command also takes `START`, and
the first one of a shape of tile waits for its programs to be compiled: that is remembered too.
"""

from collections.abc import Sequence

import jax

from dippas_jax import baselines
from dippas_jax import config as configuration
from dippas_jax.io import files
from dippas_jax.prior import tiling
from dippas_jax.signal import tiles
from dippas_jax.sparse import anonymize as sparse
from dippas_jax.types import InputError

_FIRST = {"sparse": 0.5, "prior": 1.5}
_OTHER = 5.0
"""Seconds a unit of work on two CPU cores, until something was measured on this machine: of our
two methods, and of each of `baselines`."""

SUMMED = 0.15e-6
"""Seconds a pixel of each of one's own photos takes before the first is treated, a guess."""

_PLANTED = 16  # full tiles: eight parts are treated twice more to measure what a method leaves

START = 15.0
"""Seconds on two CPU cores until the programs are loaded."""

_COMPILING = 30.0
"""Seconds to compile the programs of a shape of tile, until that was measured on this machine."""

_LEAST = 8  # units, below which compiling and reading take longer than the work
_STEPS = 300  # of an inversion; three quarters of real photos need fewer (benchmarks/defaults.py)


def work(size: tuple[int, int], *, method: str, aware: bool = False) -> float:
    """Units of work in a photo: what takes as long as one full tile of the method.

    Args:
      size: Height and width.
      method: "sparse", "prior" or a name of `baselines.METHODS`.
      aware: Whether a fingerprint is known.
    """
    height, width = size
    if method in baselines.METHODS:
        own = height * width / tiles.SIDE**2
        return own + min(_PLANTED, 2 * own)
    if method == "prior":
        every = tiling.grid(height, width, configuration.Config().tile)
        return _STEPS * len(every) * every[0].height * every[0].width / tiles.SIDE**2
    ticks = sparse.expected_ticks(height, width, aware=aware)
    return ticks * min(height, tiles.SIDE) * min(width, tiles.SIDE) / tiles.SIDE**2


def seconds(units: float, method: str) -> tuple[float, bool]:
    """How long so much work takes, and whether that was measured here rather than guessed."""
    known = _read().get(_name(method))
    return units * (known or _FIRST.get(method, _OTHER)), known is not None


def examining(size: tuple[int, int], *, aware: bool = False) -> float:
    """Seconds that the attackers take on a photo: about as many as the sparse method."""
    return seconds(work(size, method="sparse", aware=aware), "sparse")[0]


def rates(method: str) -> dict[str, tuple[float, bool]]:
    """Seconds a unit of work by platform of JAX, and whether they were measured here.

    Platforms of which nothing is known are left out, but for the CPU, of which there is a guess.
    """
    known = {"cpu": (_FIRST.get(method, _OTHER), False)}
    for name, rate in _read().items():
        platform, _, other = name.partition(" ")
        if other == method:
            known[platform] = rate, True
    return known


def remember(method: str, spent: float, units: float) -> None:
    """Keep the rate of a photo that was done; one that cannot be kept is no failure.

    Of a small photo nothing is kept: there what any photo takes counts more than its pixels.
    """
    if units < _LEAST:
        return
    _keep({_name(method): spent / units})


def waits(sizes: Sequence[tuple[int, int]], method: str, *, aware: bool = False) -> list[float]:
    """Seconds that each photo of a batch waits for its programs, if it is the first of its shape.

    Only our own methods are compiled for a shape of tile.
    """
    known = _read()
    name = _name(method)
    shapes = set(known.get(f"{name} shapes", []))
    found = []
    for shape in (_shape(size, aware, method) for size in sizes):
        there = method in baselines.METHODS or shape in shapes
        found.append(0.0 if there else known.get(f"{name} compiling", _COMPILING))
        shapes.add(shape)
    return found


def remember_wait(method: str, size: tuple[int, int], spent: float, *, aware: bool = False) -> None:
    """Keep that the programs of a photo's shape are there, and what the first photo waited."""
    known = _read()
    name, shape = _name(method), _shape(size, aware, method)
    shapes = known.get(f"{name} shapes", [])
    if shape not in shapes:
        _keep({f"{name} shapes": [*shapes, shape], f"{name} compiling": max(spent, 0.1)})


def _shape(size: tuple[int, int], aware: bool, method: str) -> str:
    """Of the tiles of a photo; what is known of K is looked at by programs of its own."""
    height, width = (min(side, tiles.SIDE) for side in size)
    if method == "prior":
        first = tiling.grid(*size, configuration.Config().tile)[0]
        height, width = first.height, first.width
    return f"{width}x{height}{' aware' if aware else ''}"


def _keep(more: dict) -> None:
    """Beside what is known; what cannot be kept is no failure."""
    try:
        files.prepare_workdir(_file().parent)
        files.write_json(_file(), _read() | more)
    except InputError:
        pass


def _file():
    return files.cache_folder() / "pace.json"


def _name(method: str) -> str:
    return f"{jax.default_backend()} {method}"


def _read() -> dict:
    """All that makes sense, seconds and shapes; whatever else the file holds is left out."""
    try:
        found = files.read_json(_file())
    except InputError:
        return {}
    if not isinstance(found, dict):
        return {}
    return {key: value for key, value in found.items() if _sensible(key, value)}


def _sensible(key: str, value: object) -> bool:
    if key.endswith(" shapes"):
        return isinstance(value, list) and all(isinstance(one, str) for one in value)
    return not isinstance(value, bool) and isinstance(value, int | float) and 0 < value < 1e4
