"""`dippas anonymize`: what is written where, what is never touched, and what survives a kill."""

import base64
import dataclasses
import errno
import hashlib
import importlib.util
import io
import itertools
import json
import math
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from unittest import mock

import jax
import numpy as np
import pytest
import tifffile
from PIL import Image, ImageCms, PngImagePlugin
from scipy import stats

from dippas_jax.cli import (
    anonymize,
    checkpoints,
    console,
    examine,
    methods,
    outputs,
    pace,
    photo_record,
    plan,
    prediction,
    report_html,
    treatment,
    web,
)
from dippas_jax.cli import main as cli
from dippas_jax.cli.task import Task
from dippas_jax.datasets import synthetic
from dippas_jax.forensics import attackers
from dippas_jax.io import (
    checkpoint,
    confinement,
    decoder,
    exif,
    files,
    fingerprint_file,
    weights,
)
from dippas_jax.prior import whole
from dippas_jax.prior.anonymize import DivergedError
from dippas_jax.signal import cells, displacement, extractors, image, tiles
from dippas_jax.types import Result
from tests import oracles, tiny
from tests.io import hostile_decoder
from tests.io.test_photo import bad_files
from tests.io.test_photo import exif as orientation_exif

SIZE = 64
DONE = (console.DONE, console.TRACED)
CAMERA = synthetic.Camera(seed=3, strength=0.02)


def photo(number, side=SIZE):
    return synthetic.expose(CAMERA, synthetic.scene(number, side), number)


