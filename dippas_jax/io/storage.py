"""Files by path or URL: what a folder and an object store (s3://, gs://) can both do.

A file that is written appears whole or not at all: in a folder by renaming, in an object store
because that is how it stores. `create` writes a file only if there is none, as one step, so that of
several machines that try one succeeds.
"""

import contextlib
import errno
import ftplib
import json
import os
import ssl
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

import fsspec
from fsspec.implementations.local import LocalFileSystem

from dippas_jax.io import files
from dippas_jax.types import InputError, OutOfReachError, ShortageError

_GONE = (FileNotFoundError, PermissionError, IsADirectoryError, NotADirectoryError)
"""What trying again does not mend, but for a server's permission, which may have run out."""

_MISSING = (404, 410)  # of HTTP: it is not there, or no more
_CLOSED = (400, 401, 403)  # nobody is let in, or no more, as with a signed URL that has run out
_LATER = (407, 408, 425, 429)  # a proxy that wants a password, and servers that have no time
_LOST = (ConnectionError, TimeoutError, EOFError, ssl.SSLError, ftplib.error_temp)
"""The network or a server failed. A certificate that cannot be checked is a ValueError too."""

_LONGEST = 16  # bytes of the ending of a name


class Place(NamedTuple):
    """A file or folder.

    Attributes:
      system: The file system of fsspec that it lies in.
      path: In that system.
      name: For messages.
    """

    system: Any
    path: str
    name: str

    @property
    def local(self) -> Path | None:
        """Its path, unless it lies elsewhere."""
        return Path(self.path) if isinstance(self.system, LocalFileSystem) else None

    def __truediv__(self, name: str) -> "Place":
        """What lies below a folder."""
        return Place(self.system, f"{self.path}/{name}", f"{self.name}/{name}")


def place(name: str | Path) -> Place:
    """The file or folder that a path or URL names, which need not exist.

    Raises:
      InputError: A URL whose protocol is unknown, needs a library that is not installed, or asks
        for a server that does not answer or lets nobody in.
    """
    name = str(name)
    if not is_url(name):
        try:
            return Place(LocalFileSystem(), os.path.abspath(os.path.expanduser(name)), name)
        except ValueError:
            raise InputError(f"{name} is a path that no file can have; correct it") from None
    try:
        system, path = fsspec.core.url_to_fs(name, use_listings_cache=False)
    except ImportError as error:
        raise OutOfReachError(
            f"{name} needs a library that is not installed ({error}); install it, as s3fs for "
            "s3:// or gcsfs for gs://"
        ) from None
    except ssl.SSLError as error:  # some are a ValueError
        raise _no_server(name, error) from None
    except ValueError as error:
        raise InputError(
            f"{name} is no URL that can be used ({error}); give a path, or a URL such as "
            "s3://BUCKET/NAME"
        ) from None
    except Exception as error:  # noqa: BLE001 - ftp and sftp log in here, with errors of their own
        raise _no_server(name, error) from None
    return Place(system, path.rstrip("/"), name.rstrip("/"))


def _no_server(name: str, error: Exception) -> OutOfReachError:
    return OutOfReachError(
        f"{name} cannot be reached ({_said(error)}); check its address, the network, and the "
        "name and password for its server"
    )


def _said(error: Exception) -> str:
    """What a server or the network says of a failure."""
    return getattr(error, "strerror", None) or str(error) or type(error).__name__


def is_url(name: str) -> bool:
    """Whether fsspec takes a name for a URL rather than a path."""
    return "://" in name


def suffix(name: str) -> str:
    """The ending of a file's name, with its dot, for a copy; "" of one too long for a file.

    What a URL has behind a "?", as those that are signed do, is none of it.
    """
    ending = PurePosixPath(name.partition("?")[0] if is_url(name) else name).suffix
    return ending if len(os.fsencode(ending)) <= _LONGEST else ""


def read(at: Place, noun: str) -> bytes:
    """The content of a file, which a message calls `noun`.

    Raises:
      InputError: There is none, it is empty, or you may not read it.
      Exception: Whatever else a file system raises, such as a network that is down: another try may
        succeed.
    """
    try:
        if at.local:
            files.require_file(at.local, noun)
        data = at.local.read_bytes() if at.local else at.system.cat_file(at.path)
    except InputError:
        raise
    except (*_GONE, ValueError) as error:
        raise _unreadable(at, noun, error) from None
    if not data:
        raise InputError(f"{noun} {at.name} is empty (0 bytes); copy or export it again")
    return data


def require_size(at: Place, noun: str) -> None:
    """`InputError` for a file that is larger than any that is read; raises as `read`.

    And `OutOfReachError` where its very folder is not there, or its server does not answer.
    """
    try:
        size = os.stat(at.local).st_size if at.local else at.system.size(at.path)
    except (*_GONE, ValueError) as error:
        if at.local and not os.path.isdir(at.local.parent):
            raise OutOfReachError(
                f"{noun} {at.name} cannot be read, since there is no folder {at.local.parent}; "
                "mount it, or correct the manifest"
            ) from None
        raise _unreadable(at, noun, error) from None
    except Exception as error:
        if at.local:
            raise
        raise not_given(at, noun, error) from None
    if size is not None and size > files.LARGEST:  # None: the system does not know
        raise files.too_large(at.name, noun, size)


def read_json(at: Place) -> Any:
    """What a JSON file holds; None where there is none, or where it is only begun."""
    try:
        return _parsed(read(at, "file"))
    except InputError:
        return None


