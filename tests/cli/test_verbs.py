"""The command: what it finds, what it prints where, its exit codes, and what it refuses."""

import itertools
import json
import math
import os
import re
import shutil
import subprocess
import sys
import threading
import warnings
from pathlib import Path
from unittest import mock

import numpy as np
import pytest
import tifffile
from PIL import Image

import dippas_jax
from dippas_jax.cli import console, flats, outputs, verify
from dippas_jax.cli import main as cli
from dippas_jax.datasets import synthetic
from dippas_jax.forensics import attackers, identification, verification
from dippas_jax.forensics import drawn as drawn_places
from dippas_jax.io import files, fingerprint_file, photo_writer, weights
from dippas_jax.io import photo as photo_file
from dippas_jax.signal import copies, correlation, flat_field
from tests import oracles

SIZE = 128
CAMERAS = [synthetic.Camera(seed, strength=0.02) for seed in (1, 2)]


def write(path, pixels, orientation=None):
    path.parent.mkdir(parents=True, exist_ok=True)
    exif = Image.Exif()
    if orientation:
        exif[274] = orientation
    Image.fromarray(pixels).save(path, exif=exif)
    return str(path)


@pytest.fixture(scope="session")
def world(tmp_path_factory):
    """Two cameras: flats/A/*.png, scenes A0.png, A1.png, B0.png, fingerprints A.npz and B.npz."""
    folder = tmp_path_factory.mktemp("cli")
    for name, camera in zip("AB", CAMERAS, strict=True):
        for i, pixels in enumerate(synthetic.flats(camera, SIZE, SIZE, 6)):
            write(folder / "flats" / name / f"{i}.png", pixels)
        for i in range(2):
            scene = synthetic.scene(i, SIZE)
            write(folder / f"{name}{i}.png", synthetic.expose(camera, scene, i))
        photos, output = str(folder / "flats" / name), str(folder / f"{name}.npz")
        assert cli.main(["fingerprint", "build", photos, "-o", output]) == 0
    return folder


@pytest.fixture(autouse=True)
def nothing_fetched(monkeypatch, tmp_path):
    """Whatever the user of this machine has fetched."""
    monkeypatch.setattr(weights, "folder", lambda: tmp_path / "weights")


@pytest.fixture
def dippas(capsys, world, monkeypatch):
    """Runs the command in the world's folder: its exit code, stdout, stderr."""
    monkeypatch.chdir(world)

    def run(*arguments):
        code = cli.main([str(argument) for argument in arguments])
        return code, *capsys.readouterr()

    return run


def lines(text):
    return [json.loads(line) for line in text.splitlines()]


def refused(outcome, *words):
    """Exit code 2, nothing on stdout, one sentence on stderr."""
    code, out, err = outcome
    assert code == 2
    assert out == ""
    assert err.count("\n") == 1
    assert err.startswith("dippas: ")
    for word in words:
        assert str(word) in err


# -------------------------------------------------------------------------------------- fingerprint


def test_a_fingerprint_is_built_with_all_that_has_to_be_known(dippas, tmp_path):
    output = tmp_path / "K.npz"
    photos = realistic(tmp_path / "flats", 6)
    record, err = built(dippas, tmp_path / "flats", output)
    found = files.read_fingerprint_file(output)
    assert oracles.ncc(found.plane, oracles.fingerprint(photos)) > 0.9999
    assert (found.photos, found.photo, found.offset) == (6, (SIZE, SIZE), (0, 0))
    assert found.orientation == "sensor"
    assert "255" in found.unit
    halves = oracles.fingerprint(photos[::2]), oracles.fingerprint(photos[1::2])
    assert found.reliability == pytest.approx(oracles.ncc(*halves), abs=1e-3)
    assert record["reliability"] == found.reliability
    assert record["sha256"] == found.sha256
    assert 0 < record["flatness"] < 0.05
    assert record["saturation"] == 0
    assert "only 6 photos" in err


def test_photos_are_named_by_file_folder_and_pattern_and_each_counts_once(dippas, tmp_path):
    output = tmp_path / "K.npz"
    dippas("fingerprint", "build", "flats/A/*.png", "flats/A", "flats/A/0.png", "-o", output)
    np.testing.assert_array_equal(files.read_fingerprint(output), files.read_fingerprint("A.npz"))


def test_a_crop_is_the_centre_and_says_where_it_lies(dippas, tmp_path):
    output = tmp_path / "K.npz"
    assert dippas("fingerprint", "build", "flats/A", "-o", output, "--crop", 96)[0] == 0
    part = files.read_fingerprint_file(output)
    assert (part.plane.shape, part.offset, part.photo) == ((96, 96), (16, 16), (SIZE, SIZE))
    whole = files.read_fingerprint("A.npz")
    assert oracles.ncc(part.plane, whole[16:112, 16:112]) > 0.9


def test_nothing_is_overwritten_unless_asked(dippas, tmp_path):
    output = tmp_path / "K.npz"
    output.write_bytes(b"precious")
    refused(dippas("fingerprint", "build", "flats/A", "-o", output), "--overwrite", output)
    refused(dippas("fingerprint", "convert", "A.npz", output), "--overwrite", output)
    picture = tmp_path / "K.png"
    picture.write_bytes(b"precious")
    refused(dippas("fingerprint", "show", "A.npz", "-o", picture), "--overwrite", picture)
    # A picture under a fingerprint's name would replace the fingerprint itself.
    refused(dippas("fingerprint", "show", "A.npz", "-o", output, "--overwrite"), ".png", output)
    assert output.read_bytes() == picture.read_bytes() == b"precious"
    assert dippas("fingerprint", "convert", "A.npz", output, "--overwrite")[0] == 0
    assert files.read_fingerprint_file(output).photos == 6


def test_a_folder_that_may_not_be_written_to_is_refused_before_the_work(dippas, monkeypatch):
    monkeypatch.setattr(os, "access", lambda *_: False)
    refused(dippas("fingerprint", "build", "flats/A", "-o", "K.npz"), "may not write")


def mixed(folder, other, orientation=None):
    wall = next(synthetic.flats(CAMERAS[0], SIZE, SIZE, 1))
    return [write(folder / "a.jpg", wall[:, :96], 1), write(folder / "b.jpg", other, orientation)]


WALL = np.full((SIZE, SIZE, 3), 150, np.uint8)


@pytest.mark.parametrize(
    ("other", "orientation", "word"),
    [
        (WALL[:96], 1, "lie across"),
        (WALL[:, :100], 1, "differ in size"),
        (WALL[:, :96], 6, "--any-orientation"),
    ],
)
def test_photos_of_mixed_sizes_or_orientations_are_refused(
    dippas, tmp_path, other, orientation, word
):
    photos = mixed(tmp_path, other, orientation)
    output = tmp_path / "K.npz"
    refused(dippas("fingerprint", "build", *photos, "-o", output), *photos, word)
    assert not output.exists()


def test_mixed_orientations_can_be_accepted(dippas, tmp_path):
    write(tmp_path / "a.jpg", np.asarray(Image.open("flats/A/0.png")), 1)
    write(tmp_path / "b.jpg", np.asarray(Image.open("flats/A/1.png")), 6)
    output = tmp_path / "K.npz"
    assert dippas("fingerprint", "build", tmp_path, "-o", output, "--any-orientation")[0] == 0


@pytest.mark.parametrize("tag", [1, 3, 6, 8])
def test_photos_that_all_lie_as_the_sensor_does_need_no_flag(dippas, tmp_path, tag):
    """As a phone stores them: wider than high, however it was held."""
    for i, turn in enumerate((1, tag)):
        pixels = np.asarray(Image.open(f"flats/A/{i}.png"))[:96]
        write(tmp_path / f"{i}.png", pixels, turn)
    output = tmp_path / "K.npz"
    assert dippas("fingerprint", "build", tmp_path, "-o", output)[0] == 0
    planes = [files.read_fingerprint(output)]
    command = ("fingerprint", "build", tmp_path, "-o", output, "--overwrite", "--any-orientation")
    assert dippas(*command)[0] == 0
    planes.append(files.read_fingerprint(output))
    np.testing.assert_array_equal(*planes)
    write(tmp_path / "2.png", np.asarray(Image.open("flats/A/2.png"))[:96], 2)  # mirrored
    code, _, err = dippas("fingerprint", "build", tmp_path, "-o", output, "--overwrite")
    assert (code, "--any-orientation" in err) == (console.FAILED, True)
    np.testing.assert_array_equal(files.read_fingerprint(output), planes[0])


