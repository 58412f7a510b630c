"""From rows of scores to the tables of a study: AUC, C and z of every method and attacker.

A row is what one method made of the photos of one camera at one place of the sensor, and what the
attackers found: a dictionary as docs/formats.md describes it. Positives are scores of treated
photos with their own camera's fingerprint, negatives those of untreated photos of other cameras
with that fingerprint (section 4.4 of the paper). A score that is undefined (null: no noise in a
flat crop, a set of one photo) is evidence for nothing, so it is neither.
"""

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np

from dippas_jax.forensics import detector, scores

ORIGINAL = "original"
"""Name of the method that does nothing."""

AGAIN = "@jpeg-"
"""Behind the name of a method: its photos compressed again, at the quality that follows. They are
compared with untreated photos that were compressed alike."""

THREE = ["same-K", "other-K", "edges"]
"""The attackers that are cheap, and that most methods have been published with."""

_NAMES = {("wavelet", "K"): "same-K", ("wavelet", "K'"): "other-K"}


def label(attacker: str, kind: str) -> str:
    """The name of an attacker who holds K (the anonymiser's) or K' (of other photos)."""
    return _NAMES.get((attacker, kind), attacker if kind == "K" else f"{attacker} {kind}")


def untreated(method: str) -> str:
    """The method that did nothing but to compress again what this one did."""
    return ORIGINAL + "".join(method.partition(AGAIN)[1:])


class Scores(NamedTuple):
    """What an attacker gave for a camera's fingerprint.

    Attributes:
      values: float64, nans left out.
      shots: For each the photo it came from; crops of one photo, and sets of the same photos, share
        a name.
    """

    values: np.ndarray
    shots: list[str]


def is_alone(row: dict[str, Any]) -> bool:
    """Whether a row's photos lie where no other camera has any, so that none could be ruled out."""
    return len(row["cameras"]) < 2


def collect(
    rows: Sequence[dict[str, Any]], method: str, attacker: str, kind: str, *, own: bool
) -> dict[str, Scores]:
    """Scores of a method's photos by the camera looked for, where there are any.

    Args:
      rows: Of all methods.
      method: Whose photos.
      attacker: A name in `attackers.ATTACKERS`.
      kind: "K" or "K'".
      own: Of photos that the camera took; else of those that others took.
    """
    values: dict[str, list[float]] = {}
    shots: dict[str, list[str]] = {}
    for row in rows:
        found = row["scores"].get(attacker, {}).get(kind)
        if found is None or row["method"] != method or is_alone(row):
            continue
        columns = np.array(found, np.float64).T
        # Attackers of a whole group give one row for all of its photos.
        single = columns.shape[1] == len(row["shots"])
        names = row["shots"] if single else ["\n".join(row["shots"])]
        for camera, column in zip(row["cameras"], columns, strict=True):
            if (camera == row["device"]) == own:
                known = ~np.isnan(column)
                values.setdefault(camera, []).extend(column[known])
                shots.setdefault(camera, []).extend(np.array(names)[known].tolist())
    return {camera: Scores(np.array(v), shots[camera]) for camera, v in values.items() if v}


