"""Azure Blob Storage, through Microsoft's client: block blobs of staged blocks, which one commit makes visible.

Not through django-storages' backend: it keeps whole blobs in memory, compares no checksum, and knows no locks.
"""

import base64
import hashlib
import io
import logging
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from datetime import datetime
from functools import cached_property
from itertools import groupby
from typing import Any, BinaryIO, cast

from django import forms
from django.core.exceptions import ValidationError
from django.utils.translation import gettext_lazy as _

from backups.destinations import _retry
from backups.destinations._azure_errors import NO_LOCKS, StoreFailed, explained
from backups.destinations._keys import checked
from backups.destinations._object_options import LOCK_DAYS, LOCK_MODE, StoreOptions
from backups.destinations._ranged_reader import RangedReader
from backups.destinations._roles import split
from backups.destinations._s3_upload import MEBIBYTE, filled, first_part_size
from backups.destinations.base import Destination, NotThere, Reader, Stored
from drcenter.errors import OperationFailed
from drcenter.options import SecretField
from drcenter.secrets import resolve

CONNECT_SECONDS, READ_SECONDS = 10, 60
BLOCK = 1 << 20
# The protocol's limits: the number of blocks of a blob, and the bytes of one.
MOST_BLOCKS = 50_000
TIERS = ("Hot", "Cool", "Cold")


class AzureOptions(StoreOptions):
    container = forms.RegexField(r"^[a-z0-9$][a-z0-9-]{1,62}$", label=_("Container"))
    account = forms.RegexField(r"^[a-z0-9]{3,24}$", label=_("Storage account"))
    account_key = SecretField(label=_("Account key"))
    sas_token = SecretField(label=_("SAS token"))
    access_tier = forms.ChoiceField(
        label=_("Access tier"), required=False,
        choices=[("", _("the account's own")), *((name, name) for name in TIERS)],
    )  # fmt: skip
    lock_mode = LOCK_MODE
    lock_days = LOCK_DAYS

    def clean(self) -> dict[str, Any]:
        data = super().clean() or self.cleaned_data
        if not data.get("account_key") and not data.get("sas_token") and not self.errors:
            raise ValidationError(_("Give the account key or a SAS token."))
        return data


