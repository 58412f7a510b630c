"""Fingerprint files: what comes back is what was written, and no file crashes or runs anything."""

import hashlib
import io
import math
import pickle
import struct
import sys

import h5py
import hypothesis
import numpy as np
import pytest
import scipy.io
from hypothesis import strategies

from dippas_jax.io import files, fingerprint_file, mat5
from dippas_jax.types import InputError, OutOfReachError
from tests.messages import assert_one_sentence

H, W = 20, 27
KINDS = (".npz", ".mat", ".h5", ".hdf5")
KNOWN = {
    "unit": "σ × 1/255",
    "photo": (40, 60),
    "offset": (3, 5),
    "orientation": "sensor",
    "photos": 25,
    "extractor": "a filter",
    "sigma": 3.0,
    "reliability": 0.25,
}


def plane(seed=1):
    return np.random.default_rng(seed).normal(size=(H, W)).astype(np.float32)


def file(kind, **changes):
    return fingerprint_file.encode(f"a{kind}", fingerprint_file.new(plane(), **KNOWN | changes))


def refusal(data, word):
    with pytest.raises(InputError) as caught:
        fingerprint_file.decode("a.npz", data)
    assert_one_sentence(str(caught.value), "a.npz", word)


@pytest.mark.parametrize("kind", KINDS)
def test_plane_and_metadata_come_back_bit_for_bit(tmp_path, kind):
    path = tmp_path / f"camera{kind.upper()}"
    written = fingerprint_file.new(plane(), **KNOWN)
    files.write_fingerprint_file(path, written)
    read = files.read_fingerprint_file(path)
    assert read.plane.dtype == np.float32
    assert read.plane.tobytes() == written.plane.tobytes()
    assert read._replace(plane=None) == written._replace(plane=None)
    assert read.sha256 == hashlib.sha256(plane().astype("<f4").tobytes()).hexdigest()
    np.testing.assert_array_equal(files.read_fingerprint(path), plane())


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_unknown_stays_unknown(kind):
    empty = fingerprint_file.new(plane())
    read = fingerprint_file.decode("a", fingerprint_file.encode(f"a{kind}", empty))
    assert (read.unit, read.orientation, read.extractor, read.photos) == ("", "", "", 0)
    assert math.isnan(read.sigma)
    assert math.isnan(read.reliability)
    assert (read.photo, read.offset) == ((H, W), (0, 0))


def test_any_chain_of_formats_keeps_the_values(tmp_path):
    files.write_fingerprint_file(tmp_path / "0.npz", fingerprint_file.new(plane(), **KNOWN))
    first = files.read_fingerprint_file(tmp_path / "0.npz")
    for i, kind in enumerate((".mat", ".h5", ".npz", ".npy")):
        read = files.read_fingerprint_file(next(tmp_path.glob(f"{i}.*")))
        assert read.unit == first.unit
        files.write_fingerprint_file(tmp_path / f"{i + 1}{kind}", read)
    bare = files.read_fingerprint_file(tmp_path / "4.npy")
    np.testing.assert_array_equal(bare.plane, first.plane)
    assert (bare.unit, bare.photo, bare.offset, bare.photos) == ("", (H, W), (0, 0), 0)


def test_other_programs_read_what_is_written():
    with np.load(io.BytesIO(file(".npz"))) as arrays:
        np.testing.assert_array_equal(arrays["fingerprint"], plane())
        assert str(arrays["unit"]) == KNOWN["unit"]
    arrays = scipy.io.loadmat(io.BytesIO(file(".mat")))
    np.testing.assert_array_equal(arrays["fingerprint"], plane())
    assert arrays["photo"].ravel().tolist() == [40, 60]
    with h5py.File(io.BytesIO(file(".h5")), "r") as arrays:
        np.testing.assert_array_equal(arrays["fingerprint"][()], plane())
        assert arrays["unit"][()].decode() == KNOWN["unit"]


