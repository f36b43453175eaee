"""The definitions and rights of everything in a PostgreSQL database, as digests.

Each query below gives rows of (kind, name, definition). Object numbers never stand in them, names are
qualified (the search path is empty), and lists are ordered by bytes, since the source and the scratch
server may collate differently. What belongs to an extension is left to the extension.
"""

import re
from collections.abc import Iterator, Sequence
from hashlib import sha256

from backups.engines._postgresql_address import Connection
from backups.engines._postgresql_more_objects import (
    MORE_QUERIES,
    RIGHTS_OF_COLUMNS,
    RIGHTS_OF_RELATIONS,
    WHOLE_DATABASE_QUERIES,
)

# `(ARRAY['a'::character varying, ...])::text[]`, as a check on a varchar column is printed at first, is
# printed `ARRAY[('a'::character varying)::text, ...]` once it was restored. Both mean the same.
_ARRAY_CAST = re.compile(
    r"\(ARRAY\[((?:'(?:[^']|'')*'::[a-z][a-z ]*(?:\(\d+\))?(?:, )?)+)\]\)::([a-z][a-z ]*)\[\]"
)
_ELEMENT = re.compile(r"'(?:[^']|'')*'::[a-z][a-z ]*(?:\(\d+\))?")

TABLES = """
SELECT 'table', <name c>, concat_ws(E'\\n',
    'owner ' || pg_get_userbyid(c.relowner), c.relkind, c.relpersistence, c.relreplident,
    (SELECT amname FROM pg_am WHERE oid = c.relam),
    'options ' || <options c.reloptions>,
    'row security ' || c.relrowsecurity || ' ' || c.relforcerowsecurity,
    'of ' || CASE WHEN c.reloftype <> 0 THEN format_type(c.reloftype, NULL) END,
    'partitioned by ' || pg_get_partkeydef(c.oid), 'partition ' || pg_get_expr(c.relpartbound, c.oid),
    (SELECT 'inherits ' || string_agg(i.inhparent::regclass::text, ', ' ORDER BY i.inhseqno)
       FROM pg_inherits i WHERE i.inhrelid = c.oid),
    (SELECT 'foreign ' || quote_ident(s.srvname) || ' ' || <options f.ftoptions>
       FROM pg_foreign_table f JOIN pg_foreign_server s ON s.oid = f.ftserver WHERE f.ftrelid = c.oid),
    <columns>)
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p', 'f') AND <user schema> AND <not of an extension: pg_class c>
"""

# pg_dump lists the columns of an inherited table in another order once the parent got one later.
COLUMNS = """
(SELECT string_agg(concat_ws(' ', quote_ident(a.attname), format_type(a.atttypid, a.atttypmod),
        CASE WHEN a.attcollation <> t.typcollation THEN
            (SELECT 'collate ' || quote_ident(n.nspname) || '.' || quote_ident(l.collname)
               FROM pg_collation l JOIN pg_namespace n ON n.oid = l.collnamespace
              WHERE l.oid = a.attcollation) END,
        CASE WHEN a.attnotnull THEN 'not null' END,
        CASE WHEN a.attgenerated <> '' THEN 'generated ' || a.attgenerated::text ELSE 'default' END
            || ' ' || pg_get_expr(d.adbin, d.adrelid),
        'identity ' || nullif(a.attidentity, '')::text, 'storage ' || a.attstorage::text,
        'compression ' || nullif(to_jsonb(a) ->> 'attcompression', ''),
        'statistics ' || nullif(to_jsonb(a) ->> 'attstattarget', '-1'),
        'options ' || <options a.attoptions>, 'foreign ' || <options a.attfdwoptions>), E'\\n'
    ORDER BY CASE WHEN NOT c.relispartition
                   AND EXISTS (SELECT FROM pg_inherits i WHERE i.inhrelid = c.oid)
                  THEN 0 ELSE a.attnum END, a.attname COLLATE "C")
 FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid
 LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
 WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped)
"""

VIEWS = """
SELECT CASE c.relkind WHEN 'v' THEN 'view' ELSE 'materialized view' END, <name c>, concat_ws(E'\\n',
    'owner ' || pg_get_userbyid(c.relowner), 'options ' || <options c.reloptions>,
    CASE WHEN c.relkind = 'm' THEN 'populated ' || c.relispopulated END,
    pg_get_viewdef(c.oid), <columns>)
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('v', 'm') AND <user schema> AND <not of an extension: pg_class c>
"""

# An index that a failed CREATE INDEX CONCURRENTLY left behind is invalid; pg_dump leaves it out.
INDEXES = """
SELECT 'index', <name c>, concat_ws(E'\\n', pg_get_indexdef(c.oid), 'clustered ' || i.indisclustered,
    'replica identity ' || i.indisreplident,
    (SELECT 'part of ' || p.inhparent::regclass FROM pg_inherits p WHERE p.inhrelid = c.oid))
FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE <user schema> AND (i.indisvalid OR c.relkind = 'I') AND <not of an extension: pg_class i.indrelid>
"""

