"""The sliding DCT, against SciPy's transform of one block at a time."""

import numpy as np
import pytest
import scipy.fft

from dippas_jax.baselines import dct
from tests import oracles

HEIGHT, WIDTH = 65, 70
OPPONENTS = np.array([[1 / 3, 1 / 3, 1 / 3], [1 / 2, 0, -1 / 2], [1 / 4, -1 / 2, 1 / 4]])


def slow_plane(plane, sigma):
    """All places of the grid, two pixels apart, block after block."""
    ends = [(8, 8 + (-side) % 8) for side in plane.shape]
    noisy = np.pad(plane, ends, mode="reflect")
    pilot = None
    for _ in range(2):
        total, count = np.zeros_like(noisy), np.zeros_like(noisy)
        for y in range(0, noisy.shape[0] - 7, 2):
            for x in range(0, noisy.shape[1] - 7, 2):
                here = slice(y, y + 8), slice(x, x + 8)
                parts = scipy.fft.dctn(noisy[here], norm="ortho")
                mean = parts[0, 0]
                if pilot is None:
                    parts = np.where(np.abs(parts) >= 2.7 * sigma, parts, 0)
                else:
                    power = scipy.fft.dctn(pilot[here], norm="ortho") ** 2
                    parts = parts * power / (power + sigma**2)
                parts[0, 0] = mean
                total[here] += scipy.fft.idctn(parts, norm="ortho")
                count[here] += 1
        pilot = total / count
    return pilot[8 : 8 + plane.shape[0], 8 : 8 + plane.shape[1]]


@pytest.fixture(scope="module")
def pixels():
    return oracles.photo(3, HEIGHT, WIDTH, noise=5.0)


def test_it_is_that_of_the_oracle(pixels):
    # Within a block of the padded border, the oracle's places do not go round; there the pilot
    # differs, and with it up to 16 pixels of the photo.
    inside = slice(16, -16)
    colours = np.moveaxis(pixels.astype(float) @ OPPONENTS.T, -1, 0)
    sigmas = 5.0 * np.linalg.norm(OPPONENTS, axis=1)
    planes = [slow_plane(plane, sigma) for plane, sigma in zip(colours, sigmas, strict=True)]
    slow = np.stack(planes, -1) @ np.linalg.inv(OPPONENTS).T
    error = np.abs(np.asarray(dct.denoised(pixels, 5.0)) - slow)[inside, inside]
    # A coefficient at the threshold may fall on either side of it.
    assert np.quantile(error, 0.99) < 1e-3
    assert error.max() < 0.5


def test_noise_goes_and_the_picture_stays(pixels):
    clean = oracles.photo(3, HEIGHT, WIDTH, noise=0.0)
    ours = np.clip(np.round(dct.denoised(pixels, 5.0)), 0, 255).astype(np.uint8)
    assert oracles.psnr(clean, ours) > oracles.psnr(clean, pixels) + 3


def test_a_flat_photo_comes_through_and_a_grey_one_stays_grey(pixels):
    flat = np.full((HEIGHT, WIDTH, 3), (0, 77, 255), np.uint8)
    np.testing.assert_allclose(dct.denoised(flat, 5.0), flat, atol=1e-3)
    grey = np.repeat(pixels[..., :1], 3, -1)
    ours = np.asarray(dct.denoised(grey, 5.0))
    np.testing.assert_array_equal(ours, np.repeat(ours[..., :1], 3, -1))
