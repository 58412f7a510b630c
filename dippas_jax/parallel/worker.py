"""A worker: photo after photo of a manifest, until all are done or given up; it knows no engine.

Any number of workers may have the same photos and ledger; each claims what it works on. One that
finds nothing to do waits for the others, whose photos it takes over should they die.
"""

import contextlib
import hashlib
import json
import tempfile
import threading
import time
import zlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple, Protocol

import dippas_jax
from dippas_jax.io import storage
from dippas_jax.io.storage import Place
from dippas_jax.parallel import ledger
from dippas_jax.parallel.manifest import Item
from dippas_jax.types import InputError

_WAIT = 1.0  # seconds between two looks at what others hold
_BEATS = 6  # signs of life in a lease
_BROKEN = 3  # photos in a row that failed, after which this process is to blame, not they


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

    def treat(self, photo: Path, fingerprint: Path | None) -> Made:
        """Make the output; `InputError` if the photo or the fingerprint cannot be used.

        Fingerprints of one path have one content.
        """
        ...


class Task(NamedTuple):
    """What workers share.

    Attributes:
      root: Folder of the ledger, path or URL.
      items: The photos.
      method: What is done to them.
      attempts: Tries of a photo that may fail, by an error or a death, before it is given up.
      lease: Seconds without a sign of life after which a worker counts as dead.
    """

    root: str
    items: Sequence[Item]
    method: Method
    attempts: int = 3
    lease: float = 120.0


class _Files(NamedTuple):
    """Copies of the photo at work and of the last fingerprint, in a folder of this worker's."""

    folder: Path
    fingerprints: dict[str, tuple[Path, str]]


def work(task: Task, owner: str) -> None:
    """Work until every photo is done or given up.

    Args:
      task: What there is to do; the ledger has begun.
      owner: This worker's name, no other's.

    Raises:
      InputError: The ledger cannot be written to. Photos that cannot be used raise nothing.
      RuntimeError: Photos fail one after the other, so another process should go on.
    """
    root = storage.place(task.root)
    tally: dict[str, Any] = {
        **ledger.here(), "state": "working", "started": time.time(), "device": "", "photo": "",
        "done": 0, "quarantined": 0, "failing": [],
    }  # fmt: skip
    first = zlib.crc32(owner.encode()) % max(len(task.items), 1)
    waiting = [*task.items[first:], *task.items[:first]]  # the others begin elsewhere
    seen: ledger.Seen = {}
    with tempfile.TemporaryDirectory() as folder, _telling(root, owner, tally, task.lease):
        tally["device"] = task.method.device()
        files = _Files(Path(folder), {})
        pause = _WAIT
        while waiting:
            finished, later = ledger.finished(root), []
            for item in waiting:
                if item.id in finished or ledger.is_finished(root, item.id):
                    continue
                if not _tried(task, root, owner, item, files, tally, seen):
                    later.append(item)
            pause = 2 * pause if len(later) == len(waiting) else _WAIT
            if later:
                time.sleep(min(pause, task.lease / 4))
            waiting = later


