"""The rows of a study made by many processes, on this machine or on a cluster.

A part is a group of photos treated by one method: what `rows` makes of it, written where one
process alone would write it. So a study that was spread is finished by whoever reads those files,
and one that was cut off goes on in either way. Who does which part is settled in a ledger
(`parallel.ledger`) that lives as long as the command.
"""

import contextlib
import dataclasses
import functools
import hashlib
import io
import os
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax

from dippas_jax import config as configuration
from dippas_jax.experiments import methods, rows, runs, tasks
from dippas_jax.io import files, storage, weights
from dippas_jax.parallel import cluster, ledger, processes, summary, supervisor
from dippas_jax.parallel.manifest import Item
from dippas_jax.parallel.method import Done, Given, Made, one_by_one
from dippas_jax.parallel.worker import Task
from dippas_jax.types import InputError

_EVERY = 10.0  # seconds between two lines that say how far it is
_SHOWN = 3  # parts that could not be done, in a message


def make(config: configuration.Study, folder: Path) -> dict[str, str]:
    """Make the rows that are not there, on the devices of `config.cluster` or of this machine.

    Parts of which photos are missing are made again. This process does not ask JAX for a device
    meanwhile: GPUs are the workers'.

    Returns:
      By method, which photos it could not do and why, as of `methods.invert`.

    Raises:
      InputError: The photos cannot be used, or no worker can work.
      runs.FailedError: Parts could not be done; the others stand.
    """
    parts = _Parts(config, str(folder), os.getcwd(), weights.load() is not None)
    with tempfile.TemporaryDirectory(
        dir=folder, prefix="cluster-", ignore_cleanup_errors=True
    ) as name:
        root = ledger.begin(name, parts.settings())
        first = _Part("", "")
        tasks.say("the photos are looked at, and fingerprints estimated")
        reasons = _done(root, parts, [first])
        if reasons:
            raise InputError(reasons[first])
        (looked,) = _outputs(root)
        every = [
            part
            for method in dict.fromkeys(map(methods.once, methods.named(config)))
            for part in (_Part(method, group) for group in looked["groups"])
            if not part.is_done(looked["groups"][part.group], config, folder)
        ]
        reasons = _done(root, parts, every) if every else {}
        failed: dict[str, list[str]] = {}
        for one in _outputs(root):
            if one["failed"]:
                failed.setdefault(one["method"], []).append(one["failed"])
    if reasons:
        some = [f"{part.method} of {part.group}: {why}" for part, why in reasons.items()]
        more = f"; and {len(some) - _SHOWN} more" if len(some) > _SHOWN else ""
        raise runs.FailedError(
            f"{len(some)} of {len(every)} parts of the study could not be done, and the same "
            f"command tries them again: {'; '.join(some[:_SHOWN])}{more}"
        )
    return {method: "; ".join(sorted(some)) for method, some in failed.items()}


class _Part(NamedTuple):
    """A method, before what it makes is compressed again, and a group; both "" to get ready."""

    method: str
    group: str

    def names(self, config: configuration.Study) -> list[str]:
        """All methods of the study that this part makes."""
        return [one for one in methods.named(config) if methods.once(one) == self.method]

    def is_done(self, photos: Sequence[str], config: configuration.Study, folder: Path) -> bool:
        """Whether all photos of the group, by their ids, are made and in the rows."""
        made = methods.possible(self.method, photos, folder)
        names = self.names(config)
        return made == photos and all(rows.stands(n, self.group, photos, folder) for n in names)


class _Parts(NamedTuple):
    """What is done to a part, which a file names, as a `parallel.method.Method`.

    Attributes:
      config: Of the study.
      folder: Of the study.
      home: Working folder of the command, from which paths count.
      learned: Whether the command has the weights of the learned extractor.
    """

    config: configuration.Study
    folder: str
    home: str
    learned: bool

    def settings(self) -> Mapping[str, Any]:
        """All that changes a row."""
        return {"study": dataclasses.asdict(self.config), "learned": self.learned}

    def device(self) -> str:
        """The kind of device that this process works on; `InputError` if something is missing."""
        try:
            os.chdir(self.home)
        except OSError as error:
            raise InputError(
                f"folder {self.home} is not on every machine ({files.reason(error)}); give the "
                "command where all see the same files"
            ) from None
        if self.learned != (weights.load() is not None):
            raise InputError(
                "the weights of the learned extractor are not on every machine; `dippas fetch "
                "learned` gets them"
            )
        return jax.devices()[0].device_kind

    def extension(self, photo: Path) -> str:
        """Of what is known of a part."""
        return ".json"

    def treat_all(self, photos: Iterator[Given], done: Done) -> None:
        """Part after part; the photos of one share the slots of a device, as in any run."""
        one_by_one(self._treat, photos, done)

    def _treat(self, photo: Path, fingerprint: Path | None) -> Made:
        part, folder = _Part(**files.read_json(photo)), Path(self.folder)
        with contextlib.redirect_stderr(io.StringIO()):  # of several workers on one terminal
            ready, failed = _ready(self.config, folder), ""
            found = {one.name: [record.id for record in one.records] for one in ready.groups}
            if part.method:
                (group,) = (one for one in ready.groups if one.name == part.group)
                if methods.base(part.method) in methods.OURS:
                    _, failed = methods.invert(part.method, [group], self.config, folder)
                for name in part.names(self.config):
                    rows.make(name, group, ready, self.config, folder)
        said = {"method": part.method, "groups": found, "failed": failed}
        return Made(files.json_bytes(said), {}, 1.0, traced=False)


_ready = functools.lru_cache(maxsize=1)(rows.ready)
"""Of a process that does one part after the other."""


def _done(root: storage.Place, method: _Parts, parts: Sequence[_Part]) -> dict[_Part, str]:
    """Have parts done; why some of them could not be."""
    config = method.config
    of: dict[Item, _Part] = {}
    for part in parts:
        content = files.json_bytes(part)
        file = Path(root.path, f"{hashlib.sha256(content).hexdigest()[:16]}.json")
        files.write_bytes(file, content)
        of[Item(str(file))] = part
    task = Task(root.path, list(of), method)
    last, told = time.monotonic(), 0

    def look() -> None:
        nonlocal last, told
        if len(parts) > 1 and time.monotonic() - last > _EVERY:
            last, before = time.monotonic(), told
            told = len(ledger.finished(root).keys() & {item.id for item in of})
            if told != before:
                tasks.say(f"{told} of {len(parts)} parts done")

    with contextlib.redirect_stdout(sys.stderr):  # where Ray tells its news
        if config.cluster:
            engine = cluster.engine(task, config.cluster, max(config.workers, 1))
        else:
            engine = processes.engine(task, processes.local_devices(), config.workers)
        supervisor.supervise(engine, task, note=tasks.say, on_look=look)
    reasons = summary.summarise(root, task.items)["reasons"]
    return {part: reasons[item.photo] for item, part in of.items() if item.photo in reasons}


def _outputs(root: storage.Place) -> Iterator[Any]:
    """What the parts gave that are done."""
    for name in storage.names(root / ledger.DONE):
        facts = storage.read_json(root / ledger.DONE / name)
        yield storage.read_json(root / ledger.PHOTOS / facts["output"])
