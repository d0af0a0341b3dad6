"""The rows of a reproduction's tables: a name, the head that is trained for it, and its differences from that head.

Knows names and settings; `recipes` turns a row into a configuration, `benchmarks` knows the data.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from labelbeam.errors import InputError, unknown_name


@dataclass(frozen=True)
class Row:
    """What is trained for one line of the tables.

    Attributes:
        title: as tables and page name it.
        head: a name of `joints.config.HEADS`.
        settings: nested differences from that head's recipe, the same in all of the row's configurations.
    """

    title: str
    head: str
    settings: Mapping[str, Any] = field(default_factory=dict)


ANY_ORDER: Mapping[str, Any] = {"allowed": "no-repeat"}
"""Of label models that no order binds: any label that was not said yet may come next."""

IN_THE_TABLE: Mapping[str, Row] = {
    "knn": Row("KNN", "knn"),
    "softmax": Row("Softmax", "softmax"),
    "warp": Row("WARP", "warp"),
    "sigmoid": Row("Binary cross-entropy", "sigmoid"),
    "no-rnn": Row("No RNN", "no-rnn"),
    "cnn-rnn": Row("CNN-RNN", "cnn-rnn"),
    "asymmetric": Row("Asymmetric loss", "asymmetric"),
    "sigmoid-mlp": Row("BCE, two layers", "sigmoid-mlp"),
    "any-subset": Row("Any-subset head", "any-subset"),
    "chow-liu": Row("Chow-Liu tree", "chow-liu"),
}
"""The rows that are trained where none is asked for: the paper's first, then rivals that came later or are ours."""

ORDERS_AND_LOSSES: Mapping[str, Row] = {
    "order-rare": Row("CNN-RNN, rare first", "cnn-rnn", {"order": "rare"}),
    "order-random": Row("CNN-RNN, a random order for each seed", "cnn-rnn", {"order": "random"}),
    "order-easiest": Row("CNN-RNN, easiest first", "cnn-rnn", {"order": "easiest"}),
    "no-repeat": Row("CNN-RNN, frequent first, free to differ", "cnn-rnn", {"label_model": ANY_ORDER}),
    "order-shuffle": Row(
        "CNN-RNN, shuffled every batch", "cnn-rnn", {"order": "shuffle", "label_model": ANY_ORDER}
    ),
    **{
        f"loss-{loss}": Row(f"CNN-RNN, {title}", "cnn-rnn", {"label_model": {**ANY_ORDER, "loss": loss}})
        for loss, title in (
            ("mla", "aligned (MLA)"),
            ("pla", "aligned (PLA)"),
            ("remaining-set", "remaining set"),
        )
    },
}
"""The paper's model in other label orders and under losses that prescribe none (docs/rivals.md). `no-repeat` differs
from `cnn-rnn` only in what may be said next: the reference for those below it."""

ROWS: Mapping[str, Row] = {**IN_THE_TABLE, **ORDERS_AND_LOSSES}

SAYS_PATHS = ("cnn-rnn", "no-rnn")
"""Heads that say labels one after the other, whose paths can be forced to a length."""


def rows_named(text: str | None) -> tuple[str, ...]:
    """Return the rows that a text `a,b` names, in the order of the tables.

    Args:
        text: names of `ROWS`, `all` for every one; None: those of `IN_THE_TABLE`.

    Raises:
        InputError: an unknown row, or none.

    Example:
        >>> rows_named("cnn-rnn,softmax")
        ('softmax', 'cnn-rnn')
    """
    if text is None:
        return tuple(IN_THE_TABLE)
    asked = [name.strip() for name in text.split(",") if name.strip()]
    for name in asked:
        if name not in (*ROWS, "all"):
            raise unknown_name("row", name, (*ROWS, "all"))
    if not asked:
        raise InputError(f"--rows names no row. Give some of: {', '.join(ROWS)}; or all.")
    return tuple(name for name in ROWS if name in asked or "all" in asked)
