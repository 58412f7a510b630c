"""Studies: method × photos × attackers, resumable, a row per result, then tables and figures.

The folder of a study holds `photos/METHOD/ID.png` (what the methods made), `rows/METHOD/GROUP.json`
(what the attackers found; a group is the photos of one camera at one place of the sensor),
`fingerprints/`, `manifest.json` (files and their hashes), `tables.md`, `tables.json` and the
figures. A row that stands there is not made again.
"""

import dataclasses
import glob
import time
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from dippas_jax import (
    anonymize,
    baselines,
    charts,
    datasets,
    fingerprint,
    image,
    report,
    runs,
    store,
    weights,
)
from dippas_jax import config as configuration
from dippas_jax.datasets import folder as datasets_folder
from dippas_jax.datasets import presets
from dippas_jax.evaluation import attackers, detector, dncnn, scores, tables
from dippas_jax.types import InputError

_PUBLISHED = "published:"
_INVERSION = {"dippas-aware": "aware", "dippas-blind": "blind"}


class Group(NamedTuple):
    """The photos of one camera at one place of the sensor, and all cameras' fingerprints there.

    Attributes:
      name: Safe as a file name.
      device: The camera that took the photos.
      cameras: Names of all candidate cameras.
      fingerprints: K of each, as the anonymiser has it.
      others: K' of each, from other flat-field photos; None if there are none.
      records: The photos.
      samples: The same, decoded; their fingerprint is the own camera's K.
      references: For each photo and each candidate camera, untreated photos of other scenes; None
        if some have none.
    """

    name: str
    device: str
    cameras: tuple[str, ...]
    fingerprints: np.ndarray
    others: np.ndarray | None
    records: tuple[datasets.Record, ...]
    samples: tuple[datasets.Sample, ...]
    references: tuple[tuple[np.ndarray, ...], ...] | None


def preset(kind: str, setting: str) -> configuration.Study:
    """The settings behind configs/study_*.py.

    Args:
      kind: "panel" for all attackers against the methods without inversion; "aware" and "blind" for
        the paper's own experiments.
      setting: "default" for a size that two CPU cores can do; "dresden" and "vision" for the
        paper's cameras, number of photos and values; "crops" ("panel" only) for all crops of
        full-resolution photos.
    """
    sets = {"dresden": presets.DRESDEN, "vision": presets.VISION}
    known = ["default", *sets] + ["crops"] * (kind == "panel")
    if setting not in known:
        raise InputError(f'there is no setting "{setting}"; choose one of {", ".join(known)}')
    methods: tuple[str, ...] = tuple(baselines.METHODS)
    if kind != "panel":
        methods = (f"dippas-{kind}", *methods)
    if setting in sets:
        paper = configuration.preset("aware", "paper")
        return configuration.Study(methods, data=sets[setting], fingerprints="halves", run=paper)
    if setting == "crops":
        crops = configuration.Data(photos=("natural",), crop=512, crops=0)
        return configuration.Study(methods, data=crops, fingerprints="halves")
    if kind == "panel":
        published = (f"{_PUBLISHED}patchmatch", f"{_PUBLISHED}inpainting")
        data = configuration.Data(photos=("crop512",))
        return configuration.Study((*published, *methods), data=data)
    grid = configuration.Assembly(
        sides=(64, 32, 128), averages=(10, 1, 5, 25, 50), thresholds=(38.0, 35.0, 36.0, 37.0)
    )
    fast = configuration.preset("aware", "default")
    steps = dataclasses.replace(fast.inversion, max_steps=600)
    data = configuration.Data(photos=("crop512",), crop=128, crops=6)
    settings = dataclasses.replace(fast, assembly=grid, inversion=steps)
    return configuration.Study(methods, data=data, run=settings)