def test_a_photo_that_fails_does_not_stop_the_others(dippas, tmp_path):
    broken = tmp_path / "broken.png"
    broken.write_bytes(Path("flats/A/5.png").read_bytes()[:-3000])
    output = tmp_path / "K.npz"
    code, out, err = dippas(
        "fingerprint", "build", "absent.png", broken, "flats/A", "-o", output, "--json"
    )
    assert code == 1
    failed = lines(out)[0]["failed"]
    assert [one["photo"] for one in failed] == ["absent.png", str(broken)]
    assert "No such file" in failed[0]["reason"]
    assert "truncated" in failed[1]["reason"]
    assert "photo absent.png cannot be read (No such file" in err
    assert files.read_fingerprint_file(output).photos == 6


def test_where_no_photo_can_be_decoded_each_is_named_and_nothing_is_written(dippas, tmp_path):
    photos = [tmp_path / "0.png", tmp_path / "1.png"]
    for path in photos:
        path.write_bytes(Path("flats/A/5.png").read_bytes()[:-3000])
    output = tmp_path / "K.npz"
    code, out, err = dippas("fingerprint", "build", *photos, "-o", output)
    assert (code, out) == (2, "")
    assert [str(path) in line for path, line in zip(photos, err.splitlines(), strict=True)] == [
        True, True
    ]  # fmt: skip
    assert err.count("truncated") == 2
    assert not output.exists()


def test_one_photo_of_another_size_is_left_out_and_named(dippas, tmp_path):
    odd = write(tmp_path / "odd.png", WALL[:, :100])
    output = tmp_path / "K.npz"
    code, _, err = dippas("fingerprint", "build", odd, "flats/A", "-o", output)
    assert code == 1
    assert f"photos {odd} of 100x128 and flats/A/0.png of 128x128 differ in size" in err
    np.testing.assert_array_equal(files.read_fingerprint(output), files.read_fingerprint("A.npz"))


def realistic(folder, number):
    """Flats of a camera whose fingerprint is as weak as that of a real one."""
    shots = list(synthetic.flats(synthetic.Camera(5), SIZE, SIZE, number))
    for i, pixels in enumerate(shots):
        write(folder / f"{i}.png", pixels)
    return shots


def built(dippas, folder, output):
    code, out, err = dippas("fingerprint", "build", folder, "-o", output, "--json")
    assert code == 0
    return lines(out)[0], err


def test_copies_saved_again_do_not_make_a_fingerprint_look_reliable(dippas, tmp_path):
    shots = realistic(tmp_path / "flats", 3)
    honest, err = built(dippas, tmp_path / "flats", tmp_path / "K.npz")
    assert "of their noise" not in err
    assert 0 < honest["reliability"] < 0.2
    for quality in (98, 95):
        Image.fromarray(shots[0]).save(tmp_path / f"flats/{quality}.jpg", quality=quality)
    record, err = built(dippas, tmp_path / "flats", tmp_path / "L.npz")
    assert record["reliability"] is None
    assert f"{tmp_path}/flats/0.png and {tmp_path}/flats/98.jpg share" in err
    assert "no reliability is told" in err
    assert math.isnan(files.read_fingerprint_file(tmp_path / "L.npz").reliability)


def test_two_photos_that_are_alike_tell_no_reliability(dippas, tmp_path):
    shots = realistic(tmp_path / "flats", 1)
    Image.fromarray(shots[0]).save(tmp_path / "flats/95.jpg", quality=95)
    record, err = built(dippas, tmp_path / "flats", tmp_path / "K.npz")
    assert record["reliability"] is None
    assert "share" in err


def test_fingerprints_are_added_up(dippas):
    options = ("--fingerprints", "A.npz", "--fingerprints", "B.npz")
    (record,) = lines(dippas("identify", "A0.png", *options, "--json")[1])
    assert [one["fingerprint"] for one in record["results"]] == ["A.npz", "B.npz"]


def test_a_copy_of_other_brightness_is_left_out(dippas, tmp_path):
    shots = realistic(tmp_path / "flats", 3)
    honest, _ = built(dippas, tmp_path / "flats", tmp_path / "K.npz")
    write(tmp_path / "flats/9.png", np.clip(shots[1] * 1.1 + 3, 0, 255).astype(np.uint8))
    record, err = built(dippas, tmp_path / "flats", tmp_path / "L.npz")
    assert f"flats/9.png shows the very noise of another, {tmp_path}/flats/1.png" in err
    assert (record["photos"], record["sha256"]) == (3, honest["sha256"])


def test_strong_fingerprints_are_no_copies(dippas, tmp_path):
    record, err = built(dippas, "flats/A", tmp_path / "K.npz")
    assert "two photos of a camera hardly a tenth" in err  # they are stronger than a sensor's
    assert (record["photos"], record["reliability"]) == (6, None)  # nothing tells which it is


def test_one_photo_with_new_noise_each_time_is_not_called_reliable(dippas, tmp_path):
    (shot,) = realistic(tmp_path / "one", 1)
    rng = np.random.default_rng(5)
    for i in range(4):
        noisy = np.clip(shot + rng.normal(0, 1, shot.shape), 0, 255)
        write(tmp_path / f"flats/{i}.png", np.uint8(np.rint(noisy)))
    record, err = built(dippas, tmp_path / "flats", tmp_path / "K.npz")
    assert record["reliability"] is None
    assert "share" in err


def test_the_noise_looked_for_is_that_asked_for(dippas, tmp_path):
    output = tmp_path / "K.npz"
    assert dippas("fingerprint", "build", "flats/A", "-o", output, "--sigma", 5)[0] == 0
    photos = [np.asarray(Image.open(path)) for path in sorted(Path("flats/A").iterdir())]
    found = files.read_fingerprint_file(output)
    assert found.sigma == 5
    assert oracles.ncc(found.plane, oracles.fingerprint(photos, sigma=5)) > 0.9999
    assert oracles.ncc(found.plane, oracles.fingerprint(photos, sigma=3)) < 0.999


def test_photos_without_any_noise_are_refused(dippas, tmp_path):
    photos = [write(tmp_path / f"{i}.png", WALL + np.uint8(i)) for i in range(2)]
    code, out, err = dippas("fingerprint", "build", *photos, "-o", tmp_path / "K.npz")
    assert (code, out, err.count("has no noise")) == (2, "", 2)
    realistic(tmp_path / "good", 2)
    code, out, err = dippas(
        "fingerprint", "build", photos[0], tmp_path / "good", "-o", tmp_path / "K.npz", "--json"
    )
    assert (code, lines(out)[0]["photos"], err.count("has no noise")) == (1, 2, 1)
    _, out, err = dippas("identify", photos[0], "--fingerprints", tmp_path / "K.npz")
    assert "0.png has no noise to compare" in err


def test_photos_that_share_no_fingerprint_are_told_by_their_halves(dippas, tmp_path):
    rng = np.random.default_rng(1)
    for i in range(6):
        noisy = np.clip(WALL + rng.normal(0, 2, WALL.shape), 0, 255)
        write(tmp_path / f"none/{i}.png", noisy.astype(np.uint8))
    assert "do not agree" in built(dippas, tmp_path / "none", tmp_path / "K.npz")[1]
    realistic(tmp_path / "one", 6)
    assert "do not agree" not in built(dippas, tmp_path / "one", tmp_path / "L.npz")[1]


def test_a_picture_is_no_fingerprint_file(dippas, tmp_path):
    data = Path(write(tmp_path / "K.png", WALL)).read_bytes()
    (tmp_path / "K.npy").write_bytes(data)
    outcome = dippas("identify", "A0.png", "--fingerprints", tmp_path / "K.npy")
    refused(outcome, "K.npy is a PNG picture, which cannot hold one")


