"""Records that come back from JSON: whether they are what a dataclass says of its fields."""

import dataclasses
import types
import typing
from collections.abc import Mapping
from typing import Any


def require(values: Any, kind: type) -> None:
    """Compare what JSON gave with the fields of a dataclass.

    Args:
      values: What was read.
      kind: The dataclass; fields with a default may be missing.

    Raises:
      ValueError: A field is missing, unknown or of another type.
    """
    fields = {field.name: field for field in dataclasses.fields(kind)}
    if not isinstance(values, dict) or values.keys() - fields.keys():
        raise ValueError(f"no {kind.__name__}")
    for name, field in fields.items():
        missing = name not in values
        if missing and field.default is dataclasses.MISSING:
            raise ValueError(f"{name} is missing")
        if not missing and not fits(values[name], field.type):
            raise ValueError(f"{name} is of another type")


def fits(value: Any, kind: Any) -> bool:
    """Whether a value of JSON is of a type; null stands for a number that is not finite."""
    inner = typing.get_args(kind)
    outer = typing.get_origin(kind) or kind
    if kind is Any:
        return True
    if outer in (typing.Union, types.UnionType):
        return any(fits(value, one) for one in inner)
    if kind is float:
        return value is None or (isinstance(value, int | float) and not isinstance(value, bool))
    if kind is int:
        return isinstance(value, int) and not isinstance(value, bool)
    if outer in (Mapping, dict):
        return isinstance(value, dict) and all(fits(one, inner[1]) for one in value.values())
    if outer in (list, tuple):
        return isinstance(value, list) and all(fits(one, inner[0]) for one in value)
    return value is None if kind is types.NoneType else isinstance(value, kind)
