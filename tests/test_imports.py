"""Which room may import which, read from the source: imports point one way."""

import ast
import functools
import graphlib
from pathlib import Path

import pytest

import dippas_jax

PACKAGE = Path(__file__).parents[1] / "dippas_jax"

BASE = {"types", "config", "lazy"}
METHODS = {"prior", "sparse", "forensics", "baselines"}
LIBRARY = BASE | METHODS | {"signal", "io", "datasets"}

MAY = {
    "lazy": set(),
    "types": set(),
    "config": {"types"},
    "signal": BASE,
    "prior": BASE | {"signal"},
    "sparse": BASE | {"signal"},
    "forensics": BASE | {"signal"},
    "baselines": BASE | {"signal", "io"},
    "io": BASE,
    "datasets": BASE | {"signal", "io"},
    "api": LIBRARY,
    "": LIBRARY | {"api"},
    "experiments": LIBRARY | {"", "parallel"},
    "parallel": BASE | {"", "io"},
    "web": {"types", "io"},
    "cli": LIBRARY | {"", "parallel", "web"},
    "main": LIBRARY | {"experiments"},
}
"""Of a new room this asks one thing: where in the house it stands."""

ONLY_IN = {
    "flax": {"prior.generator", "signal.dncnn"},
    "optax": {"prior.optimizer", "prior.inversion", "baselines.overfitted"},
    "orbax": {"io.checkpoint"},
    "absl": {"main", "io.checkpoint"},
    "ml_collections": {"experiments.overrides", "main"},
    "pywt": {"signal.wavelet"},
    "matplotlib": {"experiments.report", "experiments.plots", "cli.fingerprint_plot"},
    "tifffile": {"io.tiff_file"},
    "simplejpeg": {"io.jpeg_damage"},
    "jinja2": {"cli.report_html"},
    "h5py": {"io.fingerprint_file"},
    "fsspec": {"io.storage"},
    "ray": {"parallel.cluster"},
    "multiprocessing": {"parallel.processes"},
    "torch": set(),
    "pickle": set(),
}
"""Libraries that few modules know."""

ONLY_IN_ROOMS = {
    "PIL": {"io", "forensics", "cli"},
    "tqdm": {"experiments", "cli", "prior"},
    "argparse": {"cli"},
    "starlette": {"web"},
    "uvicorn": {"web"},
    "h11": {"web"},
    "asyncio": {"web"},
}


def modules(tree):
    """Dotted names of all that is imported, anywhere in the source."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def module_name(path):
    """Dotted, below the package; a package is its `__init__`."""
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@functools.cache
def imports():
    """For every module, the modules of the package that it imports, and other libraries."""
    known = {module_name(path): path for path in sorted(PACKAGE.rglob("*.py"))}
    found = {}
    for name, path in known.items():
        ours, others = set(), set()
        for imported in modules(ast.parse(path.read_text(encoding="utf-8"))):
            if imported.split(".")[0] != "dippas_jax":
                others.add(imported.split(".")[0])
                continue
            inside = imported.removeprefix("dippas_jax").removeprefix(".")
            while inside not in known:  # `types.InputError` is of the module `types`
                inside = inside.rpartition(".")[0]
            ours.add(inside)
        found[name] = ours, others
    return found


def room(module):
    return module.partition(".")[0]


def test_the_source_is_read():
    ours, others = imports()["prior.inversion"]
    assert {"prior.generator", "signal.image", "prior.optimizer", "prior.state", "config"} <= ours
    assert imports()["prior.state"][0] == set()
    assert {"jax", "optax"} <= others


@pytest.mark.parametrize("name", sorted(imports()))
def test_a_module_imports_only_rooms_that_lie_below_its_own(name):
    assert room(name) in MAY, "say in MAY where the new room stands"
    ours, _ = imports()[name]
    assert {room(other) for other in ours} - {room(name)} <= MAY[room(name)]


def test_the_rooms_have_no_circle():
    order = list(graphlib.TopologicalSorter(MAY).static_order())
    assert order.index("prior") > order.index("signal")


def test_the_modules_have_no_circle():
    graph = {name: ours - {name} for name, (ours, _) in imports().items()}
    assert len(list(graphlib.TopologicalSorter(graph).static_order())) == len(graph)


def test_the_methods_do_not_know_each_other():
    for name in METHODS:
        assert not MAY[name] & METHODS


@pytest.mark.parametrize("library", sorted(ONLY_IN))
def test_a_library_is_known_only_to_its_modules(library):
    users = {name for name, (_, others) in imports().items() if library in others}
    assert users <= ONLY_IN[library]


@pytest.mark.parametrize("library", sorted(ONLY_IN_ROOMS))
def test_a_library_is_known_only_to_its_rooms(library):
    users = {room(name) for name, (_, others) in imports().items() if library in others}
    assert users <= ONLY_IN_ROOMS[library]


def test_the_benchmarks_and_tests_are_not_imported():
    assert not any(others & {"benchmarks", "tests"} for _, others in imports().values())


def test_the_public_names_are_those_of_modules_that_the_package_may_import():
    """They are imported by name when they are asked for, which the source does not show."""
    homes = {room(module) for module in dippas_jax._HOMES} | set(dippas_jax._ROOMS)
    assert homes <= MAY[""]
