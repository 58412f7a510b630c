"""The walk, written once: photo and fingerprint in, anonymised photos out.

`start`, `advance` until `finished`, `assemble`. What is carried between is one tree of arrays,
`Progress`, which a caller may write down after any `advance` and go on from later: the results are
the same.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array, Float, UInt8

from dippas_jax import config as configuration
from dippas_jax.prior import inversion, pool
from dippas_jax.signal import blocks, correlation, image, residual
from dippas_jax.types import Best, Pool, Problem, State


class DivergedError(ArithmeticError):
    """The loss is no longer a number."""


class Choice(NamedTuple):
    """One way to assemble: block side B in pixels, L blocks averaged, PSNR threshold τ in dB."""

    side: int
    average: int
    threshold: float


class History(NamedTuple):
    """One number a step, float32, as far as the run has come; zeros beyond.

    Attributes:
      psnr: Of the snapshot against the photo, dB.
      ncc: Of the snapshot with the reference fingerprint, whole photo.
      loss: What was minimised: equation 9, mean over pixels and channels, and the penalty if any.
      gamma: γ for P of standard deviation `inversion.FINGERPRINT_STD`.
    """

    psnr: np.ndarray
    ncc: np.ndarray
    loss: np.ndarray
    gamma: np.ndarray


class Progress(NamedTuple):
    """Everything needed to go on.

    Attributes:
      state: Of the optimisation, at the end of a chunk; possibly past the end of the run.
      pools: One for each pair of block side and threshold, in the order of `_pairs`.
      best: The snapshot of highest PSNR.
      history: The run so far.
      steps: Number of steps that count.
    """

    state: State
    pools: tuple[Pool, ...]
    best: Best
    history: History
    steps: np.ndarray


class Result(NamedTuple):
    """One anonymised photo.

    Attributes:
      choice: How it was assembled.
      pixels: The photo.
      snapshots: How many passed the threshold; with 0, `pixels` is the snapshot of highest PSNR.
    """

    choice: Choice
    pixels: UInt8[np.ndarray, "h w 3"]
    snapshots: int


def _pairs(h: int, w: int, config: configuration.Config) -> list[tuple[int, float]]:
    """Block sides and thresholds, each pair once: sides beyond the photo are one and the same."""
    sides = dict.fromkeys(blocks.side_for(side, h, w) for side in config.assembly.sides)
    return [(side, tau) for side in sides for tau in dict.fromkeys(config.assembly.thresholds)]


def start(problem: Problem, config: configuration.Config) -> Progress:
    """Step 0 of a photo's run."""
    h, w, _ = problem.pixels.shape
    capacity = max(config.assembly.averages)
    zeros = np.zeros(config.inversion.max_steps, np.float32)
    return Progress(
        inversion.init_compiled(problem, config=config),
        tuple(pool.empty(h, w, side=b, capacity=capacity) for b, _ in _pairs(h, w, config)),
        Best(jnp.zeros((h, w, 3), jnp.uint8), jnp.asarray(-jnp.inf, jnp.float32)),
        History(*(zeros.copy() for _ in History._fields)),
        np.zeros((), np.int32),
    )


def finished(progress: Progress, config: configuration.Config) -> bool:
    """Whether the run has met its PSNR or its number of steps (section 3.2)."""
    steps = int(progress.steps)
    return steps > 0 and (
        steps == config.inversion.max_steps
        or bool(progress.history.psnr[steps - 1] > config.inversion.stop_psnr)
    )


def advance(
    progress: Progress,
    problem: Problem,
    reference: Float[ArrayLike, "h w"],
    config: configuration.Config,
) -> Progress:
    """One chunk further. The arrays of `progress` are consumed.

    Args:
      progress: From `start`, from the previous call or from a checkpoint.
      problem: The photo; its fingerprint ranks the blocks.
      reference: The fingerprint for the NCC in the history: the camera's where it is known.
      config: Of the whole run.

    Raises:
      DivergedError: The loss became nan or infinite; with `rollback`, which undoes such steps too,
        already at the first.
    """
    h, w, _ = problem.pixels.shape
    state, trace = inversion.chunk_compiled(progress.state, problem, config=config)
    loss, psnr, gamma = jax.device_get((trace.loss, trace.psnr, trace.gamma))
    done = int(progress.steps)
    counted = min(len(psnr), config.inversion.max_steps - done)
    past = np.flatnonzero(psnr[:counted] > config.inversion.stop_psnr)
    counted = int(past[0]) + 1 if past.size else counted
    lost = np.flatnonzero(~np.isfinite(loss[:counted]))
    if lost.size and (config.inversion.rollback == 0 or done + lost[0] == 0):
        raise DivergedError(
            f"the loss is {loss[lost[0]]} at step {done + int(lost[0])}; choose an "
            f"inversion.learning_rate below {config.inversion.learning_rate}"
        )
    counts = np.arange(len(psnr)) < counted
    residuals, ncc = _measure(trace.pixels, reference, sigma=config.sigma)
    pools = list(progress.pools)
    for index, (_, threshold) in enumerate(_pairs(h, w, config)):
        admitted = counts & (psnr >= threshold)
        if admitted.any():
            pools[index] = pool.merge_compiled(
                pools[index], trace.pixels, residuals, problem.fingerprint, admitted
            )
    best = pool.improve(progress.best, trace.pixels, trace.psnr, jnp.asarray(counts))
    jax.block_until_ready((pools, best))  # or the next chunk's snapshots join these in memory
    for name, values in (("psnr", psnr), ("ncc", ncc), ("loss", loss), ("gamma", gamma)):
        getattr(progress.history, name)[done : done + counted] = np.asarray(values)[:counted]
    return Progress(
        state,
        tuple(pools),
        best,
        progress.history,
        np.asarray(done + counted, np.int32),
    )


def _measure_one(pixels: Array, reference: Array, sigma: float) -> tuple[Array, Array]:
    plane = residual.residual(pixels, sigma=sigma)
    return plane, correlation.ncc(plane, correlation.pattern(pixels, reference))


def _measure_all(pixels: Array, reference: Array, *, sigma: float) -> tuple[Array, Array]:
    """Residuals [t h w] and NCC [t]; one snapshot after the other, in the memory of one."""
    return jax.lax.map(lambda one: _measure_one(one, reference, sigma), pixels)


_measure = jax.jit(_measure_all, static_argnames="sigma")


def assemble(progress: Progress, config: configuration.Config) -> list[Result]:
    """The photo of every combination of side, average and threshold, in the settings' order."""
    h, w, _ = progress.best.pixels.shape
    pools = dict(zip(_pairs(h, w, config), progress.pools, strict=True))
    psnr = progress.history.psnr[: int(progress.steps)]
    results = []
    for side in config.assembly.sides:
        for average in config.assembly.averages:
            for threshold in config.assembly.thresholds:
                chosen = pools[blocks.side_for(side, h, w), threshold]
                levels = pool.assemble(chosen, progress.best, average)
                pixels = np.asarray(image.to_pixels(levels / 255))
                choice = Choice(side, average, threshold)
                results.append(Result(choice, pixels, int((psnr >= threshold).sum())))
    return results
