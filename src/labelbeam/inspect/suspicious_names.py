"""Label names that look like mistakes: variants of one name, misspellings, combinations, invisible characters.

Only what the names themselves show: short names are left alone (cat and car are two things), and so are names whose
digits differ (route 1, route 2). Synonyms that share no letters (couch, sofa) are not detectable here; two labels that
always occur together are (`cooccurrence.implications`).
"""

import re
import unicodedata
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from labelbeam.labels.names import RESERVED

ONE_FROM = 5
"""Letters from which a letter too many, too few, or swapped with its neighbour is reported."""

OTHER_FROM = 7
"""Letters from which a letter in the place of another is: in short names it makes another word (horse, house)."""

TWO_FROM = 9
"""Letters from which two such slips are; from `SAME_FROM` on where both names have the same letters."""

SAME_FROM = 6

TOGETHER = 1024
"""Names compared with the others at a time."""

TOO_LONG = 60
"""Longer names are sentences; they are not compared."""


def similar_names(names: Sequence[str]) -> Iterator[tuple[int, int, int]]:
    """Yield pairs of names that differ in a letter or two ("optimal string alignment", Damerau 1964).

    Yields:
        Positions (first, second) and the distance: letters inserted, deleted, replaced, or swapped with their
        neighbour.

    Example:
        >>> list(similar_names(["bicycle", "bycicle", "bicyle", "cat", "car"]))
        [(0, 1, 2), (0, 2, 1)]
    """
    from rapidfuzz import process
    from rapidfuzz.distance import OSA

    rows = [i for i, name in enumerate(names) if ONE_FROM <= len(name) <= TOO_LONG]
    rows.sort(key=lambda i: len(names[i]))  # two edits change the length by two at most
    lengths, digits = [len(names[i]) for i in rows], [re.findall(r"\d+", name) for name in names]
    found = []
    for first in range(0, len(rows), TOGETHER):
        block = rows[first : first + TOGETHER]
        others = rows[first : bisect_right(lengths, len(names[block[-1]]) + 2)]
        texts = [[names[i] for i in some] for some in (block, others)]
        distances = process.cdist(*texts, scorer=OSA.distance, score_cutoff=2, dtype=np.uint8)
        for row, column in np.argwhere(np.triu((distances > 0) & (distances <= 2))).tolist():
            i, j = sorted((block[row], others[column]))
            if distances[row, column] <= _allowed(names[i], names[j]) and digits[i] == digits[j]:
                found.append((i, j, int(distances[row, column])))
    yield from sorted(found)


def _allowed(a: str, b: str) -> int:
    """Return the largest distance at which two names are reported."""
    same_letters = sorted(a) == sorted(b)
    if max(len(a), len(b)) >= TWO_FROM or (same_letters and len(a) >= SAME_FROM):
        return 2
    return 1 if len(a) != len(b) or same_letters or len(a) >= OTHER_FROM else 0


SAYS_NOTHING = frozenset(
    {"none", "null", "nan", "n/a", "na", "nothing", "unknown", "undefined", "unlabeled", "unlabelled"}
    | {
        "no label",
        "no labels",
        "no tag",
        "no tags",
        "untagged",
        "not labeled",
        "not labelled",
        "not tagged",
        "empty",
    }
    | {"other", "others", "misc", "background", "label", "labels", "tag", "tags", "todo", "test"}
)
"""Names, in any case, that say nothing of what is in a picture, or are a file's heading."""

JOINTS = re.compile(r"\s*(?:[;,|、/+&\t\n]|\band\b|\bund\b|\bet\b|\by\b)\s*", re.IGNORECASE)
"""What joins labels to a combination."""

IRREGULAR = {"child": "children", "foot": "feet", "goose": "geese", "mouse": "mice", "person": "people"}
"""Plurals that no rule makes; those in -men, -ves and -ies are made by rule."""

LONG = 60
"""More characters than this make a sentence, not a name."""


@dataclass(frozen=True)
class NameFinding:
    """Names that look like a mistake.

    Attributes:
        kind: one of `KINDS`.
        names: those concerned, in the order given.
    """

    kind: str
    names: tuple[str, ...]
    why: str


def suspicious_names(names: Sequence[str]) -> list[NameFinding]:
    """Look through label names.

    Returns:
        What was found, by kind in the order of `KINDS`. A pair of names is reported under the first kind only.

    Example:
        >>> for found in suspicious_names(["Dog", "dog", "traffic light", "traffic_light", "cat  fish"]):
        ...     print(found.kind, found.names)
        invisible ('cat  fish',)
        case or width ('Dog', 'dog')
        blanks and hyphens ('traffic light', 'traffic_light')
    """
    found: list[NameFinding] = []
    paired: set[tuple[str, str]] = set()
    for look in KINDS.values():
        for one in look(names):
            pairs = set(combinations(sorted(one.names), 2)) if one.kind in PAIRED else set()
            if pairs and pairs <= paired:
                continue
            paired |= pairs
            found.append(one)
    return found


def _invisible(names: Sequence[str]) -> Iterator[NameFinding]:
    for name in names:
        odd = [letter for letter in name if _unseen(letter)]
        if odd:
            called = ", ".join(sorted({unicodedata.name(letter, f"U+{ord(letter):04X}") for letter in odd}))
            yield NameFinding("invisible", (name,), f"holds characters that cannot be seen: {called}.")
        elif "  " in name:
            yield NameFinding("invisible", (name,), "holds several blanks in a row.")


def _unseen(letter: str) -> bool:
    if (
        letter in " \u200c\u200d"
    ):  # the last joins emoji to one picture, and both are spelling in some scripts
        return False
    return unicodedata.category(letter) in ("Cc", "Cf", "Zl", "Zp", "Zs")


