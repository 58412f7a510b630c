"""A photo rebuilt from the few coefficients that stand out, the others turned over as far as asked.

The idea is that of the paper, that a model of pictures learns structure before noise, with the most
economical model of a picture there is instead of a network: in every 8x8 block, at every position,
the few discrete cosine coefficients that stand out are kept, and the overlapping blocks averaged
(Coifman and Donoho, 1995, "Translation-invariant de-noising"; weights as in Dabov et al., 2007,
"Image denoising by sparse 3-D transform-domain collaborative filtering").

A fingerprint is noise, so of its energy a block keeps the share λ that falls on kept coefficients.
That share is cancelled where the dropped coefficients are not set to zero but turned over, about
λ/(1-λ) times. How many times is a table by cell (`signal.cells`): frequency of the coefficient and
texture around the block. `balance` finds it by measurement.

Photos are float32 in grey levels, channels last, one at a time; `jax.vmap` makes batches.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array, Bool, Float, Num

from dippas_jax.signal import cells

SIDE = 8  # of a block, pixels
HALO = SIDE + cells.REACH  # pixels around a tile that have a part in it

_EXACT = jax.lax.Precision.HIGHEST  # a GPU's default keeps three decimal digits
_BAND = np.maximum(*np.mgrid[:SIDE, :SIDE])  # of a coefficient; 0 for the mean


def _cosines() -> np.ndarray:
    """The orthonormal DCT-II: row u holds the cosine of frequency u."""
    u, x = np.mgrid[:SIDE, :SIDE]
    rows = np.cos(np.pi * (2 * x + 1) * u / (2 * SIDE)) * np.sqrt(2 / SIDE)
    rows[0] /= np.sqrt(2)
    return rows.astype(np.float32)


def _opponent() -> np.ndarray:
    """Orthonormal rows: brightness, red against blue, green against both."""
    rows = np.array([[1, 1, 1], [1, 0, -1], [1, -2, 1]], np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


_DCT_2D, COLOURS = np.kron(_cosines(), _cosines()), _opponent()


def resynthesise(
    pixels: Num[ArrayLike, "h w 3"],
    threshold: ArrayLike,
    flips: cells.Cells,
    table: cells.Quantiles,
    pattern: Float[ArrayLike, "h w"] | None = None,
    alphas: cells.Cells | None = None,
) -> Float[Array, "h w 3"]:
    """The photo from its coefficients of at least `threshold`.

    Args:
      pixels: The photo, grey levels, at least 32x32.
      threshold: Grey levels; 3 keeps nearly all, 50 leaves a drawing.
      flips: How many times a dropped coefficient is turned over, by cell; 0 drops it.
      table: Of the photo's textures, `cells.quantiles`.
      pattern: Such as I·K, to be subtracted from every channel.
      alphas: How many times it is subtracted, by cell.

    Returns:
      Grey levels, neither clipped nor rounded.
    """
    h, w = np.shape(pixels)[:2]
    around = None if pattern is None else _mirrored(pattern)
    return rebuild(_mirrored(pixels), threshold, flips, table, around, alphas)[:h, :w]


def rebuild(
    region: Num[ArrayLike, "h w 3"],
    threshold: ArrayLike,
    flips: cells.Cells,
    table: cells.Quantiles,
    pattern: Float[ArrayLike, "h w"] | None = None,
    alphas: cells.Cells | None = None,
) -> Float[Array, "h2 w2 3"]:
    """A tile of `resynthesise`: exactly what the whole photo would give there.

    Args:
      region: The tile with `HALO` pixels around it; its sides are multiples of 8.
      threshold: Grey levels.
      flips: See `resynthesise`.
      table: Of the whole photo.
      pattern: With the same pixels around it.
      alphas: See `resynthesise`.
    """
    levels = jnp.asarray(region, jnp.float32)
    inner = slice(cells.REACH, -cells.REACH)
    where = cells.classes(cells.texture(levels), table)[:, inner, inner]
    planes = jnp.einsum("hwd,cd->chw", levels, COLOURS, precision=_EXACT)[:, inner, inner]
    rows, columns = (side - SIDE for side in planes.shape[1:])
    grey = None
    if pattern is not None and alphas is not None:  # a grey plane lies in the first channel alone
        grey = np.sqrt(3) * jnp.asarray(pattern, jnp.float32)[None, inner, inner]

    def factors(tables: Array, shift: Array) -> Array:
        """Of every coefficient of a grid of blocks, by the texture in the block's middle."""
        middles = jax.lax.dynamic_slice(where, (0, *shift), (len(where), rows, columns))
        middles = middles[:, SIDE // 2 :: SIDE, SIDE // 2 :: SIDE]
        of_blocks = jnp.einsum("bt,trk->brk", tables, middles)
        whole = jnp.concatenate([jnp.zeros_like(of_blocks[:1]), of_blocks])  # means stay
        return whole[_BAND].transpose(2, 0, 3, 1)[None]

    def add(sums: Array, shift: Array) -> tuple[Array, None]:
        found = _forward(planes, shift, rows, columns)
        keep = _kept(found, threshold)
        weight = 1 / keep.sum((0, 2, 4), keepdims=True)
        made = jnp.where(keep, found, -factors(flips, shift) * found)
        if grey is not None:
            taken = factors(jnp.asarray(alphas), shift) * _forward(grey, shift, rows, columns)
            made = made.at[:1].add(-taken)
        parts = _inverse(made * weight)
        parts = jnp.concatenate([parts, jnp.broadcast_to(weight, (1, *parts.shape[1:]))])
        together = parts.reshape(-1, rows, columns)
        start = (0, *shift)
        before = jax.lax.dynamic_slice(sums, start, together.shape)
        return jax.lax.dynamic_update_slice(sums, before + together, start), None

    sums, _ = jax.lax.scan(add, jnp.zeros((4, *planes.shape[1:])), _shifts())
    sums = sums[:, SIDE:-SIDE, SIDE:-SIDE]
    return jnp.einsum("chw,cd->hwd", sums[:3] / sums[3:], COLOURS, precision=_EXACT)


def noise(pixels: Num[ArrayLike, "h w 3"]) -> Float[Array, "3 n"]:
    """Standard deviation of the noise, as the finest coefficients of every whole block tell it.

    By colour (brightness first), grey levels. The median size of Gaussian numbers is 0.6745
    standard deviations. The coefficients are those of a block's finest quarter, which structure
    seldom reaches; a camera's interpolation and JPEG leave little noise there too.
    """
    levels = jnp.asarray(pixels, jnp.float32)
    rows, columns = (side - side % SIDE for side in levels.shape[:2])
    planes = jnp.einsum("hwd,cd->chw", levels[:rows, :columns], COLOURS, precision=_EXACT)
    found = _forward(planes, jnp.zeros(2, int), rows, columns).transpose(0, 1, 3, 2, 4)
    finest = found[..., SIDE // 2 :, SIDE // 2 :].reshape(3, -1, SIDE * SIDE // 4)
    return jnp.median(jnp.abs(finest), -1) / 0.6745


def _shifts() -> Array:
    """Positions of the grid of blocks."""
    return jnp.asarray(np.mgrid[:SIDE, :SIDE].reshape(2, -1).T)


def _mirrored(pixels: ArrayLike) -> Array:
    """The photo [h w ...] with `HALO` pixels around it, and as many more as make whole blocks."""
    pixels = jnp.asarray(pixels, jnp.float32)
    beyond = [(HALO, HALO + -side % SIDE) for side in pixels.shape[:2]]
    return jnp.pad(pixels, [*beyond, *[(0, 0)] * (pixels.ndim - 2)], mode="reflect")


def _forward(planes: Array, shift: Array, rows: int, columns: int) -> Array:
    """Coefficients [c r 8 k 8] of the grid of blocks that starts at `shift`."""
    part = jax.lax.dynamic_slice(planes, (0, *shift), (len(planes), rows, columns))
    return _of_blocks(part.reshape(-1, rows // SIDE, SIDE, columns // SIDE, SIDE), _DCT_2D.T)


def _inverse(coefficients: Array) -> Array:
    return _of_blocks(coefficients, _DCT_2D)


def _of_blocks(blocks: Array, matrix: np.ndarray) -> Array:
    """Every block [c r 8 k 8] times a matrix [64 64]: more products than row by row, and faster."""
    apart = blocks.transpose(0, 1, 3, 2, 4)
    done = jnp.dot(apart.reshape(-1, SIDE * SIDE), matrix, precision=_EXACT)
    return done.reshape(apart.shape).transpose(0, 1, 3, 2, 4)


def _kept(coefficients: Array, threshold: ArrayLike) -> Bool[Array, "3 r 8 k 8"]:
    """Those of at least the threshold, and the means."""
    return (jnp.abs(coefficients) >= threshold).at[:, :, 0, :, 0].set(True)
