"""`dippas campaign`: photos of a manifest, by workers on many devices and machines.

What workers share is in `parallel`; here is what is done to a photo, and what is said of it all.
"""

import contextlib
import dataclasses
import functools
import io
import signal
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax

from dippas_jax.cli import anonymize, campaign_plan, console, outputs, pace, photo_record, treatment
from dippas_jax.cli.checkpoints import Checkpoints
from dippas_jax.cli.outputs import Job, Options
from dippas_jax.cli.photo_record import PhotoRecord
from dippas_jax.io import files, fingerprint_file, photo_kinds, storage
from dippas_jax.parallel import cluster, ledger, manifest, processes, summary, supervisor
from dippas_jax.parallel.manifest import Item
from dippas_jax.parallel.method import Done, Given, Made, one_by_one
from dippas_jax.parallel.worker import Task
from dippas_jax.types import Fingerprint, InputError

_NOT_SETTINGS = frozenset(
    (
        "output", "recursive", "fingerprint", "blind", "check", "max_minutes", "suffix",
        "random_name", "overwrite", "report", "device",
    )
)  # fmt: skip
"""Options of `dippas anonymize` that do not change an output here, or that there are none of."""

_FINGERPRINT = "fingerprint"
"""Key of --fingerprint beside the settings: with another one, photos would be done again."""

_SHOWN = 5  # lines of the manifest that repeat others
_EVERY = 10.0  # seconds between two summaries


class How(NamedTuple):
    """What changes nothing in an output.

    Attributes:
      workers: On each device.
      device: "auto", "cpu" or "gpu".
      cluster: Address of a Ray cluster; None for this machine.
      shard: Which part of how many of the manifest; None for all of it.
      attempts: Tries of a photo that may fail.
      lease: Seconds without a sign of life after which a worker counts as dead.
      retry: Photos that were given up are tried again.
    """

    workers: int = 1
    device: str = "auto"
    cluster: str | None = None
    shard: tuple[int, int] | None = None
    attempts: int = 3
    lease: float = 120.0
    retry: bool = False

    @property
    def platform(self) -> str:
        """As JAX_PLATFORMS; "" for JAX's choice."""
        return "cpu" if self.device == "cpu" else ""


class Anonymiser(NamedTuple):
    """`treatment.treat` as a `parallel.method.Method`."""

    options: Options

    def settings(self) -> Mapping[str, Any]:
        """All that changes an output."""
        values = self.options._asdict()
        return {name: value for name, value in values.items() if name not in _NOT_SETTINGS}

    def device(self) -> str:
        """The kind of device that this process works on; `InputError` if something is missing."""
        outputs.require_possible(self.options)  # here, on what may be another machine
        anonymize.choose_device(self.options.device)
        return jax.devices()[0].device_kind

    def extension(self, photo: Path) -> str:
        """Of the output, by the photo's content or the format asked for."""
        kind = self.options.kind
        return photo_kinds.FORMATS[photo_kinds.kind_of(photo) if kind == "same" else kind]

    def treat_all(self, photos: Iterator[Given], done: Done) -> None:
        """The outputs, and their records without the originals' names.

        By the paper's method several photos are at work where a device takes several.
        """
        if self.options.method != "prior":
            one_by_one(self._treat, photos, done)
            return

        def job(given: Given) -> tuple[Job, str | None, Checkpoints | None]:
            known = str(given.fingerprint) if given.fingerprint else None
            kept = None
            if given.checkpoints:
                kept = Checkpoints(given.checkpoints, given.earlier)
            return self._job(given.photo), known, kept

        def on_made(number: int, made: tuple[PhotoRecord, bytes] | Exception) -> None:
            done(number, made if isinstance(made, Exception) else self._made(*made))

        jobs = map(job, photos)
        treatment.treat_by_prior(jobs, on_made, self.options, lambda file: _camera(Path(file)))

    def _treat(self, photo: Path, fingerprint: Path | None) -> Made:
        options = self.options._replace(fingerprint=str(fingerprint) if fingerprint else None)
        cameras = {str(fingerprint): _camera(fingerprint)} if fingerprint else {}
        with _one_voice():
            return self._made(*treatment.treat(photo, self._job(photo), cameras, options))

    def _job(self, photo: Path) -> Job:
        return Job(photo, Path(f"output{self.extension(photo)}"), self.options.kind)

    def _made(self, record: PhotoRecord, data: bytes) -> Made:
        names = ("photo", "output", "fingerprint", "photo_sha256")
        known = {k: v for k, v in dataclasses.asdict(record).items() if k not in names}
        aware = record.fingerprint is not None
        units = pace.work((record.height, record.width), method=self.options.method, aware=aware)
        return Made(data, known, units, photo_record.traced(record))


@functools.lru_cache(maxsize=1)
def _camera(path: Path) -> Fingerprint:
    """The last one is kept; a worker's copy of another has another name."""
    return files.read_fingerprint_file(path)


@contextlib.contextmanager
def _one_voice() -> Iterator[None]:
    """Without the progress bars of several workers on one terminal; what they say besides stays."""
    heard = io.StringIO()
    try:
        with contextlib.redirect_stderr(heard):
            yield
    finally:
        sys.stderr.write(heard.getvalue())


