"""Looks at a place without changing anything, and proposes how to protect it."""

from pathlib import Path

from django.utils.translation import gettext as _

from backups.look import database_url, laravel
from backups.look.machine import Machine
from backups.look.proposal import Proposal, ProposedSource
from backups.models.plan import Tier
from drcenter.errors import OperationFailed
from drcenter.secrets import Secret

__all__ = ["Machine", "Proposal", "ProposedSource", "look_at"]

SQLITE_HEADER = b"SQLite format 3\0"


def look_at(place: str, password: Secret | None = None, machine: Machine | None = None) -> Proposal:
    """A proposal for a directory, a SQLite file or a database URL. Raises OperationFailed with the reason.

    With `machine`, of a Laravel application every tier that is found there: without, what is in its directory.
    """
    if database_url.is_url(place):
        return database_url.look(place, password)
    path = Path(place).expanduser().absolute()
    try:
        return _look_at_path(path.resolve(strict=True), machine)
    except OSError as error:
        raise OperationFailed(
            _("{path} cannot be read: {reason}.").format(path=path, reason=error.strerror),
            _("Check the path, and whether this user may read it."),
            permanent=True,
        ) from None


def _look_at_path(path: Path, machine: Machine | None) -> Proposal:
    if path.is_file():
        return _look_at_file(path)
    if not any(path.iterdir()):
        raise OperationFailed(
            _("{path} is empty: there is nothing to protect.").format(path=path), permanent=True
        )
    if laravel.is_laravel(path):
        return laravel.look(path, machine)
    return _look_at_directory(path)


def _look_at_file(path: Path) -> Proposal:
    with path.open("rb") as file:
        if file.read(len(SQLITE_HEADER)) == SQLITE_HEADER:
            return database_url.look(f"sqlite:///{path}")
    raise OperationFailed(
        _("{path} is a file, and no SQLite database.").format(path=path),
        _("Name the directory that it is in, or a database URL."),
        permanent=True,
    )


def _look_at_directory(path: Path) -> Proposal:
    """A directory that is no application known here: its files alone."""
    proposal = Proposal(name=path.name or "files", directory=str(path))
    source = ProposedSource("files", "files", Tier.APPLICATION, {"path": str(path)})
    source.inspect()
    proposal.sources.append(source)
    proposal.notes.append(
        _(
            "This is no Laravel application (there is no artisan): its files are proposed as they are, without a database."
        )
    )
    return proposal
