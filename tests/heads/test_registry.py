"""What each head can do stands in one row, and holds: every head against every decision and every search option."""

import ast
import json
import re
import shutil
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from labelbeam.decoding.search import METHODS, SCORES
from labelbeam.errors import InputError
from labelbeam.heads.registry import HEADS, heads_that, require
from labelbeam.predict.answers import Answers
from labelbeam.predict.decision import RULES, Decision
from labelbeam.runs.config import RunConfig, configure, refuse_unused
from labelbeam.runs.tagger import Tagger, asked_tagger

SOURCE = Path(__file__).resolve().parents[2] / "src" / "labelbeam"

SEARCHES = [
    *(("--search", method) for method in METHODS),
    ("--beam", 3),
    *(("--set", f"search.score={score}") for score in SCORES),
    *(
        ("--set", f"search.{setting}")
        for setting in (
            *("beam_width=3", "stop=worst", "end=competes", "length_penalty=0.5", "min_labels=1"),
            *("max_labels=2", "expansions=50", "samples=20", "stderr=0.1", "trie_bytes=10000000", "seed=1"),
            "estimate_nothing=true",
        )
    ),
]
"""Every option of a search; the last lines are all fields that have no option of their own."""

OF_A_TREE = ("search.samples=20", "search.seed=1")


