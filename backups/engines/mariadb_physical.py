"""A whole MariaDB server as the files of its data directory, copied while it runs (mariabackup).

Restored several times faster than a dump, and a base for archived binary logs. It holds every database and account of
the server, and is restored by the same series of MariaDB. mariabackup reads the files: it runs on the server's machine.
"""

import contextlib
import os
import socket
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _

from backups.engines import _mariadb_physical_look as looking
from backups.engines._mariadb_commands import Login, Tool
from backups.engines._mariadb_connect import connected, described, login_from
from backups.engines._mariadb_physical_place import MariaDBPlace, login_of
from backups.engines._mariadb_physical_snapshot import opened
from backups.engines._mariadb_replay import login_options
from backups.engines._physical import PhysicalEngine
from backups.engines.base import Consumer, Engine, Inspection, NoScratch, Snapshot
from backups.servers.mariadb import installed_version, placed, service_user
from backups.witness import Witness
from drcenter.errors import OperationFailed
from drcenter.options import SecretField
from drcenter.process import find


class Options(forms.Form):
    socket = forms.CharField(
        label=_("Socket"), initial="/run/mysqld/mysqld.sock", required=False,
        help_text=_("Path of the server's socket. Empty: 127.0.0.1 and the port."),
    )  # fmt: skip
    port = forms.IntegerField(label=_("Port"), initial=3306, min_value=1, max_value=65535)
    user = forms.CharField(label=_("User"), initial="")
    password = SecretField(label=_("Password"), initial="")
    directory = forms.CharField(
        label=_("Data directory"), required=False, initial="", max_length=4096,
        help_text=_("Where the server's files are on this machine. Empty: where the server says."),
    )  # fmt: skip

    def clean_directory(self) -> str:
        path = str(self.cleaned_data["directory"] or "")
        if path and (not os.path.isabs(path) or "\0" in path):
            raise forms.ValidationError(_("An absolute path is needed."))
        return path


class Plugin(PhysicalEngine[MariaDBPlace]):
    """A whole MariaDB server of this machine."""

    label = _("MariaDB, the whole server as files")  # type: ignore[assignment]
    Options = Options
    place_type = MariaDBPlace
    below = "mariadb"
    required_tools = ("mariabackup", "mbstream")

    @property
    def _login(self) -> Login:
        return login_from(self.options | {"host": "127.0.0.1", "tls": "off", "ca": ""})

    @property
    def target(self) -> str:
        if self._place is not None:
            return f"MariaDB data directory {self._place.data}"
        return f"MariaDB server at {self.options['socket'] or '127.0.0.1:{}'.format(self.options['port'])}"

    @property
    def server(self) -> str:
        return f"mariadb {self._login.place}"

    @property
    def host(self) -> str:
        return socket.gethostname()

    @property
    def for_reading(self) -> str:
        return str(_(
            "A physical backup takes the place of a server's whole data directory, which is done by hand: restore it"
            " beside, then stop the server, move its data directory aside, put the restored one in its place (owner"
            " mysql), and start it. docs/engines/mariadb_physical.md has the commands."
        ))  # fmt: skip

    def inspect(self) -> Inspection:
        with connected(self._login) as connection:
            known = looking.facts(connection, str(self.options["directory"] or ""))
            looking.refuse(connection, known, _tool())
        return Inspection(known["size"], known, looking.findings(known))

    @contextlib.contextmanager
    def snapshot(self) -> Iterator[Snapshot]:
        with opened(self._login, _tool(), self.inspect().facts) as moment:
            yield moment

    def consumer(self, part: str, suffix: str) -> Consumer:
        if (part, suffix) == ("about", "json"):
            return self.restored.note
        if (part, suffix) == ("base", "mbstream"):
            return self.restored.unpack()
        raise OperationFailed(f"A physical backup of MariaDB has no part {part}.{suffix}.", permanent=True)

    @contextlib.contextmanager
    def scratch(self, workspace: Path, facts: Mapping[str, Any]) -> Iterator[Engine]:
        _check_fits(facts)
        with placed(workspace, service_user(), keep=False) as directory:
            place = self.at(directory)
            try:
                yield place
            finally:
                place.restored.stop()

    def finish(self, witness: Witness | None) -> None:
        self.restored.prepare()

    def inside(self, wanted: Engine) -> Engine:
        """For the engine `mariadb`: with the login of the private server, its password in a file beside the data."""
        place = self.restored
        return wanted.replaced(**login_options(login_of(place.start()), place.path / "password"))


def _tool() -> Tool:
    return described(find("mariabackup"))


def _check_fits(facts: Mapping[str, Any]) -> None:
    """Raises NoScratch unless server and tool of the source's series are installed."""
    try:
        installed, tool = installed_version(), _tool()
    except OperationFailed as error:
        raise NoScratch(error.message, error.hint, permanent=True) from None
    if installed.series != facts.get("series") or not tool.version.startswith(f"{installed.series}."):
        raise NoScratch(
            f"The source is MariaDB {facts.get('version')}, but installed here are {installed} and mariabackup {tool.version}.",
            f"Install server and mariadb-backup of {facts.get('series')}, or let another machine prove the set.",
            permanent=True,
        )
