"""Many photos at once give what each gives alone, whatever lies beside it and wherever it lies."""

import dataclasses
import functools
import os
import subprocess
import sys
import weakref
import zlib
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dippas_jax.prior import anonymize, batch, inversion
from dippas_jax.types import FlatPhotoError, InputError, ShortageError
from tests import oracles, tiny

KEY = jax.random.key(0)
SETTINGS = tiny.settings(max_steps=12, stop_psnr=90.0)
PLANES = [tiny.fingerprint(seed=seed) for seed in range(4)]
PHOTOS = [oracles.photo(seed, 64, 64, 10 * PLANES[seed]) for seed in range(4)]
DEVICES = jax.devices()[:2]
DONE = ArithmeticError("done, and not looked at")


@functools.cache
def alone(index, blind=False, settings=SETTINGS):
    """The photo's result by `anonymize.invert`, with the key that a batch makes for it."""
    own = jax.random.fold_in(KEY, zlib.crc32(PHOTOS[index].tobytes()))
    return anonymize.invert(own, PHOTOS[index], None if blind else PLANES[index], settings)


def assert_same(one, other):
    tiny.assert_same_bytes(
        (one.pixels, tuple(one.history), one.psnr), (other.pixels, tuple(other.history), other.psnr)
    )
    assert one.settings == other.settings
    assert one.z == pytest.approx(other.z, nan_ok=True)


@pytest.mark.parametrize(
    ("order", "slots", "devices"),
    [
        pytest.param((0, 1, 2, 3), 1, 1, marks=pytest.mark.slow),
        pytest.param((3, 1, 0, 2), 3, 1, marks=pytest.mark.slow),
        ((2, 0, 3, 1), 1, 2),
    ],
)
def test_neither_slots_nor_order_nor_devices_change_a_byte(order, slots, devices):
    heard = []
    found = batch.invert_batch(
        KEY,
        [PHOTOS[n] for n in order],
        [PLANES[n] for n in order],
        SETTINGS,
        slots=slots,
        devices=DEVICES[:devices],
        on_result=lambda index, result: heard.append((index, result)),
    )
    for result, n in zip(found, order, strict=True):
        assert_same(result, alone(n))
    assert sorted(index for index, _ in heard) == [0, 1, 2, 3]
    assert all(found[index] is result for index, result in heard)


@pytest.mark.slow
def test_all_together_is_the_same_but_for_rounding():
    """From one state: later, chaos makes another photo of the last bit."""
    problems = [inversion.problem(jax.random.key(n), PHOTOS[n], PLANES[n]) for n in range(3)]
    planes = jnp.stack([problem.fingerprint for problem in problems])
    every = jax.tree.map(lambda *x: jnp.stack(x), *problems)
    starts = [anonymize.start(problem, SETTINGS) for problem in problems]
    many = jax.tree.map(lambda *x: jnp.stack(x), *starts)
    together = jax.jit(
        jax.vmap(functools.partial(anonymize.advance, config=SETTINGS)),
    )(many, every, planes)
    for n, (problem, start) in enumerate(zip(problems, starts, strict=True)):
        one = anonymize.advance_compiled(start, problem, problem.fingerprint, config=SETTINGS)
        np.testing.assert_allclose(together.history.psnr[n], one.history.psnr, atol=1e-3)
        np.testing.assert_allclose(together.history.ncc[n], one.history.ncc, atol=1e-4)
        assert together.steps[n] == one.steps == 3
        near = together.best.pixels[n].astype(int) - np.asarray(one.best.pixels, int)
        assert np.abs(near).max() <= 1
    found = batch.invert_batch(KEY, PHOTOS[:3], PLANES[:3], SETTINGS, slots=3, way="vmap")
    for n in range(3):
        assert found[n].psnr == pytest.approx(alone(n).psnr, abs=0.5)


@pytest.mark.slow
def test_what_cannot_be_used_and_what_diverges_stop_no_other_photo():
    wild = dataclasses.replace(
        SETTINGS, inversion=dataclasses.replace(SETTINGS.inversion, max_steps=6)
    )
    flat = np.full((64, 64, 3), 100, np.uint8)
    small = PHOTOS[1][:40, :40]
    endless = np.full((64, 64), np.nan, np.float32)
    found = batch.invert_batch(
        KEY,
        [flat, PHOTOS[0], small, PHOTOS[1], PHOTOS[2]],
        [None, None, None, endless, PLANES[2]],
        wild,
        slots=1,
    )
    kinds = [type(one) for one in found]
    assert kinds[0] is FlatPhotoError
    assert kinds[2] is kinds[3] is InputError
    assert_same(found[1], alone(0, blind=True, settings=wild))
    assert_same(found[4], alone(2, settings=wild))


