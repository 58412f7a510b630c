"""What `benchmarks.fuzz` and `benchmarks.kills_anonymize` found: each was a fault once."""

import dataclasses
import io
import json
import logging
import os
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import msgpack
import numpy as np
import pytest
import tifffile
from PIL import Image, ImageCms

from benchmarks import fuzz_seeds
from dippas_jax.cli import examine, outputs
from dippas_jax.datasets import manifests
from dippas_jax.experiments import report, runs
from dippas_jax.io import (
    checkpoint,
    exif,
    files,
    jpeg_damage,
    mat5,
    photo,
    photo_writer,
    tiff_file,
)
from dippas_jax.parallel import manifest
from dippas_jax.signal import dncnn
from dippas_jax.types import InputError, Record, Sample, Window
from tests import learned
from tests.messages import assert_one_sentence

PIXELS = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)


def block(*entries):
    """A directory of EXIF with entries of tag, type, count and value."""
    rows = b"".join(struct.pack("<HHII", *entry) for entry in entries)
    return b"Exif\0\0II*\0" + struct.pack("<IH", 8, len(entries)) + rows + bytes(4)


def jpeg(path, data):
    Image.fromarray(PIXELS).save(path, "JPEG", exif=data)
    return path


@pytest.mark.parametrize("kept", exif.KEPT)
def test_exif_with_fields_beyond_its_end_warn_nobody(kept):
    original = Image.Exif()
    with files.strict_pillow():
        original.load(block((34665, 4, 1, 26), (33434, 5, 1, 10**6), (274, 3, 1, 6)))
    exif.exif(original, kept, orientation=1, size=(64, 64))


def test_exif_that_cannot_be_written_again_are_told_of_before_the_work():
    original = Image.Exif()
    original[271] = object()
    with pytest.raises(InputError, match="choose --metadata strip"):
        exif.exif(original, "keep", orientation=1, size=(64, 64))


def test_a_make_of_several_values_warns_nobody(tmp_path):
    path = jpeg(tmp_path / "a.jpg", block((271, 3, 6, 8), (272, 3, 6, 8)))
    assert isinstance(photo.camera(path), str)


def test_what_libtiff_has_to_say_does_not_reach_stderr(tmp_path, capfd):
    buffer = io.BytesIO()
    Image.fromarray(PIXELS).save(buffer, "TIFF", compression="tiff_lzw")
    data = bytearray(buffer.getvalue())
    (start,) = struct.unpack_from("<I", data, 4)
    (count,) = struct.unpack_from("<H", data, start)
    for at in range(start + 2, start + 2 + 12 * count, 12):
        if struct.unpack_from("<H", data, at)[0] == 279:  # StripByteCounts
            struct.pack_into("<I", data, at + 4, 64)
    (tmp_path / "a.tif").write_bytes(data)
    with pytest.raises(InputError):
        photo.read(tmp_path / "a.tif")
    os.write(2, b"heard again")
    assert capfd.readouterr().err == "heard again"


def test_a_tiff_whose_bits_are_bytes_and_no_numbers_is_damaged_and_no_more():
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, PIXELS.astype(np.uint16), photometric="rgb")
    data = bytearray(buffer.getvalue())
    at = data.index(struct.pack("<HH", 258, 3))  # BitsPerSample, of type SHORT
    struct.pack_into("<H", data, at + 2, 7)  # becomes UNDEFINED
    assert tiff_file.odd_numbers(bytes(data)) == ""


@pytest.mark.parametrize("name", ["PIL", "tifffile"])
def test_what_decoders_log_is_not_printed_by_logging_itself(name):
    assert any(isinstance(one, logging.NullHandler) for one in logging.getLogger(name).handlers)


def test_a_matlab_file_of_no_byte_order_is_damaged_and_no_more():
    with pytest.raises(ValueError, match="damaged"):
        mat5.arrays(b"MATLAB 5.0".ljust(126) + b"XX")
    with pytest.raises(ValueError, match="damaged"):
        mat5.arrays(fuzz_seeds.mats()[0][:128] + struct.pack("<II", 15, 8) + zlib.compress(b""))


