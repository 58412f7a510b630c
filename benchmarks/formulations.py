"""How the network is convolved: a step of one tile, and of many, by each formulation.

    python -m benchmarks.formulations --sizes=128,256,512 --tiles=8
    python -m benchmarks.formulations --quality=FOLDER --sizes=256 --steps=1000

Formulations: `package` is what `prior.convolution` chooses on this platform; `grouped` is XLA's own
convolution, which `jax.vmap` makes a grouped one; `products` are matrix products; `padded` fills
channels up to multiples of 4 with zeros; `eights` rounds the channels of the network to multiples
of 8; `bfloat16` convolves in that precision. `shared` is one network for all tiles, its
normalisation that of each tile.

Printed are milliseconds of a step of one tile, the fastest of `--turns` chunks, that over `package`
alone, the memory of temporaries, and the time to compile. Before them stand the operations and the
fewest bytes of a step, and what an H100 would need for them by its data sheet: a product of inputs
and outputs of every convolution, forward and two backward, and one read and one write of each.

With `--quality`, crops of FOLDER/DEVICE/crop512 are inverted with their K by each formulation for
so many steps instead; printed is the best PSNR of a step, dB.
"""

import argparse
import functools
import statistics
import time
from pathlib import Path
from unittest import mock

import jax
import jax.numpy as jnp
import numpy as np
import optax

from dippas_jax import config as configuration
from dippas_jax.io import photo as photo_file
from dippas_jax.prior import convolution, generator, inversion

TENSOR = 495e12  # operations a second of an H100's tensor cores in TF32, dense
BYTES = 3.35e12  # a second, of its memory


def _library(x, kernel, stride=1):
    return convolution.library(x, kernel, stride=stride)


def _products(x, kernel, stride=1):
    return convolution.products(x, kernel, stride=stride)


def _padded(x, kernel, stride=1):
    *_, inputs, outputs = kernel.shape
    x = jnp.pad(x, ((0, 0), (0, 0), (0, -inputs % 4)))
    kernel = jnp.pad(kernel, ((0, 0), (0, 0), (0, -inputs % 4), (0, -outputs % 4)))
    return convolution.library(x, kernel, stride=stride)[..., :outputs]


def _bfloat16(x, kernel, stride=1):
    x, kernel = x.astype(jnp.bfloat16), kernel.astype(jnp.bfloat16)
    return convolution.library(x, kernel, stride=stride).astype(jnp.float32)


_widths = generator.inner_widths


def _eights(width: int, alpha: float) -> tuple[int, ...]:
    return tuple(max(8, round(channels / 8) * 8) for channels in _widths(width, alpha))


FORMS = {
    "package": {},
    "grouped": {"convolve": _library},
    "products": {"convolve": _products},
    "padded": {"convolve": _padded},
    "bfloat16": {"convolve": _bfloat16},
    "eights": {"inner_widths": _eights},
    "shared": {"convolve": _library},
}


def _patched(form: str) -> mock._patch:
    changed = FORMS[form]
    if "inner_widths" in changed:
        return mock.patch.multiple(generator, **changed)
    return mock.patch.multiple(convolution, **changed) if changed else mock.patch.dict({})


def _config(chunk: int) -> configuration.Config:
    return configuration.Config(inversion=configuration.Inversion(chunk=chunk))


def _noise(seed: int, size: int):
    draw = np.random.default_rng(seed)
    photo = draw.integers(0, 256, (size, size, 3), np.uint8)
    return inversion.problem(
        jax.random.key(seed), photo, draw.normal(0, 1, (size, size)).astype(np.float32)
    )


def _shared(carry, problems, config):
    """A chunk of all tiles with one network."""
    _, height, width, _ = problems.pixels.shape
    update = optax.flatten(optax.adam(config.inversion.learning_rate)).update
    z = jax.vmap(lambda key: inversion.input_noise(key, height, width, config))(problems.key)

    def objective(unknowns, z):
        params, gamma = unknowns
        losses, images = jax.vmap(lambda *of: inversion.loss((params, of[0]), *of[1:], config))(
            gamma, z, problems
        )
        return losses.mean(), images

    def step(carry, number):
        unknowns, moments = carry
        perturbed = jax.vmap(lambda key, z: inversion.perturb(key, z, number, config))
        (value, images), gradients = jax.value_and_grad(objective, has_aux=True)(
            unknowns, perturbed(problems.key, z)
        )
        direction, moments = update(gradients, moments, unknowns)
        return (optax.apply_updates(unknowns, direction), moments), (value, jnp.uint8(255 * images))

    return jax.lax.scan(step, carry, jnp.arange(config.inversion.chunk))


