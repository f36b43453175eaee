"""A small HTTP server that answers as Google documents the JSON API of Cloud Storage, as far as we use it.

cloud.google.com/storage/docs: Resumable uploads, Request preconditions, Object Retention Lock, Object Versioning. The
emulators that pip offers know neither preconditions nor retention. It shows that what we send and read is what is
documented; only the connection test shows what Google makes of it.
"""

import base64
import hashlib
import json
import re
import threading
import uuid
from datetime import UTC, datetime
from functools import cache
from http.server import BaseHTTPRequestHandler
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from tests.backups.destinations.faulty_s3 import _Quiet

TOKEN = "ya29.a-token-of-the-simulator"
PAGE = 50
MULTIPLE = 256 * 1024


class Refused(Exception):
    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class Bucket:
    """`retention`: objects may be locked there; `forgets`: takes the order without an error, and does nothing."""

    def __init__(self, *, versions: bool = False, retention: bool = True, forgets: bool = False) -> None:
        self.versions, self.retention, self.forgets = versions, retention, forgets
        self.live: dict[str, dict[str, Any]] = {}
        self.old: list[dict[str, Any]] = []
        self.uploads: dict[str, dict[str, Any]] = {}
        self.generation = 1_700_000_000_000_000

    def check(self, name: str, condition: str | None) -> None:
        if condition is not None and condition != self.live.get(name, {"generation": "0"})["generation"]:
            raise Refused(412, "At least one of the pre-conditions you specified did not hold.")

    def store(self, upload: dict[str, Any]) -> dict[str, Any]:
        name = upload["name"]
        self.check(name, upload["condition"])
        if name in self.live:
            self.remove(name, None)
        self.generation += 1
        content = bytes(upload["content"])
        self.live[name] = {
            "name": name, "size": str(len(content)), "generation": str(self.generation), "content": content,
            "md5Hash": base64.b64encode(hashlib.md5(content).digest()).decode(),
            "updated": datetime.now(UTC).isoformat(), "storageClass": upload.get("storageClass", "STANDARD"),
        }  # fmt: skip
        return self.live[name]

    def find(self, name: str, generation: str | None) -> dict[str, Any]:
        for one in [self.live[name]] if name in self.live else []:
            if generation in (None, one["generation"]):
                return one
        for one in self.old:
            if one["name"] == name and one["generation"] == generation:
                return one
        raise Refused(404, f"No such object: {name}")

    def remove(self, name: str, generation: str | None) -> None:
        found = self.find(name, generation)
        locked = datetime.fromisoformat(
            found.get("retention", {}).get("retainUntilTime", "2000-01-01T00:00:00Z")
        )
        if generation is None and self.versions:
            self.old.append(self.live.pop(name))
            return
        if locked > datetime.now(UTC):
            raise Refused(403, f"Object '{name}' is under active retention and cannot be deleted.")
        if self.live.get(name) is found:
            del self.live[name]
        else:
            self.old.remove(found)

    def retain(self, name: str, generation: str | None, order: dict[str, str]) -> dict[str, Any]:
        found = self.find(name, generation)
        if not self.retention:
            raise Refused(400, "Object Retention is not enabled on the bucket.")
        new, old = order["retainUntilTime"], found.get("retention")
        if old and old["mode"] == "Locked":
            shorter = datetime.fromisoformat(new) < datetime.fromisoformat(old["retainUntilTime"])
            if shorter or order["mode"] != "Locked":
                raise Refused(403, "Locked retention can neither be shortened nor unlocked.")
        if not self.forgets:
            found["retention"] = dict(order)
        return found


# Of every simulator of this process, by name.
BUCKETS: dict[str, Bucket] = {}


class Simulator:
    def __init__(self) -> None:
        self._server = _Quiet(("127.0.0.1", 0), _Handler)
        self.port = int(self._server.server_address[1])

    def __enter__(self) -> "Simulator":
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def options(
        self, folder: Any, bucket: Bucket | None = None, port: int = 0, **more: Any
    ) -> dict[str, Any]:
        """Options of a destination in a bucket of its own; `folder` gets the key of its service account."""
        name = f"sets-{uuid.uuid4().hex[:12]}"
        BUCKETS[name] = bucket or Bucket()
        url = f"http://127.0.0.1:{port or self.port}"
        account = {
            "type": "service_account", "client_email": "drc@example.iam.gserviceaccount.com",
            "token_uri": f"{url}/token", "private_key": private_key(), "project_id": "example",
        }  # fmt: skip
        (folder / "account.json").write_text(json.dumps(account))
        reference = f"file:{folder}/account.json"
        return {"bucket": name, "prefix": "drc", "endpoint_url": url, "credentials_json": reference, **more}


