"""The second opinion of a label model's run: trained, measured, stored, and asked where it is better."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from accelerate import Accelerator

from labelbeam.errors import InputError
from labelbeam.heads.arrays_torch import trained
from labelbeam.predict.label_model import LabelModelAnswerer
from labelbeam.runs.build import build_answerer, build_head
from labelbeam.runs.config import RunConfig, configure
from labelbeam.runs.run_directory import Run, Suggester, load_run, save_run, suggester_config
from labelbeam.runs.tagger import Tagger
from labelbeam.suggest import ANY_SUBSET, LIKELIHOOD_WEIGHTING
from labelbeam.training.batches import FeatureBatches
from labelbeam.training.suggester import LEAST_IMAGES, train_suggester

FEATURES, LABELS = 4, 5


def config_of(**recipe: float) -> RunConfig:
    settings = ["label_model.hidden_size=16", "recipe.batch_size=64", "recipe.weight_decay=0.01"]
    settings += ["recipe.learning_rate=0.01", "sigmoid.hidden_size=64", "sigmoid.feature_dropout=0.0"]
    return configure(settings=settings + [f"recipe.{name}={value}" for name, value in recipe.items()])


def batches(images: int, seed: int) -> FeatureBatches:
    """Pictures that show nothing, of things that always come in pairs: 0 with 1, 2 with 3; 4 by itself."""
    random = np.random.default_rng(seed)
    drawn = random.random((images, 3)) < 0.5
    targets = drawn[:, [0, 0, 1, 1, 2]].astype(np.int8)
    return FeatureBatches(random.standard_normal((images, 1, FEATURES)).astype(np.float16), targets, 64, seed)


def untrained(config: RunConfig) -> LabelModelAnswerer:
    answerer = build_answerer(trained(build_head(config, num_labels=LABELS, feature_size=FEATURES)), config)
    assert isinstance(answerer, LabelModelAnswerer)
    return answerer


def made(folder: Path, images: int, *, epochs: int = 20) -> tuple[Suggester, list[str]]:
    config, told = config_of(epochs=epochs), []
    suggester = train_suggester(
        config,
        batches(600, 1),
        batches(images, 2),
        untrained(config),
        accelerator=Accelerator(cpu=True),
        folder=folder / "suggester",
        settings="",
        report=told.append,
    )
    return suggester, told


def test_it_learns_what_goes_together_and_beats_a_model_that_learned_nothing(tmp_path: Path) -> None:
    suggester, told = made(tmp_path, 200)
    assert suggester.better == ANY_SUBSET
    assert suggester.log_loss[ANY_SUBSET]["2"] < suggester.log_loss[LIKELIHOOD_WEIGHTING]["2"] - 0.5
    accepted = np.array([[1, -1, -1, -1, -1]], dtype=np.int8)
    probs = suggester.head.conditional(np.zeros((1, FEATURES), dtype=np.float32), accepted)
    assert probs[0, 1] > 0.95
    assert 0.3 < probs[0, 4] < 0.7
    assert "suggestions ask any-subset" in told[-1]


def test_too_few_images_to_compare_on_leave_the_label_model(tmp_path: Path) -> None:
    suggester, told = made(tmp_path, LEAST_IMAGES - 1, epochs=1)
    assert (suggester.better, dict(suggester.log_loss)) == (LIKELIHOOD_WEIGHTING, {})
    assert "too few to compare" in told[-1]


@pytest.fixture(scope="module")
def with_suggester(finished: Path) -> Run:
    run = load_run(finished)
    assert run.suggester is not None
    return run


@pytest.mark.parametrize("better", [LIKELIHOOD_WEIGHTING, ANY_SUBSET])
def test_suggest_asks_the_better_mechanism_unless_configured_otherwise(
    with_suggester: Run, better: str
) -> None:
    assert with_suggester.suggester is not None
    tagger = Tagger(replace(with_suggester, suggester=replace(with_suggester.suggester, better=better)))
    vector = np.zeros(with_suggester.encoder.num_features, dtype=np.float32)
    assert tagger.suggest(vector).mechanism == better
    for named in (LIKELIHOOD_WEIGHTING, ANY_SUBSET):
        assert tagger.suggest(vector, mechanism=named).mechanism == named


def test_a_mechanism_that_a_run_does_not_have_is_refused(with_suggester: Run) -> None:
    vector = np.zeros(with_suggester.encoder.num_features, dtype=np.float32)
    with pytest.raises(InputError, match=r"cannot suggest by 'any-subset'.*likelihood-weighting"):
        Tagger(replace(with_suggester, suggester=None)).suggest(vector, mechanism=ANY_SUBSET)


def test_a_run_keeps_it_and_a_run_without_one_leaves_none_behind(with_suggester: Run, tmp_path: Path) -> None:
    save_run(with_suggester, tmp_path, opening=())
    again = load_run(tmp_path).suggester
    assert again is not None
    assert with_suggester.suggester is not None
    assert (again.better, again.images) == (with_suggester.suggester.better, with_suggester.suggester.images)
    before = with_suggester.suggester.head.arrays
    assert all(np.array_equal(value, before[name]) for name, value in again.head.arrays.items())
    save_run(replace(with_suggester, suggester=None), tmp_path, opening=())
    assert load_run(tmp_path).suggester is None
    assert not list(tmp_path.glob("suggester*"))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"better": "guessing"}, "suggester.json is damaged"),
        ({"better": None}, "suggester.json is damaged"),
        ([], "suggester.json is damaged"),
    ],
)
def test_a_damaged_one_is_reported(finished: Path, tmp_path: Path, change: object, words: str) -> None:
    run = shutil.copytree(finished, tmp_path / "run")
    told = json.loads((run / "suggester.json").read_text())
    (run / "suggester.json").write_text(
        json.dumps({**told, **change} if isinstance(change, dict) else change)
    )
    with pytest.raises(InputError, match=words):
        load_run(run)


def test_its_weights_missing_is_reported(finished: Path, tmp_path: Path) -> None:
    run = shutil.copytree(finished, tmp_path / "run")
    (run / "suggester.safetensors").unlink()
    with pytest.raises(InputError, match=r"suggester\.safetensors"):
        load_run(run)


def test_its_configuration_is_the_runs_own_with_a_hidden_layer() -> None:
    own = suggester_config(configure())
    assert (own.head, own.sigmoid.hidden_size) == ("any-subset", 512)
    assert own.recipe == configure().recipe
