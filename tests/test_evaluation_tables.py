"""Tables: which scores are positives and negatives, and what is made of them."""

import numpy as np
import pytest

from dippas_jax.evaluation import tables

CAMERAS = ["a", "b"]


def row(method, device, wavelet, other=None, group="g", psnr=40.0):
    """A row of two photos with made-up z against cameras a and b."""
    found = {"wavelet": {"K": wavelet}}
    if other is not None:
        found["wavelet"]["K'"] = other
    return {
        "method": method,
        "group": f"{device}_{group}",
        "device": device,
        "cameras": CAMERAS,
        "photos": [f"{device}_{group}_{i}" for i in range(len(wavelet))],
        "shots": [f"{device}_{group}_{i}" for i in range(len(wavelet))],
        "psnr": [psnr] * len(wavelet),
        "ssim": [0.9] * len(wavelet),
        "seconds": [1.0] * len(wavelet),
        "scores": found,
        "features": [],
    }


@pytest.fixture
def rows():
    return [
        row("original", "a", [[9, 0.1], [8, -0.2]], [[5, 1.0], [4, -1.0]]),
        row("original", "b", [[0.3, 7], [-0.4, 6]], [[0.0, 3], [2.0, 4]]),
        row("m", "a", [[0.2, 50], [-0.3, 50]], [[3, 50], [1, 50]]),
        row("m", "b", [[50, 0.0], [50, -0.1]], [[50, 0.5], [50, 2]], psnr=42.0),
    ]


def brute(positives, negatives):
    """Share of pairs in the right order, ties counting half."""
    pairs = [(p > n) + 0.5 * (p == n) for p in positives for n in negatives]
    return sum(pairs) / len(pairs)


def test_positives_are_treated_own_and_negatives_untreated_foreign(rows):
    found = tables.attack(rows, "m", "wavelet", "K")
    # 50 stands where neither may look: treated photos against cameras not their own.
    assert found["auc"] == brute([0.2, -0.3, 0.0, -0.1], [0.1, -0.2, 0.3, -0.4])
    assert (found["n"], found["negatives"]) == (4, 4)
    assert found["mean_z"] == pytest.approx(-0.05)
    assert found["rms_z"] == pytest.approx(np.sqrt((0.04 + 0.09 + 0.01) / 4))
    assert 0 <= found["auc_low"] <= found["auc"] <= found["auc_high"] <= 1


def test_the_authors_average_goes_over_devices(rows):
    found = tables.attack(rows, "m", "wavelet", "K'")
    devices = [brute([3, 1], [0.0, 2.0]), brute([0.5, 2], [1.0, -1.0])]
    assert found["auc_devices"] == pytest.approx(np.mean(devices), abs=0.26)
    assert found["auc"] == brute([3, 1, 0.5, 2], [0.0, 2.0, 1.0, -1.0])


def test_c_worst_is_that_of_the_attacker_farthest_from_one_half(rows):
    first, second = tables.summarise(rows)
    assert first["method"] == "original"
    assert "c_worst" not in first
    same, other = (second["attacks"][name]["auc"] for name in ("same-K", "other-K"))
    assert second["psnr"] == 41.0
    assert second["c"] == pytest.approx(41 * (1 - 2 * abs(same - 0.5)))
    assert second["c_worst"] == pytest.approx(41 * (1 - 2 * abs(other - 0.5)))
    assert second["worst"] == "other-K"


def test_an_attacker_of_groups_counts_a_group_once(rows):
    for one in rows:
        one["scores"]["set"] = {"K": [one["scores"]["wavelet"]["K"][0]]}
    found = tables.attack(rows, "m", "set", "K")
    assert (found["n"], found["negatives"]) == (2, 2)


def test_an_attacker_that_saw_nothing_is_left_out(rows):
    for one in rows:
        one["scores"]["set"] = {"K": [[float("nan")] * 2]}
    assert tables.attack(rows, "m", "set", "K") is None
    assert tables.attack(rows, "m", "edges", "K") is None


def test_the_detector_judges_photos_it_was_not_trained_on():
    draw = np.random.default_rng(0)
    made = []
    for method, mean in (("original", 0.0), ("near", 0.0), ("far", 4.0)):
        for device in CAMERAS:
            one = row(method, device, [[0.0, 0.0]] * 10)
            one["features"] = draw.normal(mean, 1, (10, 3)).tolist()
            made.append(one)
    assert tables.detection(made, "original") is None
    assert tables.detection(made, "far")["auc"] > 0.95
    assert 0.2 < tables.detection(made, "near")["auc"] < 0.8


def test_the_tables_name_every_method_and_attacker(rows):
    text = tables.markdown(tables.summarise(rows))
    assert "| m | 4 | 41.00 | 0.9000 |" in text
    assert "| original | 4 | ∞ |" in text
    for name in ("same-K", "other-K"):
        assert f"| {name} |" in text
    widths = {}
    for line in text.splitlines():
        if line.startswith("|"):
            widths.setdefault(line.count("|"), []).append(line)
    assert "nan" not in text
