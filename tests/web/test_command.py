"""`dippas web` on the command line: what it refuses before anything is served."""

import importlib.util
import socket

import pytest

from dippas_jax.cli import main


def refused(capsys, *arguments):
    code = main.main(["web", "--no-browser", *arguments])
    out, err = capsys.readouterr()
    assert (code, out) == (2, "")
    assert len(err.splitlines()) == 1
    return err


@pytest.mark.parametrize("port", ["80", "70000", "x", "-1"])
def test_ports_that_users_cannot_have(capsys, port):
    assert "not a port, 1024 to 65535" in refused(capsys, f"--port={port}")


def test_a_port_that_is_taken(capsys, tmp_path, monkeypatch):
    pytest.importorskip("uvicorn", reason="needs the extra `web`")
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        assert f"port {port} cannot be used" in refused(capsys, "--port", port)
    assert not list(tmp_path.iterdir())


def test_without_the_extra_it_says_what_to_install(capsys, monkeypatch):
    find = importlib.util.find_spec
    absent = {"uvicorn", "starlette"}
    monkeypatch.setattr(
        importlib.util,
        "find_spec",
        lambda name, *rest: None if name in absent else find(name, *rest),
    )
    assert "pip install 'dippas-jax[web]'" in refused(capsys)
