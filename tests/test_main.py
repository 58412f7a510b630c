"""The program: what it refuses, what it leaves alone, and what a kill cannot change."""

import hashlib
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from absl.testing import flagsaver
from PIL import Image

from dippas_jax import config, main
from dippas_jax.io import checkpoint
from dippas_jax.prior import anonymize
from dippas_jax.signal import cells
from tests import oracles, tiny

pytestmark = pytest.mark.filterwarnings(  # ml_collections 1.1 loads files of settings with it
    "ignore:the load_module:DeprecationWarning"
)

ROOT = Path(__file__).parents[1]
AWARE = ROOT / "configs" / "aware.py"

SETTINGS = """
from dippas_jax import config as c
from dippas_jax.experiments import overrides as settings


def get_config(setting=""):
    return settings.to_config_dict(
        c.Config(
            checkpoint_seconds=0.0,
            data=c.Data(folder={folder!r}),
            generator=c.Generator(depth=3, widths=(8,), skips=(), output="sigmoid"),
            inversion=c.Inversion(
                learning_rate=0.01, noise_std=0.03, max_steps=40, chunk=3, stop_psnr=90.0,
                rollback=0.0
            ),
            assembly=c.Assembly(sides=(32, 512), averages=(3, 1), thresholds=(14.0,)),
        )
    )
"""


def write_photo(path, seed=0, size=(64, 64)):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(oracles.photo(seed, *size, 10 * tiny.fingerprint(*size))).save(path)


def read(path):
    with Image.open(path) as photo:
        return np.asarray(photo)


@pytest.fixture
def case(tmp_path):
    """A folder of one camera with two photos, settings for it, and no workdir yet."""
    folder = tmp_path / "cameras"
    for seed, name in enumerate("ab"):
        write_photo(folder / "cam" / "photos" / f"{name}.png", seed)
    np.save(folder / "cam" / "prnu.npy", tiny.fingerprint())
    path = tmp_path / "settings.py"
    path.write_text(SETTINGS.format(folder=str(folder)))
    return {"folder": folder, "config": path, "workdir": tmp_path / "run"}


@pytest.fixture
def program(monkeypatch, quick_search):
    """Runs the program in this process, as a new one would: flags and settings files are global.

    ml_collections looks for overrides in `sys.argv`, whatever is parsed.
    """

    def run(*arguments):
        command = ["dippas_jax", *map(str, arguments)]
        monkeypatch.setattr(sys, "argv", command)
        monkeypatch.delitem(sys.modules, "config_config", raising=False)
        with flagsaver.flagsaver():
            return main.main(command)

    return run


def of(case, *more):
    return [f"--config={case['config']}", f"--workdir={case['workdir']}", *more]


def digests(folder):
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def only_line(capsys):
    """What the program said: one line on stderr, none on stdout."""
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.count("\n") == 1, said.err
    assert said.err.startswith("dippas_jax: ")
    return said.err


