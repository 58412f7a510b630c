"""`dippas campaign`: the outputs of `dippas anonymize`, a plan, a summary, and what it refuses."""

import dataclasses
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import jax
import numpy as np
import pytest
from PIL import Image

from dippas_jax.cli import (
    campaign,
    campaign_arguments,
    campaign_plan,
    console,
    methods,
    outputs,
    pace,
)
from dippas_jax.cli import main as cli
from dippas_jax.datasets import synthetic
from dippas_jax.io import checkpoint, files, storage
from dippas_jax.parallel import (
    cluster,
    devices,
    ledger,
    manifest,
    processes,
    summary,
    supervisor,
    worker,
)
from dippas_jax.parallel.worker import Task
from dippas_jax.prior import batch
from dippas_jax.types import InputError
from tests import tiny

SIZE = 64
CAMERA = synthetic.Camera(seed=3, strength=0.02)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """a.jpg, b.png, K.npy, and list.csv, which names K for b, a bad file and a missing one."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(files, "cache_folder", lambda: tmp_path / "cache")
    photos = [synthetic.expose(CAMERA, synthetic.scene(n, SIZE), n) for n in range(2)]
    Image.fromarray(photos[0]).save("a.jpg", quality=97, subsampling=0)
    Image.fromarray(photos[1]).save("b.png")
    Path("bad.jpg").write_bytes(Path("a.jpg").read_bytes()[:600])
    files.write_fingerprint("K.npy", CAMERA.fingerprint(SIZE, SIZE))
    Path("list.csv").write_text("photo,fingerprint\na.jpg,\nb.png,K.npy\nbad.jpg,\nno.jpg,\n")
    return tmp_path


@pytest.fixture
def dippas(capsys, folder):
    """Runs the command: its exit code, stdout, stderr."""

    def run(*arguments):
        code = cli.main([str(argument) for argument in arguments])
        return code, *capsys.readouterr()

    return run


def work(options, name="list.csv", output="out"):
    """The campaign in this very process, which is quicker to start."""
    method = campaign.Anonymiser(options)
    items, _ = manifest.read(name)
    root = ledger.begin(output, method.settings())
    worker.work(Task(output, items, method), "w")
    return root, items


def done(output="out"):
    """Outputs by the original's name."""
    facts = [json.loads(path.read_text()) for path in Path(output, "done").iterdir()]
    return {Path(one["photo"]).name: Path(output, "photos", one["output"]) for one in facts}


def test_outputs_are_those_of_anonymize_and_records_name_no_original(
    dippas, quick_search, monkeypatch
):
    root, items = work(outputs.Options())
    assert dippas("anonymize", "a.jpg", "--blind")[0] in (0, 4)
    assert dippas("anonymize", "b.png", "--fingerprint", "K.npy")[0] in (0, 4)
    found = done()
    assert found.keys() == {"a.jpg", "b.png"}
    assert found["a.jpg"].read_bytes() == Path("a.anon.jpg").read_bytes()
    assert found["b.png"].read_bytes() == Path("b.anon.png").read_bytes()
    assert (found["a.jpg"].suffix, found["b.png"].suffix) == (".jpg", ".png")
    records = {name: Path("out/records", f"{path.stem}.json") for name, path in found.items()}
    known = json.loads(records["b.png"].read_text())
    assert (known["mode"], known["height"]) == ("aware", SIZE)
    assert known["z_before"]["sigma-3"] > 5
    assert not {"photo", "output", "fingerprint"} & known.keys()
    for path in Path("out/records").iterdir():
        assert not any(name in path.read_text() for name in ("a.jpg", "b.png", "K.npy", "/tmp"))
    reasons = summary.summarise(root, items)["reasons"]
    here = os.getcwd()
    assert f"photo {here}/bad.jpg is truncated or damaged" in reasons[f"{here}/bad.jpg"]
    assert "No such file" in reasons[f"{here}/no.jpg"]
    code, out, err = dippas("campaign", "list.csv", "-o", "out")
    assert code == console.FAILED, "nothing was left to do, so nothing was started"
    assert "quarantined  2" in out
    assert "bad.jpg is truncated" in out
    assert "traced" in err
    assert json.loads(Path("out/summary.json").read_text())["done"] == 2
    Path("bad.jpg").write_bytes(Path("a.jpg").read_bytes())
    monkeypatch.setattr(campaign, "_run", lambda task, root, how, every: worker.work(task, "again"))
    code, out, err = dippas("campaign", "list.csv", "-o", "out", "--json", "--retry")
    assert code == console.FAILED
    assert "2 photos that had been put aside are tried again" in err
    assert {name: json.loads(out)[name] for name in ("done", "reused", "quarantined")} == {
        "done": 3, "reused": 1, "quarantined": 1,
    }  # fmt: skip
    code, out, _ = dippas("campaign", "list.csv", "-o", "out", "--json", "--shard", "1/4")
    assert code == (console.TRACED if json.loads(out)["traced"] else 0)
    assert json.loads(out)["done"] == 1
    code, _, err = dippas("campaign", "list.csv", "-o", "out", "--strength", "strong")
    assert code == 2
    assert "whose strength is 'balanced', and 'strong' was given" in err
    broken = next(Path("out/done").iterdir())
    broken.write_bytes(b"")
    code, _, err = dippas("campaign", "list.csv", "-o", "out", "--summary")
    assert (code, f"{broken.name} is damaged" in err) == (2, True)


