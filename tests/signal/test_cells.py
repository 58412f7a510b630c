"""Cells of frequency and texture: against loops and SciPy's filters."""

import jax
import numpy as np
import pytest
import scipy.ndimage

from dippas_jax.signal import cells
from tests import oracles

SIZE = (64, 80)

products = jax.jit(cells.products)
texture = jax.jit(cells.texture)
classes = jax.jit(cells.classes)


def oracle_bands(plane):
    """The seven parts of a plane, frequency by frequency."""
    spectrum = np.fft.fft2(np.asarray(plane, np.float64))
    parts = np.zeros((7, *plane.shape), complex)
    for i, row in enumerate(np.abs(np.fft.fftfreq(plane.shape[0]))):
        for j, column in enumerate(np.abs(np.fft.fftfreq(plane.shape[1]))):
            place = 16 * max(row, column)
            for band in range(7):
                parts[band, i, j] = max(0.0, 1 - abs(place - band - 1)) * spectrum[i, j]
    return np.real(np.fft.ifft2(parts, axes=(1, 2)))


def oracle_texture(pixels):
    grey = np.asarray(pixels, np.float64) @ np.array([0.299, 0.587, 0.114])
    rows, columns = np.gradient(scipy.ndimage.uniform_filter(grey, 5, mode="nearest"))
    return scipy.ndimage.uniform_filter(np.hypot(rows, columns), 9, mode="nearest")


@pytest.fixture(scope="module")
def photo():
    return oracles.photo(1, *SIZE)


def test_texture_is_the_mean_gradient_of_scipys_filters(photo):
    np.testing.assert_allclose(texture(photo), oracle_texture(photo), atol=2e-3)


def test_every_pixel_belongs_once_to_the_classes_and_a_quarter_of_them_to_each(photo):
    gradient = oracle_texture(photo)
    where = np.asarray(classes(gradient, cells.quantiles(gradient)))
    np.testing.assert_allclose(where.sum(0), 1, atol=1e-5)
    np.testing.assert_allclose(where.mean((1, 2)), 0.25, atol=0.02)
    order = np.argsort(gradient, axis=None)
    eighth = order.size // 8
    np.testing.assert_allclose(where[0].ravel()[order[:eighth]], 1, atol=0.02)
    np.testing.assert_allclose(where[3].ravel()[order[-eighth:]], 1, atol=0.02)


def test_products_are_those_of_the_oracle_and_add_up(photo):
    rng = np.random.default_rng(0)
    plane, pattern = rng.standard_normal((2, *SIZE))
    gradient = oracle_texture(photo)
    where = np.asarray(classes(gradient, cells.quantiles(gradient)))
    sums, _ = products(np.float32(plane), np.float32(pattern), where)
    together = oracle_bands(plane) * oracle_bands(pattern)
    expected = [[np.sum(part * kind) for kind in where] for part in together]
    np.testing.assert_allclose(sums, expected, rtol=1e-3, atol=1e-2)


def test_seen_adds_residuals_up_each_over_its_sigma(photo):
    residuals = {sigma: oracles.residual(photo, sigma) for sigma in cells.SIGMAS}
    even = residuals[1] + residuals[2] / 2 + residuals[5] / 5
    np.testing.assert_allclose(jax.jit(cells.seen)(photo), even, atol=2e-2)
    sizes = [np.std(residuals[sigma] / sigma) for sigma in cells.SIGMAS]
    assert max(sizes) < 3 * min(sizes), "none is hidden behind another"


def test_independent_planes_give_what_chance_is_said_to_give():
    """Also in the lowest band, where hundreds of neighbours agree."""
    rng = np.random.default_rng(0)
    where = np.full((4, *SIZE), 0.25, np.float32)
    z = []
    for _ in range(60):
        plane, pattern = np.float32(rng.standard_normal((2, *SIZE)))
        sums, chance = products(plane, pattern, where)
        z.append(np.asarray(sums / chance)[:, 0])
    np.testing.assert_allclose(np.std(z, axis=0), 1, atol=0.3)


def test_scores_by_band_and_by_texture_of_independent_planes_are_those_of_chance():
    rng = np.random.default_rng(1)
    gradient = scipy.ndimage.gaussian_filter(rng.standard_normal(SIZE), 6)
    where = np.asarray(classes(gradient, cells.quantiles(gradient)))
    pairs = np.float32(rng.standard_normal((100, 2, *SIZE)))
    z = [cells.visible(*map(np.asarray, products(*pair, where))) for pair in pairs]
    np.testing.assert_allclose(np.std([list(one.values()) for one in z], axis=0), 1, atol=0.25)
    nothing = np.zeros((7, 4))
    assert set(cells.visible(nothing, nothing).values()) == {0.0}


def test_a_flat_photo_has_classes_too():
    flat = np.full((*SIZE, 3), 200, np.uint8)
    gradient = np.asarray(texture(flat))
    where = np.asarray(classes(gradient, cells.quantiles(gradient)))
    assert np.isfinite(where).all()
    np.testing.assert_allclose(where.sum(0), 1, atol=1e-5)


def test_quotients_have_the_names_of_bands_and_textures():
    before = np.ones((7, 4))
    after = np.zeros((7, 4))
    after[2], after[:, 3] = 0.5, 0.25
    named = cells.by_name(after, before)
    assert tuple(named) == cells.NAMES
    assert named["3/16 cycles"] == pytest.approx((3 * 0.5 + 0.25) / 4)
    assert named["texture 1"] == pytest.approx(0.5 / 6)
    assert np.isnan(cells.by_name(after, 0 * before)["texture 4"])
