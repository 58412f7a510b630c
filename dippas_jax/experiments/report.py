"""What a run says: figures of merit, one record a photo, a picture. Nothing here touches files.

NCC, z and PCE are those of the reference fingerprint at zero shift: the camera's K where it is
known, else the photo's own residual. They describe one attacker, the one the paper tests; others
may still find the camera.
"""

import dataclasses
import hashlib
import io
import math
from collections.abc import Sequence
from typing import Any

import jax
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array, Float, UInt8

from dippas_jax import config as configuration
from dippas_jax.forensics import scores
from dippas_jax.io import records
from dippas_jax.signal import cells, correlation, extractors
from dippas_jax.types import History, Record, Result

_AMPLIFICATION = 8  # of the difference in the picture
_INK, _BLUE, _RED, _GREY = "#1f2430", "#2f6fb0", "#c8452d", "#9aa3ad"


@dataclasses.dataclass(frozen=True)
class PhotoRecord:
    """What is known of one anonymised photo: a file photos/ID.json, an entry of summary.json.

    Figures are nan where they are undefined, and null in JSON.

    Attributes:
      id: The photo's id, safe as a file name.
      device: Its camera's name.
      height: Pixels.
      width: Pixels.
      mode: "aware" or "blind".
      method: "prior" or "sparse".
      reference: The fingerprint looked for: "camera", or "residual" where K is not known.
      seconds: From its beginning to its end, those before a kill included; where several photos
        are inverted at a time, with what the others took meanwhile.
      psnr: Of the photo written, dB.
      ssim: Of the photo written.
      ncc_before: NCC of the reference with the photo as it came; z and PCE likewise.
      z_before: In standard deviations of another camera's.
      pce_before: Signed, at shift zero.
      ncc_after: NCC of the reference with the photo written; z and PCE likewise.
      z_after: In standard deviations of another camera's.
      pce_after: Signed, at shift zero.
      sha256: Of the written photo's pixels, row by row.
      results: A row for each version, the written one first: the settings it came from, psnr, ncc,
        z and pce; "extractors" and "leakage" as in `types.Result`.
      steps: Of the inversion, of all tiles in sum; None for a method without steps.
      best_psnr: Of the best snapshot, dB; of several tiles the lowest.
      fallback: No snapshot passed the threshold, so the best one was written; of one tile at least.
      out_of_time: The run was ended by max_minutes, or that of a tile.
      gamma: γ at the last step, for a fingerprint of standard deviation `state.FINGERPRINT_STD`;
        the mean over tiles.
      gamma_in_unit_of_fingerprint: The same for P in the unit in which it came.
      input_sha256: Of the photo's pixels as it came and, behind them, its fingerprint's values; ""
        where an earlier version of this program did not tell.
    """

    id: str
    device: str
    height: int
    width: int
    mode: str
    method: str
    reference: str
    seconds: float
    psnr: float
    ssim: float
    ncc_before: float
    z_before: float
    pce_before: float
    ncc_after: float
    z_after: float
    pce_after: float
    sha256: str
    results: list[dict[str, Any]]
    steps: int | None = None
    best_psnr: float | None = None
    fallback: bool = False
    out_of_time: bool = False
    gamma: float | None = None
    gamma_in_unit_of_fingerprint: float | None = None
    input_sha256: str = ""


_FIGURES = tuple(field.name for field in dataclasses.fields(PhotoRecord) if field.type is float)


def from_json(values: Any) -> PhotoRecord:
    """A record as it was written: a PSNR of null is infinite, any other figure nan.

    Raises:
      ValueError: It is damaged, or of another version of this program.
    """
    records.require(values, PhotoRecord)
    undefined = {name: math.nan for name in _FIGURES if values[name] is None}
    if "psnr" in undefined:
        undefined["psnr"] = math.inf
    return PhotoRecord(**values | undefined)


def figures(
    pixels: UInt8[ArrayLike, "h w 3"], fingerprint: Float[ArrayLike, "h w"], sigma: float
) -> dict[str, float]:
    """NCC, z-score and PCE at zero shift of one photo with one fingerprint."""
    h, w = np.shape(fingerprint)
    ncc, pce = _scored(extractors.extract(pixels, sigma=sigma), pixels, fingerprint)
    return {
        "ncc": float(ncc),
        "z": float(correlation.z_score(ncc, h, w)),
        "pce": float(pce),
    }


@jax.jit
def _scored(plane: Array, pixels: Array, fingerprint: Array) -> tuple[Array, Array]:
    pattern = correlation.pattern(pixels, fingerprint)
    return correlation.ncc(plane, pattern), correlation.pce(plane, pattern)


