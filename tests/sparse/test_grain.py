"""New noise in place of what was removed: like it in every place and frequency, and yet another."""

import jax
import numpy as np
import pytest
import scipy.fft
import scipy.ndimage

from dippas_jax import config
from dippas_jax.datasets import synthetic
from dippas_jax.signal import extractors
from dippas_jax.sparse import anonymize as sparse
from dippas_jax.sparse import grain
from tests import oracles

KEY = jax.random.key(0)
ALL = np.ones((16, 16), np.float32)
NOTHING = np.zeros((7, 4), np.float32)


grain_of = jax.jit(grain.grain)


def noise(seed, shape=(96, 131, 3)):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def test_it_has_the_size_of_what_was_removed_place_by_place_and_none_of_its_phases():
    slope = np.linspace(0.5, 4, 131)[:, None]
    removed = (noise(0) * slope).astype(np.float32)
    made = np.asarray(grain_of(KEY, removed, ALL))
    for part in (np.s_[:, 10:40], np.s_[:, 50:80], np.s_[:, 90:120]):
        assert made[part].std() == pytest.approx(removed[part].std(), rel=0.1)
    assert abs(np.corrcoef(made.ravel(), removed.ravel())[0, 1]) < 4 / removed.size**0.5
    other = np.asarray(grain_of(jax.random.key(1), removed, ALL))
    assert abs(np.corrcoef(made.ravel(), other.ravel())[0, 1]) < 4 / removed.size**0.5


def test_it_has_the_spectrum_and_the_colours_of_what_was_removed():
    removed = scipy.ndimage.gaussian_filter(noise(1), (0.6, 0.6, 0))
    removed[..., 2] = removed[..., 0]
    made = np.asarray(grain_of(KEY, removed, ALL))
    spectra = [np.sum(np.abs(scipy.fft.fft2(x, axes=(0, 1))) ** 2, 2) for x in (made, removed)]
    rows, columns = np.abs(np.fft.fftfreq(96)), np.abs(np.fft.fftfreq(131))
    place = np.maximum(rows[:, None], columns)
    for low, high in ((0.12, 0.25), (0.25, 0.38), (0.38, 0.5)):
        band = (place >= low) & (place < high)
        assert spectra[0][band].sum() == pytest.approx(spectra[1][band].sum(), rel=0.15)
    assert np.corrcoef(made[..., 0].ravel(), made[..., 2].ravel())[0, 1] > 0.99


def test_a_window_is_that_of_the_oracle():
    """One window of 16x16 by loops: the size of the removed coefficients times that of noise."""
    known, white = noise(2, (2, 3, 48, 48))
    found = np.asarray(grain._shaped(known, white, ALL))
    taper = np.sin(np.pi * (np.arange(16) + 0.5) / 16)
    taper = taper[:, None] * taper

    def coefficients(plane, row, column):
        part = plane[16 * row : 16 * row + 16, 16 * column : 16 * column + 16]
        return scipy.fft.dctn(part * taper, norm="ortho")

    for channel in range(3):
        around = [coefficients(known[channel], r, c) ** 2 for r in range(3) for c in range(3)]
        size = 2 * np.sqrt(np.mean(around, 0))
        expected = scipy.fft.idctn(size * coefficients(white[channel], 1, 1), norm="ortho") * taper
        np.testing.assert_allclose(found[channel, 16:32, 16:32], expected, atol=1e-4)


def test_only_what_is_missing_is_put_back():
    np.testing.assert_array_equal(grain.gains(NOTHING, 0.0), 0)
    whole = grain.gains(NOTHING, 1.0)
    assert whole[0, 0] == whole[1, 0] == 0, "means, and what 8x8 blocks count as such"
    np.testing.assert_array_equal(whole[2:], 1)
    third = grain.gains(np.full((7, 4), 1 / 3, np.float32), 1.0)
    np.testing.assert_allclose(third[2:], np.sqrt(0.5), rtol=1e-6)
    over = grain.gains(np.full((7, 4), 2.0, np.float32), 1.0)
    np.testing.assert_array_equal(over, 0)


@pytest.mark.slow
def test_a_photo_with_grain_has_noise_again_the_psnr_asked_for_and_no_fingerprint():
    camera = synthetic.Camera()
    pixels = synthetic.expose(camera, synthetic.scene(0, 64), 0)
    k = np.float32(camera.fingerprint(64, 64))
    plain, grainy = (
        sparse.anonymize(KEY, pixels, None, config.Sparse(grain=amount), target_psnr=36.0)
        for amount in (0.0, 1.0)
    )
    assert grainy.psnr == pytest.approx(36.0, abs=0.1)
    assert oracles.psnr(grainy.pixels, pixels) == pytest.approx(grainy.psnr, abs=1e-3)
    sizes = [oracles.residual(x.pixels).std() for x in (plain, grainy)]
    assert sizes[1] > 1.1 * sizes[0]
    assert max(map(abs, extractors.scores(grainy.pixels, k).values())) < 4
    assert min(extractors.scores(pixels, k).values()) > 8
