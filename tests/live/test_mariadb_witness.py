"""The witness names what is different in a copy, and sees nothing where nothing is."""

import pytest

from backups.engines.mariadb import Plugin
from backups.witness import Witness, differences
from drcenter.errors import OperationFailed
from tests.live.mariadb_fixtures import Database, database, filled, mariadb_server
from tests.live.roundtrip import restore, take

__all__ = ["database", "filled", "mariadb_server"]


@pytest.fixture
def copy(filled: Database) -> tuple[Witness, Database, Plugin]:
    """The witness of the source, and a restored copy of it to spoil."""
    engine = filled.engine()
    taken = take(engine)
    other = Database(filled.server, f"{filled.name}_copy", filled.patch)
    beside = engine.beside(other.name)
    restore(beside, taken)
    return taken.witness, other, beside


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ("UPDATE orders SET amount = amount + 0.0000000001 WHERE id = 1", "orders: same count (2), other contents"),
        ("DELETE FROM `order notes` WHERE a = 1 LIMIT 1", "order notes: 5 in the source, 4 after the restore"),
        ("UPDATE `order notes` SET note = '' WHERE note IS NULL AND a = 2", "order notes: same count (5), other contents"),
        ("UPDATE files SET label = NULL WHERE label = ''", "files: same count (3), other contents"),
        ("UPDATE files SET body = CONCAT(body, x'00') WHERE id = 1", "files: same count (3), other contents"),
        ("UPDATE customers SET name = 'zoë 😀' WHERE id = 1", "customers: same count (3), other contents"),
        ("UPDATE measures SET words = 'naive' WHERE id = 1", "measures: same count (3), other contents"),
        ("UPDATE measures SET place = ST_GeomFromText('POINT(1 2)', 0)", "measures: same count (3), other contents"),
        ("DROP TRIGGER count_changes", "trigger count_changes: missing after the restore"),
        ("DROP PROCEDURE pay", "procedure pay: missing after the restore"),
        ("DROP EVENT cleaning", "event cleaning: missing after the restore"),
        ("DROP VIEW a_total_of_totals", "view a_total_of_totals: missing after the restore"),
        ("ALTER TABLE orders DROP FOREIGN KEY placed_by", "table orders: definition differs"),
        ("ALTER TABLE orders AUTO_INCREMENT = 50", "auto_increment orders: definition differs"),
        ("DO SETVAL(numbers, 99)", "next value of sequence numbers: definition differs"),
        ("CREATE TABLE more (id INT)", "table more: not in the source"),
        ("ALTER DATABASE CHARACTER SET latin1", "database options: definition differs"),
        ("CREATE OR REPLACE FUNCTION twice(a INT) RETURNS INT DETERMINISTIC RETURN a * 3", "function twice: definition differs"),
    ],
)  # fmt: skip
def test_a_spoiled_copy_is_named(copy: tuple[Witness, Database, Plugin], change: str, named: str) -> None:
    witness, other, engine = copy
    assert differences(witness, engine.witness()) == []
    other.execute(change)
    assert named in differences(witness, engine.witness())


def test_lost_history_is_named(copy: tuple[Witness, Database, Plugin]) -> None:
    witness, other, engine = copy
    other.execute("DELETE HISTORY FROM prices")
    assert differences(witness, engine.witness()) == ["prices: 4 in the source, 1 after the restore"]


def test_rows_exchanged_between_columns_are_seen(database: Database) -> None:
    database.fill(
        ["CREATE TABLE t (a VARCHAR(9), b VARCHAR(9))", "INSERT INTO t VALUES ('x', NULL), ('y|', 'z')"]
    )
    before = database.engine().witness()
    database.execute("UPDATE t SET a = NULL, b = 'x' WHERE a = 'x'")
    assert differences(before, database.engine().witness()) == ["t: same count (2), other contents"]


def test_the_order_of_rows_does_not_matter(database: Database) -> None:
    database.fill(["CREATE TABLE t (a INT)", "INSERT INTO t VALUES (1), (2), (2), (3)"])
    before = database.engine().witness()
    database.fill(["TRUNCATE t", "INSERT INTO t VALUES (2), (3), (1), (2)"])
    assert differences(before, database.engine().witness()) == []


def test_a_witness_survives_json(filled: Database) -> None:
    witness = filled.engine().witness()
    assert Witness.from_json(witness.as_json()) == witness


def test_a_row_that_cannot_be_hashed_is_an_error(database: Database) -> None:
    """An expression longer than max_allowed_packet is NULL with a warning only."""
    columns = ", ".join(f"c{number} VARCHAR(8000) CHARACTER SET latin1" for number in range(8))
    database.fill(
        [f"CREATE TABLE t ({columns})", f"INSERT INTO t VALUES ({', '.join(['REPEAT(0x78, 8000)'] * 8)})"]
    )
    assert database.engine().witness().contents["t"].count == 1
    ((before,),) = database.execute("SELECT @@GLOBAL.max_allowed_packet")
    database.execute("SET GLOBAL max_allowed_packet = 65536")
    try:
        with pytest.raises(OperationFailed, match="too long for the server to hash"):
            database.engine().witness()
    finally:
        database.execute(f"SET GLOBAL max_allowed_packet = {before}")
