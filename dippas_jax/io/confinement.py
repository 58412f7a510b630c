"""What a process may not do while it decodes a photo that a stranger may have made.

Decoders are C, and a file can be made to take one over. Such a process has bounds of memory and
time, opens nothing (no file, no socket), and on Linux may neither change a file by its name, start
a program nor send a signal (Landlock). It keeps the pipes that it has.
"""

import contextlib
import ctypes
import os
import struct
import sys
from typing import NamedTuple

try:
    import resource
except ImportError:  # Windows
    resource = None  # type: ignore[assignment]


class Limits(NamedTuple):
    """Of the decoding of one photo.

    Attributes:
      memory: Bytes of address space. The largest photo that is read has 179 megapixels, of which
        a PNG of 16 bits with a clear colour takes 58 bytes each, others a third of that.
      seconds: Of the processor.
      patience: Seconds in all, after which whoever waits ends it.
    """

    memory: int = 12 << 30
    seconds: int = 120
    patience: float = 600.0


_NO_NEW_PRIVILEGES, _DUMPABLE = 38, 4  # of prctl
_CREATE_RULESET, _RESTRICT_SELF = 444, 446  # system calls of Landlock, the same on every machine
_ABI = 1  # asks for the version
_FILES = {1: 13, 2: 14, 3: 15, 5: 16}  # by version, how many kinds of access to files it knows
_NETWORK = {4: 2}  # to bind and to connect, TCP
_SCOPES = {6: 2}  # abstract sockets and signals outside


def possible() -> str:
    """Why a process cannot be confined here; "" if it can."""
    if resource is None or not hasattr(os, "fork"):
        return f"{sys.platform} has no limits for a process"
    return ""


def confine(limits: Limits) -> list[str]:
    """Gives up, for this process and for good, what decoding does not need.

    Call it with one thread, and after all imports.

    Returns:
      What holds from now on, as clauses.
    """
    landlock = _landlock()
    memory = min(limits.memory, physical_memory())
    bounds = {
        "RLIMIT_CORE": (0, ""),
        "RLIMIT_FSIZE": (0, ""),
        "RLIMIT_CPU": (limits.seconds, f"{limits.seconds} s of the processor"),
        "RLIMIT_AS": (memory, f"{memory / 2**30:.1f} GiB of memory"),
        "RLIMIT_NOFILE": (0, "no files, no network"),
    }
    held = [says for name, (bound, says) in bounds.items() if _bounded(name, bound)]
    return [says for says in (*held, landlock) if says]


def _bounded(name: str, bound: int) -> bool:
    """Sets a limit for good; False where the system has none of that name."""
    kind = getattr(resource, name, None)
    if kind is None:
        return False
    try:
        hard = resource.getrlimit(kind)[1]
        # At the harder one of the processor's time a process is killed without that being said.
        most = bound + 1 if name == "RLIMIT_CPU" else bound
        most = most if hard == resource.RLIM_INFINITY else min(most, hard)
        resource.setrlimit(kind, (min(bound, most), most))
    except (ValueError, OSError):
        return False
    return True


def physical_memory() -> int:
    """Of the machine, bytes; more than there can be where that is not known."""
    try:
        found = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):  # Windows has no sysconf
        return sys.maxsize
    return found if found > 0 else sys.maxsize


def _landlock() -> str:
    """No access to files, TCP or processes outside, so far as the kernel knows how; a clause."""
    if sys.platform != "linux":
        return ""
    with contextlib.suppress(OSError, AttributeError):
        libc = ctypes.CDLL(None, use_errno=True)
        libc.syscall.restype = ctypes.c_long
        libc.prctl(_DUMPABLE, 0, 0, 0, 0)  # no picture of its memory when it crashes
        if libc.prctl(_NO_NEW_PRIVILEGES, 1, 0, 0, 0):
            return ""
        version = libc.syscall(_CREATE_RULESET, None, ctypes.c_size_t(0), _ABI)
        if version < 1:
            return ""
        every = (_known(table, version) for table in (_FILES, _NETWORK, _SCOPES))
        rules = struct.pack("=QQQ", *every)  # nothing is allowed of what is named
        ruleset = libc.syscall(_CREATE_RULESET, rules, ctypes.c_size_t(len(rules)), 0)
        if ruleset >= 0 and libc.syscall(_RESTRICT_SELF, ruleset, 0) == 0:
            return f"Landlock {version}"
    return ""


def _known(table: dict[int, int], version: int) -> int:
    """One bit for every kind of access that a version knows."""
    return (1 << max((n for since, n in table.items() if since <= version), default=0)) - 1
