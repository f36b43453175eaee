"""Reads a `.env` file as Laravel does (pure).

The rules are those of vlucas/phpdotenv 5, which Laravel brings: what it makes of quotes, `#`, `export`,
`${OTHER}` and odd lines is followed step by step, and a test compares the two on the same files.
It differs in one thing: phpdotenv refuses the whole file for one odd line; here the line is reported,
and the rest is read, because a recovery tool has to work with what is there.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

BYTE_ORDER_MARK = "\ufeff"
# PHP's trim() takes these, and no form feed.
BLANKS = " \t\n\r\0\x0b"
ESCAPES = {"f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v"}
NAME = re.compile(r"[a-zA-Z0-9_.]+")
TOKEN = re.compile(r"[\r\n]+|[^\S\r\n]+|\\|'|\"|#|\$|[^\s\\'\"#$]+", re.ASCII)
REFERENCE = re.compile(r"\$\{([a-zA-Z0-9_.]+)\}")
# What Laravel's env() turns into null, or into an empty text.
NOTHING = {"null", "(null)", "empty", "(empty)"}


@dataclass(frozen=True)
class Problem:
    """A line that cannot be used as it stands. The message never holds a value: it may be a password."""

    line: int
    message: str

    def __str__(self) -> str:
        return f"line {self.line}: {self.message}"


@dataclass
class Environment:
    """The values by name, after interpolation, and what was odd. Its repr shows no value."""

    values: dict[str, str] = field(default_factory=dict, repr=False)
    problems: list[Problem] = field(default_factory=list)

    def get(self, name: str, default: str = "") -> str:
        """The value as Laravel's env() hands it on: `null` and `(empty)` are nothing, spare quotes are gone."""
        value = self.values.get(name)
        return default if value is None else _meant(value)


# A piece of a value, to: its text, whether it may begin a reference, and the next state.
_State = Callable[[str], tuple[str, bool, Any]]


class _Odd(ValueError):
    """Why an entry is refused."""


def parse(content: bytes | str, outside: Mapping[str, str] | None = None) -> Environment:
    """Read a whole file. Never raises: what is odd stands in `problems`, with its line.

    `outside` are variables that exist already, for `${OTHER}`. They win over the file, as in Laravel.
    """
    read, known = Environment(), dict(outside or {})
    for line, entry in _entries(_decoded(content, read), read):
        try:
            name, characters, references = _split(entry)
        except _Odd as odd:
            read.problems.append(Problem(line, str(odd)))
            continue
        if outside and name in outside:
            continue
        value, missing = _interpolated(characters, references, known)
        read.problems += [Problem(line, f"${{{one}}} is not set before this line") for one in missing]
        read.values[name] = known[name] = value
    return read


def _decoded(content: bytes | str, read: Environment) -> str:
    if isinstance(content, bytes):
        text = content.decode("utf-8", errors="surrogateescape")
        repaired = re.sub("[\udc80-\udcff]", "?", text)
        if repaired != text:
            line = text[: re.search("[\udc80-\udcff]", text).start()].count("\n") + 1  # type: ignore[union-attr]
            read.problems.append(Problem(line, "not UTF-8; such bytes are read as question marks"))
        content = repaired
    return content.removeprefix(BYTE_ORDER_MARK)


def _entries(text: str, read: Environment) -> Iterator[tuple[int, str]]:
    """Number and text of each entry; a double-quoted value may go over several lines."""
    begun, buffer = 0, []
    for number, line in enumerate(re.split(r"\r\n|\n|\r", text), 1):
        starts = '="' in line and not _closes(line, starts=True)
        if not begun and not starts:
            if line.strip(BLANKS) and not line.strip(BLANKS).startswith("#"):
                yield number, line
            continue
        begun = begun or number
        buffer.append(line)
        if _closes(line, starts=starts):
            yield begun, "\n".join(buffer)
            begun, buffer = 0, []
    if begun:
        read.problems.append(Problem(begun, "the quote that begins here is never closed"))


