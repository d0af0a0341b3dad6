"""Decided labels as keywords: a text file or an XMP sidecar beside each image, or inside the photograph itself.

Written image by image while a job goes on; writing one again changes nothing, so a job that goes on after a kill may
do its last images twice. What people wrote stays: of XMP everything but the lists of keywords, of which a run takes
away only what runs wrote; a text file with other content is not replaced unless asked for. What is written where is
kept in the record (`photo_metadata.written`), by which `labelbeam untag` takes a run's tags back.
"""

import errno
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path, PurePath

from labelbeam.data.image_bytes import image_exists, within_archive
from labelbeam.errors import InputError, unknown_name
from labelbeam.files import exists, is_folder, written_whole
from labelbeam.formats.photo_metadata import photographs
from labelbeam.formats.photo_metadata.embedded import WITH_IPTC, ExifTool
from labelbeam.formats.photo_metadata.keyword_lists import IPTC, Lists, chosen_lists
from labelbeam.formats.photo_metadata.written import OwnTags, WrittenTags, place_of, record_folder, without
from labelbeam.formats.placing import refuse_unwritable
from labelbeam.predict.prediction import Prediction

KINDS = ("txt", "xmp", "embed")
"""Where keywords go: beside an image, or inside it."""

RECORD = "tags.jsonl"
"""What the record of a job is called that writes sidecars below a folder."""

TEXT = "text"
"""The list of a text file, as the record calls it."""

FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
"""Errors that no other image would be spared."""


@dataclass(frozen=True)
class KeywordChoices:
    """How keywords are written.

    Attributes:
        lists: which lists, as `keyword_lists.chosen_lists` takes them; None: every one that the file can hold.
        root: of hierarchies, above every label; empty: none.
        naming: of sidecars that are new, one of `photographs.NAMINGS`.
        run: name and fingerprint of what decides, for the record.
        rejected: of an image, the labels that a person rejected in a project.

    Raises:
        InputError: an unknown list or naming.
    """

    lists: str | None = None
    root: str = ""
    naming: str = "auto"
    run: str = ""
    rejected: Callable[[Path], Collection[str]] = lambda image: ()

    def __post_init__(self) -> None:
        chosen_lists(self.lists)
        if self.naming not in photographs.NAMINGS:
            raise unknown_name("naming of sidecars", self.naming, photographs.NAMINGS)

    def names(self, image: Path, kind: str) -> tuple[str, ...]:
        """Return the lists to write for an image; IPTC only where a photograph can hold it."""
        inside = kind == "embed" and image.suffix.lower() in WITH_IPTC
        return tuple(name for name in chosen_lists(self.lists) if name != IPTC or inside)


