"""Parts of one shape that cover a photo, so that the memory does not grow with the photo.

A tile is the photo's part from a corner on, with as many pixels around it as what is computed there
looks at, mirrored where the photo ends: what is computed is then what the whole photo would give,
and no seam is left to blend.
"""

import itertools
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
from jaxtyping import UInt

from dippas_jax.signal import image

SIDE = 512
"""Most pixels a side of a tile: on a CPU it fits the cache, a GPU takes several at once."""


_BLOCK = 16  # pixels a side of a JPEG's blocks, where colours have half as many

Pixels = UInt[np.ndarray, "h w 3"]
Codec = Callable[[Pixels], Pixels]
"""The round trip through a file format: pixels in, and out what a reader of the file sees."""


class Codecs(NamedTuple):
    """The files on both sides of a method; None where pixels come back as they were.

    Attributes:
      camera: As the camera compressed the photo; takes pixels of any size.
      output: As the result is written.
      lossy: Whether the output's pixels come back changed, and may be written tile by tile.
    """

    camera: Codec | None = None
    output: Codec | None = None
    lossy: bool = False

    @property
    def followed(self) -> Codec | None:
        """The output's, where what is left of a fingerprint depends on it."""
        return self.output if self.camera or self.lossy else None


LOSSLESS = Codecs()


class Tile(NamedTuple):
    """A part of a photo.

    Attributes:
      top: First row of the photo.
      left: First column.
      height: Rows; of the last tile of a grid, fewer than of the others.
      width: Columns.
    """

    top: int
    left: int
    height: int
    width: int

    @property
    def part(self) -> tuple[slice, slice]:
        """Where it lies in the photo."""
        rows = slice(self.top, self.top + self.height)
        return rows, slice(self.left, self.left + self.width)


def grid(height: int, width: int, side: int | None = None) -> list[Tile]:
    """Tiles of `side` pixels that cover a photo, each pixel once, row by row."""
    side = side or SIDE
    return [
        Tile(top, left, min(side, height - top), min(side, width - left))
        for top in range(0, height, side)
        for left in range(0, width, side)
    ]


