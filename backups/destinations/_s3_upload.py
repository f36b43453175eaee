"""One object on its way into an S3 store: in one piece, or in parts of which two are in memory.

boto3's own transfer manager is not used: it keeps up to ten parts in memory and cannot tell
whether an answer that was lost meant success.
"""

import base64
import hashlib
import logging
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from backups.destinations import _retry
from backups.destinations._s3_errors import StoreFailed, explained
from backups.destinations.base import Reader, Stored
from drcenter.errors import OperationFailed

logger = logging.getLogger(__name__)

MEBIBYTE = 1 << 20
BLOCK = MEBIBYTE
SMALLEST_PART = 16 * MEBIBYTE
# The protocol's limits: number of parts, and bytes of one part.
MOST_PARTS = 10_000
LARGEST_PART = 5 * 1024 * MEBIBYTE
# An estimate that is right needs no more parts than this; the rest is for estimates that are not.
PLANNED_PARTS = 8_000


def first_part_size(expected: int | None) -> int:
    """Bytes of the first parts of an object of about `expected` bytes, in whole MiB."""
    needed = -(-(expected or 0) // PLANNED_PARTS)
    return min(max(SMALLEST_PART, -(-needed // MEBIBYTE) * MEBIBYTE), LARGEST_PART)


def part_size(number: int, first: int) -> int:
    """Bytes of part `number` (from 1). The last fifth grows, so that twice the estimate still fits.

    With 16 MiB that is 250 GiB for a stream whose size nobody knew, at one 16 MiB buffer until 125 GiB.
    """
    grown = first << sum(number > limit for limit in (8_000, 9_000, 9_500))
    return min(grown, LARGEST_PART)


@dataclass
class Place:
    """Where objects go: a client, a bucket, and how to upload there."""

    client: Any
    bucket: str
    sha256: bool
    arguments: dict[str, str]
    head: Callable[[str], Stored]
    # Arguments of the request that makes the object appear: whether the store refuses to replace one.
    publishing: dict[str, str] = field(default_factory=dict)
    unfinished: set[str] = field(default_factory=set)

    def checksum(self, body: bytes | bytearray) -> dict[str, str]:
        """The arguments that make the store refuse other bytes than these."""
        if self.sha256:
            digest = _base64(hashlib.sha256(body).digest())
            return {"ChecksumAlgorithm": "SHA256", "ChecksumSHA256": digest}
        return {"ContentMD5": _base64(hashlib.md5(body, usedforsecurity=False).digest())}


def _base64(digest: bytes) -> str:
    return base64.b64encode(digest).decode()


def store(place: Place, name: str, stream: Reader, first: int) -> Stored:
    """Store all of `stream` under `name`, in parts of `first` bytes or in one piece if it is smaller.

    When the stream raises or the store fails, nothing appears, no unfinished upload is left as far as
    the store can be reached (`sweep` does the rest), and the exception passes on.
    """
    body = filled(stream, bytearray(first))
    return _in_parts(place, name, body, stream) if len(body) == first else whole(place, name, body)


def filled(stream: Reader, buffer: bytearray) -> bytearray:
    """`buffer`, filled from the stream; cut where the stream ends."""
    position = 0
    with memoryview(buffer) as view:
        while position < len(view):
            block = stream.read(min(BLOCK, len(view) - position))
            if not block:
                break
            view[position : position + len(block)] = block
            position += len(block)
    del buffer[position:]
    return buffer


def whole(place: Place, name: str, body: bytearray) -> Stored:
    arguments = place.arguments | place.publishing | place.checksum(body)

    def send() -> None:
        with explained(f"{name} cannot be stored"):
            place.client.put_object(Bucket=place.bucket, Key=name, Body=body, **arguments)

    digest = hashlib.sha256(body).hexdigest()
    etag = hashlib.md5(body, usedforsecurity=False).hexdigest()
    wanted = Wanted(len(body), (f"sha256:{digest}", f"etag:{etag}"))
    return sent(place, name, send, wanted)


@dataclass(frozen=True)
class Wanted:
    """What the store has to hold in the end: the size, and the checksums that prove it is ours."""

    size: int
    checksums: tuple[str, ...]


def sent(place: Place, name: str, send: Callable[[], None], wanted: Wanted) -> Stored:
    """Send, and look at what the store has then. A lost answer is no failure if the object is there, and ours."""
    try:
        _retry.retried(send, _worth_repeating)
    except StoreFailed:
        found = _look(place, name)
        if found is None or found.size != wanted.size or found.checksum not in wanted.checksums:
            raise
        return found
    found = _retry.retried(lambda: place.head(name))
    foreign = found.checksum.startswith("sha256") and found.checksum not in wanted.checksums
    if found.size == wanted.size and not foreign:
        return found
    _remove(place, found, name)
    raise StoreFailed(
        f"{name} is not as it was sent: {found.size} bytes of {wanted.size}, or another checksum.",
        "Another writer, or a faulty store. Check the destination before trusting it.",
        permanent=False,
    )


def _worth_repeating(error: OperationFailed) -> bool:
    forgotten = isinstance(error, StoreFailed) and error.code == "NoSuchUpload"
    return not error.permanent and not forgotten


def _look(place: Place, name: str) -> Stored | None:
    try:
        return place.head(name)
    except OperationFailed:
        return None


def _remove(place: Place, found: Stored, name: str) -> None:
    version = {"VersionId": found.version} if found.version else {}
    with suppress(OperationFailed), explained(f"{name} cannot be removed"):
        place.client.delete_object(Bucket=place.bucket, Key=name, **version)


def _in_parts(place: Place, name: str, body: bytearray, stream: Reader) -> Stored:
    parts = Parts(place, name)
    place.unfinished.add(name)
    try:
        parts.begin()
        parts.send_all(body, stream)
        stored = sent(place, name, parts.complete, parts.wanted())
    except BaseException:
        parts.give_up()
        raise
    place.unfinished.discard(name)
    return stored


class Parts:
    """A multipart upload: one part is sent by a thread while the next one is filled."""

    def __init__(self, place: Place, name: str) -> None:
        self._place = place
        self._name = name
        self._upload = ""
        self._size = 0
        self._answers: list[dict[str, Any]] = []
        self._digests = hashlib.sha256() if place.sha256 else hashlib.md5(usedforsecurity=False)
        self._stopped = threading.Event()

    @property
    def _target(self) -> dict[str, str]:
        return {"Bucket": self._place.bucket, "Key": self._name, "UploadId": self._upload}

    def begin(self) -> None:
        algorithm = {"ChecksumAlgorithm": "SHA256"} if self._place.sha256 else {}
        arguments = self._place.arguments | algorithm

        def create() -> str:
            with explained(f"{self._name} cannot be stored"):
                answer = self._place.client.create_multipart_upload(
                    Bucket=self._place.bucket, Key=self._name, **arguments
                )
            return str(answer["UploadId"])

        self._upload = _retry.retried(create)

    def send_all(self, body: bytearray, stream: Reader) -> None:
        """Send the stream to its end. The two buffers take turns."""
        first = len(body)
        spare = bytearray()
        number = 0
        with ThreadPoolExecutor(1, thread_name_prefix="s3-part") as sender:
            try:
                while body:
                    number += 1
                    self._refuse_too_many(number)
                    answer = sender.submit(self._send, number, body)
                    spare = filled(stream, _sized(spare, part_size(number + 1, first)))
                    self._answers.append(answer.result())
                    body, spare = spare, body
            except BaseException:
                self._stopped.set()  # The part on its way is not tried again; it is waited for, then aborted.
                raise

    def _refuse_too_many(self, number: int) -> None:
        if number > MOST_PARTS:
            raise StoreFailed(
                f"{self._name} is larger than the store takes in {MOST_PARTS} parts.",
                "Set a larger part size at the destination.",
                permanent=True,
            )

    def _send(self, number: int, body: bytearray) -> dict[str, Any]:
        checksum = self._place.checksum(body)

        def send() -> dict[str, Any]:
            with explained(f"Part {number} of {self._name} cannot be stored"):
                answer: dict[str, Any] = self._place.client.upload_part(
                    **self._target, PartNumber=number, Body=body, **checksum
                )
            return answer

        answer = _retry.retried(send, lambda error: not self._stopped.is_set() and _worth_repeating(error))
        return self._there(number, len(body), checksum, answer["ETag"])

    def _there(self, number: int, size: int, checksum: dict[str, str], etag: str) -> dict[str, Any]:
        """What completing the upload has to say of a part that the store has."""
        self._size += size
        self._digests.update(
            base64.b64decode(checksum["ChecksumSHA256" if self._place.sha256 else "ContentMD5"])
        )
        proof = {"ChecksumSHA256": checksum["ChecksumSHA256"]} if self._place.sha256 else {}
        return {"PartNumber": number, "ETag": etag, **proof}

    def complete(self) -> None:
        with explained(f"{self._name} cannot be completed"):
            self._place.client.complete_multipart_upload(
                **self._target, MultipartUpload={"Parts": self._answers}, **self._place.publishing
            )

    def wanted(self) -> Wanted:
        """The store makes one checksum of the checksums of the parts."""
        kind = "sha256-parts" if self._place.sha256 else "etag"
        return Wanted(self._size, (f"{kind}:{self._digests.hexdigest()}-{len(self._answers)}",))

    def give_up(self) -> None:
        """Abort, also an upload whose number got lost with the answer. What fails here is left to `sweep`."""
        try:
            if self._upload:
                _retry.retried(lambda: abort(self._place, self._name, self._upload))
            sweep(self._place, self._name, only=self._name)
        except OperationFailed as error:
            logger.warning("An unfinished upload is left at the destination: %s", error.message)
        else:
            self._place.unfinished.discard(self._name)


def _sized(buffer: bytearray, size: int) -> bytearray:
    """`buffer` if it has that size; a new one only when parts grow or have just begun."""
    return buffer if len(buffer) == size else bytearray(size)


def abort(place: Place, name: str, upload: str) -> None:
    """Remove one unfinished upload with its parts; no error when it is gone."""
    try:
        with explained(f"The unfinished upload of {name} cannot be aborted"):
            place.client.abort_multipart_upload(Bucket=place.bucket, Key=name, UploadId=upload)
    except StoreFailed as error:
        if error.code != "NoSuchUpload":
            raise


def sweep(place: Place, prefix: str, only: str | None = None) -> None:
    """Abort all unfinished uploads whose names start with `prefix`, or those of the name `only`."""
    for upload in uploads(place, prefix):
        if only in (None, upload["Key"]):
            abort(place, upload["Key"], upload["UploadId"])


def unfinished(place: Place, prefix: str) -> Iterator[tuple[str, datetime]]:
    """(name, when it began) of the uploads that were neither completed nor aborted."""
    return ((upload["Key"], upload["Initiated"]) for upload in uploads(place, prefix))


def uploads(place: Place, prefix: str) -> Iterator[Any]:
    marker: dict[str, str] = {}
    while True:
        with explained("Unfinished uploads cannot be listed"):
            page = place.client.list_multipart_uploads(Bucket=place.bucket, Prefix=prefix, **marker)
        yield from (upload for upload in page.get("Uploads", []) if upload["Key"].startswith(prefix))
        if not page.get("IsTruncated"):
            return
        marker = {"KeyMarker": page["NextKeyMarker"], "UploadIdMarker": page["NextUploadIdMarker"]}
