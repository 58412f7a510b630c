"""Maximum-likelihood fingerprints, against the oracle and against what was planted."""

import functools
import os
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from dippas_jax.signal import correlation, extractors, fingerprint, image
from tests import oracles

update = jax.jit(fingerprint.update)
estimate = jax.jit(fingerprint.estimate)


def from_photos(photos):
    start = fingerprint.init(*photos[0].shape[:2])
    return functools.reduce(update, photos, start)


def flats(count, planted, seed=0):
    """Nearly uniform photos of the camera whose fingerprint was planted."""
    rng = np.random.default_rng(seed)
    levels = rng.uniform(120, 220, (count, 1, 1, 1)) * (1 + planted[..., None] / 255)
    noisy = levels + 2 * rng.standard_normal((count, *planted.shape, 3))
    return np.clip(np.round(noisy), 0, 255).astype(np.uint8)


def planted_fingerprint(seed, height, width):
    rng = np.random.default_rng(seed)
    return oracles.zero_mean(2.5 * rng.standard_normal((height, width)))


@pytest.mark.parametrize("size", [(64, 64), (33, 47)])
def test_fingerprint_is_that_of_the_oracle(size):
    photos = [oracles.photo(seed, *size) for seed in range(3)]
    photos[1][4:9, 7:12] = 255
    ours = estimate(from_photos(photos))
    np.testing.assert_allclose(ours, oracles.fingerprint(photos), atol=2e-4)


def test_saturated_pixels_are_found_as_the_oracle_finds_them():
    rng = np.random.default_rng(1)
    for peak in (250, 251, 255):
        pixels = rng.integers(peak - 3, peak + 1, (12, 15, 3), np.uint8)
        np.testing.assert_array_equal(fingerprint.usable(pixels), oracles.usable(pixels))


def test_a_lone_peak_is_usable_and_one_with_a_neighbour_round_the_border_is_not():
    pixels = np.full((6, 8, 3), 100, np.uint8)
    pixels[3, 4] = 255
    assert float(fingerprint.usable(pixels).min()) == 1
    pixels[0, 2, 0] = pixels[5, 2, 0] = 255
    usable = fingerprint.usable(pixels)
    assert float(usable[0, 2, 0]) == float(usable[5, 2, 0]) == 0
    assert float(usable.sum()) == pixels.size - 2


def test_a_photo_without_a_bright_pixel_has_no_saturated_one():
    assert float(fingerprint.usable(np.full((4, 4, 3), 250, np.uint8)).min()) == 1
    assert float(fingerprint.usable(np.full((4, 4, 3), 251, np.uint8)).max()) == 0


def test_intensity_weight_rises_to_one_and_falls_towards_saturation():
    levels = np.arange(256, dtype=np.uint8).repeat(3).reshape(16, 16, 3)
    weights = fingerprint.intensity_weight(levels)
    np.testing.assert_allclose(weights, oracles.intensity_weight(levels), atol=1e-6)
    curve = np.asarray(weights).reshape(256, 3)[:, 0]
    assert curve[0] == 0
    assert curve.argmax() == 252
    assert curve[252] == 1
    assert curve[255] < 0.25


def test_a_planted_fingerprint_is_found_in_its_unit_and_another_is_not():
    planted = planted_fingerprint(2, 64, 64)
    other = planted_fingerprint(3, 64, 64)
    found = estimate(from_photos(flats(20, planted)))
    pixels = oracles.photo(4, 64, 64, planted)
    noise = extractors.extract(pixels)
    assert float(correlation.ncc(found, planted.astype(np.float32))) > 0.8
    for k, found_in_photo in ((found, True), (other.astype(np.float32), False)):
        ncc = correlation.ncc(noise, correlation.pattern(pixels, k))
        assert (float(correlation.z_score(ncc, 64, 64)) > 5) == found_in_photo
    # The unit: what the estimate has of the planted one is of its size, less what denoising keeps.
    slope = float(np.sum(np.asarray(found) * planted) / np.sum(planted**2))
    assert 0.3 < slope < 1.1


@pytest.mark.slow
def test_sums_of_hundreds_of_photos_keep_their_precision_in_float32():
    planted = planted_fingerprint(5, 32, 32)
    photos = flats(300, planted)
    accumulator = from_photos(photos)
    assert int(accumulator.count) == 300
    exact = sum(
        np.stack([oracles.denoising_residual(pixels[..., c]) for c in range(3)], -1) * pixels / 255
        for pixels in photos.astype(np.float64)
    )
    np.testing.assert_allclose(accumulator.numerator, exact, atol=1e-3)
    weights = oracles.intensity_weight(photos) * np.stack([oracles.usable(p) for p in photos])
    np.testing.assert_allclose(accumulator.denominator, np.sum(weights**2, 0), rtol=1e-5)


def test_cameras_side_by_side_are_as_good_as_one_after_the_other():
    photos = np.stack([oracles.photo(seed, 32, 32) for seed in range(4)]).reshape(2, 2, 32, 32, 3)
    step = functools.partial(fingerprint.update, levels=1)
    empty = fingerprint.init(32, 32)
    singles = np.stack([estimate(functools.reduce(jax.jit(step), c, empty)) for c in photos])
    start = jax.tree.map(lambda x: jnp.stack([x, x]), empty)
    together = functools.reduce(jax.jit(jax.vmap(step)), photos.swapaxes(0, 1), start)
    assert together.count.tolist() == [2, 2]
    np.testing.assert_allclose(estimate(together), singles, atol=1e-5)


@pytest.mark.parametrize("value", [0, 128, 255])
def test_flat_photos_have_no_fingerprint(value):
    empty = estimate(from_photos([np.full((64, 64, 3), value, np.uint8)] * 2))
    np.testing.assert_array_equal(empty, 0)
    assert bool(jnp.isnan(correlation.ncc(empty, empty)))


def test_no_photo_at_all_gives_no_fingerprint():
    np.testing.assert_array_equal(estimate(fingerprint.init(64, 64)), 0)


@pytest.mark.skipif("DIPPAS_DRESDEN" not in os.environ, reason="DIPPAS_DRESDEN is not set")
def test_real_flat_photos_give_the_published_correlation():
    folder = Path(os.environ["DIPPAS_DRESDEN"]) / "Nikon_D70_0"

    def read(path):
        with Image.open(path) as file:
            return np.asarray(file.convert("RGB"))

    crops = [image.center_crop(read(path), 512, 512) for path in sorted(folder.glob("flat/*.JPG"))]
    assert len(crops) == 10
    k = estimate(from_photos(crops))
    pixels = read(folder / "crop512" / "Nikon_D70_0_19446.png")
    noise = extractors.extract(pixels)
    ncc = float(correlation.ncc(noise, correlation.pattern(pixels, k)))
    assert ncc == pytest.approx(0.02369, abs=2e-4)
