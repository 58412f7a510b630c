"""One photo of `dippas anonymize` at work: its pixels, its files, and what was asked for."""

import math
import sys
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import tqdm
from jaxtyping import Array, Key

from dippas_jax.cli.outputs import Job, Options
from dippas_jax.cli.own_photos import Known
from dippas_jax.io import photo as photo_file
from dippas_jax.io import photo_writer
from dippas_jax.signal import image, tiles
from dippas_jax.types import printable


class Task(NamedTuple):
    """A photo at work: its file's content and hash, the fingerprint's plane, what was asked for.

    `others` is there where the fingerprint comes from the camera's other photos; `place` says which
    of several photos this is; `on_progress` hears what share of the work is done.
    """

    job: Job
    photo: photo_file.PhotoFile
    sha256: str
    plane: np.ndarray | None
    options: Options
    others: Known | None = None
    place: str = ""
    on_progress: Callable[[float], None] | None = None

    @property
    def upright(self) -> bool:
        """Whether the output's pixels are turned as the photo is to be seen."""
        return self.options.orientation == "upright"

    @property
    def target(self) -> float:
        """The PSNR asked for, dB; 0 where the method decides."""
        return self.options.target_psnr or 0.0

    @property
    def key(self) -> Key[Array, ""]:
        """Of all randomness: of the photo's pixels and the seed."""
        return image.photo_key(self.options.seed, self.photo.pixels.tobytes())

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the photo."""
        return self.photo.pixels.shape[0], self.photo.pixels.shape[1]

    @property
    def kind(self) -> str:
        """Format of the output."""
        return self.photo.format if self.job.kind == "same" else self.job.kind

    @property
    def pixel_count(self) -> int:
        """Of its pixels."""
        return self.size[0] * self.size[1]

    def deadline(self, started: float) -> float:
        """Time of the monotonic clock at which the photo's minutes are over."""
        minutes = self.options.max_minutes
        return started + 60 * minutes if minutes else math.inf

    def encoded(self, pixels: np.ndarray) -> bytes:
        """The output file with these pixels."""
        options = self.options
        return photo_writer.encode(
            self.photo,
            pixels,
            kind=self.job.kind,
            quality=options.jpeg_quality,
            kept=options.metadata,
            icc=options.icc != "drop",
            upright=self.upright,
        )

    def decoded(self, data: bytes) -> np.ndarray:
        """The pixels that a reader of the output sees, in sensor orientation."""
        return photo_writer.decode(data, self.photo, upright=self.upright)

    @property
    def codecs(self) -> tiles.Codecs:
        """The camera's JPEG, if the photo came as one, and the output's format."""

        def camera(pixels: np.ndarray) -> np.ndarray:
            data = photo_writer.encode(self.photo, pixels, upright=False)  # as the sensor has them
            return photo_writer.decode(data, self.photo, upright=False)

        def output(pixels: np.ndarray) -> np.ndarray:
            photo = self.photo
            if pixels.shape != photo.pixels.shape:
                photo = photo._replace(alpha=None)
            elif pixels.dtype != photo.pixels.dtype:
                photo = _of_eight_bits(photo)
            task = self._replace(photo=photo)
            return task.decoded(task.encoded(pixels))

        lossy = photo_writer.is_lossy(self.photo, self.kind)
        return tiles.Codecs(None if self.photo.jpeg is None else camera, output, lossy)

    def bar(self, **options: Any) -> tqdm.tqdm:
        """A bar that shows how far the photo is, where someone sees it."""
        off = not sys.stderr.isatty()
        name = printable(f"{self.place} {self.job.source.name}".strip())
        return tqdm.tqdm(desc=name, leave=False, dynamic_ncols=True, disable=off, **options)


def _of_eight_bits(photo: photo_file.PhotoFile) -> photo_file.PhotoFile:
    """A photo of 16 bits as its parts are: what lies below transparent pixels is put into them."""
    alpha = None if photo.alpha is None else np.rint(photo.alpha / 257).astype(np.uint8)
    return photo._replace(pixels=photo_file.eight_bits(photo.pixels), alpha=alpha)
