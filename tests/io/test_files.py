"""Files: what a photo and a fingerprint may be, and that what is written survives."""

import io
import json
import os
import pickle
import struct
import zlib
from pathlib import Path
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image, ImageFile

from dippas_jax.io import files, fingerprint_file, storage
from dippas_jax.io import photo as photo_file
from dippas_jax.types import InputError
from tests.messages import assert_one_sentence

H, W = 70, 90


def photo(height=H, width=W, seed=0):
    """Smooth colours with some noise, so that JPEG has something to do."""
    y, x = np.mgrid[:height, :width]
    base = np.stack([100 + 50 * np.sin(x / 9), 90 + 40 * np.cos(y / 7), 60 + x / 2], axis=-1)
    noise = np.random.default_rng(seed).normal(0, 8, base.shape)
    return np.clip(base + noise, 0, 255).astype(np.uint8)


def encoded(image, kind, **options):
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def rgb(kind, **options):
    return encoded(Image.fromarray(photo()), kind, **options)


def half(data):
    return data[: len(data) // 2]


def flipped(data):
    middle = len(data) // 2
    return data[:middle] + bytes([data[middle] ^ 16]) + data[middle + 1 :]


def in_mode(mode, kind="PNG", **options):
    return encoded(Image.fromarray(photo()).convert(mode), kind, **options)


def png(depth, kind, rows, extra=b""):
    """A PNG by hand: Pillow writes no 16-bit RGB."""

    def chunk(name, data):
        crc = zlib.crc32(name + data)
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", crc)

    header = struct.pack(">IIBBBBB", W, H, depth, kind, 0, 0, 0)
    raw = b"".join(b"\0" + row for row in rows)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + extra
        + chunk(b"IDAT", zlib.compress(raw))
        + chunk(b"IEND", b"")
    )


def with_alpha(alpha):
    image = Image.fromarray(photo())
    image.putalpha(Image.fromarray(np.full((H, W), alpha, np.uint8)))
    return image


def animation(kind):
    frames = [Image.fromarray(photo(seed=i)) for i in range(3)]
    return encoded(frames[0], kind, save_all=True, append_images=frames[1:])


def tiff16():
    import tifffile  # comes with scikit-image; Pillow writes no 16-bit RGB

    buffer = io.BytesIO()
    tifffile.imwrite(buffer, photo().astype(np.uint16) * 257, photometric="rgb")
    return buffer.getvalue()


# name: content, words the message must have
BAD_PHOTOS = {
    "text": (lambda: b"not a photo at all, only words" * 9, "not a photo"),
    "empty": (lambda: b"", "empty"),
    "gif": (lambda: in_mode("P", "GIF"), "GIF"),
    "jpeg cut in half": (lambda: half(rgb("JPEG")), "truncated"),
    "jpeg without its last bytes": (lambda: rgb("JPEG")[:-10], "truncated"),
    "png cut in half": (lambda: half(rgb("PNG")), "truncated"),
    "png with a flipped bit": (
        lambda: flipped(rgb("PNG")),
        "damaged",
    ),
    "webp cut in half": (lambda: half(rgb("WEBP")), "truncated"),
    "tiff cut in half": (lambda: half(rgb("TIFF")), "truncated"),
    "bmp cut in half": (lambda: half(rgb("BMP")), "truncated"),
    "lab tiff": (lambda: in_mode("LAB", "TIFF"), "LAB"),
    "float tiff": (lambda: in_mode("F", "TIFF"), "32 bits"),
    "transparent": (lambda: encoded(with_alpha(254), "PNG"), "transparent"),
    "transparent webp": (lambda: encoded(with_alpha(9), "WEBP", lossless=True), "transparent"),
    "transparent by colour": (
        lambda: png(8, 2, [bytes(3 * W)] * H, b"\0\0\0\x06tRNS" + bytes(6) + tail(bytes(6))),
        "transparent",
    ),
    "animated png": (lambda: animation("PNG"), "frames"),
    "animated webp": (lambda: animation("WEBP"), "frames"),
    "tiff of three pages": (lambda: animation("TIFF"), "frames"),
    "tiff cut in its header": (lambda: rgb("TIFF")[:10], "truncated"),
    "png cut in its header": (lambda: rgb("PNG")[:40], "truncated"),
    "jpeg cut in its header": (lambda: rgb("JPEG")[:30], "truncated"),
    "grey with one clear level": (lambda: in_mode("L", transparency=photo_level()), "transparent"),
    "small": (lambda: encoded(Image.fromarray(photo(63, 90)), "PNG"), "90x63"),
}


