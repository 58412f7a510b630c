"""Studies: all methods against all attackers on a small folder, resumed, and what is refused."""

import dataclasses
import hashlib
import json
import re

import jax
import numpy as np
import pytest

from dippas_jax import config, main
from dippas_jax.datasets import reader, synthetic
from dippas_jax.experiments import inversions, methods, rows, runs, study, tasks
from dippas_jax.forensics import attackers, scores, tables
from dippas_jax.io import files, weights
from dippas_jax.io import photo as photo_file
from dippas_jax.prior import anonymize
from dippas_jax.signal import correlation, dncnn, extractors, fingerprint, flat_field
from dippas_jax.types import InputError
from tests import tiny

SIZE = 64

update, estimate = jax.jit(fingerprint.update), jax.jit(fingerprint.estimate)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return cameras(tmp_path_factory.mktemp("data"))


def cameras(root):
    """Two with three photos, six flat fields, a fingerprint and a published version."""
    for seed in (0, 1):
        camera = synthetic.Camera(seed, strength=0.01)
        device = root / f"cam{seed}"
        for name in ("photos", "flat", "published/soft"):
            (device / name).mkdir(parents=True)
        for shot in range(3):
            photo = synthetic.expose(camera, synthetic.scene(shot, SIZE), shot)
            files.write_png(device / "photos" / f"{shot}.png", photo)
            soft = (photo // 2 + np.roll(photo, 1, 0) // 2).astype(np.uint8)
            files.write_png(device / "published" / "soft" / f"{shot}.png", soft)
        for shot, flat in enumerate(synthetic.flats(camera, SIZE, SIZE, 6)):
            files.write_png(device / "flat" / f"{shot}.png", flat)
        files.write_fingerprint(device / "prnu.npy", synthetic.estimate(camera, SIZE, SIZE, 6, 6))
    return root


FEW = ("wavelet", "edges", "bands", "set", "link")


def settings(folder, attackers=FEW, **changes):
    """A small study with an inversion of a few steps and an attacker of every kind."""
    grid = config.Assembly(sides=(32, 64), averages=(1, 3), thresholds=(1.0, 80.0))
    return config.Study(
        methods=("prior-aware", "subtraction_search", "denoising_sigma3_times1", "published:soft"),
        data=config.Data(folder=str(folder)),
        run=tiny.settings(assembly=grid, stop_psnr=90.0),
        attackers=attackers,
        **changes,
    )


@pytest.fixture(scope="module")
def finished(folder, tmp_path_factory):
    workdir = tmp_path_factory.mktemp("study")
    return workdir, study.run(settings(folder), workdir)


def test_a_study_leaves_rows_tables_and_figures(finished):
    workdir, text = finished
    assert (workdir / "tables.md").read_text() == text
    summaries = {one["method"]: one for one in json.loads((workdir / "tables.json").read_text())}
    assert list(summaries) == [
        "original", "prior-aware", "subtraction_search", "denoising_sigma3_times1",
        "published:soft",
    ]  # fmt: skip
    for one in summaries.values():
        assert one["photos"] == 6
        assert {"same-K", "other-K", "edges K'", "set", "link"} <= set(one["attacks"])
        assert one["attacks"]["same-K"]["n"] == one["attacks"]["same-K"]["negatives"] == 6
        assert one["attacks"]["set"]["n"] == 2
    assert summaries["original"]["attacks"]["same-K"]["auc"] == 1
    subtracted = summaries["subtraction_search"]
    assert subtracted["psnr"] > 45
    assert abs(subtracted["attacks"]["same-K"]["mean_z"]) < 0.5
    for name in ("prior-aware.grid.png", "prior-aware.trade.png"):
        assert (workdir / name).read_bytes().startswith(b"\x89PNG")
    assert "of prior-*, on devices that invert several photos at a time, with what the oth" in text
    manifest = json.loads((workdir / "manifest.json").read_text())
    assert len(manifest["records"]) == 6


def test_a_row_holds_what_the_attackers_found_in_the_written_photos(finished, folder):
    workdir, _ = finished
    row = files.read_json(next((workdir / "rows" / "published-soft").glob("cam1_*.json")))
    assert (row["device"], row["cameras"]) == ("cam1", ["cam0", "cam1"])
    assert row["photos"] == ["cam1_0", "cam1_1", "cam1_2"]
    for index, name in enumerate(row["photos"]):
        written = photo_file.read_pixels(workdir / "photos" / "published-soft" / f"{name}.png")
        original = photo_file.read_pixels(folder / "cam1" / "photos" / f"{index}.png")
        error = np.mean((written.astype(float) - original) ** 2)
        assert row["psnr"][index] == pytest.approx(10 * np.log10(255**2 / error), abs=1e-3)
    assert np.shape(row["scores"]["wavelet"]["K"]) == (3, 2)
    assert np.shape(row["scores"]["set"]["K'"]) == (1, 2)


def test_the_grid_has_every_combination_against_the_same_negatives(finished):
    workdir, _ = finished
    grid = files.read_json(workdir / "prior-aware.grid.json")
    assert [(g["side"], g["average"], g["threshold"]) for g in grid] == [
        (side, average, threshold)
        for side in (32, 64)
        for average in (1, 3)
        for threshold in (1.0, 80.0)
    ]
    rows = [files.read_json(path) for path in sorted((workdir / "rows").glob("*/*.json"))]
    table = tables.attack(rows, "prior-aware", "wavelet", "K")
    assert grid[0]["auc"] == table["auc"], "the first combination is the written one"
    assert grid[0]["n"] == 6


def test_the_worst_of_a_method_counts_the_largest_of_several_in_units_of_chance():
    attacks = {"same-K": 1.2, "bands K'": 1.74, "texture": 1.57, "shifts": 5.0, "set K'": 9.0}
    worst = study.worst_z({name: {"rms_z": rms} for name, rms in attacks.items()})
    assert worst == (1.2, "same-K")


def test_a_second_start_makes_nothing_again(finished, folder, monkeypatch):
    workdir, text = finished
    times = {path: path.stat().st_mtime_ns for path in (workdir / "rows").glob("*/*.json")}
    lost = next(path for path in times if "subtraction" in str(path))
    lost.unlink()
    monkeypatch.setattr(tasks, "task_of", None)  # an inversion would call it
    again = study.run(settings(folder), workdir)
    kept = {path: path.stat().st_mtime_ns for path in times}
    assert [path for path in times if kept[path] != times[path]] == [lost]
    assert len(again.splitlines()) == len(text.splitlines())


def test_halves_are_two_fingerprints_of_one_camera(folder, tmp_path):
    study.run(
        dataclasses.replace(
            settings(folder, fingerprints="halves", attackers=("wavelet",)), methods=()
        ),
        tmp_path,
    )
    planes = [files.read_fingerprint(p) for p in sorted((tmp_path / "fingerprints").glob("cam0_*"))]
    flats = [photo_file.read_pixels(folder / "cam0" / "flat" / f"{i}.png") for i in range(6)]
    for plane, start in zip(planes, (0, 1), strict=True):
        sums = fingerprint.init(SIZE, SIZE)
        for flat in flats[start::2]:
            sums = update(sums, flat)
        np.testing.assert_allclose(plane, estimate(sums), atol=2e-4)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"methods": ("denoise",)}, 'there is no method "denoise"'),
        (
            {"methods": ("published:x@jpeg-90", "published:x-jpeg-90")},
            "would share the folder published-x-jpeg-90",
        ),
        ({"attackers": ("edge",)}, 'there is no attacker "edge"'),
        ({"methods": ("published:none",)}, "0 published versions"),
        ({"flats": "none", "fingerprints": "halves"}, "no flat-field photos"),
    ],
)
def test_what_cannot_be_studied_is_refused_in_one_sentence(changes, message, folder, tmp_path):
    with pytest.raises(InputError, match=message) as caught:
        study.run(dataclasses.replace(settings(folder), **changes), tmp_path)
    assert "\n" not in str(caught.value)


