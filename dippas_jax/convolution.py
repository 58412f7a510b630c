from functools import partial

import jax
import jax.numpy as jnp
from jax import lax

DN = ("NHWC", "HWIO", "NHWC")


def _conv(x, k, stride, pad):
    return lax.conv_general_dilated(x[None], k, (stride, stride), pad, dimension_numbers=DN)[0]


@partial(jax.custom_vjp, nondiff_argnums=(2,))
def convolve(x, k, stride=1):
    p = k.shape[0] // 2
    return _conv(x, k, stride, ((p, p), (p, p)))


def fwd(x, k, stride):
    return convolve(x, k, stride), (x, k)


MODE = "slices"


def bwd(stride, res, g):
    x, k = res
    s = k.shape[0]
    p = s // 2
    h, w, ci = x.shape
    co = g.shape[-1]
    if s == 1:
        dx = (g.reshape(-1, co) @ k[0, 0].T).reshape(x.shape)
        dk = (x.reshape(-1, ci).T @ g.reshape(-1, co))[None, None]
        return dx, dk
    # input gradient
    kt = k[::-1, ::-1].swapaxes(2, 3)
    if stride == 1:
        dx = _conv(g, kt, 1, ((p, p), (p, p)))
    else:
        gh, gw = g.shape[:2]
        dx = lax.conv_general_dilated(
            g[None],
            kt,
            (1, 1),
            ((p, h - (stride * (gh - 1) + 1) - p + 2 * p),) * 1
            + ((p, w - (stride * (gw - 1) + 1) - p + 2 * p),),
            lhs_dilation=(stride, stride),
            dimension_numbers=DN,
        )[0]
    gh, gw = g.shape[:2]
    if ci <= co or stride != 1:
        xp = jnp.pad(x, ((p, p), (p, p), (0, 0)))
        dk = jnp.stack(
            [
                jnp.stack(
                    [
                        lax.dot_general(
                            xp[i : i + h : stride, j : j + w : stride],
                            g,
                            (((0, 1), (0, 1)), ((), ())),
                        )
                        for j in range(s)
                    ]
                )
                for i in range(s)
            ]
        )
    else:
        gp = jnp.pad(g, ((p, p), (p, p), (0, 0)))
        dk = jnp.stack(
            [
                jnp.stack(
                    [
                        lax.dot_general(
                            x,
                            gp[2 * p - i : 2 * p - i + h, 2 * p - j : 2 * p - j + w],
                            (((0, 1), (0, 1)), ((), ())),
                        )
                        for j in range(s)
                    ]
                )
                for i in range(s)
            ]
        )
    return dx, dk


convolve.defvjp(fwd, bwd)
