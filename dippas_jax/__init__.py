"""Reduce, or look for, a camera's sensor fingerprint in a photo: DIPPAS in JAX.

The method is that of Picetti, Mandelli, Bestagini, Lipari and Tubaro, "DIPPAS: a deep image prior
PRNU anonymization scheme", EURASIP Journal on Information Security, 2022 ("the paper").

Glossary:
  PRNU: photo response non-uniformity, the multiplicative noise pattern of one sensor.
  fingerprint: an estimate K of a camera's PRNU.
  residual: W, what a denoiser takes out of a photo; carries the fingerprint, times the photo.
  NCC: normalised cross-correlation of a residual with photo times fingerprint (equation 2).
  z: the NCC in standard deviations of what another camera gives.
  PCE: peak-to-correlation energy, about z².
  snapshot: the generator's output I_φ at one step of the inversion.
  block: one cell of the grid in which snapshots are compared and averaged.
  pool: the best blocks seen so far.
"""

import importlib
from typing import Any

_HOMES = {
    "prior.anonymize": ("advance", "assemble", "finished", "start"),
    "signal.blocks": ("merge", "rank", "split"),
    "config": ("Config", "preset"),
    "signal.correlation": (
        "circular_cross_correlation",
        "ncc",
        "ncc_blocks",
        "p_value",
        "pattern",
        "pce",
        "pce_over_shifts",
        "z_score",
    ),
    "signal.image": ("luma", "psnr"),
    "prior.inversion": ("problem",),
    "types": ("InputError",),
}
_MODULE_OF = {name: module for module, names in _HOMES.items() for name in names}

__all__ = ["extract_residual", *_MODULE_OF]
__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    """The public names, imported when they are asked for: `dippas --help` needs none of them."""
    if name == "extract_residual":
        return importlib.import_module(f"{__name__}.signal.residual").residual
    if name not in _MODULE_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_MODULE_OF[name]}"), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
