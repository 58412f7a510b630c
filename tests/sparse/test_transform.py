"""Photos from few coefficients: against loops over every block, with SciPy's transform."""

import itertools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.fft

from dippas_jax.signal import tiles
from dippas_jax.sparse import transform
from tests import oracles, tiny

CASES = [((24, 37), 1, 20.0), ((16, 16), 0, 12.7), ((17, 23), 0, 12.0)]
"""Size, seed and threshold, such that no coefficient lies where rounding decides."""

WHITE = jnp.ones((3, 8, 8))
BLOCKS = 16  # what the assumption of white noise weighs

resynthesise = jax.jit(transform.resynthesise)
noise_spectrum = jax.jit(transform.noise_spectrum)
kept_part = jax.jit(transform.kept_part)
rebuild = jax.jit(transform.rebuild)


def opponent(pixels):
    """Planes [3 h w] whose sum of squares is that of the colours."""
    r, g, b = np.moveaxis(np.asarray(pixels, np.float64), -1, 0)
    return np.stack([(r + g + b) / 3**0.5, (r - b) / 2**0.5, (r - 2 * g + b) / 6**0.5])


def colours(planes):
    """The inverse, [h w 3]."""
    mean, warm, green = planes[0] / 3**0.5, planes[1] / 2**0.5, planes[2] / 6**0.5
    return np.stack([mean + warm + green, mean - 2 * green, mean - warm + green], axis=-1)


def every_block(pixels, step=1):
    """Corner and coefficients [3 8 8] of blocks; the photo starts at (8, 8), mirrored all round.

    Blocks start at every `step`-th pixel, as far as whole grids of them reach.
    """
    planes = np.pad(opponent(pixels), [(0, 0), (8, 16), (8, 16)], mode="reflect")
    ends = (8 * math.ceil(side / 8 + 1) for side in pixels.shape[:2])
    for y, x in itertools.product(*(range(0, end, step) for end in ends)):
        block = planes[:, y : y + 8, x : x + 8]
        yield y, x, scipy.fft.dctn(block, axes=(1, 2), norm="ortho")


def kept(found, threshold):
    keep = np.abs(found) >= threshold
    keep[:, 0, 0] = True
    return keep


def distance(pixels, threshold):
    """Of the size nearest to the threshold: where it is small, rounding decides what is kept."""
    means = np.arange(64).reshape(8, 8) == 0
    limits = threshold * np.array([1, 1 - transform.NEAR, 1 + transform.NEAR])[:, None, None]
    return min(
        np.abs(np.abs(found[:, ~means]) - limits).min() for _, _, found in every_block(pixels)
    )


def oracle_spectrum(pixels, threshold):
    """Mean square by frequency, drawn towards the channel's."""
    squares, count = np.zeros((3, 8, 8)), np.zeros((3, 8, 8))
    height, width, _ = pixels.shape
    for y, x, found in every_block(pixels, step=2):
        if y < 8 or x < 8 or y > height or x > width:
            continue  # beyond the photo
        keep = kept(found, threshold)
        for channel in range(3):
            if keep[channel].sum() <= transform.FEW:
                noise = ~keep[channel]
                squares[channel, noise] += found[channel, noise] ** 2
                count[channel, noise] += 1
    squares[:, 0, 0] = count[:, 0, 0] = 0
    for channel in range(3):
        total = count[channel].sum()
        level = squares[channel].sum() / total if squares[channel].sum() > 0 else 1.0
        squares[channel] = (squares[channel] + BLOCKS * level) / (count[channel] + BLOCKS)
    squares[:, 0, 0] = 0
    return squares


