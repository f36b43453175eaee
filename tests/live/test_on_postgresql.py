"""The panel's own database may be PostgreSQL: what depends on the database is tried there as well."""

import os
import subprocess
import sys

import pytest
from django.conf import settings

from backups.servers.postgresql import private_server

TREES = [
    "tests/drcenter/jobs", "tests/drcenter/audit", "tests/drcenter/notify", "tests/drcenter/test_health.py",
    "tests/backups/test_due.py", "tests/backups/test_status.py",
    "tests/live/test_supervisor.py::TestWork", "tests/live/test_supervisor.py::TestStop",
]  # fmt: skip


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with private_server() as server:
        yield server


def test_jobs_audit_and_supervisor_on_postgresql(server, tmp_path):
    with server.connect() as connection:
        connection.autocommit = True
        connection.execute("CREATE DATABASE panel ENCODING 'UTF8' TEMPLATE template0")
    password = (server.directory / "password").read_text().strip()
    url = f"postgresql://{server.administrator}:{password}@{server.host}:{server.port}/panel"
    environment = os.environ | {"DRC_DATABASE_URL": url, "DRC_STATE": str(tmp_path)}
    result = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:randomly", *TREES],
        cwd=settings.BASE_DIR, env=environment, capture_output=True, text=True, timeout=500, check=False,
    )  # fmt: skip
    assert result.returncode == 0, result.stdout[-6000:] + result.stderr[-2000:]
    assert "skipped" not in result.stdout
