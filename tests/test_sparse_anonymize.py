"""Photos anonymised in seconds: how much they change, and what is left of a fingerprint."""

import io
import math

import jax
import numpy as np
import pytest
from PIL import Image

from dippas_jax.datasets import synthetic
from dippas_jax.signal import residual, tiles
from dippas_jax.sparse import anonymize as engine
from dippas_jax.sparse import leakage, transform
from tests import oracles

HEIGHT, WIDTH = 65, 71
EXTRACTORS = ["sigma-2", "sigma-3", "sigma-5", "busy"]

extract = jax.jit(lambda pixels, sigma: residual.residual(pixels, sigma=sigma))


@pytest.fixture(scope="module")
def photo():
    """A photo of a simulated camera, of odd sides, and the fingerprint of its sensor."""
    camera = synthetic.Camera()
    radiance = synthetic.scene(0, 96)[:HEIGHT, :WIDTH]
    return synthetic.expose(camera, radiance, 0), np.float32(camera.fingerprint(HEIGHT, WIDTH))


def anonymize(pixels, fingerprint=None, key=0, target_psnr=40.0, **options):
    options = {"compensation": 0.7, **options}
    return engine.anonymize(
        jax.random.key(key), pixels, fingerprint, target_psnr=target_psnr, **options
    )


def strongest(pixels, fingerprint):
    return max(map(abs, leakage.scores(pixels, fingerprint).values()))


def assert_sound(version, pixels):
    """Pixels like those of the photo, and numbers that say what they are."""
    assert version.pixels.dtype == np.uint8
    assert version.pixels.shape == pixels.shape
    assert version.psnr == pytest.approx(oracles.psnr(version.pixels, pixels), abs=1e-3)
    assert engine.WEAKEST <= version.threshold <= engine.STRONGEST
    assert np.isfinite(version.alpha)


@pytest.mark.parametrize("aware", [False, True], ids=["blind", "aware"])
@pytest.mark.parametrize("target", [38.0, 42.0])
def test_the_psnr_asked_for_is_met_and_the_photo_left_alone(photo, target, aware):
    pixels, fingerprint = photo
    given = pixels.copy()
    version = anonymize(given, fingerprint if aware else None, target_psnr=target)
    np.testing.assert_array_equal(given, pixels)
    assert_sound(version, pixels)
    assert version.psnr == pytest.approx(target, abs=engine.CLOSE)


@pytest.mark.parametrize("target", [38.0, 42.0])
def test_no_extractor_of_the_mixture_finds_a_known_fingerprint(photo, target):
    pixels, fingerprint = photo
    assert min(leakage.scores(pixels, fingerprint).values()) > 8
    for key in range(2):
        version = anonymize(pixels, fingerprint, key, target)
        assert strongest(version.pixels, fingerprint) < 3


def test_compensation_takes_back_what_is_kept_of_a_planted_fingerprint(photo):
    key = jax.random.key(1)
    none, half = (
        np.array(list(leakage.share_left(key, photo[0], 20.0, share).values()))
        for share in (0.0, 0.5)
    )
    assert np.all((none > 0.2) & (none < 0.6))
    assert np.all(np.abs(half) < 0.6 * none)


def test_of_a_planted_fingerprint_all_is_left_where_nothing_is_dropped(photo):
    left = leakage.share_left(jax.random.key(1), photo[0], 0.0, 0.5)
    assert list(left) == EXTRACTORS
    np.testing.assert_allclose(list(left.values()), 1, atol=1e-3)


def test_a_blind_version_does_not_depend_on_the_key(photo):
    one, other = (anonymize(photo[0], key=key) for key in range(2))
    assert one.alpha == other.alpha == 0
    assert one.pixels.tobytes() == other.pixels.tobytes()


def test_the_same_key_gives_the_same_bytes_and_another_key_other_scores(photo):
    pixels, fingerprint = photo
    one, again, other = (anonymize(pixels, fingerprint, key) for key in (0, 0, 3))
    assert one.pixels.tobytes() == again.pixels.tobytes()
    assert one[1:] == again[1:]
    assert abs(one.alpha - other.alpha) > 0.1 * abs(one.alpha)
    scores = [
        np.array(list(leakage.scores(version.pixels, fingerprint).values()))
        for version in (one, other)
    ]
    assert np.abs(scores[0] - scores[1]).max() > 0.5, "not all aim at the same correlation"


