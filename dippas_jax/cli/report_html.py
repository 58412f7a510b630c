"""The report of `dippas anonymize`: one HTML page that needs nothing but itself.

Figures and words stand there without JavaScript; with it, before and after are laid over each other
with a slider, pixel by pixel. Nothing here touches files.
"""

import base64
import io
import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import jinja2
import numpy as np
from jaxtyping import UInt8
from PIL import Image

from dippas_jax.forensics import attackers

AMPLIFICATION = 8
"""Of the difference that is shown, about mid grey."""

LIMIT = 3.0
"""|z| from which an attacker of one figure finds the camera."""

MOST = 4  # parts shown of a photo
_BAR = 12.0  # z at which a bar is full


class Panel(NamedTuple):
    """A part of a photo at 1:1.

    Attributes:
      title: Why it is shown.
      top: Its first row in the photo as shown.
      left: Its first column.
      width: Pixels.
      height: Pixels.
      before: PNG of the original's part.
      after: PNG of the same part of the result.
      change: PNG of the amplified difference.
    """

    title: str
    top: int
    left: int
    width: int
    height: int
    before: bytes
    after: bytes
    change: bytes


def panels(
    before: UInt8[np.ndarray, "h w 3"],
    after: UInt8[np.ndarray, "h w 3"],
    *,
    side: int = 448,
) -> list[Panel]:
    """Parts worth a look: where there is most detail, least, most light and least.

    Args:
      before: The original, upright.
      after: The result.
      side: Of a part, pixels; a photo that is not larger is shown whole.
    """
    height, width = before.shape[:2]
    rows, columns = min(side, height), min(side, width)
    if height <= side and width <= side:
        return [_panel("the whole photo", 0, 0, before, after)]
    tops = range(0, height - rows + 1, max(rows // 2, 1))
    lefts = range(0, width - columns + 1, max(columns // 2, 1))
    places = [(top, left) for top in tops for left in lefts]
    light, detail = [], []
    for top, left in places:
        part = before[top : top + rows : 2, left : left + columns : 2].astype(np.float32).mean(2)
        light.append(float(part.mean()))
        detail.append(float(np.abs(np.diff(part, axis=0)).mean()))
    wanted = (
        ("most detail", -np.array(detail)),
        ("smoothest", np.array(detail)),
        ("brightest", -np.array(light)),
        ("darkest", np.array(light)),
    )
    found: list[Panel] = []
    for title, order in wanted[:MOST]:
        for index in np.argsort(order, kind="stable"):
            top, left = places[index]
            if all(abs(top - p.top) >= rows or abs(left - p.left) >= columns for p in found):
                part = np.s_[top : top + rows, left : left + columns]
                found.append(_panel(title, top, left, before[part], after[part]))
                break
    return found


def _panel(title: str, top: int, left: int, before: np.ndarray, after: np.ndarray) -> Panel:
    change = (after.astype(np.float32) - before) * AMPLIFICATION + 128
    change = np.clip(np.rint(change), 0, 255).astype(np.uint8)
    height, width = before.shape[:2]
    return Panel(title, top, left, width, height, _png(before), _png(after), _png(change))


def _png(pixels: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(pixels)).save(buffer, "PNG")
    return buffer.getvalue()


def html(
    report: dict[str, Any], pictures: Sequence[Sequence[Panel]], questions: dict[str, str]
) -> str:
    """The page.

    Args:
      report: What report.json holds (docs/formats.md).
      pictures: Parts of each photo, in the order of `report["photos"]`.
      questions: What each attacker looks at, in plain words.
    """
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("dippas_jax.cli"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.filters |= {
        "number": _number,
        "data": _data,
        "bar": lambda z: 0 if z is None or z != z else round(100 * min(abs(z), _BAR) / _BAR, 1),
        "change": change_in_words,
    }
    return environment.get_template("report.html").render(
        report=report,
        photos=list(zip(report["photos"], pictures, strict=True)),
        questions=questions,
        limit=LIMIT,
        marks={
            name: 100 * one.limit / _BAR for name, one in attackers.ATTACKERS.items() if one.is_z
        },
        amplification=AMPLIFICATION,
    )


def _data(png: bytes) -> str:
    return "data:image/png;base64," + base64.b64encode(png).decode()


def _number(value: Any, places: int = 1) -> str:
    """A figure, or a dash where there is none."""
    if not isinstance(value, int | float) or not math.isfinite(value):
        return "—"
    return f"{value:.{places}f}".replace("-", "−")


def change_in_words(psnr: float | None) -> str:
    """What a PSNR of so many dB looks like, with care."""
    if psnr is None or not math.isfinite(psnr):
        return "The pixels did not change."
    if psnr >= 42:
        return "The change is hard to see even at 1:1."
    if psnr >= 38:
        return "At 1:1 fine grain and the faintest texture are softer; at normal size little shows."
    return "Fine texture is visibly softer."
