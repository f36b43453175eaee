"""What a backup user may not see is missing at exit code 0; the source says so, with the cure."""

import secrets
from pathlib import Path

import pytest

from backups.engines._mariadb_connect import connected, execute, login_from
from backups.engines.base import Engine
from backups.witness import differences
from drcenter.errors import OperationFailed
from tests.live.mariadb_fixtures import Database, database, filled, mariadb_server
from tests.live.roundtrip import restore, restored, take

__all__ = ["database", "filled", "mariadb_server"]

RECOMMENDED = "SELECT, LOCK TABLES, SHOW VIEW ON `{0}`.*"
FULL = ("SELECT, LOCK TABLES, SHOW VIEW, TRIGGER, EVENT ON `{0}`.*", "SELECT ON mysql.*")


def test_the_recommended_rights_cap_the_set_and_name_the_grant(filled: Database) -> None:
    engine = filled.user("backup", RECOMMENDED.format(filled.name))
    taken = take(engine)
    assert "count_changes" not in taken.text("database"), "the dump ended well without its triggers"
    inspection = engine.inspect()
    assert inspection.capped
    hints = [finding.hint for finding in inspection.findings if finding.caps]
    assert hints == [
        f"GRANT TRIGGER, EVENT ON `{filled.name}`.* TO `backup`@`%`;",
        "GRANT SELECT ON `mysql`.`proc` TO `backup`@`%`;",
    ]


def test_the_grants_that_are_named_are_enough(filled: Database) -> None:
    engine = filled.user("backup", RECOMMENDED.format(filled.name))
    for finding in engine.inspect().findings:
        filled.execute(finding.hint.rstrip(";"))
    inspection = engine.inspect()
    assert inspection.findings == []
    assert differences(take(engine).witness, filled.engine().witness()) == []


def test_documented_rights_prove_a_set(filled: Database, tmp_path: Path) -> None:
    engine = filled.user("backup", *(grant.format(filled.name) for grant in FULL))
    inspection = engine.inspect()
    assert inspection.findings == []
    taken = take(engine)
    with restored(engine, taken, tmp_path, inspection.facts) as scratch:
        assert differences(taken.witness, scratch.witness()) == []


def test_rights_through_a_role_count(filled: Database) -> None:
    role = f"dumpers_{secrets.token_hex(3)}"
    engine = filled.user("backup")
    filled.execute(f"CREATE ROLE {role}")
    for grant in FULL:
        filled.execute(f"GRANT {grant.format(filled.name)} TO {role}")
    filled.execute(f"GRANT {role} TO `backup`@`%`")
    with pytest.raises(OperationFailed, match="1044"):
        engine.inspect()
    filled.execute(f"SET DEFAULT ROLE {role} FOR `backup`@`%`")
    assert engine.inspect().findings == []
    filled.execute(f"DROP ROLE {role}")


def test_rights_on_single_tables_hide_the_others(filled: Database) -> None:
    engine = filled.user("backup", f"SELECT ON `{filled.name}`.customers")
    finding = next(finding for finding in engine.inspect().findings if finding.caps)
    assert "SELECT" in finding.message
    assert "GRANT SELECT, LOCK TABLES, SHOW VIEW, TRIGGER, EVENT ON" in finding.hint


def test_without_lock_tables_there_is_no_one_moment(filled: Database) -> None:
    engine = filled.user("backup", f"SELECT, SHOW VIEW, TRIGGER, EVENT ON `{filled.name}`.*")
    with pytest.raises(OperationFailed, match="may not lock") as caught:
        take(engine)
    assert "LOCK TABLES" in caught.value.hint


def test_an_application_user_can_back_up_and_restore_itself(database: Database) -> None:
    """Laravel's own user: everything on its database, nothing else. It need not create itself."""
    engine = database.user("laravel", f"ALL ON `{database.name}`.*")
    # With a binary log, MariaDB lets nobody else than a superuser create triggers unless this is on.
    database.execute("SET GLOBAL log_bin_trust_function_creators = 1")
    database.fill([
        "CREATE TABLE t (id INT)", "INSERT INTO t VALUES (1)",
        "CREATE DEFINER=`laravel`@`%` TRIGGER tr BEFORE INSERT ON t FOR EACH ROW SET NEW.id = NEW.id + 1",
        "CREATE DEFINER=`laravel`@`%` PROCEDURE p() SELECT 1",
    ])  # fmt: skip
    inspection = engine.inspect()
    assert not inspection.capped, inspection.findings
    taken = take(engine)
    restore(engine, taken, overwrite=True)
    assert differences(taken.witness, engine.witness()) == []


