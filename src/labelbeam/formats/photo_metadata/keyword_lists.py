"""The lists in which photographs carry keywords, and how one keyword is written in each; hierarchies are kept.

A flat list holds `Dog`, Lightroom's `Animals|Dog`, digiKam's `Animals/Dog`. A label with `|` is such a path. Knows
no file and no XML.
"""

from collections.abc import Iterable, Mapping, Sequence

from labelbeam.errors import InputError, unknown_name
from labelbeam.labels.names import clean

FIELDS = ("dc:subject", "lr:hierarchicalSubject", "digiKam:TagsList")
"""Lists of keywords in XMP."""

IPTC = "IPTC"
"""The list of keywords in IPTC (2:25): flat, and only inside photographs."""

FLAT = ("dc:subject", IPTC)
"""Lists that know no hierarchy."""

CHOICES = {"subject": FIELDS[0], "hierarchical": FIELDS[1], "tagslist": FIELDS[2], "iptc": IPTC}
"""What the command line calls them."""

PROGRAMS = frozenset({"darktable", "_Digikam_Internal_Tags_", "_Digikam_root_tag_"})
"""Tops of paths that programs write for themselves (`darktable|format|jpg`)."""

Lists = dict[str, list[str]]
"""Entries by the name of their list; a list that is not there is missing."""


def chosen_lists(text: str | None) -> tuple[str, ...]:
    """Return the lists that the command line names; all where it names none.

    Raises:
        InputError: an unknown name, or none.

    Example:
        >>> chosen_lists("subject,iptc")
        ('dc:subject', 'IPTC')
    """
    if text is None:
        return tuple(CHOICES.values())
    names = [name.strip() for name in text.split(",") if name.strip()]
    for name in names:
        if name not in CHOICES:
            raise unknown_name("list of keywords", name, CHOICES)
    if not names:
        raise InputError(f"--keyword-lists names no list. Give some of {', '.join(CHOICES)}.")
    return tuple(CHOICES[name] for name in CHOICES if name in names)


def levels_of(name: str, entry: str) -> tuple[str, ...]:
    """Return an entry's levels, the top first.

    Example:
        >>> levels_of("digiKam:TagsList", "Music/AC|DC"), levels_of("dc:subject", "AC/DC")
        (('Music', 'AC/DC'), ('AC/DC',))
    """
    if name in FLAT:
        return (entry,)
    parts = entry.split("/") if name == "digiKam:TagsList" else entry.split("|")
    # Within a level digiKam's separator is written as Lightroom's, as Immich does, too.
    levels = (part.replace("|", "/") if name == "digiKam:TagsList" else part for part in parts)
    return tuple(level.strip() for level in levels if level.strip())


def entry_of(name: str, levels: Sequence[str]) -> str:
    """Return how a list writes a keyword.

    Example:
        >>> entry_of("digiKam:TagsList", ["auto", "AC/DC"]), entry_of("dc:subject", ["auto", "dog"])
        ('auto/AC|DC', 'dog')
    """
    if name in FLAT:
        return levels[-1]
    if name == "digiKam:TagsList":
        return "/".join(level.replace("/", "|") for level in levels)
    return "|".join(levels)


def label_levels(label: str, root: str = "") -> tuple[str, ...]:
    """Return the levels of a label, below a root for machine tags where there is one."""
    levels = levels_of("lr:hierarchicalSubject", label) or (label,)
    return (*levels_of("lr:hierarchicalSubject", root), *levels) if root else levels


def without_programs(lists: Mapping[str, Sequence[str]]) -> Lists:
    """Return lists without what programs keep for themselves, and without its levels where they stand alone.

    Example:
        >>> without_programs({"dc:subject": ["sea", "jpg"], "lr:hierarchicalSubject": ["darktable|format|jpg"]})
        {'dc:subject': ['sea'], 'lr:hierarchicalSubject': []}
    """
    paths = {
        levels_of(name, entry) for name, entries in lists.items() if name not in FLAT for entry in entries
    }
    own = {levels for levels in paths if levels and levels[0] in PROGRAMS}
    if not own:
        return {name: list(entries) for name, entries in lists.items()}
    alone = {level for levels in own for level in levels} - {x for levels in paths - own for x in levels}
    return {
        name: [
            entry
            for entry in entries
            if (entry not in alone if name in FLAT else levels_of(name, entry) not in own)
        ]
        for name, entries in lists.items()
    }


