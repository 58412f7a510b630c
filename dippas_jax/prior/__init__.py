"""The paper's method: deep image prior inversion, block by block assembly.

A generator f_φ, an untrained multi-resolution U-Net (`generator`, section 3.4), is fitted to the
one photo I with the fingerprint P injected:

    I_φ = f_φ(z)                                             z white Gaussian noise
    φ, γ = argmin ‖f_φ(z)·(1 + γ·P) − I‖²_F                  equation 9 (`inversion`)
    P = K, the camera's fingerprint: aware                   equation 10
    P = W, the photo's own residual: blind                   equation 11

Its outputs along the way are the snapshots. Those whose PSNR against I is at least τ are cut into
blocks of B×B pixels; at every position the blocks are ordered by their NCC with P, negative ones
first, the weakest of each sign first, and the L first are averaged (section 3.3; `pool`).

`anonymize.invert` does all of it for one photo. `extensions` is what is not the paper's.
"""

from dippas_jax import lazy

__getattr__ = lazy.modules(__name__)
