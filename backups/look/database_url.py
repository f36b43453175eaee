"""Reads the URL of a database into an engine and its options."""

from dataclasses import dataclass, field
from typing import Any
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

from django.utils.translation import gettext as _

from backups.look.proposal import Proposal, ProposedSource
from backups.models.plan import Tier
from drcenter.errors import OperationFailed
from drcenter.secrets import Secret

ENGINES = {
    "mysql": "mariadb", "mysql2": "mariadb", "mariadb": "mariadb",
    "postgresql": "postgresql", "postgres": "postgresql", "pgsql": "postgresql",
    "sqlite": "sqlite", "sqlite3": "sqlite",
}  # fmt: skip
PORTS = {"mariadb": 3306, "postgresql": 5432}
# What drivers write into URLs, and what it means to the engine `mariadb`.
SOCKET_NAMES = {"socket", "unix_socket", "unixsocket"}
AUTHORITY_NAMES = {"ssl_ca", "ssl-ca", "sslca", "ca"}
TLS_NAMES = {"tls", "ssl", "sslmode", "ssl-mode", "ssl_mode"}
TLS_OFF = {"0", "false", "off", "disable", "disabled", "prefer", "preferred", "allow"}
TLS_VERIFIED = {"verify", "verify-ca", "verify-full", "verify_ca", "verify_identity"}
HARMLESS = {"charset", "collation", "encoding", "timezone", "strict", "schema", "application_name"}


@dataclass
class Address:
    """What a URL says. `whole` is set where the engine has to read the URL itself."""

    engine: str
    options: dict[str, Any]
    secrets: dict[str, Secret] = field(default_factory=dict)
    ignored: list[str] = field(default_factory=list)

    @property
    def has_password(self) -> bool:
        return any(self.secrets.values())


def is_url(text: str) -> bool:
    """True for what is meant as a database URL, known or not."""
    return "://" in text


def read(url: str) -> Address:
    """Raises OperationFailed, without the URL, for what cannot be read."""
    scheme, _colon, rest = url.strip().partition("://")
    engine = ENGINES.get(scheme.lower())
    if engine is None:
        raise OperationFailed(
            _("Databases of the kind {scheme}:// are not known here.").format(scheme=scheme[:20]),
            _("Use mysql://, mariadb://, postgresql:// or sqlite:///."),
            permanent=True,
        )
    if engine == "sqlite":
        return _sqlite(rest)
    try:
        parts = urlsplit(f"database://{rest}")
        parts.port  # noqa: B018 - raises for a port that is no number
    except ValueError:
        raise _unreadable() from None
    if "@" in parts.path + parts.query + parts.fragment and parts.username is None:
        raise _unreadable()
    return _server(engine, parts, Secret(url.strip()))


def _unreadable() -> OperationFailed:
    return OperationFailed(
        _("The URL of the database cannot be read."),
        _(
            "Special characters in user and password need percent signs: @ is %40, / is %2F, # is %23, ? is %3F."
        ),
        permanent=True,
    )


def _sqlite(rest: str) -> Address:
    path = unquote(rest.partition("?")[0])
    if not path.startswith("/") or path == "/":
        raise OperationFailed(
            _("A SQLite URL has three slashes and an absolute path: sqlite:////var/lib/app/database.sqlite."),
            permanent=True,
        )
    # sqlite:///var/lib and sqlite:////var/lib both mean the absolute path.
    return Address("sqlite", {"path": "/" + path.lstrip("/")})


def _server(engine: str, parts: SplitResult, url: Secret) -> Address:
    options: dict[str, Any] = {
        "host": unquote(parts.hostname or "") or "127.0.0.1",
        "port": parts.port or PORTS[engine],
        "user": unquote(parts.username or ""),
        "database": unquote(parts.path.strip("/")),
    }
    for name, sentence in (("database", _("No database is named in the URL.")), ("user", _("No user is named in the URL."))):  # fmt: skip
        if not options[name]:
            raise OperationFailed(
                sentence, _("It has the form mysql://user:password@host/database."), permanent=True
            )
    address = Address(engine, options)
    if parts.password is not None:
        address.secrets["password"] = Secret(unquote(parts.password))
    query = dict(parse_qsl(parts.query, keep_blank_values=True))
    if engine == "mariadb":
        _mariadb_query(address, query)
    else:
        _postgresql_query(address, query, url)
    return address


def _mariadb_query(address: Address, query: dict[str, str]) -> None:
    for name, value in query.items():
        lower = name.lower()
        if lower in SOCKET_NAMES:
            address.options["socket"] = value
        elif lower in AUTHORITY_NAMES:
            address.options |= {"ca": value, "tls": "verify"}
        elif lower in TLS_NAMES:
            address.options.setdefault("tls", _tls(value))
        elif lower not in HARMLESS:
            address.ignored.append(name)


def _tls(value: str) -> str:
    if value.lower() in TLS_OFF:
        return "off"
    return "verify" if value.lower() in TLS_VERIFIED else "on"


def _postgresql_query(address: Address, query: dict[str, str], url: Secret) -> None:
    wanted = {name: value for name, value in query.items() if name.lower() not in HARMLESS}
    if mode := wanted.pop("sslmode", ""):
        address.options["sslmode"] = mode
    if wanted:
        # libpq reads its own URLs best: certificates, several hosts, sockets.
        address.secrets["url"] = url
        address.secrets.pop("password", None)
        address.options = {"database": address.options["database"]}


def look(url: str, password: Secret | None = None) -> Proposal:
    """A proposal for one database. `password` is used when the URL has none. Raises OperationFailed."""
    address = read(url)
    if password is not None and not address.has_password and address.engine != "sqlite":
        address.secrets["password"] = password
    options = address.options
    name = str(options.get("database") or options["path"].rpartition("/")[2].partition(".")[0])
    proposal = Proposal(name=name)
    source = ProposedSource("database", address.engine, Tier.DATABASE, options, address.secrets)
    source.inspect()
    proposal.sources.append(source)
    if address.ignored:
        proposal.notes.append(_("Not used from the URL: {names}.").format(names=", ".join(address.ignored)))
    return proposal
