"""Manifests of campaigns: which photos, each with its fingerprint, if one is known.

Three forms, told by the name's ending:

- `.jsonl`, `.ndjson`: a JSON object a line, with `photo` and, if need be, `fingerprint` (of the
  camera that took it) and `sha256` (of the photo's file, in hexadecimal).
- `.csv`, `.tsv`: a table whose first line names those columns.
- anything else: a photo a line; empty lines and those that begin with # are left out.

Photos and fingerprints are paths or URLs of fsspec; relative paths count from the manifest's
folder.
"""

import csv
import hashlib
import io
import json
import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from dippas_jax.io import storage
from dippas_jax.types import InputError

_LONGEST = 4096  # characters of a path, on nearly every system

FIELDS = ("photo", "fingerprint", "sha256")


class Item(NamedTuple):
    """A photo to be done.

    Attributes:
      photo: Path or URL.
      fingerprint: Of its camera, path or URL; "" where none is known.
      sha256: That its file must have; "" for any.
    """

    photo: str
    fingerprint: str = ""
    sha256: str = ""

    @property
    def id(self) -> str:
        """Names what is known of it in the ledger; the same on every machine."""
        return hashlib.sha256(json.dumps(self).encode()).hexdigest()[:24]


def read(name: str, fingerprint: str = "") -> tuple[list[Item], list[str]]:
    """Read a manifest.

    Args:
      name: Path or URL of the manifest.
      fingerprint: For the photos that name none; path or URL.

    Returns:
      Every photo once, in order, and a sentence for each line that repeats another.

    Raises:
      InputError: It cannot be read, a line cannot be understood, or no photo is named; or a photo
        is named twice, with different fingerprints or hashes.
    """
    at = storage.place(name)
    try:
        text = storage.read(at, "manifest").decode("utf-8-sig")
    except InputError:
        raise
    except UnicodeDecodeError:
        raise InputError(
            f"manifest {name} is not UTF-8 text; give one photo a line, a CSV or JSON lines"
        ) from None
    except Exception as error:  # noqa: BLE001 - every file system has errors of its own
        raise InputError(
            f"manifest {name} cannot be read ({error}); check its address and your credentials"
        ) from None
    folder = at.local.parent.as_posix() if at.local else name.rpartition("/")[0]
    default = resolved(fingerprint) if fingerprint else ""
    lines: dict[str, int] = {}
    items: dict[str, Item] = {}
    words = []
    for line, row in _rows(name, text):
        photo = resolved(row["photo"], folder)
        own = row.get("fingerprint") or ""
        item = Item(photo, resolved(own, folder) if own else default, _hash(name, line, row))
        if photo not in items:
            lines[photo], items[photo] = line, item
        elif items[photo] == item:
            words.append(f"line {line} repeats photo {photo} of line {lines[photo]}")
        else:
            raise InputError(
                f"manifest {name}, line {line}: photo {photo} stands in line {lines[photo]} with "
                "another fingerprint or sha256; leave one out"
            )
    if not items:
        raise InputError(f"manifest {name} names no photo; write one a line")
    return list(items.values()), words


def shard(items: Sequence[Item], part: tuple[int, int]) -> list[Item]:
    """Every n-th photo from number k on, for k and n of `part`."""
    return list(items[part[0] :: part[1]])


def _rows(name: str, text: str) -> Iterator[tuple[int, dict[str, str]]]:
    """Line numbers, from 1, and the fields of each line."""
    ending = name.lower().rpartition(".")[2]
    if ending in ("csv", "tsv"):
        yield from _table(name, text, "," if ending == "csv" else "\t")
        return
    for number, line in enumerate(text.split("\n"), 1):  # names may hold other ends of lines
        if ending in ("jsonl", "ndjson"):
            if line.strip():
                yield number, _object(name, number, line)
        elif line.strip() and not line.startswith("#"):
            yield number, _require_photo(name, number, {"photo": line.strip()})


def _table(name: str, text: str, comma: str) -> Iterator[tuple[int, dict[str, str]]]:
    reader = csv.DictReader(io.StringIO(text, newline=""), delimiter=comma)
    try:
        fields = reader.fieldnames or ()
        _require_known(name, 1, fields)
        if len(set(fields)) < len(fields):
            raise InputError(
                f"manifest {name}, line 1 names a field twice ({', '.join(fields)}); leave one out"
            )
        rows = [(reader.line_num, row) for row in reader]
    except csv.Error as error:
        raise InputError(
            f"manifest {name}, line {reader.line_num} is no line of a table ({error}); write it "
            "again, or give a photo a line as .txt"
        ) from None
    for line, row in rows:
        if None in row or None in row.values():
            raise InputError(
                f"manifest {name}, line {line} has not as many fields as the first "
                "line; put names with commas in quotes"
            )
        yield line, _require_photo(name, line, row)


def _object(name: str, number: int, line: str) -> dict[str, str]:
    try:
        row = json.loads(line)
    except (ValueError, RecursionError):
        row = None
    if not isinstance(row, dict) or not all(isinstance(v, str) for v in row.values()):
        raise InputError(
            f'manifest {name}, line {number} is not an object of texts; write {{"photo": "a.jpg"}}'
        )
    _require_known(name, number, row)
    return _require_photo(name, number, row)


def _require_known(name: str, number: int, fields) -> None:
    unknown = [field for field in fields if field not in FIELDS]
    if unknown or "photo" not in fields:
        wrong = f"has a field {unknown[0][:40]!r}" if unknown else "has no field 'photo'"
        raise InputError(
            f"manifest {name}, line {number} {wrong}; the fields are {', '.join(FIELDS)}"
        )


def _require_photo(name: str, number: int, row: dict[str, str]) -> dict[str, str]:
    if not row["photo"].strip():
        raise InputError(f"manifest {name}, line {number} names no photo; write its path or URL")
    if len(longest := max(row.values(), key=len)) > _LONGEST:
        raise InputError(
            f"manifest {name}, line {number} holds {longest[:40]!r} and {len(longest) - 40} "
            "characters more, which no path has; correct it"
        )
    return row


def _hash(name: str, number: int, row: dict[str, str]) -> str:
    digest = (row.get("sha256") or "").lower()
    if digest and not re.fullmatch("[0-9a-f]{64}", digest):
        raise InputError(
            f"manifest {name}, line {number}: sha256 {digest[:80]!r} is not 64 hexadecimal digits; "
            "take that of sha256sum"
        )
    return digest


def resolved(path: str, folder: str = "") -> str:
    """A path as it can be read from anywhere; `folder` is "" for the working one."""
    if storage.is_url(path):
        return path
    if storage.is_url(folder) and not path.startswith(("/", "~")):
        return f"{folder}/{path}"
    return storage.place(path if path.startswith(("/", "~")) else f"{folder or '.'}/{path}").path
