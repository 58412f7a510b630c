"""Deep image prior inversion of one photo (sections 3.1 and 3.2 of the paper).

The unknowns are the generator's weights φ and the scalar γ; equation 9 compares f_φ(z)(1 + γP) with
the photo. All functions here are pure: `jax.vmap` over `Problem` and `State` inverts many photos at
once.

Two things are not the paper's and off unless asked for: a penalty on what extractors still find of
P (`correlation_penalty`), and steps that are undone when the PSNR collapses.
"""

import jax
import jax.numpy as jnp
import optax
from jax.typing import ArrayLike
from jaxtyping import Array, Bool, Float, Int, Key, UInt8

from dippas_jax import config as configuration
from dippas_jax.prior import generator, noise, optimizer
from dippas_jax.signal import correlation, image, residual
from dippas_jax.types import Fallback, Params, Problem, State, Trace

FINGERPRINT_STD = 0.01  # P is brought to this standard deviation, that of a one-percent PRNU
SIGMAS = (2.0, 3.0, 5.0, 3.0)
"""Of the penalty's extractors, grey levels; the last looks at the busier half of the photo only."""

PERTURBATION = 0.3  # standard deviation of the noise on P in the penalty, in that of P
PENALTY = 0.1  # of (z - t)²/(h·w), so that a weight of 1 meets the targets for less than a decibel
_WEIGHTS, _INPUT, _NOISE, _TARGETS, _PROBE = range(5)  # purposes of a photo's key


def problem(
    key: Key[Array, ""], pixels: UInt8[ArrayLike, "h w 3"], fingerprint: Float[ArrayLike, "h w"]
) -> Problem:
    """States the inversion of one photo; P's unit is removed, so that γ does not depend on it.

    Args:
      key: The photo's own randomness.
      pixels: The photo.
      fingerprint: K (equation 10) or the photo's residual W (equation 11), in any unit; not
        constant.
    """
    fingerprint = jnp.asarray(fingerprint) * (FINGERPRINT_STD / jnp.std(jnp.asarray(fingerprint)))
    return Problem(jnp.asarray(pixels), fingerprint.astype(jnp.float32), key)


def init(problem: Problem, config: configuration.Config) -> State:
    """Random weights, γ = 0, empty moments."""
    params = generator.init(jax.random.fold_in(problem.key, _WEIGHTS), config.generator)
    gamma = jnp.zeros(())
    moments = optimizer.make(config.inversion).init((params, gamma))
    fallback = None
    if config.inversion.rollback > 0:
        fallback = Fallback(-jnp.full((), jnp.inf), params, gamma, moments, jnp.ones(()))
    return State(jnp.zeros((), jnp.int32), params, gamma, moments, fallback)


def input_noise(
    key: Key[Array, ""], h: int, w: int, config: configuration.Config
) -> Float[Array, "H W d"]:
    """z, white Gaussian; H and W are `h` and `w` rounded up to what the network's scales divide."""
    shape = (
        generator.padded(h, config.generator),
        generator.padded(w, config.generator),
        config.generator.depth,
    )
    return config.inversion.input_std * noise.normal(jax.random.fold_in(key, _INPUT), shape)


def perturb(
    key: Key[Array, ""],
    z: Float[Array, "H W d"],
    step: Int[Array, ""],
    config: configuration.Config,
) -> Float[Array, "H W d"]:
    """z plus the fresh noise of this step (section 4.3), which depends only on key and step."""
    if config.inversion.noise_std == 0:
        return z
    key = jax.random.fold_in(jax.random.fold_in(key, _NOISE), step)
    return z + config.inversion.noise_std * noise.normal(key, z.shape)


def loss(
    unknowns: tuple[Params, Float[Array, ""]],
    z: Float[Array, "H W d"],
    problem: Problem,
    config: configuration.Config,
) -> tuple[Float[Array, ""], Float[Array, "h w 3"]]:
    """Equation 9 as a mean over pixels and channels, and I_φ cut to the photo's size."""
    params, gamma = unknowns
    h, w, _ = problem.pixels.shape
    generated = generator.apply(params, z, config.generator)[:h, :w]
    injected = generated * (1 + gamma * problem.fingerprint[..., None])
    return jnp.mean(jnp.square(injected - image.to_image(problem.pixels))), generated


def targets(key: Key[Array, ""]) -> Float[Array, "4"]:
    """z-scores that the penalty aims at, one for each of `SIGMAS`: what other cameras give."""
    return jax.random.normal(jax.random.fold_in(key, _TARGETS), (len(SIGMAS),))


