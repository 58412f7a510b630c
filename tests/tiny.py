"""The smallest cases that still have every part: settings, photos, weights, and runs of them."""

import jax
import jax.numpy as jnp
import numpy as np

from dippas_jax import config
from dippas_jax.prior import generator, inversion
from dippas_jax.prior.state import Problem, Trace
from tests import oracles

ONE_SCALE = config.Generator(depth=3, widths=(8,), skips=(), output="sigmoid")
TWO_SCALES = config.Generator(depth=4, widths=(8, 16), skips=(8,), output="sigmoid")
THREE_SCALES = config.Generator(depth=2, widths=(8, 12, 9), skips=(5, 3), output="sigmoid")
PAPER = config.Generator(widths=(16, 32, 64, 128, 256), skips=(16, 32, 64, 128), output="sigmoid")


def settings(network=ONE_SCALE, assembly=None, **given):
    """Fast steps, fresh noise in each, nothing undone; `given` are fields of `config.Inversion`."""
    options = {"learning_rate": 0.01, "noise_std": 0.03, "max_steps": 12, "chunk": 3}
    options = options | {"rollback": 0.0} | given
    chosen = assembly or config.Assembly(sides=(32,), averages=(3,), thresholds=(1.0,))
    return config.Config(generator=network, inversion=config.Inversion(**options), assembly=chosen)


def fingerprint(height=64, width=64, seed=5):
    """White, float32 [h w], about as the fingerprint files of some laboratories."""
    draw = np.random.default_rng(seed).standard_normal((height, width))
    return (0.3 * draw).astype(np.float32)


def problem(height=64, width=64, seed=0, key=0, scale=1):
    """A photo with the fingerprint in it, and that fingerprint, times `scale`."""
    plane = fingerprint(height, width)
    pixels = oracles.photo(seed, height, width, 10 * plane)
    return inversion.problem(
        jax.random.key(key), jnp.asarray(pixels), jnp.asarray(np.float32(scale) * plane)
    )


def weights(network, seed=0):
    """Parameters of every kind away from what they start at: a forgotten scale would show."""
    shapes = jax.eval_shape(lambda: generator.init(jax.random.key(0), network))
    draw = np.random.default_rng(seed)
    return jax.tree.map(lambda x: draw.normal(0.2, 0.5, x.shape).astype(np.float32), shapes)


def run(start: Problem, settings: config.Config, steps: int, state=None) -> Trace:
    """So many steps in chunks, as NumPy arrays."""
    if state is None:
        state = inversion.init_compiled(start, config=settings)
    traces = []
    for _ in range(steps // settings.inversion.chunk):
        state, trace = inversion.chunk_compiled(state, start, config=settings)
        traces.append(jax.device_get(trace))
    return jax.tree.map(lambda *parts: np.concatenate(parts), *traces)


def assert_same_bytes(one, other):
    """Two trees of arrays agree in every bit."""
    assert jax.tree.structure(one) == jax.tree.structure(other)
    for x, y in zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True):
        x, y = np.asarray(x), np.asarray(y)
        assert (x.dtype, x.shape) == (y.dtype, y.shape)
        assert x.tobytes() == y.tobytes(), f"{np.sum(x != y)} of {x.size} values differ"
