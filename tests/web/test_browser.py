"""The page in a browser: a whole run by keys, on a phone's width, light and dark, offline."""

import json
import os
import shutil
import subprocess
import sys
import time
import zipfile
from urllib.parse import urlsplit

import pytest
from PIL import Image

pytest.importorskip("uvicorn", reason="needs the extra `web`")
pytest.importorskip("selenium", reason="needs selenium")

from selenium.webdriver.common.by import By

from dippas_jax.datasets import synthetic
from dippas_jax.io import private
from tests.web import browse

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not (shutil.which("chromium") and shutil.which("chromedriver")),
        reason="needs chromium and chromium-driver",
    ),
]

ALONE = ["unshare", "--map-root-user", "--net"]


def can_be_alone():
    """Whether a process here may have a network of its own."""
    try:
        return subprocess.run([*ALONE, "true"], capture_output=True, timeout=20).returncode == 0
    except OSError:
        return False


def test_a_whole_visit_without_a_network(tmp_path):
    camera = synthetic.Camera(seed=3, strength=0.02)
    photos = [tmp_path / name for name in ("a.png", "bad.png", "b.png")]
    for number, photo in enumerate(photos):
        Image.fromarray(synthetic.expose(camera, synthetic.scene(number, 64), number)).save(photo)
    photos[1].write_bytes(photos[1].read_bytes()[:500])
    (tmp_path / "dropped" / "below").mkdir(parents=True)
    (tmp_path / "dropped" / "below" / "notes.txt").write_text("no photo")
    (tmp_path / "dropped" / ".hidden").write_text("left where it is")
    folder = tmp_path / "folder"
    temporary = tmp_path / "temporary"
    for path in (folder, temporary):
        path.mkdir()
    alone = can_be_alone()
    command = [sys.executable, "-m", "tests.web.browse", str(folder), *map(str, photos)]
    done = subprocess.run(
        [*ALONE, *command, "--alone"] if alone else command,
        capture_output=True,
        text=True,
        timeout=480,
        env={**os.environ, "TMPDIR": str(temporary), "HOME": str(tmp_path)},
    )
    assert done.returncode == 0, done.stderr[-3000:]
    seen = json.loads(done.stdout.splitlines()[-1])
    if alone:
        assert seen["way_out"] == "ENETUNREACH", "there was no network but this machine's own"

    assert seen["ready"].startswith("2 photos ready, about ")
    assert seen["ready"].endswith("and 0.6 GiB of memory.")
    assert seen["dropped"] == seen["ready"]
    assert seen["refused"].startswith("Not added: K.txt: "), "and it stays there to be read"
    assert seen["tabs"][0] == "photo"
    assert {"folder", "start"} <= set(seen["tabs"])
    assert seen["focus"] == "cancel"
    assert seen["done"] == "Done: 2 of 4 photos."
    first, bad, second, dropped = seen["cards"]
    for card, name in ((first, "a"), (second, "b")):
        assert card.startswith(f"{name}.png\n")
        assert f"Download {name}.anon.png" in card
        assert "Reduced: as far as" in card or "can probably still be traced" in card
        assert "PSNR" in card
    assert "Not done: photo bad.png is truncated or damaged" in bad
    assert dropped.startswith("notes.txt\nSkipped: by the name no photo")

    assert seen["edges"] == ["--at: 0px;", "--at: 64px;"]
    assert [width for width, _ in seen["pictures"]] == [64] * 4
    assert all(text.startswith(("Before: ", "After: ")) for _, text in seen["pictures"])
    assert seen["controls"] > 15
    assert seen["nameless"] == [], "a screen reader can say what each is"
    assert [view["hidden"] for view in seen["views"]] == [0] * 4, "nothing is cut off at the side"
    light, dark = (view["ground"] for view in seen["views"][:2])
    assert light != dark

    origin = f"http://{urlsplit(seen['link']).netloc}/"
    assert "key" not in seen["address"]
    assert len(seen["asked"]) > 5
    assert all(address.startswith(origin) for address in seen["asked"])
    log = [line for line in seen["log"] if "K.txt" not in line]
    assert log == [], "no policy was broken, and nothing was missing"

    assert seen["question"].startswith("End the program?")
    assert seen["stays"] == seen["done"]
    assert seen["ended"] == "The program has ended"
    assert seen["code"] == 0
    assert not list(temporary.glob(f"{private.PREFIX}*"))
    with Image.open(folder / "a.anon.png") as result:
        assert result.size == (64, 64)
    with zipfile.ZipFile(folder / "photos.zip") as archive:
        assert archive.namelist() == ["a.anon.png", "b.anon.png"]
        assert archive.read("a.anon.png") == (folder / "a.anon.png").read_bytes()


def started():
    """The command, whose first line of stdout is the page's address."""
    return subprocess.Popen(
        [sys.executable, "-m", "dippas_jax.cli", "web", "--no-browser"],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )


def test_a_page_whose_program_is_gone_closes_itself(tmp_path, monkeypatch):
    """Whoever answers there later is another program, and gets no photo."""
    monkeypatch.setenv("HOME", str(tmp_path))
    program = started()
    view = browse.browser(tmp_path / "profile")
    try:
        view.get(program.stdout.readline().strip())
        until(lambda: view.find_element(By.ID, "status").text.startswith("No photos yet"))
        program.kill()
        program.wait()
        until(lambda: view.find_element(By.TAG_NAME, "h1").text == "The program has ended")
        assert "Start it again" in view.find_element(By.TAG_NAME, "main").text
        assert not view.find_elements(By.CSS_SELECTOR, "input, button")
    finally:
        view.quit()
        program.kill()
        program.communicate()


HOLD = """
const honest = window.fetch;
window.held = [];
window.fetch = async (path, options) => {
  const answer = await honest(path, options);
  if (path.startsWith("files/")) await new Promise((done) => held.push(done));
  return answer;
};
"""
"""Files reach the server at once, and the page hears of each when the test says so."""


def test_files_that_were_removed_while_they_were_copied_do_not_come_back(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    photos = [tmp_path / f"{number}.png" for number in range(5)]
    for photo in photos:
        photo.write_bytes(b"any")
    program = started()
    view = browse.browser(tmp_path / "profile")

    def held(number):
        until(lambda: view.execute_script("return held.length") == number)

    def files():
        said = "return fetch('state').then((answer) => answer.json())"
        return [one["name"] for one in view.execute_script(said)["files"]]

    try:
        view.get(program.stdout.readline().strip())
        until(lambda: view.find_element(By.ID, "status").text.startswith("No photos yet"))
        view.execute_script("document.getElementById('wall').closest('details').open = true")
        view.find_element(By.ID, "wall").send_keys(str(photos[0]))
        without = view.find_element(By.ID, "without")
        until(without.is_displayed)
        view.execute_script(HOLD)
        view.find_element(By.ID, "photo").send_keys("\n".join(map(str, photos[:3])))
        held(1)
        assert not without.is_displayed(), "as all else while files are copied"
        view.find_element(By.ID, "clear").click()
        view.switch_to.alert.accept()
        until(lambda: files() == [])
        view.find_element(By.ID, "wall").send_keys("\n".join(map(str, photos[3:])))
        held(2)
        view.execute_script("held[0]()")
        time.sleep(1)
        view.execute_script("held[1]()")
        held(3)
        assert files() == ["3.png", "4.png"]
        assert view.find_element(By.ID, "status").text.startswith("Copying file 2 of 2")
    finally:
        view.quit()
        program.kill()
        program.communicate()


def until(true):
    end = time.monotonic() + 60
    while not true():
        assert time.monotonic() < end
        time.sleep(0.2)
