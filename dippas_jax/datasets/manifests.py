"""Manifests: which files a study used, pinned by their hashes.

A manifest is plain values, ready for JSON, and the same on every machine that has the same files:
their names are relative to the innermost folder that holds all of them, written with slashes.

    {"records": [{"id", "device", "file", "sha256", "window": {"photo": [h, w], "top", ...}}, ...],
     "fingerprints": {DEVICE: {"file", "sha256"}},
     "flats": {DEVICE: [{"file", "sha256"}, ...]},
     "published": {NAME: [{"file", "sha256"}, ...]}}

A simulated photo has no file: "file" is "" and the hash is that of its pixels, row by row.
"""

import functools
import hashlib
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from dippas_jax.types import InputError, Record

_SHOWN = 200  # characters of a name or value in a message


def manifest(
    records: Sequence[Record],
    flats: Mapping[str, Sequence[Path]] | None = None,
    published: Mapping[str, Sequence[Path]] | None = None,
) -> dict[str, Any]:
    """What was used; every record is read once, for its window.

    Args:
      records: The photos.
      flats: For each device, the flat-field photos behind a fingerprint (`folder.flat_files`).
      published: For each name, photos that somebody else made of these.

    Raises:
      InputError: A file cannot be read.
    """
    flats, published = flats or {}, published or {}
    fingerprints = {r.device: r.fingerprint for r in records if r.fingerprint is not None}
    paths = [r.path for r in records if r.path is not None]
    lists = [*flats.values(), *published.values()]
    paths += [*fingerprints.values(), *(path for some in lists for path in some)]
    root = Path(os.path.commonpath([path.parent for path in paths])) if paths else Path()
    pin = functools.cache(lambda path: _file(path, root))  # crops of one photo: one hash
    entries = []
    for record in records:
        sample = record.read()
        pinned = pin(record.path) if record.path is not None else _simulated(sample.pixels)
        window = sample.window._asdict() | {"photo": list(sample.window.photo)}
        entries.append({"id": record.id, "device": record.device, **pinned, "window": window})
    return {
        "records": entries,
        "fingerprints": {device: pin(path) for device, path in sorted(fingerprints.items())},
        "flats": {device: [pin(path) for path in some] for device, some in sorted(flats.items())},
        "published": {name: [pin(path) for path in some] for name, some in published.items()},
    }


def check(
    records: Sequence[Record],
    expected: Any,
    flats: Mapping[str, Sequence[Path]] | None = None,
    published: Mapping[str, Sequence[Path]] | None = None,
) -> None:
    """Compare photos with a manifest, file by file.

    Args:
      records: The photos at hand.
      expected: The manifest, as `manifest` gives it or as JSON brings it back.
      flats: As for `manifest`.
      published: Likewise.

    Raises:
      InputError: The first that differs, by name.
    """
    there = _lines(expected)
    if "published" not in expected:  # earlier versions did not tell
        published = None
    here = _lines(manifest(records, flats, published))
    advice = "get the original files, or write a new manifest"
    for key in [*there, *(key for key in here if key not in there)]:
        name, ours, theirs = key[:_SHOWN], here.get(key), there.get(key)
        if ours == theirs:
            continue
        if ours is None:
            raise InputError(f"{name} is in the manifest but not here; {advice}")
        if theirs is None:
            raise InputError(f"{name} is here but not in the manifest; {advice}")
        field = next(k for k in theirs | ours if theirs.get(k) != ours.get(k))
        came, wanted = (str(one.get(field))[:_SHOWN] for one in (ours, theirs))
        raise InputError(
            f"{name} is not that of the manifest: {field[:_SHOWN]} is {came} instead of {wanted}; "
            f"{advice}"
        )
    if list(here) != list(there):
        raise InputError(
            "the photos are those of the manifest in another order; sort them by their names"
        )


def _lines(tree: Any) -> dict[str, dict[str, Any]]:
    """Every entry by a name for people, in order."""
    try:
        lines = {f"photo {one['id']}": dict(one) for one in tree["records"]}
        lines |= {f"the fingerprint of {k}": dict(v) for k, v in tree["fingerprints"].items()}
        for device, some in tree["flats"].items():
            lines |= {f"flat-field photo {i} of {device}": dict(v) for i, v in enumerate(some, 1)}
        for name, some in tree.get("published", {}).items():
            lines |= {f"published photo {one['file']} of {name}": dict(one) for one in some}
    except (AttributeError, KeyError, TypeError, ValueError):
        raise InputError(
            "the manifest does not list records, fingerprints and flats; write a new one"
        ) from None
    return lines


def _file(path: Path, root: Path) -> dict[str, str]:
    try:
        with open(path, "rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise InputError(
            f"file {path} cannot be read ({error.strerror}); check the path and its permissions"
        ) from None
    return {"file": path.relative_to(root).as_posix(), "sha256": digest}


def _simulated(pixels: np.ndarray) -> dict[str, str]:
    return {"file": "", "sha256": hashlib.sha256(pixels.tobytes()).hexdigest()}
