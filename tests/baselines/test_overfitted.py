"""A network fitted to one photo: its loss against NumPy, and what it hides from which extractor."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.ndimage

from dippas_jax.baselines import overfitted
from dippas_jax.datasets import synthetic
from dippas_jax.io import weights
from dippas_jax.signal import dncnn, residual
from dippas_jax.types import InputError
from tests import learned, oracles
from tests.messages import assert_one_sentence

HEIGHT, WIDTH = 64, 75
KEY = jax.random.key(0)
CAMERA = synthetic.Camera(strength=0.01)
LAPLACIAN = np.array([[0, -1, 0], [-1, 4, -1], [0, -1, 0]], np.float32) / 8


@functools.cache
def photo():
    """A scene taken with the camera."""
    return synthetic.expose(CAMERA, synthetic.scene(0, WIDTH)[:HEIGHT], 0)


@functools.cache
def fingerprint():
    return synthetic.estimate(CAMERA, HEIGHT, WIDTH, 8)


@functools.cache
def laplacian():
    """Weights with which the learned extractor is a Laplacian: what is positive of it, and not."""
    start, end = np.zeros((3, 3, 2, 2), np.float32), np.zeros((3, 3, 2, 2), np.float32)
    start[:, :, 0, 0], start[:, :, 0, 1] = LAPLACIAN, -LAPLACIAN
    end[1, 1, :, 0] = 1, -1
    layers = {"conv_start": {"kernel": start}, "conv_end": {"kernel": end}}
    return learned.data_of({"params": layers, "batch_stats": {}})


def laplacian_residual(pixels):
    plane = scipy.ndimage.convolve(oracles.luma(pixels), LAPLACIAN.astype(np.float64), mode="wrap")
    return oracles.wiener_dft(oracles.zero_mean(plane))


EXTRACTORS = {"wavelet": oracles.residual, "learned": laplacian_residual}
every = pytest.mark.parametrize(  # the wavelet filter is long to compile
    "extractor", ["learned", pytest.param("wavelet", marks=pytest.mark.slow)]
)


@pytest.fixture(autouse=True)
def weights_file(tmp_path, monkeypatch):
    path = tmp_path / weights.NAME
    path.write_bytes(laplacian())
    monkeypatch.setenv(weights.VARIABLE, str(path))


@functools.cache
def loss(extractor):
    """The loss and its gradient, compiled."""
    extract = residual.residual
    if extractor == "learned":
        extract = functools.partial(dncnn.residual, dncnn.parse(laplacian()))
    one = functools.partial(overfitted.loss, extract=extract, weight=300.0)
    return jax.jit(jax.value_and_grad(one))


def fit(pixels, extractor="learned", steps=40, key=KEY, k=None):
    k = fingerprint() if k is None else k
    return np.asarray(overfitted.fit(key, pixels, k, extractor=extractor, steps=steps))


@functools.cache
def fitted(extractor):
    return fit(photo(), extractor)


def ncc(pixels, extractor):
    plane = EXTRACTORS[extractor](np.asarray(pixels))
    return oracles.ncc(plane, oracles.pattern(pixels, fingerprint()))


def z(pixels, extractor):
    return ncc(pixels, extractor) * np.sqrt(HEIGHT * WIDTH)


def slow_loss(result, extractor, weight):
    difference = result - photo().astype(np.float64)
    return np.mean(difference**2) + weight * abs(ncc(result, extractor))


# ----------------------------------------------------------------------------------------- parts


@every
def test_the_loss_is_that_of_the_oracle_and_so_is_its_gradient(extractor):
    rng = np.random.default_rng(0)
    result = photo() + rng.standard_normal(photo().shape)
    value, slope = loss(extractor)(result.astype(np.float32), photo(), fingerprint())
    assert float(value) == pytest.approx(slow_loss(result, extractor, 300.0), rel=1e-4)
    slope = np.asarray(slope, np.float64)
    for direction in (*rng.standard_normal((2, *result.shape)), slope / np.std(slope)):
        ends = [slow_loss(result + s * direction, extractor, 300.0) for s in (1e-4, -1e-4)]
        expected = (ends[0] - ends[1]) / 2e-4
        assert np.sum(slope * direction) == pytest.approx(expected, rel=2e-2, abs=2e-3)


@every
@pytest.mark.parametrize("level", [0, 128, 255])
def test_the_loss_of_a_flat_photo_is_its_difference_and_the_gradient_finite(extractor, level):
    flat = np.full((HEIGHT, WIDTH, 3), level, np.uint8)
    value, slope = loss(extractor)(flat.astype(np.float32) + 2, flat, fingerprint())
    assert float(value) == pytest.approx(4)
    np.testing.assert_allclose(slope, 2 * 2 / flat.size, rtol=1e-5)


def test_the_network_is_that_of_the_oracle():
    kernels = overfitted.init(KEY)
    kernels = (*kernels[:-1], kernels[1][..., :3])
    x = photo()[:20, :17].astype(np.float64)
    for index, kernel in enumerate(np.asarray(k, np.float64) for k in kernels):
        if index == 0:
            kernel = kernel - kernel.mean((0, 1))
        else:
            x = np.maximum(x, 0)
        planes = [
            sum(
                scipy.ndimage.correlate(x[..., i], kernel[:, :, i, o], mode="nearest")
                for i in range(kernel.shape[2])
            )
            for o in range(kernel.shape[3])
        ]
        x = np.stack(planes, -1)
    ours = overfitted.change(kernels, photo()[:20, :17])
    np.testing.assert_allclose(ours, x, atol=1e-4 * np.abs(x).max())


def test_a_network_as_drawn_changes_nothing_and_none_changes_a_flat_photo():
    kernels = overfitted.init(KEY)
    np.testing.assert_array_equal(overfitted.change(kernels, photo()), 0)
    flat = np.full((HEIGHT, WIDTH, 3), 200, np.uint8)
    kernels = (*kernels[:-1], jnp.ones_like(kernels[-1]))
    np.testing.assert_allclose(overfitted.change(kernels, flat), 0, atol=0.05)
    assert np.abs(overfitted.change(kernels, photo())).max() > 10


# --------------------------------------------------------------------------------------- the fit


@every
def test_the_extractor_fitted_against_finds_nothing_in_a_photo_that_looks_the_same(extractor):
    result = fitted(extractor)
    assert result.dtype == np.uint8
    assert result.shape == photo().shape
    assert z(photo(), extractor) > 8
    assert abs(z(result, extractor)) < 0.2
    assert oracles.psnr(photo(), result) > 36


def test_the_extractor_not_fitted_against_still_finds_the_camera():
    assert abs(z(fitted("learned"), "wavelet")) > 3


def test_the_key_decides_and_the_unit_of_the_fingerprint_does_not():
    result = fit(photo(), steps=5)
    np.testing.assert_array_equal(fit(photo().copy(), steps=5), result)
    for scale in (2.0**-100, 2.0**100):
        scaled = fit(photo(), steps=5, k=fingerprint() * np.float32(scale))
        np.testing.assert_array_equal(scaled, result)
    assert np.any(fit(photo(), steps=5, key=jax.random.key(1)) != result)


def test_the_first_step_looks_at_the_photo_and_more_steps_lose_less():
    np.testing.assert_array_equal(fit(photo(), steps=1), photo())
    made = photo(), fit(photo(), steps=5), fitted("learned")
    losses = [slow_loss(x.astype(np.float64), "learned", overfitted.WEIGHT) for x in made]
    assert losses[0] > losses[1] > losses[2]


@pytest.mark.parametrize("level", [0, 1, 128, 255])
def test_a_photo_of_one_colour_comes_through(level):
    flat = np.full((HEIGHT, WIDTH, 3), level, np.uint8)
    np.testing.assert_array_equal(fit(flat, steps=5), flat)


def test_a_fingerprint_of_zeros_changes_nothing():
    zeros = np.zeros((HEIGHT, WIDTH), np.float32)
    np.testing.assert_array_equal(fit(photo(), steps=5, k=zeros), photo())


@every
def test_a_photo_half_black_and_half_saturated_comes_through(extractor):
    burnt = photo().copy()
    burnt[: HEIGHT // 2, : WIDTH // 2] = 0
    burnt[HEIGHT // 2 :, WIDTH // 2 :] = 255
    result = fit(burnt, extractor, steps=20)
    assert oracles.psnr(burnt, result) > 30
    assert abs(z(result, extractor)) < 0.5 * abs(z(burnt, extractor))


# -------------------------------------------------------------------------------------- refusals


def test_without_a_fingerprint_or_with_options_that_do_not_exist_it_is_refused():
    with pytest.raises(InputError, match=f"{HEIGHT}x{WIDTH} and no fingerprint; give"):
        overfitted.fit(KEY, photo(), None)
    with pytest.raises(InputError, match=r'no extractor "dct" .*; choose from wavelet, learned'):
        overfitted.fit(KEY, photo(), fingerprint(), extractor="dct")
    for options in ({"steps": 0}, {"weight": -1.0}, {"weight": float("nan")}):
        with pytest.raises(InputError, match=r"cannot be fitted in .*; choose"):
            overfitted.fit(KEY, photo(), fingerprint(), **options)


def test_without_its_weights_the_learned_extractor_says_where_they_come_from(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.delenv(weights.VARIABLE)
    with pytest.raises(InputError) as error:
        fit(photo())
    assert_one_sentence(str(error.value), weights.folder(), "`dippas fetch learned`")
