"""Keeps workers at work: starts one in every slot, and another in the place of one that died.

A slot is where one worker may run: a device, or a share of one. What starts workers and knows
whether they live is an engine: `processes` of this machine, or `cluster`.
"""

import contextlib
import secrets
import socket
import time
from collections.abc import Callable, Hashable, Iterable, Sequence
from typing import Any, NamedTuple

from dippas_jax.io import storage
from dippas_jax.parallel import ledger
from dippas_jax.parallel.worker import Task
from dippas_jax.types import InputError, ShortageError

_POLL = 0.5  # seconds
_TOLD = 500  # characters of a reason
_FUTILE = 8
"""Workers that die in a slot without finishing a photo, after which the slot is given up. Three
photos that kill whoever works on them cause seven such deaths at most."""


class End(NamedTuple):
    """How a worker ended.

    Attributes:
      well: All photos are finished.
      usable: Whether another one may do better.
      reason: Why it did not end well.
    """

    well: bool
    usable: bool = True
    reason: str = ""


class Engine(NamedTuple):
    """What runs workers.

    Attributes:
      slots: The places where a worker may run now.
      start: Start a worker of that name in a slot; gives what the others are asked with.
      ended: How it ended; None while it runs.
      stop: End those that still run, and wait until they are over; the last thing that is asked.
    """

    slots: Callable[[], Iterable[Hashable]]
    start: Callable[[Any, str], Any]
    ended: Callable[[Any], End | None]
    stop: Callable[[Sequence[Any]], None]


def supervise(
    engine: Engine,
    task: Task,
    *,
    note: Callable[[str], None] = lambda text: None,
    on_look: Callable[[], None] = lambda: None,
) -> None:
    """Run workers until every photo is done or given up.

    Args:
      engine: What runs them.
      task: What they do.
      note: Told of every worker that died.
      on_look: Called several times a second.

    Raises:
      InputError: No worker can work.
    """
    root = storage.place(task.root)
    running: dict[Any, tuple[str, Any]] = {}
    futile: dict[Any, int] = {}
    over, reason = False, ""
    try:
        while True:
            slots = [slot for slot in engine.slots() if futile.get(slot, 0) < _FUTILE]
            if not over and not slots and not running:
                last = f" (the last one: {reason})" if reason else ""
                raise InputError(
                    f"no worker can work; see why they died{last}, or give devices that can be used"
                )
            for slot in slots if not over else ():
                if slot not in running:
                    owner = _name()
                    running[slot] = owner, engine.start(slot, owner)
            for slot, (owner, handle) in list(running.items()):
                end = engine.ended(handle)
                if end is None:
                    continue
                del running[slot]
                over |= end.well
                if not end.usable:
                    raise InputError(end.reason)
                if not end.well:
                    reason = end.reason
                    note(f"worker {owner} died ({end.reason})")
                    _end(root, owner, "lost")
                    futile[slot] = 0 if _was_of_use(root, owner) else futile.get(slot, 0) + 1
            on_look()
            if over and not running:
                return
            time.sleep(_POLL)
    finally:
        engine.stop([handle for _, handle in running.values()])
        for owner, _ in running.values():
            _end(root, owner, "ended")


def _name() -> str:
    """Of a worker that there has never been."""
    return f"{socket.gethostname()}-{secrets.token_hex(6)}"


def ended_by(error: Exception) -> End:
    """How a worker ended that met an error.

    Another one meets an `InputError` as well, unless it is a `ShortageError`.
    """
    if isinstance(error, InputError):
        return End(False, isinstance(error, ShortageError), str(error))
    text = " ".join(str(error).split())[:_TOLD]
    known = type(error) is RuntimeError  # by which a worker says that another one should go on
    return End(False, True, text if known else f"{type(error).__name__}: {text}")


def _end(root: storage.Place, owner: str, state: str) -> None:
    """Tells the ledger, unless that is out of reach: then the lease tells of the worker."""
    with contextlib.suppress(Exception):
        ledger.end(root, owner, state)


def _was_of_use(root: storage.Place, owner: str) -> bool:
    """Whether a worker has finished a photo, as far as is known."""
    try:
        facts = storage.read_json(root / ledger.WORKERS / f"{owner}.json") or {}
    except Exception:  # noqa: BLE001 - of a ledger that is out of reach for a while
        return False
    return facts.get("done", 0) + facts.get("quarantined", 0) > 0
