"""Checkpoints: what comes back, and what a kill or a bad disk may leave."""

import json
import logging
import os
import subprocess
import sys
import textwrap
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dippas_jax.io import checkpoint
from dippas_jax.types import InputError
from tests.messages import assert_one_sentence


def half(data):
    return data[: len(data) // 2]


def flipped(data):
    middle = len(data) // 2
    return data[:middle] + bytes([data[middle] ^ 16]) + data[middle + 1 :]


class Moments(NamedTuple):
    mean: Any
    empty: Any = ()


class Carry(NamedTuple):
    step: Any
    params: Any
    moments: Moments
    pixels: Any


def carry(step, side=8):
    draw = np.random.default_rng(step)
    return Carry(
        jnp.int32(step),
        {"block": {"kernel": jnp.asarray(draw.normal(size=(3, side)), jnp.float32)}},
        Moments(jnp.array([np.nan, -0.0, np.inf], jnp.float32)),
        (draw.integers(0, 256, (4, 4, 3), np.uint8), np.array([True, False]), None),
    )


def assert_same(a, b):
    assert jax.tree.structure(a) == jax.tree.structure(b)
    for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True):
        assert isinstance(x, np.ndarray) == isinstance(y, np.ndarray)
        assert (x.dtype, x.shape) == (y.dtype, y.shape)
        assert np.asarray(x).tobytes() == np.asarray(y).tobytes()


def test_a_checkpoint_gives_back_the_same_containers_and_bytes(tmp_path):
    assert checkpoint.latest(tmp_path / "none", carry(0)) is None
    checkpoint.save(tmp_path / "c", 7, carry(7))
    step, tree = checkpoint.latest(tmp_path / "c", carry(0))
    assert step == 7
    assert_same(tree, carry(7))
    shapes = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype), carry(0))
    _, tree = checkpoint.latest(tmp_path / "c", shapes)
    assert isinstance(tree.pixels[0], jax.Array)


def test_the_two_newest_checkpoints_are_kept_and_none_after_deletion(tmp_path):
    for step in (1, 2, 5):
        checkpoint.save(tmp_path / "c", step, carry(step))
    assert {p.name for p in (tmp_path / "c").iterdir()} == {"2", "5"}
    checkpoint.delete(tmp_path / "c")
    checkpoint.delete(tmp_path / "c")
    assert os.listdir(tmp_path) == []


def test_only_checkpoints_are_removed_from_a_folder(tmp_path):
    (tmp_path / "photos").mkdir()
    (tmp_path / "2.orbax-checkpoint-tmp").mkdir()
    for step in (1, 2, 3):
        checkpoint.save(tmp_path, step, carry(step))
    assert {p.name for p in tmp_path.iterdir()} == {"2", "3", "photos"}


def test_saving_an_earlier_step_makes_it_the_newest(tmp_path):
    for step in (10, 20, 20, 10):
        checkpoint.save(tmp_path, step, carry(step + len(os.listdir(tmp_path))))
    step, _ = checkpoint.latest(tmp_path, carry(0))
    assert step == 10


KILLED = """
    import os, signal, sys
    import numpy as np
    import orbax.checkpoint as ocp
    from dippas_jax.io import checkpoint, files

    folder, when = sys.argv[1:]
    tree = {"a": np.arange(1000, dtype=np.float32)}
    checkpoint.save(folder, 1, tree)

    def killed(*args, **kwargs):
        os.kill(os.getpid(), signal.SIGKILL)

    async def killed_async(*args, **kwargs):
        killed()

    if when == "before the arrays are in place":
        from orbax.checkpoint._src.path import atomicity
        atomicity.AtomicRenameTemporaryPath.finalize = killed_async
    else:
        files.write_json = killed
    checkpoint.save(folder, 2, {"a": tree["a"] + 1})
"""


