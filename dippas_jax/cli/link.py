"""`dippas link`: photo against photo."""

import functools
import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from dippas_jax.cli import console
from dippas_jax.forensics import identification
from dippas_jax.signal import placement
from dippas_jax.types import InputError


class _Centre(NamedTuple):
    size: tuple[int, int]  # of the whole photo
    pixels: np.ndarray


def link(
    photos: Sequence[str],
    *,
    side: int | None,
    threshold: float,
    json: bool = False,
) -> int:
    """Scores every pair of photos, residual against residual; needs no fingerprint.

    Args:
      photos: Files, folders and patterns.
      side: Most pixels a side that are compared, of the centre; None for all.
      threshold: p-value below which two photos are called one camera's.
      json: JSON in place of a table.
    """
    failed, done, found = console.Failures(json=json), 0, False
    paths = console.expand(photos, failed)
    if len(paths) < 2:
        alone = f"photo {paths[0]} alone" if paths else "nothing"
        raise InputError(f"{alone} cannot be linked; give two photos or more")
    read = {path: crop for path in paths if (crop := failed.catch(_read, path, side))}
    wide = max(len(console.shown(path)) for path in paths)
    pairs = list(itertools.combinations(read, 2))
    alike = [(a, b) for a, b in pairs if read[a].size == read[b].size]
    if len(alike) < len(pairs):
        _say_not_compared(read, fatal=not alike)

    def compared(a: Path, b: Path) -> dict[str, Any]:
        pair = read[a].pixels, read[b].pixels
        scores = console.scores(identification.link(*pair))
        look = functools.partial(identification.drawn_in_both, *pair)
        return scores | console.judged(scores, look, threshold)

    for a, b in console.bar(alike, "pair", quiet=True):
        scores = failed.catch(compared, a, b, name=f"{a} with {b}")
        if scores is None:
            continue
        match = scores["match"]
        found |= match
        if json:
            console.print_json({"photos": [str(a), str(b)], **scores})
        else:
            if not done:
                print(f"{'photo':<{wide}}  {'photo':<{wide}}  {console.SCORES_HEADER}")
            first, second = console.shown(a), console.shown(b)
            line = f"{first:<{wide}}  {second:<{wide}}  {console.scores_text(scores)}"
            print(line + "  match" * match, flush=True)
        console.tell_of_match(f"{a} and {b}", scores, threshold)
        done += 1
    if found:
        console.tell_of_chance(done, threshold)
    return console.exit_code(done, failed, found)


def _read(path: Path, side: int | None) -> _Centre:
    pixels = console.read_pixels(path)
    size = pixels.shape[0], pixels.shape[1]
    return _Centre(size, placement.cut(pixels, console.centre(size, side), offset=(0, 0)))


def _say_not_compared(read: Mapping[Path, _Centre], *, fatal: bool) -> None:
    """Photos of different sizes are passed over; where none has another's size, all are."""
    sizes = {photo.size: path for path, photo in read.items()}
    examples = ", ".join(f"{console.size_text(size)} ({path})" for size, path in sizes.items())
    came = f"photos of different sizes cannot be linked, and there are {examples}"
    if fatal:
        raise InputError(f"{came}; give photos of one size and orientation")
    console.note(f"{came}; only those of one size were compared")
