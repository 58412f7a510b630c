"""Attackers: ways in which an investigator looks for a camera in photos.

All have one signature: `attack(photos, evidence) -> scores`. Photos are uint8 [n h w 3], of one
size, from the same place of the sensor, in grey levels. Scores are float64 [rows m], a row a photo
(those of groups: one row), a column a candidate camera: the higher, the more the attacker believes
in it, or, with a z far below zero, in what was done against it. Unless said otherwise a score is a
z: about N(0, 1) where the camera is another one. Nan where nothing can be said.

`ATTACKERS` holds them by name. Which fingerprint is looked for is not theirs to say: with the one
that the anonymiser had, "wavelet" is the attacker "same-K"; with one from other photos of the
camera it is "other-K". Every attacker can be run with both.
"""

import functools
import io
import statistics
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, UInt8
from PIL import Image
from scipy import ndimage

from dippas_jax.forensics import denoisers, detector, edges, places, warps
from dippas_jax.signal import correlation, dncnn, extractors, flat_field, image, residual

FREQUENCIES = (0, 1 / 32, 1 / 16, 1 / 8, 3 / 16, 1 / 4, 3 / 8, 1 / 2)
"""Borders of the bands, cycles a pixel; a frequency's place is the larger of |fy| and |fx|."""

BANDS = ("1/32 to 1/16", "1/16 to 1/8", "1/8 to 3/16", "3/16 to 1/4", "1/4 to 3/8", "3/8 to 1/2")
"""The bands that count, cycles a pixel. Below them real residuals hold little but the scene."""

QUARTERS = ("the smoothest quarter", "the second quarter", "the third quarter", "the busiest")
"""The quarters of a photo by `image.gradient`."""

BLUR = 0.7
"""Standard deviation of the Gaussian of "blurred", pixels."""

SMALLEST = 32
"""Side, pixels, below which `residual.residual` cannot be computed."""


class Evidence(NamedTuple):
    """What the investigator holds.

    Attributes:
      fingerprints: Of the candidate cameras, at the place of the sensor that the photos show.
      references: For each candidate, the residuals (`residual.residual`) of its untreated photos of
        other scenes; None if there are none.
      learned: Weights of the learned extractor (`dncnn.parse`); None if they are not at hand.
      model: Of the detector, trained on other photos; None if there is none.
    """

    fingerprints: Float[np.ndarray, "m h w"]
    references: Sequence[Float[np.ndarray, "r h w"]] | None = None
    learned: Any = None
    model: detector.Model | None = None


Scores = Float[np.ndarray, "rows m"]
Attack = Callable[[UInt8[np.ndarray, "n h w 3"], Evidence], Scores]
Separate = Callable[[np.ndarray, np.ndarray], Float[np.ndarray, "k m"]]


class Attacker(NamedTuple):
    """An entry of `ATTACKERS`.

    Attributes:
      attack: The function.
      needs: The field of `Evidence`, besides the fingerprints, without which it cannot be run; ""
        if there is none.
      groups: It looks at all photos together and gives one row for them.
      limit: |score| from which it says that the camera is found: a z of 3 (one false alarm in 370),
        the largest of several z that chance gives as rarely (`limit_of`), the root of the customary
        PCE of 60, or what no other camera reached (`benchmarks.desynchronised`).
      question: What it asks, for a report.
      parts: Names of the k figures of which the score is the largest; () if it is one figure.
      separate: Gives these figures, z [k m], of one photo and fingerprints.
      is_z: The score is a z, so that both signs count. Else only a positive one does.
      twin: It asks again what another one asked, for the tables of studies; `verification` leaves
        it out.
      rms: Root-mean-square score where the camera is another one.
    """

    attack: Attack
    needs: str = ""
    groups: bool = False
    limit: float = 3.0
    question: str = ""
    parts: tuple[str, ...] = ()
    separate: Separate | None = None
    is_z: bool = True
    twin: bool = False
    rms: float = 1.0

    @property
    def figures(self) -> int:
        """How many figures it looks at for one score."""
        return max(len(self.parts), 1)

    def finds(self, score: float) -> bool:
        """Whether that score says that the camera is found; nan does not."""
        return bool((abs(score) if self.is_z else score) >= self.limit)


