"""Reading an object from an S3 store, in constant memory, through broken connections."""

import io
from collections.abc import Callable
from typing import Any

from backups.destinations import _retry
from backups.destinations._s3_errors import StoreFailed, unanswered
from drcenter.errors import OperationFailed

# get(start, etag): the store's answer from byte `start` on; an etag refuses another object.
Get = Callable[[int, str], Any]
DROPS = 20


class ResumingReader(io.RawIOBase):
    """The bytes of one object. A connection that breaks is opened again where it broke, for the same etag.

    Raises OperationFailed when the object was replaced meanwhile, ends early, or breaks too often.
    """

    def __init__(self, name: str, get: Get, start: int, length: int | None) -> None:
        super().__init__()
        self._name = name
        self._get = get
        self._position = start
        answer = get(start, "")
        self._etag: str = answer["ETag"]
        self._body = answer["Body"]
        self._end = start + int(answer["ContentLength"])
        if length is not None:
            self._end = min(self._end, start + length)
        self._drops = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        wanted = min(len(buffer), self._end - self._position)
        if wanted <= 0:
            return 0
        block = _retry.retried(lambda: self._read(wanted))
        buffer[: len(block)] = block
        self._position += len(block)
        return len(block)

    def _read(self, wanted: int) -> bytes:
        from botocore.exceptions import BotoCoreError
        from urllib3.exceptions import HTTPError

        if self._body is None:
            self._body = self._get(self._position, self._etag)["Body"]
        try:
            block: bytes = self._body.read(wanted)
        except (BotoCoreError, HTTPError, OSError) as error:
            cause = error if isinstance(error, BotoCoreError) else ConnectionError()
            raise self._dropped(unanswered(f"{self._name} cannot be read on", cause)) from None
        if not block:
            raise self._dropped(
                StoreFailed(f"{self._name} ends too early at byte {self._position}.", "", permanent=False)
            )
        return block

    def _dropped(self, error: OperationFailed) -> OperationFailed:
        """Forget the connection; after too many drops in one object the error is final."""
        self._close_body()
        self._drops += 1
        error.permanent = self._drops > DROPS
        return error

    def _close_body(self) -> None:
        if self._body is not None:
            self._body.close()
            self._body = None

    def close(self) -> None:
        self._close_body()
        super().close()
