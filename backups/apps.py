"""Backups: taken, verified, restored."""

from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class BackupsConfig(AppConfig):
    name = "backups"
    verbose_name = _("Backups")

    def ready(self) -> None:
        from django.core.checks import Tags, register
        from django.db.models.signals import post_migrate

        from backups import checks, due, leftovers, own, rebuild, verify, watch
        from backups.checklist import conduct
        from backups.keep import pins, prune, sweep
        from backups.models.profile import ensure_built_in
        from backups.places import copies, mending
        from backups.recovery import approval, break_glass, identities, kinds, restore
        from backups.storage import generation
        from backups.takes import take
        from drcenter.jobs.registry import register_kind, register_tick

        post_migrate.connect(ensure_built_in, sender=self)
        register(checks.check_backups, Tags.database)
        register_kind(take.KIND, take.take_job, ended=take.ended)
        register_kind(verify.KIND, verify.verify_job, ended=verify.ended)
        register_kind(restore.KIND, restore.restore_job, ended=restore.ended)
        kinds.register(
            kinds.Kind(
                restore.RESTORE, restore.KIND, restore.describe, check=restore.check_before, resumable=True
            )
        )
        register_kind(conduct.KIND, conduct.measure_job, cluster="short")
        register_kind(prune.KIND, prune.prune_job)
        register_kind(copies.KIND, copies.copy_job, ended=copies.ended)
        register_kind(mending.KIND, mending.mend_job, cluster="short")
        register_kind(sweep.LOOK, sweep.look_job)
        register_kind(sweep.KIND, sweep.sweep_job)
        register_kind(pins.KIND, pins.store_job, cluster="short")
        register_kind(rebuild.KIND, rebuild.rebuild_job, ended=rebuild.ended)
        register_tick("backups.identities", identities.forget_stale)
        register_tick("backups.approvals", approval.expire_due)
        register_tick("backups.reviews", break_glass.remind_due)
        register_tick("backups.checklist", conduct.open_due)
        register_tick("backups.leftovers", leftovers.sweep_all)
        register_tick("backups.due", due.take_due)
        register_tick("backups.copies", copies.make_up_due)
        register_tick("backups.own", own.ensure)
        register_tick("backups.generation", generation.advance_after_set)
        register_tick("backups.watch", watch.watch_age)
        register_tick("backups.prune", prune.ask_due)
        register_tick("backups.pins", pins.store_due)
        register_tick("backups.sweep", sweep.look_due)
        self._logs()
        self._lock()
        self._rehearse()
        self._rows()
        self._replay()

    def _rows(self) -> None:
        from backups.recovery import kinds
        from backups.rows import apply, compare, expire
        from drcenter.jobs.registry import register_kind, register_tick

        kinds.register(
            kinds.Kind(
                apply.ROWS,
                apply.KIND,
                apply.describe,
                check=apply.check_before,
                reads_set=False,
                rewinds=False,
            )
        )
        register_kind(compare.KIND, compare.compare_job, ended=compare.ended)
        register_kind(apply.KIND, apply.apply_job, ended=apply.ended)
        register_tick("backups.rows", expire.remove_old)

    def _replay(self) -> None:
        from backups.replay import rewind
        from drcenter.jobs.registry import register_kind

        register_kind(rewind.KIND, rewind.rewind_job, ended=rewind.ended)

    def _lock(self) -> None:
        from backups import watch_stores
        from backups.places import canary, locking, trial_job
        from drcenter.jobs.registry import register_kind, register_tick

        register_kind(locking.KIND, locking.lock_job)
        register_kind(canary.KIND, canary.canary_job)
        register_kind(watch_stores.KIND, watch_stores.trace_job)
        register_kind(trial_job.KIND, trial_job.trial_job, cluster="short")
        register_tick("backups.locking", locking.lock_due)
        register_tick("backups.canary", canary.canaries_due)
        register_tick("backups.trace", watch_stores.traces_due)

    def _rehearse(self) -> None:
        from backups.drills import calendar, drill, evidence
        from drcenter.jobs.registry import register_kind, register_tick

        register_kind(drill.KIND, drill.drill_job, ended=drill.ended)
        register_tick("backups.evidence", evidence.store_due)
        register_tick("backups.drills", calendar.hold_due)
        register_tick("backups.drills_overdue", calendar.watch_age)

    def _logs(self) -> None:
        from backups.logs import keep, watch
        from drcenter.jobs.registry import register_kind, register_tick

        register_kind(keep.KIND, keep.prune_job)
        register_tick("backups.logs", watch.watch_streams)
        register_tick("backups.logs.prune", keep.ask_due)