def oracle_synthesis(guide, pixels, threshold, spectrum, compensation, largest=transform.LARGEST):
    """`pixels` from the coefficients that `guide` keeps."""
    height, width, _ = pixels.shape
    sums, weights = np.zeros((3, height + 24, width + 24)), np.zeros((height + 24, width + 24))
    for (y, x, found), (_, _, guiding) in zip(every_block(pixels), every_block(guide), strict=True):
        keep = kept(guiding, threshold)
        for channel in range(3):
            noise = np.array(spectrum[channel], np.float64)
            noise[0, 0] = 0
            dropped = ~keep[channel]
            if dropped.any():
                near = np.abs(np.abs(guiding[channel]) - threshold) < transform.NEAR * threshold
                near[0, 0] = False
                left = noise[keep[channel]].sum() + noise[near].sum() / (2 * transform.NEAR)
                share = compensation * left / noise[dropped].sum()
                found[channel, dropped] *= -min(share, largest)
        weight = 1 / keep.sum()
        block = scipy.fft.idctn(found, axes=(1, 2), norm="ortho")
        sums[:, y : y + 8, x : x + 8] += weight * block
        weights[y : y + 8, x : x + 8] += weight
    rebuilt = (sums / np.maximum(weights, 1e-9))[:, 8 : 8 + height, 8 : 8 + width]
    return colours(rebuilt)


def grey(plane):
    """The plane in every channel."""
    return np.repeat(np.asarray(plane, np.float32)[..., None], 3, axis=-1)


def texture(height=64, width=64):
    """Stripes that grow finer to the right and downwards, and noise: float32 [h w 3]."""
    y, x = np.mgrid[:height, :width]
    stripes = 128 + 40 * np.sin(x**2 / 300 + y / 5) + 30 * np.sin(y**2 / 200)
    return grey(stripes) + np.float32(3) * np.random.default_rng(0).standard_normal(
        (height, width, 3), np.float32
    )


@pytest.mark.parametrize(("size", "seed", "threshold"), CASES)
def test_noise_spectrum_is_that_of_the_oracle(size, seed, threshold):
    pixels = oracles.photo(seed, *size)
    assert distance(pixels, threshold) > 1e-3
    expected = oracle_spectrum(pixels, threshold)
    assert expected.std() > 1, "a case that is not white"
    ours = noise_spectrum(pixels, threshold)
    assert ours.dtype == jnp.float32
    np.testing.assert_allclose(ours, expected, rtol=2e-4, atol=1e-6)
    np.testing.assert_array_equal(ours[:, 0, 0], 0)


def test_noise_spectrum_of_a_photo_without_flat_blocks_is_white():
    pixels = oracles.photo(0, 24, 37, noise=30)
    expected = np.ones((3, 8, 8))
    expected[:, 0, 0] = 0
    np.testing.assert_array_equal(oracle_spectrum(pixels, 5.0), expected)
    np.testing.assert_array_equal(noise_spectrum(pixels, 5.0), expected)


@pytest.mark.parametrize("compensation", [0.0, 0.7])
@pytest.mark.parametrize(("size", "seed", "threshold"), CASES)
def test_resynthesis_is_that_of_the_oracle(size, seed, threshold, compensation):
    pixels = oracles.photo(seed, *size)
    spectrum = oracle_spectrum(pixels, threshold).astype(np.float32)
    spectrum[:, 0, 0] = 1e4  # that of means, which are always kept, has no part in it
    expected = oracle_synthesis(pixels, pixels, threshold, spectrum, compensation)
    assert np.abs(expected - pixels).max() > 5, "a case that changes something"
    ours = resynthesise(pixels, threshold, spectrum, compensation)
    assert ours.dtype == jnp.float32
    np.testing.assert_allclose(ours, expected, atol=1e-3)


def test_turned_over_coefficients_of_the_first_case_meet_their_limit():
    size, seed, threshold = CASES[0]
    pixels = oracles.photo(seed, *size)
    u, v = np.mgrid[:8, :8]
    spectrum = np.stack([1.0 / (1 + u + v) ** 4] * 3)  # nearly all where coefficients are kept
    limited = oracle_synthesis(pixels, pixels, threshold, spectrum, 0.7)
    unlimited = oracle_synthesis(pixels, pixels, threshold, spectrum, 0.7, largest=np.inf)
    assert np.abs(limited - unlimited).max() > 0.1
    ours = resynthesise(pixels, threshold, spectrum.astype(np.float32), 0.7)
    np.testing.assert_allclose(ours, limited, atol=1e-3)