def paths_in(lists: Mapping[str, Sequence[str]]) -> list[tuple[str, ...]]:
    """Return every keyword once, as a path; a flat one that is a level of a path is that path.

    Example:
        >>> paths_in({"dc:subject": ["Madrid", "Anna"], "lr:hierarchicalSubject": ["Places|Madrid"]})
        [('Places', 'Madrid'), ('Anna',)]
    """
    deep = dict.fromkeys(
        levels_of(name, entry) for name, entries in lists.items() if name not in FLAT for entry in entries
    )
    inner = {clean(level) for levels in deep if len(levels) > 1 for level in levels}
    flat = [(entry,) for name in FLAT for entry in lists.get(name, ())]
    single = [levels for levels in (*flat, *deep) if len(levels) == 1 and clean(levels[0]) not in inner]
    return list(dict.fromkeys([*(levels for levels in deep if len(levels) > 1), *single]))


def keywords_in(lists: Mapping[str, Sequence[str]], level: str = "leaf", root: str = "") -> list[str]:
    """Return the keywords of lists as labels.

    Args:
        lists: entries by the name of their list.
        level: `leaf` (the last level, and whatever the flat lists name), `top` (the first), `path` (all, with `|`
            between them) or `all` (each level is a label).
        root: of machine tags; it is no level.

    Example:
        >>> lists = {"dc:subject": ["Madrid"], "lr:hierarchicalSubject": ["Places|Madrid", "Dog"]}
        >>> [keywords_in(lists, level) for level in ("leaf", "top", "path")]
        [['Madrid', 'Dog'], ['Places', 'Dog'], ['Places|Madrid', 'Dog']]
    """
    top = levels_of("lr:hierarchicalSubject", root)
    paths = [
        levels[len(top) :] if top and levels[: len(top)] == top else levels for levels in paths_in(lists)
    ]
    paths = [levels for levels in paths if levels]
    if level == "leaf":
        flat = [entry for name in FLAT for entry in lists.get(name, ()) if entry not in top]
        return list(dict.fromkeys([*flat, *(levels[-1] for levels in paths)]))
    if level == "top":
        return list(dict.fromkeys(levels[0] for levels in paths))
    if level == "path":
        return list(dict.fromkeys("|".join(levels) for levels in paths))
    return list(dict.fromkeys(name for levels in paths for name in levels))


def lists_of(labels: Sequence[str]) -> Lists:
    """Return the lists of XMP that hold labels and nothing else.

    Example:
        >>> lists_of(["AC/DC"])["digiKam:TagsList"]
        ['AC|DC']
    """
    return {name: [entry_of(name, label_levels(label)) for label in labels] for name in FIELDS}


def seeded(name: str, lists: Mapping[str, Sequence[str]]) -> list[str]:
    """Return what a list that is new to a file starts with: every keyword of the others, which it would hide.

    A program that knows one list looks at no other: darktable reads `dc:subject` only where there is no
    `lr:hierarchicalSubject`.
    """
    if name in lists:
        return list(lists[name])
    if name in FLAT:
        return keywords_in(lists)
    return [entry_of(name, levels) for levels in paths_in(lists)]


def holds(name: str, entries: Iterable[str], label: str) -> bool:
    """Return whether a list has a label already, at whatever place of a hierarchy."""
    wanted = tuple(map(clean, label_levels(label)))
    for entry in entries:
        levels = tuple(map(clean, levels_of(name, entry)))
        if levels[-len(wanted) :] == wanted or (name in FLAT and levels == wanted[-1:]):
            return True
    return False
