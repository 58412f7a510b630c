"""Many photos through one compiled program: slots, each with a photo of its own.

A slot whose run is over takes the next photo without waiting for the others, and nothing is
compiled again. What comes out of a photo does not depend on what lies beside it: its key is made of
its own pixels, and every run that is over stays as it is. Slots are spread over the devices along
the mesh axis "photo".

How the slots of one device are worked on is one choice, `way_for` (benchmarks/README.md has the
tables): "map", one after the other in one program, where idle slots cost nothing, or "vmap", all
together, which fills an accelerator with photos too small to do so alone.

By "map" a photo's bytes do not depend on the slots. By "vmap" they do, in the last bit of a step:
an accelerator's matrix products add up in an order that changes with the number of them.
"""

import collections
import functools
import itertools
import math
import time
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jax.typing import ArrayLike
from jaxtyping import Array, Key

from dippas_jax import config as configuration
from dippas_jax.prior import anonymize
from dippas_jax.prior.anonymize import DivergedError, Progress
from dippas_jax.prior.balance import Planted
from dippas_jax.prior.state import Problem
from dippas_jax.signal import correlation, image, tiles
from dippas_jax.types import InputError, Result, ShortageError

WAYS = ("map", "vmap")
SLOTS = {"cpu": 1}
"""Photos at a time on one device, by platform; elsewhere `MANY`."""

MANY = 8
TOGETHER = 256 * 256
"""Pixels of a photo up to which accelerators work on all slots at once."""

OUT_OF_MEMORY = (MemoryError, jax.errors.JaxRuntimeError)
"""What may mean that memory ran out (`signal.tiles.is_out_of_memory`)."""

"""Whether an error means that memory ran out."""


class Job(NamedTuple):
    """A photo to be inverted.

    Attributes:
      problem: From `anonymize.stated`.
      reference: The fingerprint for the NCC in the history.
      progress: From `anonymize.start` or a checkpoint.
      deadline: Time of the monotonic clock, seconds, after which the photo is taken as it is.
    """

    problem: Problem
    reference: ArrayLike
    progress: Progress
    deadline: float = math.inf


class _Slots(NamedTuple):
    """What lies on the devices; a leading axis of slots everywhere."""

    progress: Progress
    problem: Problem
    reference: Array


class Running:
    """The photos at work between two chunks.

    Attributes:
      psnr: Of each job at work, by its number in the order of the jobs: that of its steps, dB.
    """

    def __init__(self, psnr: dict[int, np.ndarray], take: Callable[[int], Progress]):
        self.psnr = psnr
        self._take = take

    def progress(self, number: int) -> Progress:
        """Of a job at work, as it is now; the devices may be a chunk past `psnr`."""
        return self._take(number)


class Pause:
    """Between two times at which runs at work are saved."""

    def __init__(self, seconds: float):
        """One of so many seconds at least, and ten times as long as saving takes; 0 for none."""
        self._least = self._pause = seconds
        self._ended = time.monotonic()

    def then(self, save: Callable[[], None]) -> None:
        """Saves, if the pause is over."""
        begun = time.monotonic()
        if begun - self._ended < self._pause:
            return
        save()
        self._ended = time.monotonic()
        if self._pause > 0:
            self._pause = max(self._least, 10 * (self._ended - begun))


