"""Figures of merit against the oracles, the record of a photo, and its picture."""

import dataclasses
import functools
import hashlib
import io
import json
import math

import numpy as np
import pytest
import scipy.ndimage
from matplotlib import figure
from PIL import Image

from dippas_jax import config
from dippas_jax.experiments import report, runs
from dippas_jax.forensics import scores
from dippas_jax.io import files
from dippas_jax.types import Record, Result, Sample, Window
from tests import oracles, tiny

SIGMA = 3.0


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


def of(name):
    """A record of which nothing is read."""
    return Record(name, "cam", read=lambda: pytest.fail("nothing is to be read"))


@pytest.fixture(scope="module")
def record(walked):
    problem, progress, results, settings = walked
    before = np.asarray(problem.pixels)
    notes = {"steps": int(progress.steps), "best_psnr": float(progress.best.psnr), "seconds": 3.2}
    reference = tiny.fingerprint(seed=9)
    return report.photo(
        of("cam_1"), before, reference, results, settings, reference="camera", **notes
    )


@pytest.fixture(scope="module")
def rebuilt(walked):
    """The record of a photo that was made again without an inversion, in three versions."""
    before = np.asarray(walked[0].pixels)
    results = [
        Result(
            np.clip(before.astype(int) + change, 0, 255).astype(np.uint8),
            oracles.psnr(np.clip(before.astype(int) + change, 0, 255), before),
            {"sigma-3": z, "busy": 1.0},
            {},
            {"target_psnr": aim, "threshold": 10.0, "compensation": 0.5, "alpha": 0.1},
        )
        for change, aim, z in ((2, 42.0, -1.5), (1, 48.0, 2.5), (3, 38.0, 0.5))
    ]
    sparse = config.Config(method="sparse", sigma=SIGMA)
    return report.photo(
        of("cam_2"), before, tiny.fingerprint(), results, sparse, reference="camera", seconds=0.2
    )


def blind(rebuilt):
    """The same photo where K is not known: what is followed is a planted fingerprint."""
    rows = [row | {"extractors": {}, "leakage": row["extractors"]} for row in rebuilt.results]
    return dataclasses.replace(rebuilt, mode="blind", reference="residual", results=rows)


def test_a_record_has_the_figures_of_the_written_photo(walked, record):
    problem, progress, results, settings = walked
    before, after = np.asarray(problem.pixels), results[0].pixels
    assert (record.id, record.device) == ("cam_1", "cam")
    assert (record.height, record.width) == (64, 64)
    assert (record.mode, record.method) == ("aware", "prior")
    assert record.steps == settings.inversion.max_steps
    np.testing.assert_allclose(record.psnr, oracles.psnr(after, before), rtol=1e-5)
    np.testing.assert_allclose(record.ssim, structural_similarity(after, before), rtol=1e-5)
    assert record.sha256 == hashlib.sha256(after.tobytes()).hexdigest()
    reference = tiny.fingerprint(seed=9)
    for pixels, when in ((before, "before"), (after, "after")):
        for name, value in report.figures(pixels, reference, settings.sigma).items():
            assert getattr(record, f"{name}_{when}") == value
    assert record.ncc_before != record.ncc_after
    np.testing.assert_allclose(record.best_psnr, progress.history.psnr.max())


def test_a_record_has_a_row_for_every_combination(walked, record):
    problem, _, results, settings = walked
    assert len(record.results) == len(results) == 4
    reference = tiny.fingerprint(seed=9)
    for row, result in zip(record.results, results, strict=True):
        assert result.settings.items() <= row.items()
        by_hand = oracles.psnr(result.pixels, np.asarray(problem.pixels))
        np.testing.assert_allclose(row["psnr"], by_hand, rtol=1e-5)
        assert report.figures(result.pixels, reference, settings.sigma).items() <= row.items()
        assert row["extractors"] == row["leakage"] == {}
    assert [row["threshold"] for row in record.results] == [1.0, 80.0, 1.0, 80.0]
    assert [row["snapshots"] == 0 for row in record.results] == [False, True, False, True]


