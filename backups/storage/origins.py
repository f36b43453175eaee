"""Where the sources were, in words that a shell can read out of the details without a JSON parser (pure).

In the details stands `"places": {key of a part: words on its source}`. The words are the place as
`restore.sh --target` takes it (a database's name, an absolute path; empty where there is none), a sentence for
people, and of a SQLite file `mode:uid:gid`, as far as known, each after a space. In all, every byte but letters, digits and `._/:-` is written as `%` and three octal digits: what
`printf %b` of every shell turns back once each `%` is a `\\0`.
"""

import re
from collections.abc import Iterable, Mapping
from typing import Any

PLAIN = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._/:-")
WRITTEN = re.compile(rb"%([0-7]{3})")


def places(parts: Iterable[tuple[str, str]], sources: Mapping[str, Mapping[str, Any]]) -> dict[str, str]:
    """{key: words} of `(key, source's name)` of each part."""
    return {key: _words(sources[name]) for key, name in parts}


def _words(source: Mapping[str, Any]) -> str:
    objects = source["witness"]["objects"]
    rights = ":".join(filter(None, (objects.get("file mode"), objects.get("file owner"))))
    return f"{encoded(source['place'])} {encoded(source['target'])} {encoded(rights)}"


def encoded(text: str) -> str:
    """One word of ASCII, whatever the text is: a path may hold bytes that are no UTF-8."""
    return "".join(
        chr(byte) if byte in PLAIN else f"%{byte:03o}" for byte in text.encode(errors="surrogateescape")
    )


def decoded(word: str) -> str:
    """The text of which `encoded` made the word."""
    return WRITTEN.sub(lambda match: bytes([int(match[1], 8) & 255]), word.encode()).decode(
        errors="surrogateescape"
    )
