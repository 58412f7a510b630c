"""How well scores tell one camera's photos from those of others.

A score is any number that grows with the evidence for the camera, such as an NCC or a z-score.
Positives `p` are scores of its own photos, anonymised or not, and negatives `q` those of photos
that other cameras took. A camera is "found" where the score is at least a threshold. Everything is
NumPy in float64.

A nan says nothing, so no threshold finds the camera there before it finds it everywhere: a nan is
the lowest score, as minus infinity is. Whoever knows what nothing looks like on the scale of the
score (a z-score of 0) puts that in its place beforehand.

Ties count one half: the area under the ROC is the probability that a positive is above a negative,
plus half of that of a tie (Mann and Whitney, 1947).
"""

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Float, Num, Shaped, UInt8

from dippas_jax.types import InputError

Groups = Any  # labels, one a score: a sequence or an array of str or int


class Roc(NamedTuple):
    """Rates at every threshold, from "found nowhere" to "found everywhere".

    Attributes:
      fpr: Negatives found, in [0, 1], ascending.
      tpr: Positives found, in [0, 1], ascending.
      thresholds: Least score that counts as found, descending. The first is infinite and finds
        nothing; the last finds everything, nans too.
    """

    fpr: Float[np.ndarray, " t"]
    tpr: Float[np.ndarray, " t"]
    thresholds: Float[np.ndarray, " t"]


class Interval(NamedTuple):
    """Where a figure lies, with some confidence."""

    low: float
    high: float


class Spread(NamedTuple):
    """Mean and root of the mean square of z-scores: 0 and 1 where nothing is left of the camera."""

    mean: float
    rms: float


def roc(positives: Num[ArrayLike, " p"], negatives: Num[ArrayLike, " q"]) -> Roc:
    """The receiver operating characteristic: one point a distinct score.

    Raises:
      InputError: There are no positives, or no negatives.
    """
    own, other = _scores(positives, "positives"), _scores(negatives, "negatives")
    thresholds = np.unique(np.concatenate([own, other]))[::-1]
    return Roc(
        np.concatenate([[0.0], _found(other, thresholds)]),
        np.concatenate([[0.0], _found(own, thresholds)]),
        np.concatenate([[math.inf], thresholds]),
    )


def auc(positives: Num[ArrayLike, " p"], negatives: Num[ArrayLike, " q"]) -> float:
    """Area under the ROC: 1/2 where the scores say nothing, 1 where every positive is above.

    Raises:
      InputError: There are no positives, or no negatives.
    """
    own, other = _scores(positives, "positives"), np.sort(_scores(negatives, "negatives"))
    # Below plus not above: a tie is in the second only, and so counts half of a win.
    wins_twice = sum(np.searchsorted(other, own, side).sum() for side in ("left", "right"))
    return float(wins_twice / (2 * own.size * other.size))


def auc_interval(
    positives: Num[ArrayLike, " p"],
    negatives: Num[ArrayLike, " q"],
    *,
    positive_groups: Groups | None = None,
    negative_groups: Groups | None = None,
    confidence: float = 0.95,
    draws: int = 2000,
    seed: int = 0,
) -> Interval:
    """Where the AUC lies: percentiles of a bootstrap (Efron, 1979) that draws groups of scores.

    Crops of one photo share its scene, so they are no independent evidence: give every score the
    name of its photo, and whole photos are drawn. Positives and negatives are drawn independently.
    With few groups the interval is too narrow, as all of this kind are; where every positive is
    above every negative it is a point, which says only that no draw can show otherwise.

    Args:
      positives: Scores of the camera's photos.
      negatives: Scores of others' photos.
      positive_groups: For every positive the label of its group; None if each is one by itself.
      negative_groups: The same of the negatives.
      confidence: Share of the draws that the interval holds, in (0, 1).
      draws: Number of draws.
      seed: Addresses the draws.

    Raises:
      InputError: No positives or negatives, labels of another number, or a confidence outside.
    """
    if not 0 < confidence < 1:
        raise InputError(f"a confidence of {confidence} is not in (0, 1); choose 0.95, say")
    if draws < 1:
        raise InputError(f"{draws} draws make no interval; choose 1000 or more")
    own, other = _scores(positives, "positives"), _scores(negatives, "negatives")
    # The AUC of a draw is a sum over pairs of groups, so pairs of scores are compared only once.
    wins = (own[:, None] > other) + 0.5 * (own[:, None] == other)
    rows = _group_numbers(positive_groups, own.size, "positives")
    columns = _group_numbers(negative_groups, other.size, "negatives")
    wins = _sum_groups(_sum_groups(wins, rows).T, columns).T
    random = np.random.default_rng(seed)
    own_drawn, other_drawn = (_draw(random, group, draws) for group in (rows, columns))
    pairs = (own_drawn @ np.bincount(rows)) * (other_drawn @ np.bincount(columns))
    areas = np.sum((own_drawn @ wins) * other_drawn, axis=1) / pairs
    tail = (1 - confidence) / 2
    return Interval(*map(float, np.quantile(areas, [tail, 1 - tail])))


