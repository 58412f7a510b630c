"""Manifests: three forms, what they refuse, and parts of them."""

import ftplib
import hashlib
import importlib.util
import itertools
import json
import os

import pytest

from dippas_jax.io import storage
from dippas_jax.parallel import manifest
from dippas_jax.parallel.manifest import Item
from dippas_jax.types import InputError
from tests.messages import assert_one_sentence

HASH = "ab" * 32


def write(folder, name, text):
    (folder / name).write_text(text, encoding="utf-8")
    return str(folder / name)


def test_three_forms_say_the_same(tmp_path):
    expected = [
        Item(str(tmp_path / "a b.jpg"), str(tmp_path / "K.npz"), HASH),
        Item("/elsewhere/b.png"),
        Item("s3://bucket/c.jpg", "gs://bucket/K.npz"),
    ]
    rows = [
        {"photo": "a b.jpg", "fingerprint": "K.npz", "sha256": HASH.upper()},
        {"photo": "/elsewhere/b.png"},
        {"photo": "s3://bucket/c.jpg", "fingerprint": "gs://bucket/K.npz"},
    ]
    lines = "\n\n".join(map(json.dumps, rows))
    comma = "".join(",".join(row.get(k, "") for k in manifest.FIELDS) + "\n" for row in rows)
    tables = ",".join(manifest.FIELDS) + "\n" + comma
    for name, text in (
        ("m.jsonl", lines),
        ("m.csv", tables),
        ("m.TSV", tables.replace(",", "\t")),
    ):
        assert manifest.read(write(tmp_path, name, text)) == (expected, [])


def test_a_text_has_a_photo_a_line_and_a_default_fingerprint(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    name = write(tmp_path, "list.txt", "\ufeff# all of them\na.jpg \n\nin/b,c.jpg\n")
    photos = [str(tmp_path / "a.jpg"), str(tmp_path / "in" / "b,c.jpg")]
    assert manifest.read(name)[0] == [Item(photo) for photo in photos]
    known = str(tmp_path / "K.npz")
    assert manifest.read(name, "K.npz")[0] == [Item(photo, known) for photo in photos]


def test_paths_count_from_the_folder_of_a_manifest_that_lies_elsewhere():
    fsspec = pytest.importorskip("fsspec")
    fsspec.filesystem("memory").pipe_file("/lists/m.csv", b"photo\nin/a.jpg\n/b.jpg\n")
    found, _ = manifest.read("memory://lists/m.csv")
    assert found == [Item("memory://lists/in/a.jpg"), Item("/b.jpg")]


def test_a_photo_that_is_named_twice_counts_once_and_is_named(tmp_path):
    items, words = manifest.read(write(tmp_path, "m.txt", f"a.jpg\nb.jpg\n{tmp_path}/a.jpg\n"))
    assert len(items) == 2
    (word,) = words
    assert word == f"line 3 repeats photo {tmp_path / 'a.jpg'} of line 1"


@pytest.mark.parametrize(("name", "text", "words"), [
    ("m.txt", "# none\n", "names no photo"),
    ("m.csv", "file\na.jpg\n", "line 1 has a field 'file'"),
    ("m.csv", "fingerprint\na.jpg\n", "line 1 has no field 'photo'"),
    ("m.csv", "photo,photo\na.jpg,b.jpg\n", "names a field twice"),
    ("m.csv", "photo,sha256\na,b.jpg,\n", "line 2 has not as many fields"),
    ("m.csv", "photo,sha256\na.jpg\n", "line 2 has not as many fields"),
    ("m.csv", "photo,sha256\na.jpg,12\n", "sha256 '12' is not 64"),
    ("m.csv", "photo,fingerprint\n,K.npz\n", "line 2 names no photo"),
    ("m.csv", "photo,fingerprint\na.jpg,K\na.jpg,L\n", "line 3: photo"),
    ("m.jsonl", '{"photo": "a.jpg"}\n["b.jpg"]\n', "line 2 is not an object"),
    ("m.jsonl", "[" * 100_000, "line 1 is not an object"),
    ("m.jsonl", '{"photo": 3}\n', "line 1 is not an object of texts"),
    ("m.jsonl", '{"photo": "a.jpg"', "line 1 is not an object"),
])  # fmt: skip
def test_what_cannot_be_understood_is_refused_by_its_line(tmp_path, name, text, words):
    with pytest.raises(InputError, match=words) as refusal:
        manifest.read(write(tmp_path, name, text))
    assert name in str(refusal.value)


def test_names_may_hold_other_ends_of_lines_than_new_lines(tmp_path):
    text = json.dumps({"photo": "a\u2028b.jpg"}, ensure_ascii=False) + "\r\n"
    (item,) = manifest.read(write(tmp_path, "m.jsonl", text))[0]
    assert item.photo.endswith("a\u2028b.jpg")


def test_bytes_that_are_no_text_and_files_that_are_missing_are_refused(tmp_path):
    (tmp_path / "m.txt").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match="not UTF-8"):
        manifest.read(str(tmp_path / "m.txt"))
    with pytest.raises(InputError, match=r"manifest .*none.txt cannot be read"):
        manifest.read(str(tmp_path / "none.txt"))