# ---------------------------------------------------------------------------------- what is refused


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--config={config}", "--workdir={w}", "--config.inversion.lerning_rate=1"],
         'did you mean "inversion.learning_rate"'),
        (["--config={config}", "--workdir={w}", "--config.seed.x=1"], "seed.x"),
        (["--config={config}", "--workdir={w}", "--confgi=1"], "confgi"),
        (["--config={config}", "--workdir={w}", "photo.jpg"], "photo.jpg"),
        (["--config={config}", "--workdir={w}", "--config.inversion.max_steps=many"], "max_steps"),
        (["--config={config}", "--workdir={w}", "--config.inversion.max_steps=0"], "max_steps"),
        (["--config={config}", "--workdir={w}", "--config.inversion.chunk=1"], "inversion.chunk"),
        (["--config={config}", "--workdir={w}", "--config.mode=aweer"], "aweer"),
        (["--config={config}", "--workdir={w}", "--config.sparse.compensation=2"], "compensation"),
        (["--config={config}", "--workdir={w}", "--strength=huge"], "huge"),
        (["--config={config}", "--workdir={w}", "--target-psnr=high"], '--target-psnr is "high"'),
        (["--config={config}", "--workdir={w}", "--target-psnr=7"], "7.0 dB"),
        (["--config={config}", "--workdir={w}", "--max-minutes"], "--max-minutes=5"),
        (["--config={config}", "--workdir={w}", "--max-minutes=-1"], "max_minutes"),
        (["--config={w}/none.py", "--workdir={w}"], "none.py"),
        (["--config=configs/awre.py", "--workdir={w}"], 'did you mean "aware"'),
        (["--config=studies/pannel", "--workdir={w}"], 'did you mean "studies/panel"'),
        (["--config=aware:papr", "--workdir={w}"], 'did you mean "paper"'),
        (["--config=configs/aware.py:papr", "--workdir={w}"], 'did you mean "paper"'),
        (["--config=configs/aware.py:papr", "--config.mode=blind", "--workdir={w}"],
         'there is no setting "papr"; did you mean "paper"'),
        (["--config"], "give both --config"),
        (["--config="], "give both --config"),
        (["--config=:paper", "--workdir={w}"], "give both --config"),
        (["--config=studies/panel", "--workdir={w}", "--config.mode=blind"], '"mode"'),
        (["--config=aware", "--workdir={w}", "--config.sparse.strenght=fast"],
         'did you mean "sparse.strength"'),
        (["--config={config}"], "--workdir"),
        (["--workdir={w}"], "--config"),
        ([], "--config"),
        (["--config={config}", "--workdir={file}"], "settings.py"),
        (["--config={config}", "--workdir={file}/run"], "settings.py"),
        (["--config={config}", "--workdir={w}", "--config.data.folder={w}/none"], "none"),
        (["--config={config}", "--workdir={w}", "--config.data.folder={empty}"], "no photos"),
        (["--config={config}", "--workdir={w}", "--config.data.crop=65"], "crop"),
    ],
)  # fmt: skip
def test_a_bad_command_line_is_answered_in_one_line(
    case, program, capsys, monkeypatch, arguments, words
):
    monkeypatch.chdir(ROOT)  # for relative paths
    empty = case["folder"].parent / "empty"
    empty.mkdir()
    names = {"config": case["config"], "w": case["workdir"], "file": case["config"], "empty": empty}
    assert program(*(argument.format(**names) for argument in arguments)) == 2
    assert words in only_line(capsys)
    assert digests(case["workdir"]) == {}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("def get_config(:", "settings.py"),
        ("import nothing_of_this_name\n", "nothing_of_this_name"),
        ("def other():\n    pass\n", "get_config"),
        ("def get_config():\n    return 1 / 0\n", "division"),
        ("from ml_collections import ConfigDict as D\n"
         "def get_config():\n    return D({'inversion': {'chnk': 3}})\n", "inversion.chunk"),
        ("from ml_collections import ConfigDict as D\n"
         "def get_config():\n    return D({'inversion': 3})\n", "inversion"),
    ],
)  # fmt: skip
def test_a_bad_file_of_settings_is_answered_in_one_line(case, program, capsys, text, words):
    case["config"].write_text(text)
    assert program(*of(case)) == 2
    assert words in only_line(capsys)


def spoil_photo(folder):
    path = folder / "cam" / "photos" / "b.png"
    path.write_bytes(path.read_bytes()[:1000])


def other_size(folder):
    np.save(folder / "cam" / "prnu.npy", tiny.fingerprint(64, 80))


def not_finite(folder):
    plane = tiny.fingerprint()
    plane[3, 4] = np.nan
    np.save(folder / "cam" / "prnu.npy", plane)


def constant(folder):
    np.save(folder / "cam" / "prnu.npy", np.full((64, 64), 0.25, np.float32))


def without_fingerprint(folder):
    (folder / "cam" / "prnu.npy").unlink()


def too_small(folder):
    write_photo(folder / "cam" / "photos" / "b.png", 1, (63, 64))


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (spoil_photo, "b.png"),
        (other_size, "80x64"),
        (not_finite, "nan"),
        (constant, "constant"),
        (without_fingerprint, "blind"),
        (too_small, "64x63"),
    ],
)
def test_a_bad_file_is_found_before_any_work(case, program, capsys, spoil, words):
    spoil(case["folder"])
    assert program(*of(case)) == 2
    assert words in only_line(capsys)
    assert digests(case["workdir"]) == {}


