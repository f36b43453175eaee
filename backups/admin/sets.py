"""The page of a set, and of one copy: how good it is, what is in it, where it lies, what can be done with it."""

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from django.contrib import admin
from django.db.models import Q
from django.http import HttpRequest
from django.urls import URLPattern, path
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext
from unfold.decorators import display

from backups.admin.acts import Mend, Verify
from backups.admin.comparing import CompareRows
from backups.admin.copying import CopyTo
from backups.admin.drills import HoldDrill
from backups.admin.pins import PAGES, pin_button, pin_notices, pins_table
from backups.admin.places import destination_target
from backups.admin.restore import RestoreBeside, RestoreProduction
from backups.admin.tables import (
    copies_table,
    moments_table,
    parts_table,
    recoveries_table,
    verifications_table,
)
from backups.admin.verdicts import copy_verdict, level_verdict, lock_verdict, set_verdict, spoiled
from backups.models import Copy, Destination, Lock, Recovery, Set, Verification
from backups.models.level import RANK
from backups.storage.companions import SPOILED
from backups.storage.spread import rounded_up
from drcenter import permissions
from drcenter.jobs.admin import cancel_button, outcome
from drcenter.jobs.models import OPEN, Job
from drcenter.panel import words
from drcenter.panel.badge import badge
from drcenter.panel.look import Button, Fact, Link, Notice, Record, Tone
from drcenter.panel.pages import RecordAdmin, address
from drcenter.permissions import may
from drcenter.stored import shown


def copy_buttons(request: HttpRequest, copy: Copy) -> list[Button]:
    """What this person may have done with this copy."""
    if copy.set.state != Set.State.COMPLETE:
        return []
    acts: tuple[tuple[str, Button], ...] = (
        (permissions.VERIFY_SET, Button(_("Verify"), address(copy, "verify"), "fact_check")),
        (
            permissions.RESTORE_BESIDE,
            Button(_("Restore beside"), address(copy, "beside"), "splitscreen_right"),
        ),
        (permissions.COMPARE_ROWS, Button(_("Compare rows"), address(copy, "rows"), "difference")),
        (
            permissions.RESTORE_PRODUCTION,
            Button(
                _("Restore into production"), address(copy, "production"), "settings_backup_restore", "risky"
            ),
        ),
    )
    if copy.spoiled:
        acts = (*acts, (permissions.VERIFY_SET, Button(_("Write again"), address(copy, "mend"), "healing")))
    # A damaged copy can be looked at again, never restored from.
    open_to = {Copy.State.COMPLETE: acts, Copy.State.DAMAGED: acts[:1]}.get(Copy.State(copy.state), ())
    return [button for permission, button in open_to if permissions.may(request, permission)]


def spoiled_notices(copies: Iterable[Copy]) -> list[Notice]:
    """Loud, since somebody without this product would run what is damaged; the data can be restored."""
    return [Notice(f"{copy}: {spoiled(copy)}", str(SPOILED)) for copy in copies if spoiled(copy)]


def best_copy(row: Set) -> Copy | None:
    """The complete copy that is known best."""
    copies = [copy for copy in row.copies.all() if copy.state == Copy.State.COMPLETE]
    return max(copies, key=lambda copy: RANK[copy.level], default=None)


def open_job(checks: list[Verification], restores: list[Recovery], own: Job | None = None) -> Job | None:
    """The job to watch: one that waits or runs, or else the row's own."""
    jobs = [own, *(row.job for row in checks), *(row.job for row in restores)]
    return next((job for job in jobs if job is not None and job.state in OPEN), own)


def finding_notices(findings: list[dict[str, Any]]) -> list[Notice]:
    return [
        Notice(
            ": ".join(str(finding[name]) for name in ("source", "message") if finding.get(name)),
            str(finding.get("hint", "")),
            Tone.BAD if finding.get("caps") else Tone.WARN,
        )
        for finding in findings
    ]


