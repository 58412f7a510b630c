"""Copies of a photo against other photos of the same camera."""

import io

import numpy as np
import pytest
from PIL import Image

from dippas_jax.datasets import synthetic
from dippas_jax.signal import copies
from tests import oracles

SIZE = 192


def flats(number, **camera):
    return list(synthetic.flats(synthetic.Camera(3, **camera), SIZE, SIZE, number))


def alike(one, two):
    return float(copies.noise(one) @ copies.noise(two))


def saved(pixels, kind, quality):
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, kind, quality=quality)
    return np.asarray(Image.open(file).convert("RGB"))


def test_two_photos_share_the_fingerprint_alone():
    one, two = flats(2)
    assert 0 < alike(one, two) < copies.ALIKE / 2
    strong = flats(2, strength=0.02)  # thrice what sensors have
    assert copies.ALIKE < alike(*strong) < copies.SAME


@pytest.mark.parametrize(("quality", "least"), [(98, 0.8), (95, 0.6)])
def test_a_copy_saved_again_is_more_alike_than_photos_of_a_camera(quality, least):
    one, two = flats(2)
    assert alike(one, saved(one, "JPEG", quality)) > max(least, 5 * alike(one, two))


def test_a_copy_of_the_same_pixels_is_the_same():
    (one,) = flats(1)
    assert alike(one, one.copy()) == pytest.approx(1)


def test_a_brighter_copy_is_one():
    (one,) = flats(1)
    assert alike(one, np.clip(1.1 * one + 5, 0, 255).astype(np.uint8)) > copies.SAME


def test_likeness_is_the_correlation_of_residuals():
    one, two = flats(2, strength=0.02)
    expected = oracles.ncc(*(oracles.residual(photo.astype(float)) for photo in (one, two)))
    assert alike(one, two) == pytest.approx(expected, abs=0.01)  # but for the tails


def test_hot_pixels_do_not_make_photos_alike():
    one, two = flats(2)
    rng = np.random.default_rng(0)
    hot = rng.random((SIZE, SIZE)) < 0.002
    for photo in (one, two):
        photo[hot] = 255
    assert alike(one, two) < copies.ALIKE


def test_photos_without_noise_are_like_nothing():
    wall = np.full((SIZE, SIZE, 3), 150, np.uint8)
    assert alike(wall, wall) == 0