@pytest.mark.parametrize("slots", [pytest.param(1, marks=pytest.mark.slow), 3])
def test_photos_of_the_papers_method_share_slots_and_are_those_of_anonymize(
    dippas, monkeypatch, slots
):
    """Four tiles of one shape of three photos; a flat photo, a bad one, and one K does not fit."""
    small = dataclasses.replace(tiny.settings(stop_psnr=90.0), tile=SIZE)
    monkeypatch.setattr(methods, "prior_config", lambda options: small)
    monkeypatch.setitem(batch.SLOTS, "cpu", slots)
    monkeypatch.setattr(jax, "local_devices", lambda: jax.devices()[:1])
    pixels = synthetic.expose(CAMERA, synthetic.scene(5, 96)[:SIZE], 5)
    Image.fromarray(pixels).save("wide.jpg", quality=95)
    Image.new("RGB", (SIZE, SIZE), (90, 90, 90)).save("flat.png")
    rows = "wide.jpg,\nflat.png,\nb.png,K.npy\nbad.jpg,\nc.jpg,K.npy\na.jpg,\n"
    Path("prior.csv").write_text(f"photo,fingerprint\n{rows}")
    Path("c.jpg").write_bytes(Path("wide.jpg").read_bytes())
    at_work = []
    write = worker._Worker._write

    def counted(self, held, made):
        at_work.append(len(self._held))
        write(self, held, made)

    monkeypatch.setattr(worker._Worker, "_write", counted)
    root, items = work(outputs.Options(method="prior"), "prior.csv")
    assert max(at_work) <= slots, "those that cannot be used are put aside at once"
    assert len(at_work) == 3
    found = done()
    assert found.keys() == {"wide.jpg", "b.png", "a.jpg"}
    dippas("anonymize", "wide.jpg", "a.jpg", "--blind", "--method", "prior")
    dippas("anonymize", "b.png", "--fingerprint", "K.npy", "--method", "prior")
    for name, path in found.items():
        assert path.read_bytes() == Path(name).with_suffix(f".anon{path.suffix}").read_bytes()
    reasons = summary.summarise(root, items)["reasons"]
    told = {Path(name).name: reason for name, reason in reasons.items()}
    assert told.keys() == {"flat.png", "bad.jpg", "c.jpg"}
    assert "no noise to remove" in told["flat.png"]
    assert told["bad.jpg"].startswith(f"photo {os.getcwd()}/bad.jpg is truncated")
    words = f"photo {os.getcwd()}/c.jpg of 96x64 pixels does not fit the fingerprint"
    assert told["c.jpg"].startswith(words)
    facts = [json.loads(path.read_text()) for path in Path("out/done").iterdir()]
    assert {Path(one["photo"]).name: one["units"] for one in facts} == {
        name: pace.work(size, method="prior")
        for name, size in (("a.jpg", (64, 64)), ("b.png", (64, 64)), ("wide.jpg", (64, 96)))
    }


