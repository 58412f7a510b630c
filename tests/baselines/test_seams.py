"""Seam carving: against all seams there are and the slow book version, and what stays whole."""

import itertools

import jax
import numpy as np
import pytest

from dippas_jax.baselines import seams
from dippas_jax.datasets import synthetic
from dippas_jax.types import InputError
from tests import oracles

KEY = jax.random.key(0)
RNG = np.random.default_rng(0)


def all_seams(height, width):
    for start in range(width):
        for steps in itertools.product((-1, 0, 1), repeat=height - 1):
            seam = np.cumsum([start, *steps])
            if seam.min() >= 0 and seam.max() < width:
                yield seam


def slow_energy(grey):
    height, width = grey.shape
    made = np.zeros(grey.shape)
    for y, x in np.ndindex(height, width):
        up, down, left, right = max(y - 1, 0), min(y + 1, height - 1), max(x - 1, 0), x + 1
        right = min(right, width - 1)
        made[y, x] = abs(grey[down, x] - grey[up, x]) / (down - up)
        made[y, x] += abs(grey[y, right] - grey[y, left]) / (right - left)
    return made


def slow_enlarged(photo, count):
    """Avidan and Shamir's: the first seams to go are doubled, each pixel with its right mean."""
    height, width, _ = photo.shape
    grey = oracles.luma(photo)
    left = [list(range(width)) for _ in range(height)]
    chosen = [set() for _ in range(height)]
    for _ in range(count):
        plane = slow_energy(np.array([grey[y, row] for y, row in enumerate(left)]))
        rows = np.arange(height)
        best = min(all_seams(*plane.shape), key=lambda seam: plane[rows, seam].sum())
        for y, x in enumerate(best):
            chosen[y].add(left[y].pop(x))
    made = []
    for y in range(height):
        row = []
        for x in range(width):
            row.append(photo[y, x])
            if x in chosen[y]:
                beside = photo[y, min(x + 1, width - 1)]
                row.append(np.rint((photo[y, x].astype(float) + beside) / 2))
        made.append(row)
    return np.array(made)


def largest_whole(rows, columns):
    """Side of the largest square in which all pixels were moved alike, pixel by pixel."""
    height, width = rows.shape
    moved = np.stack([rows - np.arange(height)[:, None], columns - np.arange(width)], -1)
    side = np.ones((height, width), int)
    for y, x in itertools.product(range(1, height), range(1, width)):
        around = moved[y - 1 : y + 1, x - 1 : x + 1].reshape(4, 2)
        if (around == around[0]).all():
            side[y, x] = 1 + min(side[y - 1, x], side[y, x - 1], side[y - 1, x - 1])
    return side.max()


def photo(height, width):
    """A scene in red; every pixel's place in green and blue."""
    made = np.zeros((height, width, 3), np.uint8)
    scene = synthetic.scene(0, max(height, width))[:height, :width]
    made[..., 0] = np.rint(255 * oracles.luma(scene))
    made[..., 1], made[..., 2] = np.arange(height)[:, None], np.arange(width)
    return made


def test_the_seam_is_the_cheapest_of_all():
    for _ in range(20):
        energy = RNG.integers(0, 9, (6, 5)).astype(float)
        seam = seams.lowest_seam(energy)
        assert np.abs(np.diff(seam)).max() <= 1
        cheapest = min(energy[np.arange(6), one].sum() for one in all_seams(6, 5))
        assert energy[np.arange(6), seam].sum() == cheapest


def test_energy_is_that_of_the_oracle_and_of_some_columns_that_of_all():
    grey = RNG.uniform(0, 255, (9, 12)).astype(np.float32)
    whole = seams.energy(grey)
    np.testing.assert_allclose(whole, slow_energy(grey), rtol=1e-5)
    for part in (slice(0, 4), slice(3, 9), slice(7, 12)):
        np.testing.assert_array_equal(seams.energy(grey, part), whole[:, part])


def test_enlarging_is_that_of_the_oracle():
    small = RNG.integers(0, 256, (5, 7, 3)).astype(np.uint8)
    for count in (0, 1, 3):
        np.testing.assert_array_equal(seams.enlarge(small, count), slow_enlarged(small, count))


