"""The same network, loss and optimiser in idiomatic PyTorch, to compare against.

Only the benchmarks and their test import this module; PyTorch is in the extra `bench`. Layout is (1, c, h, w) in
channels-last memory format, which is PyTorch's fastest for convolutions on a CPU.
"""

import numpy as np
import torch
from torch import nn

from dippas_jax import config as configuration
from dippas_jax import generator


class Layer(nn.Sequential):
    def __init__(self, inputs: int, features: int, side: int, stride: int = 1):
        super().__init__(
            nn.Conv2d(inputs, features, side, stride, padding=side // 2),
            nn.BatchNorm2d(features, eps=generator.EPSILON, track_running_stats=False),
            nn.LeakyReLU(generator.SLOPE, inplace=True),
        )


def _normalization(features: int) -> nn.BatchNorm2d:
    return nn.BatchNorm2d(features, eps=generator.EPSILON, track_running_stats=False)


class MultiResolution(nn.Module):
    def __init__(self, inputs: int, width: int, alpha: float):
        super().__init__()
        a, b, c = generator.inner_widths(width, alpha)
        self.features = a + b + c
        self.first, self.second, self.third = Layer(inputs, a, 3), Layer(a, b, 3), Layer(b, c, 3)
        self.stack = _normalization(self.features)
        self.shortcut = Layer(inputs, self.features, 1)
        self.total = _normalization(self.features)

    def forward(self, x):
        first = self.first(x)
        second = self.second(first)
        third = self.third(second)
        stack = self.stack(torch.cat([first, second, third], 1))
        return self.total(nn.functional.leaky_relu(self.shortcut(x) + stack, generator.SLOPE))


class ResidualPath(nn.Module):
    def __init__(self, inputs: int, features: int):
        super().__init__()
        self.main, self.shortcut = Layer(inputs, features, 3), Layer(inputs, features, 1)
        self.total = _normalization(features)

    def forward(self, x):
        return self.total(nn.functional.leaky_relu(self.main(x) + self.shortcut(x), generator.SLOPE))


class Generator(nn.Module):
    def __init__(self, config: configuration.Generator):
        super().__init__()
        widths, skips, alpha = config.widths, config.skips, config.alpha
        blocks = [MultiResolution(config.depth, widths[0], alpha)]
        self.paths, self.downs = nn.ModuleList(), nn.ModuleList()
        for width, skip in zip(widths[1:], skips, strict=True):
            features = blocks[-1].features
            self.paths.append(ResidualPath(features, skip))
            self.downs.append(Layer(features, features, 3, 2))
            blocks.append(MultiResolution(features, width, alpha))
        for width, skip in zip(widths[-2::-1], skips[::-1], strict=True):
            blocks.append(MultiResolution(blocks[-1].features + skip, width, alpha))
        self.blocks = nn.ModuleList(blocks)
        self.output = nn.Conv2d(blocks[-1].features, 3, 1)

    def forward(self, z):
        scales = len(self.downs)
        x = self.blocks[0](z)
        paths = []
        for path, down, block in zip(self.paths, self.downs, self.blocks[1:], strict=False):
            paths.append(path(x))
            x = block(down(x))
        for path, block in zip(paths[::-1], self.blocks[scales + 1 :], strict=True):
            x = block(torch.cat([path, nn.functional.interpolate(x, scale_factor=2.0)], 1))
        return torch.sigmoid(self.output(x))


def _layers(module: nn.Module):
    """Convolutions and normalisations in the order in which Flax names them."""
    return [m for m in module.modules() if isinstance(m, nn.Conv2d | nn.BatchNorm2d)]
