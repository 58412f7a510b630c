"""Attackers: each against plain NumPy, and each finds what it was made to find."""

import io
import math

import numpy as np
import pytest
import scipy.ndimage
from PIL import Image
from scipy.stats import norm

from dippas_jax.datasets import synthetic
from dippas_jax.forensics import attackers, denoisers, detector, edges
from tests import oracles

SIZE = 96
CAMERAS = (synthetic.Camera(0, strength=0.01), synthetic.Camera(1, strength=0.01))


@pytest.fixture(scope="module")
def planes():
    return np.stack([synthetic.estimate(camera, SIZE, SIZE, 6) for camera in CAMERAS])


@pytest.fixture(scope="module")
def photos():
    """Three photos of camera 0."""
    scenes = [synthetic.scene(index, SIZE) for index in range(3)]
    return np.stack([synthetic.expose(CAMERAS[0], s, shot) for shot, s in enumerate(scenes)])


@pytest.fixture(scope="module")
def references():
    """Residuals of two photos of each camera, of other scenes."""
    photos = [[synthetic.expose(c, synthetic.scene(i, SIZE), i) for i in (3, 4)] for c in CAMERAS]
    return tuple(
        np.stack([oracles.residual(photo) for photo in some]).astype(np.float32) for some in photos
    )


def expected(photo, plane, sigma=3.0, mask=None):
    """z of equation 2, in float64."""
    noise, pattern = oracles.residual(photo, sigma), oracles.pattern(photo, plane)
    mask = np.ones(noise.shape, bool) if mask is None else mask
    return oracles.ncc(noise * mask, pattern * mask) * math.sqrt(mask.sum())


@pytest.mark.parametrize(
    ("name", "sigma"), [("wavelet", 3), ("sigma-1", 1), ("sigma-2", 2), ("sigma-5", 5)]
)
def test_the_wavelet_attackers_give_the_z_of_equation_2(name, sigma, photos, planes):
    found = attackers.ATTACKERS[name].attack(photos, attackers.Evidence(planes))
    oracle = [[expected(photo, plane, sigma) for plane in planes] for photo in photos]
    np.testing.assert_allclose(found, oracle, atol=0.02)
    assert (found[:, 0] > 5).all()
    assert (np.abs(found[:, 1]) < 4.5).all()


ALL_KINDS = ["bands", "texture", "non-local-means", "dct", "total-variation", "laplacian", "median",
             "blurred", "halved"]  # fmt: skip


@pytest.mark.parametrize("name", ALL_KINDS)
def test_every_other_attacker_finds_the_camera_and_no_other(name, photos, planes):
    attacker = attackers.ATTACKERS[name]
    plus, minus = attacker.attack(photos, attackers.Evidence(planes)).T
    assert plus.mean() > attacker.limit
    assert np.abs(minus).mean() < 2.5
    assert (np.abs(minus) < 4.5).all()
    turned = attacker.attack(photos[:1], attackers.Evidence(-planes))
    np.testing.assert_allclose(turned[0], [-plus[0], -minus[0]], atol=1e-3)
    assert attacker.finds(-4.0)
    assert not attacker.finds(-2.9)


def test_scores_of_bands_are_those_of_single_frequencies(photos, planes):
    found = attackers.band_scores(photos[0], planes)
    noise = np.fft.fft2(oracles.residual(photos[0]))
    steps = np.abs(np.fft.fftfreq(SIZE))
    for column, plane in enumerate(planes):
        other = np.fft.fft2(oracles.pattern(photos[0], plane))
        sums = np.zeros((7, 4))
        for row, fy in enumerate(steps):
            for place, fx in enumerate(steps):
                band = sum(32 * max(fy, fx) >= edge for edge in (1, 2, 4, 6, 8, 12))
                a, b = noise[row, place], other[row, place]
                sums[band] += (a * b.conjugate()).real, abs(a) ** 2, abs(b) ** 2, 1
        oracle = sums[:, 0] / np.sqrt(sums[:, 1] * sums[:, 2]) * np.sqrt(sums[:, 3])
        assert sums[:, 3].sum() == SIZE**2
        np.testing.assert_allclose(found[:, column], oracle, atol=0.03)
    score = attackers.bands(photos[:1], attackers.Evidence(planes))[0]
    np.testing.assert_array_equal(np.abs(score), np.abs(found[1:]).max(0))