@cache
def private_key() -> str:
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import rsa

    kinds = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    return rsa.generate_private_key(65537, 2048).private_bytes(*kinds).decode()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *arguments: Any) -> None:
        return

    def _serve(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        parts = urlsplit(self.path)
        given = {name: values[0] for name, values in parse_qs(parts.query).items()}
        try:
            if parts.path == "/token":
                return self._json({"access_token": TOKEN, "expires_in": 3600, "token_type": "Bearer"})
            if self.headers["Authorization"] != f"Bearer {TOKEN}":
                raise Refused(401, "Invalid Credentials")
            match = re.fullmatch(r"(/upload)?/storage/v1/b/([^/]+)/o(?:/(.+))?", parts.path)
            if match is None or match[2] not in BUCKETS:
                raise Refused(404, "The specified bucket does not exist.")
            bucket = BUCKETS[match[2]]
            if match[1]:
                return self._upload(bucket, given, body)
            return self._object(bucket, unquote(match[3] or ""), given, body)
        except Refused as refused:
            return self._json({"error": {"code": refused.status, "message": str(refused)}}, refused.status)

    do_GET = do_PUT = do_POST = do_DELETE = do_PATCH = _serve

    def _upload(self, bucket: Bucket, given: dict[str, str], body: bytes) -> None:
        if self.command == "POST":
            token = uuid.uuid4().hex
            metadata = json.loads(body)
            bucket.check(metadata["name"], given.get("ifGenerationMatch"))
            bucket.uploads[token] = {
                **metadata,
                "condition": given.get("ifGenerationMatch"),
                "content": bytearray(),
            }
            url = f"http://{self.headers['Host']}{urlsplit(self.path).path}?uploadType=resumable&upload_id={token}"
            return self._answer(200, b"", ("Location", url))
        upload = bucket.uploads.get(given.get("upload_id", ""))
        if upload is None:
            raise Refused(410, "The upload is gone.")
        if self.command == "DELETE":
            del bucket.uploads[given["upload_id"]]
            return self._answer(499, b"")
        return self._chunk(bucket, given["upload_id"], upload, body)

    def _chunk(self, bucket: Bucket, token: str, upload: dict[str, Any], body: bytes) -> None:
        """A chunk, or with `bytes */…` the question how much is there. After the end the same answer again."""
        if "result" in upload:
            return self._json(_resource(upload["result"]))
        match = re.fullmatch(r"bytes (?:(\d+)-(\d+)|\*)/(\d+|\*)", self.headers["Content-Range"])
        if match is None:
            raise Refused(400, "Invalid Content-Range")
        content = upload["content"]
        if match[1] is not None:
            if int(match[1]) != len(content) or int(match[2]) - int(match[1]) + 1 != len(body):
                raise Refused(503, "Bytes are missing")
            if match[3] == "*" and len(body) % MULTIPLE:
                raise Refused(400, "The chunk is no multiple of 256 KiB")
            content += body
        if match[3] != "*" and int(match[3]) == len(content):
            upload["result"] = bucket.store(upload)
            return self._json(_resource(upload["result"]))
        return self._answer(308, b"", *([("Range", f"bytes=0-{len(content) - 1}")] if content else []))

    def _object(self, bucket: Bucket, name: str, given: dict[str, str], body: bytes) -> None:
        generation = given.get("generation")
        if not name:
            return self._list(bucket, given)
        if self.command == "DELETE":
            bucket.remove(name, generation)
            return self._answer(204, b"")
        if self.command == "PATCH":
            return self._json(_resource(bucket.retain(name, generation, json.loads(body)["retention"])))
        found = bucket.find(name, generation)
        if given.get("alt") != "media":
            return self._json(_resource(found))
        content = found["content"]
        if limits := re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers.get("Range") or ""):
            return self._answer(206, content[int(limits[1]) : int(limits[2]) + 1])
        return self._answer(200, content)

    def _list(self, bucket: Bucket, given: dict[str, str]) -> None:
        found = [*bucket.live.values(), *(bucket.old if given.get("versions") == "true" else [])]
        found = [one for one in found if one["name"].startswith(given.get("prefix", ""))]
        found.sort(key=lambda one: (one["name"].encode(), int(one["generation"])))
        start = int(given.get("pageToken", 0))
        page: dict[str, Any] = {"items": [_resource(one) for one in found[start : start + PAGE]]}
        if len(found) > start + PAGE:
            page["nextPageToken"] = str(start + PAGE)
        self._json(page)

    def _json(self, content: object, status: int = 200) -> None:
        self._answer(status, json.dumps(content).encode(), ("Content-Type", "application/json"))

    def _answer(self, status: int, content: bytes, *headers: tuple[str, str]) -> None:
        self.send_response(status)
        for name, value in (*headers, ("Content-Length", str(len(content)))):
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)


def _resource(one: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in one.items() if name != "content"}
