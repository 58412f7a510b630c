"""What `dippas anonymize` knows of one photo, for --json, the report and the terminal."""

import dataclasses
import math
from collections.abc import Iterable, Mapping
from typing import Any

from dippas_jax.cli import console


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
      method: "sparse" or "prior".
      mode: "aware" or "blind".
      fingerprint: File of the known fingerprint; None where blind.
      psnr: dB, behind the output's format.
      settings: What the method settled on; see `types.Result`.
      z_before: By extractor, z of the known fingerprint in the photo as it came; empty where blind.
      z: The same in the output.
      leakage: By extractor, the share of a planted fingerprint that is left, with its sign; empty
        where it was not measured.
      seconds: Spent on the photo, without the attackers.
      seed: Of all randomness.
      warnings: Clauses that say what had to be converted, and what fell short.
      orientation: EXIF's, 1 to 8.
      sha256: Of the output file.
      examined: What every attacker found (`examine.examined`); empty where none was asked.
    """

    photo: str
    output: str
    height: int
    width: int
    format: str
    method: str
    mode: str
    fingerprint: str | None
    psnr: float
    settings: Mapping[str, int | float]
    z_before: Mapping[str, float]
    z: Mapping[str, float]
    leakage: Mapping[str, float]
    seconds: float
    seed: int
    warnings: tuple[str, ...]
    orientation: int
    sha256: str
    examined: Mapping[str, Any]


def from_json(values: Mapping[str, Any]) -> PhotoRecord:
    """A record as it was written; a figure that is null becomes nan again."""

    def numbers(found: Mapping[str, Any]) -> dict[str, float]:
        return {name: math.nan if value is None else value for name, value in found.items()}

    shares = {name: numbers(values[name]) for name in ("z_before", "z", "leakage")}
    psnr = math.nan if values["psnr"] is None else values["psnr"]
    return PhotoRecord(**{**values, **shares, "psnr": psnr, "warnings": tuple(values["warnings"])})


def text(record: PhotoRecord) -> str:
    """A photo's record for the terminal."""
    if record.mode == "aware":
        before, after = (abs(_largest(z.values())) for z in (record.z_before, record.z))
        left = f"largest |z| of four extractors {before:.1f} before, {after:.1f} after"
    elif math.isnan(worst := _largest(record.leakage.values())):
        left = "leakage not measured"
    else:
        left = f"leakage {100 * worst:+.0f} % of a planted fingerprint"
    size = console.size_text((record.height, record.width))
    psnr = f"PSNR {record.psnr:.2f} dB" if math.isfinite(record.psnr) else "no pixel changed"
    said = [
        f"{record.photo} -> {record.output}",
        f"  {size}, {psnr}, {left}, {record.seconds:.0f} s",
        *(f"  Warning: {warning}" for warning in record.warnings),
    ]
    if verdict := record.examined.get("verdict"):
        said.append(f"  {verdict}")
    return "\n".join(said)


def _largest(values: Iterable[float]) -> float:
    """The value farthest from 0, with its sign; nan where there is none."""
    return max((value for value in values if not math.isnan(value)), key=abs, default=math.nan)