def test_a_crop_where_the_fingerprint_is_constant_is_passed_over_and_the_others_are_done(
    case, program, capsys
):
    (case["folder"] / "cam" / "photos" / "b.png").unlink()
    write_photo(case["folder"] / "cam" / "photos" / "a.png", 0, (64, 128))
    plane = tiny.fingerprint(64, 128)
    plane[:, 64:] = 0
    np.save(case["folder"] / "cam" / "prnu.npy", plane - plane[:, :64].mean() * (plane != 0))
    more = ["--config.data.crop=64", "--config.data.crops=0", "--config.inversion.max_steps=6"]
    assert program(*of(case, *more)) == 1
    assert (case["workdir"] / "photos" / "cam_a_r0c0.json").exists()
    assert "cam_a_r0c64: the fingerprint is constant" in capsys.readouterr().err.splitlines()[-1]


def test_where_memory_runs_out_the_program_says_so(case, program, capsys, monkeypatch):
    def full(*_, **__):
        raise MemoryError

    monkeypatch.setattr(main.reader, "load", full)
    assert program(*of(case)) == 1
    assert "memory ran out; free some" in only_line(capsys)


def test_a_flat_photo_is_passed_over_in_blind_mode_and_the_others_are_done(case, program, capsys):
    flat = np.full((64, 64, 3), 90, np.uint8)
    Image.fromarray(flat).save(case["folder"] / "cam" / "photos" / "a.png")
    assert program(*of(case, "--config.mode=blind", "--config.inversion.max_steps=6")) == 1
    assert (case["workdir"] / "photos" / "cam_b.json").exists()
    said = capsys.readouterr().err.splitlines()
    assert "cam_a" in said[-1]
    assert "flat" in said[-1]
    assert not any("Traceback" in line for line in said)


@pytest.mark.parametrize("option", ["--help", "-h"])
def test_help_shows_the_command_and_every_setting(program, capsys, option):
    assert program(option) == 0
    said = capsys.readouterr()
    assert "--config.fingerprints='file'" in said.out, "those of studies too"
    assert "python -m dippas_jax.main --config=" in said.out
    assert "--config.inversion.learning_rate=0.01" in said.out
    assert said.err == ""


def read_settings(monkeypatch, *arguments):
    """What a command line asks for, and the work folder."""
    command = ["dippas_jax", *arguments]
    monkeypatch.setattr(sys, "argv", command)
    monkeypatch.delitem(sys.modules, "config_config", raising=False)
    with flagsaver.flagsaver():
        return main._settings(command)


def test_settings_come_from_the_file_and_the_command_line(monkeypatch, tmp_path):
    settings, workdir = read_settings(
        monkeypatch,
        f"--config={AWARE}",
        f"--workdir={tmp_path}",
        "--config.inversion.max_steps=17",
        "--config.assembly.sides=(32,16)",
        "--config.mode=blind",
    )
    assert workdir == str(tmp_path)
    assert (settings.inversion.max_steps, settings.mode) == (17, "blind")
    assert settings.assembly.sides == (32, 16)


@pytest.mark.parametrize("setting", ["", ":paper"])
def test_a_file_that_comes_with_the_package_is_found_by_its_name_from_anywhere(
    setting, monkeypatch, tmp_path
):
    monkeypatch.chdir(tmp_path)
    settings, _ = read_settings(monkeypatch, f"--config=aware{setting}", f"--workdir={tmp_path}")
    same, _ = read_settings(monkeypatch, f"--config={AWARE}{setting}", f"--workdir={tmp_path}")
    assert settings == same
    assert settings.generator.depth == (512 if setting else 32)


@pytest.mark.parametrize(
    ("arguments", "kind"),
    [
        (
            ["--config=configs/aware.py", "--workdir=runs/study_x", "--config.mode=blind"],
            config.Config,
        ),
        (["--config", "aware", "--workdir=study", "--config.mode=blind"], config.Config),
        (["--workdir=runs/aware", "--config=studies/aware", "--config.seed=3"], config.Study),
    ],
)
def test_whether_it_is_a_run_or_a_study_is_told_from_the_file(arguments, kind, monkeypatch):
    monkeypatch.chdir(ROOT)
    settings, _ = read_settings(monkeypatch, *arguments)
    assert type(settings) is kind
    if kind is config.Config:
        assert settings.mode == "blind"
    else:
        assert (settings.seed, settings.fingerprints) == (3, "file")