@pytest.mark.parametrize(("size", "seed", "threshold"), CASES[:2])
def test_kept_part_is_that_of_the_oracle(size, seed, threshold):
    pixels, pattern = oracles.photo(seed, *size), tiny.fingerprint(*size)
    expected = oracle_synthesis(pixels, grey(pattern), threshold, WHITE, 0.0)[..., 0]
    assert 0.05 < expected.std() / pattern.std() < 0.5
    np.testing.assert_allclose(kept_part(pixels, pattern, threshold), expected, atol=1e-5)


def test_kept_part_is_linear_and_a_constant_is_kept_whole():
    pixels = oracles.photo(0, 24, 37)
    one, other = (tiny.fingerprint(24, 37, seed) for seed in range(2))
    parts = [kept_part(pixels, plane, 12.0) for plane in (one, other, one - 3 * other)]
    np.testing.assert_allclose(parts[0] - 3 * parts[1], parts[2], atol=1e-5)
    constant = np.full((24, 37), -2.5, np.float32)
    np.testing.assert_allclose(kept_part(pixels, constant, 12.0), constant, atol=1e-5)


@pytest.mark.parametrize("compensation", [0.0, 1.0])
def test_threshold_zero_gives_the_photo_back(compensation):
    pixels = oracles.photo(0, 24, 37)
    ours = resynthesise(pixels, 0.0, noise_spectrum(pixels, 0.0), compensation)
    np.testing.assert_allclose(ours, pixels, atol=1e-3)


@pytest.mark.parametrize(
    "colour",
    [(0, 0, 0), (255, 255, 255), (127, 127, 127), (200, 3, 90)],
)
def test_a_flat_photo_stays_flat(colour):
    pixels = np.full((24, 37, 3), colour, np.uint8)
    for threshold in (0.0, 5.0, 64.0):
        spectrum = noise_spectrum(pixels, threshold)
        assert bool(jnp.isfinite(spectrum).all())
        ours = resynthesise(pixels, threshold, spectrum, 1.0)
        np.testing.assert_allclose(ours, pixels, atol=1e-3)


def extremes():
    y, x = np.mgrid[:24, :37]
    single = np.zeros((24, 37, 3), np.uint8)
    single[11, 20, 1] = 255
    rng = np.random.default_rng(0)
    photos = {
        "one-dark-pixel": 255 - 100 * grey((y == 11) & (x == 20)),
        "board": grey(255 * ((x + y) % 2)),
        "halves": grey(255 * (y > 9)),
        "black-and-white": 255 * rng.integers(0, 2, (24, 37, 3)),
        "overexposed": np.minimum(2.0 * oracles.photo(0, 24, 37), 255),
    }
    photos |= {"one-green-pixel": single, "almost-black": grey(rng.integers(0, 2, (24, 37)))}
    return [pytest.param(pixels.astype(np.uint8), id=name) for name, pixels in photos.items()]


@pytest.mark.parametrize("pixels", extremes())
def test_any_photo_gives_finite_levels_that_are_not_far_off(pixels):
    for threshold in (1.0, 12.0, 64.0):
        spectrum = noise_spectrum(pixels, threshold)
        assert bool(jnp.isfinite(spectrum).all())
        for compensation in (0.0, 1.0):
            ours = np.asarray(resynthesise(pixels, threshold, spectrum, compensation))
            assert np.sqrt(np.mean((ours - pixels) ** 2)) < (1 + transform.LARGEST) * threshold


