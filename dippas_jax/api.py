"""The public functions that join rooms; `import dippas_jax as dj` gives them all.

A `key` comes first, then the photo, then the fingerprint; options are keyword-only. Photos are
uint8 [h w 3] in [0, 255], pixels as the sensor has them; fingerprints are float32 [h w] in any
unit.
"""

from collections.abc import Iterable
from typing import Any

import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Float

from dippas_jax import config as configuration
from dippas_jax.forensics import identification
from dippas_jax.prior import whole
from dippas_jax.signal import correlation, flat_field, image
from dippas_jax.signal import residual as residuals
from dippas_jax.sparse import anonymize as sparse
from dippas_jax.types import InputError, Result

_SMALLEST = 32  # pixels a side


def anonymize(
    photo: ArrayLike,
    fingerprint: ArrayLike | None = None,
    *,
    method: str = "sparse",
    config: configuration.Config | None = None,
) -> Result:
    """A photo with its camera's fingerprint reduced, by the method asked for.

    Reduced, not removed: docs/photos.md says for which cameras this was tested, and by whom the
    others are still found.

    Args:
      photo: uint8 [h w 3], at least 64x64.
      fingerprint: K [h w] of these very pixels, in any unit; None for blind. A mean, which would
        follow the scene, is subtracted (`signal.correlation.centred`).
      method: "sparse", in seconds and for any size, or "prior", the paper's method (`invert`).
      config: Seed, target PSNR and the settings of the method; the defaults where it is left out.
        Its `mode`, `method` and `max_minutes` are not looked at.

    Raises:
      InputError: Photo, fingerprint or method cannot be used.
      prior.anonymize.DivergedError: The loss of the prior became nan or infinite.
    """
    config = config or configuration.Config()
    photo = image.require_photo(photo)
    if fingerprint is not None:
        size = photo.shape[0], photo.shape[1]
        fingerprint = correlation.require_fingerprint(fingerprint, size)
    key = image.photo_key(config.seed, photo.tobytes())
    if method == "prior":
        return whole.invert(key, photo, fingerprint, config)
    if method != "sparse":
        raise InputError(f'method is "{method}"; choose "sparse" or "prior"')
    return sparse.anonymize(key, photo, fingerprint, config.sparse, target_psnr=config.target_psnr)


def fingerprint(
    photos: Iterable[ArrayLike], *, sigma: float = residuals.SIGMA
) -> Float[np.ndarray, "h w"]:
    """A camera's fingerprint K by maximum likelihood from flat-field photos (Chen et al., 2008).

    Args:
      photos: 20 or more of an even wall, out of focus, not overexposed, of one size, in grey levels
        of 0 to 255; each is taken when its turn comes, so an iterator of any length will do.
      sigma: Standard deviation of the noise looked for, grey levels.

    Returns:
      K, zero-mean, about 255 times the physical PRNU: a photo is I0·(1 + K/255) to first order.

    Raises:
      InputError: There is no photo, the photos differ in size, or one is not of grey levels.
    """
    return np.asarray(flat_field.estimate(map(_levels, photos), sigma=sigma).plane)


def identify(
    photo: ArrayLike,
    fingerprints: ArrayLike,
    *,
    sigma: float = residuals.SIGMA,
) -> identification.Match:
    """How well a photo agrees with the fingerprints of cameras, pixel on pixel.

    Args:
      photo: Grey levels [h w 3] of 0 to 255, at least 32 pixels a side.
      fingerprints: One K [h w], or several [m h w].
      sigma: Standard deviation of the noise looked for, grey levels.

    Returns:
      NCC, z, PCE and p-value, one entry a fingerprint (scalars for one plane).

    Raises:
      InputError: The photo is not of grey levels, or a fingerprint is no plane of its size.
    """
    photo, planes = _levels(photo), image.array(fingerprints, "what is given as fingerprints")
    if planes.ndim not in (2, 3):
        raise InputError(
            f"fingerprints are {list(planes.shape)}; give [height, width], or several such planes"
        )
    if planes.ndim == 2:
        found = identification.compare(photo, planes[None], sigma=sigma)
        return identification.Match(*(values[0] for values in found))
    return identification.compare(photo, planes, sigma=sigma)


def _levels(photo: Any) -> np.ndarray:
    """A photo in grey levels of 8 bits; `InputError` for any other."""
    photo = image.array(photo, "the photo")
    known = photo.dtype == np.uint8 or np.issubdtype(photo.dtype, np.floating)
    if photo.ndim != 3 or photo.shape[-1] != 3 or min(photo.shape[:2]) < _SMALLEST or not known:
        raise InputError(
            f"the photo is {photo.dtype} {list(photo.shape)}; give uint8, or floats from 0 to 255, "
            f"[height, width, 3] with at least {_SMALLEST} pixels a side"
        )
    least, most = photo.min(), photo.max()
    if photo.dtype != np.uint8 and not (least >= 0 and 1 < most <= 255):
        raise InputError(
            f"the values of the photo go from {least:g} to {most:g}; give grey levels from 0 to "
            "255, in which floats reach more than 1"
        )
    return photo
