"""What CPU runs never reach, on an accelerator beside the CPU of the same machine.

JAX_PLATFORMS=cuda,cpu python -m pytest -n 0 -m gpu
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dippas_jax.io import checkpoint
from dippas_jax.prior import anonymize, batch, convolution, inversion
from dippas_jax.signal import correlation, residual
from tests import network, oracles, tiny
from tests.prior import test_batch, test_convolution

GPUS = [] if jax.default_backend() == "cpu" else jax.devices()
pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not GPUS, reason="JAX_PLATFORMS=cuda,cpu: there is no accelerator"),
]
ROUNDED = 2e-3  # share of the largest: the matrix units read ten bits of a float32


def cpu(function, *arguments):
    """The same on the CPU."""
    device = jax.devices("cpu")[0]
    return jax.device_get(jax.jit(function)(*jax.device_put(arguments, device)))


def assert_near(ours, theirs, share=ROUNDED):
    for mine, other in zip(jax.tree.leaves(ours), jax.tree.leaves(theirs), strict=True):
        np.testing.assert_allclose(mine, other, rtol=0, atol=share * np.abs(other).max())


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("batched", ["nothing", "image", "both"])
def test_convolution_and_gradients_are_numpys_and_the_cpus(batched, stride):
    x, kernel = test_convolution.draw((40, 36), 3, (5, 7), batch=(3,))
    of_one = functools.partial(test_convolution.with_gradients, convolution.convolve, stride=stride)
    if batched == "nothing":
        given, function = (x[0], kernel[0]), of_one
    elif batched == "image":
        given, function = (x, kernel[0]), jax.vmap(of_one, (0, None))
    else:
        given, function = (x, kernel), jax.vmap(of_one)
    with jax.default_matmul_precision("highest"):
        exact = jax.jit(function)(*given)
    theirs = cpu(function, *given)
    assert_near(exact, theirs, 1e-5)
    assert_near(jax.jit(function)(*given), theirs)
    value = exact[0] if batched == "nothing" else exact[0][1]
    index = 0 if batched == "nothing" else 1
    own = kernel[index] if batched != "image" else kernel[0]
    assert_near(value, network.convolve(x[index], own, stride), 1e-5)


def test_an_enlarged_image_is_convolved_as_on_the_cpu():
    x, kernel = test_convolution.draw((20, 18), 3, (5, 7), batch=(3,))

    def of_one(a, b):
        value, pull = jax.vjp(convolution.convolve_enlarged, a, b)
        return value, *pull(jnp.cos(value))

    function = jax.vmap(of_one)
    theirs = cpu(function, x, kernel)
    with jax.default_matmul_precision("highest"):
        assert_near(jax.jit(function)(x, kernel), theirs, 1e-5)
    assert_near(jax.jit(function)(x, kernel), theirs)


def test_matrix_units_decide_no_residual():
    photo = oracles.photo(0, 128, 128, 10 * tiny.fingerprint(128, 128))
    ours, theirs = residual.residual(photo), cpu(residual.residual, photo)
    np.testing.assert_allclose(ours, theirs, atol=2e-3)
    plane = tiny.fingerprint(128, 128)
    mine = float(correlation.ncc(ours, photo.mean(-1) * plane))
    assert mine == pytest.approx(float(correlation.ncc(theirs, photo.mean(-1) * plane)), abs=1e-5)


def test_steps_follow_the_cpus():
    """A few: each doubles what rounding has made, so that later steps are another photo's."""
    settings = tiny.settings(tiny.THREE_SCALES, chunk=3)
    problem = tiny.problem()
    state, trace = inversion.chunk_compiled(
        inversion.init_compiled(problem, config=settings), problem, config=settings
    )
    chunk = functools.partial(inversion.chunk, config=settings)
    start = functools.partial(inversion.init, config=settings)
    _, theirs = cpu(lambda problem: chunk(start(problem), problem), problem)
    np.testing.assert_allclose(trace.psnr, theirs.psnr, atol=0.05)
    np.testing.assert_allclose(trace.loss, theirs.loss, rtol=0.01)
    assert int(state.step) == 3


@pytest.mark.parametrize("way", batch.WAYS)
def test_a_batch_follows_its_photos_alone(way):
    settings = test_batch.SETTINGS
    photos, planes = test_batch.PHOTOS, test_batch.PLANES
    found = batch.invert_batch(test_batch.KEY, photos, planes, settings, slots=3, way=way)
    for n in range(4):
        one = test_batch.alone(n)
        assert found[n].psnr == pytest.approx(one.psnr, abs=0.5)
        np.testing.assert_allclose(found[n].history.psnr[:2], one.history.psnr[:2], atol=0.05)
        assert found[n].pixels.shape == photos[n].shape


def test_small_photos_go_together_and_the_next_chunk_is_on_its_way():
    problem = tiny.problem()
    settings = tiny.settings(max_steps=6, stop_psnr=90.0)
    jobs = [
        batch.Job(problem, problem.fingerprint, anonymize.start(problem, settings))
        for _ in range(3)
    ]
    heard = []
    done = list(batch.inverted(jobs, settings, slots=2, on_chunk=heard.append))
    assert sorted(number for number, _ in done) == [0, 1, 2]
    assert [int(progress.steps) for _, progress in done] == [6, 6, 6]
    # One photo thrice: its slot and its neighbours change no bit of one program.
    first, *others = [np.asarray(progress.best.pixels) for _, progress in done]
    for other in others:
        np.testing.assert_array_equal(first, other)
    assert heard


def test_a_checkpoint_holds_what_the_accelerator_held(tmp_path):
    settings = tiny.settings(max_steps=6, stop_psnr=90.0)
    problem = tiny.problem()
    progress = anonymize.advance_compiled(
        anonymize.start(problem, settings), problem, problem.fingerprint, config=settings
    )
    checkpoint.save(tmp_path, 3, progress)
    held = jax.device_get(progress)
    step, there = checkpoint.latest(tmp_path, progress)
    assert step == 3
    tiny.assert_same_bytes(jax.device_get(there), held)
