"""Noise residuals, against NumPy, SciPy and PyWavelets in float64."""

import functools
import os
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from dippas_jax.signal import correlation, residual
from tests import oracles

SIZES = [(64, 64), (33, 47)]
extract = jax.jit(lambda pixels, sigma: residual.residual(pixels, sigma=sigma))
flatten = jax.jit(residual.wiener_dft)


@pytest.mark.parametrize("size", SIZES)
def test_residual_is_that_of_the_oracle(size):
    pixels = oracles.photo(0, *size)
    ours = extract(pixels, residual.SIGMA)
    assert ours.dtype == jnp.float32
    np.testing.assert_allclose(ours, oracles.residual(pixels), atol=2e-4)


@pytest.mark.parametrize("sigma", [2.0, 5.0])
def test_another_sigma_needs_no_other_program(sigma):
    pixels = oracles.photo(1, 64, 64)
    ours = extract(pixels, sigma)
    np.testing.assert_allclose(ours, oracles.residual(pixels, sigma), atol=2e-4)


def test_denoising_residual_of_channels_is_that_of_the_oracle():
    pixels = oracles.photo(2, 33, 47)
    planes = np.moveaxis(pixels, -1, 0)
    ours = jax.jit(residual.denoising_residual)(planes)
    for plane, noise in zip(planes, ours, strict=True):
        np.testing.assert_allclose(noise, oracles.denoising_residual(plane), atol=1e-4)


@pytest.mark.parametrize("size", [*SIZES, (2, 3)])
def test_zero_mean_is_that_of_the_oracle_and_of_every_bayer_phase(size):
    plane = np.random.default_rng(3).normal(50, 10, size).astype(np.float32)
    ours = np.asarray(residual.zero_mean(plane))
    np.testing.assert_allclose(ours, oracles.zero_mean(plane), atol=1e-4)
    for row in (0, 1):
        for column in (0, 1):
            phase = ours[row::2, column::2]
            np.testing.assert_allclose(phase.mean(0), 0, atol=1e-4)
            np.testing.assert_allclose(phase.mean(1), 0, atol=1e-4)


@pytest.mark.parametrize("size", SIZES)
def test_wiener_dft_is_that_of_the_oracle_though_its_gain_is_not_symmetric(size):
    plane = np.random.default_rng(4).standard_normal(size).astype(np.float32)
    plane += 2 * np.cos(np.arange(size[1]) * np.pi / 4)
    np.testing.assert_allclose(flatten(plane), oracles.wiener_dft(plane), atol=1e-5)


def test_wiener_dft_takes_away_a_periodic_pattern_and_leaves_noise():
    noise = np.random.default_rng(5).standard_normal((64, 64)).astype(np.float32)
    periodic = 2 * np.cos(np.arange(64) * np.pi / 4)
    left = np.asarray(flatten(noise + periodic))
    assert np.corrcoef(left.ravel(), noise.ravel())[0, 1] > 0.8
    assert np.abs(np.mean(left * periodic)) < 0.1 * np.mean(periodic**2)


def test_batch_vmap_and_float_pixels_give_what_single_photos_give():
    photos = np.stack([oracles.photo(seed, 32, 32) for seed in range(3)])
    shallow = functools.partial(residual.residual, levels=1)
    singles = np.stack([jax.jit(shallow)(pixels) for pixels in photos])
    np.testing.assert_allclose(jax.jit(shallow)(photos), singles, atol=1e-5)
    np.testing.assert_allclose(jax.jit(jax.vmap(shallow))(photos), singles, atol=1e-5)
    as_float = jax.jit(shallow)(photos[0].astype(np.float32))
    np.testing.assert_allclose(as_float, singles[0], atol=1e-5)


@pytest.mark.parametrize("value", [0, 77, 255])
def test_a_flat_photo_has_no_residual_and_nothing_can_be_said_of_it(value):
    noise = extract(np.full((64, 64, 3), value, np.uint8), residual.SIGMA)
    np.testing.assert_array_equal(noise, 0)
    assert bool(jnp.isnan(correlation.ncc(noise, jnp.ones((64, 64)))))


@pytest.mark.slow
def test_gradients_are_finite_on_flat_and_on_half_flat_photos():
    half = oracles.photo(6, 32, 32).astype(np.float32)
    half[:, :16] = 128
    target = np.random.default_rng(7).standard_normal((32, 32)).astype(np.float32)
    for pixels in (np.full((32, 32, 3), 128, np.float32), half):
        assert bool(jnp.isfinite(sensitivity(pixels, target)).all())
    assert float(jnp.abs(sensitivity(half, target)).max()) > 0


@jax.jit
def sensitivity(pixels, target):
    return jax.grad(lambda x: jnp.sum(residual.residual(x, levels=2) * target))(pixels)


def test_gradient_is_what_finite_differences_say():
    pixels = oracles.photo(8, 32, 32).astype(np.float32)
    rng = np.random.default_rng(9)
    target = rng.standard_normal((32, 32)).astype(np.float32)
    direction = rng.standard_normal(pixels.shape).astype(np.float32)
    slope = float(np.sum(np.asarray(sensitivity(pixels, target), np.float64) * direction))
    ends = [
        np.sum(oracles.residual(pixels.astype(float) + step * direction, levels=2) * target)
        for step in (1e-4, -1e-4)
    ]
    assert slope == pytest.approx((ends[0] - ends[1]) / 2e-4, rel=1e-2)


# On 512x512 photos, extracted with an independent implementation: photo, NCC with the camera's K.
GOLDEN = {
    "Nikon_D70_0/crop512/Nikon_D70_0_19446.png": 0.05428,
    "Nikon_D70_0/published/inpainting/Nikon_D70_0_19446.png": -0.00102,
    "Nikon_D70_1/crop512/Nikon_D70_1_20552.png": 0.03248,
    "Nikon_D70s_0/published/patchmatch/Nikon_D70s_0_21782.png": 0.00066,
}


@pytest.mark.skipif("DIPPAS_DRESDEN" not in os.environ, reason="DIPPAS_DRESDEN is not set")
def test_real_photos_correlate_with_their_cameras_as_published():
    folder = Path(os.environ["DIPPAS_DRESDEN"])
    for name, expected in GOLDEN.items():
        with Image.open(folder / name) as file:
            pixels = np.asarray(file.convert("RGB"))
        noise = extract(pixels, residual.SIGMA)
        np.testing.assert_allclose(noise, oracles.residual(pixels), atol=1e-3)
        fingerprint = np.load(folder / name.split("/")[0] / "prnu.npy")
        pattern = correlation.pattern(pixels, fingerprint)
        assert float(correlation.ncc(noise, pattern)) == pytest.approx(expected, abs=2e-4)
