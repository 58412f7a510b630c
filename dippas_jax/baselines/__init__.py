"""Other anonymisers, to compare with: one file a family, one signature, an explicit dict.

A method takes `(key, photo, fingerprint)` and gives a photo of the same shape. Photos are pixels,
uint8 [h w 3] in [0, 255], 64 pixels a side at least; the fingerprint is a float32 plane [h w] in
any unit, or None for a blind method, which does not look at one. The result is a function of the
three; `key` is the randomness of the methods that draw.

None of these protects anybody: some hide a camera only from the fingerprint and the extractor that
they used, others leave part of it, others only move it.
"""

import functools
from collections.abc import Callable
from typing import NamedTuple

from jax.typing import ArrayLike
from jaxtyping import Array, Float, Key, UInt8

from dippas_jax.baselines import (
    denoising,
    inpainting,
    overfitted,
    patches,
    seams,
    subtraction,
    truncation,
    warp,
)


class Method(NamedTuple):
    """An anonymiser.

    Attributes:
      anonymize: `(key, photo, fingerprint) -> photo`.
      aware: Whether it needs the fingerprint.
      source: Where it was published, and whether it is known in full or reconstructed.
      moves: Whether pixels are moved, so that what is left of a fingerprint lies elsewhere.
    """

    anonymize: Callable[
        [Key[Array, ""], UInt8[ArrayLike, "h w 3"], Float[ArrayLike, "h w"] | None], ArrayLike
    ]
    aware: bool
    source: str
    moves: bool = False


def _repeated(sigma: int, times: int) -> Method:
    anonymize = functools.partial(denoising.repeated, sigma=float(sigma), times=times)
    return Method(anonymize, False, denoising.REPEATED)


METHODS: dict[str, Method] = {
    "subtraction_search": Method(subtraction.search, True, subtraction.SEARCH),
    "subtraction_blocks": Method(subtraction.search_blocks, True, subtraction.SEARCH),
    "subtraction_least_squares": Method(subtraction.least_squares, True, subtraction.LEAST_SQUARES),
    "division": Method(subtraction.division, True, subtraction.DIVISION),
    "overfitted_wavelet": Method(overfitted.fit, True, overfitted.SOURCE),
    "overfitted_learned": Method(
        functools.partial(overfitted.fit, extractor="learned"), True, overfitted.SOURCE
    ),
    "denoising_sigma3_times1": _repeated(3, 1),
    "denoising_sigma3_times10": _repeated(3, 10),
    "denoising_sigma5_times1": _repeated(5, 1),
    "denoising_sigma5_times10": _repeated(5, 10),
    "dncnn": Method(denoising.learned, False, denoising.LEARNED),
    "dct_truncation": Method(truncation.triangle, False, truncation.SOURCE),
    "inpainting": Method(inpainting.anonymize, False, inpainting.source()),
    "inpainting_l2": Method(
        functools.partial(inpainting.anonymize, norm="l2"), False, inpainting.source()
    ),
    "inpainting_5x5": Method(
        functools.partial(inpainting.anonymize, block=5), False, inpainting.source()
    ),
    "patches": Method(patches.anonymize, False, patches.SOURCE),
    "seam_carving": Method(seams.forced, False, seams.SOURCE, moves=True),
    "warp": Method(warp.projective, False, warp.SOURCE, moves=True),
}

PLACES = "whoever searches for it place by place finds the camera again (docs/benchmark.md)"
OFFERED: dict[str, str] = {
    "denoising_sigma5_times10": "",
    "dncnn": "",
    "dct_truncation": "",
    "inpainting": "",
    "patches": "",
    "seam_carving": PLACES,
    "warp": PLACES,
}
"""What `dippas anonymize` offers of them, and by whom the panel finds the camera in what they make:
a clause, or "" where it is found by what the program itself measures."""


def found(name: str) -> str:
    """By whom the panel finds the camera behind an offered method; "" for any other."""
    return OFFERED.get(name, "")
