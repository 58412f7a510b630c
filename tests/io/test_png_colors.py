"""What a PNG says of its colours is carried over: by Pillow, and by the bytes of the chunks."""

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from dippas_jax.io import photo as photo_file
from dippas_jax.io import photo_writer, png_colors
from dippas_jax.types import InputError
from tests.io.test_photo import icc, swapped_profile

PIXELS = np.random.default_rng(0).integers(0, 256, (64, 70, 3), np.uint8)
GAMMA = b"gAMA", struct.pack(">I", 100000)
PRIMARIES = b"cHRM", struct.pack(">8I", 31270, 32900, 70800, 29200, 17000, 79700, 13100, 4600)
HDR = b"cICP", bytes([9, 16, 0, 1])
MASTERING = b"cLLI", struct.pack(">2I", 1000, 400)
SRGB = b"sRGB", b"\x01"


def chunk(kind, value):
    return (
        struct.pack(">I", len(value)) + kind + value + struct.pack(">I", zlib.crc32(kind + value))
    )


def png(*chunks, array=PIXELS, **options):
    buffer = io.BytesIO()
    Image.fromarray(array).save(buffer, "PNG", **options)
    data = buffer.getvalue()
    return data[:33] + b"".join(chunk(*one) for one in chunks) + data[33:]


def read(tmp_path, data, **options):
    path = tmp_path / "a.png"
    path.write_bytes(data)
    return photo_file.read(path, **options)


@pytest.mark.parametrize("array", [PIXELS, PIXELS[..., 0], PIXELS.astype(np.uint16)[..., 0] * 200])
def test_chunks_come_back_whole_before_the_pixels_and_a_reader_takes_them(tmp_path, array):
    photo = read(tmp_path, png(GAMMA, PRIMARIES, HDR, MASTERING, array=array))
    made = photo_writer.encode(photo, photo.pixels)
    pixels = made.index(b"IDAT")
    for one in (GAMMA, PRIMARIES, HDR, MASTERING):
        assert made.count(chunk(*one)) == 1
        assert 33 <= made.index(chunk(*one)) < pixels
    shown = Image.open(io.BytesIO(made))
    np.testing.assert_array_equal(np.asarray(shown), array)
    assert shown.info["gamma"] == 1.0
    assert shown.info["chromaticity"][2] == pytest.approx(0.708)


def test_beside_a_profile_there_is_no_second_word_for_srgb(tmp_path):
    photo = read(tmp_path, png(SRGB, GAMMA, icc_profile=icc()))
    made = photo_writer.encode(photo, photo.pixels)
    assert chunk(*SRGB) not in made
    assert chunk(*GAMMA) in made
    alone = photo_writer.encode(photo._replace(icc=None), photo.pixels)
    assert chunk(*SRGB) in alone


def test_a_format_that_cannot_say_it_is_refused_unless_it_is_srgb(tmp_path):
    photo = read(tmp_path, png(GAMMA, HDR))
    for kind in ("jpeg", "webp", "tiff"):
        with pytest.raises(InputError, match="told by cICP can be written as a PNG only"):
            photo_writer.encode(photo, photo.pixels, kind=kind)
    assert photo_writer.encode(photo, photo.pixels, kind="jpeg", icc=False)
    assert b"gAMA" not in photo_writer.encode(photo, photo.pixels, icc=False)
    usual = read(tmp_path, png(SRGB, (b"gAMA", struct.pack(">I", 45455))))
    assert photo_writer.encode(usual, usual.pixels, kind="jpeg")


def test_the_strongest_word_decides_alone(tmp_path):
    """PNG, third edition, part 4.3: cICP, then a profile, then sRGB, then gAMA with cHRM."""
    told = {
        (GAMMA, PRIMARIES): ["gAMA", "cHRM"],
        (SRGB, GAMMA, PRIMARIES): [],
        (SRGB, HDR, GAMMA, MASTERING): ["cICP"],
        (MASTERING,): [],
        (GAMMA, (b"gAMA", struct.pack(">I", 45455))): ["gAMA"],  # of two the first, as for libpng
        ((b"gAMA", struct.pack(">I", 45455)), GAMMA): [],
    }
    for chunks, names in told.items():
        found = png_colors.chunks(png(*chunks))
        assert png_colors.names(found) == names
        assert png_colors.names(found, profile=True) == [one for one in names if one == "cICP"]


def test_colours_converted_by_a_profile_are_told_by_nothing_else(tmp_path):
    """Shown by a viewer that follows gAMA, they would be wrong; beside cICP a profile is none."""
    data = png(GAMMA, PRIMARIES, icc_profile=swapped_profile())
    kept = read(tmp_path, data)
    assert chunk(*GAMMA) in photo_writer.encode(kept, kept.pixels)
    assert photo_writer.encode(kept, kept.pixels, kind="jpeg"), "the profile says it all"
    made = read(tmp_path, data, srgb=True)
    assert np.abs(made.pixels.astype(int) - kept.pixels).max() > 50
    written = photo_writer.encode(made, made.pixels)
    assert not [name for name in (b"gAMA", b"cHRM", b"iCCP") if name in written]
    hdr = read(tmp_path, png(HDR, icc_profile=swapped_profile()), srgb=True)
    np.testing.assert_array_equal(hdr.pixels, PIXELS)
    assert hdr.words[0] == "colours told by cICP cannot be converted to sRGB, and stay"
    assert chunk(*HDR) in photo_writer.encode(hdr, hdr.pixels)


def test_the_codes_of_a_heic_are_carried_over_or_refused(tmp_path):
    pillow_heif = pytest.importorskip("pillow_heif", reason="the extra heic is not installed")

    def heic(**codes):
        buffer = io.BytesIO()
        pillow_heif.from_pillow(Image.fromarray(PIXELS)).save(buffer, quality=90, **codes)
        return read(tmp_path, buffer.getvalue())

    assert heic().colours == b""
    wide = heic(color_primaries=9, transfer_characteristics=16)
    assert wide.colours == chunk(*HDR)
    again = read(tmp_path, photo_writer.encode(wide, wide.pixels))
    assert (again.format, again.colours) == ("heic", wide.colours)
    assert chunk(*HDR) in photo_writer.encode(wide, wide.pixels, kind="png")
    with pytest.raises(InputError, match="told by cICP"):
        photo_writer.encode(wide, wide.pixels, kind="jpeg")


def test_that_they_cannot_be_converted_is_said(tmp_path):
    (word,) = read(tmp_path, png(GAMMA), srgb=True).words
    assert word == "colours told by gAMA cannot be converted to sRGB, and stay"
    assert read(tmp_path, png(SRGB), srgb=True).words == ()


def test_files_of_other_kinds_have_none(tmp_path):
    buffer = io.BytesIO()
    Image.fromarray(PIXELS).save(buffer, "JPEG")
    path = tmp_path / "a.jpg"
    path.write_bytes(buffer.getvalue())
    assert photo_file.read(path).colours == b""


@pytest.mark.parametrize("kind", [b"gAMA", b"cHRM", b"sRGB", b"cICP", b"mDCV", b"cLLI"])
def test_a_chunk_of_another_length_says_nothing_and_does_not_go_along(tmp_path, kind):
    photo = read(tmp_path, png((kind, b"serial 4711, and more than a chunk of colours has")))
    assert photo.colours == b""
    assert b"4711" not in photo_writer.encode(photo, photo.pixels)
