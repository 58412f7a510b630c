"""Anonymise without a fingerprint: take every patch from elsewhere in the photo.

Photos are pixels, uint8 [h w 3], 64 pixels a side at least. The method is that of Entrieri and
Kirchner (2016), "Patch-based desynchronization of digital camera sensor fingerprints",
reconstructed from what others say of it and from outputs that its authors published:

- The published colours are means: as many of them occur in the photo as of its 2x2 means.
- They hardly hold the fingerprint. The nearest patch of a noisy photo does: it is the one whose
  noise is most alike. So here patches are compared without their noise, which `dct` takes away, and
  taken from the photo as it is.
- Patches of 4x4 come closest to the published distances from the originals.

`python -m benchmarks.published` prints how near the result comes.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.typing import ArrayLike
from jaxtyping import Array, Float, Int, Key, Num, UInt8

from dippas_jax.baselines import dct
from dippas_jax.signal import image
from dippas_jax.types import InputError

SOURCE = "Entrieri and Kirchner 2016, patch-based desynchronization (reconstructed)"

SIDE = 4  # of a patch, pixels
REACH = 10  # rows and columns on each side in which a patch is looked for
SIGMA = 7.0  # grey levels; of the noise without which patches are compared, taken away twice


def anonymize(
    key: Key[Array, ""],
    photo: UInt8[ArrayLike, "h w 3"],
    fingerprint: Float[ArrayLike, "h w"] | None = None,
    *,
    side: int = SIDE,
    reach: int = REACH,
) -> UInt8[Array, "h w 3"]:
    """Replace every patch by its nearest neighbour, and average where patches overlap.

    Args:
      key: Not used: nothing is drawn.
      photo: The photo.
      fingerprint: Not used.
      side: Rows and columns of a patch, pixels, 2 or more.
      reach: Largest distance from which a patch is taken, rows or columns; `side` or more.

    Raises:
      InputError: The patch has less than two rows, the reach is below its side, or the two together
        are larger than the photo.
    """
    del key, fingerprint
    smallest = min(np.shape(photo)[:2])
    if not 2 <= side <= reach <= smallest - side:
        raise InputError(
            f"patches of {side}x{side} pixels from a distance of {reach} at most cannot be taken "
            f"from a photo with a side of {smallest}; choose a side of 2 or more, and a reach "
            f"between it and {smallest - side}"
        )
    guide = jnp.asarray(photo, jnp.float32)
    for _ in range(2):
        guide = dct.denoised(guide, SIGMA)
    return _averaged(photo, nearest(guide, side=side, reach=reach), side)


@functools.partial(jax.jit, static_argnames=("side", "reach"))
def nearest(pixels: Num[ArrayLike, "h w 3"], *, side: int, reach: int) -> Int[Array, "r c 2"]:
    """Where the patch nearest to every patch lies: the least sum of squared differences.

    All offsets of `side` to `reach` pixels along rows or columns are tried, so that no patch
    overlaps the one it replaces; of several equally near ones the first in reading order wins.

    Args:
      pixels: What is compared.
      side: Rows and columns of a patch.
      reach: Largest offset, rows or columns.

    Returns:
      Offsets, rows and columns, from each of the h - side + 1 by w - side + 1 patches.
    """
    pixels = jnp.asarray(pixels, jnp.float32)
    height, width, _ = pixels.shape
    # Infinitely far is what lies beyond the border.
    around = [(reach, reach), (reach, reach), (0, 0)]
    padded = jnp.pad(pixels, around, constant_values=jnp.inf)
    grid = np.stack(np.meshgrid(*[np.arange(-reach, reach + 1)] * 2, indexing="ij"), -1)
    offsets = grid[np.abs(grid).max(-1) >= side]

    def step(found: tuple[Array, Array], offset: Array) -> tuple[tuple[Array, Array], None]:
        least, where = found
        shifted = lax.dynamic_slice(padded, (*(reach + offset), 0), pixels.shape)
        distance = _patch_sums(jnp.sum(jnp.square(shifted - pixels), -1), side)
        nearer = distance < least
        return (
            jnp.where(nearer, distance, least),
            jnp.where(nearer[..., None], offset, where),
        ), None

    size = (height - side + 1, width - side + 1)
    start = jnp.full(size, jnp.inf), jnp.zeros((*size, 2), jnp.int32)
    (_, where), _ = lax.scan(step, start, jnp.asarray(offsets, jnp.int32))
    return where


def _patch_sums(plane: Array, side: int) -> Array:
    """Sums over all patches; no differences, for the infinite."""
    height, width = (size - side + 1 for size in plane.shape)
    rows = functools.reduce(jnp.add, (plane[i : i + height] for i in range(side)))
    return functools.reduce(jnp.add, (rows[:, i : i + width] for i in range(side)))


@functools.partial(jax.jit, static_argnames="side")
def _averaged(photo: ArrayLike, offsets: Array, side: int) -> Array:
    """Every patch taken from its offset [r c 2], overlapping ones averaged, rounded once."""
    pixels = jnp.asarray(photo, jnp.float32)
    rows, columns, _ = offsets.shape
    y, x = jnp.mgrid[:rows, :columns]
    y, x = y + offsets[..., 0], x + offsets[..., 1]

    def add(index: Array, total: Array) -> Array:
        i, j = index // side, index % side
        part = lax.dynamic_slice(total, (i, j, 0), (rows, columns, 4))
        taken = jnp.concatenate([pixels[y + i, x + j], jnp.ones((rows, columns, 1))], -1)
        return lax.dynamic_update_slice(total, part + taken, (i, j, 0))

    zeros = jnp.zeros((*pixels.shape[:2], 4), jnp.float32)  # the colours, and how many there were
    total = lax.fori_loop(0, side**2, add, zeros)
    return image.to_pixels(total[..., :3] / total[..., 3:] / 255)
