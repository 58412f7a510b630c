"""Profiles written anew: the same colours by lcms, and not a byte of anything else."""

import io
import struct
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageCms

from dippas_jax.io import common_profiles, icc_profile
from tests.io.test_photo import grey_profile, icc, swapped_profile, written_profile

SECRET = b"Jane Doe 4711"
GHOSTSCRIPT = sorted(Path("/usr/share/color/icc/ghostscript").glob("*.icc"))

LEVELS = np.concatenate(
    [
        np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8),
        17 * np.indices((16, 16, 16), np.uint8).T.reshape(64, 64, 3),  # pure colours among them
        np.arange(256, dtype=np.uint8).reshape(4, 64, 1).repeat(3, 2),
    ]
)
GREY = LEVELS.max(-1) == LEVELS.min(-1)


def shown(profile, mode, intent):
    """Colours by lcms, which computes with what it finds in a profile."""
    picture = Image.fromarray(LEVELS if mode == "RGB" else LEVELS[..., 0])
    screen = ImageCms.createProfile("sRGB")
    transform = ImageCms.buildTransform(
        io.BytesIO(profile), screen, mode, "RGB", renderingIntent=intent
    )
    return np.asarray(ImageCms.applyTransform(picture, transform))


def assert_same_colours(profile):
    made = icc_profile.rebuilt(profile)
    mode = "L" if icc_profile.is_grey(profile) else "RGB"
    common = not icc_profile.telling_name(profile)  # written with numbers that are known here
    for intent in ImageCms.Intent:
        apart = shown(made, mode, intent).astype(int) - shown(profile, mode, intent)
        assert np.abs(apart).max() <= common
    assert icc_profile.rebuilt(made) == made
    return made


def parametric():
    """Curves of the kinds 0 and 3, which lcms writes for none of its own."""
    plain = icc_profile._tags(icc())
    kinds = (0, 3)
    numbers = {0: (2.2,), 3: (2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045)}
    curves = [
        b"para" + struct.pack(">IHH", 0, kind, 0)
        + struct.pack(f">{len(numbers[kind])}i", *(round(65536 * x) for x in numbers[kind]))
        for kind in kinds
    ]  # fmt: skip
    tags = dict(plain) | {b"rTRC": curves[0], b"gTRC": curves[1], b"bTRC": curves[1]}
    return written_profile(tags, b"mntr" + b"RGB " + b"XYZ ")


def table(kind):
    """An RGB scanner by a table of 3 points a side, of 8 or 16 bits, which bends the colours."""
    grid = np.indices((3, 3, 3)).reshape(3, -1).T / 2
    lab = np.stack([grid.mean(1) ** 1.5, 0.5 + 0.2 * (grid[:, 0] - grid[:, 1]), grid[:, 2]], 1)
    matrix = struct.pack(">9i", *(65536 * np.eye(3, dtype=int)).ravel())
    start = kind + bytes(4) + bytes([3, 3, 3, 0]) + matrix
    if kind == b"mft1":
        ramp = bytes(range(256)) * 3
        body = ramp + np.rint(255 * lab).astype(np.uint8).tobytes() + ramp
    else:
        ramp = np.array([0, 65535], ">u2").tobytes() * 3
        body = struct.pack(">HH", 2, 2) + ramp
        body += np.rint(65280 * lab).astype(">u2").tobytes() + ramp
    tags = {b"desc": icc_profile._described("a scanner"), b"A2B0": start + body}
    tags[b"wtpt"] = b"XYZ " + bytes(4) + icc_profile._D50
    return written_profile(tags, b"scnr" + b"RGB " + b"Lab ")


