"""What a photo by the paper's method leaves when it is cut off, so that the next command goes on.

The runs of its tiles lie in a hidden folder beside the output until that is written.
"""

import contextlib
import hashlib
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import jax
import numpy as np

from dippas_jax import config as configuration
from dippas_jax.cli.task import Task
from dippas_jax.io import checkpoint
from dippas_jax.prior.anonymize import Progress
from dippas_jax.types import InputError


class Checkpoints(NamedTuple):
    """Where the runs of a photo's tiles are kept.

    Attributes:
      folder: Of this command.
      earlier: Of commands that may have been cut off, or may still write there, the last one first.
    """

    folder: Path
    earlier: Sequence[Path] = ()

    def restore(self, tile: int, start: Progress) -> Progress:
        """The last run of a tile that is whole, or the one that is to start."""
        for folder in self.earlier:
            with contextlib.suppress(Exception):  # whoever writes there may remove it just now
                if found := checkpoint.latest(folder / str(tile), start):
                    return found[1]
        return start

    def save(self, tile: int, progress: Progress) -> None:
        """Keep a run; one that cannot be kept is no failure."""
        with contextlib.suppress(InputError, OSError):
            for folder in (self.folder.parent, self.folder):  # they show the photo
                folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            checkpoint.save(self.folder / str(tile), int(progress.steps), progress)


def beside(task: Task, config: configuration.Config) -> Checkpoints:
    """Those of this very work: of these pixels and settings, and this fingerprint."""
    work = hashlib.sha256(repr((config, task.photo.pixels.shape)).encode())
    work.update(np.asarray(jax.random.key_data(task.key)).tobytes())
    work.update(task.photo.pixels.tobytes())
    work.update(b"" if task.plane is None else task.plane.tobytes())
    folder = _folder(task.job.target) / work.hexdigest()[:16]
    return Checkpoints(folder, (folder,) if folder.exists() else ())


def left(target: Path) -> bool:
    """Whether something is kept for an output."""
    return _folder(target).exists()


def forget(target: Path) -> None:
    """Remove all that was kept for an output."""
    shutil.rmtree(_folder(target), ignore_errors=True)


def forget_older(target: Path) -> None:
    """Remove what a kill left between an output and the end; not that of a try that came after."""
    folder = _folder(target)
    with contextlib.suppress(OSError):
        newest = max(path.stat().st_mtime for path in (folder, *folder.rglob("*")))
        if newest <= target.stat().st_mtime:
            shutil.rmtree(folder, ignore_errors=True)


def _folder(target: Path) -> Path:
    """Hidden, and short whatever the output is called."""
    name = hashlib.sha256(target.name.encode(errors="surrogateescape")).hexdigest()[:16]
    return target.with_name(f".unfinished-{name}")
