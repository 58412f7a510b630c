"""The ingredients of the sparse method, on and off, before all attackers.

    python -m dippas_jax.main --config=configs/studies/sparse.py --workdir=runs/sparse \
            --config.data.folder=FOLDER
        All 128x128 crops of every photo of FOLDER/DEVICE/crop512.
    python -m dippas_jax.main --config=configs/studies/sparse.py:crops --workdir=runs/sparse_crops \
            --config.data.folder=FOLDER
        All 512x512 crops of the photos of FOLDER/DEVICE/natural; K from every second flat-field
        photo, K' from the others.
"""

from dippas_jax import config as c
from dippas_jax.datasets import presets
from dippas_jax.experiments import overrides

METHODS = (
    "sparse-aware",
    "sparse-aware:sparse.compensation=0.3",
    "sparse-aware:sparse.compensation=0.0",
    "sparse-aware:target_psnr=44",
    "sparse-aware:target_psnr=46,sparse.compensation=0.0",
    "sparse-blind",
    "sparse-blind:sparse.compensation=0.0",
    "sparse-blind:target_psnr=44",
    "subtraction_search",
)
RUN = c.Config(method="sparse", sparse=c.Sparse(strength="fast"))
SETTINGS = {
    "default": c.Study(METHODS, data=c.Data(photos=("crop512",), crop=128, crops=0), run=RUN),
    "crops": c.Study(
        METHODS,
        data=c.Data(photos=("natural",), crop=512, crops=0),
        fingerprints="halves",
        run=RUN,
    ),
    "dresden": c.Study(METHODS, data=presets.DRESDEN, fingerprints="halves", run=RUN),
    "vision": c.Study(METHODS, data=presets.VISION, fingerprints="halves", run=RUN),
}


def get_config(setting: str = "default"):
    """The settings as a ConfigDict; `setting` is "default", "crops", "dresden" or "vision"."""
    return overrides.choose(SETTINGS, setting)
