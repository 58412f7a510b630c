"""The command line of `dippas web`."""

import argparse

from dippas_jax.cli import arguments

SUMMARY = "open a page on this machine to drop photos on"
DESCRIPTION = (
    "Serve a page on this machine alone, where photos can be dropped, treated as `dippas "
    "anonymize` does, compared and downloaded. It prints a link that works once, in one browser, "
    "and opens it. Nothing is sent anywhere, and nothing is kept: files lie in a private temporary "
    "folder that is removed at the end. Needs pip install 'dippas-jax[web]'."
)
EPILOG = ""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `dippas web`."""
    parser.add_argument(
        "--port",
        type=arguments.port,
        default=0,
        metavar="N",
        help="port of 127.0.0.1 (default: a free one)",
    )
    parser.add_argument(
        "--no-browser", action="store_true", help="print the link, and open no browser"
    )


def run(options: argparse.Namespace) -> int:
    """Run `dippas web` and return its exit code."""
    from dippas_jax.cli import web

    return web.web(port=options.port, browser=not options.no_browser)
