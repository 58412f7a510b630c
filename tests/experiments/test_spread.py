"""A study whose rows many processes make is the study that one process makes."""

import dataclasses
import importlib.util
import json
import os
import subprocess
import sys

import pytest

from dippas_jax import config
from dippas_jax.experiments import rows, runs, spread, study
from dippas_jax.io import files, weights
from dippas_jax.parallel import cluster, devices, processes, supervisor, worker
from dippas_jax.types import InputError
from tests.experiments import test_study

ONE = devices.Devices("cpu", 1, "cpu")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return test_study.cameras(tmp_path_factory.mktemp("data"))


@pytest.fixture
def at_once(monkeypatch):
    """Workers are this very process, one after the other; gives the tasks they had."""
    tasks = []

    def supervise(engine, task, *, note, on_look):
        tasks.append(task)
        worker.work(task, f"w{len(tasks)}")
        on_look()

    monkeypatch.setattr(processes, "local_devices", lambda platform="": ONE)
    monkeypatch.setattr(supervisor, "supervise", supervise)
    return tasks


def quick(folder, **changes):
    """Methods that take no time, one of them compressed again."""
    names = ("denoising_sigma3_times1", "denoising_sigma3_times1@jpeg-75", "published:soft")
    chosen = test_study.settings(folder, attackers=("wavelet", "set", "link"), group=2, **changes)
    return dataclasses.replace(chosen, methods=names)


def ours(folder, **changes):
    """And the paper's and the sparse method."""
    chosen = quick(folder, **changes)
    run = dataclasses.replace(chosen.run, sparse=config.Sparse(strength="fast"))
    names = (*chosen.methods, "prior-aware", "sparse-blind", "sparse-blind@jpeg-75")
    return dataclasses.replace(chosen, methods=names, run=run)


def found(workdir):
    """All rows but for how long they took, and the tables of all attackers."""
    every = {
        str(path.relative_to(workdir)): files.read_json(path) | {"seconds": None}
        for path in sorted((workdir / "rows").glob("*/*.json"))
    }
    summaries = [one | {"seconds": None} for one in files.read_json(workdir / "tables.json")]
    photos = {
        str(path.relative_to(workdir)): path.read_bytes()
        for path in sorted(workdir.glob("**/photos/**/*.png"))
        if not path.name.endswith(".figure.png")
    }
    return every, summaries, photos


def test_rows_are_made_by_workers_and_are_those_of_one_process(
    folder,
    tmp_path,
    at_once,
    monkeypatch,
):
    study.run(quick(folder), tmp_path / "one")
    assert not at_once
    study.run(quick(folder, workers=2), tmp_path / "many")
    assert found(tmp_path / "many") == found(tmp_path / "one")
    first, second = at_once
    assert len(first.items) == 1
    assert len(second.items) == 3 * 4, "three methods, two cameras, two groups of each"
    one, many = (json.loads((tmp_path / n / "config.json").read_text()) for n in ("one", "many"))
    assert one == many, "either may go on with what the other began"
    assert not list((tmp_path / "many").glob("cluster-*"))
    kept = sorted((tmp_path / "many").rglob("*"))
    lost = next((tmp_path / "many/rows/published-soft").iterdir())
    lost.unlink()
    monkeypatch.setattr(cluster, "engine", lambda task, address, workers: (address, workers))
    study.run(quick(folder, cluster="head:6379"), tmp_path / "many")
    assert len(at_once[-1].items) == 1, "what stands there is not made again"
    ready, last = (task.items[0].id for task in at_once[-2:])
    assert ready != last, "a worker would take it for done"
    assert sorted((tmp_path / "many").rglob("*")) == kept
    assert found(tmp_path / "many") == found(tmp_path / "one")


def test_photos_that_cannot_be_used_are_refused_as_ever(folder, tmp_path, at_once):
    data = config.Data(folder=str(folder), devices=("cam0",))
    chosen = dataclasses.replace(quick(folder, workers=1), data=data)
    with pytest.raises(InputError, match="a study needs photos of at least two cameras"):
        study.run(chosen, tmp_path)
    assert not list(tmp_path.glob("cluster-*"))


