"""What extractors find in photos of one part and of several, and the one compiled residual."""

import math

import numpy as np
import pytest

from dippas_jax.datasets import synthetic
from dippas_jax.signal import extractors, residual, tiles
from tests import oracles

HEIGHT, WIDTH = 101, 150
SIGMAS = {"sigma-2": 2.0, "sigma-3": 3.0, "sigma-5": 5.0}


@pytest.fixture(scope="module")
def photo():
    """A photo of a simulated camera, of odd sides, and the fingerprint of its sensor."""
    camera = synthetic.Camera()
    radiance = synthetic.scene(1, 192)[:HEIGHT, :WIDTH]
    return synthetic.expose(camera, radiance, 0), np.float32(camera.fingerprint(HEIGHT, WIDTH))


@pytest.fixture
def parts(monkeypatch):
    """Parts of 64 pixels a side, six of this photo."""
    monkeypatch.setattr(tiles, "SIDE", 64)
    return [(0, 0, 0), (0, 43, 21), (0, 86, 21), (37, 0, 0), (37, 43, 21), (37, 86, 21)]


def test_the_members_are_the_mixture_by_name():
    assert extractors.NAMES == ("sigma-2", "sigma-3", "sigma-5", "busy")
    plain = {member.name: member.sigma for member in extractors.MEMBERS if not member.busy}
    assert plain == SIGMAS
    assert extractors.named(np.arange(4.0)) == dict(zip(extractors.NAMES, range(4), strict=True))


def test_the_compiled_residual_is_the_residual(photo):
    for sigma in (3.0, 6.0):
        ours = extractors.extract(photo[0], sigma=sigma)
        np.testing.assert_allclose(ours, oracles.residual(photo[0], sigma), atol=2e-3)
    programs = extractors._extract._cache_size()
    usual, told = extractors.extract(photo[0]), extractors.extract(photo[0], sigma=residual.SIGMA)
    np.testing.assert_array_equal(usual, told)
    assert extractors._extract._cache_size() == programs, "a shape is compiled once"


def test_scores_are_the_correlations_of_residuals_in_standard_deviations(photo):
    pixels, fingerprint = photo
    scores = extractors.scores(pixels, fingerprint)
    assert tuple(scores) == extractors.NAMES
    pattern = oracles.pattern(pixels, fingerprint)
    for name, sigma in SIGMAS.items():
        ncc = oracles.ncc(oracles.residual(pixels, sigma), pattern)
        assert scores[name] == pytest.approx(math.sqrt(HEIGHT * WIDTH) * ncc, abs=1e-3)
    assert min(scores.values()) > 5
    other = np.float32(synthetic.Camera(seed=1).fingerprint(HEIGHT, WIDTH))
    assert max(map(abs, extractors.scores(pixels, other).values())) < 4


def test_the_busy_score_does_not_see_what_is_flat(photo):
    pixels, fingerprint = photo
    pixels = pixels.copy()
    pixels[:, :48] = 100
    changed = fingerprint.copy()
    changed[8:-8, 12:36] *= -5
    one, other = extractors.scores(pixels, fingerprint), extractors.scores(pixels, changed)
    assert one["busy"] == pytest.approx(other["busy"], abs=1e-4)
    assert abs(one["sigma-3"] - other["sigma-3"]) > 1


def test_a_photo_without_noise_has_no_score(photo):
    flat = np.full((HEIGHT, WIDTH, 3), 90, np.uint8)
    assert all(map(math.isnan, extractors.scores(flat, photo[1]).values()))
    nothing = np.zeros((HEIGHT, WIDTH), np.float32)
    assert all(map(math.isnan, extractors.scores(photo[0], nothing).values()))


def test_scores_of_several_parts_are_those_of_their_sums(photo, parts):
    pixels, fingerprint = photo
    scores = extractors.scores(pixels, fingerprint)
    for name, sigma in SIGMAS.items():
        sums = np.zeros(3)
        for top, left, across in parts:
            down = 27 if top else 0
            part = slice(top, top + 64), slice(left, left + 64)
            new = np.s_[down:, across:]
            plane = oracles.residual(pixels[part], sigma)[new]
            pattern = oracles.pattern(pixels, fingerprint)[part][new]
            sums += np.sum(plane * pattern), np.sum(plane**2), np.sum(pattern**2)
        z = sums[0] / math.sqrt(sums[1] * sums[2]) * math.sqrt(HEIGHT * WIDTH)
        assert scores[name] == pytest.approx(z, abs=1e-3)


def test_parts_find_what_the_whole_photo_does(photo, monkeypatch):
    whole = extractors.scores(*photo)
    monkeypatch.setattr(tiles, "SIDE", 64)
    apart = extractors.scores(*photo)
    assert min(whole.values()) > 5
    for name, z in whole.items():
        assert apart[name] == pytest.approx(z, rel=0.2)  # the busy half is that of each part


def test_batches_change_no_score_and_every_part_is_told_of(photo, parts):
    ticks = []
    alone, together = (
        extractors.scores(
            *photo, execution=tiles.Execution(tiles.Batches(size), on_tile=ticks.append)
        )
        for size in (1, 4)
    )
    assert alone == pytest.approx(together, rel=1e-4)
    assert ticks == [None] * 2 * len(parts)


def test_sixteen_bits_are_the_same_photo(photo):
    pixels, fingerprint = photo
    wide = pixels.astype(np.uint16) * 257
    assert extractors.scores(wide, fingerprint) == pytest.approx(
        extractors.scores(pixels, fingerprint), rel=1e-4
    )
