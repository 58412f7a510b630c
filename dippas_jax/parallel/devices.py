"""The devices of this machine, and what a process must be told to use one of them, or a share.

JAX takes three quarters of a GPU's memory when it starts, and all GPUs that it sees. So every
worker sees one, and those that share one are given their part of it beforehand.
"""

import os
from collections.abc import Mapping
from typing import NamedTuple

_OF_ALL = 0.9  # of a GPU's memory, for those that share it
_CHOSEN = (
    "XLA_CLIENT_MEM_FRACTION",
    "XLA_PYTHON_CLIENT_MEM_FRACTION",
    "XLA_PYTHON_CLIENT_PREALLOCATE",
)


class Devices(NamedTuple):
    """What JAX finds on a machine.

    Attributes:
      platform: "cpu", "gpu" or another of JAX's.
      number: How many; a CPU is one device, however many cores it has.
      kind: Of the first one, as its maker calls it.
    """

    platform: str
    number: int
    kind: str


def found() -> Devices:
    """Those of this machine. JAX then holds them, so a process of its own should ask."""
    import jax

    every = jax.local_devices()
    platform = every[0].platform
    return Devices(platform, 1 if platform == "cpu" else len(every), every[0].device_kind)


def environment(
    platform: str, index: int, workers: int, given: Mapping[str, str] | None = None
) -> dict[str, str]:
    """Variables for a process that works on one device; those that the user has set stay.

    Args:
      platform: Of the device.
      index: Of the device among those of the machine.
      workers: How many processes share it.
      given: The variables that are set.
    """
    given = os.environ if given is None else given
    if platform != "gpu":
        return {}
    visible = [name for name in given.get("CUDA_VISIBLE_DEVICES", "").split(",") if name.strip()]
    made = {"CUDA_VISIBLE_DEVICES": visible[index] if visible else str(index)}
    return made | memory(workers, given)


def memory(workers: int, given: Mapping[str, str] | None = None) -> dict[str, str]:
    """The part of a GPU's memory for each of several processes, unless the user has chosen."""
    given = os.environ if given is None else given
    if workers < 2 or any(name in given for name in _CHOSEN):
        return {}
    return {"XLA_PYTHON_CLIENT_MEM_FRACTION": f"{_OF_ALL / workers:.3f}"}