def elements():
    """The same in parts, as version 4 has it: curves, a table, a matrix and curves."""
    grid = np.indices((3, 3, 3)).reshape(3, -1).T / 2
    xyz = np.stack([grid[:, 0], grid.mean(1) ** 1.5, grid[:, 2]], 1) / 2
    line = b"curv" + bytes(8)
    bent = b"para" + struct.pack(">IHHi", 0, 0, 0, round(65536 * 1.8))
    matrix = struct.pack(">12i", *(65536 * np.eye(3, 4, dtype=int)).T.reshape(-1)[:12])
    cube = bytes([3, 3, 3]).ljust(16, b"\0") + bytes([2, 0, 0, 0])
    cube += np.rint(65535 * xyz).astype(">u2").tobytes()
    cube += bytes(-len(cube) % 4)
    parts = [line * 3, matrix, line * 3, cube, bent * 3]
    places = np.cumsum([32, *map(len, parts)])[:5]
    start = b"mAB " + bytes(4) + bytes([3, 3, 0, 0]) + struct.pack(">5I", *places)
    tags = {b"desc": icc_profile._localised("a scanner"), b"A2B0": start + b"".join(parts)}
    tags[b"wtpt"] = b"XYZ " + bytes(4) + icc_profile._D50
    profile = bytearray(written_profile(tags, b"scnr" + b"RGB " + b"XYZ "))
    profile[8:12] = bytes([4, 0x20, 0, 0])
    return bytes(profile)


@pytest.mark.parametrize(
    "profile",
    [
        icc(),
        swapped_profile(),
        grey_profile(),
        parametric(),
        table(b"mft1"),
        table(b"mft2"),
        elements(),
    ],
    ids=["sRGB", "swapped", "grey", "parametric", "8 bits", "16 bits", "elements"],
)
def test_colours_stay_and_all_else_goes(profile):
    made = assert_same_colours(profile)
    plain = icc_profile.rebuilt(profile + SECRET)
    assert plain == made, "what lies behind it"
    header = bytearray(profile)
    header[4:8], header[40:56], header[80:128] = b"Jane", b"Jane Doe 4711 NK", SECRET.ljust(48)
    header[24:36] = struct.pack(">6H", 2026, 11, 27, 1, 2, 3)
    assert icc_profile.rebuilt(bytes(header)) == made
    tags = icc_profile._tags(profile)
    longer = {kind: data + SECRET for kind, data in tags.items()} | {
        b"mmod": b"mmod" + SECRET,
        b"cprt": b"text" + bytes(4) + SECRET,
        b"dmnd": b"text" + bytes(4) + SECRET,
        b"calt": b"dtim" + SECRET,
    }
    other = bytearray(written_profile(longer, bytes(profile[12:24])))
    other[8:12] = profile[8:12]
    again = icc_profile.rebuilt(bytes(other))
    assert SECRET not in again
    assert icc_profile._tags(again).keys() == icc_profile._tags(made).keys()
    for kind, data in icc_profile._tags(made).items():
        assert icc_profile._tags(again)[kind] == data, kind


@pytest.mark.skipif(not GHOSTSCRIPT, reason="no profiles are installed here")
def test_profiles_of_a_system():
    for path in GHOSTSCRIPT:
        profile = path.read_bytes()
        if profile[16:20] in (b"RGB ", b"GRAY"):
            assert_same_colours(profile)
        else:
            assert icc_profile.rebuilt(profile) is None


def test_the_name_stays_if_it_is_a_common_one():
    assert icc_profile.name(icc()) == "sRGB built-in"
    assert icc_profile.name(icc_profile.rebuilt(icc())) == "sRGB built-in"
    own = icc().replace("sRGB built-in".encode("utf-16-be"), "Bob's monitor".encode("utf-16-be"))
    assert icc_profile.telling_name(own) == "Bob's monitor"
    assert icc_profile.name(icc_profile.rebuilt(own)) == "unnamed"
    assert icc_profile.name(icc_profile.rebuilt(swapped_profile())) == "sRGB built-in"
    assert icc_profile.name(table(b"mft1")) == "a scanner"
    lcms = ImageCms.getProfileDescription(io.BytesIO(icc_profile.rebuilt(table(b"mft1"))))
    assert lcms.strip() == "unnamed"


def test_what_is_damaged_is_no_profile():
    whole = icc()
    for length in range(len(whole)):
        made = icc_profile.rebuilt(whole[:length])
        assert made is None or len(made) > 128
        icc_profile.telling_name(whole[:length])
    rng = np.random.default_rng(1)
    for source in (whole, elements(), table(b"mft2")):
        for _ in range(300):
            data = bytearray(source)
            for at in rng.integers(0, len(data), 4):
                data[at] = rng.integers(256)
            icc_profile.rebuilt(bytes(data))
            icc_profile.telling_name(bytes(data))
    for odd in (b"", b"no profile at all", whole[:128], whole.replace(b"acsp", b"xxxx", 1)):
        assert icc_profile.rebuilt(odd) is None


