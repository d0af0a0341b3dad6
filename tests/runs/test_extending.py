"""More labels for a trained run: the best row of the exact likelihood, old answers kept, and what is refused."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from labelbeam.data.dataset import Dataset
from labelbeam.errors import InputError
from labelbeam.features.extract import readable_features
from labelbeam.formats.registry import open_dataset
from labelbeam.heads.label_model import TrainedLabelModel
from labelbeam.labels.vocabulary import Vocabulary
from labelbeam.predict.label_model import LabelModelAnswerer
from labelbeam.runs.extending import extend_run
from labelbeam.runs.run_directory import load_run, save_run
from labelbeam.runs.tagger import Tagger


@pytest.fixture(scope="module")
def with_new(drawn: Path) -> Dataset:
    """The drawn pictures with a further label, on every third of which nobody has looked for it."""
    data = open_dataset(f"csv:{drawn / 'tags.csv'}")
    new = data.targets[:, [0]].copy()  # as if somebody had another word for the first label
    new[::3] = -1
    names = (*data.vocabulary.names, "noch etwas")
    return replace(data, vocabulary=Vocabulary(names), targets=np.hstack((data.targets, new)))


def test_the_new_row_is_the_best_of_the_exact_likelihood(finished: Path, with_new: Dataset) -> None:
    """Moving any number of the row either way lowers log p(sets) minus the penalty."""
    extended = extend_run(load_run(finished), with_new)
    run, (added,) = extended.run, extended.added
    head = run.head
    assert isinstance(head, TrainedLabelModel)
    known = with_new.subset(np.flatnonzero(with_new.targets[:, -1] != -1))
    kept, features, _ = readable_features(known, run.encoder, flips=False)
    targets = kept.with_vocabulary(run.vocabulary.names).targets
    assert (targets != -1).all()

    size, more = load_run(finished).config.label_model.embedding_size, 1 if head.additive else 2
    signs = np.array([1.0, -1.0][:more], dtype=np.float32)

    def objective(weights: np.ndarray) -> float:
        arrays = {name: array.copy() for name, array in head.arrays.items()}
        arrays["U_l"][-2, :size] = weights[:size]
        arrays["U_I.weight"][size:] = signs[:, None] * weights[size:]
        moved = TrainedLabelModel(
            arrays, head.options, scaling=run.config.scaling, num_labels=len(run.vocabulary)
        )
        nats = LabelModelAnswerer(moved, run.config.search).set_log_prob(features[:, 0], targets)
        return float(nats.sum() - 0.5 * added.penalty * (weights.astype(np.float64) ** 2).sum())

    weights = np.concatenate((head.arrays["U_l"][-2, :size], head.arrays["U_I.weight"][size]))
    best = objective(weights)
    for place in (*range(0, size, 16), *range(size, len(weights), 64)):
        for step in (-0.05, 0.05):
            moved = weights.copy()
            moved[place] += step
            assert objective(moved) < best + 1e-4


@pytest.mark.parametrize("options", [(), ("--set", "label_model.activation=identity"), ("--head", "no-rnn")])
def test_scores_of_the_old_labels_at_every_step_are_as_before(
    options: tuple[str, ...], train, with_new: Dataset, tmp_path: Path
) -> None:
    before = load_run(train(tmp_path / "run", *options))
    after = extend_run(before, with_new).run
    _, features, _ = readable_features(with_new, before.encoder, flips=False)
    path = np.array([0, 2, 3])
    old, new = (
        run.head.joint_points(features[:1, 0], path) @ run.head.U_l.T  # type: ignore[union-attr]
        for run in (before, after)
    )
    assert np.delete(new, -2, axis=1) == pytest.approx(old, abs=1e-5)


@pytest.mark.parametrize("head", ["sigmoid", "any-subset"])
def test_a_head_of_sigmoids_answers_for_its_old_labels_exactly_as_before(
    head: str, train, with_new: Dataset, tmp_path: Path
) -> None:
    before = load_run(train(tmp_path / head, "--head", head))
    after = extend_run(before, with_new).run
    _, features, _ = readable_features(with_new, before.encoder, flips=False)
    old, new = (Tagger(replace(run, calibration=None)).answer(features[:, 0]) for run in (before, after))
    assert new.scores[:, :-1] == pytest.approx(old.scores, abs=1e-6)
    assert after.vocabulary.names[:-1] == before.vocabulary.names


def test_the_extended_run_is_saved_tagged_and_suggested_with(
    finished: Path, drawn: Path, with_new: Dataset, tmp_path: Path
) -> None:
    extended = extend_run(load_run(finished), with_new)
    assert extended.added[0].images == 40
    assert 0 <= extended.added[0].average_precision <= 1
    folder = tmp_path / "more"
    folder.mkdir()
    save_run(extended.run, folder, opening=[])
    tagger = Tagger.load(folder)
    image = next(drawn.glob("*.png"), None) or with_new.paths[0]
    found = tagger.suggest(image, accepted=["noch etwas"], count=3)
    assert "noch etwas" not in [one.label for one in found]
    (said,) = tagger.tag([image], all_scores=True)
    assert said.scores is not None
    assert "noch etwas" in dict(said.scores)


def test_unknown_old_labels_are_filled_in_and_the_label_is_learned_all_the_same(
    finished: Path, with_new: Dataset
) -> None:
    only_new = with_new.with_vocabulary(["noch etwas"])
    extended = extend_run(load_run(finished), only_new)
    assert extended.added[0].present == int((with_new.targets[:, -1] == 1).sum())


def test_what_cannot_be_extended_is_reported(
    finished: Path, train, with_new: Dataset, tmp_path: Path
) -> None:
    run = load_run(finished)
    with pytest.raises(InputError, match="nothing to add"):
        extend_run(run, with_new.with_vocabulary(run.vocabulary.names))
    with pytest.raises(InputError, match="has the label"):
        extend_run(run, with_new, [run.vocabulary.names[0]])
    with pytest.raises(InputError, match="noch etwas"):
        extend_run(run, with_new, ["noch"])
    with pytest.raises(InputError, match="'noch etwas': a new label needs at least 5"):
        extend_run(run, with_new.subset(np.flatnonzero(with_new.targets[:, -1] == 0)), ["noch etwas"])
    with pytest.raises(InputError, match="softmax"):
        extend_run(load_run(train(tmp_path / "softmax", "--head", "softmax")), with_new)
