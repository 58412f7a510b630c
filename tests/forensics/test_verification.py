"""Verification: what counts as found, and what the sentence may say."""

import math

import numpy as np
import pytest
from scipy.stats import norm

from dippas_jax.datasets import synthetic
from dippas_jax.forensics import attackers, identification, verification

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
    assert "quartered" in verification.untested(findings), "too small a photo"


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
    assert not any(attackers.ATTACKERS[one.attacker].finds(one.before) for one in findings)
    assert "says nothing" in verification.verdict(findings)


def test_a_mean_of_the_fingerprint_changes_no_finding():
    plane = synthetic.estimate(CAMERA, SIZE, SIZE, 6)
    plane = plane - plane.mean()
    plain, moved = (verification.verify(photo(0), photo(1), (plane + x)[None]) for x in (0, 0.5))
    for one, other in zip(plain, moved, strict=True):
        expected = pytest.approx((one.before, one.after), abs=0.02, nan_ok=True)
        assert (other.before, other.after) == expected, one.attacker


def test_over_subtraction_is_found_by_every_attacker_that_found_the_camera():
    plane = synthetic.estimate(CAMERA, SIZE, SIZE, 6)
    findings = verification.verify(photo(0), photo(0), np.stack([plane, -plane]))
    for one, turned in zip(findings[::2], findings[1::2], strict=True):
        if attackers.ATTACKERS[one.attacker].is_z:  # who searches counts above zero only
            assert turned.after == pytest.approx(-one.after, abs=1e-3, nan_ok=True)
            assert turned.found == one.found
    found = {one.attacker for one in findings[1::2] if one.found}
    assert {"wavelet", "bands", "texture", "dct"} <= found
    assert "two-sided" not in found
    assert "two-sided" not in verification.untested(findings)


def finding(after, attacker="wavelet", *, before=9.0, part=""):
    found = attackers.ATTACKERS[attacker].finds(after)
    return verification.Finding(attacker, 0, before, after, found, part)


def test_what_uneven_noise_gives_by_chance_is_no_camera_that_was_found():
    once = finding(0.5, before=6.0)
    assert verification.verdict([once]).startswith("The fingerprint is reduced: wavelet found")
    for unsure in (
        once._replace(spread=2.0),
        finding(0.5, "laplacian", before=5.0),
        finding(0.5, "places", before=5.0)._replace(spread=2.0),
    ):
        assert "none surely found it in the original either" in verification.verdict([unsure])
    assert verification.verdict([finding(0.5, "laplacian", before=9.0)]).startswith(
        "The fingerprint is reduced"
    )
    plane = synthetic.estimate(CAMERA, SIZE, SIZE, 6)
    (found,) = verification.verify(photo(0), photo(0), plane[None], names=["wavelet"])
    match = identification.compare(photo(0), plane[None])
    assert found.spread == match.spread[0]


def test_bands_say_which_of_them_is_the_worst():
    plane = synthetic.estimate(CAMERA, SIZE, SIZE, 6)
    names = ("bands", "texture")
    findings = verification.verify(photo(0), photo(0), plane[None], names=names)
    figures = attackers.band_scores(photo(0), plane[None])[1:, 0]
    assert findings[0].after == figures.max()
    assert findings[0].part == attackers.BANDS[figures.argmax()]
    assert findings[1].part in attackers.QUARTERS
    assert verification.summary(findings).figures == 6 + 4


@pytest.mark.parametrize(("z", "figures"), [(-4.0, 24), (3.1, 1), (0.0, 7), (9.0, 100)])
def test_chance_is_that_of_the_largest_of_independent_figures(z, figures):
    direct = -np.expm1(figures * np.log1p(-2 * norm.sf(abs(z)))) if z else 1
    assert verification.chance(z, figures) == pytest.approx(direct, rel=1e-9)


def test_the_summary_is_of_the_largest_whatever_its_sign():
    findings = [
        finding(3.2), finding(-4.0, "bands", part="1/4 to 3/8"), finding(math.nan, "quartered"),
        finding(7.0, "shifts"),
    ]  # fmt: skip
    found = verification.summary(findings)
    assert found[:4] == (7, -4.0, "bands", "1/4 to 3/8")
    assert found.p_value == pytest.approx(1 - (1 - 2 * norm.sf(4)) ** 7, rel=1e-9)
    assert (1 - 2 * norm.sf(found.chance_worst)) ** 7 == pytest.approx(0.5, rel=1e-9)
    nothing = verification.summary([finding(math.nan)])
    assert nothing.figures == 0
    assert math.isnan(nothing.worst)


@pytest.mark.parametrize(
    ("z", "attacker", "found"),
    [(-4.0, "wavelet", True), (3.0, "median", True), (-2.99, "median", False),
     (-3.3, "bands", False), (3.6, "bands", True), (-3.45, "texture", True),
     (-9.0, "shifts", False), (8.0, "shifts", True), (math.nan, "wavelet", False)],
)  # fmt: skip
def test_the_sentence_never_says_reduced_where_an_attacker_finds_the_camera(z, attacker, found):
    findings = [finding(0.5, "sigma-5"), finding(z, attacker, before=-9.0)]
    text = verification.verdict(findings)
    assert text.startswith(
        "The camera is still found by" if found else "The fingerprint is reduced"
    )
    assert ("reduced" in text) != found
    assert findings[1].found == found


def test_the_sentence_says_the_worst_and_what_chance_does():
    findings = [finding(2.5), finding(-2.8, "bands", part="1/4 to 3/8"), finding(1.0, "texture")]
    text = verification.verdict(findings)
    p = 1 - (1 - 2 * norm.sf(2.8)) ** 11
    median = norm.isf((1 - 0.5 ** (1 / 11)) / 2)
    for words in (
        "The fingerprint is reduced", "largest of 11 figures is z -2.8 (bands, 1/4 to 3/8)",
        f"about {median:.1f} on either side", f"about {p:.2g} where", "more where it is not",
    ):  # fmt: skip
        assert words in text
    assert "about 8e-11" in verification.verdict([finding(6.5)])
    assert "less than 1e-300" in verification.verdict([finding(-43.0)])
    none_before = verification.verdict([finding(1.0, before=-1.0)])
    assert "says nothing" in none_before
    assert "largest of 1 figure is" in none_before
    assert "largest" not in verification.verdict([finding(math.nan)])
    many = verification.verdict([finding(1.0, name) for name in ("wavelet", "dct", "median")])
    assert many.startswith("The fingerprint is reduced: wavelet, dct, median found the camera")
    many = verification.verdict(
        [finding(1.0, name) for name in ("wavelet", "dct", "median", "set")]
    )
    assert many.startswith("The fingerprint is reduced: 4 of 4 attackers found the camera")
