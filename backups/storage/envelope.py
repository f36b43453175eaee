"""A small signed object: the text of a JSON object, and an Ed25519 signature of exactly this text (pure)."""

import base64
import json
from collections.abc import Callable, Mapping
from typing import Any


class NoEnvelope(ValueError):
    """The bytes are none."""


def closed(data: Mapping[str, Any], sign: Callable[[bytes], bytes]) -> bytes:
    """`data` as one line, with its signature."""
    body = json.dumps(data, sort_keys=True)
    signature = base64.b64encode(sign(body.encode())).decode()
    return (json.dumps({"body": body, "signature": signature}) + "\n").encode()


def opened(content: bytes, largest: int) -> tuple[dict[str, Any], bytes, bytes]:
    """(data, the text that is signed, its signature). Raises NoEnvelope; whether the signature is good, the caller asks."""
    try:
        outer = dict(json.loads(content)) if len(content) <= largest else {}
        body, signature = outer["body"], base64.b64decode(outer["signature"], validate=True)
        return dict(json.loads(body)), body.encode(), signature
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        raise NoEnvelope("it cannot be read") from None
