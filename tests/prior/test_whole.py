"""Photos larger than a tile: where the tiles lie, what each gives, and how they become one."""

import dataclasses
import itertools

import jax
import numpy as np
import pytest

from dippas_jax.prior import anonymize, whole
from dippas_jax.signal import extractors
from dippas_jax.types import FlatPhotoError
from tests import oracles, tiny

KEY = jax.random.key(4)
SETTINGS = dataclasses.replace(tiny.settings(stop_psnr=90.0, max_steps=6), tile=64)
PLANE = tiny.fingerprint(64, 96)
PHOTO = oracles.photo(3, 64, 96, 10 * PLANE)


@pytest.mark.parametrize(
    ("height", "width", "side"),
    [(64, 64, 64), (64, 65, 64), (100, 96, 64), (97, 96, 64), (511, 1200, 512), (2000, 3008, 512)],
)
def test_tiles_are_whole_of_one_shape_and_share_enough_with_their_neighbours(height, width, side):
    found = whole.grid(height, width, side)
    covered = np.zeros((height, width), int)
    for tile in found:
        assert (tile.height, tile.width) == (min(side, height), min(side, width))
        assert tile.top >= 0 <= tile.left
        covered[tile.part] += 1
        assert covered[tile.part].shape == (tile.height, tile.width), "it ends within the photo"
    assert covered.min() == 1
    for places, length in (
        (sorted({tile.top for tile in found}), min(side, height)),
        (sorted({tile.left for tile in found}), min(side, width)),
    ):
        gaps = [after - before for before, after in itertools.pairwise(places)]
        assert all(length - gap >= whole.OVERLAP for gap in gaps)
        assert max(gaps, default=0) - min(gaps, default=0) <= 1, "evenly spread"
    fewer = (len({t.top for t in found}) - 1) * (side - whole.OVERLAP) + whole.OVERLAP
    assert fewer < height or fewer <= whole.OVERLAP, "no tile more than needed"


def test_tiles_pass_into_each_other_without_a_step():
    """By loops; two tiles of different brightness show no jump larger than a ramp's."""
    every = whole.grid(64, 96, 64)
    parts = [np.full((64, 64, 3), level, np.uint8) for level in (100, 132)]
    made = whole.blended((64, 96), every, parts)
    right = every[1].left

    def weight(place):
        return min(1, (place + 0.5) / 32, (64 - place - 0.5) / 32)

    for column in range(96):
        inside = [
            (weight(column - left), level)
            for left, level in ((0, 100), (right, 132))
            if 0 <= column - left < 64
        ]
        expected = sum(w * level for w, level in inside) / sum(w for w, _ in inside)
        assert np.abs(made[:, column] - expected).max() <= 0.51
    assert np.abs(np.diff(made[0, :, 0].astype(int))).max() <= 4
    same = np.random.default_rng(0).integers(0, 256, (64, 96, 3), np.uint8)
    np.testing.assert_array_equal(
        whole.blended((64, 96), every, [same[tile.part] for tile in every]), same
    )


@pytest.mark.slow
@pytest.mark.parametrize("blind", [False, True])
def test_each_tile_is_inverted_for_itself_with_its_part_of_one_plane(blind):
    heard = []
    given = None if blind else PLANE
    result = whole.invert(KEY, PHOTO, given, SETTINGS, on_chunk=heard.append)
    plane = extractors.extract(PHOTO) if blind else PLANE
    every = whole.grid(64, 96, 64)
    alone = [
        anonymize.invert(
            jax.random.fold_in(KEY, n), PHOTO[tile.part], np.asarray(plane)[tile.part], SETTINGS
        )
        for n, tile in enumerate(every)
    ]
    expected = whole.blended((64, 96), every, [one.pixels for one in alone])
    np.testing.assert_array_equal(result.pixels, expected)
    assert result.psnr == pytest.approx(oracles.psnr(result.pixels, PHOTO), abs=1e-3)
    assert result.settings["tiles"] == 2
    assert result.settings["steps"] == 12
    assert result.history is None
    assert bool(result.z) is not blind
    assert heard[0].tiles == 2
    assert all(len(x) == 0 for x in heard[0].psnr.values())
    assert max(len(x) for at in heard for x in at.psnr.values()) == 6


@pytest.mark.slow
def test_a_photo_no_larger_than_a_tile_is_inverted_as_ever():
    small, plane = PHOTO[:, :64], PLANE[:, :64]
    for given in (plane, None):
        one = whole.invert(KEY, small, given, SETTINGS)
        other = anonymize.invert(KEY, small, given, SETTINGS)
        np.testing.assert_array_equal(one.pixels, other.pixels)
        np.testing.assert_array_equal(one.history.psnr, other.history.psnr)
        assert one.settings == other.settings
        assert one.z == other.z


@pytest.mark.slow
def test_a_tile_without_noise_stays_as_it_is():
    black = PHOTO.copy()
    black[:, 32:] = 0
    result = whole.invert(KEY, black, None, SETTINGS)
    assert result.settings["tiles"] == 1
    np.testing.assert_array_equal(result.pixels[:, 64:], 0)
    alone = anonymize.invert(
        jax.random.fold_in(KEY, 0), black[:, :64], extractors.extract(black)[:, :64], SETTINGS
    )
    np.testing.assert_array_equal(result.pixels[:, :32], alone.pixels[:, :32])
    with pytest.raises(FlatPhotoError):
        whole.invert(KEY, np.zeros_like(PHOTO), None, SETTINGS)
