"""Two-dimensional convolution with a weight gradient that is fast on a CPU.

XLA's CPU backend computes the gradient of a small kernel over a large image as a convolution with
an image-sized window, 5 to 15 times slower than the matrix products below. Other platforms keep
XLA's own gradient.

Images are float32 [h w c], kernels [side side inputs outputs], padding zero and as wide as half the
kernel.
"""

import functools

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

_DIMENSIONS = ("NHWC", "HWIO", "NHWC")
_STRIP = 2048  # pixels whose products are summed in one go: they stay in a core's cache


def _convolve(x: Array, kernel: Array, stride: int) -> Array:
    half = kernel.shape[0] // 2
    padding = ((half, half), (half, half))
    strides = (stride, stride)
    return lax.conv_general_dilated(
        x[None], kernel, strides, padding, dimension_numbers=_DIMENSIONS
    )[0]


@functools.partial(jax.custom_vjp, nondiff_argnums=(2,))
def convolve(
    x: Float[Array, "h w i"], kernel: Float[Array, "side side i o"], stride: int = 1
) -> Float[Array, "H W o"]:
    """Slides `kernel`, of odd side, over `x`; H and W are ⌈h/stride⌉ and ⌈w/stride⌉."""
    return _convolve(x, kernel, stride)


def _forward(x: Array, kernel: Array, stride: int) -> tuple[Array, tuple[Array, Array]]:
    return _convolve(x, kernel, stride), (x, kernel)


def _backward(stride: int, saved: tuple[Array, Array], g: Array) -> tuple[Array, Array]:
    x, kernel = saved
    dkernel = lax.platform_dependent(
        x,
        g,
        cpu=functools.partial(_products, side=kernel.shape[0], stride=stride),
        default=lambda x, g: jax.vjp(lambda k: _convolve(x, k, stride), kernel)[1](g)[0],
    )
    return _input_gradient(x, kernel, g, stride), dkernel


convolve.defvjp(_forward, _backward)


def _input_gradient(x: Array, kernel: Array, g: Array, stride: int) -> Array:
    """The convolution of `g`, spread by the stride, with the turned kernel.

    JAX's own transposition says the same with permuted dimensions, which the CPU backend does not
    give to its fast convolution.
    """
    half = kernel.shape[0] // 2
    padding = [
        (half, size + half - (stride * (spread - 1) + 1))
        for size, spread in zip(x.shape[:2], g.shape[:2], strict=True)
    ]
    return lax.conv_general_dilated(
        g[None],
        kernel[::-1, ::-1].swapaxes(2, 3),
        (1, 1),
        padding,
        lhs_dilation=(stride, stride),
        dimension_numbers=_DIMENSIONS,
    )[0]


def _products(x: Array, g: Array, *, side: int, stride: int) -> Array:
    """The kernel's gradient: for each of its elements the product of the shifted input with `g`.

    The input's shifts are taken of whichever of the two has fewer channels. Its column shifts are
    stacked as channels, its row shifts are views; each product is summed strip by strip.
    """
    h, w, _ = g.shape
    half = side // 2
    shift_gradient = stride == 1 and g.shape[-1] < x.shape[-1]
    few, many = (g, x) if shift_gradient else (x, g)
    few = jnp.pad(few, ((half, half), (half, half), (0, 0)))
    span = stride * (w - 1) + 1
    columns = jnp.concatenate([few[:, j : j + span : stride] for j in range(side)], -1)
    rows = max(d for d in range(1, h + 1) if h % d == 0 and (d == 1 or d * w <= _STRIP))
    many = many.reshape(h // rows, rows * w, -1)
    span = stride * (h - 1) + 1
    elements = []
    for i in range(side):
        shifted = columns[i : i + span : stride].reshape(h // rows, rows * w, -1)
        elements.append(lax.dot_general(shifted, many, (((1,), (1,)), ((0,), (0,)))).sum(0))
    gradient = jnp.stack(elements).reshape(side, side, -1, many.shape[-1])
    return gradient[::-1, ::-1].swapaxes(2, 3) if shift_gradient else gradient
