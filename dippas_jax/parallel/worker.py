"""A worker: photo after photo of a manifest, until all are done or given up; it knows no engine.

Any number of workers may have the same photos and ledger; each claims what it works on. One that
finds nothing to do waits for the others, whose photos it takes over should they die.

A method may have several photos at work, and asks for the next one when there is room. Should the
worker die, or all of them fail at once, nobody knows whose fault it was: a photo of which a try has
failed is therefore tried again alone, so that it costs the others one try at most.
"""

import contextlib
import hashlib
import json
import shutil
import threading
import time
import zlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

import dippas_jax
from dippas_jax.io import files, private, storage
from dippas_jax.io.storage import Place
from dippas_jax.parallel import ledger
from dippas_jax.parallel.manifest import Item
from dippas_jax.parallel.method import Given, Made, Method
from dippas_jax.types import InputError, NoProcessError, OutOfReachError, ShortageError

_WAIT = 1.0  # seconds between two looks at what others hold
_BEATS = 6  # signs of life in a lease
_BEAT = 60.0  # seconds between two at most: after three times as many a summary counts nobody
_USUAL = 16 << 20  # bytes of a photo: with room for so many, a larger one is too large
_BROKEN = 3  # photos in a row that failed, after which this process is to blame, not they


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
        **ledger.here(), "state": "working", "started": time.time(), "device": "", "photos": [],
        "done": 0, "quarantined": 0, "failing": [],
    }  # fmt: skip
    first = zlib.crc32(owner.encode()) % max(len(task.items), 1)
    waiting = [*task.items[first:], *task.items[:first]]  # the others begin elsewhere
    with private.folder() as folder, _telling(root, owner, tally, task.lease):
        tally["device"] = task.method.device()
        worker = _Worker(task, root, owner, folder, tally)
        pause = _WAIT
        while waiting:
            later = worker.round(waiting)
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
        while not over.wait(min(lease / _BEATS, _BEAT)):
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
            tell(state="ended", photos=[])


class _PhotoError(Exception):
    """A photo could not be done.

    Attributes:
      final: Trying again would not help.
      away: Something for it is not on this machine, which is neither its fault nor that of a try.
      lack: This machine has no room or process for it. Others that are at work may hold that; else,
        unless it is `away`, there is none for any photo.
    """

    def __init__(self, reason: str, *, final: bool = False, away: bool = False, lack: bool = False):
        super().__init__(reason)
        self.final, self.away, self.lack = final, away, lack


class _Held(NamedTuple):
    """A photo that is this worker's.

    Attributes:
      item: The photo.
      number: Of the try.
      folder: For copies of its files.
      names: By copy, the name that the user knows.
      output: Name of the file that is to be made; "" until it is known.
    """

    item: Item
    number: int
    folder: Path
    names: dict[str, str]
    output: str = ""


