"""Photos of any kind: read, written again, and nothing of the original but what was asked for."""

import contextlib
import io
import json
import os
import shutil
import struct
import subprocess
import zlib
from unittest import mock

import numpy as np
import pytest
import tifffile
from PIL import Image, ImageCms, ImageOps, JpegImagePlugin, PngImagePlugin, TiffImagePlugin

from dippas_jax.io import exif as metadata
from dippas_jax.io import files, icc_profile, photo_kinds, photo_writer, ringing
from dippas_jax.io import photo as photo_file
from dippas_jax.types import InputError
from tests import oracles
from tests.messages import assert_one_sentence

SECRETS = (b"Nikon-1234", b"J. Doe", b"http://ns.adobe", b"c2pa", b"Photoshop", b"hidden", b"GPS")
HEIGHT, WIDTH = 72, 90


def pixels(height=HEIGHT, width=WIDTH, seed=0):
    return oracles.photo(seed, height, width).round().clip(0, 255).astype(np.uint8)


def exif(orientation=1):
    """Who, where, when, with what, and a thumbnail."""
    made = Image.Exif()
    made[271], made[272], made[315] = "Nikon-1234", "Nikon-1234 D70", "J. Doe"
    made[306], made[305] = "2006:01:02 03:04:05", "Photoshop"
    made[274] = orientation
    inner = made.get_ifd(34665)
    inner[33434], inner[34855], inner[37500] = 0.01, 200, b"Nikon-1234 maker note hidden"
    inner[42033], inner[40962], inner[40963] = "Nikon-1234", WIDTH, HEIGHT
    gps = made.get_ifd(34853)
    gps[1], gps[2] = "N", (48.0, 51.0, 29.0)
    return made


def icc(name="sRGB"):
    return ImageCms.ImageCmsProfile(ImageCms.createProfile(name)).tobytes()


def saved(array, kind="PNG", mode=None, **options):
    buffer = io.BytesIO()
    image = array if isinstance(array, Image.Image) else Image.fromarray(array, mode)
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def put(tmp_path, data, name="photo.jpg"):
    path = tmp_path / name
    path.write_bytes(data)
    return path


def opened(data):
    image = Image.open(io.BytesIO(data))
    image.load()
    return image


KINDS = [("JPEG", {"quality": 92}), ("PNG", {}), ("TIFF", {}), ("WEBP", {"lossless": True})]


@pytest.mark.parametrize("upright", [True, False], ids=["upright", "tag"])
@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize(("kind", "options"), KINDS, ids=[kind for kind, _ in KINDS])
def test_every_orientation_of_every_format(tmp_path, kind, options, orientation, upright):
    data = saved(pixels(), kind, exif=exif(orientation), **options)
    photo = photo_file.read(put(tmp_path, data))
    assert photo.orientation == orientation
    assert photo.pixels.shape == (HEIGHT, WIDTH, 3), "as the sensor has it"
    if kind != "JPEG":
        np.testing.assert_array_equal(photo.pixels, pixels())
    written = photo_writer.encode(photo, photo.pixels, upright=upright)
    back = photo_writer.decode(written, photo, upright=upright)
    tolerance = 12 if kind == "JPEG" else 0
    assert np.abs(back.astype(int) - photo.pixels).max() <= tolerance
    tag = Image.open(io.BytesIO(written)).getexif().get(274, 1)  # gone once a TIFF is loaded
    assert tag == (1 if upright else orientation)
    ours = opened(written)
    shown, expected = (
        np.asarray(ImageOps.exif_transpose(image)).astype(int) for image in (ours, opened(data))
    )
    assert np.abs(shown - expected).max() <= tolerance


def test_a_jpeg_is_compressed_as_it_was(tmp_path):
    for sampling, progressive in ((0, False), (1, True), (2, False)):
        data = saved(pixels(), "JPEG", quality=83, subsampling=sampling, progressive=progressive)
        photo = photo_file.read(put(tmp_path, data))
        ours, theirs = opened(photo_writer.encode(photo, photo.pixels)), opened(data)
        assert ours.quantization == theirs.quantization
        assert JpegImagePlugin.get_sampling(ours) == sampling
        assert bool(ours.info.get("progressive")) == progressive
        coarse = opened(photo_writer.encode(photo, photo.pixels, quality=30))
        assert sum(coarse.quantization[0]) > sum(theirs.quantization[0])


def test_tables_of_a_turned_jpeg_are_turned(tmp_path):
    tables = [list(range(1, 65)), list(range(2, 66))]
    data = saved(pixels(), "JPEG", qtables=tables, subsampling=0, exif=exif(6))
    photo = photo_file.read(put(tmp_path, data))
    tables = opened(photo_writer.encode(photo, photo.pixels)).quantization
    np.testing.assert_array_equal(
        np.reshape(tables[0], (8, 8)), np.reshape(opened(data).quantization[0], (8, 8)).T
    )


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF", "WEBP"])
def test_grey_stays_grey(tmp_path, kind):
    plane = pixels()[..., 1]
    photo = photo_file.read(put(tmp_path, saved(plane, kind)))
    assert photo.grey == (kind != "WEBP")
    assert np.ptp(photo.pixels, axis=2).max() <= (3 if kind == "WEBP" else 0)
    image = opened(photo_writer.encode(photo, photo.pixels))
    assert image.mode == ("RGB" if kind == "WEBP" else "L")


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "WEBP"])
@pytest.mark.parametrize("orientation", [1, 6])
def test_transparency_is_kept(tmp_path, kind, orientation):
    alpha = np.random.default_rng(0).integers(1, 256, (HEIGHT, WIDTH), np.uint8)
    data = saved(np.dstack([pixels(), alpha]), kind, exif=exif(orientation),
                 **({"lossless": True, "exact": True} if kind == "WEBP" else {}))  # fmt: skip
    photo = photo_file.read(put(tmp_path, data))
    np.testing.assert_array_equal(photo.pixels, pixels())
    np.testing.assert_array_equal(photo.alpha, alpha)
    ours = opened(photo_writer.encode(photo, photo.pixels))
    expected = ImageOps.exif_transpose(opened(data))
    np.testing.assert_array_equal(np.asarray(ours), np.asarray(expected))
    with pytest.raises(InputError, match="transparent"):
        photo_writer.encode(photo, photo.pixels, kind="jpeg")


def test_opaque_alpha_is_dropped_and_one_clear_colour_is_transparency(tmp_path):
    opaque = np.dstack([pixels(), np.full((HEIGHT, WIDTH), 255, np.uint8)])
    assert photo_file.read(put(tmp_path, saved(opaque))).alpha is None
    image = Image.fromarray(pixels())
    data = saved(image, transparency=image.getpixel((3, 4)))
    alpha = photo_file.read(put(tmp_path, data)).alpha
    assert alpha[4, 3] == 0
    assert alpha.mean() > 200


@pytest.mark.parametrize(
    ("channels", "planar"), [(1, None), (3, None), (4, None), (3, "separate"), (4, "separate")]
)
@pytest.mark.parametrize("orientation", [1, 8])
def test_sixteen_bits_stay_sixteen_bits(tmp_path, channels, orientation, planar):
    rng = np.random.default_rng(0)
    array = rng.integers(200, 65536, (HEIGHT, WIDTH, channels), np.uint16)
    stored = array[..., 0] if channels == 1 else array
    buffer = io.BytesIO()
    tifffile.imwrite(
        buffer,
        np.moveaxis(stored, -1, 0) if planar else stored,
        photometric="minisblack" if channels == 1 else "rgb",
        planarconfig=planar,
        extrasamples=["unassalpha"] if channels == 4 else None,
        extratags=[(274, "H", 1, orientation, True), (42033, "s", 0, "Nikon-1234", True)],
        description="J. Doe",
    )
    photo = photo_file.read(put(tmp_path, buffer.getvalue(), "photo.tif"))
    assert photo.pixels.dtype == np.uint16
    assert photo.orientation == orientation
    np.testing.assert_array_equal(photo.pixels, np.broadcast_to(array[..., :3], photo.pixels.shape))
    for upright in (True, False):
        written = photo_writer.encode(photo, photo.pixels, upright=upright)
        assert not any(secret in written for secret in SECRETS)
        back = photo_writer.decode(written, photo, upright=upright)
        np.testing.assert_array_equal(back, photo.pixels)
        page = tifffile.TiffFile(io.BytesIO(written)).pages[0]
        expected = metadata.turned(stored, orientation if upright else 1)
        np.testing.assert_array_equal(page.asarray(), expected)
    if channels < 4:
        reduced = opened(photo_writer.encode(photo, photo.pixels, kind="jpeg"))
        assert reduced.mode == ("L" if channels == 1 else "RGB")


def test_a_png_of_sixteen_bits_is_reduced_with_a_word_and_a_grey_one_kept(tmp_path):
    wide = np.random.default_rng(0).integers(0, 65536, (HEIGHT, WIDTH), np.uint16)
    photo = photo_file.read(put(tmp_path, saved(Image.fromarray(wide))))
    np.testing.assert_array_equal(photo.pixels[..., 0], wide)
    back = photo_writer.decode(photo_writer.encode(photo, photo.pixels), photo)
    np.testing.assert_array_equal(back, photo.pixels)


