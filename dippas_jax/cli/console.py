"""What the verbs share: the files they are given, and the lines and exit codes they give back.

Each verb is one function and returns the exit code. Data go to stdout, as text or with `json` as
one JSON object per line; everything else goes to stderr. A file that cannot be used does not stop
the others. `types.InputError` leaves a verb when there is nothing to go on with. Sizes are told
as width x height.
"""

import codecs
import glob
import importlib.metadata
import json
import math
import os
import stat
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tqdm
from jaxtyping import UInt8

from dippas_jax.forensics import drawn, identification
from dippas_jax.io import decoder, files, photo_kinds, photo_reasons
from dippas_jax.io import photo as photo_file
from dippas_jax.signal import correlation, placement, tiles
from dippas_jax.types import Fingerprint, InputError, Window, printable

_NAMED = 5  # of the files that are skipped

RAW = "RAW by the name, to be developed to a TIFF or JPEG"
"""Why a RAW file in a folder is skipped."""

DONE, FAILED, UNUSABLE, FOUND, TRACED = 0, 1, 2, 3, 4
"""Exit codes: done; a file failed and the others are done; nothing usable; a match was found; a
photo was anonymised, and its camera can probably still be found."""


class Failures:
    """Files that could not be used, each named on stderr when it is met, and why.

    With `json` each is also a line of JSON on stdout, under what it was to be: "photo" mostly.
    """

    def __init__(self, *, json: bool = False) -> None:
        self.reasons: dict[Path, str] = {}
        self._json = json

    def add(self, path: Path, reason: str, *, kind: str = "photo") -> None:
        """A file that failed."""
        self.reasons[path] = reason
        note(reason if str(path) in reason else f"{path}: {reason}")
        if self._json:
            say(json_line({kind: str(path), "failed": reason}))

    def catch(
        self,
        read: Callable[..., Any],
        path: Path,
        *rest: Any,
        name: str = "",
        kind: str = "photo",
    ) -> Any:
        """`read(path, *rest)`, or None after the failure was told, so that it stops no other.

        `name`: What failed, where that is not the file alone; `kind`: What the file was to be.
        """
        try:
            return read(path, *rest)
        except InputError as error:
            self.add(path, str(error), kind=kind)
        except Exception as error:  # noqa: BLE001 - whatever it is, it is this file's
            what = f"{type(error).__name__}: {error}".partition("\n")[0].removesuffix(": ")
            said = f"could not be treated ({what}); free memory, or report this fault"
            if tiles.is_out_of_memory(error):
                said = f"takes more memory than there is ({what}); free some, or crop it"
            self.add(path, f"{name or path} {said}", kind=kind)
        return None

    def rows(self) -> list[dict[str, str]]:
        """All of them, for JSON."""
        return [{"photo": str(path), "reason": why} for path, why in self.reasons.items()]


def expand(arguments: Sequence[str], failed: Failures) -> list[Path]:
    """The photos that files, folders and patterns name, each once; what names none has failed."""
    require_names(arguments)
    paths: list[Path] = []
    for argument in arguments:
        paths += failed.catch(named, Path(argument), failed) or []
    return list({path.absolute(): path for path in paths}.values())


def require_names(arguments: Sequence[str]) -> None:
    """`InputError` for an argument that is empty, as of a variable that is not set."""
    if "" in arguments:
        raise InputError("an empty name was given, which names no photo; check the command line")


def named(path: Path, failed: Failures) -> list[Path]:
    """The photos that one argument names; `InputError` if there are none."""
    if os.path.isdir(path):
        inside, others = photos_in(path, failed)
        told = others if inside else [one for one in others if not os.path.isdir(one)]
        if told:
            note(skipped_text(path, told))
        if not inside and path not in failed.reasons:
            raise InputError(
                f"folder {path} holds no photos ({', '.join(photo_kinds.EXTENSIONS)}); give one "
                "that does"
            )
        return inside
    if glob.has_magic(str(path)) and not os.path.exists(path):
        matches = [match for name in sorted(glob.glob(str(path))) if _readable(match := Path(name))]
        if not matches:
            within = path.parent
            hidden = os.path.isdir(within) and not os.access(within, os.R_OK | os.X_OK)
            why = f", whose folder {within} may not be listed" if hidden else ""
            raise InputError(f"no file matches {path}{why}; check the pattern")
        return matches
    return [path]


def photos_in(
    folder: Path, failed: Failures, *, recursive: bool = False
) -> tuple[list[Path], list[Path]]:
    """The photos in a folder, by their extensions, and its other files; each in order.

    Hidden files are passed over. A folder that cannot be listed has failed; folders that are not
    looked into, as links, which could lead back, are among the other files.
    """

    def unlisted(error: OSError) -> None:
        path = Path(error.filename)
        why = files.reason(error)
        failed.add(path, f"folder {path} cannot be listed ({why}); check its permissions")

    found: list[Path] = []
    for at, folders, names in os.walk(folder, onerror=unlisted):
        below = [name for name in folders if not name.startswith(".")]
        left = [n for n in below if not recursive or os.path.islink(os.path.join(at, n))]
        folders[:] = below if recursive else []
        found += [Path(at, name) for name in (*names, *left) if not name.startswith(".")]
    found.sort()
    photos = [
        path for path in found if path.suffix.lower() in photo_kinds.EXTENSIONS and _readable(path)
    ]
    kept = set(photos)
    return photos, [path for path in found if path not in kept]


