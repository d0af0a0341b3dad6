"""Label sets in scikit-learn's words: `fit(X, Y)`, `predict`, `predict_proba`, `score`, and what a joint model adds.

    LabelSetClassifier    CNN-RNN on vectors: a distribution over label sets
    SigmoidClassifier     the baseline: each label by itself, on the same features

Works in pipelines, searches and cross-validation, and takes arrays, sparse matrices, pandas' and polars' frames. A
pickle of a fitted classifier is a pickle like any other: load only your own. What is handed to others is a run
(`save`), which holds arrays and text and runs nothing.
"""

import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import sklearn
from jaxtyping import Bool, Float, Int8, Int64
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils.validation import check_is_fitted, validate_data

from labelbeam.data.stratified import split
from labelbeam.encoders.encoder import GivenFeatures
from labelbeam.errors import InputError
from labelbeam.formats.vector_files import targets_of_names, targets_of_numbers
from labelbeam.labels.vocabulary import ABSENT, PRESENT, UNKNOWN, Vocabulary
from labelbeam.predict.prediction import Prediction, Predictions
from labelbeam.runs.config import RunConfig, configure
from labelbeam.runs.recipe import empty_sets, merged, recipe_for
from labelbeam.runs.run_directory import Run, save_run
from labelbeam.runs.tagger import Tagger

LEAST_HELD_OUT = 20
"""Rows below which none are held out: the training then runs to its end."""

Matrix = Any
"""Rows of features: an array, a sparse matrix, a frame."""


