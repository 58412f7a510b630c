"""The paper's blind experiments: PSNR, AUC and C over B, L and τ, beside the other methods.

    python -m dippas_jax.main --config=configs/studies/blind.py --workdir=runs/study_blind \
            --config.data.folder=FOLDER
        Six 128x128 crops of every photo of FOLDER/DEVICE/crop512, 600 steps each at most: 36
        crops in an hour on two busy CPU cores, C (same-K) 28.2, C (worst) 19.6.
    python -m dippas_jax.main --config=configs/studies/blind.py:dresden \
            --workdir=runs/blind_dresden --config.data.folder=FOLDER
        The paper's size, for a GPU: six Dresden cameras, 100 centre crops of 512x512 each, and the
        paper's exact settings of the inversion.
"""

from dippas_jax import baselines
from dippas_jax import config as c
from dippas_jax.datasets import presets
from dippas_jax.experiments import overrides

PAPER = c.Config(  # sections 3.4 and 4.3, as in configs/aware.py:paper
    method="prior",
    generator=c.Generator(
        depth=512, widths=(16, 32, 64, 128, 256), skips=(16, 32, 64, 128), output="sigmoid"
    ),
    inversion=c.Inversion(
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
)

NEED_WEIGHTS = ("dncnn", "overfitted_learned")  # of `dippas fetch learned`
METHODS = ("prior-blind", *(name for name in baselines.METHODS if name not in NEED_WEIGHTS))
SETTINGS = {
    "default": c.Study(
        METHODS,
        data=c.Data(photos=("crop512",), crop=128, crops=6),
        run=c.Config(
            method="prior",
            generator=c.Generator(
                depth=32, widths=(16, 32, 64, 128, 256), skips=(16, 32, 64, 128), output="sigmoid"
            ),
            inversion=c.Inversion(learning_rate=1e-2, noise_std=0.0, max_steps=600, rollback=0.0),
            assembly=c.Assembly(
                sides=(64, 32, 128),
                averages=(10, 1, 5, 25, 50),
                thresholds=(38.0, 35.0, 36.0, 37.0),
            ),
        ),
    ),
    "dresden": c.Study(METHODS, data=presets.DRESDEN, fingerprints="halves", run=PAPER),
    "vision": c.Study(METHODS, data=presets.VISION, fingerprints="halves", run=PAPER),
}


def get_config(setting: str = "default"):
    """The settings as a ConfigDict; `setting` is "default", "dresden" or "vision"."""
    return overrides.choose(SETTINGS, setting)
