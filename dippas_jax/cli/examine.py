"""What `dippas anonymize` says of a photo afterwards: every attacker's figure, and the page."""

import hashlib
import os
import platform
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np

from dippas_jax.cli import console, identify, outputs, photo_record, report_html
from dippas_jax.cli.outputs import Job, Options
from dippas_jax.cli.photo_record import PhotoRecord
from dippas_jax.forensics import attackers, scores, verification
from dippas_jax.io import decoder, exif, photo_writer, weights
from dippas_jax.io import files as store
from dippas_jax.io import photo as photo_file
from dippas_jax.signal import correlation, dncnn, placement
from dippas_jax.types import Fingerprint, InputError, Window

_OURS = {b"settings", b"strength"}  # names in the figures of every report
_HEAD = 1000  # bytes of a page that hold its title
_SAME = 0.99  # correlation of fingerprints that are one
_BEHIND = 128  # grey level behind transparent pixels

LEARNED_SIDE = 1024
"""Most pixels a side of the centre that the learned extractor looks at; the others look at all."""


def examined(
    before: np.ndarray,
    after: np.ndarray,
    cameras: dict[str, Fingerprint],
    known: np.ndarray | None = None,
) -> dict[str, Any]:
    """What every attacker finds with every fingerprint at hand; `known`: the one that was used."""
    before, after = map(photo_file.eight_bits, (before, after))
    size = before.shape[0], before.shape[1]
    data = weights.load()
    learned = None if data is None else dncnn.parse(data)
    # A bare plane that fits only the middle is looked for by nobody, which is said elsewhere.
    cameras = {k: v for k, v in cameras.items() if placement.corner(v, size, side=None) is not None}
    same = {name for name, camera in cameras.items() if _is_same(camera, size, known)}
    findings, rows = [], []
    single = [name for name, one in attackers.ATTACKERS.items() if not one.groups and not one.twin]
    for names, side, parameters in (
        ([name for name in single if name != "learned"], None, None),
        (["learned"], LEARNED_SIDE, learned),
    ):
        quiet = side is not None
        for window, files, planes in identify.groups(size, cameras, side, quiet=quiet):
            old, new = (placement.cut(pixels, window, offset=(0, 0)) for pixels in (before, after))
            found = verification.verify(old, new, planes, learned=parameters, names=names)
            findings += found
            rows += [
                {
                    **one._asdict(),
                    "fingerprint": files[one.fingerprint],
                    "known": files[one.fingerprint] in same,
                    "pixels": console.size_text(planes.shape[1:]),
                }
                for one in found
            ]
    return {
        "ssim": scores.ssim(before, after),
        "attacks": rows,
        **verification.summary(findings)._asdict(),
        "untested": verification.untested(findings),
        "verdict": verification.verdict(findings) if findings else "",
    }


def _is_same(camera: Fingerprint, size: tuple[int, int], known: np.ndarray | None) -> bool:
    """Whether a fingerprint is the one that was used, or a part, whatever its name and unit."""
    place = placement.corner(camera, size, side=None)
    if known is None or place is None:
        return False
    part = placement.cut(known, Window(size, *place, *camera.plane.shape), offset=(0, 0))
    return abs(float(correlation.ncc(*map(correlation.centred, (camera.plane, part))))) > _SAME


def page_files(options: Options) -> tuple[Path, Path] | None:
    """The page, and its JSON beside it."""
    if not options.report:
        return None
    path = Path(options.report)
    if path.suffix.lower() not in (".html", ".htm"):
        raise InputError(f"--report {path} is no .html file; give it that extension")
    return path, path.with_suffix(".json")


def settings(options: Options) -> dict[str, Any]:
    """All that verdicts depend on, of the fingerprints their bytes as they are now."""
    skipped = ("overwrite", "report")
    values = {k: v for k, v in options._asdict().items() if k not in skipped}
    known = [file for file in (options.fingerprint, *options.check) if file]
    hashes = [hashlib.sha256(store.read_bytes(file, "fingerprint")).hexdigest() for file in known]
    return values | {"check": list(options.check), "fingerprint_sha256": hashes}


