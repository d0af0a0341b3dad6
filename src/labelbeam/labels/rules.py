"""Rules for label sets, written for people: the language, what they limit, and which of them contradict each other."""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
from jaxtyping import Bool

from labelbeam.errors import InputError, unknown_name
from labelbeam.labels.names import clean, lines_in, lines_of
from labelbeam.labels.vocabulary import Vocabulary

MOST_ROUNDS = 300
"""Afterwards an irreducible contradiction is good enough, though a shorter one may exist."""


@dataclass(frozen=True)
class Limit:
    """low <= (labels of `plus` in the set) - (labels of `minus` in the set) <= high.

    Attributes:
        plus: label ids, ascending.
        minus: other label ids, ascending.
        low: at least.
        high: at most.

    Example:
        >>> Limit((3,), (1,), 0, 1).broken_by(np.array([[0, 1, 0, 0], [0, 1, 0, 1]], dtype=bool)).tolist()
        [True, False]
    """

    plus: tuple[int, ...]
    minus: tuple[int, ...]
    low: int
    high: int

    @property
    def labels(self) -> tuple[int, ...]:
        """All labels that it is about."""
        return self.plus + self.minus

    def broken_by(self, sets: Bool[np.ndarray, "sets labels"]) -> Bool[np.ndarray, " sets"]:
        """Tell which sets break it."""
        count = sets[:, list(self.plus)].sum(axis=1) - sets[:, list(self.minus)].sum(axis=1, dtype=np.int64)
        return (count < self.low) | (count > self.high)


def satisfiable(limits: Iterable[Limit]) -> bool:
    """Tell whether some set of labels keeps limits.

    Example:
        >>> one_of = Limit((0, 1), (), 1, 1)
        >>> satisfiable([one_of]), satisfiable([one_of, Limit((0,), (), 0, 0), Limit((1,), (), 0, 0)])
        (True, False)
    """
    terms = [
        ([*((label, 1) for label in one.plus), *((label, -1) for label in one.minus)], one.low, one.high)
        for one in limits
    ]
    waiting: list[dict[int, int]] = [{}]  # partial sets: label -> 0 or 1
    while waiting:
        values = waiting.pop()
        if not _propagated(terms, values):
            continue
        label = _undecided(terms, values)
        if label is None:
            return True
        waiting += [{**values, label: 1}, {**values, label: 0}]
    return False


def _propagated(terms: list, values: dict[int, int]) -> bool:
    """Decide what limits force, in place; False where one cannot be kept any more."""
    changed = True
    while changed:
        changed = False
        for labels, low, high in terms:
            total = least = most = 0
            free = []
            for label, sign in labels:
                value = values.get(label)
                if value is None:
                    free.append((label, sign))
                    least, most = least + min(sign, 0), most + max(sign, 0)
                else:
                    total += sign * value
            if total + most < low or total + least > high:
                return False
            if free and (total + most == low or total + least == high):
                for label, sign in free:
                    values[label] = int((sign > 0) == (total + most == low))
                changed = True
    return True


def _undecided(terms: list, values: dict[int, int]) -> int | None:
    """Return a label to decide next; None where leaving all others out keeps every limit."""
    for labels, low, high in terms:
        if not low <= sum(sign * values.get(label, 0) for label, sign in labels) <= high:
            return next((label for label, _ in labels if label not in values), None)
    return None


def smallest_contradiction(rules: Sequence[Sequence[Limit]]) -> list[int] | None:
    """Return the positions of the fewest rules that no set keeps together; None where a set keeps all.

    Whatever contradicts must hold a rule of every set of rules whose removal leaves the others satisfiable. The
    fewest rules that do (a hitting set) are tried; where they can be kept, they show another such set.

    Source:
        Ignatiev, Previti, Liffiton, Marques-Silva, Smallest MUS Extraction with Minimal Hitting Set Dualization,
        CP 2015.
    """

    def kept(chosen: Iterable[int]) -> bool:
        return satisfiable(limit for i in chosen for limit in rules[i])

    everything = list(range(len(rules)))
    if kept(everything):
        return None
    removals: list[frozenset[int]] = []
    for _ in range(MOST_ROUNDS):
        tried = _smallest_hitting(removals)
        if not kept(tried):
            return sorted(tried)
        grown = list(tried)
        for i in everything:
            if i not in tried and kept([*grown, i]):
                grown.append(i)
        removals.append(frozenset(everything) - frozenset(grown))
    needed = everything
    for i in everything:
        if not kept(left := [j for j in needed if j != i]):
            needed = left
    return needed


