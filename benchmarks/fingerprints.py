"""What tells a fingerprint from other planes, and a copy of a photo from another photo.

    python -m benchmarks.fingerprints --folder=FOLDER --phones=PHONES

FOLDER and PHONES hold DEVICE/flat/* and DEVICE/natural/*, JPEGs. The first table has, for each
camera, the shares of variance that `io.fingerprint_checks` bounds: of K from five flats, of the
mean of these flats, and of the channels of photos (the least of all: whole, and squares of 256
pixels). The second has how photos correlate by `signal.copies`: the largest of all pairs of flats
and of all pairs of photos, and the least of a photo and itself, saved again.
"""

import argparse
import io
import itertools
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from benchmarks import cameras, defaults
from dippas_jax.io import fingerprint_checks
from dippas_jax.io import photo as photo_file
from dippas_jax.signal import copies

SIDE = 1024
SQUARE = 256
FLATS = 5
SAVED = [("JPEG", 98), ("JPEG", 95), ("JPEG", 90), ("JPEG", 80), ("WEBP", 80)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--phones", type=Path, required=True)
    options = parser.parse_args()
    devices = [one for at in (options.folder, options.phones) for one in sorted(at.iterdir())]
    defaults.print_header("camera plane smooth regular outliers")
    for device in devices:
        flats = sorted((device / "flat").iterdir())[:FLATS]
        row(device.name, "K", [cameras.plane(flats, SIDE)])
        greens = [cameras.centre(path, SIDE)[..., 1].astype(float) for path in flats]
        row(device.name, "mean of flats", [np.mean(greens, axis=0)])
        natural = [
            photo_file.read_pixels(path).astype(float)
            for path in sorted((device / "natural").iterdir())
        ]
        channels = [pixels[..., n] for pixels in natural for n in range(3)]
        row(device.name, "photos", channels)
        row(device.name, "squares", [part for one in channels for part in squares(one)])
    print()
    names = " ".join(f"{kind}-{quality}" for kind, quality in SAVED)
    defaults.print_header(f"camera photos pairs {names} brighter")
    for device, kind in itertools.product(devices, ("flat", "natural")):
        photos = [photo_file.read_pixels(one) for one in sorted((device / kind).iterdir())]
        noises = [copies.noise(pixels) for pixels in photos]
        pairs = [a @ b for a, b in itertools.combinations(noises, 2) if a.shape == b.shape]
        again = [[*(saved(one, *how) for how in SAVED), brighter(one)] for one in photos]
        least = np.min(
            [
                [noise @ copies.noise(copy) for copy in made]
                for noise, made in zip(noises, again, strict=True)
            ],
            axis=0,
        )
        most = f"{max(pairs):.3f}" if pairs else ""
        defaults.print_row([device.name, kind, most, *map(float, least)])


def row(camera: str, name: str, planes: Sequence[np.ndarray]) -> None:
    """The largest of fingerprints, the least of others, is what lies nearest to the bound."""
    pick = max if name == "K" else min
    shares = [(fingerprint_checks.smooth(one), fingerprint_checks.regular(one)) for one in planes]
    far = max(fingerprint_checks.outliers(one)[1] for one in planes)
    smooth, regular = (pick(column) for column in zip(*shares, strict=True))
    defaults.print_row([camera, name, f"{smooth:.3f}", f"{regular:.3f}", f"{far:.3f}"])


def squares(plane: np.ndarray) -> list[np.ndarray]:
    """Of a photo's channel, side by side, but those that are all of one value."""
    height, width = (side - SQUARE for side in plane.shape)
    starts = itertools.product(range(0, height, 4 * SQUARE), range(0, width, 4 * SQUARE))
    parts = [plane[top : top + SQUARE, left : left + SQUARE] for top, left in starts]
    return [part for part in parts if part.std() > 2]


def saved(pixels: np.ndarray, kind: str, quality: int) -> np.ndarray:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, kind, quality=quality)
    return np.asarray(Image.open(file).convert("RGB"))


def brighter(pixels: np.ndarray) -> np.ndarray:
    return np.clip(pixels.astype(int) + 20, 0, 255).astype(np.uint8)


if __name__ == "__main__":
    main()
