"""The command line of `dippas identify`."""

import argparse

from dippas_jax.cli import arguments

SUMMARY = "which of these cameras took these photos?"
DESCRIPTION = (
    "Look for the fingerprints of cameras in photos. Give photos as the camera wrote them, neither "
    "resized nor rotated; --shifts finds crops. The exit code is 3 if a match was found."
)
EPILOG = arguments.SCORES.format(
    scores="scores, best camera first", other="photo times fingerprint"
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `dippas identify`."""
    arguments.add_photos(parser)
    parser.add_argument(
        "--fingerprints",
        type=arguments.path,
        nargs="+",
        action="extend",
        required=True,
        metavar="FILE",
        help="fingerprint files, one per camera",
    )
    arguments.add_extent(parser)
    parser.add_argument(
        "--shifts",
        action="store_true",
        help="the photos may be crops from anywhere: try every position (the p-value counts them)",
    )
    arguments.add_threshold(parser)
    arguments.add_json(parser)


def run(options: argparse.Namespace) -> int:
    """Run `dippas identify` and return its exit code."""
    from dippas_jax.cli import identify

    return identify.identify(
        options.photos,
        options.fingerprints,
        side=arguments.side(options),
        shifts=options.shifts,
        threshold=options.threshold,
        json=options.json,
    )
