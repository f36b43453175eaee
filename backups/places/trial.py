"""Does with a destination what production does, in small, and says of every step how long it took and how it went."""

import hashlib
import io
import queue
import secrets
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from django.utils.translation import gettext as _

from backups.destinations.base import Destination, NotThere, Stored
from drcenter.errors import OperationFailed
from drcenter.secrets import redact

# Of all steps together.
DEADLINE_SECONDS = 120.0
# As short as stores take it, and long enough for clocks that differ.
LOCKED_FOR = timedelta(minutes=5)
SMALL = 1024
# One byte more than the smallest part that S3 takes.
LARGE = (5 << 20) + 1


@dataclass(frozen=True)
class Step:
    """`message` is what is worth knowing, or the sentence about what failed; `hint` what to do."""

    name: str
    ok: bool
    seconds: float
    message: str = ""
    hint: str = ""
    permanent: bool = False


class Trial:
    """One try of `store`. What `pruner` may delete is deleted again; with `locks` one locked object stays for minutes."""

    def __init__(self, store: Destination, pruner: Destination, *, locks: bool) -> None:
        self._store, self._pruner, self._locks = store, pruner, locks
        self._folder = f"canary/test-{secrets.token_hex(6)}/"
        self._digests: dict[str, bytes] = {}
        self._locked: Stored | None = None

    def steps(self) -> Iterator[Step]:
        """Each step when it ended. The first failure is the last one but for the clean-up."""
        acts: list[tuple[str, Callable[[], str]]] = [
            (_("reach it and list"), self._reach),
            (_("put in one piece"), lambda: self._put("whole", SMALL, self._store.put)),
            (_("put in parts"), lambda: self._put("parts", LARGE, self._store.put_in_parts)),
            (_("read back"), self._read_back),
            (_("list what was stored"), self._list),
        ]
        if self._locks:
            acts += [(_("lock"), self._lock), (_("be refused to delete"), self._be_refused)]
        for name, act in acts:
            step = _timed(name, act)
            yield step
            if not step.ok:
                break
        if step.name != acts[0][0]:
            yield _timed(_("clean up"), self._clean_up)

    def _reach(self) -> str:
        next(iter(self._store.list(self._folder)), None)
        return self._store.target

    def _put(self, name: str, size: int, put: Callable[[str, io.BytesIO], Stored]) -> str:
        content = secrets.token_bytes(size)
        self._digests[name] = hashlib.sha256(content).digest()
        stored = put(self._folder + name, io.BytesIO(content))
        if stored.size != size:
            raise OperationFailed(
                _("%(stored)d bytes of %(size)d were stored.") % {"stored": stored.size, "size": size}
            )
        return stored.checksum

    def _read_back(self) -> str:
        for name, digest in self._digests.items():
            with self._store.open(self._folder + name) as stream:
                content = stream.read()
            with self._store.open(self._folder + name, 10, 20) as stream:
                part = stream.read()
            if hashlib.sha256(content).digest() != digest or part != content[10:30]:
                raise OperationFailed(
                    _("%(target)s does not give back what was stored.") % {"target": self._store.target},
                    _("Look at its disk, at its log, and for a faulty proxy."),
                    permanent=True,
                )
        return ""

    def _list(self) -> str:
        found = [one.key for one in self._store.list(self._folder)]
        if found != sorted(self._folder + name for name in self._digests):
            raise OperationFailed(
                _("%(target)s does not list what was stored.") % {"target": self._store.target},
                permanent=True,
            )
        return ""

    def _lock(self) -> str:
        key = f"{self._folder}locked"
        self._store.put(key, io.BytesIO(b"This is locked for some minutes, and may be deleted afterwards."))
        until = (datetime.now(UTC) + LOCKED_FOR).replace(microsecond=0)
        self._locked = self._store.lock(key, until)
        ends = self._locked.locked_until or until
        return _("%(mode)s until %(day)s") % {
            "mode": self._locked.lock_mode,
            "day": f"{ends:%Y-%m-%d %H:%M:%SZ}",
        }

    def _be_refused(self) -> str:
        locked = self._locked
        if locked is None:
            return ""
        reason = ""
        try:
            self._pruner.delete_version(locked.key, locked.version)
        except OperationFailed as error:
            reason = redact(error.message)
        if locked.version in [one.version for one in self._store.list_versions(locked.key)]:
            return reason
        raise OperationFailed(
            _("A locked object could be deleted: the locks of this destination do not hold."),
            _("Nothing there is safe from deletion. Ask the store's operator; look at the lock mode."),
            permanent=True,
        )

    def _clean_up(self) -> str:
        """Every version of what was put goes. Without locks that shows that deleting works, too."""
        kept = self._locked.key if self._locked else ""
        for one in [*self._pruner.list_versions(self._folder)]:
            if one.key != kept:
                self._pruner.delete_version(one.key, one.version)
        self._pruner.abort(self._folder)
        left = [one.key for one in self._store.list(self._folder) if one.key != kept]
        if left:
            raise OperationFailed(
                _("%(target)s does not delete: %(key)s is still there.")
                % {"target": self._store.target, "key": left[0]},
                _("Check the rights of whoever prunes."),
                permanent=True,
            )
        return _("%(key)s stays until its lock has ended.") % {"key": kept} if kept else ""


def _timed(name: str, act: Callable[[], str]) -> Step:
    began = time.monotonic()
    try:
        message = act()
    except NotThere as error:
        sentence = _("%(message)s It was stored a moment ago.") % {"message": redact(error.message)}
        return Step(name, False, time.monotonic() - began, sentence, redact(error.hint))
    except OperationFailed as error:
        seconds = time.monotonic() - began
        return Step(name, False, seconds, redact(error.message), redact(error.hint), error.permanent)
    return Step(name, True, time.monotonic() - began, message)


def within(steps: Iterator[Step], seconds: float) -> Iterator[Step]:
    """The steps, as long as there is time; then one that says so. What hangs is left to its own time-outs."""
    done: queue.SimpleQueue[Step | BaseException | None] = queue.SimpleQueue()

    def work() -> None:
        try:
            for step in steps:
                done.put(step)
            done.put(None)
        except BaseException as error:  # noqa: BLE001 - raised again where the steps are waited for
            done.put(error)

    threading.Thread(target=work, name="trial", daemon=True).start()
    ends = time.monotonic() + seconds
    while True:
        try:
            found = done.get(timeout=max(0.0, ends - time.monotonic()))
        except queue.Empty:
            hint = _(
                "The store is too slow, or something on the way swallows what is sent: network, firewall, proxy."
            )
            yield Step(_("end in time"), False, seconds, _("It did not end within %(seconds)d s.") % {"seconds": seconds}, hint)  # fmt: skip
            return
        if found is None:
            return
        if isinstance(found, BaseException):
            raise found
        yield found


def check(store: Destination) -> None:
    """All steps but the locks. Raises OperationFailed with what the first one says that fails."""
    for step in Trial(store, store, locks=False).steps():
        if not step.ok:
            raise OperationFailed(step.message, step.hint, permanent=step.permanent)


def failure(steps: list[Step]) -> OperationFailed | None:
    """What went wrong first."""
    for step in steps:
        if not step.ok:
            return OperationFailed(f"{step.name}: {step.message}", step.hint, permanent=step.permanent)
    return None
