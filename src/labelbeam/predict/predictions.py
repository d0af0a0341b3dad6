"""Predictions as they come, and as a table: in a frame, or in a notebook.

Wraps what a tagger yields; reads ahead only what is shown. Knows no model.
"""

import importlib
from collections import deque
from collections.abc import Generator, Iterable, Iterator
from html import escape
from itertools import islice
from typing import Any

from labelbeam.errors import InputError
from labelbeam.predict.prediction import Prediction

SHOWN = 20
"""Rows of a table in a notebook."""


class Predictions(Iterator[Prediction]):
    """Predictions, one after another; each is there once.

    Example:
        >>> found = Predictions([Prediction("a.jpg"), Prediction("b.jpg")])
        >>> found.to_dicts()[0]["image"], list(found)
        ('a.jpg', [])
    """

    def __init__(self, predictions: Iterable[Prediction]) -> None:
        self._coming, self._seen = iter(predictions), deque[Prediction]()

    def __next__(self) -> Prediction:
        return self._seen.popleft() if self._seen else next(self._coming)

    def close(self) -> None:
        """End before the last one: what makes them lets go of the files it reads ahead."""
        self._seen.clear()
        if isinstance(self._coming, Generator):
            self._coming.close()
        self._coming = iter(())

    def to_dicts(self) -> list[dict[str, Any]]:
        """Return all that are left as plain rows: image, labels, path, log_prob, exact, error, and scores by label."""
        return [row_of(one) for one in self]

    def to_pandas(self) -> Any:
        """Return all that are left as a pandas frame, a row each.

        Raises:
            InputError: pandas is not installed.
        """
        try:
            pandas = importlib.import_module("pandas")
        except ModuleNotFoundError as error:
            raise InputError("a frame needs pandas: pip install 'labelbeam[sklearn]'.") from error
        return pandas.DataFrame(self.to_dicts())

    def _repr_html_(self) -> str:
        """Return the next rows as a table; they are still there afterwards."""
        self._seen.extend(islice(self._coming, max(0, SHOWN + 1 - len(self._seen))))
        rows = [
            f"<tr><td>{escape(one.image)}</td><td>{_labels(one)}</td>"
            f"<td>{'' if one.log_prob is None else f'{one.log_prob:.2f}'}</td>"
            f"<td>{'yes' if one.exact else 'no'}</td></tr>"
            for one in list(self._seen)[:SHOWN]
        ]
        more = "<p>… and more</p>" if len(self._seen) > SHOWN else ""
        head = "<tr><th>image</th><th>labels</th><th>log p</th><th>certified</th></tr>"
        return f"<table><thead>{head}</thead><tbody>{''.join(rows)}</tbody></table>{more}"


def row_of(prediction: Prediction) -> dict[str, Any]:
    """Return a prediction as a row of a table."""
    row: dict[str, Any] = {
        "image": prediction.image,
        "labels": [one.label for one in prediction.labels],
        "path": list(prediction.path or ()),
        "log_prob": prediction.log_prob,
        "exact": prediction.exact,
        "error": prediction.error,
    }
    scores = prediction.scores or {one.label: one.score for one in prediction.labels}
    return row | {f"score {name}": value for name, value in scores.items()}


def _labels(prediction: Prediction) -> str:
    if prediction.error:
        return f"<i>{escape(prediction.error)}</i>"
    said = ", ".join(f"{escape(one.label)} {one.score:.2f}" for one in prediction.labels)
    return said or "(no label)"
