"""Pools in checkpoints: each block is written once, and every checkpoint gives its own back."""

import json
import random
import subprocess
import sys
import textwrap

import jax
import numpy as np
import pytest

from dippas_jax.io import block_file, checkpoint
from dippas_jax.prior import anonymize
from tests import tiny

SIDE, DEEP, ROWS = 16, 6, 4
BLOCK = SIDE * SIDE * 3


def pool(seed=0):
    """Blocks uint8 [l r k b b 3], best first, all different."""
    draw = np.random.default_rng(seed)
    return draw.integers(0, 256, (DEEP, ROWS, ROWS, SIDE, SIDE, 3), np.uint8)


def better(blocks, seed, places=1):
    """The pool after a snapshot whose first blocks are better than all: the others move down."""
    made, new = blocks.copy(), pool(seed)[0]
    for place in range(places):
        row, column = divmod(place, ROWS)
        made[1:, row, column] = blocks[:-1, row, column]
        made[0, row, column] = new[row, column]
    return made


def tree(blocks, step):
    return {"step": np.int32(step) * np.ones(3, np.int32), "pools": (blocks, np.zeros((2, 2)))}


def restored(folder):
    """The step of the newest checkpoint that can be read, and its pool."""
    found = checkpoint.latest(folder, tree(pool(), 0))
    if found is None:
        return None
    np.testing.assert_array_equal(found[1]["step"], found[0])
    return found[0], found[1]["pools"][0]


def written(folder):
    """Bytes of all files, by name; those of a checkpoint without the file of blocks in sum."""
    sizes = {}
    for path in folder.rglob("*"):
        if path.is_file():
            name = path.relative_to(folder).parts[0]
            sizes[name] = sizes.get(name, 0) + path.stat().st_size
    return sizes


def test_a_checkpoint_writes_the_blocks_that_are_new_and_no_others(tmp_path):
    first = pool()
    checkpoint.save(tmp_path, 10, tree(first, 10))
    sizes = written(tmp_path)
    assert sizes["blocks-10"] == first.nbytes
    assert sizes["10"] < 8000 + 24 * first.size / BLOCK, "the pool is not in it"
    second = better(first, seed=1, places=3)
    assert (second != first).any(axis=(3, 4, 5)).sum() == 3 * DEEP, "each has moved down"
    checkpoint.save(tmp_path, 20, tree(second, 20))
    sizes = written(tmp_path)
    assert sizes["blocks-10"] == first.nbytes + 3 * BLOCK
    assert set(sizes) == {"blocks-10", "10", "20"}
    assert sizes["20"] < 8000 + 24 * first.size / BLOCK
    step, blocks = restored(tmp_path)
    assert step == 20
    np.testing.assert_array_equal(blocks, second)


def test_equal_blocks_are_one_on_disk(tmp_path):
    """As in pools of several thresholds, and where nothing was kept yet."""
    one = pool()
    checkpoint.save(tmp_path, 1, {"a": one, "b": (one[::-1], np.zeros_like(one))})
    assert written(tmp_path)["blocks-1"] == one.nbytes + BLOCK
    _, found = checkpoint.latest(tmp_path, {"a": one, "b": (one, one)})
    np.testing.assert_array_equal(found["b"][0], one[::-1])
    assert not found["b"][1].any()


def test_blocks_of_several_sides_and_arrays_on_the_device_come_back(tmp_path):
    small = np.random.default_rng(3).integers(0, 256, (2, 3, 5, 8, 8, 3), np.uint8)
    given = {"a": jax.numpy.asarray(pool()), "b": small, "photo": pool()[0, 0, 0], "none": None}
    checkpoint.save(tmp_path, 1, given)
    _, found = checkpoint.latest(tmp_path, given)
    tiny.assert_same_bytes(found, given)
    assert isinstance(found["a"], jax.Array)
    assert isinstance(found["b"], np.ndarray)


