"""Anonymise photos as the paper describes it, or study how well methods hide a camera.

    python -m dippas_jax.main --config=configs/aware.py --workdir=runs/aware
    python -m dippas_jax.main --config=blind --workdir=runs/mine --config.data.folder=FOLDER
    python -m dippas_jax.main --config=sparse --workdir=runs/sparse --strength=strong
    python -m dippas_jax.main --config=studies/panel --workdir=runs/panel

--config takes a file, or the name of one that comes with the package; what follows a colon is one
of the file's settings (aware:paper). A finished photo is never done again and an interrupted one
goes on from its last checkpoint: the same command, as often as needed. --target-psnr=42 and
--max-minutes=5 are short for the settings of these names, --strength=fast|balanced|strong for
sparse.strength. A study's rows are made on many devices by --config.workers=1 (those of this
machine) or --config.cluster=ADDRESS (of a Ray cluster; docs/cluster.md). Exit codes: 0 done, 1 a
photo's run or a part of a study failed, 2 something that was given cannot be used, 130 interrupted.
"""

# ruff: noqa: E402 - interrupts are answered before the imports, which take seconds
import functools
import os
import runpy
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # before jax: XLA's alarms are not for users

_INTERRUPTED = 130


def _interrupted(*_: object) -> NoReturn:
    """Ends the program on the spot: what is on disk is whole at any time."""
    os.write(2, b"\ndippas_jax: interrupted; the same command goes on\n")  # below a bar
    os._exit(_INTERRUPTED)


if __name__ == "__main__":  # before the imports, which take seconds
    signal.signal(signal.SIGINT, _interrupted)

from absl import flags
from ml_collections import config_flags

from dippas_jax import config as configuration
from dippas_jax.datasets import reader
from dippas_jax.experiments import overrides, report, runs, study, tasks
from dippas_jax.io import files
from dippas_jax.prior import batch
from dippas_jax.types import InputError

_CONFIG = config_flags.DEFINE_config_file(
    "config",
    None,
    "File with the settings; aware.py:quick passes it an argument.",
    lock_config=True,
)
_WORKDIR = flags.DEFINE_string("workdir", None, "Folder for results and checkpoints.")


def run(config: configuration.Config, workdir: str | Path) -> list[report.PhotoRecord]:
    """All photos of `config`, results into `workdir`.

    Returns:
      The photos' records, as in summary.json.

    Raises:
      InputError: Before any work, if settings, photos, fingerprints or the folder cannot be used.
      runs.FailedError: After all photos, if some could not be done; the others are kept.
    """
    folder = files.prepare_workdir(workdir)
    records = reader.load(config.data, need_fingerprint=config.mode == "aware")
    reader.check(records)
    runs.claim(folder, config)
    done = []
    for record in runs.photos(records, config, folder):
        done.append(record)
        print(report.lines(record), flush=True)
    tasks.say(f"results are in {folder}")
    return done


_SHORT = {"strength": str, "target-psnr": float, "max-minutes": float}
"""Settings that may be given without "config." before them."""

_LIKE = {"target-psnr": 40, "max-minutes": 5}
"""Examples of those that are numbers."""


def _short(arguments: Sequence[str]) -> tuple[list[str], dict[str, Any]]:
    """The other arguments, and the settings given in short.

    They do not go through absl: ml_collections reads overrides from `sys.argv` only.
    """
    rest, found = [], {}
    for argument in arguments:
        name, equals, value = argument.removeprefix("--").partition("=")
        name = name.replace("_", "-")
        if name not in _SHORT or not argument.startswith("--"):
            rest.append(argument)
            continue
        try:
            found[name.replace("-", "_")] = _SHORT[name](value)
        except ValueError as error:
            raise InputError(
                f'--{name} is "{value}"; give a number, as in --{name}={_LIKE[name]}'
            ) from error
        if not equals:
            raise InputError(f"--{name} has no value; write --{name}=VALUE")
    return rest, found


def _located(arguments: Sequence[str]) -> tuple[list[str], str]:
    """The arguments with the path of the file of settings in place of its name, and its setting."""
    rest = list(arguments)
    for index, argument in enumerate(rest):
        flag, equals, value = argument.partition("=")
        if flag not in ("--config", "-config"):
            continue
        if not equals and index + 1 < len(rest):
            value = rest.pop(index + 1)
        name, colon, setting = value.partition(":")
        if not name:
            break
        rest[index] = f"--config={overrides.locate(name)}{colon}{setting}"
        return rest, rest[index].partition("=")[2]
    raise InputError("give both --config=configs/aware.py and --workdir=DIR")


def _kind(config: str) -> type[configuration.Config | configuration.Study]:
    """Whether a file of settings is one of a run or of a study: a study has methods."""
    path, colon, setting = config.partition(":")
    values = runpy.run_path(path)["get_config"](*[setting] * bool(colon))
    return configuration.Study if "methods" in values else configuration.Config


def _settings(
    arguments: Sequence[str],
) -> tuple[configuration.Config | configuration.Study, str]:
    """Reads the command line; a file of settings is a program and may raise anything."""
    arguments, short = _short(arguments)
    arguments, config = _located(arguments)
    try:
        kind = _kind(config)
        for argument in arguments[1:]:
            name = argument.lstrip("-").partition("=")[0]
            if name.startswith("config."):
                overrides.check_name(name.removeprefix("config."), kind)
        rest = flags.FLAGS(list(arguments))[1:]
        values = _CONFIG.value.to_dict()
    except InputError:
        raise
    except Exception as error:  # absl, ml_collections and configuration files raise of all kinds
        reason = error.args[0] if isinstance(error, KeyError) and error.args else error
        reason = " ".join(str(reason).split()) or type(error).__name__
        raise InputError(f"the command line cannot be used: {reason}") from error
    if rest:
        raise InputError(f'"{rest[0]}" is no option; give --config=FILE and --workdir=DIR')
    if _WORKDIR.value is None:
        raise InputError("give both --config=configs/aware.py and --workdir=DIR")
    run = values.setdefault("run", {}) if kind is configuration.Study else values
    if "strength" in short:
        run.setdefault("sparse", {})["strength"] = short.pop("strength")
    run.update(short)
    return overrides.from_config_dict(values, kind), _WORKDIR.value


def main(arguments: Sequence[str]) -> int:
    """The program; returns its exit code."""
    if {"-h", "--help"} & set(arguments):
        print(f"{__doc__}\n{overrides.help_text()}\n")
        print(overrides.help_text(configuration.Study))
        return 0
    try:
        config, workdir = _settings(arguments)
        files.cache_compilations()
        if isinstance(config, configuration.Study):
            if config.workers or config.cluster:  # which are to be told
                _wait_for_others()
            study.run(config, workdir, functools.partial(print, flush=True))
        else:
            run(config, workdir)
    except InputError as error:
        tasks.say(f"dippas_jax: {error}")
        return 2
    except runs.FailedError as error:
        tasks.say(f"dippas_jax: {error}")
        return 1
    except batch.OUT_OF_MEMORY as error:
        tasks.say(f"dippas_jax: {tasks.reason(error)}")
        return 1
    return 0


def _wait_for_others() -> None:
    if signal.getsignal(signal.SIGINT) is _interrupted:
        signal.signal(signal.SIGINT, signal.default_int_handler)


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv))
    except KeyboardInterrupt:
        _interrupted()
