"""What an S3 store's errors mean for an operator. No text here holds a key, a header or a body."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from backups.destinations.base import NotThere
from drcenter.errors import OperationFailed
from drcenter.secrets import redact

RIGHTS = "Check that the credentials are valid, not revoked, and have the rights that docs/destinations/s3.md lists."
LATER = "Try again later; look at the provider's status page if it stays so."

# What the store's error code means: a sentence, a hint, and whether the same call will fail again.
MEANINGS: dict[str, tuple[str, str, bool]] = {
    "denied": ("the store refuses access", RIGHTS, True),
    "credentials": ("the store does not accept the credentials", RIGHTS, True),
    "clock": ("the clock of this machine is wrong", "Set it, and keep it right with NTP (timedatectl).", True),
    "bucket": ("the bucket does not exist", "Create it, or correct its name and the endpoint.", True),
    "region": ("the bucket is in another region", "Correct the region or the endpoint.", True),
    "busy": ("the store is overloaded or in trouble", LATER, False),
    "damaged": ("the store received other bytes than were sent", "Look for a bad network or proxy.", False),
    "forgotten": ("the store has forgotten the unfinished upload", "Look for a lifecycle rule of less than a day.", False),
    "archived": ("the object is in an archive class", "Ask the store to bring it back first (restore-object).", True),
    "class": ("the store does not know this storage class", "Choose another storage class.", True),
    "full": ("the store or its quota is full", "Free space, or raise the quota.", True),
    "changed": ("the object was replaced while it was read", "Start again.", True),
    "locked": ("the object is locked", "It can be deleted when its lock has ended.", True),
    "no_lock": ("the bucket cannot lock objects", "Create the bucket anew with object lock turned on.", True),
    "unknown": ("the store does not know this request", "Older stores: set the checksums to Content-MD5.", True),
}  # fmt: skip
CODES = {
    "AccessDenied": "denied", "403": "denied", "Forbidden": "denied", "AllAccessDisabled": "denied",
    "AccountProblem": "denied", "InvalidPayer": "denied",
    "InvalidAccessKeyId": "credentials", "SignatureDoesNotMatch": "credentials", "401": "credentials",
    "InvalidToken": "credentials", "ExpiredToken": "credentials", "Unauthorized": "credentials",
    "RequestTimeTooSkewed": "clock",
    "NoSuchBucket": "bucket", "InvalidBucketName": "bucket",
    "PermanentRedirect": "region", "301": "region", "AuthorizationHeaderMalformed": "region",
    "IllegalLocationConstraintException": "region",
    "SlowDown": "busy", "ServiceUnavailable": "busy", "InternalError": "busy", "RequestTimeout": "busy",
    "Throttling": "busy", "ThrottlingException": "busy", "RequestLimitExceeded": "busy",
    "BadDigest": "damaged", "XAmzContentSHA256Mismatch": "damaged", "IncompleteBody": "damaged",
    "XAmzContentChecksumMismatch": "damaged",
    "NoSuchUpload": "forgotten",
    "InvalidObjectState": "archived",
    "InvalidStorageClass": "class",
    "QuotaExceeded": "full", "XMinioStorageFull": "full", "InsufficientStorage": "full", "507": "full",
    "PreconditionFailed": "changed", "412": "changed",
    "ObjectLocked": "locked",
    "ObjectLockConfigurationNotFoundError": "no_lock",
    "NotImplemented": "unknown", "501": "unknown",
}  # fmt: skip
ABSENT = {"NoSuchKey", "NoSuchVersion", "404"}


class StoreFailed(OperationFailed):
    """A call to the store failed. `code` is the store's error code; empty when it gave no answer."""

    def __init__(self, message: str, hint: str, *, permanent: bool, code: str = "") -> None:
        super().__init__(message, hint, permanent=permanent)
        self.code = code


@contextmanager
def explained(what: str, key: str | None = None) -> Iterator[None]:
    """Turn boto3's errors into StoreFailed, or into NotThere where `key` was looked for and is absent.

    The cause is cut off: the answers that boto3 keeps in its exceptions name access keys.
    """
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        yield
    except ClientError as error:
        raise _answered(what, error.response, key) from None
    except (BotoCoreError, OSError) as error:
        raise unanswered(what, error) from None


def _answered(what: str, response: Any, key: str | None) -> OperationFailed:
    code = str(response.get("Error", {}).get("Code", ""))
    status = int(response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
    if key is not None and code in ABSENT:
        return NotThere(f"{key} is not there.", permanent=True)
    meaning = CODES.get(code) or CODES.get(str(status))
    if meaning is None and (status >= 500 or status in (408, 429)):
        meaning = "busy"
    if meaning is not None:
        sentence, hint, permanent = MEANINGS[meaning]
        return StoreFailed(f"{what}: {sentence} ({code}).", hint, permanent=permanent, code=code)
    told = redact(str(response.get("Error", {}).get("Message", "")))[:200]
    return StoreFailed(f"{what}: the store answered {code}: {told}", "", permanent=True, code=code)


def unanswered(what: str, error: Exception) -> StoreFailed:
    """The failure of a call that got no answer: the network, or what this side refused to send."""
    from botocore import exceptions as boto

    endpoint = "Check the endpoint, the network and the firewall; try again later."
    if isinstance(
        error, (boto.NoCredentialsError, boto.PartialCredentialsError, boto.CredentialRetrievalError)
    ):
        return StoreFailed(f"{what}: there are no credentials.", RIGHTS, permanent=True)
    if isinstance(error, boto.SSLError):
        hint = "Check the certificate of the endpoint, and the name in the endpoint URL."
        return StoreFailed(f"{what}: the encrypted connection fails.", hint, permanent=True)
    if isinstance(error, (boto.ConnectTimeoutError, boto.ReadTimeoutError)):
        return StoreFailed(f"{what}: the store does not answer in time.", endpoint, permanent=False)
    if isinstance(error, (boto.ConnectionError, boto.HTTPClientError, boto.IncompleteReadError, OSError)):
        return StoreFailed(f"{what}: the store cannot be reached.", endpoint, permanent=False)
    told = redact(str(error))[:300]
    return StoreFailed(f"{what}: {told}", "Correct the options of the destination.", permanent=True)