def test_the_unit_of_the_fingerprint_does_not_matter(photo):
    pixels, fingerprint = photo
    one, other = anonymize(pixels, fingerprint), anonymize(pixels, 7 * fingerprint)
    assert one.alpha == pytest.approx(7 * other.alpha, rel=1e-3)
    assert one.share == {}, "nothing is followed where a PSNR is met whatever is left"
    difference = np.abs(one.pixels.astype(int) - other.pixels)
    assert difference.max() <= 1
    assert np.mean(difference > 0) < 1e-3, "no more than rounding"


def test_out_of_time_the_first_threshold_has_to_do(photo):
    pixels, fingerprint = photo
    low, high = (
        anonymize(pixels, fingerprint, target_psnr=target, until=0.0) for target in (30.0, 48.0)
    )
    assert_sound(low, pixels)
    assert low.pixels.tobytes() == high.pixels.tobytes()
    assert abs(low.psnr - 30) > engine.CLOSE
    assert abs(high.psnr - 48) > engine.CLOSE


@pytest.mark.parametrize(("target", "limit"), [(5.0, engine.STRONGEST), (90.0, engine.WEAKEST)])
def test_a_psnr_out_of_reach_gives_the_nearest_threshold_there_is(photo, target, limit):
    pixels, fingerprint = photo
    version = anonymize(pixels, fingerprint, target_psnr=target)
    assert_sound(version, pixels)
    assert version.threshold == pytest.approx(limit, rel=0.05)


@pytest.mark.parametrize("level", [0, 127, 255])
def test_a_flat_photo_comes_back_as_it_was(photo, level):
    pixels = np.full((HEIGHT, WIDTH, 3), level, np.uint8)
    version = anonymize(pixels, photo[1])
    np.testing.assert_array_equal(version.pixels, pixels)
    assert version.psnr == np.inf
    assert version.alpha == 0


def test_a_fingerprint_of_zeros_is_none_at_all(photo):
    pixels, fingerprint = photo
    version = anonymize(pixels, np.zeros_like(fingerprint))
    assert version.alpha == 0
    np.testing.assert_array_equal(version.pixels, anonymize(pixels).pixels)


def test_scores_are_the_correlations_of_residuals_in_standard_deviations(photo):
    pixels, fingerprint = photo
    scores = leakage.scores(pixels, fingerprint)
    assert list(scores) == EXTRACTORS
    pattern = oracles.pattern(pixels, fingerprint)
    for sigma in leakage.SIGMAS:
        ncc = oracles.ncc(extract(pixels, sigma), pattern)
        z = math.sqrt(HEIGHT * WIDTH) * ncc
        assert scores[f"sigma-{sigma:g}"] == pytest.approx(z, abs=1e-3)
    other = np.float32(synthetic.Camera(seed=1).fingerprint(HEIGHT, WIDTH))
    assert strongest(pixels, other) < 4


def test_the_busy_score_does_not_see_what_is_flat(photo):
    pixels, fingerprint = photo
    pixels = pixels.copy()
    pixels[:, :24] = 100
    changed = fingerprint.copy()
    changed[8:-8, 6:16] *= -5
    one, other = leakage.scores(pixels, fingerprint), leakage.scores(pixels, changed)
    assert one["busy"] == pytest.approx(other["busy"], abs=1e-4)
    assert abs(one["sigma-3"] - other["sigma-3"]) > 1


def test_a_fingerprint_only_where_the_photo_is_calm_is_taken_out_all_the_same():
    rng = np.random.default_rng(0)
    busy = 128 + 40 * rng.standard_normal((HEIGHT, WIDTH, 3))
    fingerprint = np.zeros((HEIGHT, WIDTH), np.float32)
    fingerprint[8:-8, 6:16] = 0.03 * rng.standard_normal((HEIGHT - 16, 10))
    calm = 100 * (1 + fingerprint[:, :24, None]) + rng.standard_normal((HEIGHT, 24, 3))
    busy[:, :24] = calm
    pixels = np.clip(np.round(busy), 0, 255).astype(np.uint8)
    assert leakage.scores(pixels, fingerprint)["sigma-3"] > 30
    version = anonymize(pixels, fingerprint, until=0.0)
    scores = leakage.scores(version.pixels, fingerprint)
    assert np.isnan(scores.pop("busy"))
    assert np.isfinite(version.alpha)
    assert abs(np.mean(list(scores.values()))) < 3


