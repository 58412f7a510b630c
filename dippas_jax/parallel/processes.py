"""Workers as processes of this machine.

They are spawned, never forked: a fork copies JAX's locks but not its threads, and hangs.
"""

import contextlib
import multiprocessing
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from dippas_jax.io import decoder, files
from dippas_jax.parallel import devices, worker
from dippas_jax.parallel.supervisor import End, Engine, ended_by
from dippas_jax.parallel.worker import Task
from dippas_jax.types import InputError

_SPAWN = multiprocessing.get_context("spawn")
_UNUSABLE = 2  # exit code of a worker that no other would do better than
_DIED = 1  # of one that another one may do better than; both say why
_PATIENCE = 10.0  # seconds for a worker to give back what it is at work on


class _Handle(NamedTuple):
    process: Any
    says: Any  # end of a pipe, on which a worker says why it ended


def local_devices(platform: str = "") -> devices.Devices:
    """The devices of this machine, as a process finds them that lets go of them again.

    Args:
      platform: As JAX_PLATFORMS; "" for JAX's choice.

    Raises:
      InputError: There are none of that platform.
    """
    receive, send = _SPAWN.Pipe(duplex=False)
    process = _SPAWN.Process(target=_look, args=(send,))
    with _environment({"JAX_PLATFORMS": platform} if platform else {}), _deaf():
        process.start()
    send.close()
    try:
        return receive.recv()
    except EOFError:
        raise InputError(
            f"JAX finds no device{f' for {platform}' if platform else ''}; see dippas doctor"
        ) from None
    finally:
        process.join()


def engine(task: Task, found: devices.Devices, workers: int, platform: str = "") -> Engine:
    """Processes of this machine.

    Args:
      task: What they do.
      found: The devices.
      workers: On each device.
      platform: As JAX_PLATFORMS; "" for JAX's choice.
    """
    slots = [(device, place) for place in range(workers) for device in range(found.number)]

    def start(slot: tuple[int, int], owner: str) -> _Handle:
        variables = devices.environment(found.platform, slot[0], workers)
        receive, send = _SPAWN.Pipe(duplex=False)
        process = _SPAWN.Process(target=_work, args=(task, owner, send), daemon=True)
        with _environment(variables | ({"JAX_PLATFORMS": platform} if platform else {})), _deaf():
            process.start()
        send.close()
        return _Handle(process, receive)

    return Engine(lambda: slots, start, _ended, _stop)


def _ended(handle: _Handle) -> End | None:
    code = handle.process.exitcode
    if code is None:
        return None
    if code in (_UNUSABLE, _DIED):
        with contextlib.suppress(EOFError):
            return End(False, code == _DIED, handle.says.recv())
    return End(code == 0, True, "" if code == 0 else _told(code))


def _told(code: int) -> str:
    if code < 0:
        return f"signal {signal.Signals(-code).name}"
    return f"exit code {code}"


def _stop(handles: Sequence[_Handle]) -> None:
    for handle in handles:
        handle.process.terminate()
    until = time.monotonic() + _PATIENCE
    for handle in handles:
        handle.process.join(max(until - time.monotonic(), 0))
        handle.process.kill()  # nothing, if it has ended
        handle.process.join()


@contextlib.contextmanager
def _environment(variables: Mapping[str, str]) -> Iterator[None]:
    """For a process that is being started: it has them before it imports anything."""
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


@contextlib.contextmanager
def _deaf() -> Iterator[None]:
    """A process that is being started never hears a terminal's Ctrl-C, not even in its imports.

    Who started it tells it to stop. A Ctrl-C that comes meanwhile is heard here a moment later.
    """
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


# -------------------------------------------------------------------------- in the other processes


def _look(send: Any) -> None:
    with contextlib.suppress(RuntimeError):
        send.send(devices.found())


def _work(task: Task, owner: str, send: Any) -> None:
    threading.Thread(target=_follow, daemon=True).start()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # where `_deaf` can do nothing
    signal.signal(signal.SIGTERM, _interrupted)
    try:
        files.cache_compilations()
        worker.work(task, owner)
    except Exception as error:  # noqa: BLE001 - every file system has errors of its own
        end = ended_by(error)
        send.send(end.reason)
        sys.exit(_DIED if end.usable else _UNUSABLE)
    except KeyboardInterrupt:
        sys.exit(128 + signal.SIGTERM)
    finally:
        if why := decoder.surprise():
            sys.stderr.write(f"dippas: a worker decoded photos without limits, since {why}\n")


def _interrupted(*_: Any) -> None:
    raise KeyboardInterrupt


def _follow() -> None:
    """Nobody would stop a worker whose parent was killed."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)