class _Worker:
    """What a worker holds, and what becomes of it."""

    def __init__(self, task: Task, root: Place, owner: str, folder: Path, tally: dict[str, Any]):
        self._task, self._root, self._owner = task, root, owner
        self._folder, self._tally = folder, tally
        self._seen: ledger.Seen = {}
        self._held: dict[str, _Held] = {}  # by the photo's id
        self._spent: dict[str, float] = {}  # seconds, likewise
        self._told = time.monotonic()
        self._fingerprints: dict[str, tuple[Path, str]] = {}  # copy and hash by name
        self._away: dict[str, str] = {}  # why this worker tries them no more, by the photo's id
        self._later: list[Item] = []
        self._full = False  # photos at work hold what another one needs
        self._tried: list[Item] = []

    def round(self, waiting: Sequence[Item]) -> list[Item]:
        """Do all of the photos that can be done now; those that are to be looked at later."""
        finished = ledger.finished(self._root)
        left = [item for item in waiting if item.id not in finished]
        self._later = [item for item in left if item.id in self._away]
        left = [item for item in left if item.id not in self._away]
        self._tried = []
        if self._task.attempts > 1:
            self._treat(iter(left), untried=True)
            left = self._tried
        for item in left:
            self._treat(iter([item]), untried=False)
        if self._later and all(item.id in self._away for item in self._later):
            raise RuntimeError(self._away[self._later[0].id])
        return self._later

    def _treat(self, items: Iterator[Item], *, untried: bool) -> None:
        """Claim the photos and have them done, several at a time if the method likes."""
        self._full = False
        order: list[_Held] = []
        own: list[Exception] = []  # what no photo that is at work is to blame for

        def given() -> Iterator[Given]:
            with _noted(own):
                for held, copies in self._ready(items, untried=untried):
                    order.append(held)
                    yield copies

        def done(number: int, made: Made | Exception) -> None:
            with _noted(own):
                self._end(order[number], made)

        try:
            self._task.method.treat_all(given(), done)
            if self._held:
                raise RuntimeError("the method gave nothing")
        except Exception as error:
            if own or not self._held:
                raise
            self._end_together(error)
        finally:  # where this worker is told to stop, or cannot write
            for held in list(self._held.values()):
                with contextlib.suppress(Exception):
                    ledger.release(self._root, held.item.id, held.number, self._owner)
                self._let_go(held)
        self._later += items  # where the method ended before them

    def _end(self, held: _Held, made: Made | Exception) -> None:
        """A photo's output is written, or it has failed."""
        try:
            with _failures(held.names):
                if isinstance(made, Exception):
                    raise made
        except _PhotoError as failure:
            self._fail(held, failure)
        else:
            self._write(held, made)

    def _end_together(self, error: Exception) -> None:
        """All photos at work have failed; of several nobody knows which one is to blame."""
        together = list(self._held.values())
        if len(together) == 1:
            self._end(together[0], error)
            return
        for held in together:
            self._try_again(held, f"{type(error).__name__}: {error}".partition("\n")[0])
        raise RuntimeError(f"{len(together)} photos failed together: {error}") from None

    def _ready(self, items: Iterator[Item], *, untried: bool) -> Iterator[tuple[_Held, Given]]:
        """Those of the photos that are this worker's and have no output yet, with their files."""
        task, root = self._task, self._root
        for item in items:
            if self._full:
                self._later.append(item)
                return
            if ledger.is_finished(root, item.id):
                continue
            claim = ledger.claim(
                root,
                item.id,
                self._owner,
                self._seen,
                most=task.attempts,
                lease=task.lease,
                untried=untried,
            )
            if claim.state == ledger.TAKEN:
                self._later.append(item)
            elif claim.state == ledger.TRIED:
                self._tried.append(item)
            elif claim.state == ledger.SPENT:
                count, last = len(claim.reasons), claim.reasons[-1]
                why = f"{count} tries failed, the last one because {last}"
                self._give_up(item, claim.number, why)
            elif ledger.is_finished(root, item.id):  # while its last worker was being looked at
                ledger.release(root, item.id, claim.number, self._owner)
            else:
                held = _Held(item, claim.number, self._folder / item.id, {})
                self._hold(held)
                try:
                    with _failures(held.names):
                        given, output, record = self._prepared(held)
                except _PhotoError as failure:
                    self._fail(held, failure)
                    continue
                held = self._held[item.id] = held._replace(output=output)
                if record is None:
                    yield held, given
                else:
                    self._done(held, reused=True, traced=record["traced"], units=0.0)

    def _prepared(self, held: _Held) -> tuple[Given, str, Mapping[str, Any] | None]:
        """Copies of a photo's files, its output's name, and the record if that is there already."""
        item, method = held.item, self._task.method
        with _own_folder():
            held.folder.mkdir(exist_ok=True)
        photo, digest = _copied(held.folder, item.photo, "photo", held.names)
        if item.sha256 and digest != item.sha256:
            raise InputError(
                f"photo {item.photo} is not that of the manifest: its sha256 is {digest}; get the "
                "original file, or write a new manifest"
            )
        fingerprint, known = self._fingerprint(item.fingerprint, held.names)
        what = [dippas_jax.__version__, method.settings(), digest, known]
        stem = hashlib.sha256(json.dumps(what, sort_keys=True).encode()).hexdigest()[:32]
        output = stem + method.extension(photo)
        at, known_as = self._places(output)
        record = storage.read_json(known_as) if storage.exists(at) else None
        return Given(photo, fingerprint, *self._checkpoints(held, stem)), output, record

    def _checkpoints(self, held: _Held, stem: str) -> tuple[Path | None, tuple[Path, ...]]:
        """Of this try and of earlier ones: of each its own, for who is taken for dead may live."""
        if self._root.local is None:
            return None, ()
        folder = self._root.local / ledger.CHECKPOINTS / held.item.id
        numbers = [path.name.partition(".")[0] for path in folder.glob(f"*.{stem}")]
        earlier = sorted({int(n) for n in numbers if n.isdecimal()} - {held.number}, reverse=True)
        return folder / f"{held.number}.{stem}", tuple(folder / f"{n}.{stem}" for n in earlier)

    def _places(self, output: str) -> tuple[Place, Place]:
        """Of an output and of its record."""
        record = PurePosixPath(output).with_suffix(".json").name
        return self._root / ledger.PHOTOS / output, self._root / ledger.RECORDS / record

    def _fingerprint(self, name: str, names: dict[str, str]) -> tuple[Path | None, str]:
        """As `_copied`, under a name of its own; the last one is kept, and those in use."""
        if not name:
            return None, ""
        if name not in self._fingerprints:
            used = {held.item.fingerprint for held in self._held.values()}
            for other in set(self._fingerprints) - used:
                copy, _ = self._fingerprints.pop(other)
                if not any(copy == kept for kept, _ in self._fingerprints.values()):
                    copy.unlink()
            path, digest = _copied(self._folder, name, "fingerprint", names)
            with _own_folder():
                self._fingerprints[name] = path.rename(path.with_stem(digest)), digest
        path, digest = self._fingerprints[name]
        names[str(path)] = name
        return path, digest

    # ------------------------------------------------------------------------ what becomes of them

    def _hold(self, held: _Held) -> None:
        self._pass()
        self._held[held.item.id], self._spent[held.item.id] = held, 0.0
        self._tally["photos"] = [one.item.photo for one in self._held.values()]

    def _let_go(self, held: _Held) -> None:
        self._pass()
        del self._held[held.item.id], self._spent[held.item.id]
        self._tally["photos"] = [one.item.photo for one in self._held.values()]
        shutil.rmtree(held.folder, ignore_errors=True)

    def _pass(self) -> None:
        """The time since the last call was that of all photos at work, in equal parts."""
        now = time.monotonic()
        for item in self._held:
            self._spent[item] += (now - self._told) / len(self._held)
        self._told = now

    def _write(self, held: _Held, made: Made) -> None:
        at, known_as = self._places(held.output)
        storage.write_json(known_as, {**made.record, "traced": made.traced})
        storage.write(at, made.data)  # last: an output has its record
        self._done(held, reused=False, traced=made.traced, units=made.units)

    def _done(self, held: _Held, **facts: Any) -> None:
        self._pass()
        seconds, tally = self._spent[held.item.id], self._tally
        facts |= {"output": held.output, "device": tally["device"], "seconds": seconds}
        self._finish(ledger.DONE, held.item, held.number, **facts)
        self._let_go(held)
        tally["done"] += 1
        tally["failing"] = []
        self._tell_first()

    def _fail(self, held: _Held, failure: _PhotoError) -> None:
        if failure.final:
            self._give_up(held.item, held.number, str(failure))
            self._let_go(held)
            return
        if failure.lack and len(self._held) > 1:
            self._full = True
            self._give_back(held)
            return
        if failure.away:
            self._away[held.item.id] = str(failure)
            self._give_back(held)
            return
        if failure.lack:
            raise RuntimeError(str(failure)) from None
        self._try_again(held, str(failure))
        self._tally["failing"] = [*{*self._tally["failing"], held.item.photo}]
        if len(self._tally["failing"]) >= _BROKEN:
            raise RuntimeError(f"{_BROKEN} photos failed one after the other: {failure}") from None

    def _give_back(self, held: _Held) -> None:
        """For later, without a try of it."""
        ledger.release(self._root, held.item.id, held.number, self._owner)
        self._let_go(held)
        self._later.append(held.item)

    def _try_again(self, held: _Held, reason: str) -> None:
        ledger.failed(self._root, held.item.id, held.number, self._owner, reason)
        self._let_go(held)
        self._later.append(held.item)

    def _give_up(self, item: Item, tries: int, reason: str) -> None:
        self._finish(ledger.QUARANTINE, item, tries, reason=reason)
        self._tally["quarantined"] += 1
        self._tell_first()

    def _tell_first(self) -> None:
        """At once, so that a worker which dies soon afterwards is known to have been of use."""
        if self._tally["done"] + self._tally["quarantined"] == 1:
            ledger.tell(self._root, self._owner, {**self._tally, "time": time.time()})

    def _finish(self, folder: str, item: Item, tries: int, **facts: Any) -> None:
        known = {**item._asdict(), "owner": self._owner, "tries": tries}
        ledger.write(self._root, folder, item.id, known | facts)
        if self._root.local:
            shutil.rmtree(self._root.local / ledger.CHECKPOINTS / item.id, ignore_errors=True)