def test_bands_find_what_cancels_over_the_whole_photo(planes):
    scene = 255 * synthetic.scene(0, SIZE)
    camera = synthetic.Camera(9, strength=0.0)
    untreated = synthetic.expose(camera, scene / 255, 0).astype(float)
    frequencies = np.abs(np.fft.fftfreq(SIZE))
    place = np.maximum(frequencies[:, None], frequencies)
    spectrum = np.fft.fft2(planes[0] / 255)

    def photo(share):
        """Too much of K below 1/4 cycles a pixel, and so much too little above 3/8."""
        gain = 0.7 * ((place >= 1 / 8) & (place < 1 / 4)) - share * (place >= 3 / 8)
        pixels = untreated + scene * np.fft.ifft2(spectrum * gain).real[..., None]
        return np.clip(np.rint(pixels), 0, 255).astype(np.uint8)[None]

    evidence = attackers.Evidence(planes[:1])
    low, high = 0.0, 1.0
    for _ in range(8):
        middle = (low + high) / 2
        z = attackers.wavelet(photo(middle), evidence)[0, 0]
        low, high = (middle, high) if z > 0 else (low, middle)
    treated = photo((low + high) / 2)
    assert abs(attackers.wavelet(treated, evidence)[0, 0]) < 1
    scores = attackers.band_scores(treated[0], planes[:1])[:, 0]
    assert max(scores[3:5]) > 3.6
    assert scores[6] < -3.6
    assert attackers.ATTACKERS["bands"].finds(attackers.bands(treated, evidence)[0, 0])


def test_scores_of_texture_are_those_of_a_quarter_of_the_pixels_each(photos, planes):
    found = attackers.texture_scores(photos[0], planes)
    mean = scipy.ndimage.uniform_filter(oracles.luma(photos[0]), 5, mode="nearest")
    rows, columns = np.gradient(mean)
    order = np.argsort((rows**2 + columns**2).ravel(), kind="stable")
    for quarter, pixels in enumerate(np.split(order, 4)):
        mask = np.zeros(SIZE**2, bool)
        mask[pixels] = True
        oracle = [expected(photos[0], plane, mask=mask.reshape(SIZE, SIZE)) for plane in planes]
        np.testing.assert_allclose(found[quarter], oracle, atol=0.1)
    score = attackers.texture(photos[:1], attackers.Evidence(planes))[0]
    np.testing.assert_array_equal(np.abs(score), np.abs(found).max(0))


@pytest.mark.parametrize(("figures", "limit"), [(1, 3.0), (4, 3.0), (6, 3.0), (6, 2.0)])
def test_the_limit_of_the_largest_is_reached_as_rarely_as_that_of_one(figures, limit):
    found = attackers.limit_of(figures, limit)
    rare = 1 - (1 - 2 * norm.sf(found)) ** figures
    assert rare == pytest.approx(2 * norm.sf(limit), rel=1e-9)


def test_the_largest_of_several_keeps_its_sign_and_leaves_out_what_is_nan():
    figures = np.array([[1.0, np.nan, np.nan], [-3.0, 0.5, np.nan]])
    np.testing.assert_array_equal(attackers.largest(figures), [-3.0, 0.5, np.nan])
    draws = np.random.default_rng(0).standard_normal((6, 200_000))
    rms = np.sqrt(np.mean(attackers.largest(draws) ** 2))
    assert attackers.ATTACKERS["bands"].rms == pytest.approx(rms, abs=0.01)
    rms = np.sqrt(np.mean(attackers.largest(draws[:4]) ** 2))
    assert attackers.ATTACKERS["texture"].rms == pytest.approx(rms, abs=0.01)


