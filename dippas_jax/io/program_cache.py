"""Compiled programs kept from run to run: entries that were cut off are removed, without a word.

A process that is killed, or a full disk, leaves half an entry. JAX warns of it in every later run
and compiles again, but never replaces it.
"""

import re
import warnings
import zlib
from pathlib import Path
from typing import Any

import jax

_WARNING = re.compile(r"Error (reading|writing) persistent compilation cache entry for '([^']+)'")
_ZLIB = b"\x78"  # an entry may also be Zstandard's, where that library is installed

_show = warnings.showwarning


def use(folder: Path | None) -> None:
    """Keep programs in a folder, or in JAX's own where none is given."""
    if folder is not None:
        jax.config.update("jax_compilation_cache_dir", str(folder))
    warnings.showwarning = _repair


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