def photo(
    record: Record,
    before: UInt8[np.ndarray, "h w 3"],
    fingerprint: Float[np.ndarray, "h w"],
    results: Sequence[Result],
    config: configuration.Config,
    **notes: Any,
) -> PhotoRecord:
    """The record of one photo.

    Args:
      record: The photo's.
      before: The photo as it came.
      fingerprint: What is looked for.
      results: All versions that were made, the written one first.
      config: Of the run.
      **notes: The fields that nothing here can know.
    """
    rows: list[dict[str, Any]] = [
        {
            **result.settings,
            "psnr": result.psnr,
            **figures(result.pixels, fingerprint, config.sigma),
            "extractors": dict(result.z),
            "leakage": dict(result.leakage),
        }
        for result in results
    ]
    written, first = results[0], rows[0]
    found = figures(before, fingerprint, config.sigma)
    around: dict[str, Any] = {f"{key}_before": value for key, value in found.items()}
    around |= {f"{key}_after": first[key] for key in found}
    return PhotoRecord(
        id=record.id,
        device=record.device,
        height=before.shape[0],
        width=before.shape[1],
        mode=config.mode,
        method=config.method,
        psnr=first["psnr"],
        ssim=scores.ssim(before, written.pixels),
        **around,
        sha256=hashlib.sha256(written.pixels.tobytes()).hexdigest(),
        results=rows,
        **notes,
    )


def suffix(result: Result) -> str:
    """What a version's photo has behind its id: ID.B64.L10.tau38.png, ID.psnr41.0.png."""
    settings = result.settings
    if "side" in settings:
        return f".B{settings['side']}.L{settings['average']}.tau{settings['threshold']:g}"
    return f".psnr{settings['target_psnr']:.1f}"


def lines(record: PhotoRecord) -> str:
    """A photo's record for the terminal."""
    steps = f"{record.steps} steps, " if record.steps is not None else ""
    if "tiles" in record.results[0]:
        steps = f"{record.steps} steps in {record.results[0]['tiles']} tiles, "
    psnr = f"PSNR {record.psnr:.2f} dB" if math.isfinite(record.psnr) else "no pixel changed"
    text = [
        f"{record.id}  {record.width}×{record.height} pixels, {steps}{record.seconds:.0f} s",
        f"  {psnr}, SSIM {record.ssim:.4f}",
    ]
    if record.reference != "camera":
        text.append("  no fingerprint of the camera is known, so none was looked for")
    else:
        for label, before, after, places in (
            ("NCC", record.ncc_before, record.ncc_after, 4),
            ("z", record.z_before, record.z_after, 1),
            ("PCE", record.pce_before, record.pce_after, 1),
        ):
            pair = ("none" if math.isnan(v) else f"{v:.{places}f}" for v in (before, after))
            text.append("  {:4s} {:>9s} before {:>9s} after".format(label, *pair))
    rows = sorted(record.results, key=lambda row: _number(row["psnr"]))
    for key, what, signed in (
        ("extractors", "largest |z| of four extractors", False),
        ("leakage", "largest leakage of a fingerprint in a band or texture", True),
    ):
        found = [(_largest(row[key], signed=signed), row["psnr"]) for row in rows if row[key]]
        if found:
            pairs = ", ".join(f"{value:.2f} at {_number(psnr):.1f} dB" for value, psnr in found)
            text.append(f"  {what}: {pairs}")
    if record.out_of_time:
        text.append("  the minutes were over: this is the best result until then")
    if record.fallback:
        text.append(
            f"  no snapshot reached {record.results[0]['threshold']:g} dB: this is the best one, "
            "not an average; more steps, a higher inversion.stop_psnr or lower assembly.thresholds "
            "would give a pool"
        )
    return "\n".join(text)


def _number(value: float | None) -> float:
    """The PSNR of a row, which is null in JSON where it is infinite."""
    return math.inf if value is None else value


def _largest(values: dict[str, float | None], *, signed: bool) -> float:
    """The figure farthest from 0, with its sign if `signed`; nan if none is defined.

    The lowest band is left out: it says little of a fingerprint.
    """
    largest = cells.worst({name: value for name, value in values.items() if value is not None})
    return largest if signed else abs(largest)


