"""Studies: method × photos × attackers, resumable, a row per result, then tables and figures.

The folder of a study holds `photos/METHOD/ID.png` (what the methods made), `rows/METHOD/GROUP.json`
(what the attackers found; a group is the photos of one camera at one place of the sensor),
`fingerprints/`, `manifest.json` (files and their hashes), `tables.md`, `tables.json`, `front.png`
(PSNR against the worst z of every method) and the figures. A row that stands there is not made
again; files other than the manifest's are refused.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from dippas_jax import config as configuration
from dippas_jax.datasets import folder as datasets_folder
from dippas_jax.datasets import manifests, reader
from dippas_jax.experiments import methods, places, plots, report, runs
from dippas_jax.forensics import attackers, detector, scores, tables
from dippas_jax.io import files, weights
from dippas_jax.signal import dncnn, image
from dippas_jax.types import Record

_NO_Z = (
    "shifts",
    "places",
    "pieces",
    "warps",
    "detector",
    "set",
    "link",
)  # not of one photo with a fingerprint, or no z


def run(config: configuration.Study, workdir: str | Path) -> str:
    """The whole study, or what is left of it.

    Returns:
      The tables in Markdown, as tables.md holds them.

    Raises:
      InputError: Settings, photos, fingerprints or the folder cannot be used, or files are no
        longer those of the folder's manifest.
    """
    names = methods.named(config)
    folder = files.prepare_workdir(workdir)
    records = reader.load(config.data, need_fingerprint=config.fingerprints == "file")
    for name in names:
        if name.startswith(methods.PUBLISHED):  # before the work, not in the middle of it
            for record in records:
                methods.published(record, name.removeprefix(methods.PUBLISHED))
    runs.claim(folder, config)
    path, flats = folder / "manifest.json", _flats(records, config)
    if path.exists():
        manifests.check(records, files.read_json(path), flats)
    else:
        files.write_json(path, manifests.manifest(records, flats))
    groups = places.groups(records, config, folder)
    data = weights.load()
    learned = None if data is None else dncnn.parse(data)
    if learned is None and (not config.attackers or "learned" in config.attackers):
        runs.say("the learned extractor is left out; `dippas fetch learned` gets it")
    made = dict.fromkeys(methods.once(name) for name in names)
    ours = {
        name: methods.invert(name, groups, config, folder)
        for name in made
        if methods.base(name) in methods.OURS
    }
    rows = []
    for name in names:
        makers = [methods.maker(name, group, config, folder) for group in groups]
        for number, (group, make) in enumerate(zip(groups, makers, strict=True)):
            path = folder / "rows" / methods.folder_name(name) / f"{group.name}.json"
            if not path.exists():
                runs.say(f"{name}: {group.name}, {number + 1} of {len(groups)}")
                files.prepare_workdir(path.parent)
                files.prepare_workdir(folder / "photos" / methods.folder_name(name))
                files.write_json(path, _row(name, group, make, learned, config, folder))
            rows.append(files.read_json(path))
    summaries = tables.summarise(rows)
    text = tables.markdown(summaries)
    files.write_json(folder / "tables.json", summaries)
    files.write_bytes(folder / "tables.md", text.encode())
    points = [
        (one["method"], one["psnr"], one["attacks"]["same-K"]["auc"])
        for one in summaries
        if one["method"] != tables.untreated(one["method"])
        and methods.base(one["method"]) not in methods.PRIOR
        and "same-K" in one["attacks"]
    ]
    for name in [name for name in ours if methods.base(name) in methods.PRIOR]:
        grid = _grid(ours[name], rows)
        files.write_json(folder / f"{methods.folder_name(name)}.grid.json", grid)
        files.write_bytes(
            folder / f"{methods.folder_name(name)}.grid.png", plots.grid(grid, points)
        )
        files.write_bytes(
            folder / f"{methods.folder_name(name)}.trade.png", plots.trade(grid, points)
        )
    front = [
        (one["method"], one["psnr"], _worst(one["attacks"]))
        for one in summaries
        if one["method"] != tables.untreated(one["method"])
    ]
    if front:
        files.write_bytes(folder / "front.png", plots.front(front))
    runs.say(f"tables and figures are in {folder}")
    return text


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


# -------------------------------------------------------------------------------------------- rows


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


def _grid(
    found: Sequence[report.PhotoRecord], rows: Sequence[dict[str, Any]]
) -> list[dict[str, Any]]:
    """PSNR, AUC and C of every combination of B, L and τ: figures 6 to 8 and 11 to 13.

    Positives and negatives are chosen as for the tables (`tables.collect`).
    """
    others = tables.collect(rows, tables.ORIGINAL, "wavelet", "K", own=False)
    negatives = np.concatenate([one.values for one in others.values()])
    choices = [
        {key: result[key] for key in ("side", "average", "threshold")}
        for result in found[0].results
    ]
    grid = []
    for index, choice in enumerate(choices):
        results = [record.results[index] for record in found if record.device in others]
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
                "fallbacks": sum(result["snapshots"] == 0 for result in results),
                "n": len(results),
            }
        )
    return grid


def _worst(attacks: dict[str, Any]) -> float:
    """The largest root-mean-square z of all attackers whose scores are z and know a fingerprint.

    That of the largest of several z counts in units of what it is by chance.
    """

    def by_chance(label: str) -> float:
        known = attackers.ATTACKERS.get(label.removesuffix(" K'"))
        return known.rms if known else 1.0  # "same-K" and "other-K" are the paper's

    return max(
        (
            one["rms_z"] / by_chance(name)
            for name, one in attacks.items()
            if not name.startswith(_NO_Z)
        ),
        default=float("nan"),
    )