@pytest.mark.slow
def test_a_photo_of_the_papers_method_goes_on_where_a_worker_was_cut_off(dippas, monkeypatch):
    """After both of its tiles had been saved in one try, and with what another try left damaged."""
    small = tiny.settings(stop_psnr=90.0)
    small = dataclasses.replace(small, tile=SIZE, checkpoint_seconds=0.0)
    monkeypatch.setattr(methods, "prior_config", lambda options: small)
    monkeypatch.setattr(jax, "local_devices", lambda: jax.devices()[:1])
    pixels = synthetic.expose(CAMERA, synthetic.scene(5, 96)[:SIZE], 5)
    Image.fromarray(pixels).save("wide.png")
    Path("wide.txt").write_text("wide.png\n")
    save, latest, went_on, cut = checkpoint.save, checkpoint.latest, [], []

    def cut_off(folder, step, tree):
        save(folder, step, tree)
        if len(cut) < 2 and folder.name == "1":
            cut.append(step)
            raise KeyboardInterrupt

    def remembered(folder, like):
        found = latest(folder, like)
        went_on.append((folder.name, found and found[0]))
        return found

    monkeypatch.setattr(checkpoint, "save", cut_off)
    monkeypatch.setattr(checkpoint, "latest", remembered)
    options = outputs.Options(method="prior")
    for steps in (3, 6):
        with pytest.raises(KeyboardInterrupt):
            work(options, "wide.txt")
        assert cut[-1] == steps
    assert went_on == [("0", 12), ("1", 3)]
    (two,) = Path("out/checkpoints").glob("*/2.*")
    for path in (two / "1").rglob("*"):
        if path.is_file():
            path.write_bytes(path.read_bytes()[:-1])
    went_on.clear()
    work(options, "wide.txt")
    assert [one for one in went_on if one[1]] == [("0", 12), ("1", 3)]
    assert not list(Path("out/checkpoints").iterdir())
    dippas("anonymize", "wide.png", "--blind", "--method", "prior")
    assert done()["wide.png"].read_bytes() == Path("wide.anon.png").read_bytes()


def test_all_that_changes_an_output_is_in_its_name():
    fields = set(outputs.Options._fields)
    settings = campaign.Anonymiser(outputs.Options()).settings()
    assert fields - settings.keys() == campaign._NOT_SETTINGS
    assert {"method", "strength", "seed", "kind", "metadata", "icc", "displace"} <= settings.keys()


def test_a_plan_says_what_there_is_to_do_and_writes_nothing(dippas, folder, monkeypatch):
    pace.remember("prior", 3600.0, 1800.0)
    before = sorted(folder.rglob("*"))
    code, out, err = dippas("campaign", "list.csv", "-o", "out", "-n", "--json")
    assert (code, err) == (console.FAILED, "")
    plan = json.loads(out)
    assert (plan["photos"], plan["finished"], plan["unusable"]) == (4, 0, 2)
    assert plan["sizes"] == {"64x64": 2}
    assert plan["disk"] == Path("a.jpg").stat().st_size + Path("b.png").stat().st_size
    assert plan["free"] > 0
    assert list(plan["hours"]) == ["cpu"]
    assert plan["hours"]["cpu"]["source"] == "a guess"
    units = sum(pace.work((SIZE, SIZE), method="sparse", aware=aware) for aware in (False, True))
    assert plan["hours"]["cpu"]["hours"] == pytest.approx(units * 0.5 / 3600)
    out = dippas("campaign", "list.csv", "-o", "out", "-n", "--method", "prior")[1]
    code, _, err = dippas("campaign", "list.csv", "-o", "list.csv", "-n")
    assert (code, "cannot be written to" in err) == (2, True)
    hours = 2 * 300 * SIZE**2 / 512**2 * 2.0 / 3600
    assert f"hours      {hours:.2f} of one cpu (earlier photos here)" in out
    assert "steps      9, each of 512x512 pixels" in out
    assert "bad.jpg is truncated" in out
    assert sorted(folder.rglob("*")) == before


def test_a_plan_names_fingerprints_that_cannot_be_used(dippas):
    Path("K.txt").write_text("no fingerprint")
    Path("wrong.csv").write_text("photo,fingerprint\na.jpg,K.txt\nb.png,K.npy\n")
    plan = json.loads(dippas("campaign", "wrong.csv", "-o", "out", "-n", "--json")[1])
    assert (plan["unusable"], plan["sizes"]) == (1, {"64x64": 1})


