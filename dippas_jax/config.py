"""Every setting, its default and what is allowed.

The dataclasses are frozen and hashable, so that they can be static arguments of `jax.jit`. At the
edge they travel as a ConfigDict (`settings`).
"""

import dataclasses
import math

from dippas_jax.types import InputError

SMALLEST_PHOTO = 64  # pixels a side
STRENGTHS = {"fast": 41.0, "balanced": 41.0, "strong": 39.0}
"""PSNR aimed at, dB."""

FARTHEST = 4.0
"""Largest displacement that is of use, pixels."""


def _check(condition: bool, message: str) -> None:
    if not condition:
        raise InputError(message)


@dataclasses.dataclass(frozen=True)
class Data:
    """Which photos.

    Attributes:
      folder: Where they are; empty for the embedded simulated cameras.
      layout: How the folder is laid out: "devices" (`dataset/device/{photos, prnu.npy}`), "dresden"
        or "vision" (as those datasets are distributed; docs/datasets.md).
      crop: Side of the crops in pixels; 0 for the whole photo.
      crops: Crops a photo at most, none overlapping, nearest to the centre first; 1 for the centre
        crop, 0 for all that fit.
      photos: Sub-folders of a device that hold photos, beside those lying in it directly; at its
        default, "dresden" looks in natural/ and "vision" in nat/.
      devices: Names of the devices to use; empty for all.
      per_device: At most this many photos a device; 0 for all.
      limit: At most this many photos; 0 for all.
      cameras: Number of simulated cameras, where no folder is named.
    """

    folder: str = ""
    layout: str = "devices"
    crop: int = 0
    crops: int = 1
    photos: tuple[str, ...] = ("photos", "natural", "crop512")
    devices: tuple[str, ...] = ()
    per_device: int = 0
    limit: int = 0
    cameras: int = 1

    def __post_init__(self):
        _check(
            self.layout in ("devices", "dresden", "vision"),
            f'data.layout is "{self.layout}"; choose "devices", "dresden" or "vision"',
        )
        _check(
            self.crop == 0 or self.crop >= SMALLEST_PHOTO,
            f"data.crop is {self.crop}; choose 0 for the whole photo or at least {SMALLEST_PHOTO}",
        )
        _check(self.crops >= 0, f"data.crops is {self.crops}; choose 0 for all that fit, or more")
        _check(
            self.crops == 1 or self.crop > 0,
            f"data.crops is {self.crops} but data.crop is 0; give the side of the crops",
        )
        for name in ("per_device", "limit"):
            value = getattr(self, name)
            _check(value >= 0, f"data.{name} is {value}; choose 0 for all photos, or more")
        _check(self.cameras >= 1, f"data.cameras is {self.cameras}; choose 1 or more")


@dataclasses.dataclass(frozen=True)
class Generator:
    """The network of section 3.4.

    Attributes:
      depth: Channels of the input noise z (512 in the paper).
      widths: Sizes of the multi-resolution blocks, finest scale first.
      skips: Channels of the residual paths between the scales, one fewer than `widths`.
      alpha: Widening of the blocks.
      output: "sigmoid" (the paper) or "linear", its tangent at zero, which has a gradient where the
        photo is black or white too.
    """

    depth: int = 32
    widths: tuple[int, ...] = (32, 64)
    skips: tuple[int, ...] = (32,)
    alpha: float = 1.67
    output: str = "linear"

    def __post_init__(self):
        _check(math.isfinite(self.alpha), f"generator.alpha is {self.alpha}; choose a number")
        _check(self.depth >= 1, f"generator.depth is {self.depth}; choose 1 or more channels")
        _check(
            self.output in ("sigmoid", "linear"),
            f'generator.output is "{self.output}"; choose "sigmoid" or "linear"',
        )
        _check(
            1 <= len(self.widths) <= 7,
            f"generator.widths has {len(self.widths)} scales; choose 1 to 7",
        )
        _check(
            all(int(self.alpha * width * 0.167) >= 1 for width in self.widths),
            f"generator.widths are {self.widths}; with alpha {self.alpha} the smallest has no "
            "channels left, choose wider ones",
        )
        _check(
            len(self.skips) == len(self.widths) - 1 and all(skip >= 1 for skip in self.skips),
            f"generator.skips are {self.skips}; give {len(self.widths) - 1} positive numbers, one "
            "fewer than generator.widths",
        )


