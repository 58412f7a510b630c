"""The network: its size as the paper's program has it, and every operation against NumPy."""

import dataclasses
import functools
import itertools

import jax
import numpy as np
import pytest

from dippas_jax.prior import generator
from tests import network, tiny

NETWORKS = {1: tiny.ONE_SCALE, 2: tiny.TWO_SCALES, 3: tiny.THREE_SCALES}
apply = jax.jit(generator.apply, static_argnames="config")


@functools.cache
def case(scales):
    """Weights, input and image of a small network; 8x12, so that rows and columns differ."""
    weights = tiny.weights(NETWORKS[scales])
    z = np.random.default_rng(1).normal(0, 0.1, (8, 12, NETWORKS[scales].depth))
    z = jax.numpy.asarray(z, jax.numpy.float32)
    return weights, z, apply(weights, z, config=NETWORKS[scales])


@pytest.mark.parametrize(("depth", "count"), [(512, 2_219_718), (32, 2_190_438)])
def test_number_of_parameters_is_the_papers(depth, count):
    settings = dataclasses.replace(tiny.PAPER, depth=depth)
    shapes = jax.eval_shape(lambda: generator.init(jax.random.key(0), settings))
    assert generator.count(shapes) == count
    assert {leaf.dtype for leaf in jax.tree.leaves(shapes)} == {np.dtype("float32")}


def test_inner_widths_are_those_of_the_multi_resolution_block():
    assert generator.inner_widths(16, 1.67) == (4, 8, 13)
    assert generator.inner_widths(256, 1.67) == (71, 142, 213)


@pytest.mark.parametrize(
    ("scales", "size", "padded"), [(1, 65, 65), (2, 64, 64), (2, 65, 66), (3, 65, 68), (3, 1, 4)]
)
def test_padded_is_the_next_size_that_every_down_sampling_divides(scales, size, padded):
    assert generator.padded(size, NETWORKS[scales]) == padded


def test_padded_sizes_of_the_papers_network():
    assert [generator.padded(n, tiny.PAPER) for n in (512, 500, 513)] == [512, 512, 528]


@pytest.mark.parametrize("scales", NETWORKS)
def test_image_is_that_of_the_oracle(scales):
    weights, z, image = case(scales)
    assert image.dtype == np.float32
    assert image.shape == (8, 12, 3)
    np.testing.assert_allclose(image, network.generate(weights, z, scales), rtol=0, atol=2e-5)


def test_image_lies_between_zero_and_one_and_is_not_flat():
    _, _, image = case(2)
    assert 0 < image.min() < 0.4
    assert 0.6 < image.max() < 1


def test_a_linear_output_is_that_of_the_oracle_and_may_leave_the_range():
    weights, z, image = case(2)
    linear = dataclasses.replace(NETWORKS[2], output="linear")
    found = apply(weights, z, config=linear)
    expected = network.generate(weights, z, 2, "linear")
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-4)
    near = np.abs(image - 0.5) < 0.02  # the tangent of the sigmoid where it is one half
    np.testing.assert_allclose(found[near], image[near], atol=1e-4)
    assert found.max() > 1


