"""A photo rebuilt from few coefficients, with what those leave of a fingerprint taken back.

The idea is that of the paper, that a model of pictures learns structure before noise, with the most
economical model of a picture there is instead of a network: in every 8x8 block, at every position,
the few discrete cosine coefficients that stand out are kept, and the overlapping blocks averaged
(Coifman and Donoho, 1995, "Translation-invariant de-noising"; weights as in Dabov et al., 2007,
"Image denoising by sparse 3-D transform-domain collaborative filtering").

A fingerprint is noise, so of its energy a block keeps the share that falls on kept coefficients.
A little more of it shows in which coefficients are kept: one at the threshold t jumps by t, so the
mean slope there is t times the density of coefficients. That share is the only trace left where an
extractor looks. It is cancelled within the block: the coefficients that would be dropped are not
set to zero but turned over, times the share kept over the share dropped. Which share a coefficient
has is measured in the photo itself: PRNU goes through the same demosaicing and compression as
photon noise, whose spectrum the flat blocks show.

Photos are float32 in grey levels, channels last, one at a time; `jax.vmap` makes batches.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array, Bool, Float, Num

SIDE = 8  # of a block, pixels
FEW = 3  # kept coefficients a block and channel, up to which its dropped ones count as noise
_BLOCKS = 16  # what the assumption of white noise weighs against the photo's own blocks
NEAR = 0.15  # of the threshold: distance from it within which coefficients count as crossing
LARGEST = 2.0  # turned-over coefficients are at most this many times their size

_EXACT = jax.lax.Precision.HIGHEST  # a GPU's default keeps three decimal digits
Spectrum = Float[Array, "3 8 8"]


def _cosines() -> np.ndarray:
    """The orthonormal DCT-II: row u holds the cosine of frequency u."""
    u, x = np.mgrid[:SIDE, :SIDE]
    rows = np.cos(np.pi * (2 * x + 1) * u / (2 * SIDE)) * np.sqrt(2 / SIDE)
    rows[0] /= np.sqrt(2)
    return rows.astype(np.float32)


def _opponent() -> np.ndarray:
    """Orthonormal rows: brightness, red against blue, green against both."""
    rows = np.array([[1, 1, 1], [1, 0, -1], [1, -2, 1]], np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


_DCT, _COLOURS = _cosines(), _opponent()


def noise_spectrum(pixels: Num[ArrayLike, "h w 3"], threshold: ArrayLike) -> Spectrum:
    """Mean square of the coefficients below the threshold in blocks that hardly have others.

    Args:
      pixels: The photo, grey levels.
      threshold: Size from which a coefficient is kept, grey levels.

    Returns:
      Grey levels squared, by opponent channel and frequency; the mean's is 0. Frequencies of which
      the photo shows little are drawn towards the channel's average: white noise.
    """
    planes, rows, columns = _padded(pixels)

    def add(sums, shift):
        found = _forward(planes, shift, rows, columns)
        keep = _kept(found, threshold)
        noise = ~keep & (keep.sum((2, 4), keepdims=True) <= FEW)
        squares = jnp.where(noise, jnp.square(found), 0).sum((1, 3))
        return (sums[0] + squares, sums[1] + noise.sum((1, 3))), None

    zeros = jnp.zeros((3, SIDE, SIDE))
    # A quarter of the positions are enough for a mean.
    (squares, count), _ = jax.lax.scan(add, (zeros, zeros), _shifts(2))
    details = jnp.ones_like(zeros).at[:, 0, 0].set(0)
    squares, count = squares * details, count * details
    level = squares.sum((1, 2), keepdims=True) / jnp.maximum(count.sum((1, 2), keepdims=True), 1)
    level = jnp.where(level > 0, level, 1)
    return details * (squares + _BLOCKS * level) / (count + _BLOCKS)


def resynthesise(
    pixels: Num[ArrayLike, "h w 3"],
    threshold: ArrayLike,
    spectrum: Spectrum,
    compensation: ArrayLike,
) -> Float[Array, "h w 3"]:
    """The photo from its coefficients of at least `threshold`.

    Args:
      pixels: The photo, grey levels, at least 8x8.
      threshold: Grey levels; 3 keeps nearly all, 50 leaves a drawing.
      spectrum: Of the noise, `noise_spectrum`.
      compensation: How much of the share that is kept of a fingerprint is taken back: 0 nothing, 1
        all, if attackers weighed all frequencies alike.

    Returns:
      Grey levels, neither clipped nor rounded.
    """
    return _synthesis(pixels, pixels, threshold, spectrum, compensation)


def kept_part(
    pixels: Num[ArrayLike, "h w 3"], pattern: Float[ArrayLike, "h w"], threshold: ArrayLike
) -> Float[Array, "h w 3"]:
    """What `resynthesise` keeps of a pattern, added to the photo before, in all channels alike.

    To first order: the coefficients are those that the photo alone would keep.

    Args:
      pixels: The photo, grey levels.
      pattern: Such as I·K, small against the threshold.
      threshold: As for the photo.
    """
    grey = jnp.broadcast_to(jnp.asarray(pattern)[..., None], (*np.shape(pattern), 3))
    return _synthesis(pixels, grey, threshold, jnp.ones((3, SIDE, SIDE)), 0.0)


def _synthesis(
    guide: ArrayLike, pixels: ArrayLike, threshold: ArrayLike, spectrum: Array, share: ArrayLike
) -> Array:
    """`pixels` from the coefficients that `guide` keeps; see `resynthesise`."""
    planes, rows, columns = _padded(pixels)
    guides = planes if guide is pixels else _padded(guide)[0]
    noise = spectrum.at[:, 0, 0].set(0)[:, None, :, None, :]
    everything = noise.sum((2, 4), keepdims=True)

    def add(sums, shift):
        found = _forward(planes, shift, rows, columns)
        guiding = found if guides is planes else _forward(guides, shift, rows, columns)
        keep = _kept(guiding, threshold)
        kept = (keep * noise).sum((2, 4), keepdims=True)
        dropped = jnp.maximum(everything - kept, 1e-3 * everything + 1e-12)
        crossing = (_near(guiding, threshold) * noise).sum((2, 4), keepdims=True) / (2 * NEAR)
        turned = jnp.minimum(share * (kept + crossing) / dropped, LARGEST)
        weight = 1 / keep.sum((0, 2, 4), keepdims=True)
        blocks = _inverse(jnp.where(keep, found, -turned * found) * weight)
        weights = jnp.broadcast_to(weight, (1, *blocks.shape[1:]))
        both = jnp.concatenate([blocks, weights]).reshape(4, rows, columns)
        start = (0, *shift)
        before = jax.lax.dynamic_slice(sums, start, both.shape)
        return jax.lax.dynamic_update_slice(sums, before + both, start), None

    sums, _ = jax.lax.scan(add, jnp.zeros((4, *planes.shape[1:])), _shifts(1))
    h, w = np.shape(pixels)[:2]
    sums = sums[:, SIDE : SIDE + h, SIDE : SIDE + w]
    return jnp.einsum("chw,cd->hwd", sums[:3] / sums[3:], _COLOURS, precision=_EXACT)


def _shifts(step: int) -> Array:
    """Positions of the grid of blocks, every `step` pixels."""
    corner = np.mgrid[:SIDE:step, :SIDE:step]
    return jnp.asarray(corner.reshape(2, -1).T)


def _padded(pixels: ArrayLike) -> tuple[Array, int, int]:
    """Opponent planes, mirrored a block beyond the borders; rows and columns a grid covers."""
    pixels = jnp.asarray(pixels, jnp.float32)
    h, w, _ = pixels.shape
    rows, columns = (-(-(side + SIDE) // SIDE) * SIDE for side in (h, w))
    planes = jnp.einsum("hwd,cd->chw", pixels, _COLOURS, precision=_EXACT)
    beyond = ((0, 0), (SIDE, rows - h), (SIDE, columns - w))
    return jnp.pad(planes, beyond, mode="reflect"), rows, columns


def _forward(planes: Array, shift: Array, rows: int, columns: int) -> Array:
    """Coefficients [3 r 8 k 8] of the grid of blocks that starts at `shift`."""
    part = jax.lax.dynamic_slice(planes, (0, *shift), (3, rows, columns))
    blocks = part.reshape(3, rows // SIDE, SIDE, columns // SIDE, SIDE)
    return jnp.einsum("ua,crakb,vb->crukv", _DCT, blocks, _DCT, precision=_EXACT)


def _inverse(coefficients: Array) -> Array:
    return jnp.einsum("ua,crukv,vb->crakb", _DCT, coefficients, _DCT, precision=_EXACT)


def _kept(coefficients: Array, threshold: ArrayLike) -> Bool[Array, "3 r 8 k 8"]:
    """Those of at least the threshold, and the means."""
    return (jnp.abs(coefficients) >= threshold).at[:, :, 0, :, 0].set(True)


def _near(coefficients: Array, threshold: ArrayLike) -> Bool[Array, "3 r 8 k 8"]:
    """Those about to cross the threshold."""
    distance = jnp.abs(jnp.abs(coefficients) - threshold)
    return (distance < NEAR * jnp.asarray(threshold)).at[:, :, 0, :, 0].set(False)