def test_a_fingerprint_built_as_a_bare_plane_is_said_to_lose_its_origin(dippas, tmp_path):
    _, _, err = dippas("fingerprint", "build", "flats/A", "-o", tmp_path / "K.npy")
    assert "plane alone" in err


def test_photos_of_a_scene_and_burnt_out_ones_are_noticed(dippas, tmp_path):
    _, _, err = dippas("fingerprint", "build", "A0.png", "A1.png", "-o", tmp_path / "K.npz")
    assert "do not look flat" in err
    burnt = WALL.copy()
    burnt[:40] = 255
    burnt[50:, ::7] = 160
    write(tmp_path / "burnt.png", burnt)
    _, _, err = dippas("fingerprint", "build", tmp_path / "burnt.png", "-o", tmp_path / "L.npz")
    assert "saturated" in err


def test_show_prints_what_the_file_says_and_draws_it(dippas, tmp_path):
    picture = tmp_path / "K.png"
    code, out, _ = dippas("fingerprint", "show", "A.npz", "-o", picture)
    assert code == 0
    for word in ("128x128", "I = I0 (1 + K/255)", "sensor", "reliability  unknown"):
        assert word in out
    told = files.read_fingerprint_file("A.npz")._replace(reliability=0.5)
    files.write_fingerprint_file(tmp_path / "told.npz", told)
    out = dippas("fingerprint", "show", tmp_path / "told.npz")[1]
    assert "0.500 between halves of the photos (0.667 for all of them, Spearman-Brown)" in out
    with Image.open(picture) as image:
        assert min(image.size) > SIZE
    (record,) = lines(dippas("fingerprint", "show", "A.npz", "--json")[1])
    assert record["photo"] == [SIZE, SIZE]
    np.save(tmp_path / "bare.npy", files.read_fingerprint("A.npz"))
    code, out, _ = dippas("fingerprint", "show", tmp_path / "bare.npy")
    assert "unknown" in out


def test_convert_goes_both_ways_and_prints_the_unit(dippas, tmp_path):
    names = ["A.npz", *(tmp_path / f"K.{kind}" for kind in ("mat", "h5", "npz"))]
    for source, target in itertools.pairwise(names):
        code, out, err = dippas("fingerprint", "convert", source, target)
        assert (code, err) == (0, "")
        assert "I = I0 (1 + K/255)" in out
    first, last = (files.read_fingerprint_file(path) for path in (names[0], names[-1]))
    np.testing.assert_array_equal(first.plane, last.plane)
    assert repr(first[1:]) == repr(last[1:])  # one is nan
    _, _, err = dippas("fingerprint", "convert", "A.npz", tmp_path / "K.npy")
    assert "plane alone" in err
    _, out, _ = dippas("fingerprint", "convert", tmp_path / "K.npy", tmp_path / "L.npz", "--json")
    assert lines(out) == [{"fingerprint": str(tmp_path / "L.npz"), "unit": ""}]


# ---------------------------------------------------------------------------------------- identify


def test_photos_are_attributed_to_their_cameras_best_first(dippas):
    code, out, _ = dippas(
        "identify", "A0.png", "B1.png", "--fingerprints", "A.npz", "B.npz", "--json"
    )
    assert code == 3
    records = lines(out)
    assert [record["photo"] for record in records] == ["A0.png", "B1.png"]
    for record, own in zip(records, ["A.npz", "B.npz"], strict=True):
        best, other = record["results"]
        assert best["fingerprint"] == own
        scores = {"ncc", "z", "spread", "pce", "p_value", "p_turned"}
        assert (
            set(best) == {"fingerprint", "match", "drawn", "rest", "rest_spread", "pixels"} | scores
        )
        assert best["pixels"] == f"{SIZE}x{SIZE}"
        assert (best["match"], other["match"]) == (True, False)
        for one in (best, other):
            assert one["p_value"] == pytest.approx(
                correlation.p_value(one["z"] / one["spread"]).item(), rel=1e-4
            )
            assert one["p_turned"] == pytest.approx(1 - one["p_value"], rel=1e-4)
        assert best["p_value"] < 1e-6 < other["p_value"]
        pixels = np.asarray(Image.open(record["photo"]))
        pattern = oracles.pattern(pixels, files.read_fingerprint(own))
        assert best["ncc"] == pytest.approx(
            oracles.ncc(oracles.residual(pixels), pattern), abs=2e-4
        )


def turned(pixels):
    """Straightened, with black corners."""
    return np.asarray(Image.fromarray(pixels).rotate(8, Image.Resampling.BICUBIC))


def test_what_is_drawn_into_photos_is_no_camera(dippas, tmp_path):
    """Flats of A and a photo of B that were turned alike; two photos of two cameras."""
    side = 2 * SIZE
    cameras = [synthetic.Camera(seed, strength=0.005) for seed in (1, 2)]
    for number, pixels in enumerate(synthetic.flats(cameras[0], side, side, 6)):
        write(tmp_path / "wall" / f"{number}.png", turned(pixels))
    for name, camera in zip("AB", cameras, strict=True):
        pixels = synthetic.expose(camera, synthetic.scene(2 + "AB".index(name), side), 7)
        write(tmp_path / f"{name}.png", turned(pixels))
    drawn = tmp_path / "drawn.npz"
    code, out, err = dippas("fingerprint", "build", tmp_path / "wall", "-o", drawn)
    assert code == 0
    assert "the photos share something drawn, such as a date" in err
    assert "reliability  unknown" in out
    code, out, _ = dippas("identify", tmp_path / "B.png", "--fingerprints", drawn, "--json")
    assert (code, lines(out)[0]["results"][0]["match"]) == (0, False)
    code, out, err = dippas("link", tmp_path / "A.png", tmp_path / "B.png", "--json")
    (pair,) = lines(out)
    assert (code, pair["match"]) == (0, False)
    assert pair["p_value"] < 1e-6
    assert f"{100 * pair['drawn']:.0f} % of what agrees" in err


@pytest.mark.parametrize(
    ("drawn", "match", "words"),
    [
        ((0.05, 29.0, 1.0), True, ""),
        ((0.43, 29.0, 1.5), False, "may be more of that, or one camera"),
        ((0.43, -29.0, 1.5), False, "may be more of that, or one camera"),
        ((0.90, 11.0, 1.0), False, "may be more of that, or one camera"),
        ((0.90, 3.0, 1.0), False, "which is no match of cameras"),
        ((1.00, math.nan, math.nan), False, "nothing else is left"),
    ],
)
@pytest.mark.parametrize("spread", [1.5, 26.0])
def test_what_is_drawn_clears_nobody(capsys, drawn, match, words, spread):
    """Who covers a date may find the camera all the same, even where lines make z uneven."""
    p_value = float(correlation.p_value(85.6 / spread))
    found = {"z": 85.6, "spread": spread, "p_value": p_value, "p_turned": 1.0}
    if match and p_value >= 1e-6:
        match, words = False, "z is too uneven for a match (its spread is 26.0)"
    found |= console.judged(found, lambda: drawn_places.Drawn(*drawn), 1e-6)
    assert found["match"] == match
    assert (found["drawn"], str(found["rest"])) == (drawn[0], str(drawn[1]))
    console.tell_of_match("A and B", found, 1e-6)
    assert words in capsys.readouterr().err


@pytest.mark.parametrize(
    ("z", "spread", "positions", "asked"),
    [
        (9.0, 2.5, 1, True),
        (-9.0, 2.5, 1, True),
        (4.0, 2.5, 1, False),
        (7.0, 1.9, 1, False),
        (5.5, 2.5, 1, True),
        (5.5, 2.5, 10**6, False),
    ],
)
def test_lines_are_looked_for_where_they_may_hide_a_camera(z, spread, positions, asked):
    """A spread that no noise has is theirs; of many positions the best is large by chance."""
    found = {"z": z, "spread": spread, "p_value": 0.5, "p_turned": 0.5}
    rest = drawn_places.Drawn(0.4, 8.0, 1.0)
    told = console.judged(found, lambda: rest, 1e-6, positions=positions)
    assert (told["match"], told["rest"] == 8.0) == (False, asked)


