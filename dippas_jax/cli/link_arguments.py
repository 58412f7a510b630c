"""The command line of `dippas link`."""

import argparse

from dippas_jax.cli import arguments

SUMMARY = "did one camera take these photos? (no fingerprint needed)"
DESCRIPTION = (
    "Compare the noise of every pair of photos. This needs no fingerprint, but the scores are far "
    "lower than with one. Photos of the same scene correlate for that reason alone. The exit code "
    "is 3 if a match was found."
)
EPILOG = arguments.SCORES.format(scores="scores", other="the other's")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `dippas link`."""
    arguments.add_photos(parser)
    arguments.add_extent(parser)
    arguments.add_threshold(parser)
    arguments.add_json(parser)


def run(options: argparse.Namespace) -> int:
    """Run `dippas link` and return its exit code."""
    from dippas_jax.cli import link

    return link.link(
        options.photos,
        side=arguments.side(options),
        threshold=options.threshold,
        json=options.json,
    )
