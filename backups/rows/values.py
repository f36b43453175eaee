"""Values of rows, as they are kept, shown and ordered without losing anything (pure).

A value is None, str, bytes, int or float. Servers give nearly everything as text of its own type, which is what a
dump holds; SQLite's values have types of their own.
"""

import json
import math
from collections.abc import Iterable, Sequence
from typing import Any, TypeAlias

Value: TypeAlias = "str | bytes | int | float | None"
Values: TypeAlias = tuple[Value, ...]

# Characters of a value that a page or a terminal shows.
SHOWN = 80


def packed(values: Values | None) -> str | None:
    """A row as JSON. Bytes become {"x": hex}, numbers that JSON has no word for {"f": text}."""
    return None if values is None else json.dumps([_packed(value) for value in values], ensure_ascii=False)


def _packed(value: Value) -> Any:
    if isinstance(value, bytes):
        return {"x": value.hex()}
    if isinstance(value, float) and not math.isfinite(value):
        return {"f": repr(value)}
    return value


def unpacked(text: str | None) -> Values | None:
    """The row that `packed` made the text of."""
    return None if text is None else tuple(_unpacked(value) for value in json.loads(text))


def _unpacked(value: Any) -> Value:
    if isinstance(value, dict):
        return bytes.fromhex(value["x"]) if "x" in value else float(value["f"])
    return value  # type: ignore[no-any-return]


def equal(one: Value, other: Value) -> bool:
    """The same value of the same type: 1 and 1.0 are two, as for SQLite; and no number is NaN."""
    return type(one) is type(other) and one == other


def shown(value: Value, limit: int = SHOWN) -> str:
    """For people: NULL, bytes as hex, long ones cut with their length."""
    if value is None:
        return "NULL"
    text = f"x'{value[:limit].hex()}'" if isinstance(value, bytes) else str(value)
    if len(text) <= limit:
        return text
    return f"{text[:limit]}… ({len(value) if isinstance(value, str | bytes) else len(text)})"


def csv_lines(columns: Sequence[str], rows: Iterable[Values]) -> Iterable[str]:
    """CSV with a header. NULL is an empty field and the empty text is "", as PostgreSQL's COPY has it; bytes are \\x…

    Text that a spreadsheet would run as a formula stays what it is: this is data to be loaded, not a report.
    """
    yield _line(columns)
    for row in rows:
        yield _line(row)


def _line(row: Iterable[Value]) -> str:
    return ",".join(_field(value) for value in row) + "\n"


def _field(value: Value) -> str:
    if value is None:
        return ""
    if isinstance(value, bytes):
        return f"\\x{value.hex()}"
    if value == "":
        return '""'
    text = str(value)
    if any(character in text for character in ',"\r\n'):
        return '"' + text.replace('"', '""') + '"'
    return text
