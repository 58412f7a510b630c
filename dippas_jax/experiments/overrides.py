"""Settings at the edge, where they are an `ml_collections.ConfigDict`.

A file under configs/ builds one, flags override it, and it is checked on its way back to the
dataclasses of `config`.

The files under configs/ come with the package: `aware` names configs/aware.py wherever it is.
"""

import dataclasses
import difflib
import inspect
import typing
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import ml_collections

from dippas_jax.config import Config, Study
from dippas_jax.types import InputError


def to_config_dict(config: Config | Study) -> ml_collections.ConfigDict:
    """The same settings as a mutable, flag-friendly tree."""
    return ml_collections.ConfigDict(dataclasses.asdict(config))


Settings = TypeVar("Settings", Config, Study)


def choose(settings: Mapping[str, Settings], name: str) -> ml_collections.ConfigDict:
    """One of the settings that a file offers: what follows the colon in --config=aware.py:paper.

    Raises:
      InputError: There is none of that name; the message names the nearest.
    """
    if name not in settings:
        near = difflib.get_close_matches(name, list(settings), 1)
        guess = f'did you mean "{near[0]}"' if near else f"choose one of {', '.join(settings)}"
        raise InputError(f'there is no setting "{name}"; {guess}')
    return to_config_dict(settings[name])


def folder() -> Path:
    """Where the files of settings are: in the package as installed, beside it in a checkout."""
    package = Path(__file__).parents[1]
    inside = package / "configs"
    return inside if inside.is_dir() else package.parent / "configs"


def locate(name: str) -> Path:
    """The file of settings that a path names, or a name such as "aware" or "studies/panel".

    Raises:
      InputError: There is no such file; the message names the nearest.
    """
    for path in (Path(name), folder() / name, folder() / f"{name}.py"):
        if path.is_file():
            return path
    paths = sorted(folder().rglob("*.py"))
    known = [path.relative_to(folder()).with_suffix("").as_posix() for path in paths]
    wanted = name.removeprefix("configs/").removesuffix(".py")
    near = difflib.get_close_matches(wanted, known, 1)
    guess = f'did you mean "{near[0]}"' if near else f"give a path, or one of {', '.join(known)}"
    raise InputError(f"there is no file of settings {name}; {guess}")


def _unknown(name: str, known: Iterable[str], path: str) -> InputError:
    near = difflib.get_close_matches(name, list(known), 1)
    guess = f'did you mean "{path}{near[0]}"' if near else f"known are {', '.join(known)}"
    return InputError(f'there is no setting "{path}{name}"; {guess}')


def check_name(name: str, kind: type = Config) -> None:
    """Raises `InputError`, with the nearest known name, unless `name` is a setting of `kind`."""
    path = ""
    for part in name.split("."):
        hints = typing.get_type_hints(kind) if dataclasses.is_dataclass(kind) else {}
        if part not in hints:
            raise _unknown(part, hints, path)
        kind, path = hints[part], f"{path}{part}."


def help_text(kind: type = Config) -> str:
    """The settings of a kind and of its groups, their documentation and defaults."""
    text = []
    parts: dict[str, Any] = {"": kind()}
    parts |= {f"{name}.": value for name, value in vars(kind()).items()}
    for prefix, part in parts.items():
        if not dataclasses.is_dataclass(part):
            continue
        text.append(inspect.cleandoc(part.__doc__ or ""))
        text += [
            f"      --config.{prefix}{name}={value!r}"
            for name, value in vars(part).items()
            if not dataclasses.is_dataclass(value)
        ]
    return "\n".join(text)


def from_config_dict(
    values: Mapping[str, Any] | ml_collections.ConfigDict, kind: type = Config, path: str = ""
) -> Any:
    """Back to the frozen form, checked.

    Raises:
      InputError: An unknown field (with the nearest known one), a value of the wrong type or out of
        range.
    """
    hints = typing.get_type_hints(kind)
    fields = {}
    for name, value in values.items():
        if name not in hints:
            raise _unknown(name, hints, path)
        if dataclasses.is_dataclass(hints[name]):
            if not isinstance(value, Mapping | ml_collections.ConfigDict):
                raise InputError(f"{path}{name} is {value!r}; give it as a group of settings")
            fields[name] = from_config_dict(value, hints[name], f"{path}{name}.")
        else:
            fields[name] = _convert(value, hints[name], path + name)
    return kind(**fields)


def _convert(value: Any, hint: Any, path: str) -> Any:
    if typing.get_origin(hint) is tuple:
        item = typing.get_args(hint)[0]
        if not isinstance(value, list | tuple):
            value = (value,)
        return tuple(_convert(entry, item, path) for entry in value)
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if type(value) is not hint:
        raise InputError(
            f"{path} is {value!r}, of type {type(value).__name__}; give a value of type "
            f"{hint.__name__}"
        )
    return value
