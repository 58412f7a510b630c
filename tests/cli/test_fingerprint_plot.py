"""Pictures for the verbs: they are drawn for any fingerprint, and show its pixels one to one."""

import io

import numpy as np
import pytest
from PIL import Image

from dippas_jax.cli import fingerprint_plot
from dippas_jax.io import fingerprint_file


def drawn(plane, title="camera.npz"):
    data = fingerprint_plot.fingerprint_picture(fingerprint_file.new(plane), title)
    assert data == fingerprint_plot.fingerprint_picture(fingerprint_file.new(plane), title)
    with Image.open(io.BytesIO(data)) as image:
        return np.asarray(image.convert("L"))


def contains(picture, part):
    """Whether grey levels lie near the left upper corner, each within one level."""
    windows = np.lib.stride_tricks.sliding_window_view(picture[60:110, 10:60], part.shape)
    return bool((np.abs(windows.astype(int) - part).max((-2, -1)) <= 1).any())


@pytest.mark.parametrize("size", [(64, 64), (70, 530), (601, 90)])
def test_the_centre_is_drawn_pixel_by_pixel_from_black_to_white(size):
    plane = np.random.default_rng(0).normal(size=size).astype(np.float32)
    top, left = (max(side - fingerprint_plot.SIDE, 0) // 2 for side in size)
    part = (plane - plane.mean())[top + 8 : top + 20, left + 8 : left + 20] / plane.std()
    grey = np.clip((part + 2.5) / 5 * 255, 0, 255)
    assert contains(drawn(plane), grey.astype(int))


@pytest.mark.parametrize(("unit", "mean"), [(1e-3, 1), (1e-36, 0)])
def test_the_unit_and_the_mean_of_a_foreign_file_do_not_change_the_picture(unit, mean):
    plane = np.random.default_rng(0).normal(size=(64, 64)).astype(np.float32)
    grey = np.clip(((plane - plane.mean()) / plane.std() + 2.5) / 5 * 255, 0, 255)
    assert contains(drawn(mean + unit * plane), grey[8:20, 8:20].astype(int))


def test_a_file_may_be_called_what_is_no_formula_and_no_letter_of_the_font():
    plane = np.random.default_rng(0).normal(size=(64, 64)).astype(np.float32)
    assert drawn(plane, "K$^$ 中.npz").std() > 0


def test_a_plane_with_a_single_peak_can_be_drawn():
    plane = np.zeros((64, 64), np.float32)
    plane[3, 4] = 1
    assert drawn(plane).std() > 0
