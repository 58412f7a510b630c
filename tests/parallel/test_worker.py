"""Workers: every photo once, whatever happens to them; no engine is needed for that."""

import errno
import ftplib
import hashlib
import json
import os
import re
import ssl
import subprocess
import sys
import threading
import time
import zlib
from pathlib import Path

import fsspec
import pytest

from dippas_jax.io import private, storage
from dippas_jax.parallel import ledger, summary, supervisor, worker
from dippas_jax.parallel.manifest import Item
from dippas_jax.parallel.worker import Task
from dippas_jax.types import InputError, NoProcessError
from tests.parallel import stand_in


@pytest.fixture
def method(tmp_path):
    (tmp_path / "log").mkdir()
    return stand_in.Method(str(tmp_path / "log"))


@pytest.fixture
def out(tmp_path):
    return tmp_path / "out"


def work(out, items, method, owner="w", **options):
    """The ledger after a worker has done what there is."""
    root = ledger.begin(str(out), method.settings())
    worker.work(Task(str(out), items, method, **options), owner)
    return root


def read(out, folder):
    """Of a folder of the ledger, every file: JSON as values, anything else as bytes."""
    return {
        path.name: json.loads(path.read_bytes()) if path.suffix == ".json" else path.read_bytes()
        for path in sorted((out / folder).iterdir())
    }


def reasons(out):
    return {Path(one["photo"]).name: one["reason"] for one in read(out, "quarantine").values()}


def test_an_output_is_named_by_what_it_was_made_of_and_not_by_where_that_lies(tmp_path, method):
    first = stand_in.photos(tmp_path / "a", "one", "two")
    second = stand_in.photos(tmp_path / "b" / "c", "two", "one")
    work(tmp_path / "1", first, method)
    work(tmp_path / "2", second, method)
    outputs = read(tmp_path / "1", "photos")
    assert sorted(outputs.values()) == [b"eno", b"owt"]
    assert read(tmp_path / "2", "photos") == outputs
    work(tmp_path / "3", first, method._replace(gain=2))
    assert not read(tmp_path / "3", "photos").keys() & outputs.keys(), "other settings"
    known = [item._replace(fingerprint=second[0].photo) for item in first]
    work(tmp_path / "4", known, method)
    assert sorted(read(tmp_path / "4", "photos").values()) == [b"enotwo", b"owttwo"]
    assert not read(tmp_path / "4", "photos").keys() & outputs.keys()
    records = read(tmp_path / "1", "records")
    assert [Path(name).stem for name in records] == [Path(name).stem for name in outputs]
    assert str(tmp_path) not in json.dumps(records), "no original's name"


