"""Replays a log of statements (MariaDB's binary log) onto a scratch place."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from django.utils.translation import gettext as _

from backups.engines.base import Engine, StatementLog
from backups.logs.chain import Position
from backups.pipe.stream import BLOCK
from backups.recovery.placing import end_well
from backups.replay import pieces
from backups.replay.pieces import Piece
from drcenter.errors import OperationFailed
from drcenter.jobs.context import JobContext
from drcenter.pipes import write_all
from drcenter.process import DEVNULL, PIPE, Child, start


@dataclass(frozen=True)
class Replayed:
    """What was replayed: whole transactions up to `reached`. `newest`: Unix time at which the newest of them began,
    `left_out`: statements on accounts."""

    transactions: int
    reached: Position
    newest: int | None
    last_gtid: str
    left_out: int


def replay(  # noqa: PLR0913 - all are told apart by their types
    context: JobContext,
    place: Engine,
    files: Sequence[Path],
    begin: Position,
    stop: Position,
    *,
    whole: bool = False,
) -> Replayed:
    """Everything from `begin` up to `stop`, in the order of commit. `whole`: of every database, onto a place that holds the whole server.

    Raises OperationFailed; the place is of no use then.
    """
    log = place.statement_log()
    if log is None:
        raise OperationFailed(_("Onto this kind of source no log can be replayed."), permanent=True)
    if whole:
        log.database = None
    context.phase(_("reading the log"), f"{begin} – {stop}")
    way = pieces.cut(files, begin, stop, log.database)
    if way.pieces:
        log.begin(frozenset().union(*(piece.uses for piece in way.pieces)))
        context.phase(_("replaying"), f"{begin} – {way.reached}", sum(_size(piece) for piece in way.pieces))
        _pour(context, log, way.pieces)
    return Replayed(way.transactions, way.reached or begin, way.newest, way.last_gtid, way.accounts)


def _size(piece: Piece) -> int:
    return sum(file.stat().st_size for file in piece.files[:-1]) + piece.stop - piece.start


def _pour(context: JobContext, log: StatementLog, way: Sequence[Piece]) -> None:
    """One client takes all pieces one after the other: what a session sets in one of them is there in the next."""
    with start(log.client(), stdin=PIPE, stdout=DEVNULL, children=context.children) as client:
        for piece in way:
            _pour_piece(context, log, piece, client)
            context.advance(_size(piece))
        client.stdin.close()
        end_well(client)
    context.check()


def _pour_piece(context: JobContext, log: StatementLog, piece: Piece, client: Child) -> None:
    """Raises what the client says, when it stopped reading; else what the tool says that reads the log."""
    command = log.printed([str(file) for file in piece.files], piece.start, piece.stop, whole=piece.whole)
    with start(command, children=context.children) as printer:
        try:
            for block in iter(lambda: printer.stdout.read(BLOCK), b""):
                write_all(client.stdin, block)
                context.check()
        except BrokenPipeError:
            context.check()
            end_well(client)
            raise OperationFailed(f"{client.command.tool} stopped reading before the end.") from None
        # Asked before the client sees another byte: what was printed may end in the middle.
        printer.wait_good()