def photo_level():
    """A grey level that some pixels of the photo have."""
    return int(np.asarray(Image.fromarray(photo()).convert("L"))[5, 5])


def tail(data, name=b"tRNS"):
    return struct.pack(">I", zlib.crc32(name + data))


@pytest.mark.parametrize("name", BAD_PHOTOS)
def test_what_is_not_a_photo_of_opaque_pixels_is_refused_in_one_sentence(tmp_path, name):
    content, word = BAD_PHOTOS[name]
    path = tmp_path / "bad.png"
    path.write_bytes(content())
    with pytest.raises(InputError) as caught:
        photo_file.read_pixels(path)
    assert_one_sentence(str(caught.value), path, word)


@pytest.mark.parametrize(
    "content",
    [
        lambda: rgb("PNG"),
        lambda: rgb("TIFF"),
        lambda: rgb("TIFF", compression="tiff_lzw"),
        lambda: rgb("WEBP", lossless=True),
        lambda: rgb("BMP"),
        lambda: encoded(with_alpha(255), "PNG"),
        lambda: rgb("PNG", transparency=(1, 2, 3)),  # no pixel has that colour
    ],
)
def test_lossless_photos_arrive_as_they_were_stored(tmp_path, content):
    path = tmp_path / "photo.any"  # the content decides, not the name
    path.write_bytes(content())
    pixels = photo_file.read_pixels(path)
    assert pixels.dtype == np.uint8
    assert pixels.flags.writeable
    np.testing.assert_array_equal(pixels, photo())


KINDS = {
    "grey": lambda: in_mode("L"),
    "grey with alpha": lambda: in_mode("LA"),
    "black and white": lambda: in_mode("1"),
    "palette": lambda: in_mode("P"),
    "cmyk": lambda: in_mode("CMYK", "TIFF"),
    "16-bit grey png": lambda: encoded(Image.fromarray(deep(photo()[..., 0])), "PNG"),
    "16-bit grey tiff": lambda: encoded(Image.fromarray(deep(photo()[..., 0])), "TIFF"),
    "16-bit rgb png": lambda: png(16, 2, [deep(row).astype(">u2").tobytes() for row in photo()]),
    "16-bit rgb tiff": tiff16,
}


def deep(array):
    """8 bits as 16."""
    return array.astype(np.uint16) * 257


@pytest.mark.parametrize("name", KINDS)
def test_photos_of_every_kind_arrive_in_colours_of_8_bits(tmp_path, name):
    path = tmp_path / "photo"
    path.write_bytes(KINDS[name]())
    pixels = photo_file.read_pixels(path)
    assert (pixels.dtype, pixels.shape) == (np.uint8, (H, W, 3))
    assert pixels.flags.writeable
    if name.startswith("16-bit"):
        expected = photo()[..., :1] if "grey" in name else photo()
    else:
        expected = np.asarray(Image.open(path).convert("RGB"))
    np.testing.assert_array_equal(pixels, np.broadcast_to(expected, pixels.shape))
    assert photo_file.size(path) == (H, W)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF", "WEBP"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_an_exif_orientation_is_not_applied(tmp_path, kind, orientation):
    exif = Image.Exif()
    exif[274] = orientation
    options = {"lossless": True} if kind == "WEBP" else {}
    path = tmp_path / "photo"
    path.write_bytes(rgb(kind, exif=exif, **options))
    pixels = photo_file.read_pixels(path)
    assert pixels.shape == (H, W, 3)
    assert np.abs(pixels.astype(float) - photo()).mean() < 12  # JPEG changes a little


