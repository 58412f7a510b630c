"""The command line of `dippas verify`."""

import argparse

from dippas_jax.cli import arguments

SUMMARY = "can the camera still be found in an anonymised photo?"
DESCRIPTION = (
    "Run every attacker that these files allow on a photo and on its anonymised versions. Give a "
    "second fingerprint of the same camera, built from other photos, for the stronger test. The "
    "exit code is 3 if any attacker finds the camera in a version, be it by chance."
)
EPILOG = """
before, after:
  z, which for another camera is about normal with mean 0 and standard deviation 1.
  An attacker finds the camera from 3 on, on either side of zero: a fingerprint that
  was taken out twice gives the camera away as well as one that was left in. "bands"
  and "texture" show the largest of six and of four z, and find from 3.5 and 3.4 on,
  which chance reaches as rarely as one z reaches 3. For "shifts" it is the square
  root of the largest PCE, and the limit is 7.7 (PCE 60); for "places" and "pieces",
  which look for every place around where it belongs, it is 4 and 3, and for "warps",
  the highest of many z, 8. These four count above zero only. "-" stands where the
  photo is too small to be asked, or holds no noise.

many figures:
  The more figures there are, the larger is the largest of them by chance. The last
  line says how many z there are, which is the largest after the change, how large it
  would be by chance, and how probable one as large is for another camera. That takes
  them to be independent, and they look at the same pixels; and noise to be white,
  which that of "laplacian", "median" and "blurred" is not (docs/laboratory.md).
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `dippas verify`."""
    parser.add_argument(
        "original",
        type=arguments.path,
        metavar="ORIGINAL",
        help="the photo as the camera wrote it",
    )
    parser.add_argument(
        "anonymised",
        type=arguments.path,
        nargs="+",
        metavar="ANONYMISED",
        help="versions of it, of the same size",
    )
    parser.add_argument(
        "--fingerprint",
        type=arguments.path,
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
