"""`dippas anonymize`, killed at random moments and run in bad places: the same bytes in the end?

    python -m benchmarks.kills_anonymize --kills=200

Six small photos, PNG (8 and 16 bits), JPEG, TIFF (8 and 16 bits) and WebP. The command is killed
(SIGKILL) at a random moment, of all the time it needs or soon after it has written a photo, given
again, and so on until it ends; then what is in its folder is compared with what an undisturbed run
wrote, names and bytes. Rounds follow until there were as many kills as asked for. Then come places:
a full disk, a limit on the size of files, a folder that is read-only, no home, a cache of another
user.

Processes are forked from one that has imported everything, so that kills meet the work and not the
imports. Some places need root, and are left out without it.
"""

import argparse
import hashlib
import math
import os
import random
import resource
import signal
import subprocess
import sys
import tempfile
import time
import traceback
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

from benchmarks import fuzz_seeds
from dippas_jax.cli import anonymize, console, main  # noqa: F401 - what children need is imported

_NOBODY = 65534
_NO_ONE = 54321  # a user that is in no list of users, so without a home
_OPTIONS = ("--blind", "--method", "warp", "-o")
_SLOW = 20  # times what a run needs: then it hangs


def _photos(folder: Path) -> None:
    pngs, tiffs = fuzz_seeds.pngs(), fuzz_seeds.tiffs()
    given = {
        "a.png": fuzz_seeds.png(3, 8),
        "b.png": pngs[0],
        "c.jpg": fuzz_seeds.jpegs()[1],
        "d.tif": tiffs[1],
        "e.tif": tiffs[-10],
        "f.webp": fuzz_seeds.others()[1],
    }
    folder.mkdir(parents=True)
    for name, data in given.items():
        (folder / name).write_bytes(data)


def _tree(folder: Path) -> dict[str, str]:
    """Every file below a folder, hidden ones too, by its hash."""
    found = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(p.relative_to(folder)): hashlib.sha256(p.read_bytes()).hexdigest() for p in found}


def _start(root: Path, out: Path, before: Callable[[], None] = lambda: None) -> int:
    """The command in a process of its own, whose words go to root/said; its number."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # JAX is not at work in this process
        child = os.fork()
    if child:
        return child
    code = 70
    try:
        said = os.open(root / "said", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o666)
        os.dup2(said, 1)
        os.dup2(said, 2)
        before()
        code = main.main(["anonymize", str(root / "in"), *_OPTIONS, f"{out}/"])
    except BaseException:  # noqa: BLE001 - a child ends here, whatever happens
        os.write(2, traceback.format_exc().encode())
    finally:
        os._exit(code)


def _ended(child: int, within: float, begun: Callable[[], bool] = lambda: True) -> int | None:
    """Its exit code; None if it had to be killed, so long after it had begun."""
    end = time.monotonic() + within if begun() else math.inf
    while time.monotonic() < end:
        if end == math.inf and begun():
            end = time.monotonic() + within
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.002)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return None


def _require(truth: bool, what: str, root: Path) -> None:
    if not truth:
        raise SystemExit(f"WRONG: {what}\n{(root / 'said').read_text()}")


def _killed(root: Path, kills: int, seed: int, needed: float, expected: dict[str, str]) -> None:
    draw, originals = random.Random(seed), _tree(root / "in")
    done, between, rounds = 0, 0, 0
    while done < kills:
        out, code = root / f"round{rounds}", None
        while code is None:
            last = done >= kills
            already = len(_tree(out))
            start, child = time.monotonic(), _start(root, out)
            if last:
                code = _ended(child, _SLOW * needed)
            elif draw.random() < 0.5:
                code = _ended(child, draw.uniform(0, needed))
            else:  # at work on the photos, which takes a small part of it
                within = draw.uniform(0, needed / 20)
                code = _ended(child, within, lambda n=already, out=out: len(_tree(out)) > n)
            if code is None:
                _require(not last, f"a run hangs after {done} kills", root)
                done += 1
                left = _tree(out)
                between += 0 < len(left) < len(expected)
                _require(left.items() <= expected.items(), f"{left} left by a kill", root)
        _require(code in (console.DONE, console.TRACED), f"exit code {code}", root)
        _require(_tree(out) == expected, f"other files than undisturbed: {_tree(out)}", root)
        _require(_tree(root / "in") == originals, "an original was changed", root)
        if not already:  # the machine is less busy than it was, or better warmed up
            needed = min(needed, time.monotonic() - start)
        rounds += 1
    left = [path for path in root.rglob("*.tmp")]
    _require(not left, f"{left} left behind", root)
    print(
        f"{done} kills, {between} of them after some photos and before the last, {rounds} rounds: "
        "identical bytes, nothing left behind",
        flush=True,
    )


# ------------------------------------------------------------------------------------------- places


def _as(user: int) -> Callable[[], None]:
    def before() -> None:
        os.setgroups([])
        os.setgid(user)
        os.setuid(user)

    return before


def _limited() -> None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (9000, resource.RLIM_INFINITY))


def _again(root: Path, out: Path, expected: dict[str, str], needed: float) -> str:
    """Once more without what was in the way."""
    code = _ended(_start(root, out), _SLOW * needed)
    _require(code in (console.DONE, console.TRACED), f"exit code {code} when going on", root)
    _require(_tree(out) == expected, f"other files when going on: {_tree(out)}", root)
    return "then the same bytes"


def _failed(root: Path, out: Path, code: int | None, expected: dict[str, str]) -> str:
    said = (root / "said").read_text()
    left = _tree(out)
    _require(code in (1, 2), f"exit code {code}", root)
    _require(left.items() <= expected.items(), f"{left} left behind", root)
    _require("Traceback" not in said and "cannot be written" in said, "no clear sentence", root)
    return f"exit code {code}, {len(left)} of {len(expected)} outputs, all whole"


def _programs(cache: Path) -> set[str]:
    """The compiled programs in a cache, which are run: nobody else's may be."""
    return {name for name in _tree(cache) if "-cache" in name or "-atime" in name}


