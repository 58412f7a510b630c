"""Correlations and peaks: closed forms, oracles and statistics."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

from dippas_jax import types
from dippas_jax.forensics import identification
from dippas_jax.signal import correlation
from dippas_jax.types import InputError
from tests import oracles


def planes(seed, *shape):
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def test_ncc_is_that_of_the_oracle_over_any_leading_axes():
    a, b = planes(0, 2, 3, 33, 47) + 0.1, planes(1, 33, 47) + 0.1
    ours = correlation.ncc(a, b)
    assert ours.shape == (2, 3)
    expected = [[oracles.ncc(plane, b) for plane in row] for row in a]
    np.testing.assert_allclose(ours, expected, atol=1e-6)
    np.testing.assert_allclose(
        jax.vmap(jax.vmap(correlation.ncc, (0, None)), (0, None))(a, b), ours
    )


def test_ncc_with_itself_is_one_whatever_the_scale():
    a = planes(2, 64, 64)
    for scale in (1e-6, 1.0, 1e6):
        assert float(correlation.ncc(a, scale * a)) == pytest.approx(1, abs=1e-5)
        assert float(correlation.ncc(a, -scale * a)) == pytest.approx(-1, abs=1e-5)


def test_ncc_of_nothing_is_nan_and_its_gradient_is_finite():
    zero, a = jnp.zeros((8, 8)), jnp.asarray(planes(3, 8, 8))
    for pair in ((zero, a), (a, zero), (zero, zero)):
        assert bool(jnp.isnan(correlation.ncc(*pair)))
        for gradient in jax.grad(correlation.ncc, (0, 1))(*pair):
            assert bool(jnp.isfinite(gradient).all())


def test_gradient_of_ncc_vanishes_at_the_maximum():
    a = jnp.asarray(planes(4, 16, 16))
    np.testing.assert_allclose(jax.grad(correlation.ncc)(a, a), 0, atol=1e-6)


def test_ncc_of_a_large_plane_keeps_its_precision():
    a, b = planes(5, 1500, 2000), planes(6, 1500, 2000)
    assert float(correlation.ncc(a, b)) == pytest.approx(oracles.ncc(a, b), abs=1e-6)


def test_ncc_of_other_cameras_has_the_spread_that_z_scores_count_in():
    a, b = planes(7, 400, 48, 64), planes(8, 400, 48, 64)
    scores = correlation.z_score(correlation.ncc(a, b), 48, 64)
    assert float(scores.std()) == pytest.approx(1, abs=0.15)
    assert abs(float(scores.mean())) < 0.2


def test_pattern_is_grey_times_fingerprint():
    photos = np.stack([oracles.photo(seed, 33, 47) for seed in range(2)])
    k = planes(9, 33, 47)
    expected = np.stack([oracles.pattern(pixels, k) for pixels in photos])
    np.testing.assert_allclose(correlation.pattern(photos, k), expected, rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize(("size", "side"), [((64, 64), 16), ((33, 47), 16), ((20, 30), 64)])
def test_ncc_of_blocks_is_that_of_the_oracle_at_edges_too(size, side):
    a, b = planes(10, *size), planes(11, *size)
    ours = correlation.ncc_blocks(a, b, side)
    np.testing.assert_allclose(ours, oracles.ncc_blocks(a, b, side), atol=1e-6)


def test_blocks_of_snapshots_are_as_good_as_one_snapshot_at_a_time():
    a, b = planes(12, 4, 33, 47), planes(13, 33, 47)
    singles = [correlation.ncc_blocks(plane, b, 16) for plane in a]
    blocks = jax.jit(correlation.ncc_blocks, static_argnums=2)
    np.testing.assert_allclose(blocks(a, b, 16), np.stack(singles), atol=1e-6)
    np.testing.assert_allclose(
        jax.vmap(lambda x: blocks(x, b, 16))(a), np.stack(singles), atol=1e-6
    )


def test_only_blocks_without_a_residual_or_without_a_fingerprint_are_nan():
    a, b = planes(14, 32, 48), planes(15, 32, 48)
    a[:16, :16] = 0
    b[16:, 32:] = 0
    undefined = np.isnan(correlation.ncc_blocks(a, b, 16))
    np.testing.assert_array_equal(undefined, [[True, False, False], [False, False, True]])
    gradient = jax.grad(lambda x: jnp.nansum(correlation.ncc_blocks(x, b, 16)))(a)
    assert bool(jnp.isfinite(gradient).all())


@pytest.mark.parametrize("size", [(12, 16), (13, 15)])
def test_cross_correlation_is_that_of_the_oracle(size):
    a, b = planes(16, *size) + 3, planes(17, *size) - 2
    ours = correlation.circular_cross_correlation(a, b)
    np.testing.assert_allclose(ours, oracles.circular_cross_correlation(a, b), atol=1e-6)


def test_cross_correlation_with_a_constant_is_undefined():
    surface = correlation.circular_cross_correlation(planes(18, 12, 16), np.full((12, 16), 0.1))
    assert bool(jnp.isnan(surface).all())
    assert bool(jnp.isnan(correlation.pce_at_zero(surface)))


@pytest.mark.parametrize("size", [(32, 48), (33, 47), (7, 40)])
def test_pce_is_that_of_the_oracle(size):
    surfaces = planes(19, 2, *size) / 10
    expected = [oracles.pce(surface) for surface in surfaces]
    np.testing.assert_allclose(correlation.pce_at_zero(surfaces), expected, rtol=1e-4)


@pytest.mark.parametrize("size", [(32, 48), (33, 47)])
def test_pce_of_planes_is_that_of_the_oracles_surface(size):
    b = planes(35, *size) - 0.5
    a = np.stack([planes(36, *size) + strength * b for strength in (0.5, -0.5)]) + 2
    ours = correlation.pce(a, b)
    assert ours.shape == (2,)
    expected = [oracles.pce(oracles.circular_cross_correlation(plane, b)) for plane in a]
    assert expected[0] > 50
    assert expected[1] < -50
    np.testing.assert_allclose(ours, expected, rtol=1e-3)
    np.testing.assert_allclose(correlation.pce(a[0], np.stack([b, -b])), [ours[0], -ours[0]])


def test_pce_of_a_delta_on_an_even_floor():
    surface = np.full((32, 32), 0.01, np.float32)
    surface[0, 0] = -0.5
    assert float(correlation.pce_at_zero(surface)) == pytest.approx(-2500, rel=1e-4)
    surface[5, 27] = 0.9  # in the corner of the neighbourhood, round two borders
    assert float(correlation.pce_at_zero(surface)) == pytest.approx(-2500, rel=1e-4)
    surface[6, 0] = 0.9  # outside
    assert float(correlation.pce_at_zero(surface)) > -300


def test_pce_over_zeros_is_infinite_and_without_an_outside_undefined():
    delta = np.zeros((16, 16), np.float32)
    delta[0, 0] = 1
    assert correlation.pce_at_zero(delta) == jnp.inf
    assert bool(jnp.isnan(correlation.pce_at_zero(np.zeros((16, 16), np.float32))))
    assert bool(jnp.isnan(correlation.pce_at_zero(np.ones((11, 11), np.float32))))


def test_gradient_of_pce_is_finite():
    b = jnp.asarray(planes(20, 16, 16))

    def strength(a):
        return correlation.pce_at_zero(correlation.circular_cross_correlation(a, b))

    for a in (planes(21, 16, 16), np.zeros((16, 16), np.float32)):
        assert bool(jnp.isfinite(jax.grad(strength)(jnp.asarray(a))).all())


@pytest.mark.parametrize("shift", [(0, 0), (3, -5), (-20, 23)])
def test_the_highest_peak_is_found_where_the_pattern_was_moved(shift):
    b = planes(22, 40, 47)
    a = np.roll(b, shift, (0, 1)) + 3 * planes(23, 40, 47)
    surface = correlation.circular_cross_correlation(a, b)
    peak = correlation.pce_over_shifts(surface)
    assert tuple(peak.shift.tolist()) == shift
    assert float(peak.pce) == pytest.approx(oracles.pce(surface, *shift), rel=1e-4)
    every = [oracles.pce(surface, y, x) for y in range(40) for x in range(47)]
    assert float(peak.pce) == pytest.approx(max(every), rel=1e-4)


def test_peaks_of_many_surfaces_are_those_of_each():
    a, b = planes(24, 2, 3, 20, 24), planes(25, 20, 24)
    surfaces = correlation.circular_cross_correlation(a, b)
    peaks = jax.jit(correlation.pce_over_shifts)(surfaces)
    assert peaks.shift.shape == (2, 3, 2)
    one = correlation.pce_over_shifts(surfaces[1, 2])
    np.testing.assert_array_equal(peaks.shift[1, 2], one.shift)
    np.testing.assert_allclose(peaks.pce[1, 2], one.pce, rtol=1e-5)


def test_pce_at_shift_zero_is_about_the_square_of_the_z_score():
    b = planes(26, 128, 128)
    a = b + 5 * planes(27, 128, 128)
    surface = correlation.circular_cross_correlation(a, b)
    z = float(correlation.z_score(correlation.ncc(a, b), 128, 128))
    assert float(correlation.pce_at_zero(surface)) == pytest.approx(z**2, rel=0.1)


def test_pure_noise_has_no_peak_worth_the_name():
    surfaces = correlation.circular_cross_correlation(planes(28, 20, 64, 64), planes(29, 64, 64))
    assert float(correlation.pce_over_shifts(surfaces).pce.max()) < 40
    assert float(jnp.abs(correlation.pce_at_zero(surfaces)).max()) < 15


def test_p_value_is_the_normal_tail_to_its_last_representable_end():
    z = np.array([-40.0, -3.0, 0.0, 1.6449, 5.0, 20.0, 37.0])
    np.testing.assert_allclose(correlation.p_value(z), scipy.stats.norm.sf(z), rtol=1e-11)
    assert 0 < correlation.p_value(np.float64(37)) < 1e-298
    assert correlation.p_value(np.float64(39)) == 0
    assert np.isnan(correlation.p_value(np.array([[np.nan]]))).tolist() == [[True]]


def test_p_value_over_many_keeps_what_a_power_would_lose():
    assert correlation.p_value_over(np.array(1e-30), 10**6) == pytest.approx(1e-24, rel=1e-9)
    p = np.array([0.0, 1e-3, 0.4, 1.0])
    np.testing.assert_allclose(correlation.p_value_over(p, 7), 1 - (1 - p) ** 7, rtol=1e-12)
    np.testing.assert_allclose(correlation.p_value_over(p, 1), p, rtol=1e-12)
    assert np.isnan(correlation.p_value_over(np.array(np.nan), 5))


def test_spread_is_one_for_white_noise_and_that_of_z_scores_where_jpeg_blocks_agree():
    white = correlation.circular_cross_correlation(planes(30, 8, 64, 64), planes(31, 64, 64))
    spreads = np.asarray(correlation.spread(white))
    assert (spreads >= 1).all()
    assert spreads.mean() < 1.15
    louder = np.kron(np.ones((8, 8)), np.pad(3 * np.ones((1, 8)), [(0, 7), (0, 0)])) + 1
    a, b = planes(32, 300, 64, 64) * louder, planes(33, 300, 64, 64) * louder
    real = correlation.z_score(correlation.ncc(a, b), 64, 64).std()
    surfaces = correlation.circular_cross_correlation(a, b)
    assert float(real) > 1.5
    assert float(correlation.spread(surfaces).mean()) == pytest.approx(float(real), rel=0.1)


@pytest.mark.parametrize("side", [60, 63, 65])
def test_blocks_that_are_cut_off_do_not_hide_the_spread(side):
    """Wrapped around, they lie upon others at another offset."""
    louder = np.kron(np.ones((9, 9)), np.pad(3 * np.ones((1, 8)), [(0, 7), (0, 0)])) + 1
    a, b = (planes(seed, 300, side, side) * louder[:side, :side] for seed in (32, 33))
    real = float(correlation.z_score(correlation.ncc(a, b), side, side).std())
    parts = [np.asarray(correlation.whole_blocks(x)) for x in (a, b)]
    assert parts[0].shape == (300, side // 8 * 8, side // 8 * 8)
    spreads = correlation.spread(correlation.circular_cross_correlation(*parts))
    assert float(spreads.mean()) == pytest.approx(real, rel=0.15)
    alone = correlation.spread(correlation.circular_cross_correlation(a, b))
    assert float(alone.mean()) < 0.9 * real
    noise, plane = jnp.float32(a[0]), jnp.float32(b[0])
    surface = correlation.circular_cross_correlation(noise, plane)
    own = float(identification._spread(noise, plane, surface, 1.0))
    assert own == pytest.approx(float(spreads[0]), rel=1e-5)


def test_spread_does_not_see_the_peak_itself():
    b = planes(34, 64, 64)
    alone = correlation.spread(correlation.circular_cross_correlation(b, b))
    assert float(alone) < 1.3
    assert bool(jnp.isnan(correlation.spread(np.full((16, 16), np.nan, np.float32))))
    assert float(correlation.spread(np.zeros((8, 8), np.float32))) == 1


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda k: k[:-1], r"is \[15, 24\] and the photo has 16x24 pixels"),
        (lambda k: k[..., None], r"is \[16, 24, 1\] and the photo has 16x24 pixels"),
        (lambda k: np.where(k == k.max(), np.nan, k), "holds values that are no numbers"),
        (lambda k: np.where(k == k.max(), np.inf, k), "holds values that are no numbers"),
        (lambda k: 0 * k + 2.5, r"is constant \(every value is 2.5\)"),
        (lambda k: 0 * k, r"is constant \(every value is 0\)"),
        (lambda k: types.Fingerprint(k, "", (16, 24), (0, 0), "", 0, "", 3.0, 0.5, ""), "of a F"),
        (lambda k: [k, k[:-1]], "of type list, cannot be used as an array of numbers"),
        (lambda k: k + 1j, "of type ndarray, cannot be used as an array of numbers"),
    ],
)
def test_a_plane_that_is_no_fingerprint_of_the_photo_is_refused_in_one_sentence(change, words):
    plane = np.abs(planes(37, 16, 24))
    correlation.require_fingerprint(plane, (16, 24))
    with pytest.raises(InputError, match=f"^camera x.*{words}") as caught:
        correlation.require_fingerprint(change(plane), (16, 24), "camera x")
    assert re.search("; (give|estimate) ", str(caught.value))
    assert "\n" not in str(caught.value)


def test_a_fingerprint_that_can_be_used_comes_back_without_its_mean_and_as_float32():
    """A mean follows every scene: of a map of gains, I·K would be nearly the photo itself."""
    gains = 1 + 0.002 * planes(38, 16, 24).astype(np.float64)
    found = correlation.require_fingerprint(gains, (16, 24))
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, gains - gains.mean(), atol=1e-7)
    plain = planes(39, 16, 24)
    assert correlation.require_fingerprint(plain, (16, 24)) is plain, "what chance gives stays"
