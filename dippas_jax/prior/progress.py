"""Progress of an inversion on the terminal: steps done, PSNR, and the time left.

The PSNR grows about linearly with the logarithm of the step, so a run ends about where that line
meets the PSNR at which it stops.
"""

import contextlib
import time

import numpy as np
import tqdm

from dippas_jax import config as configuration

_SLOPE = 4.0  # dB gained where the steps double, on the photos of benchmarks/defaults.py
_CERTAINTY = 100  # steps after which a run's own slope counts as much
_FORMAT = "{desc}{bar:24} {n_fmt} of about {total_fmt} steps{postfix}"


class Bar:
    """A line on stderr, in a `with` statement: `show` at the first step and after each chunk."""

    def __init__(self, config: configuration.Inversion, done: int = 0, name: str = "inverting"):
        self._config, self._done = config, done
        self._started = time.monotonic()
        self._bar = tqdm.tqdm(
            total=config.max_steps, initial=done, bar_format="{desc}", desc=f"{name}: "
        )

    def __enter__(self) -> "Bar":
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.close()

    def show(self, psnr: np.ndarray) -> None:
        """The line after these steps, of which each entry is the PSNR in dB."""
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


class Lines:
    """The line of a batch, in a `with` statement: a `Bar` of the one run at work, or all in sum."""

    def __init__(self, config: configuration.Inversion):
        self._config = config
        self._shown = contextlib.ExitStack()
        self._bar: Bar | None = None
        self._sum: tqdm.tqdm | None = None
        self._number = -1

    def __enter__(self) -> "Lines":
        self._sum = self._shown.enter_context(
            tqdm.tqdm(bar_format="{desc}", desc="compiling the network")
        )
        return self

    def __exit__(self, *_: object) -> None:
        self._shown.close()

    def show(self, psnr: dict[int, np.ndarray], name: str = "inverting") -> None:
        """The line after a chunk: of each run at work, by its number, the PSNR of its steps, dB."""
        if len(psnr) == 1:
            ((number, steps),) = psnr.items()
            if self._bar is None or number != self._number:
                self._shown.close()
                self._bar = self._shown.enter_context(Bar(self._config, len(steps), name))
                self._number, self._sum = number, None
            self._bar.show(steps)
        elif psnr:
            if self._sum is None:
                self._shown.close()
                self._sum = self._shown.enter_context(tqdm.tqdm(bar_format="{desc}"))
                self._bar = None
            last = [steps[-1] for steps in psnr.values() if len(steps)]
            levels = f": PSNR {min(last):.1f} to {max(last):.1f} dB" if last else ""
            self._sum.set_description_str(f"{name} ({len(psnr)} at a time){levels}")


def expected_steps(psnr: np.ndarray, config: configuration.Inversion) -> int:
    """Steps the run will take, from its PSNR so far.

    The slope is that of the later half, drawn towards the usual one while there are few steps.
    """
    steps = len(psnr)
    gap = config.stop_psnr - float(np.mean(np.sort(psnr[-10:])[-5:]))
    if gap <= 0 or psnr[-1] > config.stop_psnr:
        return steps
    later = np.arange(steps // 2, steps)
    measured = np.polyfit(np.log2(later + 1.0), psnr[later], 1)[0] if steps >= 4 else _SLOPE
    slope = (_CERTAINTY * _SLOPE + steps * max(measured, 1.0)) / (_CERTAINTY + steps)
    return int(np.clip(steps * 2 ** min(gap / slope, 20.0), steps, config.max_steps))
