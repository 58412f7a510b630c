"""The paper's blind experiments: PSNR, AUC and C over B, L and τ, beside the other methods.

    python -m dippas_jax.main --config=configs/study_blind.py --workdir=runs/study_blind \
            --config.data.folder=FOLDER
        Six 128x128 crops of every photo of FOLDER/DEVICE/crop512, 600 steps each at most: 36
        crops in an hour on two busy CPU cores, C (same-K) 28.2, C (worst) 19.6.
    python -m dippas_jax.main --config=configs/study_blind.py:dresden \
            --workdir=runs/blind_dresden --config.data.folder=FOLDER
        The paper's size, for a GPU: six Dresden cameras, 100 centre crops of 512x512 each, and the
        paper's exact settings of the inversion.
"""

from dippas_jax.experiments import overrides, presets


def get_config(setting: str = "default"):
    """Settings as a ConfigDict; `setting` is "default", "dresden" or "vision"."""
    return overrides.to_config_dict(presets.study("blind", setting))