def test_what_is_left_of_many_positions_is_judged_as_the_best_of_them(capsys):
    found = {"drawn": 0.9, "z": 30.0, "rest": 5.5, "rest_spread": 1.0, "match": False}
    for positions, words in ((1, "or one camera"), (10**6, "no match of cameras")):
        console.tell_of_match("A and B", found, 1e-6, positions=positions)
        assert words in capsys.readouterr().err


def test_one_photo_that_lies_otherwise_does_not_stop_the_others(dippas, tmp_path):
    """Square ones, of which a tag alone tells how they lie."""
    for number, pixels in enumerate(synthetic.flats(CAMERAS[0], SIZE, SIZE, 4)):
        write(tmp_path / "wall" / f"{number}.png", pixels, 6 if number == 2 else 1)
    output = tmp_path / "K.npz"
    code, out, err = dippas("fingerprint", "build", tmp_path / "wall", "-o", output)
    assert code == console.FAILED
    assert "photos       3" in out
    assert "2.png have the EXIF orientations 1 and 6" in err
    write(tmp_path / "wall" / "3.png", pixels, 6)
    code, _, err = dippas("fingerprint", "build", tmp_path / "wall", "-o", output, "--overwrite")
    assert (code, "have the EXIF orientations 1 and 6" in err) == (2, True), "which are right?"


def test_a_fingerprint_with_its_sign_turned_is_a_match(dippas, tmp_path):
    """As in a photo from which too much of it was taken out."""
    plane = files.read_fingerprint("A.npz")
    np.save(tmp_path / "turned.npy", -plane)
    code, out, err = dippas("identify", "A0.png", "--fingerprints", tmp_path / "turned.npy")
    assert code == 3
    assert out.splitlines()[-1].endswith("match")
    assert "its sign turned" in err
    write(tmp_path / "part.png", np.asarray(Image.open("A0.png"))[16:112, 8:104])
    arguments = ("identify", tmp_path / "part.png", "--fingerprints", tmp_path / "turned.npy")
    code, out, err = dippas(*arguments, "--shifts")
    assert (code, "16, 8" in out, "its sign turned" in err) == (3, True, True)


def test_many_comparisons_are_said_to_give_matches_by_chance(dippas, tmp_path):
    arguments = ("identify", "A0.png", "B0.png", "--fingerprints", "A.npz", "B.npz")
    assert "by chance" not in dippas(*arguments)[2]
    code, _, err = dippas(*arguments, "--threshold", "0.003")
    assert code == 3
    assert "of 4 comparisons about 0.024 are a match by chance alone" in err
    assert "--threshold 1e-03 makes that less than 0.01" in err
    expected = "of 1 comparison about 0.02 are a match by chance"
    assert expected in dippas("link", "A0.png", "A1.png", "--threshold", "0.01")[2]
    assert "a probability of 1;" in dippas("link", "A0.png", "A1.png", "--threshold", "0.9")[2]


def test_a_search_in_part_of_a_photo_is_said_to_be_one(dippas):
    err = dippas("identify", "B0.png", "--fingerprints", "A.npz", "--shifts", "--crop", 96)[2]
    assert "compared in part, as the column of pixels tells" in err


def test_the_table_ranks_the_cameras_and_marks_the_match(dippas):
    code, out, err = dippas("identify", "A0.png", "--fingerprints", "B.npz", "A.npz")
    title, header, first, second = out.splitlines()
    assert code == 3
    assert (title, err) == ("A0.png  128x128", "")
    assert header.split() == ["fingerprint", "NCC", "z", "PCE", "p-value", "pixels"]
    assert first.split()[0] == "A.npz"
    assert first.endswith("match")
    assert second.split()[0] == "B.npz"
    assert not second.endswith("match")


def test_without_a_match_the_exit_code_is_0_and_the_threshold_decides(dippas):
    assert dippas("identify", "A0.png", "--fingerprints", "B.npz")[0] == 0
    (record,) = lines(dippas("identify", "A0.png", "--fingerprints", "B.npz", "--json")[1])
    p = record["results"][0]["p_value"]
    for threshold, code in ((min(p * 1.01, 1), 3), (p * 0.99, 0)):
        assert dippas(
            "identify", "A0.png", "--fingerprints", "B.npz", "--threshold", threshold
        )[0] == code  # fmt: skip


def test_a_photo_that_fails_wins_over_a_match(dippas):
    code, out, err = dippas("identify", "absent.png", "A0.png", "--fingerprints", "A.npz", "--json")
    assert code == 1
    missing, done = lines(out)
    assert missing["photo"] == "absent.png"
    assert "No such file" in missing["failed"]
    assert done["photo"] == "A0.png"
    assert "absent.png" in err


@pytest.mark.parametrize(
    "command", ["identify A0.png --fingerprints {}", "verify A0.png A0.png --fingerprint {}"]
)
def test_a_fingerprint_of_no_use_does_not_stop_the_others(dippas, tmp_path, command):
    bad = tmp_path / "bad.npy"
    np.save(bad, np.full((SIZE, SIZE), np.nan))
    both = f"{bad} A.npz" if command.startswith("identify") else f"{bad} --fingerprint A.npz"
    code, out, err = dippas(*command.format(both).split(), "--json")
    failed, done = lines(out)
    assert code == 1
    assert failed["fingerprint"] == str(bad)
    assert "nan or infinite" in failed["failed"]
    assert done == lines(dippas(*command.format("A.npz").split(), "--json")[1])[0]
    assert str(bad) in err
    refused(dippas(*command.format(bad).split()), "nan or infinite", bad)


def test_the_channel_of_a_photo_matches_no_photo(dippas, tmp_path):
    np.save(tmp_path / "green.npy", np.asarray(Image.open("A0.png"))[..., 1])
    refused(dippas("identify", "A0.png", "--fingerprints", tmp_path / "green.npy"), "picture")


def test_what_was_changed_in_a_fingerprint_is_said(dippas, tmp_path):
    plane = files.read_fingerprint("A.npz").copy()
    plane[5, 5] = 1e6
    np.save(tmp_path / "K.npy", plane)
    code, _, err = dippas("identify", "A0.png", "--fingerprints", tmp_path / "K.npy")
    assert code == 3
    assert "had 1 value so large" in err
    assert "set to 0" in err


@pytest.mark.slow
def test_the_centre_is_compared_where_the_fingerprint_covers_it(dippas, tmp_path):
    plane = files.read_fingerprint("A.npz")
    pixels = np.asarray(Image.open("A0.png"))
    part = fingerprint_file.new(plane[20:116, 30:126], photo=(SIZE, SIZE), offset=(20, 30))
    files.write_fingerprint_file(tmp_path / "part.npz", part._replace(orientation="sensor"))
    for options, rows, columns in (
        (["--full"], slice(20, 116), slice(30, 126)),
        (["--crop", 64], slice(36, 100), slice(46, 110)),
    ):
        _, out, _ = dippas(
            "identify", "A0.png", "--fingerprints", tmp_path / "part.npz", "--json", *options
        )
        expected = identification.compare(pixels[rows, columns], plane[None, rows, columns])
        assert lines(out)[0]["results"][0]["ncc"] == pytest.approx(expected.ncc.item(), rel=1e-4)


def test_a_bare_plane_is_taken_for_the_centre_where_no_more_is_asked_for(dippas, tmp_path):
    np.save(tmp_path / "K.npy", files.read_fingerprint("A.npz")[16:112, 16:112])
    arguments = ["identify", "A0.png", "--fingerprints", tmp_path / "K.npy"]
    assert dippas(*arguments, "--crop", 96)[0] == 3
    for options in (["--full"], []):
        refused(dippas(*arguments, *options), "A0.png of 128x128", "photos of 96x96", "--crop 96")


