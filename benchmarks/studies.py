"""Several studies of the same photos as one table, and one figure of PSNR against the worst z.

    python -m benchmarks.studies RUN [RUN ...] [--plot docs/methods.png]

RUN is the work folder of a study (`configs/studies`). What one has of a method and an attacker adds
to what the others have; the tables are those of all rows together, so that C, worst, is over all
attackers that were asked of a method.
"""

import argparse
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from dippas_jax.experiments import plots, study
from dippas_jax.forensics import tables

Row = dict[str, Any]

_SEARCHED = ("pieces", "warps")
_HEAD = (
    "method", "PSNR, dB", "SSIM", "C, same-K", "C, worst", "largest RMS z", "AUC, same-K",
    "AUC, set", "AUC, learned", "pieces, K and K'", "warps, K and K'", "detector", "s a crop",
)  # fmt: skip


def merged(runs: Sequence[Path]) -> list[Row]:
    """The rows of all runs; those of one method and group of photos become one row.

    Raises:
      SystemExit: Two runs have other photos in a group.
    """
    found: dict[tuple[str, str], Row] = {}
    for run in runs:
        for path in sorted(run.glob("rows/*/*.json")):
            row = json.loads(path.read_text())
            known = found.setdefault((row["method"], row["group"]), row)
            if known["photos"] != row["photos"]:
                raise SystemExit(f"{path} has other photos than an earlier run")
            known["scores"] = row["scores"] | known["scores"]
            known["features"] = known.get("features") or row.get("features")
    return list(found.values())


def line(summary: Mapping[str, Any]) -> str:
    """A method's row of the table."""
    attacks = summary["attacks"]
    columns = [
        f"`{summary['method']}`",
        _text(summary["psnr"], 2),
        _text(summary["ssim"], 3),
        _text(summary.get("c"), 1),
        f"{summary['c_worst']:.1f} ({summary['worst']})" if "c_worst" in summary else "",
        _largest(attacks),
        *(_interval(attacks.get(name)) for name in ("same-K", "set", "learned")),
        *(_both(attacks, name) for name in _SEARCHED),
        _text((summary["detector"] or {}).get("auc"), 2),
        _text(summary["seconds"], 2),
    ]
    return f"| {' | '.join(columns)} |"


def _largest(attacks: Mapping[str, Any]) -> str:
    """Of the attackers whose scores are a single z, in units of what chance gives."""
    worst, name = study.worst_z(attacks)
    return f"{worst:.1f} ({name})"


def _interval(found: Mapping[str, float] | None) -> str:
    return (
        f"{found['auc']:.2f} ({found['auc_low']:.2f} to {found['auc_high']:.2f})" if found else ""
    )


def _both(attacks: Mapping[str, Any], name: str) -> str:
    kinds = [attacks[label]["auc"] for label in (name, f"{name} K'") if label in attacks]
    return ", ".join(f"{auc:.2f}" for auc in kinds)


def _text(value: float | None, places: int) -> str:
    return f"{value:.{places}f}" if value is not None and math.isfinite(value) else ""


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.studies", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN")
    parser.add_argument("--plot", type=Path, metavar="FILE", help="PNG of PSNR and worst z")
    options = parser.parse_args()
    summaries = tables.summarise(merged(options.runs))
    summaries.sort(key=lambda one: -one.get("c_worst", -1.0))  # what is untreated has none
    print(f"| {' | '.join(_HEAD)} |\n|{'---|' * len(_HEAD)}")
    for summary in summaries:
        print(line(summary))
    if options.plot:
        points = [
            (one["method"], one["psnr"], study.worst_z(one["attacks"])[0])
            for one in summaries
            if "c_worst" in one
        ]
        options.plot.write_bytes(plots.front(points))


if __name__ == "__main__":
    main()
