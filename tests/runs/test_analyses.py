"""The analyses of a run with names: label space, pairs, failures, label errors, the search of one image."""

import json

import numpy as np
import pytest

from labelbeam.errors import InputError
from labelbeam.explain.search_tree import visible_search
from labelbeam.features.extract import readable_features
from labelbeam.formats.registry import open_dataset
from labelbeam.neighbors.label_space import image_neighbors, images_near, label_space
from labelbeam.report.label_errors import FILES, write_label_errors
from labelbeam.report.mistakes import failures, largest_areas
from labelbeam.report.pairs import pair_learning
from labelbeam.runs.evaluation import Evaluation, evaluate_features
from labelbeam.runs.tagger import Tagger


@pytest.fixture(scope="module")
def taggers(finished, train, tmp_path_factory) -> dict[str, Tagger]:
    folder = tmp_path_factory.mktemp("runs")
    others = {name: Tagger.load(train(folder / name, "--head", name)) for name in ("sigmoid", "softmax")}
    return {"cnn-rnn": Tagger.load(finished), **others}


@pytest.fixture
def pictures(taggers, drawn):
    dataset, features, _ = readable_features(
        open_dataset(f"csv:{drawn / 'tags.csv'}#test"), taggers["cnn-rnn"].run.encoder, flips=False
    )
    return dataset, features[:, 0]


@pytest.fixture
def evaluated(taggers, pictures) -> dict[str, Evaluation]:
    return {name: evaluate_features(tagger, *pictures) for name, tagger in taggers.items()}


def strict(values: object) -> str:
    return json.dumps(values, allow_nan=False)


def test_an_image_s_labels_stand_beside_a_classifier_s_and_without_one_the_reason(taggers, pictures) -> None:
    run, vector = taggers["cnn-rnn"].run, pictures[1][0].astype(np.float32)
    found = image_neighbors(run, vector, beside=taggers["softmax"].run)
    assert found.beside_head == "softmax"
    scores = taggers["softmax"].answer(vector[None]).scores[0]
    assert found.beside[0].name == taggers["softmax"].labels[scores.argmax()]
    assert "softmax" in image_neighbors(run, vector).to_json()["reason"]


def test_an_image_is_nearest_to_itself_in_both_spaces(taggers, pictures) -> None:
    dataset, features = pictures
    for space in ("features", "joint"):
        near = images_near(taggers["cnn-rnn"].run, dataset.images, features, image=features[3], space=space)
        assert near[0].value == pytest.approx(1, abs=1e-4)


def test_images_near_a_label_set_are_by_its_mean_direction(taggers, pictures) -> None:
    from labelbeam.neighbors.neighbors import image_points, label_points

    (dataset, features), run = pictures, taggers["cnn-rnn"].run
    points, images = label_points(run)[:2], image_points(run, features)
    mean = sum(point / np.linalg.norm(point) for point in points) / 2
    cosines = images @ mean / np.linalg.norm(images, axis=1) / np.linalg.norm(mean)
    near = images_near(run, dataset.images, features, labels=run.vocabulary.names[:2], count=3)
    assert [one.name for one in near] == [dataset.images[i] for i in np.argsort(-cosines)[:3]]


def test_the_way_of_the_query_point_has_the_path_s_probability(taggers, pictures) -> None:
    tagger, vector = taggers["cnn-rnn"], pictures[1][0].astype(np.float32)
    space = label_space(tagger, vector)
    answer = tagger.answer(vector[None])
    assert space.way.labels == tuple(answer.paths[0])
    assert np.log(space.way.chosen).sum() == pytest.approx(answer.log_probs[0], abs=1e-4)
    strict(space.to_json())


def test_query_points_give_the_logits_of_the_model(taggers, pictures) -> None:
    import torch

    from labelbeam.heads.label_model import per_label_row
    from labelbeam.neighbors.neighbors import query_points
    from labelbeam.runs.build import trainable_head

    run, vector = taggers["cnn-rnn"].run, pictures[1][0].astype(np.float32)
    points = query_points(run, vector, (0, 2))
    with torch.inference_mode():
        said = torch.tensor([[0, 2, len(run.vocabulary)]])
        logits = trainable_head(run.head, run.config).logits(torch.from_numpy(vector[None]), said)[0]
    given, wanted = points @ run.head.U_l.T, logits.numpy()
    given[:, :-1] += per_label_row(
        run.head.per_label_logits(vector[None]), canonical=True
    )  # beside the points
    assert given[:, :-1] == pytest.approx(wanted[:, :-1], abs=1e-4)
    # END after nothing has its own logit where no training image was empty (research/nothing.md).
    assert given[1:, -1] == pytest.approx(wanted[1:, -1], abs=1e-4)


def test_failures_hold_every_label_and_plain_json(taggers, evaluated, pictures) -> None:
    tagger = taggers["cnn-rnn"]
    training = pictures[0].with_vocabulary(tagger.labels).targets
    found = failures(
        evaluated["cnn-rnn"],
        tagger.run.config.decision,
        training_images=tagger.run.counts,
        training_targets=training,
        resamples=20,
    )
    told = found.to_json()
    strict(told)
    assert {row["label"] for row in told["labels"]} == set(tagger.labels)
    assert told["sizes"] is None
    assert any("voc2007" in note for note in told["notes"])
    nats = [one.nats for one in found.worst]
    assert nats == sorted(nats, reverse=True)
    assert largest_areas(pictures[0], tagger.labels) is None


