"""scikit-learn's words: its own checks, pipelines and searches, frames, names, unknown labels, pickles and runs."""

import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

sklearn = pytest.importorskip("sklearn")

from sklearn.model_selection import GridSearchCV, cross_val_score  # noqa: E402
from sklearn.pipeline import make_pipeline  # noqa: E402
from sklearn.preprocessing import StandardScaler  # noqa: E402

from labelbeam.runs.recipe import Recipe  # noqa: E402
from labelbeam.runs.tagger import Tagger  # noqa: E402
from labelbeam.sklearn import LabelSetClassifier, SigmoidClassifier, labels_of  # noqa: E402

SMALL = {
    **{"label_model.hidden_size": 16, "label_model.image_hidden_size": 32, "label_model.embedding_size": 8},
    **{"label_model.image_hidden_dropout": 0.0, "label_model.projection_dropout": 0.0, "members": 1},
}


def model(**options: object) -> LabelSetClassifier:
    return LabelSetClassifier(**{"epochs": 4, "settings": SMALL, **options})


@pytest.fixture(scope="module")
def rows() -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(0)
    X = random.normal(size=(60, 4)).astype(np.float32)
    Y = (X[:, :3] > 0).astype(int)
    Y[:, 1] &= Y[:, 0]
    return X, Y


@pytest.fixture(scope="module")
def fitted(rows: tuple[np.ndarray, np.ndarray]) -> LabelSetClassifier:
    return model(epochs=120, validation_fraction=0.0, settings={**SMALL, "members": 2}).fit(*rows)


def test_what_it_answers_has_the_shapes_and_meanings_of_scikit_learn(
    fitted: LabelSetClassifier, rows: tuple[np.ndarray, np.ndarray]
) -> None:
    X, Y = rows
    assert fitted.predict(X).shape == Y.shape
    assert fitted.score(X, Y) > 0.5
    probabilities = fitted.predict_proba(X)
    # Columns are in the order of Y, not in the model's: each follows its own label.
    assert all(np.corrcoef(probabilities[:, j], Y[:, j])[0, 1] > 0.5 for j in range(3))
    assert fitted.log_likelihood(X, Y).mean() > fitted.log_likelihood(X, 1 - Y).mean()
    drawn = fitted.sample(X[:5], 2000)
    np.testing.assert_allclose(drawn.mean(axis=1), probabilities[:5], atol=0.06)
    assert fitted.predict_sets(X[:1])[0] == tuple(np.array(fitted.classes_)[fitted.predict(X[:1])[0] == 1])


def test_probabilities_of_all_sets_sum_to_one(
    fitted: LabelSetClassifier, rows: tuple[np.ndarray, np.ndarray]
) -> None:
    every = np.array([[a, b, c] for a in (0, 1) for b in (0, 1) for c in (0, 1)])
    total = np.exp(fitted.log_likelihood(np.repeat(rows[0][:1], 8, axis=0), every)).sum()
    assert total == pytest.approx(1, abs=1e-5)


def test_labels_come_as_names_sparse_frames_and_with_unknown_ones() -> None:
    from scipy import sparse

    pandas, polars = pytest.importorskip("pandas"), pytest.importorskip("polars")
    for given in (
        [["a"], ["a", "b"], []],
        pandas.DataFrame({"a": [1, 1, 0], "b": [0, 1, 0]}),
        polars.DataFrame({"a": [1, 1, 0], "b": [0, 1, 0]}),
    ):
        names, targets = labels_of(given)
        assert names == ["a", "b"]
        assert targets.tolist() == [[1, 0], [1, 1], [0, 0]]
    assert labels_of(sparse.csr_matrix([[1, 0], [0, 1]]))[1].tolist() == [[1, 0], [0, 1]]
    assert labels_of(np.array([[1, np.nan], [0, -1]]))[1].tolist() == [[1, -1], [0, -1]]
    for wrong, message in (([1, 0], "a column for each label"), ([[2, 0]], "labels must be 1")):
        with pytest.raises(ValueError, match=message):
            labels_of(np.array(wrong))


def test_minus_one_is_absent_where_nothing_is_0_in_training_and_afterwards(
    rows: tuple[np.ndarray, np.ndarray],
) -> None:
    X, Y = rows
    with pytest.warns(UserWarning, match="-1 is read as absent"):
        signs = model().fit(X, 2 * Y - 1)
    zeros = model().fit(X, Y)
    np.testing.assert_array_equal(signs.predict_proba(X), zeros.predict_proba(X))
    np.testing.assert_array_equal(signs.log_likelihood(X, 2 * Y - 1), zeros.log_likelihood(X, Y))
    # NaN beside 1 leaves open; so does -1 where 0 says absent.
    assert labels_of(np.array([[1, np.nan]]))[1].tolist() == [[1, -1]]


