"""`dippas web`: a page for photos; the work is that of `dippas anonymize`, in a process of its own.

The server (`dippas_jax.web`) knows nothing of photos. Here it gets the command that treats them and
the words that describe what came of it.
"""

import dataclasses
import importlib.util
import sys
import threading
import webbrowser
from pathlib import Path
from typing import Any

from dippas_jax.cli import anonymize, console, examine, photo_record, prediction, report_html
from dippas_jax.cli.outputs import Options
from dippas_jax.cli.photo_record import PhotoRecord
from dippas_jax.io import files
from dippas_jax.types import InputError


def web(*, port: int, browser: bool) -> int:
    """Serves the page until it is ended or interrupted.

    Args:
      port: 0 for a free one.
      browser: Whether the link is opened as well as printed.
    """
    if not all(importlib.util.find_spec(name) for name in ("starlette", "uvicorn")):
        raise InputError("dippas web needs more libraries; pip install 'dippas-jax[web]'")
    from dippas_jax.web import jobs, server

    def ready(link: str) -> None:
        console.say(link)
        console.note("open this link; it works once, in one browser, on this machine; Ctrl-C ends")
        if browser:
            threading.Thread(target=webbrowser.open, args=[link], daemon=True).start()

    command = [sys.executable, "-m", "dippas_jax.cli.web_worker"]
    server.serve(jobs.Program(command, described, anonymize.CAUTION), port=port, ready=ready)
    return console.DONE


def described(line: dict[str, Any], folder: Path, into: Path) -> dict[str, Any]:
    """What the page shows of a photo.

    Args:
      line: Its record, as JSON.
      folder: To which the paths in it are relative.
      into: Where pictures of its parts are written: N-before.webp, N-after.webp, N-change.webp.
    """
    record = photo_record.from_json(line)
    placed = dataclasses.replace(
        record, photo=str(folder / record.photo), output=str(folder / record.output)
    )
    parts, warnings = [], list(record.warnings)
    try:
        parts = examine.pictures(placed, Options())
        into.mkdir(parents=True, exist_ok=True)
        for number, part in enumerate(parts):
            for name in ("before", "after", "change"):
                files.write_bytes(into / f"{number}-{name}.webp", getattr(part, name))
    except Exception as error:  # noqa: BLE001 - the photo is done all the same
        parts = []
        why = f"{type(error).__name__}: {error}".partition("\n")[0]
        warnings.append(f"before and after cannot be shown ({why})")
    return {
        "name": Path(record.output).name,
        "plain": _plain(record),
        "verdict": photo_record.verdict(record),
        "traced": photo_record.traced(record),
        "figures": photo_record.figures(record),
        "change": report_html.change_in_words(record.settings.get("psnr_in_place", record.psnr)),
        "warnings": warnings,
        "found": record.examined.get("verdict", ""),
        "sha256": record.sha256,
        "parts": [
            {name: getattr(part, name) for name in ("title", "top", "left", "width", "height")}
            for part in parts
        ],
    }


def _plain(record: PhotoRecord) -> str:
    """The verdict for people who know nothing of z."""
    if photo_record.traced(record):
        return "This photo can probably still be traced to its camera."
    if photo_record.looked_for(record, known=False):
        return "Reduced: none of the attackers that were asked finds the camera any more."
    if photo_record.looked_for(record):
        return (
            "Reduced: by the fingerprint that was used, none of the attackers that were asked "
            "finds the camera any more."
        )
    if record.z and prediction.is_found(record.z_before):
        return "Reduced: the fingerprint that was used is not found any more."
    return "Reduced: as far as it was measured, the camera would not be found."
