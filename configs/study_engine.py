"""The engine's ingredients on and off, in front of all attackers: what defends each default.

    python -m dippas_jax.main --config=configs/study_engine.py --workdir=runs/engine \
            --config.data.folder=FOLDER
        All 128x128 crops of every photo of FOLDER/DEVICE/crop512.
    python -m dippas_jax.main --config=configs/study_engine.py:crops --workdir=runs/engine_crops \
            --config.data.folder=FOLDER
        All 512x512 crops of the photos of FOLDER/DEVICE/natural; K from every second flat-field
        photo, K' from the others.
"""

from dippas_jax.experiments import overrides, presets


def get_config(setting: str = "default"):
    """Settings as a ConfigDict; `setting` is "default", "crops", "dresden" or "vision"."""
    return overrides.to_config_dict(presets.study("engine", setting))
