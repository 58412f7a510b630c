"""Workers as actors of Ray; benchmarks/cluster.py kills a node of a cluster of two."""

import importlib.util
import json
import os
import subprocess
import sys
from unittest import mock

import pytest

from dippas_jax.parallel import cluster, worker
from dippas_jax.parallel.supervisor import End
from dippas_jax.parallel.worker import Task
from dippas_jax.types import InputError, ShortageError
from tests.parallel import stand_in


def node(name, **resources):
    return {"NodeID": name, "Alive": True, "Resources": resources}


def test_a_worker_has_a_gpu_or_all_the_cores_or_a_share_of_them():
    def slots(machine, workers, gpus=True):
        return [tuple(slot) for slot in cluster._slots(machine, workers, gpus=gpus)]

    assert slots(node("a", CPU=16.0, GPU=2.0), 1) == [("a", 0, True, 1.0), ("a", 1, True, 1.0)]
    assert len(slots(node("a", CPU=16.0, GPU=2.0), 3)) == 6
    assert slots(node("a", CPU=16.0, GPU=2.0), 1, gpus=False) == [("a", 0, False, 16)]
    assert slots(node("a", CPU=7.0), 2) == [("a", 0, False, 3), ("a", 1, False, 3)]
    assert slots(node("a", CPU=1.0), 2) == [("a", 0, False, 0.5), ("a", 1, False, 0.5)]
    assert slots(node("head"), 1) == []


def test_without_ray_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(InputError, match=r"dippas-jax\[cluster\]"):
        cluster.engine(Task("out", [], stand_in.Method("log")), cluster.LOCAL, 1)


def test_an_actor_says_how_it_ended(monkeypatch):
    task = Task("out", [], stand_in.Method("log"))
    for error, usable in ((None, True), (InputError("a"), False), (ShortageError("a"), True)):
        monkeypatch.setattr(worker, "work", mock.Mock(side_effect=error))
        reason = "a" if error else ""
        assert cluster._Worker().work(task, "w") == End(error is None, usable, reason)


RUN = """
import sys
from pathlib import Path
from dippas_jax.io import storage
from dippas_jax.parallel import cluster, ledger, summary, supervisor
from dippas_jax.parallel.worker import Task
from dippas_jax.io import files
from tests.parallel import stand_in
folder = Path(sys.argv[1])
(folder / "log").mkdir()
method = stand_in.Method(str(folder / "log"))
items = stand_in.photos(folder / "in", *(f"photo {n}" for n in range(6)), "bad", "poison")
root = ledger.begin(str(folder / "out"), method.settings())
task = Task(root.path, items, method, attempts=2)
supervisor.supervise(cluster.engine(task, cluster.LOCAL, 1, "cpu"), task)
files.write_json(folder / "found.json", summary.summarise(root, items))
"""


@pytest.mark.slow
@pytest.mark.skipif(not importlib.util.find_spec("ray"), reason="the extra cluster is missing")
def test_actors_do_every_photo_once_and_those_that_die_are_replaced(tmp_path):
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", RUN, str(tmp_path)]
    subprocess.run(command, env=environment, capture_output=True, check=True)
    found = json.loads((tmp_path / "found.json").read_text())
    assert (found["done"], found["quarantined"], found["left"]) == (6, 2, 0)
    method = stand_in.Method(str(tmp_path / "log"))
    assert len(method.calls(b"photo")) == 6
    assert len(method.calls(b"poison")) == 2
    assert {path.read_bytes() for path in (tmp_path / "out" / "photos").iterdir()} == {
        f"photo {n}".encode()[::-1] for n in range(6)
    }