@pytest.mark.parametrize(
    ("colour_type", "channels", "clear"),
    [(0, 1, True), (2, 3, False), (2, 3, True), (4, 2, False), (6, 4, False)],
)
def test_a_png_of_sixteen_bits_keeps_its_opacity_and_says_what_it_loses(
    tmp_path, colour_type, channels, clear
):
    deep = np.random.default_rng(0).integers(300, 65536, (HEIGHT, WIDTH, channels), np.uint16)
    extra = b""
    expected = deep[..., -1] >> 8 if channels in (2, 4) else np.full((HEIGHT, WIDTH), 255)
    if clear:
        deep[:, ::2] = deep[0, 0]
        deep[9, 9] = deep[0, 0] ^ 1  # the same in its high bytes, but not clear
        extra = chunk(b"tRNS", deep[0, 0].astype(">u2").tobytes())
        expected = np.where((deep == deep[0, 0]).all(2), 0, 255)
    photo = photo_file.read(put(tmp_path, deep_png(deep, colour_type, extra)))
    assert photo.words == ("16 bits reduced to 8",)
    assert photo.grey == (channels < 3)
    if expected.min() < 255:
        np.testing.assert_array_equal(photo.alpha, expected)
    else:
        assert photo.alpha is None
    colours = deep[..., : 1 if channels < 3 else 3]
    assert np.abs(photo.pixels - colours / 257.0).max() <= 1
    written = opened(photo_writer.encode(photo, photo.pixels))
    assert written.mode == ("L" if photo.grey else "RGB") + ("" if photo.alpha is None else "A")


def chunk(name, data):
    """Of a PNG."""
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def deep_png(array, colour_type, extra=b""):
    """16 bits, written by hand: Pillow cannot."""
    height, width, _ = array.shape
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in array)
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 16, colour_type, 0, 0, 0))
    data = chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + header + extra + data


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("colours", [1, 3])
@pytest.mark.parametrize("extra", [(0,), (2,), (0, 0), (2, 0), (0, 2)])
def test_an_extra_channel_of_a_tiff_is_opacity_only_where_the_file_says_so(
    tmp_path, bits, colours, extra
):
    kind = np.uint8 if bits == 8 else np.uint16
    deep = np.random.default_rng(0).integers(
        1 if bits == 8 else 200, 2**bits, (HEIGHT, WIDTH, colours + len(extra)), kind
    )
    names = [{0: "unspecified", 2: "unassalpha"}[one] for one in extra]
    planes = {"planarconfig": "separate"}
    for options in ({}, {"compression": "zlib"}, planes, planes | {"byteorder": ">"}):
        buffer = io.BytesIO()
        stored = np.moveaxis(deep, -1, 0) if "planarconfig" in options else deep
        tifffile.imwrite(
            buffer, stored, photometric="rgb" if colours == 3 else "minisblack", metadata=None,
            extrasamples=names, **({"planarconfig": "contig"} | options),
        )  # fmt: skip
        path = put(tmp_path, buffer.getvalue(), "a.tif")
        photo = photo_file.read(path)
        assert photo_file.size(path) == (HEIGHT, WIDTH)
        assert photo.grey == (colours == 1)
        np.testing.assert_array_equal(photo.pixels[..., :colours], deep[..., :colours])
        if 2 in extra:
            np.testing.assert_array_equal(photo.alpha, deep[..., colours + extra.index(2)])
        else:
            assert photo.alpha is None
        dropped = len(extra) - (2 in extra)
        assert len([word for word in photo.words if "extra channels" in word]) == bool(dropped)
        back = photo_file.read(put(tmp_path, photo_writer.encode(photo, photo.pixels), "b.tif"))
        np.testing.assert_array_equal(back.pixels, photo.pixels)
        np.testing.assert_array_equal(back.alpha, photo.alpha)


@pytest.mark.parametrize("compression", ["tiff_lzw", "zstd", "packbits", "tiff_lzma"])
@pytest.mark.parametrize("mode", ["L", "LA", "RGB", "RGBA"])
def test_a_tiff_of_eight_bits_comes_through_every_compression_with_its_opacity(
    tmp_path, compression, mode
):
    shape = (HEIGHT, WIDTH, len(mode)) if len(mode) > 1 else (HEIGHT, WIDTH)
    array = np.random.default_rng(0).integers(1, 256, shape, np.uint8)
    try:
        data = saved(array, "TIFF", compression=compression)
    except (OSError, RuntimeError):
        pytest.skip(f"this Pillow writes no {compression}")
    photo = photo_file.read(put(tmp_path, data, "a.tif"))
    flat = array.reshape(HEIGHT, WIDTH, -1)
    colours = 3 if "RGB" in mode else 1
    np.testing.assert_array_equal(photo.pixels[..., :colours], flat[..., :colours])
    assert photo.grey == (colours == 1)
    assert (photo.alpha is not None) == mode.endswith("A")
    if mode.endswith("A"):
        np.testing.assert_array_equal(photo.alpha, flat[..., -1])


def test_the_profile_in_a_bmp_of_version_5_is_that_of_its_colours(tmp_path):
    profile, plain = icc(), saved(pixels(), "BMP")
    body = plain[54:]
    header = struct.pack("<I", 124) + plain[18:54].ljust(120, b"\0")
    header = header[:56] + b"DEBM" + header[60:]
    header = header[:112] + struct.pack("<II", 124 + len(body), len(profile)) + header[120:]
    at = struct.pack("<I", 14 + 124)
    made = plain[:10] + at + header + body + profile
    photo = photo_file.read(put(tmp_path, made, "a.bmp"))
    np.testing.assert_array_equal(photo.pixels, pixels())
    assert photo.icc == profile
    other = made.replace(b"DEBM", bytes(4))
    assert "BMP header" in photo_file.read(put(tmp_path, other, "b.bmp")).words[0]
    assert photo_file.read(put(tmp_path, plain, "c.bmp")).words == ()


def test_palettes_cmyk_and_black_and_white_are_converted_with_a_word(tmp_path):
    image = Image.fromarray(pixels())
    cases = {
        "palette": saved(image.quantize(64)),
        "CMYK converted to RGB without a profile": saved(image.convert("CMYK"), "JPEG", quality=95),
        "CMYK converted to RGB": saved(image.convert("CMYK"), "TIFF", icc_profile=b"no profile"),
        "black and white": saved(image.convert("1")),
    }
    for word, data in cases.items():
        photo = photo_file.read(put(tmp_path, data))
        assert word in photo.words[0]
        assert photo.icc is None or "CMYK" not in word
        expected = np.asarray(opened(data).convert("RGB")).astype(int)
        assert np.abs(photo.pixels - expected).max() <= 1
        assert opened(photo_writer.encode(photo, photo.pixels)).mode in ("RGB", "L")


def test_colours_are_converted_to_srgb_by_the_profile(tmp_path):
    data = saved(pixels(), "PNG", icc_profile=swapped_profile())
    kept = photo_file.read(put(tmp_path, data))
    plain = icc_profile.rebuilt(kept.icc)
    assert opened(photo_writer.encode(kept, kept.pixels)).info["icc_profile"] == plain
    kept_too = photo_writer.encode(kept, kept.pixels, kept="keep")
    assert opened(kept_too).info["icc_profile"] == plain
    assert "icc_profile" not in opened(photo_writer.encode(kept, kept.pixels, icc=False)).info
    made = photo_file.read(put(tmp_path, data), srgb=True)
    assert made.icc is None
    assert made.words == ("colours converted to sRGB",)
    assert np.abs(made.pixels.astype(int) - kept.pixels).mean() > 5
    broken = put(tmp_path, saved(pixels(), "PNG", icc_profile=b"no profile at all"))
    photo = photo_file.read(broken)
    assert photo.icc == b"no profile at all"
    assert "icc_profile" not in opened(photo_writer.encode(photo, photo.pixels)).info
    said = photo_writer.not_kept(photo, kind="same", kept="strip")
    assert said == ["its colour profile is damaged or of another kind of colours, and is left out"]
    assert photo_writer.not_kept(photo, kind="same", kept="strip", icc=False) == []
    assert photo_writer.not_kept(photo, kind="same", kept="keep") == said
    large = photo._replace(icc=icc() + bytes(4 << 20))
    said = photo_writer.not_kept(large, kind="same", kept="strip")
    assert said == ["its colour profile is larger than 4 MiB, and is left out"]
    with pytest.raises(InputError) as error:
        photo_file.read(broken, srgb=True)
    assert_one_sentence(str(error.value), broken, "profile")


