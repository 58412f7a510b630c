"""The command `dippas`: verbs for people, thin; what they do is in `verbs`.

Data go to stdout and all else to stderr. Exit codes: 0 done, 1 some file failed and the others are
done, 2 the command line or all that was given cannot be used, 3 a match was found, 130 interrupted.
The numerical libraries take a second to import, so only a verb that is run imports them.
"""

import argparse
import io
import os
import sys
from collections.abc import Sequence

_CODES = """
exit codes:
  0  done
  1  some file could not be used; the others are done (each is named on stderr)
  2  the command line, or everything that was given, cannot be used
  3  a match was found (identify, verify, link)
"""

_DESCRIPTION = """\
Reduce, or look for, the fingerprint that a camera's sensor leaves in its photos.

A sensor's pixels differ a little in sensitivity. That pattern, the fingerprint K
(PRNU), is in every photo the camera takes. Build K from photos of an even wall,
take it out of a photo, and look for it in others:

  dippas fingerprint build wall/ -o camera.npz
  dippas anonymize holiday.jpg --fingerprint camera.npz --report holiday.html
  dippas identify holiday.jpg holiday.anon.jpg --fingerprints camera.npz
"""

_SCORES = """
{scores}:
  NCC      correlation of the photo's noise with {other}, -1 to 1
  z        NCC in standard deviations of what another camera would give, were noise white
  PCE      height of the correlation's peak over the noise around it, about z squared
  p-value  probability that another camera gives as much by chance: P(N > z/spread),
           where spread, in the JSON, is how far z really scatters (1, more after JPEG)
  match    stands behind every p-value below the threshold
"""


# ------------------------------------------------------------------------------------------- verbs


def _add_fingerprint(parsers: argparse._SubParsersAction) -> None:
    text = "build, show or convert a camera's fingerprint"
    parser = parsers.add_parser("fingerprint", help=text, description=f"{text.capitalize()}.")
    inner = parser.add_subparsers(metavar="VERB", required=True, dest="what")
    _add_build(inner)
    _add_show(inner)
    _add_convert(inner)


def _add_build(parsers: argparse._SubParsersAction) -> None:
    parser = _add(
        parsers,
        "build",
        _build,
        "estimate a fingerprint from photos of an even wall",
        "Estimate a camera's fingerprint from flat-field photos: 20 or more of an even, bright "
        "wall or sky, out of focus, not overexposed, straight from the camera. Photos are read one "
        "at a time. Reported are the number of photos, flatness (how unevenly they are lit, 0 is "
        "best), the share of saturated pixels, and the reliability: the correlation between the "
        "fingerprints of two halves of the photos.",
    )
    _add_photos(parser)
    _add_output(parser, "fingerprint file to write: .npz, .npy, .mat or .h5", required=True)
    parser.add_argument(
        "--crop", type=_side, default=0, metavar="N", help="only the centre NxN pixels"
    )
    parser.add_argument(
        "--sigma",
        type=_positive,
        default=3.0,
        metavar="S",
        help="standard deviation of the noise looked for, grey levels (default 3)",
    )
    parser.add_argument(
        "--any-orientation",
        action="store_true",
        help="accept photos of different EXIF orientation: all pixels are as the sensor gave them",
    )


def _build(options: argparse.Namespace) -> int:
    from dippas_jax.cli import fingerprint

    return fingerprint.build(
        options.photos,
        options.output,
        crop=options.crop,
        sigma=options.sigma,
        any_orientation=options.any_orientation,
        overwrite=options.overwrite,
        json=options.json,
    )


def _add_show(parsers: argparse._SubParsersAction) -> None:
    parser = _add(
        parsers,
        "show",
        _show,
        "print what a fingerprint file says, and draw it",
        "Print what a fingerprint file says. With -o also draw the centre of the plane, the "
        "histogram of its values and its spectrum; a good fingerprint looks like even noise.",
    )
    parser.add_argument("fingerprint", metavar="FILE", help="fingerprint file")
    _add_output(parser, "picture to write: .png")


def _show(options: argparse.Namespace) -> int:
    from dippas_jax.cli import fingerprint

    return fingerprint.show(
        options.fingerprint,
        picture=options.output,
        overwrite=options.overwrite,
        json=options.json,
    )


