"""Where a PostgreSQL database is, how to get in, and what a refusal means to an operator.

The same address serves the driver (`connect`) and the tools (`environment`, `files`), so that the dump
and the witness meet the same database.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import psycopg
from psycopg.conninfo import conninfo_to_dict

from backups.engines.base import Gone
from drcenter.errors import OperationFailed
from drcenter.secrets import Secret, redact, resolve

Connection = psycopg.Connection[tuple[Any, ...]]

# The parameters of a connection that a URL may carry (libpq, "Parameter Key Words"), and their variables.
VARIABLES = {
    "host": "PGHOST", "port": "PGPORT", "user": "PGUSER", "dbname": "PGDATABASE", "sslmode": "PGSSLMODE",
    "sslrootcert": "PGSSLROOTCERT", "sslcert": "PGSSLCERT", "sslkey": "PGSSLKEY",
    "channel_binding": "PGCHANNELBINDING", "target_session_attrs": "PGTARGETSESSIONATTRS",
}  # fmt: skip
SECONDS_TO_CONNECT = 15

# The settings under which both sides print every value the same, and losslessly; and those that keep a
# session alive that waits for hours while the dump runs.
SESSION = {
    "TimeZone": "UTC", "DateStyle": "ISO, YMD", "IntervalStyle": "postgres", "bytea_output": "hex",
    "extra_float_digits": "3", "lc_monetary": "C", "xmloption": "content", "search_path": "",
    "row_security": "off", "quote_all_identifiers": "off", "statement_timeout": "0",
    "idle_in_transaction_session_timeout": "0", "idle_session_timeout": "0", "transaction_timeout": "0",
    "lock_timeout": "60s", "default_transaction_read_only": "off",
}  # fmt: skip


@dataclass(frozen=True)
class Address:
    """The parameters of libpq, without the password; empty ones are left to libpq's defaults."""

    parameters: Mapping[str, str]
    password: Secret = field(default_factory=lambda: Secret(""))

    @property
    def database(self) -> str:
        return self.parameters.get("dbname", "")

    @property
    def user(self) -> str:
        return self.parameters.get("user", "")

    @property
    def host(self) -> str:
        return self.parameters.get("host", "") or "localhost"

    @property
    def port(self) -> str:
        return self.parameters.get("port", "") or "5432"

    def named(self, database: str) -> "Address":
        """The same server, another database."""
        return replace(self, parameters={**self.parameters, "dbname": database})

    @property
    def environment(self) -> dict[str, str]:
        """For pg_dump and psql. A database's name in argv could be read as a connection string; here it cannot."""
        given = {VARIABLES[name]: value for name, value in self.parameters.items() if value}
        if self.password:
            given["PGPASSFILE"] = "{pgpass}"
        return given | {"PGAPPNAME": "drcenter", "PGCONNECT_TIMEOUT": str(SECONDS_TO_CONNECT)}

    @property
    def files(self) -> dict[str, Secret]:
        return {"pgpass": password_file(self.password)} if self.password else {}


def password_file(password: Secret) -> Secret:
    r"""One line of a password file: `:` and `\` are escaped (libpq, "The Password File")."""
    text = password.reveal()
    if "\n" in text or "\0" in text:
        raise OperationFailed(
            "The password has a line break, which PostgreSQL's tools cannot read.", permanent=True
        )
    escaped = text.replace("\\", "\\\\").replace(":", "\\:")
    return Secret(f"*:*:*:*:{escaped}\n")


def address_of(options: Mapping[str, Any]) -> Address:
    """The address that the options mean; what is given beside a URL wins over the URL.

    Raises OperationFailed when a secret leads nowhere, or the URL is none; never with the URL itself.
    """
    parameters, password = _from_url(resolve(options.get("url") or ""))
    given = {"host": "host", "port": "port", "user": "user", "database": "dbname", "sslmode": "sslmode"}
    for option, name in given.items():
        if options.get(option):
            parameters[name] = str(options[option])
    if options.get("password"):
        password = resolve(options["password"])
    if not parameters.get("dbname"):
        raise OperationFailed(
            "No database is named.", "Fill in the database, or name it in the URL.", permanent=True
        )
    return Address(parameters, password)


def host_of(options: Mapping[str, Any]) -> str:
    """The host that a person types to confirm; also where a secret of the address leads nowhere."""
    try:
        return address_of(options).host
    except OperationFailed:
        return str(options.get("host") or "unknown")


def _from_url(url: Secret) -> tuple[dict[str, str], Secret]:
    text = url.reveal().strip()
    if not text:
        return {}, Secret("")
    scheme, colon, rest = text.partition("://")
    known = colon and scheme in ("postgres", "postgresql", "pgsql")
    try:
        # libpq's own reading of its URLs: percent signs, several hosts, sockets, options.
        found = conninfo_to_dict(f"postgresql://{rest}") if known else {}
    except psycopg.Error:
        found = {}
    if not found:
        raise OperationFailed(
            "The URL of the database cannot be read.",
            "It has the form postgresql://user:password@host:5432/database, with % signs for special characters.",
            permanent=True,
        )
    parameters = {name: str(found[name]) for name in VARIABLES if found.get(name)}
    return parameters, Secret(str(found.get("password") or ""))


