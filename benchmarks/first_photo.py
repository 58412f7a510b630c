"""How long it is from an empty machine to the first saved photo, by command and by page.

    python -m benchmarks.first_photo [--photo=PHOTO]

Follows README.md in a copy of this folder: a new environment and pip, then `dippas anonymize`; or
`dippas web`, where Chromium adds the photo, presses Start, and saves the download. Both begin with
an empty home, so that everything is downloaded and compiled. Needs git, chromium, chromium-driver
and selenium. Without --photo it is a simulated JPEG of 1024x1024 pixels.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image
from selenium.webdriver.common.by import By

from benchmarks import defaults
from dippas_jax.datasets import synthetic
from tests.web import browse


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.first_photo", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--photo", type=Path, help="a photo")
    options = parser.parse_args()
    defaults.print_header("way install_s until_work_s photo_s all_s")
    with tempfile.TemporaryDirectory() as name:
        photo = options.photo or simulated(Path(name))
        for way in (by_command, by_page):
            machine = Path(name, way.__name__)
            machine.mkdir()
            defaults.print_row(
                [way.__name__.removeprefix("by_"), *timed(way, machine, photo.resolve())]
            )


def simulated(folder: Path) -> Path:
    path = folder / "photo.jpg"
    camera = synthetic.Camera(seed=1)
    part = synthetic.scene(0, 256)
    row = np.concatenate([part, part[:, ::-1]], 1)
    scene = np.tile(np.concatenate([row, row[::-1]]), (2, 2, 1))
    Image.fromarray(synthetic.expose(camera, scene, 0)).save(path, quality=95)
    return path


def timed(
    way: Callable[[Path, dict[str, str], Path], tuple[float, Path]], machine: Path, photo: Path
) -> list[float]:
    """Seconds of the installation, until the program was at work, of the photo, and in all."""
    ours = ("PYTHONPATH", "VIRTUAL_ENV", "XDG_CACHE_HOME", "JAX_COMPILATION_CACHE_DIR")
    environment = {name: value for name, value in os.environ.items() if name not in ours}
    environment |= {"HOME": str(machine), "TMPDIR": str(machine)}
    project = machine / "project"
    subprocess.run(["git", "clone", "-q", ".", project], check=True)
    start = time.perf_counter()
    run = f"{sys.executable} -m venv .venv && .venv/bin/pip install -q -e '.[web]'"
    subprocess.run(run, shell=True, check=True, cwd=project, env=environment)
    installed = time.perf_counter()
    at_work, saved = way(project, environment, photo)
    end = time.perf_counter()
    with Image.open(saved) as result:
        result.load()
    return [installed - start, at_work - installed, end - at_work, end - start]


def by_command(project: Path, environment: dict[str, str], photo: Path) -> tuple[float, Path]:
    """`dippas anonymize`; when it was started, and the file it saved."""
    saved = project / f"saved{photo.suffix}"
    command = [str(project / ".venv/bin/dippas"), "anonymize", str(photo), "-o", str(saved)]
    start = time.perf_counter()
    done = subprocess.run(command, env=environment, stdout=subprocess.DEVNULL, check=False)
    if done.returncode not in (0, 4):
        raise SystemExit(f"benchmarks: dippas anonymize ended with {done.returncode}")
    return start, saved


def by_page(project: Path, environment: dict[str, str], photo: Path) -> tuple[float, Path]:
    """`dippas web` in a browser; when Start was pressed, and the file that was downloaded."""
    command = [str(project / ".venv/bin/dippas"), "web", "--no-browser"]
    program = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)
    assert program.stdout is not None
    view = browse.browser(project / "profile")
    try:
        view.get(program.stdout.readline().strip())
        view.find_element(By.ID, "photo").send_keys(str(photo))
        _wait(lambda: "ready, about" in view.find_element(By.ID, "status").text)
        start = time.perf_counter()
        view.find_element(By.ID, "start").click()
        _wait(lambda: view.find_element(By.ID, "status").text.startswith("Done"))
        view.execute_cdp_cmd(
            "Page.setDownloadBehavior", {"behavior": "allow", "downloadPath": str(project)}
        )
        link = view.find_element(By.CSS_SELECTOR, "article a[download]")
        saved = project / link.get_attribute("download")
        link.click()
        _wait(saved.exists)
        view.find_element(By.ID, "end").click()
        program.wait(60)
    finally:
        view.quit()
        program.kill()
    return start, saved


def _wait(until: Callable[[], bool], seconds: float = 3600.0) -> None:
    end = time.monotonic() + seconds
    while not until():
        if time.monotonic() > end:
            raise SystemExit(f"benchmarks: nothing happened for {seconds:.0f} s")
        time.sleep(0.2)


if __name__ == "__main__":
    main()
