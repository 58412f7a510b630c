"""Blind mode: no fingerprint is known (the prior injects the residual, the paper's equation 11).

    python -m dippas_jax.main --config=configs/blind.py --workdir=runs/blind
        4 to 19 s on two CPU cores, compilation included (embedded sample, 128x128): the engine,
        docs/engine.md; PSNR 37.6 dB,
        z 17.0 before and -2.8 after (with the camera's fingerprint, not used). The sample is noisy,
        so this is below the strength's 41 dB.
    python -m dippas_jax.main --config=configs/blind.py:prior --workdir=runs/prior
        The paper's network with a cheaper schedule, the photo's own residual injected.
    python -m dippas_jax.main --config=configs/blind.py:quick --workdir=runs/quick
        16 s, to see a prior run: 100 steps of a small network on 64x64 pixels.
    python -m dippas_jax.main --config=configs/blind.py:paper --workdir=runs/paper \
            --config.data.folder=FOLDER --config.data.crop=512
        The paper's exact values, for a GPU: on two CPU cores a step takes 8.6 s (benchmarks.run).

Any setting is changed on the command line: --strength=strong,
--config.inversion.learning_rate=5e-3.
`--help` lists them.
"""

from dippas_jax.experiments import overrides, presets


def get_config(setting: str = "default"):
    """Settings as a ConfigDict; `setting` is "default", "prior", "quick" or "paper"."""
    return overrides.to_config_dict(presets.run("blind", setting))
