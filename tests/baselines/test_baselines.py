"""Baselines: the contract of all, what the search finds against brute force, and what it hides."""

import functools
import re

import jax
import numpy as np
import pytest

from dippas_jax import baselines
from dippas_jax.baselines import denoising, subtraction
from dippas_jax.cli import anonymize_arguments
from dippas_jax.datasets import synthetic
from dippas_jax.io import weights
from dippas_jax.signal import correlation, fingerprint, residual
from dippas_jax.types import InputError
from tests import learned, oracles

HEIGHT, WIDTH = 96, 136  # blocks of 64x64, 64x8, 32x64, 32x8
KEY = jax.random.key(0)
CAMERA = synthetic.Camera()

LEARNED = ("dncnn", "overfitted_learned")  # here with random weights, which find nothing
SLOW = ("overfitted_wavelet", "overfitted_learned", "inpainting_5x5")


def over(names):
    """A test of each of these methods."""
    marked = [pytest.param(one, marks=pytest.mark.slow) if one in SLOW else one for one in names]
    return pytest.mark.parametrize("name", marked)


every = over(baselines.METHODS)
_update, _estimate = jax.jit(fingerprint.update), jax.jit(fingerprint.estimate)


@pytest.fixture(autouse=True)
def small_network(tmp_path, monkeypatch):
    """Weights of a DnCNN of five channels, whose noise is of a few grey levels."""
    tree = learned.stored(0)
    tree["params"]["conv_end"]["kernel"] *= 0.05
    (tmp_path / weights.NAME).write_bytes(learned.data_of(tree))
    monkeypatch.setenv(weights.VARIABLE, str(tmp_path / weights.NAME))


@functools.cache
def photo(index=0):
    """A scene taken with the camera."""
    size = max(HEIGHT, WIDTH)
    return synthetic.expose(CAMERA, synthetic.scene(index, size)[:HEIGHT, :WIDTH], index)


@functools.cache
def fingerprints():
    """Estimates of the camera's K from even and from odd flats, and what was planted."""
    flats = list(synthetic.flats(CAMERA, HEIGHT, WIDTH, 8))
    halves = [
        np.asarray(
            _estimate(functools.reduce(_update, flats[i::2], fingerprint.init(HEIGHT, WIDTH)))
        )
        for i in (0, 1)
    ]
    return *halves, CAMERA.fingerprint(HEIGHT, WIDTH)


@jax.jit
def z_score(pixels, k):
    ncc = correlation.ncc(residual.residual(pixels), correlation.pattern(pixels, k))
    return correlation.z_score(ncc, HEIGHT, WIDTH)


def z(pixels, k):
    return float(z_score(np.asarray(pixels), np.asarray(k, np.float32)))


def unit(k):
    """K at a root mean square of 1."""
    return (k / np.sqrt(np.mean(np.square(k, dtype=np.float64)))).astype(np.float32)


def slow_subtract(pixels, k, strength):
    """clip(round(I - α·I·K)) in float64."""
    values = pixels * (1 - np.asarray(strength, np.float64) * k.astype(np.float64))[..., None]
    return np.clip(np.round(values), 0, 255).astype(np.uint8)


def slow_z(pixels, k):
    ncc = oracles.ncc(oracles.residual(pixels), oracles.pattern(pixels, k))
    return ncc * np.sqrt(HEIGHT * WIDTH)


# ---------------------------------------------------------------------------------- all methods


@every
def test_a_method_gives_a_photo_of_the_same_kind_that_the_arguments_decide(name):
    anonymize = baselines.METHODS[name].anonymize
    k = fingerprints()[0]
    result = anonymize(KEY, photo(), k)
    assert result.dtype == np.uint8
    assert result.shape == photo().shape
    least = 12 if baselines.METHODS[name].moves else 25
    assert least < oracles.psnr(photo(), np.asarray(result)) < 80, "changed, and not spoiled"
    np.testing.assert_array_equal(result, anonymize(KEY, photo().copy(), k.copy()))


@every
def test_a_method_weakens_the_fingerprint(name):
    if name in LEARNED:
        pytest.skip("with random weights it weakens nothing; its own tests have a small camera")
    k = fingerprints()[0]
    assert z(photo(), k) > 8
    assert abs(z(baselines.METHODS[name].anonymize(KEY, photo(), k), k)) < 0.7 * z(photo(), k)