def run(config: configuration.Study, workdir: str | Path) -> str:
    """The whole study, or what is left of it.

    Returns:
      The tables in Markdown, as tables.md holds them.

    Raises:
      InputError: Settings, photos, fingerprints or the folder cannot be used.
      anonymize.DivergedError: An inversion lost its numbers; the others' photos are kept.
    """
    names = _methods(config)
    folder = store.prepare_workdir(workdir)
    records = datasets.load(
        **dataclasses.asdict(config.data), need_fingerprint=config.fingerprints == "file"
    )
    runs.claim(folder, config)
    store.write_json(folder / "manifest.json", _manifest(records, config))
    groups = _groups(records, config, folder)
    data = weights.load()
    learned = None if data is None else dncnn.parse(data)
    if learned is None and (not config.attackers or "learned" in config.attackers):
        runs.say("the learned extractor is left out; `dippas fetch learned` gets it")
    inverted = {name: _invert(name, groups, config, folder) for name in _INVERSION if name in names}
    rows = []
    for name in names:
        makers = [_maker(name, group, config, folder) for group in groups]
        for number, (group, make) in enumerate(zip(groups, makers, strict=True)):
            path = folder / "rows" / _safe(name) / f"{group.name}.json"
            if not path.exists():
                runs.say(f"{name}: {group.name}, {number + 1} of {len(groups)}")
                store.prepare_workdir(path.parent)
                store.prepare_workdir(folder / "photos" / _safe(name))
                store.write_json(path, _row(name, group, make, learned, config, folder))
            rows.append(store.read_json(path))
    summaries = tables.summarise(rows)
    text = tables.markdown(summaries)
    store.write_json(folder / "tables.json", summaries)
    store.write_bytes(folder / "tables.md", text.encode())
    points = [
        (one["method"], one["psnr"], one["attacks"]["same-K"]["auc"])
        for one in summaries
        if one["method"] != tables.ORIGINAL and "same-K" in one["attacks"]
    ]
    for name, found in inverted.items():
        grid = _grid(found, rows)
        store.write_json(folder / f"{name}.grid.json", grid)
        store.write_bytes(folder / f"{name}.grid.png", charts.grid(grid, points))
        store.write_bytes(folder / f"{name}.trade.png", charts.trade(grid, points))
    runs.say(f"tables and figures are in {folder}")
    return text


def _manifest(records: Sequence[datasets.Record], config: configuration.Study) -> dict[str, Any]:
    """The files behind the study with their hashes: photos, fingerprints, flat-field photos."""
    flats = {}
    if config.data.folder:
        for device in dict.fromkeys(record.device for record in records):
            flats[device] = datasets_folder.flat_files(
                config.data.folder, device, layout=config.data.layout, subfolder=config.flats
            )
    return datasets.manifest(records, flats)


def _methods(config: configuration.Study) -> list[str]:
    """All names, the original photos first, checked."""
    known = [*baselines.METHODS, *_INVERSION, f"{_PUBLISHED}NAME"]
    for name in config.methods:
        if name not in known and not name.startswith(_PUBLISHED) and name != tables.ORIGINAL:
            raise InputError(f'there is no method "{name}"; known are {", ".join(known)}')
    for name in config.attackers:
        if name not in attackers.ATTACKERS:
            known = list(attackers.ATTACKERS)
            raise InputError(f'there is no attacker "{name}"; known are {", ".join(known)}')
    return list(dict.fromkeys((tables.ORIGINAL, *config.methods)))


# ------------------------------------------------------------------------------------------ photos


def _groups(
    records: Sequence[datasets.Record], config: configuration.Study, folder: Path
) -> list[Group]:
    """Photos by camera and place, with the fingerprints of all cameras there."""
    samples = [record.read() for record in records]
    places: dict[datasets.Window, dict[str, list[int]]] = {}
    for index, (record, sample) in enumerate(zip(records, samples, strict=True)):
        places.setdefault(sample.window, {}).setdefault(record.device, []).append(index)
    groups = []
    for window, devices in places.items():
        cameras = tuple(sorted(devices))
        planes = {c: _planes(c, window, samples[devices[c][0]], config, folder) for c in cameras}
        k = np.stack([planes[camera][0] for camera in cameras])
        others = [plane for camera in cameras if (plane := planes[camera][1]) is not None]
        for device, members in devices.items():
            for start in range(0, len(members), config.group):
                chosen = members[start : start + config.group]
                name = f"{device}_r{window.top}c{window.left}_{window.photo[0]}x{window.photo[1]}"
                own = planes[device][0]
                groups.append(
                    Group(
                        name + (f"_{start}" if start else ""),
                        device,
                        cameras,
                        k,
                        None if len(others) < len(cameras) else np.stack(others),
                        tuple(records[i] for i in chosen),
                        tuple(samples[i]._replace(fingerprint=own) for i in chosen),
                        _references(chosen, cameras, devices, samples),
                    )
                )
    if len({record.device for record in records}) < 2:
        raise InputError(
            "a study needs photos of at least two cameras, one to find and one to rule out, got "
            f"one ({records[0].device}); add another device's folder"
        )
    return groups


