"""What `dippas anonymize` reads, where it writes, and what it never does: touch an original."""

import hashlib
import hmac
import importlib.util
import os
import secrets
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from dippas_jax import baselines
from dippas_jax.cli import console
from dippas_jax.io import files, photo_kinds, weights
from dippas_jax.signal import dncnn
from dippas_jax.types import InputError

_SECRET = 32  # bytes
_NO_JPEG = (
    "--jpeg-quality goes with JPEG outputs, and none of these is one; leave it out, or give "
    "--format jpeg"
)
LONGEST = 255
"""Bytes of a file's name, at most, on nearly every system."""


class Options(NamedTuple):
    """What the command line says, as it stands in the report.

    Attributes:
      output: File or folder; None for beside the original.
      recursive: Folders with all that lies in them.
      fingerprint: File of the camera's fingerprint; None if there is none.
      blind: Photos of one camera are treated as if each were alone.
      check: Files of fingerprints that are only looked for afterwards.
      method: "sparse", "prior" or one of `baselines.OFFERED`.
      strength: One of `config.STRENGTHS`.
      target_psnr: dB; None for the strength's.
      grain: Whether new noise takes the place of what was removed.
      displace: Standard deviation of what every place is moved by, pixels; 0 for not at all.
      max_minutes: A photo; 0 for as long as it takes.
      kind: Format to write, "same" or one of `photo_kinds.FORMATS`.
      jpeg_quality: None for the original's tables.
      metadata: One of `exif.KEPT`.
      icc: "keep", "srgb" or "drop".
      orientation: "upright" or "tag".
      suffix: Of the output's name.
      random_name: In place of the original's name.
      overwrite: Outputs that exist are replaced.
      report: HTML file to write.
      seed: Of all randomness.
      device: "auto", "cpu" or "gpu".
    """

    output: str | None = None
    recursive: bool = False
    fingerprint: str | None = None
    blind: bool = False
    check: Sequence[str] = ()
    method: str = "sparse"
    strength: str = "balanced"
    target_psnr: float | None = None
    grain: bool = False
    displace: float = 0.0
    max_minutes: float = 0.0
    kind: str = "same"
    jpeg_quality: int | None = None
    metadata: str = "strip"
    icc: str = "keep"
    orientation: str = "upright"
    suffix: str = ".anon"
    random_name: bool = False
    overwrite: bool = False
    report: str | None = None
    seed: int = 0
    device: str = "auto"


class Job(NamedTuple):
    """A photo, and the file and format of its anonymised version."""

    source: Path
    target: Path
    kind: str


class Given(NamedTuple):
    """What a command line names.

    Attributes:
      jobs: Photos, and where they go.
      skipped: Why other files in the folders that were given are left as they are.
    """

    jobs: list[Job]
    skipped: dict[Path, str]


def given(
    photos: Sequence[str], options: Options, failed: console.Failures, *, dry_run: bool = False
) -> Given:
    """Every photo and where it goes; what cannot be used has failed, and the others go on.

    A dry run does not keep the secret of random names, where there is none yet.
    """
    console.require_names(photos)
    skipped: dict[Path, str] = {}
    found: list[tuple[Path, Path | None]] = []
    for argument in photos:
        found += failed.catch(_expanded, Path(argument), options, failed, skipped) or []
    sources = list({_place(path): (path, root) for path, root in found}.values())
    into = _output_folder(photos, sources, options)
    if options.output and not into:
        _require_no_other_name(options)
    secret = _secret(keep=not dry_run) if options.random_name else b""
    made = []
    for path, root in sources:
        if options.output and not into:
            made.append(_single(path, Path(options.output), options.kind))
            continue
        folder = into / path.parent.relative_to(root or path.parent) if into else path.parent
        stem = _random_name(path, secret) if options.random_name else path.stem + options.suffix
        extension = _extension(path, options.kind)
        made.append(Job(path, folder / (stem + extension), options.kind))
    if any(job.kind == "heic" for job in made):
        _require_heic()
    as_jpeg = [job for job in made if photo_kinds.suits(job.target.suffix, "jpeg")]
    if options.jpeg_quality and made and not as_jpeg:
        raise InputError(_NO_JPEG)
    if not options.overwrite or options.random_name:  # no original has such a name by chance
        made = _without_own(made, skipped, random_name=options.random_name)
    originals = {_place(job.source): job.source for job in made}
    originals |= {file: job.source for job in made if (file := _file(job.source))}
    taken: dict[str, Path] = {}
    usable = [job for job in made if failed.catch(_writable, job.source, job, originals, taken)]
    return Given(usable, skipped)


