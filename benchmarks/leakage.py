r"""What methods leave of planted patterns, against what they leave of real cameras, by PSNR.

    python -m benchmarks.leakage --folder=FOLDER --phones=PHONES --methods=sparse,prior --side=128
    python -m benchmarks.leakage --folder=FOLDER --phones=PHONES --side=256 \
        --methods=balanced --psnr=39,41,43 --plot=docs/leakage.png
    python -m benchmarks.leakage --folder=FOLDER --phones=PHONES --side=256 \
        --methods=inpainting,patches,dct_truncation

Methods are "sparse", the names of `dippas_jax.baselines.METHODS`, which take no PSNR and, where
they need a fingerprint, get K, and three more. "prior" is the paper's method with the network of
configs/blind.py, "balanced" the same with assembly.compensation=1, whose PSNR ends below the one
asked for, "paper" configs/blind.py:paper.
FOLDER and PHONES are laid out as for `benchmarks.cameras`; the centre of --side pixels of --photos
photos a device is treated blind at every PSNR of --psnr: once as it is, and once with a pattern of
each of --kinds planted in it (`forensics.leakage`). A row pools all photos. Its figures are shares
by band of frequency and quarter of gradient: 1 is all, 0 nothing, below 0 too much. "planted" is
foretold without a camera; "true" is of K and K' together, and "±" its standard error by chance. z
is the largest of the thirteen figures of `benchmarks.cameras`: the mean over the photos, and the
largest, K' alone.
--plot draws every photo's figures of both kinds against each other.
"""

import argparse
import dataclasses
import functools
import runpy
from collections.abc import Callable
from pathlib import Path

import jax
import numpy as np

from benchmarks import cameras, defaults
from dippas_jax import baselines
from dippas_jax import config as configuration
from dippas_jax.forensics import attackers, leakage
from dippas_jax.io import files
from dippas_jax.prior import anonymize as prior
from dippas_jax.signal import image, tiles
from dippas_jax.sparse import anonymize as sparse

KEY = jax.random.key(0)

DEFAULT = configuration.Config()
ASSEMBLY = dataclasses.replace(DEFAULT.assembly, compensation=1.0)
BALANCED = dataclasses.replace(DEFAULT, assembly=ASSEMBLY)
PAPER = dataclasses.replace(
    runpy.run_path("configs/blind.py")["SETTINGS"]["paper"], assembly=DEFAULT.assembly
)


def by_sparse(pixels: np.ndarray, k: np.ndarray, psnr: float, codecs: tiles.Codecs) -> np.ndarray:
    return sparse.anonymize(KEY, pixels, None, target_psnr=psnr, codecs=codecs).pixels


def by_prior(
    pixels: np.ndarray,
    k: np.ndarray,
    psnr: float,
    codecs: tiles.Codecs,
    config: configuration.Config = DEFAULT,
) -> np.ndarray:
    config = dataclasses.replace(config, target_psnr=psnr)
    return prior.invert(KEY, pixels, None, config).pixels


def by_other(
    pixels: np.ndarray, k: np.ndarray, psnr: float, codecs: tiles.Codecs, method: baselines.Method
) -> np.ndarray:
    return np.asarray(method.anonymize(KEY, pixels, k if method.aware else None))


Method = Callable[[np.ndarray, np.ndarray, float, tiles.Codecs], np.ndarray]
METHODS: dict[str, Method] = {
    "sparse": by_sparse,
    "prior": by_prior,
    "balanced": functools.partial(by_prior, config=BALANCED),
    "paper": functools.partial(by_prior, config=PAPER),
} | {name: functools.partial(by_other, method=method) for name, method in baselines.METHODS.items()}


