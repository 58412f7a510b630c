"""Anonymise without a fingerprint: take the noise away, and it with it.

Photos are pixels, uint8 [h w 3], 64 pixels a side at least. `repeated` is the method of Rosenfeld
and Sencar (2009), "A study of the robustness of PRNU-based camera identification", reconstructed
from the literature's descriptions: the filter and the rounding are ours. `learned` uses the network
of Zhang et al. (2017), "Beyond a Gaussian denoiser: residual learning of deep CNN for image
denoising", as it was published.
"""

import jax
import jax.numpy as jnp
from jax import lax
from jax.typing import ArrayLike
from jaxtyping import Array, Float, Key, UInt8

from dippas_jax.io import weights
from dippas_jax.signal import dncnn, image, residual
from dippas_jax.types import InputError

REPEATED = "Rosenfeld and Sencar 2009, repeated wavelet denoising (reconstructed)"
LEARNED = "Zhang, Zuo, Chen, Meng and Zhang 2017, the denoiser DnCNN (known)"

LARGEST = 51.0  # grey levels; the strongest noise that the network was trained with


def repeated(
    key: Key[Array, ""],
    photo: UInt8[ArrayLike, "h w 3"],
    fingerprint: Float[ArrayLike, "h w"] | None = None,
    *,
    sigma: float = residual.SIGMA,
    times: int = 1,
) -> UInt8[Array, "h w 3"]:
    """Denoise `times` times: I ← I - W(I; σ), channel by channel, rounded once at the end.

    Args:
      key: Not used: nothing is drawn.
      photo: The photo.
      fingerprint: Not used.
      sigma: Standard deviation of the noise that the wavelet filter looks for, grey levels.
      times: Number of passes, 0 or more; the later ones take ever less.

    Raises:
      InputError: σ is not above 0, or the number of passes is negative.
    """
    del key, fingerprint
    if not sigma > 0 or times < 0:
        raise InputError(
            f"denoising {times} times with sigma {sigma} cannot be done; choose a sigma above 0 "
            "and 0 or more passes"
        )
    return _repeated(photo, sigma, times)


def learned(
    key: Key[Array, ""],
    photo: UInt8[ArrayLike, "h w 3"],
    fingerprint: Float[ArrayLike, "h w"] | None = None,
    *,
    sigma: float = 5.0,
) -> UInt8[Array, "h w 3"]:
    """Denoise by DnCNN: I - N(I; σ), channel by channel, N the noise that the network sees.

    The network is `signal.dncnn`, with the weights that `dippas fetch learned` gets.

    Args:
      key: Not used: nothing is drawn.
      photo: The photo.
      fingerprint: Not used.
      sigma: Standard deviation of the noise that the network is told, grey levels, 51 at most; 3 to
        10 suit photos.

    Raises:
      InputError: σ is not above 0 or beyond what the network was trained with, or the weights are
        missing or damaged.
    """
    del key, fingerprint
    if not 0 < sigma <= LARGEST:
        raise InputError(
            f"denoising by DnCNN with sigma {sigma} cannot be done; choose a sigma above 0 and of "
            f"{LARGEST:g} at most"
        )
    return _learned(dncnn.parse(weights.require()), photo, sigma)


@jax.jit
def _learned(params: dncnn.Params, photo: ArrayLike, sigma: ArrayLike) -> Array:
    planes = jnp.moveaxis(jnp.asarray(photo, jnp.float32), -1, -3)
    # The network takes black and white for noise too: a constant of up to a grey level.
    low, high = (f(planes, axis=(-2, -1), keepdims=True) for f in (jnp.min, jnp.max))
    planes = planes - jnp.where(high > low, dncnn.noise(params, planes, sigma), 0)
    return image.to_pixels(jnp.moveaxis(planes, -3, -1) / 255)


@jax.jit
def _repeated(photo: ArrayLike, sigma: ArrayLike, times: ArrayLike) -> Array:
    planes = jnp.moveaxis(jnp.asarray(photo, jnp.float32), -1, -3)
    planes = lax.fori_loop(
        0, times, lambda _, x: x - residual.denoising_residual(x, sigma=sigma), planes
    )
    return image.to_pixels(jnp.moveaxis(planes, -3, -1) / 255)