def test_a_published_photo_is_cut_like_its_original(folder, tmp_path):
    for device in ("cam0", "cam1"):
        (tmp_path / "data" / device / "published" / "soft").mkdir(parents=True)
        (tmp_path / "data" / device / "photos").mkdir()
        for shot in range(2):
            draw = np.random.default_rng(shot)
            photo = draw.integers(0, 256, (64, 128, 3), np.uint8)
            files.write_png(tmp_path / "data" / device / "photos" / f"{shot}.png", photo)
            files.write_png(
                tmp_path / "data" / device / "published" / "soft" / f"{shot}.png", photo ^ 1
            )
        plane = np.random.default_rng(9).normal(0, 1, (64, 128)).astype(np.float32)
        files.write_fingerprint(tmp_path / "data" / device / "prnu.npy", plane)
    data = config.Data(folder=str(tmp_path / "data"), crop=64, crops=0)
    again = "published:soft@jpeg-90"
    chosen = config.Study(methods=("published:soft", again), data=data, attackers=("wavelet",))
    study.run(chosen, tmp_path / "out")
    rows = [files.read_json(p) for p in (tmp_path / "out/rows/published-soft").glob("*.json")]
    assert sum(len(row["photos"]) for row in rows) == 8
    assert {round(psnr, 3) for row in rows for psnr in row["psnr"]} == {48.131}
    assert list((tmp_path / "out" / "rows").glob("published-soft*jpeg-90*/*.json"))


