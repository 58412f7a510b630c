"""The same network, loss and optimiser in idiomatic PyTorch, to compare against.

Only the benchmarks and their test import this module; PyTorch is in the extra `torch`. Layout is
(1, c, h, w) in channels-last memory format, which is PyTorch's fastest for convolutions on a CPU.
"""

import jax
import numpy as np
import torch
from torch import nn

from dippas_jax import config as configuration
from dippas_jax.prior import generator


class Layer(nn.Sequential):
    """Convolution, normalisation, activation."""

    def __init__(self, inputs: int, features: int, side: int, stride: int = 1):
        super().__init__(
            nn.Conv2d(inputs, features, side, stride, padding=side // 2),
            nn.BatchNorm2d(features, eps=generator.EPSILON, track_running_stats=False),
            nn.LeakyReLU(generator.SLOPE, inplace=True),
        )


def _normalization(features: int) -> nn.BatchNorm2d:
    return nn.BatchNorm2d(features, eps=generator.EPSILON, track_running_stats=False)


class MultiResolution(nn.Module):
    """Three layers in a row, their outputs side by side, and a shortcut."""

    def __init__(self, inputs: int, width: int, alpha: float):
        super().__init__()
        a, b, c = generator.inner_widths(width, alpha)
        self.features = a + b + c
        self.first, self.second, self.third = Layer(inputs, a, 3), Layer(a, b, 3), Layer(b, c, 3)
        self.stack = _normalization(self.features)
        self.shortcut = Layer(inputs, self.features, 1)
        self.total = _normalization(self.features)

    def forward(self, x):
        """[1 c h w] to as many channels as its parts have together."""
        first = self.first(x)
        second = self.second(first)
        third = self.third(second)
        stack = self.stack(torch.cat([first, second, third], 1))
        return self.total(nn.functional.leaky_relu(self.shortcut(x) + stack, generator.SLOPE))


class ResidualPath(nn.Module):
    """What the two halves of the network share at one scale."""

    def __init__(self, inputs: int, features: int):
        super().__init__()
        self.main, self.shortcut = Layer(inputs, features, 3), Layer(inputs, features, 1)
        self.total = _normalization(features)

    def forward(self, x):
        """[1 c h w] to `features` channels."""
        return self.total(
            nn.functional.leaky_relu(self.main(x) + self.shortcut(x), generator.SLOPE)
        )


class Generator(nn.Module):
    """The network of section 3.4, with the sigmoid output."""

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
        """The image [1 3 h w] in [0, 1] of the noise [1 d h w]."""
        scales = len(self.downs)
        x = self.blocks[0](z)
        paths = []
        for path, down, block in zip(self.paths, self.downs, self.blocks[1:], strict=False):
            paths.append(path(x))
            x = block(down(x))
        for path, block in zip(paths[::-1], self.blocks[scales + 1 :], strict=True):
            x = block(torch.cat([path, nn.functional.interpolate(x, scale_factor=2.0)], 1))
        return torch.sigmoid(self.output(x))


def _pairs(params, net: Generator):
    """Each Flax layer's parameters beside the PyTorch module they belong to."""

    def layer(values, module):
        yield values["Convolution_0"], module[0]
        yield values["Normalization_0"], module[1]

    def block(values, module):
        for index, part in enumerate([module.first, module.second, module.third, module.shortcut]):
            yield from layer(values[f"Layer_{index}"], part)
        yield values["Normalization_0"], module.stack
        yield values["Normalization_1"], module.total

    def path(values, module):
        yield from layer(values["Layer_0"], module.main)
        yield from layer(values["Layer_1"], module.shortcut)
        yield values["Normalization_0"], module.total

    for index, module in enumerate(net.blocks):
        yield from block(params[f"MultiResolution_{index}"], module)
    for index, module in enumerate(net.paths):
        yield from path(params[f"ResidualPath_{index}"], module)
    for index, module in enumerate(net.downs):
        yield from layer(params[f"Layer_{index}"], module)
    yield params["Convolution_0"], net.output


def _names(module: nn.Module) -> tuple[tuple[str, str], ...]:
    if isinstance(module, nn.Conv2d):
        return (("kernel", "weight"), ("bias", "bias"))
    return (("scale", "weight"), ("offset", "bias"))


def from_flax(params, config: configuration.Generator) -> Generator:
    """The twin with the weights of a Flax parameter tree."""
    net = Generator(config)
    with torch.no_grad():
        for values, module in _pairs(params, net):
            for ours, theirs in _names(module):
                array = np.array(values[ours])
                if (
                    array.ndim == 4
                ):  # rows, columns, inputs, outputs -> outputs, inputs, rows, columns
                    array = array.transpose(3, 2, 0, 1)
                getattr(module, theirs).copy_(torch.from_numpy(np.ascontiguousarray(array)))
    return net.to(memory_format=torch.channels_last)


def to_flax(net: Generator, like):
    """The twin's weights as a parameter tree with the structure of `like`."""
    tree = jax.tree.map(np.asarray, like)
    for values, module in _pairs(tree, net):
        for ours, theirs in _names(module):
            array = getattr(module, theirs).detach().numpy()
            values[ours] = array.transpose(2, 3, 1, 0) if array.ndim == 4 else array
    return tree


def to_torch(x: np.ndarray) -> torch.Tensor:
    """(h, w, c) to (1, c, h, w), channels last in memory."""
    return torch.from_numpy(np.array(x, np.float32)).permute(2, 0, 1)[None]


class Inversion:
    """Equation 9 with Adam or AMSGrad; `step` does one update and returns its loss."""

    def __init__(
        self, net: Generator, photo, fingerprint, config: configuration.Inversion, device="cpu"
    ):
        """Takes the image [h w 3] in [0, 1] and the fingerprint [h w] as it is injected."""
        self.net, self.image = net.to(device), to_torch(photo).to(device)
        self.fingerprint = torch.from_numpy(np.array(fingerprint, np.float32)).to(device)
        self.gamma = nn.Parameter(torch.zeros((), device=device))
        self.optimizer = torch.optim.Adam(
            [*net.parameters(), self.gamma],
            config.learning_rate,
            amsgrad=config.optimizer == "amsgrad",
            fused=True,
        )

    def step(self, z: torch.Tensor) -> torch.Tensor:
        """One update of φ and γ."""
        h, w = self.fingerprint.shape
        self.optimizer.zero_grad()
        generated = self.net(z)[..., :h, :w]
        loss = nn.functional.mse_loss(generated * (1 + self.gamma * self.fingerprint), self.image)
        loss.backward()
        self.optimizer.step()
        with torch.no_grad():
            self.gamma.clamp_(min=0)
        return loss.detach()


def together(nets, photo, fingerprint, config: configuration.Inversion, device="cpu"):
    """A function of one z [1 d h w] a network that steps all by torch.func.vmap, on one photo."""
    for net in nets:
        for module in net.modules():
            if isinstance(module, nn.LeakyReLU):
                module.inplace = False  # vmap has no rule for it
    params, _ = torch.func.stack_module_state([net.to(device) for net in nets])
    gamma = torch.zeros(len(nets), device=device, requires_grad=True)
    image, plane = to_torch(photo).to(device), torch.from_numpy(np.array(fingerprint)).to(device)
    optimizer = torch.optim.Adam([*params.values(), gamma], config.learning_rate, fused=True)

    def loss(params, gamma, z):
        generated = torch.func.functional_call(nets[0], params, (z,))
        return nn.functional.mse_loss(generated * (1 + gamma * plane), image)

    gradient = torch.func.vmap(torch.func.grad_and_value(loss, (0, 1)))

    def step(zs):
        (of_params, of_gamma), losses = gradient(params, gamma, torch.stack(zs))
        for name, value in params.items():
            value.grad = of_params[name]
        gamma.grad = of_gamma
        optimizer.step()
        with torch.no_grad():
            gamma.clamp_(min=0)
        return losses.detach().mean()

    return step
