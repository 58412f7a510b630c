"""Before and after: every attacker that a single photo allows, against its anonymised version.

Both signs count: a fingerprint that was taken out twice finds the camera as well as one that was
left in. And many figures are looked at, the largest of which is large by chance: `summary` says
how large.

Photos are uint8 [h w 3]. What needs more than one photo of the camera (sets, links) or a classifier
trained on others (the detector) is left to studies.
"""

import math
import statistics
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, UInt8

from dippas_jax.forensics import attackers, identification
from dippas_jax.signal import correlation

_RARE = 1e-3
"""Probability below which the largest of several figures is no chance."""

_UNEVEN = {"laplacian": 1.6, "median": 1.4, "blurred": 1.3}
"""Root-mean-square z of other cameras by attackers whose noise is less even than the wavelet's
(docs/laboratory.md)."""

_BY_PCE = "shifts"  # looks at all shifts, and its limit is the field's for those


class Finding(NamedTuple):
    """One attacker with one fingerprint.

    Attributes:
      attacker: Its name in `attackers.ATTACKERS`.
      fingerprint: Index of the fingerprint looked for.
      before: Its score on the original, with its sign.
      after: Its score on the anonymised photo, with its sign.
      found: It still finds the camera.
      part: Where the score after is from, of an attacker that looks at several parts; else "".
      spread: Standard deviation of z in the original where the camera is another one, at least 1,
        as the wavelet attacker sees it (`correlation.spread`).
    """

    attacker: str
    fingerprint: int
    before: float
    after: float
    found: bool
    part: str = ""
    spread: float = 1.0


class Summary(NamedTuple):
    """The largest of all figures after the change, and what chance says of it.

    Attributes:
      figures: How many z were looked at: of every attacker, fingerprint, band and quarter. "shifts"
        is no z and does not count; neither does what is nan.
      worst: The z of the largest absolute value; nan if there are no figures.
      worst_attacker: Whose it is; "" if there are no figures.
      worst_part: In which band or quarter; "" elsewhere.
      p_value: Probability that the largest |z| of so many independent figures of another camera is
        that or more, of white noise. Noise is less even, which makes the true one larger, and the
        figures depend on each other, which makes it smaller.
      chance_worst: What the largest |z| of so many is by chance: the median.
    """

    figures: int
    worst: float
    worst_attacker: str
    worst_part: str
    p_value: float
    chance_worst: float


def verify(
    before: UInt8[np.ndarray, "h w 3"],
    after: UInt8[np.ndarray, "h w 3"],
    fingerprints: Float[np.ndarray, "m h w"],
    *,
    learned: Any = None,
    names: Sequence[str] | None = None,
) -> list[Finding]:
    """All attackers that one photo allows.

    Args:
      before: The original.
      after: Its anonymised version, of the same size.
      fingerprints: Of one camera, or of several: a second one of the same camera, from other
        photos, is the stronger attacker. A mean is subtracted (`correlation.centred`).
      learned: Weights of the learned extractor, if they are at hand.
      names: Of the attackers to run; None for all.
    """
    fingerprints = np.stack([correlation.centred(plane) for plane in fingerprints])
    evidence = attackers.Evidence(fingerprints, learned=learned)
    spreads = identification.compare(before, fingerprints).spread.tolist()
    findings = []
    for name in attackers.available(evidence):
        attacker = attackers.ATTACKERS[name]
        if attacker.groups or attacker.twin or (names is not None and name not in names):
            continue
        (olds, _), (news, parts) = (_look(attacker, photo, evidence) for photo in (before, after))
        for index, (old, new) in enumerate(zip(olds.tolist(), news.tolist(), strict=True)):
            found = attacker.finds(new)
            findings.append(Finding(name, index, old, new, found, parts[index], spreads[index]))
    return findings


def summary(findings: Sequence[Finding]) -> Summary:
    """The largest figure, and how large it is by chance."""
    known = [
        one
        for one in findings
        if attackers.ATTACKERS[one.attacker].is_z and not math.isnan(one.after)
    ]
    if not known:
        return Summary(0, math.nan, "", "", math.nan, math.nan)
    worst = max(known, key=lambda one: abs(one.after))
    count = sum(attackers.ATTACKERS[one.attacker].figures for one in known)
    # The half is the chance that all of them stay below the median of the largest.
    each = -math.expm1(math.log(0.5) / count)
    return Summary(
        figures=count,
        worst=worst.after,
        worst_attacker=worst.attacker,
        worst_part=worst.part,
        p_value=chance(worst.after, count),
        chance_worst=-statistics.NormalDist().inv_cdf(each / 2),
    )


