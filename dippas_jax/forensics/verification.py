"""Before and after: every attacker that a single photo allows, against its anonymised version.

Photos are uint8 [h w 3]. What needs more than one photo of the camera (sets, links) or a classifier
trained on others (the detector) is left to studies.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, UInt8

from dippas_jax.forensics import attackers


class Finding(NamedTuple):
    """One attacker with one fingerprint.

    Attributes:
      attacker: Its name in `attackers.ATTACKERS`.
      fingerprint: Index of the fingerprint looked for.
      before: Its score on the original.
      after: Its score on the anonymised photo.
      found: It still finds the camera.
    """

    attacker: str
    fingerprint: int
    before: float
    after: float
    found: bool


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
        photos, is the stronger attacker.
      learned: Weights of the learned extractor, if they are at hand.
      names: Of the attackers to run; None for all.
    """
    evidence = attackers.Evidence(fingerprints, learned=learned)
    findings = []
    for name in attackers.available(evidence):
        attacker = attackers.ATTACKERS[name]
        if attacker.groups or (names is not None and name not in names):
            continue
        pair = [attacker.attack(photo[None], evidence)[0] for photo in (before, after)]
        for index, (old, new) in enumerate(zip(*pair, strict=True)):
            found = bool(new >= attacker.limit)
            findings.append(Finding(name, index, float(old), float(new), found))
    return findings


def untested(findings: Sequence[Finding]) -> list[str]:
    """Names of the attackers that did not take part."""
    return [name for name in attackers.ATTACKERS if name not in {one.attacker for one in findings}]


def verdict(findings: Sequence[Finding]) -> str:
    """One honest sentence."""
    found = list(dict.fromkeys(one.attacker for one in findings if one.found))
    seen = list(dict.fromkeys(one.attacker for one in findings if _seen_before(one)))
    missing = ", ".join(untested(findings))
    if found:
        return f"The camera is still found by {', '.join(found)}."
    if not seen:
        return (
            "None of these attackers finds the camera, but none found it in the original either: "
            "this says nothing about the change."
        )
    return (
        f"The fingerprint is reduced: {', '.join(seen)} found the camera before and none of these "
        f"attackers does now; not tested were {missing}, other fingerprints and other methods."
    )


def _seen_before(one: Finding) -> bool:
    return one.before >= attackers.ATTACKERS[one.attacker].limit
