"""A camera that is looked for place by place, in photos whose pixels were moved."""

import functools

import jax
import numpy as np
import pytest
from scipy import signal

from dippas_jax.baselines import seams
from dippas_jax.datasets import synthetic
from dippas_jax.forensics import attackers, places
from tests import oracles

RNG = np.random.default_rng(0)
SIDE = 384
NOISE, K, OTHER = RNG.normal(0, 1, (3, SIDE, SIDE))
score = places.z_score
small = functools.partial(places.z_score, blocks=places.SMALL)


def moved(plane: np.ndarray, steps: list[tuple[int, int]]) -> np.ndarray:
    """Each block of 128 by its own step; what leaves one comes back on its other side."""
    made = plane.copy()
    for n, step in enumerate(steps):
        part = slice(n // 3 * 128, n // 3 * 128 + 128), slice(n % 3 * 128, n % 3 * 128 + 128)
        made[part] = np.roll(plane[part], step, (0, 1))
    return made


def test_blocks_that_went_different_ways_are_found_where_plain_correlation_finds_nothing():
    steps = [tuple(step) for step in RNG.integers(-6, 7, (9, 2)).tolist()]
    residual = NOISE + 0.15 * moved(K, steps)
    assert abs(oracles.ncc(residual, K) * SIDE) < 4
    assert float(score(residual, K)) > 8
    assert abs(float(score(residual, OTHER))) < 3


def test_pixels_that_were_not_moved_are_found_as_well():
    assert float(score(NOISE + 0.15 * K, K)) > 8


def test_chance_gives_about_a_standard_normal():
    draws = np.random.default_rng(1).normal(size=(40, 2, 256, 256))
    found = [float(score(*pair)) for pair in draws]
    assert abs(np.mean(found)) < 0.5
    assert 0.7 < np.std(found) < 1.5


def test_small_blocks_that_overlap_find_small_pieces_and_are_calibrated_too():
    residual = NOISE.copy()
    for top in range(0, SIDE, 48):
        for left in range(0, SIDE, 48):
            step = RNG.integers(-6, 7, 2)
            piece = np.roll(K, step, (0, 1))[top : top + 48, left : left + 48]
            residual[top : top + 48, left : left + 48] += 0.15 * piece
    assert abs(oracles.ncc(residual, K) * SIDE) < 5
    assert float(small(residual, K)) > 2 * max(float(score(residual, K)), 3)
    draws = np.random.default_rng(2).normal(size=(60, 2, 224, 224))
    found = [float(small(*pair)) for pair in draws]
    assert abs(np.mean(found)) < 0.4
    assert 0.75 < np.std(found) < 1.25


@pytest.mark.parametrize("blocks", [places.LARGE, places.SMALL])
def test_the_figure_is_that_of_its_definition(blocks):
    """By SciPy's correlation of every block with its surroundings."""
    side, step, spread = blocks
    residual, width, border = NOISE + 0.1 * np.roll(K, (2, -3), (0, 1)), 16, 24
    around = np.pad(K, border, mode="reflect")
    near, far = [], []
    for top in range(0, SIDE - side + 1, step):
        for left in range(0, SIDE - side + 1, step):
            block = residual[top : top + side, left : left + side]
            seen = around[top : top + side + 2 * border, left : left + side + 2 * border]
            surface = signal.correlate(seen - seen.mean(), block - block.mean(), mode="valid")
            surface = surface[:48, :48] / surface[:48, :48].std()
            squares = surface.reshape(3, width, 3, width).max((1, 3)).ravel()
            near.append(squares[4])
            far += [*squares[:4], *squares[5:]]
    expected = (np.mean(near) - np.mean(far)) / (spread * np.std(far) / np.sqrt(len(near)))
    found = places.z_score(residual, K, blocks)
    assert float(found) == pytest.approx(expected, rel=2e-3)


def test_nothing_can_be_said_of_one_block_or_of_a_plane_without_noise():
    assert np.isnan(score(NOISE[:200, :200], K[:200, :200]))
    assert np.isnan(small(NOISE[:80, :80], K[:80, :80]))
    assert np.isnan(small(NOISE[:40, :200], K[:40, :200]))
    assert np.isnan(score(np.zeros((256, 256)), K[:256, :256]))


def test_the_borders_of_a_jpeg_s_blocks_do_not_make_another_camera_s_fingerprint_lie_in_place():
    """In photo and fingerprint noise differs there, and meets itself at every eighth shift."""
    lines = np.where(np.arange(SIDE) % 8 == 0, 4, 1)
    loud = np.outer(lines, lines)
    assert abs(float(small(loud * NOISE, loud * OTHER))) < 3
    assert abs(float(score(loud * NOISE, loud * OTHER))) < 3


def test_bright_and_noisy_places_do_not_make_another_camera_s_fingerprint_lie_in_place():
    """Were I·K moved over W, as in the last line, they would meet themselves there."""
    draw = np.random.default_rng(4)
    bright = np.kron(draw.random((SIDE // 16, SIDE // 16)) < 0.1, np.ones((16, 16)))
    levels = 20 + 180 * bright + (0.5 + 5 * bright) * NOISE
    photo = np.repeat(np.clip(np.rint(levels), 0, 255).astype(np.uint8)[..., None], 3, 2)
    pattern = oracles.pattern(photo, OTHER)
    evidence = attackers.Evidence(OTHER[None].astype(np.float32))
    for name, blocks in (("places", places.LARGE), ("pieces", places.SMALL)):
        (found,) = attackers.ATTACKERS[name].attack(photo[None], evidence)[0]
        assert abs(found) < 2.5
        assert float(places.z_score(oracles.residual(photo), pattern, blocks)) > 4


def test_the_attacker_by_pieces_finds_a_carved_photo_that_the_paper_s_does_not():
    camera, other = (synthetic.Camera(seed, strength=0.02) for seed in (0, 1))
    photo = synthetic.expose(camera, synthetic.scene(0, SIDE), 0)
    made = seams.forced(jax.random.key(0), photo)
    planes = np.stack([c.fingerprint(SIDE, SIDE) for c in (camera, other)]).astype(np.float32)
    evidence = attackers.Evidence(planes)
    own, foreign = attackers.ATTACKERS["pieces"].attack(made[None], evidence)[0]
    assert abs(attackers.wavelet(made[None], evidence)[0, 0]) < 5
    assert foreign < 3 < 9 < own
    weighted = oracles.residual(made) * oracles.luma(made)
    assert own == pytest.approx(float(small(weighted, planes[0])), abs=0.1)
