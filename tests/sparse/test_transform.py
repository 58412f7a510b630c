"""Photos from few coefficients: against loops over every block, with SciPy's transform."""

import itertools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.fft

from dippas_jax.signal import cells, tiles
from dippas_jax.sparse import transform
from tests import oracles, tiny
from tests.signal.test_cells import oracle_texture

CASES = [((34, 47), 2, 20.0), ((32, 32), 0, 12.7)]
"""Size, seed and threshold, such that no coefficient lies where rounding decides."""

NOTHING = np.zeros((7, 4), np.float32)
FLIPS = np.random.default_rng(0).uniform(0, 2, (7, 4)).astype(np.float32)
ALPHAS = np.random.default_rng(1).uniform(0, 3, (7, 4)).astype(np.float32)

resynthesise = jax.jit(transform.resynthesise)
rebuild = jax.jit(transform.rebuild)


def opponent(pixels):
    """Planes [3 h w] whose sum of squares is that of the colours."""
    r, g, b = np.moveaxis(np.asarray(pixels, np.float64), -1, 0)
    return np.stack([(r + g + b) / 3**0.5, (r - b) / 2**0.5, (r - 2 * g + b) / 6**0.5])


def colours(planes):
    """The inverse, [h w 3]."""
    mean, warm, green = planes[0] / 3**0.5, planes[1] / 2**0.5, planes[2] / 6**0.5
    return np.stack([mean + warm + green, mean - 2 * green, mean - warm + green], axis=-1)


def every_block(pixels, step=1):
    """Corner and coefficients [3 8 8] of blocks; the photo starts at (8, 8), mirrored all round.

    Blocks start at every `step`-th pixel, as far as whole grids of them reach.
    """
    planes = np.pad(opponent(pixels), [(0, 0), (8, 16), (8, 16)], mode="reflect")
    ends = (8 * math.ceil(side / 8 + 1) for side in pixels.shape[:2])
    for y, x in itertools.product(*(range(0, end, step) for end in ends)):
        block = planes[:, y : y + 8, x : x + 8]
        yield y, x, scipy.fft.dctn(block, axes=(1, 2), norm="ortho")


def kept(found, threshold):
    keep = np.abs(found) >= threshold
    keep[:, 0, 0] = True
    return keep


def distance(pixels, threshold):
    """Of the size nearest to the threshold: where it is small, rounding decides what is kept."""
    means = np.arange(64).reshape(8, 8) == 0
    return min(
        np.abs(np.abs(found[:, ~means]) - threshold).min() for *_, found in every_block(pixels)
    )


def table_of(pixels):
    return cells.quantiles(oracle_texture(pixels))


def oracle_classes(pixels, table):
    """[h+32 w+32 4] around the photo, by ranks: 1 at the middle of a quartile, 0 at the next."""
    around = np.pad(np.float64(pixels), [(16, 16), (16, 16), (0, 0)], mode="reflect")
    rank = np.interp(oracle_texture(around), table, np.arange(9) / 8)
    rank = np.clip(rank, 0.125, 0.875)
    return np.stack(
        [np.maximum(0, 1 - np.abs(rank - m) * 4) for m in (0.125, 0.375, 0.625, 0.875)], -1
    )


def oracle_synthesis(pixels, threshold, flips, table, pattern=None, alphas=NOTHING):
    """Block by block: kept, or turned over by the band and the texture in the block's middle."""
    height, width, _ = pixels.shape
    where = oracle_classes(pixels, table)
    sums, weights = np.zeros((3, height + 24, width + 24)), np.zeros((height + 24, width + 24))
    plane = np.zeros((height, width)) if pattern is None else pattern
    pairs = zip(every_block(pixels), every_block(grey(plane)), strict=True)
    for (y, x, found), (_, _, taken) in pairs:
        keep = kept(found, threshold)
        kind = where[min(y + 12, len(where) - 1), min(x + 12, where.shape[1] - 1)]
        for u, v in itertools.product(range(8), range(8)):
            if band := max(u, v):
                dropped = ~keep[:, u, v]
                found[dropped, u, v] *= -(flips[band - 1] @ kind)
                found[:, u, v] -= (alphas[band - 1] @ kind) * taken[:, u, v]
        weight = 1 / keep.sum()
        sums[:, y : y + 8, x : x + 8] += weight * scipy.fft.idctn(found, axes=(1, 2), norm="ortho")
        weights[y : y + 8, x : x + 8] += weight
    rebuilt = (sums / np.maximum(weights, 1e-9))[:, 8 : 8 + height, 8 : 8 + width]
    return colours(rebuilt)


def grey(plane):
    """The plane in every channel."""
    return np.repeat(np.asarray(plane, np.float32)[..., None], 3, axis=-1)


@pytest.mark.parametrize("flips", [NOTHING, FLIPS], ids=["dropped", "turned over"])
@pytest.mark.parametrize(
    ("size", "seed", "threshold"), [CASES[1], pytest.param(*CASES[0], marks=pytest.mark.slow)]
)
def test_resynthesis_is_that_of_the_oracle(size, seed, threshold, flips):
    pixels = oracles.photo(seed, *size)
    assert distance(pixels, threshold) > 1e-3
    table = table_of(pixels)
    expected = oracle_synthesis(pixels, threshold, flips, table)
    assert np.abs(expected - pixels).max() > 5, "a case that changes something"
    ours = resynthesise(pixels, threshold, flips, table)
    assert ours.dtype == jnp.float32
    np.testing.assert_allclose(ours, expected, atol=2e-2)
    assert np.abs(ours - expected).mean() < 1e-3