class LabelSetClassifier(ClassifierMixin, BaseEstimator):
    """Learns which labels go together: p(set of labels | features), searched exactly.

    Args:
        head: "cnn-rnn" or another name of `runs.config.HEADS`.
        tune: how many configurations are tried inside the training rows; None: the rule's is taken.
        validation_fraction: share of the training rows that stops the training; 0: all train, to the end.
        epochs: at most; None: as the rule says.
        settings: further differences from the recipe, such as `{"order": "rare"}`.
        decide: "path" (the most probable set), "threshold" or "expected-f1".
        random_state: decides initial values, order, dropout and what is held out.
        verbose: 1 shows progress, on a terminal or in a notebook.

    Attributes:
        classes_: names of the labels, in the order of the columns of Y.
        n_features_in_: features of a row.
        n_iter_: epochs that the kept model was trained.
        history_: a row for each epoch.
        chosen_: the configuration that `tune` chose, in words.
        tried_: mean -log p(set | row) of held-out rows, by configuration that it tried.

    Example:
        >>> X = np.random.default_rng(0).normal(size=(60, 4))
        >>> model = SigmoidClassifier(epochs=20).fit(X, X[:, :2] > 0)
        >>> model.predict(X[:2]).shape, model.predict_proba(X[:2]).shape, model.score(X, X[:, :2] > 0) > 0.5
        ((2, 2), (2, 2), True)
    """

    def __init__(
        self,
        head: str = "cnn-rnn",
        *,
        tune: int | None = None,
        validation_fraction: float = 0.15,
        epochs: int | None = None,
        settings: Mapping[str, Any] | None = None,
        decide: str = "path",
        random_state: int = 0,
        verbose: int = 0,
    ) -> None:
        self.head, self.tune, self.validation_fraction = head, tune, validation_fraction
        self.epochs, self.settings, self.decide = epochs, settings, decide
        self.random_state, self.verbose = random_state, verbose

    def fit(self, X: Matrix, Y: Any) -> "LabelSetClassifier":
        """Train on rows and their labels.

        Args:
            X: features, a row each; finite numbers.
            Y: a matrix of 1 (present), 0 (absent) and -1 or NaN (unknown), dense, sparse or a frame (whose columns are
                the names); or for each row a list of names. Where all is 1 or -1, -1 is absent, with a warning.

        Raises:
            ValueError: rows of different number, other values, no label, features that are no numbers, or an argument
                outside what is allowed.
        """
        from labelbeam.progress import progress_bar
        from labelbeam.training.learning import learn, size_of, tune

        share = self.validation_fraction
        if not isinstance(share, (int, float, np.number)) or not 0 <= share < 1:
            raise ValueError(
                f"validation_fraction is {share!r}; give a share of the rows, at least 0 and below 1."
            )
        features = self._features(X, reset=True)
        names, targets = labels_of(Y)
        self._minus: int = UNKNOWN
        if not (targets == ABSENT).any() and (targets == UNKNOWN).any():
            others = labels_of(Y, minus=ABSENT)[1]
            if not (others == UNKNOWN).any():
                warnings.warn("no value of Y is 0, so -1 is read as absent; NaN is unknown.", stacklevel=2)
                self._minus, targets = ABSENT, others
        if len(targets) != len(features):
            raise ValueError(f"X has {len(features)} rows and Y has {len(targets)}; they must be as many.")
        if not (targets == PRESENT).any():
            raise ValueError("no row has a label, so there is nothing to learn.")
        seed = self._seed()
        size = size_of(features, len(names))
        by_data: Mapping[str, Any] = recipe_for(size, self.head)
        self.chosen_, self.tried_, best_epoch = "", {}, None
        unsaid = empty_sets(self._configured(by_data), targets)
        if self.tune is not None:
            if not isinstance(self.tune, (int, np.integer)):
                raise ValueError(f"tune is {self.tune!r}; give a number of configurations, or None.")
            best = tune(
                lambda tried: self._configured(merged(tried, unsaid)),
                size,
                features,
                targets,
                count=self.tune,
                seed=seed,
            )
            self.chosen_, best_epoch, by_data = best.name, best.best_epoch, best.differences
            self.tried_ = dict(best.others)
        by_data = merged(by_data, unsaid)
        config = self._configured(by_data)
        held_out = None
        if best_epoch is not None and self.epochs is None:
            # The comparison has chosen how long; every row trains.
            config = replace(config, recipe=config.recipe.refitted(best_epoch))
        elif len(features) * self.validation_fraction >= LEAST_HELD_OUT:
            kept, held = split(targets, (1 - self.validation_fraction, self.validation_fraction), seed=seed)
            held_out = (features[held], targets[held])
            features, targets = features[kept], targets[kept]
        epochs = config.recipe.epochs
        with progress_bar("training", epochs, shown=bool(self.verbose)) as advance:
            learned = learn(config, features, targets, held_out, after_epoch=lambda row: advance(1))
        self.classes_ = np.array(names)
        self.n_iter_, self.history_ = learned.best_epoch, learned.history
        vocabulary = Vocabulary(tuple(names[j] for j in learned.order))
        counts = tuple(int(n) for n in (targets[:, learned.order] == PRESENT).sum(axis=0))
        self._order = learned.order
        self._run = Run(learned.config, vocabulary, counts, self._given(), learned.head)
        self._answering = Tagger(self._run)
        return self

    def predict(self, X: Matrix) -> Int64[np.ndarray, "rows labels"]:
        """Return the decided label sets: 1 where a row has a label, columns as in Y."""
        tagger, features = self._tagger(), self._features(X)
        decided = tagger.run.config.decision.decide(tagger.answer(features), None)
        return self._columns(decided.astype(np.int64))

    def predict_sets(self, X: Matrix) -> list[tuple[str, ...]]:
        """Return the decided label sets by name."""
        return [tuple(self.classes_[row == 1].tolist()) for row in self.predict(X)]

    def predict_proba(self, X: Matrix) -> Float[np.ndarray, "rows labels"]:
        """Return p(label | row) of every label: marginals of the distribution over sets."""
        scores = self._tagger().answer(self._features(X)).scores
        return self._columns(scores.astype(np.float64))

    def log_likelihood(self, X: Matrix, Y: Any) -> Float[np.ndarray, " rows"]:
        """Return log p(set | row) in nats, for a set of each row; unknown labels are left open."""
        tagger, features = self._tagger(), self._features(X)
        targets = self._targets(Y, len(features))[:, self._order]
        return tagger.answerer.set_log_prob(features, np.ascontiguousarray(targets))

    def sample(
        self, X: Matrix, count: int = 1, *, random_state: int = 0
    ) -> Bool[np.ndarray, "rows count labels"]:
        """Draw label sets from p(set | row).

        Args:
            X: features.
            count: sets a row.
            random_state: of the draw.

        Raises:
            ValueError: fewer than one set is asked for.
        """
        if count < 1:
            raise ValueError(f"count is {count}; at least 1 set must be drawn.")
        features, random = self._features(X), np.random.default_rng(random_state)
        answers = self._tagger().answer(features)
        drawn = np.zeros((len(features), count, len(self._order)), dtype=bool)
        for row in range(len(features)):
            if answers.sample_sets is None:  # labels are independent
                drawn[row] = random.random((count, len(self._order))) < answers.scores[row]
                continue
            found = answers.sample_sets(slice(row, row + 1))
            drawn[row] = found.sets[0][random.choice(found.weights.shape[1], size=count, p=found.weights[0])]
        return drawn[:, :, np.argsort(self._order)]

    def score(self, X: Matrix, Y: Any, sample_weight: Any = None) -> float:
        """Return the share of rows whose whole set is right; unknown labels do not count."""
        decided = self.predict(X)
        targets = self._targets(Y, len(decided))
        right = ((decided == targets) | (targets == UNKNOWN)).all(axis=1)
        return float(np.average(right, weights=sample_weight))

    def tag(self, X: Matrix, ids: Sequence[str] | None = None) -> Predictions:
        """Return predictions with scores, bounds and certificates; `to_pandas()` makes a frame of them.

        Args:
            X: features.
            ids: a name for each row; None: its number.
        """
        features = self._features(X)
        names = [str(row) for row in range(len(features))] if ids is None else list(map(str, ids))
        if len(names) != len(features):
            raise ValueError(f"{len(names)} ids for {len(features)} rows; they must be as many.")
        found: Iterable[Prediction] = self._tagger().tag_features(
            zip(names, features, strict=True), all_scores=True
        )
        return Predictions(found)

    def save(self, folder: str | Path) -> Path:
        """Write a run directory, which every verb of labelbeam and `Tagger.load` read; nothing in it is pickled.

        Raises:
            InputError: the folder cannot be written, or holds something.
        """
        check_is_fitted(self, "_run")
        path = Path(folder)
        if path.exists() and (not path.is_dir() or any(path.iterdir())):
            raise InputError(f"{path} is there already; nothing is overwritten. Give another folder.")
        path.mkdir(parents=True, exist_ok=True)
        save_run(self._run, path, opening=[f"labelbeam.sklearn, scikit-learn {sklearn.__version__}"])
        return path

    def _configured(self, by_data: Mapping[str, Any]) -> RunConfig:
        options: dict[str, Any] = {
            "seed": self._seed(),
            "decision": {"rule": self.decide},
            "suggester": False,
        }
        if self.epochs is not None:
            options["recipe"] = {"epochs": _plain(self.epochs)}
        if not isinstance(self.settings or {}, Mapping):
            raise ValueError(f"settings is {self.settings!r}; give a mapping, such as {{'order': 'rare'}}.")
        for key, value in (self.settings or {}).items():
            nested: Any = _plain(value)
            for one in reversed(key.split(".")):
                nested = {one: nested}
            options = merged(options, nested)
        return configure(head=self.head, options=options, by_data=by_data)

    def _seed(self) -> int:
        state = self.random_state
        if isinstance(state, np.random.RandomState):
            return int(state.randint(2**31))
        if state is not None and not isinstance(state, (int, np.integer)):
            raise ValueError(f"random_state is {state!r}; give a whole number, a RandomState or None.")
        return int(state or 0)

    def _features(self, X: Matrix, *, reset: bool = False) -> Float[np.ndarray, "rows features"]:
        if not reset:
            check_is_fitted(self, "_run")
        checked = validate_data(self, X, reset=reset, accept_sparse=True, dtype=[np.float32, np.float16])
        dense = checked.toarray() if hasattr(checked, "toarray") else checked
        return np.ascontiguousarray(dense)

    def _given(self) -> GivenFeatures:
        names = tuple(map(str, getattr(self, "feature_names_in_", ())))
        return GivenFeatures(self.n_features_in_, "", names)

    def _tagger(self) -> Tagger:
        check_is_fitted(self, "_run")
        return self._answering

    def _targets(self, Y: Any, rows: int) -> Int8[np.ndarray, "rows labels"]:
        """Return labels of so many rows in the columns of `classes_`."""
        learned = self.classes_.tolist()
        names, targets = labels_of(Y, known=learned, minus=self._minus)
        if len(targets) != rows:
            raise ValueError(f"X has {rows} rows and Y has {len(targets)}; they must be as many.")
        for what, some, others in (
            ("not learned", names, learned),
            ("learned, and not in Y", learned, names),
        ):
            if strange := sorted(set(some) - set(others)):
                raise ValueError(f"labels that were {what}: {', '.join(strange[:5])}.")
        place = {name: j for j, name in enumerate(names)}
        return targets[:, [place[name] for name in learned]]

    def _columns(self, values: np.ndarray) -> np.ndarray:
        """Return columns in the order of Y."""
        return values[:, np.argsort(self._order)]

    def __getstate__(self) -> dict[str, Any]:
        state: dict[str, Any] = dict(super().__getstate__())
        state.pop("_answering", None)  # what a search has learned of prefixes is found again
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        if "_run" in state:
            self._answering = Tagger(self._run)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_label, tags.classifier_tags.multi_class = True, False
        tags.target_tags.single_output, tags.target_tags.two_d_labels = False, True
        tags.target_tags.multi_output = True
        tags.input_tags.sparse = True
        return tags


