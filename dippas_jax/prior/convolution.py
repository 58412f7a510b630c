"""Two-dimensional convolution, formulated as is fast on each platform.

XLA's CPU backend computes the gradient of a small kernel over a large image as a convolution with
an image-sized window, 5 to 15 times slower than the matrix products of `_weight_gradient`.

Under `jax.vmap` every image may have a kernel of its own. XLA makes a grouped convolution of that,
on an accelerator several times slower than the batched matrix products that are used there;
`python -m benchmarks.formulations` measures both.

Images are float32 [h w c], kernels [side side inputs outputs], padding zero and as wide as half the
kernel.
"""

import functools

import jax
import jax.numpy as jnp
from jax import custom_batching, lax
from jaxtyping import Array, Float

_DIMENSIONS = ("NHWC", "HWIO", "NHWC")
_STRIP = 2048  # pixels whose products are summed in one go: they stay in a core's cache


@functools.partial(jax.custom_vjp, nondiff_argnums=(2,))
def convolve(
    x: Float[Array, "h w i"], kernel: Float[Array, "side side i o"], stride: int = 1
) -> Float[Array, "H W o"]:
    """Slides `kernel`, of odd side, over `x`; H and W are ⌈h/stride⌉ and ⌈w/stride⌉."""
    return _value(stride)(x, kernel)


def _forward(x: Array, kernel: Array, stride: int) -> tuple[Array, tuple[Array, Array]]:
    return _value(stride)(x, kernel), (x, kernel)


def _backward(stride: int, saved: tuple[Array, Array], g: Array) -> tuple[Array, Array]:
    return _gradients(stride)(*saved, g)


convolve.defvjp(_forward, _backward)


@functools.cache
def _value(stride: int):
    plain = functools.partial(library, stride=stride)
    return _formulated(plain, plain, functools.partial(products, stride=stride))


@functools.cache
def _gradients(stride: int):
    """Of the input and the kernel, from both and the result's gradient."""
    return _formulated(
        functools.partial(_by_hand, stride=stride),
        functools.partial(_pulled, library, stride),
        functools.partial(_pulled, products, stride),
    )


def _formulated(cpu, alone, many):
    """One function of arrays, by platform, and by whether `jax.vmap` gives it many kernels."""

    @custom_batching.custom_vmap
    def run(*arrays):
        return lax.platform_dependent(*arrays, cpu=cpu, default=alone)

    @run.def_vmap
    def batched(size, in_batched, *arrays):
        del size
        axes = tuple(0 if batched else None for batched in in_batched)
        other = many if in_batched[1] else alone
        results = lax.platform_dependent(
            *arrays, cpu=jax.vmap(cpu, axes), default=jax.vmap(other, axes)
        )
        return results, jax.tree.map(lambda _: True, results)

    return run


def library(x: Array, kernel: Array, *, stride: int) -> Array:
    """XLA's own convolution."""
    half = kernel.shape[0] // 2
    padding = ((half, half), (half, half))
    strides = (stride, stride)
    return lax.conv_general_dilated(
        x[None], kernel, strides, padding, dimension_numbers=_DIMENSIONS
    )[0]


def products(x: Array, kernel: Array, *, stride: int) -> Array:
    """The same as one matrix product: a row a pixel, with all that the kernel sees from there."""
    side, half = kernel.shape[0], kernel.shape[0] // 2
    height, width = (-(-size // stride) for size in x.shape[:2])
    x = jnp.pad(x, ((half, half), (half, half), (0, 0)))
    rows, columns = stride * (height - 1) + 1, stride * (width - 1) + 1
    seen = [
        x[i : i + rows : stride, j : j + columns : stride] for i in range(side) for j in range(side)
    ]
    flat = jnp.concatenate(seen, -1).reshape(height * width, -1)
    return (flat @ kernel.reshape(-1, kernel.shape[-1])).reshape(height, width, -1)


def _pulled(form, stride: int, x: Array, kernel: Array, g: Array) -> tuple[Array, Array]:
    """JAX's own gradients of a formulation."""
    return jax.vjp(functools.partial(form, stride=stride), x, kernel)[1](g)


def _by_hand(x: Array, kernel: Array, g: Array, *, stride: int) -> tuple[Array, Array]:
    gradient = _weight_gradient(x, g, side=kernel.shape[0], stride=stride)
    return _input_gradient(x, kernel, g, stride), gradient


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


def _weight_gradient(x: Array, g: Array, *, side: int, stride: int) -> Array:
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
