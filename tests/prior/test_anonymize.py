"""The walk: where it ends, what it assembles, and that stopping and going on changes nothing."""

import functools
import re
from typing import Any, NamedTuple

import jax
import numpy as np
import pytest

from dippas_jax import config
from dippas_jax.io import checkpoint
from dippas_jax.prior import anonymize
from dippas_jax.types import InputError
from tests import oracles, tiny

STEPS = 12
GRID = config.Assembly(sides=(32, 64, 512), averages=(3, 1), thresholds=(1.0, 12.0))


def settings(**options):
    return tiny.settings(assembly=GRID, **{"stop_psnr": 90.0, "max_steps": STEPS, **options})


def walk(chosen, problem=None, progress=None):
    """From the start, or from `progress`, to the end."""
    problem = problem or tiny.problem()
    progress = progress or anonymize.start(problem, chosen)
    for _ in range(STEPS):  # more chunks than any run here has
        if anonymize.finished(progress, chosen):
            return progress
        progress = anonymize.advance_compiled(progress, problem, problem.fingerprint, config=chosen)
    raise AssertionError("the run does not end")


@functools.cache
def whole():
    """A run of all steps."""
    return walk(settings())


def assembled(progress, chosen):
    """The photos of every combination; all runs here are of the one photo."""
    return anonymize.assemble(progress, tiny.problem().pixels, chosen)


def choice(result):
    """B, L and τ of a result."""
    return tuple(result.settings[name] for name in ("side", "average", "threshold"))


def outcome(progress, chosen):
    """What a run leaves: its photos, their settings, its history, and its best snapshot."""
    results = assembled(progress, chosen)
    best = progress.best.pixels, progress.best.psnr
    pixels, settings = [result.pixels for result in results], [dict(r.settings) for r in results]
    return pixels, settings, list(results[0].history), best


@functools.cache
def crossing():
    """A step in the middle of chunks of 2, 3 and 5 that is the first above some PSNR, and that."""
    psnr = whole().history.psnr
    step = next(s for s in (6, 10, 7, 8) if psnr[s] > psnr[:s].max())
    return step, float((psnr[:step].max() + psnr[step]) / 2)


@pytest.mark.parametrize(
    "chunk", [pytest.param(chunk, marks=pytest.mark.slow) for chunk in (2, 3, 5)]
)
def test_the_run_ends_with_the_first_snapshot_past_the_limit_for_any_chunk_length(chunk):
    step, limit = crossing()
    chosen = settings(stop_psnr=limit, chunk=chunk)
    progress = walk(chosen)
    assert progress.steps == step + 1
    tiny.assert_same_bytes(
        [values[: step + 1] for values in progress.history],
        [values[: step + 1] for values in whole().history],
    )
    at_most = settings(max_steps=step + 1)
    tiny.assert_same_bytes(outcome(progress, chosen), outcome(walk(at_most), at_most))


def test_a_snapshot_just_at_the_limit_does_not_end_the_run():
    step, _ = crossing()
    psnr = whole().history.psnr
    progress = walk(settings(stop_psnr=float(psnr[step])))
    above = np.flatnonzero(psnr > psnr[step])
    assert progress.steps == (above[0] + 1 if above.size else STEPS) > step + 1
    tiny.assert_same_bytes(progress.history.psnr[: progress.steps], psnr[: progress.steps])


def test_steps_beyond_the_last_do_not_count_where_chunks_do_not_divide_them():
    chosen = settings(max_steps=7)
    progress = walk(chosen)
    assert progress.steps == 7
    assert progress.history.psnr.shape == (7,)
    results = assembled(progress, chosen)
    assert results[0].settings["snapshots"] == results[0].settings["steps"] == 7
    assert progress.best.psnr == whole().history.psnr[:7].max()