def test_others_routines_are_not_readable(database: Database) -> None:
    engine = database.user("laravel", f"ALL ON `{database.name}`.*")
    database.fill(["CREATE PROCEDURE p() SELECT 1"])
    finding = next(finding for finding in engine.inspect().findings if finding.caps)
    assert finding.hint == "GRANT SELECT ON `mysql`.`proc` TO `laravel`@`%`;"


def test_myisam_is_never_silently_inconsistent(database: Database) -> None:
    database.fill(["CREATE TABLE old (id INT) ENGINE=MyISAM", "INSERT INTO old VALUES (1)"])
    inspection = database.engine().inspect()
    assert inspection.capped
    assert "old" in inspection.findings[0].message
    assert "ENGINE=InnoDB" in inspection.findings[0].hint
    held = database.engine(hold_unsafe=True)
    assert not held.inspect().capped
    taken = take(held)
    assert differences(taken.witness, held.witness()) == []


def test_definers_and_grants_come_back_with_their_passwords(filled: Database, tmp_path: Path) -> None:
    name = f"app_{secrets.token_hex(3)}"
    filled.execute(f"CREATE USER {name}@localhost IDENTIFIED BY 'a-pass''word'")
    filled.execute(f"GRANT SELECT, INSERT ON `{filled.name}`.* TO {name}@localhost")
    filled.execute(f"GRANT UPDATE (name, email), DELETE ON `{filled.name}`.customers TO {name}@localhost")
    filled.execute(f"GRANT EXECUTE ON PROCEDURE `{filled.name}`.pay TO {name}@localhost")
    filled.execute(
        f"CREATE DEFINER={name}@localhost TRIGGER named AFTER INSERT ON orders FOR EACH ROW SET @a = 1"
    )
    ((creation,),) = filled.execute(f"SHOW CREATE USER {name}@localhost")
    engine = filled.engine()
    taken = take(engine)
    with restored(engine, taken, tmp_path, engine.inspect().facts) as scratch:
        assert differences(taken.witness, scratch.witness()) == []
        assert _query(scratch, f"SHOW CREATE USER {name}@localhost") == creation
        _query(scratch, f"REVOKE EXECUTE ON PROCEDURE `{filled.name}`.pay FROM {name}@localhost")
        assert differences(taken.witness, scratch.witness()) == [
            f"GRANT EXECUTE ON PROCEDURE `pay` TO `{name}`@`localhost`: missing after the restore"
        ]
    filled.execute(f"DROP USER {name}@localhost")


def test_a_definer_that_is_not_readable_comes_back_locked(filled: Database, tmp_path: Path) -> None:
    name = f"app_{secrets.token_hex(3)}"
    filled.execute(f"CREATE USER {name}@localhost IDENTIFIED BY 'password'")
    filled.execute(
        f"CREATE DEFINER={name}@localhost TRIGGER named AFTER INSERT ON orders FOR EACH ROW SET @a = 1"
    )
    rights = (FULL[0], "SELECT ON mysql.proc")
    engine = filled.user("backup", *(grant.format(filled.name) for grant in rights))
    inspection = engine.inspect()
    assert not inspection.capped
    assert [finding.hint for finding in inspection.findings] == ["GRANT SELECT ON `mysql`.* TO `backup`@`%`;"]
    taken = take(engine)
    with restored(engine, taken, tmp_path, inspection.facts) as scratch:
        assert differences(taken.witness, scratch.witness()) == []
        assert "ACCOUNT LOCK" in _query(scratch, f"SHOW CREATE USER {name}@localhost")
    filled.execute(f"DROP USER {name}@localhost")


def _query(scratch: Engine, statement: str) -> str:
    with connected(login_from(scratch.options)) as connection:
        rows = execute(connection, statement)
    return str(rows[0][0]) if rows else ""
