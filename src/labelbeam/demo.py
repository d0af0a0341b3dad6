"""The demo: on pictures whose label distribution is known, what a model of sets adds to one of labels.

One tiny encoder is trained with a sigmoid head and frozen; four heads are trained on its features; all are
measured beside what perfect perception could reach.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from labelbeam.data.dataset import Dataset
from labelbeam.features.extract import readable_features
from labelbeam.heads.registry import HEADS as HEADS_TABLE
from labelbeam.labels.vocabulary import PRESENT
from labelbeam.metrics.comparison import Protocol, compare
from labelbeam.metrics.evaluation import evaluate
from labelbeam.predict.answers import Answers
from labelbeam.predict.prediction import Prediction, predictions_of
from labelbeam.predict.thresholds import tune_thresholds
from labelbeam.runs.config import RunConfig, configure
from labelbeam.runs.run_directory import versions
from labelbeam.runs.tagger import Tagger
from labelbeam.scenes.bayes import (
    TrueDistribution,
    bayes_values,
    best_thresholds,
    population,
    true_distribution,
)
from labelbeam.scenes.best_sum import best_sum
from labelbeam.scenes.files import read_scenes, scene_cues
from labelbeam.scenes.world import VOCABULARY, is_possible
from labelbeam.tagging.outputs import TaggedPicture
from labelbeam.training.train import Trained, train_run

HEADS = {
    "CNN-RNN": "cnn-rnn",
    "No RNN": "no-rnn",
    "sigmoid, two layers": "sigmoid-mlp",
    "sigmoid, linear": "sigmoid",
}
PLAIN = {"calibrate": False, "suggester": False}
"""The demo compares models as they are; thresholds of sigmoid heads are tuned on their own scores below."""

TEST_SEED = 1
"""Of the test pictures. The recipes below were tried out on test pictures of seed 0, so these are others."""

BAYES_JOINT, BAYES_MARGINAL = "Bayes: knows the sets", "Bayes: knows each label"


@dataclass(frozen=True)
class DemoRow:
    """One line of the demo's table.

    Attributes:
        log_likelihood: expected log p(true set | picture), nats per picture.
        subset_accuracy: expected share of pictures whose whole decided set is right.
        impossible: share of decided sets that no picture of this world can carry.
        nothing: share of pictures that show nothing and get a label, or show something and get none.
        mAP: area AP over labels.
        OF1: of the labels whose score reaches one threshold for all labels, tuned on val.
        MAP10: MAP@10.
    """

    log_likelihood: float
    subset_accuracy: float
    impossible: float
    nothing: float
    mAP: float  # noqa: N815  the field's name
    OF1: float
    MAP10: float


@dataclass(frozen=True)
class Demo:
    """What the demo found.

    Attributes:
        rows: by name, best possible first.
        decided_by: by name, how the sets were decided.
        pictures: some test pictures with their predictions.
        versions: what it ran on.
        sum_short: nats by which any model that sums the labels so far stays below the best possible, in this world.
    """

    rows: Mapping[str, DemoRow]
    decided_by: Mapping[str, str]
    pictures: list[TaggedPicture]
    versions: Mapping[str, str]
    sum_short: float

    def gap_closed(self, name: str, measure: str) -> float:
        """Return how much of the way from knowing each label to knowing the sets a row has come; 1 is all."""
        low, high, value = (getattr(self.rows[row], measure) for row in (BAYES_MARGINAL, BAYES_JOINT, name))
        return (value - low) / (high - low)


def run_demo(folder: Path, *, report: Callable[[str], None], shown: int = 24) -> Demo:
    """Train and measure everything; the runs stay in `folder`.

    Args:
        folder: where the runs go.
        report: gets a line for each step.
        shown: how many test pictures are shown.

    Raises:
        InputError: the cache or the folder cannot be written.
    """
    report("drawing the pictures")
    test, val = read_scenes("test", seed=TEST_SEED), read_scenes("val")
    read_scenes("train")
    report("training the tiny encoder with a sigmoid head, then freezing it")
    _train(folder / "encoder", encoder_config(), report)
    truth = true_distribution(scene_cues("test", seed=TEST_SEED))
    thresholds = best_thresholds(population())
    bayes = bayes_values(truth, thresholds=thresholds)
    val_marginals = true_distribution(scene_cues("val")).marginals
    perfect: dict[str, Any] = {
        "scores": _untied(truth.marginals),
        "cut": best_cut(_untied(val_marginals), val.targets),
    }
    rows = {
        BAYES_JOINT: _row(
            test, truth, decided=truth.map_sets, log_likelihood=bayes.joint_log_likelihood, **perfect
        ),
        BAYES_MARGINAL: _row(
            test,
            truth,
            decided=truth.marginals >= thresholds,
            log_likelihood=bayes.marginal_log_likelihood,
            **perfect,
        ),
    }
    decided_by = {BAYES_JOINT: "most probable set", BAYES_MARGINAL: "best threshold per label"}
    decided, answered = {}, {}
    for name, head in HEADS.items():
        report(f"training {name} on its features")
        trained = _train(folder / head, head_config(head, folder / "encoder"), report)
        tagger = Tagger(trained.run)
        answers = _answers(tagger, test)
        val_scores = _scores(tagger, _answers(tagger, val))
        if HEADS_TABLE[head].distribution == "independent":
            decided_by[name] = "threshold per label, tuned on val"
            decided[name] = _scores(tagger, answers) >= tune_thresholds(val_scores, val.targets)
        else:
            decided_by[name] = "most probable set"
            decided[name] = _in_world_order(tagger, answers.path_sets())
        rows[name] = _row(
            test,
            truth,
            scores=_scores(tagger, answers),
            cut=best_cut(val_scores, val.targets),
            decided=decided[name],
            log_likelihood=_expected_log_likelihood(tagger, test, truth),
        )
        answered[name] = (tagger, answers)
    pictures = _pictures(test, *answered["CNN-RNN"], decided["sigmoid, two layers"], shown)
    report("computing the best that a sum over the labels so far can do")
    sum_short = bayes_values(thresholds=thresholds).joint_log_likelihood - best_sum().bound
    return Demo(rows, decided_by, pictures, versions(), sum_short)


def encoder_config() -> RunConfig:
    """Return how the demo's encoder is trained: end to end with a linear sigmoid head."""
    return configure(
        head="sigmoid",
        options={
            "data": "scenes#train",
            "validation": "scenes#val",
            **PLAIN,
            "train_encoder": True,
            "sigmoid": {"feature_dropout": 0.0},
            "encoder": {"name": "tiny", "size": 64},
            "recipe": {
                "epochs": 5, "batch_size": 64, "learning_rate": 5e-3, "encoder_rate": 1.0, "patience": 0,
                "weight_decay": 0.01, "warmup": 0.2,
            },
        },
    )  # fmt: skip


