"""The command line of `dippas verify`."""

import argparse

from dippas_jax.cli import arguments

SUMMARY = "can the camera still be found in an anonymised photo?"
DESCRIPTION = (
    "Run every attacker that these files allow on a photo and on its anonymised versions. Give a "
    "second fingerprint of the same camera, built from other photos, for the stronger test. The "
    "exit code is 3 if any attacker still finds the camera."
)
EPILOG = """
before, after:
  z, which for another camera is about normal with mean 0 and standard deviation 1;
  an attacker finds the camera from 3 on. For "shifts" it is the square root of the
  largest PCE, and the limit is 7.7 (PCE 60).
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `dippas verify`."""
    parser.add_argument("original", metavar="ORIGINAL", help="the photo as the camera wrote it")
    parser.add_argument(
        "anonymised", nargs="+", metavar="ANONYMISED", help="versions of it, of the same size"
    )
    parser.add_argument(
        "--fingerprint",
        action="append",
        required=True,
        metavar="FILE",
        help="fingerprint of the photo's camera; may be given several times",
    )
    arguments.add_extent(parser)
    arguments.add_json(parser)


def run(options: argparse.Namespace) -> int:
    """Run `dippas verify` and return its exit code."""
    from dippas_jax.cli import verify

    return verify.verify(
        options.original,
        options.anonymised,
        options.fingerprint,
        side=arguments.side(options),
        json=options.json,
    )
