"""A tagging project (`labelbeam serve --project`) as a data set: what was accepted and rejected, the rest unknown.

Of photographs that are marked as complete, the rest is absent.

    labelbeam train --data project:holiday.lbp …
    labelbeam data convert project:holiday.lbp csv:tags.csv

The file may be in use meanwhile. Knows no page and no model.
"""

from pathlib import Path

from labelbeam.data.dataset import DEFAULTS, Dataset, ReadOptions
from labelbeam.errors import InputError
from labelbeam.files import is_file
from labelbeam.formats.labelled_images import labelled_dataset
from labelbeam.formats.placing import refuse_split_in_file
from labelbeam.labels.vocabulary import ABSENT, UNKNOWN
from labelbeam.project.project_file import Project
from labelbeam.project.schema import Photograph


def read_project(path: Path, split: str, *, options: ReadOptions = DEFAULTS) -> Dataset:
    """Read a project.

    Accepted labels are present, rejected ones absent, all others unknown, or absent where the photograph is marked as
    complete. Labels that nobody accepted or rejected anywhere are left out, and so are photographs of which nothing is
    decided. `root` is a folder that holds all photographs, to place them from.

    Raises:
        InputError: no such file, no project, nothing decided yet, another split, or image files that are missing.
    """
    spec = f"project:{path}" + (f"#{split}" if split else "")
    refuse_split_in_file(split, path, spec)
    if not is_file(path):  # opening it would make one
        raise InputError(
            f"{spec}: {path} is not a file. Give the file that `labelbeam serve --project` wrote."
        )
    with Project(path) as project:
        known = project.known()
        photographs = project.photographs()
        used = {name for labels in known.values() for name in labels}
        names = [name for name in project.labels() if name in used]
        images = project.images.name
    if not known:
        raise InputError(f"{spec}: nothing is accepted or rejected yet, so there is nothing to learn.")
    left_out = len(photographs) - len(known)
    notes = [f"{left_out} photographs of which nothing was decided are left out."] if left_out else []
    never = [name for name in names if not any(labels.get(name) == ABSENT for labels in known.values())]
    if never:
        notes.append(_only_accepted(never, len(names)))
    return labelled_dataset(
        [(_key(one, images, options.root), known[one.id]) for one in photographs if one.id in known],
        spec=spec,
        root=options.root or path.parent,
        names=names,
        unsaid=UNKNOWN,
        layout="accepted is present, rejected is absent, undecided is unknown (absent where marked as complete)",
        options=options,
        notes=notes,
    )


def _key(photograph: Photograph, images: str, root: Path | None) -> str:
    """Return where a photograph is: from the root or the project's own folder where it lies below, else in full."""
    path = photograph.path.absolute()
    if root is not None:
        return (
            path.relative_to(root.absolute()) if path.is_relative_to(root.absolute()) else path
        ).as_posix()
    return f"{images}/{path.name}" if photograph.added else path.as_posix()


def _only_accepted(never: list[str], count: int) -> str:
    """Say that nothing teaches a model where these labels are not, and what to do."""
    some = ", ".join(never[:5]) + (", …" if len(never) > 5 else "")
    which = "all labels" if len(never) == count else f"{len(never)} of {count} labels ({some})"
    return (
        f"warning: {which} were accepted but are nowhere known to be absent: a model learns from that to see them on "
        "every photograph. On the page, mark photographs as complete (d: nothing else is on it), or reject labels."
    )
