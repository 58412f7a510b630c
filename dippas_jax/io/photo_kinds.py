"""Formats of photos: their names, and which one a file has."""

from pathlib import Path

from dippas_jax.io import files, photo_reasons
from dippas_jax.types import InputError

FORMATS = {"jpeg": ".jpg", "png": ".png", "tiff": ".tif", "webp": ".webp", "heic": ".heic"}
"""What can be written, and its usual extension."""

EXTENSIONS = (
    ".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".tif", ".tiff", ".webp", ".bmp",
    ".heic", ".heif", ".hif",
)  # fmt: skip
"""What a folder is searched for, any case."""


def kind_of(path: Path | str) -> str:
    """The format in which a photo is written as "same", by its first bytes; "jpeg" in doubt."""
    try:
        with files.opened(path, "photo") as file:
            start = file.read(16)
    except InputError:
        start = b""
    if start[4:8] == b"ftyp":
        return "heic"
    if start[:4] in photo_reasons.TIFF:
        return "tiff"
    if start[:4] == b"RIFF":
        return "webp"
    return "png" if start[:4] == b"\x89PNG" or start[:2] == b"BM" else "jpeg"


def suits(extension: str, kind: str) -> bool:
    """Whether a file of that format may have the extension."""
    others = {"jpeg": (".jpeg", ".jpe", ".jfif"), "tiff": (".tiff",), "heic": (".heif", ".hif")}
    return extension.lower() in (FORMATS[kind], *others.get(kind, ()))
