"""What Azure's errors mean for an operator. No text here holds a key, a header or a body."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from backups.destinations.base import NotThere
from drcenter.errors import OperationFailed
from drcenter.secrets import redact

RIGHTS = "Check the key or the SAS token, that it is not expired, and the rights that docs/destinations/azure.md lists."
LATER = "Try again later; look at the provider's status page if it stays so."
NETWORK = "Check the endpoint, the network and the firewall; try again later."

# Azure's error code: a sentence, a hint, and whether the same call will fail again.
CODES: dict[str, tuple[str, str, bool]] = {
    "AuthenticationFailed": ("the store does not accept the credentials", RIGHTS, True),
    "AuthorizationFailure": ("the store refuses access", RIGHTS, True),
    "AuthorizationPermissionMismatch": ("the store refuses access", RIGHTS, True),
    "InsufficientAccountPermissions": ("the store refuses access", RIGHTS, True),
    "AccountIsDisabled": ("the account is disabled", RIGHTS, True),
    "ContainerNotFound": ("the container does not exist", "Create it, or correct its name and the account.", True),
    "ServerBusy": ("the store is overloaded or in trouble", LATER, False),
    "InternalError": ("the store is overloaded or in trouble", LATER, False),
    "OperationTimedOut": ("the store is overloaded or in trouble", LATER, False),
    "Md5Mismatch": ("the store received other bytes than were sent", "Look for a bad network or proxy.", False),
    "ConditionNotMet": ("the object was replaced meanwhile", "Start again.", True),
    "BlobAlreadyExists": ("another writer stored it meanwhile", "Start again.", True),
    "TargetConditionNotMet": ("the object was replaced meanwhile", "Start again.", True),
    "BlobArchived": ("the object is in the archive tier", "Bring it back to a tier that can be read first.", True),
    "BlobImmutableDueToPolicy": ("the object is locked", "It can be deleted when its lock has ended.", True),
    "BlobNotFound": ("the object is not there", "", True),
}  # fmt: skip
NO_LOCKS = "The container needs version-level immutability support; turn it on when it is created."


class StoreFailed(OperationFailed):
    """A call to the store failed. `code` is the store's error code; empty when it gave no answer."""

    def __init__(self, message: str, hint: str, *, permanent: bool, code: str = "") -> None:
        super().__init__(message, hint, permanent=permanent)
        self.code = code


@contextmanager
def explained(what: str, key: str | None = None) -> Iterator[None]:
    """Turn the SDK's errors into StoreFailed, or into NotThere where `key` was looked for and is absent."""
    from azure.core.exceptions import (
        AzureError,
        HttpResponseError,
        IncompleteReadError,
        ServiceRequestError,
        ServiceResponseError,
    )

    try:
        yield
    except HttpResponseError as error:
        raise _answered(what, error, key) from None
    except (ServiceRequestError, ServiceResponseError, IncompleteReadError, OSError):
        raise StoreFailed(f"{what}: the store cannot be reached.", NETWORK, permanent=False) from None
    except (AzureError, ValueError) as error:
        text = redact(str(error))[:200]
        raise StoreFailed(
            f"{what}: {text}", "Correct the options of the destination.", permanent=True
        ) from None


def _answered(what: str, error: Any, key: str | None) -> OperationFailed:
    given = getattr(error, "error_code", "") or ""
    code = str(getattr(given, "value", given))
    status = int(error.status_code or 0)
    # A look has no body, so that its error has no code.
    code = code or {412: "ConditionNotMet", 403: "AuthorizationFailure"}.get(status, "")
    if not status:
        return StoreFailed(f"{what}: the connection broke.", NETWORK, permanent=False)
    if key is not None and status == 404 and code != "ContainerNotFound":
        return NotThere(f"{key} is not there.", permanent=True)
    if code in CODES:
        sentence, hint, permanent = CODES[code]
        return StoreFailed(f"{what}: {sentence} ({code}).", hint, permanent=permanent, code=code)
    if status in (408, 429) or status >= 500:
        waits = status != 501
        return StoreFailed(
            f"{what}: the store is in trouble ({status} {code}).", LATER, permanent=not waits, code=code
        )
    return StoreFailed(f"{what}: the store answered {status} {code}.", "", permanent=True, code=code)