def test_a_method_may_remember_a_fingerprint_by_its_path(tmp_path, method, out):
    kept = {}

    class Remembering(stand_in.Method):
        def treat(self, photo, fingerprint):
            known = kept.setdefault(fingerprint, fingerprint.read_bytes())
            return super().treat(photo, fingerprint)._replace(data=known + photo.read_bytes())

    photos = stand_in.photos(tmp_path / "in", "1", "2", "3", "4")
    cameras = stand_in.photos(tmp_path / "K", "a", "b")
    items = [item._replace(fingerprint=cameras[n // 2].photo) for n, item in enumerate(photos)]
    work(out, items, Remembering(method.log))
    assert sorted(read(out, "photos").values()) == [b"a1", b"a2", b"b3", b"b4"]
    assert not any(path.exists() for path in kept), "nothing is left"


def test_what_is_done_is_not_done_again(tmp_path, method, out):
    items = stand_in.photos(tmp_path / "in", "one", "two", "one")
    work(out, items, method)
    assert len(method.calls()) == 2, "two have the same bytes"
    assert sorted(one["reused"] for one in read(out, "done").values()) == [False, False, True]
    work(out, items, method, "x")
    assert len(method.calls()) == 2
    work(out, stand_in.photos(tmp_path / "moved", "two", "three"), method, "y")
    assert len(method.calls()) == 3
    assert len(read(out, "photos")) == 3


def test_bad_files_are_put_aside_at_once_with_a_reason_that_names_them(tmp_path, method, out):
    items = stand_in.photos(tmp_path / "in", "bad one", "two", "")
    items += [
        Item(str(tmp_path / "in" / "none.jpg")),
        Item(items[1].photo, str(tmp_path / "no.npz")),
    ]
    items += [Item(items[1].photo, "", "0" * 64)]
    digest = hashlib.sha256(b"two").hexdigest()
    items += [Item(items[1].photo, "", digest)]
    work(out, items, method)
    found = [one["reason"] for one in read(out, "quarantine").values()]
    photo = tmp_path / "in"
    assert sorted(found) == sorted([
        f"photo {photo}/0.jpg is bad; give another one",
        f"photo {photo}/2.jpg is empty (0 bytes); copy or export it again",
        f"photo {photo}/none.jpg cannot be read (No such file or directory); check the path and "
        "its permissions",
        f"fingerprint {tmp_path}/no.npz cannot be read (No such file or directory); check the path "
        "and its permissions",
        f"photo {photo}/1.jpg is not that of the manifest: its sha256 is {digest}; get the "
        "original file, or write a new manifest",
    ])  # fmt: skip
    assert len(read(out, "done")) == 2
    assert all(one["tries"] == 1 for one in read(out, "quarantine").values())


@pytest.mark.skipif(sys.platform != "linux", reason="names of files are UTF-8 there")
def test_photos_and_fingerprints_may_have_names_that_are_not_utf8(tmp_path, method, out):
    items = stand_in.photos(tmp_path / os.fsdecode(b"caf\xe9"), "bad", "two")
    items = [item._replace(fingerprint=items[1].photo) for item in items]
    root = work(out, items, method)
    assert {one["photo"] for one in read(out, "done").values()} == {items[1].photo}
    assert list(summary.summarise(root, items)["reasons"]) == [items[0].photo]


def test_what_a_machine_lacks_for_now_is_no_reason_to_give_a_photo_up(tmp_path, method, out):
    items = stand_in.photos(tmp_path / "in", "short", "bad", "three")
    work(out, items, method, lease=0.2)
    assert sorted(read(out, "photos").values()) == [b"eerht", b"trohs"]
    assert [len(method.calls(name)) for name in (b"short", b"bad")] == [3, 1]


def test_errors_are_tried_again_and_at_last_put_aside(tmp_path, method, out):
    items = stand_in.photos(tmp_path / "in", "flaky", "broken", "three", "four")
    work(out, items, method, lease=0.2)
    assert sorted(read(out, "photos").values()) == [b"eerht", b"ruof", b"ykalf"]
    assert len(method.calls(b"flaky")) == len(method.calls(b"broken")) == 3
    assert reasons(out) == {
        "1.jpg": "3 tries failed, the last one because RuntimeError: no memory for "
        f"{tmp_path}/in/1.jpg"
    }


def test_errors_one_after_the_other_are_the_processs_own(tmp_path, method, out):
    items = stand_in.photos(tmp_path / "in", *(f"broken {n}" for n in range(5)))
    with pytest.raises(RuntimeError, match="3 photos failed one after the other"):
        work(out, items, method)
    assert len(method.calls()) == 3
    assert read(out, "quarantine") == {}
    assert read(out, "workers")["w.json"]["state"] == "ended"


def test_a_photo_at_work_is_given_back_by_a_worker_that_is_stopped(tmp_path, method, out):
    items = stand_in.photos(tmp_path / "in", "stop")
    for owner in "abcd":  # more often than a photo may fail
        with pytest.raises(KeyboardInterrupt):
            work(out, items, method, owner)
    Path(items[0].photo).write_text("go on")
    work(out, items, method)
    assert read(out, "photos").popitem()[1] == b"no og"
    assert read(out, "done").popitem()[1]["tries"] == 5


def test_a_ledger_that_cannot_be_written_to_is_no_fault_of_the_photo(tmp_path, method, out):
    items = stand_in.photos(tmp_path / "in", "one", "two")
    root = ledger.begin(str(out), method.settings())
    (out / "photos").rmdir()
    (out / "photos").write_text("a file")
    with pytest.raises(InputError, match="cannot be written"):
        worker.work(Task(str(out), items, method), "w")
    assert ledger.finished(root) == {}
    (out / "photos").unlink()
    work(out, items, method, "x")
    assert len(read(out, "done")) == 2


def test_workers_at_once_do_every_photo_once(tmp_path, method, out):
    method = method._replace(seconds=0.01)
    items = stand_in.photos(tmp_path / "in", *(f"photo {n}" for n in range(40)))
    threads = [threading.Thread(target=work, args=(out, items, method, f"w{n}")) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(method.calls()) == len(read(out, "photos")) == len(read(out, "done")) == 40
    assert len({one["owner"] for one in read(out, "done").values()}) > 1
    assert all(name.endswith(".1.json") for name in read(out, "claims"))


SUSPENDED = """
import sys
from pathlib import Path
from dippas_jax.parallel import worker
from dippas_jax.parallel.worker import Task
from tests.parallel import stand_in
items = stand_in.photos(Path(sys.argv[1], "in"), "one", "two")
method = stand_in.Method(sys.argv[1] + "/log", seconds=60.0)
worker.work(Task(sys.argv[1] + "/out", items, method, lease=0.6), "dead")
"""


def test_the_photo_of_a_killed_worker_is_taken_over(tmp_path, method, out):
    ledger.begin(str(out), method.settings())
    process = subprocess.Popen([sys.executable, "-c", SUSPENDED, str(tmp_path)])
    while not method.calls():
        assert process.poll() is None
        time.sleep(0.05)
    items = stand_in.photos(tmp_path / "in", "one", "two")
    helper = threading.Thread(target=work, args=(out, items, method, "w"), kwargs={"lease": 2.0})
    helper.start()
    while len(read(out, "done")) < 1:
        time.sleep(0.05)
    assert helper.is_alive(), "a living worker has the other one"
    process.kill()
    process.wait()
    helper.join()
    assert sorted(read(out, "photos").values()) == [b"eno", b"owt"]
    assert sorted(one["tries"] for one in read(out, "done").values()) == [1, 2]


def test_a_killed_worker_leaves_no_copy_of_an_original(tmp_path, method, out, monkeypatch):
    """Its watcher removes what lies in the temporary folder."""
    monkeypatch.setenv("TMPDIR", str(tmp_path / "tmp"))
    (tmp_path / "tmp").mkdir()
    monkeypatch.setattr("tempfile.tempdir", None)
    ledger.begin(str(out), method.settings())
    process = subprocess.Popen([sys.executable, "-c", SUSPENDED, str(tmp_path)])
    while not method.calls():
        assert process.poll() is None
        time.sleep(0.05)
    (folder,) = (tmp_path / "tmp").glob(f"{private.PREFIX}*")
    assert [path.read_bytes() for path in folder.rglob("photo*")]
    process.kill()
    process.wait()
    until = time.monotonic() + 20
    while folder.exists():
        assert time.monotonic() < until
        time.sleep(0.05)


def test_a_worker_that_dies_after_a_photo_is_known_to_have_been_of_use(tmp_path, method, out):
    root = ledger.begin(str(out), method.settings())
    even = [name for name in map(str, range(20)) if zlib.crc32(name.encode()) % 2 == 0]
    owners = dict(zip(("good one", "bad one", "poison"), even, strict=False))
    for words in (["good one", "poison"], ["bad one", "poison"], ["poison"]):
        items = stand_in.photos(tmp_path / words[0], *words)
        code = f"""
from tests.parallel import stand_in
from dippas_jax.parallel import worker
from dippas_jax.parallel.manifest import Item
worker.work(
    worker.Task({str(out)!r}, [Item(p) for p in {[one.photo for one in items]!r}],
    stand_in.Method({method.log!r})), {owners[words[0]]!r})
"""
        done = subprocess.run([sys.executable, "-c", code], check=False)
        assert done.returncode == 9
    told = {first: supervisor._was_of_use(root, owner) for first, owner in owners.items()}
    assert told == {"good one": True, "bad one": True, "poison": False}


def test_a_file_larger_than_any_photo_is_put_aside_without_being_read(tmp_path, method, out):
    items = stand_in.photos(tmp_path / "in", "one")
    with open(items[0].photo, "wb") as file:
        file.truncate(3 << 30)  # without taking room
    work(out, items, method)
    (reason,) = reasons(out).values()
    assert "has 3.0 GiB, and 2 GiB are the most" in reason
    assert not method.calls()


def test_a_folder_that_is_not_mounted_gives_no_photo_up(tmp_path, method, out):
    items = stand_in.photos(tmp_path / "in", "one", "two", "three", "four")
    (tmp_path / "in").rename(tmp_path / "elsewhere")
    other = stand_in.photos(tmp_path / "here", "five")
    with pytest.raises(RuntimeError, match=r"cannot be read, since there is no folder"):
        work(out, [*items, *other], method)
    assert not reasons(out)
    assert len(read(out, "done")) == 1, "what can be done is"
    (tmp_path / "elsewhere").rename(tmp_path / "in")
    work(out, [*items, *other], method, "v")
    assert len(read(out, "done")) == 5


def test_what_a_library_is_missing_for_on_one_machine_gives_no_photo_up(tmp_path, method, out):
    items = stand_in.photos(tmp_path / "in", "away", "away too", "one")
    with pytest.raises(RuntimeError, match="needs a library"):
        work(out, items, method)
    assert not reasons(out)
    assert len(read(out, "done")) == 1
    assert [len(method.calls(name)) for name in (b"one", b"away too")] == [1, 1]


class StatusError(Exception):
    def __init__(self, status):
        super().__init__(f"{status} says the server")
        self.status = status


class CertificateError(ssl.SSLCertVerificationError):
    """As aiohttp's, which derives from it."""

    __module__ = "aiohttp.client_exceptions"


class Silent(fsspec.AbstractFileSystem):
    """Fails as fsspec's HTTP does: whatever happened, there is no such file."""

    protocol = "silent"
    cause, cachable = None, False

    def info(self, path, **kwargs):
        if path.endswith("ok"):
            return {"name": path, "size": 1, "type": "file"}
        raise FileNotFoundError(path) from self.cause

    def cat_file(self, path, **kwargs):
        raise self.cause


@pytest.mark.parametrize(
    ("cause", "gone"),
    [
        (None, True),
        (StatusError(404), True),
        (StatusError(410), True),
        (KeyError("a"), True),
        (StatusError(503), False),
        (StatusError(429), False),
        (CertificateError("unable to get local issuer certificate"), False),
        (TimeoutError("no answer"), False),
        (ConnectionResetError("it hung up"), False),
        (ftplib.error_temp("421 busy"), False),
    ],
    ids=str,
)
def test_a_server_that_does_not_answer_puts_no_photo_aside(method, out, monkeypatch, cause, gone):
    fsspec.register_implementation("silent", Silent, clobber=True)
    monkeypatch.setattr(Silent, "cause", cause)
    items = [Item("silent://in/a.jpg")]
    if gone:
        work(out, items, method)
        assert "(No such file or directory)" in read(out, "quarantine").popitem()[1]["reason"]
        return
    for name in ("silent://in/a.jpg", "silent://in/ok"):
        words = re.escape(f"cannot be reached ({cause}); check its address")
        with pytest.raises(RuntimeError, match=words):
            work(out, [Item(name)], method, name[-2:], attempts=1)
    assert not read(out, "quarantine")


def test_a_login_whose_certificate_cannot_be_checked_puts_no_photo_aside(method, out):
    class Login(Silent):
        protocol = "login"

        def __init__(self, **options):
            super().__init__(**options)
            raise ssl.SSLCertVerificationError(1, "self-signed certificate")

    fsspec.register_implementation("login", Login, clobber=True)
    with pytest.raises(RuntimeError, match=r"cannot be reached \(self-signed certificate\)"):
        work(out, [Item("login://in/a.jpg")], method)
    assert not read(out, "quarantine")


@pytest.mark.parametrize(("status", "tries"), [(451, 1), (400, 2), (401, 2), (403, 2)])
@pytest.mark.parametrize("name", ["silent://in/a.jpg", "silent://in/ok"])
def test_a_photo_that_a_server_refuses_is_put_aside(method, out, monkeypatch, status, tries, name):
    """Such as one of a signed URL that has run out: no worker dies for it."""
    fsspec.register_implementation("silent", Silent, clobber=True)
    monkeypatch.setattr(Silent, "cause", StatusError(status))
    work(out, [Item(name)], method, attempts=2)
    known = read(out, "quarantine").popitem()[1]
    assert f"cannot be read ({status} says the server)" in known["reason"]
    assert known["tries"] == tries


def test_a_file_that_memory_has_no_room_for_is_not_told_as_out_of_reach(method, out, monkeypatch):
    fsspec.register_implementation("silent", Silent, clobber=True)
    monkeypatch.setattr(Silent, "cause", MemoryError())
    work(out, [Item("silent://in/ok")], method, attempts=2)
    reason = read(out, "quarantine").popitem()[1]["reason"]
    assert "does not fit into the memory" in reason


def test_a_worker_claims_what_it_lacks_a_library_for_once(tmp_path, method, out):
    """However long others are at work."""
    slow = method._replace(seconds=1.0)
    items = stand_in.photos(tmp_path / "in", "away", "one")
    other = threading.Thread(target=work, args=(out, items[1:], slow, "a"), kwargs={"lease": 0.4})
    other.start()
    while not slow.calls():
        time.sleep(0.02)
    with pytest.raises(RuntimeError, match="needs a library"):
        work(out, items, method, "b", lease=0.4)
    other.join()
    assert len(method.calls(b"away")) == 1
    assert len([name for name in read(out, "claims") if name.startswith(items[0].id)]) == 1
    assert len(read(out, "done")) == 1


@pytest.mark.parametrize("where", ["write_bytes", "mkdir"])
def test_no_room_for_copies_is_no_try_of_a_photo(tmp_path, method, out, monkeypatch, where):
    items = stand_in.photos(tmp_path / "in", "one", "two")
    usual, own = getattr(Path, where), {item.id for item in items}

    def full(path, *rest, **options):
        if own & {path.name, path.parent.name} and str(out) not in str(path):
            raise OSError(errno.ENOSPC, "No space left on device")
        return usual(path, *rest, **options)

    with monkeypatch.context() as patch:
        patch.setattr(Path, where, full)
        with pytest.raises(RuntimeError, match="No space left on device"):
            work(out, items, method, attempts=1)
    assert [one["released"] for one in read(out, "claims").values()] == [True]
    work(out, items, method, "x", attempts=1)
    assert len(read(out, "done")) == 2


def test_no_process_for_a_photo_is_no_try_of_it(tmp_path, method, out):
    items = stand_in.photos(tmp_path / "in", "no process")
    with pytest.raises(RuntimeError, match=f"photo {items[0].photo} cannot be decoded"):
        work(out, items, method, attempts=1)
    Path(items[0].photo).write_text("one")
    work(out, items, method, "x", attempts=1)
    assert len(read(out, "done")) == 1


def leave_four_bytes(out, monkeypatch):
    """The temporary folder has room for no file that is larger."""
    usual = Path.write_bytes

    def small(path, data):
        if str(out) not in str(path) and len(data) > 4:
            raise OSError(errno.ENOSPC, "No space left on device")
        return usual(path, data)

    monkeypatch.setattr(worker, "_USUAL", 4)
    monkeypatch.setattr(Path, "write_bytes", small)


def test_a_photo_too_large_for_the_temporary_folder_ends_no_worker(
    tmp_path, method, out, monkeypatch
):
    items = stand_in.photos(tmp_path / "in", "huge photo", "one", "two")
    leave_four_bytes(out, monkeypatch)
    words = f"photo {items[0].photo} of 0 MiB does not fit into the temporary folder"
    with pytest.raises(RuntimeError, match=re.escape(words)):  # of what is left
        work(out, items, method, attempts=2, lease=0.2)
    assert len(read(out, "done")) == 2
    assert not read(out, "quarantine"), "another machine may have room"
    assert not any("failed" in one for one in read(out, "claims").values())


def test_a_fingerprint_too_large_for_the_temporary_folder_is_no_try_of_a_photo(
    tmp_path, method, out, monkeypatch
):
    (item,) = stand_in.photos(tmp_path / "in", "one")
    (tmp_path / "K.npy").write_bytes(b"fingerprint")
    leave_four_bytes(out, monkeypatch)
    with pytest.raises(RuntimeError, match="copies of photos cannot be written"):
        work(out, [item._replace(fingerprint=str(tmp_path / "K.npy"))], method, attempts=2)
    assert not any("failed" in one for one in read(out, "claims").values())


def test_where_photos_at_work_take_all_room_another_one_waits(tmp_path, method, out, monkeypatch):
    items = stand_in.photos(tmp_path / "in", *(f"photo {n}" for n in range(5)))
    usual, refused = Path.write_bytes, []

    def room_for_two(path, data):
        if str(out) not in str(path) and len(list(path.parent.parent.glob("*/photo.jpg"))) > 1:
            refused.append(path)
            raise OSError(errno.ENOSPC, "No space left on device")
        return usual(path, data)

    monkeypatch.setattr(Path, "write_bytes", room_for_two)
    together = method._replace(together=3)
    work(out, items, together)
    assert refused
    assert most(together) == 2
    assert len(read(out, "done")) == 5
    assert not any("failed" in one for one in read(out, "claims").values())
    assert len(together.calls(b"photo")) == 5, "none was at work in vain"


def test_no_process_for_a_moment_costs_photos_at_work_nothing(tmp_path, method, out):
    class Short(stand_in.Method):
        def treat(self, photo, fingerprint):
            if photo.read_bytes() == b"later" and not self.calls(b"later"):
                Path(self.log, "later").touch()
                raise NoProcessError(f"photo {photo} cannot be decoded; end other programs")
            return super().treat(photo, fingerprint)

    items = stand_in.photos(tmp_path / "in", "one", "two", "later", "four", "five")
    together = Short(method.log, together=3)
    work(out, items, together)
    assert sorted(read(out, "photos").values()) == [b"eno", b"evif", b"owt", b"retal", b"ruof"]
    assert [len(together.calls(name)) for name in (b"one", b"two", b"later")] == [1, 1, 2]


def test_the_ending_of_a_signed_url_is_that_of_its_file(method):
    system = fsspec.filesystem("memory")
    query = "?X-Amz-Credential=a/b.c&X-Amz-Signature=" + 300 * "0"
    name = "memory://in/signed.jpg" + query
    system.pipe_file(storage.place(name).path, b"one")
    items = [Item(name)]
    root = ledger.begin("memory://out", method.settings())
    worker.work(Task("memory://out", items, method), "w")
    assert summary.summarise(root, items)["done"] == 1
    assert [name.rpartition(".")[2] for name in storage.names(root / ledger.PHOTOS)] == ["jpg"]
    system.rm("/out", recursive=True)
    assert storage.suffix("a.b?c.tiff") == ".tiff", "a path may have any letter"
    assert storage.suffix("a." + 300 * "b") == ""


def test_a_worker_waits_for_others_and_leaves_nothing_behind(tmp_path, method, out):
    """One that is slow, but alive, keeps its photo, however short the lease."""
    slow = method._replace(seconds=1.5)
    items = stand_in.photos(tmp_path / "in", "one")
    first = threading.Thread(target=work, args=(out, items, slow, "a"), kwargs={"lease": 0.4})
    first.start()
    while not slow.calls():
        time.sleep(0.02)
    work(out, items, method, "b", lease=0.4)
    first.join()
    assert len(method.calls()) == 1
    assert all(one["state"] == "ended" for one in read(out, "workers").values())


def test_a_worker_gives_signs_of_life_however_long_the_lease(tmp_path, method, out, monkeypatch):
    assert 3 * worker._BEAT <= summary._SILENT
    monkeypatch.setattr(worker, "_BEAT", 0.05)
    heard = []
    tell = ledger.tell
    monkeypatch.setattr(ledger, "tell", lambda *rest: heard.append(rest) or tell(*rest))
    items = stand_in.photos(tmp_path / "in", "one")
    work(out, items, method._replace(seconds=0.6), lease=1e6)
    assert len(heard) > 5


def test_all_of_it_in_an_object_store(tmp_path, method):
    """fsspec's memory stands in for one; test_object_store.py has S3."""
    system = fsspec.filesystem("memory")
    for name in ("one", "two", "bad"):
        system.pipe_file(f"/in/{name}.jpg", name.encode())
    items = [Item(f"memory://in/{name}.jpg") for name in ("one", "two", "bad", "none")]
    root = ledger.begin("memory://out", method.settings())
    worker.work(Task("memory://out", items, method), "w")
    worker.work(Task("memory://out", items, method), "x")
    assert sorted(system.cat(system.ls("/out/photos", False)).values()) == [b"eno", b"owt"]
    found = summary.summarise(root, items)
    assert (found["done"], found["quarantined"], found["left"]) == (2, 2, 0)
    assert found["reasons"]["memory://in/bad.jpg"].startswith("photo memory://in/bad.jpg is bad")
    assert "(No such file or directory)" in found["reasons"]["memory://in/none.jpg"]
    with pytest.raises(InputError, match="whose gain is 1"):
        ledger.begin("memory://out", {"gain": 3})
    system.rm("/out", recursive=True)


def test_a_summary_counts_what_was_asked_for(tmp_path, method, out):
    items = stand_in.photos(tmp_path / "in", "one", "phone", "bad", "one", "flaky")
    root = work(out, items, method, lease=0.2)
    found = summary.summarise(root, items)
    assert {k: v for k, v in found.items() if k not in ("devices", "reasons")} == {
        "photos": 5, "done": 4, "reused": 1, "quarantined": 1, "left": 0, "repeated": 2,
        "traced": 1, "hours": 0.0,
    }  # fmt: skip
    device = found["devices"]["stand-in"]
    assert device["workers"] == 0
    assert device["done"] == 3
    assert device["seconds"] == device["pace"] > 0
    text = summary.text(found)
    assert "4, of which 1 had their output already" in text
    assert "2.jpg is bad" in text
    more = summary.summarise(root, [*items, Item("later.jpg")])
    assert (more["photos"], more["left"], more["hours"]) == (6, 1, None)
    assert "nobody is at work" in summary.text(more)
    facts = {**ledger.here(), "state": "working", "started": time.time() - 3600, "done": 2}
    ledger.tell(root, "living", {**facts, "time": time.time(), "device": "stand-in"})
    ledger.tell(root, "silent", {**facts, "time": time.time() - 999, "device": "stand-in"})
    more = summary.summarise(root, [*items, Item("later.jpg")])
    assert more["hours"] == pytest.approx(0.5, abs=0.01)
    assert more["devices"]["stand-in"]["workers"] == 1
    ledger.tell(root, "living", {**facts, "done": 0, "time": time.time(), "device": "stand-in"})
    more = summary.summarise(root, [*items, Item("later.jpg")])
    assert "1, nobody has finished one yet" in summary.text(more)


def test_an_output_that_was_there_already_is_counted_as_traceable(tmp_path, method, out):
    """A worker that dies between an output and its entry leaves it to the next one."""
    items = stand_in.photos(tmp_path / "in", "phone", "phone")
    root = work(out, items, method)
    for name in storage.names(root / ledger.DONE):
        storage.remove(root / ledger.DONE / name)
        storage.remove(root / ledger.CLAIMS / name.replace(".json", ".1.json"))
    work(out, items, method)
    found = summary.summarise(root, items)
    assert (found["done"], found["reused"], found["traced"]) == (2, 2, 1)


def test_what_a_file_holds_when_it_is_read_counts(tmp_path, method, out):
    """The name and the output are of one reading, so a file that changes meanwhile is no danger."""
    items = stand_in.photos(tmp_path / "in", "one")

    class Changing(stand_in.Method):
        def extension(self, photo):
            Path(items[0].photo).write_text("changed")
            return super().extension(photo)

    work(out, items, Changing(method.log))
    assert list(read(out, "photos").values()) == [b"eno"]


# ------------------------------------------------------------------------------ several at a time


def most(method):
    """Photos that the method had at work at once, at most."""
    return max(int(name.split()[1]) for name in method.calls(b"together"))


def test_a_method_may_have_several_photos_at_work_and_the_outputs_are_the_same(
    tmp_path, method, out
):
    photos = stand_in.photos(tmp_path / "in", *(f"photo {n}" for n in range(7)), "bad", "flaky")
    cameras = stand_in.photos(tmp_path / "K", "a", "b", "a")
    items = [item._replace(fingerprint=cameras[n % 3].photo) for n, item in enumerate(photos)]
    items.append(Item(str(tmp_path / "none.jpg")))
    work(tmp_path / "one", items, method, lease=0.2)
    together = method._replace(together=4)
    for name in method.calls(b"flaky"):
        Path(method.log, name).unlink()
    work(out, items, together, lease=0.2)
    assert most(together) == 4
    assert read(out, "photos") == read(tmp_path / "one", "photos")
    assert len(read(out, "done")) == 8
    assert reasons(out) == {
        "7.jpg": f"photo {tmp_path}/in/7.jpg is bad; give another one",
        "none.jpg": f"photo {tmp_path}/none.jpg cannot be read (No such file or directory); check "
        "the path and its permissions",
    }
    assert sorted(one["tries"] for one in read(out, "done").values()) == [1] * 7 + [3]


def test_several_photos_at_work_share_the_workers_time(tmp_path, method, out):
    """So that `units` over seconds are the pace of a device, however many it takes at once."""
    items = stand_in.photos(tmp_path / "in", *(f"photo {n}" for n in range(6)))
    began = time.monotonic()
    work(out, items, method._replace(together=3, seconds=0.1))
    passed = time.monotonic() - began
    spent = [one["seconds"] for one in read(out, "done").values()]
    assert 0.6 <= sum(spent) <= passed


def test_only_photos_at_work_are_claimed(tmp_path, method, out):
    """So that a kill costs no more than them."""
    items = stand_in.photos(tmp_path / "in", *(f"photo {n}" for n in range(8)), "stop")
    with pytest.raises(KeyboardInterrupt):
        work(out, items, method._replace(together=4), "a")
    claims = read(out, "claims")
    done = len(read(out, "done"))
    assert len(claims) <= done + 4
    assert sum(one.get("released", False) for one in claims.values()) == len(claims) - done
    assert read(out, "workers")["a.json"]["photos"] == []
    Path(items[-1].photo).write_text("go on")
    work(out, items, method, "b")
    assert len(read(out, "done")) == 9


def test_what_fails_all_at_once_is_tried_again_alone(tmp_path, method, out):
    items = stand_in.photos(tmp_path / "in", "one", "two", "all", "four", "five")
    together = method._replace(together=5)
    with pytest.raises(RuntimeError, match="5 photos failed together: no memory for all of them"):
        work(out, items, together, "a", lease=0.2)
    failed = [one["failed"] for one in read(out, "claims").values()]
    assert failed == ["RuntimeError: no memory for all of them"] * 5
    work(out, items, together, "b", lease=0.2)
    assert sorted(read(out, "photos").values()) == [b"eno", b"evif", b"owt", b"ruof"]
    assert reasons(out) == {
        "2.jpg": "3 tries failed, the last one because RuntimeError: no memory for all of them"
    }


def test_where_a_photo_has_one_try_it_is_at_work_alone(tmp_path, method, out):
    items = stand_in.photos(tmp_path / "in", *(f"photo {n}" for n in range(4)))
    together = method._replace(together=4)
    work(out, items, together, attempts=1)
    assert most(together) == 1
    assert len(read(out, "done")) == 4


def test_what_a_try_leaves_is_given_to_later_ones_of_the_same_output_alone(tmp_path, method, out):
    items = stand_in.photos(tmp_path / "in", "stop", "stop other")
    seen = []

    class Leaving(stand_in.Method):
        def treat_all(self, photos, done):
            for number, given in enumerate(photos):
                seen.append(sorted(path.name for path in given.earlier))
                if given.photo.read_text() == "end":
                    assert all((path / "left").exists() for path in given.earlier)
                    done(number, InputError("no more"))
                else:
                    given.checkpoints.mkdir(parents=True)
                    (given.checkpoints / "left").touch()
                    raise KeyboardInterrupt

    leaving = Leaving(method.log)
    for owner in "aaa":
        with pytest.raises(KeyboardInterrupt):
            work(out, items[:1], leaving, owner)
    assert [[name.partition(".")[0] for name in names] for names in seen] == [[], ["1"], ["1", "2"]]
    assert len({name.partition(".")[2] for names in seen for name in names}) == 1
    Path(items[0].photo).write_text("end")
    work(out, items[:1], leaving)
    assert seen[-1] == [], "another photo by now"
    assert not list((out / "checkpoints").iterdir())


KILLED = """
import sys
from pathlib import Path
from dippas_jax.parallel import worker
from dippas_jax.parallel.worker import Task
from tests.parallel import stand_in
folder = Path(sys.argv[1])
items = stand_in.photos(folder / "in", *(f"photo {n}" for n in range(7)), "poison")
method = stand_in.Method(str(folder / "log"), together=8)
worker.work(Task(str(folder / "out"), items, method, lease=0.4), sys.argv[2])
"""


def test_what_kills_a_worker_costs_its_neighbours_one_try(tmp_path, method, out):
    """Eight at work die with it; seven are done alone, the eighth is put aside after three."""
    root = ledger.begin(str(out), method.settings())
    codes = []
    for n in range(5):
        command = [sys.executable, "-c", KILLED, str(tmp_path), f"w{n}"]
        codes.append(subprocess.run(command, check=False).returncode)
        ledger.end(root, f"w{n}", "lost")
        if not codes[-1]:
            break
    assert codes == [9, 9, 9, 0]
    assert len(read(out, "done")) == 7
    assert {one["tries"] for one in read(out, "done").values()} <= {1, 2}
    (reason,) = reasons(out).values()
    assert reason.startswith("3 tries failed, the last one because its worker died")
