"""The archive of a real server's WAL: through kills, restarts, a failover, a lost slot."""

import threading

import pytest

from backups.engines._postgresql_logs import Policy, PostgresqlLogs
from backups.engines.postgresql_physical import Plugin
from backups.logs import chain, read
from drcenter.errors import OperationFailed
from tests.live.archiving_postgresql import SEGMENT, MortalPostgresql, PostgresqlArchive, archive, mortal
from tests.live.running import wait_for

__all__ = ["archive", "mortal"]
pytestmark = pytest.mark.django_db(transaction=True)


def fill(mortal: MortalPostgresql, first: int, count: int = 20) -> None:
    mortal.execute(
        *(f"INSERT INTO orders VALUES ({number}, repeat('x', 100))" for number in range(first, first + count))
    )


def incarnations(archive: PostgresqlArchive) -> list[str]:
    return list(archive.stream.incarnations.order_by("pk").values_list("reason", flat=True))


def test_what_is_archived_is_what_the_server_has_also_after_a_kill(archive: PostgresqlArchive) -> None:
    archive.start()
    fill(archive.mortal, 0)
    archive.catch_up()
    archive.mortal.execute("SELECT pg_switch_wal()")
    fill(archive.mortal, 100)
    archive.catch_up()
    archive.kill()
    fill(archive.mortal, 200)
    archive.start()
    archive.catch_up()
    found = archive.all_logs()
    assert len(found) >= 2
    for name, content in list(found.items()):
        assert content == archive.mortal.log(name)[: len(content)]
    assert all(len(content) == SEGMENT for content in list(found.values())[:-1])
    assert chain.gaps(read.segments(archive.stream)) == []
    assert archive.stop() == 0
    archive.stream.refresh_from_db()
    assert archive.stream.state == "running"
    assert archive.stream.lag_seconds is not None


def test_the_server_keeps_its_log_until_it_is_at_the_destinations(archive: PostgresqlArchive) -> None:
    archive.start()
    fill(archive.mortal, 0)
    archive.catch_up()

    def kept() -> str:
        ((name,),) = archive.mortal.execute("SELECT pg_walfile_name(restart_lsn) FROM pg_replication_slots")
        return str(name)

    before = kept()
    archive.mortal.execute("SELECT pg_switch_wal()")
    fill(archive.mortal, 100)
    archive.catch_up()
    wait_for(lambda: kept() > before, 10, "the slot to move on")
    newest = archive.newest()
    assert newest is not None
    assert kept() <= newest.log


def test_after_a_crash_of_the_server_it_goes_on(archive: PostgresqlArchive) -> None:
    archive.start()
    fill(archive.mortal, 0)
    archive.catch_up()
    archive.mortal.kill()
    archive.mortal.start()
    archive.moved()
    fill(archive.mortal, 100)
    archive.catch_up(30)
    assert chain.gaps(read.segments(archive.stream)) == []
    assert incarnations(archive) == [""]


def test_a_failover_goes_on_with_the_new_timeline(
    archive: PostgresqlArchive, mortal: MortalPostgresql
) -> None:
    archive.start()
    fill(mortal, 0)
    archive.catch_up()
    standby = mortal.take_over(mortal.directory.parent / "b")
    mortal.kill()
    standby.start_promoted()
    try:
        archive.mortal = standby
        archive.moved()
        fill(standby, 100)
        archive.catch_up(30)
        found = archive.all_logs()
        assert "00000002.history" in found
        assert any(name.startswith("00000002") and len(name) == 24 for name in found)
        assert incarnations(archive) == [""]
        assert chain.gaps(read.segments(archive.stream)) == []
    finally:
        archive.kill()
        standby.stop()


def test_a_lost_slot_is_a_gap_that_is_told(archive: PostgresqlArchive) -> None:
    archive.start()
    fill(archive.mortal, 0)
    archive.catch_up()
    archive.kill()
    archive.mortal.execute("SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots")
    for number in range(8):
        fill(archive.mortal, 1000 + number * 10, 1)
        archive.mortal.execute("SELECT pg_switch_wal()", "CHECKPOINT")
    archive.start()
    fill(archive.mortal, 5000)
    archive.catch_up()
    reasons = incarnations(archive)
    assert len(reasons) == 2
    assert "slot was given up" in reasons[1]
    assert len(chain.gaps(read.segments(archive.stream))) == 1


