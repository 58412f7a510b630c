"""Photos decoded by a process of their own: the same photos, and no harm from those that attack."""

import importlib.util
import io
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from unittest import mock

import numpy as np
import pytest
import tifffile
from PIL import Image

from dippas_jax.io import confinement, decoder, decoder_process, photo
from dippas_jax.types import InputError, NoProcessError, OutOfReachError, ShortageError
from tests.io import hostile_decoder
from tests.io.test_photo import bad_files, exif, grey_profile, heic_brand, icc, pixels, put, saved
from tests.messages import assert_one_sentence

pytestmark = pytest.mark.skipif(bool(confinement.possible()), reason="no limits on this system")

COMMAND = (sys.executable, "-P", hostile_decoder.__file__)
FEW = confinement.Limits(memory=1 << 30, seconds=1, patience=6.0)


@pytest.fixture(scope="module")
def hostile():
    """A decoder that does what files say, within narrow limits."""
    made = decoder.Decoder(COMMAND, FEW)
    yield made
    made.stop()


@pytest.fixture
def good(tmp_path):
    return put(tmp_path, saved(pixels()), "good.png")


def attack(tmp_path, text):
    return put(tmp_path, text.encode(), "attack.png")


def every_kind():
    """Files of all formats, depths and kinds of transparency, by name."""
    colours, grey = pixels(), pixels()[..., 0]
    deep = np.random.default_rng(0).integers(0, 65536, (64, 70, 3), np.uint16)
    clear = np.dstack([colours, grey])
    made = {
        "a.jpg": saved(colours, "JPEG", exif=exif(6), icc_profile=icc(), progressive=True),
        "grey.jpg": saved(grey, "JPEG", icc_profile=grey_profile()),
        "cmyk.jpg": saved(Image.fromarray(colours).convert("CMYK"), "JPEG"),
        "a.png": saved(colours, exif=exif(3)),
        "clear.png": saved(clear),
        "palette.png": saved(Image.fromarray(colours).quantize(16), transparency=3),
        "deep.png": saved(deep[..., 0]),
        "a.webp": saved(clear, "WEBP", lossless=True, exif=exif(2)),
        "a.bmp": saved(colours, "BMP"),
        "a.tif": saved(colours, "TIFF", exif=exif(5), compression="tiff_lzw"),
    }
    if importlib.util.find_spec("pillow_heif"):
        import pillow_heif

        buffer = io.BytesIO()
        image = Image.fromarray(pixels(700, 900))  # of several tiles, which threads decode
        pillow_heif.from_pillow(image).save(buffer, exif=exif(8).tobytes())
        made["a.heic"] = buffer.getvalue()
    for name, options in (
        ("deep.tif", {"compression": "zlib", "predictor": True}),
        ("big.tif", {"bigtiff": True}),
        ("extra.tif", {"extrasamples": ["unspecified"]}),
    ):
        buffer = io.BytesIO()
        array = np.dstack([deep, deep[..., :1]]) if "extra" in name else deep
        tifffile.imwrite(buffer, array, photometric="rgb", **options)
        made[name] = buffer.getvalue()
    return made


@pytest.mark.parametrize("name", sorted(every_kind()))
@pytest.mark.parametrize("srgb", [False, True])
def test_a_photo_is_what_it_is_when_it_is_decoded_here(tmp_path, hostile, name, srgb):
    """By a process that fails, besides, where a decoder imports or opens what it then may not."""
    path = put(tmp_path, every_kind()[name], name)
    here, there = photo.read(path, srgb=srgb), hostile.read(path, srgb=srgb)
    np.testing.assert_array_equal(here.pixels, there.pixels)
    assert here.pixels.dtype == there.pixels.dtype
    assert there.pixels.flags.writeable
    if here.alpha is None:
        assert there.alpha is None
    else:
        np.testing.assert_array_equal(here.alpha, there.alpha)
    rest = [one._replace(pixels=None, alpha=None) for one in (here, there)]
    assert rest[0] == rest[1]
    assert hostile.header(path) == photo.header(path)


def test_a_file_that_is_no_photo_is_refused_in_the_same_words(tmp_path, hostile):
    compared = 0
    for name, (data, _) in bad_files().items():
        if data is None:
            continue
        path = put(tmp_path, data, name)
        for ours, theirs in ((photo.read, hostile.read), (photo.header, hostile.header)):
            said = []
            for read in (ours, theirs):
                try:
                    read(path)
                    said.append("")
                except InputError as error:
                    said.append(str(error))
            assert said[0] == said[1]
            compared += bool(said[0])
    assert compared > 10
    for missing in (tmp_path / "none.jpg", tmp_path):
        with pytest.raises(InputError, match="cannot be read"):
            hostile.read(missing)


