"""What a run says: figures of merit, one record a photo, a picture. Nothing here touches files.

NCC, z and PCE are those of the reference fingerprint at zero shift: the camera's K where it is
known, else the photo's own residual. They describe one attacker, the one the paper tests; others
may still find the camera.
"""

import io
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Float, UInt8

from dippas_jax import config as configuration
from dippas_jax.forensics import scores
from dippas_jax.prior import anonymize, inversion
from dippas_jax.signal import correlation, image, residual

_AMPLIFICATION = 8  # of the difference in the picture
_INK, _BLUE, _RED, _GREY = "#1f2430", "#2f6fb0", "#c8452d", "#9aa3ad"


def figures(
    pixels: UInt8[ArrayLike, "h w 3"], fingerprint: Float[ArrayLike, "h w"], sigma: float
) -> dict[str, float]:
    """NCC, z-score and PCE at zero shift of one photo with one fingerprint."""
    ncc, pce = _figures(pixels, fingerprint, sigma=sigma)
    h, w = np.shape(fingerprint)
    return {
        "ncc": float(ncc),
        "z": float(correlation.z_score(ncc, h, w)),
        "pce": float(pce),
    }


def _figures_traced(pixels, fingerprint, *, sigma):
    plane = residual.residual(pixels, sigma=sigma)
    pattern = correlation.pattern(pixels, fingerprint)
    surface = correlation.circular_cross_correlation(plane, pattern)
    return correlation.ncc(plane, pattern), correlation.pce(surface)


_figures = jax.jit(_figures_traced, static_argnames="sigma")


class Version(NamedTuple):
    """One way in which a photo was anonymised.

    Attributes:
      pixels: The photo.
      labels: What its row in the record says, beside the figures.
      suffix: What its file has behind the photo's id, where several are written.
    """

    pixels: UInt8[np.ndarray, "h w 3"]
    labels: dict[str, Any]
    suffix: str


def photo(
    name: str,
    device: str,
    before: UInt8[np.ndarray, "h w 3"],
    reference: Float[np.ndarray, "h w"],
    versions: Sequence[Version],
    sigma: float,
) -> dict[str, Any]:
    """The record of one photo, as it stands in summary.json (docs/formats.md); the caller adds
    times and what is special to the method.

    Args:
      name: The photo's id.
      device: Its camera's name.
      before: The photo as it came.
      reference: The fingerprint looked for.
      versions: All that were made, the written one first.
      sigma: Of the extractor, grey levels.
    """
    found = figures(before, reference, sigma)
    rows = [
        {
            **version.labels,
            "psnr": float(image.psnr(version.pixels, before)),
            **figures(version.pixels, reference, sigma),
        }
        for version in versions
    ]
    first = rows[0]
    return {
        "id": name,
        "device": device,
        "height": before.shape[0],
        "width": before.shape[1],
        "psnr": first["psnr"],
        "ssim": scores.ssim(before, versions[0].pixels),
        **{f"{key}_before": value for key, value in found.items()},
        **{f"{key}_after": first[key] for key in found},
        "results": rows,
    }


def prior(
    injected: Float[np.ndarray, "h w"],
    progress: anonymize.Progress,
    results: Sequence[anonymize.Result],
) -> tuple[list[Version], dict[str, Any]]:
    """What an inversion made: all combinations, and what the record says of the run.

    Args:
      injected: P as given, in its own unit.
      progress: Of the finished run.
      results: All combinations, the written one first.
    """
    versions = [
        Version(
            result.pixels,
            {
                **result.choice._asdict(),
                "snapshots": result.snapshots,
                "fallback": result.snapshots == 0,
            },
            suffix(result.choice),
        )
        for result in results
    ]
    steps = int(progress.steps)
    gamma = float(progress.history.gamma[steps - 1])
    return versions, {
        "steps": steps,
        "best_psnr": float(progress.best.psnr),
        "fallback": versions[0].labels["fallback"],
        "gamma": gamma,
        "gamma_in_unit_of_fingerprint": gamma * inversion.FINGERPRINT_STD / float(injected.std()),
    }


def suffix(choice: anonymize.Choice) -> str:
    """What a combination's photo has behind its id: ID.B64.L10.tau38.png."""
    return f".B{choice.side}.L{choice.average}.tau{choice.threshold:g}"


def lines(record: dict[str, Any]) -> str:
    """A photo's record for the terminal."""
    steps = f"{record['steps']} steps, " if "steps" in record else ""
    text = [
        f"{record['id']}  {record['width']}×{record['height']} pixels, {steps}"
        f"{record['seconds']:.0f} s",
        f"  PSNR {record['psnr']:.2f} dB, SSIM {record['ssim']:.4f}",
    ]
    # The photo's own residual tells nothing of a photo that was rebuilt without it.
    if record["reference"] == "camera" or record["method"] == "prior":
        for key, label, places in (("ncc", "NCC", 4), ("z", "z", 1), ("pce", "PCE", 1)):
            pair = (record[f"{key}_before"], record[f"{key}_after"])
            shown = ["none" if value is None else f"{value:.{places}f}" for value in pair]
            text.append(f"  {label:4s} {shown[0]:>9s} before {shown[1]:>9s} after")
    if "left_is" in record:
        versions = sorted(record["results"], key=lambda row: row["psnr"])
        what = {
            "z": "largest |z| of four extractors",
            "share": "largest share of a planted fingerprint that is left",
        }[record["left_is"]]
        pairs = ", ".join(f"{row['worst']:.2f} at {row['psnr']:.1f} dB" for row in versions)
        text.append(f"  {what}: {pairs}")
    if record.get("out_of_time"):
        text.append("  the minutes were over: this is the best result until then")
    if record.get("fallback"):
        text.append(
            f"  no snapshot reached {record['results'][0]['threshold']:g} dB: this is the best "
            "one, not an average; more steps or a lower assembly.thresholds would give a pool"
        )
    return "\n".join(text)