def attack(
    rows: Sequence[dict[str, Any]], method: str, attacker: str, kind: str
) -> dict[str, Any] | None:
    """One attacker against one method.

    Args:
      rows: Of all methods; those of the original photos give the negatives.
      method: Whose photos are the positives; behind `AGAIN` both are compressed.
      attacker: A name in `attackers.ATTACKERS`.
      kind: "K" or "K'".

    Returns:
      `auc` (pooled), `auc_low`, `auc_high` (95 %, resampling whole photos), `auc_devices` (the
      paper's average over devices), `eer`, `tpr` (at 1 % of false alarms), `mean_z`, `rms_z` and
      `n` of the positives, `negatives`; None if the attacker was not run, or no camera has both.
    """
    positives = collect(rows, method, attacker, kind, own=True)
    negatives = collect(rows, untreated(method), attacker, kind, own=False)
    cameras = sorted(set(positives) & set(negatives))
    if not cameras:
        return None
    plus, minus = ({c: side[c].values for c in cameras} for side in (positives, negatives))
    every_plus, every_minus = (np.concatenate(list(side.values())) for side in (plus, minus))
    low, high = scores.auc_interval(
        every_plus,
        every_minus,
        positive_groups=[shot for camera in cameras for shot in positives[camera].shots],
        negative_groups=[shot for camera in cameras for shot in negatives[camera].shots],
    )
    mean, rms = scores.mean_and_rms(every_plus)
    return {
        "auc": scores.auc(every_plus, every_minus),
        "auc_low": low,
        "auc_high": high,
        "auc_devices": scores.auc_over_devices(plus, minus),
        "eer": scores.eer(every_plus, every_minus),
        "tpr": scores.tpr_at_fpr(every_plus, every_minus, 0.01),
        "mean_z": mean,
        "rms_z": rms,
        "n": len(every_plus),
        "negatives": len(every_minus),
    }


def detection(rows: Sequence[dict[str, Any]], method: str) -> dict[str, Any] | None:
    """The attacker "detector" against one method: AUC of telling its photos from the originals.

    Each photo is judged by a classifier that was trained without it and its original. None if
    features are missing.
    """
    features: list[Any] = []
    treated: list[bool] = []
    shots: list[str] = []
    for row in rows:
        if row["method"] in (method, untreated(method)) and row.get("features"):
            features += row["features"]
            treated += [row["method"] == method] * len(row["features"])
            shots += row["shots"]
    if method == untreated(method) or not any(treated) or len(set(shots)) < 3:
        return None
    marks, names = np.array(treated), np.array(shots)
    odds = detector.held_out(np.array(features, np.float32), marks, names)
    low, high = scores.auc_interval(
        odds[marks],
        odds[~marks],
        positive_groups=names[marks],
        negative_groups=names[~marks],
    )
    return {
        "auc": scores.auc(odds[marks], odds[~marks]),
        "auc_low": low,
        "auc_high": high,
        "n": int(marks.sum()),
        "negatives": int((~marks).sum()),
    }


