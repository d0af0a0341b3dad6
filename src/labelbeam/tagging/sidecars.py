"""Decided labels beside the images: a text file of tags each, or an XMP sidecar that photo programs read.

Written image by image while a job goes on; writing one again changes nothing, so a job that goes on after a kill may
do its last images twice. What people wrote stays: of an XMP sidecar everything but the list of keywords, to which
labels are added and from which none is taken; a text file with other content is not replaced unless told so.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path, PurePath

from labelbeam.data.image_bytes import within_archive
from labelbeam.errors import InputError
from labelbeam.files import is_folder, written_whole
from labelbeam.formats.keywords import SUFFIX, new_sidecar, sidecars_of, with_keywords
from labelbeam.formats.photo_metadata import xmp_keywords
from labelbeam.formats.placing import refuse_unwritable
from labelbeam.labels.names import clean
from labelbeam.predict.prediction import Prediction

KINDS = ("txt", "xmp")
"""Kinds of sidecars."""


class Sidecars:
    r"""Where sidecars go and what is in them.

    Example:
        >>> import tempfile
        >>> from labelbeam.predict.prediction import ScoredLabel
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     beside = Sidecars("txt", Path(folder), labels=["dog"], named=[])
        ...     dog = ScoredLabel("dog", 0.9, 0.9, 0.9, 0.0)
        ...     beside.write(Prediction(f"{folder}/a/b.jpg", (dog,))), Path(folder, "a", "b.txt").read_text()
        ('', 'dog\n')
    """

    def __init__(
        self, kind: str, out: Path, *, labels: Iterable[str], named: Sequence[str], replace: bool = False
    ) -> None:
        """Prepare; nothing is written yet.

        Args:
            kind: `txt` or `xmp`.
            out: a folder. Images inside it get their sidecar beside them; others below it, at the path that they
                have inside the folder that was named, or else as they were named.
            labels: every label that may be decided.
            named: what the user named: folders that images come from.
            replace: whether a text file with other content is replaced.

        Raises:
            InputError: a label that such a file cannot hold.
        """
        spec = f"--format {kind}"
        refuse_unwritable(labels, spec, without=",\n\r\0" if kind == "txt" else "", control=kind == "xmp")
        self.kind, self.replace = kind, replace
        self.out = out
        self._home = out.resolve()
        self._folders = [Path(name) for name in named if is_folder(Path(name))]
        self._owners: tuple[Path, dict[Path, str]] = (Path(), {})

    def write(self, prediction: Prediction) -> str:
        """Write the sidecar of an image.

        Args:
            prediction: of an image that could be read.

        Returns:
            Why nothing was written; empty where it was.

        Raises:
            OSError: no space, no permission.
        """
        image = Path(prediction.image)
        place = self.place(image)
        target = self._target(place)
        folder, owners = self._owners
        if folder != target.parent:
            target.parent.mkdir(parents=True, exist_ok=True)
            self._owners = (target.parent, owners := {})
        if owners.setdefault(target, prediction.image) != prediction.image:
            return f"{target} is the file of {owners[target]} too; rename one of the images."
        labels = [one.label for one in prediction.labels]
        if self.kind == "xmp":
            return _write_xmp(target, labels)
        return _write_text(target, labels, replace=self.replace)

    def place(self, image: Path) -> Path:
        """Return where an image would lie for its sidecar to lie beside it."""
        inside = within_archive(image)
        # The image itself may be a link: its sidecar belongs beside the link, where photo programs look.
        if inside is None and image.parent.resolve().is_relative_to(self._home):
            return image
        for folder in self._folders:
            if image.is_relative_to(folder):
                return self.out / image.relative_to(folder)
        return self.out / PurePath(*(part for part in image.parts if part not in (image.anchor, "..")))

    def _target(self, place: Path) -> Path:
        if self.kind == "txt":
            return place.with_suffix(".txt")
        return next(sidecars_of(place), place.with_name(place.name + SUFFIX))


def _write_text(target: Path, labels: list[str], *, replace: bool) -> str:
    # Without a label the file is there, and empty: that is what was decided.
    content = (", ".join(labels) + "\n" if labels else "").encode()
    if target.exists():
        try:
            before = target.read_bytes()
        except IsADirectoryError:
            return f"{target} is a folder."
        if before == content:
            return ""
        if not replace:
            return f"{target} is there with other content; add --overwrite to replace it."
    with written_whole(target) as part:
        part.write_bytes(content)
    return ""


def _write_xmp(target: Path, labels: list[str]) -> str:
    try:
        if target.exists():
            before = target.read_bytes()
            keywords = xmp_keywords(before, str(target)) or []
            have = {clean(keyword) for keyword in keywords}
            new = [label for label in labels if label not in have]
            if not new:
                return ""
            content = with_keywords(before, [*keywords, *new], str(target))
        else:
            content = new_sidecar(labels)
    except InputError as error:
        return str(error)
    with written_whole(target) as part:
        part.write_bytes(content)
    return ""
