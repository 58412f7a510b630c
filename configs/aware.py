"""Aware mode: the camera's fingerprint is known (the paper's equation 10).

    python -m dippas_jax.main --config=configs/aware.py --workdir=runs/aware
        Embedded sample, 128x128: 80 s on two CPU cores, compilation included; 265 steps, PSNR
        38.6 dB, z 17.0 before and -0.9 after. Real crops: 74 to 125 steps (benchmarks.defaults).
    python -m dippas_jax.main --config=configs/aware.py:quick --workdir=runs/quick
        A small network on 64x64 pixels for 100 steps, to see a run: 20 s.
    python -m dippas_jax.main --config=configs/aware.py:paper --workdir=runs/paper \
            --config.data.folder=FOLDER --config.data.crop=512
        The paper's exact values, for a GPU: on two CPU cores a step takes 3.3 s (benchmarks.run).

Any setting is changed on the command line: --config.inversion.learning_rate=5e-3. `--help` lists
them. docs/fidelity.md says how the default differs from the paper.
"""

from dippas_jax import config as c
from dippas_jax.experiments import overrides

SETTINGS = {
    "default": c.Config(
        mode="aware",
        method="prior",
        generator=c.Generator(depth=32, widths=(32, 64), skips=(32,), output="linear"),
        inversion=c.Inversion(
            optimizer="adam",
            learning_rate=1e-2,
            noise_std=0.0,
            stop_psnr=39.0,
            max_steps=2000,
            rollback=6.0,
        ),
        assembly=c.Assembly(sides=(64,), averages=(10,), thresholds=(38.0,)),
    ),
    "paper": c.Config(  # sections 3.4 and 4.3
        mode="aware",
        method="prior",
        generator=c.Generator(
            depth=512,
            widths=(16, 32, 64, 128, 256),
            skips=(16, 32, 64, 128),
            output="sigmoid",
        ),
        inversion=c.Inversion(
            optimizer="adam",
            learning_rate=1e-3,
            input_std=0.1,
            noise_std=0.1,
            stop_psnr=39.0,
            max_steps=10_000,
            rollback=0.0,
        ),
        assembly=c.Assembly(
            sides=(64, 32, 128, 256, 512),
            averages=(10, 1, 5, 25, 50, 75, 100),
            thresholds=(38.0, 35.0, 36.0, 37.0),
        ),
    ),
    "quick": c.Config(
        mode="aware",
        method="prior",
        data=c.Data(crop=64),
        generator=c.Generator(depth=8, widths=(16, 32), skips=(8,), output="sigmoid"),
        inversion=c.Inversion(
            optimizer="adam",
            learning_rate=1e-2,
            noise_std=0.0,
            max_steps=100,
            chunk=20,
            rollback=0.0,
        ),
        assembly=c.Assembly(sides=(32,), averages=(5,), thresholds=(25.0,)),
    ),
}


def get_config(setting: str = "default"):
    """The settings as a ConfigDict; `setting` is "default", "paper" or "quick"."""
    return overrides.choose(SETTINGS, setting)
