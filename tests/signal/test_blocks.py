"""Cutting, ordering and averaging blocks, on examples small enough to check by hand."""

import jax.numpy as jnp
import numpy as np
import pytest

from dippas_jax.signal import blocks

SIZES = [(8, 12, 4), (7, 13, 4), (5, 3, 8), (6, 6, 6), (9, 4, 1)]


def photos(*shape):
    return jnp.asarray(np.random.default_rng(0).integers(0, 256, shape, np.uint8))


@pytest.mark.parametrize(("height", "width", "side"), SIZES)
def test_merge_undoes_split(height, width, side):
    pixels = photos(2, height, width, 3)
    cut = blocks.split(pixels, side)
    assert cut.shape == (2, -(-height // side), -(-width // side), side, side, 3)
    assert cut.dtype == np.uint8
    np.testing.assert_array_equal(blocks.merge(cut, height, width), pixels)


def test_split_puts_every_block_at_its_row_and_column_with_zeros_beyond_the_photo():
    pixels = photos(7, 13, 3)
    cut = np.asarray(blocks.split(pixels, 4))
    np.testing.assert_array_equal(cut[1, 2, :3], pixels[4:7, 8:12])
    np.testing.assert_array_equal(cut[0, 3, :, :1], pixels[:4, 12:])
    assert not cut[0, 3, :, 1:].any()
    assert not cut[1, 0, 3:].any()


@pytest.mark.parametrize(
    ("side", "height", "width", "used"),
    [(32, 64, 96, 32), (96, 64, 96, 96), (512, 64, 96, 96), (80, 96, 64, 80), (512, 96, 64, 96)],
)
def test_a_side_beyond_the_photo_means_the_whole_photo(side, height, width, used):
    assert blocks.side_for(side, height, width) == used


def test_order_is_the_papers():
    """Negative, weakest first; then positive, weakest first; then what is undefined."""
    ncc = [0.5, -0.02, np.nan, 0.001, -0.9, -0.001, 1.0, 0.0, -0.99]
    by_hand = [5, 1, 4, 8, 7, 3, 0, 6, 2]
    order = blocks.rank(jnp.asarray(ncc, jnp.float32)[:, None, None])
    assert order[:, 0, 0].tolist() == by_hand


def test_every_position_has_its_own_order_and_ties_keep_the_order_of_the_steps():
    ncc = np.array([[[0.1, -0.1, 0.2]], [[-0.3, -0.1, np.nan]], [[0.1, -0.2, np.nan]]], np.float32)
    assert blocks.rank(jnp.asarray(ncc))[:, 0].T.tolist() == [[1, 0, 2], [0, 1, 2], [0, 1, 2]]


def test_rank_keys_are_finite_also_where_the_ncc_is_undefined():
    keys = blocks.rank_key(jnp.asarray([-1.0, 1.0, 0.0, jnp.nan]))
    assert np.isfinite(keys).all()
    assert np.argmax(keys) == 3


def test_average_is_the_mean_of_the_blocks_that_count():
    ordered = np.asarray(photos(3, 2, 1, 4, 4, 3))
    kept = np.array([[[1], [1]], [[1], [0]], [[1], [0]]], np.float32)
    mean = np.asarray(blocks.average(jnp.asarray(ordered), jnp.asarray(kept)))
    np.testing.assert_allclose(mean[0, 0], ordered[:, 0, 0].mean(0), rtol=1e-6)
    np.testing.assert_array_equal(mean[1, 0], ordered[0, 1, 0])