def summarise(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """One record a method, in the order of the rows.

    Returns:
      `method`, `photos`, `psnr` (`mean_psnr`), `unchanged` (photos left as they were), `ssim`
      (mean), `seconds` (median: the first photo of a size includes compilation; nan if not known),
      `attacks` (by `label`), `detector`, `c` (equation 12, same-K), `c_three` (the worst over
      `THREE`), `c_worst` and `worst` (over all attackers that look for a camera). The original
      photos have no C: their PSNR is infinite.
    """
    names = list(dict.fromkeys(row["method"] for row in rows))
    attackers = list(dict.fromkeys(name for row in rows for name in row["scores"]))
    return [_summary(rows, name, attackers) for name in names]


def mean_psnr(decibels: Iterable[float | None]) -> float:
    """Mean PSNR over the photos that were changed, dB; infinite if none was.

    One photo that a method leaves as it was has an infinite PSNR (null in a row).
    """
    values = np.array(list(decibels), np.float64)
    changed = values[np.isfinite(values)]
    return float(np.mean(changed)) if changed.size else float("inf")


def _summary(
    rows: Sequence[dict[str, Any]], method: str, attackers: Iterable[str]
) -> dict[str, Any]:
    ours = [row for row in rows if row["method"] == method]

    def every(key: str) -> np.ndarray:
        return np.array([value for row in ours for value in row[key]], np.float64)

    attacks = {}
    for name in attackers:
        for kind in ("K", "K'"):
            if found := attack(rows, method, name, kind):
                attacks[label(name, kind)] = found
    decibels = every("psnr")
    psnr = float("inf") if method == untreated(method) else mean_psnr(decibels)
    summary = {
        "method": method,
        "photos": sum(len(row["photos"]) for row in ours),
        "psnr": psnr,
        "unchanged": int((~np.isfinite(decibels)).sum()),
        "ssim": float(np.mean(every("ssim"))),
        "seconds": float(np.median(every("seconds"))),
        "attacks": attacks,
        "detector": detection(rows, method),
    }
    if attacks and method != untreated(method):
        worst = max(attacks, key=lambda name: abs(attacks[name]["auc"] - 0.5))
        for key, names in (("c", ["same-K"]), ("c_three", THREE), ("c_worst", list(attacks))):
            if set(names) <= set(attacks):
                aucs = np.array([attacks[name]["auc"] for name in names])
                summary[key] = scores.worst_tradeoff(psnr, aucs)
        summary["worst"] = worst
    return summary


# ---------------------------------------------------------------------------------------- markdown


def markdown(summaries: Sequence[dict[str, Any]]) -> str:
    """The tables of a study: quality and C (tables 1 to 3), AUC, z, edges (4) and time (5)."""
    labels = list(dict.fromkeys(name for one in summaries for name in one["attacks"]))
    parts = [
        _table(
            "Quality, and the trade-off C: same-K (the paper), the worst of same-K, other-K and "
            "edges, the worst of all",
            [
                "method",
                "photos",
                "PSNR, dB",
                "SSIM",
                "C, same-K",
                "C, three",
                "C, worst",
                "worst attacker",
            ],
            [
                [
                    one["method"],
                    str(one["photos"]),
                    _number(one["psnr"], 2),
                    _number(one["ssim"], 4),
                    _number(one.get("c"), 1),
                    _number(one.get("c_three"), 1),
                    _number(one.get("c_worst"), 1),
                    one.get("worst", ""),
                ]
                for one in summaries
            ],
        ),
        _table(
            "AUC with its 95 % interval; 0.5 is anonymous",
            ["attacker", *(one["method"] for one in summaries)],
            [[name, *(_auc(one["attacks"].get(name)) for one in summaries)] for name in labels]
            + [["detector", *(_auc(one["detector"]) for one in summaries)]],
        ),
        _table(
            "Mean z / RMS z; an anonymous photo has 0 / 1 (two-sided: 0.8 / 1; bands: 0 / 1.7; "
            "texture: 0 / 1.6; not a z: shifts, 5 / 5 at 512x512, warps, 6 / 6)",
            ["attacker", *(one["method"] for one in summaries)],
            [[name, *(_z(one["attacks"].get(name)) for one in summaries)] for name in labels],
        ),
        _table(
            "AUC on edges, relative to that on the whole photo (table 4)",
            ["method", "K", "K'"],
            [
                [one["method"], *(_on_edges(one["attacks"], kind) for kind in ("K", "K'"))]
                for one in summaries
            ],
        ),
        _table(
            "Seconds a photo, median (table 5); of prior-*, on devices that invert several photos "
            "at a time, with what the others took meanwhile",
            ["method", "seconds"],
            [[one["method"], _number(one["seconds"], 2)] for one in summaries],
        ),
    ]
    return "\n".join(parts)


def _table(title: str, head: list[str], body: list[list[str]]) -> str:
    lines = [f"**{title}**", "", "| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    return "\n".join(lines + ["| " + " | ".join(row) + " |" for row in body]) + "\n"


def _number(value: float | None, places: int) -> str:
    if value is None or np.isnan(value):
        return ""
    return f"{value:.{places}f}" if np.isfinite(value) else "∞"


def _auc(found: dict[str, Any] | None) -> str:
    if found is None:
        return ""
    return f"{found['auc']:.3f} ({found['auc_low']:.2f} to {found['auc_high']:.2f})"


def _z(found: dict[str, Any] | None) -> str:
    return f"{found['mean_z']:.1f} / {found['rms_z']:.1f}" if found else ""


def _on_edges(attacks: dict[str, Any], kind: str) -> str:
    whole, edge = (attacks.get(label(name, kind)) for name in ("wavelet", "edges"))
    if not whole or not edge or not whole["auc"]:
        return ""
    return f"{100 * (edge['auc'] / whole['auc'] - 1):+.1f} %"
