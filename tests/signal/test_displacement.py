"""A smooth field of vectors, and what it leaves in its place; the oracle is SciPy's splines."""

import jax
import numpy as np
import pytest
from scipy import interpolate, ndimage

from dippas_jax.signal import displacement, tiles
from dippas_jax.signal.displacement import Field
from tests import oracles

KEY = jax.random.key(3)
ALL = tiles.Tile(0, 0, 300, 420)


def test_the_field_is_a_cubic_spline_through_random_nodes():
    field = Field(KEY, 300, 420, 2.0)
    nodes = field._nodes[0].astype(np.float64)
    knots = [np.arange(-2.0, n + 2) for n in nodes.shape]  # node j lies at place j
    y, x = (np.arange(n) / displacement.LENGTH + 1 for n in (300, 420))
    down, across = (
        interpolate.BSpline.design_matrix(place, knot, 3).toarray()
        for place, knot, axis in zip((y, x), knots, (nodes, nodes.T), strict=True)
    )
    np.testing.assert_allclose(field.of(ALL)[0], down @ nodes @ across.T, atol=1e-5)


def test_the_field_has_the_size_asked_for_and_a_part_is_that_of_the_whole():
    keys = jax.random.split(KEY, 32)
    every = [Field(key, 700, 1300, 2.0).of(tiles.Tile(0, 0, 700, 1300)) for key in keys]
    assert np.std(every) == pytest.approx(2.0, rel=0.03)
    field, whole = Field(keys[0], 700, 1300, 2.0), every[0]
    assert np.abs(whole).max() <= field.reach
    part = tiles.Tile(512, 1024, 100, 200)
    np.testing.assert_array_equal(field.of(part), whole[:, 512:612, 1024:1224])
    assert np.abs(np.diff(whole, axis=1)).max() < 0.1  # pixels a pixel: nothing tears


def test_resampling_is_cubic_convolution():
    """Keys' kernel by its formula, tap by tap."""
    rng = np.random.default_rng(0)
    image = rng.uniform(0, 255, (20, 24, 2))
    field = rng.uniform(-2, 2, (2, 10, 14))

    def kernel(x):
        x = abs(x)
        if x < 1:
            return 1.5 * x**3 - 2.5 * x**2 + 1
        return -0.5 * x**3 + 2.5 * x**2 - 4 * x + 2 if x < 2 else 0.0

    expected = np.zeros((10, 14, 2))
    for i in range(10):
        for j in range(14):
            y, x = 5 + i + field[0, i, j], 5 + j + field[1, i, j]
            for p in range(20):
                for q in range(24):
                    expected[i, j] += kernel(y - p) * kernel(x - q) * image[p, q]
    np.testing.assert_allclose(displacement.resample(image, field), expected, atol=1e-3)


@pytest.mark.parametrize("kind", [np.uint8, np.uint16])
def test_a_photo_is_moved_alike_whatever_its_tiles(monkeypatch, kind):
    rng = np.random.default_rng(1)
    top = np.iinfo(kind).max
    smooth = ndimage.gaussian_filter(rng.uniform(0, top, (150, 200, 3)), (5, 5, 0))
    pixels = np.clip((smooth - smooth.mean()) * 5 + top / 2, 0, top).astype(kind)
    field = Field(KEY, 150, 200, 1.5)
    moved = displacement.displaced(pixels, field)
    rows, columns = field.of(tiles.Tile(0, 0, 150, 200)).astype(np.float64)
    places = np.mgrid[:150, :200] + np.stack([rows, columns])
    for c in range(3):
        spline = ndimage.map_coordinates(pixels[..., c] / top, places, order=3, mode="mirror")
        assert np.abs(moved[..., c] / top - spline).max() < 0.01
    monkeypatch.setattr(tiles, "SIDE", 64)
    again = displacement.displaced(pixels, field)
    apart = np.abs(again.astype(int) - moved)  # what lies between two levels is rounded either way
    assert apart.max() <= 1
    assert (apart > 0).mean() < (1e-4 if top < 65535 else 0.1)
    assert moved.dtype == again.dtype == kind


def test_what_stays_in_place_falls_with_the_frequency_as_foretold():
    """Of plane waves, over as many fields as hold all values."""
    side, size = 1024, 1.5
    keys = jax.random.split(KEY, 16)
    fields = [Field(key, side, side, size).of(tiles.Tile(0, 0, side, side)) for key in keys]
    for frequency in (1 / 32, 1 / 16, 1 / 8, 3 / 16):
        kept = np.mean(np.cos(2 * np.pi * frequency * np.stack(fields)))
        assert kept == pytest.approx(float(displacement.share(size, frequency)), abs=0.03)
    assert displacement.share(0.0, 0.3) == 1


def test_a_fingerprint_no_longer_lies_where_it_was():
    rng = np.random.default_rng(2)
    k = rng.normal(0, 0.03, (256, 256))
    scene = 120 + ndimage.gaussian_filter(rng.normal(0, 300, (256, 256)), 8)
    pixels = np.clip(np.rint(scene * (1 + k)), 0, 255).astype(np.uint8)[..., None].repeat(3, 2)
    moved = displacement.displaced(pixels, Field(KEY, 256, 256, 2.0))

    def z(photo):
        return oracles.ncc(oracles.residual(photo), oracles.pattern(photo, k)) * 256

    assert z(pixels) > 100
    assert abs(z(moved)) < 0.1 * z(pixels)
