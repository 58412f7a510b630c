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

from benchmarks import cameras

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
        Image.fromarray(cameras.centre(path, SIDE)).save(to / "crop512" / f"{path.stem}.png")
    flats = sorted((phone / "flat").iterdir())
    np.save(to / "prnu.npy", cameras.plane(flats[::2], SIDE))
    for path in flats[1::2]:
        (to / "flat" / path.name).symlink_to(path.resolve())


if __name__ == "__main__":
    main()
