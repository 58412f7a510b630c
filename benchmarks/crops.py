"""One dataset of crops for a study: the cameras of two folders, phones among them.

    python -m benchmarks.crops --folder=FOLDER --phones=PHONES --to=DATASET

A camera of FOLDER is linked as it lies there. Of one of PHONES, which has whole JPEGs, the centre
512x512 of every photo in DEVICE/natural becomes a PNG in DEVICE/crop512, every second photo of
DEVICE/flat gives DEVICE/prnu.npy (K), and the others are linked as its flat-field photos, from
which a study estimates K'.
"""

import argparse
from pathlib import Path

import numpy as np
from PIL import Image

from dippas_jax.io import photo as photo_file
from dippas_jax.signal import flat_field, image

SIDE = 512


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.crops", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--folder", type=Path, required=True, help="one subfolder a camera")
    parser.add_argument("--phones", type=Path, required=True, help="likewise, of whole JPEGs")
    parser.add_argument("--to", type=Path, required=True, help="a folder that does not exist yet")
    options = parser.parse_args()
    options.to.mkdir(parents=True)
    for device in sorted(options.folder.iterdir()):
        (options.to / device.name).symlink_to(device.resolve())
    for device in sorted(options.phones.iterdir()):
        cut(device, options.to / device.name)


def cut(phone: Path, to: Path) -> None:
    """Lays out one phone's crops, K and flat-field photos."""
    (to / "crop512").mkdir(parents=True)
    (to / "flat").mkdir()
    for path in sorted((phone / "natural").iterdir()):
        Image.fromarray(centre(path)).save(to / "crop512" / f"{path.stem}.png")
    flats = sorted((phone / "flat").iterdir())
    known = flat_field.estimate(centre(path) for path in flats[::2])
    np.save(to / "prnu.npy", np.asarray(known.plane))
    for path in flats[1::2]:
        (to / "flat" / path.name).symlink_to(path.resolve())


def centre(path: Path) -> np.ndarray:
    """The middle of a photo, uint8[512 512 3]."""
    return np.asarray(image.center_crop(photo_file.read_pixels(path), SIDE, SIDE))


if __name__ == "__main__":
    main()