def head_config(head: str, encoder_run: Path) -> RunConfig:
    """Return how a head is trained on the frozen encoder's features.

    One recipe for all, chosen by some thirty tries on pictures of seed 0; sigmoid heads, whose steps cost a tenth,
    get more epochs and stop early.
    """
    label_model = HEADS_TABLE[head].searches
    return configure(
        head=head,
        options={
            "data": "scenes#train",
            "validation": "scenes#val",
            **PLAIN,
            "flips": False,
            "encoder": {"name": "", "weights": str(encoder_run / "encoder.safetensors")},
            "label_model": {
                "activation": "identity", "image_hidden_size": 0, "feature_dropout": 0.3,
                "projection_dropout": 0.0,
            },
            "sigmoid": {"feature_dropout": 0.3, "hidden_size": 512 if head == "sigmoid-mlp" else 0},
            "recipe": {
                "epochs": 16 if label_model else 60, "batch_size": 256, "learning_rate": 4e-3,
                "weight_decay": 0.3, "patience": 0 if label_model else 10,
            },
        },
    )  # fmt: skip


def _train(folder: Path, config: RunConfig, report: Callable[[str], None]) -> Trained:
    return train_run(config, folder, command="labelbeam demo", report=report)


def _answers(tagger: Tagger, dataset: Dataset) -> Answers:
    _, features, _ = readable_features(dataset, tagger.run.encoder, flips=False)
    return tagger.answer(features[:, 0])


