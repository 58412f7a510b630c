"""How much of planted patterns is said to go through, against what becomes of real fingerprints."""

import io

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from dippas_jax.datasets import synthetic
from dippas_jax.signal import calibration, cells, extractors, tiles
from dippas_jax.sparse import balance, leakage, transform
from tests import oracles

HEIGHT, WIDTH = 96, 97
KEY = jax.random.key(1)
NOTHING = np.zeros((7, 4), np.float32)
CAMERA = synthetic.Camera(strength=0.02)
K = np.float32(CAMERA.fingerprint(HEIGHT, WIDTH))


def jpeg(pixels, quality=75):
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=quality)
    return np.asarray(Image.open(buffer).convert("RGB"))


@pytest.fixture(scope="module")
def photo():
    """A photo of a simulated camera, of an odd side."""
    return synthetic.expose(CAMERA, synthetic.scene(0, WIDTH)[:HEIGHT], 0)


@pytest.fixture(scope="module")
def sample(photo):
    return leakage.sample(KEY, photo, None, tiles.LOSSLESS)


@pytest.fixture(scope="module")
def aware(photo):
    return leakage.sample(KEY, photo, K, tiles.LOSSLESS)


@pytest.fixture(scope="module")
def balanced(sample):
    return balance.balance(sample, 24.0)


def test_all_goes_through_where_nothing_is_dropped_and_less_the_more_is(sample):
    np.testing.assert_allclose(leakage.measure(sample, 0.0, NOTHING).shares, 1, atol=1e-3)
    some, less = (leakage.measure(sample, t, NOTHING).shares for t in (6.0, 32.0))
    assert np.all(less[1:] < some[1:])
    assert np.all(less[0] < some[0] + 0.02), "blocks hardly treat the lowest band"
    assert np.all(some < 1.4)
    assert less[5:].max() < 0.5


def test_the_share_is_what_the_oracles_residuals_see(sample):
    """A photo scaled about its residual: the measure against float64 loops, whole plane."""
    part = sample.parts[0]
    plant = part.plants[0]
    seen = [
        np.sum([oracles.residual(np.clip(x, 0, 255), s) / s for s in cells.SIGMAS], axis=0)
        for x in (plant.without, plant.planted)
    ]
    total = np.sum((seen[1] - seen[0]) * plant.pattern)
    # The bands leave out what lies below the lowest and are squared, so whole and parts differ.
    assert 0.3 < plant.before.sum() / total < 1.1
    assert plant.pattern.std() == pytest.approx(0.01 * np.mean(part.levels), rel=0.3)


def test_balance_brings_every_cell_near_zero_from_either_side(sample, balanced):
    assert balanced.base[1:].max() > 0.2
    assert np.abs(balanced.left[1:]).mean() < 0.06
    assert balance.most_left(balanced) < 0.08
    assert np.all((balanced.flips >= 0) & (balanced.flips <= calibration.MOST))
    assert tuple(balanced.by_name) == cells.NAMES
    over = balance.measured(sample, balanced, 2 * balanced.flips + 0.2)
    assert cells.worst(over.by_name) < -0.1, "too much turned over shows as a negative share"


def test_without_compensation_nothing_is_turned_over(sample):
    plain = balance.balance(sample, 12.0, compensation=0.0)
    np.testing.assert_array_equal(plain.flips, 0)
    np.testing.assert_array_equal(plain.left, plain.base)


def test_half_the_compensation_turns_half_as_much_over(sample, balanced):
    half = balance.balance(sample, 24.0, compensation=0.5)
    np.testing.assert_allclose(half.flips, 0.5 * balanced.flips, rtol=1e-5)
    between = half.left[2:].mean()
    assert balanced.left[2:].mean() < between < balanced.base[2:].mean()


def test_another_pattern_fares_as_those_that_were_planted(photo, balanced):
    """The check of the whole idea: flips found with some patterns hide others."""
    other = leakage.sample(jax.random.key(7), photo, None, tiles.LOSSLESS)
    left = leakage.measure(other, 24.0, balanced.flips)
    assert abs(left.after.sum() / left.before.sum()) < 0.05
    assert np.abs(list(left.by_name().values())[1:]).max() < 0.15