def test_a_row_holds_what_the_extractors_found_and_what_leaked(rebuilt):
    assert [row["extractors"]["sigma-3"] for row in rebuilt.results] == [-1.5, 2.5, 0.5]
    assert [row["target_psnr"] for row in rebuilt.results] == [42, 48, 38]
    assert rebuilt.psnr == rebuilt.results[0]["psnr"], "the first is the one that is written"
    assert (rebuilt.steps, rebuilt.best_psnr, rebuilt.gamma) == (None, None, None)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run of one photo, its fingerprint in another unit: folder, records, and K."""
    folder = tmp_path_factory.mktemp("run")
    plane = np.float32(255) * tiny.fingerprint()
    pixels = pair()[0]
    sample = Sample(pixels, plane, Window((64, 64), 0, 0, 64, 64))
    settings = tiny.settings(stop_psnr=90.0)
    found = list(runs.photos([Record("cam_3", "cam", lambda: sample)], settings, folder))
    return folder, found, plane


def test_gamma_is_also_given_in_the_unit_of_the_fingerprint(run):
    folder, (record,), plane = run
    history = files.read_json(folder / "photos" / "cam_3.history.json")
    assert record.gamma == history["gamma"][-1] > 0
    injected = record.gamma * 0.01 * plane / plane.std()
    same = record.gamma_in_unit_of_fingerprint * plane
    np.testing.assert_allclose(same, injected, rtol=1e-4, atol=1e-12)


def test_a_record_is_read_back_as_it_was(run):
    folder, (record,), _ = run
    assert record == report.from_json(files.read_json(folder / "photos" / "cam_3.json"))
    summary = files.read_json(folder / "summary.json")
    assert [report.from_json(one) for one in summary["photos"]] == [record]
    assert record.fallback is record.out_of_time is False
    assert (record.steps, record.reference) == (12, "camera")


def test_a_record_is_strict_json_and_what_is_undefined_is_nan_again(tmp_path, record):
    bad = dataclasses.replace(record, ncc_after=math.nan, pce_after=math.inf)
    files.write_json(tmp_path / "summary.json", {"config": config.Config(), "photos": [bad]})

    def refuse(literal):
        raise AssertionError(literal)

    text = (tmp_path / "summary.json").read_text()
    read = json.loads(text, parse_constant=refuse)
    assert read["photos"][0]["ncc_after"] is None
    assert read["photos"][0]["id"] == "cam_1"
    assert read["config"] == json.loads(json.dumps(dataclasses.asdict(config.Config())))
    again = report.from_json(read["photos"][0])
    assert math.isnan(again.ncc_after)
    assert math.isnan(again.pce_after)
    assert again.best_psnr == record.best_psnr
    assert again.gamma is None, "what there is not is not undefined"
    assert "NCC" in report.lines(again)
    assert "none after" in report.lines(again)


def test_the_terminal_shows_the_figures_and_says_when_it_is_a_fallback(record):
    text = report.lines(record)
    assert "cam_1  64×64 pixels, 12 steps, 3 s" in text
    assert f"PSNR {record.psnr:.2f} dB" in text
    for key, places in (("ncc", 4), ("z", 1), ("pce", 1)):
        for when in ("before", "after"):
            assert f"{getattr(record, f'{key}_{when}'):.{places}f} {when}" in text
    assert "no snapshot" not in text
    assert "minutes" not in text
    fallback = dataclasses.replace(record, fallback=True)
    assert "no snapshot reached 1 dB" in report.lines(fallback)
    assert "a higher inversion.stop_psnr" in report.lines(fallback)
    late = dataclasses.replace(record, out_of_time=True)
    assert "the minutes were over" in report.lines(late)


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
    rows = sorted(rebuilt.results, key=lambda row: row["psnr"])
    sizes = (1.0, 1.5, 2.5)  # of the largest by either extractor; the sign does not count
    pairs = ", ".join(
        f"{size:.2f} at {row['psnr']:.1f} dB" for size, row in zip(sizes, rows, strict=True)
    )
    assert f"largest |z| of four extractors: {pairs}" in text
    assert "steps" not in text
    assert "leakage" not in text
    assert f"{rebuilt.z_after:.1f} after" in text


def test_without_a_fingerprint_the_residual_is_not_shown_as_one(rebuilt):
    text = report.lines(blind(rebuilt))
    rows = sorted(rebuilt.results, key=lambda row: row["psnr"])
    shares = (1.0, -1.5, 2.5)  # whichever is farther from 0
    pairs = ", ".join(
        f"{share:.2f} at {row['psnr']:.1f} dB" for share, row in zip(shares, rows, strict=True)
    )
    assert f"largest leakage of a fingerprint in a band or texture: {pairs}" in text
    assert "NCC" not in text
    assert "extractors" not in text


def test_a_version_without_any_figure_is_shown_all_the_same(rebuilt):
    """A photo that came back as it was: its PSNR is infinite, null in the file."""
    nothing = {"psnr": None, "extractors": {"sigma-3": None, "busy": math.nan}}
    rows = [rebuilt.results[0] | nothing, *rebuilt.results[1:]]
    text = report.lines(dataclasses.replace(rebuilt, results=rows, psnr=math.nan))
    assert "nan at inf dB" in text
    assert "2.50 at" in text


def test_the_picture_of_a_rebuilt_photo_shows_its_trade_off(walked, rebuilt):
    before = np.asarray(walked[0].pixels)
    pictures = [
        report.picture(before, before, None, record, config.Config())
        for record in (
            rebuilt,
            dataclasses.replace(rebuilt, results=rebuilt.results[:1]),
            blind(rebuilt),
        )
    ]
    sizes = [Image.open(io.BytesIO(data)).size for data in pictures]
    assert sizes[0] == sizes[1] == sizes[2]
    assert len(set(pictures)) == 3


@pytest.mark.parametrize("known", [True, False])
def test_the_lines_of_a_trade_off_are_called_what_they_are(rebuilt, known):
    axis = figure.Figure().subplots()
    report._draw_front(axis, rebuilt if known else blind(rebuilt))
    title = axis.get_legend().get_title().get_text()
    assert title == ("extractor" if known else "band or texture")
