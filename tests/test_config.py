"""Settings: there and back, and what is said of those that cannot be used."""

import dataclasses
import runpy
from pathlib import Path

import pytest

from dippas_jax import config
from dippas_jax.datasets import presets
from dippas_jax.experiments import methods, overrides
from dippas_jax.types import InputError

CONFIGS = Path(__file__).parents[1] / "configs"
RUNS = {
    "aware": ["default", "paper", "quick"],
    "blind": ["default", "paper", "quick"],
    "sparse": ["aware", "blind"],
}
STUDIES = {
    "aware": ["default", "dresden", "vision"],
    "blind": ["default", "dresden", "vision"],
    "methods": ["default", "crops", "dresden"],
    "panel": ["default", "crops", "dresden", "vision"],
    "sparse": ["default", "crops", "dresden", "vision"],
}
"""The files of settings, and what each offers behind the colon."""


def chosen(name, *setting, kind=config.Config):
    """What --config=NAME:SETTING gives, checked."""
    get_config = runpy.run_path(str(overrides.locate(name)))["get_config"]
    return overrides.from_config_dict(get_config(*setting), kind)


def every(files):
    return [(name, setting) for name, settings in files.items() for setting in settings]


ODD = config.Config(
    mode="blind",
    method="sparse",
    target_psnr=41.5,
    max_minutes=0.5,
    seed=7,
    sigma=2.5,
    data=config.Data(
        folder="x",
        layout="vision",
        crop=100,
        crops=0,
        photos=("a",),
        devices=("b", "c"),
        per_device=2,
        limit=3,
        cameras=2,
    ),
    generator=config.Generator(depth=3, widths=(8, 9), skips=(2,), alpha=2.0),
    inversion=config.Inversion(
        optimizer="amsgrad",
        learning_rate=0.5,
        noise_std=0.0,
        chunk=7,
        decorrelation=0.5,
        rollback=6.0,
    ),
    assembly=config.Assembly(sides=(8, 9), averages=(1, 2), thresholds=(30.0,), write_all=True),
    sparse=config.Sparse(strength="strong", compensation=0.25),
)

