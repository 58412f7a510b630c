"""Studies: method × photos × attackers, resumable, a row per result, then tables and figures.

The folder of a study holds `photos/METHOD/ID.png` (what the methods made), `rows/METHOD/GROUP.json`
(what the attackers found; a group is the photos of one camera at one place of the sensor),
`fingerprints/`, `manifest.json` (files and their hashes), `tables.md`, `tables.json`, `front.png`
(PSNR against the worst z of every method) and the figures. A row that stands there is not made
again; files other than the manifest's are refused.
"""

import ast
import dataclasses
import glob
import time
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np

from dippas_jax import (
    anonymize,
    baselines,
    charts,
    datasets,
    image,
    places,
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
_NO_Z = ("shifts", "detector", "set", "link")  # not of one photo with a fingerprint, or no z
_PRIOR = {"dippas-aware": "aware", "dippas-blind": "blind"}
_ENGINE = {"engine-aware": "aware", "engine-blind": "blind"}
_OURS = _PRIOR | _ENGINE
# A colon and settings of the run make a variant: engine-aware:compensation=0,target_psnr=44
# What follows an @ compresses again what the method made: engine-blind@jpeg-75

_FAST = configuration.Config(method="sparse", strength="fast")
_DESIGN = (
    "engine-aware",
    "engine-aware:compensation=0.3",
    "engine-aware:compensation=0.0",
    "engine-aware:target_psnr=44",
    "engine-aware:target_psnr=46,compensation=0.0",
    "engine-blind",
    "engine-blind:compensation=0.0",
    "engine-blind:target_psnr=44",
)
"""The engine's ingredients on and off: knowing K, taking back what is kept, and the PSNR."""


def preset(kind: str, setting: str) -> configuration.Study:
    """The settings behind configs/study_*.py.

    Args:
      kind: "panel" for all attackers against the methods without inversion; "aware" and "blind" for
        the paper's own experiments; "engine" for the engine's ingredients, on and off.
      setting: "default" for a size that two CPU cores can do; "dresden" and "vision" for the
        paper's cameras, number of photos and values; "crops" ("panel" and "engine" only) for all
        crops of full-resolution photos.
    """
    sets = {"dresden": presets.DRESDEN, "vision": presets.VISION}
    known = ["default", *sets] + ["crops"] * (kind in ("panel", "engine"))
    if setting not in known:
        raise InputError(f'there is no setting "{setting}"; choose one of {", ".join(known)}')
    methods: tuple[str, ...] = tuple(baselines.METHODS)
    if kind == "engine":
        methods = (*_DESIGN, "subtraction_search")
    elif kind != "panel":
        methods = (f"dippas-{kind}", *methods)
    if setting in sets:
        paper = configuration.preset("aware", "paper")
        return configuration.Study(methods, data=sets[setting], fingerprints="halves", run=paper)
    if setting == "crops":
        crops = configuration.Data(photos=("natural",), crop=512, crops=0)
        return configuration.Study(methods, data=crops, fingerprints="halves", run=_FAST)
    if kind == "engine":
        data = configuration.Data(photos=("crop512",), crop=128, crops=0)
        return configuration.Study(methods, data=data, run=_FAST)
    if kind == "panel":
        published = (f"{_PUBLISHED}patchmatch", f"{_PUBLISHED}inpainting")
        data = configuration.Data(photos=("crop512",))
        return configuration.Study((*published, *methods), data=data)
    grid = configuration.Assembly(
        sides=(64, 32, 128), averages=(10, 1, 5, 25, 50), thresholds=(38.0, 35.0, 36.0, 37.0)
    )
    fast = configuration.preset("aware", "prior")
    steps = dataclasses.replace(fast.inversion, max_steps=600, rollback=0.0)
    data = configuration.Data(photos=("crop512",), crop=128, crops=6)
    network = configuration.Generator()
    settings = dataclasses.replace(fast, generator=network, assembly=grid, inversion=steps)
    return configuration.Study(methods, data=data, run=settings)


def run(config: configuration.Study, workdir: str | Path) -> str:
    """The whole study, or what is left of it.

    Returns:
      The tables in Markdown, as tables.md holds them.

    Raises:
      InputError: Settings, photos, fingerprints or the folder cannot be used, or files are no
        longer those of the folder's manifest.
    """
    names = _methods(config)
    folder = store.prepare_workdir(workdir)
    records = datasets.load(
        **dataclasses.asdict(config.data), need_fingerprint=config.fingerprints == "file"
    )
    for name in names:
        if name.startswith(_PUBLISHED):  # before the work, not in the middle of it
            for record in records:
                _published(record, name.removeprefix(_PUBLISHED))
    runs.claim(folder, config)
    path, flats = folder / "manifest.json", _flats(records, config)
    if path.exists():
        datasets.check_manifest(records, store.read_json(path), flats)
    else:
        store.write_json(path, datasets.manifest(records, flats))
    groups = places.groups(records, config, folder)
    data = weights.load()
    learned = None if data is None else dncnn.parse(data)
    if learned is None and (not config.attackers or "learned" in config.attackers):
        runs.say("the learned extractor is left out; `dippas fetch learned` gets it")
    made = dict.fromkeys(_once(name) for name in names)
    ours = {name: _invert(name, groups, config, folder) for name in made if _base(name) in _OURS}
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
        if one["method"] != tables.untreated(one["method"])
        and _base(one["method"]) not in _PRIOR
        and "same-K" in one["attacks"]
    ]
    for name in [name for name in ours if _base(name) in _PRIOR]:
        grid = _grid(ours[name], rows)
        store.write_json(folder / f"{_safe(name)}.grid.json", grid)
        store.write_bytes(folder / f"{_safe(name)}.grid.png", charts.grid(grid, points))
        store.write_bytes(folder / f"{_safe(name)}.trade.png", charts.trade(grid, points))
    front = [
        (one["method"], one["psnr"], _worst(one["attacks"]))
        for one in summaries
        if one["method"] != tables.untreated(one["method"])
    ]
    if front:
        store.write_bytes(folder / "front.png", charts.front(front))
    runs.say(f"tables and figures are in {folder}")
    return text


