"""The detector: its features against NumPy, its fit against SciPy, and what it tells apart."""

import numpy as np
import pytest
import scipy.ndimage
import scipy.optimize

from dippas_jax.datasets import synthetic
from dippas_jax.forensics import detector
from tests import oracles

SIZE = (91, 85)
"""One size is one program; no frequency lies on the border of rings, where rounding decides."""

STEPS = ((0, 1), (1, 0), (1, 1))


def auc(scores, truth):
    """How often a positive is above a negative, by comparing all pairs."""
    above = scores[truth][:, None] - scores[~truth]
    return ((above > 0) + 0.5 * (above == 0)).mean()


def neighbours(plane, step):
    height, width = plane.shape[:2]
    return plane[: height - step[0], : width - step[1]], plane[step[0] :, step[1] :]


def features_of_oracle(pixels):
    """The definition, ring by ring, in float64."""
    grey = oracles.luma(pixels.astype(np.float64))
    kernel = np.array([[0, -1, 0], [-1, 4, -1], [0, -1, 0]])
    second = scipy.ndimage.correlate(grey, kernel)[1:-1, 1:-1]
    values = []
    for plane in (oracles.denoising_residual(grey), second):
        plane = plane - plane.mean()
        variance = (plane**2).mean() + 1e-3
        window = np.outer(*(np.hanning(side) for side in plane.shape))
        power = np.abs(np.fft.fft2(plane * window)) ** 2 / (window**2).sum()
        power = power[:, : plane.shape[1] // 2 + 1]
        rows, columns = np.fft.fftfreq(plane.shape[0]), np.fft.rfftfreq(plane.shape[1])
        radius = np.sqrt(rows[:, None] ** 2 + columns**2)
        for ring in range(13):
            chosen = (radius >= ring / 24) & (radius < ((ring + 1) / 24 if ring < 12 else 9))
            values.append(np.log((power[chosen].mean() + 1e-3) / variance))
        values += [np.log(variance), np.log(((plane**4).mean() + 3e-6) / variance**2)]
        values += [np.mean(np.multiply(*neighbours(plane, step))) / variance for step in STEPS]
    for step in STEPS:
        same = np.equal(*neighbours(pixels, step))
        values += [np.sqrt(same.all(-1).mean()), np.sqrt(same.mean())]
    return np.array(values)


@pytest.fixture(scope="module")
def photos():
    """Forty photos by one simulated camera."""
    camera, side = synthetic.Camera(), max(SIZE)
    shots = [synthetic.expose(camera, synthetic.scene(i, side), i) for i in range(40)]
    return np.stack(shots)[:, : SIZE[0], : SIZE[1]]


@pytest.fixture(scope="module")
def clean(photos):
    return np.stack([detector.features(photo) for photo in photos])


def test_features_are_those_of_the_oracle():
    pixels = oracles.photo(0, *SIZE)
    ours = detector.features(pixels)
    assert ours.dtype == np.float32
    np.testing.assert_allclose(ours, features_of_oracle(pixels), atol=2e-3)


@pytest.mark.parametrize("value", [0, 128, 255])
def test_features_of_flat_and_of_saturated_photos_are_finite(value):
    assert np.isfinite(detector.features(np.full((*SIZE, 3), value, np.uint8))).all()
    half = oracles.photo(1, *SIZE)
    half[:, :40] = value
    assert np.isfinite(detector.features(half)).all()


def test_fit_is_the_maximum_of_the_penalised_likelihood():
    rng = np.random.default_rng(2)
    rows = rng.standard_normal((30, 4)) * [1, 10, 0.1, 1] + [0, 5, -3, 0]
    truth = rows[:, 0] + rng.standard_normal(30) > 0.3
    model = detector.fit(rows, truth, ridge=0.7)
    x = (rows - rows.mean(0)) / rows.std(0)

    def objective(w):
        margin = np.where(truth, 1, -1) * (x @ w[:4] + w[4])
        return np.log1p(np.exp(-margin)).sum() + 0.35 * (w[:4] ** 2).sum() + 0.35e-3 * w[4] ** 2

    best = scipy.optimize.minimize(objective, np.zeros(5), options={"gtol": 1e-7}).x
    np.testing.assert_allclose([*model.weights, model.bias], best, atol=1e-5)
    np.testing.assert_allclose(detector.score(model, rows), x @ best[:4] + best[4], atol=1e-4)


def test_fit_ignores_what_never_varies_and_stays_finite_where_nothing_overlaps():
    rows = np.stack([np.full(6, 7.0), np.arange(6.0) * 1000], axis=1)
    truth = np.arange(6) > 2
    model = detector.fit(rows, truth)
    assert model.weights[0] == 0
    assert ((detector.score(model, rows) > 0) == truth).all()
    alone = detector.fit(rows, np.ones(6, bool))
    assert np.isfinite(detector.score(alone, rows)).all()


@pytest.mark.parametrize("process", ["blurred", "denoised", "moved"])
def test_processed_photos_are_told_from_others_that_it_has_not_seen(photos, clean, process):
    def processed(photo):
        if process == "blurred":
            return scipy.ndimage.gaussian_filter(photo.astype(float), (0.5, 0.5, 0))
        if process == "denoised":
            noise = [oracles.denoising_residual(photo[..., c].astype(float)) for c in range(3)]
            return photo - np.stack(noise, -1)
        return scipy.ndimage.shift(photo.astype(float), (0.3, 0.4, 0), order=1, mode="nearest")

    changed = np.stack(
        [
            detector.features(np.clip(np.round(processed(p)), 0, 255).astype(np.uint8))
            for p in photos
        ]
    )
    truth = np.repeat([False, True], len(photos))
    scores = detector.held_out(np.concatenate([clean, changed]), truth, np.tile(np.arange(40), 2))
    assert auc(scores, truth) > 0.9


def test_photos_of_one_kind_are_not_told_apart(clean):
    order = np.random.default_rng(3).permutation(40)
    truth = np.arange(40) % 2 == 0
    scores = detector.held_out(clean[order], truth, np.arange(40) // 2)
    spread = np.sqrt(41 / (12 * 20 * 20))  # of the AUC of 20 against 20 of one distribution
    assert abs(auc(scores, truth) - 0.5) < 3 * spread


def test_no_photo_is_judged_by_a_model_that_saw_another_version_of_it():
    rng = np.random.default_rng(4)
    groups = np.repeat([f"photo {i}" for i in range(30)], 2)
    truth = np.repeat(rng.random(30) < 0.5, 2)
    rows = np.repeat(rng.standard_normal((30, 40)), 2, axis=0)  # enough to know photos by heart
    assert auc(detector.score(detector.fit(rows, truth), rows), truth) == 1
    alone = detector.held_out(rows, truth, np.arange(60))
    together = detector.held_out(rows, truth, groups)
    assert auc(alone, truth) == 1
    assert abs(auc(together, truth) - 0.5) < 0.3


def test_what_cannot_be_learned_scores_nothing():
    rows = np.random.default_rng(5).standard_normal((4, 3))
    scores = detector.held_out(rows, np.array([True, True, False, False]), np.array([0, 0, 1, 1]))
    np.testing.assert_array_equal(scores, 0)
