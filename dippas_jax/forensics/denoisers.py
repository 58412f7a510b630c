"""What other denoisers take for noise: each weighs the frequencies of a photo in its own way.

Planes are float32 [h w] in grey levels, such as `image.luma` gives. Each function gives the plane
minus its denoised version, in grey levels; of a constant plane that is exactly zero. The means of
Bayer phases, rows and columns are still in it.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array, Float
from scipy import ndimage
from skimage import restoration

from dippas_jax.signal import block_dct

SIGMA = 3.0
"""Standard deviation of the noise that non-local means and total variation look for, levels."""

DCT_THRESHOLD = 6.0
"""Coefficients below it are noise to `dct`: grey levels, the transform being orthonormal."""


def non_local_means(plane: Float[ArrayLike, "h w"]) -> Float[np.ndarray, "h w"]:
    """Means of pixels with similar patches: 5x5 pixels, at most six pixels away (Buades, 2005)."""
    centred = _centred(plane)
    return centred - restoration.denoise_nl_means(
        centred, patch_size=5, patch_distance=6, h=0.8 * SIGMA, sigma=SIGMA, fast_mode=True
    )


def total_variation(plane: Float[ArrayLike, "h w"]) -> Float[np.ndarray, "h w"]:
    """The plane of least total variation near this one (Chambolle, 2004), at weight `SIGMA`."""
    centred = _centred(plane)
    return centred - restoration.denoise_tv_chambolle(centred, weight=SIGMA)


def laplacian(plane: Float[ArrayLike, "h w"]) -> Float[np.ndarray, "h w"]:
    """A 3x3 high-pass: the plane minus its 3x3 mean; mirrored at the border."""
    centred = _centred(plane)
    return centred - ndimage.uniform_filter(centred, 3)


def median(plane: Float[ArrayLike, "h w"]) -> Float[np.ndarray, "h w"]:
    """The plane minus its 5x5 median; mirrored at the border."""
    centred = _centred(plane)
    return centred - ndimage.median_filter(centred, 5)


def dct(plane: Float[ArrayLike, "h w"]) -> Float[Array, "h w"]:
    """Coefficients of 8x8 blocks below `DCT_THRESHOLD`, the mean over all 64 places of the grid.

    The mean of a block is never noise. Beyond the border the plane goes on as it ends.
    """
    return _dct(_centred(plane))


@jax.jit
def _dct(plane: Array) -> Array:
    def noise(parts: Array) -> Array:
        return jnp.where((jnp.abs(parts) < DCT_THRESHOLD) & ~block_dct.MEAN, parts, 0)

    found = block_dct.filtered(noise, block_dct.bordered(plane, "edge"))
    return block_dct.within(found, *plane.shape)


def _centred(plane: ArrayLike) -> np.ndarray:
    """The plane less its first pixel, so that a constant one is exactly zero."""
    grey = np.asarray(plane, np.float32)
    return grey - grey[0, 0]
