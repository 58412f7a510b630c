"""Stands in for the command line: says what it would say of photos, without treating them.

A file that begins with "slow" takes until it is killed, one with "bad" is refused; others are
copied to where the result would be.
"""

import json
import shutil
import sys
import time
from pathlib import Path


def say(**line):
    print(json.dumps(line), flush=True)


def build():
    with open(Path("camera", "camera.npz"), "ab") as file:
        file.write(b"K")  # once more than once, if it is built again
    print("dippas: only 1 photo: the fingerprint is weak", file=sys.stderr, flush=True)
    say(fingerprint="camera/camera.npz", height=64, width=64, photo=[64, 64], failed=[])


def anonymize(arguments):
    if "bad.npy" in " ".join(arguments):
        print("dippas: fingerprint camera/0002/bad.npy is damaged", file=sys.stderr, flush=True)
        sys.exit(2)
    into = arguments[arguments.index("-o") + 1]
    for photo in sorted(path for path in Path("photos").rglob("*") if path.is_file()):
        target = Path(into, *photo.parts[1:-1], f"{photo.stem}.anon{photo.suffix}")
        if "other.npy" in " ".join(arguments):
            say(photo=str(photo), failed=f"photo {photo} does not fit the fingerprint")
        elif photo.name.startswith("bad"):
            say(photo=str(photo), failed=f"photo {photo} is damaged")
        elif target.exists():
            say(photo=str(photo), skipped=f"{target} exists")
        elif "-n" in arguments:
            say(
                photo=str(photo),
                output=str(target),
                minutes=0.5,
                memory_mib=600,
                width=64,
                height=64,
            )
        else:
            if photo.name.startswith("slow"):
                say(photo=str(photo), progress=0.25)
                time.sleep(600)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(photo, target)
            say(photo=str(photo), output=str(target), sha256="0", asked=arguments)
    if "other.npy" in " ".join(arguments):
        sys.exit(2)


if __name__ == "__main__":
    if sys.argv[1] == "fingerprint":
        build()
    else:
        anonymize(sys.argv[1:])