def test_a_plan_names_photos_that_are_too_small_as_anonymize_does(dippas):
    for size in ((63, 90), (90, 63), (64, 64)):
        Image.fromarray(np.zeros((*size, 3), np.uint8)).save(f"{size[0]}.png")
    Path("sizes.txt").write_text("63.png\n90.png\n64.png\n")
    code, out, _ = dippas("campaign", "sizes.txt", "-o", "out", "-n", "--json")
    plan = json.loads(out)
    assert (code, plan["unusable"], plan["sizes"]) == (console.FAILED, 2, {"64x64": 1})
    assert plan["steps"] == round(pace.work((64, 64), method="sparse"))
    words = "photo {} of {} pixels is too small; give one of at least 64x64"
    here = os.getcwd()
    assert plan["reasons"] == {
        f"{here}/63.png": words.format(f"{here}/63.png", "90x63"),
        f"{here}/90.png": words.format(f"{here}/90.png", "63x90"),
    }
    err = dippas("anonymize", "63.png", "90.png", "-n")[2]
    assert words.format("63.png", "90x63") in err
    assert words.format("90.png", "63x90") in err


def test_a_plan_of_photos_that_are_all_of_no_use_ends_as_the_campaign_would(dippas):
    Path("bad.txt").write_text("bad.jpg\nno.jpg\n")
    command = ("campaign", "bad.txt", "-o", "out", "-n")
    assert dippas(*command)[0] == console.UNUSABLE
    assert dippas(*command, "--shard", "0/1")[0] == console.FAILED
    items, _ = manifest.read("bad.txt")
    root = ledger.begin("out", campaign.Anonymiser(outputs.Options()).settings())
    ledger.write(root, ledger.QUARANTINE, items[0].id, {**items[0]._asdict(), "reason": "bad"})
    (root.local / ledger.PHOTOS / "x.jpg").touch()
    facts = {"output": "x.jpg", "device": "", "seconds": 1.0, "units": 1.0}
    ledger.write(root, ledger.DONE, items[1].id, {**facts, "reused": False, "traced": False})
    plan = campaign_plan.show(items, root, outputs.Options(), retry=True, whole=True, json=True)
    assert plan == console.FAILED, "one is done"


@pytest.mark.parametrize(
    ("first", "second", "code"),
    [
        ("done", "aside", console.FAILED),
        ("aside", "aside", console.UNUSABLE),
        ("traced", "done", console.TRACED),
        ("done", "done", console.DONE),
        ("aside", "", console.FAILED),
        ("traced", "", console.TRACED),
    ],
)
def test_a_plan_counts_what_became_of_photos_earlier(dippas, first, second, code):
    Path("two.txt").write_text("a.jpg\nb.png\n")
    items, _ = manifest.read("two.txt")
    root = ledger.begin(
        "out", {**campaign.Anonymiser(outputs.Options()).settings(), "fingerprint": None}
    )
    (root.local / ledger.PHOTOS / "x.jpg").touch()
    facts = {"output": "x.jpg", "device": "", "seconds": 1.0, "units": 1.0, "reused": False}
    for item, state in zip(items, (first, second), strict=True):
        if state == "aside":
            ledger.write(root, ledger.QUARANTINE, item.id, {**item._asdict(), "reason": "bad"})
        elif state:
            ledger.write(root, ledger.DONE, item.id, {**facts, "traced": state == "traced"})
    aside = (first, second).count("aside")
    found, out, _ = dippas("campaign", "two.txt", "-o", "out", "-n")
    assert found == code
    assert (f"put aside  {aside} of these; --retry tries them again" in out) == bool(aside)
    plan = dippas("campaign", "two.txt", "-o", "out", "-n", "--json")[1]
    assert json.loads(plan)["quarantined"] == aside
    if second:
        assert dippas("campaign", "two.txt", "-o", "out")[0] == code


