"""The PyTorch twin of the benchmarks computes the same, so that its speed may be compared."""

import argparse
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dippas_jax.prior import generator, inversion
from dippas_jax.signal import image
from tests import tiny

torch = pytest.importorskip(
    "torch", reason="PyTorch is not installed; pip install -e '.[torch]' adds it"
)
from benchmarks import run, twin  # noqa: E402

torch.set_num_threads(1)  # its threads wait spinning, for minutes where the cores are busy

NETWORKS = {1: tiny.ONE_SCALE, 2: tiny.TWO_SCALES, 3: tiny.THREE_SCALES}
STEPS = 10


@pytest.mark.parametrize("scales", NETWORKS)
def test_parameters_go_there_and_back_without_losing_a_bit(scales):
    weights = tiny.weights(NETWORKS[scales])
    net = twin.from_flax(weights, NETWORKS[scales])
    blank = jax.tree.map(np.zeros_like, weights)
    tiny.assert_same_bytes(twin.to_flax(net, blank), weights)
    assert sum(p.numel() for p in net.parameters()) == generator.count(weights)


@pytest.mark.parametrize("scales", NETWORKS)
def test_the_image_is_the_same(scales):
    weights = tiny.weights(NETWORKS[scales])
    z = np.random.default_rng(1).normal(0, 0.1, (12, 20, NETWORKS[scales].depth))
    z = z.astype(np.float32)
    with torch.no_grad():
        theirs = twin.from_flax(weights, NETWORKS[scales])(twin.to_torch(z))
    ours = jax.jit(generator.apply, static_argnames="config")(
        weights, jnp.asarray(z), config=NETWORKS[scales]
    )
    np.testing.assert_allclose(ours, theirs[0].permute(1, 2, 0), rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    ("size", "optimizer", "network"),
    [((65, 79), "adam", tiny.TWO_SCALES), ((64, 64), "amsgrad", tiny.ONE_SCALE)],
)
def test_the_first_losses_are_the_same(size, optimizer, network):
    """Rounding differs, and Adam divides it by small moments: later steps drift apart."""
    settings = tiny.settings(
        network, optimizer=optimizer, learning_rate=1e-3, max_steps=STEPS, chunk=2
    )
    problem = tiny.problem(*size)
    state = inversion.init_compiled(problem, config=settings)
    net = twin.from_flax(jax.device_get(state.params), network)
    trace = tiny.run(problem, settings, STEPS, state)
    their = twin.Inversion(
        net, image.to_image(problem.pixels), problem.fingerprint, settings.inversion
    )
    z = inversion.input_noise(problem.key, *size, settings)
    losses = [
        float(their.step(twin.to_torch(inversion.perturb(problem.key, z, jnp.int32(t), settings))))
        for t in range(STEPS)
    ]
    difference = np.abs(np.array(losses) / trace.loss - 1)
    print(
        f"losses differ by {difference.max():.1e} of themselves, the first by {difference[0]:.1e}"
    )
    assert difference[0] < 1e-5
    assert difference.max() < 1e-4
    assert trace.loss[-1] < 0.9 * trace.loss[0], "the weights moved"


def test_a_side_of_the_benchmark_works_only_when_it_is_asked(monkeypatch):
    """Its turn would otherwise overlap with the other side's."""
    worked = []

    def worker(_options):
        while True:
            worked.append(len(asked))
            yield {"seconds": 1.0, "cpu": 1.0}

    def questions():
        for _ in range(3):
            asked.append("\n")
            yield asked[-1]

    asked: list[str] = []
    monkeypatch.setattr(run, "_jax_worker", worker)
    monkeypatch.setattr(sys, "stdin", questions())
    run._work(argparse.Namespace(worker="jax"))
    assert worked == [1, 2, 3]
