"""Charts: what is drawn, read back from the figure, and that it is a PNG."""

import math

import numpy as np
import pytest

from dippas_jax.experiments import plots

POINTS = [("subtraction", 64.0, 0.4), ("denoising", 44.0, 0.7)]
NAMED = ["subtraction: 64.0 dB, 0.40", "denoising: 44.0 dB, 0.70"]


def records(thresholds=(35.0, 38.0), averages=(1, 10), sides=(128, 32, 64)):
    """A grid whose PSNR, AUC and C tell B, L and τ apart."""
    return [
        {
            "side": side,
            "average": average,
            "threshold": threshold,
            "psnr": threshold + average / 10 + side / 1000,
            "auc": 0.5 + side / 1000 + average / 100 + threshold / 1000,
            "c": side + average / 10,
        }
        for side in sides
        for average in averages
        for threshold in thresholds
    ]


@pytest.fixture
def sheets(monkeypatch):
    """The figures that were made."""
    made = []
    sheet = plots._sheet
    monkeypatch.setattr(plots, "_sheet", lambda *size: made.append(sheet(*size)) or made[-1])
    return made


def lines(axis):
    """Label -> (x, y), of the lines that have one."""
    return {
        line.get_label(): (list(line.get_xdata()), list(line.get_ydata()))
        for line in axis.lines
        if not line.get_label().startswith("_")
    }


@pytest.mark.parametrize("thresholds", [(35.0, 38.0), (38.0,)])
def test_the_grid_has_a_column_for_each_threshold_and_a_line_for_each_average(sheets, thresholds):
    grid = records(thresholds)
    assert plots.grid(grid, POINTS).startswith(b"\x89PNG\r\n\x1a\n")
    axes = sheets[0].axes
    assert len(axes) == 2 * len(thresholds)
    for row, key in enumerate(("psnr", "auc")):
        for column, threshold in enumerate(thresholds):
            axis = axes[row * len(thresholds) + column]
            drawn = lines(axis)
            assert list(drawn) == ["L = 1", "L = 10", *NAMED]
            for average in (1, 10):
                expected = {
                    r["side"]: r[key]
                    for r in grid
                    if (r["average"], r["threshold"]) == (average, threshold)
                }
                x, y = drawn[f"L = {average}"]
                assert x == [0, 1, 2]
                assert y == [expected[side] for side in (32, 64, 128)]
            for name, (_, *values) in zip(NAMED, POINTS, strict=True):
                assert set(drawn[name][1]) == {values[row]}
    labels = [text.get_text() for text in axes[len(thresholds)].get_xticklabels()]
    assert labels == ["32", "64", "128"]
    assert [a.get_title() for a in axes[: len(thresholds)]] == [f"τ = {t:g} dB" for t in thresholds]


def test_other_methods_are_told_apart_by_more_than_a_name(sheets):
    plots.grid(records(), [(f"method {i}", 40.0 + i, 0.5) for i in range(9)])
    named = [line for line in sheets[0].axes[0].lines if line.get_label().startswith("method")]
    looks = {(str(line._dash_pattern), line.get_linewidth(), line.get_color()) for line in named}
    assert len(looks) == 9
    assert max(line.get_linewidth() for line in named) < 2


@pytest.mark.parametrize("chart", [plots.grid, plots.trade])
def test_what_is_not_finite_is_left_out_of_a_figure(chart, sheets):
    grid = records()
    grid[0] |= {"auc": math.nan, "c": math.nan}
    grid[1] |= {"psnr": math.inf, "c": math.nan}
    png = chart(grid, [*POINTS, ("nothing", math.inf, math.nan)])
    assert png.startswith(b"\x89PNG")
    for axis in sheets[0].axes:
        assert np.isfinite([*axis.get_xlim(), *axis.get_ylim()]).all()


def test_the_trade_has_the_combinations_of_highest_c_along_the_threshold(sheets):
    grid = records()
    grid[-1]["c"] = math.nan
    png = plots.trade(grid, POINTS, best=2)
    assert png.startswith(b"\x89PNG")
    drawn = lines(sheets[0].axes[0])
    assert list(drawn) == [
        "DIPPAS, B = 128, L = 10", "DIPPAS, B = 128, L = 1", *NAMED,
    ]  # fmt: skip
    chosen = [r for r in grid if (r["side"], r["average"]) == (128, 10)]
    assert drawn["DIPPAS, B = 128, L = 10"] == (
        [r["psnr"] for r in chosen],
        [r["auc"] for r in chosen],
    )
    assert drawn[NAMED[0]] == ([64.0], [0.4])


@pytest.mark.parametrize("chart", [plots.grid, plots.trade])
def test_a_method_far_away_does_not_flatten_the_grid(chart, sheets):
    grid = records()
    chart(grid, POINTS)
    axis = sheets[0].axes[0]
    low, high = axis.get_ylim() if chart is plots.grid else axis.get_xlim()
    assert low < min(r["psnr"] for r in grid) < 44 < high < 50


def test_the_trade_can_show_every_combination(sheets):
    plots.trade(records(averages=range(1, 6)), [], best=15)
    assert len(lines(sheets[0].axes[0])) == 15


def test_the_same_records_give_the_same_bytes():
    assert plots.grid(records(), POINTS) == plots.grid(records(), POINTS)


def test_the_front_has_a_point_for_each_method_that_has_both_figures(sheets):
    points = [*POINTS, ("published", math.nan, 2.0), ("nothing", 50.0, math.nan)]
    data = plots.front(points)
    assert data.startswith(b"\x89PNG")
    (axis,) = sheets[0].axes
    assert lines(axis) == {
        "subtraction: 64.0 dB, 0.4": ([64.0], [0.4]),
        "denoising: 44.0 dB, 0.7": ([44.0], [0.7]),
    }
