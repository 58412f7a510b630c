"""Two anonymisers beside what their authors published: how near do ours come?

    python -m benchmarks.published --folder=FOLDER
    python -m benchmarks.published --folder=FOLDER --denoiser=bm3d
    python -m benchmarks.published --folder=FOLDER --choose

FOLDER holds DEVICE/crop512/*, DEVICE/prnu.npy (K, of the same pixels) and the published versions in
DEVICE/published/inpainting and DEVICE/published/patchmatch. Printed are, for every crop, the PSNR
of ours and of the published version against the photo, the NCC of both with K, and the seconds that
ours took, programs compiled; of the inpainting also the share of values equal to the published
ones, away from the edges that our own mask finds, on them, and everywhere, and with the levels
stretched mask by mask as the published ones are. near_half is, of the values that still differ away
from edges, the share that our prediction has within 0.05 levels of a half. The exit status is 1
where the mean PSNR is off by more than 1.5 dB, the mean NCC by more than one standard error of
theirs, or a crop has less than 60 % of equal values away from edges.

--choose prints instead what the choices were made by: for denoisers the root-mean-square difference
from the published inpainting where that is far from the inpainted photo, for sizes of patches the
distance of the PSNR from the published one; and for every camera what the others would have chosen.
"""

import argparse
import functools
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import jax
import numpy as np
from skimage import restoration

from benchmarks import defaults
from dippas_jax.baselines import dct, denoising, inpainting, patches
from dippas_jax.io import files
from dippas_jax.io import photo as photo_file
from dippas_jax.signal import correlation, edges, image, residual

KEY = jax.random.key(0)
FAR = 1.0  # grey levels from the inpainted photo: there the published one was denoised
PSNR_TOLERANCE = 1.5  # dB
EQUAL = 0.6


class Crop(NamedTuple):
    """A photo, its camera's fingerprint and what was published."""

    device: str
    name: str
    photo: np.ndarray
    k: np.ndarray
    inpainted: np.ndarray
    patched: np.ndarray


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.published",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--folder", type=Path, required=True, help="one subfolder a device")
    parser.add_argument("--denoiser", default="dct", choices=inpainting.DENOISERS)
    parser.add_argument("--choose", action="store_true", help="print what the choices rest on")
    options = parser.parse_args()
    files.cache_compilations()
    crops = list(_crops(options.folder))
    if options.choose:
        _choose("denoiser", crops, _denoisers(), _difference_on_edges)
        _choose("patches", crops, _sizes(), _psnr_difference)
        return 0
    print(inpainting.source(options.denoiser))
    inpaint = functools.partial(inpainting.anonymize, denoiser=options.denoiser)
    good = _compare(crops, inpaint, "inpainted")
    good &= _equal(crops, options.denoiser)
    print(patches.SOURCE)
    good &= _compare(crops, patches.anonymize, "patched")
    return int(not good)


def _crops(folder: Path) -> Iterator[Crop]:
    for path in sorted(folder.glob("*/crop512/*")):
        device = path.parents[1]
        published = [
            photo_file.read_pixels(device / "published" / method / path.name)
            for method in ("inpainting", "patchmatch")
        ]
        k = np.load(device / "prnu.npy")
        yield Crop(device.name, path.stem, photo_file.read_pixels(path), k, *published)


def _compare(crops: list[Crop], method: Callable, published: str) -> bool:
    """Print PSNR and NCC of both; whether the means are near enough."""
    np.asarray(method(KEY, crops[0].photo))  # compiles
    defaults.print_header("photo PSNR theirs NCC theirs seconds")
    rows = []
    for crop in crops:
        start = time.perf_counter()
        ours = np.asarray(method(KEY, crop.photo))
        seconds = time.perf_counter() - start
        theirs = getattr(crop, published)
        psnr = [float(image.psnr(version, crop.photo)) for version in (ours, theirs)]
        ncc = [float(_ncc(version, crop.k)) for version in (ours, theirs)]
        rows.append([*psnr, *ncc, seconds])
        _print_row([crop.name, *rows[-1]])
    mean = np.mean(rows, 0)
    _print_row(["mean", *mean])
    error = float(np.std([row[3] for row in rows], ddof=1) / len(rows) ** 0.5)
    good = abs(mean[0] - mean[1]) <= PSNR_TOLERANCE and abs(mean[2] - mean[3]) <= error
    print(
        f"\nmean PSNR {mean[0] - mean[1]:+.2f} dB from theirs (at most {PSNR_TOLERANCE}), mean NCC "
        f"{mean[2] - mean[3]:+.5f} (at most their standard error, {error:.5f})\n"
    )
    return bool(good)


