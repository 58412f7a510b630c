"""The convolution and the gradients written by hand, against NumPy and XLA's own."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from dippas_jax.prior import convolution
from tests import network

CASES = [
    (side, stride, size, channels)
    for side, stride in ((1, 1), (2, 1), (3, 1), (3, 2))
    for size in ((8, 6), (7, 9), (1, 2))
    for channels in ((2, 5), (5, 2))
] + [(side, stride, (5, 6), (9, 11)) for side, stride in ((1, 1), (3, 1), (3, 2))]


def plain(x, kernel, stride):
    pad = kernel.shape[0] // 2
    return lax.conv_general_dilated(
        x[None],
        kernel,
        (stride, stride),
        ((pad, pad), (pad, pad)),
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
        precision=lax.Precision.HIGHEST,
    )[0]


def draw(size, side, channels, seed=0, batch=()):
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((*batch, *size, channels[0])).astype(np.float32)
    kernel = rng.standard_normal((*batch, side, side, *channels)).astype(np.float32)
    return jnp.asarray(x), jnp.asarray(kernel)


def with_gradients(convolve, x, kernel, stride):
    """Value, and the gradients for a cotangent without symmetry."""
    value, pull = jax.vjp(lambda a, b: convolve(a, b, stride), x, kernel)
    cotangent = jnp.cos(jnp.arange(value.size, dtype=jnp.float32)).reshape(value.shape)
    return value, *pull(cotangent)


@pytest.mark.parametrize(("side", "stride", "size", "channels"), CASES)
def test_value_and_gradients_are_those_of_the_plain_convolution(side, stride, size, channels):
    x, kernel = draw(size, side, channels)
    ours = jax.jit(with_gradients, static_argnums=(0, 3))(convolution.convolve, x, kernel, stride)
    theirs = jax.jit(with_gradients, static_argnums=(0, 3))(plain, x, kernel, stride)
    np.testing.assert_allclose(ours[0], network.convolve(x, kernel, stride), atol=1e-5)
    for mine, other, what in zip(ours, theirs, ("value", "input", "kernel"), strict=True):
        assert mine.dtype == jnp.float32
        np.testing.assert_allclose(mine, other, rtol=1e-5, atol=3e-5, err_msg=what)


@pytest.mark.parametrize("batched_kernel", [False, True])
@pytest.mark.parametrize(("side", "stride"), [(1, 1), (3, 1), (3, 2)])
def test_a_batch_is_its_photos_one_by_one(side, stride, batched_kernel):
    x, kernels = draw((7, 6), side, (3, 4), batch=(2,))
    axes = (0, 0 if batched_kernel else None)
    given = kernels if batched_kernel else kernels[0]
    batch = jax.vmap(lambda a, b: with_gradients(convolution.convolve, a, b, stride), axes)
    ours = jax.jit(batch)(x, given)
    one = jax.jit(lambda a, b: with_gradients(plain, a, b, stride))
    for index in range(2):
        theirs = one(x[index], kernels[index] if batched_kernel else given)
        for mine, other in zip(ours, theirs, strict=True):
            np.testing.assert_allclose(mine[index], other, rtol=1e-5, atol=3e-5)


@pytest.mark.parametrize("batched", [False, True])
@pytest.mark.parametrize(("side", "size"), [(1, (5, 4)), (3, (5, 4)), (3, (1, 2))])
def test_an_enlarged_image_is_convolved_without_being_made(side, size, batched):
    x, kernel = draw(size, side, (3, 4), batch=(2,))

    def large(x, kernel, stride):
        return plain(x.repeat(2, 0).repeat(2, 1), kernel, stride)

    def ours(x, kernel, stride):
        return convolution.convolve_enlarged(x, kernel)

    def both(form):
        one = lambda a, b: with_gradients(form, a, b, 1)  # noqa: E731
        return jax.jit(jax.vmap(one))(x, kernel) if batched else jax.jit(one)(x[0], kernel[0])

    for mine, other in zip(both(ours), both(large), strict=True):
        np.testing.assert_allclose(mine, other, rtol=1e-5, atol=3e-5)
    twice = np.kron(x[0], np.ones((2, 2, 1)))
    expected = network.convolve(twice, kernel[0])
    np.testing.assert_allclose(ours(x[0], kernel[0], 1), expected, atol=1e-5)


FORMS = {"library": convolution.library, "products": convolution.products}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(("side", "stride", "size", "channels"), CASES)
def test_what_accelerators_run_is_the_plain_convolution(form, side, stride, size, channels):
    x, kernel = draw(size, side, channels)

    def accelerated(a, b, stride):
        return FORMS[form](a, b, stride=stride)

    ours = jax.jit(with_gradients, static_argnums=(0, 3))(accelerated, x, kernel, stride)
    theirs = jax.jit(with_gradients, static_argnums=(0, 3))(plain, x, kernel, stride)
    for mine, other, what in zip(ours, theirs, ("value", "input", "kernel"), strict=True):
        np.testing.assert_allclose(mine, other, rtol=1e-5, atol=3e-5, err_msg=what)


def lowered(platform, batched_kernel):
    """The program of a batch of three images for a platform that need not be here."""
    x, kernels = draw((16, 16), 3, (5, 7), batch=(3,))
    axes = (0, 0 if batched_kernel else None)
    given = kernels if batched_kernel else kernels[0]
    batch = jax.vmap(lambda a, b: with_gradients(convolution.convolve, a, b, 1), axes)
    exported = jax.export.export(jax.jit(batch), platforms=[platform])(x, given)
    return exported.mlir_module()


def test_accelerators_multiply_a_batch_with_kernels_of_its_own():
    program = lowered("cuda", True)
    assert "dot_general" in program
    assert "stablehlo.convolution" not in program


def test_accelerators_convolve_a_batch_with_one_kernel():
    program = lowered("cuda", False)
    assert "stablehlo.convolution" in program
    assert "dot_general" not in program
