"""What a person has to look at, the worst first: each with what to do, and where."""

from collections.abc import Iterator
from datetime import datetime, timedelta

from django.db.models import Count, Sum
from django.urls import reverse
from django.utils.translation import gettext as _

from backups import standing, watch_stores
from backups.admin.notices import of_approvals, of_house, of_rule
from backups.admin.verdicts import spoiled
from backups.keep import retention_words
from backups.models import Canary, Copy, Destination, Freeze, Lock, Plan, Recovery, RecoveryKey
from backups.storage.companions import SPOILED
from drcenter.jobs.models import Job, State
from drcenter.jobs.pulse import TICKS, silent
from drcenter.panel import words
from drcenter.panel.look import Link, Notice, Tone
from drcenter.panel.pages import address
from drcenter.stored import shown

# After this long somebody has to show again that the identity is still in the safe, and readable.
HELD_FOR = timedelta(days=180)
ORDER = (Tone.BAD, Tone.WARN, Tone.FAIR)
UNTAKEN_AFTER = timedelta(seconds=90)


def attention(systems: list[standing.SystemStanding], now: datetime) -> list[Notice]:
    """All notices; what is bad comes before what is only not good."""
    notices = [
        *_workers(now),
        *of_approvals(),
        *_stopped_applications(),
        *_damaged(),
        *_spoiled(),
        *_put_back(),
        *_frozen(),
    ]
    notices += _leftovers()
    notices += [*_locks(), *of_house(now)]
    for here in systems:
        notices += _of_system(here)
    notices += [*_keys(now), *of_rule((here.system for here in systems if here.plans), now)]
    return sorted(notices, key=lambda notice: ORDER.index(notice.tone))


def _workers(now: datetime) -> Iterator[Notice]:
    jobs = Link(_("Jobs"), reverse("admin:jobs_job_changelist"))
    quiet = silent(now)
    if TICKS in quiet:
        yield Notice(
            _("Nothing looks for due work: no plan starts by itself."),
            _("Start it, with the workers: manage.py run."),
            link=jobs,
        )
    for cluster in (name for name in quiet if name != TICKS):
        yield Notice(
            _("The workers of the queue “%(cluster)s” are silent.") % {"cluster": cluster},
            _("No backup and no alert goes out. Start them: manage.py run."),
            link=jobs,
        )
    waiting = Job.objects.filter(state=State.QUEUED, created_at__lt=now - UNTAKEN_AFTER)
    busy = Job.objects.filter(state=State.RUNNING).values("target")
    if count := waiting.exclude(target__in=busy).count():
        yield Notice(
            _("%(count)d jobs wait, and no worker takes them.") % {"count": count},
            _("Start the workers: manage.py run."),
            link=jobs,
        )


def _stopped_applications() -> Iterator[Notice]:
    """The newest restore over production of a system left it stopped."""
    restores = Recovery.objects.filter(place=Recovery.Place.PRODUCTION).select_related("copy__set__system")
    newest: dict[int, Recovery] = {}
    for restore in restores.order_by("pk"):
        newest[restore.copy.set.system_id] = restore
    for restore in newest.values():
        if restore.state == Recovery.State.LOST and restore.digest:
            yield Notice(
                _("%(system)s may be stopped, and half restored: a restore broke off.")
                % {"system": restore.copy.set.system.name},
                restore.hint or restore.message,
                link=Link(_("Resume or undo"), address(restore)),
            )
        if restore.state == Recovery.State.DOWN:
            sentence = (
                _(
                    "%(system)s may be half restored, and was not stopped by us: a restore went wrong, and the way back too."
                )
                if restore.never_stopped
                else _("%(system)s is stopped: a restore went wrong, and the way back too.")
            )
            yield Notice(
                sentence % {"system": restore.copy.set.system.name},
                restore.hint or restore.message,
                link=Link(_("Restore"), address(restore)),
            )


def _locks() -> Iterator[Notice]:
    """What is not locked, or not safe although it is. A lock that was refused never counts as one."""
    for canary in Canary.objects.exclude(message="").select_related("destination"):
        broken = canary.state == Canary.State.DELETED
        yield Notice(
            (
                _("The locks of %(destination)s do not hold.")
                if broken
                else _("The locks of %(destination)s could not be tried.")
            )
            % {"destination": canary.destination},
            " ".join(filter(None, (shown(canary.message), shown(canary.hint)))),
            Tone.BAD if broken else Tone.WARN,
            Link(_("Destination"), address(canary.destination)),
        )
    refused = Lock.objects.filter(state=Lock.State.NOT_HELD, copy__state=Copy.State.COMPLETE)
    for lock in refused.select_related("copy__set__system", "copy__destination")[:10]:
        yield Notice(
            _("A copy is not locked: %(copy)s.") % {"copy": lock.copy},
            " ".join(filter(None, (shown(lock.message), shown(lock.hint)))),
            link=Link(_("Copy"), address(lock.copy)),
        )


def _put_back() -> Iterator[Notice]:
    """Of the last look at each destination: what is not as it was published."""
    for destination in Destination.objects.filter(enabled=True):
        told = watch_stores.last_told(destination)
        for text in told.facts["alarming"][:5] if told else ():
            yield Notice(shown(text), link=Link(_("Destination"), address(destination)))


