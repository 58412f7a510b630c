"""The fast Gaussian noise is Gaussian, white, and addressed by its key alone."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from dippas_jax.prior import noise


def draws(seed=0, shape=(300, 300, 11)):
    return np.asarray(noise.normal(jax.random.key(seed), shape), np.float64)


def test_the_distribution_is_the_standard_normal_one():
    x = draws().ravel()
    for moment, expected, spread in ((1, 0, 1), (2, 1, 2), (3, 0, 15), (4, 3, 96)):
        error = 4.5 * np.sqrt(spread / x.size)
        assert np.mean(x**moment) == pytest.approx(expected, abs=error), moment
    assert stats.kstest(x, "norm").pvalue > 1e-3
    assert stats.kstest(np.abs(x[np.abs(x) > 2.5]), _tail).pvalue > 1e-3


def _tail(x):
    return 1 - stats.norm.sf(x) / stats.norm.sf(2.5)


def test_draws_do_not_depend_on_each_other():
    x = draws(shape=(200, 200, 8))
    for axis in range(3):
        for values in (x, x**2 - 1):
            pair = np.mean(np.delete(values, -1, axis) * np.delete(values, 0, axis))
            assert abs(pair) < 4.5 * values.var() / np.sqrt(x.size), axis
    first, second = x[..., :4], x[..., 4:]  # the two draws of one word
    for values in (first * second, (first**2 - 1) * (second**2 - 1)):
        assert abs(values.mean()) < 4.5 * values.std() / np.sqrt(values.size)


@pytest.mark.parametrize("shape", [(5, 3, 1), (4, 4, 2), (2, 3, 5)])
def test_any_number_of_channels(shape):
    assert noise.normal(jax.random.key(1), shape).shape == shape


def test_another_key_gives_other_noise_and_a_batch_the_same():
    keys = jax.random.split(jax.random.key(3), 3)
    alone = [noise.normal(key, (8, 8, 6)) for key in keys]
    assert not np.array_equal(alone[0], alone[1])
    together = jax.vmap(lambda key: noise.normal(key, (8, 8, 6)))(keys)
    np.testing.assert_array_equal(together, jnp.stack(alone))
