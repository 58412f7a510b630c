"""The command line of `dippas fingerprint build`, `show` and `convert`."""

import argparse

from dippas_jax.cli import arguments

SUMMARY = "build, show or convert a camera's fingerprint"
DESCRIPTION = "Build, show or convert a camera's fingerprint."
EPILOG = ""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `dippas fingerprint`."""
    parsers = parser.add_subparsers(metavar="VERB", required=True, dest="what")
    _add_build(parsers)
    _add_show(parsers)
    _add_convert(parsers)


def run(options: argparse.Namespace) -> int:
    """Run `dippas fingerprint` and return its exit code."""
    from dippas_jax.cli import fingerprint

    if options.what == "build":
        return fingerprint.build(
            options.photos,
            options.output,
            crop=options.crop,
            sigma=options.sigma,
            any_orientation=options.any_orientation,
            overwrite=options.overwrite,
            json=options.json,
        )
    if options.what == "show":
        return fingerprint.show(
            options.fingerprint,
            picture=options.output,
            overwrite=options.overwrite,
            json=options.json,
        )
    return fingerprint.convert(
        options.source, options.target, overwrite=options.overwrite, json=options.json
    )


def _add_build(parsers: argparse._SubParsersAction) -> None:
    parser = arguments.add_parser(
        parsers,
        "build",
        "estimate a fingerprint from photos of an even wall",
        "Estimate a camera's fingerprint from flat-field photos: 20 or more of an even, bright "
        "wall or sky, out of focus, not overexposed, straight from the camera. Photos are read one "
        "at a time. The output tells the number of photos, their flatness (how unevenly they are "
        "lit, 0 is best), the share of saturated pixels, and the reliability: the correlation "
        "between the fingerprints of two halves of the photos.",
    )
    arguments.add_photos(parser)
    arguments.add_output(
        parser, "fingerprint file to write: .npz, .npy, .mat or .h5", required=True
    )
    parser.add_argument(
        "--crop", type=arguments.pixels, default=0, metavar="N", help="only the centre NxN pixels"
    )
    parser.add_argument(
        "--sigma",
        type=arguments.positive,
        default=3.0,
        metavar="S",
        help="standard deviation of the noise to extract, in grey levels (default 3)",
    )
    parser.add_argument(
        "--any-orientation",
        action="store_true",
        help="accept photos of different EXIF orientation: all pixels are as the sensor gave them",
    )
    arguments.add_json(parser)


def _add_show(parsers: argparse._SubParsersAction) -> None:
    parser = arguments.add_parser(
        parsers,
        "show",
        "print what a fingerprint file says, and draw it",
        "Print what a fingerprint file says. With -o, also draw the centre of the plane, the "
        "histogram of its values and its spectrum; a good fingerprint looks like even noise.",
    )
    parser.add_argument("fingerprint", type=arguments.path, metavar="FILE", help="fingerprint file")
    arguments.add_output(parser, "picture to write: .png")
    arguments.add_json(parser)


def _add_convert(parsers: argparse._SubParsersAction) -> None:
    parser = arguments.add_parser(
        parsers,
        "convert",
        "write a fingerprint in another format",
        "Write a fingerprint in another format and print its unit: .npz, .mat (MATLAB 5), .h5 "
        "(HDF5, needs h5py), or .npy, which holds the plane alone. MATLAB 7.3 files can be read "
        "as well.",
    )
    parser.add_argument("source", type=arguments.path, metavar="IN", help="fingerprint file")
    parser.add_argument(
        "target",
        type=arguments.path,
        metavar="OUT",
        help="file to write; its extension is the format",
    )
    parser.add_argument("--overwrite", action="store_true", help="replace OUT if it exists")
    arguments.add_json(parser)
