"""Anonymise by forced seam carving: every piece of the photo is moved by pixels of its own.

Photos are pixels, uint8 [h w 3], 64 pixels a side at least. A seam is a path of pixels, one a row
from the top to the bottom (or one a column), each at most one pixel beside the last; the cheapest
by energy is found by dynamic programming (Avidan and Shamir, 2007, "Seam carving for content-aware
image resizing"). Taking one out moves all that lies behind it. Where a piece of more than 50x50
pixels stays in one, its shift can be searched for, so that none may be left: Bayram, Sencar and
Memon (2013), "Seam-carving based anonymization against image and video source attribution".

Reconstructed from abstracts and from what others say of the method. Ours are: which seam comes
next; that a forced seam keeps to one half of the block, so that no more are taken than needed; and
that what is lost in size is put back by seams of lowest energy, wherever they lie.
"""

import itertools

import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array, Bool, Float, Int, Key, UInt8

from dippas_jax.signal import image
from dippas_jax.types import InputError

SOURCE = "Bayram, Sencar and Memon 2013, forced seam carving (reconstructed)"

LARGEST = 50
"""Side of the largest block that may stay in one piece, pixels."""

SMALLEST = 8  # of these sides: a seam wanders within the half of a block


def forced(
    key: Key[Array, ""],
    photo: UInt8[ArrayLike, "h w 3"],
    fingerprint: Float[ArrayLike, "h w"] | None = None,
    *,
    largest: int = LARGEST,
) -> UInt8[np.ndarray, "h w 3"]:
    """Take seams out until no block of more than `largest` a side is whole; put as many in.

    Args:
      key: Not used: nothing is drawn.
      photo: The photo.
      fingerprint: Not used.
      largest: Side of the largest block that may stay in one piece, pixels; at least 8.

    Raises:
      InputError: The photo is none, or too small, or the block is.
    """
    del key, fingerprint
    image.require_photo(photo)
    if largest < SMALLEST:
        raise InputError(
            f"no block of more than {largest} pixels a side may stay whole, which leaves no room "
            f"for a seam; choose {SMALLEST} or more, such as {LARGEST}"
        )
    photo = np.asarray(photo)
    size = photo.shape[:2]
    source = carve(np.asarray(image.luma(photo)), largest)
    carved = photo.reshape(-1, 3)[source]
    carved = enlarge(carved, size[1] - source.shape[1])
    return enlarge(carved.swapaxes(0, 1), size[0] - source.shape[0]).swapaxes(0, 1)


def carve(grey: Float[np.ndarray, "h w"], largest: int = LARGEST) -> Int[np.ndarray, "h2 w2"]:
    """Take forced seams out, of columns and of rows in turn.

    The next block is that of `largest` + 1 columns in which the most whole blocks lie, the first of
    several; the seam keeps to its right half, over the whole height. So each cuts all these blocks,
    and half of the block's width at least lies behind. With rows likewise.

    Args:
      grey: The photo's grey plane.
      largest: Side of the largest block that may stay in one piece.

    Returns:
      For every pixel that is left, its index in the flattened plane.
    """
    source = np.arange(grey.size, dtype=np.int32).reshape(grey.shape)
    steps, side = (1, grey.shape[1]), largest + 1
    while (whole := uncarved(source, steps, side)).any():
        start = int(np.argmax(whole.sum(0)))
        columns = slice(start + side // 2, start + side - 1)
        seam = columns.start + lowest_seam(energy(grey, columns))
        grey, source = without(grey, seam).T, without(source, seam).T
        steps = steps[::-1]
    return source if steps[0] == 1 else source.T


def uncarved(
    source: Int[np.ndarray, "h w"], steps: tuple[int, int], side: int
) -> Bool[np.ndarray, "y x"]:
    """Which squares are whole, each by its upper left corner.

    Args:
      source: Where each pixel comes from.
      steps: By how much that grows to the right and downwards within a whole piece.
      side: Of a square. Its last pixel is not looked at.
    """
    parted = np.zeros(source.shape, np.int32)
    parted[:, :-1] |= np.diff(source, axis=1) != steps[0]
    parted[:-1] |= np.diff(source, axis=0) != steps[1]
    sums = np.pad(parted.cumsum(0).cumsum(1), ((1, 0), (1, 0)))
    n = side - 1
    counts = sums[n:-1, n:-1] - sums[:-side, n:-1] - sums[n:-1, :-side] + sums[:-side, :-side]
    return counts == 0


def energy(
    grey: Float[np.ndarray, "h w"], columns: slice = slice(None)
) -> Float[np.ndarray, "h c"]:
    """|dI/dx| + |dI/dy| of some columns, by central differences; one-sided at the borders."""
    first, last, _ = columns.indices(grey.shape[1])
    left = max(first - 1, 0)
    rows, across = np.gradient(grey[:, left : last + 1])
    return (np.abs(rows) + np.abs(across))[:, first - left : last - left]


def lowest_seam(energy: Float[np.ndarray, "h w"]) -> Int[np.ndarray, " h"]:
    """The column in each row of the seam of lowest total energy; the leftmost where several are."""
    total = np.pad(energy, ((0, 0), (1, 1)), constant_values=np.inf)
    for above, row in itertools.pairwise(total):
        row[1:-1] += np.minimum(np.minimum(above[:-2], above[1:-1]), above[2:])
    seam = np.empty(len(total), np.intp)
    seam[-1] = np.argmin(total[-1])
    for y in range(len(total) - 2, -1, -1):
        left = seam[y + 1] - 1
        seam[y] = left + np.argmin(total[y, left : left + 3])
    return seam - 1


def without(plane: np.ndarray, seam: Int[np.ndarray, " h"]) -> np.ndarray:
    """A plane [h w] less one pixel a row."""
    kept = np.ones(plane.shape, bool)
    kept[np.arange(len(seam)), seam] = False
    return plane[kept].reshape(len(plane), -1)


def enlarge(photo: UInt8[np.ndarray, "h w 3"], count: int) -> UInt8[np.ndarray, "h w2 3"]:
    """Put `count` seams in, those that would be the first to be taken out.

    Beside every pixel of theirs comes the mean of it and its right neighbour.
    """
    grey = np.asarray(image.luma(photo))
    height, width = grey.shape
    source = np.arange(grey.size, dtype=np.int32).reshape(grey.shape)
    for _ in range(count):
        seam = lowest_seam(energy(grey))
        grey, source = without(grey, seam), without(source, seam)
    times = np.full(grey.size + count * height, 2)
    times[source] = 1
    pixels = photo.reshape(-1, 3)
    twice = np.repeat(np.arange(len(pixels)), times)
    new = np.flatnonzero(np.diff(twice) == 0) + 1
    made = pixels[twice]
    beside = twice[new] + (twice[new] % width < width - 1)
    made[new] = np.rint((pixels[twice[new]].astype(np.float32) + pixels[beside]) / 2)
    return made.reshape(height, width + count, 3)
