"""Kept programs that were cut off: silent, removed, and made again by the next run."""

import contextlib
import os
import subprocess
import sys
import zlib
from pathlib import Path
from types import SimpleNamespace

import jax
import pytest

from dippas_jax.io import program_cache

ROOT = Path(__file__).parents[2]
RUN = """
import sys, jax, jax.numpy as jnp
from pathlib import Path
from dippas_jax.io import program_cache
program_cache.use(Path(sys.argv[1]))
jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)
print(float(jax.jit(lambda x: jnp.sum(jnp.sin(x) * 2))(jnp.arange(64.0))))
"""


def run(folder):
    command = [sys.executable, "-c", RUN, str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT)
    return done.stdout, done.stderr


@pytest.mark.slow
def test_a_cut_off_program_is_compiled_again_without_a_word_and_kept_again(tmp_path):
    said, _ = run(tmp_path)
    entries = sorted(tmp_path.glob("*-cache"))
    assert entries
    for path in entries:
        path.write_bytes(path.read_bytes()[:60])
    assert program_cache.damaged(tmp_path) == entries
    for _ in range(2):
        again, err = run(tmp_path)
        assert again == said
        assert "cache" not in err
    assert program_cache.damaged(tmp_path) == []
    assert sorted(tmp_path.glob("*-cache")) == entries


def test_programs_are_kept_only_where_nobody_else_can_write(tmp_path, monkeypatch):
    """What is kept is run by whoever finds it."""
    new = tmp_path / "deep" / "new"
    assert program_cache.private(new)
    assert new.stat().st_mode & 0o777 == 0o700
    open_to_all = tmp_path / "open"
    open_to_all.mkdir()
    open_to_all.chmod(0o777)
    assert program_cache.private(open_to_all)
    assert open_to_all.stat().st_mode & 0o777 == 0o755
    planted = os.stat_result([*new.stat()[:4], os.getuid() + 1, *new.stat()[5:]])
    with monkeypatch.context() as patch:  # who is not root cannot plant one
        entry = SimpleNamespace(stat=lambda **_: planted)
        patch.setattr(os, "scandir", lambda _: contextlib.nullcontext([entry]))
        assert not program_cache.private(open_to_all)
    (tmp_path / "file").touch()
    assert not program_cache.private(tmp_path / "file" / "below")
    told = {}
    monkeypatch.setattr(jax.config, "update", told.__setitem__)
    program_cache.use(new)
    assert told == {"jax_compilation_cache_dir": str(new)}
    monkeypatch.setattr(os, "getuid", lambda: new.stat().st_uid + 1)
    program_cache.use(new)
    assert told == {"jax_compilation_cache_dir": None}


def test_whole_entries_empty_ones_and_those_of_other_programs(tmp_path):
    (tmp_path / "jit_a-1-cache").write_bytes(zlib.compress(b"program"))
    (tmp_path / "jit_a-2-cache").write_bytes(b"")
    (tmp_path / "jit_b-3-cache").write_bytes(zlib.compress(bytes(999))[:9])
    (tmp_path / "pace.json").write_bytes(b"")
    names = [path.name for path in program_cache.damaged(tmp_path)]
    assert names == ["jit_a-2-cache", "jit_b-3-cache"]
    assert [path.name for path in program_cache.damaged(tmp_path, "jit_b")] == names[1:]


def test_other_warnings_are_shown_as_ever(monkeypatch):
    shown = []
    monkeypatch.setattr(program_cache, "_show", lambda *given: shown.append(str(given[0])))
    program_cache._repair(UserWarning("something else"), UserWarning, "a.py", 1)
    program_cache._repair(
        UserWarning("Error reading persistent compilation cache entry for 'jit_x': Error: cut"),
        UserWarning, "b.py", 2,
    )  # fmt: skip
    assert shown == ["something else"]