def _flats(
    records: Sequence[datasets.Record], config: configuration.Study
) -> dict[str, list[Path]]:
    """The flat-field photos of every device."""
    if not config.data.folder:
        return {}
    return {
        device: datasets_folder.flat_files(
            config.data.folder, device, layout=config.data.layout, subfolder=config.flats
        )
        for device in dict.fromkeys(record.device for record in records)
    }


def _methods(config: configuration.Study) -> list[str]:
    """All names, the original photos first, checked."""
    known = [*baselines.METHODS, *_OURS, f"{_PUBLISHED}NAME"]
    for name in map(_once, config.methods):
        if _base(name) in _OURS:
            _variant(name, config)
        elif name not in known and not name.startswith(_PUBLISHED) and name != tables.ORIGINAL:
            raise InputError(f'there is no method "{name}"; known are {", ".join(known)}')
    for name in config.attackers:
        if name not in attackers.ATTACKERS:
            known = list(attackers.ATTACKERS)
            raise InputError(f'there is no attacker "{name}"; known are {", ".join(known)}')
    for name in config.methods:
        _quality(name)
    untreated = [tables.untreated(name) for name in config.methods]
    return list(dict.fromkeys((tables.ORIGINAL, *untreated, *config.methods)))


# ----------------------------------------------------------------------------------------- methods

# Index of a photo -> pixels, seconds; None if the method could not make it.
Make = Callable[[int], tuple[np.ndarray, float] | None]


def _maker(name: str, group: places.Group, config: configuration.Study, folder: Path) -> Make:
    """What gives a group's photos, treated by the method of that name."""
    if quality := _quality(name):
        first = _maker(_once(name), group, config, folder)

        def compressed(index: int) -> tuple[np.ndarray, float] | None:
            made = first(index)
            return made and (attackers.jpeg(made[0], quality), made[1])

        return compressed

    def read(path: Path) -> np.ndarray:
        """The group's part of a file that shows it, or the whole photo."""
        pixels, window = store.read_photo(path), group.samples[0].window
        size = pixels.shape[0], pixels.shape[1]
        if size == window.photo:
            return datasets.cut(pixels, window, offset=(0, 0))
        if size != (window.height, window.width):
            raise InputError(
                f"{path} is of {size[0]}x{size[1]} pixels, neither those of the whole photo "
                f"({window.photo[0]}x{window.photo[1]}) nor of the crop "
                f"({window.height}x{window.width}); choose the data.crop that was published"
            )
        return pixels

    if name == tables.ORIGINAL:
        return lambda index: (group.samples[index].pixels, 0.0)
    if _base(name) in _OURS:
        made = folder / _safe(name) / "photos"

        def inverted(index: int) -> tuple[np.ndarray, float] | None:
            if not (made / f"{group.records[index].id}.json").exists():
                return None
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


def _base(name: str) -> str:
    return _once(name).partition(":")[0]


def _once(name: str) -> str:
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


def _variant(name: str, config: configuration.Study) -> configuration.Config:
    """The settings of one of this package's methods, those behind the colon included."""
    base, _, changes = name.partition(":")
    values = configuration.to_config_dict(
        dataclasses.replace(
            config.run,
            mode=_OURS[base],
            method="prior" if base in _PRIOR else "sparse",
            seed=config.seed,
            data=config.data,
        )
    )
    for change in filter(None, changes.split(",")):
        key, _, value = change.partition("=")
        configuration.check_name(key)
        try:
            parsed = ast.literal_eval(value)
        except (ValueError, SyntaxError):
            parsed = value
        with values.ignore_type():
            values.update_from_flattened_dict({key: parsed})
    return configuration.from_config_dict(values)


