"""An S3 store: Amazon's, or any that speaks its protocol.

On boto3 itself, not on django-storages' backend: that one publishes a truncated object when the
stream raises, downloads the whole object before the first byte can be read, and repeats no part.
"""

import base64
import io
import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime
from functools import cached_property
from typing import Any, BinaryIO, cast
from urllib.parse import urlsplit

from django import forms
from django.core.exceptions import ValidationError
from django.utils.translation import gettext_lazy as _

from backups.destinations import _s3_resume as resume
from backups.destinations import _s3_upload as upload
from backups.destinations._keys import checked
from backups.destinations._object_options import LOCK_DAYS, StoreOptions
from backups.destinations._roles import option, split
from backups.destinations._s3_errors import StoreFailed, explained
from backups.destinations._s3_reader import ResumingReader
from backups.destinations.base import Destination, Reader, Role, Stored
from drcenter.errors import OperationFailed
from drcenter.options import SecretField
from drcenter.secrets import resolve

CONNECT_SECONDS = 10
READ_SECONDS = 60
BLOCK = 1 << 20
# Smaller ones no store takes.
SMALLEST_PART_OF_ALL = 5 << 20
STORAGE_CLASSES = ("STANDARD", "STANDARD_IA", "ONEZONE_IA", "INTELLIGENT_TIERING", "GLACIER_IR", "GLACIER", "DEEP_ARCHIVE")  # fmt: skip


class S3Options(StoreOptions):
    bucket = forms.RegexField(r"^[A-Za-z0-9][A-Za-z0-9._-]{1,62}$", label=_("Bucket"))
    endpoint_url = forms.CharField(
        label=_("Endpoint"), required=False, help_text=_("https://host of the store; empty for Amazon S3.")
    )
    region = forms.RegexField(r"^[a-z0-9-]*$", label=_("Region"), required=False)
    access_key = SecretField(label=_("Access key"))
    secret_key = SecretField(label=_("Secret key"))
    storage_class = forms.ChoiceField(
        label=_("Storage class"),
        required=False,
        choices=[("", _("the bucket's own")), *((name, name) for name in STORAGE_CLASSES)],
    )
    checksums = forms.ChoiceField(
        label=_("Checksums"),
        initial="when_supported",
        choices=[
            ("when_supported", _("SHA-256 for everything that is sent")),
            ("when_required", _("Content-MD5, for stores that do not know SHA-256")),
        ],
    )
    part_size = forms.IntegerField(
        label=_("Part size in MiB"),
        required=False,
        min_value=16,
        max_value=5120,
        help_text=_("Empty: chosen from the estimate, 16 at least. Two parts are in memory at a time."),
    )
    path_style = forms.BooleanField(
        label=_("Bucket in the path"),
        required=False,
        help_text=_("For stores that do not serve a host name for each bucket."),
    )
    never_replace = forms.BooleanField(
        label=_("Never replace an object"),
        required=False,
        help_text=_(
            "Asks the store to refuse it. Then the writer's policy can demand it: a thief overwrites nothing."
        ),
    )
    lock_mode = forms.ChoiceField(
        label=_("Lock"),
        initial="COMPLIANCE",
        choices=[
            ("COMPLIANCE", _("nobody can end it early")),
            ("GOVERNANCE", _("those with a special right can end it early")),
        ],
    )
    lock_days = LOCK_DAYS

    def clean(self) -> dict[str, Any]:
        data = super().clean() or self.cleaned_data
        for role in Role:
            if bool(data.get(option("access_key", role))) != bool(data.get(option("secret_key", role))):
                raise ValidationError(_("Give both keys, or none to use the role of this machine."))
        return data


