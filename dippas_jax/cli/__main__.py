"""`python -m dippas_jax.cli` is the command `dippas`."""

import sys

from dippas_jax.cli import main

if __name__ == "__main__":
    sys.exit(main.main())
