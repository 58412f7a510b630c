"""The learned extractor, against the network written out in NumPy as the file stores it."""

import copy
import os
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import serialization
from PIL import Image

from dippas_jax.io import weights
from dippas_jax.signal import correlation, dncnn
from dippas_jax.types import InputError
from tests import learned, oracles
from tests.messages import assert_one_sentence


def params_of(tree):
    return dncnn.parse(learned.data_of(tree))


@pytest.fixture(scope="module")
def real():
    path = weights.find()
    if path is None:
        pytest.skip(
            "the learned extractor's weights are not here; `dippas fetch learned` gets them"
        )
    data = path.read_bytes()
    return dncnn.parse(data), serialization.msgpack_restore(data)


@pytest.mark.parametrize(("size", "sigma"), [((40, 33), 5.0), ((3, 7), 0.0), ((24, 1), 30.0)])
def test_noise_is_that_of_the_network_written_out(size, sigma):
    tree = learned.stored(0)
    plane = np.random.default_rng(1).uniform(0, 255, size)
    ours = jax.jit(dncnn.noise)(params_of(tree), plane.astype(np.float32), sigma)
    assert ours.dtype == jnp.float32
    expected = learned.oracle(tree, plane, sigma)
    np.testing.assert_allclose(ours, expected, atol=2e-6 * np.abs(expected).max())


@pytest.mark.parametrize("tile", [8, 16, 31])
def test_tiles_do_not_show(tile, monkeypatch):
    params = params_of(learned.stored(2))
    plane = np.random.default_rng(3).uniform(0, 255, (33, 50)).astype(np.float32)
    whole = dncnn.noise(params, plane)
    monkeypatch.setattr(dncnn, "TILE", tile)
    np.testing.assert_allclose(dncnn.noise(params, plane), whole, rtol=1e-4, atol=1e-4)


def test_a_batch_gives_what_single_planes_give():
    params = params_of(learned.stored(4))
    planes = np.random.default_rng(5).uniform(0, 255, (2, 3, 20, 24)).astype(np.float32)
    ours = dncnn.noise(params, planes)
    assert ours.shape == planes.shape
    np.testing.assert_allclose(ours[1, 2], dncnn.noise(params, planes[1, 2]), atol=1e-4)


def test_beyond_a_border_lies_the_opposite_one():
    params = params_of(learned.stored(6))
    plane = np.random.default_rng(7).uniform(0, 255, (32, 32)).astype(np.float32)
    moved = dncnn.noise(params, np.roll(plane, (5, -9), (0, 1)))
    expected = np.roll(dncnn.noise(params, plane), (5, -9), (0, 1))
    np.testing.assert_allclose(moved, expected, rtol=1e-4, atol=1e-4)


def test_residual_is_the_noise_of_the_grey_plane_after_the_filters_of_the_wavelet_one():
    tree = learned.stored(8)
    pixels = oracles.photo(9, 32, 32)
    ours = jax.jit(dncnn.residual)(params_of(tree), pixels, sigma=4.0)
    noise = learned.oracle(tree, oracles.luma(pixels.astype(np.float64)), 4.0)
    expected = oracles.wiener_dft(oracles.zero_mean(noise))
    np.testing.assert_allclose(ours, expected, atol=1e-4 * np.abs(expected).max())


def test_a_flat_photo_has_no_residual_in_a_batch_of_others():
    photos = np.stack([np.full((32, 32, 3), 77, np.uint8), oracles.photo(10, 32, 32)])
    ours = jax.jit(dncnn.residual)(params_of(learned.stored(11)), photos)
    np.testing.assert_array_equal(ours[0], 0)
    assert float(jnp.abs(ours[1]).max()) > 0


def test_gradient_is_what_finite_differences_say():
    tree, rng = learned.stored(12), np.random.default_rng(13)
    params = params_of(tree)
    plane = rng.uniform(0, 255, (20, 20))
    target, direction = rng.standard_normal((2, 20, 20))
    slope = jax.jit(jax.grad(lambda x: jnp.sum(dncnn.noise(params, x) * target)))(
        plane.astype(np.float32)
    )
    ends = [
        np.sum(learned.oracle(tree, plane + s * direction, 2.0) * target) for s in (1e-5, -1e-5)
    ]
    assert float(jnp.sum(slope * direction)) == pytest.approx((ends[0] - ends[1]) / 2e-5, rel=1e-3)


