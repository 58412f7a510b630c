"""A camera that is looked for in photos that were turned, scaled or tilted a little."""

import itertools

import jax
import numpy as np
import pytest
from scipy import ndimage

from dippas_jax.baselines import warp
from dippas_jax.datasets import synthetic
from dippas_jax.forensics import attackers, warps
from tests import oracles

RNG = np.random.default_rng(0)
SIDE = 384
NOISE, K, OTHER = RNG.normal(0, 1, (3, SIDE, SIDE)).astype(np.float32)
LIMIT = attackers.ATTACKERS["warps"].limit


def turned(plane: np.ndarray, degrees: float, scale: float, shift=(0.0, 0.0)) -> np.ndarray:
    """A plane turned and scaled about its middle, by SciPy's spline."""
    angle = np.deg2rad(degrees)
    matrix = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    middle = (np.array(plane.shape) - 1) / 2
    return ndimage.affine_transform(plane, matrix, middle - matrix @ middle + shift, order=3)


@pytest.mark.parametrize(
    ("degrees", "scale", "shift"),
    [(0.0, 1.0, (0, 0)), (1.0, 1.0, (0, 0)), (0.0, 0.98, (3, -6)), (-0.8, 1.015, (-4.4, 2.3))],
)
def test_a_fingerprint_is_found_turned_scaled_and_shifted(degrees, scale, shift):
    residual = NOISE + 0.12 * turned(K, degrees, scale, shift)
    if (degrees, scale) != (0, 1):
        assert abs(oracles.ncc(residual, K) * SIDE) < 5
    assert warps.z_score(residual, K) > LIMIT
    assert warps.z_score(residual, OTHER) < LIMIT


def test_corners_that_went_each_its_own_way_are_found():
    moves = np.array([[5.0, 2], [-6, 5], [3, -7], [6, 6]])
    places = np.mgrid[:SIDE, :SIDE] + warp.field(moves, SIDE, SIDE)
    residual = NOISE + 0.15 * ndimage.map_coordinates(K, places, order=3)
    assert abs(oracles.ncc(residual, K) * SIDE) < 5
    assert warps.z_score(residual, K) > LIMIT


def test_beyond_its_reach_nothing_is_found():
    assert warps.z_score(NOISE + 0.12 * turned(K, 5.0, 1.0), K) < LIMIT


def test_chance_gives_the_highest_of_many_and_stays_below_the_limit():
    draws = np.random.default_rng(1).normal(size=(10, 2, 160, 192)).astype(np.float32)
    found = [warps.z_score(*pair) for pair in draws]
    assert 5 < np.mean(found) < 6.5
    assert max(found) < LIMIT


def test_products_of_blocks_are_those_of_shifted_fingerprints():
    weighted, k = NOISE[:70, :100], 1e-3 * K[:70, :100]
    found = warps.surfaces(weighted, k)
    reach = found.shape[-1] // 2
    assert found.shape[:2] == (2, 3)
    around = np.pad(k, reach)
    slow = np.empty(found.shape)
    for row, column, y, x in np.ndindex(found.shape):
        top, left = 35 * row, 33 * column
        block = weighted[top : top + 35, left : left + 33]
        seen = around[top + y : top + y + 35, left + x : left + x + 33]
        slow[row, column, y, x] = np.sum(block * seen)
    slow /= np.sqrt(np.mean(slow**2, (2, 3)).sum())
    np.testing.assert_allclose(found, slow, atol=2e-5)


def test_without_a_warp_the_sum_is_about_the_z_of_the_plain_correlation():
    residual = NOISE + 0.1 * K
    found = warps.surfaces(residual, K)
    middle = found.shape[-1] // 2
    plain = oracles.ncc(residual, K) * SIDE
    assert float(found[..., middle, middle].sum()) == pytest.approx(plain, rel=0.05)


