"""The sparse method: seconds in place of minutes, no network (docs/sparse.md).

    python -m dippas_jax.main --config=configs/sparse.py --workdir=runs/sparse
        RESULT_SPARSE
    python -m dippas_jax.main --config=configs/sparse.py:blind --workdir=runs/sparse_blind
        RESULT_SPARSE_BLIND

--strength=fast|balanced|strong says how much, --target-psnr=42 how much exactly.
"""

from dippas_jax import config as c
from dippas_jax.experiments import overrides

SETTINGS = {
    mode: c.Config(
        mode=mode,
        method="sparse",
        sparse=c.Sparse(strength="balanced", compensation=0.5),
    )
    for mode in ("aware", "blind")
}


def get_config(setting: str = "aware"):
    """The settings as a ConfigDict; `setting` is "aware" or "blind"."""
    return overrides.choose(SETTINGS, setting)
