"""Photos anonymised in seconds: how much they change, and what is left of a fingerprint."""

import io
import math

import jax
import numpy as np
import pytest
from PIL import Image

from dippas_jax import config
from dippas_jax.datasets import synthetic
from dippas_jax.signal import extractors, tiles
from dippas_jax.sparse import anonymize as sparse
from dippas_jax.sparse import leakage, threshold, transform
from tests import oracles

HEIGHT, WIDTH = 65, 71


@pytest.fixture(scope="module")
def photo():
    """A photo of a simulated camera, of odd sides, and the fingerprint of its sensor."""
    camera = synthetic.Camera()
    radiance = synthetic.scene(0, 96)[:HEIGHT, :WIDTH]
    return synthetic.expose(camera, radiance, 0), np.float32(camera.fingerprint(HEIGHT, WIDTH))


def anonymize(pixels, fingerprint=None, key=0, target_psnr=40.0, compensation=0.7, **options):
    settings = config.Sparse(compensation=compensation)
    return sparse.anonymize(
        jax.random.key(key), pixels, fingerprint, settings, target_psnr=target_psnr, **options
    )


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


@pytest.mark.parametrize("aware", [False, True], ids=["blind", "aware"])
@pytest.mark.parametrize("target", [38.0, 42.0])
def test_the_psnr_asked_for_is_met_and_the_photo_left_alone(photo, target, aware):
    pixels, fingerprint = photo
    given = pixels.copy()
    version = anonymize(given, fingerprint if aware else None, target_psnr=target)
    np.testing.assert_array_equal(given, pixels)
    assert_sound(version, pixels)
    assert version.psnr == pytest.approx(target, abs=threshold.CLOSE)


@pytest.mark.parametrize("target", [38.0, 42.0])
def test_neither_the_extractors_it_steers_by_nor_others_find_a_known_fingerprint(photo, target):
    pixels, fingerprint = photo
    assert min(extractors.scores(pixels, fingerprint).values()) > 8
    assert by_others(pixels, fingerprint).min() > 8
    for key in range(2):
        version = anonymize(pixels, fingerprint, key, target)
        assert version.z == extractors.scores(version.pixels, fingerprint)
        assert strongest(version.pixels, fingerprint) < 3
        assert np.abs(by_others(version.pixels, fingerprint)).max() < 3


def test_a_blind_version_does_not_depend_on_the_key(photo):
    one, other = (anonymize(photo[0], key=key) for key in range(2))
    assert one.settings["alpha"] == other.settings["alpha"] == 0
    assert one.z == {}
    assert one.pixels.tobytes() == other.pixels.tobytes()


def test_the_same_key_gives_the_same_bytes_and_another_key_other_scores(photo):
    pixels, fingerprint = photo
    one, again, other = (anonymize(pixels, fingerprint, key) for key in (0, 0, 3))
    assert one.pixels.tobytes() == again.pixels.tobytes()
    assert one[1:] == again[1:]
    alphas = [version.settings["alpha"] for version in (one, other)]
    assert abs(alphas[0] - alphas[1]) > 0.1 * abs(alphas[0])
    scores = [
        np.array(list(extractors.scores(version.pixels, fingerprint).values()))
        for version in (one, other)
    ]
    assert np.abs(scores[0] - scores[1]).max() > 0.5, "not all aim at the same correlation"


def test_the_unit_of_the_fingerprint_does_not_matter(photo):
    pixels, fingerprint = photo
    one, other = anonymize(pixels, fingerprint), anonymize(pixels, 7 * fingerprint)
    assert one.settings["alpha"] == pytest.approx(7 * other.settings["alpha"], rel=1e-3)
    assert one.leakage == {}, "nothing is followed where a PSNR is met whatever is left"
    difference = np.abs(one.pixels.astype(int) - other.pixels)
    assert difference.max() <= 1
    assert np.mean(difference > 0) < 1e-3, "no more than rounding"


