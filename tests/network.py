"""The generator once more: slow, float64, written from section 3.4 and figure 5 of the paper.

It shares no line with the package but the names under which Flax keeps the weights.
"""

import numpy as np
import scipy.signal


def convolve(x, kernel, stride=1):
    """Zero-padded correlation of [h w i] with [s s i o], every `stride`-th row and column of it."""
    side = kernel.shape[0]
    x = np.pad(np.asarray(x, np.float64), [(side // 2, side // 2)] * 2 + [(0, 0)])
    planes = []
    for o in range(kernel.shape[3]):
        total = 0.0
        for i in range(kernel.shape[2]):
            plane = np.asarray(kernel[:, :, i, o], np.float64)
            total = total + scipy.signal.correlate2d(x[..., i], plane, mode="valid")
        planes.append(total[::stride, ::stride])
    return np.stack(planes, axis=-1)


def normalize(x, weights):
    """Batch normalisation in training mode, of a batch of one."""
    columns = []
    for channel in range(x.shape[-1]):
        plane = x[..., channel]
        plane = (plane - np.mean(plane)) / np.sqrt(np.var(plane) + 1e-5)
        columns.append(plane * weights["scale"][channel] + weights["offset"][channel])
    return np.stack(columns, axis=-1)


def leaky(x):
    return np.where(x > 0, x, 0.2 * x)


def layer(x, weights, stride=1):
    inner = weights["Convolution_0"]
    return leaky(
        normalize(convolve(x, inner["kernel"], stride) + inner["bias"], weights["Normalization_0"])
    )


def multi_resolution(x, weights):
    chain = [layer(x, weights["Layer_0"])]
    chain.append(layer(chain[-1], weights["Layer_1"]))
    chain.append(layer(chain[-1], weights["Layer_2"]))
    stack = normalize(np.concatenate(chain, axis=-1), weights["Normalization_0"])
    return normalize(leaky(layer(x, weights["Layer_3"]) + stack), weights["Normalization_1"])


def residual_path(x, weights):
    both = layer(x, weights["Layer_0"]) + layer(x, weights["Layer_1"])
    return normalize(leaky(both), weights["Normalization_0"])


def generate(weights, z, scales, output="sigmoid"):
    """The image of input z [h w d]."""
    x = multi_resolution(z, weights["MultiResolution_0"])
    paths = []
    for scale in range(1, scales):
        paths.append(residual_path(x, weights[f"ResidualPath_{scale - 1}"]))
        x = layer(x, weights[f"Layer_{scale - 1}"], stride=2)
        x = multi_resolution(x, weights[f"MultiResolution_{scale}"])
    for up in range(scales - 1):
        large = np.kron(x, np.ones((2, 2, 1)))
        x = np.concatenate([paths[scales - 2 - up], large], axis=-1)
        x = multi_resolution(x, weights[f"MultiResolution_{scales + up}"])
    last = weights["Convolution_0"]
    x = convolve(x, last["kernel"]) + last["bias"]
    return 1 / (1 + np.exp(-x)) if output == "sigmoid" else 0.5 + x / 4
