"""The parsers of `benchmarks.fuzz`, led by coverage: what reaches new lines is damaged further.

    pip install atheris
    python -m benchmarks.fuzz_guided --seconds=600 [--parser=NAME] [--corpus=FOLDER]

Atheris counts the branches of our own readers and of what Pillow and tifffile do in Python; how
inputs are damaged and what a finding is stand in `benchmarks.fuzz`. Each parser has a process of
its own and the same time. A process ends at its first finding, whose input lies in FOLDER then.
With --corpus the inputs that reached something new are kept, and begun with the next time.
"""

import argparse
import hashlib
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from random import Random

COVERED = [
    "dippas_jax.io",
    "dippas_jax.datasets",
    "dippas_jax.experiments.report",
    "dippas_jax.experiments.runs",
    "dippas_jax.parallel.manifest",
    "dippas_jax.cli",
    "PIL",
    "tifffile",
]


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.fuzz_guided", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--seconds", type=float, default=600.0, help="how long, all together")
    parser.add_argument("--parser", help="only this one")
    parser.add_argument("--corpus", type=Path, help="a folder to begin with, and to add to")
    parser.add_argument("--alone", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.alone:
        return fuzz(options)
    from benchmarks import fuzz_parsers

    names = [options.parser] if options.parser else list(fuzz_parsers.PARSERS)
    corpus = options.corpus or Path(tempfile.mkdtemp(prefix="corpus-"))
    print("| parser | executions | branches at first | at the end | inputs kept | finding |")
    print("|---|---|---|---|---|---|")
    codes = [row(name, options.seconds / len(names), corpus) for name in names]
    raise SystemExit(1 if any(codes) else 0)


def row(name: str, seconds: float, corpus: Path) -> int:
    """One parser in a process of its own; its exit code, not 0 if there was a finding."""
    folder = corpus / re.sub(r"\W+", "-", name)
    folder.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "benchmarks.fuzz_guided", "--alone", f"--parser={name}"]
    command += [f"--seconds={seconds}", f"--corpus={folder}"]
    done = subprocess.run(command, capture_output=True, check=False)
    told = log_of(folder).read_text(errors="backslashreplace")
    covered = [int(count) for count in re.findall(r"cov: (\d+)", told)] or [0]
    runs = max((int(count) for count in re.findall(r"^#(\d+)", told, re.MULTILINE)), default=0)
    found = re.search(r"Finding: (.*)", told)
    what = found[1] if found else "" if done.returncode == 0 else f"exit code {done.returncode}"
    kept = len(list(folder.iterdir()))
    print(f"| {name} | {runs} | {covered[0]} | {covered[-1]} | {kept} | {what} |", flush=True)
    return done.returncode


def log_of(folder: Path) -> Path:
    """What libFuzzer says, beside a parser's inputs."""
    return folder.with_name(f"{folder.name}.log")


def fuzz(options: argparse.Namespace) -> None:
    """The process of one parser."""
    import atheris

    with atheris.instrument_imports(include=COVERED):
        from benchmarks import fuzz, fuzz_parsers, fuzz_seeds

    parser = fuzz_parsers.PARSERS[options.parser]
    seeds = parser.seeds()
    for number, seed in enumerate(seeds):
        (options.corpus / f"seed-{number}").write_bytes(seed)
    folder = fuzz.prepared()
    (folder / "work").mkdir()
    log = os.open(log_of(options.corpus), os.O_RDWR | os.O_CREAT | os.O_TRUNC)
    for stream in (1, 2):  # Atheris tells findings on the first, libFuzzer all else on the second
        os.dup2(log, stream)

    def test(data: bytes) -> None:
        chosen = hashlib.sha256(data).hexdigest()
        outcome = fuzz.execute(options.parser, data, chosen, folder / "work")
        if outcome not in ("accepted", "refused"):
            raise AssertionError(f"Finding: {outcome} (seed {chosen})")

    def mutated(data: bytes, most: int, seed: int) -> bytes:
        rng = Random(seed)
        if rng.random() < 0.3:
            return atheris.Mutate(data, most)
        return fuzz_seeds.mutated(rng, [data])[:most]

    flags = [
        f"-max_total_time={round(options.seconds)}",
        f"-max_len={fuzz_seeds.MOST}",
        "-rss_limit_mb=0",
    ]
    flags += [f"-timeout={round(fuzz.LONGEST)}", f"-artifact_prefix={options.corpus}."]
    atheris.Setup([sys.argv[0], *flags, str(options.corpus)], test, custom_mutator=mutated)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
