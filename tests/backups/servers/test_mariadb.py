"""A private server starts in any directory, lets nobody else in, and leaves nothing behind."""

import os
from pathlib import Path

import pymysql
import pytest

from backups.servers.mariadb import Version, installed_version, parse_version, private_server


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("mariadbd  Ver 10.11.19-MariaDB-0+deb12u1 for debian-linux-gnu", Version("mariadb", "10.11.19")),
        (
            "mariadb-dump  Ver 10.19 Distrib 10.11.19-MariaDB, for debian-linux-gnu",
            Version("mariadb", "10.11.19"),
        ),
        ("mariadb from 11.4.2-MariaDB, client 15.2", Version("mariadb", "11.4.2")),
        ("5.5.5-10.6.1-MariaDB", Version("mariadb", "10.6.1")),
        (
            "mysqldump  Ver 8.0.36 for Linux on x86_64 (MySQL Community Server - GPL)",
            Version("mysql", "8.0.36"),
        ),
        ("8.4.0", Version("mysql", "8.4.0")),
        ("", Version("mysql", "0.0.0")),
    ],
)
def test_versions(text: str, expected: Version) -> None:
    assert parse_version(text) == expected


def test_it_answers_and_leaves_nothing(tmp_path: Path) -> None:
    place = tmp_path / ("deep" * 40) / "server"
    place.parent.mkdir()
    with private_server(place) as server:
        with server.connect() as connection, connection.cursor() as cursor:
            cursor.execute("SELECT @@event_scheduler, @@bind_address, @@log_bin, VERSION()")
            scheduler, address, binlog, version = cursor.fetchone() or ()
        assert (scheduler, address, binlog) == ("OFF", "127.0.0.1", 0)
        assert parse_version(version) == installed_version()
        assert len(server.socket) < 108
        assert server.password.reveal() not in repr(server)
    assert not Path(server.socket).exists()
    assert not (place / "data").exists()
    with pytest.raises(ProcessLookupError):
        os.kill(server.pid, 0)


def test_nobody_gets_in_without_the_password() -> None:
    with private_server() as server:
        for user, password in (("root", ""), ("root", "guess"), ("", ""), ("mysql", "")):
            with pytest.raises(pymysql.err.OperationalError, match="Access denied"):
                pymysql.connect(host=server.host, port=server.port, user=user, password=password)
    assert not server.directory.exists()


def test_a_kept_directory_serves_the_same_data_again() -> None:
    place = Path("/var/tmp") / f"drc-test-{os.getpid()}"
    try:
        with private_server(place, keep=True, binlog=True) as server, server.connect() as connection:
            connection.cursor().execute("CREATE DATABASE kept")
            old = server.password
        with private_server(place, binlog=True, settings={"server-id": "7"}) as server:
            assert server.password != old, "each start has a password of its own"
            with server.connect() as connection, connection.cursor() as cursor:
                cursor.execute("SELECT @@log_bin, @@server_id")
                assert cursor.fetchone() == (1, 7)
                cursor.execute("SHOW DATABASES LIKE 'kept'")
                assert cursor.fetchone() == ("kept",)
        assert list(place.iterdir()) == []
    finally:
        place.rmdir()
