"""How a column's value becomes text without losing anything (pure).

Two forms: for the witness, text that is equal only when the value is; for rows that the dump tool
would round, an SQL literal that gives back the same value. Sources: MariaDB's documentation of the
data types; that hexadecimal `x''` literals are always strings, while numbers in text are not rounded.
"""

from collections.abc import Sequence
from dataclasses import dataclass

FLOATING = frozenset({"float", "double", "real"})
EXACT = frozenset({"tinyint", "smallint", "mediumint", "int", "bigint", "decimal", "numeric", "year"})
# Their number is exact; their text is a matter of character sets.
NUMBERED = frozenset({"bit", "enum", "set"})
PLAIN = frozenset({"date", "time", "datetime", "timestamp", "uuid", "inet4", "inet6"})
# May be larger than what one expression may return (max_allowed_packet), so each is hashed or read alone.
LONG = frozenset({
    "mediumtext", "longtext", "mediumblob", "longblob", "text", "blob", "json", "vector",
    "geometry", "point", "linestring", "polygon", "multipoint", "multilinestring", "multipolygon",
    "geometrycollection", "geomcollection",
})  # fmt: skip
NULL_MARK = "~"


@dataclass(frozen=True)
class Column:
    """One column as information_schema.COLUMNS tells it; `extra` says how it is generated."""

    name: str
    type: str
    extra: str = ""

    @property
    def virtual(self) -> bool:
        return "VIRTUAL GENERATED" in self.extra

    @property
    def generated(self) -> bool:
        return "GENERATED" in self.extra and "DEFAULT_GENERATED" not in self.extra

    @property
    def single(self) -> bool:
        """FLOAT: the type that dump tools print with six digits."""
        return self.type == "float"


def quoted(name: str) -> str:
    """An identifier, safe whatever is in it."""
    return "`" + name.replace("`", "``") + "`"


def text_literal(text: str) -> str:
    """A string literal that means the same in every sql_mode."""
    return "_utf8mb4 x'" + text.encode().hex() + "'" if text else "''"


def witness_expression(column: Column) -> str:
    """Text that differs whenever the value does; NULL differs from the empty string.

    Adding 0e0 makes -0.0 and 0.0 one value, as they are for SQL and for a dump.
    """
    name = quoted(column.name)
    if column.type in FLOATING:
        value = f"{name}*1.0e0+0e0"
    elif column.type in EXACT or column.type in PLAIN:
        value = name
    elif column.type in NUMBERED:
        value = f"CAST({name} AS UNSIGNED)"
    elif column.type in LONG:
        value = f"MD5({name})"
    else:
        value = f"HEX({name})"
    return f"IFNULL({value},'{NULL_MARK}')"


def literal_expression(column: Column) -> str:
    """Text that is an SQL literal of exactly this value. Not for columns that `is_raw`."""
    name = quoted(column.name)
    if column.type in EXACT:
        value = name
    elif column.type in NUMBERED:
        value = f"CAST({name} AS UNSIGNED)"
    elif column.type in FLOATING:
        value = f"CONCAT('''',{name}*1.0e0,'''')"
    elif column.type in PLAIN:
        value = f"CONCAT('''',{name},'''')"
    else:
        value = f"CONCAT('x''',HEX({name}),'''')"
    return f"IFNULL({value},'NULL')"


def is_raw(column: Column) -> bool:
    """True when the bytes are fetched as they are and written as `x''` here."""
    return column.type in LONG


def row_expressions(columns: Sequence[Column]) -> list[tuple[str, bool]]:
    """The fewest expressions that hold a row: (expression, raw). Neighbours that are not raw become one."""
    expressions: list[tuple[str, bool]] = []
    pending: list[str] = []
    for column in columns:
        if not is_raw(column):
            pending.append(literal_expression(column))
            continue
        if pending:
            expressions.append((f"CONCAT_WS(',',{','.join(pending)})", False))
            pending = []
        expressions.append((_raw_expression(column), True))
    if pending:
        expressions.append((f"CONCAT_WS(',',{','.join(pending)})", False))
    return expressions


def _raw_expression(column: Column) -> str:
    """The bytes as the table holds them: a text would be converted to the connection's character set."""
    name = quoted(column.name)
    return f"CAST({name} AS BINARY)" if column.type.endswith("text") else name