@pytest.mark.parametrize("name", ["sparse", "studies/sparse"])
def test_what_is_given_in_short_goes_to_the_settings_of_the_run(name, monkeypatch, tmp_path):
    short = ["--strength=strong", "--target-psnr=42", "--max-minutes=5"]
    settings, _ = read_settings(monkeypatch, f"--config={name}", f"--workdir={tmp_path}", *short)
    run = settings.run if isinstance(settings, config.Study) else settings
    assert (run.sparse.strength, run.target_psnr, run.max_minutes) == ("strong", 42.0, 5.0)


# ---------------------------------------------------------------------------------- what is written


def stand_in(monkeypatch):
    """No inversion from here on: a photo that is done again fails."""

    def refuse(*_):
        raise AssertionError("this photo was finished")

    monkeypatch.setattr(anonymize, "start", refuse)


def test_a_run_leaves_its_results_and_touches_nothing_else(case, program, capsys, monkeypatch):
    originals = digests(case["folder"])
    assert program(*of(case)) == 0
    said = capsys.readouterr()
    assert digests(case["folder"]) == originals
    work = case["workdir"]
    names = [
        f"cam_{n}{end}" for n in "ab" for end in (".figure.png", ".history.json", ".json", ".png")
    ]
    assert sorted(os.listdir(work / "photos")) == sorted(names)
    summary = json.loads((work / "summary.json").read_text(), parse_constant=pytest.fail)
    assert [photo["id"] for photo in summary["photos"]] == ["cam_a", "cam_b"]
    for photo in summary["photos"]:
        assert {"psnr", "ssim", "steps", "seconds"} <= set(photo)
        assert {f"{k}_{when}" for k in ("ncc", "z", "pce") for when in ("before", "after")} <= set(
            photo
        )
        assert photo["steps"] == 40
        assert photo["reference"] == "camera"
        original = read(case["folder"] / "cam" / "photos" / f"{photo['id'][-1]}.png")
        written = read(work / "photos" / f"{photo['id']}.png")
        np.testing.assert_allclose(photo["psnr"], oracles.psnr(written, original), rtol=1e-5)
        assert photo["sha256"] == hashlib.sha256(written.tobytes()).hexdigest()
        history = json.loads((work / "photos" / f"{photo['id']}.history.json").read_text())
        assert {len(values) for values in history.values()} == {40}
        assert re.search(rf"{photo['id']}  64.64 pixels, 40 steps", said.out)
        with Image.open(work / "photos" / f"{photo['id']}.figure.png") as picture:
            assert picture.format == "PNG"
    assert not list((work / "checkpoints").glob("*")), "finished photos keep no checkpoints"

    # The same command again does nothing; other settings are refused.
    stamps = {p: (p.stat().st_mtime_ns, p.read_bytes()) for p in (work / "photos").iterdir()}
    stand_in(monkeypatch)
    assert program(*of(case)) == 0
    assert capsys.readouterr().err.count("finished before, skipped") == 2
    assert {p: (p.stat().st_mtime_ns, p.read_bytes()) for p in stamps} == stamps
    assert program(*of(case, "--config.inversion.max_steps=50")) == 2
    line = only_line(capsys)
    assert "inversion.max_steps was 40, now 50" in line
    assert {p: (p.stat().st_mtime_ns, p.read_bytes()) for p in stamps} == stamps


def test_all_combinations_are_written_on_request_and_blind_mode_needs_no_fingerprint(case, program):
    (case["folder"] / "cam" / "prnu.npy").unlink()
    more = ["--config.mode=blind", "--config.data.limit=1", "--config.assembly.write_all=true"]
    assert program(*of(case, *more)) == 0
    written = sorted(path.name for path in (case["workdir"] / "photos").glob("*.png"))
    assert written == [
        "cam_a.B32.L1.tau14.png",
        "cam_a.B512.L1.tau14.png",
        "cam_a.B512.L3.tau14.png",
        "cam_a.figure.png",
        "cam_a.png",
    ]
    record = json.loads((case["workdir"] / "photos" / "cam_a.json").read_text())
    assert (record["mode"], record["reference"]) == ("blind", "residual")
    assert record["ncc_before"] > 0.5, "the photo's own residual is what is looked for"


