"""The fingerprint of a camera from one's own photos of anything, in place of photos of a wall.

Photos of one make, model and size are taken for one camera's. Each is treated with the K of all the
others, never with its own noise in it, and only if its residual correlates with that K: what the
metadata say is confirmed by the sensor.

In memory is one camera at a time, and of its photos only sums.
"""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from dippas_jax.cli import console
from dippas_jax.io import decoder
from dippas_jax.io import photo as photo_file
from dippas_jax.signal import copies, extractors, fingerprint
from dippas_jax.types import InputError

FEWEST = 4
"""Photos of a camera from which the others' K is worth a look."""

CONFIRMED = 6.0
"""z of a photo's residual with the others' K from which they are one camera's: by chance one photo
in a billion has it."""

Kind = tuple[str, tuple[int, int]]
"""Make and model, and the size of the photos."""


class Known(NamedTuple):
    """K from the other photos of a camera.

    Attributes:
      plane: K [h w].
      photos: How many others there were.
      z: Of the photo's residual with it, wavelet filter at σ 3.
    """

    plane: np.ndarray
    photos: int
    z: float

    @property
    def confirmed(self) -> bool:
        """Whether the photo is of the same camera as the others."""
        return self.z >= CONFIRMED


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
        self._learned: tuple[list[Path], fingerprint.Accumulator | None] = [], None

    def known(self, path: Path, pixels: np.ndarray) -> Known | None:
        """K from the other photos of the camera that took one; None if there are too few.

        Args:
          path: One of the photos.
          pixels: Of it, uint8 or uint16.
        """
        photos = self.photos.get(path)
        if photos is None:
            return None
        if self._learned[0] is not photos:
            self._learned = photos, _sums(photos)
        total = self._learned[1]
        size = pixels.shape[0], pixels.shape[1]
        if total is None or total.numerator.shape[:2] != size:
            return None
        eight = photo_file.eight_bits(pixels)
        own = _update(fingerprint.init(*size), eight)
        count = int(total.count) - 1
        if count < FEWEST - 1:
            return None
        plane = np.asarray(_estimate(jax.tree.map(jnp.subtract, total, own)))
        z = extractors.scores(eight, plane)["sigma-3"]
        return Known(plane, count, -math.inf if math.isnan(z) else z)


def _kind(path: Path) -> Kind | None:
    """What one camera's photos have in common; None where the metadata do not name a camera."""
    try:
        found = decoder.header(path)
        return (found.camera, found.size) if found.camera else None
    except InputError:
        return None


def _sums(photos: Sequence[Path]) -> fingerprint.Accumulator | None:
    """Over all photos that can be read; of copies, which would tell a photo's own noise, one."""
    total = None
    noises: list[np.ndarray] = []
    for path in console.bar(photos, "photo"):
        try:
            pixels = decoder.read_pixels(path)
        except InputError:
            continue  # it is named when its turn comes
        noise = copies.noise(pixels)
        if any(noise @ other >= copies.SAME for other in noises):
            continue
        noises.append(noise)
        if total is None:
            total = fingerprint.init(pixels.shape[0], pixels.shape[1])
        total = _update(total, pixels)
    return total


_update = jax.jit(fingerprint.update, donate_argnums=0)
_estimate = jax.jit(fingerprint.estimate)
