"""The two sample databases, on private servers that run while the demonstration does."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from psycopg import sql

from backups.servers import mariadb, postgresql
from drcenter.management.demo import places

SCRIPTS = Path(__file__).parent
SHOP, CLINIC = "demo_shop", "demo_clinic"


@dataclass(frozen=True)
class Sample:
    """A database that can be protected: the key and name of its system, and its URL."""

    slug: str
    name: str
    url: str
    host: str
    port: int


@contextmanager
def web_shop() -> Iterator[Sample]:
    """The web shop on MariaDB. Raises OperationFailed when no server is installed."""
    place = places.server_directory("mariadb")
    password = places.secret("mariadb-password")
    with mariadb.private_server(place, keep=True) as server:
        _fill_mariadb(server, password)
        url = f"mysql://backup:{quote(password)}@{server.host}:{server.port}/{SHOP}"
        yield Sample("sample-shop", "Sample shop (MariaDB)", url, server.host, server.port)


def _fill_mariadb(server: mariadb.Server, password: str) -> None:
    with server.connect() as connection, connection.cursor() as cursor:
        # The grant comes last: a start that was interrupted begins anew.
        cursor.execute("SELECT COUNT(*) FROM mysql.db WHERE db = %s AND user = 'backup'", (SHOP,))
        found = cursor.fetchone()
        if found and found[0]:
            # The state directory may have been removed since, and the password with it.
            cursor.execute("ALTER USER backup@'127.0.0.1' IDENTIFIED BY %s", (password,))
            return
        cursor.execute(f"DROP DATABASE IF EXISTS {SHOP}")
        for user in ("backup", "shop"):
            cursor.execute(f"CREATE OR REPLACE USER {user}@'127.0.0.1' IDENTIFIED BY %s", (password,))
        cursor.execute(f"CREATE DATABASE {SHOP} CHARACTER SET utf8mb4 COLLATE utf8mb4_unicode_ci")
        connection.select_db(SHOP)
        for statement in (SCRIPTS / "mariadb.sql").read_text().split("\n-- --\n"):
            cursor.execute(statement)
        cursor.execute(f"GRANT ALL ON {SHOP}.* TO shop@'127.0.0.1'")
        cursor.execute("GRANT SELECT ON mysql.* TO backup@'127.0.0.1'")
        # More than a backup needs: here every button is to work, also a restore beside and over production.
        cursor.execute("GRANT ALL ON *.* TO backup@'127.0.0.1' WITH GRANT OPTION")
        # The last one: it is what an interrupted start looks for.
        cursor.execute(f"GRANT ALL ON {SHOP}.* TO backup@'127.0.0.1'")


@contextmanager
def clinic() -> Iterator[Sample]:
    """The clinic on PostgreSQL. Raises OperationFailed when no server is installed."""
    place = places.server_directory("postgresql")
    password = places.secret("postgresql-password")
    with postgresql.private_server(directory=place) as server:
        _fill_postgresql(server, password)
        url = f"postgresql://clinic:{quote(password)}@{server.host}:{server.port}/{CLINIC}?sslmode=disable"
        yield Sample(
            "sample-clinic-records", "Sample clinic records (PostgreSQL)", url, server.host, server.port
        )


def _fill_postgresql(server: postgresql.Server, password: str) -> None:
    half = f"{CLINIC}_unfinished"
    with server.connect() as connection:
        if connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", (CLINIC,)).fetchone():
            connection.execute(sql.SQL("ALTER ROLE clinic PASSWORD {}").format(sql.Literal(password)))
            return
        # Under another name until it is whole: an interrupted start begins anew.
        connection.execute(sql.SQL("DROP DATABASE IF EXISTS {}").format(sql.Identifier(half)))
        if not connection.execute("SELECT 1 FROM pg_roles WHERE rolname = 'clinic'").fetchone():
            connection.execute(
                sql.SQL("CREATE ROLE clinic LOGIN CREATEDB PASSWORD {}").format(sql.Literal(password))
            )
            connection.execute("CREATE ROLE clinic_reader")
        connection.execute(sql.SQL("CREATE DATABASE {} OWNER clinic").format(sql.Identifier(half)))
        with server.connect(half) as database:
            database.execute("SET ROLE clinic")
            database.execute((SCRIPTS / "postgresql.sql").read_bytes())
            database.execute("GRANT SELECT ON visits TO clinic_reader")
        connection.execute(
            sql.SQL("ALTER DATABASE {} RENAME TO {}").format(sql.Identifier(half), sql.Identifier(CLINIC))
        )
