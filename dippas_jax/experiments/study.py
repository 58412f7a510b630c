"""Studies: method × photos × attackers, resumable, a row per result, then tables and figures.

The folder of a study holds `photos/METHOD/ID.png` (what the methods made), `rows/METHOD/GROUP.json`
(what the attackers found; a group is the photos of one camera at one place of the sensor),
`fingerprints/`, `manifest.json` (files and their hashes), `tables.md`, `tables.json`, `front.png`
(PSNR against the worst z of every method) and the figures. A row that stands there is not made
again; files other than the manifest's are refused. Many machines may make the rows (`spread`).
"""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from dippas_jax import config as configuration
from dippas_jax.experiments import methods, plots, report, rows, runs, spread, tasks
from dippas_jax.forensics import attackers, scores, tables
from dippas_jax.io import files, weights
from dippas_jax.signal import residual

_NO_Z = (
    "shifts",
    "places",
    "pieces",
    "warps",
    "detector",
    "set",
    "link",
)  # not of one photo with a fingerprint, or no z


def run(
    config: configuration.Study,
    workdir: str | Path,
    show: Callable[[str], None] = lambda text: None,
) -> str:
    """The whole study, or what is left of it.

    Args:
      config: Of the study.
      workdir: Its folder.
      show: Told the tables, also where photos are missing in them.

    Returns:
      The tables in Markdown, as tables.md holds them.

    Raises:
      InputError: Settings, photos, fingerprints or the folder cannot be used, or files are no
        longer those of the folder's manifest.
      runs.FailedError: After all work, if this package's methods could not do some of the photos;
        before the tables, if parts could not be done that were spread over workers.
    """
    names = methods.named(config)
    methods.require_weights(names)
    folder = files.prepare_workdir(workdir)
    records = rows.load(config)
    methods.require_published(records, config)  # before the work, not in the middle of it
    runs.claim(folder, dataclasses.replace(config, cluster="", workers=0))
    spread_out = bool(config.cluster or config.workers)
    failed = spread.make(config, folder) if spread_out else {}
    ready = rows.ready(config, folder)
    if ready.learned is None and (not config.attackers or "learned" in config.attackers):
        tasks.say(
            "the learned extractor is left out, since this study was begun without it; another "
            "--workdir asks it"
            if weights.find()
            else "the learned extractor is left out; `dippas fetch learned` gets it for studies "
            "that are begun afterwards"
        )
    made = dict.fromkeys(methods.once(name) for name in names)
    ours = {
        name: methods.invert(name, ready.groups, config, folder, tried=spread_out)
        for name in made
        if methods.base(name) in methods.OURS
    }
    failed |= {name: why for name, (_, why) in ours.items() if why}
    lost = [name for name, (done, _) in ours.items() if not done]
    every = []
    for name in (name for name in names if methods.once(name) not in lost):
        for number, group in enumerate(ready.groups, 1):
            place = f"{number} of {len(ready.groups)}"
            every.append(files.read_json(rows.make(name, group, ready, config, folder, place)))
    summaries = tables.summarise(every)
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
    inverted = [n for n in ours if n not in lost and methods.base(n) in methods.PRIOR]
    for name in list(inverted):
        if (sigma := methods.variant(name, config).sigma) != residual.SIGMA:
            tasks.say(
                f"figures of B, L and τ of {name} are left out: its scores are those of sigma "
                f"{sigma}, and the originals' those of {residual.SIGMA}"
            )
            inverted.remove(name)
    for name in inverted:
        grid = _grid(ours[name][0], every)
        files.write_json(folder / f"{methods.folder_name(name)}.grid.json", grid)
        files.write_bytes(
            folder / f"{methods.folder_name(name)}.grid.png", plots.grid(grid, points)
        )
        files.write_bytes(
            folder / f"{methods.folder_name(name)}.trade.png", plots.trade(grid, points)
        )
    front = [
        (one["method"], one["psnr"], worst_z(one["attacks"])[0])
        for one in summaries
        if one["method"] != tables.untreated(one["method"])
    ]
    if front:
        files.write_bytes(folder / "front.png", plots.front(front))
    tasks.say(f"tables and figures are in {folder}")
    show(text)
    if missing := [f"{name}: {failed[name]}" for name in ours if name in failed]:
        raise runs.FailedError(f"left out of the tables are, by {'; by '.join(missing)}")
    return text


def _grid(
    found: Sequence[report.PhotoRecord], rows: Sequence[dict[str, Any]]
) -> list[dict[str, Any]]:
    """PSNR, AUC and C of every combination of B, L and τ: figures 6 to 8 and 11 to 13.

    Positives and negatives are chosen as for the tables (`tables.collect`).
    """
    others = tables.collect(rows, tables.ORIGINAL, "wavelet", "K", own=False)
    alone = {name for row in rows if tables.is_alone(row) for name in row["photos"]}
    negatives = np.concatenate([one.values for one in others.values()])
    choices = [
        {key: result[key] for key in ("side", "average", "threshold")}
        for result in found[0].results
    ]
    grid = []
    for index, choice in enumerate(choices):
        results = [
            record.results[index]
            for record in found
            if record.device in others and record.id not in alone
        ]
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


def worst_z(attacks: Mapping[str, Any]) -> tuple[float, str]:
    """The largest root-mean-square z of all attackers whose scores are z and know a fingerprint.

    That of the largest of several z counts in units of what it is by chance.

    Args:
      attacks: Of one method, from `tables.summarise`.

    Returns:
      It, and the attacker's label; nan and "" where no attacker gives a z.
    """

    def by_chance(label: str) -> float:
        known = attackers.ATTACKERS.get(label.removesuffix(" K'"))
        return known.rms if known else 1.0  # "same-K" and "other-K" are the paper's

    return max(
        (
            (one["rms_z"] / by_chance(name), name)
            for name, one in attacks.items()
            if not name.startswith(_NO_Z)
        ),
        default=(float("nan"), ""),
    )
