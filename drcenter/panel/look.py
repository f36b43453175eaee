"""What a page shows, before anybody says how it looks: verdicts, facts, tables, buttons (pure)."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any


class Tone(StrEnum):
    """How good it is. A tone always comes with a word and an icon: nobody has to tell colours apart."""

    GOOD = "good"
    FAIR = "fair"
    WARN = "warn"
    BAD = "bad"
    BUSY = "busy"
    IDLE = "idle"


@dataclass(frozen=True)
class Verdict:
    """A state: its word, its tone, its icon (a name of Material Symbols), and a sentence that explains it."""

    word: str
    tone: Tone
    icon: str
    sentence: str = ""


@dataclass(frozen=True)
class Link:
    """Text that leads somewhere."""

    text: str
    href: str


@dataclass(frozen=True)
class Fact:
    """A name and its value; `value` is a Link, a Verdict or text."""

    label: str
    value: Any
    # Long values (a digest, a path) take the whole width and a fixed pitch.
    code: bool = False


@dataclass(frozen=True)
class Button:
    """An act that can be asked for. `href` leads to its page; with `post` the button itself does it."""

    label: str
    href: str
    icon: str = ""
    style: str = "default"
    post: bool = False


@dataclass(frozen=True)
class Table:
    """Rows of cells; a cell is a Link, a Verdict, a sequence of Buttons, or text."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[Any]]
    empty: str = ""


@dataclass(frozen=True)
class Notice:
    """Something to know or to do: a sentence, what to do about it, and where."""

    message: str
    hint: str = ""
    tone: Tone = Tone.BAD
    link: Link | None = None


@dataclass(frozen=True)
class Record:
    """The page of one row."""

    verdict: Verdict
    facts: Sequence[Fact] = ()
    notices: Sequence[Notice] = ()
    buttons: Sequence[Button] = ()
    tables: Sequence[Table] = ()
    # A job whose progress and log are shown.
    job: Any = None
    # True while something still changes: the page then refreshes itself.
    live: bool = False
    # How often it does.
    every: str = "2s"
    extra: dict[str, Any] = field(default_factory=dict)
