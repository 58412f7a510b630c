"""Whether a fingerprint covers a photo, and where its plane lies there."""

import numpy as np
import pytest

from dippas_jax.io import fingerprint_file
from dippas_jax.signal import placement

PLANE = np.random.default_rng(0).normal(size=(70, 90)).astype(np.float32)
BARE = fingerprint_file.new(PLANE)
PLACED = fingerprint_file.new(
    PLANE, unit="grey", orientation="sensor", photo=(200, 210), offset=(10, 4)
)


@pytest.mark.parametrize("side", [None, 64, 1024])
def test_in_photos_that_it_was_built_for_a_plane_lies_at_its_offset(side):
    assert placement.corner(PLACED, (200, 210), side=side) == (10, 4)
    assert placement.corner(BARE, (70, 90), side=side) == (0, 0)


@pytest.mark.parametrize("side", [None, 64, 1024])
def test_photos_of_exactly_its_size_are_the_plane_itself(side):
    assert placement.corner(PLACED, (70, 90), side=side) == (0, 0)


@pytest.mark.parametrize(("size", "corner"), [((100, 200), (15, 55)), ((71, 91), (0, 0))])
def test_a_bare_plane_is_the_centre_where_no_more_than_its_pixels_are_wanted(size, corner):
    assert placement.corner(BARE, size, side=70) == corner
    assert placement.corner(BARE, size, side=71) is None
    assert placement.corner(BARE, size, side=None) is None


@pytest.mark.parametrize("size", [(69, 200), (200, 89), (90, 70)])
def test_a_bare_plane_that_sticks_out_of_the_photo_is_not_its_centre(size):
    assert placement.corner(BARE, size, side=64) is None


@pytest.mark.parametrize(
    "said", [{"unit": "grey"}, {"orientation": "sensor"}, {"photo": (200, 210)}]
)
def test_a_file_that_says_something_of_itself_is_not_taken_for_a_centre(said):
    known = fingerprint_file.new(PLANE, **said)
    assert placement.bare(BARE)
    assert not placement.bare(known)
    assert placement.corner(known, (300, 310), side=64) is None


@pytest.mark.parametrize("size", [(200, 211), (210, 200), (90, 70)])
def test_other_photos_are_not_covered(size):
    assert placement.corner(PLACED, size, side=64) is None