def pair(root, sizes, flat_sizes=None):
    """Cameras a and b with two photos and four flat fields of noise each, of those sizes."""
    for number, size in enumerate(sizes):
        draw = np.random.default_rng(number)
        shapes = {"photos": size, "flat": (flat_sizes or sizes)[number]}
        for (name, (height, width)), count in zip(shapes.items(), (2, 4), strict=True):
            (root / "ab"[number] / name).mkdir(parents=True)
            for shot in range(count):
                noise = draw.integers(90, 110, (height, width, 3), np.uint8)
                files.write_png(root / "ab"[number] / name / f"{shot}.png", noise)
    data = config.Data(folder=str(root), crop=SIZE)
    return config.Study((), ("wavelet", "link"), fingerprints="halves", data=data)


def published(root, size=(64, 64), names=("a", "b"), whole=(64, 64)):
    """`pair` with its photos in the cameras' folders themselves, each with a published version."""
    chosen = dataclasses.replace(
        pair(root, [whole, whole]), methods=("published:soft",), attackers=("wavelet",)
    )
    for device in names:
        (root / device / "published" / "soft").mkdir(parents=True)
        for path in sorted((root / device / "photos").iterdir()):
            path.rename(root / device / path.name)
            noise = np.random.default_rng(7).integers(0, 90, (*size, 3), np.uint8)
            files.write_png(root / device / "published" / "soft" / path.name, noise + ord(device))
    return chosen


def test_published_photos_are_those_of_their_camera_and_pinned(tmp_path):
    chosen = published(tmp_path / "data")
    for shot in range(2):  # where one file would be that of two cameras
        path = tmp_path / "data" / "published" / "soft" / f"{shot}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        files.write_png(path, np.zeros((64, 64, 3), np.uint8))
    study.run(chosen, tmp_path / "out")
    for device in "ab":
        for path in (tmp_path / "out" / "photos" / "published-soft").glob(f"{device}_*.png"):
            assert photo_file.read_pixels(path).min() == ord(device)
    (tmp_path / "out" / "tables.json").unlink()
    changed = tmp_path / "data" / "b" / "published" / "soft" / "1.png"
    files.write_png(changed, np.zeros((64, 64, 3), np.uint8))
    with pytest.raises(InputError, match=r"published photo b/published/soft/1.png of soft is not"):
        study.run(chosen, tmp_path / "out")


def test_a_published_photo_of_crop_size_is_that_of_no_crop_among_several(tmp_path):
    one = published(tmp_path / "data", whole=(128, 128))
    records = rows.load(one)
    methods.require_published(records, one)
    several = dataclasses.replace(one, data=dataclasses.replace(one.data, crops=0))
    with pytest.raises(InputError, match=r"64x64 pixels, not those of the whole .*data.crops=1$"):
        study.run(several, tmp_path / "out")
    assert list((tmp_path / "out").iterdir()) == []
    (group, *_) = rows.ready(several, files.prepare_workdir(tmp_path / "row")).groups
    with pytest.raises(InputError, match=r"64x64 pixels, not those of the whole"):
        methods.maker("published:soft", group, several, tmp_path)(0)


