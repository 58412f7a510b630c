"""Pictures for the command's verbs, as the bytes of a PNG. Nothing here touches files."""

import io

import numpy as np

from dippas_jax.types import Fingerprint

SIDE = 512
"""Most pixels a side of the plane that are drawn, one to one."""

_INK, _BLUE, _GREY = "#1f2430", "#2f6fb0", "#9aa3ad"


def fingerprint_picture(fingerprint: Fingerprint, title: str) -> bytes:
    """A fingerprint: the centre of its plane, the histogram of its values, and its spectrum.

    The plane is drawn one to one, from black at -2.5 to white at 2.5 standard deviations. A good
    fingerprint looks like even noise: shapes in it are the photos' scene, rows, columns or a grid
    are the camera model's, as are bright points of the spectrum.

    Args:
      fingerprint: What a file holds.
      title: Above the picture.
    """
    from matplotlib import figure  # a second to import, used for a picture only
    from matplotlib.backends import backend_agg

    plane = fingerprint.plane
    height, width = plane.shape
    centre = plane[_middle(height), _middle(width)]
    std = float(plane.std())
    dpi, rows = 100, max(centre.shape[0], 320)
    sheet = figure.Figure(
        figsize=((2 * rows + centre.shape[1] + 260) / dpi, (rows + 130) / dpi),
        dpi=dpi,
    )
    backend_agg.FigureCanvasAgg(sheet)
    total_width, total_height = sheet.get_size_inches() * dpi

    def panel(left: int, wide: int, high: int):
        corner = (left / total_width, (total_height - 70 - high) / total_height)
        return sheet.add_axes((*corner, wide / total_width, high / total_height))

    left = 20
    axis = panel(left, centre.shape[1], centre.shape[0])
    axis.imshow(centre, cmap="gray", vmin=-2.5 * std, vmax=2.5 * std, interpolation="nearest")
    shown = f"centre {centre.shape[0]}×{centre.shape[1]} of {height}×{width}, pixel by pixel"
    axis.set_title(shown, fontsize=9, color=_INK)
    axis.set_axis_off()

    left += centre.shape[1] + 60
    axis = panel(left, rows, rows)
    edges = np.linspace(-5 * std, 5 * std, 101)
    axis.hist(plane.ravel(), edges, color=_BLUE, density=True)
    at = np.linspace(edges[0], edges[-1], 400)
    normal = np.exp(-((at / std) ** 2) / 2) / (std * np.sqrt(2 * np.pi))
    axis.plot(at, normal, color=_GREY, linewidth=1)
    axis.set_title(f"values; standard deviation {std:.3g} (line: normal)", fontsize=9, color=_INK)
    axis.set_yticks([])
    axis.tick_params(labelsize=8)
    for side in ("top", "left", "right"):
        axis.spines[side].set_visible(False)

    left += rows + 40
    axis = panel(left, rows, rows)
    spectrum = _spectrum(centre)
    low, high = np.percentile(spectrum, (1, 99.9))
    axis.imshow(spectrum, cmap="gray", vmin=low, vmax=high, extent=(-0.5, 0.5, 0.5, -0.5))
    axis.set_title("spectrum, log magnitude (cycles a pixel)", fontsize=9, color=_INK)
    axis.tick_params(labelsize=8)

    sheet.suptitle(title, fontsize=11, color=_INK, y=1 - 12 / total_height, va="top")
    buffer = io.BytesIO()
    sheet.savefig(buffer, format="png", metadata={"Software": None})
    return buffer.getvalue()


def _middle(side: int) -> slice:
    drawn = min(side, SIDE)
    start = (side - drawn) // 2
    return slice(start, start + drawn)


def _spectrum(plane: np.ndarray) -> np.ndarray:
    """Log magnitude of the orthonormal DFT [h w], frequency zero in the middle."""
    magnitude = np.abs(np.fft.fftshift(np.fft.fft2(plane, norm="ortho")))
    positive = magnitude[magnitude > 0]
    return np.log10(np.maximum(magnitude, positive.min() if positive.size else 1))
