"""What is in a PostgreSQL database, what this user may read of it, and what an operator should know."""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from backups.engines._postgresql_address import Connection
from backups.engines._postgresql_commands import qualified, quoted
from backups.engines._postgresql_objects import render
from backups.engines.base import Finding

NAMED = 10  # How many names one finding lists before it only counts.


@dataclass(frozen=True)
class Relation:
    """A table, sequence or materialised view in scope. `kind` is pg_class.relkind."""

    schema: str
    name: str
    kind: str
    size: int
    persistence: str
    readable: bool
    hidden: bool
    extension: str | None
    bound: Sequence[str] = ()

    @property
    def qualified(self) -> str:
        return qualified(self.schema, self.name)

    @property
    def label(self) -> str:
        """As findings and witnesses name it, and as an operator writes it."""
        return f"{self.schema}.{self.name}"


@dataclass(frozen=True)
class Scope:
    """What a dump of these options by this user holds."""

    relations: Sequence[Relation]
    large_objects_hidden: int
    without_rows: frozenset[str] = field(default_factory=frozenset)

    def only(self, labels: Collection[str]) -> "Scope":
        """Narrowed to these relations; large objects belong to none."""
        relations = [one for one in self.relations if one.label in labels]
        return Scope(relations, 0, self.without_rows)

    def of_kind(self, kinds: str) -> Iterator[Relation]:
        return (one for one in self.relations if one.kind in kinds)

    @property
    def unreadable(self) -> list[Relation]:
        """What would end pg_dump with an error: it is left out, and the set is capped."""
        return [one for one in self.of_kind("rpS") if not one.readable and not self.skipped(one)]

    @property
    def hidden(self) -> list[Relation]:
        """Tables whose row security could hide rows: their rows are left out, rather than some of them."""
        return [one for one in self.of_kind("r") if one.readable and one.hidden and not self.excluded(one)]

    def excluded(self, relation: Relation) -> bool:
        """True if the options leave out the rows of this table, or of the one that it is a partition of."""
        return not self.without_rows.isdisjoint((relation.label, *relation.bound))

    def skipped(self, relation: Relation) -> bool:
        # An extension's own tables are made by the extension; only pg_dump knows which rows it adds.
        return relation.extension is not None


# `bound`: the partitioned tables above it, whose exclusion holds for it as well.
RELATIONS = """
SELECT n.nspname, c.relname, c.relkind::text,
    CASE WHEN c.relkind IN ('r', 'm') THEN pg_table_size(c.oid) ELSE 0 END, c.relpersistence::text,
    CASE c.relkind WHEN 'S' THEN has_sequence_privilege(c.oid, 'SELECT')
         ELSE has_table_privilege(c.oid, 'SELECT') END AND has_schema_privilege(n.oid, 'USAGE'),
    row_security_active(c.oid),
    (SELECT x.extname FROM pg_depend e JOIN pg_extension x ON x.oid = e.refobjid
      WHERE e.classid = 'pg_class'::regclass AND e.objid = c.oid AND e.deptype = 'e' LIMIT 1),
    ARRAY(SELECT pn.nspname || '.' || pc.relname FROM pg_partition_ancestors(c.oid) a
          JOIN pg_class pc ON pc.oid = a.relid JOIN pg_namespace pn ON pn.oid = pc.relnamespace
          WHERE c.relispartition)
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p', 'S', 'm') AND <user schema>
ORDER BY n.nspname, c.relname
"""

# Who owns a large object or was given SELECT on it may read it; pg_read_all_data does not help here.
HIDDEN_LARGE_OBJECTS = """
SELECT count(*) FROM pg_largeobject_metadata l
WHERE NOT (SELECT rolsuper FROM pg_roles WHERE rolname = current_user)
  AND current_setting('lo_compat_privileges') = 'off'
  AND NOT pg_has_role(l.lomowner, 'USAGE')
  AND NOT EXISTS (SELECT FROM aclexplode(l.lomacl) a WHERE a.privilege_type = 'SELECT'
                  AND (a.grantee = 0 OR pg_has_role(a.grantee, 'USAGE')))
"""


def look(connection: Connection, schemas: Sequence[str], excluded: Sequence[str]) -> Scope:
    """What is in scope. `excluded` are names as an operator writes them: `table`, or `schema.table`."""
    rows = connection.execute(render(RELATIONS, schemas).encode()).fetchall()
    relations = [Relation(*row) for row in rows]
    hidden = 0 if schemas else _number(connection, HIDDEN_LARGE_OBJECTS)
    names = frozenset(name if "." in name else f"public.{name}" for name in excluded)
    return Scope(relations, hidden, names)


def _number(connection: Connection, query: str) -> int:
    row = connection.execute(query.encode()).fetchone()
    return int(row[0]) if row else 0


