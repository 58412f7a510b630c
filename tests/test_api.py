"""The public names: all are there, documented, and follow one convention."""

import inspect
import re
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest

import dippas_jax as dj
from dippas_jax import (
    Config,
    Fingerprint,
    InputError,
    Result,
    __version__,
    anonymize,
    baselines,
    config,
    datasets,
    fingerprint,
    forensics,
    identify,
    invert,
    invert_batch,
    io,
    luma,
    ncc,
    p_value,
    pattern,
    pce,
    photo_key,
    prior,
    psnr,
    residual,
    signal,
    sparse,
    z_score,
)
from dippas_jax.datasets import synthetic
from tests import oracles, tiny

ROOT = Path(__file__).parents[1]
FUNCTIONS = [
    anonymize,
    fingerprint,
    identify,
    invert,
    invert_batch,
    luma,
    ncc,
    p_value,
    pattern,
    pce,
    photo_key,
    psnr,
    residual,
    z_score,
]
NOUNS = [Config, Fingerprint, InputError, Result]
ROOMS = [baselines, config, datasets, forensics, io, prior, signal, sparse]
ORDER = ("key", "photo", "pixels", "fingerprint")
"""Which argument comes before which."""


def test_all_public_names_are_those_imported_here():
    names = {one.__name__.rpartition(".")[2] for one in (*FUNCTIONS, *NOUNS, *ROOMS)}
    assert names | {"__version__"} == set(dj.__all__)
    assert re.fullmatch(r"\d+\.\d+\.\d+", __version__)
    assert set(dj.__all__) <= set(dir(dj))


def test_a_star_import_gives_every_name():
    code = (
        "from dippas_jax import *\nimport dippas_jax\nassert set(dippas_jax.__all__) <= set(dir())"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)


def test_a_name_that_is_not_there_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'anonymise'"):
        _ = dj.anonymise
    with pytest.raises(AttributeError, match="no attribute 'attacker'"):
        _ = forensics.attacker


