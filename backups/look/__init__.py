"""Looks at a place without changing anything, and proposes how to protect it."""

import os
from pathlib import Path

from django.utils.translation import gettext as _

from backups.look import database_url, laravel
from backups.look.machine import Machine
from backups.look.proposal import Proposal, ProposedSource
from backups.models.plan import Tier
from drcenter.errors import OperationFailed
from drcenter.secrets import Secret

__all__ = ["Machine", "Proposal", "ProposedSource", "look_at"]

# The manifest of a package manager, and the directory that it fills.
MANIFESTS = {
    "composer.json": "vendor",
    "package.json": "node_modules",
    "pyproject.toml": ".venv",
    "Gemfile": ".bundle",
}
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
    options = {"path": str(path), "exclude": _made_again(path)}
    source = ProposedSource("files", "files", Tier.APPLICATION, options)
    proposal.sources.append(source)
    if os.path.lexists(path / ".git"):
        proposal.sources.append(ProposedSource("git", "git", Tier.GIT, {"path": str(path)}))
    for one in proposal.sources:
        one.inspect()
    proposal.notes.append(
        _(
            "This is no Laravel application (there is no artisan): its files are proposed as they are, without a database."
        )
    )
    return proposal


def _made_again(path: Path) -> list[str]:
    """What to leave out: what its package managers and interpreters make again, and the repository, which has a source
    of its own. Only what there is a manifest for: a directory that is called `vendor` may be anything."""
    found = [
        name for manifest, name in MANIFESTS.items() if (path / manifest).is_file() and (path / name).is_dir()
    ]
    caches = ["**/__pycache__", "**/.cache"]
    return [*found, *caches, *([".git"] if os.path.lexists(path / ".git") else [])]
