"""Where the recurrence earns its place and where it does not, in plain words, from intervals.

Compares CNN-RNN with every other row on the same draws of the same images. A sentence says "helps" or "costs" only
where the interval of the difference leaves zero out. Writes sentences; measures nothing itself.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from labelbeam.joints.reproduction.measures import RANKED, Measured
from labelbeam.joints.reproduction.rows import ROWS

OURS, WITHOUT, FREE = "cnn-rnn", "no-rnn", "no-repeat"

JUDGED: tuple[tuple[str, str, str], ...] = (
    (RANKED, "mAP_area", "mAP"),
    (RANKED, "OF1", "O-F1 of exactly k labels"),
    (RANKED, "CF1", "C-F1 of exactly k labels"),
    (RANKED, "MAP@10", "MAP@10"),
    ("path", "subset_accuracy", "sets exactly right, the most probable set"),
    ("path", "OF1", "O-F1 of the most probable set"),
    ("path", "log_likelihood", "log-likelihood of the true set"),
    ("tuned-sets", "subset_accuracy", "sets exactly right at tuned thresholds"),
    ("tuned-of1", "OF1", "O-F1 at a tuned threshold"),
)
"""Protocol, number, and words for it."""


@dataclass(frozen=True)
class Difference:
    """One row minus another, in `verdicts` CNN-RNN minus another.

    Attributes:
        against: the other row.
        protocol: key of the protocol.
        number: name of the number.
        wording: the number in words.
        difference: in the number's own unit; positive where the first row has more.
        low: lower end of the 95 % interval.
        high: upper end.
        p: one-sided, small where the first row has more.
    """

    against: str
    protocol: str
    number: str
    wording: str
    difference: float
    low: float
    high: float
    p: float

    @property
    def verdict(self) -> str:
        """`helps` or `costs` where the interval leaves zero out, else `undecided`."""
        return "helps" if self.low > 0 else "costs" if self.high < 0 else "undecided"

    def to_json(self) -> dict[str, Any]:
        """Return plain values."""
        return {**asdict(self), "verdict": self.verdict}


def differences(measured: Sequence[Measured], *, view: str, ours: str = OURS) -> list[Difference]:
    """Return one row minus every other, for every number that is judged; nothing where it was not trained.

    Args:
        measured: every row under every protocol.
        view: the reading of the truth.
        ours: the row; `FREE` is the reference of rows without a label order.
    """
    there = {(one.row, one.protocol): one.numbers for one in measured if one.view == view}
    rows = [row for row in dict.fromkeys(one.row for one in measured) if row != ours]
    found = []
    for protocol, number, wording in JUDGED:
        for row in rows:
            own, theirs = there.get((ours, protocol)), there.get((row, protocol))
            if own is None or theirs is None:
                continue
            if (pair := own.minus(theirs, number)) is not None:
                found.append(
                    Difference(row, protocol, number, wording, pair.difference, pair.low, pair.high, pair.p)
                )
    return found


def verdicts(found: Sequence[Difference], *, seeds: int) -> list[str]:
    """Return sentences: first against the model without recurrence, then against all other rows.

    Args:
        found: of `differences`.
        seeds: trainings of each row.
    """
    told = []
    if without := [one for one in found if one.against == WITHOUT]:
        told.append(_against_no_rnn(without))
    for protocol, number, wording in JUDGED:
        others = [
            one
            for one in found
            if (one.protocol, one.number) == (protocol, number) and one.against != WITHOUT
        ]
        if others:
            told.append(_against_heads(wording, others))
    if found:
        told.append(
            "Intervals are over the test images"
            + (
                f" and {seeds} training seeds."
                if seeds > 1
                else " only: one training each, so what another seed would give is not in them."
            )
            + f" {len(found)} differences are looked at, of which about one in twenty leaves zero out by chance alone."
        )
    return told


def _against_no_rnn(pairs: Sequence[Difference]) -> str:
    by_verdict: Mapping[str, list[Difference]] = {
        verdict: [one for one in pairs if one.verdict == verdict]
        for verdict in ("helps", "costs", "undecided")
    }
    parts = []
    if by_verdict["helps"]:
        parts.append("The recurrence helps against No RNN in " + _listed(by_verdict["helps"]) + ".")
    else:
        parts.append(
            "The recurrence does not earn its place here against No RNN: no number is better by more than chance."
        )
    if by_verdict["costs"]:
        parts.append("It costs in " + _listed(by_verdict["costs"]) + ".")
    if by_verdict["undecided"]:
        parts.append(
            "It makes no difference that these images can show in " + _listed(by_verdict["undecided"]) + "."
        )
    return " ".join(parts)


def _against_heads(wording: str, pairs: Sequence[Difference]) -> str:
    better = [one for one in pairs if one.verdict == "helps"]
    worse = [one for one in pairs if one.verdict == "costs"]
    equal = [one for one in pairs if one.verdict == "undecided"]
    parts = [f"For {wording}:"]
    if worse:
        parts.append("CNN-RNN is worse than " + _rows(worse) + ".")
    if better:
        parts.append("CNN-RNN is better than " + _rows(better) + ".")
    if equal:
        parts.append("Undecided against " + _rows(equal) + ".")
    if not better:
        parts.append("It does not earn its place for this number.")
    return " ".join(parts)


def _listed(pairs: Sequence[Difference]) -> str:
    return "; ".join(f"{one.wording} {amount(one)}" for one in pairs)


def _rows(pairs: Sequence[Difference]) -> str:
    return ", ".join(f"{ROWS[one.against].title} {amount(one)}" for one in pairs)


def amount(one: Difference) -> str:
    """Return a difference with its interval: percentage points, or nats.

    Example:
        >>> amount(Difference("no-rnn", "path", "OF1", "O-F1", 0.012, -0.003, 0.03, 0.1))
        '(+1.2 points, -0.3 to +3.0)'
    """
    if one.number == "log_likelihood":
        return f"({one.difference:+.2f} nats, {one.low:+.2f} to {one.high:+.2f})"
    return f"({100 * one.difference:+.1f} points, {100 * one.low:+.1f} to {100 * one.high:+.1f})"
