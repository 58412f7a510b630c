"""The methods of a study, by name.

    original                               the photos as they are
    a name of baselines.METHODS
    published:NAME                         photos from DEVICE/published/NAME
    prior-aware, prior-blind               the paper's method
    sparse-aware, sparse-blind             the sparse method

A colon and settings of the run make a variant of the last four:
sparse-aware:sparse.compensation=0,target_psnr=44. What follows an @ compresses again what the
method made: sparse-blind@jpeg-75.
"""

import ast
import dataclasses
import functools
import glob
import re
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from dippas_jax import baselines
from dippas_jax import config as configuration
from dippas_jax.datasets import layouts
from dippas_jax.experiments import overrides, places, report, runs, tasks
from dippas_jax.forensics import attackers, tables
from dippas_jax.io import files, weights
from dippas_jax.io import photo as photo_file
from dippas_jax.signal import image, placement
from dippas_jax.types import InputError, Record, Sample

PUBLISHED = "published:"
_LEARNED = ("dncnn", "overfitted_learned")  # of `baselines.METHODS`
_OF_STUDY = ("mode", "method", "seed", "data")
PRIOR = {"prior-aware": "aware", "prior-blind": "blind"}
OURS = PRIOR | {"sparse-aware": "aware", "sparse-blind": "blind"}


def named(config: configuration.Study) -> list[str]:
    """All names, the original photos first, checked."""
    known = [*baselines.METHODS, *OURS, f"{PUBLISHED}NAME"]
    for name in map(once, config.methods):
        if base(name) in OURS:
            variant(name, config)
        elif name not in known and not name.startswith(PUBLISHED) and name != tables.ORIGINAL:
            raise InputError(f'there is no method "{name}"; known are {", ".join(known)}')
    for name in config.attackers:
        if name not in attackers.ATTACKERS:
            known = list(attackers.ATTACKERS)
            raise InputError(f'there is no attacker "{name}"; known are {", ".join(known)}')
    for name in config.methods:
        _quality(name)
    folders: dict[str, str] = {}
    for name in config.methods:
        if (other := folders.setdefault(folder_name(name), name)) != name:
            raise InputError(
                f'methods "{other}" and "{name}" would share the folder {folder_name(name)}; leave '
                "one out, or give it a study of its own"
            )
    untreated = [tables.untreated(name) for name in config.methods]
    return list(dict.fromkeys((tables.ORIGINAL, *untreated, *config.methods)))


# Index of a photo -> pixels, seconds; None if the method could not make it.
Make = Callable[[int], tuple[np.ndarray, float] | None]


def maker(name: str, group: places.Group, config: configuration.Study, folder: Path) -> Make:
    """What gives a group's photos, treated by the method of that name."""
    if quality := _quality(name):
        first = maker(once(name), group, config, folder)

        def compressed(index: int) -> tuple[np.ndarray, float] | None:
            made = first(index)
            return made and (attackers.jpeg(made[0], quality), made[1])

        return compressed

    if name == tables.ORIGINAL:
        return lambda index: (group.samples[index].pixels, 0.0)
    if base(name) in OURS:

        def inverted(index: int) -> tuple[np.ndarray, float] | None:
            known = _record_file(name, group.records[index].id, folder)
            if not known.exists():
                return None
            return photo_file.read_pixels(known.with_suffix(".png")), runs.recorded(known).seconds

        return inverted
    if name.startswith(PUBLISHED):
        subfolder = name.removeprefix(PUBLISHED)
        return lambda index: (
            _part(published(group.records[index], subfolder), group, config),
            float("nan"),
        )
    method = baselines.METHODS[name]

    def anonymized(index: int) -> tuple[np.ndarray, float]:
        record, sample = group.records[index], group.samples[index]
        key = image.photo_key(config.seed, record.id)
        known = sample.fingerprint if method.aware else None
        started = time.monotonic()
        pixels = np.asarray(method.anonymize(key, sample.pixels, known))  # type: ignore[arg-type]
        return pixels, time.monotonic() - started

    return anonymized


def _part(path: Path, group: places.Group, config: configuration.Study) -> np.ndarray:
    """The group's part of a published file that shows it, or the whole photo."""
    pixels, window = photo_file.read_pixels(path), group.samples[0].window
    size = pixels.shape[0], pixels.shape[1]
    if size == window.photo:
        return placement.cut(pixels, window, offset=(0, 0))
    _require_size(path, size, window.photo, config.data)
    return pixels


def possible(name: str, photos: Sequence[str], folder: Path) -> list[str]:
    """Of photos, by their ids, those that the method can give: of ours, those it has made."""
    ours = base(name) in OURS
    return [one for one in photos if not ours or _record_file(once(name), one, folder).exists()]


def _record_file(name: str, photo: str, folder: Path) -> Path:
    """What is known of a photo, by its id, that one of this package's methods has made."""
    return folder / folder_name(name) / "photos" / f"{photo}.json"


def require_weights(names: Sequence[str]) -> None:
    """`InputError` where a method needs the weights of the learned extractor, which are not here.

    Asked before the work, not in the middle of it.
    """
    learned = [name for name in map(once, names) if name in _LEARNED]
    if learned and not weights.find():
        raise InputError(
            f"{learned[0]} needs the weights of the learned extractor; run dippas fetch learned, "
            "or leave it out"
        )


def base(name: str) -> str:
    """Without settings and compression."""
    return once(name).partition(":")[0]


def once(name: str) -> str:
    """The method before what it made is compressed again."""
    return name.partition(tables.AGAIN)[0]


