"""Which database a Laravel application uses: config/database.php and `.env`, read and not run."""

import re
from pathlib import Path
from typing import Any

from django.utils.translation import gettext as _

from backups.dotenv import Environment
from backups.look import database_url
from backups.look.proposal import ProposedSource
from backups.models.plan import Tier
from drcenter.errors import OperationFailed
from drcenter.secrets import Secret

ENGINES = {"mysql": "mariadb", "mariadb": "mariadb", "pgsql": "postgresql", "sqlite": "sqlite"}
SOCKETS = (Path("/run/mysqld/mysqld.sock"), Path("/var/run/mysqld/mysqld.sock"), Path("/tmp/mysql.sock"))  # noqa: S108
MEMORY = ":memory:"


class Settings:
    """What env() would give in config/database.php: the `.env`, or else the default written there."""

    def __init__(self, environment: Environment, configuration: str) -> None:
        self._environment = environment
        self._configuration = configuration

    def get(self, name: str, otherwise: str = "") -> str:
        return self._environment.get(name) or self.written_default(name) or otherwise

    def given(self, name: str) -> str:
        return self._environment.get(name)

    def written_default(self, name: str) -> str:
        """The text that stands as the default of env(name) in the configuration."""
        found = re.search(rf"""env\(\s*['"]{name}['"]\s*,\s*(['"])(.*?)\1\s*\)""", self._configuration)
        return found[2] if found else ""

    def driver(self, connection: str) -> str:
        """The driver of the connection: its own name, unless the configuration says otherwise."""
        section = re.search(
            rf"""['"]{re.escape(connection)}['"]\s*=>\s*\[(.*?)['"]driver['"]\s*=>\s*['"](\w+)['"]""",
            self._configuration,
            re.DOTALL,
        )
        return section[2] if section and "=> [" not in section[1] else connection

    @property
    def url(self) -> str:
        """The URL that wins over the single settings (DATABASE_URL until Laravel 10, DB_URL since)."""
        named = [
            name
            for name in ("DB_URL", "DATABASE_URL")
            if not self._configuration or name in self._configuration
        ]
        return next((value for name in named if (value := self._environment.get(name))), "")


def database_source(root: Path, environment: Environment, configuration: str) -> ProposedSource:
    """The source for the application's database, not looked at yet. Raises OperationFailed."""
    settings = Settings(environment, configuration)
    if url := settings.url:
        address = database_url.read(url)
        return ProposedSource("database", address.engine, Tier.DATABASE, address.options, address.secrets)
    connection = settings.get("DB_CONNECTION", "sqlite" if not configuration else "mysql")
    engine = ENGINES.get(settings.driver(connection))
    if engine is None:
        raise OperationFailed(
            _("DB_CONNECTION is {connection}; such databases are not known here.").format(
                connection=connection
            ),
            _("Add the source by hand, with the engine “command”."),
            permanent=True,
        )
    if engine == "sqlite":
        return _sqlite(root, settings)
    return _server(engine, settings)


def _sqlite(root: Path, settings: Settings) -> ProposedSource:
    # Only from the environment: the default of this name in the configuration is another connection's.
    path = settings.given("DB_DATABASE")
    if path == MEMORY:
        raise OperationFailed(
            _("The database is in memory only: there is nothing to back up."), permanent=True
        )
    # Without a value, config/database.php says database_path('database.sqlite').
    place = root / (path or "database/database.sqlite")
    return ProposedSource("database", "sqlite", Tier.DATABASE, {"path": str(place)})


def _server(engine: str, settings: Settings) -> ProposedSource:
    options: dict[str, Any] = {
        "host": settings.get("DB_HOST", "127.0.0.1").partition(",")[0],
        "port": _port(settings.get("DB_PORT"), database_url.PORTS[engine]),
        "user": settings.get("DB_USERNAME"),
        "database": settings.get("DB_DATABASE"),
    }
    if engine == "mariadb" and (socket := _socket(settings, options["host"])):
        options["socket"] = socket
    if not options["database"]:
        raise OperationFailed(_("DB_DATABASE is empty: which database is it?"), permanent=True)
    password = settings.get("DB_PASSWORD")
    secrets = {"password": Secret(password)} if password else {}
    return ProposedSource("database", engine, Tier.DATABASE, options, secrets)


def _port(text: str, otherwise: int) -> int:
    return int(text) if text.isdigit() else otherwise


def _socket(settings: Settings, host: str) -> str:
    """PHP takes `localhost` as the socket; a client over TCP would be another account to the server."""
    if given := settings.get("DB_SOCKET"):
        return given
    if host != "localhost":
        return ""
    return next((str(place) for place in SOCKETS if place.exists()), "")