@admin.register(Set)
class SetAdmin(RecordAdmin):
    list_display = ("__str__", "verdict", "plan", "reason", "moment", "took", "stored")
    list_filter = ("system", "plan", "state", "level", "reason")
    search_fields = ("identifier", "system__name", "system__slug", "message")
    list_select_related = ("system", "plan__system")
    date_hierarchy = "created_at"
    empty_hint = gettext_lazy("Nothing was backed up yet: open a plan, and choose “Back up now”.")

    @display(description=gettext_lazy("result"), ordering="state")
    def verdict(self, row: Set) -> str:
        return badge(set_verdict(row))

    @display(description=gettext_lazy("took"))
    def took(self, row: Set) -> str:
        return words.duration(_seconds(row))

    @display(description=gettext_lazy("stored size"), ordering="stored_size")
    def stored(self, row: Set) -> str:
        return words.size(row.stored_size or None)

    def zone(self, obj: Set) -> str:
        return obj.system.time_zone

    def get_urls(self) -> list[URLPattern]:
        own = [
            path(
                f"<int:pk>/{name}/",
                self.admin_site.admin_view(page.as_view(model_admin=self)),
                name=f"backups_set_{name}",
            )
            for name, page in (*PAGES, ("copy_to", CopyTo))
        ]
        return [*own, *super().get_urls()]

    def record(self, request: HttpRequest, obj: Set) -> Record:
        of_set = Q(copy__set=obj)
        checks = list(Verification.objects.filter(of_set).select_related("job", "copy__destination"))
        restores = list(Recovery.objects.filter(of_set).select_related("job"))
        job = open_job(checks, restores, obj.job)
        copies = list(obj.copies.select_related("destination", "set__system", "lock"))
        best = best_copy(obj)
        buttons = copy_buttons(request, best) if best else []
        tables = [
            parts_table(obj),
            copies_table(copies, lambda copy: copy_buttons(request, copy) if len(copies) > 1 else []),
        ]
        tables += [moments_table(obj)] if obj.moments else []
        tables += [verifications_table(checks)] if checks else []
        tables += [recoveries_table(restores)] if restores else []
        tables += pins_table(obj)
        return Record(
            verdict=set_verdict(obj),
            notices=[
                *_partial_notices(obj),
                *outcome(obj),
                *spoiled_notices(copies),
                *pin_notices(obj),
                *finding_notices(obj.findings),
                *_encryption_notices(obj),
            ],
            facts=_set_facts(obj),
            buttons=buttons
            + _copy_button(request, obj)
            + pin_button(request, obj)
            + cancel_button(request, job),
            tables=tables if obj.state == Set.State.COMPLETE or obj.parts.exists() else [],
            job=job,
            live=job is not None and job.is_open,
        )


def _copy_button(request: HttpRequest, row: Set) -> list[Button]:
    """Where there is a place that has no complete copy yet."""
    if row.state != Set.State.COMPLETE or not may(request, CopyTo.permission):
        return []
    there = row.copies.filter(state=Copy.State.COMPLETE)
    if not there or not Destination.objects.filter(enabled=True).exclude(copies__in=there).exists():
        return []
    return [Button(_("Copy to…"), address(row, "copy_to"), "content_copy")]


def _seconds(row: Set) -> float | None:
    if row.started_at is None or row.finished_at is None:
        return None
    return (row.finished_at - row.started_at).total_seconds()


def _partial_notices(row: Set) -> list[Notice]:
    if not row.partial:
        return []
    text = _("A restore over production replaces these tables alone.")
    return [Notice(_("This set is only a part: %(part)s.") % {"part": row.partial_shown}, text, Tone.WARN)]


def _encryption_notices(row: Set) -> list[Notice]:
    if row.encrypted or row.state != Set.State.COMPLETE:
        return []
    return [
        Notice(_("This set is not encrypted: whoever can read the destination can read it."), tone=Tone.WARN)
    ]


def _chain_facts(row: Set) -> list[Fact]:
    """Which sets it cannot be restored without: the newest of them, and how many there are before that."""
    needs = list(row.needs.order_by("-started_at"))
    if not needs:
        return []
    facts = [Fact(_("needs"), Link(str(needs[0]), address(needs[0])))]
    count = len(needs) - 1
    return [*facts, Fact(_("sets needed before that"), str(count))] if count else facts


def _encryption(row: Set) -> str:
    count = len(row.recipients)
    if not row.encrypted or not count:
        return words.yes_or_no(row.encrypted)
    return ngettext("yes, to %(count)d key", "yes, to %(count)d keys", count) % {"count": count}


def _one_moment(row: Set) -> str | None:
    """Which sources' data are as at one moment, and how far these moments lie apart at most."""
    if row.spread is None:
        return None
    names = [name for name, moment in row.moments.items() if moment["snapshot"]]
    return _("%(sources)s: within %(time)s") % {
        "sources": ", ".join(names) or _("databases"), "time": words.duration(rounded_up(row.spread))
    }  # fmt: skip


