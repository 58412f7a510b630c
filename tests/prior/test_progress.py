"""The line that shows how a run goes on."""

import numpy as np

from dippas_jax import config
from dippas_jax.prior import progress


def test_only_the_first_of_several_tiles_waits_for_the_compiler(capsys):
    steps = np.linspace(20, 30, 25)
    with progress.Lines(config.Inversion()) as lines:
        assert "compiling the network" in capsys.readouterr().err
        lines.show({0: steps[:0]}, "a, 0 of 2 tiles")
        lines.show({0: steps}, "a, 0 of 2 tiles")
        first = capsys.readouterr().err
        lines.show({1: steps[:5]}, "a, 1 of 2 tiles")
        lines.show({1: steps}, "a, 1 of 2 tiles")
        second = capsys.readouterr().err
        lines.show({1: steps, 2: steps[:9]}, "a, 1 of 2 tiles")
    assert "a, 0 of 2 tiles: " in first
    assert "a, 1 of 2 tiles: " in second
    assert "25 of about" in second
    assert "PSNR 30.0 dB" in second
    assert "a, 1 of 2 tiles (2 at a time): PSNR" in capsys.readouterr().err
    assert "compiling" not in second
