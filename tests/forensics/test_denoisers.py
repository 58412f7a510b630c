"""Other denoisers: each against a slow one, or against what it is made to leave alone."""

import numpy as np
import pytest
import scipy.fft

from dippas_jax.forensics import denoisers

HEIGHT, WIDTH = 20, 27
ALL = ["non_local_means", "total_variation", "laplacian", "median", "dct"]


@pytest.fixture(scope="module")
def plane():
    """Two even halves, a slope and noise."""
    rng = np.random.default_rng(0)
    clean = np.where(np.arange(WIDTH) < 13, 60.0, 160.0) + np.arange(HEIGHT)[:, None]
    return (clean + 3 * rng.standard_normal(clean.shape)).astype(np.float32)


def test_the_dct_takes_small_coefficients_of_blocks_at_every_place(plane):
    padded = np.pad(plane.astype(float), 8, mode="edge")
    noise, seen = np.zeros(padded.shape), np.zeros(padded.shape)
    for top in range(padded.shape[0] - 7):
        for left in range(padded.shape[1] - 7):
            part = np.s_[top : top + 8, left : left + 8]
            found = scipy.fft.dctn(padded[part], norm="ortho")
            small = np.where(np.abs(found) < 6, found, 0)
            small[0, 0] = 0
            noise[part] += scipy.fft.idctn(small, norm="ortho")
            seen[part] += 1
    inside = np.s_[8:-8, 8:-8]
    assert (seen[inside] == 64).all()
    np.testing.assert_allclose(denoisers.dct(plane), (noise / seen)[inside], atol=2e-3)


@pytest.mark.parametrize(
    ("name", "side", "middle"), [("median", 5, np.median), ("laplacian", 3, np.mean)]
)
def test_windows_are_looked_at_one_by_one(name, side, middle, plane):
    padded = np.pad(plane.astype(float), side // 2, mode="symmetric")
    windows = np.lib.stride_tricks.sliding_window_view(padded, (side, side))
    oracle = [
        [y - middle(w) for y, w in zip(*pair, strict=True)]
        for pair in zip(plane, windows, strict=True)
    ]
    np.testing.assert_allclose(getattr(denoisers, name)(plane), oracle, atol=1e-3)


def test_total_variation_goes_down_more_than_the_plane_moves(plane):
    def cost(x):
        rows, columns = np.diff(x, axis=0, append=x[-1:]), np.diff(x, axis=1, append=x[:, -1:])
        return np.sum((x - plane) ** 2) / 2 + denoisers.SIGMA * np.sum(np.hypot(rows, columns))

    noise = denoisers.total_variation(plane)
    best = cost(plane - noise)
    for share in (0.0, 0.9, 1.1):
        assert best < cost(plane - share * noise)
    other = np.random.default_rng(1).standard_normal(plane.shape)
    assert best < cost(plane - noise + other)


def test_similar_patches_show_the_noise_and_not_the_edge(plane):
    noise = denoisers.non_local_means(plane)
    assert 1.0 < noise.std() < 4.0
    assert np.abs(noise[:, 12:14]).max() < 15, "the edge is a step of 100"
    assert noise[:, :12].mean() == pytest.approx(0, abs=0.5)


@pytest.mark.parametrize("name", ALL)
def test_a_constant_plane_has_no_noise_and_a_level_does_not_matter(name, plane):
    noise = getattr(denoisers, name)
    assert not np.any(noise(np.full((HEIGHT, WIDTH), 127.3, np.float32)))
    np.testing.assert_allclose(noise(plane), noise(plane + 32), atol=1e-3)
    assert np.shape(noise(plane)) == (HEIGHT, WIDTH)