@contextlib.contextmanager
def _noted(errors: list[Exception]) -> Iterator[None]:
    try:
        yield
    except Exception as error:
        errors.append(error)
        raise


@contextlib.contextmanager
def _failures(names: Mapping[str, str]) -> Iterator[None]:
    """Whatever goes wrong with a photo, as a `_PhotoError`, with the names that the user knows."""

    def renamed(text: str) -> str:
        for copy, name in names.items():
            text = text.replace(copy, name)
        return text

    try:
        yield
    except _PhotoError:
        raise
    except NoProcessError as error:
        raise _PhotoError(renamed(str(error)), lack=True) from None
    except InputError as error:
        final = not isinstance(error, ShortageError)
        away = isinstance(error, OutOfReachError)
        raise _PhotoError(renamed(str(error)), final=final, away=away) from None
    except Exception as error:
        reason = f"{type(error).__name__}: {str(error).partition(chr(10))[0]}"
        raise _PhotoError(renamed(reason)) from error


@contextlib.contextmanager
def _own_folder() -> Iterator[None]:
    """`_PhotoError` where nothing can be written, as on a full disk."""
    try:
        yield
    except OSError as error:
        raise _PhotoError(
            f"copies of photos cannot be written ({files.reason(error)}); free room in the "
            "temporary folder, or set TMPDIR to another one",
            lack=True,
        ) from None