@pytest.mark.slow
def test_a_lost_run_is_given_as_its_error(monkeypatch):
    stated = anonymize.stated

    def broken(key, photo, *rest):
        problem, plane, planted = stated(key, photo, *rest)
        if np.array_equal(photo, PHOTOS[0]):
            problem = problem._replace(fingerprint=problem.fingerprint * np.nan)
        return problem, plane, planted

    monkeypatch.setattr(anonymize, "stated", broken)
    lost, kept = batch.invert_batch(KEY, PHOTOS[:2], PLANES[:2], SETTINGS, slots=1)
    assert isinstance(lost, anonymize.DivergedError)
    assert "step 0" in str(lost)
    assert_same(kept, alone(1))


@pytest.mark.slow
def test_photos_of_several_sizes_each_with_those_of_its_own():
    wide = oracles.photo(9, 64, 80, 10 * tiny.fingerprint(64, 80))
    found = batch.invert_batch(
        KEY, [PHOTOS[0], wide, PHOTOS[1]], [PLANES[0], None, PLANES[1]], SETTINGS, slots=2
    )
    assert [one.pixels.shape for one in found] == [(64, 64, 3), (64, 80, 3), (64, 64, 3)]
    assert_same(found[0], alone(0))
    assert_same(found[2], alone(1))