def _places(root: Path, needed: float, expected: dict[str, str]) -> Iterator[tuple[str, str]]:
    most = _SLOW * needed
    out = root / "limited"
    code = _ended(_start(root, out, _limited), most)
    told = _failed(root, out, code, expected)
    yield "RLIMIT_FSIZE of 9000 bytes", f"{told}; {_again(root, out, expected, needed)}"
    if os.getuid() != 0:
        yield "full disk, read-only, no home, another's cache", "left out: needs root"
        return
    out = root / "full"
    out.mkdir()
    if subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", out], check=False
    ).returncode:
        yield "full disk", "left out: nothing can be mounted"
    else:
        try:
            (out / "fill").write_bytes(bytes(40000))
            code = _ended(_start(root, out), most)
            (out / "fill").unlink()
            told = _failed(root, out, code, expected)
            subprocess.run(["mount", "-o", "remount,size=9m", out], check=True)
            yield "full disk", f"{told}; {_again(root, out, expected, needed)}"
        finally:
            subprocess.run(["umount", out], check=True)
    out = root / "locked"
    out.mkdir(mode=0o755)
    told = _failed(root, out, _ended(_start(root, out, _as(_NOBODY)), most), expected)
    yield "read-only folder", f"{told}; {_again(root, out, expected, needed)}"
    for place, user, cache in (
        ("no home", _NO_ONE, None),
        ("cache of another user", _NOBODY, root / "cache"),
        ("cache of another user, writable by all", _NOBODY, root / "open"),
    ):
        out = root / place.replace(" ", "-")
        out.mkdir()
        os.chown(out, user, user)
        if cache == root / "open":
            (cache / "dippas_jax").mkdir(parents=True)
            (cache / "dippas_jax").chmod(0o777)
        before = set() if cache is None else _programs(cache)

        def enter(user: int = user, cache: Path | None = cache) -> None:
            _as(user)()
            for name in ("HOME", "XDG_CACHE_HOME"):
                os.environ.pop(name, None)
            if cache is not None:
                os.environ["XDG_CACHE_HOME"] = str(cache)

        code = _ended(_start(root, out, enter), 10 * most)
        _require(code in (console.DONE, console.TRACED), f"{place}: exit code {code}", root)
        _require(_tree(out) == expected, f"{place}: other files", root)
        used = cache is not None and _programs(cache) != before
        _require(not used, f"{place}: the cache was used", root)
        yield place, "the same bytes" + ("" if cache is None else ", no program kept there")


def run() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.kills_anonymize", description=__doc__
    )
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--kills", type=int, default=200, help="kills in all")
    parser.add_argument("--seed", type=int, default=0, help="of the moments")
    options = parser.parse_args()
    os.environ["JAX_PLATFORMS"] = "cpu"
    os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0"
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        root.chmod(0o755)
        (root / "said").touch()
        (root / "said").chmod(0o666)
        os.environ["XDG_CACHE_HOME"] = str(root / "cache")
        _photos(root / "in")
        for name in ("warm", "whole"):  # the first fills the cache of compilations
            start = time.monotonic()
            code = _ended(_start(root, root / name), 600)
            needed = time.monotonic() - start
            _require(code in (console.DONE, console.TRACED), f"exit code {code}", root)
        expected = _tree(root / "whole")
        print(f"undisturbed: {needed:.1f} s, {len(expected)} files", flush=True)
        _require(_tree(root / "warm") == expected, "two undisturbed runs differ", root)
        _killed(root, options.kills, options.seed, needed, expected)
        print("| place | what came of it |")
        print("|---|---|")
        for place, told in _places(root, needed, expected):
            print(f"| {place} | {told} |", flush=True)


if __name__ == "__main__":
    sys.exit(run())
