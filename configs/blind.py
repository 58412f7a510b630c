"""The paper's blind mode: no fingerprint is known; the photo's own residual is injected (equation
11).

    python -m dippas_jax.main --config=configs/blind.py --workdir=runs/blind
        1 min 20 s on two CPU cores, compilation included (embedded sample, 128x128): 740 steps,
        PSNR 38.1 dB, z 17.0 before and 0.4 after (with the camera's fingerprint, not used).
    python -m dippas_jax.main --config=configs/blind.py:quick --workdir=runs/quick
        16 s in all, to see it run.
    python -m dippas_jax.main --config=configs/blind.py:paper --workdir=runs/paper \
            --config.data.folder=FOLDER --config.data.crop=512
        The paper's exact values, for a GPU: on two CPU cores a step takes 8.6 s (benchmarks.run),
        and the paper needs up to 3,000 steps on average; a whole run has not been measured.

Any setting is changed on the command line: --config.inversion.learning_rate=5e-3. `--help` lists
them.
"""

from dippas_jax import config as configuration


def get_config(setting: str = "default"):
    """Settings as a ConfigDict; `setting` is "default", "quick" or "paper"."""
    return configuration.to_config_dict(configuration.preset("blind", setting))
