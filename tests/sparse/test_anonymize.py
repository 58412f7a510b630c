"""Photos anonymised in seconds: how much they change, and what is left of a fingerprint."""

import io
import math

import jax
import numpy as np
import pytest
from PIL import Image

from dippas_jax import config
from dippas_jax.datasets import synthetic
from dippas_jax.signal import cells, extractors, tiles
from dippas_jax.sparse import anonymize as sparse
from dippas_jax.sparse import threshold
from tests import oracles

HEIGHT, WIDTH = 65, 71
DONE = {}  # what several tests look at is made once


@pytest.fixture(scope="module")
def photo():
    """A photo of a simulated camera, of odd sides, and the fingerprint of its sensor."""
    camera = synthetic.Camera()
    radiance = synthetic.scene(0, 96)[:HEIGHT, :WIDTH]
    return synthetic.expose(camera, radiance, 0), np.float32(camera.fingerprint(HEIGHT, WIDTH))


def anonymize(pixels, fingerprint=None, key=0, target_psnr=40.0, compensation=1.0, **options):
    given = None if fingerprint is None else fingerprint.tobytes()
    known = (pixels.tobytes(), pixels.dtype.str, given, key, target_psnr, compensation)
    if known in DONE and not options:
        return DONE[known]
    settings = config.Sparse(compensation=compensation)
    version = sparse.anonymize(
        jax.random.key(key), pixels, fingerprint, settings, target_psnr=target_psnr, **options
    )
    if not options:
        DONE[known] = version
    return version


def strongest(pixels, fingerprint):
    return max(map(abs, extractors.scores(pixels, fingerprint).values()))


def by_others(pixels, fingerprint):
    """z-scores by what the method does not steer by: an extractor between two of its own, and an
    estimate of K with errors of its own."""
    estimate = fingerprint + 0.7 * fingerprint.std() * np.random.default_rng(0).standard_normal(
        fingerprint.shape
    )
    noise = {sigma: oracles.residual(pixels, sigma) for sigma in (3.0, 4.0)}
    pairs = ((4.0, fingerprint), (3.0, estimate), (4.0, estimate))
    scores = [oracles.ncc(noise[sigma], oracles.pattern(pixels, k)) for sigma, k in pairs]
    return np.array(scores) * math.sqrt(HEIGHT * WIDTH)


def assert_sound(version, pixels):
    """Pixels like those of the photo, and numbers that say what they are."""
    assert version.pixels.dtype == np.uint8
    assert version.pixels.shape == pixels.shape
    assert version.psnr == pytest.approx(oracles.psnr(version.pixels, pixels), abs=1e-3)
    assert threshold.WEAKEST <= version.settings["threshold"] <= threshold.STRONGEST
    assert np.isfinite(version.settings["alpha"])
    assert version.history is None


@pytest.mark.parametrize(
    ("aware", "target"),
    [
        pytest.param(True, 36.0, marks=pytest.mark.slow),
        pytest.param(True, 42.0, marks=pytest.mark.slow),
        pytest.param(False, 36.0, marks=pytest.mark.slow),
        pytest.param(False, 42.0, marks=pytest.mark.slow),
    ],
)
def test_the_psnr_asked_for_is_met_and_the_photo_left_alone(photo, aware, target):
    pixels, fingerprint = photo
    given = pixels.copy()
    version = anonymize(given, fingerprint if aware else None, target_psnr=target)
    np.testing.assert_array_equal(given, pixels)
    assert_sound(version, pixels)
    assert version.psnr == pytest.approx(target, abs=2 * threshold.CLOSE)


def test_neither_the_extractors_it_steers_by_nor_others_find_a_known_fingerprint(photo):
    pixels, fingerprint = photo
    assert min(extractors.scores(pixels, fingerprint).values()) > 8
    assert by_others(pixels, fingerprint).min() > 8
    version = anonymize(pixels, fingerprint, target_psnr=36.0)
    assert version.psnr == pytest.approx(36, abs=2 * threshold.CLOSE)
    assert version.z == extractors.scores(version.pixels, fingerprint)
    assert strongest(version.pixels, fingerprint) < 3
    assert np.abs(by_others(version.pixels, fingerprint)).max() < 3


def test_the_same_key_gives_the_same_bytes(photo):
    pixels, fingerprint = photo
    one, again = (anonymize(pixels, fingerprint, **x) for x in ({}, {"execution": tiles.PLAIN}))
    assert one.pixels.tobytes() == again.pixels.tobytes()
    assert one[1:] == again[1:]


