"""What holds for every photo, however odd its size and poor its content.

Sizes are drawn from a few, since each is a program of its own; what varies freely is the content.
"""

import hypothesis
import jax
import jax.numpy as jnp
import numpy as np
from hypothesis import strategies as st

from dippas_jax.forensics import identification
from dippas_jax.signal import correlation, extractors, fingerprint
from tests import oracles, tiny

SIZES = [(64, 64), (71, 130)]
EXAMPLES = hypothesis.settings(
    deadline=None, max_examples=16, derandomize=True, database=None, print_blob=True
)

update = jax.jit(fingerprint.update)
estimate = jax.jit(fingerprint.estimate)


def _flat(draw, height, width):
    level = draw(st.sampled_from([0, 1, 127, 254, 255]))
    return np.full((height, width, 3), level, np.uint8)


def _single(draw, height, width):
    """One pixel, and often one channel of it, unlike all others."""
    pixels = _flat(draw, height, width)
    y, x = draw(st.integers(0, height - 1)), draw(st.integers(0, width - 1))
    pixels[y, x, draw(st.integers(0, 2)) :] ^= 255
    return pixels


def _checkerboard(draw, height, width):
    period = draw(st.sampled_from([1, 2, 4, 8]))
    y, x = np.ogrid[:height, :width]
    board = (y // period + x // period) % 2
    return np.repeat(255 * board[..., None], 3, axis=-1).astype(np.uint8)


def _halves(draw, height, width):
    pixels = np.zeros((height, width, 3), np.uint8)
    pixels[: draw(st.integers(1, height))] = 255
    return pixels


def _extremes(draw, height, width):
    """Black or white at random: no pixel that is not saturated."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    return 255 * rng.integers(0, 2, (height, width, 3), np.uint8)


def _ordinary(draw, height, width):
    return oracles.photo(draw(st.integers(0, 2**32)), height, width)


def extract(pixels):
    """The residual, by the program that identification runs too."""
    return np.asarray(extractors.extract(jnp.float32(pixels)))


CONTENTS = [_flat, _single, _checkerboard, _halves, _extremes, _ordinary]


@st.composite
def photos(draw, contents=tuple(CONTENTS), types=(np.uint8, np.float32)):
    """A photo in grey levels, [h w 3]."""
    height, width = draw(st.sampled_from(SIZES))
    pixels = draw(st.sampled_from(contents))(draw, height, width)
    return pixels.astype(draw(st.sampled_from(types)))


def _same(one, other, tolerance):
    """Equal, both nan, or both infinite."""
    np.testing.assert_allclose(one, other, rtol=tolerance, atol=tolerance)


@EXAMPLES
@hypothesis.given(photos())
def test_residual_of_any_photo_is_finite_and_that_of_the_oracle(pixels):
    ours = extract(pixels)
    assert ours.shape == pixels.shape[:2]
    assert ours.dtype == np.float32
    assert np.isfinite(ours).all()
    np.testing.assert_allclose(ours, oracles.residual(pixels), atol=2e-3)


@EXAMPLES
@hypothesis.given(photos(types=(np.uint8,)), st.integers(1, 3))
def test_fingerprint_of_any_photos_is_finite_and_that_of_the_oracle(pixels, count):
    sums = fingerprint.init(*pixels.shape[:2])
    for _ in range(count):
        sums = update(sums, pixels)
    ours = np.asarray(estimate(sums))
    assert np.isfinite(ours).all()
    np.testing.assert_allclose(ours, oracles.fingerprint([pixels] * count), atol=2e-3)


@EXAMPLES
@hypothesis.given(photos())
def test_scores_of_any_photo_are_all_defined_or_all_not(pixels):
    planes = np.stack([tiny.fingerprint(*pixels.shape[:2], seed) for seed in range(2)])
    match = identification.compare(pixels, planes)
    undefined = not np.any(extract(pixels)) or not pixels.any()
    for scores in (match.ncc, match.z, match.pce, match.p_value, match.spread):
        assert np.isnan(scores).all() if undefined else np.isfinite(scores).all()
    if not undefined:
        assert (np.abs(match.ncc) <= 1).all()
        assert ((match.p_value >= 0) & (match.p_value <= 1)).all()
        assert (match.p_value > 1e-7).all(), "a fingerprint that has nothing to do with it"
        assert (match.spread >= 1).all()


@EXAMPLES
@hypothesis.given(photos(), st.floats(1e-6, 1e6))
def test_the_unit_of_a_fingerprint_changes_no_score(pixels, scale):
    plane = tiny.fingerprint(*pixels.shape[:2])
    one = identification.compare(pixels, plane[None])
    other = identification.compare(pixels, np.float32(scale) * plane[None])
    for name in ("ncc", "z", "spread"):
        _same(getattr(one, name), getattr(other, name), 1e-4)
    _same(one.pce, other.pce, 1e-3)


@EXAMPLES
@hypothesis.given(photos())
def test_an_opposite_fingerprint_gives_opposite_scores(pixels):
    plane = tiny.fingerprint(*pixels.shape[:2])
    match = identification.compare(pixels, np.stack([plane, -plane]))
    _same(match.ncc[0], -match.ncc[1], 1e-6)
    _same(match.pce[0], -match.pce[1], 1e-4)
    _same(match.p_value[0] + match.p_value[1], 1 if match.p_value[0] >= 0 else np.nan, 1e-4)


@EXAMPLES
@hypothesis.given(photos(), st.integers(0, 2**32))
def test_a_search_of_any_photo_finds_a_defined_position_or_says_there_is_none(pixels, seed):
    height, width = pixels.shape[:2]
    plane = np.random.default_rng(seed).standard_normal((height + 9, width)).astype(np.float32)
    match = identification.search(pixels, plane)
    assert np.isnan(match.p_value) == np.isnan(match.ncc)
    if not np.isnan(match.ncc):
        assert match.p_value > 1e-7
        assert abs(match.ncc) <= 1
    assert 0 <= match.shift[0] <= 9
    assert -width // 2 <= match.shift[1] < width / 2


@EXAMPLES
@hypothesis.given(st.sampled_from(SIZES), st.integers(0, 2**32), st.data())
def test_the_shift_of_a_photo_is_found(size, seed, data):
    height, width = size
    plane = tiny.fingerprint(height + 9, width)
    top, left = data.draw(st.integers(0, 9)), data.draw(st.integers(-width // 2 + 1, width // 2))
    there = np.roll(plane, -left, 1)[top : top + height]
    match = identification.search(oracles.photo(seed, height, width, 14 * there), plane)
    assert match.shift[0] == top
    assert (match.shift[1] - left) % width == 0


@EXAMPLES
@hypothesis.given(photos(), photos())
def test_linking_is_symmetric_and_a_photo_agrees_with_itself(a, b):
    itself = identification.link(a, a)
    assert np.isnan(itself.ncc) or abs(itself.ncc - 1) < 1e-5
    if a.shape == b.shape:
        _same(identification.link(a, b).ncc, identification.link(b, a).ncc, 1e-5)


@EXAMPLES
@hypothesis.given(
    st.sampled_from(SIZES), st.sampled_from([0.0, 1.0, -3.0, 1e-18, 1e15]), st.integers(0, 2**32)
)
def test_correlations_stay_in_their_range_at_any_scale(size, scale, seed):
    a, b = np.random.default_rng(seed).standard_normal((2, *size)).astype(np.float32)
    ncc = correlation.ncc(np.float32(scale) * a, b)
    assert bool(jnp.isnan(ncc)) == (scale == 0)
    if scale:
        assert abs(float(ncc) - np.sign(scale) * oracles.ncc(a, b)) < 1e-5
        surface = correlation.circular_cross_correlation(np.float32(scale) * a, b)
        assert bool(jnp.isfinite(surface).all())
        assert float(jnp.abs(surface).max()) <= 1 + 1e-5
        assert np.isfinite(correlation.pce_at_zero(surface))
