"""Fingerprints in one pass: the estimate is that of all photos, and the figures tell good flats."""

import jax
import numpy as np
import pytest

from dippas_jax.datasets import synthetic
from dippas_jax.signal import fingerprint, flat_field
from dippas_jax.types import InputError
from tests import oracles

SIZE = 128
result = flat_field.estimate


def flats(count, seed=0, strength=0.02):
    return list(synthetic.flats(synthetic.Camera(seed, strength=strength), SIZE, SIZE, count))


def test_two_halves_together_are_the_estimate_from_all_photos():
    photos = flats(5)
    found = np.asarray(result(photos).plane)
    sums = fingerprint.init(SIZE, SIZE)
    one = jax.jit(fingerprint.update)
    for pixels in photos:
        sums = one(sums, pixels)
    np.testing.assert_allclose(found, jax.jit(fingerprint.estimate)(sums), atol=1e-3 * found.std())
    np.testing.assert_allclose(found, oracles.fingerprint(photos), atol=1e-2 * found.std())


def test_reliability_is_the_correlation_of_every_second_photo_with_the_others():
    photos = flats(6)
    halves = oracles.fingerprint(photos[::2]), oracles.fingerprint(photos[1::2])
    assert float(result(photos).reliability) == pytest.approx(oracles.ncc(*halves), abs=2e-4)


def test_reliability_of_all_predicts_the_correlation_with_as_many_other_photos():
    photos = flats(16, strength=0.004)
    first, second = result(photos[:8]), result(photos[8:])
    measured = oracles.ncc(np.asarray(first.plane), np.asarray(second.plane))
    assert measured > 1.1 * float(first.reliability)  # the correction is needed
    assert flat_field.of_all(float(first.reliability)) == pytest.approx(measured, abs=0.05)


def test_one_photo_has_no_reliability_and_noise_has_none_to_speak_of():
    assert np.isnan(result(flats(1)).reliability)
    mixed = [flats(1, seed=seed)[0] for seed in range(4)]
    assert abs(float(result(mixed).reliability)) < 5 / SIZE


def test_flatness_is_the_relative_spread_of_cells():
    pixels = synthetic.expose(synthetic.Camera(), synthetic.scene(0, 100), 0)
    grey = oracles.luma(pixels)
    means = [
        grey[i : i + 16, j : j + 16].mean() for i in range(0, 96, 16) for j in range(0, 96, 16)
    ]
    expected = np.std(means) / np.mean(means)
    assert float(flat_field.unevenness(pixels)) == pytest.approx(expected, rel=1e-4)
    assert float(flat_field.unevenness(np.full((64, 70, 3), 9, np.uint8))) == pytest.approx(
        0, abs=1e-6
    )
    assert float(flat_field.unevenness(np.zeros((64, 70, 3), np.uint8))) == 0


def test_flat_photos_are_flat_and_scenes_are_not():
    scene = synthetic.expose(synthetic.Camera(), synthetic.scene(1, SIZE), 0)
    flat, mixed = result(flats(2)), result([scene, *flats(1)])
    assert float(flat.flatness) < 0.05
    assert float(mixed.flatness) == pytest.approx(
        (float(flat_field.unevenness(scene)) + float(flat_field.unevenness(flats(1)[0]))) / 2,
        rel=1e-3,
    )


def test_saturation_is_the_share_of_pixels_with_a_saturated_channel():
    clipped, rest = flats(2)
    clipped[:40, :, 1] = 255
    share = np.mean((oracles.usable(clipped) == 0).any(-1)) / 2
    assert share > 0.12
    assert float(result([clipped, rest]).saturation) == pytest.approx(share, rel=1e-4)


def test_each_photo_is_taken_when_its_turn_comes(monkeypatch):
    """So the memory is that of one photo, whatever their number."""
    update, added = flat_field._update, []

    def counted(*given, **options):
        added.append(1)
        return update(*given, **options)

    def one_by_one():
        for number, pixels in enumerate(flats(3)):
            assert len(added) == number
            yield pixels

    monkeypatch.setattr(flat_field, "_update", counted)
    assert np.isfinite(result(one_by_one()).plane).all()
    assert len(added) == 3


def test_the_residual_looks_for_the_noise_it_is_told_of():
    photos = flats(2)
    found = np.asarray(result(photos, sigma=6.0).plane)
    expected = oracles.fingerprint(photos, sigma=6.0)
    np.testing.assert_allclose(found, expected, atol=1e-2 * found.std())
    assert np.abs(found - np.asarray(result(photos).plane)).max() > 0.1 * found.std()


def test_no_photo_and_photos_of_two_sizes_are_refused_in_one_sentence():
    with pytest.raises(InputError, match=r"^there is no flat-field photo; give 20 or more"):
        result([])
    photos = [*flats(2), flats(1)[0][:, :-1]]
    words = r"^flat-field photo 3 is of 128x127 .* first of 128x128; give photos of one size"
    with pytest.raises(InputError, match=words):
        result(photos)