def _references(
    chosen: Sequence[int],
    cameras: Sequence[str],
    devices: dict[str, list[int]],
    samples: Sequence[datasets.Sample],
) -> tuple[tuple[np.ndarray, ...], ...] | None:
    """For each photo, all cameras' other photos of the same place."""
    found = []
    for index in chosen:
        others = [[i for i in devices[camera] if i != index] for camera in cameras]
        if not all(others):
            return None
        found.append(tuple(np.stack([samples[i].pixels for i in some]) for some in others))
    return tuple(found)


def _planes(
    device: str,
    window: datasets.Window,
    sample: datasets.Sample,
    config: configuration.Study,
    folder: Path,
) -> tuple[np.ndarray, np.ndarray | None]:
    """K and K' of a camera at a place; K' is None if there are no other flat-field photos."""
    if config.fingerprints == "file":
        if sample.fingerprint is None:
            raise InputError(f"device {device} has no fingerprint; put prnu.npy there")
        other = _estimate(device, window, slice(None), config, folder)
        return sample.fingerprint, other
    first, second = (
        _estimate(device, window, slice(start, None, 2), config, folder) for start in (0, 1)
    )
    if first is None:
        raise InputError(
            f"device {device} has no flat-field photos; put some into {device}/{config.flats}, or "
            'choose fingerprints="file"'
        )
    return first, second


def _estimate(
    device: str, window: datasets.Window, part: slice, config: configuration.Study, folder: Path
) -> np.ndarray | None:
    """The fingerprint from some of a device's flat-field photos, at a window; kept in the folder.

    It is estimated on the centre of the flat-field photos of the whole photo's size, then cut.
    """
    height, width = window.photo
    name = f"{device}_{height}x{width}_{part.start or 0}_{part.step or 1}.npy"
    path = folder / "fingerprints" / name
    if not path.exists():
        simulated = None if config.data.folder else (height, width)
        photos = datasets.flats(config.data, device, config.flats, simulated)[part]
        if not photos:
            return None
        runs.say(f"{device}: fingerprint from {len(photos)} flat-field photos, {height}x{width}")
        sums = fingerprint.init(height, width)
        for read in photos:
            sums = _update(sums, image.center_crop(read(), height, width))
        store.prepare_workdir(path.parent)
        store.write_fingerprint(path, np.asarray(_finish(sums)))
    return datasets.cut(store.read_fingerprint(path), window)


_update, _finish = jax.jit(fingerprint.update), jax.jit(fingerprint.estimate)


# ----------------------------------------------------------------------------------------- methods

Make = Callable[[int], tuple[np.ndarray, float]]  # index of a photo -> pixels, seconds


def _maker(name: str, group: Group, config: configuration.Study, folder: Path) -> Make:
    """What gives a group's photos, treated by the method of that name."""

    def read(path: Path) -> np.ndarray:
        pixels, before = store.read_photo(path), group.samples[0].pixels
        if pixels.shape != before.shape:
            raise InputError(
                f"{path} is of {pixels.shape[0]}x{pixels.shape[1]} pixels, its original of "
                f"{before.shape[0]}x{before.shape[1]}; choose the data.crop that was published"
            )
        return pixels

    if name == tables.ORIGINAL:
        return lambda index: (group.samples[index].pixels, 0.0)
    if name in _INVERSION:
        made = folder / name / "photos"

        def inverted(index: int) -> tuple[np.ndarray, float]:
            record = store.read_json(made / f"{group.records[index].id}.json")
            return read(made / f"{record['id']}.png"), record["seconds"]

        return inverted
    if name.startswith(_PUBLISHED):
        subfolder = name.removeprefix(_PUBLISHED)
        return lambda index: (
            read(_published(group.records[index], subfolder)),
            float("nan"),
        )
    method = baselines.METHODS[name]

    def anonymized(index: int) -> tuple[np.ndarray, float]:
        record, sample = group.records[index], group.samples[index]
        key = jax.random.fold_in(jax.random.key(config.seed), zlib.crc32(record.id.encode()))
        known = sample.fingerprint if method.aware else None
        started = time.monotonic()
        pixels = np.asarray(method.anonymize(key, sample.pixels, known))  # type: ignore[arg-type]
        return pixels, time.monotonic() - started

    return anonymized


def _published(record: datasets.Record, name: str) -> Path:
    """The file DEVICE/published/NAME/PHOTO.* that belongs to DEVICE/SUBFOLDER/PHOTO.*."""
    if record.path is None:
        raise InputError(
            f"photo {record.id} is simulated and has no published version; leave out "
            f"{_PUBLISHED}{name}"
        )
    folder = record.path.parent.parent / "published" / name
    found = sorted(folder.glob(f"{glob.escape(record.path.stem)}.*"))
    if len(found) != 1:
        raise InputError(
            f"photo {record.id} has {len(found)} published versions {folder}/{record.path.stem}.*; "
            "put one there, or choose other photos"
        )
    return found[0]