def _add_convert(parsers: argparse._SubParsersAction) -> None:
    parser = _add(
        parsers,
        "convert",
        _convert,
        "write a fingerprint in another format",
        "Write a fingerprint in another format and print its unit: .npz, .mat (MATLAB 5), .h5 "
        "(HDF5, needs h5py), and .npy, which holds the plane alone. MATLAB 7.3 files are read "
        "as well.",
    )
    parser.add_argument("source", metavar="IN", help="fingerprint file")
    parser.add_argument("target", metavar="OUT", help="file to write; its extension is the format")
    parser.add_argument("--overwrite", action="store_true", help="replace OUT if it exists")


def _convert(options: argparse.Namespace) -> int:
    from dippas_jax.cli import fingerprint

    return fingerprint.convert(
        options.source, options.target, overwrite=options.overwrite, json=options.json
    )


def _add_identify(parsers: argparse._SubParsersAction) -> None:
    parser = _add(
        parsers,
        "identify",
        _identify,
        "which of these cameras took these photos?",
        "Look for cameras' fingerprints in photos. Photos must be as the camera wrote them, "
        "neither resized nor turned; crops are found with --shifts. Exit code 3 if a "
        "match was found.",
        _SCORES.format(scores="scores, best camera first", other="photo times fingerprint"),
    )
    _add_photos(parser)
    parser.add_argument(
        "--fingerprints",
        nargs="+",
        required=True,
        metavar="FILE",
        help="fingerprint files, one a camera",
    )
    _add_extent(parser)
    parser.add_argument(
        "--shifts",
        action="store_true",
        help="the photos may be crops from anywhere: try every position (the p-value counts them)",
    )
    _add_threshold(parser)


def _identify(options: argparse.Namespace) -> int:
    from dippas_jax.cli import identify

    return identify.identify(
        options.photos,
        options.fingerprints,
        side=None if options.full else options.crop,
        shifts=options.shifts,
        threshold=options.threshold,
        json=options.json,
    )


def _add_verify(parsers: argparse._SubParsersAction) -> None:
    parser = _add(
        parsers,
        "verify",
        _verify,
        "is the camera still found in an anonymised photo?",
        "Run every attacker that these files allow on a photo and on its anonymised versions. Give "
        "a second fingerprint of the same camera, built from other photos, for the stronger test. "
        "Exit code 3 if any attacker still finds the camera.",
        """
before, after:
  z, about normal with mean 0 and deviation 1 for another camera; an attacker
  finds the camera from 3 on. For "shifts" it is the root of the largest PCE,
  and 7.7 (PCE 60) finds.
""",
    )
    parser.add_argument("original", metavar="ORIGINAL", help="the photo as it came")
    parser.add_argument(
        "anonymised", nargs="+", metavar="ANONYMISED", help="versions of it, of the same size"
    )
    parser.add_argument(
        "--fingerprint",
        action="append",
        required=True,
        metavar="FILE",
        help="of the photo's camera; may be given several times",
    )
    _add_extent(parser)


def _verify(options: argparse.Namespace) -> int:
    from dippas_jax.cli import verify

    return verify.verify(
        options.original,
        options.anonymised,
        options.fingerprint,
        side=None if options.full else options.crop,
        json=options.json,
    )


