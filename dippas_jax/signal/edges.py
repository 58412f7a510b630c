"""Where a photo has edges: Canny's method (1986), dilated by a disk.

So do Mandelli et al. (2017), "Inpainting-based camera anonymization", in the grey plane of a
denoised photo. Planes are float32 [h w] in grey levels, masks are bool [h w] in NumPy.
"""

import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Bool, Float
from skimage import feature, filters, morphology

BLUR = 2**0.5  # pixels; of Canny's Gaussian. This and the next two are those of MATLAB's `edge`
SMOOTH = 0.7  # of the pixels have a gradient too weak for an edge to start there
WEAK = 0.4  # of that threshold is the one below which no edge goes on
FAINTEST = 0.25  # grey levels a pixel; no edge starts at less, however smooth the photo
RADIUS = 3  # pixels; of the disk around a pixel of an edge

_SOBEL = 8  # what Canny's Sobel filter makes of a gradient of 1 a pixel


def near(grey: Float[ArrayLike, "h w"]) -> Bool[np.ndarray, "h w"]:
    """Where a plane has an edge within three pixels: about half of a natural photo.

    Args:
      grey: The plane, its noise taken away.

    Returns:
      True near edges; nowhere in a flat plane.
    """
    plane = np.asarray(grey, np.float32)
    smooth = filters.gaussian(plane, BLUR, mode="nearest")
    gradient = np.hypot(filters.sobel_h(smooth), filters.sobel_v(smooth)) / 2
    strong = _SOBEL * max(float(np.quantile(gradient, SMOOTH)), FAINTEST)
    edges = feature.canny(
        plane, sigma=BLUR, low_threshold=WEAK * strong, high_threshold=strong, mode="nearest"
    )
    return morphology.dilation(edges, morphology.disk(RADIUS))