def limit_of(figures: int, limit: float = 3.0) -> float:
    """The limit for the largest |z| of several: by chance reached as rarely as `limit` by one.

    The figures are taken to be independent; where they are not, it is reached more rarely still.
    """
    rare = 2 * float(correlation.p_value(np.float64(limit)))
    each = -np.expm1(np.log1p(-rare) / figures)
    return -statistics.NormalDist().inv_cdf(float(each) / 2)


def largest(figures: Float[np.ndarray, "k m"]) -> Float[np.ndarray, " m"]:
    """Of k figures that of the largest absolute value, with its sign; nan only where all are."""
    sizes = np.where(np.isnan(figures), -1, np.abs(figures))
    return np.take_along_axis(figures, np.argmax(sizes, 0)[None], 0)[0]


# --------------------------------------------------------------------------------------- residuals


def wavelet(
    photos: UInt8[np.ndarray, "n h w 3"], evidence: Evidence, *, sigma: float = residual.SIGMA
) -> Scores:
    """z of equation 2, with the wavelet-Wiener residual: the attacker of the paper."""
    return _per_photo(
        photos, lambda one: _aligned(extractors.extract(one, sigma=sigma), one, evidence)
    )


def learned(photos: UInt8[np.ndarray, "n h w 3"], evidence: Evidence) -> Scores:
    """z of equation 2, with the residual of a learned denoiser (Zhang et al., 2017)."""
    return _per_photo(
        photos, lambda one: _aligned(_extract_learned(evidence.learned, one), one, evidence)
    )


def on_edges(photos: UInt8[np.ndarray, "n h w 3"], evidence: Evidence) -> Scores:
    """z of equation 2 over the pixels near edges only: the paper's table 4."""

    def one_photo(one: np.ndarray) -> Array:
        mask = edges.mask(one)
        patterns = correlation.pattern(one, evidence.fingerprints)
        return edges.ncc(extractors.extract(one), patterns, mask) * np.sqrt(mask.sum())

    return _per_photo(photos, one_photo)


def other_residual(
    photos: UInt8[np.ndarray, "n h w 3"],
    evidence: Evidence,
    *,
    noise: Callable[[Float[Array, "h w"]], Float[Any, "h w"]],
) -> Scores:
    """z of equation 2 with what another denoiser takes for noise in the grey plane.

    Args:
      photos: As for every attacker.
      evidence: As for every attacker.
      noise: One of `denoisers`.
    """
    return _per_photo(
        photos,
        lambda one: _aligned(residual.zero_mean(noise(image.luma(one))), one, evidence),
    )


def blurred(photos: UInt8[np.ndarray, "n h w 3"], evidence: Evidence) -> Scores:
    """z at σ 2 of the photo behind a Gaussian blur; what K leaves is blurred alike."""

    def blur(x: np.ndarray, axes: tuple[int, int]) -> np.ndarray:
        return ndimage.gaussian_filter(np.asarray(x, np.float32), BLUR, axes=axes)

    return _per_photo(photos, lambda one: _smoothed(one, evidence, blur))


