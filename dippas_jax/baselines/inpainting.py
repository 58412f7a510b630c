"""Anonymise without a fingerprint: predict every pixel from others.

Photos are pixels, uint8 [h w 3], 64 pixels a side at least. The method is that of Mandelli, Bondi,
Lameri, Lipari, Bestagini and Tubaro (2017), "Inpainting-based camera anonymization". Blocks of
3x3 or 5x5 pixels are hidden by a few masks that partition the photo; every channel's hidden pixels
are those that make R(x) least, the known ones kept: ‖Dx x‖² + ‖Dy x‖² ("l2") or the isotropic total
variation Σ √((Dx x)² + (Dy x)²) ("tv"), with (Dx x)(p) = x(p + 3e_x) - x(p). Near edges the photo
is denoised instead, which leaves the fingerprint there.

What the text leaves open is settled by the outputs that the authors published, which
`python -m benchmarks.published` compares with, pixel by pixel: ε, the borders (mirrored above and
on the left, continued by the last pixel below and on the right), and a peculiarity of theirs,
`stretch`. Edges come from colour BM3D there; it may not be used commercially, so `dct` denoises
here unless the package bm3d is installed and asked for.
"""

import functools
import importlib

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.typing import ArrayLike
from jaxtyping import Array, Float, Int, Key, UInt8

from dippas_jax.baselines import dct
from dippas_jax.signal import edges, image
from dippas_jax.types import InputError

BLOCKS = (3, 5)
"""Sides of a hidden block, pixels, that the method knows."""

NORMS = ("tv", "l2")
"""What is made least: total variation, or the sum of squared differences."""

DENOISERS = {"dct": "our sliding DCT", "bm3d": "BM3D"}
"""What denoises near edges, and its name in `source`."""

STEP = 3  # pixels between the two of a difference
SIGMA = 7.0  # grey levels; of the noise that is taken away, twice, near edges
PASSES = 4  # of reweighted least squares; in the first all weights are 1
EPSILON = 1e-8  # of the weights g/(g² + ε) for an image in [0, 1]: far below a level's square
SWEEPS = 30  # of Gauss and Seidel in a pass where hidden pixels depend on each other


def source(denoiser: str = "dct") -> str:
    """Where the method was published, and what denoised near edges."""
    return f"Mandelli et al. 2017, inpainting (known), edges denoised by {DENOISERS[denoiser]}"


def anonymize(
    key: Key[Array, ""],
    photo: UInt8[ArrayLike, "h w 3"],
    fingerprint: Float[ArrayLike, "h w"] | None = None,
    *,
    block: int = 3,
    norm: str = "tv",
    denoiser: str = "dct",
    stretch: bool = False,
) -> UInt8[Array, "h w 3"]:
    """Denoise near edges, and inpaint everything else.

    Args:
      key: Not used: nothing is drawn.
      photo: The photo.
      fingerprint: Not used.
      block: Side of a hidden block, one of `BLOCKS`.
      norm: One of `NORMS`.
      denoiser: One of `DENOISERS`.
      stretch: As `inpaint`.

    Raises:
      InputError: An option is not one of these, or the package bm3d is asked for and missing.
    """
    del key, fingerprint
    for name, value, known in (
        ("block", block, BLOCKS),
        ("norm", norm, NORMS),
        ("denoiser", denoiser, tuple(DENOISERS)),
    ):
        if value not in known:
            raise InputError(
                f"the inpainting's {name} is {value!r}; choose one of {', '.join(map(str, known))}"
            )
    smooth = denoised(photo, denoiser)
    near = edges.near(image.luma(smooth))
    return _chosen(near, smooth, inpaint(photo, block=block, norm=norm, stretch=stretch))


def denoised(photo: UInt8[ArrayLike, "h w 3"], denoiser: str = "dct") -> Float[Array, "h w 3"]:
    """The photo denoised twice, grey levels.

    Args:
      photo: The photo.
      denoiser: One of `DENOISERS`.

    Raises:
      InputError: The package bm3d is asked for and missing.
    """
    pixels = jnp.asarray(photo, jnp.float32)
    if denoiser == "bm3d":
        try:
            bm3d = importlib.import_module("bm3d")
        except ImportError:
            raise InputError(
                "the denoiser bm3d is asked for and its package is not installed; install bm3d, "
                "whose licence is for non-commercial use, or choose dct"
            ) from None
        values = np.asarray(pixels) / 255
        for _ in range(2):
            values = bm3d.bm3d_rgb(values, SIGMA / 255)
        return jnp.asarray(values * 255, jnp.float32)
    for _ in range(2):
        pixels = dct.denoised(pixels, SIGMA)
    return pixels


