"""Workers as processes: those that die are replaced, and what kills them is put aside."""

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from unittest import mock

import pytest

from dippas_jax.io import storage
from dippas_jax.parallel import devices, ledger, processes, summary, supervisor, worker
from dippas_jax.parallel.devices import Devices
from dippas_jax.parallel.worker import Task
from dippas_jax.types import InputError, ShortageError
from tests.parallel import stand_in

ONE = Devices("cpu", 1, "cpu")


@pytest.fixture
def task(tmp_path):
    """Photos of which each takes a moment; one kills whoever works on it."""
    (tmp_path / "log").mkdir()
    method = stand_in.Method(str(tmp_path / "log"), seconds=0.05)
    names = [f"photo {n}" for n in range(8)]
    items = stand_in.photos(tmp_path / "in", *names, "poison", "bad")
    ledger.begin(str(tmp_path / "out"), method.settings())
    return Task(str(tmp_path / "out"), items, method, attempts=2)


@pytest.mark.slow
def test_workers_that_die_are_replaced_and_what_kills_them_is_put_aside(task):
    deaths, kills = [], []
    root = storage.place(task.root)

    def kill():
        """The first worker that has done something."""
        for name in () if kills else storage.names(root / ledger.WORKERS):
            facts = storage.read_json(root / ledger.WORKERS / name)
            if task.method.calls(b"photo"):
                os.kill(facts["pid"], signal.SIGKILL)
                kills.append(facts["pid"])
                break

    engine = processes.engine(task, ONE, 2)
    supervisor.supervise(engine, task, note=deaths.append, on_look=kill)
    found = summary.summarise(root, task.items)
    assert (found["done"], found["quarantined"], found["left"]) == (8, 2, 0)
    (reason,) = (text for name, text in found["reasons"].items() if name.endswith("8.jpg"))
    assert reason.startswith("2 tries failed, the last one because its worker died")
    assert len(task.method.calls(b"poison")) == 2
    assert len(task.method.calls(b"photo")) <= 9, "one was at work when its worker was killed"
    assert len(deaths) == 3
    assert sum("SIGKILL" in text for text in deaths) == 1
    assert sum("exit code 9" in text for text in deaths) == 2


def test_a_reason_why_no_worker_can_work_ends_all(task, tmp_path):
    (tmp_path / "out" / "photos").rmdir()
    (tmp_path / "out" / "photos").write_text("a file")
    task = task._replace(items=task.items[:8])
    with pytest.raises(InputError, match="cannot be written"):
        supervisor.supervise(processes.engine(task, ONE, 2), task)
    root = storage.place(task.root)
    assert ledger.finished(root) == {}
    names = storage.names(root / ledger.WORKERS)
    states = [storage.read_json(root / ledger.WORKERS / name)["state"] for name in names]
    assert set(states) <= {"ended"}


@pytest.mark.parametrize(
    ("error", "usable", "reason"),
    [
        (InputError("no weights"), False, "no weights"),
        (ShortageError("no room in /tmp"), True, "no room in /tmp"),
        (RuntimeError("3 photos\nfailed"), True, "3 photos failed"),
        (OSError("a server\nis down"), True, "OSError: a server is down"),
    ],
)
def test_only_what_every_machine_lacks_ends_all(error, usable, reason, task, monkeypatch):
    said = []
    monkeypatch.setattr(worker, "work", mock.Mock(side_effect=error))
    monkeypatch.setattr(threading, "Thread", mock.Mock())
    monkeypatch.setattr(signal, "signal", mock.Mock())
    with pytest.raises(SystemExit) as end:
        processes._work(task, "w", mock.Mock(send=said.append))
    process = mock.Mock(exitcode=end.value.code)
    handle = processes._Handle(process, mock.Mock(recv=said.pop))
    assert processes._ended(handle) == supervisor.End(False, usable, reason)