def test_a_batch_and_a_plain_call_give_what_compiled_single_calls_give():
    photos = np.stack([oracles.photo(seed, 24, 37) for seed in range(2)])
    patterns = np.stack([tiny.fingerprint(24, 37, seed) for seed in range(2)])
    thresholds = np.array([20.0, 20.0], np.float32)

    def everything(pixels, pattern, threshold):
        spectrum = transform.noise_spectrum(pixels, threshold)
        rebuilt = transform.resynthesise(pixels, threshold, spectrum, 0.7)
        return spectrum, rebuilt, transform.kept_part(pixels, pattern, threshold)

    batch = jax.jit(jax.vmap(everything))(photos, patterns, thresholds)
    for i in range(2):
        assert distance(photos[i], thresholds[i]) > 1e-3
        spectrum = noise_spectrum(photos[i], thresholds[i])
        rebuilt = resynthesise(photos[i], thresholds[i], spectrum, 0.7)
        part = kept_part(photos[i], patterns[i], thresholds[i])
        for ours, expected in zip(batch, (spectrum, rebuilt, part), strict=True):
            np.testing.assert_allclose(ours[i], expected, rtol=2e-4, atol=1e-3)
    plain = transform.resynthesise(photos[1], 20.0, spectrum, 0.7)
    np.testing.assert_allclose(plain, rebuilt, atol=1e-3)


@jax.jit
def first_order(pixels, change, threshold, compensation):
    """What a change of the photo changes in the output while the same coefficients are kept."""

    def rebuild(x):
        return transform.resynthesise(x, threshold, WHITE, compensation)

    return jax.jvp(rebuild, (pixels,), (change,))[1]


def trace(change, pattern):
    """How much of the pattern there is in the grey of a change."""
    return float(np.sum(oracles.luma(change) * pattern) / np.sum(pattern**2))


def test_kept_part_is_what_resynthesis_keeps_to_first_order():
    pixels, pattern = texture(), tiny.fingerprint()
    ours = kept_part(pixels, pattern, 8.0)
    np.testing.assert_allclose(
        grey(ours), first_order(pixels, grey(pattern), 8.0, 0.0), rtol=1e-4, atol=1e-6
    )


def test_compensation_takes_a_white_pattern_back_but_for_the_means_of_blocks():
    pixels, pattern = texture(), tiny.fingerprint()
    left = []
    for compensation in (0.0, 0.5, 1.0):
        planted, clean = (
            resynthesise(photo, 12.0, WHITE, compensation)
            for photo in (pixels + grey(pattern), pixels)
        )
        left.append(trace(planted - clean, pattern))
    of_means = 1 / 64
    assert left[0] > 0.2
    assert left[1] == pytest.approx((left[0] + left[2]) / 2, abs=0.02)
    assert left[2] == pytest.approx(of_means, abs=0.04)
    kept = trace(first_order(pixels, grey(pattern), 12.0, 0.0), pattern)
    assert left[0] > kept + 0.02, "coefficients that cross the threshold add to what is kept"


@pytest.mark.parametrize("size", [(24, 37), (16, 16), (41, 32)])
def test_tiles_give_what_the_whole_photo_gives(size):
    pixels, pattern = oracles.photo(0, *size), tiny.fingerprint(*size)
    grid = tiles.grid(*size, side=16)

    def region(photo, tile):
        return tiles.cut(photo, tile.top - transform.HALO, tile.left - transform.HALO, 32, 32)

    sums = [transform.noise_sums(region(pixels, tile), 12.0, tile[:2], size) for tile in grid]
    spectrum = transform.spectrum_of(jax.tree.map(lambda *parts: sum(parts), *sums))
    np.testing.assert_allclose(spectrum, noise_spectrum(pixels, 12.0), rtol=1e-4)
    made, kept = np.empty((*size, 3)), np.empty(size)
    for tile in grid:
        one = rebuild(region(pixels, tile), 12.0, spectrum, 0.7, region(pattern, tile))
        made[tile.part], kept[tile.part] = (x[: tile.height, : tile.width] for x in one)
    np.testing.assert_allclose(made, resynthesise(pixels, 12.0, spectrum, 0.7), atol=1e-3)
    np.testing.assert_allclose(kept, kept_part(pixels, pattern, 12.0), atol=1e-5)
