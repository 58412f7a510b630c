"""Files in and out: photos of any kind, fingerprints, checkpoints, weights."""

from dippas_jax import lazy

__getattr__ = lazy.modules(__name__)