def _require_no_other_name(options: Options) -> None:
    """`InputError` where the one output is named, and told in another way what it is called."""
    if options.random_name or options.suffix != Options._field_defaults["suffix"]:
        flag = "--random-name" if options.random_name else "--suffix"
        raise InputError(
            f"-o {options.output} names the output, so that {flag} does nothing; leave one out, or "
            "give a folder"
        )


def _place(path: Path) -> str:
    """A file's place, by which two names of one file are known; its own name stays its own."""
    try:
        return os.path.join(os.path.realpath(path.parent), path.name)
    except ValueError:  # of a name that no file can have
        return str(path)


def _file(path: Path) -> str:
    """What two hard links to one file have in common; "" where there is no file."""
    try:
        found = os.stat(path)
    except (OSError, ValueError):
        return ""
    return f"{found.st_dev}:{found.st_ino}"


def _without_own(jobs: Sequence[Job], skipped: dict[Path, str], *, random_name: bool) -> list[Job]:
    """The photos but those that this command has written of others among them."""
    makers = {_place(job.target): job.source for job in jobs}
    # A name by chance may have got another extension since.
    makers |= {_place(job.target.with_suffix("")): job.source for job in jobs if random_name}
    kept = []
    for job in jobs:
        stem = _place(job.source.with_suffix("")) if random_name else ""
        maker = makers.get(_place(job.source), makers.get(stem, job.source))
        if maker == job.source:
            kept.append(job)
        else:
            skipped[job.source] = f"what this command made of {maker}"
            console.note(f"{job.source}: {skipped[job.source]}, skipped")
    return kept


def _writable(source: Path, job: Job, originals: dict[str, Path], taken: dict[str, Path]) -> bool:
    """`InputError` where an output cannot be: in the place of an original or another output."""
    try:
        too_long = len(os.fsencode(job.target.name)) > LONGEST
        place = os.path.realpath(job.target)
    except ValueError:
        raise InputError(f"photo {source} has a name that no file can have; check it") from None
    if too_long:
        raise InputError(
            f"output {job.target} has a name too long to be written; choose a shorter --suffix, or "
            "give --random-name"
        )
    for original in (place, _place(job.target), _file(job.target)):
        if original in originals:
            raise InputError(
                f"output {job.target} would replace the original {originals[original]}, which is "
                "never done; choose another -o or --suffix"
            )
    if place in taken:
        raise InputError(
            f"{taken[place]} and {source} would both be written to {job.target}; treat them "
            "one by one, or give --random-name"
        )
    require_writable(job.target.parent)
    taken[place] = source
    return True


def require_possible(options: Options) -> None:
    """`InputError` for options that do not go together, or need what is not installed."""
    if options.random_name and options.suffix != Options._field_defaults["suffix"]:
        raise InputError("--random-name leaves no place for --suffix; leave one out")
    for flag in ("strength", "grain", "displace"):
        asked = getattr(options, flag) != Options._field_defaults[flag]
        if asked and options.method != "sparse":
            raise InputError(
                f"--{flag} goes with --method sparse, and {options.method} was given; leave one out"
            )
    for flag in ("target_psnr", "max_minutes"):
        if getattr(options, flag) and options.method in baselines.METHODS:
            raise InputError(
                f"--{flag.replace('_', '-')} goes with --method sparse or prior, and "
                f"{options.method} was given; leave one out"
            )
    if options.jpeg_quality and options.kind not in ("same", "jpeg"):
        raise InputError(_NO_JPEG)
    if options.kind == "heic":
        _require_heic()
    if options.method == "dncnn":
        dncnn.parse(weights.require())
    elif (options.report or options.check) and (data := weights.load()) is not None:
        dncnn.parse(data)  # one of the attackers looks by them, after all work


def _require_heic() -> None:
    if not importlib.util.find_spec("pillow_heif"):
        raise InputError(
            "HEIC output needs pip install 'dippas-jax[heic]'; or choose another --format"
        )