def test_out_of_time_the_first_threshold_has_to_do(photo):
    pixels, fingerprint = photo
    low, high = (
        anonymize(pixels, fingerprint, target_psnr=target, deadline=0.0) for target in (30.0, 48.0)
    )
    assert_sound(low, pixels)
    assert low.pixels.tobytes() == high.pixels.tobytes()
    assert abs(low.psnr - 30) > threshold.CLOSE
    assert abs(high.psnr - 48) > threshold.CLOSE


@pytest.mark.parametrize(
    ("target", "limit"), [(5.0, threshold.STRONGEST), (90.0, threshold.WEAKEST)]
)
def test_a_psnr_out_of_reach_gives_the_nearest_threshold_there_is(photo, target, limit):
    pixels, fingerprint = photo
    version = anonymize(pixels, fingerprint, target_psnr=target)
    assert_sound(version, pixels)
    assert version.settings["threshold"] == pytest.approx(limit, rel=0.05)


@pytest.mark.parametrize("level", [0, 127, 255])
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


def test_a_fingerprint_only_where_the_photo_is_calm_is_taken_out_all_the_same():
    rng = np.random.default_rng(0)
    busy = 128 + 40 * rng.standard_normal((HEIGHT, WIDTH, 3))
    fingerprint = np.zeros((HEIGHT, WIDTH), np.float32)
    fingerprint[8:-8, 6:16] = 0.03 * rng.standard_normal((HEIGHT - 16, 10))
    calm = 100 * (1 + fingerprint[:, :24, None]) + rng.standard_normal((HEIGHT, 24, 3))
    busy[:, :24] = calm
    pixels = np.clip(np.round(busy), 0, 255).astype(np.uint8)
    assert extractors.scores(pixels, fingerprint)["sigma-3"] > 30
    version = anonymize(pixels, fingerprint, deadline=0.0)
    scores = extractors.scores(version.pixels, fingerprint)
    assert np.isnan(scores.pop("busy"))
    assert np.isfinite(version.settings["alpha"])
    assert abs(np.mean(list(scores.values()))) < 3


def leakage_of(pixels, version, **changes):
    """The leakage at a version's settings, or at others."""
    plant = jax.random.fold_in(jax.random.key(0), 1)
    codecs = changes.pop("codecs", tiles.LOSSLESS)
    settings = version.settings | changes
    return leakage.leakage(
        plant, pixels, settings["threshold"], settings["compensation"], codecs=codecs
    )


def test_where_too_much_would_be_left_more_is_taken_back_first(photo):
    pixels, _ = photo
    settings = {"target_psnr": 38.0, "compensation": 0.3}
    exact = anonymize(pixels, **settings)
    most, least = (max(leakage_of(pixels, exact, compensation=c).values()) for c in (0.3, 1.0))
    assert most > least + 0.2
    limit = (most + least) / 2
    careful = anonymize(pixels, max_leakage=limit, **settings)
    assert careful.settings["threshold"] == exact.settings["threshold"]
    assert 0.3 < careful.settings["compensation"] < 1
    assert careful.leakage == leakage_of(pixels, careful)
    assert limit - 0.1 < max(careful.leakage.values()) <= limit
    assert careful.psnr < exact.psnr


def test_a_photo_whose_noise_would_be_kept_is_made_from_fewer_coefficients(photo):
    pixels, _ = photo
    settings = {"target_psnr": 46.0, "compensation": 1.0}
    exact, weaker = (anonymize(pixels, max_leakage=most, **settings) for most in (np.inf, 0.1))
    assert max(leakage_of(pixels, exact).values()) > 0.1
    assert weaker.leakage == leakage_of(pixels, weaker)
    assert max(weaker.leakage.values()) <= 0.1
    assert weaker.settings["threshold"] > exact.settings["threshold"]
    assert weaker.psnr < exact.psnr - 1
    hurried = anonymize(pixels, target_psnr=46.0, max_leakage=0.1, deadline=0.0)
    assert hurried.settings["threshold"] == 12, "the first one"


@pytest.mark.slow
def test_however_much_is_left_the_psnr_stays_above_a_floor(photo):
    pixels, _ = photo
    version = anonymize(pixels, target_psnr=42.0, max_leakage=-9.0)
    assert version.settings["compensation"] == 1
    assert version.psnr == pytest.approx(threshold.LEAST_PSNR, abs=0.2)


