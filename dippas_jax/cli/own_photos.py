"""The fingerprint of a camera from one's own photos of anything, in place of photos of a wall.

Photos of one make, model and size are taken for one camera's. Each is treated with the K of all the
others, never with its own noise in it, and only if its residual correlates with that K: what the
metadata say is confirmed by the sensor.

Of copies, and of photos that were taken from one place, one counts: they share more than a sensor.

In memory is one camera at a time, and of its photos only sums and half a megabyte each, by
which those are told.
"""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from dippas_jax.cli import console
from dippas_jax.forensics import drawn, identification
from dippas_jax.io import decoder
from dippas_jax.io import photo as photo_file
from dippas_jax.signal import copies, extractors, fingerprint
from dippas_jax.types import InputError

FEWEST = 4
"""Photos of a camera from which the others' K is worth a look."""

COPY = copies.ALIKE
"""Correlation of residuals from which a photo is a copy of another one, in part at least: photos of
real scenes by one camera have at most 0.01, of a wall 0.05 (`copies`)."""

CONFIRMED = 6.0
"""z of a photo's residual with the others' K from which they are one camera's: by chance one photo
in a billion has it where noise is white, and one in seven hundred where z spreads by 2."""

Kind = tuple[str, tuple[int, int]]
"""Make and model, and the size of the photos."""


class Known(NamedTuple):
    """K from the other photos of a camera.

    Attributes:
      plane: K [h w].
      photos: How many others there were.
      z: Of the photo's residual with it, wavelet filter at σ 3.
      drawn: Share of that which lies where something is drawn into photo and others.
    """

    plane: np.ndarray
    photos: int
    z: float
    drawn: float = math.nan

    @property
    def confirmed(self) -> bool:
        """Whether the photo is of the same camera as the others."""
        return not self.reason

    @property
    def reason(self) -> str:
        """Why it is not confirmed; "" if it is."""
        if math.isnan(self.z):
            return "it has no noise"
        if self.z < CONFIRMED:
            return f"z {self.z:.1f}"
        if drawn.decides(self.drawn, self.z):
            return f"{100 * self.drawn:.0f} % of what agrees lie where all have something drawn"
        return ""


class _Sums(NamedTuple):
    """Over all photos of a camera that can be read; of copies of one, the first.

    Attributes:
      total: None where there is none.
      shown: By photo, those of the sum that hold the same picture: itself, or what it is a copy of,
        or others of one scene.
    """

    total: fingerprint.Accumulator | None
    shown: Mapping[Path, Sequence[Path]]


class OwnPhotos:
    """The photos of a command, by the cameras that took them."""

    def __init__(self, photos: Sequence[Path]):
        """Looks at the headers alone; what cannot be read is no photo of any camera."""
        kinds: dict[Kind, list[Path]] = {}
        for path in photos:
            if kind := _kind(path):
                kinds.setdefault(kind, []).append(path)
        self.photos: Mapping[Path, list[Path]] = {
            path: paths for paths in kinds.values() if len(paths) >= FEWEST for path in paths
        }
        self._learned: tuple[list[Path], _Sums] = [], _Sums(None, {})

    def known(self, path: Path, pixels: np.ndarray) -> Known | None:
        """K from the other photos of the camera that took one; None if there are too few.

        Args:
          path: One of the photos.
          pixels: Of it, uint8 or uint16, as they are treated. They may have been converted to sRGB,
            so a photo that was summed is read again as it stands in its file.
        """
        photos = self.photos.get(path)
        if photos is None:
            return None
        if self._learned[0] is not photos:
            self._learned = photos, _sums(photos)
        total, shown = self._learned[1]
        size = pixels.shape[0], pixels.shape[1]
        if total is None or total.numerator.shape[:2] != size:
            _say_alone(path, 0)
            return None
        eight = decoder.read_pixels(path) if path in shown else photo_file.eight_bits(pixels)
        others = total
        for one in shown.get(path, ()):
            same = eight if one == path else decoder.read_pixels(one)
            others = jax.tree.map(jnp.subtract, others, _update(fingerprint.init(*size), same))
        count = int(others.count)
        if count < FEWEST - 1:
            _say_alone(path, count)
            return None
        plane = np.asarray(_estimate(others))
        z = extractors.scores(eight, plane)["sigma-3"]
        share = identification.drawn(eight, plane).share if z >= CONFIRMED else math.nan
        return Known(plane, count, z, share)


def _say_alone(path: Path, count: int) -> None:
    """Says why a photo of which others seemed to be there is treated without them."""
    console.note(
        f"{path}: only {count} other photos of its make, model and size count, as copies and "
        "photos from one place count once, and those that cannot be used not at all; it is "
        "treated as if alone"
    )


def _kind(path: Path) -> Kind | None:
    """What one camera's photos have in common; None where the metadata do not name a camera."""
    try:
        found = decoder.header(path)
        return (found.camera, found.size) if found.camera else None
    except InputError:
        return None


def _sums(photos: Sequence[Path]) -> _Sums:
    total = None
    shown: dict[Path, list[Path]] = {}
    looks: dict[Path, tuple[np.ndarray, np.ndarray]] = {}
    for path in console.bar(photos, "photo"):
        try:
            pixels = decoder.read_pixels(path)
        except InputError:
            continue  # it is named when its turn comes
        look = copies.noise(pixels), copies.scene(pixels)
        like = [one for one, other in looks.items() if _alike(look, other)]
        looks[path] = look
        shown[path] = [one for one in like if one in shown[one]]
        if shown[path]:
            continue
        for one in (*like, path):  # a photo between two of one scene holds what both show
            shown[one].append(path)
        if total is None:
            total = fingerprint.init(pixels.shape[0], pixels.shape[1])
        total = _update(total, pixels)
    return _Sums(total, shown)


def _alike(one: tuple[np.ndarray, np.ndarray], other: tuple[np.ndarray, np.ndarray]) -> bool:
    """Whether of two photos one is a copy, or both are of one scene, by their noise and scene."""
    if one[1].shape != other[1].shape:
        return False
    return bool(one[0] @ other[0] >= COPY or one[1] @ other[1] >= copies.ONE_SCENE)


_update = jax.jit(fingerprint.update, donate_argnums=0)
_estimate = jax.jit(fingerprint.estimate)
