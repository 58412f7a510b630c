"""Damaged files, given to every parser of ours and to `dippas anonymize` as a whole.

    python -m benchmarks.fuzz --seconds=60 [--executions=N] [--seed=S] [--parser=NAME]

A parser may give a value or say in one clear sentence (`InputError`) what is wrong. Anything else
is a finding: another exception, a warning, output on stderr, a crash, more than 10 s, or 1 GiB of
memory more than before. The work is done in a child process, whose memory is limited; a child that
dies is followed by another. Findings are written to a folder, the input made shorter as long as it
gives the same; then the program ends with 1.

Execution N of a parser is the same whenever the seed is: `--seconds` and `--executions` only say
where to stop.
"""

import argparse
import contextlib
import hashlib
import itertools
import math
import mmap
import os
import resource
import shutil
import signal
import sys
import tempfile
import time
import traceback
import warnings
from collections.abc import Sequence
from pathlib import Path
from random import Random

import numpy as np

from benchmarks import fuzz_parsers, fuzz_seeds
from dippas_jax.types import InputError

LONGEST = 10.0
"""Seconds that an execution may take."""

_MEMORY = 1 << 30  # bytes more than the process ever had
_ADDRESSES = 6 << 30  # bytes of address space beyond those of the start
_START = 180.0  # seconds for what a child imports and makes first
_TRIES = 25  # of shortening an input

_DONE, _ACCEPTED, _REFUSED, _FINDINGS, _MICROSECONDS, _SLOWEST = range(6)
_COLUMNS = 6


def execute(name: str, data: bytes, seed: str, folder: Path) -> str | None:
    """One execution: "accepted" or "refused"; else what was found, on lines of its own.

    Args:
      name: Of the parser.
      data: The file.
      seed: Of what the parser chooses by chance.
      folder: An empty one.
    """
    said: list[str] = []
    warnings.showwarning = lambda message, *_: said.append(f"warning: {message}")
    before, peak = os.fstat(2).st_size, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    outcome = "accepted"
    try:
        fuzz_parsers.PARSERS[name].run(Random(seed), data, folder)
    except InputError as error:
        outcome = "refused"
        if not fuzz_parsers.clear(str(error)):
            return f"no clear sentence\n{error!a}"
    except Exception as error:  # noqa: BLE001 - whatever it is, it is a finding
        ours = [f for f in traceback.extract_tb(error.__traceback__) if "dippas_jax" in f.filename]
        place = f"{Path(ours[-1].filename).name}:{ours[-1].lineno}" if ours else "fuzz_parsers"
        what = str(error) if isinstance(error, AssertionError) else ""
        return f"{type(error).__name__} in {place} {what[:60]!a}\n{traceback.format_exc()}"
    if said:
        return said[0]
    if os.fstat(2).st_size > before:
        return f"output on stderr\n{os.pread(2, 400, before)!a}"
    if resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - peak > _MEMORY >> 10:
        return "memory"
    return outcome


def _input(name: str, kept: Sequence[bytes], seed: int, number: int) -> tuple[bytes, str]:
    """What execution `number` of a parser is given, and the seed of what it chooses."""
    key = f"{seed} {name} {number}"
    return fuzz_seeds.mutated(Random(key), kept), key


def prepared() -> Path:
    """A child's folder, its stderr in a file, its memory limited."""
    folder = Path(tempfile.mkdtemp(prefix="fuzz-", dir=_memory_folder()))
    os.environ["XDG_CACHE_HOME"] = str(folder / "cache")
    errors = os.open(folder / "stderr", os.O_RDWR | os.O_CREAT | os.O_APPEND)
    os.dup2(errors, 2)
    sys.stderr = os.fdopen(2, "w", buffering=1, errors="backslashreplace", closefd=False)
    with open("/proc/self/statm") as file:
        most = int(file.read().split()[0]) * resource.getpagesize() + _ADDRESSES
    resource.setrlimit(resource.RLIMIT_AS, (most, most))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    warnings.simplefilter("always")
    return folder


def _memory_folder() -> str | None:
    return "/dev/shm" if os.access("/dev/shm", os.W_OK) else None


def _work(
    state: np.ndarray,
    names: Sequence[str],
    found: set[str],
    options: argparse.Namespace,
    end: float,
) -> None:
    """A child: round after round until there is an end, or until it has found something new."""
    folder, kept = prepared(), {}
    (folder / "work").mkdir()
    first = max(int(state[-1, 0]), 0)  # where the child before was
    try:
        for turn in itertools.count():
            for row, name in [*enumerate(names)][first:]:
                first = 0
                parser = fuzz_parsers.PARSERS[name]
                if name not in kept:
                    state[-1, 0] = -1
                    kept[name] = parser.seeds()
                state[-1, 0] = row
                for _ in range(_count(parser.share, turn) if kept[name] else 0):
                    if not _go_on(state, options, end):
                        return
                    number = int(state[row, _DONE])
                    state[row, _DONE] += 1
                    data, key = _input(name, kept[name], options.seed, number)
                    start = time.perf_counter()
                    outcome = execute(name, data, key, folder / "work")
                    spent = int(1e6 * (time.perf_counter() - start))
                    state[row, _MICROSECONDS] += spent
                    state[row, _SLOWEST] = max(state[row, _SLOWEST], spent)
                    if outcome in ("accepted", "refused"):
                        state[row, _ACCEPTED if outcome == "accepted" else _REFUSED] += 1
                    elif _key(name, outcome) in found:
                        state[row, _FINDINGS] += 1
                    else:
                        Path(options.findings, "last.txt").write_text(outcome)
                        return  # the parent tries it again, in a process of its own
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _count(share: float, turn: int) -> int:
    """How many executions of a parser are due in a round."""
    return math.ceil(share * (turn + 1)) - math.ceil(share * turn)


