"""The commands of PostgreSQL's tools. Nothing here runs, except `pg_dump --version`."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from backups.engines._postgresql_address import Address
from backups.engines._postgresql_restrict import restricted
from backups.servers.postgresql import INSTALLATIONS
from drcenter.errors import OperationFailed
from drcenter.process import Command, run

# pg_dump writes such a comment before the rows of each table: it cuts the dump into sections, one a table
# ("orders; Type: TABLE DATA; Schema: public"). Nineteen plain characters are found quickly (backups.pipe.sections).
MARKER = rb"-- Data for Name: (.+; Type: [A-Z ]+; Schema: .+); Owner: "
# A new random key in each dump, which keeps a hostile server from injecting commands into psql.
VOLATILE = rb"\\(?:un)?restrict [A-Za-z0-9]+"
# pg_dump of an empty database writes its settings and two comments: about 500 bytes.
SMALLEST = 300
# A database's own settings must not stop its restore; what the client asks for wins over them.
RESTORING = (
    "-c default_transaction_read_only=off -c statement_timeout=0 -c idle_in_transaction_session_timeout=0"
    " -c client_min_messages=warning"
)


def quoted(name: str) -> str:
    """`name` as an identifier of SQL, and as a pattern of pg_dump that matches nothing else."""
    return '"' + name.replace('"', '""') + '"'


def qualified(schema: str, name: str) -> str:
    return f"{quoted(schema)}.{quoted(name)}"


@dataclass(frozen=True)
class Selection:
    """What a dump holds: all schemas or some; the qualified, quoted names of what is left out.

    `without`: left out altogether. `without_rows`: only the rows, or the value of a sequence.
    """

    schemas: Sequence[str] = ()
    without: Sequence[str] = ()
    without_rows: Sequence[str] = ()
    large_objects: bool = True
    # Only these tables, and only these sections of a dump; none: all.
    tables: Sequence[str] = ()
    sections: Sequence[str] = ()


def dump_command(pg_dump: str, address: Address, snapshot: str, selection: Selection) -> Command:
    """pg_dump of one database at an exported snapshot, as SQL that psql alone restores."""
    argv = [pg_dump, "--format=plain", "--no-password", f"--snapshot={snapshot}", "--lock-wait-timeout=60000"]
    # A tablespace is a directory of the source's machine; a subscription would start to replicate.
    argv += ["--no-tablespaces", "--no-subscriptions"]
    argv += [f"--schema={quoted(name)}" for name in selection.schemas]
    argv += [f"--table={name}" for name in selection.tables]
    argv += [f"--section={name}" for name in selection.sections]
    argv += [f"--exclude-table={name}" for name in selection.without]
    argv += [f"--exclude-table-data={name}" for name in selection.without_rows]
    if not selection.large_objects:
        argv.append("--no-blobs")
    return Command(tuple(argv), env=address.environment, files=address.files)


def load_command(psql: str, address: Address, *, single: bool, first: str = "", last: str = "") -> Command:
    """psql that stops at the first error, and at any command of psql's own in what it is fed.

    `single`: all or nothing, `first` and `last` included.
    """
    argv = [psql, "--no-psqlrc", "--no-password", "--quiet", "--set=ON_ERROR_STOP=1", "--output=/dev/null"]
    if single:
        argv.append("--single-transaction")
    if first:
        argv.append(f"--command={first}")
    argv.append("--file=-")
    if last:
        argv.append(f"--command={last}")
    environment = address.environment | {"PGOPTIONS": RESTORING}
    return Command(tuple(argv), env=environment, files=address.files, rewrite=restricted)


def find_client(tool: str, server: int) -> str:
    """The path of `tool` of the server's own major version, or the next newer one, or its bare name.

    A dump by a newer pg_dump may hold settings that the older server does not know.
    """
    found = sorted(_clients(tool))
    fitting = [path for major, path in found if major >= server]
    return fitting[0] if fitting else (found[-1][1] if found else tool)


def newest_client(tool: str) -> str:
    """The newest `tool` here: psql has to know what the newest pg_dump writes."""
    return max(_clients(tool), default=(0, tool))[1]


def _clients(tool: str) -> Iterator[tuple[int, str]]:
    for path in INSTALLATIONS.glob(f"*/bin/{tool}"):
        if path.parts[-3].isdigit():
            yield int(path.parts[-3]), str(Path(path))


def version_text(tool: str) -> str:
    """What `tool --version` says."""
    return run(Command((tool, "--version"))).stdout.decode(errors="replace").strip()


def major_of(text: str) -> int:
    """15 of `pg_dump (PostgreSQL) 15.18 (Debian ...)`; beta versions as well (19beta1)."""
    match = re.search(r"\(PostgreSQL\) (\d+)", text)
    if match is None:
        raise OperationFailed(f"pg_dump's version cannot be read: {text[:100]}", permanent=True)
    return int(match.group(1))


def check_client(server: int) -> int:
    """The major version of the pg_dump that will be used. Raises OperationFailed if the server is newer."""
    client = major_of(version_text(find_client("pg_dump", server)))
    if server > client:
        raise OperationFailed(
            f"The server is PostgreSQL {server}, and the newest pg_dump here is {client}: it would refuse.",
            f"Install the client of the server's version: apt-get install postgresql-client-{server}"
            " (for newer ones than Debian's: apt.postgresql.org).",
            permanent=True,
        )
    return client