def test_photos_that_lose_their_numbers_are_all_tried_and_named_in_one_line(case, program, capsys):
    path = case["config"]
    path.write_text(path.read_text().replace("learning_rate=0.01", "learning_rate=1e30"))
    assert program(*of(case)) == 1
    last = capsys.readouterr().err.splitlines()[-1]
    for name in ("cam_a", "cam_b"):
        assert re.search(rf"{name}: the loss is \S+ at step \d+; choose", last)
    assert not list((case["workdir"] / "photos").glob("*.png"))


# -------------------------------------------------------------------------------------- what is cut


def outputs(folder):
    """Digests of all pictures and histories; the records hold times."""
    found = digests(folder / "photos")
    return {n: d for n, d in found.items() if n.endswith((".png", ".history.json"))}


def started(case, workdir):
    command = [sys.executable, "-m", "dippas_jax.main", f"--config={case['config']}"]
    return subprocess.Popen(
        [*command, f"--workdir={workdir}"],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def until(condition, process, seconds=120):
    end = time.monotonic() + seconds
    while not condition() and process.poll() is None and time.monotonic() < end:
        time.sleep(0.01)


@pytest.mark.slow
def test_an_interrupted_run_given_again_writes_the_same_bytes(case, program, monkeypatch, capsys):
    assert program(*of(case)) == 0
    whole, save, seen = case["workdir"], checkpoint.save, []

    def interrupted(*given):
        save(*given)
        seen.append(given[1])
        if len(seen) == 5:
            raise KeyboardInterrupt

    case["workdir"] = whole.with_name("cut")
    monkeypatch.setattr(checkpoint, "save", interrupted)
    with pytest.raises(KeyboardInterrupt):
        program(*of(case))
    assert seen == [3, 3, 6, 6, 9], "two devices, a photo on each"
    assert outputs(case["workdir"]) == {}
    monkeypatch.setattr(checkpoint, "save", save)
    capsys.readouterr()
    assert program(*of(case)) == 0
    said = capsys.readouterr().err
    assert "cam_a: goes on from step 9" in said
    assert "cam_b: goes on from step 6" in said
    assert outputs(case["workdir"]) == outputs(whole)


@pytest.mark.slow
def test_a_killed_run_given_again_writes_the_same_bytes(case, program):
    """The reference runs first and fills the cache of programs, so that a kill tears none of it."""
    whole, cut = case["workdir"], case["workdir"].with_name("cut")
    process = started(case, whole)
    _, said = process.communicate(timeout=300)
    assert process.returncode == 0, said
    seed = random.randrange(10**6)
    moments, kills = random.Random(seed), []
    for nth in range(3):
        process = started(case, cut)
        made = cut / "checkpoints" / ("cam_a" if nth < 2 else "cam_b")
        until(lambda made=made: list(made.glob("*/*/manifest.json")), process)
        time.sleep(moments.uniform(0, 0.5))
        process.kill()
        kills.append((process.communicate(timeout=60)[1], process.returncode))
    process = started(case, cut)
    _, said = process.communicate(timeout=300)
    assert process.returncode == 0, said
    assert kills[0][1] == -9, "the first kill came too late to test anything"
    later = said + "".join(text for text, _ in kills[1:])
    assert "goes on from step" in later, (seed, later)
    assert outputs(cut) == outputs(whole), f"kills at moments of seed {seed}"
    assert not [name for name in os.listdir(cut / "photos") if name.endswith(".tmp")], seed
    one, other = (json.loads((run / "summary.json").read_text()) for run in (whole, cut))
    for a, b in zip(one["photos"], other["photos"], strict=True):
        assert {**a, "seconds": 0} == {**b, "seconds": 0}
    shutil.rmtree(cut)


# ------------------------------------------------------------------------------- the sparse method


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["aware", "blind"])
def test_the_sparse_method_writes_the_photo_asked_for_and_its_neighbours_figures(
    case, program, mode
):
    sparse = of(case, "--config.method=sparse", f"--config.mode={mode}", "--target-psnr=36")
    assert program(*sparse, "--config.data.limit=1") == 0
    (record,) = json.loads((case["workdir"] / "summary.json").read_text())["photos"]
    aims = [row["target_psnr"] for row in record["results"]]
    assert aims == [36, pytest.approx(record["psnr"] + 3), pytest.approx(record["psnr"] - 3)]
    assert record["psnr"] == pytest.approx(36, abs=0.06)
    names = ["sigma-2", "sigma-3", "sigma-5", "busy"]
    for row in record["results"]:
        assert list(row["extractors"]) == (names if mode == "aware" else [])
        assert tuple(row["leakage"]) == cells.NAMES
    folder = case["workdir"] / "photos"
    written = read(folder / f"{record['id']}.png")
    original = read(case["folder"] / "cam" / "photos" / "a.png")
    assert record["psnr"] == pytest.approx(oracles.psnr(written, original), abs=1e-3)
    assert sorted(path.name for path in folder.iterdir()) == [
        f"{record['id']}.{end}" for end in ("figure.png", "json", "png")
    ]


