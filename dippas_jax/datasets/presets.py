"""The paper's two sets of photos (section 4.1): six cameras each, 100 natural photos a camera.

Which 100 the authors took is not published: here they are the first in order of name. Give the
folder on the command line, or with `dataclasses.replace(presets.DRESDEN, folder=...)`.
"""

from dippas_jax import config

DRESDEN = config.Data(
    layout="dresden",
    photos=("natural",),
    devices=(
        "Nikon_D70_0",
        "Nikon_D70_1",
        "Nikon_D70s_0",
        "Nikon_D70s_1",
        "Nikon_D200_0",
        "Nikon_D200_1",
    ),
    per_device=100,
    crop=512,
)

VISION = config.Data(
    layout="vision",
    photos=("nat",),
    devices=(
        "D12_Sony_XperiaZ1Compact",
        "D17_Microsoft_Lumia640LTE",
        "D19_Apple_iPhone6Plus",
        "D21_Wiko_Ridge4G",
        "D24_Xiaomi_RedmiNote3",
        "D27_Samsung_GalaxyS5",
    ),
    per_device=100,
    crop=512,
)
