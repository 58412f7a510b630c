"""The golden numbers: real photos, their fingerprints, and what was published about them.

    python -m benchmarks.golden --folder=/path/to/dresden

The folder holds one subfolder a device with `crop512/*.png`, `flat/*.JPG`, `prnu.npy` (K) and
`published/{patchmatch,inpainting}/*.png`. Prints every NCC and PSNR beside what an independent
implementation gives; the exit status is 1 if an NCC is off by more than 2e-4 or a PSNR by more than
0.001 dB. K' is estimated here from the ten flat photos' centres. Takes about half a minute.
"""

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import jax
import numpy as np

from dippas_jax.io import photo as photo_file
from dippas_jax.signal import correlation, flat_field, image, residual

SIDE = 512
NCC_TOLERANCE = 2e-4
PSNR_TOLERANCE = 1e-3


class Golden(NamedTuple):
    """What is expected of one photo: correlations, and of the two published versions PSNR in dB."""

    ncc: float
    ncc_other: float
    patchmatch_psnr: float
    patchmatch_ncc: float
    inpainting_psnr: float
    inpainting_ncc: float


GOLDEN = {
    "Nikon_D70_0_19446": Golden(0.05428, 0.02369, 36.964, 0.00446, 39.656, -0.00102),
    "Nikon_D70_0_19448": Golden(0.04342, 0.01689, 36.812, 0.00350, 38.896, -0.00071),
    "Nikon_D70_1_20546": Golden(0.04360, 0.02162, 35.376, 0.00241, 38.303, 0.00322),
    "Nikon_D70_1_20552": Golden(0.03248, 0.01095, 35.692, -0.00195, 38.116, -0.00053),
    "Nikon_D70s_0_21782": Golden(0.04977, 0.02288, 35.459, 0.00066, 38.262, 0.00031),
    "Nikon_D70s_0_21784": Golden(0.05349, 0.02477, 39.852, 0.00072, 42.133, -0.00337),
}


@jax.jit
def _ncc(pixels, k):
    return correlation.ncc(residual.residual(pixels), correlation.pattern(pixels, k))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folder", type=Path, required=True, help="one subfolder a device")
    folder = parser.parse_args().folder
    differences = {field: 0.0 for field in Golden._fields}
    print(f"{'photo':20}{'value':17}{'here':>10}{'expected':>10}{'difference':>12}")
    for name, measured in _measure(folder):
        for field, value, expected in zip(Golden._fields, measured, GOLDEN[name], strict=True):
            difference = value - expected
            differences[field] = max(differences[field], abs(difference))
            print(f"{name:20}{field:17}{value:10.5f}{expected:10.5f}{difference:12.6f}")
    ncc = max(value for field, value in differences.items() if not field.endswith("psnr"))
    psnr = max(value for field, value in differences.items() if field.endswith("psnr"))
    print(f"largest difference: NCC {ncc:.6f} (at most {NCC_TOLERANCE}), ", end="")
    print(f"PSNR {psnr:.6f} dB (at most {PSNR_TOLERANCE})")
    return int(ncc > NCC_TOLERANCE or psnr > PSNR_TOLERANCE)


def _measure(folder: Path) -> Iterator[tuple[str, Golden]]:
    """The numbers of every photo, device after device."""
    for device in sorted({name.rpartition("_")[0] for name in GOLDEN}):
        k = np.load(folder / device / "prnu.npy")
        flats = sorted((folder / device / "flat").glob("*.JPG"))
        crops = (image.center_crop(photo_file.read_pixels(path), SIDE, SIDE) for path in flats)
        other = flat_field.estimate(crops).plane
        for name in (name for name in GOLDEN if name.rpartition("_")[0] == device):
            photo = photo_file.read_pixels(folder / device / "crop512" / f"{name}.png")
            published = [
                photo_file.read_pixels(folder / device / "published" / method / f"{name}.png")
                for method in ("patchmatch", "inpainting")
            ]
            values = [_ncc(photo, k), _ncc(photo, other)]
            for version in published:
                values += [image.psnr(version, photo), _ncc(version, k)]
            yield name, Golden(*map(float, values))


if __name__ == "__main__":
    sys.exit(main())
