"""A method that keeps a known share of the noise, balanced: what is left of an unknown camera."""

import jax
import numpy as np
import pytest
import scipy.ndimage

from dippas_jax.datasets import synthetic
from dippas_jax.prior import balance
from tests import oracles

SIDE = 128
KEY = jax.random.key(2)
K = np.float32(synthetic.Camera(strength=0.02).fingerprint(SIDE, SIDE))
KEPT = 0.3


def keeping(photo, kept=KEPT):
    """A stand-in for the network: so much of what a blurred photo lacks."""
    smooth = scipy.ndimage.gaussian_filter(photo.astype(np.float32), (2, 2, 0))
    return smooth + np.float32(kept) * (photo - smooth)


def scene(fingerprint=None):
    return oracles.photo(3, SIDE, SIDE, None if fingerprint is None else 255 * fingerprint)


def response(versions, photos):
    """How much more of K is in the first of two versions than in the second, by inner products."""
    grey = oracles.luma(scene()) * K
    after, before = (
        np.sum((scipy.ndimage.gaussian_laplace(oracles.luma(a - b), 1)) * grey)
        for a, b in (versions, [np.float32(x) for x in photos])
    )
    return after / before


@pytest.fixture(scope="module")
def pair():
    """A photo with K in it and one without, what was planted in them, and balanced versions."""
    photos = scene(K), scene()
    planted = [balance.plant(KEY, photo) for photo in photos]
    made = [balance.balanced(one, keeping(one.photo)) for one in planted]
    return photos, planted, made


def test_a_pattern_of_one_percent_is_planted(pair):
    photos, (planted, _), _ = pair
    relative = planted.pattern / photos[0].clip(1)
    assert np.std(oracles.luma(relative)) == pytest.approx(0.01, rel=1e-3)
    np.testing.assert_array_equal(
        planted.photo, np.clip(np.rint(photos[0] + planted.pattern), 0, 255).astype(np.uint8)
    )
    assert planted.before[2:].min() > 0
    other = balance.plant(jax.random.key(3), photos[0])
    assert abs(np.corrcoef(other.pattern.ravel(), planted.pattern.ravel())[0, 1]) < 0.05


def test_little_is_left_of_a_camera_that_was_not_known(pair):
    photos, planted, made = pair
    plain = [keeping(one.photo) for one in planted]
    assert response(plain, photos) == pytest.approx(KEPT, abs=0.1)
    assert abs(response([version for version, _ in made], photos)) < 0.06


def test_the_leakage_it_tells_is_near_zero(pair):
    _, (planted, _), ((_, left), _) = pair
    assert max(abs(share) for name, share in left.items() if name != "1/16 cycles") < 0.06
    _, flat = balance.balanced(planted, keeping(planted.photo), part=0.0)
    assert 0.2 < flat["5/16 cycles"] < 0.6  # extractors see more of a pattern where less noise is


def test_the_pattern_is_taken_out_again(pair):
    _, (planted, _), ((version, _), _) = pair
    high = scipy.ndimage.gaussian_laplace(oracles.luma(version), 1)
    grey = oracles.luma(planted.pattern)
    laplace = scipy.ndimage.gaussian_laplace(grey, 1)
    assert abs(np.sum(high * grey) / np.sum(laplace * grey)) < 0.06


def test_a_known_fingerprint_draws_the_flips_to_itself(pair):
    """The camera's K is kept three times as well as the pattern: the flips follow it."""
    photos, (planted, _), _ = pair
    version = keeping(planted.photo) + 0.4 * (photos[0] - np.float32(photos[1]))
    _, blind = balance.balanced(planted, version)
    made, aware = balance.balanced(planted, version, fingerprint=K)
    left = [response([x, keeping(scene())], photos) for x in (version, made)]
    assert left[1] < 0.6 * left[0]
    assert aware["5/16 cycles"] != blind["5/16 cycles"]
    assert set(aware) == set(blind)
