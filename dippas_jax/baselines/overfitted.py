"""Anonymise with the fingerprint: a small network, fitted to one photo, fools one extractor.

Photos are pixels, uint8 [h w 3], 64 pixels a side at least; the fingerprint K is a float32 plane in
any unit. The method is that of Bonettini et al. (2018), "Fooling PRNU-based detectors through
convolutional neural networks", reconstructed: known are the kind of network, that it is fitted to
the one photo, and the loss. Ours are its size, zero-sum kernels in the first layer, the optimiser,
the weight of the correlation, rounding within the loss, and the choice of the best step.

The network sees the photo only, not the fingerprint, so it cannot subtract what it is told: it
learns a filter after which this extractor finds nothing. How much another one still finds differs
from photo to photo (`benchmarks.fooled`).
"""

import functools
import itertools
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax import lax
from jax.typing import ArrayLike
from jaxtyping import Array, Float, Key, UInt8

from dippas_jax.baselines import subtraction
from dippas_jax.io import weights
from dippas_jax.signal import correlation, dncnn, image, residual
from dippas_jax.types import InputError

SOURCE = "Bonettini et al. 2018, fooling detectors through CNNs (reconstructed)"

EXTRACTORS = ("wavelet", "learned")
WIDTHS = (3, 16, 16, 16, 3)  # channels before, between and after the four convolutions
STEPS = 100
RATE = 1e-2  # Adam's, at the start; a cosine takes it to 0
WEIGHT = 500.0  # grey levels squared that a correlation of 1 is worth

Kernels = tuple[Float[Array, "3 3 _ _"], ...]
Extract = Callable[[Float[Array, "h w 3"]], Float[Array, "h w"]]


def fit(
    key: Key[Array, ""],
    photo: UInt8[ArrayLike, "h w 3"],
    fingerprint: Float[ArrayLike, "h w"] | None,
    *,
    extractor: str = "wavelet",
    steps: int = STEPS,
    weight: float = WEIGHT,
) -> UInt8[Array, "h w 3"]:
    """Fit a network f so that I + f(I), rounded, looks like I and shows no fingerprint.

    `loss` is minimised by Adam. Its argument is the rounded photo, and the gradient passes through
    the rounding as if it were not there. The result is the photo of least loss of all steps; before
    the first one f is 0.

    Args:
      key: Draws the network's first weights.
      photo: The photo, I.
      fingerprint: K.
      extractor: "wavelet", the residual of `signal.residual`, or "learned", that of `signal.dncnn`,
        whose weights `dippas fetch learned` gets.
      steps: Photos looked at, 1 or more.
      weight: λ of `loss`.

    Raises:
      InputError: No fingerprint came, or one of another size; an option is none of those above; the
        weights of the learned extractor are missing or damaged.
    """
    k = subtraction.prepared(photo, fingerprint)
    if extractor not in EXTRACTORS:
        raise InputError(
            f'there is no extractor "{extractor}" to fit a network against; choose from '
            f"{', '.join(EXTRACTORS)}"
        )
    if steps < 1 or not weight >= 0:
        raise InputError(
            f"a network cannot be fitted in {steps} steps with weight {weight}; choose 1 or more "
            "steps and a weight of 0 or more"
        )
    params = dncnn.parse(weights.require()) if extractor == "learned" else None
    return _fit(key, photo, k, params, weight, steps)


def loss(
    result: Float[Array, "h w 3"],
    photo: UInt8[ArrayLike, "h w 3"],
    fingerprint: Float[ArrayLike, "h w"],
    extract: Extract,
    weight: ArrayLike = WEIGHT,
) -> Float[Array, ""]:
    """mean((I' - I)²) + λ·|NCC(D(I'), I'·K)|, in squared grey levels.

    The correlation counts as 0 where it is not defined.

    Args:
      result: I', grey levels.
      photo: I.
      fingerprint: K.
      extract: D, which has a gradient.
      weight: λ, squared grey levels.
    """
    difference = result - jnp.asarray(photo, jnp.float32)
    ncc = correlation.ncc(extract(result), correlation.pattern(result, fingerprint))
    found = jnp.where(jnp.isnan(ncc), 0, jnp.abs(ncc))
    return jnp.mean(jnp.square(difference)) + weight * found


