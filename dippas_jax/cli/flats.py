"""Which of the photos given are used for a fingerprint: of one size, of one orientation, no copies.

One photo of another size, or a copy, does not stop the others.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from dippas_jax.cli import console
from dippas_jax.io import photo as photo_file
from dippas_jax.signal import copies, placement
from dippas_jax.types import InputError, Window

Headers = dict[Path, photo_file.Header]

_HELD = {1, 3, 6, 8}  # EXIF orientations without a mirror
_APART = 4.0  # times the median likeness, from where two photos may be copies
_BY_CHANCE = 4.0  # standard errors of a likeness


class Used:
    """What becomes of the photos that can be read.

    Attributes:
      photos: Those that count.
      noises: Of each of them (`copies.noise`).
      copies: The others, and of which photo each is a copy.
    """

    def __init__(self) -> None:
        self.photos: list[Path] = []
        self.noises: list[np.ndarray] = []
        self.copies: list[tuple[Path, Path]] = []


def of_one_size(headers: Headers, failed: console.Failures) -> Headers:
    """The photos of the size that more than half have; the others have failed.

    Raises:
      InputError: No size is that of more than half.
    """
    sizes = Counter(header.size for header in headers.values())
    (size, number), *_ = sizes.most_common(1)
    first = next(path for path in headers if headers[path].size == size)
    for path in [path for path in headers if headers[path].size != size]:
        pair = [one for one in headers if one in (first, path)]
        reason = _apart(*((one, headers[one].size) for one in pair))
        if 2 * number <= len(headers):
            raise InputError(reason)
        failed.add(path, reason)
    return {path: header for path, header in headers.items() if header.size == size}


def _apart(one: tuple[Path, tuple[int, int]], two: tuple[Path, tuple[int, int]]) -> str:
    """Why photos of two sizes cannot go together."""
    came = " and ".join(f"{path} of {console.size_text(size)}" for path, size in (one, two))
    if one[1] == two[1][::-1]:
        return (
            f"photos {came} lie across each other, and a fingerprint belongs to the sensor; turn "
            "one back or leave it out"
        )
    return f"photos {came} differ in size; give photos of one size"


def of_one_orientation(headers: Headers, failed: console.Failures) -> Headers:
    """The photos that lie as more than half do; the others, which may have been turned, failed.

    A phone stores every photo as its sensor lies, wider than high, and says by a tag how it was
    held. So photos that all lie across are as the sensor has them, whatever their tags: one that
    was turned upright would be higher than wide, and its tag reset.

    Args:
      headers: Of photos of one size.
      failed: Hears of the others.

    Raises:
      InputError: No orientation is that of more than half.
    """

    def lies(header: photo_file.Header) -> int:
        across = header.size[1] > header.size[0]
        return 1 if across and header.orientation in _HELD else header.orientation

    ways = Counter(map(lies, headers.values()))
    (way, number), *_ = ways.most_common(1)
    first = next(path for path, header in headers.items() if lies(header) == way)
    for path, header in headers.items():
        if lies(header) == way:
            continue
        reason = (
            f"photos {first} and {path} have the EXIF orientations {headers[first].orientation} "
            f"and {header.orientation}, so the pixels of one may have been turned; give photos of "
            "one orientation, or --any-orientation if all are as the camera wrote them"
        )
        if 2 * number <= len(headers):
            raise InputError(reason)
        failed.add(path, reason)
    return {path: header for path, header in headers.items() if lies(header) == way}


def readable(
    paths: Sequence[Path], window: Window, failed: console.Failures, used: Used
) -> Iterator[np.ndarray]:
    """The window's pixels of every photo that can be read and is no copy of an earlier one."""

    def read(path: Path) -> tuple[np.ndarray, np.ndarray]:
        part = placement.cut(console.read_pixels(path), window, offset=(0, 0))
        return part, copies.noise(part)

    for path in console.bar(paths, "photo"):
        found = failed.catch(read, path)
        if found is None:
            continue
        part, noise = found
        if not noise.any():
            reason = f"photo {path} has no noise, as where all is black or burnt out; leave it out"
            failed.add(path, reason)
            continue
        likeness = np.array([noise @ other for other in used.noises])
        if likeness.size and likeness.max() >= copies.SAME:
            used.copies.append((path, used.photos[likeness.argmax()]))
            continue
        used.photos.append(path)
        used.noises.append(noise)
        yield part


def told_by_halves(used: Used) -> bool:
    """Whether halves of the photos tell how reliable the fingerprint is; if not, why, on stderr.

    They do not where photos are more alike than those of a camera, as if made of one.
    """
    if used.copies:
        copy, of = used.copies[0]
        number = len(used.copies)
        were = "shows" if number == 1 else "for one, show"
        console.note(
            f"{console.counted(number, 'photo')} of {number + len(used.photos)}, {copy} {were} the "
            f"very noise of another, {of}, and {'was' if number == 1 else 'were'} left out: a copy "
            "tells nothing new"
        )
    noises = np.stack(used.noises)
    pairs = np.triu_indices(len(noises), 1)
    likeness = (noises @ noises.T)[pairs]
    if not likeness.size:
        return True
    most = likeness.argmax()
    usual = float(np.median(likeness))
    chance = _BY_CHANCE / noises.shape[1] ** 0.5
    suspect = max(copies.SUSPECT, 2 * chance)
    if likeness[most] < copies.ALIKE and not suspect < likeness[most] > _APART * usual:
        return True
    first, second = (used.photos[side[most]] for side in pairs)
    console.note(
        f"{first} and {second} share {100 * likeness[most]:.0f} % of their noise (half of all "
        f"pairs at most {max(100 * usual, 0):.0f} %), two photos of a camera hardly a tenth; if "
        "one was made of the other, leave it out, and if the others are not of their camera or "
        "turned, leave these out: no reliability is told"
    )
    return False