@contextlib.contextmanager
def _telling(root: Place, owner: str, tally: dict[str, Any], lease: float) -> Iterator[None]:
    """Signs of life until the end, and that it is one."""
    over = threading.Event()

    def tell(**changes: Any) -> None:
        ledger.tell(root, owner, {**tally, "time": time.time(), **changes})

    def beat() -> None:
        while not over.wait(lease / _BEATS):
            with contextlib.suppress(Exception):  # the work itself meets it, if it lasts
                tell()

    tell()
    thread = threading.Thread(target=beat, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
        with contextlib.suppress(Exception):
            tell(state="ended", photo="")


def _tried(
    task: Task,
    root: Place,
    owner: str,
    item: Item,
    files: _Files,
    tally: dict[str, Any],
    seen: ledger.Seen,
) -> bool:
    """Whether a photo that was not finished is so now."""
    claim = ledger.claim(root, item.id, owner, seen, most=task.attempts, lease=task.lease)
    if claim.state == ledger.TAKEN:
        return False
    facts = {**item._asdict(), "owner": owner, "tries": claim.number}

    def give_up(reason: str) -> bool:
        ledger.write(root, ledger.QUARANTINE, item.id, {**facts, "reason": reason})
        tally["quarantined"] += 1
        return True

    if claim.state == ledger.SPENT:
        count, last = len(claim.reasons), claim.reasons[-1]
        return give_up(f"{count} tries failed, the last one because {last}")
    if ledger.is_finished(root, item.id):  # while its last worker was being looked at
        ledger.release(root, item.id, claim.number, owner)
        return True
    tally["photo"], started = item.photo, time.monotonic()
    try:
        done = _done(task, root, item, files)
    except _PhotoError as failure:
        if failure.final:
            return give_up(str(failure))
        ledger.failed(root, item.id, claim.number, owner, str(failure))
        tally["failing"] = [*{*tally["failing"], item.photo}]
        if len(tally["failing"]) < _BROKEN:
            return False
        raise RuntimeError(f"{_BROKEN} photos failed one after the other: {failure}") from None
    except BaseException:  # this worker is told to stop, or cannot write
        with contextlib.suppress(Exception):
            ledger.release(root, item.id, claim.number, owner)
        raise
    done |= {"device": tally["device"], "seconds": time.monotonic() - started}
    ledger.write(root, ledger.DONE, item.id, facts | done)
    tally["done"] += 1
    tally["failing"] = []
    return True


class _PhotoError(Exception):
    """A photo could not be done; `final` if trying again would not help."""

    def __init__(self, reason: str, *, final: bool):
        super().__init__(reason)
        self.final = final


def _done(task: Task, root: Place, item: Item, files: _Files) -> dict[str, Any]:
    """Make and write an output, unless it is there already; what the ledger says of it."""
    names: dict[str, str] = {}
    with _failures(names):
        photo, digest = _copied(files, item.photo, "photo", names)
        if item.sha256 and digest != item.sha256:
            raise InputError(
                f"photo {item.photo} is not that of the manifest: its sha256 is {digest}; get the "
                "original file, or write a new manifest"
            )
        fingerprint, known = _fingerprint(files, item.fingerprint, names)
        what = [dippas_jax.__version__, task.method.settings(), digest, known]
        stem = hashlib.sha256(json.dumps(what, sort_keys=True).encode()).hexdigest()[:32]
        output = stem + task.method.extension(photo)
        at, known_as = root / ledger.PHOTOS / output, root / ledger.RECORDS / f"{stem}.json"
        record = storage.read_json(known_as) if storage.exists(at) else None
        if record is not None:
            return {"output": output, "reused": True, "traced": record["traced"], "units": 0.0}
        made = task.method.treat(photo, fingerprint)
    storage.write_json(known_as, {**made.record, "traced": made.traced})
    storage.write(at, made.data)  # last: an output has its record
    return {"output": output, "reused": False, "traced": made.traced, "units": made.units}


@contextlib.contextmanager
def _failures(names: Mapping[str, str]) -> Iterator[None]:
    """Whatever goes wrong with a photo, as a `_PhotoError`, with the names that the user knows."""

    def renamed(text: str) -> str:
        for copy, name in names.items():
            text = text.replace(copy, name)
        return text

    try:
        yield
    except InputError as error:
        raise _PhotoError(renamed(str(error)), final=True) from None
    except Exception as error:
        reason = f"{type(error).__name__}: {str(error).partition(chr(10))[0]}"
        raise _PhotoError(renamed(reason), final=False) from error


def _copied(files: _Files, name: str, noun: str, names: dict[str, str]) -> tuple[Path, str]:
    """A copy of a file and its hash: of one reading, whatever happens to the file meanwhile."""
    data = storage.read(storage.place(name), noun)
    path = files.folder / (noun + PurePosixPath(name).suffix)
    path.write_bytes(data)
    names[str(path)] = name
    return path, hashlib.sha256(data).hexdigest()


def _fingerprint(files: _Files, name: str, names: dict[str, str]) -> tuple[Path | None, str]:
    """As `_copied`, under a name of its own; the last one is kept, for a camera's photos follow."""
    if not name:
        return None, ""
    if name not in files.fingerprints:
        for path, _ in files.fingerprints.values():
            path.unlink()
        files.fingerprints.clear()
        path, digest = _copied(files, name, "fingerprint", names)
        files.fingerprints[name] = path.rename(path.with_stem(digest)), digest
    path, digest = files.fingerprints[name]
    names[str(path)] = name
    return path, digest