def probe(
    key: Key[Array, ""], fingerprint: Float[Array, "h w"], step: Int[Array, ""]
) -> tuple[Int[Array, ""], Float[Array, "h w"]]:
    """Which of `SIGMAS` looks at this step, and for what: P plus fresh white noise.

    The noise keeps the weights from fitting the one P at hand. Both depend only on key and step.
    """
    key = jax.random.fold_in(jax.random.fold_in(key, _PROBE), step)
    which, plane = jax.random.split(key)
    error = PERTURBATION * FINGERPRINT_STD * noise.normal(plane, fingerprint.shape)
    return jax.random.randint(which, (), 0, len(SIGMAS)), fingerprint + error


def correlation_penalty(
    generated: Float[Array, "h w 3"],
    problem: Problem,
    where: Bool[Array, "h w"],
    step: Int[Array, ""],
) -> Float[Array, ""]:
    """0.1·(z - t)²/(h·w): how far this step's extractor is from taking I_φ for another camera's.

    z is the score of equation 2 with I·P, I the photo, times the root of the number of pixels. The
    target t is this photo's draw from N(0, 1), as a z of exactly zero would be a trace too. Over
    the steps this is on average the mean over the mixture. 0 where a residual is flat.

    Args:
      generated: I_φ, clipped here as it is when written, not rounded.
      problem: The photo.
      where: Its busier half, from `image.busy`.
      step: Chooses the extractor and the noise on P.
    """
    member, fingerprint = probe(problem.key, problem.fingerprint, step)
    # σ is an argument of the one extractor, so that under `jax.vmap` too a step computes only one.
    plane = residual.residual(255 * jnp.clip(generated, 0, 1), sigma=jnp.asarray(SIGMAS)[member])
    kept = jnp.where(member == len(SIGMAS) - 1, where, True).astype(jnp.float32)
    ncc = correlation.ncc(kept * plane, kept * correlation.pattern(problem.pixels, fingerprint))
    target = targets(problem.key)[member]
    z = jnp.where(jnp.isnan(ncc), target, ncc * jnp.sqrt(kept.sum()))
    return PENALTY * jnp.square(z - target) / plane.size


def chunk(state: State, problem: Problem, *, config: configuration.Config) -> tuple[State, Trace]:
    """`config.inversion.chunk` steps of one photo.

    Step t generates I_φ from φ_t, records it, then updates φ and γ (γ stays ≥ 0), or undoes what
    led to a collapse. Nothing here knows when to stop: the caller cuts the trace at the first
    snapshot past the limit, so that the chunk's length changes no result.
    """
    settings = config.inversion
    update = optimizer.make(settings).update
    h, w, _ = problem.pixels.shape
    z = input_noise(problem.key, h, w, config)
    where = image.busy(problem.pixels) if settings.decorrelation else None

    def objective(unknowns, z, step):
        value, generated = loss(unknowns, z, problem, config)
        if where is not None:
            penalty = correlation_penalty(generated, problem, where, step)
            value = value + settings.decorrelation * penalty
        return value, generated

    def body(state: State, _):
        unknowns = state.params, state.gamma
        (value, generated), gradients = jax.value_and_grad(objective, has_aux=True)(
            unknowns, perturb(problem.key, z, state.step, config), state.step
        )
        direction, moments = update(gradients, state.optimizer, unknowns)
        if state.fallback is not None:
            rate = state.fallback.rate
            direction = jax.tree.map(lambda x: rate * x, direction)
        params, gamma = optax.apply_updates(unknowns, direction)
        pixels = image.to_pixels(generated)
        record = Trace(pixels, image.psnr(pixels, problem.pixels), value, state.gamma)
        after = State(state.step + 1, params, jnp.maximum(gamma, 0), moments)
        return _guarded(state, after, record, settings.rollback), record

    return jax.lax.scan(body, state, length=settings.chunk)


def _guarded(state: State, after: State, record: Trace, drop: float) -> State:
    """The state after a step, or the best one with half the rate where that step had collapsed."""
    if state.fallback is None:
        return after
    best = state.fallback
    finite = jnp.isfinite(record.loss)
    better = finite & (record.psnr > best.psnr)
    collapsed = ~(finite & (record.psnr >= best.psnr - drop))

    def choose(condition, one, other):
        return jax.tree.map(lambda x, y: jnp.where(condition, x, y), one, other)

    now = Fallback(record.psnr, state.params, state.gamma, state.optimizer, best.rate)
    best = choose(better, now, best)
    best = best._replace(rate=jnp.where(collapsed, best.rate / 2, best.rate))
    back = State(after.step, best.params, best.gamma, best.optimizer)
    return choose(collapsed, back, after)._replace(fallback=best)


init_compiled = jax.jit(init, static_argnames="config")
chunk_compiled = jax.jit(chunk, static_argnames="config", donate_argnames="state")