@dataclasses.dataclass(frozen=True)
class Inversion:
    """The optimisation of equation 9.

    Attributes:
      optimizer: "adam" (the paper) or "amsgrad" (the authors' program, PyTorch's arithmetic).
      learning_rate: Constant over the run.
      input_std: Standard deviation of the input noise z.
      noise_std: Standard deviation of the fresh noise added to z at every step; 0 for none.
      max_steps: Steps at most.
      stop_psnr: The run ends with the first snapshot above this PSNR, in dB.
      chunk: Steps done on the device between two looks of the host; changes no result.
      decorrelation: Weight, in the loss, of what a mixture of extractors still finds of the
        injected fingerprint in the snapshot (`extensions.correlation_penalty`); 0 for none.
      rollback: A step whose PSNR lies this many dB below the best so far is undone: weights, γ and
        moments of the best step come back, and the learning rate is halved; 0 for never.
    """

    optimizer: str = "adam"
    learning_rate: float = 1e-2
    input_std: float = 0.1
    noise_std: float = 0.0
    max_steps: int = 2000
    stop_psnr: float = 39.0
    chunk: int = 25
    decorrelation: float = 0.0
    rollback: float = 6.0

    def __post_init__(self):
        _check(
            self.optimizer in ("adam", "amsgrad"),
            f'inversion.optimizer is "{self.optimizer}"; choose "adam" or "amsgrad"',
        )
        for name in ("learning_rate", "input_std"):
            value = getattr(self, name)
            _check(
                0 < value < math.inf,
                f"inversion.{name} is {value}; choose a positive number",
            )
        for name in ("noise_std", "decorrelation", "rollback"):
            value = getattr(self, name)
            _check(
                0 <= value < math.inf,
                f"inversion.{name} is {value}; choose 0 or a positive number",
            )
        _check(self.max_steps >= 1, f"inversion.max_steps is {self.max_steps}; choose 1 or more")
        _check(
            0 < self.stop_psnr < math.inf,
            f"inversion.stop_psnr is {self.stop_psnr} dB; choose a positive one",
        )
        _check(
            self.chunk >= 2,
            f"inversion.chunk is {self.chunk}; choose 2 or more (a loop of one step is compiled "
            "differently, and its bytes would differ)",
        )


@dataclasses.dataclass(frozen=True)
class Assembly:
    """Section 3.3: every combination is computed from one inversion; the first of each is written.

    Attributes:
      sides: Block sides B in pixels; a side beyond the photo's means the whole photo.
      averages: Numbers L of blocks averaged.
      thresholds: PSNR τ, in dB, above which a snapshot is used.
      compensation: How much of what brings the leakage of a planted pattern to zero, in every band
        of frequency and texture, is done (`prior.balance`), 0 to 1; 0 plants nothing. It costs 1
        to 4 dB behind the PSNR at which the run ends. Not the paper's.
      write_all: Write the photo of every combination, not only of the first.
    """

    sides: tuple[int, ...] = (64,)
    averages: tuple[int, ...] = (10,)
    thresholds: tuple[float, ...] = (38.0,)
    compensation: float = 0.0
    write_all: bool = False

    def __post_init__(self):
        for name, smallest in (("sides", 8), ("averages", 1), ("thresholds", 1)):
            values = getattr(self, name)
            _check(
                len(values) > 0 and all(smallest <= value < math.inf for value in values),
                f"assembly.{name} is {values}; give one or more numbers of at least {smallest}",
            )
        _check(
            0 <= self.compensation <= 1,
            f"assembly.compensation is {self.compensation}; choose 0 to 1",
        )


@dataclasses.dataclass(frozen=True)
class Sparse:
    """The sparse method (docs/sparse.md).

    Attributes:
      strength: "fast" or "balanced" (near 41 dB; down to 36 where much of a fingerprint would be
        left) or "strong" (near 39 dB; down to 33); in noisy photos to 4 dB below their noise.
      compensation: How much of what brings the leakage to zero is done, 0 to 1.
      grain: How much of the noise that is missing is put back as new noise, 0 to 1.
      displacement: By how many pixels the result is moved, standard deviation along each axis, 0 to
        4 (`signal.displacement`); 0 leaves every pixel in its place.
    """

    strength: str = "balanced"
    compensation: float = 1.0
    grain: float = 0.0
    displacement: float = 0.0

    def __post_init__(self):
        _check(
            self.strength in STRENGTHS,
            f'sparse.strength is "{self.strength}"; choose "fast", "balanced" or "strong"',
        )
        for name in ("compensation", "grain"):
            value = getattr(self, name)
            _check(0 <= value <= 1, f"sparse.{name} is {value}; choose 0 to 1")
        _check(
            0 <= self.displacement <= FARTHEST,
            f"sparse.displacement is {self.displacement} pixels; choose 0 to {FARTHEST:g}",
        )


