"""Adam and AMSGrad, against the definitions in float64 and against PyTorch."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from dippas_jax import config
from dippas_jax.prior import optimizer

STEPS, RATE = 300, 1e-3


def gradients():
    """A large one early, then small ones that decay: where the two AMSGrads part."""
    noise = np.random.default_rng(0).standard_normal((STEPS, 6))
    scale = np.exp(-np.arange(STEPS) / 60.0)
    scale[2] = 50.0
    return (noise * scale[:, None] + 0.3 * scale[:, None]).astype(np.float32)


def definition(gradients, amsgrad):
    """Kingma and Ba (2015), algorithm 1; the maximum as in PyTorch's documentation of Adam."""
    first = second = largest = np.zeros(gradients.shape[1])
    parameter, path = np.ones(gradients.shape[1]), []
    for t, gradient in enumerate(np.asarray(gradients, np.float64), start=1):
        first = 0.9 * first + 0.1 * gradient
        second = 0.999 * second + 0.001 * gradient**2
        largest = np.maximum(largest, second)
        corrected = (largest if amsgrad else second) / (1 - 0.999**t)
        step = first / (1 - 0.9**t) / (np.sqrt(corrected) + 1e-8)
        parameter = parameter - RATE * step
        path.append(parameter)
    return np.array(path)


def descend(transformation):
    """The parameter after every step."""

    def step(carry, gradient):
        parameter, state = carry
        updates, state = transformation.update(gradient, state, parameter)
        parameter = optax.apply_updates(parameter, updates)
        return (parameter, state), parameter

    start = jnp.ones(6)
    run = jax.jit(lambda g: jax.lax.scan(step, (start, transformation.init(start)), g)[1])
    return np.asarray(run(jnp.asarray(gradients())))


@functools.cache
def ours(name):
    return descend(optimizer.make(config.Inversion(optimizer=name, learning_rate=RATE)))


@pytest.mark.parametrize("name", ["adam", "amsgrad"])
def test_the_path_is_that_of_the_definition(name):
    expected = definition(gradients(), amsgrad=name == "amsgrad")
    np.testing.assert_allclose(ours(name), expected, rtol=0, atol=3e-6)


@pytest.mark.parametrize("name", ["adam", "amsgrad"])
def test_the_path_is_that_of_pytorch(name):
    torch = pytest.importorskip("torch")
    parameter = torch.nn.Parameter(torch.ones(6))
    adam = torch.optim.Adam([parameter], lr=RATE, amsgrad=name == "amsgrad")
    path = []
    for gradient in gradients():
        parameter.grad = torch.from_numpy(gradient.copy())
        adam.step()
        path.append(parameter.detach().numpy().copy())
    np.testing.assert_allclose(ours(name), np.array(path), rtol=0, atol=3e-6)


def test_amsgrad_forgets_an_early_large_gradient_as_optax_does_not():
    theirs = descend(optax.amsgrad(RATE))
    moved = np.abs(np.diff(ours("amsgrad")[-50:], axis=0)).mean()
    assert moved > 3 * np.abs(np.diff(theirs[-50:], axis=0)).mean()


def test_the_two_optimisers_differ():
    assert np.abs(ours("adam") - ours("amsgrad")).max() > 1e-4