def test_the_grid_holds_every_affine_map(monkeypatch):
    """Against a loop over all of them, with a reach of one pixel."""
    monkeypatch.setattr(warps, "REACH", 1)
    monkeypatch.setattr(warps, "_STEP", 1)
    found = RNG.normal(0, 1, (3, 4, 49, 49)).astype(np.float32)
    v, u = np.array([-2, 0, 2]) / 3, np.array([-3, -1, 1, 3]) / 4
    best = -np.inf
    for t, a, b in itertools.product(itertools.product((-1, 0, 1), repeat=2), repeat=3):
        total = 0.0
        for row, column in np.ndindex(3, 4):
            y, x = (24 + t[n] + round(v[row] * a[n]) + round(u[column] * b[n]) for n in (0, 1))
            total += found[row, column, y, x]
        if total > best:
            best = total
            corners = [np.add(t, np.add(i * np.array(a), j * np.array(b)))
                       for i in (-1, 1) for j in (-1, 1)]  # fmt: skip
    np.testing.assert_array_equal(warps._affine(found)[0], corners)


def test_refining_keeps_or_raises_every_score_and_reports_what_its_corners_give():
    found = RNG.normal(0, 1, (4, 5, 49, 49)).astype(np.float32)
    corners = RNG.uniform(-20, 20, (30, 4, 2))
    before = warps._scores(found, corners)
    slow = []
    for (upper_left, upper_right), (lower_left, lower_right) in corners.reshape(30, 2, 2, 2):
        total = 0.0
        for row, column in np.ndindex(4, 5):
            v, u = (row + 0.5) / 4, (column + 0.5) / 5
            upper = (1 - u) * upper_left + u * upper_right
            lower = (1 - u) * lower_left + u * lower_right
            y, x = np.rint((1 - v) * upper + v * lower).astype(int) + 24
            total += found[row, column, y, x]
        slow.append(total)
    np.testing.assert_allclose(before, slow, atol=1e-4)
    assert (warps._refined(found, corners) >= before).all()
    assert (warps._refined(found, corners) > before).any()


def test_the_middle_of_a_large_photo_is_searched_for_wider_angles(monkeypatch):
    noise, k = np.random.default_rng(2).normal(0, 1, (2, 768, 768)).astype(np.float32)
    residual = noise + 0.2 * turned(k, 4.0, 1.0)
    whole = warps.z_score(residual, k)
    monkeypatch.setattr(warps, "LARGEST", 192)
    assert warps.z_score(residual, k) > max(LIMIT, whole + 3)


def test_the_unit_does_not_matter_and_of_nothing_nothing_is_said():
    weighted, k = NOISE[:96, :96], K[:96, :96]
    score = warps.z_score(weighted, k)
    for scale in (2.0**-100, 2.0**100):
        assert warps.z_score(weighted, k * np.float32(scale)) == score
    assert np.isnan(warps.z_score(weighted, np.zeros_like(k)))
    assert np.isnan(warps.z_score(np.zeros_like(k), k))


def test_the_attacker_finds_a_warped_photo_that_the_paper_s_does_not():
    camera, other = (synthetic.Camera(seed, strength=0.02) for seed in (0, 1))
    photo = synthetic.expose(camera, synthetic.scene(0, 256), 0)
    made = np.asarray(warp.projective(jax.random.key(3), photo, reach=6.0))
    planes = np.stack([c.fingerprint(256, 256) for c in (camera, other)]).astype(np.float32)
    evidence = attackers.Evidence(planes)
    own, foreign = attackers.ATTACKERS["warps"].attack(made[None], evidence)[0]
    assert abs(attackers.wavelet(made[None], evidence)[0, 0]) < 3 < LIMIT < own
    assert foreign < LIMIT
    weighted = oracles.residual(made) * oracles.luma(made)
    expected = warps.z_score(weighted.astype(np.float32), planes[0])
    assert own == pytest.approx(expected, abs=0.02)
