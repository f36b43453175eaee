"""Going on with an upload in parts that was interrupted, when the same bytes can be given again.

The stream is read from its first byte, so that its digests are those of the whole; a part that the store has already,
in the same size and with the same checksum, is not sent again.
"""

import hashlib
from typing import Any

from backups.destinations import _s3_upload as upload
from backups.destinations._s3_errors import StoreFailed, explained
from backups.destinations._s3_upload import Place
from backups.destinations.base import Reader, Stored
from drcenter.errors import OperationFailed


def replayed(place: Place, name: str, stream: Reader, first: int) -> Stored:
    """Store all of `stream`, going on with the newest unfinished upload of `name` where there is one.

    What fails for good leaves nothing; after any other end the parts that were sent stay, for the next try or a sweep.
    """
    body = upload.filled(stream, bytearray(first))
    if len(body) < first:
        return upload.whole(place, name, body)
    parts = _Resumed(place, name)
    try:
        parts.begin()
        parts.send_all(body, stream)
        return upload.sent(place, name, parts.complete, parts.wanted())
    except OperationFailed as error:
        if error.permanent:
            parts.give_up()
        raise


class _Resumed(upload.Parts):
    """An upload in parts, some of which may be there from an earlier try."""

    def __init__(self, place: Place, name: str) -> None:
        super().__init__(place, name)
        self._known: dict[int, dict[str, Any]] = {}

    def begin(self) -> None:
        begun = [one for one in upload.uploads(self._place, self._name) if one["Key"] == self._name]
        if not begun:
            super().begin()
            return
        self._upload = str(max(begun, key=lambda one: one["Initiated"])["UploadId"])
        try:
            self._known = {int(part["PartNumber"]): part for part in self._listed()}
        except StoreFailed:
            # Another writer has ended it meanwhile, or these credentials may not list parts.
            super().begin()

    def _listed(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        marker: dict[str, int] = {}
        while True:
            with explained(f"The parts of {self._name} cannot be listed"):
                page = self._place.client.list_parts(**self._target, **marker)
            found += page.get("Parts", [])
            if not page.get("IsTruncated"):
                return found
            marker = {"PartNumberMarker": int(page["NextPartNumberMarker"])}

    def _send(self, number: int, body: bytearray) -> dict[str, Any]:
        known, checksum = self._known.get(number), self._place.checksum(body)
        if known is None or int(known["Size"]) != len(body) or not _same(known, checksum, body):
            return super()._send(number, body)
        return self._there(number, len(body), checksum, str(known["ETag"]))


def _same(known: dict[str, Any], checksum: dict[str, str], body: bytearray) -> bool:
    """By SHA-256 where the store tells it, else by the MD5 that the ETag of a part is; where it is none, the part is
    sent again. Whoever wants more than this reads the whole back."""
    if "ChecksumSHA256" in checksum and "ChecksumSHA256" in known:
        return bool(known["ChecksumSHA256"] == checksum["ChecksumSHA256"])
    return bool(str(known["ETag"]).strip('"') == hashlib.md5(body, usedforsecurity=False).hexdigest())
