"""White Gaussian noise, cheaply: two draws from every 32 random bits.

The fresh input noise of section 4.3 is h·w·512 draws a step. `jax.random.normal` spends a random
word and an inverse error function on each; this takes a radius and an angle of 16 bits each (Box
and Muller, 1958), in a third of the time on a CPU. The largest draw is 4.9 standard deviations.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key


def normal(key: Key[Array, ""], shape: tuple[int, ...]) -> Float[Array, "..."]:
    """Independent draws of mean 0 and standard deviation 1, the same under `jax.vmap` as alone.

    Args:
      key: A threefry key; the draws depend on it and on `shape` only.
      shape: Of the result, last axis of any length.
    """
    *leading, last = shape
    words = jax.random.bits(key, (*leading, -(-last // 2)))
    radius = jnp.sqrt(-2 * jnp.log(((words >> 16).astype(jnp.float32) + 0.5) / 2**16))
    # An angle within an eighth of a turn of one of the four axes: there short series are exact to
    # 4e-6, and no range has to be reduced.
    angle = ((words & 0x3FFF).astype(jnp.float32) / 2**14 - 0.5) * (np.pi / 2)
    square = jnp.square(angle)
    sine = angle * (1 + square * (-1 / 6 + square * (1 / 120 - square / 5040)))
    cosine = 1 + square * (-1 / 2 + square * (1 / 24 - square / 720))
    axis = (words >> 14) & 3
    turned = (axis & 1) == 1
    radius = jnp.where((axis & 2) == 2, -radius, radius)
    first = radius * jnp.where(turned, sine, cosine)
    second = radius * jnp.where(turned, cosine, sine)
    return jnp.concatenate([first, second], -1)[..., :last]