def require_apart(paths: tuple[Path, Path] | None, jobs: Sequence[Job]) -> None:
    """`InputError` where the page cannot lie: in the place of an original or output, or at all."""
    taken = {os.path.realpath(path): path for job in jobs for path in (job.source, job.target)}
    for path in paths or ():
        if len(os.fsencode(path.name)) > outputs.LONGEST:
            raise InputError(f"report {path} has a name too long to be written; give a shorter one")
        if (other := taken.get(os.path.realpath(path))) is not None:
            raise InputError(
                f"report {path} would replace photo {other}, which is never done; choose another "
                "--report"
            )
        if path.suffix != ".json" and os.path.lexists(path) and not os.path.isfile(path):
            raise InputError(f"report {path} is no file and cannot be replaced; choose another")
        outputs.require_writable(path.parent, "--report")


def known_records(paths: tuple[Path, Path] | None, options: Options) -> list[PhotoRecord]:
    """Of photos that an earlier start of the same command has done."""
    if paths is None:
        return []
    page, data = paths
    theirs = os.path.lexists(page) and not options.overwrite
    if theirs and report_html.TITLE.encode() not in store.read_bytes(page, "report")[:_HEAD]:
        raise InputError(
            f"report {page} exists and is no page of this program; choose another --report, or "
            "give --overwrite"
        )
    if os.path.isfile(data) and not set(store.read_bytes(data, "report").split(b'"')) >= _OURS:
        raise InputError(
            f"{data}, where the figures of the report would be written, exists and is none of this "
            "program; choose another --report"
        )
    if not os.path.lexists(data) or options.overwrite:
        return []
    earlier = store.read_json(data)
    if not isinstance(earlier, dict) or earlier.get("settings") != settings(options):
        raise InputError(
            f"report {data} was made with other settings; choose another --report, or give "
            "--overwrite"
        )
    try:
        return [photo_record.from_json(values) for values in earlier["photos"]]
    except (KeyError, TypeError, ValueError):
        raise InputError(
            f"report {data} is damaged or was made by another version of this program; choose "
            "another --report, or give --overwrite"
        ) from None


def write(
    paths: tuple[Path, Path],
    records: Sequence[PhotoRecord],
    jobs: Sequence[Job],
    failed: Sequence[dict[str, str]],
    skipped: Sequence[dict[str, str]],
    parts: Mapping[str, Sequence[report_html.Panel]] | None,
    asked: Mapping[str, Any],
) -> None:
    """The page and its JSON; of photos that are done, in the order of the command.

    `parts`: Pictures by output; None for the JSON alone. `asked` is what `settings` gave when the
    command began: a fingerprint may be replaced since.
    """
    order = [str(job.target) for job in jobs]
    ours = sorted(records, key=lambda r: order.index(r.output) if r.output in order else -1)
    content = {
        "program": f"dippas_jax {console.version('dippas-jax')}",
        "versions": {
            "python": platform.python_version(),
            **{name: console.version(name) for name in ("jax", "numpy", "pillow")},
        },
        "device": jax.default_backend(),
        "settings": asked,
        "photos": [photo_record.line(record) for record in ours],
        "failed": failed,
        "skipped": skipped,
    }
    _write(paths[1], store.json_text(content, indent=2) + "\n")
    if parts is not None:
        shown = [parts.get(record.output, ()) for record in ours]
        questions = {name: one.question for name, one in attackers.ATTACKERS.items()}
        _write(paths[0], report_html.html(content | {"photos": ours}, shown, questions))


def _write(path: Path, text: str) -> None:
    """For the user alone; a file name may not be UTF-8, and as \udce9 it is still valid JSON."""
    store.write_bytes(path, text.encode(errors="backslashreplace"), mode=0o600)


def pictures(record: PhotoRecord, options: Options) -> list[report_html.Panel]:
    """Parts of the original and of what was written, from their files."""
    try:
        photo = decoder.read(record.photo, srgb=options.icc == "srgb")
        data = store.read_bytes(record.output, "photo")
        after = photo_writer.decode(data, photo, upright=options.orientation == "upright")
    except InputError:
        return []  # moved since
    pair = [photo_file.eight_bits(pixels) for pixels in (photo.pixels, after)]
    if photo.alpha is not None:  # what nobody sees is not shown here either
        seen = (photo.alpha / np.iinfo(photo.alpha.dtype).max)[..., None]
        pair = [np.rint(seen * x + (1 - seen) * _BEHIND).astype(np.uint8) for x in pair]
    return report_html.panels(*(exif.turned(x, photo.orientation) for x in pair))
