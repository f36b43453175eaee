"""A private PostgreSQL server, a database with one of everything, and a round trip."""

import secrets as randomness
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from backups.engines.base import Engine
from backups.engines.postgresql import Plugin
from backups.servers.postgresql import Server, private_server
from backups.witness import Witness
from tests.live.roundtrip import Taken, restored


@pytest.fixture(scope="session")
def postgresql_server() -> Iterator[Server]:
    with private_server() as server:
        yield server


@pytest.fixture
def postgresql_database(postgresql_server: Server) -> Iterator[str]:
    """An empty database, gone after the test; so are the roles that the test made."""
    name = f"shop {randomness.token_hex(4)}"
    with postgresql_server.connect() as connection:
        connection.execute(f'CREATE DATABASE "{name}" TEMPLATE template0')
        before = {row[0] for row in connection.execute("SELECT rolname FROM pg_roles")}
    yield name
    with postgresql_server.connect() as connection:
        connection.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')
    remove_roles(postgresql_server, before)


def remove_roles(server: Server, kept: set[str]) -> None:
    with server.connect() as connection:
        roles = {row[0] for row in connection.execute("SELECT rolname FROM pg_roles")} - kept
        databases = [
            row[0] for row in connection.execute("SELECT datname FROM pg_database WHERE datallowconn")
        ]
    for place in databases:
        with server.connect(place) as connection:
            for role in roles:
                connection.execute(f'DROP OWNED BY "{role}" CASCADE')
    with server.connect() as connection:
        for role in roles:
            connection.execute(f'DROP ROLE "{role}"')


def engine_for(server: Server, database: str, **changes: Any) -> Plugin:
    return Plugin(server.options(database) | changes)


def prove(engine: Engine, taken: Taken, workspace: Path) -> Witness:
    """Restore into a scratch server; the witness of what came back."""
    with restored(engine, taken, workspace, engine.inspect().facts) as scratch:
        return scratch.witness()


def rows(server: Server, database: str, query: str) -> list[tuple[Any, ...]]:
    with server.connect(database) as connection:
        return connection.execute(query.encode()).fetchall()


EVERYTHING = (Path(__file__).parent / "postgresql_everything.sql").read_text()


@pytest.fixture
def postgresql_shop(postgresql_server: Server, postgresql_database: str) -> str:
    """A database with one of everything that PostgreSQL has."""
    with postgresql_server.connect(postgresql_database) as connection:
        connection.execute(EVERYTHING.encode())
        connection.execute("REFRESH MATERIALIZED VIEW sales.totals")
    return postgresql_database
