"""Attackers: each against plain NumPy, and each finds what it was made to find."""

import io
import math

import numpy as np
import pytest
from PIL import Image

from dippas_jax.datasets import synthetic
from dippas_jax.forensics import attackers, detector, edges
from tests import oracles

SIZE = 96
CAMERAS = (synthetic.Camera(0, strength=0.01), synthetic.Camera(1, strength=0.01))


@pytest.fixture(scope="module")
def planes():
    return np.stack([synthetic.estimate(camera, SIZE, SIZE, 6) for camera in CAMERAS])


@pytest.fixture(scope="module")
def photos():
    """Three photos of camera 0."""
    scenes = [synthetic.scene(index, SIZE) for index in range(3)]
    return np.stack([synthetic.expose(CAMERAS[0], s, shot) for shot, s in enumerate(scenes)])


@pytest.fixture(scope="module")
def references():
    """Residuals of two photos of each camera, of other scenes."""
    photos = [[synthetic.expose(c, synthetic.scene(i, SIZE), i) for i in (3, 4)] for c in CAMERAS]
    return tuple(
        np.stack([oracles.residual(photo) for photo in some]).astype(np.float32) for some in photos
    )


def expected(photo, plane, sigma=3.0, mask=None):
    """z of equation 2, in float64."""
    noise, pattern = oracles.residual(photo, sigma), oracles.pattern(photo, plane)
    mask = np.ones(noise.shape, bool) if mask is None else mask
    return oracles.ncc(noise * mask, pattern * mask) * math.sqrt(mask.sum())


@pytest.mark.parametrize(("name", "sigma"), [("wavelet", 3), ("sigma-2", 2), ("sigma-5", 5)])
def test_the_wavelet_attackers_give_the_z_of_equation_2(name, sigma, photos, planes):
    found = attackers.ATTACKERS[name].attack(photos, attackers.Evidence(planes))
    oracle = [[expected(photo, plane, sigma) for plane in planes] for photo in photos]
    np.testing.assert_allclose(found, oracle, atol=0.02)
    assert (found[:, 0] > 5).all()
    assert (np.abs(found[:, 1]) < 4.5).all()


def test_edges_count_only_pixels_near_edges(photos, planes):
    found = attackers.on_edges(photos, attackers.Evidence(planes))
    masks = [np.asarray(edges.mask(photo)) for photo in photos]
    assert all(0 < mask.sum() < mask.size for mask in masks)
    oracle = [[expected(p, k, 3, m) for k in planes] for p, m in zip(photos, masks, strict=True)]
    np.testing.assert_allclose(found, oracle, atol=0.02)


def test_two_sided_finds_what_was_over_subtracted(photos, planes):
    found = attackers.two_sided(photos, attackers.Evidence(-planes))
    plain = attackers.wavelet(photos, attackers.Evidence(planes))
    np.testing.assert_allclose(found, np.abs(plain), rtol=1e-5)
    assert (found[:, 0] > 5).all()


def test_shifts_find_a_photo_that_was_moved(photos, planes):
    moved = np.roll(photos, (5, -7), (1, 2))
    evidence = attackers.Evidence(planes)
    assert (attackers.wavelet(moved, evidence)[:, 0] < 4).all()
    found = attackers.shifts(moved, evidence)
    assert (found[:, 0] > 1.5 * found[:, 1]).all()
    still = attackers.shifts(photos, evidence)[0, 0]
    surface = oracles.circular_cross_correlation(
        oracles.residual(photos[0])[:32, :32], oracles.pattern(photos[0], planes[0])[:32, :32]
    )
    assert surface.argmax() == 0, "unmoved: the largest peak lies at shift zero"
    assert still > 5


@pytest.mark.parametrize(("name", "quality"), [("jpeg-90", 90), ("jpeg-75", 75)])
def test_jpeg_attackers_look_at_the_recompressed_photo(name, quality, photos, planes):
    buffer = io.BytesIO()
    Image.fromarray(photos[0]).save(buffer, "JPEG", quality=quality)
    again = np.array(Image.open(buffer))
    assert (again != photos[0]).any()
    found = attackers.ATTACKERS[name].attack(photos[:1], attackers.Evidence(planes))
    np.testing.assert_allclose(found[0], [expected(again, k) for k in planes], atol=0.02)


def test_a_set_is_judged_by_the_fingerprint_estimated_from_it(photos, planes):
    found = attackers.from_set(photos, attackers.Evidence(planes))
    estimate = oracles.fingerprint(photos)
    oracle = [oracles.ncc(estimate, plane) * SIZE for plane in planes]
    np.testing.assert_allclose(found, [oracle], atol=0.02)
    assert np.isnan(attackers.from_set(photos[:1], attackers.Evidence(planes))).all()


def test_link_compares_photos_without_a_fingerprint(photos, planes, references):
    found = attackers.link(photos, attackers.Evidence(planes, references=references))
    noise = [oracles.residual(photo) for photo in photos]
    for column, seen in enumerate(references):
        oracle = [sum(oracles.ncc(a, b) for b in seen) * SIZE / math.sqrt(2) for a in noise]
        np.testing.assert_allclose(found[:, column], oracle, atol=0.02)
    assert found[:, 0].mean() > 3


def test_a_reference_without_noise_does_not_hide_the_others(photos, planes, references):
    flat = np.zeros((1, SIZE, SIZE), np.float32)
    more = (np.concatenate([references[0], flat]), flat)
    found = attackers.link(photos, attackers.Evidence(planes, references=more))
    plain = attackers.link(photos, attackers.Evidence(planes, references=references))
    np.testing.assert_allclose(found[:, 0], plain[:, 0], rtol=1e-5)
    assert np.isnan(found[:, 1]).all()


def test_the_detector_gives_one_column_and_needs_training(photos, planes):
    soft = np.stack([attackers.jpeg(photo, 30) for photo in photos])
    features = np.stack([detector.features(photo) for photo in (*photos, *soft)])
    model = detector.fit(features, np.arange(6) >= 3)
    evidence = attackers.Evidence(planes, model=model)
    before, after = (attackers.processed(some, evidence) for some in (photos, soft))
    assert before.shape == after.shape == (3, 1)
    assert before.max() < after.min()
    with pytest.raises(ValueError, match="trained detector"):
        attackers.processed(photos, attackers.Evidence(planes))


def test_an_attacker_is_available_when_the_evidence_has_what_it_needs(planes, references):
    bare = attackers.available(attackers.Evidence(planes))
    assert {"wavelet", "edges", "shifts", "set"} <= set(bare)
    assert not {"learned", "link", "detector"} & set(bare)
    more = attackers.available(attackers.Evidence(planes, references=references))
    assert set(more) - set(bare) == {"link"}


@pytest.mark.parametrize("name", attackers.available(attackers.Evidence(np.zeros((1, 8, 8)))))
def test_flat_photos_say_nothing_and_break_nothing(name, planes):
    flat = np.full((2, SIZE, SIZE, 3), 128, np.uint8)
    found = attackers.ATTACKERS[name].attack(flat, attackers.Evidence(planes))
    assert found.shape[1] == 2
    assert not np.isposinf(found).any()