class Sidecars:
    r"""Where keywords go and what is in them.

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
        self,
        kind: str,
        out: Path,
        *,
        labels: Iterable[str],
        named: Sequence[str],
        replace: bool = False,
        choices: KeywordChoices | None = None,
    ) -> None:
        """Prepare; nothing is written yet but the record's index.

        Args:
            kind: one of `KINDS`.
            out: a folder. Images inside it get their sidecar beside them; others below it, at the path that they
                have inside the folder that was named, or else as they were named.
            labels: every label that may be decided.
            named: what the user named: folders that images come from.
            replace: whether a text file with other content is replaced.

        Raises:
            InputError: a label that such a file cannot hold; ExifTool is needed and not there.
        """
        refuse_unwritable(
            labels, f"--format {kind}", without=",\n\r\0" if kind == "txt" else "", control=kind != "txt"
        )
        self.kind, self.replace = kind, replace
        self.out = out
        self.choices = choices or KeywordChoices()
        self._tool = ExifTool() if kind == "embed" else None
        self._home = out.resolve()
        self._folders = [Path(name) for name in named if is_folder(Path(name))]
        out.mkdir(exist_ok=True)
        self._written = WrittenTags(record_folder(out))

    def write(self, prediction: Prediction) -> str:
        """Write an image's keywords.

        Returns:
            Why nothing was written; empty where it was.

        Raises:
            OSError: no space.
        """
        image = Path(prediction.image)
        labels = [one.label for one in prediction.labels]
        try:
            if self.kind == "embed":
                return self._embed(image, labels)
            place = self.place(image)
            place.parent.mkdir(parents=True, exist_ok=True)
            return (
                self._write_text(image, place, labels)
                if self.kind == "txt"
                else self._write_xmp(image, place, labels)
            )
        except InputError as error:
            return str(error)
        except OSError as error:
            if error.errno in FULL:
                raise
            return f"{error.filename or image} cannot be used ({error.strerror})."

    def take_along(self, before: Path, image: Path) -> None:
        """Note that a photograph lies elsewhere now: what runs wrote of it is in the sidecar that moved with it."""
        old, new = (self.place(path) for path in (before, image))
        if self.kind == "embed":
            pairs = [(before, image)]
        elif self.kind == "txt":
            pairs = [(old.with_suffix(".txt"), new.with_suffix(".txt"))]
        else:
            names = (lambda path: path.name + ".xmp"), (lambda path: path.with_suffix(".xmp").name)
            pairs = [(old.with_name(name(old)), new.with_name(name(new))) for name in names]
        for was, now in pairs:
            own = self._written.owned(was)
            if own is not None and not exists(was):
                if exists(now):
                    self._written.keep(now, replace(own, image=self._written.name(image)))
                self._written.keep(was, None)

    def finish(self) -> None:
        """Write the record of what was written."""
        self._written.finish()
        self.close()

    def close(self) -> None:
        """Leave the record to be gone on with."""
        self._written.close()
        if self._tool is not None:
            self._tool.close()

    def place(self, image: Path) -> Path:
        """Return where an image would lie for its sidecar to lie beside it."""
        inside = within_archive(image)
        # The image itself may be a link: its sidecar belongs beside the link, where photo programs look.
        if inside is None and place_of(image).is_relative_to(self._home):
            return image
        for folder in self._folders:
            if image.is_relative_to(folder):
                return self.out / image.relative_to(folder)
        return self.out / PurePath(*(part for part in image.parts if part not in (image.anchor, "..")))

    def _write_xmp(self, image: Path, place: Path, labels: list[str]) -> str:
        target = photographs.sidecar_for(place, self.choices.naming, image=image)
        lists = photographs.sidecar_lists(target)
        inside = None if lists else self._people_keywords(image)
        before, own = self._own(image, target, lists)
        changes, after = own.replaced(
            lists or {},
            labels,
            names=self.choices.names(image, self.kind),
            elsewhere=inside,
            root=self.choices.root,
            run=self.choices.run,
        )
        after = replace(after, created=own.created or (lists is None and bool(changes)))
        if changes:
            with self._intending(target, after, before=before, lists=lists):
                photographs.write_sidecar(target, changes, created=own.created)
        self._written.keep(target, after)
        return ""

    def _embed(self, image: Path, labels: list[str]) -> str:
        if within_archive(image) is not None or not place_of(image).is_relative_to(self._home):
            return f"{image} lies outside {self.out}. To change photographs, give their own folder as --out."
        lists, _ = photographs.embedded_lists(image)
        before, own = self._own(image, image, lists)
        changes, after = own.replaced(
            lists,
            labels,
            names=self.choices.names(image, self.kind),
            root=self.choices.root,
            run=self.choices.run,
        )
        if changes and self._tool is not None:
            with self._intending(image, after, before=before, lists=lists):
                self._tool.write(image, changes)
        self._written.keep(image, after)
        return ""

    def _write_text(self, image: Path, place: Path, labels: list[str]) -> str:
        # Without a label the file is there, and empty: that is what was decided.
        target = place.with_suffix(".txt")
        there = target.read_text(encoding="utf-8", errors="replace") if target.exists() else None
        before, own = self._own(image, target, None if there is None else {TEXT: [there]})
        labels = [label for label in labels if label not in own.unwanted]
        content = text_of(labels)
        ours = own.created and there == text_of(own.wrote)
        if there not in (None, content) and not ours and not self.replace:
            return f"{target} is there with other content; add --overwrite to replace it."
        wrote = {label: [TEXT] for label in labels}
        after = replace(
            own, run=self.choices.run, wrote=wrote, created=own.created or there is None or self.replace
        )
        if there != content:
            lists = None if there is None else {TEXT: [there]}
            with (
                self._intending(target, after, before=before, lists=lists),
                written_whole(target) as part,
            ):
                part.write_bytes(content.encode())
        self._written.keep(target, after)
        return ""

    def _people_keywords(self, image: Path) -> Lists:
        """Return the keywords that a photograph has elsewhere, without those of runs; damaged metadata are none."""
        if within_archive(image) is not None:
            return {}
        try:
            found = photographs.photo_keywords(image)
        except InputError:
            return {}
        own = self._written.owned(found.origin or image, found.lists)
        return found.lists if own is None else without(found.lists, own)

    @contextmanager
    def _intending(
        self, target: Path, after: OwnTags, *, before: OwnTags | None, lists: Lists | None
    ) -> Iterator[None]:
        """Record what a file is about to hold; where it cannot be written, the record is as it was.

        Otherwise a tag that never was in the file would count as one that a person took away.
        """
        self._written.intend(target, after, before=before, lists=lists)
        try:
            yield
        except (InputError, OSError):
            self._written.keep(target, before)
            raise

    def _own(self, image: Path, target: Path, lists: Lists | None) -> tuple[OwnTags | None, OwnTags]:
        """Return what runs wrote into a file before, as recorded and as it is now."""
        name = self._written.name(image)
        before = self._written.owned(target, lists)
        if before is None:
            own = OwnTags(name)
        else:
            if before.image != name and _is_there(self._written.folder / before.image):
                raise InputError(
                    f"{self._written.name(target)} is the file of {before.image} too; rename one of the images."
                )
            own = replace(before, image=name)
        rejected = tuple(dict.fromkeys((*own.rejected, *self.choices.rejected(image))))
        own = replace(own, rejected=rejected)
        return before, own if self.kind == "txt" else own.seen(lists)


def _is_there(image: Path) -> bool:
    return exists(image) or image_exists(image)


def text_of(labels: Iterable[str]) -> str:
    """Return what a text file of labels holds."""
    listed = list(labels)
    return ", ".join(listed) + "\n" if listed else ""


@dataclass(frozen=True)
class Withdrawn:
    """What became of files that tags were taken back from.

    Attributes:
        tags: how many were taken out.
        files: of how many files.
        not_written: why nothing could be done with a file, by its path.
    """

    tags: int
    files: int
    not_written: dict[str, str]


def untag(folder: Path, run: str | None = None) -> Withdrawn:
    """Take back what runs wrote into files, and nothing that a person wrote or moved.

    `run` is the name, or the start of the fingerprint, of a run; None: all.

    Raises:
        InputError: no record, no such run, or ExifTool is needed and not there.
    """
    home = record_folder(folder)
    written = WrittenTags(home)
    try:
        entries = [(file, own) for file, own in written.all() if file.is_relative_to(folder.resolve())]
        runs = {own.run for _, own in entries if own.wrote}
        if not entries:
            raise InputError(
                f"{folder}: there is no record of tags that a run wrote. Give the folder that was --out."
            )
        if run is not None and not any(_is_run(name, run) for name in runs):
            raise InputError(
                f"no tags of a run {run!r} are in {folder}; runs: {', '.join(sorted(runs)) or 'none'}."
            )
        chosen = [(file, own) for file, own in entries if run is None or _is_run(own.run, run)]
        done = _withdraw(written, chosen)
        # Whoever tags again wants the tags again: what was asked is forgotten, so that nothing counts as done.
        (folder / f"{RECORD}.job.json").unlink(missing_ok=True)
        return done
    finally:
        written.finish()


def _withdraw(written: WrittenTags, entries: Sequence[tuple[Path, OwnTags]]) -> Withdrawn:
    tags = files = 0
    not_written: dict[str, str] = {}
    tool: ExifTool | None = None
    try:
        for file, own in entries:
            try:
                inside = written.name(file) == own.image
                if inside and own.wrote:
                    tool = tool or ExifTool()
                count, after = _taken_out(file, own, tool if inside else None)
            except (InputError, OSError) as error:
                not_written[str(file)] = str(error)
                continue
            tags, files = tags + count, files + bool(count)
            written.keep(file, after if after.unwanted else None)
    finally:
        if tool is not None:
            tool.close()
    return Withdrawn(tags, files, not_written)


def _taken_out(file: Path, own: OwnTags, tool: ExifTool | None) -> tuple[int, OwnTags]:
    """Take a run's tags out of a file; return how many there were, and what is kept of the record."""
    if file.suffix == ".txt":
        count = len(own.wrote)
        if (
            own.created
            and file.is_file()
            and file.read_text(encoding="utf-8", errors="replace") == text_of(own.wrote)
        ):
            file.unlink()
        else:
            count = 0
        return count, replace(own, wrote={}, created=False)
    if tool is None and file.suffix.lower() != ".xmp":
        return 0, own
    lists = photographs.embedded_lists(file)[0] if tool is not None else photographs.sidecar_lists(file)
    own = own.seen(lists)
    changes, after = own.replaced(lists or {}, (), names=(), root=own.root, run=own.run)
    if changes and tool is not None:
        tool.write(file, changes)
    elif changes:
        photographs.write_sidecar(file, changes, created=own.created)
    return len(own.wrote), replace(after, created=False)


def _is_run(name: str, asked: str) -> bool:
    called, _, fingerprint = name.rpartition(" ")
    return (
        asked in (name, called)
        or Path(asked).name == called
        or (len(asked) >= 6 and fingerprint.startswith(asked))
    )
