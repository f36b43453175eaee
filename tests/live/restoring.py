"""What the tests of restore.sh share: sets, fresh servers, bare machines, and how a person types there."""

import hashlib
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from backups.servers.mariadb import private_server as mariadb_private_server
from backups.servers.postgresql import private_server as postgresql_private_server
from tests.live.bare_machine import BareMachine
from tests.live.bare_sets import Origin, make, make_open

VERIFY = (
    "openssl pkeyutl -verify -pubin -inkey /root/key.pem -rawin -in checksums.txt -sigfile checksums.txt.sig"
)

# Most tests are run with two shells; these with a third one, which handles jobs and signals in its own way.
every_shell = pytest.mark.parametrize("furnished", ["dash", "busybox", "bash"], indirect=True)


@pytest.fixture(scope="module")
def patch():
    with pytest.MonkeyPatch.context() as patch:
        yield patch


@pytest.fixture(scope="module")
def sources():
    """The servers of the machine that was lost."""
    with mariadb_private_server() as mariadb, postgresql_private_server() as postgresql:
        yield mariadb, postgresql


@pytest.fixture(scope="module")
def servers():
    """Fresh servers, which know none of the accounts."""
    with mariadb_private_server() as mariadb, postgresql_private_server() as postgresql:
        yield mariadb, postgresql


@pytest.fixture(scope="module")
def taken():
    """Sets that were taken already, once for all tests here."""
    return {}


@pytest.fixture
def origin(db, taken, sources, patch, tmp_path_factory) -> Origin:
    """An encrypted set of a source of each kind."""
    if "encrypted" not in taken:
        taken["encrypted"] = make(tmp_path_factory.mktemp("encrypted"), patch, *sources)
    return taken["encrypted"]


@pytest.fixture
def open_origin(db, taken, tmp_path_factory) -> Origin:
    if "open" not in taken:
        taken["open"] = make_open(tmp_path_factory.mktemp("open"))
    return taken["open"]


@pytest.fixture(scope="module", params=["dash", "busybox"])
def furnished(request, tmp_path_factory) -> BareMachine:
    return BareMachine(tmp_path_factory.mktemp(request.param), request.param).furnish()


@pytest.fixture
def machine(furnished, tmp_path) -> BareMachine:
    return furnished.copy(tmp_path / "machine")


def carry(origin: Origin, machine: BareMachine) -> None:
    """What a person brings: the folder of the set, and what is printed on the kit."""
    shutil.rmtree(machine.root / "set")
    shutil.copytree(origin.folder, machine.root / "set")
    for name, content in {
        "key.pem": origin.public_pem,
        "identity.txt": origin.identity,
        "other.txt": origin.stranger,
    }.items():
        (machine.root / "root" / name).write_text(content + "\n")


@pytest.fixture
def bare(origin, machine) -> BareMachine:
    carry(origin, machine)
    return machine


def restore(machine: BareMachine, *words: str, identity: str = "identity.txt", **more):
    return machine.run(
        "sh", "restore.sh", *words, "--identity", f"/root/{identity}", *more.pop("after", ()), **more
    )


def login(servers) -> dict[str, str]:
    """How the clients find the servers: their own option file, and libpq's variables."""
    _mariadb, postgresql = servers
    return {
        "PGHOST": postgresql.host, "PGPORT": str(postgresql.port), "PGUSER": postgresql.administrator,
        "PGPASSFILE": "/root/pgpass", "PGSSLMODE": "disable",
    }  # fmt: skip


def sign_in(machine: BareMachine, servers) -> None:
    mariadb, postgresql = servers
    password = (postgresql.directory / "password").read_text().strip()
    private(machine.root / "root" / "pgpass", f"*:*:*:*:{password}\n")
    option = f'[client]\nhost=127.0.0.1\nport={mariadb.port}\nprotocol=tcp\nuser=root\npassword="{mariadb.password.reveal()}"\n'
    private(machine.root / "root" / ".my.cnf", option)


def private(path: Path, content: str) -> None:
    path.touch(mode=0o600)
    path.write_text(content)


def at_terminal(machine: BareMachine, answer: str, *words: str) -> "subprocess.CompletedProcess[str]":
    """Run with a terminal as standard input, at which somebody types `answer`."""
    outer, inner = os.openpty()
    os.write(outer, answer.encode() + b"\n")
    try:
        return restore(machine, *words, stdin=inner)
    finally:
        os.close(inner)
        os.close(outer)


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
