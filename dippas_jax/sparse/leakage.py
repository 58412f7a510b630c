"""How much of a fingerprint goes through the sparse method, cell by cell, and where it is known K.

A pattern is planted in parts of the photo. The leakage of a cell (`signal.cells`) is what
extractors see of the pattern after the method over what they see before: 1 for all, 0 for nothing,
below 0 where more was taken out than there was. No camera is known for that. Of a large photo a few
parts are looked at.

A camera's JPEG keeps of a fingerprint what falls on strong coefficients. So a photo that was
compressed is taken apart: its reconstruction and the rest, moved by a few pixels, make a photo that
was not compressed yet. The pattern is planted there, and then it is compressed.
"""

import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array, Key

from dippas_jax.signal import cells, correlation, image, tiles
from dippas_jax.signal.tiles import Codec, Codecs, Execution, Pixels
from dippas_jax.sparse import pyramid, transform

FEW = 4
"""Parts, from all over the photo, in which patterns are followed."""

CLEAR = 4.0
"""Standard deviations of the photo's noise below which no threshold goes. Where noise crosses the
threshold, the leakage is large, and no longer linear in how much is turned over."""

NOISIEST = 8.0
"""Grey levels; what seems more noise than that is fine texture."""

PATTERNS = 2  # in all, or one in each of several parts; white and demosaiced by turns
SURELY = 1.4  # times as well as a planted pattern the own noise is kept where it was processed
MOST_OWN = 0.6  # of its weight against that of planted patterns; it holds detail, which is kept
MOVED = 3, 5  # pixels; odd, and no multiple of a JPEG's block
APART = 12.0  # grey levels: threshold by which a compressed photo is taken apart
_PLANTED = 0.01  # standard deviation of a pattern, relative to the signal
_STEP = 0.1  # flips, to see what they change


class Plant(NamedTuple):
    """A part of the photo without and with a pattern, grey levels, as the method gets it.

    Attributes:
      without: [h w 3].
      planted: [h w 3].
      pattern: What was added to the brightness [h w].
      before: What is seen of it before the method, by cell.
      chance: The standard deviation of what is seen of patterns that are not there.
    """

    without: np.ndarray
    planted: np.ndarray
    pattern: np.ndarray
    before: np.ndarray
    chance: np.ndarray


class Part(NamedTuple):
    """A part of the photo in which patterns are followed.

    Attributes:
      levels: As the photo has them [h w 3].
      where: Classes of texture [4 h w].
      plants: The patterns.
      known: I·K [h w], or None.
      own: The part's own residual [h w].
      tile: Where it lies in the photo.
    """

    levels: np.ndarray
    where: np.ndarray
    plants: tuple[Plant, ...]
    known: np.ndarray | None
    own: np.ndarray
    tile: tiles.Tile


class Look(NamedTuple):
    """What `look` sees of K in a version of a photo.

    Attributes:
      sums: By cell [7 4].
      chance: Their standard deviation where photo and K are independent.
      energy: Σ(I·K)² by class of texture [4].
    """

    sums: np.ndarray
    chance: np.ndarray
    energy: np.ndarray


class Sample(NamedTuple):
    """All that is measured on.

    Attributes:
      parts: Of the photo.
      area: How many times as large as the parts the photo is.
      table: Of its textures.
      output: The output's codec, where it is followed.
      known: What `look` sees of K in the photo as it came; None where K is not known.
      noise: Standard deviation of the noise in half the blocks at most, by colour, brightness
        first; grey levels.
      compressed: Whether the photo came through a camera's codec.
      processed: Weight of the own residual, 0 to `MOST_OWN`: how surely the camera left noise where
        there is structure.
      low: What is done to the frequencies below those of the blocks.
      move: Moves a tile's pixels afterwards, before the output's codec; None leaves them.
    """

    parts: tuple[Part, ...]
    area: float
    table: np.ndarray
    output: Codec | None
    known: Look | None = None
    noise: tuple[float, float, float] = (0.0, 0.0, 0.0)
    compressed: bool = False
    processed: float = 0.0
    low: pyramid.Low = pyramid.Low()
    move: Callable[[np.ndarray, tiles.Tile], np.ndarray] | None = None


