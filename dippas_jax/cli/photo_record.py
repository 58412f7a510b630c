"""What `dippas anonymize` knows of one photo, for --json, the report and the terminal."""

import dataclasses
import math
import statistics
from collections.abc import Iterable, Mapping
from operator import itemgetter
from typing import Any

from dippas_jax import baselines
from dippas_jax.cli import console, prediction
from dippas_jax.forensics import attackers, verification
from dippas_jax.io import records
from dippas_jax.signal import cells

FOUND = 4.0
"""|z| that no attacker should reach where a photo is not said to be traceable."""

TRACED = FOUND - statistics.NormalDist().inv_cdf(0.95)
"""Expected |z|, 2.4, from which a photo counts as one that can probably be traced: scores lie about
their expectation with a standard deviation of 1, so that one attacker in twenty reaches `FOUND`."""

CERTAIN = 6.0
"""z of the wavelet attacker in the original from which a fingerprint is surely the camera's, so
that to find it no more says something: three times the widest spread of other cameras' z that was
seen (`correlation.spread`)."""

_ATTACK = {"attacker": str, "fingerprint": str, "before": float, "after": float, "found": bool}


@dataclasses.dataclass(frozen=True)
class PhotoRecord:
    """What is known of one photo: a line of --json, an entry of the report.

    Figures are nan where they are undefined, and null in JSON.

    Attributes:
      photo: The file that came.
      output: The file written.
      height: Pixels, as the sensor has them.
      width: Likewise.
      format: Of the output.
      method: "sparse", "prior" or one of `baselines.OFFERED`.
      mode: "aware", "own photos" (K is from the camera's other photos) or "blind".
      fingerprint: File of the known fingerprint; None where there is none.
      others: How many other photos K is from; 0 where it is not from such.
      psnr: dB, behind the output's format.
      settings: What the method settled on; see `types.Result`.
      z_before: By extractor (`signal.extractors.NAMES`) and attacker (`prediction.ELSEWHERE`), z of
        the known fingerprint in the photo as it came; empty where blind.
      z: The same in the output.
      leakage: By band and texture, the share of a fingerprint that is left, with its sign; empty
        where it was not measured.
      visible: z of a fingerprint of one percent in the photo as it came, by band and texture; empty
        where it was not measured.
      predicted_z: The largest |z| to expect of the photo's camera; nan where nothing was measured.
      seconds: Spent on the photo, without the attackers.
      seed: Of all randomness.
      warnings: Clauses that say what had to be converted, and what fell short.
      orientation: EXIF's, 1 to 8.
      sha256: Of the output file.
      examined: What every attacker found (`examine.examined`); empty where none was asked.
      photo_sha256: Of the file that came: another one of its name is another photo.
    """

    photo: str
    output: str
    height: int
    width: int
    format: str
    method: str
    mode: str
    fingerprint: str | None
    others: int
    psnr: float
    settings: Mapping[str, int | float]
    z_before: Mapping[str, float]
    z: Mapping[str, float]
    leakage: Mapping[str, float]
    visible: Mapping[str, float]
    predicted_z: float
    seconds: float
    seed: int
    warnings: tuple[str, ...]
    orientation: int
    sha256: str
    examined: Mapping[str, Any]
    photo_sha256: str = ""


_SAID = ("traced", "verdict")


def line(record: PhotoRecord) -> dict[str, Any]:
    """A line of --json: the record, whether its camera can probably be found, and the verdict."""
    said = {"traced": traced(record), "verdict": verdict(record)}
    return dataclasses.asdict(record) | {name: said[name] for name in _SAID}


