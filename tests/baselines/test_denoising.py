"""DnCNN as an anonymiser, against the network written out in NumPy."""

import jax
import numpy as np
import pytest

from dippas_jax.baselines import denoising
from dippas_jax.datasets import synthetic
from dippas_jax.io import weights
from dippas_jax.types import InputError
from tests import learned, oracles
from tests.messages import assert_one_sentence

HEIGHT, WIDTH = 64, 75
KEY = jax.random.key(0)


@pytest.fixture
def small(tmp_path, monkeypatch):
    """A small network with random weights, whose noise is of a few grey levels."""
    tree = learned.stored(0)
    tree["params"]["conv_end"]["kernel"] *= 0.05
    path = tmp_path / weights.NAME
    path.write_bytes(learned.data_of(tree))
    monkeypatch.setenv(weights.VARIABLE, str(path))
    return tree


@pytest.fixture
def real():
    if weights.find() is None:
        pytest.skip("the learned denoiser's weights are not here; `dippas fetch learned` gets them")


def photo():
    return synthetic.expose(synthetic.Camera(), synthetic.scene(0, WIDTH)[:HEIGHT], 0)


def test_every_channel_loses_what_the_network_takes_for_noise(small):
    for sigma in (3.0, 10.0):
        noise = np.stack(
            [learned.oracle(small, photo()[..., c].astype(np.float64), sigma) for c in range(3)], -1
        )
        expected = np.clip(np.round(photo() - noise), 0, 255).astype(np.uint8)
        result = np.asarray(denoising.learned(KEY, photo(), None, sigma=sigma))
        assert result.dtype == np.uint8
        assert np.mean(expected != photo()) > 0.5
        assert np.mean(result != expected) < 1e-3
        assert np.abs(result.astype(int) - expected).max() <= 1


def test_neither_the_key_nor_the_fingerprint_is_looked_at(small):
    blind = denoising.learned(KEY, photo())
    other = denoising.learned(jax.random.key(1), photo(), np.ones((HEIGHT, WIDTH), np.float32))
    np.testing.assert_array_equal(blind, other)


@pytest.mark.parametrize("sigma", [0.0, -1.0, float("nan"), 51.5])
def test_noise_that_the_network_was_not_trained_with_is_refused(sigma):
    with pytest.raises(InputError, match=r"denoising by DnCNN .* cannot be done; choose"):
        denoising.learned(KEY, photo(), sigma=sigma)


def test_without_the_weights_it_says_where_they_come_from(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.delenv(weights.VARIABLE, raising=False)
    with pytest.raises(InputError) as error:
        denoising.learned(KEY, photo())
    assert_one_sentence(str(error.value), weights.folder(), "`dippas fetch learned`")


@pytest.mark.parametrize("level", [0, 1, 128, 255])
def test_the_real_network_leaves_a_flat_photo_flat(level, real):
    flat = np.full((HEIGHT, WIDTH, 3), level, np.uint8)
    np.testing.assert_array_equal(denoising.learned(KEY, flat), flat)


@pytest.mark.slow
def test_the_real_network_takes_more_the_more_noise_it_is_told(real):
    psnr = [
        oracles.psnr(photo(), np.asarray(denoising.learned(KEY, photo(), sigma=sigma)))
        for sigma in (3.0, 5.0, 10.0)
    ]
    assert 48 > psnr[0] > psnr[1] > psnr[2] > 30
