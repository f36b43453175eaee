"""Actions and facts of the trail in words. Rows keep the keys: "backups.take.requested", "reason"."""

from django.apps import apps
from django.utils.translation import gettext as _
from django.utils.translation import gettext_noop

ACTIONS = {
    "backup.request": gettext_noop("backup asked for"),
    "backups.good_again": gettext_noop("backups good again"),
    "backups.key.checked": gettext_noop("recovery key checked"),
    "backups.key.made": gettext_noop("recovery key made"),
    "backups.key.retired": gettext_noop("recovery key retired"),
    "backups.prune.copy_removed": gettext_noop("copy removed by retention"),
    "backups.prune.removed": gettext_noop("set removed by retention"),
    "backups.prune.requested": gettext_noop("retention asked for"),
    "backups.prune.thawed": gettext_noop("retention allowed again"),
    "backups.overdue": gettext_noop("backup overdue"),
    "backup.estimate": gettext_noop("size of a set estimated"),
    "backups.calendar.set_up": gettext_noop("calendar set up"),
    "backups.sweep.removed": gettext_noop("leftovers removed"),
    "backups.destination.moved": gettext_noop("destination moved"),
    "backups.copy.request": gettext_noop("copy asked for"),
    "backups.rebuild.confirm": gettext_noop("rebuilt catalogue to be confirmed"),
    "backups.rebuild.request": gettext_noop("rebuild of the catalogue asked for"),
    "backups.copy.requested": gettext_noop("copy asked for"),
    "backups.rebuild.confirmed": gettext_noop("rebuilt catalogue confirmed"),
    "backups.rebuild.done": gettext_noop("catalogue rebuilt"),
    "backups.rebuild.requested": gettext_noop("rebuild of the catalogue requested"),
    "backups.copy.completed": gettext_noop("missing copy made"),
    "backups.destination.renamed": gettext_noop("destination called as its sets call it"),
    "backups.own.moved": gettext_noop("own database followed to another place"),
    "backups.own.protected": gettext_noop("own database protected"),
    "backups.own.put_back": gettext_noop("own database was put back from a backup"),
    "backups.set.pinned": gettext_noop("set pinned"),
    "backups.set.unpinned": gettext_noop("set unpinned"),
    "backups.signer.trusted": gettext_noop("earlier signing key trusted"),
    "backups.approval.break_glass": gettext_noop("production opened without a second person"),
    "backups.approval.denied": gettext_noop("approval denied"),
    "backups.approval.expired": gettext_noop("plan of a recovery ran out"),
    "backups.approval.refused": gettext_noop("approval refused by the rules"),
    "backups.approval.reviewed": gettext_noop("break-glass reviewed"),
    "backups.approval.revoked": gettext_noop("approval taken back"),
    "backups.approval.second": gettext_noop("recovery approved"),
    "backups.approval.void": gettext_noop("plan of a recovery void: something changed"),
    "backups.checklist.ticked": gettext_noop("point of a checklist ticked"),
    "backups.rewind": gettext_noop("act after rewinding"),
    "backups.rewind.end": gettext_noop("act after rewinding ended"),
    "backups.rewind.requested": gettext_noop("act after rewinding asked for"),
    "backups.rewind.store": gettext_noop("act after rewinding kept"),
    "halt.look": gettext_noop("way to stop looked at"),
    "incidents.action.refused": gettext_noop("action refused"),
    "incidents.action.request": gettext_noop("action asked for"),
    "incidents.action.undo": gettext_noop("undoing of an action asked for"),
    "recovery.checklist": gettext_noop("checklist of a recovery worked on"),
    "recovery.measure": gettext_noop("measuring of a checklist asked for"),
    "backups.restore.begun": gettext_noop("restore begun"),
    "backups.restore.planned_again": gettext_noop("restore planned again"),
    "backups.copy.spoiled": gettext_noop("damage beside the data of a copy found"),
    "backups.mend.request": gettext_noop("objects beside the data asked to be written again"),
    "backups.mend.requested": gettext_noop("objects beside the data asked to be written again"),
    "backups.mend.done": gettext_noop("objects beside the data written again"),
    "backups.logs.begun": gettext_noop("archive of a log begun"),
    "backups.logs.fault": gettext_noop("archive of a log at fault"),
    "backups.logs.gap": gettext_noop("gap in an archived log"),
    "backups.logs.good_again": gettext_noop("archive of a log good again"),
    "backups.logs.let_go": gettext_noop("a server no longer waits for the archive of its log"),
    "backups.logs.pruned": gettext_noop("archived log removed that no set needs"),
    "backups.logs.switched_off": gettext_noop("archive of a log switched off"),
    "backups.logs.switched_on": gettext_noop("archive of a log switched on"),
    "backups.drill.cancelled": gettext_noop("drill cancelled"),
    "backups.drill.failed": gettext_noop("drill failed"),
    "backups.drill.good_again": gettext_noop("drills good again"),
    "backups.drill.overdue": gettext_noop("drill overdue"),
    "backups.drill.passed": gettext_noop("drill passed"),
    "backups.drill.requested": gettext_noop("drill requested"),
    "backups.drill.skipped": gettext_noop("drill skipped"),
    "drill.request": gettext_noop("drill asked for"),
    "system.choose_targets": gettext_noop("choice of targets asked for"),
    "system.targets_chosen": gettext_noop("targets chosen"),
    "backups.restore.cancelled": gettext_noop("restore cancelled"),
    "backups.restore.damaged": gettext_noop("restore met a damaged copy"),
    "backups.restore.down": gettext_noop("restore left the application stopped"),
    "backups.restore.failed": gettext_noop("restore failed"),
    "backups.restore.lost": gettext_noop("restore lost its worker"),
    "backups.restore.refused": gettext_noop("restore refused"),
    "backups.restore.requested": gettext_noop("restore requested"),
    "backups.restore.rolled_back": gettext_noop("restore rolled back"),
    "backups.restore.succeeded": gettext_noop("restored"),
    "backups.rows.applied": gettext_noop("rows put back"),
    "backups.rows.cancelled": gettext_noop("putting rows back cancelled"),
    "backups.rows.compare_cancelled": gettext_noop("comparison of rows cancelled"),
    "backups.rows.compare_done": gettext_noop("rows compared"),
    "backups.rows.compare_failed": gettext_noop("comparison of rows failed"),
    "backups.rows.compare_requested": gettext_noop("comparison of rows requested"),
    "backups.rows.conflicts": gettext_noop("rows not put back: conflicts"),
    "backups.rows.failed": gettext_noop("putting rows back failed"),
    "backups.rows.planned": gettext_noop("statements for rows written down"),
    "backups.rows.refused": gettext_noop("putting rows back refused"),
    "backups.rows.seen": gettext_noop("rows looked at"),
    "backups.rows.unknown": gettext_noop("outcome of putting rows back unknown"),
    "rows.choose": gettext_noop("rows to be chosen"),
    "rows.request": gettext_noop("putting rows back to be asked for"),
    "rows.request_compare": gettext_noop("comparison of rows to be asked for"),
    "rows.statements": gettext_noop("statements for rows to be read"),
    "rows.undo": gettext_noop("undoing of rows to be asked for"),
    "backups.succession.broken": gettext_noop("sets were put back, taken out or made anew"),
    "backups.succession.whole": gettext_noop("sets are as the catalogue knows them"),
    "backups.take.cancelled": gettext_noop("backup cancelled"),
    "backups.take.completed": gettext_noop("backup completed"),
    "backups.take.failed": gettext_noop("backup failed"),
    "backups.take.lost": gettext_noop("backup lost its worker"),
    "backups.take.requested": gettext_noop("backup requested"),
    "backups.take.retried": gettext_noop("backup tried again"),
    "backups.verify.concluded": gettext_noop("verification concluded"),
    "backups.verify.damaged": gettext_noop("copy found damaged"),
    "backups.verify.requested": gettext_noop("verification requested"),
    "demo.key": gettext_noop("key of the demonstration made"),
    "demo.login": gettext_noop("login of the demonstration made"),
    "demo.moved": gettext_noop("sample moved"),
    "destination.check.request": gettext_noop("test of a destination asked for"),
    "destination.check": gettext_noop("destination tested"),
    "job.cancel": gettext_noop("job cancelled"),
    "notify.test": gettext_noop("test message sent"),
    "recovery.approve": gettext_noop("approval of a recovery tried"),
    "recovery.begin": gettext_noop("begin of a recovery asked for"),
    "recovery.break_glass": gettext_noop("break-glass asked for"),
    "recovery.plan_again": gettext_noop("new plan of a recovery asked for"),
    "recovery.resume": gettext_noop("resuming of a recovery asked for"),
    "recovery.undo": gettext_noop("undoing of a recovery asked for"),
    "recovery.refuse": gettext_noop("refusal of a recovery tried"),
    "recovery.review": gettext_noop("review of a break-glass tried"),
    "recovery.request_beside": gettext_noop("restore beside asked for"),
    "recovery.request_production": gettext_noop("restore over production asked for"),
    "signin.shell": gettext_noop("login shown on the shell"),
    "signin": gettext_noop("signed in"),
    "signin.factor_added": gettext_noop("second factor added"),
    "signin.factor_removed": gettext_noop("second factor removed"),
    "signin.reset": gettext_noop("second factors reset"),
    "signin.second_factor": gettext_noop("second factor asked for"),
    "source.look": gettext_noop("source looked at"),
    "system.protect": gettext_noop("system protected"),
    "verification.request": gettext_noop("verification asked for"),
}
VERBS = {
    "added": gettext_noop("%(kind)s added"),
    "changed": gettext_noop("%(kind)s changed"),
    "deleted": gettext_noop("%(kind)s deleted"),
}
FACTS = {
    "address": gettext_noop("address"),
    "destinations": gettext_noop("destinations"),
    "factors": gettext_noop("factors"),
    "for_drills": gettext_noop("for drills"),
    "how": gettext_noop("how"),
    "kind": gettext_noop("kind"),
    "level": gettext_noop("level"),
    "message": gettext_noop("message"),
    "new": gettext_noop("new"),
    "newest_good": gettext_noop("newest good set"),
    "parts": gettext_noop("parts"),
    "place": gettext_noop("place"),
    "plan": gettext_noop("plan"),
    "port": gettext_noop("port"),
    "reached": gettext_noop("level reached"),
    "reason": gettext_noop("reason"),
    "recipient": gettext_noop("recipient"),
    "set": gettext_noop("set"),
    "sources": gettext_noop("sources"),
    "target_age_hours": gettext_noop("allowed age in hours"),
    "typed": gettext_noop("typed"),
    "what": gettext_noop("what changed"),
}


def action_in_words(action: str) -> str:
    """The action in the language of the reader; one that nobody named, by a newer version, as it is."""
    if action in ACTIONS:
        return _(ACTIONS[action])
    model, _point, verb = action.rpartition(".")
    if verb in VERBS and (kind := _kind(model)):
        return _(VERBS[verb]) % {"kind": kind}
    return action


def fact_in_words(name: str) -> str:
    return _(FACTS[name]) if name in FACTS else name.replace("_", " ")


def type_in_words(label: str) -> str:
    """ "backups.Set" as "set"; what is no model, as it is."""
    return _kind(label) or label


def _kind(model: str) -> str:
    """The name of "app.model" in the reader's language; "" when there is no such model."""
    app, _point, name = model.partition(".")
    try:
        return str(apps.get_model(app, name)._meta.verbose_name)
    except (LookupError, ValueError):
        return ""
