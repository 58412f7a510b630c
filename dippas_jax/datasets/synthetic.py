"""Simulated cameras: real scenes exposed through a sensor whose fingerprint is known.

The model is the paper's equation 1, I = I0 (1 + K) + noise, in grey levels:

- I0: photographs by Rachel Michetti and Stefan van der Walt (CC0) from scikit-image's wheel. They
  were scaled down for the web, which averages their own cameras' noise away; what is left is as
  independent of K as texture is, so it is part of the scene.
- K: white Gaussian, one value per pixel of the sensor, relative to the signal, common to the
  three channels. No mosaic and no tone curve: the file is proportional to the light.
- noise: photons (variance proportional to the signal), electronics (constant), rounding to 8 bits.

As with a real camera the planted K is never handed over: `records` gives the estimate from flat
fields, and `readers` other flat fields, for a second estimate K'. Every draw is addressed by
(seed, purpose, index), so none depends on what was drawn before.
"""

import dataclasses
import functools
from collections.abc import Callable, Iterator

import numpy as np

from dippas_jax.signal import flat_field
from dippas_jax.types import InputError, Record, Sample, Window

SIZE = 128
"""Default side of a simulated photo, pixels."""

LARGEST = 300
"""Largest side: the height of the smaller scene."""

FLATS = 25
"""Flat fields behind a fingerprint, as in the paper's experiments."""

SCENES = ("coffee", "chelsea")

_PREFIX = "synthetic_"

_FINGERPRINT, _SCENE_SHOT, _FLAT_SHOT, _PLACE = range(4)  # purposes of a draw


@dataclasses.dataclass(frozen=True)
class Camera:
    """A sensor.

    The defaults make a clear but not an easy case: from 25 flats K is estimated with a correlation
    of 0.87, and the first photo has a z-score of 17, 20, 23, 32 at sides of 128, 160, 192, 256.

    Attributes:
      seed: Identity: cameras of different seeds have independent fingerprints.
      strength: Standard deviation of K, relative to the signal.
      electrons: Photons counted per grey level: at level g their noise has variance g / electrons.
      read_noise: Standard deviation of the electronics' noise, grey levels.
    """

    seed: int = 0
    strength: float = 0.003
    electrons: float = 40.0
    read_noise: float = 0.5

    def fingerprint(self, height: int, width: int) -> np.ndarray:
        """The planted K of a sensor of that size, float64 [h w], relative to the signal."""
        draw = _generator(self.seed, _FINGERPRINT)
        return self.strength * draw.standard_normal((height, width))


def _generator(seed: int, purpose: int, index: int = 0) -> np.random.Generator:
    return np.random.Generator(np.random.Philox(np.random.SeedSequence([seed, purpose, index])))


def expose(
    camera: Camera, radiance: np.ndarray, shot: int, *, purpose: int = _SCENE_SHOT
) -> np.ndarray:
    """Take a photo.

    Args:
      camera: The sensor.
      radiance: The scene, float [h w 3] in [0, 1], 1 being level 255.
      shot: Number of the photo; it addresses the noise.
      purpose: What the noise is for; scenes and flats of one number differ in it.

    Returns:
      uint8 [h w 3].
    """
    draw = _generator(camera.seed, purpose, shot)
    signal = 255.0 * radiance * (1.0 + camera.fingerprint(*radiance.shape[:2])[..., None])
    levels = draw.poisson(np.maximum(signal, 0.0) * camera.electrons) / camera.electrons
    levels = levels + camera.read_noise * draw.standard_normal(levels.shape)
    return np.clip(np.rint(levels), 0, 255).astype(np.uint8)


def flats(
    camera: Camera, height: int, width: int, count: int = FLATS, first: int = 0
) -> Iterator[np.ndarray]:
    """Flat-field photos uint8 [h w 3], `count` of them from number `first` on."""
    for shot in range(first, first + count):
        yield flat(camera, height, width, shot)