@dataclasses.dataclass(frozen=True)
class Config:
    """One run of `dippas_jax.main`.

    Attributes:
      mode: "aware" knows the camera's fingerprint (equation 10), "blind" does not (equation 11).
      method: "prior" fits the paper's network to the photo, with P injected; "sparse" keeps the few
        coefficients that stand out, in seconds (docs/sparse.md).
      target_psnr: In dB, exactly this in place of what the strength or inversion.stop_psnr say; 0
        to leave it to them.
      max_minutes: For a photo, after which the best result so far is taken; 0 for no limit. Which
        one that is depends on the machine's speed. Only runs and studies look at it: of the public
        functions `invert` alone has a `deadline`.
      seed: Of all randomness.
      sigma: Noise standard deviation assumed by the extractor, in grey levels.
      checkpoint_seconds: Time between two checkpoints of a photo being worked on; changes no
        result.
      batch: Photos or tiles that "prior" inverts at a time on each device; 0 for the platform's
        (`prior.batch`). It changes no result on CPUs, and on accelerators none of photos above
        256x256; smaller ones go together there, and differ in the last bits of a step.
      tile: Most pixels a side that one network of "prior" is fitted to: a larger photo is cut into
        overlapping tiles (`prior.whole`), but in `invert_batch`. 0 for one network.
    """

    mode: str = "aware"
    method: str = "prior"
    target_psnr: float = 0.0
    max_minutes: float = 0.0
    seed: int = 0
    sigma: float = 3.0
    checkpoint_seconds: float = 60.0
    batch: int = 0
    tile: int = 512
    data: Data = Data()
    generator: Generator = Generator()
    inversion: Inversion = Inversion()
    assembly: Assembly = Assembly()
    sparse: Sparse = Sparse()

    def __post_init__(self):
        _check(
            self.mode in ("aware", "blind"),
            f'mode is "{self.mode}"; choose "aware" or "blind"',
        )
        _check(
            self.method in ("prior", "sparse"),
            f'method is "{self.method}"; choose "prior" or "sparse"',
        )
        _check(
            self.target_psnr == 0 or 20 <= self.target_psnr <= 60,
            f"target_psnr is {self.target_psnr} dB; choose 20 to 60, or 0 for the strength's",
        )
        _check(
            0 <= self.max_minutes < math.inf,
            f"max_minutes is {self.max_minutes}; choose 0 for no limit, or more",
        )
        _check(0 <= self.seed < 2**32, f"seed is {self.seed}; choose one from 0 to {2**32 - 1}")
        _check(0 < self.sigma < 256, f"sigma is {self.sigma} grey levels; choose 1 to 10")
        _check(
            0 <= self.checkpoint_seconds < math.inf,
            f"checkpoint_seconds is {self.checkpoint_seconds}; choose 0 (every chunk) or more",
        )
        _check(self.batch >= 0, f"batch is {self.batch}; choose 0 for the platform's, or more")
        _check(
            self.tile == 0 or self.tile >= SMALLEST_PHOTO,
            f"tile is {self.tile}; choose 0 for one network, or at least {SMALLEST_PHOTO} pixels",
        )


@dataclasses.dataclass(frozen=True)
class Study:
    """Methods against attackers on one set of photos.

    Attributes:
      methods: Names in `baselines.METHODS`, "prior-aware" and "prior-blind" (the paper's method),
        "sparse-aware" and "sparse-blind", "published:NAME" (photos from DEVICE/published/NAME); the
        original photos are always among the rows.
      attackers: Names in `forensics.attackers.ATTACKERS`; empty for all that can be run. The
        paper's, "wavelet", always is.
      fingerprints: Where K and K' come from: "file": K is the device's file, K' estimated from its
        flat-field photos; "halves": K from every second flat-field photo, K' from the others.
      flats: Sub-folder of a device that holds its flat-field photos.
      group: Photos of one camera behind the K that the attacker "set" estimates, at most.
      seed: Of all randomness.
      cluster: Address of a Ray cluster whose devices make the rows, "local" for one of this
        machine; "" for none. It changes no result but as `workers` do.
      workers: Processes on each device of the cluster or of this machine that share the rows; 0 for
        this process alone, or for one on each device of the cluster. It changes no result but the
        last bits of a step of "prior" on accelerators, in photos of at most 256x256: as many go
        together as a worker has (`Config.batch`).
      data: Which photos.
      run: Settings of the four; their data, mode, method and seed are the study's.
    """

    methods: tuple[str, ...] = ("subtraction_search", "denoising_sigma3_times1")
    attackers: tuple[str, ...] = ()
    fingerprints: str = "file"
    flats: str = "flat"
    group: int = 10
    seed: int = 0
    cluster: str = ""
    workers: int = 0
    data: Data = Data()
    run: Config = Config()

    def __post_init__(self):
        _check(
            self.fingerprints in ("file", "halves"),
            f'fingerprints is "{self.fingerprints}"; choose "file" or "halves"',
        )
        _check(self.group >= 2, f"group is {self.group}; choose 2 or more photos")
        _check(
            self.workers >= 0,
            f"workers is {self.workers}; choose 0 for this process alone, or more",
        )
        _check(0 <= self.seed < 2**32, f"seed is {self.seed}; choose one from 0 to {2**32 - 1}")


def settled(config: Config) -> Config:
    """The same run, a target PSNR spelled out in the settings of the inversion.

    Snapshots from half a decibel below the target are pooled; the run ends half a decibel above.
    """
    if not config.target_psnr:
        return config
    return dataclasses.replace(
        config,
        inversion=dataclasses.replace(config.inversion, stop_psnr=config.target_psnr + 0.5),
        assembly=dataclasses.replace(config.assembly, thresholds=(config.target_psnr - 0.5,)),
    )