@pytest.mark.slow
def test_another_key_plants_other_patterns(photo):
    one, other = (anonymize(*photo, key) for key in (0, 3))
    assert one.leakage != other.leakage


def test_the_unit_of_the_fingerprint_does_not_matter(photo):
    pixels, fingerprint = photo
    one, other = anonymize(pixels, fingerprint), anonymize(pixels, 8 * fingerprint)  # no rounding
    assert one.settings["alpha"] == pytest.approx(8 * other.settings["alpha"], rel=1e-4, abs=1e-6)
    difference = np.abs(one.pixels.astype(int) - other.pixels)
    assert difference.max() <= 1
    assert np.mean(difference > 0) < 1e-3


def test_out_of_time_the_first_threshold_has_to_do(photo):
    pixels, fingerprint = photo
    low, high = (
        anonymize(pixels, fingerprint, target_psnr=target, deadline=0.0) for target in (30.0, 48.0)
    )
    assert_sound(low, pixels)
    assert low.pixels.tobytes() == high.pixels.tobytes()
    assert low.settings["threshold"] >= threshold.START


@pytest.mark.parametrize(
    ("target", "limit"),
    [
        (90.0, threshold.WEAKEST),
        pytest.param(5.0, threshold.STRONGEST, marks=pytest.mark.slow),
    ],
)
def test_a_psnr_out_of_reach_gives_the_nearest_threshold_there_is(photo, target, limit):
    version = anonymize(photo[0], target_psnr=target)
    assert_sound(version, photo[0])
    assert version.settings["threshold"] == pytest.approx(limit, rel=0.05)
    assert version.z == {}


@pytest.mark.parametrize(
    "level",
    [127, pytest.param(0, marks=pytest.mark.slow), pytest.param(255, marks=pytest.mark.slow)],
)
def test_a_flat_photo_comes_back_as_it_was(photo, level):
    pixels = np.full((HEIGHT, WIDTH, 3), level, np.uint8)
    version = anonymize(pixels, photo[1])
    np.testing.assert_array_equal(version.pixels, pixels)
    assert version.psnr == np.inf
    assert version.settings["alpha"] == 0


def test_a_fingerprint_of_zeros_is_none_at_all(photo):
    pixels, fingerprint = photo
    version = anonymize(pixels, np.zeros_like(fingerprint))
    assert version.settings["alpha"] == 0
    np.testing.assert_array_equal(version.pixels, anonymize(pixels).pixels)


def test_another_cameras_fingerprint_is_not_put_in(photo):
    """Nothing is to be found, so that next to nothing may be subtracted, and nothing added."""
    pixels, _ = photo
    other = np.float32(synthetic.Camera(seed=9).fingerprint(HEIGHT, WIDTH))
    version = anonymize(pixels, other, target_psnr=36.0)
    assert version.settings["alpha"] >= 0
    assert strongest(version.pixels, other) < 3


def test_no_compensation_stays_none_and_leaves_more(photo):
    plain, balanced = (
        anonymize(photo[0], target_psnr=36.0, compensation=share) for share in (0.0, 1.0)
    )
    assert plain.settings["compensation"] == 0
    assert plain.psnr == pytest.approx(balanced.psnr, abs=0.2)
    kept = [[*version.leakage.values()][1:] for version in (plain, balanced)]
    assert np.abs(kept[1]).max() < np.abs(kept[0]).max()


def test_a_strength_goes_below_its_psnr_only_where_much_would_be_left(photo):
    pixels, _ = photo
    for strength in ("balanced", "strong"):
        found = sparse.anonymize(jax.random.key(0), pixels, None, config.Sparse(strength=strength))
        assert found.psnr > sparse.LEAST_PSNR[strength] - 0.6
        assert found.psnr < config.STRENGTHS[strength], "this photo's noise is strong"
        assert tuple(found.leakage) == cells.NAMES


@pytest.mark.slow
def test_of_a_noisy_photo_the_threshold_clears_the_noise():
    """Its noise alone is worth less than the usual PSNR, so that much has to go."""
    camera = synthetic.Camera(seed=3, strength=0.03)
    pixels = synthetic.expose(camera, synthetic.scene(0, 64), 0)
    fingerprint = np.float32(camera.fingerprint(64, 64))
    assert min(extractors.scores(pixels, fingerprint).values()) > 20
    found = sparse.anonymize(jax.random.key(0), pixels, None)
    assert strongest(found.pixels, fingerprint) < 0.35 * strongest(pixels, fingerprint)
    assert found.settings["threshold"] > 24
    assert 30 < found.psnr < sparse.LEAST_PSNR["balanced"]