def masks(height: int, width: int, block: int) -> Int[np.ndarray, "h w"]:
    """The number of the mask that hides each pixel: nine masks of 3x3 blocks, four of 5x5."""
    period = max(block * -(-8 // block), 2 * block)
    rows, columns = (np.arange(size) // block % (period // block) for size in (height, width))
    return np.add.outer(rows * (period // block), columns)


@functools.partial(jax.jit, static_argnames=("block", "norm", "stretch"))
def inpaint(
    photo: UInt8[ArrayLike, "h w 3"], *, block: int = 3, norm: str = "tv", stretch: bool = False
) -> Float[Array, "h w 3"]:
    """Every pixel as the mask that hides it predicts it.

    All masks are worked on at once: what a hidden block depends on is itself and known pixels.

    Args:
      photo: The photo.
      block: Side of a hidden block, one of `BLOCKS`.
      norm: One of `NORMS`.
      stretch: Stretch the levels of every mask's prediction as the published outputs are: the least
        and the largest level of what the mask left known, over all channels, become those of the
        whole photo. Where one mask hides the only pixels of the largest level, this is seen.

    Returns:
      Grey levels, not rounded.
    """
    planes = jnp.moveaxis(image.to_image(jnp.asarray(photo)), -1, 0)
    inpainted = jnp.moveaxis(
        lax.map(functools.partial(_inpainted, block=block, norm=norm), planes), 0, -1
    )
    if stretch:
        inpainted = _stretched(jnp.asarray(photo), inpainted, block)
    return inpainted * 255


def _inpainted(plane: Array, block: int, norm: str) -> Array:
    """One channel [h w]; image scale [0, 1]."""
    height, width = plane.shape
    padded = jnp.pad(jnp.pad(plane, ((STEP, 0), (STEP, 0)), mode="symmetric"), (0, STEP), "edge")
    y, x = np.arange(height)[:, None], np.arange(width)
    row, column = y % block, x % block
    right, down, left, up = (0, STEP), (STEP, 0), (0, -STEP), (-STEP, 0)

    def shifted(array: Array, offset: tuple[int, int]) -> Array:
        """What lies at that offset, round the border; there it is never looked at."""
        return jnp.roll(array, (-offset[0], -offset[1]), (0, 1))

    def known(*offset: int) -> Array:
        """The photo at that offset."""
        i, j = (STEP + step for step in offset)
        return padded[i : i + height, j : j + width]

    # Where the pixel at that offset is hidden too: it belongs to the same block.
    hidden = {
        offset: (row + offset[0] >= 0)
        & (row + offset[0] < block)
        & (column + offset[1] >= 0)
        & (column + offset[1] < block)
        & (y + offset[0] < height)
        & (x + offset[1] < width)
        for offset in (right, down, left, up)
    }

    def seen(values: Array, offset: tuple[int, int]) -> Array:
        return jnp.where(hidden[offset], shifted(values, offset), known(*offset))

    def weight(dx: Array, dy: Array) -> Array:
        squares = jnp.square(dx) + jnp.square(dy)
        return jnp.sqrt(squares) / (squares + EPSILON)

    def weights(values: Array) -> tuple[Array, Array, Array]:
        """Those of the pixel itself, of that on the left and of that above."""
        own = weight(seen(values, right) - values, seen(values, down) - values)

        def before(offset: tuple[int, int], beside: Array) -> Array:
            there = known(*offset)
            alone = weight(values - there, beside - there)
            return jnp.where(hidden[offset], shifted(own, offset), alone)

        return own, before(left, known(STEP, -STEP)), before(up, known(-STEP, STEP))

    # Of two pixels that depend on each other, one is of each colour.
    colours = (row // STEP + column // STEP) % 2
    many = 1 if block <= STEP else SWEEPS

    def sweep(values: Array, of: tuple[Array, Array, Array]) -> Array:
        own, on_left, above = of
        total = 2 * own + on_left + above
        for colour in (0, 1)[: 1 if block <= STEP else 2]:
            sums = own * (seen(values, right) + seen(values, down))
            sums = sums + on_left * seen(values, left) + above * seen(values, up)
            # No weight: all differences are zero, as they should be.
            best = jnp.where(total > 0, sums / jnp.where(total > 0, total, 1), values)
            values = jnp.where(colours == colour, best, values)
        return values

    def solved(values: Array, of: tuple[Array, Array, Array]) -> Array:
        return lax.fori_loop(0, many, lambda _, at: sweep(at, of), values)

    ones = jnp.ones_like(plane)
    first = solved(jnp.zeros_like(plane), (ones, ones, ones))
    if norm == "l2":
        return first
    return lax.fori_loop(1, PASSES, lambda _, at: solved(at, weights(at)), first)


def _stretched(photo: Array, inpainted: Array, block: int) -> Array:
    """Image [h w 3] in [0, 1], levels changed mask by mask as `inpaint` says."""
    height, width, _ = photo.shape
    number = masks(height, width, block)
    levels = image.to_image(photo)
    low, high = jnp.min(levels, -1), jnp.max(levels, -1)

    def of_known(i: Array) -> tuple[Array, Array]:
        there = jnp.asarray(number) == i
        return jnp.min(jnp.where(there, 1, low)), jnp.max(jnp.where(there, 0, high))

    lows, highs = (x[number][..., None] for x in lax.map(of_known, jnp.arange(number.max() + 1)))
    scale = (jnp.max(high) - jnp.min(low)) / jnp.where(highs > lows, highs - lows, 1)
    return jnp.where(highs > lows, (inpainted - lows) * scale + jnp.min(low), inpainted)


@jax.jit
def _chosen(near: ArrayLike, smooth: Array, inpainted: Array) -> Array:
    return image.to_pixels(jnp.where(jnp.asarray(near)[..., None], smooth, inpainted) / 255)