def picture(
    before: UInt8[np.ndarray, "h w 3"],
    after: UInt8[np.ndarray, "h w 3"],
    history: History | None,
    record: PhotoRecord,
    config: configuration.Config,
) -> bytes:
    """Before, after, amplified difference and, below, how it came about, as a PNG.

    That is NCC and PSNR along the steps (figure 2 of the paper) or, where there was none, the
    trade-off between PSNR and what is left of the fingerprint; of a photo in tiles, nothing.
    """
    from matplotlib import figure  # a second to import, used once a photo
    from matplotlib.backends import backend_agg

    traded = any(record.results[0][kind] for kind in ("extractors", "leakage"))
    rows: list[Any] = [["before", "after", "change"]]
    if history is not None or traded:
        rows.append(["steps"] * 3)
    height = 7.2 if len(rows) == 2 else 4.0
    sheet = figure.Figure(figsize=(11, height), dpi=110, layout="constrained")
    backend_agg.FigureCanvasAgg(sheet)
    panels = sheet.subplot_mosaic(rows, height_ratios=[1, 0.8][: len(rows)])
    camera = record.reference == "camera"  # the photo's own residual tells no camera
    change = (after.astype(np.float32) - before) * _AMPLIFICATION + 128
    for key, pixels, title in (
        ("before", before, f"before: z {record.z_before:.1f}" if camera else "before"),
        (
            "after",
            after,
            f"after: {f'z {record.z_after:.1f}, ' if camera else ''}{record.psnr:.2f} dB",
        ),
        (
            "change",
            np.clip(change, 0, 255).astype(np.uint8),
            f"difference × {_AMPLIFICATION}, grey is none",
        ),
    ):
        panels[key].imshow(pixels, interpolation="nearest")
        panels[key].set_title(title, fontsize=10, color=_INK)
        panels[key].set_axis_off()
    if history is not None:
        _draw_steps(panels["steps"], history, record, config)
    elif traded:
        _draw_front(panels["steps"], record)
    sheet.suptitle(record.id, fontsize=11, color=_INK)
    buffer = io.BytesIO()
    sheet.savefig(buffer, format="png", metadata={"Software": None})
    return buffer.getvalue()


def _draw_front(axis: Any, record: PhotoRecord) -> None:
    """What is left of the fingerprint over the PSNR, a line for each extractor, or each cell."""
    rows = sorted(record.results, key=lambda row: row["psnr"])
    kind = "extractors" if rows[0]["extractors"] else "leakage"
    for index, name in enumerate(rows[0][kind]):
        colour = (_BLUE, _RED, _INK, _GREY)[index % 4]
        values = [row[kind][name] for row in rows]
        axis.plot([row["psnr"] for row in rows], values, "o-", color=colour, label=name)
    if kind == "extractors":
        title = "extractor"
        axis.axhspan(-2, 2, color=_GREY, alpha=0.25, linewidth=0)
        axis.set_ylabel("z of K (grey band: as other cameras')")
    else:
        title = "band or texture"
        axis.axhline(0, color=_GREY, linewidth=1)
        axis.set_ylabel("leakage of a planted fingerprint")
    axis.axvline(record.psnr, color=_INK, linestyle=":", linewidth=1)
    axis.set_xlabel("PSNR, dB (dotted: the photo that was written)")
    axis.legend(fontsize=8, frameon=False, title=title, title_fontsize=8)
    for edge in ("top", "right"):
        axis.spines[edge].set_visible(False)


def _draw_steps(
    axis: Any, history: History, record: PhotoRecord, config: configuration.Config
) -> None:
    steps = len(history.psnr)
    number = np.arange(steps)
    axis.plot(number, history.ncc, color=_BLUE, linewidth=0.9)
    axis.axhline(record.ncc_before, color=_BLUE, linestyle=":", linewidth=1)
    axis.annotate("NCC of the photo as it came", (0, record.ncc_before), (4, -4), color=_BLUE,
                  textcoords="offset points", va="top", fontsize=8)  # fmt: skip
    if record.reference == "camera":
        spread = 1 / np.sqrt(record.height * record.width)
        axis.axhspan(-2 * spread, 2 * spread, color=_GREY, alpha=0.25, linewidth=0)
        axis.set_xlabel("step (grey band: NCC within two standard deviations of another camera's)")
        axis.set_ylabel("NCC of the snapshot", color=_BLUE)
    else:
        axis.set_xlabel("step")
        axis.set_ylabel("NCC with the photo's own residual; no camera's is known", color=_BLUE)
    axis.set_xlim(0, max(steps - 1, 1))
    right = axis.twinx()
    right.plot(number, history.psnr, color=_RED, linewidth=0.9)
    right.axhline(config.assembly.thresholds[0], color=_RED, linestyle=":", linewidth=1)
    right.set_ylabel("PSNR of the snapshot, dB (dotted: τ)", color=_RED)
    for side in (axis, right):
        side.spines["top"].set_visible(False)
