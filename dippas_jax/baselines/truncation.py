"""Anonymise by leaving out high frequencies, where most of a fingerprint lies.

Photos are pixels, uint8 [h w 3], 64 pixels a side at least. The method is the simpler one of
Banerjee and Ross (2019), "Smartphone camera de-identification while preserving biometric utility":
of the discrete cosine transform of the whole photo only a triangle of low frequencies is kept. Its
size is theirs; that it is taken channel by channel, with the rounding, is ours.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array, Float, Key, UInt8

from dippas_jax.signal import image
from dippas_jax.types import InputError

SOURCE = "Banerjee and Ross 2019, DCT truncation (reconstructed)"

SHARE = 0.9
"""Side of the triangle over the photo's shorter side."""


def triangle(
    key: Key[Array, ""],
    photo: UInt8[ArrayLike, "h w 3"],
    fingerprint: Float[ArrayLike, "h w"] | None = None,
    *,
    share: float = SHARE,
) -> UInt8[Array, "h w 3"]:
    """Keep the coefficients (i, j) of every channel with i + j < α = share·min(h, w).

    Args:
      key: Not used: nothing is drawn.
      photo: The photo.
      fingerprint: Not used.
      share: Of the shorter side; above 0. From (h + w)/min(h, w) on all is kept.

    Raises:
      InputError: The share is not above 0, or the photo is none, or too small.
    """
    del key, fingerprint
    image.require_photo(photo)
    if not share > 0:
        raise InputError(
            f"a share of {share} of the frequencies cannot be kept; choose one above 0, such as "
            f"{SHARE}"
        )
    return _triangle(photo, share * min(np.shape(photo)[:2]))


@jax.jit
def _triangle(photo: ArrayLike, alpha: ArrayLike) -> Array:
    levels = jnp.asarray(photo, jnp.float32)
    found = jax.scipy.fft.dctn(levels, axes=(0, 1), norm="ortho")
    rows, columns = (jnp.arange(side) for side in levels.shape[:2])
    low = rows[:, None] + columns < alpha
    kept = jnp.where(low[..., None], found, 0)
    return image.to_pixels(jax.scipy.fft.idctn(kept, axes=(0, 1), norm="ortho") / 255)