def test_a_name_that_is_not_utf_8_is_no_obstacle(tmp_path, hostile):
    path = put(tmp_path, saved(pixels()), os.fsdecode(b"a\xe9.png"))
    np.testing.assert_array_equal(hostile.read(path).pixels, pixels())
    path.write_bytes(b"no photo")
    with pytest.raises(InputError, match=r"a\\udce9.png is not a photo"):
        hostile.read(path)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("crash!", r"crash \(SIGSEGV\)"),
        ("eat!", "more memory"),
        ("loop!", "more than 1 seconds"),
        ("sleep!", "more than 6 seconds"),
        ("leave!", "crash"),
        ("swell!", "nonsense|more memory"),
        ('lie!{"dtype": "object"}', "nonsense"),
        ('lie!{"size": [1000000, 1000000]}', "nonsense"),
        ('lie!{"size": "64"}', "nonsense"),
        ('lie!{"size": [Infinity, 64]}', "nonsense"),
        ('lie!{"size": [-1, 4096]}', "nonsense"),
        ('lie!{"orientation": [1]}', "nonsense"),
        ('lie!{"orientation": 9}', "nonsense"),
        ('lie!{"format": "exe"}', "nonsense"),
        ('lie!{"jpeg": [[[1]], 0, false]}', "nonsense"),
        ('lie!{"words": null}', "nonsense"),
    ],
)
def test_a_photo_that_takes_its_decoder_over_is_refused_and_the_next_is_read(
    tmp_path, hostile, good, text, says
):
    path, started = attack(tmp_path, text), time.monotonic()
    with pytest.raises(InputError, match=says) as error:
        hostile.read(path)
    assert_one_sentence(str(error.value), path, "harm")
    assert time.monotonic() - started < 30
    np.testing.assert_array_equal(hostile.read(good).pixels, pixels())


def test_what_a_lying_decoder_says_does_nothing_to_a_terminal(tmp_path, hostile):
    words = json.dumps({"words": ["\x1b[2J gone", "fine – so"]})
    assert hostile.read(attack(tmp_path, f"lie!{words}")).words == (r"\x1b[2J gone", "fine – so")


def test_a_library_that_is_missing_is_told_from_a_photo_that_nobody_could_read(
    tmp_path, hostile, monkeypatch
):
    lie = attack(tmp_path, 'lie!{"failed": "a photo needs a library.", "away": true}')
    monkeypatch.setitem(sys.modules, "pillow_heif", mock.Mock(__spec__=mock.Mock()))
    with pytest.raises(InputError) as error:
        hostile.read(lie)
    assert type(error.value) is InputError
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    without = "import sys; sys.modules['pillow_heif'] = None; from dippas_jax.io import "
    without += "decoder_process; decoder_process.serve()"
    made = decoder.Decoder((sys.executable, "-P", "-c", without))
    photo_of_a_phone = put(tmp_path, heic_brand(), "a.heic")
    for read in (photo.read, made.read):
        with pytest.raises(OutOfReachError, match=r"dippas-jax\[heic\]"):
            read(photo_of_a_phone)
    made.stop()


def test_a_decoder_that_was_taken_over_is_free_to_do_nothing(tmp_path, hostile):
    secret = tmp_path / "secret"
    secret.write_text("secret")
    with pytest.raises(InputError, match="free to") as error:
        hostile.read(attack(tmp_path, f"break_out!{tmp_path}"))
    free = set(str(error.value).removeprefix("free to ").removesuffix("; .").split())
    if os.geteuid() == 0:  # who may set any limit
        free -= {"limits"}
    landlock = [int(one.split()[1]) for one in hostile.limits() if one.startswith("Landlock")]
    if not landlock:
        pytest.skip(f"without Landlock it may {sorted(free)}")
    assert free <= ({"signal"} if landlock[0] < 6 else set()) | (
        {"cut"} if landlock[0] < 3 else set()
    )
    assert secret.read_text() == "secret"
    assert {path.name for path in tmp_path.iterdir()} == {"secret", "attack.png"}


def test_what_holds_is_told(hostile):
    bounds = {"1 s of the processor", "1.0 GiB of memory", "no files, no network"}
    assert bounds <= set(hostile.limits())


