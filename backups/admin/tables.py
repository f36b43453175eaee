"""The tables that several pages of backups show."""

from collections.abc import Callable, Iterable
from datetime import datetime

from django.utils import timezone
from django.utils.translation import gettext as _

from backups.admin.verdicts import (
    copy_verdict,
    lock_verdict,
    recovery_verdict,
    set_verdict,
    verification_verdict,
)
from backups.models import Copy, Recovery, Set, Verification
from backups.storage.references import owner_of
from drcenter.panel import words
from drcenter.panel.look import Button, Link, Table
from drcenter.panel.pages import address


def parts_table(row: Set) -> Table:
    rows = [
        [
            part.source_name,
            f"{part.name} ({part.suffix})",
            words.size(part.plain_size),
            words.size(part.stored_size) if not owner_of(part.key) else _("in an earlier set"),
            words.duration(part.seconds),
            f"{part.stored_sha256[:12]}…" if part.stored_sha256 else "",
        ]
        for part in row.parts.all()
    ]
    columns = [_("source"), _("part"), _("size"), _("stored size"), _("took"), _("SHA-256")]
    return Table(_("parts"), columns, rows, _("No part is stored yet."))


def moments_table(row: Set) -> Table:
    """As at when the data of each source are: what has a snapshot as at one moment, the others read over some time."""
    rows = []
    for name, moment in row.moments.items():
        began, ended = (datetime.fromisoformat(moment[key]) for key in ("from", "to"))
        as_at = _("all as at one moment") if moment["snapshot"] else _("each file as it was when it was read")
        rows.append([name, words.when(began), words.duration((ended - began).total_seconds()), as_at])
    return Table(_("moments"), [_("source"), _("read from"), _("for"), _("data")], rows, "")


def copies_table(copies: Iterable[Copy], buttons: Callable[[Copy], list[Button]]) -> Table:
    rows = []
    now = timezone.now()
    copies = list(copies)
    locks = {copy.pk: lock_verdict(copy, now) for copy in copies}
    locking = any(locks.values())
    for copy in copies:
        acts = buttons(copy)
        rows.append(
            [
                Link(str(copy.destination), address(copy)),
                copy_verdict(copy),
                *([locks[copy.pk] or words.NOTHING] if locking else []),
                words.when_and_ago(copy.verified_at),
                copy.message,
                *([acts] if acts else []),
            ]
        )
    columns = [
        _("destination"),
        _("level"),
        *([_("lock")] if locking else []),
        _("last verified"),
        _("message"),
    ]
    if any(len(row) > len(columns) for row in rows):
        columns.append("")
    return Table(_("copies"), columns, rows, _("There is no copy of this set."))


def verifications_table(checks: Iterable[Verification]) -> Table:
    rows = [
        [
            Link(words.ago(check.created_at), address(check)),
            str(check.copy.destination),
            check.get_wanted_display(),
            verification_verdict(check),
            check.requested_by,
        ]
        for check in checks
    ]
    columns = [_("requested"), _("destination"), _("level asked for"), _("result"), _("by")]
    return Table(_("verifications"), columns, rows, _("Nobody has verified it since it was taken."))


def recoveries_table(restores: Iterable[Recovery]) -> Table:
    rows = [
        [
            Link(words.ago(restore.created_at), address(restore)),
            restore.get_place_display(),
            recovery_verdict(restore),
            restore.requested_by,
        ]
        for restore in restores
    ]
    columns = [_("requested"), _("place"), _("result"), _("by")]
    return Table(_("recoveries"), columns, rows, _("Nothing was restored from it."))


def sets_table(sets: Iterable[Set], title: str) -> Table:
    rows = [
        [
            Link(row.identifier or f"#{row.pk}", address(row)),
            set_verdict(row),
            words.when(row.moment or row.created_at),
            row.get_reason_display(),
            words.size(row.stored_size or None),
        ]
        for row in sets
    ]
    columns = [_("set"), _("result"), _("moment"), _("reason"), _("stored size")]
    return Table(title, columns, rows, _("Nothing was backed up yet."))