def from_json(values: Any) -> PhotoRecord:
    """A record, or its `line`, as it was written: a PSNR of null is infinite, any other figure nan.

    Raises:
      ValueError: It is damaged, or of another version of this program.
    """
    if isinstance(values, dict):
        values = {name: value for name, value in values.items() if name not in _SAID}
    records.require(values, PhotoRecord)
    _require_examined(values["examined"])
    if attacks := values["examined"].get("attacks"):
        values = {
            **values,
            "examined": {**values["examined"], "attacks": [*map(_numbered, attacks)]},
        }

    def numbers(found: Mapping[str, Any]) -> dict[str, float]:
        return {name: math.nan if value is None else value for name, value in found.items()}

    settings = values["settings"]
    if settings.get("displacement"):
        if "psnr_in_place" not in settings:
            raise ValueError("a photo was moved, and its PSNR before that is not known")
        settings = {"left_in_place": None, **settings}  # of versions that did not tell it
        values = {**values, "settings": settings}
    names = ("settings", "z_before", "z", "leakage", "visible")
    rest: dict[str, Any] = {name: numbers(values[name]) for name in names}
    rest |= numbers({name: values[name] for name in ("predicted_z", "seconds")})
    rest["psnr"] = math.inf if values["psnr"] is None else values["psnr"]
    rest["warnings"] = tuple(values["warnings"])
    return PhotoRecord(**{**values, **rest})


def _numbered(attack: Mapping[str, Any]) -> dict[str, Any]:
    """With nan in the place of what is null in JSON."""
    return {name: math.nan if value is None else value for name, value in attack.items()}


def _require_examined(found: Mapping[str, Any]) -> None:
    """`ValueError` for what `examine.examined` does not give."""
    if not found:
        return
    attacks: Any = found.get("attacks")
    if not (
        records.fits(attacks, list[dict[str, Any]])
        and all(one.keys() >= _ATTACK.keys() for one in attacks)
        and all(records.fits(one[k], kind) for one in attacks for k, kind in _ATTACK.items())
        and all(one["attacker"] in attackers.ATTACKERS for one in attacks)
        and records.fits(found.get("untested"), list[str])
        and records.fits(found.get("ssim", ""), float)
        and records.fits(found.get("verdict"), str)
    ):
        raise ValueError("examined is of another type")


UNMEASURED = "what is left was not measured well, so that the camera may be found as before"
"""Of a photo that can probably be traced for all that is known."""


def traced(record: PhotoRecord) -> bool:
    """Whether the camera can probably be found: predicted or seen so, or for all that is known.

    So where nothing was done, and where nobody measured what is left.
    """
    attacks = record.examined.get("attacks", ())
    known = math.isinf(record.psnr) or bool(baselines.found(record.method)) or unmeasured(record)
    known |= _is_found_by_search(record)
    return known or record.predicted_z >= TRACED or any(one["found"] for one in attacks)


def place_z(record: PhotoRecord) -> float:
    """As `prediction.z_of_a_place`."""
    pixels = record.height * record.width
    return prediction.z_of_a_place(pixels, record.settings, record.visible)


def _is_found_by_search(record: PhotoRecord) -> bool:
    return prediction.is_found_by_search(record.height * record.width, place_z(record))


def unmeasured(record: PhotoRecord) -> bool:
    """Whether nothing tells what is left of a fingerprint that the method did not know."""
    unseen = math.isnan(record.predicted_z)
    unseen |= all(math.isnan(part) for part in record.leakage.values())
    pixels = record.height * record.width
    most = prediction.IMPOSSIBLE * prediction.whole(pixels)  # beyond, it is the photo's own noise
    checks = [one for one in _surely(record) if not _is_known(record, one)]
    plainest = max(
        (one for one in checks if one["before"] <= most), key=itemgetter("before"), default=None
    )
    if not unseen or plainest is None:
        return unseen
    if record.settings.get("displacement", 0.0) > 0:
        return True  # moved away, it says nothing of what is left
    return not prediction.by_check(pixels, plainest["before"], plainest["after"]) < TRACED


def looked_for(record: PhotoRecord, *, known: bool = True) -> bool:
    """Whether attackers looked for a fingerprint that is surely the camera's (`CERTAIN`).

    `known`: That which the method knew counts too, under whatever name.
    """
    return any(known or not _is_known(record, one) for one in _surely(record))


