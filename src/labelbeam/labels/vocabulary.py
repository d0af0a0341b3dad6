"""The label vocabulary: names by position.

The position of a name is its id everywhere in labelbeam: in target matrices, in the label model, in paths.
A trained model's vocabulary is sorted in its label order (`labels.order`), so "later in the order" is
"greater id", and END, whose id is `len(vocabulary)`, is always last. Knows nothing of images or models.
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from labelbeam.errors import InputError, unknown_name


@dataclass(frozen=True)
class Vocabulary:
    """Label names; a name's position is its id.

    Attributes:
        names: distinct, non-empty label names in any script, without surrounding blanks.

    Raises:
        InputError: no name at all, an empty or blank-padded name, or a name given twice.

    Example:
        >>> vocabulary = Vocabulary(("person", "dog"))
        >>> vocabulary.id_of("dog"), len(vocabulary), vocabulary.end
        (1, 2, 2)
    """

    names: tuple[str, ...]

    def __post_init__(self) -> None:
        if not self.names:
            raise InputError("a vocabulary needs at least one label, none was given.")
        if bad := [name for name in self.names if not name or name != name.strip()]:
            raise InputError(f"label names must not be empty or padded with blanks; given: {bad[:5]!r:.300}.")
        if len(set(self.names)) < len(self.names):
            twice = sorted(name for name, count in Counter(self.names).items() if count > 1)
            raise InputError(f"each label name may occur once; given more than once: {twice[:5]!r:.300}.")

    @property
    def end(self) -> int:
        """The id of END, one past the last label."""
        return len(self.names)

    def id_of(self, name: str) -> int:
        """Return the id of a label name.

        Raises:
            InputError: the name is not in the vocabulary (the nearest one is proposed).
        """
        try:
            return self.names.index(name)
        except ValueError:
            raise unknown_name("label", name, self.names) from None

    def names_of(self, ids: Iterable[int]) -> list[str]:
        """Return the names of label ids, in the order given."""
        return [self.names[i] for i in ids]

    def __len__(self) -> int:
        return len(self.names)

    def __iter__(self) -> Iterator[str]:
        return iter(self.names)


# The three values that a target can have, from import through loss, metrics and export.

PRESENT, ABSENT, UNKNOWN = 1, 0, -1
"""UNKNOWN means "nobody looked, or it could not be seen"; it is never the same as ABSENT."""
