"""What the verbs share: the files they are given, and the lines and exit codes they give back.

Each verb is one function and returns the exit code. Data go to stdout, as text or with `json` as
one JSON object per line; everything else goes to stderr. A file that cannot be used does not stop
the others. `types.InputError` leaves a verb when there is nothing to go on with. Sizes are HxW.
"""

import glob
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tqdm

from dippas_jax.forensics import identification
from dippas_jax.io import files
from dippas_jax.io import photo as photo_file
from dippas_jax.signal import placement
from dippas_jax.types import Fingerprint, InputError, Window

DONE, FAILED, UNUSABLE, FOUND, TRACED = 0, 1, 2, 3, 4
"""Exit codes: done; a file failed and the others are done; nothing usable; a match was found; a
photo was anonymised, and its camera can probably still be found."""


def expand(arguments: Sequence[str]) -> list[Path]:
    """The photos that files, folders and patterns name, each once."""
    paths: list[Path] = []
    for argument in arguments:
        path = Path(argument)
        if os.path.isdir(path):
            inside = photos_in(path)
            if not inside:
                raise InputError(
                    f"folder {path} holds no photos ({', '.join(photo_file.EXTENSIONS)}); give one "
                    "that does"
                )
            paths += inside
        elif glob.has_magic(argument) and not os.path.exists(path):
            matches = [Path(name) for name in sorted(glob.glob(argument))]
            if not any(match.is_file() for match in matches):
                raise InputError(f"no file matches {argument}; check the pattern")
            paths += [match for match in matches if match.is_file()]
        else:
            paths.append(path)
    return list({path.absolute(): path for path in paths}.values())


def photos_in(folder: Path, *, recursive: bool = False) -> list[Path]:
    """The photos in a folder, by their extensions, in order; hidden files are passed over."""
    try:
        entries = sorted(folder.rglob("*") if recursive else folder.iterdir())
    except OSError as error:
        raise InputError(
            f"folder {folder} cannot be listed ({files.reason(error)}); check its permissions"
        ) from None
    return [
        path
        for path in entries
        if path.suffix.lower() in photo_file.EXTENSIONS
        and path.is_file()
        and not any(part.startswith(".") for part in path.relative_to(folder).parts)
    ]


def centre(
    size: tuple[int, int], side: int | None, within: tuple[int, int, int, int] | None = None
) -> Window:
    """The centre of a photo of that size, at most `side` pixels high and wide.

    Args:
      size: Of the whole photo.
      side: None for as much as there is.
      within: Top, left, height and width of the part to take the centre of; None for all.
    """
    top, left, *shape = within or (0, 0, *size)
    height, width = (min(n, side) if side else n for n in shape)
    below, right = placement.centre(shape, (height, width))
    return Window(size, top + below, left + right, height, width)


def require_new(path: str, overwrite: bool) -> None:
    """What can be known before the work: whether a result may be written there."""
    if os.path.exists(path) and not overwrite:
        raise InputError(f"{path} exists; choose another name, or give --overwrite")
    folder = Path(path).absolute().parent
    if not os.path.isdir(folder):
        raise InputError(f"the folder of {path} does not exist; create it first")
    if not os.access(folder, os.W_OK):
        raise InputError(f"you may not write to the folder of {path}; choose another one")


def cameras(paths: Sequence[str]) -> dict[str, Fingerprint]:
    """The fingerprints to look for, by the paths of their files."""
    found = {path: files.read_fingerprint_file(path) for path in paths}
    for name, camera in found.items():
        if camera.mean:
            std = float(camera.plane.std(dtype=np.float64))
            note(
                f"fingerprint {name} had a mean of {camera.mean:.3g} (its standard deviation is "
                f"{std:.3g}), which belongs to no camera and was subtracted"
            )
    return found


class Failures:
    """Files that could not be used, each named on stderr when it is met."""

    def __init__(self) -> None:
        self.paths: list[Path] = []

    def catch(self, read: Callable[..., Any], path: Path, *rest: Any) -> Any:
        """`read(path, *rest)`, or None after the failure was told."""
        try:
            return read(path, *rest)
        except InputError as error:
            self.paths.append(path)
            note(str(error) if str(path) in str(error) else f"{path}: {error}")
            return None


# ------------------------------------------------------------------------------------------- lines

SCORES_HEADER = f"{'NCC':>8} {'z':>9} {'PCE':>11} {'p-value':>9}"


def scores(match: identification.Match) -> dict[str, Any]:
    """One comparison as plain numbers, under the names of the JSON."""
    return {k: float(getattr(match, k)) for k in ("ncc", "z", "spread", "pce", "p_value")}


def scores_text(result: dict[str, Any]) -> str:
    """Scores as columns below `SCORES_HEADER`."""
    p = result["p_value"]
    probability = "<1e-300" if p < 1e-300 else f"{p:.1e}" if p < 1e-3 else f"{p:.4f}"
    return f"{result['ncc']:8.4f} {result['z']:9.1f} {result['pce']:11.1f} {probability:>9}"


def bar(items: Any, unit: str, *, quiet: bool = False) -> Iterator[Any]:
    """Progress on a terminal; `quiet` where the lines on stdout are progress enough to see."""
    off = not sys.stderr.isatty() or (quiet and sys.stdout.isatty())
    return iter(tqdm.tqdm(items, unit=unit, disable=off, dynamic_ncols=True, leave=False))


def exit_code(done: int, failed: Failures, found: bool) -> int:
    """Of a verb that did so many files and found a match or not."""
    if not done:
        return UNUSABLE
    return FAILED if failed.paths else FOUND if found else DONE


def print_json(value: Any) -> None:
    """One object, one line, at once."""
    print(files.json_text(value), flush=True)


def note(text: str) -> None:
    """A line on stderr, above the progress bar."""
    tqdm.tqdm.write(f"dippas: {text}", file=sys.stderr)


def or_unknown(text: str) -> str:
    """What a file says, or that it does not."""
    return text or "unknown (the file does not say)"


def counted(number: int, noun: str) -> str:
    """So many of something: "1 photo", "2 photos"."""
    return f"{number} {noun}" + ("" if number == 1 else "s")


def size_text(size: Sequence[int]) -> str:
    """HxW."""
    return "x".join(map(str, size))
