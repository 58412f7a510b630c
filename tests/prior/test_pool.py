"""The pool: what is merged chunk by chunk is what sorting everything at once would keep."""

import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dippas_jax.prior import pool
from dippas_jax.prior.pool import Best
from tests import oracles

HEIGHT, WIDTH, STEPS = 20, 27, 12
CHUNKINGS = [(12,), (4, 4, 4), (5, 7)]
merge = jax.jit(pool.merge)


@functools.cache
def snapshots():
    """Snapshots, their residuals, P, and which are admitted. P is zero in one corner: nan there."""
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (STEPS, HEIGHT, WIDTH, 3), np.uint8)
    residuals = rng.standard_normal((STEPS, HEIGHT, WIDTH)).astype(np.float32)
    plane = rng.standard_normal((HEIGHT, WIDTH)).astype(np.float32)
    plane[:8, :8] = 0
    pixels[7], residuals[7] = pixels[3], residuals[3]  # a tie of equal blocks
    residuals[5, 8:16, 8:16] = 0  # one block of one snapshot is undefined
    admitted = np.ones(STEPS, bool)
    admitted[[0, 6]] = False
    return pixels, residuals, plane, admitted


def fill(side, capacity, chunking=(4, 4, 4), admitted=None):
    pixels, residuals, plane, usual = snapshots()
    admitted = usual if admitted is None else admitted
    kept, start = pool.empty(HEIGHT, WIDTH, side=side, capacity=capacity), 0
    for length in chunking:
        part = slice(start, start + length)
        kept = merge(kept, pixels[part], residuals[part], plane, jnp.asarray(admitted[part]))
        start += length
    return kept


@functools.cache
def preference(side):
    """For each position, the admitted snapshots from first choice to last: the paper's words."""
    pixels, residuals, plane, admitted = snapshots()
    ncc = np.array(
        [
            oracles.ncc_blocks(w, oracles.pattern(i, plane), side)
            for i, w in zip(pixels, residuals, strict=True)
        ]
    )

    def choice(step, value):
        group = 2 if math.isnan(value) else int(value >= 0)
        return (group, 0.0 if group == 2 else abs(value), step)

    order = {}
    for r in range(ncc.shape[1]):
        for k in range(ncc.shape[2]):
            keys = [choice(s, ncc[s, r, k]) for s in range(STEPS) if admitted[s]]
            order[r, k] = [step for _, _, step in sorted(keys)]
    return order


def assembled(side, average):
    """The anonymised photo from all snapshots at once."""
    pixels = snapshots()[0].astype(np.float64)
    photo = np.zeros((HEIGHT, WIDTH, 3))
    for (r, k), order in preference(side).items():
        place = slice(r * side, (r + 1) * side), slice(k * side, (k + 1) * side)
        photo[place] = np.mean([pixels[s][place] for s in order[:average]], axis=0)
    return photo


def any_best():
    return Best(jnp.full((HEIGHT, WIDTH, 3), 77, jnp.uint8), jnp.float32(30))


@pytest.mark.parametrize("chunking", CHUNKINGS)
@pytest.mark.parametrize("side", [8, 27])
def test_streaming_keeps_what_sorting_all_snapshots_at_once_puts_first(side, chunking):
    pixels = snapshots()[0]
    kept = fill(side, 4, chunking)
    for (r, k), order in preference(side).items():
        for place, step in enumerate(order[:4]):
            block = pixels[step, r * side : (r + 1) * side, k * side : (k + 1) * side]
            found = np.asarray(kept.blocks[place, r, k])[: block.shape[0], : block.shape[1]]
            np.testing.assert_array_equal(found, block, err_msg=f"{place} at {r}, {k}")
    assert (np.diff(kept.rank, axis=0) >= 0).all()


def test_the_case_holds_ties_and_undefined_blocks():
    """Without them the test above would pass for a careless order."""
    order = preference(8)
    assert order[0, 0] == [s for s in range(STEPS) if s not in (0, 6)], "all undefined: by step"
    assert order[1, 1][-1] == 5, "undefined comes last"
    assert all(abs(o.index(3) - o.index(7)) == 1 for p, o in order.items() if p != (0, 0))


@pytest.mark.parametrize("average", [1, 3, 40])
@pytest.mark.parametrize("side", [8, 27])
def test_the_photo_is_the_mean_of_the_first_blocks_at_every_position(side, average):
    photo = pool.assemble(fill(side, average), any_best(), average)
    np.testing.assert_allclose(photo, assembled(side, average), atol=1e-3)


