"""The sparse method: keep of a photo the few coefficients that stand out; seconds, any size.

`transform` (cosine coefficients, kept or turned over), `reconstruct` (tile by tile), `leakage` (how
much of a fingerprint goes through, and where), `balance` (turn over as much as leaves nothing),
`threshold` (which one to choose), `anonymize` (all of it). It is not in the paper: docs/sparse.md.
"""

from dippas_jax import lazy

__getattr__ = lazy.modules(__name__)
