"""Configuration: layers, later ones win; every key round-trips; what is wrong is named with the nearest."""

from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from labelbeam.errors import InputError
from labelbeam.heads.registry import HEADS
from labelbeam.runs.config import (
    RECIPES,
    RunConfig,
    configure,
    from_plain,
    read_yaml,
    to_plain,
    write_yaml,
)


@pytest.fixture
def yaml_file(tmp_path: Path) -> Path:
    file = tmp_path / "a.yaml"
    file.write_text("head: sigmoid\nseed: 7\nrecipe: {epochs: 11, batch_size: 22}\n", encoding="utf-8")
    return file


def test_later_layers_win_and_earlier_ones_stay_where_nothing_was_set(yaml_file):
    config = configure(
        recipe="paper",
        file=yaml_file,
        settings=["recipe.batch_size=33", "recipe.patience=4"],
        options={"recipe": {"patience": 5}},
    )
    assert (config.recipe.optimiser, config.recipe.epochs) == ("rmsprop", 11)
    assert (config.recipe.batch_size, config.recipe.patience) == (33, 5)
    assert config.seed == 7


def test_the_command_lines_head_wins_over_the_files_and_brings_its_own_settings(yaml_file):
    assert configure(file=yaml_file).head == "sigmoid"
    assert configure(head="no-rnn", file=yaml_file).label_model.cell == "none"
    by_setting = configure(file=yaml_file, settings=["head=no-rnn"])
    assert (by_setting.head, by_setting.label_model.cell) == ("no-rnn", "none")


def test_a_weights_file_names_the_encoder_unless_the_user_does(tmp_path):
    weights = {"encoder": {"weights": "w.safetensors"}}
    assert configure(options=weights).encoder.name == ""
    assert configure(settings=["encoder.weights=w.pth"]).encoder.name == ""
    assert configure(settings=["encoder.name=vgg16"], options=weights).encoder.name == "vgg16"
    assert configure().encoder.name == ""  # training takes what is installed


@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("recipe", RECIPES)
def test_every_head_with_every_recipe_survives_being_written_and_read(head, recipe, tmp_path):
    config = configure(
        head=head,
        recipe=recipe,
        options={
            "data": "csv:写真/タグ.csv",
            "encoder": {"weights": Path("a b/w.pth"), "mean": [1, 2.5, 3]},
            "read": {"root": Path("写真")},
        },
    )
    file = tmp_path / "config.yaml"
    file.write_text(write_yaml(config, opening=["command: labelbeam", "colon: and #"]), encoding="utf-8")
    assert file.read_text(encoding="utf-8").startswith("# command: labelbeam\n# colon")
    assert from_plain(RunConfig, read_yaml(file), source="file") == config
    assert configure(file=file) == config


def test_numbers_may_be_written_as_people_write_them():
    config = configure(settings=["recipe.learning_rate=1e-4", "recipe.clip_norm=1", "validation=null"])
    assert (config.recipe.learning_rate, config.recipe.clip_norm) == (1e-4, 1.0)
    assert config.validation is None


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (["recipe.epoch=3"], ["--set recipe.epoch=3", "'recipe.epoch'", "nearest: 'recipe.epochs'"]),
        (["lable_model.cell=lstm"], ["'lable_model'", "nearest: 'label_model'"]),
        (["xyz=1"], ["unknown key 'xyz'", "allowed: data, validation"]),
        (["recipe=3"], ["recipe must be Recipe", "3"]),
        (["recipe.epochs=1.5"], ["recipe.epochs must be int", "1.5"]),
        (["flips=1"], ["flips must be bool"]),
        (["seed=true"], ["seed must be int"]),
        (["encoder.mean=[1, 2]"], ["encoder.mean must be"]),
        (["encoder.mean=[1, 2, x]"], ["encoder.mean must be float", "'x'"]),
        (["recipe.epochs=[1"], ["not YAML"]),
        (["data"], ["no '='", "--set recipe.epochs=30"]),
        (["head=sigmod"], ["unknown head 'sigmod'", "'sigmoid'"]),
        (["seed=-1"], ["seed", "-1", "negative"]),
        (["validation_fraction=1.0"], ["1.0", "below 1"]),
        (["recipe.learning_rate=-1"], ["learning_rate is -1.0", "negative"]),
    ],
)
def test_a_wrong_setting_is_explained(settings, words):
    with pytest.raises(InputError) as error:
        configure(settings=settings)
    assert [word for word in words if word not in str(error.value)] == [], error.value


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a: b: c", ["not YAML"]),
        ("- a", ["must hold keys and values"]),
        ("recipe: {epoch: 3, epochs: x}", ["'recipe.epoch'", "recipe.epochs must be int"]),
        ("!!python/object/apply:os.system ['touch executed']", ["not YAML"]),
    ],
)
def test_a_wrong_file_is_explained_all_problems_at_once_and_runs_nothing(text, words, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    file = tmp_path / "a.yaml"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(InputError) as error:
        configure(file=file)
    assert [word for word in ["a.yaml", *words] if word not in str(error.value)] == [], error.value
    assert not (tmp_path / "executed").exists()


def test_an_empty_file_changes_nothing(tmp_path):
    file = tmp_path / "a.yaml"
    file.write_text("# nothing\n", encoding="utf-8")
    assert configure(file=file) == configure()


@dataclass(frozen=True)
class Inner:
    size: int
    names: tuple[str, ...] = ()


@dataclass(frozen=True)
class Outer:
    inner: Inner
    ratio: float = 0.5
    path: Path | None = None


def test_nested_values_go_to_plain_ones_and_back():
    value = Outer(Inner(3, ("a", "b")), 1.0, Path("x"))
    plain = to_plain(value)
    assert plain == {"inner": {"size": 3, "names": ["a", "b"]}, "ratio": 1.0, "path": "x"}
    assert from_plain(Outer, plain, source="test") == value


def test_a_nested_difference_keeps_its_siblings():
    base = Outer(Inner(3, ("a",)), 1.0)
    changed = from_plain(Outer, {"inner": {"size": 4}}, base=base, source="test")
    assert changed == replace(base, inner=Inner(4, ("a",)))


def test_what_is_missing_is_named_with_its_place():
    with pytest.raises(InputError, match=r"test: inner\.size is missing"):
        from_plain(Outer, {"inner": {}}, source="test")