OUT_OF_RANGE = [
    ("Data", "crop", 63, "data.crop"),
    ("Data", "crop", -1, "data.crop"),
    ("Data", "layout", "Dresden", "data.layout"),
    ("Data", "crops", -1, "data.crops"),
    ("Data", "crops", 4, "data.crops"),
    ("Data", "per_device", -1, "data.per_device"),
    ("Data", "limit", -1, "data.limit"),
    ("Data", "cameras", 0, "data.cameras"),
    ("Generator", "depth", 0, "generator.depth"),
    ("Generator", "widths", (), "generator.widths"),
    ("Generator", "widths", (16,) * 8, "generator.widths"),
    ("Generator", "widths", (3, 16, 16, 16, 16), "generator.widths"),
    ("Generator", "alpha", 0.1, "generator.widths"),
    ("Generator", "output", "tanh", "generator.output"),
    ("Generator", "skips", (16, 32), "generator.skips"),
    ("Generator", "skips", (16, 32, 64, 0), "generator.skips"),
    ("Inversion", "optimizer", "sgd", "inversion.optimizer"),
    ("Inversion", "learning_rate", 0.0, "inversion.learning_rate"),
    ("Inversion", "learning_rate", float("nan"), "inversion.learning_rate"),
    ("Inversion", "learning_rate", float("inf"), "inversion.learning_rate"),
    ("Inversion", "input_std", -0.1, "inversion.input_std"),
    ("Inversion", "noise_std", -0.1, "inversion.noise_std"),
    ("Inversion", "noise_std", float("nan"), "inversion.noise_std"),
    ("Inversion", "decorrelation", -0.1, "inversion.decorrelation"),
    ("Inversion", "decorrelation", float("inf"), "inversion.decorrelation"),
    ("Inversion", "rollback", -3.0, "inversion.rollback"),
    ("Inversion", "rollback", float("nan"), "inversion.rollback"),
    ("Inversion", "max_steps", 0, "inversion.max_steps"),
    ("Inversion", "stop_psnr", 0.0, "inversion.stop_psnr"),
    ("Inversion", "stop_psnr", float("nan"), "inversion.stop_psnr"),
    ("Inversion", "chunk", 1, "inversion.chunk"),
    ("Assembly", "sides", (), "assembly.sides"),
    ("Assembly", "sides", (64, 7), "assembly.sides"),
    ("Assembly", "averages", (0,), "assembly.averages"),
    ("Assembly", "thresholds", (), "assembly.thresholds"),
    ("Assembly", "thresholds", (float("nan"),), "assembly.thresholds"),
    ("Assembly", "thresholds", (38.0, float("nan")), "assembly.thresholds"),
    ("Assembly", "thresholds", (38.0, float("inf")), "assembly.thresholds"),
    ("Sparse", "strength", "huge", "sparse.strength"),
    ("Sparse", "compensation", -0.1, "sparse.compensation"),
    ("Sparse", "compensation", 1.1, "sparse.compensation"),
    ("Sparse", "compensation", float("nan"), "sparse.compensation"),
    ("Config", "mode", "aweer", "mode"),
    ("Config", "method", "engine", "method"),
    ("Config", "target_psnr", 7.0, "target_psnr"),
    ("Config", "target_psnr", 61.0, "target_psnr"),
    ("Config", "target_psnr", float("nan"), "target_psnr"),
    ("Config", "max_minutes", -1.0, "max_minutes"),
    ("Config", "max_minutes", float("inf"), "max_minutes"),
    ("Config", "max_minutes", float("nan"), "max_minutes"),
    ("Config", "seed", -1, "seed"),
    ("Config", "seed", 2**32, "seed"),
    ("Config", "sigma", 0.0, "sigma"),
    ("Config", "checkpoint_seconds", -1.0, "checkpoint_seconds"),
    ("Config", "checkpoint_seconds", float("nan"), "checkpoint_seconds"),
    ("Config", "checkpoint_seconds", float("inf"), "checkpoint_seconds"),
    ("Study", "fingerprints", "thirds", "fingerprints"),
    ("Study", "group", 1, "group"),
    ("Study", "workers", -1, "workers"),
    ("Study", "seed", -1, "seed"),
]


def fields():
    """The full name of every setting, and its default."""
    for field in dataclasses.fields(config.Config):
        if dataclasses.is_dataclass(field.default):
            for inner in dataclasses.fields(field.default):
                yield f"{field.name}.{inner.name}", inner.default
        else:
            yield field.name, field.default


@pytest.mark.parametrize("given", [config.Config(), ODD], ids=["default", "odd"])
def test_settings_survive_the_edge(given):
    tree = overrides.to_config_dict(given)
    assert overrides.from_config_dict(tree) == given
    assert overrides.from_config_dict(tree.to_dict()) == given


def test_settings_are_hashable_and_cannot_be_changed():
    assert hash(ODD) == hash(overrides.from_config_dict(overrides.to_config_dict(ODD)))
    with pytest.raises(dataclasses.FrozenInstanceError):
        ODD.seed = 1


def test_what_is_not_given_keeps_its_default():
    some = overrides.from_config_dict({"inversion": {"chunk": 5}})
    assert some == config.Config(inversion=config.Inversion(chunk=5))


def test_numbers_and_single_values_are_converted_where_nothing_is_lost():
    some = {"sigma": 3, "assembly": {"sides": 32, "averages": [1, 2], "thresholds": [37, 38.5]}}
    read = overrides.from_config_dict(some)
    assert read.assembly == config.Assembly(sides=(32,), averages=(1, 2), thresholds=(37.0, 38.5))
    assert isinstance(read.sigma, float)


