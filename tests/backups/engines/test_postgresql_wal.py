"""Names and pages of WAL files."""

import io
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backups.engines import _postgresql_wal as wal

SIZE, PAGE = 1 << 20, 8192


def page(place: int, *, first: bool) -> bytes:
    head = struct.pack("<HHIQ", 0xD110, 0, 1, place) + b"\0" * 8
    if first:
        head += struct.pack("<QII", 4711, SIZE, PAGE)
    return head.ljust(PAGE, b"\7")


def file(segment: int, pages: int) -> bytes:
    return b"".join(page(segment * SIZE + at * PAGE, first=not at) for at in range(pages)).ljust(SIZE, b"\0")


@given(st.integers(0, (1 << 64) - 1))
def test_a_place_is_written_as_the_server_does(place):
    assert wal.number(wal.text(place)) == place


@given(st.integers(1, 1 << 31), st.integers(0, 1 << 40), st.sampled_from([1 << 20, 16 << 20, 1 << 30]))
def test_names_come_back(timeline, segment, size):
    segment %= (1 << 32) * ((1 << 32) // size)
    assert wal.parsed(wal.name_of(timeline, segment, size), size) == (timeline, segment)


@pytest.mark.parametrize(
    ("lsn", "name", "offset"),
    [
        ("0/3000060", "000000010000000000000003", 0x60),
        ("0/4000000", "000000010000000000000003", 16 << 20),
        ("1/0", "0000000100000000000000FF", 16 << 20),
        ("2A/FF000001", "000000010000002A000000FF", 1),
    ],
)
def test_where_a_place_is(lsn, name, offset):
    assert wal.place_in(1, lsn, 16 << 20) == (name, offset)


def test_a_history_stands_before_the_files_of_its_timeline():
    names = [
        "000000020000000000000004",
        "00000002.history",
        "000000010000000000000004",
        "000000010000000000000003",
    ]
    assert sorted(names, key=wal.order) == list(reversed(names))


@given(st.binary(min_size=1, max_size=300), st.integers(0, 2000))
def test_what_was_written_is_never_overrated(content, zeros):
    """Written in multiples of eight; what cannot be told from padding is left for later."""
    data = content.ljust(-(-len(content) // 8) * 8, b"\0")
    found = wal.written(io.BytesIO(data + b"\0" * zeros), len(data) + zeros)
    assert found <= len(data)
    assert not any(data[found:])


def test_pages_say_where_they_stand():
    good = file(5, 20)
    wal.check(io.BytesIO(good), wal.name_of(1, 5, SIZE), 0, SIZE)
    with pytest.raises(wal.NotTheLog, match="at byte 0 stands what belongs to 0/500000"):
        wal.check(io.BytesIO(good), wal.name_of(1, 6, SIZE), 0, SIZE)
    swapped = good[:PAGE] + good[2 * PAGE : 3 * PAGE] + good[2 * PAGE :]
    with pytest.raises(wal.NotTheLog, match="at byte 8192"):
        wal.check(io.BytesIO(swapped), wal.name_of(1, 5, SIZE), 100, SIZE)


def test_what_is_no_log_is_refused():
    with pytest.raises(wal.NotTheLog, match="first page"):
        wal.header(io.BytesIO(b"x" * 100))
    assert wal.header(io.BytesIO(b"\0" * 100)) is None


def test_where_a_timeline_ended():
    history = "1\t0/A000198\tno recovery target specified\n\n# a remark\n2\t0/C000000\tbefore 2000-01-01\n"
    assert wal.switched_at(history, 1) == 0xA000198
    assert wal.switched_at(history, 2) == 0xC000000
    assert wal.switched_at(history, 3) is None


FILES = {
    "000000010000000000000003": 16 << 20, "000000010000000000000004": 16 << 20, "000000020000000000000004": 16 << 20,
    "000000020000000000000005": 4711, "00000002.history": 40,
}  # fmt: skip


@pytest.mark.parametrize(
    ("lsn", "place"),
    [
        ("0/3000028", ("000000010000000000000003", 0x28)),
        ("0/4000000", ("000000020000000000000004", 0)),
        ("0/5000100", ("000000020000000000000005", 0x100)),
        ("0/3fffff8", ("000000010000000000000003", 0xFFFFF8)),
    ],
)
def test_a_place_is_found_among_the_archived_files(lsn, place):
    assert wal.located(lsn, FILES) == place


@pytest.mark.parametrize("lsn", ["0/2000000", "0/6000000", "1/3000000"])
def test_a_place_that_is_in_no_file_is_told(lsn):
    with pytest.raises(LookupError):
        wal.located(lsn, FILES)


@pytest.mark.parametrize(
    "lsn", ["", "3000000", "0/", "0/123456789", "0/GG", "binlog.000012:4711", "0/1;DROP"]
)
def test_what_is_no_place_is_refused(lsn):
    with pytest.raises(ValueError, match=r".*"):
        wal.located(lsn, FILES)


@given(st.integers(0, (1 << 40) - 1))
def test_where_a_place_is_it_is_found(place):
    size = 16 << 20
    name = wal.name_of(1, place // size, size)
    assert wal.located(wal.text(place), {name: size}) == (name, place % size)
