"""`dippas`, for a page: it ends at once when its stdin does, so that it never outlives the server.

python -m dippas_jax.cli.web_worker anonymize photos -o results --json
"""

import os
import sys
import threading

from dippas_jax.cli import main


def _end_with_stdin() -> None:
    # Not by sys.stdin, whose lock the end of the program would wait for.
    while os.read(0, 1024):
        pass
    os._exit(1)


if __name__ == "__main__":
    threading.Thread(target=_end_with_stdin, daemon=True).start()
    sys.exit(main.main(sys.argv[1:]))
