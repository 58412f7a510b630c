"""`dippas web` on the command line: what it refuses, and a job with its own commands."""

import asyncio
import importlib.util
import io
import socket
import sys

import pytest
from PIL import Image

from dippas_jax.cli import main, web
from dippas_jax.datasets import synthetic
from dippas_jax.io import confinement, decoder
from dippas_jax.web import jobs


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


def test_where_the_decoder_may_not_be_started_that_is_said(capsys, tmp_path, monkeypatch):
    pytest.importorskip("uvicorn", reason="needs the extra `web`")
    closed = tmp_path / "python"
    closed.write_text("")
    nobody = decoder.Decoder((str(closed),))
    monkeypatch.setattr(decoder, "_ours", nobody)
    monkeypatch.setattr(decoder, "start", nobody.start)
    monkeypatch.setattr("dippas_jax.web.server.serve", lambda *_, **__: nobody.unconfined())
    assert main.main(["web", "--no-browser"]) == 0
    said = "photos were decoded in the program itself, without limits, since"
    assert (said in capsys.readouterr().err) == (not confinement.possible())


@pytest.mark.slow
def test_walls_become_the_fingerprint_that_photos_are_treated_with(tmp_path, monkeypatch):
    """By the commands themselves, of which the other tests have a stand-in."""
    monkeypatch.setenv("HOME", str(tmp_path))
    camera = synthetic.Camera(seed=3, strength=0.02)
    store = jobs.Store(
        tmp_path / "private",
        jobs.Program([sys.executable, "-m", "dippas_jax.cli.web_worker"], web.described, "careful"),
    )

    def add(kind, name, pixels):
        data = io.BytesIO()
        Image.fromarray(pixels).save(data, "PNG")
        with store.receive(kind, name) as upload:
            upload.write(data.getvalue())

    async def visit():
        add("photo", "a.png", synthetic.expose(camera, synthetic.scene(1, 64), 1))
        for number, wall in enumerate(synthetic.flats(camera, 64, 64, 3)):
            add("wall", f"w{number}.png", wall)
        store.estimate(jobs.Wishes())
        await store._task
        ready = store.known()
        store.start(jobs.Wishes())
        await store._task
        return ready, store.known()

    ready, done = asyncio.run(visit())
    assert (ready["state"], ready["camera"], done["state"]) == ("ready", True, "done")
    assert any("3 photos" in note for note in ready["notes"]), "three are few"
    assert not any("wall/" in note or "results/" in note for note in done["notes"])
    known = done["photos"][1]
    assert "attackers" in known["figures"], "so a fingerprint was used"
    Image.open(store.result(1)).verify()
