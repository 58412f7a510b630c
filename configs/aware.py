"""Aware mode: the camera's fingerprint is known (the paper's equation 10).

    python -m dippas_jax.main --config=configs/aware.py --workdir=runs/aware
        4 to 19 s on two CPU cores, compilation included (embedded sample, 128x128): the engine,
        docs/engine.md; PSNR 39.0 dB,
        z 17.0 before and 0.1 after. The sample is noisy, so this is below the strength's 41 dB.
    python -m dippas_jax.main --config=configs/aware.py:prior --workdir=runs/prior
        The paper's network with a cheaper schedule: PSNR 38.6 dB, z -1.4 after; 3 min 40 s beside
        other jobs.
    python -m dippas_jax.main --config=configs/aware.py:quick --workdir=runs/quick
        16 s, to see a prior run: 100 steps of a small network on 64x64 pixels.
    python -m dippas_jax.main --config=configs/aware.py:paper --workdir=runs/paper \
            --config.data.folder=FOLDER --config.data.crop=512
        The paper's exact values, for a GPU: on two CPU cores a step takes 8.6 s (benchmarks.run).
        With data.crop=128 some 3 minutes: 438 to 560 steps to 39 dB on three of four real crops.

Any setting is changed on the command line: --strength=strong,
--config.inversion.learning_rate=5e-3.
`--help` lists them.
"""

from dippas_jax.experiments import overrides, presets


def get_config(setting: str = "default"):
    """Settings as a ConfigDict; `setting` is "default", "prior", "quick" or "paper"."""
    return overrides.to_config_dict(presets.run("aware", setting))
