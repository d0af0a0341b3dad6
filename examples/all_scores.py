"""Every label's score of some images, and the sets that three ways of deciding make of them.

    python examples/all_scores.py RUN IMAGE...

A score is p(label | image); `low` and `high` are hard bounds of it. The path is the set that the model
finds most probable; it need not be the set of the labels with the best scores.
"""

import sys
from collections.abc import Sequence

from labelbeam import Decision, Tagger


def main(run: str, images: Sequence[str]) -> None:
    """Print scores and sets."""
    by_path = Tagger.load(run)  # Decision("path") unless the run says otherwise
    ways = {
        "path": by_path,
        "score >= 0.5": Tagger(by_path.run, decision=Decision("threshold", 0.5)),
        "score >= 0.2": Tagger(by_path.run, decision=Decision("threshold", 0.2)),
    }
    for prediction in by_path.tag(images, all_scores=True):
        print(prediction.image, prediction.error)
        for label, score in sorted(prediction.scores.items(), key=lambda pair: -pair[1])[:5]:
            print(f"  {score:.3f} {label}")
    for name, tagger in ways.items():
        for prediction in tagger.tag(images):
            print(f"{name}: {prediction.image}: {', '.join(one.label for one in prediction.labels) or '-'}")


if __name__ == "__main__":
    if len(sys.argv) < 3:
        sys.exit("usage: python examples/all_scores.py RUN IMAGE...")
    main(sys.argv[1], sys.argv[2:])
