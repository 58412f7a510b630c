"""Workers as actors of Ray, one on every device of a cluster; Ray is the extra `cluster`.

Ray finds devices, starts workers there and tells which have died. What is done by whom is settled
in the ledger, so that nothing is lost with a machine, the one that started the campaign included.
"""

import logging
import os
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from dippas_jax.io import files
from dippas_jax.parallel import devices, worker
from dippas_jax.parallel.supervisor import End, Engine, ended_by
from dippas_jax.parallel.worker import Task
from dippas_jax.types import InputError

LOCAL = "local"
"""The address of a cluster of this machine alone."""


class _Slot(NamedTuple):
    node: str
    place: int
    gpu: bool
    share: float  # of a GPU, or of the cores


class _Handle(NamedTuple):
    actor: Any
    result: Any


class _Worker:
    """An actor: a process of its own, which sees the devices that Ray gave it."""

    def work(self, task: Task, owner: str) -> End:
        """How it ended."""
        try:
            files.cache_compilations()
            worker.work(task, owner)
        except Exception as error:  # noqa: BLE001 - every file system has errors of its own
            return ended_by(error)
        return End(True)


def engine(task: Task, address: str, workers: int, platform: str = "") -> Engine:
    """Actors of a cluster, which machines may join and leave.

    Args:
      task: What they do; all machines see its files at the same paths or URLs.
      address: Of the cluster, as for `ray.init`, or `LOCAL`.
      workers: On each device: GPUs where a machine has them, else all its cores together.
      platform: As JAX_PLATFORMS; "" for JAX's choice.

    Raises:
      InputError: Ray is missing, or the cluster cannot be reached.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    try:
        import ray
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy
    except ImportError:
        raise InputError(
            "a Ray cluster needs pip install 'dippas-jax[cluster]'; or give no cluster"
        ) from None
    ours = not ray.is_initialized()
    try:
        ray.init(
            address=address,  # of "local" one of its own, whatever runs here
            ignore_reinit_error=True,
            include_dashboard=False if address == LOCAL else None,
            log_to_driver=False,  # on stdout, which is for data
            logging_level=logging.WARNING,
        )
    except (ConnectionError, ValueError, RuntimeError) as error:
        raise InputError(
            f"cluster {address} cannot be reached ({error}); give the address that ray start said"
        ) from None
    actor: Any = ray.remote(_Worker)
    shared = ray.put(task)

    def start(slot: _Slot, owner: str) -> _Handle:
        variables = {"JAX_PLATFORMS": platform} if platform else {}
        if slot.gpu:
            variables |= devices.memory(workers)
        made = actor.options(
            num_gpus=slot.share if slot.gpu else 0,
            num_cpus=0 if slot.gpu else slot.share,
            scheduling_strategy=NodeAffinitySchedulingStrategy(slot.node, soft=False),
            runtime_env={"env_vars": variables} if variables else None,
        ).remote()
        return _Handle(made, made.work.remote(shared, owner))

    def ended(handle: _Handle) -> End | None:
        if not ray.wait([handle.result], timeout=0)[0]:
            return None
        try:
            end = ray.get(handle.result)
        except ray.exceptions.RayError as error:
            told = str(error).strip().splitlines() or [type(error).__name__]
            traced = isinstance(error, ray.exceptions.RayTaskError)
            return End(False, True, told[-1 if traced else 0])
        ray.kill(handle.actor)
        return end

    def stop(handles: Sequence[_Handle]) -> None:
        for handle in handles:
            ray.kill(handle.actor)
        if ours:
            ray.shutdown()

    def slots() -> list[_Slot]:
        nodes = [node for node in ray.nodes() if node["Alive"]]
        return [slot for node in nodes for slot in _slots(node, workers, gpus=platform != "cpu")]

    return Engine(slots, start, ended, stop)


def _slots(node: Mapping[str, Any], workers: int, *, gpus: bool) -> list[_Slot]:
    """Where workers may run on a machine, as Ray describes it."""
    name, resources = node["NodeID"], node["Resources"]
    if gpus and (count := int(resources.get("GPU", 0))):
        return [_Slot(name, place, True, 1 / workers) for place in range(count * workers)]
    cores = int(resources.get("CPU", 0))
    share = cores // workers if cores >= workers else cores / workers
    return [_Slot(name, place, False, share) for place in range(workers if cores else 0)]
