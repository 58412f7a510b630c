"""Settings: there and back, and what is said of those that cannot be used."""

import dataclasses
import importlib.util
from pathlib import Path

import pytest

from dippas_jax import config
from dippas_jax.experiments import overrides, presets
from dippas_jax.types import InputError

EVERY = sorted((Path(__file__).parents[1] / "configs").glob("*.py"))
FILES = [path for path in EVERY if not path.stem.startswith("study")]
STUDIES = [path for path in EVERY if path not in FILES]

ODD = config.Config(
    mode="blind",
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
    ("Config", "mode", "aweer", "mode"),
    ("Config", "seed", -1, "seed"),
    ("Config", "seed", 2**32, "seed"),
    ("Config", "sigma", 0.0, "sigma"),
    ("Config", "checkpoint_seconds", -1.0, "checkpoint_seconds"),
    ("Config", "checkpoint_seconds", float("nan"), "checkpoint_seconds"),
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


@pytest.mark.parametrize("path", FILES, ids=[path.name for path in FILES])
def test_every_file_of_settings_can_be_used(path):
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    found = overrides.from_config_dict(module.get_config())
    assert found.mode in ("aware", "blind")


@pytest.mark.parametrize("mode", ["aware", "blind"])
def test_the_paper_setting_has_the_values_of_the_paper(mode):
    paper = presets.run(mode, "paper")
    assert paper.mode == mode
    assert paper.generator == config.Generator(
        depth=512, widths=(16, 32, 64, 128, 256), skips=(16, 32, 64, 128), alpha=1.67
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


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
@pytest.mark.parametrize("setting", ["default", "prior", "paper", "quick"])
def test_every_settings_file_gives_the_preset_it_names(path, setting):
    spec = importlib.util.spec_from_file_location("settings", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert overrides.from_config_dict(module.get_config(setting)) == presets.run(path.stem, setting)


@pytest.mark.parametrize("path", STUDIES, ids=lambda path: path.stem)
@pytest.mark.parametrize("setting", ["default", "dresden", "vision"])
def test_every_study_gives_the_preset_it_names(path, setting):
    spec = importlib.util.spec_from_file_location("settings", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    expected = presets.study(path.stem.removeprefix("study_"), setting)
    assert overrides.from_config_dict(module.get_config(setting), config.Study) == expected


def test_an_unknown_setting_is_refused():
    with pytest.raises(InputError, match=r'"fast".*"prior", "paper", "quick"'):
        presets.run("aware", "fast")