class Plugin(Destination):
    """Keeps each object in a bucket, below a prefix."""

    label = cast(str, _("S3 and compatible stores"))
    credentials = ("access_key", "secret_key")
    Options = split(S3Options, credentials)

    def __init__(self, options: Any) -> None:
        super().__init__(options)
        prefix = (self.options["prefix"] or "").strip("/")
        self._prefix = f"{prefix}/" if prefix else ""
        self._bucket: str = self.options["bucket"] or ""

    @property
    def target(self) -> str:
        endpoint = self.options["endpoint_url"]
        where = f" at {urlsplit(endpoint).netloc}" if endpoint else ""
        return f"s3://{self._bucket}/{self._prefix}{where}"

    @cached_property
    def _client(self) -> Any:
        """A client that repeats nothing itself. With keys given, no other source of credentials is asked."""
        try:
            import boto3
            from botocore.config import Config
        except ImportError:
            raise OperationFailed(
                "boto3 is not installed.", "Install it: pip install boto3", permanent=True
            ) from None
        config = Config(
            connect_timeout=CONNECT_SECONDS,
            read_timeout=READ_SECONDS,
            retries={"total_max_attempts": 1, "mode": "standard"},
            s3={"addressing_style": "path" if self.options["path_style"] else "auto"},
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
            ignore_configured_endpoint_urls=True,
            tcp_keepalive=True,
        )
        with explained(f"{self.target} cannot be used"):
            return boto3.session.Session(**self._credentials()).client(
                "s3", endpoint_url=self.options["endpoint_url"] or None, config=config
            )

    def _credentials(self) -> dict[str, str]:
        access, secret = (resolve(self.options[name] or "") for name in ("access_key", "secret_key"))
        region = {"region_name": self.options["region"] or "us-east-1"}
        if bool(access) != bool(secret):
            raise OperationFailed("One of the two keys is missing.", "Give both, or none.", permanent=True)
        if not access:
            return region
        return region | {"aws_access_key_id": access.reveal(), "aws_secret_access_key": secret.reveal()}

    @cached_property
    def _place(self) -> upload.Place:
        arguments = {"StorageClass": self.options["storage_class"]} if self.options["storage_class"] else {}
        sha256 = self.options["checksums"] == "when_supported"
        publishing = {"IfNoneMatch": "*"} if self.options["never_replace"] else {}
        return upload.Place(self._client, self._bucket, sha256, arguments, self._head, publishing)

    def _name(self, key: str) -> str:
        return self._prefix + checked(key)

    def put(self, key: str, stream: Reader, *, expected_size: int | None = None) -> Stored:
        return self._put(key, stream, self._first_part(expected_size))

    def replay(self, key: str, stream: Reader, *, expected_size: int) -> Stored:
        stored = resume.replayed(self._place, self._name(key), stream, self._first_part(expected_size))
        return self._outside(stored)

    def _first_part(self, expected_size: int | None) -> int:
        fixed = self.options["part_size"]
        return int(fixed) * upload.MEBIBYTE if fixed else upload.first_part_size(expected_size)

    def put_in_parts(self, key: str, stream: Reader) -> Stored:
        return self._put(key, stream, SMALLEST_PART_OF_ALL)

    def _put(self, key: str, stream: Reader, first: int) -> Stored:
        return self._outside(upload.store(self._place, self._name(key), stream, first))

    def _outside(self, stored: Stored) -> Stored:
        """`stored` under its key, as callers know it."""
        return replace(stored, key=stored.key.removeprefix(self._prefix))

    def open(self, key: str, start: int = 0, length: int | None = None) -> BinaryIO:
        name = self._name(key)
        if length == 0:
            self.head(key)
            return io.BytesIO()

        def get(position: int, etag: str) -> Any:
            end = "" if length is None else start + length - 1
            whole = position == 0 and length is None
            limits = {} if whole else {"Range": f"bytes={position}-{end}"}
            if etag:
                limits["IfMatch"] = etag
            with explained(f"{key} cannot be read from {self.target}", key):
                return self._client.get_object(Bucket=self._bucket, Key=name, **limits)

        try:
            return cast(BinaryIO, io.BufferedReader(ResumingReader(key, get, start, length), BLOCK))
        except StoreFailed as error:
            if error.code in ("InvalidRange", "416"):
                return io.BytesIO()  # `start` is behind the end: there is nothing to read.
            raise

    def open_version(self, key: str, version: str) -> BinaryIO:
        """One version, in one answer: it is for small objects."""
        with explained(f"{key} cannot be read from {self.target}", key):
            answer = self._client.get_object(
                Bucket=self._bucket, Key=self._name(key), VersionId=version or "null"
            )
        return cast(BinaryIO, answer["Body"])

    def head(self, key: str) -> Stored:
        return self._outside(self._head(self._name(key)))

    def _head(self, name: str) -> Stored:
        with explained(f"{name} cannot be looked up in {self._bucket}", name.removeprefix(self._prefix)):
            answer = self._client.head_object(Bucket=self._bucket, Key=name, ChecksumMode="ENABLED")
        return Stored(
            name,
            int(answer["ContentLength"]),
            checksum=_checksum(answer),
            modified=answer.get("LastModified"),
            version=_version(answer),
            locked_until=answer.get("ObjectLockRetainUntilDate"),
            lock_mode=str(answer.get("ObjectLockMode") or ""),
        )

    def list(self, prefix: str) -> Iterator[Stored]:
        marker: dict[str, str] = {}
        while True:
            with explained(f"{self.target} cannot be listed"):
                page = self._client.list_objects_v2(
                    Bucket=self._bucket, Prefix=self._prefix + prefix, **marker
                )
            for entry in page.get("Contents", []):
                yield self._listed(entry)
            if not page.get("IsTruncated"):
                return
            marker = {"ContinuationToken": page["NextContinuationToken"]}

    def list_versions(self, prefix: str) -> Iterator[Stored]:
        """Every version of every object, also those behind a delete marker; of one key the newest first."""
        marker: dict[str, str] = {}
        while True:
            with explained(f"The versions in {self.target} cannot be listed"):
                page = self._client.list_object_versions(
                    Bucket=self._bucket, Prefix=self._prefix + prefix, **marker
                )
            for entry in page.get("Versions", []):
                yield self._listed(entry)
            if not page.get("IsTruncated"):
                return
            marker = {"KeyMarker": page["NextKeyMarker"], "VersionIdMarker": page["NextVersionIdMarker"]}

    def _listed(self, entry: Any) -> Stored:
        return Stored(
            entry["Key"].removeprefix(self._prefix),
            int(entry["Size"]),
            checksum=_etag(entry),
            modified=entry.get("LastModified"),
            version=_version(entry),
        )

    def delete(self, key: str) -> None:
        name = self._name(key)
        with explained(f"{key} cannot be deleted from {self.target}"):
            self._client.delete_object(Bucket=self._bucket, Key=name)

    def delete_version(self, key: str, version: str) -> None:
        name = self._name(key)
        with explained(f"{key} cannot be deleted from {self.target}"):
            self._client.delete_object(Bucket=self._bucket, Key=name, VersionId=version or "null")

    def lock(self, key: str, until: datetime) -> Stored:
        """Lock the newest version, and look whether the store holds to it: some take the order and forget it."""
        found = self.head(key)
        if not self._holds(found, until):
            until = max(until, found.locked_until or until)
            retention = {"Mode": self.options["lock_mode"], "RetainUntilDate": until}
            version = {"VersionId": found.version} if found.version else {}
            with explained(f"{key} cannot be locked in {self.target}", key):
                self._client.put_object_retention(
                    Bucket=self._bucket, Key=self._name(key), Retention=retention, **version
                )
        locked = self.head(key)
        if not self._holds(locked, until) or locked.version != found.version:
            raise OperationFailed(
                f"{key} is not locked, although {self.target} took the order without an error.",
                "The bucket needs object lock, and the credentials s3:GetObjectRetention.",
                permanent=True,
            )
        return locked

    def _holds(self, found: Stored, until: datetime) -> bool:
        """COMPLIANCE is more than GOVERNANCE, and holds where that is asked for."""
        kept = found.locked_until
        strong = found.lock_mode in (self.options["lock_mode"], "COMPLIANCE")
        return strong and kept is not None and int(kept.timestamp()) >= int(until.timestamp())

    def abort(self, prefix: str | None = None) -> None:
        """Abort unfinished uploads: those of this instance, and with `prefix` everybody's below it."""
        for name in sorted(self._place.unfinished):
            upload.sweep(self._place, name, only=name)
            self._place.unfinished.discard(name)
        if prefix is not None:
            upload.sweep(self._place, self._prefix + prefix)

    def unfinished(self, prefix: str) -> Iterator[Stored]:
        for name, begun in upload.unfinished(self._place, self._prefix + prefix):
            yield Stored(name.removeprefix(self._prefix), 0, modified=begun)


def _etag(answer: Any) -> str:
    return "etag:" + str(answer.get("ETag", "")).strip('"')


def _version(answer: Any) -> str:
    version = str(answer.get("VersionId") or "")
    return "" if version == "null" else version


def _checksum(answer: Any) -> str:
    """The store's SHA-256, of the whole or of the checksums of its parts; else its etag.

    An object of parts has their number behind a dash, in the checksum, or in some stores in the etag only.
    """
    text: str = answer.get("ChecksumSHA256") or ""
    if not re.fullmatch(r"[A-Za-z0-9+/]{43}=(-\d+)?", text):
        return _etag(answer)
    digest, _dash, count = text.partition("-")
    plain = base64.b64decode(digest).hex()
    count = count or _etag(answer).partition("-")[2]
    return f"sha256-parts:{plain}-{count}" if count else f"sha256:{plain}"
