"""One more label for a trained head, everything else as it was: what decides it, and the head's arrays with it.

The new label becomes the last in label order. Of a label model it needs a row of U_l, which the recurrence reads only
after everything else was said, and a number of its own in the joint space, whose other numbers hold what the old labels
need of an image. Of a sigmoid head it is a row of the last layer. `training.offset_regression` finds the numbers. Knows
no file and no label name.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int, Int8

from labelbeam.heads.label_model import LabelModelHead
from labelbeam.heads.label_scores import AnySubsetHead, SigmoidHead
from labelbeam.labels.targets import PRESENT, UNKNOWN


@dataclass(frozen=True)
class Decisions:
    """Where a head would have to say the new label or not.

    Attributes:
        inputs: what the new row is multiplied with.
        offsets: log-odds that are added.
        image: row of the image of each decision.
        last: whether the label, if the image has it, comes at this decision.
    """

    inputs: Float[np.ndarray, "decisions inputs"]
    offsets: Float[np.ndarray, " decisions"]
    image: Int[np.ndarray, " decisions"]
    last: Bool[np.ndarray, " decisions"]


def decisions_of_label_model(
    head: LabelModelHead,
    features: Float[np.ndarray, "images features"],
    targets: Int8[np.ndarray, "images labels"],
) -> Decisions:
    """Return every step of every image's path: at each the new label might come, at the last one it should.

    At step t the odds of the new label K are exp(x_t . u_K + v . w) to the sum over the old allowed outcomes of
    exp(s(t)), with v what U_I reads of the image: the inputs are x_t and v, side by side.

    Args:
        head: trained on the old labels.
        features: of the images.
        targets: old labels, 1 present, 0 absent; in label order.
    """
    inputs, offsets, image, last = [], [], [], []
    ids, read = np.arange(head.num_labels + 1), head.before_projection(features)
    for row in range(len(targets)):
        path = np.flatnonzero(targets[row] == PRESENT)
        points = head.joint_points(features[row : row + 1], path)  # [steps embedding]
        logits = (points @ head.U_l.T).astype(np.float64)
        for step, one in enumerate(logits):
            allowed = np.ones(len(ids), dtype=bool)
            if head.allowed == "canonical" and step:
                allowed = ids > path[step - 1]
            elif head.allowed == "no-repeat":
                allowed[path[:step]] = False
            offsets.append(-np.logaddexp.reduce(one[allowed]))
        inputs.append(np.hstack((points, np.repeat(read[row : row + 1], len(points), axis=0))))
        image += [row] * len(points)
        last += [False] * len(path) + [True]
    return Decisions(np.concatenate(inputs), np.array(offsets), np.array(image), np.array(last))


def decisions_of_scores(
    head: SigmoidHead,
    features: Float[np.ndarray, "images features"],
    targets: Int8[np.ndarray, "images labels"],
) -> Decisions:
    """Return one decision per image; of an any-subset head a second one, with the old labels told.

    Args:
        head: trained on the old labels.
        features: of the images.
        targets: old labels, 1 present, 0 absent, -1 unknown.
    """
    rows = np.arange(len(features))
    if not isinstance(head, AnySubsetHead):
        return Decisions(
            head.before_last(features), np.zeros(len(rows)), rows, np.ones(len(rows), dtype=bool)
        )
    nothing = np.full_like(targets, UNKNOWN)
    inputs = np.concatenate([head.before_last_given(features, known) for known in (nothing, targets)])
    return Decisions(inputs, np.zeros(len(inputs)), np.tile(rows, 2), np.ones(len(inputs), dtype=bool))


def label_model_with(head: LabelModelHead, weights: Float[np.ndarray, " inputs"]) -> dict[str, np.ndarray]:
    """Return a label model's arrays with one more label, the last before END.

    The joint space grows by one number, v . w, which only the new label's score reads; with h = ReLU by two, since
    max(a, 0) - max(-a, 0) = a. Scores of the old labels and END are the same at every step.

    Args:
        head: without it.
        weights: of the inputs of `decisions_of_label_model`.
    """
    old, size = dict(head.arrays), head.options.embedding_size
    signs = np.array([1.0] if head.additive else [1.0, -1.0])
    more = len(signs)

    def widened(name: str, *, rows: int = 0, columns: int = 0) -> np.ndarray:
        return np.pad(old[name], ((0, rows), (0, columns)))

    grown = {
        "U_l": np.insert(
            widened("U_l", columns=more), head.num_labels, np.concatenate((weights[:size], signs)), axis=0
        ),
        "start": widened("start", columns=more),
        # Without recurrence the output is a sum of embeddings, as wide as they are.
        "U_o.weight": widened("U_o.weight", rows=more, columns=more if head.options.cell == "none" else 0),
        "U_I.weight": np.vstack((old["U_I.weight"], signs[:, None] * weights[size:])),
    }
    if "cell.from_label.weight" in old:
        grown["cell.from_label.weight"] = widened("cell.from_label.weight", columns=more)
    return {**old, **{name: array.astype(np.float32) for name, array in grown.items()}}


def scores_with(head: SigmoidHead, row: Float[np.ndarray, " width"], bias: float) -> dict[str, np.ndarray]:
    """Return a sigmoid head's arrays with one more label; an any-subset head does not learn from it being told."""
    arrays = dict(head.arrays)
    arrays["last.weight"] = np.vstack((arrays["last.weight"], row)).astype(np.float32)
    arrays["last.bias"] = np.append(arrays["last.bias"], bias).astype(np.float32)
    if isinstance(head, AnySubsetHead):
        present_absent = [head.num_labels, 2 * head.num_labels]  # the new label's columns in each half
        arrays["from_known.weight"] = np.insert(arrays["from_known.weight"], present_absent, 0.0, axis=1)
    return arrays
