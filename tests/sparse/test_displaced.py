"""Photos whose pixels are moved at last: where, what is said of them, and what is found."""

import jax
import numpy as np
import pytest

from dippas_jax import config
from dippas_jax.datasets import synthetic
from dippas_jax.signal import displacement, extractors, tiles
from dippas_jax.sparse import anonymize as sparse
from tests import oracles

KEY = jax.random.key(0)
CAMERA = synthetic.Camera(seed=3, strength=0.02)
pytestmark = pytest.mark.slow
K = np.float32(CAMERA.fingerprint(192, 256))
PHOTO = synthetic.expose(CAMERA, synthetic.scene(0, 256)[:192], 0)


@pytest.fixture(scope="module")
def versions():
    """Nothing turned over, so that nearly all is left to be moved: in place, and moved."""
    return [made(PHOTO, size) for size in (0.0, 2.0)]


def made(photo, size):
    chosen = config.Sparse("fast", 0.0, displacement=size)
    return sparse.anonymize(KEY, photo, None, chosen, target_psnr=42.0)


def test_the_same_photo_is_moved_by_a_field_of_its_own(versions):
    plain, moved = versions
    assert moved.settings["displacement"] == 2.0
    assert moved.settings["psnr_in_place"] == plain.psnr
    assert moved.psnr == pytest.approx(oracles.psnr(moved.pixels, PHOTO), abs=1e-3)
    assert moved.psnr < plain.psnr - 3
    np.testing.assert_array_equal(made(PHOTO, 2.0).pixels, moved.pixels)
    other = displacement.Field(jax.random.key(1), 192, 256, 2.0)
    assert np.any(displacement.displaced(plain.pixels, other) != moved.pixels)


def test_what_is_left_in_place_is_measured_and_found_to_be_less(versions):
    plain, moved = versions
    for name in ("4/16 cycles", "5/16 cycles", "6/16 cycles", "7/16 cycles", "whole"):
        assert plain.leakage[name] > 0.9
        assert abs(moved.leakage[name]) < 0.25
    z = [extractors.scores(version.pixels, K)["sigma-3"] for version in versions]
    assert z[0] > 100
    assert z[1] / z[0] == pytest.approx(moved.leakage["whole"] / plain.leakage["whole"], abs=0.1)


def test_sixteen_bits_stay_sixteen():
    wide = PHOTO[:96, :96].astype(np.uint16) * 257
    result = made(wide, 1.0)
    assert result.pixels.dtype == np.uint16
    assert len(np.unique(result.pixels)) > 256
    assert result.psnr == pytest.approx(tiles.psnr(result.pixels, wide))
