"""Estimates of time: one remembered rate a method, and a guess where there is none."""

import json

import jax
import pytest

from dippas_jax.cli import pace
from dippas_jax.io import files
from dippas_jax.signal import tiles
from dippas_jax.sparse import anonymize as sparse


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setattr(files, "cache_folder", lambda: tmp_path / "cache")
    return tmp_path / "cache" / "pace.json"


def rate(method="sparse"):
    """Seconds a unit, and whether they were measured."""
    return pace.seconds(1.0, method)


def test_a_rate_is_seconds_by_units_and_kept_by_method_and_device(cache):
    guessed, measured = rate()
    assert guessed > 0
    assert not measured
    pace.remember("sparse", 12.0, 48.0)
    pace.remember("prior", 90.0, 30.0)
    assert rate() == (0.25, True)
    assert rate("prior") == (3.0, True)
    assert pace.seconds(8.0, "sparse") == (2.0, True)
    assert json.loads(cache.read_text()).keys() == {"cpu sparse", "cpu prior"}


def test_the_last_photo_decides(monkeypatch):
    pace.remember("sparse", 12.0, 48.0)
    pace.remember("sparse", 24.0, 48.0)
    assert rate() == (0.5, True)
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    assert not rate()[1], "of a device that was not timed, nothing is known"


def test_attackers_take_their_time_too():
    size = 600, 700
    guessed = pace.examining(size)
    assert guessed == pace.seconds(pace.work(size, method="sparse"), "sparse")[0]
    pace.remember("sparse", 12.0, 48.0)
    assert 0 < pace.examining(size) < guessed
    assert pace.examining(size) < pace.examining(size, aware=True)


def test_a_small_photo_tells_nothing(cache):
    pace.remember("sparse", 9.0, 0.25)
    pace.remember("prior", 9.0, 0.0)
    assert not cache.exists()


def test_a_memory_that_cannot_be_kept_is_no_failure(cache):
    cache.parent.write_text("a file in the folder's place")
    pace.remember("sparse", 12.0, 48.0)
    assert not rate()[1]


@pytest.mark.parametrize("content", [
    "", "{", "[1]", "7", '{"cpu sparse": -1}', '{"cpu sparse": NaN}', '{"cpu sparse": "fast"}',
    '{"cpu sparse": null}', '{"cpu sparse": true}', '{"cpu sparse": 1e9}',
])  # fmt: skip
def test_a_damaged_memory_is_none(cache, content):
    cache.parent.mkdir()
    cache.write_text(content)
    assert not rate()[1]
    pace.remember("sparse", 16.0, 16.0)
    assert rate() == (1.0, True)


def test_the_first_photo_of_a_shape_waits_for_its_programs():
    sizes = [(64, 96), (64, 96), (600, 700), (2000, 3008), (64, 128)]
    guess, again, full, larger, other = pace.waits(sizes, "sparse")
    assert guess == full == other > 0
    assert again == larger == 0, "tiles of one shape"
    pace.remember_wait("sparse", (2000, 3008), 12.5)
    assert pace.waits(sizes, "sparse") == [12.5, 0, 0, 0, 12.5]
    pace.remember_wait("sparse", (600, 700), 99.0)
    assert pace.waits([(64, 64)], "sparse") == [12.5], "the programs were there"
    pace.remember_wait("sparse", (64, 96), 7.0)
    assert pace.waits(sizes, "sparse") == [0, 0, 0, 0, 7.0]
    assert pace.waits([(600, 700)], "sparse", aware=True) == [7.0]
    assert pace.waits([(600, 700)], "prior") == [guess]
    assert pace.waits([(600, 700)], "inpainting") == [0]


def test_shapes_that_make_no_sense_are_forgotten(cache):
    cache.parent.mkdir()
    for shapes in ("7", "[7]", '"64x64"'):
        cache.write_text(f'{{"cpu sparse shapes": {shapes}, "cpu sparse": 2.0}}')
        assert pace.waits([(64, 64)], "sparse")[0] > 0
        assert rate() == (2.0, True)


def test_the_work_grows_with_the_photo():
    small, large = (pace.work((side, side), method="sparse") for side in (64, 256))
    assert large == pytest.approx(16 * small)
    assert pace.work((3000, 4000), method="sparse") > 10 * large
    aware = pace.work((3000, 4000), method="sparse", aware=True)
    assert aware - pace.work((3000, 4000), method="sparse") == pytest.approx(2 * 6 * 8)
    ticks = sparse.expected_ticks(64, 64)
    assert small == ticks * 64 * 64 / tiles.SIDE**2
    sizes = ((tiles.SIDE, tiles.SIDE), (tiles.SIDE, 2 * tiles.SIDE))
    steps = [pace.work(size, method="prior") for size in sizes]
    assert steps[1] == 3 * 512 * 384 / 512**2 * steps[0] > 100, (
        "tiles overlap, as little as they can"
    )
