"""Finds transactions in an archived binary log: by a piece of a statement's text, by a table, by their GTID."""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pyrage
from django.conf import settings
from django.utils.translation import gettext as _

from backups.leftovers import held_directory
from backups.logs import read
from backups.logs.chain import Position, Segment
from backups.replay.bases import Known
from backups.replay.binlog import Group, Walk
from drcenter.errors import OperationFailed

SHOWN = 160
MOST = 50
GTID = re.compile(r"^\d+-\d+-\d+$")


@dataclass(frozen=True)
class Candidate:
    """A transaction that fits: `before` and `behind` it, `at` when its statement began, by the server's clock."""

    before: Position
    behind: Position
    at: datetime
    gtid: str
    text: str


def statements(
    known: Known, text: str, since: datetime, identities: Sequence[pyrage.x25519.Identity]
) -> list[Candidate]:
    """Transactions with `text` in a statement, or in "delete shop.orders" (update, insert) for the rows that they
    changed; newest first, `MOST` of them. Upper and lower case and white space do not count."""
    wanted = _folded(text)
    if not wanted:
        raise OperationFailed(_("Say a piece of the statement, or of the table's name."), permanent=True)
    found = _found(known, since, identities, lambda group: _fitting(group, wanted))
    return found[::-1][:MOST]


def gtid(known: Known, name: str, identities: Sequence[pyrage.x25519.Identity]) -> Candidate:
    """The transaction of that name. Raises OperationFailed when it is in no part of the log that leads on from a set."""
    if not GTID.match(name):
        raise OperationFailed(_("A GTID of MariaDB is written like 0-1-4711."), permanent=True)
    found = _found(
        known,
        datetime.min.replace(tzinfo=UTC),
        identities,
        lambda group: group.gtid if group.gtid == name else "",
    )
    if not found:
        raise OperationFailed(
            _("The archived log has no transaction %(gtid)s.") % {"gtid": name}, permanent=True
        )
    return found[-1]


def _found(
    known: Known, since: datetime, identities: Sequence[pyrage.x25519.Identity], shows: Callable[[Group], str]
) -> list[Candidate]:
    if known.stream is None or not known.source.engine.startswith("mariadb"):
        raise OperationFailed(
            _("Only an archived binary log of MariaDB can be searched."),
            _("Choose a moment, or a position of the log."), permanent=True,
        )  # fmt: skip
    segments = _segments(known, since)
    with held_directory(Path(settings.STATE_DIR) / "scratch", "proof-") as directory:
        files = read.fetch(known.stream, segments, directory, identities)
        return [
            _candidate(file, group, text)
            for file in files
            for group in _groups(file)
            if (text := shows(group))
        ]


def _segments(known: Known, since: datetime) -> Sequence[Segment]:
    """Of the newest way that begins before `since` (else the oldest), from the first log of that time on."""
    ways = [way for way in known.ways() if way.reach.segments]
    if not ways:
        raise OperationFailed(_("No part of the archived log leads on from a set."), permanent=True)
    way = max(
        (one for one in ways if one.base.taken <= since), key=lambda one: one.base.taken, default=ways[0]
    )
    later = (
        at for at, one in enumerate(way.reach.segments) if any(mark.until >= since for mark in one.marks)
    )
    return way.reach.segments[next(later, 0) :]


def _groups(file: Path) -> Iterator[Group]:
    with file.open("rb") as stream:
        yield from Walk(stream).groups()


def _fitting(group: Group, wanted: str) -> str:
    """The statement, or the change of a table, that fits; empty: none does."""
    texts = [one.text for one in group.statements]
    texts += [f"{verb} {database}.{table}" for database, table, verb in group.changes]
    return next((text for text in texts if wanted in _folded(text)), "")


def _candidate(file: Path, group: Group, text: str) -> Candidate:
    shown = " ".join(text.split())[:SHOWN]
    return Candidate(
        Position(file.name, group.begin), Position(file.name, group.end), datetime.fromtimestamp(group.at, UTC),
        group.gtid, "".join(sign if sign.isprintable() else "?" for sign in shown),
    )  # fmt: skip


def _folded(text: str) -> str:
    return " ".join(text.replace("`", "").split()).casefold()
