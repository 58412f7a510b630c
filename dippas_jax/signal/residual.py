"""Noise residuals by Wiener filtering in the wavelet domain, and of the DFT magnitude.

Pixels are uint8 or float32 in grey levels [0, 255], channels last, any leading axes; residuals are
float32 in grey levels. The wavelet filter is that of Mihcak et al. (1999), "Low-complexity image
denoising based on statistical modeling of wavelet coefficients"; the residual made from it is that
of Chen et al. (2008), "Determining image origin and integrity using sensor noise".

Every function has a gradient (in reverse mode), finite on flat photos too. A batch is one call; on
a CPU `jax.lax.map(residual.residual, photos)` is almost twice as fast: one photo fits the cache.
"""

import functools

import jax
import jax.numpy as jnp
from jax import lax
from jax.typing import ArrayLike
from jaxtyping import Array, Float, Num

from dippas_jax.signal import image, wavelet

SIGMA = 3.0  # grey levels; standard deviation of the noise the wavelet filter looks for
WINDOWS = (3, 5, 7, 9)  # sides of the windows for local variance, each two longer; the least wins


@functools.partial(jax.jit, static_argnames="levels")
def residual(
    pixels: Num[ArrayLike, "*n h w 3"],
    *,
    sigma: ArrayLike = SIGMA,
    levels: int = wavelet.LEVELS,
) -> Float[Array, "*n h w"]:
    """The noise residual W of photos: where a camera's fingerprint is looked for.

    Args:
      pixels: Photos in grey levels, at least 32 pixels high and wide.
      sigma: Standard deviation of the noise, grey levels.
      levels: Levels of the wavelet transform.

    Returns:
      Grey residuals in grey levels, without the means of Bayer phases, rows and columns, and with
      the peaks of the spectrum flattened.
    """
    pixels = jnp.asarray(pixels, jnp.float32)
    noise = _noise_coefficients(jnp.moveaxis(pixels, -1, -3), sigma, levels)
    # The inverse transform is linear, so grey before it is grey after it, at a third of the work.
    grey = jax.tree.map(lambda band: image.luma(jnp.moveaxis(band, -3, -1)), noise)
    height, width = pixels.shape[-3:-1]
    return wiener_dft(zero_mean(wavelet.waverec2(grey, (height, width))))


def denoising_residual(
    plane: Num[ArrayLike, "*n h w"],
    *,
    sigma: ArrayLike = SIGMA,
    levels: int = wavelet.LEVELS,
) -> Float[Array, "*n h w"]:
    """What the wavelet filter takes for noise in planes of one channel.

    A detail coefficient d becomes d·σ²/(v + σ²), v its local variance; the approximation is left
    out.

    Args:
      plane: Channels in grey levels, at least 32 pixels high and wide.
      sigma: Standard deviation of the noise, grey levels.
      levels: Levels of the wavelet transform.

    Returns:
      The noise, grey levels; the plane minus it is the denoised plane.
    """
    plane = jnp.asarray(plane, jnp.float32)
    height, width = plane.shape[-2:]
    noise = functools.partial(_noise_coefficients, sigma=sigma, levels=levels)
    if plane.ndim == 2:
        return wavelet.waverec2(noise(plane), (height, width))
    # The loop keeps the XLA compiler from computing each gain anew for every tap of the inverse
    # transform, which takes four times as long.
    coefficients = lax.map(noise, jnp.moveaxis(plane, -3, 0))
    together = jax.tree.map(lambda band: jnp.moveaxis(band, 0, -3), coefficients)
    return wavelet.waverec2(together, (height, width))


def zero_mean(plane: Float[ArrayLike, "*n h w"]) -> Float[Array, "*n h w"]:
    """Take the mean and those of rows and columns from each of the four Bayer phases.

    A phase is every second row and column; what all cameras of a model share lies in these means.
    """
    plane = jnp.asarray(plane, jnp.float32)
    height, width = plane.shape[-2:]
    odd_row = (jnp.arange(height) % 2 == 1)[:, None]
    odd_column = jnp.arange(width) % 2 == 1

    def row_means(x: Array) -> Array:  # [*n h w] -> [*n h w], of the column's parity
        even, odd = (x[..., start::2].mean(-1, keepdims=True) for start in (0, 1))
        return jnp.where(odd_column, odd, even)

    def column_means(x: Array) -> Array:  # [*n h w] -> [*n h w], of the row's parity
        even, odd = (x[..., start::2, :].mean(-2, keepdims=True) for start in (0, 1))
        return jnp.where(odd_row, odd, even)

    # The mean of the phase is that of its row means, so it goes with them.
    plane = plane - row_means(plane)
    return plane - column_means(plane)


