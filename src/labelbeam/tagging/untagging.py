"""Tags of runs taken back: `labelbeam untag`, by the record of what was written where.

What a person wrote, moved into a hierarchy or accepted stays; a sidecar that a run made and nobody else used goes.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from labelbeam.errors import InputError
from labelbeam.formats.photo_metadata.embedding import ExifTool
from labelbeam.formats.photo_metadata.own_tags import OwnTags
from labelbeam.formats.photo_metadata.photographs import (
    embedded_lists,
    sidecar_lists,
    write_sidecar,
)
from labelbeam.formats.photo_metadata.written import WrittenTags, record_folder
from labelbeam.tagging.outputs import RECORD
from labelbeam.tagging.sidecars import text_of


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

    Args:
        folder: that was given as `--out`; a record there, or above it, says what was written.
        run: name or start of the fingerprint of the run; None: all.

    Returns:
        What became of the files.

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
    lists = embedded_lists(file)[0] if tool is not None else sidecar_lists(file)
    own = own.seen(lists)
    changes, after = own.replaced(lists or {}, (), names=(), root=own.root, run=own.run)
    if changes and tool is not None:
        tool.write(file, changes)
    elif changes:
        write_sidecar(file, changes, created=own.created)
    return len(own.wrote), replace(after, created=False)


def _is_run(name: str, asked: str) -> bool:
    called, _, fingerprint = name.rpartition(" ")
    return (
        asked in (name, called)
        or Path(asked).name == called
        or (len(asked) >= 6 and fingerprint.startswith(asked))
    )
