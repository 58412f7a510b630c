"""Public datasets as distributed: which photos are whose, and what is said without them."""

import dataclasses
import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dippas_jax import config
from dippas_jax.datasets import folder, layouts, presets, reader
from dippas_jax.types import InputError


def add(path, height=80, width=100):
    """A photo, or a fingerprint, of that size."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draw = np.random.default_rng(len(path.name))
    if path.suffix in (".npy", ".npz"):
        buffer = io.BytesIO()
        np.save(buffer, draw.normal(size=(height, width)).astype(np.float32))
        path.write_bytes(buffer.getvalue())
    else:
        pixels = draw.integers(0, 256, (height, width, 3), np.uint8)
        Image.fromarray(pixels).save(path, "PNG" if path.suffix == ".png" else "JPEG")


def build(root, names):
    for name in names.split():
        add(root / name)
    return root


DRESDEN = {
    "one folder for all": """natural/Nikon_D70_0_19446.JPG natural/Nikon_D70_0_19445.JPG
        natural/Nikon_D70s_1_22750.JPG natural/Pentax_OptioA40_2_33222.JPG natural/readme.png
        flat/Nikon_D70_0_19929.JPG flat/Nikon_D70_0_19931.JPG flat/Nikon_D70s_1_23220.JPG""",
    "a folder a camera": """Nikon_D70_0/natural/Nikon_D70_0_19446.JPG
        Nikon_D70_0/natural/Nikon_D70_0_19445.JPG Nikon_D70s_1/natural/Nikon_D70s_1_22750.JPG
        Pentax_OptioA40_2/natural/Pentax_OptioA40_2_33222.JPG
        Nikon_D70_0/flat/Nikon_D70_0_19931.JPG Nikon_D70_0/flat/Nikon_D70_0_19929.JPG
        Nikon_D70s_1/flat/Nikon_D70s_1_23220.JPG""",
    "a folder a model": """Nikon_D70/Nikon_D70_0_19446.JPG Nikon_D70/Nikon_D70_0_19445.JPG
        Nikon_D70s/Nikon_D70s_1_22750.JPG Pentax_OptioA40_2/Pentax_OptioA40_2_33222.JPG
        flat/Nikon_D70_0_19929.JPG flat/Nikon_D70_0_19931.JPG flat/Nikon_D70s_1_23220.JPG""",
}
"""The same photos in the ways in which people keep them."""

VISION = """D12_Sony_XperiaZ1Compact/images/nat/D12_I_nat_0002.jpg
    D12_Sony_XperiaZ1Compact/images/nat/D12_I_nat_0001.jpg
    D12_Sony_XperiaZ1Compact/images/natFBH/D12_I_natFBH_0001.jpg
    D12_Sony_XperiaZ1Compact/images/flat/D12_I_flat_0001.jpg
    D17_Microsoft_Lumia640LTE/images/nat/D17_I_nat_0001.jpg
    notes/images/nat/D99_I_nat_0001.jpg"""


def ids(records):
    return [record.id for record in records]


def test_the_documents_list_every_extension_of_a_photo():
    text = (Path(__file__).parents[2] / "docs" / "formats.md").read_text(encoding="utf-8")
    assert f"({' '.join(layouts.PHOTO_EXTENSIONS)}, any case)" in text


@pytest.mark.parametrize("kept", DRESDEN)
def test_dresden_photos_are_their_cameras_wherever_they_lie(tmp_path, kept):
    build(tmp_path, DRESDEN[kept])
    records = reader.load(
        config.Data(folder=str(tmp_path), layout="dresden"), need_fingerprint=False
    )
    assert [(record.id, record.device) for record in records] == [
        ("Nikon_D70_0_19445", "Nikon_D70_0"),
        ("Nikon_D70_0_19446", "Nikon_D70_0"),
        ("Nikon_D70s_1_22750", "Nikon_D70s_1"),
        ("Pentax_OptioA40_2_33222", "Pentax_OptioA40_2"),
    ]
    assert reader.check(records) == [(80, 100)] * 4


@pytest.mark.parametrize("kept", DRESDEN)
def test_dresden_flat_fields_are_found_and_kept_apart_from_the_photos(tmp_path, kept):
    build(tmp_path, DRESDEN[kept])
    files = folder.flat_files(tmp_path, "Nikon_D70_0", layout="dresden")
    assert [path.name for path in files] == ["Nikon_D70_0_19929.JPG", "Nikon_D70_0_19931.JPG"]
    assert folder.flat_files(tmp_path, "Pentax_OptioA40_2", layout="dresden") == []
    data = config.Data(folder=str(tmp_path), layout="dresden")
    assert [read().shape for read in reader.flats(data, "Nikon_D70s_1")] == [(80, 100, 3)]


@pytest.mark.parametrize("above", ["", "dataset"])
def test_vision_gives_the_natural_photos_and_the_flat_fields(tmp_path, above):
    build(tmp_path / above, VISION)
    records = reader.load(
        config.Data(folder=str(tmp_path), layout="vision"), need_fingerprint=False
    )
    assert ids(records) == ["D12_I_nat_0001", "D12_I_nat_0002", "D17_I_nat_0001"]
    assert records[0].device == "D12_Sony_XperiaZ1Compact"
    (flat,) = folder.flat_files(tmp_path, "D12_Sony_XperiaZ1Compact", layout="vision")
    assert flat.name == "D12_I_flat_0001.jpg"


def test_vision_may_be_one_camera_and_another_kind_of_photo(tmp_path):
    build(tmp_path, VISION)
    options = {"layout": "vision", "need_fingerprint": False}
    one = tmp_path / "D12_Sony_XperiaZ1Compact"
    assert ids(folder.records(one, **options)) == ["D12_I_nat_0001", "D12_I_nat_0002"]
    records = folder.records(tmp_path, photos=("natFBH",), **options)
    assert ids(records) == ["D12_I_natFBH_0001"]


def test_vision_cameras_may_be_called_by_their_number(tmp_path):
    build(tmp_path, VISION)
    options = {"layout": "vision", "need_fingerprint": False}
    for name in ("D17", "D17_Microsoft_Lumia640LTE"):
        assert ids(folder.records(tmp_path, devices=(name,), **options)) == ["D17_I_nat_0001"]
    with pytest.raises(InputError, match="device D1 is not in"):
        folder.records(tmp_path, devices=("D1",), **options)


@pytest.mark.parametrize("place", ["fingerprints/Nikon_D70_0.npy", "Nikon_D70_0/prnu.npy"])
def test_a_camera_without_a_folder_has_its_fingerprint_under_its_name(tmp_path, place):
    build(tmp_path, "natural/Nikon_D70_0_1.JPG natural/Nikon_D70_1_2.JPG")
    add(tmp_path / place)
    records = folder.records(tmp_path, layout="dresden", devices=("Nikon_D70_0",))
    assert records[0].fingerprint == tmp_path / place
    assert records[0].read().fingerprint.shape == (80, 100)
    with pytest.raises(InputError, match=r"Nikon_D70_1 .* as fingerprints/Nikon_D70_1.npy"):
        folder.records(tmp_path, layout="dresden")


def test_two_fingerprints_in_two_places_are_refused(tmp_path):
    build(tmp_path, "Nikon_D70_0/natural/Nikon_D70_0_1.JPG Nikon_D70_0/prnu.npy")
    add(tmp_path / "fingerprints" / "Nikon_D70_0.npz")
    with pytest.raises(InputError, match=r"2 fingerprints \(prnu.npy, Nikon_D70_0.npz\)"):
        folder.records(tmp_path, layout="dresden")


@pytest.fixture
def turned(tmp_path):
    """A phone that turned some of its photos upright."""
    home = tmp_path / "D21_Wiko_Ridge4G" / "images" / "nat"
    for number, size in enumerate([(100, 80), (80, 100), (100, 80), (80, 100), (100, 80)]):
        add(home / f"D21_I_nat_{number}.jpg", *size)
    return tmp_path


def test_photos_of_another_size_than_most_are_passed_over_and_named(turned):
    data = config.Data(folder=str(turned), layout="vision")
    records = reader.load(data, need_fingerprint=False)
    assert ids(records) == ["D21_I_nat_0", "D21_I_nat_2", "D21_I_nat_4"]
    left_out = reader.passed_over(data)
    assert [path.stem for path in left_out] == ["D21_I_nat_1", "D21_I_nat_3"]


def test_a_fingerprint_says_which_size_is_the_sensors(turned):
    add(turned / "D21_Wiko_Ridge4G" / "prnu.npy", 80, 100)
    records = folder.records(turned, layout="vision")
    assert ids(records) == ["D21_I_nat_1", "D21_I_nat_3"]
    assert ids(folder.records(turned, layout="vision", per_device=1)) == ["D21_I_nat_1"]
    assert reader.check(records) == [(80, 100)] * 2


def test_a_photo_that_cannot_be_read_is_not_passed_over_in_silence(turned):
    (turned / "D21_Wiko_Ridge4G" / "images" / "nat" / "D21_I_nat_1.jpg").write_bytes(b"damaged")
    records = folder.records(turned, layout="vision", need_fingerprint=False)
    with pytest.raises(InputError, match="D21_I_nat_1"):
        reader.check(records)


def test_in_the_plain_layout_photos_of_all_sizes_are_read(tmp_path):
    add(tmp_path / "cam" / "a.png", 80, 100)
    add(tmp_path / "cam" / "b.png", 100, 80)
    data = config.Data(folder=str(tmp_path))
    records = reader.load(data, need_fingerprint=False)
    assert reader.check(records) == [(80, 100), (100, 80)]
    assert reader.passed_over(data) == []


def test_flat_fields_of_another_size_are_left_out(tmp_path):
    add(tmp_path / "cam" / "flat" / "1.png", 80, 100)
    add(tmp_path / "cam" / "flat" / "2.png", 100, 80)
    add(tmp_path / "cam" / "photos" / "3.png")
    data = config.Data(folder=str(tmp_path))
    assert len(reader.flats(data, "cam")) == 2
    (read,) = reader.flats(data, "cam", "flat", (100, 80))
    assert read().shape == (100, 80, 3)
    assert reader.flats(data, "other") == []
    assert reader.flats(data, "cam", "dark") == []
    one = config.Data(folder=str(tmp_path / "cam"))
    assert len(reader.flats(one, "cam")) == 2, "the folder may be the device"


@pytest.mark.parametrize("preset", [presets.DRESDEN, presets.VISION], ids=["dresden", "vision"])
def test_the_paper_sets_are_six_cameras_of_a_hundred_centre_crops(tmp_path, preset):
    assert (len(preset.devices), preset.per_device, preset.crop, preset.crops) == (6, 100, 512, 1)
    for device in preset.devices:
        label = layouts.label(device, preset.layout)
        where = f"{device}/images/nat" if preset.layout == "vision" else preset.photos[0]
        for number in (1, 2, 3):
            add(tmp_path / where / f"{label}_I_nat_{number}.jpg", 64, 66)
            add(tmp_path / where / f"{label}_{number}.jpg", 64, 66)
    some = dataclasses.replace(preset, folder=str(tmp_path), per_device=2, crop=64)
    records = reader.load(some, need_fingerprint=False)
    devices = [record.device for record in records]
    assert sorted(set(devices)) == sorted(preset.devices)
    assert len(devices) == 12
    assert len(set(ids(records))) == 12


@pytest.mark.parametrize("preset", [presets.DRESDEN, presets.VISION], ids=["dresden", "vision"])
@pytest.mark.parametrize("state", ["unnamed", "empty", "incomplete"])
def test_missing_data_is_one_sentence_that_says_where_to_get_it(tmp_path, preset, state):
    data = dataclasses.replace(preset, folder="" if state == "unnamed" else str(tmp_path))
    if state == "incomplete":
        build(tmp_path, VISION if preset.layout == "vision" else DRESDEN["one folder for all"])
    with pytest.raises(InputError) as caught:
        reader.load(data, need_fingerprint=False)
    message = str(caught.value)
    assert "http" in message
    assert {"dresden": "natural/*.JPG", "vision": "images/nat"}[preset.layout] in message
    assert "\n" not in message
    assert ". " not in message
    if state == "incomplete":
        assert preset.devices[-1] in message or preset.devices[1] in message