def test_a_plan_rests_on_what_the_campaign_has_done(dippas):
    items, _ = manifest.read("list.csv")
    root = ledger.begin("out", campaign.Anonymiser(outputs.Options()).settings())
    (root.local / ledger.PHOTOS / "x.jpg").touch()
    facts = {"photo": items[0].photo, "device": "NVIDIA A", "seconds": 30.0, "units": 10.0}
    facts["output"] = "x.jpg"
    ledger.write(root, ledger.DONE, items[0].id, {**facts, "reused": False, "traced": False})
    plan = json.loads(dippas("campaign", "list.csv", "-o", "out", "-n", "--json")[1])
    assert plan["finished"] == 1
    assert plan["sizes"] == {"64x64": 1}
    units = pace.work((SIZE, SIZE), method="sparse", aware=True)  # it names a fingerprint
    assert plan["hours"]["NVIDIA A"]["hours"] == pytest.approx(3 * units / 3600)
    assert plan["hours"]["NVIDIA A"]["source"] == "1 photo of this campaign"


def test_the_size_of_a_photo_that_lies_elsewhere_is_told_by_its_first_bytes(dippas, monkeypatch):
    system = storage.place("memory://in").system
    noise = np.random.default_rng(0).integers(0, 256, (600, 400, 3), dtype=np.uint8)
    Image.fromarray(noise).save("large.jpg", quality=99)
    Image.fromarray(noise[:300]).save("large.png")
    for name in ("large.jpg", "large.png", "bad.jpg"):
        system.pipe_file(f"/in/{name}", Path(name).read_bytes())
    assert Path("large.png").stat().st_size > campaign_plan._HEADER
    fetched = []
    start = storage.start
    monkeypatch.setattr(storage, "start", lambda at, n: fetched.append(at.path) or start(at, n))
    names = ("large.jpg", "large.png", "bad.jpg", "none.jpg")
    Path("far.txt").write_text("".join(f"memory://in/{name}\n" for name in names))
    plan = json.loads(dippas("campaign", "far.txt", "-o", "out", "-n", "--json")[1])
    assert plan["sizes"] == {"400x600": 1, "400x300": 1}
    assert plan["reasons"].keys() == {"memory://in/bad.jpg", "memory://in/none.jpg"}
    assert "photo memory://in/bad.jpg is truncated" in plan["reasons"]["memory://in/bad.jpg"]
    assert "(No such file or directory)" in plan["reasons"]["memory://in/none.jpg"]
    assert fetched.count("/in/large.jpg") == 1


def test_a_network_that_fails_in_its_own_way_leaves_the_plan_of_the_others(dippas, monkeypatch):
    system = storage.place("memory://in").system
    noise = np.random.default_rng(0).integers(0, 256, (100, 80, 3), dtype=np.uint8)
    Image.fromarray(noise).save("one.png")
    for name in ("one.png", "two.png"):
        system.pipe_file(f"/in/{name}", Path("one.png").read_bytes())
    start = storage.start

    def broken(at, count):
        if at.path.endswith("two.png"):
            raise ArithmeticError("503\nand so on")
        return start(at, count)

    monkeypatch.setattr(storage, "start", broken)
    Path("far.txt").write_text("memory://in/one.png\nmemory://in/two.png\n")
    plan = json.loads(dippas("campaign", "far.txt", "-o", "out", "-n", "--json")[1])
    assert plan["sizes"] == {"80x100": 1}
    reason = plan["reasons"]["memory://in/two.png"]
    assert reason.endswith("cannot be reached (ArithmeticError: 503); try again later")


def test_a_summary_can_be_read_from_the_start_on_and_not_of_what_is_no_campaign(dippas):
    code, out, err = dippas("campaign", "list.csv", "-o", "out", "--summary", "--json")
    assert (code, out) == (2, "")
    assert "folder out holds no campaign" in err
    assert not Path("out").exists()
    ledger.begin("out", {})
    code, out, _ = dippas("campaign", "list.csv", "-o", "out", "--summary", "--json")
    assert code == 0
    assert json.loads(out)["left"] == 4


def test_photos_whose_outputs_are_gone_are_done_again(dippas, monkeypatch):
    monkeypatch.setattr(campaign, "_run", lambda task, root, how, every: worker.work(task, "me"))
    command = ("campaign", "list.csv", "-o", "out", "--json")
    first = json.loads(dippas(*command)[1])
    gone = sorted(Path("out/photos").iterdir())[0]
    data = gone.read_bytes()
    gone.unlink()
    assert json.loads(dippas(*command, "-n")[1])["finished"] == first["done"] - 1 + 2
    _, out, err = dippas(*command)
    assert "the outputs of 1 photo that were done are gone; they are made again" in err
    assert json.loads(out)["done"] == first["done"]
    assert gone.read_bytes() == data


