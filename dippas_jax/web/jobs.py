"""The files of a page and what becomes of them: one store, one job at a time.

The work is done by commands, each a process of its own in the private folder: so cancelling is a
kill, all memory comes back, and a page does what a command line does. Paths are relative to the
folder, which is why nothing that a command says names it.
"""

import asyncio
import contextlib
import json
import os
import re
import secrets
import shutil
import sys
import zipfile
from collections.abc import Callable, Coroutine, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from dippas_jax.types import InputError

KINDS = ("photo", "wall", "fingerprint")
MOST_FILES = 1000
FILE_BYTES = 2**30
"""Of one file; a photo of the most pixels that are read fits, even with 16 bits."""

ALL_BYTES = 16 * 2**30
BUSY = ("building", "estimating", "working")

_FINGERPRINTS = (".npz", ".npy", ".mat", ".h5", ".hdf5")
_OURS = re.compile(
    r"\bfolder (?:photos|wall): |\b(?:(?:photos|results)[/\\])?\d{4,}[/\\]|\bwall[/\\]\d{4,}-"
    r"|\bcamera[/\\](?:\d{4,}[/\\])?|\b(?:results|estimate)[/\\]"
)
_LONGEST = 200  # bytes of a name, to which a suffix is added
_LINE = 2**24  # bytes of a line of JSON, at most
_NOTES = 20
_CODES = range(5)  # those of `dippas`
_UNUSABLE = 2  # of them: nothing can be done
_FAULT = 70  # of `dippas` too: the program itself failed
_RESULTS = "results"


class Program(NamedTuple):
    """What does the work, and what knows how to say it.

    Attributes:
      command: To which the arguments of `dippas` are added. It ends when its stdin does.
      described: Gives what the page shows of a record, a line of `dippas anonymize --json`, and
        writes the pictures of before and after to a folder.
      caution: What is said when photos are done.
    """

    command: Sequence[str]
    described: Callable[[dict[str, Any], Path, Path], dict[str, Any]]
    caution: str


class File(NamedTuple):
    """A file that the browser sent.

    Attributes:
      number: Among the files, from 1 on.
      kind: One of `KINDS`.
      name: That it had.
      path: Where it is, below the private folder.
    """

    number: int
    kind: str
    name: str
    path: Path


class Wishes(NamedTuple):
    """What can be chosen on the page: options of `dippas anonymize`.

    Attributes:
      strength: "balanced" or "strong".
      displace: Whether pixels are moved.
      report: Whether every attacker is asked and a report is written.
    """

    strength: str = "balanced"
    displace: bool = False
    report: bool = False


def wishes(given: Any) -> Wishes:
    """What the page asks for; `InputError` if that is not what a page can ask for."""
    if isinstance(given, dict) and set(given) <= set(Wishes._fields):
        chosen = Wishes(**given)
        flags = chosen.displace, chosen.report
        if chosen.strength in ("balanced", "strong") and all(isinstance(x, bool) for x in flags):
            return chosen
    raise InputError("the page asks for options that do not exist; load it again")


def safe_name(name: str) -> str:
    """A file's name without folders; `InputError` for one that is none or leads elsewhere."""
    odd = any(ord(c) < 32 or ord(c) == 127 or 0xD800 <= ord(c) < 0xE000 for c in name)
    if not name or odd or name.startswith(".") or any(c in name for c in '/\\:*?"<>|'):
        raise InputError(f"a file cannot be called {name!r}; give it another name")
    if len(name.encode()) > _LONGEST:
        raise InputError(f"a file's name has more than {_LONGEST} bytes; give it a shorter one")
    return name


class BusyError(Exception):
    """A job is at work, and what was asked has to wait."""


class TooMuchError(Exception):
    """More files or bytes than there is room for."""


