"""The process of `decoder`, with decoders that do what a file tells them to.

A file that begins with one of these words is no photo but an attack that has succeeded.
"""

import contextlib
import ctypes
import os
import socket
import sys
import time
from pathlib import Path

from dippas_jax.io import decoder_process
from dippas_jax.types import InputError

GOOD = {
    "dtype": "uint8", "size": [64, 64], "grey": False, "format": "png", "orientation": 1,
    "jpeg": None, "lossless": False, "words": [],
}  # fmt: skip
PIXELS = {"pixels": bytes(64 * 64 * 3)}


def crash(_):
    ctypes.string_at(0)


def eat(_):
    eaten = []
    while True:
        eaten.append(bytes(64 << 20))


def loop(_):
    while True:
        pass


def sleep(_):
    time.sleep(600)


def leave(_):
    os._exit(0)


def lie(text):
    """With other values than a photo's, as JSON."""
    return GOOD | decoder_process.json.loads(text), PIXELS


def swell(_):
    """More blocks than its memory holds, of which nothing comes."""
    return GOOD, {"pixels": memoryview(bytearray(1 << 20)), "icc": bytes(1 << 30)}


def break_out(folder):
    """Tells, as the reason for which the photo is refused, what it was free to do."""
    place = Path(folder)

    def run():
        with contextlib.suppress(OSError):
            os.execv(sys.executable, [sys.executable, "-c", ""])
        os._exit(100)

    def start():
        child = os.fork()
        if not child:
            run()
        if os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 100:
            raise OSError

    def connect():
        socket.socket().connect(("127.0.0.1", 9))

    acts = {
        "read": (place / "secret").read_text,
        "write": (place / "new").touch,
        "list": lambda: os.listdir(place),
        "connect": connect,
        "socket": socket.socketpair,
        "remove": lambda: os.unlink(place / "secret"),
        "rename": lambda: os.rename(place / "secret", place / "open"),
        "link": lambda: os.symlink(place / "secret", place / "link"),
        "cut": lambda: os.truncate(place / "secret", 1),
        "folder": lambda: os.mkdir(place / "folder"),
        "start": start,
        "signal": lambda: os.kill(os.getppid(), 0),
        "limits": lambda: decoder_process.confinement._bounded("RLIMIT_NOFILE", 9) or 1 / 0,
    }
    free = []
    for name, act in acts.items():
        with contextlib.suppress(OSError, ZeroDivisionError):
            act()
            free.append(name)
    raise InputError(f"free to {' '.join(free)}; .")


ATTACKS = (crash, eat, loop, sleep, leave, lie, swell, break_out)


def answered(question, data):
    """As `decoder_process.answered`, of files that are no attacks, and without an import."""
    for attack in ATTACKS:
        if data.startswith(attack.__name__.encode() + b"!"):
            return attack(data.partition(b"!")[2].decode())
    seen = []
    HOOKS.append(seen)
    try:
        return decoder_process.answered(question, data)
    finally:
        HOOKS.clear()
        if seen:
            raise AssertionError(seen)


HOOKS: list[list[str]] = []


def watched(event, arguments):
    """What a confined process would fail at, and the user be told of as damage."""
    if HOOKS and event in ("import", "open"):
        HOOKS[0].append(f"{event} {arguments[0]}")


if __name__ == "__main__":
    sys.addaudithook(watched)
    decoder_process.serve(answered)
