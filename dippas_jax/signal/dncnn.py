"""A learned denoiser, and the extractor made from it: the noise that a network sees in a photo.

The network is the DnCNN of Zhang et al. (2017), "Beyond a Gaussian denoiser: residual learning of
deep CNN for image denoising", in the variant that is told the standard deviation σ of the noise:
3x3 convolutions, ReLU between them, one grey plane in, the predicted noise out. The weights are the
17 layers of 64 channels named `dncnn17N` in SCICO's wheel (Los Alamos National Laboratory, BSD-3),
trained on white Gaussian noise of 0 to 51 grey levels.

Pixels are uint8 or float32 in grey levels [0, 255], channels last, any leading axes; planes, σ and
noise are in grey levels. Beyond a border lies the opposite one, as in training. Everything has a
gradient.
"""

import itertools
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import serialization
from jax import lax
from jax.typing import ArrayLike
from jaxtyping import Array, Float, Num

from dippas_jax.signal import image
from dippas_jax.signal import residual as residuals
from dippas_jax.types import InputError

SIGMA = 2.0  # grey levels; of 2 to 10 what finds the cameras of real photos best
EPSILON = 1e-5  # added to the variances of batch normalisation, as in training
TILE = 128  # pixels; what the layers hand on then stays in a core's cache, 3 times as fast

_SIDE = 3  # of a kernel; a layer shortens a tile by 2


class Params(NamedTuple):
    """The network's weights, batch normalisation folded into them.

    Attributes:
      kernels: One array [3 3 i o] a layer; the first has one input, the last one output.
      biases: One array [o] a layer.
      level: What a σ of 1 (255 grey levels) adds to the first layer's outputs, [o].
    """

    kernels: tuple[Float[Array, "3 3 _ _"], ...]
    biases: tuple[Float[Array, " _"], ...]
    level: Float[Array, " _"]


class _DamageError(Exception):
    """What is wrong with a file of weights, in words."""


def parse(data: bytes) -> Params:
    """The weights in a file of SCICO's: Flax's msgpack of parameters and batch statistics.

    A normalisation that follows a convolution is a factor and a bias of each output, so it goes
    into the kernel. The plane that tells the network σ is constant, so its kernel is a bias.

    Args:
      data: The content of the file.

    Raises:
      InputError: The data is damaged, or is another network's.
    """
    try:
        with np.errstate(all="ignore"):  # what is not finite is refused
            layers = [
                (kernel.astype(np.float32), bias.astype(np.float32))
                for kernel, bias in _layers(serialization.msgpack_restore(data))
            ]
        first, last = layers[0][0], layers[-1][0]
        if first.shape[2] != 2 or last.shape[3] != 2:
            raise _DamageError("it is not the variant that is told the noise level")
        for (kernel, _), (following, _) in itertools.pairwise(layers):
            if kernel.shape[3] != following.shape[2]:
                raise _DamageError(f"{kernel.shape[3]} outputs meet {following.shape[2]} inputs")
        if not all(np.isfinite(x).all() for layer in layers for x in layer):
            raise _DamageError("it holds values that are not finite")
    except Exception as error:  # noqa: BLE001 - of msgpack, NumPy and Flax, each with several of its own
        reason = str(error) if isinstance(error, _DamageError) else "it is no msgpack of a DnCNN"
        raise InputError(
            f"weights of {len(data)} bytes cannot be used ({reason}); get dncnn17N.mpk again, "
            "as by `dippas fetch learned`"
        ) from None
    kernels, biases = (list(x) for x in zip(*layers, strict=True))
    kernels[0] = first[:, :, :1]
    kernels[-1], biases[-1] = kernels[-1][..., :1], biases[-1][:1]  # the second output is of σ
    kernels, biases = ([jnp.asarray(x, jnp.float32) for x in xs] for xs in (kernels, biases))
    level = jnp.asarray(first[:, :, 1].sum((0, 1)), jnp.float32)
    return Params(tuple(kernels), tuple(biases), level)


