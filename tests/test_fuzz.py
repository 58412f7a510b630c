"""A short run of the fuzzer over every parser: it is the same again, and finds nothing."""

import re
import subprocess
import sys
from random import Random

import pytest

from benchmarks import fuzz, fuzz_parsers, fuzz_seeds


def test_a_short_run_finds_nothing_in_any_parser(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.fuzz", "--executions=800", f"--findings={tmp_path}"],
        capture_output=True, text=True, check=False, timeout=300,
    )  # fmt: skip
    rows = re.findall(r"^\| (.*?) \| (\d+) \| (\d+) \| (\d+) \| (\d+) \|", done.stdout, re.M)
    figures = {name: tuple(map(int, rest)) for name, *rest in rows}
    assert figures.keys() == {*fuzz_parsers.PARSERS, "all"}, done.stdout + done.stderr
    assert all(executions > 0 for executions, *_ in figures.values())
    assert figures["all"][0] == 800
    assert figures["all"][3] == 0, done.stdout
    assert done.returncode == 0
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", fuzz_parsers.PARSERS)
def test_inputs_are_the_same_for_the_same_seed_and_hardly_ever_whole(name):
    kept = fuzz_parsers.PARSERS[name].seeds()
    made = [fuzz_seeds.mutated(Random(number), kept) for number in range(30)]
    assert made == [fuzz_seeds.mutated(Random(number), kept) for number in range(30)]
    assert sum(data not in kept for data in made) > 20
    assert len(set(made)) > 20


def broken(rng, data, folder):
    if len(data) < 40:
        raise KeyError("short")


@pytest.mark.parametrize(
    ("run", "said"),
    [
        (broken, "KeyError in fuzz_parsers"),
        (lambda *_: print("words", file=sys.stderr), "output on stderr"),
        (lambda *_: fuzz.os.kill(fuzz.os.getpid(), 9), "crash by SIGKILL"),
        (lambda *_: fuzz.time.sleep(60), "hang"),
        (lambda *_: fuzz.warnings.warn("odd", stacklevel=1), "warning: odd"),
    ],
    ids=["error", "stderr", "crash", "hang", "warning"],
)
def test_what_goes_wrong_is_found(monkeypatch, run, said):
    monkeypatch.setattr(fuzz, "LONGEST", 1.0)
    monkeypatch.setitem(fuzz_parsers.PARSERS, "a", fuzz_parsers.Parser(run, list, 1))
    assert fuzz.again("a", b"12", "0").startswith(said)
