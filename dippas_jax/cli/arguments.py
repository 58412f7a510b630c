"""What the command lines of several verbs share: parsers, arguments and types of their values.

Nothing heavy is imported here, nor in the `*_arguments` modules: `main` says why.
"""

import argparse
import difflib
import os
import sys
from collections.abc import Sequence
from typing import Any, NoReturn

SCORES = """
{scores}:
  NCC      correlation of the photo's noise with {other}, -1 to 1
  z        NCC in standard deviations of what another camera gives, if the noise is white
  PCE      height of the correlation's peak over the noise around it, about z squared
  p-value  probability that another camera scores this high by chance: P(N > z/spread);
           spread, in the JSON, is the real standard deviation of z: 1, or more after JPEG
  match    marks p-values below the threshold, of z or of -z (too much was taken out), unless
           what agrees is drawn: a date, a frame, a watermark, the corners of a turned picture
"""
"""Explains the scores of photos, as the end of a help text."""


_SEEDS = 2**32
_MAY_BE_EMPTY = ("suffix", "photos")  # a photo without a name is refused by the verb


class Help(argparse.HelpFormatter):
    """Fills descriptions, and leaves a table of several lines as it is."""

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        return text if "\n" in text else super()._fill_text(text, width, indent)


class Parser(argparse.ArgumentParser):
    """Tells a usage error in one sentence on stderr, and exits with 2."""

    _given: Sequence[str] = ()

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """As the original, which may call `error` before it looks for what is not known."""
        self._given = sys.argv[1:] if args is None else args
        return super().parse_known_args(args, namespace)

    def parse_args(  # type: ignore[override]
        self, args: Sequence[str] | None = None, namespace: Any = None
    ) -> Any:
        """What was given; of what is not known the verb's own parser tells."""
        found, unknown = self.parse_known_args(args, namespace)
        verb: Parser = getattr(found, "parser", self)
        for action in verb._actions:
            value = getattr(found, action.dest, None)
            empty = value == "" or (isinstance(value, list) and "" in value)
            if empty and action.dest not in _MAY_BE_EMPTY:
                name = action.option_strings[-1] if action.option_strings else action.metavar
                self.error(f"{name} has no value; check the command line")
        if unknown:
            verb.error(verb._unknown(unknown))
        return found

    def _unknown(self, words: Sequence[str]) -> str:
        like = difflib.get_close_matches(words[0], self._option_string_actions, n=1)
        meant = f", did you mean {like[0]}?" if like else ""
        return f"unrecognized arguments: {' '.join(words)}{meant}"

    def _print_message(self, message: str, file: Any = None) -> None:
        """As the original, which passes over what cannot be written; of stdout that is an error."""
        if file is sys.stdout and file is not None:
            print(message, end="", file=file, flush=True)
        else:
            super()._print_message(message, file)

    def error(self, message: str) -> NoReturn:
        """Ends the program; a mistyped option may be why another one is missing."""
        known = tuple(self._option_string_actions)
        odd = [
            word
            for word in self._given
            if word.startswith("--")
            and not any(one.startswith(word.split("=")[0]) for one in known)
        ]
        if odd and message.startswith("the following arguments are required"):
            message = self._unknown(odd)
        self.exit(2, f"dippas: {message}; see {self.prog} --help\n")


def add_parser(
    parsers: argparse._SubParsersAction,
    name: str,
    summary: str,
    description: str,
    epilog: str = "",
) -> argparse.ArgumentParser:
    """The parser of a verb, still without arguments."""
    made = parsers.add_parser(
        name, help=summary, description=description, epilog=epilog, formatter_class=Help
    )
    made.set_defaults(parser=made)
    return made


# --------------------------------------------------------------------------------------- arguments


def add_json(parser: argparse.ArgumentParser) -> None:
    """--json."""
    parser.add_argument("--json", action="store_true", help="print JSON, one object per line")


def add_seed(parser: argparse.ArgumentParser) -> None:
    """--seed."""
    parser.add_argument(
        "--seed", type=seed, default=0, metavar="N", help="same seed, same bytes (default 0)"
    )