def test_the_camera_that_was_not_known_is_hidden(photo, balanced, aware):
    """From those that the balance is made by together, and from each of them alone."""
    pattern = oracles.pattern(photo, K)

    def z(levels):
        residuals = [oracles.residual(np.clip(levels, 0, 255), s) / s for s in cells.SIGMAS]
        planes = [np.sum(residuals, axis=0), *residuals]
        return np.array([oracles.ncc(plane, pattern) for plane in planes]) * np.sqrt(K.size)

    before = z(aware.parts[0].levels)
    after = z(leakage.made(aware, aware.parts[0], aware.parts[0].levels, 24.0, balanced.flips))
    assert before.min() > 8
    assert abs(after[0]) < 3
    assert np.abs(after).max() < 0.2 * before.min()


def test_what_is_left_of_a_known_fingerprint_is_subtracted_and_never_added(aware):
    flat = balance.balance(aware, 12.0, compensation=0.0)
    alphas = balance.subtraction(aware, flat)
    assert alphas.min() >= 0
    assert alphas.max() > 0
    levels, known = aware.parts[0].levels, aware.parts[0].known
    before, *_ = leakage.look(
        aware, [leakage.made(aware, aware.parts[0], levels, 12.0, flat.flips)]
    )
    after, *_ = leakage.look(
        aware, [leakage.made(aware, aware.parts[0], levels, 12.0, flat.flips, known, alphas)]
    )
    assert abs(after.sum()) < 0.35 * abs(before.sum())
    opposite = aware._replace(parts=tuple(x._replace(known=-x.known) for x in aware.parts))
    np.testing.assert_array_equal(balance.subtraction(opposite, flat) < 0.2 * alphas.max(), True)


@pytest.mark.parametrize("times", [0.4, 1.6])
def test_what_is_left_of_a_known_fingerprint_corrects_the_flips_either_way(
    photo, sample, balanced, times
):
    """Too few leave K, too many turn it over; a K that the photo does not have says nothing."""

    def seen(found):
        (part,) = sample.parts
        levels = leakage.made(sample, part, part.levels, 24.0, found.flips)
        return leakage.look_at(sample, photo, tiles.rounded(levels, photo.dtype), K)

    wrong = balance.measured(sample, balanced, (times * balanced.flips).astype(np.float32))
    before, after = leakage.look_at(sample, photo, photo, K), seen(wrong)
    found = balance.recalibrated(sample, wrong, before, after)
    assert np.all((found.flips >= 0) & (found.flips <= calibration.MOST))
    assert np.sign(times - 1) * after.sums[1:].sum() < 0
    assert abs(seen(found).sums[1:].sum()) < 0.5 * abs(after.sums[1:].sum())
    absent = before._replace(sums=np.zeros_like(before.sums))
    still = balance.recalibrated(sample, balanced, absent, after)
    falls = np.clip(leakage.falls(sample, 24.0, balanced.flips), *balance._FALLS)
    expected = np.clip(balanced.flips + balanced.left / falls, 0, calibration.MOST)
    np.testing.assert_allclose(still.flips, expected, rtol=1e-5, atol=1e-6)


def test_what_chance_gives_is_not_subtracted():
    """Only what is above zero can be, so that it would be taken from every photo alike."""
    draws = np.random.default_rng(0).normal(size=(500, 7, 4))
    taken = [np.maximum(balance._shrunk(z), 0).sum() for z in draws]
    assert np.mean(taken) < 1, "of 11 that lie above zero"
    np.testing.assert_allclose(balance._shrunk(10 + draws[0]), 10 + draws[0], rtol=0.05)
    np.testing.assert_array_equal(balance._shrunk(np.zeros((7, 4))), 0)


def test_a_fingerprint_is_seen_in_the_whole_photo_as_in_its_only_part(photo, aware):
    (part,) = aware.parts
    version = tiles.rounded(leakage.made(aware, part, part.levels, 24.0, NOTHING), photo.dtype)
    expected = leakage.look(aware, [tiles.levels(version)])
    for found, alone in zip(leakage.look_at(aware, photo, version, K), expected, strict=True):
        np.testing.assert_allclose(found, alone, rtol=1e-4, atol=1e-3 * np.abs(alone).max())


