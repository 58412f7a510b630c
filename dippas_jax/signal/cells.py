"""Where in a photo a fingerprint shows: bands of frequency times classes of texture.

A method may keep a fingerprint in one band and overturn it in another, or keep it where the photo
is busy and lose it where it is calm. One sum over everything hides that, so products are summed
cell by cell. Bands are triangles around 1/16, 2/16 ... 7/16 cycles a pixel, of the larger of the
vertical and the horizontal frequency, as the coefficients of an 8x8 block have them. Classes are
triangles around the middle of each quartile of the photo's local gradient. Both add up to one
nearly everywhere, so nothing falls between two cells.
"""

import math
from collections.abc import Mapping

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array, Float, Num

from dippas_jax.signal import image, residual

BANDS, CLASSES = 7, 4
SIGMAS = (1.0, 2.0, 5.0)  # of the extractors that `seen` adds up
REACH = 8  # pixels around a pixel that decide its class
WHOLE = "whole"
NAMES = (
    *(f"{band}/16 cycles" for band in range(1, 8)),
    *(f"texture {n}" for n in range(1, 5)),
    WHOLE,
)
"""Of the bands, all classes together; of the classes, all bands together; of all cells. Classes and
the whole leave the lowest band out, where a photo has little noise."""

LOWEST = NAMES[0]
"""The band that blocks of 8x8 can hardly treat; it holds little of a fingerprint."""

_RANKS = 9  # of the table that turns gradients into ranks

Cells = Float[Array, "7 4"]
Quantiles = Float[Array, "9"]


def texture(pixels: Num[ArrayLike, "h w 3"]) -> Float[Array, "h w"]:
    """Local gradient: the 9x9 mean of the size of the gradient of the 5x5 mean, grey levels."""
    return image.square_mean(jnp.sqrt(image.gradient(jnp.clip(jnp.asarray(pixels), 0, 255))), 9)


def quantiles(values: Float[ArrayLike, "*n"]) -> Float[np.ndarray, "9"]:
    """The table that `classes` needs: eighths of all `texture` there is, strictly increasing."""
    table = np.quantile(np.asarray(values, np.float64), np.linspace(0, 1, _RANKS))
    return (table + 1e-4 * np.arange(_RANKS)).astype(np.float32)


def classes(gradient: Float[ArrayLike, "h w"], table: Quantiles) -> Float[Array, "4 h w"]:
    """How much each pixel belongs to each quartile of texture, calmest first; sums are 1."""
    rank = jnp.interp(jnp.asarray(gradient), table, jnp.linspace(0, 1, _RANKS))
    place = jnp.clip(rank * CLASSES - 0.5, 0, CLASSES - 1)
    return jnp.maximum(0, 1 - jnp.abs(place - jnp.arange(CLASSES)[:, None, None]))


def seen(pixels: Num[ArrayLike, "h w 3"]) -> Float[Array, "h w"]:
    """What extractors see: the residuals at `SIGMAS`, each over its σ so that all count alike.

    A small σ shows faint coefficients above all, which a method turns over; a large one also shows
    strong ones, which it keeps. Where the sum holds nothing of K, neither finds much of it.
    """
    return jnp.einsum("shw,s->hw", residuals(pixels, SIGMAS), 1 / jnp.array(SIGMAS))


def residuals(pixels: Num[ArrayLike, "h w 3"], sigmas: tuple[float, ...]) -> Float[Array, "s h w"]:
    """The residual at each σ, of grey levels that are clipped to what a file can hold."""
    levels = jnp.clip(jnp.asarray(pixels, jnp.float32), 0, 255)
    return jax.lax.map(lambda s: residual.residual(levels, sigma=s), jnp.array(sigmas))


def products(
    plane: Float[ArrayLike, "h w"], pattern: Float[ArrayLike, "h w"], where: Float[Array, "4 h w"]
) -> tuple[Cells, Cells]:
    """Σ plane·pattern by cell, and what its standard deviation is where the two are independent."""
    hats = _hats(*np.shape(pattern))
    bands = _bands(jnp.asarray(plane), hats) * _bands(jnp.asarray(pattern), hats)
    sums = jnp.einsum("bhw,thw->bt", bands, where)
    squares = jnp.einsum("bhw,thw->bt", jnp.square(bands), jnp.square(where))
    # Neighbours in a narrow band agree, so that fewer pixels are independent.
    weights = np.full(hats.shape[-1], 2.0)
    weights[0] = weights[-1] = 1  # of the half plane of frequencies
    fourth, square = (jnp.sum(weights * hats**power, (1, 2)) for power in (4, 2))
    alike = np.size(pattern) * fourth / jnp.square(square)
    return sums, jnp.sqrt(squares * alike[:, None])


def scaled(
    plane: Float[ArrayLike, "h w"], factors: Cells, where: Float[Array, "4 h w"]
) -> Float[Array, "h w"]:
    """The plane with every cell of it multiplied by its factor; mean and lowest frequencies go."""
    bands = _bands(jnp.asarray(plane), _hats(*np.shape(plane)))
    return jnp.einsum("bt,thw,bhw->hw", jnp.asarray(factors), where, bands)


def by_name(sums: np.ndarray, whole: np.ndarray) -> dict[str, float]:
    """The quotient of two tables of cells [7 4], summed by `NAMES`; nan where there was nothing."""
    above, below = _sums(sums), _sums(whole)
    with np.errstate(invalid="ignore", divide="ignore"):
        values = np.where(below > 0, above / below, np.nan)
    return dict(zip(NAMES, values.tolist(), strict=True))


def visible(sums: np.ndarray, chance: np.ndarray) -> dict[str, float]:
    """z-scores of tables of `products`, by `NAMES`; 0 where there was nothing.

    Triangles overlap. So squares by chance add up to less than those of the sums: of neighbouring
    bands, with ∫h⁴ = 2/5 and ∫h²h'² = 1/30, by a sixth, of the four classes by a third.

    Args:
      sums: Σ plane·pattern [7 4].
      chance: Their standard deviations where plane and pattern are independent.
    """
    overlaps = np.array([*[4 / 3] * BANDS, *[7 / 6] * CLASSES, 4 / 3 * 7 / 6])
    deviation = np.sqrt(_sums(np.square(chance)) * overlaps)
    values = np.where(deviation > 0, _sums(sums) / np.where(deviation > 0, deviation, 1), 0)
    return dict(zip(NAMES, values.tolist(), strict=True))


def _sums(table: np.ndarray) -> np.ndarray:
    """Of a table of cells [7 4], by `NAMES`."""
    return np.array([*table.sum(1), *table[1:].sum(0), table[1:].sum()])


def worst(shares: Mapping[str, float]) -> float:
    """The share farthest from 0, with its sign, `LOWEST` left out; nan if none is known."""
    known = [value for name, value in shares.items() if name != LOWEST and not math.isnan(value)]
    return max(known, key=abs, default=math.nan)


def _hats(h: int, w: int) -> Float[Array, "7 h w2"]:
    """What each band lets through, by frequency."""
    rows, columns = jnp.abs(jnp.fft.fftfreq(h)), jnp.fft.rfftfreq(w)
    place = 16 * jnp.maximum(rows[:, None], columns)
    return jnp.maximum(0, 1 - jnp.abs(place - jnp.arange(1, BANDS + 1)[:, None, None]))


def _bands(plane: Array, hats: Array) -> Float[Array, "7 h w"]:
    return jnp.fft.irfft2(jnp.fft.rfft2(plane) * hats, s=plane.shape)
