"""Division by the model, against NumPy, and what it leaves."""

import jax
import numpy as np
import pytest

from dippas_jax.baselines import subtraction
from dippas_jax.datasets import synthetic
from dippas_jax.types import InputError
from tests import oracles

SIDE = 128
KEY = jax.random.key(0)
CAMERA = synthetic.Camera(strength=0.01)
PHOTO = synthetic.expose(CAMERA, synthetic.scene(0, SIDE), 0)
K = np.asarray(CAMERA.fingerprint(SIDE, SIDE), np.float32)


def z(pixels):
    pixels = np.asarray(pixels)
    return oracles.ncc(oracles.residual(pixels), oracles.pattern(pixels, K)) * SIDE


def test_it_is_that_of_the_oracle():
    k = K / np.sqrt(np.mean(np.square(K, dtype=np.float64)))
    turned = k[::-1, ::-1]

    def explained(noise, pattern):
        return np.sum(noise * pattern) / np.sum(pattern**2)

    before = oracles.residual(PHOTO)
    more = oracles.residual(PHOTO * (1 + 1e-3 * turned[..., None])) - before
    share = explained(more, oracles.pattern(PHOTO, turned)) / 1e-3
    gamma = explained(before, oracles.pattern(PHOTO, k)) / share
    assert gamma == pytest.approx(CAMERA.strength, rel=0.2), "what the camera was given"
    dither = np.asarray(jax.random.uniform(KEY, (SIDE, SIDE, 1)))
    expected = np.clip(np.floor(PHOTO / (1 + gamma * k[..., None]) + dither), 0, 255)
    assert np.mean(expected != np.asarray(subtraction.division(KEY, PHOTO, K))) < 1e-2


def test_it_leaves_little_in_a_photo_that_looks_the_same():
    result = subtraction.division(KEY, PHOTO, K)
    assert z(PHOTO) > 15
    assert abs(z(result)) < 0.2 * z(PHOTO)
    assert oracles.psnr(PHOTO, np.asarray(result)) > 40


def test_the_key_decides_and_the_unit_does_not():
    result = subtraction.division(KEY, PHOTO, K)
    np.testing.assert_array_equal(result, subtraction.division(KEY, PHOTO.copy(), K * 2.0**-40))
    assert (np.asarray(subtraction.division(jax.random.key(1), PHOTO, K)) != result).any()


def test_what_cannot_hold_a_fingerprint_comes_through():
    np.testing.assert_array_equal(subtraction.division(KEY, PHOTO, np.zeros_like(K)), PHOTO)
    for level in (0, 1, 128, 255):
        plain = np.full_like(PHOTO, level)
        np.testing.assert_array_equal(subtraction.division(KEY, plain, K), plain)


def test_a_single_wild_value_of_k_doubles_its_pixel_at_most():
    wild = np.zeros_like(K)
    wild[40, 50] = -1e3
    dark = PHOTO.copy()
    dark[40, 50] = 5
    result = np.array(subtraction.division(KEY, dark, wild))
    assert (result[40, 50] > 5).all()
    assert (result[40, 50] <= 10).all()
    result[40, 50] = 5
    np.testing.assert_array_equal(result, dark)


def test_it_asks_for_a_fingerprint():
    with pytest.raises(InputError, match=f"{SIDE}x{SIDE} and no fingerprint; give"):
        subtraction.division(KEY, PHOTO, None)
