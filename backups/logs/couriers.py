"""The couriers of one stream: one for each destination that its plan has now."""

import time

from backups.logs.courier import Courier
from backups.logs.spool import Spool
from backups.models import LogPlace, LogStream


class Couriers:
    def __init__(self, pk: int, spool: Spool) -> None:
        self._pk, self._spool = pk, spool
        self._threads: dict[int, Courier] = {}

    def start(self) -> None:
        """One for each destination; those that the plan has not any more end."""
        stream = LogStream.objects.select_related("plan").get(pk=self._pk)
        wanted = {place.pk: place for place in places(stream)}
        for pk in self._threads.keys() - wanted.keys():
            self._threads.pop(pk).end(0)
        for pk, place in wanted.items():
            if pk not in self._threads:
                self._threads[pk] = Courier(place, self._spool)
                self._threads[pk].start()

    def wake(self) -> None:
        for one in self._threads.values():
            one.wake()

    def end(self, wait: float) -> None:
        """What is not brought within `wait` seconds stays in the spool."""
        until = time.monotonic() + wait
        while time.monotonic() < until and any(one.busy for one in self._threads.values()):
            time.sleep(0.05)
        for one in self._threads.values():
            one.end(max(0.0, until - time.monotonic()))

    def through(self) -> int:
        """Everything up to this number is at every destination."""
        return min(LogPlace.objects.filter(pk__in=self._threads).values_list("through", flat=True), default=0)

    def tidy(self, most: int) -> None:
        """Forget what is at all destinations; with more than half of `most` bytes, what is at one: the others get it
        from there."""
        through = list(LogPlace.objects.filter(pk__in=self._threads).values_list("through", flat=True))
        if not through:
            return
        enough = max(through) if self._spool.size() > most // 2 else min(through)
        for number in self._spool.numbers():
            if number <= enough:
                self._spool.forget(number)


def places(stream: LogStream) -> list[LogPlace]:
    """Its destinations. One that comes later gets what is stored from then on."""
    newest = stream.newest()
    since = newest.last + 1 if newest else 1
    found = []
    for destination in stream.plan.destinations.filter(enabled=True).order_by("name"):
        fresh = {"since": since, "through": since - 1}
        place, _new = LogPlace.objects.select_related("destination").get_or_create(
            fresh, stream=stream, destination=destination
        )
        found.append(place)
    return found