def save(path, number=0, orientation=1, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(photo(number)).save(path, exif=orientation_exif(orientation), **options)
    return path


@pytest.fixture(scope="session")
def caches(tmp_path_factory):
    return tmp_path_factory.mktemp("caches")


@pytest.fixture
def dippas(capsys, tmp_path, monkeypatch, caches, quick_search):
    """Runs the command in an empty folder: its exit code, stdout, stderr."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(weights, "folder", lambda: tmp_path / ".weights")
    monkeypatch.setattr(files, "cache_folder", lambda: caches)
    files.write_fingerprint("K.npy", CAMERA.fingerprint(SIZE, SIZE))
    save(tmp_path / "a.jpg", 0, quality=97, subsampling=0)
    capsys.readouterr()

    def run(*arguments):
        code = cli.main(["anonymize", *map(str, arguments)])
        return code, *capsys.readouterr()

    return run


def opened(path):
    """A picture, its file closed; of a TIFF the orientation is gone."""
    with Image.open(path) as picture:
        picture.getexif()
        picture.load()
        return picture


def tree(folder):
    """All files and what is in them."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def scores(path):
    pixels = np.asarray(opened(path).convert("RGB"))
    return extractors.scores(pixels, np.float32(CAMERA.fingerprint(SIZE, SIZE)))


def z(pixels):
    """That of the wavelet filter, by NumPy alone; pixels of 8 bits."""
    pattern = oracles.pattern(pixels, np.float32(CAMERA.fingerprint(SIZE, SIZE)))
    return oracles.ncc(oracles.residual(pixels), pattern) * SIZE


def cautioned(err):
    """The caution is the last line, and stands there once."""
    return err.splitlines()[-1] == f"dippas: {anonymize.CAUTION}" and err.count("traced") == 1


def test_a_photo_is_written_beside_the_original_which_is_left_alone(dippas, tmp_path):
    before = tree(tmp_path)
    code, out, err = dippas("a.jpg", "--fingerprint", "K.npy")
    assert code in DONE, "2 % PRNU in 64x64 pixels is more than any camera has"
    assert "a.jpg -> a.anon.jpg" in out
    assert "Warning: the PSNR is below 41 dB, where more of a fingerprint would have" in out
    assert ("can probably be traced: its fingerprint still" in out) == (code == console.TRACED)
    assert re.match(r"dippas: 1 photo, about \d+ seconds on the cpu \(a guess; ", err)
    assert len(err.splitlines()) == 2
    assert cautioned(err)
    after = tree(tmp_path)
    assert after.pop("a.anon.jpg")
    assert after == before
    assert min(scores("a.jpg").values()) > 5
    assert max(map(abs, scores("a.anon.jpg").values())) < 0.25 * max(scores("a.jpg").values())
    ours, theirs = opened("a.anon.jpg"), opened("a.jpg")
    assert ours.quantization == theirs.quantization
    assert not ours.getexif()


def test_how_far_a_photo_is_can_be_told_as_lines_of_json(dippas):
    code, out, _ = dippas("a.jpg", "--blind", "--json", "--progress")
    *told, record = map(json.loads, out.splitlines())
    assert code in DONE
    assert record["photo"] == "a.jpg"
    assert told
    assert all(line["photo"] == "a.jpg" and 0 < line["progress"] < 1 for line in told)


def test_blind_needs_no_fingerprint_and_the_same_seed_gives_the_same_bytes(dippas):
    assert dippas("a.jpg", "--blind", "--json")[0] == 0
    data = Path("a.anon.jpg").read_bytes()
    code, out, _ = dippas("a.jpg", "--json", "--overwrite")
    record = json.loads(out)
    assert code == 0
    names = [field.name for field in dataclasses.fields(photo_record.PhotoRecord)]
    assert list(record) == [*names, "traced", "verdict"]
    assert record["traced"] is False
    assert record["verdict"] == photo_record.verdict(photo_record.from_json(record))
    assert Path("a.anon.jpg").read_bytes() == data
    assert record["sha256"] == hashlib.sha256(data).hexdigest()
    assert record["mode"] == "blind"
    assert record["z_before"] == record["z"] == record["examined"] == {}
    assert set(record["leakage"]) == set(cells.NAMES)
    assert set(record["settings"]) == {"threshold", "compensation", "alpha"}
    written = np.asarray(opened("a.anon.jpg"))
    original = np.asarray(opened("a.jpg"))
    assert record["psnr"] == pytest.approx(float(image.psnr(written, original)), abs=1e-3)


@pytest.mark.parametrize("orientation", [6, pytest.param(3, marks=pytest.mark.slow)])
def test_a_turned_photo_is_worked_on_as_the_sensor_has_it(dippas, tmp_path, orientation):
    save(tmp_path / "plain.png")
    save(tmp_path / "b.png", 0, orientation)
    assert dippas("plain.png", "-o", "0.png", "--fingerprint", "K.npy")[0] in DONE
    expected = np.asarray(opened("0.png").convert("RGB"))
    for choice, tag in (("upright", 1), ("tag", orientation)):
        name = f"{choice}.png"
        options = ("-o", name, "--fingerprint", "K.npy", "--orientation", choice)
        assert dippas("b.png", *options)[0] in DONE
        assert opened(name).getexif().get(274, 1) == tag
        turned = np.asarray(opened(name).convert("RGB"))
        found = exif.turned_back(turned, orientation if tag == 1 else 1)
        np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize(
    ("kind", "extension"), [("png", ".png"), ("tiff", ".tif"), ("webp", ".webp")]
)
def test_other_formats(dippas, kind, extension):
    code, out, _ = dippas("a.jpg", "--format", kind, "--target-psnr", "38")
    assert code == console.TRACED, "a tenth of a fingerprint would be found"
    assert out.count("Warning") == 1
    written = opened(f"a.anon{extension}")
    assert written.format == kind.upper()
    psnr = float(image.psnr(np.asarray(written), np.asarray(opened("a.jpg"))))
    assert psnr == pytest.approx(38, abs=0.06)


def test_folders_keep_their_shape_and_what_is_done_is_skipped(dippas, tmp_path):
    for name in ("in/one.png", "in/deep/two.PNG", "in/deep/.hidden.png", "in/note.txt"):
        save(tmp_path / name) if "txt" not in name else (tmp_path / name).write_text("no photo")
    assert dippas("in", "-o", "out")[0] == 0
    assert set(tree(tmp_path / "out")) == {"one.anon.png"}
    first = tree(tmp_path / "out")
    code, out, err = dippas("in", "-r", "-o", "out", "--resume")
    assert code == console.TRACED, "one photo was not judged again"
    assert "exists, skipped" in err
    assert "1 photo was there already and was not judged again" in err
    assert out.count("->") == 1
    assert set(tree(tmp_path / "out")) == {"one.anon.png", "deep/two.anon.PNG"}
    assert tree(tmp_path / "out")["one.anon.png"] == first["one.anon.png"]
    assert dippas("in", "-r")[0] == 0
    assert "->" not in dippas("in", "-r")[1], "what it made is not taken for a photo to be treated"
    assert not list((tmp_path / "in").rglob("*.anon.anon*"))


@pytest.mark.slow
def test_patterns_and_several_photos(dippas, tmp_path, monkeypatch):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    save(tmp_path / "b.png")
    save(tmp_path / "c.png", 1)
    code, _, err = dippas("[bc].png", "a.jpg", "-o", "out/", "--suffix", "")
    assert code == console.TRACED, "a tenth of a fingerprint would be found in one of them"
    for place in ("1 of 3", "2 of 3", "3 of 3"):
        assert re.search(rf"{place}, the rest in about \d+ seconds?: [abc]\.", err)
    assert set(tree(tmp_path / "out")) == {"a.jpg", "b.png", "c.png"}


def test_a_home_that_the_shell_did_not_put_in_is_put_in_once(dippas, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    code, _, err = dippas("a.jpg", "--output=~/out/", "--report=~/pages/r.html")
    assert code in DONE, err
    assert (tmp_path / "home" / "out" / "a.anon.jpg").exists()
    assert (tmp_path / "home" / "pages" / "r.html").exists()
    assert not (tmp_path / "~").exists()


def test_a_folder_called_like_a_home_is_a_folder(dippas, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert dippas("a.jpg", "-o", "./~/out/")[0] in DONE
    assert os.listdir(tmp_path / "~" / "out") == ["a.anon.jpg"]
    save(tmp_path / "~" / "in" / "b.jpg")
    assert dippas("./~/in/b.jpg")[0] in DONE
    assert (tmp_path / "~" / "in" / "b.anon.jpg").exists()
    assert not (tmp_path / "home").exists()


@pytest.mark.parametrize("given", ["~/Photos/*.jpg", "~/Photos", "~/Photos/b.jpg"])
def test_the_home_of_photos_is_put_in(dippas, tmp_path, monkeypatch, given):
    """A shell leaves a pattern in quotes as it is."""
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    save(tmp_path / "home" / "Photos" / "b.jpg")
    code, _, err = dippas(given)
    assert code in DONE, err
    assert (tmp_path / "home" / "Photos" / "b.anon.jpg").exists()


def test_a_dry_run_keeps_no_secret(dippas, tmp_path, monkeypatch):
    monkeypatch.setattr(files, "cache_folder", lambda: tmp_path / "cache")
    code, out, err = dippas("a.jpg", "-n", "--random-name")
    assert (code, out.count("a.jpg -> ")) == (0, 1)
    assert "those told here will be others" in err
    assert not (tmp_path / "cache" / "names.key").exists()
    dippas("missing.jpg", "--random-name")
    assert (tmp_path / "cache" / "names.key").stat().st_size == 32
    told = [dippas("a.jpg", "-n", "--random-name") for _ in range(2)]
    assert "will be others" not in told[0][2]
    assert told[0][1].split()[2] == told[1][1].split()[2]


def test_random_names_say_nothing_and_stay_the_same(dippas, tmp_path):
    assert dippas("a.jpg", "-o", "out/", "--random-name")[0] == 0
    (name,) = tree(tmp_path / "out")
    assert len(name) == 24
    assert "a." not in name[:2]
    err = dippas("a.jpg", "-o", "out/", "--random-name")[2]
    assert "skipped" in err
    assert "traced" not in err, "nothing was written"


def test_outputs_of_random_names_beside_originals_stay_outputs(dippas, tmp_path):
    (tmp_path / "in").mkdir()
    shutil.copy("a.jpg", "in/a.jpg")
    assert dippas("in", "--random-name")[0] == 0
    before = tree(tmp_path / "in")
    code, out, err = dippas("in", "--random-name", "--overwrite")
    assert (code, out.count("->")) == (0, 1)
    assert "what this command made of in/a.jpg, skipped" in err
    assert tree(tmp_path / "in").keys() == before.keys()


def test_random_names_of_another_format_are_no_photos_either(dippas, tmp_path):
    (tmp_path / "in").mkdir()
    shutil.copy("a.jpg", "in/a.jpg")
    dippas("in", "--random-name")
    _, out, err = dippas("../" + tmp_path.name + "/in", "--random-name", "--format", "png")
    assert out.count("->") == 1
    assert "what this command made of" in err
    assert len(tree(tmp_path / "in")) == 3


def test_folders_that_are_not_looked_into_are_named(dippas, tmp_path):
    (tmp_path / "in" / "sub").mkdir(parents=True)
    (tmp_path / "in" / ".hidden").mkdir()
    shutil.copy("a.jpg", "in/a.jpg")
    shutil.copy("a.jpg", "in/a.anon.jpg")
    err = dippas("in", "-o", "out", "--suffix", ".v2")[2]
    assert "1 entry skipped, a folder below, which was not looked into: sub" in err
    assert "as their names end in .anon or .v2, those of outputs: a.anon.jpg" in err


def test_verdicts_of_outputs_that_were_moved_stay_in_the_report(dippas, tmp_path):
    dippas("a.jpg", "--report", "r.html")
    Path("a.anon.jpg").rename(tmp_path / "published.jpg")
    save(tmp_path / "c.jpg", 1)
    dippas("c.jpg", "--report", "r.html")
    names = [one["photo"] for one in json.loads(Path("r.json").read_text())["photos"]]
    assert names == ["a.jpg", "c.jpg"]
    assert "a.anon.jpg" in Path("r.html").read_text()
    one = json.loads(Path("r.json").read_text())["photos"][0]
    assert {"traced", "verdict"} <= one.keys()


def test_own_photos_count_in_the_estimate(dippas, tmp_path):
    tags = Image.Exif()
    tags[271], tags[272] = "Fuji", "X100"
    (tmp_path / "own").mkdir()
    for number in range(4):
        Image.fromarray(photo(number)).save(tmp_path / "own" / f"{number}.png", exif=tags)
    known, alone = (
        [json.loads(line) for line in dippas("own", "-n", "--json", *more)[1].splitlines()]
        for more in ((), ("--blind",))
    )
    assert all(a["minutes"] > b["minutes"] for a, b in zip(known, alone, strict=True))


def test_a_linked_folder_is_named_and_not_followed(dippas, tmp_path):
    (tmp_path / "in").mkdir()
    shutil.copy("a.jpg", "in/a.jpg")
    (tmp_path / "in" / "link").symlink_to(tmp_path / "in")
    err = dippas("in", "-r", "-o", "out")[2]
    assert "1 entry skipped, a link to a folder, which is not followed: link" in err


def test_nobody_else_may_read_a_report_or_the_output_of_a_closed_photo(dippas, tmp_path):
    os.chmod("a.jpg", 0o600)
    dippas("a.jpg", "--report", "r.html")
    save(tmp_path / "c.jpg", 1)
    os.chmod("c.jpg", 0o644)
    dippas("c.jpg")
    with mock.patch("os.fchmod", side_effect=PermissionError):  # a file system without permissions
        assert dippas("a.jpg", "--overwrite")[0] in DONE
    os.chmod("a.anon.jpg", 0o600)
    modes = {name: os.stat(name).st_mode & 0o777 for name in ("r.html", "r.json", "a.anon.jpg")}
    assert set(modes.values()) == {0o600}
    assert os.stat("c.anon.jpg").st_mode & 0o777 == 0o644


def test_the_page_of_many_photos_is_not_written_after_each(dippas, tmp_path, monkeypatch):
    for number in range(4):
        save(tmp_path / "in" / f"{number}.png", number)
    write, pages = examine.report_html.html, []

    def slow(*given):
        pages.append(given)
        time.sleep(1)
        return write(*given)

    monkeypatch.setattr(examine.report_html, "html", slow)
    monkeypatch.setattr(anonymize, "_PAUSE", 1e3)
    monkeypatch.setattr(anonymize, "_MOST_PICTURED", 2)
    dippas("in", "-o", "out", "--report", "r.html")
    assert len(pages) == 2, "after the first one, which took so long, and at the end"
    assert [bool(panels) for panels in pages[-1][1]] == [True, True, False, False]
    assert len(json.loads((tmp_path / "r.json").read_text())["photos"]) == 4


def test_a_dry_run_writes_nothing_and_says_what_would_be(dippas, tmp_path):
    before, names = tree(tmp_path), sorted(tmp_path.rglob("*"))
    code, out, err = dippas("a.jpg", "-n")
    assert code == 0
    about = r"about \d+ seconds on the cpu \(a guess; .*\n"
    assert re.fullmatch("dippas: 1 photo, " + about, err)
    line = (
        r"a.jpg -> a.anon.jpg  64x64, 1 tile, 0.6 GiB, about \d+ seconds on the cpu \(a guess; .*\n"
    )
    assert re.fullmatch(line, out)
    plan = json.loads(dippas("a.jpg", "-n", "--json")[1])
    assert plan["minutes"] > 0
    assert plan["measured"] is False
    assert plan["memory_mib"] > 100
    assert dippas("a.jpg", "-n", "-o", "new/deep/", "--report", "pages/r.html")[0] == 0
    assert tree(tmp_path) == before
    assert sorted(tmp_path.rglob("*")) == names, "no folder either"


@pytest.mark.slow
def test_an_estimate_rests_on_the_photos_done_here(dippas, tmp_path, monkeypatch):
    monkeypatch.setattr(files, "cache_folder", lambda: tmp_path / "cache")
    kept = []
    monkeypatch.setattr(pace, "remember", lambda *known: kept.append(known))
    assert dippas("a.jpg")[0] == console.TRACED
    assert pace.waits([(64, 64)], "sparse") == [0], "its programs are there now"
    assert 0 < pace.waits([(64, 80)], "sparse")[0] < 120
    ((method, spent, units),) = kept
    assert method == "sparse"
    assert spent > 0
    assert units * 64 == pytest.approx(round(units * 64)), "tiles of 64x64 in tiles of 512x512"
    assert units * 64 >= 4
    monkeypatch.undo()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(files, "cache_folder", lambda: tmp_path / "cache")
    pace.remember("sparse", 100.0, 10.0)
    pace.remember_wait("sparse", (64, 64), 20.0)
    plan = json.loads(dippas("a.jpg", "-n", "--json", "--overwrite")[1])
    expected = pace.work((64, 64), method="sparse")
    assert plan["measured"] is True
    assert 60 * plan["minutes"] == pytest.approx(10 * expected + pace.START)
    err = dippas("a.jpg", "--overwrite")[2]
    assert "guess" not in err
    assert "1 photo, about" in err


def test_a_fingerprint_of_other_photos_is_not_looked_for_and_that_is_said(dippas):
    files.write_fingerprint("wide.npy", np.random.default_rng(0).normal(size=(SIZE, SIZE + 32)))
    out = dippas("a.jpg", "--check", "wide.npy")[1]
    wide = f"fingerprint wide.npy (photos of {SIZE + 32}x{SIZE}) does not fit this photo"
    assert wide in out
    assert "does not fit" not in dippas("a.jpg", "--overwrite", "--fingerprint", "K.npy")[1]


@pytest.mark.slow
def test_the_report_says_what_every_attacker_finds(dippas, tmp_path):
    files.write_fingerprint("other.npy", CAMERA.fingerprint(SIZE, SIZE) + 0.01)
    arguments = ("a.jpg", "--fingerprint", "K.npy", "--check", "other.npy", "--report", "r.html")
    code, out, err = dippas(*arguments)
    assert code == console.TRACED
    content = json.loads((tmp_path / "r.json").read_text())
    (record,) = content["photos"]
    examined = record["examined"]
    worst = {"figures", "worst", "worst_attacker", "worst_part", "p_value", "chance_worst"}
    assert set(examined) == {"ssim", "attacks", "untested", "verdict"} | worst
    rows = {(row["attacker"], row["fingerprint"]): row for row in examined["attacks"]}
    assert {name for _, name in rows} == {"K.npy", "other.npy"}
    row = rows["wavelet", "K.npy"]
    assert row["before"] == pytest.approx(scores("a.jpg")["sigma-3"], abs=0.01)
    assert row["after"] == pytest.approx(scores("a.anon.jpg")["sigma-3"], abs=0.01)
    for name, path in (("z_before", "a.jpg"), ("z", "a.anon.jpg")):
        assert record[name].keys() - scores(path).keys() == {"bands", "texture", "blurred"}
        ours = {one: record[name][one] for one in scores(path)}
        assert ours == pytest.approx(scores(path))
    assert 0 < examined["ssim"] < 1
    assert "learned" in examined["untested"]
    assert examined["verdict"] in out
    assert "r.html shows parts of the originals; keep it to yourself" in err
    assert cautioned(err)
    text = (tmp_path / "r.html").read_text()
    assert "a.anon.jpg" in text
    assert f"{row['before']:.1f}" in text
    code, _, err = dippas(*arguments)
    assert code == console.TRACED, "by what the report keeps"
    assert "skipped" in err
    again = json.loads((tmp_path / "r.json").read_text())
    assert again["photos"] == content["photos"]
    code, _, err = dippas(*arguments, "--strength", "strong")
    assert code == 2
    assert "other settings" in err


def refused(outcome, *words):
    code, out, err = outcome
    assert code == 2
    assert out == ""
    assert err.count("\n") == 1, err
    assert err.startswith("dippas: ")
    for word in words:
        assert word in err


def test_what_cannot_be_used_as_a_whole_is_refused_before_anything_is_written(
    dippas, tmp_path, monkeypatch
):
    files.write_fingerprint("wide.npy", np.random.default_rng(0).normal(size=(64, 96)))
    (tmp_path / "empty").mkdir()
    (tmp_path / "x").mkdir()
    save(tmp_path / "x" / "a.jpg")
    before = tree(tmp_path)
    refused(dippas("missing.jpg"), "missing.jpg", "cannot be read")
    refused(dippas("*.tif"), "no file matches")
    refused(dippas("empty"), "holds no photos", "-r")
    refused(dippas("a.jpg", "-o", "a.jpg", "--overwrite"), "never done")
    refused(dippas("a.jpg", "--suffix", "", "--overwrite"), "never done")
    refused(dippas("a.jpg", "-o", "nowhere/b.jpg"), "does not exist")
    refused(dippas("a.jpg", "-o", "b.xyz"), "extension")
    refused(dippas("a.jpg", "-o", "b.png", "--format", "tiff"), "extension", "give it .tif, or")
    refused(dippas("a.jpg", "-o", "newfolder"), "for a folder, give newfolder/")
    refused(dippas("a.jpg", "-o", "new", "--format", "png"), "leave --format out; for a folder, gi")
    refused(dippas("a.jpg", "--fingerprint", "nothing.npy"), "nothing.npy")
    refused(dippas("a.jpg", "--fingerprint", "wide.npy"), "64x64", "96x64")
    refused(dippas("a.jpg", "--fingerprint", "K.npy", "--blind"), "not allowed")
    refused(dippas("a.jpg", "--target-psnr", "5"), "20 to 60")
    refused(dippas("a.jpg", "--jpeg-quality", "0"), "1 to 100")
    refused(dippas("a.jpg", "--jpeg-quality", "90", "--format", "png"), "--jpeg-quality", "JPEG")
    refused(dippas("a.jpg", "--jpeg-quality", "90", "-o", "b.png"), "--jpeg-quality", "JPEG")
    refused(dippas("a.jpg", "--strength", "max"), "max")
    refused(dippas("a.jpg", "--grain", "--method", "prior"), "--grain", "prior was given")
    refused(dippas("a.jpg", "--displace", "2", "--method", "prior"), "--displace", "prior was")
    for amount in ("0", "4.1", "-1", "far"):
        refused(dippas("a.jpg", f"--displace={amount}"), amount, "4 pixels")
    refused(dippas("a.jpg", "--report", "r.txt"), ".html")
    refused(dippas("a.jpg", "--report", "r" * 260 + ".html"), "name too long")
    refused(dippas("a.jpg", "--suffix", "/../x"), "which no file's name may")
    with monkeypatch.context() as without:
        without.setattr(importlib.util, "find_spec", lambda name: None)
        refused(dippas("a.jpg", "-o", "b.heic"), "dippas-jax[heic]", "--format")
        refused(dippas("a.jpg", "--format", "heic"), "dippas-jax[heic]", "--format")
    os.symlink("a.jpg", "link.jpg")
    refused(dippas("a.jpg", "-o", "link.jpg", "--overwrite"), "never done")
    os.unlink("link.jpg")
    os.link("a.jpg", "link.jpg")  # the very file, which would be taken for a finished output
    for flags in ([], ["--overwrite"]):
        refused(dippas("a.jpg", "-o", "link.jpg", *flags), "never done")
    os.unlink("link.jpg")
    after = tree(tmp_path)
    assert after == before


def test_malformed_and_odd_files_are_named_and_the_others_done(dippas, tmp_path):
    folder = tmp_path / "in"
    folder.mkdir()
    count = 0
    for name, (data, _) in bad_files().items():
        if data is not None:
            (folder / name).write_bytes(data)
            count += 1
    save(folder / "good.png")
    before = tree(folder)
    paths = sorted(str(path) for path in folder.iterdir())
    code, out, err = dippas(*paths, "-o", "out")
    assert code == 1
    assert count >= 30
    assert cautioned(err)
    announced = r"dippas: 1 photo, about [\d.]+ (seconds|minutes) on the cpu \(a guess; "
    told = [line for line in err.splitlines()[:-1] if not re.match(announced, line)]
    assert len(told) == count, "one sentence each"
    for name in before:
        assert sum(name in line for line in told) == (name != "good.png")
    assert set(tree(tmp_path / "out")) == {"good.anon.png"}
    assert tree(folder) == before
    assert out.count("->") == 1
    code, out, err = dippas(*[path for path in paths if "good" not in path], "-o", "out2")
    assert code == 2
    assert out == ""
    assert "traced" not in err
    assert tree(tmp_path / "out2") == {}


@pytest.mark.slow
def test_a_batch_that_is_killed_goes_on_with_the_same_command(dippas, tmp_path, caches):
    for number in range(4):
        save(tmp_path / "in" / f"{number}.png", number % 2)
    before = tree(tmp_path / "in")
    environment = os.environ | {"JAX_PLATFORMS": "cpu"}
    command = [sys.executable, "-m", "dippas_jax.cli", "anonymize", "in", "-o"]
    subprocess.run([*command, "whole"], env=environment, check=True, capture_output=True)
    command.append("killed")
    draws, kills = random.Random(0), 0
    for _ in range(8):
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment
        )
        assert process.stdout is not None
        process.stdout.readline()  # a photo is done, and the next begun
        time.sleep(draws.uniform(0, 0.2))
        kills += process.poll() is None
        process.send_signal(signal.SIGKILL)
        process.communicate()
        done = {name: value for name, value in tree(tmp_path / "killed").items() if name[0] != "."}
        whole = tree(tmp_path / "whole")
        assert done.items() <= whole.items(), "every output is whole"
        if len(done) == 4:
            break
    assert kills >= 2
    last = subprocess.run(command, check=False, capture_output=True, env=environment)
    assert last.returncode in DONE
    assert tree(tmp_path / "killed") == tree(tmp_path / "whole")
    assert tree(tmp_path / "in") == before


def test_a_damaged_first_photo_does_not_keep_the_others_waiting(dippas, tmp_path, monkeypatch):
    monkeypatch.setattr(files, "cache_folder", lambda: tmp_path / "fresh")
    data = (tmp_path / "a.jpg").read_bytes()
    (tmp_path / "0.jpg").write_bytes(data[: len(data) // 2])
    code, out, err = dippas("0.jpg", "a.jpg")
    assert code == 1
    assert "0.jpg is truncated or damaged" in err
    assert "a.jpg -> a.anon.jpg" in out
    assert (tmp_path / "a.anon.jpg").exists()
    assert not (tmp_path / "0.anon.jpg").exists()


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.2, "1 second"), (1.4, "1 second"), (16.3, "16 seconds"), (90.0, "1.5 minutes")],
)
def test_times_are_rounded_to_what_is_known(seconds, text):
    assert plan.time_text(seconds) == text


@pytest.mark.parametrize(("method", "word"), [("sparse", " %, "), ("prior", "steps")])
def test_progress_is_shown_on_a_terminal_alone(dippas, small_network, monkeypatch, method, word):
    for terminal in (False, True):
        monkeypatch.setattr(sys.stderr, "isatty", lambda terminal=terminal: terminal)
        err = dippas("a.jpg", "--overwrite", "--method", method)[2]
        assert (word in err) == terminal
        assert cautioned(err)


# ------------------------------------------------------------------------------- the paper's method

NETWORK = dataclasses.replace(tiny.settings(stop_psnr=90.0), sigma=3.0)


@pytest.fixture
def small_network(monkeypatch):
    """The paper's method with a network that takes seconds; gives the settings it is run with."""
    used = []

    def config(options):
        used.append(honest(options))
        return NETWORK

    honest = methods.prior_config
    monkeypatch.setattr(methods, "prior_config", config)
    return used


def deep(path, number=0):
    """A TIFF of 16 bits, whose levels lie between those of 8."""
    rest = np.random.default_rng(number).integers(-100, 100, (SIZE, SIZE, 3))
    pixels = np.clip(photo(number).astype(int) * 257 + rest, 0, 65535).astype(np.uint16)
    tifffile.imwrite(path, pixels, photometric="rgb")
    return pixels


def test_the_papers_method_writes_a_png_whose_record_is_that_of_the_file(dippas, small_network):
    save(Path("b.png"))
    arguments = ("b.png", "--method", "prior", "--fingerprint", "K.npy", "--seed", 5, "--json")
    code, out, err = dippas(*arguments)
    assert code == console.TRACED
    assert cautioned(err)
    assert "steps" not in err, "a bar is for terminals"
    record = json.loads(out)
    assert (record["method"], record["format"], record["seed"]) == ("prior", "png", 5)
    assert (small_network[0].seed, small_network[0].target_psnr) == (5, 0)
    assert record["leakage"] == {}
    assert record["settings"] | {"gamma": 0} == {
        "side": 32, "average": 3, "threshold": 1.0, "snapshots": 12, "steps": 12, "gamma": 0,
    }  # fmt: skip
    written, original = (np.asarray(opened(name)) for name in ("b.anon.png", "b.png"))
    assert written.dtype == np.uint8
    assert written.shape == (SIZE, SIZE, 3)
    assert opened("b.anon.png").format == "PNG"
    assert record["psnr"] == pytest.approx(oracles.psnr(written, original), abs=1e-3)
    for known, path in ((record["z_before"], "b.png"), (record["z"], "b.anon.png")):
        pixels = np.asarray(opened(path).convert("RGB"))
        parts = prediction.elsewhere(pixels, np.float32(CAMERA.fingerprint(SIZE, SIZE)))
        assert known == pytest.approx(scores(path) | parts)
    assert record["z"]["sigma-3"] == pytest.approx(z(written), abs=0.05)
    assert record["z_before"]["sigma-3"] == pytest.approx(z(original), abs=0.05)
    data = Path("b.anon.png").read_bytes()
    assert dippas(*arguments, "--overwrite")[0] == console.TRACED
    assert Path("b.anon.png").read_bytes() == data, "the same seed gives the same bytes"


def test_the_papers_method_writes_a_tiff_of_sixteen_bits(dippas, small_network):
    original = deep("d.tif")
    code, out, _ = dippas("d.tif", "--method", "prior", "--fingerprint", "K.npy", "--json")
    assert code == console.TRACED
    record = json.loads(out)
    written = tifffile.imread("d.anon.tif")
    assert written.dtype == np.uint16
    assert written.shape == (SIZE, SIZE, 3)
    assert record["format"] == "tiff"
    error = np.mean((written.astype(float) - original) ** 2)
    assert record["psnr"] == pytest.approx(10 * math.log10(65535**2 / error), abs=1e-3)
    eight, before = (np.rint(levels / 257).astype(np.uint8) for levels in (written, original))
    assert record["z"]["sigma-3"] == pytest.approx(z(eight), abs=0.05)
    assert record["z_before"]["sigma-3"] == pytest.approx(z(before), abs=0.1)


def test_the_papers_method_is_judged_behind_a_jpeg(dippas, small_network):
    known = dippas("a.jpg", "--method", "prior", "--fingerprint", "K.npy", "--json")[0]
    assert known == console.TRACED, "what it leaves of another K was not measured"
    code, out, _ = dippas("a.jpg", "--method", "prior", "--blind", "--overwrite", "--json")
    assert code == console.TRACED
    record = json.loads(out)
    written, original = (np.asarray(opened(name)) for name in ("a.anon.jpg", "a.jpg"))
    assert record["psnr"] == pytest.approx(oracles.psnr(written, original), abs=1e-3)
    assert record["z"] == {}, "K is not known"


def test_a_photo_larger_than_a_tile_has_a_network_for_each(dippas, small_network, monkeypatch):
    small = dataclasses.replace(NETWORK, tile=SIZE)
    monkeypatch.setitem(globals(), "NETWORK", small)
    Image.fromarray(np.resize(photo(0), (SIZE, SIZE + 32, 3))).save("wide.png")
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    code, out, err = dippas("wide.png", "--method", "prior", "--blind", "--json")
    assert code == console.TRACED
    record = json.loads(out)
    assert record["settings"]["tiles"] == 2
    assert record["settings"]["steps"] == 24
    assert "tile 1 of 2" in err or "2 at a time" in err
    written, original = (np.asarray(opened(name)) for name in ("wide.anon.png", "wide.png"))
    assert written.shape == (SIZE, SIZE + 32, 3)
    assert record["psnr"] == pytest.approx(oracles.psnr(written, original), abs=1e-3)


@pytest.mark.slow
def test_a_photo_of_the_papers_method_goes_on_where_it_was_cut_off(
    dippas, small_network, monkeypatch
):
    """Both tiles had been saved; another seed, whose steps are others, does not go on from them."""
    small = dataclasses.replace(NETWORK, tile=SIZE, checkpoint_seconds=0.0)
    monkeypatch.setitem(globals(), "NETWORK", small)
    monkeypatch.setattr(jax, "local_devices", lambda: jax.devices()[:1])
    pixels = synthetic.expose(synthetic.Camera(seed=3), synthetic.scene(5, 96)[:SIZE], 5)
    Image.fromarray(pixels).save("wide.png")
    command = ("wide.png", "--method", "prior", "--blind")
    honest, latest, went_on = checkpoint.save, checkpoint.latest, []

    def cut_off(folder, step, tree):
        honest(folder, step, tree)
        if folder.name == "1":
            raise KeyboardInterrupt

    def remembered(folder, like):
        found = latest(folder, like)
        went_on.append((folder.name, found and found[0]))
        return found

    with monkeypatch.context() as cut:
        cut.setattr(checkpoint, "save", cut_off)
        assert dippas(*command)[0] == 130
    assert not Path("wide.anon.png").exists()
    monkeypatch.setattr(checkpoint, "latest", remembered)
    dippas(*command, "--seed", 1, "-o", "other.png")
    assert went_on == []
    _, _, err = dippas(*command)
    assert went_on == [("0", 12), ("1", 3)]
    assert "goes on where an earlier command was cut off" in err
    _, _, err = dippas(*command, "-o", "whole.png")
    assert "goes on" not in err
    assert Path("wide.anon.png").read_bytes() == Path("whole.png").read_bytes()
    assert not list(Path().glob(".unfinished-*"))


def test_the_papers_method_announces_its_tiles_for_a_photo_of_any_size(dippas):
    Image.fromarray(np.resize(photo(0), (SIZE, 1025, 3))).save("wide.png")
    code, out, _ = dippas("wide.png", "--method", "prior", "--dry-run", "--json")
    assert code == 0
    plan = json.loads(out)
    assert plan["tiles"] == 3
    assert plan["minutes"] * 60 > 3 * 300 * SIZE * 512 / 512**2  # seconds, at 1 a step


def test_a_network_that_does_not_settle_does_not_end_the_batch(dippas, small_network, monkeypatch):
    save(Path("b.png"))
    save(Path("c.png"), 1)
    honest, calls = whole.invert, []

    def invert(*data, **options):
        calls.append(data)
        if len(calls) == 1:
            raise DivergedError("the loss is nan at step 7")
        return honest(*data, **options)

    monkeypatch.setattr(whole, "invert", invert)
    code, out, err = dippas("b.png", "c.png", "--method", "prior")
    assert code == 1
    assert "photo b.png cannot be treated by --method prior" in err
    assert "c.png -> c.anon.png" in out


def test_a_flat_photo_is_named_and_the_others_are_done(dippas, small_network):
    Image.new("RGB", (SIZE, SIZE), (90, 90, 90)).save("flat.png")
    save(Path("b.png"))
    code, out, err = dippas("flat.png", "b.png", "--method", "prior")
    assert code == 1
    assert "dippas: flat.png: the photo has no noise to remove" in err
    assert "b.png -> b.anon.png" in out


def test_a_photo_of_which_no_snapshot_is_close_enough_says_so(dippas, small_network, monkeypatch):
    grid = dataclasses.replace(NETWORK.assembly, thresholds=(80.0,))
    monkeypatch.setitem(globals(), "NETWORK", dataclasses.replace(NETWORK, assembly=grid))
    out = dippas("a.jpg", "--method", "prior")[1]
    assert "Warning: no snapshot reached 80 dB, so the best one was written" in out
    assert "leakage not measured" in out


# -------------------------------------------------------------------- odd photos, names and reports


def coarse(path):
    """A JPEG so coarse that whatever is done to it, the same file comes out."""
    y, x = np.mgrid[:SIZE, :SIZE]
    levels = np.dstack([x + 60, y + 60, x // 2 + y // 2]).astype(np.uint8)
    Image.fromarray(levels).save(path, quality=3)


def test_a_photo_that_comes_back_unchanged_says_so(dippas, tmp_path):
    coarse("same.jpg")
    code, out, _ = dippas("same.jpg", "--report", "r.html")
    assert code == console.TRACED
    ours, theirs = (np.asarray(opened(name)) for name in ("same.anon.jpg", "same.jpg"))
    np.testing.assert_array_equal(ours, theirs)
    assert "no pixel changed" in out
    assert "Warning: nothing was changed: the output has the same pixels as the photo" in out
    assert not re.search("nan|inf", out)
    assert "The pixels did not change." in (tmp_path / "r.html").read_text()
    code, out, _ = dippas("same.jpg", "--overwrite", "--json")
    record = json.loads(out)
    assert code == console.TRACED
    assert record["psnr"] is None
    assert any("nothing was changed" in warning for warning in record["warnings"])
    save(tmp_path / "b.png")
    code = dippas("same.jpg", "b.png", "--report", "r.html")[0]
    assert code == console.TRACED, "the null is read back, and its verdict with it"
    first, second = json.loads((tmp_path / "r.json").read_text())["photos"]
    assert first["psnr"] is None
    assert second["psnr"] > 30


def test_a_name_that_is_not_utf_8_ends_neither_the_batch_nor_the_report(dippas, tmp_path):
    odd = os.fsdecode(b"a\xe9.png")
    save(tmp_path / odd)
    save(tmp_path / "b.png", 1)
    save(tmp_path / "c.png", 1)
    code, out, err = dippas(odd, "b.png", "--report", "r.html")
    assert code == 0, err
    assert "a\\udce9.png -> a\\udce9.anon.png" in out
    assert (tmp_path / os.fsdecode(b"a\xe9.anon.png")).exists()
    assert (tmp_path / "b.anon.png").exists()
    names = [one["photo"] for one in json.loads((tmp_path / "r.json").read_bytes())["photos"]]
    assert names == [odd, "b.png"]
    assert "a\\udce9.png" in (tmp_path / "r.html").read_text("utf-8")
    code, out, err = dippas(odd, "b.png", "c.png", "--report", "r.html", "--json")
    assert code == 0, err
    *skipped, done = map(json.loads, out.splitlines())
    assert skipped == [
        {"photo": name, "skipped": f"{Path(name).stem}.anon.png exists"} for name in (odd, "b.png")
    ]
    assert done["photo"] == "c.png"
    found = json.loads((tmp_path / "r.json").read_bytes())["photos"]
    assert [one["photo"] for one in found] == [odd, "b.png", "c.png"]
    assert json.loads(dippas(odd, "--overwrite", "--json")[1])["photo"] == odd


@pytest.mark.slow
def test_a_second_start_keeps_the_earlier_photos_in_the_report(dippas, tmp_path):
    save(tmp_path / "in" / "b.png")
    command = ("in", "-o", "out", "--report", "pages/r.html")
    assert dippas(*command)[0] == 0
    first = json.loads((tmp_path / "pages" / "r.json").read_text())["photos"]
    page = (tmp_path / "pages" / "r.html").read_text()
    save(tmp_path / "in" / "a.png", 1)
    save(tmp_path / "in" / "c.png", 1)
    code, out, err = dippas(*command)
    assert code == 0
    assert out.count("->") == 2
    assert err.count("skipped") == 1
    records = json.loads((tmp_path / "pages" / "r.json").read_text())["photos"]
    assert [Path(one["photo"]).name for one in records] == ["a.png", "b.png", "c.png"]
    assert records[1] == first[0]
    again = (tmp_path / "pages" / "r.html").read_text()
    for picture in re.findall(r"data:image/webp;base64,[\w+/=]+", page):
        assert picture in again, "its pictures too"
    assert f"{first[0]['psnr']:.1f} dB" in again


@pytest.mark.parametrize("change", [
    lambda content: content | {"photos": [{"photo": "a.jpg"}]},
    lambda content: content | {"photos": [content["photos"][0] | {"left": {}}]},
    lambda content: {"settings": content["settings"]},
])  # fmt: skip
def test_a_report_of_another_version_is_refused(dippas, tmp_path, change):
    assert dippas("a.jpg", "--report", "r.html")[0] == 0
    path = tmp_path / "r.json"
    path.write_text(json.dumps(change(json.loads(path.read_text()))))
    refused(dippas("a.jpg", "--report", "r.html"), "r.json", "another version", "--overwrite")


def test_a_photo_that_fails_where_it_is_written_is_named(dippas, tmp_path):
    clear = np.dstack([photo(0), np.where(photo(0)[..., 0] < 90, 0, 255).astype(np.uint8)])
    Image.fromarray(clear).save("clear.png")
    save(tmp_path / "b.png")
    code, out, err = dippas("clear.png", "b.png", "--format", "jpeg")
    assert code == 1
    assert "dippas: clear.png: a photo with transparent pixels cannot be written as a JPEG" in err
    assert out.count("->") == 1


LEFT = "of a planted fingerprint left in a band or texture"


def test_of_every_item_it_is_said_what_happened_and_why(dippas, tmp_path, monkeypatch):
    """One bad item never ends the others: each is named, on stderr, in the JSON, on the page."""
    folder = tmp_path / "in"
    save(folder / "good.png")
    save(folder / "sub" / "good.png", 1)
    save(folder / "a.anon.png")
    for name in ("notes.txt", "one.gif", "raw.NEF"):
        (folder / name).write_bytes(b"GIF89a")
    (folder / ".hidden").write_bytes(b"")
    long = "n" * 249 + ".png"
    save(folder / long)
    os.mkfifo(folder / "pipe.png")
    (folder / "cut.jpg").write_bytes((tmp_path / "a.jpg").read_bytes()[:900])
    walk = os.walk

    def unlisted(top, onerror):
        yield from walk(top)
        onerror(PermissionError(13, "Permission denied", str(folder / "closed")))

    monkeypatch.setattr(os, "walk", unlisted)
    names = [
        "in",
        "none.jpg",
        "*.xyz",
        "in/pipe.png",
        "a\ud800.png",
        "in/good.png",
        "in/sub/good.png",
    ]
    command = [*names, "-o", "out", "--report", "r.html", "--json"]
    code, out, err = dippas(*command)
    assert code == 1, err
    assert "Traceback" not in err
    assert set(tree(tmp_path / "out")) == {"good.anon.png"}
    rows = [json.loads(line) for line in out.splitlines()]
    failed = {row["photo"]: row["failed"] for row in rows if "failed" in row}
    reasons = {
        "none.jpg": "No such file", "*.xyz": "no file matches", "in/pipe.png": "a pipe",
        "a\ud800.png": "a name that no file can have", f"in/{long}": "too long to be written",
        "in/cut.jpg": "truncated", "in/sub/good.png": "would both be written",
        str(folder / "closed"): "cannot be listed (Permission denied)",
    }  # fmt: skip
    assert failed.keys() == reasons.keys()
    for name, reason in reasons.items():
        assert reason in failed[name]
        assert err.count(reason) >= 1
    skipped = {row["photo"]: row["skipped"] for row in rows if "skipped" in row}
    assert set(skipped) == {
        f"in/{name}"
        for name in ("notes.txt", "one.gif", "raw.NEF", "pipe.png", "a.anon.png", "sub")
    }
    assert "RAW" in skipped["in/raw.NEF"]
    assert "no photo" in skipped["in/notes.txt"]
    assert skipped["in/pipe.png"] == "no regular file"
    assert "5 entries skipped, by the name no photo that can be read: notes.txt, one.gif; " in err
    assert "; no regular file: pipe.png; RAW by the name" in err
    assert [row["photo"] for row in rows if "output" in row] == ["in/good.png"]
    page, content = (tmp_path / f"r.{kind}" for kind in ("html", "json"))
    found = json.loads(content.read_bytes())
    assert {one["photo"]: one["reason"] for one in found["failed"]} == failed
    assert {one["photo"]: one["reason"] for one in found["skipped"]} == skipped
    for words in ("Not done (8)", "Skipped (6)", "would both be written", "notes.txt"):
        assert words in page.read_text("utf-8")
    monkeypatch.undo()


def test_what_was_written_before_is_no_original_when_the_shell_names_it_too(dippas, tmp_path):
    assert dippas("a.jpg")[0] in DONE
    before = tree(tmp_path)
    code, _, err = dippas("a.jpg", "a.anon.jpg")
    assert code == console.TRACED, err
    assert "a.anon.jpg: what this command made of a.jpg, skipped" in err
    assert tree(tmp_path) == before
    code, _, err = dippas("a.jpg", "a.anon.jpg", "--overwrite", "-n")
    assert code == 1
    assert "would replace the original a.anon.jpg" in err


@pytest.mark.parametrize("kept", ["safe", "keep"])
@pytest.mark.parametrize("cut", [20, 60])
def test_exif_that_is_cut_off_is_not_dropped_without_a_word(dippas, tmp_path, kept, cut):
    tags = Image.Exif()
    tags[271], tags[272] = "Make", "Model"
    tags.get_ifd(34665)[33434] = 0.01
    Image.fromarray(photo(0)).save(tmp_path / "b.jpg", exif=tags.tobytes()[:cut])
    code, _, err = dippas("b.jpg", "--metadata", kept, "-n")
    assert (code, "its EXIF is damaged" in err) == (2, True)
    assert dippas("b.jpg", "-n")[0] == 0


def test_a_profile_that_is_dropped_is_not_warned_of(dippas, tmp_path):
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    own = profile.replace("sRGB built-in".encode("utf-16-be"), "Bob's monitor".encode("utf-16-be"))
    Image.fromarray(photo(0)).save(tmp_path / "b.png", icc_profile=own)
    for choice, told in (("keep", True), ("drop", False)):
        out = dippas("b.png", "--icc", choice, "--overwrite")[1]
        assert ("Bob's monitor" in out) == told
        assert ("icc_profile" in opened("b.anon.png").info) == told


def test_advice_on_a_profile_holds_for_the_photo(dippas, tmp_path):
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    own = profile.replace("sRGB built-in".encode("utf-16-be"), "Bob's monitor".encode("utf-16-be"))
    Image.fromarray(photo(0)).save(tmp_path / "b.png", icc_profile=own)
    assert "may tell a device; --icc srgb converts them" in dippas("b.png")[1]
    wide = photo(0).astype(np.uint16) * 257
    tifffile.imwrite(tmp_path / "b.tif", wide, photometric="rgb", iccprofile=own)
    for choice in ("keep", "srgb"):
        out = dippas("b.tif", "--icc", choice, "--overwrite")[1]
        assert "may tell a device; --icc drop leaves it out" in out
        assert "--icc srgb" not in out
    Image.fromarray(photo(0)).save(tmp_path / "c.png", icc_profile=own.replace(b"mntr", b"none"))
    out = dippas("c.png")[1]
    assert "its colour profile is damaged or of another kind of colours, and is left out" in out
    assert "may tell" not in out, "which is not written"


def test_names_do_nothing_to_a_terminal(dippas, tmp_path):
    name = "a\x1b[31m\nred.jpg"
    (tmp_path / "a.jpg").rename(tmp_path / name)
    for flags in (["-n"], []):
        _, out, err = dippas(name, *flags)
        assert r"a\x1b[31m\nred.jpg -> a\x1b[31m\nred.anon.jpg" in out
        assert "\x1b" not in out + err
        assert all(line.startswith(("a", "  ")) for line in out.splitlines())


def test_a_name_does_nothing_to_a_terminal_in_the_bar(monkeypatch):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    job = SimpleNamespace(source=Path("a\x1b[31m\nred.jpg"))
    with Task.bar(SimpleNamespace(place="1/2", job=job)) as bar:
        assert bar.desc == r"1/2 a\x1b[31m\nred.jpg"


def layered(path):
    """A TIFF as Photoshop writes it: beside the picture, layers and a thumbnail of the original."""
    secret, thumbnail = b"layers " * 50, b"thumbnail " * 50
    extra = [(37724, 7, len(secret), secret, False), (34377, 7, len(thumbnail), thumbnail, False)]
    extra += [(315, 2, 5, "Alice", False)]
    tifffile.imwrite(path, photo(0), photometric="rgb", extratags=extra, metadata=None)
    return secret, thumbnail


def test_pictures_of_the_original_do_not_go_along_with_the_metadata(dippas, tmp_path):
    hidden = layered(tmp_path / "b.tif")
    out = dippas("b.tif", "--metadata", "keep")[1]
    written = (tmp_path / "b.anon.tif").read_bytes()
    assert not [one for one in hidden if one[:20] in written]
    assert b"Alice" in written
    assert "layers of Photoshop) is left out" in out


def test_a_preview_in_a_makers_note_does_not_go_along(dippas, tmp_path):
    tags = Image.Exif()
    tags[271], tags[272] = "Make", "Model"
    preview = io.BytesIO()
    Image.fromarray(photo(0)).save(preview, "JPEG")
    tags.get_ifd(34665)[37500] = b"Nikon\0" + preview.getvalue()
    Image.fromarray(photo(0)).save(tmp_path / "b.jpg", exif=tags.tobytes())
    out = dippas("b.jpg", "--metadata", "keep")[1]
    written = (tmp_path / "b.anon.jpg").read_bytes()
    assert preview.getvalue()[:200] not in written
    assert b"Model" in written
    assert "(the maker's note) is left out" in out


PICTURES = {
    "JPEG": b"/9j/4AAQSkZJRg",
    "PNG": b"iVBORw0KGgoAAAANSUhEUg",
    "entities": b"Micro&#x56;ideoOffset",
    "long": b"\n".join([b"QUJDREVGR0hJSktMTU5PUFFS" * 3] * 20),
    "commas": b", ".join([b"QUJDREVGR0hJSktMTU5PUFFS"] * 40),
    "for URLs": b"_-9j-4AAQSkZJRgABAQ" * 60,
}


@pytest.mark.parametrize("kind", PICTURES)
def test_pictures_in_xmp_are_known_by_how_they_begin_and_by_their_length(dippas, tmp_path, kind):
    xmp = b'<x:xmpmeta><my:D my:Preview="' + PICTURES[kind] + b'"/></x:xmpmeta>'
    Image.fromarray(photo(0)).save(tmp_path / "b.jpg", xmp=xmp)
    out = dippas("b.jpg", "--metadata", "keep")[1]
    assert b"x:xmpmeta" not in (tmp_path / "b.anon.jpg").read_bytes()
    assert "XMP" in out


def test_a_number_without_end_in_xmp_stops_no_photo(dippas, tmp_path):
    xmp = b"<x:xmpmeta>&#" + b"9" * 5000 + b";</x:xmpmeta>"
    Image.fromarray(photo(0)).save(tmp_path / "b.jpg", xmp=xmp)
    assert dippas("b.jpg")[0] in (console.DONE, console.TRACED)
    assert (
        "its XMP, which holds pictures, is left out"
        in dippas("b.jpg", "--metadata", "keep", "--overwrite")[1]
    )


def test_a_fault_in_the_first_look_at_a_photo_stops_no_other(dippas, tmp_path, monkeypatch):
    save(tmp_path / "b.jpg")

    def broken(found, job, options):
        if job.source.name == "a.jpg":
            raise RuntimeError("no idea\nat all")

    monkeypatch.setattr(treatment, "require_format", broken)
    code, _, err = dippas("a.jpg", "b.jpg")
    assert code == console.FAILED
    assert "a.jpg could not be treated (RuntimeError: no idea); free memory" in err
    assert (tmp_path / "b.anon.jpg").exists()


def test_what_is_transparent_is_not_shown_in_the_report(tmp_path):
    shown = np.dstack([photo(0), np.full((SIZE, SIZE), 255, np.uint8)])
    shown[:32, :, :3], shown[:32, :, 3] = (250, 10, 10), 0
    Image.fromarray(shown).save(tmp_path / "b.png")
    path = str(tmp_path / "b.png")
    record = mock.Mock(spec=photo_record.PhotoRecord, photo=path, output=path)
    seen = mock.Mock(return_value=[])
    with mock.patch.object(report_html, "panels", seen):
        examine.pictures(record, outputs.Options())
    for pixels in seen.call_args.args:
        assert (pixels[:32] == 128).all()
        np.testing.assert_array_equal(pixels[32:], shown[32:, :, :3])


def test_what_a_format_reduces_is_said(dippas, tmp_path):
    deep(tmp_path / "b.tif")
    assert "16 bits reduced to 8" in dippas("b.tif", "--format", "png")[1]
    assert "16 bits" not in dippas("b.tif", "--overwrite")[1]
    Image.fromarray(photo(0)).convert("L").save(tmp_path / "g.png")
    assert "grey is written as colours" in dippas("g.png", "--format", "webp")[1]
    assert "grey" not in dippas("g.png", "--overwrite")[1]


def test_a_segment_that_is_not_written_is_named(dippas, tmp_path):
    save(tmp_path / "b.jpg")
    data = (tmp_path / "b.jpg").read_bytes()
    manifest = b"JP\0\1" + b"jumb" + bytes(8)
    segment = b"\xff\xeb" + (len(manifest) + 2).to_bytes(2, "big") + manifest
    (tmp_path / "b.jpg").write_bytes(data[:2] + segment + data[2:])
    assert "its C2PA manifest is left out" in dippas("b.jpg", "--metadata", "keep")[1]


def test_a_psnr_that_cannot_be_met_is_said(dippas, tmp_path):
    save(tmp_path / "b.png")
    assert "as near to 20 as it came" in dippas("b.png", "--target-psnr", 20)[1]
    assert "as it came" not in dippas("b.png", "--target-psnr", 40, "--overwrite")[1]


def test_a_fingerprint_that_is_not_in_the_photo_does_not_reassure(dippas, tmp_path):
    """Only that K is looked for afterwards, and it was never there."""
    rng = np.random.default_rng(0)
    files.write_fingerprint("other.npy", rng.normal(size=(SIZE, SIZE)).astype(np.float32))
    wrong = json.loads(dippas("a.jpg", "--fingerprint", "other.npy", "--json")[1])
    blind = json.loads(dippas("a.jpg", "-o", "c.jpg", "--json")[1])
    assert any("is not found in the photo" in word for word in wrong["warnings"])
    assert wrong["predicted_z"] >= 0.8 * blind["predicted_z"]
    right = json.loads(dippas("a.jpg", "-o", "d.jpg", "--fingerprint", "K.npy", "--json")[1])
    assert not any("is not found" in word for word in right["warnings"])


def test_what_a_weak_fingerprint_does_not_tell_is_foretold():
    """By hand: with z 30 of the 50 that the camera may have, √(1 − 0.6²) is not known.

    What is left of the known part, z 1, is added.
    """
    leakage, visible = {"2/16 cycles": 0.0, "whole": 0.02}, {"whole": 50 / 0.25}
    made = Result(photo(0), 40.0, {"sigma-3": 1.0}, leakage, {}, visible=visible)
    assert prediction.predicted_z(10**6, made, {"sigma-3": 30.0}) == pytest.approx(
        0.6 * 1 + 0.8 * 50 * 0.12
    )
    best = prediction.predicted_z(10**6, made, {"sigma-3": 60.0})
    assert best == pytest.approx(0.9 + math.sqrt(1 - 0.9**2) * 50 * 0.12), "no K tells all"
    assert prediction.predicted_z(10**6, made, {"sigma-3": 3.0}) == pytest.approx(50 * 0.12)
    own = {"sigma-3": 101.0}
    assert prediction.is_impossible(10**6, made, own)
    assert not prediction.is_impossible(10**6, made, {"sigma-3": 99.0})
    assert prediction.predicted_z(10**6, made, own) == pytest.approx(50 * 0.12), "its own noise"


def test_the_part_of_a_known_fingerprint_is_in_the_reason_too():
    leakage, visible = {"2/16 cycles": 0.0, "whole": 0.02}, {"whole": 40 / 0.25}
    made = Result(photo(0), 40.0, {"sigma-3": 2.2}, leakage, {}, visible=visible)
    task = mock.Mock(spec=Task, pixel_count=512 * 512)
    said = treatment._why(task, made, {"sigma-3": 12.0})
    z = prediction.predicted_z(512 * 512, made, {"sigma-3": 12.0})
    assert f"of the known one z {0.3 * 2.2:.1f} are a z of about {z:.1f}" in said


def test_a_fingerprint_whose_sign_is_turned_is_said_to_be_so(dippas):
    files.write_fingerprint("turned.npy", -CAMERA.fingerprint(SIZE, SIZE))
    _, out, _ = dippas("a.jpg", "--fingerprint", "turned.npy")
    assert "but with its sign turned, as some programs write it" in out


def test_a_part_of_the_fingerprint_that_was_used_is_known_as_well():
    plane = CAMERA.fingerprint(SIZE, SIZE)
    part = fingerprint_file.new(plane[8:56, 4:60] * 7, photo=(SIZE, SIZE), offset=(8, 4))
    other = fingerprint_file.new(synthetic.Camera(9).fingerprint(SIZE, SIZE))
    same = [examine._is_same(one, (SIZE, SIZE), plane) for one in (part, other)]
    assert same == [True, False]
    assert not examine._is_same(part, (SIZE, SIZE), None)


def test_a_photo_that_goes_away_while_it_is_treated_stops_no_other(dippas, monkeypatch, tmp_path):
    save(tmp_path / "c.jpg", 1)
    treat = treatment.treat

    def taken_away(source, *rest):
        made = treat(source, *rest)
        source.unlink()
        return made

    monkeypatch.setattr(treatment, "treat", taken_away)
    assert dippas("a.jpg", "c.jpg")[0] in DONE
    assert Path("a.anon.jpg").exists()
    assert Path("c.anon.jpg").exists()


def test_a_fingerprint_made_of_the_photo_itself_is_said_to_tell_nothing(dippas):
    noise = np.asarray(extractors.extract(photo(0)))
    files.write_fingerprint("own.npy", noise)
    _, out, _ = dippas("a.jpg", "--fingerprint", "own.npy")
    assert "as no camera's should; it may hold this photo's own noise" in out


@pytest.mark.parametrize(
    "within",
    [
        'c2pa="self#jumbf=x"',
        'dcterms:provenance="https://x"',
        'subimage offset="9"',
        'GDepth:Data="AAAA"',
        'Item:ItemURI="x"',
    ],
)
def test_xmp_that_points_to_what_is_gone_or_holds_pictures_is_left_out(dippas, tmp_path, within):
    xmp = f"<x:xmpmeta><rdf:Description {within}/></x:xmpmeta>".encode()
    Image.fromarray(photo(0)).save(tmp_path / "b.jpg", xmp=xmp)
    out = dippas("b.jpg", "--metadata", "keep")[1]
    assert b"x:xmpmeta" not in (tmp_path / "b.anon.jpg").read_bytes()
    assert "its XMP" in out
    assert "left out" in out


def test_metadata_that_a_format_cannot_take_are_not_dropped_without_a_word(dippas, tmp_path):
    deep(tmp_path / "b.tif")
    assert "written without its metadata" in dippas("b.tif", "--metadata", "keep")[1]
    assert "written without its metadata" not in dippas("b.tif", "--overwrite")[1]
    tifffile.imwrite("c.tif", photo(0).astype(np.uint16) * 257, software=False, metadata=None)
    assert "written without its metadata" not in dippas("c.tif", "--metadata", "keep")[1]
    Image.fromarray(photo(0)).save(tmp_path / "d.jpg", comment=b"by Ann")
    text = PngImagePlugin.PngInfo()
    text.add_itxt("Author", "Ann")
    Image.fromarray(photo(0)).save(tmp_path / "e.png", pnginfo=text)
    assert "its comment is left out" in dippas("d.jpg", "--metadata", "keep")[1]
    assert "its text is left out" in dippas("e.png", "--metadata", "keep")[1]
    for name in ("d.anon.jpg", "e.anon.png"):
        assert b"Ann" not in (tmp_path / name).read_bytes()
    assert "left out" not in dippas("e.png", "--overwrite")[1]


def test_a_report_in_a_new_folder_is_written_where_nothing_is_left_to_do(dippas, tmp_path):
    (tmp_path / "a.anon.jpg").write_bytes(b"done before")
    code, out, err = dippas("a.jpg", "--report", "pages/new/r.html")
    assert (code, out) == (console.TRACED, ""), err
    page = (tmp_path / "pages" / "new" / "r.html").read_text()
    assert "these 0 photos" not in page
    assert "No photo was judged" in page
    assert "a.anon.jpg exists" in page


def test_a_page_that_fails_in_a_way_nobody_foresaw_ends_no_batch(dippas, monkeypatch):
    def broken(*_):
        raise KeyError("no idea")

    monkeypatch.setattr(report_html, "html", broken)
    code, out, err = dippas("a.jpg", "--report", "r.html")
    assert code == console.FAILED
    assert "a.jpg -> a.anon.jpg" in out
    assert "r.html could not be treated (KeyError: 'no idea'); free memory, or report" in err


def test_what_a_later_try_has_left_beside_an_output_is_told(dippas, tmp_path):
    """Cut off with --overwrite, and given again without."""
    target = tmp_path / "a.anon.jpg"
    target.write_bytes(b"done before")
    folder = checkpoints._folder(target)
    for age, told in ((-60, False), (60, True)):
        folder.mkdir()
        (folder / "0").write_bytes(b"")
        for path in (folder / "0", folder):
            os.utime(path, (target.stat().st_mtime + age,) * 2)
        code, _, err = dippas("a.jpg", "--method", "prior")
        assert code == console.TRACED
        assert (folder.exists(), "a hidden folder beside it still shows" in err) == (told, told)


def test_a_report_never_replaces_a_file_that_is_none(dippas, tmp_path):
    (tmp_path / "page.html").write_text("mine")
    refused(dippas("a.jpg", "--report", "page.html"), "no page of this program", "--overwrite")
    (tmp_path / "other.json").write_text('{"title": "IMG"}')
    for flags in ([], ["--overwrite"]):
        refused(dippas("a.jpg", "--report", "other.html", *flags), "none of this program")
    os.mkfifo("pipe.html")
    (tmp_path / "b.html").write_bytes((tmp_path / "a.jpg").read_bytes())
    for flags in ([], ["--overwrite"]):
        refused(dippas("a.jpg", "--report", "pipe.html", *flags), "no file")
        refused(dippas("b.html", "-o", "c.jpg", "--report", "b.html", *flags), "never done")
    assert (tmp_path / "page.html").read_text() == "mine"
    assert not (tmp_path / "a.anon.jpg").exists()


def test_an_output_that_was_changed_since_is_no_longer_in_the_report(dippas, tmp_path):
    assert dippas("a.jpg", "--report", "r.html")[0] in DONE
    assert len(json.loads((tmp_path / "r.json").read_text())["photos"]) == 1
    Image.fromarray(photo(1)).save(tmp_path / "a.anon.jpg")
    assert dippas("a.jpg", "--report", "r.html")[0] == console.TRACED
    assert json.loads((tmp_path / "r.json").read_text())["photos"] == []


def test_a_report_tells_nothing_of_another_photo_of_the_same_name(dippas, tmp_path):
    """Cameras number their photos from 1 again and again."""
    command = ("a.jpg", "--report", "r.html")
    assert dippas(*command)[0] in DONE
    save(tmp_path / "a.jpg", 1, quality=97, subsampling=0)
    code, _, err = dippas(*command)
    assert code == console.TRACED
    assert "1 photo was there already and was not judged again" in err
    assert json.loads((tmp_path / "r.json").read_text())["photos"] == []


def test_a_verdict_is_of_the_fingerprints_that_were_asked(dippas, tmp_path):
    """One that is built anew under the same name is another one."""
    command = ("a.jpg", "--check", "K.npy", "--report", "r.html")
    assert dippas(*command)[0] in DONE
    files.write_fingerprint("K.npy", synthetic.Camera(seed=9).fingerprint(SIZE, SIZE))
    refused(dippas(*command), "was made with other settings")


def test_a_verdict_stays_while_the_photo_is_out_of_reach(dippas, tmp_path):
    shutil.copy("a.jpg", "b.jpg")
    command = ("a.jpg", "b.jpg", "--report", "r.html")
    assert dippas(*command)[0] in DONE
    (tmp_path / "b.jpg").rename(tmp_path / "away.jpg")
    assert dippas(*command)[0] in DONE, "its output is there"
    assert len(json.loads((tmp_path / "r.json").read_text())["photos"]) == 2
    (tmp_path / "away.jpg").rename(tmp_path / "b.jpg")
    assert dippas(*command)[0] in DONE


def test_json_is_json_where_stdout_is_not_utf_8(dippas, monkeypatch):
    shutil.copy("a.jpg", "é😀.jpg")
    written = io.TextIOWrapper(io.BytesIO(), encoding="latin-1")
    monkeypatch.setattr(sys, "stdout", written)
    code, _, _ = dippas("é😀.jpg", "-n", "--json")
    written.flush()
    assert code == 0
    assert json.loads(written.buffer.getvalue())["photo"] == "é😀.jpg"


@pytest.mark.parametrize(
    "words", ["-o b.jpg --random-name", "-o b.jpg --suffix .x", "--random-name --suffix .x"]
)
def test_options_that_would_do_nothing_are_refused(dippas, words):
    refused(dippas("a.jpg", "-n", *words.split()), "leave one out")


def test_photos_that_are_called_like_outputs_are_named(dippas, tmp_path):
    (tmp_path / "in").mkdir()
    for name in ("a.jpg", "party.anon.jpg"):
        shutil.copy("a.jpg", tmp_path / "in" / name)
    _, out, err = dippas("in", "-n", "--json")
    why = "folder in: 1 photo skipped, as their names end in .anon, those of outputs: "
    assert f"{why}party.anon.jpg" in err
    first = json.loads(out.splitlines()[0])
    assert first["skipped"] == "its name ends in .anon, as those of outputs do"


@pytest.mark.parametrize(
    "words",
    ["--report r.html --report s.html", "--fingerprint K.npz --fingerprint L.npz", "-o a -o b",
     "--seed -1", "--seed 99999999999999999999", "--fingerprint=", "--check=", "--report="],
)  # fmt: skip
def test_options_that_cannot_be_are_refused_on_the_command_line(capsys, words):
    assert cli.main(["anonymize", "a.jpg", *words.split()]) == 2
    assert words.split()[0].rstrip("=") in capsys.readouterr().err


def test_names_that_are_empty_too_long_or_of_a_locked_folder_are_named(
    dippas, tmp_path, monkeypatch
):
    refused(dippas("", "-n"), "an empty name")
    long = "x" * 300
    code, _, err = dippas(f"{long}/a.png", "a.jpg", "-n")
    assert (code, long in err) == (1, True)
    refused(dippas("a.jpg", "-n", "-o", f"{long}/"), long)
    real = os.stat

    def locked(path, *rest, **options):
        if "locked/" in str(path):
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return real(path, *rest, **options)

    save(tmp_path / "locked/b.jpg")
    monkeypatch.setattr(os, "stat", locked)
    code, _, err = dippas("locked/*.jpg", "a.jpg", "-n")
    assert (code, "locked/b.jpg cannot be read (Permission denied)" in err) == (1, True)


def test_links_to_nothing_and_other_folders_are_named_as_such(dippas, tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "a.jpg").rename(tmp_path / "in/a.jpg")
    os.symlink("nowhere.jpg", "in/dangling.jpg")
    os.symlink("loop.png", "in/loop.png")
    os.mkfifo("in/pipe.tif")
    code, _, err = dippas("in", "-n")
    assert code == 0
    assert (
        "3 files skipped, a link to nothing: dangling.jpg, loop.png; no regular file: pipe" in err
    )


def test_a_fault_of_the_program_or_a_page_that_cannot_be_written_ends_no_batch(
    dippas, tmp_path, monkeypatch
):
    save(tmp_path / "b.png")
    treat = treatment.treat

    def faulty(source, *rest):
        if source.name == "a.jpg":
            raise RuntimeError("RESOURCE_EXHAUSTED: out of memory\nand more")
        return treat(source, *rest)

    monkeypatch.setattr(treatment, "treat", faulty)
    (tmp_path / "r.json").mkdir()
    code, out, err = dippas("a.jpg", "b.png", "--report", "r.html", "--overwrite")
    assert code == 1
    said = "takes more memory than there is (RuntimeError: RESOURCE_EXHAUSTED: out of memory);"
    assert f"a.jpg {said}" in err
    assert "r.json is no file and cannot be replaced" in err
    assert "b.png -> b.anon.png" in out
    assert (tmp_path / "b.anon.png").exists()


def test_a_format_that_cannot_hold_a_photo_is_refused_before_the_work(dippas, monkeypatch):
    monkeypatch.setattr(treatment, "treat", lambda *_: pytest.fail("it was known before"))
    clear = np.dstack([photo(0), np.where(photo(0)[..., 0] < 90, 0, 255).astype(np.uint8)])
    Image.fromarray(clear).save("clear.png")
    for dry in ([], ["-n"]):
        code, out, err = dippas("clear.png", "--format", "jpeg", *dry)
        assert (code, out) == (2, "")
        assert "cannot be written as a JPEG" in err


def test_the_dry_run_and_the_run_announce_the_same_usable_photos(dippas, tmp_path):
    data = (tmp_path / "a.jpg").read_bytes()
    (tmp_path / "cut.jpg").write_bytes(data[:900])
    save(tmp_path / "b.png")
    said = [dippas("a.jpg", "b.png", "cut.jpg", "-o", "out", *dry)[2] for dry in (["-n"], [])]
    assert said[0].splitlines() == said[1].splitlines()[:2]
    assert "cut.jpg is truncated" in said[0]
    assert "dippas: 2 photos, about" in said[0]


@pytest.mark.slow
@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="a device of Linux")
def test_streams_that_are_closed_broken_or_full_do_not_end_the_work(tmp_path):
    save(tmp_path / "a.png")
    save(tmp_path / "b.png", 1)
    command = (
        f"{sys.executable} -m dippas_jax.cli anonymize a.png b.png --overwrite --report r.html"
    )
    for redirection, code in (
        (">&-", 0), ("2>&-", 0), ("<&- >&- 2>&-", 0), ("> /dev/full", 1), ("2> /dev/full", 0),
        ("2>&1 | head -c 1 > head", 0), ("2>&1 > /dev/null | head -c 1 > head", 0),
    ):  # fmt: skip
        for name in ("a.anon.png", "b.anon.png", "r.json"):
            (tmp_path / name).unlink(missing_ok=True)
        done = subprocess.run(
            ["bash", "-o", "pipefail", "-c", f"{command} {redirection}"],
            cwd=tmp_path, capture_output=True, check=False,
            env=os.environ | {"PYTHONPATH": os.getcwd()},
        )  # fmt: skip
        assert b"Traceback" not in done.stderr
        assert done.returncode == code, (redirection, done.stderr)
        with Image.open(tmp_path / "a.anon.png") as first, Image.open(tmp_path / "b.anon.png") as b:
            assert first.size == b.size == (SIZE, SIZE)
        assert len(json.loads((tmp_path / "r.json").read_text())["photos"]) == 2


@pytest.mark.slow
def test_an_interruption_at_any_time_is_no_traceback(tmp_path):
    save(tmp_path / "a.png")
    start = "import sys; from dippas_jax.cli import main; print(flush=True); sys.exit(main.main())"
    command = [sys.executable, "-c", start, "anonymize", "a.png"]
    environment = os.environ | {"PYTHONPATH": os.getcwd()}
    for wait in np.linspace(0.1, 6, 13):  # while jax is imported, compiles, and works
        process = subprocess.Popen(
            command, cwd=tmp_path, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        assert process.stdout is not None
        process.stdout.readline()  # the interpreter and the command line are there
        time.sleep(wait)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate()
        if process.returncode in DONE:
            break
        assert (process.returncode, err.splitlines()[-1]) == (130, b"dippas: interrupted"), wait
        assert b"Traceback" not in err
        assert not (tmp_path / "a.anon.png").exists()


def record(**changes):
    values = {
        "photo": "a.jpg", "output": "a.anon.jpg", "height": 64, "width": 80, "format": "jpeg",
        "method": "sparse", "mode": "blind", "fingerprint": None, "others": 0, "psnr": 40.126,
        "settings": {},
        "z_before": {}, "z": {}, "leakage": {}, "visible": {}, "predicted_z": 1.0,
        "seconds": 2.4, "seed": 0, "warnings": (),
        "orientation": 1, "sha256": "", "examined": {},
    }  # fmt: skip
    return photo_record.PhotoRecord(**values | changes)


@pytest.mark.parametrize(
    ("leakage", "words"),
    [
        ({"2/16 cycles": 0.034, "texture 1": 0.161}, f"up to +16 % {LEFT}"),
        ({"2/16 cycles": 0.034, "texture 1": -0.161}, f"up to -16 % {LEFT}"),
        ({"2/16 cycles": math.nan, "texture 1": 0.034}, f"up to +3 % {LEFT}"),
        ({"2/16 cycles": math.nan}, "leakage not measured"),
        ({}, "leakage not measured"),
    ],
)
def test_the_leakage_is_printed_with_its_sign(leakage, words):
    text = photo_record.text(record(leakage=leakage))
    assert text == f"a.jpg -> a.anon.jpg\n  80x64, PSNR 40.13 dB, {words}, 2 s"


def test_a_photo_that_can_be_traced_says_so_and_has_an_exit_code_of_its_own(dippas, monkeypatch):
    """Whether predicted from the leakage, measured with K, or found by an attacker."""
    monkeypatch.setattr(prediction, "CAMERA_Z", 1e5)
    code, out, err = dippas("a.jpg", "--blind")
    assert code == console.TRACED == 4
    assert re.search(r"can probably be traced: [+-]\d+ % of a planted fingerprint remain", out)
    assert Path("a.anon.jpg").exists()
    assert "reduced" not in out + err
    kept = record(predicted_z=2.3, leakage={"whole": 0.01})
    assert not photo_record.traced(kept)
    assert photo_record.traced(dataclasses.replace(kept, predicted_z=2.4))
    assert photo_record.traced(dataclasses.replace(kept, predicted_z=math.nan)), "not measured"
    row = {"attacker": "bands", "fingerprint": "K", "before": 1.0, "after": 1.0}
    found = {"attacks": [row | {"found": False}, row | {"found": True}]}
    assert photo_record.traced(dataclasses.replace(kept, examined=found))


def test_what_an_unknown_fingerprint_has_left_bounds_what_the_true_one_has():
    """By hand: 3 of 30, one standard deviation more, of the 150 of a camera at six megapixels."""
    assert prediction.by_check(6_000_000, 30.0, -3.0) == pytest.approx(4 / 30 * 150)
    assert prediction.by_check(6_000_000, 300.0, 0.5) == pytest.approx(1.5), "a stronger camera"


def test_what_is_found_by_chance_is_said_to_be_so():
    rows = [
        {"attacker": "wavelet", "fingerprint": "K", "before": 0.3, "after": 0.1, "found": False},
        {"attacker": "laplacian", "fingerprint": "K", "before": 1.0, "after": 3.2, "found": True},
    ]
    said = photo_record.verdict(record(examined={"attacks": rows}))
    assert said.startswith("found by laplacian, which did not surely find it in the original")
    for surely in ({"before": 20.0}, {"before": -20.0}):
        again = [rows[0] | surely, rows[1]]
        assert photo_record.verdict(record(examined={"attacks": again})) == "found by laplacian"
    again = [rows[0], rows[1] | {"after": -30.0}]
    assert photo_record.verdict(record(examined={"attacks": again})) == "found by laplacian"
    again = [rows[0], rows[1] | {"attacker": "shifts", "after": 7.8}]
    assert "perhaps by chance" in photo_record.verdict(record(examined={"attacks": again}))


def test_a_report_is_resumed_though_an_attacker_had_nothing_to_say(dippas):
    row = {"attacker": "wavelet", "fingerprint": "K", "before": math.nan, "after": math.nan}
    row["found"] = False
    examined = {"attacks": [row], "untested": [], "verdict": "", "ssim": 0.9}
    kept = json.loads(files.json_text(record(examined=examined, leakage={"whole": 0.0})))
    again = photo_record.from_json(kept)
    assert math.isnan(again.examined["attacks"][0]["before"])
    assert not photo_record.traced(again)
    assert photo_record.verdict(again)


def test_what_was_not_measured_does_not_reassure():
    made = record(predicted_z=0.5, mode="aware", fingerprint="K.npy", height=640, width=800)
    asked = {"fingerprint": "K.npy", "found": False, "attacker": "wavelet", "before": 40.0}
    asked["after"] = 0.1
    other = {**asked, "fingerprint": "K2.npy"}
    for attacks in (
        [],
        [asked],
        [asked, {**other, "known": True}],  # the same under another name
        [asked, {**other, "before": 5.9}],  # perhaps another camera's
        [asked, {**other, "before": math.nan}],
        [asked, {**other, "attacker": "bands"}],
        [asked, {**other, "before": 6.1, "after": 2.9}],  # half of a weak one is left
        [asked, {**other, "after": 2.9}, {**other, "before": 39.0}],  # the plainest counts
        [asked, {**other, "before": 90.0}],  # no camera's: the photo's own noise
    ):
        one = dataclasses.replace(made, examined={"attacks": attacks})
        assert photo_record.traced(one)
        assert "was not measured" in photo_record.verdict(one)
        assert web._plain(one).startswith("This photo can probably still be traced")
    one = dataclasses.replace(made, examined={"attacks": [asked, {**other, "known": False}]})
    assert not photo_record.traced(one)
    assert "none of the attackers" in photo_record.verdict(one)
    assert web._plain(one) == (
        "Reduced: none of the attackers that were asked finds the camera any more."
    )


def test_a_fingerprint_that_was_never_found_is_not_said_to_be_found_no_more():
    strange = record(
        predicted_z=1.0, leakage={"whole": 0.0}, z_before={"sigma-3": 0.3}, z={"a": 0.2}
    )
    assert web._plain(strange).startswith("Reduced: as far as it was measured")
    found = dataclasses.replace(strange, z_before={"sigma-3": 9.0})
    assert web._plain(found) == "Reduced: the fingerprint that was used is not found any more."
    rows = [{"fingerprint": "b", "found": False, "attacker": "wavelet", "before": 0.3}]
    asked = dataclasses.replace(strange, examined={"attacks": rows})
    assert "none of the attackers" not in web._plain(asked) + photo_record.verdict(asked)


def test_a_verdict_is_of_its_photo_alone(dippas, tmp_path):
    """Another one of the same name has its output in the same place."""
    for folder, number in (("one", 0), ("two", 1)):
        (tmp_path / folder).mkdir()
        save(tmp_path / folder / "c.jpg", number)
    command = "-o", "out", "--report", "r.html"
    (tmp_path / "out").mkdir()
    dippas("one/c.jpg", *command)
    code, _, err = dippas("two/c.jpg", *command)
    assert code == console.TRACED
    assert "was not judged" in err


def test_what_is_left_in_a_band_alone_is_seen():
    """K in one band, taken out of the next one: no extractor finds it over all of the photo."""
    side = 256
    k = np.float32(CAMERA.fingerprint(side, side))
    radius = np.hypot(*np.meshgrid(np.fft.fftfreq(side), np.fft.rfftfreq(side), indexing="ij"))
    low, high = ((radius > a) & (radius <= b) for a, b in ((1 / 16, 1 / 8), (3 / 16, 1 / 4)))
    left = np.fft.irfft2(np.fft.rfft2(k) * (low - 0.2 * high), s=k.shape)
    levels = 120 + np.random.default_rng(0).normal(0, 2, (side, side, 1)) + 120 * left[..., None]
    pixels = np.repeat(np.clip(np.rint(levels), 0, 255).astype(np.uint8), 3, 2)
    whole = extractors.scores(pixels, k)
    parts = prediction.elsewhere(pixels, k)
    assert max(map(abs, whole.values())) < 2 < 20 < abs(parts["bands"])
    result = Result(pixels, 40.0, whole | parts, {}, {})
    expected = max(
        3 / attackers.ATTACKERS["bands"].limit * abs(parts["bands"]), abs(parts["blurred"])
    )
    assert prediction.predicted_z(side**2, result) == pytest.approx(expected)


def test_one_score_in_twenty_around_what_no_photo_may_show_is_a_find():
    assert stats.norm.sf(photo_record.FOUND, loc=photo_record.TRACED) == pytest.approx(0.05)


@pytest.mark.skipif(bool(confinement.possible()), reason="no limits on this system")
def test_photos_that_attack_their_decoder_fail_and_the_others_are_done(dippas, monkeypatch):
    """In a run to the end, and told by a dry run already."""
    limits = confinement.Limits(memory=1 << 30, seconds=1, patience=5.0)
    hostile = decoder.Decoder((sys.executable, "-P", hostile_decoder.__file__), limits)
    monkeypatch.setattr(decoder, "_ours", hostile)
    attacks = {"b.png": "crash", "c.png": "eat", "d.png": "loop"}
    for name, attack in attacks.items():
        Path(name).write_text(f"{attack}!")
    for more in (["-n"], []):
        code, out, err = dippas("a.jpg", *attacks, "--blind", *more)
        assert code == console.FAILED
        assert out.count(" -> ") == 1
        assert "photo b.png makes its decoder crash (SIGSEGV)" in err
        assert "photo c.png takes more memory to decode than there is" in err
        assert "photo d.png keeps its decoder busy for more than 1 seconds" in err
    hostile.stop()
    assert Path("a.anon.jpg").exists()


def test_where_the_decoder_may_not_be_started_photos_are_decoded_in_the_program(
    dippas, tmp_path, monkeypatch
):
    """As for a user who may not run this Python again."""
    closed = tmp_path / "python"
    closed.write_text("")
    nobody = decoder.Decoder((str(closed),))
    monkeypatch.setattr(decoder, "_ours", nobody)
    for name in ("start", "unconfined"):
        monkeypatch.setattr(decoder, name, getattr(nobody, name))
    code, out, err = dippas("a.jpg", "--blind")
    assert code in DONE, err
    assert out.count(" -> ") == 1
    assert "cannot start a process" in nobody.unconfined()


def test_a_photo_that_is_skipped_is_not_called_done(dippas, monkeypatch):
    """Its verdict was told when it was treated, and only a report keeps it."""
    save(Path("b.png"), 1)
    assert dippas("a.jpg", "b.png", "--blind")[0] == 0
    code, out, err = dippas("a.jpg", "b.png", "--blind")
    assert (code, out) == (console.TRACED, "")
    assert "2 photos were there already and were not judged again; --overwrite" in err
    code, out, _ = dippas("a.jpg", "--blind", "--json")
    assert code == console.TRACED
    assert json.loads(out)["skipped"] == "a.anon.jpg exists and was not judged again"
    assert dippas("a.jpg", "--blind", "-n")[0] == 0, "a dry run judges nothing"
    assert dippas("a.jpg", "none.jpg", "--blind")[0] == console.FAILED


def test_a_report_keeps_the_verdict_of_what_is_skipped(dippas, monkeypatch):
    command = ("a.jpg", "--blind", "--report", "r.html")
    assert dippas(*command)[0] == 0
    code, _, err = dippas(*command)
    assert code == 0
    assert "judged" not in err
    with monkeypatch.context() as patch:
        patch.setattr(prediction, "CAMERA_Z", 1e5)
        assert dippas(*command, "--overwrite")[0] == console.TRACED
    code, _, err = dippas(*command)
    assert code == console.TRACED
    assert "1 photo that was there already can probably be traced, by the report" in err
    assert dippas(*command, "--overwrite")[0] == 0
    shutil.copy("a.jpg", "a.anon.jpg")
    code, _, err = dippas(*command)
    assert code == console.TRACED, "it is another file than the one that was judged"
    assert "1 photo was there already and was not judged again" in err


@pytest.mark.parametrize(
    ("leakage", "shown", "parts", "whole"),
    [
        ({"1/16 cycles": 0.9, "texture 1": 0.2, "whole": 0.0}, 100, 15.0, 2.5),
        ({"2/16 cycles": -0.21, "texture 4": 0.1, "whole": -0.02}, 600, 7.875, 18.0),
        ({"7/16 cycles": 0.1, "texture 4": 0.01, "whole": 0.0}, 100, 7.0156, 2.5),
        ({"3/8 to 1/2 cycles": 0.1, "whole": 0.0}, 100, 9.9216, 2.5),
        ({"1/32 to 1/16 cycles": 0.9, "texture 1": 0.1, "whole": 0.0}, 100, 14.614, 2.5),
        ({"texture 4": math.nan, "whole": math.nan}, 0, math.nan, math.nan),
        ({}, None, math.nan, math.nan),
    ],
)
def test_the_z_to_expect_is_that_of_the_worst_part_or_of_a_photo_that_shows_much(
    leakage, shown, parts, whole
):
    """By hand: 150 at six megapixels, times √(1/4), √(k/32) of a triangle around k/16 of the larger
    frequency, or √(4·(b² − a²)) from a to b; 0.25 times the z of one percent.
    """
    visible = {} if shown is None else {"whole": float(shown)}
    made = Result(photo(0), 40.0, {}, leakage, {}, visible=visible)
    found = prediction.expected_z(6_000_000, made)
    assert found == pytest.approx((parts, whole), rel=1e-3, nan_ok=True)


def test_of_a_photo_that_was_moved_less_is_unsure_and_both_figures_are_printed():
    """By hand: of f cycles a pixel exp(-2π²·4·f²) is kept, in bands that show z of 30 and 300."""
    settings = {"displacement": 2.0, "psnr_in_place": 36.2}
    shown = {f"{k}/16 cycles": 300.0 if k == 7 else 30.0 for k in range(1, 8)}
    visible = shown | {"whole": 600.0}
    made = Result(photo(0), 20.7, {}, {"whole": 0.01}, settings, visible=visible)
    squares = sum((30 * math.exp(-8 * (math.pi * k / 16) ** 2)) ** 2 for k in range(2, 7))
    kept = math.sqrt(squares / (5 * 30**2 + 300**2))
    assert kept == pytest.approx(0.029, abs=1e-3)
    _, whole = prediction.expected_z(6_000_000, made)
    assert whole == pytest.approx(150 * (0.01 + 0.1 * kept), rel=1e-3)
    settings |= {"left_in_place": 0.02}
    text = photo_record.text(record(psnr=20.7, settings=settings))
    assert "PSNR 36.20 dB, then moved by 2 pixels (20.70 dB)" in text


def test_of_a_known_fingerprint_the_largest_score_is_printed():
    known = {"mode": "aware", "z_before": {"a": 3.0, "b": 21.26}, "z": {"a": -1.8, "b": math.nan}}
    text = photo_record.text(record(**known, warnings=("one; two",), examined={"verdict": "Gone."}))
    _, figures, warning, verdict = text.splitlines()
    assert "largest |z| of seven attackers 21.3 before, 1.8 after" in figures
    assert (warning, verdict) == ("  Warning: one; two", "  Gone.")


def test_what_a_method_of_other_authors_leaves_is_measured(dippas, tmp_path):
    save(tmp_path / "b.png", 1)
    code, out, _ = dippas("b.png", "--method", "dct_truncation", "--json")
    record = json.loads(out)
    assert code == console.DONE
    assert (record["method"], record["mode"]) == ("dct_truncation", "blind")
    assert 20 < record["psnr"] < 60
    left = record["leakage"]
    assert left["1/16 to 1/8 cycles"] > 0.9, "low frequencies are kept"
    assert left["3/8 to 1/2 cycles"] < left["1/16 to 1/8 cycles"] - 0.3
    assert left.keys() >= {"texture 1", "texture 4", cells.WHOLE}
    expected = 150 * (SIZE**2 / 6e6) ** 0.5
    borders = dict(zip(attackers.BANDS, itertools.pairwise(attackers.FREQUENCIES[1:]), strict=True))
    worst = max(
        expected * abs(left[f"{band} cycles"]) * 2 * math.sqrt(high**2 - low**2)
        for band, (low, high) in borders.items()
    )
    whole = expected * (abs(left[cells.WHOLE]) + 0.1)
    quarters = max(expected * abs(left[f"texture {n}"]) / 2 for n in range(1, 5))
    assert record["predicted_z"] == pytest.approx(max(worst, quarters, whole))


@pytest.mark.parametrize("kind", ["of sixteen bits", "with opacity, in two parts"])
def test_what_a_method_leaves_is_measured_in_every_kind_of_photo(
    dippas, tmp_path, monkeypatch, kind
):
    if kind == "of sixteen bits":
        tifffile.imwrite(tmp_path / "b.tif", photo(1).astype(np.uint16) * 257, photometric="rgb")
    else:
        monkeypatch.setattr(tiles, "SIDE", SIZE)
        wide = np.concatenate([photo(1), photo(2)], 1)[:, :80]
        clear = np.where(np.arange(80) < 40, 90, 255) + np.zeros((SIZE, 1))
        Image.fromarray(np.dstack([wide, clear]).astype(np.uint8)).save(tmp_path / "b.png")
    code, out, err = dippas("b.*", "--method", "dct_truncation", "--json")
    assert code == console.DONE, err
    left = json.loads(out)["leakage"]
    assert left["1/16 to 1/8 cycles"] > 0.9, "low frequencies are kept"


def test_moved_pixels_are_said_to_be_found_and_end_with_a_code_of_their_own(dippas, tmp_path):
    save(tmp_path / "b.png", 1)
    code, out, _ = dippas("b.png", "--method", "seam_carving")
    assert code == console.TRACED
    assert "this photo can probably be traced: whoever searches for it place by place" in out
    assert "leakage not measured" in out
    code, out, _ = dippas(
        "b.png", "--method", "warp", "--fingerprint", "K.npy", "--json", "--overwrite"
    )
    names = {*extractors.NAMES, *prediction.ELSEWHERE}
    assert json.loads(out)["z"].keys() == names, "a known K is looked for"


def test_what_other_methods_cannot_be_asked_for_is_refused(dippas, tmp_path):
    refused(dippas("a.jpg", "--method", "warp", "--target-psnr", "40"), "--target-psnr", "warp was")
    refused(dippas("a.jpg", "--method", "patches", "--max-minutes", "1"), "--max-minutes")
    refused(dippas("a.jpg", "--method", "patches", "--strength", "strong"), "--strength goes with")
    for dry in ([], ["-n"]):
        refused(dippas("a.jpg", "--method", "dncnn", *dry), "dippas fetch learned")
    code, out, _ = dippas("a.jpg", "--method", "patches", "--dry-run", "--json")
    assert (code, json.loads(out)["tiles"]) == (console.DONE, 1)


@pytest.mark.parametrize("directory", [None, 34665, 34853])
@pytest.mark.parametrize("field", ["bytes", "letters", "pieces", "long"])
def test_no_picture_goes_along_in_any_field(dippas, tmp_path, directory, field):
    picture = io.BytesIO()
    Image.fromarray(photo(0)).save(picture, "PNG")
    held = {
        "bytes": b"head" + picture.getvalue(),
        "letters": "data:image/png;base64," + base64.b64encode(picture.getvalue()).decode(),
        "pieces": ";".join(["QUJDREVGR0hJSktMTU5PUFFS"] * 40),
        "long": bytes(range(256)) * 9,
    }[field]
    tags = Image.Exif()
    tags[272] = "Model"
    (tags if directory is None else tags.get_ifd(directory))[60000] = held
    Image.fromarray(photo(0)).save(tmp_path / "b.jpg", exif=tags.tobytes())
    out = dippas("b.jpg", "--metadata", "keep")[1]
    written = (tmp_path / "b.anon.jpg").read_bytes()
    kept = held.encode() if isinstance(held, str) else held
    assert kept[-200:] not in written
    assert b"Model" in written
    assert "(tag 60000) is left out" in out


def test_a_part_of_sixteen_bits_with_opacity_comes_back_as_it_went(tmp_path):
    """Parts have 8 bits, also where one is all of a photo of 16 bits."""
    pytest.importorskip("pillow_heif", reason="the extra heic is not installed")
    clear = np.full((SIZE, SIZE, 1), 255, np.uint8)
    clear[:9] = 0
    whole = np.concatenate([photo(0), clear], 2)
    Image.fromarray(whole).save(tmp_path / "b.png")
    wide = whole.astype(np.uint16) * 257
    kind = {"photometric": "rgb", "extrasamples": ["unassalpha"]}
    tifffile.imwrite(tmp_path / "b.tif", wide, **kind)
    seen = []
    for path in (tmp_path / "b.png", tmp_path / "b.tif"):
        found = decoder.read(path)
        job = outputs.Job(path, path, "heic")
        output = Task(job, found, "", None, outputs.Options()).codecs.output
        seen.append(tiles.levels(output(photo(0))))
        np.testing.assert_array_equal(tiles.levels(output(found.pixels)), seen[-1])
    np.testing.assert_array_equal(*seen)
    assert np.abs(seen[1][9:] - photo(0)[9:]).mean() < 4


def test_weights_of_no_use_are_told_before_the_work(dippas, tmp_path, monkeypatch):
    (tmp_path / "bad.mpk").write_bytes(b"bad")
    monkeypatch.setenv("DIPPAS_LEARNED", str(tmp_path / "bad.mpk"))
    refused(dippas("a.jpg", "--report", "r.html"), "dippas fetch learned")
    assert not list(tmp_path.glob("*.anon.*"))


def test_moving_pixels_alone_does_not_hide_a_photo(dippas):
    """Little is left in place, but all of it place by place; by hand."""
    pixels, visible = 6_000_000, {"whole": 600.0}
    moved = {"displacement": 2.0, "psnr_in_place": 60.0, "left_in_place": 0.98}
    found = prediction.z_of_a_place(pixels, moved, visible)
    assert found == pytest.approx(150 * 1.08 * 128 / math.sqrt(pixels))
    assert prediction.z_of_a_place(pixels, {"threshold": 12.0}, visible) == 0
    sizes = {"height": 2000, "width": 3000, "predicted_z": 1.0, "visible": visible}
    kept = record(leakage={"whole": 0.01}, settings=moved, **sizes)
    assert photo_record.traced(kept)
    assert "place by place" in photo_record.verdict(kept)
    hidden = dataclasses.replace(kept, settings=moved | {"left_in_place": 0.02})
    assert photo_record.place_z(hidden) == pytest.approx(150 * 0.12 * 128 / math.sqrt(pixels))
    assert not photo_record.traced(hidden)
    large = dataclasses.replace(hidden, height=8000, width=12000, visible={"whole": 2400.0})
    assert photo_record.place_z(large) == pytest.approx(photo_record.place_z(hidden))
    assert photo_record.traced(large), "sixteen times as many places show more"
    old = dataclasses.asdict(hidden) | {"warnings": []}
    assert photo_record.from_json(old) == hidden
    old["settings"] = {"displacement": 2.0, "psnr_in_place": 60.0}
    assert photo_record.traced(photo_record.from_json(old)), "which did not tell what was left"
    unseen = dataclasses.replace(hidden, leakage={"whole": math.nan}, predicted_z=math.nan)
    row = {"attacker": "wavelet", "fingerprint": "K", "before": 30.0, "after": 0.1, "found": False}
    checked = dataclasses.replace(unseen, examined={"attacks": [row]})
    assert photo_record.traced(checked), "moved away, K says nothing of what is left"
    Image.fromarray(photo(0)).save("whole.png")
    code, out, err = dippas("whole.png", "--displace", "4", "--target-psnr", "50", "--json")
    assert code in (0, console.TRACED), err
    line = json.loads(out)
    assert line["settings"]["left_in_place"] > 0.5
    assert line["predicted_z"] < photo_record.TRACED
    assert code == (console.TRACED if line["traced"] else 0)


def test_of_a_black_photo_that_was_moved_no_figure_is_made_up(dippas, tmp_path):
    Image.fromarray(np.zeros((SIZE, SIZE, 3), np.uint8)).save(tmp_path / "b.png")
    out = dippas("b.png", "--displace", "2")[1]
    assert "nan" not in out
    assert photo_record.UNMEASURED in out


def test_fields_are_of_all_of_a_photo_and_not_of_32_bits_of_it():
    key = jax.random.key(0)
    fields = [
        displacement.Field(key, 256, 256, 2.0, secret).of(tiles.Tile(0, 0, 256, 256))
        for secret in (b"", b"a" * 31 + b"b", b"a" * 31 + b"c", b"a" * 31 + b"b")
    ]
    assert np.abs(fields[0] - fields[1]).max() > 1
    assert np.abs(fields[1] - fields[2]).max() > 1
    np.testing.assert_array_equal(fields[1], fields[3])


@pytest.mark.parametrize(
    ("options", "lossy"),
    [
        ([], False),
        (["--format", "jpeg", "--jpeg-quality", "50"], True),
        (["--format", "webp"], False),
    ],
)
def test_what_is_left_is_followed_behind_an_output_that_changes_pixels(dippas, options, lossy):
    """Of a photo that came as a PNG as well; each figure is asked for behind its file."""
    Image.fromarray(photo(0)).save("plain.png")
    lines = []
    for folder, more in (("png/", []), ("other/", options)):
        code, out, _ = dippas("plain.png", "--json", "--blind", "-o", folder, *more)
        assert code in (0, console.TRACED)
        lines.append(json.loads(out))
    assert (lines[0]["leakage"] != lines[1]["leakage"]) == lossy


def test_pictures_that_cannot_be_made_do_not_take_a_result_from_the_page(tmp_path, monkeypatch):
    line = json.loads(console.json_line(photo_record.line(record(leakage={"whole": 0.0}))))
    monkeypatch.setattr(examine, "pictures", mock.Mock(side_effect=MemoryError("no room")))
    found = web.described(line, tmp_path, tmp_path / "parts")
    assert found["parts"] == []
    assert found["warnings"][-1] == "before and after cannot be shown (MemoryError: no room)"


def test_the_page_says_what_the_verdict_says():
    row = {"attacker": "wavelet", "fingerprint": "K", "before": 30.0, "after": 0.5, "found": False}
    kept = record(predicted_z=1.0, leakage={"whole": 0.0})
    known = dataclasses.replace(kept, examined={"attacks": [row | {"known": True}]})
    other = dataclasses.replace(kept, examined={"attacks": [row | {"known": False}]})
    assert "none of the attackers that were asked" in web._plain(other)
    assert "by the fingerprint that was used" in web._plain(known)
    assert "as far as it was measured" in web._plain(kept)
