"""Photos larger than a tile: where the tiles lie, what each gives, and how they become one."""

import dataclasses
import itertools

import jax
import numpy as np
import pytest

from dippas_jax.prior import anonymize, inversion, tiling, whole
from dippas_jax.signal import extractors
from dippas_jax.types import FlatPhotoError, InputError
from tests import oracles, tiny

KEY = jax.random.key(4)
SETTINGS = dataclasses.replace(tiny.settings(stop_psnr=90.0, max_steps=6), tile=64)
PLANE = tiny.fingerprint(64, 96)
PHOTO = oracles.photo(3, 64, 96, 10 * PLANE)


@pytest.mark.parametrize(
    ("height", "width", "side", "expected"),
    [
        (64, 64, 64, (64, 64)),
        (64, 65, 64, (64, 64)),
        (65, 250, 100, (65, 96)),
        (100, 96, 64, (64, 64)),
        (97, 96, 64, (64, 64)),
        (511, 1200, 512, (511, 448)),
        (1024, 1024, 512, (384, 384)),
        (2000, 3008, 512, (480, 480)),
        (3008, 2000, 512, (480, 480)),
        (2000, 3008, 0, (2000, 3008)),
    ],
)
def test_tiles_are_whole_of_one_shape_and_share_enough_with_their_neighbours(
    height, width, side, expected
):
    found = tiling.grid(height, width, side)
    covered = np.zeros((height, width), int)
    rows, columns = found[0].height, found[0].width
    for tile in found:
        assert (tile.height, tile.width) == (rows, columns)
        assert tile.top >= 0 <= tile.left
        covered[tile.part] += 1
        assert covered[tile.part].shape == (tile.height, tile.width), "it ends within the photo"
    assert covered.min() == 1
    for places, length in (
        (sorted({tile.top for tile in found}), rows),
        (sorted({tile.left for tile in found}), columns),
    ):
        gaps = [after - before for before, after in itertools.pairwise(places)]
        assert all(length - gap >= tiling.OVERLAP for gap in gaps)
        assert max(gaps, default=0) - min(gaps, default=0) <= 1, "evenly spread"
    side = side or max(height, width)
    fewer = (len({t.top for t in found}) - 1) * (side - tiling.OVERLAP) + tiling.OVERLAP
    assert fewer < height or fewer <= tiling.OVERLAP, "no tile more than needed"
    assert (rows, columns) == expected


def test_tiles_pass_into_each_other_without_a_step():
    """By loops; two tiles of different brightness show no jump larger than a ramp's."""
    every = tiling.grid(64, 96, 64)
    parts = [np.full((64, 64, 3), level, np.uint8) for level in (100, 132)]
    made = tiling.blended((64, 96), every, parts)
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
        tiling.blended((64, 96), every, [same[tile.part] for tile in every]), same
    )


def test_tiles_at_work_together_have_their_time_together():
    tiled = tiling.cut(KEY, np.tile(PHOTO, (1, 3, 1)), None, SETTINGS)
    count = len(tiled.every)
    assert count > 4
    one = [tiling.until(tiled, n, 10.0, 10.0 + count, slots=1) for n in range(count)]
    np.testing.assert_allclose(one, 11.0 + np.arange(count))
    two = [tiling.until(tiled, n, 10.0, 10.0 + count, slots=2) for n in range(count)]
    assert two[:4] == [12.0, 12.0, 14.0, 14.0]
    assert two[-1] == 10.0 + count, "the last ones have until the end"
    all_at_once = [tiling.until(tiled, n, 10.0, 10.0 + count, slots=99) for n in range(count)]
    assert all_at_once == [10.0 + count] * count