def _add_anonymize(parsers: argparse._SubParsersAction) -> None:
    parser = _add(
        parsers,
        "anonymize",
        _anonymize,
        "write photos with their camera's fingerprint reduced",
        "Write photos with their camera's fingerprint reduced, beside the originals, which are "
        "never touched. Without a fingerprint (blind) every camera's noise is reduced; with it, "
        "what is left is measured and taken out as well. Outputs that exist are skipped, so an "
        "interrupted batch goes on when the same command is given again. That a photo was treated "
        "can be told, and nobody can promise that it cannot be traced: --report says what was "
        "tested.",
        """
fingerprints belong to the sensor: give photos as the camera wrote them, neither
resized nor turned. A crop goes with a fingerprint that was built with the same --crop.
""",
    )
    _add_photos(parser)
    parser.add_argument("-o", "--output", metavar="PATH", help="file or folder to write to")
    parser.add_argument("-r", "--recursive", action="store_true", help="folders with all below")
    known = parser.add_mutually_exclusive_group()
    known.add_argument("--fingerprint", metavar="FILE", help="of the camera that took the photos")
    known.add_argument(
        "--blind", action="store_true", help="without a fingerprint (the default where none is)"
    )
    parser.add_argument(
        "--check",
        action="append",
        default=[],
        metavar="FILE",
        help="a fingerprint that is only looked for afterwards; may be given several times",
    )
    how = parser.add_mutually_exclusive_group()
    how.add_argument(
        "--strength",
        choices=("fast", "balanced", "strong"),
        default="balanced",
        help="fast, balanced: 41 dB; strong: 39 dB; less for noisy photos, more for calm ones",
    )
    how.add_argument("--target-psnr", type=_decibels, metavar="DB", help="exactly so much")
    parser.add_argument(
        "--max-minutes", type=_positive, default=0.0, metavar="M", help="for a photo, at most"
    )
    parser.add_argument(
        "--format",
        choices=("same", "png", "jpeg", "tiff", "webp", "heic"),
        default="same",
        help="of the output (default same)",
    )
    parser.add_argument(
        "--jpeg-quality",
        type=_quality,
        metavar="same|N",
        help="same: the original's tables (default), or 1 to 100",
    )
    parser.add_argument(
        "--metadata",
        choices=("strip", "safe", "keep"),
        default="strip",
        help="strip: none (default); safe: how it was exposed; keep: EXIF but for the thumbnail",
    )
    parser.add_argument(
        "--icc",
        choices=("keep", "srgb", "drop"),
        default="keep",
        help="colour profile: keep (default), convert the colours to sRGB, or drop",
    )
    parser.add_argument(
        "--orientation",
        choices=("upright", "tag"),
        default="upright",
        help="turn the pixels (default), or leave them as the sensor has them, with the tag",
    )
    parser.add_argument("--suffix", default=".anon", help="of output names (default .anon)")
    parser.add_argument("--random-name", action="store_true", help="names that say nothing")
    again = parser.add_mutually_exclusive_group()
    again.add_argument("--overwrite", action="store_true", help="replace outputs that exist")
    again.add_argument(
        "--resume", action="store_true", help="skip outputs that exist, go on (the default)"
    )
    parser.add_argument(
        "-n", "--dry-run", action="store_true", help="only say what, how long and how much memory"
    )
    parser.add_argument(
        "--report", metavar="HTML", help="write a page that shows and says what was done and found"
    )
    parser.add_argument("--seed", type=int, default=0, help="same seed, same bytes (default 0)")
    parser.add_argument("--device", choices=("auto", "cpu", "gpu"), default="auto")


def _anonymize(options: argparse.Namespace) -> int:
    from dippas_jax.cli import anonymize, outputs

    given = vars(options) | {"kind": options.format}
    known = {name: given[name] for name in outputs.Options._fields}
    return anonymize.anonymize(
        options.photos, outputs.Options(**known), dry_run=options.dry_run, json=options.json
    )


def _add_doctor(parsers: argparse._SubParsersAction) -> None:
    _add(
        parsers,
        "doctor",
        _doctor,
        "what this installation has, and whether it works",
        "Print versions, devices, memory, cache and extras, and anonymise a small simulated photo.",
    )


def _doctor(options: argparse.Namespace) -> int:
    from dippas_jax.cli import doctor

    return doctor.doctor(json=options.json)


def _add_link(parsers: argparse._SubParsersAction) -> None:
    parser = _add(
        parsers,
        "link",
        _link,
        "did one camera take these photos? (no fingerprint needed)",
        "Compare every pair of photos, noise with noise: no fingerprint is needed, but the scores "
        "are far lower than with one. Photos of the same scene correlate for that reason alone. "
        "Exit code 3 if a match was found.",
        _SCORES.format(scores="scores", other="the other's"),
    )
    _add_photos(parser)
    _add_extent(parser)
    _add_threshold(parser)


def _link(options: argparse.Namespace) -> int:
    from dippas_jax.cli import link

    return link.link(
        options.photos,
        side=None if options.full else options.crop,
        threshold=options.threshold,
        json=options.json,
    )


def _add_fetch(parsers: argparse._SubParsersAction) -> None:
    parser = parsers.add_parser(
        "fetch",
        help="download what does not come with the package",
        description="Download what does not come with the package into the cache, and print where "
        "it is. learned: weights of the learned extractor.",
    )
    parser.add_argument("what", choices=["learned"], metavar="learned", help="what to download")
    parser.set_defaults(run=_fetch)