def test_what_pandas_has_for_missing_is_unknown() -> None:
    pandas = pytest.importorskip("pandas")
    for kind in ("Int64", "boolean", "Float64"):
        frame = pandas.DataFrame({"a": pandas.array([1, None, 0], dtype=kind), "b": [0, 1, 1]})
        assert labels_of(frame)[1].tolist() == [[1, 0], [-1, 1], [0, 1]]


def test_labels_that_do_not_fit_what_was_learned_are_refused(
    fitted: LabelSetClassifier, rows: tuple[np.ndarray, np.ndarray]
) -> None:
    pandas = pytest.importorskip("pandas")
    X, Y = rows
    named = pandas.DataFrame(Y[:, :2], columns=["label 0", "label 2"])
    for ask in (fitted.score, fitted.log_likelihood):
        for labels, message in (
            (Y[:5], "X has 60 rows and Y has 5"),
            (Y[:, :2], "learned, and not in Y: label 2"),
            (named, "learned, and not in Y: label 1"),
            ([["z"]] * 60, "not learned: z"),
        ):
            with pytest.raises(ValueError, match=message):
                ask(X, labels)
        with pytest.raises(sklearn.exceptions.NotFittedError):
            getattr(model(), ask.__name__)(X, Y)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"validation_fraction": 1}, "validation_fraction is 1;"),
        ({"validation_fraction": -0.1}, "validation_fraction is -0.1;"),
        ({"validation_fraction": "a"}, "validation_fraction is 'a';"),
        ({"random_state": "a"}, "random_state is 'a'"),
        ({"settings": "rare"}, "settings is 'rare'; give a mapping"),
        ({"tune": 1.5}, "tune is 1.5"),
    ],
)
def test_arguments_are_checked_when_it_is_fitted(
    rows: tuple[np.ndarray, np.ndarray], options: dict[str, object], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        model().set_params(**options).fit(*rows)


def test_rows_of_mixed_kinds_are_no_labels_and_numbers_of_numpy_are_numbers(
    rows: tuple[np.ndarray, np.ndarray], tmp_path: Path
) -> None:
    for labels in ([["a"], None], [[0, 1], [1]]):
        with pytest.raises(ValueError, match="neither a matrix nor names"):
            labels_of(labels)
    trained = model().set_params(epochs=np.int64(1)).fit(*rows)
    assert trained.n_iter_ == 1
    (tmp_path / "file").write_text("")
    with pytest.raises(ValueError, match="nothing is overwritten"):
        trained.save(tmp_path / "file")


def test_frames_give_their_names_to_features_and_labels(rows: tuple[np.ndarray, np.ndarray]) -> None:
    pandas, polars = pytest.importorskip("pandas"), pytest.importorskip("polars")
    X, Y = rows
    for frames in (pandas, polars):
        inputs = frames.DataFrame(X.astype(float), **({"columns": list("wxyz")} if frames is pandas else {}))
        if frames is polars:
            inputs.columns = list("wxyz")
        labels = frames.DataFrame({name: Y[:, j] for j, name in enumerate(("cat", "dog", "owl"))})
        trained = model().fit(inputs, labels)
        assert trained.classes_.tolist() == ["cat", "dog", "owl"]
        assert trained.feature_names_in_.tolist() == list("wxyz")
        assert trained.predict(inputs).shape == Y.shape


def test_it_works_in_pipelines_searches_and_cross_validation(rows: tuple[np.ndarray, np.ndarray]) -> None:
    X, Y = rows
    pipeline = make_pipeline(StandardScaler(), SigmoidClassifier("sigmoid", epochs=3))
    assert len(cross_val_score(pipeline, X, Y, cv=2)) == 2
    search = GridSearchCV(SigmoidClassifier(epochs=3), {"head": ["sigmoid", "sigmoid-mlp"]}, cv=2).fit(X, Y)
    assert search.best_params_["head"] in ("sigmoid", "sigmoid-mlp")


def test_a_pickle_answers_the_same_and_a_saved_run_is_read_by_the_tagger(
    fitted: LabelSetClassifier, rows: tuple[np.ndarray, np.ndarray], tmp_path: Path
) -> None:
    X, _ = rows
    again = pickle.loads(pickle.dumps(fitted))
    np.testing.assert_array_equal(again.predict_proba(X), fitted.predict_proba(X))
    fitted.save(tmp_path / "run")
    tagger = Tagger.load(tmp_path / "run")
    scores = tagger.answer(X).scores
    columns = [fitted.classes_.tolist().index(name) for name in tagger.labels]
    np.testing.assert_allclose(scores, fitted.predict_proba(X)[:, columns], atol=1e-6)
    assert {file.suffix for file in (tmp_path / "run").iterdir()} <= {
        ".safetensors",
        ".json",
        ".yaml",
        ".csv",
    }


def test_answers_are_a_frame_and_a_table_in_a_notebook(
    fitted: LabelSetClassifier, rows: tuple[np.ndarray, np.ndarray]
) -> None:
    pytest.importorskip("pandas")
    predictions = fitted.tag(rows[0], ids=[f"row <{i}>" for i in range(60)])
    shown = predictions._repr_html_()
    assert shown.count("<tr>") == 21
    assert "row &lt;0&gt;" in shown
    frame = predictions.to_pandas()  # what was shown is still there
    assert len(frame) == 60
    assert {"image", "labels", "log_prob", "exact", "score label 0"} <= set(frame.columns)


def test_the_choice_among_configurations_is_kept_and_decides_how_long_all_rows_train(
    rows: tuple[np.ndarray, np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    from labelbeam.training import learning

    found = []

    def tune(*arguments, **options):
        found.append(chosen(*arguments, **options))
        return found[0]

    chosen = learning.tune
    monkeypatch.setattr(learning, "tune", tune)
    trained = SigmoidClassifier(tune=2, random_state=1, settings={"members": 1}).fit(*rows)
    assert trained.chosen_ in ("middle", "light", "strong")
    long = Recipe(epochs=found[0].differences["recipe"]["epochs"])
    assert trained.n_iter_ == long.refitted(found[0].best_epoch).epochs


def test_what_is_tried_knows_like_what_is_trained_that_no_row_is_empty(
    rows: tuple[np.ndarray, np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    from labelbeam.training import learning

    seen, original = [], learning.learn

    def learn(config, *arguments, **options):
        seen.append(config.label_model.nothing)
        return original(config, *arguments, **options)

    monkeypatch.setattr(learning, "learn", learn)
    features, labels = rows
    shown = labels.any(axis=1)
    small = {"label_model.hidden_size": 8, "label_model.image_hidden_size": 8}
    LabelSetClassifier(tune=1, epochs=2, random_state=1, settings=small).fit(features[shown], labels[shown])
    assert set(seen) == {"independent"}


CHECKS = """
import sys, warnings
warnings.simplefilter("ignore")
from sklearn.utils.estimator_checks import check_estimator
from labelbeam.sklearn import EXPECTED_FAILURES, LabelSetClassifier, SigmoidClassifier
small = {"label_model.hidden_size": 8, "label_model.image_hidden_size": 8, "sigmoid.hidden_size": 8, "members": 1}
for classifier in (LabelSetClassifier(epochs=2, settings=small), SigmoidClassifier(epochs=2, settings=small)):
    found = check_estimator(classifier, expected_failed_checks=dict(EXPECTED_FAILURES), on_fail=None)
    assert len(found) > 40
    for one in found:
        if one["status"] == "failed":
            sys.exit(f"{one['check_name']}: {one['exception']}")
"""


def test_scikit_learns_own_checks_pass_but_for_those_that_are_listed() -> None:
    """In a process of its own: the checks set parameters to values that no annotation allows."""
    done = subprocess.run([sys.executable, "-c", CHECKS], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]


def test_the_benchmark_keeps_what_was_tried_and_goes_on_there(
    rows: tuple[np.ndarray, np.ndarray], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import public_sets

    monkeypatch.setattr("labelbeam.runs.recipe.UPDATES", 8)
    monkeypatch.setattr("labelbeam.runs.recipe.LEAST_EPOCHS", 2)
    part, tried = public_sets.Part(rows[0], rows[1].astype(np.int8)), tmp_path / "tried.json"
    with pytest.raises(public_sets.TimeIsUp):
        public_sets.ours("sigmoid", part, part, 0, tried=tried, until=0.0)
    first = public_sets.ours("sigmoid", part, part, 0, tried=tried)
    assert len(first.tried) == public_sets.CONFIGURATIONS
    # What was tried is not tried again: with no time left the same is chosen and trained.
    again = public_sets.ours("sigmoid", part, part, 0, tried=tried, until=0.0)
    assert (again.chosen, again.tried) == (first.chosen, first.tried)
    np.testing.assert_array_equal(again.nats, first.nats)
