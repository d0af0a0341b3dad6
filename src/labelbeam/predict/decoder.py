"""A label model's searches over one's own features: the object that `labelbeam.decode` gives.

Owns the prefix trie, takes arrays or tensors, and speaks of labels by the columns of the targets that the model was
trained on. What each search does is in `decoding`.
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from labelbeam.decoding.beam import beam_search
from labelbeam.decoding.best_first import CertifiedPaths, best_paths
from labelbeam.decoding.evidence import ConditionalMarginals, conditional_marginals
from labelbeam.decoding.likelihood import set_log_prob
from labelbeam.decoding.marginals import Marginals, label_marginals
from labelbeam.decoding.paths import NO_LABEL, BeamPaths
from labelbeam.decoding.search import Search
from labelbeam.decoding.set_samples import SetSamples, sample_sets
from labelbeam.decoding.step import PathLength
from labelbeam.decoding.trie import DEFAULT_BYTE_LIMIT, PrefixTrie
from labelbeam.errors import InputError
from labelbeam.heads.label_model import TrainedLabelModel
from labelbeam.heads.registry import HEADS, heads_that
from labelbeam.labels.rules import Rules, as_rules
from labelbeam.labels.vocabulary import ABSENT, PRESENT, UNKNOWN, PerImage, Targets, Vocabulary

Labels = Iterable[int | str] | Sequence[Iterable[int | str]]
"""Label columns (or names, where the decoder knows them), for every image alike or a list for each."""


class Decoder:
    """The searches of a label model; what one call computes of a label prefix serves all that follow.

    Not for several threads at once. The model's weights were copied: after more training, call `decode` again.

    Attributes:
        num_labels: how many labels there are.
        names: of the labels by column, where the model is a run's; else empty.
    """

    def __init__(
        self,
        head: TrainedLabelModel,
        *,
        order: Int[np.ndarray, " labels"] | None = None,
        names: Sequence[str] = (),
        length: PathLength | None = None,
        trie_bytes: int = DEFAULT_BYTE_LIMIT,
        rules: Rules | None = None,
    ) -> None:
        """Make a decoder; `decode` does it for a model of any kind.

        Args:
            order: column of each label of the model, in label order; None: they are the same.
            length: fewest and most labels of a set; None: any number.
            trie_bytes: most bytes that the trie takes; no result depends on it.
            rules: what sets must keep, for the labels in the model's order.
        """
        self._rules = rules
        self.num_labels, self.names = head.num_labels, tuple(names)
        self._head, self._order = head, order
        limits = () if rules is None else rules.limits
        self._trie = PrefixTrie(head, byte_limit=trie_bytes, length=length, limits=limits)

    def __repr__(self) -> str:
        rule = f"{self._head.allowed}, {'additive' if self._head.additive else 'not additive'}"
        return f"Decoder({self.num_labels} labels, {rule}, {self._trie.num_nodes} prefixes in its trie)"

    def exact(self, features: Any, *, expansions: int = 200) -> CertifiedPaths:
        """Find the most probable label set of each image, with a certificate.

        Args:
            features: array or tensor [images features], as the model was trained on.
            expansions: most label prefixes looked at per image; where they do not suffice, `exact` is False there.

        Returns:
            `paths`: each image's labels in the order in which the model says them; `log_probs` in nats, `exact`.

        Raises:
            InputError: features of another shape, or not finite; a number of expansions below 1.
        """
        found = best_paths(self._trie, self._rows(features), budget=expansions)
        return replace(found, labels=self._columns(found.labels))

    def beam(self, features: Any, width: int = 10, *, length_penalty: float = 0.0) -> BeamPaths:
        """Search the most probable label sets of each image by the paper's beam search; nothing certifies them.

        Args:
            width: paths kept per image and step.
            length_penalty: finished paths are compared by log-probability / ((5 + steps) / 6) ** this; 0: as they are.

        Returns:
            Up to `width` paths per image, best first; `paths` are the best ones.

        Raises:
            InputError: features of another shape, or not finite; a width below 1 or a negative penalty.
        """
        options = Search(beam_width=width, length_penalty=length_penalty)
        found = beam_search(self._trie, self._rows(features), options)
        return replace(found, labels=self._columns(found.labels))

    def marginals(
        self, features: Any, *, expansions: int = 200, samples: int = 200, seed: int = 0
    ) -> Marginals:
        """Return p(label | image) of every label: an estimate between hard bounds.

        Args:
            expansions: most label prefixes looked at per image; more never widen a bound.
            samples: continuations drawn per image of what is left open; 0: none, then the middle of the bounds.

        Returns:
            `score`, `low`, `high` and `stderr`, each [images labels], by column.

        Raises:
            InputError: features of another shape, or not finite; numbers out of range.
        """
        rows = self._rows(features)
        found = label_marginals(self._trie, rows, expansions=expansions, samples=samples, seed=seed)
        paths = replace(found.paths, labels=self._columns(found.paths.labels))
        return replace(self._by_column(found), paths=paths)

    def sample(
        self, features: Any, samples: int = 200, *, expansions: int = 200, seed: int = 0
    ) -> SetSamples:
        """Return a weighted sample of each image's label sets: the likeliest exactly, the rest drawn.

        Args:
            samples: sets drawn per image of what is left open, at least 1.
            expansions: most label prefixes looked at per image.

        Returns:
            `sets`, bool [images rows labels], and their `weights`, which sum to 1 for each image.

        Raises:
            InputError: features of another shape, or not finite; numbers below 1.
        """
        rows = self._rows(features)
        found = sample_sets(self._trie, rows, expansions=expansions, samples=samples, seed=seed)
        return (
            found if self._order is None else replace(found, sets=found.sets[:, :, np.argsort(self._order)])
        )

    def given(
        self,
        features: Any,
        accepted: Labels = (),
        rejected: Labels = (),
        *,
        expansions: int = 64,
        samples: int = 200,
        seed: int = 0,
    ) -> ConditionalMarginals:
        """Return p(label | image, accepted and rejected labels) of every label, with hard bounds.

        Args:
            accepted: labels that the images have: columns or names, the same for every image or a list for each.
            rejected: labels that they have not, likewise.
            expansions: most label prefixes looked at per image.
            samples: continuations drawn per image of what is left open; 0: none.

        Returns:
            `score`, `low`, `high`, `stderr` by column; `evidence`, how probable the model held what was given;
            `trusted`.

        Raises:
            InputError: an unknown label, one both accepted and rejected, evidence that the model holds impossible;
                features of another shape, or not finite.
        """
        rows = self._rows(features)
        evidence = np.full((len(rows), self.num_labels), UNKNOWN, dtype=np.int8)
        for labels, value in ((accepted, PRESENT), (rejected, ABSENT)):
            for row, columns in enumerate(self._lists(labels, len(rows))):
                if both := [column for column in columns if evidence[row, column] not in (UNKNOWN, value)]:
                    raise InputError(
                        f"image {row}: label {self._name(both[0])} is both accepted and rejected. Leave it out of one "
                        "of the two lists."
                    )
                evidence[row, columns] = value
        if self._order is not None:
            evidence = evidence[:, self._order]
        for row, of_image in enumerate(evidence if self._rules is not None else ()):
            accepted_ids, rejected_ids = (
                np.flatnonzero(of_image == one).tolist() for one in (PRESENT, ABSENT)
            )
            self._rules.check_evidence(accepted_ids, rejected_ids, where=f"image {row}: ")  # type: ignore[union-attr]
        found = conditional_marginals(
            self._trie, rows, evidence, expansions=expansions, samples=samples, seed=seed
        )
        return self._by_column(found)

    def log_prob(self, features: Any, targets: Any) -> PerImage:
        """Return log p(label set | image) in nats.

        Args:
            targets: array or tensor [images labels], 1 present, 0 absent.

        Raises:
            InputError: features or targets of another shape, unknown labels, or a model that gives sets no probability
                (allowed outcomes `paper`; under `no-repeat` sets of more than 7 labels); rules, whose probability is
                known within bounds only.
        """
        if self._rules is not None:
            raise InputError(
                "under rules log p(label set) is known within bounds only. Ask a decoder without rules."
            )
        rows, wanted = self._rows(features), as_array(targets)
        if wanted.shape != (len(rows), self.num_labels):
            raise InputError(
                f"targets must be [{len(rows)} {self.num_labels}], a row for each image; given {list(wanted.shape)}."
            )
        sets: Targets = wanted.astype(np.int8)
        return set_log_prob(self._trie, rows, sets if self._order is None else sets[:, self._order])

    def _rows(self, features: Any) -> Float[np.ndarray, "images width"]:
        values, size, local = as_array(features), self._head.scaling.num_features, self._head.local
        behind = values.shape[1] - size if values.ndim == 2 else -1
        fits = behind == 0 if local is None else behind > 0 and behind % len(local.weight) == 0
        if not fits or values.dtype.kind not in "fiu":
            width = f"{size}" if local is None else f"{size} and a map of {len(local.weight)} numbers a place"
            raise InputError(
                f"features must be numbers [images {width}], as the model was trained on; given {values.dtype} "
                f"{list(values.shape)}."
            )
        if not np.isfinite(values).all():
            raise InputError("the features hold NaN or infinity; all must be finite.")
        return self._head.image_rows(values.astype(np.float32, copy=False))

    def _columns(self, labels: np.ndarray) -> np.ndarray:
        """Return paths by column in place of the model's own label ids."""
        if self._order is None:
            return labels
        return np.where(labels == NO_LABEL, NO_LABEL, self._order[labels]).astype(labels.dtype)

    def _by_column(self, found: Any) -> Any:
        if self._order is None:
            return found
        back = np.argsort(self._order)
        return replace(
            found, **{name: getattr(found, name)[:, back] for name in ("score", "low", "high", "stderr")}
        )

    def _lists(self, labels: Labels, images: int) -> list[list[int]]:
        """Return the label columns of each image."""
        given = list(as_array(labels).tolist() if hasattr(labels, "shape") else labels)
        if isinstance(labels, str) or not any(isinstance(one, list | tuple | set) for one in given):
            alike = [self._column(one) for one in ([labels] if isinstance(labels, str) else given)]
            return [alike] * images
        if len(given) != images:
            raise InputError(f"there are labels of {len(given)} images and features of {images}.")
        return [[self._column(one) for one in of_image] for of_image in given]

    def _column(self, label: object) -> int:
        if isinstance(label, str):
            if label not in self.names:
                names = f"its labels are {', '.join(self.names[:24])}" if self.names else "it knows no names"
                raise InputError(f"unknown label {label!r}: {names}. Give a column or a name that is there.")
            return self.names.index(label)
        if (
            isinstance(label, bool)
            or not isinstance(label, int | np.integer)
            or not 0 <= label < self.num_labels
        ):
            raise InputError(f"a label must be a column, 0 to {self.num_labels - 1}, given {label!r:.60}.")
        return int(label)

    def _name(self, column: int) -> str:
        return repr(self.names[column]) if self.names else str(column)


