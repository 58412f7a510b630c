"""What an installation has, and whether it works."""

import importlib.metadata
import json
import re

import jax
import numpy as np
import pytest

from dippas_jax.cli import main as cli
from dippas_jax.io import confinement, decoder, files, weights
from dippas_jax.signal import dncnn
from dippas_jax.sparse import anonymize as sparse
from dippas_jax.types import Result


@pytest.fixture
def dippas(capsys, monkeypatch, tmp_path):
    monkeypatch.setattr(files, "cache_folder", lambda: tmp_path / "cache")

    def run(*arguments):
        code = cli.main(list(arguments))
        return code, *capsys.readouterr()

    return run


def working(key, pixels, fingerprint, *, target_psnr):
    """A method that does what the doctor looks for."""
    return Result(pixels ^ np.uint8(1), target_psnr, {"sigma-3": 0.5}, {}, {})


@pytest.mark.slow
def test_all_is_well(dippas):
    code, out, err = dippas("doctor", "--json")
    found = json.loads(out)
    assert (code, err) == (0, "")
    assert found["versions"]["jax"]
    assert found["devices"]
    assert found["memory"]["in all"].endswith("GiB")
    assert [check["ok"] for check in found["checks"]] == [True, True, True]
    assert "PSNR 39." in found["checks"][2]["says"]


def test_what_works_is_told_in_lines(dippas, monkeypatch):
    monkeypatch.setattr(sparse, "anonymize", working)
    code, out, err = dippas("doctor")
    assert (code, err) == (0, "")
    assert "sparse    ok: simulated photo, PSNR 39.0 dB, largest |z| 0.5" in out


@pytest.mark.parametrize("wrong", ["does nothing", "differs each time", "breaks"])
def test_a_method_that_does_not_work_is_told(dippas, monkeypatch, wrong):
    draws = np.random.default_rng(0)

    def broken(key, pixels, fingerprint, **options):
        version = working(key, pixels, fingerprint, **options)
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


@pytest.mark.parametrize(
    "error", [RuntimeError("Unable to initialize backend 'cuda'\nand more"), AssertionError()]
)
def test_where_jax_finds_no_device_the_rest_is_told_all_the_same(dippas, monkeypatch, error):
    def nothing(*_, **__):
        raise error

    for place, name in ((jax, "devices"), (dncnn, "parse"), (sparse, "anonymize")):
        monkeypatch.setattr(place, name, nothing)
    monkeypatch.setattr(weights, "load", lambda: b"some")
    code, out, err = dippas("doctor")
    assert (code, err) == (1, "")
    assert "devices   none found by JAX" in out
    assert re.search("sparse    FAILED: (Unable to initialize backend 'cuda'|AssertionError);", out)


def test_a_package_without_metadata_is_told(dippas, monkeypatch):
    honest = importlib.metadata.version

    def version(name):
        if name == "dippas-jax":
            raise importlib.metadata.PackageNotFoundError(name)
        return honest(name)

    monkeypatch.setattr(importlib.metadata, "version", version)
    monkeypatch.setattr(sparse, "anonymize", working)
    code, out, _ = dippas("doctor", "--json")
    assert (code, json.loads(out)["versions"]["dippas-jax"]) == (0, "unknown")


def test_how_photos_are_decoded_is_told(dippas, monkeypatch):
    monkeypatch.setattr(sparse, "anonymize", working)
    if confinement.possible():
        assert "decoder   ok: photos are decoded in the program itself" in dippas("doctor")[1]
        return
    assert "decoder   ok: photos are decoded in a process of its own: 120 s" in dippas("doctor")[1]
    broken = decoder.Decoder(("false",))
    monkeypatch.setattr(decoder, "unconfined", broken.unconfined)
    code, out, _ = dippas("doctor")
    assert code == 1
    assert "decoder   FAILED: photos are decoded in the program itself, without limits" in out
    monkeypatch.setattr(confinement, "resource", None)
    monkeypatch.setattr(decoder, "unconfined", decoder.Decoder().unconfined)
    code, out, _ = dippas("doctor")
    assert code == 0
    assert "decoder   ok: photos are decoded in the program itself, without limits" in out


def test_a_cache_that_cannot_be_written_to_is_told(dippas, monkeypatch, tmp_path):
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setattr(files, "cache_folder", lambda: tmp_path / "file")
    monkeypatch.setattr(sparse, "anonymize", working)
    code, out, _ = dippas("doctor", "--json")
    assert code == 1
    assert [check["ok"] for check in json.loads(out)["checks"]] == [False, True, True]