def test_no_compensation_stays_none(photo):
    version = anonymize(photo[0], target_psnr=42.0, compensation=0.0, max_leakage=0.3)
    assert version.settings["compensation"] == 0
    assert max(version.leakage.values()) <= 0.3


@pytest.mark.parametrize("aware", [False, True], ids=["blind", "aware"])
def test_without_a_target_the_strength_says_the_psnr_and_the_leakage(photo, aware):
    pixels, fingerprint = photo
    known = fingerprint if aware else None
    limit = sparse.MAX_LEAKAGE["aware" if aware else "blind"]
    for strength in ("balanced", "strong"):
        settings = config.Sparse(strength=strength, compensation=0.7)
        found = sparse.anonymize(jax.random.key(0), pixels, known, settings)
        same = anonymize(pixels, known, target_psnr=config.STRENGTHS[strength], max_leakage=limit)
        assert found.pixels.tobytes() == same.pixels.tobytes()
        assert found[1:] == same[1:]
        assert max(found.leakage.values()) <= limit
        assert found.psnr <= config.STRENGTHS[strength] + threshold.CLOSE


def jpeg(array, quality=70):
    buffer = io.BytesIO()
    Image.fromarray(array).save(buffer, "JPEG", quality=quality)
    return np.asarray(Image.open(buffer).convert("RGB"))


@pytest.mark.slow
def test_the_psnr_is_met_behind_a_coarse_jpeg(photo, monkeypatch):
    def coarse(array):
        return jpeg(array, 15)

    pixels = coarse(photo[0])
    for side in (tiles.SIDE, 32):  # in one tile, and in nine
        monkeypatch.setattr(tiles, "SIDE", side)
        version = anonymize(pixels, target_psnr=38.0, codecs=tiles.Codecs(coarse, coarse))
        behind = coarse(version.pixels)
        assert version.psnr == pytest.approx(oracles.psnr(behind, pixels), abs=1e-3)
        before = oracles.psnr(version.pixels, pixels)
        assert abs(version.psnr - 38) < 0.5 * abs(before - 38), "not so before it is written"


@pytest.mark.slow
def test_what_a_jpeg_leaves_is_followed_where_the_photo_came_as_one(photo):
    pixels, _ = photo
    codecs = tiles.Codecs(jpeg, jpeg)
    first, followed = (
        anonymize(jpeg(pixels), target_psnr=44.0, max_leakage=most, codecs=codecs)
        for most in (9.0, 0.2)
    )
    assert max(first.leakage.values()) > 0.2
    used = [(v.settings["threshold"], v.settings["compensation"]) for v in (followed, first)]
    assert used[0] > used[1]
    assert max(followed.leakage.values()) <= 0.2
    assert followed.leakage == leakage_of(jpeg(pixels), followed, codecs=codecs)


