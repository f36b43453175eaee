"""A restore beside the original never brings an account back to life: accounts are the whole server's."""

from pathlib import Path

import pymysql
import pytest

from backups.engines._mariadb_accounts import for_copy
from backups.servers.postgresql import Server
from backups.witness import differences, withholding
from tests.live.mariadb_fixtures import Database, database, filled, mariadb_server
from tests.live.postgresql_fixtures import engine_for, prove, rows
from tests.live.roundtrip import restore, restored, take

__all__ = ["database", "filled", "mariadb_server"]


def test_missing_accounts_of_mariadb_are_made_locked(database: Database, tmp_path: Path) -> None:
    database.fill(
        [
            "CREATE TABLE t (a INT)",
            "CREATE ROLE beside_readers",
            f"GRANT SELECT ON `{database.name}`.* TO beside_readers",
            "CREATE USER beside_gone@'%' IDENTIFIED BY 'gone-pass'",
            f"GRANT INSERT ON `{database.name}`.t TO beside_gone@'%'",
            "GRANT beside_readers TO beside_gone@'%'",
            "CREATE USER beside_kept@'%' IDENTIFIED BY 'old-pass'",
            f"GRANT SELECT ON `{database.name}`.* TO beside_kept@'%'",
            "GRANT beside_readers TO beside_kept@'%'",
        ]
    )
    engine = database.engine()
    taken, facts = take(engine), engine.inspect().facts
    try:
        database.fill(["DROP USER beside_gone@'%'", "REVOKE beside_readers FROM beside_kept@'%'",
                       "ALTER USER beside_kept@'%' IDENTIFIED BY 'new-pass'"])  # fmt: skip
        copy = engine.beside(f"{database.name}_copy")
        restore(copy, taken)
        ((made,),) = database.execute("SHOW CREATE USER beside_gone@'%'")
        assert made.endswith("ACCOUNT LOCK")
        assert "IDENTIFIED" not in made
        found = [
            line
            for user in ("beside_gone", "beside_kept")
            for (line,) in database.execute(f"SHOW GRANTS FOR {user}@'%'")
        ]
        assert not [line for line in found if "beside_readers" in line]
        assert not [
            line for line in found if "_gone" in line and "INSERT" in line and f"{database.name}`" in line
        ]
        assert [line for line in found if "_gone" in line and "INSERT" in line and "_copy`" in line]
        pymysql.connect(
            host=database.server.host,
            port=database.server.port,
            user="beside_kept",
            password="new-pass",
        ).close()
        known, withheld = withholding(taken.witness, copy.witness(), copy.withheld)
        assert differences(known, copy.witness()) == []
        assert set(withheld) == {
            "GRANT `beside_readers` TO `beside_gone`@`%`", "GRANT `beside_readers` TO `beside_kept`@`%`",
        }  # fmt: skip
        assert all("beside the original" in reason for reason in withheld.values())
        with restored(engine, taken, tmp_path, facts) as scratch:
            assert differences(taken.witness, scratch.witness()) == [], "a proof has all of them"
            assert scratch.withheld("GRANT `beside_readers` TO `beside_gone`@`%`") == ""
    finally:
        database.fill(["DROP USER IF EXISTS beside_gone@'%', beside_kept@'%'", "DROP ROLE beside_readers"])


