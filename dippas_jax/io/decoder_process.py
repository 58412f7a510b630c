"""The process that decodes photos: `decoder` starts it, and speaks to it.

It has Pillow and its like imported, and forks for every photo. The fork reads a question from a
socket of its own, gives up what it does not need (`confinement`), decodes, answers and ends: what
takes a decoder over has a process without rights, which meets no other photo.

A message is the length of a text, the text, which is JSON, and blocks of bytes whose lengths it
tells. Nothing is unpickled.

    python -P -m dippas_jax.io.decoder_process      (its stdin is a socket)
"""

import contextlib
import importlib
import io
import json
import os
import signal
import socket
import struct
import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from PIL import Image

from dippas_jax.io import confinement, photo, photo_reasons
from dippas_jax.types import InputError, OutOfReachError

Head = dict[str, Any]
Blocks = Mapping[str, np.ndarray | bytes | None]
Answer = tuple[Head, Blocks]

_LATER = (
    "pillow_heif", "PIL.ImageCms", "tifffile._imagecodecs", "bz2", "lzma", "encodings.ascii",
    "encodings.cp1252", "encodings.latin_1", "encodings.utf_16", "encodings.utf_16_be",
    "encodings.utf_16_le", "encodings.utf_8",
)  # fmt: skip
"""What decoders import when they need it, which they cannot once they are confined."""

_LENGTH, _STATUS = struct.Struct("<I"), struct.Struct("<i")
_LONGEST = 1 << 24  # bytes of a message's text
NO_PROCESS = 1 << 16
"""In place of an exit code: the system had no process, or no memory for one."""


def serve(answer: Callable[[Head, bytes], Answer] | None = None) -> None:
    """Answers questions until nobody can ask any more.

    Args:
      answer: In place of `answered`.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # whoever asks is told, and ends this
    control = socket.socket(fileno=os.dup(0))
    Image.init()
    for name in _LATER:
        with contextlib.suppress(ImportError):
            importlib.import_module(name)
    with control:
        while True:
            _, handles, _, _ = socket.recv_fds(control, 1, 1)
            if not handles:
                return
            try:
                child = os.fork()
            except OSError:
                os.close(handles[0])
                with contextlib.suppress(OSError):
                    control.sendall(_STATUS.pack(NO_PROCESS))
                continue
            if not child:
                try:
                    control.close()
                    os.close(0)
                    _answer(socket.socket(fileno=handles[0]), answer or answered)
                finally:
                    os._exit(1)
            os.close(handles[0])
            _, status = os.waitpid(child, 0)
            with contextlib.suppress(OSError):
                control.sendall(_STATUS.pack(os.waitstatus_to_exitcode(status)))


def _answer(line: socket.socket, answer: Callable[[Head, bytes], Answer]) -> None:
    question, blocks = receive(line)
    held = confinement.confine(confinement.Limits(*question["limits"]))
    told: Answer
    try:
        if question["ask"] == "limits":
            told = {"limits": held}, {}
        else:
            told = answer(question, blocks["data"].tobytes())
    except InputError as error:
        told = {"failed": str(error), "away": isinstance(error, OutOfReachError)}, {}
    except MemoryError:
        told = {"failed": str(photo_reasons.too_much(question["path"]))}, {}
    send(line, *told)
    os._exit(0)


def answered(question: Head, data: bytes) -> Answer:
    """What `photo` tells of a file's content."""
    path = question["path"]
    if question["ask"] == "header":
        return {"header": photo.header_in(path, io.BytesIO(data))}, {}
    found = photo.from_bytes(path, data, srgb=question["srgb"])
    arrays = ("pixels", "alpha", "icc", "exif", "xmp", "colours")
    head = {name: value for name, value in found._asdict().items() if name not in arrays}
    head |= {"dtype": str(found.pixels.dtype), "size": found.pixels.shape[:2]}
    blocks = {name: getattr(found, name) for name in arrays}
    if found.exif == data:  # of a TIFF, which whoever asks has
        head["exif_is_file"] = True
        blocks["exif"] = b""
    return head, blocks


# ---------------------------------------------------------------------------------------- messages


def send(line: socket.socket, head: Head, blocks: Blocks) -> None:
    """Sends a message; what is None comes without a block."""
    views = {
        name: np.ascontiguousarray(block).reshape(-1).view(np.uint8).data
        if isinstance(block, np.ndarray)
        else memoryview(block)
        for name, block in blocks.items()
        if block is not None
    }
    lengths = [(name, view.nbytes) for name, view in views.items()]
    text = json.dumps(head | {"blocks": lengths}).encode()
    line.sendall(_LENGTH.pack(len(text)) + text)
    for view in views.values():
        if view.nbytes:  # nothing more is waited for, and the other side may be gone
            line.sendall(view)


def receive(
    line: socket.socket, *, most: int = 1 << 40, until: float | None = None
) -> tuple[Head, dict[str, np.ndarray]]:
    """A message: what its text says, and its blocks as uint8 that may be written to.

    Args:
      line: Where it comes from.
      most: Bytes of all blocks.
      until: By `time.monotonic`, when it has to be there.

    Raises:
      EOFError: The other side has ended.
      TimeoutError: It was not there in time.
      ValueError: It is no message.
    """
    (length,) = _LENGTH.unpack(_received(line, _LENGTH.size, until).data)
    if length > _LONGEST:
        raise ValueError("a message with a text too long")
    head = json.loads(_received(line, length, until).tobytes())
    lengths = [(str(name), int(size)) for name, size in head.pop("blocks")]
    if any(size < 0 for _, size in lengths) or sum(size for _, size in lengths) > most:
        raise ValueError("a message with blocks too long")
    return head, {name: _received(line, size, until) for name, size in lengths}


def status(control: socket.socket, *, until: float) -> int:
    """How a photo's process has ended: its exit code, or minus its signal; raises as `receive`."""
    (code,) = _STATUS.unpack(_received(control, _STATUS.size, until).data)
    return code


def _received(line: socket.socket, size: int, until: float | None) -> np.ndarray:
    found = np.empty(size, np.uint8)  # takes no memory until something comes
    view, at = found.data, 0
    while at < size:
        if until is not None:
            line.settimeout(max(until - time.monotonic(), 1e-3))
        count = line.recv_into(view[at:])
        if not count:
            raise EOFError
        at += count
    return found


if __name__ == "__main__":
    serve()