def wiener_dft(plane: Float[ArrayLike, "*n h w"]) -> Float[Array, "*n h w"]:
    """Keep of each frequency what is noise: periodic patterns of the camera model go.

    The magnitudes of the orthonormal DFT are filtered as the wavelet details are, in the layout
    that starts at frequency zero, with the variance of the plane (ddof 1) as that of the noise.
    """
    plane = jnp.asarray(plane, jnp.float32)
    height, width = plane.shape[-2:]
    variance = jnp.var(plane, axis=(-2, -1), ddof=1, keepdims=True)
    half = jnp.fft.rfft2(plane)
    power = _whole_spectrum(jnp.square(half.real) + jnp.square(half.imag), width)
    gain = _noise_share(power / (height * width), variance)
    # Windows end at the borders of the layout, so opposite frequencies may differ in gain. The real
    # part of the inverse transform is what their mean would give, and that needs half the spectrum.
    gain = (gain + _opposite(gain)) / 2
    return jnp.fft.irfft2(half * gain[..., : half.shape[-1]], s=(height, width))


def _noise_coefficients(plane: Array, sigma: ArrayLike, levels: int) -> wavelet.Coefficients:
    """Wavelet coefficients of the noise in planes [*n h w]."""
    # Details do not see a constant. Without it a flat plane has exactly no noise rather than
    # rounding errors, and smaller numbers round less.
    low, high = (f(plane, axis=(-2, -1), keepdims=True) for f in (jnp.min, jnp.max))
    plane = plane - lax.stop_gradient((low + high) / 2)
    variance = jnp.square(jnp.asarray(sigma, jnp.float32))
    approximation, details = wavelet.split(wavelet.wavedec2(plane, levels=levels))
    noise = jax.tree.map(lambda d: d * _noise_share(jnp.square(d), variance), details)
    return [jnp.zeros_like(approximation), *noise]


def _noise_share(power: Array, variance: Array) -> Array:
    """Wiener's gain σ²/(v + σ²) in [0, 1] for coefficients of that power [*n h w].

    v is the smallest over `WINDOWS` of max(mean power in the window - σ², 0), so that v + σ² is the
    smallest mean or σ², whichever is greater. The gain is 0 where there is no noise and no signal.
    """
    smallest = functools.reduce(jnp.minimum, _window_means(power))
    total = jnp.maximum(smallest, variance)
    return jnp.where(total > 0, variance / jnp.where(total > 0, total, 1), 0)


@jax.custom_vjp
def _window_means(plane: Array) -> list[Array]:
    """Means of planes [*n h w] over every one of `WINDOWS`, with zeros beyond the border.

    Sums of a few neighbours, not differences of a running sum, which lose float32's precision.
    """
    reach = WINDOWS[-1] // 2
    height, width = plane.shape[-2:]
    padded = jnp.pad(plane, [(0, 0)] * (plane.ndim - 2) + [(reach, reach), (reach, reach)])

    def shifted(x: Array, offset: int, size: int, axis: int) -> Array:
        return lax.slice_in_dim(x, reach + offset, reach + offset + size, axis=axis)

    row = shifted(padded, 0, width, -1)
    means = []
    for window in WINDOWS:
        radius = window // 2
        row = row + (shifted(padded, -radius, width, -1) + shifted(padded, radius, width, -1))
        rows = [shifted(row, offset, height, -2) for offset in range(-radius, radius + 1)]
        means.append(functools.reduce(jnp.add, rows) / window**2)
    return means


def _window_means_backward(_: None, cotangents: list[Array]) -> tuple[Array]:
    # A centred window is its own adjoint. The derived one takes four times as long, and three times
    # as long to compile.
    def mean(x: Array, window: int) -> Array:
        for axis in (x.ndim - 1, x.ndim - 2):
            sides = [window if i == axis else 1 for i in range(x.ndim)]
            x = lax.reduce_window(x, 0.0, lax.add, sides, [1] * x.ndim, "SAME")
        return x / window**2

    return (functools.reduce(jnp.add, map(mean, cotangents, WINDOWS)),)


_window_means.defvjp(lambda plane: (_window_means(plane), None), _window_means_backward)


def _whole_spectrum(half: Array, width: int) -> Array:
    """The even plane [*n h width] from its columns at frequencies 0 to width/2."""
    rest = jnp.flip(half[..., 1 : width - half.shape[-1] + 1], (-2, -1))
    return jnp.concatenate([half, jnp.roll(rest, 1, -2)], axis=-1)


def _opposite(plane: Array) -> Array:
    """The value at frequency (-u, -v) for every (u, v)."""
    return jnp.roll(jnp.flip(plane, (-2, -1)), (1, 1), (-2, -1))
