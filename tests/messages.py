"""What every message to a user must be."""

from dippas_jax.types import InputError


def assert_one_sentence(message, path, word):
    assert "\n" not in message
    assert str(InputError(path)) in message  # what cannot be printed is escaped
    assert word in message
    assert ";" in message, "a message says what is wrong; and what to do"