@pytest.mark.parametrize(
    ("size", "crop", "crops", "words"),
    [
        ((96, 80), 0, 1, "not those of the whole photo (128x160); give whole photos"),
        ((96, 96), 0, 1, "photo (128x160); give whole photos, or choose data.crop=96"),
        ((192, 192), 0, 1, "not those of the whole photo (128x160); give whole photos"),
        ((32, 32), 0, 1, "not those of the whole photo (128x160); give whole photos"),
        ((96, 80), 64, 1, "photo (128x160) nor of the crop (64x64); give whole photos"),
        ((96, 96), 64, 1, "crop (64x64); give whole photos, or choose data.crop=96"),
        ((96, 80), 64, 0, "with data.crops of 0 give whole photos"),
        ((96, 96), 64, 2, "give whole photos, or choose data.crop=96 and data.crops=1"),
    ],
)
def test_a_crop_is_spoken_of_only_where_there_may_be_one(tmp_path, size, crop, crops, words):
    data = config.Data(folder=str(tmp_path), crop=crop, crops=crops)
    with pytest.raises(InputError, match=re.escape(words) + "$"):
        methods._require_size(tmp_path / "0.png", size, (128, 160), data)


def test_published_photos_of_no_use_are_found_before_the_work(tmp_path):
    chosen = published(tmp_path / "size", (64, 80))
    with pytest.raises(InputError, match=r"soft/0.png is of 64x80 pixels, neither those of the wh"):
        study.run(chosen, tmp_path / "out")
    (tmp_path / "size" / "a" / "published" / "soft" / "0.png").write_bytes(b"\x89PNG\r\n")
    with pytest.raises(InputError, match=r"soft/0.png"):
        study.run(chosen, tmp_path / "out")
    chosen = published(tmp_path / "two")
    (tmp_path / "two/a/natural").mkdir()
    (tmp_path / "two/a/1.png").rename(tmp_path / "two/a/natural/0.png")
    with pytest.raises(InputError, match=r"soft/0.png is the published version of both .* and"):
        study.run(chosen, tmp_path / "out")
    assert list((tmp_path / "out").iterdir()) == []


@pytest.mark.slow
def test_cameras_of_different_sizes_rule_each_other_out_at_the_centre(tmp_path):
    chosen = pair(tmp_path / "data", [(70, 80), (64, 90)])
    study.run(chosen, tmp_path / "out")
    (summary,) = files.read_json(tmp_path / "out" / "tables.json")
    assert summary["attacks"]["same-K"]["n"] == summary["attacks"]["same-K"]["negatives"] == 4
    row = files.read_json(tmp_path / "out/rows/original/a_r3c8_70x80.json")
    plane = files.read_fingerprint(tmp_path / "out/fingerprints/b_64x90_0_2.npy")[:, 13:77]
    photo = photo_file.read_pixels(tmp_path / "data/a/photos/1.png")[3:67, 8:72]
    found = attackers.wavelet(photo[None], attackers.Evidence(plane[None]))
    np.testing.assert_allclose(row["scores"]["wavelet"]["K"][1][1], found[0, 0], atol=1e-3)


def test_whole_photos_of_different_sizes_are_refused_before_the_work(tmp_path):
    chosen = pair(tmp_path / "data", [(70, 80), (64, 90)])
    whole = dataclasses.replace(chosen, data=dataclasses.replace(chosen.data, crop=0))
    with pytest.raises(InputError, match=r"one data.crop for photos of 64x90, 70x80$"):
        study.run(whole, tmp_path / "out")
    assert not (tmp_path / "out" / "fingerprints").exists()


@pytest.mark.slow
def test_flat_fields_of_another_orientation_are_not_used(tmp_path):
    chosen = pair(tmp_path / "data", [(64, 90), (64, 90)], [(90, 64), (64, 90)])
    with pytest.raises(InputError, match="of 90x64 pixels and its photos are of 64x90"):
        study.run(chosen, tmp_path / "out")
    for shot in range(2):  # one that fits each half is enough
        noise = np.random.default_rng(shot).integers(90, 110, (64, 90, 3), np.uint8)
        files.write_png(tmp_path / "data" / "a" / "flat" / f"upright{shot}.png", noise)
    again = tmp_path / "again"
    study.run(chosen, again)
    sums = fingerprint.init(64, 90)
    sums = update(sums, photo_file.read_pixels(tmp_path / "data/a/flat/upright0.png"))
    plane = files.read_fingerprint(again / "fingerprints" / "a_64x90_0_2.npy")
    np.testing.assert_allclose(plane, estimate(sums), atol=2e-4)