def test_every_number_and_photo_is_that_of_the_snapshots_at_once():
    """Residuals, NCC, order and mean by the oracles, from the trace of the inversion alone."""
    problem, chosen = tiny.problem(), settings(max_steps=9)
    trace = tiny.run(problem, chosen, 9)
    plane = np.asarray(problem.fingerprint, np.float64)
    noise = [oracles.residual(snapshot) for snapshot in trace.pixels]
    patterns = [oracles.pattern(snapshot, plane) for snapshot in trace.pixels]
    tau = float(np.sort(trace.psnr)[2])  # exactly the PSNR of a snapshot, which is to count
    grid = config.Assembly(sides=(32, 512), averages=(1, 3), thresholds=(tau,))
    chosen = tiny.settings(assembly=grid, stop_psnr=90.0, max_steps=9)
    progress = walk(chosen, problem)
    ncc = [oracles.ncc(w, p) for w, p in zip(noise, patterns, strict=True)]
    np.testing.assert_allclose(progress.history.ncc, ncc, atol=2e-5)
    tiny.assert_same_bytes(progress.history.psnr, trace.psnr)
    admitted = [step for step in range(9) if trace.psnr[step] >= tau]
    before = np.asarray(problem.pixels)
    for result in assembled(progress, chosen):
        side, average, _ = choice(result)
        side, photo = min(side, 64), np.zeros((64, 64, 3))
        for y in range(0, 64, side):
            for x in range(0, 64, side):
                cut = slice(y, y + side), slice(x, x + side)
                score = {s: oracles.ncc(noise[s][cut], patterns[s][cut]) for s in admitted}
                order = sorted(admitted, key=lambda s: (score[s] >= 0, abs(score[s])))
                photo[cut] = np.mean([trace.pixels[s][cut] for s in order[:average]], 0)
        assert result.settings["snapshots"] == len(admitted) == 7
        assert result.settings["gamma"] == trace.gamma[-1]
        assert result.pixels.dtype == np.uint8
        assert np.abs(result.pixels - photo).max() < 0.501, choice(result)
        np.testing.assert_allclose(result.psnr, oracles.psnr(result.pixels, before), rtol=1e-5)
        assert result.z == result.leakage == {}, "nothing is looked for here"


@pytest.mark.slow
def test_one_inversion_serves_the_grid_as_runs_of_their_own_would():
    progress = whole()
    results = assembled(progress, settings())
    assert [choice(result) for result in results] == [
        (side, average, tau) for side in (32, 64, 512) for average in (3, 1) for tau in (1.0, 12.0)
    ]
    for result in (results[0], results[3]):
        side, average, tau = choice(result)
        alone = config.Assembly(sides=(side,), averages=(average,), thresholds=(tau,))
        chosen = tiny.settings(assembly=alone, stop_psnr=90.0, max_steps=STEPS)
        (single,) = assembled(walk(chosen), chosen)
        tiny.assert_same_bytes(single.pixels, result.pixels)
        assert (single.psnr, single.settings) == (result.psnr, result.settings)
    whole_photo = [r.pixels for r in results if r.settings["side"] == 64]
    tiny.assert_same_bytes(whole_photo, [r.pixels for r in results if r.settings["side"] == 512])
    assert (results[0].pixels != whole_photo[0]).any()


def test_what_is_carried_does_not_grow_with_the_steps():
    def sizes(progress):
        return [np.shape(x) for x in jax.tree.leaves(progress)]

    assert sizes(anonymize.start(tiny.problem(), settings())) == sizes(whole())


UNDOING = {"rollback": 3.0, "learning_rate": 1.0, "noise_std": 0.0}


@pytest.mark.parametrize(("steps", "options"), [(3, {}), (9, {}), (3, UNDOING)])
def test_going_on_from_a_checkpoint_changes_no_byte(tmp_path, steps, options):
    problem, chosen = tiny.problem(), settings(**options)
    progress = anonymize.start(problem, chosen)
    while progress.steps < steps:
        progress = anonymize.advance_compiled(progress, problem, problem.fingerprint, config=chosen)
    checkpoint.save(tmp_path, steps, progress)
    del progress
    found, progress = checkpoint.latest(tmp_path, anonymize.start(problem, chosen))
    assert found == progress.steps == steps
    again = walk(chosen, problem, progress)
    at_once = walk(chosen)
    tiny.assert_same_bytes(outcome(again, chosen), outcome(at_once, chosen))
    tiny.assert_same_bytes(again.state, at_once.state)
    assert not options or again.state.fallback.rate < 1, "steps were undone"