def _copied(folder: Path, name: str, noun: str, names: dict[str, str]) -> tuple[Path, str]:
    """A copy of a file and its hash: of one reading, whatever happens to the file meanwhile."""
    at = storage.place(name)
    storage.require_size(at, noun)
    try:
        data = storage.read(at, noun)
    except InputError:
        raise
    except MemoryError:
        raise storage.no_memory(at, noun) from None
    except Exception as error:
        if at.local:
            raise
        raise storage.not_given(at, noun, error) from None
    path = folder / (noun + storage.suffix(name))
    if noun == "photo":
        _write_photo(path, data, name)
    else:
        with _own_folder():
            path.write_bytes(data)
    names[str(path)] = name
    return path, hashlib.sha256(data).hexdigest()


def _write_photo(path: Path, data: bytes, name: str) -> None:
    """`_PhotoError` where there is no room for it, or for any."""
    try:
        path.write_bytes(data)
    except OSError as error:
        try:
            with _own_folder():
                path.write_bytes(data[:_USUAL])
        finally:
            path.unlink(missing_ok=True)
        raise _PhotoError(
            f"photo {name} of {len(data) / 2**20:.0f} MiB does not fit into the temporary folder "
            f"({files.reason(error)}); free room there, or set TMPDIR to another one",
            away=True,
            lack=True,
        ) from None
