"""What a campaign has to do, from the headers of its photos: photos, steps, hours, room."""

import collections
import contextlib
import itertools
import shutil
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

from dippas_jax.cli import console, outputs, pace
from dippas_jax.cli.outputs import Options
from dippas_jax.io import fingerprint_file, private, storage
from dippas_jax.io import photo as photo_file
from dippas_jax.parallel import ledger, summary
from dippas_jax.parallel.manifest import Item
from dippas_jax.types import InputError

_HEADER = 2**18  # bytes of a remote photo that tell its size, as a rule
_AT_ONCE = 16  # headers that are fetched together


class _Header(NamedTuple):
    size: tuple[int, int]
    length: int  # of the file, bytes


def show(
    items: Sequence[Item],
    root: storage.Place,
    options: Options,
    *,
    retry: bool,
    whole: bool,
    json: bool,
) -> int:
    """What there is to do, on stdout.

    Args:
      items: The photos.
      root: The ledger.
      options: All that changes an output.
      retry: Photos that were put aside are tried again.
      whole: The photos are all of the manifest, no shard.
      json: JSON in place of text.

    Returns:
      The exit code of a campaign which does it, if all that is left to do goes well and no camera
      can be found there.
    """
    over = ledger.finished(root)
    finished = over.keys() - ledger.lost(root, {item.id for item in items})
    if retry:
        finished -= {item for item, folder in over.items() if folder == ledger.QUARANTINE}
    waiting = [item for item in items if item.id not in finished]
    earlier = summary.summarise(root, [item for item in items if item.id in finished])
    headers: list[_Header] = []
    units = 0.0
    reasons: dict[str, str] = {}
    of_no_use = _fingerprints_of_no_use(waiting)
    for item, found in zip(waiting, _headers(waiting), strict=True):
        if isinstance(found, InputError):
            reasons[item.photo] = str(found)
        elif item.fingerprint in of_no_use:
            reasons[item.photo] = of_no_use[item.fingerprint]
        else:
            headers.append(found)
            units += pace.work(found.size, method=options.method, aware=bool(item.fingerprint))
    pixels = sum(one.size[0] * one.size[1] for one in headers)
    plan = {
        "photos": len(items),
        "finished": len(items) - len(waiting),
        "quarantined": earlier["quarantined"],
        "unusable": len(reasons),
        "sizes": {
            console.size_text(size): count
            for size, count in collections.Counter(one.size for one in headers).most_common()
        },
        "steps": round(units),
        "hours": _hours(units, root, items, options.method),
        "disk": sum(one.length for one in headers) if options.kind == "same" else 3 * pixels,
        "disk_is": "the originals' size" if options.kind == "same" else "3 bytes a pixel, at most",
        "free": shutil.disk_usage(outputs.existing(root.local)).free if root.local else None,
        "reasons": reasons,
    }
    print(console.json_line(plan) if json else _plan_text(plan), flush=True)
    if whole and not headers and not earlier["done"]:
        return console.UNUSABLE
    if reasons or earlier["quarantined"]:
        return console.FAILED
    return console.TRACED if earlier["traced"] else console.DONE


def _fingerprints_of_no_use(items: Sequence[Item]) -> dict[str, str]:
    """Why the fingerprints that photos name cannot be read."""
    found = {}
    for name in dict.fromkeys(item.fingerprint for item in items if item.fingerprint):
        with contextlib.suppress(Exception):  # of a network that is down: later it may be there
            try:
                fingerprint_file.decode(name, storage.read(storage.place(name), "fingerprint"))
            except InputError as error:
                found[name] = str(error)
    return found


def _headers(items: Sequence[Item]) -> Iterator[_Header | InputError]:
    """Of every photo in order; why it cannot be used, if that can be told by now."""
    with private.folder() as folder, ThreadPoolExecutor(_AT_ONCE) as pool:
        for first in range(0, len(items), _AT_ONCE):
            some = items[first : first + _AT_ONCE]
            for item, start in zip(some, pool.map(_start, some), strict=True):
                yield start if isinstance(start, InputError) else _header(item, *start, folder)


def _start(item: Item) -> tuple[bytes, int] | InputError:
    """The first bytes of a photo that lies elsewhere, and how many it has in all."""
    try:
        at = storage.place(item.photo)
        return (b"" if at.local else storage.start(at, _HEADER)), storage.size(at)
    except InputError as error:
        return error
    except Exception as error:  # noqa: BLE001 - every file system has errors of its own
        return _out_of_reach(item, error)


def _header(item: Item, start: bytes, length: int, folder: Path) -> _Header | InputError:
    at = storage.place(item.photo)
    if at.local:
        return _size_of(at.local, item, length)
    copy = folder / f"photo{storage.suffix(item.photo)}"
    copy.write_bytes(start)
    found = _size_of(copy, item, length)
    if isinstance(found, InputError) and length > len(start):  # the header may be longer
        try:
            copy.write_bytes(storage.start(at, length))
        except Exception as error:  # noqa: BLE001 - likewise
            return _out_of_reach(item, error)
        found = _size_of(copy, item, length)
    return found


def _out_of_reach(item: Item, error: Exception) -> InputError:
    what = f"{type(error).__name__}: {error}".partition("\n")[0]
    return InputError(f"photo {item.photo} cannot be reached ({what}); try again later")


def _size_of(path: Path, item: Item, length: int) -> _Header | InputError:
    try:
        return _Header(photo_file.usable_size(path), length)
    except InputError as error:
        return InputError(str(error).replace(str(path), item.photo))


def _hours(
    units: float, root: storage.Place, items: Sequence[Item], method: str
) -> dict[str, dict[str, Any]]:
    """By device, hours of one of them, and where that is known from."""
    found = {
        platform: (rate, "earlier photos here" if measured else "a guess")
        for platform, (rate, measured) in pace.rates(method).items()
    }
    for kind, one in summary.summarise(root, items)["devices"].items():
        if one["pace"]:
            found[kind] = one["pace"], f"{console.counted(one['done'], 'photo')} of this campaign"
    return {
        device: {"hours": units * rate / 3600, "source": source}
        for device, (rate, source) in found.items()
    }


def _plan_text(plan: Mapping[str, Any]) -> str:
    sizes = [f"{count} of {size}" for size, count in itertools.islice(plan["sizes"].items(), 5)]
    more = len(plan["sizes"]) - len(sizes)
    free = "" if plan["free"] is None else f"; {_gib(plan['free'])} are free"
    lines = [
        f"{'photos':<10} {plan['photos']}, {plan['finished']} finished, "
        f"{plan['unusable']} cannot be used",
        *(
            [f"{'put aside':<10} {plan['quarantined']} of these; --retry tries them again"]
            if plan["quarantined"]
            else []
        ),
        f"{'to do':<10} {', '.join(sizes) or 'nothing'}{f' and {more} sizes more' * (more > 0)}",
        f"{'steps':<10} {plan['steps']}, each of 512x512 pixels",
        *(
            f"{'hours':<10} {one['hours']:.2f} of one {device} ({one['source']})"
            for device, one in plan["hours"].items()
        ),
        f"{'disk':<10} about {_gib(plan['disk'])} ({plan['disk_is']}{free})",
        *(f"  {console.shown(photo)}: {reason}" for photo, reason in plan["reasons"].items()),
    ]
    return "\n".join(lines)


def _gib(size: int) -> str:
    return f"{size / 2**30:.2f} GiB"