def test_the_hash_written_is_that_of_the_plane_whatever_the_field_says():
    stale = fingerprint_file.new(plane(), **KNOWN)._replace(sha256="0" * 64)
    read = fingerprint_file.decode("a", fingerprint_file.encode("a.npz", stale))
    assert read.sha256 == fingerprint_file.sha256(plane())


@pytest.mark.parametrize("kind", [".mat", ".h5"])  # the sums of a .npz find it first
def test_a_plane_that_was_changed_is_refused(kind):
    data = bytearray(file(kind))
    at = data.find((plane().T if kind == ".mat" else plane()).tobytes())
    assert at > 0
    data[at + 4] ^= 1
    refusal(bytes(data), "hash")


def entries(**changes):
    with np.load(io.BytesIO(file(".npz"))) as arrays:
        content = {**arrays, **changes}
    buffer = io.BytesIO()
    np.savez(buffer, **{k: v for k, v in content.items() if v is not None})
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"fingerprint": plane(2)}, "hash"),
        ({"sha256": "x"}, "hash"),
        ({"format": "dippas fingerprint 2"}, "newer"),
        ({"format": None}, "incomplete"),  # its hash says whose it is
        ({"unit": None}, "incomplete"),
        ({"unit": 3.0}, "wrong kind"),
        ({"photo": [1, 2, 3]}, "wrong kind"),
        ({"sigma": "three"}, "wrong kind"),
        ({"photos": [1, 2]}, "wrong kind"),
        ({"photos": -1}, "-1 photos"),
        ({"photo": [H, W]}, "cannot be"),
        ({"offset": [-1, 0]}, "(-1, 0)"),
    ],
)
def test_metadata_that_cannot_be_are_refused(changes, word):
    refusal(entries(**changes), word)


def matlab73(planes):
    """As MATLAB writes it: HDF5 behind a text of 512 bytes, columns first, text as numbers."""
    buffer = io.BytesIO()
    with h5py.File(buffer, "w", userblock_size=512) as hdf5:
        for name, (array, kind) in planes.items():
            hdf5[name] = np.asarray(array).T
            hdf5[name].attrs["MATLAB_class"] = np.bytes_(kind)
    text = b"MATLAB 7.3 MAT-file, Platform: GLNXA64, HDF5 schema 1.00 .".ljust(124) + b"\x00\x02IM"
    return text.ljust(512, b"\0") + buffer.getvalue()[512:]


def test_matlab_7_3_files_are_read_the_right_way_round():
    text = np.array([[ord(c) for c in "Nikon"]], np.uint16)
    data = matlab73({"K": (plane().astype(float), "double"), "camera": (text, "char")})
    read = fingerprint_file.decode("a", data)
    np.testing.assert_array_equal(read.plane, plane())
    assert read.unit == ""


def test_without_h5py_a_message_names_what_to_install(monkeypatch):
    data = file(".h5")
    monkeypatch.setitem(sys.modules, "h5py", None)
    refusal(data, "dippas-jax[h5]")
    with pytest.raises(OutOfReachError):  # which other machines may have
        fingerprint_file.decode("a", data)
    with pytest.raises(InputError) as caught:
        file(".h5")
    assert_one_sentence(str(caught.value), "a.h5", "dippas-jax[h5]")


@pytest.mark.parametrize("name", ["a.jpg", "a"])
def test_an_extension_that_names_no_format_is_refused(name):
    with pytest.raises(InputError) as caught:
        fingerprint_file.encode(name, fingerprint_file.new(plane()))
    assert_one_sentence(str(caught.value), name, ".npz")