class Store:
    """The files, the one job, and what is known of both."""

    def __init__(self, folder: Path, program: Program) -> None:
        self.folder = folder
        self.program = program
        self.chosen = Wishes()  # by the page, and kept when all files are removed
        self._numbers = 0
        self.coming = 0  # uploads that are under way
        self.bytes = 0  # with those of uploads
        self.round = 0  # how often all was removed
        self._forget()

    def _forget(self) -> None:
        self.files: dict[int, File] = {}
        self.round += 1
        self.state = "waiting"
        self.photos: dict[int, dict[str, Any]] = {}
        self.notes: list[str] = []
        self.minutes: dict[int, float] = {}
        self._task: asyncio.Task[None] | None = None
        self._built: Path | None = None  # the fingerprint, of the walls that are there now
        self._built_notes: list[str] = []  # what was said of it
        self._asked: dict[int, dict[str, Any]] = {}  # what an estimate says of each photo
        self._made: tuple[Wishes, list[int]] | None = None  # how the results that are there were

    # ---------------------------------------------------------------------------------- the files

    def receive(self, kind: str, name: str) -> "Upload":
        """A place for a file; see `Upload`."""
        self.require_idle()
        name = safe_name(name)
        if kind == "fingerprint" and Path(name).suffix.lower() not in _FINGERPRINTS:
            raise InputError(f"{name} is no fingerprint; give one of {' '.join(_FINGERPRINTS)}")
        if len(self.files) >= MOST_FILES:
            raise TooMuchError(f"{MOST_FILES} files are the most; treat these first")
        self._numbers += 1
        number = self._numbers
        path = {
            "photo": Path("photos", f"{number:04}", name),
            "wall": Path("wall", f"{number:04}-{name}"),
            "fingerprint": Path("camera", f"{number:04}", name),
        }[kind]
        return Upload(self, File(number, kind, name, path))

    def keep(self, file: File) -> None:
        """A file that has come whole; of fingerprints the last one counts."""
        if file.kind == "fingerprint":
            self._remove("fingerprint")
        if file.kind != "photo":
            self._built = None
        self.files[file.number] = file
        self.state = "waiting"

    def choose(self, chosen: Wishes) -> None:
        """Remembers what is chosen, for a page that is loaded again and for other tabs."""
        self.require_idle()
        self.chosen = chosen

    def drop_camera(self) -> None:
        """Leaves out the fingerprint and the photos of a wall; results stay until Start."""
        self.require_idle()
        self._remove("fingerprint", "wall")
        (self.folder / "camera" / "camera.npz").unlink(missing_ok=True)
        self._built, self.notes, self.state = None, [], "waiting"

    def _remove(self, *kinds: str) -> None:
        """Removes the files of these kinds."""
        for file in [file for file in self.files.values() if file.kind in kinds]:
            path = self.folder / file.path
            self.bytes -= path.stat().st_size if path.exists() else 0
            path.unlink(missing_ok=True)
            del self.files[file.number]

    async def clear(self) -> None:
        """Forgets and removes all files, after ending the job."""
        await self.cancel()
        self._remove(*KINDS)
        self._forget()
        for name in ("photos", "wall", "camera", "results", "parts"):
            await asyncio.to_thread(shutil.rmtree, self.folder / name, ignore_errors=True)

    # ------------------------------------------------------------------------------------ the job

    def estimate(self, chosen: Wishes) -> None:
        """Begins to look at the photos: what each takes, and which cannot be used."""
        self._begin(self._estimate(chosen), "estimating", chosen)

    def start(self, chosen: Wishes) -> None:
        """Begins to anonymise the photos."""
        self._begin(self._work(chosen), "working", chosen)

    async def cancel(self) -> None:
        """Ends the job, if there is one; what is done stays."""
        if self._task is None or self._task.done():
            return
        self._task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._task
        self.state = "cancelled"

    def _begin(self, job: Coroutine[Any, Any, None], state: str, chosen: Wishes) -> None:
        try:
            self.require_idle()
            if self.coming:
                raise BusyError("files are on their way; wait until they have come")
            if not any(file.kind == "photo" for file in self.files.values()):
                raise InputError("there are no photos; add one")
        except (BusyError, InputError):
            job.close()
            raise
        self.state, self.notes, self.chosen = state, [], chosen
        self.photos = {n: photo for n, photo in self.photos.items() if "output" in photo}
        self._task = asyncio.get_running_loop().create_task(self._guarded(job))

    async def _guarded(self, job: Coroutine[Any, Any, None]) -> None:
        """A job that fails says so, and leaves the server alone."""
        try:
            await job
        except Exception as error:  # noqa: BLE001 - whatever it was, the page goes on
            self.notes.append(f"the job failed ({type(error).__name__}: {error})")
            self.state = "failed"
        finally:  # nothing is at work any more
            self.photos = {n: one for n, one in self.photos.items() if set(one) != {"progress"}}

    def require_idle(self) -> None:
        """`BusyError` while a job is at work."""
        if self.state in BUSY:
            raise BusyError("a job is at work; wait until it is done, or cancel it")

    async def _estimate(self, chosen: Wishes) -> None:
        camera = await self._camera()
        if camera is not None:
            self.state = "estimating"
            self.state = "ready" if await self._possible(camera, chosen) else "failed"

    async def _work(self, chosen: Wishes) -> None:
        camera = await self._camera()
        if camera is not None:
            self.state = "working"
            wanted = chosen, self._of_camera()
            if wanted != self._made:  # the same wish goes on where it was cancelled
                if self.photos and not await self._possible(camera, chosen):
                    self.state = "failed"  # and results that are there stay
                    return
                self.photos, self.notes, self._made = {}, [], wanted
                for name in ("results", "parts"):
                    await asyncio.to_thread(shutil.rmtree, self.folder / name, ignore_errors=True)
            await asyncio.to_thread(self._remove_unknown)
            built = self._built_notes if self._built else []
            self.notes = [*dict.fromkeys([*built, *self.notes])]
            code = await self._dippas(*_anonymize(camera, chosen), "--progress")
            done = any("output" in photo for photo in self.photos.values())
            self.state = "done" if done and code in _CODES else "failed"

    def _of_camera(self) -> list[int]:
        """The files that say which camera it is: a fingerprint, or photos of a wall."""
        kinds = [file.kind for file in self.files.values()]
        kind = "fingerprint" if "fingerprint" in kinds else "wall"
        return [file.number for file in self.files.values() if file.kind == kind]

    async def _possible(self, camera: list[str], chosen: Wishes) -> bool:
        """Looks at the photos without treating them; whether Start can do any of them.

        Results of other wishes, and their report, stand in nobody's way: Start removes them.
        """
        again = (chosen, self._of_camera()) == self._made
        into = _RESULTS if again else "estimate"
        self._asked = {}
        await asyncio.to_thread(self._remove_unknown)
        code = await self._dippas(*_anonymize(camera, chosen, into, "estimate"), "-n")
        ready = any("minutes" in one for one in self._asked.values())
        there = any("output" in photo for photo in self.photos.values())
        if not ready:  # the cards of photos that are done say nothing of it
            reasons = [one["failed"] for one in self._asked.values() if "failed" in one]
            self.notes = [*self.notes, *(_plain(why) for why in reasons)][-_NOTES:]
        return code != _UNUSABLE and (ready or (there and again))

    def _remove_unknown(self) -> None:
        """Removes results that a cancelled job has written but not told of: they are made again."""
        for folder in (self.folder / "results").glob("[0-9]*"):
            if "output" not in self.photos.get(int(folder.name), {}):
                shutil.rmtree(folder, ignore_errors=True)

    async def _camera(self) -> list[str] | None:
        """Options that say the fingerprint, built if need be; None if that failed."""
        for file in self.files.values():
            if file.kind == "fingerprint":
                return ["--fingerprint", str(file.path)]
        if not any(file.kind == "wall" for file in self.files.values()):
            return []
        if self._built is None:
            self.state = "building"
            output = Path("camera", "camera.npz")
            (self.folder / "camera").mkdir(exist_ok=True)
            code = await self._dippas(
                "fingerprint", "build", "wall", "-o", str(output), "--overwrite", "--json"
            )
            if code not in (0, 1):  # 1: some wall could not be used, and the notes name it
                self.state = "failed"
                return None
            self._built, self._built_notes = output, self.notes
        return ["--fingerprint", str(self._built)]

    async def _dippas(self, *arguments: str) -> int:
        """Runs a command to its end; what it says is taken down line by line."""
        process = await asyncio.create_subprocess_exec(
            *self.program.command,
            *arguments,
            cwd=self.folder,
            env={
                **os.environ,
                "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
                "PYTHONIOENCODING": "utf-8",
            },
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            limit=_LINE,
        )
        assert process.stdout is not None
        assert process.stderr is not None
        notes = asyncio.create_task(self._take_notes(process.stderr))
        try:
            async for line in process.stdout:
                await self._take(json.loads(line))
            await notes
            code = await process.wait()
            if code not in _CODES:
                why = f"the program ended early (code {code}); it may have run out of memory"
                if code == _FAULT:
                    why = "the program itself failed (code 70); please report the lines above"
                self.notes = [*self.notes, why]
            return code
        finally:
            if process.returncode is None:
                with contextlib.suppress(ProcessLookupError):
                    process.kill()
                await process.wait()
            notes.cancel()

    async def _take(self, line: Mapping[str, Any]) -> None:
        """A line of JSON of a command: what became of a photo."""
        if not isinstance(line.get("photo"), str):  # `fingerprint build` tells the photos' size
            return
        parts = Path(line["photo"]).parts
        if len(parts) < 3 or int(parts[1]) not in self.files:
            return
        number = int(parts[1])
        if "minutes" in line:
            self.minutes[number] = line["minutes"]
        if "minutes" in line or "failed" in line:
            self._asked[number] = dict(line)
        if "output" in self.photos.get(number, {}):
            return  # done before, and skipped now
        if "sha256" in line:
            into = self.folder / "parts" / str(number)
            work = asyncio.to_thread(self.program.described, dict(line), self.folder, into)
            found = await _whole(work)
            found["output"] = line["output"]
        else:
            names = ("minutes", "memory_mib", "width", "height", "failed", "skipped", "progress")
            found = {name: line[name] for name in names if name in line}
        self.photos[number] = _plain(found)

    async def _take_notes(self, stream: asyncio.StreamReader) -> None:
        async for line in stream:
            text = line.decode(errors="replace").strip().removeprefix("dippas: ")
            if text and "--overwrite" not in text:  # of results that are there, which Start keeps
                self.notes = [*self.notes, _plain(text)][-_NOTES:]

    # --------------------------------------------------------------------------- what is known

    def known(self) -> dict[str, Any]:
        """All that the page shows, as plain values."""
        return {
            "state": self.state,
            "busy": self.state in BUSY,
            "files": [
                {
                    "number": file.number,
                    "kind": file.kind,
                    "name": file.name,
                    "minutes": self.minutes.get(file.number, 0.0),
                }
                for file in self.files.values()
            ],
            "photos": {
                number: {key: value for key, value in photo.items() if key != "output"}
                for number, photo in self.photos.items()
            },
            "notes": self.notes,
            "caution": self.program.caution,
            "report": (self.folder / "results" / "report.html").exists(),
            "camera": self._built is not None,
            "chosen": self.chosen._asdict(),
            "ready": [
                {"minutes": one["minutes"], "memory_mib": one["memory_mib"]}
                for one in self._asked.values()
                if "minutes" in one
            ],
            "made": self._made[0]._asdict()
            if self._made and self._made[1] == self._of_camera()
            else None,
            "file_bytes": FILE_BYTES,
        }

    def result(self, number: int) -> Path | None:
        """The file that was made of a photo."""
        output = self.photos.get(number, {}).get("output")
        return self.folder / output if output else None

    def results(self) -> Path:
        """All results in one ZIP file, which tells no times; names that come twice get a number."""
        path = self.folder / "results" / "photos.zip"
        hidden = path.with_name(f".{secrets.token_hex(8)}.zip")  # it may be asked for twice at once
        try:
            self._pack(hidden)
            return hidden.replace(path)
        finally:
            hidden.unlink(missing_ok=True)

    def _pack(self, path: Path) -> None:
        taken: set[str] = set()
        with zipfile.ZipFile(path, "w") as archive:  # stored: photos do not get smaller
            for number in sorted(self.photos):
                if source := self.result(number):
                    name = source.name
                    while name in taken:
                        name = f"{number}-{name}"
                    taken.add(name)
                    entry = zipfile.ZipInfo(name)
                    with (
                        open(source, "rb") as data,
                        archive.open(entry, "w", force_zip64=True) as target,
                    ):
                        shutil.copyfileobj(data, target)