def _in_world_order(tagger: Tagger, columns: np.ndarray) -> np.ndarray:
    """Sort columns from the run's label order to the world's."""
    return columns[:, [tagger.run.vocabulary.id_of(name) for name in VOCABULARY]]


def _scores(tagger: Tagger, answers: Answers) -> np.ndarray:
    return _in_world_order(tagger, answers.scores)


def _expected_log_likelihood(tagger: Tagger, test: Dataset, truth: TrueDistribution) -> float:
    """Average the model's log-likelihood over every set a picture may carry, not the drawn one alone."""
    _, features, _ = readable_features(test, tagger.run.encoder, flips=False)
    order = [VOCABULARY.id_of(name) for name in tagger.run.vocabulary]
    sets = truth.sets[:, order].astype(np.int8)
    return truth.expected_log_likelihood(tagger.answerer.set_log_prob(features[truth.image, 0], sets))


def _untied(marginals: np.ndarray) -> np.ndarray:
    """Return true marginals with equal ones ordered at random, as no trained model's scores are equal.

    AP takes equal scores as one threshold, which alone would cost the perfect reader half a point of mAP.
    """
    return marginals + 1e-6 * np.random.default_rng(0).random(marginals.shape)


def best_cut(scores: np.ndarray, targets: np.ndarray) -> float:
    """Return the one threshold for all labels, of 0.05, 0.10, …, 0.95, with the best O-F1."""
    present = targets == PRESENT
    cuts = np.arange(1, 20) / 20
    hits = [(scores >= cut) for cut in cuts]
    of1 = [2 * (decided & present).sum() / (decided.sum() + present.sum()) for decided in hits]
    return float(cuts[int(np.argmax(of1))])


def _row(
    test: Dataset,
    truth: TrueDistribution,
    *,
    scores: np.ndarray,
    cut: float,
    decided: np.ndarray,
    log_likelihood: float,
) -> DemoRow:
    protocol = Protocol("threshold", threshold=cut)
    values: dict[str, Any] = evaluate(
        compare(test.targets, test.vocabulary.names, protocol=protocol, scores=scores.astype(np.float64))
    ).values
    return DemoRow(
        log_likelihood=log_likelihood,
        subset_accuracy=truth.expected_subset_accuracy(decided),
        impossible=float((~is_possible(decided)).mean()),
        nothing=float((decided.any(axis=1) != truth.map_sets.any(axis=1)).mean()),
        mAP=values["mAP_area"],
        OF1=values["OF1"],
        MAP10=values["MAP@10"],
    )


def _pictures(
    test: Dataset, tagger: Tagger, answers: Answers, rival: np.ndarray, shown: int
) -> list[TaggedPicture]:
    """Return the first pictures of the test split, whatever they look like."""
    predictions: list[Prediction] = []
    for one in predictions_of(
        test.images, answers, decision=tagger.run.config.decision, vocabulary=tagger.run.vocabulary
    ):
        predictions.append(one)
        if len(predictions) == shown:
            break
    possible = is_possible(rival[:shown])
    return [
        TaggedPicture(
            test.path(i),
            prediction,
            test.example(i).present,
            (("sigmoid", tuple(np.array(VOCABULARY.names)[rival[i]].tolist()), bool(possible[i])),),
        )
        for i, prediction in enumerate(predictions)
    ]
