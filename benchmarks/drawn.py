"""Whether what is drawn into photos passes for a camera: shares of a likeness that lie on it.

    python -m benchmarks.drawn --folder=FOLDER [--phones=PHONES]

FOLDER and PHONES hold DEVICE/flat/* and DEVICE/natural/*, whole JPEGs. Rows of "nothing" compare
photos of a camera with its fingerprint and with each other; a share is of `forensics.drawn`. In the
other rows something is drawn into the centre 1024x768 of flats of the first device and of photos of
the others: a date of its own in each, a round frame, a watermark, or the picture is turned by eight
degrees. z is that of other cameras' photos, with the fingerprint as it is and as
`dippas fingerprint build` leaves it, and of two of these photos; `told` counts those that
`dippas identify` and `dippas link` would have called a match, and `match` those that they do.
"""

import argparse
import functools
import itertools
import math
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from dippas_jax.cli import console
from dippas_jax.forensics import drawn, identification
from dippas_jax.io import photo as photo_file
from dippas_jax.signal import flat_field

WIDTH, HEIGHT = 1024, 768
THRESHOLD = 1e-6  # that of the commands
PHOTOS = 3  # of each device
FLATS = 10

Change = Callable[[Image.Image, random.Random], Image.Image]


def nothing(picture: Image.Image, _: random.Random) -> Image.Image:
    return picture


def date(picture: Image.Image, dice: random.Random) -> Image.Image:
    text = f"{dice.randint(1, 28):02}.{dice.randint(1, 12):02}.2024 {dice.randint(0, 23):02}:30"
    place = WIDTH - 330, HEIGHT - 60
    ImageDraw.Draw(picture).text(place, text, (255, 170, 40), ImageFont.load_default(36))
    return picture


def frame(picture: Image.Image, _: random.Random) -> Image.Image:
    seen = Image.new("L", picture.size)
    ImageDraw.Draw(seen).ellipse((0, 0, WIDTH - 1, HEIGHT - 1), 255)
    return Image.composite(picture, Image.new("RGB", picture.size), seen)


def watermark(picture: Image.Image, _: random.Random) -> Image.Image:
    over = picture.copy()
    for row in range(30, HEIGHT, 60):
        font = ImageFont.load_default(28)
        ImageDraw.Draw(over).text((20, row), "SAMPLE, NOT FOR SALE " * 3, "white", font)
    return Image.blend(picture, over, 0.4)


def turned(picture: Image.Image, _: random.Random) -> Image.Image:
    return picture.rotate(8, Image.Resampling.BICUBIC)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.drawn", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--phones", type=Path)
    options = parser.parse_args()
    devices = [one for root in (options.folder, options.phones) if root for one in root.iterdir()]
    print("| drawn | compared | z | share | told | match |\n|---|---|---|---|---|---|")
    for device in sorted(devices):
        plane, photos = _plane(device, nothing), list(_photos(device, nothing))
        _row("nothing", f"{device.name}, K", [_identified(one, plane) for one in photos])
        pairs = list(itertools.combinations(photos, 2))
        if pairs:
            _row("nothing", f"{device.name}, two photos", [_linked(*pair) for pair in pairs])
    first, *others = sorted(options.folder.iterdir())
    for change in (date, frame, watermark, turned):
        plane = _plane(first, change)
        photos = [one for device in others for one in _photos(device, change)]
        _row(change.__name__, "K of another camera", [_identified(one, plane) for one in photos])
        places, held = drawn.in_fingerprint(plane)
        left = f"K without {100 * places.mean():.1f} %, which held {100 * held:.0f} %"
        found = [_identified(one, np.where(places, np.float32(0), plane)) for one in photos]
        _row(change.__name__, left, found)
        pairs = [(one, other) for one, other in zip(photos, photos[PHOTOS:], strict=False)]
        _row(change.__name__, "photos of two cameras", [_linked(*pair) for pair in pairs])


Found = dict[str, Any]
"""What `console.scores` and `console.judged` give."""


def _identified(pixels: np.ndarray, plane: np.ndarray) -> Found:
    match = identification.compare(pixels, plane[None])
    scores = console.scores(identification.Match(*(values[0] for values in match)))
    look = functools.partial(identification.drawn, pixels, plane)
    return scores | console.judged(scores, look, THRESHOLD)


def _linked(a: np.ndarray, b: np.ndarray) -> Found:
    scores = console.scores(identification.link(a, b))
    look = functools.partial(identification.drawn_in_both, a, b)
    return scores | console.judged(scores, look, THRESHOLD)


def _row(name: str, compared: str, found: list[Found]) -> None:
    z = [one["z"] for one in found]
    shares = [one["drawn"] for one in found if not math.isnan(one["drawn"])]
    told = f"{min(shares):.2f} to {max(shares):.2f}" if shares else ""
    matches = sum(one["match"] for one in found)
    print(
        f"| {name} | {compared} | {min(z):.1f} to {max(z):.1f} | {told} | {len(shares)} of "
        f"{len(found)} | {matches} |",
        flush=True,
    )


def _plane(device: Path, change: Change) -> np.ndarray:
    paths = sorted((device / "flat").iterdir())[:FLATS]
    return np.asarray(flat_field.estimate(_changed(paths, change)).plane)


def _photos(device: Path, change: Change) -> Iterator[np.ndarray]:
    return _changed(sorted((device / "natural").iterdir())[:PHOTOS], change)


def _changed(paths: list[Path], change: Change) -> Iterator[np.ndarray]:
    for path in paths:
        pixels = photo_file.read_pixels(path)
        top, left = (
            (side - n) // 2 for side, n in zip(pixels.shape, (HEIGHT, WIDTH), strict=False)
        )
        picture = Image.fromarray(pixels[top : top + HEIGHT, left : left + WIDTH])
        yield np.asarray(change(picture, random.Random(path.name)))


if __name__ == "__main__":
    main()