def windows(height: int, width: int, side: int | None = None) -> list[tuple[Tile, tuple[int, int]]]:
    """Tiles that all lie whole in the photo, of one shape, for what knows no pixels beyond borders.

    Returns:
      The tiles, row by row, each with how many of its first rows and columns others show already.
    """
    side = side or SIDE

    def places(length: int) -> tuple[int, list[tuple[int, int]]]:
        count = -(-length // side)
        size = min(side, length)
        starts = [round(n * (length - size) / max(count - 1, 1)) for n in range(count)]
        known = [0, *(start + size for start in starts)]
        return size, [(start, known[n] - start if n else 0) for n, start in enumerate(starts)]

    (rows, down), (columns, across) = places(height), places(width)
    return [
        (Tile(top, left, rows, columns), (shown_rows, shown_columns))
        for top, shown_rows in down
        for left, shown_columns in across
    ]


def aligned(tile: Tile) -> Tile:
    """The tile on the grid of a JPEG's blocks, up to fifteen pixels above and to the left of it."""
    return tile._replace(top=tile.top // _BLOCK * _BLOCK, left=tile.left // _BLOCK * _BLOCK)


def spread(tiles: Sequence[Tile], most: int) -> list[Tile]:
    """At most so many of the tiles, from all over the photo; whole ones if there are enough."""
    largest = max(tile.height * tile.width for tile in tiles)
    whole = [tile for tile in tiles if tile.height * tile.width == largest]
    if len(tiles) <= most:
        return list(tiles)
    # Steps of the golden ratio through the rows of tiles: no column is preferred.
    order = np.argsort(np.arange(1, len(whole) + 1) * (5**0.5 - 1) / 2 % 1)
    return [whole[index] for index in sorted(order[:most].tolist())]


def cut(photo: np.ndarray, top: int, left: int, height: int, width: int) -> np.ndarray:
    """Rows and columns of a photo [h w ...], mirrored beyond its borders as often as need be."""
    rows = _mirrored(np.arange(top, top + height), photo.shape[0])
    columns = _mirrored(np.arange(left, left + width), photo.shape[1])
    return photo[rows[:, None], columns]


def _mirrored(index: np.ndarray, length: int) -> np.ndarray:
    """The place of every index in an axis that is mirrored at its first and last entry."""
    period = max(2 * (length - 1), 1)
    index = index % period
    return np.minimum(index, period - index)


Stack = tuple[np.ndarray, ...]


def is_out_of_memory(error: Exception) -> bool:
    """Whether the machine or a device has no memory left: XLA tells that in words."""
    xla = isinstance(error, RuntimeError) and "RESOURCE_EXHAUSTED" in str(error)
    return xla or isinstance(error, MemoryError)


class Batches:
    """Tiles through a device, as many at a time as its memory holds.

    Attributes:
      size: Tiles at a time; halved where the memory does not suffice.
      say: Told about that in a sentence.
    """

    def __init__(self, size: int, say: Callable[[str], None] = lambda text: None):
        self.size = size
        self.say = say

    def map(self, function: Callable[..., Any], items: Iterable[Stack]) -> Iterator[Any]:
        """What `function` gives for every item, in their order, on the host.

        Args:
          function: Takes the arrays of several items, each stacked along a new first axis, and
            gives a tree of arrays with that axis.
          items: Made only when their turn comes.

        Raises:
          jax.errors.JaxRuntimeError: Not even a single item fits.
        """
        items = iter(items)
        waiting: list[Stack] = []
        while True:
            waiting += itertools.islice(items, max(self.size - len(waiting), 0))
            if not waiting:
                return
            now = waiting[: self.size]
            # One compiled shape: a last batch is filled up, and what that gives is left out.
            full = now + now[-1:] * (self.size - len(now))
            try:
                done = jax.device_get(function(*map(np.stack, zip(*full, strict=True))))
            except jax.errors.JaxRuntimeError as error:
                if not is_out_of_memory(error) or self.size == 1:
                    raise
                self.size //= 2
                self.say(f"the device's memory does not suffice; now {self.size} tiles at a time")
                continue
            for index in range(len(now)):
                yield jax.tree.map(lambda array, index=index: array[index], done)
            waiting = waiting[len(now) :]


class Execution(NamedTuple):
    """How the work is done; nothing here changes a result by more than rounding.

    Attributes:
      batches: Tiles at a time; None for one on a CPU, eight on a GPU.
      on_tile: Called after every tile of work, with the PSNR so far where it is known.
    """

    batches: Batches | None = None
    on_tile: Callable[[float | None], None] = lambda psnr: None


PLAIN = Execution()


def batches(execution: Execution, say: Callable[[str], None] = lambda text: None) -> Batches:
    """Those of `execution`; a GPU takes several tiles at a time, a CPU has its cache for one."""
    return execution.batches or Batches(1 if jax.default_backend() == "cpu" else 8, say)


# ------------------------------------------------------------------------------------------ levels

_TOP = {np.dtype(np.uint8): 255, np.dtype(np.uint16): 65535}


def scale(kind: np.dtype) -> float:
    """Grey levels, of which white is 255, in one step of pixels of that type."""
    return 255 / _TOP[np.dtype(kind)]


def levels(pixels: np.ndarray) -> np.ndarray:
    """Pixels in grey levels, float32."""
    return pixels.astype(np.float32) * np.float32(scale(pixels.dtype))


def rounded(levels: np.ndarray, kind: np.dtype) -> np.ndarray:
    """Grey levels as pixels of a type, halves to even."""
    return np.clip(np.rint(levels / np.float32(scale(kind))), 0, _TOP[np.dtype(kind)]).astype(kind)


def squares(a: Pixels, b: Pixels) -> float:
    """Sum of the squared differences of two photos of one type, grey levels of 8 bits."""
    return float(np.sum(np.square(levels(a) - levels(b)), dtype=np.float64))


def psnr(a: Pixels, b: Pixels) -> float:
    """PSNR of two photos of one type and any size, dB; infinite where they are equal."""
    parts = [tile.part for tile in grid(*a.shape[:2])]
    return image.decibels(math.fsum(squares(a[part], b[part]) for part in parts), a.size)
