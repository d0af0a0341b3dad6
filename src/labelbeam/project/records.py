"""What a project tells: a photograph, a change of what is decided of it, and a step. Knows no database."""

from dataclasses import dataclass
from pathlib import Path

from labelbeam.errors import InputError
from labelbeam.labels.targets import ABSENT, PRESENT


@dataclass(frozen=True)
class Photograph:
    """A photograph of a project.

    Attributes:
        id: its number in the project, from 1 on, in the order of adding.
        name: what its owner calls it: a file name, with folders where a folder was added. For showing only.
        path: where the file is.
        hash: SHA-256 of its bytes when it was added, hexadecimal.
        added: whether the project holds the bytes; False: it refers to a file of the user's.
        complete: whether somebody said that nothing else is on it: labels that nobody decided are absent.
    """

    id: int
    name: str
    path: Path
    hash: str
    added: bool
    complete: bool


@dataclass(frozen=True)
class Change:
    """What is decided of one label of one photograph from now on.

    Attributes:
        image: number of the photograph.
        label: its name.
        value: PRESENT (1, accepted), ABSENT (0, rejected) or None (nobody decided).

    Raises:
        InputError: another value.
    """

    image: int
    label: str
    value: int | None

    def __post_init__(self) -> None:
        if self.value not in (PRESENT, ABSENT, None):
            raise InputError(
                f"a label is accepted (1), rejected (0) or undecided (null); given {self.value!r}."
            )


@dataclass(frozen=True)
class Step:
    """What one click or one bulk action, or taking it back, changed; as it is now.

    Attributes:
        changes: of decisions.
        others: whether photographs or labels themselves changed: marked as complete, removed, renamed.
    """

    changes: tuple[Change, ...] = ()
    others: bool = False
