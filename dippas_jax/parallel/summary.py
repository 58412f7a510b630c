"""A campaign in figures, read from its ledger at any time, by anybody."""

import statistics
import time
from collections.abc import Mapping, Sequence
from typing import Any

from dippas_jax.io import storage
from dippas_jax.parallel import ledger
from dippas_jax.parallel.manifest import Item
from dippas_jax.types import InputError, printable

_SILENT = 180.0  # seconds after which a worker is no longer counted
_SHOWN = 10  # reasons in the text

_TOLD = {
    ledger.DONE: {"output", "reused", "traced", "device", "seconds", "units"},
    ledger.QUARANTINE: {"photo", "reason"},
}
"""What is read of a finished photo."""

_OF_WORKER = {"state", "time", "started", "done", "device"}

Known = dict[str, Mapping[str, Any]]
"""What was read of finished photos, by their id: it does not change."""


def summarise(
    root: storage.Place, items: Sequence[Item], known: Known | None = None
) -> dict[str, Any]:
    """Counts, rates and what is left, ready for JSON.

    Args:
      root: The ledger.
      items: The photos that are asked about.
      known: What an earlier call has read, to which this one adds.

    Returns:
      photos: In all.
      done: Of them.
      reused: Of these, whose output was there already: that of a copy, or of a try cut off late.
      quarantined: Given up; `reasons` has each with its reason.
      left: Neither.
      repeated: Tries beyond the first of a photo.
      traced: Outputs whose camera can probably still be found.
      devices: By kind, `workers` that gave a sign of life in the last three minutes, photos `done`,
        and the median of the `seconds` that took and of the `pace`, seconds a unit of work.
      hours: Until all is done, if those workers go on as they did; None where that is not known.
    """
    known = {} if known is None else known
    asked = {item.id for item in items}
    finished = {item: folder for item, folder in ledger.finished(root).items() if item in asked}
    new = {item: folder for item, folder in finished.items() if item not in known}
    places = [root / folder / f"{item}.json" for item, folder in new.items()]
    for item, facts in zip(new, storage.read_json_files(places), strict=True):
        told = isinstance(facts, dict) and _TOLD[new[item]] <= facts.keys()
        if not told or not isinstance(facts.get("output", ""), str):
            raise InputError(
                f"{(root / new[item] / item).name}.json is damaged and does not say what became of "
                "its photo; remove it, and the photo is done again"
            )
        known[item] = facts
    done = [known[item] for item, folder in finished.items() if folder == ledger.DONE]
    given_up = [known[item] for item, folder in finished.items() if folder == ledger.QUARANTINE]
    living = [one for one in _workers(root) if one["state"] == "working"]
    living = [one for one in living if time.time() - one["time"] < _SILENT]
    made = [one for one in done if not one["reused"]]
    kinds = sorted({one["device"] for one in (*made, *living)})
    left = len(asked) - len(finished)
    pace = sum(one["done"] / max(one["time"] - one["started"], 1.0) for one in living)
    return {
        "photos": len(asked),
        "done": len(done),
        "reused": len(done) - len(made),
        "quarantined": len(given_up),
        "left": left,
        "repeated": _repeated(root, asked),
        "traced": len({one["output"] for one in done if one["traced"]}),
        "devices": {kind: _device(kind, made, living) for kind in kinds},
        "hours": left / pace / 3600 if pace else None if left else 0.0,
        "reasons": {one["photo"]: one["reason"] for one in given_up},
    }


def text(summary: Mapping[str, Any]) -> str:
    """A summary for the terminal."""
    lines = [
        f"{'photos':<12} {summary['photos']}",
        f"{'done':<12} {summary['done']}, of which {summary['reused']} had their output already",
        f"{'quarantined':<12} {summary['quarantined']}",
        f"{'left':<12} {summary['left']}{_hours(summary)}",
        f"{'repeated':<12} {summary['repeated']} tries",
        f"{'traceable':<12} {summary['traced']} probably",
    ]
    for kind, one in summary["devices"].items():
        pace = f", {one['seconds']:.2f} s each" if one["done"] else ""
        where = f"on {kind}" if kind else "starting"  # of workers that do not know their device yet
        lines.append(f"{where:<12} {one['done']} done{pace}, {one['workers']} at work")
    reasons = list(summary["reasons"].items())
    lines += [f"  {printable(photo)}: {printable(reason)}" for photo, reason in reasons[:_SHOWN]]
    if len(reasons) > _SHOWN:
        lines.append(f"  and {len(reasons) - _SHOWN} more, in quarantine/")
    return "\n".join(lines)


def _hours(summary: Mapping[str, Any]) -> str:
    if not summary["left"]:
        return ""
    if (hours := summary["hours"]) is not None:
        return f", about {hours:.2f} hours"
    busy = any(one["workers"] for one in summary["devices"].values())
    return ", nobody has finished one yet" if busy else ", nobody is at work"


def _workers(root: storage.Place) -> list[Mapping[str, Any]]:
    places = [root / ledger.WORKERS / name for name in storage.names(root / ledger.WORKERS)]
    told = storage.read_json_files(places)
    return [one for one in told if isinstance(one, dict) and one.keys() >= _OF_WORKER]


def _device(kind: str, made: Sequence[Mapping[str, Any]], living: Sequence[Mapping[str, Any]]):
    own = [one for one in made if one["device"] == kind]
    return {
        "workers": sum(one["device"] == kind for one in living),
        "done": len(own),
        "seconds": statistics.median(one["seconds"] for one in own) if own else None,
        "pace": statistics.median(one["seconds"] / one["units"] for one in own) if own else None,
    }


def _repeated(root: storage.Place, asked: set[str]) -> int:
    names = (name.split(".") for name in storage.names(root / ledger.CLAIMS))
    return sum(parts[0] in asked and parts[1] != "1" for parts in names if len(parts) == 3)
