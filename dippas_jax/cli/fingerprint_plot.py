"""Pictures for the command's verbs, as the bytes of a PNG. Nothing here touches files."""

import io
import warnings

import numpy as np

from dippas_jax.types import Fingerprint

SIDE = 512
"""Most pixels a side of the plane that are drawn, one to one."""

_INK, _BLUE, _GREY = "#1f2430", "#2f6fb0", "#9aa3ad"


def fingerprint_picture(fingerprint: Fingerprint, title: str) -> bytes:
    """A fingerprint: the centre of its plane, the histogram of its values, and its spectrum.

    The plane is drawn one to one, from black at -2.5 to white at 2.5 standard deviations from the
    mean. A good fingerprint looks like even noise: shapes in it are the photos' scene, rows,
    columns or a grid are the camera model's, as are bright points of the spectrum.

    Args:
      fingerprint: What a file holds.
      title: Above the picture.
    """
    from matplotlib import figure  # a second to import, used for a picture only
    from matplotlib.backends import backend_agg

    plane = fingerprint.plane.astype(np.float64)  # a foreign unit may be tiny
    height, width = plane.shape
    centre = plane[_middle(height), _middle(width)]
    mean, std = float(plane.mean()), float(plane.std())
    dpi, (rows, columns) = 100, (max(side, 320) for side in centre.shape)  # titles need room
    sheet = figure.Figure(
        figsize=((2 * rows + columns + 150) / dpi, (rows + 130) / dpi),
        dpi=dpi,
    )
    backend_agg.FigureCanvasAgg(sheet)
    total_width, total_height = sheet.get_size_inches() * dpi

    def panel(left: int, wide: int, high: int):
        corner = (left / total_width, (total_height - 70 - high) / total_height)
        return sheet.add_axes((*corner, wide / total_width, high / total_height))

    left = 20
    axis = panel(left, centre.shape[1], centre.shape[0])
    low, high = mean - 2.5 * std, mean + 2.5 * std
    axis.imshow(centre, cmap="gray", vmin=low, vmax=high, interpolation="nearest")
    shown = f"centre {centre.shape[0]}×{centre.shape[1]} of {height}×{width}, pixel by pixel"
    axis.set_title(shown, fontsize=9, color=_INK, loc="left")
    axis.set_axis_off()

    left += columns + 60
    axis = panel(left, rows, rows)
    edges = np.linspace(mean - 5 * std, mean + 5 * std, 101)
    axis.hist(plane.ravel(), edges, color=_BLUE, density=True)
    at = np.linspace(edges[0], edges[-1], 400)
    normal = np.exp(-(((at - mean) / std) ** 2) / 2) / (std * np.sqrt(2 * np.pi))
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

    heading = sheet.suptitle(title, fontsize=11, color=_INK, y=1 - 12 / total_height, va="top")
    heading.set_parse_math(False)  # a file may be called $^$
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # or in letters that the font does not have
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