def _damaged() -> Iterator[Notice]:
    damaged = Copy.objects.filter(state=Copy.State.DAMAGED).select_related("set__system", "destination")
    for copy in damaged[:10]:
        yield Notice(
            _("A copy is damaged: %(copy)s.") % {"copy": copy},
            copy.message or _("Restore from another copy, and take a new backup."),
            link=Link(_("Copy"), address(copy)),
        )


def _spoiled() -> Iterator[Notice]:
    """Copies whose data are good, and whose script or guide is not."""
    copies = Copy.objects.filter(state=Copy.State.COMPLETE).exclude(spoiled=[])
    for copy in copies.select_related("set__system", "destination")[:10]:
        yield Notice(f"{copy}: {spoiled(copy)}", str(SPOILED), Tone.WARN, Link(_("Copy"), address(copy)))


def _frozen() -> Iterator[Notice]:
    """Where nothing is removed any more until a person has looked."""
    for freeze in Freeze.objects.open().select_related("plan__system", "destination"):
        plan = freeze.plan or Plan.objects.filter(sets__copies__destination=freeze.destination).first()
        yield Notice(
            _("Nothing is removed any more: %(what)s.") % {"what": freeze},
            retention_words.doubts(freeze.reasons),
            link=Link(_("Look"), address(plan, "retention")) if plan else None,
        )


def _leftovers() -> Iterator[Notice]:
    """What nobody will ever need, and pays for."""
    for place in Destination.objects.filter(leftovers__kept_because="").distinct():
        found = place.leftovers.filter(kept_because="").aggregate(count=Count("pk"), size=Sum("size"))
        yield Notice(
            _("Broken-off runs left %(size)s at %(destination)s.")
            % {"size": words.size(found["size"]), "destination": place},
            _("Look at the list on its page, and have them removed."),
            Tone.FAIR,
            Link(_("Look"), address(place)),
        )


def _of_system(here: standing.SystemStanding) -> Iterator[Notice]:
    system = here.system
    if not here.plans:
        yield Notice(
            _("%(system)s is not protected.") % {"system": system.name},
            _("Add a plan with its sources and a destination."),
            link=Link(_("Add a plan"), f"{reverse('admin:backups_plan_add')}?system={system.pk}"),
        )
    for plan in here.plans:
        if plan.plan.enabled:
            yield from _of_plan(plan)


def _of_plan(here: standing.PlanStanding) -> Iterator[Notice]:
    plan, names = here.plan, {"plan": f"{here.plan.system.name}, {here.plan.name}"}
    to_plan = Link(_("Plan"), address(plan))
    if here.overdue:
        message = _("Overdue: %(plan)s.") if here.newest or here.damaged else _("Never backed up: %(plan)s.")
        yield Notice(message % names, _("Back up now, and look why the planned time passed."), link=to_plan)
    if here.failed and here.last is not None:
        yield Notice(
            _("The last backup failed: %(plan)s.") % names,
            f"{here.last.message} {here.last.hint}".strip(),
            link=Link(_("Set"), address(here.last)),
        )
    if here.newest is not None and here.newest.capped:
        yield Notice(
            _("The newest set lacks something: %(plan)s.") % names,
            here.newest.level_reason,
            link=Link(_("Set"), address(here.newest)),
        )
    elif here.newest is not None and here.proving:
        yield Notice(
            _("Being proven: %(plan)s.") % names,
            _("The newest set is %(level)s; its proof is under way.")
            % {"level": here.newest.get_level_display() or _("not verified")},
            Tone.FAIR,
            Link(_("Set"), address(here.newest)),
        )
    elif here.newest is not None and not here.reached:
        yield Notice(
            _("Only %(level)s, the plan asks for %(wanted)s: %(plan)s.")
            % {
                **names,
                "level": here.newest.get_level_display() or _("not verified"),
                "wanted": plan.get_level_display(),
            },
            here.newest.level_reason,
            Tone.WARN,
            Link(_("Set"), address(here.newest)),
        )
    if not plan.encrypt:
        yield Notice(
            _("Not encrypted: %(plan)s.") % names,
            _("Whoever can read the destination can read the data: passwords, customers, everything."),
            Tone.WARN,
            to_plan,
        )


def _keys(now: datetime) -> Iterator[Notice]:
    keys = Link(_("Recovery keys"), reverse("admin:backups_recoverykey_changelist"))
    active = list(RecoveryKey.objects.filter(active=True, for_drills=False))
    if not active and Plan.objects.filter(enabled=True, encrypt=True).exists():
        yield _no_kit(keys)
    for key in active:
        if key.held_at is None:
            yield Notice(
                _("Nobody has shown to hold the recovery key “%(key)s”.") % {"key": key.name},
                _("Without it the encrypted sets cannot be read. Prove it: manage.py recovery-kit --check."),
                link=keys,
            )
        elif now - key.held_at > HELD_FOR:
            yield Notice(
                _("Nobody has shown to hold the recovery key “%(key)s” for half a year.") % {"key": key.name},
                _("Take the kit from the safe and prove it: manage.py recovery-kit --check."),
                Tone.WARN,
                keys,
            )


def _no_kit(keys: Link) -> Notice:
    if RecoveryKey.objects.filter(active=True).exists():
        return Notice(
            _("Only a drill key: nobody holds a recovery kit."),
            _(
                "New sets can be read only with the key of this machine, and are lost with it. "
                "On your own terminal: manage.py recovery-kit."
            ),
            link=keys,
        )
    return Notice(
        _("There is no recovery key."),
        _("Backups cannot be encrypted without one. On your own terminal: manage.py recovery-kit."),
        link=keys,
    )