def invert_batch(
    key: Key[Array, ""],
    photos: Sequence[ArrayLike],
    fingerprints: Sequence[ArrayLike | None] | None = None,
    config: configuration.Config | None = None,
    *,
    slots: int = 0,
    devices: Sequence[jax.Device] | None = None,
    way: str = "",
    on_result: Callable[[int, Result | Exception], None] = lambda index, result: None,
) -> list[Result | Exception]:
    """The paper's method on many photos; those of one size share a program.

    Each photo has one network, whatever its size; `whole.invert` cuts a large one into tiles.

    Args:
      key: All randomness. Each photo's own key is made of it and of the photo's pixels, so that
        the order of the photos changes no result; nor does their number, but for the last bits of
        a step where a device works on them by "vmap".
      photos: uint8 [h w 3] each, at least 64x64.
      fingerprints: K [h w] for each photo, or None for blind; None for all blind.
      config: As for `anonymize.invert`.
      slots: Photos at a time on each device; 0 for `config.batch` or the platform's (`SLOTS`).
      devices: On which the slots lie; None for the first one.
      way: One of `WAYS`; "" for the platform's (`way_for`).
      on_result: Told of every photo as soon as it is done, with its number.

    Returns:
      For each photo its result (`anonymize.invert`) or, where it cannot be used or its loss became
      nan, the `InputError` or `DivergedError`: no photo stops the others. Where memory runs out,
      all that are left of that size have a `ShortageError`.

    Raises:
      InputError: There are more or fewer fingerprints than photos, or slots or way are none.
    """
    config = configuration.settled(config or configuration.Config())
    known = [None] * len(photos) if fingerprints is None else list(fingerprints)
    if len(known) != len(photos):
        raise InputError(
            f"there are {len(photos)} photos and {len(known)} fingerprints; give one for each "
            "photo, None where there is none"
        )
    done: dict[int, Result | Exception] = {}

    def finish(index: int, result: Result | Exception) -> None:
        done[index] = result
        on_result(index, result)

    sizes: dict[tuple[int, int], list[int]] = {}
    for index, photo in enumerate(photos):
        try:
            height, width, _ = image.require_photo(photo).shape
        except InputError as error:
            finish(index, error)
        else:
            sizes.setdefault((height, width), []).append(index)
    for size, indices in sizes.items():
        at_work: dict[int, _AtWork] = {}  # by the number of the job

        def jobs(
            size: tuple[int, int] = size,
            indices: list[int] = indices,
            at_work: dict[int, _AtWork] = at_work,
        ) -> Iterator[Job]:
            numbers = itertools.count()
            for index in indices:
                photo, plane = np.asarray(photos[index]), known[index]
                own = jax.random.fold_in(key, zlib.crc32(photo.tobytes()))
                try:
                    if plane is not None:
                        plane = correlation.require_fingerprint(plane, size)
                    problem, injected, planted = anonymize.stated(own, photo, plane, config)
                except InputError as error:
                    finish(index, error)
                    continue
                at_work[next(numbers)] = _AtWork(index, photo, plane, planted)
                yield Job(problem, injected, anonymize.start(problem, config))

        try:
            for number, progress in inverted(jobs(), config, slots=slots, devices=devices, way=way):
                one = at_work.pop(number)
                finish(one.place, _result(progress, one, config))
        except OUT_OF_MEMORY as error:
            if not tiles.is_out_of_memory(error):
                raise
            for index in indices:
                if index not in done:
                    finish(index, _no_memory(size))
    return [done[index] for index in range(len(photos))]


class _AtWork(NamedTuple):
    """A photo in a slot.

    Attributes:
      place: Of the photo among all, from 0.
      photo: As it came.
      fingerprint: K, where it is known.
      planted: What was inverted, where a pattern was planted.
    """

    place: int
    photo: np.ndarray
    fingerprint: np.ndarray | None
    planted: Planted | None


def _result(progress: Progress, one: _AtWork, config: configuration.Config) -> Result | Exception:
    try:
        anonymize.finished(progress, config)
    except DivergedError as error:
        return error
    results = anonymize.assemble(progress, one.photo, config, one.planted, one.fingerprint)
    return anonymize.scored(results[0], one.fingerprint)


def _no_memory(size: tuple[int, int]) -> ShortageError:
    return ShortageError(
        f"memory ran out at photos of {size[0]}x{size[1]} pixels; give fewer slots, or each photo "
        "to invert, which cuts it into tiles"
    )


def inverted(
    jobs: Iterable[Job],
    config: configuration.Config,
    *,
    slots: int = 0,
    devices: Sequence[jax.Device] | None = None,
    way: str = "",
    ahead: int | None = None,
    on_chunk: Callable[[Running], None] = lambda running: None,
) -> Iterator[tuple[int, Progress]]:
    """Photos of one size to the end of their runs, in the order in which they end.

    On accelerators the host looks at a chunk while the devices work on the next one, which changes
    nothing of a run that is over.

    Args:
      jobs: Each is asked for when a slot is free.
      config: Of the whole run.
      slots: Photos at a time on each device; 0 for `config.batch` or the platform's.
      devices: On which the slots lie; None for the first one.
      way: One of `WAYS`; "" for the platform's.
      ahead: Chunks that are on their way while one is looked at; None for the platform's.
      on_chunk: Called before the first chunk, when all is compiled, and after every one.

    Yields:
      The number of the job, from 0 in the order of `jobs`, and its progress.
    """
    if way not in ("", *WAYS) or slots < 0:
        raise InputError(
            f'{slots} slots worked on by "{way}" cannot be; give 0 or more slots, and "map" or '
            '"vmap"'
        )
    waiting = enumerate(jobs)
    first = next(waiting, None)
    if first is None:
        return
    devices = tuple(devices or jax.devices()[:1])
    platform = devices[0].platform
    count = len(devices) * (slots or config.batch or slots_for(platform))
    way = way or way_for(platform, first[1].problem.fingerprint.size)
    ahead = int(platform != "cpu") if ahead is None else ahead
    chunk, look, put, take = _programs(config, way, devices)
    every = _filled(first[1], count, config, devices)
    occupants: dict[int, tuple[int, float]] = {}  # job and deadline by slot
    since = np.zeros(count, int)  # number of chunks when the slot got its photo
    chunks = 0

    def occupy(place: int, entry: tuple[int, Job] | None, where: _Slots) -> _Slots:
        if entry is None:
            return where
        number, job = entry
        occupants[place], since[place] = (number, job.deadline), chunks
        return put(where, _Slots(job.progress, job.problem, jnp.asarray(job.reference)), place)

    def told(steps: np.ndarray, psnr: np.ndarray, places: Iterable[int]) -> None:
        at = {occupants[place][0]: place for place in places}
        of_each = {number: psnr[place][: steps[place]] for number, place in at.items()}
        on_chunk(Running(of_each, lambda number: take(every, at[number])))

    every = occupy(0, first, every)
    for place in range(1, count):
        every = occupy(place, next(waiting, None), every)
    compiled = chunk.lower(every).compile()
    over, steps, psnr = jax.device_get(look(every))
    told(steps, psnr, list(occupants))
    looks: collections.deque[tuple[int, Any]] = collections.deque()
    while occupants:
        every = compiled(every)
        chunks += 1
        looks.append((chunks, look(every)))
        if len(looks) <= ahead:
            continue
        nth, status = looks.popleft()
        over, steps, psnr = jax.device_get(status)
        known = [place for place in occupants if since[place] < nth]
        told(steps, psnr, known)
        now = time.monotonic()
        for place in known:
            number, deadline = occupants[place]
            if over[place] or now > deadline:
                yield number, take(every, place)
                del occupants[place]
                every = occupy(place, next(waiting, None), every)


