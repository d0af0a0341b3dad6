"""Decisions a minute on the page, card by card and label by label: `python benchmarks/by_label.py RUN --data DATA`.

A simulated person who knows the truth decides every label of every photograph. Gestures are counted as the page takes
them; the seconds of each are those of the keystroke-level model (Card, Moran and Newell 1980: a key 0.28 s, pointing
and clicking 1.30 s), and looking takes `--look` seconds for one label on a small picture, `--read` for all that is on a
photograph. Card by card every photograph is read, and nothing is missed. Label by label the person looks down the wall
in falling score until `--patience` photographs in a row lack the label, accepts down to where that leaves fewest
exceptions, corrects those, and rejects what is below unseen: what is missed there is counted.
"""

import argparse
from pathlib import Path

import numpy as np

from labelbeam.data.dataset import ReadOptions
from labelbeam.features.extract import readable_features
from labelbeam.formats.registry import open_dataset
from labelbeam.labels.vocabulary import PRESENT, UNKNOWN
from labelbeam.runs.tagger import Tagger

KEY, CLICK = 0.28, 1.30
LIKELY, SLOTS, TYPED = 0.5, 9, 4


def by_card(scores: np.ndarray, truth: np.ndarray, *, read: float) -> tuple[float, int]:
    """Return seconds and gestures of deciding photographs one by one; scores do not follow the decisions here."""
    seconds, gestures = 0.0, 0
    for row, present in zip(scores, truth, strict=True):
        place = {label: i for i, label in enumerate(np.argsort(-row, kind="stable"))}
        wrong = [label for label in np.flatnonzero(row >= LIKELY) if not present[label]]
        missing = [label for label in np.flatnonzero(present) if row[label] < LIKELY]
        # A wrong one is rejected by Shift and its digit first, a missing one accepted by its digit or typed.
        keys = 2 * len(wrong) + sum(1 if place[one] < SLOTS else TYPED + 2 for one in missing)
        keys += int((row >= LIKELY).any()) + 1  # Enter and d: nothing else is on it, and go on
        seconds += read + KEY * keys
        gestures += keys
    return seconds, gestures


def by_label(
    scores: np.ndarray, truth: np.ndarray, *, look: float, patience: int
) -> tuple[float, int, int, int]:
    """Return seconds, gestures, photographs looked at, and true labels that were rejected unseen."""
    seconds, gestures, looks, missed = 0.0, 0, 0, 0
    for label in range(scores.shape[1]):
        present = truth[np.argsort(-scores[:, label], kind="stable"), label]
        seen = len(present)
        for i in range(patience, len(present) + 1):
            if not present[i - patience : i].any():
                seen = i
                break
        # An exception above the cut is rejected by two clicks, one below it accepted by one; the cut that takes fewest.
        wrong = np.concatenate(([0], np.cumsum(~present[:seen])))
        lacking = present[:seen].sum() - np.concatenate(([0], np.cumsum(present[:seen])))
        keys = TYPED + 2  # f, its name, Enter
        clicks = int((2 * wrong + lacking).min()) + 3  # and the photograph of the cut, and its two buttons
        looks += seen
        missed += int(present[seen:].sum())
        gestures += keys + clicks
        seconds += look * seen + KEY * keys + CLICK * clicks
    return seconds, gestures, looks, missed


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path)
    parser.add_argument("--data", required=True)
    parser.add_argument("--look", type=float, default=0.4)
    parser.add_argument("--read", type=float, default=2.0)
    parser.add_argument("--patience", type=int, default=12)
    options = parser.parse_args()
    tagger = Tagger.load(options.run)
    dataset, features, _ = readable_features(
        open_dataset(options.data, options=ReadOptions()), tagger.run.encoder, flips=False
    )
    scores = tagger.answer(features[:, 0]).scores
    columns = [dataset.vocabulary.names.index(name) for name in tagger.labels]
    targets = dataset.targets[:, columns]
    truth = targets == PRESENT
    decisions = int((targets != UNKNOWN).sum())
    print(
        f"{len(truth)} photographs, {truth.shape[1]} labels, {decisions} decisions, {truth.sum()} of them present"
    )
    seconds, gestures = by_card(scores, truth, read=options.read)
    print(
        f"card by card: {60 * decisions / seconds:.0f} decisions a minute, {60 * truth.sum() / seconds:.1f} of them"
    )
    print(f"  present ones; {gestures} gestures, {len(truth)} photographs read, {seconds / 60:.1f} minutes")
    for patience in sorted({3, 6, options.patience, 24}):
        seconds, gestures, looks, missed = by_label(scores, truth, look=options.look, patience=patience)
        rate, found = 60 * decisions / seconds, 60 * (truth.sum() - missed) / seconds
        print(
            f"label by label, patience {patience}: {rate:.0f} decisions a minute, {found:.1f} of them present ones;"
        )
        print(
            f"  {gestures} gestures, {looks} looks, {seconds / 60:.1f} minutes, {missed} true labels missed"
        )


if __name__ == "__main__":
    main()
