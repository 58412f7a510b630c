"""Anonymise with the fingerprint: subtract, or divide by, as much of it as the extractor finds.

Photos are pixels, uint8 [h w 3], 64 pixels a side at least. The fingerprint K is a float32 plane in
any unit: it is brought to a root mean square of 1, so that a strength α is the standard deviation
of what is subtracted, relative to the pixel. The residual is `residual.residual`.

The published methods are reconstructed from abstracts and from what others say of them. A photo so
treated hides from this fingerprint and this extractor, and from hardly anything else.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.typing import ArrayLike
from jaxtyping import Array, Float, Int, Key, UInt8

from dippas_jax.signal import correlation, image, residual
from dippas_jax.types import InputError

SEARCH = "Karakucuk and Dirik 2015, adaptive PRNU removal (reconstructed)"
LEAST_SQUARES = "Zeng, Chen, Kang and Zeng 2015, fingerprint subtraction (reconstructed)"
DIVISION = "division by 1 + γK, the inverse of the image model (reconstructed)"

SIDE = 64  # of a block with a strength of its own, pixels
FIRST = 2.5e-4  # the bracket's first strength: less would not change a pixel after rounding
LARGEST = 0.25  # and its last: no sensor's fingerprint is a tenth of that
TOLERANCE = 0.01  # |z| that is zero enough
EVALUATIONS = 32  # of the residual at most: ten to double FIRST to LARGEST, the others to halve
PASSES = 3  # of least squares: "two or three" in what is written about the method
PLANTED = 1e-3  # strength of what shows how much of a fingerprint the residual holds
LEAST_DIVISOR = 0.5  # no pixel is half as sensitive as others


def search(
    key: Key[Array, ""],
    photo: UInt8[ArrayLike, "h w 3"],
    fingerprint: Float[ArrayLike, "h w"] | None,
) -> UInt8[Array, "h w 3"]:
    """Subtract α·I·K with the α that `strength` finds, one for the photo.

    Args:
      key: Not used: nothing is drawn.
      photo: The photo, I.
      fingerprint: K.

    Raises:
      InputError: No fingerprint came, or one of another size.
    """
    del key
    k = prepared(photo, fingerprint)
    return subtract(photo, k, strength(photo, k).strength)


def search_blocks(
    key: Key[Array, ""],
    photo: UInt8[ArrayLike, "h w 3"],
    fingerprint: Float[ArrayLike, "h w"] | None,
) -> UInt8[Array, "h w 3"]:
    """Subtract α·I·K with an α for every block of 64x64, searched for in all blocks at once.

    The residual is that of the whole photo, so blocks meddle a little with each other; one number
    added to every α is searched for in the end, so that the NCC of the whole photo is 0 too.

    Args:
      key: Not used: nothing is drawn.
      photo: The photo, I.
      fingerprint: K.

    Raises:
      InputError: No fingerprint came, or one of another size.
    """
    del key
    k = prepared(photo, fingerprint)
    return _search_blocks(photo, k)


def least_squares(
    key: Key[Array, ""],
    photo: UInt8[ArrayLike, "h w 3"],
    fingerprint: Float[ArrayLike, "h w"] | None,
    *,
    passes: int = PASSES,
) -> UInt8[Array, "h w 3"]:
    """Subtract β·J·K, β that which explains most of the residual: ⟨W, J·K⟩/‖J·K‖².

    Repeated: the residual of the result gives what β is short of, and is added to it. The result is
    rounded in every pass but subtracted from the photo itself, as rounding undoes almost all of so
    small a change: each pass then sees what the last has really done. (With one rounding at the
    end nothing is gained, and with rounded photos passed on the photo never changes.) Three passes
    leave a part of the fingerprint; from six on it is what `search` gives.

    Args:
      key: Not used: nothing is drawn.
      photo: The photo, J.
      fingerprint: K.
      passes: How often a β is added, 0 or more.

    Raises:
      InputError: No fingerprint came, or one of another size.
    """
    del key
    k = prepared(photo, fingerprint)
    return _least_squares(photo, k, passes)


def division(
    key: Key[Array, ""],
    photo: UInt8[ArrayLike, "h w 3"],
    fingerprint: Float[ArrayLike, "h w"] | None,
) -> UInt8[Array, "h w 3"]:
    """Divide by 1 + γK, as the model I = x·(1 + γK) asks: x = I/(1 + γK).

    γ is found once. That of least squares, ⟨W, I·K⟩/‖I·K‖², is too small, as the extractor lets
    only a share of any pattern into W. The share is that of K turned by 180 degrees, P, planted
    with the strength ε = 0.001: ⟨W(I·(1 + εP)) - W(I), I·P⟩/(ε·‖I·P‖²). What this takes from a
    pixel is so little that rounding would undo it; the result is dithered instead.

    Args:
      key: Of the dither.
      photo: The photo, I.
      fingerprint: K.

    Raises:
      InputError: No fingerprint came, or one of another size.
    """
    k = prepared(photo, fingerprint)
    return _division(key, photo, k)


def prepared(
    photo: UInt8[ArrayLike, "h w 3"], fingerprint: Float[ArrayLike, "..."] | None
) -> Float[Array, "h w"]:
    """The fingerprint at a root mean square of 1; one of zeros stays that.

    Raises:
      InputError: No fingerprint came, or one of another size than the photo.
    """
    height, width, _ = np.shape(photo)
    if fingerprint is None:
        raise InputError(
            f"a method that needs a fingerprint came with a photo of {height}x{width} and no "
            "fingerprint; give the camera's, or choose a method that needs none, such as denoising"
        )
    if np.shape(fingerprint) != (height, width):
        raise InputError(
            f"a fingerprint of {'x'.join(map(str, np.shape(fingerprint)))} came with a photo of "
            f"{height}x{width}; give that of the same pixels"
        )
    k = jnp.asarray(fingerprint, jnp.float32)
    size = jnp.max(jnp.abs(k))  # first, so that no unit is too small or too large to square
    k = k / jnp.where(size > 0, size, 1)
    energy = jnp.mean(jnp.square(k))
    return k / jnp.sqrt(jnp.where(energy > 0, energy, 1))


def subtract(
    photo: UInt8[ArrayLike, "h w 3"],
    fingerprint: Float[ArrayLike, "h w"],
    strength: Float[ArrayLike, "*plane"],
) -> UInt8[Array, "h w 3"]:
    """clip(round(I - α·I·K)), every channel by itself.

    Args:
      photo: The photo, I.
      fingerprint: K, of root mean square 1.
      strength: α, one for the photo or one a pixel [h w].
    """
    share = 1 - jnp.asarray(strength * fingerprint, jnp.float32)
    return image.to_pixels(jnp.asarray(photo, jnp.float32) * share[..., None] / 255)


class Zero(NamedTuple):
    """A strength at which nothing is left, of one photo or of every block.

    Attributes:
      strength: α; negative where the photo came with a negative correlation.
      z: The z-score there, the closest to 0 of all that were looked at; nan where undefined.
    """

    strength: Float[Array, "*b"]
    z: Float[Array, "*b"]


@jax.jit
def strength(photo: UInt8[ArrayLike, "h w 3"], fingerprint: Float[ArrayLike, "h w"]) -> Zero:
    """The α at which the NCC of W(I') with I'·K, the result's own, crosses 0.

    From 0 on α is doubled until the sign of the NCC changes, and the bracket is then halved; it is
    over when |z| is at most 0.01, or after 32 residuals. Rounding makes the NCC a function of many
    small steps, so the α with the smallest |z| seen is the result: 0 where the NCC is not defined.

    Args:
      photo: The photo, I.
      fingerprint: K, of root mean square 1.
    """
    return _zero(lambda alpha: _z(subtract(photo, fingerprint, alpha), fingerprint), ())


class _Bracket(NamedTuple):
    """Searches under way, one an element; strengths as multiples of the direction.

    Attributes:
      direction: Sign of the z-score of strength 0; 0 where that is not defined.
      low: Largest strength seen on this side of the zero.
      high: Smallest seen beyond it; infinite before one is.
      best: Where |z| was smallest.
      z: The z-score there; infinite before the first.
      steps: Residuals computed.
    """

    direction: Float[Array, "*b"]
    low: Float[Array, "*b"]
    high: Float[Array, "*b"]
    best: Float[Array, "*b"]
    z: Float[Array, "*b"]
    steps: Int[Array, ""]


def _zero(score: Callable[[Array], Array], shape: tuple[int, ...]) -> Zero:
    """Where the z-scores that `score` gives of strengths [*b] cross 0, all searched at once."""

    def searching(at: _Bracket) -> Array:
        # Nan compares as False: without a correlation there is nothing to search for.
        return (jnp.abs(at.z) > TOLERANCE) & (at.low < LARGEST)

    def step(at: _Bracket) -> _Bracket:
        first = at.steps == 0
        doubled = jnp.where(first, 0, jnp.clip(2 * at.low, FIRST, LARGEST))
        following = jnp.where(jnp.isinf(at.high), doubled, (at.low + at.high) / 2)
        here = jnp.where(searching(at), following, at.best)
        z = score(at.direction * here)
        direction = jnp.where(first, jnp.nan_to_num(jnp.sign(z)), at.direction)
        positive = z * direction > 0
        better = first | (searching(at) & (jnp.abs(z) < jnp.abs(at.z)))
        return _Bracket(
            direction,
            jnp.where(searching(at) & positive, here, at.low),
            jnp.where(searching(at) & ~positive, here, at.high),
            jnp.where(better, here, at.best),
            jnp.where(better, z, at.z),
            at.steps + 1,
        )

    # Strength 0 is looked at within the loop: the residual is long to compile, and is there once.
    zeros, infinite = jnp.zeros(shape, jnp.float32), jnp.full(shape, jnp.inf)
    found = lax.while_loop(
        lambda at: jnp.any(searching(at)) & (at.steps < EVALUATIONS),
        step,
        _Bracket(zeros, zeros, infinite, zeros, infinite, jnp.zeros((), jnp.int32)),
    )
    return Zero(found.direction * found.best, found.z)


@jax.jit
def _search_blocks(photo: ArrayLike, k: Array) -> Array:
    height, width = k.shape
    sides = [np.minimum(SIDE, size - np.arange(0, size, SIDE)) for size in (height, width)]
    pixels = np.multiply.outer(*sides)

    def subtracted(strengths: Array) -> Array:
        plane = strengths.repeat(SIDE, 0).repeat(SIDE, 1)[:height, :width]
        return subtract(photo, k, plane)

    def z_blocks(strengths: Array) -> Array:
        result = subtracted(strengths)
        pattern = correlation.pattern(result, k)
        ncc = correlation.ncc_blocks(residual.residual(result), pattern, SIDE)
        return ncc * np.sqrt(pixels)

    blocks = _zero(z_blocks, pixels.shape).strength
    rest = _zero(lambda more: _z(subtracted(blocks + more), k), ())
    return subtracted(blocks + rest.strength)


@jax.jit
def _least_squares(photo: ArrayLike, k: Array, passes: ArrayLike) -> Array:
    def one_pass(_: Array, beta: Array) -> Array:
        result = subtract(photo, k, beta)
        return beta + _explained(residual.residual(result), correlation.pattern(result, k))

    return subtract(photo, k, lax.fori_loop(0, passes, one_pass, jnp.zeros((), jnp.float32)))


@jax.jit
def _division(key: Array, photo: ArrayLike, k: Array) -> Array:
    levels, plane, planted = jnp.asarray(photo, jnp.float32), k[..., None], k[::-1, ::-1]
    both = residual.residual(jnp.stack([levels, levels * (1 + PLANTED * planted[..., None])]))
    found = _explained(both[0], correlation.pattern(levels, k))
    share = _explained(both[1] - both[0], correlation.pattern(levels, planted)) / PLANTED
    gamma = jnp.where(share > 0, found / jnp.where(share > 0, share, 1), 0)
    divided = levels / jnp.maximum(1 + gamma * plane, LEAST_DIVISOR)
    # Either neighbour, as probable as it is near: most changes are far below half a grey level. The
    # draw is the same for all colours, so that grey stays grey.
    dithered = jnp.floor(divided + jax.random.uniform(key, (*divided.shape[:2], 1)))
    return jnp.clip(dithered, 0, 255).astype(jnp.uint8)


def _explained(noise: Array, pattern: Array) -> Array:
    """The multiple of a pattern that is closest to the noise, ⟨W, P⟩/‖P‖²; 0 for a P of zeros."""
    energy = jnp.sum(jnp.square(pattern))
    return jnp.where(energy > 0, jnp.sum(noise * pattern) / jnp.where(energy > 0, energy, 1), 0)


def _z(photo: ArrayLike, k: ArrayLike) -> Array:
    """z-score of a photo with the fingerprint, its own I·K."""
    ncc = correlation.ncc(residual.residual(photo), correlation.pattern(photo, k))
    return correlation.z_score(ncc, *np.shape(k))
