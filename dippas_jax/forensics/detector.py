"""Was this photo processed? A small classifier on what anonymisers leave behind.

Who cannot find the camera may still find that it was hidden. Processing that averages or moves
pixels changes the spectrum of the noise, its tails, and how often neighbours are equal; a logistic
regression on such features is what the ICIP 2019 detector of anonymised photos does with a network,
at a size that a few dozen photos can train. It knows no camera.

Pixels are uint8 [h w 3]. Features are float32; the classifier is NumPy in float64, and everything
is deterministic.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array, Bool, Float, Num, Shaped

from dippas_jax.signal import image
from dippas_jax.signal import residual as residuals

RINGS = 12  # of equal width in radial frequency; beyond 1/2 a pixel lie the corners of the plane
RIDGE = 1.0  # weight of the penalty, relative to one photo's log-likelihood
ITERATIONS = 50  # of Newton's method at most; it needs about ten

_DARK = 1e-3  # grey levels squared; added to variances so that flat photos have logarithms
_STEPS = ((0, 1), (1, 0), (1, 1))  # of neighbours: right, below, diagonal


class Model(NamedTuple):
    """A logistic regression on standardised features.

    Attributes:
      mean: Of each feature over the training photos.
      scale: Standard deviation of each feature; 1 where it never varied.
      weights: Log-odds per standard deviation of a feature.
      bias: Log-odds at the mean.
    """

    mean: Float[np.ndarray, " f"]
    scale: Float[np.ndarray, " f"]
    weights: Float[np.ndarray, " f"]
    bias: float


def features(pixels: Num[ArrayLike, "h w 3"]) -> Float[np.ndarray, " f"]:
    """What a photo's noise looks like, whatever the scene and the camera, as far as possible.

    Of two grey residuals, the wavelet filter's at σ 3 and the second difference of rows and
    columns: the logarithms of the power in rings of equal frequency, relative to the whole; of the
    variance; of the kurtosis; and the correlations of neighbours. Of the pixels: how often
    neighbours to the right, below and diagonally are equal in all channels, and in one.

    Args:
      pixels: The photo, at least 32 pixels high and wide.

    Returns:
      Numbers without a unit; finite for every photo.
    """
    return np.asarray(_features(jnp.asarray(pixels)))


def fit(
    features: Float[ArrayLike, "n f"], processed: Bool[ArrayLike, " n"], *, ridge: float = RIDGE
) -> Model:
    """Train the classifier: the maximum of the likelihood less ridge/2·‖weights‖².

    Args:
      features: One row a photo.
      processed: Which photos were processed.
      ridge: Weight of the penalty, larger than 0; on weights per standard deviation.
    """
    rows, truth = np.asarray(features, np.float64), np.asarray(processed, bool)
    mean, scale = rows.mean(0), rows.std(0)
    scale = np.where(scale > 1e-9 * np.maximum(np.abs(mean), 1), scale, 1.0)
    x = np.concatenate([(rows - mean) / scale, np.ones((len(rows), 1))], axis=1)
    # The bias is hardly penalised, just enough to be finite where all photos are of one kind.
    penalty = np.append(np.full(rows.shape[1], ridge), 1e-3 * ridge)

    def objective(w: np.ndarray) -> float:
        margin = np.where(truth, 1, -1) * (x @ w)
        return float(np.logaddexp(0, -margin).sum() + penalty @ w**2 / 2)

    weights = np.zeros(x.shape[1])
    for _ in range(ITERATIONS):
        chance = _logistic(x @ weights)
        slope = x.T @ (chance - truth) + penalty * weights
        curvature = (x.T * (chance * (1 - chance))) @ x + np.diag(penalty)
        step = np.linalg.solve(curvature, slope)
        size = 1.0
        while objective(weights - size * step) > objective(weights) and size > 1e-6:
            size /= 2  # Newton's step can be too long far from the maximum
        weights = weights - size * step
        if np.abs(step).max() < 1e-9:
            break
    return Model(mean, scale, weights[:-1], float(weights[-1]))


def score(model: Model, features: Float[ArrayLike, "n f"]) -> Float[np.ndarray, " n"]:
    """Log-odds that photos were processed: above 0, more likely than not."""
    rows = np.asarray(features, np.float64)
    return (rows - model.mean) / model.scale @ model.weights + model.bias


def held_out(
    features: Float[ArrayLike, "n f"],
    processed: Bool[ArrayLike, " n"],
    groups: Shaped[ArrayLike, " n"],
    *,
    ridge: float = RIDGE,
) -> Float[np.ndarray, " n"]:
    """`score` of every photo by a model that has not seen any photo of its group.

    Args:
      features: One row a photo.
      processed: Which photos were processed.
      groups: Names or numbers; all versions of one photo are one group.
      ridge: As in `fit`.

    Returns:
      Log-odds; 0 in a group without which the other photos are all of one kind, or none.
    """
    rows, truth, names = np.asarray(features), np.asarray(processed, bool), np.asarray(groups)
    scores = np.zeros(len(rows))
    for name in np.unique(names):
        inside = names == name
        if len(np.unique(truth[~inside])) == 2:
            model = fit(rows[~inside], truth[~inside], ridge=ridge)
            scores[inside] = score(model, rows[inside])
    return scores


def _logistic(x: np.ndarray) -> np.ndarray:
    return 0.5 * (1 + np.tanh(x / 2))


@jax.jit
def _features(pixels: Array) -> Array:
    grey = image.luma(pixels)
    second = 4 * grey[1:-1, 1:-1]
    second = second - grey[:-2, 1:-1] - grey[2:, 1:-1] - grey[1:-1, :-2] - grey[1:-1, 2:]
    equal = [_equal(pixels, step) for step in _STEPS]
    noise = (residuals.denoising_residual(grey), second)
    return jnp.concatenate([*(_of_residual(plane) for plane in noise), *equal])


def _of_residual(plane: Array) -> Array:
    """Spectrum, variance, kurtosis and neighbours' correlations of a residual [h w]."""
    plane = plane - jnp.mean(plane)
    variance = jnp.mean(jnp.square(plane)) + _DARK
    kurtosis = (jnp.mean(plane**4) + 3 * _DARK**2) / jnp.square(variance)
    height, width = plane.shape
    # A window keeps what does not meet at opposite borders from leaking into all frequencies.
    windowed = plane * np.outer(np.hanning(height), np.hanning(width))
    power = jnp.square(jnp.abs(jnp.fft.rfft2(windowed)))
    radius = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width))
    ring = np.minimum(radius * 2 * RINGS, RINGS).astype(int)
    sums = jnp.zeros(RINGS + 1).at[ring].add(power)
    means = sums / np.maximum(np.bincount(ring.ravel(), minlength=RINGS + 1), 1)
    scale = np.mean(np.outer(np.hanning(height), np.hanning(width)) ** 2) * height * width
    spectrum = jnp.log((means / scale + _DARK) / variance)
    neighbours = [_product(plane, step) / variance for step in _STEPS]
    return jnp.concatenate(
        [spectrum, jnp.stack([jnp.log(variance), jnp.log(kurtosis), *neighbours])]
    )


def _moved(x: Array, step: tuple[int, int]) -> tuple[Array, Array]:
    """The pixels that have a neighbour at a step, and those neighbours."""
    down, across = step
    height, width = x.shape[:2]
    return x[: height - down, : width - across], x[down:, across:]


def _product(plane: Array, step: tuple[int, int]) -> Array:
    return jnp.mean(jnp.multiply(*_moved(plane, step)))


def _equal(pixels: Array, step: tuple[int, int]) -> Array:
    """How often neighbours are equal in all channels, and in one, as square roots [2]."""
    same = jnp.equal(*_moved(pixels, step))
    return jnp.sqrt(jnp.stack([jnp.mean(same.all(-1)), jnp.mean(same)]))
