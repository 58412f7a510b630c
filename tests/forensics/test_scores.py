"""Scores: brute force over all pairs and thresholds, closed forms, coverage by simulation."""

import itertools
import math

import numpy as np
import pytest
import scipy.stats

from dippas_jax.forensics import scores
from dippas_jax.types import InputError


def drawn(seed, count, shift=0.0, decimals=None):
    values = np.random.default_rng(seed).standard_normal(count) + shift
    return values if decimals is None else values.round(decimals)


def slow_auc(positives, negatives):
    """One pair after the other, minus infinity in place of a nan."""
    wins = 0.0
    for a in positives:
        for b in negatives:
            a, b = (-math.inf if math.isnan(x) else x for x in (a, b))
            wins += 1.0 if a > b else 0.5 if a == b else 0.0
    return wins / (len(positives) * len(negatives))


def slow_rate(values, threshold):
    """Share at or above a threshold; a nan is only where everything is."""
    return sum(threshold == -math.inf or bool(v >= threshold) for v in values) / len(values)


AWKWARD = {
    "plain": (drawn(0, 17, 1.0), drawn(1, 23)),
    "ties": (drawn(2, 30, 0.5, decimals=0), drawn(3, 40, decimals=0)),
    "one each": (np.array([0.3]), np.array([0.4])),
    "all the same": (np.ones(4), np.ones(3)),
    "apart": (drawn(4, 9, 20.0), drawn(5, 8)),
    "reversed": (drawn(4, 9, -20.0), drawn(5, 8)),
    "nan": (np.array([1.0, math.nan, 2.0, 0.5]), np.array([math.nan, 0.0, 1.0, math.nan])),
    "infinite": (np.array([math.inf, 1.0, -math.inf]), np.array([math.inf, -math.inf, 0.0])),
    "infinite and nan": (np.array([math.nan, -math.inf, 1.0]), np.array([-math.inf, math.nan])),
    "integers": (np.array([3, 1, 2]), np.array([1, 0, 2, 2])),
    "float32": (drawn(6, 12, 1.0).astype(np.float32), drawn(7, 12).astype(np.float32)),
}
awkward = pytest.mark.parametrize(("positives", "negatives"), AWKWARD.values(), ids=AWKWARD)


@awkward
def test_auc_is_the_count_over_all_pairs(positives, negatives):
    assert scores.auc(positives, negatives) == slow_auc(positives, negatives)


@awkward
def test_auc_is_the_area_under_the_roc(positives, negatives):
    curve = scores.roc(positives, negatives)
    area = np.trapezoid(curve.tpr, curve.fpr)
    assert scores.auc(positives, negatives) == pytest.approx(area, abs=1e-14)


@awkward
def test_roc_is_the_rates_at_every_threshold(positives, negatives):
    curve = scores.roc(positives, negatives)
    assert (curve.fpr[0], curve.tpr[0], curve.thresholds[0]) == (0, 0, math.inf)
    assert (curve.fpr[-1], curve.tpr[-1]) == (1, 1)
    assert (np.diff(curve.fpr) + np.diff(curve.tpr) > 0).all(), "every point is another"
    for fpr, tpr, threshold in list(zip(*curve, strict=True))[1:]:
        assert fpr == slow_rate(negatives, threshold)
        assert tpr == slow_rate(positives, threshold)


def test_auc_is_that_of_mann_and_whitney():
    for seed in range(5):
        a, b = drawn(seed, 50, 0.7, decimals=1), drawn(seed + 9, 70, decimals=1)
        statistic = scipy.stats.mannwhitneyu(a, b).statistic
        assert scores.auc(a, b) == pytest.approx(statistic / (50 * 70), abs=1e-14)


@pytest.mark.parametrize("shift", [0.0, 0.5, 2.0])
def test_shifted_normal_scores_have_the_auc_and_eer_of_theory(shift):
    # Quantiles in place of draws: the empirical distribution is the normal one to 1e-3.
    normal = scipy.stats.norm.ppf((np.arange(2000) + 0.5) / 2000)
    found = scores.auc(normal + shift, normal)
    assert found == pytest.approx(scipy.stats.norm.cdf(shift / math.sqrt(2)), abs=1e-3)
    expected = scipy.stats.norm.cdf(-shift / 2)
    assert scores.eer(normal + shift, normal) == pytest.approx(expected, abs=1e-3)
    expected = scipy.stats.norm.sf(scipy.stats.norm.isf(0.05) - shift)
    assert scores.tpr_at_fpr(normal + shift, normal, 0.05) == pytest.approx(expected, abs=2e-3)


