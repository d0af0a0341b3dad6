"""Other names of labels: `puppy -> dog` makes every puppy a dog.

From a file of pairs to a mapping of names that knows no chains; `data.hygiene` merges the columns. Knows nothing of
images.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path

from labelbeam.errors import InputError
from labelbeam.labels.name_files import NamePair, read_pairs


def read_aliases(file: Path) -> Mapping[str, str]:
    """Read a file of aliases, `old -> new` on each line.

    Args:
        file: see `labels.name_files.read_pairs`.

    Returns:
        Old name to the name it has in the end.

    Raises:
        InputError: whatever `read_pairs` and `resolve` find wrong.
    """
    return resolve(read_pairs(file))


def resolve(pairs: Iterable[NamePair]) -> Mapping[str, str]:
    """Follow chains of aliases to their ends.

    Args:
        pairs: `left` is the old name, `right` the new one.

    Returns:
        Old name to the name it has in the end.

    Raises:
        InputError: one old name with two new ones, or names that go round in a circle (with the line).

    Example:
        >>> dict(resolve([NamePair("pup", "puppy", "line 1"), NamePair("puppy", "dog", "line 2")]))
        {'pup': 'dog', 'puppy': 'dog'}
    """
    given: dict[str, NamePair] = {}
    for pair in pairs:
        first = given.setdefault(pair.left, pair)
        if first.right != pair.right:
            raise InputError(
                f"{pair.where}: {pair.left!r} -> {pair.right!r}, but {first.where} says {pair.left!r} -> "
                f"{first.right!r}. A label has one new name: remove one of the lines."
            )
    return {old: _end(old, given) for old in given}


def _end(old: str, given: Mapping[str, NamePair]) -> str:
    path = [old]
    while path[-1] in given:
        pair = given[path[-1]]
        path.append(pair.right)
        if pair.right in path[:-1]:
            circle = " -> ".join(map(repr, path[path.index(pair.right) :]))
            raise InputError(f"{pair.where}: {circle} goes round in a circle. Remove one of these lines.")
    return path[-1]
