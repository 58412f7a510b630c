"""The inversion: what a step records, and what must not change it."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dippas_jax import generator, image, inversion
from tests import oracles, tiny

SETTINGS = tiny.settings(tiny.TWO_SCALES)
STEPS = 12
apply = jax.jit(generator.apply, static_argnames="config")


@functools.cache
def traced(chunk=3, key=0, scale=1, network=tiny.TWO_SCALES):
    """The shared run, of another chunk length, key or unit of the fingerprint."""
    settings = tiny.settings(network, chunk=chunk)
    return tiny.run(tiny.problem(key=key, scale=scale), settings, STEPS)


def input_of(problem, step, settings):
    """z as step number `step` sees it."""
    h, w, _ = problem.pixels.shape
    z = inversion.input_noise(problem.key, h, w, settings)
    return inversion.perturb(problem.key, z, jnp.int32(step), settings)


def with_gamma(problem, gamma):
    """The first state, but with the fingerprint injected."""
    state = inversion.init_compiled(problem, config=SETTINGS)
    return state._replace(gamma=jnp.float32(gamma))


@pytest.mark.parametrize(
    ("network", "chunk"), [(tiny.TWO_SCALES, 2), (tiny.ONE_SCALE, 2), (tiny.ONE_SCALE, 6)]
)
def test_chunk_length_does_not_change_the_trace(network, chunk):
    tiny.assert_same_bytes(traced(chunk, network=network), traced(3, network=network))


def test_same_key_same_bytes_and_another_key_another_photo():
    again = tiny.run(tiny.problem(), SETTINGS, STEPS)
    tiny.assert_same_bytes(again, traced())
    other = traced(key=1)
    assert (other.pixels[0] != traced().pixels[0]).mean() > 0.5
    assert other.psnr[0] != traced().psnr[0]


def test_every_snapshot_has_its_psnr():
    photo = np.asarray(tiny.problem().pixels)
    by_hand = [oracles.psnr(snapshot, photo) for snapshot in traced().pixels]
    np.testing.assert_allclose(traced().psnr, by_hand, rtol=1e-5)


@pytest.mark.parametrize("gamma", [0.0, 8.0])
def test_first_step_records_equation_9_and_the_image_without_the_fingerprint(gamma):
    """P has standard deviation 0.01, so γ = 8 changes pixels by 8 percent."""
    problem = tiny.problem()
    state = with_gamma(problem, gamma)
    generated = apply(state.params, input_of(problem, 0, SETTINGS), config=tiny.TWO_SCALES)
    generated = np.asarray(generated, np.float64)
    photo = np.asarray(problem.pixels, np.float64) / 255
    plane = np.asarray(problem.fingerprint, np.float64)[..., None]
    trace = tiny.run(problem, SETTINGS, 3, state)
    assert trace.gamma[0] == gamma
    equation = np.mean((generated * (1 + gamma * plane) - photo) ** 2)
    np.testing.assert_allclose(trace.loss[0], equation, rtol=1e-5)
    levels = 255 * generated
    assert np.abs(trace.pixels[0] - levels).max() < 0.51
    if gamma:
        assert np.abs(trace.pixels[0] - levels * (1 + gamma * plane)).max() > 5


def test_gamma_starts_at_zero_and_is_never_negative():
    """One of P and -P pulls γ below zero at once: there the step is cut, in the other it is not."""
    gammas = [traced(scale=scale).gamma for scale in (1, -1)]
    assert all(gamma[0] == 0 for gamma in gammas)
    assert min(gamma.min() for gamma in gammas) == 0
    held, free = sorted(gamma[1] for gamma in gammas)
    assert held == 0, "unclamped, the first step of Adam is minus the learning rate"
    np.testing.assert_allclose(free, 0.01, rtol=1e-3)


def test_gamma_does_not_depend_on_the_unit_of_the_fingerprint():
    """A power of two rounds nothing; 255 rounds the last bit of P, which some steps magnify."""
    tiny.assert_same_bytes(traced(scale=256), traced())
    for scale in (255, 1e-4):
        ours = traced(scale=scale)
        np.testing.assert_allclose(ours.gamma, traced().gamma, rtol=0.02, atol=1e-5)
        np.testing.assert_allclose(ours.loss, traced().loss, rtol=0.01)


def test_fingerprint_is_brought_to_one_percent():
    for scale in (1, -255):
        problem = tiny.problem(scale=scale)
        np.testing.assert_allclose(np.std(problem.fingerprint), 0.01, rtol=1e-5)
        ratio = problem.fingerprint / tiny.fingerprint()
        np.testing.assert_allclose(ratio, ratio[0, 0], rtol=1e-5)
        assert np.sign(ratio[0, 0]) == np.sign(scale)


def test_fresh_noise_depends_on_key_and_step_only():
    key, other = jax.random.key(3), jax.random.key(4)
    z = jnp.zeros((32, 48, 4))
    noise = inversion.perturb(key, z, jnp.int32(7), SETTINGS)
    np.testing.assert_array_equal(noise, inversion.perturb(key, z, jnp.int32(7), SETTINGS))
    shifted = inversion.perturb(key, z + 1, jnp.int32(7), SETTINGS)
    np.testing.assert_allclose(shifted, noise + 1, atol=1e-6)
    compiled = jax.jit(jax.vmap(lambda k, s: inversion.perturb(k, z, s, SETTINGS)))
    many = compiled(jnp.stack([key, key, other]), jnp.array([7, 8, 7]))
    np.testing.assert_allclose(many[0], noise, atol=1e-7)
    flat = np.asarray(many).reshape(3, -1)
    assert np.abs(np.corrcoef(flat) - np.eye(3)).max() < 0.05, "steps and photos are independent"
    np.testing.assert_allclose(flat.std(), SETTINGS.inversion.noise_std, rtol=0.03)
    np.testing.assert_allclose(flat.mean(), 0, atol=0.001)


def test_noise_is_independent_of_the_input_it_is_added_to():
    z = inversion.input_noise(jax.random.key(3), 64, 64, SETTINGS)
    noise = inversion.perturb(jax.random.key(3), z, jnp.int32(0), SETTINGS) - z
    assert abs(np.corrcoef(np.ravel(z), np.ravel(noise))[0, 1]) < 0.05


def test_without_noise_the_input_is_the_same_at_every_step():
    z = inversion.input_noise(jax.random.key(0), 65, 79, SETTINGS)
    assert z.shape == (66, 80, 4)
    np.testing.assert_allclose(np.std(z), SETTINGS.inversion.input_std, rtol=0.03)
    quiet = tiny.settings(noise_std=0.0)
    assert (inversion.perturb(jax.random.key(0), z, jnp.int32(5), quiet) == z).all()


def test_every_step_has_noise_of_its_own():
    """The second snapshot is that of the updated weights under the noise of step 1."""
    problem = tiny.problem()
    settings = tiny.settings(tiny.TWO_SCALES, chunk=2)
    state = inversion.init_compiled(problem, config=settings)
    state, _ = inversion.chunk_compiled(state, problem, config=settings)
    assert state.step == 2
    image_of = functools.partial(apply, state.params, config=tiny.TWO_SCALES)
    third = traced(2).pixels[2] / 255.0
    right = np.abs(image_of(input_of(problem, 2, settings)) - third).max()
    wrong = np.abs(image_of(input_of(problem, 1, settings)) - third).max()
    assert right < 0.51 / 255 < wrong


@pytest.mark.parametrize(
    ("size", "network"), [((65, 79), tiny.TWO_SCALES), ((100, 64), tiny.ONE_SCALE)]
)
def test_photos_of_any_size_come_out_in_their_size(size, network):
    trace = tiny.run(tiny.problem(*size), tiny.settings(network, chunk=2), 2)
    assert trace.pixels.shape == (2, *size, 3)
    photo = np.asarray(tiny.problem(*size).pixels)
    np.testing.assert_allclose(trace.psnr[1], oracles.psnr(trace.pixels[1], photo), rtol=1e-5)


def test_every_run_of_the_tests_has_two_devices():
    assert jax.default_backend() != "cpu" or jax.device_count() == 2


def test_a_batch_is_its_photos_one_by_one():
    settings = tiny.settings()
    problems = [tiny.problem(seed=seed, key=seed) for seed in (0, 1)]
    batch = jax.tree.map(lambda *leaves: jnp.stack(leaves), *problems)
    states = [inversion.init_compiled(problem, config=settings) for problem in problems]
    state = jax.tree.map(lambda *leaves: jnp.stack(leaves), *states)
    chunk = jax.jit(jax.vmap(functools.partial(inversion.chunk, config=settings)))
    state, trace = chunk(state, batch)
    assert state.step.tolist() == [3, 3]
    for index, problem in enumerate(problems):
        one = tiny.run(problem, settings, 3)
        np.testing.assert_allclose(trace.loss[index], one.loss, rtol=1e-4)
        np.testing.assert_allclose(trace.psnr[index], one.psnr, rtol=1e-4)
        np.testing.assert_allclose(trace.gamma[index], one.gamma, rtol=1e-3, atol=1e-6)
        assert (np.abs(trace.pixels[index].astype(int) - one.pixels) <= 1).all()


def test_amsgrad_is_another_run_from_the_same_start():
    settings = tiny.settings(tiny.ONE_SCALE, optimizer="amsgrad")
    one = tiny.run(tiny.problem(), settings, 12)
    other = tiny.run(tiny.problem(), tiny.settings(tiny.ONE_SCALE), 12)
    np.testing.assert_allclose(one.loss[0], other.loss[0], rtol=1e-6)
    assert one.loss[-1] != other.loss[-1]


def test_a_photo_is_reproduced_better_and_better():
    trace = tiny.run(tiny.problem(), SETTINGS, 45)
    assert trace.psnr[-6:].min() > trace.psnr[0] + 5
    assert np.isfinite(trace.loss).all()
    np.testing.assert_allclose(trace.pixels[-1].mean((0, 1)), image_mean(), atol=8)


def image_mean():
    return np.asarray(image.to_image(tiny.problem().pixels)).mean((0, 1)) * 255