def test_a_ledger_that_is_out_of_reach_for_a_while_ends_nothing(task, monkeypatch):
    ends = iter([supervisor.End(False, True, "no server"), supervisor.End(True)])
    gone = mock.Mock(side_effect=OSError("no server"))
    monkeypatch.setattr(ledger, "end", gone)
    monkeypatch.setattr(storage, "read_json", gone)
    notes = []
    engine = supervisor.Engine(
        lambda: ["a"], lambda _, owner: owner, lambda _: next(ends), lambda _: None
    )
    supervisor.supervise(engine, task, note=notes.append)
    assert len(notes) == 1
    stopped = engine._replace(ended=lambda _: None)
    with pytest.raises(KeyboardInterrupt):
        supervisor.supervise(stopped, task, on_look=mock.Mock(side_effect=KeyboardInterrupt))


def test_slots_in_which_every_worker_dies_are_given_up(task):
    started = []

    def start(slot, owner):
        started.append(slot)
        return owner

    dying = supervisor.Engine(
        lambda: ["a", "b"],
        start,
        lambda _: supervisor.End(False, True, "no memory"),
        lambda _: None,
    )
    with pytest.raises(InputError, match="no worker can work"):
        supervisor.supervise(dying, task)
    assert started.count("a") == started.count("b") == supervisor._FUTILE


ORPHANS = """
import sys
from dippas_jax.parallel import ledger, processes, supervisor
from dippas_jax.parallel.devices import Devices
from dippas_jax.parallel.manifest import Item
from dippas_jax.parallel.worker import Task
from tests.parallel import stand_in
if __name__ == "__main__":
    out, log, photo = sys.argv[1:]
    task = Task(out, [Item(photo)], stand_in.Method(log, seconds=60.0))
    supervisor.supervise(processes.engine(task, Devices("cpu", 1, "cpu"), 1), task)
"""


def test_workers_do_not_outlive_the_one_that_started_them(task, tmp_path):
    script = tmp_path / "orphans.py"
    script.write_text(ORPHANS)
    arguments = [task.root, task.method.log, task.items[0].photo]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    process = subprocess.Popen([sys.executable, script, *arguments], env=environment)
    root = storage.place(task.root)
    while not task.method.calls(b"photo 0"):
        assert process.poll() is None
        time.sleep(0.05)
    (name,) = storage.names(root / ledger.WORKERS)
    pid = storage.read_json(root / ledger.WORKERS / name)["pid"]
    process.kill()
    process.wait()
    until = time.monotonic() + 10
    while ledger._runs(pid) and time.monotonic() < until:
        time.sleep(0.05)
    assert not ledger._runs(pid)


@pytest.mark.skipif(not hasattr(signal, "pthread_sigmask"), reason="no signals can be kept back")
def test_a_process_is_started_without_an_ear_for_a_terminals_interrupt():
    look = "import signal; print(signal.SIGINT in signal.pthread_sigmask(signal.SIG_BLOCK, []))"
    for context, deaf in ((processes._deaf(), "True"), (contextlib.nullcontext(), "False")):
        with context:
            said = subprocess.check_output([sys.executable, "-c", look], text=True)
        assert said.strip() == deaf
    assert signal.SIGINT not in signal.pthread_sigmask(signal.SIG_BLOCK, [])


def test_a_process_that_works_on_a_device_sees_no_other():
    assert devices.environment("cpu", 0, 4, {}) == {}
    assert devices.environment("gpu", 1, 1, {}) == {"CUDA_VISIBLE_DEVICES": "1"}
    assert devices.environment("gpu", 1, 1, {"CUDA_VISIBLE_DEVICES": "5,7"}) == {
        "CUDA_VISIBLE_DEVICES": "7"
    }


def test_those_that_share_a_device_share_its_memory():
    shared = devices.environment("gpu", 0, 3, {})
    assert 3 * float(shared["XLA_PYTHON_CLIENT_MEM_FRACTION"]) <= 0.9
    chosen = {"XLA_PYTHON_CLIENT_PREALLOCATE": "false"}
    assert devices.environment("gpu", 0, 3, chosen) == {"CUDA_VISIBLE_DEVICES": "0"}


def test_the_devices_are_those_that_jax_finds(monkeypatch):
    assert processes.local_devices("cpu") == Devices("cpu", 1, "cpu")
    with pytest.raises(InputError, match="no device for nosuch"):
        processes.local_devices("nosuch")
