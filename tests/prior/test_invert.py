"""The paper's method in one call: it is the walk, what it refuses, when it calls and ends; and how
many steps a run is said to take."""

import functools
import inspect
import time

import jax
import numpy as np
import pytest

from dippas_jax import config
from dippas_jax.prior import anonymize, inversion, progress
from dippas_jax.types import FlatPhotoError, InputError
from tests import oracles, tiny

KEY = jax.random.key(0)
SETTINGS = tiny.settings(stop_psnr=90.0)  # 12 steps in 4 chunks

unchecked = inspect.unwrap(anonymize.invert)
"""As users have it: in tests the types of arguments are checked before the function sees them."""


def photo():
    return oracles.photo(0, 64, 64, 10 * tiny.fingerprint())


def by_hand(injected, settings=SETTINGS):
    """start, advance until finished, assemble."""
    problem = inversion.problem(KEY, photo(), injected)
    walked = anonymize.start(problem, settings)
    while not anonymize.finished(walked, settings):
        walked = anonymize.advance_compiled(walked, problem, injected, config=settings)
    return anonymize.assemble(walked, photo(), settings)


@functools.cache
def aware():
    return anonymize.invert(KEY, photo(), tiny.fingerprint(), SETTINGS)


@functools.cache
def blind():
    return anonymize.invert(KEY, photo(), None, SETTINGS)


def assert_same(one, other):
    """Pixels and history in every bit, and the numbers of both."""
    tiny.assert_same_bytes((one.pixels, one.history), (other.pixels, other.history))
    assert (one.psnr, dict(one.settings)) == (other.psnr, dict(other.settings))


def test_inverting_is_the_walk_by_hand():
    (result,) = by_hand(tiny.fingerprint())
    assert_same(aware(), result)
    assert [len(values) for values in aware().history] == [12] * 4
    assert aware().settings["steps"] == aware().settings["snapshots"] == 12


def test_the_scores_are_those_of_the_fingerprint_in_the_result():
    pixels, plane = aware().pixels, tiny.fingerprint()
    assert list(aware().z) == ["sigma-2", "sigma-3", "sigma-5", "busy"]
    for sigma in (2, 3, 5):
        ncc = oracles.ncc(oracles.residual(pixels, sigma), oracles.pattern(pixels, plane))
        assert aware().z[f"sigma-{sigma}"] == pytest.approx(64 * ncc, abs=2e-3)
    assert aware().leakage == blind().leakage == blind().z == {}


def test_without_a_fingerprint_the_photos_own_residual_is_injected():
    plane = anonymize.residual_of(photo(), SETTINGS.sigma)
    np.testing.assert_allclose(plane, oracles.residual(photo()), atol=2e-3)
    (result,) = by_hand(plane)
    assert_same(blind(), result)
    assert (blind().pixels != aware().pixels).any()
    assert blind().history.ncc[-1] != aware().history.ncc[-1]


def test_the_first_of_every_setting_of_the_grid_is_given():
    grid = config.Assembly(sides=(32, 64), averages=(1, 3), thresholds=(12.0, 1.0))
    settings = tiny.settings(assembly=grid, stop_psnr=90.0)
    result = anonymize.invert(KEY, photo(), tiny.fingerprint(), settings)
    assert_same(result, by_hand(tiny.fingerprint(), settings)[0])
    chosen = [result.settings[name] for name in ("side", "average", "threshold")]
    assert chosen == [32, 1, 12.0]


def test_a_target_is_spelled_out_before_the_run():
    network, inversion = SETTINGS.generator, tiny.settings().inversion
    aimed = config.Config(generator=network, inversion=inversion, target_psnr=20.0)
    result = anonymize.invert(KEY, photo(), tiny.fingerprint(), aimed)
    assert_same(result, by_hand(tiny.fingerprint(), config.settled(aimed))[0])
    assert result.settings["threshold"] == 19.5


# ---------------------------------------------------------------------------------- what is refused


def spoiled(value):
    plane = tiny.fingerprint()
    plane[3, 4] = value
    return plane


@pytest.mark.parametrize(
    ("pixels", "plane", "words"),
    [
        (photo(), np.full((64, 64), 0.5, np.float32), "the fingerprint is constant"),
        (photo(), np.zeros((64, 64), np.float32), "the fingerprint is constant"),
        (photo(), spoiled(np.nan), "the fingerprint holds values that are no numbers"),
        (photo(), spoiled(-np.inf), "the fingerprint holds values that are no numbers"),
        (photo(), tiny.fingerprint(64, 80), r"\[64, 80\] and the photo has 64x64 pixels"),
        (photo(), tiny.fingerprint()[None], r"\[1, 64, 64\] and the photo has 64x64 pixels"),
        (photo() / 255.0, tiny.fingerprint(), r"the photo is float64 \[64, 64, 3\]"),
        (photo()[..., 0], tiny.fingerprint(), r"the photo is uint8 \[64, 64\]"),
        (photo()[1:], tiny.fingerprint(63, 64), "photo of 63x64 pixels is too small"),
        (photo()[1:], None, "photo of 63x64 pixels is too small"),
        (np.full((64, 64, 3), 90, np.uint8), None, r"no noise to remove \(it is flat\)"),
        (np.full((64, 64, 3), 90, np.uint8), tiny.fingerprint(), r"no noise to remove \(it is "),
    ],
)
def test_what_cannot_be_used_is_refused_in_one_sentence_before_any_work(
    pixels, plane, words, monkeypatch
):
    monkeypatch.setattr(anonymize, "start", None)
    with pytest.raises(InputError, match=f"{words}.*; (give|estimate|leave) ") as caught:
        unchecked(KEY, pixels, plane, SETTINGS)
    assert "\n" not in str(caught.value)
    assert ". " not in str(caught.value), "one sentence"


