"""Runs of photos larger than a tile: what comes out, and what no kill between tiles can change."""

import dataclasses
import hashlib
import itertools
import json
import math

import jax
import numpy as np
import pytest
from PIL import Image

from dippas_jax import config
from dippas_jax.experiments import report, runs
from dippas_jax.io import checkpoint, confinement, files
from dippas_jax.prior import anonymize, batch, tiling, whole
from dippas_jax.signal import image
from dippas_jax.types import InputError, Record, Sample, Window
from tests import oracles, tiny

SIZE = (64, 128)  # three tiles of 64x64
PLANE = np.float32(255) * tiny.fingerprint(*SIZE)
PHOTO = oracles.photo(3, *SIZE, 10 / 255 * PLANE)
GRID = config.Assembly(sides=(32,), averages=(3, 1), thresholds=(1.0, 80.0))
SETTINGS = dataclasses.replace(
    tiny.settings(assembly=GRID, stop_psnr=90.0, max_steps=6), tile=64, checkpoint_seconds=0.0
)


def of(pixels, name="cam_1", plane=PLANE):
    height, width = pixels.shape[:2]
    place = Window((height, width), 0, 0, height, width)
    return Record(name, "cam", lambda: Sample(pixels, plane[:height, :width], place))


def done(folder, settings=SETTINGS, records=None):
    return list(runs.photos(records or [of(PHOTO)], settings, folder))


