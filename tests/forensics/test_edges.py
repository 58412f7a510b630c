"""Edges, against Canny's method written out, and correlation on them against NumPy."""

import jax
import numpy as np
import pytest
import scipy.ndimage

from dippas_jax.forensics import edges
from dippas_jax.signal import edges as signal_edges
from tests import oracles

SIZE = (65, 83)


def canny(grey):
    """Canny (1986) with the module's thresholds, a pixel at a time."""
    smooth = scipy.ndimage.gaussian_filter(grey, signal_edges.BLUR, mode="nearest")
    rows, columns = (scipy.ndimage.sobel(smooth, axis=axis) for axis in (0, 1))
    size = np.hypot(rows, columns)
    strong = max(np.quantile(size, signal_edges.SMOOTH), 8 * signal_edges.FAINTEST)
    weak = signal_edges.WEAK * strong
    ridge = np.zeros(grey.shape, bool)
    for y in range(1, grey.shape[0] - 1):
        for x in range(1, grey.shape[1] - 1):
            if size[y, x] < weak:
                continue
            step = np.array([rows[y, x], columns[y, x]])
            step = step / np.abs(step).max()  # to the border of the 3x3 neighbourhood
            sides = scipy.ndimage.map_coordinates(
                size, [[y + step[0], y - step[0]], [x + step[1], x - step[1]]], order=1
            )
            ridge[y, x] = size[y, x] >= sides.max()
    parts, _ = scipy.ndimage.label(ridge, np.ones((3, 3)))
    return ridge & np.isin(parts, np.setdiff1d(parts[ridge & (size >= strong)], [0]))


def mask_of_oracle(pixels):
    planes = np.moveaxis(pixels.astype(np.float64), -1, 0)
    for _ in range(2):
        planes = [plane - oracles.denoising_residual(plane, edges.SIGMA) for plane in planes]
    found = canny(oracles.luma(np.stack(planes, -1)))
    y, x = np.mgrid[
        -signal_edges.RADIUS : signal_edges.RADIUS + 1,
        -signal_edges.RADIUS : signal_edges.RADIUS + 1,
    ]
    return scipy.ndimage.binary_dilation(found, y**2 + x**2 <= signal_edges.RADIUS**2)


def test_mask_is_that_of_the_oracle():
    pixels = oracles.photo(0, *SIZE, noise=4.0)
    ours = edges.mask(pixels)
    assert ours.dtype == bool
    assert 0.2 < ours.mean() < 0.8
    # Ties on ridges are broken by rounding: a pixel of an edge, and the disk around it.
    assert (ours != mask_of_oracle(pixels)).mean() < 0.01


def test_mask_of_a_step_is_near_the_step_and_nowhere_else():
    pixels = np.full((*SIZE, 3), 60, np.uint8)
    pixels[:, 42:] = 180
    ours = edges.mask(pixels)
    distance = np.abs(np.arange(83) - 41.5)
    assert ours[8:-8, distance < signal_edges.RADIUS].all()
    # The wavelet filter rings by a few grey levels beside a step of 120.
    assert not ours[:, distance > signal_edges.RADIUS + 12].any()


def test_noise_alone_has_no_edges():
    rng = np.random.default_rng(6)
    pixels = np.clip(np.round(rng.normal(128, 3, (*SIZE, 3))), 0, 255).astype(np.uint8)
    assert edges.mask(pixels).mean() < 0.02


@pytest.mark.parametrize("value", [0, 77, 255])
def test_a_flat_photo_has_no_edges_and_nothing_can_be_said_of_it(value):
    ours = edges.mask(np.full((*SIZE, 3), value, np.uint8))
    assert not ours.any()
    plane = np.random.default_rng(1).standard_normal(SIZE).astype(np.float32)
    assert np.isnan(edges.ncc(plane, plane, ours))


def test_ncc_is_that_of_the_pixels_of_the_mask_alone():
    rng = np.random.default_rng(2)
    noise, planes = rng.standard_normal((40, 50)), rng.standard_normal((3, 40, 50))
    chosen = rng.random((40, 50)) < 0.3
    ours = jax.jit(edges.ncc)(noise.astype(np.float32), planes.astype(np.float32), chosen)
    expected = [oracles.ncc(noise[chosen][None], plane[chosen][None]) for plane in planes]
    np.testing.assert_allclose(ours, expected, atol=1e-6)


def test_a_camera_left_near_edges_only_is_found_there_better_than_everywhere():
    plane = np.random.default_rng(3).standard_normal(SIZE).astype(np.float32)
    chosen = edges.mask(oracles.photo(4, *SIZE))
    left = np.where(chosen, plane, 0)
    noise = left + 5 * np.random.default_rng(5).standard_normal(SIZE).astype(np.float32)
    there = float(edges.ncc(noise, plane, chosen)) * np.sqrt(chosen.sum())
    everywhere = float(edges.ncc(noise, plane, np.ones_like(chosen))) * np.sqrt(chosen.size)
    assert there > everywhere > 0
