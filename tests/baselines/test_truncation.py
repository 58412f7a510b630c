"""Frequencies left out: against SciPy, and what it does to a photo."""

import jax
import numpy as np
import pytest
from scipy import fft

from dippas_jax.baselines import truncation
from dippas_jax.types import InputError
from tests import oracles

KEY = jax.random.key(0)
PHOTO = oracles.photo(0, 72, 101)


def slow(pixels, share):
    height, width, _ = pixels.shape
    made = np.empty(pixels.shape)
    for channel in range(3):
        found = fft.dctn(pixels[..., channel].astype(float))
        for i, j in np.ndindex(height, width):
            if i + j >= share * min(height, width):
                found[i, j] = 0
        made[..., channel] = fft.idctn(found)
    return np.clip(np.rint(made), 0, 255).astype(np.uint8)


@pytest.mark.parametrize("share", [0.9, 0.2, 1.5])
def test_it_is_the_triangle_of_the_oracle(share):
    ours = np.asarray(truncation.triangle(KEY, PHOTO, share=share))
    expected = slow(PHOTO, share)
    assert ours.dtype == np.uint8
    assert np.mean(ours != expected) < 1e-3  # on a half either way
    assert np.abs(ours.astype(int) - expected).max() <= 1


def test_a_share_beyond_both_sides_keeps_all_and_less_keeps_less():
    np.testing.assert_array_equal(truncation.triangle(KEY, PHOTO, share=173 / 72), PHOTO)
    psnr = [
        oracles.psnr(PHOTO, np.asarray(truncation.triangle(KEY, PHOTO, share=share)))
        for share in (1.5, 0.9, 0.2)
    ]
    assert psnr == sorted(psnr, reverse=True)
    default = truncation.triangle(jax.random.key(1), PHOTO, np.ones((72, 101)))
    np.testing.assert_array_equal(default, truncation.triangle(KEY, PHOTO, share=0.9))


@pytest.mark.parametrize("level", [0, 1, 128, 255])
def test_one_colour_stays(level):
    plain = np.full(PHOTO.shape, level, np.uint8)
    np.testing.assert_array_equal(truncation.triangle(KEY, plain), plain)


def test_grey_stays_grey():
    grey = PHOTO[..., :1].repeat(3, 2)
    result = np.asarray(truncation.triangle(KEY, grey))
    assert (result == result[..., :1]).all()


@pytest.mark.parametrize("share", [0.0, -1.0, float("nan")])
def test_a_share_that_keeps_nothing_is_refused(share):
    with pytest.raises(InputError, match="cannot be kept; choose"):
        truncation.triangle(KEY, PHOTO, share=share)