def _reserved(names: Sequence[str]) -> Iterator[NameFinding]:
    for name in names:
        if name.casefold() in RESERVED:
            yield NameFinding("reserved", (name,), "is the name of a sequence model's own token.")


def _says_nothing(names: Sequence[str]) -> Iterator[NameFinding]:
    for name in names:
        if name.casefold() in SAYS_NOTHING:
            yield NameFinding("says nothing", (name,), "is a heading or stands for no label.")
    numbers = tuple(name for name in names if re.fullmatch(r"[+-]?\d+(?:\.\d+)?", name))
    if numbers and len(numbers) > len(names) // 2:
        yield NameFinding("says nothing", numbers, "are numbers: is a list of names missing?")


def _sentences(names: Sequence[str]) -> Iterator[NameFinding]:
    if found := tuple(name for name in names if len(name) > LONG):
        yield NameFinding("long", found, f"more than {LONG} characters: sentences, or lists of synonyms?")


def _alike_by(
    kind: str, why: str, form: Callable[[str], str]
) -> Callable[[Sequence[str]], Iterator[NameFinding]]:
    """Return a look for names that have the same form."""

    def look(names: Sequence[str]) -> Iterator[NameFinding]:
        groups: dict[str, list[str]] = defaultdict(list)
        for name in names:
            if key := form(name):
                groups[key].append(name)
        for group in groups.values():
            if len(group) > 1:
                yield NameFinding(kind, tuple(group), why)

    return look


def folded(name: str) -> str:
    """Return a name without differences of case and width.

    Example:
        >>> folded("ＴＶ Set")
        'tv set'
    """
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", name).casefold())


def _words(name: str) -> list[str]:
    return [word for word in re.split(r"[\W_]+", folded(name)) if word]


def _bare(name: str) -> str:
    """Return a name without accents; letters of other scripts keep their marks, which are spelling there."""
    taken_apart = unicodedata.normalize("NFD", "".join(_words(name)))
    bare = re.sub(r"(?<=[a-zα-ω])[\u0300-\u036f]+", "", taken_apart)
    return unicodedata.normalize("NFC", bare)


def _plurals(names: Sequence[str]) -> Iterator[NameFinding]:
    by_words: dict[str, list[str]] = defaultdict(list)
    for name in names:
        by_words[" ".join(_words(name))].append(name)
    for words, group in list(by_words.items()):
        for plural in _plural_forms(words):
            if plural in by_words:
                why = "are singular and plural of one word."
                yield NameFinding("plural", (*group, *by_words[plural]), why)


def _plural_forms(words: str) -> set[str]:
    """Return how English may form the plural; nothing for other scripts."""
    if not re.search(r"[a-z]{2}$", words):
        return set()
    start, _, last = words.rpartition(" ")
    forms = {words + "s", words + "es"}
    if last in IRREGULAR:
        forms.add(f"{start} {IRREGULAR[last]}".strip())
    if re.search(r"[^aeiou]y$", words):
        forms.add(words[:-1] + "ies")
    if words.endswith("f"):
        forms.add(words[:-1] + "ves")
    if words.endswith("fe"):
        forms.add(words[:-2] + "ves")
    if words.endswith("man"):
        forms.add(words[:-3] + "men")
    return forms


def _mixed_scripts(names: Sequence[str]) -> Iterator[NameFinding]:
    alike = {"LATIN", "CYRILLIC", "GREEK"}
    for name in names:
        for word in re.findall(r"[^\W\d_]+", name):
            scripts = {unicodedata.name(letter, "?").split()[0] for letter in word} & alike
            if len(scripts) > 1:
                why = f"mixes letters that look the same: {' and '.join(sorted(scripts))} in {word!r}."
                yield NameFinding("mixed scripts", (name,), why)
                break


def _combinations(names: Sequence[str]) -> Iterator[NameFinding]:
    known = {folded(name) for name in names}
    for name in names:
        parts = [part for part in JOINTS.split(folded(name)) if part]
        if len(parts) < 2:
            parts = [part for part in re.split(r"[_-]+|\s{2,}", folded(name)) if part]
        if len(parts) > 1 and all(part in known for part in parts):
            why = f"looks like a combination: {' and '.join(map(repr, parts))} are labels themselves."
            yield NameFinding("combination", (name,), why)


def _spelling(names: Sequence[str]) -> Iterator[NameFinding]:
    for a, b, distance in similar_names([folded(name) for name in names]):
        letters = "one letter" if distance == 1 else f"{distance} letters"
        yield NameFinding("spelling", (names[a], names[b]), f"differ in {letters}.")


KINDS: dict[str, Callable[[Sequence[str]], Iterator[NameFinding]]] = {
    "reserved": _reserved,
    "invisible": _invisible,
    "mixed scripts": _mixed_scripts,
    "says nothing": _says_nothing,
    "combination": _combinations,
    "case or width": _alike_by("case or width", "differ only in case or character width.", folded),
    "blanks and hyphens": _alike_by(
        "blanks and hyphens",
        "differ only in blanks, hyphens or other signs between words.",
        lambda name: "".join(_words(name)),
    ),
    "accents": _alike_by("accents", "differ only in accents.", _bare),
    "word order": _alike_by(
        "word order", "have the same words in another order.", lambda name: " ".join(sorted(_words(name)))
    ),
    "plural": _plurals,
    "spelling": _spelling,
    "long": _sentences,
}
"""What is looked for, the surest first."""

PAIRED = frozenset(
    {"case or width", "blanks and hyphens", "accents", "word order", "plural", "spelling"},
)
"""Kinds that say that names are variants of one another."""