def test_the_gradients_of_a_convolution_are_those_that_jax_derives():
    rng = np.random.default_rng(19)
    sizes = (1, 7, 6, 3), (3, 3, 3, 2), (1, 5, 4, 2)
    x, kernel, cotangent = (jnp.asarray(rng.standard_normal(size), jnp.float32) for size in sizes)
    derived = jax.vjp(lambda x, k: dncnn._correlate(x, k, 0), x, kernel)[1](cotangent)
    for ours, expected in zip(
        jax.vjp(dncnn._convolve, x, kernel)[1](cotangent), derived, strict=True
    ):
        np.testing.assert_allclose(ours, expected, atol=1e-5)


def damaged(change):
    tree = copy.deepcopy(learned.stored(14))
    change(tree)
    return learned.data_of(tree)


def set_kernel(value):
    return lambda tree: tree["params"]["conv_end"].update(kernel=value)


DAMAGED = {
    "empty": b"",
    "truncated": learned.data_of(learned.stored(14))[:-7],
    "noise": np.random.default_rng(15).bytes(1000),
    "a number": serialization.msgpack_serialize(3),
    "other names": serialization.msgpack_serialize({"params": {"dense": np.ones(3)}}),
    "no last layer": damaged(lambda tree: tree["params"].pop("conv_end")),
    "no statistics": damaged(lambda tree: tree["batch_stats"].pop("ConvBNBlock_1")),
    "blind": damaged(
        lambda tree: tree["params"]["conv_start"].update(kernel=np.ones((3, 3, 1, 5)))
    ),
    "another width": damaged(set_kernel(np.ones((3, 3, 4, 2), np.float32))),
    "another side": damaged(set_kernel(np.ones((5, 5, 5, 2), np.float32))),
    "not finite": damaged(set_kernel(np.full((3, 3, 5, 2), np.nan, np.float32))),
    "text": damaged(set_kernel("kernel")),
}


@pytest.mark.parametrize("name", DAMAGED)
def test_damaged_weights_are_refused_in_one_sentence(name):
    with pytest.raises(InputError) as error:
        dncnn.parse(DAMAGED[name])
    assert_one_sentence(str(error.value), "weights", f"{len(DAMAGED[name])} bytes")


def test_the_real_weights_are_folded_exactly_to_float32(real):
    params, tree = real
    assert [k.shape for k in params.kernels[:2]] == [(3, 3, 1, 64), (3, 3, 64, 64)]
    assert len(params.kernels) == 17
    plane = oracles.luma(oracles.photo(16, 24, 30).astype(np.float64))
    ours = dncnn.noise(params, plane.astype(np.float32), 5.0)
    np.testing.assert_allclose(ours, learned.oracle(tree, plane, 5.0), atol=2e-4)


def test_the_real_weights_find_noise_that_was_added(real):
    rng = np.random.default_rng(17)
    scene = oracles.luma(oracles.photo(18, 64, 64, noise=0.0).astype(np.float64))
    added = 5 * rng.standard_normal(scene.shape)
    found = np.asarray(dncnn.noise(real[0], (scene + added).astype(np.float32), 5.0))
    assert np.corrcoef(found.ravel(), added.ravel())[0, 1] > 0.9


@pytest.mark.skipif("DIPPAS_DRESDEN" not in os.environ, reason="DIPPAS_DRESDEN is not set")
def test_a_real_photo_is_found_better_than_by_the_wavelet_filter(real):
    folder = Path(os.environ["DIPPAS_DRESDEN"]) / "Nikon_D70_0"
    with Image.open(folder / "crop512" / "Nikon_D70_0_19446.png") as file:
        pixels = np.asarray(file.convert("RGB"))
    pattern = correlation.pattern(pixels, np.load(folder / "prnu.npy"))
    z = float(correlation.ncc(dncnn.residual(real[0], pixels), pattern)) * 512
    assert z == pytest.approx(32.2, abs=0.2)  # the wavelet filter at σ 3: 27.8
