"""The walk, written once: photo and fingerprint in, anonymised photos out.

`invert` is the whole of it. Its parts are `start`, `advance` until `finished`, `assemble`. What is
carried between them is one tree of arrays, `Progress`, which a caller may write down after any
`advance` and go on from later: the results are the same. `batch` maps them over many photos.
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
from jaxtyping import Array, Bool, Float, Int, Key, UInt8

from dippas_jax import config as configuration
from dippas_jax.prior import balance, inversion, pool
from dippas_jax.prior.balance import Planted
from dippas_jax.prior.pool import Best, Pool
from dippas_jax.prior.state import Problem, State, Trace
from dippas_jax.signal import blocks, correlation, extractors, image, residual
from dippas_jax.types import FlatPhotoError, History, Result

FLAT = "the photo has no noise to remove (it is flat); leave it out"


class DivergedError(ArithmeticError):
    """The loss is no longer a number."""


class Progress(NamedTuple):
    """Everything needed to go on: arrays on the device, under `jax.vmap` of several photos.

    Attributes:
      state: Of the optimisation, at the end of a chunk; possibly past the end of the run.
      pools: One for each pair of block side and threshold, in the order of `_pairs`.
      best: The snapshot of highest PSNR.
      history: The run so far; zeros beyond.
      steps: Number of steps that count.
      lost: The step whose loss was no number and was not undone; -1 while there is none.
    """

    state: State
    pools: tuple[Pool, ...]
    best: Best
    history: History
    steps: Int[Array, "*n"]
    lost: Int[Array, "*n"]

    @property
    def psnr(self) -> Float[np.ndarray, " t"]:
        """Of the steps of one photo that count, on the host."""
        psnr, steps = jax.device_get((self.history.psnr, self.steps))
        return psnr[:steps]


def _pairs(h: int, w: int, config: configuration.Config) -> list[tuple[int, float]]:
    """Block sides and thresholds, each pair once: sides beyond the photo are one and the same."""
    sides = dict.fromkeys(blocks.side_for(side, h, w) for side in config.assembly.sides)
    return [(side, tau) for side in sides for tau in dict.fromkeys(config.assembly.thresholds)]


def start(problem: Problem, config: configuration.Config) -> Progress:
    """Step 0 of a photo's run."""
    h, w, _ = problem.pixels.shape
    capacity = max(config.assembly.averages)
    return Progress(
        inversion.init_compiled(problem, config=config),
        tuple(pool.empty(h, w, side=b, capacity=capacity) for b, _ in _pairs(h, w, config)),
        Best(jnp.zeros((h, w, 3), jnp.uint8), jnp.asarray(-jnp.inf, jnp.float32)),
        History(*(jnp.zeros(config.inversion.max_steps) for _ in History._fields)),
        jnp.zeros((), jnp.int32),
        jnp.full((), -1, jnp.int32),
    )


def compile_chunk(
    progress: Progress,
    problem: Problem,
    reference: Float[ArrayLike, "h w"],
    config: configuration.Config,
) -> None:
    """Compile what `advance` will call, so that the first chunk takes as long as any other."""
    advance_compiled.lower(progress, problem, reference, config=config).compile()


def over(progress: Progress, config: configuration.Config) -> Bool[Array, ""]:
    """Whether a run has met its PSNR or its number of steps (section 3.2), or is lost."""
    steps, settings = progress.steps, config.inversion
    met = (steps > 0) & (progress.history.psnr[steps - 1] > settings.stop_psnr)
    return met | (steps == settings.max_steps) | (progress.lost >= 0)


def finished(progress: Progress, config: configuration.Config) -> bool:
    """Whether the run of one photo is over.

    Raises:
      DivergedError: It is lost: the loss became nan or infinite; with `rollback`, which undoes such
        steps too, already at the first.
    """
    done, step = jax.device_get((over(progress, config), progress.lost))
    if step >= 0:
        raise DivergedError(
            f"the loss is {progress.history.loss[step]} at step {step}; choose an "
            f"inversion.learning_rate below {config.inversion.learning_rate}"
        )
    return bool(done)