def _quality(name: str) -> int | None:
    """Of the compression behind a method, if there is one."""
    _, again, quality = name.partition(tables.AGAIN)
    if not again:
        return None
    if not quality.isdecimal() or not 1 <= int(quality) <= 100:
        raise InputError(
            f'method "{name}" ends in no JPEG quality from 1 to 100; write {tables.AGAIN}90, say'
        )
    return int(quality)


def variant(name: str, config: configuration.Study) -> configuration.Config:
    """The settings of one of this package's methods, those behind the colon included."""
    base, _, changes = name.partition(":")
    values = overrides.to_config_dict(
        dataclasses.replace(
            config.run,
            mode=OURS[base],
            method="prior" if base in PRIOR else "sparse",
            seed=config.seed,
            data=config.data,
        )
    )
    for change in filter(None, changes.split(",")):
        key, _, value = change.partition("=")
        overrides.check_name(key)
        if key in _OF_STUDY or key.startswith("data."):
            raise InputError(f'method "{name}" sets {key}, which is the study\'s; leave that out')
        try:
            parsed = ast.literal_eval(value)
        except (ValueError, SyntaxError):
            parsed = value
        with values.ignore_type():
            values.update_from_flattened_dict({key: parsed})
    return overrides.from_config_dict(values)


def published_files(
    records: Sequence[Record], config: configuration.Study
) -> dict[str, dict[Path, Path]]:
    """By NAME of "published:NAME", the file that somebody else made of each photo's.

    Raises:
      InputError: There is none of a photo, or more than one, or one is that of two photos.
    """
    found: dict[str, dict[Path, Path]] = {}
    for name in config.methods:
        if name.startswith(PUBLISHED):
            name = once(name).removeprefix(PUBLISHED)
            found[name] = {}
            taken: dict[Path, Path] = {}
            for record in records:
                file = published(record, name)
                assert record.path is not None  # `published` has refused it
                if (other := taken.setdefault(file, record.path)) != record.path:
                    raise InputError(
                        f"{file} is the published version of both {other} and {record.path}; give "
                        "the photos, and what was published of them, different names"
                    )
                found[name][record.path] = file
    return found


def require_published(records: Sequence[Record], config: configuration.Study) -> None:
    """`InputError` where a published photo is missing or, by its header, of no use."""
    for files_of in published_files(records, config).values():
        for photo, file in files_of.items():
            _require_size(file, photo_file.size(file), photo_file.size(photo), config.data)


def _require_size(
    file: Path, size: tuple[int, int], whole: tuple[int, int], data: configuration.Data
) -> None:
    """`InputError` for a file that shows neither the whole photo nor its one crop."""
    crop, several = (data.crop, data.crop), data.crops != 1
    if size == whole or (size == crop and not several):
        return
    sizes = f"those of the whole photo ({whole[0]}x{whole[1]})"
    if several or not data.crop:
        sizes = f"not {sizes}"
    else:
        sizes = f"neither {sizes} nor of the crop ({crop[0]}x{crop[1]})"
    advice = "give whole photos"
    if several:  # of which it shows one at most, and nothing tells which
        advice = f"with data.crops of {data.crops} {advice}"
    if size[0] == size[1] and configuration.SMALLEST_PHOTO <= size[0] <= min(whole):
        advice += f", or choose data.crop={size[0]}" + (" and data.crops=1" if several else "")
    raise InputError(f"{file} is of {size[0]}x{size[1]} pixels, {sizes}; {advice}")


def published(record: Record, name: str) -> Path:
    """The file DEVICE/published/NAME/PHOTO.* of a photo of that camera."""
    if record.path is None or record.home is None:
        raise InputError(
            f"photo {record.id} is simulated and has no published version; leave out "
            f"{PUBLISHED}{name}"
        )
    folder = record.home / "published" / name
    found = sorted(folder.glob(f"{glob.escape(record.path.stem)}.*"))
    if len(found) != 1:
        raise InputError(
            f"photo {record.id} has {len(found)} published versions {folder}/{record.path.stem}.*; "
            "put one there, or choose other photos"
        )
    return found[0]


def invert(
    name: str,
    groups: Sequence[places.Group],
    config: configuration.Study,
    folder: Path,
    *,
    tried: bool = False,
) -> tuple[list[report.PhotoRecord], str]:
    """This package's own results.

    Args:
      name: Of the method.
      groups: The photos.
      config: Of the study.
      folder: Likewise.
      tried: All photos were tried; only what was made of them is read.

    Returns:
      Of all photos that could be done, the records of summary.json; and which could not, with the
      reasons, "" if all could.
    """
    chosen = variant(name, config)
    pairs = [pair for g in groups for pair in zip(g.records, g.samples, strict=True)]
    records = [
        record._replace(read=functools.partial(_same, sample))  # K as the study has it
        for record, sample in pairs
        if not tried or _record_file(name, record.id, folder).exists()
    ]
    files.prepare_workdir(folder / folder_name(name))
    found = []
    try:
        for record in runs.photos(records, chosen, folder / folder_name(name)):
            tasks.say(report.lines(record))
            found.append(record)
    except runs.FailedError as error:
        tasks.say(f"{name}: left out of the tables are {error}")
        return found, str(error)
    return found, ""


def _same(sample: Sample) -> Sample:
    return sample


def folder_name(name: str) -> str:
    """Of what a method made."""
    return layouts.short(re.sub("[:@=,]", "-", name))