def flat(camera: Camera, height: int, width: int, shot: int) -> np.ndarray:
    """A photo uint8 [h w 3] of an evenly lit wall, level 190 and a tenth less in the corners."""
    y, x = np.ogrid[-1.0 : 1.0 : height * 1j, -1.0 : 1.0 : width * 1j]
    wall = (190.0 / 255.0) * (1.0 - 0.05 * (y**2 + x**2))
    radiance = np.repeat(wall[..., None], 3, axis=-1)
    return expose(camera, radiance, shot, purpose=_FLAT_SHOT)


@functools.lru_cache(maxsize=32)
def estimate(
    camera: Camera, height: int, width: int, count: int = FLATS, first: int = 0
) -> np.ndarray:
    """The camera's fingerprint from flat fields, float32 [h w], as `flat_field.estimate` gives it.

    A pure function of its arguments; the last few results are kept, and are read-only.

    Args:
      camera: The sensor.
      height: Of the sensor, pixels.
      width: Of the sensor, pixels.
      count: Number of flat fields.
      first: Number of the first one; estimates from numbers that do not overlap are independent.
    """
    found = flat_field.estimate(flats(camera, height, width, count, first))
    plane = np.array(found.plane, np.float32)
    plane.setflags(write=False)
    return plane


def scene(index: int, size: int) -> np.ndarray:
    """Radiance float64 [h w 3] in [0, 1]: the centre of a photograph, later ones cut elsewhere.

    Raises:
      ValueError: The photograph is smaller; none is smaller than `LARGEST`.
    """
    import skimage.data  # only these two pictures of it are needed, and both are in the wheel

    photo = getattr(skimage.data, SCENES[index % len(SCENES)])()
    room = np.array(photo.shape[:2]) - size
    if room.min() < 0:
        raise ValueError(f"a scene of {size} pixels a side is more than the photograph has")
    top, left = room // 2
    if index >= len(SCENES):
        top, left = _generator(index, _PLACE).integers(0, room + 1)
    return photo[top : top + size, left : left + size] / 255.0


def records(
    *,
    size: int = SIZE,
    count: int = 1,
    seed: int = 0,
    cameras: int = 1,
    camera: Camera | None = None,
) -> list[Record]:
    """Photos of simulated cameras, camera by camera; all of them see the same scenes.

    Args:
      size: Side of the photos, pixels.
      count: How many a camera: two whole scenes, then other parts of them.
      seed: Identity of the first camera; the others have the following ones.
      cameras: How many cameras.
      camera: One camera itself, in place of the default ones.

    Raises:
      InputError: The size is not between 64 and 300.
    """
    if not 64 <= size <= LARGEST:
        raise InputError(
            f"data.crop of {size} pixels does not fit the simulated camera; choose 64 to {LARGEST}"
        )
    every = [camera] if camera else [Camera(seed + i) for i in range(cameras)]
    return [
        Record(
            f"{_PREFIX}{one.seed}_{SCENES[i % len(SCENES)]}_{i}",
            f"{_PREFIX}{one.seed}",
            functools.partial(_read, one, i, size),
        )
        for one in every
        for i in range(count)
    ]


def readers(
    device: str, size: tuple[int, int], count: int = FLATS
) -> list[Callable[[], np.ndarray]]:
    """Flat fields of a default camera on call: others than those behind its records' fingerprint.

    Args:
      device: The camera, as `records` names it; an unknown name has no flat fields.
      size: Height and width.
      count: How many.
    """
    number = device.removeprefix(_PREFIX)
    if not device.startswith(_PREFIX) or not number.isdecimal():
        return []
    camera = Camera(int(number))
    return [functools.partial(flat, camera, *size, FLATS + i) for i in range(count)]


def _read(camera: Camera, index: int, size: int) -> Sample:
    pixels = expose(camera, scene(index, size), index)
    window = Window((size, size), 0, 0, size, size)
    return Sample(pixels, estimate(camera, size, size), window)
