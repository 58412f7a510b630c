"""Photos as arrays: pixels, images, grey planes, and how much two photos differ.

Pixels are uint8 in [0, 255], an image is float32 in [0, 1]; both are channels last, any leading
axes. A grey level is one step of a pixel. Everything is computed in float32.
"""

import math
import zlib
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.typing import ArrayLike
from jaxtyping import Array, Bool, Float, Key, Num, Shaped, UInt8

from dippas_jax.config import SMALLEST_PHOTO
from dippas_jax.types import InputError

LUMA = (0.299, 0.587, 0.114)  # ITU-R BT.601: red, green, blue


def array(given: Any, name: str) -> Shaped[np.ndarray, "..."]:
    """What was given as an array; `InputError` where NumPy makes none of real numbers.

    Args:
      given: Whatever it is.
      name: What the message calls it.
    """
    try:
        made = np.asarray(given)
    except ValueError:  # of planes of several sizes
        made = np.array(None)
    if made.dtype != bool and not any(
        jnp.issubdtype(made.dtype, kind) for kind in (jnp.integer, jnp.floating)
    ):
        raise InputError(
            f"{name}, of type {type(given).__name__}, cannot be used as an array of numbers; give "
            "arrays of one size, of a Fingerprint its .plane"
        )
    return made


def require_photo(photo: Any) -> UInt8[np.ndarray, "h w 3"]:
    """The photo as an array; `InputError` unless it is uint8 [h w 3], 64 pixels a side or more."""
    pixels = array(photo, "the photo")
    shape, kind = pixels.shape, pixels.dtype
    if len(shape) != 3 or shape[-1] != 3 or kind != np.uint8:
        raise InputError(
            f"the photo is {kind} {list(shape)}; give uint8 [height, width, 3] with values of 0 to "
            "255"
        )
    if min(shape[:2]) < SMALLEST_PHOTO:
        raise InputError(
            f"photo of {shape[0]}x{shape[1]} pixels is too small; give one of at least "
            f"{SMALLEST_PHOTO}x{SMALLEST_PHOTO}"
        )
    return pixels


def luma(image: Num[ArrayLike, "*n h w 3"]) -> Float[Array, "*n h w"]:
    """The grey plane of a colour image, in the unit of the image."""
    image = jnp.asarray(image, jnp.float32)
    red, green, blue = LUMA
    return red * image[..., 0] + green * image[..., 1] + blue * image[..., 2]


def to_image(pixels: UInt8[ArrayLike, "*n h w 3"]) -> Float[Array, "*n h w 3"]:
    """Pixels in [0, 255] to an image in [0, 1]."""
    return jnp.asarray(pixels, jnp.float32) / 255


def to_pixels(image: Float[ArrayLike, "*n h w 3"]) -> UInt8[Array, "*n h w 3"]:
    """An image to pixels: clipped to [0, 1], rounded to the nearest level, halves to even."""
    levels = jnp.round(jnp.asarray(image, jnp.float32) * 255)
    return jnp.clip(levels, 0, 255).astype(jnp.uint8)


def psnr(a: Num[ArrayLike, "*n h w 3"], b: Num[ArrayLike, "*m h w 3"]) -> Float[Array, "..."]:
    """Peak signal-to-noise ratio over the last three axes, dB.

    Args:
      a: Photos in grey levels [0, 255], uint8 or float. The difference is taken in float32: that of
        uint8 would wrap round.
      b: What they are compared with; leading axes broadcast against those of `a`.

    Returns:
      10·log10(255² / mean squared error) with the leading axes kept; inf where the two are equal.
    """
    difference = jnp.asarray(a, jnp.float32) - jnp.asarray(b, jnp.float32)
    error = jnp.mean(jnp.square(difference), axis=(-3, -2, -1))
    equal = error == 0
    # The inner `where` keeps the gradient finite where the outer one does not use the logarithm.
    decibels = 10 * jnp.log10(255.0**2 / jnp.where(equal, 1.0, error))
    return jnp.where(equal, jnp.inf, decibels)


def decibels(squares: float, count: int) -> float:
    """The PSNR of `count` values whose squared differences, grey levels, add up to `squares`.

    For photos that are worked on part by part; on the host, in float64.
    """
    return 10 * math.log10(255**2 * count / squares) if squares > 0 else math.inf


def demosaiced(raw: Float[ArrayLike, "h w"]) -> Float[Array, "h w 3"]:
    """The pixels of a Bayer sensor, whose first one is red, as colours, interpolated bilinearly."""
    raw = jnp.asarray(raw, jnp.float32)
    h, w = raw.shape
    rows, columns = jnp.mgrid[:h, :w] % 2
    sites = (rows + columns == 0, rows + columns == 1, rows + columns == 2)
    cross = jnp.array([[0, 1, 0], [1, 4, 1], [0, 1, 0]]) / 4
    square = jnp.array([[1, 2, 1], [2, 4, 2], [1, 2, 1]]) / 4
    planes = [
        jax.scipy.signal.convolve2d(jnp.where(site, raw, 0), kernel, mode="same")
        for site, kernel in zip(sites, (square, cross, square), strict=True)
    ]
    return jnp.stack(planes, -1)


def busy(pixels: Num[ArrayLike, "h w 3"]) -> Bool[Array, "h w"]:
    """The half of a photo where the gradients of its 5x5 mean are the larger ones."""
    size = gradient(pixels)
    return size > jnp.median(size)


def gradient(pixels: Num[ArrayLike, "h w 3"]) -> Float[Array, "h w"]:
    """The squared gradient of a photo's 5x5 mean, (grey levels a pixel)²: how much happens there.

    Beyond the border the grey plane goes on as it ends.
    """
    rows, columns = jnp.gradient(square_mean(luma(pixels), 5))
    return jnp.square(rows) + jnp.square(columns)


def square_mean(plane: Float[ArrayLike, "h w"], side: int) -> Float[Array, "h w"]:
    """The mean over a square of odd side around every pixel; the border goes on as it ends."""
    padded = jnp.pad(jnp.asarray(plane), side // 2, mode="edge")
    return lax.reduce_window(padded, 0.0, lax.add, (side, side), (1, 1), "VALID") / side**2


def center_crop(
    x: Shaped[ArrayLike, "..."], height: int, width: int, *, axes: tuple[int, int] = (-3, -2)
) -> Shaped[Array, "..."]:
    """The middle `height` by `width` of an array, rounding its corner towards the origin.

    Args:
      x: Photos by default; for planes give `axes=(-2, -1)`.
      height: Rows to keep, at most those there are.
      width: Columns to keep, at most those there are.
      axes: Where rows and columns lie.
    """
    x = jnp.asarray(x)
    index = [slice(None)] * x.ndim
    for axis, side in zip(axes, (height, width), strict=True):
        if side > x.shape[axis]:
            raise ValueError(
                f"a crop of {height}x{width} does not fit into {x.shape[axes[0]]}x"
                f"{x.shape[axes[1]]}; choose a smaller crop"
            )
        start = (x.shape[axis] - side) // 2
        index[axis] = slice(start, start + side)
    return x[tuple(index)]


def photo_key(seed: int, name: str | bytes) -> Key[Array, ""]:
    """A photo's own randomness: of the seed and of what names the photo, such as its id."""
    data = name.encode() if isinstance(name, str) else name
    return jax.random.fold_in(jax.random.key(seed), zlib.crc32(data))
