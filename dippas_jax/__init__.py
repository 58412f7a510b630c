"""Reduce, or look for, a camera's sensor fingerprint in a photo: DIPPAS in JAX.

The method is that of Picetti, Mandelli, Bestagini, Lipari and Tubaro, "DIPPAS: a deep image prior
PRNU anonymization scheme", EURASIP Journal on Information Security, 2022 ("the paper").

    import dippas_jax as dj

    result = dj.invert(key, photo, fingerprint)      # the paper's method on one photo
    results = dj.invert_batch(key, photos)           # and on many, several at a time
    result = dj.anonymize(photo)                     # blind, by the sparse method

Photos are uint8 [h w 3] in [0, 255], pixels as the sensor has them; residuals and fingerprints are
float32 [h w]. A `key` comes first, then the photo, then the fingerprint; options are keyword-only.

The rooms, each a submodule: `signal` (residuals, correlations, fingerprints), `prior` (the paper's
method), `sparse` (the fast method), `forensics` (attackers and scores), `baselines` (other
anonymisers), `datasets` and `io` (photos and files), `config` (every setting).

Glossary:
  PRNU: photo response non-uniformity, the multiplicative noise pattern of one sensor.
  fingerprint: an estimate K of a camera's PRNU.
  residual: W, what a denoiser takes out of a photo; carries the fingerprint, times the photo.
  NCC: normalised cross-correlation of a residual with photo times fingerprint (equation 2).
  z: the NCC in standard deviations of what another camera gives.
  PCE: peak-to-correlation energy, about z².
  leakage: the share of a planted fingerprint that goes through an anonymiser.
  snapshot: the generator's output I_φ at one step of the inversion.
  block: one cell of the grid in which snapshots are compared and averaged.
  pool: the best blocks seen so far.
"""

import importlib
from typing import Any

__version__ = "0.1.0"

_HOMES = {
    "api": ("anonymize", "fingerprint", "identify"),
    "config": ("Config",),
    "prior.batch": ("invert_batch",),
    "prior.whole": ("invert",),
    "signal.correlation": ("ncc", "p_value", "pattern", "pce", "z_score"),
    "signal.image": ("luma", "photo_key", "psnr"),
    "signal.residual": ("residual",),
    "types": ("Fingerprint", "InputError", "Result"),
}
_ROOMS = ("baselines", "config", "datasets", "forensics", "io", "prior", "signal", "sparse")
_MODULE_OF = {name: module for module, names in _HOMES.items() for name in names}

__all__ = ["__version__", *_MODULE_OF, *_ROOMS]


def __getattr__(name: str) -> Any:
    """The public names, imported when they are asked for: `dippas --help` needs none of them."""
    if name in _MODULE_OF:
        return getattr(importlib.import_module(f"{__name__}.{_MODULE_OF[name]}"), name)
    if name in _ROOMS:
        return importlib.import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
