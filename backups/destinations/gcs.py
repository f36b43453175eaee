"""Google Cloud Storage, through its JSON API: resumable uploads that a precondition keeps from overwriting.

Not through django-storages' backend or Google's file objects: both publish what was written when the stream raises.
"""

import base64
import hashlib
import io
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from functools import cached_property
from itertools import groupby
from typing import Any, BinaryIO, cast

from django import forms
from django.utils.translation import gettext_lazy as _

from backups.destinations import _retry
from backups.destinations._gcs_api import Api, StoreFailed
from backups.destinations._keys import checked
from backups.destinations._object_options import LOCK_DAYS, LOCK_MODE, StoreOptions
from backups.destinations._ranged_reader import RangedReader
from backups.destinations._roles import split
from backups.destinations._s3_upload import MEBIBYTE, filled
from backups.destinations.base import Destination, NotThere, Reader, Stored
from drcenter.errors import OperationFailed
from drcenter.options import SecretField

BLOCK = 1 << 20
ENDPOINT = "https://storage.googleapis.com"
# A chunk is a multiple of 256 KiB. An object has at most 5 TiB, in as many chunks as it takes.
CHUNK = 16 * MEBIBYTE
CLASSES = ("STANDARD", "NEARLINE", "COLDLINE", "ARCHIVE")
NO_LOCKS = "The bucket needs object retention; turn it on when it is created (--enable-per-object-retention)."


class GcsOptions(StoreOptions):
    bucket = forms.RegexField(r"^[a-z0-9][a-z0-9._-]{1,220}$", label=_("Bucket"))
    credentials_json = SecretField(label=_("Key of the service account (JSON)"))
    storage_class = forms.ChoiceField(
        label=_("Storage class"), required=False,
        choices=[("", _("the bucket's own")), *((name, name) for name in CLASSES)],
    )  # fmt: skip
    lock_mode = LOCK_MODE
    lock_days = LOCK_DAYS


class Plugin(Destination):
    """Keeps each object in a bucket, below a prefix."""

    label = cast(str, _("Google Cloud Storage"))
    credentials = ("credentials_json",)
    Options = split(GcsOptions, credentials)

    def __init__(self, options: Any) -> None:
        super().__init__(options)
        prefix = (self.options["prefix"] or "").strip("/")
        self._prefix = f"{prefix}/" if prefix else ""

    @property
    def target(self) -> str:
        return f"gs://{self.options['bucket']}/{self._prefix}"

    @cached_property
    def _api(self) -> Api:
        endpoint = self.options["endpoint_url"] or ENDPOINT
        return Api(endpoint, self.options["bucket"] or "", self.options["credentials_json"] or "")

    def _name(self, key: str) -> str:
        return self._prefix + checked(key)

    # ------------------------------------------------------------------ put

    def put(self, key: str, stream: Reader, *, expected_size: int | None = None) -> Stored:
        return self._put(key, stream, int(self.options["part_size"] or 16) * MEBIBYTE)

    def put_in_parts(self, key: str, stream: Reader) -> Stored:
        return self._put(key, stream, MEBIBYTE)

    def _put(self, key: str, stream: Reader, size: int) -> Stored:
        """One chunk is in memory. What the store has of it after a broken connection is asked, not guessed."""
        self._name(key)
        upload = _Upload(self._api, key, self._begin(key))
        try:
            digest = hashlib.md5(usedforsecurity=False)
            body, position, last = filled(stream, bytearray(size)), 0, False
            while not last:
                # A chunk that is not full, also an empty one, is the last: it names the size of the whole.
                last = len(body) < size
                digest.update(body)
                upload.send(body, position, last)
                position += len(body)
                body = bytearray() if last else filled(stream, bytearray(size))
        except BaseException:
            upload.give_up()
            raise
        return self._compared(key, upload.result, position, base64.b64encode(digest.digest()).decode())

    def _begin(self, key: str) -> str:
        """The address of a new upload, which replaces what is there now, and nothing that comes meanwhile."""
        generation = "0"
        with suppress(NotThere):
            generation = _retry.retried(lambda: self.head(key)).version
        metadata = {"name": self._name(key), "contentType": "application/octet-stream"}
        if self.options["storage_class"]:
            metadata["storageClass"] = self.options["storage_class"]
        parameters = {"uploadType": "resumable", "name": metadata["name"], "ifGenerationMatch": generation}

        def begin() -> str:
            what = f"{key} cannot be stored"
            answer = self._api.call(what, "POST", self._api.uploads, params=parameters, json=metadata)
            return str(answer.headers["Location"])

        return _retry.retried(begin)

    def _compared(self, key: str, found: Mapping[str, Any], size: int, md5: str) -> Stored:
        """Remove what is not as it was sent: size and MD5 are the store's own."""
        stored = self._stored(found)
        if stored.size == size and found.get("md5Hash", md5) == md5:
            return stored
        with suppress(OperationFailed):
            self.delete_version(key, stored.version)
        raise StoreFailed(
            f"{key} is not as it was sent: {stored.size} bytes of {size}, or another checksum.",
            "Another writer, or a faulty store. Check the destination before trusting it.", permanent=False,
        )  # fmt: skip

    # ------------------------------------------------------------------ everything else

    def open(self, key: str, start: int = 0, length: int | None = None) -> BinaryIO:
        name, found = self._name(key), self.head(key)
        end = found.size if length is None else min(found.size, start + length)
        # The generation names exactly these bytes: what comes later is another object.
        parameters = {"alt": "media", "generation": found.version}

        def fetch(position: int, count: int) -> bytes:
            limits = {"Range": f"bytes={position}-{position + count - 1}"}
            what = f"{key} cannot be read from {self.target}"
            answer = self._api.call(
                what, "GET", self._api.object(name), key=key, params=parameters, headers=limits
            )
            return bytes(answer.content)

        return cast(BinaryIO, io.BufferedReader(RangedReader(key, fetch, start, end), BLOCK))

    def head(self, key: str) -> Stored:
        what = f"{key} cannot be looked up in {self.target}"
        url = self._api.object(self._name(key))
        return self._stored(self._api.json(what, "GET", url, key=key, params={"projection": "full"}))

    def list(self, prefix: str) -> Iterator[Stored]:
        yield from self._listed(prefix)

    def list_versions(self, prefix: str) -> Iterator[Stored]:
        """Every generation of every object; of one key the newest first. Google lists them the other way round."""
        for _key, group in groupby(self._listed(prefix, versions="true"), key=lambda one: one.key):
            yield from sorted(group, key=lambda one: int(one.version or 0), reverse=True)

    def _listed(self, prefix: str, **more: str) -> Iterator[Stored]:
        parameters = {"prefix": self._prefix + prefix, "projection": "full", **more}
        while True:
            what = f"{self.target} cannot be listed"
            page = self._api.json(what, "GET", self._api.objects, params=parameters)
            yield from map(self._stored, page.get("items", ()))
            if not page.get("nextPageToken"):
                return
            parameters["pageToken"] = page["nextPageToken"]

    def delete(self, key: str) -> None:
        self._delete(key)

    def delete_version(self, key: str, version: str) -> None:
        self._delete(key, **({"generation": version} if version else {}))

    def _delete(self, key: str, **parameters: str) -> None:
        what, url = f"{key} cannot be deleted from {self.target}", self._api.object(self._name(key))
        with suppress(NotThere):
            self._api.call(what, "DELETE", url, key=key, params=parameters)

    def lock(self, key: str, until: datetime) -> Stored:
        """Retention for the newest generation, and a look whether the store holds to it."""
        found = self.head(key)
        if not self._holds(found, until):
            until = max(until, found.locked_until or until)
            order = {"mode": self.options["lock_mode"], "retainUntilTime": until.astimezone(UTC).isoformat()}
            what, url = f"{key} cannot be locked in {self.target}", self._api.object(self._name(key))
            generation = {"generation": found.version}
            self._api.call(what, "PATCH", url, key=key, params=generation, json={"retention": order})
        locked = self.head(key)
        if not self._holds(locked, until) or locked.version != found.version:
            raise OperationFailed(
                f"{key} is not locked, although {self.target} took the order without an error.",
                NO_LOCKS,
                permanent=True,
            )
        return locked

    def _holds(self, found: Stored, until: datetime) -> bool:
        """Locked is more than Unlocked, and holds where that is asked for."""
        kept = found.locked_until
        strong = found.lock_mode in (self.options["lock_mode"], "Locked")
        return strong and kept is not None and int(kept.timestamp()) >= int(until.timestamp())

    def _stored(self, found: Mapping[str, Any]) -> Stored:
        """Of the resource that the API gives for an object."""
        retention = found.get("retention") or {}
        md5 = found.get("md5Hash") or ""
        stored = Stored(
            str(found["name"]),
            int(found.get("size") or 0),
            checksum=f"md5:{base64.b64decode(md5).hex()}" if md5 else f"crc32c:{found.get('crc32c', '')}",
            modified=_time(found.get("updated")),
            version=str(found.get("generation") or ""),
            locked_until=_time(retention.get("retainUntilTime")),
            lock_mode=str(retention.get("mode") or ""),
        )
        return replace(stored, key=stored.key.removeprefix(self._prefix))