def test_turning_the_scores_over_turns_the_auc_over():
    a, b = drawn(10, 31, 0.6, decimals=1), drawn(11, 45, decimals=1)
    assert scores.auc(b, a) == pytest.approx(1 - scores.auc(a, b), abs=1e-14)
    assert scores.auc(np.exp(a), np.exp(b)) == scores.auc(a, b)


def test_a_nan_is_below_every_score_and_ties_with_a_nan():
    nothing = np.array([math.nan, math.nan])
    assert scores.auc(nothing, np.array([-1e300, 0.0])) == 0
    assert scores.auc(np.array([-1e300]), nothing) == 1
    assert scores.auc(nothing, nothing) == 0.5
    assert scores.tpr_at_fpr(np.array([math.nan, 3.0]), np.zeros(5), 0.99) == 0.5


def test_scores_that_came_are_left_as_they_were():
    values = np.array([1.0, math.nan])
    scores.auc(values, values)
    assert math.isnan(values[1])


# --------------------------------------------------------------------------------- intervals


def grouped(rng, groups, size, shift):
    """Scores that share half and more of their variance within a group, and their labels."""
    common = np.repeat(rng.standard_normal(groups), size)
    values = shift + common + 0.5 * rng.standard_normal(groups * size)
    return values, np.repeat([f"photo {i}" for i in range(groups)], size)


def test_an_interval_of_groups_holds_the_truth_as_often_as_it_says():
    rng, shift, runs = np.random.default_rng(12), 1.0, 200
    truth = scipy.stats.norm.cdf(shift / math.sqrt(2 * 1.25))
    covered = {"groups": 0, "singles": 0}
    for seed in range(runs):
        (a, a_groups), (b, b_groups) = grouped(rng, 30, 4, shift), grouped(rng, 30, 4, 0.0)
        for kind in covered:
            labels = (a_groups, b_groups) if kind == "groups" else (None, None)
            low, high = scores.auc_interval(
                a, b, positive_groups=labels[0], negative_groups=labels[1], draws=200, seed=seed
            )
            covered[kind] += low <= truth <= high
    assert 0.89 <= covered["groups"] / runs <= 0.985
    assert covered["singles"] / runs < 0.8, "crops of one photo taken for photos: too sure"


def test_an_interval_of_singles_holds_the_truth_as_often_as_it_says():
    rng, runs = np.random.default_rng(13), 200
    truth = scipy.stats.norm.cdf(1 / math.sqrt(2))
    covered = 0
    for seed in range(runs):
        a, b = rng.standard_normal(40) + 1, rng.standard_normal(60)
        low, high = scores.auc_interval(a, b, confidence=0.8, draws=200, seed=seed)
        covered += low <= truth <= high
    assert covered / runs == pytest.approx(0.8, abs=0.07)


def test_an_interval_is_that_of_drawing_groups_one_by_one():
    rng = np.random.default_rng(14)
    (a, a_groups), (b, b_groups) = grouped(rng, 6, 3, 0.8), grouped(rng, 9, 2, 0.0)
    a, b = a.round(1), b.round(1)
    keep = rng.random(a.size) < 0.7  # groups of different sizes
    a, a_groups = a[keep], a_groups[keep]
    order = rng.permutation(b.size)
    b, b_groups = b[order], b_groups[order]

    def draw(values, labels):
        names = np.unique(labels)
        chosen = rng.choice(names, names.size)
        return np.concatenate([values[labels == name] for name in chosen])

    slow = [slow_auc(draw(a, a_groups), draw(b, b_groups)) for _ in range(1500)]
    interval = scores.auc_interval(
        a, b, positive_groups=a_groups, negative_groups=list(b_groups), draws=20000
    )
    np.testing.assert_allclose(interval, np.quantile(slow, [0.025, 0.975]), atol=0.02)


