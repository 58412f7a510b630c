"""Simulated cameras: are p-values uniform, and is a fingerprint found as often as theory predicts.

    python -m benchmarks.statistics
    python -m benchmarks.statistics --cameras=100 --photos=100 --json

First, pairs of a photo and another camera's fingerprint: the largest distance D between the
distribution of their p-values and the uniform one (Kolmogorov and Smirnov), and how likely a
uniform one gives as much.

Then photos with their own camera's fingerprint K, over strengths of it. Let k be the planted
fingerprint less what `residual.zero_mean` takes from all, and W = g·I·k + N, with g the gain of the
extractor and N the rest, of mean square v. Let r be the correlation of the estimate K with k, its
error independent of N. Then ⟨W, I·K⟩ has the mean r·g·s·‖I·K‖·√n over n pixels, with s² the mean
of (I·k)², and

    E[z] = √n · E⟨W, I·K⟩ / (‖W‖·‖I·K‖) = √n · r·g·s / √(g²s² + v).

About its mean z spreads as it does for another camera: by d² = mean(W²I²) / (mean W² · mean I²),
which is 1 where noise does not depend on brightness. So a scene passes a threshold t with
probability Φ((E[z] - t)/d). All of it is known beforehand: s is the strength times √(mean of I²)
times what is left of k; g = ⟨W, I·k⟩/‖I·k‖², v and d come from the same scenes taken by calibration
cameras, whose k is known; and r needs no k, only estimates from the two halves of the flat photos.
If these correlate by ρ with each other and by ρ' with those of other cameras (what the model
has in common), and all of them together are used, then r² = 2(ρ - ρ')/(1 + ρ) (after Spearman and
Brown). The interval is that in which 99 % of counts lie if the prediction is right; the exit status
is 1 if a rate lies outside, or the p-values are not uniform at 1 %.
"""

import argparse
import json
import sys
import time
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import scipy.stats

from dippas_jax.datasets import synthetic
from dippas_jax.forensics import identification
from dippas_jax.signal import correlation, fingerprint, image, residual

THRESHOLD = 4.0  # z-score: one false alarm in 30,000
STRENGTHS = (0.0005, 0.001, 0.0015, 0.002, 0.0025, 0.003, 0.004)
CALIBRATION = 0.003  # strength at which gains are measured: strong enough to be measured well
CALIBRATION_CAMERAS = 12
FIRST_CALIBRATION_CAMERA = 10_000
SCENES = 10
SIGNIFICANCE = 0.01


class Calibration(NamedTuple):
    """What the extractor makes of scenes; arrays of one entry a scene.

    Attributes:
      gain: g, of the planted pattern.
      noise: v, mean square of the rest of the residual, squared grey levels.
      brightness: √(mean of I²), grey levels.
      deviation: d, of z.
    """

    gain: np.ndarray
    noise: np.ndarray
    brightness: np.ndarray
    deviation: np.ndarray


class Estimate(NamedTuple):
    """A camera's fingerprint from all its flat photos, and from every second one."""

    whole: np.ndarray
    even: np.ndarray
    odd: np.ndarray


class Rate(NamedTuple):
    """Found and predicted at one strength."""

    strength: float
    reliability: float  # r
    z_predicted: float
    z_measured: float
    rate_predicted: float
    rate_measured: float
    lowest: float  # the interval of the measured rate
    highest: float
    inside: bool


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", type=int, default=64, help="side of the photos, pixels")
    parser.add_argument("--cameras", type=int, default=40, help="cameras a strength")
    parser.add_argument("--photos", type=int, default=60, help="photos under the null hypothesis")
    parser.add_argument("--json", action="store_true", help="one line of JSON")
    options = parser.parse_args()
    start = time.monotonic()
    null = uniformity(options.size, options.photos, options.cameras)
    rates = detection(options.size, options.cameras)
    right = null["ks_p_value"] > SIGNIFICANCE and all(rate.inside for rate in rates)
    seconds = time.monotonic() - start
    if options.json:
        rows = [rate._asdict() for rate in rates]
        print(json.dumps({**null, "rates": rows, "as_predicted": right, "seconds": seconds}))
        return int(not right)
    for name, value in null.items():
        print(f"{name:16} {value:.4g}")
    print(f"\n{'strength':>9}{'r':>7}{'z pred.':>9}{'z':>7}{'rate pred.':>11}{'rate':>7}", end="")
    print("  99 % interval")
    for rate in rates:
        print(f"{rate.strength:9.4f}{rate.reliability:7.3f}{rate.z_predicted:9.2f}", end="")
        print(f"{rate.z_measured:7.2f}{rate.rate_predicted:11.3f}{rate.rate_measured:7.3f}", end="")
        print(f"  {rate.lowest:.3f} to {rate.highest:.3f}{'' if rate.inside else '  OUTSIDE'}")
    print(f"\n{'as predicted' if right else 'NOT as predicted'}, {seconds:.0f} s")
    return int(not right)