def pooled_auc(
    positives: Mapping[str, Num[ArrayLike, " _"]], negatives: Mapping[str, Num[ArrayLike, " _"]]
) -> float:
    """`auc` over the scores of all devices together: every score weighs the same.

    Args:
      positives: For each device the scores of its own photos.
      negatives: For each device the scores of others' photos with its fingerprint.

    Raises:
      InputError: The devices differ, or there are none, or one has no scores.
    """
    own, other = _devices(positives, negatives)
    return auc(np.concatenate(own), np.concatenate(other))


def auc_over_devices(
    positives: Mapping[str, Num[ArrayLike, " _"]], negatives: Mapping[str, Num[ArrayLike, " _"]]
) -> float:
    """The area that the paper's tables hold: every device weighs the same.

    The rates of each device are taken at the union of all thresholds and averaged over the devices;
    the area is that under the averaged curve. One threshold serves all devices, so this is
    `pooled_auc` where all have as many scores, and not the mean of their AUCs.

    Args:
      positives: For each device the scores of its own photos.
      negatives: For each device the scores of others' photos with its fingerprint.

    Raises:
      InputError: The devices differ, or there are none, or one has no scores.
    """
    own, other = _devices(positives, negatives)
    thresholds = np.unique(np.concatenate(own + other))[::-1]
    tpr, fpr = (np.mean([_found(x, thresholds) for x in scores], axis=0) for scores in (own, other))
    return float(np.trapezoid(np.concatenate([[0.0], tpr]), np.concatenate([[0.0], fpr])))


def eer(positives: Num[ArrayLike, " p"], negatives: Num[ArrayLike, " q"]) -> float:
    """The equal error rate, where as many negatives are found as positives are missed.

    In [0, 1], about 1/2 where the scores say nothing. Linear between the points of the ROC.

    Raises:
      InputError: There are no positives, or no negatives.
    """
    curve = roc(positives, negatives)
    # Of two neighbouring points one rate at least grows, so the excess ascends strictly.
    excess = curve.fpr - (1 - curve.tpr)
    return float(np.interp(0.0, excess, curve.fpr))


def tpr_at_fpr(
    positives: Num[ArrayLike, " p"], negatives: Num[ArrayLike, " q"], fpr: float
) -> float:
    """The largest share of positives found by a threshold that finds at most `fpr` of negatives.

    Not interpolated: a threshold that reaches it exists. Below 1 / number of negatives, `fpr`
    stands for "no negative at all".

    Raises:
      InputError: There are no positives, or no negatives, or `fpr` is outside [0, 1].
    """
    if not 0 <= fpr <= 1:
        raise InputError(f"a false positive rate of {fpr} is not in [0, 1]; choose 0.01, say")
    curve = roc(positives, negatives)
    return float(curve.tpr[curve.fpr <= fpr].max())


def tradeoff(psnr: float, auc: float) -> float:
    """C = PSNR·(1 - 2·|AUC - 1/2|), equation 12 of the paper: quality that anonymity lets count.

    Args:
      psnr: Mean PSNR of the anonymised photos, dB.
      auc: Of the attacker, in [0, 1]; both ends mean that the camera is known.

    Returns:
      dB, 0 to `psnr`; nan where the PSNR is infinite: photos left as they were trade nothing.
    """
    return worst_tradeoff(psnr, np.array([auc]))


