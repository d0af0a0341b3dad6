"""Label names as they should be: one Unicode form, no blanks around them, none that a model needs for itself.

Between what a file says and the vocabulary; every reader uses it. Knows nothing of files and images.
"""

import unicodedata
from collections import defaultdict
from collections.abc import Iterable

from labelbeam.errors import InputError

RESERVED = frozenset({"<start>", "<end>", "<pad>", "<unk>"})
"""Names of a sequence model's own tokens."""


def clean(label: str) -> str:
    """Return a label's name: composed Unicode (NFC), without blanks around it.

    Example:
        >>> clean(" cafe\N{COMBINING ACUTE ACCENT} ")
        'café'
    """
    return unicodedata.normalize("NFC", label).strip()


def refuse_reserved(labels: Iterable[str], where: str) -> None:
    """Raise an error where a label has the name of a special token, or a line break or the like in its name.

    Args:
        labels: names.
        where: file or data set, for the message.

    Raises:
        InputError: such a label is there.
    """
    if odd := sorted(label for label in set(labels) if any(unicodedata.category(c) == "Cc" for c in label)):
        raise InputError(
            f"{where}: {', '.join(f'{name!r:.60}' for name in odd[:5])} holds a line break or another control "
            "character. Repair the name."
        )
    if taken := sorted(label for label in set(labels) if label.casefold() in RESERVED):
        raise InputError(
            f"{where}: {', '.join(f'{name!r:.60}' for name in taken[:5])} is the name of a special token, not of a "
            f"label. Rename it; reserved are {', '.join(sorted(RESERVED))}."
        )


def variants_note(labels: Iterable[str]) -> tuple[str, ...]:
    """Return a note about labels that differ in case or character width only; none where there are none.

    Example:
        >>> variants_note(["Dog", "dog", "cat"])
        ("labels that differ only in case or width are kept apart: 'Dog' and 'dog'.",)
    """
    groups = defaultdict(list)
    for label in sorted(set(labels)):
        groups[unicodedata.normalize("NFKC", label).casefold()].append(label)
    alike = [" and ".join(map(repr, group)) for group in groups.values() if len(group) > 1]
    if not alike:
        return ()
    return (f"labels that differ only in case or width are kept apart: {'; '.join(alike[:5])}.",)