@pytest.mark.parametrize(
    ("name", "text", "word"),
    [
        ("m.csv", "photo\n" + "a" * 200_000, "no line of a table"),
        ("m.txt", "a" * 5000, "no path has"),
        ("m.jsonl", '{"photo": "~\\u0000b"}', "no file can have"),
        ("m.jsonl", '{"photo": "a", "%s": ""}' % ("x" * 9999), "has a field"),
        ("m.jsonl", '{"photo": "a", "sha256": "%s"}' % ("x" * 3000), "hexadecimal"),
        ("m.tsv", 'photo\tsha256\n"a\tb"\t\n"a\tb"\t%s' % ("0" * 64), "a\\tb"),
    ],
)
def test_lines_of_a_manifest_that_nobody_wrote_are_refused(tmp_path, name, text, word):
    (tmp_path / name).write_bytes(text.encode())
    with pytest.raises(InputError) as refused:
        manifest.read(str(tmp_path / name))
    assert word in str(refused.value)
    assert len(str(refused.value)) < 600
    assert str(refused.value).isprintable()


def test_a_record_with_fewer_fields_than_the_photo_has_differs():
    sample = Sample(PIXELS, None, Window((64, 64), 0, 0, 64, 64))
    records = [Record("a", "b", lambda: sample)]
    pinned = json.loads(json.dumps(manifests.manifest(records)))
    del pinned["records"][0]["window"]
    with pytest.raises(InputError, match=r"window is .* instead of None"):
        manifests.check(records, pinned)
    pinned["records"][0]["window"] = "x" * 9999
    with pytest.raises(InputError) as refused:
        manifests.check(records, pinned)
    assert len(str(refused.value)) < 600


@pytest.mark.parametrize("text", ["[]", "7", "null", '{"crc32": 1}', "no layout", "layout of 1"])
def test_a_checkpoint_whose_manifest_is_none_is_passed_over(tmp_path, text):
    tree = {"a": np.arange(3)}
    checkpoint.save(tmp_path, 1, tree)
    place = tmp_path / "1" / "manifest.json"
    values = json.loads(place.read_text())
    values.pop("layout")
    if "layout" in text:
        text = json.dumps(values | ({"layout": [1]} if text == "layout of 1" else {}))
    place.write_text(text)
    assert checkpoint.latest(tmp_path, tree) is None


def record_of_a_run():
    from benchmarks import fuzz_parsers

    return json.loads(fuzz_parsers._run_records()[0])


@pytest.mark.parametrize(
    ("name", "value"),
    [("psnr", "40"), ("results", {}), ("results", [1]), ("steps", 1.5), ("fallback", 0), ("x", 1)],
)
def test_a_record_of_a_run_with_another_type_is_damaged(tmp_path, name, value):
    whole = record_of_a_run()
    files.write_json(tmp_path / "a.json", whole)
    assert runs.recorded(tmp_path / "a.json") == report.from_json(whole)
    files.write_json(tmp_path / "a.json", whole | {name: value})
    with pytest.raises(InputError) as refused:
        runs.recorded(tmp_path / "a.json")
    assert_one_sentence(str(refused.value), tmp_path / "a.json", "delete it")


@pytest.mark.parametrize(
    "missing", [field.name for field in dataclasses.fields(report.PhotoRecord)]
)
def test_a_record_of_a_run_may_lack_what_has_a_default_only(missing):
    whole = record_of_a_run()
    whole.pop(missing, None)
    field = report.PhotoRecord.__dataclass_fields__[missing]
    if field.default is dataclasses.MISSING:
        with pytest.raises(ValueError, match=f"{missing} is missing"):
            report.from_json(whole)
    else:
        assert getattr(report.from_json(whole), missing) == field.default


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("leakage", 3), ("z", {"white": "a"}), ("predicted_z", "9"), ("warnings", "a"),
        ("examined", {"attacks": [{"attacker": "a"}]}), ("examined", {"attacks": 4}),
    ],
)  # fmt: skip
def test_a_page_whose_records_are_damaged_is_refused(tmp_path, name, value):
    from benchmarks import fuzz_parsers

    page = json.loads(fuzz_parsers._page_records()[0])
    path, options = tmp_path / "page.json", outputs.Options(report="page.html")
    files.write_json(path, page)
    assert len(examine.known_records((tmp_path / "page.html", path), options)) == 3
    page["photos"][1][name] = value
    files.write_json(path, page)
    with pytest.raises(InputError) as refused:
        examine.known_records((tmp_path / "page.html", path), options)
    assert_one_sentence(str(refused.value), path, "damaged")


def test_weights_that_are_not_finite_in_float32_are_refused():
    from flax import serialization

    tree = learned.stored(1)
    tree["params"]["conv_end"]["kernel"] = np.full_like(
        tree["params"]["conv_end"]["kernel"], 1e300, dtype=np.float64
    )
    with pytest.raises(InputError, match="not finite"):
        dncnn.parse(serialization.msgpack_serialize(tree))
    with pytest.raises(InputError, match="no msgpack"):
        dncnn.parse(msgpack.packb({"params": 1}))