def test_a_photo_with_little_noise_keeps_its_faint_texture():
    rng = np.random.default_rng(1)
    texture = 20 * rng.standard_normal((HEIGHT, WIDTH)) * (np.arange(WIDTH) < WIDTH // 2)
    noisy = (90 + texture)[..., None] + 0.6 * rng.standard_normal((HEIGHT, WIDTH, 3))
    pixels = np.round(np.clip(noisy, 0, 255)).astype(np.uint8)
    exact, gentle = (
        anonymize(pixels, target_psnr=41.0, max_leakage=most) for most in (np.inf, 9.0)
    )
    assert exact.psnr == pytest.approx(41, abs=threshold.CLOSE)
    first = 12.0  # tried; it is more than the bound, and the PSNR asked for wants still more
    sizes = np.ravel(transform.noise_spectrum(pixels, first)[0])
    noise = np.sqrt(np.mean(np.sort(sizes)[-9:]))
    limit = threshold.LARGEST * noise
    assert gentle.settings["threshold"] == pytest.approx(limit, rel=1e-3)
    assert gentle.settings["threshold"] < exact.settings["threshold"] / 2
    assert gentle.psnr > exact.psnr + 5


@pytest.fixture
def small(monkeypatch):
    """Tiles of 32 pixels, nine of this photo, and the threshold looked for on four of them."""
    monkeypatch.setattr(tiles, "SIDE", 32)
    monkeypatch.setattr(sparse, "FEW", 4)


@pytest.mark.slow
@pytest.mark.parametrize("aware", [False, True], ids=["blind", "aware"])
@pytest.mark.parametrize("target", [38.0, 42.0])
def test_in_tiles_the_psnr_asked_for_is_met_over_the_whole_photo(photo, small, target, aware):
    pixels, fingerprint = photo
    version = anonymize(pixels, fingerprint if aware else None, target_psnr=target)
    assert_sound(version, pixels)
    assert version.psnr == pytest.approx(target, abs=threshold.CLOSE)
    if aware:
        whole_photo = extractors.scores(version.pixels, fingerprint)
        assert max(map(abs, whole_photo.values())) < 3


def test_tiles_leave_no_trace(photo, monkeypatch):
    pixels, _ = photo
    whole = anonymize(pixels)
    monkeypatch.setattr(tiles, "SIDE", 32)
    monkeypatch.setattr(sparse, "FEW", 9)
    tiled = anonymize(pixels)
    tried = [version.settings["threshold"] for version in (tiled, whole)]
    assert tried[0] == pytest.approx(tried[1], rel=1e-4)
    difference = np.abs(tiled.pixels.astype(int) - whole.pixels)
    assert difference.max() <= 1
    assert np.mean(difference > 0) < 1e-3, "no more than rounding"


@pytest.mark.slow
@pytest.mark.parametrize("aware", [False, True], ids=["blind", "aware"])
def test_the_number_of_tiles_at_work_changes_nothing_and_the_work_is_foretold(photo, small, aware):
    pixels, fingerprint = photo
    known = fingerprint if aware else None
    ticks: list[list] = [[], []]
    alone, together = (
        anonymize(pixels, known, execution=tiles.Execution(tiles.Batches(size), seen.append))
        for size, seen in zip((1, 3), ticks, strict=True)
    )
    assert alone.pixels.tobytes() == together.pixels.tobytes()
    assert len(ticks[0]) == len(ticks[1])
    expected = sparse.expected_ticks(*pixels.shape[:2], aware=aware)
    assert 0.5 * expected < len(ticks[0]) < 2 * expected
    known_psnr = [psnr for psnr in ticks[0] if psnr is not None]
    assert known_psnr[-1] == pytest.approx(alone.psnr, abs=0.5)


def test_sixteen_bits_stay_sixteen_bits(photo):
    pixels, fingerprint = photo
    wide = pixels.astype(np.uint16) * 257
    version = anonymize(wide, fingerprint)
    assert version.pixels.dtype == np.uint16
    assert version.psnr == pytest.approx(40.0, abs=threshold.CLOSE)
    narrow = anonymize(pixels, fingerprint)
    np.testing.assert_allclose(version.pixels / 257, narrow.pixels, atol=1)
    assert np.mean(version.pixels % 257 > 0) > 0.9, "between the levels of 8 bits too"


def test_what_is_left_is_measured_and_taken_out_behind_a_file_that_changes_pixels(photo):
    pixels, fingerprint = photo

    def written(made):
        """A format of 64 levels that also puts some of the camera back."""
        marked = made * (1 + 0.3 * fingerprint[..., None])
        return np.clip(4 * np.rint(marked / 4), 0, 255).astype(np.uint8)

    plain = anonymize(pixels, fingerprint)
    version = anonymize(pixels, fingerprint, codecs=tiles.Codecs(output=written))
    behind = written(version.pixels)
    assert version.z == extractors.scores(behind, fingerprint)
    assert version.psnr == pytest.approx(oracles.psnr(behind, pixels), abs=1e-3)
    assert strongest(written(plain.pixels), fingerprint) > 3
    assert strongest(behind, fingerprint) < 3
