"""How much of a planted fingerprint is said to go through, against what becomes of real ones."""

import io

import jax
import numpy as np
import pytest
from PIL import Image

from dippas_jax.datasets import synthetic
from dippas_jax.signal import extractors, tiles
from dippas_jax.sparse import leakage, transform

HEIGHT, WIDTH = 65, 71
KEY = jax.random.key(1)


def jpeg(pixels, quality=75):
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=quality)
    return np.asarray(Image.open(buffer).convert("RGB"))


@pytest.fixture(scope="module")
def photo():
    """A photo of a simulated camera, of odd sides."""
    return synthetic.expose(synthetic.Camera(), synthetic.scene(0, 96)[:HEIGHT, :WIDTH], 0)


@pytest.fixture
def parts(monkeypatch):
    """Parts of 32 pixels a side, nine of this photo."""
    monkeypatch.setattr(tiles, "SIDE", 32)


def shares(pixels, threshold, compensation, **options):
    found = leakage.leakage(KEY, pixels, threshold, compensation, **options)
    assert tuple(found) == extractors.NAMES
    return np.array(list(found.values()))


def assert_followed(pixels):
    """All is left where nothing is dropped, a part where much is, and that is taken back."""
    np.testing.assert_allclose(shares(pixels, 0.0, 0.5), 1, atol=1e-3)
    none, half = (shares(pixels, 20.0, share) for share in (0.0, 0.5))
    assert np.all((none > 0.2) & (none < 0.6))
    assert np.all(np.abs(half) < 0.6 * none)


def test_a_planted_fingerprint_is_followed(photo):
    assert_followed(photo)


def test_a_planted_fingerprint_is_followed_in_several_parts(photo, parts):
    assert_followed(photo)


def test_every_key_plants_another_fingerprint(photo):
    one, again, other = (
        leakage.leakage(jax.random.key(key), photo, 20.0, 0.0) for key in (0, 0, 1)
    )
    assert one == again
    assert all(one[name] != other[name] for name in one)


def test_sixteen_bits_are_the_same_photo(photo):
    wide = photo.astype(np.uint16) * 257
    np.testing.assert_allclose(shares(wide, 20.0, 0.3), shares(photo, 20.0, 0.3), rtol=1e-3)


def test_every_part_is_told_of_and_of_a_large_photo_some_are_looked_at(photo, monkeypatch):
    monkeypatch.setattr(tiles, "SIDE", 32)
    for few, looked in ((9, 9), (2, 2)):
        monkeypatch.setattr(leakage, "FEW", few)
        ticks = []
        shares(photo, 20.0, 0.5, execution=tiles.Execution(on_tile=ticks.append))
        assert ticks == [None] * leakage.TICKS * looked


def test_a_photo_that_shows_nothing_has_no_share():
    flat = np.full((HEIGHT, WIDTH, 3), 0, np.uint8)
    assert np.isnan(shares(flat, 20.0, 0.5)).all()


@pytest.mark.slow
def test_behind_a_jpeg_a_planted_fingerprint_fares_as_a_cameras_does():
    threshold, compensation, side = 16.0, 0.5, 256
    truth, followed, without = [], [], []
    for seed in range(3):
        camera = synthetic.Camera(seed=seed, strength=0.02)
        pixels = jpeg(synthetic.expose(camera, synthetic.scene(seed, side), seed))
        fingerprint = np.float32(camera.fingerprint(side, side))
        spectrum = transform.noise_spectrum(pixels, threshold)
        levels = transform.resynthesise(pixels, threshold, spectrum, compensation)
        done = jpeg(np.asarray(levels).round().clip(0, 255).astype(np.uint8))
        before, after = (extractors.scores(one, fingerprint) for one in (pixels, done))
        truth.append([after[name] / before[name] for name in extractors.NAMES])
        settings = jax.random.key(seed), pixels, threshold, compensation
        for kind, codecs in ((followed, tiles.Codecs(jpeg, jpeg)), (without, tiles.LOSSLESS)):
            kind.append(list(leakage.leakage(*settings, codecs=codecs).values()))
    truth, followed, without = (np.mean(one) for one in (truth, followed, without))
    assert truth == pytest.approx(followed, abs=0.15)
    assert truth > without + 0.25, "what is left is left by the JPEG"