def rights_findings(scope: Scope, user: str) -> list[Finding]:
    """What this user may not read, each with the GRANT that is missing; all of them cap the set."""
    findings = []
    if missing := scope.unreadable:
        schemas = sorted({one.schema for one in missing})
        grants = [f"GRANT USAGE ON SCHEMA {quoted(name)} TO {quoted(user)};" for name in schemas]
        grants += [_grant(one, user) for one in missing[:NAMED]]
        hint = (
            " ".join(grants)
            + f" Or for everything (version 14 and newer): GRANT pg_read_all_data TO {quoted(user)};"
        )
        findings.append(
            Finding(f"Left out, because the user may not read: {_listed(missing)}.", hint, caps=True)
        )
    if hidden := scope.hidden:
        message = f"Row security hides rows from this user; the rows are left out of: {_listed(hidden)}."
        hint = f"As a superuser: ALTER ROLE {quoted(user)} BYPASSRLS; or dump as the owner of the tables (not with FORCE)."
        findings.append(Finding(message, hint, caps=True))
    if scope.large_objects_hidden:
        message = f"{scope.large_objects_hidden} large objects may not be read by this user; all large objects are left out."
        hint = f"GRANT SELECT ON LARGE OBJECT ... TO {quoted(user)}; for each, or dump as their owner."
        findings.append(Finding(message, hint, caps=True))
    return findings


def _grant(relation: Relation, user: str) -> str:
    kind = "SEQUENCE" if relation.kind == "S" else "TABLE"
    return f"GRANT SELECT ON {kind} {relation.qualified} TO {quoted(user)};"


def _listed(relations: Sequence[Relation]) -> str:
    names = ", ".join(one.label for one in relations[:NAMED])
    more = len(relations) - NAMED
    return f"{names} and {more} more" if more > 0 else names


# Facts that a restore does not bring back, or only in part; none of them makes the dump incomplete.
NOTES: tuple[tuple[str, str, str], ...] = (
    ("SELECT count(*) FROM pg_subscription s JOIN pg_database d ON d.oid = s.subdbid AND d.datname = current_database()",
     "{count} subscriptions are left out on purpose: a restored one would start to replicate.",
     "Write down how they are made (CREATE SUBSCRIPTION), and make them again after a restore."),
    ("SELECT count(*) FROM pg_class c WHERE relkind = 'f'",
     "{count} foreign tables are dumped without rows: their rows are on another server.",
     "Protect that server as a source of its own. Views materialised over foreign tables ask it during a restore."),
    ("SELECT count(*) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
     " WHERE c.reltablespace <> 0 AND <user schema>",
     "{count} tables or indexes lie in tablespaces; a restore puts them into the default one.", ""),
    ("SELECT count(*) FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid AND c.relkind = 'i'"
     " JOIN pg_namespace n ON n.oid = c.relnamespace WHERE NOT i.indisvalid AND <user schema>",
     "{count} invalid indexes are left out, as pg_dump does.", "Drop or REINDEX them."),
)  # fmt: skip


def notes(connection: Connection, scope: Scope, schemas: Sequence[str]) -> list[Finding]:
    """What an operator should know and a dump cannot change."""
    findings = []
    for query, message, hint in NOTES:
        if count := _number(connection, render(query, schemas)):
            findings.append(Finding(message.format(count=count), hint))
    if unlogged := [one for one in scope.of_kind("r") if one.persistence == "u"]:
        message = (
            f"Unlogged tables are dumped, but the server empties them after a crash: {_listed(unlogged)}."
        )
        findings.append(Finding(message, "ALTER TABLE ... SET LOGGED, if their rows matter."))
    return findings


FACTS = """
SELECT current_setting('server_version_num')::int, current_setting('server_version'),
    pg_encoding_to_char(d.encoding), d.datcollate, d.datctype, to_jsonb(d), pg_is_in_recovery(),
    (SELECT rolsuper FROM pg_roles WHERE rolname = current_user), current_user::text,
    (SELECT coalesce(jsonb_object_agg(extname, extversion), '{}') FROM pg_extension),
    CASE WHEN EXISTS (SELECT FROM pg_largeobject_metadata) THEN pg_table_size('pg_largeobject') ELSE 0 END
FROM pg_database d WHERE d.datname = current_database()
"""


def facts(connection: Connection) -> dict[str, Any]:
    """Versions, encoding and locale, extensions: what a place to restore into has to offer."""
    row = connection.execute(FACTS.encode()).fetchone()
    assert row is not None  # noqa: S101 - a session always is in a database
    number, version, encoding, collate, ctype, database, standby, superuser, user, extensions, size = row
    return {
        "version": version, "version_number": number, "major": number // 10000, "encoding": encoding,
        "collate": collate, "ctype": ctype, "locale_provider": database.get("datlocprovider", "c"),
        "icu_locale": database.get("datlocale") or database.get("daticulocale"), "standby": standby,
        "superuser": superuser, "user": user, "extensions": extensions, "large_objects_size": size,
    }  # fmt: skip
