"""A DnCNN once more: layer by layer in float64, as its file stores it, nothing folded."""

import numpy as np
from flax import serialization


def stored(seed, blocks=2, width=5):
    """A small network with random weights, in the layout of SCICO's files."""
    rng = np.random.default_rng(seed)

    def kernel(inputs, outputs):
        values = rng.standard_normal((3, 3, inputs, outputs)) / np.sqrt(9 * inputs)
        return {"kernel": values.astype(np.float32)}

    def vector(low, high):
        return rng.uniform(low, high, width).astype(np.float32)

    params = {"conv_start": kernel(2, width), "conv_end": kernel(width, 2)}
    statistics = {}
    for i in range(blocks):
        norm = {"scale": vector(-2, 2), "bias": vector(-1, 1)}
        params[f"ConvBNBlock_{i}"] = {"Conv_0": kernel(width, width), "BatchNorm_0": norm}
        seen = {"mean": vector(-1, 1), "var": vector(0, 2)}
        statistics[f"ConvBNBlock_{i}"] = {"BatchNorm_0": seen}
    return {"params": params, "batch_stats": statistics}


def data_of(tree):
    """The content of a file of weights."""
    return serialization.msgpack_serialize(tree)


def oracle(tree, plane, sigma):
    """The noise in a plane [h w]: layer by layer, nothing folded, σ as a plane of its own."""

    def convolve(x, layer):
        kernel = np.asarray(layer["kernel"], np.float64)
        return sum(
            np.roll(x, (1 - row, 1 - column), (0, 1)) @ kernel[row, column]
            for row in range(3)
            for column in range(3)
        )

    x = np.stack([plane, np.full(plane.shape, sigma)], -1) / 255
    x = np.maximum(convolve(x, tree["params"]["conv_start"]), 0)
    for i in range(len(tree["batch_stats"])):
        block = tree["params"][f"ConvBNBlock_{i}"]
        seen = tree["batch_stats"][f"ConvBNBlock_{i}"]["BatchNorm_0"]
        x = convolve(x, block["Conv_0"])
        x = (x - seen["mean"]) / np.sqrt(seen["var"].astype(np.float64) + 1e-5)
        x = np.maximum(x * block["BatchNorm_0"]["scale"] + block["BatchNorm_0"]["bias"], 0)
    return convolve(x, tree["params"]["conv_end"])[..., 0] * 255