@pytest.mark.slow
def test_a_second_sparse_start_makes_nothing_again_and_its_bytes_are_those_of_another(
    case, program
):
    sparse = ["--config.method=sparse", "--strength=fast"]
    assert program(*of(case, *sparse)) == 0
    before = digests(case["workdir"])
    stamps = {path: path.stat().st_mtime_ns for path in case["workdir"].glob("photos/*")}
    assert program(*of(case, *sparse)) == 0
    assert {path: path.stat().st_mtime_ns for path in stamps} == stamps
    other = case["workdir"].with_name("other")
    assert program(f"--config={case['config']}", f"--workdir={other}", *sparse) == 0
    again = digests(other)
    photos = [name for name in before if name.endswith(".png")]
    assert len(photos) == 4
    assert {name: before[name] for name in photos} == {name: again[name] for name in photos}


@pytest.mark.parametrize("mode", ["blind", pytest.param("aware", marks=pytest.mark.slow)])
def test_a_photo_that_comes_back_as_it_was_does_not_end_the_run(case, program, capsys, mode):
    """A black one: its PSNR is infinite, null in the record, and the next start reads that."""
    black = np.zeros((64, 64, 3), np.uint8)
    Image.fromarray(black).save(case["folder"] / "cam" / "photos" / "a.png")
    sparse = of(case, "--config.method=sparse", f"--config.mode={mode}")
    code = 0 if mode == "aware" else 1  # blind, the photo has nothing to remove
    for _ in range(2):
        assert program(*sparse) == code
        said = capsys.readouterr()
        assert "cam_b  64×64 pixels" in said.out
        assert "Traceback" not in said.err
        photos = json.loads((case["workdir"] / "summary.json").read_text())["photos"]
        assert [one["id"] for one in photos] == ["cam_a", "cam_b"][code:]
        if mode == "aware":
            assert "cam_a  64×64 pixels" in said.out
            assert "no pixel changed, SSIM 1.0000" in said.out
            assert photos[0]["psnr"] is None
            np.testing.assert_array_equal(read(case["workdir"] / "photos" / "cam_a.png"), black)


def test_a_prior_out_of_time_gives_its_best_result(case, program):
    assert program(*of(case, "--max-minutes=1e-9", "--config.data.limit=1")) == 0
    (record,) = json.loads((case["workdir"] / "summary.json").read_text())["photos"]
    assert record["out_of_time"] is True
    assert record["steps"] == 3, "one chunk"
    assert record["best_psnr"] > 0


def test_a_target_moves_the_priors_end_and_its_pool():
    aimed = config.settled(config.Config(target_psnr=37.0))
    assert (aimed.inversion.stop_psnr, aimed.assembly.thresholds) == (37.5, (36.5,))
    assert config.settled(config.Config()) == config.Config()


def test_an_interrupt_is_one_line(tmp_path):
    """Whatever is imported or compiled just then."""
    command = ["-m", "dippas_jax.main", "--config=aware:quick", f"--workdir={tmp_path / 'run'}"]
    process = subprocess.Popen(
        [sys.executable, *command], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )
    time.sleep(5)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert err.splitlines()[-1] == "dippas_jax: interrupted; the same command goes on"
    assert "Traceback" not in err
