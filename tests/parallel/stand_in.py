"""A method that takes no time: what it does to a photo depends on the photo's first letters."""

import itertools
import os
import time
import uuid
from pathlib import Path
from typing import NamedTuple

from dippas_jax.parallel.manifest import Item
from dippas_jax.parallel.method import Made, one_by_one
from dippas_jax.types import InputError, NoProcessError, OutOfReachError, ShortageError


class Method(NamedTuple):
    """Reverses the bytes, and leaves a file in `log` for every photo it was given.

    Of `together` photos that it has at work, the one that came last is done first.
    """

    log: str
    gain: int = 1
    seconds: float = 0.0
    together: int = 1

    def settings(self):
        return {"gain": self.gain}

    def device(self):
        return "stand-in"

    def extension(self, photo):
        return photo.suffix

    def treat(self, photo, fingerprint):
        data = photo.read_bytes()
        Path(self.log, f"{data.decode()} {uuid.uuid4().hex}").touch()
        time.sleep(self.seconds)
        if data.startswith(b"bad"):
            raise InputError(f"photo {photo} is bad; give another one")
        if data.startswith(b"short") and len(self.calls(data)) < 3:
            raise ShortageError(f"photo {photo} cannot be decoded for now; try again")
        if data.startswith(b"away"):
            raise OutOfReachError(f"photo {photo} needs a library; install it")
        if data.startswith(b"no process"):
            raise NoProcessError(f"photo {photo} cannot be decoded; end other programs")
        if data.startswith(b"poison"):
            os._exit(9)
        if data.startswith(b"broken") or (data.startswith(b"flaky") and len(self.calls(data)) < 3):
            raise RuntimeError(f"no memory for {photo}\nand so on")
        if data.startswith(b"stop"):
            raise KeyboardInterrupt
        known = fingerprint.read_bytes() if fingerprint else b""
        return Made(data[::-1] + known, {"psnr": 40.0}, 1.0, data.startswith(b"phone"))

    def treat_all(self, photos, done):
        if self.together == 1:
            one_by_one(self.treat, photos, done)
            return
        numbered, at_work = enumerate(photos), []
        while at_work := [*at_work, *itertools.islice(numbered, self.together - len(at_work))]:
            Path(self.log, f"together {len(at_work)} {uuid.uuid4().hex}").touch()
            if any(given.photo.read_bytes().startswith(b"all") for _, given in at_work):
                raise RuntimeError("no memory for all of them")
            number, given = at_work.pop()
            one = iter([given])
            one_by_one(self.treat, one, lambda _, made, number=number: done(number, made))

    def calls(self, data=b""):
        return [path.name for path in Path(self.log).glob(f"{data.decode()}*")]


def photos(folder, *contents):
    """A file for each, and its item."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, content in enumerate(contents):
        (folder / f"{number}.jpg").write_text(content)
    return [Item(str(folder / f"{number}.jpg")) for number in range(len(contents))]
