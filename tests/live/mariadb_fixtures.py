"""A private MariaDB server for the tests, and a database in it with everything that is hard to carry."""

import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from backups.engines.mariadb import Plugin
from backups.servers.mariadb import Server, private_server

# One statement each; run in an empty database.
SCHEMA = [
    "CREATE TABLE customers (id INT AUTO_INCREMENT PRIMARY KEY, name VARCHAR(100) NOT NULL, email VARCHAR(100) UNIQUE,"
    " settings JSON, nick VARCHAR(20) CHARACTER SET latin1, changes INT NOT NULL DEFAULT 0,"
    " lower_name VARCHAR(100) AS (LOWER(name)) VIRTUAL, name_length INT AS (CHAR_LENGTH(name)) STORED)",
    "CREATE TABLE orders (id INT AUTO_INCREMENT PRIMARY KEY, customer_id INT NOT NULL, amount DECIMAL(30,10),"
    " placed DATETIME(6), CONSTRAINT placed_by FOREIGN KEY (customer_id) REFERENCES customers (id) ON DELETE CASCADE)",
    "CREATE TABLE `order notes` (a INT, note TEXT)",
    "CREATE TABLE `ta``b'l\"e ü` (id INT PRIMARY KEY, v VARBINARY(20))",
    "CREATE TABLE files (id INT PRIMARY KEY, body LONGBLOB, label VARCHAR(50))",
    "CREATE TABLE measures (id INT PRIMARY KEY, f FLOAT, short FLOAT(7,3), d DOUBLE, place GEOMETRY, bits BIT(9),"
    " body LONGBLOB, words TEXT CHARACTER SET latin1, kind ENUM('x','y','ß'), flags SET('p','q'), y YEAR,"
    " at TIMESTAMP(3) NULL, doubled INT AS (id * 2) VIRTUAL, settings JSON)",
    "CREATE TABLE prices (id INT PRIMARY KEY, price INT) WITH SYSTEM VERSIONING",
    "CREATE TABLE rates (id INT PRIMARY KEY, rate FLOAT, since TIMESTAMP(6) GENERATED ALWAYS AS ROW START,"
    " till TIMESTAMP(6) GENERATED ALWAYS AS ROW END, PERIOD FOR SYSTEM_TIME (since, till)) WITH SYSTEM VERSIONING",
    "CREATE TABLE parted (id INT, y INT) PARTITION BY RANGE (y)"
    " (PARTITION early VALUES LESS THAN (10), PARTITION late VALUES LESS THAN MAXVALUE)",
    "CREATE SEQUENCE numbers START WITH 5 CACHE 10",
    "DO NEXTVAL(numbers)",
    "INSERT INTO customers (name, email, settings, nick) VALUES ('Zoë 😀', 'zoe@example.org', '{\"a\": [1, \"😀\"]}', 'é'),"
    " ('O''Neil \\\\ \"x\"\\r\\n', NULL, NULL, NULL), ('', '', NULL, '')",
    "INSERT INTO orders (customer_id, amount, placed) VALUES (1, 12345678901234567890.0123456789,"
    " '2024-01-31 23:59:59.999999'), (2, -0.0000000001, NULL)",
    "INSERT INTO `order notes` VALUES (1, 'twice'), (1, 'twice'), (2, NULL), (2, ''), (NULL, NULL)",
    "INSERT INTO `ta``b'l\"e ü` VALUES (1, x'00ff27225c0a'), (2, '')",
    "INSERT INTO files VALUES (1, REPEAT(x'00ff275c0d0a', 50000), 'blob'), (2, '', NULL), (3, NULL, '')",
    "INSERT INTO measures (id, f, short, d, place, bits, body, words, kind, flags, y, at, settings) VALUES"
    " (1, 16777216, 1.234, 0.1e0 + 0.2e0, ST_GeomFromText('POINT(1 2)', 4326), b'101010101', x'00ff27', 'naïve',"
    " 'ß', 'p,q', 2024, '2024-01-01 00:00:00.123', '{\"a\": \"ß\"}'),"
    " (2, 1.17549435e-38, NULL, -1.5e300, NULL, NULL, '', '', NULL, '', NULL, NULL, NULL),"
    " (3, 0.1, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL)",
    "INSERT INTO prices VALUES (1, 10), (2, 20)",
    "UPDATE prices SET price = price + 1",
    "DELETE FROM prices WHERE id = 2",
    "INSERT INTO rates (id, rate) VALUES (1, 16777216)",
    "UPDATE rates SET rate = 16777218",
    "INSERT INTO parted VALUES (1, 1), (2, 20)",
    "CREATE VIEW totals AS SELECT c.id, SUM(o.amount) AS total FROM customers c JOIN orders o ON o.customer_id = c.id"
    " GROUP BY c.id",
    "CREATE VIEW a_total_of_totals AS SELECT SUM(total) AS everything FROM totals",
    "CREATE TRIGGER count_changes BEFORE UPDATE ON customers FOR EACH ROW BEGIN SET NEW.changes = OLD.changes + 1; END",
    "CREATE TRIGGER spoil BEFORE INSERT ON measures FOR EACH ROW SET NEW.d = 99",
    "CREATE PROCEDURE pay(IN who INT) BEGIN DELETE FROM orders WHERE customer_id = who; SELECT 'paid; done'; END",
    "CREATE FUNCTION twice(a INT) RETURNS INT DETERMINISTIC RETURN a * 2",
    "CREATE EVENT cleaning ON SCHEDULE EVERY 1 DAY STARTS '2024-01-01 02:30:00' DO DELETE FROM orders WHERE id < 0",
]