@pytest.mark.parametrize("folder_of", ["done", "quarantine", "workers"])
def test_what_is_json_and_no_entry_of_a_ledger_is_damaged(dippas, monkeypatch, folder_of):
    monkeypatch.setattr(campaign, "_run", lambda task, root, how, every: worker.work(task, "me"))
    command = ("campaign", "list.csv", "-o", "out")
    dippas(*command)
    entry = sorted(Path("out", folder_of).iterdir())[0]
    for text in ("{}", "[1]", '"x"'):
        entry.write_text(text)
        code, out, err = dippas(*command, "--summary")
        if folder_of == "workers":
            assert (code, "done" in out) == (console.FAILED, True)
        else:
            assert (code, f"{entry.name} is damaged" in err) == (2, True)
    Path("out/campaign.json").write_text("[1]")
    for more in ((), ("-n",), ("--summary",)):
        code, _, err = dippas(*command, *more)
        assert (code, "campaign.json is damaged" in err) == (2, True)


def test_names_in_a_plan_do_nothing_to_a_terminal(dippas):
    Path("odd.jsonl").write_text(json.dumps({"photo": "\x1b[31mred.jpg"}))
    assert "\x1b" not in dippas("campaign", "odd.jsonl", "-o", "out", "-n")[1]


def test_a_folder_knows_the_fingerprint_of_its_campaign(dippas, monkeypatch):
    """A photo's place in the ledger depends on it, so that it is not to be left out by mistake."""

    def all_done(task, root, how, every):
        for item in task.items:
            ledger.write(root, ledger.QUARANTINE, item.id, {**item._asdict(), "reason": "a test"})

    monkeypatch.setattr(campaign, "_run", all_done)
    command = ("campaign", "list.csv", "-o", "out")
    assert dippas(*command, "--fingerprint", "K.npy")[0] == console.UNUSABLE
    assert json.loads(dippas(*command, "--summary", "--json")[1])["quarantined"] == 4
    for more in ((), ("-n",)):
        code, _, err = dippas(*command, *more)
        assert code == 2
        assert f"whose fingerprint is '{os.getcwd()}/K.npy', and None was given" in err


def test_weights_that_a_machine_lacks_are_no_fault_of_the_photos(dippas):
    with pytest.raises(InputError, match="dippas fetch learned"):
        work(outputs.Options(method="dncnn"))
    assert not list(Path("out/quarantine").iterdir())
    command = ("campaign", "list.csv", "-o", "out", "--method", "dncnn")
    assert [dippas(*command, *more)[0] for more in ((), ("-n",), ("--summary",))] == [2, 2, 0]


def test_lines_that_repeat_others_are_counted(dippas):
    Path("many.txt").write_text("a.jpg\n" * 9)
    code, _, err = dippas("campaign", "many.txt", "-o", "out", "-n")
    assert (code, err.count("repeats photo")) == (0, 5)
    assert "dippas: 3 lines more repeat others, and count once\n" in err


def test_a_photo_on_a_machine_that_cannot_be_reached_is_one_of_the_plan(dippas):
    Path("far.txt").write_text("ftp://127.0.0.1:9/a.png\nb.png\n")
    code, out, _ = dippas("campaign", "far.txt", "-o", "out", "-n", "--json")
    assert code == console.FAILED
    assert json.loads(out)["sizes"] == {"64x64": 1}


def test_a_summary_that_fails_does_not_end_the_work(dippas, monkeypatch):
    looked = []

    def unreachable(*_):
        looked.append(1)
        raise OSError("stale file handle")

    def supervise(engine, task, *, note, on_look):
        on_look()

    one = devices.Devices("cpu", 1, "cpu")
    monkeypatch.setattr(processes, "local_devices", lambda platform: one)
    monkeypatch.setattr(supervisor, "supervise", supervise)
    monkeypatch.setattr(summary, "summarise", unreachable)
    monkeypatch.setattr(campaign, "_EVERY", -1.0)
    task = Task("out", manifest.read("list.csv")[0], campaign.Anonymiser(outputs.Options()))
    campaign._run(task, storage.place("out"), campaign.How(device="cpu"), task.items)
    assert looked