def uniformity(size: int, photos: int, cameras: int, strength: float = 0.003) -> dict[str, float]:
    """p-values of every photo with the fingerprint of every camera, none of them its own."""
    owned = (_fingerprints(_camera(seed, strength), size).whole for seed in range(cameras))
    planes = np.stack(list(owned))
    shots = [_shot(_camera(cameras + i, strength), i, size) for i in range(photos)]
    p_values = np.concatenate([identification.compare(x, planes).p_value for x in shots])
    ks = scipy.stats.kstest(p_values, "uniform")
    return {
        "pairs": p_values.size,
        "ks_distance": float(ks.statistic),
        "ks_p_value": float(ks.pvalue),
        "below_0.05": float(np.mean(p_values < 0.05)),
        "below_0.01": float(np.mean(p_values < 0.01)),
        "least": float(p_values.min()),
    }


def detection(
    size: int, cameras: int, strengths: tuple[float, ...] = STRENGTHS, scenes: int = SCENES
) -> list[Rate]:
    """Predicted and measured rates: every scene taken by every camera, at every strength."""
    known = calibrate(size, scenes)
    rates = []
    for strength in strengths:
        owners = [_camera(seed, strength) for seed in range(cameras)]
        estimates = [_fingerprints(owner, size) for owner in owners]
        measured = [
            float(_z(_shot(owner, index, size), estimate.whole))
            for owner, estimate in zip(owners, estimates, strict=True)
            for index in range(scenes)
        ]
        r = reliability(estimates)
        z = size * expected_ncc(strength * known.brightness * _left(size), r, known)
        rate = float(scipy.stats.norm.cdf((z - THRESHOLD) / known.deviation).mean())
        count = len(measured)
        low, high = scipy.stats.binom.interval(1 - SIGNIFICANCE, count, rate)
        found = int(np.sum(np.array(measured) > THRESHOLD))
        rates.append(
            Rate(
                strength=strength,
                reliability=r,
                z_predicted=float(z.mean()),
                z_measured=float(np.mean(measured)),
                rate_predicted=rate,
                rate_measured=found / count,
                lowest=float(low) / count,
                highest=float(high) / count,
                inside=bool(low <= found <= high),
            )
        )
    return rates


def expected_ncc(signal: np.ndarray, r: float, known: Calibration) -> np.ndarray:
    """E[NCC] of scenes with patterns of root mean square `signal`: the formula above."""
    energy = np.square(known.gain * signal) + known.noise
    return r * known.gain * signal / np.sqrt(energy)


def reliability(estimates: list[Estimate]) -> float:
    """r, the correlation of estimates with what was planted, from those of halves alone."""
    first, second = (np.stack([getattr(e, half) for e in estimates]) for half in ("even", "odd"))
    table = np.asarray(correlation.ncc(first[:, None], second))
    own = np.eye(len(table), dtype=bool)
    rho, common = table[own].mean(), table[~own].mean()
    return float(np.sqrt(max(2 * (rho - common) / (1 + rho), 0)))


def calibrate(size: int, scenes: int) -> Calibration:
    """Gains and noises of scenes, from cameras whose planted fingerprints are known."""
    rows = []
    for index in range(scenes):
        sums = np.zeros(5)
        for i in range(CALIBRATION_CAMERAS):
            camera = _camera(FIRST_CALIBRATION_CAMERA + i, CALIBRATION)
            pixels = _shot(camera, index, size)
            grey, noise = (
                np.asarray(x, np.float64) for x in (image.luma(pixels), _residual(pixels))
            )
            pattern = grey * _planted(camera, size)
            terms = (noise * pattern, pattern**2, noise**2, grey**2, (noise * grey) ** 2)
            sums += [np.mean(term) for term in terms]
        product, energy, power, brightness, both = sums / CALIBRATION_CAMERAS
        gain = product / energy
        deviation = np.sqrt(both / (power * brightness))
        rows.append((gain, power - gain**2 * energy, np.sqrt(brightness), deviation))
    return Calibration(*np.array(rows).T)


def _planted(camera: synthetic.Camera, size: int) -> np.ndarray:
    """k: the planted fingerprint less the means that no estimate and no residual has."""
    return np.asarray(residual.zero_mean(camera.fingerprint(size, size)), np.float64)


def _left(size: int) -> float:
    """√ of the share of white noise that `residual.zero_mean` leaves: n - 2 of n on each axis."""
    return 1 - 2 / size


def _camera(seed: int, strength: float) -> synthetic.Camera:
    return synthetic.Camera(seed, strength)


def _shot(camera: synthetic.Camera, index: int, size: int) -> np.ndarray:
    """A photo, of a place of a scene of its own."""
    places = index + len(synthetic.SCENES)  # the first ones are the middles
    return synthetic.expose(camera, synthetic.scene(places, size), index)


def _fingerprints(camera: synthetic.Camera, size: int) -> Estimate:
    halves = [fingerprint.init(size, size) for _ in range(2)]
    for i, flat in enumerate(synthetic.flats(camera, size, size, 24)):
        halves[i % 2] = _update(halves[i % 2], flat)
    sums = (jax.tree.map(jnp.add, *halves), *halves)
    return Estimate(*(np.asarray(_estimate(accumulator)) for accumulator in sums))


_update = jax.jit(fingerprint.update)
_estimate = jax.jit(fingerprint.estimate)
_residual = jax.jit(residual.residual)


@jax.jit
def _z(pixels: jax.Array, plane: jax.Array) -> jax.Array:
    ncc = correlation.ncc(residual.residual(pixels), correlation.pattern(pixels, plane))
    return correlation.z_score(ncc, *plane.shape)


if __name__ == "__main__":
    sys.exit(main())
