"""The ledger of a campaign: files that many machines write without ever waiting for each other.

    campaign.json       the settings; all who work here have the same
    photos/NAME.EXT     outputs; NAME is a hash of the photo, the fingerprint and the settings
    records/NAME.json   what is known of an output, without the original's name
    done/ID.json        a photo of the manifest that is done: its output, who did it and how long
    quarantine/ID.json  one that is given up, and why
    claims/ID.N.json    the N-th try at a photo, and whose it is
    workers/OWNER.json  what a worker says of itself, again and again while it lives
    checkpoints/ID/     what tries leave for later ones, until the photo is done or given up
    summary.json        all of it, counted

A try is claimed by creating its file, which succeeds only once. Whoever finds a claim of a worker
that is dead claims the next try. A worker counts as dead if whoever started it says so, if its
process is gone from this very machine, or if its file has not changed for a lease by the finder's
own clock: no two clocks are compared. Should such a worker live after all, both write the same
output, so a lease is never more than a matter of time.
"""

import contextlib
import itertools
import json
import os
import shutil
import socket
import time
from collections.abc import Mapping
from typing import Any, NamedTuple

import dippas_jax
from dippas_jax.io import files, storage
from dippas_jax.io.storage import Place
from dippas_jax.types import InputError

PHOTOS, RECORDS, DONE, QUARANTINE = "photos", "records", "done", "quarantine"
CLAIMS, WORKERS, CHECKPOINTS = "claims", "workers", "checkpoints"
_SETTINGS = "campaign.json"

HELD, TAKEN, SPENT, TRIED = "held", "taken", "spent", "tried"

_DIED = "its worker died while it was at work on it (out of memory?)"

Seen = dict[str, tuple[Any, float]]
"""Of each worker that holds what this one wants: what its file said last, and since when."""


class Claim(NamedTuple):
    """What became of a wish to work on a photo.

    Attributes:
      state: `HELD`: it is yours; `TAKEN`: a living worker is at it; `SPENT`: all tries failed;
        `TRIED`: a try failed, and only a photo of which none did was wished for.
      number: Of the try.
      reasons: Why the earlier ones failed.
    """

    state: str
    number: int
    reasons: tuple[str, ...]


def begin(name: str, settings: Mapping[str, Any]) -> Place:
    """The ledger's folder, new or of a campaign with the same settings.

    Raises:
      InputError: It belongs to a campaign with other settings or of another version of the program,
        or it cannot be written to.
    """
    root = storage.place(name)
    for folder in (PHOTOS, RECORDS, DONE, QUARANTINE, CLAIMS, WORKERS):
        storage.prepare(root / folder)
    wanted = _as_json(settings)
    at = root / _SETTINGS
    try:
        new = storage.create(at, wanted)
    except InputError:
        raise
    except Exception as error:  # noqa: BLE001 - every file system has errors of its own
        raise InputError(
            f"folder {name} cannot be written to ({error}); choose another -o"
        ) from None
    found = wanted if new else _begun(at)
    if found is None:
        storage.write_json(at, wanted)
        found = wanted
    _require_same(name, _known(at, found), wanted)
    return root


def settings_of(root: Place) -> dict[str, Any]:
    """The settings and the version of the campaign in a folder; {} where there is none."""
    return _known(root / _SETTINGS, storage.read_json(root / _SETTINGS) or {})


def _known(at: Place, found: Any) -> dict[str, Any]:
    """The settings that a file holds; `InputError` where it holds something else."""
    if not isinstance(found, dict):
        raise InputError(f"{at.name} is damaged and tells no settings; choose another -o")
    return found


def require_same(name: str, settings: Mapping[str, Any]) -> None:
    """`InputError` where `begin` would refuse these settings; nothing is written."""
    if found := settings_of(storage.place(name)):
        _require_same(name, found, _as_json(settings))


def _as_json(settings: Mapping[str, Any]) -> dict[str, Any]:
    return json.loads(files.json_text({"version": dippas_jax.__version__, **settings}))


def _require_same(name: str, found: Mapping[str, Any], wanted: Mapping[str, Any]) -> None:
    different = [key for key in {**wanted, **found} if wanted.get(key) != found.get(key)]
    if different:
        key = different[0]
        raise InputError(
            f"folder {name} holds a campaign whose {key} is {found.get(key)!r}, and "
            f"{wanted.get(key)!r} was given; choose another -o"
        )


def _begun(at: Place) -> Any:
    """What another machine has written, or is about to; None if it was cut off."""
    for _ in range(50):
        if (found := storage.read_json(at)) is not None:
            return found
        time.sleep(0.1)
    return None


# ------------------------------------------------------------------------------------------- photos


def finished(root: Place) -> dict[str, str]:
    """The photos that are done or given up, by their id: the folder in which they stand."""
    return {
        name.removesuffix(".json"): folder
        for folder in (QUARANTINE, DONE)
        for name in storage.names(root / folder)
        if name.endswith(".json") and not name.startswith(".")
    }


def is_finished(root: Place, item: str) -> bool:
    """Whether a photo is done or given up."""
    return any(storage.exists(root / folder / f"{item}.json") for folder in (DONE, QUARANTINE))