def test_names_may_be_as_long_as_the_system_allows(tmp_path):
    chosen = pair(tmp_path / "data", [(64, 64), (64, 64)])
    (tmp_path / "data" / "a").rename(tmp_path / "data" / ("a" * 250))
    study.run(dataclasses.replace(chosen, attackers=("wavelet",)), tmp_path / "out")
    assert len(list((tmp_path / "out" / "rows" / "original").iterdir())) == 2
    long = f"sparse-aware:{','.join(['sparse.compensation=0'] * 20)}"
    assert len(methods.folder_name(long)) < 250


def test_links_leave_the_photo_itself_out(tmp_path):
    chosen = pair(tmp_path / "data", [(64, 64), (64, 64)])
    study.run(chosen, tmp_path / "out")
    row = files.read_json(next((tmp_path / "out/rows/original").glob("a_*.json")))
    paths = [[tmp_path / f"data/{c}/photos/{i}.png" for i in (0, 1)] for c in "ab"]
    noise = [[extractors.extract(photo_file.read_pixels(p)) for p in pair] for pair in paths]
    every = [*noise[0], *noise[1]]
    z = [[float(correlation.ncc(noise[0][i], k)) * SIZE for k in every] for i in (0, 1)]
    expected = [[z[i][1 - i], (z[i][2] + z[i][3]) / 2**0.5] for i in (0, 1)]
    np.testing.assert_allclose(row["scores"]["link"]["K"], expected, atol=1e-3)


def test_files_that_changed_since_the_manifest_are_refused(tmp_path):
    chosen = pair(tmp_path / "data", [(64, 64), (64, 64)])
    study.run(chosen, tmp_path / "out")
    before = (tmp_path / "out" / "manifest.json").read_bytes()
    study.run(chosen, tmp_path / "out")
    noise = np.random.default_rng(9).integers(90, 110, (64, 64, 3), np.uint8)
    files.write_png(tmp_path / "data" / "b" / "photos" / "1.png", noise)
    with pytest.raises(InputError, match="photo b_1 is not that of the manifest"):
        study.run(chosen, tmp_path / "out")
    assert (tmp_path / "out" / "manifest.json").read_bytes() == before


def test_a_second_fingerprint_that_is_the_first_is_refused(tmp_path):
    chosen = pair(tmp_path / "data", [(64, 64), (64, 64)])
    for device in "ab":
        folder = tmp_path / "data" / device
        flats = [photo_file.read_pixels(path) for path in sorted((folder / "flat").iterdir())]
        files.write_fingerprint(folder / "prnu.npy", np.asarray(flat_field.estimate(flats).plane))
    with pytest.raises(InputError, match=r"device a is that of its flat-field photos.*=halves"):
        study.run(dataclasses.replace(chosen, fingerprints="file"), tmp_path / "out")


def test_all_rows_of_a_study_ask_the_learned_extractor_or_none(tmp_path, monkeypatch, capsys):
    chosen = dataclasses.replace(
        pair(tmp_path / "data", [(64, 64), (64, 64)]), attackers=("learned",)
    )
    data = {"now": None}
    monkeypatch.setattr(weights, "load", lambda: data["now"])
    monkeypatch.setattr(weights, "find", lambda: data["now"])
    monkeypatch.setattr(dncnn, "parse", lambda data: data)
    for name in ("with", "without"):
        (tmp_path / name).mkdir()
    groups = [rows.ready(chosen, tmp_path / "without").learned]
    data["now"] = b"weights"
    groups.append(rows.ready(chosen, tmp_path / "without").learned)
    assert groups == [None, None]
    study.run(chosen, tmp_path / "without")
    assert "since this study was begun without it" in capsys.readouterr().err
    assert rows.ready(chosen, tmp_path / "with").learned == b"weights"
    assert rows.ready(chosen, tmp_path / "with").learned == b"weights"
    path = tmp_path / "with" / "manifest.json"
    assert files.read_json(path)["learned"] == hashlib.sha256(b"weights").hexdigest()
    for other in (None, b"others"):
        data["now"] = other
        with pytest.raises(InputError, match=r"begun with weights .* not here; `dippas fetch"):
            rows.ready(chosen, tmp_path / "with")
    files.write_json(path, {k: v for k, v in files.read_json(path).items() if k != "learned"})
    assert rows.ready(chosen, tmp_path / "with").learned == b"others", "of an earlier version"