class Plugin(Destination):
    """Keeps each object as a block blob in a container, below a prefix."""

    label = cast(str, _("Azure Blob Storage"))
    credentials = ("account_key", "sas_token")
    Options = split(AzureOptions, credentials)

    def __init__(self, options: Any) -> None:
        super().__init__(options)
        prefix = (self.options["prefix"] or "").strip("/")
        self._prefix = f"{prefix}/" if prefix else ""

    @property
    def target(self) -> str:
        return f"azure://{self.options['account']}/{self.options['container']}/{self._prefix}"

    @cached_property
    def _container(self) -> Any:
        """A client that repeats nothing itself."""
        try:
            from azure.core.credentials import AzureNamedKeyCredential, AzureSasCredential
            from azure.storage.blob import ContainerClient
        except ImportError:
            raise OperationFailed(
                "azure-storage-blob is not installed.",
                'Install it: pip install "drcenter[azure]"',
                permanent=True,
            ) from None
        # It tells of every request. What goes wrong is told in a sentence by whoever asked.
        logging.getLogger("azure").setLevel(logging.CRITICAL)
        key, token = (resolve(self.options[name] or "") for name in ("account_key", "sas_token"))
        account = self.options["account"] or ""
        if not key and not token:
            raise OperationFailed(
                "There are no credentials.", "Give the account key or a SAS token.", permanent=True
            )
        credential: Any = (
            AzureNamedKeyCredential(account, key.reveal()) if key else AzureSasCredential(token.reveal())
        )
        with explained(f"{self.target} cannot be used"):
            return ContainerClient(
                self.options["endpoint_url"] or f"https://{account}.blob.core.windows.net",
                self.options["container"],
                credential=credential,
                retry_total=0,
                connection_timeout=CONNECT_SECONDS,
                read_timeout=READ_SECONDS,
            )

    def _blob(self, key: str, version: str = "") -> Any:
        return self._container.get_blob_client(self._prefix + checked(key), version_id=version or None)

    # ------------------------------------------------------------------ put

    def put(self, key: str, stream: Reader, *, expected_size: int | None = None) -> Stored:
        fixed = self.options["part_size"]
        size = int(fixed) * MEBIBYTE if fixed else first_part_size(expected_size)
        return self._put(key, stream, size)

    def put_in_parts(self, key: str, stream: Reader) -> Stored:
        return self._put(key, stream, MEBIBYTE)

    def _put(self, key: str, stream: Reader, size: int) -> Stored:
        """Two blocks are in memory: one is sent while the next one is filled. The commit makes the blob visible."""
        blob, digest = self._blob(key), hashlib.md5(usedforsecurity=False)
        condition = self._condition(key)
        names: list[str] = []
        total = 0
        body = filled(stream, bytearray(size))
        with ThreadPoolExecutor(1, thread_name_prefix="azure-block") as sender:
            while body:
                if len(names) == MOST_BLOCKS:
                    raise StoreFailed(
                        f"{key} is larger than the store takes in {MOST_BLOCKS} blocks.",
                        "Set a larger part size at the destination.", permanent=True,
                    )  # fmt: skip
                digest.update(body)
                total += len(body)
                names.append(base64.b64encode(b"%08d" % len(names)).decode())
                sent = sender.submit(self._stage, blob, key, names[-1], body)
                following = filled(stream, bytearray(size))
                sent.result()
                body = following
        return self._commit(key, names, condition, (total, f"md5:{digest.hexdigest()}"))

    def _stage(self, blob: Any, key: str, name: str, body: bytearray) -> None:
        """Azure compares the MD5 of the block with what it received."""

        def send() -> None:
            with explained(f"A block of {key} cannot be stored"):
                blob.stage_block(name, bytes(body), length=len(body), validate_content=True)

        _retry.retried(send)

    def _condition(self, key: str) -> dict[str, Any]:
        """Only what is there now is replaced; where nothing is, nothing that comes meanwhile."""
        from azure.core import MatchConditions

        try:
            found = _retry.retried(lambda: self._properties(key))
        except NotThere:
            return {"match_condition": MatchConditions.IfMissing}
        return {"etag": found.etag, "match_condition": MatchConditions.IfNotModified}

    def _commit(
        self, key: str, names: list[str], condition: dict[str, Any], wanted: tuple[int, str]
    ) -> Stored:
        """Make the blob of these blocks. `wanted` is its size and checksum."""
        from azure.storage.blob import BlobBlock, ContentSettings

        tier = {"standard_blob_tier": self.options["access_tier"]} if self.options["access_tier"] else {}
        digest = bytearray.fromhex(wanted[1].removeprefix("md5:"))
        settings = ContentSettings(content_type="application/octet-stream", content_md5=digest)
        blob = self._blob(key)

        def send() -> None:
            with explained(f"{key} cannot be completed"):
                blob.commit_block_list(
                    [BlobBlock(name) for name in names], content_settings=settings, **condition, **tier
                )

        try:
            _retry.retried(send)
        except StoreFailed:
            # An answer that got lost is no failure if it is there by now, and ours.
            found = self._look(key)
            if found is None or (found.size, found.checksum) != wanted:
                raise
            return found
        found = _retry.retried(lambda: self.head(key))
        if (found.size, found.checksum) == wanted:
            return found
        raise StoreFailed(
            f"{key} is not as it was sent: {found.size} bytes of {wanted[0]}, or another checksum.",
            "Another writer, or a faulty store. Check the destination before trusting it.", permanent=False,
        )  # fmt: skip

    def _look(self, key: str) -> Stored | None:
        with suppress(OperationFailed):
            return self.head(key)
        return None

    # ------------------------------------------------------------------ everything else

    def open(self, key: str, start: int = 0, length: int | None = None) -> BinaryIO:
        from azure.core import MatchConditions

        found = self._properties(key)
        end = found.size if length is None else min(found.size, start + length)
        blob = self._blob(key)

        def fetch(position: int, count: int) -> bytes:
            with explained(f"{key} cannot be read from {self.target}", key):
                download = blob.download_blob(
                    position, count, etag=found.etag, match_condition=MatchConditions.IfNotModified
                )
                return bytes(download.readall())

        return cast(BinaryIO, io.BufferedReader(RangedReader(key, fetch, start, end), BLOCK))

    def head(self, key: str) -> Stored:
        return replace(_stored(self._properties(key)), key=key)

    def _properties(self, key: str) -> Any:
        blob = self._blob(key)
        with explained(f"{key} cannot be looked up in {self.target}", key):
            return blob.get_blob_properties()

    def list(self, prefix: str) -> Iterator[Stored]:
        yield from self._listed(prefix)

    def list_versions(self, prefix: str) -> Iterator[Stored]:
        """Every version of every blob; of one key the newest first. Azure names them the other way round."""
        entries = self._listed(prefix, include=["versions"])
        for _key, group in groupby(entries, key=lambda one: one.key):
            yield from reversed([*group])

    def _listed(self, prefix: str, **more: Any) -> Iterator[Stored]:
        pages = self._container.list_blobs(name_starts_with=self._prefix + prefix, **more).by_page()
        while True:
            with explained(f"{self.target} cannot be listed"):
                page = [_stored(one) for one in next(pages, ())]
                more_pages = bool(getattr(pages, "continuation_token", None))
            yield from (replace(one, key=one.key.removeprefix(self._prefix)) for one in page)
            if not more_pages:
                return

    def delete(self, key: str) -> None:
        blob = self._blob(key)
        with suppress(NotThere), explained(f"{key} cannot be deleted from {self.target}", key):
            blob.delete_blob()

    def delete_version(self, key: str, version: str) -> None:
        """The newest version is the blob itself, and goes as one: Azure refuses to delete it by its version."""
        found = self._look(key)
        if not version or (found is not None and found.version == version):
            return self.delete(key)
        blob = self._blob(key)
        with suppress(NotThere), explained(f"{key} cannot be deleted from {self.target}", key):
            blob.delete_blob(version_id=version)
        return None

    def lock(self, key: str, until: datetime) -> Stored:
        """An immutability policy for the newest version, and a look whether the store holds to it."""
        from azure.storage.blob import ImmutabilityPolicy

        found = self.head(key)
        if not self._holds(found, until):
            until = max(until, found.locked_until or until)
            policy = ImmutabilityPolicy(expiry_time=until, policy_mode=self.options["lock_mode"])
            blob = self._blob(key)
            with explained(f"{key} cannot be locked in {self.target}", key):
                blob.set_immutability_policy(policy)
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
        strong = found.lock_mode.lower() in (str(self.options["lock_mode"]).lower(), "locked")
        return strong and kept is not None and int(kept.timestamp()) >= int(until.timestamp())


def _stored(found: Any) -> Stored:
    """Of the properties of a blob, as a listing or a look gives them."""
    digest = found.content_settings.content_md5
    policy = getattr(found, "immutability_policy", None)
    etag = re.sub(r'^W/|"', "", str(found.etag or ""))
    return Stored(
        found.name,
        int(found.size or 0),
        checksum=f"md5:{bytes(digest).hex()}" if digest else f"etag:{etag}",
        modified=found.last_modified,
        version=str(found.version_id or ""),
        locked_until=getattr(policy, "expiry_time", None),
        lock_mode=str(getattr(policy, "policy_mode", None) or "").rpartition(".")[2].capitalize(),
    )