def test_where_windows_overlap_a_pixel_counts_once(photo, aware, monkeypatch):
    """K lies where they do, and in no other place."""
    monkeypatch.setattr(tiles, "SIDE", 64)
    k = np.zeros_like(K)
    k[HEIGHT - 64 : 64] = K[HEIGHT - 64 : 64]
    (whole,) = (
        leakage._look(part.levels, oracles.luma(photo) * k, part.where) for part in aware.parts
    )
    found = leakage.look_at(aware, photo, photo, k)
    assert found.sums.sum() == pytest.approx(float(np.sum(whole[0])), rel=0.15)


def test_a_known_fingerprint_is_taken_out_of_the_whole_photo_not_of_a_few_parts(photo, monkeypatch):
    monkeypatch.setattr(tiles, "SIDE", 48)
    monkeypatch.setattr(leakage, "FEW", 2)
    known = leakage.sample(KEY, photo, K, tiles.LOSSLESS)
    assert known.area > 2
    flat = balance.balance(known, 12.0, compensation=0.0)

    def seen(alphas):
        cells_of = jnp.asarray(flat.flips), jnp.asarray(known.table)
        pattern = jnp.float32(oracles.luma(photo) * K)
        levels = transform.resynthesise(
            tiles.levels(photo), 12.0, *cells_of, pattern, jnp.asarray(alphas)
        )
        version = tiles.rounded(np.asarray(levels), photo.dtype)
        return leakage.look_at(known, photo, version, K)

    before = seen(NOTHING)
    alphas = balance.subtraction(known, flat, before)
    after = seen(alphas).sums / before.chance
    strong = before.sums / before.chance
    assert np.sum(strong) > 40
    assert abs(np.sum(after)) < 0.35 * np.sum(strong)
    absent = np.random.default_rng(3).normal(size=strong.shape) * before.chance
    assert balance.subtraction(known, flat, before._replace(sums=absent)).max() < 0.2 * alphas.max()


def test_a_strong_fingerprint_is_not_turned_round_by_subtraction():
    """Extractors look less at strong noise, so that a straight line from there leads too far."""
    camera = synthetic.Camera(seed=3, strength=0.03)
    k = np.float32(camera.fingerprint(64, 64))
    pixels = synthetic.expose(camera, synthetic.scene(0, 64), 0)
    known = leakage.sample(KEY, pixels, k, tiles.LOSSLESS)
    flat = balance.balance(known, 12.0, compensation=0.0)
    alphas = balance.subtraction(known, flat)
    (part,) = known.parts
    before, chance, _ = leakage.look(
        known, [leakage.made(known, part, part.levels, 12.0, flat.flips)]
    )
    after, *_ = leakage.look(
        known, [leakage.made(known, part, part.levels, 12.0, flat.flips, part.known, alphas)]
    )
    assert np.sum((after / chance) ** 2) < 0.5 * np.sum((before / chance) ** 2)


@pytest.mark.slow
def test_every_key_plants_other_patterns_and_parts_are_told_of(photo, monkeypatch):
    monkeypatch.setattr(tiles, "SIDE", 48)
    monkeypatch.setattr(leakage, "FEW", 2)
    samples = [leakage.sample(jax.random.key(n), photo, None, tiles.LOSSLESS) for n in (0, 0, 1)]
    assert [len(one.parts) for one in samples] == [2, 2, 2]
    ticks = []
    execution = tiles.Execution(on_tile=ticks.append)
    one, again, other = (leakage.measure(x, 12.0, NOTHING, execution) for x in samples)
    np.testing.assert_array_equal(one.after, again.after)
    assert np.all(one.after != other.after)
    assert ticks == [None] * 3 * 2 * 2
    assert np.all(one.error > 0)


def test_how_well_a_fingerprint_shows_is_foretold_before_any_is_known(photo, sample):
    """K of two percent is seen twice as well as the pattern of one percent is said to be."""
    (part,) = sample.parts
    grey = oracles.luma(photo) * K
    expected = cells.visible(*map(np.asarray, leakage._look(part.levels, grey, part.where)))
    shown = leakage.visible(sample)
    assert tuple(shown) == cells.NAMES
    assert 2 * shown["whole"] == pytest.approx(expected["whole"], rel=0.15)
    assert expected["whole"] > 0.6 * extractors.scores(photo, K)["sigma-3"] > 20
    assert max(shown[name] for name in cells.NAMES[:-1]) < shown["whole"]