@pytest.mark.slow
def test_crops_go_with_a_fingerprint_built_with_the_same_crop(dippas, tmp_path):
    output, photo = tmp_path / "K.npz", tmp_path / "crop.png"
    dippas("fingerprint", "build", "flats/A", "-o", output, "--crop", 96)
    pixels = np.asarray(Image.open("A0.png"))[16:112, 16:112]
    write(photo, pixels)
    code, out, err = dippas("identify", photo, "--fingerprints", output, "A.npz", "--json")
    (result,) = lines(out)[0]["results"]
    expected = identification.compare(pixels, files.read_fingerprint(output)[None])
    assert code == 3
    assert result["ncc"] == pytest.approx(expected.ncc.item(), rel=1e-4)
    assert "96x96 of photos of 128x128" in err
    code, out, err = dippas("verify", photo, photo, "--fingerprint", output, "--json")
    assert code == 3
    assert lines(out)[0]["attacks"][0]["before"] == pytest.approx(expected.z.item(), rel=1e-4)


def test_more_pixels_are_offered_only_where_there_are_more(dippas, tmp_path):
    arguments = ["identify", "A0.png", "--fingerprints"]
    assert "--full tells more" in dippas(*arguments, "B.npz", "--crop", 96)[2]
    assert dippas(*arguments, "B.npz")[2] == ""
    part = fingerprint_file.new(
        files.read_fingerprint("B.npz")[:96], photo=(SIZE, SIZE), orientation="sensor"
    )
    files.write_fingerprint_file(tmp_path / "part.npz", part)
    assert "a fingerprint of the whole sensor" in dippas(*arguments, tmp_path / "part.npz")[2]


def test_a_fingerprint_whose_mean_is_not_zero_is_noticed(dippas, tmp_path):
    np.save(tmp_path / "K.npy", 1 + files.read_fingerprint("A.npz") / 255)
    _, _, err = dippas("identify", "A0.png", "--fingerprints", tmp_path / "K.npy", "A.npz")
    assert err.count("dippas: ") == 1  # of one fingerprint
    assert "had a mean of 1 " in err
    out = dippas("identify", "A0.png", "--fingerprints", tmp_path / "K.npy", "--json")[1]
    without = dippas("identify", "A0.png", "--fingerprints", "A.npz", "--json")[1]
    one, other = (json.loads(text)["results"][0] for text in (out, without))
    assert one["z"] == pytest.approx(other["z"], rel=1e-2)


def test_a_picture_that_is_no_fingerprint_matches_no_camera(dippas, tmp_path):
    """Random values of 8 bits: z, PCE and p are those of the same values without their mean."""
    noise = np.random.default_rng(0).integers(0, 256, (SIZE, SIZE)).astype(np.uint8)
    np.save(tmp_path / "u8.npy", noise)
    code, out, _ = dippas("identify", "A0.png", "--fingerprints", tmp_path / "u8.npy", "--json")
    (found,) = json.loads(out)["results"]
    assert code == 0
    assert abs(found["z"]) < 4
    assert found["p_value"] > 1e-4


@pytest.mark.parametrize(
    ("change", "word"),
    [
        (lambda k: k * 1e36, "no unit of a fingerprint"),
        (lambda k: k * 1e-30, "no unit of a fingerprint"),
        (lambda k: 1000 + 1e-3 * k / k.std(), "nearly constant"),
    ],
)
def test_a_fingerprint_of_no_possible_scale_is_refused(dippas, tmp_path, change, word):
    np.save(tmp_path / "K.npy", change(np.float64(files.read_fingerprint("A.npz"))))
    refused(dippas("identify", "A0.png", "--fingerprints", tmp_path / "K.npy"), "K.npy", word)


def test_copies_of_a_flat_photo_count_once(dippas, tmp_path):
    folder = tmp_path / "flats"
    shutil.copytree("flats/A", folder)
    assert dippas("fingerprint", "build", folder, "-o", tmp_path / "one.npz")[0] == 0
    first = sorted(folder.iterdir())[0]
    for n in range(3):
        shutil.copy(first, folder / f"{first.stem} ({n}){first.suffix}")
    code, _, err = dippas("fingerprint", "build", folder, "-o", tmp_path / "two.npz", "--json")
    assert code == 0
    assert "3 photos of" in err
    assert "were left out: a copy tells nothing new" in err
    one, two = (files.read_fingerprint_file(tmp_path / name) for name in ("one.npz", "two.npz"))
    assert two.photos == one.photos
    np.testing.assert_array_equal(one.plane, two.plane)


def test_a_crop_is_found_where_it_was_cut(dippas, tmp_path):
    pixels = np.asarray(Image.open("A0.png"))[30:126, 25:121]
    photo = write(tmp_path / "crop.png", pixels)
    refused(dippas("identify", photo, "--fingerprints", "A.npz"), photo, "--shifts")
    code, out, _ = dippas("identify", photo, "--fingerprints", "A.npz", "--shifts", "--json")
    (result,) = lines(out)[0]["results"]
    assert code == 3
    assert result["shift"] == [30, 25]
    _, out, _ = dippas("identify", "A0.png", "--fingerprints", "A.npz", "--shifts", "--crop", 96)
    assert "at row, column" in out
    assert "0, 0" in out.splitlines()[2]


def test_a_camera_of_another_size_is_passed_over(dippas, tmp_path):
    other = np.random.default_rng(0).normal(size=(96, SIZE)).astype(np.float32)
    known = fingerprint_file.new(other, orientation="sensor")
    files.write_fingerprint_file(tmp_path / "other.npz", known)
    code, out, err = dippas(
        "identify", "A0.png", "--fingerprints", tmp_path / "other.npz", "A.npz", "--json"
    )
    assert code == 3
    assert [result["fingerprint"] for result in lines(out)[0]["results"]] == ["A.npz"]
    assert "other.npz" in err


def test_a_turned_photo_is_named_as_such(dippas, tmp_path):
    photo = write(tmp_path / "turned.png", np.rot90(np.asarray(Image.open("A0.png"))[:96]))
    plane = files.read_fingerprint("A.npz")[:96]
    files.write_fingerprint_file(tmp_path / "K.npz", fingerprint_file.new(plane))
    refused(dippas("identify", photo, "--fingerprints", tmp_path / "K.npz"), "turn the photo back")
    part = fingerprint_file.new(plane[:64, :64], photo=(SIZE, SIZE), orientation="sensor")
    files.write_fingerprint_file(tmp_path / "part.npz", part)  # a square is never turned
    arguments = ["identify", "A0.png", "--fingerprints", tmp_path / "part.npz", "--shifts"]
    refused(dippas(*arguments), "64x64 of photos of 128x128", "whole sensor")


def test_a_flat_photo_has_no_scores_and_json_stays_json(dippas, tmp_path):
    photo = write(tmp_path / "flat.png", WALL)
    code, out, _ = dippas("identify", photo, "--fingerprints", "A.npz", "--json")
    assert code == 0
    assert lines(out)[0]["results"][0]["ncc"] is None
    assert "nan" in dippas("identify", photo, "--fingerprints", "A.npz")[1]


# ------------------------------------------------------------------- photos that anonymize writes

WRITTEN = ["tif", "heic"]


def written(source, path):
    """The photo again, in 16 bits where the format has them, as `anonymize` writes it."""
    if path.suffix == ".heic":
        pytest.importorskip("pillow_heif", reason="the extra heic is not installed")
    photo = photo_file.read(source)
    pixels = photo.pixels.astype(np.uint16) * 257
    kind = "heic" if path.suffix == ".heic" else "tiff"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(photo_writer.encode(photo._replace(pixels=pixels), pixels, kind=kind))
    return path


def shown(path):
    """Its pixels, by another reader."""
    if path.suffix == ".heic":
        import pillow_heif

        return np.asarray(pillow_heif.open_heif(path).to_pillow())
    pixels = tifffile.imread(path)
    assert pixels.dtype == np.uint16
    return np.rint(pixels / 257).astype(np.uint8)


@pytest.mark.parametrize("kind", WRITTEN)
def test_a_photo_that_anonymize_writes_can_be_identified(dippas, tmp_path, kind):
    path = written("A0.png", tmp_path / f"A0.{kind}")
    code, out, err = dippas("identify", path, "--fingerprints", "A.npz", "B.npz", "--json")
    assert (code, err) == (3, "")
    expected = identification.compare(shown(path), files.read_fingerprint("A.npz")[None])
    best = lines(out)[0]["results"][0]
    assert best["fingerprint"] == "A.npz"
    assert best["ncc"] == pytest.approx(expected.ncc.item(), rel=1e-4)