@pytest.mark.parametrize("name", ["dct", "laplacian", "median"])
def test_scores_of_other_denoisers_are_of_their_noise_in_the_grey_plane(name, photos, planes):
    found = attackers.ATTACKERS[name].attack(photos[:1], attackers.Evidence(planes))[0]
    noise = oracles.zero_mean(getattr(denoisers, name)(oracles.luma(photos[0])))
    patterns = [oracles.pattern(photos[0], plane) for plane in planes]
    oracle = [oracles.ncc(noise, pattern) * SIZE for pattern in patterns]
    np.testing.assert_allclose(found, oracle, atol=0.02)


def blur(plane):
    """A Gaussian of 0.7 pixels, its kernel written out; mirrored at the border."""
    kernel = np.exp(-0.5 * (np.arange(-3, 4) / 0.7) ** 2)
    kernel /= kernel.sum()
    for axis in (0, 1):
        padded = np.pad(plane, [(3, 3) if i == axis else (0, 0) for i in (0, 1)], mode="symmetric")
        plane = np.apply_along_axis(np.convolve, axis, padded, kernel, "valid")
    return plane


def halve(plane):
    return sum(plane[row::2, column::2] for row in (0, 1) for column in (0, 1)) / 4


@pytest.mark.parametrize(("name", "smooth"), [("blurred", blur), ("halved", halve)])
def test_low_frequencies_are_looked_at_in_a_smoothed_photo(name, smooth, photos, planes):
    found = attackers.ATTACKERS[name].attack(photos[:1], attackers.Evidence(planes))[0]
    pixels = np.stack([smooth(photos[0][..., c].astype(float)) for c in range(3)], -1)
    noise = oracles.residual(pixels, 2.0)
    patterns = [smooth(oracles.pattern(photos[0], plane)) for plane in planes]
    oracle = [oracles.ncc(noise, pattern) * math.sqrt(noise.size) for pattern in patterns]
    np.testing.assert_allclose(found, oracle, atol=0.02)


def test_a_quarter_of_the_size_is_half_of_the_half_and_needs_128_pixels(photos, planes):
    quartered = attackers.ATTACKERS["quartered"].attack
    assert np.isnan(quartered(photos, attackers.Evidence(planes))).all()
    tall = np.concatenate([photos[:1], photos[1:2]], 1)[:, :130]
    photo = np.concatenate([tall, tall[:, ::-1]], 2)[:, :, :131]
    plane = np.random.default_rng(0).standard_normal((1, 130, 131)).astype(np.float32)
    found = quartered(photo, attackers.Evidence(plane))
    whole = photo[0, :128, :128].astype(float)
    pixels = np.stack([halve(halve(whole[..., c])) for c in range(3)], -1)
    pattern = halve(halve(oracles.pattern(whole, plane[0, :128, :128])))
    assert found[0, 0] == pytest.approx(
        oracles.ncc(oracles.residual(pixels, 2.0), pattern) * 32, abs=0.02
    )


def test_edges_count_only_pixels_near_edges(photos, planes):
    found = attackers.on_edges(photos, attackers.Evidence(planes))
    masks = [np.asarray(edges.mask(photo)) for photo in photos]
    assert all(0 < mask.sum() < mask.size for mask in masks)
    oracle = [[expected(p, k, 3, m) for k in planes] for p, m in zip(photos, masks, strict=True)]
    np.testing.assert_allclose(found, oracle, atol=0.02)


def test_two_sided_finds_what_was_over_subtracted(photos, planes):
    found = attackers.two_sided(photos, attackers.Evidence(-planes))
    plain = attackers.wavelet(photos, attackers.Evidence(planes))
    np.testing.assert_allclose(found, np.abs(plain), rtol=1e-5)
    assert (found[:, 0] > 5).all()