def test_json_that_is_too_deep_is_not_valid(tmp_path):
    (tmp_path / "a.json").write_text("[" * 100_000)
    with pytest.raises(InputError, match="not valid JSON"):
        files.read_json(tmp_path / "a.json")


def test_a_message_stays_one_line_whatever_a_file_is_called(tmp_path):
    with pytest.raises(InputError) as refused:
        photo.read(tmp_path / "a\n\x1b[31mb.jpg")
    assert str(refused.value).isprintable()
    assert "a\\n\\x1b[31mb.jpg" in str(refused.value)


@pytest.mark.skipif(not hasattr(os, "O_TMPFILE"), reason="the system has no files without names")
@pytest.mark.parametrize("before", [None, b"old"])
def test_a_process_killed_while_it_writes_leaves_nothing(tmp_path, before):
    if before:
        (tmp_path / "a").write_bytes(before)
    program = (
        "import os, signal, sys; from dippas_jax.io import files\n"
        "os.fsync = lambda _: os.kill(os.getpid(), signal.SIGKILL)\n"
        "files.write_bytes(sys.argv[1], b'new')"
    )
    done = subprocess.run([sys.executable, "-c", program, tmp_path / "a"], check=False)
    assert done.returncode == -9
    left = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert left == ({"a": before} if before else {})


@pytest.mark.parametrize("without", [True, False])
def test_a_file_is_written_whole_with_and_without_a_name_of_its_own(tmp_path, monkeypatch, without):
    if without:
        monkeypatch.delattr(os, "O_TMPFILE", raising=False)
    for data in (b"one", b"two"):
        files.write_bytes(tmp_path / "a", data)
        assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {"a": data}
    assert (tmp_path / "a").stat().st_mode & 0o777 == 0o666 & ~umask()


def umask():
    now = os.umask(0)
    os.umask(now)
    return now


def test_without_a_home_nothing_is_kept(monkeypatch):
    def homeless(_):
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr(Path, "expanduser", homeless)
    with pytest.raises(InputError):
        files.prepare_workdir(str(files.cache_folder().parent))
    assert not files.cache_folder().exists()


