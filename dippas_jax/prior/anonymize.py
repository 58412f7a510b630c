"""The walk, written once: photo and fingerprint in, anonymised photos out.

`invert` is the whole of it. Its parts are `start`, `advance` until `finished`, `assemble`. What is
carried between them is one tree of arrays, `Progress`, which a caller may write down after any
`advance` and go on from later: the results are the same.
"""

import functools
import math
import time
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array, Float, Key, UInt8

from dippas_jax import config as configuration
from dippas_jax.prior import balance, inversion, pool
from dippas_jax.prior.balance import Planted
from dippas_jax.prior.pool import Best, Pool
from dippas_jax.prior.state import Problem, State
from dippas_jax.signal import blocks, correlation, extractors, image, residual
from dippas_jax.types import FlatPhotoError, History, Result


class DivergedError(ArithmeticError):
    """The loss is no longer a number."""


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


def compile_chunk(progress: Progress, problem: Problem, config: configuration.Config) -> None:
    """Compile what `advance` will call, so that the first chunk takes as long as any other."""
    inversion.chunk_compiled.lower(progress.state, problem, config=config).compile()
    h, w, _ = problem.pixels.shape
    steps = config.inversion.chunk
    pixels = jax.ShapeDtypeStruct((steps, h, w, 3), jnp.uint8)
    planes = jax.ShapeDtypeStruct((steps, h, w), jnp.float32)
    admitted = jax.ShapeDtypeStruct((steps,), jnp.bool_)
    _measure.lower(pixels, problem.fingerprint, sigma=config.sigma).compile()
    for one in progress.pools:
        pool.merge_compiled.lower(one, pixels, planes, problem.fingerprint, admitted).compile()


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


@functools.partial(jax.jit, static_argnames="sigma")
def _measure(pixels: Array, reference: Array, *, sigma: float) -> tuple[Array, Array]:
    """Residuals [t h w] and NCC [t]; one snapshot after the other, in the memory of one."""
    return jax.lax.map(lambda one: _measure_one(one, reference, sigma), pixels)


def assemble(
    progress: Progress,
    photo: UInt8[ArrayLike, "h w 3"],
    config: configuration.Config,
    planted: Planted | None = None,
    fingerprint: ArrayLike | None = None,
) -> list[Result]:
    """The photo of every combination of side, average and threshold, in the settings' order.

    Args:
      progress: Of a run, finished or not.
      photo: As it came, for the PSNR.
      config: Of the whole run.
      planted: What was inverted, where a pattern was planted (`balance.plant`).
      fingerprint: K, where it is known, for the balance.

    Returns:
      Results without z-scores, and without leakage where no pattern was planted. Where no snapshot
      passed the threshold (`settings["snapshots"]` is 0) the pixels are the snapshot of highest
      PSNR.
    """
    h, w, _ = progress.best.pixels.shape
    pools = dict(zip(_pairs(h, w, config), progress.pools, strict=True))
    steps = int(progress.steps)
    history = History(*(values[:steps] for values in progress.history))
    results = []
    for side in config.assembly.sides:
        for average in config.assembly.averages:
            for threshold in config.assembly.thresholds:
                chosen = pools[blocks.side_for(side, h, w), threshold]
                levels = np.asarray(pool.assemble(chosen, progress.best, average))
                left: dict[str, float] = {}
                if planted is not None:
                    part = config.assembly.compensation
                    levels, left = balance.balanced(planted, levels, part, fingerprint)
                pixels = np.asarray(image.to_pixels(levels / 255))
                settings = {
                    "side": side,
                    "average": average,
                    "threshold": threshold,
                    "snapshots": int((history.psnr >= threshold).sum()),
                    "steps": steps,
                    "gamma": float(history.gamma[-1]),
                }
                psnr = float(image.psnr(pixels, photo))
                results.append(Result(pixels, psnr, {}, left, settings, history))
    return results


def invert(
    key: Key[Array, ""],
    photo: ArrayLike,
    fingerprint: ArrayLike | None = None,
    config: configuration.Config | None = None,
    *,
    deadline: float = math.inf,
    on_chunk: Callable[[Progress], None] = lambda progress: None,
) -> Result:
    """The paper's method on one photo: fit the network, keep snapshots, assemble the best blocks.

    Args:
      key: All randomness; the same key gives the same bytes on one platform.
      photo: uint8 [h w 3] in [0, 255], at least 64x64, pixels as the sensor has them.
      fingerprint: K [h w] of these very pixels, in any unit (equation 10, aware); None to inject
        the photo's own residual (equation 11, blind).
      config: Of generator, inversion, assembly and the extractor's σ; the defaults where it is left
        out. The first of each of the assembly's sides, averages and thresholds is used; its `mode`
        and `method` are not looked at.
      deadline: Time of the monotonic clock, seconds, after which the best result so far is taken.
      on_chunk: Called before the first step, when all is compiled, and after every chunk of steps.

    Returns:
      The anonymised photo, with the history of the steps. `z` holds the scores of K where it is
      given: K was known to the method, so they are the weakest test of it.

    Raises:
      InputError: Photo or fingerprint cannot be used: wrong type or size, constant, not finite; or
        the photo is flat, and there is nothing to remove.
      DivergedError: The loss became nan or infinite.
    """
    config = configuration.settled(config or configuration.Config())
    image.require_photo(photo)
    photo = np.asarray(photo)
    if fingerprint is not None:
        correlation.require_fingerprint(fingerprint, (photo.shape[0], photo.shape[1]))
    problem, injected, planted = stated(key, photo, fingerprint, config)
    progress = start(problem, config)
    compile_chunk(progress, problem, config)
    on_chunk(progress)
    while not finished(progress, config) and (progress.steps == 0 or time.monotonic() <= deadline):
        progress = advance(progress, problem, injected, config)
        on_chunk(progress)
    result = assemble(progress, photo, config, planted, fingerprint)[0]
    if fingerprint is None:
        return result
    return result._replace(z=extractors.scores(result.pixels, injected))


def stated(
    key: Key[Array, ""],
    photo: UInt8[np.ndarray, "h w 3"],
    fingerprint: ArrayLike | None,
    config: configuration.Config,
) -> tuple[Problem, Float[np.ndarray, "h w"], Planted | None]:
    """What is inverted: the problem, the plane that is injected, and what was planted if anything.

    Args:
      key: All randomness.
      photo: As it came.
      fingerprint: K; None for the photo's own residual.
      config: Of the whole run.

    Raises:
      FlatPhotoError: There is no residual.
    """
    planted = balance.plant(key, photo) if config.assembly.compensation else None
    inverted = photo if planted is None else planted.photo
    if fingerprint is None:
        injected = residual_of(inverted, config.sigma)
    else:
        injected = np.asarray(fingerprint, np.float32)
    return inversion.problem(key, inverted, injected), injected, planted


def residual_of(photo: UInt8[np.ndarray, "h w 3"], sigma: float) -> Float[np.ndarray, "h w"]:
    """The photo's own residual, which blind mode injects; `FlatPhotoError` where it has none."""
    plane = np.asarray(extractors.extract(photo, sigma=sigma))
    if not plane.std() > 0:
        raise FlatPhotoError("the photo has no noise to remove (it is flat); leave it out")
    return plane
