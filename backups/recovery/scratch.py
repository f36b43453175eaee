"""A source of a set, restored into a scratch place: for proofs, drills, comparisons of rows, replays.

Everything that works on a scratch copy of production's data gets it here, so that it is confined and swept alike.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyrage
from django.conf import settings
from django.utils.translation import gettext as _

from backups import engines
from backups.destinations.base import Role
from backups.engines.base import Engine, NoScratch
from backups.leftovers import held_directory
from backups.models import Copy, Part
from backups.recovery import identities as people
from backups.recovery.placing import place_source
from backups.storage import companions, details
from backups.storage.readback import ReadableCopy
from backups.takes import chains
from backups.witness import Witness
from drcenter.errors import OperationFailed
from drcenter.jobs.context import JobContext


@dataclass(frozen=True)
class Opened:
    """A copy that can be read: its details were checked against what was published, and decrypted."""

    copy: Copy
    readable: ReadableCopy
    details: Mapping[str, Any]

    def detail(self, source: str) -> Mapping[str, Any]:
        """What the set says of `source`: engine, options, facts, witness. Raises OperationFailed for a stranger."""
        found: Mapping[str, Any] | None = self.details.get("sources", {}).get(source)
        if found is None:
            known = ", ".join(self.details.get("sources", {}))
            raise OperationFailed(
                _("The set has no source %(name)s. It has: %(known)s") % {"name": source, "known": known},
                permanent=True,
            )
        return found

    def parts(self, source: str) -> list[Part]:
        """The parts of `source`, in the order of restore."""
        return list(self.copy.set.parts.filter(source_name=source).order_by("order"))


def opened(copy: Copy, identities: Sequence[pyrage.x25519.Identity]) -> Opened:
    """Open a copy. Raises OperationFailed when no identity fits, Damaged when it is not what was published."""
    one = copy.set
    if copy.state != Copy.State.COMPLETE:
        raise OperationFailed(
            _("This copy is not complete, or is damaged. Choose another one."), permanent=True
        )
    people.needed(one.recipients if one.encrypted else [], identities)
    readable = ReadableCopy(
        copy.destination.build(Role.READ), one.prefix, list(identities) if one.encrypted else []
    )
    digest = companions.check_digests(readable, one)
    content = details.read(readable, encrypted=one.encrypted, stored_sha256=digest)
    return Opened(copy, readable, chains.whole(readable, one, content))


@contextmanager
def restored_scratch(context: JobContext, copy: Opened, source: str) -> Iterator[Engine]:
    """A scratch place that holds what the set holds of `source`; it is gone when the context ends.

    The engine is that of the set, with the options it was taken with, not those of today. Raises NoScratch when
    there is no fitting place on this machine, other OperationFailed when it does not restore.
    """
    detail = copy.detail(source)
    engine = engines.build(detail["engine"], detail["options"])
    with scratch_place(engine, detail["facts"]) as place:
        first = Witness.from_json(detail.get("first", detail["witness"]))
        place_source(context, copy.readable, copy.parts(source), place, first)
        yield place


@contextmanager
def scratch_place(engine: Engine, facts: Mapping[str, Any]) -> Iterator[Engine]:
    """A scratch place that is ready and empty. Raises NoScratch when it cannot be had: that says nothing of a set.

    Its directory is swept when this process is killed (backups/leftovers.py).
    """
    with ExitStack() as stack:
        workspace = stack.enter_context(held_directory(Path(settings.STATE_DIR) / "scratch", "proof-"))
        try:
            place = stack.enter_context(engine.scratch(workspace, facts))
            place.prepare(overwrite=False)
        except NoScratch:
            raise
        except OperationFailed as error:
            raise NoScratch(
                f"No scratch place: {error.message}", error.hint, permanent=error.permanent
            ) from error
        yield place
