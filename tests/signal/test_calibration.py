"""Flips that bring a leakage to zero, against roots that SciPy finds cell by cell."""

import numpy as np
import pytest
import scipy.optimize

from dippas_jax.signal import calibration

SHAPE = 7, 4
KEPT = np.linspace(0.1, 0.7, 28).reshape(SHAPE)


def steep(flips, rate):
    """As a fine extractor sees it: much of a little, and then hardly more."""
    return KEPT - (1 + KEPT) * np.tanh(rate * flips)


def straight(flips, rate):
    return KEPT - rate * flips


@pytest.mark.parametrize("curve", [steep, straight])
@pytest.mark.parametrize("rate", [0.5, 1.0, 2.0, 5.0])
def test_zero_is_found_whether_the_leakage_falls_slowly_or_steeply(curve, rate):
    found = calibration.search(lambda flips: curve(flips, rate), updates=5)
    assert np.abs(found.left).max() < 0.1
    assert np.abs(found.left).mean() < 0.03
    expected = [
        scipy.optimize.brentq(lambda x, cell=cell: curve(np.full(SHAPE, x), rate)[cell], 0, 3)
        for cell in np.ndindex(SHAPE)
    ]
    np.testing.assert_allclose(found.flips.ravel(), expected, atol=0.1 / min(rate, 1))


def test_the_more_is_measured_the_less_is_left():
    left = [
        np.abs(calibration.search(lambda flips: steep(flips, 6.0), updates=n).left).mean()
        for n in (1, 3, 5, 8)
    ]
    assert left == sorted(left, reverse=True)
    assert left[-1] < 2e-3


def test_a_search_goes_on_from_another_one():
    first = calibration.search(lambda flips: steep(flips, 4.0), updates=5)
    tried = []

    def near(flips):
        tried.append(flips)
        return steep(flips, 4.4)

    found = calibration.search(near, updates=2, start=first)
    np.testing.assert_array_equal(tried[0], first.flips)
    assert np.abs(found.left).mean() < np.abs(near(first.flips)).mean() / 3
    np.testing.assert_array_equal(found.base, first.base)


def test_nothing_is_turned_over_too_often_or_backwards():
    kept = calibration.search(lambda flips: np.full(SHAPE, 0.9), updates=5)
    np.testing.assert_array_equal(kept.flips, np.broadcast_to(calibration.MOST, SHAPE))
    over = calibration.search(lambda flips: np.full(SHAPE, -0.1), updates=5)
    np.testing.assert_array_equal(over.flips, 0)


def test_a_cell_that_its_neighbours_move_is_not_sought_where_it_cannot_be():
    """What is measured of a cell later may contradict what was measured before."""
    values = iter([0.5, -0.3, -0.3, 0.4, -0.1, 0.05])
    found = calibration.search(lambda flips: np.full(SHAPE, next(values)), updates=5)
    assert np.all(np.isfinite(found.flips))
    assert np.all((found.flips >= 0) & (found.flips <= calibration.MOST))