def worst_tradeoff(psnr: float, aucs: Num[ArrayLike, " m"]) -> float:
    """C_worst: `tradeoff` with the attacker whose AUC is the furthest from one half.

    Args:
      psnr: Mean PSNR of the anonymised photos, dB.
      aucs: Of each attacker of the panel, in [0, 1].

    Returns:
      dB, 0 to `psnr`; nan where an AUC is nan, or the PSNR is not finite.

    Raises:
      InputError: There is no AUC, or one is outside [0, 1].
    """
    values = np.asarray(aucs, np.float64)
    if not values.size:
        raise InputError("no attacker's AUC came for a worst case; give at least one")
    outside = values[(values < 0) | (values > 1)]
    if outside.size:
        raise InputError(f"an AUC of {outside[0]} is not in [0, 1]; give areas, not scores")
    if not math.isfinite(psnr):
        return math.nan
    return psnr * float(1 - 2 * np.max(np.abs(values - 0.5)))


def mean_and_rms(z: Num[ArrayLike, " p"]) -> Spread:
    """Mean and root mean square of z-scores, nans left out; nan where nothing is left.

    Of anonymous photos they are 0 and 1. A mean near 0 with an RMS well above 1 is a fingerprint
    that shows with either sign, and an RMS below 1 is one that was fitted away photo by photo.
    """
    values = np.asarray(z, np.float64)
    values = values[~np.isnan(values)]
    if not values.size:
        return Spread(math.nan, math.nan)
    return Spread(float(np.mean(values)), float(np.sqrt(np.mean(np.square(values)))))


def _scores(values: ArrayLike, what: str) -> Float[np.ndarray, " n"]:
    """Scores in float64 with minus infinity for nan; there has to be one."""
    scores = np.array(values, np.float64)
    if not scores.size:
        raise InputError(f"no {what} came, of which there must be one; add photos or devices")
    scores[np.isnan(scores)] = -math.inf
    return scores


def _found(scores: np.ndarray, thresholds: np.ndarray) -> np.ndarray:
    """Share of the scores at or above each threshold."""
    below = np.searchsorted(np.sort(scores), thresholds, "left")
    return (scores.size - below) / scores.size


def _group_numbers(groups: Groups | None, count: int, what: str) -> Shaped[np.ndarray, " n"]:
    """A number for every score, from 0 on without gaps, the same within a group."""
    if groups is None:
        return np.arange(count)
    labels = np.asarray(groups)
    if labels.shape != (count,):
        raise InputError(f"{labels.size} groups came for {count} {what}; give every score its own")
    return np.unique(labels, return_inverse=True)[1]


def _sum_groups(values: np.ndarray, groups: np.ndarray) -> np.ndarray:
    """Sums over the rows of each group."""
    order = np.argsort(groups, kind="stable")
    starts = np.searchsorted(groups[order], np.arange(groups.max() + 1))
    return np.add.reduceat(values[order], starts, axis=0)


def _draw(random: np.random.Generator, groups: np.ndarray, draws: int) -> np.ndarray:
    """How often each group is drawn, [draws groups], as many as there are, with replacement."""
    count = int(groups.max()) + 1
    chosen = random.integers(count, size=(draws, count)) + count * np.arange(draws)[:, None]
    times = np.bincount(chosen.ravel(), minlength=draws * count)
    return times.reshape(draws, count).astype(np.float64)


def _devices(
    positives: Mapping[str, Any], negatives: Mapping[str, Any]
) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Scores of the devices in order of name; both sides must hold the same ones."""
    if not positives or set(positives) != set(negatives):
        raise InputError(
            f"positives of {', '.join(sorted(positives)) or 'no device'} came with negatives of "
            f"{', '.join(sorted(negatives)) or 'none'}; give both for every device"
        )
    names = sorted(positives)
    return (
        [_scores(positives[name], f"positives of {name}") for name in names],
        [_scores(negatives[name], f"negatives of {name}") for name in names],
    )


def ssim(a: UInt8[np.ndarray, "h w 3"], b: UInt8[np.ndarray, "h w 3"]) -> float:
    """Structural similarity, mean over the channels, data range 255 (scikit-image)."""
    from skimage import metrics  # half a second to import, used once a photo

    return float(metrics.structural_similarity(a, b, channel_axis=-1, data_range=255))