@pytest.mark.parametrize("clear", [False, True], ids=["L", "LA"])
def test_grey_is_converted_to_srgb_by_its_profile_and_stays_grey(tmp_path, clear):
    levels = np.arange(HEIGHT * WIDTH, dtype=np.uint16).reshape(HEIGHT, WIDTH) % 256
    levels = levels.astype(np.uint8)
    alpha = np.where(levels < 9, 1, 255).astype(np.uint8)
    array = np.dstack([levels, alpha]) if clear else levels
    path = put(tmp_path, saved(array, "PNG", icc_profile=grey_profile()))
    kept = photo_file.read(path)
    np.testing.assert_array_equal(kept.pixels, np.dstack([levels] * 3))
    made = photo_file.read(path, srgb=True)
    assert made.icc is None
    assert made.words == ("colours converted to sRGB",)
    assert made.grey
    for channel in range(3):
        np.testing.assert_array_equal(made.pixels[..., channel], made.pixels[..., 0])
    light = levels / 255  # the profile says that levels are proportional to light
    expected = np.where(light < 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)
    assert np.abs(made.pixels[..., 0] - 255 * expected).max() < 1.5
    np.testing.assert_array_equal(made.alpha, alpha if clear else None)
    written = opened(photo_writer.encode(made, made.pixels))
    assert written.mode == ("LA" if clear else "L")
    assert "icc_profile" not in written.info


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "TIFF"])
def test_grey_with_a_profile_of_colours_is_converted_as_equal_channels(tmp_path, kind):
    grey = np.asarray(Image.fromarray(pixels()).convert("L"))
    same = photo_file.read(put(tmp_path, saved(grey, kind, icc_profile=icc())), srgb=True)
    plain = photo_file.read(put(tmp_path, saved(grey, kind)))
    assert same.grey
    assert same.icc is None
    assert np.abs(same.pixels.astype(int) - plain.pixels).max() <= 1


def test_a_grey_profile_that_cannot_be_used_is_refused_in_a_sentence(tmp_path):
    path = put(tmp_path, saved(pixels()[..., 0], "PNG", icc_profile=b"no profile at all"))
    assert photo_file.read(path).icc == b"no profile at all"
    with pytest.raises(InputError) as error:
        photo_file.read(path, srgb=True)
    assert_one_sentence(str(error.value), path, "profile")


def test_grey_of_sixteen_bits_keeps_its_profile_and_says_so(tmp_path):
    deep = np.random.default_rng(0).integers(0, 65536, (HEIGHT, WIDTH), np.uint16)
    for kind in ("PNG", "TIFF"):
        data = saved(Image.fromarray(deep), kind, icc_profile=grey_profile())
        photo = photo_file.read(put(tmp_path, data), srgb=True)
        assert photo.icc == grey_profile()
        assert any("16 bits cannot be converted to sRGB" in word for word in photo.words)


def grey_profile():
    """A profile of grey whose levels are proportional to light, by hand."""
    white = struct.pack(">3i", 0xF6D6, 0x10000, 0xD32D)
    name = b"a scanner\0"
    tags = {
        b"desc": b"desc" + bytes(4) + struct.pack(">I", len(name)) + name + bytes(8 + 2 + 1 + 67),
        b"wtpt": b"XYZ " + bytes(4) + white,
        b"kTRC": b"curv" + bytes(8),  # no entries: the identity
        b"cprt": b"text" + bytes(4) + b"none\0",
    }
    return written_profile(tags, b"scnr" + b"GRAY" + b"XYZ ")


def written_profile(tags, kind):
    """A profile of ICC version 2: class, space and connection space are `kind`."""
    white = struct.pack(">3i", 0xF6D6, 0x10000, 0xD32D)
    table, body, start = struct.pack(">I", len(tags)), b"", 128 + 4 + 12 * len(tags)
    for tag, data in tags.items():
        table += tag + struct.pack(">II", start + len(body), len(data))
        body += data + bytes(-len(data) % 4)
    kind = b"\x02\x40\0\0" + kind + bytes(12) + b"acsp"
    header = struct.pack(">I", start + len(body)) + bytes(4) + kind + bytes(28) + white + bytes(48)
    return header + table + body


def swapped_profile():
    """An RGB profile whose red and blue primaries are exchanged."""
    data = bytearray(icc())
    count = struct.unpack(">I", data[128:132])[0]
    tags = {bytes(data[132 + 12 * n : 136 + 12 * n]): 132 + 12 * n for n in range(count)}
    red, blue = tags[b"rXYZ"], tags[b"bXYZ"]
    data[red + 4 : red + 12], data[blue + 4 : blue + 12] = (
        data[blue + 4 : blue + 12],
        data[red + 4 : red + 12],
    )
    return bytes(data)


def cmyk_profile():
    """A profile of ink by hand: a table of two points a channel, of what paper and ink reflect."""
    white = struct.pack(">3i", 0xF6D6, 0x10000, 0xD32D)
    light = 100 * np.prod(
        np.indices((2, 2, 2, 2)) * -0.75 + 1.0, axis=0
    )  # each ink leaves a quarter
    lab = np.stack(
        [light * 2.55, np.full_like(light, 128), 128 + 20 * np.indices(light.shape)[2]], -1
    )
    ramp = bytes(range(256))
    table = b"mft1" + bytes(4) + bytes([4, 3, 2, 0])
    table += struct.pack(">9i", *(65536 * np.eye(3, dtype=int)).ravel())
    table += ramp * 4 + np.rint(lab).astype(np.uint8).tobytes() + ramp * 3
    name = b"an ink\0"
    tags = {
        b"desc": b"desc" + bytes(4) + struct.pack(">I", len(name)) + name + bytes(8 + 2 + 1 + 67),
        b"wtpt": b"XYZ " + bytes(4) + white,
        b"A2B0": table,
        b"cprt": b"text" + bytes(4) + b"none\0",
    }
    return written_profile(tags, b"prtr" + b"CMYK" + b"Lab ")


def shown(data):
    """What a viewer that manages colours puts on a screen of sRGB."""
    image = opened(data)
    profile = image.info.get("icc_profile")
    image = image.convert("RGB") if image.mode == "P" else image
    if profile:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        screen = ImageCms.createProfile("sRGB")
        exact = ImageCms.Flags.NOOPTIMIZE
        image = ImageCms.profileToProfile(image, source, screen, outputMode="RGB", flags=exact)
    return np.asarray(image.convert("RGB")).astype(int)


@pytest.mark.parametrize("srgb", [False, True], ids=["keep", "srgb"])
@pytest.mark.parametrize("kind", ["PNG", "JPEG", "TIFF", "WEBP"])
@pytest.mark.parametrize("mode", ["L", "RGB", "CMYK", "P"])
def test_what_a_viewer_shows_stays_the_same_under_any_profile(tmp_path, mode, kind, srgb):
    if mode in {"PNG": ("CMYK",), "JPEG": ("P",), "WEBP": ("L", "CMYK", "P")}.get(kind, ()):
        pytest.skip("no such files")
    profile = {"L": grey_profile, "CMYK": cmyk_profile}.get(mode, swapped_profile)()
    image = Image.fromarray(pixels()).convert(mode)
    options = {"quality": 100, "subsampling": 0} if kind == "JPEG" else {}
    options |= {"lossless": True} if kind == "WEBP" else {}
    data = saved(image, kind, icc_profile=profile, **options)
    plain = np.asarray(opened(data).convert("RGB")).astype(int)
    assert np.abs(shown(data) - plain).mean() > 5, "the profile matters"
    photo = photo_file.read(put(tmp_path, data), srgb=srgb)
    assert photo.icc == (None if srgb or mode == "CMYK" else profile)
    for written_as in ("same", "png", "tiff"):
        made = photo_writer.encode(photo, photo.pixels, kind=written_as)
        difference = np.abs(shown(made) - shown(data))
        # JPEG's own rounding apart; a grey profile of light itself makes three levels of one.
        lossy = kind == "JPEG" and written_as == "same"
        assert difference.mean() < (1.5 if lossy else 0.3)
        assert difference.max() <= (30 if lossy else 3)


def test_grey_with_its_profile_is_no_webp(tmp_path):
    photo = photo_file.read(put(tmp_path, saved(pixels()[..., 0], icc_profile=grey_profile())))
    with pytest.raises(InputError, match="would make it one of colours; choose"):
        photo_writer.encode(photo, photo.pixels, kind="webp")
    assert photo_writer.encode(photo, photo.pixels, kind="webp", icc=False)


def test_colours_that_the_exif_alone_tells_are_said(tmp_path):
    """Cameras that follow DCF mark Adobe RGB so, and put no profile in."""
    tags = exif()
    tags.get_ifd(34665)[40961] = 2
    photo = photo_file.read(put(tmp_path, saved(pixels(), "JPEG", exif=tags)))
    assert any("Adobe RGB" in word for word in photo.words)
    both = photo_file.read(put(tmp_path, saved(pixels(), "JPEG", exif=tags, icc_profile=icc())))
    assert both.words == ()


# ---------------------------------------------------------------------------------------- metadata


def loaded_files():
    """Files full of what identifies a person or a camera."""
    text = PngImagePlugin.PngInfo()
    text.add_text("Author", "J. Doe")
    text.add_itxt("XML:com.adobe.xmp", "<x xmlns='http://ns.adobe.com/'>J. Doe</x>")
    xmp = b"<x:xmpmeta xmlns='http://ns.adobe.com/xap'>J. Doe</x:xmpmeta>"
    with_c2pa = saved(pixels(), "JPEG", exif=exif(), comment=b"hidden", xmp=xmp)
    jumbf = b"JP\0\1\0\0\0\1c2pa hidden manifest"
    segment = b"\xff\xeb" + struct.pack(">H", len(jumbf) + 2) + jumbf
    tags = exif()
    tags[270], tags[34377], tags[65000] = "J. Doe", b"Photoshop hidden", "Nikon-1234"
    return {
        "jpeg": with_c2pa[:2] + segment + with_c2pa[2:] + b"hidden at the end",
        "png": saved(pixels(), "PNG", exif=exif(), pnginfo=text) + b"hidden",
        "tiff": saved(pixels(), "TIFF", exif=tags.tobytes()) + b"hidden",
        "webp": saved(pixels(), "WEBP", lossless=True, exif=exif(), xmp=xmp) + b"hidden",
    }


