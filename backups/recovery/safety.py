"""The safety set: what a restore over production saves first, and goes back to."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from django.utils import timezone
from django.utils.translation import gettext as _

from backups.destinations.base import Role
from backups.engines.base import Gone
from backups.models import Copy, Part, Plan, Set, Source
from backups.recovery import aftermath, identities
from backups.recovery.recovering import Recovering
from backups.storage import companions, details, layout, publish, signing
from backups.storage.readback import ReadableCopy
from backups.takes import chains, take
from backups.takes.tables import Chosen
from backups.takes.taking import Taking
from backups.witness import Witness
from drcenter.errors import OperationFailed


@dataclass(frozen=True)
class Safety:
    """A whole set of what was there before, and what opens it."""

    set: Set
    readable: ReadableCopy
    parts: list[Part]
    # Source name -> what the set's details say of it.
    sources: Mapping[str, Mapping[str, Any]]

    def holds(self, source: Source) -> bool:
        return source.name in self.sources

    def witness(self, source: Source) -> Witness:
        return Witness.from_json(self.sources[source.name]["witness"])


def plan_for(recovering: Recovering) -> Plan | None:
    """The plan that says where a safety set is kept; None: there is none any more."""
    return recovering.set.plan or recovering.set.system.plans.first()


def save(recovering: Recovering) -> Safety | None:
    """Take the safety set of what is about to be overwritten; its ephemeral identity stays in memory.

    None where none is wanted, or nothing is left of any source. Raises what made it fail.
    """
    context = recovering.context
    if recovering.recovery.skip_safety:
        context.log(_("Without a safety backup, as asked for: there is no way back."), "warning")
        return None
    found = [_what_is_there(recovering, source) for source, _parts in recovering.sources()]
    sources = [one for one in found if one is not None]
    if not sources:
        context.log(_("Nothing is left of any source: there is no safety set to go back to."), "warning")
        return None
    taking = Taking(context, _row(recovering))
    with recovering.step(_("safety backup"), str(taking.set), key="safety"):
        try:
            take.store_set(taking, sources)
        except BaseException as error:
            aftermath.fail(taking, error)
            raise
    return Safety(taking.set, taking.readable, taking.parts, taking.sources)


def saved_before(recovering: Recovering) -> Safety | None:
    """The safety set of an earlier attempt, opened with the identities at hand; None where there is none.

    The key that the attempt held is gone with it. Raises OperationFailed when no identity opens the set, or when no copy of
    it is whole.
    """
    one = recovering.recovery.safety_set
    if one is None or one.state != Set.State.COMPLETE:
        return None
    identities.needed(one.recipients if one.encrypted else [], recovering.identities)
    copy = one.copies.filter(state=Copy.State.COMPLETE).select_related("destination").first()
    if copy is None:
        raise OperationFailed(_("No copy of the safety set %(set)s is whole.") % {"set": one}, permanent=True)
    found = recovering.identities if one.encrypted else []
    readable = ReadableCopy(copy.destination.build(Role.READ), one.prefix, found)
    with recovering.step(_("open the safety set"), str(one)):
        companions.check_there(readable, one, recovering.warn)
        digest = companions.check_digests(readable, one, recovering.warn)
        content = details.read(readable, encrypted=one.encrypted, stored_sha256=digest)
        content = chains.whole(readable, one, content)
    return Safety(one, readable, list(one.parts.all()), content["sources"])


def _what_is_there(recovering: Recovering, source: Source) -> Chosen | None:
    """What is to be saved of it before it is overwritten: as much as the set holds of it. None: nothing is left.

    What else is wrong is told by the safety backup.
    """
    held = recovering.tables(source)
    place = recovering.narrowed(source, source.build())
    try:
        if not held:
            place.inspect()
            return Chosen(source, ())
        there = place.only(()).tables()
        if left := [table for table in held if table in there]:
            return Chosen(source, left, len(there))
        _nothing_left(recovering, source, ", ".join(held))
    except Gone as error:
        _nothing_left(recovering, source, error.message)
    except OperationFailed:
        return Chosen(source, held)
    return None


def _nothing_left(recovering: Recovering, source: Source, why: str) -> None:
    note = _("%(source)s: NOTHING IS LEFT OF IT, so nothing of it is saved. %(error)s") % {
        "source": source.name, "error": why}  # fmt: skip
    with recovering.step(_("nothing to save"), note):
        return


def _row(recovering: Recovering) -> Set:
    plan = plan_for(recovering)
    one = Set.objects.create(
        system=recovering.set.system, plan=plan, reason=Set.Reason.SAFETY, state=Set.State.RUNNING, attempt=1,
        identifier=layout.new_identifier(timezone.now(), 1, signing.mark(publish.signing_key().fingerprint)),
        started_at=timezone.now(),
        job=recovering.context.job, encrypted=plan is None or plan.encrypt,
    )  # fmt: skip
    recovering.mine().update(safety_set=one)
    recovering.recovery.safety_set = one
    return one
