"""How much of any fingerprint goes through any method: its response to patterns planted in a photo.

    share = ⟨W(A(I(1+P))) − W(A(I)), I·P⟩ / ⟨W(I(1+P)) − W(I), I·P⟩

W is what extractors see, A the method, P a pattern of one percent. A share of 1 is all, 0 nothing;
below 0 more was taken out than there was. The sums run by band (`attackers.FREQUENCIES`), by
quarter of the local gradient and, where asked, by quarter of brightness, for a sum over everything
hides a band that is kept behind one that is overturned. No camera is known. Where one is,
`share_of` says what is left of it, to hold against what was foretold.

`sparse.leakage` measures the same for the search of one method, many times over; here A is any
function from pixels to pixels.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key

from dippas_jax.forensics import attackers
from dippas_jax.signal import cells, extractors, image, residual, tiles
from dippas_jax.signal.tiles import LOSSLESS, Codec, Codecs, Pixels

KINDS = ("white", "demosaiced", "residual")
"""Patterns: independent pixels; those of a Bayer sensor, interpolated; the spectrum of the photo's
own residual, with random phases."""

SIGMAS = (2.0, 3.0, 5.0)  # of the extractors whose mean counts
PARTS = 8  # of a large photo, from all over it
QUARTERS = 4

_BANDS = len(attackers.FREQUENCIES) - 1
_PLANTED = 0.01  # standard deviation of a pattern, relative to the signal
_MOVED = 3, 5  # pixels; odd, and no multiple of a JPEG's block
_APART = 5.0  # grey levels: noise that is taken apart from the scene of a compressed photo

Method = Callable[[Pixels], Pixels]
Cells = Float[np.ndarray, "7 4 b"]


class Leakage(NamedTuple):
    """What is left of patterns, or of a fingerprint.

    Attributes:
      after: Sums by band, quarter of gradient and quarter of brightness (one where not asked).
      before: The same of the photo as it came.
      variance: Of `after` around the share of all patterns times `before`, by cell.
    """

    after: Cells
    before: Cells
    variance: Cells

    def share(self, keep: str = "") -> tuple[np.ndarray, np.ndarray]:
        """Shares and their standard errors.

        Args:
          keep: "band", "gradient" or "brightness" for one figure each; "" for one in all.

        Returns:
          Two arrays of 7 or of 4 figures, or of one; nan where nothing was to be seen.
        """
        axes = tuple(n for n, name in enumerate(("band", "gradient", "brightness")) if name != keep)
        after, before, variance = (np.sum(x, axes) for x in self)
        seen = np.where(before > 0, before, np.nan)
        return np.asarray(after / seen), np.asarray(np.sqrt(variance) / seen)

    def named(self) -> dict[str, float]:
        """Shares by band but the lowest, by quarter of gradient, and of all, by name."""
        bands, _ = self.share("band")
        quarters, _ = self.share("gradient")
        names = [f"{band} cycles" for band in attackers.BANDS]
        shares = dict(zip(names, bands[1:].tolist(), strict=True))
        shares |= {f"texture {n + 1}": float(share) for n, share in enumerate(quarters)}
        return shares | {cells.WHOLE: float(self.share()[0])}

    @property
    def worst(self) -> float:
        """The share farthest from 0 of all bands and quarters of gradient, with its sign.

        The lowest band is left out: it holds little of a fingerprint and much of the scene.
        """
        every = np.concatenate([self.share("band")[0][1:], self.share("gradient")[0]])
        known = every[~np.isnan(every)]
        return float(known[np.argmax(np.abs(known))]) if known.size else float("nan")


def measure(
    key: Key[Array, ""],
    method: Method,
    photo: Pixels,
    *,
    kinds: Sequence[str] = KINDS,
    codecs: Codecs = LOSSLESS,
    brightness: bool = False,
) -> Leakage:
    """What a method leaves of planted patterns, one of each kind in every part of the photo.

    Args:
      key: Of the patterns.
      method: Pixels in, pixels of the same size out; the same for the same pixels.
      photo: uint8 [h w 3], at least 64x64. Of a large one, up to `PARTS` parts are looked at, each
        as a photo of its own.
      kinds: Some of `KINDS`.
      codecs: The camera's, behind which the patterns come, and the output's. What a camera's JPEG
        keeps of a pattern falls on strong coefficients, so the photo's noise is moved before a
        pattern is planted and all is compressed again.
      brightness: Whether to tell quarters of brightness apart.
    """
    found = []
    for number, part in enumerate(_parts(photo)):
        where = _where(part, brightness=brightness)
        start = part if codecs.camera is None else _apart(part)
        without = _through(codecs.camera, start)
        plain = _seen(_through(codecs.output, method(without)))
        seen = _seen(without)
        for kind in kinds:
            one = jax.random.fold_in(jax.random.fold_in(key, number), KINDS.index(kind))
            pattern = _pattern(one, part, kind)
            planted = _through(codecs.camera, _rounded(start * (1 + pattern)))
            made = _through(codecs.output, method(planted))
            grey = np.asarray(image.luma(start * pattern))
            found.append(
                [_sums(_seen(made) - plain, grey, where), _sums(_seen(planted) - seen, grey, where)]
            )
    return _pooled(found)


def share_of(
    fingerprint: Float[np.ndarray, "h w"],
    photo: Pixels,
    made: Pixels,
    *,
    brightness: bool = False,
) -> Leakage:
    """What is left of a camera's own fingerprint, by the same cells; the error is that of chance.

    Args:
      fingerprint: K in any unit.
      photo: As it came.
      made: What the method made of it.
      brightness: Whether to tell quarters of brightness apart.
    """
    where = _where(photo, brightness=brightness)
    grey = np.asarray(image.luma(photo.astype(np.float32))) * fingerprint
    before, after = _seen(photo), _seen(made)
    sums = [_sums(plane, grey, where) for plane in (after, before)]
    # Chance is what planes find of fingerprints that are not theirs.
    others = [np.roll(fingerprint, shift, (0, 1)) for shift in ((41, 67), (-83, 29), (131, -59))]
    level = np.asarray(image.luma(photo.astype(np.float32)))
    chance = [_sums(after, level * other, where) ** 2 for other in others]
    return Leakage(sums[0], sums[1], np.mean(chance, 0))


def _pooled(found: list[list[np.ndarray]]) -> Leakage:
    """Sums over all patterns; their scatter gives the variance."""
    after, before = np.sum([one[0] for one in found], 0), np.sum([one[1] for one in found], 0)
    share = np.where(before != 0, after / np.where(before != 0, before, 1), 0)
    spread = [one[0] - share * one[1] for one in found]
    count = len(found)
    factor = count / (count - 1) if count > 1 else np.nan  # one pattern says nothing of others
    return Leakage(after, before, np.sum(np.square(spread), 0) * factor)


def _parts(photo: Pixels) -> list[np.ndarray]:
    every = [tile for tile, _ in tiles.windows(*photo.shape[:2])]
    return [photo[tiles.aligned(tile).part] for tile in tiles.spread(every, PARTS)]


def _through(codec: Codec | None, pixels: Pixels) -> Pixels:
    return pixels if codec is None else codec(pixels)


def _rounded(levels: np.ndarray) -> Pixels:
    return tiles.rounded(levels, np.dtype(np.uint8))


def _seen(pixels: Pixels) -> np.ndarray:
    """The mean residual over `SIGMAS`."""
    return np.mean([extractors.extract(pixels, sigma=sigma) for sigma in SIGMAS], 0)


def _apart(pixels: Pixels) -> Pixels:
    """The scene, with the photo's own noise moved away from the structure it was kept at."""
    planes = np.moveaxis(pixels.astype(np.float32), -1, 0)
    noise = np.moveaxis(np.asarray(_noise(planes)), 0, -1)
    return _rounded(pixels - noise + np.roll(noise, _MOVED, (0, 1)))