def _fetch(options: argparse.Namespace) -> int:
    from dippas_jax.io import weights

    print(weights.fetch())
    return 0


# ----------------------------------------------------------------------------------------- options


def _add(
    parsers: argparse._SubParsersAction, name: str, run, summary: str, text: str, epilog: str = ""
) -> argparse.ArgumentParser:
    parser = parsers.add_parser(
        name,
        help=summary,
        description=text,
        epilog=epilog,
        formatter_class=_Help if epilog else argparse.HelpFormatter,
    )
    parser.add_argument("--json", action="store_true", help="print JSON, one object a line")
    parser.set_defaults(run=run)
    return parser


def _add_photos(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "photos",
        nargs="+",
        metavar="PHOTO",
        help='photos, folders of photos, or patterns such as "*.jpg"',
    )


def _add_output(parser: argparse.ArgumentParser, text: str, *, required: bool = False) -> None:
    parser.add_argument("-o", "--output", required=required, metavar="FILE", help=text)
    parser.add_argument("--overwrite", action="store_true", help="replace FILE if it exists")


def _add_extent(parser: argparse.ArgumentParser) -> None:
    group = parser.add_mutually_exclusive_group()
    group.add_argument(
        "--crop",
        type=_side,
        default=1024,
        metavar="N",
        help="compare the centre, at most NxN pixels (default 1024); more pixels tell more",
    )
    group.add_argument("--full", action="store_true", help="compare all pixels; takes longer")


def _add_threshold(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--threshold",
        type=_probability,
        default=1e-6,
        metavar="P",
        help="p-value below which it is called a match (default 1e-6)",
    )


class _Help(argparse.HelpFormatter):
    """Descriptions are filled; a table of several lines is left as it is."""

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        return text if "\n" in text else super()._fill_text(text, width, indent)


class _Parser(argparse.ArgumentParser):
    """A usage error is one sentence on stderr, and exit code 2."""

    def error(self, message: str):
        self.exit(2, f"dippas: {message}; see {self.prog} --help\n")


def _side(text: str) -> int:
    if not text.isdecimal() or int(text) < 64:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of pixels of 64 or more")
    return int(text)


def _positive(text: str) -> float:
    value = _number(text)
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r} is no positive number")
    return value


def _decibels(text: str) -> float:
    value = _number(text)
    if not 20 <= value <= 60:
        raise argparse.ArgumentTypeError(f"{text!r} is no PSNR from 20 to 60 dB")
    return value


def _quality(text: str) -> int | None:
    if text == "same":
        return None
    if not text.isdecimal() or not 1 <= int(text) <= 100:
        raise argparse.ArgumentTypeError(f"{text!r} is neither same nor a number from 1 to 100")
    return int(text)


def _probability(text: str) -> float:
    value = _number(text)
    if not 0 < value <= 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no probability, such as 1e-6")
    return value


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return float("nan")


# -------------------------------------------------------------------------------------------- main


def parser() -> argparse.ArgumentParser:
    """The command line: each verb adds its own parser, whose `run` does the work."""
    top = _Parser(prog="dippas", description=_DESCRIPTION, epilog=_CODES, formatter_class=_Help)
    parsers = top.add_subparsers(metavar="VERB", required=True, dest="verb")
    for add in (
        _add_anonymize,
        _add_fingerprint,
        _add_identify,
        _add_verify,
        _add_link,
        _add_fetch,
        _add_doctor,
    ):
        add(parsers)
    return top


def main(arguments: Sequence[str] | None = None) -> int:
    """The program; returns its exit code."""
    try:
        options = parser().parse_args(arguments)
    except SystemExit as end:  # help, or a usage error that was told
        return int(end.code or 0)
    from dippas_jax.io import files
    from dippas_jax.types import InputError

    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a file name may hold what it cannot encode
            stream.reconfigure(errors="backslashreplace")
    try:
        files.cache_compilations()
        code = options.run(options)
        sys.stdout.flush()
        return code
    except InputError as error:
        print(f"dippas: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("dippas: interrupted", file=sys.stderr)
        return 130
    except OSError as error:  # of stdout: other files give InputError
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # flushed at the end
        if isinstance(error, BrokenPipeError):
            return 141  # whoever read our lines has seen enough
        print(f"dippas: output cannot be written ({error.strerror}); make room", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
