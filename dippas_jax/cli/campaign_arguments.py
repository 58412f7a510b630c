"""The command line of `dippas campaign`."""

import argparse
import os
from collections.abc import Mapping

from dippas_jax.cli import anonymize_arguments, arguments

SUMMARY = "anonymise the photos of a manifest on many devices and machines"
DESCRIPTION = (
    "Anonymise the photos that a manifest names, on all devices of this machine or of a cluster. "
    "Each photo is done once, whichever worker dies: the same command, here or on another machine, "
    "goes on where it stopped. Photos that cannot be used are put aside with the reason. Outputs "
    "are named by what they were made of."
)
EPILOG = """
manifest:
  a text with a photo a line, a .csv or .tsv with the columns photo, fingerprint and
  sha256, or .jsonl with these names; paths count from the manifest's folder, and may
  be URLs (s3://, gs://). docs/cluster.md has examples for Ray, SLURM and Kubernetes.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `dippas campaign`."""
    parser.add_argument("manifest", metavar="MANIFEST", help="file that names the photos")
    parser.add_argument(
        "-o", "--output", required=True, metavar="DIR", help="folder or URL that all workers share"
    )
    parser.add_argument(
        "--fingerprint",
        metavar="FILE",
        action=arguments.Once,
        help="of the camera of all photos for which the manifest names none",
    )
    anonymize_arguments.add_method(parser)
    anonymize_arguments.add_format(parser)
    arguments.add_seed(parser)
    _add_workers(parser)
    doing = parser.add_mutually_exclusive_group()
    doing.add_argument(
        "-n", "--dry-run", action="store_true", help="say what there is to do, and write nothing"
    )
    doing.add_argument(
        "--summary", action="store_true", help="say how far it is, from anywhere, at any time"
    )
    arguments.add_json(parser)


def _add_workers(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--workers",
        type=count,
        default=1,
        metavar="N",
        help="on each device (default 1); all cores of a CPU are one device",
    )
    parser.add_argument("--device", choices=("auto", "cpu", "gpu"), default="auto")
    parser.add_argument(
        "--cluster",
        metavar="ADDRESS",
        help="use the devices of a Ray cluster: its address, auto, or local for one of this "
        "machine (needs the extra cluster)",
    )
    parser.add_argument(
        "--shard",
        type=shard,
        metavar="K/N",
        help="only every N-th photo from number K on, K from 0 to N-1; auto or auto/N takes K from "
        "the environment of a SLURM array or an indexed job of Kubernetes",
    )
    parser.add_argument(
        "--attempts",
        type=count,
        default=3,
        metavar="N",
        help="tries of a photo that may fail before it is put aside (default 3)",
    )
    parser.add_argument(
        "--lease",
        type=arguments.positive,
        default=120.0,
        metavar="SECONDS",
        help="without a sign of life after which a worker of another machine counts as dead "
        "(default 120)",
    )
    parser.add_argument(
        "--retry", action="store_true", help="try again photos that were put aside before"
    )


def run(options: argparse.Namespace) -> int:
    """Run `dippas campaign` and return its exit code."""
    from dippas_jax.cli import campaign, outputs

    given = vars(options) | {"kind": options.format, "fingerprint": None, "output": None}
    chosen = {name: given[name] for name in outputs.Options._fields if name in given}
    how = campaign.How(**{name: given[name] for name in campaign.How._fields})
    return campaign.campaign(
        options.manifest,
        options.output,
        outputs.Options(**chosen),
        how,
        fingerprint=options.fingerprint or "",
        dry_run=options.dry_run,
        summary_only=options.summary,
        json=options.json,
    )


def count(text: str) -> int:
    """1 or more."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of 1 or more")
    return int(text)


def shard(text: str, environment: Mapping[str, str] | None = None) -> tuple[int, int]:
    """Which of how many, from 0 on: "K/N", or "auto" where the environment says it."""
    environment = os.environ if environment is None else environment
    first, _, of = text.partition("/")
    if first == "auto":
        number, known = _from(environment, of)
        first, of = str(number), of or str(known)
    if not (first.isdecimal() and of.isdecimal() and int(first) < int(of)):
        raise argparse.ArgumentTypeError(
            f"{text!r} is not K/N with K from 0 to N-1, nor auto or auto/N in a job that is told "
            "its number"
        )
    return int(first), int(of)


def _from(environment: Mapping[str, str], of: str) -> tuple[int | str, int | str]:
    """The number of this job and how many there are, each "" where it is not known.

    `of`: How many there are, if that is told. An array of fewer tasks is some of one that was
    numbered from 0, submitted again.
    """
    if "JOB_COMPLETION_INDEX" in environment:
        return environment["JOB_COMPLETION_INDEX"], ""
    try:
        task, least, count, step = (
            int(environment[f"SLURM_ARRAY_TASK_{name}"]) for name in ("ID", "MIN", "COUNT", "STEP")
        )
    except (KeyError, ValueError):
        return "", ""
    some = of.isdecimal() and int(of) != count
    return (task if some else (task - least) // step), count