def noise(
    params: Params, plane: Num[ArrayLike, "*n h w"], sigma: ArrayLike = SIGMA
) -> Float[Array, "*n h w"]:
    """What the network takes for noise in grey planes.

    A plane is cut into tiles that overlap by what the layers see, 17 pixels to each side, so the
    result is that of the whole plane and the memory that of one tile: about 25 MB.

    Args:
      params: The weights.
      plane: Grey planes, grey levels.
      sigma: Standard deviation of the noise, grey levels.

    Returns:
      The noise, grey levels; the plane minus it is the denoised plane.
    """
    planes = jnp.asarray(plane, jnp.float32)
    height, width = planes.shape[-2:]
    down, across = -(-height // TILE), -(-width // TILE)
    tile_height, tile_width = -(-height // down), -(-width // across)
    reach = len(params.kernels) * (_SIDE // 2)
    pads = (
        (reach, reach + down * tile_height - height),
        (reach, reach + across * tile_width - width),
    )
    corners = [(y * tile_height, x * tile_width) for y in range(down) for x in range(across)]

    def one(plane: Array) -> Array:  # [h w] -> [h w]
        padded = jnp.pad(plane, pads, mode="wrap")
        size = (tile_height + 2 * reach, tile_width + 2 * reach)
        tiles = lax.map(
            lambda corner: _network(params, lax.dynamic_slice(padded, corner, size), sigma / 255),
            tuple(jnp.asarray(corners).T),
        )
        rows = tiles.reshape(down, across, tile_height, tile_width).swapaxes(1, 2)
        return rows.reshape(down * tile_height, across * tile_width)[:height, :width]

    flat = lax.map(one, planes.reshape(-1, height, width) / 255) * 255
    return flat.reshape(planes.shape)


def residual(
    params: Params, pixels: Num[ArrayLike, "*n h w 3"], *, sigma: ArrayLike = SIGMA
) -> Float[Array, "*n h w"]:
    """The noise residual W of photos by the network, to be used as `residual.residual` is.

    Only the grey plane is denoised: the network knows no colours, and three channels would take
    three times as long.

    Args:
      params: The weights.
      pixels: Photos in grey levels.
      sigma: Standard deviation of the noise, grey levels.

    Returns:
      Grey residuals in grey levels, without the means of Bayer phases, rows and columns, and with
      the peaks of the spectrum flattened; zero for a flat photo.
    """
    grey = image.luma(pixels)
    plane = residuals.wiener_dft(residuals.zero_mean(noise(params, grey, sigma)))
    # The network's answer to a constant is one only up to rounding, which is no noise of a camera.
    low, high = (f(grey, axis=(-2, -1), keepdims=True) for f in (jnp.min, jnp.max))
    return jnp.where(high > low, plane, 0)


def _network(params: Params, plane: Array, sigma: ArrayLike) -> Array:
    """The noise [h-2l w-2l] in a plane [h w] as `l` layers see it; image scale [0, 1]."""
    x = plane[None, :, :, None]
    biases = [params.biases[0] + sigma * params.level, *params.biases[1:]]
    last = len(biases) - 1
    for i, (kernel, bias) in enumerate(zip(params.kernels, biases, strict=True)):
        x = _convolve(x, kernel)
        x = x + bias if i == last else jnp.maximum(x + bias, 0)
    return x[0, :, :, 0]


def _correlate(x: Array, kernel: Array, pad: int) -> Array:
    return lax.conv_general_dilated(
        x,
        kernel,
        (1, 1),
        [(pad, pad), (pad, pad)],
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
        precision=lax.Precision.HIGHEST,
    )


@jax.custom_vjp
def _convolve(x: Array, kernel: Array) -> Array:
    """[1 h w i] to [1 h-2 w-2 o]."""
    return _correlate(x, kernel, 0)


def _convolve_backward(saved: tuple[Array, Array], cotangent: Array) -> tuple[Array, Array]:
    # The derived gradient says the same with permuted dimensions, which take a CPU twice as long
    # within a loop.
    x, kernel = saved
    turned = kernel[::-1, ::-1].swapaxes(2, 3)
    _, of_kernel = jax.vjp(lambda k: _correlate(x, k, 0), kernel)
    return _correlate(cotangent, turned, _SIDE - 1), of_kernel(cotangent)[0]


_convolve.defvjp(lambda x, kernel: (_convolve(x, kernel), (x, kernel)), _convolve_backward)


def _layers(stored: Any) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Kernel and bias of each layer of the file, float64, normalisation folded in."""
    weights, statistics = stored["params"], stored["batch_stats"]
    if len(weights) != len(statistics) + 2:
        raise _DamageError(
            f"{len(statistics)} normalisations came with {len(weights)} convolutions"
        )
    yield _plain(weights["conv_start"])
    for i in range(len(statistics)):
        block, seen = weights[f"ConvBNBlock_{i}"], statistics[f"ConvBNBlock_{i}"]["BatchNorm_0"]
        kernel, _ = _plain(block["Conv_0"])
        scale, bias, mean, variance = (
            _array(x, kernel.shape[3:])
            for x in (
                block["BatchNorm_0"]["scale"],
                block["BatchNorm_0"]["bias"],
                seen["mean"],
                seen["var"],
            )
        )
        gain = scale / np.sqrt(np.maximum(variance, 0) + EPSILON)
        yield kernel * gain, bias - mean * gain
    yield _plain(weights["conv_end"])


def _plain(layer: Mapping[str, Any]) -> tuple[np.ndarray, np.ndarray]:
    """Kernel and bias of a convolution of the file, which has no bias."""
    kernel = _array(layer["kernel"], (_SIDE, _SIDE, *np.shape(layer["kernel"])[2:]))
    return kernel, np.zeros(kernel.shape[3])


def _array(value: Any, shape: tuple[int, ...]) -> np.ndarray:
    array = np.asarray(value, np.float64)
    if array.shape != shape:
        raise _DamageError(f"an array of {array.shape} stands where {shape} belongs")
    return array
