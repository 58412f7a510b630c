"""The rows of a study: what a method made of the photos of a group, and what attackers found there.

A row is a file, written as soon as it is made; all that it needs is in the study's folder and in
the photos'.
"""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from dippas_jax import config as configuration
from dippas_jax.datasets import folder as datasets_folder
from dippas_jax.datasets import manifests, reader
from dippas_jax.experiments import methods, places, tasks
from dippas_jax.forensics import attackers, detector, scores, tables
from dippas_jax.io import files, weights
from dippas_jax.signal import dncnn, image
from dippas_jax.types import InputError, Record


class Ready(NamedTuple):
    """What all rows need.

    Attributes:
      groups: The photos.
      learned: Weights of the learned extractor, where the study has asked it from its beginning.
    """

    groups: list[places.Group]
    learned: Any


def load(config: configuration.Study) -> Sequence[Record]:
    """The photos, of which nothing is decoded yet; `InputError` as `reader.load`."""
    return reader.load(config.data, need_fingerprint=config.fingerprints == "file")


def ready(config: configuration.Study, folder: Path) -> Ready:
    """The photos in groups; manifest.json is written, or theirs have to be its files.

    Raises:
      InputError: Photos or fingerprints cannot be used, or files are no longer the manifest's, the
        weights of the learned extractor among them.
    """
    records, data = load(config), _weights(config)
    path, flats = folder / "manifest.json", _flats(records, config)
    found = methods.published_files(records, config)
    published = {name: list(some.values()) for name, some in found.items()}
    if path.exists():
        known = files.read_json(path)
        manifests.check(records, known, flats, published)
    else:
        known = manifests.manifest(records, flats, published) | {"learned": _hash(data)}
        files.write_json(path, known)
    return Ready(places.groups(records, config, folder), _learned(known, data, folder))


def _weights(config: configuration.Study) -> bytes | None:
    """Of the learned extractor, if it is asked for and this machine has them."""
    wanted = not config.attackers or "learned" in config.attackers
    return weights.load() if wanted else None


def _hash(data: bytes | None) -> str:
    return "" if data is None else hashlib.sha256(data).hexdigest()


def _learned(known: dict[str, Any], data: bytes | None, folder: Path) -> Any:
    """The weights that the study began with: all its rows ask the extractor, or none."""
    begun = known.get("learned", _hash(data))  # earlier versions did not tell
    if begun and begun != _hash(data):
        raise InputError(
            f"the study in {folder} was begun with weights of the learned extractor that are not "
            "here; `dippas fetch learned` gets them, or choose another --workdir"
        )
    return dncnn.parse(data) if begun and data is not None else None


def make(
    name: str,
    group: places.Group,
    ready: Ready,
    config: configuration.Study,
    folder: Path,
    place: str = "",
) -> Path:
    """The file of a row, which is made if it is not there, or if photos of it were made since.

    Args:
      name: Of the method; what one of this package's own makes is there already.
      group: The photos.
      ready: What all rows need.
      config: Of the study.
      folder: Likewise.
      place: Which group of how many, for the line that says so.
    """
    path = row_file(name, group.name, folder)
    if not stands(name, group.name, [record.id for record in group.records], folder):
        tasks.say(f"{name}: {group.name}, {place}")
        files.prepare_workdir(path.parent)
        files.prepare_workdir(folder / "photos" / methods.folder_name(name))
        maker = methods.maker(name, group, config, folder)
        files.write_json(path, _row(name, group, maker, ready.learned, config, folder))
    return path


def stands(name: str, group: str, photos: Sequence[str], folder: Path) -> bool:
    """Whether a row is there, with all photos of its group that the method can give."""
    path = row_file(name, group, folder)
    wanted = methods.possible(name, photos, folder)
    return path.exists() and files.read_json(path)["photos"] == wanted


def row_file(name: str, group: str, folder: Path) -> Path:
    """Where the row of a method and a group stands."""
    return folder / "rows" / methods.folder_name(name) / f"{group}.json"


def _flats(records: Sequence[Record], config: configuration.Study) -> dict[str, list[Path]]:
    """The flat-field photos of every device."""
    if not config.data.folder:
        return {}
    return {
        device: datasets_folder.flat_files(
            config.data.folder, device, layout=config.data.layout, subfolder=config.flats
        )
        for device in dict.fromkeys(record.device for record in records)
    }


def _row(
    name: str,
    group: places.Group,
    make: methods.Make,
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
            files.write_png(
                folder / "photos" / methods.folder_name(name) / f"{record.id}.png", pixels
            )
    before = [group.samples[index].pixels for index in results]
    return {
        "method": name,
        "group": group.name,
        "device": group.device,
        "cameras": list(group.cameras),
        "photos": [record.id for record in records],
        "shots": [str(record.path or record.id) for record in records],
        "psnr": [float(image.psnr(a, b)) for a, b in zip(made, before, strict=True)],
        "ssim": [scores.ssim(a, b) for a, b in zip(made, before, strict=True)],
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