@pytest.mark.parametrize("kind", ["jpeg", "png", "tiff", "webp"])
def test_nothing_that_identifies_is_left(tmp_path, kind):
    data = loaded_files()[kind]
    assert sum(secret in data for secret in SECRETS) >= 3
    photo = photo_file.read(put(tmp_path, data))
    for upright in (True, False):
        written = photo_writer.encode(photo, photo.pixels, upright=upright)
        assert not any(secret in written for secret in SECRETS)
        assert kind == "tiff" or not opened(written).getexif()
        assert_nothing_for_exiftool(put(tmp_path, written, f"out{upright}.{kind}"))
    safe = photo_writer.encode(photo, photo.pixels, kept="safe")
    assert not any(secret in safe for secret in SECRETS)
    inner = dict(opened(safe).getexif().get_ifd(34665))
    assert set(inner) <= set(metadata.SAFE)
    assert inner.get(34855) == 200
    assert_nothing_for_exiftool(put(tmp_path, safe, f"safe.{kind}"))


def assert_nothing_for_exiftool(path):
    """An independent tool finds pictures' own fields alone."""
    tool = shutil.which("exiftool")
    if tool is None:
        pytest.skip("exiftool is not installed: the bytes were searched all the same")
    out = subprocess.run([tool, "-j", "-G1", "-a", "-u", path], capture_output=True, check=True)
    fields = json.loads(out.stdout)[0]
    groups = {name.partition(":")[0] for name in fields if ":" in name}
    own = {"ExifTool", "System", "File", "Composite", "JFIF", "PNG", "IFD0", "RIFF", "ExifIFD"}
    assert groups <= own, groups
    names = " ".join(fields)
    for name in ("Make", "Model", "Artist", "GPS", "Serial", "Software", "Date/Time", "Comment"):
        assert f":{name}" not in names.replace("System:File", ""), names
    assert not any("Nikon" in str(v) or "Doe" in str(v) for v in fields.values())


def test_all_exif_is_kept_when_asked_for_but_the_thumbnail(tmp_path):
    data = saved(pixels(), "JPEG", exif=exif(6), xmp=b"<x>http://ns.adobe.com J. Doe</x>")
    photo = photo_file.read(put(tmp_path, data))
    ours = opened(photo_writer.encode(photo, photo.pixels, kept="keep"))
    found = ours.getexif()
    assert found[271] == "Nikon-1234"
    assert found.get(274, 1) == 1
    assert 37500 not in found.get_ifd(34665), "the maker's note points to places that are gone"
    assert (found.get_ifd(34665)[40962], found.get_ifd(34665)[40963]) == (HEIGHT, WIDTH)
    assert found.get_ifd(34853)[1] == "N"
    assert b"J. Doe" in ours.info["xmp"]


def test_the_same_pixels_give_the_same_bytes(tmp_path):
    for data in loaded_files().values():
        photo = photo_file.read(put(tmp_path, data))
        one, other = (photo_writer.encode(photo, photo.pixels) for _ in range(2))
        assert one == other


# ------------------------------------------------------------------------------------ refused files


def heic_brand():
    return struct.pack(">I", 24) + b"ftypheic" + b"\0" * 64


@pytest.mark.parametrize("kind", ["jpeg", "png", "tiff", "webp"])
def test_a_photo_without_exif_is_kept_without(tmp_path, kind):
    photo = photo_file.read(put(tmp_path, saved(pixels()), "a.png"))
    written = photo_writer.encode(photo, photo.pixels, kind=kind, kept="keep")
    assert photo_file.read(put(tmp_path, written)).exif == (written if kind == "tiff" else b"")


def test_the_exif_of_a_tiff_in_the_layout_for_more_than_4_gib_are_kept(tmp_path):
    data = saved(pixels(), "TIFF", big_tiff=True, exif=exif(6))
    assert data.startswith(b"II+\0")
    photo = photo_file.read(put(tmp_path, data, "a.tif"))
    written = photo_writer.encode(photo, photo.pixels, kind="jpeg", kept="keep")
    with Image.open(io.BytesIO(written)) as image:
        assert image.getexif()[272] == "Nikon-1234 D70"


def rare_layouts():
    """TIFFs whose layout Pillow does not know."""
    channels = np.random.default_rng(0).integers(0, 256, (70, 80, 7), np.uint8)
    inks = {"photometric": "separated", "extrasamples": ["unassalpha"]}
    many = {"extrasamples": ["unspecified"] * 4}
    bayer = np.uint16(channels[..., 0])
    return {
        "inks-alpha.tif": (channels[..., :5], inks, "CMYK, 5 channels of 8 bits, 1 of them extra"),
        "inks-alpha-16.tif": (np.uint16(channels[..., :5]), inks, "CMYK, 5 channels of 16 bits"),
        "many.tif": (channels, many, "RGB, 7 channels of 8 bits, 4 of them extra"),
        "bayer.tif": (bayer, {"photometric": 32803}, "RAW"),
        "linear-raw.tif": (np.uint16(channels[..., :3]), {"photometric": 34892}, "RAW"),
    }


def odd_numbers():
    """TIFFs of other numbers than levels, which Pillow knows in part and without saying so."""
    colours = np.random.default_rng(0).random((70, 80, 3))
    clear = {"extrasamples": ["unassalpha"]}
    planes = {"planarconfig": "separate"}
    made = {
        "floats-rgb.tif": (np.float32(colours), {}, "floating-point numbers of 32 bits"),
        "floats-rgba.tif": (np.float32(colours[..., [0, 1, 2, 0]]), clear, "floating-point"),
        "floats-planes.tif": (np.float32(colours.transpose(2, 0, 1)), planes, "floating-point"),
        "halves.tif": (np.float16(colours), {}, "floating-point numbers of 16 bits"),
        "doubles.tif": (colours, {}, "floating-point numbers of 64 bits"),
        "signed.tif": (np.int16(1000 * colours), {}, "signed numbers of 16 bits"),
        "wide-rgb.tif": (np.uint32(1000 * colours), {}, "a TIFF of 32 bits a channel"),
    }
    found = {}
    for name, (array, options, said) in (made | rare_layouts()).items():
        buffer = io.BytesIO()
        tifffile.imwrite(buffer, array, **({"photometric": "rgb"} | options))
        found[name] = buffer.getvalue(), said
    plain = saved(pixels(), "TIFF")
    with tifffile.TiffFile(io.BytesIO(plain)) as file:
        at = file.pages[0].tags["Compression"].valueoffset
    for number, name in ((50001, "WEBP"), (34712, "JPEG2000")):
        data = plain[:at] + number.to_bytes(2, "little") + plain[at + 2 :]
        found[f"{name}.tif"] = data, f"compressed by {name}"
    return found