class Leakage(NamedTuple):
    """What is left of planted patterns.

    Attributes:
      after: Seen after the method [7 4].
      before: Seen before it [7 4].
      error: Standard error of the quotient [7 4], from the differences between patterns.
    """

    after: np.ndarray
    before: np.ndarray
    error: np.ndarray

    @property
    def shares(self) -> np.ndarray:
        """By cell [7 4]; 0 where nothing was to be seen."""
        return np.where(self.before > 0, self.after / np.where(self.before > 0, self.before, 1), 0)

    def by_name(self) -> dict[str, float]:
        """By band and by texture, with their signs; nan where nothing was to be seen."""
        return cells.by_name(self.after, self.before)


def sample(
    key: Key[Array, ""], pixels: Pixels, fingerprint: np.ndarray | None, codecs: Codecs
) -> Sample:
    """Parts of a photo with patterns planted in them.

    Args:
      key: Of the patterns.
      pixels: The photo as it came, uint8 or uint16.
      fingerprint: K [h w] in any unit, or None.
      codecs: Around the method.
    """
    every = [tile for tile, _ in tiles.windows(*pixels.shape[:2])]
    chosen = [tiles.aligned(tile) for tile in tiles.spread(every, FEW)]
    levels = [tiles.levels(pixels[tile.part]) for tile in chosen]
    table = cells.quantiles(np.concatenate([np.ravel(_texture(part)) for part in levels]))
    each = max(PATTERNS // len(chosen), 1)
    parts = []
    for index, (tile, part) in enumerate(zip(chosen, levels, strict=True)):
        where = np.asarray(_classes(part, table))
        numbers = range(index * each, (index + 1) * each)
        plants = (
            _plant(jax.random.fold_in(key, n), part, where, table, codecs.camera, white=n % 2 == 0)
            for n in numbers
        )
        known = None
        if fingerprint is not None:
            known = np.asarray(image.luma(part)) * fingerprint[tile.part]
        own = np.asarray(_seen(part))
        parts.append(Part(part, where, tuple(plants), known, own, tile))
    blocks = np.concatenate([np.asarray(_noise(part)) for part in levels], 1)
    noise = tuple(np.median(blocks, axis=1).tolist())
    area = pixels[..., 0].size / sum(part.levels[..., 0].size for part in parts)
    made = Sample(
        tuple(parts), area, table, codecs.followed, None, noise, codecs.camera is not None
    )
    if made.compressed:
        made = made._replace(processed=_processed(made))
    made = made._replace(low=_low(made))
    return made if fingerprint is None else made._replace(known=look(made, levels))


def measure(
    of: Sample, threshold: float, flips: np.ndarray, execution: Execution = tiles.PLAIN
) -> Leakage:
    """What the method leaves of the planted patterns.

    Args:
      of: The parts.
      threshold: Grey levels.
      flips: By cell, see `transform.resynthesise`.
      execution: Told of every part.
    """
    found = []
    for part, plant in _plants(of):
        pair = (made(of, part, x, threshold, flips) for x in (plant.without, plant.planted))
        found.append(np.asarray(_response(*pair, plant.pattern, part.where), np.float64))
        execution.on_tile(None)
        execution.on_tile(None)
    after, before = np.sum(found, 0), np.sum([plant.before for _, plant in _plants(of)], 0)
    result = Leakage(after, before, np.zeros_like(after))
    of_each = zip(found, _plants(of), strict=True)
    spread = [a - result.shares * plant.before for a, (_, plant) in of_each]
    scatter = np.sqrt(np.sum(np.square(spread), 0) * len(found) / max(len(found) - 1, 1))
    return result._replace(error=scatter / np.where(before > 0, before, np.inf))


def falls(of: Sample, threshold: float, flips: np.ndarray) -> np.ndarray:
    """By how much one flip more lowers the leakage of its cell [7 4], near these flips.

    Args:
      of: The parts.
      threshold: Grey levels.
      flips: By cell.
    """
    more = (flips + _STEP).astype(np.float32)
    return (measure(of, threshold, flips).shares - measure(of, threshold, more).shares) / _STEP


def _processed(of: Sample) -> float:
    """Whether the camera left noise where there is structure, as the busiest quarter tells.

    There the own residual is kept as well as planted patterns (0), or `SURELY` times as well
    (`MOST_OWN`). Nothing is turned over, and the lowest band is left out.
    """
    nothing = np.zeros((cells.BANDS, cells.CLASSES), np.float32)
    planted = measure(of, APART, nothing)
    sums = _own(of, [made(of, part, part.levels, APART, nothing) for part in of.parts])
    own, fresh = (
        after[1:, -1].sum() / max(before[1:, -1].sum(), 1e-12)
        for after, before in (sums, (planted.after, planted.before))
    )
    return MOST_OWN * float(np.clip((own / max(fresh, 1e-12) - 1) / (SURELY - 1), 0, 1))


def _low(of: Sample) -> pyramid.Low:
    """How often what the reduced photo drops is to be taken out: a straight line through two.

    By plain products: what extractors see in so low a band depends on the noise around it. The
    lowest band of the blocks is turned over once, which nearly always comes of the balance.
    """
    if min(min(part.where.shape[1:]) for part in of.parts) < pyramid.SMALLEST:
        return pyramid.Low()
    small = [pyramid.reduced(part.levels) for part in of.parts]
    noise = np.median(np.concatenate([np.asarray(_noise(one))[0] for one in small]))
    level = max(CLEAR * min(float(noise), NOISIEST / pyramid.FACTOR), APART / pyramid.FACTOR)
    flips = np.zeros((cells.BANDS, cells.CLASSES), np.float32)
    flips[0] = 1
    left = []
    for times in (0.0, 1.0):
        trial = of._replace(low=pyramid.Low(level, times))
        pairs = (
            (
                *(made(trial, part, x, APART, flips) for x in (plant.without, plant.planted)),
                plant.pattern,
            )
            for part, plant in _plants(of)
        )
        left.append(sum(float(pyramid.response(*pair)) for pair in pairs))
    fall = left[0] - left[1]
    times = float(np.clip(left[0] / fall, 0, pyramid.MOST)) if fall > 0 else 0.0
    return pyramid.Low(level, times)


def _own(of: Sample, versions: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """What is seen of the own residual in a version of every part, and in the parts [7 4]."""
    after, before = np.zeros((2, cells.BANDS, cells.CLASSES))
    for part, version in zip(of.parts, versions, strict=True):
        after = after + np.asarray(_look(version, part.own, part.where)[0], np.float64)
        before = before + np.asarray(_products(part.own, part.own, part.where), np.float64)
    return after, before


def own_share(of: Sample, versions: Sequence[np.ndarray]) -> np.ndarray:
    """How much of the photo's own residual is seen in a version of every part [7 4]."""
    after, before = _own(of, versions)
    return np.where(before > 0, after / np.where(before > 0, before, 1), 0)


def look(of: Sample, versions: Sequence[np.ndarray]) -> Look:
    """What is seen of K in a version of every part."""

    def parts() -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
        for version, part in zip(versions, of.parts, strict=True):
            assert part.known is not None
            yield version, part.known, part.where

    return _together(parts())


def look_at(of: Sample, photo: Pixels, version: Pixels, fingerprint: np.ndarray) -> Look:
    """As `look`, in a version of the whole photo, behind the output's codec where that is followed.

    Args:
      of: All that is measured on.
      photo: As it came, uint8 or uint16 [h w 3].
      version: What was made of it, of its type.
      fingerprint: K [h w], in the unit of the sample's.
    """
    seen = version if of.output is None else of.output(version)

    def windows() -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
        for tile, (rows, columns) in tiles.windows(*photo.shape[:2]):
            levels = tiles.levels(photo[tile.part])
            where = np.array(_classes(levels, of.table))
            where[:, :rows], where[:, :, :columns] = 0, 0  # the windows before have shown those
            known = np.asarray(image.luma(levels)) * fingerprint[tile.part]
            yield tiles.levels(seen[tile.part]), known, where

    return _together(windows())


def _together(parts: Iterable[tuple[np.ndarray, np.ndarray, np.ndarray]]) -> Look:
    """Of levels [h w 3], I·K [h w] and classes of texture [4 h w], summed over all parts."""
    sums, squares = np.zeros((2, cells.BANDS, cells.CLASSES))
    energy = np.zeros(cells.CLASSES)
    for version, known, where in parts:
        value, chance = _look(version, known, where)
        sums = sums + np.asarray(value, np.float64)
        squares = squares + np.square(np.asarray(chance, np.float64))
        energy = energy + np.einsum("thw,hw->t", where, np.square(known), dtype=np.float64)
    return Look(sums, np.sqrt(squares), energy)


def made(
    of: Sample,
    part: Part,
    levels: np.ndarray,
    threshold: float,
    flips: np.ndarray,
    known: np.ndarray | None = None,
    alphas: np.ndarray | None = None,
) -> np.ndarray:
    """A part after the method, and behind the output's codec where that is followed.

    Args:
      of: All that is measured on.
      part: Which part.
      levels: Its pixels, as they came or with a pattern, grey levels.
      threshold: Grey levels.
      flips: By cell.
      known: I·K, of which `alphas` times are subtracted; None for nothing.
      alphas: By cell.
    """
    taken = pyramid.taken(levels, of.low)
    levels = np.asarray(_made(levels, threshold, flips, of.table, known, alphas)) - taken
    levels = levels if of.move is None else of.move(levels, part.tile)
    if of.output is None:
        return levels
    return tiles.levels(of.output(tiles.rounded(levels, np.dtype(np.uint8))))


def visible(of: Sample) -> dict[str, float]:
    """z of a fingerprint of one percent in the whole photo as it came, by `cells.NAMES`."""
    plants = [plant for _, plant in _plants(of)]
    sums = np.sum([plant.before for plant in plants], 0)
    squares = np.sum([np.square(plant.chance) for plant in plants], 0)
    shown = len(plants) / len(of.parts)  # every pattern is one more look at the same pixels
    larger = float(np.sqrt(of.area / shown))
    return {name: larger * z for name, z in cells.visible(sums, np.sqrt(squares)).items()}


def _plants(of: Sample) -> list[tuple[Part, Plant]]:
    return list(itertools.chain.from_iterable(((p, x) for x in p.plants) for p in of.parts))


def _plant(
    key: Array,
    levels: np.ndarray,
    where: np.ndarray,
    table: np.ndarray,
    camera: Codec | None,
    *,
    white: bool,
) -> Plant:
    without, planted, pattern = map(np.asarray, _planted(key, levels, table, camera is None, white))
    if camera is not None:
        eight = (tiles.rounded(x, np.dtype(np.uint8)) for x in (without, planted))
        without, planted = (tiles.levels(camera(x)) for x in eight)
    before = np.asarray(_response(without, planted, pattern, where), np.float64)
    chance = np.asarray(_look(without, pattern, where)[1], np.float64)
    return Plant(without, planted, pattern, before, chance)


@jax.jit
def _planted(
    key: Array, levels: Array, table: Array, intact: ArrayLike, white: ArrayLike
) -> tuple[Array, Array, Array]:
    """A part without and with a pattern, before the camera's codec, and the pattern."""
    raw = jax.random.normal(key, levels.shape[:2])
    relative = jnp.where(white, raw[..., None], image.demosaiced(raw))
    relative *= _PLANTED / jnp.std(image.luma(relative))
    nothing = jnp.zeros((cells.BANDS, cells.CLASSES))
    scene = transform.resynthesise(levels, APART, nothing, table)
    apart = jnp.where(intact, levels, scene + jnp.roll(levels - scene, MOVED, (0, 1)))
    return apart, apart * (1 + relative), correlation.pattern(apart, image.luma(relative))


@jax.jit
def _response(without: Array, planted: Array, pattern: Array, where: Array) -> Array:
    return cells.products(cells.seen(planted) - cells.seen(without), pattern, where)[0]


@jax.jit
def _look(version: Array, known: Array, where: Array) -> tuple[Array, Array]:
    return cells.products(cells.seen(version), known, where)


@jax.jit
def _products(plane: Array, pattern: Array, where: Array) -> Array:
    return cells.products(plane, pattern, where)[0]


@jax.jit
def _made(levels, threshold, flips, table, known, alphas) -> Array:
    return transform.resynthesise(levels, threshold, flips, table, known, alphas)


_seen, _texture, _noise = map(jax.jit, (cells.seen, cells.texture, transform.noise))


@jax.jit
def _classes(levels: Array, table: Array) -> Array:
    return cells.classes(cells.texture(levels), table)
