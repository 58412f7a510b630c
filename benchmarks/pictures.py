"""Places of photos at 1:1: as they came, without and with grain.

    python -m benchmarks.pictures PHOTO... --to=FOLDER

The middle of each photo (--crop pixels a side) is treated blind by `sparse`, without and with
`--grain`. From it come the squares that are brightest and darkest among the calm ones (sky or wall,
and night), the busiest (foliage), and the one with most colours of skin, if there are any. A row of
FOLDER/PHOTO.png is one of them: original, without grain, with grain. Printed are PSNR, SSIM, the
standard deviation of what 3x3 means do not show in each square, and the share of it that is left:
a square that looks like wax has lost most of it.
"""

import argparse
from pathlib import Path

import jax
import numpy as np
from PIL import Image
from scipy import ndimage

from benchmarks import cameras, defaults
from dippas_jax import config
from dippas_jax.forensics import scores
from dippas_jax.signal import tiles
from dippas_jax.sparse import anonymize as sparse

SKIN = 0.3  # of a square's pixels, at least


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.pictures", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("photos", type=Path, nargs="+", metavar="PHOTO")
    parser.add_argument("--to", type=Path, required=True, help="a folder")
    parser.add_argument("--crop", type=int, default=1024, help="side of what is treated")
    parser.add_argument("--side", type=int, default=192, help="of a square, pixels")
    options = parser.parse_args()
    options.to.mkdir(parents=True, exist_ok=True)
    defaults.print_header("photo place texture psnr ssim texture_left psnr ssim texture_left")
    for path in options.photos:
        came = cameras.centre(path, options.crop)
        jpeg = path.suffix.lower() in (".jpg", ".jpeg")
        codecs = cameras.codecs(path) if jpeg else tiles.LOSSLESS
        versions = [came, *(treated(came, codecs, grain) for grain in (0.0, 1.0))]
        rows = []
        for name, (top, left) in places(came, options.side).items():
            squares = [x[top : top + options.side, left : left + options.side] for x in versions]
            rows.append(np.concatenate(squares, 1))
            made = [
                figure
                for square, whole in zip(squares[1:], versions[1:], strict=True)
                for figure in (
                    tiles.psnr(whole, came),
                    float(scores.ssim(whole, came)),
                    texture(square) / texture(squares[0]),
                )
            ]
            defaults.print_row([path.stem, name, texture(squares[0]), *made])
        Image.fromarray(np.concatenate(rows)).save(options.to / f"{path.stem}.png")


def treated(pixels: np.ndarray, codecs: tiles.Codecs, grain: float) -> np.ndarray:
    settings = config.Sparse(grain=grain, strength="fast")
    return sparse.anonymize(jax.random.key(0), pixels, None, settings, codecs=codecs).pixels


def places(pixels: np.ndarray, side: int) -> dict[str, tuple[int, int]]:
    """Row and column of the squares to look at, by name; of a grid of half their side."""
    grey = pixels.astype(np.float32).mean(2)
    steps = [range(0, length - side + 1, side // 2) for length in grey.shape]
    corners = [(top, left) for top in steps[0] for left in steps[1]]
    busy = ndimage.gaussian_gradient_magnitude(grey, 1.5)
    red, green, blue = np.moveaxis(pixels.astype(int), 2, 0)
    skin = (red > 95) & (green > 40) & (blue > 20) & (red - np.minimum(green, blue) > 15)
    skin &= (red - green > 15) & (red > blue)  # Kovac, Peer and Solina 2003

    def mean(plane: np.ndarray, corner: tuple[int, int]) -> float:
        return float(plane[corner[0] : corner[0] + side, corner[1] : corner[1] + side].mean())

    corners.sort(key=lambda corner: mean(busy, corner))
    calm = sorted(corners[: max(len(corners) // 4, 2)], key=lambda corner: mean(grey, corner))
    found = {"calm, bright": calm[-1], "calm, dark": calm[0], "busy": corners[-1]}
    most = max(corners, key=lambda corner: mean(skin, corner))
    return found | ({"skin colours": most} if mean(skin, most) > SKIN else {})


def texture(square: np.ndarray) -> float:
    """Standard deviation of what 3x3 means do not show, grey levels."""
    grey = square.astype(np.float32).mean(2)
    return float((grey - ndimage.uniform_filter(grey, 3)).std())


if __name__ == "__main__":
    main()
