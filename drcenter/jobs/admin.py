"""Jobs in the panel: what runs, how far it is, how it ended; and the way to stop one."""

from typing import Any, cast

from django.contrib import admin, messages
from django.db import transaction
from django.db.models import Model
from django.http import HttpRequest
from django.urls import URLPattern, path
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from unfold.decorators import display

from drcenter.audit.record import record as audit
from drcenter.errors import OperationFailed
from drcenter.jobs.models import Job, State
from drcenter.jobs.reap import cancel
from drcenter.panel import words
from drcenter.panel.acts import ActPage
from drcenter.panel.badge import badge
from drcenter.panel.look import Button, Fact, Link, Notice, Record, Tone, Verdict
from drcenter.panel.pages import RecordAdmin, address
from drcenter.permissions import CANCEL_JOB, may, sees
from drcenter.stored import shown

LOOKS = {
    State.QUEUED: (Tone.IDLE, "schedule"),
    State.RUNNING: (Tone.BUSY, "progress_activity"),
    State.SUCCEEDED: (Tone.GOOD, "check_circle"),
    State.FAILED: (Tone.BAD, "error"),
    State.CANCELLED: (Tone.IDLE, "stop_circle"),
    State.LOST: (Tone.BAD, "heart_broken"),
}


def job_verdict(job: Job) -> Verdict:
    tone, icon = LOOKS[State(job.state)]
    return Verdict(job.get_state_display(), tone, icon, str(job))


def cancel_button(request: HttpRequest, job: Job | None) -> list[Button]:
    """The way to stop `job`, for those who may, while it can be stopped."""
    if job is None or not job.is_open or job.cancel_requested_by or not may(request, CANCEL_JOB):
        return []
    return [Button(_("Cancel"), address(job, "cancel"), "stop_circle")]


def outcome(row: Any) -> list[Notice]:
    """The message and the hint of a row that ended badly."""
    return [Notice(shown(row.message), shown(row.hint), _tone(row))] if row.message else []


def _tone(row: Any) -> Tone:
    """What a person asked for is no fault."""
    return Tone.IDLE if stopped(row) else Tone.BAD


def stopped(row: Any) -> bool:
    """The row, or the job that worked on it, was cancelled."""
    job = row if isinstance(row, Job) else row.job
    return bool(row.state == State.CANCELLED or (job is not None and job.state == State.CANCELLED))


def waiting(job: Job | None) -> str:
    """Which other job this one waits for, in a sentence; "" if it does not wait, or only for a worker."""
    before = job.waits_for if job is not None else None
    return _("It waits for the end of “%(job)s”.") % {"job": before} if before else ""


class CancelJob(ActPage):
    permission = CANCEL_JOB
    action = "job.cancel"
    dangerous = True

    def title(self) -> str:
        return _("Cancel: %(job)s") % {"job": self.row}

    def submit_label(self) -> str:
        return _("Stop it")

    def facts(self) -> list[Fact]:
        return [
            Fact(_("job"), str(self.row)),
            Fact(_("state"), job_verdict(self.row)),
            Fact(_("phase"), f"{shown(self.row.phase)} {self.row.item}".strip()),
        ]

    def steps(self) -> list[str]:
        return [
            _("A job that still waits ends at once; a running one stops within seconds."),
            _("What it has started is ended, what it left half done is removed."),
        ]

    def perform(self, form: Any) -> str:
        with transaction.atomic():
            if not cancel(self.row, self.actor):
                raise OperationFailed(
                    _("This job has ended, or somebody has stopped it already."),
                    _("Go back: its page shows how it stands."),
                )
            audit(self.actor, self.action, self.row)
        messages.success(self.request, _("The job was asked to stop."))
        return address(self.row)


def _works_on(request: HttpRequest, job: Job) -> list[Fact]:
    """The rows of other apps that point to the job: a set, a verification, a recovery; whatever has a page."""
    facts = []
    for relation in Job._meta.related_objects:
        model = cast(type[Model], relation.related_model)
        if not admin.site.is_registered(model) or not sees(request, model._meta.label_lower):
            continue
        rows = model._base_manager.filter(**{relation.field.name: job})[:3]
        facts += [Fact(str(model._meta.verbose_name), Link(str(row), address(row))) for row in rows]
    return facts


@admin.register(Job)
class JobAdmin(RecordAdmin):
    list_display = ("job", "verdict", "requested_by", "started_at", "took")
    list_filter = ("state", "kind")
    search_fields = ("title", "requested_by", "message")
    empty_hint = gettext_lazy("Everything that takes longer than a moment runs as a job, and is kept here.")

    @display(description=gettext_lazy("title"), ordering="title")
    def job(self, job: Job) -> str:
        return str(job)

    @display(description=gettext_lazy("state"), ordering="state")
    def verdict(self, job: Job) -> str:
        return badge(job_verdict(job))

    @display(description=gettext_lazy("took"))
    def took(self, job: Job) -> str:
        return words.duration(job.seconds)

    def get_urls(self) -> list[URLPattern]:
        page = self.admin_site.admin_view(CancelJob.as_view(model_admin=self))
        return [path("<int:pk>/cancel/", page, name="jobs_job_cancel"), *super().get_urls()]

    def record(self, request: HttpRequest, obj: Job) -> Record:
        facts = [
            *_works_on(request, obj),
            Fact(_("requested by"), obj.requested_by),
            Fact(_("requested at"), words.when(obj.created_at)),
            Fact(_("started at"), words.when(obj.started_at)),
            Fact(_("finished at"), words.when(obj.finished_at)),
            Fact(_("took"), words.duration(obj.seconds)),
            Fact(_("attempt"), obj.attempt),
            Fact(_("worker"), obj.worker),
            Fact(_("last sign of life"), words.when_and_ago(obj.heartbeat_at) if obj.is_open else None),
            Fact(_("cancelled by"), obj.cancel_requested_by),
        ]
        return Record(
            verdict=job_verdict(obj),
            notices=outcome(obj),
            facts=[fact for fact in facts if fact.value not in (None, "", words.NOTHING)],
            buttons=cancel_button(request, obj),
            job=obj,
            live=obj.is_open,
        )