def _closes(line: str, *, starts: bool) -> bool:
    """True if the line ends a quoted value; where it also `starts` one, it needs a second quote."""
    if line == '"':
        return True
    quotes = len(re.findall(r'(?=[^\\]")', line.replace("\\\\", "")))
    return quotes > 1 if starts else quotes >= 1


def _split(entry: str) -> tuple[str, str, list[int]]:
    """Name, characters of the value, and where in them a `$` may begin a reference."""
    name, equals, value = (part.strip(BLANKS) for part in entry.partition("="))
    if not equals:
        raise _Odd("there is no = in it")
    if not name:
        raise _Odd("there is no name before the =")
    characters, references = _value(value)
    return _name(name), characters, references


def _name(name: str) -> str:
    # More than one letter has to follow: phpdotenv counts "export" and two more.
    if len(name) > 8 and name.startswith("export") and _blank(name[6]):
        name = name[6:].lstrip(BLANKS)
    if len(name) >= 3 and name[0] == name[-1] and name[0] in "\"'":
        name = name[1:-1]
    if not NAME.fullmatch(name):
        raise _Odd("the name holds something other than letters, digits, _ and .")
    return name


def _value(value: str) -> tuple[str, list[int]]:
    """The characters that count, and the places of the `$` that are neither escaped nor in single quotes."""
    state: _State = _bare
    characters, references = "", []
    for piece in TOKEN.findall(value):
        text, is_reference, state = state(piece)
        if is_reference:
            references.append(len(characters))
        characters += text
    if state in (_single, _double, _escaped):
        raise _Odd("a quote is not closed")
    return characters, references


def _blank(piece: str) -> bool:
    """True for PHP's white space alone: a no-break space is a letter to it."""
    return bool(re.fullmatch(r"\s+", piece, re.ASCII))


# The states of phpdotenv's EntryParser.
def _bare(piece: str) -> tuple[str, bool, _State]:
    quotes: dict[str, _State] = {"'": _single, '"': _double}
    if piece in quotes:
        return "", False, quotes[piece]
    return _unquoted(piece)


def _unquoted(piece: str) -> tuple[str, bool, _State]:
    if piece == "#":
        return "", False, _comment
    if _blank(piece):
        return "", False, _after
    return piece, piece == "$", _unquoted


def _single(piece: str) -> tuple[str, bool, _State]:
    return ("", False, _after) if piece == "'" else (piece, False, _single)


def _double(piece: str) -> tuple[str, bool, _State]:
    if piece == '"':
        return "", False, _after
    if piece == "\\":
        return "", False, _escaped
    return piece, piece == "$", _double


def _escaped(piece: str) -> tuple[str, bool, _State]:
    if piece in {'"', "\\", "$"}:
        return piece, False, _double
    if piece[0] in ESCAPES:
        return ESCAPES[piece[0]] + piece[1:], False, _double
    raise _Odd("a backslash in double quotes stands before a character that needs none")


def _after(piece: str) -> tuple[str, bool, _State]:
    if piece == "#":
        return "", False, _comment
    if not _blank(piece):
        raise _Odd("a value with spaces has to stand in quotes")
    return "", False, _after


def _comment(piece: str) -> tuple[str, bool, _State]:
    return "", False, _comment


def _interpolated(text: str, references: list[int], known: Mapping[str, str]) -> tuple[str, list[str]]:
    """The text with its references filled in, and the names that nobody knows: those stay as they are."""
    missing = []
    for place in sorted(references, reverse=True):
        found = REFERENCE.match(text, place)
        if found is None:
            continue
        if found[1] not in known:
            missing.append(found[1])
            continue
        text = text[:place] + known[found[1]] + text[found.end() :]
    return text, missing


def _meant(value: str) -> str:
    if value.lower() in NOTHING:
        return ""
    quoted = re.fullmatch(r"(['\"])(.*)\1", value, re.DOTALL)
    return quoted[2] if quoted else value