@pytest.mark.parametrize("kind", WRITTEN)
def test_photos_that_anonymize_writes_can_be_linked(dippas, tmp_path, kind):
    paths = [written(f"A{i}.png", tmp_path / f"A{i}.{kind}") for i in range(2)]
    code, out, err = dippas("link", tmp_path, "--json")
    assert (code, err) == (3, "")
    expected = identification.link(*map(shown, paths))
    (record,) = lines(out)
    assert record["photos"] == [str(path) for path in paths]
    assert record["ncc"] == pytest.approx(expected.ncc.item(), rel=1e-4)


@pytest.mark.parametrize("kind", WRITTEN)
def test_a_fingerprint_can_be_built_from_photos_that_anonymize_writes(dippas, tmp_path, kind):
    paths = [written(f"flats/A/{i}.png", tmp_path / "flats" / f"{i}.{kind}") for i in range(6)]
    output = tmp_path / "K.npz"
    assert dippas("fingerprint", "build", tmp_path / "flats", "-o", output)[0] == 0
    found = files.read_fingerprint_file(output)
    assert (found.photos, found.photo) == (6, (SIZE, SIZE))
    assert oracles.ncc(found.plane, oracles.fingerprint([shown(path) for path in paths])) > 0.9999


def test_a_photo_with_transparent_pixels_is_refused(dippas, tmp_path):
    pixels = np.asarray(Image.open("A0.png"))
    alpha = np.where(pixels[..., :1] < 90, 0, 255).astype(np.uint8)
    photo = write(tmp_path / "clear.png", np.concatenate([pixels, alpha], axis=2))
    refused(dippas("identify", photo, "--fingerprints", "A.npz"), photo, "transparent pixels")


# -------------------------------------------------------------------------------------------- link


@pytest.mark.slow
def test_a_photo_is_verified_before_and_after_with_every_attacker_at_hand(dippas, tmp_path):
    clean = synthetic.expose(synthetic.Camera(9, strength=0.0), synthetic.scene(0, SIZE), 0)
    write(tmp_path / "clean.png", clean)
    code, out, err = dippas(
        "verify", "A0.png", tmp_path / "clean.png", "A0.png",
        "--fingerprint", "A.npz", "--fingerprint", "B.npz", "--json",
    )  # fmt: skip
    reduced, unchanged = lines(out)
    assert code == 3
    assert "dippas fetch learned" in err
    before = np.asarray(Image.open("A0.png"))
    assert reduced["psnr"] == pytest.approx(oracles.psnr(before, clean), abs=1e-3)
    assert {one["attacker"] for one in reduced["attacks"]} >= {"wavelet", "edges", "jpeg-75"}
    assert {one["fingerprint"] for one in reduced["attacks"]} == {"A.npz", "B.npz"}
    (wavelet,) = (
        one
        for one in reduced["attacks"]
        if (one["attacker"], one["fingerprint"]) == ("wavelet", "A.npz")
    )
    for photo, key in ((before, "before"), (clean, "after")):
        pattern = oracles.pattern(photo, files.read_fingerprint("A.npz"))
        z = oracles.ncc(oracles.residual(photo), pattern) * SIZE
        assert wavelet[key] == pytest.approx(z, abs=0.05)
    assert wavelet["before"] > 5 > 3 > wavelet["after"]
    assert not wavelet["found"]
    assert unchanged["verdict"].startswith("The camera is still found by wavelet")
    assert "link" in unchanged["untested"]
    assert "two-sided" not in unchanged["untested"]
    scores = [one for one in unchanged["attacks"] if attackers.ATTACKERS[one["attacker"]].is_z]
    largest = max(scores, key=lambda one: abs(one["after"]))
    expected = largest["after"], largest["attacker"], largest["part"]
    assert tuple(unchanged[k] for k in ("worst", "worst_attacker", "worst_part")) == expected
    count = sum(attackers.ATTACKERS[one["attacker"]].figures for one in scores)
    assert unchanged["figures"] == count
    assert len(unchanged["attacks"]) == len(scores) + 8, "two fingerprints, four that are no z"
    assert 0 <= unchanged["p_value"] < 1e-6
    assert 2 < unchanged["chance_worst"] < 3


@pytest.mark.slow
def test_a_verified_photo_gets_a_table_and_a_sentence(dippas, tmp_path):
    clean = synthetic.expose(synthetic.Camera(9, strength=0.0), synthetic.scene(0, SIZE), 0)
    write(tmp_path / "clean.png", clean)
    code, out, _ = dippas("verify", "A0.png", tmp_path / "clean.png", "--fingerprint", "A.npz")
    assert code == 0
    assert "PSNR" in out
    assert out.splitlines()[-1].startswith("The fingerprint is reduced")
    assert "guarantee" not in out
    arguments = ["A0.png", tmp_path / "clean.png", "--fingerprint", "A.npz"]
    assert "compared in part" in dippas("verify", *arguments, "--crop", 96)[2]


def test_an_attacker_that_cannot_be_asked_has_a_dash_in_the_table():
    row = {"fingerprint": "A.npz", "attacker": "places", "part": "", "found": False}
    rows = [row | {"before": math.nan, "after": math.nan}, row | {"before": 7.25, "after": -0.04}]
    record = {"anonymised": "b.png", "psnr": 40.0, "ssim": 0.9, "verdict": "Done."}
    lines = verify._table(record | {"attacks": rows}).splitlines()
    assert lines[2].split()[:5] == ["places", "A.npz", "-", "-", "moved,"]
    assert lines[3].split()[:5] == ["places", "A.npz", "+7.2", "-0.0", "moved,"]
    assert len({line.index("moved") for line in lines[2:4]}) == 1


def test_a_version_of_another_size_or_a_foreign_fingerprint_cannot_be_verified(dippas, tmp_path):
    write(tmp_path / "small.png", np.asarray(Image.open("A0.png"))[:96])
    code, out, err = dippas("verify", "A0.png", tmp_path / "small.png", "--fingerprint", "A.npz")
    assert (code, out) == (2, "")
    assert "128x96 pixels is no version of A0.png of 128x128" in err
    code, out, err = dippas("verify", tmp_path / "small.png", "A0.png", "--fingerprint", "A.npz")
    assert (code, out) == (2, "")
    assert "does not fit fingerprint A.npz" in err


def test_photos_of_one_camera_are_linked_and_others_are_not(dippas):
    code, out, _ = dippas("link", "A0.png", "A1.png", "B0.png", "--json")
    assert code == 3
    records = {tuple(record.pop("photos")): record for record in lines(out)}
    assert list(records) == [
        ("A0.png", "A1.png"), ("A0.png", "B0.png"), ("A1.png", "B0.png")
    ]  # fmt: skip
    residuals = [oracles.residual(np.asarray(Image.open(name))) for name in ("A0.png", "A1.png")]
    own = records["A0.png", "A1.png"]
    assert own["ncc"] == pytest.approx(oracles.ncc(*residuals), abs=2e-4)
    assert own["p_value"] < 1e-6
    assert records["A1.png", "B0.png"]["p_value"] > 1e-6
    code, out, _ = dippas("link", "A0.png", "A1.png")
    assert code == 3
    assert out.splitlines()[1].endswith("match")


def test_photos_of_different_sizes_are_not_linked(dippas, tmp_path):
    small = write(tmp_path / "small.png", np.asarray(Image.open("A0.png"))[:96])
    refused(dippas("link", "A0.png", small), "different sizes")
    code, out, err = dippas("link", "A0.png", small, "A1.png", "--json")
    assert code == 3
    assert len(lines(out)) == 1
    assert "different sizes" in err
    refused(dippas("link", "A0.png", "A0.png"), "alone")


# ------------------------------------------------------------------------- what goes wrong midway


