"""The settings behind the files under configs/."""

import dataclasses

from dippas_jax import baselines, config
from dippas_jax.datasets import presets as cameras
from dippas_jax.types import InputError

_FAST = config.Config(method="sparse", strength="fast")
_DESIGN = (
    "engine-aware",
    "engine-aware:compensation=0.3",
    "engine-aware:compensation=0.0",
    "engine-aware:target_psnr=44",
    "engine-aware:target_psnr=46,compensation=0.0",
    "engine-blind",
    "engine-blind:compensation=0.0",
    "engine-blind:target_psnr=44",
)
"""The engine's ingredients on and off: knowing K, taking back what is kept, and the PSNR."""


def run(mode: str, setting: str) -> config.Config:
    """The settings behind configs/aware.py and configs/blind.py.

    Args:
      mode: "aware" or "blind".
      setting: "default" for the engine (docs/engine.md); "paper" for the values of the paper
        (sections 3.4 and 4.3); "prior" for the paper's network with a cheaper input and schedule
        and a linear output, which reaches the same PSNR in less than half the steps
        (docs/fidelity.md); "quick" for a prior of seconds.
    """
    if setting not in ("default", "paper", "prior", "quick"):
        raise InputError(
            f'there is no setting "{setting}"; choose "prior", "paper", "quick" or none for the '
            "default"
        )
    if setting == "default":
        return config.Config(mode=mode, method="sparse")
    if setting == "paper":
        return config.Config(
            mode=mode,
            generator=config.Generator(depth=512),
            inversion=config.Inversion(),
            assembly=config.Assembly(
                sides=(64, 32, 128, 256, 512),
                averages=(10, 1, 5, 25, 50, 75, 100),
                thresholds=(38.0, 35.0, 36.0, 37.0),
            ),
        )
    fast = config.Inversion(learning_rate=1e-2, noise_std=0.0, max_steps=2000)
    if setting == "prior":
        guarded = dataclasses.replace(fast, rollback=6.0)
        return config.Config(
            mode=mode, generator=config.Generator(output="linear"), inversion=guarded
        )
    return config.Config(
        mode=mode,
        data=config.Data(crop=config.SMALLEST_PHOTO),
        generator=config.Generator(depth=8, widths=(16, 32), skips=(8,)),
        inversion=dataclasses.replace(fast, max_steps=100, chunk=20),
        assembly=config.Assembly(sides=(32,), averages=(5,), thresholds=(25.0,)),
    )


def study(kind: str, setting: str) -> config.Study:
    """The settings behind configs/study_*.py.

    Args:
      kind: "panel" for all attackers against the methods without inversion; "aware" and "blind" for
        the paper's own experiments; "engine" for the engine's ingredients, on and off.
      setting: "default" for a size that two CPU cores can do; "dresden" and "vision" for the
        paper's cameras, number of photos and values; "crops" ("panel" and "engine" only) for all
        crops of full-resolution photos.
    """
    sets = {"dresden": cameras.DRESDEN, "vision": cameras.VISION}
    known = ["default", *sets] + ["crops"] * (kind in ("panel", "engine"))
    if setting not in known:
        raise InputError(f'there is no setting "{setting}"; choose one of {", ".join(known)}')
    methods: tuple[str, ...] = tuple(baselines.METHODS)
    if kind == "engine":
        methods = (*_DESIGN, "subtraction_search")
    elif kind != "panel":
        methods = (f"dippas-{kind}", *methods)
    if setting in sets:
        paper = run("aware", "paper")
        return config.Study(methods, data=sets[setting], fingerprints="halves", run=paper)
    if setting == "crops":
        crops = config.Data(photos=("natural",), crop=512, crops=0)
        return config.Study(methods, data=crops, fingerprints="halves", run=_FAST)
    if kind == "engine":
        data = config.Data(photos=("crop512",), crop=128, crops=0)
        return config.Study(methods, data=data, run=_FAST)
    if kind == "panel":
        published = ("published:patchmatch", "published:inpainting")
        data = config.Data(photos=("crop512",))
        return config.Study((*published, *methods), data=data)
    grid = config.Assembly(
        sides=(64, 32, 128), averages=(10, 1, 5, 25, 50), thresholds=(38.0, 35.0, 36.0, 37.0)
    )
    fast = run("aware", "prior")
    steps = dataclasses.replace(fast.inversion, max_steps=600, rollback=0.0)
    data = config.Data(photos=("crop512",), crop=128, crops=6)
    network = config.Generator()
    chosen = dataclasses.replace(fast, generator=network, assembly=grid, inversion=steps)
    return config.Study(methods, data=data, run=chosen)
