"""A random projective warp: its field by another way of solving, its picture by SciPy's splines."""

import jax
import numpy as np
import pytest
from scipy import ndimage

from dippas_jax.baselines import warp
from dippas_jax.types import InputError

KEY = jax.random.key(0)
HEIGHT, WIDTH = 120, 170
RNG = np.random.default_rng(0)


def slow_field(moves, height, width):
    """The homography as the null vector of its twelve equations, in pixels."""
    corners = [(0, 0), (0, width - 1), (height - 1, 0), (height - 1, width - 1)]
    equations = []
    for (y, x), (down, across) in zip(corners, moves, strict=True):
        p, q = y + down, x + across
        equations.append([y, x, 1, 0, 0, 0, -p * y, -p * x, -p])
        equations.append([0, 0, 0, y, x, 1, -q * y, -q * x, -q])
    h = np.linalg.svd(np.array(equations))[2][-1].reshape(3, 3)
    y, x = np.mgrid[:height, :width]
    rows, columns, below = np.einsum("ij,jhw->ihw", h, np.stack([y, x, np.ones_like(y)]))
    return np.stack([rows / below - y, columns / below - x])


def photo():
    """Soft shapes, away from black and white."""
    shapes = ndimage.gaussian_filter(RNG.normal(0, 1, (HEIGHT, WIDTH, 3)), (4, 4, 0))
    return np.clip(128 + 30 * shapes / shapes.std(), 0, 255).astype(np.uint8)


def test_the_field_is_the_projective_map_that_moves_the_corners_so():
    moves = RNG.uniform(-6, 6, (4, 2))
    field = warp.field(moves, HEIGHT, WIDTH)
    np.testing.assert_allclose(field, slow_field(moves, HEIGHT, WIDTH), atol=1e-3)
    ends = field[:, [0, 0, -1, -1], [0, -1, 0, -1]]
    np.testing.assert_allclose(ends, moves.T, atol=1e-5)


def test_equal_moves_are_a_shift():
    field = warp.field(np.tile([1.5, -2.0], (4, 1)), HEIGHT, WIDTH)
    np.testing.assert_allclose(field[0], 1.5, atol=1e-5)
    np.testing.assert_allclose(field[1], -2, atol=1e-5)


def test_the_photo_is_read_where_the_field_says():
    pixels = photo()
    moves = np.asarray(jax.random.uniform(KEY, (4, 2), minval=-4, maxval=4), float)
    places = np.mgrid[:HEIGHT, :WIDTH] + slow_field(moves, HEIGHT, WIDTH)
    result = np.asarray(warp.projective(KEY, pixels))
    assert result.dtype == np.uint8
    for c in range(3):
        expected = ndimage.map_coordinates(pixels[..., c].astype(float), places, mode="mirror")
        assert np.abs(result[..., c] - expected).max() < 1.6  # another cubic, and the rounding
        assert np.abs(result[..., c] - expected).mean() < 0.3
        assert np.abs(pixels[..., c] - expected).mean() > 1.6


def test_the_key_decides_and_the_reach_is_kept():
    ramps = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    ramps[..., 0], ramps[..., 1] = np.arange(HEIGHT)[:, None], np.arange(WIDTH)
    drawn = []
    for seed in range(6):
        result = np.asarray(warp.projective(jax.random.key(seed), ramps, reach=3.0)).astype(int)
        again = warp.projective(jax.random.key(seed), ramps.copy(), None, reach=3.0)
        np.testing.assert_array_equal(result, again)
        moved = (result - ramps)[8:-8, 8:-8, :2]
        assert np.abs(moved).max() <= 4, "a tilt moves the middle a little farther than the ends"
        drawn.append(moved)
    assert all((a != drawn[0]).any() for a in drawn[1:])
    assert max(np.abs(moved).max() for moved in drawn) >= 2


def test_no_reach_changes_nothing_and_one_colour_stays():
    pixels = photo()
    np.testing.assert_array_equal(warp.projective(KEY, pixels, reach=0.0), pixels)
    for level in (0, 128, 255):
        plain = np.full((HEIGHT, WIDTH, 3), level, np.uint8)
        np.testing.assert_array_equal(warp.projective(KEY, plain), plain)
    grey = pixels[..., :1].repeat(3, 2)
    result = np.asarray(warp.projective(KEY, grey))
    assert (result == result[..., :1]).all()


def test_black_beside_white_stays_in_range():
    burnt = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    burnt[:, WIDTH // 2 :] = 255
    result = np.asarray(warp.projective(KEY, burnt))
    assert (result[:, :70] == 0).all()
    assert (result[:, 100:] == 255).all()


@pytest.mark.parametrize("reach", [-1.0, 17.0, float("nan")])
def test_a_reach_out_of_range_is_refused(reach):
    with pytest.raises(InputError, match="choose a reach"):
        warp.projective(KEY, photo(), reach=reach)
