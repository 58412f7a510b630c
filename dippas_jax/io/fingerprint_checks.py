"""Whether a plane of numbers can be a fingerprint, and what in it belongs to no camera.

A fingerprint is noise: no picture, no stripes, no few values that hide all others. A mean and
outliers are taken out; the rest is refused. `python -m benchmarks.fingerprints` prints what
fingerprints of real cameras and other planes have, on both sides of each bound.
"""

from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float

from dippas_jax.types import InputError

SMOOTH = 0.06
"""Share of a plane's variance in the means of 32x32 blocks; 0.001 in white noise, ten times that in
noise that was blurred over two pixels."""

REGULAR = 0.5
"""Share of a plane's variance in a thousandth of its frequencies; 0.008 in white noise."""

FAR = 30.0
"""Standard deviations, without the largest thousandth of the values, of an outlier."""

HEAVY = 0.05
"""Share of a plane's variance from which outliers are taken out."""

_BY_CHANCE = 4.0  # standard errors by which a mean may differ from zero
_LEAST_VARIATION = 1e-5  # of the mean; float32 has seven digits
_SCALES = 1e-12, 1e9  # standard deviations between which all units in use lie
_BLOCK = 32
_FEW = 1e-3  # of the values, or of the frequencies
_PASSES = 20
_LEAST = 1000  # values that differ, of a plane that holds something
_CENTRE = 1024  # pixels a side of the part whose spectrum is looked at


class Checked(NamedTuple):
    """A plane as it can be compared with photos.

    Attributes:
      plane: float32; the very one that came where nothing had to be changed.
      mean: That was subtracted; 0 where none was.
      outliers: How many values were set to 0.
    """

    plane: Float[np.ndarray, "h w"]
    mean: float
    outliers: int


def checked(path: Path | str, plane: Float[np.ndarray, "h w"]) -> Checked:
    """The plane without mean and outliers, which would hide or imitate a camera.

    Pictures of 8 bits and maps of gains around 1 have a mean; the plane of a fingerprint file
    hardly has, and stays as it is.

    Args:
      path: Of its file, for messages.
      plane: float32, all values finite.

    Raises:
      InputError: Nearly constant, of no possible scale or of many, a picture, or a regular pattern.
    """
    mean, outliers = 0.0, 0
    for _ in range(_PASSES):
        found = _once(path, plane)
        if found.plane is plane:
            return Checked(plane, mean, outliers)
        # What is written is read again as it is.
        plane, mean, outliers = found.plane, mean + found.mean, outliers + found.outliers
    raise InputError(
        f"fingerprint {path} has values of so many scales that few of them count; estimate it again"
    )


def _once(path: Path | str, plane: Float[np.ndarray, "h w"]) -> Checked:
    wide = plane.astype(np.float64)
    far, share = outliers(wide)
    number = int(far.sum()) if share > HEAVY else 0
    if number:
        wide[far] = np.median(wide)
    mean, deviation = float(wide.mean()), float(wide.std())
    if deviation < _LEAST_VARIATION * abs(mean) or not deviation:
        apart = f" but for {number} of its values" if number else ""
        raise InputError(
            f"fingerprint {path} is nearly constant{apart} (mean {mean:g}, standard deviation "
            f"{deviation:.2g}), so little but its rounding is left; estimate it again"
        )
    if not _SCALES[0] <= deviation <= _SCALES[1]:
        raise InputError(
            f"fingerprint {path} has a standard deviation of {deviation:.2g}, which no unit of a "
            "fingerprint gives; estimate it again, or divide it by its standard deviation"
        )
    if (share := smooth(wide)) > SMOOTH:
        raise InputError(
            f"fingerprint {path} is a picture or a map of brightness, no fingerprint: means of "
            f"32x32 pixels hold {100 * share:.0f} % of its variance, in noise 0.1 %; build one "
            "from photos of a wall (dippas fingerprint build)"
        )
    if (share := regular(wide)) > REGULAR:
        raise InputError(
            f"fingerprint {path} is a regular pattern such as stripes, no fingerprint: "
            f"{100 * share:.0f} % of its variance lie in a thousandth of its frequencies; build "
            "one from photos of a wall (dippas fingerprint build)"
        )
    shifted = abs(mean) > _BY_CHANCE * deviation / wide.size**0.5
    if not shifted and not number:
        return Checked(plane, 0.0, 0)
    mean = mean if shifted else 0.0
    wide -= mean
    if number:
        wide[far] = 0
    return Checked(wide.astype(np.float32), mean, number)


def outliers(plane: Float[np.ndarray, "h w"]) -> tuple[Bool[np.ndarray, "h w"], float]:
    """The values farther from the median than `FAR`, and their share of the distances' squares.

    Where hardly any differ from it these are all.
    """
    apart = np.abs(plane - np.median(plane))
    held = apart[apart > 0]  # a plane may be empty in part
    if held.size < min(_LEAST, plane.size // 2):
        return apart > 0, float(held.size > 0)
    most = np.quantile(held, 1 - _FEW, method="lower")
    far = apart > FAR * np.sqrt(np.mean(held[held <= most] ** 2))
    return far, float(np.sum(apart[far] ** 2) / np.sum(apart**2))


def smooth(plane: Float[np.ndarray, "h w"]) -> float:
    """Share of a plane's variance in the means of 32x32 blocks; 0 where there are none."""
    rows, columns = (side // _BLOCK for side in plane.shape)
    part = plane[: rows * _BLOCK, : columns * _BLOCK]
    means = part.reshape(rows, _BLOCK, columns, _BLOCK).mean(axis=(1, 3))
    return float(means.var() / part.var()) if part.size and part.var() else 0.0


def regular(plane: Float[np.ndarray, "h w"]) -> float:
    """Share of the variance of a plane's centre in the strongest thousandth of its frequencies."""
    top, left = (max(side - _CENTRE, 0) // 2 for side in plane.shape)
    part = plane[top : top + _CENTRE, left : left + _CENTRE]
    power = np.abs(np.fft.fft2(part - part.mean())).ravel() ** 2
    few = max(2, round(_FEW * power.size))  # a wave has two
    total = power.sum()
    return float(np.partition(power, -few)[-few:].sum() / total) if total else 0.0
