"""What is not the paper's: a penalty on the correlation, and steps that are undone.

Both are off unless the settings ask for them (`config.Inversion.decorrelation` and `rollback`).
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, Key

from dippas_jax.prior import noise
from dippas_jax.prior.state import FINGERPRINT_STD, Fallback, Problem, State, Trace
from dippas_jax.signal import correlation, extractors, residual

SIGMAS = tuple(member.sigma for member in extractors.MEMBERS)  # grey levels; the last is "busy"
PERTURBATION = 0.3  # standard deviation of the noise on P in the penalty, in that of P
PENALTY = 0.1  # of (z - t)²/(h·w), so that a weight of 1 meets the targets for less than a decibel
_TARGETS, _PROBE = 3, 4  # purposes of a photo's key, behind those of `inversion`


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


def rolled_back(state: State, after: State, record: Trace, drop: float) -> State:
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