def outputs(folder):
    found = [path for path in sorted((folder / "photos").iterdir()) if path.suffix == ".png"]
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in found}


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A run of one photo of three tiles that nothing interrupts: its folder and record."""
    folder = tmp_path_factory.mktemp("whole")
    return folder, *done(folder)


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["aware", "blind"])
def test_a_photo_larger_than_a_tile_is_what_the_library_makes_of_it(mode, finished, tmp_path):
    settings = dataclasses.replace(SETTINGS, mode=mode)
    folder, record = finished
    if mode == "blind":
        folder, (record,) = tmp_path, done(tmp_path, settings)
    key = image.photo_key(settings.seed, "cam_1")
    made = whole.invert(key, PHOTO, PLANE if mode == "aware" else None, settings)
    with Image.open(folder / "photos" / "cam_1.png") as written:
        np.testing.assert_array_equal(np.asarray(written), made.pixels)
    assert made.settings.items() <= record.results[0].items()
    assert (record.steps, record.results[0]["tiles"]) == (18, 3)
    assert "18 steps in 3 tiles" in report.lines(record)
    assert record.psnr == pytest.approx(oracles.psnr(made.pixels, PHOTO), abs=1e-3)
    assert sorted(path.name for path in (folder / "photos").iterdir()) == [
        "cam_1.figure.png",
        "cam_1.json",
        "cam_1.png",
    ]
    assert not list((folder / "checkpoints").iterdir())


@pytest.mark.slow
def test_every_version_is_joined_of_the_same_version_of_the_tiles(tmp_path):
    chosen = dataclasses.replace(GRID, write_all=True)
    (record,) = done(tmp_path, dataclasses.replace(SETTINGS, assembly=chosen))
    rows = [(row["average"], row["threshold"]) for row in record.results]
    assert rows == [(3, 1), (3, 80), (1, 1), (1, 80)]
    assert [row["snapshots"] for row in record.results] == [6, 0, 6, 0]
    key = image.photo_key(SETTINGS.seed, "cam_1")
    for average, threshold in rows[1:]:
        one = config.Assembly(sides=(32,), averages=(average,), thresholds=(threshold,))
        made = whole.invert(key, PHOTO, PLANE, dataclasses.replace(SETTINGS, assembly=one))
        name = f"cam_1.B32.L{average}.tau{threshold:g}.png"
        with Image.open(tmp_path / "photos" / name) as written:
            np.testing.assert_array_equal(np.asarray(written), made.pixels)


@pytest.mark.slow
def test_gamma_of_a_photo_in_tiles_is_the_mean_of_theirs(finished):
    _, record = finished
    key = image.photo_key(SETTINGS.seed, "cam_1")
    tiled = tiling.cut(key, PHOTO, PLANE, SETTINGS)
    alone = []
    for index, tile in enumerate(tiled.every):
        problem, injected, _ = tiling.stated(tiled, index, SETTINGS)
        np.testing.assert_array_equal(injected, PLANE[tile.part])
        trace = tiny.run(problem, SETTINGS, 6)
        alone.append((trace.gamma[-1], trace.gamma[-1] * 0.01 / injected.std(), trace.psnr.max()))
    gamma, in_unit, best = (np.array(values) for values in zip(*alone, strict=True))
    assert gamma.std() > 0
    assert record.gamma == pytest.approx(gamma.mean(), rel=1e-4)
    assert record.gamma_in_unit_of_fingerprint == pytest.approx(in_unit.mean(), rel=1e-4)
    assert record.best_psnr == pytest.approx(best.min(), abs=1e-3)


@pytest.mark.parametrize("ended", [1, 2, 3])
def test_tiles_that_are_done_survive_and_the_bytes_are_the_same(
    ended, finished, tmp_path, monkeypatch, capsys
):
    """Interrupted after one, two or three tiles; two devices work on a tile each."""
    save, start, seen, begun = checkpoint.save, anonymize.start, [], []

    def interrupted(folder, step, tree):
        save(folder, step, tree)
        seen.append("/".join(folder.parts[-2:]))
        if len([name for name in seen if name.startswith("made")]) == ended:
            raise KeyboardInterrupt

    monkeypatch.setattr(checkpoint, "save", interrupted)
    with pytest.raises(KeyboardInterrupt):
        done(tmp_path)
    assert outputs(tmp_path) == {}
    assert {"tiles/0", "tiles/1"} <= set(seen), "also saved on their way"
    monkeypatch.setattr(checkpoint, "save", save)
    monkeypatch.setattr(anonymize, "start", lambda *given: begun.append(given) or start(*given))
    capsys.readouterr()
    (record,) = done(tmp_path)
    said = capsys.readouterr().err
    assert f"cam_1: {ended} of 3 tiles were finished before" in said
    assert ("cam_1: tile 2 goes on from step 3" in said) is (ended == 1)
    assert len(begun) == 3 - ended, "no tile is done twice"
    assert outputs(tmp_path) == outputs(finished[0])
    expected = dataclasses.replace(finished[1], seconds=record.seconds)
    assert record == expected
    assert not list((tmp_path / "checkpoints").iterdir())


def stop_after_a_tile(folder, monkeypatch, before_save=lambda: None):
    """A run that is interrupted as soon as its first tile is kept."""
    save = checkpoint.save

    def interrupted(place, step, tree):
        before_save()
        save(place, step, tree)
        if place.parent.name == "made":
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(checkpoint, "save", interrupted)
        with pytest.raises(KeyboardInterrupt):
            done(folder)


def test_a_damaged_tile_is_done_again(finished, tmp_path, monkeypatch, capsys):
    stop_after_a_tile(tmp_path, monkeypatch)
    (manifest,) = (tmp_path / "checkpoints" / "cam_1").glob("*/made/*/*/manifest.json")
    manifest.write_bytes(b"{}")
    done(tmp_path)
    assert "finished before" not in capsys.readouterr().err
    assert outputs(tmp_path) == outputs(finished[0])


@pytest.mark.parametrize("what", ["photo", "fingerprint"])
def test_a_photo_of_the_same_name_does_not_go_on_from_anothers_tiles(
    what, tmp_path, monkeypatch, capsys
):
    other = of(PHOTO[::-1]) if what == "photo" else of(PHOTO, plane=PLANE[::-1])
    stop_after_a_tile(tmp_path / "run", monkeypatch)
    done(tmp_path / "fresh", records=[other])
    capsys.readouterr()
    (record,) = done(tmp_path / "run", records=[other])
    assert "finished before" not in capsys.readouterr().err
    assert outputs(tmp_path / "run") == outputs(tmp_path / "fresh")
    assert not list((tmp_path / "run" / "checkpoints").iterdir())
    with pytest.raises(InputError, match=r"cam_1, or its fingerprint, is not the one whose resul"):
        done(tmp_path / "run")
    known = tmp_path / "run" / "photos" / "cam_1.json"
    files.write_json(known, dataclasses.replace(record, input_sha256=""))
    (earlier,) = done(tmp_path / "run")  # of a version that did not tell
    assert earlier.psnr == record.psnr


def test_a_picture_that_is_gone_is_made_again_and_another_one_refused(finished, tmp_path, capsys):
    done(tmp_path)
    picture = tmp_path / "photos" / "cam_1.png"
    made = picture.read_bytes()
    picture.unlink()
    done(tmp_path)
    assert "is gone, so the photo is done again" in capsys.readouterr().err
    assert picture.read_bytes() == made
    Image.fromarray(PHOTO).save(picture)
    with pytest.raises(InputError, match=r"cam_1.png is not the picture that .*cam_1.json tells"):
        done(tmp_path)


def test_a_run_of_another_version_is_refused(tmp_path, monkeypatch):
    runs.claim(tmp_path, SETTINGS)
    runs.claim(tmp_path, SETTINGS)
    monkeypatch.setattr(runs.dippas_jax, "__version__", "9.9")
    with pytest.raises(InputError, match=r"a run of version 0\S+ of this program, and this is 9.9"):
        runs.claim(tmp_path, SETTINGS)
    path = tmp_path / "config.json"
    files.write_json(path, {k: v for k, v in files.read_json(path).items() if k != "version"})
    runs.claim(tmp_path, SETTINGS)


def test_the_seconds_of_tiles_before_a_kill_count(tmp_path, monkeypatch):
    clock = [1000.0]
    monkeypatch.setattr(runs.time, "monotonic", lambda: clock[0])

    def tick():
        clock[0] += 50.0

    stop_after_a_tile(tmp_path, monkeypatch, tick)
    spent = clock[0] - 1000.0 - 50.0  # when the tile was done, before it was saved
    clock[0] = 0.0
    (record,) = done(tmp_path)
    assert record.seconds == pytest.approx(spent)


def test_a_tile_that_is_lost_loses_its_photo_and_no_other(tmp_path, monkeypatch):
    finished, calls = anonymize.finished, []

    def lost(progress, settings):
        calls.append(progress)
        if len(calls) == 2:
            raise anonymize.DivergedError("the loss is nan at step 3")
        return finished(progress, settings)

    monkeypatch.setattr(anonymize, "finished", lost)
    with pytest.raises(runs.FailedError, match=r"^cam_1: the loss is nan at step 3$"):
        done(tmp_path, records=[of(PHOTO), of(PHOTO[:, :64], "cam_2")])
    assert sorted(outputs(tmp_path)) == ["cam_2.figure.png", "cam_2.png"]
    assert len(calls) == 3, "the third tile of the lost photo is not tried"


def test_where_memory_runs_out_the_photos_at_work_are_named_and_the_others_done(
    tmp_path, monkeypatch
):
    inverted, calls = batch.inverted, []

    def full(jobs, *given, **options):
        calls.append(next(jobs, None))
        if len(calls) == 1:
            raise jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: Out of memory allocating 9 bytes")
        return inverted(itertools.chain(calls[-1:], jobs), *given, **options)

    monkeypatch.setattr(batch, "inverted", full)
    records = [of(PHOTO), of(PHOTO[:, :64], "cam_2"), of(PHOTO[:, :96], "cam_3")]
    words = r"^cam_1: memory ran out; free some, or give another --workdir and smaller settings"
    with pytest.raises(runs.FailedError, match=words) as caught:
        done(tmp_path, records=records)
    assert "cam_2" not in str(caught.value)
    assert {"cam_2.png", "cam_3.png"} < set(outputs(tmp_path))
    assert "cam_1.png" not in outputs(tmp_path)
    calls.clear()
    monkeypatch.setattr(jax.errors.JaxRuntimeError, "__str__", lambda error: "INTERNAL: another")
    with pytest.raises(jax.errors.JaxRuntimeError):
        done(tmp_path, records=[of(PHOTO)])


def test_no_tile_of_a_photo_that_is_lost_is_inverted(tmp_path, monkeypatch):
    """Not those either that were asked for ahead, to fill the slots."""
    inverted, stated, tiles = batch.inverted, tiling.stated, []

    def full(jobs, *given, **options):
        if not tiles:
            next(jobs)
            raise jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: Out of memory allocating 9 bytes")
        return inverted(jobs, *given, **options)

    monkeypatch.setattr(batch, "inverted", full)
    monkeypatch.setattr(tiling, "stated", lambda *given: tiles.append(given[1]) or stated(*given))
    with pytest.raises(runs.FailedError, match=r"^cam_1: memory ran out"):
        done(tmp_path, dataclasses.replace(SETTINGS, batch=2))
    assert len(tiles) == 1


@pytest.mark.parametrize("method", ["prior", "sparse"])
def test_a_photo_that_cannot_be_used_any_more_stops_no_other(method, tmp_path, monkeypatch):
    def gone():
        raise InputError("photo x.png cannot be read; check the path")

    def full(task):
        raise MemoryError

    monkeypatch.setattr(runs, "_sparse", full)
    settings = dataclasses.replace(SETTINGS, method=method)
    records = [of(PHOTO, "cam_1")._replace(read=gone), of(PHOTO[:, :64], "cam_2")]
    with pytest.raises(runs.FailedError, match=r"^cam_1: photo x.png cannot be read") as caught:
        done(tmp_path, settings, records)
    if method == "prior":
        assert "cam_2" not in str(caught.value)
        assert "cam_2.png" in outputs(tmp_path)
    else:
        assert "; cam_2: memory ran out; " in str(caught.value)


def test_a_photo_where_the_fingerprint_says_nothing_is_named_and_the_others_done(tmp_path, capsys):
    """As a crop that lies where K was masked; and no snapshot but the last can reach 1 dB."""
    masked = np.zeros((64, 64), np.float32)
    short = dataclasses.replace(SETTINGS.inversion, stop_psnr=0.5)
    settings = dataclasses.replace(SETTINGS, inversion=short)
    records = [of(PHOTO[:, :64], "cam_1", masked), of(PHOTO[:, :64], "cam_2")]
    with pytest.raises(runs.FailedError, match=r"^cam_1: the fingerprint is constant [^;]*; give"):
        done(tmp_path, settings, records)
    assert "cam_2.png" in outputs(tmp_path)
    said = capsys.readouterr().err
    assert "runs end at inversion.stop_psnr of 0.5 dB" in said
    blind = dataclasses.replace(SETTINGS, mode="blind")
    (record,) = done(tmp_path / "blind", blind, records[:1])
    assert math.isnan(record.z_after)
    assert "runs end" not in capsys.readouterr().err


def test_more_versions_than_memory_holds_are_refused_before_the_work(tmp_path, monkeypatch):
    needed = 4 * 3 * (64 * 128 + 3 * 64 * 64)  # versions, channels, the photo and its tiles
    monkeypatch.setattr(confinement, "physical_memory", lambda: needed - 1)
    monkeypatch.setattr(tiling, "stated", None)
    with pytest.raises(runs.FailedError, match=r"cam_1: 4 versions .* 128x64 .*; give fewer assem"):
        done(tmp_path)
    monkeypatch.setattr(confinement, "physical_memory", lambda: needed)
    with pytest.raises(TypeError, match="not callable"):
        done(tmp_path)


def test_tiles_of_several_photos_share_the_slots_with_photos_of_their_size(tmp_path, monkeypatch):
    """The order of photos changes nothing, nor does what lies beside a tile."""
    records = [of(PHOTO[:, :64], "cam_0"), of(PHOTO), of(PHOTO[:, :100], "cam_2")]
    one = done(tmp_path / "one", records=records)
    other = done(tmp_path / "other", records=records[::-1])
    assert [record.id for record in one] != [record.id for record in other]
    assert outputs(tmp_path / "one") == outputs(tmp_path / "other")
    summary = json.loads((tmp_path / "one" / "summary.json").read_text())
    tiles = [photo["results"][0].get("tiles") for photo in summary["photos"]]
    assert tiles == [None, 3, 3]


@pytest.mark.parametrize("mode", ["aware", "blind"])
def test_a_tile_without_noise_stays_and_a_photo_without_any_is_named(mode, tmp_path):
    black = PHOTO.copy()
    black[:, 32:] = 0
    settings = dataclasses.replace(SETTINGS, mode=mode)
    with pytest.raises(runs.FailedError, match=r"^cam_2: .*noise to remove.*; leave it out$"):
        done(tmp_path, settings, [of(black), of(np.zeros_like(PHOTO), "cam_2")])
    with Image.open(tmp_path / "photos" / "cam_1.png") as written:
        pixels = np.asarray(written)
    np.testing.assert_array_equal(pixels[:, 96:], 0)
    assert (pixels[:, :32] != PHOTO[:, :32]).any()
    (record,) = json.loads((tmp_path / "summary.json").read_text())["photos"]
    assert record["results"][0]["tiles"] == 1


def test_the_minutes_of_a_photo_are_shared_by_its_tiles(tmp_path):
    settings = dataclasses.replace(SETTINGS, max_minutes=1e-9)
    (record,) = done(tmp_path, settings)
    assert record.out_of_time is True
    assert record.steps == 9, "one chunk of each"
    assert math.isfinite(record.psnr)