def test_a_jpeg_with_a_preview_behind_it_is_one_photo(tmp_path):
    path = tmp_path / "phone.jpg"
    path.write_bytes(animation("MPO"))
    assert photo_file.read_pixels(path).shape == (H, W, 3)


def test_truncated_photos_are_refused_whatever_another_library_chose(tmp_path, monkeypatch):
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", True)
    path = tmp_path / "cut.jpg"
    path.write_bytes(half(rgb("JPEG")))
    with pytest.raises(InputError, match="truncated"):
        photo_file.read_pixels(path)
    assert ImageFile.LOAD_TRUNCATED_IMAGES is True


def test_a_decompression_bomb_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", H * W // 3)
    path = tmp_path / "bomb.png"
    path.write_bytes(rgb("PNG"))
    with pytest.raises(InputError, match="pixels; crop it"):
        photo_file.read_pixels(path)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF", "WEBP"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_header_tells_the_size_as_read_and_the_orientation(tmp_path, kind, orientation):
    exif = Image.Exif()
    exif[274] = orientation
    path = tmp_path / "photo"
    path.write_bytes(rgb(kind, exif=exif))
    assert photo_file.size(path) == photo_file.read_pixels(path).shape[:2] == (H, W)
    assert photo_file.orientation(path) == orientation


def test_a_header_without_an_orientation_is_upright_and_none_at_all_is_refused(tmp_path):
    path = tmp_path / "photo"
    path.write_bytes(rgb("PNG"))
    assert photo_file.orientation(path) == 1
    path.write_bytes(b"no photo")
    for read in (photo_file.size, photo_file.orientation):
        with pytest.raises(InputError) as caught:
            read(path)
        assert_one_sentence(str(caught.value), path, "not a photo")


@pytest.mark.parametrize("read", [photo_file.size, photo_file.orientation])
def test_a_header_that_is_not_there_is_not_called_a_damaged_one(tmp_path, read):
    for path in (tmp_path / "absent", tmp_path):
        with pytest.raises(InputError) as caught:
            read(path)
        assert_one_sentence(str(caught.value), path, "cannot be read")


@pytest.mark.parametrize("read", [photo_file.read_pixels, files.read_fingerprint, files.read_json])
def test_missing_files_and_folders_are_refused(tmp_path, read):
    for path in (tmp_path / "absent", tmp_path, "nul\0byte"):
        with pytest.raises(InputError) as caught:
            read(path)
        assert_one_sentence(str(caught.value), path, "cannot be read")


# -------------------------------------------------------------------------------- fingerprints


def plane(height=H, width=W):
    return np.random.default_rng(1).normal(size=(height, width)).astype(np.float32)


def npy(array, **options):
    buffer = io.BytesIO()
    np.save(buffer, array, **options)
    return buffer.getvalue()


def npz(**arrays):
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    return buffer.getvalue()


def mat(**arrays):
    import scipy.io

    buffer = io.BytesIO()
    scipy.io.savemat(buffer, arrays)
    return buffer.getvalue()


def spoiled(value, count=3):
    array = plane()
    array.flat[:count] = value
    return array


class Trap:
    """Writes a file when it is unpickled."""

    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        return (open, (self.path, "w"))


