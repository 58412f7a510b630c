"""Figures of merit against the oracles, the record of a photo, and its picture."""

import dataclasses
import functools
import io
import json
import math

import numpy as np
import pytest
import scipy.ndimage
from PIL import Image

from dippas_jax import config
from dippas_jax.experiments import report
from dippas_jax.forensics import scores
from dippas_jax.io import files
from tests import oracles, tiny

SIGMA = 3.0
KEYS = [f"{name}_{when}" for name in ("ncc", "z", "pce") for when in ("before", "after")]


def structural_similarity(a, b):
    """Wang et al. (2004), equation 13, uniform windows of 7 pixels, sample (co)variances."""
    total = []
    for channel in range(3):
        x, y = (np.asarray(photo[..., channel], np.float64) for photo in (a, b))

        def mean(plane):
            return scipy.ndimage.uniform_filter(plane, 7)

        sample = 49 / 48
        covariance = sample * (mean(x * y) - mean(x) * mean(y))
        variances = sample * (mean(x * x) - mean(x) ** 2 + mean(y * y) - mean(y) ** 2)
        c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
        luminance = (2 * mean(x) * mean(y) + c1) / (mean(x) ** 2 + mean(y) ** 2 + c1)
        structure = (2 * covariance + c2) / (variances + c2)
        total.append((luminance * structure)[3:-3, 3:-3].mean())
    return np.mean(total)


@functools.cache
def pair():
    """A photo with a fingerprint, one of another camera, and the fingerprint."""
    plane = tiny.fingerprint()
    with_it = oracles.photo(1, 64, 64, 10 * plane)
    without = oracles.photo(1, 64, 64, 10 * tiny.fingerprint(seed=6))
    return with_it, without, plane


@pytest.mark.parametrize("index", [0, 1])
def test_figures_are_those_of_the_oracle(index):
    pixels, plane = pair()[index], pair()[2]
    found = report.figures(pixels, plane, SIGMA)
    noise, pattern = oracles.residual(pixels, SIGMA), oracles.pattern(pixels, plane)
    ncc = oracles.ncc(noise, pattern)
    surface = oracles.circular_cross_correlation(noise, pattern)
    assert list(found) == ["ncc", "z", "pce"]
    np.testing.assert_allclose(found["ncc"], ncc, atol=2e-5)
    np.testing.assert_allclose(found["z"], 64 * ncc, atol=64 * 2e-5)
    np.testing.assert_allclose(found["pce"], oracles.pce(surface), rtol=5e-3, atol=0.02)
    assert all(type(value) is float for value in found.values())


def test_figures_tell_the_camera_from_another():
    with_it, without, plane = pair()
    assert report.figures(with_it, plane, SIGMA)["z"] > 8
    assert abs(report.figures(without, plane, SIGMA)["z"]) < 4


def test_figures_use_the_sigma_given():
    pixels, _, plane = pair()
    other = report.figures(pixels, plane, 8.0)["ncc"]
    expected = oracles.ncc(oracles.residual(pixels, 8.0), oracles.pattern(pixels, plane))
    np.testing.assert_allclose(other, expected, atol=2e-5)
    assert abs(other - report.figures(pixels, plane, SIGMA)["ncc"]) > 1e-3


def test_ssim_is_that_of_its_definition():
    a, b, _ = pair()
    np.testing.assert_allclose(scores.ssim(a, b), structural_similarity(a, b), rtol=1e-6)
    assert scores.ssim(a, a) == pytest.approx(1)
    assert scores.ssim(a, 255 - a) < 0.3


@pytest.fixture(scope="module")
def record(walked):
    problem, progress, results, settings = walked
    before = np.asarray(problem.pixels)
    plane = tiny.fingerprint()
    reference = tiny.fingerprint(seed=9)
    versions, notes = report.prior(plane, progress, results)
    found = report.photo("cam_1", "cam", before, reference, versions, settings.sigma)
    return found | notes | {"reference": "camera", "method": "prior"}


@pytest.fixture(scope="module")
def rebuilt(walked):
    """The record of a photo that was rebuilt without an inversion, in three versions."""
    before = np.asarray(walked[0].pixels)
    versions = [
        report.Version(
            np.clip(before.astype(int) + change, 0, 255).astype(np.uint8),
            {"target_psnr": aim, "left": {"sigma-3": left, "busy": 1.0}, "worst": max(left, 1.0)},
            f".psnr{aim}",
        )
        for change, aim, left in ((2, 42, 1.5), (1, 48, 2.5), (3, 38, 0.5))
    ]
    found = report.photo("cam_2", "cam", before, tiny.fingerprint(), versions, SIGMA)
    return found | {"reference": "camera", "method": "sparse", "left_is": "z", "seconds": 0.2}


