"""Every attacker against the methods that need no inversion, and against published outputs.

    python -m dippas_jax.main --config=configs/studies/panel.py --workdir=runs/panel \
            --config.data.folder=FOLDER
        Photos of FOLDER/DEVICE/crop512 with K = FOLDER/DEVICE/prnu.npy and K' from
        FOLDER/DEVICE/flat; the published outputs from FOLDER/DEVICE/published/patchmatch and
        inpainting. Six photos take 10 minutes on two busy CPU cores, nearly all of it the learned
        extractor, and `overfitted_wavelet` a minute and a half a photo more; the results are in
        docs/measured.md.
    python -m dippas_jax.main --config=configs/studies/panel.py:crops --workdir=runs/crops \
            --config.data.folder=FOLDER
        All 512x512 crops of the full-resolution photos of FOLDER/DEVICE/natural, with K from every
        second flat-field photo and K' from the others. 150 crops: 20 minutes a method on two
        busy cores, `overfitted_wavelet` some four hours.
    python -m dippas_jax.main --config=configs/studies/panel.py:dresden \
            --workdir=runs/panel_dresden --config.data.folder=FOLDER
        The paper's six Dresden cameras, 100 centre crops each.

Any setting is changed on the command line: --config.attackers="('wavelet','edges')".
"""

from dippas_jax import baselines
from dippas_jax import config as c
from dippas_jax.datasets import presets
from dippas_jax.experiments import overrides

NEED_WEIGHTS = ("dncnn", "overfitted_learned")  # and the second minutes a crop
METHODS = tuple(name for name in baselines.METHODS if name not in NEED_WEIGHTS)
CROPS = c.Data(photos=("natural",), crop=512, crops=0)
SETTINGS = {
    "default": c.Study(
        ("published:patchmatch", "published:inpainting", *METHODS),
        data=c.Data(photos=("crop512",)),
    ),
    "crops": c.Study(METHODS, data=CROPS, fingerprints="halves"),
    "dresden": c.Study(METHODS, data=presets.DRESDEN, fingerprints="halves"),
    "vision": c.Study(METHODS, data=presets.VISION, fingerprints="halves"),
}


def get_config(setting: str = "default"):
    """The settings as a ConfigDict; `setting` is "default", "crops", "dresden" or "vision"."""
    return overrides.choose(SETTINGS, setting)
