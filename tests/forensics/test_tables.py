"""Tables: which scores are positives and negatives, and what is made of them."""

import numpy as np
import pytest

from dippas_jax.forensics import scores, tables

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


def test_photos_where_no_other_camera_could_be_ruled_out_do_not_count(rows):
    alone = row("m", "a", [[30], [40]], group="alone") | {"cameras": ["a"]}
    assert tables.attack([*rows, alone], "m", "wavelet", "K") == tables.attack(
        rows, "m", "wavelet", "K"
    )


def test_the_authors_average_goes_over_devices(rows):
    found = tables.attack(rows, "m", "wavelet", "K'")
    assert found["auc"] == brute([3, 1, 0.5, 2], [0.0, 2.0, 1.0, -1.0])
    # Devices with as many scores weigh the same either way; with one more of camera a they do not.
    assert found["auc_devices"] == pytest.approx(found["auc"])
    more = tables.attack([*rows, row("m", "a", [[0, 0]], [[9, 50]])], "m", "wavelet", "K'")
    assert more["auc"] == brute([3, 1, 9, 0.5, 2], [0.0, 2.0, 1.0, -1.0])
    plus = {"a": np.array([3, 1, 9.0]), "b": np.array([0.5, 2])}
    minus = {"a": np.array([0.0, 2]), "b": np.array([1.0, -1])}
    assert more["auc_devices"] == scores.auc_over_devices(plus, minus) != more["auc"]


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


def test_a_score_that_says_nothing_is_no_evidence(rows):
    # As JSON has it: a flat photo of camera a, and one of camera b.
    rows[0]["scores"]["wavelet"]["K"].append([None, None])
    rows[2]["scores"]["wavelet"]["K"].append([None, 50])
    for one in (rows[0], rows[2]):
        one["shots"].append("flat")
    found = tables.attack(rows, "m", "wavelet", "K")
    assert found == tables.attack(rows, "m", "wavelet", "K") | {"n": 4, "negatives": 4}
    assert found["auc"] == brute([0.2, -0.3, 0.0, -0.1], [0.1, -0.2, 0.3, -0.4])


def test_a_set_of_one_photo_does_not_count_as_hidden(rows):
    for one in rows:
        one["scores"]["set"] = {"K": [[9, 0] if one["device"] == "a" else [0, 9]]}
    rest = [
        row(method, device, [[0, 0]], group="rest") | {"scores": {"set": {"K": [[None, None]]}}}
        for method in ("original", "m")
        for device in CAMERAS
    ]
    found = tables.attack([*rows, *rest], "m", "set", "K")
    assert (found["auc"], found["n"], found["negatives"]) == (1, 2, 2)


def test_sets_of_the_same_photos_at_other_places_are_no_other_evidence():
    made = []
    for place in range(5):
        for method in ("original", "m"):
            for device in CAMERAS:
                one = row(method, device, [[0, 0]] * 2, group=f"place{place}")
                one["shots"] = [f"{device}0", f"{device}1"]
                one["scores"] = {"set": {"K": [[0, 2] if device == "a" else [2, 9]]}}
                made.append(one)
    found = tables.attack(made, "m", "set", "K")
    assert found["n"] == 10
    # Two sets of photos, a's all hidden and b's all found: a draw may hold one of them alone.
    assert (found["auc_low"], found["auc"], found["auc_high"]) == (0, 0.5, 1)


def test_photos_left_as_they_were_do_not_take_the_mean_psnr_away(rows):
    rows[2]["psnr"] = [None, 40.0]
    summary = tables.summarise(rows)[1]
    assert summary["psnr"] == pytest.approx((40 + 42 + 42) / 3)
    assert (summary["unchanged"], summary["photos"]) == (1, 4)
    assert tables.mean_psnr([None, float("inf")]) == float("inf")


def test_compilation_in_the_first_photo_does_not_count_as_time(rows):
    rows[2]["seconds"] = [60.0, 1.0]
    assert tables.summarise(rows)[1]["seconds"] == 1
    rows[2]["seconds"] = rows[3]["seconds"] = [None, None]
    assert np.isnan(tables.summarise(rows)[1]["seconds"])


def test_an_auc_of_zero_has_no_change_on_edges(rows):
    for one in rows:
        one["scores"]["edges"] = one["scores"]["wavelet"]
    for one in rows[2:]:
        one["scores"]["wavelet"] = {"K": [[-50, -50]] * 2}
    summaries = tables.summarise(rows)
    assert summaries[1]["attacks"]["same-K"]["auc"] == 0
    assert "| m |  |  |" in tables.markdown(summaries)


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