def test_a_pattern_is_subtracted_by_cell_as_the_oracle_does():
    size, seed, threshold = CASES[0]
    pixels, pattern = oracles.photo(seed, *size), 100 * tiny.fingerprint(*size)
    table = table_of(pixels)
    ours = resynthesise(pixels, threshold, FLIPS, table, pattern, ALPHAS)
    expected = oracle_synthesis(pixels, threshold, FLIPS, table, pattern, ALPHAS)
    assert np.abs(ours - expected).mean() < 1e-3
    same = resynthesise(pixels, threshold, FLIPS, table, pattern, NOTHING)
    without = resynthesise(pixels, threshold, FLIPS, table)
    np.testing.assert_allclose(same, without, atol=1e-3)
    assert np.abs(expected - without).max() > 0.1


def test_threshold_zero_gives_the_photo_back():
    pixels = oracles.photo(0, *CASES[0][0])
    ours = resynthesise(pixels, 0.0, FLIPS, table_of(pixels))
    np.testing.assert_allclose(ours, pixels, atol=1e-3)


@pytest.mark.parametrize("colour", [(0, 0, 0), (255, 255, 255), (200, 3, 90)])
def test_a_flat_photo_stays_flat(colour):
    pixels = np.full((*CASES[0][0], 3), colour, np.uint8)
    for threshold in (0.0, 5.0, 64.0):
        ours = resynthesise(pixels, threshold, FLIPS, table_of(pixels))
        np.testing.assert_allclose(ours, pixels, atol=1e-3)


def extremes():
    y, x = np.mgrid[:34, :47]
    single = np.zeros((34, 47, 3), np.uint8)
    single[11, 20, 1] = 255
    rng = np.random.default_rng(0)
    photos = {
        "one-dark-pixel": 255 - 100 * grey((y == 11) & (x == 20)),
        "board": grey(255 * ((x + y) % 2)),
        "halves": grey(255 * (y > 9)),
        "black-and-white": 255 * rng.integers(0, 2, (34, 47, 3)),
        "overexposed": np.minimum(2.0 * oracles.photo(0, 34, 47), 255),
    }
    photos |= {"one-green-pixel": single, "almost-black": grey(rng.integers(0, 2, (34, 47)))}
    return [pytest.param(pixels.astype(np.uint8), id=name) for name, pixels in photos.items()]


@pytest.mark.parametrize("pixels", extremes())
def test_any_photo_gives_finite_levels_that_are_not_far_off(pixels):
    for threshold in (1.0, 12.0, 64.0):
        for flips in (NOTHING, FLIPS):
            ours = np.asarray(resynthesise(pixels, threshold, flips, table_of(pixels)))
            assert np.sqrt(np.mean((ours - pixels) ** 2)) < (1 + FLIPS.max()) * threshold


def test_a_batch_gives_what_single_calls_give():
    photos = np.stack([oracles.photo(seed, *CASES[0][0]) for seed in (0, 2)])
    tables = np.stack([table_of(pixels) for pixels in photos])
    batch = jax.jit(jax.vmap(transform.resynthesise, (0, None, None, 0)))(
        photos, 20.0, FLIPS, tables
    )
    for i in range(2):
        assert distance(photos[i], 20.0) > 1e-3
        single = resynthesise(photos[i], 20.0, FLIPS, tables[i])
        np.testing.assert_allclose(batch[i], single, atol=1e-3)


@pytest.mark.parametrize("size", [(34, 47), (32, 32), (41, 40)])
def test_tiles_give_what_the_whole_photo_gives(size):
    pixels, pattern = oracles.photo(0, *size), 100 * tiny.fingerprint(*size)
    table = table_of(pixels)

    def region(photo, tile):
        side = 16 + 2 * transform.HALO
        return tiles.cut(photo, tile.top - transform.HALO, tile.left - transform.HALO, side, side)

    made = np.empty((*size, 3))
    for tile in tiles.grid(*size, side=16):
        around = region(pixels, tile), region(pattern, tile)
        one = rebuild(around[0], 12.0, FLIPS, table, around[1], ALPHAS)
        made[tile.part] = one[: tile.height, : tile.width]
    whole = resynthesise(pixels, 12.0, FLIPS, table, pattern, ALPHAS)
    np.testing.assert_allclose(made, whole, atol=2e-3)


def test_the_noise_is_that_of_the_finest_coefficients():
    pixels = np.random.default_rng(0).normal(120, 3.0, (67, 90, 3))
    expected = []
    for plane in opponent(pixels):
        for y, x in itertools.product(range(0, 64, 8), range(0, 88, 8)):
            block = scipy.fft.dctn(plane[y : y + 8, x : x + 8], norm="ortho")
            expected.append(np.median(np.abs(block[4:, 4:])) / 0.6745)
    found = np.asarray(jax.jit(transform.noise)(np.float32(pixels)))
    np.testing.assert_allclose(found, np.reshape(expected, (3, -1)), rtol=1e-4)
    assert np.median(found) == pytest.approx(3.0, rel=0.1)
    shaded = pixels + 3 * np.arange(90)[:, None]  # of a slope nothing reaches so far
    np.testing.assert_allclose(transform.noise(shaded), found, rtol=0.02)