@pytest.mark.parametrize(("height", "width"), [(64, 64), (131, 240), (200, 90)])
def test_no_block_of_more_than_fifty_stays_whole_and_the_size_stays(height, width):
    pixels = photo(height, width)
    result = seams.forced(KEY, pixels)
    assert result.shape == pixels.shape
    assert result.dtype == np.uint8
    rows, columns = (result[..., c].astype(int) for c in (1, 2))
    assert 15 < largest_whole(rows, columns) <= 50
    kept = pixels[np.minimum(rows, height - 1), np.minimum(columns, width - 1), 0]
    assert np.mean(kept == result[..., 0]) > 0.8, "all but what was put in is of the photo"


def test_every_block_of_the_carved_photo_is_cut_also_where_no_seam_would_go_by_itself():
    grey = np.zeros((160, 200), np.float32)
    grey[:, 60:] = RNG.uniform(0, 255, (160, 140))
    free = seams.lowest_seam(seams.energy(grey))
    assert free.max() < 60, "by itself a seam goes through the smooth part"
    source = seams.carve(grey)
    assert largest_whole(source // 200, source % 200) <= 50
    assert len(np.unique(source)) == source.size
    busy = source[:, -80:] % 200
    assert (np.diff(busy, axis=1) > 1).any(1).all(), "one in every row of the busy part"
    assert largest_whole(*np.divmod(seams.carve(grey, 24), 200)) <= 24


def test_a_seam_is_sought_in_the_columns_asked_for_only():
    grey = np.zeros((80, 120), np.float32)
    grey[:, 60:] = RNG.uniform(0, 255, (80, 60))
    part = slice(70, 95)
    seam = part.start + seams.lowest_seam(seams.energy(grey, part))
    whole = slow_energy(grey)
    total = whole[np.arange(80), seam].sum()
    assert seam.min() >= 70
    assert seam.max() < 95
    assert total < np.sort(whole[:, part].sum(0))[0], "cheaper than any straight line"


def test_squares_that_are_whole_are_those_of_the_definition():
    source = seams.carve(photo(70, 80)[..., 0].astype(np.float32), 16)
    rows, columns = np.divmod(source, 80)
    found = seams.uncarved(source, (1, 80), 9)
    for y, x in np.ndindex(found.shape):
        part = np.s_[y : y + 9, x : x + 9]
        steps = rows[part] - rows[y, x] - np.arange(9)[:, None], columns[part] - columns[y, x]
        moved = (steps[0] != 0) | (steps[1] != np.arange(9))
        moved[-1, -1] = False
        assert found[y, x] == (not moved.any())
    assert found.any()
    assert not found.all()


def test_one_colour_stays_and_grey_stays_grey():
    for level in (0, 128, 255):
        plain = np.full((70, 90, 3), level, np.uint8)
        np.testing.assert_array_equal(seams.forced(KEY, plain), plain)
    grey = photo(90, 110)[..., :1].repeat(3, 2)
    result = seams.forced(KEY, grey)
    assert (result == result[..., :1]).all()
    assert (result != grey).any()
    np.testing.assert_array_equal(result, seams.forced(jax.random.key(1), grey.copy()))


def test_a_camera_is_not_found_in_its_place():
    camera = synthetic.Camera(0, strength=0.02)
    pixels = synthetic.expose(camera, synthetic.scene(0, 256), 0)
    k = camera.fingerprint(256, 256)

    def z(made):
        return oracles.ncc(oracles.residual(made), oracles.pattern(made, k)) * 256

    assert z(pixels) > 20
    assert abs(z(seams.forced(KEY, pixels))) < 0.3 * z(pixels)


def test_photos_that_are_none_are_refused():
    with pytest.raises(InputError, match="too small; give"):
        seams.forced(KEY, np.zeros((63, 90, 3), np.uint8))
    with pytest.raises(InputError, match="choose 8 or more"):
        seams.forced(KEY, photo(64, 64), largest=7)
