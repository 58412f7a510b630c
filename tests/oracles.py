"""What every number of the signal modules should be: slow, obvious, float64.

Written from the papers with NumPy, SciPy and PyWavelets, one photo at a time, sharing no line with
the package. Pixels are uint8 [h w 3]; planes are float64 [h w] in grey levels. The filters are
those of Mihcak et al. (1999), "Low-complexity image denoising based on statistical modeling of
wavelet coefficients"; the fingerprint is that of Chen et al. (2008), "Determining image origin and
integrity using sensor noise"; the peak-to-correlation energy is that of Goljan et al. (2009).
"""

import math
import warnings

import numpy as np
import pywt
import scipy.ndimage

WINDOWS = (3, 5, 7, 9)
LUMA = (0.299, 0.587, 0.114)


def photo(seed, height, width, fingerprint=None, noise=2.0):
    """A made-up photo, uint8 [h w 3]: soft shapes, a sharp edge, noise, and a fingerprint in it."""
    rng = np.random.default_rng(seed)
    shapes = rng.standard_normal((height, width, 3))
    shapes = scipy.ndimage.gaussian_filter(shapes, (8, 8, 0), mode="wrap")
    values = 128 + 40 * shapes / shapes.std()
    values[: height // 3, : width // 2] += 40
    if fingerprint is not None:
        values *= 1 + fingerprint[..., None] / 255
    values += noise * rng.standard_normal(values.shape)
    return np.clip(np.round(values), 0, 255).astype(np.uint8)


def luma(image):
    """Grey [h w] of a colour image [h w 3]."""
    red, green, blue = (np.asarray(image[..., channel], np.float64) for channel in range(3))
    return LUMA[0] * red + LUMA[1] * green + LUMA[2] * blue


def psnr(a, b):
    """Peak signal-to-noise ratio of two photos in grey levels, dB."""
    error = np.mean((np.asarray(a, np.float64) - np.asarray(b, np.float64)) ** 2)
    return math.inf if error == 0 else 10 * math.log10(255**2 / error)


def wavedec2(plane, levels=4):
    """The wavelet transform whose conventions the package follows."""
    with warnings.catch_warnings():  # small planes: more levels than pywt finds sensible
        warnings.filterwarnings("ignore", message="Level value", category=UserWarning)
        return pywt.wavedec2(np.asarray(plane, np.float64), "db4", mode="symmetric", level=levels)


def waverec2(coefficients):
    """Its inverse, not yet cropped to an odd size."""
    return pywt.waverec2(coefficients, "db4", mode="symmetric")


def wiener_adaptive(plane, noise_variance):
    """The part of `plane` that is noise, by the local variance of Mihcak et al. (1999)."""
    variances = []
    for window in WINDOWS:
        mean_square = scipy.ndimage.uniform_filter(plane**2, window, mode="constant")
        variances.append(np.maximum(mean_square - noise_variance, 0))
    variance = np.min(variances, axis=0)
    total = variance + noise_variance
    return np.where(total > 0, plane * noise_variance / np.where(total > 0, total, 1), 0)


def denoising_residual(plane, sigma=3.0, levels=4):
    """The noise of one channel: what the wavelet filter would take away."""
    approximation, *details = wavedec2(plane, levels)
    noise = [np.zeros_like(approximation)]
    for level in details:
        noise.append(tuple(wiener_adaptive(band, sigma**2) for band in level))
    return waverec2(noise)[: plane.shape[0], : plane.shape[1]]


def zero_mean(plane):
    """Take the mean, then row means, then column means from each phase of the Bayer pattern."""
    plane = np.array(plane, np.float64)
    for row in (0, 1):
        for column in (0, 1):
            phase = plane[row::2, column::2]
            phase = phase - phase.mean()
            phase = phase - phase.mean(axis=1, keepdims=True)
            phase = phase - phase.mean(axis=0, keepdims=True)
            plane[row::2, column::2] = phase
    return plane


def wiener_dft(plane):
    """Flatten the peaks of the spectrum: periodic patterns are not of the single sensor."""
    spectrum = np.fft.fft2(plane)
    magnitude = np.abs(spectrum) / math.sqrt(plane.size)
    noise_magnitude = wiener_adaptive(magnitude, np.var(plane, ddof=1))
    ratio = np.where(magnitude > 0, noise_magnitude / np.where(magnitude > 0, magnitude, 1), 0)
    return np.real(np.fft.ifft2(spectrum * ratio))


def residual(pixels, sigma=3.0, levels=4):
    """The noise residual W of a photo."""
    pixels = np.asarray(pixels, np.float64)
    channels = [denoising_residual(pixels[..., c], sigma, levels) for c in range(3)]
    return wiener_dft(zero_mean(luma(np.stack(channels, axis=-1))))


def intensity_weight(pixels):
    """How much a pixel of that brightness says: linear, and falling fast towards saturation."""
    values = np.asarray(pixels, np.float64)
    return np.where(values < 252, values / 252, np.exp(-((values - 252) ** 2) / 6))


def usable(pixels):
    """1 where a pixel is not saturated: one pixel and one channel at a time."""
    height, width, _ = pixels.shape
    mask = np.ones(pixels.shape)
    for channel in range(3):
        plane = pixels[..., channel].astype(int)
        if plane.max() <= 250:
            continue
        for y, x in zip(*np.nonzero(plane == plane.max()), strict=True):
            neighbours = (
                plane[y, x - 1],
                plane[y, (x + 1) % width],
                plane[y - 1, x],
                plane[(y + 1) % height, x],
            )
            if any(neighbour == plane[y, x] for neighbour in neighbours):
                mask[y, x, channel] = 0
    return mask


def fingerprint(photos, sigma=3.0, levels=4):
    """Maximum-likelihood fingerprint K of a camera from its flat-field photos."""
    numerator, denominator = 0.0, 0.0
    for pixels in photos:
        values = np.asarray(pixels, np.float64)
        noise = [denoising_residual(values[..., c], sigma, levels) for c in range(3)]
        numerator = numerator + np.stack(noise, axis=-1) * values / 255
        denominator = denominator + (intensity_weight(pixels) * usable(pixels)) ** 2
    return wiener_dft(zero_mean(luma(numerator / (denominator + 1))))


def ncc(a, b):
    """Normalised correlation without subtracting means, equation 2; nan where a norm is zero."""
    a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
    norms = math.sqrt(np.sum(a**2)) * math.sqrt(np.sum(b**2))
    return float(np.sum(a * b) / norms) if norms > 0 else math.nan


def pattern(pixels, fingerprint):
    """What the fingerprint leaves in that photo: I·K."""
    return luma(pixels) * np.asarray(fingerprint, np.float64)


def ncc_blocks(a, b, side):
    """NCC of every block, the ones at the lower and right edges smaller."""
    height, width = a.shape
    return np.array(
        [
            [
                ncc(a[y : y + side, x : x + side], b[y : y + side, x : x + side])
                for x in range(0, width, side)
            ]
            for y in range(0, height, side)
        ]
    )


def circular_cross_correlation(a, b):
    """NCC of `a` and `b` shifted round by every (y, x), means subtracted."""
    a, b = (np.asarray(plane, np.float64) - np.mean(plane, dtype=np.float64) for plane in (a, b))
    height, width = a.shape
    return np.array(
        [[ncc(a, np.roll(b, (y, x), (0, 1))) for x in range(width)] for y in range(height)]
    )


def pce(surface, y=0, x=0):
    """Signed peak-to-correlation energy at one shift, 11x11 neighbours left out."""
    surface = np.roll(np.asarray(surface, np.float64), (5 - y, 5 - x), (0, 1))
    outside = np.ones(surface.shape, bool)
    outside[:11, :11] = False
    peak = surface[5, 5]
    return math.copysign(peak**2 / np.mean(surface[outside] ** 2), peak)