class SigmoidClassifier(LabelSetClassifier):
    """The baseline on the same features: a sigmoid for each label, with one hidden layer ("sigmoid") or none.

    Arguments and attributes as `LabelSetClassifier`.
    """

    def __init__(
        self,
        head: str = "sigmoid-mlp",
        *,
        tune: int | None = None,
        validation_fraction: float = 0.15,
        epochs: int | None = None,
        settings: Mapping[str, Any] | None = None,
        decide: str = "path",
        random_state: int = 0,
        verbose: int = 0,
    ) -> None:
        super().__init__(
            head,
            tune=tune,
            validation_fraction=validation_fraction,
            epochs=epochs,
            settings=settings,
            decide=decide,
            random_state=random_state,
            verbose=verbose,
        )


def labels_of(
    Y: Any, *, known: Sequence[str] | None = None, minus: int = UNKNOWN
) -> tuple[list[str], Int8[np.ndarray, "rows labels"]]:
    """Return names and targets of what a user gives as labels.

    Args:
        Y: a matrix, dense, sparse or a frame; or a list of names for each row.
        known: names of the columns where Y has none, and of labels that no row of a list has.
        minus: what -1 says in a matrix.

    Raises:
        ValueError: neither of these, or other values than labels have.

    Example:
        >>> labels_of([["cat"], [], ["dog", "cat"]])
        (['cat', 'dog'], array([[1, 0],
               [0, 0],
               [1, 1]], dtype=int8))
    """
    if Y is None:
        raise ValueError("requires y to be passed, but the target y is None: labels are what is learned.")
    named = getattr(Y, "columns", None)
    if hasattr(Y, "toarray"):
        Y = Y.toarray()
    if named is None and not isinstance(Y, np.ndarray) and _are_names(Y):
        names, targets = targets_of_names([list(row) for row in Y], known)
        return list(names), targets
    if hasattr(Y, "notna"):  # what pandas has for a missing number or truth is no number
        Y = Y.astype(object).where(Y.notna(), np.nan)
    try:
        values = np.asarray(Y.to_numpy() if hasattr(Y, "to_numpy") else Y)
    except ValueError as error:
        raise ValueError(
            f"Y is neither a matrix nor names: each row must be a list of texts, or of equally many numbers ({error})."
        ) from error
    if values.dtype.kind == "f" and (values[np.isfinite(values)] % 1 != 0).any():
        raise ValueError(
            "Unknown label type: continuous. Labels are 1 (present), 0 (absent), -1 or NaN (unknown)."
        )
    if values.dtype == object and values.ndim == 1 and _are_names(values):
        names, targets = targets_of_names([list(row) for row in values], known)
        return list(names), targets
    if values.ndim != 2:
        raise ValueError(
            f"Y has the shape {values.shape}; give a matrix with a column for each label (1, 0, NaN), or a list of "
            "names for each row."
        )
    try:
        numbers = values.astype(np.float64)
        targets = targets_of_numbers(np.where(numbers == UNKNOWN, minus, numbers), "Y")
    except (TypeError, ValueError) as error:
        raise ValueError(f"Unknown label type: {error}") from error
    count = targets.shape[1]
    usual = known if known is not None and len(known) == count else [f"label {j}" for j in range(count)]
    return list(map(str, named)) if named is not None else list(usual), targets


def _plain(value: Any) -> Any:
    """Return a number of NumPy's as one of Python's: what a grid of `numpy.arange` gives."""
    return value.item() if isinstance(value, np.generic) else value


def _are_names(rows: Any) -> bool:
    try:
        return all(not isinstance(row, str) and all(isinstance(one, str) for one in row) for row in rows)
    except TypeError:
        return False


_CLASSES = "gives class numbers in one column; a label set is a column for each label, of 1 and 0"

EXPECTED_FAILURES: Mapping[str, str] = dict.fromkeys(
    (
        *("check_estimators_dtypes", "check_estimator_sparse_array", "check_estimator_sparse_matrix"),
        *("check_classifier_data_not_an_array", "check_classifiers_one_label", "check_classifiers_classes"),
        *("check_classifiers_train", "check_classifier_not_supporting_multiclass", "check_fit2d_1feature"),
        "check_n_features_in_after_fitting",
    ),
    _CLASSES,
)
"""Checks of `check_estimator` that a classifier of label sets cannot pass, with the reason."""

__all__ = ["LabelSetClassifier", "SigmoidClassifier"]
