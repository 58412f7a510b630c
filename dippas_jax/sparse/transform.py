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

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array, Bool, Float, Num

SIDE = 8  # of a block, pixels
HALO = SIDE  # pixels around a tile that have a part in it
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
    h, w = np.shape(pixels)[:2]
    return spectrum_of(noise_sums(_mirrored(pixels), threshold, (0, 0), (h, w)))


class NoiseSums(NamedTuple):
    """What a spectrum is the quotient of; those of tiles add up.

    Attributes:
      squares: Of coefficients that count as noise, by channel and frequency.
      total: Their number.
    """

    squares: Spectrum
    total: Spectrum


def noise_sums(
    region: Num[ArrayLike, "h w 3"],
    threshold: ArrayLike,
    corner: tuple[ArrayLike, ArrayLike],
    size: tuple[ArrayLike, ArrayLike],
) -> NoiseSums:
    """A tile's part of `noise_spectrum`: of the blocks that start in it and lie in the photo.

    Args:
      region: The tile with `HALO` pixels around it, as `rebuild` takes it.
      threshold: Grey levels.
      corner: Row and column of the photo where the tile starts.
      size: Rows and columns of the photo.
    """
    planes = _opponent_planes(region)
    rows, columns = (side - SIDE for side in planes.shape[1:])

    def add(sums, shift):
        found = _forward(planes, shift, rows, columns)
        inside = [
            # Blocks that start before the tile belong to the one before.
            (start >= first) & (start <= first + side - 2 * SIDE - 1) & (start + SIDE <= end)
            for first, side, end, start in (
                (corner[0], planes.shape[1], size[0], _starts(corner[0], shift[0], rows)),
                (corner[1], planes.shape[2], size[1], _starts(corner[1], shift[1], columns)),
            )
        ]
        counted = inside[0][:, None, None, None] & inside[1][:, None]
        keep = _kept(found, threshold)
        noise = ~keep & (keep.sum((2, 4), keepdims=True) <= FEW) & counted
        squares = jnp.where(noise, jnp.square(found), 0).sum((1, 3))
        return NoiseSums(sums.squares + squares, sums.total + noise.sum((1, 3))), None

    zeros = jnp.zeros((3, SIDE, SIDE))
    # A quarter of the positions are enough for a mean.
    return jax.lax.scan(add, NoiseSums(zeros, zeros), _shifts(2))[0]


