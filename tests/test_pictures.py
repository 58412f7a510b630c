"""Pictures for the verbs: they are drawn for any fingerprint, and show its pixels one to one."""

import io

import numpy as np
import pytest
from PIL import Image

from dippas_jax import fingerprint_file, pictures


def drawn(plane):
    data = pictures.fingerprint_picture(fingerprint_file.new(plane), "camera.npz")
    assert data == pictures.fingerprint_picture(fingerprint_file.new(plane), "camera.npz")
    with Image.open(io.BytesIO(data)) as image:
        return np.asarray(image.convert("L"))


def contains(picture, part):
    """Whether grey levels lie near the left upper corner, each within one level."""
    windows = np.lib.stride_tricks.sliding_window_view(picture[60:110, 10:60], part.shape)
    return bool((np.abs(windows.astype(int) - part).max((-2, -1)) <= 1).any())


@pytest.mark.parametrize("size", [(64, 64), (70, 530), (601, 90)])
def test_the_centre_is_drawn_pixel_by_pixel_from_black_to_white(size):
    plane = np.random.default_rng(0).normal(size=size).astype(np.float32)
    top, left = (max(side - pictures.SIDE, 0) // 2 for side in size)
    part = plane[top + 8 : top + 20, left + 8 : left + 20] / plane.std()
    grey = np.clip((part + 2.5) / 5 * 255, 0, 255)
    assert contains(drawn(plane), grey.astype(int))


def test_a_plane_with_a_single_peak_can_be_drawn():
    plane = np.zeros((64, 64), np.float32)
    plane[3, 4] = 1
    assert drawn(plane).std() > 0