class Upload:
    """A file on its way: `with` it, `write`; it joins the store if it came whole."""

    def __init__(self, store: Store, file: File) -> None:
        self.store, self.file, self.bytes = store, file, 0
        self._round = store.round

    def __enter__(self) -> "Upload":
        path = self.store.folder / self.file.path
        path.parent.mkdir(parents=True, exist_ok=True)
        self._open = open(path, "xb")
        self.store.coming += 1
        return self

    def write(self, data: bytes) -> None:
        """Part of the file; `TooMuchError` if that is more than there is room for."""
        self.bytes += len(data)
        self.store.bytes += len(data)
        if self.bytes > FILE_BYTES:
            raise TooMuchError(f"{self.file.name} has more than {FILE_BYTES >> 20} MiB")
        if self.store.bytes > ALL_BYTES:
            raise TooMuchError(f"all files have more than {ALL_BYTES >> 30} GiB")
        self._open.write(data)

    def __exit__(self, kind: Any, error: Any, trace: Any) -> None:
        self.store.coming -= 1
        path = self.store.folder / self.file.path
        whole = False
        try:
            self._open.close()  # which writes what is left, and may find the disk full
            there = path.exists() and self._round == self.store.round
            whole = kind is None and self.store.state not in BUSY and there
        finally:
            if not whole:
                path.unlink(missing_ok=True)
                self.store.bytes -= self.bytes
        if whole:
            self.store.keep(self.file)
            return
        self.store.require_idle()
        if kind is None:
            raise InputError("all files were removed while this one came; send it again")


async def _whole(work: Coroutine[Any, Any, Any]) -> Any:
    """What work gives that cannot be stopped; a job that is cancelled waits for it."""
    task = asyncio.ensure_future(work)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        with contextlib.suppress(Exception):
            await task
        raise


def _anonymize(
    camera: list[str], chosen: Wishes, into: str = _RESULTS, report_into: str = _RESULTS
) -> list[str]:
    report = ["--report", str(Path(report_into, "report.html"))] if chosen.report else []
    moved = ["--displace", "2"] if chosen.displace else []
    strength = ["--strength", chosen.strength]
    where = ["anonymize", "-r", "photos", "-o", into, "--json"]
    return [*where, *camera, *strength, *moved, *report]


def _plain(value: Any) -> Any:
    """What a command says, with the names that the files had."""
    if isinstance(value, str):
        return _OURS.sub("", value.replace("folder photos holds", "what was added holds"))
    if isinstance(value, list):
        return [_plain(one) for one in value]
    if isinstance(value, dict):
        return {k: v if k == "output" else _plain(v) for k, v in value.items()}
    return value
