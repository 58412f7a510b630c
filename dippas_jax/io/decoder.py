"""Photos read by a process of its own, for photos that strangers may have made.

`read`, `read_pixels` and `header` are those of `photo`, but `decoder_process` decodes, within
bounds (`confinement`). A photo that makes its decoder crash, eat memory or loop is one that cannot
be read, and nothing more. The process is started once, which takes as long as to import Pillow, and
a photo costs a fork and a copy of its pixels (docs/photos.md).

Where no process can be confined (Windows), photos are decoded in this one; `unconfined` says why.
"""

import atexit
import contextlib
import errno
import importlib.util
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import UInt8

from dippas_jax.io import confinement, decoder_process, files, photo, photo_kinds, photo_reasons
from dippas_jax.types import InputError, NoProcessError, OutOfReachError, ShortageError, printable

_COMMAND = (sys.executable, "-P", "-m", "dippas_jax.io.decoder_process")
"""-P: modules are not looked for in the folder of the photos."""

_MOMENTARY = (errno.EAGAIN, errno.ENOMEM, errno.EMFILE, errno.ENFILE, errno.ENOBUFS)
"""Reasons why a process does not start that another try may not meet."""

_START = 60.0  # seconds that a busy machine has to start the process
_CRASHED = "makes its decoder crash"
_NONSENSE = "makes its decoder answer nonsense"
_LIES = (LookupError, ValueError, TypeError, AttributeError, ArithmeticError, RecursionError)
"""What comes of an answer that is none."""

_LARGEST = 2 << 30  # bytes of a photo: 179 megapixels of 16 bits with opacity are 1.4e9
_Blocks = dict[str, np.ndarray]


class _Process(NamedTuple):
    program: subprocess.Popen[bytes]
    control: socket.socket
    of: int  # the process that started it, which alone may ask


class Decoder:
    """A process that decodes photos; it is started when it is needed, and again if it has ended.

    One photo at a time, from any thread.
    """

    def __init__(
        self,
        command: Sequence[str] = _COMMAND,
        limits: confinement.Limits = confinement.Limits(),  # noqa: B008 - a tuple of numbers
    ) -> None:
        """One by a command that runs `decoder_process.serve`."""
        self._command, self._limits = command, limits
        self._process: _Process | None = None
        self._ready = False  # the process has answered, so that it need not be waited for
        self._lock = threading.Lock()
        self._why = confinement.possible() or None  # it cannot be used; "" if it can, None: untried

    def read(self, path: Path | str, *, srgb: bool = False) -> photo.PhotoFile:
        """As `photo.read`."""
        if self.unconfined():
            return photo.read(path, srgb=srgb)
        data = files.read_bytes(path, "photo")
        question = {"ask": "read", "path": str(path), "srgb": srgb}
        return self._asked(question, data, lambda head, blocks: _photo(head, blocks, data))

    def header(self, path: Path | str) -> photo.Header:
        """As `photo.header`."""
        if self.unconfined():
            return photo.header(path)
        question = {"ask": "header", "path": str(path)}
        return self._asked(question, files.read_bytes(path, "photo"), _header)

    def limits(self) -> list[str]:
        """What a photo's process is bound to, as clauses."""
        return self._asked({"ask": "limits", "path": ""}, b"", lambda head, _: head["limits"])

    def unconfined(self) -> str:
        """Why photos are decoded in this process; "" if they are not."""
        if self._why is None:
            try:
                self.limits()
                self._why = ""
            except ShortageError:
                raise  # a moment's, which does not make the next photos harmless
            except InputError:
                self._why = f"{self._command[0]} cannot start a process for that"
        return self._why

    def surprise(self) -> str:
        """Why photos were decoded in this process where another one should have; "" otherwise."""
        return "" if self._why == confinement.possible() else self._why or ""

    def start(self) -> None:
        """Starts the process, which may take its time while the caller does something else."""
        if self._why:
            return
        if self._process and self._process.of == os.getpid():
            if self._process.program.poll() is None:
                return
            self.stop()
        few = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}  # it forks, with one thread
        path = os.pathsep.join(place for place in sys.path if place)
        with contextlib.ExitStack() as stack:
            ours, theirs = map(stack.enter_context, socket.socketpair())
            program = subprocess.Popen(
                self._command,
                stdin=theirs.fileno(),
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                env={**os.environ, **few, "PYTHONPATH": path},
                start_new_session=True,  # Ctrl-C is ours; and its forks are ended with it
            )
            theirs.close()
            stack.pop_all()
        self._process, self._ready = _Process(program, ours, os.getpid()), False

    def stop(self) -> None:
        """Ends the process, at once, with all that it has begun."""
        process, self._process = self._process, None
        if process is None or process.of != os.getpid():
            return
        process.control.close()
        if process.program.poll() is None:  # else its number may be another's by now
            os.killpg(process.program.pid, signal.SIGKILL)
            process.program.wait()

    def _asked(
        self,
        question: decoder_process.Head,
        data: bytes,
        understood: Callable[[decoder_process.Head, _Blocks], Any],
    ) -> Any:
        """What the process answers; `InputError` where it refuses the photo or comes to grief."""
        path = question["path"]
        with self._lock:
            try:
                head, blocks = self._answer(question, data)
            except BaseException as error:
                self.stop()  # whatever it is at, its next answer would not be to the next question
                if not isinstance(error, OSError):
                    raise
                kind = NoProcessError if error.errno in _MOMENTARY else InputError
                raise kind(_short(path, f"start ({files.reason(error)})")) from None
        if "died" in head:
            raise _harmful(path, head["died"])
        if "failed" in head:
            # A process that was taken over may say so of a photo that nobody could ever read.
            away = head.get("away") and not importlib.util.find_spec("pillow_heif")
            raise (OutOfReachError if away else InputError)(str(head["failed"]))
        try:
            return understood(head, blocks)
        except _LIES:
            raise _harmful(path, _NONSENSE) from None

    def _answer(
        self, question: decoder_process.Head, data: bytes
    ) -> tuple[decoder_process.Head, _Blocks]:
        """The answer as it comes; with "died" how the process that was to give one has ended."""
        self.start()
        assert self._process is not None
        control, path = self._process.control, question["path"]
        patience = self._limits.patience + (0 if self._ready else _START)
        until = time.monotonic() + patience
        ours, theirs = socket.socketpair()
        with ours:
            with theirs:
                socket.send_fds(control, [b"?"], [theirs.fileno()])
            ours.settimeout(patience)
            died = False
            head: decoder_process.Head = {}
            blocks: _Blocks = {}
            try:
                try:
                    asked = question | {"limits": self._limits}
                    decoder_process.send(ours, asked, {"data": data})
                    head, blocks = decoder_process.receive(ours, most=_LARGEST, until=until)
                except (EOFError, ConnectionError):
                    died = True
                code = decoder_process.status(control, until=until)
            except TimeoutError:
                raise _harmful(path, _slow(self._limits.patience)) from None
            except (EOFError, ConnectionError):
                raise _harmful(path, _CRASHED) from None
            except MemoryError:
                raise photo_reasons.too_much(path) from None
            except _LIES:
                raise _harmful(path, _NONSENSE) from None
        self._ready = True
        if not died:
            return head, blocks
        if code in (decoder_process.NO_PROCESS, -signal.SIGKILL):
            kind = NoProcessError if code == decoder_process.NO_PROCESS else ShortageError
            raise kind(_short(path, "get enough memory"))
        if code == -signal.SIGXCPU:
            return {"died": _slow(float(self._limits.seconds))}, {}
        return {"died": f"{_CRASHED} ({_name(code)})"}, {}