def require_writable(folder: Path, option: str = "-o") -> None:
    """`InputError` if nothing may be written to a folder, or where it is still to be created."""
    try:
        os.stat(folder)
    except FileNotFoundError:
        pass  # it is created
    except OSError as error:
        why = files.reason(error)
        raise InputError(
            f"folder {folder} cannot be used ({why}); choose another with {option}"
        ) from None
    there = existing(folder.absolute())
    if not os.path.isdir(there) or not os.access(there, os.W_OK):
        raise InputError(f"folder {folder} cannot be written to; choose another with {option}")


def existing(path: Path) -> Path:
    """A path, or the nearest folder above it that exists."""
    return next(one for one in (path, *path.parents) if os.path.exists(one))


def _single(path: Path, target: Path, kind: str) -> Job:
    """A photo and its one output, whose extension says the format."""
    found = photo_kinds.kind_of(path) if kind == "same" else kind
    if photo_kinds.suits(target.suffix, found):
        return Job(path, target, kind)
    folder = "" if target.suffix else f"; for a folder, give {target}/"
    if kind != "same":
        raise InputError(
            f"output {target} does not have the extension of {kind}, which --format asks for; give "
            f"it {photo_kinds.FORMATS[kind]}, or leave --format out{folder}"
        )
    named = [one for one in photo_kinds.FORMATS if photo_kinds.suits(target.suffix, one)]
    if not named:
        known = " ".join(photo_kinds.FORMATS.values())
        raise InputError(
            f"output {target} does not have the extension of a format; give it one of {known}"
            f"{folder}"
        )
    return Job(path, target, named[0])


def _expanded(
    path: Path, options: Options, failed: console.Failures, skipped: dict[Path, str]
) -> list[tuple[Path, Path | None]]:
    """The photos that an argument names, and the folder given, for those that lie in one."""
    if not os.path.isdir(path):
        return [(one, None) for one in console.named(path, failed)]
    photos, others = console.photos_in(path, failed, recursive=options.recursive)
    endings = tuple({options.suffix, Options._field_defaults["suffix"]} - {""})
    own = [one for one in photos if one.stem.endswith(endings)]
    if others:
        console.note(console.skipped_text(path, others))
        skipped |= {one: console.why_skipped(one) for one in others}
    named = " or ".join(sorted(endings))
    skipped |= dict.fromkeys(own, f"its name ends in {named}, as those of outputs do")
    if own:
        console.note(
            f"folder {path}: {console.counted(len(own), 'photo')} skipped, as their names end in "
            f"{named}, those of outputs: {console.some_text(path, own)}"
        )
    found: list[tuple[Path, Path | None]] = [(one, path) for one in photos if one not in set(own)]
    if not found and path not in failed.reasons:
        deeper = "" if options.recursive else ", or -r for those in folders below"
        raise InputError(f"folder {path} holds no photos; give one that does{deeper}")
    return found


def _output_folder(photos: Sequence[str], sources: Sequence[Any], options: Options) -> Path | None:
    """The folder to write to, if the output is one."""
    if not options.output:
        return None
    path = Path(options.output)
    several = len(sources) > 1 or len(photos) > 1 or os.path.isdir(photos[0])
    if os.path.isdir(path) or options.output.endswith(("/", os.sep)) or several:
        return path
    if not os.path.isdir(path.parent):
        raise InputError(f"the folder of {path} does not exist; create it first")
    return None


def _extension(path: Path, kind: str) -> str:
    found = photo_kinds.kind_of(path)
    if kind != "same":
        return photo_kinds.FORMATS[kind]
    return path.suffix if photo_kinds.suits(path.suffix, found) else photo_kinds.FORMATS[found]


def _random_name(path: Path, secret: bytes) -> str:
    """A name that says nothing, and is the same when the command is given again.

    It is a hash of the photo's path with a secret of this user, so nobody else can try names.
    """
    return hmac.new(secret, os.fsencode(os.path.abspath(path)), hashlib.sha256).hexdigest()[:20]


def _secret(*, keep: bool) -> bytes:
    """The user's, of which names are made; a new one, if there is none, is kept for next time."""
    file = files.cache_folder() / "names.key"
    if not file.exists():
        new = secrets.token_bytes(_SECRET)
        if not keep:
            console.note("--random-name draws names once; those told here will be others then")
            return new
        files.prepare_workdir(file.parent)
        files.write_bytes(file, new, mode=0o600)
    files.require_file(file, "secret")
    key = file.read_bytes()
    if len(key) != _SECRET:
        raise InputError(
            f"the secret {file}, of which names are made, is damaged ({len(key)} bytes); remove "
            "it, and photos get other names than before"
        )
    return key
