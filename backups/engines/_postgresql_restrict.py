r"""Keeps psql from obeying what a dump says to psql itself: `\!` would run a program of this machine.

A store may serve other bytes than those that were checked, and a digest is known only after the last of them.
So psql is told `\restrict` with a key that only this process knows before it sees the first byte: from there on
it takes SQL and rows, and ends at any command of its own (psql, "\restrict"; all versions since August 2025).
"""

import re
import secrets
from collections.abc import Iterable, Iterator
from functools import lru_cache

from drcenter.errors import OperationFailed
from drcenter.process import Command, run

# The dump's own key stands behind the first comments, before any statement.
OWN = re.compile(rb"\A(?:(?:--[^\n]*)?\n)*(\\restrict ([A-Za-z0-9]+)\n)")
HEADER = 4096


@lru_cache(maxsize=16)
def check_restricts(psql: str) -> None:
    r"""Raises OperationFailed unless this psql knows `\restrict`."""
    if b"\\restrict" not in run(Command((psql, "--help=commands"))).stdout:
        raise OperationFailed(
            f"{psql} is too old to be kept from running commands that stand in a dump.",
            "Install its security updates (13.22, 14.19, 15.14, 16.10, 17.6 or newer): apt-get install"
            " --only-upgrade postgresql-client-*. Or restore by hand: restore.sh in the set.",
            permanent=True,
        )


def restricted(blocks: Iterable[bytes]) -> Iterator[bytes]:
    r"""The dump behind a `\restrict` of our own, without its own one and the end of that."""
    yield b"\\restrict " + secrets.token_hex(32).encode() + b"\n"
    rest = iter(blocks)
    head = b""
    for block in rest:
        head += block
        if len(head) >= HEADER:
            break
    found = OWN.match(head)
    if found is None:
        yield head
        yield from rest
        return
    yield head[: found.start(1)]
    # Rows cannot hold this line: COPY writes a backslash twice, and its escapes know no `\u`.
    yield from _without(b"\\unrestrict " + found[2], head[found.end(1) :], rest)


def _without(line: bytes, head: bytes, blocks: Iterator[bytes]) -> Iterator[bytes]:
    whole = b"\n" + line + b"\n"
    kept = head
    for block in blocks:
        data = (kept + block).replace(whole, b"\n")
        cut = max(0, len(data) - len(whole) + 1)
        yield data[:cut]
        kept = data[cut:]
    kept = kept.replace(whole, b"\n")
    yield kept.removesuffix(line) if kept.endswith(b"\n" + line) else kept
