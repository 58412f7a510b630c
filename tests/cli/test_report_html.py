"""The report page: alone, whole, honest, and looked at by a real browser."""

import base64
import dataclasses
import html.parser
import io
import json
import re
import shutil
import subprocess

import numpy as np
import pytest
from PIL import Image

from dippas_jax.cli import photo_record, report_html
from dippas_jax.io import files
from tests import oracles

QUESTIONS = {
    "wavelet": "the whole photo, as <most> would", "bands": "the worst band",
    "shifts": "all positions", "learned": "the middle",
}  # fmt: skip
VOID = {"meta", "img", "input", "br"}


def photo(height=700, width=900):
    """Dark at the left, bright at the right; rough above, smooth below."""
    x = np.linspace(20, 230, width)
    rough = np.random.default_rng(0).normal(0, 25, (height // 2, width, 3))
    pixels = np.broadcast_to(x[:, None], (height, width, 3)).copy()
    pixels[: height // 2] += rough
    return np.clip(pixels, 0, 255).astype(np.uint8)


EXAMINED = {
    "ssim": 0.9712,
    "attacks": [
        {"attacker": "wavelet", "fingerprint": "cam.npz", "before": 22.61, "after": -0.44,
         "found": False, "pixels": "900x700"},
        {"attacker": "wavelet", "fingerprint": "other.npz", "before": 21.9, "after": 3.21,
         "found": True, "pixels": "900x700"},
        {"attacker": "bands", "fingerprint": "cam.npz", "before": 9.1, "after": -3.72,
         "found": True, "part": "1/4 to 3/8", "pixels": "900x700"},
        {"attacker": "shifts", "fingerprint": "cam.npz", "before": 20.0, "after": float("nan"),
         "found": False, "pixels": "900x700"},
    ],
    "untested": ["set", "link"], "verdict": "The camera is still found by wavelet.",
}  # fmt: skip
NONE_LOOKED = EXAMINED | {"attacks": [], "verdict": ""}


def record(**changes):
    values = {
        "photo": "IMG_1.jpg", "output": "IMG_1.anon.jpg", "height": 700, "width": 900,
        "format": "jpeg", "method": "sparse", "mode": "aware", "fingerprint": "cam.npz",
        "psnr": 41.237, "settings": {"threshold": 16.82, "compensation": 0.5, "alpha": 0.1},
        "z_before": {"sigma-2": 23.04, "busy": 12.5},
        "z": {"sigma-2": -0.61, "busy": float("nan")}, "leakage": {"sigma-2": 0.71},
        "others": 0, "visible": {}, "predicted_z": 1.0,
        "seconds": 48.2, "seed": 3, "warnings": ("palette converted to colours",),
        "orientation": 1, "sha256": "ab12", "examined": EXAMINED,
    }  # fmt: skip
    return photo_record.PhotoRecord(**values | changes)


def report(*records, **changes):
    return {
        "program": "dippas_jax 0", "versions": {"jax": "0.10"}, "device": "cpu",
        "settings": {"seed": 3, "fingerprint": None}, "photos": list(records), "failed": [],
        "skipped": [],
    } | changes  # fmt: skip


class Balance(html.parser.HTMLParser):
    """Every element is closed, in order; the text and the images are kept."""

    def __init__(self):
        super().__init__()
        self.open, self.images, self.words, self.links = [], [], [], []

    def handle_starttag(self, tag, attrs):
        if tag == "img":
            self.images.append(dict(attrs)["src"])
        self.links += [value for name, value in attrs if name in ("src", "href", "action")]
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if "style" not in self.open and "script" not in self.open:
            self.words.append(data)


def parsed(text):
    found = Balance()
    found.feed(text)
    found.close()
    assert found.open == []
    return found, " ".join(" ".join(found.words).split())


def made(*records, **changes):
    before = photo()
    after = np.clip(before.astype(int) + 1, 0, 255).astype(np.uint8)
    parts = [report_html.panels(before, after, side=128)] * len(records)
    return report_html.html(report(*records, **changes), parts, QUESTIONS)


def test_the_page_stands_alone_and_is_well_formed():
    text = made(
        record(),
        record(photo="IMG_2.jpg", psnr=float("nan")),
        failed=[{"photo": "broken.jpg", "reason": "cut off"}],
    )
    found, _ = parsed(text)
    without_pictures = re.sub(r"data:image/webp;base64,[\w+/=]+", "", text)
    assert not re.search(r"https?:|//[a-z]|@import|url\(", without_pictures)
    assert all(link.startswith(("data:image/webp", "#photo")) for link in found.links)
    assert "default-src 'none'" in text


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({}, "since the command ended before."),
        ({"failed": [{"photo": "a", "reason": "no photo"}]}, "why, is said below."),
        ({"skipped": [{"photo": "a", "reason": "done"}]}, "why, is said below."),
    ],
)
def test_a_page_without_photos_says_why_and_claims_to_show_none(changes, said):
    _, words = parsed(made(**changes))
    assert said in words
    assert ("Not done" in words or "Skipped" in words) == ("below" in said)
    assert "It names files." in words
    assert "It shows parts of the original" in parsed(made(record()))[1]


def test_every_figure_and_every_warning_is_in_words():
    _, words = parsed(made(record()))
    for expected in (
        "41.2 dB", "0.971", "900×700", "48 s", "22.6", "−0.4", "21.9", "3.2 found",
        "−3.7 found", "the worst band: 1/4 to 3/8",
        "Method sparse (threshold 16.82, compensation 0.50, alpha 0.10), seed 3",
        "Warning: palette converted to colours.", "The camera is still found by wavelet.",
        "set, link", "the whole photo, as <most> would", "(known to the program)", "ab12",
        "dippas_jax 0", "Keep this page to yourself", "no proof that a photo cannot be traced",
        "—",
    ):  # fmt: skip
        assert expected in words
    assert "anonymous" not in words
    assert "safe" not in words.split()


def test_a_blind_photo_tells_what_is_left_of_a_planted_fingerprint():
    leakage = {"sigma-2": 0.031, "sigma-3": -0.124, "sigma-5": float("nan")}
    blind = {"mode": "blind", "fingerprint": None, "z_before": {}, "z": {}}
    text = made(record(**blind, examined=NONE_LOOKED, leakage=leakage))
    _, words = parsed(text)
    assert "planted" in words
    for row in ("sigma-2 3.1 %", "sigma-3 −12.4 %", "sigma-5 —"):
        assert row in words
    _, words = parsed(made(record(**blind, examined=NONE_LOOKED, leakage={})))
    assert "planted" not in words, "the paper's method measures none"
    assert "What is left was not measured. Look for yourself" in words


def test_a_method_of_other_authors_is_said_to_know_no_fingerprint_and_to_move_pixels():
    moved = {"method": "warp", "settings": {}, "examined": EXAMINED | {"attacks": [
        one | {"found": False} for one in EXAMINED["attacks"]
    ]}}  # fmt: skip
    text = made(record(**moved), record(method="dncnn", settings={}))
    _, words = parsed(text)
    assert "Pixels were moved: PSNR, SSIM and difference" in words
    assert words.count("looks at no fingerprint; cam.npz was looked for afterwards. Method ") == 2
    assert "Method warp, seed 3." in words
    assert "<strong>can probably be traced: whoever searches for it place by place" in text


def test_an_attacker_that_saw_a_part_of_the_photo_says_so():
    part = {"attacker": "learned", "before": 9.0, "after": 0.5, "pixels": "512x640"}
    rows = [*EXAMINED["attacks"], EXAMINED["attacks"][0] | part]
    _, words = parsed(made(record(examined=EXAMINED | {"attacks": rows})))
    assert words.count("of the pixels") == 1
    assert "; only 512×640 of the pixels" in words


def test_a_known_fingerprint_without_attackers_is_told_by_its_scores():
    _, words = parsed(made(record(examined=NONE_LOOKED)))
    assert (
        "Largest |z| of seven attackers with the known fingerprint: sigma-2 −0.6, busy —." in words
    )


@pytest.mark.parametrize("psnr", [float("inf"), float("nan")])
def test_a_photo_that_did_not_change_is_said_not_to_have(psnr):
    _, words = parsed(made(record(psnr=psnr, warnings=("nothing was changed",))))
    assert "The pixels did not change. Warning: nothing was changed." in words
    assert "unchanged" in words
    assert not re.search(r"\b(inf|nan|None)\b", words)


def test_a_photo_that_was_moved_is_judged_by_what_it_was_before():
    settings = {"displacement": 2.0, "psnr_in_place": 43.21, "left_in_place": 0.02}
    _, words = parsed(made(record(psnr=20.7, settings=settings)))
    assert "20.7 dB" in words
    assert "hard to see even at 1:1. Before the pixels were moved, the PSNR was 43.2 dB;" in words


def test_a_record_is_the_same_when_it_comes_back_from_its_json():
    text = files.json_text(record(psnr=float("inf")))
    back = photo_record.from_json(json.loads(text))
    assert files.json_text(back) == text
    assert made(back) == made(record(psnr=float("inf")))
    assert dataclasses.fields(back) == dataclasses.fields(record())


def test_a_record_whose_figures_are_all_null_can_be_told():
    """Null stands for any figure that is not finite, also where this program writes none."""
    values = json.loads(files.json_text(record()))
    values |= dict.fromkeys(("psnr", "predicted_z", "seconds"))
    moved = {"displacement": 2.0, "psnr_in_place": None, "left_in_place": None}
    for settings, says in ((moved, "then moved"), ({"displacement": None}, "no pixel changed")):
        back = photo_record.from_json({**values, "settings": settings})
        assert says in photo_record.text(back)
        made(back)


@pytest.mark.parametrize(
    "damage",
    [
        {"settings": {"displacement": 2.0}},
        {"examined": {"verdict": "Gone."}},
        {"examined": {**EXAMINED, "attacks": [{"attacker": "wavelet", "found": True}]}},
        {"examined": {**EXAMINED, "attacks": [{**EXAMINED["attacks"][0], "attacker": "nobody"}]}},
    ],
)
def test_a_record_that_no_page_can_show_is_damaged(damage):
    values = json.loads(files.json_text(record()))
    photo_record.from_json(values)
    with pytest.raises(ValueError, match=r"another type|was moved"):
        photo_record.from_json(values | damage)


def test_the_index_says_of_each_photo_what_is_left_and_what_to_think_of_it():
    blind = {"mode": "blind", "fingerprint": None, "z_before": {}, "z": {}}
    records = (
        record(),
        record(**blind, examined=NONE_LOOKED, leakage={"2/16 cycles": -0.12}, predicted_z=7.2),
        record(**blind, examined=NONE_LOOKED, leakage={"2/16 cycles": 0.01}, predicted_z=0.5),
        record(**blind, examined=NONE_LOOKED, psnr=float("inf")),
    )
    text = made(
        *records,
        failed=[{"photo": "cut.jpg", "reason": "is cut off"}],
        skipped=[{"photo": "a.NEF", "reason": "a RAW file"}],
    )
    index = text[text.index("<nav") : text.index("</nav>")]
    for words in (
        "41.2 dB", "<strong>found by bands, wavelet</strong>", "23.0 before, 0.6 after",
        "-12 % of a planted", "<strong>can probably be traced (z of about 7.2", "+1 % of a planted",
        "z of about 0.5 to be expected, below 2.4<", "unchanged",
        "<strong>nothing was changed, it can be traced as before</strong>",
        "Not done (1)", "cut.jpg</code>: is cut off", "Skipped (1)", "a.NEF</code>: a RAW file",
    ):  # fmt: skip
        assert words in index


def test_a_photos_pictures_fit_a_megabyte_whatever_they_show():
    noise = np.random.default_rng(0).integers(0, 256, (2, 1500, 2000, 3), np.uint8)
    parts = report_html.panels(*noise)
    assert len(parts) == report_html.MOST
    assert min(part.width for part in parts) >= 100
    assert len(report_html.html(report(record()), [parts], QUESTIONS)) < 1e6
    for part in parts:  # shrunk about the middle, and still the photo's own pixels
        place = np.s_[part.top : part.top + part.height, part.left : part.left + part.width]
        np.testing.assert_array_equal(decoded(part.before), noise[0][place])
        np.testing.assert_array_equal(decoded(part.after), noise[1][place])


@pytest.mark.slow
def test_the_line_stands_under_the_sliders_thumb(tmp_path):
    """In a browser: the thumb's middle, by its colour, and the line's, by its being white."""
    browser = shutil.which("chromium") or shutil.which("chromium-browser")
    if browser is None:
        pytest.skip("chromium is not installed")
    grey = np.zeros((300, 400, 3), np.uint8)
    text = report_html.html(
        report(record(examined=NONE_LOOKED)), [report_html.panels(grey, grey)], QUESTIONS
    )
    for value in (0, 25, 90, 100):
        script = (
            f'slider=document.querySelector("input");slider.value={value};'
            'slider.dispatchEvent(new Event("input"));'
            'const box=slider.getBoundingClientRect(), edge=document.querySelector(".edge");'
            "const thumb=box.left+12+(box.width-24)*slider.value/100;"
            "document.title=edge.getBoundingClientRect().left-thumb;"
        )
        path = tmp_path / "page.html"
        path.write_text(text.replace("</script>", script + "</script>"), encoding="utf-8")
        command = [
            browser, "--headless", "--no-sandbox", "--disable-gpu", "--window-size=1280,2000",
            f"--user-data-dir={tmp_path / 'profile'}", "--dump-dom", path.as_uri(),
        ]  # fmt: skip
        done = subprocess.run(command, capture_output=True, text=True, timeout=240, check=True)
        title = re.search(r"<title>([-\d.]+)</title>", done.stdout)
        assert title is not None
        assert abs(float(title[1])) <= 2


def test_file_names_cannot_run_anything():
    name = '<script>alert(1)</script>"><img src=x onerror=alert(2)>.jpg'
    found, words = parsed(
        made(record(photo=name, output=name), record(), failed=[{"photo": name, "reason": name}])
    )
    assert name in words
    assert all(image.startswith("data:") for image in found.images)


def test_parts_are_the_photos_own_pixels_where_they_say():
    before = photo()
    after = (before // 3).astype(np.uint8)
    parts = report_html.panels(before, after, side=128)
    assert [part.title for part in parts] == ["most detail", "smoothest", "brightest", "darkest"]
    places = {part.title: part for part in parts}
    assert places["most detail"].top < 350 - 64
    assert places["smoothest"].top >= 350
    assert places["brightest"].left > places["darkest"].left + 400
    for index, part in enumerate(parts):
        rows = slice(part.top, part.top + part.height)
        columns = slice(part.left, part.left + part.width)
        for png, pixels in ((part.before, before), (part.after, after)):
            np.testing.assert_array_equal(decoded(png), pixels[rows, columns])
        change = (after[rows, columns].astype(int) - before[rows, columns]) * 8 + 128
        np.testing.assert_array_equal(decoded(part.change), np.clip(change, 0, 255))
        for other in parts[:index]:
            assert abs(part.top - other.top) >= 128 or abs(part.left - other.left) >= 128
    shown = parsed(report_html.html(report(record()), [parts], QUESTIONS))[0].images
    png = base64.b64decode(shown[0].removeprefix("data:image/webp;base64,"))
    assert png == parts[0].before


def decoded(png):
    return np.asarray(Image.open(io.BytesIO(png)))


@pytest.mark.parametrize("size", [(64, 64), (448, 448), (65, 1000), (449, 448), (1001, 77)])
def test_parts_of_any_size(size):
    pixels = oracles.photo(0, *size)
    parts = report_html.panels(pixels, pixels)
    assert 1 <= len(parts) <= report_html.MOST
    assert all(decoded(part.before).shape == (part.height, part.width, 3) for part in parts)
    if max(size) <= 448:
        assert [part.title for part in parts] == ["the whole photo"]


def test_what_a_psnr_looks_like_is_said_with_care():
    words = [report_html.change_in_words(psnr) for psnr in (None, 60.0, 40.0, 30.0)]
    assert len(set(words)) == 4
    assert not any("invisible" in word for word in words)


@pytest.mark.parametrize("width", [1280, 390])
def test_a_browser_shows_it(tmp_path, width):
    browser = shutil.which("chromium") or shutil.which("chromium-browser")
    if browser is None:
        pytest.skip("chromium is not installed")
    path = tmp_path / "report.html"
    path.write_text(made(record()), encoding="utf-8")
    shot = tmp_path / "shot.png"
    command = [
        browser, "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic",
        "--no-first-run", "--disable-background-networking", "--disable-component-update",
        "--disable-sync", f"--user-data-dir={tmp_path / 'profile'}", "--enable-logging=stderr",
        f"--window-size={width},2000", f"--screenshot={shot}", path.as_uri(),
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert "CONSOLE" not in done.stderr, done.stderr
    pixels = decoded(shot.read_bytes())[..., :3].astype(int)
    assert pixels.std() > 10, "not blank"
