"""What is run to dump and to restore, as (argv, environment, files) and nothing else (pure).

The password is in an option file in memory. `--defaults-file` reads that file alone: with
`--defaults-extra-file` a `~/.my.cnf` of the workers' user would win over it.
"""

from dataclasses import dataclass

from drcenter.process import Command
from drcenter.secrets import Secret

# Names of the sections of a dump: one digest each, so that a difference can be named.
MARKER = (
    rb"-- ((?:Table structure for table|Dumping data for table|Sequence structure for"
    rb"|Temporary table structure for view|Final view structure for view|Rows of table"
    rb"|Dumping events for database|Dumping routines for database) .*)$"
)
# What differs in two dumps of the same data: versions, the place, the position in the log.
VOLATILE = rb"-- (?:MariaDB dump|MySQL dump|Host:|Server version|CHANGE MASTER|CHANGE REPLICATION|SET GLOBAL gtid|Dump completed).*"
LARGEST_PACKET = "--max-allowed-packet=1G"
ESCAPES = str.maketrans({"\\": "\\\\", '"': '\\"', "\n": "\\n", "\r": "\\r", "\t": "\\t", "\b": "\\b"})


@dataclass(frozen=True)
class Login:
    """How to reach a server, and as whom."""

    host: str
    port: int
    user: str
    password: Secret
    socket: str = ""
    tls: str = "off"
    ca: str = ""

    @property
    def place(self) -> str:
        return self.socket or f"{self.host}:{self.port}"


@dataclass(frozen=True)
class Tool:
    """An installed client tool: its name, its flavour ("mariadb" or "mysql"), version, and the options it knows."""

    name: str
    flavour: str
    version: str
    options: frozenset[str] = frozenset()

    def knows(self, option: str) -> bool:
        return option in self.options


@dataclass(frozen=True)
class Selection:
    """What is dumped: everything of the database, or only some tables of it."""

    database: str
    tables: tuple[str, ...] = ()


@dataclass(frozen=True)
class Extent:
    """What a dump holds besides schema and rows. `position`: the place in the binary log, as a comment in the
    header; `history`: the old rows of system-versioned tables; `events` False: the tool would fail, since
    the user may not see them; `without_rows`: tables whose rows come from elsewhere."""

    position: bool = False
    history: bool = False
    triggers: bool = True
    events: bool = True
    without_rows: tuple[str, ...] = ()


def option_file(login: Login, tool: Tool) -> Secret:
    """The option file with the login; each value in quotes with MariaDB's own escapes."""
    values = {"user": login.user, "password": login.password.reveal()}
    values |= {"socket": login.socket} if login.socket else {"host": login.host, "port": str(login.port)}
    values["protocol"] = "socket" if login.socket else "tcp"
    lines = ["[client]", *(f'{name}="{value.translate(ESCAPES)}"' for name, value in values.items())]
    return Secret("\n".join([*lines, *_tls_lines(login, tool)]) + "\n")


def _tls_lines(login: Login, tool: Tool) -> list[str]:
    authority = [f'ssl-ca="{login.ca.translate(ESCAPES)}"'] if login.ca else []
    if tool.flavour == "mysql":
        mode = {"off": "DISABLED", "on": "REQUIRED", "verify": "VERIFY_IDENTITY"}[login.tls]
        return [f"ssl-mode={mode}", *authority]
    if login.tls == "off":
        return ["skip-ssl"]
    return ["ssl", *authority, f"ssl-verify-server-cert={int(login.tls == 'verify')}"]


def dump_command(tool: Tool, login: Login, selection: Selection, extent: Extent) -> Command:
    """Schema and rows; the first command of the part `database`, and mostly the only one.

    The tool ignores `--ignore-table-data` for tables that are named (measured with 10.11: the rows came twice):
    then `extent.without_rows` has to be all of the selection, or none of it.
    """
    whole = not selection.tables
    return _dump(
        tool, login, selection,
        "--single-transaction", "--quick", "--hex-blob",
        "--triggers" if extent.triggers else "--skip-triggers",
        "--routines" if whole else "--skip-routines",
        "--events" if whole and extent.events else "--skip-events",
        *(("--dump-history",) if extent.history else ()),
        *((_position_option(tool),) if extent.position else ()),
        *(("--no-data",) if selection.tables and extent.without_rows else ()),
        *(f"--ignore-table-data={selection.database}.{table}" for table in extent.without_rows if whole),
    )  # fmt: skip


def schema_command(tool: Tool, login: Login, selection: Selection) -> Command:
    """The schema without any row. Sequences keep their value: it is part of their definition."""
    whole = not selection.tables
    return _dump(
        tool, login, selection,
        "--single-transaction", "--no-data", "--triggers",
        "--routines" if whole else "--skip-routines", "--events" if whole else "--skip-events",
    )  # fmt: skip


def triggers_command(tool: Tool, login: Login, selection: Selection) -> Command:
    """The triggers alone, for after the rows: a trigger must not fire while its table is filled."""
    return _dump(
        tool, login, selection,
        "--skip-lock-tables", "--triggers", "--no-data", "--no-create-info", "--skip-routines", "--skip-events",
    )  # fmt: skip


def _dump(tool: Tool, login: Login, selection: Selection, *options: str) -> Command:
    general = ["--default-character-set=utf8mb4", "--skip-dump-date", "--no-tablespaces", LARGEST_PACKET]
    if tool.flavour == "mysql":
        general += ["--set-gtid-purged=OFF", "--column-statistics=0"]
    argv = (
        tool.name, "--defaults-file={login}", *options, *general, "--", selection.database, *selection.tables,
    )  # fmt: skip
    return Command(argv, files={"login": option_file(login, tool)})


def _position_option(tool: Tool) -> str:
    return "--master-data=2" if tool.knows("--master-data") else "--source-data=2"


def restore_command(tool: Tool, login: Login, database: str | None) -> Command:
    """Feed SQL to the client, which uses `database` at first. Binary mode: nothing in the data is taken for a command of the client,
    and `\\r\\n` inside a value stays what it is."""
    argv = (
        tool.name, "--defaults-file={login}", "--default-character-set=utf8mb4", "--binary-mode", "--batch",
        LARGEST_PACKET, *(("--sandbox",) if tool.knows("--sandbox") else ()),
        *((f"--database={database}",) if database is not None else ()),
    )  # fmt: skip
    return Command(argv, files={"login": option_file(login, tool)})