@contextmanager
def connected(address: Address) -> Iterator[Connection]:
    """A session that commits each statement, set up so that both sides of a comparison agree.

    Raises OperationFailed, also for what the server refuses inside the block.
    """
    try:
        with _open(address) as connection:
            settle(connection)
            yield connection
    except psycopg.Error as error:
        raise explained(error, address) from None


def _open(address: Address) -> Connection:
    parameters: dict[str, Any] = {name: value for name, value in address.parameters.items() if value}
    if address.password:
        parameters["password"] = address.password.reveal()
    return psycopg.connect(
        **parameters, autocommit=True, connect_timeout=SECONDS_TO_CONNECT, application_name="drcenter",
        client_encoding="utf8", keepalives_idle=30,
    )  # fmt: skip


@contextmanager
def replicating(address: Address) -> Iterator[Connection]:
    """A session that speaks the commands of replication. Raises OperationFailed."""
    parameters: dict[str, Any] = {name: value for name, value in address.parameters.items() if value}
    if address.password:
        parameters["password"] = address.password.reveal()
    try:
        with psycopg.connect(
            **parameters | {"replication": "true"}, autocommit=True, connect_timeout=SECONDS_TO_CONNECT,
            application_name="drcenter", client_encoding="utf8",
        ) as connection:  # fmt: skip
            yield connection
    except psycopg.Error as error:
        raise explained(error, address) from None


def settle(connection: Connection) -> None:
    """Put the session's settings; those that this version of the server does not know are left out."""
    connection.execute(
        "SELECT pg_catalog.set_config(s.name, given.value, false)"
        " FROM unnest(%s::text[], %s::text[]) AS given(name, value)"
        " JOIN pg_catalog.pg_settings s ON pg_catalog.lower(s.name) = pg_catalog.lower(given.name)",
        (list(SESSION), list(SESSION.values())),
    )


# What the server or libpq says (English, lower case), what it means, and whether somebody has to act.
REFUSALS: tuple[tuple[str, str, str, bool], ...] = (
    ("password authentication failed", "The password is wrong, or the user is unknown.",
     "Check the user and where the password's reference leads.", True),
    ("no password supplied", "The server asks for a password, and none is given.",
     "Fill in the reference to the password.", True),
    ("no pg_hba.conf entry", "The server does not let this machine, user or kind of connection in.",
     "Add a line to pg_hba.conf (or the service's allowed addresses), or try sslmode=require.", True),
    ("certificate verify failed", "The server's certificate is not trusted.",
     "Give sslrootcert in the URL, or a weaker sslmode.", True),
    ("root certificate file", "The server's certificate cannot be checked: there is no root certificate.",
     "Give sslrootcert in the URL, or a weaker sslmode.", True),
    ("does not support ssl", "The server does not speak SSL, and sslmode asks for it.",
     "Set sslmode to prefer or disable, or switch SSL on at the server.", True),
    ("could not translate host name", "The server's name cannot be resolved.", "Check the host.", True),
    ("failed to resolve host", "The server's name cannot be resolved.", "Check the host.", True),
    ("connection refused", "Nothing listens there.", "Is the server running, and are host and port right?", False),
    ("no such file or directory", "The server's socket is not there.", "Is the server running?", False),
    ("timeout expired", "The server does not answer.", "Check the network, the firewall and the host.", False),
    ("too many clients", "The server has no connection left.", "Raise max_connections, or try again later.", False),
    ("remaining connection slots", "The server has no connection left.", "Try again later.", False),
    ("starting up", "The server is starting or recovering.", "Try again in a moment.", False),
    ("shutting down", "The server is shutting down.", "Start it again.", False),
)  # fmt: skip


def explained(error: psycopg.Error, address: Address) -> OperationFailed:
    """What the driver's error means, without any secret."""
    text = redact(" ".join(str(error).split()))
    where = f"database {address.database} at {address.host}:{address.port}"
    lower = text.lower()
    if (
        error.sqlstate in (None, "3D000")
    ) and f'database "{address.database}" does not exist'.lower() in lower:
        return Gone(f"The {where} does not exist.", "Check its name, or create it.", permanent=True)
    for sign, meaning, hint, permanent in REFUSALS:
        if error.sqlstate is None and sign in lower:
            return OperationFailed(
                f"The {where} is out of reach. {meaning} ({text})", hint, permanent=permanent
            )
    return _explained_by_code(error, text, where)


def _explained_by_code(error: psycopg.Error, text: str, where: str) -> OperationFailed:
    if isinstance(error, psycopg.errors.InsufficientPrivilege):
        hint = "Inspect the source: it names the GRANT that is missing."
        return OperationFailed(f"The user may not do this in the {where}: {text}", hint, permanent=True)
    if isinstance(error, psycopg.errors.LockNotAvailable):
        hint = "Somebody changes tables or holds a lock. Try again later, or at a quieter hour."
        return OperationFailed(f"A table of the {where} stayed locked for a minute: {text}", hint)
    if error.sqlstate is None or error.sqlstate.startswith(("08", "57P")):
        return OperationFailed(f"The connection to the {where} was lost: {text}", "Is the server running?")
    return OperationFailed(f"The {where} refused: {text}")
