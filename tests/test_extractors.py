"""What a mixture of extractors finds, in photos of one part and of several."""

import io
import math

import jax
import numpy as np
import pytest
from PIL import Image

from dippas_jax.datasets import synthetic
from dippas_jax.signal import residual, tiles
from dippas_jax.sparse import leakage, transform
from tests import oracles

extract = jax.jit(lambda pixels, sigma: residual.residual(pixels, sigma=sigma))
HEIGHT, WIDTH = 101, 150


@pytest.fixture(scope="module")
def photo():
    """A photo of a simulated camera, of odd sides, and the fingerprint of its sensor."""
    camera = synthetic.Camera()
    radiance = synthetic.scene(1, 192)[:HEIGHT, :WIDTH]
    return synthetic.expose(camera, radiance, 0), np.float32(camera.fingerprint(HEIGHT, WIDTH))


@pytest.fixture
def parts(monkeypatch):
    """Parts of 64 pixels a side, six of this photo."""
    monkeypatch.setattr(tiles, "SIDE", 64)
    return [(0, 0, 0), (0, 43, 21), (0, 86, 21), (37, 0, 0), (37, 43, 21), (37, 86, 21)]


def test_scores_of_several_parts_are_those_of_their_sums(photo, parts):
    pixels, fingerprint = photo
    scores = leakage.scores(pixels, fingerprint)
    for sigma in leakage.SIGMAS:
        sums = np.zeros(3)
        for top, left, across in parts:
            down = 27 if top else 0
            part = slice(top, top + 64), slice(left, left + 64)
            new = np.s_[down:, across:]
            plane = np.asarray(extract(pixels[part], sigma), np.float64)[new]
            pattern = oracles.pattern(pixels, fingerprint)[part][new]
            sums += np.sum(plane * pattern), np.sum(plane**2), np.sum(pattern**2)
        z = sums[0] / math.sqrt(sums[1] * sums[2]) * math.sqrt(HEIGHT * WIDTH)
        assert scores[f"sigma-{sigma:g}"] == pytest.approx(z, abs=1e-3)


def test_parts_find_what_the_whole_photo_does(photo, monkeypatch):
    whole = leakage.scores(*photo)
    monkeypatch.setattr(tiles, "SIDE", 64)
    apart = leakage.scores(*photo)
    assert min(whole.values()) > 5
    for name, z in whole.items():
        assert apart[name] == pytest.approx(z, rel=0.2)  # the busy half is that of each part


def test_batches_and_ticks_of_several_parts(photo, parts):
    ticks = []
    alone, together = (
        leakage.scores(*photo, ways=tiles.Ways(tiles.Batches(size), ticks.append))
        for size in (1, 4)
    )
    assert alone == pytest.approx(together, rel=1e-4)
    assert ticks == [None] * 2 * len(parts)


def test_a_planted_fingerprint_is_followed_in_several_parts(photo, parts):
    key = jax.random.key(0)
    none, half = (
        np.array(list(leakage.share_left(key, photo[0], 20.0, share).values()))
        for share in (0.0, 0.7)
    )
    assert np.all((none > 0.2) & (none < 0.6))
    assert np.all(np.abs(half) < 0.6 * none)
    everything = leakage.share_left(key, photo[0], 0.0, 0.5)
    np.testing.assert_allclose(list(everything.values()), 1, atol=1e-3)


def test_sixteen_bits_are_the_same_photo(photo):
    pixels, fingerprint = photo
    wide = pixels.astype(np.uint16) * 257
    assert leakage.scores(wide, fingerprint) == pytest.approx(
        leakage.scores(pixels, fingerprint), rel=1e-4
    )


def test_behind_a_jpeg_a_planted_fingerprint_fares_as_a_cameras_does():
    def jpeg(pixels):
        buffer = io.BytesIO()
        Image.fromarray(pixels).save(buffer, "JPEG", quality=75)
        return np.asarray(Image.open(buffer).convert("RGB"))

    threshold, compensation, side = 16.0, 0.5, 256
    truth, followed, without = [], [], []
    for seed in range(3):
        camera = synthetic.Camera(seed=seed, strength=0.02)
        pixels = jpeg(synthetic.expose(camera, synthetic.scene(seed, side), seed))
        fingerprint = np.float32(camera.fingerprint(side, side))
        spectrum = transform.noise_spectrum(pixels, threshold)
        levels = transform.resynthesise(pixels, threshold, spectrum, compensation)
        done = jpeg(np.asarray(levels).round().clip(0, 255).astype(np.uint8))
        before, after = (leakage.scores(one, fingerprint) for one in (pixels, done))
        truth.append([after[name] / before[name] for name in leakage.NAMES])
        settings = jax.random.key(seed), pixels, threshold, compensation
        for kind, files in ((followed, {"came": jpeg, "written": jpeg}), (without, {})):
            kind.append(list(leakage.share_left(*settings, **files).values()))
    truth, followed, without = (np.mean(one) for one in (truth, followed, without))
    assert truth == pytest.approx(followed, abs=0.15)
    assert truth > without + 0.25, "what is left is left by the JPEG"