def _time(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None


class _Upload:
    """A resumable upload: chunk after chunk to one address, which knows how much it has."""

    def __init__(self, api: Api, key: str, url: str) -> None:
        self._api, self._url = api, url
        self._what = f"{key} cannot be stored"
        self.result: Mapping[str, Any] = {}

    def send(self, body: bytearray, position: int, last: bool) -> None:
        """Send a chunk, the bytes from `position` on; after a broken connection only what the store lacks of it."""
        end = position + len(body)
        total = str(end) if last else "*"
        done = [position]
        broken = [False]

        def send_rest() -> None:
            if broken[0] and self._asked(done, total):
                return
            broken[0] = True
            rest = memoryview(body)[done[0] - position :]
            limits = f"bytes {done[0]}-{end - 1}/{total}" if rest else f"bytes */{total}"
            answer = self._put(bytes(rest), limits)
            if answer.status_code != 308:
                self.result = answer.json()
            elif last or _received(answer) != end:
                raise StoreFailed(f"{self._what}: the store did not take all of it.", "", permanent=False)

        _retry.retried(send_rest)

    def _asked(self, done: "list[int]", total: str) -> bool:
        """Ask what the store has; True if the whole is there already, its answer only got lost."""
        answer = self._put(b"", f"bytes */{total}")
        if answer.status_code != 308:
            self.result = answer.json()
            return True
        done[0] = max(done[0], _received(answer))
        return False

    def _put(self, body: bytes, limits: str) -> Any:
        headers = {"Content-Range": limits, "Content-Length": str(len(body))}
        return self._api.call(self._what, "PUT", self._url, data=body, headers=headers, accepted=(308,))

    def give_up(self) -> None:
        """Have the store forget it (it answers 499); what fails here it forgets by itself after a week."""
        with suppress(OperationFailed):
            self._api.call(self._what, "DELETE", self._url, accepted=(404, 410, 499))


def _received(answer: Any) -> int:
    """How many bytes the store has, of an answer that asks for more."""
    limits = str(answer.headers.get("Range") or "")
    return int(limits.rpartition("-")[2]) + 1 if limits else 0
