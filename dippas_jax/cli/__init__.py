"""The command `dippas`: one module a verb."""
