"""How well a camera is found: extractors, attackers, identification, scores. No files here."""

from dippas_jax import lazy

__getattr__ = lazy.modules(__name__)
