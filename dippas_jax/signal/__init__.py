"""Photos, residuals, correlations and fingerprints: pure jnp, any leading axes unless said.

`image`, `wavelet`, `residual` (W), `fingerprint` (K by maximum likelihood) and `flat_field` (the
loop over photos of a wall), `correlation` (NCC, z, PCE), `blocks`, `extractors` (compiled; photos
of any size), `placement` (which part of a sensor), `tiles`.
"""

from dippas_jax import lazy

__getattr__ = lazy.modules(__name__)
