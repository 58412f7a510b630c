"""A whole visit of the page in a browser, printed as JSON: run by `test_browser`.

    python -m tests.web.browse FOLDER PHOTO... [--alone]

With --alone it expects a network namespace of its own, in which there is no way out.
"""

import errno
import json
import os
import shutil
import socket
import struct
import subprocess
import sys
import time
from pathlib import Path

from selenium import webdriver
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys


def loopback_up():
    """What `ip link set lo up` does; without it nothing at all can be reached."""
    import fcntl

    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        fcntl.ioctl(any_socket, 0x8914, struct.pack("16sh14x", b"lo", 0x1 | 0x40))


def way_out():
    """The system's word on a connection to elsewhere."""
    try:
        socket.create_connection(("192.0.2.1", 80), timeout=2).close()
    except OSError as error:
        return errno.errorcode.get(error.errno, str(error))
    return "open"


def browser(profile):
    """Chromium without a window."""
    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which("chromium")
    for flag in ("headless=new", "no-sandbox", "disable-dev-shm-usage", f"user-data-dir={profile}"):
        options.add_argument(f"--{flag}")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    # Its socket lies in TMPDIR, and the path of one is 107 characters at most.
    env = {name: value for name, value in os.environ.items() if name != "TMPDIR"}
    return webdriver.Chrome(options, Service(shutil.which("chromedriver"), env=env))


def drop(view, path):
    """Drops a file or a folder on the page, as from a window of the system's files."""
    place = {"x": 100, "y": 100}
    data = {"items": [], "files": [str(path)], "dragOperationsMask": 1}
    for kind in ("dragEnter", "dragOver", "drop"):
        view.execute_cdp_cmd("Input.dispatchDragEvent", {"type": kind, **place, "data": data})


def visit(view, link, folder, photos):
    """What a person sees and does, and what the browser knows of it."""
    seen = {}

    def by(name):
        return view.find_element(By.ID, name)

    def until(*words):
        for _ in range(1200):
            if any(by("status").text.startswith(word) for word in words):
                return by("status").text
            time.sleep(0.25)
        raise AssertionError(by("status").text)

    def press(key):
        webdriver.ActionChains(view).send_keys(key).perform()

    def device(width, *, dark):
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        view.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [scheme]})
        size = {"width": width, "height": 2600, "deviceScaleFactor": 1, "mobile": width < 600}
        view.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
        time.sleep(0.5)
        view.save_screenshot(str(folder / f"{width}-{'dark' if dark else 'light'}.png"))
        return {
            "hidden": view.execute_script(
                "const page = document.documentElement; return page.scrollWidth - page.clientWidth"
            ),
            "ground": by("drop").value_of_css_property("background-color"),
        }

    view.get(link)
    seen["address"] = view.current_url
    until("No photos yet")
    by("photo").send_keys("\n".join(photos))
    seen["ready"] = until("2 photos ready", "Nothing")
    drop(view, folder.with_name("dropped"))
    seen["dropped"] = until("2 photos ready", "Nothing")
    time.sleep(1)
    until("2 photos ready", "Nothing")

    odd = folder.with_name("K.txt")
    odd.write_text("no fingerprint")
    view.execute_script("arguments[0].closest('details').open = true", by("fingerprint"))
    by("fingerprint").send_keys(str(odd))
    time.sleep(2)
    until("2 photos ready")
    seen["refused"] = by("error").text
    view.execute_script("arguments[0].closest('details').open = false", by("fingerprint"))

    # From the start of the page to the button by keys alone.
    view.find_element(By.TAG_NAME, "body").click()
    seen["tabs"] = []
    for _ in range(20):
        press(Keys.TAB)
        seen["tabs"].append(view.switch_to.active_element.get_attribute("id"))
        if seen["tabs"][-1] == "start":
            break
    press(Keys.ENTER)
    for _ in range(40):
        if by("cancel").is_displayed():
            break
        time.sleep(0.05)
    seen["focus"] = view.switch_to.active_element.get_attribute("id")
    seen["done"] = until("Done", "Nothing")
    time.sleep(1)
    seen["cards"] = [card.text for card in view.find_elements(By.TAG_NAME, "article")]

    for summary in view.find_elements(By.CSS_SELECTOR, "summary"):
        summary.send_keys(Keys.ENTER)
    slider = view.find_element(By.CSS_SELECTOR, "figure input")
    frame = view.find_element(By.CSS_SELECTOR, "figure .view")
    seen["edges"] = []
    for key in (Keys.HOME, Keys.END):
        slider.send_keys(key)
        seen["edges"].append(frame.get_attribute("style"))
    slider.send_keys(*[Keys.ARROW_LEFT] * 50)
    seen["pictures"] = view.execute_script(
        "return [...document.images].map(image => [image.naturalWidth, image.alt])"
    )
    controls = view.execute_script(
        "return [...document.querySelectorAll('input, button, a, summary')]"
        ".filter(one => one.checkVisibility())"
    )
    seen["controls"] = len(controls)
    seen["nameless"] = [
        one.get_attribute("outerHTML") for one in controls if not one.accessible_name
    ]
    seen["views"] = [device(width, dark=dark) for width in (360, 1100) for dark in (False, True)]

    view.execute_cdp_cmd(
        "Page.setDownloadBehavior", {"behavior": "allow", "downloadPath": str(folder)}
    )
    view.find_element(By.CSS_SELECTOR, "article a[download]").click()
    by("all").find_element(By.CSS_SELECTOR, "a").click()
    for _ in range(100):
        if (folder / "photos.zip").exists() and (folder / "a.anon.png").exists():
            break
        time.sleep(0.1)
    seen["asked"] = view.execute_script(
        "return performance.getEntriesByType('resource').map(one => one.name)"
    )
    by("end").click()
    question = view.switch_to.alert
    seen["question"] = question.text
    question.dismiss()
    seen["stays"] = by("status").text
    by("end").click()
    view.switch_to.alert.accept()
    for _ in range(50):
        seen["ended"] = view.execute_script("return document.querySelector('h1').textContent")
        if "ended" in seen["ended"]:
            break
        time.sleep(0.1)
    log = [entry["message"] for entry in view.get_log("browser")]
    seen["log"] = [line for line in log if not line.startswith("chrome://")]  # its own first page's
    return seen


def main(folder, *arguments):
    """Starts the program and the browser, and prints what was seen."""
    photos = [one for one in arguments if one != "--alone"]
    if "--alone" in arguments:
        loopback_up()
    program = subprocess.Popen(
        [sys.executable, "-m", "dippas_jax.cli", "web", "--no-browser"],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    try:
        link = program.stdout.readline().strip()
        view = browser(Path(folder, "profile"))
        try:
            seen = visit(view, link, Path(folder), photos)
        finally:
            view.quit()
        seen |= {"way_out": way_out(), "code": program.wait(20), "link": link}
    finally:
        program.kill()
    print(json.dumps(seen))


if __name__ == "__main__":
    main(*sys.argv[1:])
