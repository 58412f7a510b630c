"""Two-dimensional convolution, formulated as is fast on each platform.

XLA's CPU backend computes the gradient of a small kernel over a large image as a convolution with
an image-sized window, 5 to 15 times slower than the matrix products of `_weight_gradient`.

Under `jax.vmap` every image may have a kernel of its own. XLA makes a grouped convolution of that,
on an accelerator several times slower than the batched matrix products that are used there;
`python -m benchmarks.formulations` measures both.

Images are float32 [h w c], kernels [side side inputs outputs], padding zero and side // 2 wide on
every side.
"""

import functools
import itertools

import jax
import jax.numpy as jnp
from jax import custom_batching, lax
from jaxtyping import Array, Float

_DIMENSIONS = ("NHWC", "HWIO", "NHWC")
_STRIP = 4096  # pixels whose products are made in one go: what they need stays in the cache
_PART = 1024
"""Pixels of one product, at least. Threads that shared a sum would add up in an order of their own,
and each strip has some products for them."""


@functools.partial(jax.custom_vjp, nondiff_argnums=(2,))
def convolve(
    x: Float[Array, "h w i"], kernel: Float[Array, "side side i o"], stride: int = 1
) -> Float[Array, "H W o"]:
    """Slides `kernel` over `x`.

    H and W are ⌈h/stride⌉ and ⌈w/stride⌉ for odd sides; for even ones, whose stride is 1, h + 1
    and w + 1.
    """
    return _value(stride)(x, kernel)


def _forward(x: Array, kernel: Array, stride: int) -> tuple[Array, tuple[Array, Array]]:
    return _value(stride)(x, kernel), (x, kernel)


def _backward(stride: int, saved: tuple[Array, Array], g: Array) -> tuple[Array, Array]:
    return _gradients(stride)(*saved, g)


convolve.defvjp(_forward, _backward)


def convolve_enlarged(
    x: Float[Array, "h w i"], kernel: Float[Array, "side side i o"]
) -> Float[Array, "2*h 2*w o"]:
    """`convolve` of `x` with every pixel repeated twice in both directions, side 1 or 3.

    It is done at the size of `x`: four neighbouring pixels of the result, around a corner of
    pixels of `x`, see the four pixels at that corner alone, each through the sum of the elements
    that fall on it.
    """
    if kernel.shape[0] == 1:
        return convolve(x, kernel).repeat(2, 0).repeat(2, 1)
    height, width, inputs = x.shape
    rows = _folded(kernel)
    both = _folded(jnp.moveaxis(rows, 2, 0))  # columns of x and of the result, then rows of both
    seen = convolve(x, both.transpose(2, 0, 4, 3, 1, 5).reshape(2, 2, inputs, -1))
    seen = seen.reshape(height + 1, width + 1, 2, 2, -1).swapaxes(1, 2)
    return seen.reshape(2 * height + 2, 2 * width + 2, -1)[1:-1, 1:-1]


def _folded(kernel: Array) -> Array:
    """Its three rows on the two of `x` at a corner, for the rows of the result there [2 2 …]."""
    above, own, below = kernel
    upper, lower = jnp.stack([above + own, above]), jnp.stack([below, own + below])
    return jnp.stack([upper, lower])


@functools.cache
def _value(stride: int):
    return _formulated(
        functools.partial(_aligned, stride=stride),
        functools.partial(library, stride=stride),
        functools.partial(products, stride=stride),
    )


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


def _aligned(x: Array, kernel: Array, *, stride: int) -> Array:
    """What CPUs do fast: channels in multiples of 8, and a product for kernels of one pixel."""
    if kernel.shape[:2] == (1, 1) and stride == 1:
        return products(x, kernel, stride=1)
    return library(*_filled(x, kernel), stride=stride)[..., : kernel.shape[-1]]


def _filled(x: Array, kernel: Array) -> tuple[Array, Array]:
    """Both with zeros added to fill up channels, where there are more than 8."""
    *_, inputs, outputs = kernel.shape
    more = -inputs % 8 if inputs > 8 else 0
    filled = -outputs % 8 if min(inputs, outputs) > 8 else 0
    x = jnp.pad(x, ((0, 0), (0, 0), (0, more)))
    return x, jnp.pad(kernel, ((0, 0), (0, 0), (0, more), (0, filled)))


def products(x: Array, kernel: Array, *, stride: int) -> Array:
    """The same as one matrix product: a row a pixel, with all that the kernel sees from there."""
    half = kernel.shape[0] // 2
    x = jnp.pad(x, ((half, half), (half, half), (0, 0)))
    seen = _seen(x, kernel.shape[0], stride)
    height, width, channels = seen.shape
    flat = seen.reshape(height * width, channels) @ kernel.reshape(channels, -1)
    return flat.reshape(height, width, -1)


def _seen(x: Array, side: int, stride: int) -> Array:
    """What a kernel sees at each of its places within `x`, as channels."""
    rows, columns = (size - side + 1 for size in x.shape[:2])
    places = itertools.product(range(side), range(side))
    return jnp.concatenate(
        [x[i : i + rows : stride, j : j + columns : stride] for i, j in places], -1
    )


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
    side, half = kernel.shape[0], kernel.shape[0] // 2
    if side == 1 and stride == 1:
        return products(g, kernel.swapaxes(2, 3), stride=1)
    padding = [
        (side - 1 - half, size + half - (stride * (spread - 1) + 1))
        for size, spread in zip(x.shape[:2], g.shape[:2], strict=True)
    ]
    turned = kernel[::-1, ::-1].swapaxes(2, 3)
    spread = g
    if stride == 1:
        spread, turned = _filled(g, turned)
    return lax.conv_general_dilated(
        spread[None],
        turned,
        (1, 1),
        padding,
        lhs_dilation=(stride, stride),
        dimension_numbers=_DIMENSIONS,
    )[0, ..., : x.shape[-1]]


def _weight_gradient(x: Array, g: Array, *, side: int, stride: int) -> Array:
    """The kernel's gradient: for each of its elements the product of the shifted input with `g`.

    The shifts are taken of whichever of the two has fewer channels, and stacked as channels; each
    strip of rows is one product, and what it needs stays in the cache.
    """
    shift_gradient = stride == 1 and g.shape[-1] < x.shape[-1]
    few, many = (g, x) if shift_gradient else (x, g)
    half = side - 1 - side // 2 if shift_gradient else side // 2
    few = jnp.pad(few, ((half, half), (half, half), (0, 0)))
    h, w, _ = many.shape
    rows = max(d for d in range(1, h + 1) if h % d == 0 and (d == 1 or d * w <= _STRIP))
    parts = max(
        d for d in range(1, rows + 1) if rows % d == 0 and (d == 1 or rows // d * w >= _PART)
    )

    def add(total, start):
        own = lax.dynamic_slice_in_dim(many, start, rows)
        near = lax.dynamic_slice_in_dim(few, stride * start, stride * (rows - 1) + side)
        seen = _seen(near, side, stride).reshape(parts, rows * w // parts, -1)
        own = own.reshape(parts, rows * w // parts, -1)
        products = lax.dot_general(seen, own, (((1,), (1,)), ((0,), (0,))))
        return total + products.sum(0), None

    nothing = jnp.zeros((side * side * few.shape[-1], many.shape[-1]), few.dtype)
    gradient, _ = lax.scan(add, nothing, jnp.arange(0, h, rows))
    gradient = gradient.reshape(side, side, -1, many.shape[-1])
    return gradient[::-1, ::-1].swapaxes(2, 3) if shift_gradient else gradient