def test_rooms_give_their_modules_without_an_import_of_their_own():
    code = (
        "import sys, dippas_jax as dj\n"
        "assert 'jax' not in sys.modules\n"
        "assert dj.signal.residual.residual is dj.residual\n"
        "assert dj.prior.whole.invert is dj.invert\n"
        "assert dj.forensics.verification.verify and dj.sparse.anonymize.anonymize\n"
        "assert dj.datasets.reader.load and dj.io.photo.read_pixels and dj.baselines.METHODS\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)


@pytest.mark.parametrize("one", [*FUNCTIONS, *NOUNS, *ROOMS], ids=lambda one: one.__name__)
def test_a_public_name_is_documented(one):
    assert one.__doc__
    assert one.__doc__.strip().partition("\n")[0].rstrip().endswith((".", ":"))


@pytest.mark.parametrize("function", FUNCTIONS, ids=lambda one: one.__name__)
def test_a_key_comes_first_then_the_photo_then_the_fingerprint_and_options_are_named(function):
    parameters = inspect.signature(function).parameters.values()
    positional = [p.name for p in parameters if p.kind is p.POSITIONAL_OR_KEYWORD]
    ranks = [ORDER.index(name) for name in positional if name in ORDER]
    assert ranks == sorted(ranks)
    assert "key" not in positional[1:]
    assert len(positional) <= 4
    assert all(
        p.kind is p.KEYWORD_ONLY
        for p in parameters
        if p.name in ("sigma", "method", "deadline", "on_chunk", "levels")
    )


@pytest.mark.parametrize(
    "function", [anonymize, fingerprint, identify, invert, invert_batch, ncc, pce, residual]
)
def test_a_public_function_says_what_it_takes(function):
    document = inspect.getdoc(function)
    assert "Args:" in document
    takes = [name for name in inspect.signature(function).parameters if name != "levels"]
    assert all(f"{name}:" in document for name in takes)


# ------------------------------------------------------------------------------- what they compute


@pytest.fixture(scope="module")
def case():
    """A photo with a fingerprint in it, and that fingerprint."""
    plane = tiny.fingerprint()
    return oracles.photo(0, 64, 64, 10 * plane), plane


def test_scores_are_those_of_the_oracles(case):
    photo, plane = case
    noise = residual(photo)
    expected = oracles.ncc(oracles.residual(photo, 3.0), oracles.pattern(photo, plane))
    found = ncc(noise, pattern(photo, plane))
    np.testing.assert_allclose(found, expected, atol=2e-5)
    np.testing.assert_allclose(z_score(found, 64, 64), 64 * expected, atol=2e-3)
    surface = oracles.circular_cross_correlation(
        oracles.residual(photo, 3.0), oracles.pattern(photo, plane)
    )
    np.testing.assert_allclose(pce(noise, pattern(photo, plane)), oracles.pce(surface), rtol=5e-3)
    np.testing.assert_allclose(
        psnr(photo, photo[::-1]), oracles.psnr(photo, photo[::-1]), rtol=1e-5
    )
    assert float(p_value(0.0)) == 0.5


def test_identify_takes_one_plane_or_several(case):
    photo, plane = case
    other = tiny.fingerprint(seed=9)
    both = identify(photo, np.stack([plane, other]))
    one = identify(photo, plane)
    assert np.shape(one.z) == ()
    assert one.z == both.z[0]
    assert both.p_value[0] < 1e-6 < both.p_value[1]
    with pytest.raises(InputError, match="64x64"):
        identify(photo, plane[:60])


def test_a_fingerprint_is_that_of_the_camera():
    camera = synthetic.Camera(strength=0.01)
    estimate = fingerprint(synthetic.flats(camera, 64, 64, 10))
    assert estimate.shape == (64, 64)
    assert np.corrcoef(estimate.ravel(), camera.fingerprint(64, 64).ravel())[0, 1] > 0.9
    with pytest.raises(InputError, match="no flat-field photo"):
        fingerprint([])
    with pytest.raises(InputError, match="one size"):
        fingerprint([np.zeros((64, 64, 3), np.uint8), np.zeros((64, 80, 3), np.uint8)])


@pytest.mark.slow
def test_anonymize_is_the_method_asked_for(case):
    photo, plane = case
    fast = anonymize(photo, plane, config=Config(target_psnr=38.0))
    assert fast.psnr == pytest.approx(38.0, abs=0.1)
    assert abs(identify(fast.pixels, plane).z) < identify(photo, plane).z / 2
    settings = tiny.settings()
    paper = anonymize(photo, plane, method="prior", config=settings)
    same = invert(photo_key(0, photo.tobytes()), photo, plane, settings)
    assert paper.pixels.tobytes() == same.pixels.tobytes()
    with pytest.raises(InputError, match='"sparse" or "prior"'):
        anonymize(photo, method="engine")


@pytest.mark.parametrize(
    ("photo", "plane", "word"),
    [
        (np.zeros((64, 64, 3), np.float32), None, "float32"),
        (np.zeros((64, 64), np.uint8), None, "[64, 64]"),
        (np.zeros((64, 60, 3), np.uint8), None, "64x60"),
        (np.zeros((64, 64, 3), np.uint8), np.ones((64, 64)), "constant"),
        (np.zeros((64, 64, 3), np.uint8), np.ones((64, 60)), "[64, 60]"),
        (np.zeros((64, 64, 3), np.uint8), np.full((64, 64), np.nan), "no numbers"),
    ],
)
@pytest.mark.parametrize("method", ["sparse", "prior"])
def test_what_cannot_be_used_is_refused_in_one_sentence(photo, plane, word, method):
    with pytest.raises(InputError) as caught:
        anonymize(photo, plane, method=method)
    message = str(caught.value)
    assert word in message
    assert ";" in message
    assert "\n" not in message
    if method == "prior":
        with pytest.raises(InputError):
            invert(jax.random.key(0), photo, plane)


@pytest.mark.parametrize(
    "photo",
    [
        np.zeros((64, 64, 3), np.uint16),
        np.zeros((64, 64), np.uint8),
        np.zeros((64, 64, 4), np.uint8),
        np.zeros((64, 31, 3), np.uint8),
    ],
)
def test_what_is_no_photo_of_grey_levels_is_refused(photo):
    """Of 16 bits, weights would be 0 and K of no use, without a word."""
    for work in (
        lambda: dj.identify(photo, np.ones(photo.shape[:2])),
        lambda: dj.fingerprint([photo]),
    ):
        with pytest.raises(InputError, match="at least 32 pixels a side"):
            work()
    plain = np.full((64, 64, 3), 99, np.uint8)
    assert np.isnan(dj.identify(plain.astype(np.float32), np.ones((64, 64))).z)
    with pytest.raises(InputError, match=r"fingerprints are \[64\]"):
        dj.identify(plain, np.ones(64))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda photo: photo / 255, "go from 0 to 1"),
        (lambda photo: photo * 257, "go from 0 to 65535"),
        (lambda photo: photo - 300, "go from -300 to -45"),
        (lambda photo: np.where(photo == photo.max(), np.nan, photo), "go from nan to nan"),
        (lambda photo: np.where(photo == photo.max(), np.inf, photo), "to inf"),
    ],
)
def test_floats_that_are_no_grey_levels_are_refused(change, words):
    """In [0, 1] the filter for noise of 3 levels takes all of a photo for noise."""
    levels = np.linspace(0, 255, 64 * 64 * 3, dtype=np.float32).reshape(64, 64, 3)
    for work in (
        lambda photo: dj.identify(photo, tiny.fingerprint()),
        lambda photo: dj.fingerprint([photo]),
    ):
        work(levels)
        with pytest.raises(InputError, match=f"{words}; give grey levels from 0 to 255"):
            work(change(levels))


def test_what_is_no_array_is_refused_in_a_sentence(case):
    """As a fingerprint that was read from a file, where its plane is meant."""
    photo, plane = case
    whole = Fingerprint(plane, "", (64, 64), (0, 0), "", 0, "", 3.0, 0.5, "")
    of_types = r"cannot be used as an array of numbers; .* of a Fingerprint its \.plane"
    for work in (
        lambda: inspect.unwrap(anonymize)(photo, whole),
        lambda: inspect.unwrap(invert)(jax.random.key(0), photo, whole),
        lambda: inspect.unwrap(identify)(photo, whole),
        lambda: inspect.unwrap(identify)(photo, [plane, plane[:60]]),
        lambda: inspect.unwrap(identify)("a.jpg", plane),
        lambda: inspect.unwrap(fingerprint)([[photo, photo[:60]]]),
    ):
        with pytest.raises(InputError, match=of_types):
            work()
    (failure,) = inspect.unwrap(invert_batch)(jax.random.key(0), [photo], [whole])
    assert isinstance(failure, InputError)
    assert "its .plane" in str(failure)


def test_a_mean_of_the_fingerprint_is_taken_out_before_the_sparse_method(case, monkeypatch):
    photo, plane = case
    seen = []
    monkeypatch.setattr(
        dj.sparse.anonymize, "anonymize", lambda key, photo, plane, *_, **__: seen.append(plane)
    )
    inspect.unwrap(anonymize)(photo, 1 + 0.002 * plane)
    assert abs(float(seen[0].mean())) < 1e-6
