"""Claims: one at a time, taken over from the dead, and counted."""

import errno
import json
import os
import subprocess
import sys
import threading
import time

import pytest

from dippas_jax.io import files, storage
from dippas_jax.parallel import ledger
from dippas_jax.types import InputError


@pytest.fixture
def root(tmp_path):
    return ledger.begin(str(tmp_path / "out"), {"gain": 1})


@pytest.fixture(scope="module")
def dead():
    """The id of a process that is over."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def working(root, owner, **changes):
    facts = {**ledger.here(), "state": "working", "time": 0.0}
    ledger.tell(root, owner, {**facts, **changes})


def claim(root, owner, seen=None, lease=60.0, item="photo"):
    found = ledger.claim(root, item, owner, {} if seen is None else seen, most=3, lease=lease)
    return found.state, found.number


def test_of_many_who_want_a_photo_at_once_one_gets_it(root):
    for worker in range(6):
        working(root, f"w{worker}")
    held, start = [], threading.Barrier(6)

    def ask(owner):
        start.wait()
        for n in range(40):
            if claim(root, owner, item=str(n))[0] == ledger.HELD:
                held.append(n)

    threads = [threading.Thread(target=ask, args=(f"w{n}",)) for n in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(held) == list(range(40))


def test_a_claim_of_a_living_worker_stands_and_one_of_a_dead_process_does_not(root, dead):
    working(root, "a")
    assert claim(root, "a") == (ledger.HELD, 1)
    assert claim(root, "b") == (ledger.TAKEN, 1)
    working(root, "a", pid=dead)
    assert claim(root, "b") == (ledger.HELD, 2)


def test_a_silent_worker_of_another_machine_is_dead_after_a_lease_of_the_finders_clock(root, dead):
    working(root, "a", host="elsewhere", pid=dead, time=1e12)
    assert claim(root, "a") == (ledger.HELD, 1)
    seen = {}
    assert claim(root, "b", seen, lease=0.2)[0] == ledger.TAKEN
    time.sleep(0.1)
    working(root, "a", host="elsewhere", pid=dead, time=-1e12)  # it lives, whatever its clock says
    assert claim(root, "b", seen, lease=0.2)[0] == ledger.TAKEN
    time.sleep(0.15)
    assert claim(root, "b", seen, lease=0.2)[0] == ledger.TAKEN
    time.sleep(0.1)
    assert claim(root, "b", seen, lease=0.2) == (ledger.HELD, 2)


def test_a_claim_that_was_cut_off_stands_for_a_lease(root):
    (storage.place(root.name) / ledger.CLAIMS / "photo.1.json").local.touch()
    seen = {}
    assert claim(root, "b", seen, lease=0.1)[0] == ledger.TAKEN
    time.sleep(0.15)
    assert claim(root, "b", seen, lease=0.1) == (ledger.HELD, 2)


@pytest.mark.parametrize("facts", ["[]", "{}", '{"state": "working"}'])
def test_a_damaged_file_of_a_worker_is_that_of_one_that_says_nothing(root, tmp_path, facts):
    working(root, "other")
    assert claim(root, "other") == (ledger.HELD, 1)
    (tmp_path / "out" / ledger.WORKERS / "other.json").write_text(facts)
    seen: dict = {}
    assert claim(root, "me", seen, lease=0.05) == (ledger.TAKEN, 1)
    time.sleep(0.1)
    assert claim(root, "me", seen, lease=0.05)[0] == ledger.HELD


def test_three_tries_that_fail_are_all_and_those_given_back_do_not_count(root):
    for owner in "abcdef":
        working(root, owner)
    assert claim(root, "a") == (ledger.HELD, 1)
    ledger.release(root, "photo", 1, "a")
    assert claim(root, "b") == (ledger.HELD, 2)
    ledger.failed(root, "photo", 2, "b", "RuntimeError: out of memory")
    assert claim(root, "c") == (ledger.HELD, 3)
    ledger.end(root, "c", "lost")
    assert claim(root, "d") == (ledger.HELD, 4)
    ledger.end(root, "d", "ended")  # it was told to stop before it could give the photo back
    assert claim(root, "e") == (ledger.HELD, 5)
    ledger.failed(root, "photo", 5, "e", "RuntimeError: once more")
    found = ledger.claim(root, "photo", "f", {}, most=3, lease=60.0)
    assert found.state == ledger.SPENT
    first, second, third = found.reasons
    assert "out of memory" in first
    assert "died" in second
    assert "once more" in third
    assert claim(root, "f") == (ledger.SPENT, 5), "asking makes no new try"


def test_a_worker_that_ended_well_is_not_made_one_that_was_lost(root):
    working(root, "a", state="ended")
    ledger.end(root, "a", "lost")
    at = storage.place(root.name) / ledger.WORKERS / "a.json"
    assert storage.read_json(at)["state"] == "ended"


def test_a_folder_belongs_to_one_campaign(tmp_path):
    name = str(tmp_path / "out")
    ledger.begin(name, {"gain": 1, "sides": (1, 2), "target": None})
    ledger.begin(name, {"gain": 1, "sides": (1, 2), "target": None})
    with pytest.raises(InputError, match="whose gain is 1, and 2 was given"):
        ledger.begin(name, {"gain": 2, "sides": (1, 2), "target": None})
    with pytest.raises(InputError, match="whose target is None, and 40"):
        ledger.begin(name, {"gain": 1, "sides": (1, 2), "target": 40})
    facts = json.loads((tmp_path / "out" / "campaign.json").read_text())
    (tmp_path / "out" / "campaign.json").write_text(json.dumps(facts | {"version": "0.0"}))
    with pytest.raises(InputError, match=r"whose version is '0\.0'"):
        ledger.begin(name, {"gain": 1, "sides": (1, 2), "target": None})


def test_a_folder_that_cannot_be_written_to_is_refused(tmp_path):
    (tmp_path / "out").write_text("a file")
    with pytest.raises(InputError, match="out"):
        ledger.begin(str(tmp_path / "out"), {})


def test_quarantined_photos_can_be_made_new(root):
    ledger.write(root, ledger.QUARANTINE, "one", {"reason": "bad"})
    ledger.write(root, ledger.QUARANTINE, "two", {"reason": "bad"})
    ledger.write(root, ledger.DONE, "three", {})
    for item in ("one", "two", "three"):
        assert claim(root, "a", item=item) == (ledger.HELD, 1)
    assert ledger.forget_quarantined(root, {"one", "three"}) == 1
    assert ledger.finished(root) == {"two": ledger.QUARANTINE, "three": ledger.DONE}
    assert claim(root, "a", item="one") == (ledger.HELD, 1)
    assert os.listdir(storage.place(root.name).local / ledger.CLAIMS)


def test_a_full_disk_leaves_no_empty_file(tmp_path, monkeypatch):
    def full(self):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(files, "json_bytes", full)
    with pytest.raises(InputError, match="No space left"):
        storage.create(storage.place(tmp_path / "a.json"), {})
    assert not list(tmp_path.iterdir())
