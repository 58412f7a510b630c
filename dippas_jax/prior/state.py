"""What flows through an inversion: its problem, its state from step to step, its trace.

Any of these may have a leading axis of photos, under `jax.vmap`.
"""

from typing import Any, NamedTuple

from jaxtyping import Array, Float, Int, Key, UInt8

Params = Any  # a Flax parameter tree: nested dicts of float32 arrays

FINGERPRINT_STD = 0.01
"""Every fingerprint is brought to this standard deviation, that of a one-percent PRNU, so that γ
does not depend on the unit of its file."""


class Problem(NamedTuple):
    """One photo to invert.

    Attributes:
      pixels: The photo, sRGB as stored.
      fingerprint: P of equation 9, of standard deviation `FINGERPRINT_STD`.
      key: The randomness of this photo; every draw is addressed from it by purpose and step.
    """

    pixels: UInt8[Array, "*n h w 3"]
    fingerprint: Float[Array, "*n h w"]
    key: Key[Array, "*n"]


class Fallback(NamedTuple):
    """The step of highest PSNR so far, to which a run goes back when its PSNR collapses.

    Attributes:
      psnr: Of that step's snapshot against the photo, dB; -inf before the first step.
      params: φ that made the snapshot.
      gamma: γ of that step.
      optimizer: The moments before that step's update.
      rate: What is left of the learning rate, as a factor: 1, halved by every return.
    """

    psnr: Float[Array, "*n"]
    params: Params
    gamma: Float[Array, "*n"]
    optimizer: Any
    rate: Float[Array, "*n"]


class State(NamedTuple):
    """What the optimisation carries from step to step.

    Attributes:
      step: Number of steps done so far.
      params: The generator's weights, φ.
      gamma: Weight of the injected fingerprint, γ ≥ 0.
      optimizer: The moments of Adam or AMSGrad over (params, gamma).
      fallback: Where to go back to; None unless `rollback` is asked for.
    """

    step: Int[Array, "*n"]
    params: Params
    gamma: Float[Array, "*n"]
    optimizer: Any
    fallback: Fallback | None = None


class Trace(NamedTuple):
    """What the steps of a chunk produced, in order.

    Attributes:
      pixels: Snapshots I_φ, the generator's output without the injected fingerprint.
      psnr: PSNR of the snapshot against the photo, dB.
      loss: Equation 9 as the mean over pixels and channels, image scale [0, 1]; with
        `decorrelation`, plus that weight times `extensions.correlation_penalty`.
      gamma: γ with which the step's loss was computed.
    """

    pixels: UInt8[Array, "*n t h w 3"]
    psnr: Float[Array, "*n t"]
    loss: Float[Array, "*n t"]
    gamma: Float[Array, "*n t"]
