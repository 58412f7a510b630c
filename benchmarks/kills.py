"""Runs that are killed at random moments must end in the same bytes as one that is not.

    python -m benchmarks.kills --kills=20
    python -m benchmarks.kills --kills=20 --tiles

The quick setting on two photos, a checkpoint after every chunk. The main program is killed
(SIGKILL) at a random moment of the time it needs, started again, and so on until it ends; then its
photos are compared with those of an uninterrupted run. Rounds follow until there were as many kills
as asked for. With --tiles every photo has four tiles.
"""

import argparse
import hashlib
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

_SETTINGS = (
    "--config=configs/aware.py:quick",
    "--config.data.limit=2",
    "--config.inversion.max_steps=400",
    "--config.inversion.stop_psnr=60.0",
    "--config.checkpoint_seconds=0.0",
)
_TILES = ("--config.data.crop=96", "--config.tile=64", "--config.inversion.max_steps=100")


def _start(workdir: Path, *more: str) -> subprocess.Popen:
    command = [sys.executable, "-m", "dippas_jax.main", f"--workdir={workdir}", *_SETTINGS, *more]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def _photos(workdir: Path) -> dict[str, str]:
    files = sorted((workdir / "photos").glob("*.png")) + sorted(workdir.glob("*/*.history.json"))
    return {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in files}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.kills", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--kills", type=int, default=20, help="kills in all")
    parser.add_argument("--seed", type=int, default=0, help="of the moments")
    parser.add_argument("--tiles", action="store_true", help="photos of four tiles")
    options = parser.parse_args()
    more = _TILES if options.tiles else ()
    draw = random.Random(options.seed)
    with tempfile.TemporaryDirectory() as folder:
        for name in ("warm", "whole"):  # the first fills the cache of compilations
            start = time.monotonic()
            if _start(Path(folder) / name, *more).wait():
                raise SystemExit("benchmarks: the uninterrupted run failed")
            needed = time.monotonic() - start
        expected = _photos(Path(folder) / "whole")
        print(f"uninterrupted: {needed:.1f} s, {len(expected)} files", flush=True)
        kills, rounds = 0, 0
        while kills < options.kills:
            workdir, moments, code = Path(folder) / f"round{rounds}", [], None
            while code is None:
                process = _start(workdir, *more)
                moment = draw.uniform(0, needed) if kills < options.kills else 10 * needed
                try:
                    code = process.wait(moment)
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait()
                    kills += 1
                    moments.append(round(moment, 1))
            if code or _photos(workdir) != expected:
                raise SystemExit(f"DIFFERENT after kills at {moments} s (exit code {code})")
            rounds += 1
            print(f"round {rounds}: killed after {moments} s, then the same bytes", flush=True)
    print(f"{kills} kills, {rounds} rounds: identical bytes")


if __name__ == "__main__":
    main()
