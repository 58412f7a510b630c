"""Modules of a room that are imported when they are asked for: `dj.forensics.attackers`.

A room's `__init__` says `__getattr__ = lazy.modules(__name__)`. Nothing is imported before its
turn, so `dippas --help` stays quick.
"""

import importlib
import importlib.util
from collections.abc import Callable
from types import ModuleType


def modules(package: str) -> Callable[[str], ModuleType]:
    """The module-level `__getattr__` of a package (PEP 562) that finds its modules."""

    def find(name: str) -> ModuleType:
        if name.startswith("_") or importlib.util.find_spec(f"{package}.{name}") is None:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        return importlib.import_module(f"{package}.{name}")

    return find