def test_a_flat_photo_is_told_from_what_is_wrong():
    """Others of a run go on without it."""
    with pytest.raises(FlatPhotoError):
        anonymize.invert(KEY, np.zeros((64, 64, 3), np.uint8), None, SETTINGS)


# ------------------------------------------------------------------------------------ as it goes on


def test_the_caller_hears_before_the_first_step_and_after_every_chunk(monkeypatch):
    heard = []

    def compiled(*given):
        heard.append("compiled")

    monkeypatch.setattr(anonymize, "compile_chunk", compiled)
    seven = tiny.settings(stop_psnr=90.0, max_steps=7)
    result = anonymize.invert(
        KEY,
        photo(),
        tiny.fingerprint(),
        seven,
        on_chunk=lambda progress: heard.append(int(progress.steps)),
    )
    assert heard == ["compiled", 0, 3, 6, 7]
    np.testing.assert_array_equal(result.history.psnr, aware().history.psnr[:7])


def test_out_of_time_the_run_ends_after_one_chunk():
    steps = []
    result = anonymize.invert(
        KEY,
        photo(),
        tiny.fingerprint(),
        SETTINGS,
        deadline=time.monotonic() - 1,
        on_chunk=lambda progress: steps.append(int(progress.steps)),
    )
    assert steps == [0, 3]
    assert result.settings["steps"] == result.settings["snapshots"] == 3
    tiny.assert_same_bytes(result.history.psnr, aware().history.psnr[:3])
    in_time = anonymize.invert(
        KEY, photo(), tiny.fingerprint(), SETTINGS, deadline=time.monotonic() + 3600
    )
    assert_same(in_time, aware())


# ------------------------------------------------------------------------- how long a run will take


def line(steps, end, slope):
    """A PSNR that grows by `slope` dB where the steps double, and is 39 dB after `end` of them."""
    return 39 + slope * np.log2((np.arange(steps) + 1.0) / end)


@pytest.mark.parametrize(
    ("done", "slope", "tolerance"),
    [
        (20, 4.0, 0.2),  # the usual slope: all there is at first
        (60, 4.0, 0.1),
        (900, 4.0, 0.02),
        (900, 3.0, 0.05),  # its own, the more the longer it has gone on
        (900, 6.0, 0.1),
    ],
)
def test_where_the_psnr_grows_with_the_logarithm_the_end_is_foretold(done, slope, tolerance):
    settings = config.Inversion(max_steps=10_000, stop_psnr=39.0)
    psnr = line(done, 1400, slope)
    assert progress.expected_steps(psnr, settings) == pytest.approx(1400, rel=tolerance)
    early = 30 * np.random.default_rng(0).random(done // 2)
    same = progress.expected_steps(np.r_[early, psnr[done // 2 :]], settings)
    assert same == progress.expected_steps(psnr, settings), "the first half does not count"


def test_never_fewer_steps_than_are_done_nor_more_than_are_allowed():
    settings = config.Inversion(max_steps=1000, stop_psnr=39.0)
    nearly = np.full(200, 38.99)
    assert progress.expected_steps(nearly, settings) >= 200
    assert progress.expected_steps(nearly - 30, settings) == 1000
    for seed in range(50):
        draw = np.random.default_rng(seed)
        noisy = 25 + 10 * draw.standard_normal(draw.integers(1, 1000))
        steps = progress.expected_steps(np.minimum(noisy, 38.9), settings)
        assert len(noisy) <= steps <= 1000


@pytest.mark.parametrize("psnr", [[40.0], [10.0, 39.1], [*[20.0] * 30, 39.1]])
def test_a_run_that_has_met_its_end_takes_no_more(psnr):
    settings = config.Inversion(max_steps=1000, stop_psnr=39.0)
    assert progress.expected_steps(np.array(psnr), settings) == len(psnr)


def test_a_psnr_that_falls_lets_all_steps_be_expected():
    settings = config.Inversion(max_steps=10_000, stop_psnr=39.0)
    assert progress.expected_steps(np.linspace(30, 20, 400), settings) == 10_000
    assert progress.expected_steps(np.linspace(20, 30, 400), settings) < 10_000
