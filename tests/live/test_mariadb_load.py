"""A dump loaded over several connections holds exactly what it would over one; what goes wrong is told."""

import random
import threading
from io import BytesIO
from pathlib import Path

import pytest

from backups.engines import _mariadb_load
from backups.engines._mariadb_load import _Inserters
from backups.witness import differences
from drcenter.errors import OperationFailed
from tests.live.mariadb_fixtures import Database, database, filled, mariadb_server
from tests.live.roundtrip import restored, take

__all__ = ["database", "filled", "mariadb_server"]

KEYS = [
    "CREATE TABLE many (id INT AUTO_INCREMENT PRIMARY KEY, a INT, b VARCHAR(200), c TEXT, d DATE, e INT UNIQUE,"
    " KEY on_a (a), KEY `odd``name` (b(10), a) COMMENT 'one, two; ''three''', KEY on_c (c(20)), KEY on_d (d DESC) IGNORED,"
    " UNIQUE KEY pair (a, b), KEY with_b (b) USING BTREE)",
    "CREATE TABLE texts (id INT PRIMARY KEY, t TEXT, a INT, KEY on_a (a), FULLTEXT KEY words (t))",
    "CREATE TABLE places (id INT PRIMARY KEY, p POINT NOT NULL, a INT, KEY on_a (a), SPATIAL KEY there (p))",
    "CREATE TABLE grown (a INT, id INT AUTO_INCREMENT, PRIMARY KEY (a, id), KEY own (id))",
    "CREATE TABLE parents (id INT PRIMARY KEY, code INT, KEY on_code (code))",
    "CREATE TABLE children (id INT PRIMARY KEY, parent INT, code INT, KEY on_parent (parent),"
    " CONSTRAINT of_parent FOREIGN KEY (parent) REFERENCES parents (id),"
    " CONSTRAINT of_code FOREIGN KEY (code) REFERENCES parents (code))",
    "CREATE TABLE keyless (a INT, KEY on_a (a))",
    "CREATE TABLE `odd``table; x` (id INT PRIMARY KEY, a INT CHECK (a <> 3), KEY on_a (a))",
    "CREATE TABLE large (id INT PRIMARY KEY, content LONGBLOB, a INT, KEY on_a (a))",
    "CREATE TABLE seen (id INT PRIMARY KEY, n INT, KEY on_n (n))",
    "CREATE TRIGGER counted AFTER INSERT ON many FOR EACH ROW INSERT INTO seen VALUES (NEW.id + 1000000, 1)",
    "INSERT INTO parents SELECT seq, seq * 2 FROM seq_1_to_3000",
    "INSERT INTO children SELECT seq, seq, seq * 2 FROM seq_1_to_3000",
    "INSERT INTO keyless SELECT seq FROM seq_1_to_3000",
    "INSERT INTO `odd``table; x` SELECT seq, 4 FROM seq_1_to_100",
    "INSERT INTO grown (a) SELECT seq % 7 FROM seq_1_to_300",
    "INSERT INTO texts SELECT seq, CONCAT('); INSERT INTO `many` VALUES (', seq, ');\n\\n'';'), seq FROM seq_1_to_500",
    "INSERT INTO places SELECT seq, POINT(seq, 1), seq FROM seq_1_to_100",
    "INSERT INTO large SELECT seq, RANDOM_BYTES(1000), seq FROM seq_1_to_50",
    "INSERT INTO large VALUES (100, REPEAT('x', 6000000), 1), (101, REPEAT(0x00, 5000000), 2)",
    "INSERT INTO seen SELECT seq, seq FROM seq_1_to_40000",
]


@pytest.fixture
def varied(database: Database) -> Database:
    database.fill(KEYS)
    source = random.Random(5)
    for start in range(0, 40_000, 1000):
        rows = [
            f"({source.randint(1, 99)}, '{number} {'b' * source.randint(0, 99)}', REPEAT('t', 60), '2026-01-02', {number})"
            for number in range(start, start + 1000)
        ]
        database.execute("INSERT INTO many (a, b, c, d, e) VALUES " + ",".join(rows))
    database.execute("DELETE FROM seen WHERE id > 1000000")
    return database


def test_every_kind_of_key_comes_back_to_the_letter(varied: Database, tmp_path: Path, monkeypatch) -> None:
    used = []
    monkeypatch.setattr(
        _Inserters,
        "begin",
        lambda self, after, begin=_Inserters.begin: (used.append(after), begin(self, after)),
    )
    engine = varied.engine()
    taken = take(engine)
    with restored(engine, taken, tmp_path, engine.inspect().facts) as place:
        assert differences(taken.witness, place.witness()) == []
        for name, _kind in varied.execute("SHOW FULL TABLES"):
            quoted = "`" + name.replace("`", "``") + "`"
            assert place.ask(f"SHOW CREATE TABLE {quoted}") == varied.execute(f"SHOW CREATE TABLE {quoted}")
    waited = b" ".join(used)
    assert len(used) == 9, used
    assert waited.count(b"ADD KEY") == 9, used
    assert b"`odd``name` (`b`(10),`a`) COMMENT 'one, two; ''three'''" in waited


def test_the_hard_cases_come_back(filled: Database, tmp_path: Path) -> None:
    engine = filled.engine()
    taken = take(engine)
    with restored(engine, taken, tmp_path, engine.inspect().facts) as place:
        assert differences(taken.witness, place.witness()) == []


BROKEN = [
    (b"INSERT INTO `seen` VALUES", b"INSERT INTO `seen` VALUES\n(7,7),", "during COMMIT|Duplicate entry"),
    (b"INSERT INTO `seen` VALUES", b"INSERT INTO `seen` VALUES\n(7),", "Column count"),
    (b"DELIMITER ;;", b"DELIMITER ;;\nNONSENSE ;;", "syntax"),
    (b"CREATE TABLE `parents`", b"NONSENSE;\nCREATE TABLE `parents`", "syntax"),
    (b"KEY `on_n` (`n`)", b"KEY `on_n` (`nothing`)", "doesn't exist in table"),
]


def test_what_goes_wrong_is_told_and_nothing_goes_on(varied: Database, tmp_path: Path) -> None:
    """What the server refuses, in rows, text or waiting indexes; and a stream that fails in the middle."""

    class Damaged(BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            if self.tell() > 9_000_000:
                raise OperationFailed("It is damaged.")
            return super().read(size)

    engine = varied.engine()
    plain, before = (
        next(part[2] for part in take(engine).parts if part[0] == "database"),
        threading.active_count(),
    )
    assert len(plain) > 10_000_000
    with engine.scratch(tmp_path, engine.inspect().facts) as place:
        running = threading.active_count()
        for old, new, told in BROKEN:
            assert old in plain
            place.prepare(overwrite=True)
            with pytest.raises(OperationFailed, match=told):
                place.consumer("database", "sql")(BytesIO(plain.replace(old, new, 1)))
            assert threading.active_count() == running, told
        place.prepare(overwrite=True)
        with pytest.raises(OperationFailed, match="It is damaged"):
            place.consumer("database", "sql")(Damaged(plain))
        assert threading.active_count() == running
    assert threading.active_count() <= before


def test_only_a_scratch_place_is_loaded_so(varied: Database) -> None:
    engine = varied.engine()
    assert type(engine.consumer("database", "sql")).__name__ == "Command"
    assert type(engine.beside("copy").consumer("database", "sql")).__name__ == "Command"
    assert _mariadb_load.CONNECTIONS == 2
