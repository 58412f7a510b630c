"""The extractors that this package looks with, and what they find in a photo of any size.

`extract` is the one compiled residual. `MEMBERS` are the extractors by whose scores the methods
steer and report: the wavelet filter at three strengths, and at one of them over the busier half of
the photo only. Whoever judges a method asks others as well (`forensics.attackers`).

Correlations are added up over parts of one shape, so that the memory does not grow with the photo.
Each part is looked at for itself: its residual knows no pixels beyond it. Over a photo of one part
z is that of equation 2; over several it is that of their sums.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array, Float, Num

from dippas_jax.signal import image, residual, tiles
from dippas_jax.signal.tiles import PLAIN, Execution, Pixels


class Member(NamedTuple):
    """An extractor: the noise it looks for, grey levels, and whether only in the busier half."""

    name: str
    sigma: float
    busy: bool


MEMBERS = (
    Member("sigma-2", 2.0, False),
    Member("sigma-3", 3.0, False),
    Member("sigma-5", 5.0, False),
    Member("busy", 3.0, True),
)
NAMES = tuple(member.name for member in MEMBERS)


def extract(
    pixels: Num[ArrayLike, "*n h w 3"], *, sigma: ArrayLike = residual.SIGMA
) -> Float[Array, "*n h w"]:
    """`residual.residual`, compiled: a shape is compiled once for all that look at photos."""
    return _extract(pixels, sigma)  # σ is passed on: left out, it would be another program


@jax.jit
def _extract(pixels: Array, sigma: ArrayLike) -> Array:
    return residual.residual(pixels, sigma=sigma)


def scores(
    pixels: Pixels, fingerprint: Float[ArrayLike, "h w"], *, execution: Execution = PLAIN
) -> dict[str, float]:
    """The z-score of a fingerprint by each of `MEMBERS`, by name; nan where nothing can be said.

    Args:
      pixels: The photo, uint8 or uint16.
      fingerprint: K in any unit.
      execution: How the parts are worked on.
    """
    k = np.asarray(fingerprint, np.float32)

    def look(tile: tiles.Tile) -> tuple[np.ndarray, np.ndarray]:
        levels = tiles.levels(pixels[tile.part])
        return levels[None], np.asarray(image.luma(levels)) * k[tile.part]

    return named(z_scores(look, pixels.shape, execution)[0])


def named(values: np.ndarray) -> dict[str, float]:
    """One number by each of `MEMBERS`, by name."""
    return dict(zip(NAMES, values.tolist(), strict=True))


def z_scores(
    look: Callable[[tiles.Tile], tuple[np.ndarray, np.ndarray]],
    size: Sequence[int],
    execution: Execution = PLAIN,
) -> Float[np.ndarray, "v m"]:
    """The z-scores of several variants of a photo by each of `MEMBERS`.

    Args:
      look: Gives a part of the photo: the variants [v h w 3] in grey levels, and I·K [h w].
      size: Height and width of the photo.
      execution: How the parts are worked on.
    """
    every = tiles.windows(size[0], size[1])
    items = ((*look(tile), np.array(shown)) for tile, shown in every)
    sums = np.zeros(())
    for found in tiles.batches(execution).map(_sums_of_parts, items):
        sums = sums + np.asarray(found, np.float64)
        execution.on_tile(None)
    return z_of(sums)


def sums(
    variants: Float[ArrayLike, "v h w 3"], pattern: Float[ArrayLike, "h w"]
) -> Float[Array, "v m 4"]:
    """What `z_of` needs of one part: Σ W·P, Σ W², Σ P² and pixels, by variant and extractor."""
    nothing_shown = jnp.zeros((1, 2), int)
    return _sums_of_parts(jnp.asarray(variants)[None], jnp.asarray(pattern)[None], nothing_shown)[0]


def z_of(sums: Float[np.ndarray, "v m 4"]) -> Float[np.ndarray, "v m"]:
    """z-scores from the sums of all parts; nan where there is nothing to compare."""
    products, residuals, patterns, pixels = np.moveaxis(sums, -1, 0)
    norms = np.sqrt(residuals * patterns)
    return np.where(norms > 0, products / np.where(norms > 0, norms, 1), np.nan) * np.sqrt(pixels)


@jax.jit
@jax.vmap
def _sums_of_parts(variants: Array, pattern: Array, shown: Array) -> Array:
    """`sums` without the first rows and columns, which other parts have shown already.

    "busy" is the busier half of the first variant.
    """
    rows, columns = (jnp.arange(side) for side in pattern.shape)
    new = (rows >= shown[0])[:, None] & (columns >= shown[1])
    busy = image.busy(jnp.clip(variants[0], 0, 255)) & new
    sigmas = tuple(dict.fromkeys(member.sigma for member in MEMBERS))  # each residual once
    places = [sigmas.index(member.sigma) for member in MEMBERS]
    where = jnp.stack([busy if member.busy else new for member in MEMBERS])

    def one(levels: Array) -> Array:
        levels = jnp.clip(levels, 0, 255)
        planes = jax.lax.map(
            lambda sigma: residual.residual(levels, sigma=sigma), jnp.array(sigmas)
        )
        planes = jnp.stack([planes[place] for place in places])
        terms = planes * pattern, jnp.square(planes), jnp.square(pattern), jnp.ones_like(pattern)
        return jnp.stack([jnp.sum(where * term, (1, 2)) for term in terms], -1)

    return jax.lax.map(one, variants)
