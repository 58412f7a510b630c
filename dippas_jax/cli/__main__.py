"""`python -m dippas_jax.cli` is the command `dippas`."""

from dippas_jax.cli import main

if __name__ == "__main__":
    main.program()