def _readable(path: Path) -> bool:
    """Whether a path is a regular file, or may be one: why it is not is said when it is read."""
    try:
        return stat.S_ISREG(os.stat(path).st_mode)
    except PermissionError:
        return True
    except (OSError, ValueError):
        return False


def skipped_text(folder: Path, others: Sequence[Path]) -> str:
    """How many files in a folder are skipped, which, and why."""
    by_reason: dict[str, list[Path]] = {}
    for path in others:
        by_reason.setdefault(why_skipped(path), []).append(path)
    said = []
    for why, paths in by_reason.items():
        said.append(f"{why}: {some_text(folder, paths)}")
    one, many = ("entry", "entries") if any(map(os.path.isdir, others)) else ("file", "files")
    count = f"1 {one}" if len(others) == 1 else f"{len(others)} {many}"
    return f"folder {folder}: {count} skipped, {'; '.join(said)}"


def some_text(folder: Path, paths: Sequence[Path]) -> str:
    """The names of the first few files in a folder, and how many more there are."""
    names = ", ".join(str(path.relative_to(folder)) for path in paths[:_NAMED])
    return names + (f" and {len(paths) - _NAMED} more" if len(paths) > _NAMED else "")


def why_skipped(path: Path) -> str:
    """Why a file that was found in a folder is not taken for a photo."""
    if os.path.islink(path) and os.path.isdir(path):
        return "a link to a folder, which is not followed"
    if os.path.isdir(path):
        return "a folder below, which was not looked into"
    if path.suffix.lower() not in photo_kinds.EXTENSIONS:
        return RAW if photo_reasons.named_raw(path) else "by the name no photo that can be read"
    if os.path.islink(path) and not os.path.exists(path):
        return "a link to nothing"
    return "no regular file"


def damage(photo: photo_file.PhotoFile) -> str:
    """A clause on damage within a photo's data, over which its decoder went; "" if none shows."""
    return next((word for word in photo.words if word.startswith(photo_file.DAMAGED)), "")


def read_pixels(path: Path) -> UInt8[np.ndarray, "h w 3"]:
    """As `decoder.read_pixels`; damage within the photo's data is told on stderr."""
    photo = decoder.read(path)
    if damaged := damage(photo):
        note(f"{path}: {damaged}")
    return photo_file.opaque(path, photo)


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


def cameras(paths: Sequence[str], failed: Failures) -> dict[str, Fingerprint]:
    """The fingerprints to look for, by the paths of their files; one of no use has failed."""
    found = {}
    for path in dict.fromkeys(paths):
        camera = failed.catch(read_fingerprint, Path(path), kind="fingerprint")
        if camera is not None:
            found[path] = camera
    return found


def read_fingerprint(path: Path | str) -> Fingerprint:
    """A fingerprint; what of its plane was changed is told on stderr."""
    found = files.read_fingerprint_file(path)
    if found.mean:
        std = float(found.plane.std(dtype=np.float64))
        note(
            f"fingerprint {path} had a mean of {found.mean:.3g} (its standard deviation is "
            f"{std:.3g}), which belongs to no camera and was subtracted"
        )
    if found.outliers:
        values = "value" if found.outliers == 1 else "values"
        note(
            f"fingerprint {path} had {found.outliers} {values} so large that all others would not "
            "count, as of dead pixels; they were set to 0"
        )
    return found


# ------------------------------------------------------------------------------------------- lines

_WIDEST = 2.0  # spread of z of other cameras where nothing is drawn (`correlation.spread`)
_BY_CHANCE = 0.01  # matches of a command, from which chance is told of

SCORES_HEADER = f"{'NCC':>8} {'z':>9} {'PCE':>11} {'p-value':>9}"


def scores(match: identification.Match) -> dict[str, Any]:
    """One comparison as plain numbers, under the names of the JSON."""
    names = ("ncc", "z", "spread", "pce", "p_value", "p_turned")
    return {name: float(getattr(match, name)) for name in names}


def judged(
    found: dict[str, Any], look: Callable[[], drawn.Drawn], threshold: float, *, positions: int = 1
) -> dict[str, bool | float]:
    """Whether scores are those of one camera, and how much of them lies where something is drawn.

    A z far below zero is a match as well: too much of the fingerprint was taken out. Where what is
    drawn decides, nothing is told: what is left around a frame or of a watermark looks like noise.

    Lines agree at many shifts along themselves, which makes the spread of z large: then what is
    beside them is asked for too, though the scores are a match only if that spread is left out.

    Args:
      found: What `scores` gives.
      look: Gives `drawn.Drawn`; asked where the scores are a match, or would be without lines.
      threshold: p-value below which they are.
      positions: How many were tried, of which these scores are the best.
    """
    clear = min(found["p_value"], found["p_turned"]) < threshold
    lines = found["spread"] > _WIDEST and _p_value(found["z"], positions) < threshold
    if not clear and not lines:
        return dict.fromkeys(("drawn", "rest", "rest_spread"), math.nan) | {"match": False}
    share, rest, spread = look()
    match = clear and not drawn.decides(share, found["z"])
    return {"match": match, "drawn": share, "rest": rest, "rest_spread": spread}