BAD_FINGERPRINTS = {
    "text": (lambda: b"0.1, 0.2, 0.3\n" * 100, "no .npy"),
    "empty": (lambda: b"", "empty"),
    "npy cut in half": (lambda: half(npy(plane())), "damaged"),
    "npy cut in its header": (lambda: npy(plane())[:30], "damaged"),
    "npz cut in half": (lambda: half(npz(a=plane())), "damaged"),
    "mat cut in half": (lambda: half(mat(a=plane())), "damaged"),
    "npy that claims more than memory": (
        lambda: npy(plane()).replace(b"(70, 90), }    ", b"(7000000000, 90000000), }"[:15]),
        "damaged",
    ),
    "nan": (lambda: npy(spoiled(np.nan)), "3 values"),
    "infinite": (lambda: npy(spoiled(-np.inf)), "3 values"),
    "too large for float32": (lambda: npy(spoiled(1).astype(float) * 1e300), "infinite"),
    "all zero": (lambda: npy(np.zeros((H, W))), "constant"),
    "constant": (lambda: npy(np.full((H, W), 2.5)), "2.5 everywhere"),
    "one axis": (lambda: npy(np.arange(100.0)), "100"),
    "three axes": (lambda: npy(np.zeros((H, W, 3))), "70x90x3"),
    "complex": (lambda: npy(plane() + 1j), "complex"),
    "words": (lambda: npy(np.array([["a", "b"], ["c", "d"]])), "2-D"),
    "truth values": (lambda: npy(plane() > 0), "bool"),
    "no array": (lambda: npz(), "no array at all"),
    "two planes": (lambda: npz(a=plane(), b=plane()), "2 planes (a, b)"),
    "matlab 7.3 cut in its header": (
        lambda: b"MATLAB 7.3 MAT-file, Platform: X" + bytes(600),
        "damaged",
    ),
    "hdf5 cut in its header": (lambda: b"\x89HDF\r\n\x1a\n" + bytes(600), "damaged"),
}


@pytest.mark.parametrize("name", BAD_FINGERPRINTS)
def test_what_is_not_one_plane_of_numbers_is_refused_in_one_sentence(tmp_path, name):
    content, word = BAD_FINGERPRINTS[name]
    path = tmp_path / "prnu.npy"
    path.write_bytes(content())
    with pytest.raises(InputError) as caught:
        files.read_fingerprint(path)
    assert_one_sentence(str(caught.value), path, word)


@pytest.mark.parametrize("form", ["npy", "npz", "bare pickle"])
def test_pickled_fingerprints_are_refused_and_never_executed(tmp_path, form):
    trap = tmp_path / "sprung"
    objects = np.array([Trap(trap)], dtype=object)
    content = {
        "npy": lambda: npy(objects, allow_pickle=True),
        "npz": lambda: npz(fingerprint=objects),
        "bare pickle": lambda: pickle.dumps(Trap(trap)),
    }[form]()
    path = tmp_path / "prnu.npy"
    path.write_bytes(content)
    with pytest.raises(InputError) as caught:
        files.read_fingerprint(path)
    word = "no .npy" if form == "bare pickle" else "never loaded"
    assert_one_sentence(str(caught.value), path, word)
    assert not trap.exists()


@pytest.mark.parametrize(
    "content",
    [
        lambda a: npy(a),
        lambda a: npy(a.astype(">f8")),
        lambda a: npy(np.asfortranarray(a)),
        lambda a: npz(anything=a, note=np.array("D70"), flats=np.array(25)),
        lambda a: npz(other=2 * a, PRNU=a),
        lambda a: mat(RP=a, count=25.0, name="D70"),
        lambda a: mat(K=a, other=2 * a),
    ],
)
def test_fingerprints_arrive_as_float32_in_their_own_unit(tmp_path, content):
    path = tmp_path / "prnu.any"
    path.write_bytes(content(plane()))
    read = files.read_fingerprint(path)
    assert read.dtype == np.float32
    assert read.dtype.isnative
    assert read.flags.c_contiguous
    np.testing.assert_array_equal(read, plane())


def test_integers_and_doubles_become_float32(tmp_path):
    path = tmp_path / "prnu.npy"
    values = np.random.default_rng(0).permutation(H * W).reshape(H, W)
    path.write_bytes(npy(values))
    found = files.read_fingerprint_file(path)
    assert found.mean == values.mean()
    np.testing.assert_array_equal(found.plane, values - values.mean())
    assert found.sha256 == fingerprint_file.sha256(found.plane)


def test_a_fingerprint_written_is_read_again(tmp_path):
    files.write_fingerprint(tmp_path / "prnu.npy", plane().astype(float))
    np.testing.assert_array_equal(files.read_fingerprint(tmp_path / "prnu.npy"), plane())


# ------------------------------------------------------------------------------------- writing


