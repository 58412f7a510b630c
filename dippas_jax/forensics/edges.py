"""The camera looked for near edges only, where some methods leave the photo almost as it was.

The paper's table 4 asks this of the inpainting of Mandelli et al. (2017), "Inpainting-based camera
anonymization", which rebuilds all pixels but those near edges. Edges are found as that method finds
its own: Canny's on the grey plane of the denoised photo, dilated by a disk of radius 3. Mandelli et
al. denoise with colour BM3D at σ 7, twice. BM3D's licence is non-commercial, so here the wavelet
filter of `residual` runs twice at that σ on each channel.

Pixels are uint8 or float32 in grey levels [0, 255], channels last; masks are bool [h w] in NumPy.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array, Bool, Float, Num

from dippas_jax.signal import correlation, edges, image
from dippas_jax.signal import residual as residuals

SIGMA = 7.0  # grey levels; of the noise that is taken away, twice, before edges are looked for


def mask(pixels: Num[ArrayLike, "h w 3"]) -> Bool[np.ndarray, "h w"]:
    """Where a photo has an edge within three pixels: about half of a natural photo.

    Args:
      pixels: The photo, at least 32 pixels high and wide.

    Returns:
      True near edges; nowhere in a flat photo.
    """
    planes = jnp.moveaxis(jnp.asarray(pixels, jnp.float32), -1, 0)
    for _ in range(2):
        planes = _denoised(planes)
    return edges.near(image.luma(jnp.moveaxis(planes, 0, -1)))


def ncc(
    residual: Float[ArrayLike, "*n h w"],
    pattern: Float[ArrayLike, "*m h w"],
    mask: Bool[ArrayLike, "h w"],
) -> Float[Array, "..."]:
    """`correlation.ncc` over the pixels of a mask; times √mask.sum() it is a z-score.

    Args:
      residual: W, the noise residual of photos.
      pattern: P, such as `correlation.pattern` gives.
      mask: The pixels that count, such as `mask` gives.

    Returns:
      Correlations in [-1, 1]; nan where undefined, as with a mask of nothing.
    """
    kept = jnp.asarray(mask, jnp.float32)
    return correlation.ncc(kept * jnp.asarray(residual), kept * jnp.asarray(pattern))


@jax.jit
def _denoised(planes: Array) -> Array:
    return planes - residuals.denoising_residual(planes, sigma=SIGMA)