def test_threads_take_turns(hostile, tmp_path):
    paths = [put(tmp_path, saved(pixels(seed=n)), f"{n}.png") for n in range(8)]
    found = {}
    threads = [
        threading.Thread(target=lambda p=path: found.update({p: hostile.read(p)})) for path in paths
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for n, path in enumerate(paths):
        np.testing.assert_array_equal(found[path].pixels, pixels(seed=n))


def test_a_process_that_was_ended_between_photos_is_started_again(hostile, good):
    hostile.read(good)
    os.killpg(hostile._process.program.pid, signal.SIGKILL)
    hostile._process.program.wait()
    np.testing.assert_array_equal(hostile.read(good).pixels, pixels())


def test_where_no_process_starts_photos_are_decoded_here(good):
    broken = decoder.Decoder((sys.executable, "-c", "import sys; sys.exit(3)"))
    assert "cannot start" in broken.unconfined()
    np.testing.assert_array_equal(broken.read(good).pixels, pixels())
    assert broken.header(good) == photo.header(good)
    missing = decoder.Decoder(("/nowhere/python",))
    assert "cannot start" in missing.unconfined()


def test_a_process_that_cannot_be_started_again_is_no_fault_of_the_photo(good, monkeypatch):
    made = decoder.Decoder()
    made.read(good)
    made.stop()
    with monkeypatch.context() as patch:
        patch.setattr(made, "_command", ("/nowhere/python",))
        with pytest.raises(InputError, match=r"does not start .*; end other programs"):
            made.read(good)
    np.testing.assert_array_equal(made.read(good).pixels, pixels())
    made.stop()


@pytest.mark.parametrize(
    ("code", "kind"),
    [(decoder_process.NO_PROCESS, NoProcessError), (-signal.SIGKILL, ShortageError)],
)
def test_a_machine_without_memory_or_processes_is_no_fault_of_the_photo(
    good, monkeypatch, code, kind
):
    made = decoder.Decoder()
    made.read(good)
    with monkeypatch.context() as patch:
        patch.setattr(decoder_process, "receive", mock.Mock(side_effect=EOFError))
        patch.setattr(decoder_process, "status", lambda control, until: code)
        with pytest.raises(kind, match=r"enough memory; end other programs") as refusal:
            made.read(good)
        assert refusal.type is kind
    made.stop()
    np.testing.assert_array_equal(made.read(good).pixels, pixels())
    made.stop()


def test_memory_that_the_system_does_not_tell_bounds_nothing(monkeypatch):
    assert 0 < confinement.physical_memory() < sys.maxsize
    with monkeypatch.context() as patch:
        patch.setattr(os, "sysconf", lambda name: -1 if name == "SC_PHYS_PAGES" else 4096)
        assert confinement.physical_memory() == sys.maxsize
    monkeypatch.delattr(os, "sysconf")
    assert confinement.physical_memory() == sys.maxsize


def test_a_process_that_the_system_does_not_give_is_told(monkeypatch):
    ours, theirs = socket.socketpair()
    with open(os.devnull, "rb") as handed:
        socket.send_fds(ours, [b"?"], [handed.fileno()])
    ours.shutdown(socket.SHUT_WR)
    monkeypatch.setattr(decoder_process.os, "dup", lambda number: theirs.detach())
    monkeypatch.setattr(decoder_process.os, "fork", mock.Mock(side_effect=OSError(11, "none")))
    before = signal.getsignal(signal.SIGINT)
    try:
        decoder_process.serve()
    finally:
        signal.signal(signal.SIGINT, before)
    with ours:
        code = decoder_process.status(ours, until=time.monotonic() + 5)
    assert code == decoder_process.NO_PROCESS


def test_on_a_system_without_limits_photos_are_decoded_here(good, monkeypatch):
    monkeypatch.setattr(confinement, "resource", None)
    alone = decoder.Decoder()
    assert "no limits for a process" in alone.unconfined()
    alone.start()
    assert alone._process is None
    np.testing.assert_array_equal(alone.read(good).pixels, pixels())


def test_the_process_ends_with_its_program_even_if_that_is_killed():
    program = (
        "import os; from dippas_jax.io import decoder; decoder.limits();"
        "print(decoder._ours._process.program.pid, flush=True); os.kill(os.getpid(), 9)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == -signal.SIGKILL, done.stderr
    number = int(done.stdout)
    for _ in range(100):
        if not _runs(number):
            return
        time.sleep(0.1)
    pytest.fail("the process goes on")


def _runs(number):
    try:
        return "Z" not in Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False


def test_the_process_does_not_import_jax():
    """It starts in a fraction of a second."""
    program = "import sys, dippas_jax.io.decoder_process; sys.exit('jax' in sys.modules)"
    assert subprocess.run([sys.executable, "-P", "-c", program]).returncode == 0