def _parsed(data: Any) -> Any:
    try:
        return json.loads(data)
    except (TypeError, ValueError, RecursionError):  # an exception in the data's place, half a file
        return None


def read_json_files(places: Sequence[Place]) -> list[Any]:
    """As `read_json`, of many files in one system: those of an object store several at a time."""
    if not places or places[0].local:
        return [read_json(at) for at in places]
    paths = [at.path for at in places]
    found = places[0].system.cat(paths, on_error="return")
    return [_parsed(data) for data in (found[path] for path in paths)]


def size(at: Place) -> int:
    """Of a file, bytes; `InputError` if there is none."""
    try:
        return at.local.stat().st_size if at.local else at.system.size(at.path)
    except (OSError, ValueError) as error:  # of a name that no file can have
        raise _unreadable(at, "photo", error) from None


def start(at: Place, count: int) -> bytes:
    """The first bytes of a file, at most so many; `InputError` if there is none."""
    try:
        return at.system.cat_file(at.path, start=0, end=count)
    except OSError as error:
        raise _unreadable(at, "photo", error) from None


def write(at: Place, data: bytes) -> None:
    """Write a file that appears whole or not at all, replacing what was there.

    Raises:
      InputError: Of a local file that cannot be written.
      Exception: Whatever another file system raises.
    """
    if at.local:
        files.write_bytes(at.local, data)
    else:
        at.system.pipe_file(at.path, data)


def write_json(at: Place, value: Any) -> None:
    """Write plain values, dataclasses and NamedTuples as JSON; nan and inf as null."""
    write(at, files.json_bytes(value))


def create(at: Place, value: Any) -> bool:
    """Write a JSON file if there is none; whether this call did.

    A reader may see a local file before its content. Raises as `write` does.
    """
    try:
        if at.local is None:
            at.system.pipe_file(at.path, files.json_bytes(value), mode="create")
        else:
            with open(at.local, "xb") as file, _removed_on_error(at.local):
                file.write(files.json_bytes(value))
                file.flush()
    except FileExistsError:
        return False
    except OSError as error:
        if at.local is None:
            raise
        raise files.unwritable(at.name, error) from None
    return True


@contextlib.contextmanager
def _removed_on_error(path: Path) -> Iterator[None]:
    """A file that cannot be written, as on a full disk, is not left behind empty."""
    try:
        yield
    except BaseException:
        path.unlink(missing_ok=True)
        raise


def names(folder: Place) -> list[str]:
    """Of the files in a folder, in order; none where there is no folder."""
    if folder.local:
        return sorted(os.listdir(folder.local)) if folder.local.is_dir() else []
    folder.system.invalidate_cache()
    try:
        return sorted(path.rpartition("/")[2] for path in folder.system.ls(folder.path, False))
    except FileNotFoundError:
        return []


def exists(at: Place) -> bool:
    """Whether there is such a file."""
    return at.local.exists() if at.local else at.system.exists(at.path)


def remove(at: Place) -> None:
    """Remove a file, if there is one."""
    with contextlib.suppress(FileNotFoundError):
        at.system.rm_file(at.path)


def prepare(folder: Place) -> None:
    """Create a folder with its parents; an object store needs none.

    Raises:
      InputError: It cannot be created or written to.
    """
    if folder.local:
        files.prepare_workdir(folder.local)


def not_given(at: Place, noun: str, error: Exception) -> InputError:
    """Why a server did not give a file: `OutOfReachError` where it does not answer, or is busy.

    `ShortageError` where it lets nobody in, or memory is short; what HTTP refuses else is final.
    """
    if isinstance(error, MemoryError):
        return no_memory(at, noun)
    status = getattr(error, "status", None)
    if status in _CLOSED:
        return _closed(at, noun, error)
    if isinstance(status, int) and 400 <= status < 500 and status not in _LATER:
        return InputError(f"{noun} {at.name} cannot be read ({_said(error)}); check its address")
    return OutOfReachError(
        f"{noun} {at.name} cannot be reached ({_said(error)}); check its address and the network, "
        "and try again"
    )


def no_memory(at: Place, noun: str) -> ShortageError:
    """Of a file that does not fit into memory."""
    return ShortageError(
        f"{noun} {at.name} does not fit into the memory that is left; end other programs, or give "
        "another file"
    )


def _closed(at: Place, noun: str, error: Exception) -> ShortageError:
    return ShortageError(
        f"{noun} {at.name} cannot be read ({_said(error)}); check the permissions and the clock of "
        "this machine, and whether a signed URL has run out, and try again"
    )


def _unreadable(at: Place, noun: str, error: Exception) -> InputError:
    if not at.local and (cause := _silence(error)):
        return not_given(at, noun, cause)
    if isinstance(error, PermissionError) and not at.local:  # a server's, which may have run out
        return _closed(at, noun, error)
    if isinstance(error, FileNotFoundError):  # object stores say it without the system's words
        error = FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))
    return files.unreadable(at.name, noun, error)


def _silence(error: Exception) -> Exception | None:
    """Why a server did not give a file that fsspec calls missing; None where it is.

    HTTP's is missing by fsspec whatever happened, FTP's where the server is busy.
    """
    cause = error.__cause__ if isinstance(error, FileNotFoundError) else error
    if not isinstance(cause, Exception):
        return None
    if isinstance(status := getattr(cause, "status", None), int):
        return None if status in _MISSING else cause
    of_http = type(cause).__module__.startswith("aiohttp") and not isinstance(cause, ValueError)
    return cause if of_http or isinstance(cause, _LOST) else None