def test_an_interval_is_a_function_of_its_seed_and_grows_with_confidence():
    a, b = drawn(15, 20, 1.0), drawn(16, 25)
    first = scores.auc_interval(a, b, seed=3)
    assert first == scores.auc_interval(a, b, seed=3, positive_groups=np.arange(20))
    assert first != scores.auc_interval(a, b, seed=4)
    wider = scores.auc_interval(a, b, seed=3, confidence=0.99)
    assert wider.low < first.low < scores.auc(a, b) < first.high < wider.high


def test_an_interval_of_scores_apart_is_a_point():
    assert scores.auc_interval(drawn(17, 5, 50.0), drawn(18, 5)) == (1, 1)


# ----------------------------------------------------------------------------------- devices


def slow_auc_over_devices(positives, negatives):
    """The average over devices at each threshold of the union, then trapezoids."""
    union = sorted({float(v) for side in (positives, negatives) for x in side.values() for v in x})
    points = [(0.0, 0.0)]
    for threshold in reversed(union):
        rates = [
            np.mean([slow_rate(side[name], threshold) for name in side])
            for side in (negatives, positives)
        ]
        points.append(tuple(rates))
    area = 0.0
    for (x0, y0), (x1, y1) in itertools.pairwise(points):
        area += (x1 - x0) * (y0 + y1) / 2
    return area


def devices(sizes, shifts, decimals=None):
    return {
        f"camera {i}": drawn(20 + i + 100 * len(shifts), size, shift, decimals)
        for i, (size, shift) in enumerate(zip(sizes, shifts, strict=True))
    }


def test_auc_over_devices_is_the_authors_average():
    positives = devices((7, 3, 12), (2.0, 0.5, 1.0), decimals=1)
    negatives = devices((10, 25, 5), (0.0, -1.0, 0.3), decimals=1)
    found = scores.auc_over_devices(positives, negatives)
    assert found == pytest.approx(slow_auc_over_devices(positives, negatives), abs=1e-14)
    assert abs(found - scores.pooled_auc(positives, negatives)) > 1e-3


def test_auc_over_devices_of_equal_counts_is_the_pooled_one_and_of_one_device_its_own():
    positives, negatives = devices((8, 8), (1.0, 0.2)), devices((20, 20), (0.0, 0.1))
    pooled = scores.pooled_auc(positives, negatives)
    assert scores.auc_over_devices(positives, negatives) == pytest.approx(pooled, abs=1e-14)
    every = (np.concatenate(list(side.values())) for side in (positives, negatives))
    assert pooled == scores.auc(*every)
    one = {"a": positives["camera 0"]}, {"a": negatives["camera 1"]}
    assert scores.auc_over_devices(*one) == pytest.approx(
        scores.auc(one[0]["a"], one[1]["a"]), abs=1e-14
    )


def test_one_threshold_serves_all_devices():
    # Either camera by itself is told apart without an error; a common threshold confuses them.
    positives = {"a": np.array([1.0]), "b": np.array([11.0])}
    negatives = {"b": np.array([10.0]), "a": np.array([0.0])}
    assert scores.auc_over_devices(positives, negatives) == 0.75


# ----------------------------------------------------------------------------- single figures


def slow_eer(positives, negatives):
    """Walk the ROC until more negatives are found than positives are missed."""
    values = np.concatenate([positives, negatives])
    union = sorted({-math.inf if math.isnan(v) else float(v) for v in values})
    x0, y0 = 0.0, 0.0
    for threshold in reversed(union):
        x1, y1 = slow_rate(negatives, threshold), slow_rate(positives, threshold)
        if x1 >= 1 - y1:
            t = (1 - y0 - x0) / ((x1 - x0) + (y1 - y0))
            return x0 + t * (x1 - x0)
        x0, y0 = x1, y1
    raise AssertionError("the last threshold finds everything")


@awkward
def test_equal_error_rate_is_where_the_roc_meets_the_diagonal(positives, negatives):
    found = scores.eer(positives, negatives)
    assert found == pytest.approx(slow_eer(positives, negatives), abs=1e-12)


def test_equal_error_rates_of_the_extremes():
    assert scores.eer(drawn(30, 9, 50.0), drawn(31, 9)) == 0
    assert scores.eer(drawn(30, 9, -50.0), drawn(31, 9)) == 1
    assert scores.eer(np.zeros(3), np.zeros(5)) == 0.5


