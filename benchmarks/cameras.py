r"""What `sparse` leaves of real cameras: the worst of many attackers, before and after, K and K'.

    python -m benchmarks.cameras --folder=FOLDER
    python -m benchmarks.cameras --folder=FOLDER --phones=PHONES --strength=strong
    python -m benchmarks.cameras --folder=FOLDER --phones=PHONES --photos=1 --modes=blind \
        --strength=fast --psnr=34,36,38,40,42 --plot=docs/front.png

FOLDER holds DEVICE/crop512/*, DEVICE/prnu.npy (K, of the same pixels) and DEVICE/flat/*, from whose
centres K' is estimated. PHONES holds DEVICE/natural/* and DEVICE/flat/*, whole JPEGs: K is
estimated from every second flat, K' from the others, and the centre of --side pixels is treated. K'
is never used to anonymise. A row has the largest |z| over the wavelet residual at σ 2, 3 and 5,
over bands of frequency from 1/32 cycles a pixel on and over quarters of texture: thirteen figures,
of which chance alone gives a largest of about 1.9. With --psnr every photo is treated once for each
PSNR, exactly; --plot draws the front, PSNR against the largest |z| with K and K'.
"""

import argparse
import functools
import itertools
import time
from collections.abc import Iterator
from pathlib import Path

import jax
import numpy as np

from benchmarks import defaults
from dippas_jax import config as configuration
from dippas_jax.datasets import reader
from dippas_jax.forensics import attackers
from dippas_jax.io import files, photo_writer
from dippas_jax.io import photo as photo_file
from dippas_jax.signal import flat_field, image, tiles
from dippas_jax.sparse import anonymize as sparse


def main() -> None:
    parser = parser_of("cameras", __doc__, side=1024)
    parser.add_argument("--strength", default="balanced", choices=configuration.STRENGTHS)
    parser.add_argument("--modes", default="blind,aware")
    parser.add_argument("--photos", type=int, default=0, help="of each device; 0 for all")
    parser.add_argument("--psnr", default="0", help="dB, several; 0 for the strength's")
    parser.add_argument("--grain", type=float, default=0.0, help="new noise, 0 to 1")
    parser.add_argument("--plot", type=Path, help="a PNG")
    options = parser.parse_args()
    files.cache_compilations()
    settings = configuration.Sparse(strength=options.strength, grain=options.grain)
    defaults.print_header("photo mode psnr threshold seconds K_before K K'_before K'")
    front = []
    for name, pixels, *planes, codecs in first(read(options), options.photos):
        before = [worst(pixels, plane) for plane in planes]
        for mode, psnr in itertools.product(
            options.modes.split(","), map(float, options.psnr.split(","))
        ):
            known = planes[0] if mode == "aware" else None
            start = time.perf_counter()
            made = sparse.anonymize(
                jax.random.key(0), pixels, known, settings, target_psnr=psnr, codecs=codecs
            )
            seconds = time.perf_counter() - start
            after = [worst(made.pixels, plane) for plane in planes]
            figures = made.psnr, made.settings["threshold"], seconds
            pairs = before[0], after[0], before[1], after[1]
            defaults.print_row([name, mode, *figures, *pairs])
            front.append((f"{name}, {mode}", made.psnr, max(after)))
    if options.plot:
        plot(front, options.plot)


def parser_of(module: str, description: str | None, side: int) -> argparse.ArgumentParser:
    """Of a benchmark of these photos, with the options that `read` needs."""
    parser = argparse.ArgumentParser(prog=f"python -m benchmarks.{module}", description=description)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--folder", type=Path, required=True, help="one subfolder a device")
    parser.add_argument("--phones", type=Path, help="likewise, of whole JPEGs")
    parser.add_argument("--side", type=int, default=side, help="of the centres, pixels")
    return parser


def read(options: argparse.Namespace) -> list[tuple]:
    """Name, pixels, K, K' and codecs of every photo."""
    photos = list(crops(options.folder))
    if options.phones:
        photos += phones(options.phones, options.side)
    return photos


def camera(name: str) -> str:
    """The camera of a photo, whose name is that of the photo up to the last number."""
    return name.rsplit("_", 1)[0]


def first(photos: list[tuple], most: int) -> list[tuple]:
    """So many of every camera."""
    found: dict[str, list[tuple]] = {}
    for photo in photos:
        found.setdefault(camera(photo[0]), []).append(photo)
    return [photo for several in found.values() for photo in several[: most or None]]


def plot(front: list[tuple[str, float, float]], path: Path) -> None:
    """PSNR against the largest |z|, a line a photo."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(6, 4), layout="constrained")
    for name in dict.fromkeys(row[0] for row in front):
        x, y = zip(*((psnr, z) for label, psnr, z in front if label == name), strict=True)
        axes.plot(x, y, marker="o", markersize=3, linewidth=1, label=name)
    axes.axhline(1.9, color="black", linewidth=0.5, linestyle=":")
    axes.set(xlabel="PSNR, dB", ylabel="largest |z| of 13, K and K'", yscale="log")
    axes.yaxis.set_major_formatter("{x:g}")
    axes.yaxis.set_minor_formatter("{x:g}")
    axes.legend(fontsize=7)
    figure.savefig(path, dpi=150)


def crops(folder: Path) -> Iterator[tuple]:
    """Name, pixels, K, K' and codecs, none, of the uncompressed crops."""
    data = configuration.Data(folder=str(folder), photos=("crop512",))
    for record in reader.load(data):
        pixels, fingerprint, _ = record.read()
        other = defaults.other_fingerprint(data, record.device)
        yield record.id, pixels, fingerprint, other, tiles.LOSSLESS


def phones(folder: Path, side: int) -> Iterator[tuple]:
    """Name, pixels, K, K' and the camera's codec of the centres of whole photos."""
    for device in sorted(folder.iterdir()):
        flats = sorted((device / "flat").iterdir())
        planes = [plane(flats[half::2], side) for half in (0, 1)]
        for path in sorted((device / "natural").iterdir()):
            yield path.stem, centre(path, side), *planes, codecs(path)


def codecs(path: Path) -> tiles.Codecs:
    """The camera's, as it wrote a photo."""
    return tiles.Codecs(functools.partial(_compressed, photo_file.read(path)))


def _compressed(photo: photo_file.PhotoFile, pixels: np.ndarray) -> np.ndarray:
    """Pixels behind a file like a photo's."""
    return photo_writer.decode(photo_writer.encode(photo, pixels), photo)


def plane(paths: list[Path], side: int) -> np.ndarray:
    """K [side side] from the centres of flat-field photos; of whole ones where `side` is 0."""
    return np.asarray(flat_field.estimate(centre(path, side) for path in paths).plane)


def centre(path: Path, side: int) -> np.ndarray:
    """The middle of a photo, uint8 [side side 3]; all of it where `side` is 0."""
    pixels = photo_file.read_pixels(path)
    return np.asarray(image.center_crop(pixels, side, side)) if side else pixels


def worst(pixels: np.ndarray, plane: np.ndarray) -> float:
    """The largest |z| of the thirteen."""
    evidence, photos = attackers.Evidence(plane[None]), pixels[None]
    found = [attackers.wavelet(photos, evidence, sigma=sigma) for sigma in (2.0, 3.0, 5.0)]
    found += [attackers.band_scores(pixels, plane[None])[1:]]
    found += [attackers.texture_scores(pixels, plane[None])]
    return float(np.nanmax(np.abs(np.concatenate([np.ravel(one) for one in found]))))


if __name__ == "__main__":
    main()
