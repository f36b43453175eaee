"""Parts that are the same as in an earlier set are stored once, where the plan wants that.

Whether a dump is the same is known when it was read to its end: it is stored, compared by the digest of its plain
bytes, and removed again when an intact set of the plan has it, to whose object this set refers then. So room is saved,
neither time nor transfer. Where nothing may be deleted, the part stays, and the set is complete in itself.
"""

import hashlib
import json
from collections.abc import Iterator

from django.utils.translation import gettext as _

from backups.destinations.base import Destination
from backups.engines.base import NeedsFull
from backups.models import Copy, Level, Part, Set, Source
from backups.models.level import at_least
from backups.pipe.decode import Damaged
from backups.pipe.stream import StoredPart
from backups.storage import readback
from backups.storage.references import owner_of
from backups.takes import increments
from backups.takes.taking import Taking
from backups.witness import Witness
from drcenter.errors import OperationFailed


def shared(taking: Taking, source: Source, name: str, stored: StoredPart) -> Part | None:
    """The part of an earlier set that has the same plain bytes as the one called `name`; None: there is none.

    It lies where this set is written, was read back there, is encrypted for the same keys, and is there now.
    """
    if not taking.plan.store_once or taking.set.reason in Set.ASIDE or source.name in taking.bases:
        return None
    for part in _candidates(taking, source, name, stored):
        try:
            increments.refuse_missing(taking, _owners(part))
            readback.check_stored(taking.readable_of(part.set), part)
        except (NeedsFull, Damaged):
            continue
        return part
    return None


def _candidates(taking: Taking, source: Source, name: str, stored: StoredPart) -> Iterator[Part]:
    same = Part.objects.filter(
        source_name=source.name, engine=source.engine, name=name, plain_blake3=stored.plain_blake3,
        plain_size=stored.plain_size, set__system=taking.set.system, set__plan=taking.plan,
        set__state=Set.State.COMPLETE, set__encrypted=taking.set.encrypted,
        set__copies__destination=taking.copy_row.destination, set__copies__state=Copy.State.COMPLETE,
    )  # fmt: skip
    for part in same.select_related("set__system").order_by("-set__started_at"):
        if sorted(part.set.recipients) == sorted(taking.recipients) and at_least(
            part.set.level, Level.INTACT
        ):
            yield part


def _owners(part: Part) -> list[Set]:
    """The sets without which the part is not to be had."""
    owner = owner_of(part.key)
    return [part.set, *Set.objects.complete().filter(system=part.set.system, identifier=owner)]


def forget(taking: Taking, destination: Destination, key: str) -> bool:
    """Remove the object that was stored just now; False where that is not allowed."""
    try:
        destination.delete(taking.set.prefix + key)
    except OperationFailed as error:
        taking.log(_("%(key)s stays, though an earlier set has the same: %(error)s") % {"key": key, "error": error},
                   "warning")  # fmt: skip
        return False
    return True


def digest(witness: Witness) -> str:
    """Equal for sources that held the same."""
    return hashlib.sha256(json.dumps(witness.as_json(), sort_keys=True).encode()).hexdigest()
