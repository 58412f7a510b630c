"""The generator f_φ: a multi-resolution U-Net (section 3.4 and figure 5 of the paper).

Images are float32, in (0, 1) if the output is the paper's sigmoid, channels last, one photo at a
time; `jax.vmap` makes batches. The network has parameters and no state: its normalisation always
uses the statistics of the one photo, which is what batch normalisation in training mode does with a
batch of one.
"""

import functools
import math

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from dippas_jax import config as configuration
from dippas_jax.prior import convolution
from dippas_jax.prior.state import Params

EPSILON = 1e-5  # of the normalisation, PyTorch's default
_ROWS = 4  # around whose mean the variance is summed
SLOPE = 0.2  # of the LeakyReLU, as in the authors' program: the text gives none


def inner_widths(width: int, alpha: float) -> tuple[int, int, int]:
    """Channels of the three chained convolutions of a multi-resolution block of size `width`."""
    scaled = alpha * width
    return int(scaled * 0.167), int(scaled * 0.333), int(scaled * 0.5)


def padded(size: int, config: configuration.Generator) -> int:
    """The smallest size of at least `size` that every down-sampling divides."""
    unit = 2 ** (len(config.widths) - 1)
    return -(-size // unit) * unit


class Convolution(nn.Module):
    """A convolution with zero padding.

    What is `coarse` has half the size, and is seen as if it were enlarged and stacked on `x`. The
    bias is one of the parameters, and left out where it changes nothing: a normalisation that
    follows takes it away again.
    """

    features: int
    side: int
    stride: int = 1
    biased: bool = False

    @nn.compact
    def __call__(self, x, coarse=None):
        zeros, own = nn.initializers.zeros, x.shape[-1]  # `init` draws the values
        inputs = own if coarse is None else own + coarse.shape[-1]
        kernel = self.param("kernel", zeros, (self.side, self.side, inputs, self.features))
        bias = self.param("bias", zeros, (self.features,))
        seen = convolution.convolve(x, kernel[:, :, :own], self.stride)
        if coarse is not None:
            seen += convolution.convolve_enlarged(coarse, kernel[:, :, own:])
        return seen + bias if self.biased else seen


@functools.partial(jax.custom_vjp, nondiff_argnums=(3,))
def normalize(
    x: Float[Array, "h w c"], scale: Float[Array, " c"], offset: Float[Array, " c"], slope: float
) -> Float[Array, "h w c"]:
    """Zero mean and unit variance over the pixels, scaled and shifted; then a LeakyReLU.

    Its gradients are written out: those that JAX derives sum over all pixels twice as often. The
    variance is not summed around the mean, which would have to be known first, but around that of a
    few rows. Of n pixels, these m differ from the mean by √(n/m) standard deviations at most, so
    what cancels is n/m times the variance at most, whatever the mean.
    """
    return _normalized(x, scale, offset, slope)[0]


def _normalized(x: Array, scale: Array, offset: Array, slope: float):
    near, mean = x[:_ROWS].mean((0, 1)), x.mean((0, 1))
    variance = jnp.square(x - near).mean((0, 1)) - jnp.square(mean - near)
    inverse = jax.lax.rsqrt(jnp.maximum(variance, 0) + EPSILON)
    factor = inverse * scale
    y = x * factor + (offset - mean * factor)
    return nn.leaky_relu(y, slope), (x, mean, inverse, factor, offset)


def _gradients(slope: float, saved: tuple[Array, ...], g: Array) -> tuple[Array, Array, Array]:
    x, mean, inverse, factor, offset = saved
    g = jnp.where(x * factor + (offset - mean * factor) >= 0, g, slope * g)
    to_offset, to_scale = g.sum((0, 1)), inverse * (g * (x - mean)).sum((0, 1))
    pixels = x.shape[0] * x.shape[1]
    turned = factor * inverse * to_scale / pixels
    return (
        factor * g - turned * x + (turned * mean - factor * to_offset / pixels),
        to_scale,
        to_offset,
    )


normalize.defvjp(_normalized, _gradients)


class Normalization(nn.Module):
    """See `normalize`; `slope` 1 is no LeakyReLU."""

    slope: float = 1.0

    @nn.compact
    def __call__(self, x):
        scale = self.param("scale", nn.initializers.ones, (x.shape[-1],))
        offset = self.param("offset", nn.initializers.zeros, (x.shape[-1],))
        return normalize(x, scale, offset, self.slope)


class Layer(nn.Module):
    """Convolution, normalisation, activation."""

    features: int
    side: int
    stride: int = 1

    @nn.compact
    def __call__(self, x, coarse=None):
        x = Convolution(self.features, self.side, self.stride)(x, coarse)
        return Normalization(SLOPE)(x)


class MultiResolution(nn.Module):
    """Three chained 3×3 layers, stacked, plus a 1×1 shortcut (bottom right of figure 5)."""

    width: int
    alpha: float

    @nn.compact
    def __call__(self, x, coarse=None):
        a, b, c = inner_widths(self.width, self.alpha)
        first = Layer(a, 3)(x, coarse)
        second = Layer(b, 3)(first)
        third = Layer(c, 3)(second)
        stack = Normalization()(jnp.concatenate([first, second, third], -1))
        return Normalization()(nn.leaky_relu(Layer(a + b + c, 1)(x, coarse) + stack, SLOPE))


class ResidualPath(nn.Module):
    """What replaces a skip connection (bottom left of figure 5)."""

    features: int

    @nn.compact
    def __call__(self, x):
        return Normalization()(
            nn.leaky_relu(Layer(self.features, 3)(x) + Layer(self.features, 1)(x), SLOPE)
        )


class Generator(nn.Module):
    """The whole network; `config.widths` from the finest scale to the coarsest."""

    config: configuration.Generator

    @nn.compact
    def __call__(self, z):
        widths, skips, alpha = self.config.widths, self.config.skips, self.config.alpha
        x = MultiResolution(widths[0], alpha)(z)
        paths = []
        for width, skip in zip(widths[1:], skips, strict=True):
            paths.append(ResidualPath(skip)(x))
            x = Layer(x.shape[-1], 3, 2)(x)
            x = MultiResolution(width, alpha)(x)
        for width, path in zip(widths[-2::-1], paths[::-1], strict=True):
            x = MultiResolution(width, alpha)(path, x)
        x = Convolution(3, 1, biased=True)(x)
        return nn.sigmoid(x) if self.config.output == "sigmoid" else 0.5 + x / 4


def init(key: Key[Array, ""], config: configuration.Generator) -> Params:
    """Fresh parameters φ, of shapes that do not depend on the photo's size.

    As PyTorch does by default: convolutions uniform within 1/√fan_in, weights and biases;
    normalisations with scale 1 and offset 0. All are cut from one draw: one draw a layer takes half
    a minute to compile.
    """
    side = 2 ** (len(config.widths) - 1)
    z = jnp.zeros((side, side, config.depth))
    shapes = jax.eval_shape(Generator(config).init, key, z)["params"]
    draws = jax.random.uniform(key, (count(shapes),), minval=-1.0, maxval=1.0)
    used = 0

    def fill(tree):
        nonlocal used
        if "scale" in tree:
            return {
                "scale": jnp.ones(tree["scale"].shape),
                "offset": jnp.zeros(tree["offset"].shape),
            }
        if "kernel" not in tree:
            return {name: fill(tree[name]) for name in tree}
        filled, bound = {}, math.prod(tree["kernel"].shape[:-1]) ** -0.5
        for name, leaf in tree.items():
            filled[name] = bound * draws[used : used + leaf.size].reshape(leaf.shape)
            used += leaf.size
        return filled

    return fill(shapes)


def apply(
    params: Params, z: Float[Array, "h w d"], config: configuration.Generator
) -> Float[Array, "h w 3"]:
    """I_φ = f_φ(z). Height and width of `z` must be multiples of 2^(scales − 1): see `padded`."""
    image = Generator(config).apply({"params": params}, z)
    return jnp.asarray(image)


def count(params: Params) -> int:
    """Number of trainable scalars in `params`."""
    return sum(leaf.size for leaf in jax.tree.leaves(params))
