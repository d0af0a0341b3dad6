"""The lines of a long job: written as they come, found again after a kill; predictions read back from them.

Lines go to `FILE.partial`, with what was asked beside it; the next call of the same job finds which images are done,
cuts off a half line, and goes on. A table (CSV, Parquet) is made of all lines at the end, so a kill at any moment loses
nothing there either.
"""

import json
import os
import shutil
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from hashlib import blake2b
from pathlib import Path
from typing import IO, Any

from labelbeam.data.image_bytes import image_bytes, image_mark, within_archive
from labelbeam.data.image_container import HEAD, Damaged, Unwanted, kind_of, prepared
from labelbeam.errors import InputError
from labelbeam.files import written_whole
from labelbeam.parsing import parse_json, read_json
from labelbeam.predict.prediction import Prediction, ScoredLabel

# What a photograph's file was when it was tagged, so that one that changed is tagged again and one that moved is not.
#
# Size and time of change are compared first; only where they differ is the file read. Of JPEG and PNG what makes the
# pixels counts: keywords that a program writes into a photograph change nothing.

FIELD = "file"
"""Of a line in the record of a job that is added to."""


@dataclass(frozen=True)
class Mark:
    """A file as it was.

    Attributes:
        size: bytes.
        modified: time of change, nanoseconds.
        hash: of what makes the pixels.
    """

    size: int
    modified: int
    hash: str

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain values."""
        return asdict(self)


def mark_of(path: Path) -> Mark | None:
    """Return the mark of a file as it is; None for what is no file of its own, or cannot be read."""
    if within_archive(path) is not None:
        return None
    modified, size = image_mark(path)
    try:
        content = image_bytes(path)
    except (OSError, InputError, MemoryError):
        return None
    return Mark(size, modified, _hash(content))


def mark_in(line: Mapping[str, Any]) -> Mark | None:
    """Return the mark that a line of a record holds; None where it has none."""
    try:
        return Mark(**line[FIELD])
    except (KeyError, TypeError):
        return None


def as_it_was(path: Path, mark: Mark) -> Mark | None:
    """Return the mark of a file that has the same pixels as when it was marked; None where it has others."""
    modified, size = image_mark(path)
    if (size, modified) == (mark.size, mark.modified):
        return mark
    now = mark_of(path)
    return now if now is not None and now.hash == mark.hash else None


def _hash(content: bytes) -> str:
    kind, orientation = kind_of(content[:HEAD]), 1
    if kind in ("JPEG", "PNG"):
        try:
            seen = prepared(content, kind)
        except (Damaged, Unwanted):
            pass
        else:
            content, orientation = seen.content, seen.orientation or 1
    return blake2b(content, digest_size=16, person=str(orientation).encode()).hexdigest()


NOT_THERE = (-1, -1)
"""Mark of a file that is not there."""

FINISHED = "lines before"
"""Beside what was asked: lines that were there when a job was begun that adds to them."""


@dataclass
class Journal:
    """A job's file while it grows.

    Attributes:
        partial: where lines are.
        done: lines that an earlier call wrote.
        failed: those of them that hold an error.
        file: open for appending, in UTF-8.
        gone: of lines that an earlier job finished, those whose files are no longer there: by size and hash.
    """

    partial: Path
    done: int
    failed: int
    file: IO[str]
    gone: Mapping[tuple[int, str], str] = field(default_factory=dict)

    def moved(self, image: Path) -> str | None:
        """Return the line of a file that is gone and had the content of this image; None where there is none.

        Only images of a size that one of the files had are read.
        """
        if image_mark(image)[1] not in {size for size, _ in self.gone}:
            return None
        mark = mark_of(image)
        return None if mark is None else self.gone.get((mark.size, mark.hash))

    def remaining(self, images: Iterable[Path]) -> Iterator[Path]:
        """Yield the images that have no line yet.

        As long as the images come in the order in which lines were written, nothing is held in memory; where files
        came or went since, the names of the lines left are compared by their hashes, 8 bytes each and a few more.
        """
        written = self._written()
        coming = iter(images)
        for image in coming:
            name = next(written, None)
            if name is None:
                yield image
                yield from coming
                return
            if name != str(image):
                unmatched = Counter(_digest(left) for left in (name, *written))
                for other in (image, *coming):
                    if unmatched[digest := _digest(str(other))] > 0:
                        unmatched[digest] -= 1
                    else:
                        yield other
                return

    def write(self, line: str) -> None:
        """Append a line; its line end makes it count."""
        self.file.write(line + "\n")

    def flush(self) -> None:
        """Hand the lines to the operating system: a kill of this process loses none of them."""
        self.file.flush()

    def _written(self) -> Iterator[str]:
        """Yield the image names of the lines that were there at the start."""
        with self.partial.open("rb") as lines:
            for _, line in zip(range(self.done), lines, strict=False):
                yield _line(line, self.partial)["image"]


@contextmanager
def journal(
    out: Path,
    *,
    job: Mapping[str, Any],
    together: int = 1,
    anew: bool = False,
    update: bool = False,
    table: Callable[[Path, Path], None] | None = None,
) -> Iterator[Journal]:
    """Open the journal of a job; when the block ends its lines are at `out`, and when it fails they are kept.

    Args:
        out: where all lines are to be in the end; a file there is replaced at that moment.
        job: what was asked, plain values; lines made for something else are not continued.
        together: lines that are made in one go: an interrupted job goes on at a multiple of it, so that every line
            is computed beside the same others as in an unbroken one, to the last bit.
        anew: forget an interrupted job.
        update: lines that are at `out` already stay, but those that say that something failed, and those of files that
            have other pixels now: these are tried again. A file that moved takes its line along. What was asked stays
            beside `out`, so that the next call knows.
        table: called with the file of all lines and a new file, writes the second from the first; None: `out` is the
            lines themselves.

    Raises:
        InputError: an interrupted job of other settings is there, or to be updated, its settings are damaged, or
            another call is writing it.
    """
    partial, about = out.with_name(out.name + ".partial"), _about(out)
    settings = json.loads(json.dumps(job))
    with _own(partial, out) as file:
        # Nothing is deleted before it is ours: another call may be at work on it.
        finished = 0
        if anew or (not about.exists() and not (update and out.exists())):
            file.truncate(0)
            _write_about(about, settings, finished)
        else:
            finished = _check_same(about, settings, out)
            if update and out.exists() and not partial.stat().st_size:
                finished = _copy_good_lines(out, file)
                _write_about(about, settings, finished)
        done, failed = _cut_back(partial, together, finished)
        gone = _gone(partial, finished) if update else {}
        yield Journal(partial, done, failed, file, gone)
        file.flush()
        os.fsync(file.fileno())
        if table is not None:
            with written_whole(out) as part:
                table(partial, part)
        if os.name == "posix":  # while the lock is held; Windows renames no open file
            _finish(partial, None if update else about, out, gone, whole=table is None)
    if os.name != "posix":
        _finish(partial, None if update else about, out, gone, whole=table is None)


def _finish(
    partial: Path, about: Path | None, out: Path, gone: Mapping[tuple[int, str], str], *, whole: bool
) -> None:
    if whole:
        with written_whole(out) as part:  # a link stays a link, and a mode stays
            if gone:
                with part.open("wb") as lines:
                    lines.writelines(_without_moved(partial, gone))
            else:
                shutil.move(partial, part)
    partial.unlink(missing_ok=True)
    if about is not None:
        about.unlink(missing_ok=True)


def settings_of(out: Path) -> dict[str, Any] | None:
    """Return what was asked of the job whose lines are at `out`; None where nothing says so."""
    try:
        settings = json.loads(_about(out).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return (
        {name: value for name, value in settings.items() if name != FINISHED}
        if isinstance(settings, dict)
        else None
    )


def _write_about(about: Path, settings: Mapping[str, Any], finished: int) -> None:
    content = {**settings, FINISHED: finished} if finished else settings
    with written_whole(about) as part:
        part.write_text(json.dumps(content, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")


def _about(out: Path) -> Path:
    return out.with_name(out.name + ".job.json")


def _own(partial: Path, out: Path) -> IO[str]:
    """Open the file of lines and lock it; one that was finished by another call in between is not ours."""
    while True:
        file = partial.open("a", encoding="utf-8", errors="backslashreplace", newline="\n")
        try:
            lock_alone(file, out)
            if partial.exists() and os.path.samestat(os.fstat(file.fileno()), partial.stat()):
                return file
        except BaseException:
            file.close()
            raise
        file.close()


def lock_alone(file: IO[Any], out: Path) -> None:
    """Keep a second call from writing the same file; the lock goes with the process, however that ends.

    Raises:
        InputError: another call has it.
    """
    try:
        import fcntl
    except ImportError:  # Windows refuses to rename a file that another process has open
        return
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        raise InputError(f"another call is writing {out} now. Wait for it, or give another --out.") from None


def _check_same(about: Path, settings: Mapping[str, Any], out: Path) -> int:
    """Refuse to go on with a job of other settings; return how many lines were there when it was begun."""
    if not about.exists():
        raise InputError(
            f"{out} was made without --update, so nothing says which run and settings made it. Make it again with "
            "--overwrite --update, or give another --out."
        )
    try:
        before = read_json(about)
        finished = int(before.pop(FINISHED, 0)) if isinstance(before, dict) else 0
    except (InputError, TypeError, ValueError) as error:
        raise InputError(f"the interrupted job is damaged: {error} Start anew with --overwrite.") from error
    if before != settings:
        keys = {*before, *settings} if isinstance(before, dict) else set(settings)
        changed = sorted(
            key for key in keys if not isinstance(before, dict) or before.get(key) != settings.get(key)
        )
        raise InputError(
            f"{out} was begun with other settings ({', '.join(changed)} differ). Call it as before to go on, give "
            "another --out, or start anew with --overwrite."
        )
    return finished


def _copy_good_lines(out: Path, partial: IO[str]) -> int:
    """Copy the lines of a finished job, but those that failed and those of files that changed since.

    Returns:
        How many lines were copied.
    """
    count = 0
    with out.open(encoding="utf-8", errors="surrogateescape", newline="\n") as lines:
        for line in lines:
            content = json.loads(line)
            if not line.endswith("\n") or not {"error", "not_written"}.isdisjoint(content):
                continue
            before = mark_in(content)
            if before is not None and image_mark(image := Path(content["image"])) != NOT_THERE:
                now = as_it_was(image, before)
                if now is None:
                    continue
                if now != before:  # so that it need not be read the next time
                    line = json.dumps({**content, FIELD: now.to_dict()}, ensure_ascii=False) + "\n"
            partial.write(line)
            count += 1
    partial.flush()
    return count


def _gone(partial: Path, finished: int) -> dict[tuple[int, str], str]:
    """Return the lines of a finished job whose files are not there, by size and hash of the file."""
    return {
        key: line.decode()
        for _, (key, is_gone, line) in zip(range(finished), _marked(partial), strict=False)
        if key is not None and is_gone
    }


def _without_moved(partial: Path, gone: Mapping[tuple[int, str], str]) -> Iterator[bytes]:
    """Yield the lines of a file but those of files that are gone and whose content has a line elsewhere."""
    there = {key for key, is_gone, _ in _marked(partial) if not is_gone}
    for key, is_gone, line in _marked(partial):
        if not (is_gone and key in gone and key in there):
            yield line


def _marked(partial: Path) -> Iterator[tuple[tuple[int, str] | None, bool, bytes]]:
    """Yield each line with size and hash of its file, and whether the file is gone."""
    with partial.open("rb") as lines:
        for line in lines:
            content = _line(line, partial)
            mark = mark_in(content)
            is_gone = mark is not None and image_mark(Path(content["image"])) == NOT_THERE
            yield None if mark is None else (mark.size, mark.hash), is_gone, line


def _cut_back(partial: Path, together: int, finished: int) -> tuple[int, int]:
    """Cut off a half line and an unfinished group of lines; return the number of lines left, and of errors in them.

    Groups are counted from the lines that were there when the job was begun.
    """
    count, failed, kept, read, wrong = 0, 0, 0, 0, 0
    with partial.open("r+b") as file:
        for number, line in enumerate(file, start=1):
            if not line.endswith(b"\n"):
                break
            read += len(line)
            wrong += b'"error"' in line and bool(_line(line, partial).get("error"))
            if number <= finished or (number - finished) % together == 0:
                count, failed, kept = number, wrong, read
        file.truncate(kept)
    return count, failed


def _line(line: bytes, partial: Path) -> dict[str, Any]:
    try:
        content = parse_json(line, str(partial))
    except InputError as error:
        raise InputError(f"the interrupted job is damaged: {error} Start anew with --overwrite.") from None
    if not isinstance(content, dict) or not isinstance(content.get("image"), str):
        raise InputError(f"{partial} is damaged: a line has no image. Start anew with --overwrite.")
    return content


def _digest(name: str) -> bytes:
    return blake2b(name.encode("utf-8", "surrogatepass"), digest_size=8).digest()


def recorded(line: str) -> Prediction:
    """Return the prediction of a line of JSON; numbers have the digits that the line has.

    Args:
        line: what `Prediction.to_json` returned.

    Example:
        >>> recorded('{"image": "b.jpg", "error": "not an image"}').error
        'not an image'
    """
    fields = json.loads(line)
    fields.pop("not_written", None)  # about its sidecar
    fields.pop(FIELD, None)
    labels = tuple(ScoredLabel(**one) for one in fields.pop("labels", ()))
    sets = tuple((tuple(one["labels"]), one["prob"]) for one in fields.get("sets", ()))
    return Prediction(**{**fields, "labels": labels, "path": tuple(fields.get("path", ())), "sets": sets})


def records(lines: Path) -> Iterator[Prediction]:
    """Yield the predictions of a file of lines, one at a time."""
    with lines.open(encoding="utf-8") as file:
        for line in file:
            yield recorded(line)


def status(prediction: Prediction) -> str:
    """Return what became of an image: `ok`, `refused` (it fits nothing), `person` (must look) or `unreadable`."""
    if prediction.error:
        return "unreadable"
    if prediction.unseen is False:
        return "person"
    return "refused" if prediction.refused else "ok"
