"""Google Cloud Storage's JSON API over HTTP: requests, and what its errors mean for an operator."""

import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from backups.destinations.base import NotThere
from drcenter.errors import OperationFailed
from drcenter.secrets import redact, resolve

CONNECT_SECONDS, READ_SECONDS = 10, 60
SCOPE = "https://www.googleapis.com/auth/devstorage.read_write"
RIGHTS = "Check the service account, its key, and the rights that docs/destinations/gcs.md lists."
LATER = "Try again later; look at the provider's status page if it stays so."
NETWORK = "Check the endpoint, the network and the firewall; try again later."

# HTTP status: a sentence, a hint, and whether the same call will fail again.
STATUSES: dict[int, tuple[str, str, bool]] = {
    401: ("the store does not accept the credentials", RIGHTS, True),
    403: ("the store refuses access, or the object is locked", RIGHTS, True),
    408: ("the store is overloaded or in trouble", LATER, False),
    410: ("the store has forgotten the unfinished upload", "Start again.", True),
    412: ("the object was replaced meanwhile", "Start again.", True),
    429: ("the store is overloaded or in trouble", LATER, False),
}


class StoreFailed(OperationFailed):
    """A call to the store failed. `status` is the HTTP status; 0 when it gave no answer."""

    def __init__(self, message: str, hint: str, *, permanent: bool, status: int = 0) -> None:
        super().__init__(message, hint, permanent=permanent)
        self.status = status


def session(credentials_json: str) -> Any:
    """A session that signs in as the service account of that key, or as this machine where there is none."""
    try:
        import google.auth
        from google.auth.exceptions import GoogleAuthError
        from google.auth.transport.requests import AuthorizedSession
        from google.oauth2.service_account import Credentials
    except ImportError:
        raise OperationFailed(
            "google-auth is not installed.", 'Install it: pip install "drcenter[gcs]"', permanent=True
        ) from None
    signed: Any = AuthorizedSession  # It has no types.
    try:
        if not credentials_json:
            return signed(google.auth.default(scopes=[SCOPE])[0])
        known: Any = Credentials
        account = json.loads(resolve(credentials_json).reveal())
        return signed(known.from_service_account_info(account, scopes=[SCOPE]))
    except (GoogleAuthError, ValueError, KeyError, TypeError):
        raise OperationFailed(
            "The credentials cannot be used.",
            "It has to be the JSON key of a service account.",
            permanent=True,
        ) from None


class Api:
    """Calls, without any repetition. Every failure is a StoreFailed, or NotThere for `key`."""

    def __init__(self, endpoint: str, bucket: str, credentials_json: str) -> None:
        self._endpoint, self._bucket = endpoint, bucket
        self._session = session(credentials_json)

    @property
    def objects(self) -> str:
        return f"{self._endpoint}/storage/v1/b/{quote(self._bucket, safe='')}/o"

    @property
    def uploads(self) -> str:
        return f"{self._endpoint}/upload/storage/v1/b/{quote(self._bucket, safe='')}/o"

    def object(self, name: str) -> str:
        return f"{self.objects}/{quote(name, safe='')}"

    def call(
        self,
        what: str,
        method: str,
        url: str,
        *,
        key: str | None = None,
        accepted: tuple[int, ...] = (),
        **more: Any,
    ) -> Any:
        """The answer. `accepted` are statuses besides 2xx that are no failure."""
        import requests
        from google.auth.exceptions import GoogleAuthError, TransportError

        try:
            answer = self._session.request(
                method, url, timeout=(CONNECT_SECONDS, READ_SECONDS), allow_redirects=False, **more
            )
        except (requests.RequestException, TransportError, OSError):
            raise StoreFailed(f"{what}: the store cannot be reached.", NETWORK, permanent=False) from None
        except GoogleAuthError:
            sentence = "the credentials are not accepted"
            raise StoreFailed(f"{what}: {sentence}.", RIGHTS, permanent=True, status=401) from None
        if (answer.ok and answer.status_code < 300) or answer.status_code in accepted:
            return answer
        raise _refused(what, answer, key)

    def json(self, what: str, method: str, url: str, **more: Any) -> Mapping[str, Any]:
        answer = self.call(what, method, url, **more)
        try:
            found: Mapping[str, Any] = answer.json()
        except ValueError:
            raise StoreFailed(f"{what}: the store's answer is no JSON.", NETWORK, permanent=False) from None
        return found


def _refused(what: str, answer: Any, key: str | None) -> OperationFailed:
    status = int(answer.status_code)
    try:
        told = redact(str(answer.json()["error"]["message"]))[:200]
    except (ValueError, KeyError, TypeError):
        told = ""
    if status == 404:
        if key is not None and "bucket" not in told:
            return NotThere(f"{key} is not there.", permanent=True)
        return StoreFailed(
            f"{what}: the bucket does not exist.",
            "Create it, or correct its name.",
            permanent=True,
            status=404,
        )
    if status >= 500:
        return StoreFailed(
            f"{what}: the store is in trouble ({status}).", LATER, permanent=status == 501, status=status
        )
    sentence, hint, permanent = STATUSES.get(status, ("the store refuses it", "", True))
    text = f" {told}" if told else ""
    return StoreFailed(f"{what}: {sentence} ({status}).{text}", hint, permanent=permanent, status=status)
