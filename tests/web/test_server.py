"""The page's server: who is let in, what is refused and how, a whole run, and what is left."""

import asyncio
import contextlib
import http.client
import io
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import zipfile
from pathlib import Path
from types import SimpleNamespace
from unittest import mock
from urllib.parse import quote, urlsplit

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("uvicorn", reason="needs the extra `web`")
pytest.importorskip("starlette", reason="needs the extra `web`")

from dippas_jax.datasets import synthetic
from dippas_jax.io import private
from dippas_jax.web import guard, jobs, server

STUB = [sys.executable, str(Path(__file__).with_name("stub.py"))]


def described(line, folder, into):
    into.mkdir(parents=True, exist_ok=True)
    (into / "0-before.webp").write_bytes(b"picture")
    assert (folder / line["output"]).exists()
    return {"verdict": "as the stub says", "asked": line["asked"]}


class Client:
    """Asks as a browser does; `cookie` and `origin` can be left out."""

    def __init__(self, link):
        parts = urlsplit(link)
        self.host, self.key, self.cookie, self.place = parts.netloc, parts.query, "", ""

    def ask(self, method, path, body=None, **headers):
        connection = http.client.HTTPConnection(self.host, timeout=30)
        sent = {"Cookie": self.cookie} | ({"Origin": f"http://{self.host}"} if body else {})
        named = {name.replace("_", "-").title(): value for name, value in headers.items()}
        sent = {name: value for name, value in (sent | named).items() if value is not None}
        try:
            connection.request(method, path, body, sent)
            answer = connection.getresponse()
            return SimpleNamespace(status=answer.status, headers=answer.headers, data=answer.read())
        finally:
            connection.close()

    def enter(self):
        answer = self.ask("GET", f"/?{self.key}")
        assert answer.status == 303
        self.place = answer.headers["Location"]
        self.cookie = answer.headers["Set-Cookie"].partition(";")[0]
        return answer

    def get(self, path, **headers):
        return self.ask("GET", self.place + path, **headers)

    def post(self, path, body=b"{}", **headers):
        return self.ask("POST", self.place + path, body, **headers)

    def add(self, name, data=b"data", kind="photo"):
        return self.post(f"files/{kind}?name={quote(name)}", data)

    def state(self):
        return json.loads(self.get("state").data)

    def until(self, *states):
        """What is known as soon as the job is in one of these states."""
        for _ in range(400):
            if (found := self.state())["state"] in states:
                return found
            time.sleep(0.05)
        raise AssertionError(found)


