"""What every test run shares: two CPU devices, checked shapes, kept programs, one tiny fit.

The environment is set before jax is imported, and the programs that tests start inherit it. Few
optimisations make compiling twice as fast, XLA's older emitters of fused loops save a fifth of what
is left, and programs compiled in one piece a tenth; JAX_DISABLE_MOST_OPTIMIZATIONS=0 tests programs
as users run them.
"""

import importlib.metadata
import os
from pathlib import Path

_CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "dippas_jax-tests"
_FLAGS = "--xla_force_host_platform_device_count=2"
os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ.setdefault("JAX_DISABLE_MOST_OPTIMIZATIONS", "1")  # compiling is most of the time
_FEW = os.environ["JAX_DISABLE_MOST_OPTIMIZATIONS"] == "1"
if _FEW and importlib.metadata.version("jaxlib").startswith(("0.10.", "0.11.", "0.12.")):
    # A flag that XLA does not know ends a program, so only where both are known.
    _FLAGS += " --xla_cpu_use_fusion_emitters=false --xla_cpu_parallel_codegen_split_count=1"
os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} {_FLAGS}".strip()
os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(_CACHE))
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")

import jax  # noqa: E402
import jaxtyping  # noqa: E402
import pytest  # noqa: E402

jaxtyping.install_import_hook("dippas_jax", "beartype.beartype")


@pytest.fixture(scope="session")
def fresh():
    """Parameters of the two-scale network as they are drawn, for two keys."""
    from dippas_jax.prior import inversion
    from tests import tiny

    settings = tiny.settings(tiny.TWO_SCALES)
    starts = (tiny.problem(key=key) for key in (0, 1))
    return tuple(inversion.init_compiled(start, config=settings).params for start in starts)


@pytest.fixture(scope="session")
def walked():
    """A finished run: its problem, progress, results of four combinations, and settings."""
    from dippas_jax import config
    from dippas_jax.prior import anonymize
    from tests import tiny

    grid = config.Assembly(sides=(32, 64), averages=(3,), thresholds=(1.0, 80.0))
    settings = tiny.settings(assembly=grid, stop_psnr=90.0)
    problem = tiny.problem()
    progress = anonymize.start(problem, settings)
    while not anonymize.finished(progress, settings):
        progress = anonymize.advance_compiled(
            progress, problem, problem.fingerprint, config=settings
        )
    return problem, progress, anonymize.assemble(progress, problem.pixels, settings), settings


@pytest.fixture
def quick_search(request, monkeypatch):
    """The sparse method with one correction and one threshold: for tests of what is around it.

    Slow tests, of which some compare with programs they start, search in full.
    """
    if request.node.get_closest_marker("slow") is None:
        from dippas_jax.sparse import anonymize, balance

        monkeypatch.setattr(balance, "UPDATES", 1)
        monkeypatch.setattr(anonymize, "MOVES", 0)


@pytest.fixture(autouse=True, scope="session")
def blocks_optimised():
    """The one program that runs more often than it compiles: six times as fast as without."""
    from dippas_jax.sparse import leakage

    full = {"xla_backend_optimization_level": 2, "xla_llvm_disable_expensive_passes": False}
    leakage._made = jax.jit(leakage._made.__wrapped__, compiler_options=full)


@pytest.fixture(autouse=True, scope="module")
def programs_freed():
    """A compiled program holds memory maps, of which a process may have some 65,000."""
    yield
    jax.clear_caches()


def pytest_configure(config):
    """Two workers share the kept programs, and one may read what the other has half written."""
    config.addinivalue_line(
        "filterwarnings", "ignore:Error reading persistent compilation cache:UserWarning"
    )
