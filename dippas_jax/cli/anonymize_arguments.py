"""The command line of `dippas anonymize`."""

import argparse

from dippas_jax.cli import arguments

OTHERS = (
    "denoising_sigma5_times10",
    "dncnn",
    "dct_truncation",
    "inpainting",
    "patches",
    "seam_carving",
    "warp",
)
"""`baselines.OFFERED`, which is not imported: what a command line can be is told at once."""

SUMMARY = "write photos with their camera's fingerprint reduced"
DESCRIPTION = (
    "Write copies of photos with their camera's fingerprint reduced, beside the originals, which "
    "are never changed. Without a fingerprint (blind) the noise of any camera is reduced; with one "
    "(aware), what is left of it is measured and removed as well. Existing outputs are skipped, so "
    "the same command continues an interrupted batch; they are not judged again, so that the exit "
    "code is then 4. The treatment can be detected, and nobody can promise that a photo cannot be "
    "traced: --report says what was tested."
)
EPILOG = """
A fingerprint belongs to the sensor: give photos as the camera wrote them, neither
resized nor rotated. A crop needs a fingerprint that was built with the same --crop.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `dippas anonymize`."""
    arguments.add_photos(parser)
    parser.add_argument("-r", "--recursive", action="store_true", help="include subfolders")
    _add_fingerprints(parser)
    add_method(parser)
    parser.add_argument(
        "--max-minutes",
        type=arguments.positive,
        default=0.0,
        metavar="M",
        help="no further try of a photo after so many minutes; --method prior then ends with the "
        "best so far, sparse completes the try that it is at",
    )
    add_format(parser)
    _add_places(parser)
    parser.add_argument(
        "-n", "--dry-run", action="store_true", help="estimate time and memory, and write nothing"
    )
    parser.add_argument(
        "--report",
        type=arguments.path,
        metavar="HTML",
        action=arguments.Once,
        help="write a page that shows what was done and found",
    )
    arguments.add_seed(parser)
    parser.add_argument("--device", choices=("auto", "cpu", "gpu"), default="auto")
    arguments.add_json(parser)
    parser.add_argument("--progress", action="store_true", help=argparse.SUPPRESS)  # of `web`


def run(options: argparse.Namespace) -> int:
    """Run `dippas anonymize` and return its exit code."""
    from dippas_jax.cli import anonymize, outputs

    given = vars(options) | {"kind": options.format}
    chosen = outputs.Options(**{name: given[name] for name in outputs.Options._fields})
    return anonymize.anonymize(
        options.photos,
        chosen,
        dry_run=options.dry_run,
        json=options.json,
        progress=options.progress,
    )


def _add_fingerprints(parser: argparse.ArgumentParser) -> None:
    known = parser.add_mutually_exclusive_group()
    known.add_argument(
        "--fingerprint",
        type=arguments.path,
        metavar="FILE",
        action=arguments.Once,
        help="fingerprint of the camera that took the photos",
    )
    known.add_argument(
        "--blind",
        action="store_true",
        help="use no fingerprint, not even one from the other photos given (by default, four or "
        "more photos of one camera hide each other; --method sparse or prior)",
    )
    parser.add_argument(
        "--check",
        type=arguments.path,
        action="append",
        default=[],
        metavar="FILE",
        help="a fingerprint that is only looked for afterwards; may be given several times",
    )


def add_method(parser: argparse.ArgumentParser) -> None:
    """Add the options that say what is done to a photo."""
    parser.add_argument(
        "--method",
        choices=("sparse", "prior", *OTHERS),
        default="sparse",
        metavar="NAME",
        help="sparse: fast (default); prior: the paper's method, a network for every 512x512 "
        f"pixels: minutes each on a CPU; of other authors, to compare with: {', '.join(OTHERS)}",
    )
    strength = parser.add_mutually_exclusive_group()
    strength.add_argument(
        "--strength",
        choices=("fast", "balanced", "strong"),
        default="balanced",
        help="PSNR that --method sparse aims for: 41 dB or more (fast; balanced, the default) or "
        "39 dB (strong); down to 36 and 33 dB where much of a fingerprint would be left, and "
        "lower still where 4 dB less than the photo's own noise are",
    )
    strength.add_argument(
        "--target-psnr", type=arguments.decibels, metavar="DB", help="exact PSNR, 20 to 60 dB"
    )
    parser.add_argument(
        "--grain",
        action="store_true",
        help="put new noise in place of what was removed, so that skies do not look like wax; "
        "costs up to 2 dB (--method sparse)",
    )
    parser.add_argument(
        "--displace",
        type=arguments.displacement,
        default=0.0,
        metavar="PIXELS",
        help="at last move every place by its own small vector, of this standard deviation, so "
        "that what is left of a fingerprint lies elsewhere; 2 helps where phones are still found, "
        "and the eye sees no difference (--method sparse)",
    )


def add_format(parser: argparse.ArgumentParser) -> None:
    """Add the options that say how an output is written."""
    parser.add_argument(
        "--format",
        choices=("same", "png", "jpeg", "tiff", "webp", "heic"),
        default="same",
        help="format of the output (default same)",
    )
    parser.add_argument(
        "--jpeg-quality",
        type=arguments.quality,
        metavar="same|N",
        help="same: the original's tables (default), or 1 to 100",
    )
    parser.add_argument(
        "--metadata",
        choices=("strip", "safe", "keep"),
        default="strip",
        help="strip: none (default); safe: how the photo was exposed, no more; keep: EXIF and XMP, "
        "with place, time, names and device, but for thumbnails, maker's notes and what could hold "
        "the original",
    )
    parser.add_argument(
        "--icc",
        choices=("keep", "srgb", "drop"),
        default="keep",
        help="colour profile: keep it (default), convert the colours to sRGB, or drop it",
    )
    parser.add_argument(
        "--orientation",
        choices=("upright", "tag"),
        default="upright",
        help="upright: rotate the pixels (default); tag: leave them as the sensor recorded them, "
        "with the EXIF tag",
    )


def _add_places(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "-o",
        "--output",
        type=arguments.path,
        metavar="PATH",
        action=arguments.Once,
        help="file or folder to write to",
    )
    parser.add_argument(
        "--suffix",
        type=arguments.part_of_a_name,
        default=".anon",
        help="ending of output names (default .anon)",
    )
    parser.add_argument("--random-name", action="store_true", help="output names that say nothing")
    again = parser.add_mutually_exclusive_group()
    again.add_argument("--overwrite", action="store_true", help="replace existing outputs")
    again.add_argument("--resume", action="store_true", help="skip existing outputs (the default)")
