"""A real HTTP server in front of Azurite that adds immutability policies, which Azurite does not know.

As Microsoft documents them (Set Blob Immutability Policy; x-ms-immutability-policy-* of Get Blob Properties; 409
BlobImmutableDueToPolicy of Delete Blob): it shows that what we send and read is what is documented, not that Azure keeps it.
"""

from datetime import datetime
from email.utils import parsedate_to_datetime
from http.server import BaseHTTPRequestHandler
from urllib.parse import urlsplit

from tests.backups.destinations.faulty_s3 import FaultyServer, _Handler

UNTIL, MODE = "x-ms-immutability-policy-until-date", "x-ms-immutability-policy-mode"


class LockingAzure(FaultyServer):
    """`forgets`: takes the order without an error, and does nothing."""

    def __init__(self, backend: int, *, forgets: bool = False) -> None:
        self.policies: dict[str, tuple[str, str]] = {}
        self.forgets = forgets
        super().__init__(backend)

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        server = self

        class Handler(_LockingHandler):
            choose = staticmethod(server.choose)
            backend = server.backend
            locking = server

        return Handler


class _LockingHandler(_Handler):
    locking: LockingAzure

    def _answer_policy(self) -> None:
        path, given = urlsplit(self.path).path, (self.headers[UNTIL], self.headers[MODE].capitalize())
        old = self.locking.policies.get(path)
        if old and old[1] == "Locked" and (_date(given[0]) < _date(old[0]) or given[1] != "Locked"):
            return self._refuse_with(409, "BlobImmutableDueToPolicy")
        if not self.locking.forgets:
            self.locking.policies[path] = given
        return self._send(200, [(UNTIL, given[0]), (MODE, given[1].lower()), ("Content-Length", "0")], b"")

    def _refuse_with(self, status: int, code: str) -> None:
        self._send(status, [("x-ms-error-code", code), ("Content-Length", "0")], b"")

    def _serve(self) -> None:
        path = urlsplit(self.path).path
        if self.command == "PUT" and "comp=immutabilityPolicies" in self.path:
            return self._answer_policy()
        if self.command == "DELETE" and path in self.locking.policies:
            return self._refuse_with(409, "BlobImmutableDueToPolicy")
        return super()._serve()

    do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = _serve

    def _forwarded(self, body: bytes) -> tuple[int, list[tuple[str, str]], bytes]:
        status, headers, content = super()._forwarded(body)
        policy = self.locking.policies.get(urlsplit(self.path).path)
        if self.command in ("HEAD", "GET") and policy:
            headers = [*headers, (UNTIL, policy[0]), (MODE, policy[1])]
        return status, headers, content


def _date(text: str) -> datetime:
    return parsedate_to_datetime(text)