def bad_files():
    good = saved(pixels(), "JPEG")
    png, tiff = saved(pixels()), saved(pixels(), "TIFF")
    animation = saved(Image.fromarray(pixels()), "WEBP", save_all=True,
                      append_images=[Image.fromarray(pixels(seed=1))])  # fmt: skip
    pages = saved(Image.fromarray(pixels()), "TIFF", save_all=True,
                  append_images=[Image.fromarray(pixels(seed=1))])  # fmt: skip
    floats = saved(Image.fromarray(pixels()[..., 0].astype(np.float32)), "TIFF")
    wide = saved(Image.fromarray(pixels()[..., 0].astype(np.int32)), "TIFF")
    lab = ImageCms.profileToProfile(
        Image.fromarray(pixels()), ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB"),
        outputMode="LAB",
    )  # fmt: skip
    thumbnail = saved(pixels(), "TIFF", tiffinfo={254: 1})
    dng = saved(pixels(), "TIFF", tiffinfo={50706: b"\1\4\0\0"})
    twelve = bytearray(good)
    twelve[good.index(b"\xff\xc0") + 4] = 12  # bits a channel
    return {
        "twelve.jpg": (bytes(twelve), "12 bits"),
        "empty.jpg": (b"", "empty"),
        "text.jpg": (b"no photo at all", "not a photo"),
        "pages.pdf": (b"%PDF-1.7\n" + bytes(99), "not a photo .*PDF"),
        "film.heic": (b"\0\0\0\x18ftypmp42" + bytes(50), "not a photo .*MP4"),
        "page.png": (b"<!DOCTYPE html><html>", "not a photo .*HTML"),
        "layers.tif": (b"8BPS\0\1" + bytes(50), "not a photo .*PSD"),
        "cut.jpg": (good[: len(good) // 2], "truncated"),
        "header.jpg": (good[:30], "photo"),
        "cut.png": (png[:500], "truncated"),
        "noise.png": (png[:60] + bytes(200) + png[260:], "damaged"),
        "cut.tif": (tiff[:-3000], "damaged"),
        "header.tif": (tiff[:10], "photo"),
        "cut.webp": (saved(pixels(), "WEBP")[:400], "photo"),
        "gif.gif": (saved(Image.fromarray(pixels()), "GIF"), "GIF"),
        "jp2.jp2": (saved(pixels(), "JPEG2000"), "JPEG2000"),
        "icon.ico": (saved(Image.fromarray(pixels()), "ICO"), "ICO"),
        "animation.webp": (animation, "frames"),
        "pages.tif": (pages, "frames"),
        "floats.tif": (floats, "32 bits"),
        "wide.tif": (wide, "signed numbers of 32 bits"),
        **odd_numbers(),
        "lab.tif": (saved(lab, "TIFF"), "LAB"),
        "small.png": (saved(pixels(63, 80)), "80x63"),
        "one.png": (saved(pixels()[:1, :1]), "too small"),
        "photo.NEF": (good, "RAW"),
        "photo.cr3": (b"\0\0\0\x18ftypcrx " + bytes(50), "RAW"),
        "renamed.jpg": (b"\0\0\0\x18ftypcrx " + bytes(50), "RAW"),
        "raf.jpg": (b"FUJIFILMCCD-RAW 0201" + bytes(50), "RAW"),
        "cr2.tif": (b"II*\0\x10\0\0\0CR\2\0" + bytes(50), "RAW"),
        "dng.tif": (dng, "RAW"),
        "thumbnail.tif": (thumbnail, "RAW"),
        "brand.heic": (heic_brand(), "HEIC|damaged"),
        "bomb.png": (bomb(), "pixels; crop it"),
        "folder.jpg": (None, "cannot be read"),
    }


def bomb():
    """A PNG that says it has 400 million pixels."""

    header = struct.pack(">IIBBBBB", 20000, 20000, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", b"")


def lossless_jpeg():
    """What few decoders know, though its header can be read."""
    return saved(pixels(), "JPEG").replace(b"\xff\xc0\x00\x11\x08", b"\xff\xc3\x00\x11\x08")


TOLD_BY_THE_START = {
    "bomb.png": "has more than 178956970 pixels",
    "cut.png": "is truncated",
    "twelve.jpg": "is a JPEG of 12 bits a channel",
    "text.jpg": "is not a photo",
    "gif.gif": "is a GIF file",
    "photo.NEF": "is a RAW file",
    "empty.jpg": "is empty",
    "folder.jpg": "cannot be read",
    "missing.jpg": "cannot be read",
}


@pytest.mark.parametrize(
    "read", [photo_file.read, photo_file.read_pixels, photo_file.size, photo_file.orientation]
)
@pytest.mark.parametrize("name", TOLD_BY_THE_START)
def test_the_true_reason_is_told_whatever_was_asked(tmp_path, name, read):
    data, _ = bad_files().get(name, (None, ""))
    path = tmp_path / name
    if data is not None:
        path.write_bytes(data)
    elif name == "folder.jpg":
        path.mkdir()
    with pytest.raises(InputError) as error:
        read(path)
    assert_one_sentence(str(error.value), path, TOLD_BY_THE_START[name])


def test_a_lossless_jpeg_is_named_as_such(tmp_path):
    path = put(tmp_path, lossless_jpeg())
    with pytest.raises(InputError) as error:
        photo_file.read(path)
    assert_one_sentence(str(error.value), path, "is a lossless JPEG")


def test_a_system_that_cannot_read_a_file_is_named_and_not_the_photo(tmp_path, monkeypatch):
    def broken(_):
        raise OSError(5, "Input/output error")

    path = put(tmp_path, saved(pixels(), "JPEG"))
    monkeypatch.setattr(Image, "open", broken)
    with pytest.raises(InputError) as error:
        photo_file.size(path)
    assert_one_sentence(str(error.value), path, "cannot be read (Input/output error)")


@pytest.mark.parametrize("name", [*bad_files(), "missing.jpg"])
def test_what_cannot_be_used_is_refused_in_a_sentence(tmp_path, name):
    data, said = bad_files().get(name, (None, "cannot be read"))
    path = tmp_path / name
    if data is not None:
        path.write_bytes(data)
    elif name == "folder.jpg":
        path.mkdir()
    with pytest.raises(InputError, match=said) as error:
        photo_file.read(path)
    assert_one_sentence(str(error.value), path, "photo")


def test_a_heic_goes_in_and_out_with_the_extra(tmp_path):
    pillow_heif = pytest.importorskip("pillow_heif", reason="the extra heic is not installed")
    buffer = io.BytesIO()
    pillow_heif.from_pillow(Image.fromarray(pixels())).save(buffer, quality=95)
    photo = photo_file.read(put(tmp_path, buffer.getvalue(), "photo.heic"))
    assert photo.format == "heic"
    assert np.abs(photo.pixels.astype(int) - pixels()).mean() < 5
    back = photo_writer.decode(photo_writer.encode(photo, photo.pixels), photo)
    assert np.abs(back.astype(int) - photo.pixels).mean() < 5


@pytest.mark.parametrize("orientation", range(1, 9))
def test_turning_is_that_of_viewers_and_has_an_inverse(orientation):
    image = Image.fromarray(pixels())
    image.getexif()[274] = orientation
    buffer = io.BytesIO()
    image.save(buffer, "PNG", exif=image.getexif())
    expected = np.asarray(ImageOps.exif_transpose(opened(buffer.getvalue())))
    shown = metadata.turned(pixels(), orientation)
    np.testing.assert_array_equal(shown, expected)
    np.testing.assert_array_equal(metadata.turned_back(shown, orientation), pixels())


@pytest.mark.parametrize("orientation", [1, 6])
@pytest.mark.parametrize("mode", ["P", "1"])
def test_tiffs_of_few_colours_come_in_their_colours(tmp_path, mode, orientation):
    image = Image.fromarray(pixels()).convert(mode)
    photo = photo_file.read(put(tmp_path, saved(image, "TIFF", exif=exif(orientation))))
    np.testing.assert_array_equal(photo.pixels, np.asarray(image.convert("RGB")))


@pytest.mark.parametrize("orientation", [1, 6])
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_sixteen_bits_under_lzw_are_read_to_the_last(tmp_path, channels, orientation):
    deep = np.random.default_rng(2).integers(200, 65536, (HEIGHT, WIDTH, channels), np.uint16)
    photo = photo_file.read(put(tmp_path, lzw(deep, orientation), "photo.tif"))
    np.testing.assert_array_equal(photo.pixels, np.broadcast_to(deep[..., :3], photo.pixels.shape))
    assert photo.grey == (channels == 1)
    if channels == 4:
        np.testing.assert_array_equal(photo.alpha, deep[..., 3])


def lzw(deep, orientation):
    """A TIFF under LZW by hand: a code that clears the table, then 200 bytes as they are."""
    buffer = io.BytesIO()
    array = deep.squeeze(2) if deep.shape[2] == 1 else deep
    tifffile.imwrite(
        buffer, array, photometric="rgb" if deep.shape[2] > 1 else "minisblack", metadata=None,
        extrasamples=["unassalpha"] if deep.shape[2] == 4 else None, rowsperstrip=HEIGHT,
        extratags=[(274, "H", 1, orientation, True)],
    )  # fmt: skip
    raw = deep.astype("<u2").tobytes()
    parts = ["100000000" + "".join(f"{b:09b}" for b in raw[i : i + 200])
             for i in range(0, len(raw), 200)]  # fmt: skip
    code = "".join(parts) + "100000001"
    code += "0" * (-len(code) % 8)
    packed = int(code, 2).to_bytes(len(code) // 8, "big")
    out = bytearray(buffer.getvalue())
    tags = tifffile.TiffFile(io.BytesIO(bytes(out))).pages[0].tags
    fields = (("Compression", 5), ("StripOffsets", len(out)), ("StripByteCounts", len(packed)))
    for name, value in fields:
        kind = "<H" if tags[name].dtype == 3 else "<L"
        struct.pack_into(kind, out, tags[name].valueoffset, value)
    return bytes(out) + packed


def test_sixteen_bits_with_premultiplied_transparency_are_refused(tmp_path):
    buffer = io.BytesIO()
    deep = np.full((HEIGHT, WIDTH, 4), 999, np.uint16)
    tifffile.imwrite(buffer, deep, photometric="rgb", extrasamples=["assocalpha"])
    path = put(tmp_path, buffer.getvalue())
    with pytest.raises(InputError) as error:
        photo_file.read(path)
    assert_one_sentence(str(error.value), path, "premultiplied")


def test_a_lossless_webp_with_a_profile_stays_lossless(tmp_path):
    data = saved(pixels(), "WEBP", lossless=True, icc_profile=icc())
    photo = photo_file.read(put(tmp_path, data))
    back = photo_writer.decode(photo_writer.encode(photo, photo.pixels), photo)
    np.testing.assert_array_equal(back, pixels())


def test_tables_coarser_than_a_usual_jpeg_has_are_told_in_our_words(tmp_path, capfd):
    """Tables of 16 bits, of which libjpeg says on its own that they are too coarse."""
    data = saved(pixels(), "JPEG", qtables=[[9 + n for n in range(64)]])
    at = data.index(b"\xff\xdb")
    table = b"".join(struct.pack(">H", 5 * step) for step in data[at + 5 : at + 69])
    deep = data[:at] + b"\xff\xdb" + struct.pack(">H", 131) + b"\x10" + table + data[at + 69 :]
    photo = photo_file.read(put(tmp_path, deep))
    assert photo.words == ("steps of its JPEG tables above 255 are written as 255",)
    assert max(photo.jpeg.tables[0]) == 255
    again = photo_file.read(put(tmp_path, photo_writer.encode(photo, photo.pixels)))
    assert again.jpeg.tables == photo.jpeg.tables
    assert capfd.readouterr().err == ""


def test_each_component_of_a_jpeg_keeps_its_own_table(tmp_path):
    data = bytearray(saved(pixels(), "JPEG", quality=60, subsampling=0))
    at = data.index(b"\xff\xdb")
    data[at + 4] ^= 1
    data[data.index(b"\xff\xdb", at + 2) + 4] ^= 1
    frame = data.index(b"\xff\xc0")
    for component in range(3):  # brightness by table 1, colours by table 0
        data[frame + 12 + 3 * component] ^= 1
    photo = photo_file.read(put(tmp_path, bytes(data)))
    theirs, ours = opened(bytes(data)), opened(photo_writer.encode(photo, photo.pixels))
    for one, other in zip(theirs.layer, ours.layer, strict=True):
        assert theirs.quantization[one[3]] == ours.quantization[other[3]]


def test_another_quality_keeps_sampling_and_scans_of_the_original(tmp_path):
    data = saved(pixels(), "JPEG", subsampling=0, progressive=True)
    photo = photo_file.read(put(tmp_path, data))
    ours = opened(photo_writer.encode(photo, photo.pixels, quality=70))
    assert JpegImagePlugin.get_sampling(ours) == 0
    assert ours.info.get("progressive")


def test_a_sampling_that_cannot_be_written_is_told(tmp_path):
    flat = saved(np.full((64, 64, 3), 99, np.uint8), "JPEG", subsampling=1)
    at = flat.index(b"\xff\xc0") + 11
    photo = photo_file.read(put(tmp_path, flat[:at] + b"\x12" + flat[at + 1 :]))  # 4:4:0
    assert photo.jpeg.sampling == 0
    assert any("4:4:4" in word for word in photo.words)


def test_xmp_that_is_kept_says_the_new_orientation_and_holds_no_thumbnail(tmp_path):
    xmp = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:D tiff:Orientation="6"/></x:xmpmeta>'
    photo = photo_file.read(put(tmp_path, saved(pixels(), "JPEG", exif=exif(6), xmp=xmp)))
    written = photo_writer.encode(photo, photo.pixels, kept="keep")
    assert opened(written).getexif().get(274, 1) == 1
    small = photo._replace(xmp=b"<xmpGImg:image>AAAA</xmpGImg:image>")
    assert b"xmpGImg" not in photo_writer.encode(small, photo.pixels, kept="keep")


@pytest.mark.parametrize(
    "property",
    [
        b'G:MotionPhoto="1"',
        b'G:MicroVideoOffset="500"',
        b'xmlns:C="http://ns.google.com/photos/1.0/container/"',
        b'hdrgm:Version="1.0"',
        b'HDRGainMap:HDRGainMapVersion="65536"',
    ],
)
def test_xmp_that_points_to_what_is_gone_goes_with_it(tmp_path, property):
    """The video, the gain map, the second image: none of them is in the output."""
    xmp = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:D ' + property + b"/></x:xmpmeta>"
    data = saved(pixels(), "JPEG", xmp=xmp) + b"\0\0\0\x18ftypmp42" + bytes(488)
    photo = photo_file.read(put(tmp_path, data))
    assert [word for word in photo.words if "its XMP points to" in word]
    made = photo_writer.encode(photo, photo.pixels, kept="keep")
    assert b"xmpmeta" not in made
    assert b"ftypmp42" not in made
    alone = saved(pixels(), "JPEG") + b"\0\0\0\x18ftypmp42" + bytes(488)
    assert photo_file.read(put(tmp_path, alone)).words == ("its video is left out",)
    plain = photo_file.read(put(tmp_path, saved(pixels(), "JPEG", xmp=b"<x:xmpmeta/>")))
    assert plain.words == ()


@pytest.mark.parametrize("block", ["exif", "xmp"])
def test_metadata_too_long_for_a_jpeg_are_refused_in_a_sentence(tmp_path, block):
    long = Image.Exif()
    long[315] = "A. " * 25000
    value = long if block == "exif" else b"A. " * 25000
    photo = photo_file.read(put(tmp_path, saved(pixels(), "WEBP", **{block: value})))
    with pytest.raises(InputError, match=r"metadata.*; choose"):
        photo_writer.encode(photo, photo.pixels, kind="jpeg", kept="keep")
    assert photo_writer.encode(photo, photo.pixels, kind="jpeg")


def test_a_colour_profile_that_few_files_hold_is_told(tmp_path):
    own = icc().replace("sRGB built-in".encode("utf-16-be"), "Bob's monitor".encode("utf-16-be"))
    nameless = icc().replace(b"desc", b"xesc", 1)
    common, other, without = (
        photo_file.read(put(tmp_path, saved(pixels(), "PNG", icc_profile=profile)))
        for profile in (icc(), own, nameless)
    )
    assert (common.telling, common.words) == ("", ())
    assert "Bob's monitor" in other.telling
    assert without.telling == "without a name"


def test_what_lies_below_transparent_pixels_does_not_go_along(tmp_path):
    array = np.dstack([pixels(), np.full(pixels().shape[:2], 255, np.uint8)])
    array[10:30, 20:50, 3] = 0
    photo = photo_file.read(put(tmp_path, saved(array, "PNG")))
    assert "what lay below its transparent pixels is removed" in photo.words
    below = photo.pixels[10:30, 20:50].reshape(-1, 3)
    shown = array[..., 3] > 0
    np.testing.assert_array_equal(below, np.rint(pixels()[shown].mean(0)) + 0 * below)
    np.testing.assert_array_equal(photo.pixels[shown], pixels()[shown])
    array[10:30, 20:50, :3] = 7
    same = photo_file.read(put(tmp_path, saved(array, "PNG")))
    np.testing.assert_array_equal(same.pixels, array[..., :3])
    assert same.words == (), "there was nothing to be seen"
    changed = same.pixels.copy()
    changed[10, 20] += 1  # as a method may leave it
    back = photo_writer.decode(photo_writer.encode(same, changed), same)
    np.testing.assert_array_equal(back, same.pixels)


def hiding(below, hidden):
    """A lossy WebP, and a HEIC where those can be written, of a photo with something hidden."""
    levels = np.where(hidden[..., None], below, pixels(*hidden.shape))
    image = Image.fromarray(np.dstack([levels, 255 * ~hidden]).astype(np.uint8))
    found = {quality: saved(image, "WEBP", quality=quality, exact=True) for quality in (95, 80, 50)}
    with contextlib.suppress(ImportError):
        import pillow_heif

        for quality in (90, 50):
            buffer = io.BytesIO()
            pillow_heif.from_pillow(image).save(buffer, quality=quality)
            found[f"HEIC {quality}"] = buffer.getvalue()
    return found


def shapes():
    """What may be hidden: a sky, all around a disc, and a window."""
    down, right = np.mgrid[:300, :320]
    yield down < 180
    yield np.hypot(down - 150, right - 160) > 120
    yield (abs(down - 150) < 99) & (abs(right - 160) < 101)


def test_ringing_below_transparent_pixels_is_nothing(tmp_path):
    for hidden in shapes():
        for colour in (0, 255, 97):
            for kind, data in hiding(colour, hidden).items():
                photo = photo_file.read(put(tmp_path, data))
                assert photo.words == (), (kind, colour)
                below = photo.pixels[photo_file.is_hidden(photo.alpha)]
                assert (below == below[0]).all()


@pytest.mark.parametrize("sigma", [1.0, 3.0])
def test_noise_below_transparent_pixels_of_a_lossy_file_is_told(tmp_path, sigma):
    """Whose standard deviation is that of ringing, but everywhere."""
    sky = 140 + sigma * np.random.default_rng(0).normal(0, 1, (300, 320, 3))
    found = hiding(sky.round(), np.arange(300)[:, None] + np.zeros(320) < 180)
    for kind in (95, "HEIC 90") if sigma < 2 else (95, 80, "HEIC 90", "HEIC 50"):
        if kind in found:
            assert photo_file.BELOW in photo_file.read(put(tmp_path, found[kind])).words, kind


@pytest.mark.parametrize("sigma", [10, 50])
def test_a_small_part_below_many_transparent_pixels_is_told(tmp_path, sigma):
    """Of a hundredth of what is hidden, so that the standard deviation of all is small."""
    below = np.full((400, 400, 3), 140.0)
    below[100:136, 210:246] += sigma * np.random.default_rng(0).normal(0, 1, (36, 36, 3))
    hidden = np.arange(400)[:, None] + np.zeros(400) < 380
    for kind, data in hiding(below.clip(0, 255), hidden).items():
        assert photo_file.BELOW in photo_file.read(put(tmp_path, data)).words, kind


def test_pixels_far_from_visible_ones_are_those_beyond_a_square():
    seen = np.zeros((90, 70), bool)
    seen[40, 30] = seen[0, 0] = True
    for reach in (1, 2, 5, 16):
        expected = np.zeros_like(seen)
        expected[40 - reach : 41 + reach, 30 - reach : 31 + reach] = True
        expected[: reach + 1, : reach + 1] = True
        np.testing.assert_array_equal(ringing._widened(seen, reach), expected)


def test_long_and_damaged_texts_of_a_png_do_not_damage_its_picture(tmp_path):
    long, odd = PngImagePlugin.PngInfo(), PngImagePlugin.PngInfo()
    long.add_itxt("XML:com.adobe.xmp", "<x:xmpmeta/>" * 200_000, zip=True)
    odd.add_text("Raw profile type exif", "\nexif\n  99\nzz")
    for text in (long, odd):
        photo = photo_file.read(put(tmp_path, saved(pixels(), "PNG", pnginfo=text)))
        np.testing.assert_array_equal(photo.pixels, pixels())
        assert opened(photo_writer.encode(photo, photo.pixels))
    with pytest.raises(InputError, match="metadata"):
        photo_writer.encode(photo, photo.pixels, kept="keep")


@pytest.mark.parametrize("upright", [True, False])
@pytest.mark.parametrize("orientation", [1, 2, 6, 8])
def test_a_heic_comes_in_sensor_orientation(tmp_path, orientation, upright):
    pillow_heif = pytest.importorskip("pillow_heif", reason="the extra heic is not installed")
    buffer, tag = io.BytesIO(), Image.Exif()
    tag[274] = orientation
    pillow_heif.encode(
        "RGB", (WIDTH, HEIGHT), pixels().tobytes(), buffer, quality=95, exif=tag.tobytes()
    )
    photo = photo_file.read(put(tmp_path, buffer.getvalue(), "photo.heic"))
    assert photo.orientation == orientation
    assert np.abs(photo.pixels.astype(int) - pixels()).mean() < 5
    written = photo_writer.encode(photo, photo.pixels, upright=upright)
    back = photo_writer.decode(written, photo, upright=upright)
    assert np.abs(back.astype(int) - photo.pixels).mean() < 5
    shown = np.asarray(pillow_heif.open_heif(io.BytesIO(written)).to_pillow()).astype(int)
    assert np.abs(shown - metadata.turned(photo.pixels, orientation)).mean() < 5


@pytest.mark.parametrize("orientation", range(1, 9))
def test_the_header_of_a_heic_tells_the_sensors_size_and_nothing_is_decoded(
    tmp_path, orientation, monkeypatch
):
    pillow_heif = pytest.importorskip("pillow_heif", reason="the extra heic is not installed")
    buffer, tag = io.BytesIO(), Image.Exif()
    tag[274] = orientation
    pillow_heif.encode(
        "RGB", (WIDTH, HEIGHT), pixels().tobytes(), buffer, quality=95, exif=tag.tobytes()
    )
    path = put(tmp_path, buffer.getvalue(), "photo.heic")
    assert photo_file.read_pixels(path).shape == (HEIGHT, WIDTH, 3)

    def decoded(_):
        pytest.fail("the header says enough")

    monkeypatch.setattr(pillow_heif.HeifImageFile, "load", decoded)
    assert photo_file.size(path) == (HEIGHT, WIDTH)
    assert photo_file.orientation(path) == orientation


@pytest.mark.parametrize("orientation", range(1, 9))
def test_the_header_of_a_tiff_of_sixteen_bits_tells_the_sensors_size(tmp_path, orientation):
    deep = np.random.default_rng(0).integers(0, 65536, (HEIGHT, WIDTH, 3), np.uint16)
    buffer = io.BytesIO()
    tags = [(274, "H", 1, orientation, True)]
    tifffile.imwrite(buffer, deep, photometric="rgb", extratags=tags)
    path = put(tmp_path, buffer.getvalue(), "photo.tif")
    assert photo_file.size(path) == (HEIGHT, WIDTH)
    assert photo_file.orientation(path) == orientation
    np.testing.assert_array_equal(photo_file.read_pixels(path), np.rint(deep / 257))


def test_a_tiff_for_more_than_4_gib_is_a_tiff(tmp_path):
    for kind in (np.uint8, np.uint16):
        deep = np.random.default_rng(0).integers(0, 256, (HEIGHT, WIDTH, 3), kind)
        buffer = io.BytesIO()
        tifffile.imwrite(buffer, deep, photometric="rgb", bigtiff=True)
        path = put(tmp_path, buffer.getvalue(), "photo.tif")
        assert photo_kinds.kind_of(path) == "tiff"
        np.testing.assert_array_equal(photo_file.read(path).pixels, deep)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="pipes have names on Unix")
def test_a_pipe_and_a_device_are_refused_at_once(tmp_path):
    os.mkfifo(tmp_path / "pipe.jpg")
    for path in (tmp_path / "pipe.jpg", "/dev/zero"):
        for asked in (photo_file.read, photo_file.size):
            with pytest.raises(InputError) as error:
                asked(path)
            assert_one_sentence(str(error.value), path, "a pipe, a device")
        assert photo_kinds.kind_of(path) == "jpeg", "in doubt, and without waiting"
        with pytest.raises(InputError, match="cannot be replaced"):
            files.write_bytes(path, b"")


def test_of_a_jpeg_the_header_alone_is_read(tmp_path):
    data = saved(pixels(), "JPEG", exif=exif(6))
    path = put(tmp_path, data[:-500])
    assert photo_file.size(path) == (HEIGHT, WIDTH)
    assert photo_file.orientation(path) == 6
    with pytest.raises(InputError, match="truncated"):
        photo_file.read(path)


@pytest.mark.parametrize(
    ("bits", "clear"), [(1, 0), (1, 1), (2, 1), (4, 5), (4, 0x25), (8, 5), (8, 0x305)]
)
def test_the_clear_level_of_a_grey_png_of_any_depth_is_transparent(tmp_path, bits, clear):
    levels = np.random.default_rng(0).integers(0, 2**bits, (64, 64), np.uint8)
    photo = photo_file.read(put(tmp_path, grey_png(levels, bits, clear)))
    np.testing.assert_array_equal(photo.alpha, np.where(levels == clear % 2**bits, 0, 255))
    np.testing.assert_array_equal(photo.pixels[..., 0], levels * (255 // (2**bits - 1)))
    assert photo.grey
    assert photo.words == (("black and white converted to grey",) if bits == 1 else ())


def grey_png(levels, bits, clear):
    """A grey PNG of few bits, in which a level is clear, by hand."""
    planes = np.unpackbits(levels[..., None], axis=2)[..., -bits:]
    rows = np.packbits(planes.reshape(len(levels), -1), axis=1)
    header = struct.pack(">IIBBBBB", levels.shape[1], levels.shape[0], bits, 0, 0, 0, 0)
    data = zlib.compress(b"".join(b"\0" + row.tobytes() for row in rows))
    parts = (
        (b"IHDR", header),
        (b"tRNS", struct.pack(">H", clear)),
        (b"IDAT", data),
        (b"IEND", b""),
    )
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*part) for part in parts)


def test_a_jpeg_whose_comment_begins_like_a_raw_file_is_one(tmp_path):
    data = saved(pixels(), "JPEG")
    comment = b"\xff\xfe\x00\x10SECRET COMMENT"
    found = photo_file.read(put(tmp_path, data[:2] + comment + data[2:]))
    assert found.format == "jpeg"


@pytest.mark.parametrize("share", [0.3, 0.9, 0.999])
def test_a_tiff_that_was_cut_off_is_called_so(tmp_path, share):
    buffer = io.BytesIO()
    Image.fromarray(pixels()).save(buffer, "TIFF", compression="tiff_lzw")
    data = buffer.getvalue()
    path = put(tmp_path, data[: int(share * len(data))], "a.tif")
    with pytest.raises(InputError) as error:
        photo_file.read(path)
    assert_one_sentence(str(error.value), path, "truncated or damaged and cannot be decoded")


@pytest.mark.parametrize("masks", [(0x7C00, 0x3E0, 0x1F, 0x8000), (0xF00, 0xF0, 0xF, 0xF000)])
def test_a_bmp_of_16_bits_with_opacity_is_refused(tmp_path, masks):
    body = np.zeros((64, 64), "<u2").tobytes()
    header = struct.pack("<IiiHHIIiiII4I", 124, 64, 64, 1, 16, 3, len(body), 0, 0, 0, 0, *masks)
    header = header.ljust(124, b"\0")
    start = struct.pack("<2sIHHI", b"BM", 14 + 124 + len(body), 0, 0, 14 + 124)
    path = put(tmp_path, start + header + body, "a.bmp")
    with pytest.raises(InputError) as error:
        photo_file.read(path)
    assert_one_sentence(str(error.value), path, "16 bits with transparency")


def test_a_profile_of_colours_does_not_change_a_grey_photo(tmp_path):
    data = saved(pixels()[..., 0], "PNG", icc_profile=icc())
    found = photo_file.read(put(tmp_path, data), srgb=True)
    np.testing.assert_array_equal(found.pixels[..., 0], pixels()[..., 0])
    assert found.icc is None
    assert any("means nothing for a grey photo" in word for word in found.words)


def test_colours_of_narrow_range_cannot_be_written_as_a_heic(tmp_path):
    code = b"cICP" + bytes([9, 16, 0, 0])
    chunk = struct.pack(">I", 4) + code + struct.pack(">I", zlib.crc32(code))
    png = saved(pixels())
    photo = photo_file.read(put(tmp_path, png[:33] + chunk + png[33:]))
    with pytest.raises(InputError, match="cICP can be written as a PNG only"):
        photo_writer.require_writable(photo, kind="heic")
    full = photo._replace(colours=photo.colours.replace(code, code[:-1] + b"\1"))
    photo_writer.require_writable(full, kind="heic")


def test_pictures_in_inner_directories_of_the_exif_do_not_go_along():
    """Pillow writes the directory of interoperability within that of the EXIF."""
    preview = saved(pixels()[:16, :16], "JPEG")
    original = Image.Exif()
    inner = original.get_ifd(34665)
    inner[34675], inner[347], inner[33434] = preview, preview, 0.5
    inner[40965] = {1: "R98", 4096: preview}
    original.get_ifd(34853)[700] = preview
    block = original.tobytes()
    assert block.count(preview) == 4
    made = metadata.exif(block, "keep", orientation=1, size=(8, 8))
    assert b"\xff\xd8\xff" not in made
    back = metadata.parsed(made)
    assert back.get_ifd(34665)[33434] == 0.5
    assert metadata.pictures(block) == ["tag 34675", "tag 347", "tag 700", "tag 4096"]


def test_xmp_that_goes_on_elsewhere_is_left_out_and_no_video_is_named(tmp_path):
    for text in (b'xmpNote:HasExtendedXMP="0A"', b'dcterms:provenance="self#jumbf=c2pa"'):
        xmp = b"<x:xmpmeta><rdf:D " + text + b"/></x:xmpmeta>"
        photo = photo_file.read(put(tmp_path, saved(pixels(), "JPEG", xmp=xmp)))
        assert photo.words == ()
        assert b"xmpmeta" not in photo_writer.encode(photo, photo.pixels, kept="keep")
        said = photo_writer.not_kept(photo, kind="same", kept="keep")
        assert said == ["its XMP is left out"]


def test_levels_that_spell_mpvd_are_no_video(tmp_path):
    array = np.full((64, 64, 3), 200, np.uint8)
    array[0, :2] = np.frombuffer(b"mpvd..", np.uint8).reshape(2, 3)
    for kind in ("TIFF", "BMP", "PNG"):
        photo = photo_file.read(put(tmp_path, saved(array, kind), f"a.{kind.lower()}"))
        assert photo.words == ()


@pytest.mark.parametrize("name", ["exif", "xmp", "icc_profile", "transparency"])
@pytest.mark.parametrize("how", ["add_text", "add_itxt"])
def test_texts_of_a_png_that_are_called_like_its_metadata_are_texts(tmp_path, name, how):
    text = PngImagePlugin.PngInfo()
    getattr(text, how)(name, "by Ann")
    for array in (pixels(), pixels()[..., 0]):
        photo = photo_file.read(put(tmp_path, saved(array, "PNG", pnginfo=text), "a.png"))
        expected = array[..., 0] if array.ndim == 3 else array
        np.testing.assert_array_equal(photo.pixels[..., 0], expected)
        assert (photo.icc, photo.alpha, photo.unkept) == (None, None, ("text",))
        assert b"Ann" not in photo_writer.encode(photo, photo.pixels, kept="keep")


@pytest.mark.parametrize(
    "block",
    [
        b"garbage", b"Exif\0\0garbage", b"MM", b"II*\0", b"MM\0*\0\0", b"II+\0\x08\0\0\0aaaa",
        b"Exif\0\0II*\0" + struct.pack("<IHHHIiI", 8, 1, 34665, 9, 1, -5, 0),
    ],
)  # fmt: skip
@pytest.mark.parametrize("kind", ["PNG", "WEBP", "JPEG", "text"])
def test_exif_that_are_none_do_not_damage_the_picture(tmp_path, kind, block):
    text = PngImagePlugin.PngInfo()
    text.add_text("Raw profile type exif", f"\nexif\n{len(block):8}\n{block.hex()}\n")
    options = {"pnginfo": text} if kind == "text" else {"exif": block}
    data = saved(pixels(), "PNG" if kind == "text" else kind, **options)
    path = put(tmp_path, data)
    photo = photo_file.read(path)
    np.testing.assert_array_equal(photo.pixels, np.asarray(opened(data)))
    assert (photo.orientation, photo_file.orientation(path), photo.words) == (1, 1, ())
    assert photo_writer.encode(photo, photo.pixels)


def test_the_name_of_a_segment_may_precede_exif(tmp_path):
    for times in range(3):
        block = b"Exif\0\0" * times + exif(6).tobytes().removeprefix(b"Exif\0\0")
        path = put(tmp_path, saved(pixels(), "PNG", exif=block))
        assert (photo_file.read(path).orientation, photo_file.orientation(path)) == (6, 6)


@pytest.mark.parametrize("text", ["MMy holiday", "Italy", "II", "IIII"])
def test_a_text_that_begins_like_exif_is_a_text(tmp_path, text):
    info = PngImagePlugin.PngInfo()
    info.add_text("exif", text)
    photo = photo_file.read(put(tmp_path, saved(pixels(), "PNG", pnginfo=info), "a.png"))
    np.testing.assert_array_equal(photo.pixels, pixels())
    assert (photo.exif, photo.unkept) == (b"", ("text",))
    assert photo_writer.encode(photo, photo.pixels, kept="keep")


@pytest.mark.parametrize("name", ["srgb", "palette", "clear", "grey and clear", "grey, srgb"])
def test_texts_that_are_left_out_are_said_of_a_photo_that_is_converted(tmp_path, name):
    info = PngImagePlugin.PngInfo()
    info.add_text("Author", "Ann")
    image = Image.fromarray(pixels())
    if "palette" in name:
        image = image.quantize(64)
    elif "grey" in name:
        image = image.convert("L")
    options = {"icc_profile": (grey_profile if "grey" in name else icc)()} if "srgb" in name else {}
    options |= {"transparency": 7 if "grey" in name else (1, 2, 3)} if "clear" in name else {}
    path = put(tmp_path, saved(image, "PNG", pnginfo=info, **options))
    assert photo_file.read(path, srgb="srgb" in name).unkept == ("text",)


@pytest.mark.parametrize("srgb", [False, True], ids=["keep", "srgb"])
def test_what_else_a_jpeg_holds_is_said_whatever_becomes_of_its_colours(tmp_path, srgb):
    data = saved(pixels(), "JPEG", icc_profile=swapped_profile(), comment="by Ann")
    jumb = b"JP\0\1\0\0\0\1" + b"\0\0\0\x20jumbc2pa"
    data = data[:2] + b"\xff\xeb" + struct.pack(">H", 2 + len(jumb)) + jumb + data[2:]
    photo = photo_file.read(put(tmp_path, data), srgb=srgb)
    assert photo.unkept == ("comment", "C2PA manifest")
    said = photo_writer.not_kept(photo, kind="same", kept="keep")
    assert said == ["its comment and C2PA manifest are left out"]


def test_an_orientation_that_is_no_whole_number_is_none():
    odd = Image.Exif()
    odd[274] = TiffImagePlugin.IFDRational(6, 1)
    image = Image.fromarray(pixels())
    with mock.patch.object(Image.Image, "getexif", return_value=odd):
        assert photo_file._orientation(image) == 1


@pytest.mark.parametrize("clear", [False, True], ids=["opaque", "clear"])
def test_a_tiff_with_opacity_is_converted_to_srgb_too(tmp_path, clear):
    alpha = np.full(pixels().shape[:2], 255, np.uint8)
    alpha[:9] = 7 if clear else 255
    data = saved(np.dstack([pixels(), alpha]), "TIFF", icc_profile=swapped_profile())
    found = photo_file.read(put(tmp_path, data, "a.tif"), srgb=True)
    plain = photo_file.read(
        put(tmp_path, saved(pixels(), "PNG", icc_profile=swapped_profile())), srgb=True
    )
    assert found.words == ("colours converted to sRGB",)
    assert found.icc is None
    np.testing.assert_array_equal(found.pixels, plain.pixels)
    assert (found.alpha is not None) == clear


def test_a_heic_of_too_many_pixels_is_refused_like_any_other(tmp_path, monkeypatch):
    pytest.importorskip("pillow_heif")
    photo = photo_file.read(put(tmp_path, saved(pixels())))
    path = put(tmp_path, photo_writer.encode(photo, pixels(), kind="heic"))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    with pytest.raises(InputError) as error:
        photo_file.read(path)
    assert_one_sentence(str(error.value), path, "more than 2000 pixels")