def _measured(
    form: str, size: int, tiles: int, config: configuration.Config, turns: int
) -> tuple[float, float, float]:
    """Milliseconds of a step of a tile, MiB of temporaries, seconds to compile."""
    problems = [_noise(seed, size) for seed in range(tiles)]
    with _patched(form):
        every = jax.tree.map(lambda *of_each: jnp.stack(of_each), *problems)
        if form == "shared":
            unknowns = generator.init(jax.random.key(0), config.generator), jnp.zeros(tiles)
            state = unknowns, optax.flatten(optax.adam(1e-3)).init(unknowns)
            chunk = functools.partial(_shared, config=config)
        else:
            state = jax.vmap(lambda one: inversion.init(one, config))(every)
            chunk = functools.partial(inversion.chunk, config=config)
            if tiles == 1:
                state, every = jax.tree.map(lambda x: x[0], (state, every))
            else:
                chunk = jax.vmap(chunk)
        started = time.perf_counter()
        compiled = jax.jit(chunk).lower(state, every).compile()
    compiling = time.perf_counter() - started
    times = []
    for _ in range(turns + 1):  # the first touches its memory for the first time
        started = time.perf_counter()
        jax.block_until_ready(compiled(state, every))
        times.append(time.perf_counter() - started)
    memory = compiled.memory_analysis().temp_size_in_bytes / 2**20
    return 1000 * min(times[1:]) / config.inversion.chunk / tiles, memory, compiling


def _counted(size: int) -> tuple[float, float]:
    """Operations and bytes of all convolutions of a step, forward and backward."""
    total = [0.0, 0.0]

    def count(x, kernel, stride=1):
        result = convolution.library(x, kernel, stride=stride)
        total[0] += 3 * 2 * result.size * kernel[..., 0].size
        total[1] += 3 * 4 * (x.size + kernel.size + result.size)
        return result

    config = configuration.Config().generator
    params = generator.init(jax.random.key(0), config)
    with mock.patch.object(convolution, "convolve", count):
        z = jax.ShapeDtypeStruct((size, size, config.depth), jnp.float32)
        jax.eval_shape(lambda z: generator.apply(params, z, config), z)
    return total[0], total[1]


def _quality(
    folder: Path, size: int, config: configuration.Config, steps: int, forms: list[str]
) -> None:
    corner = slice(None, size)
    found: dict[str, list[float]] = {form: [] for form in forms}
    paths = sorted(folder.glob("*/crop512/*"))
    for form in forms:
        chunk = jax.jit(functools.partial(inversion.chunk, config=config))
        for path in paths:
            photo = photo_file.read_pixels(path)[corner, corner]
            k = np.load(path.parent.parent / "prnu.npy")[corner, corner]
            problem = inversion.problem(jax.random.key(0), photo, k)
            best = 0.0
            with _patched(form):
                state = inversion.init(problem, config)
                for _ in range(-(-steps // config.inversion.chunk)):
                    state, trace = chunk(state, problem)
                    best = max(best, float(trace.psnr.max()))
            found[form].append(best)
            print(f"{path.stem}, {form}: {best:.2f} dB", flush=True)
    print("\n| photo | " + " | ".join(forms) + " |")
    print("|---|" + "---|" * len(forms))
    for n, path in enumerate(paths):
        print(f"| {path.stem} | " + " | ".join(f"{found[f][n]:.2f}" for f in forms) + " |")
    print("| mean | " + " | ".join(f"{statistics.mean(found[f]):.2f}" for f in forms) + " |")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.formulations", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--sizes", default="128,256", help="sides of a tile, pixels")
    parser.add_argument("--tiles", default="8", help="how many together")
    parser.add_argument("--forms", default=",".join(FORMS))
    parser.add_argument("--turns", type=int, default=2)
    parser.add_argument("--chunk", type=int, default=20, help="steps of one call")
    parser.add_argument("--quality", type=Path, metavar="FOLDER", help="invert its crops instead")
    parser.add_argument("--steps", type=int, default=1000, help="of --quality")
    options = parser.parse_args()
    forms = options.forms.split(",")
    sizes = [int(size) for size in options.sizes.split(",")]
    config = _config(options.chunk)
    if options.quality:
        forms = [form for form in forms if form != "shared"]
        _quality(options.quality, sizes[0], config, options.steps, forms)
        return
    print(f"{jax.devices()[0].device_kind}, JAX {jax.__version__}\n")
    for size in sizes:
        operations, moved = _counted(size)
        print(
            f"{size}x{size}: {operations / 1e9:.1f} GFLOP and {moved / 1e9:.2f} GB a step; "
            f"an H100 {1000 * operations / TENSOR:.2f} and {1000 * moved / BYTES:.2f} ms"
        )
    print("\n| size | formulation | tiles | ms a step | over alone | MiB | compile s |")
    print("|---|---|---|---|---|---|---|")
    for size in sizes:
        alone = None
        for tiles in dict.fromkeys((1, *map(int, options.tiles.split(",")))):
            for form in forms:
                if form == "shared" and tiles == 1:
                    continue
                step, memory, compiling = _measured(form, size, tiles, config, options.turns)
                alone = alone or step
                print(
                    f"| {size} | {form} | {tiles} | {step:.2f} | {step / alone:.2f} | "
                    f"{memory:.0f} | {compiling:.0f} |",
                    flush=True,
                )


if __name__ == "__main__":
    main()