def _set_facts(row: Set) -> list[Fact]:
    plan = Link(str(row.plan), address(row.plan)) if row.plan else _("deleted")
    sizes = None
    if row.stored_size:
        sizes = _("%(stored)s stored, %(plain)s unpacked") % {
            "stored": words.size(row.stored_size),
            "plain": words.size(row.plain_size),
        }
    facts = [
        Fact(_("system"), Link(row.system.name, address(row.system))),
        Fact(_("plan"), plan),
        Fact(_("reason"), row.get_reason_display()),
        Fact(_("moment"), words.when_and_ago(row.moment)),
        Fact(_("of one moment"), _one_moment(row)),
        Fact(_("number"), str(row.number) if row.number else None),
        *_chain_facts(row),
        Fact(_("requested at"), words.when(row.created_at)),
        Fact(_("took"), words.duration(_seconds(row))),
        Fact(_("size"), sizes),
        Fact(_("encrypted"), _encryption(row)),
        Fact(_("job"), Link(str(row.job), address(row.job)) if row.job else None),
        Fact(_("name in storage"), row.prefix if row.identifier else None, code=True),
    ]  # fmt: skip
    return [fact for fact in facts if fact.value not in (None, "", words.NOTHING)]


def _lock_facts(copy: Copy) -> list[Fact]:
    """What the store said of the copy's lock, and when."""
    now = timezone.now()
    verdict = lock_verdict(copy, now)
    if verdict is None:
        return []
    lock = getattr(copy, "lock", None)
    if lock is None:
        return [Fact(_("lock"), verdict)]
    # The badge of a table says mode and date; here they have lines of their own, which fit a telephone.
    held = lock.state == Lock.State.HELD
    return [
        Fact(_("lock"), replace(verdict, word=lock.get_state_display()) if lock.holds(now) else verdict),
        *([Fact(_("mode"), lock.mode), Fact(_("locked until"), words.when(lock.until))] if held else []),
        Fact(_("read back at"), words.when_and_ago(lock.checked_at)),
        *([Fact(_("locked objects"), lock.objects_count)] if held else []),
    ]


def _lock_notices(copy: Copy) -> list[Notice]:
    """Why it is not locked, and what to do about it."""
    lock = getattr(copy, "lock", None)
    if lock is None or lock.state != Lock.State.NOT_HELD:
        return []
    return [Notice(shown(lock.message), shown(lock.hint))]


@admin.register(Copy)
class CopyAdmin(RecordAdmin):
    list_display = ("__str__", "verdict", "destination", "verified_at")
    list_filter = ("destination", "state", "level")
    list_select_related = ("set__system", "destination")

    @display(description=gettext_lazy("level"), ordering="level")
    def verdict(self, row: Copy) -> str:
        return badge(copy_verdict(row))

    def zone(self, obj: Copy) -> str:
        return obj.set.system.time_zone

    def get_urls(self) -> list[URLPattern]:
        pages = (
            ("verify", Verify),
            ("beside", RestoreBeside),
            ("production", RestoreProduction),
            ("rows", CompareRows),
            ("mend", Mend),
            ("drill", HoldDrill),
        )
        own = [
            path(
                f"<int:pk>/{name}/",
                self.admin_site.admin_view(page.as_view(model_admin=self)),
                name=f"backups_copy_{name}",
            )
            for name, page in pages
        ]
        return [*own, *super().get_urls()]

    def record(self, request: HttpRequest, obj: Copy) -> Record:
        checks = list(obj.verifications.select_related("job"))
        restores = list(obj.recoveries.select_related("job"))
        job = open_job(checks, restores)
        facts = [
            Fact(_("set"), Link(str(obj.set), address(obj.set))),
            Fact(_("level of the set"), level_verdict(obj.set.level)),
            Fact(_("destination"), Link(str(obj.destination), address(obj.destination))),
            Fact(_("where"), destination_target(obj.destination)),
            Fact(_("last verified"), words.when_and_ago(obj.verified_at)),
            *_lock_facts(obj),
        ]
        return Record(
            verdict=copy_verdict(obj),
            notices=[
                *([Notice(obj.message)] if obj.message else []),
                *spoiled_notices([obj]),
                *_lock_notices(obj),
            ],
            facts=facts,
            buttons=copy_buttons(request, obj) + cancel_button(request, job),
            tables=[verifications_table(checks), recoveries_table(restores)],
            job=job,
            live=job is not None and job.is_open,
        )