def test_a_png_written_is_lossless_and_always_the_same_bytes(tmp_path):
    files.write_png(tmp_path / "a.png", photo())
    files.write_png(tmp_path / "b.png", np.asfortranarray(photo()))
    np.testing.assert_array_equal(photo_file.read_pixels(tmp_path / "a.png"), photo())
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
    with Image.open(tmp_path / "a.png") as image:
        assert not image.info


def test_writing_replaces_the_whole_file_and_leaves_nothing_beside_it(tmp_path):
    path = tmp_path / "report.bin"
    files.write_bytes(path, b"long" * 1000)
    files.write_bytes(path, b"short")
    assert path.read_bytes() == b"short"
    assert os.listdir(tmp_path) == ["report.bin"]


def test_a_write_that_fails_leaves_the_old_file_and_nothing_beside_it(tmp_path, monkeypatch):
    path = tmp_path / "report.bin"
    files.write_bytes(path, b"old")

    def full(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(InputError) as caught:
        files.write_bytes(path, b"new")
    assert_one_sentence(str(caught.value), path, "No space left")
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["report.bin"]


def test_json_holds_arrays_and_records_and_stays_valid_json(tmp_path):
    class Score(NamedTuple):
        z: float
        ncc: Any

    value = {
        "score": Score(np.float32(1.5), np.nan),
        "list": [np.int64(3), (np.arange(2), jnp.ones(())), float("inf"), True, None],
        "path": Path("a/b"),
        3: "Æ",
    }
    path = tmp_path / "report.json"
    files.write_json(path, value)
    expected = {
        "score": {"z": 1.5, "ncc": None},
        "list": [3, [[0, 1], 1.0], None, True, None],
        "path": str(Path("a/b")),
        "3": "Æ",
    }
    assert json.loads(path.read_text(encoding="utf-8")) == files.read_json(path) == expected


def test_json_holds_names_that_are_not_utf8(tmp_path):
    path, name = tmp_path / "report.json", os.fsdecode(b"caf\xe9.jpg")
    files.write_json(path, {name: Path(name)})
    assert files.read_json(path) == {name: name}
    place = storage.place(tmp_path / "claim.json")
    assert storage.create(place, {"photo": name})
    assert storage.read_json(place) == {"photo": name}


def test_a_line_of_json_has_no_line_break_and_no_nan():
    text = files.json_text({"a\nb": np.float32(np.nan), "c": [np.int64(1)]})
    assert "\n" not in text
    assert json.loads(text) == {"a\nb": None, "c": [1]}


def test_what_is_not_json_is_refused(tmp_path):
    path = tmp_path / "report.json"
    path.write_bytes(b'{"a": \xff')
    with pytest.raises(InputError) as caught:
        files.read_json(path)
    assert_one_sentence(str(caught.value), path, "not valid JSON")


def test_a_work_folder_is_made_with_its_parents_and_left_empty(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folder = files.prepare_workdir("a/b")
    assert folder == tmp_path / "a" / "b"
    assert files.prepare_workdir(folder) == folder
    assert os.listdir(folder) == []


@pytest.mark.parametrize("place", ["file", "file/below", "/proc/nobody", "nul\0byte"])
def test_a_folder_that_cannot_be_written_to_is_refused(tmp_path, place):
    (tmp_path / "file").write_bytes(b"in the way")
    path = place if place[0] == "/" or "\0" in place else str(tmp_path / place)
    for attempt in (files.prepare_workdir, lambda p: files.write_bytes(f"{p}/x", b"")):
        with pytest.raises(InputError) as caught:
            attempt(path)
        assert_one_sentence(str(caught.value), path, "written")


def test_a_file_too_large_to_be_read_as_a_whole_is_refused(tmp_path):
    path = tmp_path / "film.tif"
    with open(path, "wb") as file:
        file.truncate(files.LARGEST + 1)
    with pytest.raises(InputError) as caught:
        files.read_bytes(path, "photo")
    assert_one_sentence(str(caught.value), "film.tif", "2.0 GiB")