def test_pairs_are_compared_with_a_rival_s(taggers, evaluated, pictures) -> None:
    tagger = taggers["cnn-rnn"]
    training, decision = pictures[0].with_vocabulary(tagger.labels).targets, tagger.run.config.decision
    pair = (tagger.labels[0], tagger.labels[1])
    found = pair_learning(
        evaluated["cnn-rnn"],
        decision,
        training_targets=training,
        rival=evaluated["sigmoid"],
        pairs=[pair],
        resamples=50,
    )
    told = found.to_json()
    strict(told)
    assert set(told["exclusive"]["rates"]) == {"truth", "run", "rival"}
    assert found.together.pairs[0].tolist() == [0, 1]
    with pytest.raises(InputError, match="two labels"):
        pair_learning(evaluated["cnn-rnn"], decision, training_targets=training, pairs=[(pair[0], pair[0])])


def test_near_synonyms_are_exclusive_pairs_that_look_alike(taggers, evaluated, pictures) -> None:
    tagger, dataset = taggers["cnn-rnn"], pictures[0]
    truth = dataset.with_vocabulary(tagger.labels).targets
    first, second = np.argsort(-truth.sum(axis=0), kind="stable")[:2]
    training = np.zeros((80, truth.shape[1]), dtype=np.int8)
    training[:40, first] = training[40:, second] = 1
    points = np.random.default_rng(0).normal(size=(truth.shape[1], 4))
    points[second] = points[first]
    # Features that say these two labels alone, and the same of both.
    seen = np.stack([truth[:, first] + truth[:, second], truth[:, first]], axis=1) @ np.array([[1.0], [0.01]])
    found = pair_learning(
        *(evaluated["cnn-rnn"], tagger.run.config.decision),
        training_targets=training,
        rival=evaluated["sigmoid"],
        features=seen,
        points=points,
        resamples=50,
    ).to_json()
    strict(found)
    (one,) = found["near_synonyms"]["alike"]
    assert set(one["labels"]) == {tagger.labels[first], tagger.labels[second]}
    assert (one["by_vectors"], one["by_images"]) == (1.0, 1.0)
    assert one["images"]["truth"] == int((truth[:, [first, second]] == 1).all(axis=1).sum())
    assert set(found["near_synonyms"]["rates"]) == {"truth", "run", "rival"}
    unasked = pair_learning(evaluated["cnn-rnn"], tagger.run.config.decision, training_targets=training)
    assert unasked.to_json()["near_synonyms"] is None


def test_label_errors_are_written_in_every_shape_and_rankings_are_refused(evaluated, tmp_path) -> None:
    files = write_label_errors(evaluated["sigmoid"], tmp_path / "errors")
    assert [file.name for file in files] == list(FILES)
    assert np.load(files[2]).shape == evaluated["sigmoid"].answers.scores.shape
    assert len(json.loads(files[3].read_text())["samples"]) == len(evaluated["sigmoid"].dataset)
    ranking = evaluated["softmax"]
    if not ranking.answers.calibrated:
        with pytest.raises(InputError, match="rank labels"):
            write_label_errors(ranking, tmp_path / "none")


def test_a_search_shows_both_paths_scores_and_clicks(taggers, pictures) -> None:
    tagger, vector = taggers["cnn-rnn"], pictures[1][0].astype(np.float32)
    found = visible_search(tagger, vector, scores=4, clicks=2, changes=3)
    shown = {node.prefix: node for node in found.tree.nodes}
    assert np.log(shown[found.exact.labels].path_prob) == pytest.approx(found.exact.log_prob, abs=1e-4)
    assert found.beam.labels in shown
    assert found.exact.log_prob >= found.beam.log_prob - 1e-5
    assert len(found.scores) == 4
    click = found.clicks[0]
    known = {one.label: one.score for one in tagger.suggest(vector, accepted=[click.label], count=99)}
    assert all(after == pytest.approx(known[name]) for name, _, after in click.changes)
    strict(found.to_json())


@pytest.mark.parametrize(
    ("ask", "words"),
    [
        (lambda t, f: visible_search(t["sigmoid"], f[0]), "'sigmoid'"),
        (lambda t, f: label_space(t["sigmoid"], f[0]), "'sigmoid'"),
        (lambda t, f: images_near(t["cnn-rnn"].run, ["a"], f[:1]), "exactly one"),
        (
            lambda t, f: images_near(
                t["cnn-rnn"].run, ["a"], f[:1], labels=t["cnn-rnn"].labels[:1], space="features"
            ),
            "labels have no point",
        ),
        (lambda t, f: images_near(t["cnn-rnn"].run, ["a"], f[:1], image=f[0], space="jiont"), "'joint'"),
    ],
)
def test_what_a_run_cannot_show_is_reported(ask, words, taggers, pictures) -> None:
    with pytest.raises(InputError, match=words):
        ask(taggers, pictures[1].astype(np.float32))
