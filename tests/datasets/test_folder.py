"""Folders of photos: what is found, under which name, with which part of the fingerprint."""

import io
import os
import pickle

import numpy as np
import pytest
from PIL import Image

from dippas_jax import config
from dippas_jax.datasets import folder, reader
from dippas_jax.io import files as store
from dippas_jax.io import fingerprint_file
from dippas_jax.io import photo as photo_file
from dippas_jax.types import InputError, Window


def pixels(height=80, width=100, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


def plane(height=80, width=100, seed=0):
    return np.random.default_rng(seed).normal(size=(height, width)).astype(np.float32)


def add(path, array):
    """Write a photo or a fingerprint, by the array's type, whatever the name."""
    path.parent.mkdir(parents=True, exist_ok=True)
    buffer = io.BytesIO()
    if array.dtype == np.uint8:
        Image.fromarray(array).save(buffer, "PNG")
    else:
        np.save(buffer, array)
    path.write_bytes(buffer.getvalue())


@pytest.fixture
def dataset(tmp_path):
    """Two devices, photos in all the places they may be, and what must be passed over."""
    add(tmp_path / "D70" / "photos" / "D70_2.png", pixels(seed=2))
    add(tmp_path / "D70" / "photos" / "D70_1.TIFF", pixels(seed=1))
    add(tmp_path / "D70" / "direct.PNG", pixels(seed=3))
    add(tmp_path / "D70" / "prnu.npy", plane(seed=1))
    add(tmp_path / "D200" / "natural" / "D200_9.png", pixels(seed=4))
    add(tmp_path / "D200" / "Fingerprint.NPY", plane(seed=2))
    for passed_over in (".hidden.png", "published/other/D70_1.png", "flat/D70_8.png"):
        add(tmp_path / "D70" / passed_over, pixels())
    (tmp_path / "D70" / "photos" / "notes.txt").write_text("notes")
    (tmp_path / "empty").mkdir()
    (tmp_path / "README.md").write_text("a dataset")
    return tmp_path


def ids(records):
    return [record.id for record in records]


def assert_lies_there(sample):
    """The plane is made of the photo's pixels; what reads it subtracts the mean of the whole."""
    away = sample.fingerprint - sample.pixels[..., 0]
    assert abs(away.mean()) > 50
    np.testing.assert_allclose(away, away.mean(), atol=1e-3)


def test_photos_are_found_in_order_of_their_names(dataset):
    records = folder.records(dataset)
    assert ids(records) == ["D200_9", "D70_direct", "D70_1", "D70_2"]
    assert [record.device for record in records] == ["D200", "D70", "D70", "D70"]


def test_a_record_reads_its_photo_and_the_fingerprint_of_its_device(dataset):
    first, *_, last = folder.records(dataset)
    np.testing.assert_array_equal(first.read().pixels, pixels(seed=4))
    np.testing.assert_array_equal(first.read().fingerprint, plane(seed=2))
    np.testing.assert_array_equal(last.read().pixels, pixels(seed=2))
    np.testing.assert_array_equal(last.read().fingerprint, plane(seed=1))


def test_a_folder_may_be_one_device_and_may_be_named_by_a_dot(dataset, monkeypatch):
    expected = ["D70_direct", "D70_1", "D70_2"]
    assert ids(folder.records(dataset / "D70")) == expected
    monkeypatch.chdir(dataset / "D70")
    assert ids(folder.records(".")) == expected


def test_the_options_choose_photos_and_devices(dataset):
    assert ids(folder.records(dataset, devices=["D70"], limit=2)) == ["D70_direct", "D70_1"]
    assert ids(folder.records(dataset, limit=9)) == ids(folder.records(dataset))
    assert ids(folder.records(dataset, photos=("flat",))) == ["D70_direct", "D70_8"]


def test_load_reads_the_folder_of_a_config(dataset):
    options = {"folder": str(dataset), "devices": ("D200",), "crop": 64}
    (record,) = reader.load(config.Data(**options))
    assert record.id == "D200_9"
    assert reader.check([record]) == [(64, 64)]


def test_records_can_be_sent_to_another_process(dataset):
    record = pickle.loads(pickle.dumps(folder.records(dataset)[0]))
    np.testing.assert_array_equal(record.read().pixels, pixels(seed=4))


def test_equal_names_are_told_apart_and_unsafe_ones_made_safe(tmp_path):
    for name in ("photos/a.png", "natural/A.png", "natural/b.png", "natural/b.jpg", "b.png"):
        add(tmp_path / "cam" / name, pixels())
    add(tmp_path / "cam" / "photos" / "é: *?.png", pixels())
    add(tmp_path / "cam_a" / "photos" / "x.png", pixels())
    add(tmp_path / "cam" / "photos" / "a_x.png", pixels())
    found = ids(folder.records(tmp_path, need_fingerprint=False))
    assert found == [
        "cam_b",
        "cam_a_photos",
        "cam_a_x_photos_png",
        "cam_é_",
        "cam_A_natural",
        "cam_b_natural_jpg",
        "cam_b_natural_png",
        "cam_a_x_photos_png_2",  # device cam_a, photo x
    ]
    assert len({name.casefold() for name in found}) == len(found)
    for name in found:
        assert not set(name) & set('/\\:*?"<>| ')


def test_a_long_name_leaves_room_for_endings_and_is_still_its_own(tmp_path):
    device, start = "c" * 120, "é" * 100
    for name in (f"photos/{start}1.png", f"photos/{start}2.png", f"natural/{start}2.png"):
        add(tmp_path / device / name, pixels())
    found = ids(folder.records(tmp_path, need_fingerprint=False))
    assert len(set(found)) == 3
    assert all(name.startswith(f"{device}_éé") for name in found)
    for name in found:
        assert len(f"{name}_r10000c10000.B512.L10.tau38.5.png".encode()) < 255
    assert found == ids(folder.records(tmp_path, need_fingerprint=False))


def test_no_photo_is_named_as_what_is_written_beside_another(tmp_path):
    names = ("x", "x.Figure", "x.history", "x.B64.L10.tau38", "x.psnr44.0", "x.jpg.v2")
    for name in names:
        add(tmp_path / "cam" / "photos" / f"{name}.png", pixels())
    assert set(ids(folder.records(tmp_path, need_fingerprint=False))) == {
        "cam_x",
        "cam_x_Figure",
        "cam_x_history",
        "cam_x_B64.L10.tau38",
        "cam_x_psnr44.0",
        "cam_x.jpg.v2",
    }


@pytest.mark.parametrize(
    ("photo", "print_", "crop"),
    [
        ((80, 100), (80, 100), 64),  # the whole photo's fingerprint
        ((80, 100), (70, 70), 64),  # that of the centre
        ((81, 100), (70, 71), 64),  # odd margins: the two cuts must not part
        ((80, 101), (71, 70), 65),
        ((83, 99), (65, 65), 65),
        ((64, 64), (64, 64), 64),
    ],
)
def test_photo_and_fingerprint_are_cropped_to_the_same_pixels(tmp_path, photo, print_, crop):
    whole = pixels(*photo)
    top, left = ((full - part) // 2 for full, part in zip(photo, print_, strict=True))
    known = whole[top : top + print_[0], left : left + print_[1], 0].astype(np.float32)
    add(tmp_path / "cam" / "a.png", whole)
    add(tmp_path / "cam" / "prnu.npy", known)
    sample = folder.records(tmp_path, crop=crop)[0].read()
    y, x = (photo[0] - crop) // 2, (photo[1] - crop) // 2
    np.testing.assert_array_equal(sample.pixels, whole[y : y + crop, x : x + crop])
    assert_lies_there(sample)


def test_the_window_says_where_on_the_photo_the_pixels_lie(tmp_path):
    whole = pixels(83, 99)
    add(tmp_path / "cam" / "a.png", whole)
    (record,) = folder.records(tmp_path, need_fingerprint=False)
    assert record.read().window == Window((83, 99), 0, 0, 83, 99)
    (record,) = folder.records(tmp_path, crop=64, need_fingerprint=False)
    assert record.read().window == Window((83, 99), 9, 17, 64, 64)
    assert record.id == "cam_a", "the centre crop is called as the photo is"
    assert (record.path, record.fingerprint) == (tmp_path / "cam" / "a.png", None)


def test_crops_of_photo_and_fingerprint_show_the_same_pixels(tmp_path):
    whole = pixels(140, 210)
    add(tmp_path / "cam" / "a.png", whole)
    add(tmp_path / "cam" / "prnu.npy", whole[..., 0].astype(np.float32))
    records = folder.records(tmp_path, crop=64, crops=0)
    assert ids(records)[:2] == ["cam_a_r6c72", "cam_a_r70c72"]
    assert len(records) == len(set(ids(records))) == 6
    for record in records:
        sample = record.read()
        top, left = sample.window.top, sample.window.left
        assert record.id == f"cam_a_r{top}c{left}"
        np.testing.assert_array_equal(sample.pixels, whole[top : top + 64, left : left + 64])
        assert_lies_there(sample)
    assert ids(folder.records(tmp_path, crop=64, crops=2)) == ids(records)[:2]


def test_a_fingerprint_of_the_centre_gives_the_crops_that_it_covers(tmp_path):
    whole = pixels(300, 400)
    known = whole[22:278, 72:328, 0].astype(np.float32)  # the centre 256x256
    add(tmp_path / "cam" / "a.png", whole)
    add(tmp_path / "cam" / "prnu.npy", known)
    records = folder.records(tmp_path, crop=64, crops=0)
    assert len(records) == 16
    for record in records:
        sample = record.read()
        assert_lies_there(sample)
    without = folder.records(tmp_path, crop=64, crops=0, need_fingerprint=False)
    assert len(without) == 24
    samples = [record.read() for record in without]
    some = [sample for sample in samples if sample.fingerprint is not None]
    assert 0 < len(some) < 24, "what it does not cover comes without"
    for sample in some:
        assert_lies_there(sample)


def test_a_fingerprint_that_says_where_it_lies_is_taken_from_there(tmp_path):
    whole = pixels(200, 210)
    known = whole[10:150, 4:150, 0].astype(np.float32)
    add(tmp_path / "cam" / "a.png", whole)
    stored = fingerprint_file.new(known, unit="grey", photo=(200, 210), offset=(10, 4))
    store.write_fingerprint_file(tmp_path / "cam" / "prnu.npz", stored)
    for options in ({"crops": 0}, {"crops": 1}):
        records = folder.records(tmp_path, crop=66, **options)
        for record in records:
            sample = record.read()
            assert_lies_there(sample)
    with pytest.raises(InputError, match=r"does not hold the pixels of data\.crop=150"):
        reader.check(folder.records(tmp_path, crop=150))
    with pytest.raises(InputError, match=r"does not hold the pixels of data\.crop=150"):
        folder.records(tmp_path, crop=150, crops=0)
    add(tmp_path / "cam" / "a.png", pixels(210, 200))
    with pytest.raises(InputError, match="of photos of 210x200 and does not fit photo"):
        reader.check(folder.records(tmp_path, crop=64))


def test_the_crops_of_a_photo_decode_it_once(dataset, monkeypatch):
    decoded = []
    read = photo_file.read_pixels
    monkeypatch.setattr(photo_file, "read_pixels", lambda path: decoded.append(path) or read(path))
    add(dataset / "Z" / "wide.png", pixels(70, 200))
    records = folder.records(dataset, crop=64, crops=0, need_fingerprint=False)
    assert len(records) == 7
    reader.check(records)
    assert len(decoded) == len(set(decoded)) == 5


def test_a_photo_that_changes_is_decoded_again(tmp_path):
    path = tmp_path / "cam" / "a.png"
    add(path, pixels(seed=1))
    (record,) = folder.records(tmp_path, need_fingerprint=False)
    record.read().pixels[:] = 0  # a reader's copy is its own
    np.testing.assert_array_equal(record.read().pixels, pixels(seed=1))
    add(path, pixels(seed=2))
    os.utime(path, ns=(1, 1))
    np.testing.assert_array_equal(record.read().pixels, pixels(seed=2))


def test_so_many_photos_of_each_device(dataset):
    assert ids(folder.records(dataset, per_device=1)) == ["D200_9", "D70_direct"]
    assert ids(folder.records(dataset, per_device=2, limit=2)) == ["D200_9", "D70_direct"]
    wide = folder.records(dataset, per_device=1, crop=64, crops=0)
    assert [record.device for record in wide] == ["D200", "D70"], "photos are counted, not crops"


def test_a_plain_folder_of_photos_is_one_camera_without_a_fingerprint(tmp_path):
    for name in ("holiday.png", "IMG 1.png"):
        add(tmp_path / "mine" / name, pixels(seed=len(name)))
    records = reader.load(
        config.Data(folder=str(tmp_path / "mine"), crop=64), need_fingerprint=False
    )
    assert ids(records) == ["mine_IMG_1", "mine_holiday"]
    assert {record.device for record in records} == {"mine"}
    assert [record.read().fingerprint for record in records] == [None, None]


def test_without_need_a_fingerprint_may_be_absent_and_is_read_where_it_is_there(tmp_path):
    add(tmp_path / "a" / "a.png", pixels())
    add(tmp_path / "b" / "b.png", pixels())
    add(tmp_path / "b" / "prnu.npy", plane())
    without, having = folder.records(tmp_path, need_fingerprint=False)
    assert without.read().fingerprint is None
    np.testing.assert_array_equal(having.read().fingerprint, plane())


def test_a_device_beyond_the_limit_needs_no_fingerprint(tmp_path):
    add(tmp_path / "a" / "1.png", pixels())
    add(tmp_path / "a" / "prnu.npy", plane())
    add(tmp_path / "b" / "1.png", pixels())
    assert ids(folder.records(tmp_path, limit=1)) == ["a_1"]


# ------------------------------------------------------------------------------------- refused


def make(**files):
    """A builder of folders: names with __ for the slash and _dot_ for the dot."""

    def build(root):
        for name, array in files.items():
            path = root / name.replace("__", "/").replace("_dot_", ".")
            if array is None:
                path.mkdir(parents=True)
            else:
                add(path, array)

    return build


ONE = {"cam__a_dot_png": pixels()}
BAD_FOLDERS = {
    "without photos": (make(cam=None), {}, "holds no photos"),
    "with photos where none are looked for": (
        make(cam__misc__a_dot_png=pixels()),
        {},
        "DEVICE/photos|natural|crop512/",
    ),
    "fingerprint but no photo": (make(cam__prnu_dot_npy=plane()), {}, "holds no photos"),
    "no fingerprint": (make(**ONE), {}, "prnu.npy (or .npz, .mat)"),
    "two fingerprints": (
        make(**ONE, cam__prnu_dot_npy=plane(), cam__fingerprint_dot_npz=plane()),
        {},
        "fingerprint.npz, prnu.npy",
    ),
    "unknown device": (
        make(**ONE, cam2__a_dot_png=pixels()),
        {"devices": ["cam3"]},
        "it holds cam, cam2",
    ),
    "crop too small": (make(**ONE), {"crop": 63}, "at least 64"),
    "negative crop": (make(**ONE), {"crop": -64}, "at least 64"),
    "subfolder elsewhere": (make(**ONE), {"photos": ["../x"]}, "'../x'"),
    "crops without their side": (make(**ONE), {"crops": 4}, "give the side"),
    "negative number of crops": (make(**ONE), {"crop": 64, "crops": -1}, "or 0 for all"),
    "crops of a photo that is too small": (
        make(**ONE, cam__prnu_dot_npy=plane()),
        {"crop": 90, "crops": 0},
        "100x80 pixels is smaller than",
    ),
    "crops of a fingerprint that is too small": (
        make(**ONE, cam__prnu_dot_npy=plane(70, 70)),
        {"crop": 72, "crops": 0},
        "data.crop=70 or less",
    ),
    "crops of a damaged photo": (
        make(cam__a_dot_png=pixels(), cam__b_dot_png=plane()),
        {"crop": 64, "crops": 0, "need_fingerprint": False},
        "b.png is not a photo",
    ),
    "whole photo as subfolder": (make(**ONE), {"photos": ["."]}, "'.'"),
}

BAD_SAMPLES = {
    "crop larger than the photo": (pixels(), plane(), 81, "100x80 pixels is smaller than"),
    "fingerprint of the centre, whole photo asked": (
        pixels(),
        plane(70, 70),
        0,
        "choose data.crop=70 or less",
    ),
    "crop larger than the fingerprint": (pixels(), plane(70, 90), 72, "data.crop=70 or less"),
    "fingerprint larger than the photo": (pixels(), plane(90, 100), 64, "of 100x90 does not fit"),
    "tiny fingerprint": (pixels(), plane(20, 20), 0, "at this photo's size"),
    "transposed": (pixels(), plane(100, 80), 0, "orientation"),
    "transposed, cropped": (pixels(), plane(100, 80), 64, "orientation"),
    "nan": (pixels(), np.full((80, 100), np.nan, np.float32), 0, "nan"),
}


def assert_refused(caught, root, word):
    message = str(caught.value)
    assert "\n" not in message
    assert str(root) in message
    assert word in message
    assert ";" in message, "a message says what is wrong; and what to do"


@pytest.mark.parametrize("name", BAD_FOLDERS)
def test_folders_that_do_not_fit_are_refused_before_anything_is_read(tmp_path, name):
    build, options, word = BAD_FOLDERS[name]
    build(tmp_path)
    with pytest.raises(InputError) as caught:
        folder.records(tmp_path, **options)
    assert_refused(caught, tmp_path, word)


@pytest.mark.parametrize("name", ["absent", "file.png"])
def test_a_missing_folder_or_a_file_in_its_place_is_refused(tmp_path, name):
    add(tmp_path / "file.png", pixels())
    with pytest.raises(InputError) as caught:
        reader.load(config.Data(folder=str(tmp_path / name)))
    assert_refused(caught, tmp_path / name, "cannot be listed")


@pytest.mark.parametrize("name", BAD_SAMPLES)
def test_sizes_that_do_not_fit_are_found_by_the_check(tmp_path, name):
    photo, fingerprint, crop, word = BAD_SAMPLES[name]
    add(tmp_path / "cam" / "a.png", photo)
    add(tmp_path / "cam" / "prnu.npy", fingerprint)
    records = folder.records(tmp_path, crop=crop)
    with pytest.raises(InputError) as caught:
        reader.check(records)
    assert_refused(caught, tmp_path, word)


@pytest.mark.parametrize("content", [b"", b"words, not a photo"])
def test_the_check_finds_the_one_bad_photo_among_good_ones(dataset, content):
    bad = dataset / "D70" / "photos" / "D70_1.TIFF"
    assert reader.check(folder.records(dataset)) == [(80, 100)] * 4
    bad.write_bytes(content)
    with pytest.raises(InputError) as caught:
        reader.check(folder.records(dataset))
    assert_refused(caught, bad, "photo")


@pytest.mark.skipif(os.geteuid() == 0, reason="no folder is closed to root")
def test_a_closed_folder_is_refused(dataset):
    (dataset / "D70").chmod(0)
    try:
        with pytest.raises(InputError, match="cannot be listed"):
            folder.records(dataset)
    finally:
        (dataset / "D70").chmod(0o755)


def test_options_that_do_not_fit_are_refused():
    for wrong in ({"limit": -1}, {"per_device": -1}, {"cameras": 0}, {"layout": "Vision"}):
        with pytest.raises(InputError, match=rf"data\.{next(iter(wrong))} is .*; choose"):
            reader.load(config.Data(**wrong))
    with pytest.raises(InputError, match="simulated"):
        reader.load(config.Data(crop=64, crops=0))
    with pytest.raises(InputError, match="folder is empty"):
        reader.load(config.Data(devices=("D70",)))