def with_tag(profile, kind, data):
    """The profile with a tag exchanged or added."""
    made = bytearray(written_profile(icc_profile._tags(profile) | {kind: data}, profile[12:24]))
    made[8:12] = profile[8:12]
    return bytes(made)


@pytest.mark.parametrize("kind", [b"mft1", b"mft2", b"mAB ", b"mBA ", b"curv", b"para", b"XYZ "])
def test_tags_that_are_too_short_are_left_out(kind):
    for length in range(64):
        for tag in (b"A2B0", b"rTRC", b"desc"):
            made = icc_profile.rebuilt(with_tag(icc(), tag, (kind + b"\1" * 64)[:length]))
            assert made is None or b"\1" * 16 not in made


def with_curves(profile, data):
    """The profile with all three curves exchanged."""
    for tag in (b"rTRC", b"gTRC", b"bTRC"):
        profile = with_tag(profile, tag, data)
    return profile


def curve(text):
    """A text that goes for the numbers of a curve."""
    return b"curv" + struct.pack(">II", 0, len(text) // 2) + text


@pytest.mark.parametrize(
    ("tag", "data"),
    [
        (b"bkpt", curve(SECRET * 2)),
        (b"wtpt", b"para" + bytes(8) + SECRET),
        (b"chad", b"XYZ " + bytes(4) + SECRET),
        (b"cicp", curve(SECRET * 2)),
        (b"A2B1", curve(SECRET * 2)),
        (b"A2B0", b"mBA " + elements()[elements().index(b"mAB ") + 4 :]),
        (b"B2A0", elements()[elements().index(b"mAB ") :]),
        (b"A2B1", b"mft1" + bytes(4) + bytes([7, 3, 1, 0]) + bytes(36) + SECRET * 250),
        (b"A2B1", b"mft1" + bytes(4) + bytes([3, 7, 1, 0]) + bytes(36) + SECRET * 250),
        (b"B2A1", b"mft2" + bytes(4) + bytes([3, 4, 1, 0]) + bytes(36) + b"\0\2\0\2" + SECRET * 9),
    ],
)
def test_a_tag_is_of_a_type_and_of_as_many_channels_as_it_may_be(tag, data):
    made = icc_profile.rebuilt(with_tag(swapped_profile(), tag, data))
    assert tag not in icc_profile._tags(made)
    assert SECRET[:5] not in made


def test_a_curve_that_is_none_leaves_no_profile():
    assert icc_profile.rebuilt(with_tag(icc(), b"rTRC", b"XYZ " + bytes(16))) is None
    assert icc_profile.rebuilt(with_tag(icc(), b"rXYZ", curve(SECRET))) is None


def test_a_grey_profile_has_no_primaries():
    made = icc_profile.rebuilt(with_tag(grey_profile(), b"rXYZ", b"XYZ " + bytes(4) + SECRET[:12]))
    assert made == icc_profile.rebuilt(grey_profile())


def test_a_matrix_that_is_cut_off_is_none():
    whole = icc_profile._tags(elements())[b"A2B0"]
    (matrix,) = struct.unpack_from(">I", whole, 16)
    for length, there in ((48, True), (47, False)):
        data = whole + whole[matrix : matrix + length]
        data = data[:16] + struct.pack(">I", len(whole)) + data[20:]
        made = icc_profile.rebuilt(with_tag(icc(), b"A2B0", data))
        assert (b"A2B0" in icc_profile._tags(made)) == there


def tabulated(curve):
    return b"curv" + struct.pack(">II", 0, 1024) + (65535 * curve).round().astype(">u2").tobytes()


def listed(*numbers):
    return b"curv" + struct.pack(">II", 0, len(numbers)) + np.array(numbers, ">u2").tobytes()


def parameters(kind, *numbers):
    numbers = (round(65536 * x) for x in numbers)
    made = b"para" + struct.pack(">IHH", 0, kind, 0)
    return made + b"".join(struct.pack(">i", x) for x in numbers)


C2 = listed(
    0, 203, 457, 867, 1426, 2155, 3062, 4159, 5457, 6964, 8689, 10640, 12824, 15250, 17925, 20855,
    24045, 27504, 31237, 35249, 39548, 44137, 49021, 54211, 59696, 65535,
)  # fmt: skip
"""The curve of the profile "c2": few points, yet within a level of that of sRGB."""


def test_numbers_other_than_those_of_its_name_make_a_profile_uncommon():
    x = np.linspace(0, 1, 1024)
    srgb = np.where(x <= 0.04045, x / 12.92, ((x + 0.055) / 1.055) ** 2.4)
    bent = np.where(abs(x - 0.5) < 0.01, srgb + 0.02, srgb)
    scanner = icc_profile._tags(table(b"mft2"))[b"A2B0"]
    line = (1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045)
    usual = [
        tabulated(srgb),
        C2,
        tabulated(x**2.2),
        parameters(0, 2.2),
        parameters(1, 2.2, 1.0, 0.0),
        parameters(4, 2.4, *line, 0.0, 0.0),
        b"curv" + struct.pack(">IIH", 0, 1, 563),
    ]
    for data in usual:
        assert icc_profile.telling_name(with_curves(icc(), data)) == "", data[:4]
        assert_same_colours(with_curves(icc(), data))
    red = b"XYZ " + struct.pack(">4i", 0, 28579, 14582, 913)
    assert icc_profile.telling_name(with_tag(icc(), b"rXYZ", red)) == ""
    odd = [
        (b"gTRC", tabulated(bent)),
        (b"gTRC", tabulated(x**2.2)),  # beside two of sRGB
        (b"gTRC", tabulated(x)),
        (b"gTRC", listed(0, 65535)),  # two points that lie on every curve, and a line between
        (b"gTRC", listed(*np.rint(65535 * srgb[::341]))),
        (b"gTRC", curve(SECRET * 9)),
        (b"gTRC", b"curv" + bytes(8)),
        (b"gTRC", b"curv" + struct.pack(">IIH", 0, 1, 460)),
        (b"gTRC", parameters(1, 2.2, 0.0, 0.0)),
        (b"gTRC", parameters(2, 2.4, *line[:2], 0.1)),
        (b"gTRC", parameters(3, -2.4, *line)),
        (b"rXYZ", b"XYZ " + struct.pack(">4i", 0, 28900, 14582, 913)),
        (b"A2B0", scanner),
        (b"cicp", b"cicp" + bytes(4) + bytes([9, 16, 0, 1])),
    ]
    for tag, data in odd:
        found = icc_profile.telling_name(with_tag(icc(), tag, data))
        assert found == "sRGB built-in with other numbers", (tag, data[:4])
    assert_same_colours(with_curves(icc(), listed(0, 65535)))
    assert icc_profile.telling_name(swapped_profile()) == "sRGB built-in with other numbers"
    grey = with_tag(grey_profile(), b"desc", icc_profile._described("sGray"))
    assert icc_profile.telling_name(with_tag(grey, b"kTRC", tabulated(srgb))) == ""
    assert icc_profile.telling_name(grey) == "sGray with other numbers"
    grey = with_tag(grey, b"desc", icc_profile._described("sRGB"))
    assert icc_profile.telling_name(with_tag(grey, b"kTRC", tabulated(srgb))), "grey is no sRGB"


def with_colorants(profile, colorants):
    """The profile with X, Y, Z of red, green and blue exchanged."""
    numbers = np.rint(65536 * np.array(colorants)).astype(int).reshape(3, 3)
    for tag, one in zip((b"rXYZ", b"gXYZ", b"bXYZ"), numbers, strict=True):
        profile = with_tag(profile, tag, b"XYZ " + struct.pack(">4i", 0, *one))
    return profile


COMPUTED = {
    "Hewlett-Packard": (
        0.43607, 0.22249, 0.01392, 0.38515, 0.71687, 0.09708, 0.14307, 0.06061, 0.71410,
    ),
    "Argyll": (0.43604, 0.22249, 0.01392, 0.38512, 0.71690, 0.09706, 0.14305, 0.06061, 0.71391),
    "lcms 1": (0.43585, 0.22238, 0.01392, 0.38533, 0.71704, 0.09714, 0.14302, 0.06058, 0.71384),
}  # fmt: skip
"""Colorants of sRGB, as programs wrote them."""


@pytest.mark.parametrize("program", COMPUTED)
def test_colorants_that_programs_compute_are_those_of_the_name(program):
    profile = with_colorants(icc(), COMPUTED[program])
    assert icc_profile.telling_name(profile) == ""
    assert_same_colours(profile)


def named(name):
    """An RGB profile of a common name, with the colorants that are known; and these."""
    known = common_profiles._KNOWN[name]
    plain = with_tag(icc(), b"desc", icc_profile._localised(name))
    plain = with_curves(plain, common_profiles._stored(known.curves[0]))
    return with_colorants(plain, known.colorants), np.array(known.colorants)


@pytest.mark.parametrize("name", ["sRGB", "Display P3", "eciRGB v2"])
def test_colorants_further_off_than_those_stay(name):
    """As they would move pure colours by levels."""
    plain, known = named(name)
    assert icc_profile.telling_name(plain) == ""
    for n in range(9):
        other = with_colorants(plain, known + 0.0005 * (np.arange(9) == n))
        assert icc_profile.telling_name(other) == f"{name} with other numbers"
        assert_same_colours(other)


@pytest.mark.parametrize("name", ["sRGB", "Adobe RGB (1998)", "ProPhoto RGB"])
def test_known_numbers_move_no_grey_by_more_than_a_level(name):
    """With colorants that are all as far off as they may be, to one side of a channel or other."""
    plain, known = named(name)
    most = 0
    for channel in np.linalg.inv(known.reshape(3, 3)).T:
        for off in (-0.00029, 0.00029):
            other = with_colorants(plain, known + off * np.tile(np.sign(channel), 3))
            assert icc_profile.telling_name(other) == ""
            assert moved(other)[GREY].max() <= 1
            most = max(most, moved(other).max())
    assert 2 <= most <= 11


def moved(profile):
    """By how many levels its colours are moved when it is written anew."""
    intent = ImageCms.Intent.RELATIVE_COLORIMETRIC
    made = icc_profile.rebuilt(profile)
    return np.abs(shown(made, "RGB", intent).astype(int) - shown(profile, "RGB", intent))


def noisy(data, most):
    """The same numbers of 16 bits but for a little, which may be anything."""
    numbers = np.frombuffer(data, ">u2").astype(int)
    numbers += np.random.default_rng(3).integers(-most, most, len(numbers))
    return np.clip(numbers, 0, 65535).astype(">u2").tobytes()


def test_no_number_of_a_common_profile_goes_on():
    """A device may be told by the last digits of numbers that are nearly those of the name."""
    made = icc_profile.rebuilt(icc())
    x = np.linspace(0, 1, 4096)
    srgb = np.where(x <= 0.04045, x / 12.92, ((x + 0.055) / 1.055) ** 2.4)
    table = (65535 * srgb).round().astype(">u2").tobytes()
    curves = curve(noisy(table, 15))
    others = [
        with_curves(icc(), curves),
        with_tag(icc(), b"rXYZ", b"XYZ " + struct.pack(">4i", 0, 28590, 14570, 900)),
        with_tag(icc(), b"wtpt", b"XYZ " + bytes(4) + SECRET[:12]),
        with_tag(icc(), b"bkpt", b"XYZ " + bytes(4) + SECRET[:12]),
        with_tag(icc(), b"chad", b"sf32" + bytes(4) + SECRET[:12] * 3),
        with_tag(icc(), b"cicp", b"cicp" + bytes(4) + bytes([1, 13, 0, 1])),
        with_tag(icc(), b"desc", icc_profile._localised("SRGB BUILT-IN")),
        icc().replace(b"mntr", b"scnr"),
    ]
    for other in others:
        assert icc_profile.telling_name(other) == ""
        assert icc_profile.rebuilt(other) == made
    assert_same_colours(others[0])
    grey = with_tag(grey_profile(), b"desc", icc_profile._described("Gray Gamma 2.2"))
    grey = with_tag(grey, b"kTRC", parameters(0, 2.2))
    assert icc_profile.telling_name(grey) == ""
    by_lightness = grey.replace(b"GRAYXYZ ", b"GRAYLab ")
    assert icc_profile.telling_name(by_lightness) == "Gray Gamma 2.2 with other numbers"


def test_a_name_of_which_no_numbers_are_known_is_not_common():
    grey = with_tag(grey_profile(), b"desc", icc_profile._described("Dot Gain 20%"))
    noise = curve(np.random.default_rng(4).integers(0, 65536, 4096).astype(">u2").tobytes())
    colours = with_tag(icc(), b"desc", icc_profile._localised("Generic RGB Profile"))
    plain = with_tag(grey, b"desc", icc_profile._described("Generic Gray Profile"))
    for name, profile in (
        ("Generic RGB Profile", colours),
        ("Generic Gray Profile", plain),
        ("Dot Gain 20%", with_tag(grey, b"kTRC", noise)),
    ):
        assert icc_profile.telling_name(profile) == name
        assert icc_profile.name(icc_profile.rebuilt(profile)) == "unnamed"


D65, D50 = (0.3127, 0.3290), (0.3457, 0.3585)
STANDARDS = {
    "srgb": (D65, (0.64, 0.33), (0.30, 0.60), (0.15, 0.06)),
    "display p3": (D65, (0.68, 0.32), (0.265, 0.69), (0.15, 0.06)),
    "adobe rgb (1998)": (D65, (0.64, 0.33), (0.21, 0.71), (0.15, 0.06)),
    "romm rgb": (D50, (0.7347, 0.2653), (0.1596, 0.8404), (0.0366, 0.0001)),
    "wide gamut rgb": (D50, (0.735, 0.265), (0.115, 0.826), (0.157, 0.018)),
    "ecirgb v2": (D50, (0.67, 0.33), (0.21, 0.71), (0.14, 0.08)),
    "apple rgb": (D65, (0.625, 0.34), (0.28, 0.595), (0.155, 0.07)),
    "colormatch rgb": (D50, (0.63, 0.34), (0.295, 0.605), (0.15, 0.075)),
}


@pytest.mark.parametrize("name", STANDARDS)
def test_colorants_are_those_of_the_standards(name):
    """From the chromaticities of the white and of the primaries, by the transform of Bradford."""
    white, *primaries = (np.array([x / y, 1, (1 - x - y) / y]) for x, y in STANDARDS[name])
    cone = np.array(
        [[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]]
    )
    connection = np.array([0.9642, 1, 0.8249])
    seen = np.diag(cone @ connection / (cone @ white))
    columns = np.stack(primaries, 1) * np.linalg.solve(np.stack(primaries, 1), white)
    expected = (np.linalg.inv(cone) @ seen @ cone @ columns).T.ravel()
    found = np.array(common_profiles._KNOWN[common_profiles.spelled(name)].colorants)
    assert np.abs(found - expected).max() < 4e-4
    assert np.abs(found.reshape(3, 3).sum(0) - connection).max() < 4e-4


def test_a_name_may_end_with_a_nul():
    for write_text in (icc_profile._localised, icc_profile._described):
        named = with_tag(icc(), b"desc", write_text("sRGB IEC61966-2.1\0"))
        assert icc_profile.name(named) == "sRGB IEC61966-2.1"
        assert icc_profile.telling_name(named) == ""


def test_a_common_name_is_written_with_usual_letters():
    name = "sRGB IEC61966-2-1 blac\u212a scaled"  # whose last but one sign is that of kelvin
    old = bytearray(with_tag(swapped_profile(), b"desc", icc_profile._localised(name)))
    old[8] = 2
    made = icc_profile.rebuilt(bytes(old))
    assert icc_profile.name(made) == "sRGB IEC61966-2-1 black scaled"


def test_headers_hold_nothing_but_what_they_may():
    header = bytearray(swapped_profile())
    header[9:12], header[64:68] = b"S/N", b"5678"
    made = icc_profile.rebuilt(bytes(header))
    assert (made[10:12], made[64:68]) == (bytes(2), bytes(4))
    header[20:24] = b"1234"
    assert icc_profile.rebuilt(bytes(header)) is None


def test_tables_without_end_are_refused_at_once():
    """Of a few kilobytes, packed: 255 channels, whose curves all are the rest of the file."""
    heads = b"mAB " + bytes(4) + bytes([255, 255, 0, 0]) + struct.pack(">5I", 32, 32, 32, 32, 32)
    tag = heads + b"para" + bytes(3 << 20)
    begun = time.monotonic()
    assert icc_profile.rebuilt(with_tag(icc(), b"A2B0", tag)) is not None, "without that tag"
    assert icc_profile.rebuilt(with_tag(icc(), b"A2B0", tag + bytes(2 << 20))) is None
    assert time.monotonic() - begun < 2
    free = bytes([17, 0]) + SECRET.ljust(30)
    assert icc_profile._grid(free, 0, 17, 3) == b""
