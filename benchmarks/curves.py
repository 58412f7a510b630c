"""PSNR, NCC and γ along the steps of finished runs, without their photos.

    python -m benchmarks.curves RUN [RUN ...] -o docs/plain.png

RUN is the work folder of `dippas_jax.main`. Prints a line every 25 steps and draws the curves of
each run's first photo.
"""

import argparse
import json
from pathlib import Path

from matplotlib import figure
from matplotlib.backends import backend_agg


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.curves", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN")
    parser.add_argument("-o", "--output", type=Path, required=True, help="picture, PNG")
    options = parser.parse_args()
    sheet = figure.Figure(figsize=(11, 3.2), dpi=110, layout="constrained")
    backend_agg.FigureCanvasAgg(sheet)
    panels = sheet.subplots(1, 3)
    for run in options.runs:
        record = json.loads((run / "summary.json").read_text())["photos"][0]
        history = json.loads((run / "photos" / f"{record['id']}.history.json").read_text())
        size = f"{record['width']}×{record['height']}"
        print(
            f"{record['id']} {size}: {record['steps']} steps, {record['seconds']:.0f} s, "
            f"z {record['z_before']:.1f} before, {record['z_after']:.1f} after at "
            f"{record['psnr']:.2f} dB, γ {record['gamma_in_unit_of_fingerprint']:.4f} in the "
            "fingerprint's unit"
        )
        unit = record["gamma_in_unit_of_fingerprint"] / record["gamma"] if record["gamma"] else 0
        z = [ncc * (record["width"] * record["height"]) ** 0.5 for ncc in history["ncc"]]
        gamma = [value * unit for value in history["gamma"]]
        for panel, values in zip(panels, (history["psnr"], z, gamma), strict=True):
            panel.plot(values, linewidth=1, label=f"{size}, z before {record['z_before']:.1f}")
        steps = len(z)
        for step in sorted({*range(24, steps, 25), steps - 1}):
            psnr, ncc = history["psnr"][step], history["ncc"][step]
            print(f"  step {step + 1:5d}  PSNR {psnr:6.2f}  NCC {ncc:8.4f}  γ {gamma[step]:.4f}")
    for panel, title in zip(
        panels, ("PSNR, dB", "z of the snapshot", "γ in the unit of the fingerprint"), strict=True
    ):
        panel.set_title(title, fontsize=10)
        panel.set_xlabel("step")
        panel.spines[["top", "right"]].set_visible(False)
    panels[1].axhspan(-2, 2, color="#9aa3ad", alpha=0.25, linewidth=0)
    panels[1].legend(fontsize=8, frameon=False)
    sheet.savefig(options.output, metadata={"Software": None})


if __name__ == "__main__":
    main()
