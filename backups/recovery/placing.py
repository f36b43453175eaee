"""Puts the parts of one source into a place: a scratch server, a new database, or production."""

from collections.abc import Iterable, Sequence

from django.utils.translation import gettext as _

from backups.engines.base import Engine
from backups.models import Part
from backups.pipe.decode import BLOCK, Damaged, Decoder
from backups.storage.readback import ReadableCopy
from backups.witness import Witness
from drcenter.errors import OperationFailed
from drcenter.jobs.context import JobContext
from drcenter.pipes import write_all
from drcenter.process import DEVNULL, PIPE, Child, Command, start

LOCKED = (
    "Other sessions use these tables: stop queue workers, cron jobs and open clients, or end their sessions on"
    " the server, then try again."
)
# What tools say -> what to do about it.
HINTS = {
    "lock timeout": LOCKED,
    "Lock wait timeout": LOCKED,
    "No space left on device": "Make room where the data are kept; a load that clears first needs space for both.",
    "Disk quota exceeded": "Make room where the data are kept; a load that clears first needs space for both.",
    "gone away": "Look whether the database server runs, and at its log.",
    "server closed the connection": "Look whether the database server runs, and at its log.",
    "Lost connection": "Look whether the database server runs, and at its log.",
}
RIGHTS = (
    "The user of the source lacks a right. MariaDB: GRANT ALL PRIVILEGES on the database to it, and for objects of other"
    " definers GRANT SET USER ON *.* too. PostgreSQL: let it own what is there (GRANT the owner's role to it), and GRANT"
    " CREATE on the database and on the schema."
)
# Trying again does not help.
REFUSED = {
    "permission denied": RIGHTS, "must be owner": RIGHTS, "must be able to SET ROLE": RIGHTS,
    "ERROR 1142": RIGHTS, "ERROR 1044": RIGHTS, "ERROR 1227": RIGHTS, "ERROR 1370": RIGHTS,
    "ERROR 1419": "The server writes a binary log, and lets only SUPER make triggers and functions: SET GLOBAL"
                  " log_bin_trust_function_creators=1 for the restore, or GRANT SUPER ON *.* TO the user. ALL on the"
                  " database is not enough.",
}  # fmt: skip


def place_source(
    context: JobContext, copy: ReadableCopy, parts: Sequence[Part], place: Engine, witness: Witness | None
) -> None:
    """Restore `parts`, in order, into a place that was prepared. Raises OperationFailed; what is half stays."""
    place.expect(witness)
    for part in parts:
        context.phase(_("restoring"), f"{part.source_name}: {part.name}", part.plain_size)
        with copy.plain(part.key, context.advance) as plain:
            _consume(context, place, part, plain)
            plain.finish()
        if (plain.stored_sha256, plain.stored_size) != (part.stored_sha256, part.stored_size):
            raise Damaged(f"{part.key}: the bytes are not those that were stored.")
    place.finish(witness)


def _consume(context: JobContext, place: Engine, part: Part, plain: Decoder) -> None:
    consumer = place.consumer(part.name, part.suffix)
    if isinstance(consumer, Command):
        _feed(context, consumer, plain)
    else:
        consumer(plain)  # type: ignore[arg-type]


def _feed(context: JobContext, command: Command, plain: Decoder) -> None:
    """Pipe the plain bytes into the command. Its own error counts more than the pipe that it broke.

    The pipe is closed only after the whole part was read without an error: a command that loads in one
    transaction sees no end of a damaged part, is killed, and rolls back.
    """
    with start(command, stdin=PIPE, stdout=DEVNULL, children=context.children) as child:
        try:
            for block in command.input(iter(lambda: plain.read(BLOCK), b"")):
                write_all(child.stdin, block)
        except BrokenPipeError:
            end_well(child)
            if not command.stops_early:
                raise OperationFailed(f"{command.tool} stopped reading before the end.") from None
        child.stdin.close()
        end_well(child)
    context.check()


def end_well(child: Child) -> None:
    """Raises OperationFailed unless the command ended well, with what to do where its last words are known."""
    try:
        child.wait_good()
    except OperationFailed as error:
        known = [hint for text, hint in (REFUSED | HINTS).items() if text in error.message]
        refused = any(text in error.message for text in REFUSED)
        raise OperationFailed(
            error.message, next(iter(known), error.hint), permanent=error.permanent or refused
        ) from None


def by_source(parts: Iterable[Part]) -> dict[str, list[Part]]:
    """The parts of each source, both in the order of restore."""
    grouped: dict[str, list[Part]] = {}
    for part in sorted(parts, key=lambda part: part.order):
        grouped.setdefault(part.source_name, []).append(part)
    return grouped