def advance(
    progress: Progress,
    problem: Problem,
    reference: Float[ArrayLike, "h w"],
    config: configuration.Config,
) -> Progress:
    """One chunk further; a run that is over stays as it is, but for its state.

    A pure function of one photo, which `jax.vmap` maps over many. The host is asked for nothing.

    Args:
      progress: From `start`, from the previous call or from a checkpoint.
      problem: The photo; its fingerprint ranks the blocks.
      reference: The fingerprint for the NCC in the history: the camera's where it is known.
      config: Of the whole run.
    """
    h, w, _ = problem.pixels.shape
    state, trace = inversion.chunk(progress.state, problem, config=config)
    counts, lost = _counted(progress, trace, config)
    residuals, ncc = _measure(trace.pixels, jnp.asarray(reference), config.sigma)

    def merged(one: Pool, threshold: float) -> Pool:
        admitted = counts & (trace.psnr >= threshold)
        return jax.lax.cond(
            jnp.any(admitted),
            lambda: pool.merge(one, trace.pixels, residuals, problem.fingerprint, admitted),
            lambda: one,
        )

    pairs = zip(progress.pools, _pairs(h, w, config), strict=True)
    at = jnp.where(counts, progress.steps + jnp.arange(len(counts)), config.inversion.max_steps)
    new = History(psnr=trace.psnr, ncc=ncc, loss=trace.loss, gamma=trace.gamma)
    return Progress(
        state,
        tuple(merged(one, threshold) for one, (_, threshold) in pairs),
        pool.improve(progress.best, trace.pixels, trace.psnr, counts),
        History(
            *(x.at[at].set(y, mode="drop") for x, y in zip(progress.history, new, strict=True))
        ),
        progress.steps + jnp.sum(counts, dtype=jnp.int32),
        jnp.where(progress.lost >= 0, progress.lost, lost),
    )


advance_compiled = functools.partial(jax.jit, static_argnames="config", donate_argnames="progress")(
    advance
)


def _counted(
    progress: Progress, trace: Trace, config: configuration.Config
) -> tuple[Bool[Array, " t"], Int[Array, ""]]:
    """Which steps of a chunk count, and which one of the run is lost; -1 for none."""
    settings, step = config.inversion, jnp.arange(len(trace.psnr))
    left = jnp.where(over(progress, config), 0, settings.max_steps - progress.steps)
    past = (trace.psnr > settings.stop_psnr) & (step < left)
    counts = step < jnp.where(jnp.any(past), jnp.argmax(past) + 1, left)
    lost = counts & ~jnp.isfinite(trace.loss)
    if settings.rollback > 0:
        lost &= progress.steps + step == 0
    first = jnp.where(jnp.any(lost), progress.steps + jnp.argmax(lost), -1)
    return counts, first.astype(jnp.int32)


def _measure_one(pixels: Array, reference: Array, sigma: float) -> tuple[Array, Array]:
    plane = residual.residual(pixels, sigma=sigma)
    return plane, correlation.ncc(plane, correlation.pattern(pixels, reference))


def _measure(pixels: Array, reference: Array, sigma: float) -> tuple[Array, Array]:
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
    history = History(*(values[:steps] for values in jax.device_get(progress.history)))
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
      fingerprint: K [h w] of these very pixels, in any unit (equation 10, aware), of which a mean
        is subtracted (`correlation.centred`); None to inject the photo's own residual (equation
        11, blind).
      config: Of generator, inversion, assembly and the extractor's σ; the defaults where it is left
        out. The first of each of the assembly's sides, averages and thresholds is used; its `mode`,
        `method` and `max_minutes` are not looked at.
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
    photo = image.require_photo(photo)
    if fingerprint is not None:
        size = photo.shape[0], photo.shape[1]
        fingerprint = correlation.require_fingerprint(fingerprint, size)
    problem, injected, planted = stated(key, photo, fingerprint, config)
    progress = start(problem, config)
    compile_chunk(progress, problem, injected, config)
    on_chunk(progress)
    while not finished(progress, config) and (progress.steps == 0 or time.monotonic() <= deadline):
        progress = advance_compiled(progress, problem, injected, config=config)
        on_chunk(progress)
    return scored(assemble(progress, photo, config, planted, fingerprint)[0], fingerprint)


def scored(result: Result, fingerprint: ArrayLike | None) -> Result:
    """The result with the z-scores of K, where K is known."""
    if fingerprint is None:
        return result
    return result._replace(z=extractors.scores(result.pixels, np.asarray(fingerprint, np.float32)))


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
      FlatPhotoError: The photo has no residual: there is nothing to remove.
    """
    own = residual_of(photo, config.sigma)
    planted = balance.plant(key, photo) if config.assembly.compensation else None
    inverted = photo if planted is None else planted.photo
    if fingerprint is not None:
        injected = np.asarray(fingerprint, np.float32)
    else:
        injected = own if planted is None else residual_of(inverted, config.sigma)
    return inversion.problem(key, inverted, injected), injected, planted


def residual_of(photo: UInt8[np.ndarray, "h w 3"], sigma: float) -> Float[np.ndarray, "h w"]:
    """The photo's own residual, which blind mode injects; `FlatPhotoError` where it has none."""
    plane = np.asarray(extractors.extract(photo, sigma=sigma))
    if not plane.std() > 0:
        raise FlatPhotoError(FLAT)
    return plane
