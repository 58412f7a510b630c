"""Parts of photos: every pixel once, mirrored borders, as many at a time as the memory holds."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dippas_jax.signal import tiles

SIZES = [(1, 1), (16, 16), (17, 40), (48, 33), (5, 100)]


@pytest.mark.parametrize("size", SIZES)
def test_a_grid_covers_every_pixel_once(size):
    seen = np.zeros(size, int)
    for tile in tiles.grid(*size, side=16):
        assert max(tile.height, tile.width) <= 16
        seen[tile.part] += 1
    np.testing.assert_array_equal(seen, 1)


@pytest.mark.parametrize("size", SIZES)
def test_windows_have_one_shape_and_show_every_pixel_once_anew(size):
    seen, shapes = np.zeros(size, int), set()
    for tile, (rows, columns) in tiles.windows(*size, side=16):
        shapes.add(tile[2:])
        assert seen[tile.part].shape == tile[2:], "inside the photo"
        seen[tile.part][rows:, columns:] += 1
    np.testing.assert_array_equal(seen, 1)
    assert shapes == {tuple(min(side, 16) for side in size)}


def test_what_lies_beyond_a_photo_is_its_mirror_image_as_often_as_need_be():
    photo = np.arange(3 * 4 * 2).reshape(3, 4, 2)
    padded = np.pad(photo, [(7, 9), (8, 11), (0, 0)], mode="reflect")
    for top, left, height, width in ((-7, -8, 19, 23), (0, 0, 3, 4), (2, -3, 10, 5)):
        expected = padded[top + 7 : top + 7 + height, left + 8 : left + 8 + width]
        np.testing.assert_array_equal(tiles.cut(photo, top, left, height, width), expected)
    np.testing.assert_array_equal(
        tiles.cut(photo[:1, :1], -3, -3, 5, 5), photo[0, 0] + 0 * padded[:5, :5]
    )


def test_some_tiles_are_whole_ones_from_all_over_the_photo():
    every = tiles.grid(1000, 1500, side=100)
    some = tiles.spread([*every, tiles.Tile(1000, 0, 7, 100)], 12)
    assert len(some) == len(set(some)) == 12
    assert set(some) <= set(every)
    for axis, side in ((0, 1000), (1, 1500)):
        parts = {4 * tile[axis] // side for tile in some}
        assert parts == {0, 1, 2, 3}
    assert tiles.spread(every[:5], 5) == every[:5]


@pytest.mark.parametrize("size", [1, 2, 3, 8])
def test_batches_change_no_result_and_have_one_shape(size):
    shapes = set()

    def work(numbers, more):
        shapes.add(numbers.shape)
        return {"sum": numbers + more.sum(1), "n": jnp.ones(len(numbers))}

    made = []

    def items():
        for n in range(7):
            made.append(n)
            yield np.float32(n), np.full(3, n)

    found = []
    for one in tiles.Batches(size).map(work, items()):
        found.append(float(one["sum"]))
        assert len(made) <= len(found) + size, "made only when their turn comes"
    assert found == [4.0 * n for n in range(7)]
    assert shapes == {(size,)}
    assert list(tiles.Batches(size).map(work, [])) == []


def test_where_the_memory_does_not_suffice_batches_are_halved_and_it_is_said():
    said, tried = [], []

    def work(numbers):
        tried.append(len(numbers))
        if len(numbers) > 2:
            raise jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: Out of memory")
        return 2 * numbers

    batches = tiles.Batches(8, said.append)
    assert [int(n) for n in batches.map(work, ((np.array(n),) for n in range(5)))] == [
        0,
        2,
        4,
        6,
        8,
    ]
    assert tried == [8, 4, 2, 2, 2]
    assert batches.size == 2, "the next work does not try again"
    assert len(said) == 2
    assert "2 tiles at a time" in said[1]


@pytest.mark.parametrize(
    ("error", "is_it"),
    [
        (MemoryError(), True),
        (jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: Out of memory"), True),
        (jax.errors.JaxRuntimeError("INTERNAL: another one"), False),
        (ValueError("RESOURCE_EXHAUSTED: Error writing\n'x': No space left on device"), False),
    ],
)
def test_a_full_disk_is_no_full_memory(error, is_it):
    assert tiles.is_out_of_memory(error) == is_it


@pytest.mark.parametrize("error", ["RESOURCE_EXHAUSTED: one is too many", "INTERNAL: another one"])
def test_what_halving_does_not_help_is_not_hidden(error):
    def work(numbers):
        raise jax.errors.JaxRuntimeError(error)

    with pytest.raises(jax.errors.JaxRuntimeError, match=error[:8]):
        list(tiles.Batches(4).map(work, [(np.array(1),)]))


@pytest.mark.parametrize("kind", [np.uint8, np.uint16])
def test_levels_of_any_pixels_are_those_of_eight_bits(kind):
    top = np.iinfo(kind).max
    pixels = np.arange(top + 1, dtype=kind)
    levels = tiles.levels(pixels)
    assert levels.dtype == np.float32
    np.testing.assert_allclose(levels, pixels * (255 / top), rtol=1e-6)
    np.testing.assert_array_equal(tiles.rounded(levels, np.dtype(kind)), pixels)
    outside = tiles.rounded(np.array([-3.0, 255.6, 300], np.float32), np.dtype(kind))
    np.testing.assert_array_equal(outside, [0, top, top])