class OldState(NamedTuple):
    """`State` before it had a fallback."""

    step: Any
    params: Any
    gamma: Any
    optimizer: Any


def test_checkpoints_without_a_fallback_are_those_of_before_there_was_one(tmp_path):
    new = anonymize.start(tiny.problem(), settings())
    old = new._replace(state=OldState(*new.state[:4]))
    for written, like in ((old, new), (new, old)):
        checkpoint.save(tmp_path, 0, (written, np.zeros(())))
        _, (read, _) = checkpoint.latest(tmp_path, (like, np.zeros(())))
        tiny.assert_same_bytes(read, like)
    checkpoint.save(tmp_path, 0, new)
    with pytest.raises(InputError, match="other settings"):
        checkpoint.latest(tmp_path, anonymize.start(tiny.problem(), settings(rollback=1.0)))


def test_a_step_without_numbers_that_is_undone_does_not_end_the_run():
    chosen = settings(rollback=3.0, noise_std=0.0, learning_rate=1e30)
    progress = walk(chosen)
    assert progress.steps == STEPS
    assert np.isfinite(progress.history.loss[0]) > np.isfinite(progress.history.loss[1])
    problem = tiny.problem()
    broken = problem._replace(fingerprint=problem.fingerprint * np.nan)
    with pytest.raises(anonymize.DivergedError, match="the loss is nan at step 0;"):
        walk(chosen, broken)


def test_a_learning_rate_without_bounds_is_named_with_its_step():
    chosen = settings(learning_rate=1e30)
    loss = tiny.run(tiny.problem(), chosen, 3).loss
    step = int(np.flatnonzero(~np.isfinite(loss))[0])
    with pytest.raises(anonymize.DivergedError, match=f"at step {step};.* below 1e\\+30"):
        walk(chosen)


def test_a_run_without_numbers_is_named_with_the_step_of_the_whole_run():
    problem, chosen = tiny.problem(), settings()
    progress = anonymize.start(problem, chosen)
    progress = anonymize.advance_compiled(progress, problem, problem.fingerprint, config=chosen)
    broken = problem._replace(fingerprint=problem.fingerprint * np.nan)
    progress = anonymize.advance_compiled(progress, broken, problem.fingerprint, config=chosen)
    with pytest.raises(anonymize.DivergedError, match=re.escape("the loss is nan at step 3;")):
        anonymize.finished(progress, chosen)


def test_without_a_snapshot_past_the_threshold_the_best_one_is_given_and_flagged():
    grid = config.Assembly(sides=(32,), averages=(3,), thresholds=(80.0, 1.0))
    chosen = tiny.settings(assembly=grid, stop_psnr=90.0, max_steps=STEPS)
    progress = walk(chosen)
    fallback, usual = assembled(progress, chosen)
    assert [r.settings["snapshots"] for r in (fallback, usual)] == [0, STEPS]
    trace = tiny.run(tiny.problem(), chosen, STEPS)
    np.testing.assert_array_equal(fallback.pixels, trace.pixels[np.argmax(trace.psnr)])
    assert (fallback.pixels != usual.pixels).any()


def test_a_run_is_finished_by_the_last_of_its_steps_and_never_before_the_first():
    chosen = settings()
    start = anonymize.start(tiny.problem(), chosen)
    past = np.full(STEPS, 91.0)
    for psnr, steps, end in (
        (past, 0, False),
        (past, 1, True),
        (past - 1, 1, False),  # just at the limit
        (np.where(np.arange(STEPS) == 4, past, 0), 4, False),
        (np.where(np.arange(STEPS) == 4, past, 0), 5, True),
        (0 * past, STEPS - 1, False),
        (0 * past, STEPS, True),
    ):
        history = start.history._replace(psnr=psnr.astype(np.float32))
        progress = start._replace(history=history, steps=np.int32(steps))
        assert anonymize.finished(progress, chosen) is end