def test_a_slot_that_keeps_more_than_the_policy_is_given_up_loudly(mortal: MortalPostgresql) -> None:
    engine = Plugin(mortal.options())
    source = engine.logs("token")
    source._policy = Policy(slot_bytes=1 << 20)
    source.prepare()
    source.unwell()
    for number in range(3):
        fill(mortal, number * 10, 1)
        mortal.execute("SELECT pg_switch_wal()")
    with pytest.raises(OperationFailed, match="its slot was given up"):
        source.unwell()
    assert mortal.execute("SELECT count(*) FROM pg_replication_slots") == [(0,)]
    source.unwell()


def test_preflight_names_what_endangers_the_server(mortal: MortalPostgresql) -> None:
    found = Plugin(mortal.options() | {"synchronous": True}).logs("token").preflight()
    assert [finding.caps for finding in found] == [False, False]
    assert "max_slot_wal_keep_size is -1" in found[0].message
    assert "synchronous_standby_names = 'FIRST 1 (drcenter_" in found[1].hint
    mortal.execute("CREATE ROLE poor LOGIN PASSWORD 'x'")
    (mortal.directory / "poor").write_text("x")
    poor = mortal.options() | {"user": "poor", "password": f"file:{mortal.directory / 'poor'}"}
    (refusal,) = Plugin(poor).logs("token").preflight()
    assert refusal.caps
    assert "may not replicate" in refusal.message


def test_the_slot_goes_with_the_stream(mortal: MortalPostgresql) -> None:
    source = Plugin(mortal.options()).logs("token")
    source.prepare()
    source.prepare()
    assert mortal.execute("SELECT count(*) FROM pg_replication_slots") == [(1,)]
    source.release()
    source.release()
    assert mortal.execute("SELECT count(*) FROM pg_replication_slots") == [(0,)]


def waiting(mortal: MortalPostgresql, names: str = "FIRST 1 ({name})", **policy: int) -> PostgresqlLogs:
    """The source of an archive that is not there, and a server that waits for what `names` says."""
    source = Plugin(mortal.options() | {"synchronous": True, "wait_seconds": 30} | policy).logs("token")
    mortal.execute(
        f"ALTER SYSTEM SET synchronous_standby_names = '{names.format(name=source.name)}'",
        "SELECT pg_reload_conf()",
    )
    wait_for(lambda: names_of(mortal) != "", 10)
    return source


def names_of(mortal: MortalPostgresql) -> str:
    ((found,),) = mortal.execute("SELECT current_setting('synchronous_standby_names')")
    return str(found)


def test_commits_that_wait_for_a_dead_archive_go_on_after_a_while(mortal: MortalPostgresql) -> None:
    source = waiting(mortal)
    committed = threading.Thread(target=mortal.execute, args=("INSERT INTO orders VALUES (1, 'x')",))
    committed.start()
    try:
        assert source.let_go(29) == "", "it may come back"
        committed.join(1)
        assert committed.is_alive()
        told = source.let_go(31)
    finally:
        mortal.execute("ALTER SYSTEM SET synchronous_standby_names = ''", "SELECT pg_reload_conf()")
        committed.join(20)
    assert not committed.is_alive()
    assert "stood still for 31 s" in told and f"'FIRST 1 ({source.name})'" in told
    assert source.let_go(60) == "", "it is told once"


@pytest.mark.parametrize(
    ("names", "policy"), [("FIRST 1 ({name}, other)", {}), ("FIRST 1 ({name})", {"wait_seconds": 0})]
)
def test_others_may_answer_or_it_waits_without_end(mortal: MortalPostgresql, names: str, policy) -> None:
    source = waiting(mortal, names, **policy)
    assert source.let_go(1000) == ""
    assert names_of(mortal) == names.format(name=source.name)


def test_a_user_who_may_not_let_them_go_on_is_told_before_and_then(mortal: MortalPostgresql) -> None:
    source = waiting(mortal)
    mortal.execute("SET synchronous_commit = local", "CREATE ROLE keeper LOGIN REPLICATION PASSWORD 'x'")
    (mortal.directory / "keeper").write_text("x")
    limited = mortal.options() | {
        "user": "keeper", "password": f"file:{mortal.directory / 'keeper'}", "synchronous": True, "wait_seconds": 30,
    }  # fmt: skip
    poor = Plugin(limited).logs("token")
    assert any("may not let them go on" in finding.message for finding in poor.preflight())
    with pytest.raises(OperationFailed, match="may not let them go on") as told:
        poor.let_go(60)
    assert "GRANT ALTER SYSTEM" in told.value.hint
    assert names_of(mortal) == f"FIRST 1 ({source.name})"
