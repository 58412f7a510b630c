"""`dippas doctor`: what this installation has, and whether it works."""

import importlib.util
import os
import platform
import time
from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np

from dippas_jax import config as configuration
from dippas_jax.cli import console
from dippas_jax.datasets import synthetic
from dippas_jax.io import confinement, decoder, files, program_cache, weights
from dippas_jax.signal import dncnn
from dippas_jax.sparse import anonymize as sparse
from dippas_jax.types import InputError

_SIDE = 128
_AFRESH = "install the package again in a fresh environment"
_PACKAGES = ("dippas-jax", "jax", "jaxlib", "flax", "numpy", "pillow", "tifffile", "scikit-image")
_EXTRAS = {"h5py": "h5", "pillow_heif": "heic", "uvicorn": "web"}


def doctor(*, json: bool = False) -> int:
    """Prints versions, devices, memory, cache and extras; tries the decoder and the sparse method.

    Returns:
      0, or 1 if something does not work; the lines say what.
    """
    facts = _facts()
    checks = [
        _checked("cache", _check_cache, "choose another folder with XDG_CACHE_HOME"),
        _checked("decoder", _check_decoder, _AFRESH),
        _checked("sparse", _check_sparse, _AFRESH),
    ]
    if json:
        console.print_json({**facts, "checks": checks})
    else:
        for name, value in facts.items():
            print(f"{name:<9} {', '.join(f'{key} {text}' for key, text in value.items())}")
        for check in checks:
            print(f"{check['name']:<9} {'ok' if check['ok'] else 'FAILED'}: {check['says']}")
    return console.DONE if all(check["ok"] for check in checks) else console.FAILED


def _facts() -> dict[str, dict[str, Any]]:
    """By subject, what there is."""
    versions = {name: console.version(name) for name in _PACKAGES}
    devices = _devices()
    extras = {
        name: "installed" if importlib.util.find_spec(name) else f"missing (extra {extra})"
        for name, extra in _EXTRAS.items()
    }
    return {
        "versions": {"python": platform.python_version(), **versions},
        "system": {"on": platform.platform(terse=True), "cores": os.cpu_count()},
        "devices": {str(one): one.device_kind for one in devices} or {"none": "found by JAX"},
        "memory": _memory(devices),
        "extras": extras | {"learned weights": _learned()},
    }


def _devices() -> list[jax.Device]:
    """None where JAX finds none, which the check of the method tells the reason of."""
    try:
        return jax.devices()
    except Exception:  # noqa: BLE001 - JAX fails in several ways, some an assertion
        return []


def _learned() -> str:
    try:
        data = weights.load()
        if data is not None:
            dncnn.parse(data)
    except Exception as error:  # noqa: BLE001 - without a device no weights can be put there
        return f"of no use ({_reason(error)})"
    return "missing (dippas fetch learned)" if data is None else "installed"


def _memory(devices: Sequence[jax.Device]) -> dict[str, str]:
    """Of the machine, and of its first device where that has its own."""
    found = {}
    for label, name in (("in all", "SC_PHYS_PAGES"), ("free", "SC_AVPHYS_PAGES")):
        if name in getattr(os, "sysconf_names", {}):
            found[label] = _gib(os.sysconf(name) * os.sysconf("SC_PAGE_SIZE"))
    limit = ((devices and devices[0].memory_stats()) or {}).get("bytes_limit")
    return found | ({"device": _gib(limit)} if limit else {})


def _gib(size: int) -> str:
    return f"{size / 2**30:.1f} GiB"


def _checked(name: str, check: Callable[[], str], advice: str) -> dict[str, Any]:
    """What a check says, or why it failed and what to do."""
    try:
        return {"name": name, "ok": True, "says": check()}
    except Exception as error:  # noqa: BLE001 - a doctor reports whatever is broken
        return {"name": name, "ok": False, "says": f"{_reason(error)}; {advice}"}


def _reason(error: Exception) -> str:
    return str(error).partition("\n")[0] or type(error).__name__


def _check_cache() -> str:
    folder = files.prepare_workdir(files.cache_folder())
    if not program_cache.private(folder):
        raise InputError(f"{folder} belongs to another user, so that no programs are kept there")
    broken = program_cache.damaged(folder)
    for path in broken:
        path.unlink(missing_ok=True)
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    removed = f"; removed {console.counted(len(broken), 'damaged program')}" if broken else ""
    return f"{folder}, {_gib(size)}{removed}"


def _check_decoder() -> str:
    """How photos of strangers are decoded."""
    why = decoder.unconfined()
    if not why:
        return f"photos are decoded in a process of its own: {', '.join(decoder.limits())}"
    if why != confinement.possible():
        raise InputError(f"photos are decoded in the program itself, without limits, since {why}")
    return f"photos are decoded in the program itself, without limits, since {why}"


def _check_sparse() -> str:
    """A simulated photo, twice: the fingerprint has to go, and the bytes to be the same."""
    started = time.monotonic()
    camera = synthetic.Camera()
    pixels = synthetic.expose(camera, synthetic.scene(0, _SIDE), 0)
    fingerprint = np.float32(camera.fingerprint(_SIDE, _SIDE))
    key, goal = jax.random.key(0), configuration.STRENGTHS["strong"]
    first, second = (sparse.anonymize(key, pixels, fingerprint, target_psnr=goal) for _ in range(2))
    worst = max(map(abs, first.z.values()))
    if worst > 4:
        raise InputError(f"a simulated photo keeps its fingerprint with a z of {worst:.1f}")
    if first.pixels.tobytes() != second.pixels.tobytes():
        raise InputError("the same photo and seed gave different bytes")
    seconds = time.monotonic() - started
    return f"simulated photo, PSNR {first.psnr:.1f} dB, largest |z| {worst:.1f}, {seconds:.0f} s"