def main() -> None:
    parser = cameras.parser_of("leakage", __doc__, side=128)
    parser.add_argument("--photos", type=int, default=1, help="of each device")
    parser.add_argument("--methods", default="sparse,prior")
    parser.add_argument("--psnr", default="36,38,39,41", help="dB")
    parser.add_argument("--kinds", default="white")
    parser.add_argument("--plot", type=Path, help="a PNG")
    options = parser.parse_args()
    files.cache_compilations()
    names = [*attackers.BANDS, *(f"quarter {n}" for n in range(1, leakage.QUARTERS + 1))]
    defaults.print_header(
        " ".join(["method", "psnr", "figure", *(n.replace(" ", "_") for n in names), "z"])
    )
    photos = chosen(options)
    points = []
    for name in options.methods.split(","):
        asked = "0" if name in baselines.METHODS else options.psnr
        for psnr in map(float, asked.split(",")):
            kinds = options.kinds.split(",")
            pairs = [measured(METHODS[name], psnr, kinds, *photo) for photo in photos]
            points += [(name, *pair) for pair in pairs]
            planted, true = (pooled([pair[n] for pair in pairs]) for n in (0, 1))
            reached = float(np.mean([pair[2] for pair in pairs]))
            z = [pair[3] for pair in pairs]
            worst = f"{np.mean(z):.1f}, {np.max(z):.1f}"
            defaults.print_row([name, reached, "planted", *figures(planted)[0], ""])
            defaults.print_row([name, reached, "true", *figures(true)[0], worst])
            defaults.print_row([name, reached, "±", *figures(true)[1], ""])
    if options.plot:
        plot(points, options.plot)


def chosen(options: argparse.Namespace) -> list[tuple]:
    """Pixels and fingerprints of the first photos of every device, cut to the side asked for."""
    found = []
    for name, *arrays, codecs in cameras.first(cameras.read(options), options.photos):
        pixels, *planes = (
            image.center_crop(x, options.side, options.side, axes=(0, 1)) for x in arrays
        )
        found.append((name, codecs, *map(np.asarray, (pixels, *planes))))
    return found


def measured(
    method: Method,
    psnr: float,
    kinds: list[str],
    name: str,
    codecs: tiles.Codecs,
    pixels: np.ndarray,
    *planes: np.ndarray,
) -> tuple[leakage.Leakage, leakage.Leakage, float, float]:
    """What was foretold, what is true, the PSNR, and the largest |z| of K'."""
    made = {pixels.tobytes(): method(pixels, planes[0], psnr, codecs)}

    def once(given: np.ndarray) -> np.ndarray:
        if given.tobytes() not in made:
            made[given.tobytes()] = method(given, planes[0], psnr, codecs)
        return made[given.tobytes()]

    foretold = leakage.measure(image.photo_key(0, name), once, pixels, kinds=kinds, codecs=codecs)
    version = once(pixels)
    true = [leakage.share_of(plane / plane.std(), pixels, version) for plane in planes]
    return foretold, pooled(true), tiles.psnr(version, pixels), cameras.worst(version, planes[-1])


def pooled(found: list[leakage.Leakage]) -> leakage.Leakage:
    return leakage.Leakage(*(np.sum(parts, 0) for parts in zip(*found, strict=True)))


def figures(found: leakage.Leakage) -> tuple[list[float], list[float]]:
    """Shares and errors by band, without the lowest, and by quarter of gradient."""
    (bands, of_bands), (quarters, of_quarters) = found.share("band"), found.share("gradient")
    return [*bands[1:], *quarters], [*of_bands[1:], *of_quarters]


def plot(points: list[tuple], path: Path) -> None:
    """Foretold against true, a point for every band and quarter that the truth is sure of."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(5, 5), layout="constrained")
    for name in dict.fromkeys(point[0] for point in points):
        rows = [
            (a, b, e)
            for method, foretold, true, *_ in points
            if method == name
            for a, b, e in zip(figures(foretold)[0], *figures(true), strict=True)
            if e < 0.2
        ]
        x, y, error = np.transpose(rows)
        axes.errorbar(x, y, error, fmt="o", markersize=3, linewidth=0.5, label=name)
    axes.plot([-0.5, 1.2], [-0.5, 1.2], color="black", linewidth=0.5)
    axes.set(xlabel="share of planted patterns", ylabel="share of the camera's fingerprint")
    axes.legend()
    figure.savefig(path, dpi=150)


if __name__ == "__main__":
    main()
