"""Patches from elsewhere, against a search and an average written out."""

import jax
import numpy as np
import pytest

from dippas_jax.baselines import dct, patches
from dippas_jax.types import InputError
from tests import oracles

HEIGHT, WIDTH = 64, 71
SIDE, REACH = 4, 5
KEY = jax.random.key(0)


def photo(seed=0, noise=4.0):
    return oracles.photo(seed, HEIGHT, WIDTH, noise=noise)


def slow_nearest(pixels, side, reach):
    """Patch after patch, offset after offset."""
    pixels = pixels.astype(np.int64)
    rows, columns = pixels.shape[0] - side + 1, pixels.shape[1] - side + 1
    found = np.zeros((rows, columns, 2), int)
    for y in range(rows):
        for x in range(columns):
            patch, least = pixels[y : y + side, x : x + side], None
            for i in range(max(0, y - reach), min(rows, y + reach + 1)):
                for j in range(max(0, x - reach), min(columns, x + reach + 1)):
                    if abs(i - y) < side and abs(j - x) < side:
                        continue
                    other = pixels[i : i + side, j : j + side]
                    distance = ((patch - other) ** 2).sum()
                    if least is None or distance < least:
                        least, found[y, x] = distance, (i - y, j - x)
    return found


def slow_averaged(pixels, offsets, side):
    total, count = np.zeros(pixels.shape), np.zeros((*pixels.shape[:2], 1))
    for y in range(offsets.shape[0]):
        for x in range(offsets.shape[1]):
            i, j = offsets[y, x]
            patch = pixels[y + i : y + i + side, x + j : x + j + side]
            total[y : y + side, x : x + side] += patch
            count[y : y + side, x : x + side] += 1
    return np.clip(np.round(total / count), 0, 255)


def test_the_nearest_patch_is_that_of_the_oracle():
    ours = np.asarray(patches.nearest(photo(), side=SIDE, reach=REACH))
    np.testing.assert_array_equal(ours, slow_nearest(photo(), SIDE, REACH))


@pytest.mark.parametrize("level", [0, 77, 255])
def test_a_patch_never_overlaps_the_one_it_replaces_and_lies_in_the_photo(level):
    flat = np.full((HEIGHT, WIDTH, 3), level, np.uint8)
    for pixels in (photo(), flat):
        offsets = np.asarray(patches.nearest(pixels, side=SIDE, reach=REACH))
        farthest = np.abs(offsets).max(-1)
        assert farthest.min() == SIDE
        assert farthest.max() <= REACH
        rows, columns = offsets.shape[:2]
        places = np.stack(np.mgrid[:rows, :columns], -1) + offsets
        assert places.min() >= 0
        assert (places < (rows, columns)).all()
    ours = patches.anonymize(KEY, flat, side=SIDE, reach=REACH)
    np.testing.assert_array_equal(ours, flat)


def test_patches_are_compared_without_noise_taken_with_it_and_averaged():
    guide = dct.denoised(dct.denoised(photo(), 7.0), 7.0)
    offsets = np.asarray(patches.nearest(guide, side=SIDE, reach=REACH))
    expected = slow_averaged(photo(), offsets, SIDE)
    ours = np.asarray(patches.anonymize(KEY, photo(), side=SIDE, reach=REACH))
    assert ours.dtype == np.uint8
    assert np.mean(expected != photo()) > 0.5
    # A mean that lies on a half may round either way.
    assert np.mean(ours != expected) < 1e-3
    key, plane = jax.random.key(7), np.ones((HEIGHT, WIDTH), np.float32)
    again = patches.anonymize(key, photo().copy(), plane, side=SIDE, reach=REACH)
    np.testing.assert_array_equal(ours, again)


def test_the_noise_of_the_result_is_not_that_of_the_photo():
    rng = np.random.default_rng(4)
    noise = rng.normal(0, 4, (HEIGHT, WIDTH, 3))
    pixels = np.clip(np.round(128 + noise), 0, 255).astype(np.uint8)
    ours = np.asarray(patches.anonymize(KEY, pixels, side=SIDE, reach=REACH)).astype(float)
    chance = 1 / np.sqrt(pixels.size)
    assert abs(np.corrcoef((ours - 128).ravel(), noise.ravel())[0, 1]) < 5 * chance


def test_a_grey_photo_stays_grey_and_no_level_is_new():
    grey = np.repeat(photo()[..., :1], 3, -1)
    grey[:20] = 255
    ours = np.asarray(patches.anonymize(KEY, grey, side=SIDE, reach=REACH))
    assert (ours == ours[..., :1]).all()
    assert ours.min() >= grey.min()
    assert ours.max() <= 255
    assert (ours[:10] == 255).all()


@pytest.mark.parametrize(("side", "reach"), [(1, 5), (5, 4), (4, 61)])
def test_patches_that_cannot_be_found_are_refused(side, reach):
    with pytest.raises(InputError, match=r"patches of .* cannot be taken .* choose a side of 2"):
        patches.anonymize(KEY, photo(), side=side, reach=reach)