def averaged(photos: UInt8[np.ndarray, "n h w 3"], evidence: Evidence, *, factor: int) -> Scores:
    """z at σ 2 of the photo made smaller by block means; what K leaves is made smaller alike.

    Nan where fewer than `SMALLEST` pixels a side are left.
    """

    def shrink(x: np.ndarray, axes: tuple[int, int]) -> np.ndarray:
        x = np.asarray(x, np.float32)
        for axis in axes:
            sides = list(x.shape)
            sides[axis : axis + 1] = [x.shape[axis] // factor, factor]
            kept = np.arange(sides[axis] * factor)
            x = np.take(x, kept, axis).reshape(sides).mean(axis + 1)
        return x

    if min(photos.shape[1:3]) // factor < SMALLEST:
        return np.full((len(photos), len(evidence.fingerprints)), np.nan)
    return _per_photo(photos, lambda one: _smoothed(one, evidence, shrink))


def band_scores(
    photo: UInt8[np.ndarray, "h w 3"], fingerprints: Float[np.ndarray, "m h w"]
) -> Float[np.ndarray, "7 m"]:
    """z at σ 3 in every band of `FREQUENCIES`: a sum of zero can hide +5 and −5.

    A band of b frequencies of the whole plane has b independent figures, so its correlation times
    √b is a z.
    """
    return np.asarray(_by_band(extractors.extract(photo), photo, fingerprints), np.float64)


def texture_scores(
    photo: UInt8[np.ndarray, "h w 3"], fingerprints: Float[np.ndarray, "m h w"]
) -> Float[np.ndarray, "4 m"]:
    """z at σ 3 in every one of `QUARTERS`: what is left in the smooth and in the busy places."""
    return np.asarray(_by_texture(extractors.extract(photo), photo, fingerprints), np.float64)


def bands(photos: UInt8[np.ndarray, "n h w 3"], evidence: Evidence) -> Scores:
    """The largest |z| of `BANDS`, with its sign. Not a z: by chance its RMS is 1.7."""
    planes = evidence.fingerprints
    return _per_photo(photos, lambda one: largest(_counted_bands(one, planes)))


def texture(photos: UInt8[np.ndarray, "n h w 3"], evidence: Evidence) -> Scores:
    """The largest |z| of `QUARTERS`, with its sign. Not a z: by chance its RMS is 1.6."""
    planes = evidence.fingerprints
    return _per_photo(photos, lambda one: largest(texture_scores(one, planes)))


def two_sided(photos: UInt8[np.ndarray, "n h w 3"], evidence: Evidence) -> Scores:
    """|z|: finds a camera that was over-subtracted, and one whose z is too close to zero.

    The second shows as an AUC below one half.
    """
    return np.abs(wavelet(photos, evidence))


def shifts(photos: UInt8[np.ndarray, "n h w 3"], evidence: Evidence) -> Scores:
    """Root of the largest PCE over all shifts: finds photos whose pixels were moved.

    Not a z: another camera gives about √(2·ln(h·w)), 5 at 512x512.
    """
    return _per_photo(photos, lambda one: _largest(one, evidence.fingerprints))


def by_places(
    photos: UInt8[np.ndarray, "n h w 3"],
    evidence: Evidence,
    *,
    blocks: places.Blocks = places.LARGE,
) -> Scores:
    """z of `places`: every block looked for around its place; nan below two blocks.

    K is looked for in W·I. Were I·K moved over W, bright and busy places would meet themselves in
    place, and other cameras be found there.
    """

    def one_photo(one: np.ndarray) -> list[Array]:
        weighted = _weighted(one)
        return [places.z_score(weighted, k, blocks) for k in evidence.fingerprints]

    return _per_photo(photos, one_photo)


def by_warps(photos: UInt8[np.ndarray, "n h w 3"], evidence: Evidence) -> Scores:
    """The highest z of all small warps (`warps`). Not a z: another camera gives 6 to 7."""

    def one_photo(one: np.ndarray) -> list[float]:
        weighted = np.asarray(_weighted(one))
        return [warps.z_score(weighted, k) for k in evidence.fingerprints]

    return _per_photo(photos, one_photo)


def recompressed(
    photos: UInt8[np.ndarray, "n h w 3"], evidence: Evidence, *, quality: int
) -> Scores:
    """`wavelet` after JPEG compression, as a platform does it (4:2:0, Pillow's tables)."""
    return wavelet(np.stack([jpeg(photo, quality) for photo in photos]), evidence)


def jpeg(pixels: UInt8[np.ndarray, "h w 3"], quality: int) -> UInt8[np.ndarray, "h w 3"]:
    """The photo after JPEG compression."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=quality)
    return np.array(Image.open(buffer))


# ---------------------------------------------------------------------------------- several photos


def from_set(photos: UInt8[np.ndarray, "n h w 3"], evidence: Evidence) -> Scores:
    """One row of z: the fingerprint estimated from all the photos against the true ones.

    What is left of the camera in single photos adds up: the z grows with the root of their number.
    Nan below two photos.
    """
    if len(photos) < 2:
        return np.full((1, len(evidence.fingerprints)), np.nan)
    ncc = _ncc(flat_field.estimate(photos).plane, evidence.fingerprints)
    return np.asarray(_z(ncc, photos[0]), np.float64)[None]


def link(photos: UInt8[np.ndarray, "n h w 3"], evidence: Evidence) -> Scores:
    """Photo against photo, no fingerprint: z with the candidate's references, taken together.

    The mean z over the r references of a candidate, times √r; references without noise, as of flat
    photos, do not count.
    """

    def one_photo(one: np.ndarray) -> np.ndarray:
        plane = extractors.extract(one)
        rows = [np.asarray(_z(_ncc(plane, r), one)) for r in evidence.references or ()]
        rows = [row[~np.isnan(row)] for row in rows]
        return np.array([row.sum() / np.sqrt(len(row)) if len(row) else np.nan for row in rows])

    return _per_photo(photos, one_photo)


def processed(photos: UInt8[np.ndarray, "n h w 3"], evidence: Evidence) -> Scores:
    """Log-odds that a photo was processed, in one column: no camera is looked for."""
    if evidence.model is None:
        raise ValueError("the attacker needs a trained detector, got None")
    found = np.stack([detector.features(photo) for photo in photos])
    return np.asarray(detector.score(evidence.model, found), np.float64)[:, None]


ATTACKERS: dict[str, Attacker] = {
    "wavelet": Attacker(wavelet, question="the paper's extractor: wavelet-Wiener, σ 3"),
    "sigma-2": Attacker(
        functools.partial(wavelet, sigma=2.0), question="the same extractor at σ 2"
    ),
    "sigma-5": Attacker(
        functools.partial(wavelet, sigma=5.0), question="the same extractor at σ 5"
    ),
    "learned": Attacker(learned, needs="learned", question="a learned extractor: DnCNN"),
    "edges": Attacker(on_edges, question="pixels near edges only"),
    "bands": Attacker(
        bands,
        limit=limit_of(len(BANDS)),
        question="the worst of six bands of frequency",
        parts=BANDS,
        separate=lambda photo, planes: _counted_bands(photo, planes),
        rms=1.74,
    ),
    "texture": Attacker(
        texture,
        limit=limit_of(len(QUARTERS)),
        question="the worst quarter of the photo by its texture",
        parts=QUARTERS,
        separate=texture_scores,
        rms=1.57,
    ),
    "sigma-1": Attacker(
        functools.partial(wavelet, sigma=1.0), question="the same extractor at σ 1"
    ),
    "non-local-means": Attacker(
        functools.partial(other_residual, noise=denoisers.non_local_means),
        question="another denoiser: means of similar patches",
    ),
    "dct": Attacker(
        functools.partial(other_residual, noise=denoisers.dct),
        question="another denoiser: small DCT coefficients",
    ),
    "total-variation": Attacker(
        functools.partial(other_residual, noise=denoisers.total_variation),
        question="another denoiser: total variation",
    ),
    "laplacian": Attacker(
        functools.partial(other_residual, noise=denoisers.laplacian), question="a 3x3 high-pass"
    ),
    "median": Attacker(
        functools.partial(other_residual, noise=denoisers.median),
        question="another denoiser: the 5x5 median",
    ),
    "blurred": Attacker(blurred, question="low frequencies: blurred, then σ 2"),
    "halved": Attacker(
        functools.partial(averaged, factor=2), question="low frequencies: half the size, then σ 2"
    ),
    "quartered": Attacker(
        functools.partial(averaged, factor=4),
        question="low frequencies: a quarter of the size, then σ 2",
    ),
    "two-sided": Attacker(two_sided, question="over-subtracted, or too close to zero", twin=True),
    "shifts": Attacker(shifts, limit=60.0**0.5, question="moved by any shift", is_z=False),
    "places": Attacker(
        by_places, limit=4.0, question="moved, each place by a few pixels of its own", is_z=False
    ),
    "pieces": Attacker(
        functools.partial(by_places, blocks=places.SMALL),
        question="moved, each small piece by a few pixels of its own",
        is_z=False,
    ),
    "warps": Attacker(
        by_warps, limit=8.0, question="turned, scaled or tilted a little as a whole", is_z=False
    ),
    "jpeg-90": Attacker(
        functools.partial(recompressed, quality=90), question="after JPEG at quality 90"
    ),
    "jpeg-75": Attacker(
        functools.partial(recompressed, quality=75), question="after JPEG at quality 75"
    ),
    "set": Attacker(from_set, groups=True, question="many photos of one camera together"),
    "link": Attacker(link, needs="references", question="photo against photo, no fingerprint"),
    "detector": Attacker(processed, needs="model", question="was the photo processed?", is_z=False),
}
"""Part 2 of the evaluation: who looks for the camera, by name."""


def available(evidence: Evidence) -> list[str]:
    """Names of the attackers for which the evidence suffices."""
    return [
        name
        for name, attacker in ATTACKERS.items()
        if not attacker.needs or getattr(evidence, attacker.needs) is not None
    ]


# ------------------------------------------------------------------------------------------- parts

_extract_learned = jax.jit(dncnn.residual)
_ncc = jax.jit(correlation.ncc)


def _per_photo(photos: np.ndarray, attack: Callable[[np.ndarray], Any]) -> Scores:
    """One row a photo. A loop: one compiled program and the memory of one photo serve them all."""
    return np.stack([np.asarray(attack(photo), np.float64) for photo in photos])


def _weighted(pixels: np.ndarray) -> Array:
    """W·I of a photo: ⟨W, I·K⟩ = ⟨W·I, K⟩, and of the second form K alone is shifted."""
    return extractors.extract(pixels) * image.luma(pixels)


def _z(ncc: Array, pixels: np.ndarray) -> Array:
    return correlation.z_score(ncc, *pixels.shape[:2])


def _aligned(plane: Array, pixels: np.ndarray, evidence: Evidence) -> Array:
    """z [m] of a residual with every fingerprint."""
    return _z(_ncc_with_patterns(plane, pixels, evidence.fingerprints), pixels)


def _smoothed(
    pixels: np.ndarray,
    evidence: Evidence,
    smooth: Callable[[np.ndarray, tuple[int, int]], np.ndarray],
) -> Array:
    """z [m] at σ 2 of a photo and of what the fingerprints leave in it, both smoothed."""
    patterns = smooth(np.asarray(correlation.pattern(pixels, evidence.fingerprints)), (1, 2))
    pixels = smooth(pixels, (0, 1))
    return _z(_ncc(extractors.extract(pixels, sigma=2.0), patterns), pixels)


def _counted_bands(photo: np.ndarray, fingerprints: np.ndarray) -> np.ndarray:
    """z [6 m] of `BANDS`."""
    return band_scores(photo, fingerprints)[1:]


@jax.jit
def _by_band(plane: Array, pixels: Array, fingerprints: Array) -> Array:
    """z [k m] of a residual with every fingerprint in every band of `FREQUENCIES`."""
    height, width = plane.shape
    along, across = np.abs(np.fft.fftfreq(height)), np.fft.rfftfreq(width)
    place = np.maximum(along[:, None], across)
    band = np.digitize(place, FREQUENCIES[1:-1])
    # Half of the spectrum is at hand; the other half is its mirror image.
    twice = np.broadcast_to(np.where((across > 0) & (across < 0.5), 2, 1), place.shape)
    shares = np.stack([(band == k) * twice for k in range(len(FREQUENCIES) - 1)])
    noise = jnp.fft.rfft2(plane)

    def one(fingerprint: Array) -> Array:
        found = jnp.fft.rfft2(correlation.pattern(pixels, fingerprint))

        def sums(a: Array, b: Array) -> Array:  # in every band
            product = a.real * b.real + a.imag * b.imag
            return jnp.stack([jnp.sum(product * share) for share in shares.astype(np.float32)])

        norms = jnp.sqrt(sums(noise, noise)) * jnp.sqrt(sums(found, found))
        cosine = jnp.where(norms > 0, sums(noise, found) / jnp.where(norms > 0, norms, 1), jnp.nan)
        return cosine * np.sqrt(shares.sum((1, 2), dtype=np.float64)).astype(np.float32)

    return jax.lax.map(one, fingerprints).T


@jax.jit
def _by_texture(plane: Array, pixels: Array, fingerprints: Array) -> Array:
    """z [k m] of a residual with every fingerprint in every one of `QUARTERS`."""
    size = image.gradient(pixels)
    borders = jnp.quantile(size, jnp.array([0.25, 0.5, 0.75]))
    quarter = jnp.sum(size > borders[:, None, None], 0)
    patterns = correlation.pattern(pixels, fingerprints)

    def one(index: Array) -> Array:
        mask = quarter == index
        return edges.ncc(plane, patterns, mask) * jnp.sqrt(jnp.sum(mask))

    return jax.lax.map(one, jnp.arange(len(QUARTERS)))


@jax.jit
def _ncc_with_patterns(plane: Array, pixels: Array, fingerprints: Array) -> Array:
    return correlation.ncc(plane, correlation.pattern(pixels, fingerprints))


@jax.jit
def _largest(pixels: Array, fingerprints: Array) -> Array:
    """Root of the largest PCE over shifts [m], with the peak's sign."""
    patterns = correlation.pattern(pixels, fingerprints)
    surface = correlation.circular_cross_correlation(residual.residual(pixels), patterns)
    peak = correlation.pce_over_shifts(surface).pce
    return jnp.sign(peak) * jnp.sqrt(jnp.abs(peak))
