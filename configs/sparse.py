"""The sparse method: seconds in place of minutes, no network (docs/sparse.md).

    python -m dippas_jax.main --config=configs/sparse.py --workdir=runs/sparse
        Embedded sample: 48 s on two busy CPU cores, compilation included; 36.0 dB, z -1.8.
    python -m dippas_jax.main --config=configs/sparse.py:blind --workdir=runs/sparse_blind
        Without a fingerprint: 36.0 dB, z -2.4; this sample is noisier than most photos.

--strength=fast|balanced|strong says how much, --target-psnr=42 how much exactly.
"""

from dippas_jax import config as c
from dippas_jax.experiments import overrides

SETTINGS = {
    mode: c.Config(
        mode=mode,
        method="sparse",
        sparse=c.Sparse(strength="balanced", compensation=1.0),
    )
    for mode in ("aware", "blind")
}


def get_config(setting: str = "aware"):
    """The settings as a ConfigDict; `setting` is "aware" or "blind"."""
    return overrides.choose(SETTINGS, setting)
