"""Simulated cameras: the photos follow the model, and the fingerprint is one that can be found."""

import hashlib

import jax
import numpy as np
import pytest

from dippas_jax import config
from dippas_jax.datasets import reader, synthetic
from dippas_jax.signal import correlation, residual
from dippas_jax.types import InputError, Window

H, W = 128, 160
PLAIN = synthetic.Camera(strength=0.0, read_noise=0.0)
ROUNDING = 1 / 12  # variance of rounding to whole grey levels


def grey(level, height=H, width=W):
    return np.full((height, width, 3), level / 255.0)


def test_the_planted_fingerprint_is_white_and_of_the_stated_strength():
    k = synthetic.Camera(strength=0.01).fingerprint(H, W)
    n = k.size
    assert abs(k.mean()) < 4 * 0.01 / np.sqrt(n)
    assert abs(k.std() / 0.01 - 1) < 4 / np.sqrt(2 * n)
    for axis in (0, 1):
        neighbours = np.mean(k * np.roll(k, 1, axis)) / k.var()
        assert abs(neighbours) < 4 / np.sqrt(n)


def test_cameras_of_different_seeds_have_independent_fingerprints():
    a, b = (synthetic.Camera(seed).fingerprint(H, W) for seed in (0, 1))
    assert abs(np.corrcoef(a.ravel(), b.ravel())[0, 1]) < 4 / np.sqrt(a.size)


@pytest.mark.parametrize("level", [40, 100, 200])
def test_mean_and_variance_of_a_flat_follow_the_model(level):
    camera = synthetic.Camera(strength=0.01, electrons=20.0, read_noise=1.5)
    shots = synthetic.expose(camera, grey(level), 0).astype(float)
    photons = level / 20.0 + 1.5**2 + ROUNDING
    variance = photons + (0.01 * level) ** 2
    n = H * W  # three channels share K, so count the pixels once
    assert abs(shots.mean() - level) < 4 * np.sqrt(variance / n)
    assert abs(shots.var() / variance - 1) < 4 * np.sqrt(2 / n)
    # The channels differ by the noise alone.
    between = np.var(shots[..., 0] - shots[..., 1]) / 2
    assert abs(between / photons - 1) < 4 * np.sqrt(2 / n)


def test_shot_noise_grows_in_proportion_to_the_light():
    levels = np.array([20.0, 60.0, 100.0, 140.0, 180.0])
    camera = synthetic.Camera(strength=0.0, electrons=10.0, read_noise=0.0)
    variances = [synthetic.expose(camera, grey(g), 0).astype(float).var() for g in levels]
    slope, offset = np.polyfit(levels, np.array(variances) - ROUNDING, 1)
    error = 4 * np.sqrt(2 / (3 * H * W)) * levels.max() / 10
    assert abs(slope - 1 / 10) < error / np.ptp(levels)
    assert abs(offset) < 2 * error


def test_the_fingerprint_multiplies_the_light():
    camera = synthetic.Camera(strength=0.02, electrons=200.0)
    k = camera.fingerprint(H, W)
    slopes = []
    for level in (50, 100, 200):
        mean = synthetic.expose(camera, grey(level), 0).astype(float).mean(-1)
        slopes.append(np.sum((mean - level) * k) / np.sum(k * k) / level)
    np.testing.assert_allclose(slopes, 1, atol=0.05)


@pytest.mark.parametrize("level", [0, 255])
def test_photos_are_clipped_to_eight_bits(level):
    shot = synthetic.expose(synthetic.Camera(strength=0.05, read_noise=5.0), grey(level), 0)
    assert shot.dtype == np.uint8
    assert np.mean(shot == level) > 0.4  # half the noise lies beyond the end of the scale


def test_draws_depend_on_seed_purpose_and_number_only():
    camera = synthetic.Camera(3)
    forwards = list(synthetic.flats(camera, 64, 64, 3))
    np.testing.assert_array_equal(list(synthetic.flats(camera, 64, 64, 5))[2], forwards[2])
    again = synthetic.expose(camera, synthetic.scene(0, 64), 2)
    np.testing.assert_array_equal(again, synthetic.expose(camera, synthetic.scene(0, 64), 2))
    other = synthetic.expose(camera, synthetic.scene(0, 64), 1)
    assert np.any(again != other)
    # A flat and a scene of one number do not share their noise.
    wall = synthetic.expose(PLAIN, grey(190), 0)
    flat = synthetic.expose(PLAIN, grey(190), 0, purpose=synthetic._FLAT_SHOT)
    assert abs(np.corrcoef(wall.ravel(), flat.ravel())[0, 1]) < 4 / np.sqrt(wall.size)


def test_flats_are_bright_even_and_unsaturated():
    flat = next(synthetic.flats(synthetic.Camera(), H, W))
    centre, corner = flat[56:72, 72:88].mean(), flat[:16, :16].mean()
    assert 187 < centre < 192
    assert 0.88 < corner / centre < 0.95
    assert flat.max() < 250


def test_scenes_are_photographs_that_need_no_download():
    for index in range(5):
        scene = synthetic.scene(index, 192)
        assert scene.shape == (192, 192, 3)
        assert 0 <= scene.min() < 0.2 < 0.6 < scene.max() <= 1
    assert synthetic.scene(1, synthetic.LARGEST).shape == (300, 300, 3)
    assert np.any(synthetic.scene(0, 64) != synthetic.scene(2, 64))