@pytest.mark.parametrize(("kind", "name", "value", "named"), OUT_OF_RANGE)
def test_a_value_out_of_range_is_refused_in_one_sentence(kind, name, value, named):
    with pytest.raises(InputError) as caught:
        getattr(config, kind)(**{name: value})
    message = str(caught.value)
    assert message.startswith(named)
    assert "\n" not in message
    assert ". " not in message, "one sentence"
    assert any(word in message for word in ("choose", "give")), "what to do"


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("inversion.chunk", "25"),
        ("inversion.chunk", 2.5),
        ("inversion.chunk", True),
        ("inversion.learning_rate", "fast"),
        ("inversion.learning_rate", True),
        ("assembly.write_all", 1),
        ("assembly.sides", (32, "64")),
        ("data.folder", 3),
        ("seed", None),
    ],
)
def test_a_value_of_another_type_is_refused_with_its_name(path, value):
    *section, name = path.split(".")
    tree = {section[0]: {name: value}} if section else {name: value}
    with pytest.raises(InputError) as caught:
        overrides.from_config_dict(tree)
    assert str(caught.value).startswith(path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("section", [3, "fast", None, (1, 2)])
def test_a_section_that_is_no_section_is_refused(section):
    with pytest.raises(InputError, match="inversion"):
        overrides.from_config_dict({"inversion": section})


@pytest.mark.parametrize(
    ("path", "guess"),
    [
        ("inversion.lerning_rate", '"inversion.learning_rate"'),
        ("assembly.side", '"assembly.sides"'),
        ("inversoin.chunk", '"inversion"'),
        ("sead", '"seed"'),
    ],
)
def test_an_unknown_setting_is_refused_with_the_nearest_name(path, guess):
    *section, name = path.split(".")
    tree = {section[0]: {name: 1}} if section else {name: 1}
    for refuse in (lambda: overrides.from_config_dict(tree), lambda: overrides.check_name(path)):
        with pytest.raises(InputError) as caught:
            refuse()
        assert f"did you mean {guess}" in str(caught.value)
        assert "\n" not in str(caught.value)


def test_an_unknown_setting_near_none_lists_those_there_are():
    with pytest.raises(InputError, match=r"known are .*chunk"):
        overrides.check_name("inversion.zzz")


def test_every_setting_is_a_known_name():
    for name, _ in fields():
        overrides.check_name(name)
    with pytest.raises(InputError):
        overrides.check_name("seed.chunk")


def test_the_help_names_every_setting_with_its_default_and_says_what_it_is():
    text = overrides.help_text()
    for name, default in fields():
        assert f"--config.{name}={default!r}" in text
        last = name.rpartition(".")[2]
        assert f"{last}: " in text, f"{name} is not described"


# ---------------------------------------------------------------------------- the files of settings


def test_every_file_of_settings_is_tested_here():
    here = {path.relative_to(CONFIGS).as_posix() for path in CONFIGS.rglob("*.py")}
    assert here == {f"{name}.py" for name in RUNS} | {f"studies/{name}.py" for name in STUDIES}


@pytest.mark.parametrize("path", sorted(CONFIGS.rglob("*.py")), ids=lambda path: path.stem)
def test_a_file_offers_the_settings_that_it_says_it_does(path):
    listed = (STUDIES if path.parent != CONFIGS else RUNS)[path.stem]
    module = runpy.run_path(str(path))
    assert list(module["SETTINGS"]) == listed
    for name in listed:
        assert f'"{name}"' in module["get_config"].__doc__
    kind = config.Config if path.parent == CONFIGS else config.Study
    assert overrides.from_config_dict(module["get_config"](), kind) == module["SETTINGS"][listed[0]]


@pytest.mark.parametrize(("name", "setting"), every(RUNS))
def test_every_setting_of_a_run_can_be_used(name, setting):
    found = chosen(name, setting)
    assert found.mode == (setting if name == "sparse" else name)
    assert found.method == ("sparse" if name == "sparse" else "prior")


@pytest.mark.parametrize("setting", RUNS["blind"])
def test_blind_has_the_values_of_aware_but_for_the_mode(setting):
    aware, blind = chosen("aware", setting), chosen("blind", setting)
    assert (aware.mode, blind.mode) == ("aware", "blind")
    assert dataclasses.replace(blind, mode="aware") == aware


@pytest.mark.parametrize("mode", ["aware", "blind"])
def test_the_paper_setting_has_the_values_of_the_paper(mode):
    paper = chosen(mode, "paper")
    assert paper.mode == mode
    assert paper.method == "prior"
    assert paper.generator == config.Generator(
        depth=512,
        widths=(16, 32, 64, 128, 256),
        skips=(16, 32, 64, 128),
        alpha=1.67,
        output="sigmoid",
    )
    run = paper.inversion
    assert (run.optimizer, run.learning_rate, run.input_std, run.noise_std) == (
        "adam",
        1e-3,
        0.1,
        0.1,
    )
    assert (run.stop_psnr, run.max_steps) == (39.0, 10_000)
    assert (run.decorrelation, run.rollback) == (0, 0), "neither is the paper's"
    assert set(paper.assembly.sides) == {32, 64, 128, 256, 512}
    assert set(paper.assembly.averages) == {1, 5, 10, 25, 50, 75, 100}
    assert set(paper.assembly.thresholds) == {35.0, 36.0, 37.0, 38.0}
    assert paper.sigma == 3.0
    assert paper.target_psnr == 0, "the end is stop_psnr's"


@pytest.mark.parametrize(("name", "setting"), every(STUDIES))
def test_every_setting_of_a_study_can_be_used(name, setting):
    found = chosen(f"studies/{name}", setting, kind=config.Study)
    own = [method for method in found.methods if methods.base(method) in methods.OURS]
    expected = {"aware": "prior-aware", "blind": "prior-blind"}
    if name in expected:
        assert own == [expected[name]]
    assert bool(own) == (name != "panel")
    assert methods.named(found) == ["original", *found.methods], "all of them are known"
    size = {"dresden": presets.DRESDEN, "vision": presets.VISION}
    if setting in size:
        assert found.data == size[setting]
    assert found.fingerprints == ("file" if setting == "default" else "halves")


@pytest.mark.parametrize("mode", ["aware", "blind"])
@pytest.mark.parametrize("setting", ["dresden", "vision"])
def test_studies_of_the_papers_size_use_the_papers_settings(mode, setting):
    study = chosen(f"studies/{mode}", setting, kind=config.Study)
    (name,) = (name for name in study.methods if name in methods.PRIOR)
    run = methods.variant(name, study)
    assert dataclasses.replace(run, data=config.Data()) == chosen(mode, "paper")


def test_an_unknown_setting_is_refused_with_the_nearest_or_all():
    with pytest.raises(InputError, match=r'^there is no setting "papr"; did you mean "paper"$'):
        chosen("aware", "papr")
    with pytest.raises(InputError, match=r'"xyz"; choose one of default, paper, quick$'):
        chosen("aware", "xyz")


def test_a_file_of_settings_is_found_by_its_name_and_by_its_path(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("aware", "aware.py", str(CONFIGS / "aware.py")):
        assert overrides.locate(name) == CONFIGS / "aware.py"
    assert overrides.locate("studies/panel") == CONFIGS / "studies" / "panel.py"
    (tmp_path / "aware").write_text("mine")
    assert overrides.locate("aware") == Path("aware"), "one's own file comes first"


@pytest.mark.parametrize(
    ("name", "guess"),
    [
        ("configs/awre.py", 'did you mean "aware"'),
        ("studies/pannel", 'did you mean "studies/panel"'),
        ("zzz", "give a path, or one of aware, blind, sparse, studies/aware"),
    ],
)
def test_a_file_of_settings_that_is_not_there_is_refused_with_the_nearest(name, guess):
    with pytest.raises(InputError) as caught:
        overrides.locate(name)
    assert str(caught.value).startswith(f"there is no file of settings {name}; {guess}")
    assert "\n" not in str(caught.value)