def test_shifts_find_a_photo_that_was_moved(photos, planes):
    moved = np.roll(photos, (5, -7), (1, 2))
    evidence = attackers.Evidence(planes)
    assert (attackers.wavelet(moved, evidence)[:, 0] < 4).all()
    found = attackers.shifts(moved, evidence)
    assert (found[:, 0] > 1.5 * found[:, 1]).all()
    still = attackers.shifts(photos, evidence)[0, 0]
    surface = oracles.circular_cross_correlation(
        oracles.residual(photos[0])[:32, :32], oracles.pattern(photos[0], planes[0])[:32, :32]
    )
    assert surface.argmax() == 0, "unmoved: the largest peak lies at shift zero"
    assert still > 5


@pytest.mark.parametrize(("name", "quality"), [("jpeg-90", 90), ("jpeg-75", 75)])
def test_jpeg_attackers_look_at_the_recompressed_photo(name, quality, photos, planes):
    buffer = io.BytesIO()
    Image.fromarray(photos[0]).save(buffer, "JPEG", quality=quality)
    again = np.array(Image.open(buffer))
    assert (again != photos[0]).any()
    found = attackers.ATTACKERS[name].attack(photos[:1], attackers.Evidence(planes))
    np.testing.assert_allclose(found[0], [expected(again, k) for k in planes], atol=0.02)


def test_a_set_is_judged_by_the_fingerprint_estimated_from_it(photos, planes):
    found = attackers.from_set(photos, attackers.Evidence(planes))
    estimate = oracles.fingerprint(photos)
    oracle = [oracles.ncc(estimate, plane) * SIZE for plane in planes]
    np.testing.assert_allclose(found, [oracle], atol=0.02)
    assert np.isnan(attackers.from_set(photos[:1], attackers.Evidence(planes))).all()


def test_link_compares_photos_without_a_fingerprint(photos, planes, references):
    found = attackers.link(photos, attackers.Evidence(planes, references=references))
    noise = [oracles.residual(photo) for photo in photos]
    for column, seen in enumerate(references):
        oracle = [sum(oracles.ncc(a, b) for b in seen) * SIZE / math.sqrt(2) for a in noise]
        np.testing.assert_allclose(found[:, column], oracle, atol=0.02)
    assert found[:, 0].mean() > 3


def test_a_reference_without_noise_does_not_hide_the_others(photos, planes, references):
    flat = np.zeros((1, SIZE, SIZE), np.float32)
    more = (np.concatenate([references[0], flat]), flat)
    found = attackers.link(photos, attackers.Evidence(planes, references=more))
    plain = attackers.link(photos, attackers.Evidence(planes, references=references))
    np.testing.assert_allclose(found[:, 0], plain[:, 0], rtol=1e-5)
    assert np.isnan(found[:, 1]).all()


def test_the_detector_gives_one_column_and_needs_training(photos, planes):
    soft = np.stack([attackers.jpeg(photo, 30) for photo in photos])
    features = np.stack([detector.features(photo) for photo in (*photos, *soft)])
    model = detector.fit(features, np.arange(6) >= 3)
    evidence = attackers.Evidence(planes, model=model)
    before, after = (attackers.processed(some, evidence) for some in (photos, soft))
    assert before.shape == after.shape == (3, 1)
    assert before.max() < after.min()
    with pytest.raises(ValueError, match="trained detector"):
        attackers.processed(photos, attackers.Evidence(planes))


def test_an_attacker_is_available_when_the_evidence_has_what_it_needs(planes, references):
    bare = attackers.available(attackers.Evidence(planes))
    assert {"wavelet", "edges", "shifts", "set"} <= set(bare)
    assert not {"learned", "link", "detector"} & set(bare)
    more = attackers.available(attackers.Evidence(planes, references=references))
    assert set(more) - set(bare) == {"link"}


@pytest.mark.parametrize("name", attackers.available(attackers.Evidence(np.zeros((1, 8, 8)))))
def test_flat_photos_say_nothing_and_break_nothing(name, planes):
    flat = np.full((2, SIZE, SIZE, 3), 128, np.uint8)
    found = attackers.ATTACKERS[name].attack(flat, attackers.Evidence(planes))
    assert found.shape[1] == 2
    assert not np.isposinf(found).any()
    assert np.isnan(found).all() or name in ("shifts", "edges"), "nothing can be said"