def test_the_file_stays_below_twice_what_is_used_however_often_blocks_change(tmp_path):
    blocks = pool()
    begun = set()
    for step in range(1, 40):
        before, blocks = blocks, better(blocks, seed=step, places=11)
        checkpoint.save(tmp_path, step, tree(blocks, step))
        names = {path.name for path in tmp_path.glob("blocks-*")}
        begun |= names
        newest = max(names, key=lambda name: int(name.removeprefix("blocks-")))
        assert (tmp_path / newest).stat().st_size <= 2 * blocks.nbytes
        assert len(names) <= 2
        np.testing.assert_array_equal(restored(tmp_path)[1], blocks)
        (tmp_path / str(step) / "manifest.json").rename(tmp_path / str(step) / "gone")
        if step > 1:
            assert restored(tmp_path)[0] == step - 1, "also where the newest began a new file"
            np.testing.assert_array_equal(restored(tmp_path)[1], before)
        (tmp_path / str(step) / "gone").rename(tmp_path / str(step) / "manifest.json")
    assert len(begun) > 3


def test_a_run_that_went_back_finds_its_blocks(tmp_path):
    states = {step: pool(step) for step in (10, 20, 30)}
    for step, blocks in states.items():
        checkpoint.save(tmp_path, step, tree(blocks, step))
    checkpoint.save(tmp_path, 25, tree(states[30], 25))
    step, blocks = restored(tmp_path)
    assert step == 25
    np.testing.assert_array_equal(blocks, states[30])
    checkpoint.save(tmp_path, 5, tree(states[10], 5))
    np.testing.assert_array_equal(restored(tmp_path)[1], states[10])
    assert len(list(tmp_path.glob("blocks-*"))) == 1


KILLED = """
    import os, signal, sys
    import numpy as np
    from dippas_jax.io import block_file, checkpoint
    from tests.io import test_block_file as t

    folder, when, moment = sys.argv[1:]
    first, second = t.pool(), t.better(t.pool(), 1, 5 if when == "grown" else 16)
    if when == "begun":  # everything is new: another file is begun
        second = t.pool(9)
    checkpoint.save(folder, 1, t.tree(first, 1))

    def killed(*given):
        os.kill(os.getpid(), signal.SIGKILL)

    class Torn:
        def __init__(self, file):
            self.file, self.left = file, 3
        def __getattr__(self, name):
            return getattr(self.file, name)
        def __enter__(self):
            return self
        def __exit__(self, *given):
            self.file.close()
        def write(self, block):
            self.left -= 1
            self.file.write(block if self.left else block[:100])
            if not self.left:
                self.file.flush()
                killed()

    if moment == "in a block":
        block_file.open = lambda path, mode: Torn(open(path, mode))
    elif moment == "behind the blocks":
        block_file.os.fsync = killed
    elif moment == "behind the arrays":
        checkpoint._checksums = killed
    else:
        checkpoint.block_file.clear = killed
    checkpoint.save(folder, 2, t.tree(second, 2))
"""


@pytest.mark.parametrize("when", ["grown", pytest.param("begun", marks=pytest.mark.slow)])
@pytest.mark.parametrize(
    "moment", ["in a block", "behind the blocks", "behind the arrays", "before old files go"]
)
def test_a_kill_at_any_moment_leaves_a_checkpoint_that_is_whole(tmp_path, when, moment):
    command = [sys.executable, "-c", textwrap.dedent(KILLED), str(tmp_path), when, moment]
    done = subprocess.run(command, capture_output=True, timeout=120, check=False)
    assert done.returncode == -9, done.stderr.decode()
    second = better(pool(), 1, 5) if when == "grown" else pool(9)
    step, blocks = restored(tmp_path)
    assert step == (2 if moment == "before old files go" else 1)
    np.testing.assert_array_equal(blocks, second if step == 2 else pool())
    for step in (2, 3, 4):
        blocks = better(blocks, seed=10 + step)
        checkpoint.save(tmp_path, step, tree(blocks, step))
        np.testing.assert_array_equal(restored(tmp_path)[1], blocks)
    names = [path.name for path in tmp_path.iterdir() if path.name.startswith("blocks-")]
    assert len(names) == 1, "what the kill left is gone"


