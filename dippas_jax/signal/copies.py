"""Photos that show the same noise, as a photo and copies of it do that were saved again.

Two photos of one camera share its fingerprint, a small part of their noise: the residuals of two
photos of a wall correlate by 0.02 to 0.05 in five real cameras, those of a photo and its JPEG of
quality 98 by 0.8 to 0.97 (`python -m benchmarks.fingerprints`). A fingerprint from copies looks
reliable, and is one photo's noise.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array, Float, Num

from dippas_jax.signal import image, residual

SAME = 0.97
"""Correlation from which a photo is a copy of another one."""

ALIKE = 0.3
"""Correlation that no two photos of a real camera are known to have."""

SUSPECT = 0.1
"""Correlation that they may have, but not while others of the camera have a quarter of it."""

ONE_SCENE = 0.5
"""Correlation of `scene` from which two photos were taken from one place, as by a tripod: they
share fine structure of the picture, pixel on pixel, which passes for a camera's noise."""

_COARSE = 8  # pixels a side, at least, of what `scene` takes the mean of
_POINTS = 128  # means along the shorter side, of a large photo
_SIDE = 256  # of the centre that is compared, pixels
_FAR = 4.0  # times the median size of a residual, from where hot pixels would tell


def noise(pixels: Num[ArrayLike, "h w 3"]) -> Float[np.ndarray, "*n"]:
    """The residual of a photo's centre, of norm 1; zeros where most of it has none.

    Args:
      pixels: Grey levels. Only photos of one size can be compared.
    """
    height, width = np.shape(pixels)[:2]
    return np.asarray(_noise(image.center_crop(pixels, min(height, _SIDE), min(width, _SIDE))))


def scene(pixels: Num[ArrayLike, "h w 3"]) -> Float[np.ndarray, "*n"]:
    """The edges of a photo, coarsely, of norm 1; zeros of one below 256 pixels, which has too few.

    Args:
      pixels: Grey levels. Only photos of one size can be compared.
    """
    grey = np.asarray(image.luma(jnp.asarray(pixels, jnp.float32)))
    block = max(_COARSE, min(grey.shape) // _POINTS)
    rows, columns = (side // block for side in grey.shape)
    coarse = grey[: rows * block, : columns * block]
    coarse = coarse.reshape(rows, block, columns, block).mean((1, 3))
    edges = np.concatenate([np.diff(coarse, axis=n).ravel() for n in (0, 1)])
    norm = np.linalg.norm(edges)
    return edges / norm if norm > 0 and min(grey.shape) >= _SIDE else 0 * edges


@jax.jit
def _noise(pixels: Num[Array, "h w 3"]) -> Float[Array, "*n"]:
    plane = residual.residual(jnp.asarray(pixels, jnp.float32)).ravel()
    most = _FAR * jnp.median(jnp.abs(plane))
    plane = jnp.clip(plane, -most, most)
    plane -= plane.mean()
    norm = jnp.linalg.norm(plane)
    return jnp.where(norm > 0, plane / jnp.where(norm > 0, norm, 1), 0)
