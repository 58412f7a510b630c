"""The wavelet transform, against PyWavelets and against itself."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dippas_jax.signal import wavelet
from tests import oracles

SIZES = [(64, 64), (32, 32), (33, 47), (50, 129)]


def planes(*shape, seed=0):
    return np.random.default_rng(seed).uniform(0, 255, shape).astype(np.float32)


@jax.jit
def there_and_back(x):
    coefficients = wavelet.wavedec2(x)
    return coefficients, wavelet.waverec2(coefficients, x.shape[-2:])


@pytest.mark.parametrize("size", SIZES)
def test_coefficients_and_their_layout_are_those_of_pywavelets(size):
    x = planes(*size)
    coefficients, _ = there_and_back(x)
    expected = oracles.wavedec2(x)
    assert jax.tree.structure(coefficients) == jax.tree.structure(expected)
    sizes = [16] + [2**level for level in (4, 3, 2, 1) for _ in range(3)]
    bands = zip(jax.tree.leaves(coefficients), jax.tree.leaves(expected), sizes, strict=True)
    for ours, theirs, size in bands:
        # A level doubles what coefficients are made of: 1e-4 grey levels seen from the pixels.
        np.testing.assert_allclose(ours, theirs, atol=1e-4 * size)


@pytest.mark.parametrize("size", SIZES)
def test_planes_come_back_at_even_and_odd_sizes(size):
    x = planes(*size)
    np.testing.assert_allclose(there_and_back(x)[1], x, atol=5e-4)


def test_synthesis_of_changed_coefficients_is_that_of_pywavelets():
    rng = np.random.default_rng(1)
    changed = jax.tree.map(
        lambda band: rng.standard_normal(band.shape).astype(np.float32),
        oracles.wavedec2(planes(33, 47)),
    )
    ours = jax.jit(wavelet.waverec2, static_argnums=1)(changed, (33, 47))
    np.testing.assert_allclose(ours, oracles.waverec2(changed)[:33, :47], atol=1e-5)


@pytest.mark.parametrize("levels", [1, 2])
def test_the_number_of_levels_is_what_was_asked_for(levels):
    x = planes(5, 9)
    coefficients = wavelet.wavedec2(x, levels=levels)
    assert len(coefficients) == 1 + levels
    for ours, theirs in zip(
        jax.tree.leaves(coefficients), jax.tree.leaves(oracles.wavedec2(x, levels)), strict=True
    ):
        np.testing.assert_allclose(ours, theirs, atol=1e-4)


def test_leading_axes_are_as_good_as_one_plane_at_a_time():
    x = planes(2, 3, 33, 47)
    coefficients, back = there_and_back(x)
    one, one_back = there_and_back(x[1, 2])
    for many, single in zip(jax.tree.leaves(coefficients), jax.tree.leaves(one), strict=True):
        np.testing.assert_allclose(many[1, 2], single, atol=1e-4)
    np.testing.assert_allclose(back[1, 2], one_back, atol=1e-4)


def test_details_do_not_see_a_constant():
    _, *details = wavelet.wavedec2(jnp.full((33, 47), 200.0), levels=2)
    for band in jax.tree.leaves(details):
        assert float(jnp.abs(band).max()) < 1e-3


def test_gradient_is_the_adjoint():
    x, y = planes(32, 32), planes(32, 32, seed=1)
    forward, backward = jax.vjp(lambda v: wavelet.wavedec2(v, levels=1), x)
    cotangent = wavelet.wavedec2(y, levels=1)
    inner = sum(
        float(jnp.vdot(a, b))
        for a, b in zip(jax.tree.leaves(forward), jax.tree.leaves(cotangent), strict=True)
    )
    assert float(jnp.vdot(x, backward(cotangent)[0])) == pytest.approx(inner, rel=1e-5)
