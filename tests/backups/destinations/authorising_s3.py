"""A real HTTP server in front of an S3 server that asks for rights: the policies of docs/destinations/s3-policies.

Neither moto nor LocalStack does. It decides by the access key of the signature, whose secret nobody checks: what is
tested is what the rights allow, not who holds them.
"""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from tests.backups.destinations.faulty_s3 import DENIED, FaultyServer, _Handler

POLICIES = Path(__file__).parents[3] / "docs/destinations/s3-policies"


def policy(name: str, bucket: str, prefix: str) -> list[dict[str, Any]]:
    text = (POLICIES / f"{name}.json").read_text().replace("BUCKET", bucket).replace("PREFIX", prefix)
    return list(json.loads(text)["Statement"])


@dataclass(frozen=True)
class Asked:
    """One right that a request needs."""

    action: str
    resource: str
    conditional: bool = False
    creates: bool = True

    def allowed_by(self, statement: dict[str, Any]) -> bool:
        """These policies only allow; everything else is refused."""
        actions, resource = statement["Action"], statement["Resource"]
        fits = self.action in actions and fnmatchcase(self.resource, resource)
        for operator, tests in statement.get("Condition", {}).items():
            known = {
                ("Null", "s3:if-none-match"): not self.conditional,
                ("Bool", "s3:ObjectCreationOperation"): self.creates,
            }
            fits &= all(known[operator, key] == (value == "true") for key, value in tests.items())
        return fits


def asked(method: str, path: str, headers: Any) -> Iterator[Asked]:
    """The rights that Amazon asks for; "s3:Other" for what no policy here may grant."""
    parts, query = urlsplit(path), parse_qs(urlsplit(path).query, keep_blank_values=True)
    bucket, _slash, key = parts.path.lstrip("/").partition("/")
    resource = f"arn:aws:s3:::{bucket}" + (f"/{key}" if key else "")
    if headers.get("x-amz-bypass-governance-retention"):
        yield Asked("s3:BypassGovernanceRetention", resource)
    yield Asked(
        (_of_object if key else _of_bucket)(method, query),
        resource,
        conditional=headers.get("If-None-Match") == "*",
        creates="partNumber" not in query and "uploads" not in query,
    )


def _of_bucket(method: str, query: dict[str, Any]) -> str:
    if method not in {"GET", "HEAD"} or query.keys() - LISTING:
        return "s3:Other"
    if "versions" in query:
        return "s3:ListBucketVersions"
    return "s3:ListBucketMultipartUploads" if "uploads" in query else "s3:ListBucket"


LISTING = {
    "versions", "uploads", "list-type", "prefix", "max-keys", "max-uploads", "encoding-type", "continuation-token",
    "key-marker", "version-id-marker", "upload-id-marker", "delimiter", "start-after",
}  # fmt: skip


def _of_object(method: str, query: dict[str, Any]) -> str:
    if query.keys() & {"acl", "tagging", "legal-hold", "restore", "torrent"}:
        return "s3:Other"
    if "retention" in query:
        return "s3:PutObjectRetention" if method == "PUT" else "s3:GetObjectRetention"
    if method in {"GET", "HEAD"}:
        return "s3:GetObjectVersion" if "versionId" in query else "s3:GetObject"
    if method == "DELETE" and "uploadId" in query:
        return "s3:AbortMultipartUpload"
    if method == "DELETE":
        return "s3:DeleteObjectVersion" if "versionId" in query else "s3:DeleteObject"
    return "s3:PutObject"


class AuthorisingServer(FaultyServer):
    """`rights`: access key -> statements of its policy. Without one everything is refused."""

    def __init__(self, backend: int, rights: dict[str, list[dict[str, Any]]]) -> None:
        self.rights = rights
        self.refused: list[str] = []
        super().__init__(backend)

    def may(self, key: str, method: str, path: str, headers: Any) -> bool:
        statements = self.rights.get(key, [])
        wanted = list(asked(method, path, headers))
        missing = [one for one in wanted if not any(one.allowed_by(each) for each in statements)]
        self.refused += [f"{key} {one.action}" for one in missing]
        return not missing

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        server = self

        class Handler(_Handler):
            choose = staticmethod(server.choose)
            backend = server.backend

            def _serve(self) -> None:
                found = re.search(r"Credential=([^/]+)/", self.headers.get("Authorization", ""))
                if found and server.may(found[1], self.command, self.path, self.headers):
                    return _Handler._serve(self)
                self.rfile.read(int(self.headers.get("Content-Length") or 0))
                return self._refuse(*DENIED)

            do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = _serve

        return Handler