def left_of(pixels, version, **files):
    """What is left of a planted fingerprint at a version's settings."""
    plant = jax.random.fold_in(jax.random.key(0), 1)
    return leakage.share_left(plant, pixels, version.threshold, version.compensation, **files)


def test_where_too_much_would_be_left_more_is_taken_back_first(photo):
    pixels, _ = photo
    settings = {"target_psnr": 38.0, "compensation": 0.3}
    exact = anonymize(pixels, **settings)
    most, least = (
        max(left_of(pixels, exact._replace(compensation=c)).values()) for c in (0.3, 1.0)
    )
    assert most > least + 0.2
    limit = (most + least) / 2
    careful = anonymize(pixels, most_left=limit, **settings)
    assert careful.threshold == exact.threshold
    assert 0.3 < careful.compensation < 1
    assert careful.left == careful.share == left_of(pixels, careful)
    assert limit - 0.1 < max(careful.left.values()) <= limit
    assert careful.psnr < exact.psnr


def test_a_photo_whose_noise_would_be_kept_is_rebuilt_from_fewer_coefficients(photo):
    pixels, _ = photo
    settings = {"target_psnr": 46.0, "compensation": 1.0}
    exact, weaker = (anonymize(pixels, most_left=most, **settings) for most in (np.inf, 0.1))
    assert max(left_of(pixels, exact).values()) > 0.1
    assert weaker.left == left_of(pixels, weaker)
    assert max(weaker.left.values()) <= 0.1
    assert weaker.threshold > exact.threshold
    assert weaker.psnr < exact.psnr - 1
    hurried = anonymize(pixels, target_psnr=46.0, most_left=0.1, until=0.0)
    assert hurried.threshold == 12, "the first one"


def test_however_much_is_left_the_psnr_stays_above_a_floor(photo):
    pixels, _ = photo
    version = anonymize(pixels, target_psnr=42.0, most_left=-9.0)
    assert version.compensation == 1
    assert version.psnr == pytest.approx(engine.LEAST_PSNR, abs=0.2)


def test_no_compensation_stays_none(photo):
    version = anonymize(photo[0], target_psnr=42.0, compensation=0.0, most_left=0.3)
    assert version.compensation == 0
    assert max(version.left.values()) <= 0.3


def jpeg(array, quality=70):
    buffer = io.BytesIO()
    Image.fromarray(array).save(buffer, "JPEG", quality=quality)
    return np.asarray(Image.open(buffer).convert("RGB"))


def test_the_psnr_is_met_behind_a_coarse_jpeg(photo, monkeypatch):
    def coarse(array):
        return jpeg(array, 15)

    pixels = coarse(photo[0])
    for side in (tiles.SIDE, 32):  # in one tile, and in nine
        monkeypatch.setattr(tiles, "SIDE", side)
        version = anonymize(pixels, target_psnr=38.0, came=coarse, written=coarse)
        behind = coarse(version.pixels)
        assert version.psnr == pytest.approx(oracles.psnr(behind, pixels), abs=1e-3)
        before = oracles.psnr(version.pixels, pixels)
        assert abs(version.psnr - 38) < 0.5 * abs(before - 38), "not so before it is written"


def test_what_a_jpeg_leaves_is_followed_where_the_photo_came_as_one(photo):
    pixels, _ = photo
    first, followed = (
        anonymize(jpeg(pixels), target_psnr=44.0, most_left=most, came=jpeg, written=jpeg)
        for most in (9.0, 0.2)
    )
    assert max(first.left.values()) > 0.2
    assert (followed.threshold, followed.compensation) > (first.threshold, first.compensation)
    assert max(followed.left.values()) <= 0.2
    assert followed.left == left_of(jpeg(pixels), followed, came=jpeg, written=jpeg)


