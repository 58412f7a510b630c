"""The nouns of the project: what flows from one room to the next.

Axis names, everywhere: ``n`` photos, ``h w`` pixels, ``c`` channels, ``d`` input depth, ``t`` steps
of a chunk, ``s`` snapshots, ``r k`` rows and columns of blocks, ``b`` block side, ``l`` blocks
averaged. "pixels" are uint8 in [0, 255]; an "image" is float32 in [0, 1]; residuals are float32 in
grey levels.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Array, Float, Int, Key, UInt8

Params = Any  # a Flax parameter tree: nested dicts of float32 arrays


class InputError(ValueError):
    """Something the user gave cannot be used.

    The message is one sentence: what is wrong, what came, what to do. The programs print it and
    exit with 2.
    """


class Problem(NamedTuple):
    """One photo to invert.

    Attributes:
      pixels: The photo, sRGB as stored.
      fingerprint: P of equation 9, in any unit; `inversion.problem` brings it to a standard scale.
      key: The randomness of this photo; every draw is addressed from it by purpose and step.
    """

    pixels: UInt8[Array, "*n h w 3"]
    fingerprint: Float[Array, "*n h w"]
    key: Key[Array, "*n"]


class Fallback(NamedTuple):
    """The step of highest PSNR so far, to which a run goes back when its PSNR collapses.

    Attributes:
      psnr: Of that step's snapshot against the photo, dB; -inf before the first step.
      params: φ that made the snapshot.
      gamma: γ of that step.
      optimizer: The moments before that step's update.
      rate: What is left of the learning rate, as a factor: 1, halved by every return.
    """

    psnr: Float[Array, "*n"]
    params: Params
    gamma: Float[Array, "*n"]
    optimizer: Any
    rate: Float[Array, "*n"]


class State(NamedTuple):
    """What the optimisation carries from step to step.

    Attributes:
      step: Number of steps done so far.
      params: The generator's weights, φ.
      gamma: Weight of the injected fingerprint, γ ≥ 0.
      optimizer: The moments of Adam or AMSGrad over (params, gamma).
      fallback: Where to go back to; None unless `rollback` is asked for.
    """

    step: Int[Array, "*n"]
    params: Params
    gamma: Float[Array, "*n"]
    optimizer: Any
    fallback: Fallback | None = None


class Trace(NamedTuple):
    """What the steps of a chunk produced, in order.

    Attributes:
      pixels: Snapshots I_φ, the generator's output without the injected fingerprint.
      psnr: PSNR of the snapshot against the photo, dB.
      loss: Equation 9 as the mean over pixels and channels, image scale [0, 1]; with
        `decorrelation`, plus that weight times `inversion.correlation_penalty`.
      gamma: γ with which the step's loss was computed.
    """

    pixels: UInt8[Array, "*n t h w 3"]
    psnr: Float[Array, "*n t"]
    loss: Float[Array, "*n t"]
    gamma: Float[Array, "*n t"]


class Pool(NamedTuple):
    """The best blocks seen so far, per block position, for one block side and one PSNR threshold.

    Attributes:
      blocks: The `l` best blocks of every position, best first; edge blocks are zero-padded to full
        size.
      rank: Their ranking keys (`blocks.rank_key`), ascending; infinite where nothing has been kept
        yet.
    """

    blocks: UInt8[Array, "l r k b b 3"]
    rank: Float[Array, "l r k"]


class Best(NamedTuple):
    """The snapshot of highest PSNR so far, used when none passes the threshold."""

    pixels: UInt8[Array, "h w 3"]
    psnr: Float[Array, ""]


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
    """

    id: str
    device: str
    read: Callable[[], Sample]
    path: Path | None = None
    fingerprint: Path | None = None