@pytest.mark.parametrize("blind", [False, True])
def test_a_pattern_that_is_planted_in_a_tile_is_injected_with_its_noise(blind):
    """As in a photo of one network: blind, the network is helped with both or with neither."""
    assembly = dataclasses.replace(SETTINGS.assembly, compensation=1.0)
    settings = dataclasses.replace(SETTINGS, assembly=assembly)
    tiled = tiling.cut(KEY, PHOTO, None if blind else PLANE, settings)
    _, injected, planted = tiling.stated(tiled, 1, settings)
    part = tiled.every[1].part
    expected = extractors.extract(planted.photo) if blind else PLANE[part]
    np.testing.assert_allclose(injected, expected, atol=1e-4)
    assert (planted.photo != PHOTO[part]).any()


@pytest.mark.slow
@pytest.mark.parametrize("blind", [False, True])
def test_each_tile_is_inverted_for_itself_with_its_part_of_one_plane(blind):
    heard = []
    given = None if blind else PLANE
    result = whole.invert(KEY, PHOTO, given, SETTINGS, on_chunk=heard.append)
    plane = extractors.extract(PHOTO) if blind else PLANE
    every = tiling.grid(64, 96, 64)
    alone = [
        anonymize.invert(
            jax.random.fold_in(KEY, n), PHOTO[tile.part], np.asarray(plane)[tile.part], SETTINGS
        )
        for n, tile in enumerate(every)
    ]
    expected = tiling.blended((64, 96), every, [one.pixels for one in alone])
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


@pytest.mark.slow
@pytest.mark.parametrize("slots", [1, 3])
def test_photos_of_any_size_in_common_slots_are_what_each_is_alone(slots):
    """Two tiles, a flat photo, one tile, one too small, one tile of another shape, one tile."""
    wide = oracles.photo(8, 64, 64, 10 * PLANE[:, :64])
    other = oracles.photo(9, 66, 64, 10 * tiny.fingerprint(66, 64))[:, :64]
    photos = [
        whole.Asked(KEY, PHOTO),
        whole.Asked(KEY, np.zeros_like(PHOTO)),
        whole.Asked(jax.random.key(7), PHOTO[:, :64], PLANE[:, :64]),
        whole.Asked(KEY, PHOTO[:40]),
        whole.Asked(KEY, other, tiny.fingerprint(66, 64)),
        whole.Asked(KEY, wide, PLANE),
        whole.Asked(jax.random.key(8), wide),
    ]
    settings = dataclasses.replace(SETTINGS, tile=66)
    asked, most = [], []

    def given():
        for number, photo in enumerate(photos):
            asked.append(number)
            yield photo

    found = {}

    def on_result(number, result):
        assert number not in found
        most.append(len(asked) - len(found))
        found[number] = result

    whole.invert_all(given(), on_result, settings, slots=slots, devices=jax.devices()[:1])
    assert sorted(found) == list(range(len(photos)))
    assert max(most) <= slots + 1, "one of another shape waits"
    for number in (1, 3, 5):
        assert isinstance(found[number], InputError)
    assert isinstance(found[1], FlatPhotoError)
    assert "too small" in str(found[3])
    for number in (0, 2, 4, 6):
        photo = photos[number]
        alone = whole.invert(photo.key, photo.photo, photo.fingerprint, settings)
        np.testing.assert_array_equal(found[number].pixels, alone.pixels)
        assert found[number].settings == alone.settings
        assert found[number].psnr == alone.psnr
        assert found[number].z == alone.z


def test_a_photo_of_which_a_tile_is_lost_stops_no_other(monkeypatch):
    """The first tile of the first photo: its second one is not begun, and the next photo is."""
    stated = anonymize.stated

    def broken(key, photo, *rest):
        problem, plane, planted = stated(key, photo, *rest)
        if np.array_equal(photo, PHOTO[:, :64]):
            problem = problem._replace(fingerprint=problem.fingerprint * np.nan)
        return problem, plane, planted

    monkeypatch.setattr(anonymize, "stated", broken)
    asked = [whole.Asked(KEY, PHOTO), whole.Asked(KEY, PHOTO[:, 32:])]
    heard = []
    found = []
    whole.invert_all(
        asked,
        lambda *of_photo: found.append(of_photo),
        SETTINGS,
        slots=1,
        devices=jax.devices()[:1],
        on_chunk=heard.append,
    )
    (first, lost), (second, kept) = found
    assert (first, second) == (0, 1)
    assert isinstance(lost, anonymize.DivergedError)
    assert kept.settings["steps"] == 6
    assert max(number for at in heard for number in at.psnr) == 1, "two tiles in all"