def test_a_photo_with_little_noise_keeps_its_faint_texture():
    rng = np.random.default_rng(1)
    texture = 20 * rng.standard_normal((HEIGHT, WIDTH)) * (np.arange(WIDTH) < WIDTH // 2)
    noisy = (90 + texture)[..., None] + 0.6 * rng.standard_normal((HEIGHT, WIDTH, 3))
    pixels = np.round(np.clip(noisy, 0, 255)).astype(np.uint8)
    exact, gentle = (anonymize(pixels, target_psnr=41.0, most_left=most) for most in (np.inf, 9.0))
    assert exact.psnr == pytest.approx(41, abs=engine.CLOSE)
    first = 12.0  # tried; it is more than the bound, and the PSNR asked for wants still more
    sizes = np.ravel(transform.noise_spectrum(pixels, first)[0])
    noise = np.sqrt(np.mean(np.sort(sizes)[-9:]))
    assert gentle.threshold == pytest.approx(engine.LARGEST * noise, rel=1e-3)
    assert gentle.threshold < exact.threshold / 2
    assert gentle.psnr > exact.psnr + 5


@pytest.fixture
def small(monkeypatch):
    """Tiles of 32 pixels, nine of this photo, and the threshold looked for on four of them."""
    monkeypatch.setattr(tiles, "SIDE", 32)
    monkeypatch.setattr(engine, "FEW", 4)


@pytest.mark.parametrize("aware", [False, True], ids=["blind", "aware"])
@pytest.mark.parametrize("target", [38.0, 42.0])
def test_in_tiles_the_psnr_asked_for_is_met_over_the_whole_photo(photo, small, target, aware):
    pixels, fingerprint = photo
    version = anonymize(pixels, fingerprint if aware else None, target_psnr=target)
    assert_sound(version, pixels)
    assert version.psnr == pytest.approx(target, abs=engine.CLOSE)
    if aware:
        whole_photo = leakage.scores(version.pixels, fingerprint)
        assert max(map(abs, whole_photo.values())) < 3


def test_tiles_leave_no_trace(photo, monkeypatch):
    pixels, _ = photo
    whole = anonymize(pixels)
    monkeypatch.setattr(tiles, "SIDE", 32)
    monkeypatch.setattr(engine, "FEW", 9)
    tiled = anonymize(pixels)
    assert tiled.threshold == pytest.approx(whole.threshold, rel=1e-4)
    difference = np.abs(tiled.pixels.astype(int) - whole.pixels)
    assert difference.max() <= 1
    assert np.mean(difference > 0) < 1e-3, "no more than rounding"


@pytest.mark.parametrize("aware", [False, True], ids=["blind", "aware"])
def test_the_number_of_tiles_at_work_changes_nothing_and_the_work_is_foretold(photo, small, aware):
    pixels, fingerprint = photo
    known = fingerprint if aware else None
    ticks: list[list] = [[], []]
    alone, together = (
        anonymize(pixels, known, ways=tiles.Ways(tiles.Batches(size), seen.append))
        for size, seen in zip((1, 3), ticks, strict=True)
    )
    assert alone.pixels.tobytes() == together.pixels.tobytes()
    assert len(ticks[0]) == len(ticks[1])
    expected = engine.work(*pixels.shape[:2], aware=aware)
    assert 0.5 * expected < len(ticks[0]) < 2 * expected
    known_psnr = [psnr for psnr in ticks[0] if psnr is not None]
    assert known_psnr[-1] == pytest.approx(alone.psnr, abs=0.5)


def test_sixteen_bits_stay_sixteen_bits(photo):
    pixels, fingerprint = photo
    wide = pixels.astype(np.uint16) * 257
    version = anonymize(wide, fingerprint)
    assert version.pixels.dtype == np.uint16
    assert version.psnr == pytest.approx(40.0, abs=engine.CLOSE)
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
    version = anonymize(pixels, fingerprint, written=written)
    behind = written(version.pixels)
    assert version.left == leakage.scores(behind, fingerprint)
    assert version.psnr == pytest.approx(oracles.psnr(behind, pixels), abs=1e-3)
    assert strongest(written(plain.pixels), fingerprint) > 3
    assert strongest(behind, fingerprint) < 3
