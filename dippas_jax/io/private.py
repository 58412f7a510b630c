"""A private temporary folder that does not outlive the program, however that ends.

A watcher, a process of its own, holds the end of a pipe and removes the folder when the program is
gone. If both were killed, or the machine was, the next start removes what is left: the program
holds a lock in its folder, and a folder whose lock is free belongs to nobody.
"""

import contextlib
import os
import secrets
import shutil
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from dippas_jax.types import ShortageError

try:
    import fcntl
except ImportError:  # Windows, where the watcher alone removes the folder
    fcntl = None  # type: ignore[assignment]

PREFIX = "dippas-private-"
_LOCK = "lock"

_WATCH = """
import os, shutil, signal, sys, time
for name in ("SIGINT", "SIGTERM", "SIGHUP"):
    if hasattr(signal, name):
        signal.signal(getattr(signal, name), signal.SIG_IGN)
sys.stdin.read()
for _ in range(20):
    shutil.rmtree(sys.argv[1], ignore_errors=True)
    if not os.path.exists(sys.argv[1]):
        break
    time.sleep(0.1)
"""


@contextlib.contextmanager
def folder() -> Iterator[Path]:
    """A new folder that only this user can enter; it is removed at the end."""
    path = lock = None
    try:
        remove_stale(Path(tempfile.gettempdir()))
        path = Path(tempfile.mkdtemp(prefix=PREFIX))  # mode 0700
        lock = _locked(path)
        watcher = subprocess.Popen(
            [sys.executable, "-I", "-S", "-c", _WATCH, str(path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
    except OSError as error:
        if path is not None:
            shutil.rmtree(path, ignore_errors=True)
        if lock is not None:
            os.close(lock)
        raise ShortageError(
            f"there can be no private folder for copies ({error.strerror or error}); free room and "
            "memory, or set TMPDIR to a folder on a local disk"
        ) from None
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)
        watcher.communicate()
        os.close(lock)


def remove_stale(parent: Path) -> list[Path]:
    """Removes the folders that programs of this user have left behind, and says which."""
    removed = []
    for path in parent.glob(f"{PREFIX}*"):
        with contextlib.suppress(OSError):
            if _ours(path) and _abandoned(path / _LOCK):
                shutil.rmtree(path, ignore_errors=True)
                removed.append(path)
    return removed


def _locked(path: Path) -> int:
    """Makes the folder's lock, which is held as soon as it can be seen; its descriptor."""
    hidden = path / secrets.token_hex(8)
    lock = os.open(hidden, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
    if fcntl:
        fcntl.flock(lock, fcntl.LOCK_EX)
        hidden.rename(path / _LOCK)
    return lock


def _ours(path: Path) -> bool:
    found = path.lstat()  # a link is not followed
    return stat.S_ISDIR(found.st_mode) and (
        not hasattr(os, "getuid") or found.st_uid == os.getuid()
    )


def _abandoned(lock: Path) -> bool:
    """Whether nobody holds a lock; `OSError` if it is held, or there is none."""
    if not fcntl:
        return False
    opened = os.open(lock, os.O_RDWR | os.O_NOFOLLOW)
    try:
        fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
    finally:
        os.close(opened)
    return True
