"""What an installation has, and whether it works."""

import json

import numpy as np
import pytest

from dippas_jax.cli import main as cli
from dippas_jax.io import files
from dippas_jax.sparse import anonymize as sparse


@pytest.fixture
def dippas(capsys, monkeypatch, tmp_path):
    monkeypatch.setattr(files, "cache_folder", lambda: tmp_path / "cache")

    def run(*arguments):
        code = cli.main(list(arguments))
        return code, *capsys.readouterr()

    return run


HONEST, DONE = sparse.anonymize, []


def once(*arguments, **options):
    """What the method gives for the doctor's photo, made once for all tests."""
    if not DONE:
        DONE.append(HONEST(*arguments, **options))
    return DONE[0]


def test_all_is_well(dippas, monkeypatch):
    code, out, err = dippas("doctor", "--json")
    found = json.loads(out)
    assert (code, err) == (0, "")
    assert found["versions"]["jax"]
    assert found["devices"]
    assert found["memory"]["in all"].endswith("GiB")
    assert [check["ok"] for check in found["checks"]] == [True, True]
    monkeypatch.setattr(sparse, "anonymize", once)
    code, out, err = dippas("doctor")
    assert (code, err) == (0, "")
    assert "sparse    ok: simulated photo, PSNR 39" in out


@pytest.mark.parametrize("wrong", ["does nothing", "differs each time", "breaks"])
def test_a_method_that_does_not_work_is_told(dippas, monkeypatch, wrong):
    draws = np.random.default_rng(0)

    def broken(key, pixels, fingerprint, **options):
        version = once(key, pixels, fingerprint, **options)
        if wrong == "does nothing":
            return version._replace(pixels=pixels, z={"sigma-3": 17.0})
        if wrong == "differs each time":
            return version._replace(pixels=version.pixels ^ draws.integers(2, dtype=np.uint8))
        raise RuntimeError("no kernel\nand a long trace")

    monkeypatch.setattr(sparse, "anonymize", broken)
    code, out, _ = dippas("doctor")
    assert code == 1
    line = next(line for line in out.splitlines() if line.startswith("sparse"))
    assert "FAILED" in line
    assert "; install" in line


def test_a_cache_that_cannot_be_written_to_is_told(dippas, monkeypatch, tmp_path):
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setattr(files, "cache_folder", lambda: tmp_path / "file")
    monkeypatch.setattr(sparse, "anonymize", once)
    code, out, _ = dippas("doctor", "--json")
    assert code == 1
    assert [check["ok"] for check in json.loads(out)["checks"]] == [False, True]
