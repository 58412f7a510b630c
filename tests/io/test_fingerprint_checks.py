"""Which planes are taken for a fingerprint, and what is taken out of them."""

import numpy as np
import pytest
import scipy.ndimage
import skimage.data

from dippas_jax.io import files, fingerprint_checks, fingerprint_file
from dippas_jax.types import InputError
from tests.messages import assert_one_sentence

RNG = np.random.default_rng(0)
K = RNG.normal(0, 0.5, (128, 192)).astype(np.float32)
SCENE = skimage.data.chelsea()[50:178, 100:292]
ROWS, COLUMNS = np.mgrid[:128, :192]


def saved(tmp_path, plane):
    np.save(tmp_path / "K.npy", plane)
    return files.read_fingerprint_file(tmp_path / "K.npy")


def test_noise_stays_bit_for_bit(tmp_path):
    plane = K - K.mean()
    found = saved(tmp_path, plane)
    np.testing.assert_array_equal(found.plane, plane)
    assert (found.mean, found.outliers) == (0, 0)
    assert found.sha256 == fingerprint_file.sha256(plane)


@pytest.mark.parametrize("blur", [0, 0.7, 1.5])
def test_noise_of_a_soft_or_enlarged_picture_is_a_fingerprint(tmp_path, blur):
    plane = scipy.ndimage.gaussian_filter(K, blur)
    assert fingerprint_checks.smooth(plane) < fingerprint_checks.SMOOTH / 2
    np.testing.assert_allclose(saved(tmp_path, plane).plane, plane, atol=0.02)


@pytest.mark.parametrize("depth", [np.uint8, np.float32, np.uint16])
@pytest.mark.parametrize("channel", [0, 1, 2])
def test_a_channel_of_a_photo_is_no_fingerprint(tmp_path, depth, channel):
    plane = SCENE[..., channel].astype(depth) * (257 if depth == np.uint16 else 1)
    with pytest.raises(InputError) as caught:
        saved(tmp_path, plane / 255 if depth == np.float32 else plane)
    assert_one_sentence(str(caught.value), "K.npy", "picture")


@pytest.mark.parametrize(
    ("plane", "word"),
    [
        (COLUMNS / 192 + 0.01 * K, "map of brightness"),
        (1 - 0.3 * np.hypot(ROWS / 128 - 0.5, COLUMNS / 192 - 0.5) ** 2 + 0.005 * K, "picture"),
        ((-1.0) ** COLUMNS, "stripes"),
        (np.sin(ROWS * 1.3) + 0.1 * K, "stripes"),
        ((-1.0) ** (ROWS + COLUMNS) + 0.5 * K, "stripes"),
        (np.where((ROWS == 5) & (COLUMNS == 7), 1.0, 0.0), "nearly constant"),
    ],
    ids=["gradient", "vignetting", "columns", "rows", "checkerboard", "spike"],
)
def test_what_is_not_noise_is_refused(tmp_path, plane, word):
    with pytest.raises(InputError) as caught:
        saved(tmp_path, plane.astype(np.float32))
    assert_one_sentence(str(caught.value), "K.npy", word)


@pytest.mark.parametrize("value", [1e6, -1e20, 255.0])
def test_a_value_that_would_hide_all_others_is_set_to_zero(tmp_path, value):
    plane = K - K.mean()
    plane[3, 4] = value
    found = saved(tmp_path, plane)
    assert found.outliers == 1
    assert found.plane[3, 4] == 0
    rest = np.ones(K.shape, bool)
    rest[3, 4] = False
    assert np.corrcoef(found.plane[rest], K[rest])[0, 1] > 0.999999
    assert found.sha256 == fingerprint_file.sha256(found.plane)


def test_what_is_written_is_read_as_it_is(tmp_path, monkeypatch):
    """Outliers may hide others; all are taken out at once."""
    plane = K.copy()
    plane[3, 4], plane[5, 6:9] = 1e12, 1e5
    found = saved(tmp_path, plane)
    assert found.outliers == 4
    again = saved(tmp_path, found.plane)
    assert (again.mean, again.outliers) == (0, 0)
    np.testing.assert_array_equal(again.plane, found.plane)
    monkeypatch.setattr(fingerprint_checks, "_PASSES", 1)
    with pytest.raises(InputError, match="so many scales"):
        saved(tmp_path, plane)


def test_a_plane_that_is_empty_in_most_parts_stays(tmp_path):
    plane = np.zeros((512, 512), np.float32)
    plane[100:164, 200:264] = K[:64, :64] - K[:64, :64].mean()
    np.testing.assert_array_equal(saved(tmp_path, plane).plane, plane)


def test_dead_pixels_of_a_sensor_stay(tmp_path):
    plane = K - K.mean()
    plane[::40, ::60] = -5  # ten standard deviations
    np.testing.assert_array_equal(saved(tmp_path, plane).plane, plane)


def test_shares_are_those_of_the_definition():
    """Loops over blocks; Parseval's sum over all frequencies, sorted."""
    means = [
        K[top : top + 32, left : left + 32].astype(float).mean()
        for top in range(0, 128, 32)
        for left in range(0, 192, 32)
    ]
    assert fingerprint_checks.smooth(K.astype(float)) == pytest.approx(np.var(means) / K.var())
    wave = np.cos(2 * np.pi * 5 * ROWS / 128) + K
    power = np.sort(np.abs(np.fft.fft2(wave - wave.mean())).ravel() ** 2)
    expected = power[-round(wave.size / 1000) :].sum() / (wave.var() * wave.size**2)
    assert fingerprint_checks.regular(wave) == pytest.approx(expected)
    assert 0.6 < expected < 0.7  # a wave of variance 0.5 over noise of 0.25


def test_a_plane_without_a_block_can_still_be_judged():
    assert fingerprint_checks.smooth(K[:20, :20]) == 0
    assert fingerprint_checks.checked("K", K[:20, :20] - K[:20, :20].mean()).outliers == 0