def decode(
    model: Any,
    *,
    min_labels: int = 0,
    max_labels: int | None = None,
    trie_bytes: int = DEFAULT_BYTE_LIMIT,
    rules: Rules | str | Path | Iterable[str] | None = None,
) -> Decoder:
    """Make the searches of a trained label model.

    Args:
        model: a `CNNRNN`, or what `train` and `load` give. Its weights are copied.
        max_labels: most labels of a set; None: any number. Both the same: sets of exactly so many.
        trie_bytes: most bytes that the prefix trie takes; no result depends on it.
        rules: what every set must keep (docs/rules.md), their file or lines; labels of a model without names are
            called by their columns, as in `["exactly one of: 0, 3"]`. None: those of the run, mostly none.

    Raises:
        InputError: a model that says no labels one after the other, such as a sigmoid head; limits that no set keeps.
    """
    length = PathLength(min_labels, max_labels)
    names: tuple[str, ...] = ()
    if hasattr(model, "run"):
        model = model.run
    if hasattr(model, "vocabulary"):
        names, rules, model = model.vocabulary.names, rules or model.rules, model.head
    order = getattr(model, "order", None)
    name = getattr(model, "head_name", "")
    if name not in HEADS or not HEADS[name].searches:
        what = f"the head {name!r}" if name in HEADS else f"{type(model).__name__!r}"
        raise InputError(
            f"{what} says no labels one after the other, so there is nothing to search. Give a labelbeam.CNNRNN, or a "
            f"run of --head {' or '.join(heads_that('searches'))}; of a sigmoid head the most probable set is that of "
            "the labels with a logit of at least 0."
        )
    if hasattr(model, "state_dict"):
        from labelbeam.heads.arrays_torch import trained

        model, order = trained(model), None if order is None else as_array(order)
    if rules is not None:
        columns = range(model.num_labels) if order is None else order.tolist()
        rules = as_rules(rules, Vocabulary(names or tuple(map(str, columns))))
    return Decoder(model, order=order, names=names, length=length, trie_bytes=trie_bytes, rules=rules)


def as_array(values: Any) -> np.ndarray:
    """Return an array of what may be a tensor on any device.

    Raises:
        InputError: rows of different lengths, or nothing like numbers.
    """
    if hasattr(values, "detach"):
        values = values.detach().cpu()
        values = (values.float() if str(values.dtype) == "torch.bfloat16" else values).numpy()
    try:
        return np.asarray(values)
    except (ValueError, TypeError) as error:
        raise InputError(f"numbers in rows of equal length were expected ({error}).") from error
