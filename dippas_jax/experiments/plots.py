"""Figures of a study in the paper's form, as PNG files in memory.

A grid is a list of records with `side` (B), `average` (L), `threshold` (τ), `psnr`, `auc` and `c`;
points are other methods as (name, PSNR in dB, AUC). What is not finite is not drawn. The PSNR axis
shows the grid and what lies near it: of a method far from it, at 64 dB say, the legend tells.
"""

import io
import math
from collections.abc import Sequence
from typing import Any

_COLOURS = ("#2f6fb0", "#c8452d", "#3d8f5f", "#8b5fa8", "#b8862b", "#4a9ca6", "#a8476f")
_GREY = "#7a7f87"
_MARKERS = "osD^vPX*<>hp"
_NEAR = 6.0  # dB around the grid that are shown

Point = tuple[str, float, float]


def grid(records: Sequence[dict[str, Any]], points: Sequence[Point]) -> bytes:
    """PSNR (above) and AUC (below) over B, a column for each τ, a line for each L.

    Figures 6 to 8 and 11 to 13 of the paper; broken grey lines are the other methods.
    """
    thresholds = sorted({record["threshold"] for record in records})
    averages = sorted({record["average"] for record in records})
    sides = sorted({record["side"] for record in records})
    sheet = _sheet(3.1 * len(thresholds) + 1.6, 5.6)
    axes = sheet.subplots(2, len(thresholds), sharex=True, sharey="row", squeeze=False)
    for column, threshold in enumerate(thresholds):
        for line, average in enumerate(averages):
            chosen = sorted(
                (r for r in records if (r["threshold"], r["average"]) == (threshold, average)),
                key=lambda record: record["side"],
            )
            for row, key in enumerate(("psnr", "auc")):
                axes[row][column].plot(
                    [sides.index(record["side"]) for record in chosen],
                    [record[key] for record in chosen],
                    color=_COLOURS[line % len(_COLOURS)],
                    marker="o",
                    markersize=4,
                    linewidth=1.2,
                    label=f"L = {average}",
                )
        for index, (name, psnr, auc) in enumerate(points):
            for row, value in enumerate((psnr, auc)):
                axes[row][column].axhline(
                    value if math.isfinite(value) else math.nan,
                    color=_GREY,
                    linestyle=(0, (1 + index, 1.5)),
                    linewidth=1,
                    label=_label(name, psnr, auc),
                )
        axes[0][column].set_title(f"τ = {threshold:g} dB", fontsize=10)
        axes[1][column].axhline(0.5, color="#1f2430", linewidth=0.6)
        axes[1][column].set_xticks(range(len(sides)), [f"{side}" for side in sides])
        axes[1][column].set_xlabel("block side B, pixels")
    axes[0][0].set_ylabel("PSNR, dB")
    axes[1][0].set_ylabel("AUC (0.5 is anonymous)")
    axes[0][0].set_ylim(*_shown(records, points))
    axes[0][-1].legend(fontsize=7, loc="center left", bbox_to_anchor=(1.02, 0.5), frameon=False)
    return _png(sheet)


def trade(records: Sequence[dict[str, Any]], points: Sequence[Point], *, best: int = 3) -> bytes:
    """AUC against PSNR: the best combinations of B and L along τ, and other methods (figure 10).

    Args:
      records: The grid.
      points: Other methods.
      best: How many combinations: those of the highest C at any τ.
    """
    sheet = _sheet(8.2, 4.6)
    axis = sheet.subplots()
    order = sorted(records, key=lambda record: -record["c"] if math.isfinite(record["c"]) else 0)
    chosen = list(dict.fromkeys((record["side"], record["average"]) for record in order))[:best]
    for index, (side, average) in enumerate(chosen):
        line = sorted(
            (r for r in records if (r["side"], r["average"]) == (side, average)),
            key=lambda record: record["threshold"],
        )
        axis.plot(
            [record["psnr"] for record in line],
            [record["auc"] for record in line],
            color=_COLOURS[index % len(_COLOURS)],
            marker="o",
            markersize=4,
            label=f"DIPPAS, B = {side}, L = {average}",
        )
        for record in line:
            axis.annotate(
                f"τ {record['threshold']:g}",
                (record["psnr"], record["auc"]),
                (3, 4),
                textcoords="offset points",
                fontsize=7,
                color=_COLOURS[index % len(_COLOURS)],
            )
    for index, (name, psnr, auc) in enumerate(points):
        axis.plot(
            [psnr],
            [auc],
            _MARKERS[index % len(_MARKERS)],
            color="#1f2430",
            label=_label(name, psnr, auc),
        )
    axis.axhline(0.5, color="#1f2430", linewidth=0.6)
    axis.set_xlabel("mean PSNR, dB")
    axis.set_ylabel("AUC with the same K (0.5 is anonymous)")
    axis.set_xlim(*_shown(records, points))
    axis.legend(fontsize=7, loc="center left", bbox_to_anchor=(1.02, 0.5), frameon=False)
    return _png(sheet)


def front(points: Sequence[Point]) -> bytes:
    """PSNR against the worst z: what a method costs, and how well its worst attacker still does.

    Args:
      points: Name, mean PSNR in dB, largest root-mean-square z of a panel of attackers.
    """
    known = [point for point in points if math.isfinite(point[1]) and math.isfinite(point[2])]
    sheet = _sheet(8.6, 4.8)
    axis = sheet.subplots()
    for index, (name, psnr, worst) in enumerate(sorted(known, key=lambda point: point[2])):
        axis.plot(
            [psnr],
            [worst],
            _MARKERS[index % len(_MARKERS)],
            color=_COLOURS[index % len(_COLOURS)],
            label=f"{name}: {psnr:.1f} dB, {worst:.1f}",
        )
    axis.axhline(1, color="#1f2430", linewidth=0.6)
    axis.set_xlabel("mean PSNR, dB")
    axis.set_ylabel("largest RMS z of the panel (1: as another camera's photos)")
    axis.legend(fontsize=7, loc="center left", bbox_to_anchor=(1.02, 0.5), frameon=False)
    return _png(sheet)


def _label(name: str, psnr: float, auc: float) -> str:
    return f"{name}: {psnr:.1f} dB, {auc:.2f}"


def _shown(records: Sequence[dict[str, Any]], points: Sequence[Point]) -> tuple[float, float]:
    """The range of PSNR that is drawn: the grid's, and that of the methods near it."""
    known = [record["psnr"] for record in records if math.isfinite(record["psnr"])]
    low, high = min(known, default=0), max(known, default=1)
    near = [psnr for _, psnr, _ in points if low - _NEAR <= psnr <= high + _NEAR]
    return min([low, *near]) - 0.5, max([high, *near]) + 0.5


def _sheet(width: float, height: float) -> Any:
    from matplotlib import figure  # a second to import
    from matplotlib.backends import backend_agg

    sheet = figure.Figure(figsize=(width, height), dpi=120, layout="constrained")
    backend_agg.FigureCanvasAgg(sheet)
    return sheet


def _png(sheet: Any) -> bytes:
    for axis in sheet.axes:
        for side in ("top", "right"):
            axis.spines[side].set_visible(False)
    buffer = io.BytesIO()
    sheet.savefig(buffer, format="png", metadata={"Software": None})
    return buffer.getvalue()
