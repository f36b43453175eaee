"""Where a binary log may be cut, and that damage in it is found."""

import io

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backups.engines._mariadb_binlog import Scan, scan
from backups.engines._mariadb_logs import next_name, number_of
from backups.logs.binlog import NotABinlog, description, events
from tests.backups.engines.binlogs import Log

ENDLESS = 1 << 40


def scanned(log: Log, begin: int = 0, end: int | None = None, most: int = ENDLESS) -> Scan:
    found = scan(io.BytesIO(log.content), begin, len(log.content) if end is None else end, most)
    assert found is not None
    return found


def test_whole() -> None:
    log = Log().transaction().statement().without_engine()
    found = scanned(log)
    assert (found.group_end, found.event_end) == (len(log.content), len(log.content))
    assert (found.first, found.last, found.transactions) == ("0-1-1", {0: "0-1-3"}, 3)


@pytest.mark.parametrize("missing", [1, 40, 100])
def test_a_transaction_that_has_not_all_come_is_left_out(missing: int) -> None:
    log = Log().transaction().transaction(rows=2)
    found = scanned(log, end=len(log.content) - missing)
    assert found.group_end == log.boundaries[-2]
    assert found.transactions == 1


@pytest.mark.parametrize("size", [0, 3, 4, 22, 100])
def test_hardly_anything_has_come(size: int) -> None:
    log = Log()
    assert scan(io.BytesIO(log.content[:size]), 0, size, ENDLESS) is None


@pytest.mark.parametrize(
    ("content", "why"),
    [(b"PAR1" + bytes(300), "does not begin"), (b"\xfebin" + bytes(300), "not a description")],
)
def test_what_is_no_binary_log(content: bytes, why: str) -> None:
    with pytest.raises(NotABinlog, match=why):
        description(io.BytesIO(content))


def test_stops_behind_a_transaction_when_there_is_enough() -> None:
    log = Log()
    for _number in range(20):
        log.transaction(size=100)
    found = scanned(log, begin=log.boundaries[1], most=700)
    assert found.group_end in log.boundaries
    assert 0 < found.transactions < 20


def test_one_that_is_larger_than_a_segment_is_cut_between_events() -> None:
    log = Log().transaction(size=400, rows=10).transaction()
    begin = log.boundaries[1]
    found = scanned(log, begin, most=1000)
    assert found.group_end == found.event_end
    assert found.group_end not in log.boundaries
    assert found.transactions == 1
    ends = []
    while begin < len(log.content):
        begin = scanned(log, begin, most=1000).group_end
        ends.append(begin)
    assert len(ends) > 3
    assert ends[-1] == len(log.content)


def test_a_place_that_the_server_has_elsewhere() -> None:
    """Something was left out on the way: positions would say something else than on the server."""
    log = Log().transaction()
    hole = log.content[: log.boundaries[0]] + log.content[log.boundaries[1] :]
    with pytest.raises(NotABinlog, match="on the server"):
        scan(io.BytesIO(hole), 0, len(hole), ENDLESS)


def test_without_checksums() -> None:
    log = Log(checksums=False).transaction().statement()
    described = description(io.BytesIO(log.content))
    assert described is not None
    assert not described.checksums
    assert scanned(log).transactions == 2


STEPS = st.lists(st.sampled_from(["transaction", "statement", "without_engine"]), min_size=1, max_size=8)


def made(steps: list[str]) -> Log:
    log = Log()
    for step in steps:
        getattr(log, step)()
    return log


@given(STEPS, st.data())
def test_every_cut_is_between_transactions_and_loses_nothing(steps: list[str], data: st.DataObject) -> None:
    log = made(steps)
    begin, seen = 0, 0
    while begin < len(log.content):
        arrived = data.draw(st.integers(begin, len(log.content)) if seen < 20 else st.just(len(log.content)))
        seen += 1
        found = scan(io.BytesIO(log.content[:arrived]), begin, arrived, ENDLESS)
        if found is None:
            continue
        expected = [end for end in log.boundaries if end <= arrived and end > begin]
        assert found.group_end == (expected[-1] if expected else begin)
        begin = found.group_end


@settings(max_examples=300)
@given(STEPS, st.data())
def test_a_flipped_bit_is_found(steps: list[str], data: st.DataObject) -> None:
    log = made(steps)
    at = data.draw(st.integers(0, len(log.content) - 1))
    damaged = bytearray(log.content)
    damaged[at] ^= 1 << data.draw(st.integers(0, 7))
    try:
        found = scan(io.BytesIO(damaged), 0, len(damaged), ENDLESS)
    except NotABinlog:
        return
    # A length that grew beyond the end: the event never comes, and nothing behind it is believed.
    assert found is None or found.event_end <= at


def test_large_events_are_read_whole() -> None:
    log = Log()
    for _number in range(4):
        log.transaction(size=3 << 20)
    found = list(events(io.BytesIO(log.content), 0, len(log.content), checksums=True))
    assert found[-1].end == len(log.content)


@pytest.mark.parametrize(
    ("log", "after"),
    [
        ("binlog.000009", "binlog.000010"),
        ("a.b.000001", "a.b.000002"),
        ("log.999999", "log.1000000"),
        ("index", ""),
    ],
)
def test_names(log: str, after: str) -> None:
    assert next_name(log) == after
    assert not after or number_of(after) == number_of(log) + 1
