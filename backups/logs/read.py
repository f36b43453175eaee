"""The way back: which segments there are, and log files put together from them again."""

from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path

import pyrage
from django.utils.translation import gettext as _

from backups.destinations.base import Destination as DestinationPlugin
from backups.destinations.base import Role
from backups.engines._log_source import DamagedLog, LogSource, Received
from backups.logs import chain
from backups.logs.chain import Segment
from backups.models import LogPlace, LogStream
from backups.pipe.decode import BLOCK, Damaged, WrongIdentity, opened
from drcenter.errors import OperationFailed

# Of a log that is checked, at a time.
CHECKED = 64 << 20


class SegmentLost(OperationFailed):
    """No destination has `segment` as it was stored, and nothing behind it can be reached."""

    def __init__(self, segment: Segment, error: OperationFailed) -> None:
        super().__init__(
            _("The segment %(number)d of the log (%(log)s, bytes %(begin)d to %(end)d) cannot be read: %(why)s")
            % {
                "number": segment.number, "log": segment.log, "begin": segment.begin, "end": segment.end,
                "why": error.message,
            },
            error.hint,
            permanent=error.permanent,
        )  # fmt: skip
        self.segment = segment


def segments(stream: LogStream, place: LogPlace | None = None) -> list[Segment]:
    """What is stored, in order; at `place` alone if given. Holes are in it: backups.logs.chain finds them."""
    rows = stream.segments.select_related("incarnation").order_by("number")
    through = max(stream.places.values_list("through", flat=True), default=0)
    since = 0
    if place is not None:
        since, through = place.since, place.through
    return chain.line(one.segment for one in rows.filter(last__lte=through, number__gte=since))


def fetch(
    stream: LogStream, way: Sequence[Segment], directory: Path, identities: Sequence[pyrage.x25519.Identity],
    advance: Callable[[int], None] = lambda count: None,
) -> list[Path]:  # fmt: skip
    """The log files of `way` (of one incarnation, without a hole: `Reach.segments`), in order, in `directory`.

    The first of them is whole from its beginning. Every stored digest, every plain one, the chain, and the engine's
    own checksums are checked. `advance` hears of the plain bytes. Raises OperationFailed: SegmentLost when no destination
    has a good copy of a segment, Damaged for a log file that is not whole, WrongIdentity.
    """
    needed = chain.from_the_beginning(segments(stream), way)
    for one, other in pairwise(needed):
        if not chain.follows(one, other):
            raise Damaged(
                _("%(one)s and %(other)s do not fit together.") % {"one": one.key, "other": other.key}
            )
    if needed and needed[0].begin:
        raise OperationFailed(
            _("The beginning of %(log)s is not in the archive any more.") % {"log": needed[0].log},
            _("Choose a newer set as the base."),
            permanent=True,
        )
    shelf = _Shelf(stream, identities, advance)
    found: list[Path] = []
    for one in needed:
        path = directory / one.log
        if not found or found[-1] != path:
            found.append(path)
        shelf.append(one, path)
    source = stream.source.build().logs("read")
    for path in found:
        _check(path, source)
    return found


class _Shelf:
    """Takes segments from whichever destination has a good copy; one that failed is asked last from then on."""

    def __init__(
        self, stream: LogStream, identities: Sequence[pyrage.x25519.Identity], advance: Callable[[int], None]
    ) -> None:
        self._identities, self._advance = identities, advance
        self._places = list(stream.places.select_related("destination").order_by("destination__name"))
        self._plugins: dict[int, DestinationPlugin] = {}
        self._digests = dict(stream.segments.values_list("key", "plain_blake3"))

    def append(self, one: Segment, path: Path) -> None:
        """Write it at the end of the file. Raises SegmentLost when no destination has it whole."""
        failure: OperationFailed | None = None
        for place in list(self._places):
            if not place.since <= one.number <= one.last <= place.through:
                continue
            try:
                self._take(place, one, path)
            except WrongIdentity:
                raise
            except OperationFailed as error:
                failure = failure or error
                self._places.remove(place)
                self._places.append(place)
            else:
                return
        missing = OperationFailed(_("No destination has %(segment)s.") % {"segment": one.key}, permanent=True)
        raise SegmentLost(one, failure or missing)

    def _take(self, place: LogPlace, one: Segment, path: Path) -> None:
        if place.pk not in self._plugins:
            self._plugins[place.pk] = place.destination.build(Role.READ)
        source = self._plugins[place.pk].open(one.key)
        keys = self._identities if one.key.endswith(".age") else []
        if one.key.endswith(".age") and not keys:
            source.close()
            raise WrongIdentity(
                _("The segments are encrypted, and no identity was given."),
                _("Bring the recovery identity: it is in the recovery kit."),
                permanent=True,
            )
        with path.open("ab") as file:
            try:
                with opened(source, keys, advance=self._advance) as plain:
                    while block := plain.read(BLOCK):
                        file.write(block)
                    plain.finish()
                self._require_same(one, plain.stored_sha256, plain.plain_blake3, plain.plain_size)
            except BaseException:
                file.truncate(one.begin)
                raise
            finally:
                source.close()

    def _require_same(self, one: Segment, stored_sha256: str, plain_blake3: str, size: int) -> None:
        known = self._digests.get(one.key, "")
        if stored_sha256 != one.digest or size != one.end - one.begin or known not in ("", plain_blake3):
            raise Damaged(_("%(segment)s is not what was stored.") % {"segment": one.key})


def _check(path: Path, source: LogSource | None) -> None:
    """Every record of the log is whole, by the engine's own checksums."""
    if source is None:
        return
    file, at = Received(path.name, path, path.stat().st_size, final=True), 0
    try:
        while at < file.size and (cut := source.cut(file, at, CHECKED)) is not None:
            at = cut.end
    except DamagedLog as error:
        raise Damaged(error.message) from error
    if at < file.size:
        raise Damaged(_("%(log)s ends in the middle of something.") % {"log": path.name})
