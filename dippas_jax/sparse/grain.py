"""Fresh noise in place of what was taken out, so that a photo does not look as if of wax.

It has the spectrum of what was removed, place by place, so it follows the photo's brightness,
texture and compression as its own noise did; its phases are new. In overlapping windows of 16x16
pixels white noise is given the size of the removed coefficients, averaged over neighbours.

What was removed holds noise and what was turned over of it: c times the noise turned over is still
in the photo as noise, so that of the power removed (1+c)² only 1-c² is missing.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.fft import dctn, idctn
from jax.typing import ArrayLike
from jaxtyping import Array, Float, Key

from dippas_jax.sparse import transform

WINDOW, HOP = 16, 8  # pixels

_SINE = np.sin(np.pi * (np.arange(WINDOW) + 0.5) / WINDOW)
_TAPER = np.outer(_SINE, _SINE).astype(np.float32)
_BAND = np.maximum(*np.mgrid[:WINDOW, :WINDOW]) * transform.SIDE // WINDOW  # of 8x8 blocks


def gains(flips: Float[np.ndarray, "7 4"], amount: float) -> Float[np.ndarray, "16 16"]:
    """How much of the size of what was removed is put back as new noise, by frequency.

    Args:
      flips: How often dropped coefficients were turned over, by cell.
      amount: 1 for as much noise as there was; 0 for none.
    """
    turned = np.clip(flips.mean(1), 0, 1)
    missing = np.concatenate([[0.0], np.sqrt((1 - turned) / (1 + turned))])
    return (amount * missing[_BAND]).astype(np.float32)


def grain(
    key: Key[Array, ""], removed: Float[ArrayLike, "h w 3"], gain: Float[ArrayLike, "16 16"]
) -> Float[Array, "h w 3"]:
    """New noise like what was removed from a photo or a tile.

    Args:
      key: Of the noise.
      removed: The photo as it came minus what was made of it, grey levels.
      gain: From `gains`.
    """
    removed = jnp.asarray(removed, jnp.float32)
    h, w, _ = removed.shape
    beyond = [(HOP, HOP + -h % WINDOW), (HOP, HOP + -w % WINDOW), (0, 0)]
    known = jnp.moveaxis(jnp.pad(removed @ transform.COLOURS.T, beyond, mode="reflect"), -1, 0)
    white = jax.random.normal(key, known.shape)
    rows, columns = known.shape[1:]
    made = jnp.zeros_like(known)
    for top in (0, HOP):
        for left in (0, HOP):
            part = np.s_[:, top : rows - top % WINDOW, left : columns - left % WINDOW]
            made = made.at[part].add(_shaped(known[part], white[part], gain))
    inner = made[:, HOP : HOP + h, HOP : HOP + w]
    return jnp.moveaxis(inner, 0, -1) @ transform.COLOURS


def _shaped(known: ArrayLike, white: ArrayLike, gain: ArrayLike) -> Array:
    """White noise [3 h w] with the local spectrum of `known`, in windows side by side, tapered."""
    c, h, w = np.shape(known)

    def windows(planes: ArrayLike) -> Array:
        return (
            jnp.asarray(planes).reshape(c, h // WINDOW, WINDOW, w // WINDOW, WINDOW).swapaxes(2, 3)
        )

    def transformed(planes: ArrayLike) -> Array:
        return dctn(windows(planes) * _TAPER, axes=(-2, -1), norm="ortho")

    def around(values: Array) -> Array:
        """Sums over the windows beside each other [c r k 16 16], as far as there are any."""
        return jax.lax.reduce_window(values, 0.0, jax.lax.add, (1, 3, 3, 1, 1), (1,) * 5, "SAME")

    power = jnp.square(transformed(known))
    count = around(jnp.ones((1, *power.shape[1:3], 1, 1)))
    # The taper halves the size of what it is laid over.
    sizes = 2 * jnp.asarray(gain) * jnp.sqrt(around(power) / count)
    made = idctn(sizes * transformed(white), axes=(-2, -1), norm="ortho") * _TAPER
    return made.swapaxes(2, 3).reshape(c, h, w)
