"""Compiled programs kept from run to run: entries that were cut off are removed, without a word.

A process that is killed, or a full disk, leaves half an entry. JAX warns of it in every later run
and compiles again, but never replaces it.
"""

import os
import re
import stat
import warnings
import zlib
from pathlib import Path
from typing import Any

import jax

_WARNING = re.compile(r"Error (reading|writing) persistent compilation cache entry for '([^']+)'")
_ZLIB = b"\x78"  # an entry may also be Zstandard's, where that library is installed

_show = warnings.showwarning


def use(folder: Path) -> None:
    """Keep programs in a folder, if it is `private` and usable; else keep none."""
    usable = private(folder) and not any(map(_in_the_way, folder.glob("*-cache")))
    jax.config.update("jax_compilation_cache_dir", str(folder) if usable else None)
    warnings.showwarning = _repair


def private(folder: Path) -> bool:
    """Whether nobody but this user can write to a folder: what is kept there is run.

    One that does not exist is created, and one of this user's that others can write to is closed.
    """
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        known = folder.stat()
        if not hasattr(os, "getuid"):  # Windows: folders of a user are the user's
            return True
        ours = os.getuid()
        if known.st_uid == ours and known.st_mode & 0o022:
            folder.chmod(stat.S_IMODE(known.st_mode) & ~0o022)
        with os.scandir(folder) as entries:  # others may have written there before it was closed
            return known.st_uid == ours and all(_owner(one) in (ours, None) for one in entries)
    except OSError:
        return False


def _owner(entry: Any) -> int | None:
    """None of what is gone meanwhile."""
    try:
        return entry.stat(follow_symlinks=False).st_uid
    except FileNotFoundError:
        return None


def _in_the_way(path: Path) -> bool:
    """Whether what is no file lies in an entry's place, and cannot be removed."""
    if path.is_dir():
        try:
            path.rmdir()
        except OSError:
            return True
    return False


def damaged(folder: Path, program: str = "") -> list[Path]:
    """Entries that cannot be unpacked, of one program or of all."""
    return [path for path in sorted(folder.glob(f"{program}*-cache")) if not _whole(path)]


def _whole(path: Path) -> bool:
    try:
        data = path.read_bytes()
        if data.startswith(_ZLIB):
            zlib.decompress(data)
    except (OSError, zlib.error):
        return False
    return bool(data)


def _repair(message: Any, *rest: Any, **named: Any) -> None:
    """Shows every warning but those of the cache, whose damaged entry is removed."""
    found = _WARNING.match(str(message))
    if found is None:
        _show(message, *rest, **named)
        return
    folder = jax.config.values.get("jax_compilation_cache_dir")
    for path in damaged(Path(folder), found[2].partition("-")[0]) if folder else ():
        path.unlink(missing_ok=True)
