"""Every anonymiser of the paper's comparison, and ours, before every attacker.

    python -m dippas_jax.main --config=configs/studies/methods.py --workdir=runs/methods \
            --config.data.folder=FOLDER
        The eight 128x128 crops nearest to the centre of every photo of FOLDER/DEVICE/crop512, with
        K = FOLDER/DEVICE/prnu.npy and K' from FOLDER/DEVICE/flat; published outputs from
        FOLDER/DEVICE/published. docs/benchmark.md has the results, and says how to read them.
    python -m dippas_jax.main --config=configs/studies/methods.py:crops \
            --workdir=runs/methods_crops --config.data.folder=FOLDER
        Four 256x256 crops of every photo of FOLDER/DEVICE/natural, phones among them, with K from
        every second flat-field photo and K' from the others.
    python -m dippas_jax.main --config=configs/studies/methods.py:dresden \
            --workdir=runs/methods_dresden --config.data.folder=FOLDER
        The paper's six Dresden cameras, 100 centre crops each.

The paper's own method and "overfitted_learned" are not among them, for they take minutes a crop:
add them by --config.methods. `dippas fetch learned` gets the weights that "dncnn",
"overfitted_learned" and the learned extractor need.
"""

from dippas_jax import baselines
from dippas_jax import config as c
from dippas_jax.datasets import presets
from dippas_jax.experiments import overrides

LAST = ("overfitted_wavelet",)  # a quarter of a minute a crop
METHODS = (
    *(name for name in baselines.METHODS if name not in (*LAST, "overfitted_learned")),
    "sparse-blind",
    "sparse-aware",
    "sparse-blind:sparse.displacement=2.0",
    *LAST,
)
SETTINGS = {
    "default": c.Study(
        (*METHODS, "published:patchmatch", "published:inpainting"),
        data=c.Data(photos=("crop512",), crop=128, crops=8),
    ),
    "crops": c.Study(
        METHODS, data=c.Data(photos=("natural",), crop=256, crops=4), fingerprints="halves"
    ),
    "dresden": c.Study(METHODS, data=presets.DRESDEN, fingerprints="halves"),
}


def get_config(setting: str = "default"):
    """The settings as a ConfigDict; `setting` is "default", "crops" or "dresden"."""
    return overrides.choose(SETTINGS, setting)
