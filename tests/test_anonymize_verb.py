"""`dippas anonymize`: what is written where, what is never touched, and what survives a kill."""

import hashlib
import json
import os
import random
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dippas_jax.cli import main as cli
from dippas_jax.datasets import synthetic
from dippas_jax.io import exif, files, weights
from dippas_jax.signal import image
from dippas_jax.sparse import leakage
from tests.test_photo_file import bad_files
from tests.test_photo_file import exif as orientation_exif

SIZE = 64
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
def dippas(capsys, tmp_path, monkeypatch, caches):
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
    return leakage.scores(pixels, np.float32(CAMERA.fingerprint(SIZE, SIZE)))


def test_a_photo_is_written_beside_the_original_which_is_left_alone(dippas, tmp_path):
    before = tree(tmp_path)
    code, out, err = dippas("a.jpg", "--fingerprint", "K.npy")
    assert code == 0
    assert "a.jpg -> a.anon.jpg" in out
    assert "too much of a fingerprint at 41 dB" in out
    assert "of a planted fingerprint are left, more than should be; --jpeg-quality 90" in out
    assert "1 tiles, about" in err
    after = tree(tmp_path)
    assert after.pop("a.anon.jpg")
    assert after == before
    assert min(scores("a.jpg").values()) > 5
    assert max(map(abs, scores("a.anon.jpg").values())) < 3.5
    ours, theirs = opened("a.anon.jpg"), opened("a.jpg")
    assert ours.quantization == theirs.quantization
    assert not ours.getexif()


def test_blind_needs_no_fingerprint_and_the_same_seed_gives_the_same_bytes(dippas):
    assert dippas("a.jpg", "--blind", "--json")[0] == 0
    data = Path("a.anon.jpg").read_bytes()
    code, out, _ = dippas("a.jpg", "--json", "--overwrite")
    record = json.loads(out)
    assert code == 0
    assert Path("a.anon.jpg").read_bytes() == data
    assert record["sha256"] == hashlib.sha256(data).hexdigest()
    assert record["mode"] == "blind"
    written = np.asarray(opened("a.anon.jpg"))
    original = np.asarray(opened("a.jpg"))
    assert record["psnr"] == pytest.approx(float(image.psnr(written, original)), abs=1e-3)


@pytest.mark.parametrize("orientation", [6, 3])
def test_a_turned_photo_is_worked_on_as_the_sensor_has_it(dippas, tmp_path, orientation):
    save(tmp_path / "plain.png")
    save(tmp_path / "b.png", 0, orientation)
    assert dippas("plain.png", "-o", "0.png", "--fingerprint", "K.npy")[0] == 0
    expected = np.asarray(opened("0.png").convert("RGB"))
    for choice, tag in (("upright", 1), ("tag", orientation)):
        name = f"{choice}.png"
        assert (
            dippas("b.png", "-o", name, "--fingerprint", "K.npy", "--orientation", choice)[0] == 0
        )
        assert opened(name).getexif().get(274, 1) == tag
        turned = np.asarray(opened(name).convert("RGB"))
        found = exif.turned_back(turned, orientation if tag == 1 else 1)
        np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize(
    ("kind", "extension"), [("png", ".png"), ("tiff", ".tif"), ("webp", ".webp")]
)
def test_other_formats(dippas, kind, extension):
    code, out, _ = dippas("a.jpg", "--format", kind, "--target-psnr", "38")
    assert code == 0
    assert "too much" not in out
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
    assert code == 0
    assert "exists, skipped" in err
    assert out.count("->") == 1
    assert set(tree(tmp_path / "out")) == {"one.anon.png", "deep/two.anon.PNG"}
    assert tree(tmp_path / "out")["one.anon.png"] == first["one.anon.png"]
    assert dippas("in", "-r")[0] == 0
    assert dippas("in", "-r")[0] == 0, "what it made is not taken for a photo to be treated"
    assert not list((tmp_path / "in").rglob("*.anon.anon*"))


def test_patterns_and_several_photos(dippas, tmp_path):
    save(tmp_path / "b.png")
    save(tmp_path / "c.png", 1)
    assert dippas("[bc].png", "a.jpg", "-o", "out/", "--suffix", "")[0] == 0
    assert set(tree(tmp_path / "out")) == {"a.jpg", "b.png", "c.png"}