def _smallest_hitting(sets: Sequence[frozenset[int]]) -> list[int]:
    """Return the fewest numbers of which every set holds one."""

    def within(chosen: list[int], size: int) -> list[int] | None:
        missed = min((one for one in sets if one.isdisjoint(chosen)), key=len, default=None)
        if missed is None:
            return chosen
        if size == 0:
            return None
        for i in sorted(missed):
            if (found := within([*chosen, i], size - 1)) is not None:
                return found
        return None

    for size in range(len(sets) + 1):
        if (found := within([], size)) is not None:
            return found
    raise AssertionError("a set without numbers cannot be hit")


# Rules that label sets must keep, as people write them: a line each, from a file to limits on counts of
# labels.
#
#     exactly one of: indoor, outdoor        at least 2 of: …   at most one of: …   between 1 and 3 of: …
#     cat and dog never together             salt and pepper always together
#     dog -> animal, pet                     where a dog is, so are both
#     at most 5 labels                       also: exactly, at least, between 1 and 3
#     never: nsfw                            always: photo
#
# Every rule is one or more `Limit`s: low <= labels of `plus` in the set - labels of `minus` in the set <=
# high. Knows names and ids; the part above finds rules that no set keeps, `decoding.rule_machine` searches
# under limits.

FORMS = (
    "exactly one of: a, b",
    "at most one of: a, b",
    "at least one of: a, b",
    "a and b never together",
    "a and b always together",
    "a -> b",
    "at most 5 labels",
    "never: a",
    "always: a",
)
"""What a line may look like, for messages."""

NUMBERS = {
    word: n
    for n, word in enumerate(
        ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
    )
}
COUNT = r"(?:(?P<how>exactly|at most|at least)\s+(?P<n>\w+)|between\s+(?P<low>\w+)\s+and\s+(?P<high>\w+))"
SIZE = re.compile(COUNT + r"\s+labels?", re.IGNORECASE)
GROUP = re.compile(COUNT + r"\s+of\s*:(?P<names>.*)", re.IGNORECASE)
EACH = re.compile(r"(?P<how>never|always)\s*:(?P<names>.*)", re.IGNORECASE)
TOGETHER = re.compile(r"(?P<names>.*\S)\s+(?P<how>never|always)\s+together", re.IGNORECASE)
ARROW = re.compile(r"(?P<left>.*?)(?:->|→)(?P<right>.*)")
QUOTED = r'"[^"]*"'


@dataclass(frozen=True)
class Rule:
    """One line.

    Attributes:
        text: as it was written.
        where: its file and line.
        limits: what it means.
    """

    text: str
    where: str
    limits: tuple[Limit, ...]

    def __str__(self) -> str:
        return f"{self.where}: {self.text}"


@dataclass(frozen=True)
class Rules:
    """Rules for the labels of one vocabulary; some set keeps them all.

    Attributes:
        rules: in the file's order.
        vocabulary: whose positions the limits name.

    Raises:
        InputError: no set can keep them all (the fewest rules that contradict each other are named).
    """

    rules: tuple[Rule, ...]
    vocabulary: Vocabulary

    def __post_init__(self) -> None:
        found = smallest_contradiction([rule.limits for rule in self.rules])
        if found is not None:
            lines = "\n  ".join(str(self.rules[i]) for i in found)
            what = (
                "this rule cannot be kept"
                if len(found) == 1
                else "no set of labels can keep these rules together"
            )
            raise InputError(f"{what}; change or remove one:\n  {lines}")

    def __len__(self) -> int:
        return len(self.rules)

    @property
    def limits(self) -> tuple[Limit, ...]:
        """The limits of all rules."""
        return tuple(limit for rule in self.rules for limit in rule.limits)

    @property
    def text(self) -> str:
        """The rules as a file holds them."""
        return "".join(rule.text + "\n" for rule in self.rules)

    def check_evidence(self, accepted: Sequence[int], rejected: Sequence[int], *, where: str = "") -> None:
        """Refuse accepted and rejected labels that no set can have under the rules.

        Raises:
            InputError: no set has them; the fewest labels and rules that contradict each other are named.
        """
        names = self.vocabulary.names
        constraints: list[tuple[str, tuple[Limit, ...]]]
        constraints = [(f"accepted: {names[i]}", (Limit((i,), (), 1, 1),)) for i in accepted]
        constraints += [(f"rejected: {names[i]}", (Limit((i,), (), 0, 0),)) for i in rejected]
        constraints += [(str(rule), rule.limits) for rule in self.rules]
        found = smallest_contradiction([limits for _, limits in constraints])
        if found is not None:
            lines = "\n  ".join(constraints[i][0] for i in found)
            raise InputError(f"{where}what is accepted and rejected contradicts the rules:\n  {lines}")