def add_photos(parser: argparse.ArgumentParser) -> None:
    """PHOTO, one or more."""
    parser.add_argument(
        "photos",
        type=path,
        nargs="+",
        metavar="PHOTO",
        help='photos, folders of photos, or patterns such as "*.jpg"',
    )


def add_output(parser: argparse.ArgumentParser, text: str, *, required: bool = False) -> None:
    """-o and --overwrite, of a single file."""
    parser.add_argument(
        "-o", "--output", required=required, type=path, metavar="FILE", action=Once, help=text
    )
    parser.add_argument("--overwrite", action="store_true", help="replace FILE if it exists")


def add_extent(parser: argparse.ArgumentParser) -> None:
    """--crop and --full, of which `side` tells what was chosen."""
    group = parser.add_mutually_exclusive_group()
    group.add_argument(
        "--crop",
        type=pixels,
        default=1024,
        metavar="N",
        help="compare the centre, at most NxN pixels (default 1024); more pixels tell more",
    )
    group.add_argument("--full", action="store_true", help="compare all pixels; takes longer")


def side(options: argparse.Namespace) -> int | None:
    """Most pixels a side to compare; None for all."""
    return None if options.full else options.crop


def add_threshold(parser: argparse.ArgumentParser) -> None:
    """--threshold, a p-value."""
    parser.add_argument(
        "--threshold",
        type=probability,
        default=1e-6,
        metavar="P",
        help="call a p-value below P a match (default 1e-6)",
    )


# ------------------------------------------------------------------------------------------- types


class Once(argparse.Action):
    """An option of one value, which is refused where it is given twice."""

    def __call__(self, parser: Any, namespace: Any, values: Any, option: Any = None) -> None:
        """Takes the value."""
        if getattr(namespace, self.dest) is not None:
            parser.error(f"{option} is given twice, and takes one value")
        setattr(namespace, self.dest, values)


def path(text: str) -> str:
    """A file or folder; a shell leaves the ~ of `--output=~/x` and of what is quoted as it is."""
    return os.path.expanduser(text)


def seed(text: str) -> int:
    """A whole number that makes a random key."""
    value = int(text)
    if not 0 <= value < _SEEDS:
        raise argparse.ArgumentTypeError(f"{value} is no seed, 0 to {_SEEDS - 1}")
    return value


def pixels(text: str) -> int:
    """A side of at least 64 pixels."""
    if not text.isdecimal() or int(text) < 64:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of pixels, 64 or more")
    return int(text)


def positive(text: str) -> float:
    """A finite number above 0."""
    value = _number(text)
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r} is not a positive number")
    return value


def decibels(text: str) -> float:
    """A PSNR."""
    value = _number(text)
    if not 20 <= value <= 60:
        raise argparse.ArgumentTypeError(f"{text!r} is not a PSNR from 20 to 60 dB")
    return value


def displacement(text: str) -> float:
    """Pixels, above 0, at most `config.FARTHEST`."""
    value = _number(text)
    if not 0 < value <= 4:
        raise argparse.ArgumentTypeError(f"{text!r} is not above 0 and at most 4 pixels")
    return value


def part_of_a_name(text: str) -> str:
    """What a file's name may end in."""
    if "/" in text or os.sep in text:
        raise argparse.ArgumentTypeError(f"{text!r} holds a {os.sep}, which no file's name may")
    return text


def quality(text: str) -> int | None:
    """A JPEG's, 1 to 100; None for "same"."""
    if text == "same":
        return None
    if not text.isdecimal() or not 1 <= int(text) <= 100:
        raise argparse.ArgumentTypeError(f"{text!r} is neither same nor a number from 1 to 100")
    return int(text)


def port(text: str) -> int:
    """A TCP port that users may have."""
    if not text.isdecimal() or not 1024 <= int(text) <= 65535:
        raise argparse.ArgumentTypeError(f"{text!r} is not a port, 1024 to 65535")
    return int(text)


def probability(text: str) -> float:
    """Above 0, at most 1."""
    value = _number(text)
    if not 0 < value <= 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a probability, such as 1e-6")
    return value


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return float("nan")
