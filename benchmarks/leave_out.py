"""Does `sparse` hide cameras that its constants were not chosen with? Each camera is left out once.

    python -m benchmarks.leave_out --folder=FOLDER --phones=PHONES

FOLDER and PHONES are those of `benchmarks.cameras`, whose photos are treated blind with every
combination of two constants: the first threshold (`sparse.threshold.START`) and how often a
coefficient is turned over at most (`signal.calibration.MOST`). Each camera is then judged by the
combination that does best on the others: of those that keep a mean of --least dB there, the one
with the smallest mean of the largest |z| of thirteen with K'. A camera counts once, however many
photos it has. The last table has the means of all combinations. Half an hour on two CPU cores.
"""

import itertools
from unittest import mock

import jax
import numpy as np

from benchmarks import cameras, defaults
from dippas_jax.io import files
from dippas_jax.signal import calibration, tiles
from dippas_jax.sparse import anonymize as sparse
from dippas_jax.sparse import threshold

STARTS, MOSTS = (8.0, 12.0, 18.0), (1.0, 3.0)


def main() -> None:
    parser = cameras.parser_of("leave_out", __doc__, side=512)
    parser.add_argument("--least", type=float, default=38.0, help="dB, mean of the other cameras")
    options = parser.parse_args()
    files.cache_compilations()
    grid = list(itertools.product(STARTS, MOSTS))
    found: dict[str, list[np.ndarray]] = {}
    before: dict[str, list[float]] = {}
    for name, pixels, _, other, codecs in cameras.read(options):
        camera = cameras.camera(name)
        before.setdefault(camera, []).append(cameras.worst(pixels, other))
        rows = [treated(pixels, other, codecs, *pair) for pair in grid]
        found.setdefault(camera, []).append(np.array(rows))
    means = {camera: np.mean(rows, axis=0) for camera, rows in found.items()}
    defaults.print_header("left_out photos threshold most psnr K'_before K' K'_worst")
    for camera, rows in found.items():
        chosen = choose([mean for other, mean in means.items() if other != camera], options.least)
        psnr, z = means[camera][chosen]
        worst = max(row[chosen, 1] for row in rows)
        figures = psnr, float(np.mean(before[camera])), z, worst
        defaults.print_row([camera, str(len(rows)), *map(str, grid[chosen]), *map(float, figures)])
    print()
    defaults.print_header("threshold most psnr K'")
    for pair, mean in zip(grid, np.mean(list(means.values()), axis=0), strict=True):
        defaults.print_row([*map(str, pair), *map(float, mean)])


def treated(
    pixels: np.ndarray, other: np.ndarray, codecs: tiles.Codecs, start: float, most: float
) -> tuple[float, float]:
    """PSNR and the largest |z| of K' of a photo treated with other constants."""
    turned = np.minimum(calibration.MOST, most)
    with (
        mock.patch.object(threshold, "START", start),
        mock.patch.object(calibration, "MOST", turned),
    ):
        made = sparse.anonymize(jax.random.key(0), pixels, None, codecs=codecs)
    return made.psnr, cameras.worst(made.pixels, other)


def choose(means: list[np.ndarray], least: float) -> int:
    """Of the combinations, rows of (PSNR, |z|) by camera: the smallest |z| that keeps the PSNR."""
    psnr, z = np.mean(means, axis=0).T
    return int(np.argmin(np.where(psnr >= least, z, np.inf)))


if __name__ == "__main__":
    main()
