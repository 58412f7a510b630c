"""Estimates of time: what is remembered, and that compiling is left out of it."""

import json
import time

import jax
import jax.numpy as jnp
import pytest

from dippas_jax.cli import pace
from dippas_jax.io import files


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setattr(files, "cache_folder", lambda: tmp_path)
    return tmp_path / "speed.json"


def test_a_pace_is_seconds_by_tiles_and_kept_by_kind(cache):
    assert pace.remembered("blind") is None
    pace.remember("blind", 12.0, 48)
    pace.remember("report", 9.0, 3)
    assert pace.remembered("blind") == 0.25
    assert pace.remembered("report") == 3
    assert pace.remembered("aware") is None


def test_less_than_a_tile_tells_nothing(cache):
    pace.remember("report", 9.0, 0.25)
    assert not cache.exists()


@pytest.mark.parametrize("content", ["{", "[1]", json.dumps({"cpu blind": -1})])
def test_a_damaged_memory_is_none(cache, content):
    cache.write_text(content)
    assert pace.remembered("blind") is None
    pace.remember("blind", 1.0, 1)
    assert pace.remembered("blind") == 1


def test_compiling_is_told_from_working():
    scale = time.monotonic()  # a program that no cache has
    function = jax.jit(lambda x: jnp.sin(scale * x) @ x)
    x = jnp.ones((8, 8))
    with pace.compiling() as first:
        started = time.monotonic()
        function(x).block_until_ready()
        elapsed = time.monotonic() - started
    with pace.compiling() as second:
        function(x).block_until_ready()
    assert 0 < sum(first) < elapsed
    assert second == []
