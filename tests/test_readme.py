"""README keeps its promises: the library example runs, its links lead somewhere, it stays short."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def example():
    """The library example."""
    return README.partition("```python\n")[2].partition("```")[0]


@pytest.mark.slow
def test_the_library_example_runs_and_finds_the_camera(capsys):
    assert 5 < len(example().strip().splitlines()) <= 20
    exec(compile(example(), "README.md", "exec"), {})
    first, *rest = capsys.readouterr().out.splitlines()
    assert float(first) > 6
    assert len(rest) == 2


def test_it_is_short():
    assert len(README.splitlines()) <= 120


@pytest.mark.parametrize("page", ["README.md", "WORKSPACE.md", "CONTRIBUTING.md", *(
    f"docs/{path.name}" for path in sorted((ROOT / "docs").glob("*.md"))
)])  # fmt: skip
def test_links_lead_to_files_that_exist(page):
    text = (ROOT / page).read_text(encoding="utf-8")
    for link in re.findall(r"\]\(([^)#]+)", text):
        if not link.startswith("http"):
            assert ((ROOT / page).parent / link).exists(), link


@pytest.mark.parametrize("page", ["README.md", "WORKSPACE.md", *(
    f"docs/{path.name}" for path in sorted((ROOT / "docs").glob("*.md"))
)])  # fmt: skip
def test_commands_that_a_page_names_are_kept(page):
    text = (ROOT / page).read_text(encoding="utf-8")
    assert "not kept" not in text
    for module in re.findall(r"-m benchmarks\.(\w+)", text):
        assert (ROOT / "benchmarks" / f"{module}.py").exists(), module
    for name in re.findall(r"(configs/[\w/]+\.py)", text):
        assert (ROOT / name).exists(), name