def test_hdf5_files_cannot_have_other_files_opened(tmp_path):
    with h5py.File(tmp_path / "secret.h5", "w") as other:
        other["K"] = plane()
    (tmp_path / "raw").write_bytes(plane().tobytes())
    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as hdf5:
        hdf5["K"] = h5py.ExternalLink(str(tmp_path / "secret.h5"), "K")
        external = [(str(tmp_path / "raw"), 0, h5py.h5f.UNLIMITED)]
        hdf5.create_dataset("prnu", (H, W), "f4", external=external)
        layout = h5py.VirtualLayout((H, W), "f4")
        layout[:] = h5py.VirtualSource(str(tmp_path / "secret.h5"), "K", (H, W))
        hdf5.create_virtual_dataset("fingerprint", layout)
    refusal(buffer.getvalue(), "no array at all")


def test_an_hdf5_file_that_claims_more_than_it_can_hold_is_not_unpacked():
    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as hdf5:
        hdf5.create_dataset("K", (2**20, 2**20), "f8", chunks=(64, 64))
    refusal(buffer.getvalue(), "no array at all")


# ------------------------------------------------------------------------------------ MATLAB 5 to 7


def mat(compressed=False, **arrays):
    buffer = io.BytesIO()
    scipy.io.savemat(buffer, arrays, do_compression=compressed)
    return buffer.getvalue()


@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize("kind", "bhilqBHILQfd?FD")
def test_matlab_arrays_are_those_that_scipy_reads(compressed, kind):
    array = np.arange(-6, 6).reshape(3, 4).astype(kind)
    data = mat(compressed, A=array, scalar=2.5, text="Nikon σ", cells={"inside": array}, last=array)
    read = mat5.arrays(data)
    assert list(read) == ["A", "scalar", "text", "last"]
    expected = scipy.io.loadmat(io.BytesIO(data))
    for name in ("A", "scalar", "last"):
        assert read[name].dtype.kind == expected[name].dtype.kind or kind == "?"
        np.testing.assert_array_equal(read[name], expected[name])
    assert str(read["text"]) == "Nikon σ"


def test_matlab_truth_values_are_no_numbers():
    assert mat5.arrays(mat(A=np.eye(3) > 0))["A"].dtype == bool