def slots_for(platform: str) -> int:
    """Photos at a time on one device where nothing else is asked for."""
    return SLOTS.get(platform, MANY)


def way_for(platform: str, pixels: int) -> str:
    """How the slots of one device are worked on, photos of so many pixels in each."""
    return "vmap" if platform != "cpu" and pixels <= TOGETHER else "map"


def slots_on(devices: Sequence[jax.Device], asked: int, count: int) -> int:
    """Slots of each device for so many photos: those asked for or the platform's, none in vain."""
    return min(asked or slots_for(devices[0].platform), -(-count // len(devices)))


def _filled(
    job: Job, count: int, config: configuration.Config, devices: tuple[jax.Device, ...]
) -> _Slots:
    """Slots without work: their runs are over, and hold what any photo of that size would."""
    ended = job.progress._replace(steps=jnp.asarray(config.inversion.max_steps, jnp.int32))
    one = _Slots(ended, job.problem, jnp.asarray(job.reference))
    every = jax.tree.map(lambda x: jnp.stack([x] * count), one)
    return jax.device_put(every, _sharding(devices))


def _sharding(devices: tuple[jax.Device, ...]) -> NamedSharding:
    return NamedSharding(Mesh(np.array(devices), ("photo",)), PartitionSpec("photo"))


@functools.lru_cache(maxsize=8)
def _programs(
    config: configuration.Config, way: str, devices: tuple[jax.Device, ...]
) -> tuple[Any, Any, Any, Any]:
    """One chunk of all slots; what the host looks at; what fills a slot, and what reads it."""
    sharding = _sharding(devices)

    def one(slot: _Slots) -> Progress:
        return anonymize.advance(slot.progress, slot.problem, slot.reference, config)

    def unless_over(slot: _Slots) -> Progress:
        over = anonymize.over(slot.progress, config)
        return jax.lax.cond(over, lambda slot: slot.progress, one, slot)

    def mapped(slots: _Slots) -> Progress:
        return jax.vmap(one)(slots) if way == "vmap" else jax.lax.map(unless_over, slots)

    @functools.partial(jax.jit, donate_argnums=0, out_shardings=sharding)
    def chunk(slots: _Slots) -> _Slots:
        spec = sharding.spec
        progress = jax.shard_map(
            mapped, mesh=sharding.mesh, in_specs=spec, out_specs=spec, check_vma=False
        )(slots)
        return slots._replace(progress=progress)

    @jax.jit
    def look(slots: _Slots) -> tuple[Array, Array, Array]:
        progress = slots.progress
        over = jax.vmap(lambda one: anonymize.over(one, config))(progress)
        return over, progress.steps, progress.history.psnr

    @functools.partial(jax.jit, donate_argnums=0, out_shardings=sharding)
    def put(slots: _Slots, one: _Slots, place: ArrayLike) -> _Slots:
        return jax.tree.map(lambda x, y: x.at[place].set(y), slots, one)

    @jax.jit
    def take(slots: _Slots, place: ArrayLike) -> Progress:
        return jax.tree.map(lambda x: x[place], slots.progress)

    return chunk, look, put, take