def damaged(path, pixels):
    """A JPEG of which bytes in the middle were lost, as a bad card leaves it."""
    Image.fromarray(pixels).save(path, quality=95, subsampling=0)
    data = bytearray(path.read_bytes())
    data[len(data) // 2 : len(data) // 2 + 200] = bytes(200)
    path.write_bytes(data)
    return path


def test_damage_within_a_photo_is_told_by_every_verb(dippas, tmp_path):
    photo = damaged(tmp_path / "odd.jpg", np.asarray(Image.open("A0.png")))
    for command in (
        ("identify", photo, "--fingerprints", "A.npz"),
        ("link", photo, "A1.png"),
        ("fingerprint", "build", photo, "flats/A", "-o", tmp_path / "K.npz"),
    ):
        code, _, err = dippas(*command)
        assert code in (console.DONE, console.FOUND)
        assert f"dippas: {photo}: its data is damaged (" in err


def test_a_damaged_version_is_not_judged(dippas, tmp_path):
    photo = damaged(tmp_path / "odd.jpg", np.asarray(Image.open("A0.png")))
    arguments = ("--fingerprint", "A.npz", "--json")
    code, out, err = dippas("verify", "A0.png", photo, *arguments)
    assert (code, [one["photo"] for one in lines(out)]) == (2, [str(photo)])
    assert "its data is damaged (" in err
    refused(dippas("verify", photo, "A0.png", *arguments[:2]), photo, "its data is damaged (")


SHORT = RuntimeError("RESOURCE_EXHAUSTED: Out of memory\nand more")


@pytest.mark.parametrize("error", [MemoryError(), SHORT])
def test_a_pair_that_takes_too_much_memory_stops_no_other(dippas, monkeypatch, error):
    honest, calls = identification.link, []

    def link(*pair):
        calls.append(pair)
        if len(calls) == 1:
            raise error
        return honest(*pair)

    monkeypatch.setattr(identification, "link", link)
    code, out, err = dippas("link", "A0.png", "A1.png", "B0.png", "--json")
    assert code == console.FAILED
    assert [one.get("photos", one.get("photo")) for one in lines(out)] == [
        "A0.png", ["A0.png", "B0.png"], ["A1.png", "B0.png"]
    ]  # fmt: skip
    assert "A0.png with A1.png takes more memory than there is (" in err
    assert ": )" not in err


def test_a_version_that_takes_too_much_memory_stops_no_other(dippas, monkeypatch):
    def short(*_, **__):
        raise MemoryError

    monkeypatch.setattr(verification, "verify", short)
    code, out, err = dippas("verify", "A0.png", "A0.png", "A1.png", "--fingerprint", "A.npz")
    assert (code, out) == (console.UNUSABLE, "")
    assert "A0.png takes more memory than there is (MemoryError); free some" in err
    assert "A1.png does not show" in err


def test_a_fingerprint_that_takes_too_much_memory_is_one_sentence(dippas, monkeypatch, tmp_path):
    def short(*_, **__):
        raise SHORT

    monkeypatch.setattr(flat_field, "estimate", short)
    output = tmp_path / "K.npz"
    refused(
        dippas("fingerprint", "build", "flats/A", "-o", output), output, "more memory than there is"
    )


@pytest.mark.parametrize(
    ("room", "name"), [(flats, "told_by_halves"), (drawn_places, "in_fingerprint")]
)
def test_what_fails_behind_the_estimate_is_said(dippas, monkeypatch, tmp_path, room, name):
    monkeypatch.setattr(room, name, mock.Mock(side_effect=MemoryError))
    output = tmp_path / "K.npz"
    code, out, err = dippas("fingerprint", "build", "flats/A", "-o", output)
    assert (code, out) == (console.UNUSABLE, "")
    assert f"fingerprint {output} takes more memory than there is" in err


def test_a_flat_that_fails_behind_its_reading_stops_no_other(dippas, monkeypatch, tmp_path):
    honest, calls = copies.noise, []

    def noise(part):
        calls.append(part)
        if len(calls) == 2:
            raise MemoryError
        return honest(part)

    monkeypatch.setattr(copies, "noise", noise)
    code, out, err = dippas("fingerprint", "build", "flats/A", "-o", tmp_path / "K.npz")
    assert (code, "photos       5" in out) == (console.FAILED, True)
    assert "1.png takes more memory than there is (MemoryError)" in err


def test_a_fingerprint_too_large_for_the_memory_stops_no_other(dippas, monkeypatch):
    honest = fingerprint_file.decode

    def decode(path, data):
        if str(path) == "B.npz":
            raise MemoryError
        return honest(path, data)

    monkeypatch.setattr(fingerprint_file, "decode", decode)
    code, out, err = dippas("identify", "A0.png", "--fingerprints", "B.npz", "A.npz", "--json")
    assert code == console.FAILED
    assert [one.get("fingerprint", one.get("photo")) for one in lines(out)] == ["B.npz", "A0.png"]
    assert "B.npz takes more memory than there is (MemoryError)" in err


def test_a_fault_of_the_program_stops_no_other_photo(dippas, monkeypatch):
    honest = identification.compare

    def compare(part, planes):
        if compare.calls.append(part) or len(compare.calls) == 1:
            raise TypeError("no idea\nat all")
        return honest(part, planes)

    compare.calls = []
    monkeypatch.setattr(identification, "compare", compare)
    code, out, err = dippas("identify", "A0.png", "B0.png", "--fingerprints", "A.npz", "--json")
    assert code == console.FAILED
    assert [one["photo"] for one in lines(out)] == ["A0.png", "B0.png"]
    assert "A0.png could not be treated (TypeError: no idea); free memory, or report" in err


# ----------------------------------------------------------------------------------------- program


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["juggle"],
        ["identify", "A0.png"],
        ["identify", "A0.png", "--fingerprints", "absent.npz"],
        ["identify", "nothing*.png", "--fingerprints", "A.npz"],
        ["identify", "A0.png", "--fingerprints", "A0.png"],
        ["identify", "A0.png", "--fingerprints", "A.npz", "--crop", "32"],
        ["identify", "A0.png", "--fingerprints", "A.npz", "--threshold", "60"],
        ["identify", "absent.png", "--fingerprints", "A.npz"],
        ["identify", "long" * 2000, "--fingerprints", "A.npz"],
        ["fingerprint", "build", "flats", "-o", "K.npz"],
        ["fingerprint", "build", "flats/A", "-o", "K.jpg"],
        ["fingerprint", "build", "flats/A", "-o", "absent/K.npz"],
        ["fingerprint", "build", "flats/A", "-o", "K.npz", "--sigma", "0"],
        ["fingerprint", "build", "flats/A", "-o", "K.npz", "--crop", "500"],
        ["fingerprint", "show", "A0.png"],
        ["fingerprint", "show", "A.npz", "-o", "A.npz", "--overwrite"],
        ["fetch"],
        ["fetch", "everything"],
    ],
)
def test_what_cannot_be_used_is_refused_in_one_sentence(dippas, arguments):
    before = sorted(os.listdir())
    refused(dippas(*arguments))
    assert sorted(os.listdir()) == before


@pytest.mark.parametrize(
    "verb",
    [
        [],
        ["fingerprint"],
        ["fingerprint", "build"],
        ["fingerprint", "show"],
        ["fingerprint", "convert"],
        ["identify"],
        ["verify"],
        ["link"],
        ["fetch"],
        ["anonymize"],
        ["doctor"],
    ],
)
def test_every_verb_explains_itself(dippas, verb):
    code, out, err = dippas(*verb, "--help")
    assert (code, err) == (0, "")
    assert out.startswith(f"usage: dippas{''.join(' ' + word for word in verb)}")
    assert max(map(len, out.splitlines())) <= 100
    assert not re.search(r"\{[^,}]*\}", out), "a place that was to be filled; choices have commas"