def _key(name: str, finding: str) -> str:
    return f"{name}: {finding.partition(chr(10))[0]}"


def _go_on(state: np.ndarray, options: argparse.Namespace, end: float) -> bool:
    if options.executions:
        return int(state[:-1, _DONE].sum()) < options.executions
    return time.monotonic() < end


def _forked(work) -> int:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # JAX is not at work in the parent
        child = os.fork()
    if child:
        return child
    code = 70
    with contextlib.suppress(BaseException):
        work()
        code = 0
    os._exit(code)


def _waited(child: int, progress) -> str:
    """How a child ended: "" of itself, or what ended it."""
    last, since = progress(), time.monotonic()
    while True:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            if os.WIFSIGNALED(status):
                return f"crash by {signal.Signals(os.WTERMSIG(status)).name}"
            return "" if os.WEXITSTATUS(status) == 0 else "crash of the child"
        now, limit = progress(), LONGEST
        if now != last:
            last, since = now, time.monotonic()
        if isinstance(now, tuple) and now[0] < 0:
            limit = _START
        if time.monotonic() - since > limit:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            return "hang"
        time.sleep(0.05)


def again(name: str, data: bytes, seed: str) -> str:
    """What an input gives in a process of its own: "", or the finding's first line and more."""
    with tempfile.NamedTemporaryFile() as told:

        def work() -> None:
            folder = prepared()
            (folder / "work").mkdir()
            try:
                outcome = execute(name, data, seed, folder / "work") or ""
                Path(told.name).write_text("" if outcome in ("accepted", "refused") else outcome)
            finally:
                shutil.rmtree(folder, ignore_errors=True)

        ended = _waited(_forked(work), lambda: None)
        return ended or Path(told.name).read_text()


def _shortened(name: str, data: bytes, seed: str, finding: str) -> bytes:
    """The input without the parts that the finding does not need, as far as a few tries tell."""
    first, tries, length = finding.partition("\n")[0], 0, len(data) // 2
    while length and tries < _TRIES and finding != "hang":
        at = 0
        while at < len(data) and tries < _TRIES:
            less, tries = data[:at] + data[at + length :], tries + 1
            if again(name, less, seed).partition("\n")[0] == first:
                data = less
            else:
                at += length
        length //= 2
    return data


def _noted(folder: Path, found: set[str], name: str, data: bytes, seed: str) -> bool:
    """Writes down what an input finds; whether it finds anything again."""
    finding = again(name, data, seed)
    if not finding:
        return False
    key = _key(name, finding)
    if key not in found:
        found.add(key)
        short = _shortened(name, data, seed, finding)
        stem = hashlib.sha256(key.encode()).hexdigest()[:12]
        (folder / f"{stem}.bin").write_bytes(short)
        (folder / f"{stem}.txt").write_text(f"{key}\nseed {seed!r}\n\n{finding}\n")
        print(f"  {key} ({len(data)} bytes, {len(short)} in {folder / stem}.bin)", flush=True)
    return True


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.fuzz", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--seconds", type=float, default=60.0, help="how long")
    parser.add_argument("--executions", type=int, default=0, help="how many, however long")
    parser.add_argument("--seed", type=int, default=0, help="of all randomness")
    parser.add_argument("--parser", choices=tuple(fuzz_parsers.PARSERS), help="only this one")
    parser.add_argument("--findings", metavar="FOLDER", help="where they are written")
    options = parser.parse_args()
    names = [options.parser] if options.parser else list(fuzz_parsers.PARSERS)
    options.findings = options.findings or tempfile.mkdtemp(prefix="findings-")
    folder = Path(options.findings)
    folder.mkdir(parents=True, exist_ok=True)
    shared = mmap.mmap(-1, 8 * _COLUMNS * (len(names) + 1))
    state = np.frombuffer(shared, np.int64).reshape(len(names) + 1, _COLUMNS)
    found: set[str] = set()
    start = time.monotonic()
    end = start + options.seconds
    while _go_on(state, options, end):
        ended = _waited(
            _forked(lambda: _work(state, names, found, options, end)),
            lambda: (int(state[-1, 0]), int(state[:-1, _DONE].sum())),
        )
        row = int(state[-1, 0])
        if row < 0:
            raise SystemExit(f"benchmarks: seeds cannot be made ({ended})")
        told = int(state[row, _ACCEPTED] + state[row, _REFUSED] + state[row, _FINDINGS])
        if told == state[row, _DONE]:
            if ended:
                raise SystemExit(f"benchmarks: {ended} between two executions")
            continue
        name = names[row]
        kept = fuzz_parsers.PARSERS[name].seeds()
        data, key = _input(name, kept, options.seed, int(state[row, _DONE]) - 1)
        if _noted(folder, found, name, data, key):
            state[row, _FINDINGS] += 1
        else:  # one that needs what came before, or a machine that was busy
            state[row, _REFUSED] += 1
            what = ended or (folder / "last.txt").read_text()[:300]
            print(f"  {key!r} did not come again: {what!a}", flush=True)
    print("| parser | executions | accepted | refused | findings | a second | slowest, ms |")
    print("|---|---|---|---|---|---|---|")
    for name, row in [*zip(names, state, strict=False), ("all", state[:-1].sum(0))]:
        slowest = state[:-1, _SLOWEST].max() if name == "all" else row[_SLOWEST]
        rate = 1e6 * row[_DONE] / max(row[_MICROSECONDS], 1)
        print(f"| {name} | {' | '.join(map(str, row[:4]))} | {rate:.0f} | {slowest / 1000:.0f} |")
    print(f"{time.monotonic() - start:.0f} s; seed {options.seed}")
    for key in found:
        print(key)
    if found:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