# A foreign key to a partitioned table has one more row, with a name of its own, for each partition.
CONSTRAINTS = """
SELECT 'constraint', coalesce(nullif(k.conrelid, 0)::regclass::text, k.contypid::regtype::text) || '.'
    || quote_ident(k.conname), concat_ws(E'\\n', pg_get_constraintdef(k.oid), k.convalidated)
FROM pg_constraint k JOIN pg_namespace n ON n.oid = k.connamespace
WHERE <user schema> AND k.contype <> 't' AND k.conparentid = 0
  AND <not of an extension: pg_class k.conrelid> AND <not of an extension: pg_type k.contypid>
"""

SEQUENCES = """
SELECT 'sequence', <name c>, concat_ws(E'\\n', 'owner ' || pg_get_userbyid(c.relowner), c.relpersistence,
    format_type(s.seqtypid, NULL), s.seqstart, s.seqincrement, s.seqmin, s.seqmax, s.seqcache, s.seqcycle,
    (SELECT 'owned by ' || d.refobjid::regclass || '.' || quote_ident(a.attname) || ' ' || d.deptype::text
       FROM pg_depend d JOIN pg_attribute a ON a.attrelid = d.refobjid AND a.attnum = d.refobjsubid
      WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype IN ('a', 'i')
        AND d.refclassid = 'pg_class'::regclass LIMIT 1))
FROM pg_sequence s JOIN pg_class c ON c.oid = s.seqrelid JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE <user schema> AND <not of an extension: pg_class c>
"""

ROUTINES = """
SELECT CASE p.prokind WHEN 'p' THEN 'procedure' WHEN 'a' THEN 'aggregate' ELSE 'function' END,
    p.oid::regprocedure::text, concat_ws(E'\\n', 'owner ' || pg_get_userbyid(p.proowner),
    CASE WHEN p.prokind <> 'a' THEN pg_get_functiondef(p.oid) END,
    (SELECT concat_ws(' ', pg_get_function_result(p.oid), p.provolatile, p.proparallel,
                      format_type(g.aggtranstype, NULL), to_jsonb(g) - 'aggfnoid' - 'aggtranstype'
                      - 'aggmtranstype' - 'aggsortop', g.aggsortop::regoperator)
       FROM pg_aggregate g WHERE g.aggfnoid = p.oid))
FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
WHERE <user schema> AND <not of an extension: pg_proc p> AND <not internal>
"""

TRIGGERS = """
SELECT 'trigger', t.tgrelid::regclass || '.' || quote_ident(t.tgname),
    concat_ws(E'\\n', pg_get_triggerdef(t.oid), t.tgenabled)
FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE NOT t.tgisinternal AND <user schema> AND <not of an extension: pg_class c>
"""

RULES = """
SELECT 'rule', r.ev_class::regclass || '.' || quote_ident(r.rulename),
    concat_ws(E'\\n', pg_get_ruledef(r.oid), r.ev_enabled)
FROM pg_rewrite r JOIN pg_class c ON c.oid = r.ev_class JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE r.rulename <> '_RETURN' AND <user schema> AND <not of an extension: pg_class c>
"""

POLICIES = """
SELECT 'policy', p.polrelid::regclass || '.' || quote_ident(p.polname), concat_ws(E'\\n', p.polcmd,
    p.polpermissive, (SELECT string_agg(CASE WHEN r = 0 THEN 'PUBLIC' ELSE pg_get_userbyid(r) END, ','
                      ORDER BY pg_get_userbyid(r) COLLATE "C") FROM unnest(p.polroles) r),
    'using ' || pg_get_expr(p.polqual, p.polrelid), 'check ' || pg_get_expr(p.polwithcheck, p.polrelid))
FROM pg_policy p JOIN pg_class c ON c.oid = p.polrelid JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE <user schema>
"""

QUERIES = (TABLES, VIEWS, INDEXES, CONSTRAINTS, SEQUENCES, ROUTINES, TRIGGERS, RULES, POLICIES, *MORE_QUERIES)

