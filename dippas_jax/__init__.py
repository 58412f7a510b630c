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

from dippas_jax.anonymize import advance, assemble, finished, start
from dippas_jax.blocks import merge, rank, split
from dippas_jax.config import Config, preset
from dippas_jax.correlation import (
    circular_cross_correlation,
    ncc,
    ncc_blocks,
    pattern,
    pce,
    pce_over_shifts,
    z_score,
)
from dippas_jax.image import luma, psnr
from dippas_jax.inversion import problem
from dippas_jax.residual import residual as extract_residual
from dippas_jax.types import InputError

__all__ = [
    "Config",
    "InputError",
    "advance",
    "assemble",
    "circular_cross_correlation",
    "extract_residual",
    "finished",
    "luma",
    "merge",
    "ncc",
    "ncc_blocks",
    "pattern",
    "pce",
    "pce_over_shifts",
    "preset",
    "problem",
    "psnr",
    "rank",
    "split",
    "start",
    "z_score",
]
__version__ = "0.1.0"
