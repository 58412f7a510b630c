"""Verification: what counts as found, and what the sentence may say."""

import numpy as np

from dippas_jax.datasets import synthetic
from dippas_jax.forensics import attackers, verification

SIZE = 96
CAMERA = synthetic.Camera(0, strength=0.01)


def photo(shot, camera=CAMERA):
    return synthetic.expose(camera, synthetic.scene(0, SIZE), shot)


def test_a_photo_that_was_not_changed_is_still_found():
    plane = synthetic.estimate(CAMERA, SIZE, SIZE, 6)
    findings = verification.verify(photo(0), photo(0), plane[None])
    by_name = {one.attacker: one for one in findings}
    assert by_name["wavelet"].found
    assert by_name["wavelet"].before == by_name["wavelet"].after > 5
    assert "wavelet" in verification.verdict(findings)
    assert verification.verdict(findings).startswith("The camera is still found")
    assert {"set", "link", "detector", "learned"} <= set(verification.untested(findings))


def test_a_photo_by_another_camera_is_not_found_and_the_rest_is_said():
    plane = synthetic.estimate(CAMERA, SIZE, SIZE, 6)
    other = photo(0, synthetic.Camera(7, strength=0.0))
    findings = verification.verify(photo(0), other, plane[None])
    assert not any(one.found for one in findings)
    text = verification.verdict(findings)
    assert "not tested were" in text
    assert "anonymous" not in text


def test_nothing_is_claimed_where_nothing_was_found_before():
    plane = synthetic.estimate(synthetic.Camera(9), SIZE, SIZE, 6)
    findings = verification.verify(photo(0), photo(0), plane[None])
    assert not any(one.before >= attackers.ATTACKERS[one.attacker].limit for one in findings)
    assert "says nothing" in verification.verdict(findings)


def test_over_subtraction_is_found():
    plane = synthetic.estimate(CAMERA, SIZE, SIZE, 6)
    findings = verification.verify(photo(0), photo(0), np.stack([-plane]))
    found = {one.attacker for one in findings if one.found}
    assert "two-sided" in found
    assert "wavelet" not in found