@pytest.mark.parametrize("average", [1, 2, 5])
def test_a_pool_of_greater_capacity_serves_every_smaller_average(average):
    large = pool.assemble(fill(8, 5), any_best(), average)
    small = pool.assemble(fill(8, average), any_best(), average)
    np.testing.assert_array_equal(large, small)


def test_fewer_snapshots_than_the_average_wants_are_averaged_alone():
    admitted = np.zeros(STEPS, bool)
    admitted[[2, 9]] = True
    photo = pool.assemble(fill(8, 5, admitted=admitted), any_best(), 5)
    two = snapshots()[0][[2, 9]].astype(np.float64).mean(0)
    np.testing.assert_allclose(photo, two, atol=1e-4)


def test_an_empty_pool_gives_the_best_snapshot():
    nobody = fill(8, 5, admitted=np.zeros(STEPS, bool))
    for kept in (nobody, pool.empty(HEIGHT, WIDTH, side=8, capacity=5)):
        np.testing.assert_array_equal(pool.assemble(kept, any_best(), 3), any_best().pixels)


@functools.cache
def cases():
    """A filled, a partly filled and an empty pool of five, each with a best snapshot of its own,
    and what they give for three, written with NumPy."""
    two, nobody = np.zeros((2, STEPS), bool)
    two[[2, 9]] = True
    pools = [fill(8, 5), fill(8, 5, admitted=two), fill(8, 5, admitted=nobody)]
    draw = np.random.default_rng(1).integers(0, 256, (3, HEIGHT, WIDTH, 3), np.uint8)
    bests = [Best(jnp.asarray(pixels), jnp.float32(30)) for pixels in draw]
    photos = snapshots()[0].astype(np.float64)
    return pools, bests, [assembled(8, 3), photos[[2, 9]].mean(0), draw[2].astype(np.float64)]


@pytest.mark.parametrize("index", range(3), ids=["filled", "partly", "empty"])
def test_assembling_may_be_compiled(index):
    kept, best, expected = (of[index] for of in cases())
    plain = pool.assemble(kept, best, 3)
    compiled = jax.jit(pool.assemble, static_argnames="length")(kept, best, length=3)
    np.testing.assert_allclose(plain, expected, atol=1e-3)
    np.testing.assert_allclose(compiled, plain, atol=1e-4)


def test_assembling_may_be_mapped_over_photos_whose_pools_are_not_equally_full():
    pools, bests, expected = cases()
    batch = jax.tree.map(lambda *leaves: jnp.stack(leaves), *zip(pools, bests, strict=True))
    mapped = jax.vmap(lambda kept, best: pool.assemble(kept, best, 3))
    for photos in (mapped(*batch), jax.jit(mapped)(*batch)):
        np.testing.assert_allclose(photos, expected, atol=1e-3)
        for photo, kept, best in zip(photos, pools, bests, strict=True):
            np.testing.assert_allclose(photo, pool.assemble(kept, best, 3), atol=1e-4)


def test_memory_does_not_grow_with_the_steps():
    sizes = {
        jax.tree.map(lambda x: (x.shape, str(x.dtype)), kept)
        for kept in (pool.empty(HEIGHT, WIDTH, side=8, capacity=4), fill(8, 4), fill(8, 4, (12,)))
    }
    assert sizes == {(((4, 3, 4, 8, 8, 3), "uint8"), ((4, 3, 4), "float32"))}


def test_the_best_snapshot_is_the_first_of_the_highest_psnr_that_counts():
    pixels = jnp.asarray(snapshots()[0][:4])
    psnr = jnp.asarray([20.0, 31.0, 31.0, 50.0])
    counted = jnp.asarray([True, True, True, False])
    start = Best(jnp.zeros((HEIGHT, WIDTH, 3), jnp.uint8), jnp.asarray(-jnp.inf, jnp.float32))
    best = pool.improve(start, pixels, psnr, counted)
    assert best.psnr == 31
    np.testing.assert_array_equal(best.pixels, pixels[1])
    later = pool.improve(best, pixels[::-1], jnp.asarray([31.0, 30, 0, 0]), jnp.ones(4, bool))
    np.testing.assert_array_equal(later.pixels, pixels[1], err_msg="on a tie the earlier stays")
    none = pool.improve(best, pixels, psnr + 60, jnp.zeros(4, bool))
    assert none.psnr == 31
