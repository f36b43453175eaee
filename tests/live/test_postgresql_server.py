"""The private PostgreSQL server: kept or thrown away, and what a killed worker leaves."""

import os
from pathlib import Path

import psycopg
import pytest

from backups.servers import postgresql as servers
from backups.servers.postgresql import PREFIX, Server, private_server, sweep
from drcenter.errors import OperationFailed


def test_a_scratch_is_gone_afterwards_and_asks_for_its_password() -> None:
    with private_server() as server:
        with server.connect() as connection:
            settings = dict(connection.execute("SELECT name, setting FROM pg_settings").fetchall())
        with pytest.raises(psycopg.OperationalError, match="no password supplied"):
            psycopg.connect(
                host=server.host, port=server.port, user=server.administrator, passfile="/dev/null"
            )
        assert server.directory.stat().st_mode & 0o777 == 0o700
    assert {name: settings[name] for name in ("archive_mode", "max_wal_senders", "server_encoding", "fsync")} == {
        "archive_mode": "off", "max_wal_senders": "0", "server_encoding": "UTF8", "fsync": "off",
    }  # fmt: skip
    assert settings["max_logical_replication_workers"] == "0"
    assert not server.directory.exists()
    assert not Path(f"/proc/{server.pid}").exists()


def test_a_kept_directory_keeps_its_data_durably(postgresql_server: Server) -> None:
    directory = postgresql_server.directory.parent / f"kept-{os.getpid()}"
    try:
        with private_server(directory=directory) as server, server.connect() as connection:
            connection.execute("CREATE TABLE t AS SELECT 42 AS a")
        with private_server(directory=directory) as server, server.connect() as connection:
            assert connection.execute("SELECT a FROM t").fetchone() == (42,)
            assert connection.execute("SHOW fsync").fetchone() == ("on",)
        (directory / "data" / "PG_VERSION").write_text("9\n")
        with (
            pytest.raises(OperationFailed, match="holds data of PostgreSQL 9"),
            private_server(directory=directory),
        ):
            pass
    finally:
        servers.shutil.rmtree(directory, ignore_errors=True)


def test_what_a_killed_worker_left_is_swept_and_the_living_are_left_alone(tmp_path: Path) -> None:
    for name, owner in (
        ("dead", f"{os.getpid()} 1"),
        ("living", f"{os.getpid()} {servers._started(os.getpid())}"),
    ):
        (tmp_path / f"{PREFIX}{name}").mkdir()
        (tmp_path / f"{PREFIX}{name}" / "owner").write_text(owner)
    (tmp_path / f"{PREFIX}without-owner").mkdir()
    (tmp_path / "other").mkdir()
    assert [one.name for one in sweep(tmp_path)] == [f"{PREFIX}dead"]
    assert {one.name for one in tmp_path.iterdir()} == {f"{PREFIX}living", f"{PREFIX}without-owner", "other"}


def test_a_missing_version_names_the_package() -> None:
    with pytest.raises(OperationFailed, match=r"version 9 is installed here \(installed: .*15") as caught:
        servers.find_installation(9)
    assert "apt-get install postgresql-9" in caught.value.hint


def test_without_any_server_the_package_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(servers, "INSTALLATIONS", tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(OperationFailed, match="installed: none") as caught, private_server():
        pass
    assert "apt-get install postgresql" in caught.value.hint
