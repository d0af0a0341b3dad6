"""Fetching from a server that drops connections, forgets ranges, changes files, or is not there."""

import random
import shutil
from types import SimpleNamespace

import pytest

from labelbeam.data.fetching import NotFetchedError, Patience, fetch

BODY = random.Random(0).randbytes(50_000)


@pytest.fixture
def waits() -> list[float]:
    return []


@pytest.fixture
def patience(waits) -> Patience:
    return Patience(tries=4, timeout=5.0, sleep=waits.append)


@pytest.fixture
def part(tmp_path):
    return tmp_path / "a.tar.part"


def test_a_file_comes_whole_and_leaves_nothing_beside_it(site, part, patience):
    site.files["/a.tar"] = BODY
    seen = []
    fetch(f"{site.address}/a.tar", part, size=len(BODY), patience=patience, arrived=seen.append)
    assert part.read_bytes() == BODY
    assert (seen[0], seen[-1]) == (0, len(BODY))
    assert [file.name for file in part.parent.iterdir()] == ["a.tar.part"]


def test_every_interruption_is_continued_where_it_stopped(site, part, patience, waits):
    site.files["/a.tar"] = BODY
    site.faults["/a.tar"] = ["drop 10000", "drop 20000", "drop 5"]
    fetch(f"{site.address}/a.tar", part, patience=patience)
    assert part.read_bytes() == BODY
    assert site.asked == [
        ("/a.tar", None, None),
        *[("/a.tar", f"bytes={have}-", '"one"') for have in (10_000, 30_000, 30_005)],
    ]
    assert waits == [1.0, 2.0, 4.0]


def test_what_an_earlier_call_left_is_continued_by_the_next(site, part, patience):
    site.files["/a.tar"] = BODY
    site.faults["/a.tar"] = ["drop 10000"]
    with pytest.raises(NotFetchedError, match="broke off: 40,000 bytes are missing"):
        fetch(f"{site.address}/a.tar", part)
    fetch(f"{site.address}/a.tar", part)
    assert part.read_bytes() == BODY
    assert site.asked[1] == ("/a.tar", "bytes=10000-", '"one"')


def test_a_file_that_changed_meanwhile_is_fetched_anew(site, part, patience):
    site.files["/a.tar"] = BODY
    site.faults["/a.tar"] = ["drop 10000"]
    with pytest.raises(NotFetchedError):
        fetch(f"{site.address}/a.tar", part)
    site.files["/a.tar"], site.version = BODY[::-1], '"two"'
    site.faults["/a.tar"] = ["drop 100"]
    fetch(f"{site.address}/a.tar", part, patience=patience)
    assert part.read_bytes() == BODY[::-1]
    assert site.asked[2] == ("/a.tar", "bytes=100-", '"two"')


@pytest.mark.parametrize("fault", ["whole", "shift"])
def test_a_server_that_ignores_or_shifts_ranges_gives_the_right_file_all_the_same(
    site, part, patience, fault
):
    site.files["/a.tar"] = BODY
    site.faults["/a.tar"] = ["drop 10000", fault]
    fetch(f"{site.address}/a.tar", part, size=len(BODY), patience=patience)
    assert part.read_bytes() == BODY


def test_without_a_version_or_a_checksum_nothing_is_continued(site, part, patience):
    site.files["/a.tar"], site.version = BODY, ""
    site.faults["/a.tar"] = ["drop 10000"]
    fetch(f"{site.address}/a.tar", part, patience=patience)
    assert [given for _, given, _ in site.asked] == [None, None]
    part.unlink()
    site.faults["/a.tar"] = ["drop 10000"]
    fetch(f"{site.address}/a.tar", part, checked=True, patience=patience)
    assert [given for _, given, _ in site.asked[2:]] == [None, "bytes=10000-"]
    assert part.read_bytes() == BODY


def test_a_transfer_of_unknown_length_that_breaks_off_is_not_taken_for_whole(site, part, patience):
    site.files["/a.tar"] = BODY
    site.faults["/a.tar"] = ["nolength 10000"]
    with pytest.raises(NotFetchedError, match="broke off: some bytes are missing"):
        fetch(f"{site.address}/a.tar", part)
    fetch(f"{site.address}/a.tar", part, patience=patience)
    assert part.read_bytes() == BODY


def test_busy_servers_are_asked_again_after_the_time_that_they_say(site, part, patience, waits):
    site.files["/a.tar"] = BODY
    site.faults["/a.tar"] = ["503 7", "500", "429 3000"]
    fetch(f"{site.address}/a.tar", part, patience=patience)
    assert part.read_bytes() == BODY
    assert waits == [7.0, 2.0, 30.0]


def test_patience_ends_and_begins_anew_with_every_byte_that_came(site, part, patience, waits):
    site.files["/a.tar"] = BODY
    site.faults["/a.tar"] = ["503"] * 9
    with pytest.raises(NotFetchedError, match=r"answered 503 \(Service Unavailable\)"):
        fetch(f"{site.address}/a.tar", part, patience=patience)
    assert len(site.asked) == 4
    site.faults["/a.tar"] = ["503", "503", "drop 10", "503", "503", "drop 10", "503", "503"]
    fetch(f"{site.address}/a.tar", part, patience=patience)
    assert part.read_bytes() == BODY


def test_a_file_that_is_not_there_is_told_at_once(site, part, patience):
    with pytest.raises(NotFetchedError, match=r"/a\.tar could not be fetched: the server answered 404"):
        fetch(f"{site.address}/a.tar", part, patience=patience)
    assert (len(site.asked), list(part.parent.iterdir())) == (1, [])


def test_no_network_is_told_after_all_tries(part, patience, waits):
    with pytest.raises(NotFetchedError, match="no network"):
        fetch("http://127.0.0.1:9/a.tar", part, patience=patience)
    assert len(waits) == 3


def test_a_file_of_another_size_than_published_is_refused_before_it_comes(site, part, patience):
    site.files["/a.tar"] = b"<html>please log in</html>"
    with pytest.raises(NotFetchedError, match=r"has 26 bytes, where 50,000 were published"):
        fetch(f"{site.address}/a.tar", part, size=50_000, patience=patience)
    assert not part.exists()


def test_more_bytes_than_published_are_refused_though_the_server_said_no_length(site, part, patience):
    site.files["/a.tar"] = BODY
    site.faults["/a.tar"] = ["long"]
    with pytest.raises(NotFetchedError, match="sent more than"):
        fetch(f"{site.address}/a.tar", part, size=len(BODY), patience=patience)
    assert not part.exists()


def test_a_part_that_is_whole_or_longer_than_the_file_is_settled(site, part, patience):
    site.files["/a.tar"] = BODY
    part.write_bytes(BODY)
    fetch(f"{site.address}/a.tar", part, size=len(BODY), checked=True, patience=patience)
    assert site.asked == []
    fetch(f"{site.address}/a.tar", part, checked=True, patience=patience)  # its size is not known: 416
    assert [given for _, given, _ in site.asked] == ["bytes=50000-"]
    part.write_bytes(BODY + b"too much")
    fetch(f"{site.address}/a.tar", part, checked=True, patience=patience)
    assert part.read_bytes() == BODY


def test_a_disk_without_room_is_told_before_the_file_comes(site, part, patience, monkeypatch):
    site.files["/a.tar"] = BODY
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=1000))
    with pytest.raises(NotFetchedError, match=r"0\.0 GB free.*Make room"):
        fetch(f"{site.address}/a.tar", part, patience=patience)
    assert not part.exists()