def test_a_record_has_the_figures_of_the_written_photo(walked, record):
    problem, progress, results, settings = walked
    before, after = np.asarray(problem.pixels), results[0].pixels
    assert {"id", "device", "psnr", "ssim", "steps", "fallback", *KEYS} <= set(record)
    assert (record["id"], record["device"]) == ("cam_1", "cam")
    assert (record["height"], record["width"]) == (64, 64)
    assert record["steps"] == settings.inversion.max_steps
    assert record["fallback"] is False
    np.testing.assert_allclose(record["psnr"], oracles.psnr(after, before), rtol=1e-5)
    np.testing.assert_allclose(record["ssim"], structural_similarity(after, before), rtol=1e-5)
    reference = tiny.fingerprint(seed=9)
    for pixels, when in ((before, "before"), (after, "after")):
        for name, value in report.figures(pixels, reference, settings.sigma).items():
            assert record[f"{name}_{when}"] == value
    assert record["ncc_before"] != record["ncc_after"]
    np.testing.assert_allclose(record["best_psnr"], progress.history.psnr.max())


def test_a_record_has_a_row_for_every_combination(walked, record):
    problem, _, results, _ = walked
    assert len(record["results"]) == len(results) == 4
    for row, result in zip(record["results"], results, strict=True):
        assert (row["side"], row["average"], row["threshold"]) == tuple(result.choice)
        assert row["snapshots"] == result.snapshots
        assert row["fallback"] is (result.snapshots == 0)
        by_hand = oracles.psnr(result.pixels, np.asarray(problem.pixels))
        np.testing.assert_allclose(row["psnr"], by_hand, rtol=1e-5)
    assert [row["fallback"] for row in record["results"]] == [False, True, False, True]


def test_gamma_is_also_given_in_the_unit_of_the_fingerprint(walked, record):
    problem, progress, _, _ = walked
    gamma = float(progress.history.gamma[record["steps"] - 1])
    assert record["gamma"] == gamma
    injected = gamma * np.asarray(problem.fingerprint)
    same = record["gamma_in_unit_of_fingerprint"] * tiny.fingerprint()
    np.testing.assert_allclose(same, injected, rtol=1e-4, atol=1e-12)


def test_a_record_is_strict_json(tmp_path, record):
    bad = {**record, "ncc_after": math.nan, "pce_after": math.inf}
    files.write_json(tmp_path / "summary.json", {"config": config.Config(), "photos": [bad]})

    def refuse(literal):
        raise AssertionError(literal)

    text = (tmp_path / "summary.json").read_text()
    read = json.loads(text, parse_constant=refuse)
    assert read["photos"][0]["ncc_after"] is None
    assert read["photos"][0]["id"] == "cam_1"
    assert read["config"] == json.loads(json.dumps(dataclasses.asdict(config.Config())))


def test_the_terminal_shows_the_figures_and_says_when_it_is_a_fallback(record):
    text = report.lines({**record, "seconds": 3.2})
    assert f"PSNR {record['psnr']:.2f} dB" in text
    for key, places in (("ncc", 4), ("z", 1), ("pce", 1)):
        for when in ("before", "after"):
            assert f"{record[f'{key}_{when}']:.{places}f} {when}" in text
    assert "no snapshot" not in text
    assert "no snapshot reached" in report.lines({**record, "seconds": 3.2, "fallback": True})


def test_the_picture_is_a_png_that_opens_and_shows_the_photos(walked, record):
    problem, progress, results, settings = walked
    before, after = np.asarray(problem.pixels), results[0].pixels
    data = report.picture(before, after, progress.history, record, settings)
    picture = Image.open(io.BytesIO(data))
    assert picture.format == "PNG"
    assert min(picture.size) >= 600
    pixels = np.asarray(picture.convert("RGB")).reshape(-1, 3)
    shown = {tuple(colour) for colour in pixels}
    for photo in (before, after):
        colours = {tuple(colour) for colour in photo.reshape(-1, 3)}
        assert len(colours & shown) > len(colours) / 2


def test_the_terminal_shows_the_trade_off_of_a_rebuilt_photo(rebuilt):
    text = report.lines(rebuilt)
    rows = sorted(rebuilt["results"], key=lambda row: row["psnr"])
    pairs = ", ".join(f"{row['worst']:.2f} at {row['psnr']:.1f} dB" for row in rows)
    assert f"largest |z| of four extractors: {pairs}" in text
    assert "1.50 at" in text
    assert "steps" not in text
    assert f"{rebuilt['z_after']:.1f} after" in text


def test_without_a_fingerprint_the_residual_is_not_shown_as_one(rebuilt):
    text = report.lines(rebuilt | {"reference": "residual", "left_is": "share"})
    assert "largest share of a planted fingerprint that is left" in text
    assert "NCC" not in text


def test_the_picture_of_a_rebuilt_photo_shows_its_trade_off(walked, rebuilt):
    before = np.asarray(walked[0].pixels)
    pictures = [
        report.picture(before, before, None, rebuilt | {"results": rows}, config.Config())
        for rows in (rebuilt["results"], rebuilt["results"][:1])
    ]
    sizes = [Image.open(io.BytesIO(data)).size for data in pictures]
    assert sizes[0] == sizes[1]
    assert pictures[0] != pictures[1]