@awkward
@pytest.mark.parametrize("fpr", [0.0, 0.1, 0.3, 0.5, 1.0])
def test_tpr_at_fpr_is_that_of_the_best_threshold_that_may_be_used(positives, negatives, fpr):
    values = np.concatenate([positives, negatives]).astype(float)
    union = {-math.inf if math.isnan(v) else float(v) for v in values}
    allowed = [t for t in union if slow_rate(negatives, t) <= fpr]
    best = max((slow_rate(positives, t) for t in allowed), default=0.0)
    assert scores.tpr_at_fpr(positives, negatives, fpr) == best


def test_tpr_at_fpr_reaches_a_rate_that_is_exactly_allowed():
    negatives = np.arange(10.0)
    assert scores.tpr_at_fpr(np.array([6.5, 7.5]), negatives, 0.3) == 1
    assert scores.tpr_at_fpr(np.array([6.5, 7.5]), negatives, 0.29) == 0.5


def test_tradeoff_is_equation_12():
    assert scores.tradeoff(40.0, 0.5) == 40
    assert scores.tradeoff(40.0, 1.0) == 0
    assert scores.tradeoff(40.0, 0.0) == 0
    assert scores.tradeoff(40.0, 0.6) == pytest.approx(32)
    assert scores.tradeoff(40.0, 0.4) == pytest.approx(32)


def test_the_worst_tradeoff_is_the_least_of_all():
    aucs = np.array([0.55, 0.5, 0.2, 0.7])
    expected = min(scores.tradeoff(38.0, float(auc)) for auc in aucs)
    assert scores.worst_tradeoff(38.0, aucs) == expected == pytest.approx(38 * 0.4)


def test_no_tradeoff_is_made_up_where_there_is_none():
    assert math.isnan(scores.tradeoff(math.inf, 0.5))
    assert math.isnan(scores.tradeoff(math.inf, 1.0))
    assert math.isnan(scores.worst_tradeoff(38.0, np.array([0.5, math.nan])))


def test_mean_and_rms_of_z_scores():
    assert scores.mean_and_rms(np.array([3.0, -4.0])) == (-0.5, pytest.approx(math.sqrt(12.5)))
    assert scores.mean_and_rms(np.array([3.0, math.nan, -4.0])).mean == -0.5
    mean, rms = scores.mean_and_rms(drawn(32, 20000, 2.0))
    assert mean == pytest.approx(2, abs=0.03)
    assert rms == pytest.approx(math.sqrt(5), abs=0.03)
    for nothing in ([], [math.nan]):
        assert all(map(math.isnan, scores.mean_and_rms(np.array(nothing))))


SOME = np.array([1.0, 2.0])


@pytest.mark.parametrize(
    ("call", "word"),
    [
        (lambda: scores.auc(np.array([]), SOME), "positives"),
        (lambda: scores.roc(SOME, np.array([])), "negatives"),
        (lambda: scores.auc_interval(SOME, SOME, positive_groups=["a"]), "1 groups"),
        (lambda: scores.auc_interval(SOME, SOME, negative_groups=[[1, 2]]), "2 groups"),
        (lambda: scores.auc_interval(SOME, SOME, confidence=95.0), "95.0"),
        (lambda: scores.auc_interval(SOME, SOME, draws=0), "0 draws"),
        (lambda: scores.pooled_auc({"a": SOME}, {"b": SOME}), "of a came"),
        (lambda: scores.auc_over_devices({}, {}), "no device"),
        (lambda: scores.auc_over_devices({"a": SOME}, {"a": np.array([])}), "negatives of a"),
        (lambda: scores.tpr_at_fpr(SOME, SOME, 1.5), "1.5"),
        (lambda: scores.tradeoff(40.0, 27.0), "27.0"),
        (lambda: scores.worst_tradeoff(40.0, np.array([])), "no attacker"),
    ],
)
def test_what_makes_no_sense_is_refused_in_one_sentence(call, word):
    with pytest.raises(InputError) as caught:
        call()
    message = str(caught.value)
    assert word in message
    assert ";" in message
    assert "\n" not in message