def test_a_photo_with_little_noise_keeps_its_faint_texture():
    rng = np.random.default_rng(1)
    texture = 12 * rng.standard_normal((HEIGHT, WIDTH)) * (np.arange(WIDTH) < WIDTH // 4)
    noisy = (90 + texture)[..., None] + 0.6 * rng.standard_normal((HEIGHT, WIDTH, 3))
    pixels = np.round(np.clip(noisy, 0, 255)).astype(np.uint8)
    calm = np.s_[:, WIDTH // 2 :]
    found = sparse.anonymize(jax.random.key(0), pixels, None)
    assert found.psnr > 36
    spread = np.std(found.pixels[calm].astype(float) - pixels[calm])
    assert spread < 0.8, "no more than its noise is taken from the calm half"


def jpeg(array, quality=70):
    buffer = io.BytesIO()
    Image.fromarray(array).save(buffer, "JPEG", quality=quality)
    return np.asarray(Image.open(buffer).convert("RGB"))


@pytest.mark.slow
def test_the_psnr_is_met_behind_a_coarse_jpeg(photo, monkeypatch):
    """Also in tiles whose last row and column are too narrow for any codec."""
    pixels = jpeg(photo[0])
    for side in (tiles.SIDE, 64):
        monkeypatch.setattr(tiles, "SIDE", side)
        version = anonymize(pixels, target_psnr=36.0, codecs=tiles.Codecs(jpeg, jpeg))
        behind = jpeg(version.pixels)
        assert version.psnr == pytest.approx(oracles.psnr(behind, pixels), abs=1e-3)
        assert version.psnr == pytest.approx(36.0, abs=0.5)


@pytest.fixture
def small(monkeypatch):
    """Tiles of 32 pixels, nine of this photo, and the threshold looked for on four of them."""
    monkeypatch.setattr(tiles, "SIDE", 32)
    monkeypatch.setattr(sparse, "FEW", 4)


@pytest.mark.slow
def test_in_tiles_the_psnr_asked_for_is_met_over_the_whole_photo(photo, small):
    version = anonymize(photo[0], target_psnr=38.0)
    assert_sound(version, photo[0])
    assert version.psnr == pytest.approx(38.0, abs=2 * threshold.CLOSE)


@pytest.mark.slow
def test_the_number_of_tiles_at_work_changes_rounding_alone_and_the_work_is_foretold(photo, small):
    pixels, _ = photo
    ticks: list[list] = [[], []]
    alone, together = (
        sparse.anonymize(
            jax.random.key(0),
            pixels,
            None,
            execution=tiles.Execution(tiles.Batches(size), seen.append),
        )
        for size, seen in zip((1, 3), ticks, strict=True)
    )
    difference = np.abs(alone.pixels.astype(int) - together.pixels)
    assert difference.max() <= 1
    assert np.mean(difference > 0) < 1e-3, "no more than rounding"
    assert len(ticks[0]) == len(ticks[1])
    expected = sparse.expected_ticks(*pixels.shape[:2])
    assert 0.5 * expected < len(ticks[0]) < 2 * expected
    known_psnr = [psnr for psnr in ticks[0] if psnr is not None]
    assert known_psnr[-1] == pytest.approx(alone.psnr, abs=0.5)


def test_sixteen_bits_stay_sixteen_bits(photo):
    pixels, _ = photo
    wide = pixels.astype(np.uint16) * 257
    version, narrow = anonymize(wide), anonymize(pixels)
    assert version.pixels.dtype == np.uint16
    assert version.psnr == pytest.approx(40.0, abs=2 * threshold.CLOSE)
    np.testing.assert_allclose(version.pixels / 257, narrow.pixels, atol=1.5)
    assert np.mean(version.pixels % 257 > 0) > 0.9, "between the levels of 8 bits too"


def test_figures_are_those_behind_a_file_that_changes_pixels(photo):
    pixels, fingerprint = photo

    def written(made):
        return np.clip(4 * np.rint(made / 4), 0, 255).astype(np.uint8)

    version = anonymize(pixels, fingerprint, codecs=tiles.Codecs(output=written))
    behind = written(version.pixels)
    assert version.z == extractors.scores(behind, fingerprint)
    assert version.psnr == pytest.approx(oracles.psnr(behind, pixels), abs=1e-3)