@pytest.mark.parametrize(
    ("statement", "run"),
    [
        ("CREATE USER IF NOT EXISTS `a``b`@`%` IDENTIFIED BY PASSWORD '*00' REQUIRE SSL",
         "CREATE USER IF NOT EXISTS `a``b`@`%` ACCOUNT LOCK"),
        ("CREATE USER IF NOT EXISTS 'a'@'h' IDENTIFIED WITH x", "CREATE USER IF NOT EXISTS 'a'@'h' ACCOUNT LOCK"),
        ("CREATE USER IF NOT EXISTS `a`@`%` ACCOUNT LOCK", "CREATE USER IF NOT EXISTS `a`@`%` ACCOUNT LOCK"),
        ("CREATE ROLE IF NOT EXISTS `r`", "CREATE ROLE IF NOT EXISTS `r`"),
        ("CREATE ROLE IF NOT EXISTS `r` WITH ADMIN `x`@`%`", "CREATE ROLE IF NOT EXISTS `r`"),
        ("CREATE USER `a`@`%` IDENTIFIED BY 'x'", ""),
        ("ALTER USER `a`@`%` IDENTIFIED BY 'x'", ""),
        ("GRANT `r` TO `a`@`%`", ""),
        ("GRANT SELECT ON * TO `a`@`%`", "GRANT SELECT ON * TO `a`@`%`"),
        ("GRANT SELECT (`x`) ON `t` TO `a`@`%`", "GRANT SELECT (`x`) ON `t` TO `a`@`%`"),
        ("GRANT EXECUTE ON PROCEDURE `p` TO `a`@`%`", "GRANT EXECUTE ON PROCEDURE `p` TO `a`@`%`"),
        ("GRANT ALL ON *.* TO `a`@`%`", ""),
        ("GRANT ALL ON `shop`.* TO `a`@`%`", ""),
        ("ALTER DATABASE CHARACTER SET utf8mb4 COLLATE utf8mb4_bin", "ALTER DATABASE CHARACTER SET utf8mb4 COLLATE utf8mb4_bin"),
        ("DROP DATABASE shop", ""),
    ],
)  # fmt: skip
def test_what_a_copy_runs_of_each_statement(statement: str, run: str) -> None:
    assert for_copy(statement) == run


def test_missing_roles_of_postgresql_cannot_sign_in(
    postgresql_server: Server, postgresql_database: str, tmp_path: Path
) -> None:
    def run(*statements: str) -> None:
        with postgresql_server.connect(postgresql_database) as connection:
            for statement in statements:
                connection.execute(statement.encode())

    run("CREATE ROLE team", "CREATE ROLE gone LOGIN CREATEDB CREATEROLE PASSWORD 'gone-pass' IN ROLE team",
        "CREATE ROLE boss SUPERUSER LOGIN REPLICATION BYPASSRLS", "CREATE ROLE kept LOGIN PASSWORD 'old' IN ROLE team",
        "CREATE TABLE t (a int)", "ALTER TABLE t OWNER TO gone", "GRANT SELECT ON t TO kept, boss",
        "CREATE ROLE below IN ROLE gone")  # fmt: skip
    engine = engine_for(postgresql_server, postgresql_database)
    taken = take(engine)
    assert differences(taken.witness, prove(engine, taken, tmp_path)) == []
    run("ALTER TABLE t OWNER TO team", "REVOKE ALL ON t FROM boss", "DROP ROLE gone", "DROP ROLE boss",
        "REVOKE team FROM kept", "ALTER ROLE kept NOLOGIN")  # fmt: skip
    copy = engine.beside("copy of accounts")
    restore(copy, taken)
    try:
        query = ("SELECT rolname, rolcanlogin, rolsuper, rolcreatedb, rolcreaterole, rolreplication, rolbypassrls,"
                 " rolpassword IS NULL FROM pg_authid WHERE rolname IN ('gone', 'boss') ORDER BY 1")  # fmt: skip
        nothing = (False, False, False, False, False, False, True)
        assert rows(postgresql_server, "postgres", query) == [("boss", *nothing), ("gone", *nothing)]
        members = "SELECT count(*) FROM pg_auth_members WHERE roleid::regrole::text IN ('team', 'gone')"
        assert rows(postgresql_server, "postgres", members) == [(0,)]
        assert rows(
            postgresql_server, "postgres", "SELECT rolcanlogin FROM pg_roles WHERE rolname = 'kept'"
        ) == [(False,)]
        owner = "SELECT tableowner FROM pg_tables WHERE tablename = 't'"
        assert rows(postgresql_server, "copy of accounts", owner) == [("gone",)]
        known, withheld = withholding(taken.witness, copy.witness(), copy.withheld)
        assert differences(known, copy.witness()) == []
        assert {"role gone", "role kept"} <= set(withheld)
    finally:
        copy.drop()
