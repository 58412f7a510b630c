"""A campaign whose workers are killed does every photo once, in the same bytes as one left alone.

    python -m benchmarks.campaign --photos=500 --kills=3 --stops=1
    python -m benchmarks.campaign --photos=24 --shards=2

Small simulated photos, and six files that cannot be used. First the campaign runs undisturbed
(`--folder` keeps that run for the next time), and `dippas anonymize` treats a few photos by itself.
Then it runs again: at random moments a random worker is killed (SIGKILL), and the command itself,
with all its workers, is killed and given again. What counts as repeated is every try at a photo
beyond the first. With `--shards` nobody is killed: several commands share the manifest.
"""

import argparse
import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image

from dippas_jax.datasets import synthetic

_SIDE = 64
_SAMPLE = 5  # photos that `dippas anonymize` treats as well
_COMMAND = (sys.executable, "-m", "dippas_jax.cli")


def make(folder: Path, count: int) -> Path:
    """So many photos, six bad files among them, and their manifest."""
    folder.mkdir(parents=True, exist_ok=True)
    names = [f"{n:04d}.png" for n in range(count)]
    for n, name in enumerate(names):
        if not (folder / name).exists():
            pixels = synthetic.expose(synthetic.Camera(n % 3), synthetic.scene(n, _SIDE), n)
            Image.fromarray(pixels).save(folder / name)
    whole = (folder / names[0]).read_bytes()
    (folder / "truncated.png").write_bytes(whole[: len(whole) // 2])
    (folder / "text.jpg").write_text("not a photo")
    (folder / "empty.jpg").write_bytes(b"")
    Image.fromarray(np.zeros((32, 32, 3), np.uint8)).save(folder / "small.png")
    (folder / "raw.nef").write_bytes(b"II*\0" + bytes(60))
    bad = ["truncated.png", "text.jpg", "empty.jpg", "small.png", "raw.nef", "missing.jpg"]
    for n, name in enumerate(bad):
        names.insert(n * len(names) // len(bad), name)
    (folder / "list.txt").write_text("".join(f"{name}\n" for name in names))
    return folder / "list.txt"


def start(manifest: Path, output: Path, *options: str, **environment: str) -> subprocess.Popen:
    """The command, at work."""
    command = [*_COMMAND, "campaign", str(manifest), "-o", str(output), "--json", *options]
    return subprocess.Popen(
        command,
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )


def summary(process: subprocess.Popen) -> dict:
    """What a command that ended by itself says; bad files make its code 1."""
    out, _ = process.communicate()
    if process.returncode not in (0, 1, 4):
        raise SystemExit(f"benchmarks: the campaign ended with code {process.returncode}")
    try:
        return json.loads(out)
    except ValueError:
        raise SystemExit(f"benchmarks: the campaign said {out!r}") from None


def outputs(folder: Path) -> dict[str, bytes]:
    """Every output whole and of its size, by name."""
    found = {path.name: path.read_bytes() for path in (folder / "photos").glob("[!.]*")}
    for name in found:
        with Image.open(folder / "photos" / name) as photo:
            photo.load()
            assert photo.size == (_SIDE, _SIDE), name
    return found


def tell(found: dict, expected: dict[str, bytes], written: dict[str, bytes]) -> None:
    """What came of a disturbed run; ends the program if it is not as it must be."""
    repeated = found["repeated"] / found["photos"]
    print(
        f"{found['done']} done, {found['quarantined']} quarantined, {found['left']} left; "
        f"{len(written)} outputs, {found['repeated']} tries repeated ({100 * repeated:.2f} %)"
    )
    for photo, reason in found["reasons"].items():
        print(f"  {Path(photo).name}: {reason.replace(photo, Path(photo).name)}")
    if written != expected or found["left"] or found["done"] != len(expected):
        raise SystemExit("benchmarks: photos are lost or DIFFERENT")
    print("the same bytes as the undisturbed run")


def disturbed(manifest: Path, output: Path, photos: int, options: argparse.Namespace) -> dict:
    """The summary of a run with kills at random moments."""
    draw = random.Random(options.seed)
    moments = draw.sample(range(photos // 20, photos - photos // 20), options.kills + options.stops)
    stops = set(draw.sample(moments, options.stops))
    process, began = start(manifest, output, f"--workers={options.workers}"), time.monotonic()
    for moment in sorted(moments):
        while _count(output / "done") < moment:
            if process.poll() is not None:
                raise SystemExit(f"benchmarks: the campaign ended with code {process.returncode}")
            time.sleep(0.05)
        time.sleep(draw.uniform(0, 2))
        if moment in stops:
            process.kill()
            process.communicate()
            said, process = "all of it", start(manifest, output, f"--workers={options.workers}")
        else:
            said = f"worker {_kill(output, draw)}"
        done, at = _count(output / "done"), time.monotonic() - began
        print(f"killed {said} after {done} photos and {at:.0f} s", flush=True)
    return summary(process)


def _kill(output: Path, draw: random.Random) -> str:
    """Kill a worker that lives, and name it."""
    while True:
        workers = [
            json.loads(path.read_text()) | {"name": path.stem}
            for path in (output / "workers").glob("[!.]*")
        ]
        alive = [one for one in workers if one["state"] == "working" and one["photos"]]
        victim = draw.choice(alive) if alive else None
        with contextlib.suppress(ProcessLookupError):
            if victim:
                os.kill(victim["pid"], signal.SIGKILL)
                return victim["name"]
        time.sleep(0.1)


def _count(folder: Path) -> int:
    return len(list(folder.glob("[!.]*"))) if folder.is_dir() else 0


def undisturbed(manifest: Path, output: Path, workers: int) -> dict[str, bytes]:
    """The outputs of a run that nobody disturbs; one that was finished before is taken."""
    before, began = _count(output / "done"), time.monotonic()
    found = summary(start(manifest, output, f"--workers={workers}"))
    seconds = "done before" if before else f"{time.monotonic() - began:.0f} s"
    written = outputs(output)
    print(f"undisturbed: {found['done']} done, {len(written)} outputs, {seconds}", flush=True)
    return written


def sharded(manifest: Path, output: Path, count: int) -> dict:
    """The summary of a run by so many commands at once, told their numbers as schedulers do."""
    commands = []
    for n in range(count):
        if n % 2:
            told, option = {"JOB_COMPLETION_INDEX": str(n)}, f"--shard=auto/{count}"
        else:
            known = {"ID": n, "MIN": 0, "MAX": count - 1, "STEP": 1, "COUNT": count}
            told = {f"SLURM_ARRAY_TASK_{name}": str(value) for name, value in known.items()}
            option = "--shard=auto"
        commands.append(start(manifest, output, option, **told))
    for command in commands:
        summary(command)
    return summary(start(manifest, output, "--summary"))


def _compare(manifest: Path, expected: dict[str, bytes], folder: Path) -> None:
    """A few photos by `dippas anonymize`, which knows nothing of campaigns."""
    names = [name for name in manifest.read_text().split() if name[0].isdigit()][:_SAMPLE]
    photos = [str(manifest.parent / name) for name in names]
    subprocess.run(
        [*_COMMAND, "anonymize", *photos, "-o", f"{folder}/", "--blind"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    alone = {path.read_bytes() for path in folder.glob("*.png")}
    same = len(alone & set(expected.values()))
    print(f"{same} of {len(names)} as dippas anonymize writes them", flush=True)
    if same != len(names):
        raise SystemExit("benchmarks: DIFFERENT")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.campaign", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--photos", type=int, default=500)
    parser.add_argument("--kills", type=int, default=3, help="of a worker")
    parser.add_argument("--stops", type=int, default=1, help="of the command and all its workers")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument(
        "--shards",
        type=int,
        default=0,
        help="instead of kills: commands at once, as in an array of SLURM and an indexed job",
    )
    parser.add_argument("--seed", type=int, default=0, help="of the moments")
    parser.add_argument("--folder", type=Path, help="where the undisturbed run is kept")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.folder or Path(temporary)
        manifest = make(folder / "in", options.photos)
        expected = undisturbed(manifest, folder / "whole", options.workers)
        _compare(manifest, expected, Path(temporary) / "alone")
        output = Path(temporary) / "again"
        if options.shards:
            found = sharded(manifest, output, options.shards)
        else:
            found = disturbed(manifest, output, options.photos, options)
        tell(found, expected, outputs(output))


if __name__ == "__main__":
    main()