@pytest.mark.parametrize(
    ("error", "says", "advice"),
    [
        (ImportError("requires paramiko"), "not installed (requires paramiko)", "install it"),
        (OSError(-2, "Name or service not known"), "reached (Name or service", "its address"),
        (ftplib.error_perm("530 Login incorrect."), "reached (530 Login", "name and password"),
        (EOFError(), "cannot be reached (EOFError)", "check its address"),
    ],
)
def test_a_server_that_does_not_let_us_in_is_told_from_a_library_that_is_missing(
    monkeypatch, error, says, advice
):
    def broken(*_, **__):
        raise error

    monkeypatch.setattr(storage.fsspec.core, "url_to_fs", broken)
    with pytest.raises(InputError) as refusal:
        manifest.read("ftp://far/m.txt")
    assert_one_sentence(str(refusal.value), "ftp://far/m.txt", advice)
    assert says in str(refusal.value)


def test_urls_that_nobody_can_reach_are_refused_for_the_right_reason():
    with pytest.raises(InputError, match=r"no URL that can be used \(Protocol not known"):
        manifest.read("nosuchthing://m.txt")
    with pytest.raises(InputError, match=r"cannot be reached .*refused.*; check its address"):
        manifest.read("ftp://127.0.0.1:9/m.txt")
    if importlib.util.find_spec("paramiko") is None:
        with pytest.raises(InputError, match=r"not installed .*paramiko.*; install it"):
            manifest.read("sftp://127.0.0.1:9/m.txt")


def test_every_photo_is_in_one_shard():
    items = [Item(f"/{n}.jpg") for n in range(11)]
    shards = [manifest.shard(items, (k, 4)) for k in range(4)]
    assert sorted(itertools.chain(*shards)) == sorted(items)
    assert {len(shard) for shard in shards} == {2, 3}


def test_an_id_is_that_of_all_fields_and_the_same_for_ever():
    every = [Item("a"), Item("b"), Item("a", "K"), Item("a", "", HASH), Item("a", "b"), Item("ab")]
    assert len({item.id for item in every}) == len(every)
    assert Item("/a.jpg", "/K.npz").id == "79c8b558184dd6076b35f641"
    text = b'["/a.jpg", "/K.npz", ""]'
    assert hashlib.sha256(text).hexdigest().startswith("79c8b558184dd6076b35f641")


def test_a_pipe_is_no_manifest_and_a_name_that_cannot_be_is_no_photo(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(InputError, match="a pipe, a device or a socket"):
        manifest.read(str(tmp_path / "pipe"))
    (tmp_path / "nul.txt").write_bytes(b"a\0.jpg\n")
    (item,), _ = manifest.read(str(tmp_path / "nul.txt"))
    with pytest.raises(InputError, match="cannot be read"):
        storage.size(storage.place(item.photo))