def test_help_says_how_exit_codes_are_to_be_read(dippas):
    _, out, _ = dippas("--help")
    for line in ("0  done", "1  some file", "2  the command line", "3  a match"):
        assert line in out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["anonymize", "a.jpg", "--stength", "fast"], ("dippas anonymize --help", "--strength?")),
        (["fingerprint", "build", "a", "-o", "b", "--xyz"], ("dippas fingerprint build --help",)),
        (["identify", "a", "--fingerprint", "b", "--jsn"], ("dippas identify --help", "--json?")),
        (["doctor", "--anything"], ("dippas doctor --help",)),
        (["anonymize", "--blid"], ("dippas anonymize --help", "--blind?")),
        (["fingerprint", "build", "a", "--outptu=b"], ("build --help", "--output?")),
    ],
)
def test_a_mistyped_flag_points_to_the_verbs_own_help(dippas, arguments, words):
    refused(dippas(*arguments), "unrecognized arguments: --", *words)


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        (["verify", "", "x.jpg", "--fingerprint", "A.npz"], "ORIGINAL"),
        (["verify", "A0.png", "", "--fingerprint", "A.npz"], "ANONYMISED"),
        (["verify", "A0.png", "A0.png", "--fingerprint="], "--fingerprint"),
        (["fingerprint", "convert", "A.npz", ""], "OUT"),
        (["fingerprint", "build", "flats/A", "-o", ""], "--output"),
    ],
)
def test_what_is_empty_is_called_by_its_name(dippas, arguments, name):
    refused(dippas(*arguments), f"dippas: {name} has no value")


def test_the_home_of_a_fingerprint_is_put_in(dippas, world, monkeypatch):
    monkeypatch.setenv("HOME", str(world))
    code, out, _ = dippas("identify", "A0.png", "--fingerprints=~/A.npz", "--json")
    assert (code, lines(out)[0]["results"][0]["fingerprint"]) == (3, str(world / "A.npz"))


def test_the_home_of_files_that_are_given_by_place_is_put_in(dippas, tmp_path, monkeypatch):
    home = tmp_path / "home"
    home.mkdir()
    for name in ("A0.png", "A1.png", "A.npz"):
        shutil.copy(name, home / name)
    monkeypatch.setenv("HOME", str(home))
    code, out, _ = dippas("verify", "~/A0.png", "~/A0.png", "--fingerprint=~/A.npz", "--json")
    assert (code, lines(out)[0]["anonymised"]) == (3, str(home / "A0.png"))
    assert dippas("link", "~/A*.png")[0] == 3
    assert dippas("fingerprint", "show", "~/A.npz")[0] == 0
    assert dippas("fingerprint", "convert", "~/A.npz", "~/B.npy")[0] == 0
    assert (home / "B.npy").exists()


def test_the_version_is_told(dippas):
    assert dippas("--version") == (0, f"dippas {dippas_jax.__version__}\n", "")


HEAVY = {"jax", "jaxlib", "numpy", "scipy", "PIL", "tqdm", "tifffile", "dippas_jax.io"}


def test_a_program_that_was_interrupted_ends_at_once(monkeypatch):
    """What cleans up after Python may crash while XLA's threads are at work."""
    ends = []
    monkeypatch.setattr(cli, "main", lambda: 130)
    monkeypatch.setattr(os, "_exit", ends.append)
    with pytest.raises(SystemExit):
        cli.program()
    assert ends == [130]


def test_the_command_line_alone_imports_nothing_heavy():
    verbs = [*cli.VERBS, "fingerprint build", "fingerprint show", "fingerprint convert"]
    lines = ["--help", "--version", "juggle", *(f"{v} --help" for v in verbs), "identify A0.png"]
    program = f"""
import sys
from dippas_jax.cli import main
codes = [main.main(line.split()) for line in {lines}]
print(codes, sorted({HEAVY} & set(sys.modules)), file=sys.stderr)
"""
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    codes = [2 if line in ("juggle", "identify A0.png") else 0 for line in lines]
    assert done.stderr.splitlines()[-1] == f"{codes} []"


def test_what_anonymize_is_asked_for_arrives(dippas, monkeypatch):
    from dippas_jax.cli import anonymize

    asked = []

    def noted(*data, **rest):
        asked.append((data, rest))
        return 0

    monkeypatch.setattr(anonymize, "anonymize", noted)
    assert dippas("anonymize", "A0.png", "B0.png")[0] == 0
    assert dippas(
        "anonymize", "A0.png", "-n", "--json", "--method", "prior", "--format", "png",
        "--fingerprint", "A.npz", "--target-psnr", 38, "--jpeg-quality", 90, "--max-minutes", 2,
    )[0] == 0  # fmt: skip
    photos, rest = ["A0.png", "B0.png"], {"dry_run": False, "json": False, "progress": False}
    assert asked[0] == ((photos, outputs.Options(check=[])), rest)
    assert outputs.Options().method == "sparse"
    options = outputs.Options(
        method="prior", kind="png", fingerprint="A.npz", target_psnr=38.0, jpeg_quality=90,
        max_minutes=2.0, check=[],
    )  # fmt: skip
    assert asked[1] == ((["A0.png"], options), rest | {"dry_run": True, "json": True})
    refused(dippas("anonymize", "A0.png", "--method", "engine"), "--method", "'engine'")


def test_an_interruption_is_not_a_traceback(dippas, monkeypatch):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(identification, "compare", interrupted)
    code, out, err = dippas("identify", "A0.png", "--fingerprints", "A.npz")
    assert (code, out, err) == (130, "", "dippas: interrupted\n")


def test_a_reader_that_goes_away_is_no_error(world):
    reading, writing = os.pipe()
    command = [sys.executable, "-m", "dippas_jax.cli", "fingerprint", "show", "A.npz"]
    with os.fdopen(writing, "wb") as stdout:
        threading.Thread(target=os.close, args=(reading,)).start()
        done = subprocess.run(
            command, cwd=world, stdout=stdout, stderr=subprocess.PIPE, check=False
        )
    assert (done.returncode, done.stderr) == (141, b"")


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="a device of Linux")
@pytest.mark.parametrize(
    "words", ["fingerprint show A.npz", "anonymize A0.png -n", "--help", "identify --help"]
)
def test_output_that_cannot_be_written_is_one_sentence(world, words):
    command = [sys.executable, "-m", "dippas_jax.cli", *words.split()]
    with open("/dev/full", "wb") as stdout:
        done = subprocess.run(
            command, cwd=world, stdout=stdout, stderr=subprocess.PIPE, text=True, check=False
        )
    assert done.returncode == 2
    *estimate, told = done.stderr.splitlines()
    assert told.startswith("dippas: output cannot be written (")
    assert len(estimate) == ("-n" in words)


def test_learned_weights_are_fetched_and_their_path_is_printed(dippas, monkeypatch):
    from dippas_jax.io import weights

    monkeypatch.setattr(weights, "fetch", lambda: Path("/cache/weights"))
    assert dippas("fetch", "learned") == (0, "/cache/weights\n", "")


def test_compilations_are_kept_where_the_user_says(monkeypatch, tmp_path):
    import jax

    kept = {}
    monkeypatch.setattr(jax.config, "update", kept.__setitem__)
    monkeypatch.setattr(warnings, "showwarning", warnings.showwarning)
    monkeypatch.setenv("JAX_COMPILATION_CACHE_DIR", str(tmp_path))
    files.cache_compilations()
    assert kept == {"jax_compilation_cache_dir": str(tmp_path)}
    monkeypatch.delenv("JAX_COMPILATION_CACHE_DIR")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    files.cache_compilations()
    assert kept == {"jax_compilation_cache_dir": str(tmp_path / "dippas_jax")}


def test_versions_that_were_turned_or_are_of_another_photo_do_not_pass_as_hidden(dippas, tmp_path):
    pixels = np.asarray(Image.open("A0.png"))
    turned = write(tmp_path / "turned.png", np.ascontiguousarray(pixels[::-1, ::-1]))
    code, out, err = dippas("verify", "A0.png", turned, "--fingerprint", "A.npz")
    assert code == console.FOUND
    assert "was turned or mirrored" in err
    empty = write(tmp_path / "empty.png", np.full_like(pixels, 128))
    code, out, err = dippas("verify", "A0.png", empty, "A1.png", "--fingerprint", "A.npz", "--json")
    assert (code, [one["photo"] for one in lines(out)]) == (2, [empty, "A1.png"])
    assert err.count("does not show what A0.png shows") == 2
