"""The paper's aware mode: the camera's fingerprint is known and injected (equation 10).

    python -m dippas_jax.main --config=configs/aware.py --workdir=runs/aware
        TIME_AWARE
    python -m dippas_jax.main --config=configs/aware.py:quick --workdir=runs/quick
        TIME_QUICK
    python -m dippas_jax.main --config=configs/aware.py:paper --workdir=runs/paper \
            --config.data.folder=FOLDER --config.data.crop=512
        The paper's exact values, for a GPU: TIME_PAPER

Any setting is changed on the command line: --config.inversion.learning_rate=5e-3. `--help` lists
them.
"""

from dippas_jax import config as configuration


def get_config(setting: str = "default"):
    """Settings as a ConfigDict; `setting` is "default", "quick" or "paper"."""
    return configuration.to_config_dict(configuration.preset("aware", setting))
