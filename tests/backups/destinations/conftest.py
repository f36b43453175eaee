"""Servers and short pauses for the tests of destinations."""

import pytest

from backups.destinations import _retry
from tests.backups.destinations import azurite, gcs_simulator, localstack, s3_server, sftp_server
from tests.backups.destinations.faulty_s3 import FaultyServer


@pytest.fixture(scope="session")
def s3_port():
    with s3_server.running() as port:
        yield port


@pytest.fixture(scope="session")
def locking_port():
    """The port of an S3 server that keeps its locks."""
    if localstack.python() is None:
        pytest.skip(localstack.WITHOUT)
    with localstack.running() as port:
        yield port


@pytest.fixture(scope="session")
def sftp():
    with sftp_server.running() as server:
        yield server


@pytest.fixture(scope="session")
def azure_port():
    with azurite.running() as port:
        yield port


@pytest.fixture
def azure_key(monkeypatch):
    monkeypatch.setenv("TEST_AZURE_KEY", azurite.KEY)


@pytest.fixture(scope="session")
def google():
    with gcs_simulator.Simulator() as server:
        yield server


@pytest.fixture
def s3_keys(monkeypatch):
    monkeypatch.setenv("TEST_S3_ACCESS_KEY", s3_server.ACCESS_KEY)
    monkeypatch.setenv("TEST_S3_SECRET_KEY", s3_server.SECRET_KEY)


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch):
    """The clock: as many tries as in production, without the waiting."""
    monkeypatch.setattr(_retry, "PAUSES", tuple(0.01 for _pause in _retry.PAUSES))


@pytest.fixture
def faulty(s3_port):
    """A server in front of the S3 server that misbehaves as it is told."""
    with FaultyServer(s3_port) as server:
        yield server
