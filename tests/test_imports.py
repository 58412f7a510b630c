"""Which module may import which, read from the source: imports point one way."""

import ast
import functools
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "dippas_jax"

BASE = {"types", "config"}
SIGNAL = {"image", "wavelet", "residual", "fingerprint", "correlation"}
PRIOR = {"convolution", "noise", "generator", "optimizer", "inversion"}
WALK = {"blocks", "pool", "anonymize", "sparse", "tiles", "mixture", "rebuilt", "engine"}
LABORATORY = {"baselines", "evaluation"}
EDGES = {
    "report",
    "store",
    "checkpoint",
    "datasets",
    "weights",
    "fingerprint_file",
    "pictures",
    "charts",
}

PHOTOS = {"metadata", "colours", "sixteen_bits", "photo_file", "photo_encoder"}

MAY = {
    "": BASE | SIGNAL | PRIOR | WALK | {"report", "store", "datasets"},
    "types": set(),
    "config": {"types"},
    "settings": BASE,
    "presets": BASE | {"baselines", "datasets"},
    "image": BASE,
    "wavelet": BASE | {"image"},
    "residual": BASE | {"image", "wavelet"},
    "fingerprint": BASE | {"image", "wavelet", "residual"},
    "correlation": BASE | {"image", "wavelet", "residual"},
    "convolution": BASE,
    "noise": BASE,
    "generator": BASE | {"convolution"},
    "optimizer": BASE,
    "inversion": BASE | SIGNAL | {"noise", "generator", "optimizer"},
    "blocks": BASE,
    "sparse": BASE | SIGNAL,
    "tiles": set(),
    "mixture": BASE | SIGNAL | {"sparse", "tiles"},
    "rebuilt": BASE | SIGNAL | {"sparse", "tiles"},
    "engine": BASE | SIGNAL | {"tiles", "mixture", "rebuilt"},
    "pool": BASE | SIGNAL | PRIOR | {"blocks"},
    "anonymize": BASE | SIGNAL | PRIOR | {"blocks", "pool"},
    "report": BASE | SIGNAL | PRIOR | WALK,
    "store": BASE | {"fingerprint_file"},
    "checkpoint": BASE | {"store"},
    "datasets": BASE | SIGNAL | {"store"},
    "baselines": BASE | SIGNAL,
    "evaluation": BASE | SIGNAL,
    "flatfield": BASE | SIGNAL,
    "matlab": BASE,
    "fingerprint_file": BASE | {"matlab"},
    "pictures": BASE,
    "charts": BASE,
    "weights": BASE | {"store"},
    "metadata": BASE,
    "colours": BASE,
    "sixteen_bits": BASE | {"metadata", "colours"},
    "photo_file": BASE | {"store", "metadata", "colours", "sixteen_bits"},
    "photo_encoder": BASE | {"store", "metadata", "sixteen_bits", "photo_file"},
    "page": BASE,
    "verbs": BASE
    | SIGNAL
    | EDGES
    | LABORATORY
    | {
        "flatfield",
        "engine",
        "mixture",
        "tiles",
        "metadata",
        "photo_file",
        "photo_encoder",
        "page",
    },
    "runs": BASE | SIGNAL | PRIOR | WALK | EDGES | {"settings"},
    "places": BASE | SIGNAL | {"store", "datasets", "runs"},
    "methods": BASE | EDGES | LABORATORY | {"settings", "runs", "places"},
    "study": BASE | SIGNAL | PRIOR | WALK | EDGES | LABORATORY | {"runs", "places", "methods"},
    "main": BASE | SIGNAL | PRIOR | WALK | EDGES | {"settings", "runs", "study"},
    "cli": BASE | SIGNAL | EDGES | LABORATORY | {"verbs"},
}
"""Of a new module this asks one thing: where in the house it stands."""

ONLY_IN = {
    "flax": {"generator", "evaluation"},
    "optax": {"optimizer", "inversion"},
    "orbax": {"checkpoint"},
    "PIL": {
        "store",
        "colours",
        "sixteen_bits",
        "photo_file",
        "photo_encoder",
        "metadata",
        "page",
        "evaluation",
    },
    "absl": {"main"},
    "ml_collections": {"settings", "main"},
    "pywt": {"wavelet"},
    "matplotlib": {"report", "pictures", "charts"},
    "tifffile": {"sixteen_bits"},
    "jinja2": {"page"},
    "tqdm": {"main", "runs", "study", "verbs"},
    "h5py": {"fingerprint_file"},
    "argparse": {"cli"},
    "torch": set(),
    "pickle": set(),
}


def room(path):
    """The module's name; all of a family, such as datasets, is one room."""
    first = path.relative_to(PACKAGE).parts[0]
    return first.removesuffix(".py").removeprefix("__init__")


def modules(tree):
    """Dotted names of all that is imported, anywhere in the source."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


@functools.cache
def imports():
    """For every room, what it imports of the package, and of others."""
    found = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        ours, others = found.setdefault(room(path), (set(), set()))
        for name in modules(ast.parse(path.read_text(encoding="utf-8"))):
            parts = name.split(".")
            if parts[0] == "dippas_jax":
                ours.add(parts[1] if len(parts) > 1 else "")
            else:
                others.add(parts[0])
    return found


def test_the_source_is_read():
    ours, others = imports()["inversion"]
    assert {"generator", "image", "optimizer", "types", "config"} <= ours
    assert {"jax", "optax"} <= others
    assert "synthetic" not in imports(), "a family is one room"


@pytest.mark.parametrize("name", sorted(imports()))
def test_a_module_imports_only_what_lies_below_it(name):
    assert name in MAY, "say in MAY where the new module stands"
    ours, _ = imports()[name]
    assert ours - {name} <= MAY[name]


def test_what_may_be_imported_has_no_circle():
    order = []
    while len(order) < len(MAY):
        ready = [n for n in MAY if n not in order and MAY[n] <= set(order)]
        assert ready, set(MAY) - set(order)
        order += ready


@pytest.mark.parametrize("library", sorted(ONLY_IN))
def test_a_library_is_known_only_to_its_modules(library):
    users = {name for name, (_, others) in imports().items() if library in others}
    assert users <= ONLY_IN[library]


def test_no_room_imports_an_edge():
    for name in BASE | SIGNAL | PRIOR | WALK | LABORATORY:
        ours, _ = imports()[name]
        assert not ours & (EDGES | {"main", "cli", "runs", "places", "study"}), name


def test_the_benchmarks_and_tests_are_not_imported():
    assert not any(others & {"benchmarks", "tests"} for _, others in imports().values())