@pytest.mark.parametrize("slope", [1.0, 0.2])
def test_normalization_and_its_gradients_are_those_that_jax_derives(slope):
    rng = np.random.default_rng(0)
    x = jax.numpy.asarray(3 + 2 * rng.standard_normal((7, 5, 4)), jax.numpy.float32)
    scale, offset = jax.numpy.asarray(rng.standard_normal((2, 4)), jax.numpy.float32)
    cotangent = jax.numpy.asarray(rng.standard_normal(x.shape), jax.numpy.float32)

    def plain(x, scale, offset):
        y = (x - x.mean((0, 1))) / jax.numpy.sqrt(x.var((0, 1)) + 1e-5) * scale + offset
        return jax.numpy.where(y > 0, y, slope * y)

    value, pull = jax.vjp(lambda *given: generator.normalize(*given, slope), x, scale, offset)
    expected, expected_pull = jax.vjp(plain, x, scale, offset)
    weights = {"scale": scale, "offset": offset}
    oracle = network.normalize(np.asarray(x, np.float64), weights)
    np.testing.assert_allclose(value, np.where(oracle > 0, oracle, slope * oracle), atol=1e-5)
    np.testing.assert_allclose(value, expected, atol=1e-5)
    for mine, other in zip(pull(cotangent), expected_pull(cotangent), strict=True):
        np.testing.assert_allclose(mine, other, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("mean", [0.0, 100.0])
@pytest.mark.parametrize("others", [0, 4])
def test_normalization_is_exact_far_from_zero_and_where_the_first_rows_are_others(mean, others):
    """Four rows of 256 that hold nearly all of the variance are as far from the mean as can be."""
    rng = np.random.default_rng(0)
    x = mean + (0.1 if others else 1.0) * rng.standard_normal((256, 16, 3))
    x[:others] += 8
    x = x.astype(np.float32)
    weights = {"scale": np.ones(3), "offset": np.zeros(3)}
    expected = network.normalize(x.astype(np.float64), weights)
    found = generator.normalize(*map(jax.numpy.asarray, (x, np.ones(3), np.zeros(3))), 1.0)
    rtol = 1e-4 if others else 2e-5  # what cancels is 64 times the variance
    np.testing.assert_allclose(found, expected, rtol=rtol, atol=2e-5)


def test_gradients_are_finite_where_every_channel_is_flat():
    """A constant input leaves the normalisation nothing to divide by."""
    weights, z = tiny.weights(tiny.ONE_SCALE), jax.numpy.ones((6, 4, 3))

    @jax.jit
    def slope(weights):
        return jax.grad(lambda w: generator.apply(w, z, tiny.ONE_SCALE).sum())(weights)

    gradients = slope(weights)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(gradients))
    assert (np.abs(gradients["Convolution_0"]["bias"]) > 0.1).all()


def test_fresh_parameters_are_drawn_as_pytorch_draws_them(fresh):
    params, _ = fresh
    for path, leaf in jax.tree_util.tree_leaves_with_path(params):
        name, leaf = jax.tree_util.keystr(path), np.asarray(leaf)
        if name.endswith("['scale']"):
            assert (leaf == 1).all()
        elif name.endswith("['offset']"):
            assert (leaf == 0).all()
        elif leaf.size >= 100:
            bound = np.prod(leaf.shape[:3]) ** -0.5
            assert np.abs(leaf).max() <= bound
            assert np.abs(leaf).max() > 0.9 * bound
            assert abs(leaf.std() / bound - 3**-0.5) < 0.12
            assert abs(leaf.mean()) < 0.2 * bound
    bias = params["Convolution_0"]["bias"]
    assert 0 < np.abs(bias).max() <= params["Convolution_0"]["kernel"].shape[2] ** -0.5


def test_fresh_parameters_differ_from_layer_to_layer_and_from_key_to_key(fresh):
    kernels = [
        np.asarray(leaf).ravel()[:20]
        for params in fresh
        for path, leaf in jax.tree_util.tree_leaves_with_path(params)
        if "kernel" in jax.tree_util.keystr(path)
    ]
    scaled = np.array([k[:12] / np.abs(k[:12]).max() for k in kernels])
    similarity = np.abs(np.corrcoef(scaled)) - np.eye(len(scaled))
    assert similarity.max() < 0.98


@pytest.mark.slow
def test_every_layer_starts_uniform_within_its_own_bound():
    settings = tiny.PAPER
    params = generator.init(jax.random.key(5), settings)

    def check(tree):
        if "scale" in tree:
            assert (tree["scale"] == 1).all()
            assert (tree["offset"] == 0).all()
        elif "kernel" in tree:
            bound = np.prod(tree["kernel"].shape[:-1]) ** -0.5
            for leaf in tree.values():
                assert np.abs(leaf).max() <= bound
            kernel = np.asarray(tree["kernel"], np.float64).ravel()
            assert kernel.std() == pytest.approx(bound / np.sqrt(3), rel=5 / np.sqrt(kernel.size))
            assert abs(kernel.mean()) < 5 * bound / np.sqrt(3 * kernel.size)
        else:
            for part in tree.values():
                check(part)

    check(params)
    kernels = [np.asarray(x).ravel()[:100] for x in jax.tree.leaves(params) if x.ndim == 4]
    scaled = [kernel / np.abs(kernel).max() for kernel in kernels]
    for one, other in itertools.pairwise(scaled):
        size = min(len(one), len(other))
        assert abs(np.corrcoef(one[:size], other[:size])[0, 1]) < 0.6
