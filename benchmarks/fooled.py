"""Does a photo that fools one extractor fool another: `baselines.overfitted`, both ways.

    python -m benchmarks.fooled --folder=FOLDER
    python -m benchmarks.fooled --folder=FOLDER --side=128 --steps=60 --photos=1

FOLDER holds DEVICE/crop512/* and DEVICE/prnu.npy, of the same pixels; of each photo the centre of
--side pixels is treated. Every photo is fitted once against each extractor; z is what the two, and
the wavelet filter at σ 1, find before and after. Fitting against the learned extractor takes far
longer: its weights are those of `dippas fetch learned`. Seconds include no compilation.
"""

import argparse
import time
from pathlib import Path

import jax
import numpy as np

from benchmarks import cameras, defaults
from dippas_jax import config as configuration
from dippas_jax.baselines import overfitted
from dippas_jax.datasets import reader
from dippas_jax.forensics import attackers
from dippas_jax.io import files, weights
from dippas_jax.signal import dncnn, image


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.fooled", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--folder", type=Path, required=True, help="one subfolder a device")
    parser.add_argument("--side", type=int, default=512, help="of the centres, pixels")
    parser.add_argument("--steps", type=int, default=overfitted.STEPS)
    parser.add_argument("--photos", type=int, default=0, help="of each device; 0 for all")
    parser.add_argument("--fitted", default=",".join(overfitted.EXTRACTORS), help="against these")
    options = parser.parse_args()
    files.cache_compilations()
    learned = dncnn.parse(weights.require())
    data = configuration.Data(folder=str(options.folder), photos=("crop512",), crop=options.side)
    photos = [(record.id, *record.read()[:2]) for record in reader.load(data)]
    extractors = "wavelet_before wavelet DnCNN_before DnCNN sigma1_before sigma1"
    defaults.print_header(f"photo against psnr seconds {extractors}")
    found: dict[str, list[tuple[float, ...]]] = {}
    for extractor in options.fitted.split(","):
        fit(photos[0][1], photos[0][2], extractor, 1)  # compiles
        for name, pixels, k in cameras.first(photos, options.photos):
            start = time.perf_counter()
            made = fit(pixels, k, extractor, options.steps)
            seconds = time.perf_counter() - start
            evidence = attackers.Evidence(k[None], learned=learned)
            z = [
                attack(photo[None], evidence).item()
                for attack in (attackers.wavelet, attackers.learned, sigma_1)
                for photo in (pixels, made)
            ]
            figures = float(image.psnr(made, pixels)), seconds, *z
            defaults.print_row([name, extractor, *figures])
            found.setdefault(extractor, []).append(figures)
    for extractor, rows in found.items():
        psnr, seconds, *z = np.array(rows).T
        rms = np.sqrt(np.mean(np.square(z), 1))
        defaults.print_row(["mean, RMS of z", extractor, psnr.mean(), seconds.mean(), *rms])


def sigma_1(photos: np.ndarray, evidence: attackers.Evidence) -> attackers.Scores:
    return attackers.wavelet(photos, evidence, sigma=1.0)


def fit(pixels: np.ndarray, k: np.ndarray, extractor: str, steps: int) -> np.ndarray:
    made = overfitted.fit(jax.random.key(0), pixels, k, extractor=extractor, steps=steps)
    return np.asarray(made)


if __name__ == "__main__":
    main()