def read_rules(file: Path, vocabulary: Vocabulary) -> Rules:
    """Read a file of rules; blank lines, and what stands behind `# `, are left out.

    Raises:
        InputError: no such file, not UTF-8, no rule in it, lines that are no rule or name no label (all at once), or
            rules that contradict each other.
    """
    return rules_from(lines_of(file), vocabulary, source=str(file))


def parse_rules(text: str, vocabulary: Vocabulary, *, source: str = "rules") -> Rules:
    """Read rules from text; as `read_rules`.

    Example:
        >>> rules = parse_rules("exactly one of: indoor, outdoor", Vocabulary(("dog", "indoor", "outdoor")))
        >>> rules.limits[0].broken_by(np.array([[1, 0, 0], [0, 1, 0], [0, 1, 1]], dtype=bool)).tolist()
        [True, False, True]
    """
    return rules_from(lines_in(text), vocabulary, source=source)


def as_rules(given: "Rules | str | Path | Iterable[str]", vocabulary: Vocabulary) -> Rules:
    """Return rules for a vocabulary, however they are given.

    Args:
        given: rules, the path of a file of them, or their lines.
        vocabulary: the labels that the rules are about.

    Raises:
        InputError: as `read_rules`; rules for other labels.
    """
    if isinstance(given, Rules):
        if given.vocabulary != vocabulary:
            raise InputError(
                "the rules were read for other labels. Give their file or lines, to be read for these."
            )
        return given
    if isinstance(given, str | Path):
        return read_rules(Path(given), vocabulary)
    return parse_rules("\n".join(given), vocabulary)


def rules_from(lines: Iterator[tuple[int, str]], vocabulary: Vocabulary, *, source: str) -> Rules:
    """Read numbered lines; as `read_rules`."""
    found, problems = [], []
    for number, line in lines:
        text = _without_comment(line)
        try:
            found.append(Rule(text, f"{source}, line {number}", _limits(text, vocabulary)))
        except InputError as error:
            problems.append(f"line {number}, {text[:100]!r}: {error}")
    if problems:
        shown = "\n  ".join(problems[:10])
        more = f"\n  … and {len(problems) - 10} lines more" if len(problems) > 10 else ""
        raise InputError(f"{source} cannot be used:\n  {shown}{more}")
    if not found:
        raise InputError(f"{source} holds no rule. Write one a line, such as: {'; '.join(FORMS[:4])}.")
    return Rules(tuple(found), vocabulary)


def _limits(text: str, vocabulary: Vocabulary) -> tuple[Limit, ...]:
    """Return what a line means."""
    if found := SIZE.fullmatch(text):
        everything = tuple(range(len(vocabulary)))
        return (Limit(everything, (), *_bounds(found, len(vocabulary))),)
    if found := GROUP.fullmatch(text):
        ids = _named(found["names"], vocabulary, separators=r",|\s+and\s+|\s+or\s+")
        if len(ids) < 2:
            raise InputError(
                "this counts among at least two labels. Of one label, write always: a, or never: a."
            )
        return (Limit(ids, (), *_bounds(found, len(ids))),)
    if found := EACH.fullmatch(text):
        ids = _named(found["names"], vocabulary, separators=r",|\s+and\s+|\s+or\s+")
        count = 0 if found["how"].casefold() == "never" else len(ids)
        return (Limit(ids, (), count, count),)
    if found := TOGETHER.fullmatch(text):
        ids = _named(found["names"], vocabulary, separators=r",|\s+and\s+", least=2)
        if found["how"].casefold() == "always":
            return tuple(Limit((b,), (a,), 0, 0) for a, b in pairwise(ids))
        if len(ids) > 2:
            names = ", ".join(vocabulary.names_of(ids))
            raise InputError(
                f"of more than two labels this can mean two things. Write `at most one of: {names}` where no two may "
                f"meet, or `at most {len(ids) - 1} of: {names}` where only all of them may not."
            )
        return (Limit(ids, (), 0, 1),)
    if found := ARROW.fullmatch(text):
        left = _named(found["left"], vocabulary, separators=r",|\s+and\s+|\s+or\s+")
        right = _named(found["right"], vocabulary, separators=r",|\s+and\s+")
        if len(left) > 1:
            raise InputError(
                "one label stands before the arrow. Write a line for each that implies the others."
            )
        if left[0] in right:
            raise InputError("a label need not imply itself. Remove it behind the arrow.")
        return tuple(Limit((one,), left, 0, 1) for one in right)
    raise InputError(f"this is no rule. A rule is one of: {'; '.join(FORMS)}.")