def z_score(pixels, fingerprint):
    noise = jax.jit(residual.residual)(pixels)
    ncc = correlation.ncc(noise, correlation.pattern(pixels, fingerprint))
    return float(correlation.z_score(ncc, *pixels.shape[:2]))


def test_the_camera_is_found_in_its_photo_and_another_is_not():
    (record,) = synthetic.records(size=128)
    pixels, fingerprint, _ = record.read()
    assert pixels.shape == (128, 128, 3)
    assert fingerprint.shape == (128, 128)
    assert fingerprint.dtype == np.float32
    planted = synthetic.Camera().fingerprint(128, 128)
    assert 0.8 < np.corrcoef(planted.ravel(), fingerprint.ravel())[0, 1] < 0.95
    assert 10 < z_score(pixels, fingerprint) < 25
    other = synthetic.estimate(synthetic.Camera(1), 128, 128)
    assert abs(z_score(pixels, other)) < 4


def test_records_are_distinct_photos_of_one_camera():
    records = synthetic.records(size=64, count=4, seed=5)
    assert [record.id for record in records] == [
        "synthetic_5_coffee_0",
        "synthetic_5_chelsea_1",
        "synthetic_5_coffee_2",
        "synthetic_5_chelsea_3",
    ]
    samples = [record.read() for record in records]
    assert len({sample.pixels.tobytes() for sample in samples}) == 4
    camera = synthetic.Camera(5, strength=0.0)
    (plain,) = synthetic.records(size=64, camera=camera)
    assert np.any(plain.read().pixels != samples[0].pixels)


def test_the_default_photo_is_the_one_that_the_readme_measures():
    pixels = reader.load()[0].read().pixels
    assert hashlib.sha256(pixels.tobytes()).hexdigest() == (
        "a4b1e6c017bd69f2a24d3b770aa92a55c51c8cf3ef541268c8afa5c2b626ec03"
    )


def test_a_window_of_a_simulated_photo_is_all_of_it():
    (record,) = synthetic.records(size=64)
    assert record.read().window == Window((64, 64), 0, 0, 64, 64)
    assert (record.path, record.fingerprint) == (None, None)


def test_several_cameras_take_as_many_photos_each_as_asked_for():
    def devices(**options):
        return [record.device for record in reader.load(config.Data(crop=64, **options))]

    assert devices(cameras=3) == ["synthetic_0", "synthetic_1", "synthetic_2"]
    assert devices(cameras=2, per_device=2) == ["synthetic_0"] * 2 + ["synthetic_1"] * 2
    assert devices(cameras=2, limit=3) == ["synthetic_0", "synthetic_0", "synthetic_1"]
    assert devices(per_device=2) == ["synthetic_0"] * 2
    records = reader.load(config.Data(crop=64, cameras=2))
    (alone,) = synthetic.records(size=64, seed=1)
    np.testing.assert_array_equal(records[1].read().pixels, alone.read().pixels)
    np.testing.assert_array_equal(records[1].read().fingerprint, alone.read().fingerprint)


def test_estimates_from_other_flat_fields_agree_in_the_fingerprint_alone():
    camera = synthetic.Camera(2)
    size, count = 128, 12
    planes = [synthetic.estimate(camera, size, size, count, first) for first in (0, count)]
    assert np.any(planes[0] != planes[1])
    planted = camera.fingerprint(size, size).ravel()
    own = [np.corrcoef(planted, plane.ravel())[0, 1] for plane in planes]
    between = np.corrcoef(planes[0].ravel(), planes[1].ravel())[0, 1]
    # Independent errors: what two estimates share is what each shares with the truth.
    assert abs(between - own[0] * own[1]) < 4 / size
    ahead = list(synthetic.flats(camera, 64, 64, 2, 1))
    np.testing.assert_array_equal(ahead[0], list(synthetic.flats(camera, 64, 64, 2))[1])


def test_flat_fields_on_call_are_not_those_behind_the_fingerprint():
    data = config.Data(cameras=2)
    reads = reader.flats(data, "synthetic_1", "flat", (64, 80))
    assert len(reads) == synthetic.FLATS
    other = synthetic.flats(synthetic.Camera(1), 64, 80, 2, synthetic.FLATS)
    for read, flat in zip(reads, other, strict=False):
        np.testing.assert_array_equal(read(), flat)
    assert reader.flats(data, "synthetic_1")[0]().shape == (128, 128, 3)
    assert reader.flats(data, "Nikon_D70_0") == []
    assert reader.passed_over(data) == []


def test_load_gives_the_simulated_camera_where_no_folder_is_named():
    records = reader.load()
    assert reader.check(records) == [(synthetic.SIZE, synthetic.SIZE)]
    assert reader.check(reader.load(config.Data(crop=64, limit=2))) == [(64, 64)] * 2


@pytest.mark.parametrize(
    ("size", "words"), [(63, "at least 64"), (301, "choose 64 to 300"), (-1, "at least 64")]
)
def test_a_size_beyond_the_scenes_is_refused(size, words):
    with pytest.raises(InputError, match=words):
        reader.load(config.Data(crop=size))
