"""Agreement where something is drawn, told from that of a camera."""

import numpy as np
import pytest

from dippas_jax.forensics import drawn
from dippas_jax.signal import correlation
from tests import oracles

SIDE = 250  # not all of it in whole blocks


def noises(seed=0, common=0.0):
    """Two noises of standard deviation 1 that share so much of another one."""
    generator = np.random.default_rng(seed)
    both, a, b = generator.normal(size=(3, SIDE, SIDE))
    return a + common * both, b + common * both


def share(pair, one, other):
    return drawn.look(pair, one, other).share


def slow_share(a, b):
    """Pixel by pixel, each beside the median of its own block; what lacks is mirrored."""
    wide = [np.pad(x, (0, -SIDE % 64), "symmetric") for x in (a, b)]
    total, there = 0.0, 0.0
    for row in range(SIDE):
        for column in range(SIDE):
            top, left = row // 64 * 64, column // 64 * 64
            block = np.s_[top : top + 64, left : left + 64]
            product = a[row, column] * b[row, column]
            far = [abs(x[row, column]) > 3 * 1.4826 * np.median(abs(x[block])) for x in wide]
            total += product
            there += product * all(far)
    return there / total


def test_the_share_is_that_of_a_slow_loop():
    a, b = noises(common=0.3)
    a[10:12], b[10:12] = 9, 8
    a[-3:], b[-3:] = 7, 9
    assert share((a, b), a, b) == pytest.approx(slow_share(a, b), rel=1e-9)


def test_lines_make_the_spread_of_the_whole_large_and_not_that_of_the_rest():
    """They agree at many shifts along themselves."""
    a, b = noises(common=0.6)
    for row in (40, 41, 120):
        a[row], b[row] = 8, 8
    spread = correlation.spread(
        correlation.circular_cross_correlation(a[:248, :248], b[:248, :248])
    )
    found = drawn.look((a, b), a, b)
    assert drawn.decides(found.share, z=50.0)
    assert spread > 5 > 1.3 > found.spread >= 1
    assert found.rest > 30
    left = np.ones((SIDE, SIDE), bool)
    left[32:50], left[112:129] = False, False
    expected = oracles.ncc(np.where(left, a, 0), np.where(left, b, 0)) * np.sqrt(left.sum())
    assert found.rest == pytest.approx(expected, rel=1e-3)


def test_a_camera_agrees_everywhere_and_a_line_does_not():
    a, b = noises(common=0.2)
    assert -0.02 < share((a, b), a, b) < 0.05
    a, b = noises()
    a[30], b[30] = 8, 8
    assert share((a, b), a, b) > 0.9
    assert drawn.decides(share((a, b), a, b), z=20.0)


@pytest.mark.parametrize(
    ("share", "z", "decides"),
    [(0.13, 40.0, False), (0.25, 40.0, True), (0.25, -40.0, True), (0.37, 4.5, False),
     (np.nan, 9.0, False), (-0.3, 9.0, False)],
)  # fmt: skip
def test_a_share_counts_where_it_is_clear(share, z, decides):
    assert drawn.decides(share, z) == decides


def test_noise_of_two_strengths_stands_out_nowhere():
    """A photo of which half is burnt out has hardly any there."""
    a, b = noises(common=0.2)
    for noise in (a, b):
        noise[:, : SIDE // 2] *= 1e-3
    assert abs(share((a, b), a, b)) < 0.05


def test_a_sum_of_nothing_has_no_share():
    nothing, something = np.zeros((SIDE, SIDE)), np.ones((SIDE, SIDE))
    assert np.isnan(share((nothing, something), something, something))


def test_letters_in_a_fingerprint_are_found_with_their_surroundings():
    plane = np.random.default_rng(0).normal(size=(SIDE, SIDE)).astype(np.float32)
    places, held = drawn.in_fingerprint(plane)
    assert not places.any()
    assert held < 1e-3
    plane[100:110, 50:90] = 12
    places, held = drawn.in_fingerprint(plane)
    assert held == pytest.approx(57600 / (57600 + SIDE**2), rel=0.02)
    rows, columns = np.nonzero(places)
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (92, 117, 42, 97)


def test_a_photo_that_is_half_burnt_out_has_nothing_drawn():
    plane = np.random.default_rng(0).normal(size=(SIDE, SIDE)).astype(np.float32)
    plane[:, 100:] *= 1e-4
    assert not drawn.in_fingerprint(plane)[0].any()


def test_defective_pixels_are_no_drawing():
    plane = np.random.default_rng(0).normal(size=(SIDE, SIDE)).astype(np.float32)
    plane[5::50, 5::50] = 30
    assert np.square(plane[5::50, 5::50]).sum() > 0.05 * np.square(plane).sum()
    assert not drawn.in_fingerprint(plane)[0].any()


def test_defective_pixels_that_stand_out_in_both_are_the_cameras():
    generator = np.random.default_rng(0)
    plane = generator.normal(size=(SIDE, SIDE))
    noise = 0.1 * plane + generator.normal(size=(SIDE, SIDE))
    for n, (row, column) in enumerate(generator.integers(0, SIDE, (40, 2))):
        plane[row, column], noise[row, column] = 20, 15 + n % 3
    products = noise * plane
    beyond = (np.abs(plane) > 15) & (np.abs(noise) > 10)
    assert products[beyond].sum() > 0.5 * products.sum()
    assert share((noise, plane), noise, plane) < 0.05
    plane[100:110, 50:90], noise[100:110, 50:90] = 12, 12
    assert share((noise, plane), noise, plane) > 0.5


def test_lamps_at_night_are_no_drawing():
    """A fingerprint shows where it is bright, and stands out there; it is still a camera's."""
    generator = np.random.default_rng(0)
    plane = generator.normal(size=(SIDE, SIDE))
    grey = np.full((SIDE, SIDE), 3.0)
    for row, column in generator.integers(0, SIDE - 20, (20, 2)):
        grey[row : row + 12, column : column + 9] = 200
    noise = 0.01 * grey * plane + (0.3 + 0.005 * grey) * generator.normal(size=(SIDE, SIDE))
    assert share((noise, grey * plane), noise, grey * plane) > drawn.MOST, "without the brightness"
    assert abs(share((noise, grey * plane), drawn.relative(noise, grey), plane)) < 0.1


def test_the_rest_is_what_a_slow_loop_finds_away_from_what_is_drawn():
    a, b = noises(common=0.3)
    a[100:103, 60:100], b[100:103, 60:100] = 12, 12
    found = drawn.look((a, b), a, b)
    assert drawn.decides(found.share, 90.0)
    keep = np.ones((SIDE, SIDE), bool)
    for row in range(100, 103):
        for column in range(60, 100):
            keep[row - 8 : row + 9, column - 8 : column + 9] = False
    ncc = (a * b)[keep].sum() / np.sqrt(np.square(a[keep]).sum() * np.square(b[keep]).sum())
    assert found.rest == pytest.approx(ncc * np.sqrt(keep.sum()), rel=0.02)
    assert found.rest > 15
    a, b = noises()
    a[30], b[30] = 12, 12
    assert abs(drawn.look((a, b), a, b).rest) < 4


def test_nothing_has_no_rest():
    nothing, something = np.zeros((SIDE, SIDE)), np.ones((SIDE, SIDE))
    assert np.isnan(drawn.look((nothing, something), nothing, something).rest)
