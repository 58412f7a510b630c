"""Progress of an inversion on the terminal: steps done, PSNR, and the time left.

The PSNR grows about linearly with the logarithm of the step, so the end of a run is where that line
meets the PSNR at which it stops.
"""

import math
import time

import numpy as np
import tqdm

from dippas_jax import config as configuration

_FORMAT = "{desc}: {bar:24} {n_fmt} of about {total_fmt} steps{postfix}"


class Bar:
    """A line on stderr, in a `with` statement: `show` once all is compiled and after each chunk."""

    def __init__(self, config: configuration.Inversion, done: int = 0):
        self._config = config
        self._done = done
        self._started = time.monotonic()
        self._bar = tqdm.tqdm(
            total=config.max_steps, initial=done, bar_format="{desc}", desc="compiling the network"
        )

    def __enter__(self) -> "Bar":
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.close()

    def show(self, psnr: np.ndarray) -> None:
        """The line after these steps, of which each entry is the PSNR in dB."""
        self._bar.set_description("inverting")
        steps = len(psnr)
        if steps == self._done:  # what has passed until now says nothing about the steps' speed
            self._started = time.monotonic()
            return
        expected = expected_steps(psnr, self._config)
        pace = (time.monotonic() - self._started) / max(steps - self._done, 1)
        left = round(pace * (expected - steps))
        self._bar.bar_format = _FORMAT
        self._bar.total = expected
        self._bar.n = steps
        self._bar.set_postfix_str(f"PSNR {psnr[-1]:.1f} dB, {left // 60}:{left % 60:02d} left")


def expected_steps(psnr: np.ndarray, config: configuration.Inversion) -> int:
    """Steps the run will take, from the later half of its PSNR so far."""
    steps = len(psnr)
    if psnr[-1] > config.stop_psnr:
        return steps
    later = np.arange(steps // 2, steps)
    slope, offset = np.polyfit(np.log(later + 1.0), psnr[later], 1) if steps >= 8 else (0, 0)
    if slope <= 0:
        return config.max_steps
    expected = math.exp(min((config.stop_psnr - offset) / slope, 50))
    return int(np.clip(expected, steps, config.max_steps))
