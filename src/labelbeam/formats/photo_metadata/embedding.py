"""Keywords written into photographs themselves, by ExifTool: pixels and all other metadata stay as they are.

The XMP packet is changed here, entry by entry, and put back whole; keywords in IPTC are ExifTool's own work. Only
where a person asks for it: other commands never change a photograph.
"""

import shutil
import stat
import subprocess
import tempfile
from pathlib import Path
from types import TracebackType

from labelbeam.errors import InputError
from labelbeam.formats.photo_metadata.embedded import iptc_keywords, read_metadata
from labelbeam.formats.photo_metadata.keyword_lists import IPTC
from labelbeam.formats.photo_metadata.own_tags import ListChanges
from labelbeam.formats.photo_metadata.xmp import new_packet, with_lists

SUFFIXES = frozenset(
    {".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".tif", ".tiff", ".heic", ".heif", ".hif"}
)
"""Photographs that keywords are written into."""

WITH_IPTC = frozenset({".jpg", ".jpeg", ".jpe", ".jfif", ".tif", ".tiff"})
"""Those of them that hold IPTC."""


class ExifTool:
    """A running ExifTool; one process for all photographs.

    Raises:
        InputError: it is not installed.
    """

    def __init__(self) -> None:
        program = shutil.which("exiftool")
        if program is None:
            raise InputError(
                "writing keywords into photographs needs ExifTool, which is not installed: see exiftool.org, or "
                "apt install libimage-exiftool-perl. Without it, --format xmp writes them beside the photographs."
            )
        self._process = subprocess.Popen(
            [program, "-stay_open", "True", "-@", "-", "-common_args", "-charset", "filename=utf8"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )

    def __enter__(self) -> "ExifTool":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the process."""
        if self._process.poll() is None and self._process.stdin is not None:
            self._process.stdin.write(b"-stay_open\nFalse\n")
            self._process.stdin.close()
            self._process.wait()

    def run(self, *arguments: bytes) -> str:
        """Run one command and return what it prints; an argument is a line, so none may hold a line end."""
        if self._process.stdin is None or self._process.stdout is None or self._process.poll() is not None:
            raise InputError("ExifTool ended. Call again to go on.")
        self._process.stdin.write(b"".join(one + b"\n" for one in (*arguments, b"-execute")))
        self._process.stdin.flush()
        lines: list[bytes] = []
        for line in iter(self._process.stdout.readline, b""):
            if line.rstrip() == b"{ready}":
                return b"".join(lines).decode(errors="replace").strip()
            lines.append(line)
        raise InputError("ExifTool ended. Call again to go on.")

    def write(self, photograph: Path, changes: ListChanges) -> None:
        """Change lists of keywords inside a photograph.

        Args:
            photograph: a file whose suffix is one of `SUFFIXES`.
            changes: new entries of each list; None: the list is taken out.

        Raises:
            InputError: another kind of file, one that is read-only, or one that ExifTool cannot write.
            OSError: no space, no permission.
        """
        place = photograph.resolve()
        if photograph.suffix.lower() not in SUFFIXES:
            raise InputError(
                f"keywords are not written into {photograph.suffix or 'such'} files; --format xmp writes a sidecar."
            )
        if not place.stat().st_mode & (stat.S_IWUSR | stat.S_IWGRP | stat.S_IWOTH):
            raise InputError(f"{photograph} is read-only.")
        name = bytes(place)
        if b"\n" in name or b"\r" in name:
            raise InputError(f"{str(photograph)!r}: ExifTool takes no name with a line end. Rename the file.")
        metadata = read_metadata(photograph)
        if len(metadata.xmp) > 1:
            raise InputError(f"{photograph} holds {len(metadata.xmp)} XMP packets.")
        in_xmp = {name: entries for name, entries in changes.items() if name != IPTC}
        with tempfile.TemporaryDirectory(prefix="labelbeam-") as folder:
            arguments = []
            if in_xmp:
                packet = Path(folder, "packet.xmp")
                packet.write_bytes(_packet(metadata.xmp, in_xmp, str(photograph)))
                arguments.append(b"-XMP<=" + bytes(packet))
            if IPTC in changes:
                arguments += _iptc_arguments(metadata.iptc, changes[IPTC] or [], Path(folder))
            output = self.run(b"-overwrite_original", *arguments, name)
        if "1 image files updated" not in output or "Invalid XMP" in output:
            raise InputError(
                f"{photograph}: ExifTool did not write it ({output.replace(str(place), place.name)[:200]})."
            )


def _packet(packets: tuple[bytes, ...], changes: ListChanges, where: str) -> bytes:
    if packets:
        return with_lists(packets[0].strip(b"\0"), changes, where)
    fresh = new_packet({name: entries for name, entries in changes.items() if entries is not None})
    # Inside a file, a packet has marks around it in place of an XML declaration (XMP specification part 1, 7.3).
    start = '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>\n'.encode()
    return start + fresh.partition(b"?>\n")[2] + b'<?xpacket end="w"?>'


def _iptc_arguments(records: bytes, keywords: list[str], folder: Path) -> list[bytes]:
    """Return ExifTool's arguments for a list of keywords; the encoding of what is there stays as it is."""
    before, charset = iptc_keywords(records)
    marked = b"\x1c\x01\x5a\x00\x03\x1b%G" in records
    arguments = []
    if not records:
        arguments.append(b"-IPTC:CodedCharacterSet=UTF8")
    elif not marked and any(not word.isascii() for word in keywords):
        # Unmarked: as it was read. Marking it would change what its other texts mean.
        arguments += [
            b"-charset",
            b"IPTC="
            + (b"UTF8" if charset == "utf-8" and any(not word.isascii() for word in before) else b"Latin"),
        ]
        if arguments[-1] == b"IPTC=Latin" and any(not _fits_windows(word) for word in keywords):
            raise InputError(
                "its IPTC keywords are not in Unicode and cannot hold these. Add --keyword-lists "
                "subject,hierarchical,tagslist."
            )
    if not keywords:
        return [*arguments, b"-IPTC:Keywords="]
    for number, word in enumerate(keywords):
        text = folder / f"{number}.txt"  # as a file: an argument would need escapes
        text.write_text(word, encoding="utf-8")
        arguments.append(b"-IPTC:Keywords<=" + bytes(text))
    return arguments


def _fits_windows(word: str) -> bool:
    try:
        word.encode("cp1252")
    except UnicodeEncodeError:
        return False
    return True