def test_matlab_files_of_the_other_byte_order_are_read():
    def element(kind, content):
        return struct.pack(">II", kind, len(content)) + content.ljust(
            -(-len(content) // 8) * 8, b"\0"
        )

    body = element(6, struct.pack(">II", 6, 0))
    body += element(5, struct.pack(">ii", H, W)) + element(1, b"K")
    body += element(9, plane().astype(">f8").tobytes("F"))
    data = b"MATLAB 5.0 MAT-file".ljust(124) + b"\x01\x00MI" + element(14, body)
    np.testing.assert_array_equal(scipy.io.loadmat(io.BytesIO(data))["K"], plane())
    np.testing.assert_array_equal(fingerprint_file.decode("a", data).plane, plane())


def test_a_matlab_array_that_unpacks_to_no_end_is_refused(monkeypatch):
    data = mat(True, K=plane())
    monkeypatch.setattr(mat5, "_MOST_BYTES", 100)
    with pytest.raises(ValueError, match="larger"):
        mat5.arrays(data)
    with pytest.raises(ValueError, match="damaged"):
        mat5.arrays(data[:140] + bytes(8) + data[148:])


@pytest.mark.parametrize("kind", [".mat", ".h5"])
def test_arrays_that_unpack_to_far_more_than_their_file_are_not_all_read(kind):
    """Each alone is small enough."""
    empty = {f"filling{n}": np.zeros((300, 300)) for n in range(8)}
    if kind == ".mat":
        with pytest.raises(ValueError, match="larger"):
            mat5.arrays(mat(True, **empty, K=plane()))
        return
    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as hdf5:
        for name, array in empty.items():
            hdf5.create_dataset(name, data=array, compression="gzip")
        hdf5["K"] = plane()
    read = fingerprint_file._arrays("x.h5", buffer.getvalue())
    assert sum(array.nbytes for array in read.values()) <= 64 * len(buffer.getvalue())


# ----------------------------------------------------------------------------------------- damage


class Trap:
    """Calls a function that is not there to be called, when it is unpickled."""

    def __reduce__(self):
        return (pytest.fail, ("unpickled",))


@pytest.mark.parametrize("name", ["format", "unit", "photo", "sha256"])
def test_metadata_are_never_unpickled(name):
    refusal(entries(**{name: np.array([Trap()], dtype=object)}), "never loaded")


CONTENTS = {kind: file(kind) for kind in (".npz", ".npy", ".mat", ".h5")}
CONTENTS["compressed .mat"] = mat(True, K=plane(), name="D70")
CONTENTS["7.3 .mat"] = matlab73({"K": (plane(), "single")})


def decoded_or_refused(data):
    try:
        read = fingerprint_file.decode("a.npz", data)
    except InputError as error:
        assert_one_sentence(str(error), "a.npz", "fingerprint")
    else:
        assert read.plane.ndim == 2
        assert np.isfinite(read.plane).all()
        assert read.sha256 == fingerprint_file.sha256(read.plane)


damage = hypothesis.settings(max_examples=60, deadline=None, derandomize=True)


@pytest.mark.parametrize("kind", CONTENTS)
@damage
@hypothesis.given(data=strategies.data())
def test_a_damaged_file_is_read_or_refused_in_one_sentence(kind, data):
    content = bytearray(CONTENTS[kind])
    places = strategies.integers(0, len(content) - 1)
    # Most of a file is the plane; what can go wrong is around it.
    around = strategies.one_of(
        places, strategies.integers(0, 300), places.map(lambda i: -1 - i % 900)
    )
    for at in data.draw(strategies.lists(around, min_size=1, max_size=8)):
        content[at] = data.draw(
            strategies.sampled_from([0, 255, content[at] ^ 1, content[at] ^ 128])
        )
    decoded_or_refused(bytes(content))


@pytest.mark.parametrize("kind", CONTENTS)
@damage
@hypothesis.given(share=strategies.floats(0, 1, exclude_max=True))
def test_a_file_cut_short_is_never_taken_for_another(kind, share):
    content = CONTENTS[kind]
    with pytest.raises(InputError) as caught:
        fingerprint_file.decode("a.npz", content[: int(share * len(content))])
    assert_one_sentence(str(caught.value), "a.npz", "fingerprint")


@damage
@hypothesis.given(
    start=strategies.sampled_from(
        [
            b"",
            b"\x93NUMPY",
            b"PK\x03\x04",
            b"MATLAB 5.0",
            b"MATLAB 7.3",
            b"\x89HDF\r\n\x1a\n",
            b"\x80\x04",
        ]
    ),
    rest=strategies.binary(max_size=600),
)
def test_no_bytes_crash(start, rest):
    decoded_or_refused(start + rest)


def test_a_bare_pickle_is_not_a_fingerprint():
    refusal(pickle.dumps(Trap()), "no .npy")


def test_a_fingerprint_of_three_planes_is_not_passed_over_for_another_array():
    buffer = io.BytesIO()
    np.savez(buffer, K=np.zeros((H, W, 3)), W=plane())
    refusal(buffer.getvalue(), "which is no plane")
    buffer = io.BytesIO()
    np.savez(buffer, RP=np.zeros((H, W, 3)), Noise=plane())
    refusal(buffer.getvalue(), "holds RP of shape")
    buffer = io.BytesIO()
    np.savez(buffer, fingerprint=plane(), k=3, prnu="text", cube=np.zeros((H, W, 3)))
    np.testing.assert_array_equal(fingerprint_file.decode("a", buffer.getvalue()).plane, plane())


def test_an_archive_that_unpacks_to_far_more_than_it_holds_is_refused():
    buffer = io.BytesIO()
    np.savez_compressed(buffer, fingerprint=plane(), filling=np.zeros((2000, 2000)))
    refusal(buffer.getvalue(), "unpacks to")
