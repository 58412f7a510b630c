"""Photos whose pixels were moved: hidden from those who look in place, and found by who searches.

    python -m benchmarks.desynchronised --folder=FOLDER
    python -m benchmarks.desynchronised --folder=FOLDER --side=0 --photos=1

FOLDER holds DEVICE/crop512/* and DEVICE/prnu.npy (K, of the same pixels). With --side the photos
are DEVICE/natural/*, K is estimated from DEVICE/flat/*, and of both the centre of so many pixels is
looked at, or all with 0. A row is a method, the first one none. Its figures are means over the
photos: PSNR, |z| in place ("wavelet"), the scores of `attackers.ATTACKERS` that search, each with
the number of photos in which it finds the camera, and the seconds that a photo took. The second
table has what the same attackers say of the same photos and the other cameras' K: mean, standard
deviation, the largest, and how often it is beyond the attacker's limit.
"""

import argparse
import time
from collections.abc import Callable
from pathlib import Path

import jax
import numpy as np

from benchmarks import cameras, defaults
from dippas_jax.baselines import seams, subtraction, truncation, warp
from dippas_jax.forensics import attackers
from dippas_jax.io import files
from dippas_jax.signal import displacement, image

SEARCHES = ("places", "pieces", "warps")


def displaced(key: jax.Array, photo: np.ndarray, fingerprint: np.ndarray) -> np.ndarray:
    """A smooth random field of two pixels, as `dippas anonymize --displace 2` adds."""
    del fingerprint
    return displacement.displaced(photo, displacement.Field(key, *photo.shape[:2], 2.0))


METHODS: dict[str, Callable] = {
    "none": lambda key, photo, fingerprint: photo,
    "seams": seams.forced,
    "warp": warp.projective,
    "displaced": displaced,
    "truncation": truncation.triangle,
    "division": subtraction.division,
}


def main() -> None:
    parser = argparse.ArgumentParser(prog="desynchronised", description=__doc__.splitlines()[0])
    parser.add_argument("--folder", type=Path, required=True, help="one subfolder a device")
    parser.add_argument("--side", type=int, help="of the centre of whole photos; 0 for all of it")
    parser.add_argument("--photos", type=int, help="of each device; all if not given")
    parser.add_argument("--methods", default=",".join(METHODS))
    options = parser.parse_args()
    files.cache_compilations()
    photos, planes = read(options.folder, options.side, options.photos)
    defaults.print_header("method PSNR z_in_place largest places pieces warps seconds")
    foreign: dict[str, list[float]] = {name: [] for name in ("wavelet", *SEARCHES)}
    for method in options.methods.split(","):
        rows = [measured(method, n, *one, planes, foreign) for n, one in enumerate(photos)]
        psnr, z, *found, seconds = np.array(rows).T
        texts = [
            f"{np.mean(scores):.1f}, {sum(map(attackers.ATTACKERS[name].finds, scores))} of "
            f"{len(scores)}"
            for name, scores in zip(SEARCHES, found, strict=True)
        ]
        sizes = np.mean(np.abs(z)), np.max(np.abs(z))
        defaults.print_row([method, np.mean(psnr), *sizes, *texts, np.median(seconds)])
    print()
    defaults.print_header("attacker scores mean deviation largest beyond")
    for name, scores in foreign.items():
        beyond = sum(map(attackers.ATTACKERS[name].finds, scores))
        figures = np.mean(scores), np.std(scores), np.max(scores)
        defaults.print_row([name, len(scores), *map(float, figures), beyond])


def measured(
    method: str,
    index: int,
    camera: int,
    pixels: np.ndarray,
    planes: np.ndarray,
    foreign: dict[str, list[float]],
) -> list[float]:
    """PSNR, scores of the own camera, and seconds; those of the others are added to `foreign`."""
    start = time.perf_counter()
    key = jax.random.key(index)
    made = np.asarray(METHODS[method](key, pixels, planes[camera]))
    seconds = time.perf_counter() - start
    evidence = attackers.Evidence(planes)
    own = []
    for name, others in foreign.items():
        scores = attackers.ATTACKERS[name].attack(made[None], evidence)[0]
        own.append(float(scores[camera]))
        others += np.delete(scores, camera).tolist()
    return [float(image.psnr(made, pixels)), *own, seconds]


def read(
    folder: Path, side: int | None, count: int | None
) -> tuple[list[tuple[int, np.ndarray]], np.ndarray]:
    """Photos with the index of their camera, and a fingerprint for each; all of one size."""
    kind = "crop512" if side is None else "natural"
    devices = [path for path in sorted(folder.iterdir()) if (path / kind).is_dir()]
    if side is None:
        planes = [np.load(device / "prnu.npy") for device in devices]
    else:
        planes = [cameras.plane(sorted((device / "flat").iterdir()), side) for device in devices]
        size = planes[0].shape
        devices = [d for d, plane in zip(devices, planes, strict=True) if plane.shape == size]
        planes = [plane for plane in planes if plane.shape == size]
    paths = [(n, p) for n, d in enumerate(devices) for p in sorted((d / kind).iterdir())[:count]]
    return [(n, cameras.centre(path, side or 0)) for n, path in paths], np.stack(planes)


if __name__ == "__main__":
    main()
