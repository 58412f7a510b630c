"""The command line of `dippas doctor`."""

import argparse

from dippas_jax.cli import arguments

SUMMARY = "check the installation"
DESCRIPTION = (
    "Print versions, devices, memory, cache and extras, and anonymise a small simulated photo."
)
EPILOG = ""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `dippas doctor`."""
    arguments.add_json(parser)


def run(options: argparse.Namespace) -> int:
    """Run `dippas doctor` and return its exit code."""
    from dippas_jax.cli import doctor

    return doctor.doctor(json=options.json)
