"""Photos anonymised, with results, checkpoints and records that survive a kill.

A finished photo is never done again and an interrupted one goes on from its last checkpoint. The
folder is laid out as docs/formats.md says. Progress goes to stderr.
"""

import dataclasses
import hashlib
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import tqdm

import dippas_jax
from dippas_jax import config as configuration
from dippas_jax.experiments import inversions, overrides, report, tasks
from dippas_jax.io import checkpoint, files
from dippas_jax.io import photo as photo_file
from dippas_jax.prior import batch
from dippas_jax.signal import image
from dippas_jax.sparse import anonymize as sparse
from dippas_jax.types import InputError, Record, Result


class FailedError(RuntimeError):
    """Some photos could not be done, each is named with its reason; the others' results stand."""


def recorded(path: Path) -> report.PhotoRecord:
    """What is known of a finished photo; `InputError` if its file is damaged."""
    try:
        return report.from_json(files.read_json(path))
    except InputError:
        raise
    except ValueError as error:
        raise InputError(
            f"record {path} is damaged or of another version of this program ({error}); delete it, "
            "and its photo is done again"
        ) from None


def photos(
    records: Sequence[Record], config: configuration.Config, folder: Path
) -> Iterator[report.PhotoRecord]:
    """Anonymise every photo that is not finished yet, results into `folder`.

    Yields:
      The photos' records, as in summary.json, each as soon as it stands there: first those that
      were finished before, then the others as they are finished.

    Raises:
      InputError: Before any work: a finished photo's record is damaged, or the photo or its
        fingerprint is no longer the one whose results stand there.
      FailedError: After all photos, if one could not be used, has nothing to remove, needs more
        memory than there is, or its run lost its numbers.
    """
    files.prepare_workdir(folder / "photos")
    places = {record.id: folder / "photos" / f"{record.id}.json" for record in records}
    done: dict[str, report.PhotoRecord] = {}
    failed, waiting = [], []

    def summarise() -> None:
        in_order = [done[name] for name in places if name in done]
        summary = {"config": dataclasses.asdict(config), "photos": in_order}
        files.write_json(folder / "summary.json", summary)

    for index, record in enumerate(records):
        if places[record.id].exists() and (known := _finished(record, places[record.id])):
            done[record.id] = known
            checkpoint.delete(folder / "checkpoints" / record.id)  # as a kill may leave them
            tasks.say(f"{record.id}: finished before, skipped")
        else:
            waiting.append((f"photo {index + 1} of {len(records)}", record))
    if done:
        summarise()
        yield from list(done.values())
    settled = configuration.settled(config)
    if waiting and config.method == "prior":
        _warn_of_no_pool(settled)
    method = inversions.inverted if config.method == "prior" else _one_by_one
    for name, made in method(waiting, settled, folder):
        if isinstance(made, Exception):
            failed.append(f"{name}: {made}")
            continue
        files.write_json(places[name], made)
        checkpoint.delete(folder / "checkpoints" / name)
        done[name] = recorded(places[name])
        summarise()
        yield done[name]
    if failed:
        raise FailedError("; ".join(failed))


def _warn_of_no_pool(config: configuration.Config) -> None:
    """Says so where the runs end before snapshots reach the threshold."""
    stop, threshold = config.inversion.stop_psnr, config.assembly.thresholds[0]
    if stop <= threshold:
        tasks.say(
            f"runs end at inversion.stop_psnr of {stop:g} dB, where hardly a snapshot has reached "
            f"assembly.thresholds of {threshold:g} dB; choose a higher or a lower one"
        )


def _finished(record: Record, place: Path) -> report.PhotoRecord | None:
    """What is known of a finished photo; None where its picture is gone.

    Raises:
      InputError: The record is damaged, or it or the picture is of another photo.
    """
    known, picture = recorded(place), place.with_suffix(".png")
    if known.input_sha256 not in ("", tasks.input_sha256(record.read())):
        raise InputError(
            f"photo {record.id}, or its fingerprint, is not the one whose results {place} tells; "
            "choose another --workdir, or delete that file, and the photo is done again"
        )
    if not picture.exists():
        tasks.say(f"{record.id}: {picture} is gone, so the photo is done again")
        return None
    pixels = photo_file.read_pixels(picture)
    if hashlib.sha256(pixels.tobytes()).hexdigest() != known.sha256:
        raise InputError(
            f"{picture} is not the picture that {place} tells of; move it away, and the photo is "
            "done again"
        )
    return known


def claim(folder: Path, config: configuration.Config | configuration.Study) -> None:
    """Ties a work folder to its settings: results of different ones never mix."""
    path = folder / "config.json"
    ours = {"version": dippas_jax.__version__, **dataclasses.asdict(config)}
    if not path.exists():
        files.write_json(path, ours)
        return
    found = files.read_json(path)
    if not isinstance(found, dict):
        raise InputError(f"{path} is damaged and tells no settings; choose another --workdir")
    version = found.pop("version", ours["version"])  # earlier ones did not tell
    if version != ours["version"]:
        raise InputError(
            f"{folder} holds a run of version {version} of this program, and this is "
            f"{ours['version']}; choose another --workdir, or install that version"
        )
    theirs = overrides.from_config_dict(found, type(config))
    if theirs != config:
        raise InputError(
            f"{folder} holds a run with other settings "
            f"({_difference(dataclasses.asdict(theirs), ours)}); "
            "choose another --workdir or give the same settings"
        )


def _difference(theirs: dict[str, Any], ours: dict[str, Any], path: str = "") -> str:
    for name, value in theirs.items():
        if isinstance(value, dict) and (inner := _difference(value, ours[name], f"{path}{name}.")):
            return inner
        if not isinstance(value, dict) and value != ours[name]:
            return f"{path}{name} was {value!r}, now {ours[name]!r}"
    return ""


def _one_by_one(waiting: tasks.Waiting, config: configuration.Config, folder: Path) -> tasks.Made:
    """The photos by "sparse"."""
    for place, record in waiting:
        tasks.say(f"{record.id}: {place}")
        try:
            task = tasks.task_of(record, config, folder)
            results = _sparse(task)
        except (InputError, *batch.OUT_OF_MEMORY) as error:
            yield record.id, tasks.reason(error)
        else:
            yield record.id, tasks.finished(task, results)


def _sparse(task: tasks.Task) -> list[Result]:
    """The version asked for and, but for "fast", its neighbours along the trade-off."""
    config = task.config
    key = image.photo_key(config.seed, task.record.id)
    deadline = tasks.deadline(config, time.monotonic())
    results: list[Result] = []
    total = 1 if config.sparse.strength == "fast" else 3
    with tqdm.tqdm(total=total, unit="version", dynamic_ncols=True, desc="sparse") as bar:
        targets = [config.target_psnr]
        for target in targets:  # grows by the neighbours of the first
            if results and time.monotonic() > deadline:
                break
            made = sparse.anonymize(
                key,
                task.sample.pixels,
                task.known,
                config.sparse,
                target_psnr=target,
                deadline=deadline,
            )
            asked = target or configuration.STRENGTHS[config.sparse.strength]
            if not results and total > 1:
                targets += [made.psnr + 3, made.psnr - 3]
            results.append(made._replace(settings={"target_psnr": asked, **made.settings}))
            bar.update()
    return results