@pytest.mark.parametrize("name", ["dncnn", "overfitted_learned"])
def test_missing_weights_are_found_before_the_work(name, folder, tmp_path, monkeypatch):
    monkeypatch.setattr(weights, "find", lambda: None)
    chosen = dataclasses.replace(settings(folder), methods=("subtraction_search", name))
    with pytest.raises(InputError, match=f"{name} needs the weights of the learned extractor"):
        study.run(chosen, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_missing_published_photo_is_found_before_the_work(folder, tmp_path):
    chosen = dataclasses.replace(
        settings(folder), methods=("prior-aware", "subtraction_search", "published:none")
    )
    with pytest.raises(InputError, match="0 published versions"):
        study.run(chosen, tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_a_photo_that_could_not_be_inverted_is_left_out_and_named(
    folder, tmp_path, monkeypatch, capsys
):
    outcome = inversions._outcome

    def fails(photo):
        if photo.task.record.id == "cam0_1":
            return anonymize.DivergedError("the loss is nan at step 3")
        return outcome(photo)

    shown = []
    chosen = settings(folder, attackers=("wavelet", "link"))
    chosen = dataclasses.replace(chosen, methods=("prior-aware",))
    with monkeypatch.context() as patch:
        patch.setattr(inversions, "_outcome", fails)
        with pytest.raises(runs.FailedError, match="by prior-aware: cam0_1: the loss is nan"):
            study.run(chosen, tmp_path, shown.append)
    assert "left out of the tables are cam0_1: the loss is nan" in capsys.readouterr().err
    assert shown == [(tmp_path / "tables.md").read_text()]
    _, found = files.read_json(tmp_path / "tables.json")
    assert (found["photos"], found["attacks"]["same-K"]["n"]) == (5, 5)
    grid = files.read_json(tmp_path / "prior-aware.grid.json")
    assert {one["n"] for one in grid} == {5}
    study.run(chosen, tmp_path)
    assert files.read_json(tmp_path / "tables.json")[1]["photos"] == 6, "it is done by now"


def test_a_method_that_could_do_no_photo_is_left_out_with_its_reasons(
    folder, tmp_path, monkeypatch
):
    def full(*_):
        raise MemoryError("no room for it")

    names = ("sparse-blind", "sparse-blind@jpeg-75", "prior-blind", "denoising_sigma3_times1")
    chosen = dataclasses.replace(settings(folder, attackers=("wavelet",)), methods=names)
    monkeypatch.setattr(runs, "_sparse", full)
    monkeypatch.setattr(inversions, "_photo", full)
    shown = []
    with pytest.raises(
        runs.FailedError, match=r"by sparse-blind: cam0_0: .*memory.*; by prior-blind: cam0_0: "
    ):
        study.run(chosen, tmp_path, shown.append)
    assert shown == [(tmp_path / "tables.md").read_text()]
    found = [one["method"] for one in files.read_json(tmp_path / "tables.json")]
    assert "denoising_sigma3_times1" in found
    assert not [name for name in found if name.startswith(("sparse", "prior"))]


def test_one_camera_is_not_enough(folder, tmp_path):
    data = config.Data(folder=str(folder), devices=("cam0",))
    with pytest.raises(InputError, match="at least two cameras"):
        study.run(dataclasses.replace(settings(folder), data=data), tmp_path)


def test_a_work_folder_belongs_to_one_study(finished, folder):
    workdir, _ = finished
    with pytest.raises(InputError, match="group was 10, now 5"):
        study.run(settings(folder, group=5), workdir)


def test_simulated_cameras_can_be_studied(tmp_path):
    data = config.Data(crop=SIZE, cameras=2, per_device=2)
    chosen = config.Study(methods=("subtraction_search",), attackers=("wavelet",), data=data)
    text = study.run(chosen, tmp_path)
    assert "| other-K |" in text
    assert len(reader.load(data)) == 4


def test_the_program_runs_a_study_and_knows_its_settings(folder, tmp_path, monkeypatch, capsys):
    called = []

    def run(*given):
        *known, show = given
        called.append(tuple(known))
        show("tables")
        if len(called) > 1:
            raise runs.FailedError("left out of the tables are, by prior-blind: a: it is flat")

    monkeypatch.setattr(study, "run", run)
    monkeypatch.setattr(main, "_settings", lambda _: (settings(folder), str(tmp_path)))
    monkeypatch.setattr(files, "cache_compilations", lambda: None)
    assert main.main(["main"]) == 0
    assert capsys.readouterr().out == "tables\n"
    assert called == [(settings(folder), str(tmp_path))]
    assert main.main(["main"]) == 1
    assert capsys.readouterr().out == "tables\n"


@pytest.mark.slow
def test_variants_of_the_sparse_method_stand_side_by_side(folder, tmp_path):
    names = ("sparse-aware", "sparse-blind:target_psnr=38,sparse.compensation=0.0")
    fast = config.Config(
        method="sparse", sparse=config.Sparse(strength="fast"), target_psnr=36.0, seed=5
    )
    chosen = dataclasses.replace(settings(folder), methods=names, attackers=("edges",), run=fast)
    study.run(chosen, tmp_path)
    found = {one["method"]: one for one in files.read_json(tmp_path / "tables.json")}
    assert found[names[0]]["psnr"] == pytest.approx(36, abs=0.1)
    assert found[names[1]]["psnr"] == pytest.approx(38, abs=0.1)
    made = tmp_path / "sparse-blind-target_psnr-38-sparse.compensation-0.0"
    used = files.read_json(made / "summary.json")["config"]
    assert (used["mode"], used["method"]) == ("blind", "sparse")
    assert used["sparse"] == {
        "strength": "fast",
        "compensation": 0,
        "grain": 0,
        "displacement": 0,
    }
    assert used["seed"] == 0, "the study's"
    assert used["data"]["folder"] == str(folder)
    assert (tmp_path / "front.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("sparse-aware:sparse.compnsation=0.0", 'did you mean "sparse.compensation"'),
        ("sparse-aware:compensation=0.0", 'no setting "compensation"'),
        ("sparse-aware:sparse.compensation=much", "sparse.compensation is 'much'"),
        ("sparse-awre", 'no method "sparse-awre"'),
        ("engine-aware", 'no method "engine-aware"'),
        ("dippas-blind", 'no method "dippas-blind"'),
        ("sparse-blind:mode=aware", "sets mode, which is the study's"),
        ("sparse-aware:method=prior", "sets method, which is the study's"),
        ("sparse-aware:data.crop=64", "sets data.crop, which is the study's"),
    ],
)
def test_a_variant_that_cannot_be_is_refused_before_the_work(name, message, folder, tmp_path):
    with pytest.raises(InputError, match=message) as caught:
        study.run(dataclasses.replace(settings(folder), methods=(name,)), tmp_path)
    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_what_a_method_made_is_compressed_again_and_compared_with_untreated_photos_alike(
    folder, tmp_path
):
    method = "denoising_sigma3_times1"
    methods = (method, f"{method}@jpeg-60")
    config_ = dataclasses.replace(
        settings(folder), methods=methods, attackers=("wavelet", "detector")
    )
    study.run(config_, tmp_path)
    summaries = {one["method"]: one for one in json.loads((tmp_path / "tables.json").read_text())}
    assert list(summaries) == ["original", "original@jpeg-60", *methods]
    again, untreated = summaries[f"{method}@jpeg-60"], summaries["original@jpeg-60"]
    assert again["psnr"] < summaries[method]["psnr"]
    assert "c_worst" in again
    assert "c_worst" not in untreated
    for path in sorted((tmp_path / "photos" / method).glob("*.png")):
        twice = photo_file.read_pixels(tmp_path / "photos" / f"{method}-jpeg-60" / path.name)
        np.testing.assert_array_equal(twice, attackers.jpeg(photo_file.read_pixels(path), 60))
    rows = [files.read_json(path) for path in sorted((tmp_path / "rows").rglob("*.json"))]
    negatives = tables.collect(rows, "original@jpeg-60", "wavelet", "K", own=False)
    positives = tables.collect(rows, f"{method}@jpeg-60", "wavelet", "K", own=True)
    expected = scores.auc(
        *(np.concatenate([one.values for one in side.values()]) for side in (positives, negatives))
    )
    assert again["attacks"]["same-K"]["auc"] == pytest.approx(expected)


@pytest.mark.parametrize("quality", ["", "0", "101", "best"])
def test_a_quality_that_is_none_is_refused_before_the_work(quality, folder, tmp_path):
    method = f"denoising_sigma3_times1@jpeg-{quality}"
    with pytest.raises(InputError, match="JPEG quality from 1 to 100"):
        study.run(dataclasses.replace(settings(folder), methods=(method,)), tmp_path)
