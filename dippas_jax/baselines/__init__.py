"""Other anonymisers, to calibrate against: one file a family, one signature, an explicit dict.

A method takes `(key, photo, fingerprint)` and gives a photo of the same shape. Photos are pixels,
uint8 [h w 3] in [0, 255], 64 pixels a side at least; the fingerprint is a float32 plane [h w] in
any unit, or None for a blind method, which does not look at one. The result is a function of the
three; `key` is the randomness of the methods that draw.

None of these protects anybody: the first hide a camera only from the fingerprint and the extractor
that they used, and the others leave part of it.
"""

import functools
from collections.abc import Callable
from typing import NamedTuple

from jaxtyping import Array, Float, Key, UInt8

from dippas_jax.baselines import denoising, subtraction


class Method(NamedTuple):
    """An anonymiser.

    Attributes:
      anonymize: `(key, photo, fingerprint) -> photo`.
      aware: Whether it needs the fingerprint.
      source: Where it was published, and whether it is known in full or reconstructed.
    """

    anonymize: Callable[
        [Key[Array, ""], UInt8[Array, "h w 3"], Float[Array, "h w"] | None], UInt8[Array, "h w 3"]
    ]
    aware: bool
    source: str


METHODS: dict[str, Method] = {
    "subtraction_search": Method(subtraction.search, True, subtraction.SEARCH),
    "subtraction_blocks": Method(subtraction.search_blocks, True, subtraction.SEARCH),
    "subtraction_least_squares": Method(subtraction.least_squares, True, subtraction.LEAST_SQUARES),
} | {
    f"denoising_sigma{sigma}_times{times}": Method(
        functools.partial(denoising.repeated, sigma=float(sigma), times=times),
        False,
        denoising.REPEATED,
    )
    for sigma in (3, 5)
    for times in (1, 10)
}
