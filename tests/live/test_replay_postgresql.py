"""Where a replay of WAL has to stop, worked out from a real server's log: never silently before the moment."""

import shutil
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from backups.engines import _postgresql_replay as replaying
from backups.engines import _postgresql_wal as wal
from backups.engines._postgresql_logs import Policy, PostgresqlLogs
from backups.servers.postgresql import find_installation
from drcenter.errors import OperationFailed
from drcenter.process import start
from tests.live.archiving_postgresql import SEGMENT, MortalPostgresql, mortal
from tests.live.running import wait_for

__all__ = ["mortal"]
COMMITS = 12


def lsn(mortal: MortalPostgresql) -> str:
    ((found,),) = mortal.execute("SELECT pg_current_wal_flush_lsn()::text")
    return str(found)


def fill(mortal: MortalPostgresql, first: int) -> None:
    mortal.execute(*(f"INSERT INTO orders VALUES ({first + number}, 'x')" for number in range(COMMITS)))


class Ground:
    """A log of two files with twelve commits in each, copied as a base and its archive would leave it."""

    def __init__(self, mortal: MortalPostgresql, data: Path) -> None:
        self._installation, self.data = find_installation(mortal.server.major), data
        self.begin = lsn(mortal)
        fill(mortal, 0)
        mortal.execute("SELECT pg_switch_wal()")
        self.middle = lsn(mortal)
        ((self.moment,),) = mortal.execute("SELECT clock_timestamp()")
        fill(mortal, 100)
        self.stop = mortal.position()
        data.mkdir()
        shutil.copytree(mortal.directory / "data" / "pg_wal", data / "pg_wal")

    def find(self, moment: datetime | None = None, own: str = "") -> replaying.Stop:
        stop = (self.stop.log, self.stop.offset)
        return replaying.find(self._installation, self.data, (self.begin, own), stop, moment)


@pytest.fixture
def ground(mortal: MortalPostgresql, tmp_path: Path) -> Ground:
    return Ground(mortal, tmp_path / "data")


def test_every_commit_up_to_the_stop_or_the_moment(ground: Ground) -> None:
    assert ground.find().transactions == 2 * COMMITS
    assert ground.find(ground.moment).transactions == COMMITS
    assert ground.find(ground.moment + timedelta(hours=1)).transactions == 2 * COMMITS


@pytest.mark.parametrize("left", [0, 600], ids=["nothing of the last file", "a part of the last file"])
def test_a_log_that_ends_before_it_should_is_told_however_little_is_missing(
    ground: Ground, left: int
) -> None:
    with (ground.data / "pg_wal" / ground.stop.log).open("rb+") as file:
        file.seek(left)
        file.write(bytes(ground.stop.offset - left))
    for moment in (None, ground.moment + timedelta(hours=1)):
        with pytest.raises(OperationFailed, match="cannot be read"):
            ground.find(moment)


def test_a_clock_that_went_back_takes_nothing_that_the_base_had(ground: Ground) -> None:
    """Commits before the base's own place are older than the moment, whatever time stands in them."""
    early = ground.moment - timedelta(hours=1)
    assert ground.find(early, own=ground.middle).transactions == COMMITS


def test_a_file_in_the_middle_that_is_missing_is_told(ground: Ground) -> None:
    first = wal.name_of(1, wal.number(ground.begin) // SEGMENT, SEGMENT)
    (ground.data / "pg_wal" / first).unlink()
    with pytest.raises(OperationFailed, match=f"has no {first}"):
        ground.find()


def test_what_an_older_receiver_had_is_not_taken_for_what_has_arrived(
    mortal: MortalPostgresql, tmp_path: Path
) -> None:
    """The server may hold the connection of a receiver that died, whose log is not in the new directory."""
    logs = PostgresqlLogs(mortal.options(), "one", Policy())
    logs.prepare()
    logs.first(None, oldest=True)
    reported = f"SELECT write_lsn FROM pg_stat_replication WHERE application_name = '{logs.name}'"
    with start(logs.command(tmp_path, "")):
        wait_for(lambda: [row for row in mortal.execute(reported) if row[0]], 20, "the receiver to report")
        with logs.watched() as ask:
            ask()
        assert logs._reported == 0
