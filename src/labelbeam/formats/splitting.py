"""From what a user asks of a split to parts, groups and a CSV file that can be read again."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Int

from labelbeam.data.dataset import DEFAULTS, Dataset, ReadOptions
from labelbeam.data.stratified import SplitBalance, balance_of, split
from labelbeam.errors import InputError, unknown_name
from labelbeam.formats.csv_rows import image_column, opened_table
from labelbeam.formats.csv_table import write_csv
from labelbeam.formats.documents import plain_path
from labelbeam.formats.registry import parse_spec
from labelbeam.formats.vectors import write_vectors


def numbered(keys: Iterable[str]) -> Int[np.ndarray, " images"]:
    """Return the same number for the same key, by first appearance.

    Example:
        >>> numbered(["anna", "ben", "anna"]).tolist()
        [0, 1, 0]
    """
    number: dict[str, int] = {}
    return np.array([number.setdefault(key, len(number)) for key in keys], dtype=np.int64)


def folders_of(images: Sequence[str]) -> list[str]:
    """Return the folder of each image key.

    Example:
        >>> folders_of(["anna/1.jpg", "2.jpg"])
        ['anna', '']
    """
    return [image.rpartition("/")[0] for image in images]


def matches_of(images: Sequence[str], pattern: str) -> list[str]:
    r"""Return what a regular expression finds in each image key.

    Args:
        pattern: searched anywhere in the key; its first pair of parentheses is the group's key, without any the
            whole match is.

    Raises:
        InputError: not a regular expression, or keys in which it finds nothing (counted, five shown).

    Example:
        >>> matches_of(["walk/p07_001.jpg", "walk/p07_002.jpg", "p08_1.jpg"], r"(p\d+)_")
        ['p07', 'p07', 'p08']
    """
    try:
        expression = re.compile(pattern)
    except re.error as error:
        raise InputError(f"{pattern!r} is not a regular expression: {error}.") from None
    found = [expression.search(image) for image in images]
    if lost := [image for image, match in zip(images, found, strict=True) if match is None]:
        raise InputError(
            f"{pattern!r} finds nothing in {len(lost)} of {len(images)} image names: {', '.join(lost[:5])}. "
            "Widen it, so that each image has a group."
        )
    keys = [match.group(1 if expression.groups else 0) for match in found if match is not None]
    if empty := [image for image, key in zip(images, keys, strict=True) if not key]:
        raise InputError(
            f"{pattern!r} finds an empty group in {len(empty)} of {len(images)} image names: {', '.join(empty[:5])}. "
            "They would all be one group; write a pattern whose parentheses take part in every match."
        )
    return keys


@dataclass(frozen=True)
class Plan:
    """The parts that are wanted.

    Attributes:
        names: of the parts, as the column `split` will hold them.
        fractions: the share of each.

    Raises:
        InputError: fewer than two parts, names that are no names of splits, shares that do not sum to 1.

    Example:
        >>> plan_of(parts="train=0.8,test=0.2", folds=None)
        Plan(names=('train', 'test'), fractions=(0.8, 0.2))
        >>> plan_of(parts=None, folds=2).names
        ('fold0', 'fold1')
    """

    names: tuple[str, ...]
    fractions: tuple[float, ...]

    def __post_init__(self) -> None:
        bad = [name for name in self.names if not re.fullmatch(r"[^\s#,;:]+", name)]
        if bad or len(set(self.names)) < len(self.names):
            raise InputError(
                f"parts need different names without blanks and '#'; given {', '.join(self.names)}."
            )
        if taken := [name for name in self.names if name == "all" or name.startswith("not-")]:
            raise InputError(
                f"{taken[0]!r} means something else behind '#' (all, not-SPLIT). Name the part otherwise."
            )
        if len(self.names) < 2 or min(self.fractions) <= 0 or not abs(sum(self.fractions) - 1) <= 1e-6:
            given = ", ".join(
                f"{name}={share:g}" for name, share in zip(self.names, self.fractions, strict=True)
            )
            raise InputError(
                f"a split needs at least two parts whose shares are above 0 and sum to 1; given {given} (sum "
                f"{sum(self.fractions):g}). Write --parts train=0.8,val=0.1,test=0.1"
            )


def plan_of(*, parts: str | None, folds: int | None) -> Plan:
    """Read what `--parts` and `--folds` say.

    Args:
        parts: `train=0.8,val=0.1,test=0.1`.
        folds: number of equal parts, `fold0`, `fold1`, ….

    Raises:
        InputError: both or none of them, or what `Plan` refuses.
    """
    if (parts is None) == (folds is None):
        raise InputError("give --parts train=0.8,val=0.1,test=0.1 or --folds 5, one of them.")
    if folds is not None:
        if folds < 2:
            raise InputError(f"cross-validation needs at least 2 folds, given {folds}.")
        return Plan(tuple(f"fold{k}" for k in range(folds)), (1 / folds,) * folds)
    names, shares = [], []
    for text in (parts or "").split(","):
        name, _, share = text.partition("=")
        try:
            shares.append(float(share))
        except ValueError:
            raise InputError(
                f"--parts: {text.strip()!r} is not NAME=SHARE. Write --parts train=0.8,val=0.1,test=0.1"
            ) from None
        names.append(name.strip())
    return Plan(tuple(names), tuple(shares))


@dataclass(frozen=True, eq=False)
class Split:
    """A data set dealt out.

    Attributes:
        plan: the parts that were wanted.
        parts: name to indices of its images, ascending; each image is in one part.
        balance: how well they hold their shares.
        num_groups: number of groups that were kept together; None where each image went on its own.
    """

    plan: Plan
    parts: Mapping[str, np.ndarray]
    balance: SplitBalance
    num_groups: int | None


def split_dataset(
    dataset: Dataset,
    plan: Plan,
    *,
    seed: int,
    group_by: str | None = None,
    options: ReadOptions = DEFAULTS,
) -> Split:
    """Deal out the images of a data set.

    Raises:
        InputError: more parts than images or groups, or what `groups_of` refuses.
    """
    groups = None if group_by is None else groups_of(dataset, group_by, options=options)
    found = split(dataset.targets, plan.fractions, seed=seed, groups=groups)
    parts = dict(zip(plan.names, found, strict=True))
    if empty := [name for name, rows in parts.items() if not len(rows)]:
        raise InputError(
            f"{dataset.spec}: the part {empty[0]!r} would have no image. Use fewer parts"
            f"{'' if groups is None else ', or smaller groups'}."
        )
    balance = balance_of(dataset.targets, dataset.vocabulary.names, parts, plan.fractions)
    return Split(plan, parts, balance, None if groups is None else int(groups.max()) + 1)


def groups_of(
    dataset: Dataset, group_by: str, *, options: ReadOptions = DEFAULTS
) -> Int[np.ndarray, " images"]:
    """Return the group of each image.

    Args:
        group_by: `folder` (those in one folder), `match:REGEX` (those in whose name the expression finds the same)
            or `column:NAME` (those with the same value in a column of the CSV file that the data set came from).
        options: how the data set was read.

    Raises:
        InputError: another word; an expression that is none or finds nothing; a data set that is no CSV file, a
            column that is not there, an image without a value or with several.
    """
    way, _, rest = group_by.partition(":")
    if group_by == "folder":
        return numbered(folders_of(dataset.images))
    if way == "match" and rest:
        return numbered(matches_of(dataset.images, rest))
    if way == "column" and rest:
        return numbered(_column(dataset, rest, options))
    if way in ("folder", "match", "column"):
        raise InputError(f"--group-by {group_by!r}: write folder, match:REGEX or column:NAME.")
    raise unknown_name("way to group", group_by, ("folder", "match:REGEX", "column:NAME"))


def _column(dataset: Dataset, name: str, options: ReadOptions) -> list[str]:
    """Return the values of a column of the data set's CSV file, one per image."""
    parsed = parse_spec(dataset.spec)
    if parsed.format != "csv" or parsed.path is None or not parsed.path.is_file():
        raise InputError(
            f"--group-by column:{name} needs a CSV file; {dataset.spec} is none. Use match:REGEX or folder."
        )
    value_of: dict[str, str] = {}
    with opened_table(parsed.path, encoding=options.encoding) as table:
        if name not in table.header:
            raise InputError(f"{table.source}: {unknown_name('column', name, table.header)}")
        column, image = table.column(name), image_column(table, options)
        for line, fields in table.rows:
            key, value = plain_path(fields[image]), fields[column] if column < len(fields) else ""
            if value_of.setdefault(key, value) != value:
                raise InputError(
                    f"{table.source}, line {line}: {key} has {value!r} in column {name!r}, and "
                    f"{value_of[key]!r} before. An image belongs to one group."
                )
    if lost := [key for key in dataset.images if not value_of.get(key)]:
        raise InputError(
            f"{parsed.path}: {len(lost)} images have no value in column {name!r}: {', '.join(lost[:5])}. "
            "Fill it in."
        )
    return [value_of[key] for key in dataset.images]


def write_parts(dataset: Dataset, parts: Mapping[str, np.ndarray], file: Path) -> tuple[str, ...]:
    """Write images, labels and the part of each to a CSV file that `csv:FILE#PART` reads; vectors to `vectors:FILE`.

    Raises:
        InputError: something is there already, or names that would not come back as they are.
    """
    part_of = [""] * len(dataset)
    for name, rows in parts.items():
        for i in rows.tolist():
            part_of[i] = name
    if dataset.features is not None:
        return write_vectors(dataset, file, splits=part_of)
    return write_csv(dataset, file, splits=part_of)
