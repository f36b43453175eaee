"""Where in the log a snapshot is: worked out from the order of commits, tried against histories of any order."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backups.engines import _postgresql_moment as moments
from backups.engines._postgresql_moment import Commit, Seen

LINES = """\
rmgr: Transaction len (rec/tot):     46/    46, tx:        731, lsn: 0/03000060, prev 0/03000028, desc: COMMIT 2026-11-21 03:33:05.123 UTC
rmgr: Transaction len (rec/tot):     34/    34, tx:        732, lsn: 0/03000090, prev 0/03000060, desc: ABORT 2026-11-21 03:33:05.124 UTC
rmgr: Transaction len (rec/tot):     66/    66, tx:          0, lsn: 0/030000B8, prev 0/03000090, desc: COMMIT_PREPARED 735: 2026-11-21 03:33:05 UTC
rmgr: Transaction len (rec/tot):    266/   266, tx:        736, lsn: 1A/030000F0, prev 0/030000B8, desc: COMMIT 2026-11-21 03:33:06 UTC; inval msgs: catcache 51
"""


def test_commits_are_read_as_pg_waldump_prints_them():
    assert list(moments.commits(LINES.splitlines())) == [
        Commit(0x3000060, 731), Commit(0x30000B8, 735), Commit(0x1A030000F0, 736)
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("snapshot", "seen", "unseen"),
    [
        ("740:740:", [3, 739], [740, 800]),
        ("735:740:735,738", [734, 736, 739], [735, 738, 740]),
        # The numbers have gone round: 5 is a new transaction, 4294967290 an older one.
        ("8589934590:8589934594:", [4294967290, 1], [2, 100]),
    ],
)
def test_what_a_snapshot_sees(snapshot, seen, unseen):
    view = Seen.read(snapshot)
    assert all(view.sees(xid) for xid in seen)
    assert not any(view.sees(xid) for xid in unseen)


@pytest.mark.parametrize(
    ("order", "snapshots", "expected"),
    [
        ([1, 2, 3, 4], ["3:3:"], 30),
        ([1, 2, 3, 4], ["2:4:2"], None),  # Sees 3, which the log has behind 2.
        ([2, 1, 3, 4], ["1:3:1"], 20),  # The log has 2 before 1.
        ([1, 2, 3, 4], ["3:3:", "4:4:"], None),  # Between the two snapshots somebody committed.
        ([1, 2], ["9:9:"], None),  # The log ends before the snapshot.
        ([4], ["3:3:"], 10),
    ],
)
def test_the_place_of_a_moment(order, snapshots, expected):
    log = [Commit((at + 1) * 10, xid) for at, xid in enumerate(order)]
    assert moments.moment(log, map(Seen.read, snapshots)) == expected


@given(st.permutations(range(3, 12)), st.sets(st.integers(3, 11)), st.integers(3, 12))
def test_a_recovery_that_stops_there_holds_what_the_snapshot_sees(order, running, limit):
    view = Seen(limit, frozenset(running))
    log = [Commit((at + 1) * 10, xid) for at, xid in enumerate(order)]
    place = moments.moment(log, [view])
    seen = {xid for xid in order if view.sees(xid)}
    prefixes = [set(order[:length]) for length in range(len(order))]
    if place is None:
        assert seen not in prefixes
    else:
        assert {commit.xid for commit in log if commit.place < place} == seen