@pytest.mark.parametrize("how", ["flipped", "cut", "gone"])
@pytest.mark.parametrize("what", ["shared", "new"])
def test_damaged_blocks_are_found_out_and_never_given(tmp_path, what, how):
    """Damage to what only the newest has leaves the one before; damage to both leaves none."""
    first = pool()
    checkpoint.save(tmp_path, 1, tree(first, 1))
    checkpoint.save(tmp_path, 2, tree(better(first, 1, 4), 2))
    path = tmp_path / "blocks-1"
    data = bytearray(path.read_bytes())
    place = random.Random(how).randrange(first.nbytes)
    if what == "new":
        place = first.nbytes + place % (4 * BLOCK)
    data[place] ^= 16
    path.write_bytes(data[:place] if how == "cut" else data)
    if how == "gone":
        path.unlink()
    found = restored(tmp_path)
    if what == "shared" or how == "gone":
        assert found is None
    else:
        assert found[0] == 1
        np.testing.assert_array_equal(found[1], first)
    step = 2 if found else 1  # the run goes on from there, or starts again
    checkpoint.save(tmp_path, step, tree(better(first, 1, 4), step))
    assert restored(tmp_path)[0] == step
    np.testing.assert_array_equal(restored(tmp_path)[1], better(first, 1, 4))


@pytest.mark.parametrize("how", ["cut", "flipped", "gone"])
def test_a_damaged_list_of_blocks_is_passed_over(tmp_path, how):
    for step in (1, 2):
        checkpoint.save(tmp_path, step, tree(pool(), step))
    path = tmp_path / "2" / "blocks.index"
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data[: len(data) // 2] if how == "cut" else data)
    if how == "gone":
        path.unlink()
    assert restored(tmp_path)[0] == 1
    checkpoint.save(tmp_path, 3, tree(pool(), 3))
    assert restored(tmp_path)[0] == 3
    assert written(tmp_path)["blocks-1"] == pool().nbytes, "the one before it knows the blocks"


@pytest.mark.parametrize("name", ["../precious", "/etc/passwd", "blocks-", "1", None, 3])
def test_a_manifest_names_no_other_file(tmp_path, name):
    folder, precious = tmp_path / "c", tmp_path / "precious"
    precious.write_bytes(b"of another")
    checkpoint.save(folder, 1, tree(pool(), 1))
    path = folder / "1" / "manifest.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"blocks": name}))
    assert restored(folder) is None
    checkpoint.save(folder, 2, tree(pool(2), 2))
    assert restored(folder)[0] == 2
    assert precious.read_bytes() == b"of another"


def test_the_pools_of_a_run_are_kept_by_their_blocks(walked, tmp_path):
    _, progress, _, _ = walked
    assert all(block_file.holds_blocks(one.blocks) for one in progress.pools)
    assert not block_file.holds_blocks(progress.best.pixels)
    checkpoint.save(tmp_path, 12, progress)
    pools, black = sum(one.blocks.nbytes for one in progress.pools), (32**2 + 64**2) * 3
    size = written(tmp_path)["blocks-12"]
    assert size == pools / 2 + black, "no snapshot is above the second threshold"
    _, again = checkpoint.latest(tmp_path, progress)
    tiny.assert_same_bytes(again, progress)
    assert isinstance(again, anonymize.Progress)
    checkpoint.save(tmp_path, 13, progress)
    assert written(tmp_path)["blocks-12"] == size
    assert {path.name for path in tmp_path.iterdir()} == {"12", "13", "blocks-12"}