@pytest.mark.parametrize(("arguments", "words"), [
    (("none.csv", "-o", "out"), "none.csv cannot be read"),
    (("list.csv",), "-o/--output"),
    (("list.csv", "-o", "out", "--shard", "4/4"), "'4/4' is not K/N"),
    (("list.csv", "-o", "out", "--shard", "auto"), "nor auto"),
    (("empty.txt", "-o", "out", "--shard", "5/9"), "manifest empty.txt names no photo"),
    (("list.csv", "-o", "out", "--fingerprint", "no.npy"), "fingerprint no.npy cannot be read"),
    (("list.csv", "-o", "out", "-n", "--fingerprint", "a.jpg"), "a.jpg"),
    (("list.csv", "-o", "out", "--strength", "fast", "--method", "warp"), "--strength goes with"),
    (("list.csv", "-o", "out", "--format", "png", "--jpeg-quality", "80"), "goes with JPEG outp"),
    (("list.csv", "-o", "out", "--workers", "0"), "not a number of 1 or more"),
    (("list.csv", "-o", "out", "--grain", "--method", "prior"), "--grain goes with"),
    (("list.csv", "-o", "a.jpg/out"), "Not a directory"),
    (("list.csv", "-o", "out", "--lease", "0"), "positive"),
])  # fmt: skip
def test_what_cannot_be_used_as_a_whole_is_refused(dippas, monkeypatch, arguments, words):
    for name in ("SLURM_ARRAY_TASK_ID", "JOB_COMPLETION_INDEX"):
        monkeypatch.delenv(name, raising=False)
    Path("empty.txt").write_text("# nothing yet\n")
    code, out, err = dippas("campaign", *arguments)
    assert code == 2
    assert out == ""
    assert words in err


def test_a_scheduler_says_which_shard_this_is():
    slurm = {"ID": "30", "MIN": "10", "MAX": "50", "STEP": "10", "COUNT": "5"}
    slurm = {f"SLURM_ARRAY_TASK_{name}": value for name, value in slurm.items()}
    assert campaign_arguments.shard("auto", slurm) == (2, 5)
    assert campaign_arguments.shard("auto/16", {"JOB_COMPLETION_INDEX": "15"}) == (15, 16)
    assert campaign_arguments.shard("3/8", slurm) == (3, 8)
    for text, environment in (
        ("auto", {"JOB_COMPLETION_INDEX": "1"}),
        ("auto/2", {"JOB_COMPLETION_INDEX": "2"}),
        ("auto", {}),
        ("a/b", {}),
    ):
        with pytest.raises(Exception, match="is not K/N"):
            campaign_arguments.shard(text, environment)


def test_a_shard_without_photos_is_no_failure_of_its_array(dippas, folder):
    """Four photos for nine tasks: a scheduler would give those that fail again and again."""
    before = sorted(folder.rglob("*"))
    command = ("campaign", "list.csv", "-o", "out", "--shard", "5/9")
    for more in ((), ("-n",), ("--summary",)):
        words = (
            "dippas: manifest list.csv has fewer than 9 photos, so shard 5/9 has nothing to do\n"
        )
        assert dippas(*command, *more) == (0, "", words)
        code, out, _ = dippas(*command, *more, "--json")
        assert (code, json.loads(out)["photos"]) == (0, 0)
    assert sorted(folder.rglob("*")) == before


def test_a_shard_whose_photos_are_all_put_aside_is_like_any_with_some(dippas, monkeypatch):
    """Code 2 would be tried again, and the recipes of docs/cluster.md forgive 1 alone."""

    def all_bad(task, root, how, every):
        for item in task.items:
            ledger.write(root, ledger.QUARANTINE, item.id, {**item._asdict(), "reason": "a test"})

    monkeypatch.setattr(campaign, "_run", all_bad)
    assert dippas("campaign", "list.csv", "-o", "out", "--shard", "1/4")[0] == console.FAILED
    monkeypatch.setenv("SLURM_ARRAY_TASK_ID", "0")
    for name, value in (("MIN", "0"), ("COUNT", "1"), ("STEP", "1")):
        monkeypatch.setenv(f"SLURM_ARRAY_TASK_{name}", value)
    monkeypatch.delenv("JOB_COMPLETION_INDEX", raising=False)
    array_of_one = ("campaign", "list.csv", "-o", "out", "--shard", "auto")
    assert dippas(*array_of_one)[0] == console.FAILED
    assert dippas("campaign", "list.csv", "-o", "out")[0] == console.UNUSABLE