def _p_value(z: float, positions: int) -> float:
    """Probability that another camera gives as much on that side of 0 at one of the positions."""
    return float(correlation.p_value_over(correlation.p_value(abs(z)), positions))


def tell_of_match(
    names: str, found: dict[str, Any], threshold: float, *, positions: int = 1
) -> None:
    """On stderr, what is to be known of scores as large as those of a match; see `judged`."""
    if drawn.decides(found["drawn"], found["z"]):
        note(
            f"{names}: {100 * found['drawn']:.0f} % of what agrees (z {found['z']:.1f}) lie where "
            "both have strong edges, as of a date, a frame, a watermark, the corners of a turned "
            f"picture or one scene; {_rest_text(found, threshold, positions)}"
        )
    elif not found["match"] and _is_clear(found, threshold, positions):
        note(
            f"{names}: z is too uneven for a match (its spread is {found['spread']:.1f}), as where "
            f"both have lines; without what stands out in both it is {found['rest']:.1f}, which "
            "may be one camera: cover the lines in both pictures, and ask again"
        )
    elif found["match"] and found["z"] < 0:
        note(
            f"{names}: a z of {found['z']:.1f} tells a camera as clearly as one of "
            f"{-found['z']:.1f}; the fingerprint has its sign turned, as where too much of it was "
            "taken out"
        )


def _rest_text(found: dict[str, Any], threshold: float, positions: int) -> str:
    """What the rest of two pictures tells, of which something drawn decides."""
    if math.isnan(found["rest"]):
        return "nothing else is left, so that one camera cannot be told from two"
    said = f"without these places z is {found['rest']:.1f}, "
    if not _is_clear(found, threshold, positions):
        return said + "which is no match of cameras"
    return said + (
        "which may be more of that, or one camera: cover them in both pictures, and ask again"
    )


def _is_clear(found: dict[str, Any], threshold: float, positions: int) -> bool:
    """Whether the rest is as large as that of one camera; not where there is none."""
    rest, spread = found["rest"], found["rest_spread"]
    return not math.isnan(rest) and _p_value(rest / spread, positions) < threshold


def tell_of_chance(comparisons: int, threshold: float) -> None:
    """On stderr, how many of so many comparisons are a match by chance, if that counts."""
    each = min(2 * threshold, 1.0)  # either sign
    expected = each * comparisons
    if expected >= _BY_CHANCE:
        note(
            f"of {counted(comparisons, 'comparison')} about {expected:.2g} are a match by chance "
            f"alone, since each may be one with a probability of {each:.2g}; --threshold "
            f"{10.0 ** (math.ceil(math.log10(_BY_CHANCE / 2 / comparisons)) - 1):.0e} makes that "
            f"less than {_BY_CHANCE:g}"
        )


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
    return FAILED if failed.reasons else FOUND if found else DONE


def print_json(value: Any) -> None:
    """One object, one line, at once."""
    print(json_line(value), flush=True)


def json_line(value: Any) -> str:
    """A value as JSON for stdout: of ASCII where that is not UTF-8, in which JSON is read."""
    text = files.json_text(value)
    utf8 = codecs.lookup(sys.stdout.encoding or "utf-8").name == "utf-8"
    return text if utf8 else json.dumps(json.loads(text))


def note(text: str) -> None:
    """A line on stderr, above the progress bar, if anybody listens."""
    try:
        tqdm.tqdm.write(f"dippas: {printable(text)}", file=sys.stderr)
    except OSError:
        _to_nothing(sys.stderr)


def say(text: str) -> bool:
    """A line on stdout, at once; where it cannot be written the work goes on without it.

    Returns:
      False if it is lost, and nobody chose not to read it.
    """
    try:
        print(text, flush=True)
    except BrokenPipeError:
        _to_nothing(sys.stdout)
    except OSError as error:
        _to_nothing(sys.stdout)
        note(f"lines on stdout cannot be written ({error.strerror}); the work goes on without")
        return False
    return True


def _to_nothing(stream: Any) -> None:
    """What is still to be written to a stream goes nowhere."""
    nothing = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nothing, stream.fileno())
    os.close(nothing)


def shown(name: Path | str) -> str:
    """A file's name, or what a file says, for the terminal: a line break in it is escaped."""
    return printable(str(name))


def or_unknown(text: str) -> str:
    """What a file says, or that it does not."""
    return shown(text) or "unknown (the file does not say)"


def version(package: str) -> str:
    """Of an installed package, which may lack what tells it, as in a copied folder."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "unknown"


def counted(number: int, noun: str) -> str:
    """So many of something: "1 photo", "2 photos"."""
    return f"{number} {noun}" + ("" if number == 1 else "s")


def size_text(size: Sequence[int]) -> str:
    """Width x height of a photo of so many rows and columns."""
    height, width = size
    return f"{width}x{height}"