def chance(z: float, figures: int) -> float:
    """Probability that the largest |z| of so many independent figures is that of `z` or more."""
    both = 2 * correlation.p_value(np.float64(abs(z)))
    return float(correlation.p_value_over(np.minimum(both, 1), figures))


def untested(findings: Sequence[Finding]) -> list[str]:
    """Names of the attackers that did not take part, or had nothing to say of the result."""
    asked = {one.attacker for one in findings if not math.isnan(one.after)}
    return [name for name, one in attackers.ATTACKERS.items() if name not in asked | _twins()]


def verdict(findings: Sequence[Finding]) -> str:
    """An honest sentence, and one that says what chance does."""
    return " ".join(filter(None, (_found(findings), _by_chance(summary(findings)))))


def _found(findings: Sequence[Finding]) -> str:
    found = list(dict.fromkeys(one.attacker for one in findings if one.found))
    seen = _seen_before(findings)
    missing = ", ".join(untested(findings))
    if found and not seen:
        return (
            f"The camera is found by {', '.join(found)}, which did not surely find it in the "
            "original: too much was taken out, or it is chance."
        )
    if found:
        return f"The camera is still found by {', '.join(found)}."
    if not seen:
        return (
            "None of these attackers finds the camera, but none surely found it in the original "
            "either: this says nothing about the change."
        )
    asked = len({one.attacker for one in findings})
    names = ", ".join(seen) if len(seen) < 4 else f"{len(seen)} of {asked} attackers"
    return (
        f"The fingerprint is reduced: {names} found the camera before and none of these attackers "
        f"does now; not tested were {missing}, other fingerprints and other methods."
    )


def _by_chance(all_of_it: Summary) -> str:
    count, worst, name, part, p, median = all_of_it
    if not count:
        return ""
    where = f"{name}, {part}" if part else name
    figures = "1 figure" if count == 1 else f"{count} figures"
    rare = f"about {p:.2g}" if p >= 1e-300 else "less than 1e-300"
    return (
        f"The largest of {figures} is z {worst:+.1f} ({where}); by chance the largest of so many "
        f"is about {median:.1f} on either side of zero, and one like this has a probability of "
        f"{rare} where noise is white, and more where it is not."
    )


def _look(
    attacker: attackers.Attacker, photo: np.ndarray, evidence: attackers.Evidence
) -> tuple[np.ndarray, list[str]]:
    """Scores [m] on a photo, and the part that each is from."""
    if attacker.separate is None:
        scores = attacker.attack(photo[None], evidence)[0]
        return scores, [""] * len(scores)
    figures = attacker.separate(photo, evidence.fingerprints)
    scores = attackers.largest(figures)
    places = [
        np.flatnonzero(column == score) for column, score in zip(figures.T, scores, strict=True)
    ]
    return scores, [attacker.parts[place[0]] if len(place) else "" for place in places]


def _seen_before(findings: Sequence[Finding]) -> list[str]:
    """The attackers that found the camera in the original, if that is more than chance."""
    by = attackers.ATTACKERS
    figures = sum(by[one.attacker].figures for one in findings if by[one.attacker].is_z)
    every = [
        abs(one.before) / max(unevenness(one.attacker), _spread(one))
        for one in findings
        if by[one.attacker].is_z
    ]
    largest = max((z for z in every if not math.isnan(z)), default=0.0)
    certain = figures > 0 and chance(largest, figures) < _RARE
    seen = [one.attacker for one in findings if by[one.attacker].finds(one.before)]
    return [name for name in dict.fromkeys(seen) if certain or name == _BY_PCE]


def unevenness(attacker: str) -> float:
    """Root-mean-square score of other cameras, by an attacker, where noise is that of photos."""
    return max(attackers.ATTACKERS[attacker].rms, _UNEVEN.get(attacker, 1.0))


def _spread(one: Finding) -> float:
    return 1.0 if math.isnan(one.spread) else one.spread


def _twins() -> set[str]:
    return {name for name, one in attackers.ATTACKERS.items() if one.twin}