@pytest.fixture(scope="module")
def runs(train: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """A trained run of each head, made when it is first asked for."""
    folder, made = tmp_path_factory.mktemp("heads"), {}

    def run(head: str) -> Path:
        if head not in made:
            small = ("--set", "suggester=false")
            if HEADS[head].searches:
                small += ("--set", "label_model.per_label=1")  # without, it has no score per label
            made[head] = train(folder / head, "--head", head, *small)
        return made[head]

    return run


def ask(run: Path, asked: dict[str, object]) -> Answers:
    """Answer for two made-up images as a command with these options would."""
    tagger = asked_tagger([run], asked)
    features = np.random.default_rng(0).normal(size=(2, tagger.run.encoder.num_features))
    answers = tagger.answer(features.astype(np.float32))
    tagger.run.config.decision.decide(answers, tagger.calibration.thresholds if tagger.calibration else None)
    return answers


def test_every_field_of_a_search_is_tried_below() -> None:
    tried = {re.sub(r"^search\.|=.*$", "", value) for name, value in SEARCHES if name == "--set"}
    # `nothing` is for runs whose training images all show something: tests/heads/test_nothing.py.
    assert tried | {"method", "nothing"} == set(RunConfig().search.__dataclass_fields__)


@pytest.mark.parametrize("head", HEADS)
def test_a_head_takes_every_search_option_or_says_why_not(head, runs) -> None:
    for name, value in SEARCHES:
        asked = {"settings": [value]} if name == "--set" else {name.removeprefix("--"): value}
        if HEADS[head].searches or (HEADS[head].distribution == "tree" and value in OF_A_TREE):
            assert len(ask(runs(head), asked).paths) == 2
            continue
        with pytest.raises(InputError) as refused:
            ask(runs(head), asked)
        assert str(refused.value) == (
            f"{name} {value}: the head {head!r} says no labels one after the other, so there is nothing to search. "
            "Leave it out, or train with --head cnn-rnn or no-rnn."
        )


@pytest.mark.parametrize("option", [("--beam", 5), ("--search", "greedy")])
def test_the_command_line_says_it_with_status_2(option, runs, command, drawn) -> None:
    done = command("tag", runs("knn"), drawn, *option)
    assert done.exit_code == 2
    assert f"{option[0]} {option[1]}: the head 'knn' says no labels" in " ".join(done.output.split())


@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize(
    "rule", [rule for rule in RULES if rule != "promise"]
)  # tests/tagging/test_promised.py
def test_a_head_takes_every_decision_or_says_why_not(head, rule, runs, tmp_path) -> None:
    bare = Path(shutil.copytree(runs(head), tmp_path / "not calibrated"))
    (bare / "calibration.json").unlink()
    about = json.loads((bare / "labels.json").read_text(encoding="utf-8"))
    del about["files"]["calibration.json"]
    (bare / "labels.json").write_text(json.dumps(about), encoding="utf-8")
    for run in (runs(head), bare):
        ranks = not HEADS[head].probabilities and not ask(run, {}).calibrated
        if rule == "expected-f1" and ranks:
            with pytest.raises(InputError, match="only rank labels"):
                ask(run, {"decide": rule})
        else:
            ask(run, {"decide": rule})
    for option in ({"tuned_for": "of1"}, {"abstain": 0.1}):
        ask(runs(head), option)
        with pytest.raises(InputError, match=r"Train with validation data"):
            ask(bare, option)


@pytest.mark.parametrize("head", HEADS)
def test_a_head_s_answers_are_what_its_row_says(head, runs) -> None:
    tagger = Tagger.load(runs(head))
    features = np.random.default_rng(0).normal(size=(3, tagger.run.encoder.num_features))
    answers = tagger.answerer.answer(features.astype(np.float32))
    assert np.isnan(answers.log_probs).all() == (not HEADS[head].probabilities)
    assert (answers.sample_sets is not None) == (HEADS[head].distribution in ("sequence", "tree"))
    if HEADS[head].label_points:
        assert len(tagger.run.head.label_points) == len(tagger.labels)
    else:
        with pytest.raises(InputError, match="no point per label"):
            _ = tagger.run.head.label_points
    assert Decision().decide(answers).shape == (3, len(tagger.labels))


@pytest.mark.parametrize("head", HEADS)
def test_a_head_s_module_is_of_the_class_its_row_names_and_names_the_row_s_kind(head) -> None:
    row = HEADS[head]
    parts = [getattr(configure(head=head), part) for part in row.options]
    module = row.module_class()(3, 4, *parts)
    assert isinstance(module, torch.nn.Module)
    assert HEADS[module.head_name].trained == row.trained
    assert HEADS[module.head_name].module == row.module
    assert "Trained" in getattr(row.trained, "func", row.trained).__name__


@pytest.mark.parametrize(
    ("head", "given", "words"),
    [
        (
            "softmax",
            {"settings": ["label_model.cell=paper"]},
            "the head 'softmax' has no label_model; it reads",
        ),
        ("cnn-rnn", {"settings": ["neighbours.neighbours=3"]}, "train with --head knn"),
        ("sigmoid", {"settings": ["asymmetric.margin=0.1"]}, "train with --head asymmetric"),
        (
            "sigmoid",
            {"options": {"order": "rare"}},
            "--order: the head 'sigmoid' says no labels one after the other",
        ),
        (
            "warp",
            {"settings": ["search.beam_width=2"]},
            "--set search.beam_width=2: the head 'warp' says no labels",
        ),
        ("knn", {"options": {"recipe": {"epochs": 3}}}, "--epochs: the head 'knn' learns nothing"),
        ("knn", {"settings": ["recipe.epochs=3"]}, "--set recipe.epochs=3: the head 'knn' learns nothing"),
    ],
)
def test_an_option_of_training_that_a_head_cannot_use_is_refused_with_the_reason(head, given, words) -> None:
    with pytest.raises(InputError) as refused:
        refuse_unused(head, **given)
    assert words in str(refused.value)


def test_the_command_refuses_such_an_option_before_it_reads_anything(command, tmp_path) -> None:
    done = command(
        *("train", "--data", "csv:nowhere.csv", "--out", tmp_path / "run", "--head", "knn"),
        *("--set", "label_model.cell=paper"),
    )
    assert done.exit_code == 2
    assert "the head 'knn' has no label_model" in " ".join(done.output.split())


def test_knn_cannot_train_an_encoder() -> None:
    with pytest.raises(InputError, match=r"--finetune: the head 'knn' learns nothing"):
        configure(head="knn", options={"train_encoder": True})


def test_every_capability_has_a_reason_and_a_head_that_has_it() -> None:
    for capability in (
        "searches",
        "ordered",
        "probabilities",
        "extends",
        "explains",
        "label_points",
        "learns",
    ):
        able = heads_that(capability)
        assert able
        for head in set(HEADS) - set(able):
            with pytest.raises(InputError, match=rf"something: the head '{head}' "):
                require(head, capability, "something")


def test_the_help_of_train_names_every_head(command) -> None:
    text = " ".join(command("train", "--help", env={"COLUMNS": "300"}).output.split())
    assert [head for head in HEADS if head not in text] == []


def test_the_page_on_training_has_a_row_for_each_head_that_says_what_it_can_do() -> None:
    page = (SOURCE.parents[1] / "docs" / "training.md").read_text(encoding="utf-8")
    for name, row in HEADS.items():
        can = (row.searches, row.probabilities, row.explains, row.extends)
        cells = [f"`{name}`", row.about, *("yes" if one else "" for one in can)]
        assert f"| {' | '.join(cells)} |" in page


# --- one place


def classes_of(package: str) -> dict[str, list[str]]:
    found = defaultdict(list)
    for file in sorted((SOURCE / package).rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ClassDef):
                found[node.name].append(file.name)
    return found


def test_a_head_trained_and_a_head_that_answers_do_not_share_a_name() -> None:
    assert {name: files for name, files in classes_of("heads").items() if len(files) > 1} == {}


def test_nobody_asks_for_the_class_of_a_head() -> None:
    heads = {
        name for name in classes_of("heads") if re.match("Trained|CNNRNN", name) or name.endswith("Head")
    }
    found = [
        f"{file.relative_to(SOURCE)}: {line.strip()}"
        for file in sorted(SOURCE.rglob("*.py"))
        for line in file.read_text(encoding="utf-8").splitlines()
        if re.search(rf"(isinstance|type)\(.*\b({'|'.join(sorted(heads))}|NearestNeighbours)\b", line)
    ]
    assert found == []