@contextlib.contextmanager
def serving(tmp_path, monkeypatch, command=STUB, **options):
    """A server in a thread, and a client that is let in."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    links, ready = [], threading.Event()

    def note(link):
        links.append(link)
        ready.set()

    program = jobs.Program(command, described, "caution")
    thread = threading.Thread(
        target=server.serve, args=[program], kwargs={"ready": note, **options}
    )
    thread.start()
    assert ready.wait(20)
    client = Client(links[0])
    client.entered = client.enter()
    try:
        yield client
    finally:
        client.post("end")
        thread.join(20)
    assert not thread.is_alive()


@pytest.fixture
def client(tmp_path, monkeypatch):
    with serving(tmp_path, monkeypatch) as found:
        yield found
    assert not list(tmp_path.iterdir()), "nothing is left when the program has ended"


# ------------------------------------------------------------------------------------ who may ask


def test_the_key_works_once_and_gives_a_cookie_of_its_own_path(client):
    cookie = client.entered.headers["Set-Cookie"].lower()
    assert "httponly" in cookie
    assert "samesite=strict" in cookie
    assert f"path={client.place.lower()}" in cookie
    assert "domain" not in cookie
    assert client.ask("GET", f"/?{client.key}").status == 403
    assert client.ask("GET", f"/?{client.key}", cookie=None).status == 403
    assert client.get("").status == 200


@pytest.mark.parametrize(
    ("status", "change"),
    [
        (421, {"host": "example.org"}),
        (421, {"host": "127.0.0.1"}),
        (421, {"host": "127.0.0.1.example.org:1"}),
        (403, {"cookie": None}),
        (403, {"cookie": "dippas=wrong"}),
        (403, {"cookie": "dippas=\xe9"}),
        (403, {"sec_fetch_site": "cross-site"}),
        (403, {"sec_fetch_site": "same-site"}),
    ],
)
def test_strangers_are_refused(client, status, change):
    assert client.get("state", **change).status == status
    assert client.get("nowhere", **change).status == status, "strangers learn nothing"
    assert client.post("estimate", **change).status == status


@pytest.mark.parametrize("origin", [None, "null", "http://example.org", "http://127.0.0.1"])
def test_changes_need_the_origin_of_the_page(client, origin):
    for path in ("estimate", "start", "cancel", "clear", "end", "files/photo?name=a.jpg"):
        assert client.post(path, origin=origin).status == 403
    assert client.state()["files"] == []


def test_localhost_is_this_machine_too(client):
    port = client.host.partition(":")[2]
    assert client.get("state", host=f"localhost:{port}").status == 200
    assert client.get("state", host="localhost:1").status == 421


def test_a_wrong_host_does_not_use_up_the_key():
    door = guard.new(8000)
    key = next(iter(door.keys))
    assert not guard.take_key(door, "")
    assert not guard.take_key(door, key + "x")
    assert guard.wrong_host(door, {"host": "example.org"})
    assert guard.take_key(door, key)
    assert not guard.take_key(door, key)
    assert not guard.take_key(door, "")


def test_every_answer_says_that_nothing_from_elsewhere_may_be_loaded(client):
    for answer in (client.get(""), client.get("state"), client.get("x"), client.get("", host="x")):
        policy = answer.headers["Content-Security-Policy"]
        assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self'")
        assert "unsafe" not in policy
        assert answer.headers["Cache-Control"] == "no-store"
        assert answer.headers["Referrer-Policy"] == "no-referrer"
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert "Server" not in answer.headers


def test_the_page_names_no_other_place():
    for path in server._PAGES.iterdir():
        text = path.read_text(encoding="utf-8")
        text = text.replace("// ", "").replace('xmlns="http://www.w3.org/2000/svg"', "")
        assert "//" not in text, path
        assert "style=" not in text, "the policy would refuse it"


# ------------------------------------------------------------------------------ hostile requests


@pytest.mark.parametrize(
    "name",
    ["../a.jpg", "/etc/passwd", "..\\a.jpg", "", ".", "..", ".bashrc", "a\0.jpg", "a\nb.jpg",
     "C:a.jpg", "x" * 300 + ".jpg"],
)  # fmt: skip
def test_names_that_lead_elsewhere_are_refused(client, name):
    assert client.add(name).status == 400
    assert client.state()["files"] == []


@pytest.mark.parametrize(
    "path",
    ["../state", "%2e%2e/state", "results/../../lock", "results/..%2f..%2flock", "parts/1/0/..",
     "parts/1/0/../../../lock", "results/-1", "results/x", "files", "lock", "page.js/",
     "parts/" + "9" * 5000 + "/0/after"],
)  # fmt: skip
def test_paths_that_lead_elsewhere_are_not_there(client, path):
    assert client.get(path).status == 404


def test_wrong_methods_and_kinds(client):
    assert client.get("start").status == 405
    assert client.post("state").status == 405
    assert client.ask("DELETE", client.place, body=b" ").status == 405
    assert client.post("files/secret?name=a.jpg").status == 404
    assert client.add("K.exe", kind="fingerprint").status == 400


@pytest.mark.parametrize(
    "body",
    [b"", b"x", b"[]", b"3", b'{"strength": "extreme"}', b'{"report": 1}', b'{"output": "/"}',
     b'{"strength": ["-o"]}'],
)  # fmt: skip
def test_wishes_that_no_page_has_are_refused(client, body):
    client.add("a.jpg")
    assert client.post("start", body or None, origin=f"http://{client.host}").status == 400
    assert client.state()["state"] == "waiting"


def raw(client, head, *, wait=0.0, read=True):
    """What the server answers to these bytes."""
    host, port = client.host.split(":")
    with socket.create_connection((host, int(port)), timeout=30) as link:
        link.sendall(head)
        time.sleep(wait)
        return link.recv(65536) if read else b""


def post_head(client, path, *lines):
    more = [f"Host: {client.host}", f"Cookie: {client.cookie}", f"Origin: http://{client.host}"]
    return "\r\n".join([f"POST {client.place}{path} HTTP/1.1", *more, *lines, "", ""]).encode()


def test_a_file_of_ten_gigabytes_is_refused_before_it_comes(client):
    head = post_head(client, "files/photo?name=a.jpg", f"Content-Length: {10 * 2**30}")
    assert raw(client, head).startswith(b"HTTP/1.1 413 ")
    assert raw(client, post_head(client, "start", "Content-Length: 5000")).startswith(
        b"HTTP/1.1 413 "
    )


def test_a_file_that_does_not_say_how_large_it_is_is_cut_off(client, monkeypatch, tmp_path):
    monkeypatch.setattr(jobs, "FILE_BYTES", 1000)
    head = post_head(client, "files/photo?name=a.jpg", "Transfer-Encoding: chunked")
    answer = raw(client, head + 3 * (b"200\r\n" + 512 * b"x" + b"\r\n"))
    assert answer.startswith(b"HTTP/1.1 413 ")
    assert client.state()["files"] == []
    assert not [path for path in tmp_path.rglob("*.jpg")]
    assert client.add("b.jpg", b"x" * 1000).status == 201


def test_more_files_or_bytes_than_there_is_room_for(client, monkeypatch):
    monkeypatch.setattr(jobs, "ALL_BYTES", 10)
    assert client.add("a.jpg", b"1234567").status == 201
    assert client.add("b.jpg", b"1234567").status == 413
    assert client.add("c.jpg", b"123").status == 201, "what was refused takes no room"
    monkeypatch.setattr(jobs, "MOST_FILES", 2)
    assert client.add("d.jpg", b"1").status == 413
    assert client.post("clear").status == 200
    assert client.add("e.jpg", b"1234567").status == 201


def test_who_sends_half_a_request_is_not_waited_for(client, monkeypatch):
    monkeypatch.setattr(server, "PATIENCE", 0.5)
    started = time.monotonic()
    assert raw(client, b"GET / HTTP/1.1\r\nHost: ").startswith(b"HTTP/1.1 408 ")
    assert raw(client, b"") == b"", "who says nothing gets nothing"
    head = post_head(client, "files/photo?name=a.jpg", "Content-Length: 1000")
    assert raw(client, head + b"abc").startswith(b"HTTP/1.1 408 ")
    assert time.monotonic() - started < 10
    assert client.state()["files"] == []


def test_who_drips_a_head_or_a_body_is_cut_off(client, monkeypatch):
    monkeypatch.setattr(server, "PATIENCE", 0.5)
    host, port = client.host.split(":")
    for head in (
        b"GET / HTTP/1.1\r\nX: ",
        post_head(client, "files/photo?name=a.jpg", "Content-Length: 1000"),
        post_head(client, "files/photo?name=a.jpg", "Content-Length: 1000").replace(
            b"dippas", b"x"
        ),
    ):
        with socket.create_connection((host, int(port)), timeout=30) as link:
            link.sendall(head)
            started = time.monotonic()
            with contextlib.suppress(OSError):  # reset, or a broken pipe
                while time.monotonic() - started < 5:
                    link.sendall(b"a")
                    time.sleep(0.05)
            assert time.monotonic() - started < 5


def test_a_head_without_end_is_refused(client):
    answer = raw(client, b"GET / HTTP/1.1\r\nX: " + b"a" * 40_000)
    assert answer == b"" or answer.startswith(b"HTTP/1.1 4")


def test_of_a_hundred_at_once_most_are_refused_and_the_server_lives(client):
    host, port = client.host.split(":")
    with contextlib.ExitStack() as stack:
        links = [
            stack.enter_context(socket.create_connection((host, int(port)), timeout=30))
            for _ in range(100)
        ]
        request = f"GET {client.place}state HTTP/1.1\r\nHost: {client.host}\r\n\r\n".encode()
        for link in links:
            link.sendall(request)
        statuses = [link.recv(65536).split()[1] for link in links]
    assert set(statuses) <= {b"403", b"503"}
    assert statuses.count(b"503") >= 60
    time.sleep(0.2)
    assert client.get("state").status == 200


# -------------------------------------------------------------------------------------- a whole run


def test_three_photos_of_which_one_is_bad(client, tmp_path):
    for name, data in (("a.jpg", b"one"), ("bad.jpg", b"two"), ("ä b.jpg", b"three")):
        assert client.add(name, data).status == 201
    assert client.post("estimate").status == 202
    known = client.until("ready")
    assert known["photos"] == {
        "1": {"minutes": 0.5, "memory_mib": 600, "width": 64, "height": 64},
        "2": {"failed": "photo bad.jpg is damaged"},
        "3": {"minutes": 0.5, "memory_mib": 600, "width": 64, "height": 64},
    }
    assert client.post("start", b'{"displace": true, "strength": "strong"}').status == 202
    known = client.until("done")
    asked = known["photos"]["1"]["asked"]
    assert " ".join(asked) == (
        "anonymize -r photos -o results --json --strength strong --displace 2 --progress"
    )
    assert known["photos"]["2"] == {"failed": "photo bad.jpg is damaged"}
    assert str(tmp_path) not in json.dumps(known)
    answer = client.get("results/3")
    assert answer.data == b"three"
    assert answer.headers["Content-Type"] == "image/jpeg"
    disposition = answer.headers["Content-Disposition"]
    assert disposition == f"attachment; filename*=utf-8''{quote('ä b.anon.jpg')}"
    assert client.get("results/2").status == 404
    assert client.get("parts/1/0/before").data == b"picture"
    assert client.get("report.html").status == client.get("camera.npz").status == 404
    with zipfile.ZipFile(io.BytesIO(client.get("results.zip").data)) as archive:
        assert {name: archive.read(name) for name in archive.namelist()} == {
            "a.anon.jpg": b"one",
            "ä b.anon.jpg": b"three",
        }
        assert archive.infolist()[0].date_time == (1980, 1, 1, 0, 0, 0)
    assert client.post("clear").status == 200
    assert client.state()["files"] == []
    (folder,) = tmp_path.glob(f"{private.PREFIX}*")
    assert [path.name for path in folder.iterdir()] == ["lock"]


def test_photos_of_one_name_keep_apart(client):
    client.add("a.jpg", b"one")
    client.add("a.jpg", b"two")
    client.post("start")
    client.until("done")
    assert [client.get(f"results/{n}").data for n in (1, 2)] == [b"one", b"two"]
    with zipfile.ZipFile(io.BytesIO(client.get("results.zip").data)) as archive:
        assert archive.namelist() == ["a.anon.jpg", "2-a.anon.jpg"]


def test_no_name_comes_twice_in_the_zip_file(client):
    for name in ("3-a.jpg", "a.jpg", "a.jpg"):
        client.add(name, name.encode())
    client.post("start")
    client.until("done")
    with zipfile.ZipFile(io.BytesIO(client.get("results.zip").data)) as archive:
        assert archive.namelist() == ["3-a.anon.jpg", "a.anon.jpg", "3-3-a.anon.jpg"]


def test_a_job_can_be_cancelled_and_goes_on_where_it_was(client, tmp_path):
    client.add("a.jpg", b"one")
    client.add("slow.jpg", b"two")
    client.post("start")
    for _ in range(200):
        if "2" in (known := client.state())["photos"]:
            break
        time.sleep(0.05)
    assert known["photos"]["2"] == {"progress": 0.25}
    assert client.post("start").status == 409, "one job at a time"
    assert client.post("estimate").status == 409
    assert client.add("b.jpg").status == 409
    assert json.loads(client.post("cancel").data)["state"] == "cancelled"
    assert client.get("results/1").data == b"one", "what is done stays"
    (folder,) = tmp_path.glob(f"{private.PREFIX}*")
    result = folder / "results" / "0001" / "a.anon.jpg"
    before = result.stat().st_mtime_ns
    (folder / "photos" / "0002" / "slow.jpg").rename(folder / "photos" / "0002" / "quick.jpg")
    untold = folder / "results" / "0002" / "quick.anon.jpg"  # written just before the kill
    untold.parent.mkdir()
    untold.touch()
    client.post("start")
    known = client.until("done")
    assert "verdict" in known["photos"]["1"]
    assert "verdict" in known["photos"]["2"]
    assert client.get("results/2").data == b"two"
    assert result.stat().st_mtime_ns == before, "done once"
    client.post("start", b'{"strength": "strong"}')
    client.until("done")
    assert result.stat().st_mtime_ns != before, "other wishes, other results"


def test_a_fingerprint_is_built_once_of_photos_of_a_wall(client):
    client.add("a.jpg")
    client.add("w.jpg", b"wall", kind="wall")
    client.post("estimate")
    known = client.until("ready")
    assert known["notes"] == ["only 1 photo: the fingerprint is weak"]
    assert client.get("camera.npz").data == b"K"
    client.post("start")
    known = client.until("done")
    assert known["notes"] == ["only 1 photo: the fingerprint is weak"], "which still holds"
    assert client.get("camera.npz").data == b"K", "it is not built again"
    asked = known["photos"]["1"]["asked"]
    assert asked[asked.index("--fingerprint") + 1] == "camera.npz"
    client.add("K.npy", b"file", kind="fingerprint")
    client.post("start")
    known = client.until("done")
    asked = known["photos"]["1"]["asked"]
    assert known["notes"] == []
    client.add("v.jpg", b"wall", kind="wall")
    assert client.state()["made"] == known["made"], "with a fingerprint, walls change nothing"
    assert asked[asked.index("--fingerprint") + 1] == "K.npy"


@pytest.mark.parametrize(("name", "note"), [
    ("bad.npy", "fingerprint bad.npy is damaged"),
    ("other.npy", "photo a.jpg does not fit the fingerprint"),
])  # fmt: skip
def test_a_fingerprint_of_no_use_takes_no_results_away_and_can_be_left_out(client, name, note):
    client.add("a.jpg", b"one")
    client.post("start")
    client.until("done")
    client.add(name, kind="fingerprint")
    for ask in ("estimate", "start"):
        client.post(ask)
        known = client.until("failed")
        assert known["notes"] == [note]
        assert known["made"] is None
        assert client.get("results/1").data == b"one"
    assert client.post("drop-camera").status == 200
    known = client.state()
    assert [file["kind"] for file in known["files"]] == ["photo"]
    assert known["made"] == known["chosen"], "and these results count again"
    client.post("start")
    assert "asked" in client.until("done")["photos"]["1"]


def test_nothing_begins_while_files_are_on_their_way(tmp_path):
    """Else the rest of a folder would be refused, and nobody told."""
    store = jobs.Store(tmp_path, jobs.Program([], lambda *_: {}, ""))

    async def visit():
        with store.receive("photo", "a.jpg") as one:
            one.write(b"one")
        with store.receive("photo", "b.jpg") as two:
            two.write(b"two")
            for begin in (store.start, store.estimate):
                with pytest.raises(jobs.BusyError, match="on their way"):
                    begin(jobs.Wishes())
        assert [file.name for file in store.files.values()] == ["a.jpg", "b.jpg"]

    asyncio.run(visit())


def test_a_disk_that_is_full_at_the_last_byte_leaves_no_file(tmp_path):
    store = jobs.Store(tmp_path, jobs.Program([], lambda *_: {}, ""))
    upload = store.receive("photo", "a.jpg").__enter__()
    upload.write(b"one")
    upload._open.close()
    upload._open = mock.Mock(close=mock.Mock(side_effect=OSError("full")))
    with pytest.raises(OSError, match="full"):
        upload.__exit__(None, None, None)
    assert (store.bytes, store.coming, store.files) == (0, 0, {})
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_an_estimate_is_of_what_start_does(client):
    """Only new photos where the others are done as is wished, else all of them."""
    client.add("a.jpg", b"one")
    client.post("start")
    client.until("done")
    client.add("b.jpg", b"two")
    client.post("estimate")
    assert len(client.until("ready")["ready"]) == 1
    client.post("estimate", b'{"strength": "strong"}')
    assert len(client.until("ready")["ready"]) == 2
    assert client.get("results/1").data == b"one"


def test_what_is_chosen_stays_when_all_files_are_removed(client):
    assert client.post("choose", b'{"strength": "strong"}').status == 202
    client.post("clear")
    assert client.state()["chosen"]["strength"] == "strong"
    assert client.post("choose", b'{"strength": "odd"}').status == 400


def test_what_was_chosen_is_known_to_a_page_that_is_loaded_again(client):
    client.add("a.jpg")
    assert client.state()["made"] is None
    wishes = {"strength": "strong", "displace": True, "report": True}
    client.post("start", json.dumps(wishes).encode())
    known = client.until("done")
    assert known["chosen"] == known["made"] == wishes


def test_a_name_is_no_trouble_where_the_system_does_not_write_utf_8(client, monkeypatch):
    monkeypatch.setenv("PYTHONIOENCODING", "latin-1")
    client.add("é😀.jpg")
    client.post("estimate")
    assert client.until("ready", "failed")["state"] == "ready"


def test_an_estimate_asks_for_no_report_that_may_be_in_the_way(tmp_path):
    """Of other wishes one is there, which Start removes."""
    store = jobs.Store(tmp_path, jobs.Program([], lambda *_: {}, ""))
    asked = []

    async def run(*arguments):
        asked.extend(arguments)
        store._asked[1] = {"minutes": 0.1}
        return 0

    store._dippas = run
    assert asyncio.run(store._possible([], jobs.Wishes(report=True)))
    assert asked[asked.index("--report") + 1] == "estimate/report.html"
    assert asked[asked.index("-o") + 1] == "estimate"
    assert asked[-1] == "-n"


def test_a_fingerprint_that_is_replaced_is_removed(client, tmp_path):
    client.add("one.npy", kind="fingerprint")
    client.add("two.npy", kind="fingerprint")
    (folder,) = tmp_path.glob(f"{private.PREFIX}*")
    assert [path.name for path in folder.glob("camera/*/*")] == ["two.npy"]


@pytest.mark.parametrize(("said", "shown"), [
    ("photo photos/0001/a.jpg is damaged", "photo a.jpg is damaged"),
    ("photo photos/12345/a.jpg is damaged", "photo a.jpg is damaged"),
    ("folder photos: 1 file skipped, so: 0004/n.txt", "1 file skipped, so: n.txt"),
    ("wall/0002-2024-05-01.jpg is dark", "2024-05-01.jpg is dark"),
    ("results/report.html exists", "report.html exists"),
    ("camera/camera.npz has a mean", "camera.npz has a mean"),
])  # fmt: skip
def test_folders_that_nobody_has_named_are_not_named(said, shown):
    assert jobs._plain([said]) == [shown]


def test_there_must_be_photos_that_can_be_used(client):
    assert client.post("start").status == 400
    client.add("bad.jpg")
    client.post("start")
    assert client.until("failed", "done")["state"] == "failed"


def test_a_program_that_talks_nonsense_fails_and_the_server_lives(tmp_path, monkeypatch):
    command = [sys.executable, "-c", "print('nonsense')"]
    with serving(tmp_path, monkeypatch, command) as client:
        client.add("a.jpg")
        client.post("start")
        known = client.until("failed", "done")
        assert known["state"] == "failed"
        assert "JSONDecodeError" in known["notes"][-1]


def test_a_program_that_is_killed_is_told_of(tmp_path, monkeypatch):
    command = [sys.executable, "-c", "import os; os.kill(os.getpid(), 9)"]
    with serving(tmp_path, monkeypatch, command) as client:
        client.add("a.jpg")
        client.post("start")
        known = client.until("failed", "done")
        assert known["state"] == "failed"
        assert "it may have run out of memory" in known["notes"][-1]
        assert client.add("b.jpg").status == 201, "the page goes on"


def test_a_fault_of_the_program_is_not_called_a_lack_of_memory(tmp_path, monkeypatch):
    command = [sys.executable, "-c", "import sys; print('KeyError', file=sys.stderr); sys.exit(70)"]
    with serving(tmp_path, monkeypatch, command) as client:
        client.add("a.jpg")
        client.post("start")
        known = client.until("failed", "done")
        assert known["state"] == "failed"
        said = "the program itself failed (code 70); please report the lines above"
        assert known["notes"] == ["KeyError", said]


# ----------------------------------------------------------------------------- what is left on disk


def start_program(tmp_path, *more):
    """`dippas web` in a process, its client, its folder."""
    process = subprocess.Popen(
        [sys.executable, "-m", "dippas_jax.cli", "web", "--no-browser", *more],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env={**os.environ, "TMPDIR": str(tmp_path)},
    )
    client = Client(process.stdout.readline().strip())
    client.enter()
    (folder,) = tmp_path.glob(f"{private.PREFIX}*")
    return process, client, folder


@pytest.mark.slow
@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP", "SIGKILL"])
def test_nothing_is_left_whatever_ends_the_program(tmp_path, name):
    process, client, folder = start_program(tmp_path)
    assert folder.stat().st_mode & 0o777 == 0o700
    pixels = np.zeros((64, 64, 3), np.uint8)
    data = io.BytesIO()
    Image.fromarray(pixels).save(data, "PNG")
    assert client.add("a.png", data.getvalue()).status == 201
    client.post("estimate")
    process.send_signal(getattr(signal, name))
    code = process.wait(20)
    process.stdout.close()
    assert code == (-signal.SIGKILL if name == "SIGKILL" else 0)
    for _ in range(100):
        if not folder.exists():
            break
        time.sleep(0.05)
    assert not list(tmp_path.iterdir())


def test_folders_of_the_dead_are_removed_and_those_of_the_living_are_not(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    dead = tmp_path / f"{private.PREFIX}dead"
    dead.mkdir()
    (dead / "lock").touch()
    (dead / "photo.jpg").write_bytes(b"photo")
    other = tmp_path / "other"
    other.mkdir()
    (other / "lock").touch()
    (tmp_path / f"{private.PREFIX}link").symlink_to(other)
    with private.folder() as one:
        assert not dead.exists()
        with private.folder() as two:
            assert one.exists()
            assert two.exists()
            assert private.remove_stale(tmp_path) == []
        assert not two.exists()
    assert (other / "lock").exists(), "a link is not followed"


# ----------------------------------------------------------------------------------------- for real


@pytest.mark.slow
def test_a_photo_comes_out_as_the_command_writes_it(tmp_path):
    """Bytes, verdict and warnings are those of `dippas anonymize`."""
    camera = synthetic.Camera(seed=3, strength=0.02)
    photo = tmp_path / "a.png"
    Image.fromarray(synthetic.expose(camera, synthetic.scene(0, 64), 0)).save(photo)
    ours = tmp_path / "ours"
    ours.mkdir()
    process, client, _ = start_program(ours)
    try:
        client.add("a.png", photo.read_bytes())
        client.add("bad.png", photo.read_bytes()[:500])
        client.post("start")
        for _ in range(600):
            if not (known := client.state())["busy"]:
                break
            time.sleep(0.5)
        assert known["state"] == "done", known
        found = known["photos"]["1"]
        data = client.get("results/1").data
        with Image.open(io.BytesIO(client.get("parts/1/0/after").data)) as shown:
            pixels = np.asarray(shown.convert("RGB"))
        client.post("end")
        assert process.wait(20) == 0
    finally:
        process.kill()
        process.wait()
        process.stdout.close()
    assert "truncated or damaged" in known["photos"]["2"]["failed"]
    done = subprocess.run(
        [sys.executable, "-m", "dippas_jax.cli", "anonymize", "a.png"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
        capture_output=True,
        text=True,
        timeout=400,
    )
    assert data == (tmp_path / "a.anon.png").read_bytes()
    with Image.open(io.BytesIO(data)) as result:
        assert np.array_equal(pixels, np.asarray(result.convert("RGB")))
    assert found["warnings"]
    for warning in found["warnings"]:
        assert f"  Warning: {warning}\n" in done.stdout
    assert found["figures"].rpartition(",")[0] in done.stdout
    assert found["traced"] == (done.returncode == 4) == found["plain"].startswith("This photo can")