def finish(root, items):
    """The ledger's entries of photos that are done, and an output."""
    (root.local / ledger.PHOTOS / "x.jpg").touch()
    facts = {"output": "x.jpg", "device": "", "seconds": 1.0, "units": 1.0}
    facts |= {"reused": False, "traced": True}
    for item in items:
        ledger.write(root, ledger.DONE, item.id, {**item._asdict(), **facts})


def test_what_is_done_is_told_where_no_worker_can_go_on(dippas, monkeypatch):
    """As where the library of HEIC is missing on the only machine, and all else is done."""

    def some(engine, task, *, note, on_look):
        finish(storage.place(task.root), task.items[:number])
        raise InputError("no worker can work")

    monkeypatch.setattr(supervisor, "supervise", some)
    number, command = 0, ("campaign", "list.csv", "-o", "out", "--device", "cpu")
    assert dippas(*command)[0] == console.UNUSABLE
    number = 1
    shard = dippas(*command, "--shard", "0/2")
    assert (shard[0], shard[1]) == (console.UNUSABLE, ""), "a scheduler tries it again"
    number = 2
    code, out, err = dippas(*command, "--json")
    assert (code, json.loads(out)["done"], json.loads(out)["left"]) == (console.FAILED, 2, 2)
    assert "dippas: no worker can work\n" in err
    assert dippas(*command)[:2] == (console.UNUSABLE, ""), "nothing was finished this time"


def test_a_cluster_that_is_none_is_refused_whatever_was_done_earlier(dippas, monkeypatch):
    def none(task, address, workers, platform):
        finish(storage.place(task.root), task.items[:1])  # by another command, meanwhile
        raise InputError(f"cluster {address} cannot be reached")

    monkeypatch.setattr(cluster, "engine", none)
    command = ("campaign", "list.csv", "-o", "out", "--cluster", "mistyped:1")
    for _ in range(2):
        code, out, err = dippas(*command)
        assert (code, out) == (console.UNUSABLE, "")
        assert "cluster mistyped:1 cannot be reached" in err


def test_notes_of_a_photo_are_heard_and_its_bars_are_not(capsys):
    with campaign._one_voice():
        assert not sys.stderr.isatty()
        console.note("memory ran out; four tiles at a time")
    assert capsys.readouterr().err == "dippas: memory ran out; four tiles at a time\n"
    with pytest.raises(InputError), campaign._one_voice():
        raise InputError("no")


@pytest.mark.slow
def test_a_campaign_that_is_stopped_or_killed_goes_on_and_ends_in_the_same_bytes(folder):
    """The whole command, with its own processes."""
    rows = []
    for n in range(6):
        pixels = synthetic.expose(CAMERA, synthetic.scene(n, SIZE), n)
        Image.fromarray(pixels).save(f"{n}.png")
        rows.append(f"{n}.png\n")
    Path("six.txt").write_text("".join(rows))
    command = [sys.executable, "-m", "dippas_jax.cli", "campaign", "six.txt", "-o"]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(Path(__file__).parents[2])])}
    options = {"env": environment, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    subprocess.run([*command, "whole"], check=True, **options)
    whole = {path.name: path.read_bytes() for path in Path("whole/photos").iterdir()}
    assert len(whole) == 6
    for number, kill in ((1, signal.SIGKILL), (3, signal.SIGTERM)):
        process = subprocess.Popen([*command, "killed", "--workers", "2"], **options)
        while len(os.listdir("killed/done") if Path("killed/done").exists() else ()) < number:
            assert process.poll() is None, process.communicate()
            time.sleep(0.05)
        process.send_signal(kill)
        code = process.wait()
        process.communicate()
        assert code in (-signal.SIGKILL, 130)
        written = {path.name: path.read_bytes() for path in Path("killed/photos").glob("[!.]*")}
        assert written.items() <= whole.items(), "every output is whole"
    last = subprocess.run([*command, "killed", "--json"], check=True, **options)
    found = json.loads(last.stdout)
    assert (found["done"], found["left"]) == (6, 0)
    assert found["repeated"] <= 4, "two workers, twice"
    written = {path.name: path.read_bytes() for path in Path("killed/photos").glob("[!.]*")}
    assert written == whole
