"""What `sparse` leaves of real cameras: the worst of many attackers, before and after, K and K'.

    python -m benchmarks.cameras --folder=FOLDER
    python -m benchmarks.cameras --folder=FOLDER --phones=PHONES --strength=strong

FOLDER holds DEVICE/crop512/*, DEVICE/prnu.npy (K, of the same pixels) and DEVICE/flat/*, from whose
centres K' is estimated. PHONES holds DEVICE/natural/* and DEVICE/flat/*, whole JPEGs: K is
estimated from every second flat, K' from the others, and the centre of --side pixels is treated. K'
is never used to anonymise. A row has the largest |z| over the wavelet residual at σ 2, 3 and 5,
over bands of frequency from 1/32 cycles a pixel on and over quarters of texture: thirteen figures,
of which chance alone gives a largest of about 1.9.
"""

import argparse
import time
from collections.abc import Iterator
from pathlib import Path

import jax
import numpy as np

from benchmarks import defaults
from dippas_jax import config as configuration
from dippas_jax.datasets import reader
from dippas_jax.forensics import attackers
from dippas_jax.io import photo as photo_file
from dippas_jax.signal import flat_field, image
from dippas_jax.sparse import anonymize as sparse


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.cameras", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--folder", type=Path, required=True, help="one subfolder a device")
    parser.add_argument("--phones", type=Path, help="likewise, of whole JPEGs")
    parser.add_argument("--side", type=int, default=1024, help="of the centres of PHONES, pixels")
    parser.add_argument("--strength", default="balanced", choices=configuration.STRENGTHS)
    options = parser.parse_args()
    settings = configuration.Sparse(strength=options.strength)
    defaults.print_header("photo mode psnr threshold seconds K_before K K'_before K'")
    photos = list(crops(options.folder))
    if options.phones:
        photos += phones(options.phones, options.side)
    for name, pixels, *planes in photos:
        before = [worst(pixels, plane) for plane in planes]
        for mode, known in (("blind", None), ("aware", planes[0])):
            start = time.perf_counter()
            made = sparse.anonymize(jax.random.key(0), pixels, known, settings)
            seconds = time.perf_counter() - start
            after = [worst(made.pixels, plane) for plane in planes]
            figures = made.psnr, made.settings["threshold"], seconds
            pairs = before[0], after[0], before[1], after[1]
            defaults.print_row([name, mode, *figures, *pairs])


def crops(folder: Path) -> Iterator[tuple]:
    """Name, pixels, K and K' of the uncompressed crops."""
    data = configuration.Data(folder=str(folder), photos=("crop512",))
    for record in reader.load(data):
        pixels, fingerprint, _ = record.read()
        yield record.id, pixels, fingerprint, defaults.other_fingerprint(data, record.device)


def phones(folder: Path, side: int) -> Iterator[tuple]:
    """Name, pixels, K and K' of the centres of whole photos."""
    for device in sorted(folder.iterdir()):
        flats = sorted((device / "flat").iterdir())
        planes = [_plane(flats[half::2], side) for half in (0, 1)]
        for path in sorted((device / "natural").iterdir()):
            yield path.stem, _centre(path, side), *planes


def _plane(paths: list[Path], side: int) -> np.ndarray:
    return np.asarray(flat_field.estimate(_centre(path, side) for path in paths).plane)


def _centre(path: Path, side: int) -> np.ndarray:
    return np.asarray(image.center_crop(photo_file.read_pixels(path), side, side))


def worst(pixels: np.ndarray, plane: np.ndarray) -> float:
    """The largest |z| of the thirteen."""
    evidence, photos = attackers.Evidence(plane[None]), pixels[None]
    found = [attackers.wavelet(photos, evidence, sigma=sigma) for sigma in (2.0, 3.0, 5.0)]
    found += [attackers.band_scores(pixels, plane[None])[1:]]
    found += [attackers.texture_scores(pixels, plane[None])]
    return float(np.nanmax(np.abs(np.concatenate([np.ravel(one) for one in found]))))


if __name__ == "__main__":
    main()