@pytest.mark.parametrize(
    "when", ["before the arrays are in place", "before the manifest is written"]
)
def test_a_process_killed_while_saving_leaves_the_checkpoint_before(tmp_path, when):
    command = [sys.executable, "-c", textwrap.dedent(KILLED), str(tmp_path), when]
    done = subprocess.run(command, capture_output=True, timeout=120, check=False)
    assert done.returncode == -9, done.stderr.decode()
    assert len(os.listdir(tmp_path)) == 2, "the torn save is there"
    tree = {"a": np.arange(1000, dtype=np.float32)}
    step, read = checkpoint.latest(tmp_path, tree)
    assert step == 1
    np.testing.assert_array_equal(read["a"], tree["a"])
    checkpoint.save(tmp_path, 2, tree)
    assert checkpoint.latest(tmp_path, tree)[0] == 2
    assert {p.name for p in tmp_path.iterdir()} == {"1", "2"}


@pytest.mark.parametrize("how", ["cut", "zeroed", "flipped", "gone"])
@pytest.mark.parametrize("what", ["arrays", "_CHECKPOINT_METADATA", "manifest.json"])
def test_a_damaged_checkpoint_is_passed_over(tmp_path, how, what):
    tree = {"a": np.random.default_rng(0).normal(size=99_999).astype(np.float32)}
    for step in (1, 2):
        checkpoint.save(tmp_path, step, tree)
    files = [p for p in (tmp_path / "2").rglob("*") if p.is_file()]
    victim = max(files, key=lambda p: p.stat().st_size)
    if what != "arrays":
        victim = tmp_path / "2" / what
    data = victim.read_bytes()
    spoil = {
        "cut": half,
        "zeroed": lambda d: bytes(len(d)),
        "flipped": flipped,
        "gone": lambda _: b"",
    }
    victim.write_bytes(spoil[how](data))
    step, read = checkpoint.latest(tmp_path, tree)
    np.testing.assert_array_equal(read["a"], tree["a"])
    assert step == 1
    checkpoint.save(tmp_path, 2, tree)
    assert checkpoint.latest(tmp_path, tree)[0] == 2


def test_nothing_whole_means_starting_again(tmp_path):
    checkpoint.save(tmp_path, 1, carry(1))
    (tmp_path / "1" / "manifest.ocdbt").write_bytes(b"")
    assert checkpoint.latest(tmp_path, carry(0)) is None


def test_a_checkpoint_of_other_settings_is_refused_and_kept(tmp_path):
    checkpoint.save(tmp_path, 1, carry(1))
    with pytest.raises(InputError) as caught:
        checkpoint.latest(tmp_path, carry(0, side=9))
    assert_one_sentence(str(caught.value), tmp_path, "params['block']['kernel']")
    assert checkpoint.latest(tmp_path, carry(0))[0] == 1


def test_a_manifest_of_any_length_is_refused_in_one_sentence(tmp_path):
    checkpoint.save(tmp_path, 1, carry(1))
    manifest = tmp_path / "1" / "manifest.json"
    known = json.loads(manifest.read_text())
    manifest.write_text(json.dumps(known | {"layout": ["[2, " * 20_000]}))
    with pytest.raises(InputError) as caught:
        checkpoint.latest(tmp_path, carry(0))
    assert_one_sentence(str(caught.value), tmp_path, "differs")
    assert len(str(caught.value)) < 1000


def test_checkpoints_in_a_bad_place_are_refused(tmp_path):
    (tmp_path / "file").write_bytes(b"in the way")
    with pytest.raises(InputError) as caught:
        checkpoint.save(tmp_path / "file" / "c", 1, carry(1))
    assert_one_sentence(str(caught.value), tmp_path / "file", "written")


def test_a_full_disk_is_told_in_one_sentence(tmp_path, monkeypatch):
    """As tensorstore tells it."""

    def full(*_):
        raise ValueError("RESOURCE_EXHAUSTED: Error writing\n'x': No space left on device")

    monkeypatch.setattr(checkpoint.store, "write_json", full)
    with pytest.raises(InputError) as caught:
        checkpoint.save(tmp_path / "c", 1, carry(1))
    assert_one_sentence(str(caught.value), tmp_path / "c", "No space left on device")


def test_checkpoints_neither_log_nor_install_log_handlers(tmp_path, caplog, capfd):
    handlers = logging.root.handlers[:]
    with caplog.at_level(logging.DEBUG):
        checkpoint.save(tmp_path, 1, carry(1))
        checkpoint.latest(tmp_path, carry(0))
    assert logging.root.handlers == handlers
    assert not [record for record in caplog.records if record.name == "absl"]
    assert capfd.readouterr().err == ""