def _bounds(found: re.Match[str], most: int) -> tuple[int, int]:
    if found["how"] is None:
        low, high = _number(found["low"]), _number(found["high"])
        if low > high:
            raise InputError(f"between {low} and {high} is nothing. Write the lesser number first.")
        return low, high
    how, n = " ".join(found["how"].casefold().split()), _number(found["n"])
    return {"exactly": (n, n), "at most": (0, n), "at least": (n, max(n, most))}[how]


def _number(word: str) -> int:
    if word.isdecimal() and len(word) < 7:
        return int(word)
    if word.casefold() not in NUMBERS:
        raise InputError(f"{word!r} is no number that rules know. Write 0, 1, 2, … or one to ten.")
    return NUMBERS[word.casefold()]


def _named(text: str, vocabulary: Vocabulary, *, separators: str, least: int = 1) -> tuple[int, ...]:
    """Return the ids of the labels that a list names; a name may hold what separates names, if it is a label so.

    Raises:
        InputError: no name, an unknown one (the nearest is proposed), one given twice, or a list that can be read in
            two ways (both are shown).
    """
    pieces = re.split(f"({QUOTED}|{separators})", text)
    # Names in quotes become pieces of their own between empty ones.
    tokens: list[str] = [""]
    for i, piece in enumerate(pieces):
        if i % 2 and not piece.startswith('"'):
            tokens += [piece, ""]
        else:
            tokens[-1] += piece
    position = {name: i for i, name in enumerate(vocabulary)}
    found = (one for one in _readings(tokens, position) if len(one) >= least)
    readings = [one for _, one in zip(range(2), found, strict=False)]
    if not readings:
        names = [_name(token) for token in tokens[::2]]
        if not all(names):
            raise InputError("a label is missing. Write labels with commas between them.")
        if unknown := [name for name in names if name not in position]:
            raise unknown_name("label", unknown[0], vocabulary)
        raise InputError(f"{text.strip()!r} names fewer than {least} labels.")
    if len(readings) > 1:
        shown = " or as ".join(", ".join(f'"{name}"' for name in one) for one in readings)
        raise InputError(f"the labels can be read as {shown}. Write them in quotes.")
    ids = [position[name] for name in readings[0]]
    if twice := [name for name in readings[0] if readings[0].count(name) > 1]:
        raise InputError(f"{twice[0]!r} is named twice. Remove it once.")
    return tuple(sorted(ids))


def _readings(tokens: list[str], position: dict[str, int]) -> Iterator[tuple[str, ...]]:
    """Yield the ways to read pieces, with what separates them in between, as known names."""
    if not tokens:
        yield ()
        return
    for count in range(1, len(tokens) + 1, 2):
        name = _name("".join(tokens[:count]))
        if name in position:
            for others in _readings(tokens[count + 1 :], position) if count < len(tokens) else [()]:
                yield (name, *others)


def _name(text: str) -> str:
    name = clean(text)
    return clean(name[1:-1]) if re.fullmatch(QUOTED, name) else name


def as_written(name: str) -> str | None:
    """Return a label's name as a rule writes it, in quotes where it needs them; None where no rule can write it.

    Example:
        >>> as_written("dog"), as_written("bow, weapon"), as_written('6" pipe')
        ('dog', '"bow, weapon"', None)
    """
    if '"' in name:
        return None
    return (
        f'"{name}"'
        if re.search(r"[,:#]|->|→|\b(and|or|never|always|together)\b", name, re.IGNORECASE)
        else name
    )


def _without_comment(line: str) -> str:
    """Return a line without what stands behind ` # `, quotes apart, and with single blanks."""
    kept = re.match(rf"(?:{QUOTED}|(?!\s#\s).)*", line)
    return " ".join((kept[0] if kept else line).split())
