"""Manifests: the same files give the same manifest anywhere, and a changed one is named."""

import copy
import hashlib
import io
import json
import shutil

import numpy as np
import pytest
from PIL import Image

from dippas_jax import config
from dippas_jax.datasets import folder, manifests, reader, synthetic
from dippas_jax.types import InputError


@pytest.fixture
def dataset(tmp_path):
    draw = np.random.default_rng(0)
    for name in ("a/photos/1.png", "a/photos/2.png", "b/photos/3.png", "a/flat/f.png"):
        path = tmp_path / "set" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(draw.integers(0, 256, (70, 140, 3), np.uint8)).save(path)
    for device in ("a", "b"):
        buffer = io.BytesIO()
        np.save(buffer, draw.normal(size=(70, 140)).astype(np.float32))
        (tmp_path / "set" / device / "prnu.npy").write_bytes(buffer.getvalue())
    return tmp_path / "set"


def load(root):
    return reader.load(config.Data(folder=str(root), crop=64, crops=0))


def flats(root):
    return {"a": folder.flat_files(root, "a")}


def test_a_manifest_names_every_file_with_its_hash_and_every_crop_with_its_place(dataset):
    made = manifests.manifest(load(dataset), flats(dataset))

    def hashed(name):
        return {"file": name, "sha256": hashlib.sha256((dataset / name).read_bytes()).hexdigest()}

    assert len(made["records"]) == 6
    first = made["records"][0]
    assert first == {
        "id": "a_1_r2c6",
        "device": "a",
        **hashed("a/photos/1.png"),
        "window": {"photo": [70, 140], "top": 2, "left": 6, "height": 64, "width": 64},
    }
    assert made["fingerprints"] == {"a": hashed("a/prnu.npy"), "b": hashed("b/prnu.npy")}
    assert made["flats"] == {"a": [hashed("a/flat/f.png")]}


def test_the_place_of_the_folder_does_not_matter_and_json_loses_nothing(dataset, tmp_path):
    made = manifests.manifest(load(dataset), flats(dataset))
    back = json.loads(json.dumps(made))
    assert back == made
    moved = tmp_path / "elsewhere" / "other"
    shutil.copytree(dataset, moved)
    assert manifests.manifest(load(moved), flats(moved)) == made
    manifests.check(load(moved), back, flats(moved))


def change(name, root):
    path = root / name
    pixels = np.array(Image.open(path))
    pixels[0, 0, 0] ^= 1
    Image.fromarray(pixels).save(path)


def test_a_changed_photo_is_named(dataset):
    made = manifests.manifest(load(dataset))
    change("a/photos/2.png", dataset)
    with pytest.raises(InputError, match=r"photo a_2_r2c6 .* sha256") as caught:
        manifests.check(load(dataset), made)
    assert "\n" not in str(caught.value)


def test_a_changed_fingerprint_and_a_changed_flat_field_are_named(dataset):
    made = manifests.manifest(load(dataset), flats(dataset))
    change("a/flat/f.png", dataset)
    with pytest.raises(InputError, match="flat-field photo 1 of a"):
        manifests.check(load(dataset), made, flats(dataset))
    np.save(dataset / "b" / "prnu.npy", np.load(dataset / "b" / "prnu.npy") * 2)
    with pytest.raises(InputError, match="the fingerprint of b"):
        manifests.check(load(dataset), made, flats(dataset))


def test_a_changed_published_photo_is_named_unless_an_earlier_version_did_not_pin_it(dataset):
    records, published = load(dataset), {"soft": [dataset / "a/photos/2.png"]}
    made = manifests.manifest(records, None, published)
    assert made["published"]["soft"][0]["file"] == "a/photos/2.png"
    manifests.check(records, made, None, published)
    other = {"soft": [dataset / "b/photos/3.png"]}
    with pytest.raises(InputError, match=r"published photo a/photos/2.png of soft is in the manif"):
        manifests.check(records, made, None, other)
    del made["published"]
    manifests.check(records, made, None, other)


def test_missing_added_and_reordered_photos_are_told(dataset):
    records = load(dataset)
    made = manifests.manifest(records)
    with pytest.raises(InputError, match="photo b_3_r2c70 is in the manifest but not here"):
        manifests.check(records[:-1], made)
    fewer = copy.deepcopy(made)
    del fewer["records"][0]
    with pytest.raises(InputError, match="photo a_1_r2c6 is here but not in the manifest"):
        manifests.check(records, fewer)
    with pytest.raises(InputError, match="another order"):
        manifests.check(records[::-1], made)


def test_another_crop_is_told(dataset):
    made = manifests.manifest(load(dataset))
    moved = copy.deepcopy(made)
    moved["records"][1]["window"]["top"] = 0
    with pytest.raises(InputError, match="window is"):
        manifests.check(load(dataset), moved)


@pytest.mark.parametrize("wrong", [{}, {"records": 3}, [], {"records": [{}]}, None])
def test_what_is_no_manifest_is_refused(dataset, wrong):
    with pytest.raises(InputError, match="write a new one"):
        manifests.check(load(dataset), wrong)


def test_simulated_photos_are_pinned_by_their_pixels():
    records = synthetic.records(size=64, count=2)
    made = manifests.manifest(records)
    pixels = records[1].read().pixels
    assert made["records"][1]["sha256"] == hashlib.sha256(pixels.tobytes()).hexdigest()
    assert made["records"][1]["file"] == ""
    assert made["fingerprints"] == {}
    with pytest.raises(
        InputError, match=r"photo synthetic_0_coffee_0 is in the manifest but not here"
    ):
        manifests.check(synthetic.records(size=64, count=2, seed=1), made)


def test_a_file_that_went_away_is_named(dataset):
    records = load(dataset)
    made = manifests.manifest(records, flats(dataset))
    gone = {"a": [dataset / "a" / "flat" / "gone.png"]}
    with pytest.raises(InputError, match=r"gone.png cannot be read"):
        manifests.check(records, made, gone)
