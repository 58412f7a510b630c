"""Deep image prior inversion of one photo (sections 3.1 and 3.2 of the paper).

The unknowns are the generator's weights φ and the scalar γ; equation 9 compares f_φ(z)(1 + γP) with
the photo. All functions here are pure: `jax.vmap` over `Problem` and `State` inverts many photos at
once.

What is not the paper's, and off unless it is asked for, comes from `extensions`.
"""

import jax
import jax.numpy as jnp
import optax
from jax.typing import ArrayLike
from jaxtyping import Array, Float, Int, Key, UInt8

from dippas_jax import config as configuration
from dippas_jax.prior import extensions, generator, noise, optimizer
from dippas_jax.prior.state import FINGERPRINT_STD, Fallback, Params, Problem, State, Trace
from dippas_jax.signal import image

_WEIGHTS, _INPUT, _NOISE = range(3)  # purposes of a photo's key; `extensions` has more

_LEAST = 1e-5  # of the largest value; below it a deviation in float32 may be rounding


def problem(
    key: Key[Array, ""], pixels: UInt8[ArrayLike, "h w 3"], fingerprint: Float[ArrayLike, "h w"]
) -> Problem:
    """States the inversion of one photo; P's unit is removed, so that γ does not depend on it.

    Args:
      key: The photo's own randomness.
      pixels: The photo.
      fingerprint: K (equation 10) or the photo's residual W (equation 11), in any unit. Where it is
        constant, as a fingerprint may be in a tile, nothing is injected.
    """
    plane = jnp.asarray(fingerprint)
    deviation = jnp.std(plane)
    deviation = jnp.where(deviation > _LEAST * jnp.max(jnp.abs(plane)), deviation, 0)
    scale = jnp.where(deviation > 0, FINGERPRINT_STD / jnp.where(deviation > 0, deviation, 1), 0)
    return Problem(jnp.asarray(pixels), (plane * scale).astype(jnp.float32), key)


def init(problem: Problem, config: configuration.Config) -> State:
    """Random weights, γ = 0, empty moments."""
    params = generator.init(jax.random.fold_in(problem.key, _WEIGHTS), config.generator)
    gamma = jnp.zeros(())
    moments = optimizer.make(config.inversion).init((params, gamma))
    fallback = None
    if config.inversion.rollback > 0:
        nothing = jnp.asarray(-jnp.inf, jnp.float32)  # weakly typed, `chunk` would compile twice
        fallback = Fallback(nothing, params, gamma, moments, jnp.ones(()))
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
            penalty = extensions.correlation_penalty(generated, problem, where, step)
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
        return extensions.rolled_back(state, after, record, settings.rollback), record

    return jax.lax.scan(body, state, length=settings.chunk)


init_compiled = jax.jit(init, static_argnames="config")
chunk_compiled = jax.jit(chunk, static_argnames="config", donate_argnames="state")
