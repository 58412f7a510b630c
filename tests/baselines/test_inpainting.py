"""Inpainting, against a sparse solution of what it makes least, and what is chosen near edges."""

import sys
import types

import jax
import numpy as np
import pytest
import scipy.sparse
import scipy.sparse.linalg

from dippas_jax.baselines import dct, inpainting
from dippas_jax.signal import edges, image
from dippas_jax.types import InputError
from tests import oracles

HEIGHT, WIDTH = 65, 70  # of neither block is either a multiple of the period
KEY = jax.random.key(0)

blocks = pytest.mark.parametrize("block", [3, 5])


def photo(seed=0, noise=2.0):
    return oracles.photo(seed, HEIGHT, WIDTH, noise=noise)


def slow_masks(block):
    """The text: P = max(B·⌈8/B⌉, 2B), mask (r, c) hides (y div B) mod (P/B) = r, likewise c."""
    period = max(block * int(np.ceil(8 / block)), 2 * block)
    several = period // block
    numbers = np.zeros((HEIGHT, WIDTH), int)
    for y in range(HEIGHT):
        for x in range(WIDTH):
            numbers[y, x] = (y // block) % several * several + (x // block) % several
    return numbers


def slow_inpainted(plane, hidden, norm):
    """One channel behind one mask: the objective's rows written out, solved in float64 by LU.

    Around the photo lie three known pixels, mirrored above and left, the last ones below and right.
    """
    values = np.pad(np.pad(plane / 255, ((3, 0), (3, 0)), "symmetric"), ((0, 3), (0, 3)), "edge")
    unknown = np.pad(hidden, 3)
    values[unknown] = 0
    height, width = values.shape
    number = np.full(values.shape, -1)
    number[unknown] = np.arange(unknown.sum())
    differences = []  # of every pixel: the rows of Dx and Dy, each None beyond the far border
    for y in range(height):
        for x in range(width):
            pairs = [((y, x + 3), (y, x)), ((y + 3, x), (y, x))]
            differences.append([p for p in pairs if p[0][0] < height and p[0][1] < width])
    rows, columns, entries, known, owner = [], [], [], [], []
    for pixel, pairs in enumerate(differences):
        for pair in pairs:
            if number[pair[0]] < 0 and number[pair[1]] < 0:
                continue
            constant = 0.0
            for place, sign in zip(pair, (1.0, -1.0), strict=True):
                if number[place] >= 0:
                    rows.append(len(known))
                    columns.append(number[place])
                    entries.append(sign)
                else:
                    constant += sign * values[place]
            known.append(constant)
            owner.append(pixel)
    shape = (len(known), unknown.sum())
    matrix = scipy.sparse.csr_matrix((entries, (rows, columns)), shape=shape)
    constant, owner = np.array(known), np.array(owner)
    weights = np.ones(len(known))
    for _ in range(4 if norm == "tv" else 1):
        before = values[unknown]
        weighted = matrix.T @ scipy.sparse.diags(weights)
        # The little that is added decides only where all weights are 0: there nothing changes.
        left = (weighted @ matrix + 1e-11 * scipy.sparse.eye(shape[1])).tocsc()
        values[unknown] = scipy.sparse.linalg.spsolve(left, 1e-11 * before - weighted @ constant)
        size = np.zeros(values.shape)
        for y in range(height):
            for x in range(width):
                right = values[y, x + 3] - values[y, x] if x + 3 < width else 0
                below = values[y + 3, x] - values[y, x] if y + 3 < height else 0
                size[y, x] = np.hypot(right, below)
        weights = (size / (size**2 + inpainting.EPSILON)).ravel()[owner]
    return values[3:-3, 3:-3] * 255


@blocks
def test_masks_are_those_of_the_text_and_hide_every_pixel_once(block):
    ours = inpainting.masks(HEIGHT, WIDTH, block)
    np.testing.assert_array_equal(ours, slow_masks(block))
    assert set(ours.ravel()) == set(range(9 if block == 3 else 4))


@blocks
@pytest.mark.parametrize("norm", ["l2", "tv"])
def test_hidden_pixels_are_those_of_least_squares(block, norm):
    pixels = photo()
    ours = np.asarray(inpainting.inpaint(pixels, block=block, norm=norm))
    numbers = slow_masks(block)
    for channel, number in ((0, 0), (2, 2)):
        hidden = numbers == number
        slow = slow_inpainted(pixels[..., channel], hidden, norm)
        np.testing.assert_array_equal(slow[~hidden].round(9), pixels[..., channel][~hidden])
        error = np.abs(ours[..., channel] - slow)[hidden]
        # Grey levels. The sweeps stop short of the solution where weights are very different.
        assert np.quantile(error, 0.99) < 2e-3
        assert error.max() < (0.1 if (block, norm) == (5, "tv") else 0.02)
        assert np.abs(slow - pixels[..., channel])[hidden].mean() > 1


def test_squares_are_least_at_the_mean_of_four_pixels():
    pixels = photo().astype(float)
    ours = np.asarray(inpainting.inpaint(photo(), norm="l2"))
    for y, x in ((10, 20), (30, 31), (40, 5)):
        four = pixels[y - 3, x] + pixels[y + 3, x] + pixels[y, x - 3] + pixels[y, x + 3]
        np.testing.assert_allclose(ours[y, x], four / 4, atol=1e-4)


@blocks
def test_a_block_does_not_see_itself_and_is_seen_three_pixels_away(block):
    pixels = photo()
    changed = pixels.copy()
    top, left = 6 * block, 7 * block
    changed[top : top + block, left : left + block] = 255 - changed[top, left]
    before, after = (np.asarray(inpainting.inpaint(one, block=block)) for one in (pixels, changed))
    moved = (np.abs(before - after) > 1e-3).any(-1)
    assert not moved[top : top + block, left : left + block].any()
    assert moved[top - 3, left : left + block].all()
    assert not moved[: top - block].any()


@blocks
@pytest.mark.parametrize("norm", ["l2", "tv"])
@pytest.mark.parametrize("level", [0, 77, 255])
def test_a_flat_photo_comes_through(block, norm, level):
    flat = np.full((HEIGHT, WIDTH, 3), level, np.uint8)
    flat[..., 1] = 255 - level
    ours = inpainting.anonymize(KEY, flat, block=block, norm=norm)
    np.testing.assert_array_equal(ours, flat)


@blocks
def test_the_result_is_denoised_near_edges_and_inpainted_elsewhere(block):
    pixels = photo()
    ours = np.asarray(inpainting.anonymize(KEY, pixels, block=block))
    smooth = np.asarray(dct.denoised(dct.denoised(pixels, 7.0), 7.0))
    near = edges.near(image.luma(smooth))
    assert 0.1 < near.mean() < 0.9
    inpainted = np.asarray(inpainting.inpaint(pixels, block=block))
    expected = np.clip(np.round(np.where(near[..., None], smooth, inpainted)), 0, 255)
    assert np.mean(ours != expected) < 1e-3
    again = inpainting.anonymize(jax.random.key(7), pixels.copy(), np.ones((HEIGHT, WIDTH)))
    if block == 3:
        np.testing.assert_array_equal(ours, again)


@blocks
def test_a_grey_photo_stays_grey_and_levels_stay_between_those_around(block):
    grey = np.repeat(photo(noise=6.0)[..., :1], 3, -1)
    grey[:30] = 255
    ours = np.asarray(inpainting.anonymize(KEY, grey, block=block))
    assert (ours == ours[..., :1]).all()
    inpainted = np.asarray(inpainting.inpaint(grey, block=block))
    assert inpainted.min() > grey.min() - 1e-3
    assert inpainted.max() < 255 + 1e-3


@blocks
def test_levels_are_stretched_mask_by_mask(block):
    pixels = np.minimum(photo(), 200)
    y, x = np.argwhere(slow_masks(block) == 1)[40]
    pixels[y, x, 0] = 255  # the only pixel of that level
    plain, ours = (
        np.asarray(inpainting.inpaint(pixels, block=block, stretch=stretch))
        for stretch in (False, True)
    )
    for number in np.unique(slow_masks(block)):
        hidden = slow_masks(block) == number
        low, high = (float(f(pixels[~hidden])) for f in (np.min, np.max))
        lowest, highest = float(pixels.min()), float(pixels.max())
        expected = (plain[hidden] - low) / (high - low) * (highest - lowest) + lowest
        np.testing.assert_allclose(ours[hidden], expected, atol=1e-3)
    assert np.abs(ours - plain)[slow_masks(block) == 1].max() > 1
    flat = np.full_like(pixels, 9)
    np.testing.assert_allclose(inpainting.inpaint(flat, block=block, stretch=True), 9, atol=1e-4)


def test_bm3d_runs_twice_only_where_it_is_asked_for(monkeypatch):
    calls = []

    def bm3d_rgb(values, sigma):
        calls.append((values.shape, values.max() <= 1, sigma))
        return values - 10 / 255

    monkeypatch.setitem(sys.modules, "bm3d", types.SimpleNamespace(bm3d_rgb=bm3d_rgb))
    ours = inpainting.denoised(photo(), "bm3d")
    assert calls == [((HEIGHT, WIDTH, 3), True, 7 / 255)] * 2
    np.testing.assert_allclose(ours, photo().astype(float) - 20, atol=1e-3)
    inpainting.anonymize(KEY, photo())
    assert len(calls) == 2
    assert "BM3D" in inpainting.source("bm3d")
    assert "DCT" in inpainting.source()


def test_what_cannot_be_done_is_refused(monkeypatch):
    monkeypatch.setitem(sys.modules, "bm3d", None)
    with pytest.raises(InputError, match=r"bm3d .* not installed; install bm3d, .* or choose dct"):
        inpainting.anonymize(KEY, photo(), denoiser="bm3d")
    for options in ({"block": 4}, {"norm": "l1"}, {"denoiser": "blur"}):
        with pytest.raises(InputError, match=r"the inpainting's \w+ is .*; choose one of"):
            inpainting.anonymize(KEY, photo(), **options)