@pytest.mark.slow
def test_a_photo_goes_on_from_what_was_saved_and_ends_in_the_same_bytes():
    """Two tiles one after the other: cut off in the second one, both go on from where they were."""
    settings = dataclasses.replace(SETTINGS, checkpoint_seconds=0.0)
    one = {"slots": 1, "devices": jax.devices()[:1]}
    saved, heard, found = {}, [], []

    def save(tile, progress):
        saved.setdefault(tile, []).append(jax.device_get(progress))
        if tile == 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        whole.invert_all(
            [whole.Asked(KEY, PHOTO, save=save)], lambda *_: found.append(1), settings, **one
        )
    assert not found
    steps = {tile: [int(progress.steps) for progress in some] for tile, some in saved.items()}
    assert steps == {0: [3, 6, 6], 1: [3]}, "a chunk has 3 steps; the last of tile 0 is its end"
    again = whole.Asked(KEY, PHOTO, restore=lambda tile, start: saved[tile][-1])
    whole.invert_all(
        [again], lambda _, result: found.append(result), settings, on_chunk=heard.append, **one
    )
    begun = {number: len(psnr) for at in reversed(heard) for number, psnr in at.psnr.items()}
    assert begun == {0: 6, 1: 6}, "tile 0 is over, tile 1 is first seen after a chunk of its own"
    alone = whole.invert(KEY, PHOTO, None, settings)
    np.testing.assert_array_equal(found[0].pixels, alone.pixels)
    assert found[0].settings == alone.settings


def test_a_flat_photo_of_one_tile_has_nothing_to_remove_whether_k_is_known_or_not():
    for known in (None, PLANE[:, :64]):
        with pytest.raises(FlatPhotoError, match="no noise to remove"):
            whole.invert(KEY, np.full((64, 64, 3), 90, np.uint8), known, SETTINGS)


def test_a_mean_of_the_fingerprint_is_neither_injected_nor_scored():
    """A map of gains around 1: I·K would be nearly the photo, and correlate with every scene."""
    small, gains = PHOTO[:, :64], (1 + 0.002 * PLANE[:, :64]).astype(np.float32)
    centred = gains - np.float32(gains.mean(dtype=np.float64))
    short = dataclasses.replace(tiny.settings(stop_psnr=90.0, max_steps=3), tile=64)
    found, same = (whole.invert(KEY, small, plane, short) for plane in (gains, centred))
    np.testing.assert_array_equal(found.pixels, same.pixels)
    assert found.z == same.z == extractors.scores(found.pixels, centred)


@pytest.mark.parametrize("photo", [np.zeros(3, np.uint8), np.zeros((64, 64), np.uint8)])
def test_what_is_no_photo_is_refused_in_a_sentence(photo):
    with pytest.raises(InputError, match="photo"):
        whole.invert(jax.random.key(0), photo, None, tiny.settings())


def test_where_a_fingerprint_is_constant_nothing_is_injected():
    """As in a tile of one that was masked."""
    photo = oracles.photo(3, 64, 64)
    problem = inversion.problem(jax.random.key(0), photo, np.zeros((64, 64), np.float32))
    np.testing.assert_array_equal(problem.fingerprint, 0)
    masked = np.full((64, 48), -0.013, np.float32)  # the mean was taken out of it
    problem = inversion.problem(jax.random.key(0), photo[:, :48], masked)
    np.testing.assert_array_equal(problem.fingerprint, 0)
    wide, plane = np.concatenate([photo, photo], 1), tiny.fingerprint(64, 128)
    plane[:, 64:] = 0
    chosen = dataclasses.replace(tiny.settings(max_steps=3), tile=64)
    result = whole.invert(jax.random.key(0), wide, plane, chosen)
    assert np.isfinite(result.psnr)