def test_random_names_say_nothing_and_stay_the_same(dippas, tmp_path):
    assert dippas("a.jpg", "-o", "out/", "--random-name")[0] == 0
    (name,) = tree(tmp_path / "out")
    assert len(name) == 24
    assert "a." not in name[:2]
    assert "skipped" in dippas("a.jpg", "-o", "out/", "--random-name")[2]


def test_a_dry_run_writes_nothing_and_says_what_would_be(dippas, tmp_path):
    before = tree(tmp_path)
    code, out, err = dippas("a.jpg", "-n")
    assert (code, err) == (0, "")
    assert "a.jpg -> a.anon.jpg  64x64, 1 tiles, about" in out
    assert "GiB, on the cpu" in out
    plan = json.loads(dippas("a.jpg", "-n", "--json")[1])
    assert plan["minutes"] > 0
    assert plan["memory_mib"] > 100
    assert tree(tmp_path) == before


def test_the_report_says_what_every_attacker_finds(dippas, tmp_path):
    files.write_fingerprint("other.npy", CAMERA.fingerprint(SIZE, SIZE) + 0.01)
    arguments = ("a.jpg", "--fingerprint", "K.npy", "--check", "other.npy", "--report", "r.html")
    code, out, _ = dippas(*arguments)
    assert code == 0
    content = json.loads((tmp_path / "r.json").read_text())
    (record,) = content["photos"]
    rows = {(row["attacker"], row["fingerprint"]): row for row in record["attacks"]}
    assert {name for _, name in rows} == {"K.npy", "other.npy"}
    row = rows["wavelet", "K.npy"]
    assert row["before"] == pytest.approx(scores("a.jpg")["sigma-3"], abs=0.01)
    assert row["after"] == pytest.approx(scores("a.anon.jpg")["sigma-3"], abs=0.01)
    assert "learned" in record["untested"]
    assert record["verdict"] in out
    text = (tmp_path / "r.html").read_text()
    assert "a.anon.jpg" in text
    assert f"{row['before']:.1f}" in text
    code, _, err = dippas(*arguments)
    assert code == 0
    assert "skipped" in err
    assert json.loads((tmp_path / "r.json").read_text()) == content
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


def test_what_cannot_be_used_as_a_whole_is_refused_before_anything_is_written(dippas, tmp_path):
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
    refused(dippas("a.jpg", "-o", "b.png", "--format", "tiff"), "extension")
    refused(dippas("a.jpg", "x/a.jpg", "-o", "out"), "both be written")
    refused(dippas("a.jpg", "--fingerprint", "nothing.npy"), "nothing.npy")
    refused(dippas("a.jpg", "--fingerprint", "wide.npy"), "64x64", "64x96")
    refused(dippas("a.jpg", "--fingerprint", "K.npy", "--blind"), "not allowed")
    refused(dippas("a.jpg", "--target-psnr", "5"), "20 to 60")
    refused(dippas("a.jpg", "--jpeg-quality", "0"), "1 to 100")
    refused(dippas("a.jpg", "--strength", "max"), "max")
    refused(dippas("a.jpg", "--report", "r.txt"), ".html")
    os.symlink("a.jpg", "link.jpg")
    refused(dippas("a.jpg", "-o", "link.jpg", "--overwrite"), "never done")
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
    told = [line for line in err.splitlines() if not re.search("about|compiling", line)]
    assert len(told) == count, "one sentence each"
    for name in before:
        assert sum(name in line for line in told) == (name != "good.png")
    assert set(tree(tmp_path / "out")) == {"good.anon.png"}
    assert tree(folder) == before
    assert out.count("->") == 1
    code, out, _ = dippas(*[path for path in paths if "good" not in path], "-o", "out2")
    assert code == 2
    assert out == ""
    assert tree(tmp_path / "out2") == {}


def test_a_batch_that_is_killed_goes_on_with_the_same_command(dippas, tmp_path, caches):
    for number in range(4):
        save(tmp_path / "in" / f"{number}.png", number % 2)
    before = tree(tmp_path / "in")
    assert dippas("in", "-o", "whole")[0] == 0
    environment = os.environ | {"JAX_PLATFORMS": "cpu"}
    command = [sys.executable, "-m", "dippas_jax.cli", "anonymize", "in", "-o", "killed"]
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
    subprocess.run(command, check=True, capture_output=True, env=environment)
    assert tree(tmp_path / "killed").items() >= tree(tmp_path / "whole").items()
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