_USER_SCHEMA = "(n.nspname !~ '^pg_' AND n.nspname <> 'information_schema' AND <wanted schema>)"
_OF_EXTENSION = (
    "NOT EXISTS (SELECT FROM pg_depend e WHERE e.classid = '{catalog}'::regclass AND e.objid = {number}"
    " AND e.deptype = 'e')"
)
# The constructors of a range type come and go with it, with whatever default rights hold then.
_NOT_INTERNAL = (
    "NOT EXISTS (SELECT FROM pg_depend e WHERE e.classid = 'pg_proc'::regclass AND e.objid = p.oid"
    " AND e.deptype = 'i')"
)
# Who grants is left out (the owner does, after a restore), and so is the difference between the default
# rights and the same rights written out. The owner's name is replaced, since a restore may change it.
_RIGHTS = (
    "(SELECT string_agg(x.line, ',' ORDER BY x.line COLLATE \"C\") FROM (SELECT"
    " CASE WHEN a.grantee = 0 THEN 'PUBLIC' WHEN a.grantee = {owner} THEN 'OWNER'"
    " ELSE pg_get_userbyid(a.grantee) END || '=' || a.privilege_type"
    " || CASE WHEN a.is_grantable THEN '*' ELSE '' END AS line FROM aclexplode({acl}) a) x)"
)
_OPTIONS = "(SELECT nullif(string_agg(o, ', ' ORDER BY o COLLATE \"C\"), '') FROM unnest({array}) o)"


def render(query: str, schemas: Sequence[str]) -> str:
    """The query with its words in angle brackets written out, for all schemas or only these."""
    query = query.replace("<columns>", COLUMNS).replace("<not internal>", _NOT_INTERNAL)
    query = query.replace("<user schema>", _USER_SCHEMA)
    query = re.sub(r"<name (\w+)>", r"quote_ident(n.nspname) || '.' || quote_ident(\1.relname)", query)
    query = re.sub(r"<options ([\w.]+)>", lambda m: _OPTIONS.format(array=m[1]), query)
    query = re.sub(r"<rights ([^;>]+); ([\w.]+)>", lambda m: _RIGHTS.format(acl=m[1], owner=m[2]), query)
    query = re.sub(r"<not of an extension: (\w+) ([\w.]+)>", _outside_extensions, query)
    return query.replace("<wanted schema>", wanted(schemas))


def _outside_extensions(match: re.Match[str]) -> str:
    number = match[2] if "." in match[2] else f"{match[2]}.oid"
    return _OF_EXTENSION.format(catalog=match[1], number=number)


def wanted(schemas: Sequence[str]) -> str:
    """The condition on `n.nspname` that keeps to these schemas; all, if there are none."""
    if not schemas:
        return "true"
    return "n.nspname IN (" + ", ".join(literal(name) for name in schemas) + ")"


def literal(text: str) -> str:
    """`text` as a string of SQL, whatever standard_conforming_strings says."""
    quoted = text.replace("'", "''")
    return " E'" + quoted.replace("\\", "\\\\") + "'" if "\\" in text else f"'{quoted}'"


# The queries about a relation, and what its number is in each.
OF_A_RELATION = (
    (TABLES, "c.oid"), (INDEXES, "i.indrelid"), (CONSTRAINTS, "k.conrelid"), (SEQUENCES, "c.oid"),
    (TRIGGERS, "c.oid"), (RULES, "c.oid"), (POLICIES, "c.oid"), (RIGHTS_OF_RELATIONS, "c.oid"),
    (RIGHTS_OF_COLUMNS, "c.oid"),
)  # fmt: skip


def objects_of(connection: Connection, numbers: Sequence[int]) -> dict[str, str]:
    """{"kind name": digest of the definition} of these relations, and of what belongs to them."""
    wanted_numbers = "'{" + ",".join(map(str, numbers)) + "}'::oid[]"
    found: dict[str, str] = {}
    for query, column in OF_A_RELATION:
        narrowed = query.replace("<user schema>", f"(<user schema> AND {column} = ANY({wanted_numbers}))")
        for kind, name, definition in _rows(connection, render(narrowed, ())):
            found[f"{kind} {name}"] = digest(definition or "")
    return found


def objects(connection: Connection, schemas: Sequence[str]) -> dict[str, str]:
    """{"kind name": digest of the definition} of everything in these schemas, or in the whole database."""
    queries = QUERIES if schemas else (*QUERIES, *WHOLE_DATABASE_QUERIES)
    found: dict[str, str] = {}
    for query in queries:
        for kind, name, definition in _rows(connection, render(query, schemas)):
            found[f"{kind} {name}"] = digest(definition or "")
    return found


def _rows(connection: Connection, query: str) -> Iterator[tuple[str, str, str | None]]:
    with connection.cursor() as cursor:
        cursor.execute(query.encode())
        yield from cursor  # type: ignore[misc]


def digest(definition: str) -> str:
    """SHA-256 of the definition: settings and foreign servers may hold secrets, which no witness shows."""
    return sha256(normalised(definition).encode()).hexdigest()


def normalised(definition: str) -> str:
    """The definition as PostgreSQL prints it after a restore."""
    return _ARRAY_CAST.sub(_pushed_down, definition)


def _pushed_down(match: re.Match[str]) -> str:
    elements = ", ".join(f"({element})::{match[2]}" for element in _ELEMENT.findall(match[1]))
    return f"ARRAY[{elements}]"
