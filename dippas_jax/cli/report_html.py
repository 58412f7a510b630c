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

from dippas_jax import baselines
from dippas_jax.cli import photo_record
from dippas_jax.forensics import attackers
from dippas_jax.types import printable

AMPLIFICATION = 8
"""Of the difference that is shown, about mid grey."""

LIMIT = 3.0
"""|z| from which an attacker of one figure finds the camera."""

MOST = 4  # parts shown of a photo

TITLE = "<title>Camera fingerprint: before and after</title>"
"""By which a page of this program is known; as the template has it."""
BUDGET = 720_000  # bytes of a photo's pictures, which take a third more in the page: 1 MB at most
_BAR = 12.0  # z at which a bar is full


_Place = tuple[str, int, int]
"""Why a part is shown, its first row and its first column."""


class Panel(NamedTuple):
    """A part of a photo at 1:1.

    Attributes:
      title: Why it is shown.
      top: Its first row in the photo as shown.
      left: Its first column.
      width: Pixels.
      height: Pixels.
      before: Of the original; a WebP without loss, as are the others.
      after: The same part of the result.
      change: The amplified difference.
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
      side: Of a part, pixels, at most; a photo that is not larger is shown whole. Parts are cut
        about their centre until they fit `BUDGET`.
    """
    height, width = before.shape[:2]
    rows, columns = min(side, height), min(side, width)
    if height <= side and width <= side:
        return _fitting([("the whole photo", 0, 0)], (rows, columns), before, after)
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
    found: list[_Place] = []
    for title, order in wanted[:MOST]:
        for index in np.argsort(order, kind="stable"):
            top, left = places[index]
            if all(
                abs(top - other[1]) >= rows or abs(left - other[2]) >= columns for other in found
            ):
                found.append((title, top, left))
                break
    return _fitting(found, (rows, columns), before, after)


def _fitting(
    places: Sequence[_Place], size: tuple[int, int], before: np.ndarray, after: np.ndarray
) -> list[Panel]:
    """The parts at these places, of that size or as much of their middle as there is room for."""
    side = max(size)
    while True:
        rows, columns = (min(length, side) for length in size)
        inner = [
            (title, top + (size[0] - rows) // 2, left + (size[1] - columns) // 2)
            for title, top, left in places
        ]
        found = [_panel(*place, rows, columns, before, after) for place in inner]
        total = sum(len(one.before) + len(one.after) + len(one.change) for one in found)
        if total <= BUDGET or side <= 64:
            return found
        side = max(64, min(side - 8, int(side * math.sqrt(BUDGET / total))))


def _panel(
    title: str, top: int, left: int, rows: int, columns: int, before: np.ndarray, after: np.ndarray
) -> Panel:
    old, new = (x[top : top + rows, left : left + columns] for x in (before, after))
    change = (new.astype(np.float32) - old) * AMPLIFICATION + 128
    change = np.clip(np.rint(change), 0, 255).astype(np.uint8)
    return Panel(title, top, left, columns, rows, _webp(old), _webp(new), _webp(change))


def _webp(pixels: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    image = Image.fromarray(np.ascontiguousarray(pixels))
    image.save(buffer, "WEBP", lossless=True, quality=50, method=2)
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
        finalize=_harmless,
    )
    environment.filters |= {
        "number": _number,
        "data": _data,
        "decibels": lambda psnr: f"{psnr:.1f} dB" if math.isfinite(psnr) else "unchanged",
        "bar": lambda z: 0 if z is None or z != z else round(100 * min(abs(z), _BAR) / _BAR, 1),
        "change": change_in_words,
        "left": photo_record.left,
        "traced": photo_record.traced,
        "verdict": photo_record.verdict,
    }
    asked = _asked(report)
    return environment.get_template("report.html").render(
        report=report,
        photos=list(zip(report["photos"], pictures, strict=True)),
        questions=questions,
        limit=LIMIT,
        blind=[name for name, one in baselines.METHODS.items() if not one.aware],
        moving=[name for name, one in baselines.METHODS.items() if one.moves],
        marks={
            name: 100 * one.limit / _BAR for name, one in attackers.ATTACKERS.items() if one.is_z
        },
        limits=" and ".join(
            f"{name} (from {one.limit:.3g} on)"
            for name, one in attackers.ATTACKERS.items()
            if not one.is_z and name in asked
        ),
        amplification=AMPLIFICATION,
    )


def _asked(report: dict[str, Any]) -> set[str]:
    """Names of all attackers that looked at one of the photos."""
    rows = [row for photo in report["photos"] for row in photo.examined.get("attacks", ())]
    return {row["attacker"] for row in rows}


def _data(webp: bytes) -> str:
    return "data:image/webp;base64," + base64.b64encode(webp).decode()


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


def _harmless(value: Any) -> Any:
    """What is put into the page: of a text that would do something there, what can be printed."""
    return printable(value) if isinstance(value, str) and not value.isprintable() else value