@dataclass
class Database:
    """An own database in the tests' server."""

    server: Server
    name: str
    patch: pytest.MonkeyPatch

    def execute(self, statement: str, *values: Any) -> list[tuple[Any, ...]]:
        with self.server.connect(self.name) as connection, connection.cursor() as cursor:
            cursor.execute(statement, values or None)
            return list(cursor.fetchall())

    def fill(self, statements: list[str]) -> None:
        with self.server.connect(self.name) as connection, connection.cursor() as cursor:
            cursor.execute("SET sql_mode='', time_zone='+00:00'")
            for statement in statements:
                cursor.execute(statement)

    def engine(self, user: str = "root", password: str | None = None, **options: Any) -> Plugin:
        """An engine with this login, over TCP; the password comes from the environment."""
        variable = f"DRC_TEST_{user.upper().replace('-', '_')}"
        self.patch.setenv(variable, self.server.password.reveal() if password is None else password)
        given = {
            "host": self.server.host,
            "port": self.server.port,
            "user": user,
            "password": f"env:{variable}",
        }
        return Plugin({**given, "database": self.name, **options})

    def user(self, name: str, *grants: str) -> Plugin:
        """An engine of a new user with a random password and these rights on the database."""
        password = secrets.token_hex(8)
        self.execute(f"CREATE OR REPLACE USER `{name}`@`%` IDENTIFIED BY '{password}'")
        for grant in grants:
            self.execute(f"GRANT {grant} TO `{name}`@`%`")
        return self.engine(name, password)

    def rows(self) -> dict[str, list[tuple[Any, ...]]]:
        """Every row of every table and view, with all that is easily lost: the tests' own comparison."""
        found = {}
        tables = self.execute(
            "SELECT TABLE_NAME, TABLE_TYPE FROM information_schema.TABLES WHERE TABLE_SCHEMA = %s", self.name
        )
        for table, kind in tables:
            name = "`" + table.replace("`", "``") + "`"
            every = f"{name} FOR SYSTEM_TIME ALL" if kind == "SYSTEM VERSIONED" else name
            more = ", row_start, row_end" if table == "prices" else ""
            exact = ", f * 1.0e0" if table == "measures" else ", rate * 1.0e0" if table == "rates" else ""
            found[table] = sorted(self.execute(f"SELECT *{more}{exact} FROM {every}"), key=repr)
        return found


@pytest.fixture(scope="session")
def mariadb_server() -> Iterator[Server]:
    """One private server with a binary log for all tests of a run."""
    with private_server(binlog=True) as server:
        yield server


@pytest.fixture
def database(mariadb_server: Server, monkeypatch: pytest.MonkeyPatch) -> Iterator[Database]:
    """An empty database, gone after the test; a copy beside it ends with `_copy`."""
    name = f"app-{secrets.token_hex(4)}"
    with mariadb_server.connect() as connection, connection.cursor() as cursor:
        cursor.execute(f"CREATE DATABASE `{name}` CHARACTER SET utf8mb4 COLLATE utf8mb4_unicode_ci")
        yield Database(mariadb_server, name, monkeypatch)
        for one in (name, f"{name}_copy"):
            cursor.execute(f"DROP DATABASE IF EXISTS `{one}`")


@pytest.fixture
def filled(database: Database) -> Database:
    """The same with the hard cases in it."""
    database.fill(SCHEMA)
    return database