def picture(
    before: UInt8[np.ndarray, "h w 3"],
    after: UInt8[np.ndarray, "h w 3"],
    history: anonymize.History | None,
    record: dict[str, Any],
    config: configuration.Config,
) -> bytes:
    """Before, after, amplified difference and, below, how it came about, as a PNG.

    That is NCC and PSNR along the steps (figure 2 of the paper) or, where there was none, the
    trade-off between PSNR and what is left of the fingerprint.
    """
    from matplotlib import figure  # a second to import, used once a photo
    from matplotlib.backends import backend_agg

    sheet = figure.Figure(figsize=(11, 7.2), dpi=110, layout="constrained")
    backend_agg.FigureCanvasAgg(sheet)
    panels = sheet.subplot_mosaic(
        [["before", "after", "change"], ["steps"] * 3], height_ratios=[1, 0.8]
    )
    change = (after.astype(np.float32) - before) * _AMPLIFICATION + 128
    for key, pixels, title in (
        ("before", before, f"before: z {record['z_before']:.1f}"),
        ("after", after, f"after: z {record['z_after']:.1f}, {record['psnr']:.2f} dB"),
        (
            "change",
            np.clip(change, 0, 255).astype(np.uint8),
            f"difference × {_AMPLIFICATION}, grey is none",
        ),
    ):
        panels[key].imshow(pixels, interpolation="nearest")
        panels[key].set_title(title, fontsize=10, color=_INK)
        panels[key].set_axis_off()
    if history is None:
        _draw_front(panels["steps"], record)
    else:
        _draw_steps(panels["steps"], history, record, config)
    sheet.suptitle(record["id"], fontsize=11, color=_INK)
    buffer = io.BytesIO()
    sheet.savefig(buffer, format="png", metadata={"Software": None})
    return buffer.getvalue()


def _draw_front(axis: Any, record: dict[str, Any]) -> None:
    """What is left of the fingerprint over the PSNR, a line for each extractor."""
    rows = sorted(record["results"], key=lambda row: row["psnr"])
    for index, name in enumerate(rows[0]["left"]):
        colour = (_BLUE, _RED, _INK, _GREY)[index % 4]
        values = [row["left"][name] for row in rows]
        axis.plot([row["psnr"] for row in rows], values, "o-", color=colour, label=name)
    if record["left_is"] == "z":
        axis.axhspan(-2, 2, color=_GREY, alpha=0.25, linewidth=0)
        axis.set_ylabel("z of K (grey band: as other cameras')")
    else:
        axis.axhline(0, color=_GREY, linewidth=1)
        axis.set_ylabel("share of a planted fingerprint's z left")
    axis.axvline(record["psnr"], color=_INK, linestyle=":", linewidth=1)
    axis.set_xlabel("PSNR, dB (dotted: the photo that was written)")
    axis.legend(fontsize=8, frameon=False, title="extractor", title_fontsize=8)
    for edge in ("top", "right"):
        axis.spines[edge].set_visible(False)


def _draw_steps(
    axis: Any, history: anonymize.History, record: dict[str, Any], config: configuration.Config
) -> None:
    steps = record["steps"]
    number = np.arange(steps)
    axis.plot(number, history.ncc[:steps], color=_BLUE, linewidth=0.9)
    axis.axhline(record["ncc_before"], color=_BLUE, linestyle=":", linewidth=1)
    axis.annotate("NCC of the photo as it came", (0, record["ncc_before"]), (4, -4), color=_BLUE,
                  textcoords="offset points", va="top", fontsize=8)  # fmt: skip
    spread = 1 / np.sqrt(record["height"] * record["width"])
    axis.axhspan(-2 * spread, 2 * spread, color=_GREY, alpha=0.25, linewidth=0)
    axis.set_xlabel("step (grey band: NCC within two standard deviations of another camera's)")
    axis.set_ylabel("NCC of the snapshot", color=_BLUE)
    axis.set_xlim(0, max(steps - 1, 1))
    right = axis.twinx()
    right.plot(number, history.psnr[:steps], color=_RED, linewidth=0.9)
    right.axhline(config.assembly.thresholds[0], color=_RED, linestyle=":", linewidth=1)
    right.set_ylabel("PSNR of the snapshot, dB (dotted: τ)", color=_RED)
    for side in (axis, right):
        side.spines["top"].set_visible(False)
