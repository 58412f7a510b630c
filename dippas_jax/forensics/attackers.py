"""Attackers: ways in which an investigator looks for a camera in photos.

All have one signature: `attack(photos, evidence) -> scores`. Photos are uint8 [n h w 3], of one
size, from the same place of the sensor, in grey levels. Scores are float64 [rows m], a row a photo
(those of groups: one row), a column a candidate camera: the higher, the more the attacker believes
in it. Unless said otherwise a score is a z: about N(0, 1) where the camera is another one. Nan
where nothing can be said.

`ATTACKERS` holds them by name. Which fingerprint is looked for is not theirs to say: with the one
that the anonymiser had, "wavelet" is the attacker "same-K"; with one from other photos of the
camera it is "other-K". Every attacker can be run with both.
"""

import functools
import io
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, UInt8
from PIL import Image

from dippas_jax.forensics import detector, dncnn, edges
from dippas_jax.signal import correlation, extractors, flat_field, residual


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


class Attacker(NamedTuple):
    """An entry of `ATTACKERS`.

    Attributes:
      attack: The function.
      needs: The field of `Evidence`, besides the fingerprints, without which it cannot be run; ""
        if there is none.
      groups: It looks at all photos together and gives one row for them.
      limit: Score from which it says that the camera is found: a z of 3 (one false alarm in 740,
        two where both signs count), or the root of the customary PCE of 60.
      question: What it asks, for a report.
    """

    attack: Attack
    needs: str = ""
    groups: bool = False
    limit: float = 3.0
    question: str = ""


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
    "two-sided": Attacker(two_sided, question="over-subtracted, or too close to zero"),
    "shifts": Attacker(shifts, limit=60.0**0.5, question="moved by any shift"),
    "jpeg-90": Attacker(
        functools.partial(recompressed, quality=90), question="after JPEG at quality 90"
    ),
    "jpeg-75": Attacker(
        functools.partial(recompressed, quality=75), question="after JPEG at quality 75"
    ),
    "set": Attacker(from_set, groups=True, question="many photos of one camera together"),
    "link": Attacker(link, needs="references", question="photo against photo, no fingerprint"),
    "detector": Attacker(processed, needs="model", question="was the photo processed?"),
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


def _z(ncc: Array, pixels: np.ndarray) -> Array:
    return correlation.z_score(ncc, *pixels.shape[:2])


def _aligned(plane: Array, pixels: np.ndarray, evidence: Evidence) -> Array:
    """z [m] of a residual with every fingerprint."""
    return _z(_ncc_with_patterns(plane, pixels, evidence.fingerprints), pixels)


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