def _surely(record: PhotoRecord) -> list[Mapping[str, Any]]:
    """What the wavelet attacker found of fingerprints that are surely the camera's."""
    rows = record.examined.get("attacks", ())
    return [one for one in rows if one["attacker"] == "wavelet" and one["before"] >= CERTAIN]


def _is_known(record: PhotoRecord, one: Mapping[str, Any]) -> bool:
    """Whether an attacker's fingerprint is the one that the method knew."""
    return one.get("known", one["fingerprint"] == record.fingerprint)


def left(record: PhotoRecord) -> str:
    """A clause on what is left of a fingerprint."""
    if record.mode != "blind":
        before, after = (abs(_largest(z.values())) for z in (record.z_before, record.z))
        known = (
            f" (K from {console.counted(record.others, 'other photo')})" if record.others else ""
        )
        return f"largest |z| of seven attackers {before:.1f} before, {after:.1f} after{known}"
    if math.isnan(worst := cells.worst(record.leakage)):
        return "leakage not measured"
    return f"up to {100 * worst:+.0f} % of a planted fingerprint left in a band or texture"


def verdict(record: PhotoRecord) -> str:
    """What is to be thought of a photo, in a few words."""
    attacks = record.examined.get("attacks", ())
    if found := sorted({one["attacker"] for one in attacks if one["found"]}):
        by = attackers.ATTACKERS
        scores = [one for one in attacks if by[one["attacker"]].is_z]
        least = {name: CERTAIN * verification.unevenness(name) for name in by}
        surely = {
            one["fingerprint"] for one in scores if abs(one["before"]) >= least[one["attacker"]]
        }
        sure = any(one["found"] and one["fingerprint"] in surely for one in attacks)
        sure |= any(abs(one["after"]) >= least[one["attacker"]] for one in scores)
        doubt = "" if sure else ", which did not surely find it in the original: perhaps by chance"
        return f"found by {', '.join(found)}{doubt}"
    if math.isinf(record.psnr):
        return "nothing was changed, it can be traced as before"
    if unmeasured(record) and not baselines.found(record.method):
        return UNMEASURED
    if record.predicted_z >= TRACED:
        return f"can probably be traced (z of about {record.predicted_z:.1f} to be expected)"
    if _is_found_by_search(record):
        z = place_z(record)
        figure = "" if math.isnan(z) else f" (z of about {z:.1f} in each)"
        return f"can probably be traced by a search place by place{figure}"
    if known := baselines.found(record.method):
        return f"can probably be traced: {known}"
    if looked_for(record, known=False):
        return "found by none of the attackers that were asked"
    if looked_for(record):
        return "by the fingerprint that was used, found by none of the attackers that were asked"
    return f"z of about {record.predicted_z:.1f} to be expected, below {TRACED:.1f}"


def figures(record: PhotoRecord) -> str:
    """Size, PSNR, what is left and the time, in a line."""
    size = console.size_text((record.height, record.width))
    psnr = f"PSNR {record.psnr:.2f} dB" if math.isfinite(record.psnr) else "no pixel changed"
    if (moved := record.settings.get("displacement", 0.0)) > 0:
        before = record.settings["psnr_in_place"]
        psnr = f"PSNR {before:.2f} dB, then moved by {moved:g} pixels ({record.psnr:.2f} dB)"
    return f"{size}, {psnr}, {left(record)}, {record.seconds:.0f} s"


def text(record: PhotoRecord) -> str:
    """A photo's record for the terminal."""
    said = [
        f"{console.shown(record.photo)} -> {console.shown(record.output)}",
        f"  {figures(record)}",
        *(f"  Warning: {warning}" for warning in record.warnings),
    ]
    if summary := record.examined.get("verdict"):
        said.append(f"  {summary}")
    return "\n".join(said)


def _largest(values: Iterable[float]) -> float:
    """The value farthest from 0, with its sign; nan where there is none."""
    return max((value for value in values if not math.isnan(value)), key=abs, default=math.nan)
