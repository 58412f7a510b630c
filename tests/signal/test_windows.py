"""Crops of a photo and of its fingerprint: which there are, and that both show the same pixels."""

import numpy as np
import pytest

from dippas_jax.signal import placement
from dippas_jax.types import InputError, Window

CASES = [
    # photo, side, part of it to stay in
    ((2000, 3008), 512, None),
    ((2000, 3008), 128, (744, 1248, 512, 512)),
    ((100, 150), 64, None),
    ((131, 257), 64, None),
    ((131, 257), 65, None),
    ((201, 203), 67, (1, 3, 199, 137)),
    ((64, 64), 64, None),
    ((67, 66), 65, None),
]


def covered(photo, windows):
    """How many crops show each pixel."""
    count = np.zeros(photo, int)
    for window in windows:
        count[
            window.top : window.top + window.height, window.left : window.left + window.width
        ] += 1
    return count


@pytest.mark.parametrize(("photo", "side", "within"), CASES)
def test_crops_lie_inside_and_no_pixel_is_in_two(photo, side, within):
    found = placement.windows(photo, side, within=within)
    count = covered(photo, found)
    assert count.max() == 1
    assert count.sum() == len(found) * side**2, "none sticks out"
    top, left, height, width = within or (0, 0, *photo)
    assert count[top : top + height, left : left + width].sum() == count.sum()
    assert {window.photo for window in found} == {photo}


@pytest.mark.parametrize(("photo", "side", "within"), CASES)
def test_there_are_as_many_crops_as_fit(photo, side, within):
    height, width = (within or (0, 0, *photo))[2:]
    step = side + side % 2  # an odd side costs a pixel, to begin every crop at the same colour
    most = ((height - side) // step + 1) * ((width - side) // step + 1)
    assert len(placement.windows(photo, side, within=within)) == most


@pytest.mark.parametrize(("photo", "side", "within"), CASES)
def test_crops_begin_at_the_same_colour_of_the_mosaic(photo, side, within):
    for window in placement.windows(photo, side, within=within):
        assert (window.top % 2, window.left % 2) == (0, 0)


def test_where_only_an_odd_place_is_left_it_is_taken():
    (window,) = placement.windows((131, 131), 64, within=(33, 34, 64, 65))
    assert (window.top, window.left) == (33, 34)


@pytest.mark.parametrize(("photo", "side", "within"), CASES)
def test_the_first_crops_are_the_nearest_to_the_centre(photo, side, within):
    top, left, height, width = within or (0, 0, *photo)

    def distance(window):
        y = window.top + side / 2 - (top + height / 2)
        x = window.left + side / 2 - (left + width / 2)
        return np.hypot(y, x)

    every = placement.windows(photo, side, within=within)
    far = [distance(window) for window in every]
    assert far == sorted(far)
    for count in (1, 2, 3):
        assert placement.windows(photo, side, count, within=within) == every[:count]


def test_a_whole_photo_gives_the_centre_crop_first():
    first, *rest = placement.windows((2000, 3008), 512)
    assert first == Window((2000, 3008), 744, 1248, 512, 512)
    assert len(rest) == 14


def test_a_crop_larger_than_the_photo_gives_none():
    assert placement.windows((100, 200), 101) == []


def positions(height, width):
    """A plane that says where each pixel lies."""
    return np.arange(height * width, dtype=np.float32).reshape(height, width)


@pytest.mark.parametrize("part", [(131, 257), (100, 101), (99, 128), (70, 66)])
def test_a_plane_of_the_centre_is_cut_at_the_same_pixels_as_the_photo(part):
    whole = positions(131, 257)
    top, left = (131 - part[0]) // 2, (257 - part[1]) // 2
    centre = whole[top : top + part[0], left : left + part[1]]
    for window in placement.windows((131, 257), 64, within=(top, left, *part)):
        expected = whole[window.top : window.top + 64, window.left : window.left + 64]
        np.testing.assert_array_equal(placement.cut(centre, window), expected)
        np.testing.assert_array_equal(placement.cut(whole, window), expected)


def test_a_plane_with_a_place_of_its_own_is_cut_there():
    whole = positions(100, 120)
    window = Window((100, 120), 10, 4, 64, 70)
    expected = whole[10:74, 4:74]
    np.testing.assert_array_equal(placement.cut(whole[6:, 2:], window, offset=(6, 2)), expected)
    np.testing.assert_array_equal(placement.cut(whole[:90], window, offset=(0, 0)), expected)
    colour = np.stack([whole] * 3, -1)
    np.testing.assert_array_equal(placement.cut(colour, window)[..., 1], expected)


def test_what_is_cut_is_a_copy():
    plane = positions(64, 64)
    placement.cut(plane, Window((64, 64), 0, 0, 64, 64))[0, 0] = -1
    assert plane[0, 0] == 0


@pytest.mark.parametrize(("top", "left"), [(0, 20), (30, 20), (10, 0), (10, 60)])
def test_a_plane_that_does_not_hold_the_window_is_refused(top, left):
    window = Window((100, 140), top, left, 64, 64)
    with pytest.raises(InputError, match="70x100 at row 15, column 20 does not hold 64x64") as it:
        placement.cut(positions(70, 100), window)
    assert f"row {top}, column {left}" in str(it.value)
    assert "\n" not in str(it.value)
