"""Pixels, images and PSNR."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.ndimage

from dippas_jax.signal import image
from dippas_jax.types import InputError
from tests import oracles


def test_luma_weighs_the_channels_as_the_oracle_does_for_any_leading_axes():
    pixels = np.random.default_rng(0).integers(0, 256, (2, 3, 5, 7, 3), np.uint8)
    grey = image.luma(pixels)
    assert grey.shape == (2, 3, 5, 7)
    assert grey.dtype == jnp.float32
    np.testing.assert_allclose(grey, oracles.luma(pixels), atol=1e-4)


def test_luma_of_a_grey_photo_is_that_grey():
    np.testing.assert_allclose(image.luma(np.full((2, 2, 3), 77, np.uint8)), 77, atol=1e-4)


def test_every_pixel_value_survives_the_way_to_an_image_and_back():
    pixels = np.arange(256, dtype=np.uint8).repeat(3).reshape(16, 16, 3)
    there = image.to_image(pixels)
    assert there.dtype == jnp.float32
    assert float(there.min()) == 0
    assert float(there.max()) == 1
    back = image.to_pixels(there)
    assert back.dtype == jnp.uint8
    np.testing.assert_array_equal(back, pixels)


def test_pixels_are_rounded_to_nearest_halves_to_even_and_clipped():
    levels = np.array([-20, -0.4, 0.6, 254.4, 254.6, 300], np.float32)
    expected = np.array([0, 0, 1, 254, 255, 255], np.uint8)
    np.testing.assert_array_equal(
        image.to_pixels((levels / 255).reshape(1, 2, 3)).ravel(), expected
    )
    # 127.5 of 255 is exact in float32: the one half-way point that an image can really hold.
    assert int(image.to_pixels(np.full((1, 1, 3), 0.5, np.float32))[0, 0, 0]) == 128


def test_psnr_of_uint8_does_not_wrap_round():
    a, b = np.full((4, 4, 3), 10, np.uint8), np.full((4, 4, 3), 20, np.uint8)
    for one, other in ((a, b), (b, a)):
        assert float(image.psnr(one, other)) == pytest.approx(20 * np.log10(25.5), abs=1e-4)


def test_psnr_agrees_with_the_oracle_and_broadcasts_a_photo_over_snapshots():
    rng = np.random.default_rng(1)
    photo = rng.integers(0, 256, (33, 21, 3), np.uint8)
    snapshots = rng.integers(0, 256, (4, 33, 21, 3), np.uint8)
    snapshots[2] = photo
    ratios = image.psnr(snapshots, photo)
    expected = [oracles.psnr(snapshot, photo) for snapshot in snapshots]
    np.testing.assert_allclose(ratios, expected, atol=1e-4)
    assert ratios[2] == jnp.inf


def test_psnr_of_a_large_photo_keeps_its_precision():
    rng = np.random.default_rng(2)
    a = rng.integers(0, 256, (1500, 2000, 3), np.uint8)
    b = np.clip(a + rng.integers(-3, 4, a.shape), 0, 255).astype(np.uint8)
    assert float(image.psnr(a, b)) == pytest.approx(oracles.psnr(a, b), abs=1e-4)


def test_psnr_has_a_finite_gradient_where_photos_are_equal():
    photo = jnp.full((4, 4, 3), 100.0)
    gradient = jax.grad(lambda x: image.psnr(x, photo))(photo)
    assert bool(jnp.isfinite(gradient).all())


def test_center_crop_takes_the_middle_of_photos_and_of_planes():
    photos = np.arange(2 * 7 * 10 * 3).reshape(2, 7, 10, 3)
    np.testing.assert_array_equal(image.center_crop(photos, 4, 6), photos[:, 1:5, 2:8])
    planes = photos[..., 0]
    np.testing.assert_array_equal(
        image.center_crop(planes, 4, 6, axes=(-2, -1)), planes[:, 1:5, 2:8]
    )
    np.testing.assert_array_equal(image.center_crop(photos, 7, 10), photos)


def test_center_crop_says_what_does_not_fit():
    with pytest.raises(ValueError, match="8x6 does not fit into 7x10"):
        image.center_crop(np.zeros((7, 10, 3)), 8, 6)


def test_the_busier_half_is_where_the_blurred_photo_changes_most():
    photo = oracles.photo(3, 65, 78)
    mean = scipy.ndimage.uniform_filter(oracles.luma(photo), 5, mode="nearest")
    size = np.hypot(*np.gradient(mean))
    ours = np.asarray(image.busy(photo))
    assert ours.dtype == bool
    assert (ours != (size > np.median(size))).sum() <= 2
    assert abs(ours.mean() - 0.5) < 0.01


@pytest.mark.parametrize(
    ("photo", "words"),
    [
        (np.zeros((64, 64, 3), np.float32), r"the photo is float32 \[64, 64, 3\]"),
        (np.zeros((64, 64, 3), np.uint16), r"the photo is uint16 \[64, 64, 3\]"),
        (np.zeros((64, 64), np.uint8), r"the photo is uint8 \[64, 64\]"),
        (np.zeros((64, 64, 4), np.uint8), r"the photo is uint8 \[64, 64, 4\]"),
        (np.zeros((1, 64, 64, 3), np.uint8), r"the photo is uint8 \[1, 64, 64, 3\]"),
        (np.zeros((63, 64, 3), np.uint8), "photo of 63x64 pixels is too small"),
        (np.zeros((64, 63, 3), np.uint8), "photo of 64x63 pixels is too small"),
        ("a.jpg", "the photo, of type str, cannot be used as an array"),
        ([np.zeros((64, 65, 3)), np.zeros((64, 64, 3))], "the photo, of type list, cannot be used"),
    ],
)
def test_what_is_no_photo_is_refused_in_one_sentence(photo, words):
    image.require_photo(np.zeros((64, 65, 3), np.uint8))
    with pytest.raises(InputError, match=f"^{words}.*; give ") as caught:
        image.require_photo(photo)
    assert "\n" not in str(caught.value)


def test_decibels_of_parts_that_add_up_are_the_psnr_of_the_whole():
    rng = np.random.default_rng(4)
    a, b = rng.integers(0, 256, (2, 33, 21, 3)).astype(np.uint8)
    squares = [np.sum((a[part].astype(float) - b[part]) ** 2) for part in np.s_[:10, 10:]]
    assert image.decibels(sum(squares), a.size) == pytest.approx(oracles.psnr(a, b), abs=1e-9)
    assert image.decibels(0.0, a.size) == np.inf


def test_a_photos_randomness_is_of_the_seed_and_of_the_name():
    def draw(*given):
        return jax.random.bits(image.photo_key(*given)).item()

    drawn = [draw(*given) for given in ((0, "a"), (0, "b"), (1, "a"), (1, "b"))]
    assert len(set(drawn)) == 4
    assert draw(0, b"a") == drawn[0], "the bytes of a name are the name"
    assert draw(2**32 - 1, "ü") == draw(2**32 - 1, "ü".encode())