def test_parts_that_fail_are_named_and_the_others_stand(
    folder,
    tmp_path,
    at_once,
    monkeypatch,
):
    make = rows.make

    def fails(name, group, *rest):
        if name == "published:soft" and group.device == "cam1":
            raise RuntimeError("no memory")
        return make(name, group, *rest)

    monkeypatch.setattr(rows, "make", fails)
    monkeypatch.setattr(worker, "_WAIT", 0.01)
    with pytest.raises(runs.FailedError, match=r"^2 of 12 parts .*published:soft of cam1_.*memory"):
        study.run(quick(folder, workers=1), tmp_path)
    assert len(list((tmp_path / "rows").glob("*/*.json"))) == 5 * 4 - 2
    monkeypatch.setattr(rows, "make", make)
    study.run(quick(folder, workers=1), tmp_path)
    assert len(at_once[-1].items) == 2


@pytest.mark.parametrize("others", [True, False], ids=["some", "none"])
def test_photos_that_workers_could_not_do_are_told_and_given_to_workers_again(
    folder, tmp_path, at_once, monkeypatch, others
):
    usual, tried = runs._sparse, []

    def fails(task):
        if task.record.id == "cam0_1" or not others:
            tried.append(task.record.id)
            raise MemoryError
        return usual(task)

    sparse = dataclasses.replace(quick(folder).run, sparse=config.Sparse(strength="fast"))
    chosen = dataclasses.replace(quick(folder, workers=1), methods=("sparse-blind",), run=sparse)
    monkeypatch.setattr(runs, "_sparse", fails)
    with pytest.raises(runs.FailedError, match=r"by sparse-blind: .*cam0_1: memory ran out"):
        study.run(chosen, tmp_path)
    assert len(tried) == len(set(tried)), "not again by the command's own process"
    assert files.read_json(tmp_path / "tables.json")[-1]["photos"] == (5 if others else 6)
    monkeypatch.setattr(runs, "_sparse", usual)
    study.run(chosen, tmp_path)
    assert len(at_once[-1].items) == (1 if others else 4)
    made = files.read_json(tmp_path / "tables.json")[-1]
    assert (made["method"], made["photos"]) == ("sparse-blind", 6)


def test_a_machine_without_the_weights_is_no_worker(folder, tmp_path, monkeypatch):
    parts = spread._Parts(quick(folder), str(tmp_path), os.getcwd(), True)
    monkeypatch.setattr(weights, "load", lambda: None)
    with pytest.raises(InputError, match="not on every machine; `dippas fetch learned`"):
        parts.device()
    with pytest.raises(InputError, match="folder /none is not on every machine"):
        parts._replace(home="/none").device()


RUN = """
import os, signal, sys
from dippas_jax.experiments import study
from dippas_jax.io import storage
from dippas_jax.parallel import ledger, supervisor
from jax._src import xla_bridge
from tests.experiments import test_spread
def supervise(engine, task, *, note, on_look):
    assert not xla_bridge.backends_are_initialized(), "a GPU is the workers'"
    root, kills = storage.place(task.root), []
    def look():
        on_look()
        if len(task.items) > 1 and len(ledger.finished(root)) > 2 and not kills:
            for name in storage.names(root / ledger.WORKERS):
                facts = storage.read_json(root / ledger.WORKERS / name)
                if facts["state"] == "working" and not kills:
                    os.kill(facts["pid"], signal.SIGKILL)
                    kills.append(1)
    supervised(engine, task, note=note, on_look=look)
    assert len(kills) == (len(task.items) > 1)
if __name__ == "__main__":
    supervised, supervisor.supervise = supervisor.supervise, supervise
    data, workdir, cluster, workers = sys.argv[1:]
    study.run(test_spread.ours(data, cluster=cluster, workers=int(workers)), workdir)
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    "address",
    [
        "",
        pytest.param(
            cluster.LOCAL,
            marks=pytest.mark.skipif(
                not importlib.util.find_spec("ray"), reason="the extra cluster is missing"
            ),
        ),
    ],
)
def test_processes_of_which_one_is_killed_make_the_same_study(folder, tmp_path, address):
    """Shapes are checked in this process, which changes last digits, so both run elsewhere."""
    (tmp_path / "run.py").write_text(RUN)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    for name, where, workers in (("one", "", "0"), ("many", address, "2")):
        command = [sys.executable, tmp_path / "run.py", folder, tmp_path / name, where, workers]
        subprocess.run(command, env=environment, check=True)
    assert found(tmp_path / "many") == found(tmp_path / "one")
