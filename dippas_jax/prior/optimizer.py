"""Adam as the paper names it, and AMSGrad with the arithmetic of the authors' framework.

PyTorch's AMSGrad takes the running maximum of the raw second moment and corrects its bias
afterwards; `optax.scale_by_amsgrad` corrects first, so that an early large gradient stays for good.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax

from dippas_jax import config as configuration

BETA1, BETA2, EPSILON = 0.9, 0.999, 1e-8


class AmsgradState(NamedTuple):
    """Step count, first moment, second moment and its running maximum, like the parameters."""

    count: jax.Array  # type: ignore[assignment]  # hides tuple.count, as in optax
    first: optax.Updates
    second: optax.Updates
    largest: optax.Updates


def scale_by_pytorch_amsgrad() -> optax.GradientTransformation:
    """The update direction of `torch.optim.Adam(amsgrad=True)`, before the learning rate."""

    def init(params):
        zeros = jax.tree.map(jnp.zeros_like, params)
        return AmsgradState(jnp.zeros((), jnp.int32), zeros, zeros, zeros)

    def update(gradients, state, params=None):
        del params
        count = state.count + 1
        first = jax.tree.map(lambda m, g: BETA1 * m + (1 - BETA1) * g, state.first, gradients)
        second = jax.tree.map(
            lambda v, g: BETA2 * v + (1 - BETA2) * jnp.square(g), state.second, gradients
        )
        largest = jax.tree.map(jnp.maximum, state.largest, second)
        bias1, bias2 = 1 - BETA1**count, 1 - BETA2**count
        direction = jax.tree.map(
            lambda m, v: m / bias1 / (jnp.sqrt(v) / jnp.sqrt(bias2) + EPSILON), first, largest
        )
        return direction, AmsgradState(count, first, second, largest)

    return optax.GradientTransformation(init, update)


def make(config: configuration.Inversion) -> optax.GradientTransformation:
    """The optimiser that `config` names, learning rate included.

    It works on all parameters as one vector: the arithmetic is elementwise, and one update of a
    vector is compiled in half the time that a hundred updates of small arrays take.
    """
    if config.optimizer == "adam":
        return optax.flatten(optax.adam(config.learning_rate, BETA1, BETA2, EPSILON))
    return optax.flatten(
        optax.chain(scale_by_pytorch_amsgrad(), optax.scale(-config.learning_rate))
    )
