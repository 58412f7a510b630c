"""The response of any method to planted patterns: against methods whose response is known."""

import io

import jax
import numpy as np
import pytest
import scipy.ndimage
from PIL import Image

from dippas_jax.datasets import synthetic
from dippas_jax.forensics import attackers, leakage
from dippas_jax.signal import tiles
from tests import oracles

SIZE = 128
KEY = jax.random.key(2)
CAMERA = synthetic.Camera(seed=1, strength=0.02)


@pytest.fixture(scope="module")
def photo():
    return synthetic.expose(CAMERA, synthetic.scene(1, SIZE), 1)


def rounded(levels):
    return np.clip(np.rint(levels), 0, 255).astype(np.uint8)


def blurred(pixels):
    return rounded(scipy.ndimage.gaussian_filter(pixels.astype(float), (1.0, 1.0, 0)))


def jpeg(pixels, quality=60):
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=quality)
    return np.asarray(Image.open(buffer).convert("RGB"))


def test_all_goes_through_where_nothing_is_done_and_nothing_where_the_photo_is_replaced(photo):
    other = synthetic.expose(CAMERA, synthetic.scene(5, SIZE), 5)
    kept = leakage.measure(KEY, lambda x: x, photo)
    for name, count in (("band", 7), ("gradient", 4), ("", 1)):
        share, error = kept.share(name)
        np.testing.assert_allclose(share, np.ones(count), atol=1e-9)
        np.testing.assert_allclose(error, 0, atol=1e-9)
    lost = leakage.measure(KEY, lambda x: other, photo)
    np.testing.assert_array_equal(lost.share("band")[0], 0)
    assert (kept.worst, lost.worst) == (pytest.approx(1), 0)


def test_what_is_turned_over_has_a_negative_share(photo):
    calm = blurred(photo).astype(float)
    found = leakage.measure(KEY, lambda x: rounded(calm - 0.5 * (x - calm)), photo)
    assert found.share()[0] < -0.5
    assert found.worst < -0.5


def test_a_low_pass_keeps_low_bands_and_its_worst_is_among_them(photo):
    share, error = leakage.measure(KEY, blurred, photo).share("band")
    assert share[1] > 0.75
    assert abs(share[6]) < 0.1
    assert np.all(np.diff(share[1:]) < 0)
    assert np.all(error[1:] < 0.15)


def test_the_sums_are_those_of_equation_and_oracle(photo):
    draw = np.random.default_rng(0)
    plane, grey = draw.normal(size=(2, 40, 54)).astype(np.float32)
    where = leakage._where(photo[:40, :54], brightness=True)
    assert where.shape == (4, 4, 40, 54)
    assert where.sum() == 40 * 54, "every pixel is in one cell"
    found = leakage._sums(plane, grey, where)
    rows, columns = np.abs(np.fft.fftfreq(40)), np.abs(np.fft.fftfreq(54))
    place = np.maximum(rows[:, None], columns)
    for band in (0, 3, 6):
        low, high = attackers.FREQUENCIES[band], attackers.FREQUENCIES[band + 1]
        mask = (place >= low) & ((place < high) | (band == 6))
        parts = [np.fft.ifft2(np.fft.fft2(x.astype(float)) * mask).real for x in (plane, grey)]
        expected = np.sum(parts[0] * parts[1] * where, (-2, -1))
        np.testing.assert_allclose(found[band], expected, atol=2e-3)


def test_patterns_are_of_their_kinds(photo):
    white, mosaic, shaped = (leakage._pattern(KEY, photo, kind) for kind in leakage.KINDS)
    assert (white.shape[-1], mosaic.shape[-1], shaped.shape[-1]) == (1, 3, 1)
    for one in (white, mosaic, shaped):
        grey = np.broadcast_to(one, (SIZE, SIZE, 3)) @ [0.299, 0.587, 0.114]
        assert grey.std() == pytest.approx(0.01, rel=1e-3)
    spectrum = np.abs(np.fft.fft2(shaped[..., 0]))
    ours = np.abs(np.fft.fft2(np.mean([oracles.residual(photo, 3.0)], 0)))
    assert np.corrcoef(spectrum.ravel(), ours.ravel())[0, 1] > 0.99
    np.testing.assert_allclose(mosaic[2::2, 2::2, 0], white[2::2, 2::2, 0] * (
        mosaic[2, 2, 0] / white[2, 2, 0]), rtol=1e-3)  # fmt: skip


def test_what_is_foretold_is_what_becomes_of_a_camera(photo):
    """A blur and a median: planted patterns against the fingerprint that is really there."""
    k = CAMERA.fingerprint(SIZE, SIZE)

    def median(pixels):
        return scipy.ndimage.median_filter(pixels, (3, 3, 1))

    for method in (blurred, median):
        foretold = leakage.measure(KEY, method, photo)
        true = leakage.share_of(k, photo, method(photo))
        assert true.share()[0] == pytest.approx(foretold.share()[0], abs=0.1)
        (bands, error), (expected, _) = true.share("band"), foretold.share("band")
        np.testing.assert_array_less(np.abs(bands - expected)[2:], 0.1 + 2 * error[2:])


def test_the_files_on_both_sides_are_followed(photo):
    coarse = leakage.measure(KEY, lambda x: x, photo, codecs=tiles.Codecs(output=jpeg))
    assert coarse.share()[0] < 0.8
    ours = jpeg(photo, 85)
    again = leakage.measure(
        KEY, lambda x: x, ours, codecs=tiles.Codecs(lambda x: jpeg(x, 85), None)
    )
    np.testing.assert_allclose(again.share()[0], 1)


def test_of_a_large_photo_some_parts_are_seen_and_errors_tell_the_scatter(photo, monkeypatch):
    monkeypatch.setattr(tiles, "SIDE", 64)
    monkeypatch.setattr(leakage, "PARTS", 2)
    sizes = []
    found = leakage.measure(
        KEY, lambda x: sizes.append(x.shape) or blurred(x), photo, kinds=("white",), brightness=True
    )
    assert sizes == [(64, 64, 3)] * 4
    assert found.after.shape == (7, 4, 4)
    assert found.share("brightness")[0].shape == (4,)
    assert found.share()[1] > 0


def test_where_nothing_can_be_seen_there_is_no_share():
    black = np.zeros((SIZE, SIZE, 3), np.uint8)
    found = leakage.measure(KEY, lambda x: x, black, kinds=("white",))
    assert np.isnan(found.share("band")[0]).all()
    assert np.isnan(found.worst)