def _worst(attacks: dict[str, Any]) -> float:
    """The largest root-mean-square z of all attackers whose scores are z and know a fingerprint."""
    return max(
        (one["rms_z"] for name, one in attacks.items() if not name.startswith(_NO_Z)),
        default=float("nan"),
    )


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
    name: str, groups: Sequence[places.Group], config: configuration.Study, folder: Path
) -> list[dict[str, Any]]:
    """This package's own results for all photos; the records, in the form of summary.json."""
    settings = _variant(name, config)
    pairs = [pair for g in groups for pair in zip(g.records, g.samples, strict=True)]
    records = [
        record._replace(read=lambda sample=sample: sample)  # K as the study has it
        for record, sample in pairs
    ]
    store.prepare_workdir(folder / _safe(name))
    found = []
    try:
        for record in runs.photos(records, settings, folder / _safe(name)):
            runs.say(report.lines(record))
            found.append(record)
    except runs.FailedError as error:
        runs.say(f"{name}: left out of the tables are {error}")
    if not found:
        raise InputError(f"{name} could do none of the photos; choose other ones")
    return found


# -------------------------------------------------------------------------------------------- rows


def _row(
    name: str,
    group: places.Group,
    make: Make,
    learned: Any,
    config: configuration.Study,
    folder: Path,
) -> dict[str, Any]:
    """Makes a group's photos, writes them, and lets every attacker look at them.

    Those that the method could not make are left out.
    """
    results = {i: result for i in range(len(group.records)) if (result := make(i)) is not None}
    records = [group.records[index] for index in results]
    made = [pixels for pixels, _ in results.values()]
    if name != tables.ORIGINAL:
        for record, pixels in zip(records, made, strict=True):
            store.write_png(folder / "photos" / _safe(name) / f"{record.id}.png", pixels)
    before = [group.samples[index].pixels for index in results]
    return {
        "method": name,
        "group": group.name,
        "device": group.device,
        "cameras": list(group.cameras),
        "photos": [record.id for record in records],
        "shots": [str(record.path or record.id) for record in records],
        "psnr": [float(image.psnr(a, b)) for a, b in zip(made, before, strict=True)],
        "ssim": [report.ssim(a, b) for a, b in zip(made, before, strict=True)],
        "seconds": [seconds for _, seconds in results.values()],
        "scores": _scores(dict(zip(results, made, strict=True)), group, learned, config.attackers)
        if made
        else {},
        "features": [detector.features(pixels).tolist() for pixels in made]
        if not config.attackers or "detector" in config.attackers
        else [],
    }


def _scores(
    made: dict[int, np.ndarray], group: places.Group, learned: Any, names: Sequence[str]
) -> dict[str, dict[str, list[list[float]]]]:
    """Scores of a group by attacker and by fingerprint, K and K'.

    The detector is not among them: it is trained on other photos (`tables.detection`).
    """
    photos = np.stack(list(made.values()))
    planes = np.stack([*group.fingerprints, *(group.others or ())])
    evidence = attackers.Evidence(planes, learned=learned)
    found = {}
    for name in attackers.available(evidence):
        if not names or name in (*names, "wavelet"):
            values = attackers.ATTACKERS[name].attack(photos, evidence)
            kinds = np.split(values, len(planes) // len(group.cameras), axis=1)
            pairs = zip(("K", "K'"), (kind.tolist() for kind in kinds), strict=False)
            found[name] = dict(pairs)
    if group.references is not None and (not names or "link" in names):
        linked = []  # no fingerprint is looked for, and the references are each photo's own
        for index, photo in made.items():
            known = evidence._replace(references=group.references(index))
            linked += attackers.link(photo[None], known).tolist()
        found["link"] = {"K": linked}
    return found


def _grid(found: Sequence[dict[str, Any]], rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """PSNR, AUC and C of every combination of B, L and τ: figures 6 to 8 and 11 to 13.

    Positives and negatives are chosen as for the tables (`tables.collect`).
    """
    others = tables.collect(rows, tables.ORIGINAL, "wavelet", "K", own=False)
    negatives = np.concatenate([one.values for one in others.values()])
    choices = [
        {key: result[key] for key in anonymize.Choice._fields} for result in found[0]["results"]
    ]
    grid = []
    for index, choice in enumerate(choices):
        results = [record["results"][index] for record in found if record["device"] in others]
        z = np.array([result["z"] for result in results], np.float64)
        z = z[~np.isnan(z)]
        auc = scores.auc(z, negatives)
        psnr = tables.mean_psnr(result["psnr"] for result in results)
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
    return name.replace(":", "-").replace("@", "-").replace("=", "-").replace(",", "-")