def _invert(
    name: str, groups: Sequence[Group], config: configuration.Study, folder: Path
) -> list[dict[str, Any]]:
    """This package's inversion of all photos; the records, in the form of summary.json."""
    settings = dataclasses.replace(
        config.run, mode=_INVERSION[name], seed=config.seed, data=config.data
    )
    pairs = [pair for g in groups for pair in zip(g.records, g.samples, strict=True)]
    records = [
        record._replace(read=lambda sample=sample: sample)  # K as the study has it
        for record, sample in pairs
    ]
    store.prepare_workdir(folder / name)
    found = []
    for record in runs.photos(records, settings, folder / name):
        runs.say(report.lines(record))
        found.append(record)
    return found


# -------------------------------------------------------------------------------------------- rows


def _row(
    name: str,
    group: Group,
    make: Make,
    learned: Any,
    config: configuration.Study,
    folder: Path,
) -> dict[str, Any]:
    """Makes a group's photos, writes them, and lets every attacker look at them."""
    made, seconds = [], []
    for index, record in enumerate(group.records):
        pixels, spent = make(index)
        made.append(pixels)
        seconds.append(spent)
        if name != tables.ORIGINAL:
            store.write_png(folder / "photos" / _safe(name) / f"{record.id}.png", pixels)
    before = [sample.pixels for sample in group.samples]
    return {
        "method": name,
        "group": group.name,
        "device": group.device,
        "cameras": list(group.cameras),
        "photos": [record.id for record in group.records],
        "shots": [str(record.path or record.id) for record in group.records],
        "psnr": [float(image.psnr(a, b)) for a, b in zip(made, before, strict=True)],
        "ssim": [report.ssim(a, b) for a, b in zip(made, before, strict=True)],
        "seconds": seconds,
        "scores": _scores(np.stack(made), group, learned, config.attackers),
        "features": [detector.features(pixels).tolist() for pixels in made],
    }


def _scores(
    photos: np.ndarray, group: Group, learned: Any, names: Sequence[str]
) -> dict[str, dict[str, list[list[float]]]]:
    """Scores of a group by attacker and by fingerprint, K and K'.

    The detector is not among them: it is trained on other photos (`tables.detection`).
    """
    planes = group.fingerprints
    if group.others is not None:
        planes = np.concatenate([planes, group.others])
    evidence = attackers.Evidence(planes, learned=learned)
    found = {}
    for name in attackers.available(evidence):
        if not names or name in (*names, "wavelet"):
            values = attackers.ATTACKERS[name].attack(photos, evidence)
            kinds = np.split(values, len(planes) // len(group.cameras), axis=1)
            pairs = zip(("K", "K'"), (kind.tolist() for kind in kinds), strict=False)
            found[name] = dict(pairs)
    if group.references is not None and (not names or "link" in names):
        linked = [  # no fingerprint is looked for, and the references are each photo's own
            attackers.link(photo[None], evidence._replace(references=own))[0].tolist()
            for photo, own in zip(photos, group.references, strict=True)
        ]
        found["link"] = {"K": linked}
    return found


def _grid(found: Sequence[dict[str, Any]], rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """PSNR, AUC and C of every combination of B, L and τ: figures 6 to 8 and 11 to 13.

    The negatives are those of the tables: other cameras' untreated photos.
    """
    negatives = np.array(
        [
            row["scores"]["wavelet"]["K"][photo][index]
            for row in rows
            if row["method"] == tables.ORIGINAL
            for index, camera in enumerate(row["cameras"])
            for photo in range(len(row["photos"]))
            if camera != row["device"]
        ]
    )
    choices = [
        {key: result[key] for key in anonymize.Choice._fields} for result in found[0]["results"]
    ]
    grid = []
    for index, choice in enumerate(choices):
        results = [record["results"][index] for record in found]
        z = np.array([result["z"] for result in results])
        auc = scores.auc(z, negatives)
        psnr = float(np.mean([result["psnr"] for result in results]))
        mean, rms = scores.mean_and_rms(z)
        grid.append(
            choice
            | {
                "psnr": psnr,
                "auc": auc,
                "c": scores.tradeoff(psnr, auc),
                "mean_z": mean,
                "rms_z": rms,
                "fallbacks": sum(result["fallback"] for result in results),
                "n": len(results),
            }
        )
    return grid


def _safe(name: str) -> str:
    return name.replace(":", "-")
