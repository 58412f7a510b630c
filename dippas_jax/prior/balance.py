"""The paper's method without knowing a camera, balanced: nothing of a fingerprint left in any cell.

Not the paper's, and off unless `config.Assembly.compensation` asks for it. A network that rebuilds
a photo keeps the share λ of its noise, more in some bands of frequency and textures than in others.
So a pattern is planted in the photo before the inversion starts; the output tells how much of it
came through, by cell (`signal.cells`), and what the network dropped is turned over as often as
brings that to zero:

    x̂ = Iφ − Σ c[b,t] (I − Iφ)[b,t]

What is then left of the pattern, which is known exactly, is taken out again. One inversion does.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array, Float, Key, UInt8

from dippas_jax.signal import calibration, cells, image

UPDATES = 4  # corrections of the flips, from nothing
_SIGMAS = 2.0, 3.0, 5.0  # of the extractors whose mean residual looks at it
_PLANTED = 0.01  # standard deviation of the pattern, relative to the signal
_PATTERN = 6  # makes the pattern's key one of its own; `inversion` and `extensions` have 0 to 4


class Planted(NamedTuple):
    """A photo with a pattern in it.

    Attributes:
      photo: uint8.
      pattern: What was added, grey levels, before it was rounded.
      where: Classes of texture.
      before: What extractors see of the pattern in `photo`, by cell.
    """

    photo: UInt8[np.ndarray, "h w 3"]
    pattern: Float[np.ndarray, "h w 3"]
    where: Float[np.ndarray, "4 h w"]
    before: Float[np.ndarray, "7 4"]


def plant(key: Key[Array, ""], photo: UInt8[np.ndarray, "h w 3"]) -> Planted:
    """A photo with a pattern of one percent, as a Bayer sensor would leave it.

    Args:
      key: The photo's own randomness.
      photo: As it came.
    """
    raw = jax.random.normal(jax.random.fold_in(key, _PATTERN), photo.shape[:2])
    relative = image.demosaiced(raw)
    relative = relative * (_PLANTED / jnp.std(image.luma(relative)))
    pattern = np.asarray(photo * relative, np.float32)
    pixels = np.asarray(np.clip(np.rint(photo + pattern), 0, 255), np.uint8)
    gradient = np.asarray(cells.texture(photo))
    table = jnp.asarray(cells.quantiles(gradient.ravel()))
    where = np.asarray(cells.classes(gradient, table))
    grey = image.luma(pattern)
    after, before = (_look(x, grey, where)[0] for x in (pixels, photo))
    return Planted(pixels, pattern, where, after - before)


def balanced(
    planted: Planted,
    levels: Float[np.ndarray, "h w 3"],
    part: float = 1.0,
    fingerprint: Float[ArrayLike, "h w"] | None = None,
) -> tuple[Float[np.ndarray, "h w 3"], dict[str, float]]:
    """A version of the planted photo with what it lacks turned over, and without the pattern.

    Args:
      planted: What was inverted.
      levels: What came out, grey levels.
      part: Share of the flips that is used, 0 to 1.
      fingerprint: K in any unit; what is foretold is then drawn to what is left of K.

    Returns:
      Grey levels, neither clipped nor rounded, and the leakage by `cells.NAMES`: the share of a
      fingerprint that is left.
    """
    dropped = planted.photo - levels
    grey = image.luma(planted.pattern)
    before = planted.before
    known = None if fingerprint is None else image.luma(planted.photo) * jnp.asarray(fingerprint)

    def turned(flips: np.ndarray) -> Array:
        return levels - _scaled(dropped, flips.astype(np.float32), planted.where)

    def of_pattern(version: ArrayLike) -> np.ndarray:
        after, _ = _look(version, grey, planted.where)
        return np.where(before > 0, after / np.where(before > 0, before, 1), 0)

    def leakage(flips: np.ndarray) -> np.ndarray:
        version = turned(flips)
        foretold = of_pattern(version)
        if known is None:
            return foretold
        (after, _), seen = (_look(x, known, planted.where) for x in (version, planted.photo))
        return calibration.drawn(foretold, after, *seen)

    flips = part * calibration.search(leakage, UPDATES).flips
    version, left = turned(flips), leakage(flips)
    rest = _scaled(planted.pattern, of_pattern(version).astype(np.float32), planted.where)
    return np.asarray(version - rest), cells.by_name(left * before, before)


def _look(version: ArrayLike, grey: Array, where: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """What is seen of a pattern by cell, and its standard deviation by chance."""
    seen, chance = (np.asarray(x, np.float64) for x in _compiled(version, grey, where))
    return seen, chance


@jax.jit
def _compiled(version: Array, grey: Array, where: Array) -> tuple[Array, Array]:
    return cells.products(cells.residuals(version, _SIGMAS).mean(0), grey, where)


@jax.jit
def _scaled(image: Array, factors: Array, where: Array) -> Array:
    return jax.vmap(lambda plane: cells.scaled(plane, factors, where), -1, -1)(image)