def _equal(crops: list[Crop], denoiser: str) -> bool:
    """Print the shares of equal values; whether all are large enough away from edges."""
    defaults.print_header("photo edges away on_edges all away_stretched all_stretched near_half")
    rows = []
    for crop in crops:
        smooth = np.asarray(inpainting.denoised(crop.photo, denoiser))
        near = edges.near(image.luma(smooth))
        row = [near.mean()]
        for stretch in (False, True):
            levels = np.asarray(inpainting.inpaint(crop.photo, stretch=stretch))
            mixed = np.where(near[..., None], smooth, levels)
            equal = np.clip(np.round(mixed), 0, 255) == crop.inpainted
            on_edges = [] if stretch else [equal[near].mean()]
            row += [equal[~near].mean(), *on_edges, equal.mean()]
        other = ~equal & ~near[..., None]
        row.append((np.abs(levels % 1 - 0.5) < 0.05)[other].mean())
        rows.append(row)
        _print_row([crop.name, *row])
    _print_row(["mean", *np.mean(rows, 0)])
    least = min(row[1] for row in rows)
    print(f"\nleast share away from edges {least:.3f} (at least {EQUAL})\n")
    return bool(least >= EQUAL)


def _denoisers() -> dict[str, Callable]:
    """Photo to denoised photo, grey levels."""

    def repeated(step: Callable, photo: np.ndarray, times: int) -> np.ndarray:
        pixels = np.asarray(photo, np.float32)
        for _ in range(times):
            pixels = np.asarray(step(pixels))
        return pixels

    def non_local(pixels: np.ndarray, sigma: float) -> np.ndarray:
        sizes = {"patch_size": 5, "patch_distance": 6, "h": 0.4 * sigma, "sigma": sigma}
        return restoration.denoise_nl_means(pixels, **sizes, channel_axis=-1)

    def variation(pixels: np.ndarray, sigma: float) -> np.ndarray:
        return restoration.denoise_tv_chambolle(pixels, weight=sigma, channel_axis=-1)

    steps = {"dct": dct.denoised, "non-local": non_local, "variation": variation}
    found = {
        f"{name} {sigma} x{times}": functools.partial(
            repeated, functools.partial(step, sigma=float(sigma)), times=times
        )
        for name, step in steps.items()
        for sigma in (3, 5, 7)
        for times in (1, 2)
    }
    for sigma, times in ((3, 1), (3, 2), (5, 1), (7, 2)):
        settings = {"sigma": float(sigma), "times": times}
        found[f"wavelet {sigma} x{times}"] = functools.partial(denoising.repeated, KEY, **settings)
    return found


def _sizes() -> dict[str, Callable]:
    return {
        f"side {side} reach {reach}": functools.partial(
            patches.anonymize, KEY, side=side, reach=reach
        )
        for side in (3, 4, 5)
        for reach in (7, 10)
    }


def _difference_on_edges(crop: Crop, result: np.ndarray) -> float:
    inpainted = np.asarray(inpainting.inpaint(crop.photo, stretch=True))
    far = (np.abs(inpainted - crop.inpainted) > FAR).any(-1)
    return float(np.sqrt(np.mean(np.square(result[far] - crop.inpainted[far].astype(float)))))


def _psnr_difference(crop: Crop, result: np.ndarray) -> float:
    return abs(float(image.psnr(result, crop.photo) - image.psnr(crop.patched, crop.photo)))


def _choose(what: str, crops: list[Crop], methods: dict, score: Callable) -> None:
    """Print the score of every method on every camera, and what the other cameras choose."""
    devices = sorted({crop.device for crop in crops})
    defaults.print_header(f"{what} {' '.join(devices)} mean")
    table = np.zeros((len(methods), len(devices)))
    for i, (name, method) in enumerate(methods.items()):
        for crop in crops:
            j = devices.index(crop.device)
            among = sum(other.device == crop.device for other in crops)
            table[i, j] += score(crop, np.asarray(method(crop.photo))) / among
        _print_row([name, *table[i], table[i].mean()])
    for j, device in enumerate(devices):
        others = np.delete(table, j, 1).mean(1)
        best = int(np.argmin(others))
        print(f"without {device} the choice is {list(methods)[best]}: there {table[best, j]:.3f}")
    print()


@jax.jit
def _ncc(pixels, k):
    return correlation.ncc(residual.residual(pixels), correlation.pattern(pixels, k))


def _print_row(cells: list) -> None:
    texts = [cell if isinstance(cell, str) else f"{cell:.4f}" for cell in cells]
    print(f"| {' | '.join(texts)} |", flush=True)


if __name__ == "__main__":
    sys.exit(main())
