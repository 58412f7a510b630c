"""`dippas anonymize` when it is killed, and in bad places: the benchmark, in short."""

import re
import subprocess
import sys

import pytest


@pytest.mark.slow
def test_killed_and_in_bad_places_it_writes_the_same_bytes_in_the_end():
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.kills_anonymize", "--kills=3"],
        capture_output=True, text=True, check=False, timeout=600,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert "3 kills" in done.stdout
    rows = re.findall(r"^\| (.*) \| (.*) \|$", done.stdout, re.M)[1:]
    assert len(rows) >= 2
    assert all("the same bytes" in told or told.startswith("left out") for _, told in rows)