@every
def test_the_aware_methods_ask_for_a_fingerprint_and_the_others_do_not_look_at_one(name):
    method = baselines.METHODS[name]
    if method.aware:
        with pytest.raises(InputError, match=f"{HEIGHT}x{WIDTH} and no fingerprint; give"):
            method.anonymize(KEY, photo(), None)
    else:
        blind = method.anonymize(KEY, photo(), None)
        np.testing.assert_array_equal(blind, method.anonymize(KEY, photo(), fingerprints()[0]))


@every
@pytest.mark.parametrize("level", [0, 1, 128, 255])
def test_a_photo_of_one_colour_comes_through(name, level):
    plain = np.full((HEIGHT, WIDTH, 3), level, np.uint8)
    result = np.asarray(baselines.METHODS[name].anonymize(KEY, plain, fingerprints()[0]))
    if name == "dncnn":  # a network takes some of any brightness for noise
        assert np.abs(result.astype(int) - plain).max() <= 10
        return
    np.testing.assert_array_equal(result, plain)


@every
def test_a_photo_half_black_and_half_saturated_comes_through(name):
    burnt = photo().copy()
    burnt[: HEIGHT // 2, : WIDTH // 2] = 0
    burnt[HEIGHT // 2 :, WIDTH // 2 :] = 255
    result = np.asarray(baselines.METHODS[name].anonymize(KEY, burnt, fingerprints()[0]))
    assert oracles.psnr(burnt, result) > (8 if baselines.METHODS[name].moves else 20)
    assert np.isfinite(z(result, fingerprints()[0]))


def test_every_method_says_where_it_comes_from():
    for method in baselines.METHODS.values():
        assert any(word in method.source for word in ("(known)", "(reconstructed)"))
        assert re.search(r"20[01]\d|existing programs|the image model", method.source)


def test_what_is_offered_to_people_needs_no_fingerprint():
    assert all(not baselines.METHODS[name].aware for name in baselines.OFFERED)
    assert tuple(baselines.OFFERED) == anonymize_arguments.OTHERS
    for name, found in baselines.OFFERED.items():
        assert baselines.found(name) == found
        assert bool(found) or not baselines.METHODS[name].moves, "nothing measures what is left"
    assert baselines.found("sparse") == ""


@every
@pytest.mark.parametrize("size", [(64, 64), (65, 101)])
def test_small_and_odd_sizes_and_grey_photos_come_through(name, size):
    method = baselines.METHODS[name]
    rows, columns = (slice(None, side) for side in size)
    grey = np.repeat(photo()[rows, columns, 1:2], 3, -1)
    result = np.asarray(method.anonymize(KEY, grey, fingerprints()[0][rows, columns]))
    assert result.shape == (*size, 3)
    if name.startswith("overfitted"):
        return  # its kernels mix the channels
    np.testing.assert_array_equal(np.ptp(result, axis=-1), 0)


# ---------------------------------------------------------------------------------- subtraction


def test_subtraction_is_that_of_the_oracle():
    k = unit(fingerprints()[0])
    for strength in (0.0, 0.003, -0.01, 0.25):
        ours = subtraction.subtract(photo(), k, strength)
        # A product that lies on a half may round either way in float32.
        assert np.mean(np.asarray(ours) != slow_subtract(photo(), k, strength)) < 1e-4
    np.testing.assert_array_equal(subtraction.subtract(photo(), k, 0.0), photo())


def test_a_fingerprint_of_another_size_is_refused():
    k = fingerprints()[0]
    for other in (k.T, k[:-1], k[None]):
        with pytest.raises(InputError, match=f"came with a photo of {HEIGHT}x{WIDTH}; give that"):
            subtraction.prepared(photo(), other)


def test_a_strength_for_every_pixel_is_that_of_each():
    k = unit(fingerprints()[0])
    plane = np.zeros((HEIGHT, WIDTH), np.float32)
    plane[:, WIDTH // 2 :] = 0.01
    ours = np.asarray(subtraction.subtract(photo(), k, plane))
    whole = np.asarray(subtraction.subtract(photo(), k, 0.01))
    np.testing.assert_array_equal(ours[:, : WIDTH // 2], photo()[:, : WIDTH // 2])
    np.testing.assert_array_equal(ours[:, WIDTH // 2 :], whole[:, WIDTH // 2 :])


@pytest.mark.parametrize("sign", [1, -1])
def test_the_search_finds_the_strength_that_a_grid_finds(sign):
    k = sign * unit(fingerprints()[0])
    found = subtraction.strength(photo(), k)
    step = 1e-4
    grid = sign * np.arange(0, 60) * step
    scores = np.array([slow_z(slow_subtract(photo(), k, alpha), k) for alpha in grid])
    crossing = int(np.argmax(scores * sign < 0))
    assert 5 < crossing < 50, "the grid holds the crossing, and the start is far from it"
    assert sign * float(found.strength) == pytest.approx(abs(grid[crossing]), abs=1.5 * step)
    there = slow_z(slow_subtract(photo(), k, float(found.strength)), k)
    assert float(found.z) == pytest.approx(there, abs=0.02)
    assert abs(there) < 0.1 < 8 < abs(scores[0])


def test_the_search_ends_at_zero_with_a_photo_that_looks_the_same():
    k = fingerprints()[0]
    for index in (0, 1):
        for method in (subtraction.search, subtraction.search_blocks):
            result = np.asarray(method(KEY, photo(index), k))
            assert abs(slow_z(result, k)) < 0.1
            assert oracles.psnr(photo(index), result) > 50


def test_the_search_hides_from_the_fingerprint_it_was_given_only():
    first, second, planted = fingerprints()
    result = subtraction.search(KEY, photo(), first)
    for other in (second, planted):
        assert z(photo(), other) > 8
        assert z(result, other) > 3


def test_blocks_are_searched_each_for_itself():
    first = fingerprints()[0]

    def blocks(pixels):
        noise = oracles.residual(np.asarray(pixels))
        z = oracles.ncc_blocks(noise, oracles.pattern(np.asarray(pixels), first), 64)
        return np.sqrt(np.mean(np.square(z[:, :2] * np.array([[64], [45]]))))

    together = subtraction.search(KEY, photo(1), first)
    apart = subtraction.search_blocks(KEY, photo(1), first)
    assert blocks(apart) < 0.5 * blocks(together)


@over([name for name, method in baselines.METHODS.items() if method.aware])
def test_the_unit_of_the_fingerprint_does_not_matter_and_zeros_change_nothing(name):
    anonymize = baselines.METHODS[name].anonymize
    k = fingerprints()[0]
    result = anonymize(KEY, photo(), k)
    for scale in (2.0**-100, 2.0**-8, 2.0**100):
        np.testing.assert_array_equal(result, anonymize(KEY, photo(), k * np.float32(scale)))
    np.testing.assert_array_equal(anonymize(KEY, photo(), np.zeros_like(k)), photo())


def test_least_squares_is_that_of_the_oracle():
    k = unit(fingerprints()[0])
    beta = 0.0
    for _ in range(3):
        result = slow_subtract(photo(), k, beta)
        pattern = oracles.pattern(result, k)
        beta += np.sum(oracles.residual(result) * pattern) / np.sum(pattern**2)
    expected = slow_subtract(photo(), k, beta)
    assert np.mean(expected != photo()) > 0.05
    assert np.mean(expected != np.asarray(subtraction.least_squares(KEY, photo(), k))) < 1e-3


def test_passes_of_least_squares_end_where_the_search_does():
    k = fingerprints()[0]
    left = [
        abs(z(subtraction.least_squares(KEY, photo(), k, passes=passes), k))
        for passes in (0, 1, 2, 3, 12)
    ]
    assert left == sorted(left, reverse=True)
    assert left[0] == abs(z(photo(), k))
    assert left[-1] < 0.1


# ------------------------------------------------------------------------------------ denoising


@pytest.mark.parametrize(("sigma", "times"), [(3.0, 0), (3.0, 1), (5.0, 4)])
def test_denoising_is_the_oracles_repeated_and_rounded_once(sigma, times):
    planes = photo().astype(np.float64)
    for _ in range(times):
        for channel in range(3):
            planes[..., channel] -= oracles.denoising_residual(planes[..., channel], sigma)
    expected = np.clip(np.round(planes), 0, 255).astype(np.uint8)
    result = np.asarray(denoising.repeated(KEY, photo(), sigma=sigma, times=times))
    assert np.mean(result != expected) < 1e-3
    assert np.abs(result.astype(int) - expected).max() <= 1


def test_more_passes_and_a_larger_sigma_take_more():
    def psnr(sigma, times):
        result = denoising.repeated(KEY, photo(), sigma=sigma, times=times)
        return oracles.psnr(photo(), np.asarray(result))

    assert psnr(3.0, 1) > psnr(3.0, 2) > psnr(3.0, 10)
    assert psnr(3.0, 1) > psnr(5.0, 1)


@pytest.mark.parametrize(("sigma", "times"), [(0.0, 1), (-1.0, 1), (float("nan"), 1), (3.0, -1)])
def test_denoising_that_cannot_be_done_is_refused(sigma, times):
    with pytest.raises(InputError, match=r"denoising .* cannot be done; choose"):
        denoising.repeated(KEY, photo(), sigma=sigma, times=times)
