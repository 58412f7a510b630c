"""Identification: every score against NumPy and SciPy, and the camera found that took the photo."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

from benchmarks import statistics
from dippas_jax.forensics import identification
from dippas_jax.signal import correlation, extractors
from dippas_jax.types import InputError
from tests import oracles, tiny

SENSOR = (80, 96)
PHOTO = (64, 64)


def shot(seed, plane, strength=6):
    """A photo of the camera with that fingerprint."""
    return oracles.photo(seed, *plane.shape, strength * plane)


def planes(count, height=64, width=64):
    return np.stack([tiny.fingerprint(height, width, seed) for seed in range(count)])


def p_of(z):
    return scipy.stats.norm.sf(np.float64(z))


def test_scores_of_a_photo_are_those_of_the_oracle():
    cameras = planes(3)
    pixels = shot(0, cameras[1])
    match = identification.compare(pixels, cameras)
    noise = oracles.residual(pixels)
    patterns = [oracles.pattern(pixels, k) for k in cameras]
    ncc = np.array([oracles.ncc(noise, pattern) for pattern in patterns])
    weighted = noise * oracles.luma(pixels)
    surfaces = [oracles.circular_cross_correlation(weighted, k) for k in cameras]
    np.testing.assert_allclose(match.ncc, ncc, atol=1e-5)
    np.testing.assert_allclose(match.z, 64 * ncc, atol=1e-3)
    np.testing.assert_allclose(match.pce, [oracles.pce(s) for s in surfaces], rtol=1e-3, atol=1e-3)
    spread = []
    for k, pattern in zip(cameras, patterns, strict=True):
        norms = np.linalg.norm(noise) * np.linalg.norm(pattern)
        shifted = [np.roll(k, (y, x), (0, 1)) for y in range(0, 64, 8) for x in range(0, 64, 8)]
        products = [np.sum((weighted - weighted.mean()) * (k - k.mean())) for k in shifted[1:]]
        spread.append(max(64 * math.sqrt(np.mean(np.square(products))) / norms, 1))
    np.testing.assert_allclose(match.spread, spread, rtol=1e-4)
    np.testing.assert_allclose(match.p_value, p_of(64 * ncc / spread), rtol=5e-2, atol=1e-6)
    np.testing.assert_array_equal(match.shift, np.zeros((3, 2)))
    assert match.p_value.dtype == np.float64


def test_the_camera_that_took_the_photo_is_found_and_no_other():
    cameras = planes(4)
    for own in range(4):
        match = identification.compare(shot(own, cameras[own]), cameras)
        assert match.p_value[own] < 1e-9
        assert min(np.delete(match.p_value, own)) > 1e-3


def test_the_rest_where_nothing_is_drawn_is_judged_as_the_whole_is():
    """A photo with noise where it is bright alone: other cameras spread by more than 1."""
    height, width = 128, 128
    plane, other = planes(2, height, width)
    pixels = shot(0, plane)
    pixels[:, : width // 2] = 20
    match = identification.compare(pixels, other[None])
    found = identification.drawn(pixels, other)
    assert match.spread[0] > 1.2
    assert found.rest == pytest.approx(match.z[0], abs=1e-2)
    assert found.spread == pytest.approx(match.spread[0], rel=1e-3)


def test_another_sigma_is_another_residual():
    cameras = planes(1)
    pixels = shot(0, cameras[0])
    ours = identification.compare(pixels, cameras, sigma=5.0).ncc[0]
    assert ours == pytest.approx(
        oracles.ncc(oracles.residual(pixels, 5.0), oracles.pattern(pixels, cameras[0])), abs=1e-5
    )


@pytest.mark.parametrize(("sensor", "corner"), [((72, 70), (5, 2)), ((64, 70), (0, 6))])
def test_search_finds_the_best_position_of_all_that_a_loop_tries(sensor, corner):
    plane = tiny.fingerprint(*sensor)
    rows, columns = (slice(c, c + side) for c, side in zip(corner, PHOTO, strict=True))
    pixels = shot(1, plane[rows, columns])
    noise = oracles.residual(pixels)
    count = [n if n == side else n - side + 1 for n, side in zip(sensor, PHOTO, strict=True)]
    surface = np.zeros(count)
    for position in np.ndindex(*count):
        there = np.roll(plane, np.negative(position), (0, 1))[: PHOTO[0], : PHOTO[1]]
        surface[position] = oracles.ncc(noise, oracles.pattern(pixels, there))
    match = identification.search(pixels, plane)
    assert tuple(match.shift) == corner == np.unravel_index(surface.argmax(), count)
    assert match.ncc == pytest.approx(surface.max(), abs=2e-5)
    assert match.z == pytest.approx(64 * surface.max(), abs=2e-3)
    one = p_of(match.z / match.spread)
    assert match.p_value == pytest.approx(1 - (1 - one) ** surface.size, rel=1e-3, abs=1e-12)


@pytest.fixture(scope="module")
def sensor():
    return tiny.fingerprint(*SENSOR)


def test_search_agrees_with_compare_where_the_photo_was_cut(sensor):
    whole = shot(2, sensor)
    match = identification.search(whole[8:72, 24:88], sensor)
    aligned = identification.compare(whole[8:72, 24:88], sensor[None, 8:72, 24:88])
    assert match.shift.tolist() == [8, 24]
    assert match.ncc == pytest.approx(aligned.ncc[0], abs=1e-5)
    assert match.p_value < 1e-6


@pytest.mark.parametrize("mean", [5.0, -0.5])
def test_a_mean_of_the_fingerprint_changes_no_search(sensor, mean):
    """It belongs to no camera, and agrees with every scene."""
    sensor = sensor - sensor.mean()
    own, other = shot(2, sensor)[8:72, 24:88], shot(3, tiny.fingerprint(*SENSOR, seed=6))[:64, :64]
    for pixels in (own, other):
        found = identification.search(pixels, sensor)
        moved = identification.search(pixels, sensor + np.float32(mean))
        np.testing.assert_array_equal(moved.shift, found.shift)
        assert moved.ncc == pytest.approx(found.ncc, abs=1e-4)
    assert identification.positions(PHOTO, SENSOR) == 17 * 33
    assert identification.positions(PHOTO, (64, 96)) == 64 * 33


def test_search_finds_a_fingerprint_whose_sign_is_turned(sensor):
    part = shot(2, sensor)[8:72, 24:88]
    as_it_is, turned = (identification.search(part, plane) for plane in (sensor, -sensor))
    assert turned.shift.tolist() == [8, 24]
    for name in ("ncc", "z", "pce"):
        assert getattr(turned, name) == pytest.approx(-getattr(as_it_is, name), rel=1e-3)
    assert turned.p_turned == pytest.approx(as_it_is.p_value, rel=1e-2)
    assert turned.p_turned < 1e-6
    assert turned.p_value == as_it_is.p_turned == 1


def test_search_finds_nothing_on_another_sensor(sensor):
    other = tiny.fingerprint(*SENSOR, seed=6)
    every = [identification.search(shot(seed, other)[8:72, 24:88], sensor) for seed in range(6)]
    assert min(min(match.p_value, match.p_turned) for match in every) > 1e-3
    signs = {np.sign(match.z) for match in every}
    assert signs == {-1, 1}, "the largest is by chance of either sign"


@pytest.mark.parametrize("roll", [(0, 0), (3, -5), (-20, 32)])
def test_search_undoes_a_roll_of_the_whole_photo(roll):
    plane = tiny.fingerprint()
    pixels = np.roll(shot(3, plane), roll, (0, 1))
    match = identification.search(pixels, plane)
    assert match.shift.tolist() == [-roll[0], -roll[1]]
    if roll == (0, 0):
        aligned = identification.compare(pixels, plane[None])
        assert match.z == pytest.approx(aligned.z[0], abs=1e-3)
        assert match.pce == pytest.approx(aligned.pce[0], rel=0.05)


def test_a_sensor_that_is_black_in_places_is_searched_where_it_is_not(sensor):
    dead = sensor.copy()
    dead[:, :8] = 0
    dead[:10] = 0
    match = identification.search(shot(2, sensor)[16:, 32:], dead)
    assert match.shift.tolist() == [16, 32]
    nothing = identification.search(shot(2, sensor)[16:, 32:], np.zeros_like(sensor))
    assert all(np.isnan(score) for score in (nothing.ncc, nothing.pce, nothing.p_value))


def test_two_photos_of_one_camera_are_linked_and_two_of_others_not():
    one, other = planes(2)
    a, b, c = shot(0, one, 12), shot(1, one, 12), shot(2, other, 12)
    match = identification.link(a, b)
    assert match.ncc == pytest.approx(
        oracles.ncc(oracles.residual(a), oracles.residual(b)), abs=1e-5
    )
    assert match.p_value < 1e-9
    assert identification.link(a, c).p_value > 1e-3
    assert identification.link(b, a).z == pytest.approx(match.z, abs=1e-4)


def test_every_score_of_a_photo_without_noise_is_undefined():
    flat = np.full((64, 64, 3), 128, np.uint8)
    for match in (
        identification.compare(flat, planes(2)),
        identification.search(flat, tiny.fingerprint()),
        identification.link(flat, shot(0, tiny.fingerprint())),
    ):
        for scores in (match.ncc, match.z, match.pce, match.p_value):
            assert np.isnan(scores).all()


def test_sizes_that_do_not_fit_are_refused_in_one_sentence():
    photo = shot(0, tiny.fingerprint())
    with pytest.raises(InputError, match="64x64 pixels came with fingerprints of 80x96; give"):
        identification.compare(photo, tiny.fingerprint(*SENSOR)[None])
    with pytest.raises(InputError, match="64x64 pixels does not fit into a fingerprint of 64x60"):
        identification.search(photo, tiny.fingerprint(64, 60))
    with pytest.raises(InputError, match="64x64 and 48x64 pixels cannot be linked; give"):
        identification.link(photo, photo[:48])


def test_p_values_of_other_cameras_are_uniform():
    """2,000 pairs of a photo and a foreign fingerprint; 80 photos, 25 fingerprints."""
    draw = np.random.default_rng(11)
    fingerprints = draw.standard_normal((25, 64, 64)).astype(np.float32)
    photos = np.stack([shot(seed, tiny.fingerprint(seed=seed)) for seed in range(80)])
    noises = np.stack([extractors.extract(jnp.float32(pixels)) for pixels in photos])

    @jax.jit
    @jax.vmap
    def scores(noise, pixels):
        return jax.vmap(lambda k: identification._compared(noise, pixels, k))(fingerprints)

    ncc, _, spread = (np.asarray(score).ravel() for score in scores(noises, photos))
    p_values = correlation.p_value(64 * ncc / spread)
    one = identification.compare(photos[0], fingerprints[:2])
    np.testing.assert_allclose(one.p_value, p_values[:2], rtol=1e-3)
    assert len(p_values) == 2000
    assert scipy.stats.kstest(p_values, "uniform").pvalue > 0.01
    assert abs(np.mean(p_values < 0.05) - 0.05) < 0.015


@pytest.mark.slow
def test_a_planted_fingerprint_is_found_as_often_as_theory_predicts():
    (rate,) = statistics.detection(64, cameras=14, strengths=(0.003,), scenes=6)
    assert 0.2 < rate.rate_predicted < 0.8
    assert rate.inside
    assert rate.z_measured == pytest.approx(rate.z_predicted, rel=0.12)
