"""A tagging project (`labelbeam serve --project`) as a data set: what was accepted and rejected, the rest unknown.

    labelbeam train --data project:holiday.lbp …
    labelbeam data convert project:holiday.lbp csv:tags.csv

The file may be in use meanwhile. Knows no page and no model.
"""

from pathlib import Path

from labelbeam.data.dataset import Dataset
from labelbeam.data.options import DEFAULTS, ReadOptions
from labelbeam.data.paths import is_file
from labelbeam.errors import InputError
from labelbeam.formats.parts.labelled_images import labelled_dataset
from labelbeam.formats.parts.list_file import refuse_split_in_file
from labelbeam.labels.targets import UNKNOWN
from labelbeam.project.project_file import Project


def read_project(path: Path, split: str, *, options: ReadOptions = DEFAULTS) -> Dataset:
    """Read a project.

    Args:
        path: the project file.
        split: empty or `all`.
        options: `keep_unlabelled`, `missing`.

    Returns:
        The data set: accepted labels present, rejected ones absent, all others unknown. Labels that nobody accepted
        or rejected anywhere are left out, and so are photographs of which nothing was decided.

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
        decisions = project.decisions()
        photographs = project.photographs()
        used = {name for said in decisions.values() for name in said}
        names = [name for name in project.labels() if name in used]
        images = project.images.name
    if not decisions:
        raise InputError(f"{spec}: nothing is accepted or rejected yet, so there is nothing to learn.")
    left_out = len(photographs) - len(decisions)
    return labelled_dataset(
        [
            (f"{images}/{one.path.name}" if one.added else one.path.as_posix(), decisions[one.id])
            for one in photographs
            if one.id in decisions
        ],
        spec=spec,
        root=path.parent,
        names=names,
        unsaid=UNKNOWN,
        layout="accepted is present, rejected is absent, undecided is unknown",
        options=options,
        notes=[f"{left_out} photographs of which nothing was decided are left out."] if left_out else [],
    )