def _slow(seconds: float) -> str:
    return f"keeps its decoder busy for more than {seconds:g} seconds"


def _name(code: int) -> str:
    """Of the signal that ended a process, or its exit code."""
    with contextlib.suppress(ValueError):
        return signal.Signals(-code).name
    return f"exit code {code}"


def _short(path: str, what: str) -> str:
    return (
        f"photo {path} cannot be decoded, since the process for that does not {what}; end other "
        "programs, and try again"
    )


def _harmful(path: str, what: str) -> InputError:
    return InputError(
        f"photo {path} {what}; it is damaged or made to do harm: leave it out, or get it again "
        "from where it came"
    )


# -------------------------------------------------------------------- answers, which may be lies


def _photo(head: Mapping[str, Any], blocks: _Blocks, data: bytes) -> photo.PhotoFile:
    """A photo as it was sent; what raises is no photo."""
    kind = {"uint8": np.uint8, "uint16": np.uint16}[head["dtype"]]
    height, width = map(int, head["size"])
    if min(height, width) < files.SMALLEST:
        raise ValueError("a photo too small")
    jpeg = head["jpeg"]

    def array(name: str, *shape: int) -> np.ndarray:
        return blocks[name].view(kind).reshape(shape)

    def text(name: str) -> bytes | None:
        return blocks[name].tobytes() if name in blocks else None

    if head["format"] not in photo_kinds.FORMATS or head["orientation"] not in range(1, 9):
        raise ValueError("a photo of no format, or turned in no way")
    return photo.PhotoFile(
        pixels=array("pixels", height, width, 3),
        alpha=array("alpha", height, width) if "alpha" in blocks else None,
        grey=bool(head["grey"]),
        format=head["format"],
        orientation=int(head["orientation"]),
        icc=text("icc"),
        exif=data if head.get("exif_is_file") else text("exif") or b"",
        xmp=text("xmp"),
        jpeg=None if jpeg is None else _jpeg(*jpeg),
        lossless=bool(head["lossless"]),
        words=tuple(_printable(word) for word in head["words"]),
        colours=text("colours") or b"",
        telling=_printable(head.get("telling", "")),
        unkept=tuple(_printable(name) for name in head.get("unkept", ())),
        srgb=bool(head.get("srgb", False)),
    )


def _jpeg(tables: Any, sampling: Any, progressive: Any) -> photo.Jpeg:
    steps = tuple(tuple(map(int, table)) for table in tables)
    known = all(len(table) == 64 and set(table) <= set(range(256)) for table in steps)
    if int(sampling) not in range(3) or not known:
        raise ValueError("tables of no JPEG")
    return photo.Jpeg(steps, int(sampling), bool(progressive))


def _header(head: Mapping[str, Any], _: _Blocks) -> photo.Header:
    (height, width), turn, camera = head["header"]
    if turn not in range(1, 9):
        raise ValueError("a photo turned in no way")
    return photo.Header((int(height), int(width)), int(turn), _printable(camera))


def _printable(text: Any) -> str:
    return printable(str(text))


# ----------------------------------------------------------------------------------- the usual one

_ours = Decoder()
atexit.register(_ours.stop)

start, unconfined, limits = _ours.start, _ours.unconfined, _ours.limits


def read(path: Path | str, *, srgb: bool = False) -> photo.PhotoFile:
    """As `photo.read`."""
    return _ours.read(path, srgb=srgb)


def surprise() -> str:
    """As `Decoder.surprise`, of the usual one."""
    return _ours.surprise()


def read_pixels(path: Path | str) -> UInt8[np.ndarray, "h w 3"]:
    """As `photo.read_pixels`."""
    return photo.opaque(path, _ours.read(path))


def header(path: Path | str) -> photo.Header:
    """As `photo.header`."""
    return _ours.header(path)