@pytest.mark.parametrize("progressive", [False, True])
def test_damage_in_the_middle_of_a_jpeg_is_told(progressive):
    """Pillow decodes it without a word; a JPEG that is whole is not called damaged."""
    pixels = np.random.default_rng(0).integers(0, 256, (128, 192, 3), np.uint8)
    kept = io.BytesIO()
    Image.fromarray(pixels).save(kept, "JPEG", quality=90, progressive=progressive)
    data = bytearray(kept.getvalue())
    assert photo.from_bytes("a.jpg", bytes(data)).words == ()
    data[len(data) // 2 : len(data) // 2 + 40] = bytes(40)
    (word,) = photo.from_bytes("a.jpg", bytes(data)).words
    assert word.startswith("its data is damaged (")
    assert word.endswith("part of the picture may be wrong")


@pytest.mark.parametrize("progressive", [False, True])
def test_zeros_before_the_end_of_a_jpeg_are_no_damage(progressive):
    """Cameras pad their pictures, and their previews; every pixel is there."""
    pixels = np.random.default_rng(0).integers(0, 256, (128, 192, 3), np.uint8)
    kept = io.BytesIO()
    Image.fromarray(pixels).save(kept, "JPEG", quality=90, progressive=progressive)
    whole, end = kept.getvalue()[:-2], b"\xff\xd9"
    preview = b"\xff\xed\0\x44" + bytes(64) + end
    behind = end + b"another picture" + bytes(64) + end  # as an MPO has them
    data = whole[:2] + preview + whole[2:]
    for count in (16, 5000):
        assert jpeg_damage.said(data + bytes(count) + end) == ""
        assert jpeg_damage.said(data + bytes(count) + behind) == ""
        assert "extraneous bytes" in jpeg_damage.said(data + b"12" * count + end)
        assert "extraneous bytes" in jpeg_damage.said(data + b"1" * 16 + bytes(count) + end)
    odd = bytearray(data)
    odd[len(odd) // 2 : len(odd) // 2 + 40] = bytes(40)
    assert jpeg_damage.said(bytes(odd) + bytes(16) + end)


@pytest.mark.parametrize("quality", [75, 90, 97])
@pytest.mark.parametrize("share", [0.5, 0.1])
def test_a_jpeg_of_which_the_rest_is_zeros_is_damaged(quality, share):
    """As a download that broke off leaves one: some zeros pass for picture, some are left."""
    pixels = np.random.default_rng(0).normal(128, 30, (256, 384, 3)).clip(0, 255).astype(np.uint8)
    kept = io.BytesIO()
    Image.fromarray(pixels).save(kept, "JPEG", quality=quality)
    data = bytearray(kept.getvalue())
    start = len(data) - int(share * len(data))
    data[start:-2] = bytes(len(data) - 2 - start)
    assert jpeg_damage.said(bytes(data))


def test_colours_that_were_converted_are_said_to_be_so(tmp_path):
    """EXIF that says Adobe RGB would be wrong in the output, and in part be followed."""
    inner = {40961: 2, 33434: 0.01}
    tags = Image.Exif()
    tags.get_ifd(34665).update(inner)
    tags.get_ifd(40965)[1] = "R03"
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    path = tmp_path / "a.jpg"
    Image.fromarray(PIXELS).save(path, exif=tags, icc_profile=profile)
    for srgb, said in ((True, 1), (False, 2)):
        found = photo.read(path, srgb=srgb)
        assert found.srgb == srgb
        for kept in ("safe", "keep"):
            data = photo_writer.encode(found, found.pixels, kept=kept)
            written = Image.open(io.BytesIO(data)).getexif()
            assert written.get_ifd(34665)[40961] == said
            assert not (srgb and written.get_ifd(40965))
            data = photo_writer.encode(found, found.pixels, kept=kept, icc=False)
            written = Image.open(io.BytesIO(data)).getexif()
            assert written.get_ifd(34665).keys() == {33434}, "the profile was not to go along"
            assert not written.get_ifd(40965)


@pytest.mark.parametrize("photometric", [2, 5])
def test_channels_that_a_tiff_says_nothing_of_are_left_out_with_a_word(tmp_path, photometric):
    """A scanner's infrared is no opacity; nor is a fifth channel of CMYK."""
    path = tmp_path / "a.tif"
    generator = np.random.default_rng(0)
    if photometric == 2:
        pixels = generator.integers(0, 256, (64, 64, 4), np.uint8)
        tifffile.imwrite(path, pixels, photometric="rgb", extrasamples=["unspecified"])
        data = bytearray(path.read_bytes())
        at = data.index(struct.pack("<HH", 338, 3))
        data[at : at + 2] = struct.pack("<H", 32999)  # a tag that nobody knows
        path.write_bytes(data)
        assert tifffile.TiffFile(path).pages[0].extrasamples == ()
    else:
        pixels = generator.integers(0, 256, (64, 64, 5), np.uint8)
        tifffile.imwrite(path, pixels, photometric="separated", extrasamples=["unspecified"])
    found = photo.read(path)
    assert tiff_file.LEFT_OUT in found.words
    assert found.alpha is None
    if photometric == 2:
        np.testing.assert_array_equal(found.pixels, pixels[..., :3])


def test_whole_tiffs_of_rare_kinds_are_not_called_damaged(tmp_path):
    data = bytes(64 * 64 * 6 // 4)  # two values of colour for four of brightness
    fields = [
        (256, 3, 1, 64), (257, 3, 1, 64), (258, 3, 3, 8 + len(data)), (259, 3, 1, 1),
        (262, 3, 1, 6), (273, 4, 1, 8), (277, 3, 1, 3), (278, 3, 1, 64), (279, 4, 1, len(data)),
    ]  # fmt: skip
    at = 8 + len(data) + 6
    rows = b"".join(struct.pack("<HHII", *field) for field in fields)
    path = tmp_path / "a.tif"
    path.write_bytes(
        b"II*\0" + struct.pack("<I", at) + data + struct.pack("<3H", 8, 8, 8)
        + struct.pack("<H", len(fields)) + rows + bytes(4)
    )  # fmt: skip
    with pytest.raises(InputError, match="TIFF of YCbCr without compression"):
        photo.read(path)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"\0\0\0\x1cftypmif1\0\0\0\0mif1avifmiaf" + bytes(64), "AVIF"),
        ("Grüße\n".encode() * 20, "its content is text"),
        ("Grüße\n".encode("utf-16"), "its content is text"),
        (b"\xff\xd8\xff\xf7\0\x0b\x08\0\x40\0\x40\x01\x01\x11\0" + bytes(64), "a JPEG-LS"),
        (b"\xff\xd8\xff\xc5\0\x0b\x08\0\x40\0\x40\x01\x01\x11\0" + bytes(64), "hierarchical JPEG"),
    ],
)
def test_files_of_other_kinds_are_named(tmp_path, data, words):
    path = tmp_path / "a.jpg"
    path.write_bytes(data)
    with pytest.raises(InputError, match=words):
        photo.read(path)
