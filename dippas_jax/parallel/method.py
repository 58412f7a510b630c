"""What a worker does to photos, as it sees it: what it gives a method, and what it is told."""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple, Protocol


class Made(NamedTuple):
    """An output.

    Attributes:
      data: Of its file.
      record: What is known of it, ready for JSON.
      units: Of work, for estimates.
      traced: Whether its camera can probably still be found.
    """

    data: bytes
    record: Mapping[str, Any]
    units: float
    traced: bool


class Given(NamedTuple):
    """A photo to be done.

    Attributes:
      photo: A copy of its file, there until its output is given.
      fingerprint: Likewise of its camera's; None where none is known. Those of one path have one
        content.
      checkpoints: Folder, which need not exist, for what a later try may go on from; None where the
        ledger is in no folder of this machine.
      earlier: Those of earlier tries at the same output, the last one first.
    """

    photo: Path
    fingerprint: Path | None
    checkpoints: Path | None = None
    earlier: tuple[Path, ...] = ()


Done = Callable[[int, Made | Exception], None]
"""Hears the number of a photo, from 0 in the order in which they were given, and its output or what
went wrong: `InputError` if the photo or the fingerprint cannot be used; `ShortageError` (and those
that are one) or anything else if another try may succeed."""


class Method(Protocol):
    """What is done to a photo. It travels to other processes, so it is plain values."""

    def settings(self) -> Mapping[str, Any]:
        """All that changes an output, ready for JSON."""
        ...

    def device(self) -> str:
        """Prepare this process, and name the kind of device it works on."""
        ...

    def extension(self, photo: Path) -> str:
        """Of the output's name."""
        ...

    def treat_all(self, photos: Iterator[Given], done: Done) -> None:
        """Make outputs; what comes of a photo does not depend on the others.

        Args:
          photos: Each is asked for when there is room for it, and is at work from then on.
          done: Told of each as soon as that is known; what it raises is not to be caught.
        """
        ...


def one_by_one(
    treat: Callable[[Path, Path | None], Made], photos: Iterator[Given], done: Done
) -> None:
    """`Method.treat_all` by a function of one photo."""
    for number, given in enumerate(photos):
        made: Made | Exception
        try:
            made = treat(given.photo, given.fingerprint)
        except Exception as error:  # noqa: BLE001 - whatever it is, it is this photo's
            made = error
        done(number, made)