def claim(
    root: Place,
    item: str,
    owner: str,
    seen: Seen,
    *,
    most: int,
    lease: float,
    untried: bool = False,
) -> Claim:
    """Try to be the one who works on a photo.

    Args:
      root: The ledger.
      item: Its id.
      owner: Who asks.
      seen: What the owner has seen of others; changed.
      most: Tries that may fail.
      lease: Seconds without a sign of life after which a worker counts as dead.
      untried: Leave it alone if a try has failed, but not all of them.
    """
    reasons: list[str] = []
    for number in itertools.count(1):
        at = root / CLAIMS / f"{item}.{number}.json"
        if len(reasons) >= most:
            return Claim(SPENT, number - 1, tuple(reasons))
        if untried and reasons:
            return Claim(TRIED, number - 1, tuple(reasons))
        if storage.create(at, {"owner": owner}):
            return Claim(HELD, number, tuple(reasons))
        found = storage.read_json(at) or {}
        if found == {"owner": owner}:  # created, and the answer was lost on its way
            return Claim(HELD, number, tuple(reasons))
        if "failed" in found:
            reasons.append(found["failed"])
            continue
        end = "released" if found.get("released") else _end(root, found, at, seen, lease)
        if end == "lost":
            reasons.append(_DIED)
        elif not end:
            return Claim(TAKEN, number, tuple(reasons))
    raise AssertionError("numbers do not end")


def forget_checkpoints(root: Place) -> None:
    """Removes what was kept of photos that are finished, as a worker that dies may leave it."""
    if root.local and (kept := storage.names(root / CHECKPOINTS)):
        for item in finished(root).keys() & set(kept):
            shutil.rmtree(root.local / CHECKPOINTS / item, ignore_errors=True)


def release(root: Place, item: str, number: int, owner: str) -> None:
    """Give a photo back that was not finished; this try does not count as failed."""
    storage.write_json(root / CLAIMS / f"{item}.{number}.json", {"owner": owner, "released": True})


def failed(root: Place, item: str, number: int, owner: str, reason: str) -> None:
    """Say why a try failed; the next one may be made by anybody."""
    storage.write_json(root / CLAIMS / f"{item}.{number}.json", {"owner": owner, "failed": reason})


def write(root: Place, folder: str, item: str, facts: Mapping[str, Any]) -> None:
    """Put a photo into `DONE` or `QUARANTINE`."""
    storage.write_json(root / folder / f"{item}.json", facts)


def forget_quarantined(root: Place, items: set[str]) -> int:
    """Make photos that were given up new again; how many there were."""
    given_up = {item for item, folder in finished(root).items() if folder == QUARANTINE} & items
    _forget(root, QUARANTINE, given_up)
    return len(given_up)


def lost(root: Place, items: set[str]) -> set[str]:
    """The photos that are done, and whose outputs somebody has removed since."""
    done = sorted({item for item, folder in finished(root).items() if folder == DONE} & items)
    there = set(storage.names(root / PHOTOS))
    facts = storage.read_json_files([root / DONE / f"{item}.json" for item in done])
    known = zip(done, facts, strict=True)
    outputs = ((item, one.get("output")) for item, one in known if isinstance(one, dict))
    return {item for item, name in outputs if isinstance(name, str) and name not in there}


def forget_lost(root: Place, items: set[str]) -> int:
    """Make photos new again whose outputs are gone; how many there were."""
    gone = lost(root, items)
    _forget(root, DONE, gone)
    return len(gone)


def _forget(root: Place, folder: str, items: set[str]) -> None:
    """Remove what is known of finished photos, and every try at them."""
    for name in storage.names(root / CLAIMS) if items else ():
        if name.partition(".")[0] in items:
            storage.remove(root / CLAIMS / name)
    for item in items:
        storage.remove(root / folder / f"{item}.json")


# ------------------------------------------------------------------------------------------ workers


def here() -> dict[str, Any]:
    """Where a process runs: enough to find out whether it still does."""
    names = socket.gethostname()
    with contextlib.suppress(OSError):  # containers may share a host's name, not its processes
        names += " " + os.readlink("/proc/self/ns/pid")
    return {"host": names, "pid": os.getpid()}


def tell(root: Place, owner: str, facts: Mapping[str, Any]) -> None:
    """A worker's sign of life."""
    storage.write_json(root / WORKERS / f"{owner}.json", facts)


def end(root: Place, owner: str, state: str) -> None:
    """Say of a worker that it is over: "lost" if its photo may be why, else "ended"."""
    at = root / WORKERS / f"{owner}.json"
    facts = storage.read_json(at) or {}
    if facts.get("state") != "ended":
        storage.write_json(at, {**facts, "state": state})


def _end(root: Place, found: Mapping[str, Any], at: Place, seen: Seen, lease: float) -> str:
    """How the worker of a claim ended, "ended" or "lost"; "" if it may be alive."""
    owner = found.get("owner", "")
    facts = storage.read_json(root / WORKERS / f"{owner}.json") if owner else None
    if not isinstance(facts, dict) or not facts.keys() >= {"state", "host", "pid"}:
        # Written before its first claim, so the claim is only begun, or one of them is damaged.
        return "lost" if _unchanged(at.path, found, seen, lease) else ""
    if facts["state"] != "working":
        return facts["state"]
    if facts["host"] == here()["host"] and not _runs(facts["pid"]):
        return "lost"
    return "lost" if _unchanged(owner, facts, seen, lease) else ""


def _unchanged(key: str, now: Any, seen: Seen, lease: float) -> bool:
    """Whether something has been the same for a lease, as far as was seen."""
    before, since = seen.get(key, (None, 0.0))
    if before != now:
        seen[key] = now, time.monotonic()
        return False
    return time.monotonic() - since > lease


def _runs(pid: int) -> bool:
    if os.name == "nt":  # asking would end it
        return True
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:  # another user's
        return True
    return True
