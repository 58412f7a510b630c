"""Frequencies below those of the blocks: parts against loops and SciPy, and what they come to."""

import jax
import numpy as np
import pytest
import scipy.ndimage

from dippas_jax import config
from dippas_jax.datasets import synthetic
from dippas_jax.signal import tiles
from dippas_jax.sparse import anonymize as sparse
from dippas_jax.sparse import balance, leakage, pyramid
from tests import oracles

SIDE = 128
KEY = jax.random.key(0)
CAMERA = synthetic.Camera(strength=0.02)
K = np.float32(CAMERA.fingerprint(SIDE, SIDE))


def band(plane):
    """A plane's frequencies from 1/32 to 1/16 cycle a pixel."""
    spectrum = np.fft.fft2(plane)
    rows, columns = (np.abs(np.fft.fftfreq(side)) for side in plane.shape)
    place = np.maximum(rows[:, None], columns)
    return np.real(np.fft.ifft2(spectrum * ((place >= 1 / 32) & (place < 1 / 16))))


def photo(size=(SIDE, SIDE)):
    return synthetic.expose(CAMERA, synthetic.scene(0, SIDE)[: size[0], : size[1]], 0)


@pytest.mark.parametrize("kind", [np.uint8, np.uint16, np.float32])
def test_a_reduced_photo_has_the_means_of_four_by_four_pixels(kind):
    pixels = np.random.default_rng(0).integers(0, 256, (10, 13, 3)).astype(kind)
    found = pyramid.reduced(pixels)
    assert found.shape == (3, 4, 3)
    scale = 255 / 65535 if kind == np.uint16 else 1.0
    expected = scale * pixels[4:8, 8:12].astype(float).mean((0, 1))
    np.testing.assert_allclose(found[1, 2], expected, rtol=1e-5)
    edge = np.concatenate([pixels[8:10], pixels[9:10], pixels[9:10]])[:, [12]].astype(float)
    np.testing.assert_allclose(found[2, 3], scale * edge.mean((0, 1)), rtol=1e-5)


def test_it_is_enlarged_as_scipy_does_and_tile_by_tile_alike():
    plane = np.random.default_rng(1).normal(size=(5, 7, 3)).astype(np.float32)
    whole = pyramid.enlarged(plane, tiles.Tile(0, 0, 18, 27))
    rows, columns = ((np.arange(side) + 0.5) / 4 - 0.5 for side in (18, 27))
    places = np.meshgrid(rows, columns, indexing="ij")
    for channel in range(3):
        expected = scipy.ndimage.map_coordinates(
            plane[..., channel], places, order=1, mode="nearest"
        )
        np.testing.assert_allclose(whole[..., channel], expected, atol=1e-5)
    tile = tiles.Tile(6, 11, 9, 16)
    np.testing.assert_allclose(pyramid.enlarged(plane, tile), whole[tile.part], atol=1e-6)


def test_what_is_dropped_is_noise_below_the_blocks_frequencies():
    rng = np.random.default_rng(2)
    small = np.full((40, 36, 3), 100, np.float32) + rng.normal(size=(40, 36, 3)).astype(np.float32)
    faint = pyramid.dropped(small, 50.0)  # all but the blocks' means
    assert np.abs(pyramid.dropped(small, 0.0)).max() < 1e-3, "at threshold 0 nothing is dropped"
    inner = np.s_[8:-8, 8:-8]
    kernel = np.array([1, 4, 6, 4, 1]) / 16
    smooth = scipy.ndimage.convolve1d(scipy.ndimage.convolve1d(small, kernel, 0), kernel, 1)
    agree = np.corrcoef(faint[inner].ravel(), smooth[inner].ravel())[0, 1]
    assert agree > 0.8
    assert faint[inner].std() < 0.6


def test_the_response_is_that_of_numpy():
    rng = np.random.default_rng(3)
    one, other = rng.normal(size=(2, 32, 48, 3)).astype(np.float32)
    pattern = rng.normal(size=(32, 48)).astype(np.float32)
    expected = np.sum(band(oracles.luma(other - one)) * pattern)
    np.testing.assert_allclose(pyramid.response(one, other, pattern), expected, rtol=1e-3)


@pytest.mark.slow
def test_photos_whose_reduction_holds_no_block_are_left_alone():
    sample = leakage.sample(KEY, photo((64, 64)), None, tiles.LOSSLESS)
    assert sample.low == pyramid.Low()
    assert pyramid.taken(sample.parts[0].levels, sample.low) == 0


@pytest.fixture(scope="module")
def versions():
    """A calm photo with K in it and one without: as they came, as treated, without this stage."""
    smooth = scipy.ndimage.gaussian_filter(synthetic.scene(0, SIDE), (16, 16, 0))
    scene = 0.3 + 0.1 * smooth
    photos = [
        synthetic.expose(camera, scene, 0) for camera in (CAMERA, synthetic.Camera(strength=0.0))
    ]
    made = [photos]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(balance, "UPDATES", 1)
        patch.setattr(sparse, "MOVES", 0)
        for most in (pyramid.MOST, 0.0):
            patch.setattr(pyramid, "MOST", most)
            made.append([sparse.anonymize(KEY, x, None, config.Sparse()).pixels for x in photos])
    return made


@pytest.mark.slow
def test_less_is_left_of_an_unknown_camera_from_1_32_to_1_16(versions):
    grey = band(oracles.luma(versions[0][0]) * K)
    before, treated, without = (
        np.sum(band(oracles.luma(one.astype(float) - other)) * grey) for one, other in versions
    )
    assert without > 0.3 * before
    assert abs(treated) < 0.5 * without


@pytest.mark.slow
def test_it_costs_little(versions):
    (pixels, _), *made = versions
    with_it, without = (oracles.psnr(one, pixels) for one, _ in made)
    assert with_it > without - 2
