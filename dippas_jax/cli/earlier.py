"""Outputs that are there already, and what a report of an earlier command knows of them."""

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path

from dippas_jax.cli import console, photo_record
from dippas_jax.cli.outputs import Job
from dippas_jax.cli.photo_record import PhotoRecord
from dippas_jax.io import files
from dippas_jax.types import InputError

_UNKNOWN = " and was not judged again"
_TRACED = " and can probably be traced"
UNTRACED = ""
"""Clauses on an output that exists: no report tells its verdict, or which one it was."""


def verdicts(jobs: Sequence[Job], known: Sequence[PhotoRecord]) -> dict[Job, str]:
    """The photos whose outputs exist, and what is known of these.

    A photo is judged while it is treated, and only a report keeps the verdict.
    """
    records = {record.output: record for record in known}
    there: dict[Job, str] = {}
    for job in jobs:
        if not os.path.exists(job.target):
            continue
        record = records.get(str(job.target))
        there[job] = _UNKNOWN
        if record and _is_of(record, job.source):
            there[job] = _TRACED if photo_record.traced(record) else UNTRACED
    return there


def unchanged(known: Sequence[PhotoRecord]) -> list[PhotoRecord]:
    """The records of photos and outputs that are as they were; a verdict is of no others.

    A photo that is out of reach for now may come back.
    """
    return [
        record
        for record in known
        if record.sha256 == _sha256(Path(record.output))
        and _sha256(Path(record.photo)) in (record.photo_sha256, "")
    ]


def is_gone(record: PhotoRecord) -> bool:
    """Whether an output that was judged is elsewhere now, as one that was published."""
    return not os.path.lexists(record.output)


def _is_of(record: PhotoRecord, photo: Path) -> bool:
    """Whether a record that is `unchanged` is of this photo, and not of another of its name."""
    if record.photo == str(photo):
        return True
    return bool(record.photo_sha256) and _sha256(photo) == record.photo_sha256


def _sha256(path: Path) -> str:
    """Of a file's bytes; "" of one that cannot be read."""
    try:
        return hashlib.sha256(files.read_bytes(path, "photo")).hexdigest()
    except InputError:
        return ""


def tell(there: dict[Job, str]) -> None:
    """On stderr, what an exit code of 4 is for where nothing was done."""
    unknown, traced = (list(there.values()).count(said) for said in (_UNKNOWN, _TRACED))
    if unknown:
        were = "was" if unknown == 1 else "were"
        console.note(
            f"{console.counted(unknown, 'photo')} {were} there already and {were} not judged "
            "again; --overwrite treats and judges them anew, and --report keeps verdicts"
        )
    if traced:
        were = "was" if traced == 1 else "were"
        console.note(
            f"{console.counted(traced, 'photo')} that {were} there already can probably be traced, "
            "by the report"
        )
