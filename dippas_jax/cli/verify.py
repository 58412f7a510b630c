"""`dippas verify`: an original and its anonymised versions, before every attacker at hand."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from dippas_jax.cli import console, identify
from dippas_jax.forensics import attackers, scores, verification
from dippas_jax.io import decoder, exif, weights
from dippas_jax.io import photo as photo_file
from dippas_jax.signal import dncnn, image, placement
from dippas_jax.types import InputError

_COARSE = 4  # pixels
_ALIKE, _NEAR = 0.2, 25.0  # likeness and dB of which a version of a photo has one at least
_TURNED = 0.6  # the likeness of one that was turned otherwise than its tags say
_USUAL = 1.0  # dB by which such a way has to show the original better


def verify(
    original: str,
    anonymised: Sequence[str],
    fingerprints: Sequence[str],
    *,
    side: int | None,
    json: bool = False,
) -> int:
    """Runs every attacker that one photo and these fingerprints allow, before and after.

    Args:
      original: The photo as it came.
      anonymised: Versions of it: files, folders and patterns.
      fingerprints: Files of its camera's fingerprint; a second one, from other photos, makes the
        stronger attacker.
      side: Most pixels a side that are compared, of the centre; None for all.
      json: JSON in place of tables.
    """
    came = _whole(original)
    before = photo_file.eight_bits(came.pixels)
    size = before.shape[0], before.shape[1]
    failed, done, found = console.Failures(json=json), 0, False
    cameras = console.cameras(fingerprints, failed)
    if not cameras:
        return console.UNUSABLE
    groups = identify.groups(size, cameras, side)
    compared = [name for _, names, _ in groups for name in names]
    if missing := [name for name in cameras if name not in compared]:
        otherwise = "give the whole photo, or a fingerprint of these very pixels"
        identify.say_not_compared(original, size, missing, cameras, otherwise, fatal=not compared)
    data = weights.load()
    learned = None if data is None else dncnn.parse(data)
    if learned is None:
        console.note("the learned extractor is left out; `dippas fetch learned` gets it")

    def attacked(path: Path) -> dict[str, Any]:
        record = _record(before, _read(path, original, came), groups, learned)
        return {"original": str(original), "anonymised": str(path), **record}

    for path in console.bar(console.expand(anonymised, failed), "photo", quiet=True):
        record = failed.catch(attacked, path)
        if record is None:
            continue
        done += 1
        found |= any(one["found"] for one in record["attacks"])
        if json:
            console.print_json(record)
        else:
            print(_table(record), flush=True)
    in_part = any(
        window[-2:] != cameras[name].plane.shape for window, names, _ in groups for name in names
    )
    if done and not found and in_part:
        console.note("the photos were compared in part; --full tells more, and may find the camera")
    elif done and not found and any(window[-2:] != size for window, _, _ in groups):
        console.note(
            "the photos were compared where the fingerprint lies; one of whole photos tells more, "
            "and may find the camera"
        )
    return console.exit_code(done, failed, found)


def _whole(path: Path | str) -> photo_file.PhotoFile:
    """A photo; `InputError` where part of it may be lost, since nobody is found in what is lost."""
    photo = decoder.read(path)
    if damaged := console.damage(photo):
        raise InputError(f"photo {path}: {damaged}; get it again from where it came")
    return photo


def _read(path: Path, original: str, came: photo_file.PhotoFile) -> np.ndarray:
    """The version's pixels as the sensor has them, if it is one of the original."""
    photo = _whole(path)
    if photo_file.BELOW in photo.words:
        raise InputError(
            f"photo {path} holds something below its transparent pixels, which is not looked at "
            "here and may show the camera; anonymize it, or remove its transparency first"
        )
    after, before = (photo_file.eight_bits(one.pixels) for one in (photo, came))
    ways = {turn: exif.turned_back(after, turn) for turn in range(1, 9)}
    ways = {turn: way for turn, way in ways.items() if way.shape == before.shape}
    if not ways:
        raise InputError(
            f"photo {path} of {console.size_text(after.shape[:2])} pixels is no version of "
            f"{original} of {console.size_text(before.shape[:2])}; give photos of one size"
        )
    near = {turn: float(image.psnr(way, before)) for turn, way in ways.items()}
    usual = {turn for turn in (1, came.orientation) if turn in ways}  # as `anonymize` writes it
    best = max(ways, key=lambda turn: near[turn] + (_USUAL if turn in usual else 0))
    alike = _likeness(ways[best], before)
    if alike < (_ALIKE if best in usual else _TURNED) and near[best] < _NEAR:
        raise InputError(
            f"photo {path} does not show what {original} shows (likeness {alike:.2f} of 1); give "
            "versions of this photo, neither cropped nor warped"
        )
    if best not in usual:
        console.note(f"{path} was turned or mirrored, and is compared as {original} lies")
    return np.ascontiguousarray(ways[best])


def _likeness(one: np.ndarray, other: np.ndarray) -> float:
    """Correlation of what two photos of one size show: edges, each over four pixels, -1 to 1."""
    height, width = (side // _COARSE * _COARSE for side in one.shape[:2])
    steps = []
    for pixels in (one, other):
        grey = np.asarray(image.luma(pixels))[:height, :width]
        coarse = grey.reshape(height // _COARSE, _COARSE, -1, _COARSE).mean((1, 3))
        steps.append(np.concatenate([np.diff(coarse, axis=n).ravel() for n in (0, 1)]))
    if np.array_equal(steps[0], steps[1]):
        return 1.0
    norms = np.linalg.norm(steps[0]) * np.linalg.norm(steps[1])
    return float(steps[0] @ steps[1] / norms) if norms > 0 else 0.0


def _record(
    before: np.ndarray, after: np.ndarray, groups: Sequence[identify.Group], learned: Any
) -> dict[str, Any]:
    """What the attackers found, as it stands in the JSON."""
    findings, rows = [], []
    for window, names, planes in groups:
        original, version = (placement.cut(x, window, offset=(0, 0)) for x in (before, after))
        for one in verification.verify(original, version, planes, learned=learned):
            findings.append(one)
            rows.append({**one._asdict(), "fingerprint": names[one.fingerprint]})
    return {
        "psnr": float(image.psnr(after, before)),
        "ssim": scores.ssim(before, after),
        "attacks": rows,
        **verification.summary(findings)._asdict(),
        "untested": verification.untested(findings),
        "verdict": verification.verdict(findings),
    }


def _table(record: dict[str, Any]) -> str:
    """One anonymised version's scores, an attacker a line."""
    rows = record["attacks"]
    names = [console.shown(row["fingerprint"]) for row in rows]
    wide = max(11, *map(len, names))
    long = max(10, *(len(row["attacker"]) for row in rows))
    lines = [
        f"{console.shown(record['anonymised'])}  PSNR {record['psnr']:.2f} dB, "
        f"SSIM {record['ssim']:.4f}",
        f"  {'attacker':<{long}} {'fingerprint':<{wide}} {'before':>8} {'after':>8}"
        "         what it looks at",
    ]
    for name, row in zip(names, rows, strict=True):
        asks = attackers.ATTACKERS[row["attacker"]].question
        asks = f"{asks}: {row['part']}" if row["part"] else asks
        lines.append(
            f"  {row['attacker']:<{long}} {name:<{wide}} {_score(row['before'])} "
            f"{_score(row['after'])}  {'found' if row['found'] else '     '}  {asks}"
        )
    return "\n".join([*lines, record["verdict"]])


def _score(value: float) -> str:
    return f"{'-':>8}" if math.isnan(value) else f"{value:+8.1f}"