def test_sixteen_bits_are_the_same_photo(photo, sample):
    wide = leakage.sample(KEY, photo.astype(np.uint16) * 257, None, tiles.LOSSLESS)
    np.testing.assert_allclose(wide.parts[0].levels, sample.parts[0].levels, atol=1e-3)


def test_a_photo_that_shows_nothing_has_no_share():
    flat = np.full((HEIGHT, WIDTH, 3), 0, np.uint8)
    found = balance.balance(leakage.sample(KEY, flat, None, tiles.LOSSLESS), 12.0)
    assert np.isnan(list(found.by_name.values())).all()
    assert balance.most_left(found) == 0
    np.testing.assert_array_equal(found.flips, 0)


@pytest.mark.slow
def test_behind_a_jpeg_a_planted_pattern_fares_as_a_cameras_does():
    """The sum over all cells, over three simulated cameras, each photo through JPEG twice."""
    side, truth, followed, without = 256, [], [], []
    for seed in range(3):
        camera = synthetic.Camera(seed=seed, strength=0.02)
        pixels = jpeg(synthetic.expose(camera, synthetic.scene(seed, side), seed))
        k = np.float32(camera.fingerprint(side, side))
        known = leakage.sample(jax.random.key(seed), pixels, k, tiles.Codecs(jpeg, jpeg))
        before, *_ = leakage.look(known, [part.levels for part in known.parts])
        levels = known.parts[0].levels
        after, *_ = leakage.look(
            known, [leakage.made(known, known.parts[0], levels, 12.0, NOTHING)]
        )
        truth.append(after.sum() / before.sum())
        plain = leakage.sample(jax.random.key(seed), pixels, None, tiles.LOSSLESS)
        for kind, one in ((followed, known), (without, plain)):
            found = leakage.measure(one, 12.0, NOTHING)
            kind.append(found.after.sum() / found.before.sum())
    truth, followed, without = map(np.mean, (truth, followed, without))
    assert truth == pytest.approx(followed, abs=0.15)
    assert truth > without + 0.1, "what is left is left by the JPEG"


def test_of_a_compressed_photo_the_lower_figure_counts_unless_its_noise_was_processed(sample):
    planted, own = np.full((7, 4), 0.5), np.full((7, 4), 0.3)
    np.testing.assert_array_equal(balance._foretold(sample, planted, own), planted)
    ours = sample._replace(compressed=True)
    np.testing.assert_array_equal(balance._foretold(ours, planted, own), 0.3)
    np.testing.assert_array_equal(balance._foretold(ours, planted, 3 * own), 0.5)
    processed = ours._replace(processed=0.6)
    np.testing.assert_allclose(balance._foretold(processed, planted, 3 * own), 0.6 * 0.9 + 0.2)


def test_the_own_residual_tells_that_noise_was_left_where_there_is_structure(photo):
    """A camera that keeps 8x8 coefficients of 16 grey levels and more leaves noise on those."""
    plain = jpeg(photo, 92)
    table = cells.quantiles(np.ravel(cells.texture(photo)))
    smooth = np.asarray(
        transform.resynthesise(photo, 16.0, jax.numpy.zeros((7, 4)), jax.numpy.asarray(table))
    )
    reduced = jpeg(tiles.rounded(smooth, np.dtype(np.uint8)), 92)
    codecs = tiles.Codecs(lambda x: jpeg(x, 92), None)
    fresh, processed = (leakage.sample(KEY, x, None, codecs) for x in (plain, reduced))
    assert fresh.processed < processed.processed
    assert 0 <= fresh.processed <= processed.processed <= leakage.MOST_OWN
    assert leakage.sample(KEY, plain, None, tiles.LOSSLESS).processed == 0
    for part in processed.parts:
        expected = np.sum([oracles.residual(part.levels, s) / s for s in cells.SIGMAS], axis=0)
        np.testing.assert_allclose(part.own, expected, atol=2e-2)
    versions = [part.levels for part in processed.parts]
    np.testing.assert_allclose(leakage.own_share(processed, versions), 1)