def job(n, deadline=float("inf"), steps=0):
    problem = inversion.problem(jax.random.key(n), PHOTOS[n % 4], PLANES[n % 4])
    progress = anonymize.start(problem, SETTINGS)
    for _ in range(steps // 3):
        progress = anonymize.advance_compiled(
            progress, problem, problem.fingerprint, config=SETTINGS
        )
    return batch.Job(problem, problem.fingerprint, progress, deadline)


@pytest.mark.parametrize("ahead", [0, pytest.param(1, marks=pytest.mark.slow)])
def test_a_slot_takes_the_next_photo_as_soon_as_its_own_is_over(ahead):
    """Runs of 12, 3, 6 and 9 steps in two slots: nobody waits, and each is asked for when due."""
    asked, heard = [], []

    def jobs():
        for n, done in enumerate((0, 9, 6, 3)):
            asked.append(n)
            yield job(n, steps=done)

    ended = []
    run = batch.inverted(
        jobs(), SETTINGS, slots=2, ahead=ahead,
        on_chunk=lambda running: heard.append({n: len(x) for n, x in running.psnr.items()}),
    )  # fmt: skip
    for number, progress in run:
        ended.append((number, sorted(asked)))
        assert progress.steps == 12
        whole = job(number, steps=12).progress
        tiny.assert_same_bytes(progress.pools, whole.pools)
        tiny.assert_same_bytes(tuple(progress.history), tuple(whole.history))
    numbers = [number for number, _ in ended]
    assert numbers == ([1, 0, 2, 3] if ahead else [1, 2, 0, 3])
    assert ended[0] == (1, [0, 1])
    if not ahead:
        assert ended[1] == (2, [0, 1, 2])
        assert heard == [
            {0: 0, 1: 9}, {0: 3, 1: 12}, {0: 6, 2: 9}, {0: 9, 2: 12}, {0: 12, 3: 6}, {3: 9},
            {3: 12},
        ]  # fmt: skip


@pytest.mark.slow
def test_what_is_given_out_while_it_runs_is_the_run_itself():
    seen = []

    def chunk(running):
        seen.extend(running.progress(n) for n in running.psnr)

    ((_, end),) = batch.inverted([job(0)], SETTINGS, slots=1, ahead=0, on_chunk=chunk)
    assert [int(progress.steps) for progress in seen] == [0, 3, 6, 9, 12]
    tiny.assert_same_bytes(seen[-1], end)
    tiny.assert_same_bytes(seen[2].state, job(0, steps=6).progress.state)


def test_out_of_time_a_photo_is_taken_as_it_is_and_the_next_begins():
    jobs = [job(0, deadline=0.0), job(1)]
    run = batch.inverted(jobs, SETTINGS, slots=1, ahead=0)
    assert [(n, int(progress.steps)) for n, progress in run] == [(0, 3), (1, 12)]


def seen_of_a_batch(monkeypatch, planes, settings=SETTINGS):
    """What is inverted of the first photos, whose runs are over at once, and what is told."""
    seen, told = [], []

    def inverted(jobs, *_, **__):
        for number, job in enumerate(jobs):
            seen.append(job)
            yield number, job.progress

    monkeypatch.setattr(batch, "inverted", inverted)
    monkeypatch.setattr(batch, "_result", lambda progress, one, config: told.append(one) or DONE)
    batch.invert_batch(KEY, PHOTOS[: len(planes)], planes, settings)
    return seen, told


def test_a_mean_of_the_fingerprint_is_not_injected(monkeypatch):
    gains = 1 + 0.002 * PLANES[0]
    (job,), (one,) = seen_of_a_batch(monkeypatch, [gains])
    centred = gains - np.float32(gains.mean(dtype=np.float64))
    np.testing.assert_array_equal(job.reference, centred)
    np.testing.assert_array_equal(one.fingerprint, centred)


def test_what_was_planted_in_a_photo_goes_when_the_photo_is_done(monkeypatch):
    class Planted:
        pass

    planted, alive = [], []

    def stated(key, photo, plane, config):
        new = Planted()
        planted.append(weakref.ref(new))
        return inversion.problem(key, photo, plane), plane, new

    def inverted(jobs, *_, **__):
        for number, job in enumerate(jobs):
            alive.append(sum(one() is not None for one in planted))
            yield number, job.progress

    monkeypatch.setattr(anonymize, "stated", stated)
    monkeypatch.setattr(batch, "inverted", inverted)
    monkeypatch.setattr(batch, "_result", lambda progress, one, config: DONE)
    assert batch.invert_batch(KEY, PHOTOS[:3], PLANES[:3], SETTINGS) == [DONE] * 3
    assert max(alive) <= 2, "the last one and the next one"


def test_where_memory_runs_out_the_photos_of_that_size_are_told_and_others_done(monkeypatch):
    wide = np.tile(PHOTOS[0], (1, 2, 1))
    full = [jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: Out of memory allocating 9 bytes")]

    def inverted(jobs, *_, **__):
        for number, job in enumerate(jobs):
            if job.problem.pixels.shape[1] == 128 and number == 1:
                raise full[0]
            yield number, job.progress

    monkeypatch.setattr(batch, "inverted", inverted)
    monkeypatch.setattr(batch, "_result", lambda progress, one, config: DONE)
    photos = [wide, PHOTOS[0], wide ^ 1, wide ^ 2]
    first, small, *others = batch.invert_batch(KEY, photos, None, SETTINGS)
    assert (first, small) == (DONE, DONE)
    for one in others:
        assert isinstance(one, ShortageError)
        assert "memory ran out at photos of 64x128 pixels; give fewer slots" in str(one)
    full[0] = jax.errors.JaxRuntimeError("INTERNAL: something else")
    with pytest.raises(jax.errors.JaxRuntimeError, match="INTERNAL"):
        batch.invert_batch(KEY, photos, None, SETTINGS)


def test_as_many_slots_are_filled_as_the_settings_say(monkeypatch):
    counts = []

    def filled(job, count, config, devices):
        counts.append(count)
        raise KeyboardInterrupt

    monkeypatch.setattr(batch, "_filled", filled)
    for given, slots in ((0, 0), (3, 0), (3, 2)):
        settings = dataclasses.replace(SETTINGS, batch=given)
        with pytest.raises(KeyboardInterrupt):
            batch.invert_batch(KEY, PHOTOS[:1], PLANES[:1], settings, slots=slots)
    assert counts == [1, 3, 2]


def test_what_a_batch_cannot_be_is_refused():
    with pytest.raises(InputError, match="2 photos and 1 fingerprints; give one for each"):
        batch.invert_batch(KEY, PHOTOS[:2], PLANES[:1], SETTINGS)
    with pytest.raises(InputError, match='"all" cannot be; give 0 or more'):
        list(batch.inverted([job(0)], SETTINGS, way="all"))
    assert batch.invert_batch(KEY, [], [], SETTINGS) == []
    assert list(batch.inverted([], SETTINGS)) == []
    assert batch.slots_for("cpu") == 1
    assert batch.slots_for("gpu") == batch.MANY


def test_accelerators_work_on_small_photos_together_and_on_large_ones_in_turn():
    assert batch.way_for("gpu", 256 * 256) == "vmap"
    assert batch.way_for("gpu", 512 * 512) == "map"
    assert batch.way_for("cpu", 64 * 64) == "map"


EIGHT = """
import jax, numpy as np, sys
jax.config.update("jax_num_cpu_devices", 8)
from dippas_jax.prior import batch
from tests.prior import test_batch as case
assert len(jax.devices()) == 8
found = batch.invert_batch(
    case.KEY, case.PHOTOS, [None, *case.PLANES[1:]], case.SETTINGS, devices=jax.devices()
)
np.savez(sys.argv[1], *(one.pixels for one in found), psnr=[one.psnr for one in found])
"""


@pytest.mark.slow
def test_eight_devices_give_what_one_gives_and_some_may_be_idle(tmp_path):
    """Four photos, so half of the devices have none."""
    environment = {k: v for k, v in os.environ.items() if k != "XLA_FLAGS"}
    environment["XLA_FLAGS"] = " ".join(
        flag for flag in os.environ.get("XLA_FLAGS", "").split() if "device_count" not in flag
    )
    command = [sys.executable, "-c", EIGHT, str(tmp_path / "found.npz")]
    subprocess.run(command, check=True, cwd=Path(__file__).parents[2], env=environment)
    found = np.load(tmp_path / "found.npz")
    for n in range(4):
        one = alone(n, blind=n == 0)
        np.testing.assert_array_equal(found[f"arr_{n}"], one.pixels)
        assert found["psnr"][n] == one.psnr