def _pattern(key: Array, pixels: Pixels, kind: str) -> np.ndarray:
    """A pattern [h w c], relative to the signal; its grey part has the deviation `_PLANTED`."""
    raw = np.asarray(jax.random.normal(key, pixels.shape[:2]))
    if kind == "demosaiced":
        made = np.asarray(image.demosaiced(raw))
    elif kind == "residual":
        spectrum = np.abs(np.fft.rfft2(np.asarray(extractors.extract(pixels))))
        phases = np.fft.rfft2(raw)
        size = np.maximum(np.abs(phases), 1e-12)
        made = np.fft.irfft2(spectrum * phases / size, s=raw.shape)[..., None]
    else:
        made = raw[..., None]
    deviation = np.std(np.asarray(image.luma(np.broadcast_to(made, (*raw.shape, 3)))))
    return (made * (_PLANTED / max(deviation, 1e-12))).astype(np.float32)


def _where(pixels: Pixels, *, brightness: bool) -> np.ndarray:
    """Which cell every pixel belongs to: quarters of gradient and of brightness [4 b h w]."""
    levels = pixels.astype(np.float32)
    gradient = _quarters(np.asarray(image.gradient(levels)))
    bright = _quarters(np.asarray(image.luma(levels))) if brightness else np.ones((1, 1, 1), bool)
    return gradient[:, None] & bright[None]


def _quarters(plane: np.ndarray) -> np.ndarray:
    # What lies on a border is of the lower quarter, as for the attacker "texture".
    index = np.digitize(plane, np.quantile(plane, [0.25, 0.5, 0.75]), right=True)
    return index == np.arange(QUARTERS)[:, None, None]


def _sums(plane: np.ndarray, grey: np.ndarray, where: np.ndarray) -> np.ndarray:
    return np.asarray(_products(plane, grey, where), np.float64)


@jax.jit
def _products(plane: Array, grey: Array, where: Array) -> Array:
    """Σ plane·grey [7 4 b]."""
    height, width = plane.shape
    rows, columns = np.abs(np.fft.fftfreq(height)), np.fft.rfftfreq(width)
    place = np.maximum(rows[:, None], columns)
    band = np.digitize(place, attackers.FREQUENCIES[1:-1])

    def one(number: Array) -> Array:
        parts = [jnp.fft.rfft2(x) * (band == number) for x in (plane, grey)]
        product = jnp.prod(jnp.stack([jnp.fft.irfft2(x, s=plane.shape) for x in parts]), 0)
        return jnp.sum(product * where, (-2, -1))

    return jax.lax.map(one, jnp.arange(_BANDS))


_noise = jax.jit(lambda planes: residual.denoising_residual(planes, sigma=_APART))