def _starts(corner: ArrayLike, shift: Array, length: int) -> Array:
    """Where in the photo the blocks of a grid start."""
    return jnp.asarray(corner) - SIDE + shift + SIDE * jnp.arange(length // SIDE)


def spectrum_of(sums: NoiseSums) -> Spectrum:
    """The spectrum of a photo from the sums of all its tiles; see `noise_spectrum`."""
    details = jnp.ones((3, SIDE, SIDE)).at[:, 0, 0].set(0)
    squares, count = sums.squares * details, sums.total * details
    level = squares.sum((1, 2), keepdims=True) / jnp.maximum(count.sum((1, 2), keepdims=True), 1)
    level = jnp.where(level > 0, level, 1)
    return details * (squares + _BLOCKS * level) / (count + _BLOCKS)


def noise_level(spectrum: Spectrum) -> Float[Array, ""]:
    """Deviation of the noise where it is strongest, grey levels.

    Over the brightness's nine strongest frequencies: demosaicing and JPEG leave little in the
    others.
    """
    return jnp.sqrt(jnp.sort(spectrum[0].ravel())[-9:].mean())


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
    h, w = np.shape(pixels)[:2]
    return rebuild(_mirrored(pixels), threshold, spectrum, compensation)[0][:h, :w]


def kept_part(
    pixels: Num[ArrayLike, "h w 3"], pattern: Float[ArrayLike, "h w"], threshold: ArrayLike
) -> Float[Array, "h w"]:
    """What `resynthesise` keeps of a pattern that is added to the photo, in every channel.

    To first order: the coefficients are those that the photo alone would keep.

    Args:
      pixels: The photo, grey levels.
      pattern: Such as I·K, small against the threshold.
      threshold: As for the photo.
    """
    h, w = np.shape(pattern)
    white = jnp.ones((3, SIDE, SIDE))
    kept = rebuild(_mirrored(pixels), threshold, white, 0.0, _mirrored(pattern))[1]
    assert kept is not None
    return kept[:h, :w]


def rebuild(
    region: Num[ArrayLike, "h w 3"],
    threshold: ArrayLike,
    spectrum: Spectrum,
    compensation: ArrayLike,
    pattern: Float[ArrayLike, "h w"] | None = None,
) -> tuple[Float[Array, "h2 w2 3"], Float[Array, "h2 w2"] | None]:
    """A tile of `resynthesise` and `kept_part`: exactly what the whole photo would give there.

    Args:
      region: The tile with `HALO` pixels around it; its sides are multiples of 8.
      threshold: Grey levels.
      spectrum: Of the whole photo.
      compensation: See `resynthesise`.
      pattern: See `kept_part`, with the same pixels around it.

    Returns:
      The tile of the photo and, if there is one, of the pattern.
    """
    planes = _opponent_planes(region)
    rows, columns = (side - SIDE for side in planes.shape[1:])
    noise = spectrum.at[:, 0, 0].set(0)[:, None, :, None, :]
    everything = noise.sum((2, 4), keepdims=True)
    patterns = None if pattern is None else jnp.asarray(pattern, jnp.float32)[None]

    def add(sums, shift):
        found = _forward(planes, shift, rows, columns)
        keep = _kept(found, threshold)
        kept = (keep * noise).sum((2, 4), keepdims=True)
        dropped = jnp.maximum(everything - kept, 1e-3 * everything + 1e-12)
        crossing = (_near(found, threshold) * noise).sum((2, 4), keepdims=True) / (2 * NEAR)
        turned = jnp.minimum(compensation * (kept + crossing) / dropped, LARGEST)
        weight = 1 / keep.sum((0, 2, 4), keepdims=True)
        parts = [_inverse(jnp.where(keep, found, -turned * found) * weight)]
        if patterns is not None:  # grey, so of the first opponent channel
            part = _forward(patterns, shift, rows, columns)
            parts.append(_inverse(jnp.where(keep[:1], part, 0) * weight))
        parts.append(jnp.broadcast_to(weight, (1, *parts[0].shape[1:])))
        together = jnp.concatenate(parts).reshape(-1, rows, columns)
        start = (0, *shift)
        before = jax.lax.dynamic_slice(sums, start, together.shape)
        return jax.lax.dynamic_update_slice(sums, before + together, start), None

    channels = 4 if patterns is None else 5
    sums, _ = jax.lax.scan(add, jnp.zeros((channels, *planes.shape[1:])), _shifts(1))
    sums = sums[:, HALO:-HALO, HALO:-HALO]
    made = jnp.einsum("chw,cd->hwd", sums[:3] / sums[-1:], _COLOURS, precision=_EXACT)
    return made, None if patterns is None else sums[3] / sums[-1]


def _shifts(step: int) -> Array:
    """Positions of the grid of blocks, every `step` pixels."""
    corner = np.mgrid[:SIDE:step, :SIDE:step]
    return jnp.asarray(corner.reshape(2, -1).T)


def _mirrored(pixels: ArrayLike) -> Array:
    """The photo [h w ...] with `HALO` pixels around it, and as many more as make whole blocks."""
    pixels = jnp.asarray(pixels, jnp.float32)
    beyond = [(HALO, HALO + -side % SIDE) for side in pixels.shape[:2]]
    return jnp.pad(pixels, [*beyond, *[(0, 0)] * (pixels.ndim - 2)], mode="reflect")


def _opponent_planes(region: ArrayLike) -> Array:
    pixels = jnp.asarray(region, jnp.float32)
    return jnp.einsum("hwd,cd->chw", pixels, _COLOURS, precision=_EXACT)


def _forward(planes: Array, shift: Array, rows: int, columns: int) -> Array:
    """Coefficients [c r 8 k 8] of the grid of blocks that starts at `shift`."""
    part = jax.lax.dynamic_slice(planes, (0, *shift), (len(planes), rows, columns))
    blocks = part.reshape(-1, rows // SIDE, SIDE, columns // SIDE, SIDE)
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
