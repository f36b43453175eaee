"""Patterns of paths below a directory, over bytes: names on disk are in any encoding (pure)."""

import os
import re
from collections.abc import Callable, Iterable

Matches = Callable[[bytes], bool]


def excluded(patterns: Iterable[str]) -> Matches:
    """Whether a path matches one of `patterns`. What is below such a path is for the caller to leave out.

    Patterns are relative to the directory: `vendor`, `storage/logs/*.log`. `*` and `?` stay within one
    name, `**/` stands for any number of directories, `[ab]` for one of some characters.
    """
    expressions = [_expression(os.fsencode(cleaned)) for pattern in patterns if (cleaned := tidy(pattern))]
    if not expressions:
        return lambda path: False
    whole = re.compile(b"|".join(expressions), re.DOTALL)
    return lambda path: whole.fullmatch(path) is not None


def outside(only: Iterable[str]) -> Matches:
    """Whether the first name of a path matches none of the patterns `only`; never, if there are none."""
    patterns = list(only)
    inside = excluded(patterns)
    if not patterns:
        return lambda path: False
    return lambda path: not inside(path.partition(b"/")[0])


def below(paths: Iterable[str]) -> Matches:
    """Whether a path is one of `paths`, or below one."""
    kept = {os.fsencode(cleaned) for path in paths if (cleaned := tidy(path))}
    starts = tuple(path + b"/" for path in kept)
    return lambda path: path in kept or path.startswith(starts)


def tidy(pattern: str) -> str:
    """`pattern` without what may stand before and after it: `./vendor/` is `vendor`."""
    return pattern.strip().removeprefix("./").strip("/")


def _expression(pattern: bytes) -> bytes:
    result, rest = b"", pattern
    while rest:
        if rest.startswith(b"**/"):
            result, rest = result + b"(?:.*/)?", rest[3:]
        elif rest.startswith(b"**"):
            result, rest = result + b".*", rest[2:]
        elif rest[:1] in {b"*", b"?"}:
            result, rest = result + (b"[^/]*" if rest[:1] == b"*" else b"[^/]"), rest[1:]
        elif (group := re.match(rb"\[(!?)(\]?[^\]]*)\]", rest)) is not None:
            inner = group[2].replace(b"\\", rb"\\").replace(b"[", rb"\[").replace(b"]", rb"\]")
            inner = rb"\^" + inner[1:] if inner.startswith(b"^") else inner
            result, rest = result + b"[" + (b"^/" if group[1] else b"") + inner + b"]", rest[group.end() :]
        else:
            result, rest = result + re.escape(rest[:1]), rest[1:]
    return b"(?:" + result + b")"
