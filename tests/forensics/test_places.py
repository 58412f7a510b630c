"""A camera that is looked for place by place, in photos whose pixels were moved."""

import jax
import numpy as np
import pytest
from scipy import signal

from dippas_jax.forensics import places
from tests import oracles

RNG = np.random.default_rng(0)
SIDE = 384
NOISE, K, OTHER = RNG.normal(0, 1, (3, SIDE, SIDE))
score = jax.jit(places.z_score)


def moved(plane: np.ndarray, steps: list[tuple[int, int]]) -> np.ndarray:
    """Each block of 128 by its own step; what leaves one comes back on its other side."""
    made = plane.copy()
    for n, step in enumerate(steps):
        part = slice(n // 3 * 128, n // 3 * 128 + 128), slice(n % 3 * 128, n % 3 * 128 + 128)
        made[part] = np.roll(plane[part], step, (0, 1))
    return made


def test_blocks_that_went_different_ways_are_found_where_plain_correlation_finds_nothing():
    steps = [tuple(step) for step in RNG.integers(-6, 7, (9, 2)).tolist()]
    residual = NOISE + 0.15 * moved(K, steps)
    assert abs(oracles.ncc(residual, K) * SIDE) < 4
    assert float(score(residual, K)) > 8
    assert abs(float(score(residual, OTHER))) < 3


def test_pixels_that_were_not_moved_are_found_as_well():
    assert float(score(NOISE + 0.15 * K, K)) > 8


def test_chance_gives_about_a_standard_normal():
    draws = np.random.default_rng(1).normal(size=(40, 2, 256, 256))
    found = [float(score(*pair)) for pair in draws]
    assert abs(np.mean(found)) < 0.5
    assert 0.7 < np.std(found) < 1.5


def test_the_figure_is_that_of_its_definition():
    """By SciPy's correlation of every block with its surroundings."""
    residual, width, border = NOISE + 0.1 * np.roll(K, (2, -3), (0, 1)), 17, 25
    around = np.pad(K, border, mode="reflect")
    near, far = [], []
    for top in range(0, SIDE, 128):
        for left in range(0, SIDE, 128):
            block = residual[top : top + 128, left : left + 128]
            seen = around[top : top + 128 + 2 * border, left : left + 128 + 2 * border]
            surface = signal.correlate(seen - seen.mean(), block - block.mean(), mode="valid")
            surface = surface / surface.std()
            squares = surface.reshape(3, width, 3, width).max((1, 3)).ravel()
            near.append(squares[4])
            far += [*squares[:4], *squares[5:]]
    expected = (np.mean(near) - np.mean(far)) / (np.std(far) / 3)
    assert float(score(residual, K)) == pytest.approx(expected, rel=2e-3)


def test_nothing_can_be_said_of_one_block_or_of_a_plane_without_noise():
    assert np.isnan(score(NOISE[:200, :200], K[:200, :200]))
    assert np.isnan(score(np.zeros((256, 256)), K[:256, :256]))
