"""What every message to a user must be."""


def assert_one_sentence(message, path, word):
    assert "\n" not in message
    assert str(path) in message
    assert word in message
    assert ";" in message, "a message says what is wrong; and what to do"
