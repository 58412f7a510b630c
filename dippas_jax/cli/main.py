"""The command `dippas`: reads the command line, runs the verb, and tells errors.

Data go to stdout and all else to stderr. Exit codes: 0 done, 1 some file failed and the others are
done, 2 the command line or all that was given cannot be used, 3 a match was found, 4 an anonymised
photo can probably still be traced or was there already and is not known, 130 interrupted.

A verb is two modules: VERB_arguments holds its command line, VERB its work. The work imports jax,
which takes seconds, so only `run` imports it. The command lines import nothing heavy, so all are
imported here, and help and usage errors come at once.
"""

import argparse
import contextlib
import importlib
import io
import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Iterator, Sequence
from typing import NoReturn

import dippas_jax
from dippas_jax.cli import (
    anonymize_arguments,
    arguments,
    campaign_arguments,
    doctor_arguments,
    fetch,
    fingerprint_arguments,
    identify_arguments,
    link_arguments,
    verify_arguments,
    web_arguments,
)

VERBS = {
    "anonymize": anonymize_arguments,
    "web": web_arguments,
    "campaign": campaign_arguments,
    "fingerprint": fingerprint_arguments,
    "identify": identify_arguments,
    "verify": verify_arguments,
    "link": link_arguments,
    "fetch": fetch,
    "doctor": doctor_arguments,
}
"""In the order of the help; each has SUMMARY, DESCRIPTION, EPILOG, `add_arguments` and `run`."""

_READERS = ("anonymize", "web", "fingerprint", "identify", "verify", "link", "doctor")
"""Verbs that read photos."""

_INTERRUPTED, _FAULT = 130, 70

_DESCRIPTION = """\
Reduce, or look for, the fingerprint that a camera's sensor leaves in its photos.

A sensor's pixels differ a little in sensitivity. That pattern, the fingerprint K
(PRNU), is in every photo the camera takes. Build K from photos of an even wall,
reduce it in a photo, and look for it in others:

  dippas fingerprint build wall/ -o camera.npz
  dippas anonymize holiday.jpg --fingerprint camera.npz --report holiday.html
  dippas identify holiday.jpg holiday.anon.jpg --fingerprints camera.npz

`dippas anonymize -n` is a dry run with a time estimate; `dippas doctor` checks the
installation.
"""

_CODES = """
exit codes:
  0  done
  1  some files cannot be used, the others are done (stderr names each)
  2  the command line is wrong, or nothing that was given can be used
  3  a match was found (identify, verify, link)
  4  done, but the camera of a photo can probably still be found, or the photo was
     there already and was not judged again (anonymize, campaign)
  70 the program itself failed; please report what it says
"""


def parser() -> argparse.ArgumentParser:
    """The command line; `run` of what it gives does the verb's work."""
    top = arguments.Parser(
        prog="dippas", description=_DESCRIPTION, epilog=_CODES, formatter_class=arguments.Help
    )
    top.add_argument("--version", action="version", version=f"dippas {dippas_jax.__version__}")
    parsers = top.add_subparsers(metavar="VERB", required=True, dest="verb")
    for name, verb in VERBS.items():
        inner = arguments.add_parser(parsers, name, verb.SUMMARY, verb.DESCRIPTION, verb.EPILOG)
        verb.add_arguments(inner)
        inner.set_defaults(run=verb.run)
    return top


def main(argv: Sequence[str] | None = None) -> int:
    """The program; returns its exit code."""
    _open_streams()
    try:
        with _interrupted_at_once():
            options = parser().parse_args(argv)
    except SystemExit as end:  # help, the version, or a usage error that was told
        return int(end.code or 0)
    except OSError as error:
        return _unwritten(error)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a file name may hold what it cannot encode
            stream.reconfigure(errors="backslashreplace")
    return _run(options.run, options)


def program() -> NoReturn:
    """The program by itself, which ends with `main`'s exit code.

    One that was interrupted ends at once: XLA's threads may be at work, and crash what cleans up.
    """
    code = main()
    if code == _INTERRUPTED:
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(OSError, ValueError):
                stream.flush()
        os._exit(code)
    sys.exit(code)


def _open_streams() -> None:
    """Opens what the caller has closed of stdin, stdout and stderr: to nothing.

    A photo that is opened later would take their place, and get what is meant for them.
    """
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        if getattr(sys, name) is None:
            opened = os.open(os.devnull, os.O_RDWR)
            if opened != number:
                os.dup2(opened, number)
                os.close(opened)
            mode = "w" if number else "r"
            setattr(sys, name, os.fdopen(number, mode, closefd=False))


def _run(run: Callable[[argparse.Namespace], int], options: argparse.Namespace) -> int:
    """Runs a verb; what goes wrong is one sentence on stderr and an exit code."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # XLA's alarms are not for users
    try:
        with _interrupted_at_once():
            from dippas_jax.io import decoder, files
            from dippas_jax.types import InputError

            if options.verb in _READERS:
                with contextlib.suppress(OSError):  # then photos are decoded in this process
                    decoder.start()  # while this process imports jax
            importlib.import_module(f"dippas_jax.cli.{options.verb}")
    except KeyboardInterrupt:
        _tell("interrupted")
        return _INTERRUPTED
    try:
        files.cache_compilations()
        code = run(options)
        sys.stdout.flush()
        if options.verb in _READERS and (why := decoder.surprise()):
            _tell(f"photos were decoded in the program itself, without limits, since {why}")
        return code
    except InputError as error:
        _tell(str(error))
        return 2
    except KeyboardInterrupt:
        _tell("interrupted")
        return _INTERRUPTED
    except OSError as error:  # of stdout: other files give InputError
        return _unwritten(error)
    except Exception:  # noqa: BLE001 - a fault of this program, and not a photo's
        traceback.print_exc()
        return _FAULT


def _unwritten(error: OSError) -> int:
    """The exit code where stdout takes no more, or a file cannot be asked for, which is told."""
    if error.filename is not None:
        _tell(f"{error.filename} cannot be used ({error.strerror}); check its path")
        return 2
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # flushed at the end
    if isinstance(error, BrokenPipeError):
        return 141  # whoever read our lines has seen enough
    _tell(f"output cannot be written ({error.strerror}); make room")
    return 2


@contextlib.contextmanager
def _interrupted_at_once() -> Iterator[None]:
    """Ctrl-C ends the program on the spot: modules that are half imported cannot be trusted to."""

    def end(*_: object) -> None:
        os.write(2, b"dippas: interrupted\n")
        os._exit(_INTERRUPTED)

    alone = threading.current_thread() is threading.main_thread()
    if not alone or signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        yield
        return
    signal.signal(signal.SIGINT, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def _tell(text: str) -> None:
    """A line on stderr, if anybody listens."""
    with contextlib.suppress(OSError):
        print(f"dippas: {text}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    program()