def init(key: Key[Array, ""]) -> Kernels:
    """Kernels as drawn (He et al., 2015), the last zero: the network changes nothing yet."""
    draw = jax.nn.initializers.he_normal()
    shapes = [(3, 3, i, o) for i, o in itertools.pairwise(WIDTHS)]
    keys = jax.random.split(key, len(shapes))
    kernels = [draw(one, shape) for one, shape in zip(keys, shapes, strict=True)]
    return (*kernels[:-1], jnp.zeros_like(kernels[-1]))


def change(kernels: Kernels, photo: UInt8[ArrayLike, "h w 3"]) -> Float[Array, "h w 3"]:
    """f(I), grey levels: 3x3 convolutions with ReLU between them and no biases.

    Each channel of each kernel of the first layer is made to sum to zero, so the network sees noise
    and edges but no brightness: it leaves a flat photo as it is, and a step of the optimiser does
    not shift whole areas. Beyond a border the photo goes on as it ends.
    """
    first, *others = kernels
    x = _convolve(jnp.asarray(photo, jnp.float32), first - jnp.mean(first, (0, 1)))
    for kernel in others:
        x = _convolve(jnp.maximum(x, 0), kernel)
    return x


class _State(NamedTuple):
    """A fit under way.

    Attributes:
      kernels: The network.
      moments: Adam's.
      loss: The least so far; infinite before the first step.
      pixels: The photo that gave it.
    """

    kernels: Kernels
    moments: optax.OptState
    loss: Float[Array, ""]
    pixels: UInt8[Array, "h w 3"]


@jax.jit
def _fit(
    key: Array,
    photo: ArrayLike,
    k: Array,
    params: dncnn.Params | None,
    weight: ArrayLike,
    steps: ArrayLike,
) -> Array:
    photo = jnp.asarray(photo)
    extract = residual.residual if params is None else functools.partial(dncnn.residual, params)
    # One vector in place of four kernels: one update is compiled sooner.
    adam = optax.flatten(optax.scale_by_adam())

    def objective(kernels: Kernels) -> tuple[Array, Array]:
        result = photo + change(kernels, photo)
        pixels = image.to_pixels(result / 255)
        rounded = result + lax.stop_gradient(pixels - result)
        return loss(rounded, photo, k, extract, weight), pixels

    def step(number: Array, state: _State) -> _State:
        (value, pixels), gradient = jax.value_and_grad(objective, has_aux=True)(state.kernels)
        direction, moments = adam.update(gradient, state.moments)
        length = RATE * (1 + jnp.cos(jnp.pi * number / steps)) / 2
        better = value < state.loss
        return _State(
            jax.tree.map(lambda kernel, way: kernel - length * way, state.kernels, direction),
            moments,
            jnp.where(better, value, state.loss),
            jnp.where(better, pixels, state.pixels),
        )

    kernels = init(key)
    start = _State(kernels, adam.init(kernels), jnp.array(jnp.inf), photo)
    return lax.fori_loop(0, steps, step, start).pixels


def _convolve(x: Array, kernel: Array) -> Array:
    """[h w i] to [h w o], as nine matrix products: XLA is slow at a kernel's gradient on CPUs."""
    height, width, _ = x.shape
    padded = jnp.pad(x, [(1, 1), (1, 1), (0, 0)], mode="edge")
    products = (
        padded[row : row + height, column : column + width] @ kernel[row, column]
        for row in range(3)
        for column in range(3)
    )
    return functools.reduce(jnp.add, products)
