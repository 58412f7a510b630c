"""Readers of photos: folders of real cameras, simulated cameras, and manifests of what was used."""

from dippas_jax import lazy

__getattr__ = lazy.modules(__name__)
