"""Anonymise photos as the paper describes it, or study how well methods hide a camera.

    python -m dippas_jax.main --config=configs/aware.py --workdir=runs/aware
    python -m dippas_jax.main --config=configs/blind.py --workdir=runs/mine --strength=strong \\
        --config.data.folder=FOLDER
    python -m dippas_jax.main --config=configs/study_panel.py --workdir=runs/panel

A finished photo is never done again and an interrupted one goes on from its last checkpoint: the
same command, as often as needed. --strength=fast|balanced|strong, --target-psnr=42 and
--max-minutes=5 are short for the settings of these names. Exit codes: 0 done, 1 a photo's run
failed, 2 something that was given cannot be used.
"""

import dataclasses
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from absl import flags
from ml_collections import config_flags

from dippas_jax import config as configuration
from dippas_jax.datasets import reader
from dippas_jax.experiments import overrides, report, runs, study
from dippas_jax.io import files
from dippas_jax.types import InputError

_CONFIG = config_flags.DEFINE_config_file(
    "config",
    None,
    "File with the settings; aware.py:quick passes it an argument.",
    lock_config=True,
)
_WORKDIR = flags.DEFINE_string("workdir", None, "Folder for results and checkpoints.")


def run(config: configuration.Config, workdir: str | Path) -> list[dict[str, Any]]:
    """All photos of `config`, results into `workdir`.

    Returns:
      The photos' records, as in summary.json.

    Raises:
      InputError: Before any work, if settings, photos, fingerprints or the folder cannot be used.
      runs.FailedError: After all photos, if some could not be done; the others are kept.
    """
    folder = files.prepare_workdir(workdir)
    records = reader.load(
        **dataclasses.asdict(config.data), need_fingerprint=config.mode == "aware"
    )
    reader.check(records)
    runs.claim(folder, config)
    done = []
    for record in runs.photos(records, config, folder):
        done.append(record)
        print(report.lines(record), flush=True)
    runs.say(f"results are in {folder}")
    return done


_SHORT = {"strength": str, "target-psnr": float, "max-minutes": float}
"""Settings that may be given without "config." before them."""


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
            raise InputError(f'--{name} is "{value}"; give a number, as in --{name}=5') from error
        if not equals:
            raise InputError(f"--{name} has no value; write --{name}=VALUE")
    return rest, found


def _settings(
    arguments: Sequence[str],
) -> tuple[configuration.Config | configuration.Study, str]:
    """Reads the command line; a file of settings is a program and may raise anything."""
    arguments, short = _short(arguments)
    # Whether a file holds a study is known once it is read; until then its name has to tell.
    study_file = any("study" in Path(argument).name for argument in arguments[1:])
    kind = configuration.Study if study_file else configuration.Config
    for argument in arguments[1:]:
        name = argument.lstrip("-").partition("=")[0]
        if name.startswith("config."):
            overrides.check_name(name.removeprefix("config."), kind)
    try:
        rest = flags.FLAGS(list(arguments))[1:]
        values = _CONFIG.value.to_dict() if _CONFIG.value is not None else None
    except Exception as error:
        reason = error.args[0] if isinstance(error, KeyError) and error.args else error
        reason = " ".join(str(reason).split()) or type(error).__name__
        raise InputError(f"the command line cannot be used: {reason}") from error
    if rest:
        raise InputError(f'"{rest[0]}" is no option; give --config=FILE and --workdir=DIR')
    if values is None or _WORKDIR.value is None:
        raise InputError("give both --config=configs/aware.py and --workdir=DIR")
    # A study is told by its methods, which a single run does not have.
    kind = configuration.Study if "methods" in values else configuration.Config
    (values["run"] if kind is configuration.Study else values).update(short)
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
            print(study.run(config, workdir), flush=True)
        else:
            run(config, workdir)
    except InputError as error:
        runs.say(f"dippas_jax: {error}")
        return 2
    except runs.FailedError as error:
        runs.say(f"dippas_jax: {error}")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv))
