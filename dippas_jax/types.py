"""The nouns of the project: what flows from one room to the next.

Axis names, everywhere: ``n`` photos, ``h w`` pixels, ``c`` channels, ``d`` input depth, ``t`` steps
of a chunk, ``s`` snapshots, ``r k`` rows and columns of blocks, ``b`` block side, ``l`` blocks
averaged. "pixels" are uint8 in [0, 255]; an "image" is float32 in [0, 1]; residuals are float32 in
grey levels.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, UInt


def printable(text: str) -> str:
    """A text that does nothing to a terminal: what cannot be printed is shown escaped."""
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


class InputError(ValueError):
    """Something the user gave cannot be used.

    The message is one sentence: what is wrong, what came, what to do. The programs print it and
    exit with 2. What cannot be printed, such as a line break in a file's name, is shown escaped.
    """

    def __str__(self) -> str:
        return printable(super().__str__())


class ShortageError(InputError):
    """The machine lacks memory or processes for now; another try may succeed."""


class NoProcessError(ShortageError):
    """The machine has no process for a file, whatever that holds."""


class OutOfReachError(ShortageError):
    """A file is out of reach, perhaps of this machine alone or for a while.

    Its folder is not there, the library that its protocol or its format needs, or the server.
    """


class FlatPhotoError(InputError):
    """A photo without noise, which has nothing that could be removed."""


class Fingerprint(NamedTuple):
    """A camera's fingerprint with what has to be known to use it: the content of a file.

    Attributes:
      plane: K, float32.
      unit: What a value of 1 means, in words; "" where the file does not say.
      photo: Height and width of the whole photos it belongs to, pixels.
      offset: Row and column of the plane's corner in such a photo.
      orientation: "sensor", the only one used here; "" where the file does not say.
      photos: Number of flat-field photos behind it; 0 where the file does not say.
      extractor: Of the residuals, in words.
      sigma: Standard deviation of the noise that the extractor looks for, grey levels; nan where
        the file does not say.
      reliability: Correlation ρ of the estimates from two halves of the photos; nan where unknown.
      sha256: Of the plane's bytes, float32 little-endian, row by row; hexadecimal.
      mean: That the plane had in its file and that was subtracted; 0 where none was.
      outliers: How many values of the plane in its file were set to 0.
    """

    plane: Float[np.ndarray, "h w"]
    unit: str
    photo: tuple[int, int]
    offset: tuple[int, int]
    orientation: str
    photos: int
    extractor: str
    sigma: float
    reliability: float
    sha256: str
    mean: float = 0.0
    outliers: int = 0


class History(NamedTuple):
    """One number a step of an inversion, float32 [t]; of a run at work, zeros beyond its steps.

    Attributes:
      psnr: Of the snapshot against the photo, dB.
      ncc: Of the snapshot with the reference fingerprint, whole photo.
      loss: What was minimised: equation 9, mean over pixels and channels, and the penalty if any.
      gamma: γ for a fingerprint of standard deviation `prior.inversion.FINGERPRINT_STD`.
    """

    psnr: Any
    ncc: Any
    loss: Any
    gamma: Any


class Result(NamedTuple):
    """One anonymised version of a photo, by either method.

    Attributes:
      pixels: The photo, of the type and shape in which it came.
      psnr: Against the photo as it came, dB; infinite where nothing changed. Where the result goes
        through an output codec, behind it.
      z: By extractor (`signal.extractors.NAMES`), the z-score of K in `pixels`; empty where K is
        not known.
      leakage: By band of frequency and by texture (`signal.cells.NAMES`), the share of a
        fingerprint that goes through the method: 1 is all, 0 nothing, below 0 too much was taken
        out. Of planted patterns or, where K is known, drawn to that of K. Empty where it was not
        measured.
      settings: What the method settled on. "prior": side, average, threshold (B in pixels, L, τ in
        dB), snapshots (how many passed τ), steps, gamma. "sparse": threshold (grey levels),
        compensation (share of the flips that was used), alpha (times I·K subtracted, mean) and,
        where pixels were moved, displacement (pixels), psnr_in_place (dB, before that)
        and left_in_place (the largest share left then).
      history: Of the steps, where there were any.
      visible: z that a fingerprint of one percent has in the photo as it came, by
        `signal.cells.NAMES`; empty where it was not measured.
    """

    pixels: UInt[np.ndarray, "h w 3"]
    psnr: float
    z: Mapping[str, float]
    leakage: Mapping[str, float]
    settings: Mapping[str, float]
    history: History | None = None
    visible: Mapping[str, float] = {}


class Window(NamedTuple):
    """Where on the sensor pixels lie: a rectangle of the whole photo.

    Attributes:
      photo: Height and width of the whole photo.
      top: First row.
      left: First column.
      height: Rows.
      width: Columns.
    """

    photo: tuple[int, int]
    top: int
    left: int
    height: int
    width: int


class Sample(NamedTuple):
    """One photo in memory.

    Attributes:
      pixels: uint8 [h w 3], sensor orientation.
      fingerprint: float32 [h w] of the same pixels, unit of its file; None if not asked for.
      window: Where on the whole photo the pixels lie.
    """

    pixels: np.ndarray
    fingerprint: np.ndarray | None
    window: Window


class Record(NamedTuple):
    """One photo, or one crop of it, on call.

    Attributes:
      id: Unique in its sequence, stable, and safe as a file name on any system.
      device: Name of the camera.
      read: Decodes the photo, and its fingerprint if asked for; raises `InputError`.
      path: File of the photo; None if it is simulated. Crops of one photo have the same.
      fingerprint: File of the fingerprint; None if there is none or it is simulated.
      home: The camera's folder, the dataset's if it has none of its own; None if it is simulated.
    """

    id: str
    device: str
    read: Callable[[], Sample]
    path: Path | None = None
    fingerprint: Path | None = None
    home: Path | None = None
