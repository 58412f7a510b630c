"""`dippas fetch`: its command line is all there is to it."""

import argparse

SUMMARY = "download what does not come with the package"
DESCRIPTION = (
    "Download what does not come with the package into the cache, and print its path. "
    "learned: weights of the learned extractor."
)
EPILOG = ""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `dippas fetch`."""
    parser.add_argument("what", choices=["learned"], metavar="learned", help="what to download")


def run(options: argparse.Namespace) -> int:
    """Run `dippas fetch` and return its exit code."""
    from dippas_jax.io import weights

    print(weights.fetch())
    return 0