def campaign(
    name: str,
    output: str,
    options: Options,
    how: How,
    *,
    fingerprint: str = "",
    dry_run: bool = False,
    summary_only: bool = False,
    json: bool = False,
) -> int:
    """Anonymises the photos of a manifest.

    Args:
      name: Path or URL of the manifest.
      output: Folder or URL of the ledger and the outputs.
      options: All that changes an output.
      how: All that does not.
      fingerprint: For photos whose manifest names none; path or URL.
      dry_run: Only say what there is to do, how long it takes and how much room.
      summary_only: Only say how far it is.
      json: JSON in place of text.

    Raises:
      InputError: What was given cannot be used as a whole, or no worker can work and this start
        has finished nothing; with a shard, whatever is done.
    """
    if summary_only and how.retry:
        raise InputError(
            "--summary only says how far it is, so --retry does nothing; leave one out"
        )
    method = Anonymiser(options)
    root = storage.place(output)
    if summary_only:  # of what was begun, so nobody has to say again with which fingerprint
        fingerprint = fingerprint or ledger.settings_of(root).get(_FINGERPRINT) or ""
    else:
        outputs.require_possible(options)
        if fingerprint:
            data = storage.read(storage.place(fingerprint), "fingerprint")
            fingerprint_file.decode(fingerprint, data)
    items, words = manifest.read(name, fingerprint)
    for word in words[:_SHOWN]:
        console.note(f"{word}, and counts once")
    if len(words) > _SHOWN:
        console.note(f"{len(words) - _SHOWN} lines more repeat others, and count once")
    show_plan = functools.partial(
        campaign_plan.show,
        root=root,
        options=options,
        retry=how.retry,
        whole=not how.shard,
        json=json,
    )
    every = items
    if how.shard:
        items = manifest.shard(items, how.shard)
    if not items and how.shard:  # of an array with more tasks than photos: no fault of this one's
        number, count = how.shard
        console.note(
            f"manifest {name} has fewer than {count} photos, so shard {number}/{count} has nothing "
            "to do"
        )
        if json and dry_run:
            return show_plan(items)
        if json:
            print(console.json_line(summary.summarise(root, items)), flush=True)
        return console.DONE
    if summary_only:
        if not ledger.settings_of(root):
            raise InputError(f"folder {output} holds no campaign; give the -o it was started with")
        return _say(root, items, how, json=json)
    known = manifest.resolved(fingerprint) if fingerprint else None
    settings = {**method.settings(), _FINGERPRINT: known}
    if root.local:
        outputs.require_writable(root.local)
    if dry_run:
        ledger.require_same(output, settings)
        return show_plan(items)
    root = ledger.begin(output, settings)
    if how.retry and (count := ledger.forget_quarantined(root, {item.id for item in items})):
        console.note(f"{console.counted(count, 'photo')} that had been put aside are tried again")
    place = output if storage.is_url(output) else root.path
    if count := ledger.forget_lost(root, {item.id for item in items}):
        console.note(
            f"the outputs of {console.counted(count, 'photo')} that were done are gone; they are "
            "made again"
        )
    ledger.forget_checkpoints(root)
    task = Task(place, items, method, how.attempts, how.lease)
    cut_off = False
    if len(_finished(root, items)) < len(items):
        with _terminated(), contextlib.redirect_stdout(sys.stderr):  # where Ray tells its news
            cut_off = _run(task, root, how, every)
    code = _say(root, items, how, json=json, every=every)
    return console.FAILED if cut_off else code


def _finished(root: storage.Place, items: Sequence[Item]) -> list[str]:
    """Of the photos that are finished, in which folder of the ledger they stand."""
    found = ledger.finished(root)
    return [found[item.id] for item in items if item.id in found]


def _run(task: Task, root: storage.Place, how: How, every: Sequence[Item]) -> bool:
    """Whether photos are left, as no worker could go on; `InputError` if none was finished."""
    if how.cluster:
        engine = cluster.engine(task, how.cluster, how.workers, how.platform)
        where = f"the cluster {how.cluster}"
    else:
        found = processes.local_devices(how.platform)
        engine = processes.engine(task, found, how.workers, how.platform)
        devices = console.counted(found.number, "device")
        where = f"{devices} ({found.kind}), {console.counted(how.workers, 'worker')} on each"
    console.note(f"{console.counted(len(task.items), 'photo')}, on {where}")
    known: summary.Known = {}
    last = 0.0

    def look() -> None:
        nonlocal last
        if time.monotonic() - last > _EVERY:
            last = time.monotonic()
            with contextlib.suppress(Exception):  # what is shared may be out of reach for a while
                now = summary.summarise(root, every, known)
                storage.write_json(root / "summary.json", now)

    before = len(_finished(root, task.items))
    try:
        supervisor.supervise(engine, task, note=console.note, on_look=look)
    except InputError as error:
        after = _finished(root, task.items)
        # Of a shard the scheduler tries again what ends with 2, and the others are at work.
        if how.shard or len(after) == before or ledger.DONE not in after:
            raise
        console.note(str(error))
        return True
    return False


@contextlib.contextmanager
def _terminated() -> Iterator[None]:
    """A scheduler that wants its machine back is heard like a user who presses Ctrl-C."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def interrupt(*_: Any) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _say(
    root: storage.Place,
    items: Sequence[Item],
    how: How,
    *,
    json: bool,
    every: Sequence[Item] = (),
) -> int:
    """How far it is, on stdout; and how far all of it is, in the ledger, after a run."""
    now = summary.summarise(root, items)
    if now["hours"] and how.shard:  # the workers of the other shards have as much left as these
        now["hours"] *= how.shard[1]
    print(console.json_line(now) if json else summary.text(now), flush=True)
    if every:
        whole = now if len(every) == len(items) else summary.summarise(root, every)
        storage.write_json(root / "summary.json", whole)
    if not now["left"] and now["done"]:
        console.note(anonymize.CAUTION)
    if not now["done"] and not now["left"] and not how.shard:
        return console.UNUSABLE
    if now["quarantined"]:
        return console.FAILED
    return console.TRACED if now["traced"] else console.DONE
